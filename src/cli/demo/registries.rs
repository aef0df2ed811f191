//! The registries in the demo: loaded, changed for a while, pushed, pulled, and compared in the end.
//!
//! Runs beside the month's packets; says what was done and what each holds, draws nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::table::thousands;
use super::figures::rounded;
use super::progress;
use super::theatre::{CIVIL_AFFAIRS, HEALTH_COMMISSION, LTC_SYSTEM, PROVINCE, Theatre};
use crate::error::Fault;
use crate::sandbox::partners::{CallTally, SimulatedPartner};
use crate::sandbox::puller::{LiveEntries, TrialPuller};
use crate::sandbox::registries::{
    Comparison, Life, LtcSystem, Registries, RegistryMoment, SourceAnswers,
};

/// Happenings after which the province follows.
const FOLLOW_EVERY: u64 = 50;

/// Everything that was sent and pulled; who holds what is not compared yet.
pub(super) struct PlayedRegistries {
    system: LtcSystem,
    puller: TrialPuller,
    followed: u64,
    load: Duration,
    changes: Duration,
}

/// A supervising platform.
#[derive(Debug, Clone, Default)]
pub(super) struct Platform {
    pub name: &'static str,
    pub holds: Comparison,
    pub tally: CallTally,
}

/// The registries when everything has settled.
#[derive(Debug, Clone)]
pub(super) struct ShownRegistries {
    pub answers: SourceAnswers,
    /// What the LTC system's books hold against the registry.
    pub source: Comparison,
    pub registry: Comparison,
    /// Rows of the change log.
    pub changes: i64,
    pub platforms: [Platform; 2],
    pub province: PulledRegistry,
    pub load: Duration,
}

/// What the province holds.
#[derive(Debug, Clone)]
pub(super) struct PulledRegistry {
    pub counts: LiveEntries,
    /// Changes that came after the snapshot.
    pub followed: u64,
    pub pages: u64,
    pub differences: Vec<String>,
}

/// Loads the registries and lets things happen; the province pulls meanwhile.
pub(super) async fn play(theatre: &Theatre, seed: u64) -> Result<PlayedRegistries, Fault> {
    let today = theatre.running()?.gateway.registrar.clock.today();
    let city = Registries::nanning(seed, today);
    let base = theatre.base_url()?;
    let mut system = LtcSystem::new(theatre.stage()?.client(LTC_SYSTEM)?, &base, city);
    let mut puller = TrialPuller::new(theatre.stage()?.client(PROVINCE)?, &base);
    let start = Instant::now();
    system.load().await?;
    let load = start.elapsed();
    puller.snapshot().await?;
    let start = Instant::now();
    let (mut life, mut told, mut followed) = (Life::of(city), 0, 0);
    while let Some(event) = life.next(&system.books) {
        system.tell(&event).await?;
        told += 1;
        if told % FOLLOW_EVERY == 0 {
            followed += puller.follow().await?;
        }
    }
    Ok(PlayedRegistries {
        system,
        puller,
        followed,
        load,
        changes: start.elapsed(),
    })
}

impl PlayedRegistries {
    /// Says what was done, as steps.
    pub fn tell(&self) {
        let SourceAnswers {
            lines, happened, ..
        } = &self.system.answers;
        let told: u64 = happened.values().sum();
        let load = format!(
            "registries: {} lines loaded in one request; the province took its snapshot",
            thousands(lines.cast_signed())
        );
        progress::step(&load, self.load);
        progress::step(
            &format!(
                "{told} things happened to institutions and caregivers; the province followed"
            ),
            self.changes,
        );
    }

    /// Compares everyone with the registry, once nothing waits any more.
    pub async fn compare(mut self, theatre: &Theatre) -> Result<ShownRegistries, Fault> {
        self.followed += self.puller.follow().await?;
        let gateway = &theatre.running()?.gateway;
        let registered = RegistryMoment::read(gateway).await?;
        let counterparts = theatre.counterparts()?;
        let platform = |name, platform: &SimulatedPartner, holds| Platform {
            name,
            holds,
            tally: platform.tally(),
        };
        let (civil, health) = (&counterparts.civil, &counterparts.health);
        Ok(ShownRegistries {
            source: registered.source(&self.system.books),
            registry: registered.holds(),
            changes: registered.changes,
            platforms: [
                platform(CIVIL_AFFAIRS, civil, registered.civil(civil)),
                platform(HEALTH_COMMISSION, health, registered.health(health)),
            ],
            province: PulledRegistry {
                counts: self.puller.counts(),
                followed: self.followed,
                pages: self.puller.pages(),
                differences: self.puller.differences(gateway, PROVINCE).await?,
            },
            answers: self.system.answers,
            load: self.load,
        })
    }
}

impl ShownRegistries {
    /// Requests the platforms counted as too many.
    pub fn over_limit(&self) -> u64 {
        self.platforms
            .iter()
            .map(|platform| platform.tally.over_limit)
            .sum()
    }

    /// Everything that is not as it should be.
    pub fn differences(&self) -> impl Iterator<Item = String> {
        let named = |who: &str, texts: &[String]| {
            texts
                .iter()
                .map(|text| format!("{who}: {text}"))
                .collect::<Vec<_>>()
        };
        let platforms = self
            .platforms
            .iter()
            .flat_map(move |platform| named(platform.name, &platform.holds.differences));
        let others = [
            (LTC_SYSTEM, &self.source.differences),
            ("answers", &self.answers.differences),
            (PROVINCE, &self.province.differences),
        ];
        others
            .into_iter()
            .flat_map(move |(who, texts)| named(who, texts))
            .chain(platforms)
    }

    /// Whether the LTC system, both platforms and the province hold what the registry holds, field by field.
    pub fn agrees(&self) -> bool {
        self.differences().next().is_none()
    }

    /// The registries as the report has them.
    pub fn report(&self) -> Value {
        let mut by_destination: serde_json::Map<String, Value> = self
            .platforms
            .iter()
            .map(|one| (one.name.to_string(), one.report()))
            .collect();
        let province = &self.province;
        let LiveEntries {
            institutions,
            caregivers,
            ended,
        } = province.counts;
        by_destination.insert(
            PROVINCE.into(),
            json!({
                "institutions": institutions, "caregivers": caregivers, "ended": ended, "followed": province.followed, "pages": province.pages,
                "agrees": province.differences.is_empty(),
            }),
        );
        json!({
            "institutions": self.registry.institutions,
            "caregivers": self.registry.caregivers,
            "changes": self.changes,
            "over_limit": self.over_limit(),
            "by_destination": by_destination,
            "agrees": self.agrees(),
            "load_seconds": rounded(self.load.as_secs_f64()),
        })
    }
}

impl Platform {
    fn report(&self) -> Value {
        let Comparison {
            institutions,
            caregivers,
            ended,
            ..
        } = self.holds;
        json!({
            "institutions": institutions, "caregivers": caregivers, "ended": ended, "requests": self.tally.deliveries,
            "most_in_a_second": self.tally.most_in_a_second, "most_at_once": self.tally.most_under_way, "over_limit": self.tally.over_limit,
            "agrees": self.holds.agrees(),
        })
    }
}
