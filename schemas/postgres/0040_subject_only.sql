-- Second step of 0039: what the new columns say must hold, and the old ones go.

CREATE OR REPLACE VIEW report.delivery AS
SELECT d.delivery_id, d.destination, d.message,
       CASE d.subject_kind WHEN 'records' THEN 'lines' WHEN 'batch' THEN 'batch' ELSE 'entity' END AS subject,
       CASE WHEN d.subject_kind = 'records' THEN d.subject_id::bigint END AS packet_id,
       CASE WHEN d.subject_kind = 'records' THEN d.part::int END AS first_record,
       CASE WHEN d.subject_kind = 'records' THEN d.part_end::int END AS last_record, d.reversal,
       CASE WHEN d.subject_kind IN ('institution', 'caregiver') THEN d.subject_kind END AS entity_kind,
       CASE WHEN d.subject_kind IN ('institution', 'caregiver') THEN d.subject_id END AS entity_id, d.version, d.removal,
       CASE WHEN d.subject_kind = 'batch' THEN d.subject_id::bigint END AS cycle_id,
       CASE WHEN d.subject_kind = 'batch' THEN d.part::int END AS batch_no,
       d.lines, d.fen, d.state, d.outcome, d.attempts, d.reference, d.answer, d.created_at, d.due_at, d.settled_at
FROM delivery d;

-- With the columns go their indexes and what was asked of them.
ALTER TABLE delivery
    DROP COLUMN packet_id, DROP COLUMN first_record, DROP COLUMN last_record,
    DROP COLUMN entity_kind, DROP COLUMN entity_id, DROP COLUMN revision,
    DROP COLUMN cycle_id, DROP COLUMN batch_no,
    ALTER COLUMN subject_kind SET NOT NULL,
    ALTER COLUMN subject_id SET NOT NULL,
    ALTER COLUMN part SET NOT NULL,
    ALTER COLUMN part_end SET NOT NULL,
    ADD CONSTRAINT delivery_subject_kind CHECK (subject_kind IN ('records', 'institution', 'caregiver', 'batch')),
    ADD CONSTRAINT delivery_part CHECK (part BETWEEN 0 AND part_end),
    -- Their ids and parts are numbers, the parts those of an int.
    ADD CONSTRAINT delivery_of_number CHECK
        (subject_kind NOT IN ('records', 'batch') OR (subject_id ~ '^[0-9]{1,18}$' AND part_end <= 2147483647)),
    ADD CONSTRAINT delivery_of_records CHECK
        (subject_kind <> 'records' OR (lines > 0 AND lines <= part_end - part + 1 AND (ordering_key IS NOT NULL OR NOT reversal))),
    -- The source's version, for people; whether it ended, or no longer concerns the destination.
    ADD CONSTRAINT delivery_of_entity CHECK (CASE WHEN subject_kind IN ('institution', 'caregiver')
        THEN version IS NOT NULL AND part = part_end AND lines = 1 AND fen = 0 AND NOT reversal
             AND ordering_key IS NOT DISTINCT FROM subject_kind || '/' || subject_id
        ELSE version IS NULL AND NOT removal END),
    ADD CONSTRAINT delivery_of_batch CHECK
        (subject_kind <> 'batch' OR (part = part_end AND lines > 0 AND NOT reversal AND ordering_key IS NULL));

-- Every delivery of a packet or cycle, what a destination was told of an entry.
CREATE INDEX delivery_subject ON delivery (subject_id, subject_kind, part);
