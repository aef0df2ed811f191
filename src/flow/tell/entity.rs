//! What a destination is told of a registry entry: the change its delivery names, cut down to what
//! the adapter lists for a stated purpose.
//!
//! Rendered when sent, never stored. The personal part is opened only where the adapter names a
//! field of it, and only for the time of rendering.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::unseen;
use crate::adapter::{Adapter, Disclosure};
use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::flow::speak;
use crate::model::division::cities;
use crate::store::Pool;
use crate::store::delivery::{
    ChangedEntity, Delivery, Entity, NewDelivery, Only, Route, changed_entities,
};
use crate::store::sealed::{Keys, Label};

/// What is told to whom, by partner and message.
#[derive(Debug, Clone, Default)]
pub struct EntityRoutes {
    pub routes: Vec<Route>,
    disclosures: BTreeMap<(String, String), Disclosure>,
}

impl EntityRoutes {
    /// Adds what a partner receives of the registries.
    pub fn add(&mut self, partner: &Partner, adapter: &Adapter) -> Result<(), Fault> {
        for message in partner.outbound.iter().flat_map(|entry| &entry.receives) {
            let Some(disclosure) = speak::named(adapter, message)?.disclosure() else {
                continue;
            };
            self.routes.push(Route {
                destination: partner.name.clone(),
                message: message.clone(),
                kind: disclosure.kind.word().into(),
                only: disclosure
                    .only
                    .iter()
                    .map(|(field, words)| Only {
                        field: field.clone(),
                        words: words.clone(),
                    })
                    .collect(),
                cities: partner
                    .outbound
                    .iter()
                    .flat_map(|entry| &entry.areas)
                    .flat_map(|area| cities(area))
                    .collect(),
            });
            self.disclosures
                .insert((partner.name.clone(), message.clone()), disclosure.clone());
        }
        Ok(())
    }
}

/// Reads registry entries for every destination.
pub struct Entities {
    pub pool: Pool,
    /// Open personal parts.
    pub keys: Arc<Keys>,
    pub told: EntityRoutes,
}

/// What a delivery tells of, in a few words.
pub(super) fn name(entity: &Entity) -> String {
    format!("{} {}", entity.kind, entity.id)
}

/// What a delivery tells of, in a sentence.
pub(super) fn describe(of: &NewDelivery, entity: &Entity) -> String {
    let what = if entity.removal { "removal of " } else { "" };
    format!(
        "{}, {what}{} {} version {}, change {}",
        of.message, entity.kind, entity.id, entity.version, entity.revision
    )
}

impl Entities {
    pub(super) async fn read(
        &self,
        deliveries: &[Delivery],
    ) -> Result<Vec<Result<Value, Fault>>, Fault> {
        let revisions: Vec<i64> = deliveries
            .iter()
            .filter_map(|delivery| delivery.of.entity())
            .map(|entity| entity.revision)
            .collect();
        let changes = changed_entities(&self.pool, &revisions).await?;
        let changes: HashMap<i64, &ChangedEntity> = changes
            .iter()
            .map(|change| (change.revision, change))
            .collect();
        Ok(deliveries
            .iter()
            .map(|delivery| self.record(delivery, &changes))
            .collect())
    }

    fn record(
        &self,
        delivery: &Delivery,
        changes: &HashMap<i64, &ChangedEntity>,
    ) -> Result<Value, Fault> {
        let gone = |what: &str| {
            Fault::operator(
                Stage::Render,
                format!("delivery {}: {what}", delivery.delivery_id),
            )
        };
        let of = &delivery.of;
        let entity = of
            .entity()
            .ok_or_else(|| gone("it names no registry entry; this is a mistake in the gateway"))?;
        let disclosure = self
            .told
            .disclosures
            .get(&(of.destination.clone(), of.message.clone()));
        let disclosure = disclosure.ok_or_else(|| gone("its destination no longer receives this message; restore `receives` in partners.toml"))?;
        let change = changes
            .get(&entity.revision)
            .ok_or_else(|| unseen(delivery, "the change it tells of is not in the database"))?;
        let mut record: Value = match &change.content {
            Some(content) => serde_json::from_str(content).map_err(|_| {
                gone("the entry's stored record is not JSON; this is a mistake in the gateway")
            })?,
            None => json!({}),
        };
        record["id"] = json!(change.id);
        record["version"] = json!(change.version);
        record["revision"] = json!(change.revision);
        record["status"] = json!(change.status);
        record["designated"] = json!(change.designated);
        record["working"] =
            json!(change.institution_kind.is_some() && change.status.as_deref() != Some("left"));
        record["effective_on"] = json!(change.effective_on.to_string());
        record["removed"] = json!(entity.removal);
        record["removed_on"] = json!(change.effective_on.to_string());
        record["reason"] = json!(
            change
                .reason
                .as_deref()
                .unwrap_or("no longer within the purpose of this register")
        );
        if let (true, false, Some(sealed)) =
            (disclosure.needs_personal(), entity.removal, &change.sealed)
        {
            let label = Label {
                kind: &change.kind,
                id: &change.id,
                version: change.version,
            };
            let personal = self.keys.open(label, sealed)?;
            record["personal"] = serde_json::from_slice(&personal).map_err(|_| {
                gone("the entry's personal part is not JSON; this is a mistake in the gateway")
            })?;
        }
        Ok(disclosure.record(&record))
    }
}
