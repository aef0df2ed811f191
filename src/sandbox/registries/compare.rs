//! Whether the LTC system and the supervising platforms hold what the registry holds, field by field.
//!
//! The registry is read from the gateway's store and its records opened; what each of the others
//! should have of them is made here, not by the code that told them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::expected;
use super::source::SourceRegistry;
use crate::error::Fault;
use crate::flow::Gateway;
use crate::flow::publish::{self, StoredRecord};
use crate::model::registry::{EntityKind, Institution, InstitutionKind, Submission};
use crate::sandbox::partners::SimulatedPartner;
use crate::store::registry::RegistryChange;

/// Entries read at a time.
const PAGE: i64 = 500;
/// Differences listed at most.
const LISTED: usize = 20;

/// How much somebody holds, and where that differs from the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    pub institutions: usize,
    pub caregivers: usize,
    /// Entries known to have ended, or removed.
    pub ended: usize,
    /// At most twenty; names of entries and fields, no values.
    pub differences: Vec<String>,
}

/// The registry at one moment, opened.
pub struct RegistryMoment {
    entries: BTreeMap<(EntityKind, String), (RegistryChange, Option<StoredRecord>)>,
    /// Changes made so far.
    pub changes: i64,
}

impl RegistryMoment {
    /// Reads all of it.
    ///
    /// # Errors
    /// The database cannot be read, or an entry cannot be opened.
    pub async fn read(gateway: &Gateway) -> Result<RegistryMoment, Fault> {
        let registrar = &gateway.registrar;
        let changes = registrar.registry.head().await?;
        let mut entries: BTreeMap<(EntityKind, String), (RegistryChange, Option<StoredRecord>)> =
            BTreeMap::new();
        let mut after: Option<(EntityKind, String)> = None;
        loop {
            let last = after.as_ref().map(|(kind, id)| (*kind, id.as_str()));
            let page = registrar
                .registry
                .as_of(changes, &EntityKind::ALL, last, PAGE)
                .await?;
            let full = page.len() as i64 == PAGE;
            after = page
                .last()
                .map(|change| (change.kind, change.entity_id.clone()));
            for change in page {
                let entry = publish::open(&registrar.keys, &change)?;
                entries.insert((change.kind, change.entity_id.clone()), (change, entry));
            }
            if !full {
                return Ok(RegistryMoment { entries, changes });
            }
        }
    }

    /// How much the registry itself holds.
    pub fn holds(&self) -> Comparison {
        let live = |wanted: EntityKind| {
            self.entries
                .iter()
                .filter(|((kind, _), (_, entry))| *kind == wanted && entry.is_some())
                .count()
        };
        let ended = self
            .entries
            .values()
            .filter(|(_, entry)| entry.is_none())
            .count();
        Comparison {
            institutions: live(EntityKind::Institution),
            caregivers: live(EntityKind::Caregiver),
            ended,
            differences: Vec::new(),
        }
    }

    /// The LTC system's books against the registry: every field of every entry, personal ones too.
    pub fn source(&self, books: &SourceRegistry) -> Comparison {
        let mut found = Comparison::default();
        let mut known = 0;
        for ((kind, id), held) in books.entries() {
            let registered = self.entries.get(&(*kind, id.clone()));
            known += usize::from(registered.is_some());
            found.count(*kind, held.is_some());
            let same = match (held, registered.map(|(_, entry)| entry)) {
                (
                    Some(Submission::Institution(held)),
                    Some(Some(StoredRecord::Institution(entry))),
                ) => held == entry,
                (Some(Submission::Caregiver(held)), Some(Some(StoredRecord::Caregiver(entry)))) => {
                    held == entry
                }
                (None, Some(None)) => true,
                _ => false,
            };
            if !same {
                found.differences.push(format!(
                    "{kind} {id} is not registered as the LTC system has it"
                ));
            }
        }
        if known != self.entries.len() {
            found.differences.push(format!(
                "{} entries are registered, the LTC system knows of {known}",
                self.entries.len()
            ));
        }
        found.cut()
    }

    /// Civil affairs' platform against the registry.
    pub fn civil(&self, platform: &SimulatedPartner) -> Comparison {
        self.platform(platform, |change, entry| {
            expected::civil(change, entry, self.institution_kind(entry))
        })
    }

    /// The health commission's platform against the registry.
    pub fn health(&self, platform: &SimulatedPartner) -> Comparison {
        self.platform(platform, expected::health)
    }

    fn platform(
        &self,
        platform: &SimulatedPartner,
        expected: impl Fn(&RegistryChange, &StoredRecord) -> expected::ExpectedFields,
    ) -> Comparison {
        let mut held = platform.register();
        let mut found = Comparison::default();
        for ((kind, id), (change, entry)) in &self.entries {
            let should = entry.as_ref().and_then(|entry| expected(change, entry));
            let has = held.remove(&(kind.word(), id.clone()));
            if let Some(has) = &has {
                found.count(*kind, has.fields.is_some());
            }
            let has = has.map(|has| (has.revision, has.fields));
            match (should, has) {
                // Never told, or told that it is over.
                (None, None | Some((_, None))) => {}
                (Some(_), Some((revision, _))) if revision != change.sequence => {
                    found.differences.push(format!(
                        "{kind} {id}: revision {revision} is held; expected {}",
                        change.sequence
                    ));
                }
                (Some(should), Some((_, Some(has)))) if should == has => {}
                (Some(should), Some((_, Some(has)))) => found
                    .differences
                    .push(format!("{kind} {id}: {} differ", differing(&should, &has))),
                (Some(_), _) => found.differences.push(format!("{kind} {id} is not held")),
                (None, Some(_)) => found.differences.push(format!("{kind} {id} is still held")),
            }
        }
        if !held.is_empty() {
            found.differences.push(format!(
                "{} entries are held that are not registered",
                held.len()
            ));
        }
        found.cut()
    }

    /// The kind of an institution, or of the one a caregiver belongs to and that has not ended.
    fn institution_kind(&self, entry: &StoredRecord) -> Option<InstitutionKind> {
        let of = |record: &Institution| record.kind;
        match entry {
            StoredRecord::Institution(record) => Some(of(record)),
            StoredRecord::Caregiver(record) => match self
                .entries
                .get(&(EntityKind::Institution, record.institution_id.clone()))
            {
                Some((change, Some(StoredRecord::Institution(record))))
                    if change.status.as_deref() != Some("ended") =>
                {
                    Some(of(record))
                }
                _ => None,
            },
        }
    }
}

impl Comparison {
    /// Whether it holds the same.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    fn count(&mut self, kind: EntityKind, live: bool) {
        match kind {
            _ if !live => self.ended += 1,
            EntityKind::Institution => self.institutions += 1,
            EntityKind::Caregiver => self.caregivers += 1,
        }
    }

    fn cut(mut self) -> Comparison {
        self.differences.truncate(LISTED);
        self
    }
}

fn differing(should: &Map<String, Value>, has: &Map<String, Value>) -> String {
    let mut names: Vec<&str> = should
        .keys()
        .chain(has.keys())
        .filter(|name| should.get(*name) != has.get(*name))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
