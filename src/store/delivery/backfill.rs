//! The whole registry queued for one destination, bit by bit, at the lowest priority.
//!
//! A row remembers how far it has come, so it goes on where it was interrupted, from any instance.
//! What the destination was told or is about to be told already is not queued again.

use jiff::Timestamp;
use jiff::civil::Date;

use super::{Route, connection, fault};
use crate::error::Fault;
use crate::store::Pool;
use crate::store::tx::Tx;

/// How far a backfill has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    pub destination: String,
    /// Only entries changed since then.
    pub since: Option<Date>,
    pub started_at: Timestamp,
    /// Entries looked at.
    pub looked_at: i64,
    /// Deliveries queued.
    pub queued: i64,
    /// Everything is queued since then.
    /// Also what the destination took at its present version.
    pub again: bool,
    pub finished_at: Option<Timestamp>,
}

/// What of a backfill's deliveries has gone out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackfillProgress {
    /// Not settled yet.
    pub waiting: i64,
    /// Dead letters among what was queued since it started.
    pub dead: i64,
}

const COLUMNS: &str = "destination, since, started_at, looked_at, queued, finished_at, again";

/// Which entries a backfill tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackfillScope {
    /// Only those changed since the begin of that day in China.
    pub since: Option<Date>,
    /// Also those the destination took at their present version: it may have lost them.
    pub again: bool,
}

impl Backfill {
    fn from_row(row: &tokio_postgres::Row) -> Backfill {
        Backfill {
            destination: row.get(0),
            since: row.get(1),
            started_at: row.get(2),
            looked_at: row.get(3),
            queued: row.get(4),
            finished_at: row.get(5),
            again: row.get(6),
        }
    }

    /// Starts one, or goes on with one that is not finished; then the scope is that of the start.
    ///
    /// # Errors
    /// This and the others: faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn start(
        pool: &Pool,
        destination: &str,
        BackfillScope { since, again }: BackfillScope,
    ) -> Result<Backfill, Fault> {
        let sql = format!(
            "INSERT INTO backfill AS b (destination, since, again) VALUES ($1, $2, $3)
             ON CONFLICT (destination) DO UPDATE SET
                since = CASE WHEN b.finished_at IS NULL THEN b.since ELSE excluded.since END,
                again = CASE WHEN b.finished_at IS NULL THEN b.again ELSE excluded.again END,
                started_at = CASE WHEN b.finished_at IS NULL THEN b.started_at ELSE now() END,
                after_kind = CASE WHEN b.finished_at IS NULL THEN b.after_kind ELSE '' END,
                after_id = CASE WHEN b.finished_at IS NULL THEN b.after_id ELSE '' END,
                looked_at = CASE WHEN b.finished_at IS NULL THEN b.looked_at ELSE 0 END,
                queued = CASE WHEN b.finished_at IS NULL THEN b.queued ELSE 0 END,
                finished_at = NULL
             RETURNING {COLUMNS}"
        );
        let client = connection(pool).await?;
        let row = client
            .query_one(&sql, &[&destination, &since, &again])
            .await
            .map_err(|error| fault("start a backfill", &error))?;
        Ok(Backfill::from_row(&row))
    }

    /// Looks at the next `limit` entries and queues those that concern the destination; `finished_at`
    /// tells when there are no more.
    ///
    /// # Errors
    /// As `start`; then this step was not made.
    pub async fn step(
        pool: &Pool,
        destination: &str,
        routes: &[Route],
        limit: i64,
    ) -> Result<Backfill, Fault> {
        let failed = |error: tokio_postgres::Error| fault("queue a backfill", &error);
        let tx = Tx::begin(connection(pool).await?).await.map_err(failed)?;
        // Nobody changes the registry meanwhile, so no entry is queued behind a newer change of its own.
        tx.execute("SELECT 1 FROM registry_head FOR UPDATE", &[])
            .await
            .map_err(failed)?;
        let row = tx.query_one("SELECT after_kind, after_id, since, again FROM backfill WHERE destination = $1 FOR UPDATE", &[&destination]).await.map_err(failed)?;
        let (after_kind, after_id, since, again): (String, String, Option<Date>, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let page = "SELECT kind, entity_id FROM registry_entity WHERE (kind, entity_id) > ($1, $2) ORDER BY kind, entity_id LIMIT $3";
        let entries = tx
            .query(page, &[&after_kind, &after_id, &limit])
            .await
            .map_err(failed)?;
        let mut queued = 0;
        if let Some(last) = entries.last() {
            let (last_kind, last_id): (String, String) = (last.get(0), last.get(1));
            for route in routes
                .iter()
                .filter(|route| route.destination == destination)
            {
                let sql = insert(route, again);
                let after = [
                    &after_kind as &(dyn tokio_postgres::types::ToSql + Sync),
                    &after_id,
                    &last_kind,
                    &last_id,
                ];
                let rest: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&route.kind, &route.destination, &route.message, &since];
                queued += tx
                    .execute(&sql, &[after.as_slice(), rest.as_slice()].concat())
                    .await
                    .map_err(failed)?;
            }
            let moved = "UPDATE backfill SET after_kind = $2, after_id = $3, looked_at = looked_at + $4, queued = queued + $5 WHERE destination = $1";
            let looked_at = i64::try_from(entries.len()).unwrap_or(i64::MAX);
            tx.execute(
                moved,
                &[
                    &destination,
                    &last_kind,
                    &last_id,
                    &looked_at,
                    &queued.cast_signed(),
                ],
            )
            .await
            .map_err(failed)?;
        } else {
            tx.execute(
                "UPDATE backfill SET finished_at = now() WHERE destination = $1",
                &[&destination],
            )
            .await
            .map_err(failed)?;
        }
        let row = tx
            .query_one(
                &format!("SELECT {COLUMNS} FROM backfill WHERE destination = $1"),
                &[&destination],
            )
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Backfill::from_row(&row))
    }

    /// Entries there are to look at in all.
    ///
    /// # Errors
    /// As `start`.
    pub async fn entries(pool: &Pool) -> Result<i64, Fault> {
        let client = connection(pool).await?;
        let row = client
            .query_one("SELECT count(*) FROM registry_entity", &[])
            .await
            .map_err(|error| fault("count registry entries", &error))?;
        Ok(row.get(0))
    }

    /// What of its deliveries has gone out.
    ///
    /// # Errors
    /// As `start`.
    pub async fn progress(&self, pool: &Pool) -> Result<BackfillProgress, Fault> {
        const SQL: &str = "SELECT (SELECT count(*) FROM delivery WHERE destination = $1 AND state = 'ready' AND priority = 90)
              + (SELECT count(*) FROM delivery WHERE destination = $1 AND state IN ('leased', 'in_doubt') AND priority = 90),
            (SELECT count(*) FROM delivery WHERE destination = $1 AND state = 'dead' AND priority = 90 AND created_at >= $2)";
        let client = connection(pool).await?;
        let row = client
            .query_one(SQL, &[&self.destination, &self.started_at])
            .await
            .map_err(|error| fault("look at a backfill", &error))?;
        Ok(BackfillProgress {
            waiting: row.get(0),
            dead: row.get(1),
        })
    }
}

fn insert(route: &Route, again: bool) -> String {
    // What waits goes out anyway; what was taken or refused is told only where that is asked for.
    let known = if again {
        "d.state IN ('ready', 'leased', 'in_doubt')"
    } else {
        "d.state <> 'superseded'"
    };
    format!(
        "INSERT INTO delivery (destination, message, ordering_key, subject_kind, subject_id, version, part, part_end, lines, fen, priority)
         SELECT $6, $7, e.kind || '/' || e.entity_id, e.kind, e.entity_id, e.version, e.sequence, e.sequence, 1, 0, 90
         FROM registry_entity e JOIN registry_change c USING (sequence)
         WHERE (e.kind, e.entity_id) > ($1, $2) AND (e.kind, e.entity_id) <= ($3, $4) AND e.kind = $5
           AND ($8::date IS NULL OR c.changed_at >= $8::date AT TIME ZONE 'Asia/Shanghai') AND {condition}
           AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.subject_id = e.entity_id AND d.subject_kind = e.kind AND d.part = e.sequence
                             AND d.destination = $6 AND {known})
         ORDER BY e.entity_id",
        condition = route.condition()
    )
}
