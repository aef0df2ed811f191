-- Collections as received, and the journal they are posted to.
-- Facts are added, never edited: a correction is a further line and a further entry.

-- Blocks of 1,024 ids, handed out to instances; ids of packets, entries and deliveries come from
-- one space, rise with arrival and cost no round trip each.
CREATE SEQUENCE id_block MINVALUE 1;

-- Short numbers for senders: two bytes of every detail key.
CREATE TABLE sender (
    sender_id  smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE
);

-- One row per packet taken, with the reply that was given, so that a repeat gets the same bytes.
CREATE TABLE packet (
    packet_id        bigint PRIMARY KEY,
    sender           text NOT NULL,          -- partner name in config/partners.toml
    packet_no        text NOT NULL,          -- the sender's own number, its idempotency key
    message          text NOT NULL,          -- canonical record, e.g. employer_collection
    digest           bytea NOT NULL CHECK (length(digest) = 32),   -- SHA-256 of the body, decompressed
    adapter          text NOT NULL,
    adapter_digest   bytea NOT NULL CHECK (length(adapter_digest) = 32),
    received_at      timestamptz NOT NULL,
    lines_received   int NOT NULL,
    lines_posted     int NOT NULL,
    lines_refused    int NOT NULL,
    lines_duplicate  int NOT NULL,
    received_fen     bigint NOT NULL,        -- money of all lines that could be read
    posted_fen       bigint NOT NULL,        -- money of the lines posted
    reply_type       text NOT NULL,
    reply            bytea NOT NULL,
    replaces         bigint REFERENCES packet,
    replaced_by      bigint,
    CHECK (lines_received = lines_posted + lines_refused + lines_duplicate)
);
-- A number stands for one packet at a time; replacing frees it for the successor.
CREATE UNIQUE INDEX packet_number ON packet (sender, packet_no) WHERE replaced_by IS NULL;
-- A replaced packet that is sent again gets its own reply again.
CREATE INDEX packet_replaced ON packet (sender, packet_no) WHERE replaced_by IS NOT NULL;

-- Packets refused whole: nothing of them is kept but this note, and their number stays free.
CREATE TABLE packet_refusal (
    refusal_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender       text NOT NULL,
    packet_no    text,
    digest       bytea NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    status       int NOT NULL,
    reason       text NOT NULL
);

-- Lines refused, with what the sender needs to mend them; private content is left out.
CREATE TABLE line_refusal (
    packet_id     bigint NOT NULL,
    record_index  int NOT NULL,
    element       text NOT NULL,
    content       text,
    reason        text NOT NULL,
    PRIMARY KEY (packet_id, record_index)
);

CREATE TYPE payment_kind AS ENUM ('normal', 'refund', 'back_payment', 'base_adjustment', 'rate_adjustment');
CREATE TYPE insurance_type AS ENUM ('employee_medical');

-- One employer's payment for one month. No foreign key to packet: its check per row would cost
-- more than the row; both are written in one transaction.
CREATE TABLE employer_line (
    packet_id             bigint NOT NULL,
    record_index          int NOT NULL,      -- position in the packet, from 1
    detail_key            uuid NOT NULL,     -- sender and detail number, order kept: see model::detail_key
    revoked_by            bigint,            -- packet whose line took this one back
    superseded            boolean NOT NULL DEFAULT false,  -- its packet was replaced
    revoke                boolean NOT NULL,  -- this line takes an earlier one back; its amounts are the negated originals
    detail_no             text NOT NULL,
    pooling_area          int NOT NULL,
    district              int NOT NULL,
    levy_no               text,
    receipt_no            text NOT NULL,
    insurance             insurance_type NOT NULL,
    employer_no           text NOT NULL,
    contribution_month    int NOT NULL,
    payment_kind          payment_kind NOT NULL,
    headcount             int,
    wages_fen             bigint,
    employer_base_fen     bigint NOT NULL,
    employee_base_fen     bigint,
    employer_rate         int NOT NULL,      -- millionths
    employer_paid_fen     bigint NOT NULL,
    employee_rate         int,               -- millionths
    employee_paid_fen     bigint NOT NULL,
    late_fee_fen          bigint NOT NULL,
    interest_fen          bigint NOT NULL,
    other_interest_fen    bigint NOT NULL,
    remitted_on           date,
    treasury_on           date NOT NULL,
    tax_office            text,
    transfer_batch        text,
    transferred_at        timestamp,
    rate_id               text NOT NULL,     -- the rate it was apportioned by
    medical_fen           bigint NOT NULL,
    long_term_care_fen    bigint NOT NULL,
    underpaid             boolean NOT NULL,
    PRIMARY KEY (packet_id, record_index),
    CHECK (NOT superseded OR revoked_by IS NULL),  -- taken back once, whichever way
    CHECK (employer_paid_fen + employee_paid_fen + late_fee_fen + interest_fen + other_interest_fen
           = medical_fen + long_term_care_fen)
);
CREATE UNIQUE INDEX employer_line_detail ON employer_line (detail_key) WHERE NOT revoke AND NOT superseded;
CREATE INDEX employer_line_receipt ON employer_line (receipt_no);
CREATE INDEX employer_line_revoked ON employer_line (revoked_by) WHERE revoked_by IS NOT NULL;

-- One person's part of an employer's payment: detail of money that is posted by the employer's line.
CREATE TABLE employee_line (
    packet_id             bigint NOT NULL,
    record_index          int NOT NULL,
    detail_key            uuid NOT NULL,
    revoked_by            bigint,
    superseded            boolean NOT NULL DEFAULT false,
    revoke                boolean NOT NULL,
    detail_no             text NOT NULL,
    pooling_area          int NOT NULL,
    district              int NOT NULL,
    levy_no               text,
    receipt_no            text NOT NULL,
    insurance             insurance_type NOT NULL,
    employer_no           text NOT NULL,
    person_no             text NOT NULL,
    contribution_month    int NOT NULL,
    payment_kind          payment_kind NOT NULL,
    wage_fen              bigint,
    employer_base_fen     bigint NOT NULL,
    employee_base_fen     bigint,
    employer_rate         int,
    employer_paid_fen     bigint NOT NULL,
    employee_rate         int,
    employee_paid_fen     bigint NOT NULL,
    late_fee_fen          bigint NOT NULL,
    interest_fen          bigint NOT NULL,
    remitted_on           date,
    treasury_on           date NOT NULL,
    tax_office            text,
    transfer_batch        text,
    transferred_at        timestamp,
    PRIMARY KEY (packet_id, record_index),
    CHECK (NOT superseded OR revoked_by IS NULL)
);
CREATE UNIQUE INDEX employee_line_detail ON employee_line (detail_key) WHERE NOT revoke AND NOT superseded;
CREATE INDEX employee_line_revoked ON employee_line (revoked_by) WHERE revoked_by IS NOT NULL;

-- Runs of consecutive employee lines of one employer's payment: how detail is found from the
-- employer's line (same receipt, employer and month), without an index on a million receipts.
CREATE TABLE employee_run (
    packet_id           bigint NOT NULL,
    first_record        int NOT NULL,
    last_record         int NOT NULL,
    receipt_no          text NOT NULL,
    employer_no         text NOT NULL,
    contribution_month  int NOT NULL,
    lines               int NOT NULL,
    employer_paid_fen   bigint NOT NULL,
    employee_paid_fen   bigint NOT NULL,
    PRIMARY KEY (packet_id, first_record)
);
CREATE INDEX employee_run_receipt ON employee_run (receipt_no);

-- The journal. An entry is what one event did to the accounts; debit is positive.
CREATE TABLE entry (
    entry_id   bigint PRIMARY KEY,
    packet_id  bigint NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('collection', 'reversal')),
    posted_at  timestamptz NOT NULL
);
CREATE INDEX entry_packet ON entry (packet_id);

CREATE TABLE posting (
    entry_id            bigint NOT NULL,
    account             text NOT NULL CHECK (account IN ('treasury', 'fund')),
    district            int NOT NULL,
    contribution_month  int NOT NULL,
    fund                text NOT NULL CHECK (fund IN ('medical', 'long_term_care')),
    fen                 bigint NOT NULL,
    PRIMARY KEY (entry_id, account, district, contribution_month, fund)
);

-- Every entry sums to zero: the postings a statement adds are checked together.
CREATE FUNCTION posting_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE unbalanced bigint;
BEGIN
    SELECT entry_id INTO unbalanced FROM added GROUP BY entry_id HAVING sum(fen) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % does not sum to zero', unbalanced USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_balances AFTER INSERT ON posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION posting_balances();

-- The journal is only ever added to.
CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: correct it by a further entry' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER posting_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();
