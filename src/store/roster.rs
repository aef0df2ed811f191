//! Rosters: one transaction from staged people to entries, people who left, and the saved reply.
//!
//! People are copied to a temporary table first, so that one statement can find who stands twice
//! and another who is no longer named. What may stand in a roster is decided before.

use jiff::civil::Date;

use super::Store;
use super::collect::{PacketTransaction, PostError};
use super::copy::{Copy, RowWriter};
use super::table::TableColumns;
use crate::error::Fault;
use crate::model::deduction::Category;
use crate::model::{Fen, Month};

const STAGED: TableColumns = TableColumns {
    name: "staged_person",
    columns: &[
        "record_index int, person_no text, from_month int, category insured_category, account boolean, employer_no text, district int, \
        base_fen bigint, born_on date, sealed bytea, account_credit_fen bigint, yearly boolean",
    ],
};

const STAGE: &str = "CREATE TEMPORARY TABLE staged_person (record_index int NOT NULL, person_no text COLLATE \"C\" NOT NULL, from_month int,
    category insured_category, account boolean, employer_no text, district int, base_fen bigint, born_on date, sealed bytea,
    account_credit_fen bigint, yearly boolean) ON COMMIT DROP;
    SET LOCAL work_mem = '64MB'";

/// Whoever was insured in the month and is not named; before the roster's own entries are there.
const LEAVE: &str = "INSERT INTO roster_entry (pooling_area, person_no, from_month, roster_id, account, district)
    SELECT $1, e.person_no, $2, $3, false, e.district
    FROM (SELECT DISTINCT ON (person_no) person_no, category, district FROM roster_entry
        WHERE pooling_area = $1 AND from_month <= $2 ORDER BY person_no DESC, from_month DESC, roster_id DESC) e
    WHERE e.category IS NOT NULL AND NOT EXISTS (SELECT FROM staged_person s WHERE s.person_no = e.person_no)";

/// A line of each person, in order of the key; of people with several insurance relations `relation` decides.
const TAKE: &str =
    "INSERT INTO roster_entry (pooling_area, person_no, from_month, roster_id, category, account, employer_no, district, base_fen, born_on, sealed,
        account_credit_fen, yearly)
    SELECT DISTINCT ON (person_no) $1::int, person_no, from_month, $2::bigint, category, account, employer_no, district, base_fen, born_on, sealed,
        account_credit_fen, yearly
    FROM staged_person WHERE category IS NOT NULL ORDER BY person_no, record_index";

/// Months of an area whose deductions run or have run.
const RAN: &str = "SELECT month FROM deduction_cycle WHERE pooling_area = $1 AND state IN ('running', 'settled') ORDER BY month";

/// Lines taken that hold from `$1` or earlier, with how many there are.
const FROM_BEFORE: &str = "SELECT record_index, from_month, count(*) OVER () FROM (
        SELECT DISTINCT ON (person_no) record_index, from_month FROM staged_person WHERE category IS NOT NULL ORDER BY person_no, record_index) s
    WHERE from_month <= $1 ORDER BY record_index LIMIT $2";

/// A person as a roster's line states it.
#[derive(Debug, Clone, Copy)]
pub struct StagedPerson<'a> {
    /// Position in the roster, from 1.
    pub record_index: i32,
    pub person_no: &'a str,
    pub from_month: Month,
    pub category: Category,
    pub account: bool,
    pub employer_no: Option<&'a str>,
    pub district: i32,
    pub base: Fen,
    pub born_on: Option<Date>,
    pub sealed: &'a [u8],
    pub account_credit_base: Option<Fen>,
    /// Has chosen to pay once a year.
    pub yearly: bool,
}

/// Adds a person to a buffer.
pub fn staged_row(buffer: &mut Vec<u8>, person: &StagedPerson<'_>) {
    let mut row = RowWriter::new(buffer);
    row.int(person.record_index);
    row.text(person.person_no);
    row.month(person.from_month);
    row.text(person.category.word());
    row.bool(person.account);
    row.text_or_null(person.employer_no);
    row.int(person.district);
    row.fen(person.base);
    row.date_or_null(person.born_on);
    row.bytes(person.sealed);
    row.fen_or_null(person.account_credit_base);
    row.bool(person.yearly);
}

/// Adds a person whose line is refused: named, so has not left, and not taken.
pub fn named_row(buffer: &mut Vec<u8>, record_index: i32, person_no: &str) {
    let mut row = RowWriter::new(buffer);
    row.int(record_index);
    row.text(person_no);
    for _ in 2..STAGED.width() {
        row.null();
    }
}

/// A roster's own row, but for what is counted when it is stored.
#[derive(Debug, Clone, Copy)]
pub struct RosterRow<'a> {
    pub roster_id: i64,
    pub sender: &'a str,
    pub roster_no: &'a str,
    pub pooling_area: i32,
    /// `full` or `changes`.
    pub kind: &'a str,
    pub month: Month,
    /// SHA-256 of the body, decompressed.
    pub digest: [u8; 32],
    pub received_at: jiff::Timestamp,
}

/// What became of a roster's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RosterCounts {
    pub received: i32,
    pub taken: i32,
    pub refused: i32,
    /// People a full roster no longer names.
    pub left: i32,
    /// Lines taken that hold from a month already deducted.
    pub deducted: i32,
    /// People of whom nobody has decided which insurance relation counts.
    pub undecided: i32,
}

/// A roster that is stored, with what its sender was told.
#[derive(Debug)]
pub struct StoredRoster {
    pub digest: Vec<u8>,
    /// Digest of what its lines say; nothing of old ones.
    pub content: Option<Vec<u8>>,
    pub pooling_area: i32,
    pub kind: String,
    pub month: i32,
    pub reply: Vec<u8>,
}

/// Rosters of one pooling area are stored one after the other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7211, $1)";

impl PacketTransaction {
    /// Makes the temporary table.
    pub async fn stage_roster(&self) -> Result<(), PostError> {
        Ok(self.client().batch_execute(STAGE).await?)
    }

    /// Starts copying people into it.
    pub async fn copy_people(&self) -> Result<Copy, PostError> {
        Ok(Copy::start(self.client(), &STAGED.copy_statement(STAGED.name)).await?)
    }

    /// Waits for other rosters of the area, and until the end of this transaction keeps them waiting.
    pub async fn lock_area(&self, pooling_area: i32) -> Result<(), PostError> {
        self.client().execute(LOCK, &[&pooling_area]).await?;
        Ok(())
    }

    /// Ends whoever was insured in the month and is not staged; returns how many.
    pub async fn end_unnamed(&self, roster: &RosterRow<'_>) -> Result<i32, PostError> {
        let ended = self
            .client()
            .execute(
                LEAVE,
                &[
                    &roster.pooling_area,
                    &roster.month.number(),
                    &roster.roster_id,
                ],
            )
            .await?;
        Ok(clamp(ended))
    }

    /// Enters everybody staged, by one line of each; returns how many.
    pub async fn enter_people(&self, roster: &RosterRow<'_>) -> Result<i32, PostError> {
        Ok(clamp(
            self.client()
                .execute(TAKE, &[&roster.pooling_area, &roster.roster_id])
                .await?,
        ))
    }

    /// Months of the area whose deductions run or have run, in order.
    pub async fn months_deducted(&self, pooling_area: i32) -> Result<Vec<Month>, PostError> {
        let rows = self.client().query(RAN, &[&pooling_area]).await?;
        Ok(rows
            .iter()
            .filter_map(|row| Month::from_number(row.get(0)))
            .collect())
    }

    /// Lines taken that hold from the month or an earlier one: each with its own month, and how many there are in all.
    pub async fn people_from(
        &self,
        latest: Month,
        limit: usize,
    ) -> Result<(Vec<(i32, Month)>, i32), PostError> {
        let rows = self
            .client()
            .query(
                FROM_BEFORE,
                &[&latest.number(), &i64::try_from(limit).unwrap_or(i64::MAX)],
            )
            .await?;
        let line = |row: &tokio_postgres::Row| Some((row.get(0), Month::from_number(row.get(1))?));
        let count = rows
            .first()
            .map_or(0, |row| row.get::<_, i64>(2).unsigned_abs());
        Ok((rows.iter().filter_map(line).collect(), clamp(count)))
    }

    /// Writes the roster's row with the reply its sender gets.
    ///
    /// # Errors
    /// [`PostError::NumberTaken`] when the sender has used the number.
    pub async fn write_roster(
        &self,
        roster: &RosterRow<'_>,
        counts: RosterCounts,
        (content, reply): (&[u8], &[u8]),
    ) -> Result<(), PostError> {
        let sql = "INSERT INTO roster (roster_id, sender, roster_no, pooling_area, kind, month, digest, received_at,
                lines_received, lines_taken, lines_refused, left_people, reply, content_digest)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        let RosterRow {
            roster_id,
            sender,
            roster_no,
            pooling_area,
            kind,
            ..
        } = roster;
        let (month, digest, received_at) = (
            roster.month.number(),
            roster.digest.as_slice(),
            roster.received_at,
        );
        let RosterCounts {
            received,
            taken,
            refused,
            left,
            ..
        } = counts;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 14] = [
            roster_id,
            sender,
            roster_no,
            pooling_area,
            kind,
            &month,
            &digest,
            &received_at,
            &received,
            &taken,
            &refused,
            &left,
            &reply,
            &content,
        ];
        self.client().execute(sql, &values).await?;
        Ok(())
    }
}

impl Store {
    /// The roster of that number.
    pub async fn find_roster(
        &self,
        sender: &str,
        roster_no: &str,
    ) -> Result<Option<StoredRoster>, Fault> {
        let client = self.client().await?;
        let sql = "SELECT digest, content_digest, pooling_area, kind, month, reply FROM roster WHERE sender = $1 AND roster_no = $2";
        let statement = client.prepare_cached(sql).await?;
        let row = client.query_opt(&statement, &[&sender, &roster_no]).await?;
        Ok(row.map(|row| StoredRoster {
            digest: row.get(0),
            content: row.get(1),
            pooling_area: row.get(2),
            kind: row.get(3),
            month: row.get(4),
            reply: row.get(5),
        }))
    }
}

/// A count of rows: a roster has at most as many lines as an `int` can count.
fn clamp(rows: u64) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
