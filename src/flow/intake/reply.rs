//! The reply to a packet: a receipt in the sender's own format and encoding.
//!
//! Fills in what happened; the adapter's template says how it looks.

use std::collections::BTreeMap;

use encoding_rs::Encoding;
use serde::Serialize;

use crate::adapter::{Adapter, Document, Endpoint, HeadSeen};
use crate::error::Fault;
use crate::model::mask;
use crate::store::collect::PacketCounts;
use crate::store::roster::RosterCounts;

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeReply {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
    /// What became of the lines; absent when the packet was refused whole or is a repeat.
    pub counts: Option<PacketCounts>,
    /// The type of a packet that was refused because its type is not taken, as metrics name it.
    pub untaken: Option<String>,
}

/// What a receipt template may use.
#[derive(Debug, Serialize)]
pub struct ReceiptFields<'a> {
    pub packet_no: &'a str,
    pub packet_type: &'a str,
    pub accepted: bool,
    /// `0` taken, `1` refused whole.
    pub code: &'a str,
    pub message: String,
    pub received_at: String,
    pub encoding: &'a str,
    pub head: &'a BTreeMap<String, String>,
    pub counts: ReceiptCounts,
    pub refused: &'a [ListedRefusal],
    pub refused_listed: usize,
    /// Lines that were taken and about which the sender should know something.
    pub notes: &'a [ListedNote],
    /// Lines of people of whom a roster states several insurance relations.
    pub relations: &'a [ListedRefusal],
}

/// Lines a receipt speaks of.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListedLines<'a> {
    pub refused: &'a [ListedRefusal],
    pub notes: &'a [ListedNote],
    /// Of people with several insurance relations.
    pub relations: &'a [ListedRefusal],
}

/// A refused line as a receipt shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedRefusal {
    /// Position in the message, from 1.
    pub index: u64,
    /// The sender's name of the element at fault.
    pub element: String,
    pub content: String,
    pub reason: String,
}

/// A line that was taken, with what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedNote {
    /// Position in the packet, from 1.
    pub index: u64,
    pub text: String,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ReceiptCounts {
    pub received: i32,
    pub posted: i32,
    pub refused: i32,
    pub duplicate: i32,
    /// People a full roster no longer names; nothing of packets.
    pub left: i32,
    /// Lines of a roster that hold from a month already deducted; nothing of packets.
    pub deducted: i32,
    /// People with several insurance relations of which nobody has decided which counts.
    pub undecided: i32,
}

/// Where the reply goes and how it is written.
pub struct Replier<'a> {
    pub adapter: &'a Adapter,
    pub endpoint: &'a Endpoint,
    pub head: Option<HeadSeen>,
    pub received_at: jiff::Timestamp,
}

impl Replier<'_> {
    /// The receipt of a packet that was taken, with the lines that were not.
    pub fn taken(
        &self,
        counts: PacketCounts,
        refused: &[ListedRefusal],
    ) -> Result<IntakeReply, Fault> {
        let message = match (counts.refused, counts.duplicate) {
            (0, 0) => "成功 accepted".to_string(),
            (refused, duplicate) => {
                format!("成功 accepted；退回 refused {refused}，重复 duplicate {duplicate}")
            }
        };
        let shown = ReceiptCounts {
            received: counts.received,
            posted: counts.posted,
            refused: counts.refused,
            duplicate: counts.duplicate,
            ..Default::default()
        };
        let reply = self.reply(
            200,
            message,
            shown,
            ListedLines {
                refused,
                ..ListedLines::default()
            },
        )?;
        Ok(IntakeReply {
            counts: Some(counts),
            ..reply
        })
    }

    /// The receipt of a roster that was taken; `notice` says what its sender should know.
    pub fn roster(
        &self,
        counts: RosterCounts,
        notice: String,
        listed: ListedLines<'_>,
    ) -> Result<IntakeReply, Fault> {
        let RosterCounts {
            received,
            taken,
            refused: lines_refused,
            left,
            deducted,
            undecided,
        } = counts;
        let shown = ReceiptCounts {
            received,
            posted: taken,
            refused: lines_refused,
            duplicate: 0,
            left,
            deducted,
            undecided,
        };
        let reply = self.reply(200, notice, shown, listed)?;
        Ok(IntakeReply {
            counts: Some(PacketCounts {
                received,
                posted: taken,
                refused: lines_refused,
                ..PacketCounts::default()
            }),
            ..reply
        })
    }

    /// A reply that was given before.
    pub fn again(&self, body: Vec<u8>) -> Result<IntakeReply, Fault> {
        Ok(IntakeReply {
            status: 200,
            content_type: self.content_type(self.document()?),
            body,
            counts: None,
            untaken: None,
        })
    }

    /// The receipt of a packet refused whole.
    pub fn refused(&self, status: u16, reason: &str) -> Result<IntakeReply, Fault> {
        self.reply(
            status,
            reason.to_string(),
            ReceiptCounts::default(),
            ListedLines::default(),
        )
    }

    fn reply(
        &self,
        status: u16,
        message: String,
        counts: ReceiptCounts,
        listed: ListedLines<'_>,
    ) -> Result<IntakeReply, Fault> {
        let ListedLines {
            refused,
            notes,
            relations,
        } = listed;
        // What the sender wrote of itself is repeated, and kept with the packet: but never a person in it.
        let values = self.head.iter().flat_map(|head| &head.values);
        let head = values
            .map(|(name, value)| (name.clone(), mask::text(value).into_owned()))
            .collect();
        let shown = |value: fn(&HeadSeen) -> Option<&str>| {
            self.head
                .as_ref()
                .and_then(value)
                .map(mask::content)
                .unwrap_or_default()
        };
        let (packet_no, packet_type) = (
            shown(|head| head.packet_no.as_deref()),
            shown(|head| head.packet_type.as_deref()),
        );
        let encoding = self.encoding();
        let accepted = status == 200;
        let receipt = ReceiptFields {
            packet_no: &packet_no,
            packet_type: &packet_type,
            accepted,
            code: if accepted { "0" } else { "1" },
            message,
            received_at: self
                .received_at
                .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)))
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string(),
            encoding: encoding.name(),
            head: &head,
            counts,
            refused,
            refused_listed: refused.len(),
            notes,
            relations,
        };
        let document = self.document()?;
        let text = document.render(&receipt)?;
        let (body, _, _) = encoding.encode(&text);
        Ok(IntakeReply {
            status,
            content_type: self.content_type(document),
            body: body.into_owned(),
            counts: None,
            untaken: None,
        })
    }

    fn document(&self) -> Result<&Document, Fault> {
        let missing = || {
            Fault::operator(
                crate::error::Stage::Render,
                format!(
                    "adapter {} has no document `{}`",
                    self.adapter.name(),
                    self.endpoint.receipt()
                ),
            )
        };
        self.adapter
            .document(self.endpoint.receipt())
            .ok_or_else(missing)
    }

    fn encoding(&self) -> &'static Encoding {
        self.head
            .as_ref()
            .map_or(self.endpoint.default_encoding(), |head| head.encoding)
    }

    fn content_type(&self, document: &Document) -> String {
        let kind = document
            .content_type()
            .split(';')
            .next()
            .unwrap_or_default();
        format!("{kind}; charset={}", self.encoding().name())
    }
}
