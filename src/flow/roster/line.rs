//! One decoded record -> one checked person of a roster.
//!
//! Pure. Says which field is wrong and why; whether the person stands twice is not known here.

use std::borrow::Cow;

use jiff::civil::Date;

use crate::model::deduction::Category;
use crate::model::division::belongs;
use crate::model::identity::{Holder, holder_of, kept_form};
use crate::model::records::roster_person as person;
use crate::model::{Division, Fen, FieldId, Month, Record};

/// Our words for the type of a certificate that its number decides: a foreigner's card is no resident id.
const RESIDENT_ID: &str = "resident_id";
const FOREIGNER_CARD: &str = "foreigner_residence";

/// What lines are checked against.
#[derive(Debug, Clone, Copy)]
pub struct RosterRules {
    /// Pooling area of the roster.
    pub area: Division,
    /// The roster's month, where nothing may count from an earlier one.
    pub earliest: Option<Month>,
    /// The present month.
    pub latest: Month,
}

/// A person as a line states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterPerson<'r> {
    pub person_no: &'r str,
    pub certificate_type: &'static str,
    pub certificate_no: Cow<'r, str>,
    pub category: Category,
    pub account: bool,
    pub employer_no: Option<&'r str>,
    pub district: i32,
    pub base: Fen,
    pub account_credit_base: Option<Fen>,
    /// Has chosen to pay once a year.
    pub yearly: bool,
    pub from_month: Month,
    /// From a number in the form of a resident id; nothing of others.
    pub born_on: Option<Date>,
}

/// Why a line is refused: the canonical field at fault and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonFault {
    pub field: FieldId,
    pub reason: String,
}

/// Checks a person's line.
pub fn person<'r>(record: &'r Record, rules: RosterRules) -> Result<RosterPerson<'r>, PersonFault> {
    let category = need(
        record.code(person::CATEGORY).and_then(Category::of_word),
        person::CATEGORY,
    )?;
    let certificate_type = need(
        record.code(person::CERTIFICATE_TYPE),
        person::CERTIFICATE_TYPE,
    )?;
    let certificate_no = kept_form(need(
        record.text(person::CERTIFICATE_NO),
        person::CERTIFICATE_NO,
    )?);
    let holder = holder_of(&certificate_no);
    let certificate_type = match (certificate_type, holder) {
        (RESIDENT_ID, Err(error)) => return Err(fault(person::CERTIFICATE_NO, &error.to_string())),
        (
            RESIDENT_ID,
            Ok(Holder {
                foreigner: true, ..
            }),
        ) => FOREIGNER_CARD,
        (other, _) => other,
    };
    // A card of another type may bear a resident's number (a permit, a social security card): its birth date is as good.
    let born_on = holder.ok().map(|holder| holder.born_on);
    let employer_no = record.text(person::EMPLOYER_NO);
    if category == Category::Active && employer_no.is_none() {
        return Err(fault(
            person::EMPLOYER_NO,
            "is missing or empty; an active person has an employer",
        ));
    }
    let base = need(record.money(person::BASE), person::BASE)?;
    let account_credit_base = record.money(person::ACCOUNT_CREDIT_BASE);
    for (field, base) in [
        (person::BASE, Some(base)),
        (person::ACCOUNT_CREDIT_BASE, account_credit_base),
    ] {
        if base.is_some_and(|base| base < Fen::ZERO) {
            return Err(fault(field, "is negative; expected zero or more"));
        }
    }
    let from_month = need(record.month(person::FROM_MONTH), person::FROM_MONTH)?;
    if from_month > rules.latest {
        return Err(PersonFault {
            field: person::FROM_MONTH,
            reason: format!(
                "is {from_month}, which has not come; expected {} or an earlier month",
                rules.latest
            ),
        });
    }
    Ok(RosterPerson {
        person_no: need(record.text(person::PERSON_NO), person::PERSON_NO)?,
        certificate_type,
        certificate_no,
        category,
        account: record.code(person::ACCOUNT) == Some("account"),
        employer_no,
        district: district(record, rules.area)?,
        base,
        account_credit_base,
        yearly: record.code(person::PAYS) == Some("yearly"),
        from_month: rules
            .earliest
            .map_or(from_month, |earliest| from_month.max(earliest)),
        born_on,
    })
}

fn district(record: &Record, area: Division) -> Result<i32, PersonFault> {
    let field = person::DISTRICT;
    let district = record.division(field);
    if let Some(district) = district.filter(|district| belongs(*district, area)) {
        return Ok(district.number());
    }
    let stated = match district {
        Some(district) => district.to_string(),
        None => need(record.text(field), field)?.to_string(),
    };
    Err(PersonFault {
        field,
        reason: format!("is {stated}, which is no district of pooling area {area}"),
    })
}

fn need<T>(value: Option<T>, field: FieldId) -> Result<T, PersonFault> {
    value.ok_or_else(|| fault(field, "is missing"))
}

fn fault(field: FieldId, reason: &str) -> PersonFault {
    PersonFault {
        field,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Slot;

    fn rules() -> RosterRules {
        RosterRules {
            area: Division::from_number(450_100).expect("six digits"),
            earliest: None,
            latest: month(2021, 10),
        }
    }

    fn month(year: i16, month: i8) -> Month {
        Month::new(year, month).expect("a month of the range")
    }

    fn record(change: impl FnOnce(&mut Record)) -> Record {
        let mut record = Record::new(&person::SPEC);
        record.set_text(person::PERSON_NO, "P1");
        record.set(person::CERTIFICATE_TYPE, Slot::Code(0));
        record.set_text(person::CERTIFICATE_NO, "11010519491231002X");
        record.set(person::CATEGORY, Slot::Code(0));
        record.set(person::ACCOUNT, Slot::Code(0));
        record.set_text(person::EMPLOYER_NO, "E1");
        record.set(
            person::DISTRICT,
            Slot::Division(Division::from_number(450103).expect("six digits")),
        );
        record.set(person::BASE, Slot::Money(Fen(500_000)));
        record.set(person::FROM_MONTH, Slot::Month(month(2021, 3)));
        change(&mut record);
        record
    }

    #[test]
    fn a_sound_line_is_a_person() {
        let record = record(|_| {});
        let found = person(&record, rules()).expect("a person");
        assert_eq!(
            (
                found.person_no,
                found.account,
                found.district,
                found.from_month
            ),
            ("P1", true, 450_103, month(2021, 3))
        );
        assert_eq!(found.born_on, Some(jiff::civil::date(1949, 12, 31)));
        let full = person(
            &record,
            RosterRules {
                earliest: Some(month(2021, 9)),
                ..rules()
            },
        )
        .expect("a person");
        assert_eq!(full.from_month, month(2021, 9));
    }

    #[test]
    fn each_mistake_is_found_at_its_field_without_private_content() {
        type Change = fn(&mut Record);
        let mistakes: [(FieldId, Change); 6] = [
            (person::ACCOUNT_CREDIT_BASE, |record| {
                record.set(person::ACCOUNT_CREDIT_BASE, Slot::Money(Fen(-1)))
            }),
            (person::CERTIFICATE_NO, |record| {
                record.set_text(person::CERTIFICATE_NO, "110105194912310021")
            }),
            (person::EMPLOYER_NO, |record| {
                record.set(person::EMPLOYER_NO, Slot::Empty)
            }),
            (person::BASE, |record| {
                record.set(person::BASE, Slot::Money(Fen(-1)))
            }),
            (person::FROM_MONTH, |record| {
                record.set(person::FROM_MONTH, Slot::Month(month(2021, 11)))
            }),
            (person::DISTRICT, |record| {
                record.set(
                    person::DISTRICT,
                    Slot::Division(Division::from_number(450203).expect("six digits")),
                )
            }),
        ];
        for (field, change) in mistakes {
            let found = person(&record(change), rules()).expect_err("a mistake");
            assert_eq!(found.field, field, "{}", found.reason);
            assert!(!found.reason.contains("110105"), "{}", found.reason);
        }
    }

    #[test]
    fn one_person_is_one_however_the_certificate_is_written() {
        let certified = |kind: u16, number: &str| {
            let record = record(|record| {
                record.set(person::CERTIFICATE_TYPE, Slot::Code(kind));
                record.set_text(person::CERTIFICATE_NO, number);
            });
            person(&record, rules())
                .map(|found| {
                    (
                        found.certificate_type,
                        found.certificate_no.into_owned(),
                        found.born_on,
                    )
                })
                .map_err(|fault| fault.reason)
        };
        assert_eq!(
            certified(0, "11010519491231002x"),
            certified(0, "11010519491231002X")
        );
        let (card, born) = ("945840198005050011", Some(jiff::civil::date(1980, 5, 5)));
        for stated in [0, 4] {
            assert_eq!(
                certified(stated, card),
                Ok(("foreigner_residence", card.to_string(), born)),
                "a foreigner's card of 2023"
            );
        }
        for (kind, permit) in [
            (0, "810000198003030019"),
            (2, "810000198003030019"),
            (0, "830000198004040028"),
        ] {
            assert!(
                certified(kind, permit).is_ok_and(|(_, _, born)| born.is_some()),
                "{permit}"
            );
        }
        for (number, reason) in [
            ("450103800101001", "is an old number of 15 digits"),
            ("450１03１9800１0１１030", "full-width"),
        ] {
            let told = certified(0, number).expect_err("no resident id");
            assert!(told.contains(reason) && !told.contains("0103"), "{told}");
        }
    }

    #[test]
    fn only_active_people_need_an_employer_and_only_resident_ids_a_check() {
        let retired = record(|record| {
            record.set(person::CATEGORY, Slot::Code(1));
            record.set(person::EMPLOYER_NO, Slot::Empty);
            record.set(person::CERTIFICATE_TYPE, Slot::Code(1));
            record.set_text(person::CERTIFICATE_NO, "E1234567");
        });
        let found = person(&retired, rules()).expect("a person");
        assert_eq!(
            (found.category, found.employer_no, found.born_on),
            (Category::Retired, None, None)
        );
    }
}
