//! Decoding: a document of a partner -> head, then canonical records one by one.
//!
//! Memory stays constant whatever the document's size (JSON documents are held whole and bounded).
//! A record that is wrong is refused and the next one read; a document that is wrong is refused
//! whole by a [`PacketRefusal`], whatever was read of it before. Nothing here knows what a record
//! means or whether it was seen before.

use std::collections::BTreeMap;
use std::io::BufRead;

use encoding_rs::Encoding;

use crate::model::records::turn_refund;
use crate::model::{FieldId, Record, RecordSpec};

mod answer; // records inside an answer to a request of ours
mod charset; // bytes -> text
mod content; // the digest of what a packet says
mod head; // what a packet says about itself
mod json;
pub(super) mod rows; // captured texts -> a record
pub(super) mod tree; // paths, compiled
mod xml;

pub(super) use answer::read_answer;
pub use charset::EncodingRule;

use super::inbound::{DocumentFormat, Endpoint, InboundMessage};
use charset::CharsetReader;
use content::ContentDigest;
use tree::Capture;

/// Elements (or JSON objects and arrays) open at once.
pub const DEPTH_MAX: usize = 16;
/// Bytes of one tag with its attributes.
pub const TAG_BYTES_MAX: usize = 4 * 1024;
/// Bytes of an element's name.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of text in one element, in UTF-8.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one record, in UTF-8.
pub const RECORD_BYTES_MAX: u64 = 256 * 1024;
/// Bytes before the first record, in UTF-8.
pub const HEAD_BYTES_MAX: u64 = 256 * 1024;
/// Bytes of a JSON document, in UTF-8; NDJSON and XML are streamed and have no such limit.
pub const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Characters of a packet number.
pub const PACKET_NO_CHARS_MAX: usize = 64;
/// Characters of any other value kept of a head.
pub const HEAD_VALUE_CHARS_MAX: usize = 200;
/// Characters of refused content that are repeated.
pub const CONTENT_CHARS_MAX: usize = 100;

/// What a packet says about itself, complete.
#[derive(Debug, Clone)]
pub struct PacketHead {
    /// The canonical record its lines are decoded to.
    pub message: &'static RecordSpec,
    /// The idempotency key.
    pub packet_no: String,
    /// The sender's word for the type of packet; empty where the endpoint has only one.
    pub packet_type: String,
    /// The sender says that it replaces an earlier packet of this number.
    pub replaces: bool,
    /// How its sender says that; nothing where there is no way to.
    pub replacing_word: Option<String>,
    /// How many records the sender says it has.
    pub declared_lines: Option<u64>,
    pub encoding: &'static Encoding,
    /// Values kept for the receipt, by the manifest's `head` names.
    pub values: BTreeMap<String, String>,
}

/// As much of a head as was read of a packet that is refused whole.
#[derive(Debug, Clone)]
pub struct HeadSeen {
    pub packet_no: Option<String>,
    pub packet_type: Option<String>,
    /// The type as metrics name it, where it is one that is not taken.
    pub untaken: Option<String>,
    /// To answer in.
    pub encoding: &'static Encoding,
    pub values: BTreeMap<String, String>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodedLine {
    /// The record is filled. `index` is the sender's record number if it gives one, else the position from 1.
    Good {
        index: u64,
    },
    Refused(RecordRefusal),
}

/// Why one record is refused, as the receipt says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRefusal {
    /// The sender's record number, else the position from 1.
    pub index: u64,
    /// The element in the sender's words.
    pub element: String,
    /// What it contained, cut to 100 characters; `None` when private or missing.
    pub content: Option<String>,
    pub reason: String,
}

/// What kind of wrong a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// Not well-formed, beyond a limit, or not of the expected shape.
    Malformed,
    Encoding,
    UnknownType,
    ControlTotal,
    TooManyLines,
    Empty,
    MissingHead,
    /// Its bytes could not be read to the end: a broken connection or compression, or our own disk.
    Unreadable,
}

impl DecodeErrorKind {
    /// The word used in samples, metrics and the database.
    pub fn word(self) -> &'static str {
        match self {
            DecodeErrorKind::Malformed => "malformed",
            DecodeErrorKind::Encoding => "encoding",
            DecodeErrorKind::UnknownType => "unknown_type",
            DecodeErrorKind::ControlTotal => "control_total",
            DecodeErrorKind::TooManyLines => "too_many_lines",
            DecodeErrorKind::Empty => "empty",
            DecodeErrorKind::MissingHead => "missing_head",
            DecodeErrorKind::Unreadable => "unreadable",
        }
    }
}

/// Why a packet is refused whole.
#[derive(Debug, Clone)]
pub struct PacketRefusal {
    pub kind: DecodeErrorKind,
    /// The element in the sender's words, where one is to blame.
    pub element: Option<Box<str>>,
    pub reason: String,
    pub head: HeadSeen,
}

/// A refusal before the head is put to it.
#[derive(Debug)]
pub(super) struct HeadRefusal {
    kind: DecodeErrorKind,
    element: Option<String>,
    reason: String,
}

impl HeadRefusal {
    fn new(kind: DecodeErrorKind, reason: impl Into<String>) -> HeadRefusal {
        HeadRefusal {
            kind,
            element: None,
            reason: reason.into(),
        }
    }

    fn at(kind: DecodeErrorKind, element: &str, reason: impl Into<String>) -> HeadRefusal {
        HeadRefusal {
            kind,
            element: Some(element.to_string()),
            reason: reason.into(),
        }
    }
}

/// Reads one packet; `Send`, so that it can run on a blocking thread.
pub struct PacketReader<'a> {
    inbound: &'a InboundMessage,
    head: PacketHead,
    source: Source<'a>,
    capture: Capture,
    content: ContentDigest,
    lines_max: u64,
    position: u64,
    ended: bool,
    /// The latest record was none: nothing of it is in `capture`.
    spoilt: bool,
}

enum Source<'a> {
    Xml(Box<xml::XmlSource<'a>>),
    Json(json::JsonSource<'a>),
    Lines(json::LineSource<'a>),
}

impl Endpoint {
    /// Reads a packet's head and settles what it is. `lines_max`: records it may have at most.
    pub fn open<'a>(
        &'a self,
        body: Box<dyn BufRead + Send + 'a>,
        lines_max: u64,
    ) -> Result<PacketReader<'a>, PacketRefusal> {
        let mut values = Capture::for_tree(self.tree());
        let mut encoding = self.default_encoding();
        self.begin(body, &mut values, &mut encoding)
            .and_then(|(source, inbound)| {
                let head = self.head(inbound, &values, encoding)?;
                if let Some(lines) = head.declared_lines.filter(|lines| *lines > lines_max) {
                    return Err(HeadRefusal::at(
                        DecodeErrorKind::TooManyLines,
                        inbound.lines_path(),
                        format!(
                            "announces {lines} records; at most {lines_max} are taken in one packet"
                        ),
                    ));
                }
                let capture = Capture::for_tree(&inbound.rows.tree);
                Ok(PacketReader {
                    inbound,
                    head,
                    source,
                    capture,
                    content: ContentDigest::of(inbound),
                    lines_max,
                    position: 0,
                    ended: false,
                    spoilt: false,
                })
            })
            .map_err(|stop| self.refuse(stop, &values, encoding))
    }

    fn begin<'a>(
        &'a self,
        body: Box<dyn BufRead + Send + 'a>,
        values: &mut Capture,
        encoding: &mut &'static Encoding,
    ) -> Result<(Source<'a>, &'a InboundMessage), HeadRefusal> {
        let chars = CharsetReader::open(body, self.encoding())?;
        *encoding = chars.encoding();
        match self.format() {
            DocumentFormat::Xml => {
                let mut source = xml::XmlSource::new(chars, self.tree());
                let found = source.read_head(values)?;
                let inbound = self.select(values)?;
                match found {
                    None => {
                        return Err(HeadRefusal::at(
                            DecodeErrorKind::Empty,
                            &inbound.record,
                            "the packet has no record; expected at least one",
                        ));
                    }
                    Some(node) if node != inbound.record_node => {
                        return Err(HeadRefusal::at(
                            DecodeErrorKind::Malformed,
                            &inbound.record,
                            "records of another type of packet stand here",
                        ));
                    }
                    Some(_) => source.take_records(&inbound.rows.tree),
                }
                Ok((Source::Xml(Box::new(source)), inbound))
            }
            DocumentFormat::Json => {
                let mut source = json::JsonSource::read(chars, self.tree(), values)?;
                let inbound = self.select(values)?;
                if !source.take_records(inbound.record_node, &inbound.rows.tree) {
                    return Err(HeadRefusal::at(
                        DecodeErrorKind::Empty,
                        &inbound.record,
                        "the packet has no record; expected at least one",
                    ));
                }
                Ok((Source::Json(source), inbound))
            }
            DocumentFormat::Ndjson => {
                let mut source = json::LineSource::read_head(chars, self.tree(), values)?;
                let inbound = self.select(values)?;
                source.take_records(&inbound.rows.tree);
                Ok((Source::Lines(source), inbound))
            }
        }
    }
}

impl PacketReader<'_> {
    pub fn head(&self) -> &PacketHead {
        &self.head
    }

    /// An empty record of this packet's message, to be reused for every line.
    pub fn new_record(&self) -> Record {
        Record::new(self.head.message)
    }

    /// Records read so far; that of the latest line, from 1.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The sender's name of the element a field comes from; the field's own name where none is mapped.
    pub fn element_of(&self, field: FieldId) -> &str {
        self.inbound.element_of(field)
    }

    /// Whether the sender's documents say anything of a field.
    pub fn maps(&self, field: FieldId) -> bool {
        self.inbound.maps(field)
    }

    /// Fields that only say how a record was transferred: the same record may say otherwise when it comes again.
    pub fn transfer_fields(&self) -> Vec<&'static str> {
        self.inbound.transfer_fields().collect()
    }

    /// What the latest record says for a field, cut short; nothing for a private one. For refusals.
    pub fn content_of(&self, field: FieldId) -> Option<String> {
        self.inbound.rows.content(&self.capture, field)
    }

    /// Fills whatever can be read of the latest record, which was refused; returns the fields that cannot.
    pub fn readable(&self, record: &mut Record) -> Vec<FieldId> {
        record.clear();
        if self.spoilt {
            return (0..record.spec().fields.len()).map(FieldId).collect();
        }
        let unreadable = self.inbound.rows.fill_readable(&self.capture, record);
        if self.inbound.positive_refunds {
            turn_refund(record);
        }
        unreadable
    }

    /// Reads the next line into `record`; `None` at the end, after the control totals were checked.
    pub fn next(&mut self, record: &mut Record) -> Result<Option<DecodedLine>, PacketRefusal> {
        record.clear();
        if self.ended {
            return Ok(None);
        }
        let more = match &mut self.source {
            Source::Xml(source) => source.next_record(&mut self.capture),
            Source::Json(source) => source.next_record(&mut self.capture),
            Source::Lines(source) => source.next_record(&mut self.capture),
        };
        self.ended = !matches!(more, Ok(true));
        if !more.map_err(|stop| self.refuse(stop))? {
            return self
                .check_totals()
                .map(|()| None)
                .map_err(|stop| self.refuse(stop));
        }
        self.position += 1;
        if self.position > self.lines_max {
            self.ended = true;
            let reason = format!(
                "the packet has more than {} records; send it in several packets",
                self.lines_max
            );
            return Err(self.refuse(HeadRefusal::at(
                DecodeErrorKind::TooManyLines,
                &self.inbound.record,
                reason,
            )));
        }
        self.spoilt = false;
        if let Source::Lines(source) = &mut self.source
            && let Some(reason) = source.take_spoilt()
        {
            self.spoilt = true;
            self.content.spoilt(source.latest());
            return Ok(Some(DecodedLine::Refused(RecordRefusal {
                index: self.position,
                element: self.inbound.record.clone(),
                content: None,
                reason,
            })));
        }
        let line = self.line(record);
        match line {
            DecodedLine::Good { .. } => self.content.good(record),
            DecodedLine::Refused(_) => self.content.refused(&self.inbound.rows, &self.capture),
        }
        Ok(Some(line))
    }

    /// The digest of what the records read so far say, however they were generated; of the packet once its end was reached.
    pub fn content(&self) -> [u8; 32] {
        self.content.digest()
    }

    fn line(&self, record: &mut Record) -> DecodedLine {
        let rows = &self.inbound.rows;
        let filled = rows
            .index(&self.capture, self.position)
            .and_then(|index| rows.fill(&self.capture, record, index).map(|()| index));
        if self.inbound.positive_refunds {
            turn_refund(record);
        }
        match filled {
            Ok(index) => DecodedLine::Good { index },
            Err(refusal) => DecodedLine::Refused(refusal),
        }
    }

    fn check_totals(&self) -> Result<(), HeadRefusal> {
        let found = self.position;
        if found == 0 {
            return Err(HeadRefusal::at(
                DecodeErrorKind::Empty,
                &self.inbound.record,
                "the packet has no record; expected at least one",
            ));
        }
        match self.head.declared_lines {
            Some(declared) if declared != found => {
                let reason = format!("says {declared} records; the packet has {found}");
                Err(HeadRefusal::at(
                    DecodeErrorKind::ControlTotal,
                    self.inbound.lines_path(),
                    reason,
                ))
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, stop: HeadRefusal) -> PacketRefusal {
        let head = HeadSeen {
            packet_no: Some(self.head.packet_no.clone()),
            packet_type: Some(self.head.packet_type.clone()).filter(|word| !word.is_empty()),
            untaken: None,
            encoding: self.head.encoding,
            values: self.head.values.clone(),
        };
        PacketRefusal {
            kind: stop.kind,
            element: stop.element.map(String::into_boxed_str),
            reason: stop.reason,
            head,
        }
    }
}

/// At most so many characters of a text, control characters shown as `?`.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let mut short: String = text.chars().take(chars_max).map(clean).collect();
    if text.chars().nth(chars_max).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
