//! The registries, pulled: pages of changes in the order of commit, and everything at one instant.
//!
//! A puller goes on from the cursor it was given and so gets every change exactly once, in order,
//! whatever the size of its pages. It is given the fields its entry in partners.toml lists and no
//! others. Whoever it is has been decided before; nothing here knows of HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use data_encoding::HEXLOWER;

use crate::config::{Config, PullerFields};
use crate::error::Fault;
use crate::flow::publish::Registrar;
use crate::model::registry::EntityKind;
use crate::store::registry::{Registry, RegistryChange};
use crate::store::sealed::Keys;

mod areas; // what a puller may see of what lies where
mod cache; // pages that can never change again
mod cursor; // where a puller is, signed
mod encode; // gzip, zstd
mod item; // a change as a puller sees it
mod snapshot; // everything at one instant

pub use areas::Areas;
pub use cursor::CursorSigner;
pub use encode::{ContentCoding, Encoder};
pub use item::FieldSet;
pub use snapshot::Snapshot;

use cache::Cache;
use cursor::Bearer;
pub(super) use cursor::{CursorRefusal, Position};

/// Records of a page when the puller names no number, and at most.
pub const LIMIT_DEFAULT: u32 = 100;
pub const LIMIT_MAX: u32 = 1000;
const CACHE_BYTES: usize = 64 << 20;

const OTHER_AREAS: &str = "the pooling areas agreed for this puller have changed since the cursor was given, so it does not say what you hold; \
    take a new snapshot in place of all you hold, and go on from its cursors";

/// What pulling works with: one per instance.
pub struct Pulls {
    pub registry: Registry,
    pub keys: Arc<Keys>,
    pub registrar: Registrar,
    signer: CursorSigner,
    /// Of the pages of FHIR: its cursors are no cursors of ours.
    pub(super) fhir_signer: CursorSigner,
    pullers: HashMap<String, Arc<RegistryPuller>>,
    cache: Mutex<Cache<PageKey>>,
}

/// A partner that pulls.
pub struct RegistryPuller {
    name: String,
    sets: HashMap<EntityKind, FieldSet>,
    /// Absent: it is given every area.
    areas: Option<Areas>,
}

/// What a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    pub kind: EntityKind,
    /// As given by the page before; from the beginning when absent.
    pub cursor: Option<String>,
    pub limit: u32,
    pub format: PageFormat,
    pub encoding: ContentCoding,
}

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageFormat {
    /// One object with `items`, `cursor`, `more` and `digest`.
    Json,
    /// An item a line; the last line is `{"trailer": {cursor, more, digest}}`.
    NdJson,
}

impl PageFormat {
    pub fn content_type(self) -> &'static str {
        match self {
            PageFormat::Json => "application/json",
            PageFormat::NdJson => "application/x-ndjson",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct PageKey {
    puller: String,
    ask: Ask,
}

/// A page, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Encoded as asked.
    pub body: Bytes,
    /// A strong validator (RFC 9110 §8.8.3), in quotes.
    pub etag: String,
}

/// Why a puller is not given what it asked for.
#[derive(Debug)]
pub enum PullRefusal {
    /// It asked for something that cannot be; the text says what and what to do.
    Bad(String),
    /// Its entry does not let it.
    Forbidden(String),
    /// There is no such thing.
    NotFound(String),
    /// There was one; it has ended.
    Gone(String),
    /// It goes on from a cursor of other areas than it has now.
    OtherAreas(String),
    /// Not in a form it takes.
    NotAcceptable(String),
    /// Not its fault.
    Failed(Fault),
}

impl From<Fault> for PullRefusal {
    fn from(fault: Fault) -> PullRefusal {
        PullRefusal::Failed(fault)
    }
}

impl Pulls {
    pub fn new(config: &Config, registrar: &Registrar) -> Pulls {
        let keys = registrar.keys.clone();
        let pullers = config.partners.iter().filter_map(|partner| {
            Some((
                partner.name.clone(),
                Arc::new(RegistryPuller::new(&partner.name, partner.fields.as_ref()?)),
            ))
        });
        Pulls {
            registry: registrar.registry.clone(),
            registrar: registrar.clone(),
            signer: CursorSigner::new(&keys, "pull cursor"),
            fhir_signer: CursorSigner::new(&keys, "fhir cursor"),
            keys,
            pullers: pullers.collect(),
            cache: Mutex::new(Cache::new(CACHE_BYTES)),
        }
    }

    /// The puller of that name.
    ///
    /// # Errors
    /// Its entry has no `[partner.fields]`.
    pub fn puller(&self, name: &str) -> Result<&Arc<RegistryPuller>, PullRefusal> {
        self.pullers
            .get(name)
            .ok_or_else(|| PullRefusal::Forbidden(format!("partner {name} is given no fields; its entry in partners.toml needs [partner.fields]")))
    }

    /// The next changes after a cursor.
    pub async fn page(&self, puller: &RegistryPuller, ask: Ask) -> Result<Page, PullRefusal> {
        let fields = puller.fields(ask.kind)?;
        let key = PageKey {
            puller: puller.name.clone(),
            ask,
        };
        if let Some(page) = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(page);
        }
        let ask = &key.ask;
        let from = self.position(puller, ask.kind, ask.cursor.as_deref())?;
        let mut changes = self
            .changes_after(puller, ask.kind, from.sequence, i64::from(ask.limit) + 1)
            .await?;
        let more = changes.len() > ask.limit as usize;
        changes.truncate(ask.limit as usize);
        if changes.is_empty() && self.registry.head().await? < from.sequence {
            return Err(PullRefusal::Bad(
                "the cursor is newer than the registry, which was probably restored from a backup; take a new snapshot and go on from its cursors".into(),
            ));
        }
        let page = self.write(puller, ask, (from, &changes, more), fields)?;
        if more {
            // Full, and nothing can come in between: this page stays as it is for ever.
            self.cache
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .put(key, page.clone());
        }
        Ok(page)
    }

    fn write(
        &self,
        puller: &RegistryPuller,
        ask: &Ask,
        (mut at, changes, more): (Position, &[RegistryChange], bool),
        fields: &FieldSet,
    ) -> Result<Page, Fault> {
        let mut body = Vec::with_capacity(512 * changes.len() + 256);
        if ask.format == PageFormat::Json {
            body.extend_from_slice(b"{\"items\":[");
        }
        for (number, change) in changes.iter().enumerate() {
            if ask.format == PageFormat::Json && number > 0 {
                body.push(b',');
            }
            let start = body.len();
            fields.write(change, &self.keys, &mut body)?;
            at = at.after(change.sequence, &body[start..]);
            if ask.format == PageFormat::NdJson {
                body.push(b'\n');
            }
        }
        let cursor = self.signer.sign(puller.bearer(), ask.kind, &at);
        let digest = HEXLOWER.encode(&at.digest);
        let end = format!("\"cursor\":\"{cursor}\",\"more\":{more},\"digest\":\"{digest}\"}}");
        match ask.format {
            PageFormat::Json => body.extend_from_slice(format!("],{end}").as_bytes()),
            PageFormat::NdJson => {
                body.extend_from_slice(format!("{{\"trailer\":{{{end}}}\n").as_bytes())
            }
        }
        // The same items under other areas come with another cursor.
        let areas = puller
            .areas
            .as_ref()
            .map(|areas| format!("-{}", HEXLOWER.encode(&areas.tag())))
            .unwrap_or_default();
        let form = u8::from(ask.format == PageFormat::NdJson);
        let etag = format!(
            "\"{}-{}-{}{form}{}{areas}\"",
            at.sequence,
            &digest[..32],
            u8::from(more),
            ask.encoding.word()
        );
        Ok(Page {
            body: ask.encoding.encode(body),
            etag,
        })
    }

    fn position(
        &self,
        puller: &RegistryPuller,
        kind: EntityKind,
        cursor: Option<&str>,
    ) -> Result<Position, PullRefusal> {
        match cursor {
            None => Ok(Position::default()),
            Some(text) => self
                .signer
                .verify(text, puller.bearer(), kind)
                .map_err(|refusal| match refusal {
                    CursorRefusal::Bad(text) => PullRefusal::Bad(text),
                    CursorRefusal::OtherAreas => PullRefusal::OtherAreas(OTHER_AREAS.into()),
                }),
        }
    }
}

impl RegistryPuller {
    fn new(name: &str, fields: &PullerFields) -> RegistryPuller {
        let sets = EntityKind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, FieldSet::new(kind, fields.of(kind)?))));
        RegistryPuller {
            name: name.to_string(),
            sets: sets.collect(),
            areas: fields.areas.as_deref().map(Areas::new),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The areas it is bound to, if it is.
    pub fn areas(&self) -> Option<&Areas> {
        self.areas.as_ref()
    }

    /// Whose its cursors are.
    pub(super) fn bearer(&self) -> Bearer<'_> {
        Bearer {
            puller: &self.name,
            areas: self.areas.as_ref().map(Areas::tag),
        }
    }

    /// The kinds it is given.
    pub fn kinds(&self) -> Vec<EntityKind> {
        EntityKind::ALL
            .into_iter()
            .filter(|kind| self.sets.contains_key(kind))
            .collect()
    }

    /// What it is given of a kind.
    ///
    /// # Errors
    /// Its entry lists no fields of this kind.
    pub fn fields(&self, kind: EntityKind) -> Result<&FieldSet, PullRefusal> {
        self.sets.get(&kind).ok_or_else(|| {
            PullRefusal::Forbidden(format!(
                "partner {} is given no {}; [partner.fields] of its entry in partners.toml lists none of their fields",
                self.name,
                kind.plural()
            ))
        })
    }
}
