//! Deliveries in PostgreSQL: who may send, what is claimed, what became of it.
//!
//! Every statement is short and holds no connection while a partner is called. What a claimed row
//! may become is fenced by the token it was claimed under: once another dispatcher has taken a row
//! up, nothing the earlier one says about it counts, and it is told so. Must not decide outcomes;
//! `flow::deliver` does.

mod claim; // ready and in-doubt rows, taken under a lease
mod dead; // dead letters and the person who decides about them
mod lease; // one dispatcher per destination among all instances
mod settle; // what became of claimed rows, many at a time
mod view; // lists and counts for people and metrics

pub use claim::{Start, begin, claim, claim_in_doubt, recover};
pub use dead::{Decision, dead_letters, decide, retry_all};
pub use lease::{Lease, acquire, pause, release, renew};
pub use settle::{Next, Settlement, give_back, settle};
pub use view::{Attempt, Backlog, Detail, Total, backlog, next_serial, of_packet, show, totals};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use deadpool_postgres::{Client, Pool};
use tokio_postgres::Row;

use crate::error::{Fault, Stage};
use crate::model::Fen;

/// Records of a packet to be sent to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Partner name.
    pub destination: String,
    /// The adapter's outbound message.
    pub message: String,
    /// Deliveries with the same key go out one after another; reversals after originals. `None`: any order.
    pub ordering_key: Option<String>,
    pub packet_id: i64,
    pub first_record: i32,
    pub last_record: i32,
    /// Takes earlier records back.
    pub reversal: bool,
    pub lines: i32,
    /// Money of those lines as the destination is told it.
    pub fen: Fen,
}

/// A delivery as it is claimed and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub delivery_id: i64,
    pub of: NewDelivery,
    /// `ready`, `leased`, `in_doubt`, `delivered`, `superseded` or `dead`; documented in schemas/postgres/0002_delivery.sql.
    pub state: String,
    /// Attempts that count towards `attempts_max`.
    pub attempts: i32,
    /// Our own reference, once an attempt was begun.
    pub reference: Option<String>,
    /// The last outcome's word.
    pub outcome: Option<String>,
    /// The last answer, safe to show.
    pub answer: Option<String>,
    pub created_at: jiff::Timestamp,
    pub settled_at: Option<jiff::Timestamp>,
}

/// Columns of a [`Delivery`], in the order [`Delivery::from_row`] reads them.
const COLUMNS: &str = "d.delivery_id, d.destination, d.message, d.ordering_key, d.packet_id, d.first_record, d.last_record, d.reversal, \
                       d.lines, d.fen, d.state, d.attempts, d.reference, d.outcome, d.answer, d.created_at, d.settled_at";

impl Delivery {
    fn from_row(row: &Row) -> Delivery {
        Delivery {
            delivery_id: row.get(0),
            of: NewDelivery {
                destination: row.get(1),
                message: row.get(2),
                ordering_key: row.get(3),
                packet_id: row.get(4),
                first_record: row.get(5),
                last_record: row.get(6),
                reversal: row.get(7),
                lines: row.get(8),
                fen: Fen(row.get(9)),
            },
            state: row.get(10),
            attempts: row.get(11),
            reference: row.get(12),
            outcome: row.get(13),
            answer: row.get(14),
            created_at: row.get(15),
            settled_at: row.get(16),
        }
    }
}

/// Queues deliveries in the caller's transaction, in the order given; returns their ids.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn queue(client: &impl tokio_postgres::GenericClient, rows: &[NewDelivery]) -> Result<Vec<i64>, Fault> {
    const SQL: &str = "INSERT INTO delivery (destination, message, ordering_key, packet_id, first_record, last_record, reversal, lines, fen)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::int[], $7::bool[], $8::int[], $9::bigint[])
        RETURNING delivery_id";
    let destination: Vec<&str> = rows.iter().map(|row| row.destination.as_str()).collect();
    let message: Vec<&str> = rows.iter().map(|row| row.message.as_str()).collect();
    let key: Vec<Option<&str>> = rows.iter().map(|row| row.ordering_key.as_deref()).collect();
    let packet: Vec<i64> = rows.iter().map(|row| row.packet_id).collect();
    let first: Vec<i32> = rows.iter().map(|row| row.first_record).collect();
    let last: Vec<i32> = rows.iter().map(|row| row.last_record).collect();
    let reversal: Vec<bool> = rows.iter().map(|row| row.reversal).collect();
    let lines: Vec<i32> = rows.iter().map(|row| row.lines).collect();
    let fen: Vec<i64> = rows.iter().map(|row| row.fen.0).collect();
    let rows = client
        .query(SQL, &[&destination, &message, &key, &packet, &first, &last, &reversal, &lines, &fen])
        .await
        .map_err(|error| fault("queue deliveries", &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Marks rows of the key that were never sent as superseded by a newer version; returns how many.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn supersede(client: &impl tokio_postgres::GenericClient, destination: &str, ordering_key: &str, newer: i64) -> Result<u64, Fault> {
    const SQL: &str = "UPDATE delivery SET state = 'superseded', settled_at = now()
        WHERE destination = $1 AND ordering_key = $2 AND delivery_id < $3 AND state = 'ready' AND attempt_no = 0";
    client.execute(SQL, &[&destination, &ordering_key, &newer]).await.map_err(|error| fault("supersede deliveries", &error))
}

/// A connection for one short statement or transaction.
async fn connection(pool: &Pool) -> Result<Client, Fault> {
    pool.get().await.map_err(|error| match error {
        deadpool_postgres::PoolError::Backend(error) => fault("connect", &error),
        other => Fault::later(Stage::Store, format!("no database connection: {other}; see [database] connections_max")),
    })
}

/// A database error without row contents: PostgreSQL's DETAIL may quote private values, so only
/// its code and message are kept.
fn fault(doing: &str, error: &tokio_postgres::Error) -> Fault {
    let text = match error.as_db_error() {
        Some(db) => format!("cannot {doing}: PostgreSQL {}: {}", db.code().code(), db.message()),
        None => format!("cannot {doing}: {error}"),
    };
    Fault::later(Stage::Store, text)
}

/// Milliseconds for `interval` arithmetic; capped at 400 days, which no partner means seriously.
fn milliseconds(duration: std::time::Duration) -> f64 {
    const CAP: std::time::Duration = std::time::Duration::from_secs(400 * 86_400);
    duration.min(CAP).as_secs_f64() * 1000.0
}
