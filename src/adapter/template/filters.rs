//! The closed list of filters and tests a template may use.
//!
//! Money arrives as whole fen and leaves as yuan with two decimals; nothing here rounds. Errors say
//! what was expected and never what was found, because that may be private.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::adapter::capability::nhsa::beijing;
use crate::model::{Fen, Month};

/// Filters of ours with one sentence each, for `adapter list`.
pub static FILTERS: &[(&str, &str)] = &[
    (
        "yuan",
        "whole fen as text in yuan with two decimals: 1234 -> \"12.34\"",
    ),
    (
        "yuan_number",
        "whole fen as a JSON number in yuan with two decimals: 1234 -> 12.34",
    ),
    (
        "rate",
        "millionths as a decimal fraction in text: 69500 -> \"0.0695\"",
    ),
    (
        "rate_number",
        "millionths as a JSON number: 69500 -> 0.0695",
    ),
    (
        "month",
        "a month (202110 or 2021-10) in a strftime format, 202110 by default",
    ),
    (
        "date",
        "a date or time in a strftime format, 2021-10-20 by default; times are told in Beijing time",
    ),
    (
        "code",
        "our word in the partner's code, by a table of codes/: line.payment_kind | code(\"payment_kind\")",
    ),
    ("text", "a number or boolean as text"),
    (
        "total",
        "the exact sum of a whole-number field of all items: lines | total(\"medical_fen\") | yuan",
    ),
    ("length", "how many items or characters"),
    (
        "default",
        "another value where this one is undefined; with null=true also where it is null",
    ),
];

/// Tests of ours, as in `x is defined`.
pub static TESTS: &[&str] = &["defined", "none"];

/// A sentence made by this project, safe to show.
#[derive(Debug)]
pub struct SafeText(String);

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SafeText {}

/// A rendering error whose text is safe to show.
pub fn error(text: impl Into<String>) -> Error {
    Error::from(ErrorKind::InvalidOperation).with_source(SafeText(text.into()))
}

/// A number written exactly as these digits.
#[derive(Debug)]
pub struct Number(String);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Object for Number {
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds the filters and tests to an empty environment.
pub fn install(
    environment: &mut Environment<'static>,
    codes: BTreeMap<String, BTreeMap<String, String>>,
) {
    environment.add_filter("yuan", |value: &Value| yuan(value));
    environment.add_filter("yuan_number", |value: &Value| {
        yuan(value).map(|text| Value::from_object(Number(text)))
    });
    environment.add_filter("rate", |value: &Value| rate(value));
    environment.add_filter("rate_number", |value: &Value| {
        rate(value).map(|text| Value::from_object(Number(text)))
    });
    environment.add_filter("month", |value: &Value, format: Option<&str>| {
        month(value, format.unwrap_or("%Y%m"))
    });
    environment.add_filter("date", |value: &Value, format: Option<&str>| {
        date(value, format.unwrap_or("%Y-%m-%d"))
    });
    environment.add_filter("code", move |value: &Value, table: &str| {
        code(&codes, value, table)
    });
    environment.add_filter("text", |value: &Value| text(value));
    environment.add_filter("total", |items: &Value, field: &str| total(items, field));
    environment.add_filter("length", |value: &Value| {
        value
            .len()
            .ok_or_else(|| error("`length` expects a list, map or text"))
    });
    environment.add_filter("default", default);
    environment.add_test("defined", |value: &Value| !value.is_undefined());
    environment.add_test("none", |value: &Value| value.is_none());
}

fn whole(value: &Value, filter: &str, expects: &str) -> Result<i64, Error> {
    value
        .as_i64()
        .filter(|_| value.is_integer())
        .ok_or_else(|| {
            error(format!(
                "`{filter}` expects {expects}, found {}",
                kind(value)
            ))
        })
}

fn kind(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "an undefined value",
        ValueKind::None => "null",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "another number",
        ValueKind::String => "text of another shape",
        _ => "a list or map",
    }
}

fn yuan(value: &Value) -> Result<String, Error> {
    Ok(Fen(whole(value, "yuan", "whole fen")?).to_string())
}

fn rate(value: &Value) -> Result<String, Error> {
    let millionths = whole(value, "rate", "whole millionths")?;
    let sign = if millionths < 0 { "-" } else { "" };
    let (units, places) = (
        millionths.unsigned_abs() / 1_000_000,
        millionths.unsigned_abs() % 1_000_000,
    );
    let text = format!("{sign}{units}.{places:06}");
    Ok(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn month(value: &Value, format: &str) -> Result<String, Error> {
    let number = value
        .as_i64()
        .and_then(|number| i32::try_from(number).ok())
        .and_then(Month::from_number);
    let written = value
        .as_str()
        .and_then(|text| Month::parse(text).or_else(|| Month::parse_dashed(text)));
    let month = number.or(written).ok_or_else(|| {
        error(format!(
            "`month` expects a month such as 202110, found {}",
            kind(value)
        ))
    })?;
    let first = jiff::civil::Date::new(month.year(), month.month(), 1)
        .map_err(|_| error("`month` expects a month of the calendar"))?;
    jiff::fmt::strtime::format(format, first).map_err(|_| {
        error("`month` has a format that strftime does not know; expected one such as \"%Y-%m\"")
    })
}

fn date(value: &Value, format: &str) -> Result<String, Error> {
    let wrong = || {
        error(format!(
            "`date` expects a date such as 2021-10-20 or a time, found {}",
            kind(value)
        ))
    };
    let text = value.as_str().ok_or_else(wrong)?;
    let formatted = if let Ok(at) = text.parse::<jiff::Timestamp>() {
        jiff::fmt::strtime::format(format, &at.to_zoned(beijing()))
    } else if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        jiff::fmt::strtime::format(format, at)
    } else {
        return Err(wrong());
    };
    formatted.map_err(|_| {
        error("`date` has a format that strftime does not know; expected one such as \"%Y%m%d\"")
    })
}

fn code(
    codes: &BTreeMap<String, BTreeMap<String, String>>,
    value: &Value,
    table: &str,
) -> Result<String, Error> {
    let rows = codes
        .get(table)
        .ok_or_else(|| error(format!("there is no codes/{table}.csv")))?;
    let word = value.as_str().ok_or_else(|| {
        error(format!(
            "`code` expects one of our words, found {}",
            kind(value)
        ))
    })?;
    rows.get(word).cloned().ok_or_else(|| {
        error(format!(
            "codes/{table}.csv has no row for this word of ours; add one with its code"
        ))
    })
}

fn total(items: &Value, field: &str) -> Result<i64, Error> {
    let mut sum = 0_i64;
    for item in items
        .try_iter()
        .map_err(|_| error(format!("`total` expects a list, found {}", kind(items))))?
    {
        let amount = item
            .get_attr(field)
            .map_err(|_| error(format!("`total` expects items with `{field}`")))?;
        sum = sum
            .checked_add(whole(&amount, "total", "whole numbers")?)
            .ok_or_else(|| error("`total` leaves the range of 64-bit numbers"))?;
    }
    Ok(sum)
}

fn text(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Number => Ok(value.to_string()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        _ => Err(error(format!(
            "`text` expects a number, a boolean or text, found {}",
            kind(value)
        ))),
    }
}

fn default(value: &Value, other: Value, options: Kwargs) -> Result<Value, Error> {
    let also_null = options.get::<Option<bool>>("null")?.unwrap_or(false);
    options.assert_all_used()?;
    Ok(if value.is_undefined() || (also_null && value.is_none()) {
        other
    } else {
        value.clone()
    })
}
