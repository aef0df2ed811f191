//! `ltcgw serve`: the gateway until SIGTERM, SIGINT or SIGQUIT; `ltcgw migrate`: its database only.
//!
//! Stops in order: `/readyz` off, packets under way answered, deliveries under way written down and
//! leases released, embedded PostgreSQL stopped. A second signal ends the process at once, unless it
//! comes within a second (a terminal and the program above us both pass one Ctrl-C on): what is
//! durable stays so, and what was under way is asked about at the next start. Signals that mean nothing to us (a terminal that
//! closed, SIGUSR1) are noted and end nothing. A database that does
//! not answer at the start is a fault, not something to wait for: whoever started us (systemd, a
//! container's policy) starts us again and tells the operator.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Done;
use crate::config::Config;
use crate::error::{Fault, Stage};
use crate::service::{self, LoadedConfig};
use crate::store::Store;
use crate::store::embedded::EmbeddedPostgres;
use crate::telemetry;

/// Exit status of a process ended by a signal is 128 and its number (signal(7)).
const SIGNAL_STATUS: i32 = 128;

/// Signals that follow the first so soon are the same wish, told twice.
const SAME_WISH: Duration = Duration::from_secs(1);

/// What is logged unless `LTCGW_LOG` says otherwise; the listeners' own start and stop is ours to tell.
const LOGGED: &str = "info,actix_server=warn";

pub(super) async fn run(dir: &Path) -> Done {
    let mut signals = Signals::new()?;
    let loaded = LoadedConfig::read(dir)?;
    telemetry::start_logging(loaded.config.gateway.log.json, LOGGED);
    if loaded.config.gateway.approval.same_login {
        tracing::warn!(
            "[approval] same_login = true: one person can plan and approve deductions under two names"
        );
    }
    let (connection, embedded) = tokio::select! {
        database = service::database(&loaded.config) => database?,
        _ = signals.next() => return Ok(()),
    };
    let started = tokio::select! {
        running = service::start(loaded, connection) => Some(running),
        _ = signals.next() => None,
    };
    let done = match started {
        Some(Ok(running)) => {
            tracing::info!(partners = %running.server.partner, operator = %running.server.operator, "serving");
            let signal = nix::sys::signal::Signal::try_from(signals.next().await)
                .map_or("unknown", nix::sys::signal::Signal::as_str);
            tracing::info!(
                signal,
                "stopping: no new packets, finishing what is under way; a second signal ends at once"
            );
            tokio::spawn(end_at_once(signals));
            running.stop().await;
            Ok(())
        }
        Some(Err(fault)) => Err(fault.into()),
        None => Ok(()),
    };
    stop(embedded).await;
    tracing::info!("stopped");
    done
}

/// Brings the database of a configuration to this version's schema and ends.
pub(super) async fn migrate(dir: &Path) -> Done {
    let config = Config::load(dir)?;
    let (connection, embedded) = service::database(&config).await?;
    let opened = Store::open(connection, &[]).await.map(drop);
    stop(embedded).await;
    opened?;
    println!("the database has this version's schema");
    Ok(())
}

async fn stop(embedded: Option<EmbeddedPostgres>) {
    if let Some(embedded) = embedded {
        // It waits for the server's last checkpoint; if that task dies, dropping has stopped the server.
        tokio::task::spawn_blocking(move || embedded.stop())
            .await
            .ok();
    }
}

async fn end_at_once(mut signals: Signals) {
    let first_at = Instant::now();
    let mut number = signals.next().await;
    while first_at.elapsed() < SAME_WISH {
        number = signals.next().await;
    }
    tracing::warn!("ended at once by a second signal");
    std::process::exit(SIGNAL_STATUS + number);
}

/// Signals that would end the process and mean nothing to us: SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGVTALRM, SIGPROF,
/// SIGIO, SIGPWR, SIGSTKFLT (signal(7)).
const NOTED: [nix::sys::signal::Signal; 10] = {
    use nix::sys::signal::Signal;
    [
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPIPE,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGSTKFLT,
    ]
};

/// SIGTERM, SIGINT and SIGQUIT from now on, instead of their ending the process; those of [`NOTED`] end nothing.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    noting: Vec<tokio::task::JoinHandle<()>>,
}

impl Signals {
    pub(super) fn new() -> Result<Signals, Fault> {
        let on = |kind| {
            signal(kind).map_err(|error| {
                Fault::operator(
                    Stage::Config,
                    format!("signals cannot be received: {error}"),
                )
            })
        };
        let mut noting = Vec::new();
        for number in NOTED {
            noting.push(tokio::spawn(note(
                number,
                on(SignalKind::from_raw(number as i32))?,
            )));
        }
        Ok(Signals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            quit: on(SignalKind::quit())?,
            noting,
        })
    }

    /// Waits for the next one and says its number.
    pub(super) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.quit.recv() => SignalKind::quit().as_raw_value(),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.noting.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn note(name: nix::sys::signal::Signal, mut signal: Signal) {
    while signal.recv().await.is_some() {
        tracing::info!(
            signal = name.as_str(),
            "noted, and nothing done: certificates are read again by themselves, configuration with a restart; SIGTERM stops"
        );
    }
}

/// Waits for SIGTERM, SIGINT or SIGQUIT.
#[cfg(feature = "sandbox")]
pub(super) async fn stop_signal() {
    if let Ok(mut signals) = Signals::new() {
        signals.next().await;
    }
}
