//! What a simulated supervising platform holds of registry entries: the latest revision of each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// One entry as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEntry {
    pub revision: i64,
    /// Field and value in the platform's own names; `None` once it was removed.
    pub fields: Option<Map<String, Value>>,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutcome {
    New,
    /// This revision or a later one is there.
    Stale,
    /// Of those it was told to refuse.
    Refused,
}

/// Everything held, by kind (`institution`, `caregiver`) and id.
#[derive(Debug, Default)]
pub struct Register {
    entries: BTreeMap<(&'static str, String), ReceivedEntry>,
    refused: BTreeSet<String>,
    /// In the order they were taken: id and revision.
    order: Vec<(String, i64)>,
}

impl Register {
    /// Refuses records with these ids from now on, and no others.
    pub fn refuse(&mut self, ids: BTreeSet<String>) {
        self.refused = ids;
    }

    /// Takes a record unless a later one is there.
    pub fn keep(&mut self, kind: &'static str, id: &str, held: ReceivedEntry) -> RegisterOutcome {
        if self.refused.contains(id) {
            return RegisterOutcome::Refused;
        }
        if self
            .entries
            .get(&(kind, id.to_owned()))
            .is_some_and(|known| known.revision >= held.revision)
        {
            return RegisterOutcome::Stale;
        }
        self.order.push((id.to_owned(), held.revision));
        self.entries.insert((kind, id.to_owned()), held);
        RegisterOutcome::New
    }

    /// Everything held.
    pub fn entries(&self) -> &BTreeMap<(&'static str, String), ReceivedEntry> {
        &self.entries
    }

    /// Ids and revisions in the order they were taken.
    pub fn order(&self) -> &[(String, i64)] {
        &self.order
    }
}
