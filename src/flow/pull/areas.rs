//! The pooling areas a puller is bound to, and the registries as one so bound sees them.
//!
//! It hears of what lies in its areas; of what leaves them that it is gone, as if it had ended; of nothing else. A
//! puller without areas sees everything, read as if there were no areas at all.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Pulls, RegistryPuller};
use crate::error::Fault;
use crate::model::division;
use crate::model::registry::EntityKind;
use crate::store::registry::{ChangeKind, EntryPage, RegistryChange};

/// Why an entry is gone for a puller, where it only went elsewhere.
pub(super) const LEFT: &str = "no longer in the pooling areas agreed for this puller";

/// What a cursor of a bound puller carries of its areas.
pub type AreasTag = [u8; 8];

/// Pooling areas, as the log knows places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Areas {
    /// Numbers of `model::division::city`, rising.
    cities: Vec<i32>,
    tag: AreasTag,
}

impl Areas {
    /// From the codes of an entry, in any order.
    pub fn new(codes: &[String]) -> Areas {
        let mut cities: Vec<i32> = codes
            .iter()
            .flat_map(|code| division::cities(code))
            .collect();
        cities.sort_unstable();
        cities.dedup();
        let hash = cities
            .iter()
            .fold(Sha256::new().chain_update(b"areas"), |hash, city| {
                hash.chain_update(city.to_be_bytes())
            })
            .finalize();
        let tag = *hash.first_chunk().expect("a digest has 32 bytes");
        Areas { cities, tag }
    }

    pub fn cities(&self) -> &[i32] {
        &self.cities
    }

    /// Differs between areas that are not the same.
    pub fn tag(&self) -> AreasTag {
        self.tag
    }

    fn covers(&self, change: &RegistryChange) -> bool {
        change
            .city
            .is_some_and(|city| self.cities.binary_search(&city).is_ok())
    }

    /// A change that concerns the areas: whole, or as an end where the entry lies elsewhere from then on.
    fn seen(&self, change: RegistryChange) -> RegistryChange {
        if self.covers(&change) || change.is_tombstone() {
            return change;
        }
        RegistryChange {
            change: ChangeKind::Delete,
            content: None,
            sealed: None,
            status: None,
            designated: false,
            reason: Some(LEFT.into()),
            institution_kind: None,
            city: None,
            ..change
        }
    }

    fn all_seen(&self, changes: Vec<RegistryChange>) -> Vec<RegistryChange> {
        changes
            .into_iter()
            .map(|change| self.seen(change))
            .collect()
    }
}

/// What the store is asked, as the puller sees the answer. Each method is the store's of this name.
impl Pulls {
    pub(super) async fn changes_after(
        &self,
        puller: &RegistryPuller,
        kind: EntityKind,
        sequence: i64,
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        match puller.areas() {
            None => self.registry.changes_after(sequence, &[kind], limit).await,
            Some(areas) => Ok(areas.all_seen(
                self.registry
                    .changes_after_in(areas.cities(), kind, sequence, limit)
                    .await?,
            )),
        }
    }

    pub(in crate::flow) async fn changes_before(
        &self,
        puller: &RegistryPuller,
        kind: EntityKind,
        (before, since): (i64, Option<Timestamp>),
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        match puller.areas() {
            None => {
                self.registry
                    .changes_before(kind, before, since, limit)
                    .await
            }
            Some(areas) => Ok(areas.all_seen(
                self.registry
                    .changes_before_in(areas.cities(), kind, (before, since), limit)
                    .await?,
            )),
        }
    }

    pub(in crate::flow) async fn entity(
        &self,
        puller: &RegistryPuller,
        kind: EntityKind,
        id: &str,
    ) -> Result<Option<RegistryChange>, Fault> {
        match puller.areas() {
            None => self.registry.entity(kind, id).await,
            Some(areas) => Ok(self
                .registry
                .entity_in(areas.cities(), kind, id)
                .await?
                .map(|change| areas.seen(change))),
        }
    }

    /// Of a bound puller only those that lie in its areas.
    pub(in crate::flow) async fn entities(
        &self,
        puller: &RegistryPuller,
        kind: EntityKind,
        ids: &[&str],
    ) -> Result<Vec<RegistryChange>, Fault> {
        let mut changes = self.registry.entities(kind, ids).await?;
        changes.retain(|change| puller.areas().is_none_or(|areas| areas.covers(change)));
        Ok(changes)
    }

    pub(in crate::flow) async fn history(
        &self,
        puller: &RegistryPuller,
        kind: EntityKind,
        id: &str,
    ) -> Result<Vec<RegistryChange>, Fault> {
        match puller.areas() {
            None => self.registry.history(kind, id).await,
            Some(areas) => {
                Ok(areas.all_seen(self.registry.history_in(areas.cities(), kind, id).await?))
            }
        }
    }

    pub(super) async fn as_of(
        &self,
        puller: &RegistryPuller,
        at: i64,
        after: Option<(EntityKind, &str)>,
        limit: i64,
    ) -> Result<EntryPage, Fault> {
        let kinds = puller.kinds();
        match puller.areas() {
            None => {
                let changes = self.registry.as_of(at, &kinds, after, limit).await?;
                let last = changes
                    .last()
                    .filter(|_| changes.len() as i64 == limit)
                    .map(|last| (last.kind, last.entity_id.clone()));
                Ok(EntryPage { changes, last })
            }
            Some(areas) => {
                let page = self
                    .registry
                    .as_of_in((areas.cities(), at), &kinds, after, limit)
                    .await?;
                Ok(EntryPage {
                    changes: areas.all_seen(page.changes),
                    ..page
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn areas(codes: &[&str]) -> Areas {
        Areas::new(
            &codes
                .iter()
                .map(|code| (*code).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_same_areas_have_one_tag_and_others_another() {
        assert_eq!(areas(&["450100", "460000"]), areas(&["460000", "450100"]));
        assert_eq!(
            areas(&["460000"]),
            areas(&["460000", "460200"]),
            "a city of a province that is whole"
        );
        for other in [
            &["450100"][..],
            &["450200", "460000"],
            &["450100", "460000", "510100"],
        ] {
            assert_ne!(
                areas(&["450100", "460000"]).tag(),
                areas(other).tag(),
                "{other:?}"
            );
        }
    }
}
