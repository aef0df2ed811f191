//! Times in a question: a year, a month, a day, a minute, a second or a part of one, and FHIR's prefixes.
//!
//! A time means the whole of what it leaves open (R4 §3.1.1.4.9); without an offset it is that of China.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// From when until when; open where there is no bound. The end is not included.
pub type Interval = (Option<Timestamp>, Option<Timestamp>);

const CHINA: Offset = Offset::constant(8);

/// The intervals that one of the values of a parameter allows, such as `ge2026-01,eq2025-12-31`.
pub fn intervals(value: &str, now: Timestamp) -> Option<Vec<Interval>> {
    let mut all = Vec::new();
    for one in value.split(',') {
        let (prefix, time) = one
            .split_at_checked(2)
            .filter(|(prefix, _)| prefix.bytes().all(|byte| byte.is_ascii_lowercase()))
            .unwrap_or(("eq", one));
        let (start, end) = moment(time)?;
        match prefix {
            "eq" => all.push((Some(start), Some(end))),
            "ne" => all.extend([(None, Some(start)), (Some(end), None)]),
            "gt" | "sa" => all.push((Some(end), None)),
            "ge" => all.push((Some(start), None)),
            "lt" | "eb" => all.push((None, Some(start))),
            "le" => all.push((None, Some(end))),
            "ap" => {
                // A tenth of the time between it and now, as R4 recommends.
                let about = now.duration_since(start).unsigned_abs() / 10;
                let about = SignedDuration::try_from(about).ok()?;
                all.push((
                    Some(start.checked_sub(about).ok()?),
                    Some(end.checked_add(about).ok()?),
                ));
            }
            _ => return None,
        }
    }
    Some(all)
}

/// From when until when a time is; times are kept in microseconds.
pub fn moment(text: &str) -> Option<(Timestamp, Timestamp)> {
    // A plus sign that was not percent-encoded arrives as a space.
    let text = text.replace(' ', "+");
    let Some((day, time)) = text.split_once('T') else {
        return days(&text);
    };
    let day: Date = formed(day, 10)?;
    let (time, offset) = zone(time)?;
    let (clock, fraction) = time
        .split_once('.')
        .map_or((time, None), |(clock, fraction)| (clock, Some(fraction)));
    let (whole, mut width) = match clock.len() {
        5 if fraction.is_none() => (format!("{clock}:00"), SignedDuration::from_mins(1)),
        8 => (clock.to_owned(), SignedDuration::from_secs(1)),
        _ => return None,
    };
    let time: Time = formed(&whole, 8)?;
    let mut start = offset.to_timestamp(day.to_datetime(time)).ok()?;
    if let Some(fraction) = fraction {
        let digits = fraction
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| fraction.len().min(6))
            .filter(|digits| *digits > 0)?;
        let unit = 10_i64.pow(6 - u32::try_from(digits).ok()?);
        let micros = fraction[..digits].parse::<i64>().ok()? * unit;
        start = start
            .checked_add(SignedDuration::from_micros(micros))
            .ok()?;
        width = SignedDuration::from_micros(unit);
    }
    Some((start, start.checked_add(width).ok()?))
}

/// Exactly this long, so that nothing but the form FHIR has is read.
fn formed<T: std::str::FromStr>(text: &str, length: usize) -> Option<T> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b':');
    (plain && text.len() == length)
        .then(|| text.parse().ok())
        .flatten()
}

/// A time and its offset.
fn zone(time: &str) -> Option<(&str, Offset)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, Offset::UTC));
    }
    let Some(at) = time.rfind(['+', '-']) else {
        return Some((time, CHINA));
    };
    let (time, offset) = time.split_at(at);
    let (hours, minutes) = offset[1..]
        .split_once(':')
        .filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = (hours * 60 + minutes) * 60;
    let offset = Offset::from_seconds(if offset.starts_with('-') {
        -seconds
    } else {
        seconds
    })
    .ok()?;
    (minutes < 60).then_some((time, offset))
}

/// A year, a month or a day in China.
fn days(text: &str) -> Option<(Timestamp, Timestamp)> {
    let (first, next): (Date, Date) = match text.len() {
        4 => {
            let first: Date = formed(&format!("{text}-01-01"), 10)?;
            (first, first.checked_add(1.year()).ok()?)
        }
        7 => {
            let first: Date = formed(&format!("{text}-01"), 10)?;
            (first, first.checked_add(1.month()).ok()?)
        }
        _ => {
            let first: Date = formed(text, 10)?;
            (first, first.tomorrow().ok()?)
        }
    };
    let begins = |day: Date| CHINA.to_timestamp(day.at(0, 0, 0, 0)).ok();
    Some((begins(first)?, begins(next)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_time_means_the_whole_of_what_it_leaves_open() {
        for (text, start, end) in [
            ("2026", "2025-12-31T16:00:00Z", "2026-12-31T16:00:00Z"),
            ("2026-02", "2026-01-31T16:00:00Z", "2026-02-28T16:00:00Z"),
            ("2026-11-22", "2026-11-21T16:00:00Z", "2026-11-22T16:00:00Z"),
            (
                "2026-11-22T10:30Z",
                "2026-11-22T10:30:00Z",
                "2026-11-22T10:31:00Z",
            ),
            (
                "2026-11-22T10:30:05+08:00",
                "2026-11-22T02:30:05Z",
                "2026-11-22T02:30:06Z",
            ),
            (
                "2026-11-22T10:30:05 08:00",
                "2026-11-22T02:30:05Z",
                "2026-11-22T02:30:06Z",
            ),
            (
                "2026-11-22T10:30:05",
                "2026-11-22T02:30:05Z",
                "2026-11-22T02:30:06Z",
            ),
            (
                "2026-11-22T00:00:00.5-05:00",
                "2026-11-22T05:00:00.5Z",
                "2026-11-22T05:00:00.6Z",
            ),
            (
                "2026-11-22T00:00:00.123456Z",
                "2026-11-22T00:00:00.123456Z",
                "2026-11-22T00:00:00.123457Z",
            ),
        ] {
            assert_eq!(moment(text), Some((at(start), at(end))), "{text}");
        }
        for bad in [
            "",
            "26",
            "2026-13",
            "2026-02-30",
            "20260101",
            "2026-01-01T",
            "2026-01-01T10",
            "2026-01-01T25:00Z",
            "2026-01-01T10:00:00.Z",
            "yesterday",
            "é",
        ] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn prefixes_bound_what_is_found() {
        let now = at("2026-01-11T16:00:00Z");
        let (start, end) = (at("2025-12-31T16:00:00Z"), at("2026-01-01T16:00:00Z"));
        for (prefix, expected) in [
            ("", vec![(Some(start), Some(end))]),
            ("eq", vec![(Some(start), Some(end))]),
            ("ne", vec![(None, Some(start)), (Some(end), None)]),
            ("gt", vec![(Some(end), None)]),
            ("sa", vec![(Some(end), None)]),
            ("ge", vec![(Some(start), None)]),
            ("lt", vec![(None, Some(start))]),
            ("eb", vec![(None, Some(start))]),
            ("le", vec![(None, Some(end))]),
            (
                "ap",
                vec![(
                    Some(at("2025-12-30T13:36:00Z")),
                    Some(at("2026-01-02T18:24:00Z")),
                )],
            ),
        ] {
            assert_eq!(
                intervals(&format!("{prefix}2026-01-01"), now),
                Some(expected),
                "{prefix}"
            );
        }
        assert_eq!(
            intervals("lt2026-01-01,gt2026-01-01", now).map(|all| all.len()),
            Some(2),
            "one of several"
        );
        assert_eq!(intervals("xx2026-01-01", now), None);
    }
}
