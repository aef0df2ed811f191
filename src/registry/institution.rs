//! Rules about institutions: number, division, kind and modes, licence, beds, agreement.

use super::rule_file::{Check, Measure};
use super::rules_of_day::RulesOfDay;
use crate::model::identity::{uscc_check_character, uscc_is_valid};
use crate::model::registry::{Institution, InstitutionStatus, in_force};

pub(super) fn check(record: &Institution, asked: &mut RulesOfDay<'_>) {
    uscc(&record.uscc, asked);
    division(&record.division, asked);
    modes(record, asked);
    licence(record, asked);
    if let (Some(beds), Some(care_beds)) = (record.beds, record.care_beds)
        && care_beds > beds
    {
        asked.failed(
            Check::Beds,
            "care_beds",
            format!("{care_beds} beds for long-term care among {beds} beds"),
        );
    }
    agreement(record, asked);
}

fn division(division: &str, asked: &mut RulesOfDay<'_>) {
    let area = asked.area;
    match area.renamed.get(division) {
        Some(now) => asked.failed(
            Check::Division,
            "division",
            format!("`{division}` is now {now}; send {now}"),
        ),
        None if area.divisions.contains(division) => {}
        None => asked.failed(
            Check::Division,
            "division",
            format!("`{division}` is no division of area {}", area.area),
        ),
    }
}

fn uscc(uscc: &str, asked: &mut RulesOfDay<'_>) {
    let formed = uscc.len() == 18
        && uscc
            .as_bytes()
            .first_chunk::<17>()
            .is_some_and(|first| uscc_check_character(first).is_some());
    if !formed {
        asked.failed(
            Check::UsccForm,
            "uscc",
            "expected 18 digits and capital letters without I, O, S, V, Z (GB 32100-2015)",
        );
    } else if !uscc_is_valid(uscc) {
        asked.failed(Check::UsccCheckCharacter, "uscc", "the check character does not fit the first 17 (GB 32100-2015); look for a typing mistake");
    }
}

fn modes(record: &Institution, asked: &mut RulesOfDay<'_>) {
    let Some(Measure::Modes(allowed)) = asked.rule(Check::Modes).map(|rule| rule.measure.clone())
    else {
        return;
    };
    let kind = record.kind.word();
    let Some(allowed) = allowed.get(&record.kind) else {
        return asked.failed(
            Check::Modes,
            "kind",
            format!("institutions of kind {kind} are not taken here"),
        );
    };
    if let Some(mode) = record.modes.iter().find(|mode| !allowed.contains(mode)) {
        asked.failed(
            Check::Modes,
            "modes",
            format!(
                "an institution of kind {kind} cannot give {} care",
                mode.word()
            ),
        );
    } else if record.modes.is_empty() && !allowed.is_empty() {
        asked.failed(
            Check::Modes,
            "modes",
            format!("an institution of kind {kind} gives care in at least one mode"),
        );
    }
}

fn licence(record: &Institution, asked: &mut RulesOfDay<'_>) {
    let Some(Measure::Kinds(kinds)) = asked.rule(Check::Licence).map(|rule| rule.measure.clone())
    else {
        return;
    };
    let ended = in_force(&record.statuses, asked.on) == Some(InstitutionStatus::Ended);
    if !kinds.contains(&record.kind) || ended {
        return;
    }
    match &record.licence {
        None => asked.failed(
            Check::Licence,
            "licence",
            format!(
                "an institution of kind {} needs a licence",
                record.kind.word()
            ),
        ),
        Some(licence) => {
            if let Some(expired) = licence.expires_on.filter(|last| *last < asked.on) {
                asked.failed(
                    Check::Licence,
                    "licence.expires_on",
                    format!("the licence expired on {expired}"),
                );
            }
        }
    }
}

fn agreement(record: &Institution, asked: &mut RulesOfDay<'_>) {
    let in_force = in_force(&record.statuses, asked.on);
    match &record.agreement {
        None => {
            if let Some(status) = in_force.filter(|status| status.has_agreement()) {
                asked.failed(
                    Check::AgreementDates,
                    "agreement",
                    format!("missing, although the status is {}", status.word()),
                );
            }
        }
        Some(agreement) => {
            if agreement.signed_on > agreement.valid_from {
                asked.failed(
                    Check::AgreementDates,
                    "agreement.signed_on",
                    "signed after its first day",
                );
            }
            if agreement.valid_from > agreement.valid_to {
                asked.failed(
                    Check::AgreementDates,
                    "agreement.valid_to",
                    "its last day is before its first",
                );
            } else if let Some(status) =
                in_force.filter(|status| status.has_agreement() && agreement.valid_to < asked.on)
            {
                asked.failed(
                    Check::AgreementDates,
                    "agreement.valid_to",
                    format!(
                        "it ended on {}, although the status is {}",
                        agreement.valid_to,
                        status.word()
                    ),
                );
            }
        }
    }
}
