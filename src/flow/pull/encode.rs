//! Content codings of answers: gzip (RFC 1952) and Zstandard (RFC 8878), for a page or a stream.
//!
//! Writes to memory only; which coding a puller takes is the server's business.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// About as fast as the connection; a higher level gains a few per cent.
const ZSTD_LEVEL: i32 = 3;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    Identity,
    Gzip,
    Zstd,
}

impl ContentCoding {
    /// Its word in `Accept-Encoding` and `Content-Encoding`.
    pub fn word(self) -> &'static str {
        match self {
            ContentCoding::Identity => "identity",
            ContentCoding::Gzip => "gzip",
            ContentCoding::Zstd => "zstd",
        }
    }

    /// A whole body.
    pub fn encode(self, body: Vec<u8>) -> Bytes {
        if self == ContentCoding::Identity {
            return body.into();
        }
        let mut encoder = Encoder::new(self);
        encoder.write(&body);
        encoder.finish()
    }
}

/// A body coded piece by piece.
pub struct Encoder(Inner);

enum Inner {
    Identity(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

const MEMORY: &str = "writing to memory does not fail";

impl Encoder {
    pub fn new(encoding: ContentCoding) -> Encoder {
        Encoder(match encoding {
            ContentCoding::Identity => Inner::Identity(Vec::new()),
            ContentCoding::Gzip => Inner::Gzip(GzEncoder::new(Vec::new(), Compression::new(6))),
            ContentCoding::Zstd => Inner::Zstd(
                zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)
                    .expect("the level is one zstd has"),
            ),
        })
    }

    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Identity(out) => out.extend_from_slice(bytes),
            Inner::Gzip(encoder) => encoder.write_all(bytes).expect(MEMORY),
            Inner::Zstd(encoder) => encoder.write_all(bytes).expect(MEMORY),
        }
    }

    /// What is ready so far, so that the reader can read all that was written.
    pub fn take(&mut self) -> Bytes {
        let out = match &mut self.0 {
            Inner::Identity(out) => out,
            Inner::Gzip(encoder) => {
                encoder.flush().expect(MEMORY);
                encoder.get_mut()
            }
            Inner::Zstd(encoder) => {
                encoder.flush().expect(MEMORY);
                encoder.get_mut()
            }
        };
        std::mem::take(out).into()
    }

    /// The rest.
    pub fn finish(self) -> Bytes {
        match self.0 {
            Inner::Identity(out) => out.into(),
            Inner::Gzip(encoder) => encoder.finish().expect(MEMORY).into(),
            Inner::Zstd(encoder) => encoder.finish().expect(MEMORY).into(),
        }
    }
}
