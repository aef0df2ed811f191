//! Deliveries as people and metrics see them. Reads only.

use super::{COLUMNS, Delivery, connection, fault};
use crate::error::Fault;
use crate::model::Fen;
use crate::store::Pool;

/// One request made for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub attempt_no: i32,
    /// `send` or `inquire`.
    pub kind: String,
    pub reference: String,
    pub started_at: jiff::Timestamp,
    /// `None`: nobody has heard the end of it.
    pub ended_at: Option<jiff::Timestamp>,
    /// HTTP status.
    pub status: Option<i32>,
    /// An outcome's word, or `not_sent`.
    pub outcome: Option<String>,
    /// Safe to show.
    pub answer: Option<String>,
}

/// A delivery with everything that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryDetail {
    pub delivery: Delivery,
    /// The number of the packet it is of, if it is of one.
    pub packet_no: Option<String>,
    pub attempts: Vec<Attempt>,
}

/// The delivery of that id with its attempts.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn show(pool: &Pool, delivery_id: i64) -> Result<Option<DeliveryDetail>, Fault> {
    const ATTEMPTS: &str =
        "SELECT attempt_no, kind, reference, started_at, ended_at, status, outcome, answer
        FROM attempt WHERE delivery_id = $1 ORDER BY attempt_no";
    const PACKET_NO: &str = "SELECT p.packet_no FROM delivery d JOIN packet p ON p.packet_id = d.subject_id::bigint WHERE d.delivery_id = $1 AND d.subject_kind = 'records'";
    let client = connection(pool).await?;
    let sql = format!("SELECT {COLUMNS} FROM delivery d WHERE d.delivery_id = $1");
    let Some(row) = client
        .query_opt(&sql, &[&delivery_id])
        .await
        .map_err(|error| fault("show a delivery", &error))?
    else {
        return Ok(None);
    };
    let packet_no = client
        .query_opt(PACKET_NO, &[&delivery_id])
        .await
        .map_err(|error| fault("show a delivery", &error))?
        .map(|row| row.get(0));
    let rows = client
        .query(ATTEMPTS, &[&delivery_id])
        .await
        .map_err(|error| fault("show attempts", &error))?;
    let attempts = rows.iter().map(|row| Attempt {
        attempt_no: row.get(0),
        kind: row.get(1),
        reference: row.get(2),
        started_at: row.get(3),
        ended_at: row.get(4),
        status: row.get(5),
        outcome: row.get(6),
        answer: row.get(7),
    });
    Ok(Some(DeliveryDetail {
        delivery: Delivery::from_row(&row),
        packet_no,
        attempts: attempts.collect(),
    }))
}

/// Every delivery of a packet, by destination and record.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn of_packet(pool: &Pool, packet_id: i64) -> Result<Vec<Delivery>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM delivery d WHERE d.subject_id = $1::bigint::text AND d.subject_kind = 'records' ORDER BY d.destination, d.part, d.delivery_id"
    );
    let client = connection(pool).await?;
    let rows = client
        .query(&sql, &[&packet_id])
        .await
        .map_err(|error| fault("list a packet's deliveries", &error))?;
    Ok(rows.iter().map(Delivery::from_row).collect())
}

/// Deliveries of one message to one destination in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryTotal {
    pub destination: String,
    pub message: String,
    pub state: String,
    pub deliveries: i64,
    pub lines: i64,
    pub fen: Fen,
}

/// All deliveries by destination, message and state. Reads the whole table: for reports, not for metrics.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn totals(pool: &Pool) -> Result<Vec<DeliveryTotal>, Fault> {
    const SQL: &str =
        "SELECT destination, message, state, count(*), sum(lines)::bigint, sum(fen)::bigint
        FROM delivery GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let client = connection(pool).await?;
    let rows = client
        .query(SQL, &[])
        .await
        .map_err(|error| fault("count deliveries", &error))?;
    let total = |row: &tokio_postgres::Row| DeliveryTotal {
        destination: row.get(0),
        message: row.get(1),
        state: row.get(2),
        deliveries: row.get(3),
        lines: row.get(4),
        fen: Fen(row.get(5)),
    };
    Ok(rows.iter().map(total).collect())
}

/// What still waits for one destination.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backlog {
    pub destination: String,
    pub ready: i64,
    pub leased: i64,
    pub in_doubt: i64,
    pub dead: i64,
    /// Age of the oldest that is neither delivered nor dead, in seconds.
    pub oldest_seconds: f64,
}

/// What still waits, by destination; reads only the partial indexes of open rows.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn backlog(pool: &Pool) -> Result<Vec<Backlog>, Fault> {
    const SQL: &str = "SELECT destination, sum(ready)::bigint, sum(leased)::bigint, sum(in_doubt)::bigint, sum(dead)::bigint,
            coalesce(extract(epoch FROM now() - min(oldest)), 0)::float8
        FROM (SELECT destination, count(*) AS ready, 0 AS leased, 0 AS in_doubt, 0 AS dead, min(created_at) AS oldest
              FROM delivery WHERE state = 'ready' GROUP BY 1
              UNION ALL
              SELECT destination, 0, count(*) FILTER (WHERE state = 'leased'), count(*) FILTER (WHERE state = 'in_doubt'), 0, min(created_at)
              FROM delivery WHERE state IN ('leased', 'in_doubt') GROUP BY 1
              UNION ALL
              SELECT destination, 0, 0, 0, count(*), NULL FROM delivery WHERE state = 'dead' GROUP BY 1) open
        GROUP BY 1 ORDER BY 1";
    let client = connection(pool).await?;
    let rows = client
        .query(SQL, &[])
        .await
        .map_err(|error| fault("count open deliveries", &error))?;
    let backlog = |row: &tokio_postgres::Row| Backlog {
        destination: row.get(0),
        ready: row.get(1),
        leased: row.get(2),
        in_doubt: row.get(3),
        dead: row.get(4),
        oldest_seconds: row.get(5),
    };
    Ok(rows.iter().map(backlog).collect())
}

/// The next serial number for a reference, unique in the whole fleet.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn next_serial(pool: &Pool) -> Result<i64, Fault> {
    let client = connection(pool).await?;
    let row = client
        .query_one("SELECT nextval('reference_serial')", &[])
        .await
        .map_err(|error| fault("take a serial number", &error))?;
    Ok(row.get(0))
}
