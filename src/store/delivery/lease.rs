//! One dispatcher per destination among all instances: a lease row with a rising token, and the pause of the destination.
//!
//! All times are the database's clock, so instances need not agree on theirs.

use std::time::Duration;

use super::{connection, fault, milliseconds};
use crate::error::Fault;
use crate::store::{Pool, Session};

/// The right to send to a destination, until it runs out or another instance takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub destination: String,
    /// Rises with every new holder.
    pub token: i64,
}

/// The pause a new holder finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PauseState {
    /// How long it lasts still.
    pub wait: Duration,
    /// Why the destination has not worked lately; stays when the wait is over, until the partner answers.
    pub reason: Option<String>,
    /// Rises when a person lifts a pause.
    pub resumed: i64,
}

/// Takes the lease when nobody holds it, and says which pause there is; else for how long it is held at most.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn acquire(
    pool: &Pool,
    destination: &str,
    holder: &str,
    term: Duration,
) -> Result<Result<(Lease, PauseState), Duration>, Fault> {
    const SQL: &str = "INSERT INTO dispatcher_lease AS l (destination, holder, token, until)
        VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 millisecond')
        ON CONFLICT (destination) DO UPDATE SET holder = excluded.holder, token = l.token + 1, until = excluded.until
        WHERE l.until < clock_timestamp()
        RETURNING token, CASE WHEN paused_until > clock_timestamp()
                         THEN (extract(epoch FROM paused_until - clock_timestamp()) * 1000)::float8 ELSE 0 END, pause_reason, resumed";
    const HELD: &str = "SELECT CASE WHEN until > clock_timestamp() THEN (extract(epoch FROM until - clock_timestamp()) * 1000)::float8 ELSE 0 END
        FROM dispatcher_lease WHERE destination = $1";
    let failed = |error: tokio_postgres::Error| fault("take a dispatcher lease", &error);
    let duration = |milliseconds: f64| Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0);
    let client = connection(pool).await?;
    if let Some(row) = client
        .query_opt(SQL, &[&destination, &holder, &milliseconds(term)])
        .await
        .map_err(failed)?
    {
        let paused = PauseState {
            wait: duration(row.get(1)),
            reason: row.get(2),
            resumed: row.get(3),
        };
        return Ok(Ok((
            Lease {
                destination: destination.into(),
                token: row.get(0),
            },
            paused,
        )));
    }
    let held = client
        .query_opt(HELD, &[&destination])
        .await
        .map_err(failed)?;
    Ok(Err(held.map_or(Duration::ZERO, |row| duration(row.get(0)))))
}

/// Prolongs the lease, and tells how often people have lifted pauses; `None` when it has run out or
/// another instance holds it.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn renew(pool: &Pool, lease: &Lease, term: Duration) -> Result<Option<i64>, Fault> {
    const SQL: &str =
        "UPDATE dispatcher_lease SET until = clock_timestamp() + $3 * interval '1 millisecond'
        WHERE destination = $1 AND token = $2 AND until >= clock_timestamp() RETURNING resumed";
    let client = connection(pool).await?;
    let renewed = client
        .query_opt(
            SQL,
            &[&lease.destination, &lease.token, &milliseconds(term)],
        )
        .await
        .map_err(|error| fault("renew a dispatcher lease", &error))?;
    Ok(renewed.map(|row| row.get(0)))
}

/// Gives the lease up, so that another instance need not wait for its end.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn release(pool: &Pool, lease: &Lease) -> Result<(), Fault> {
    const SQL: &str =
        "UPDATE dispatcher_lease SET until = '-infinity' WHERE destination = $1 AND token = $2";
    let client = connection(pool).await?;
    client
        .execute(SQL, &[&lease.destination, &lease.token])
        .await
        .map_err(|error| fault("release a dispatcher lease", &error))?;
    Ok(())
}

/// Records that nothing goes to the destination for so long, whoever dispatches, and why, in the
/// words met; never shortens a longer pause.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn pause(
    pool: &Pool,
    lease: &Lease,
    wait: Duration,
    (reason, answer): (&str, &str),
) -> Result<(), Fault> {
    const SQL: &str = "UPDATE dispatcher_lease
        SET paused_until = greatest(paused_until, clock_timestamp() + $2 * interval '1 millisecond'),
            paused_at = CASE WHEN pause_reason = $3 THEN coalesce(paused_at, clock_timestamp()) ELSE clock_timestamp() END,
            pause_reason = $3, pause_answer = $4 WHERE destination = $1";
    let client = connection(pool).await?;
    client
        .execute(
            SQL,
            &[
                &lease.destination,
                &milliseconds(wait),
                &reason,
                &super::settle::storable(answer),
            ],
        )
        .await
        .map_err(|error| fault("pause a destination", &error))?;
    Ok(())
}

/// Records that the destination works again: takes pause and reason away.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn works(pool: &Pool, lease: &Lease) -> Result<(), Fault> {
    const SQL: &str = "UPDATE dispatcher_lease SET paused_until = '-infinity', pause_reason = NULL, pause_answer = NULL, paused_at = NULL
        WHERE destination = $1 AND token = $2";
    let client = connection(pool).await?;
    client
        .execute(SQL, &[&lease.destination, &lease.token])
        .await
        .map_err(|error| fault("end a destination's pause", &error))?;
    Ok(())
}

/// Lifts a destination's pause for a person, and what waits for its turn is due now; the holder learns
/// of it with its next renewal. `None`: nothing was ever sent there; `false`: it was not paused.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn resume(pool: &Pool, destination: &str) -> Result<Option<bool>, Fault> {
    resume_on(&*connection(pool).await?, destination).await
}

/// The same, in the caller's transaction.
pub(in crate::store) async fn resume_on(
    client: &Session,
    destination: &str,
) -> Result<Option<bool>, Fault> {
    // What is in doubt keeps its time: the partner may still be busy with it.
    const SQL: &str = "WITH due AS (UPDATE delivery SET due_at = now() WHERE destination = $1 AND state = 'ready' AND due_at > now())
        UPDATE dispatcher_lease l SET paused_until = '-infinity', pause_reason = NULL, pause_answer = NULL, paused_at = NULL,
            resumed = l.resumed + 1
        FROM (SELECT destination, pause_reason IS NOT NULL OR paused_until > clock_timestamp() AS paused
              FROM dispatcher_lease WHERE destination = $1 FOR UPDATE) before
        WHERE l.destination = before.destination RETURNING before.paused";
    let row = client
        .query_opt(SQL, &[&destination])
        .await
        .map_err(|error| fault("lift a destination's pause", &error))?;
    Ok(row.map(|row| row.get(0)))
}

/// A destination as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationStanding {
    /// Partner name.
    pub destination: String,
    /// An instance holds its lease.
    pub held: bool,
    /// Nothing goes out before; in the past or absent: single requests try it, or it works.
    pub paused_until: Option<jiff::Timestamp>,
    /// `not_reached`, `unclear`, `down` or `later`, while it does not work.
    pub reason: Option<String>,
    /// The words met, safe to show.
    pub answer: Option<String>,
    pub paused_at: Option<jiff::Timestamp>,
}

/// Every destination something was ever sent to, by name.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn standings(pool: &Pool) -> Result<Vec<DestinationStanding>, Fault> {
    // Names that begin with @ are leases of the gateway's own.
    const SQL: &str = "SELECT destination, until > clock_timestamp(), CASE WHEN paused_until > clock_timestamp() THEN paused_until END,
            pause_reason, pause_answer, paused_at
        FROM dispatcher_lease WHERE destination NOT LIKE '@%' ORDER BY destination";
    let client = connection(pool).await?;
    let rows = client
        .query(SQL, &[])
        .await
        .map_err(|error| fault("list destinations", &error))?;
    let standing = |row: &tokio_postgres::Row| DestinationStanding {
        destination: row.get(0),
        held: row.get(1),
        paused_until: row.get(2),
        reason: row.get(3),
        answer: row.get(4),
        paused_at: row.get(5),
    };
    Ok(rows.iter().map(standing).collect())
}
