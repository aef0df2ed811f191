//! A pooler before PostgreSQL: in session mode it works, in transaction mode it is refused before
//! anything is set on a session that is somebody else's next. And rights, each named with its GRANT.
//!
//! Needs pgbouncer (deploy/setup.sh tests); without it the tests of the pooler say so and pass.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ltcgw::sandbox::stage::Scene;
use ltcgw::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{Place, packet, until};

/// The URL as the shipped configuration shows it.
const SHOWN: &str = "# url = \"postgres://ltcgw@db.example:5432/ltcgw?sslmode=require\"";
/// What a session handed on by the pooler must not have been told.
const READ_ONLY: &str = "SHOW default_transaction_read_only";

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .unwrap()
        .port()
}

/// A PostgreSQL over TCP, with a database and a role `ltcgw`.
struct Server {
    embedded: Option<EmbeddedPostgres>,
    port: u16,
    dir: TempDir,
}

impl Server {
    async fn start() -> Server {
        ltcgw::link::install_provider();
        let dir = TempDir::with_prefix_in("ltcgw-pooler-", "/tmp").unwrap();
        std::fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let port = free_port();
        let mut options = EmbeddedOptions::throwaway(dir.path().join("data"));
        options
            .settings
            .push(("listen_addresses".into(), "127.0.0.1".into()));
        options.settings.push(("port".into(), port.to_string()));
        let embedded = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options))
            .await
            .unwrap()
            .map_err(|fault| fault.text)
            .unwrap();
        let server = Server {
            embedded: Some(embedded),
            port,
            dir,
        };
        server.run("postgres", "CREATE ROLE ltcgw LOGIN").await;
        server.run("postgres", "CREATE DATABASE ltcgw").await;
        server
    }

    /// As superuser.
    async fn run(&self, database: &str, sql: &str) {
        connect(self.port, "postgres", database)
            .await
            .batch_execute(sql)
            .await
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let embedded = self.embedded.take();
        std::thread::spawn(move || drop(embedded)).join().ok();
    }
}

async fn connect(port: u16, role: &str, database: &str) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user(role)
        .dbname(database);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// pgbouncer before a server; ended when dropped.
struct Pooler {
    process: Child,
    port: u16,
}

impl Pooler {
    /// `None` where there is no pgbouncer.
    async fn start(server: &Server, mode: &str, size: u32) -> Option<Pooler> {
        let binary = [
            "/usr/sbin/pgbouncer",
            "/usr/bin/pgbouncer",
            "/usr/local/bin/pgbouncer",
        ]
        .into_iter()
        .map(Path::new)
        .find(|path| path.exists());
        let Some(binary) = binary else {
            eprintln!(
                "no pgbouncer here: deploy/setup.sh tests installs it; what stands before PostgreSQL is not tried"
            );
            return None;
        };
        let (port, folder) = (free_port(), server.dir.path());
        let users = folder.join("users.txt");
        std::fs::write(&users, "\"ltcgw\" \"\"\n\"postgres\" \"\"\n").unwrap();
        let config = folder.join(format!("{mode}.ini"));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
             auth_file = {}\npool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 200\nignore_startup_parameters = extra_float_digits\n",
            server.port,
            users.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(binary);
        command
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if nix::unistd::Uid::effective().is_root() {
            // It refuses to run as root, as PostgreSQL does.
            let account = nix::unistd::User::from_name("postgres").unwrap().unwrap();
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        let pooler = Pooler {
            process: command.spawn().unwrap(),
            port,
        };
        until("the pooler to listen", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        Some(pooler)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A configuration that reaches the database as `role` through a port.
fn place(port: u16, role: &str) -> Place {
    let url = format!("url = \"postgres://{role}@127.0.0.1:{port}/ltcgw\"");
    Place::with(|scene: Scene| scene.edit(SHOWN, &url))
}

/// What doctor says in one line, whatever its verdict.
async fn doctor(place: &Place) -> String {
    place
        .run(&["doctor"])
        .await
        .out
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Starts the gateway, which must end by itself; what it said.
async fn refused(place: &Place) -> String {
    let mut serving = place.spawn();
    let status = serving.ended().await;
    assert_eq!(status.code(), Some(1), "{}", serving.log());
    serving.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_refused_and_nothing_is_left_on_its_sessions() {
    let server = Server::start().await;
    let Some(pooler) = Pooler::start(&server, "transaction", 4).await else {
        return;
    };
    let place = place(pooler.port, "postgres");
    let expected = "pooler in transaction mode; sessions must be ours: use session mode or a direct connection";
    let said = doctor(&place).await;
    assert!(said.contains(expected), "{said}");
    let log = refused(&place).await;
    assert!(log.contains(expected), "{log}");
    // Others of that pooler find their sessions as they were.
    let mut others = Vec::new();
    for _ in 0..4 {
        let other = connect(pooler.port, "postgres", "ltcgw").await;
        other.batch_execute("BEGIN").await.unwrap();
        let rows = other.simple_query(READ_ONLY).await.unwrap();
        assert!(rows.iter().any(|row| matches!(row, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("off"))));
        others.push(other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_works() {
    let server = Server::start().await;
    let Some(pooler) = Pooler::start(&server, "session", 40).await else {
        return;
    };
    let place = place(pooler.port, "postgres");
    let said = doctor(&place).await;
    assert!(said.contains("no schema yet"), "{said}");
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    for number in 0..10 {
        assert_eq!(
            serving
                .send(&client, &packet(&format!("P{number}"), 2))
                .await
                .unwrap()
                .0,
            200
        );
    }
    assert_eq!(
        serving.send(&client, &packet("P0", 2)).await.unwrap().0,
        200,
        "a repeat"
    );
    assert_eq!(
        serving.operator("/readyz").await,
        Some((200, "ready\n".into()))
    );
    let core = place.stage.client("medical-core").unwrap();
    for _ in 0..10 {
        let url = format!(
            "https://localhost:{}/core/v1/employers/4501030012345/contributions?from=202110&to=202110",
            serving.partner
        );
        assert_eq!(core.get(url).send().await.unwrap().status().as_u16(), 200);
    }
    serving.signal(Signal::SIGTERM);
    assert_eq!(serving.ended().await.code(), Some(0), "{}", serving.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_with_one_session_is_told_to_have_more() {
    let server = Server::start().await;
    let Some(pooler) = Pooler::start(&server, "session", 1).await else {
        return;
    };
    let said = doctor(&place(pooler.port, "postgres")).await;
    assert!(
        said.contains("no session within")
            || said.contains("a pooler before it has a session for each connection"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_that_is_missing_is_named_with_its_grant_before_anything_is_served() {
    let server = Server::start().await;
    let place = place(server.port, "ltcgw");
    let steps = [
        ("GRANT CREATE ON SCHEMA public TO ltcgw", "ltcgw"),
        ("GRANT CREATE ON DATABASE ltcgw TO ltcgw", "ltcgw"),
    ];
    for (grant, database) in steps {
        let said = doctor(&place).await;
        assert!(said.contains(grant), "{grant} is not in {said}");
        let log = refused(&place).await;
        assert!(log.contains(grant), "{grant} is not in {log}");
        server.run(database, grant).await;
    }
    server
        .run("ltcgw", "REVOKE TEMPORARY ON DATABASE ltcgw FROM PUBLIC")
        .await;
    let grant = "GRANT TEMPORARY ON DATABASE ltcgw TO ltcgw";
    assert!(doctor(&place).await.contains(grant));
    assert!(refused(&place).await.contains(grant));
    server.run("ltcgw", grant).await;
    server
        .run("ltcgw", "ALTER ROLE ltcgw SET statement_timeout = '5s'")
        .await;
    let said = doctor(&place).await;
    assert!(
        said.contains("statement_timeout=5s") && said.contains("ALTER ROLE ltcgw RESET"),
        "{said}"
    );
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    assert_eq!(
        serving.send(&client, &packet("P1", 2)).await.unwrap().0,
        200
    );
    // The same lines under another number are compared in a temporary table.
    let lines = (0..2).map(|line| crate::packet::Line::employer(&format!("P1-{line}")));
    let collision = crate::packet::Packet::employers("P2", lines);
    assert_eq!(serving.send(&client, &collision).await.unwrap().0, 200);
    serving.signal(Signal::SIGTERM);
    assert_eq!(serving.ended().await.code(), Some(0), "{}", serving.log());
    // Tables of another owner: a role that may not write them is told so.
    server.run("ltcgw", "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO reader; GRANT TEMPORARY ON DATABASE ltcgw TO reader; GRANT SELECT ON refinery_schema_history TO reader").await;
    let url = format!(
        "url = \"postgres://reader@127.0.0.1:{}/ltcgw\"",
        server.port
    );
    let other = Place::with(|scene: Scene| scene.edit(SHOWN, &url));
    assert!(
        doctor(&other).await.contains(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_does_not_want_us_is_named_with_address_and_cause() {
    let port = free_port();
    let said = doctor(&place(port, "postgres")).await;
    assert!(
        said.contains(&format!("127.0.0.1:{port}: ")) && said.contains("Connection refused"),
        "{said}"
    );
    let server = Server::start().await;
    let said = doctor(&place(server.port, "nobody_here")).await;
    assert!(
        said.contains(&format!("127.0.0.1:{}", server.port))
            && said.contains("role \"nobody_here\" does not exist")
            && said.contains("28000"),
        "{said}"
    );
    assert!(!said.contains("db error"), "{said}");
}
