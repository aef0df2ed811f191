//! A server that stands still, or whose standby takes over: noticed within two seconds, and healed by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ltcgw::config::DatabaseConfig;
use ltcgw::flow::clock::CityClock;
use ltcgw::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use ltcgw::store::tx::Tx;
use ltcgw::store::{DatabaseAccess, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::packet::{Line, Packet};
use crate::support::Gateway;

/// A server's folder and where it listens.
struct Place {
    data: PathBuf,
    port: u16,
}

impl Place {
    fn new(dir: &Path, name: &str) -> Place {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port")
            .port();
        Place {
            data: dir.join(name),
            port,
        }
    }

    async fn start(&self) -> EmbeddedPostgres {
        let mut options = EmbeddedOptions::throwaway(&self.data);
        for (name, value) in [
            ("listen_addresses", "127.0.0.1".to_string()),
            ("port", self.port.to_string()),
            ("wal_level", "replica".to_string()),
        ] {
            options.settings.push((name.into(), value));
        }
        tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options))
            .await
            .expect("not cancelled")
            .map_err(|fault| fault.text)
            .expect("PostgreSQL starts")
    }

    fn cluster(&self) -> PathBuf {
        self.data.join("cluster")
    }

    /// Its processes.
    fn processes(&self) -> Vec<Pid> {
        let found = std::fs::read_dir("/proc").expect("/proc").flatten();
        let ours = found.filter(|process| {
            std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == self.cluster())
        });
        ours.filter_map(|process| process.file_name().to_str()?.parse().ok())
            .map(Pid::from_raw)
            .collect()
    }
}

async fn stop(server: EmbeddedPostgres) {
    tokio::task::spawn_blocking(move || server.stop())
        .await
        .expect("stopped");
}

fn folder() -> TempDir {
    let dir = TempDir::with_prefix_in("ltcgw-two-", "/tmp").expect("a temporary folder");
    std::fs::set_permissions(
        dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("open for the server");
    dir
}

fn url(url: String) -> DatabaseAccess {
    DatabaseAccess::configured(&DatabaseConfig {
        url: Some(url),
        ..DatabaseConfig::default()
    })
    .expect("a usable entry")
    .expect("a URL is given")
}

async fn port(store: &Store) -> String {
    store
        .client()
        .await
        .expect("a session")
        .query_one("SELECT current_setting('port')", &[])
        .await
        .expect("a port")
        .get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_servers_the_one_that_takes_writes_is_used_and_a_promoted_standby_follows_it() {
    ltcgw::link::install_provider();
    let dir = folder();
    let (one, other) = (
        Place::new(dir.path(), "one"),
        Place::new(dir.path(), "other"),
    );
    let first = one.start().await;
    Store::open(
        url(format!(
            "postgres://postgres@127.0.0.1:{}/postgres",
            one.port
        )),
        &[],
    )
    .await
    .map_err(|fault| fault.text)
    .expect("migrated");
    stop(first).await;
    // A copy of a server that was stopped is one; told to stand by, it only reads.
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&one.data)
        .arg(&other.data)
        .status()
        .expect("cp");
    assert!(copied.success());
    std::fs::write(other.cluster().join("standby.signal"), "").expect("written");
    let (primary, standby) = (one.start().await, other.start().await);
    let alone = Store::open(
        url(format!(
            "postgres://postgres@127.0.0.1:{}/postgres",
            other.port
        )),
        &[],
    )
    .await
    .map(drop);
    let fault = alone.expect_err("a standby alone is refused").text;
    assert!(
        fault.contains("standby") && fault.contains(&format!("127.0.0.1:{}", other.port)),
        "{fault}"
    );

    let both = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?connect_timeout=2",
        other.port, one.port
    );
    let store = Store::open(url(both), &[])
        .await
        .map_err(|fault| fault.text)
        .expect("the second one takes writes");
    assert_eq!(port(&store).await, one.port.to_string());
    store
        .ping()
        .await
        .map_err(|fault| fault.text)
        .expect("a write");
    stop(primary).await;
    let asked = Instant::now();
    let fault = store.ping().await.expect_err("nobody takes writes");
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}: {fault}",
        asked.elapsed()
    );
    let (client, connection) = standby
        .connection("postgres")
        .port(other.port)
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    assert!(
        client
            .query_one("SELECT pg_promote()", &[])
            .await
            .expect("an answer")
            .get::<_, bool>(0),
        "promoted"
    );
    store
        .ping()
        .await
        .map_err(|fault| fault.text)
        .expect("the promoted one takes writes, and nobody had to restart anything");
    assert_eq!(port(&store).await, other.port.to_string());
    drop(store);
    stop(standby).await;
}

/// A server whose processes stand still; they go on when dropped.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn of(place: &Place) -> Frozen {
        let processes = place.processes();
        assert!(processes.len() > 3, "{processes:?}");
        processes
            .iter()
            .for_each(|pid| kill(*pid, Signal::SIGSTOP).expect("it is there"));
        Frozen(processes)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            kill(*pid, Signal::SIGCONT).ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_noticed_within_two_seconds_and_gone_on_with_afterwards() {
    ltcgw::link::install_provider();
    let dir = folder();
    let place = Place::new(dir.path(), "one");
    let server = place.start().await;
    let mut database = tokio_postgres::Config::new();
    database
        .host("127.0.0.1")
        .port(place.port)
        .user("postgres")
        .dbname("postgres");
    let connection = DatabaseAccess::local(database.clone()).patient(Duration::from_secs(1));
    let gateway = Gateway::upon(connection, database, CityClock::default(), |scene| scene).await;
    let operator = gateway.running.server.operator;
    let ask = async |path: &str| {
        let asked = Instant::now();
        let answer = reqwest::get(format!("http://{operator}{path}"))
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.text().await.expect("a body"),
            asked.elapsed(),
        )
    };
    assert_eq!(
        gateway
            .send(Packet::employers("P1", [Line::employer("1")]))
            .await
            .0,
        200
    );
    assert_eq!(ask("/readyz").await.0, 200);

    // What may take long goes on while the server answers others; what is short does not.
    let store = gateway.running.gateway.store.clone();
    store
        .client()
        .await
        .expect("a session")
        .batch_execute("SELECT pg_sleep(30)")
        .await
        .expect_err("given up after a second");
    let tx = Tx::begin_long(store.client().await.expect("a session"))
        .await
        .expect("begun");
    tx.batch_execute("SELECT pg_sleep(2.5)")
        .await
        .expect("it took what it needed");

    let frozen = Frozen::of(&place);
    let (status, text, took) = ask("/readyz").await;
    assert!(
        status == 503 && took < Duration::from_secs(2),
        "{status} after {took:?}: {text}"
    );
    let (_, metrics, took) = ask("/metrics").await;
    assert!(
        metrics.contains("ltcgw_database_up 0") && took < Duration::from_secs(2),
        "after {took:?}: {metrics}"
    );
    // The statement itself has an end too: a sender is answered, and keeps what it has.
    let packet = Packet::employers("P2", [Line::employer("2")]);
    assert_eq!(gateway.send(&packet).await.0, 503);
    // So has one that may take long: nobody else is answered either.
    let asked = Instant::now();
    tx.batch_execute("SELECT 1").await.expect_err("given up");
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
    drop(frozen);
    gateway.until("SELECT 1", "1").await;
    assert_eq!(ask("/readyz").await.0, 200);
    assert_eq!(
        gateway.send(&packet).await.0,
        200,
        "nothing was kept that would stand in the way"
    );
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "2"
    );
    drop(gateway);
    stop(server).await;
}
