//! One dispatcher per destination among all instances: a lease row with a rising token.
//!
//! All times are the database's clock, so instances need not agree on theirs.

use std::time::Duration;

use super::{connection, fault, milliseconds};
use crate::error::Fault;
use crate::store::Pool;

/// The right to send to a destination, until it runs out or another instance takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub destination: String,
    /// Rises with every new holder.
    pub token: i64,
}

/// Takes the lease when nobody holds it; also says how long the partner asked us to pause still.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn acquire(pool: &Pool, destination: &str, holder: &str, term: Duration) -> Result<Option<(Lease, Duration)>, Fault> {
    const SQL: &str = "INSERT INTO dispatcher_lease AS l (destination, holder, token, until)
        VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 millisecond')
        ON CONFLICT (destination) DO UPDATE SET holder = excluded.holder, token = l.token + 1, until = excluded.until
        WHERE l.until < clock_timestamp()
        RETURNING token, CASE WHEN paused_until > clock_timestamp()
                         THEN (extract(epoch FROM paused_until - clock_timestamp()) * 1000)::float8 ELSE 0 END";
    let client = connection(pool).await?;
    let row = client.query_opt(SQL, &[&destination, &holder, &milliseconds(term)]).await.map_err(|error| fault("take a dispatcher lease", &error))?;
    Ok(row.map(|row| {
        let paused: f64 = row.get(1);
        (Lease { destination: destination.into(), token: row.get(0) }, Duration::from_secs_f64(paused.max(0.0) / 1000.0))
    }))
}

/// Prolongs the lease; `false` when it has run out or another instance holds it.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn renew(pool: &Pool, lease: &Lease, term: Duration) -> Result<bool, Fault> {
    const SQL: &str = "UPDATE dispatcher_lease SET until = clock_timestamp() + $3 * interval '1 millisecond'
        WHERE destination = $1 AND token = $2 AND until >= clock_timestamp()";
    let client = connection(pool).await?;
    let renewed =
        client.execute(SQL, &[&lease.destination, &lease.token, &milliseconds(term)]).await.map_err(|error| fault("renew a dispatcher lease", &error))?;
    Ok(renewed == 1)
}

/// Gives the lease up, so that another instance need not wait for its end.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn release(pool: &Pool, lease: &Lease) -> Result<(), Fault> {
    const SQL: &str = "UPDATE dispatcher_lease SET until = '-infinity' WHERE destination = $1 AND token = $2";
    let client = connection(pool).await?;
    client.execute(SQL, &[&lease.destination, &lease.token]).await.map_err(|error| fault("release a dispatcher lease", &error))?;
    Ok(())
}

/// Records that nothing goes to the destination for so long, whoever dispatches; never shortens a longer pause.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn pause(pool: &Pool, lease: &Lease, pause: Duration) -> Result<(), Fault> {
    const SQL: &str = "UPDATE dispatcher_lease
        SET paused_until = greatest(paused_until, clock_timestamp() + $2 * interval '1 millisecond') WHERE destination = $1";
    let client = connection(pool).await?;
    client.execute(SQL, &[&lease.destination, &milliseconds(pause)]).await.map_err(|error| fault("pause a destination", &error))?;
    Ok(())
}
