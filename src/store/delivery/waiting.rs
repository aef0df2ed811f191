//! What waits for destinations, by message, for people. Reads only.

use jiff::civil::Date;

use super::{connection, fault};
use crate::error::Fault;
use crate::model::Fen;
use crate::store::Pool;

/// Deliveries of one message that wait for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub destination: String,
    pub message: String,
    /// Registry entries, of which a request can carry many.
    pub entities: bool,
    /// Not sent yet.
    pub ready: i64,
    /// Of these: behind a dead letter of the same key, so that they wait for a person.
    pub behind_dead: i64,
    /// Being sent.
    pub leased: i64,
    /// Sent, and asked about.
    pub in_doubt: i64,
    pub lines: i64,
    pub fen: Fen,
    pub oldest_at: jiff::Timestamp,
}

impl Waiting {
    /// Requests it takes, of which each carries so many registry entries at most; an inquiry for each in doubt.
    pub fn requests(&self, records_max: u32) -> u64 {
        let sent = (self.ready - self.behind_dead + self.leased)
            .max(0)
            .unsigned_abs();
        let each = if self.entities {
            u64::from(records_max.max(1))
        } else {
            1
        };
        sent.div_ceil(each) + self.in_doubt.max(0).unsigned_abs()
    }
}

/// What waits, for one destination or all, by destination and message; reads only the partial indexes of open rows.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn waiting(pool: &Pool, destination: Option<&str>) -> Result<Vec<Waiting>, Fault> {
    // Only what takes something back waits behind a dead letter.
    const SQL: &str = "SELECT destination, message, entities, sum(ready)::bigint, sum(behind)::bigint, sum(leased)::bigint, sum(in_doubt)::bigint,
            sum(lines)::bigint, sum(fen)::bigint, min(oldest)
        FROM (SELECT w.destination, w.message, w.subject_kind IN ('institution', 'caregiver') AS entities, count(*) AS ready,
                  count(*) FILTER (WHERE w.reversal AND (
                      SELECT 1 FROM delivery e WHERE e.destination = w.destination AND e.ordering_key = w.ordering_key AND e.state = 'dead' LIMIT 1) IS NOT NULL) AS behind,
                  0 AS leased, 0 AS in_doubt, sum(w.lines) AS lines, sum(w.fen) AS fen, min(w.created_at) AS oldest
              FROM delivery w WHERE w.state = 'ready' AND w.destination = coalesce($1, w.destination) GROUP BY 1, 2, 3
              UNION ALL
              SELECT destination, message, subject_kind IN ('institution', 'caregiver'), 0, 0, count(*) FILTER (WHERE state = 'leased'),
                  count(*) FILTER (WHERE state = 'in_doubt'), sum(lines), sum(fen), min(created_at)
              FROM delivery WHERE state IN ('leased', 'in_doubt') AND destination = coalesce($1, destination) GROUP BY 1, 2, 3) open
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let client = connection(pool).await?;
    let rows = client
        .query(SQL, &[&destination])
        .await
        .map_err(|error| fault("count what waits", &error))?;
    let waiting = |row: &tokio_postgres::Row| Waiting {
        destination: row.get(0),
        message: row.get(1),
        entities: row.get(2),
        ready: row.get(3),
        behind_dead: row.get(4),
        leased: row.get(5),
        in_doubt: row.get(6),
        lines: row.get(7),
        fen: Fen(row.get(8)),
        oldest_at: row.get(9),
    };
    Ok(rows.iter().map(waiting).collect())
}

/// Requests of a day to a destination that were sent or reserved.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn spent(pool: &Pool, destination: &str, day: Date) -> Result<u32, Fault> {
    let client = connection(pool).await?;
    let sql = "SELECT reserved FROM destination_day WHERE destination = $1 AND day = $2";
    let row = client
        .query_opt(sql, &[&destination, &day])
        .await
        .map_err(|error| fault("read what of a day is spent", &error))?;
    Ok(row.map_or(0, |row| row.get::<_, i32>(0).unsigned_abs()))
}
