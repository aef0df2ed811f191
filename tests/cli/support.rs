//! A configuration folder per test, the binary on it, and waiting for events.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ltcgw::sandbox::partners::{PartnerTls, SimulatedPartner, SimulationOptions};
use ltcgw::sandbox::stage::{Scene, TrialStage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::packet::{Line, Packet};

/// What one line of [`packet`] brings, in fen.
pub const LINE_FEN: i64 = 1_074_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer; panics when there is none for a minute.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain for {what}",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The project's folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A configuration folder, removed when dropped.
pub struct Place {
    pub stage: TrialStage,
    pub dir: TempDir,
    /// Civil affairs and the health commission, where simulated.
    pub others: Vec<SimulatedPartner>,
    /// What `LTCGW_LOG` asks of commands that are started.
    pub logging: Option<&'static str>,
}

/// What a command said and how it ended.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Place {
    /// The shipped configuration with nobody to deliver to.
    pub fn new() -> Place {
        Place::with(|scene| scene)
    }

    /// The shipped configuration, changed.
    pub fn with(change: impl FnOnce(Scene) -> Scene) -> Place {
        ltcgw::link::install_provider();
        // In memory where the machine has /dev/shm: its disk is not what is tested.
        let root = Some(Path::new("/dev/shm"))
            .filter(|root| root.is_dir())
            .map_or_else(std::env::temp_dir, Path::to_path_buf);
        let dir = TempDir::with_prefix_in("ltcgw-cli-", root).expect("a temporary folder");
        // As root PostgreSQL runs as another account, which must get to the data.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755))
            .expect("an open folder");
        let stage = change(Scene::new(project(), dir.path()).expect("a scene"))
            .build()
            .expect("a stage");
        std::fs::set_permissions(
            stage.config_dir.join("secrets/medical-core-sm2.key"),
            PermissionsExt::from_mode(0o600),
        )
        .expect("a closed secret");
        Place {
            stage,
            dir,
            others: Vec::new(),
            logging: None,
        }
    }

    /// The shipped configuration with every counterpart simulated.
    pub fn with_partners(
        change: impl FnOnce(Scene) -> Scene,
    ) -> (Place, SimulatedPartner, SimulatedPartner) {
        ltcgw::link::install_provider();
        let mut partners = None;
        let mut place = Place::with(|mut scene| {
            let server = scene
                .authority
                .server(&["localhost"])
                .expect("a certificate");
            let tls = PartnerTls {
                certificate_pem: server.certificate_pem,
                key_pem: server.key_pem,
                client_ca_pem: scene.authority.certificate_pem(),
            };
            let core =
                SimulatedPartner::core(&tls, SimulationOptions::default()).expect("a medical core");
            let ltc =
                SimulatedPartner::ltc(&tls, SimulationOptions::default()).expect("an LTC system");
            (scene.medical_core, scene.ltc_system) = (core.url().into(), ltc.url().into());
            let civil =
                SimulatedPartner::civil(&tls, SimulationOptions::default()).expect("civil affairs");
            let health = SimulatedPartner::health(&tls, SimulationOptions::default())
                .expect("a health commission");
            (scene.civil_affairs, scene.health_commission) =
                (civil.url().into(), health.url().into());
            partners = Some((core, ltc, vec![civil, health]));
            change(scene)
        });
        let (core, ltc, others) = partners.expect("made above");
        place.others = others;
        (place, core, ltc)
    }

    pub fn config(&self) -> &Path {
        &self.stage.config_dir
    }

    /// Runs a command that takes `--config` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        let config = self.config().display().to_string();
        run(&[arguments, &["--config", &config]].concat()).await
    }

    /// Starts `ltcgw serve` and waits until it serves.
    pub async fn serve(&self) -> Serving {
        let mut serving = self.spawn();
        let log = until("the gateway to serve", async || {
            assert!(
                serving.child.try_wait().expect("a status").is_none(),
                "the gateway ended: {}",
                serving.log()
            );
            Some(serving.log()).filter(|log| log.contains(" serving "))
        });
        let log = log.await;
        serving.partner = port(&log, "partners=");
        serving.operator = port(&log, "operator=");
        serving
    }

    /// Starts `ltcgw serve`, whatever becomes of it.
    pub fn spawn(&self) -> Serving {
        self.start(&["serve"])
    }

    /// Starts a command that takes `--config`, whatever becomes of it; killed when dropped.
    pub fn start(&self, arguments: &[&str]) -> Serving {
        let log = self
            .dir
            .path()
            .join(format!("command-{}.log", uuid::Uuid::now_v7()));
        let config = self.config().display().to_string();
        let mut command = command(&[arguments, &["--config", &config]].concat());
        command.envs(self.logging.map(|filter| ("LTCGW_LOG", filter)));
        let child = command
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log"))
            .spawn()
            .expect("the binary starts");
        Serving {
            child,
            log,
            partner: 0,
            operator: 0,
        }
    }

    /// A connection to the embedded database; ends with the gateway.
    pub async fn connect(&self) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.dir.path().join("data/postgres/run"))
            .user("postgres")
            .dbname("ltcgw");
        let (client, connection) = config
            .connect(tokio_postgres::NoTls)
            .await
            .expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// Values of the embedded database, as text: columns by a space, rows by `; `.
    pub async fn value(&self, sql: &str) -> String {
        let client = self.connect().await;
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

    /// Whether a PostgreSQL process still works on the embedded data.
    pub fn postgres_runs(&self) -> bool {
        let cluster = self.dir.path().join("data/postgres/cluster");
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        processes
            .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
            .any(|cwd| cwd == cluster)
    }
}

/// A process of the binary; killed when dropped.
pub struct Serving {
    child: Child,
    log: PathBuf,
    pub partner: u16,
    pub operator: u16,
}

impl Serving {
    /// Everything it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("its log")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it is there");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the gateway to end", async || {
            self.child.try_wait().expect("a status")
        })
        .await
    }

    /// What the operator listener answers: status and body.
    pub async fn operator(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.operator))
            .await
            .ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub fn packets_url(&self) -> String {
        format!("https://localhost:{}/tax/v1/packets", self.partner)
    }

    /// Sends a packet as the tax bureau: status and receipt, or nothing when there was no answer.
    pub async fn send(&self, client: &reqwest::Client, packet: &Packet) -> Option<(u16, Vec<u8>)> {
        let answer = client
            .post(self.packets_url())
            .body(Vec::from(packet))
            .send()
            .await
            .ok()?;
        Some((
            answer.status().as_u16(),
            answer.bytes().await.ok()?.to_vec(),
        ))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A packet of `lines` lines with detail numbers of its own.
pub fn packet(number: &str, lines: usize) -> Packet {
    Packet::employers(
        number,
        (0..lines).map(|line| Line::employer(&format!("{number}-{line}"))),
    )
}

/// Runs the binary to its end.
pub async fn run(arguments: &[&str]) -> Said {
    let mut command = command(arguments);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic")
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said {
        status: output.status,
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ltcgw"));
    // Wide, so that sentences can be looked for; what is said at 80 columns is `narrow.rs`.
    command
        .args(arguments)
        .env_remove("LTCGW_LOG")
        .env_remove("LTCGW_CONFIG")
        .env("COLUMNS", "200")
        .env("LC_ALL", "C");
    command
}

/// The port of `key=address:port` in a log.
fn port(log: &str, key: &str) -> u16 {
    let rest = log
        .split(key)
        .nth(1)
        .unwrap_or_else(|| panic!("no {key} in {log}"));
    let address = rest.split_whitespace().next().expect("an address");
    address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("no port in {address}"))
}
