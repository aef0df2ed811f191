//! Days and times as partners write them, read in one way everywhere.
//!
//! A time without an offset is on its own day; with an offset it is converted to the day in China,
//! with the summer times there were. What can mean two days is refused, and so is what needs a
//! month's name to be known. Reasons name the forms and repeat nothing.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use serde::de::{Deserializer, Unexpected, Visitor};

mod summer; // when clocks in China were an hour ahead

/// Years a day may be in.
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2199;

/// Why a text is no day or time; safe to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    #[error("expected {EXPECTED}")]
    Shape,
    #[error("has a name of a month, a day or a zone in it; expected {EXPECTED}")]
    Words,
    #[error(
        "does not begin with a year of four digits, so that it can mean more than one day; expected {EXPECTED}"
    )]
    YearLast,
    #[error("can mean more than one day; expected {EXPECTED}")]
    Ambiguous,
    #[error(
        "is no day of the calendar from 1900 to 2199, or no time of a day; expected {EXPECTED}"
    )]
    Calendar,
    #[error(
        "has no time of the day; expected a date and time such as 20211031235959 or 2021-10-31 23:59:59"
    )]
    NoTime,
}

/// The forms allowed.
pub const EXPECTED: &str = "a day such as 20211031, 2021-10-31 or 2021/10/31, alone or with a time after it such as 2021-10-31T08:30:00+08:00";

/// What was found: a day, with a time where there is one.
struct Found {
    date: Date,
    time: Option<Time>,
}

/// The day a text means, in China.
pub fn day(text: &str) -> Result<Date, DayError> {
    match usual(text.as_bytes()) {
        Some(date) => Ok(date),
        None => read(text).map(|found| found.date),
    }
}

/// The time a text means, on the clocks of China, to the second.
pub fn time(text: &str) -> Result<DateTime, DayError> {
    let Found { date, time } = read(text)?;
    time.map(|time| date.to_datetime(time))
        .ok_or(DayError::NoTime)
}

/// `20211031` and `2021-10-31`, quickly.
fn usual(bytes: &[u8]) -> Option<Date> {
    let [year, month, day] = match bytes.len() {
        8 => [&bytes[..4], &bytes[4..6], &bytes[6..]],
        10 if bytes[4] == b'-' && bytes[7] == b'-' => [&bytes[..4], &bytes[5..7], &bytes[8..]],
        _ => return None,
    };
    of_parts(number(year)?, number(month)?, number(day)?).ok()
}

/// At most four ASCII digits.
fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i16::from(digit - b'0'))
    })
}

fn of_parts(year: i16, month: i16, day: i16) -> Result<Date, DayError> {
    if !YEARS.contains(&year) {
        return Err(DayError::Calendar);
    }
    Date::new(year, month as i8, day as i8).map_err(|_| DayError::Calendar)
}

fn read(text: &str) -> Result<Found, DayError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits_only(text);
    }
    let mut rest = Rest(text.as_bytes());
    let date = rest.date().map_err(|error| blame(text, error))?;
    let time = rest.time().map_err(|error| blame(text, error))?;
    let offset = rest.offset().map_err(|error| blame(text, error))?;
    if !rest.0.is_empty() {
        return Err(blame(text, DayError::Shape));
    }
    match (time, offset) {
        (time, None) => Ok(Found { date, time }),
        (Some(time), Some(offset)) => in_china(
            offset
                .to_timestamp(date.to_datetime(time))
                .map_err(|_| DayError::Calendar)?,
        ),
        // A day with an offset is a whole day elsewhere; it is one day here only where clocks agree.
        (None, Some(offset)) => {
            let found = in_china(
                offset
                    .to_timestamp(date.to_datetime(Time::midnight()))
                    .map_err(|_| DayError::Calendar)?,
            )?;
            if (found.date, found.time) == (date, Some(Time::midnight())) {
                Ok(Found { date, time: None })
            } else {
                Err(DayError::Ambiguous)
            }
        }
    }
}

/// What exactly is wrong with a text that is not of a form.
fn blame(text: &str, error: DayError) -> DayError {
    let letters = text
        .as_bytes()
        .windows(2)
        .any(|two| two.iter().all(u8::is_ascii_alphabetic));
    let year = text.bytes().take_while(u8::is_ascii_digit).count();
    match error {
        DayError::Shape if letters => DayError::Words,
        DayError::Shape if (1..=3).contains(&year) => DayError::YearLast,
        other => other,
    }
}

/// Digits without anything between them.
fn digits_only(text: &str) -> Result<Found, DayError> {
    let part = |range: std::ops::Range<usize>| number(&text.as_bytes()[range]).unwrap_or_default();
    let date = || of_parts(part(0..4), part(4..6), part(6..8));
    match text.len() {
        8 => Ok(Found {
            date: date()?,
            time: None,
        }),
        14 | 17 => Ok(Found {
            date: date()?,
            time: Some(clock(part(8..10), part(10..12), part(12..14))?),
        }),
        // Milliseconds since 1970, of thirteen digits from 2001 on; no other form has as many.
        13 => text
            .parse()
            .ok()
            .and_then(|at| Timestamp::from_millisecond(at).ok())
            .ok_or(DayError::Calendar)
            .and_then(in_china),
        // Ten are seconds since 1970 or a day with its hour, twelve milliseconds or a day with its minute, six have no century.
        6 | 10 | 12 => Err(DayError::Ambiguous),
        _ => Err(DayError::Shape),
    }
}

fn clock(hour: i16, minute: i16, second: i16) -> Result<Time, DayError> {
    Time::new(hour as i8, minute as i8, second as i8, 0).map_err(|_| DayError::Calendar)
}

/// Day and time of an instant in China.
fn in_china(at: Timestamp) -> Result<Found, DayError> {
    let here = summer::offset(at).to_datetime(at);
    if !YEARS.contains(&here.year()) {
        return Err(DayError::Calendar);
    }
    let time = clock(
        here.hour().into(),
        here.minute().into(),
        here.second().into(),
    )?;
    Ok(Found {
        date: here.date(),
        time: Some(time),
    })
}

/// What of a text is not read yet.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    /// From `least` to `most` digits as a number.
    fn digits(&mut self, least: usize, most: usize) -> Result<i16, DayError> {
        let count = self
            .0
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count < least {
            return Err(DayError::Shape);
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        number(digits).ok_or(DayError::Shape)
    }

    /// Takes the next byte when it is one of these.
    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let first = *self.0.first().filter(|first| bytes.contains(first))?;
        self.0 = &self.0[1..];
        Some(first)
    }

    /// `2021-10-31`, `2021/10/31`, `2021.10.31`, also with one digit, and `20211031`.
    fn date(&mut self) -> Result<Date, DayError> {
        let year = self.digits(4, 4)?;
        let Some(mark) = self.one_of(b"-/.") else {
            return of_parts(year, self.digits(2, 2)?, self.digits(2, 2)?);
        };
        let month = self.digits(1, 2)?;
        self.one_of(&[mark]).ok_or(DayError::Shape)?;
        of_parts(year, month, self.digits(1, 2)?)
    }

    /// `T08:30`, ` 08:30:00.000`, `T083000`; nothing where the day stands alone.
    fn time(&mut self) -> Result<Option<Time>, DayError> {
        let before = self.0;
        if self.one_of(b"Tt ").is_none() {
            return Ok(None);
        }
        while self.one_of(b" ").is_some() {}
        if !self.0.first().is_some_and(u8::is_ascii_digit) {
            self.0 = before;
            return Ok(None);
        }
        let hour = self.digits(2, 2)?;
        let colon = self.one_of(b":").is_some();
        let minute = self.digits(2, 2)?;
        let seconds = if colon {
            self.one_of(b":").is_some()
        } else {
            self.0.first().is_some_and(u8::is_ascii_digit)
        };
        let second = if seconds { self.digits(2, 2)? } else { 0 };
        if seconds && self.one_of(b".,").is_some() {
            let count = self
                .0
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if count == 0 {
                return Err(DayError::Shape);
            }
            self.0 = &self.0[count..];
        }
        clock(hour, minute, second).map(Some)
    }

    /// `Z`, `+08:00`, `+0800`, `+08`, and a zone's name in brackets after it, which adds nothing.
    fn offset(&mut self) -> Result<Option<Offset>, DayError> {
        while self.one_of(b" ").is_some() {}
        let seconds = match self.one_of(b"Zz+-") {
            None => return Ok(None),
            Some(b'Z' | b'z') => 0,
            Some(sign) => {
                let hours = self.digits(2, 2)?;
                let colon = self.one_of(b":").is_some();
                let minutes = if colon || self.0.first().is_some_and(u8::is_ascii_digit) {
                    self.digits(2, 2)?
                } else {
                    0
                };
                let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
                if minutes > 59 || seconds > 18 * 3600 {
                    return Err(DayError::Calendar);
                }
                if sign == b'-' { -seconds } else { seconds }
            }
        };
        if self.0.first() == Some(&b'[')
            && self.0.last() == Some(&b']')
            && self.0.iter().filter(|byte| **byte == b']').count() == 1
        {
            self.0 = &[];
        }
        Offset::from_seconds(seconds)
            .map(Some)
            .map_err(|_| DayError::Calendar)
    }
}

/// Reads a day of a JSON document, for serde.
///
/// # Errors
/// It is none; the text says what is expected, never what was found.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Date, D::Error> {
    from.deserialize_any(Wanted)
}

/// The same, or nothing.
///
/// # Errors
/// As [`deserialize`].
pub fn deserialize_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Date>, D::Error> {
    from.deserialize_option(WantedOrNot)
}

struct Wanted;

impl Visitor<'_> for Wanted {
    type Value = Date;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a date such as 2026-01-31, alone or with a time after it")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Date, E> {
        day(text.trim()).map_err(|_| E::invalid_value(Unexpected::Other("a text"), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Date, E> {
        day(&number.to_string()).map_err(|_| E::invalid_value(Unexpected::Other("a number"), &self))
    }
}

struct WantedOrNot;

impl<'de> Visitor<'de> for WantedOrNot {
    type Value = Option<Date>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Wanted.expecting(f)
    }

    fn visit_none<E>(self) -> Result<Option<Date>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<Date>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<Date>, D::Error> {
        deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests;
