//! The folder that bodies too large for memory wait in, as files without a name, and how much of it partners may fill.
//!
//! Files are gone with whoever holds them, also when the process is killed. Says also whether the folder can take any more.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::statvfs::statvfs;

use super::{ExhaustedShare, ShareHold, SharePool};
use crate::config::Receive;

/// Bytes asked for at once, so that room is looked at now and then and not for every write.
const STEP: u64 = 1 << 20;

/// Why the disk takes no more of a body.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    #[error("what this partner has on the disk has reached [receive] spool_bytes_per_partner_max")]
    Own,
    #[error("what partners have on the disk together has reached [receive] spool_bytes_max")]
    All,
    #[error(
        "{free} bytes are free in {dir}, and [receive] spool_free_bytes_min keeps {kept}; make room, or name another folder as [receive] spool_dir"
    )]
    Full { dir: String, free: u64, kept: u64 },
    #[error(
        "{dir} cannot be written: {error}; mend it, or name another folder as [receive] spool_dir"
    )]
    Unwritable { dir: String, error: std::io::Error },
}

/// The folder, and what of it is used.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    free_min: u64,
    pool: Arc<SharePool>,
}

/// A file without a name, with what it holds of its partner's share.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    disk: Arc<Disk>,
    held: ShareHold,
    length: u64,
}

impl Disk {
    /// A folder of the configuration is made where there is none; when that fails, every look at it says why.
    pub(super) fn new(receive: &Receive) -> Disk {
        if let Some(dir) = &receive.spool_dir {
            std::fs::create_dir_all(dir).ok();
        }
        let dir = receive.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
        Disk {
            dir,
            free_min: receive.spool_free_bytes_min,
            pool: SharePool::new(
                receive.spool_bytes_per_partner_max,
                receive.spool_bytes_max,
                0,
            ),
        }
    }

    /// Bytes of bodies on the disk now.
    pub fn used(&self) -> u64 {
        self.pool.used()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new file for a partner.
    ///
    /// # Errors
    /// There is no room, or the folder cannot be written.
    pub fn create(self: &Arc<Disk>, partner: &Arc<str>) -> Result<SpoolFile, NoRoom> {
        let held = self.pool.take(partner, 0).map_err(no_room)?;
        self.check(STEP)?;
        let file = tempfile::tempfile_in(&self.dir).map_err(|error| self.unwritable(error))?;
        Ok(SpoolFile {
            file,
            disk: self.clone(),
            held,
            length: 0,
        })
    }

    /// Whether the folder takes a body now: a file can be made there and written, and more is free than is to be kept.
    ///
    /// # Errors
    /// Why it does not.
    pub fn look(&self) -> Result<(), NoRoom> {
        self.check(STEP)?;
        tempfile::tempfile_in(&self.dir)
            .and_then(|mut file| file.write_all(&[b'x'; 4096]))
            .map_err(|error| self.unwritable(error))
    }

    fn check(&self, more: u64) -> Result<(), NoRoom> {
        let found = statvfs(&self.dir).map_err(|errno| self.unwritable(errno.into()))?;
        let free = found
            .blocks_available()
            .saturating_mul(found.fragment_size());
        if free < self.free_min.saturating_add(more) {
            return Err(NoRoom::Full {
                dir: self.dir.display().to_string(),
                free,
                kept: self.free_min,
            });
        }
        Ok(())
    }

    fn unwritable(&self, error: std::io::Error) -> NoRoom {
        NoRoom::Unwritable {
            dir: self.dir.display().to_string(),
            error,
        }
    }
}

impl SpoolFile {
    /// Writes more of a body.
    ///
    /// # Errors
    /// There is no room, or it cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let length = self.length + bytes.len() as u64;
        if length > self.held.amount {
            // Whole steps while there are some, so that the disk is asked seldom; the last bytes of a share one by one.
            let (exact, step) = (
                length - self.held.amount,
                (length - self.held.amount).next_multiple_of(STEP),
            );
            self.held
                .grow(step)
                .or_else(|_| self.held.grow(exact))
                .map_err(no_room)?;
            self.disk.check(exact)?;
        }
        self.file
            .write_all(bytes)
            .map_err(|error| self.disk.unwritable(error))?;
        self.length = length;
        Ok(())
    }

    /// The file, to be read.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn no_room(exhausted: ExhaustedShare) -> NoRoom {
    match exhausted {
        ExhaustedShare::Own => NoRoom::Own,
        ExhaustedShare::All => NoRoom::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(change: impl FnOnce(Receive) -> Receive) -> (Arc<Disk>, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a folder");
        let receive = Receive {
            spool_dir: Some(dir.path().into()),
            spool_free_bytes_min: 0,
            ..Receive::default()
        };
        (Arc::new(Disk::new(&change(receive))), dir)
    }

    #[test]
    fn the_share_of_a_partner_and_of_all_is_kept_to_the_byte_and_given_back() {
        let (disk, _dir) = disk(|receive| Receive {
            spool_bytes_per_partner_max: 3_000_000,
            spool_bytes_max: 4_000_000,
            ..receive
        });
        let [one, other] = ["one", "other"].map(Arc::from);
        let mut file = disk.create(&one).expect("a file");
        file.write(&[1; 3_000_000]).expect("its share");
        assert!(matches!(file.write(b"x"), Err(NoRoom::Own)));
        let mut second = disk.create(&other).expect("a file");
        second.write(&[1; 1_000_000]).expect("the rest");
        assert!(matches!(second.write(b"x"), Err(NoRoom::All)));
        drop((file, second));
        assert_eq!(disk.used(), 0);
    }

    #[test]
    fn a_folder_that_is_full_or_gone_says_so() {
        let (full, _dir) = disk(|receive| Receive {
            spool_free_bytes_min: u64::MAX,
            ..receive
        });
        assert!(matches!(full.look(), Err(NoRoom::Full { .. })));
        assert!(matches!(
            full.create(&"one".into()),
            Err(NoRoom::Full { .. })
        ));
        let (gone, dir) = disk(|receive| receive);
        gone.look().expect("it is there");
        drop(dir);
        assert!(matches!(gone.look(), Err(NoRoom::Unwritable { .. })));
        assert!(matches!(
            gone.create(&"one".into()),
            Err(NoRoom::Unwritable { .. })
        ));
    }
}
