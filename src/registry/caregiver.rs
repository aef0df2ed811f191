//! Rules about caregivers: who they are, age, recipient, institution, training, health, contract.
//!
//! Who has left is only checked for what stays true afterwards.

use jiff::civil::Date;

use super::KnownInstitution;
use super::rule_file::{Check, Measure};
use super::rules_of_day::RulesOfDay;
use crate::model::identity::holder_of;
use crate::model::registry::{
    Caregiver, CaregiverKind, CaregiverPersonal, CaregiverStatus, CertificateType, Sex, in_force,
};

pub(super) fn check(
    record: &Caregiver,
    institution: Option<&KnownInstitution>,
    asked: &mut RulesOfDay<'_>,
) {
    if let Some(personal) = &record.personal {
        certificate(record.sex, personal, asked);
    }
    if record
        .contract
        .is_some_and(|contract| contract.to.is_some_and(|to| to < contract.from))
    {
        asked.failed(
            Check::ContractDates,
            "contract.to",
            "its last day is before its first",
        );
    }
    if institution.is_none() {
        asked.failed(
            Check::InstitutionKnown,
            "institution_id",
            "no such institution is registered; send the institution first",
        );
    }
    if in_force(&record.statuses, asked.on) == Some(CaregiverStatus::Left) {
        return;
    }
    if institution.is_some_and(|institution| !institution.registered) {
        asked.failed(
            Check::InstitutionKnown,
            "institution_id",
            "the institution was deleted; name the caregiver's new one, or send the status `left`",
        );
    }
    if let Some(personal) = &record.personal {
        age(personal.birth_on, asked);
        recipients(record.kind, personal.recipients.len(), asked);
    }
    if institution.is_some_and(|institution| institution.registered && !institution.designated) {
        asked.failed(
            Check::InstitutionDesignated,
            "institution_id",
            "the institution is not designated today",
        );
    }
    training(record, asked);
    health(record.health_statement_on, asked);
}

fn certificate(sex: Sex, personal: &CaregiverPersonal, asked: &mut RulesOfDay<'_>) {
    if personal.certificate_type != CertificateType::ResidentId {
        return;
    }
    let (field, number) = (
        "personal.certificate_number",
        personal.certificate_number.as_str(),
    );
    let holder = match holder_of(number) {
        Ok(holder) => holder,
        Err(error) => return asked.failed(Check::Certificate, field, error.to_string()),
    };
    if holder.born_on != personal.birth_on {
        asked.failed(
            Check::Certificate,
            "personal.birth_on",
            "not the birth date of the resident id",
        );
    }
    let stated = if (number.as_bytes()[16] - b'0').is_multiple_of(2) {
        Sex::Female
    } else {
        Sex::Male
    };
    if sex != Sex::Unknown && sex != stated {
        asked.failed(Check::Certificate, "sex", "not the sex of the resident id");
    }
}

/// Completed years of life on a day.
fn years(birth: Date, on: Date) -> i16 {
    on.year() - birth.year() - i16::from((on.month(), on.day()) < (birth.month(), birth.day()))
}

fn age(birth_on: Date, asked: &mut RulesOfDay<'_>) {
    let Some(Measure::Years(max)) = asked.rule(Check::Age).map(|rule| rule.measure.clone()) else {
        return;
    };
    let years = years(birth_on, asked.on);
    if years > i16::from(max) {
        asked.failed(
            Check::Age,
            "personal.birth_on",
            format!("older than {max} years today"),
        );
    } else if birth_on > asked.on {
        asked.failed(Check::Age, "personal.birth_on", "not born yet");
    }
}

fn recipients(kind: CaregiverKind, count: usize, asked: &mut RulesOfDay<'_>) {
    match (kind, count) {
        (CaregiverKind::Exclusive, 1) | (CaregiverKind::Social, 0) => {}
        (CaregiverKind::Exclusive, _) => asked.failed(
            Check::Recipient,
            "personal.recipients",
            format!("{count} recipients; an exclusive caregiver has exactly one"),
        ),
        (CaregiverKind::Social, _) => asked.failed(
            Check::Recipient,
            "personal.recipients",
            format!("{count} recipients; only an exclusive caregiver has one"),
        ),
    }
}

fn training(record: &Caregiver, asked: &mut RulesOfDay<'_>) {
    let Some((Measure::Hours(min), rule_from)) = asked
        .rule(Check::Training)
        .map(|rule| (rule.measure.clone(), rule.from))
    else {
        return;
    };
    let hours = |year: i16| {
        record
            .training
            .iter()
            .find(|entry| entry.year == year)
            .map_or(0, |entry| entry.hours)
    };
    let (this, last) = (asked.on.year(), asked.on.year() - 1);
    let whole_year = jiff::civil::date(last, 1, 1);
    let began = record.contract.map_or(record.registered_on, |contract| {
        contract.from.max(record.registered_on)
    });
    if began <= whole_year && rule_from.year() <= last && hours(last) < min {
        asked.failed(
            Check::Training,
            "training",
            format!(
                "{} hours in {last}; at least {min} are due in a year",
                hours(last)
            ),
        );
    }
    if hours(this) < min {
        asked.warn(
            Check::Training,
            "training",
            format!(
                "{} hours in {this} so far; {min} are due by its end",
                hours(this)
            ),
        );
    }
}

fn health(stated_on: Option<Date>, asked: &mut RulesOfDay<'_>) {
    let Some(Measure::Months(max)) = asked
        .rule(Check::HealthStatement)
        .map(|rule| rule.measure.clone())
    else {
        return;
    };
    let field = "health_statement_on";
    let Some(stated_on) = stated_on else {
        return asked.failed(
            Check::HealthStatement,
            field,
            "missing; a statement of good health is due",
        );
    };
    let good_until = stated_on
        .checked_add(jiff::Span::new().months(i64::from(max)))
        .unwrap_or(Date::MAX);
    if good_until < asked.on {
        asked.failed(
            Check::HealthStatement,
            field,
            format!("of {stated_on}, older than {max} months"),
        );
    } else if stated_on > asked.on {
        asked.failed(
            Check::HealthStatement,
            field,
            format!("of {stated_on}, which has not come yet"),
        );
    }
}
