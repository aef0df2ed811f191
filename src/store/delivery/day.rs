//! What of a destination's day is spent: requests reserved in blocks, under the lease, before anything is sent.

use std::time::Duration;

use jiff::civil::Date;

use super::{Lease, connection, fault, milliseconds};
use crate::error::Fault;
use crate::store::Pool;

/// Reserves up to `count` requests of a day of which `per_day` may be sent in all; returns how many
/// were left to reserve. None when the lease is lost.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached; then nothing may be sent.
pub async fn reserve(
    pool: &Pool,
    lease: &Lease,
    (day, per_day): (Date, u32),
    count: u32,
) -> Result<u32, Fault> {
    // The row is locked before it is read, so what is granted is exact; the lease is looked at last.
    const OPEN: &str = "INSERT INTO destination_day (destination, day, reserved) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
    const SQL: &str = "WITH day AS (
            SELECT reserved, greatest(least($5, $4 - reserved), 0) AS granted FROM destination_day WHERE destination = $1 AND day = $2 FOR UPDATE)
        UPDATE destination_day d SET reserved = d.reserved + day.granted FROM day
        WHERE d.destination = $1 AND d.day = $2
          AND EXISTS (SELECT 1 FROM dispatcher_lease l WHERE l.destination = $1 AND l.token = $3 AND l.until > clock_timestamp())
        RETURNING granted";
    let failed = |error: tokio_postgres::Error| fault("reserve requests of a day", &error);
    let client = connection(pool).await?;
    let (per_day, count) = (
        i32::try_from(per_day).unwrap_or(i32::MAX),
        i32::try_from(count).unwrap_or(i32::MAX),
    );
    let open = client.prepare_cached(OPEN).await.map_err(failed)?;
    client
        .execute(&open, &[&lease.destination, &day])
        .await
        .map_err(failed)?;
    let statement = client.prepare_cached(SQL).await.map_err(failed)?;
    let row = client
        .query_opt(
            &statement,
            &[&lease.destination, &day, &lease.token, &per_day, &count],
        )
        .await
        .map_err(failed)?;
    Ok(row.map_or(0, |row| row.get::<_, i32>(0).unsigned_abs()))
}

/// Gives back requests that were reserved and never sent.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached; then they stay unused.
pub async fn unreserve(pool: &Pool, lease: &Lease, day: Date, count: u32) -> Result<(), Fault> {
    const SQL: &str = "UPDATE destination_day SET reserved = reserved - $3 WHERE destination = $1 AND day = $2 AND reserved >= $3";
    let client = connection(pool).await?;
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    client
        .execute(SQL, &[&lease.destination, &day, &count])
        .await
        .map_err(|error| fault("give back requests of a day", &error))?;
    Ok(())
}

/// Requests begun under earlier leases no longer than `within` ago, whose end nobody has heard of and
/// that may still be with the partner: they count towards the requests it takes at once.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn left_under_way(pool: &Pool, lease: &Lease, within: Duration) -> Result<usize, Fault> {
    const SQL: &str = "SELECT count(DISTINCT a.reference) FROM delivery d JOIN attempt a USING (delivery_id, attempt_no)
        WHERE d.destination = $1 AND d.state IN ('leased', 'in_doubt') AND d.under_way AND d.lease_token <> $2 AND d.leased_until > now()
          AND a.started_at > now() - $3 * interval '1 millisecond'";
    let client = connection(pool).await?;
    let row = client
        .query_one(
            SQL,
            &[&lease.destination, &lease.token, &milliseconds(within)],
        )
        .await
        .map_err(|error| fault("count requests under way", &error))?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX))
}
