//! Registry entries, queued for whom they concern in the transaction that changed them, and read
//! again when they are sent.
//!
//! Which entries concern a destination is given as data (kind and lists of words); nothing here
//! knows a destination. One statement a destination, however many entries changed.

use futures_util::future::BoxFuture;
use jiff::civil::Date;

use super::{connection, fault};
use crate::error::Fault;
use crate::store::registry::{ChangeQueue, ChangeRange};
use crate::store::{Pool, Session};

/// Which entries go to a destination, and as which message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Partner name.
    pub destination: String,
    /// The adapter's outbound message.
    pub message: String,
    /// `institution` or `caregiver`.
    pub kind: String,
    /// Every one must hold.
    pub only: Vec<Only>,
    /// The cities of its pooling areas (`model::division::cities`); of others it hears nothing. None: of all.
    pub cities: Vec<i32>,
}

/// A field whose value must be one of these words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// A key of the canonical record, or `institution.kind` of a caregiver: that of the institution
    /// he or she belongs to, as long as it is registered and has not ended.
    pub field: String,
    pub words: Vec<String>,
}

impl Route {
    /// The condition under which the change `c` concerns the destination. Words and names come from
    /// adapters, which are checked; they are quoted all the same.
    pub(super) fn condition(&self) -> String {
        let conditions = self.only.iter().map(|only| {
            let words: Vec<String> = only.words.iter().map(|word| quoted(word)).collect();
            let value = match only.field.split_once('.') {
                // Null once it has ended, so that it takes its caregivers with it.
                Some(("institution", "kind")) => "c.institution_kind".to_owned(),
                _ => format!("c.content->>{}", quoted(&only.field)),
            };
            format!("coalesce({value} IN ({}), false)", words.join(", "))
        });
        let cities: Vec<String> = self.cities.iter().map(i32::to_string).collect();
        // Where it lies, of a caregiver the institution: people of a deleted one are still of the place it was in.
        let place = (!cities.is_empty())
            .then(|| format!("coalesce(c.city IN ({}), false)", cities.join(", ")));
        std::iter::once("c.content IS NOT NULL".to_owned())
            .chain(conditions)
            .chain(place)
            .collect::<Vec<_>>()
            .join(" AND ")
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Queues the changes with these numbers for one destination, in the caller's transaction; returns
/// how many.
///
/// A newer change takes the place of one that is still `ready` or `dead`, with its priority. Of an
/// entry that ended, or no longer concerns the destination, it is told only if it was told of it.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn queue_entities(
    client: &Session,
    route: &Route,
    written: ChangeRange,
) -> Result<u64, Fault> {
    // What this statement saw `ready` and could not supersede was taken up in the same instant: it is on its way.
    // `+ 0`: found by the entry's own index and sorted, never by walking the log back from its end. OFFSET 0: what an
    // entry has waiting is looked up by its key; joined, for want of statistics every delivery is held against every change.
    let sql = format!(
        "WITH changed AS (
            SELECT c.sequence, c.kind, c.entity_id, c.version, c.status, c.designated, {} AS concerns
            FROM registry_change c WHERE c.sequence BETWEEN $1 AND $2 AND c.kind = $3),
        superseded AS (
            UPDATE delivery d SET state = 'superseded', settled_at = now() FROM changed CROSS JOIN LATERAL (
                SELECT w.delivery_id FROM delivery w
                WHERE w.subject_id = changed.entity_id AND w.subject_kind = changed.kind AND w.destination = $4 OFFSET 0) w
            WHERE d.delivery_id = w.delivery_id AND d.state IN ('ready', 'dead')
            RETURNING d.delivery_id, d.subject_id, d.priority)
        INSERT INTO delivery (destination, message, ordering_key, subject_kind, subject_id, version, part, part_end, removal, lines, fen, priority)
        SELECT $4, $5, c.kind || '/' || c.entity_id, c.kind, c.entity_id, c.version, c.sequence, c.sequence, NOT c.concerns, 1, 0,
            least(s.priority, CASE
                WHEN NOT c.concerns OR (before.designated AND NOT c.designated) THEN 10
                WHEN c.status IN ('ended', 'suspended', 'suspended_new_clients', 'settlement_suspended', 'left') AND c.status IS DISTINCT FROM before.status THEN 10
                ELSE 20 END)
        FROM changed c
        LEFT JOIN (SELECT subject_id, min(priority) AS priority FROM superseded GROUP BY 1) s ON s.subject_id = c.entity_id
        LEFT JOIN LATERAL (
            SELECT b.status, b.designated FROM registry_change b
            WHERE b.kind = c.kind AND b.entity_id = c.entity_id AND b.sequence < c.sequence ORDER BY b.sequence + 0 DESC LIMIT 1) before ON true
        WHERE c.concerns OR (
            SELECT NOT d.removal FROM delivery d
            WHERE d.subject_id = c.entity_id AND d.subject_kind = c.kind AND d.destination = $4 AND (d.attempt_no > 0 OR d.state = 'leased'
                OR d.state = 'ready' AND d.delivery_id NOT IN (SELECT delivery_id FROM superseded))
            ORDER BY d.part DESC LIMIT 1)
        ORDER BY c.sequence",
        route.condition()
    );
    let failed = |error: tokio_postgres::Error| fault("queue registry entries", &error);
    let statement = client.prepare(&sql).await.map_err(failed)?;
    client
        .execute(
            &statement,
            &[
                &written.first,
                &written.last,
                &route.kind,
                &route.destination,
                &route.message,
            ],
        )
        .await
        .map_err(failed)
}

/// Queues every change for everyone it concerns, in the transaction that makes it.
#[derive(Debug, Clone, Default)]
pub struct EntityQueue {
    pub routes: Vec<Route>,
}

impl ChangeQueue for EntityQueue {
    fn queue<'a>(
        &'a self,
        client: &'a Session,
        written: ChangeRange,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            for route in &self.routes {
                queue_entities(client, route, written).await?;
            }
            Ok(())
        })
    }
}

/// A change of a registry entry, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedEntity {
    /// `registry_change.sequence`.
    pub revision: i64,
    pub kind: String,
    pub id: String,
    pub version: i64,
    /// The canonical record as JSON without its personal part; absent when the entry ended.
    pub content: Option<String>,
    /// The personal part, sealed.
    pub sealed: Option<Vec<u8>>,
    pub status: Option<String>,
    pub designated: bool,
    /// Why the entry ended.
    pub reason: Option<String>,
    /// The day of which status and designated speak.
    pub effective_on: Date,
    /// As of `registry_change.institution_kind`.
    pub institution_kind: Option<String>,
}

/// The changes of these numbers, in no order.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn changed_entities(pool: &Pool, revisions: &[i64]) -> Result<Vec<ChangedEntity>, Fault> {
    const SQL: &str = "SELECT sequence, kind, entity_id, version, content::text, sealed, status, designated, reason, effective_on, institution_kind
        FROM registry_change WHERE sequence = ANY($1)";
    let failed = |error: tokio_postgres::Error| fault("read registry entries", &error);
    let client = connection(pool).await?;
    let statement = client.prepare_cached(SQL).await.map_err(failed)?;
    let rows = client
        .query(&statement, &[&revisions])
        .await
        .map_err(failed)?;
    let changed = rows.iter().map(|row| ChangedEntity {
        revision: row.get(0),
        kind: row.get(1),
        id: row.get(2),
        version: row.get(3),
        content: row.get(4),
        sealed: row.get(5),
        status: row.get(6),
        designated: row.get(7),
        reason: row.get(8),
        effective_on: row.get(9),
        institution_kind: row.get(10),
    });
    Ok(changed.collect())
}
