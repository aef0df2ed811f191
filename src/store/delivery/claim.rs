//! Taking rows under a lease: ready ones to send, in-doubt ones to ask about, and those a dispatcher
//! that is gone has left behind.

use std::collections::HashMap;
use std::time::Duration;

use super::{COLUMNS, Delivery, Lease, connection, fault, milliseconds};
use crate::error::Fault;
use crate::store::Pool;

/// Claims up to `limit` ready and due rows, the most urgent and then the oldest first, for `hold`.
///
/// Of rows with one ordering key only the first unsettled one is ever taken, originals before
/// reversals; a dead one blocks only its own key, and of registry entries, which go out whole, not
/// even that. Takes nothing when the lease is lost.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn claim(
    pool: &Pool,
    lease: &Lease,
    limit: usize,
    hold: Duration,
) -> Result<Vec<Delivery>, Fault> {
    take(pool, lease, &claiming(), limit, hold).await
}

/// The statement of [`claim`].
///
/// The look for an earlier row of the same key is a scalar subquery on purpose: PostgreSQL would make
/// a join of `NOT EXISTS`, and where the table was empty when last analysed, join every row with all
/// open ones of the destination.
pub(super) fn claiming() -> String {
    format!(
        "WITH next AS (
            SELECT w.delivery_id FROM delivery w
            WHERE w.destination = $1 AND w.state = 'ready' AND w.due_at <= now()
              AND EXISTS (SELECT 1 FROM dispatcher_lease l WHERE l.destination = $1 AND l.token = $2 AND l.until > now() AND l.paused_until <= now())
              AND (w.ordering_key IS NULL OR (
                SELECT 1 FROM delivery e
                WHERE e.destination = w.destination AND e.ordering_key = w.ordering_key
                  AND (e.reversal, e.delivery_id) < (w.reversal, w.delivery_id)
                  AND e.state IN ('ready', 'leased', 'in_doubt', 'dead') AND (e.state <> 'dead' OR w.subject_kind NOT IN ('institution', 'caregiver')) LIMIT 1) IS NULL)
            ORDER BY w.priority, w.delivery_id LIMIT $3 FOR UPDATE SKIP LOCKED)
         UPDATE delivery d SET state = 'leased', attempts = d.attempts + 1, lease_token = $2,
                leased_until = now() + $4 * interval '1 millisecond'
         FROM next WHERE d.delivery_id = next.delivery_id RETURNING {COLUMNS}"
    )
}

/// Claims up to `limit` in-doubt rows whose time to ask has come, for `hold`; they stay `in_doubt`.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn claim_in_doubt(
    pool: &Pool,
    lease: &Lease,
    limit: usize,
    hold: Duration,
) -> Result<Vec<Delivery>, Fault> {
    let sql = format!(
        "WITH next AS (
            SELECT w.delivery_id FROM delivery w
            WHERE w.destination = $1 AND w.state = 'in_doubt' AND w.lease_token IS NULL AND w.due_at <= now()
              AND EXISTS (SELECT 1 FROM dispatcher_lease l WHERE l.destination = $1 AND l.token = $2 AND l.until > now() AND l.paused_until <= now())
            ORDER BY w.due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         UPDATE delivery d SET attempts = d.attempts + 1, lease_token = $2, leased_until = now() + $4 * interval '1 millisecond'
         FROM next WHERE d.delivery_id = next.delivery_id RETURNING {COLUMNS}"
    );
    take(pool, lease, &sql, limit, hold).await
}

async fn take(
    pool: &Pool,
    lease: &Lease,
    sql: &str,
    limit: usize,
    hold: Duration,
) -> Result<Vec<Delivery>, Fault> {
    let client = connection(pool).await?;
    let statement = client
        .prepare_cached(sql)
        .await
        .map_err(|error| fault("claim deliveries", &error))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client
        .query(
            &statement,
            &[
                &lease.destination,
                &lease.token,
                &limit,
                &milliseconds(hold),
            ],
        )
        .await
        .map_err(|error| fault("claim deliveries", &error))?;
    let mut claimed: Vec<Delivery> = rows.iter().map(Delivery::from_row).collect();
    claimed.sort_by_key(|delivery| (delivery.priority, delivery.delivery_id));
    Ok(claimed)
}

/// Takes up what a dispatcher that is gone has left: rows it had not sent become `ready` again at
/// once; sent ones become `in_doubt`, but only when their hold has run out, because until then the
/// request may still be on its way. Returns how many of each.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn recover(pool: &Pool, lease: &Lease) -> Result<(u64, u64), Fault> {
    // One statement: `under_way` is a column of the row itself, so a begin() that commits between
    // this statement's snapshot and its lock is seen when the row is checked again.
    const SQL: &str = "WITH gone AS (
            SELECT delivery_id, state = 'leased' AND NOT under_way AS unsent FROM delivery
            WHERE destination = $1 AND state IN ('leased', 'in_doubt') AND lease_token IS NOT NULL
              AND (leased_until < now() OR (lease_token <> $2 AND (state = 'in_doubt' OR NOT under_way)))
              AND EXISTS (SELECT 1 FROM dispatcher_lease l WHERE l.destination = $1 AND l.token = $2 AND l.until > now())
            FOR UPDATE SKIP LOCKED),
        closed AS (
            UPDATE attempt a SET ended_at = now(), outcome = 'unknown', answer = 'the gateway stopped before the answer was recorded'
            FROM gone WHERE a.delivery_id = gone.delivery_id AND a.ended_at IS NULL),
        moved AS (
            UPDATE delivery d SET state = CASE WHEN unsent THEN 'ready' ELSE 'in_doubt' END, lease_token = NULL, leased_until = NULL,
                under_way = false, due_at = now(),
                outcome = CASE WHEN unsent THEN d.outcome ELSE 'unknown' END,
                answer = CASE WHEN unsent THEN d.answer ELSE 'the gateway stopped before the answer was recorded' END
            FROM gone WHERE d.delivery_id = gone.delivery_id RETURNING unsent)
        SELECT count(*) FILTER (WHERE unsent), count(*) FILTER (WHERE NOT unsent) FROM moved";
    let client = connection(pool).await?;
    let statement = client
        .prepare_cached(SQL)
        .await
        .map_err(|error| fault("take up deliveries", &error))?;
    let row = client
        .query_one(&statement, &[&lease.destination, &lease.token])
        .await
        .map_err(|error| fault("take up deliveries", &error))?;
    let (unsent, doubtful): (i64, i64) = (row.get(0), row.get(1));
    Ok((unsent.unsigned_abs(), doubtful.unsigned_abs()))
}

/// A request about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The deliveries it carries; one for an inquiry.
    pub delivery_ids: &'a [i64],
    /// An inquiry rather than the delivery itself.
    pub inquiry: bool,
    /// Our msgid or idempotency key.
    pub reference: &'a str,
    /// SHA-256 of the adapter folder.
    pub adapter_digest: [u8; 32],
    /// SHA-256 of the body.
    pub request_digest: [u8; 32],
}

/// Commits reference and attempts before anything is sent, and holds the rows for `hold` from now;
/// returns the attempts' numbers in the order of the ids, or `None` when one of the rows is no
/// longer ours: then nothing is begun, and nothing may be sent.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn begin(
    pool: &Pool,
    lease: &Lease,
    start: &Start<'_>,
    hold: Duration,
) -> Result<Option<Vec<i32>>, Fault> {
    const SQL: &str = "WITH ours AS (
            SELECT delivery_id FROM delivery
            WHERE delivery_id = ANY($1) AND destination = $2 AND lease_token = $3 AND NOT under_way FOR UPDATE),
        held AS (
            UPDATE delivery d SET reference = CASE WHEN $5 = 'send' THEN $4 ELSE d.reference END, attempt_no = d.attempt_no + 1, under_way = true,
                tried_at = coalesce(d.tried_at, now()), leased_until = now() + $8 * interval '1 millisecond'
            FROM ours WHERE d.delivery_id = ours.delivery_id AND (SELECT count(*) FROM ours) = cardinality($1)
            RETURNING d.delivery_id, d.attempt_no)
        INSERT INTO attempt (delivery_id, attempt_no, kind, reference, adapter_digest, request_digest)
        SELECT delivery_id, attempt_no, $5, $4, $6, $7 FROM held RETURNING delivery_id, attempt_no";
    let client = connection(pool).await?;
    let statement = client
        .prepare_cached(SQL)
        .await
        .map_err(|error| fault("begin an attempt", &error))?;
    let kind = if start.inquiry { "inquire" } else { "send" };
    let rows = client
        .query(
            &statement,
            &[
                &start.delivery_ids,
                &lease.destination,
                &lease.token,
                &start.reference,
                &kind,
                &start.adapter_digest.as_slice(),
                &start.request_digest.as_slice(),
                &milliseconds(hold),
            ],
        )
        .await
        .map_err(|error| fault("begin an attempt", &error))?;
    let begun: HashMap<i64, i32> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(start
        .delivery_ids
        .iter()
        .map(|id| begun.get(id).copied())
        .collect())
}
