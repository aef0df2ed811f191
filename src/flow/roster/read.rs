//! Reads a roster's lines one by one: refuses, or checks, seals and hands on each.
//!
//! Runs on a thread of its own, in constant memory. The database is not known here.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::head::RosterHead;
use super::line::{self, RosterPerson, RosterRules};
use crate::adapter::DecodedLine;
use crate::flow::intake::{Arrival, IntakeEnding, ListedRefusal};
use crate::model::records::roster_person;
use crate::model::{Month, Record};
use crate::store::copy::CHUNK;
use crate::store::roster::{StagedPerson, named_row, staged_row};
use crate::store::sealed::{Keys, Label};

/// What sealed certificates belong to.
const SEALED_KIND: &str = "insured_person";

/// Everything a reading needs; owned, so that it can move to its thread.
pub struct RosterReading {
    pub arrival: Arrival,
    pub head: RosterHead,
    pub keys: Arc<Keys>,
    pub roster_id: i64,
    /// The present month.
    pub latest: Month,
    /// Whether the area's rates depend on age.
    pub with_birth: bool,
    /// Refused lines to keep for the reply.
    pub listed_max: usize,
    pub lines_max: u64,
}

/// What reading found.
#[derive(Debug, Default)]
pub struct RosterTally {
    pub received: i32,
    pub refused: i32,
    /// Refused lines of which it cannot be told whom they meant.
    pub unnamed: i32,
    pub listed: Vec<ListedRefusal>,
    /// Digest of what the lines say.
    pub content: [u8; 32],
}

impl RosterReading {
    /// Reads every line; rows go to `chunks` in COPY's form.
    pub fn read(&self, chunks: mpsc::Sender<Bytes>) -> Result<RosterTally, IntakeEnding> {
        let mut reader = self.arrival.open_after(self.lines_max, self.head.line())?;
        let rules = RosterRules {
            area: self.head.division,
            earliest: self.head.kind.is_full().then_some(self.head.month),
            latest: self.latest,
        };
        let (mut record, mut tally) = (reader.new_record(), RosterTally::default());
        let (mut rows, mut plain) = (Vec::with_capacity(CHUNK + 1024), Vec::new());
        while let Some(line) = reader.next(&mut record)? {
            tally.received += 1;
            let refusal = match line {
                DecodedLine::Refused(refusal) => {
                    Some((refusal.element, refusal.content, refusal.reason))
                }
                DecodedLine::Good { .. } => match line::person(&record, rules) {
                    Ok(person) => {
                        self.add(&person, tally.received, (&mut rows, &mut plain));
                        None
                    }
                    Err(fault) => Some((
                        reader.element_of(fault.field).to_string(),
                        reader.content_of(fault.field),
                        fault.reason,
                    )),
                },
            };
            if let Some(refusal) = refusal {
                self.refuse(&record, refusal, (&mut tally, &mut rows));
            }
            if rows.len() >= CHUNK {
                let full = std::mem::replace(&mut rows, Vec::with_capacity(CHUNK + 1024));
                chunks
                    .blocking_send(full.into())
                    .map_err(|_| IntakeEnding::RowsNotTaken)?;
            }
        }
        if !rows.is_empty() {
            chunks
                .blocking_send(rows.into())
                .map_err(|_| IntakeEnding::RowsNotTaken)?;
        }
        tally.content = reader.content();
        Ok(tally)
    }

    /// Seals the certificate and adds the person's row; `plain` is memory to be used again.
    fn add(
        &self,
        person: &RosterPerson<'_>,
        record_index: i32,
        (rows, plain): (&mut Vec<u8>, &mut Vec<u8>),
    ) {
        plain.clear();
        plain.extend_from_slice(person.certificate_type.as_bytes());
        plain.push(b'\n');
        plain.extend_from_slice(person.certificate_no.as_bytes());
        let sealed = self.keys.seal(
            Label {
                kind: SEALED_KIND,
                id: person.person_no,
                version: self.roster_id,
            },
            plain,
        );
        staged_row(
            rows,
            &StagedPerson {
                record_index,
                person_no: person.person_no,
                from_month: person.from_month,
                category: person.category,
                account: person.account,
                employer_no: person.employer_no,
                district: person.district,
                base: person.base,
                account_credit_base: person.account_credit_base,
                yearly: person.yearly,
                born_on: person.born_on.filter(|_| self.with_birth),
                sealed: &sealed,
            },
        );
    }

    /// Notes a refused line and, where it can be told, whom it names.
    fn refuse(
        &self,
        record: &Record,
        (element, content, reason): (String, Option<String>, String),
        (tally, rows): (&mut RosterTally, &mut Vec<u8>),
    ) {
        tally.refused += 1;
        match record.text(roster_person::PERSON_NO) {
            Some(person_no) => named_row(rows, tally.received, person_no),
            None => tally.unnamed += 1,
        }
        if tally.listed.len() < self.listed_max {
            tally.listed.push(ListedRefusal {
                index: u64::from(tally.received.unsigned_abs()),
                element,
                content: content.unwrap_or_default(),
                reason,
            });
        }
    }
}
