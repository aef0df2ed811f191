//! What any record must look like, whatever the city: ids, lengths, characters, orders of dates.
//!
//! A record of the wrong form is always refused. Texts name limits, never contents.

use super::rules_of_day::RulesOfDay;
use crate::model::mask::is_certain;
use crate::model::registry::{
    Caregiver, DatedStatus, Deletion, ID_MAX, Institution, PRIVATE, REASON, VERSION_MAX,
};

const NAME_MAX: usize = 200;
const TEXT_MAX: usize = 400;
const NUMBER_MAX: usize = 100;
const STATUSES_MAX: usize = 200;

pub(super) fn institution(record: &Institution, asked: &mut RulesOfDay<'_>) {
    id("institution_id", &record.institution_id, asked);
    version(record.version, asked);
    text("name", Some(&record.name), NAME_MAX, asked);
    text("address", record.address.as_ref(), TEXT_MAX, asked);
    text("level", record.level.as_ref(), NUMBER_MAX, asked);
    text(
        "licence.number",
        record.licence.as_ref().map(|licence| &licence.number),
        NUMBER_MAX,
        asked,
    );
    text(
        "agreement.number",
        record.agreement.as_ref().map(|agreement| &agreement.number),
        NUMBER_MAX,
        asked,
    );
    // The rules say what a credit code is; here only that it can be stored and shown.
    text("uscc", Some(&record.uscc), NUMBER_MAX, asked);
    text("division", Some(&record.division), NUMBER_MAX, asked);
    if record.stars.is_some_and(|stars| stars > 5) {
        asked.malformed("stars", "more than 5 stars; expected 0 to 5");
    }
    statuses(&record.statuses, asked);
    match &record.personal {
        None => missing_personal(asked),
        Some(personal) => {
            text(
                "personal.legal_representative",
                personal.legal_representative.as_ref(),
                NAME_MAX,
                asked,
            );
            text(
                "personal.contact",
                personal.contact.as_ref(),
                NAME_MAX,
                asked,
            );
            text("personal.phone", personal.phone.as_ref(), NUMBER_MAX, asked);
        }
    }
}

pub(super) fn caregiver(record: &Caregiver, asked: &mut RulesOfDay<'_>) {
    id("caregiver_id", &record.caregiver_id, asked);
    id("institution_id", &record.institution_id, asked);
    version(record.version, asked);
    statuses(&record.statuses, asked);
    if record.training.iter().any(|entry| {
        record
            .training
            .iter()
            .filter(|other| other.year == entry.year)
            .count()
            > 1
    }) {
        asked.malformed(
            "training",
            "a year occurs twice; expected the hours of each year once",
        );
    }
    let Some(personal) = &record.personal else {
        return missing_personal(asked);
    };
    text("personal.name", Some(&personal.name), NAME_MAX, asked);
    text(
        "personal.certificate_number",
        Some(&personal.certificate_number),
        NUMBER_MAX,
        asked,
    );
    text("personal.phone", personal.phone.as_ref(), NUMBER_MAX, asked);
    for recipient in &personal.recipients {
        text("personal.recipients", Some(recipient), NAME_MAX, asked);
    }
    for (kind, number) in &personal.qualification_numbers {
        text(
            "personal.qualification_numbers",
            Some(number),
            NUMBER_MAX,
            asked,
        );
        if !record
            .qualifications
            .iter()
            .any(|qualification| qualification.kind == *kind)
        {
            asked.malformed(
                "personal.qualification_numbers",
                "a number for a qualification that `qualifications` does not list",
            );
        }
    }
}

pub(super) fn deletion(deletion: &Deletion, asked: &mut RulesOfDay<'_>) {
    id("id", &deletion.id, asked);
    version(deletion.version, asked);
    text("reason", Some(&deletion.reason), NAME_MAX, asked);
}

fn missing_personal(asked: &mut RulesOfDay<'_>) {
    asked.malformed(
        "personal",
        "missing; expected an object, empty where nothing is known of an institution's people",
    );
}

/// Whether it can be the id of an institution or caregiver; what is not may be anything, also a
/// person's name, so it is neither looked up nor repeated.
pub fn id_is_formed(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    // A path that ends with `.` or `..` is another path to whoever reads it (RFC 3986, 5.2.4).
    !matches!(id, "" | "." | "..") && id.len() <= ID_MAX && id.bytes().all(allowed)
}

fn id(field: &'static str, id: &str, asked: &mut RulesOfDay<'_>) {
    if !id_is_formed(id) {
        asked.malformed(
            field,
            format!(
                "expected 1 to {ID_MAX} letters, digits or one of - _ . :, and neither `.` nor `..`"
            ),
        );
    } else if is_certain(id) {
        asked.malformed(
            field,
            "the number of a person's certificate; expected an id that says nothing of anybody",
        );
    }
}

fn version(version: i64, asked: &mut RulesOfDay<'_>) {
    if !(1..=VERSION_MAX).contains(&version) {
        asked.malformed(
            "version",
            format!("expected a number from 1 to {VERSION_MAX}"),
        );
    }
}

fn text(field: &'static str, text: Option<&String>, max: usize, asked: &mut RulesOfDay<'_>) {
    let Some(text) = text else { return };
    let length = text.chars().count();
    if text.trim().is_empty() {
        asked.malformed(
            field,
            "empty; leave it out where there is nothing to say, or fill it in",
        );
    } else if length > max {
        asked.malformed(
            field,
            format!("{length} characters; expected at most {max}"),
        );
    } else if text.chars().any(char::is_control) {
        asked.malformed(field, "a control character; expected text on one line");
    } else if !field.starts_with(PRIVATE) && field != REASON && is_certain(text) {
        asked.malformed(field, "holds the number of a person's certificate, and is stored in the clear; what concerns persons belongs into `personal`");
    }
}

fn statuses<S>(statuses: &[DatedStatus<S>], asked: &mut RulesOfDay<'_>) {
    if statuses.is_empty() {
        asked.malformed(
            "statuses",
            "empty; expected at least one status with its first day",
        );
    }
    if statuses.len() > STATUSES_MAX {
        asked.malformed(
            "statuses",
            format!(
                "{} statuses; expected at most {STATUSES_MAX}",
                statuses.len()
            ),
        );
    }
    if let Some(bad) = statuses
        .iter()
        .find(|dated| dated.to.is_some_and(|to| to < dated.from))
    {
        asked.malformed(
            "statuses",
            format!(
                "a status begins on {} and ends before; expected `from` not after `to`",
                bad.from
            ),
        );
    }
}
