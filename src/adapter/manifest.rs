//! adapter.toml as it is written: types of the grammar, each value with its place in the file.
//!
//! Reads shape only (keys and value types) and reports every block's first problem; whether the
//! words mean anything is `compile`'s business.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::error::{Finding, in_words, unknown_key, unreadable};

/// Version of the grammar this gateway reads.
pub const SPEC: i64 = 1;
const KEYS: &[&str] = &["adapter", "spec", "inbound", "outbound", "document"];

/// The text of a file with the name findings call it by.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) file: String,
    pub(super) text: String,
}

impl Source {
    /// Reads adapter.toml of a folder; `file` is its name in findings.
    pub(super) fn read(path: &Path, file: &str) -> Result<Source, Finding> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Source {
                file: file.to_string(),
                text,
            }),
            Err(error) => Err(Finding::new(
                file,
                None,
                format!("cannot be read: {error}; every adapter folder needs an adapter.toml"),
            )),
        }
    }

    /// A finding at the place of a value.
    pub(super) fn finding<T>(&self, at: &Spanned<T>, text: impl Into<String>) -> Finding {
        Finding::at_offset(&self.file, &self.text, at.span().start, text)
    }

    fn error(&self, error: &toml::de::Error) -> Finding {
        unreadable(&self.file, &self.text, error)
    }
}

/// A whole manifest.
pub(super) struct Manifest {
    pub(super) adapter: Option<Spanned<String>>,
    pub(super) inbound: Vec<Spanned<InboundManifest>>,
    /// Of `[[outbound]]`, what lists show; `outbound` reads and checks the rest.
    pub(super) places: Vec<RequestTarget>,
}

/// Where an outbound message goes.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RequestTarget {
    pub(super) message: String,
    #[serde(default)]
    pub(super) template: String,
    #[serde(default = "post")]
    pub(super) method: String,
    pub(super) path: String,
}

fn post() -> String {
    "POST".into()
}

/// One `[[inbound]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InboundManifest {
    pub(super) message: Spanned<String>,
    pub(super) endpoint: Spanned<String>,
    pub(super) format: Spanned<String>,
    pub(super) encoding: Option<Spanned<String>>,
    pub(super) record: Option<Spanned<String>>,
    pub(super) select: Option<Spanned<Condition>>,
    /// Code table of the types that are known and not taken.
    pub(super) other_types: Option<Spanned<String>>,
    pub(super) idempotency_key: Spanned<String>,
    pub(super) replaces: Option<Spanned<Condition>>,
    pub(super) control_totals: Option<ControlTotals>,
    pub(super) record_index: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) head: BTreeMap<String, Spanned<String>>,
    pub(super) receipt: Spanned<String>,
    pub(super) refund_sign: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) one_relation_by: Vec<Spanned<String>>,
    /// Taken out of the table beforehand, so that each field is reported by itself; `None` when it was.
    #[serde(skip)]
    pub(super) fields: Vec<(Spanned<String>, Option<Spanned<FieldManifest>>)>,
}

/// A value in the head that says something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition {
    pub(super) at: Spanned<String>,
    pub(super) is: String,
}

/// Totals the sender announces.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ControlTotals {
    pub(super) lines: Spanned<String>,
}

/// One entry of `[inbound.fields]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldManifest {
    pub(super) from: Option<Spanned<String>>,
    pub(super) first_of: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) agrees_with: Option<Spanned<String>>,
    pub(super) kind: Option<Spanned<String>>,
    pub(super) format: Option<Spanned<String>>,
    pub(super) max: Option<Spanned<u16>>,
    pub(super) codes: Option<Spanned<String>>,
    pub(super) default: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) required: bool,
    #[serde(default)]
    pub(super) private: bool,
    #[serde(default)]
    pub(super) transfer: bool,
}

impl Manifest {
    /// Reads a file's blocks; findings are added, and what could be read is returned.
    pub(super) fn read(source: &Source, findings: &mut Vec<Finding>) -> Option<Manifest> {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        if !errors.is_empty() {
            findings.extend(errors.iter().map(|error| source.error(error)));
            return None;
        }
        let mut table = table.into_inner();
        for (key, _) in table
            .iter()
            .filter(|(key, _)| !KEYS.contains(&key.get_ref().as_ref()))
        {
            findings.push(source.finding(key, unknown_key(key.get_ref(), KEYS)));
        }
        let adapter = required(&mut table, "adapter", source, findings);
        let spec: Option<Spanned<i64>> = required(&mut table, "spec", source, findings);
        if let Some(spec) = spec.filter(|spec| *spec.get_ref() != SPEC) {
            findings.push(source.finding(
                &spec,
                format!("spec is {}; this gateway reads {SPEC}", spec.get_ref()),
            ));
        }
        let mut inbound = Vec::new();
        for entry in entries(&mut table, "inbound", source, findings) {
            inbound.extend(read_inbound(entry, source, findings));
        }
        let blocks = entries(&mut table, "outbound", source, findings);
        let places = blocks
            .into_iter()
            .filter_map(|block| RequestTarget::deserialize(ValueDeserializer::from(block)).ok())
            .collect();
        Some(Manifest {
            adapter,
            inbound,
            places,
        })
    }
}

fn read_inbound(
    mut entry: Spanned<DeValue<'_>>,
    source: &Source,
    findings: &mut Vec<Finding>,
) -> Option<Spanned<InboundManifest>> {
    let fields = match entry.get_mut() {
        DeValue::Table(table) => table.remove("fields"),
        _ => None,
    };
    let mut inbound: Option<Spanned<InboundManifest>> = read(entry, source, findings);
    let Some(fields) = fields else {
        if let Some(inbound) = &inbound {
            findings.push(source.finding(
                inbound,
                "has no [inbound.fields]; map at least the required fields",
            ));
        }
        return inbound;
    };
    let span = fields.span();
    let DeValue::Table(fields) = fields.into_inner() else {
        findings.push(Finding::at_offset(
            &source.file,
            &source.text,
            span.start,
            "`fields` must be a table: [inbound.fields]",
        ));
        return inbound;
    };
    for (name, value) in fields {
        let place = name.span();
        let field: Option<Spanned<FieldManifest>> = read(value, source, findings);
        if let Some(inbound) = &mut inbound {
            inbound
                .get_mut()
                .fields
                .push((Spanned::new(place, name.into_inner().into_owned()), field));
        }
    }
    inbound
}

/// The blocks of an array of tables, `[[key]]`.
pub(super) fn entries<'i>(
    table: &mut DeTable<'i>,
    key: &str,
    source: &Source,
    findings: &mut Vec<Finding>,
) -> Vec<Spanned<DeValue<'i>>> {
    let Some(value) = table.remove(key) else {
        return Vec::new();
    };
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(blocks) => blocks.into_iter().collect(),
        _ => {
            findings.push(Finding::at_offset(
                &source.file,
                &source.text,
                span.start,
                format!("`{key}` must be written as [[{key}]]"),
            ));
            Vec::new()
        }
    }
}

/// One value as `T`, or a finding.
pub(super) fn read<T: DeserializeOwned>(
    value: Spanned<DeValue<'_>>,
    source: &Source,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    let span = value.span();
    match T::deserialize(ValueDeserializer::from(value)) {
        Ok(read) => Some(read),
        Err(error) => {
            let at = error.span().unwrap_or(span);
            let found = source.text.get(at.clone()).unwrap_or_default();
            findings.push(Finding::at_offset(
                &source.file,
                &source.text,
                at.start,
                in_words(error.message(), found),
            ));
            None
        }
    }
}

fn required<T: DeserializeOwned>(
    table: &mut DeTable<'_>,
    key: &str,
    source: &Source,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    match table.remove(key) {
        Some(value) => read(value, source, findings),
        None => {
            findings.push(Finding::new(
                &source.file,
                Some((1, 1)),
                format!(
                    "the key `{key}` is missing; add a line `{key} = ...` before the first table"
                ),
            ));
            None
        }
    }
}
