//! Deliveries in PostgreSQL: what is queued, who may send, what is claimed, what became of it.
//!
//! Every statement is short and holds no connection while a partner is called. What a claimed row
//! may become is fenced by the token it was claimed under: once another dispatcher has taken a row
//! up, nothing the earlier one says about it counts, and it is told so. Must not decide outcomes;
//! `flow::deliver` does.

mod backfill; // the whole registry for one destination, bit by bit
mod claim; // ready and in-doubt rows, taken under a lease
mod day; // what of a day's requests is spent
mod dead; // dead letters and the person who decides about them
mod entity; // registry entries, queued in the transaction that changed them
mod lease; // one dispatcher per destination among all instances
mod records; // records of a packet, queued
mod settle; // what became of claimed rows, many at a time
mod view; // lists and counts for people and metrics
mod waiting; // what waits, by destination and message

pub use backfill::{Backfill, BackfillProgress, BackfillScope};
pub use claim::{Start, begin, claim, claim_in_doubt, recover};
pub use day::{left_under_way, reserve, unreserve};
pub use dead::{Decision, Letter, dead_letters, decide, retry_all};
pub use entity::{ChangedEntity, EntityQueue, Only, Route, changed_entities, queue_entities};
pub(super) use lease::resume_on;
pub use lease::{
    DestinationStanding, Lease, PauseState, acquire, pause, release, renew, resume, standings,
    works,
};
pub use records::queue;
pub use settle::{Next, Settlement, give_back, settle};
pub use view::{
    Attempt, Backlog, DeliveryDetail, DeliveryTotal, backlog, next_serial, of_packet, show, totals,
};
pub use waiting::{Waiting, spent, waiting};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use tokio_postgres::Row;

use super::{Pool, PooledSession};
use crate::error::{Fault, Stage};
use crate::model::Fen;
use crate::model::registry::EntityKind;

/// Something to be sent to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Partner name.
    pub destination: String,
    /// The adapter's outbound message.
    pub message: String,
    /// Deliveries with the same key go out one after another; reversals after originals. `None`: any order.
    pub ordering_key: Option<String>,
    pub subject: Subject,
    pub lines: i32,
    /// Money of those lines as the destination is told it.
    pub fen: Fen,
}

/// What a delivery tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Records(Records),
    Entity(Entity),
    Batch(Batch),
}

/// A batch of a month's deductions, as it goes to the medical core or as it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// `deduction_cycle.cycle_id`.
    pub cycle_id: i64,
    /// `deduction_batch.batch_no` in that cycle.
    pub batch_no: i32,
}

/// Records of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    pub packet_id: i64,
    pub first_record: i32,
    pub last_record: i32,
    /// Takes earlier records back.
    pub reversal: bool,
}

/// One change of a registry entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// `institution` or `caregiver`.
    pub kind: String,
    pub id: String,
    /// The source's version.
    pub version: i64,
    /// `registry_change.sequence`: rises with every change, also where the version stays.
    pub revision: i64,
    /// Tells that the entry ended, or no longer concerns the destination.
    pub removal: bool,
}

/// `subject_kind` of records of a packet.
pub(super) const RECORDS: &str = "records";
/// `subject_kind` of a batch of deductions.
pub(super) const BATCH: &str = "batch";

impl Subject {
    /// Of the columns of [`COLUMNS`].
    fn from_row(row: &Row) -> Subject {
        let (kind, id): (&str, &str) = (row.get(4), row.get(5));
        let (part, part_end): (i64, i64) = (row.get(6), row.get(7));
        let number = || id.parse().expect("the id of such a subject is a number");
        let record =
            |part| i32::try_from(part).expect("such a part is a number of a record or batch");
        match kind {
            RECORDS => Subject::Records(Records {
                packet_id: number(),
                first_record: record(part),
                last_record: record(part_end),
                reversal: row.get(8),
            }),
            BATCH => Subject::Batch(Batch {
                cycle_id: number(),
                batch_no: record(part),
            }),
            _ => Subject::Entity(Entity {
                kind: EntityKind::of_word(kind)
                    .expect("the schema lets no other kind in")
                    .word()
                    .to_owned(),
                id: id.to_owned(),
                version: row.get(9),
                revision: part,
                removal: row.get(10),
            }),
        }
    }
}

impl NewDelivery {
    /// The packet's records it tells of.
    pub fn records(&self) -> Option<&Records> {
        match &self.subject {
            Subject::Records(records) => Some(records),
            Subject::Entity(_) | Subject::Batch(_) => None,
        }
    }

    /// The registry entry it tells of.
    pub fn entity(&self) -> Option<&Entity> {
        match &self.subject {
            Subject::Entity(entity) => Some(entity),
            Subject::Records(_) | Subject::Batch(_) => None,
        }
    }

    /// The batch of deductions it tells of.
    pub fn batch(&self) -> Option<Batch> {
        match &self.subject {
            Subject::Batch(batch) => Some(*batch),
            Subject::Records(_) | Subject::Entity(_) => None,
        }
    }
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
    /// What goes first: 10 an ending or suspension, 20 any other, 90 backfill.
    pub priority: i16,
    /// How long ago its first attempt began, or the first after a person's decision.
    pub tried_for: std::time::Duration,
}

/// Columns of a [`Delivery`], in the order [`Delivery::from_row`] reads them.
const COLUMNS: &str = "d.delivery_id, d.destination, d.message, d.ordering_key, d.subject_kind, d.subject_id, d.part, d.part_end, \
                       d.reversal, d.version, d.removal, d.lines, d.fen, d.state, d.attempts, d.reference, d.outcome, d.answer, \
                       d.created_at, d.settled_at, d.priority, coalesce(extract(epoch FROM now() - d.tried_at), 0)::float8";

impl Delivery {
    fn from_row(row: &Row) -> Delivery {
        Delivery {
            delivery_id: row.get(0),
            of: NewDelivery {
                destination: row.get(1),
                message: row.get(2),
                ordering_key: row.get(3),
                subject: Subject::from_row(row),
                lines: row.get(11),
                fen: Fen(row.get(12)),
            },
            state: row.get(13),
            attempts: row.get(14),
            reference: row.get(15),
            outcome: row.get(16),
            answer: row.get(17),
            created_at: row.get(18),
            settled_at: row.get(19),
            priority: row.get(20),
            tried_for: std::time::Duration::from_secs_f64(row.get::<_, f64>(21).max(0.0)),
        }
    }
}

/// A connection for one short statement or transaction.
async fn connection(pool: &Pool) -> Result<PooledSession, Fault> {
    pool.get().await
}

/// A database error without row contents: PostgreSQL's DETAIL may quote private values, so only
/// its code and message are kept.
fn fault(doing: &str, error: &tokio_postgres::Error) -> Fault {
    let text = match error.as_db_error() {
        Some(db) => format!(
            "cannot {doing}: PostgreSQL {}: {}",
            db.code().code(),
            db.message()
        ),
        None => format!("cannot {doing}: {}", super::words::words(error)),
    };
    Fault::later(Stage::Store, text)
}

/// Milliseconds for `interval` arithmetic; capped at 400 days, which no partner means seriously.
fn milliseconds(duration: std::time::Duration) -> f64 {
    const CAP: std::time::Duration = std::time::Duration::from_secs(400 * 86_400);
    duration.min(CAP).as_secs_f64() * 1000.0
}
