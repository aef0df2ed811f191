//! Inbound messages as they run: endpoints, the messages served at each, their compiled paths.
//!
//! Built by `compile` from a manifest that was found to be right; nothing is checked again here.

use std::sync::Arc;

use encoding_rs::Encoding;

use super::decode::EncodingRule;
use super::decode::rows::FieldTable;
use super::decode::tree::PathTree;
use crate::model::relation::Criterion;
use crate::model::{FieldId, RecordSpec, Story};

/// Form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    Xml,
    Json,
    Ndjson,
}

impl DocumentFormat {
    /// The words a manifest may use.
    pub const WORDS: &'static [&'static str] = &["xml", "json", "ndjson"];

    /// The format of a manifest's word.
    pub fn of_word(word: &str) -> Option<DocumentFormat> {
        Some(match word {
            "xml" => DocumentFormat::Xml,
            "json" => DocumentFormat::Json,
            "ndjson" => DocumentFormat::Ndjson,
            _ => return None,
        })
    }

    /// The manifest's word.
    pub fn word(self) -> &'static str {
        match self {
            DocumentFormat::Xml => "xml",
            DocumentFormat::Json => "json",
            DocumentFormat::Ndjson => "ndjson",
        }
    }
}

/// The last path segment a partner sends to, and the messages taken there.
#[derive(Debug)]
pub struct Endpoint {
    pub(super) name: String,
    pub(super) story: Story,
    pub(super) format: DocumentFormat,
    pub(super) encoding: EncodingRule,
    pub(super) receipt: String,
    /// Paths of all its messages' head values and records.
    pub(super) tree: PathTree,
    pub(super) inbounds: Vec<Arc<InboundMessage>>,
    /// Types of packets that are known and not taken, with their meanings.
    pub(super) other_types: Vec<(String, String)>,
}

/// One message.
#[derive(Debug)]
pub struct InboundMessage {
    pub(super) message: &'static RecordSpec,
    /// Path of one record, for refusals.
    pub(super) record: String,
    /// That path in the endpoint's tree.
    pub(super) record_node: u32,
    /// Head column and the word in it that selects this message.
    pub(super) select: Option<(u16, String)>,
    pub(super) key: u16,
    pub(super) replaces: Option<(u16, String)>,
    pub(super) lines: Option<u16>,
    pub(super) lines_path: String,
    /// Head values kept, by name.
    pub(super) head: Vec<(String, u16)>,
    pub(super) rows: FieldTable,
    /// The sender writes what a refund pays back as positive amounts.
    pub(super) positive_refunds: bool,
    pub(super) one_relation_by: Vec<Criterion>,
}

impl Endpoint {
    /// The last path segment.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What becomes of the messages taken here.
    pub fn story(&self) -> Story {
        self.story
    }

    pub fn format(&self) -> DocumentFormat {
        self.format
    }

    /// How the encoding of a document is found.
    pub fn encoding(&self) -> EncodingRule {
        self.encoding
    }

    /// What to answer in while the encoding of a document is not known.
    pub fn default_encoding(&self) -> &'static Encoding {
        self.encoding.default_encoding()
    }

    /// What a type of packet means that is known and not taken.
    pub(super) fn other_type(&self, word: &str) -> Option<&str> {
        self.other_types
            .iter()
            .find(|(theirs, _)| theirs == word)
            .map(|(_, meaning)| meaning.as_str())
    }

    /// Name of the document that answers a packet.
    pub fn receipt(&self) -> &str {
        &self.receipt
    }

    /// The messages taken here.
    pub fn inbounds(&self) -> impl Iterator<Item = &InboundMessage> {
        self.inbounds.iter().map(AsRef::as_ref)
    }

    pub(super) fn tree(&self) -> &PathTree {
        &self.tree
    }

    /// The message taken here whose lines are decoded to that canonical record.
    pub(super) fn message(&self, record: &str) -> Option<&Arc<InboundMessage>> {
        self.inbounds
            .iter()
            .find(|inbound| inbound.message.name == record)
    }
}

impl InboundMessage {
    /// The canonical record its lines are decoded to.
    pub fn message(&self) -> &'static RecordSpec {
        self.message
    }

    /// The sender's word for this type of packet.
    pub fn packet_type(&self) -> Option<&str> {
        self.select.as_ref().map(|(_, word)| word.as_str())
    }

    /// The sender's name of the element a field comes from; the field's own name where none is mapped.
    pub fn element_of(&self, field: FieldId) -> &str {
        match self.rows.rules.iter().find(|rule| rule.field == field) {
            Some(rule) => self.rows.tree.path(rule.columns[0]),
            None => self.message.fields[field.0].name,
        }
    }

    /// The rule that decides which of a person's insurance relations counts; empty where only a person does.
    pub fn one_relation_by(&self) -> &[Criterion] {
        &self.one_relation_by
    }

    /// Whether the sender's documents say anything of a field.
    pub fn maps(&self, field: FieldId) -> bool {
        self.rows.rules.iter().any(|rule| rule.field == field)
    }

    /// Fields that only say how a record was transferred.
    pub fn transfer_fields(&self) -> impl Iterator<Item = &'static str> {
        self.rows
            .rules
            .iter()
            .filter(|rule| rule.transfer)
            .map(|rule| self.message.fields[rule.field.0].name)
    }

    /// The codes of ours that a field's table leads to; none of a field without an open table.
    pub fn codes_of(&self, field: FieldId) -> impl Iterator<Item = &str> {
        let rule = self.rows.rules.iter().find(move |rule| rule.field == field);
        rule.into_iter().flat_map(|rule| rule.read.divisions())
    }

    pub(super) fn lines_path(&self) -> &str {
        &self.lines_path
    }
}
