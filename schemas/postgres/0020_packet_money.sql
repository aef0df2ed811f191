-- Money of every line received, whatever became of it: received = posted + refused + duplicate.

ALTER TABLE packet
    ADD COLUMN refused_fen    bigint NOT NULL DEFAULT 0,   -- money of the lines refused, as far as it could be read
    ADD COLUMN duplicate_fen  bigint NOT NULL DEFAULT 0,   -- money of the lines taken before
    ADD COLUMN lines_unread   int NOT NULL DEFAULT 0;      -- of the lines refused, those whose amount could not be read
-- Packets from before: what they received besides what they posted were duplicates; refused money was not counted.
UPDATE packet SET duplicate_fen = received_fen - posted_fen, lines_unread = lines_refused
    WHERE received_fen <> posted_fen OR message = 'employer_collection' AND lines_refused > 0;
ALTER TABLE packet
    ADD CHECK (received_fen = posted_fen + refused_fen + duplicate_fen),
    ADD CHECK (lines_unread BETWEEN 0 AND lines_refused);
ALTER TYPE packet_row ADD ATTRIBUTE refused_fen bigint, ADD ATTRIBUTE duplicate_fen bigint, ADD ATTRIBUTE lines_unread int;

CREATE OR REPLACE VIEW report.packet AS
SELECT p.sender, p.packet_no, p.packet_id, p.message, p.received_at,
       p.lines_received, p.lines_posted, p.lines_refused, p.lines_duplicate, p.received_fen, p.posted_fen,
       p.adapter, encode(p.digest, 'hex') AS digest, p.replaces, p.replaced_by, p.refused_fen, p.duplicate_fen, p.lines_unread
FROM packet p;
