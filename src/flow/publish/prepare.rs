//! From a submission to what is stored: the rules asked, the personal part sealed.

use jiff::civil::Date;

use super::{Prepared, Registrar, SubmissionAnswer, SubmissionOutcome};
use crate::model::registry::{
    Caregiver, Deletion, EntityKind, EntryStanding, Institution, InstitutionStatus, Submission,
    in_force,
};
use crate::model::{division, mask};
use crate::registry::{Lookup, RuleFinding, Severity};
use crate::store::registry::Put;
use crate::store::sealed::Label;

/// What certificate numbers and phones are indexed as.
pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const PHONE: &str = "phone";

/// Asks the rules of today; seals what they let pass.
pub(super) fn prepare(
    registrar: &Registrar,
    submission: &Submission,
    known: &dyn Lookup,
) -> Prepared {
    let today = registrar.clock.today();
    let findings = match submission {
        Submission::Institution(record) => registrar.rules.check_institution(record, today),
        Submission::Caregiver(record) => registrar.rules.check_caregiver(record, today, known),
        Submission::DeleteInstitution(deletion) | Submission::DeleteCaregiver(deletion) => {
            let mut findings = registrar.rules.check_deletion(deletion);
            findings.extend(not_yet(deletion, today));
            findings
        }
    };
    let answer = SubmissionAnswer::of(submission, findings);
    if answer.result == SubmissionOutcome::Refused {
        return (answer, None);
    }
    let put = match submission {
        Submission::Institution(record) => institution(registrar, record, today),
        Submission::Caregiver(record) => caregiver(registrar, record, today),
        Submission::DeleteInstitution(deletion) | Submission::DeleteCaregiver(deletion) => {
            end(registrar, submission.kind(), deletion)
        }
    };
    (answer, Some(put))
}

fn not_yet(deletion: &Deletion, today: Date) -> Option<RuleFinding> {
    let text = format!(
        "{} has not come yet; send it on the day, or a status that begins then",
        deletion.on
    );
    (deletion.on > today).then_some(RuleFinding {
        rule: "form",
        field: "on",
        severity: Severity::Refusal,
        text,
    })
}

fn institution(registrar: &Registrar, record: &Institution, today: Date) -> Put {
    let phone = record
        .personal
        .as_ref()
        .and_then(|personal| personal.phone.as_deref());
    let personal = record.personal.as_ref().map(json);
    let public = json(&Institution {
        personal: None,
        ..record.clone()
    });
    Put {
        phone_index: phone.map(|phone| registrar.keys.index(PHONE, &plain_phone(phone))),
        name: Some(record.name.clone()),
        uscc: Some(record.uscc.clone()),
        city: division::city(&record.division),
        institution_kind: (in_force(&record.statuses, today) != Some(InstitutionStatus::Ended))
            .then(|| record.kind.word()),
        next_on: record.next_change(today),
        ..put(
            registrar,
            (
                EntityKind::Institution,
                &record.institution_id,
                record.version,
            ),
            (json(record), public, personal),
            record.standing(today),
            today,
        )
    }
}

fn caregiver(registrar: &Registrar, record: &Caregiver, today: Date) -> Put {
    let person = record.personal.as_ref();
    let phone = person.and_then(|person| person.phone.as_deref());
    let personal = person.map(json);
    let public = json(&Caregiver {
        personal: None,
        ..record.clone()
    });
    Put {
        certificate_index: person.map(|person| {
            registrar
                .keys
                .index(CERTIFICATE, &plain_certificate(&person.certificate_number))
        }),
        phone_index: phone.map(|phone| registrar.keys.index(PHONE, &plain_phone(phone))),
        next_on: record.next_change(today),
        institution_id: Some(record.institution_id.clone()),
        ..put(
            registrar,
            (EntityKind::Caregiver, &record.caregiver_id, record.version),
            (json(record), public, personal),
            record.standing(today),
            today,
        )
    }
}

fn end(registrar: &Registrar, kind: EntityKind, deletion: &Deletion) -> Put {
    let nowhere = EntryStanding {
        status: None,
        designated: false,
    };
    Put {
        content: None,
        // Free text: whom it names has no business in a table.
        reason: Some(mask::text(&deletion.reason).into_owned()),
        ..put(
            registrar,
            (kind, &deletion.id, deletion.version),
            (json(deletion), Vec::new(), None),
            nowhere,
            deletion.on,
        )
    }
}

/// What all have in common; the contents are the whole, the public and the personal part as JSON.
fn put(
    registrar: &Registrar,
    (kind, id, version): (EntityKind, &str, i64),
    (whole, public, personal): (Vec<u8>, Vec<u8>, Option<Vec<u8>>),
    standing: EntryStanding,
    on: Date,
) -> Put {
    let label = Label {
        kind: kind.word(),
        id,
        version,
    };
    Put {
        kind,
        entity_id: id.to_string(),
        version,
        content: Some(String::from_utf8(public).expect("serde_json writes UTF-8")),
        sealed: personal.map(|personal| registrar.keys.seal(label, &personal)),
        reason: None,
        digests: registrar.keys.digests(&whole),
        status: standing.status,
        designated: standing.designated,
        effective_on: on,
        next_on: None,
        name: None,
        uscc: None,
        certificate_index: None,
        phone_index: None,
        institution_kind: None,
        institution_id: None,
        city: None,
    }
}

/// The record as the gateway writes it: the same for the same content, whatever order it came in.
fn json(record: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("registry records are made of text, numbers and dates")
}

/// A certificate number as it is indexed: without spaces, letters in capitals.
pub(super) fn plain_certificate(number: &str) -> String {
    number
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_uppercase()
}

/// A phone number as it is indexed: its digits, without the country.
pub(super) fn plain_phone(phone: &str) -> String {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix("86") {
        Some(national) if phone.trim_start().starts_with('+') || digits.len() == 13 => {
            national.to_string()
        }
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_indexed_the_same_however_they_are_written() {
        assert_eq!(
            plain_certificate(" 11010519491231002x "),
            "11010519491231002X"
        );
        for phone in [
            "13812345678",
            "+86 138-1234-5678",
            "8613812345678",
            "138 1234 5678",
        ] {
            assert_eq!(plain_phone(phone), "13812345678", "{phone}");
        }
        assert_eq!(plain_phone("0771-8612345"), "07718612345");
    }
}
