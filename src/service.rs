//! Everything put together: a configuration becomes a running gateway.
//!
//! Shared by `ltcgw serve`, the demo and the tests. Decides what is checked before anything starts
//! and the order in which things start and stop, nothing else.
//!
//! Certificates, keys and the revocation list are read again when their files change. Partners'
//! entries are not: who may call and where we deliver changes only with a restart, so that one
//! instance never works by half of an edited file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::adapter::Catalog;
use crate::config::{Config, of_key};
use crate::error::{Fault, Finding, Stage};
use crate::flow::Gateway;
use crate::flow::clock::CityClock;
use crate::flow::publish::Registrar;
use crate::flow::rates::Rates;
use crate::ledger::RateBook;
use crate::link::{Acceptor, TrustState};
use crate::registry::RegistryRules;
use crate::server::Listeners;
use crate::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use crate::store::sealed::Keys;
use crate::store::{DatabaseAccess, Store};
use crate::telemetry::Metrics;
use crate::worker::Worker;

mod check; // a partner's entry against its adapter and its files
mod endings; // certificates that expire, and warnings before
mod figures;
mod files; // how many files may be open // what the dispatchers and certificates add to the metrics

pub use check::{PartnerProblem, problems};

/// How often certificates and the revocation list are looked at for changes.
const RELOAD: Duration = Duration::from_secs(10);

/// How often it is said that certificates have ended or will soon.
const WARN_EVERY: Duration = Duration::from_secs(86_400);

/// How long a gateway that cannot start waits for its dispatchers.
const GIVE_UP: Duration = Duration::from_secs(5);

/// A running gateway.
pub struct RunningGateway {
    pub gateway: Gateway,
    pub server: Listeners,
    worker: Worker,
    trust: Arc<TrustState>,
    reload: tokio::task::JoinHandle<()>,
}

/// Everything of a configuration that is not the database: what [`start`] needs.
pub struct LoadedConfig {
    pub config: Config,
    pub catalog: Catalog,
    pub book: RateBook,
    pub rules: RegistryRules,
    pub keys: Keys,
    pub trust: Arc<TrustState>,
    /// What day it is; may be set before the start.
    pub clock: CityClock,
}

impl LoadedConfig {
    /// Reads configuration, rates, adapters, certificates and secrets; all problems at once.
    pub fn read(dir: &Path) -> Result<LoadedConfig, Vec<Finding>> {
        let config = Config::load(dir)?;
        let mut findings = Vec::new();
        let book = RateBook::load(&config.gateway.rates_dir)
            .map_err(|found| findings.extend(found))
            .ok();
        let rules = RegistryRules::load(&config.gateway.rules_dir)
            .map_err(|found| findings.extend(found))
            .ok();
        let keys = Keys::load(&config.gateway.privacy.key_file)
            .map_err(|fault| findings.push(in_gateway(dir, "privacy", "key_file", fault.text)))
            .ok();
        let catalog = Catalog::load(&config.gateway.adapters_dir)
            .map_err(|found| findings.extend(found))
            .ok();
        let trust = TrustState::load(&config.gateway.tls, &config.partners)
            .map_err(|fault| findings.push(in_gateway(dir, "tls", "", format!("[tls] {fault}"))))
            .ok();
        if let Some(catalog) = &catalog {
            for partner in &config.partners {
                findings.extend(
                    problems(partner, catalog)
                        .iter()
                        .map(|problem| problem.finding(&config, partner)),
                );
            }
        }
        match (book, rules, keys, catalog, trust) {
            (Some(book), Some(rules), Some(keys), Some(catalog), Some(trust))
                if findings.is_empty() =>
            {
                Ok(LoadedConfig {
                    config,
                    catalog,
                    book,
                    rules,
                    keys,
                    trust,
                    clock: CityClock::default(),
                })
            }
            _ => Err(findings),
        }
    }
}

/// Starts listeners and dispatchers on a database.
///
/// # Errors
/// An address is taken, or the database cannot be reached or brought to this version's schema.
pub async fn start(
    loaded: LoadedConfig,
    connection: DatabaseAccess,
) -> Result<RunningGateway, Fault> {
    let LoadedConfig {
        config,
        catalog,
        book,
        rules,
        keys,
        trust,
        clock,
    } = loaded;
    let senders: Vec<String> = config
        .partners
        .iter()
        .filter(|partner| partner.inbound.is_some())
        .map(|partner| partner.name.clone())
        .collect();
    let store = Store::open(connection, &senders).await?;
    let rates = Rates::open(&store, book).await?;
    files::raise(&config.gateway);
    let metrics = Metrics::default();
    let packets = config.partners.iter().filter(|partner| {
        partner.inbound.as_ref().is_some_and(|inbound| {
            inbound
                .routes
                .iter()
                .any(|route| route.contains("/packets"))
        })
    });
    metrics.begin(packets.map(|partner| partner.name.as_str()));
    let (gateway, destinations) = Gateway::new(
        config,
        catalog,
        rates,
        Registrar::new(rules, keys, clock, &store),
        store,
    )?;
    let mut worker = Worker::start(
        &gateway.config.gateway.deliver,
        gateway.store.dispatch_pool(),
        destinations,
    );
    let waker = worker.waker();
    let gateway =
        gateway.waking(move |destinations| waker.wake(destinations.iter().map(String::as_str)));
    worker.keep_calendar(&gateway);
    let refresh = figures::refresher(worker.watcher(), trust.clone(), gateway.config.clone());
    let server = match Listeners::start(gateway.clone(), trust.clone(), metrics, refresh) {
        Ok(server) => server,
        Err(fault) => {
            worker.drain(GIVE_UP).await;
            return Err(fault);
        }
    };
    keep_lists(&trust, &gateway.config);
    let reload = tokio::spawn(reload(
        trust.clone(),
        gateway.config.clone(),
        server.acceptor.clone(),
    ));
    Ok(RunningGateway {
        gateway,
        server,
        worker,
        trust,
        reload,
    })
}

impl RunningGateway {
    /// Turns `/readyz` off, takes no more packets, answers those under way, ends loads of the registries
    /// after the portion each is at, lets the dispatchers finish and release their leases; `false` when something was cut off.
    pub async fn stop(self) -> bool {
        self.reload.abort();
        let patience = Duration::from_secs(self.gateway.config.gateway.deliver.drain_seconds);
        self.gateway.loads.stop();
        self.server.stop().await;
        let loaded = self.gateway.loads.ended(patience).await;
        self.worker.drain(patience).await && loaded
    }

    /// Ends as a crash would: nothing is finished, no lease is released. For tests of what comes after.
    pub fn abandon(self) {
        self.reload.abort();
        drop(self.worker);
    }

    /// Reads certificates and revocation list again, now; says whether they changed.
    pub fn reload_trust(&self) -> Result<bool, Fault> {
        let config = &self.gateway.config;
        let changed = self.trust.reload(&config.gateway.tls, &config.partners)?;
        if changed {
            endings::older_lists(&self.trust);
            keep_lists(&self.trust, config);
        }
        Ok(changed)
    }

    /// The dispatchers' state, for tables and metrics.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }
}

/// Keeps the revocation lists in force for later starts; that it cannot be done stops nothing.
fn keep_lists(trust: &TrustState, config: &Config) {
    if let Err(fault) = trust.keep_lists(&config.gateway.tls) {
        tracing::warn!(%fault, "revocation lists not kept");
    }
}

/// Looks at the certificate files now and then, at nothing else; warns of their ends at the start and daily,
/// and says how many handshakes were refused without a line of their own.
async fn reload(trust: Arc<TrustState>, config: Arc<Config>, acceptor: Arc<Acceptor>) {
    let mut warned_at: Option<Instant> = None;
    loop {
        if warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            endings::warn(&trust, &config);
            warned_at = Some(Instant::now());
        }
        tokio::time::sleep(RELOAD).await;
        acceptor.refusals().report();
        match trust.reload(&config.gateway.tls, &config.partners) {
            Ok(true) => {
                tracing::info!("certificates reloaded");
                endings::older_lists(&trust);
                keep_lists(&trust, &config);
            }
            Ok(false) => {}
            Err(fault) => tracing::error!(%fault, "certificates not reloaded; the old ones stay"),
        }
    }
}

/// The database of a configuration: its own server or an embedded one, which lives as long as the guard.
pub async fn database(
    config: &Config,
) -> Result<(DatabaseAccess, Option<EmbeddedPostgres>), Fault> {
    if let Some(connection) = configured(config)? {
        return Ok((connection, None));
    }
    let options = EmbeddedOptions::durable(config.gateway.data_dir.join("postgres"));
    let embedded = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options))
        .await
        .map_err(|error| {
            Fault::operator(
                Stage::Store,
                format!("starting PostgreSQL ended unexpectedly: {error}"),
            )
        })??;
    let connection = embedded.database("ltcgw").await?;
    Ok((DatabaseAccess::local(connection), Some(embedded)))
}

/// The server that `[database]` names; what cannot be used of it is told with file and line.
fn configured(config: &Config) -> Result<Option<DatabaseAccess>, Fault> {
    DatabaseAccess::configured(&config.gateway.database).map_err(|fault| {
        // The text names the key: `[database] url: ...`.
        let key = fault
            .text
            .strip_prefix("[database] ")
            .and_then(|rest| rest.split([' ', ':']).next())
            .unwrap_or_default();
        let text = in_gateway(&config.dir, "database", key, fault.text.clone()).to_string();
        Fault { text, ..fault }
    })
}

/// A finding about a key of gateway.toml.
fn in_gateway(dir: &Path, section: &str, key: &str, text: String) -> Finding {
    let file = dir.join("gateway.toml");
    let at = std::fs::read_to_string(&file)
        .ok()
        .and_then(|source| of_key(&source, section, key));
    Finding::new(file.display().to_string(), at, text)
}

/// The database of a configuration, for a command beside a running gateway.
pub fn beside(config: &Config) -> Result<DatabaseAccess, Fault> {
    match configured(config)? {
        Some(connection) => Ok(connection),
        None => Ok(DatabaseAccess::local(EmbeddedPostgres::running(
            &config.gateway.data_dir.join("postgres"),
            "ltcgw",
        )?)),
    }
}
