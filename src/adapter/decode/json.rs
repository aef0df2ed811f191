//! JSON documents and NDJSON streams: head values and records.
//!
//! A JSON document is held whole, up to a limit; its records are cut out as ranges and read one at
//! a time. NDJSON is read line by line in constant memory: the first line is the head, every other
//! line one record. Numbers are taken as they are written, never through a float.

use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead, Read};
use std::marker::PhantomData;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::charset::{CharsetReader, MARK};
use super::tree::{Capture, ElementTarget, NONE, PathTree};
use super::{
    DEPTH_MAX, DecodeErrorKind, HeadRefusal, JSON_BYTES_MAX, RECORD_BYTES_MAX, TEXT_BYTES_MAX,
};
use crate::model::json::{DUPLICATE, Strict};

/// A record cut out of a document: the node it stands at, and its bytes.
pub(super) type Cut = (u32, u32, u32);

/// A document held whole.
pub(super) struct JsonSource<'a> {
    text: String,
    records: Vec<Cut>,
    next: usize,
    node: u32,
    tree: Option<&'a PathTree>,
}

impl<'a> JsonSource<'a> {
    /// Reads the document, takes its head values and finds its records.
    pub(super) fn read(
        mut chars: CharsetReader<'a>,
        head: &PathTree,
        values: &mut Capture,
    ) -> Result<JsonSource<'a>, HeadRefusal> {
        let mut text = String::new();
        let read = chars
            .by_ref()
            .take(JSON_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text);
        if let Err(error) = read {
            return Err(chars.stop().unwrap_or_else(|| {
                HeadRefusal::new(DecodeErrorKind::Unreadable, error.to_string())
            }));
        }
        if text.len() > JSON_BYTES_MAX {
            return Err(HeadRefusal::new(
                DecodeErrorKind::Malformed,
                format!(
                    "the document is longer than {JSON_BYTES_MAX} bytes; send NDJSON or several packets"
                ),
            ));
        }
        let mut records = Vec::new();
        take(&text, head, values, Some(&mut records))
            .map_err(|reason| HeadRefusal::new(DecodeErrorKind::Malformed, reason))?;
        Ok(JsonSource {
            text,
            records,
            next: 0,
            node: NONE,
            tree: None,
        })
    }

    /// From here on the records are those at `node`; false when there is none.
    pub(super) fn take_records(&mut self, node: u32, tree: &'a PathTree) -> bool {
        (self.node, self.tree) = (node, Some(tree));
        self.records.iter().any(|(at, ..)| *at == node)
    }

    pub(super) fn next_record(&mut self, capture: &mut Capture) -> Result<bool, HeadRefusal> {
        capture.clear();
        while let Some((node, start, end)) = self.records.get(self.next).copied() {
            self.next += 1;
            if let (true, Some(tree)) = (node == self.node, self.tree) {
                let text = &self.text[start as usize..end as usize];
                record(text, tree, capture).map_err(|reason| {
                    HeadRefusal::new(
                        DecodeErrorKind::Malformed,
                        format!("record {}: {reason}", self.next),
                    )
                })?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A stream of lines.
pub(super) struct LineSource<'a> {
    chars: CharsetReader<'a>,
    line: Vec<u8>,
    number: u64,
    tree: Option<&'a PathTree>,
    /// Why the latest line is no record.
    spoilt: Option<String>,
}

impl<'a> LineSource<'a> {
    /// Takes the head values from the first line.
    pub(super) fn read_head(
        chars: CharsetReader<'a>,
        head: &PathTree,
        values: &mut Capture,
    ) -> Result<LineSource<'a>, HeadRefusal> {
        let mut source = LineSource {
            chars,
            line: Vec::new(),
            number: 0,
            tree: None,
            spoilt: None,
        };
        if !source.read_line()? {
            return Err(HeadRefusal::new(
                DecodeErrorKind::Empty,
                "the document is empty; expected a head line and at least one record",
            ));
        }
        let text = source.text()?;
        take(text, head, values, None).map_err(|reason| source.malformed(&reason))?;
        Ok(source)
    }

    pub(super) fn take_records(&mut self, tree: &'a PathTree) {
        self.tree = Some(tree);
    }

    pub(super) fn next_record(&mut self, capture: &mut Capture) -> Result<bool, HeadRefusal> {
        capture.clear();
        let Some(tree) = self.tree else {
            return Ok(false);
        };
        if !self.read_line()? {
            return Ok(false);
        }
        if let Err(reason) = record(self.text()?, tree, capture) {
            // A last line without its end was cut off, and nobody knows how much went with it.
            if self.line.last() != Some(&b'\n') {
                return Err(self.malformed(&reason));
            }
            capture.clear();
            self.spoilt = Some(reason);
        }
        Ok(true)
    }

    /// Why the line read last holds no record, if so: lines are read one by one, so the others are none the worse.
    pub(super) fn take_spoilt(&mut self) -> Option<String> {
        self.spoilt.take()
    }

    /// The line read last, as it came.
    pub(super) fn latest(&self) -> &[u8] {
        &self.line
    }

    /// The next line that is not blank; false at the end.
    fn read_line(&mut self) -> Result<bool, HeadRefusal> {
        loop {
            self.line.clear();
            self.chars.allow(RECORD_BYTES_MAX as usize);
            let read = self.chars.read_until(b'\n', &mut self.line);
            self.number += 1;
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {
                    // Files that are put together keep the mark each began with.
                    if self.line.starts_with(MARK) {
                        self.line.drain(..MARK.len());
                    }
                    if !self.line.iter().all(u8::is_ascii_whitespace) {
                        return Ok(true);
                    }
                }
                Err(error) => {
                    return Err(self.chars.stop().unwrap_or_else(|| {
                        HeadRefusal::new(DecodeErrorKind::Unreadable, error.to_string())
                    }));
                }
            }
        }
    }

    fn text(&self) -> Result<&str, HeadRefusal> {
        std::str::from_utf8(&self.line).map_err(|_| self.malformed("is not text"))
    }

    fn malformed(&self, reason: &str) -> HeadRefusal {
        HeadRefusal::new(
            DecodeErrorKind::Malformed,
            format!("line {}: {reason}", self.number),
        )
    }
}

pub(super) fn record(text: &str, tree: &PathTree, capture: &mut Capture) -> Result<(), String> {
    if text.len() as u64 > RECORD_BYTES_MAX {
        return Err(format!("is longer than {RECORD_BYTES_MAX} bytes"));
    }
    take(text, tree, capture, None)
}

/// Takes the values of `tree` out of one JSON object, and the ranges of its records where asked.
pub(super) fn take(
    text: &str,
    tree: &PathTree,
    capture: &mut Capture,
    records: Option<&mut Vec<Cut>>,
) -> Result<(), String> {
    if depth(text) > DEPTH_MAX {
        return Err(format!("objects and arrays nested deeper than {DEPTH_MAX}"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let mut taken = Taken {
        capture,
        records,
        origin: text.as_ptr() as usize,
        reason: None,
    };
    let result = Walk {
        tree,
        node: 0,
        taken: &mut taken,
    }
    .deserialize(&mut json)
    .and_then(|()| json.end());
    result.map_err(|error| taken.reason.take().unwrap_or_else(|| describe(&error)))
}

/// Says where, never what: the text of serde's errors may quote content.
fn describe(error: &serde_json::Error) -> String {
    let place = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data if error.to_string().starts_with(DUPLICATE) => {
            format!("an object has a key twice, at {place}; expected each once")
        }
        serde_json::error::Category::Eof => {
            format!("the document ends too early, at {place}; it is truncated")
        }
        serde_json::error::Category::Data => format!("is not of the expected shape at {place}"),
        _ => format!("is not valid JSON at {place}"),
    }
}

/// How deep objects and arrays nest.
fn depth(text: &str) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// What a walk fills.
struct Taken<'c, 'r> {
    capture: &'c mut Capture,
    records: Option<&'r mut Vec<Cut>>,
    /// Address of the text, to turn borrowed records into ranges.
    origin: usize,
    /// A reason of our own, safe to show.
    reason: Option<String>,
}

impl Taken<'_, '_> {
    /// Takes one value by its raw text.
    fn value(&mut self, column: u16, raw: &str) -> Result<(), String> {
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => self.capture.nested(column),
            Some(b'"') => {
                let text: String = serde_json::from_str(raw)
                    .map_err(|_| "contains a text with an invalid escape".to_string())?;
                if text.len() > TEXT_BYTES_MAX {
                    return Err(format!("a text is longer than {TEXT_BYTES_MAX} bytes"));
                }
                self.capture.whole(column, &text);
            }
            _ => {
                self.capture
                    .whole(column, if raw == "null" { "" } else { raw });
            }
        }
        Ok(())
    }
}

/// Walks one object.
struct Walk<'t, 'w, 'c, 'r> {
    tree: &'t PathTree,
    node: u32,
    taken: &'w mut Taken<'c, 'r>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    /// Inside another object `null` is as good as absent.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if self.node == 0 {
            Err(E::invalid_type(serde::de::Unexpected::Unit, &self))
        } else {
            Ok(())
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys: HashSet<String> = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let node = self.tree.find(self.node, &key);
            // A value that occurs twice spoils its record, and is named there.
            if !keys.insert(key) && !matches!(self.tree.target(node), ElementTarget::Value(_)) {
                return Err(A::Error::custom(DUPLICATE));
            }
            match self.tree.target(node) {
                ElementTarget::Value(column) => {
                    let raw: &RawValue = map.next_value()?;
                    if let Err(reason) = self.taken.value(column, raw.get()) {
                        self.taken.reason = Some(reason);
                        return Err(A::Error::custom("unfit value"));
                    }
                }
                ElementTarget::Record if self.taken.records.is_some() => {
                    map.next_value_seed(Records {
                        node,
                        taken: self.taken,
                    })?
                }
                ElementTarget::Nothing
                    if node != NONE && self.tree.children(node).next().is_some() =>
                {
                    map.next_value_seed(Walk {
                        tree: self.tree,
                        node,
                        taken: self.taken,
                    })?;
                }
                ElementTarget::Record | ElementTarget::Nothing => {
                    map.next_value_seed(Strict(PhantomData::<IgnoredAny>))?;
                }
            }
        }
        Ok(())
    }
}

/// Notes where each record of an array is.
struct Records<'w, 'c, 'r> {
    node: u32,
    taken: &'w mut Taken<'c, 'r>,
}

impl<'de> DeserializeSeed<'de> for Records<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    /// `null` holds no record.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            let start = raw.get().as_ptr() as usize - self.taken.origin;
            if let Some(records) = &mut self.taken.records {
                records.push((self.node, start as u32, (start + raw.get().len()) as u32));
            }
        }
        Ok(())
    }
}
