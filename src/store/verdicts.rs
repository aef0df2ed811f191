//! Duplicates, conflicts and revocations of a packet's lines, found against what is stored.
//!
//! The exact path: lines are copied to a staging table and compared as a set. Reports facts; the
//! flow decides what they mean for a line.

use futures_util::TryStreamExt;
use jiff::civil::Date;

use super::collect::{PostError, Posting};
use super::lines::LineTable;
use crate::model::lines::Paid;
use crate::model::{Fen, Month};

/// The staging table; lives until the transaction ends.
pub const STAGED: &str = "staged_line";

/// What is known about one staged line; lines without anything to say are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub record_index: i32,
    pub fact: Fact,
}

/// What the comparison found.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The number stands earlier in the same packet.
    Repeats { earlier_index: i32, same: bool },
    /// The number is stored.
    Stored { packet_no: String, same: bool, revoked: bool, line: (i64, i32) },
    /// A revocation, and the line it names.
    Revokes(Box<Original>),
    /// A revocation of a line that was revoked already, by that packet.
    RevokedAlready { packet_no: String },
    /// A revocation of a number that is not stored.
    RevokesNothing,
}

/// The line a revocation takes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Original {
    pub packet_id: i64,
    pub record_index: i32,
    pub district: i32,
    pub contribution_month: Month,
    pub paid: Paid,
    pub employer_paid: Fen,
    pub rate_id: String,
    pub treasury_on: Date,
}

/// A line taken back by a record of the packet being posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// The revoking record.
    pub record: i32,
    /// The line taken back.
    pub packet_id: i64,
    pub record_index: i32,
    /// What the revocation brings: the negated original.
    pub paid: Paid,
}

impl Posting {
    /// Makes the staging table for such lines.
    pub async fn make_staging(&self, table: LineTable) -> Result<(), PostError> {
        let sql = format!("CREATE TEMP TABLE {STAGED} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP", table.name());
        Ok(self.client().batch_execute(&sql).await?)
    }

    /// Compares every staged line with those before it and those stored, in order of the packet.
    pub async fn findings(&self, table: LineTable) -> Result<Vec<Finding>, PostError> {
        self.client().batch_execute(&format!("ANALYZE {STAGED}")).await?;
        let sql = compare(table);
        let no_parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
        let rows = self.client().query_raw(&sql, no_parameters).await?;
        let mut rows = std::pin::pin!(rows);
        let mut findings = Vec::new();
        while let Some(row) = rows.try_next().await? {
            findings.push(finding(&row));
        }
        Ok(findings)
    }

    /// Marks the lines this packet takes back; fails when another packet was faster.
    pub async fn mark_revoked(&self, table: LineTable, by: i64, lines: &[Revoked]) -> Result<(), PostError> {
        let (packets, records): (Vec<i64>, Vec<i32>) = lines.iter().map(|line| (line.packet_id, line.record_index)).unzip();
        let sql = format!(
            "UPDATE {} AS line SET revoked_by = $1 FROM unnest($2::bigint[], $3::int[]) AS gone (packet_id, record_index) \
             WHERE line.packet_id = gone.packet_id AND line.record_index = gone.record_index AND line.revoked_by IS NULL AND NOT line.superseded",
            table.name()
        );
        let marked = self.client().execute(&sql, &[&by, &packets, &records]).await?;
        if marked == lines.len() as u64 { Ok(()) } else { Err(PostError::DetailTaken) }
    }

    /// Queues the revocations for a destination that was told of the originals by that message, each under its
    /// original's ordering key, so that it never arrives first. `fen` is what each brings it.
    pub async fn queue_revocations(&self, by: i64, (destination, message): (&str, &str), lines: &[Revoked], fen: &[i64]) -> Result<(), PostError> {
        let records: Vec<i32> = lines.iter().map(|line| line.record).collect();
        let (packets, originals): (Vec<i64>, Vec<i32>) = lines.iter().map(|line| (line.packet_id, line.record_index)).unzip();
        // The default id is above any given out before, so within the key it comes after the original.
        let sql = "INSERT INTO delivery (destination, message, ordering_key, packet_id, first_record, last_record, lines, fen)
            SELECT d.destination, d.message, d.ordering_key, $1, gone.record, gone.record, 1, gone.fen
            FROM unnest($3::int[], $4::bigint[], $5::int[], $6::bigint[]) AS gone (record, packet_id, original, fen)
            JOIN delivery d ON d.packet_id = gone.packet_id AND gone.original BETWEEN d.first_record AND d.last_record
                AND d.destination = $2 AND d.message = $7 AND NOT d.reversal
            WHERE gone.fen <> 0 ORDER BY gone.record";
        self.client().execute(sql, &[&by, &destination, &records, &packets, &originals, &fen, &message]).await?;
        Ok(())
    }
}

fn compare(table: LineTable) -> String {
    let (name, same_stored, same_first) = (table.name(), table.same_content("s", "t"), table.same_content("s", "f"));
    let money = match table {
        LineTable::Employer => "t.other_interest_fen, t.medical_fen, t.long_term_care_fen, t.rate_id",
        LineTable::Employee => "0::bigint, 0::bigint, 0::bigint, ''",
    };
    format!(
        "WITH staged AS MATERIALIZED (
             SELECT *, first_value(record_index) OVER (PARTITION BY detail_key, revoke ORDER BY record_index) AS first_index FROM {STAGED})
         SELECT s.record_index, s.revoke, s.first_index, coalesce({same_first}, false) AS same_as_first,
                t.packet_id, p.packet_no, {same_stored} AS same_as_stored, r.packet_no AS revoked_in, t.record_index, t.district,
                t.contribution_month, t.employer_paid_fen, t.employee_paid_fen, t.late_fee_fen, t.interest_fen, {money}, t.treasury_on
         FROM staged s
         LEFT JOIN {name} t ON t.detail_key = s.detail_key AND NOT t.revoke AND NOT t.superseded
         LEFT JOIN packet p ON p.packet_id = t.packet_id
         LEFT JOIN packet r ON r.packet_id = t.revoked_by
         LEFT JOIN {STAGED} f ON s.first_index <> s.record_index AND f.record_index = s.first_index
         WHERE s.revoke OR t.packet_id IS NOT NULL OR s.first_index <> s.record_index
         ORDER BY s.record_index"
    )
}

fn finding(row: &tokio_postgres::Row) -> Finding {
    let record_index: i32 = row.get(0);
    let revoke: bool = row.get(1);
    let first_index: i32 = row.get(2);
    let stored: Option<i64> = row.get(4);
    let revoked_in: Option<String> = row.get(7);
    let fact = if first_index != record_index {
        Fact::Repeats { earlier_index: first_index, same: row.get(3) }
    } else {
        match (revoke, stored, revoked_in) {
            (true, None, _) => Fact::RevokesNothing,
            (true, Some(_), Some(packet_no)) => Fact::RevokedAlready { packet_no },
            (true, Some(packet_id), None) => Fact::Revokes(Box::new(original(row, packet_id))),
            (false, _, revoked_in) => Fact::Stored {
                packet_no: row.get::<_, Option<String>>(5).unwrap_or_default(),
                same: row.get(6),
                revoked: revoked_in.is_some(),
                line: (stored.unwrap_or_default(), row.get::<_, Option<i32>>(8).unwrap_or_default()),
            },
        }
    };
    Finding { record_index, fact }
}

fn original(row: &tokio_postgres::Row, packet_id: i64) -> Original {
    let fen = |at: usize| Fen(row.get::<_, Option<i64>>(at).unwrap_or_default());
    let paid = Paid {
        employer: fen(11),
        employees: fen(12),
        late_fee: fen(13),
        interest: fen(14),
        other_interest: fen(15),
        medical: fen(16),
        long_term_care: fen(17),
    };
    Original {
        packet_id,
        record_index: row.get(8),
        district: row.get(9),
        contribution_month: Month::from_number(row.get(10)).expect("only months are stored"),
        paid,
        employer_paid: paid.employer,
        rate_id: row.get::<_, Option<String>>(18).unwrap_or_default(),
        treasury_on: row.get(19),
    }
}
