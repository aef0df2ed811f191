-- What a packet says, beside its bytes: senders that got no receipt make their packet anew. Packets taken
-- before have none, so of these only the same bytes are known to be a repeat.
ALTER TABLE packet ADD COLUMN content_digest bytea CHECK (length(content_digest) = 32);  -- see adapter/decode/content.rs
ALTER TYPE packet_row ADD ATTRIBUTE content_digest bytea;

-- `trace` looks refused packets up by their number, of any sender.
CREATE INDEX packet_refusal_number ON packet_refusal (packet_no);
