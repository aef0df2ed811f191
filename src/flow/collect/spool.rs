//! A body as it arrives: in memory up to a limit, then in an anonymous temporary file, digested on the way.
//!
//! Holds bytes and measures them; knows nothing of what they mean. No database connection is held
//! while one fills.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::GzDecoder;
use sha2::{Digest, Sha256};

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
    #[error("after the gzip data come bytes that are neither another member of it nor zero padding; send gzip data only")]
    Trailing,
    #[error("the gzip data have more than {MEMBERS_MAX} members; send fewer, larger ones")]
    Members,
    #[error("the temporary file for the body cannot be written: {0}")]
    File(std::io::Error),
}

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    pub memory_bytes: u64,
    pub body_bytes: u64,
    pub decompressed_bytes: u64,
}

/// A body being received.
pub struct Spool {
    limits: SpoolLimits,
    received: u64,
    intake: Intake,
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
    memory: Vec<u8>,
    file: Option<File>,
    overflow: bool,
}

/// A complete body, decompressed.
#[derive(Clone)]
pub struct Body {
    /// SHA-256 of the decompressed bytes.
    pub digest: [u8; 32],
    /// Decompressed length in bytes.
    pub length: u64,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Memory(Bytes),
    File(Arc<File>),
}

impl Spool {
    pub fn new(limits: SpoolLimits, gzip: bool) -> Spool {
        let store = Store { limits, hash: Sha256::new(), length: 0, memory: Vec::new(), file: None, overflow: false };
        let intake = if gzip { Intake::Gzip(Members { open: None, store: Some(store), ended: 0, padding: false }) } else { Intake::Plain(store) };
        Spool { limits, received: 0, intake }
    }

    /// Takes the next bytes as they were sent.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), SpoolError> {
        self.received += chunk.len() as u64;
        if self.received > self.limits.body_bytes {
            return Err(SpoolError::TooLarge(self.limits.body_bytes));
        }
        match &mut self.intake {
            Intake::Plain(store) => store.write_all(chunk).map_err(|error| store.explain(error, false)),
            Intake::Gzip(members) => members.write(chunk),
        }
    }

    /// Ends the body; an unfinished gzip stream is refused.
    pub fn finish(self) -> Result<Body, SpoolError> {
        let store = match self.intake {
            Intake::Plain(store) => store,
            Intake::Gzip(mut members) => {
                members.end()?;
                members.store.take().filter(|_| members.ended > 0).ok_or_else(|| SpoolError::Gzip("it is empty".into()))?
            }
        };
        let content = match store.file {
            Some(file) => Content::File(Arc::new(file)),
            None => Content::Memory(store.memory.into()),
        };
        Ok(Body { digest: store.hash.finalize().into(), length: store.length, content })
    }
}

impl Members {
    fn write(&mut self, mut chunk: &[u8]) -> Result<(), SpoolError> {
        while let Some(first) = chunk.first() {
            if self.open.is_none() {
                self.padding |= self.ended > 0 && *first == 0;
                if self.padding {
                    return if chunk.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(SpoolError::Trailing) };
                }
                if self.ended == MEMBERS_MAX {
                    return Err(SpoolError::Members);
                }
                self.open = self.store.take().map(|store| Box::new(GzDecoder::new(store)));
            }
            let Some(decoder) = self.open.as_mut() else { return Ok(()) };
            match decoder.write(chunk) {
                Ok(0) => self.end()?,
                Ok(taken) => chunk = &chunk[taken..],
                Err(_) if self.ended > 0 && decoder.header().is_none() => return Err(SpoolError::Trailing),
                Err(error) => return Err(decoder.get_ref().explain(error, true)),
            }
        }
        Ok(())
    }

    /// Ends the member being read; it must be whole.
    fn end(&mut self) -> Result<(), SpoolError> {
        let Some(mut decoder) = self.open.take() else { return Ok(()) };
        decoder.try_finish().map_err(|error| decoder.get_ref().explain(error, true))?;
        self.store = Some(decoder.finish().map_err(|error| SpoolError::Gzip(error.to_string()))?);
        self.ended += 1;
        Ok(())
    }
}

impl Store {
    fn explain(&self, error: std::io::Error, gzip: bool) -> SpoolError {
        match (self.overflow, gzip) {
            (true, true) => SpoolError::Bomb(self.limits.decompressed_bytes),
            (true, false) => SpoolError::TooLarge(self.limits.decompressed_bytes),
            (false, true) if error.raw_os_error().is_none() => SpoolError::Gzip(error.to_string()),
            _ => SpoolError::File(error),
        }
    }
}

impl Write for Store {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        self.length += chunk.len() as u64;
        if self.length > self.limits.decompressed_bytes {
            self.overflow = true;
            return Err(std::io::Error::other("too large"));
        }
        self.hash.update(chunk);
        if let Some(file) = &mut self.file {
            file.write_all(chunk)?;
        } else if self.length <= self.limits.memory_bytes {
            self.memory.extend_from_slice(chunk);
        } else {
            let mut file = tempfile::tempfile()?;
            file.write_all(&self.memory)?;
            file.write_all(chunk)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Body {
    /// Whether it is small enough to be read where it is, without a thread of its own.
    pub fn in_memory(&self) -> bool {
        matches!(self.content, Content::Memory(_))
    }

    /// Reads it from the start; may be called again.
    pub fn reader(&self) -> Box<dyn std::io::BufRead + Send> {
        match &self.content {
            Content::Memory(bytes) => Box::new(std::io::Cursor::new(bytes.clone())),
            Content::File(file) => Box::new(BufReader::with_capacity(1 << 17, FileReader { file: file.clone(), offset: 0 })),
        }
    }
}

/// Reads a shared file from its own offset.
struct FileReader {
    file: Arc<File>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SpoolLimits = SpoolLimits { memory_bytes: 10, body_bytes: 100, decompressed_bytes: 200 };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn spool(bytes: &[u8], zipped: bool) -> Result<Body, SpoolError> {
        let mut spool = Spool::new(LIMITS, zipped);
        for chunk in bytes.chunks(7) {
            spool.write(chunk)?;
        }
        spool.finish()
    }

    fn read(body: &Body) -> Vec<u8> {
        let mut bytes = Vec::new();
        body.reader().read_to_end(&mut bytes).expect("readable");
        bytes
    }

    #[test]
    fn a_body_is_read_back_as_it_came_on_both_sides_of_the_memory_limit() {
        for length in [0, 10, 11, 100] {
            let bytes = vec![7; length];
            let body = spool(&bytes, false).expect("within the limits");
            assert_eq!(read(&body), bytes);
            assert_eq!(read(&body), bytes, "a second time");
            assert_eq!(body.in_memory(), length <= 10);
        }
    }

    #[test]
    fn a_body_is_the_same_with_and_without_gzip() {
        let bytes = vec![9; 150];
        let body = spool(&gzip(&bytes), true).expect("within the limits");
        assert_eq!(read(&body), bytes);
        assert_eq!(body.digest, <[u8; 32]>::from(Sha256::digest(&bytes)));
    }

    #[test]
    fn a_gzip_body_may_have_several_members_and_zeros_behind_them() {
        let (one, two, empty, zeros) = (gzip(b"first half, "), gzip(b"second half"), gzip(b""), vec![0; 20]);
        let digest = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
        for (parts, expected) in [
            (vec![&one, &two], &b"first half, second half"[..]),
            (vec![&one, &empty], b"first half, "),
            (vec![&empty, &one], b"first half, "),
            (vec![&one, &zeros], b"first half, "),
            (vec![&one, &two, &zeros], b"first half, second half"),
        ] {
            let whole: Vec<u8> = parts.into_iter().flatten().copied().collect();
            for size in [1, 7, 100] {
                let mut spool = Spool::new(LIMITS, true);
                whole.chunks(size).for_each(|chunk| spool.write(chunk).expect("gzip"));
                let body = spool.finish().expect("whole");
                assert_eq!((read(&body).as_slice(), body.digest), (expected, digest(expected)));
            }
        }
    }

    #[test]
    fn what_follows_gzip_data_and_is_none_is_not_passed_over() {
        let one = gzip(b"the first member");
        let with = |more: &[u8]| spool(&[one.as_slice(), more].concat(), true);
        assert!(matches!(with(b"rubbish of some length"), Err(SpoolError::Trailing)));
        assert!(matches!(with(&[0, 0, 0, 7]), Err(SpoolError::Trailing)));
        assert!(matches!(with(&one[..one.len() - 3]), Err(SpoolError::Gzip(_))), "a second member that is cut");
        let mut broken = gzip(b"another");
        let check = broken.len() - 6;
        broken[check] ^= 1;
        assert!(matches!(with(&broken), Err(SpoolError::Gzip(_))), "a second member with a wrong check sum");
        assert!(matches!(spool(b"", true), Err(SpoolError::Gzip(_))));
        assert!(matches!(spool(&[0; 20], true), Err(SpoolError::Gzip(_))), "nothing but zeros");
    }

    #[test]
    fn one_byte_over_a_limit_is_refused() {
        assert!(matches!(spool(&[1; 101], false), Err(SpoolError::TooLarge(100))));
        assert!(spool(&gzip(&[1; 200]), true).is_ok());
        assert!(matches!(spool(&gzip(&[1; 201]), true), Err(SpoolError::Bomb(200))));
    }

    #[test]
    fn a_body_that_is_not_gzip_or_ends_early_is_refused() {
        assert!(matches!(spool(b"not gzip at all", true), Err(SpoolError::Gzip(_))));
        let whole = gzip(b"some text that is long enough");
        assert!(matches!(spool(&whole[..whole.len() - 9], true), Err(SpoolError::Gzip(_))));
    }
}
