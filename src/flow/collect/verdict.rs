//! What the comparison of a packet's lines with each other and with those stored means for each line.
//!
//! Decides; reads nothing and writes nothing. Reasons name the elements of the sender's dialect.

use std::collections::{HashMap, HashSet};

use super::line::LineFault;
use crate::adapter::PacketReader;
use crate::flow::intake::IntakeEnding;
use crate::model::FieldId;
use crate::model::lines::LineMoney;
use crate::model::records::{employee_collection, employer_collection};
use crate::store::lines::LineTable;
use crate::store::verdicts::{Fact, Original, StagedFinding};

/// What to do with a line.
pub enum LineVerdict {
    /// Post it; with the line it takes back.
    Post(Option<Original>),
    Duplicate,
    Refuse(LineFault),
}

/// Findings not reached yet, in order of the packet, and what became of the lines they speak of.
pub struct Verdicts<'a> {
    findings: &'a [StagedFinding],
    /// Whether the packet was compared at all.
    compared: bool,
    words: Words,
    /// Lines of this packet that it takes back itself; filled as they are posted.
    own: HashMap<i32, Option<Original>>,
    /// Lines this packet has taken back so far.
    taken_back: HashSet<(i64, i32)>,
}

/// The sender's words for what reasons speak of.
struct Words {
    detail_no: FieldId,
    record_id: FieldId,
    /// Element of the line's number.
    number: String,
    /// Element of the record's id, where one is mapped.
    id: Option<String>,
    /// How it says that a packet replaces another.
    replacing: Option<String>,
    /// Whether it can revoke a line.
    revokes: bool,
}

impl<'a> Verdicts<'a> {
    /// With what a comparison found; `None` when there was none yet.
    pub fn new(
        findings: Option<&'a [StagedFinding]>,
        table: LineTable,
        reader: &PacketReader<'_>,
    ) -> Verdicts<'a> {
        let compared = findings.is_some();
        let findings = findings.unwrap_or_default();
        let own = findings.iter().filter_map(|finding| match finding.fact {
            Fact::RevokesOwn { earlier_index } => Some((earlier_index, None)),
            _ => None,
        });
        Verdicts {
            findings,
            compared,
            words: Words::of(table, reader),
            own: own.collect(),
            taken_back: HashSet::new(),
        }
    }

    /// What is to be done with the record at this position.
    pub fn of(&mut self, position: i32, revoke: bool) -> Result<LineVerdict, IntakeEnding> {
        let fact = match self.findings.split_first() {
            Some((finding, rest)) if finding.record_index == position => {
                self.findings = rest;
                &finding.fact
            }
            _ if revoke && !self.compared => return Err(IntakeEnding::NeedsComparison),
            _ => return Ok(LineVerdict::Post(None)),
        };
        let words = &self.words;
        Ok(match fact {
            Fact::SameRecord { earlier_index } => words.same_record(*earlier_index),
            Fact::RecordTwice { other_index } => words.record_twice(*other_index),
            Fact::NumberTwice { other_index, same } => words.number_twice(*other_index, *same),
            Fact::Revokes(original) => self.take_back(Some(original)),
            Fact::RevokesOwn { earlier_index } => self.take_back(self.own.get(earlier_index).and_then(Option::as_ref)),
            Fact::RevokesNothing => self.take_back(None),
            Fact::RevokedAlready => LineVerdict::Duplicate,
            Fact::Stored { line, .. } if self.taken_back.contains(line) => {
                words.refuse("this packet revokes the line of this detail number; a corrected line needs a new number".into())
            }
            Fact::Stored { same: true, revoked: false, .. } => LineVerdict::Duplicate,
            Fact::Stored { packet_no, revoked: true, .. } => {
                words.refuse(format!("this detail number was posted by packet {packet_no} and revoked since; a corrected line needs a new number"))
            }
            Fact::Stored { packet_no, .. } => words.conflict(packet_no),
        })
    }

    /// A line of this packet was posted that a later record takes back.
    pub fn posted(&mut self, record_index: i32, original: impl FnOnce() -> Original) {
        if let Some(own) = self.own.get_mut(&record_index) {
            *own = Some(original());
        }
    }

    /// A record of this packet has taken a line back.
    pub fn took_back(&mut self, original: &Original) {
        self.taken_back
            .insert((original.packet_id, original.record_index));
    }

    fn take_back(&self, original: Option<&Original>) -> LineVerdict {
        let Some(original) = original else {
            return self.words.refuse(
                "no line of this detail number is posted, so there is nothing to revoke".into(),
            );
        };
        // A number means one line, so a second revocation says nothing new, whichever packet brought the first.
        if self
            .taken_back
            .contains(&(original.packet_id, original.record_index))
        {
            LineVerdict::Duplicate
        } else {
            LineVerdict::Post(Some(original.clone()))
        }
    }
}

impl Words {
    fn of(table: LineTable, reader: &PacketReader<'_>) -> Words {
        let (detail_no, record_id, transfer_type) = match table {
            LineTable::Employer => (
                employer_collection::DETAIL_NO,
                employer_collection::RECORD_ID,
                employer_collection::TRANSFER_TYPE,
            ),
            LineTable::Employee => (
                employee_collection::DETAIL_NO,
                employee_collection::RECORD_ID,
                employee_collection::TRANSFER_TYPE,
            ),
        };
        Words {
            detail_no,
            record_id,
            number: reader.element_of(detail_no).to_string(),
            id: reader
                .maps(record_id)
                .then(|| reader.element_of(record_id).to_string()),
            replacing: reader.head().replacing_word.clone(),
            revokes: reader.maps(transfer_type),
        }
    }

    fn refuse(&self, reason: String) -> LineVerdict {
        LineVerdict::Refuse(LineFault {
            field: self.detail_no,
            reason,
        })
    }

    fn same_record(&self, earlier: i32) -> LineVerdict {
        LineVerdict::Refuse(LineFault {
            field: self.record_id,
            reason: format!(
                "is the record of record {earlier} once more, with the same content; it counts once"
            ),
        })
    }

    fn record_twice(&self, other: i32) -> LineVerdict {
        let reason = format!(
            "occurs twice with other content, here and in record {other}: which of them is right? Neither is taken"
        );
        LineVerdict::Refuse(LineFault {
            field: self.record_id,
            reason,
        })
    }

    fn number_twice(&self, other: i32, same: bool) -> LineVerdict {
        let number = &self.number;
        let content = if same { "the same" } else { "other" };
        let instead = match &self.id {
            Some(id) if id != number => {
                format!("`detail_no` of the gateway's adapter may be mapped to {id}")
            }
            _ => "`detail_no` of the gateway's adapter may be mapped to the element that is"
                .to_string(),
        };
        self.refuse(format!("{number} occurs twice with {content} content, here and in record {other}: is it the line's number? Neither is taken; {instead}"))
    }

    fn conflict(&self, packet_no: &str) -> LineVerdict {
        let revoke = self.revokes.then(|| "send a revocation".to_string());
        let replace = self
            .replacing
            .as_ref()
            .map(|word| format!("replace that packet ({word})"));
        let ways: Vec<String> = revoke.into_iter().chain(replace).collect();
        let advice = if ways.is_empty() {
            "a new line needs a number of its own".to_string()
        } else {
            ways.join(", or ")
        };
        self.refuse(format!(
            "this detail number was posted by packet {packet_no} with other content; {advice}"
        ))
    }
}

/// A revocation takes back exactly what its original was, so it must state the same amounts (either sign is in use).
pub fn takes_back(paid: &mut LineMoney, original: &Original) -> Result<(), LineFault> {
    let undone = original.paid.negated();
    let stated = LineMoney {
        medical: undone.medical,
        long_term_care: undone.long_term_care,
        ..*paid
    };
    let opposite = LineMoney {
        medical: undone.medical,
        long_term_care: undone.long_term_care,
        ..paid.negated()
    };
    if stated != undone && opposite != undone {
        let reason = format!(
            "states other amounts than the line it revokes, whose employer's part is {}",
            original.paid.employer
        );
        return Err(LineFault::paid(reason));
    }
    *paid = undone;
    Ok(())
}
