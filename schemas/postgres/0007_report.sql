-- What people, models and dashboards read: views with stable names and columns, described in
-- docs/report.md (a test compares that page with these views, and the views with the tables). What lies
-- below may move; a migration that moves it keeps the columns here. Words are text, divisions and months
-- whole numbers (450103, 202110), money is fen. Nothing here tells of a natural person.

-- An administrator may have made the schema beforehand, for a role that may create none
-- (CREATE SCHEMA report AUTHORIZATION ltcgw).
DO $$ BEGIN
    IF to_regnamespace('report') IS NULL THEN
        CREATE SCHEMA report;
    END IF;
END $$;

-- A line of employers' payments that was ever posted.
CREATE VIEW report.line AS
SELECT p.sender, p.packet_no, l.packet_id, l.record_index, l.detail_no,
       l.revoke AS revokes, l.superseded, l.revoked_by IS NOT NULL AS revoked,
       l.pooling_area, l.district, l.contribution_month, l.employer_no, l.receipt_no,
       l.payment_kind::text AS payment_kind, l.headcount, l.employer_base_fen,
       l.employer_rate AS employer_rate_millionths, l.rate_id, l.remitted_on, l.treasury_on, l.underpaid,
       l.employer_paid_fen, l.employee_paid_fen, l.late_fee_fen, l.interest_fen, l.other_interest_fen,
       l.medical_fen, l.long_term_care_fen, p.received_at
FROM employer_line l JOIN packet p USING (packet_id);

-- A line that was refused, of a packet that was taken.
CREATE VIEW report.refused_line AS
SELECT p.sender, p.packet_no, r.packet_id, r.record_index, p.message, r.element, r.content, r.reason, p.received_at
FROM line_refusal r JOIN packet p USING (packet_id);

-- A packet that was taken.
CREATE VIEW report.packet AS
SELECT p.sender, p.packet_no, p.packet_id, p.message, p.received_at,
       p.lines_received, p.lines_posted, p.lines_refused, p.lines_duplicate, p.received_fen, p.posted_fen,
       p.adapter, encode(p.digest, 'hex') AS digest, p.replaces, p.replaced_by
FROM packet p;

-- A packet that was refused whole; nothing of it was kept but this.
CREATE VIEW report.refused_packet AS
SELECT refusal_id, sender, packet_no, received_at, status, reason, encode(digest, 'hex') AS digest
FROM packet_refusal;

-- An amount of an entry of the journal; debit is positive.
CREATE VIEW report.posting AS
SELECT s.entry_id, e.kind, e.packet_id, e.cycle_id, e.batch_no, s.account, s.fund, s.district, s.contribution_month, s.fen, e.posted_at
FROM posting s JOIN entry e USING (entry_id);

-- Something to be sent to a partner, and what became of it.
CREATE VIEW report.delivery AS
SELECT d.delivery_id, d.destination, d.message,
       CASE WHEN d.packet_id IS NOT NULL THEN 'lines' WHEN d.entity_kind IS NOT NULL THEN 'entity' ELSE 'batch' END AS subject,
       d.packet_id, d.first_record, d.last_record, d.reversal, d.entity_kind, d.entity_id, d.version, d.removal, d.cycle_id, d.batch_no,
       d.lines, d.fen, d.state, d.outcome, d.attempts, d.reference, d.answer, d.created_at, d.due_at, d.settled_at
FROM delivery d;

-- A month's deductions from personal accounts, planned or later.
CREATE VIEW report.cycle AS
SELECT cycle_id, pooling_area, month, state, encode(digest, 'hex') AS digest, people, fen, rounds,
       planned_by, planned_at, approved_by, approved_at, run_by, started_at, settled_at
FROM deduction_cycle;

-- What a cycle asks for, by district and category.
CREATE VIEW report.cycle_total AS
SELECT cycle_id, district, category::text AS category, people, base_fen, due_fen, carried_fen
FROM deduction_total;

-- Whom a cycle leaves out, by reason.
CREATE VIEW report.left_out AS
SELECT cycle_id, reason, count(*) AS people, sum(due_fen)::bigint AS due_fen
FROM deduction_left_out GROUP BY cycle_id, reason;

-- An institution or caregiver as it is known now; personal data are not here.
CREATE VIEW report.registry_entry AS
SELECT n.kind, n.entity_id, n.version, n.sequence, n.ended, n.status, n.designated, n.next_on, n.name, n.uscc, c.change AS last_change, c.changed_at
FROM registry_entity n JOIN registry_change c USING (sequence);
