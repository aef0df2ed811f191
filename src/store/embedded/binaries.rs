//! Where the PostgreSQL server's binaries are, and which of several versions to use.
//!
//! Only looks; installs nothing (deploy/setup.sh does).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Fault, Stage};

/// Oldest major version the gateway's SQL is written for.
const MAJOR_MIN: u32 = 15;
/// Names the folder with `postgres` and `initdb`, over everything found by looking.
const OVERRIDE: &str = "LTCGW_POSTGRES_BIN";

/// A folder with `postgres` and `initdb` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    /// The binaries for `cluster`: those of its own major version, or the newest if it does not exist yet.
    ///
    /// # Errors
    /// None of at least [`MAJOR_MIN`], or none of the cluster's version.
    pub fn find(cluster: &Path) -> Result<Binaries, Fault> {
        let wanted = std::fs::read_to_string(cluster.join("PG_VERSION"))
            .ok()
            .and_then(|text| text.trim().parse().ok());
        choose(candidates(), wanted)
            .map_err(|text| Fault::operator(Stage::Store, format!("embedded PostgreSQL: {text}")))
    }

    pub fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }
}

fn choose(found: Vec<Binaries>, wanted: Option<u32>) -> Result<Binaries, String> {
    let versions: Vec<String> = found
        .iter()
        .map(|binaries| binaries.major.to_string())
        .collect();
    let newest = found
        .iter()
        .filter(|binaries| binaries.major >= MAJOR_MIN)
        .max_by_key(|binaries| binaries.major);
    let chosen = match wanted {
        Some(major) => found.iter().find(|binaries| binaries.major == major),
        None => newest,
    };
    if let Some(binaries) = chosen {
        return Ok(binaries.clone());
    }
    let seen = if versions.is_empty() {
        "none was found".into()
    } else {
        format!("found: {}", versions.join(", "))
    };
    Err(match wanted {
        Some(major) => format!(
            "the cluster was made by PostgreSQL {major}, and its server binaries are needed to run it ({seen}): install postgresql-{major}, or move the data with pg_upgrade"
        ),
        None => format!(
            "server binaries of version {MAJOR_MIN} or later are needed ({seen}): run deploy/setup.sh, set {OVERRIDE} to their folder, or give [database] url"
        ),
    })
}

/// Every folder that may hold them, in order of preference among equals.
fn candidates() -> Vec<Binaries> {
    if let Some(dir) = std::env::var_os(OVERRIDE) {
        return at(PathBuf::from(dir)).into_iter().collect();
    }
    let mut dirs: Vec<PathBuf> = Vec::new();
    // Debian: /usr/lib/postgresql/15/bin; PostgreSQL's own packages for Red Hat: /usr/pgsql-15/bin.
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        dirs.extend(
            entries
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .map(|entry| entry.path().join("bin")),
        );
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        dirs.push(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ));
    }
    if let Some(path) = std::env::var_os("PATH") {
        dirs.extend(std::env::split_paths(&path));
    }
    dirs.into_iter().filter_map(at).collect()
}

fn at(dir: PathBuf) -> Option<Binaries> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(dir.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let major = major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { dir, major })
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(majors: &[u32]) -> Vec<Binaries> {
        majors
            .iter()
            .map(|major| Binaries {
                dir: PathBuf::from(format!("/{major}")),
                major: *major,
            })
            .collect()
    }

    #[test]
    fn the_major_version_is_read_from_releases_and_betas() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major(""), None);
    }

    #[test]
    fn the_newest_is_taken_for_a_new_cluster_and_its_own_version_for_an_old_one() {
        assert_eq!(choose(found(&[15, 17, 16]), None).unwrap().major, 17);
        assert_eq!(choose(found(&[15, 17, 16]), Some(16)).unwrap().major, 16);
    }

    #[test]
    fn a_missing_version_says_what_was_found_and_what_to_do() {
        let text = choose(found(&[13]), None).unwrap_err();
        assert!(
            text.contains("found: 13") && text.contains("deploy/setup.sh"),
            "{text}"
        );
        let text = choose(found(&[17]), Some(15)).unwrap_err();
        assert!(
            text.contains("made by PostgreSQL 15") && text.contains("postgresql-15"),
            "{text}"
        );
    }
}
