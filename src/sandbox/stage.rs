//! A stage to play on: a configuration folder with throwaway certificates, and a gateway on it.
//!
//! The shipped configuration with other addresses and one login for everybody, so that what demo and tests run is what an
//! operator would. Databases and counterparts are brought by the caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pki::{self, Authority, PkiPlan};
use crate::adapter::capability::sm2_sorted_fields;
use crate::config::Config;
use crate::error::{Fault, Stage as Step};
use crate::flow::clock::CityClock;
use crate::service::{self, LoadedConfig, RunningGateway};
use crate::store::DatabaseAccess;

/// What differs from the shipped configuration.
#[derive(Clone)]
pub struct Scene {
    /// Folder of the shipped `config/` and `adapters/`.
    pub project: PathBuf,
    /// Where the stage is built; made when absent.
    pub dir: PathBuf,
    /// Base URLs of the medical core and the LTC system.
    pub medical_core: String,
    pub ltc_system: String,
    /// Base URLs of civil affairs and the health commission.
    pub civil_affairs: String,
    pub health_commission: String,
    /// Text replacements in gateway.toml and partners.toml, after those above.
    pub edits: Vec<(String, String)>,
    /// Signs every certificate of the stage.
    pub authority: Arc<Authority>,
    /// Our SM2 signing key (PEM).
    pub sm2_key: String,
}

/// A configuration folder ready to serve.
pub struct TrialStage {
    pub config_dir: PathBuf,
    pub pki: PathBuf,
    pub authority: Arc<Authority>,
}

impl Scene {
    /// The shipped configuration of `project`, staged in `dir`, with nobody to deliver to.
    pub fn new(project: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> Result<Scene, Fault> {
        let nobody = "https://127.0.0.1:1".to_string();
        Ok(Scene {
            project: project.into(),
            dir: dir.into(),
            medical_core: nobody.clone(),
            ltc_system: nobody.clone(),
            civil_affairs: nobody.clone(),
            health_commission: nobody,
            edits: Vec::new(),
            authority: Arc::new(Authority::new("ltcgw trial CA")?),
            sm2_key: sm2_sorted_fields::generate_pem(),
        })
    }

    /// Replaces a text that must occur in gateway.toml or partners.toml.
    #[must_use]
    pub fn edit(mut self, from: &str, to: &str) -> Scene {
        self.edits.push((from.to_string(), to.to_string()));
        self
    }

    /// Writes configuration, certificates and keys.
    pub fn build(&self) -> Result<TrialStage, Fault> {
        let config_dir = self.dir.join("config");
        std::fs::create_dir_all(&config_dir).map_err(|error| cannot(&config_dir, &error))?;
        let shipped = |name: &str| read(&self.project.join("config").join(name));
        let adapters = self.project.join("adapters").display().to_string();
        let rates = self.project.join("config/rates").display().to_string();
        let rules = self.project.join("config/rules").display().to_string();
        let edits = [
            ("../adapters", adapters.as_str()),
            ("\"rates\"", &format!("\"{rates}\"")),
            ("\"rules\"", &format!("\"{rules}\"")),
            ("0.0.0.0:8443", "127.0.0.1:0"),
            ("127.0.0.1:9464", "127.0.0.1:0"),
            ("# same_login = true ", "same_login = true "),
            ("https://core.nanning.example:8443", &self.medical_core),
            ("https://ltc.nanning.example:8443", &self.ltc_system),
            ("https://civil.nanning.example:8443", &self.civil_affairs),
            (
                "https://health.nanning.example:8443",
                &self.health_commission,
            ),
        ];
        let (mut gateway, mut partners) = (shipped("gateway.toml")?, shipped("partners.toml")?);
        for (from, to) in edits.into_iter().chain(
            self.edits
                .iter()
                .map(|(from, to)| (from.as_str(), to.as_str())),
        ) {
            if !gateway.contains(from) && !partners.contains(from) {
                return Err(Fault::operator(
                    Step::Config,
                    format!(
                        "neither gateway.toml nor partners.toml has `{from}`, which this stage replaces"
                    ),
                ));
            }
            gateway = gateway.replace(from, to);
            partners = partners.replace(from, to);
        }
        write(&config_dir.join("gateway.toml"), &gateway)?;
        write(&config_dir.join("partners.toml"), &partners)?;
        pki::write_secret(
            &config_dir.join("secrets/medical-core-sm2.key"),
            &self.sm2_key,
        )?;
        let pki = config_dir.join("pki");
        let config = Config::load(&config_dir).map_err(|findings| {
            Fault::operator(
                Step::Config,
                findings
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        })?;
        pki::init_by(
            &self.authority,
            &pki,
            &PkiPlan::of(&config.partners, &["localhost", "127.0.0.1"]),
        )?;
        Ok(TrialStage {
            config_dir,
            pki,
            authority: self.authority.clone(),
        })
    }
}

impl TrialStage {
    /// Starts the gateway on a database.
    pub async fn start(&self, connection: DatabaseAccess) -> Result<RunningGateway, Fault> {
        self.start_at(connection, CityClock::default()).await
    }

    /// Starts the gateway on a database with a clock of the caller's.
    pub async fn start_at(
        &self,
        connection: DatabaseAccess,
        clock: CityClock,
    ) -> Result<RunningGateway, Fault> {
        let loaded = LoadedConfig::read(&self.config_dir).map_err(|findings| {
            Fault::operator(
                Step::Config,
                findings
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        })?;
        service::start(LoadedConfig { clock, ..loaded }, connection).await
    }

    /// An HTTP client with a partner's certificate, trusting the stage's authority.
    pub fn client(&self, partner: &str) -> Result<reqwest::Client, Fault> {
        let certificate = read(&self.pki.join("inbound").join(format!("{partner}.pem")))?;
        let key = read(&self.pki.join("inbound").join(format!("{partner}.key")))?;
        self.client_with(Some(&(certificate, key)))
    }

    /// An HTTP client with any certificate and key (PEM), or none.
    pub fn client_with(
        &self,
        identity: Option<&(String, String)>,
    ) -> Result<reqwest::Client, Fault> {
        let failed = |error: reqwest::Error| {
            Fault::operator(Step::Config, format!("no HTTP client: {error}"))
        };
        let authority = reqwest::Certificate::from_pem(read(&self.pki.join("ca.pem"))?.as_bytes())
            .map_err(failed)?;
        let mut builder = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .tcp_nodelay(true);
        if let Some((certificate, key)) = identity {
            let pem = format!("{certificate}{key}");
            builder =
                builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).map_err(failed)?);
        }
        builder.build().map_err(failed)
    }
}

fn read(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path).map_err(|error| cannot(path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(path, text).map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Fault {
    Fault::operator(Step::Config, format!("{}: {error}", path.display()))
}
