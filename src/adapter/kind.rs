//! Kinds: how a text on the wire is read into a canonical slot.
//!
//! A closed list a manifest can name. Parsing is strict and by hand; a reason never quotes the
//! text itself, because it may be private.

use jiff::civil::{Date, DateTime};

use crate::model::{Fen, FieldType, Month, Slot};

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
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

/// Digits before the point of a decimal.
const DECIMAL_DIGITS_MAX: usize = 9;
/// Digits of an integer.
const INTEGER_DIGITS_MAX: usize = 15;

impl Kind {
    const ALL: &'static [(&'static str, Kind)] = &[
        ("text", Kind::Text),
        ("integer", Kind::Integer),
        ("decimal", Kind::Decimal),
        ("percent", Kind::Percent),
        ("money_yuan", Kind::MoneyYuan),
        ("money_fen", Kind::MoneyFen),
        ("date", Kind::Date),
        ("datetime", Kind::DateTime),
        ("month", Kind::Month),
        ("month_of_date", Kind::MonthOfDate),
        ("code", Kind::Code),
        ("flag", Kind::Flag),
    ];

    /// The kind of a manifest's word.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
    }

    /// Every word.
    pub fn words() -> impl Iterator<Item = &'static str> {
        Kind::ALL.iter().map(|(name, _)| *name)
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
            FieldType::Code(_) | FieldType::OpenCode => &["code"],
            FieldType::Flag => &["flag"],
        }
    }

    /// Reads a text of a kind that fills a slot by itself; text and codes are read by their field's rule.
    pub(super) fn read(self, text: &str, form: DateForm) -> Result<Slot, String> {
        match self {
            Kind::Integer => integer(text).map(Slot::Integer),
            Kind::Decimal => millionths(text).map(Slot::Decimal),
            Kind::Percent => percent(text).map(Slot::Decimal),
            Kind::MoneyYuan => Fen::parse_yuan(text).map(Slot::Money).map_err(|error| error.to_string()),
            Kind::MoneyFen => fen(text).map(Slot::Money),
            Kind::Date => date(text, form).map(Slot::Date),
            Kind::DateTime => datetime(text).map(Slot::DateTime),
            Kind::Month => month(text).map(Slot::Month),
            Kind::MonthOfDate => date(text, form).and_then(|date| Month::of(date).ok_or_else(|| MONTH.into())).map(Slot::Month),
            Kind::Flag => flag(text).map(Slot::Flag),
            Kind::Text | Kind::Code => Err("is read by its field's rule".into()),
        }
    }
}

const MONTH: &str = "expected a month such as 202110 or 2021-10, from 1990 to 2199";

fn integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || digits.len() > INTEGER_DIGITS_MAX || !all_digits(digits) {
        return Err(format!("expected a whole number of at most {INTEGER_DIGITS_MAX} digits"));
    }
    text.parse().map_err(|_| "expected a whole number".into())
}

fn fen(text: &str) -> Result<Fen, String> {
    Fen::parse_fen(text).map_err(|_| "expected an amount in whole fen such as 123456, at most 14 digits".into())
}

/// A decimal of at most six places, in millionths.
fn millionths(text: &str) -> Result<i64, String> {
    const SHAPE: &str = "expected a decimal such as 0.0695: digits, an optional leading minus, at most six decimals";
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(SHAPE.into()),
        Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
        None => (digits, ""),
    };
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(SHAPE.into());
    }
    if fraction.len() > 6 {
        return Err("has more than six decimals".into());
    }
    if whole.trim_start_matches('0').len() > DECIMAL_DIGITS_MAX {
        return Err(format!("has more than {DECIMAL_DIGITS_MAX} digits before the point"));
    }
    let number = |digits: &str| digits.bytes().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let value = number(whole.trim_start_matches('0')) * 1_000_000 + number(fraction) * 10_i64.pow(6 - fraction.len() as u32);
    Ok(if negative { -value } else { value })
}

fn percent(text: &str) -> Result<i64, String> {
    let value = millionths(text)?;
    if value % 100 != 0 { Err("has more than four decimals; expected a percentage such as 6.95".into()) } else { Ok(value / 100) }
}

/// `yyyyMMdd` or `yyyy-MM-dd`, from 1900 to 2199.
fn date(text: &str, form: DateForm) -> Result<Date, String> {
    let bytes = text.as_bytes();
    let parts = match bytes.len() {
        8 if form != DateForm::Dashed => Some([&bytes[0..4], &bytes[4..6], &bytes[6..8]]),
        10 if form != DateForm::Compact && bytes[4] == b'-' && bytes[7] == b'-' => Some([&bytes[0..4], &bytes[5..7], &bytes[8..10]]),
        _ => None,
    };
    let expected = || {
        match form {
            DateForm::Either => "expected a date such as 20211031 or 2021-10-31",
            DateForm::Compact => "expected a date such as 20211031",
            DateForm::Dashed => "expected a date such as 2021-10-31",
        }
        .to_string()
    };
    let [year, month, day] = parts.map(|parts| parts.map(number)).ok_or_else(expected)?;
    let (Some(year), Some(month), Some(day)) = (year, month, day) else { return Err(expected()) };
    if !(1900..=2199).contains(&year) {
        return Err(expected());
    }
    Date::new(year, month as i8, day as i8).map_err(|_| expected())
}

/// `yyyyMMddHHmmss`, `yyyy-MM-dd HH:mm:ss` or `yyyy-MM-ddTHH:mm:ss`.
fn datetime(text: &str) -> Result<DateTime, String> {
    let expected = || "expected a date and time such as 20211031235959 or 2021-10-31 23:59:59".to_string();
    let bytes = text.as_bytes();
    let (day, time) = match bytes.len() {
        14 if text.is_ascii() => (&text[..8], [&bytes[8..10], &bytes[10..12], &bytes[12..14]]),
        19 if text.is_ascii() && matches!(bytes[10], b' ' | b'T') && bytes[13] == b':' && bytes[16] == b':' => {
            (&text[..10], [&bytes[11..13], &bytes[14..16], &bytes[17..19]])
        }
        _ => return Err(expected()),
    };
    let day = date(day, DateForm::Either).map_err(|_| expected())?;
    let [Some(hour @ 0..=23), Some(minute @ 0..=59), Some(second @ 0..=59)] = time.map(number) else { return Err(expected()) };
    Ok(day.at(hour as i8, minute as i8, second as i8, 0))
}

fn month(text: &str) -> Result<Month, String> {
    Month::parse(text).or_else(|| Month::parse_dashed(text)).ok_or_else(|| MONTH.to_string())
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "Y" => Ok(true),
        "0" | "false" | "N" => Ok(false),
        _ => Err("expected 1 or 0, true or false, Y or N".into()),
    }
}

/// At most four ASCII digits.
fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i16::from(digit - b'0')))
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_to_six_places() {
        assert_eq!(millionths("0.0695"), Ok(69_500));
        assert_eq!(millionths("-1.500000000"), Ok(-1_500_000));
        assert_eq!(millionths("999999999.999999"), Ok(999_999_999_999_999));
        for text in ["", ".5", "1.", "1e3", "+1", "0.0000001", "1000000000", "１", "1,5", "--1"] {
            assert!(millionths(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_percentage_is_a_hundredth() {
        assert_eq!(percent("6.95"), Ok(69_500));
        assert!(percent("6.95001").is_err());
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        let day = Date::new(2021, 10, 31).unwrap();
        assert_eq!(date("20211031", DateForm::Either), Ok(day));
        assert_eq!(date("2021-10-31", DateForm::Either), Ok(day));
        assert!(date("2021-10-31", DateForm::Compact).is_err());
        assert!(date("20211031", DateForm::Dashed).is_err());
        for text in ["20210229", "20211301", "20210100", "2021/10/31", "2021-1-311", "18991231", "22000101", "", "２０２１10", "+2110101"] {
            assert!(date(text, DateForm::Either).is_err(), "{text}");
        }
        assert!(date("20200229", DateForm::Either).is_ok());
    }

    #[test]
    fn times_are_seconds_of_a_day() {
        let at = Date::new(2021, 10, 31).unwrap().at(23, 59, 59, 0);
        for text in ["20211031235959", "2021-10-31 23:59:59", "2021-10-31T23:59:59"] {
            assert_eq!(datetime(text), Ok(at), "{text}");
        }
        for text in ["20211031240000", "20211031236000", "2021-10-31 23:59", "20211031", "2021-10-31 23:59:60", "中文中文中文中文中"] {
            assert!(datetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn integers_have_at_most_fifteen_digits() {
        assert_eq!(integer("-12"), Ok(-12));
        assert_eq!(integer("999999999999999"), Ok(999_999_999_999_999));
        for text in ["", "-", "1.0", "1e3", "1000000000000000", "+1", " 1"] {
            assert!(integer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_kind_a_field_can_be_read_with_exists() {
        for holds in [FieldType::Text(1), FieldType::Integer, FieldType::Decimal, FieldType::Money, FieldType::Date, FieldType::Month, FieldType::OpenCode] {
            assert!(Kind::fitting(holds).iter().all(|word| Kind::of_word(word).is_some()));
        }
    }
}
