-- People whom a roster names with more than one insurance relation. Which of them counts is decided by a rule of
-- the adapter or by a person, never by the order of lines; until then the person is insured and left out by name.

ALTER TABLE roster_entry ADD COLUMN undecided boolean NOT NULL DEFAULT false;  -- its relation is one of several: see roster_relation

-- The relations as the lines of the roster state them; equal ones once.
CREATE TABLE roster_relation (
    relation_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pooling_area  int NOT NULL,
    person_no     text COLLATE "C" NOT NULL,
    roster_id     bigint NOT NULL,
    record_index  int NOT NULL,                   -- position in the roster, from 1
    from_month    int NOT NULL,
    category      insured_category NOT NULL,
    account       boolean NOT NULL,
    employer_no   text,
    district      int NOT NULL,
    base_fen      bigint NOT NULL CHECK (base_fen >= 0),
    born_on       date,
    sealed        bytea,                          -- as in roster_entry
    account_credit_fen bigint,                    -- these two as in roster_entry, too
    yearly        boolean NOT NULL DEFAULT false,
    counts        boolean NOT NULL DEFAULT false, -- the one that does
    decided_by    text,                           -- a person's name; null where a rule decided or nobody has
    decided_at    timestamptz,                    -- null: undecided
    UNIQUE (roster_id, person_no, record_index),
    CHECK (decided_at IS NOT NULL OR NOT counts AND decided_by IS NULL)
);
CREATE UNIQUE INDEX roster_relation_counts ON roster_relation (roster_id, person_no) WHERE counts;
CREATE INDEX roster_relation_person ON roster_relation (pooling_area, person_no, roster_id);
CREATE INDEX roster_relation_open ON roster_relation (pooling_area) WHERE decided_at IS NULL;

ALTER TABLE deduction_left_out
    DROP CONSTRAINT deduction_left_out_reason_check,
    ADD CONSTRAINT deduction_left_out_reason_check CHECK (reason IN ('no_account', 'waived', 'no_rate', 'nothing_due', 'two_relations'));
