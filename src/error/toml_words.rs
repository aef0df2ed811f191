//! What the reader of TOML and serde say about a file, in the words of this project: what was found, what
//! is allowed, what to do.
//!
//! Knows no file's meaning; keys and words come from the messages themselves.

use toml::de::DeTable;

use super::{Finding, did_you_mean};

/// Characters of a value that are quoted back.
const QUOTED_MAX: usize = 60;

/// A file that cannot be read as what it should be, with line and column.
pub fn unreadable(file: &str, source: &str, error: &toml::de::Error) -> Finding {
    let span = error.span().unwrap_or(0..0);
    let text = if error.span().is_some() && DeTable::parse(source).is_err() {
        syntax(error.message(), line_of(source, span.start))
    } else {
        in_words(
            error.message(),
            source.get(span.clone()).unwrap_or_default(),
        )
    };
    match error.span() {
        Some(span) => Finding::at_offset(file, source, span.start, text),
        None => Finding::new(file, None, text),
    }
}

/// serde's message about a value whose text in the file is `found`.
pub fn in_words(message: &str, found: &str) -> String {
    let message = message.trim_end();
    if let Some((key, allowed)) = listed(message, "unknown field `") {
        return unknown_key(key, &allowed);
    }
    if let Some((word, allowed)) = listed(message, "unknown variant `") {
        return format!(
            "`{word}` is not known here; expected {}{}",
            one_of(&allowed),
            did_you_mean(word, allowed.iter().copied())
        );
    }
    if let Some(key) = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        return format!("the key `{key}` is missing; add a line `{key} = ...` here");
    }
    let wrong = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        return wrong_kind(found, expected);
    }
    if message == "invalid socket address syntax" {
        return format!(
            "found {}; expected an IP address and a port, such as \"0.0.0.0:8443\"; a name cannot be listened on",
            quoted(found)
        );
    }
    if message.starts_with("expected ") {
        return format!("found {}; {message}", quoted(found));
    }
    message.to_owned()
}

/// A sentence about a key that nothing knows.
pub fn unknown_key(found: &str, allowed: &[&str]) -> String {
    format!(
        "unknown key `{found}`; expected one of {}{}",
        allowed.join(", "),
        did_you_mean(found, allowed.iter().copied())
    )
}

/// The word a message begins with and those it allows: serde writes all of them in backticks.
fn listed<'m>(message: &'m str, start: &str) -> Option<(&'m str, Vec<&'m str>)> {
    let (found, rest) = message.strip_prefix(start)?.split_once('`')?;
    Some((found, rest.split('`').skip(1).step_by(2).collect()))
}

fn one_of(allowed: &[&str]) -> String {
    match allowed {
        [one] => format!("`{one}`"),
        _ => format!("one of {}", allowed.join(", ")),
    }
}

/// `string "200"` where `u32` was expected.
fn wrong_kind(found: &str, expected: &str) -> String {
    let (kind, value) = found
        .split_once(['`', '"'])
        .map_or((found, ""), |(kind, value)| {
            (kind.trim_end(), value.trim_end_matches(['`', '"']))
        });
    let shown: String = value.chars().take(QUOTED_MAX).collect();
    let (found, number) = match kind {
        "string" => (
            format!("the text \"{shown}\""),
            value.trim().parse::<i64>().is_ok(),
        ),
        "integer" | "floating point" => (format!("the number {shown}"), true),
        "boolean" => (shown.clone(), false),
        "sequence" => ("a list".to_owned(), false),
        "map" => ("a table".to_owned(), false),
        other => (other.to_owned(), false),
    };
    let whole = |most: u64| {
        (
            format!("a whole number from 0 to {most}, without quotes"),
            true,
        )
    };
    let (expected, counts) = match expected {
        "a string" => ("a text in quotes".to_owned(), false),
        "u8" => whole(u64::from(u8::MAX)),
        "u16" => whole(u64::from(u16::MAX)),
        "u32" => whole(u64::from(u32::MAX)),
        "u64" | "usize" => (
            "a whole number, not below 0, without quotes".to_owned(),
            true,
        ),
        "i8" | "i16" | "i32" | "i64" => ("a whole number, without quotes".to_owned(), true),
        "a boolean" => ("true or false, without quotes".to_owned(), false),
        "a sequence" => ("a list in square brackets".to_owned(), false),
        "a map" => ("a table".to_owned(), false),
        other if other.starts_with("struct ") => ("a table".to_owned(), false),
        other => (other.to_owned(), false),
    };
    let instead = match (kind, number && counts) {
        ("string", true) => format!(": write {}", value.trim()),
        ("integer" | "floating point", false)
            if expected.contains("quotes") && !expected.starts_with("true") =>
        {
            format!(": write \"{shown}\"")
        }
        _ => String::new(),
    };
    format!("found {found}; expected {expected}{instead}")
}

/// What is no TOML at all, with what usually is the matter.
fn syntax(message: &str, line: &str) -> String {
    let line = line.trim();
    if message.starts_with("duplicate key") {
        return match line.starts_with('[') {
            true => format!(
                "`{}` stands here a second time; a table belongs to the last [[...]] above it: is that line missing or misspelt, or has it one bracket instead of two?",
                line.split('#').next().unwrap_or(line).trim_end()
            ),
            false => format!(
                "`{}` stands here a second time; keep one of the two lines",
                line.split('=').next().unwrap_or(line).trim_end()
            ),
        };
    }
    let hint = match message {
        text if text.contains("string") => "look for a missing quote on this line",
        text if text.contains("date") || text.contains("time") => {
            "a month or a day is a text here: write it in quotes"
        }
        text if text.contains("array") || text.contains("table") => {
            "look for a missing bracket or comma on this line or before it"
        }
        _ => "a line is `key = value`, `[table]` or a comment after `#`; texts stand in quotes",
    };
    format!("this is not TOML: {message}; {hint}")
}

fn line_of(source: &str, offset: usize) -> &str {
    let at = source.floor_char_boundary(offset.min(source.len()));
    let start = source[..at].rfind('\n').map_or(0, |end| end + 1);
    source[start..].lines().next().unwrap_or_default()
}

fn quoted(found: &str) -> String {
    let first = found.lines().next().unwrap_or_default();
    let cut: String = first.chars().take(QUOTED_MAX).collect();
    if cut.len() < found.len() {
        format!("`{cut}...`")
    } else {
        format!("`{cut}`")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct File {
        count: Option<u32>,
        name: Option<String>,
        on: Option<bool>,
        list: Option<Vec<String>>,
        at: Option<std::net::SocketAddr>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Warning,
        Refusal,
    }

    #[test]
    fn each_kind_of_mistake_says_what_was_found_what_is_allowed_and_what_to_do() {
        for (source, expected) in [
            (
                "cuont = 1",
                "f:1:1: unknown key `cuont`; expected one of count, name, on, list, at, kind (did you mean `count`?)",
            ),
            (
                "count = \"200\"",
                "f:1:9: found the text \"200\"; expected a whole number from 0 to 4294967295, without quotes: write 200",
            ),
            (
                "count = -3",
                "f:1:9: found the number -3; expected a whole number from 0 to 4294967295, without quotes",
            ),
            (
                "name = 450100",
                "f:1:8: found the number 450100; expected a text in quotes: write \"450100\"",
            ),
            (
                "on = \"yes\"",
                "f:1:6: found the text \"yes\"; expected true or false, without quotes",
            ),
            (
                "list = \"a\"",
                "f:1:8: found the text \"a\"; expected a list in square brackets",
            ),
            (
                "name = [\"a\"]",
                "f:1:8: found a list; expected a text in quotes",
            ),
            (
                "at = \"localhost:1\"",
                "f:1:6: found `\"localhost:1\"`; expected an IP address and a port, such as \"0.0.0.0:8443\"; a name cannot be listened on",
            ),
            (
                "kind = \"warnin\"",
                "f:1:8: `warnin` is not known here; expected one of warning, refusal (did you mean `warning`?)",
            ),
            (
                "name = \"a\"\nname = \"b\"",
                "f:2:1: `name` stands here a second time; keep one of the two lines",
            ),
        ] {
            let error = toml::from_str::<File>(source).expect_err(source);
            assert_eq!(unreadable("f", source, &error).to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_toml_names_what_usually_is_the_matter() {
        for (source, hint) in [
            ("name = \"a", "look for a missing quote"),
            ("name = 2021-03", "write it in quotes"),
            (
                "[list]\na = 1\n[list]\n",
                "`[list]` stands here a second time",
            ),
        ] {
            let error = toml::from_str::<toml::Table>(source).expect_err(source);
            let text = unreadable("f", source, &error).to_string();
            assert!(text.contains(hint), "{source}: {text}");
        }
    }
}
