//! Bytes of a document -> UTF-8 text, strictly and in constant memory.
//!
//! Finds the document's encoding, then transcodes chunk by chunk and stops at the first byte that
//! is not of that encoding, naming its offset. It must never replace or guess a character. It also
//! bounds how much a tokenizer may take for one token, because the tokenizers have no limit of
//! their own.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, GB18030, GBK, UTF_8};

use super::{DecodeErrorKind, HeadRefusal};
use crate::adapter::xml;

/// A byte order mark in UTF-8.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes looked at to find the encoding; the declaration has to lie within.
const PREFIX_BYTES: usize = 4096;
/// Decoded bytes held at once.
const CHUNK_BYTES: usize = 32 * 1024;
/// Three-byte UTF-8 sequences in a prefix that declares a Chinese encoding from which on it is taken for UTF-8.
const UTF8_SEQUENCES_MIN: usize = 4;

/// How an adapter says which encoding its documents are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingRule {
    /// Always this one; a declaration must agree.
    Fixed(&'static Encoding),
    /// What the XML declaration says, of UTF-8, GBK and GB18030; UTF-8 without one.
    Declared,
}

impl EncodingRule {
    /// The words a manifest may use.
    pub const WORDS: &'static [&'static str] = &["utf-8", "gbk", "gb18030", "declared"];

    /// The rule of a manifest's word.
    pub fn of_word(word: &str) -> Option<EncodingRule> {
        Some(match word {
            "utf-8" => EncodingRule::Fixed(UTF_8),
            "gbk" => EncodingRule::Fixed(GBK),
            "gb18030" => EncodingRule::Fixed(GB18030),
            "declared" => EncodingRule::Declared,
            _ => return None,
        })
    }

    /// The word for lists.
    pub fn word(self) -> &'static str {
        match self {
            EncodingRule::Declared => "declared",
            EncodingRule::Fixed(encoding) if encoding == GBK => "gbk",
            EncodingRule::Fixed(encoding) if encoding == GB18030 => "gb18030",
            EncodingRule::Fixed(_) => "utf-8",
        }
    }

    /// The encoding to answer in while that of a document is not known.
    pub fn default_encoding(self) -> &'static Encoding {
        match self {
            EncodingRule::Fixed(encoding) => encoding,
            EncodingRule::Declared => UTF_8,
        }
    }
}

/// Why no more text can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Malformed(u64),
    /// A character XML 1.0 cannot carry, or a second byte order mark.
    Character {
        at: u64,
        found: char,
    },
    Utf8,
    TooLong,
    Input(String),
}

/// A document as UTF-8 text, read through [`BufRead`].
pub(super) struct CharsetReader<'a> {
    input: Box<dyn BufRead + Send + 'a>,
    encoding: &'static Encoding,
    decoder: Decoder,
    /// Whether what was read so far is UTF-8 all the same, of a document in another encoding.
    watch: Option<Watch>,
    /// Only characters XML 1.0 can carry are served.
    only_xml: bool,
    /// Bytes in UTF-8 that were looked at for such.
    decoded: u64,
    /// Nothing was served yet, and a byte order mark was taken off.
    marked: bool,
    out: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of the document taken so far.
    taken: u64,
    /// Decoded bytes served since [`CharsetReader::allow`], and how many may be.
    served: usize,
    allowed: usize,
    ended: bool,
    fault: Option<Fault>,
}

impl<'a> CharsetReader<'a> {
    /// Looks at the beginning of `input` and settles the encoding by `rule`.
    pub(super) fn open(
        mut input: Box<dyn BufRead + Send + 'a>,
        rule: EncodingRule,
    ) -> Result<CharsetReader<'a>, HeadRefusal> {
        let mut prefix = Vec::with_capacity(PREFIX_BYTES);
        if let Err(error) = input
            .by_ref()
            .take(PREFIX_BYTES as u64)
            .read_to_end(&mut prefix)
        {
            return Err(HeadRefusal::new(
                DecodeErrorKind::Unreadable,
                format!("the document could not be read: {error}"),
            ));
        }
        let (encoding, mark) = settle(&prefix, rule)
            .map_err(|reason| HeadRefusal::new(DecodeErrorKind::Encoding, reason))?;
        let rest = io::Cursor::new(prefix.split_off(mark));
        Ok(CharsetReader {
            input: Box::new(rest.chain(input)),
            encoding,
            decoder: encoding.new_decoder_without_bom_handling(),
            watch: (encoding != UTF_8).then(Watch::default),
            only_xml: false,
            decoded: 0,
            marked: mark > 0,
            out: vec![0; CHUNK_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            taken: mark as u64,
            served: 0,
            allowed: usize::MAX,
            ended: false,
            fault: None,
        })
    }

    pub(super) fn encoding(&self) -> &'static Encoding {
        self.encoding
    }

    /// From here on a character XML 1.0 cannot carry stops the reading, and so does a second byte order mark.
    pub(super) fn take_only_xml(&mut self) {
        self.only_xml = true;
    }

    /// Lets the reader take about so many bytes from here on; the chunk at hand may exceed it.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.served = 0;
        self.allowed = bytes;
    }

    /// What stopped the reading, if it was not the tokenizer itself.
    pub(super) fn stop(&self) -> Option<HeadRefusal> {
        Some(match self.fault.as_ref()? {
            Fault::Malformed(offset) => {
                let name = self.encoding.name();
                HeadRefusal::new(
                    DecodeErrorKind::Encoding,
                    format!(
                        "byte {offset} is not valid {name}; send the document in the encoding it declares"
                    ),
                )
            }
            Fault::Character { at, found } => {
                let found = u32::from(*found);
                HeadRefusal::new(
                    DecodeErrorKind::Malformed,
                    format!(
                        "a character XML 1.0 does not allow here, U+{found:04X}, at byte {at} of the text in UTF-8; remove it"
                    ),
                )
            }
            Fault::Utf8 => HeadRefusal::new(DecodeErrorKind::Encoding, mislabelled(self.encoding)),
            Fault::TooLong => HeadRefusal::new(
                DecodeErrorKind::Malformed,
                format!(
                    "a single text, tag or line is longer than {} bytes",
                    self.allowed
                ),
            ),
            Fault::Input(error) => HeadRefusal::new(
                DecodeErrorKind::Unreadable,
                format!("the document could not be read to its end: {error}"),
            ),
        })
    }

    fn refill(&mut self) -> Result<(), Fault> {
        self.start = 0;
        self.end = 0;
        while self.end == 0 && !self.ended {
            let source = match self.input.fill_buf() {
                Ok(source) => source,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fault::Input(error.to_string())),
            };
            let last = source.is_empty();
            let whole = last && self.watch.as_ref().is_some_and(Watch::is_utf8);
            if whole {
                return Err(Fault::Utf8);
            }
            let (result, read, written) =
                self.decoder
                    .decode_to_utf8_without_replacement(source, &mut self.out, last);
            if let Some(watch) = self.watch.as_mut()
                && !watch.goes_on(&source[..read])
            {
                self.watch = None;
            }
            self.input.consume(read);
            self.taken += read as u64;
            self.end = written;
            if self.only_xml {
                self.check_characters()?;
            }
            match result {
                DecoderResult::Malformed(length, beyond) => {
                    return Err(Fault::Malformed(
                        self.taken - u64::from(length) - u64::from(beyond),
                    ));
                }
                DecoderResult::InputEmpty => self.ended = last,
                DecoderResult::OutputFull => {}
            }
        }
        Ok(())
    }
}

impl CharsetReader<'_> {
    /// Whether XML can carry what was decoded last.
    fn check_characters(&mut self) -> Result<(), Fault> {
        // The decoder ends its output between characters.
        let text = &self.out[..self.end];
        if !text.is_empty() && std::mem::take(&mut self.marked) && text.starts_with(MARK) {
            return Err(Fault::Character {
                at: 0,
                found: '\u{feff}',
            });
        }
        match xml::forbidden(text) {
            Some((at, found)) => Err(Fault::Character {
                at: self.decoded + at as u64,
                found,
            }),
            None => {
                self.decoded += text.len() as u64;
                Ok(())
            }
        }
    }
}

impl Read for CharsetReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buf.len());
        buf[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for CharsetReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && self.fault.is_none() && !self.ended {
            if self.served > self.allowed {
                self.fault = Some(Fault::TooLong);
            } else if let Err(fault) = self.refill() {
                // Text before the bad byte is not served: the document is refused whole anyway.
                self.end = 0;
                self.fault = Some(fault);
            }
        }
        if self.fault.is_some() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(&self.out[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.end);
        self.served += amount;
    }
}

/// The encoding of a document that begins with `prefix`, and the length of its byte order mark.
fn settle(prefix: &[u8], rule: EncodingRule) -> Result<(&'static Encoding, usize), String> {
    if prefix.starts_with(&[0xFE, 0xFF])
        || prefix.starts_with(&[0xFF, 0xFE])
        || prefix.iter().take(4).any(|byte| *byte == 0)
    {
        return Err("the document looks like UTF-16; expected UTF-8, GBK or GB18030".into());
    }
    let mark = if prefix.starts_with(MARK) {
        MARK.len()
    } else {
        0
    };
    let declared = match xml::encoding(&prefix[mark..]) {
        Some(label) => Some(known(label)?),
        None => None,
    };
    let encoding = match (rule, declared) {
        (EncodingRule::Declared, declared) => declared.unwrap_or(UTF_8),
        (EncodingRule::Fixed(fixed), None) => fixed,
        (EncodingRule::Fixed(fixed), Some(declared)) if same_family(fixed, declared) => declared,
        (EncodingRule::Fixed(fixed), Some(declared)) => {
            return Err(format!(
                "the document declares {}; this endpoint takes {}",
                declared.name(),
                fixed.name()
            ));
        }
    };
    if encoding != UTF_8 && (mark > 0 || looks_like_utf8(prefix)) {
        return Err(mislabelled(encoding));
    }
    Ok((encoding, mark))
}

fn mislabelled(encoding: &'static Encoding) -> String {
    format!(
        "the document says {} but its bytes are UTF-8; declare the encoding it is in",
        encoding.name()
    )
}

/// Follows the bytes of a document as if they were UTF-8.
#[derive(Debug, Default)]
struct Watch {
    /// A character of three or four bytes was among them; Chinese has three.
    wide: bool,
    /// A character whose other bytes are still to come.
    begun: Vec<u8>,
}

impl Watch {
    /// Whether it may still be UTF-8 with these bytes.
    fn goes_on(&mut self, bytes: &[u8]) -> bool {
        let mut bytes = bytes;
        while let (false, Some((first, rest))) = (self.begun.is_empty(), bytes.split_first()) {
            (self.begun, bytes) = ([self.begun.as_slice(), &[*first]].concat(), rest);
            match std::str::from_utf8(&self.begun) {
                Ok(_) => {
                    self.wide |= self.begun.len() > 2;
                    self.begun.clear();
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        let (text, rest) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, &[][..]),
            Err(error) if error.error_len().is_none() => {
                let (text, rest) = bytes.split_at(error.valid_up_to());
                (std::str::from_utf8(text).unwrap_or_default(), rest)
            }
            Err(_) => return false,
        };
        self.wide = self.wide || text.bytes().any(|byte| byte >= 0xE0);
        self.begun.extend_from_slice(rest);
        true
    }

    /// Whether all of it was UTF-8, with at least one character of three bytes: GBK text that happens
    /// to be valid UTF-8 has characters of two (the GBK bytes of 联通 are such).
    fn is_utf8(&self) -> bool {
        self.wide && self.begun.is_empty()
    }
}

/// GBK and GB18030 are read by the same rules; each may be declared where the other is expected.
fn same_family(a: &'static Encoding, b: &'static Encoding) -> bool {
    (a == UTF_8) == (b == UTF_8)
}

/// Names of GBK that are in use and in no list of the web's.
const GBK_NAMES: [&str; 5] = ["cp936", "ms936", "windows-936", "936", "euc-cn"];

/// Names of encodings that may be shown where they are declared and not taken.
const LABELS: [&str; 12] = [
    "UTF-8",
    "UTF-16",
    "UTF-32",
    "GBK",
    "GB2312",
    "GB18030",
    "BIG5",
    "ISO-8859-1",
    "ISO-8859-15",
    "US-ASCII",
    "WINDOWS-1252",
    "SHIFT_JIS",
];

/// The encoding of a name, of UTF-8, GBK (also as GB2312, CP936, MS936) and GB18030; nothing for others.
pub(in crate::adapter) fn of_label(label: &str) -> Option<&'static Encoding> {
    let label = label.trim();
    if GBK_NAMES
        .iter()
        .any(|name| name.eq_ignore_ascii_case(label))
    {
        return Some(GBK);
    }
    Encoding::for_label_no_replacement(label.as_bytes())
        .filter(|encoding| [UTF_8, GBK, GB18030].contains(encoding))
}

fn known(label: &str) -> Result<&'static Encoding, String> {
    match of_label(label) {
        Some(encoding) => Ok(encoding),
        None => Err(format!(
            "the document declares the encoding `{}`; expected UTF-8, GBK or GB18030",
            crate::model::mask::word(label.trim(), LABELS)
        )),
    }
}

/// Whether a document is told from its beginning to be UTF-8, so that it need not be read to its end: a short one is
/// known whole; of a longer one everything beyond ASCII is Chinese, of which several by chance in GBK text happen once
/// in many million documents. Whatever is left is watched to the end.
fn looks_like_utf8(prefix: &[u8]) -> bool {
    let mut watch = Watch::default();
    if prefix.len() < PREFIX_BYTES {
        return watch.goes_on(prefix) && watch.is_utf8();
    }
    let text = match std::str::from_utf8(prefix) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&prefix[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let wide: Vec<char> = text.chars().filter(|c| !c.is_ascii()).collect();
    wide.len() >= UTF8_SEQUENCES_MIN
        && wide
            .iter()
            .all(|c| ('\u{3000}'..='\u{9FFF}').contains(c) || ('\u{FF00}'..='\u{FFEF}').contains(c))
}
