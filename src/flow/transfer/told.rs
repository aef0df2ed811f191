//! Canonical records `deduction_result` -> what the core says, whatever message they came in.

use sha2::{Digest, Sha256};

use crate::adapter::outbound::ResultsPlace as RequestPlace;
use crate::adapter::{DecodedLine, RecordRefusal};
use crate::error::{Fault, Origin, Retry, Stage};
use crate::model::deduction::DeductionOutcome;
use crate::model::records::deduction_result::{
    BALANCE, DEDUCTED, EARLIER, LAST_YEAR, OUTCOME, PERSON_NO, THIS_YEAR,
};
use crate::model::told::{PersonResult, Results, Unreadable};
use crate::model::{Answer, Fen, Record};

/// The results in an answer; a fault means that what stands there is no list of results.
pub fn read(place: &RequestPlace, answer: &Answer) -> Result<Results, Fault> {
    let mut results = Results {
        digest: Sha256::digest(&answer.body).into(),
        ..Results::default()
    };
    let read = place.read(answer, &mut |line, record| add(&mut results, line, record));
    read.map_err(|text| Fault::new(Stage::Judge, Origin::Partner, Retry::Inquire, text))?;
    Ok(results)
}

/// Adds one record as it was decoded.
pub(super) fn add(results: &mut Results, line: &DecodedLine, record: &Record) {
    match line {
        DecodedLine::Good { index } => match told(*index, record) {
            Some(told) => results.told.push(told),
            None => results.unreadable.push(unreadable(
                *index,
                record,
                ("results", "lacks a person or an outcome"),
            )),
        },
        DecodedLine::Refused(RecordRefusal {
            index,
            element,
            reason,
            ..
        }) => results
            .unreadable
            .push(unreadable(*index, record, (element, reason))),
    }
}

fn told(index: u64, record: &Record) -> Option<PersonResult> {
    let part = |field| record.money(field);
    // Sub-accounts that are not named hold nothing, as soon as one is.
    let named = [part(THIS_YEAR), part(LAST_YEAR), part(EARLIER)];
    let parts = named
        .iter()
        .any(Option::is_some)
        .then(|| named.map(Option::unwrap_or_default));
    Some(PersonResult {
        index,
        person_no: record.text(PERSON_NO)?.to_owned(),
        outcome: DeductionOutcome::of_word(record.code(OUTCOME)?)?,
        fen: record.money(DEDUCTED).unwrap_or(Fen::ZERO),
        parts,
        balance: record.money(BALANCE),
    })
}

fn unreadable(index: u64, record: &Record, (element, reason): (&str, &str)) -> Unreadable {
    Unreadable {
        index,
        person_no: record.text(PERSON_NO).map(str::to_owned),
        element: element.to_owned(),
        reason: reason.to_owned(),
    }
}
