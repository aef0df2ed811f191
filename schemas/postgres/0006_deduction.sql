-- Individual accounts: who is insured by the medical core's rosters, what a month asks of whom,
-- and what the core answered. Facts are added, never edited; only cycles and batches have states.

CREATE TYPE insured_category AS ENUM ('active', 'retired', 'flexible', 'unemployed');

-- One row per roster taken, with the reply that was given, so that a repeat gets the same bytes.
CREATE TABLE roster (
    roster_id       bigint PRIMARY KEY,           -- of id_block: rises with arrival
    sender          text NOT NULL,                -- partner name
    roster_no       text NOT NULL,                -- the sender's own number, its idempotency key
    pooling_area    int NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('full', 'changes')),
    month           int NOT NULL,                 -- full: whoever it does not name has left from this month on
    digest          bytea NOT NULL CHECK (length(digest) = 32),  -- SHA-256 of the body, decompressed
    received_at     timestamptz NOT NULL,
    lines_received  int NOT NULL,
    lines_taken     int NOT NULL,
    lines_refused   int NOT NULL,
    left_people     int NOT NULL,                 -- people a full roster no longer names
    reply           bytea NOT NULL,
    CONSTRAINT roster_number UNIQUE (sender, roster_no),
    CHECK (lines_received = lines_taken + lines_refused)
);

-- What holds of a person from a month on, until a later row of the same person: the one with the
-- greatest (from_month, roster_id) whose month has come counts. No foreign key: see employer_line.
CREATE TABLE roster_entry (
    pooling_area  int NOT NULL,
    person_no     text COLLATE "C" NOT NULL,      -- psn_no of the medical core
    from_month    int NOT NULL,
    roster_id     bigint NOT NULL,
    category      insured_category,               -- null: no longer insured here
    account       boolean NOT NULL,               -- has a personal account
    employer_no   text,
    district      int NOT NULL,
    base_fen      bigint CHECK (base_fen >= 0),   -- own base a month; of retired people last year's own pension a month
    born_on       date,                           -- where the rates depend on age
    sealed        bytea,                          -- certificate type and number, encrypted: see store/sealed.rs
    PRIMARY KEY (pooling_area, person_no, from_month, roster_id),
    CHECK ((category IS NULL) = (base_fen IS NULL)),
    CHECK (category IS NOT NULL OR (sealed IS NULL AND born_on IS NULL AND employer_no IS NULL AND NOT account))
);

-- state      meaning                                              moved on by
-- planned    computed, with totals and digest; nothing was sent   a second person's approval -> approved;
--                                                                 a newer plan of the month -> replaced
-- approved   may run                                              run, once the digest was reproduced -> running;
--                                                                 a newer plan -> replaced
-- running    instructions and batches are written and sent        the last answer -> settled
-- settled    every person of every batch is answered              retry, where the rates say so -> running
-- replaced   never ran                                            nobody
CREATE TABLE deduction_cycle (
    cycle_id      bigint PRIMARY KEY,             -- of id_block
    pooling_area  int NOT NULL,
    month         int NOT NULL,
    state         text NOT NULL CHECK (state IN ('planned', 'approved', 'running', 'settled', 'replaced')),
    digest        bytea NOT NULL CHECK (length(digest) = 32),  -- SHA-256 over every person's instruction, in order of person_no
    people        int NOT NULL,                   -- to be deducted from
    fen           bigint NOT NULL,
    rounds        smallint NOT NULL DEFAULT 0,    -- how often instructions were sent: 0, 1, with retries more
    planned_by    text NOT NULL,
    planned_at    timestamptz NOT NULL DEFAULT now(),
    approved_by   text,
    approved_at   timestamptz,
    run_by        text,
    started_at    timestamptz,
    settled_at    timestamptz,
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CHECK (approved_by <> planned_by),            -- four eyes
    CHECK (state NOT IN ('approved', 'running', 'settled') OR approved_by IS NOT NULL),
    CHECK ((started_at IS NOT NULL) = (state IN ('running', 'settled'))),
    CHECK ((settled_at IS NOT NULL) = (state = 'settled'))
);
-- A person is deducted from once a month: there is one cycle, and in it one row per person.
CREATE UNIQUE INDEX deduction_cycle_month ON deduction_cycle (pooling_area, month) WHERE state <> 'replaced';

-- What the plan says, by district and category.
CREATE TABLE deduction_total (
    cycle_id      bigint NOT NULL,
    district      int NOT NULL,
    category      insured_category NOT NULL,
    people        int NOT NULL,
    base_fen      bigint NOT NULL,
    due_fen       bigint NOT NULL,                -- of this month
    carried_fen   bigint NOT NULL,                -- of earlier months
    PRIMARY KEY (cycle_id, district, category)
);

-- Whom the plan leaves out, and why.
CREATE TABLE deduction_left_out (
    cycle_id   bigint NOT NULL,
    person_no  text COLLATE "C" NOT NULL,
    district   int NOT NULL,
    category   insured_category NOT NULL,
    reason     text NOT NULL CHECK (reason IN ('no_account', 'waived', 'no_rate', 'nothing_due')),
    due_fen    bigint NOT NULL,                   -- what would have been due
    PRIMARY KEY (cycle_id, person_no)
);

-- The rates a cycle's amounts were computed by.
CREATE TABLE deduction_rate (
    cycle_id  bigint NOT NULL,
    rate      smallint NOT NULL,
    rate_id   text NOT NULL,
    shortfall text NOT NULL CHECK (shortfall IN ('retry', 'carry_over', 'waive')),
    PRIMARY KEY (cycle_id, rate)
);

-- One person's instruction. Written by the run, in order of person_no, and never changed.
CREATE TABLE deduction (
    cycle_id      bigint NOT NULL,
    person_no     text COLLATE "C" NOT NULL,
    category      insured_category NOT NULL,
    district      int NOT NULL,
    rate          smallint NOT NULL,              -- deduction_rate of the cycle
    base_fen      bigint NOT NULL,
    due_fen       bigint NOT NULL,
    carried_fen   bigint NOT NULL,
    fen           bigint NOT NULL CHECK (fen > 0 AND fen = due_fen + carried_fen),  -- to be taken from the account
    PRIMARY KEY (cycle_id, person_no)
);

-- What goes to the core in one request: the people of the cycle from first_person to last_person;
-- in a later round only those whom the round before left short and whose rate says `retry`.
CREATE TABLE deduction_batch (
    cycle_id      bigint NOT NULL,
    batch_no      int NOT NULL,
    round         smallint NOT NULL,
    first_person  text COLLATE "C" NOT NULL,
    last_person   text COLLATE "C" NOT NULL,
    people        int NOT NULL CHECK (people > 0),
    fen           bigint NOT NULL,
    answered      int NOT NULL DEFAULT 0,         -- people with a result of this round
    answered_at   timestamptz,                    -- when the last of them came
    PRIMARY KEY (cycle_id, batch_no),
    CHECK (answered BETWEEN 0 AND people),
    CHECK ((answered = people) = (answered_at IS NOT NULL))
) WITH (fillfactor = 70);
-- What a cycle still waits for.
CREATE INDEX deduction_batch_open ON deduction_batch (cycle_id, batch_no) WHERE answered_at IS NULL;

CREATE TYPE deduction_outcome AS ENUM ('deducted', 'insufficient_balance', 'account_frozen', 'person_unknown', 'deceased');

-- What the core did. Written once per person and round; what it says later and otherwise is a discrepancy.
CREATE TABLE deduction_result (
    cycle_id        bigint NOT NULL,
    person_no       text COLLATE "C" NOT NULL,
    round           smallint NOT NULL,
    batch_no        int NOT NULL,
    outcome         deduction_outcome NOT NULL,
    fen             bigint NOT NULL,              -- taken: the whole instruction or nothing
    this_year_fen   bigint,                       -- the sub-accounts it came from
    last_year_fen   bigint,
    earlier_fen     bigint,
    balance_fen     bigint,                       -- of the account, after
    PRIMARY KEY (cycle_id, person_no, round),
    CHECK (CASE outcome WHEN 'deducted' THEN fen > 0 ELSE fen = 0 END),
    CHECK (num_nonnulls(this_year_fen, last_year_fen, earlier_fen) IN (0, 3)),
    CHECK (this_year_fen + last_year_fen + earlier_fen = fen)
);

-- Answers that do not fit what was asked. Nothing of them was posted; a person looks at each.
CREATE TABLE deduction_discrepancy (
    discrepancy_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cycle_id        bigint,
    batch_no        int,
    person_no       text,
    kind            text NOT NULL CHECK (kind IN ('unknown_batch', 'unknown_person', 'other_amount', 'other_answer', 'unreadable')),
    asked_fen       bigint,
    told_fen        bigint,
    told            text NOT NULL,                -- what the core said, safe to show
    sender          text NOT NULL,
    digest          bytea NOT NULL CHECK (length(digest) = 32),  -- SHA-256 of the message it came in
    found_at        timestamptz NOT NULL DEFAULT now(),
    resolved_at     timestamptz,
    resolved_by     text,
    note            text,
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);
-- The same said again is one discrepancy.
CREATE UNIQUE INDEX deduction_discrepancy_once ON deduction_discrepancy
    (coalesce(cycle_id, 0), coalesce(batch_no, 0), coalesce(person_no, ''), kind, coalesce(told_fen, 0), md5(told));

-- What an account did not cover, written when the cycle is settled; handled as the rates say.
CREATE TABLE shortfall (
    pooling_area  int NOT NULL,
    person_no     text COLLATE "C" NOT NULL,
    cycle_id      bigint NOT NULL,
    fen           bigint NOT NULL CHECK (fen > 0),
    handling      text NOT NULL CHECK (handling IN ('retry', 'carry_over', 'waive')),
    carried_into  bigint,                         -- the cycle whose instruction holds it now, or that retried it
    PRIMARY KEY (pooling_area, person_no, cycle_id)
);
CREATE INDEX shortfall_open ON shortfall (pooling_area, person_no) WHERE carried_into IS NULL;

-- The journal also tells of deductions: from the personal accounts to the fund, by batch.
ALTER TABLE entry
    ALTER COLUMN packet_id DROP NOT NULL,
    ADD COLUMN cycle_id bigint,
    ADD COLUMN batch_no int,
    DROP CONSTRAINT entry_kind_check,
    ADD CONSTRAINT entry_kind_check CHECK (kind IN ('collection', 'reversal', 'deduction')),
    ADD CHECK (CASE kind WHEN 'deduction' THEN packet_id IS NULL AND cycle_id IS NOT NULL AND batch_no IS NOT NULL
                         ELSE packet_id IS NOT NULL AND cycle_id IS NULL AND batch_no IS NULL END);
CREATE INDEX entry_cycle ON entry (cycle_id, batch_no) WHERE cycle_id IS NOT NULL;
ALTER TABLE posting
    DROP CONSTRAINT posting_account_check,
    ADD CONSTRAINT posting_account_check CHECK (account IN ('treasury', 'fund', 'personal_account'));

-- Deliveries of a cycle: instructions to the core, results to the LTC system. An instruction that is
-- `delivered` but not answered goes back to `in_doubt` after a while, so that its results are asked for.
ALTER TABLE delivery
    ADD COLUMN cycle_id bigint,
    ADD COLUMN batch_no int,
    DROP CONSTRAINT delivery_check9,
    -- Exactly one subject: records of a packet, one change of an entry, or a batch of a cycle.
    ADD CONSTRAINT delivery_records_check CHECK
        (num_nonnulls(packet_id, first_record, last_record) = CASE WHEN entity_kind IS NULL AND cycle_id IS NULL THEN 3 ELSE 0 END),
    ADD CONSTRAINT delivery_cycle_check CHECK (num_nonnulls(cycle_id, batch_no) IN (0, 2)),
    ADD CHECK (cycle_id IS NULL OR (entity_kind IS NULL AND NOT reversal AND ordering_key IS NULL));
CREATE INDEX delivery_cycle ON delivery (cycle_id, batch_no) WHERE cycle_id IS NOT NULL;

-- Who paid for an employer's people, month by month: for questions about one person or employer. Packets
-- are loaded in bulk, so it is as small as can be: no month in it (an employer has a line or two a month,
-- and equal numbers share one entry), compared byte by byte.
CREATE INDEX employer_line_employer ON employer_line (employer_no COLLATE "C");
