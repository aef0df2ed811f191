//! What both sides of a ratio stand on: one PostgreSQL, psql beside it, the gateway as its own process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ltcgw::sandbox::stage::{Scene, TrialStage};
use ltcgw::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use tempfile::TempDir;

use crate::Done;

const DATABASE: &str = "ltcgw";
/// Tables a packet leaves rows in. The journal refuses TRUNCATE, so its guard is taken off for it.
const EMPTY: &str = "SET session_replication_role = replica; TRUNCATE packet, packet_refusal, line_refusal, employer_line, employee_line, employee_run, \
    entry, posting, delivery, attempt, registry_change, registry_entity, registry_event; UPDATE registry_head SET sequence = 0; RESET session_replication_role; VACUUM; CHECKPOINT;";

/// A running PostgreSQL, durable as in production, and a configuration folder.
pub struct Stand {
    server: EmbeddedPostgres,
    stage: TrialStage,
    partner_port: u16,
    operator_port: u16,
    pub dir: TempDir,
}

/// The gateway in a process of its own; ended when dropped.
pub struct Gateway {
    process: Child,
    operator_port: u16,
}

impl Stand {
    pub fn new() -> Done<Stand> {
        Stand::with(Ok)
    }

    /// The same, with a changed configuration.
    pub fn with(change: impl FnOnce(Scene) -> Done<Scene>) -> Done<Stand> {
        let dir = TempDir::with_prefix("ltcgw-bench-")?;
        // The server's account must be able to reach its cluster.
        std::fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let server =
            EmbeddedPostgres::start(&EmbeddedOptions::durable(dir.path().join("postgres")))?;
        let (partner_port, operator_port) = (free_port()?, free_port()?);
        let url = format!(
            "postgres://postgres@{}/{DATABASE}",
            server
                .socket_dir()
                .display()
                .to_string()
                .replace('/', "%2F")
        );
        let stage = change(Scene::new(
            env!("CARGO_MANIFEST_DIR"),
            dir.path().join("stage"),
        )?)?
        .edit(
            "partner = \"127.0.0.1:0\"",
            &format!("partner = \"127.0.0.1:{partner_port}\""),
        )
        .edit(
            "operator = \"127.0.0.1:0\"",
            &format!("operator = \"127.0.0.1:{operator_port}\""),
        )
        .edit(
            "# url = \"postgres://ltcgw@db.example:5432/ltcgw?sslmode=require\"",
            &format!("url = \"{url}\""),
        )
        .edit("requests_per_second = 200", "requests_per_second = 1000000")
        .edit(
            "san = \"platform.province.example\"",
            "san = \"platform.province.example\"\nburst = 1000000",
        )
        .edit(
            "]\nrequests_per_second = 50\n",
            "]\nrequests_per_second = 1000000\n",
        )
        .edit("burst = 400", "burst = 1000000")
        .build()?;
        let stand = Stand {
            server,
            stage,
            partner_port,
            operator_port,
            dir,
        };
        stand.psql_in("postgres", &[&format!("CREATE DATABASE {DATABASE}")])?;
        Ok(stand)
    }

    /// Starts the gateway and waits until it listens.
    pub fn gateway(&self) -> Done<Gateway> {
        self.start(
            &self.stage.config_dir,
            (self.partner_port, self.operator_port),
        )
    }

    /// Starts a further instance on the same database, by a copy of the configuration with ports of its own.
    pub fn another(&self, number: usize) -> Done<Gateway> {
        let folder = self.dir.path().join(format!("stage-{number}"));
        output(
            Command::new("cp")
                .arg("-r")
                .arg(
                    self.stage
                        .config_dir
                        .parent()
                        .ok_or("the stage has no folder")?,
                )
                .arg(&folder),
        )?;
        let file = folder.join("config/gateway.toml");
        let (partner_port, operator_port) = (free_port()?, free_port()?);
        let text = std::fs::read_to_string(&file)?
            .replace(
                &format!("127.0.0.1:{}", self.partner_port),
                &format!("127.0.0.1:{partner_port}"),
            )
            .replace(
                &format!("127.0.0.1:{}", self.operator_port),
                &format!("127.0.0.1:{operator_port}"),
            );
        std::fs::write(&file, text)?;
        self.start(&folder.join("config"), (partner_port, operator_port))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "another process's socket: there is no event to wait for but that it answers"
    )]
    fn start(&self, config_dir: &Path, (port, operator_port): (u16, u16)) -> Done<Gateway> {
        let log = std::fs::File::create(self.dir.path().join(format!("gateway-{port}.log")))?;
        let process = Command::new(env!("CARGO_BIN_EXE_ltcgw"))
            .args(["serve", "--config"])
            .arg(config_dir)
            .env("LTCGW_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut gateway = Gateway {
            process,
            operator_port,
        };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if gateway.process.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(30) {
                let log =
                    std::fs::read_to_string(self.dir.path().join(format!("gateway-{port}.log")))
                        .unwrap_or_default();
                return Err(format!("the gateway did not start: {log}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(gateway)
    }

    /// How to connect to the database.
    pub fn database(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.server.socket_dir())
            .user("postgres")
            .dbname(DATABASE);
        config
    }

    /// Folder of the configuration the gateway runs on.
    pub fn config_dir(&self) -> &Path {
        &self.stage.config_dir
    }

    pub fn partner_port(&self) -> u16 {
        self.partner_port
    }

    /// Folder of certificates.
    pub fn pki(&self) -> &Path {
        &self.stage.pki
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Empties every table and lets PostgreSQL come to rest, so that each turn begins alike.
    pub fn empty(&self) -> Done {
        self.psql(
            &EMPTY
                .split_inclusive(';')
                .map(str::trim)
                .filter(|sql| !sql.is_empty())
                .collect::<Vec<_>>(),
        )
        .map(drop)
    }

    /// Processor seconds PostgreSQL's processes have used; those that have ended count as well.
    pub fn postgres_seconds(&self) -> Done<f64> {
        let pid = std::fs::read_to_string(self.dir.path().join("postgres/cluster/postmaster.pid"))?;
        let postmaster = pid
            .lines()
            .next()
            .ok_or("postmaster.pid is empty")?
            .to_string();
        let mut ticks = 0.0;
        for process in std::fs::read_dir("/proc")?.flatten() {
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else {
                continue;
            };
            let fields: Vec<&str> = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            let own = process.file_name().to_string_lossy() == postmaster;
            if own || fields.get(1) == Some(&postmaster.as_str()) {
                // utime and stime; of the postmaster also those of children that have ended.
                for field in &fields[11..if own { 15 } else { 13 }] {
                    ticks += field.parse::<f64>()?;
                }
            }
        }
        Ok(ticks / 100.0)
    }

    /// Runs statements in psql; what it prints.
    pub fn psql(&self, statements: &[&str]) -> Done<String> {
        self.psql_in(DATABASE, statements)
    }

    fn psql_in(&self, database: &str, statements: &[&str]) -> Done<String> {
        let mut command = self.tool("psql");
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
        ]);
        for statement in statements {
            command.args(["-c", statement]);
        }
        output(&mut command)
    }

    /// Runs a pgbench script; what it prints.
    pub fn pgbench(&self, arguments: &[&str]) -> Done<String> {
        output(self.tool("pgbench").args(arguments).arg(DATABASE))
    }

    /// A client program of PostgreSQL, told where the server is.
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .env("PGHOST", self.server.socket_dir())
            .env("PGUSER", "postgres")
            .stdin(Stdio::null());
        command
    }
}

impl Gateway {
    /// What it tells the operator's monitoring.
    pub async fn metrics(&self) -> Done<String> {
        Ok(
            reqwest::get(format!("http://127.0.0.1:{}/metrics", self.operator_port))
                .await?
                .text()
                .await?,
        )
    }

    /// Ends the process without letting it finish anything.
    pub fn kill(mut self) -> Done {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Most memory the process ever held (VmHWM), in MB of a million bytes.
    pub fn peak_megabytes(&self) -> Done<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .ok_or("no VmHWM in /proc")?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }

    /// Processor seconds it has used.
    pub fn processor_seconds(&self) -> Done<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / 100.0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

fn output(command: &mut Command) -> Done<String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn free_port() -> Done<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
