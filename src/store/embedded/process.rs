//! The server as a process: making a cluster, starting, knowing when it is ready, stopping.
//!
//! Runs `postgres` itself, not pg_ctl, so that it is our child and ends with us.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use super::{Account, Binaries};
use crate::error::{Fault, Stage};

/// Longest we wait for a predecessor to end, for recovery, and for a clean stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// The server's log is set aside at a start when it is larger (bytes).
const LOG_BYTES_MAX: u64 = 8 << 20;

/// All that is needed to start the server, and start it again.
#[derive(Debug)]
pub struct ServerCommand {
    pub binaries: Binaries,
    pub account: Account,
    pub cluster: PathBuf,
    pub socket_dir: PathBuf,
    pub log: PathBuf,
    /// `name=value`, later ones win.
    pub settings: Vec<String>,
}

/// The server while it runs.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
}

impl ServerCommand {
    /// Starts the server and waits until it takes connections. Call from a thread that lives as
    /// long as the server: the parent-death signal follows the thread that forked.
    pub fn start(&self) -> Result<ServerProcess, Fault> {
        let (log, log_from) = self
            .open_log()
            .map_err(|error| fault(format!("{} cannot be written: {error}", self.log.display())))?;
        let mut command = self.account.command(&self.binaries.postgres());
        command
            .arg("-D")
            .arg(&self.cluster)
            .arg("-k")
            .arg(&self.socket_dir);
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        end_with_parent(&mut command);
        let child = command.spawn().map_err(|error| {
            fault(format!(
                "{} cannot be started: {error}",
                self.binaries.postgres().display()
            ))
        })?;
        let mut running = ServerProcess { child };
        let deadline = Instant::now() + PATIENCE;
        while !is_ready(&self.cluster, running.child.id()) {
            if let Some(status) = running.ended() {
                return Err(fault(format!(
                    "the server ended at its start ({status}): {}",
                    self.said(log_from)
                )));
            }
            if Instant::now() > deadline {
                running.stop();
                return Err(fault(format!(
                    "the server was not ready after {} s: {}",
                    PATIENCE.as_secs(),
                    self.said(log_from)
                )));
            }
            wait(Duration::from_millis(5));
        }
        Ok(running)
    }

    /// The log, to append to, and its length now.
    fn open_log(&self) -> std::io::Result<(File, u64)> {
        if std::fs::metadata(&self.log).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
            std::fs::rename(&self.log, self.log.with_extension("log.old"))?;
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let length = log.metadata()?.len();
        Ok((log, length))
    }

    /// What the server wrote to its log since `from`, cut to what a person reads.
    fn said(&self, from: u64) -> String {
        let mut text = String::new();
        if let Ok(mut log) = File::open(&self.log) {
            log.seek(SeekFrom::Start(from)).ok();
            log.take(4096).read_to_string(&mut text).ok();
        }
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| {
                ["FATAL:", "PANIC:", "ERROR:", "HINT:"]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .collect();
        if lines.is_empty() {
            format!("see {}", self.log.display())
        } else {
            lines.join("; ")
        }
    }
}

impl ServerProcess {
    /// How the server ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Stops the server: fast shutdown; immediate shutdown (recovery at the next start) if that takes too long.
    pub fn stop(&mut self) {
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
            let Some(pid) = i32::try_from(self.child.id())
                .ok()
                .filter(|_| self.ended().is_none())
            else {
                return;
            };
            kill(Pid::from_raw(pid), signal).ok();
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                if self.ended().is_some() {
                    return;
                }
                wait(Duration::from_millis(5));
            }
        }
    }
}

/// Makes a cluster beside its place and moves it there when complete, so that half a cluster is never used.
pub fn make_cluster(
    binaries: &Binaries,
    account: &Account,
    cluster: &Path,
    durable: bool,
) -> Result<(), Fault> {
    let unfinished = cluster.with_extension("new");
    let cannot = |what: &str, error: std::io::Error| {
        fault(format!(
            "the cluster {} cannot be {what}: {error}",
            cluster.display()
        ))
    };
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(|error| cannot("made anew", error))?;
    }
    let mut command = account.command(&binaries.initdb());
    command.args([
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
        "-A",
        "trust",
        "--no-instructions",
        "-U",
        super::USER,
    ]);
    if !durable {
        command.arg("--no-sync");
    }
    let output = command
        .arg("-D")
        .arg(&unfinished)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot("made", error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(fault(format!(
            "the cluster {} cannot be made: initdb says: {}",
            cluster.display(),
            said.trim().replace('\n', "; ")
        )));
    }
    std::fs::rename(&unfinished, cluster).map_err(|error| cannot("put in its place", error))?;
    match cluster.parent().map(File::open) {
        Some(Ok(dir)) if durable => dir
            .sync_all()
            .map_err(|error| cannot("written to disk", error)),
        _ => Ok(()),
    }
}

/// Waits until no server of an earlier gateway works in `cluster`, then removes what it left.
///
/// The caller holds the folder's lock, so whatever still runs there is on its way out. The lock
/// file's process number is not trusted: after a restart of a container it may name any process.
pub fn wait_for_predecessor(cluster: &Path) -> Result<(), Fault> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(pid) = process_in(cluster) {
        if Instant::now() > deadline {
            return Err(fault(format!(
                "process {pid} of an earlier server still works in {} after {} s: end it (kill -INT {pid})",
                cluster.display(),
                PATIENCE.as_secs()
            )));
        }
        wait(Duration::from_millis(20));
    }
    let socket = cluster.with_file_name("run").join(super::SOCKET_NAME);
    for left in [
        cluster.join("postmaster.pid"),
        socket.with_extension("5432.lock"),
        socket,
    ] {
        match std::fs::remove_file(&left) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(fault(format!(
                    "{} is left from an earlier run and cannot be removed: {error}",
                    left.display()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Ends every process of an earlier server that still works in `cluster`, without a checkpoint.
pub fn end_at_once(cluster: &Path) -> Result<(), Fault> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(pid) = process_in(cluster) {
        // The postmaster first: it takes its children along. Only a process that works in this very folder is meant.
        let named = std::fs::read_to_string(cluster.join("postmaster.pid"))
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse::<u32>().ok());
        let target = named
            .filter(|named| works_in(*named, cluster))
            .unwrap_or(pid);
        if Instant::now() > deadline {
            return Err(fault(format!(
                "process {target} still works in {}: end it (kill -QUIT {target})",
                cluster.display()
            )));
        }
        if let Ok(target) = i32::try_from(target) {
            kill(Pid::from_raw(target), Signal::SIGQUIT).ok();
        }
        wait(Duration::from_millis(50));
    }
    Ok(())
}

fn works_in(pid: u32, cluster: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster)
}

/// A process whose working folder is `cluster`: every PostgreSQL process works in its cluster.
fn process_in(cluster: &Path) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (std::fs::read_link(entry.path().join("cwd")).ok()? == cluster).then_some(pid)
    })
}

/// `postmaster.pid` names the process in line 1 and its state in line 8.
fn is_ready(cluster: &Path, pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(cluster.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines();
    lines
        .next()
        .is_some_and(|line| line.trim() == pid.to_string())
        && lines
            .nth(6)
            .is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
}

/// Has the kernel stop the child (fast shutdown) when the thread that starts it ends, however it ends.
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    let parent = getpid();
    let hook = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGINT)?;
        // The parent may have died before the line above: then nobody would send the signal.
        if getppid() == parent {
            Ok(())
        } else {
            Err(nix::errno::Errno::ESRCH.into())
        }
    };
    // SAFETY: the hook runs between fork and exec of a process with threads, so it may only make
    // async-signal-safe calls: it makes the system calls prctl and getppid, allocates nothing and
    // takes no lock (an io::Error made from an errno does not allocate).
    unsafe { command.pre_exec(hook) };
}

/// Pauses between two looks at another process, which cannot tell us when it is ready.
fn wait(pause: Duration) {
    let (_never, nothing) = mpsc::channel::<()>();
    nothing.recv_timeout(pause).ok();
}

fn fault(text: String) -> Fault {
    Fault::operator(Stage::Store, format!("embedded PostgreSQL: {text}"))
}
