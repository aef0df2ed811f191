//! Captured texts -> one canonical record, by the compiled rules of a manifest's field table.
//!
//! The first rule that is not met refuses the record, naming element, content and reason; content
//! of private fields is never repeated.

use super::tree::{Capture, ElementState, PathTree};
use super::{CONTENT_CHARS_MAX, RecordRefusal, cut};
use crate::adapter::codes::{CodeMeaning, FieldCodes};
use crate::adapter::kind::{DateForm, FieldKind};
use crate::model::{FieldId, Record, Slot, mask};

/// Why a number of a packet, line or employer is refused that holds somebody's id: it would be stored in the clear.
pub(super) const HOLDS_ID: &str =
    "holds the number of a person's certificate; expected a number of the sender's own";

/// How one canonical field is filled.
#[derive(Debug)]
pub(crate) struct FieldRule {
    pub(crate) field: FieldId,
    /// The first of these columns that has a value is taken.
    pub(crate) columns: Vec<u16>,
    /// A column that, where present, must say the same.
    pub(crate) agrees_with: Option<u16>,
    pub(crate) read: FieldReader,
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    pub(crate) private: bool,
    /// Says how a record was transferred, not what it is about.
    pub(crate) transfer: bool,
    /// Left empty where it cannot be read.
    pub(crate) informative: bool,
}

/// How the text of a field is read.
#[derive(Debug)]
pub(crate) enum FieldReader {
    /// At most so many characters.
    Text(u16),
    /// By the rows of a code table.
    Codes(FieldCodes),
    Slot(FieldKind, DateForm),
}

/// The compiled field table of one inbound message.
#[derive(Debug)]
pub(crate) struct FieldTable {
    pub(crate) tree: PathTree,
    pub(crate) rules: Vec<FieldRule>,
    /// Where the sender's record number is.
    pub(crate) index: Option<u16>,
}

enum Value<'a> {
    Slot(Slot),
    Text(&'a str),
}

impl FieldTable {
    /// The sender's number of the record, or `position` where it has none; a number that is none refuses the record.
    pub(super) fn index(&self, capture: &Capture, position: u64) -> Result<u64, RecordRefusal> {
        let Some((column, text)) = self
            .index
            .and_then(|column| capture.value(column).map(|text| (column, text)))
        else {
            return Ok(position);
        };
        let digits = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| RecordRefusal {
                index: position,
                element: self.tree.path(column).to_string(),
                content: Some(shown(text)),
                reason: "expected a record number of at most 18 digits".into(),
            })
    }

    /// Fills `record`, which must be empty.
    pub(super) fn fill(
        &self,
        capture: &Capture,
        record: &mut Record,
        index: u64,
    ) -> Result<(), RecordRefusal> {
        self.rules
            .iter()
            .try_for_each(|rule| match rule.fill(capture, record) {
                Err(_) if rule.informative => Ok(()),
                filled => filled.map_err(|(column, reason)| {
                    self.refusal(rule, capture, (index, column, reason))
                }),
            })
    }

    /// Fills what can be read of a record that is refused; returns the fields that cannot.
    pub(super) fn fill_readable(&self, capture: &Capture, record: &mut Record) -> Vec<FieldId> {
        self.rules
            .iter()
            .filter(|rule| rule.fill(capture, record).is_err())
            .map(|rule| rule.field)
            .collect()
    }

    /// What the record latest captured says for a field; nothing for a private one.
    pub(super) fn content(&self, capture: &Capture, field: FieldId) -> Option<String> {
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.field == field && !rule.private)?;
        rule.columns
            .iter()
            .find_map(|column| capture.value(*column))
            .map(shown)
    }

    fn refusal(
        &self,
        rule: &FieldRule,
        capture: &Capture,
        (index, column, reason): (u64, u16, String),
    ) -> RecordRefusal {
        let content = if rule.private {
            None
        } else {
            capture.value(column).map(shown)
        };
        RecordRefusal {
            index,
            element: self.tree.path(column).to_string(),
            content,
            reason,
        }
    }
}

impl FieldRule {
    /// Whether the field is read from this column.
    pub(super) fn reads(&self, column: u16) -> bool {
        self.columns.contains(&column) || self.agrees_with == Some(column)
    }

    /// Fills the field, or says which column is wrong and why.
    fn fill(&self, capture: &Capture, record: &mut Record) -> Result<(), (u16, String)> {
        for column in self.columns.iter().chain(&self.agrees_with) {
            match capture.state(*column) {
                ElementState::Repeated => {
                    return Err((
                        *column,
                        "occurs more than once in the record; expected once".into(),
                    ));
                }
                ElementState::Nested => {
                    return Err((
                        *column,
                        "contains something other than text; expected text only".into(),
                    ));
                }
                ElementState::Absent | ElementState::Present => {}
            }
        }
        let found = self
            .columns
            .iter()
            .find_map(|column| capture.value(*column).map(|text| (*column, text)));
        let (column, text) = match (found, &self.default) {
            (Some(found), _) => found,
            (None, Some(default)) => (self.columns[0], default.as_str()),
            (None, None) if self.required => {
                return Err((
                    self.columns[0],
                    "is missing or empty; it is required".into(),
                ));
            }
            (None, None) => return Ok(()),
        };
        let value = self.read.value(text).map_err(|reason| (column, reason))?;
        if matches!(self.read, FieldReader::Text(_)) && !self.private && mask::is_certain(text) {
            return Err((column, HOLDS_ID.into()));
        }
        if let Some(other) = self.agrees_with
            && let Some(text) = capture.value(other)
        {
            let twin = self.read.value(text).map_err(|reason| (other, reason))?;
            if !value.same(&twin) {
                return Err((
                    other,
                    "does not say the same as the element it must agree with".into(),
                ));
            }
        }
        match value {
            Value::Text(text) => record.set_text(self.field, text),
            Value::Slot(slot) => record.set(self.field, slot),
        }
        Ok(())
    }
}

impl Value<'_> {
    fn same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Slot(a), Value::Slot(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl FieldReader {
    fn value<'a>(&'a self, text: &'a str) -> Result<Value<'a>, String> {
        match self {
            FieldReader::Text(max) => bounded(text, *max).map(Value::Text),
            FieldReader::Slot(kind, form) => kind.read(text, *form).map(Value::Slot),
            FieldReader::Codes(codes) => match codes.find(text)? {
                CodeMeaning::Word(index) => Ok(Value::Slot(Slot::Code(*index))),
                CodeMeaning::Division(_, Some(division)) => {
                    Ok(Value::Slot(Slot::Division(*division)))
                }
                CodeMeaning::Division(ours, None) => Ok(Value::Text(ours)),
                CodeMeaning::Refused(reason) => Err(reason.clone()),
            },
        }
    }

    /// The divisions a field's table names.
    pub(crate) fn divisions(&self) -> impl Iterator<Item = &str> {
        let codes = if let FieldReader::Codes(codes) = self {
            Some(codes)
        } else {
            None
        };
        codes.into_iter().flat_map(FieldCodes::divisions)
    }

    /// Whether `text` could be a value; for defaults in manifests.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        self.value(text).map(|_| ())
    }
}

/// What stood there, cut short and without persons: an id may stand where none belongs.
fn shown(text: &str) -> String {
    // More than is kept, so that nothing is cut in its middle before it is masked.
    let head: String = text.chars().take(4 * CONTENT_CHARS_MAX).collect();
    cut(&mask::content(&head), CONTENT_CHARS_MAX)
}

fn bounded(text: &str, max: u16) -> Result<&str, String> {
    if text.len() > usize::from(max) && text.chars().count() > usize::from(max) {
        return Err(format!(
            "has {} characters; at most {max} are taken",
            text.chars().count()
        ));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("contains the control character U+{:04X}", c as u32)),
        None => Ok(text),
    }
}
