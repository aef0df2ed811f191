//! A provincial platform that pulls: takes the snapshot, follows the changes, keeps a registry of its own.
//!
//! Knows only what comes over the wire; every page's digest is computed again and compared. That
//! its registry is ours is proved field by field by [`TrialPuller::differences`], which alone looks
//! into the gateway's database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::config::PullerFields;
use crate::error::{Fault, Stage};
use crate::flow::Gateway;
use crate::flow::publish;
use crate::model::registry::{EntityKind, PRIVATE};
use crate::store::registry::RegistryChange;

/// Records of a page, and entries compared at a time.
const PAGE: i64 = 500;
/// How often a request is repeated that is told to come later.
const TRIES: usize = 10;
/// Differences listed at most.
const LISTED: usize = 20;

/// A puller with what it holds.
pub struct TrialPuller {
    http: reqwest::Client,
    base: String,
    held: BTreeMap<(EntityKind, String), Held>,
    places: BTreeMap<EntityKind, Place>,
    pages: u64,
}

/// What is held of an entry.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    sequence: i64,
    version: i64,
    /// `None`: it has ended.
    record: Option<Value>,
}

/// Where it is on one route.
#[derive(Debug, Clone)]
struct Place {
    cursor: String,
    digest: [u8; 32],
}

#[derive(Deserialize)]
struct Item {
    sequence: i64,
    kind: EntityKind,
    id: String,
    version: i64,
    record: Option<Value>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    cursor: String,
    more: bool,
    digest: String,
}

/// How many live entries a puller holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LiveEntries {
    pub institutions: usize,
    pub caregivers: usize,
    pub ended: usize,
}

impl TrialPuller {
    /// With a client that has its certificate; `base` such as `https://gateway:8443`.
    pub fn new(http: reqwest::Client, base: impl Into<String>) -> TrialPuller {
        TrialPuller {
            http,
            base: base.into(),
            held: BTreeMap::new(),
            places: BTreeMap::new(),
            pages: 0,
        }
    }

    /// Takes everything anew; what was held before is forgotten.
    ///
    /// # Errors
    /// The gateway refuses or breaks off, or its digest is not that of what came.
    pub async fn snapshot(&mut self) -> Result<(), Fault> {
        self.held.clear();
        self.places.clear();
        let mut digests: BTreeMap<EntityKind, [u8; 32]> = BTreeMap::new();
        let mut answer = self.get("/province/v1/snapshot").await?;
        let mut rest: Vec<u8> = Vec::new();
        let mut trailer = None;
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| broken(&error.without_url()))?
        {
            rest.extend_from_slice(&chunk);
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let lines: Vec<u8> = rest.drain(..=end).collect();
            for line in lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                if line.starts_with(b"{\"trailer\"") {
                    trailer = Some(
                        serde_json::from_slice::<Value>(line)
                            .map_err(|error| unreadable(&error))?,
                    );
                } else {
                    let kind = self.keep(line)?;
                    let digest = digests.entry(kind).or_default();
                    *digest = chained(*digest, line);
                }
            }
        }
        let trailer = trailer.ok_or_else(|| broken(&"the snapshot ended without its trailer"))?;
        for kind in EntityKind::ALL {
            let told = &trailer["trailer"][kind.plural()];
            let digest = digests.get(&kind).copied().unwrap_or_default();
            let Some(cursor) = told["cursor"].as_str() else {
                continue;
            };
            agree(kind, told["digest"].as_str().unwrap_or_default(), &digest)?;
            self.places.insert(
                kind,
                Place {
                    cursor: cursor.to_string(),
                    digest,
                },
            );
        }
        Ok(())
    }

    /// Follows the changes to the end of what there is now; says how many came.
    ///
    /// # Errors
    /// As [`TrialPuller::snapshot`].
    pub async fn follow(&mut self) -> Result<u64, Fault> {
        let mut changes = 0;
        for kind in self.places.keys().copied().collect::<Vec<_>>() {
            while let Some(place) = self.places.get(&kind).cloned() {
                let answer = self
                    .get(&format!(
                        "/province/v1/{}?limit={PAGE}&cursor={}",
                        kind.plural(),
                        place.cursor
                    ))
                    .await?;
                let body = answer
                    .bytes()
                    .await
                    .map_err(|error| broken(&error.without_url()))?;
                let page: Page<'_> =
                    serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
                let mut digest = place.digest;
                for item in &page.items {
                    self.keep(item.get().as_bytes())?;
                    digest = chained(digest, item.get().as_bytes());
                    changes += 1;
                }
                agree(kind, &page.digest, &digest)?;
                self.pages += 1;
                self.places.insert(
                    kind,
                    Place {
                        cursor: page.cursor,
                        digest,
                    },
                );
                if !page.more {
                    break;
                }
            }
        }
        Ok(changes)
    }

    /// Takes an item; an older one than what is held would be a mistake of the gateway's.
    fn keep(&mut self, item: &[u8]) -> Result<EntityKind, Fault> {
        let item: Item = serde_json::from_slice(item).map_err(|error| unreadable(&error))?;
        let held = Held {
            sequence: item.sequence,
            version: item.version,
            record: item.record,
        };
        if let Some(before) = self.held.insert((item.kind, item.id), held)
            && before.sequence >= item.sequence
        {
            return Err(Fault::partner(
                Stage::Receive,
                format!(
                    "change {} came after change {}; expected rising numbers",
                    item.sequence, before.sequence
                ),
            ));
        }
        Ok(item.kind)
    }

    /// How much it holds.
    pub fn counts(&self) -> LiveEntries {
        let live = |kind: EntityKind| {
            self.held
                .iter()
                .filter(|((of, _), held)| *of == kind && held.record.is_some())
                .count()
        };
        let ended = self
            .held
            .values()
            .filter(|held| held.record.is_none())
            .count();
        LiveEntries {
            institutions: live(EntityKind::Institution),
            caregivers: live(EntityKind::Caregiver),
            ended,
        }
    }

    /// Pages it has taken.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Where what it holds is not what the registry holds of the fields of its entry; empty when it
    /// holds the same. At most twenty are listed; no values are shown.
    ///
    /// # Errors
    /// The database cannot be read, or the configuration has no such partner.
    pub async fn differences(
        &self,
        gateway: &Gateway,
        partner: &str,
    ) -> Result<Vec<String>, Fault> {
        let fields = gateway
            .config
            .partner(partner)
            .and_then(|partner| partner.fields.as_ref());
        let fields = fields.ok_or_else(|| {
            Fault::operator(
                Stage::Config,
                format!("partner {partner} has no [partner.fields]"),
            )
        })?;
        let kinds: Vec<EntityKind> = EntityKind::ALL
            .into_iter()
            .filter(|kind| fields.of(*kind).is_some())
            .collect();
        let registrar = &gateway.registrar;
        let at = registrar.registry.head().await?;
        let (mut found, mut seen, mut after) = (Vec::new(), 0, None::<(EntityKind, String)>);
        loop {
            let last = after.as_ref().map(|(kind, id)| (*kind, id.as_str()));
            let changes = registrar.registry.as_of(at, &kinds, last, PAGE).await?;
            for change in &changes {
                seen += 1;
                let expected = expected(gateway, fields, change)?;
                found.extend(self.difference(change, expected.as_ref()));
            }
            match changes.last() {
                Some(last) if changes.len() as i64 == PAGE => {
                    after = Some((last.kind, last.entity_id.clone()))
                }
                _ => break,
            }
        }
        if self.held.len() > seen {
            found.push(format!(
                "the puller holds {} entries, the registry {seen}",
                self.held.len()
            ));
        }
        found.truncate(LISTED);
        Ok(found)
    }

    fn difference(&self, change: &RegistryChange, expected: Option<&Value>) -> Option<String> {
        let name = format!("{} {}", change.kind, change.entity_id);
        let Some(held) = self.held.get(&(change.kind, change.entity_id.clone())) else {
            return Some(format!("{name} is not held"));
        };
        if (held.sequence, held.version) != (change.sequence, change.version) {
            return Some(format!(
                "{name}: change {} version {} is held; expected {} and {}",
                held.sequence, held.version, change.sequence, change.version
            ));
        }
        match (&held.record, expected) {
            (None, None) => None,
            (Some(held), Some(expected)) if held == expected => None,
            (Some(Value::Object(held)), Some(Value::Object(expected))) => {
                let names: BTreeSet<&String> = held.keys().chain(expected.keys()).collect();
                let differing: Vec<&str> = names
                    .into_iter()
                    .filter(|name| held.get(*name) != expected.get(*name))
                    .map(String::as_str)
                    .collect();
                Some(format!("{name}: {} differ", differing.join(", ")))
            }
            (held, _) => Some(format!(
                "{name} has ended for one side only; the puller holds it {}",
                if held.is_some() { "live" } else { "ended" }
            )),
        }
    }

    async fn get(&self, path: &str) -> Result<reqwest::Response, Fault> {
        let mut refused = String::new();
        for _ in 0..TRIES {
            let sent = self.http.get(format!("{}{path}", self.base)).send().await;
            let answer = sent.map_err(|error| broken(&error.without_url()))?;
            let status = answer.status().as_u16();
            if status == 200 {
                return Ok(answer);
            }
            let wait = answer
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse().ok());
            refused = format!("{status}: {}", answer.text().await.unwrap_or_default());
            match (status, wait) {
                (429 | 503, Some(seconds)) => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await
                }
                _ => break,
            }
        }
        Err(Fault::partner(
            Stage::Receive,
            format!("the gateway answered {refused}"),
        ))
    }
}

/// What a puller should hold of an entry, made from the record itself and not by the code that sends it.
fn expected(
    gateway: &Gateway,
    fields: &PullerFields,
    change: &RegistryChange,
) -> Result<Option<Value>, Fault> {
    let Some(entry) = publish::open(&gateway.registrar.keys, change)? else {
        return Ok(None);
    };
    let record = match &entry {
        publish::StoredRecord::Institution(institution) => serde_json::to_value(institution),
        publish::StoredRecord::Caregiver(caregiver) => serde_json::to_value(caregiver),
    };
    let record = record.map_err(|error| unreadable(&error))?;
    let mut given = serde_json::Map::new();
    let mut personal = serde_json::Map::new();
    let mut private = false;
    for field in fields.of(change.kind).unwrap_or_default() {
        let (into, name, value) = match (field.as_str(), field.strip_prefix(PRIVATE)) {
            (_, Some(name)) => {
                private = true;
                (&mut personal, name, record["personal"].get(name).cloned())
            }
            ("status", _) => (&mut given, "status", Some(change.status.clone().into())),
            ("designated", _) => (&mut given, "designated", Some(change.designated.into())),
            (name, _) => (&mut given, name, record.get(name).cloned()),
        };
        if let Some(value) = value {
            into.insert(name.to_string(), value);
        }
    }
    if private && change.sealed.is_some() {
        given.insert("personal".into(), personal.into());
    }
    Ok(Some(given.into()))
}

fn chained(digest: [u8; 32], item: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(digest)
        .chain_update(item)
        .finalize()
        .into()
}

fn agree(kind: EntityKind, told: &str, own: &[u8; 32]) -> Result<(), Fault> {
    let own: String = HEXLOWER.encode(own);
    if told == own {
        return Ok(());
    }
    Err(Fault::partner(
        Stage::Receive,
        format!(
            "{}: the gateway's digest is {told}, ours {own}; something was lost or altered on the way",
            kind.plural()
        ),
    ))
}

fn broken(error: &dyn std::fmt::Display) -> Fault {
    Fault::later(Stage::Receive, format!("pulling broke off: {error}"))
}

fn unreadable(error: &serde_json::Error) -> Fault {
    // The kind of mistake and its place, never the content.
    Fault::partner(
        Stage::Receive,
        format!(
            "what came is not as agreed: {:?} error in line {}, column {}",
            error.classify(),
            error.line(),
            error.column()
        ),
    )
}
