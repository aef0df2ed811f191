-- What is remarkable about a line that is posted all the same, beside underpaid; and payment histories
-- of which more was refunded than was paid.

ALTER TABLE employer_line
    ADD COLUMN before_remittance boolean NOT NULL DEFAULT false,  -- in the treasury before the day it was remitted
    ADD COLUMN without_base      boolean NOT NULL DEFAULT false;  -- paid on a base of nothing
ALTER TYPE employer_line_row ADD ATTRIBUTE before_remittance boolean, ADD ATTRIBUTE without_base boolean;

-- Refunds are few: whose payments are to be compared with them is found here.
CREATE INDEX employer_line_refund ON employer_line (employer_no) WHERE payment_kind = 'refund' AND NOT superseded;

CREATE OR REPLACE VIEW report.line AS
SELECT p.sender, p.packet_no, l.packet_id, l.record_index, l.detail_no,
       l.revoke AS revokes, l.superseded, l.revoked_by IS NOT NULL AS revoked,
       l.pooling_area, l.district, l.contribution_month, l.employer_no, l.receipt_no,
       l.payment_kind::text AS payment_kind, l.headcount, l.employer_base_fen,
       l.employer_rate AS employer_rate_millionths, l.rate_id, l.remitted_on, l.treasury_on, l.underpaid,
       l.employer_paid_fen, l.employee_paid_fen, l.late_fee_fen, l.interest_fen, l.other_interest_fen,
       l.medical_fen, l.long_term_care_fen, p.received_at, l.before_remittance, l.without_base
FROM employer_line l JOIN packet p USING (packet_id);

-- An employer's district and contribution month of which more was refunded than was paid, in all or of the
-- employer's part. What was revoked or replaced counts on neither side.
CREATE VIEW report.refunded_beyond AS
SELECT r.pooling_area, r.district, r.employer_no, r.contribution_month, s.paid_fen, s.refunded_fen,
       greatest(-s.paid_fen - s.refunded_fen, -s.employer_fen) AS beyond_fen
FROM (SELECT DISTINCT history_key, pooling_area, district, employer_no, contribution_month
      FROM employer_line WHERE payment_kind = 'refund' AND NOT superseded) r
CROSS JOIN LATERAL (
    SELECT coalesce(sum(l.medical_fen + l.long_term_care_fen) FILTER (WHERE l.payment_kind <> 'refund'), 0)::bigint AS paid_fen,
           coalesce(sum(l.medical_fen + l.long_term_care_fen) FILTER (WHERE l.payment_kind = 'refund'), 0)::bigint AS refunded_fen,
           sum(l.employer_paid_fen)::bigint AS employer_fen
    FROM employer_line l
    WHERE l.history_key = r.history_key AND l.employer_no = r.employer_no AND l.pooling_area = r.pooling_area
      AND NOT l.superseded) s
WHERE s.paid_fen + s.refunded_fen < 0 OR s.employer_fen < 0;
