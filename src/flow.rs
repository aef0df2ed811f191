//! The stories, one file each, read top to bottom. Here adapter, ledger, link and store meet.
//!
//! A flow decides what happens in which order; it holds no SQL, no partner's element names and no
//! rates of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::{Adapter, Catalog, Secrets};
use crate::config::{Config, OutboundEntry, Partner};
use crate::error::{Fault, Stage};
use crate::ledger::{Fund, RateBook};
use crate::link::SystemClock;
use crate::store::Store;
use crate::store::delivery::EntityQueue;

pub mod approval; // what one person asks for and another decides
pub mod backfill; // the whole registry for a new destination
pub mod clock; // what day it is
pub mod collect; // a partner's packet becomes posted money
pub mod dead; // dead letters, and the person who decides about them
pub mod deduct; // a month's deductions: planned, approved, run
pub mod deliver; // one delivery: render, send, judge
pub mod destinations; // where deliveries go, and pauses
pub mod fhir; // the registries as FHIR resources
pub mod inquire; // one delivery in doubt: ask before anything is sent again
pub mod intake; // the one entrance: a message comes in, is done, is answered
pub mod packets; // packets of a day, taken and refused
pub mod publish; // institutions and caregivers: checked, sealed, stored, queued
pub mod pull; // the registries, pulled by the province
pub mod rates; // the rules money was split by so far
pub mod roster; // who is insured, from the medical core
pub mod shares; // what one partner can take of an instance at once
pub mod speak; // adapter and link, joined for the dispatcher
pub mod standing; // who paid what, and whether a person has paid
pub mod tell; // what destinations are told, a file for each subject
pub mod trace; // where a line, packet or receipt went
pub mod transfer; // a month's deductions: batches out, results in
pub mod waiting; // what waits, and when it will have gone

/// What every flow works with: one per instance, immutable, cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub catalog: Arc<Catalog>,
    pub book: Arc<RateBook>,
    pub rates: rates::Rates,
    pub store: Store,
    pub destinations: Arc<[collect::FundDestination]>,
    pub registrar: publish::Registrar,
    /// Loads of the registries under way.
    pub loads: publish::Loads,
    /// A month's deductions on their way.
    pub transfer: transfer::Transfer,
    /// What the province pulls.
    pub pulls: Arc<pull::Pulls>,
    /// What partners take of this instance.
    pub shares: shares::Shares,
    group: collect::Group,
    alone: Arc<shares::Turns>,
    audience: Arc<Audience>,
    wake: Arc<Wake>,
}

/// Told which partners' dispatchers have something to deliver.
type Wake = dyn Fn(&[String]) + Send + Sync;

/// Partners told of each kind of news, by name.
struct Audience {
    lines: Vec<String>,
    entries: Vec<String>,
    results: Vec<String>,
}

impl Gateway {
    /// Joins everything; returns also what the dispatchers need to reach each destination.
    pub fn new(
        config: Config,
        catalog: Catalog,
        (book, rates): (RateBook, rates::Rates),
        registrar: publish::Registrar,
        store: Store,
    ) -> Result<(Gateway, Vec<deliver::Destination>), Fault> {
        let mut told = Vec::new();
        for partner in &config.partners {
            told.extend(contributions_for(partner, &catalog)?);
        }
        let lines = names(told.iter().map(|destination| &destination.partner));
        let destinations: Arc<[collect::FundDestination]> = told.into();
        let told = entities_for(&config.partners, &catalog)?;
        let entries = names(told.routes.iter().map(|route| &route.destination));
        let registrar = registrar.queueing(EntityQueue {
            routes: told.routes.clone(),
        });
        let contributions = tell::Contributions {
            store: store.clone(),
            rates: rates.clone(),
            destinations: destinations.clone(),
        };
        let entities = tell::Entities {
            pool: store.dispatch_pool().clone(),
            keys: registrar.keys.clone(),
            told,
        };
        let transfer = transfer::Transfer {
            store: store.clone(),
            partners: deduct::DeductionPartners::of(&config.partners, &catalog).into(),
        };
        let results = names(transfer.partners.everybody_told());
        let content = Arc::new(tell::Contents {
            contributions,
            entities,
            batches: tell::BatchReader {
                store: store.clone(),
                partners: transfer.partners.clone(),
            },
            transfer: transfer.clone(),
        });
        let mut reached = Vec::new();
        for partner in &config.partners {
            if let Some(entry) = &partner.outbound {
                let destination = reach(partner, entry, &catalog, content.clone())?;
                reached.push(deliver::Destination {
                    clock: Arc::new(registrar.clock.clone()),
                    ..destination
                });
            }
        }
        let group = collect::Group::new(&store);
        let pulls = Arc::new(pull::Pulls::new(&config, &registrar));
        let alone = (store.pool().status().max_size / 2).clamp(1, collect::ALONE_MAX);
        // Half for one partner: another's large packets do not wait until all of the first have been posted.
        let alone = Arc::new(shares::Turns::new(alone.div_ceil(2), alone));
        let shares = shares::Shares::new(&config.gateway.receive);
        let (config, catalog, book) = (Arc::new(config), Arc::new(catalog), Arc::new(book));
        let gateway = Gateway {
            config,
            catalog,
            book,
            rates,
            store,
            destinations,
            registrar,
            loads: publish::Loads::here(),
            transfer,
            pulls,
            shares,
            group,
            alone,
            audience: Arc::new(Audience {
                lines,
                entries,
                results,
            }),
            wake: Arc::new(|_| {}),
        };
        Ok((gateway, reached))
    }

    /// The adapter a partner speaks.
    pub fn adapter_of(&self, partner: &Partner) -> Result<&Arc<Adapter>, Fault> {
        loaded(partner, &self.catalog)
    }

    /// The same gateway, telling `wake` after every commit that queued deliveries for whom it did.
    #[must_use]
    pub fn waking(self, wake: impl Fn(&[String]) + Send + Sync + 'static) -> Gateway {
        Gateway {
            wake: Arc::new(wake),
            ..self
        }
    }
}

fn names<'a>(of: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = of.cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Who is told of contributions, with the adapter's limits lowered by the partner's entry.
fn contributions_for(
    partner: &Partner,
    catalog: &Catalog,
) -> Result<Vec<collect::FundDestination>, Fault> {
    let Some(entry) = &partner.outbound else {
        return Ok(Vec::new());
    };
    let adapter = loaded(partner, catalog)?;
    let outbounds = entry
        .receives
        .iter()
        .map(|message| speak::named(adapter, message))
        .collect::<Result<Vec<_>, _>>()?;
    let lines = outbounds
        .into_iter()
        .filter(|outbound| tell::SubjectKind::of(outbound) == tell::SubjectKind::Records);
    let told = lines.map(|outbound| {
        let message = outbound.message();
        let records_max = entry.limits.records_per_request.unwrap_or(u32::MAX).min(outbound.records_max());
        let word = outbound.fund().unwrap_or_default();
        let fund = Fund::of_word(word).ok_or_else(|| {
            Fault::operator(
                Stage::Config,
                format!("adapter {}: message {message} names fund `{word}`; expected `fund = \"medical\"` or \"long_term_care\"", adapter.name()),
            )
        })?;
        Ok(collect::FundDestination { partner: partner.name.clone(), message: message.to_owned(), records_max, areas: entry.area_numbers(), fund })
    });
    told.collect()
}

/// Who is told of which registry entries.
pub fn entities_for(partners: &[Partner], catalog: &Catalog) -> Result<tell::EntityRoutes, Fault> {
    let mut told = tell::EntityRoutes::default();
    for partner in partners.iter().filter(|partner| partner.outbound.is_some()) {
        told.add(partner, loaded(partner, catalog)?)?;
    }
    Ok(told)
}

fn reach(
    partner: &Partner,
    entry: &OutboundEntry,
    catalog: &Catalog,
    content: Arc<tell::Contents>,
) -> Result<deliver::Destination, Fault> {
    let adapter = loaded(partner, catalog)?;
    let secrets = Secrets::load(&partner.secrets).map_err(|findings| {
        let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
        Fault::operator(
            Stage::Config,
            format!("partner {}: {}", partner.name, texts.join("; ")),
        )
    })?;
    let secrets = Arc::new(secrets);
    let mut speakers = BTreeMap::new();
    for message in &entry.receives {
        let speaker =
            speak::AdapterSpeaker::new(adapter.clone(), partner, secrets.clone(), message)?;
        speakers.insert(
            message.clone(),
            Arc::new(speaker) as Arc<dyn deliver::Speaker>,
        );
    }
    Ok(deliver::Destination {
        name: partner.name.clone(),
        limits: entry.limits.clone(),
        clock: Arc::new(SystemClock),
        deadline: Duration::from_secs(entry.deadline_seconds),
        wire: Arc::new(speak::LinkWire::new(entry)?),
        speakers,
        content,
    })
}

fn loaded<'a>(partner: &Partner, catalog: &'a Catalog) -> Result<&'a Arc<Adapter>, Fault> {
    let unknown = || {
        Fault::operator(
            Stage::Config,
            format!(
                "partner {}: {}",
                partner.name,
                catalog.unknown(&partner.adapter)
            ),
        )
    };
    catalog.get(&partner.adapter).ok_or_else(unknown)
}
