-- What `trace` and `packets` answer people with.

-- Money a refused line states, in the gateway's signs; null where it cannot be read, and of lines refused before.
ALTER TABLE line_refusal ADD COLUMN fen bigint;
ALTER TYPE line_refusal_row ADD ATTRIBUTE fen bigint;

CREATE OR REPLACE VIEW report.refused_line AS
SELECT p.sender, p.packet_no, r.packet_id, r.record_index, p.message, r.element, r.content, r.reason, p.received_at, r.fen AS stated_fen
FROM line_refusal r JOIN packet p USING (packet_id);

-- The packets of a day. Rows lie in the order they came in, so block ranges find them and cost writers nothing.
CREATE INDEX packet_received ON packet USING brin (received_at) WITH (pages_per_range = 16);
CREATE INDEX packet_refusal_received ON packet_refusal USING brin (received_at) WITH (pages_per_range = 16);
-- The last packets with refused lines, which are few.
CREATE INDEX packet_with_refused ON packet (packet_id) WHERE lines_refused > 0;
