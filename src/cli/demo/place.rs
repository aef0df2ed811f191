//! Where the demo finds the project and where it builds its own installation.
//!
//! Knows folders only.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Fault, Stage};
use crate::sandbox::city::GeneratedPacket;

/// The demo's folder; a temporary one is removed when this is dropped.
pub(super) struct Place {
    dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    /// The folder asked for, which must be new or empty, or a temporary one.
    pub fn new(wanted: Option<&Path>) -> Result<Place, Fault> {
        let Some(wanted) = wanted else {
            // PostgreSQL's account must be able to pass through; what is private below it is closed.
            let passable = std::fs::Permissions::from_mode(0o711);
            let temporary = tempfile::Builder::new()
                .prefix("ltcgw-demo-")
                .permissions(passable)
                .tempdir()
                .map_err(|error| fault(format!("no temporary folder can be made: {error}; give one with --data-dir")))?;
            return Ok(Place { dir: temporary.path().to_path_buf(), _temporary: Some(temporary) });
        };
        let cannot = |error: std::io::Error| fault(format!("--data-dir {}: {error}", wanted.display()));
        std::fs::create_dir_all(wanted).map_err(cannot)?;
        if std::fs::read_dir(wanted).map_err(cannot)?.next().is_some() {
            return Err(fault(format!("--data-dir {} is not empty; the demo wants a folder of its own, new or empty", wanted.display())));
        }
        let dir = std::path::absolute(wanted).map_err(cannot)?;
        Ok(Place { dir, _temporary: None })
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
        let mut numbers: Vec<String> = text.split("<AAD009>").skip(1).filter_map(|rest| Some(rest.split_once('<')?.0.to_string())).collect();
        let corrected = numbers.len().min(6);
        numbers.rotate_left(corrected);
        numbers
    }

    /// Keeps a packet; the demo goes on without when the disk does not take it.
    pub fn keep_packet(&self, packet: &GeneratedPacket) {
        let _ = std::fs::write(self.packet(), &packet.bytes);
    }
}

/// The folder with `config/` and `adapters/`: the one asked for, the current one, or the one this was built in.
pub(super) fn project(wanted: Option<&Path>) -> Result<PathBuf, Fault> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = wanted.map_or_else(|| vec![Path::new("."), built_in], |wanted| vec![wanted]);
    let has_all = |dir: &&Path| dir.join("config/partners.toml").is_file() && dir.join("config/gateway.toml").is_file() && dir.join("adapters").is_dir();
    let found = candidates.iter().copied().find(has_all).and_then(|dir| dir.canonicalize().ok());
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
