-- What a delivery is about, said by the same columns of every delivery instead of by a group of columns for
-- each kind. First of two steps: the new columns are there and filled, the old ones are still there.

-- subject_kind   subject_id                  part .. part_end
-- records        packet.packet_id            records of the packet, first to last
-- institution,   registry_change.entity_id   registry_change.sequence: the change it tells of
--  caregiver
-- batch          deduction_cycle.cycle_id    deduction_batch.batch_no
ALTER TABLE delivery
    ADD COLUMN subject_kind text COLLATE "C",
    ADD COLUMN subject_id   text COLLATE "C",  -- no foreign key: what it is about is written with it and never deleted
    ADD COLUMN part         bigint,
    ADD COLUMN part_end     bigint;

UPDATE delivery SET
    subject_kind = CASE WHEN entity_kind IS NOT NULL THEN entity_kind WHEN cycle_id IS NOT NULL THEN 'batch' ELSE 'records' END,
    subject_id = coalesce(entity_id, cycle_id::text, packet_id::text),
    part = coalesce(revision, batch_no, first_record),
    part_end = coalesce(revision, batch_no, last_record);

-- Rows of packets are written as arrays of this type, see 0005.
DROP TYPE delivery_row;
CREATE TYPE delivery_row AS (
    delivery_id bigint, destination text, message text, ordering_key text, subject_kind text, subject_id text, part bigint,
    part_end bigint, reversal boolean, lines int, fen bigint
);
