//! From bytes to a record, or what is wrong with them: where, and what was expected.
//!
//! serde's messages repeat what was found, which may be about a person: only what they expected is
//! passed on.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::SubmissionProblem;
use crate::error::did_you_mean;
use crate::model::json;

/// Reads a record, strictly: unknown fields and trailing bytes are mistakes.
///
/// # Errors
/// The field and what was expected there, never what was found.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SubmissionProblem> {
    let bytes = without_mark(bytes);
    if let Ok(value) = json::from_slice(bytes) {
        return Ok(value);
    }
    // Once more, slowly, to know where.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(json::Strict(&mut reader)) {
        Ok(value) => match reader.end() {
            Ok(()) => Ok(value),
            Err(error) => Err(SubmissionProblem::new(
                "",
                "json",
                format!("something follows the record at column {}", error.column()),
            )),
        },
        Err(error) => {
            let path = field(error.path());
            Err(problem(&path, error.inner()))
        }
    }
}

/// The bytes without the byte order mark a file may begin with (RFC 8259, 8.1, allows to ignore it).
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn problem(path: &str, error: &serde_json::Error) -> SubmissionProblem {
    match error.classify() {
        // Of these, serde_json's messages repeat nothing.
        Category::Syntax | Category::Eof | Category::Io => {
            SubmissionProblem::new(path, "json", format!("not JSON: {error}"))
        }
        Category::Data => {
            let text = error.to_string();
            let text = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(text, _)| text);
            SubmissionProblem::new(path, "form", expectation(text))
        }
    }
}

fn expectation(text: &str) -> String {
    let expected = || {
        text.rsplit_once(", expected ")
            .map(|(_, expected)| expected)
    };
    if text.starts_with("missing field `") || text.starts_with("duplicate ") {
        return text.to_string();
    }
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let found = rest.split('`').next().unwrap_or_default();
        let known = expected().unwrap_or_default().split('`').skip(1).step_by(2);
        let shown = if is_name(found) {
            format!("unknown field `{found}`")
        } else {
            "an unknown field".to_string()
        };
        return format!(
            "{shown}{}; the schema lists those there are",
            did_you_mean(found, known)
        );
    }
    let told = [
        "unknown variant ",
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
    ]
    .iter()
    .any(|start| text.starts_with(start));
    match expected().filter(|_| told) {
        Some(expected) => format!("expected {expected}"),
        None => "not as the schema has it".to_string(),
    }
}

/// A path without the name of the enum's variant, of known words and indexes only.
fn field(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text += &format!("[{index}]"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text += if is_name(key) { key } else { "?" };
            }
            Segment::Unknown => {}
        }
    }
    let submission = [
        "institution",
        "caregiver",
        "delete_institution",
        "delete_caregiver",
    ];
    match text.split_once('.') {
        Some((first, rest)) if submission.contains(&first) => rest.to_string(),
        None if submission.contains(&text.as_str()) => String::new(),
        _ => text,
    }
}

/// Whether it looks like the name of a field, and so of nobody.
fn is_name(word: &str) -> bool {
    (1..=40).contains(&word.len())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::registry::{Caregiver, Submission};

    fn of(text: &str) -> String {
        let problem = parse::<Submission>(text.as_bytes()).expect_err("a mistake");
        format!("{} | {} | {}", problem.rule, problem.field, problem.detail)
    }

    #[test]
    fn a_mistake_is_told_with_its_field_and_what_was_expected() {
        let line = |field: &str| {
            format!("{{\"institution\":{{\"institution_id\":\"I\",\"version\":1,{field}}}}}")
        };
        assert_eq!(of(&line("\"beds\":\"many\"")), "form | beds | expected u32");
        assert_eq!(
            of(&line("\"kind\":\"hospital\"")),
            "form | kind | expected one of `medical`, `elderly_care`, `home_care`, `assessment`"
        );
        assert_eq!(
            of(&line("\"registered_on\":\"2026-02-30\"")),
            "form | registered_on | expected a date such as 2026-01-31, alone or with a time after it"
        );
        assert_eq!(
            of(&line("\"bedz\":3")),
            "form | bedz | unknown field `bedz` (did you mean `beds`?); the schema lists those there are"
        );
        assert!(
            of(&line("\"statuses\":[{\"status\":\"ended\",\"from\":7}]"))
                .starts_with("form | statuses[0].from | expected ")
        );
        assert_eq!(
            of(&line("\"name\":\"N\"")),
            "form |  | missing field `uscc`"
        );
        assert!(of("{\"hospital\":{}}").contains("expected one of `institution`, `caregiver`"));
    }

    #[test]
    fn what_is_not_json_is_told_with_the_place() {
        assert_eq!(
            of("{\"institution\":"),
            "json |  | not JSON: EOF while parsing a value at line 1 column 15"
        );
        assert_eq!(
            of(
                "{\"delete_caregiver\":{\"id\":\"C\",\"version\":1,\"reason\":\"r\",\"on\":\"2026-01-01\"}} x"
            ),
            "json |  | something follows the record at column 76"
        );
    }

    #[test]
    fn a_byte_order_mark_before_a_record_is_ignored() {
        let line = "\u{feff}{\"delete_caregiver\":{\"id\":\"C\",\"version\":1,\"reason\":\"r\",\"on\":\"2026-01-01T23:30:00Z\"}}";
        let Submission::DeleteCaregiver(end) = parse(line.as_bytes()).expect("a submission") else {
            panic!("another submission")
        };
        assert_eq!(end.on, jiff::civil::date(2026, 1, 2), "the day in China");
    }

    #[test]
    fn what_was_found_is_never_repeated() {
        let private = ["张秀英", "11010519491231002X", "13812345678"];
        for text in [
            r#"{"personal":{"name":"张秀英","birth_on":"11010519491231002X"}}"#,
            r#"{"personal":{"name":"张秀英","certificate_type":"13812345678"}}"#,
            r#"{"personal":{"name":["张秀英"]}}"#,
            r#"{"personal":"13812345678, expected 张秀英"}"#,
            r#"{"version":"13812345678"}"#,
            r#"{"13812345678":1}"#,
            r#"{"personal":{"qualification_numbers":{"张秀英":"13812345678"}}}"#,
            r#"{"personal":{"qualification_numbers":{"nurse":13812345678}}}"#,
            r#"{"registered_on":"张秀英, expected 11010519491231002X"}"#,
        ] {
            let problem = parse::<Caregiver>(text.as_bytes()).expect_err("a mistake");
            let told = format!("{problem:?}");
            for private in private {
                assert!(!told.contains(private), "{text}: {told}");
            }
        }
    }
}
