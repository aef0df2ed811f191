-- What a roster says, beside its bytes, as of packets (0022). Rosters taken before have none.
ALTER TABLE roster ADD COLUMN content_digest bytea CHECK (length(content_digest) = 32);
