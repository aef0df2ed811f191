//! A body as it arrives: in memory up to a limit, then in an anonymous temporary file, digested on the way.
//!
//! Holds bytes and measures them, out of its partner's share; knows nothing of what they mean. No database connection is
//! held while one fills. What takes its time (unpacking, writing to the disk) is done in slices on threads of its own, in
//! turns; only what stays in memory as it came is taken where it arrives.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::GzDecoder;
use sha2::{Digest, Sha256};

use crate::flow::shares::{NoRoom, Share, ShareHold, ShareTurn, SpoolFile};

/// Bytes that wait before they are worked on elsewhere.
const BATCH: usize = 64 << 10;
/// Bytes as sent that are unpacked at once: deflate makes a thousand of one at most.
const PIECE: usize = 1 << 10;
/// Bytes a slice of work makes before others have their turn.
const SLICE: u64 = 1 << 20;
/// Members a gzip body may have: of the smallest blocks in use more than a body may be large.
const MEMBERS_MAX: u32 = 100_000;

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the body is larger than {0} bytes; send it in several packets")]
    TooLarge(u64),
    #[error("the decompressed body is larger than {0} bytes; send it in several packets")]
    Bomb(u64),
    #[error("the body is not gzip although Content-Encoding says so: {0}")]
    Gzip(String),
    #[error(
        "after the gzip data come bytes that are neither another member of it nor zero padding; send gzip data only"
    )]
    Trailing,
    #[error("the gzip data have more than {MEMBERS_MAX} members; send fewer, larger ones")]
    Members,
    #[error("the body unpacks to more than {0} times its size; send it without gzip")]
    Ratio(u64),
    #[error("the body cannot wait on the disk: {0}")]
    File(NoRoom),
    #[error("what works on the body ended unexpectedly: {0}")]
    Ended(String),
}

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    pub memory_bytes: u64,
    pub body_bytes: u64,
    pub decompressed_bytes: u64,
    /// How many times the bytes received those decompressed may be, once they do not stay in memory.
    pub ratio: u64,
}

/// A body being received.
pub struct Spool {
    limits: SpoolLimits,
    share: Share,
    received: u64,
    /// Received and not worked on yet.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// Elsewhere while it is worked on there.
    intake: Option<Intake>,
}

enum Intake {
    Plain(Store),
    Gzip(Members),
}

/// A gzip file: members one after another (RFC 1952, 2.2), and zeros behind them where somebody filled a block.
struct Members {
    /// The member being read.
    open: Option<Box<GzDecoder<Store>>>,
    /// Where the next one goes, while none is.
    store: Option<Store>,
    ended: u32,
    padding: bool,
}

/// The bytes so far; the writing end of both forms.
struct Store {
    limits: SpoolLimits,
    hash: Sha256,
    length: u64,
    /// Bytes of the body as sent that made it.
    taken: u64,
    memory: Vec<u8>,
    held: ShareHold,
    share: Share,
    file: Option<SpoolFile>,
    /// Why it takes no more; what passes through the decoder's error cannot say it.
    stopped: Option<SpoolError>,
}

/// A complete body, decompressed.
#[derive(Clone)]
pub struct ReceivedBody {
    /// SHA-256 of the decompressed bytes.
    pub digest: [u8; 32],
    /// Decompressed length in bytes.
    pub length: u64,
    content: Content,
    turn: Option<Arc<ShareTurn>>,
}

#[derive(Clone)]
enum Content {
    Memory(Arc<Kept>),
    File(Arc<SpoolFile>),
}

/// Bytes in memory, with what they take of their partner's share.
struct Kept {
    bytes: Vec<u8>,
    _held: ShareHold,
}

impl Spool {
    pub fn new(limits: SpoolLimits, gzip: bool, share: Share) -> Spool {
        let (hash, held) = (Sha256::new(), share.memory());
        let store = Store {
            limits,
            hash,
            length: 0,
            taken: 0,
            memory: Vec::new(),
            held,
            share: share.clone(),
            file: None,
            stopped: None,
        };
        let intake = if gzip {
            Intake::Gzip(Members {
                open: None,
                store: Some(store),
                ended: 0,
                padding: false,
            })
        } else {
            Intake::Plain(store)
        };
        Spool {
            limits,
            share,
            received: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            intake: Some(intake),
        }
    }

    /// Takes the next bytes as they were sent.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), SpoolError> {
        self.received += chunk.len() as u64;
        if self.received > self.limits.body_bytes {
            return Err(SpoolError::TooLarge(self.limits.body_bytes));
        }
        if let Some(Intake::Plain(store)) = &mut self.intake
            && store.fits_in_memory(chunk.len() as u64)
        {
            return store.add(&chunk);
        }
        self.waiting_bytes += chunk.len();
        self.waiting.push_back(chunk);
        if self.waiting_bytes < BATCH {
            Ok(())
        } else {
            self.work().await
        }
    }

    /// Ends the body; an unfinished gzip stream is refused.
    pub async fn finish(mut self) -> Result<ReceivedBody, SpoolError> {
        self.work().await?;
        let store = match self.intake {
            None => return Err(SpoolError::Ended("it was cut off".into())),
            Some(Intake::Plain(store)) => store,
            Some(Intake::Gzip(mut members)) => {
                members.end()?;
                members
                    .store
                    .take()
                    .filter(|_| members.ended > 0)
                    .ok_or_else(|| SpoolError::Gzip("it is empty".into()))?
            }
        };
        let content = match store.file {
            Some(file) => Content::File(Arc::new(file)),
            None => Content::Memory(Arc::new(Kept {
                bytes: store.memory,
                _held: store.held,
            })),
        };
        Ok(ReceivedBody {
            digest: store.hash.finalize().into(),
            length: store.length,
            content,
            turn: None,
        })
    }

    /// Works on what waits, a slice a turn, on a thread for work that blocks. A slice goes on to its end when the caller
    /// is dropped meanwhile, and takes the body with it.
    async fn work(&mut self) -> Result<(), SpoolError> {
        while !self.waiting.is_empty() {
            let Some(mut intake) = self.intake.take() else {
                return Err(SpoolError::Ended("it was cut off".into()));
            };
            let turn = self.share.turn(matches!(intake, Intake::Gzip(_))).await;
            let mut waiting = std::mem::take(&mut self.waiting);
            let sliced = tokio::task::spawn_blocking(move || {
                let done = intake.slice(&mut waiting);
                drop(turn);
                done.map(|()| (intake, waiting))
            });
            let (intake, waiting) = sliced
                .await
                .map_err(|error| SpoolError::Ended(error.to_string()))??;
            (self.intake, self.waiting) = (Some(intake), waiting);
        }
        self.waiting_bytes = 0;
        Ok(())
    }
}

impl Intake {
    /// Works on some of what waits, until it has made a slice.
    fn slice(&mut self, waiting: &mut VecDeque<Bytes>) -> Result<(), SpoolError> {
        let begun = self.made();
        while let Some(mut chunk) = waiting.pop_front() {
            let piece = chunk.split_to(chunk.len().min(self.piece()));
            if !chunk.is_empty() {
                waiting.push_front(chunk);
            }
            match self {
                Intake::Plain(store) => store.add(&piece)?,
                Intake::Gzip(members) => members.write(&piece)?,
            }
            if self.made() - begun >= SLICE {
                break;
            }
        }
        Ok(())
    }

    fn piece(&self) -> usize {
        if matches!(self, Intake::Gzip(_)) {
            PIECE
        } else {
            BATCH
        }
    }

    /// Bytes of the body so far.
    fn made(&self) -> u64 {
        match self {
            Intake::Plain(store) => store.length,
            Intake::Gzip(members) => members
                .open
                .as_ref()
                .map(|open| open.get_ref())
                .or(members.store.as_ref())
                .map_or(0, |store| store.length),
        }
    }
}

impl Members {
    fn write(&mut self, mut chunk: &[u8]) -> Result<(), SpoolError> {
        let bytes = chunk.len() as u64;
        match (&mut self.open, &mut self.store) {
            (Some(decoder), _) => decoder.get_mut().taken += bytes,
            (None, Some(store)) => store.taken += bytes,
            (None, None) => {}
        }
        while let Some(first) = chunk.first() {
            if self.open.is_none() {
                self.padding |= self.ended > 0 && *first == 0;
                if self.padding {
                    return if chunk.iter().all(|byte| *byte == 0) {
                        Ok(())
                    } else {
                        Err(SpoolError::Trailing)
                    };
                }
                if self.ended == MEMBERS_MAX {
                    return Err(SpoolError::Members);
                }
                self.open = self
                    .store
                    .take()
                    .map(|store| Box::new(GzDecoder::new(store)));
            }
            let Some(decoder) = self.open.as_mut() else {
                return Ok(());
            };
            match decoder.write(chunk) {
                Ok(0) => self.end()?,
                Ok(taken) => chunk = &chunk[taken..],
                Err(_) if self.ended > 0 && decoder.header().is_none() => {
                    return Err(SpoolError::Trailing);
                }
                Err(error) => return Err(decoder.get_mut().explain(&error)),
            }
        }
        Ok(())
    }

    /// Ends the member being read; it must be whole.
    fn end(&mut self) -> Result<(), SpoolError> {
        let Some(mut decoder) = self.open.take() else {
            return Ok(());
        };
        decoder
            .try_finish()
            .map_err(|error| decoder.get_mut().explain(&error))?;
        self.store = Some(
            decoder
                .finish()
                .map_err(|error| SpoolError::Gzip(error.to_string()))?,
        );
        self.ended += 1;
        Ok(())
    }
}

impl Store {
    /// Why the decoder stopped: what the store says, else the gzip data.
    fn explain(&mut self, error: &std::io::Error) -> SpoolError {
        match self.stopped.take() {
            Some(SpoolError::TooLarge(bytes)) => SpoolError::Bomb(bytes),
            Some(other) => other,
            None => SpoolError::Gzip(error.to_string()),
        }
    }

    /// Whether so many more bytes stay in memory; they are held then.
    fn fits_in_memory(&mut self, more: u64) -> bool {
        let length = self.length.saturating_add(more);
        self.file.is_none() && length <= self.limits.memory_bytes && self.held.reach(length).is_ok()
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(), SpoolError> {
        let length = self.length + chunk.len() as u64;
        if length > self.limits.decompressed_bytes {
            return Err(SpoolError::TooLarge(self.limits.decompressed_bytes));
        }
        if self.taken > 0
            && length > self.limits.memory_bytes
            && length / self.limits.ratio.max(1) > self.taken
        {
            return Err(SpoolError::Ratio(self.limits.ratio));
        }
        self.hash.update(chunk);
        if self.fits_in_memory(chunk.len() as u64) {
            self.memory.extend_from_slice(chunk);
        } else {
            self.append(chunk).map_err(SpoolError::File)?;
        }
        self.length = length;
        Ok(())
    }

    /// To the file, which begins with what was in memory.
    fn append(&mut self, chunk: &[u8]) -> Result<(), NoRoom> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut file = self.share.of.disk.create(&self.share.partner)?;
                file.write(&self.memory)?;
                self.memory = Vec::new();
                self.held.release();
                none.insert(file)
            }
        };
        file.write(chunk)
    }
}

impl Write for Store {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        self.add(chunk).map_err(|error| {
            self.stopped = Some(error);
            std::io::Error::other("no more is taken")
        })?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl ReceivedBody {
    /// The same with its turn among the large bodies, which it keeps to its end; small ones need none.
    pub async fn in_turn(mut self, share: &Share) -> ReceivedBody {
        if !self.in_memory() && self.turn.is_none() {
            self.turn = Some(Arc::new(share.large_body().await));
        }
        self
    }

    /// Whether it is small enough to be read where it is, without a thread of its own.
    pub fn in_memory(&self) -> bool {
        matches!(self.content, Content::Memory(_))
    }

    /// Reads it from the start; may be called again.
    pub fn reader(&self) -> Box<dyn std::io::BufRead + Send> {
        match &self.content {
            Content::Memory(kept) => Box::new(std::io::Cursor::new(Shared(kept.clone()))),
            Content::File(file) => Box::new(BufReader::with_capacity(
                1 << 17,
                FileReader {
                    file: file.clone(),
                    offset: 0,
                },
            )),
        }
    }
}

/// Bytes that a reader shares with its body.
struct Shared(Arc<Kept>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Reads a shared file from its own offset.
struct FileReader {
    file: Arc<SpoolFile>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.file().read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
