//! Under which login of this system somebody works: what the operating system can show, in order of what it proves.
//!
//! 1. The audit uid (`/proc/self/loginuid`, pam_loginuid(8)): the kernel sets it once when somebody logs in by ssh, at a
//!    console or by cron, and su and sudo do not change it. Only root can.
//! 2. sudo's caller (`SUDO_UID`, sudo(8)), where there is no audit uid, as in many containers. It is an environment variable
//!    that anybody can write, so it counts only for a process with another real uid, and where a process above this one
//!    runs under that account.
//! 3. The account of this process (getuid(2)), if it has a name. People who share it are one to us, and so refused.
//!
//! Reads only; who is another person is `model::signer`'s business.

use std::path::Path;

use nix::unistd::{Uid, User};

use super::Failure;
use crate::error::{Fault, Stage};
use crate::model::signer::{Login, Proof, Signer};

/// What the kernel says while nobody has logged in.
const NO_AUDIT_UID: u32 = u32::MAX;
/// Processes above this one that are looked at.
const ANCESTORS_MAX: usize = 64;

/// Who decides.
#[derive(Debug, clap::Args)]
pub struct Who {
    /// Your name; without it the name you are logged in under. The login itself is recorded as well.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Who {
    /// The name as given, or the login's, and the login.
    pub(super) fn signer(&self) -> Result<Signer, Failure> {
        let login = of_this_process();
        let nobody = || {
            Fault::operator(
                Stage::Config,
                "nobody is logged in under this user id; say who you are with --by NAME",
            )
        };
        let name = self
            .by
            .clone()
            .or_else(|| Some(login.as_ref()?.name.clone()))
            .ok_or_else(nobody)?;
        Ok(Signer::new(&name, login).map_err(|text| Fault::operator(Stage::Config, text))?)
    }

    pub(super) fn name(&self) -> Result<String, Failure> {
        Ok(self.signer()?.name)
    }
}

/// The login of this process; none where nothing shows one.
pub(super) fn of_this_process() -> Option<Login> {
    let number = |path: &str| {
        std::fs::read_to_string(path)
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    };
    let audit = number("/proc/self/loginuid");
    let sudo = std::env::var("SUDO_UID")
        .ok()
        .and_then(|uid| uid.parse::<u32>().ok());
    let own = nix::unistd::getuid().as_raw();
    let (uid, proof) = choose(audit, sudo, own, &ancestors(Path::new("/proc")))?;
    let name = User::from_uid(Uid::from_raw(uid))
        .ok()
        .flatten()
        .map(|user| user.name);
    // An account without a name is what a container was started under: whoever starts it chooses it.
    let name = if proof == Proof::Account {
        name?
    } else {
        name.unwrap_or_else(|| format!("uid {uid}"))
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|host| host.trim().to_owned());
    Some(Login {
        name,
        uid: Some(uid),
        host,
        proof,
    })
}

/// Which uid counts, by what shows it.
fn choose(
    audit: Option<u32>,
    sudo: Option<u32>,
    own: u32,
    ancestors: &[u32],
) -> Option<(u32, Proof)> {
    let audit = audit
        .filter(|uid| *uid != NO_AUDIT_UID)
        .map(|uid| (uid, Proof::Audit));
    let sudo = sudo
        .filter(|uid| *uid != own && ancestors.contains(uid))
        .map(|uid| (uid, Proof::Sudo));
    audit.or(sudo).or(Some((own, Proof::Account)))
}

/// Real uids of the processes above this one, as far as they can be seen (proc(5)).
fn ancestors(proc: &Path) -> Vec<u32> {
    let mut uids = Vec::new();
    let mut next = "self".to_owned();
    while uids.len() < ANCESTORS_MAX {
        let Ok(status) = std::fs::read_to_string(proc.join(&next).join("status")) else {
            break;
        };
        let field = |name: &str| {
            status.lines().find_map(|line| {
                line.strip_prefix(name)?
                    .split_whitespace()
                    .next()
                    .map(str::to_owned)
            })
        };
        if let Some(uid) = field("Uid:").and_then(|uid| uid.parse().ok()) {
            uids.push(uid);
        }
        match field("PPid:") {
            Some(parent) if parent != "0" => next = parent,
            _ => break,
        }
    }
    uids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_uid_goes_first_then_sudo_that_is_borne_out_then_the_account() {
        let none = Some(NO_AUDIT_UID);
        for (audit, sudo, own, above, expected) in [
            (
                Some(1000),
                Some(1001),
                0,
                &[0, 1001][..],
                (1000, Proof::Audit),
            ),
            (none, Some(1001), 0, &[0, 0, 1001], (1001, Proof::Sudo)),
            (None, Some(1001), 990, &[990, 0, 1001], (1001, Proof::Sudo)),
            // Written into the environment by somebody who is nobody else.
            (
                none,
                Some(1001),
                1000,
                &[1000, 1000, 0],
                (1000, Proof::Account),
            ),
            (none, Some(0), 1000, &[1000, 990], (1000, Proof::Account)),
            (none, Some(1000), 1000, &[1000], (1000, Proof::Account)),
            (none, None, 0, &[0], (0, Proof::Account)),
        ] {
            assert_eq!(
                choose(audit, sudo, own, above),
                Some(expected),
                "{audit:?} {sudo:?} {own}"
            );
        }
    }

    #[test]
    fn the_processes_above_are_those_of_proc() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, uid) in [
            ("self", "12", 990),
            ("12", "7", 0),
            ("7", "1", 1000),
            ("1", "0", 0),
        ] {
            std::fs::create_dir(dir.path().join(pid)).unwrap();
            std::fs::write(
                dir.path().join(pid).join("status"),
                format!("Name:\tx\nPPid:\t{parent}\nUid:\t{uid}\t0\t0\t0\n"),
            )
            .unwrap();
        }
        assert_eq!(ancestors(dir.path()), [990, 0, 1000, 0]);
        assert!(ancestors(Path::new("/proc")).contains(&nix::unistd::getuid().as_raw()));
    }
}
