//! Under which account the server runs, and folders that account can use.
//!
//! PostgreSQL refuses to run as root: root lends its folders to the account `postgres`; anybody
//! else runs the server as himself. Never takes over a folder that belongs to a third account.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User};

use crate::error::{Fault, Stage};

/// The account the server runs under.
#[derive(Debug, Clone)]
pub struct Account {
    /// User and group to change to; none when we are that account already.
    change: Option<(Uid, Gid)>,
}

impl Account {
    /// `postgres` when we are root, otherwise ourselves.
    ///
    /// # Errors
    /// We are root and there is no such account.
    pub fn for_server() -> Result<Account, Fault> {
        if !Uid::effective().is_root() {
            return Ok(Account { change: None });
        }
        match User::from_name("postgres") {
            Ok(Some(user)) => Ok(Account { change: Some((user.uid, user.gid)) }),
            _ => Err(fault("PostgreSQL does not run as root and there is no account `postgres` to run it as: run deploy/setup.sh, or start the gateway as an ordinary user".into())),
        }
    }

    /// Makes `dir` if need be, gives it to the account, closes it to others; returns its absolute path.
    pub fn prepare(&self, dir: &Path) -> Result<PathBuf, Fault> {
        let dir = std::path::absolute(dir).map_err(|error| cannot(dir, "used", &error))?;
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent).map_err(|error| cannot(parent, "made", &error))?;
        }
        self.own_folder(&dir)?;
        dir.canonicalize()
            .map_err(|error| cannot(&dir, "entered", &error))
    }

    /// Makes one folder if need be, gives it to the account and closes it to others (0700).
    pub fn own_folder(&self, dir: &Path) -> Result<(), Fault> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(cannot(dir, "made", &error));
            }
            _ => {}
        }
        let found = std::fs::metadata(dir).map_err(|error| cannot(dir, "used", &error))?;
        if !found.is_dir() {
            return Err(fault(format!(
                "{} is not a folder: choose another data_dir",
                dir.display()
            )));
        }
        let (ours, target) = (Uid::effective().as_raw(), self.uid().as_raw());
        if found.uid() != ours && found.uid() != target {
            let text = format!(
                "{} belongs to user {}; expected {target}: choose another data_dir or change its owner",
                dir.display(),
                found.uid()
            );
            return Err(fault(text));
        }
        if let Some((uid, gid)) = self.change {
            nix::unistd::chown(dir, Some(uid), Some(gid))
                .map_err(|errno| cannot(dir, "given to the account postgres", &errno.into()))?;
        }
        std::fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(|error| cannot(dir, "closed to others", &error))
    }

    /// Tries whether the account can get into `dir`, and says which folder above it is in the way.
    pub fn check_reach(&self, dir: &Path) -> Result<(), Fault> {
        let Some((uid, gid)) = self.change else {
            return Ok(());
        };
        let mut probe = self.command(Path::new("/bin/true"));
        let Err(error) = probe.current_dir(dir).status() else {
            return Ok(());
        };
        let closed =
            |at: &&Path| std::fs::metadata(at).is_ok_and(|found| !enters(&found, uid, gid));
        let culprit = dir.ancestors().filter(closed).last().unwrap_or(dir);
        let text = format!(
            "the account postgres cannot enter {}, because {} is closed to it ({error}): choose a data_dir elsewhere (such as /var/lib/ltcgw), open that folder (chmod o+x), or start the gateway as an ordinary user",
            dir.display(),
            culprit.display()
        );
        Err(fault(text))
    }

    /// A command that runs under the account, with a clean environment, away from any folder of ours.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/");
        if let Some((uid, gid)) = self.change {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    fn uid(&self) -> Uid {
        self.change.map_or_else(Uid::effective, |(uid, _)| uid)
    }
}

fn enters(found: &std::fs::Metadata, uid: Uid, gid: Gid) -> bool {
    let bit = match () {
        () if found.uid() == uid.as_raw() => 0o100,
        () if found.gid() == gid.as_raw() => 0o010,
        () => 0o001,
    };
    found.mode() & bit != 0
}

fn cannot(path: &Path, what: &str, error: &std::io::Error) -> Fault {
    fault(format!(
        "the folder {} cannot be {what}: {error}; choose another data_dir, or give [database] url",
        path.display()
    ))
}

fn fault(text: String) -> Fault {
    Fault::operator(Stage::Store, format!("embedded PostgreSQL: {text}"))
}
