//! Metrics that are read where they arise when somebody asks: dispatchers, certificates, memory.
//!
//! Labels are names from partners.toml and words of the code; nothing of what partners send.

use std::sync::Arc;

use super::endings::{days_until, endings};
use crate::config::Config;
use crate::flow::deliver::PauseReason;
use crate::link::TrustState;
use crate::server::Refresh;
use crate::telemetry::{
    DestinationLabel, DestinationReason, DestinationState, Metrics, NameLabel, PartnerOutcome,
};
use crate::worker::Watcher;

/// What brings the metrics up to date before they are shown.
pub(super) fn refresher(watcher: Watcher, trust: Arc<TrustState>, config: Arc<Config>) -> Refresh {
    Arc::new(move |metrics| {
        dispatchers(&watcher, metrics);
        certificates(&trust, &config, metrics);
        metrics
            .resident_bytes
            .set(resident_bytes().unwrap_or_default());
    })
}

fn dispatchers(watcher: &Watcher, metrics: &Metrics) {
    for status in watcher.status() {
        let destination = DestinationLabel {
            destination: status.destination.clone(),
        };
        metrics
            .lease_held
            .get_or_create(&destination)
            .set(i64::from(status.holds_lease));
        metrics
            .breaker_open
            .get_or_create(&destination)
            .set(i64::from(status.breaker_open));
        for reason in PauseReason::ALL {
            let label = DestinationReason {
                destination: status.destination.clone(),
                reason: reason.word().into(),
            };
            metrics
                .destination_paused
                .get_or_create(&label)
                .set(i64::from(status.paused == Some(reason)));
        }
        metrics
            .under_way
            .get_or_create(&destination)
            .set(i64::try_from(status.under_way).unwrap_or(i64::MAX));
        if metrics.database_up.get() == 1 {
            // What nothing waits for has no row in the database.
            for state in ["ready", "leased", "in_doubt", "dead"] {
                let _ = metrics.deliveries.get_or_create(&DestinationState {
                    destination: status.destination.clone(),
                    state: state.into(),
                });
            }
            let _ = metrics.oldest_seconds.get_or_create(&destination);
        }
        let figures = &status.figures;
        let more = [("inquired", figures.inquiries), ("lost", figures.lost)];
        for (outcome, count) in figures.outcomes.iter().copied().chain(more) {
            let label = PartnerOutcome {
                partner: status.destination.clone(),
                outcome: outcome.into(),
            };
            let counter = metrics.attempts.get_or_create_owned(&label);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        for (state, count) in [("delivered", figures.delivered), ("dead", figures.dead)] {
            let label = PartnerOutcome {
                partner: status.destination.clone(),
                outcome: state.into(),
            };
            let counter = metrics.settled.get_or_create_owned(&label);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

/// Days left of every certificate whose expiry would stop something; one that cannot be read has none.
fn certificates(trust: &TrustState, config: &Config, metrics: &Metrics) {
    for ending in endings(trust, config) {
        let label = NameLabel { name: ending.name };
        match ending.until {
            Some(until) => drop(
                metrics
                    .certificate_days
                    .get_or_create(&label)
                    .set(days_until(until)),
            ),
            None => drop(metrics.certificate_days.remove(&label)),
        }
    }
}

/// Memory of this process that is in RAM, from /proc/self/statm (proc(5)).
fn resident_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    pages.checked_mul(page)
}
