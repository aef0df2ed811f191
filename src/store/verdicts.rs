//! Duplicates, conflicts and revocations of a packet's lines, found against what is stored.
//!
//! The exact path: lines are copied to a staging table and compared as a set. Reports facts; the
//! flow decides what they mean for a line.

use futures_util::TryStreamExt;

use super::collect::{PacketTransaction, PostError};
use super::lines::LineTable;
use crate::model::lines::LineMoney;
use crate::model::{Division, Fen, Month};

/// The staging table; lives until the transaction ends.
pub const STAGED: &str = "staged_line";

/// What is known about one staged line; lines without anything to say are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedFinding {
    pub record_index: i32,
    pub fact: Fact,
}

/// What the comparison found.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// An earlier record of the packet has the same id, and every record of that id says the same.
    SameRecord { earlier_index: i32 },
    /// Another record of the packet has the same id; not all of that id say the same.
    RecordTwice { other_index: i32 },
    /// Another record of the packet has the same number and says the same, or not.
    NumberTwice { other_index: i32, same: bool },
    /// The number is stored.
    Stored {
        packet_no: String,
        same: bool,
        revoked: bool,
        line: (i64, i32),
    },
    /// A revocation, and the line it names.
    Revokes(Box<Original>),
    /// A revocation of the only line of its number in this packet, which stands before it.
    RevokesOwn { earlier_index: i32 },
    /// A revocation of a line that another packet revoked already.
    RevokedAlready,
    /// A revocation of a number that is not stored.
    RevokesNothing,
}

/// The line a revocation takes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Original {
    pub packet_id: i64,
    pub record_index: i32,
    pub employer_no: String,
    pub pooling_area: Division,
    pub district: Division,
    pub contribution_month: Month,
    pub paid: LineMoney,
    pub rate_id: String,
}

/// A line taken back by a record of the packet being posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedLine {
    /// The revoking record.
    pub record: i32,
    /// The line taken back.
    pub packet_id: i64,
    pub record_index: i32,
    /// What the revocation brings: the negated original.
    pub paid: LineMoney,
    /// The rule the line was split by; empty for lines that state no money of their own.
    pub rate_id: String,
}

impl PacketTransaction {
    /// Makes the staging table for such lines.
    pub async fn make_staging(&self, table: LineTable) -> Result<(), PostError> {
        Ok(self.client().batch_execute(&table.staging()).await?)
    }

    /// Compares every staged line with the others and those stored, in order of the packet; what `but` names does not count.
    pub async fn findings(
        &self,
        table: LineTable,
        but: &[&str],
    ) -> Result<Vec<StagedFinding>, PostError> {
        self.client()
            .batch_execute(&format!("ANALYZE {STAGED}"))
            .await?;
        let sql = compare(table, but);
        let no_parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
        let rows = self.client().query_raw(&sql, no_parameters).await?;
        let mut rows = std::pin::pin!(rows);
        let mut findings = Vec::new();
        while let Some(row) = self.client().vigil().within(rows.try_next()).await? {
            let record_index = row.get(0);
            findings.extend(fact(&row).map(|fact| StagedFinding { record_index, fact }));
        }
        Ok(findings)
    }

    /// Marks the lines this packet takes back; fails when another packet was faster.
    pub async fn mark_revoked(
        &self,
        table: LineTable,
        by: i64,
        lines: &[RevokedLine],
    ) -> Result<(), PostError> {
        let (packets, records): (Vec<i64>, Vec<i32>) = lines
            .iter()
            .map(|line| (line.packet_id, line.record_index))
            .unzip();
        let sql = format!(
            "UPDATE {} AS line SET revoked_by = $1 FROM unnest($2::bigint[], $3::int[]) AS gone (packet_id, record_index) \
             WHERE line.packet_id = gone.packet_id AND line.record_index = gone.record_index AND line.revoked_by IS NULL AND NOT line.superseded",
            table.name()
        );
        let marked = self
            .client()
            .execute(&sql, &[&by, &packets, &records])
            .await?;
        if marked == lines.len() as u64 {
            Ok(())
        } else {
            Err(PostError::DetailTaken)
        }
    }

    /// Queues the revocations for a destination that was told of the originals by that message, each under its
    /// original's ordering key, so that it never arrives first. With each, what it brings (fen).
    pub async fn queue_revocations(
        &self,
        by: i64,
        (destination, message): (&str, &str),
        lines: &[(&RevokedLine, i64)],
    ) -> Result<(), PostError> {
        let (records, fen): (Vec<i32>, Vec<i64>) =
            lines.iter().map(|(line, fen)| (line.record, fen)).unzip();
        let (packets, originals): (Vec<i64>, Vec<i32>) = lines
            .iter()
            .map(|(line, _)| (line.packet_id, line.record_index))
            .unzip();
        // The default id is above any given out before, so within the key it comes after the original.
        let sql = "INSERT INTO delivery (destination, message, ordering_key, subject_kind, subject_id, part, part_end, lines, fen)
            SELECT d.destination, d.message, d.ordering_key, 'records', $1::bigint::text, gone.record, gone.record, 1, gone.fen
            FROM unnest($3::int[], $4::bigint[], $5::int[], $6::bigint[]) AS gone (record, packet_id, original, fen)
            JOIN delivery d ON d.subject_id = gone.packet_id::text AND d.subject_kind = 'records' AND gone.original BETWEEN d.part AND d.part_end
                AND d.destination = $2 AND d.message = $7 AND NOT d.reversal
            ORDER BY gone.record";
        self.client()
            .execute(
                sql,
                &[
                    &by,
                    &destination,
                    &records,
                    &packets,
                    &originals,
                    &fen,
                    &message,
                ],
            )
            .await?;
        Ok(())
    }
}

/// New lines of one record id are one line if all say the same; lines of one number are compared as far as
/// they are lines of their own. Columns 0 to 9 are of the packet, those behind of what is stored.
fn compare(table: LineTable, but: &[&str]) -> String {
    let (name, same_stored) = (table.name(), table.same_content("s", "t", but));
    let (same_first, same_other) = (
        table.same_content("s", "f", but),
        table.same_content("s", "o", but),
    );
    let money = match table {
        LineTable::Employer => {
            "t.other_interest_fen, t.medical_fen, t.long_term_care_fen, t.rate_id"
        }
        LineTable::Employee => "0::bigint, 0::bigint, 0::bigint, ''",
    };
    format!(
        "WITH same_id AS MATERIALIZED (
             SELECT record_index, first_index, bool_and(same) OVER (PARTITION BY first_index) AS one, max(record_index) OVER (PARTITION BY first_index) AS last_index
             FROM (SELECT s.record_index, g.first_index, {same_first} AS same
                 FROM (SELECT record_id, min(record_index) AS first_index FROM {STAGED}
                     WHERE NOT revoke AND record_id IS NOT NULL GROUP BY record_id HAVING count(*) > 1) g
                 JOIN {STAGED} s ON s.record_id = g.record_id AND NOT s.revoke
                 JOIN {STAGED} f ON f.record_index = g.first_index) x),
         single AS MATERIALIZED (
             SELECT s.record_index, s.detail_key FROM {STAGED} s LEFT JOIN same_id i ON i.record_index = s.record_index
             WHERE NOT s.revoke AND (i.record_index IS NULL OR i.record_index = i.first_index)),
         twice AS MATERIALIZED (
             SELECT detail_key, min(record_index) AS first_index, max(record_index) AS last_index FROM single GROUP BY detail_key HAVING count(*) > 1),
         own AS MATERIALIZED (
             SELECT detail_key, min(record_index) AS record_index FROM single
             WHERE detail_key IN (SELECT detail_key FROM {STAGED} WHERE revoke) GROUP BY detail_key HAVING count(*) = 1)
         SELECT s.record_index, s.revoke, i.first_index, i.last_index, i.one, n.first_index, n.last_index, {same_other} AS same, own.record_index,
                {same_stored} AS same_as_stored, t.packet_id, t.record_index, p.packet_no, r.packet_no AS revoked_in, t.district,
                t.contribution_month, t.employer_paid_fen, t.employee_paid_fen, t.late_fee_fen, t.interest_fen, {money}, t.employer_no, t.pooling_area
         FROM {STAGED} s
         LEFT JOIN same_id i ON i.record_index = s.record_index
         LEFT JOIN twice n ON NOT s.revoke AND n.detail_key = s.detail_key
         LEFT JOIN {STAGED} o ON o.record_index = CASE WHEN n.first_index = s.record_index THEN n.last_index ELSE n.first_index END
         LEFT JOIN own ON s.revoke AND own.detail_key = s.detail_key AND own.record_index < s.record_index
         LEFT JOIN {name} t ON t.detail_key = s.detail_key AND NOT t.revoke AND NOT t.superseded
         LEFT JOIN packet p ON p.packet_id = t.packet_id
         LEFT JOIN packet r ON r.packet_id = t.revoked_by
         WHERE s.revoke OR t.packet_id IS NOT NULL OR i.record_index IS NOT NULL OR n.detail_key IS NOT NULL
         ORDER BY s.record_index"
    )
}

fn fact(row: &tokio_postgres::Row) -> Option<Fact> {
    let record_index: i32 = row.get(0);
    let other = |first: i32, last: i32| if first == record_index { last } else { first };
    if let Some(first) = row.get::<_, Option<i32>>(2) {
        match row.get(4) {
            true if first != record_index => {
                return Some(Fact::SameRecord {
                    earlier_index: first,
                });
            }
            true => {}
            false => {
                return Some(Fact::RecordTwice {
                    other_index: other(first, row.get(3)),
                });
            }
        }
    }
    if let Some(first) = row.get::<_, Option<i32>>(5) {
        return Some(Fact::NumberTwice {
            other_index: other(first, row.get(6)),
            same: row.get(7),
        });
    }
    let (revoke, own): (bool, Option<i32>) = (row.get(1), row.get(8));
    let (stored, revoked_in): (Option<i64>, Option<String>) = (row.get(10), row.get(13));
    match (revoke, stored, revoked_in) {
        (true, None, _) => {
            Some(
                own.map_or(Fact::RevokesNothing, |earlier_index| Fact::RevokesOwn {
                    earlier_index,
                }),
            )
        }
        (true, Some(_), Some(_)) => Some(Fact::RevokedAlready),
        (true, Some(packet_id), None) => Some(Fact::Revokes(Box::new(original(row, packet_id)))),
        (false, Some(packet_id), revoked_in) => Some(Fact::Stored {
            packet_no: row.get::<_, Option<String>>(12).unwrap_or_default(),
            same: row.get(9),
            revoked: revoked_in.is_some(),
            line: (packet_id, row.get(11)),
        }),
        (false, None, _) => None,
    }
}

fn original(row: &tokio_postgres::Row, packet_id: i64) -> Original {
    let fen = |at: usize| Fen(row.get::<_, Option<i64>>(at).unwrap_or_default());
    let division =
        |at: usize| Division::from_number(row.get(at)).expect("only divisions are stored");
    let paid = LineMoney {
        employer: fen(16),
        employees: fen(17),
        late_fee: fen(18),
        interest: fen(19),
        other_interest: fen(20),
        medical: fen(21),
        long_term_care: fen(22),
    };
    Original {
        packet_id,
        record_index: row.get(11),
        employer_no: row.get(24),
        district: division(14),
        contribution_month: Month::from_number(row.get(15)).expect("only months are stored"),
        paid,
        rate_id: row.get::<_, Option<String>>(23).unwrap_or_default(),
        pooling_area: division(25),
    }
}
