//! The whole registry for a destination: queued bit by bit at the lowest priority, sent by its
//! dispatcher behind everything live and under its limits.
//!
//! Can be interrupted and run again, from anywhere: what was queued or told already is not told
//! twice. Sends nothing itself.

use std::time::Duration;

use super::entities_for;
use crate::adapter::{Catalog, OutboundMessage};
use crate::config::{DestinationLimits, Partner};
use crate::error::{Fault, Stage, did_you_mean};
use crate::store::Pool;
use crate::store::delivery::{Backfill, BackfillProgress, BackfillScope, Route};

/// Entries looked at in one transaction; the registry takes no changes meanwhile.
const STEP: i64 = 500;
const DAY_SECONDS: f64 = 86_400.0;

/// A destination of a backfill: what it receives of the registries, and its limits.
#[derive(Debug, Clone)]
pub struct BackfillTarget {
    pub destination: String,
    routes: Vec<Route>,
    limits: DestinationLimits,
    /// Records one request carries.
    records_max: usize,
}

impl BackfillTarget {
    /// The partner of that name.
    ///
    /// # Errors
    /// There is none, or it receives no registry entries.
    pub fn of(
        partners: &[Partner],
        catalog: &Catalog,
        name: &str,
    ) -> Result<BackfillTarget, Fault> {
        let told = entities_for(partners, catalog)?;
        let mut receivers: Vec<&str> = told
            .routes
            .iter()
            .map(|route| route.destination.as_str())
            .collect();
        receivers.dedup();
        let partner = partners
            .iter()
            .find(|partner| partner.name == name && receivers.contains(&name));
        let Some((partner, entry)) =
            partner.and_then(|partner| Some((partner, partner.outbound.as_ref()?)))
        else {
            let near = did_you_mean(name, receivers.iter().copied());
            let text = format!(
                "no partner `{name}` receives registry entries{near}; those that do are {}",
                receivers.join(", ")
            );
            return Err(Fault::operator(Stage::Config, text));
        };
        let routes: Vec<Route> = told
            .routes
            .iter()
            .filter(|route| route.destination == name)
            .cloned()
            .collect();
        let adapter = super::loaded(partner, catalog)?;
        let most = routes
            .iter()
            .filter_map(|route| adapter.outbound(&route.message))
            .map(OutboundMessage::records_max)
            .min()
            .unwrap_or(1);
        let records_max = entry
            .limits
            .records_per_request
            .map_or(most, |limit| most.min(limit)) as usize;
        Ok(BackfillTarget {
            destination: name.to_owned(),
            routes,
            limits: entry.limits.clone(),
            records_max,
        })
    }
}

/// A backfill under way.
pub struct Filling {
    pool: Pool,
    target: BackfillTarget,
    pub backfill: Backfill,
    /// Entries in the registry.
    pub entries: i64,
}

impl Filling {
    /// Starts a backfill or goes on with one that was interrupted.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn start(
        pool: &Pool,
        target: BackfillTarget,
        scope: BackfillScope,
    ) -> Result<Filling, Fault> {
        let backfill = Backfill::start(pool, &target.destination, scope).await?;
        let entries = Backfill::entries(pool).await?;
        Ok(Filling {
            pool: pool.clone(),
            target,
            backfill,
            entries,
        })
    }

    /// Queues some more; `false` when everything is queued.
    ///
    /// # Errors
    /// The database cannot be reached; what was queued stays.
    pub async fn queue_more(&mut self) -> Result<bool, Fault> {
        self.backfill = Backfill::step(
            &self.pool,
            &self.target.destination,
            &self.target.routes,
            STEP,
        )
        .await?;
        Ok(self.backfill.finished_at.is_none())
    }

    /// What of it still waits to be sent.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn progress(&self) -> Result<BackfillProgress, Fault> {
        self.backfill.progress(&self.pool).await
    }

    /// How long `waiting` records take at the destination's limits, at best.
    pub fn remaining(&self, waiting: i64) -> Duration {
        remaining(&self.target.limits, self.target.records_max, waiting)
    }
}

/// How long so many records take at these limits: requests of a day spread over its open hours.
pub(super) fn remaining(limits: &DestinationLimits, records_max: usize, waiting: i64) -> Duration {
    let requests = (waiting.max(0) as f64 / records_max.max(1) as f64).ceil();
    let rate = f64::from(limits.requests_per_second.max(1));
    let open = limits.window.map_or(DAY_SECONDS, |window| {
        let span = (window.to.duration_since(window.from)).as_secs_f64();
        if span > 0.0 { span } else { span + DAY_SECONDS }
    });
    let of_a_day = (rate * open).min(limits.requests_per_day.map_or(f64::INFINITY, f64::from));
    let days = (requests / of_a_day).floor();
    Duration::from_secs_f64(days * DAY_SECONDS + (requests - days * of_a_day) / rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DayWindow;

    #[test]
    fn the_tightest_limit_decides_how_long_a_backfill_takes() {
        let plain = DestinationLimits::per_second(10);
        assert_eq!(remaining(&plain, 50, 0), Duration::ZERO);
        assert_eq!(remaining(&plain, 50, 5_000), Duration::from_secs(10));
        assert_eq!(remaining(&plain, 50, 5_001), Duration::from_millis(10_100));
        let daily = DestinationLimits {
            requests_per_day: Some(1_000),
            ..plain.clone()
        };
        assert_eq!(
            remaining(&daily, 1, 2_500),
            Duration::from_secs(2 * 86_400 + 50)
        );
        let night = DestinationLimits {
            window: Some(DayWindow::try_from("22:00-02:00".to_owned()).unwrap()),
            ..plain
        };
        assert_eq!(
            remaining(&night, 1, 4 * 36_000 + 10),
            Duration::from_secs(86_401)
        );
    }
}
