//! How the database is reached: which servers, with which trust, and the one that takes writes.
//!
//! Reads the URL as libpq's users write it; what it does not do is named. Must not run a statement
//! of the gateway: a session is made ready here, and used elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Socket};
use tokio_util::task::AbortOnDropHandle;

use super::settings::STATEMENT_MILLISECONDS;
use super::words::words;
use crate::config;
use crate::error::{Fault, Stage};

mod url; // libpq's parameters that the driver does not know

const CONNECTIONS: usize = 16;
/// Fewer would wait for each other.
const CONNECTIONS_MIN: usize = 4;
/// How long a server may take to give us a session.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer is waited for: a little longer than the server works on a statement.
const PATIENCE: Duration = Duration::from_millis(STATEMENT_MILLISECONDS + 3_000);
/// When the other end of an idle connection is looked for, and how long data may go unacknowledged.
const UNHEARD: Duration = Duration::from_secs(30);

/// How to reach the database.
pub struct DatabaseAccess {
    pub(super) door: Arc<Door>,
    /// Sessions for packets and everything else that is not the dispatchers'.
    pub(super) size: usize,
}

impl DatabaseAccess {
    /// To an embedded or local server, without TLS.
    pub fn local(config: Config) -> DatabaseAccess {
        DatabaseAccess {
            door: Arc::new(Door {
                hosts: each_host(&config),
                tls: None,
                patience: PATIENCE,
            }),
            size: CONNECTIONS,
        }
    }

    /// To the server named in the configuration; `None` where it names none.
    ///
    /// # Errors
    /// An entry that cannot be used.
    pub fn configured(database: &config::DatabaseConfig) -> Result<Option<DatabaseAccess>, Fault> {
        let Some(url) = &database.url else {
            return Ok(None);
        };
        let mut config = url::read(url, database.ca.is_some())?;
        if let Some(path) = &database.password_file {
            let password = std::fs::read_to_string(path).map_err(|error| {
                Fault::operator(
                    Stage::Config,
                    format!("[database] password_file {}: {error}", path.display()),
                )
            })?;
            config.password(password.trim_end());
        }
        if config.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            let text = "[database] url asks for target_session_attrs=read-only; the gateway writes: leave it out, read-write is what it looks for";
            return Err(Fault::operator(Stage::Config, text));
        }
        let tls = database.ca.as_deref().map(trust).transpose()?;
        let size = database.connections_max.unwrap_or(CONNECTIONS);
        if size < CONNECTIONS_MIN {
            let text = format!(
                "[database] connections_max is {size}; expected at least {CONNECTIONS_MIN}: a packet under way may need two"
            );
            return Err(Fault::operator(Stage::Config, text));
        }
        Ok(Some(DatabaseAccess {
            door: Arc::new(Door {
                hosts: each_host(&config),
                tls,
                patience: PATIENCE,
            }),
            size,
        }))
    }

    /// The same, with another patience for an answer. For tests of a server that stands still.
    #[must_use]
    pub fn patient(self, patience: Duration) -> DatabaseAccess {
        let door = Door {
            hosts: self.door.hosts.clone(),
            tls: self.door.tls.clone(),
            patience,
        };
        DatabaseAccess {
            door: Arc::new(door),
            ..self
        }
    }
}

/// The servers there are, in order, each on its own.
pub(super) struct Door {
    hosts: Vec<Config>,
    tls: Option<rustls::ClientConfig>,
    pub(super) patience: Duration,
}

/// A connection just made, and the task that works on it and ends with it.
pub(super) struct NewSession {
    pub(super) client: Client,
    pub(super) task: AbortOnDropHandle<()>,
}

impl Door {
    /// A session on the first server that takes writes, made ready by these statements, whose last row
    /// says whether the server only reads.
    ///
    /// # Errors
    /// None does: with address and cause for each.
    pub(super) async fn dial(&self, settings: &str) -> Result<NewSession, Fault> {
        self.first(|config| async move {
            let dialled = self.connect(config).await?;
            let answer = dialled.client.simple_query(settings).await.map_err(|error| words(&error))?;
            let last = answer.iter().rev().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            if last != Some("f") {
                return Err("it is a standby and only reads; name the primary too, as postgres://user@one,other/name".to_owned());
            }
            Ok(dialled)
        })
        .await
    }

    /// A session as the server gives it, with nothing set: one of a pooler may be another's next.
    pub(super) async fn dial_bare(&self) -> Result<NewSession, Fault> {
        self.first(|config| self.connect(config)).await
    }

    /// Whether a server still answers: takes a new session, or says why not.
    pub(super) async fn answers(&self) -> bool {
        for config in &self.hosts {
            match tokio::time::timeout(CONNECT, self.open(config)).await {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) if error.code().is_some() => return true,
                _ => {}
            }
        }
        false
    }

    async fn first<'a, F: Future<Output = Result<NewSession, String>>>(
        &'a self,
        dial: impl Fn(&'a Config) -> F,
    ) -> Result<NewSession, Fault> {
        let mut said = Vec::new();
        for config in &self.hosts {
            let text = match tokio::time::timeout(CONNECT, dial(config)).await {
                Ok(Ok(dialled)) => return Ok(dialled),
                Ok(Err(text)) => text,
                Err(_) => format!("no session within {} s", CONNECT.as_secs()),
            };
            said.push(format!("{}: {text}", address(config)));
        }
        let text = format!(
            "the database does not take us: {}; {}",
            said.join("; "),
            what_to_do(&said.join(" "))
        );
        Err(Fault::later(Stage::Store, text))
    }

    async fn connect(&self, config: &Config) -> Result<NewSession, String> {
        // Which server it is about stands before it already.
        self.open(config).await.map_err(|error| {
            words(&error)
                .trim_start_matches("error connecting to server: ")
                .to_owned()
        })
    }

    async fn open(&self, config: &Config) -> Result<NewSession, tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                open(
                    config,
                    tokio_postgres_rustls::MakeRustlsConnect::new(tls.clone()),
                )
                .await
            }
            None => open(config, NoTls).await,
        }
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<NewSession, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket> + Send,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection to the database ended: {}", words(&error));
        }
    });
    Ok(NewSession {
        client,
        task: AbortOnDropHandle::new(task),
    })
}

/// What helps, by the words of the cause.
fn what_to_do(said: &str) -> &'static str {
    let advice = [
        (
            "Connection refused",
            "nothing listens there: see that PostgreSQL runs, and that host and port in [database] url of gateway.toml are its own",
        ),
        (
            "No such file",
            "no PostgreSQL has its socket there: see that it runs, and [database] url in gateway.toml",
        ),
        (
            "lookup address",
            "the host's name is not known: mend it in [database] url of gateway.toml, or the machine's DNS",
        ),
        (
            "no session within",
            "nothing answers: see the way there (firewall, route), and host and port in [database] url of gateway.toml",
        ),
        (
            "(28P01)",
            "mend the user in [database] url, or the password in it or in password_file",
        ),
        (
            "(28000)",
            "mend the user in [database] url, or let the server's pg_hba.conf take it",
        ),
        (
            "(3D000)",
            "make the database (CREATE DATABASE), or mend its name in [database] url of gateway.toml",
        ),
        (
            "(53300)",
            "the server has no session left: raise its max_connections, or lower [database] connections_max",
        ),
        (
            "certificate",
            "see that [database] ca is the authority of the server's certificate, and that the certificate is for this host name",
        ),
    ];
    let found = advice.iter().find(|(word, _)| said.contains(word));
    found.map_or(
        "check that PostgreSQL runs and [database] in gateway.toml",
        |(_, advice)| advice,
    )
}

/// A configuration for each of its hosts, with what else it says.
fn each_host(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let one = |at: usize| {
        let mut one = Config::new();
        match hosts.get(at) {
            Some(Host::Tcp(host)) => drop(one.host(host)),
            Some(Host::Unix(path)) => drop(one.host_path(path)),
            None => {}
        }
        addresses.get(at).map(|address| one.hostaddr(*address));
        one.port(ports.get(at).or(ports.first()).copied().unwrap_or(5432));
        config.get_user().map(|user| one.user(user));
        config.get_password().map(|password| one.password(password));
        config.get_dbname().map(|name| one.dbname(name));
        config.get_options().map(|options| one.options(options));
        one.application_name(config.get_application_name().unwrap_or("ltcgw"));
        one.ssl_mode(config.get_ssl_mode())
            .ssl_negotiation(config.get_ssl_negotiation())
            .channel_binding(config.get_channel_binding());
        one.connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT));
        one.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(UNHEARD));
        one.keepalives(config.get_keepalives())
            .keepalives_idle(config.get_keepalives_idle().min(UNHEARD));
        one.keepalives_interval(config.get_keepalives_interval().unwrap_or(UNHEARD / 3))
            .keepalives_retries(config.get_keepalives_retries().unwrap_or(3));
        one
    };
    (0..hosts.len().max(addresses.len())).map(one).collect()
}

/// Where a configuration of one host leads: `host:port` or the socket's folder.
fn address(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Unix(path)), _) => format!("{} port {port}", path.display()),
        (Some(Host::Tcp(host)), _) => format!("{host}:{port}"),
        (None, address) => address.map_or_else(
            || format!("port {port}"),
            |address| format!("{address}:{port}"),
        ),
    }
}

fn trust(path: &std::path::Path) -> Result<rustls::ClientConfig, Fault> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let bad = |error: &dyn std::fmt::Display| {
        Fault::operator(
            Stage::Config,
            format!(
                "[database] ca {}: {error}; expected PEM certificates",
                path.display()
            ),
        )
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        roots
            .add(certificate.map_err(|error| bad(&error))?)
            .map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"holds no certificate"));
    }
    Ok(rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}
