//! Spellings of days, held against what they mean; nothing but tests.

use jiff::civil::date;

use super::*;

#[test]
fn every_spelling_of_a_day_is_that_day() {
    let sixth = date(2021, 11, 6);
    for text in [
        "20211106",
        "2021-11-06",
        "2021/11/06",
        "2021/11/6",
        "2021.11.06",
        "2021-11-06 00:00:00",
        "20211106000000",
        "20211106000000000",
        "2021-11-06T00:00:00",
        "2021-11-06T00:00:00.000+08:00",
        "2021-11-06 00:00:00.0",
        "2021-11-06 00:00:00.0 +0800",
        "2021-11-05T16:00:00Z",
        "2021-11-05T16:00:00.000000000z",
        "2021/11/06 23:59",
        "1636128000000",
        "1636214399999",
        "2021-11-06 23:59:59",
        "20211106T235959+08",
        "2021-11-06T00:00+08:00[Asia/Shanghai]",
        "2021-11-06T00:00:00-05:00",
        "2021-11-06+08:00",
    ] {
        assert_eq!(day(text), Ok(sixth), "{text}");
    }
    assert_eq!(
        day("1636127999999"),
        Ok(date(2021, 11, 5)),
        "a millisecond before midnight in China"
    );
    assert_eq!(day("2021-11-05T15:59:59Z"), Ok(date(2021, 11, 5)));
}

/// Expected days are those of another implementation of the IANA database.
#[test]
fn an_instant_is_on_the_day_that_clocks_in_china_showed() {
    for (text, expected) in [
        ("1988-05-31T23:00+08:00", date(1988, 6, 1)),
        ("1988-05-31T22:59:59+08:00", date(1988, 5, 31)),
        ("1991-09-15T00:59:59+09:00", date(1991, 9, 15)),
        ("1986-05-03T18:00:00Z", date(1986, 5, 4)),
        ("1986-05-04T00:30:00+09:00", date(1986, 5, 3)),
        ("1985-07-01T23:30+08:00", date(1985, 7, 1)),
        ("1992-07-01T23:30+08:00", date(1992, 7, 1)),
        ("1947-05-31T15:00Z", date(1947, 6, 1)),
        ("1947-05-31T14:59:59Z", date(1947, 5, 31)),
        ("1945-06-30T15:30Z", date(1945, 7, 1)),
        ("1949-05-28T23:30:00+08:00", date(1949, 5, 28)),
        ("1950-07-01T15:30Z", date(1950, 7, 1)),
    ] {
        assert_eq!(day(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_can_mean_two_days_or_none_is_refused_for_its_cause() {
    use DayError::{Ambiguous, Calendar, Shape, Words, YearLast};
    for (text, error) in [
        ("06-NOV-21", Words),
        ("Sat Nov 06 00:00:00 CST 2021", Words),
        ("2021-11-06 12:00:00 CST", Words),
        ("01/02/2021", YearLast),
        ("31.10.2021", YearLast),
        ("21-11-06", YearLast),
        ("211106", Ambiguous),
        ("1636128000", Ambiguous),
        ("202111060000", Ambiguous),
        ("2021-11-06Z", Ambiguous),
        ("2021-11-06-05:00", Ambiguous),
        ("2021-11-06T24:00:00", Calendar),
        ("2021-11-06T23:59:60", Calendar),
        ("20210229", Calendar),
        ("20211301", Calendar),
        ("2021-11-00", Calendar),
        ("18991231", Calendar),
        ("22000101", Calendar),
        ("2021-11-06T00:00+19:00", Calendar),
        ("", Shape),
        ("2021-11-061", Shape),
        ("2021/11-06", Shape),
        ("2021-11-06T", Shape),
        ("2021-11-06T00:00:00.", Shape),
        ("2021-11-06T00:00:00+8", Shape),
        ("2021-11-06T00:00[Asia/Shanghai]", Words),
        ("２０２１1106", Shape),
        ("2021年11月6日", Shape),
        ("99999999999999999999", Shape),
    ] {
        assert_eq!(day(text), Err(error), "{text}");
        assert!(error.to_string().contains("2021-10-31"), "{error}");
    }
    assert!(day("20200229").is_ok());
}

#[test]
fn times_are_seconds_on_the_clocks_of_china() {
    let at = date(2021, 10, 31).at(23, 59, 59, 0);
    for text in [
        "20211031235959",
        "2021-10-31 23:59:59",
        "2021-10-31T23:59:59.999",
        "2021-10-31T15:59:59Z",
        "20211031235959123",
        "1635695999000",
    ] {
        assert_eq!(time(text), Ok(at), "{text}");
    }
    assert_eq!(time("20211031"), Err(DayError::NoTime));
    assert_eq!(time("20211031240000"), Err(DayError::Calendar));
}

#[derive(serde::Deserialize)]
struct Born {
    #[serde(deserialize_with = "super::deserialize")]
    on: Date,
    #[serde(default, deserialize_with = "super::deserialize_option")]
    until: Option<Date>,
}

#[test]
fn a_day_in_json_is_text_or_a_number_and_a_mistake_is_not_repeated() {
    let born: Born =
        serde_json::from_str(r#"{"on": "1988-05-31T23:00+08:00", "until": 20211106}"#).unwrap();
    assert_eq!(
        (born.on, born.until),
        (date(1988, 6, 1), Some(date(2021, 11, 6)))
    );
    let born: Born = serde_json::from_str(r#"{"on": 1636128000000, "until": null}"#).unwrap();
    assert_eq!((born.on, born.until), (date(2021, 11, 6), None));
    for text in [
        r#"{"on": "31.12.1949"}"#,
        r#"{"on": 7}"#,
        r#"{"on": "1949-12-31", "until": "31.12.1949"}"#,
        r#"{"on": null}"#,
    ] {
        let error = serde_json::from_str::<Born>(text)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected a date such as 2026-01-31") && !error.contains("1949"),
            "{error}"
        );
    }
}
