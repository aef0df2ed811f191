-- The rows of small packets as they are sent: one array of such rows a table (store/table.rs), since an
-- array a column would cost PostgreSQL a tuple store each. The columns are those the gateway writes.

CREATE TYPE packet_row AS (
    packet_id bigint, sender text, packet_no text, message text, digest bytea, adapter text, adapter_digest bytea,
    received_at timestamptz, lines_received int, lines_posted int, lines_refused int, lines_duplicate int,
    received_fen bigint, posted_fen bigint, reply_type text, reply bytea, replaces bigint
);

CREATE TYPE employer_line_row AS (
    packet_id bigint, record_index int, detail_key uuid, revoke boolean, detail_no text, pooling_area int, district
    int, levy_no text, receipt_no text, insurance insurance_type, employer_no text, contribution_month int,
    payment_kind payment_kind, remitted_on date, treasury_on date, tax_office text, transfer_batch text,
    transferred_at timestamp, headcount int, wages_fen bigint, employer_base_fen bigint, employee_base_fen bigint,
    employer_rate int, employer_paid_fen bigint, employee_rate int, employee_paid_fen bigint, late_fee_fen bigint,
    interest_fen bigint, other_interest_fen bigint, rate_id text, medical_fen bigint, long_term_care_fen bigint,
    underpaid boolean
);

CREATE TYPE employee_line_row AS (
    packet_id bigint, record_index int, detail_key uuid, revoke boolean, detail_no text, pooling_area int, district
    int, levy_no text, receipt_no text, insurance insurance_type, employer_no text, contribution_month int,
    payment_kind payment_kind, remitted_on date, treasury_on date, tax_office text, transfer_batch text,
    transferred_at timestamp, person_no text, wage_fen bigint, employer_base_fen bigint, employee_base_fen bigint,
    employer_rate int, employer_paid_fen bigint, employee_rate int, employee_paid_fen bigint, late_fee_fen bigint,
    interest_fen bigint
);

CREATE TYPE line_refusal_row AS (
    packet_id bigint, record_index int, element text, content text, reason text
);

CREATE TYPE employee_run_row AS (
    packet_id bigint, first_record int, last_record int, receipt_no text, employer_no text, contribution_month int,
    lines int, employer_paid_fen bigint, employee_paid_fen bigint
);

CREATE TYPE entry_row AS (
    entry_id bigint, packet_id bigint, kind text, posted_at timestamptz
);

CREATE TYPE posting_row AS (
    entry_id bigint, account text, district int, contribution_month int, fund text, fen bigint
);

CREATE TYPE delivery_row AS (
    delivery_id bigint, destination text, message text, ordering_key text, packet_id bigint, first_record int,
    last_record int, reversal boolean, lines int, fen bigint
);
