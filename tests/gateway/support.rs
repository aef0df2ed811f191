//! What every test stands on: one throwaway PostgreSQL per process, a fresh database and stage per test.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ltcgw::adapter::capability::sm2_sorted_fields::PrivateKey;
use ltcgw::flow::clock::CityClock;
use ltcgw::sandbox::partners::{PartnerTls, SimulatedPartner, SimulationOptions as PartnerOptions};
use ltcgw::sandbox::stage::{Scene, TrialStage};
use ltcgw::service::RunningGateway;
use ltcgw::store::DatabaseAccess;
use ltcgw::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// One server for all tests of this process, in memory where the machine has /dev/shm.
static SERVER: LazyLock<(EmbeddedPostgres, TempDir)> = LazyLock::new(|| {
    ltcgw::link::install_provider();
    let root = Path::new("/dev/shm");
    remove_leftovers(root);
    let dir = if root.is_dir() {
        TempDir::with_prefix_in(format!("ltcgw-test-{}-", std::process::id()), root)
    } else {
        TempDir::with_prefix("ltcgw-test-")
    }
    .expect("a temporary folder");
    let mut options = EmbeddedOptions::throwaway(dir.path().join("postgres"));
    options
        .settings
        .push(("max_connections".into(), "400".into()));
    (
        EmbeddedPostgres::start(&options).expect("PostgreSQL starts"),
        dir,
    )
});

/// Statics are never dropped, so what an earlier process left is removed by the next one.
fn remove_leftovers(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("ltcgw-test-")
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path()); // another test process may be faster
        }
    }
}

static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Copies a folder with all in it, such as the shipped adapters to be changed.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A fresh, migrated database.
pub async fn database() -> tokio_postgres::Config {
    TEMPLATE
        .get_or_init(async || {
            let config = SERVER
                .0
                .database("template_ltcgw")
                .await
                .expect("a template database");
            ltcgw::store::Store::open(DatabaseAccess::local(config), &[])
                .await
                .expect("migrations run");
        })
        .await;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let (client, connection) = SERVER
        .0
        .connection("postgres")
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    // Copying a template needs it to itself, and tests run in parallel.
    client
        .batch_execute("SELECT pg_advisory_lock(1)")
        .await
        .expect("the lock");
    client
        .batch_execute(&format!(
            "CREATE DATABASE {name} TEMPLATE template_ltcgw STRATEGY FILE_COPY"
        ))
        .await
        .expect("a fresh database");
    SERVER.0.connection(&name)
}

/// A running gateway with its database and certificates; removed when dropped.
pub struct Gateway {
    pub running: RunningGateway,
    pub stage: TrialStage,
    pub database: tokio_postgres::Config,
    pub _dir: TempDir,
}

/// The project's folder.
pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Gateway {
    /// The shipped configuration with nobody to deliver to.
    pub async fn start() -> Gateway {
        Gateway::with(|scene| scene).await
    }

    /// The shipped configuration, changed.
    pub async fn with(change: impl FnOnce(Scene) -> Scene) -> Gateway {
        Gateway::at(CityClock::default(), change).await
    }

    /// The same, with a clock that was set.
    pub async fn at(clock: CityClock, change: impl FnOnce(Scene) -> Scene) -> Gateway {
        let database = database().await;
        Gateway::upon(
            DatabaseAccess::local(database.clone()),
            database,
            clock,
            change,
        )
        .await
    }

    /// The same, with another way to its database.
    pub async fn upon(
        connection: DatabaseAccess,
        database: tokio_postgres::Config,
        clock: CityClock,
        change: impl FnOnce(Scene) -> Scene,
    ) -> Gateway {
        let dir = TempDir::with_prefix("ltcgw-stage-").expect("a temporary folder");
        let stage = change(Scene::new(project(), dir.path()).expect("a scene"))
            .build()
            .expect("a stage");
        let running = stage
            .start_at(connection, clock)
            .await
            .map_err(|fault| fault.text)
            .expect("the gateway starts");
        Gateway {
            running,
            stage,
            database,
            _dir: dir,
        }
    }

    /// The URL of a path on the partner listener.
    pub fn url(&self, path: &str) -> String {
        format!(
            "https://localhost:{}{path}",
            self.running.server.partner.port()
        )
    }

    /// Sends a packet as the tax bureau and returns status and receipt as text.
    pub async fn send(&self, packet: impl Into<Vec<u8>>) -> (u16, String) {
        self.send_as("nanning-tax", packet).await
    }

    /// Sends a packet as any partner.
    pub async fn send_as(&self, partner: &str, packet: impl Into<Vec<u8>>) -> (u16, String) {
        let client = self.stage.client(partner).expect("a client");
        let answer = client
            .post(self.url("/tax/v1/packets"))
            .body(packet.into())
            .send()
            .await
            .expect("an answer");
        receipt(answer).await
    }

    /// One value of the database, as text.
    pub async fn value(&self, sql: &str) -> String {
        let (client, connection) = self
            .database
            .connect(tokio_postgres::NoTls)
            .await
            .expect("a connection");
        tokio::spawn(connection);
        let rows = client
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let values = rows.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|at| row.get(at).unwrap_or("-"))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            _ => None,
        });
        values.collect::<Vec<_>>().join("; ")
    }

    /// Waits until a query has this value.
    pub async fn until(&self, sql: &str, expected: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            let value = self.value(sql).await;
            if value == expected {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{sql}: still {value}, expected {expected}"
            );
        }
    }
}

/// Status and body of an answer, decoded by its declared charset.
pub async fn receipt(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let content_type = answer
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_lowercase();
    let bytes = answer.bytes().await.expect("a complete body");
    let encoding = content_type
        .split("charset=")
        .nth(1)
        .and_then(|name| encoding_rs::Encoding::for_label(name.trim().as_bytes()))
        .unwrap_or(encoding_rs::UTF_8);
    (status, encoding.decode(&bytes).0.into_owned())
}

/// A gateway with a medical core and an LTC system to deliver to.
pub struct Counterparts {
    pub gateway: Gateway,
    pub core: SimulatedPartner,
    pub ltc: SimulatedPartner,
}

impl Counterparts {
    /// The shipped configuration, with deadlines and pauses short enough for tests.
    pub async fn start() -> Counterparts {
        Counterparts::with(|scene| scene).await
    }

    /// The same, changed.
    pub async fn with(change: impl FnOnce(Scene) -> Scene) -> Counterparts {
        let mut partners = None;
        let gateway = Gateway::with(|scene| {
            let server = scene
                .authority
                .server(&["localhost"])
                .expect("a certificate");
            let tls = PartnerTls {
                certificate_pem: server.certificate_pem,
                key_pem: server.key_pem,
                client_ca_pem: scene.authority.certificate_pem(),
            };
            let public = PrivateKey::parse(&scene.sm2_key)
                .expect("the key just made")
                .public_hex();
            let core = SimulatedPartner::core(
                &tls,
                PartnerOptions {
                    sm2_public_hex: Some(public),
                    ..PartnerOptions::default()
                },
            )
            .expect("a core");
            let ltc =
                SimulatedPartner::ltc(&tls, PartnerOptions::default()).expect("an LTC system");
            let scene = Scene {
                medical_core: core.url().to_string(),
                ltc_system: ltc.url().to_string(),
                ..scene
            };
            partners = Some((core, ltc));
            change(scene)
                .edit("deadline_seconds = 30", "deadline_seconds = 1")
                .edit(
                    "# retry_first_milliseconds = 1000",
                    "retry_first_milliseconds = 50",
                )
                .edit("# poll_milliseconds = 1000", "poll_milliseconds = 50")
        })
        .await;
        let (core, ltc) = partners.expect("the change was made");
        Counterparts { gateway, core, ltc }
    }

    /// Waits until no delivery is on its way any more.
    pub async fn settled(&self) {
        self.until(
            "SELECT count(*) FROM delivery WHERE state NOT IN ('delivered', 'superseded', 'dead')",
            "0",
        )
        .await;
    }

    /// Waits until a query has this value.
    pub async fn until(&self, sql: &str, expected: &str) {
        self.gateway.until(sql, expected).await;
    }

    /// Deliveries to a partner as `state outcome attempts`.
    pub async fn deliveries(&self, to: &str) -> String {
        self.gateway.value(&format!("SELECT state, outcome, attempt_no FROM delivery WHERE destination = '{to}' ORDER BY delivery_id")).await
    }
}
