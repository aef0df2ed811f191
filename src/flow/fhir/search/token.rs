//! Codes in a question, each `code` or `system|code`, as what the registry stores of an entry.

use super::super::institution::{FACILITY_SYSTEM, OTHER_MODE};
use super::super::{Asker, Type};
use crate::flow::pull::FieldSet;
use crate::store::registry::Has;

const INSTITUTION_GOING: [&str; 6] = [
    "applied",
    "accepted",
    "passed",
    "agreement_in_force",
    "suspended_new_clients",
    "suspended",
];

/// What an entry must have one of.
pub fn any_of(
    asker: &Asker<'_>,
    (of, fields): (Type, &FieldSet),
    parameter: &str,
    value: &str,
) -> Vec<Has> {
    let mut any = Vec::new();
    for token in value.split(',') {
        let (system, code) = token
            .split_once('|')
            .map_or((None, token), |(system, code)| (Some(system), code));
        let means = |word: &str| system.is_none_or(|system| asker.terms.word(system) == Some(word));
        match parameter {
            "active" => any.extend(active(of, code)),
            "status" => any.extend(location_status(code)),
            "type" => {
                if code == "facility" && system.is_none_or(|system| system == FACILITY_SYSTEM) {
                    any.push(Has::Anything);
                }
                if means("institution-kind") {
                    any.push(Has::Field("kind", code.to_owned()));
                }
            }
            "service-type" if means("service-mode") => {
                any.push(Has::Mode(code.to_owned()));
                any.extend((code == OTHER_MODE).then_some(Has::NoMode));
            }
            "role" => {
                any.extend(means("job").then(|| Has::Field("job", code.to_owned())));
                any.extend(
                    (means("caregiver-kind") && fields.has("kind"))
                        .then(|| Has::Field("kind", code.to_owned())),
                );
            }
            _ => {}
        }
    }
    any
}

fn statuses(words: &[&str]) -> Option<Has> {
    Some(Has::Status(
        words.iter().map(|word| (*word).to_owned()).collect(),
    ))
}

fn active(of: Type, code: &str) -> Option<Has> {
    let is_active: bool = code.parse().ok()?;
    match (of, is_active) {
        (Type::Organization | Type::Location, true) => statuses(&INSTITUTION_GOING),
        (Type::Organization | Type::Location, false) => statuses(&["ended"]),
        (Type::HealthcareService, designated) => Some(Has::Designated(designated)),
        (Type::Practitioner, true) => statuses(&["active", "settlement_suspended"]),
        (Type::Practitioner, false) => statuses(&["left"]),
        (Type::PractitionerRole, working) => Some(Has::Working(working)),
    }
}

fn location_status(code: &str) -> Option<Has> {
    match code {
        "active" => statuses(&["agreement_in_force"]),
        "suspended" => statuses(&["suspended_new_clients", "suspended"]),
        "inactive" => statuses(&["applied", "accepted", "passed", "ended"]),
        _ => None,
    }
}
