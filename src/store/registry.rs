//! The registries in PostgreSQL: what is known of each entry, and every change in the order of commit.
//!
//! A write is accepted or not by its version alone: a higher one is taken (it also registers an
//! ended entry again: the source said so later), the same one must have the same content, a lower
//! one is noted and ignored. Sequence numbers are taken under the lock of one row just before the
//! rows are written, so whoever sees number n sees every number below it, for good.
//!
//! Knows nothing of what records mean, nor of keys: contents come as JSON, personal parts sealed.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::civil::Date;
use tokio_postgres::Row;

use super::{Session, Store, fault};
use crate::error::Fault;
use crate::model::registry::EntityKind;

mod calendar; // entries whose day has come
mod follow; // caregivers go with their institution
mod places; // what concerns some cities
mod read; // changes, entries, the registry at one instant
mod search; // entries by what is known of them
mod write; // the one transaction that changes the registry

pub use calendar::{DateTurn, Due};
pub use places::EntryPage;
pub use read::Designation;

/// The registry's door: reads and writes.
#[derive(Clone)]
pub struct Registry {
    store: Store,
    queue: Arc<dyn ChangeQueue>,
}

/// Who is to be told of changes: adds its rows in the transaction that makes them.
pub trait ChangeQueue: Send + Sync {
    /// Called after the rows of `registry_change` with these numbers were written, before the
    /// commit; a fault undoes everything.
    fn queue<'a>(
        &'a self,
        client: &'a Session,
        written: ChangeRange,
    ) -> BoxFuture<'a, Result<(), Fault>>;
}

/// Sequence numbers of the changes a transaction has written, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRange {
    pub first: i64,
    pub last: i64,
}

/// Nobody is to be told.
pub struct NoQueue;

impl ChangeQueue for NoQueue {
    fn queue<'a>(&'a self, _: &'a Session, _: ChangeRange) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

/// What kind of change a row of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A new version.
    Put,
    /// The entry ended.
    Delete,
    /// The same version; a date in it has come, or its institution ended, became one of another kind or moved to
    /// another city.
    Status,
}

impl ChangeKind {
    pub fn word(self) -> &'static str {
        match self {
            ChangeKind::Put => "put",
            ChangeKind::Delete => "delete",
            ChangeKind::Status => "status",
        }
    }

    fn of_word(word: &str) -> ChangeKind {
        match word {
            "delete" => ChangeKind::Delete,
            "status" => ChangeKind::Status,
            _ => ChangeKind::Put,
        }
    }
}

pub use search::{Has, Search};

/// One change, in the log or as the present state of its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryChange {
    pub sequence: i64,
    pub kind: EntityKind,
    pub entity_id: String,
    pub version: i64,
    pub change: ChangeKind,
    /// The canonical record as JSON without its personal part; absent for a delete.
    pub content: Option<String>,
    /// The personal part, sealed; absent for a delete and where there is none.
    pub sealed: Option<Vec<u8>>,
    /// The status in force on `effective_on`.
    pub status: Option<String>,
    /// Whether the institution is designated on `effective_on`.
    pub designated: bool,
    /// Of a delete.
    pub reason: Option<String>,
    pub effective_on: Date,
    pub changed_at: jiff::Timestamp,
    /// Of an institution its kind, of a caregiver that of the institution he or she belongs to; absent
    /// where that is not registered or has ended.
    pub institution_kind: Option<String>,
    /// Where it lies from this change on, of a caregiver the institution: the first four digits of its division.
    /// Absent for a delete, and for a caregiver of an institution nobody has sent.
    pub city: Option<i32>,
}

/// Columns of a [`RegistryChange`] of table `c`, in the order [`RegistryChange::from_row`] reads them.
const COLUMNS: &str = "c.sequence, c.kind, c.entity_id, c.version, c.change, c.content::text, c.sealed, c.status, c.designated, c.reason, c.effective_on,
    c.changed_at, c.institution_kind, c.city";

impl RegistryChange {
    /// How many columns it has; others of the same row come after them.
    const WIDTH: usize = 14;

    fn from_row(row: &Row) -> RegistryChange {
        RegistryChange {
            sequence: row.get(0),
            kind: EntityKind::of_word(row.get(1)).expect("the table checks the word"),
            entity_id: row.get(2),
            version: row.get(3),
            change: ChangeKind::of_word(row.get(4)),
            content: row.get(5),
            sealed: row.get(6),
            status: row.get(7),
            designated: row.get(8),
            reason: row.get(9),
            effective_on: row.get(10),
            changed_at: row.get(11),
            institution_kind: row.get(12),
            city: row.get(13),
        }
    }

    /// Of a caregiver: whether he or she has not left, and the institution is registered and has not ended.
    pub fn is_working(&self) -> bool {
        self.institution_kind.is_some() && self.status.as_deref() != Some("left")
    }

    /// Whether the entry has ended with this change.
    pub fn is_tombstone(&self) -> bool {
        self.change == ChangeKind::Delete
    }
}

/// A new version of an entry, or its end, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub kind: EntityKind,
    pub entity_id: String,
    pub version: i64,
    /// The canonical record as JSON without its personal part; `None` ends the entry.
    pub content: Option<String>,
    /// Its personal part, sealed.
    pub sealed: Option<Vec<u8>>,
    /// Why the entry ended; exactly where there is no content.
    pub reason: Option<String>,
    /// Digests of the whole record under each key, 32 bytes each, newest first.
    pub digests: Vec<u8>,
    pub status: Option<&'static str>,
    pub designated: bool,
    /// The day of which status and designated speak.
    pub effective_on: Date,
    /// The next day on which they may change.
    pub next_on: Option<Date>,
    /// In the clear, for look-up: institutions only.
    pub name: Option<String>,
    pub uscc: Option<String>,
    /// Blind, for look-up.
    pub certificate_index: Option<i64>,
    pub phone_index: Option<i64>,
    /// Of an institution that has not ended.
    pub institution_kind: Option<&'static str>,
    /// Of a caregiver: the institution he or she belongs to.
    pub institution_id: Option<String>,
    /// Of an institution: where it lies, see `model::division::city`.
    pub city: Option<i32>,
}

/// What became of a [`Put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    Stored {
        sequence: i64,
        new: bool,
    },
    /// The same version with the same content is there.
    Unchanged,
    /// A higher version is there; noted.
    Older {
        known: i64,
    },
    /// The same version with other content is there; noted.
    OtherContent,
    /// An end of what nobody has sent: noted and not published; lower versions are kept out.
    NeverSent,
}

impl Registry {
    pub fn new(store: Store) -> Registry {
        Registry {
            store,
            queue: Arc::new(NoQueue),
        }
    }

    /// The same, with somebody to tell of every change.
    #[must_use]
    pub fn queueing(self, queue: Arc<dyn ChangeQueue>) -> Registry {
        Registry { queue, ..self }
    }

    /// Takes versions and ends, in their order; all are durable when it returns, or none on a fault.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn put_batch(&self, sender: &str, puts: &[Put]) -> Result<Vec<PutOutcome>, Fault> {
        let mut taken = Vec::with_capacity(puts.len());
        while taken.len() < puts.len() {
            // An entry that occurs twice is written in two rounds, so that each sees the one before.
            let rest = &puts[taken.len()..];
            let mut seen = HashSet::with_capacity(rest.len());
            let round = rest
                .iter()
                .take_while(|put| seen.insert((put.kind, put.entity_id.as_str())))
                .count();
            taken.extend(write::put(self, sender, &rest[..round]).await?);
        }
        Ok(taken)
    }
}

fn cannot(error: tokio_postgres::Error) -> Fault {
    fault(&error)
}
