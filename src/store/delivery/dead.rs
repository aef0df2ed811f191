//! Dead letters, and what a person decides about them.

use super::{COLUMNS, Delivery, connection, fault};
use crate::error::Fault;
use crate::store::Pool;

/// An explicit refusal makes room for a new reference; an unknown outcome is asked about under the old one.
const RETRY: &str =
    "UPDATE delivery SET attempts = 0, due_at = now(), tried_at = NULL, settled_at = NULL,
        state = CASE WHEN outcome = 'unknown' THEN 'in_doubt' ELSE 'ready' END,
        reference = CASE WHEN outcome = 'unknown' THEN reference END
    WHERE state = 'dead'";

/// What a person decides about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again: one of unknown outcome is asked about first, any other is sent under a new reference.
    Retry,
    /// The partner does not have it: send it again, under the same reference.
    SendAgain,
    /// The partner has confirmed that it has it.
    Delivered,
}

/// A delivery that needs a person, and how its troubles began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub delivery: Delivery,
    /// What the first request that went wrong met with since it was queued or last retried; what
    /// never left only where nothing else is known. `None`: no request was made.
    pub first: Option<String>,
    /// The sender's number of the packet it tells of.
    pub packet_no: Option<String>,
}

/// Up to `limit` dead letters, oldest first, of one destination or of all.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn dead_letters(
    pool: &Pool,
    destination: Option<&str>,
    limit: i64,
) -> Result<Vec<Letter>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS}, (SELECT a.answer FROM attempt a
             WHERE a.delivery_id = d.delivery_id AND a.ended_at IS NOT NULL AND a.outcome NOT IN ('accepted', 'duplicate')
               AND a.started_at >= coalesce(d.tried_at, d.created_at)
             ORDER BY a.outcome IN ('not_sent', 'not_reached'), a.attempt_no LIMIT 1),
             (SELECT p.packet_no FROM packet p WHERE p.packet_id = CASE d.subject_kind WHEN 'records' THEN d.subject_id::bigint END)
         FROM delivery d WHERE d.state = 'dead' AND d.destination = coalesce($1, d.destination)
         ORDER BY d.delivery_id LIMIT $2"
    );
    let client = connection(pool).await?;
    let rows = client
        .query(&sql, &[&destination, &limit])
        .await
        .map_err(|error| fault("list dead letters", &error))?;
    Ok(rows
        .iter()
        .map(|row| Letter {
            delivery: Delivery::from_row(row),
            first: row.get(row.len() - 2),
            packet_no: row.get(row.len() - 1),
        })
        .collect())
}

/// Retries every dead letter of one destination or of all, each as [`Decision::Retry`] does; returns how many.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn retry_all(pool: &Pool, destination: Option<&str>) -> Result<u64, Fault> {
    let sql = format!("{RETRY} AND destination = coalesce($1, destination)");
    let client = connection(pool).await?;
    client
        .execute(&sql, &[&destination])
        .await
        .map_err(|error| fault("retry dead letters", &error))
}

/// Carries a decision out; `false` when there is no dead letter of that id (any more).
///
/// Only one whose outcome is unknown can be declared delivered; of any other the partner has said
/// explicitly that it did not take it, or it was never sent.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn decide(pool: &Pool, delivery_id: i64, decision: Decision) -> Result<bool, Fault> {
    const SEND_AGAIN: &str = "UPDATE delivery SET attempts = 0, due_at = now(), tried_at = NULL, settled_at = NULL, state = 'ready'
        WHERE delivery_id = $1 AND state = 'dead' AND outcome = 'unknown'";
    const DELIVERED: &str = "UPDATE delivery SET state = 'delivered', settled_at = now(), outcome = 'accepted', answer = 'confirmed by a person'
        WHERE delivery_id = $1 AND state = 'dead' AND outcome = 'unknown'";
    let sql = match decision {
        Decision::Retry => format!("{RETRY} AND delivery_id = $1"),
        Decision::SendAgain => SEND_AGAIN.to_owned(),
        Decision::Delivered => DELIVERED.to_owned(),
    };
    let client = connection(pool).await?;
    let changed = client
        .execute(&sql, &[&delivery_id])
        .await
        .map_err(|error| fault("decide about a dead letter", &error))?;
    Ok(changed == 1)
}
