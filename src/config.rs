//! config/gateway.toml and config/partners.toml -> one immutable [`Config`].
//!
//! Reads every file, reports all problems at once with file and line, and resolves every relative
//! path against the configuration folder. It does not open certificates, adapters or the database:
//! whoever uses them does, and `ltcgw doctor` tries them all.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Finding, unreadable};

mod partner;
mod place; // where a key or a value stands in these files
mod route;
mod san;
mod wrong; // what can be read and cannot be meant
pub use partner::{
    DayWindow, DestinationLimits, InboundEntry, OutboundEntry, Partner, PullerFields,
};
pub use place::{of_key, of_partner_in};
pub use route::{Api, api_of, asked, built_in, built_in_routes, path_words, route_matches};
pub use san::San;
use wrong::Wrong;

/// Everything an instance needs to know to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder the files were read from.
    pub dir: PathBuf,
    pub gateway: GatewayConfig,
    pub partners: Vec<Partner>,
}

/// config/gateway.toml; every key with its default and one sentence is in that file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where embedded PostgreSQL and temporary files live.
    pub data_dir: PathBuf,
    /// Folder of the adapters.
    pub adapters_dir: PathBuf,
    /// Folder of the rate files.
    pub rates_dir: PathBuf,
    /// Folder of what is asked of institutions and caregivers.
    pub rules_dir: PathBuf,
    pub listen: Listen,
    #[serde(default)]
    pub fhir: Fhir,
    pub tls: TlsFiles,
    pub privacy: Privacy,
    #[serde(default)]
    pub database: DatabaseConfig,
    #[serde(default)]
    pub receive: Receive,
    #[serde(default)]
    pub deliver: Deliver,
    #[serde(default)]
    pub approval: ApprovalConfig,
    #[serde(default)]
    pub log: Log,
}

/// Addresses the two listeners bind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub partner: SocketAddr,
    pub operator: SocketAddr,
    /// Where partners reach us, `https://host[:port]`; the first name of our certificate when absent.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Addresses of load balancers partners come through; they share only the total of handshakes.
    #[serde(default)]
    pub load_balancers: Vec<IpAddr>,
    /// TLS handshakes under way at once; beyond it the oldest of whoever has most is ended.
    #[serde(default = "handshakes_max")]
    pub handshakes_max: usize,
    /// The same for one address.
    #[serde(default = "handshakes_per_address_max")]
    pub handshakes_per_address_max: usize,
    /// How long a client may take for its TLS handshake.
    #[serde(default = "handshake_seconds")]
    pub handshake_seconds: u64,
    /// Connections of partners open at once; beyond it an idle one of whoever has most is closed for a new one.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// The same for one partner, whose own idle connection is closed; TLCP gateways have no such limit.
    #[serde(default = "connections_per_partner_max")]
    pub connections_per_partner_max: usize,
}

impl Listen {
    /// Two addresses and the defaults of everything else.
    pub fn at(partner: SocketAddr, operator: SocketAddr) -> Listen {
        Listen {
            partner,
            operator,
            public_url: None,
            load_balancers: Vec::new(),
            handshakes_max: handshakes_max(),
            handshakes_per_address_max: handshakes_per_address_max(),
            handshake_seconds: handshake_seconds(),
            connections_max: connections_max(),
            connections_per_partner_max: connections_per_partner_max(),
        }
    }
}

fn handshakes_max() -> usize {
    1_024
}

fn handshakes_per_address_max() -> usize {
    128
}

fn handshake_seconds() -> u64 {
    5
}

fn connections_max() -> usize {
    4_096
}

fn connections_per_partner_max() -> usize {
    512
}

/// The registries as FHIR resources.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fhir {
    /// What the URIs of identifiers, codes and extensions begin with; `fhir/terms/` under the public URL when absent.
    pub terms_url: Option<String>,
}

/// Our server certificate and the authority that signs partners' client certificates (PEM files).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
    /// Revocation list of that authority; none checked when absent.
    #[serde(default)]
    pub crl: Option<PathBuf>,
    /// Where the newest revocation lists taken are kept, below `data_dir`; not a key of the file.
    #[serde(skip)]
    pub lists_taken: Option<PathBuf>,
    #[serde(default)]
    pub tlcp: Tlcp,
}

/// Gateways in front of us where national ciphers end, and who signs their clients' certificates (PEM files).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tlcp {
    pub gateways: Vec<TlcpGateway>,
    /// Authorities of the certificates they pass on, SM2 or others; without, only partners with a pinned key come through them.
    pub client_ca: Option<PathBuf>,
    /// Revocation lists of those authorities; none checked when absent.
    pub crl: Option<PathBuf>,
}

/// How a TLCP gateway is recognised by its own client certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlcpGateway {
    /// For logs.
    pub name: String,
    /// SHA-256 of its certificate's SubjectPublicKeyInfo, hex.
    #[serde(default)]
    pub spki_sha256: Option<String>,
    /// DNS name or URI in its certificate's alternative names.
    #[serde(default)]
    pub san: Option<San>,
}

/// How personal data is sealed at rest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// One key a line, 64 hexadecimal digits, the newest first.
    pub key_file: PathBuf,
}

/// The PostgreSQL to use; embedded when `url` is absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// `postgres://user@host:port/name?sslmode=require`.
    pub url: Option<String>,
    /// File with the password, instead of in the URL.
    pub password_file: Option<PathBuf>,
    /// Authority that signed the server's certificate (PEM); TLS is used when given.
    pub ca: Option<PathBuf>,
    /// Connections at most; 16 when absent.
    pub connections_max: Option<usize>,
}

/// Limits on what partners send; a partner's own entry can lower but not lift them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Receive {
    /// Bodies up to this size stay in memory, larger ones go to an anonymous temporary file.
    pub memory_bytes_max: u64,
    /// Largest body as sent (bytes).
    pub body_bytes_max: u64,
    /// Largest body after decompression (bytes).
    pub decompressed_bytes_max: u64,
    /// A sender that pauses longer than this while sending is cut off.
    pub idle_seconds: u64,
    /// A sender slower than this, on average over the whole body, is cut off.
    pub bytes_per_second_min: u64,
    /// How long a sender may be slow at first.
    pub slow_grace_seconds: u64,
    /// How long a body may take from its first byte to its last (seconds).
    pub body_seconds_max: u64,
    /// How many times its size as sent a body may unpack to, once it is larger than `memory_bytes_max`.
    pub decompressed_ratio_max: u64,
    /// Where bodies wait that are larger than `memory_bytes_max`; the system's temporary folder when absent.
    pub spool_dir: Option<PathBuf>,
    /// Bytes of bodies on the disk, of one partner.
    pub spool_bytes_per_partner_max: u64,
    /// The same of all.
    pub spool_bytes_max: u64,
    /// Bytes of that disk that bodies leave free.
    pub spool_free_bytes_min: u64,
    /// Bytes of bodies in memory, of one partner; an eighth of it is its own, whatever others hold.
    pub held_bytes_per_partner_max: u64,
    /// The same of all.
    pub held_bytes_max: u64,
    /// Requests under way of one partner; an eighth of them is its own, whatever others ask.
    pub requests_per_partner_max: u64,
    /// The same of all.
    pub requests_max: u64,
    /// Lines a packet may have at most.
    pub lines_max: u64,
    /// Refused lines a receipt lists at most; all are stored.
    pub refusals_listed_max: usize,
    /// Earliest contribution month taken, `YYYY-MM`.
    pub earliest_month: String,
    /// Months ahead of today a contribution month may be.
    pub months_ahead_max: u32,
}

impl Default for Receive {
    fn default() -> Receive {
        Receive {
            memory_bytes_max: 1 << 20,
            body_bytes_max: 1 << 30,
            decompressed_bytes_max: 4 << 30,
            idle_seconds: 30,
            bytes_per_second_min: 1024,
            slow_grace_seconds: 10,
            body_seconds_max: 3_600,
            decompressed_ratio_max: 200,
            spool_dir: None,
            spool_bytes_per_partner_max: 8 << 30,
            spool_bytes_max: 16 << 30,
            spool_free_bytes_min: 1 << 30,
            held_bytes_per_partner_max: 64 << 20,
            held_bytes_max: 256 << 20,
            requests_per_partner_max: 256,
            requests_max: 1_024,
            lines_max: 2_000_000,
            refusals_listed_max: 10_000,
            earliest_month: "2010-01".into(),
            months_ahead_max: 12,
        }
    }
}

/// How deliveries are retried.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deliver {
    /// How long a dispatcher holds a destination before it must renew.
    pub lease_seconds: u64,
    /// Attempts before a delivery becomes a dead letter.
    pub attempts_max: i32,
    /// How long a delivery is tried at least before it becomes a dead letter for want of an answer;
    /// until then answers that say "later" are no attempts.
    pub give_up_after_seconds: u64,
    /// First pause before a retry; doubles each time.
    pub retry_first_milliseconds: u64,
    /// Longest pause before a retry.
    pub retry_seconds_max: u64,
    /// Failures in a row that open a destination's breaker.
    pub breaker_failures: u32,
    /// How long an open breaker pauses a destination before one probe.
    pub breaker_pause_milliseconds: u64,
    /// Longest pause of a destination that says "later" or gives no answer of its own; the first is that before a retry, and each doubles.
    pub pause_seconds_max: u64,
    /// How often idle dispatchers look for work another instance may have left.
    pub poll_milliseconds: u64,
    /// How long SIGTERM waits for what is under way.
    pub drain_seconds: u64,
    /// How long the results of a batch of deductions may take after it was taken, before they are asked for.
    pub results_seconds: u64,
}

impl Default for Deliver {
    fn default() -> Deliver {
        Deliver {
            lease_seconds: 3,
            attempts_max: 12,
            give_up_after_seconds: 1_800,
            retry_first_milliseconds: 1_000,
            retry_seconds_max: 3_600,
            breaker_failures: 5,
            breaker_pause_milliseconds: 10_000,
            pause_seconds_max: 300,
            poll_milliseconds: 1_000,
            drain_seconds: 30,
            results_seconds: 900,
        }
    }
}

/// Who may approve what another person planned.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalConfig {
    /// Take an approval under the planner's own login, or under none; by a different name all the same.
    pub same_login: bool,
}

/// Log output.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// One JSON object per line instead of text.
    pub json: bool,
}

impl Config {
    /// Reads `dir/gateway.toml` and `dir/partners.toml`; on failure returns every problem found.
    pub fn load(dir: &Path) -> Result<Config, Vec<Finding>> {
        let mut findings = Vec::new();
        let gateway: Option<GatewayConfig> = read(&dir.join("gateway.toml"), &mut findings);
        let partners = partner::read(&dir.join("partners.toml"), dir, &mut findings);
        let mut gateway = match gateway {
            Some(gateway) if findings.is_empty() => gateway,
            _ => return Err(findings),
        };
        gateway.resolve(dir);
        let file = dir.join("gateway.toml");
        let source = std::fs::read_to_string(&file).unwrap_or_default();
        let wrong = gateway.wrong(&partners).into_iter();
        findings.extend(wrong.map(|Wrong { section, key, text }| {
            let name = if section.is_empty() {
                String::new()
            } else {
                format!("[{section}] ")
            };
            Finding::new(
                file.display().to_string(),
                of_key(&source, section, key),
                format!("{name}{key} {text}"),
            )
        }));
        if !findings.is_empty() {
            return Err(findings);
        }
        Ok(Config {
            dir: dir.to_path_buf(),
            gateway,
            partners,
        })
    }

    /// The partner of that name.
    pub fn partner(&self, name: &str) -> Option<&Partner> {
        self.partners.iter().find(|partner| partner.name == name)
    }
}

impl GatewayConfig {
    fn resolve(&mut self, dir: &Path) {
        for path in [
            &mut self.data_dir,
            &mut self.adapters_dir,
            &mut self.rates_dir,
            &mut self.rules_dir,
            &mut self.privacy.key_file,
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.tls.client_ca,
        ] {
            *path = dir.join(&path);
        }
        self.tls.lists_taken = Some(self.data_dir.join("revocation-lists.pem"));
        let optional = [
            &mut self.tls.crl,
            &mut self.tls.tlcp.client_ca,
            &mut self.tls.tlcp.crl,
            &mut self.database.ca,
            &mut self.database.password_file,
            &mut self.receive.spool_dir,
        ];
        for path in optional.into_iter().flatten() {
            *path = dir.join(&path);
        }
    }
}

/// Reads one TOML file, adding a finding with line and column when it cannot.
fn read<T: serde::de::DeserializeOwned>(path: &Path, findings: &mut Vec<Finding>) -> Option<T> {
    let file = path.display().to_string();
    let source = match std::fs::read_to_string(path) {
        Ok(source) => source,
        Err(error) => {
            let text = format!(
                "cannot be read: {error}; expected the configuration here: --config names its folder, and the project has one to begin with, config/"
            );
            findings.push(Finding::new(file, None, text));
            return None;
        }
    };
    match toml::from_str(&source) {
        Ok(value) => Some(value),
        Err(error) => {
            let mut finding = unreadable(&file, &source, &error);
            finding.text += &elsewhere(&finding.text);
            findings.push(finding);
            None
        }
    }
}

/// Where a key that is unknown in one table belongs: in the shipped files every key has its place.
fn elsewhere(text: &str) -> String {
    let key = text
        .strip_prefix("unknown key `")
        .and_then(|rest| rest.split('`').next());
    let shipped = [
        include_str!("../config/gateway.toml"),
        include_str!("../config/partners.toml"),
    ];
    let home = key.and_then(|key| {
        shipped
            .iter()
            .find_map(|file| place::home_of(file, key))
            .map(|home| (key, home))
    });
    home.filter(|_| !text.contains("did you mean"))
        .map_or_else(String::new, |(key, home)| {
            format!("; `{key}` is a key of [{home}]: is that line missing above it?")
        })
}

/// Whole seconds as a [`Duration`].
pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
