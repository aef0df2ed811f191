//! Where the demo finds the project and where it builds its own installation.
//!
//! Knows folders only.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Fault, Stage};
use crate::sandbox::city::GeneratedPacket;
use crate::store::embedded::EmbeddedPostgres;

/// How names of temporary folders begin.
const PREFIX: &str = "ltcgw-demo-";
/// Held as long as the demo lives; a temporary folder in which nobody holds it is left over.
const LOCK: &str = "lock";
/// A folder without a lock is one that is just being made, for so long.
const YOUNG: Duration = Duration::from_secs(60);

/// The demo's folder; a temporary one is removed when this is dropped.
pub(super) struct DemoFolder {
    dir: PathBuf,
    _lock: Option<File>,
    _temporary: Option<tempfile::TempDir>,
}

impl DemoFolder {
    /// The folder asked for, which must be new or empty, or a temporary one.
    pub fn new(wanted: Option<&Path>) -> Result<DemoFolder, Fault> {
        let Some(wanted) = wanted else {
            // PostgreSQL's account must be able to pass through; what is private below it is closed.
            let passable = std::fs::Permissions::from_mode(0o711);
            let temporary = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(passable)
                .tempdir()
                .map_err(|error| {
                    fault(format!(
                        "no temporary folder can be made: {error}; give one with --data-dir"
                    ))
                })?;
            let lock = File::create(temporary.path().join(LOCK))
                .and_then(|file| file.try_lock().map(|()| file).map_err(Into::into));
            return Ok(DemoFolder {
                dir: temporary.path().to_path_buf(),
                _lock: lock.ok(),
                _temporary: Some(temporary),
            });
        };
        let cannot =
            |error: std::io::Error| fault(format!("--data-dir {}: {error}", wanted.display()));
        std::fs::create_dir_all(wanted).map_err(cannot)?;
        if std::fs::read_dir(wanted).map_err(cannot)?.next().is_some() {
            return Err(fault(format!(
                "--data-dir {} is not empty; the demo wants a folder of its own, new or empty",
                wanted.display()
            )));
        }
        let dir = std::path::absolute(wanted).map_err(cannot)?;
        Ok(DemoFolder {
            dir,
            _lock: None,
            _temporary: None,
        })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A packet kept for sending it again by hand.
    pub fn packet(&self) -> PathBuf {
        self.dir.join("packet.xml")
    }

    /// Receipt numbers of that packet; the first lines come last, because the demo corrects those.
    pub fn receipt_nos(&self) -> Vec<String> {
        let packet = std::fs::read(self.packet()).unwrap_or_default();
        let text = String::from_utf8_lossy(&packet);
        let mut numbers: Vec<String> = text
            .split("<AAD009>")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('<')?.0.to_string()))
            .collect();
        let corrected = numbers.len().min(6);
        numbers.rotate_left(corrected);
        numbers
    }

    /// Keeps a packet; the demo goes on without when the disk does not take it.
    pub fn keep_packet(&self, packet: &GeneratedPacket) {
        let _ = std::fs::write(self.packet(), &packet.bytes);
    }
}

/// Removes the temporary folders of demos that were killed, and ends what of PostgreSQL still runs in them; says
/// of each what became of it. Folders of demos that run, and other people's, are left alone.
pub(super) fn sweep(root: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut swept = Vec::new();
    for dir in entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
    {
        let Some(_held) = left_over(&dir) else {
            continue;
        };
        let postgres = dir.join("data/postgres");
        let ended = if postgres.is_dir() {
            EmbeddedPostgres::give_up(&postgres)
        } else {
            Ok(())
        };
        let removed = ended
            .map_err(|fault| fault.text)
            .and_then(|()| std::fs::remove_dir_all(&dir).map_err(|error| error.to_string()));
        swept.push((
            dir,
            removed.map_or_else(
                |text| format!("it cannot be removed: {text}"),
                |()| "removed".to_owned(),
            ),
        ));
    }
    swept
}

/// The lock of a folder of ours whose demo is gone.
fn left_over(dir: &Path) -> Option<Option<File>> {
    let found = std::fs::symlink_metadata(dir)
        .ok()
        .filter(|found| found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw())?;
    match File::open(dir.join(LOCK)) {
        Ok(file) => file.try_lock().ok().map(|()| Some(file)),
        // Killed before it had its lock, or made by an earlier version.
        Err(_) => found
            .modified()
            .ok()?
            .elapsed()
            .is_ok_and(|age| age > YOUNG)
            .then_some(None),
    }
}

/// The folder with `config/` and `adapters/`: the one asked for, the current one, or the one this was built in.
pub(super) fn project(wanted: Option<&Path>) -> Result<PathBuf, Fault> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = wanted.map_or_else(|| vec![Path::new("."), built_in], |wanted| vec![wanted]);
    let has_all = |dir: &&Path| {
        dir.join("config/partners.toml").is_file()
            && dir.join("config/gateway.toml").is_file()
            && dir.join("adapters").is_dir()
    };
    let found = candidates
        .iter()
        .copied()
        .find(has_all)
        .and_then(|dir| dir.canonicalize().ok());
    found.ok_or_else(|| {
        let tried: Vec<String> = candidates.iter().map(|dir| dir.display().to_string()).collect();
        fault(format!(
            "the demo needs the project's config/ (gateway.toml, partners.toml, rates/) and adapters/; not found in {}: run it in a clone of the project, or say where it is with --project DIR",
            tried.join(" nor in ")
        ))
    })
}

fn fault(text: String) -> Fault {
    Fault::operator(Stage::Config, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_whose_demo_is_gone_are_swept() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = |name: &str| {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).expect("a folder");
            dir
        };
        let (left, runs, young, other) = (
            folder("ltcgw-demo-left"),
            folder("ltcgw-demo-runs"),
            folder("ltcgw-demo-young"),
            folder("precious"),
        );
        std::fs::write(left.join(LOCK), "").expect("a lock");
        std::fs::write(left.join("packet.xml"), "").expect("a file");
        let held = File::create(runs.join(LOCK)).expect("a lock");
        held.try_lock().expect("it is free");
        assert_eq!(sweep(root.path()), [(left.clone(), "removed".to_owned())]);
        assert!(!left.exists() && runs.exists() && young.exists() && other.exists());
    }
}
