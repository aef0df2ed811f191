//! Bytes of a document -> UTF-8 text, strictly and in constant memory.
//!
//! Finds the document's encoding, then transcodes chunk by chunk and stops at the first byte that
//! is not of that encoding, naming its offset. It must never replace or guess a character. It also
//! bounds how much a tokenizer may take for one token, because the tokenizers have no limit of
//! their own.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, GB18030, GBK, UTF_8};

use super::{Kind, Stop};

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
    TooLong,
    Input(String),
}

/// A document as UTF-8 text, read through [`BufRead`].
pub(super) struct Charset<'a> {
    input: Box<dyn BufRead + Send + 'a>,
    encoding: &'static Encoding,
    decoder: Decoder,
    out: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of the document taken so far.
    taken: u64,
    /// Decoded bytes served since [`Charset::allow`], and how many may be.
    served: usize,
    allowed: usize,
    ended: bool,
    fault: Option<Fault>,
}

impl<'a> Charset<'a> {
    /// Looks at the beginning of `input` and settles the encoding by `rule`.
    pub(super) fn open(mut input: Box<dyn BufRead + Send + 'a>, rule: EncodingRule) -> Result<Charset<'a>, Stop> {
        let mut prefix = Vec::with_capacity(PREFIX_BYTES);
        if let Err(error) = input.by_ref().take(PREFIX_BYTES as u64).read_to_end(&mut prefix) {
            return Err(Stop::new(Kind::Unreadable, format!("the document could not be read: {error}")));
        }
        let (encoding, mark) = settle(&prefix, rule).map_err(|reason| Stop::new(Kind::Encoding, reason))?;
        let rest = io::Cursor::new(prefix.split_off(mark));
        Ok(Charset {
            input: Box::new(rest.chain(input)),
            encoding,
            decoder: encoding.new_decoder_without_bom_handling(),
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

    /// Lets the reader take about so many bytes from here on; the chunk at hand may exceed it.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.served = 0;
        self.allowed = bytes;
    }

    /// What stopped the reading, if it was not the tokenizer itself.
    pub(super) fn stop(&self) -> Option<Stop> {
        Some(match self.fault.as_ref()? {
            Fault::Malformed(offset) => {
                let name = self.encoding.name();
                Stop::new(Kind::Encoding, format!("byte {offset} is not valid {name}; send the document in the encoding it declares"))
            }
            Fault::TooLong => Stop::new(Kind::Malformed, format!("a single text, tag or line is longer than {} bytes", self.allowed)),
            Fault::Input(error) => Stop::new(Kind::Unreadable, format!("the document could not be read to its end: {error}")),
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
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(source, &mut self.out, last);
            self.input.consume(read);
            self.taken += read as u64;
            self.end = written;
            match result {
                DecoderResult::Malformed(length, beyond) => return Err(Fault::Malformed(self.taken - u64::from(length) - u64::from(beyond))),
                DecoderResult::InputEmpty => self.ended = last,
                DecoderResult::OutputFull => {}
            }
        }
        Ok(())
    }
}

impl Read for Charset<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buf.len());
        buf[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Charset<'_> {
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
    if prefix.starts_with(&[0xFE, 0xFF]) || prefix.starts_with(&[0xFF, 0xFE]) || prefix.iter().take(4).any(|byte| *byte == 0) {
        return Err("the document looks like UTF-16; expected UTF-8, GBK or GB18030".into());
    }
    let mark = if prefix.starts_with(&[0xEF, 0xBB, 0xBF]) { 3 } else { 0 };
    let declared = match declaration(&prefix[mark..]) {
        Some(label) => Some(known(label)?),
        None => None,
    };
    let encoding = match (rule, declared) {
        (EncodingRule::Declared, declared) => declared.unwrap_or(UTF_8),
        (EncodingRule::Fixed(fixed), None) => fixed,
        (EncodingRule::Fixed(fixed), Some(declared)) if same_family(fixed, declared) => declared,
        (EncodingRule::Fixed(fixed), Some(declared)) => {
            return Err(format!("the document declares {}; this endpoint takes {}", declared.name(), fixed.name()));
        }
    };
    if encoding != UTF_8 && (mark > 0 || looks_like_utf8(prefix)) {
        return Err(format!("the document says {} but its bytes are UTF-8; declare the encoding it is in", encoding.name()));
    }
    Ok((encoding, mark))
}

/// GBK and GB18030 are read by the same rules; each may be declared where the other is expected.
fn same_family(a: &'static Encoding, b: &'static Encoding) -> bool {
    (a == UTF_8) == (b == UTF_8)
}

fn known(label: &str) -> Result<&'static Encoding, String> {
    match Encoding::for_label_no_replacement(label.as_bytes()) {
        Some(encoding) if [UTF_8, GBK, GB18030].contains(&encoding) => Ok(encoding),
        _ => Err(format!("the document declares the encoding `{}`; expected UTF-8, GBK or GB18030", super::cut(label, 40))),
    }
}

/// The `encoding` of an XML declaration at the very beginning.
fn declaration(prefix: &[u8]) -> Option<&str> {
    let rest = prefix.strip_prefix(b"<?xml")?;
    let end = rest.windows(2).position(|two| two == b"?>")?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    let value = text.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split_once(quote).map(|(label, _)| label)
}

/// Whether everything beyond ASCII is Chinese in UTF-8: several such sequences by chance in GBK text happen once in many million documents.
fn looks_like_utf8(prefix: &[u8]) -> bool {
    let text = match std::str::from_utf8(prefix) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&prefix[..error.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    let wide: Vec<char> = text.chars().filter(|c| !c.is_ascii()).collect();
    wide.len() >= UTF8_SEQUENCES_MIN && wide.iter().all(|c| ('\u{3000}'..='\u{9FFF}').contains(c) || ('\u{FF00}'..='\u{FFEF}').contains(c))
}
