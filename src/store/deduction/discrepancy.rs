//! Answers of the core that do not fit what was asked, and the person who looked at each.
//!
//! Changes nothing but the note that somebody looked.

use jiff::Timestamp;

use super::super::{Store, fault};
use crate::error::Fault;
use crate::model::{Fen, Month};

/// An answer that was not posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    pub discrepancy_id: i64,
    pub cycle_id: Option<i64>,
    pub batch_no: Option<i32>,
    pub person_no: Option<String>,
    pub kind: String,
    pub asked: Option<Fen>,
    pub told: Option<Fen>,
    /// What the core said, safe to show.
    pub text: String,
    pub sender: String,
    pub found_at: Timestamp,
    pub resolved_by: Option<String>,
    pub note: Option<String>,
}

/// # Errors
/// All of these: the database refuses or cannot be reached.
impl Store {
    /// Discrepancies of an area and month and those of no known cycle, oldest first; looked at already only when asked for.
    pub async fn discrepancies(
        &self,
        area: i32,
        month: Month,
        all: bool,
    ) -> Result<Vec<Discrepancy>, Fault> {
        let sql = "SELECT x.discrepancy_id, x.cycle_id, x.batch_no, x.person_no, x.kind, x.asked_fen, x.told_fen, x.told, x.sender, x.found_at,
                x.resolved_by, x.note
            FROM deduction_discrepancy x LEFT JOIN deduction_cycle c USING (cycle_id)
            WHERE (c.cycle_id IS NULL OR c.pooling_area = $1 AND c.month = $2) AND ($3 OR x.resolved_at IS NULL) ORDER BY x.discrepancy_id";
        let client = self.client().await?;
        let rows = client.query(sql, &[&area, &month.number(), &all]).await?;
        let one = |row: &tokio_postgres::Row| Discrepancy {
            discrepancy_id: row.get(0),
            cycle_id: row.get(1),
            batch_no: row.get(2),
            person_no: row.get(3),
            kind: row.get(4),
            asked: row.get::<_, Option<i64>>(5).map(Fen),
            told: row.get::<_, Option<i64>>(6).map(Fen),
            text: row.get(7),
            sender: row.get(8),
            found_at: row.get(9),
            resolved_by: row.get(10),
            note: row.get(11),
        };
        Ok(rows.iter().map(one).collect())
    }

    /// How many nobody has looked at, of one cycle.
    pub async fn open_discrepancies(&self, cycle_id: i64) -> Result<i64, Fault> {
        let client = self.client().await?;
        let sql = "SELECT count(*) FROM deduction_discrepancy WHERE cycle_id = $1 AND resolved_at IS NULL";
        client
            .query_one(sql, &[&cycle_id])
            .await
            .map(|row| row.get(0))
            .map_err(|error| fault(&error))
    }

    /// Somebody has looked at one.
    pub async fn resolve_discrepancy(
        &self,
        id: i64,
        by: &str,
        note: &str,
    ) -> Result<ResolutionOutcome, Fault> {
        let client = self.client().await?;
        let sql =
            "UPDATE deduction_discrepancy SET resolved_at = now(), resolved_by = $2, note = $3
            WHERE discrepancy_id = $1 AND resolved_at IS NULL";
        if client.execute(sql, &[&id, &by, &note]).await? > 0 {
            return Ok(ResolutionOutcome::Now);
        }
        let sql = "SELECT resolved_by FROM deduction_discrepancy WHERE discrepancy_id = $1";
        let row = client.query_opt(sql, &[&id]).await?;
        Ok(row.map_or(ResolutionOutcome::Unknown, |row| {
            ResolutionOutcome::Before(row.get::<_, Option<String>>(0).unwrap_or_default())
        }))
    }
}

/// What became of a note that somebody looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolutionOutcome {
    Now,
    /// By that person.
    Before(String),
    /// There is none of that id.
    Unknown,
}
