//! Everything that runs during the demo, in the order it starts, and how it ends.
//!
//! The counterparts misbehave a little on purpose, so that what the gateway does about it shows.

use std::path::Path;
use std::time::Instant;

use super::place::DemoFolder;
use super::{Seconds, progress};
use crate::adapter::capability::sm2_sorted_fields::PrivateKey;
use crate::error::{Fault, Stage as Step};
use crate::sandbox::partners::{Behaviour, Most, PartnerTls, SimulatedPartner, SimulationOptions};
use crate::sandbox::stage::{Scene, TrialStage};
use crate::service::RunningGateway;
use crate::store::DatabaseAccess;
use crate::store::embedded::{self, EmbeddedPostgres};

/// Partner names of the shipped configuration.
pub(super) const TAX_BUREAU: &str = "nanning-tax";
pub(super) const MEDICAL_CORE: &str = "medical-core";
pub(super) const LTC_SYSTEM: &str = "ltc-system";
pub(super) const CIVIL_AFFAIRS: &str = "civil-affairs";
pub(super) const HEALTH_COMMISSION: &str = "health-commission";
/// Pulls the registries.
pub(super) const PROVINCE: &str = "provincial-platform";
/// Requests a second the shipped partners.toml promises to send at most.
pub(super) const REQUESTS_PER_SECOND: u32 = 50;
/// Requests a second the simulated partners take: what leaves evenly may arrive bunched.
const REQUESTS_TAKEN_PER_SECOND: u32 = 55;
/// What civil affairs and the health commission take at most, in place of the shipped 5 and 10 a second; they count for themselves.
pub(super) const CIVIL: Most = Most {
    requests_per_second: Some(20),
    burst: Some(10),
    requests_per_day: Some(20_000),
    concurrent: Some(2),
    records_per_request: Some(50),
};
pub(super) const HEALTH: Most = Most {
    requests_per_second: Some(20),
    burst: None,
    requests_per_day: None,
    concurrent: Some(2),
    records_per_request: Some(100),
};
/// Largest input of the medical core (characters): ten times that of the institutions' NHSA interface, for batches of a whole city.
const INPUT_CHARS_MAX: usize = 400_000;
/// How long an answer of the medical core is waited for; an unknown outcome is asked about after that.
const DEADLINE_SECONDS: u32 = 5;

/// What runs.
#[derive(Default)]
pub(super) struct Theatre {
    embedded: Option<EmbeddedPostgres>,
    counterparts: Option<Counterparts>,
    stage: Option<TrialStage>,
    running: Option<RunningGateway>,
}

/// Those we deliver to.
pub(super) struct Counterparts {
    pub core: SimulatedPartner,
    pub ltc: SimulatedPartner,
    pub civil: SimulatedPartner,
    pub health: SimulatedPartner,
}

impl Theatre {
    /// Starts everything, telling each step.
    pub async fn build(
        &mut self,
        project: &Path,
        place: &DemoFolder,
        seconds: &mut Seconds,
    ) -> Result<(), Fault> {
        let doing = progress::doing("making a PostgreSQL cluster and starting it");
        // Blocks for a second, on purpose: nothing else is to be done, and it cannot be left half-started.
        let embedded = self.embedded.insert(EmbeddedPostgres::start(
            &embedded::EmbeddedOptions::durable(place.dir().join("data/postgres")),
        )?);
        let database = embedded.database("ltcgw").await?;
        let took = seconds.since("postgresql", doing.start);
        drop(doing);
        progress::step("PostgreSQL, a cluster of its own, durable (fsync on)", took);

        let start = Instant::now();
        let mut scene = Scene::new(project, place.dir())?
            .edit(
                "deadline_seconds = 30 ",
                &format!("deadline_seconds = {DEADLINE_SECONDS} "),
            )
            .edit(
                "requests_per_second = 5\nburst = 10",
                &format!("requests_per_second = {}\nburst = 10", rate(&CIVIL)),
            )
            .edit(
                "requests_per_second = 10\n",
                &format!("requests_per_second = {}\n", rate(&HEALTH)),
            );
        let counterparts = self.counterparts.insert(Counterparts::start(&scene)?);
        (scene.medical_core, scene.ltc_system) = (
            counterparts.core.url().to_string(),
            counterparts.ltc.url().to_string(),
        );
        (scene.civil_affairs, scene.health_commission) = (
            counterparts.civil.url().to_string(),
            counterparts.health.url().to_string(),
        );
        let ports = [
            ("core 医保", &scene.medical_core),
            ("LTC 长护险", &scene.ltc_system),
            ("civil 民政", &scene.civil_affairs),
            ("health 卫健", &scene.health_commission),
        ];
        let took = seconds.since("counterparts", start);
        progress::step(
            &ports
                .map(|(name, url)| format!("{name} {}", port(url)))
                .join(", "),
            took,
        );

        let start = Instant::now();
        let stage = self.stage.insert(scene.build()?);
        progress::step(
            "configuration, throwaway CA and a certificate for each partner and direction",
            seconds.since("pki", start),
        );

        let start = Instant::now();
        let running = self
            .running
            .insert(stage.start(DatabaseAccess::local(database)).await?);
        let listeners = format!(
            "gateway: partners {}, operator {}",
            running.server.partner, running.server.operator
        );
        progress::step(&listeners, seconds.since("gateway", start));
        Ok(())
    }

    pub fn running(&self) -> Result<&RunningGateway, Fault> {
        self.running.as_ref().ok_or_else(not_built)
    }

    pub fn stage(&self) -> Result<&TrialStage, Fault> {
        self.stage.as_ref().ok_or_else(not_built)
    }

    pub fn counterparts(&self) -> Result<&Counterparts, Fault> {
        self.counterparts.as_ref().ok_or_else(not_built)
    }

    pub fn embedded(&self) -> Result<&EmbeddedPostgres, Fault> {
        self.embedded.as_ref().ok_or_else(not_built)
    }

    /// Where the tax bureau sends its packets.
    pub fn packets_url(&self) -> Result<String, Fault> {
        Ok(format!("{}/tax/v1/packets", self.base_url()?))
    }

    /// The gateway, as partners see it.
    pub fn base_url(&self) -> Result<String, Fault> {
        Ok(format!(
            "https://localhost:{}",
            self.running()?.server.partner.port()
        ))
    }

    /// Names of the partners delivered to.
    pub fn destinations(&self) -> Vec<String> {
        let names = self
            .running
            .iter()
            .flat_map(|running| running.worker().status());
        names.map(|status| status.destination).collect()
    }

    /// Stops everything in order: no new packets, what is under way finished, then the counterparts, then PostgreSQL.
    pub async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        if let Some(counterparts) = self.counterparts.take() {
            counterparts.core.stop().await;
            counterparts.ltc.stop().await;
            counterparts.civil.stop().await;
            counterparts.health.stop().await;
        }
        if let Some(embedded) = self.embedded.take() {
            // Fails only when stopping panicked; the server ends with this process in any case.
            let _ = tokio::task::spawn_blocking(move || embedded.stop()).await;
        }
    }
}

impl Counterparts {
    fn start(scene: &Scene) -> Result<Counterparts, Fault> {
        let server = scene.authority.server(&["localhost", "127.0.0.1"])?;
        let tls = PartnerTls {
            certificate_pem: server.certificate_pem,
            key_pem: server.key_pem,
            client_ca_pem: scene.authority.certificate_pem(),
        };
        let key = PrivateKey::parse(&scene.sm2_key).map_err(|error| {
            Fault::operator(Step::Config, format!("the demo's SM2 key: {error}"))
        })?;
        let limited = SimulationOptions {
            most: Most {
                requests_per_second: Some(REQUESTS_TAKEN_PER_SECOND),
                ..Most::default()
            },
            ..SimulationOptions::default()
        };
        let core = SimulationOptions {
            sm2_public_hex: Some(key.public_hex()),
            chars_max: Some(INPUT_CHARS_MAX),
            ..limited.clone()
        };
        let strict = |most: Most| SimulationOptions {
            most,
            ..SimulationOptions::default()
        };
        let counterparts = Counterparts {
            core: SimulatedPartner::core(&tls, core)?,
            ltc: SimulatedPartner::ltc(&tls, limited)?,
            civil: SimulatedPartner::civil(&tls, strict(CIVIL))?,
            health: SimulatedPartner::health(&tls, strict(HEALTH))?,
        };
        // Each takes a batch and breaks off its answer once, and once asks to wait.
        counterparts.core.will([
            Behaviour::Accept,
            Behaviour::AcceptThenClose,
            Behaviour::TooMany(1),
        ]);
        counterparts
            .ltc
            .will([Behaviour::AcceptThenClose, Behaviour::Unavailable(Some(1))]);
        counterparts
            .civil
            .will([Behaviour::Accept, Behaviour::AcceptThenClose]);
        counterparts
            .health
            .will([Behaviour::Accept, Behaviour::Unavailable(Some(1))]);
        Ok(counterparts)
    }
}

fn rate(most: &Most) -> u32 {
    most.requests_per_second.unwrap_or_default()
}

fn port(url: &str) -> &str {
    url.rsplit_once(':').map_or(url, |(_, port)| port)
}

fn not_built() -> Fault {
    Fault::operator(Step::Config, "the demo is not built yet")
}
