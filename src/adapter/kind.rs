//! Kinds: how a text on the wire is read into a canonical slot.
//!
//! A closed list a manifest can name. Numbers are read by `model::decimal`, days and times by
//! `model::day`; a reason never quotes the text itself, because it may be private.

use jiff::civil::Date;

use crate::model::decimal::{self, Unit};
use crate::model::{Fen, FieldType, Month, Slot, day};

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Integer,
    /// A fraction such as `0.0695`.
    Decimal,
    /// Hundredths such as `6.95`, taken as `0.0695`.
    Percent,
    MoneyYuan,
    MoneyFen,
    Date,
    DateTime,
    Month,
    /// The month of a date.
    MonthOfDate,
    Code,
    Flag,
}

/// Accepted form of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateForm {
    Either,
    Compact,
    Dashed,
}

/// Digits of a number in its own unit: of a decimal nine before the point and six behind it.
const DIGITS_MAX: u32 = 15;
const INTEGER: Unit = Unit {
    expected: "a whole number of at most 15 digits",
    inexact: "is no whole number",
    range: "is longer than 15 digits",
};
const DECIMAL: Unit = Unit {
    expected: "a decimal such as 0.0695",
    inexact: "has more than six decimals",
    range: "has more than 9 digits before the point",
};
const PERCENT: Unit = Unit {
    expected: "a percentage such as 6.95",
    inexact: "has more than four decimals",
    range: "has more than 11 digits before the point",
};

impl FieldKind {
    const ALL: &'static [(&'static str, FieldKind)] = &[
        ("text", FieldKind::Text),
        ("integer", FieldKind::Integer),
        ("decimal", FieldKind::Decimal),
        ("percent", FieldKind::Percent),
        ("money_yuan", FieldKind::MoneyYuan),
        ("money_fen", FieldKind::MoneyFen),
        ("date", FieldKind::Date),
        ("datetime", FieldKind::DateTime),
        ("month", FieldKind::Month),
        ("month_of_date", FieldKind::MonthOfDate),
        ("code", FieldKind::Code),
        ("flag", FieldKind::Flag),
    ];

    /// The kind of a manifest's word.
    pub fn of_word(word: &str) -> Option<FieldKind> {
        FieldKind::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, kind)| *kind)
    }

    /// Every word.
    pub fn words() -> impl Iterator<Item = &'static str> {
        FieldKind::ALL.iter().map(|(name, _)| *name)
    }

    /// The words of the kinds a canonical field can be read with; the first is assumed when a
    /// manifest names none, except for money, whose unit must be said.
    pub fn fitting(holds: FieldType) -> &'static [&'static str] {
        match holds {
            FieldType::Text(_) => &["text"],
            FieldType::Integer => &["integer"],
            FieldType::Decimal => &["decimal", "percent"],
            FieldType::Money => &["money_yuan", "money_fen"],
            FieldType::Date => &["date"],
            FieldType::DateTime => &["datetime"],
            FieldType::Month => &["month", "month_of_date"],
            FieldType::Code(_) | FieldType::Division => &["code"],
            FieldType::Flag => &["flag"],
        }
    }

    /// Reads a text of a kind that fills a slot by itself; text and codes are read by their field's rule.
    pub(super) fn read(self, text: &str, form: DateForm) -> Result<Slot, String> {
        match self {
            FieldKind::Integer => integer(text).map(Slot::Integer),
            FieldKind::Decimal => millionths(text).map(Slot::Decimal),
            FieldKind::Percent => percent(text).map(Slot::Decimal),
            FieldKind::MoneyYuan => Fen::parse_yuan(text)
                .map(Slot::Money)
                .map_err(|error| error.to_string()),
            FieldKind::MoneyFen => Fen::parse_fen(text)
                .map(Slot::Money)
                .map_err(|error| error.to_string()),
            FieldKind::Date => date(text, form).map(Slot::Date),
            FieldKind::DateTime => day::time(text)
                .map(Slot::DateTime)
                .map_err(|error| error.to_string()),
            FieldKind::Month => month(text).map(Slot::Month),
            FieldKind::MonthOfDate => date(text, form)
                .and_then(|date| Month::of(date).ok_or_else(|| MONTH.into()))
                .map(Slot::Month),
            FieldKind::Flag => flag(text).map(Slot::Flag),
            FieldKind::Text | FieldKind::Code => Err("is read by its field's rule".into()),
        }
    }
}

const MONTH: &str = "expected a month such as 202110 or 2021-10, from 1990 to 2199";

fn integer(text: &str) -> Result<i64, String> {
    decimal::read(text, 0, DIGITS_MAX).map_err(|error| error.told(&INTEGER))
}

/// A decimal of at most six places, in millionths.
fn millionths(text: &str) -> Result<i64, String> {
    decimal::read(text, 6, DIGITS_MAX).map_err(|error| error.told(&DECIMAL))
}

/// A hundredth of a percentage of at most four places, in millionths.
fn percent(text: &str) -> Result<i64, String> {
    decimal::read(text, 4, DIGITS_MAX).map_err(|error| error.told(&PERCENT))
}

/// A day in any form, or in the only one the manifest allows.
fn date(text: &str, form: DateForm) -> Result<Date, String> {
    let (length, expected) = match form {
        DateForm::Either => return day::day(text).map_err(|error| error.to_string()),
        DateForm::Compact => (8, "expected a date such as 20211031"),
        DateForm::Dashed => (10, "expected a date such as 2021-10-31"),
    };
    let formed = text.len() == length
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-' && form == DateForm::Dashed);
    day::day(text)
        .ok()
        .filter(|_| formed)
        .ok_or_else(|| expected.to_string())
}

/// `202110`, `2021-10` or `2021/10`.
fn month(text: &str) -> Result<Month, String> {
    let found = Month::parse(text)
        .or_else(|| Month::parse_dashed(text))
        .or_else(|| Month::parse_dashed(&text.replacen('/', "-", 1)));
    found.ok_or_else(|| MONTH.to_string())
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "Y" => Ok(true),
        "0" | "false" | "N" => Ok(false),
        _ => Err("expected 1 or 0, true or false, Y or N".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_to_six_places() {
        for (text, expected) in [
            ("0.0695", 69_500),
            ("6.95E-2", 69_500),
            (".0695", 69_500),
            ("-1.500000000", -1_500_000),
            ("1.035E+1", 10_350_000),
            ("999999999.999999", 999_999_999_999_999),
        ] {
            assert_eq!(millionths(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "1e",
            "0.0000001",
            "1E-7",
            "1000000000",
            "１",
            "1,5",
            "--1",
        ] {
            assert!(millionths(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_percentage_is_a_hundredth() {
        assert_eq!(
            (percent("6.95"), percent("6.95E0")),
            (Ok(69_500), Ok(69_500))
        );
        assert_eq!(
            percent("6.95001").unwrap_err(),
            "has more than four decimals"
        );
    }

    #[test]
    fn a_form_named_in_the_manifest_is_the_only_one() {
        let day = Date::new(2021, 10, 31).unwrap();
        for text in [
            "20211031",
            "2021-10-31",
            "2021/10/31",
            "2021-10-30T16:00:00Z",
        ] {
            assert_eq!(date(text, DateForm::Either), Ok(day), "{text}");
            assert_eq!(
                date(text, DateForm::Compact).is_ok(),
                text == "20211031",
                "{text}"
            );
            assert_eq!(
                date(text, DateForm::Dashed).is_ok(),
                text == "2021-10-31",
                "{text}"
            );
        }
        assert_eq!(month("2021/10"), month("202110"));
        assert!(month("2021/13").is_err() && month("10/2021").is_err());
    }

    #[test]
    fn integers_have_at_most_fifteen_digits() {
        for (text, expected) in [
            ("-12", -12),
            ("999999999999999", 999_999_999_999_999),
            ("20.0", 20),
            ("2E1", 20),
            ("+1", 1),
        ] {
            assert_eq!(integer(text), Ok(expected), "{text}");
        }
        for text in ["", "-", "1.5", "1000000000000000", " 1"] {
            assert!(integer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_kind_a_field_can_be_read_with_exists() {
        for holds in [
            FieldType::Text(1),
            FieldType::Integer,
            FieldType::Decimal,
            FieldType::Money,
            FieldType::Date,
            FieldType::Month,
            FieldType::Division,
        ] {
            assert!(
                FieldKind::fitting(holds)
                    .iter()
                    .all(|word| FieldKind::of_word(word).is_some())
            );
        }
    }
}
