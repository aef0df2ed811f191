//! Head values -> a packet's head, its type, or why there is none.

use std::collections::BTreeMap;

use encoding_rs::Encoding;

use super::rows::HOLDS_ID;
use super::tree::{Capture, ElementState};
use super::{
    DecodeErrorKind, HEAD_VALUE_CHARS_MAX, HeadRefusal, HeadSeen, PACKET_NO_CHARS_MAX, PacketHead,
    PacketRefusal,
};
use crate::adapter::inbound::{Endpoint, InboundMessage};
use crate::model::mask;

/// What metrics call a type of packet that no table names.
const OTHER_TYPE: &str = "other";

impl Endpoint {
    /// The complete head of a packet of that type.
    pub(super) fn head(
        &self,
        inbound: &InboundMessage,
        values: &Capture,
        encoding: &'static Encoding,
    ) -> Result<PacketHead, HeadRefusal> {
        let packet_no = self.head_value(values, inbound.key, PACKET_NO_CHARS_MAX)?;
        let packet_no = packet_no.ok_or_else(|| {
            HeadRefusal::at(
                DecodeErrorKind::MissingHead,
                self.tree().path(inbound.key),
                "is missing or empty before the first record; the packet number is required",
            )
        })?;
        if mask::is_certain(packet_no) || mask::is_name(packet_no) {
            return Err(HeadRefusal::at(
                DecodeErrorKind::Malformed,
                self.tree().path(inbound.key),
                HOLDS_ID,
            ));
        }
        let mut kept = BTreeMap::new();
        for (name, column) in &inbound.head {
            if let Some(text) = self.head_value(values, *column, HEAD_VALUE_CHARS_MAX)? {
                kept.insert(name.clone(), text.to_string());
            }
        }
        let replaces = match &inbound.replaces {
            Some((column, word)) => {
                self.head_value(values, *column, HEAD_VALUE_CHARS_MAX)? == Some(word.as_str())
            }
            None => false,
        };
        let replacing_word = inbound.replaces.as_ref().map(|(column, word)| {
            let path = self.tree().path(*column);
            format!(
                "{}={word}",
                path.rsplit('/')
                    .next()
                    .unwrap_or(path)
                    .trim_start_matches('@')
            )
        });
        let packet_type = inbound
            .select
            .as_ref()
            .map_or_else(String::new, |(_, word)| word.clone());
        let declared_lines = match inbound.lines {
            Some(column) => Some(self.declared(values, column)?),
            None => None,
        };
        let packet_no = packet_no.to_string();
        Ok(PacketHead {
            message: inbound.message,
            packet_no,
            packet_type,
            replaces,
            replacing_word,
            declared_lines,
            encoding,
            values: kept,
        })
    }

    fn declared(&self, values: &Capture, column: u16) -> Result<u64, HeadRefusal> {
        let path = self.tree().path(column);
        let Some(text) = self.head_value(values, column, HEAD_VALUE_CHARS_MAX)? else {
            return Err(HeadRefusal::at(
                DecodeErrorKind::MissingHead,
                path,
                "is missing or empty before the first record; the number of records is required",
            ));
        };
        let digits = text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let count = text.parse().ok().filter(|_| digits);
        count.ok_or_else(|| {
            HeadRefusal::at(
                DecodeErrorKind::ControlTotal,
                path,
                format!(
                    "is `{}`; expected the number of records",
                    mask::word(text, [])
                ),
            )
        })
    }

    fn head_value<'v>(
        &self,
        values: &'v Capture,
        column: u16,
        chars_max: usize,
    ) -> Result<Option<&'v str>, HeadRefusal> {
        let stop = |reason: String| {
            HeadRefusal::at(DecodeErrorKind::Malformed, self.tree().path(column), reason)
        };
        match values.state(column) {
            ElementState::Repeated => {
                return Err(stop(
                    "occurs more than once in the head; expected once".into(),
                ));
            }
            ElementState::Nested => {
                return Err(stop(
                    "contains something other than text; expected text only".into(),
                ));
            }
            ElementState::Absent | ElementState::Present => {}
        }
        let Some(text) = values.value(column) else {
            return Ok(None);
        };
        if text.chars().count() > chars_max {
            return Err(stop(format!(
                "has {} characters; at most {chars_max} are taken",
                text.chars().count()
            )));
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(stop(format!(
                "contains the control character U+{:04X}",
                c as u32
            )));
        }
        Ok(Some(text))
    }

    /// The inbound message whose selecting value stands in the head.
    pub(super) fn select(&self, values: &Capture) -> Result<&InboundMessage, HeadRefusal> {
        let mut found = None;
        for inbound in self.inbounds() {
            let Some((column, word)) = &inbound.select else {
                return Ok(inbound);
            };
            match self.head_value(values, *column, HEAD_VALUE_CHARS_MAX)? {
                Some(text) if text == word => return Ok(inbound),
                Some(text) => found = Some((*column, text)),
                None => {}
            }
        }
        let taken = self
            .inbounds()
            .filter_map(|inbound| inbound.select.as_ref().map(|(_, word)| word.as_str()));
        let taken = taken.collect::<Vec<_>>().join(", ");
        let column = self
            .inbounds()
            .find_map(|inbound| inbound.select.as_ref().map(|(column, _)| *column))
            .unwrap_or_default();
        match found {
            Some((column, text)) => {
                let near = self
                    .inbounds()
                    .filter_map(|inbound| inbound.select.as_ref().map(|(_, word)| word.as_str()));
                let found = mask::word(text, near);
                let reason = match self.other_type(text) {
                    Some(meaning) => format!(
                        "is `{text}` ({meaning}), a type that is known and not taken here; taken: {taken}"
                    ),
                    None => {
                        format!("is `{found}`, a type this endpoint does not take; taken: {taken}")
                    }
                };
                Err(HeadRefusal::at(
                    DecodeErrorKind::UnknownType,
                    self.tree().path(column),
                    reason,
                ))
            }
            None => {
                let reason = format!(
                    "is missing or empty before the first record; expected the type of packet, one of {taken}"
                );
                Err(HeadRefusal::at(
                    DecodeErrorKind::MissingHead,
                    self.tree().path(column),
                    reason,
                ))
            }
        }
    }

    /// A refusal with as much of the head as can be shown.
    pub(super) fn refuse(
        &self,
        stop: HeadRefusal,
        values: &Capture,
        encoding: &'static Encoding,
    ) -> PacketRefusal {
        let shown = |column: u16, chars: usize| {
            self.head_value(values, column, chars)
                .ok()
                .flatten()
                .map(str::to_string)
        };
        let mut head = HeadSeen {
            packet_no: None,
            packet_type: None,
            untaken: None,
            encoding,
            values: BTreeMap::new(),
        };
        for inbound in self.inbounds() {
            head.packet_no = head
                .packet_no
                .or_else(|| shown(inbound.key, PACKET_NO_CHARS_MAX));
            head.packet_type = head.packet_type.or_else(|| {
                inbound
                    .select
                    .as_ref()
                    .and_then(|(column, _)| shown(*column, HEAD_VALUE_CHARS_MAX))
            });
            for (name, column) in &inbound.head {
                if let Some(text) = shown(*column, HEAD_VALUE_CHARS_MAX) {
                    head.values.entry(name.clone()).or_insert(text);
                }
            }
        }
        if stop.kind == DecodeErrorKind::UnknownType {
            let known = head
                .packet_type
                .as_deref()
                .filter(|word| self.other_type(word).is_some());
            head.untaken = Some(known.unwrap_or(OTHER_TYPE).to_string());
        }
        PacketRefusal {
            kind: stop.kind,
            element: stop.element.map(String::into_boxed_str),
            reason: stop.reason,
            head,
        }
    }
}
