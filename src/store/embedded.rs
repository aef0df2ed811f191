//! PostgreSQL as a child process, for trials, demos, tests and small installations.
//!
//! Finds the server's binaries, makes a cluster on first use, runs `postgres` on a Unix socket in
//! a folder only its owner can enter, restarts it when it dies and stops it with the gateway. As
//! root the server runs as the account `postgres`, which it insists on. It holds no SQL of the
//! gateway; migrations and queries are the rest of the store.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Fault, Stage};

mod account;
mod binaries;
mod process;

use account::Account;
use binaries::Binaries;
use process::ServerCommand;

/// Longest path of a Unix socket (bytes), from `sun_path` in unix(7).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The socket's file name for the default port.
const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// Superuser of the cluster; its socket folder is closed to everyone else.
const USER: &str = "postgres";
/// How often the supervisor looks whether the server still runs.
const LOOK: Duration = Duration::from_millis(100);

/// What to run and where.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Folder of the cluster, its socket and its log; made when absent.
    pub dir: PathBuf,
    /// With `fsync`: survives a power cut. Without: for tests, several times faster.
    pub durable: bool,
    /// Server settings that go over the built-in ones, by their PostgreSQL names.
    pub settings: Vec<(String, String)>,
}

impl EmbeddedOptions {
    /// A cluster that keeps what it committed.
    pub fn durable(dir: impl Into<PathBuf>) -> EmbeddedOptions {
        EmbeddedOptions {
            dir: dir.into(),
            durable: true,
            settings: Vec::new(),
        }
    }

    /// A cluster for tests: a power cut may destroy it.
    pub fn throwaway(dir: impl Into<PathBuf>) -> EmbeddedOptions {
        EmbeddedOptions {
            dir: dir.into(),
            durable: false,
            settings: Vec::new(),
        }
    }
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    socket_dir: PathBuf,
    stop: Option<mpsc::Sender<()>>,
    supervisor: Option<JoinHandle<()>>,
    /// Held as long as we live, so that a second gateway on the same folder is refused at once.
    _lock: FolderLock,
}

/// The lock on a folder.
///
/// It is let go by name when dropped, not by closing the file: a process that another thread is
/// just forking holds a copy of every open file until it runs its program, and with it the lock.
#[derive(Debug)]
struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        self.0.unlock().ok();
    }
}

/// What a start would work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// Folder of the server's binaries and their major version.
    pub binaries: PathBuf,
    pub major: u32,
    /// There is a cluster already.
    pub has_cluster: bool,
}

impl EmbeddedPostgres {
    /// Says what [`EmbeddedPostgres::start`] in `dir` would work with; makes and changes nothing.
    ///
    /// # Errors
    /// Why it would be refused: no binaries or account, a folder out of the account's reach, too long a path.
    pub fn prospect(dir: &Path) -> Result<Prospect, Fault> {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        let account = Account::for_server()?;
        check_socket_path(&dir.join("run"))?;
        let nearest = dir
            .ancestors()
            .find(|folder| folder.is_dir())
            .unwrap_or(&dir);
        // A folder of ours that a start will still make or hand over says nothing about its reach.
        account.check_reach(if dir.is_dir() {
            nearest.parent().unwrap_or(nearest)
        } else {
            nearest
        })?;
        let cluster = dir.join("cluster");
        let binaries = Binaries::find(&cluster)?;
        Ok(Prospect {
            major: binaries.major,
            binaries: binaries.dir,
            has_cluster: cluster.exists(),
        })
    }

    /// Starts the server and returns when it takes connections; makes the cluster first if there is none.
    ///
    /// Blocks for about a second on first use and 0.1 s later on. The server is forked from a
    /// thread of its own that lives as long as it, because the kernel's parent-death signal
    /// follows the thread that forked; so this may be called from any thread, async ones included.
    ///
    /// # Errors
    /// No binaries, an unusable folder, another gateway on the same folder, a cluster of another
    /// major version, or a server that does not start: each says what to do.
    pub fn start(options: &EmbeddedOptions) -> Result<EmbeddedPostgres, Fault> {
        let account = Account::for_server()?;
        let dir = account.prepare(&options.dir)?;
        let socket_dir = dir.join("run");
        check_socket_path(&socket_dir)?;
        let lock = lock(&dir)?;
        account.own_folder(&socket_dir)?;
        account.check_reach(&dir)?;
        let cluster = dir.join("cluster");
        let binaries = Binaries::find(&cluster)?;
        process::wait_for_predecessor(&cluster)?;
        if !cluster.exists() {
            process::make_cluster(&binaries, &account, &cluster, options.durable)?;
        }
        let server = ServerCommand {
            binaries,
            account,
            cluster,
            socket_dir: socket_dir.clone(),
            log: dir.join("server.log"),
            settings: settings(options),
        };
        let (stop, stopped) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let supervisor = std::thread::Builder::new()
            .name("postgres".into())
            .spawn(move || supervise(&server, &ready, &stopped))
            .map_err(|error| {
                Fault::operator(
                    Stage::Store,
                    format!("embedded PostgreSQL: no thread to run it from: {error}"),
                )
            })?;
        let embedded = EmbeddedPostgres {
            socket_dir,
            stop: Some(stop),
            supervisor: Some(supervisor),
            _lock: lock,
        };
        match is_ready.recv() {
            Ok(Ok(())) => Ok(embedded),
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(Fault::operator(
                Stage::Store,
                "embedded PostgreSQL: its supervisor ended before the server was ready",
            )),
        }
    }

    /// How to connect to database `name`, as superuser over the socket.
    pub fn connection(&self, name: &str) -> tokio_postgres::Config {
        over(&self.socket_dir, name)
    }

    /// How to reach the server another process runs in `dir`, for commands beside a gateway.
    ///
    /// # Errors
    /// No server runs there.
    pub fn running(dir: &Path, name: &str) -> Result<tokio_postgres::Config, Fault> {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        let socket_dir = dir.join("run");
        if !socket_dir.join(SOCKET_NAME).exists() {
            let text = format!(
                "no PostgreSQL runs in {}; start the gateway first (ltcgw serve, ltcgw demo)",
                dir.display()
            );
            return Err(Fault::operator(Stage::Store, text));
        }
        Ok(over(&socket_dir, name))
    }

    /// Ends the server of a gateway that was killed, at once: what it holds is given up, as its folder will be.
    ///
    /// # Errors
    /// A gateway still uses the folder, or the server does not end.
    pub fn give_up(dir: &Path) -> Result<(), Fault> {
        let _lock = lock(dir)?;
        process::end_at_once(&dir.join("cluster"))
    }

    /// The folder of the server's socket, for `psql -h`.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Makes database `name` if there is none and says how to connect to it.
    ///
    /// # Errors
    /// The server cannot be reached or refuses; try again later.
    pub async fn database(&self, name: &str) -> Result<tokio_postgres::Config, Fault> {
        let fault = |error: tokio_postgres::Error| {
            Fault::later(
                Stage::Store,
                format!(
                    "embedded PostgreSQL: database `{name}` cannot be made: {}",
                    super::words::words(&error)
                ),
            )
        };
        let (client, connection) = self
            .connection("postgres")
            .connect(tokio_postgres::NoTls)
            .await
            .map_err(fault)?;
        let connection = tokio::spawn(connection);
        if client
            .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
            .await
            .map_err(fault)?
            .is_none()
        {
            client
                .batch_execute(&format!(
                    "CREATE DATABASE \"{}\"",
                    name.replace('"', "\"\"")
                ))
                .await
                .map_err(fault)?;
        }
        drop(client);
        connection.await.ok();
        Ok(self.connection(name))
    }

    /// Stops the server cleanly: open transactions are rolled back, everything committed is on disk.
    pub fn stop(mut self) {
        self.stop_and_wait();
    }

    fn stop_and_wait(&mut self) {
        drop(self.stop.take());
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.join().ok();
        }
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        self.stop_and_wait();
    }
}

fn over(socket_dir: &Path, name: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket_dir).user(USER).dbname(name);
    config
}

/// Runs the server until `stopped` says so (its sender dropped), and again whenever it dies by itself.
fn supervise(
    server: &ServerCommand,
    ready: &mpsc::Sender<Result<(), Fault>>,
    stopped: &mpsc::Receiver<()>,
) {
    let mut running = match server.start() {
        Ok(running) => running,
        Err(fault) => {
            ready.send(Err(fault)).ok();
            return;
        }
    };
    ready.send(Ok(())).ok();
    let mut pause = LOOK;
    let mut started = Instant::now();
    loop {
        if !matches!(
            stopped.recv_timeout(pause),
            Err(mpsc::RecvTimeoutError::Timeout)
        ) {
            running.stop();
            return;
        }
        let Some(status) = running.ended() else {
            continue;
        };
        if started.elapsed() > Duration::from_secs(60) {
            pause = LOOK;
        }
        tracing::error!(%status, "embedded PostgreSQL ended by itself; starting it again");
        match process::wait_for_predecessor(&server.cluster).and_then(|()| server.start()) {
            Ok(again) => {
                running = again;
                started = Instant::now();
            }
            Err(fault) => {
                pause = (pause * 2).min(Duration::from_secs(10));
                tracing::error!(%fault, "embedded PostgreSQL did not start again; the next try follows");
            }
        }
    }
}

/// The settings as `name=value`: built-in ones first, the caller's after them, so these win.
fn settings(options: &EmbeddedOptions) -> Vec<String> {
    let common = [
        ("listen_addresses", ""),
        ("max_connections", "200"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("max_wal_size", "4GB"),
        ("checkpoint_timeout", "15min"),
        // The log must not hold private data: no statement text, no DETAIL with key values.
        ("log_min_error_statement", "panic"),
        ("log_error_verbosity", "terse"),
        ("log_checkpoints", "off"),
    ];
    let durable = [
        ("shared_buffers", "256MB"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("wal_compression", "on"),
        ("min_wal_size", "512MB"),
    ];
    let throwaway = [
        ("shared_buffers", "128MB"),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("autovacuum", "off"),
    ];
    let of_mode: &[(&str, &str)] = if options.durable {
        &durable
    } else {
        &throwaway
    };
    let built_in = common
        .iter()
        .chain(of_mode)
        .map(|(name, value)| format!("{name}={value}"));
    built_in
        .chain(
            options
                .settings
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        )
        .collect()
}

fn check_socket_path(socket_dir: &Path) -> Result<(), Fault> {
    let path = socket_dir.join(SOCKET_NAME);
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    let text = format!(
        "embedded PostgreSQL: the socket path {} has {bytes} bytes; Unix allows {SOCKET_PATH_BYTES_MAX}: choose a shorter data_dir, or give [database] url",
        path.display()
    );
    Err(Fault::operator(Stage::Store, text))
}

fn lock(dir: &Path) -> Result<FolderLock, Fault> {
    let path = dir.join("lock");
    let cannot = |error: std::io::Error| {
        Fault::operator(
            Stage::Store,
            format!(
                "embedded PostgreSQL: {} cannot be locked: {error}",
                path.display()
            ),
        )
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock(file)),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
        Err(TryLockError::WouldBlock) => {
            let text = format!(
                "embedded PostgreSQL: another gateway uses {}: stop it, give this one its own data_dir, or run both on one database with [database] url",
                dir.display()
            );
            Err(Fault::operator(Stage::Store, text))
        }
    }
}

#[cfg(test)]
mod tests;
