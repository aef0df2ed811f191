//! Everything known of a receipt, line or packet number. Reads only.

use tokio_postgres::Row;

use super::Store;
use crate::error::Fault;
use crate::model::detail_key::detail_key;
use crate::model::lines::LineMoney;
use crate::model::{Fen, Month};

/// A stored employer line.
#[derive(Debug, Clone)]
pub struct TracedLine {
    pub packet_id: i64,
    pub record_index: i32,
    pub detail_no: String,
    pub receipt_no: String,
    pub employer_no: String,
    pub district: i32,
    pub contribution_month: Month,
    pub payment_kind: String,
    pub revoke: bool,
    pub superseded: bool,
    pub revoked_in: Option<String>,
    pub underpaid: bool,
    pub before_remittance: bool,
    pub without_base: bool,
    /// More was refunded of its employer, district and month than was paid.
    pub refunded_beyond: bool,
    /// Millionths, as stated by the sender.
    pub employer_rate: i32,
    pub rate_id: String,
    pub paid: LineMoney,
    pub treasury_on: jiff::civil::Date,
    pub history: TracedHistory,
}

/// A line's payment history (employer, district, contribution month) up to it, as it was split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedHistory {
    /// Lines, itself included.
    pub lines: i64,
    /// What the funds had of them.
    pub medical: Fen,
    pub long_term_care: Fen,
}

/// A stored packet.
#[derive(Debug, Clone)]
pub struct TracedPacket {
    pub packet_id: i64,
    pub sender: String,
    pub packet_no: String,
    pub message: String,
    pub received_at: jiff::Timestamp,
    pub lines_received: i32,
    pub lines_posted: i32,
    pub lines_refused: i32,
    pub lines_duplicate: i32,
    pub received_fen: Fen,
    pub posted_fen: Fen,
    pub refused_fen: Fen,
    pub duplicate_fen: Fen,
    /// Refused lines whose amount cannot be read.
    pub lines_unread: i32,
    pub adapter: String,
    /// Hex, shortened.
    pub digest: String,
    pub replaced_by: Option<i64>,
}

/// A packet refused whole: nothing of it was kept.
#[derive(Debug, Clone)]
pub struct TracedRefusal {
    pub sender: String,
    pub received_at: jiff::Timestamp,
    /// HTTP status it was answered with.
    pub status: i32,
    pub reason: String,
    /// Hex, shortened.
    pub digest: String,
}

/// A refused line of a packet that was taken.
#[derive(Debug, Clone)]
pub struct TracedRefusedLine {
    pub record_index: i32,
    /// The sender's element at fault.
    pub element: String,
    /// What stood there; `None` where private or empty.
    pub content: Option<String>,
    /// Chinese first, then English.
    pub reason: String,
    /// Money the line states; `None` where it cannot be read, or was not kept.
    pub fen: Option<Fen>,
}

/// An employer's lines: how many there are, what they sum up to, and the newest of them.
#[derive(Debug, Clone, Default)]
pub struct TracedEmployer {
    pub lines: i64,
    /// What counts: of lines neither replaced nor revoked nor revoking, by fund.
    pub medical: Fen,
    pub long_term_care: Fen,
    pub newest: Vec<TracedEmployerLine>,
}

/// One line of an employer.
#[derive(Debug, Clone)]
pub struct TracedEmployerLine {
    pub contribution_month: Month,
    pub detail_no: String,
    pub packet_no: String,
    pub payment_kind: String,
    pub treasury_on: jiff::civil::Date,
    /// Both funds.
    pub fen: Fen,
    /// `posted`, `revoked`, `revokes` or `replaced`.
    pub state: String,
}

/// A posting of a packet's entries.
#[derive(Debug, Clone)]
pub struct TracedPosting {
    pub entry_id: i64,
    pub kind: String,
    pub account: String,
    pub district: i32,
    pub contribution_month: i32,
    pub fund: String,
    pub fen: Fen,
}

/// Employee lines of one employer's payment.
#[derive(Debug, Clone)]
pub struct TracedRun {
    pub packet_no: String,
    pub lines: i32,
    pub employer_paid: Fen,
    pub employee_paid: Fen,
}

const LINE: &str = "SELECT l.packet_id, l.record_index, l.detail_no, l.receipt_no, l.employer_no, l.district, l.contribution_month, l.payment_kind::text,
        l.revoke, l.superseded, r.packet_no, l.underpaid, l.employer_rate, l.rate_id, l.employer_paid_fen, l.employee_paid_fen, l.late_fee_fen,
        l.interest_fen, l.other_interest_fen, l.medical_fen, l.long_term_care_fen, l.treasury_on, h.lines, h.medical, h.long_term_care,
        l.before_remittance, l.without_base, l.payment_kind = 'refund' AND EXISTS (SELECT 1 FROM report.refunded_beyond b
            WHERE b.employer_no = l.employer_no AND b.pooling_area = l.pooling_area AND b.district = l.district AND b.contribution_month = l.contribution_month)
    FROM employer_line l LEFT JOIN packet r ON r.packet_id = l.revoked_by
    CROSS JOIN LATERAL (SELECT count(*) AS lines, coalesce(sum(b.medical_fen), 0)::bigint AS medical,
            coalesce(sum(b.long_term_care_fen), 0)::bigint AS long_term_care
        FROM employer_line b JOIN packet p ON p.packet_id = b.packet_id
        WHERE b.history_key = l.history_key AND b.employer_no = l.employer_no AND b.history_no <= l.history_no
            AND NOT (b.superseded AND p.replaced_by <= l.packet_id)) h"; // what was replaced before counted no more
const PACKET: &str = "SELECT packet_id, sender, packet_no, message, received_at, lines_received, lines_posted, lines_refused, lines_duplicate, posted_fen,
        adapter, left(encode(digest, 'hex'), 16), replaced_by, received_fen, refused_fen, duplicate_fen, lines_unread FROM packet";
/// Packets of a number that were refused whole.
pub const REFUSALS: &str = "SELECT sender, received_at, status, reason, left(encode(digest, 'hex'), 16) FROM packet_refusal \
    WHERE packet_no = $1 ORDER BY refusal_id";
/// Lines shown of one number at most.
pub const LINES_MAX: i64 = 50;

impl Store {
    /// Refusals of packets of that number, the newest last.
    pub async fn trace_refusals(&self, packet_no: &str) -> Result<Vec<TracedRefusal>, Fault> {
        let rows = self.client().await?.query(REFUSALS, &[&packet_no]).await?;
        let refusal = |row: &Row| TracedRefusal {
            sender: row.get(0),
            received_at: row.get(1),
            status: row.get(2),
            reason: row.get(3),
            digest: row.get(4),
        };
        Ok(rows.iter().map(refusal).collect())
    }

    /// Refused lines of a packet, the first [`LINES_MAX`].
    pub async fn trace_refused_lines(
        &self,
        packet_id: i64,
    ) -> Result<Vec<TracedRefusedLine>, Fault> {
        let sql = "SELECT record_index, element, content, reason, fen FROM line_refusal WHERE packet_id = $1 ORDER BY 1 LIMIT $2";
        let rows = self
            .client()
            .await?
            .query(sql, &[&packet_id, &LINES_MAX])
            .await?;
        let line = |row: &Row| TracedRefusedLine {
            record_index: row.get(0),
            element: row.get(1),
            content: row.get(2),
            reason: row.get(3),
            fen: row.get::<_, Option<i64>>(4).map(Fen),
        };
        Ok(rows.iter().map(line).collect())
    }

    /// Lines of an employer, of any sender; the newest [`LINES_MAX`] of them.
    pub async fn trace_employer(&self, employer_no: &str) -> Result<TracedEmployer, Fault> {
        // The lines of an employer are a range of keys of the unique index, compared again by number.
        const OF: &str = "employer_line l WHERE l.history_key BETWEEN employer_key($1) AND employer_key($1) + 4294967295 AND l.employer_no = $1";
        let client = self.client().await?;
        let counts = "NOT l.superseded AND l.revoked_by IS NULL AND NOT l.revoke";
        let sums = format!(
            "SELECT count(*), coalesce(sum(l.medical_fen) FILTER (WHERE {counts}), 0)::bigint,
                coalesce(sum(l.long_term_care_fen) FILTER (WHERE {counts}), 0)::bigint FROM {OF}"
        );
        let sums = client.query_one(&sums, &[&employer_no]).await?;
        let newest = format!(
            "SELECT l.contribution_month, l.detail_no, p.packet_no, l.payment_kind::text, l.treasury_on, l.medical_fen + l.long_term_care_fen,
                CASE WHEN l.superseded THEN 'replaced' WHEN l.revoke THEN 'revokes' WHEN l.revoked_by IS NOT NULL THEN 'revoked' ELSE 'posted' END
             FROM (SELECT l.* FROM {OF} ORDER BY l.packet_id DESC, l.record_index DESC LIMIT $2) l JOIN packet p USING (packet_id)
             ORDER BY l.packet_id DESC, l.record_index DESC"
        );
        let rows = client.query(&newest, &[&employer_no, &LINES_MAX]).await?;
        let line = |row: &Row| TracedEmployerLine {
            contribution_month: Month::from_number(row.get(0)).expect("only months are stored"),
            detail_no: row.get(1),
            packet_no: row.get(2),
            payment_kind: row.get(3),
            treasury_on: row.get(4),
            fen: Fen(row.get(5)),
            state: row.get(6),
        };
        Ok(TracedEmployer {
            lines: sums.get(0),
            medical: Fen(sums.get(1)),
            long_term_care: Fen(sums.get(2)),
            newest: rows.iter().map(line).collect(),
        })
    }

    /// Names of the senders whose numbers are looked up.
    pub fn sender_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.senders.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Employer lines of a receipt or detail number, of any sender.
    pub async fn trace_lines(&self, number: &str) -> Result<Vec<TracedLine>, Fault> {
        let client = self.client().await?;
        let keys: Vec<uuid::Uuid> = self
            .senders
            .values()
            .map(|sender| detail_key(*sender, number))
            .collect();
        let live = format!(
            "{LINE} WHERE l.receipt_no = $1 OR (l.detail_key = ANY($2) AND NOT l.revoke AND NOT l.superseded) ORDER BY 1, 2 LIMIT $3"
        );
        let rows = client.query(&live, &[&number, &keys, &LINES_MAX]).await?;
        Ok(rows.iter().map(line).collect())
    }

    /// Packets of that number, of any sender, replaced ones too.
    pub async fn trace_packets(&self, packet_no: &str) -> Result<Vec<TracedPacket>, Fault> {
        let client = self.client().await?;
        let senders: Vec<&String> = self.senders.keys().collect();
        let sql = format!("{PACKET} WHERE sender = ANY($1) AND packet_no = $2 ORDER BY packet_id");
        let rows = client.query(&sql, &[&senders, &packet_no]).await?;
        Ok(rows.iter().map(packet).collect())
    }

    /// The packet of that id.
    pub async fn trace_packet(&self, packet_id: i64) -> Result<Option<TracedPacket>, Fault> {
        let client = self.client().await?;
        let row = client
            .query_opt(&format!("{PACKET} WHERE packet_id = $1"), &[&packet_id])
            .await?;
        Ok(row.as_ref().map(packet))
    }

    /// What a packet did to the accounts.
    pub async fn trace_postings(&self, packet_id: i64) -> Result<Vec<TracedPosting>, Fault> {
        let client = self.client().await?;
        let sql = "SELECT e.entry_id, e.kind, p.account, p.district, p.contribution_month, p.fund, p.fen FROM entry e JOIN posting p USING (entry_id)
            WHERE e.packet_id = $1 ORDER BY e.entry_id, p.district, p.contribution_month, p.fund, p.account DESC";
        let rows = client.query(sql, &[&packet_id]).await?;
        let posting = |row: &Row| TracedPosting {
            entry_id: row.get(0),
            kind: row.get(1),
            account: row.get(2),
            district: row.get(3),
            contribution_month: row.get(4),
            fund: row.get(5),
            fen: Fen(row.get(6)),
        };
        Ok(rows.iter().map(posting).collect())
    }

    /// Employee detail of a receipt.
    pub async fn trace_runs(&self, receipt_no: &str) -> Result<Vec<TracedRun>, Fault> {
        let client = self.client().await?;
        let sql = "SELECT p.packet_no, sum(r.lines)::int, sum(r.employer_paid_fen)::bigint, sum(r.employee_paid_fen)::bigint
            FROM employee_run r JOIN packet p USING (packet_id) WHERE r.receipt_no = $1 AND p.replaced_by IS NULL GROUP BY 1 ORDER BY 1";
        let rows = client.query(sql, &[&receipt_no]).await?;
        Ok(rows
            .iter()
            .map(|row| TracedRun {
                packet_no: row.get(0),
                lines: row.get(1),
                employer_paid: Fen(row.get(2)),
                employee_paid: Fen(row.get(3)),
            })
            .collect())
    }

    /// What was collected through the treasury, by district and fund: where every fen of it is.
    pub async fn collected(&self) -> Result<Vec<(i32, String, Fen)>, Fault> {
        let client = self.client().await?;
        let sql = "SELECT p.district, p.fund, -sum(p.fen)::bigint FROM posting p JOIN entry e USING (entry_id)
            WHERE p.account = 'fund' AND e.kind <> 'deduction' GROUP BY 1, 2 ORDER BY 1, 2";
        let rows = client.query(sql, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| (row.get(0), row.get(1), Fen(row.get(2))))
            .collect())
    }

    /// What the funds received from personal accounts for a contribution month, by district.
    pub async fn deducted_by_district(&self, month: Month) -> Result<Vec<(i32, Fen)>, Fault> {
        let client = self.client().await?;
        let sql = "SELECT p.district, -sum(p.fen)::bigint FROM posting p JOIN entry e USING (entry_id)
            WHERE p.account = 'fund' AND e.kind = 'deduction' AND p.contribution_month = $1 GROUP BY 1 ORDER BY 1";
        let rows = client.query(sql, &[&month.number()]).await?;
        Ok(rows
            .iter()
            .map(|row| (row.get(0), Fen(row.get(1))))
            .collect())
    }
}

fn line(row: &Row) -> TracedLine {
    let fen = |at: usize| Fen(row.get(at));
    TracedLine {
        packet_id: row.get(0),
        record_index: row.get(1),
        detail_no: row.get(2),
        receipt_no: row.get(3),
        employer_no: row.get(4),
        district: row.get(5),
        contribution_month: Month::from_number(row.get(6)).expect("only months are stored"),
        payment_kind: row.get(7),
        revoke: row.get(8),
        superseded: row.get(9),
        revoked_in: row.get(10),
        underpaid: row.get(11),
        employer_rate: row.get(12),
        rate_id: row.get(13),
        paid: LineMoney {
            employer: fen(14),
            employees: fen(15),
            late_fee: fen(16),
            interest: fen(17),
            other_interest: fen(18),
            medical: fen(19),
            long_term_care: fen(20),
        },
        treasury_on: row.get(21),
        history: TracedHistory {
            lines: row.get(22),
            medical: fen(23),
            long_term_care: fen(24),
        },
        before_remittance: row.get(25),
        without_base: row.get(26),
        refunded_beyond: row.get(27),
    }
}

fn packet(row: &Row) -> TracedPacket {
    TracedPacket {
        packet_id: row.get(0),
        sender: row.get(1),
        packet_no: row.get(2),
        message: row.get(3),
        received_at: row.get(4),
        lines_received: row.get(5),
        lines_posted: row.get(6),
        lines_refused: row.get(7),
        lines_duplicate: row.get(8),
        posted_fen: Fen(row.get(9)),
        adapter: row.get(10),
        digest: row.get(11),
        replaced_by: row.get(12),
        received_fen: Fen(row.get(13)),
        refused_fen: Fen(row.get(14)),
        duplicate_fen: Fen(row.get(15)),
        lines_unread: row.get(16),
    }
}
