//! JSON and NDJSON: strictness beyond what the scaffold's samples show.

use super::*;
use crate::adapter::compile::Compiler;
use crate::adapter::manifest::{Manifest, Source};

const MANIFEST: &str = include_str!("../../scaffold/adapter.toml");

/// The scaffold's endpoint, its manifest altered.
fn endpoint(alter: impl Fn(&str) -> String) -> Endpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adapter/scaffold");
    let source = Source {
        file: "adapter.toml".into(),
        text: alter(MANIFEST),
    };
    let mut findings = Vec::new();
    let manifest = Manifest::read(&source, &mut findings).unwrap();
    let mut compiler = Compiler::new(&source, &folder);
    let endpoint = compiler.endpoints(&manifest.inbound).pop();
    assert_eq!((findings, compiler.findings), (vec![], vec![]));
    endpoint.unwrap()
}

fn tree() -> Endpoint {
    endpoint(str::to_string)
}

fn stream() -> Endpoint {
    endpoint(|text| {
        text.replace(
            "format = \"json\"\nrecord = \"body/details\"",
            "format = \"ndjson\"",
        )
    })
}

fn detail(paid: &str) -> String {
    format!(
        r#"{{"detail_no": "D-1", "area": 450100, "district": "450103", "receipt_no": "R-1", "insurance": "310", "employer_no": "E-\u4E2D\"1", "month": "2021-10", "base": 100, "rate": 0.0695, "paid": {paid}, "treasury_date": "2021-11-06", "more": {{"paid": [1]}}}}"#
    )
}

fn document(details: &str) -> String {
    format!(
        r#"{{"head": {{"packet_no": "P", "lines": 1}}, "body": {{"details": [{details}]}}, "more": [null, true]}}"#
    )
}

fn decode(endpoint: &Endpoint, text: &str) -> Result<Lines, PacketRefusal> {
    lines(endpoint, Cursor::new(text.to_string()), 8192, 100)
}

#[test]
fn numbers_are_taken_as_they_are_written() {
    let taken = |paid: &str| decode(&tree(), &document(&detail(paid))).unwrap().remove(0);
    assert_eq!(taken("6.95"), Ok(Fen(695)));
    assert_eq!(taken("999999999999.99"), Ok(Fen(99_999_999_999_999)));
    assert_eq!(taken("\"-6.95\""), Ok(Fen(-695)));
    for (exponent, fen) in [
        ("1.035E+1", 1_035),
        ("1e3", 100_000),
        ("1E-2", 1),
        ("-0E-8", 0),
    ] {
        assert_eq!(taken(exponent), Ok(Fen(fen)), "{exponent}");
    }
    for refused in ["6.955", "1E-3", "1e99", "true", "\"1,000\""] {
        assert_eq!(taken(refused).unwrap_err().element, "paid", "{refused}");
    }
    assert_eq!(
        taken("null").unwrap_err().reason,
        "is missing or empty; it is required"
    );
    assert_eq!(
        taken("[1]").unwrap_err().reason,
        "contains something other than text; expected text only"
    );
    assert_eq!(
        taken("1, \"paid\": 2").unwrap_err().reason,
        "occurs more than once in the record; expected once"
    );
}

#[test]
fn a_broken_document_is_refused_whole_without_quoting_it() {
    let good = document(&detail("1"));
    assert!(decode(&tree(), &good).is_ok());
    for end in 0..good.len() {
        assert!(
            decode(&tree(), &good[..end]).is_err(),
            "cut after {end} bytes"
        );
    }
    for broken in [
        good.clone() + "x",
        good.clone() + "{}",
        document("1"),
        document("\"secret\""),
        document("[]"),
        good.replace("[{", "{\"a\":{").replace("}], ", "}}, "),
    ] {
        let refusal = decode(&tree(), &broken).unwrap_err();
        assert_eq!(refusal.kind, DecodeErrorKind::Malformed, "{broken}");
        assert!(!refusal.reason.contains("secret"), "{}", refusal.reason);
    }
}

#[test]
fn a_head_value_that_occurs_twice_is_refused() {
    let refusal = decode(
        &tree(),
        &document(&detail("1")).replace("\"lines\": 1", "\"lines\": 1, \"lines\": 1"),
    )
    .unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.element.as_deref()),
        (DecodeErrorKind::Malformed, Some("head/lines"))
    );
}

#[test]
fn a_key_that_occurs_twice_is_refused_wherever_it_stands() {
    let good = document(&detail("1"));
    for (place, twice) in [
        ("\"more\": [null", "\"more\": 1, \"more\": [null"),
        ("[null, true]", "[null, {\"x\": 1, \"x\": 1}]"),
        ("\"body\":", "\"body\": {}, \"body\":"),
        ("\"details\":", "\"details\": [], \"details\":"),
        ("{\"paid\": [1]}", "{\"paid\": [1], \"pa\\u0069d\": 2}"),
    ] {
        let text = good.replace(place, twice);
        assert_ne!(text, good);
        let refusal = decode(&tree(), &text).unwrap_err();
        assert!(
            refusal.reason.contains("an object has a key twice"),
            "{text}: {}",
            refusal.reason
        );
    }
    // One line of many is none the worse for another.
    let line = |more: &str| format!("{}\n", detail("1").replace("{\"paid\": [1]}", more));
    let head = r#"{"head": {"packet_no": "P", "lines": 2}}"#;
    let found = decode(
        &stream(),
        &format!("{head}\n{}{}", line("{\"a\": 1, \"a\": 2}"), line("1")),
    )
    .unwrap();
    assert!(
        found[0]
            .as_ref()
            .unwrap_err()
            .reason
            .contains("a key twice")
            && found[1].is_ok(),
        "{found:?}"
    );
}

#[test]
fn json_nests_at_most_sixteen_deep() {
    let nested = |depth: usize| {
        document(&detail("1")).replace(
            "[null, true]",
            &format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1)),
        )
    };
    assert!(decode(&tree(), &nested(DEPTH_MAX)).is_ok());
    assert!(
        decode(&tree(), &nested(DEPTH_MAX + 1))
            .unwrap_err()
            .reason
            .contains("nested deeper than 16")
    );
}

#[test]
fn a_json_document_has_at_most_sixteen_mebibytes() {
    let sized = |bytes: usize| {
        let text = document(&detail("1"));
        let spaces = " ".repeat(bytes - text.len());
        text + &spaces
    };
    assert!(decode(&tree(), &sized(JSON_BYTES_MAX)).is_ok());
    assert!(
        decode(&tree(), &sized(JSON_BYTES_MAX + 1))
            .unwrap_err()
            .reason
            .contains("longer than 16777216 bytes")
    );
}

#[test]
fn ndjson_has_its_head_in_the_first_line_and_a_record_in_every_other() {
    let head = r#"{"head": {"packet_no": "P", "lines": 2, "sender": "S"}}"#;
    let text = format!("{head}\n{}\r\n\n{}\n", detail("1.00"), detail("2.00"));
    assert_eq!(
        decode(&stream(), &text).unwrap(),
        [Ok(Fen(100)), Ok(Fen(200))]
    );
    let kind = |text: &str| decode(&stream(), text).unwrap_err().kind;
    assert_eq!(
        kind(&text.replace("\"lines\": 2", "\"lines\": 3")),
        DecodeErrorKind::ControlTotal
    );
    assert_eq!(kind(&detail("1.00")), DecodeErrorKind::MissingHead);
    assert_eq!(kind(&head.replace('2', "0")), DecodeErrorKind::Empty);
    assert_eq!(kind(""), DecodeErrorKind::Empty);
    let refusal = decode(&stream(), &text[..text.len() - 10]).unwrap_err();
    assert!(
        refusal.kind == DecodeErrorKind::Malformed && refusal.reason.starts_with("line 4: "),
        "{}",
        refusal.reason
    );
}

#[test]
fn a_line_of_ndjson_that_is_no_json_is_refused_by_itself_unless_it_was_cut_off() {
    let head = r#"{"head": {"packet_no": "P", "lines": 3, "sender": "S"}}"#;
    let text = format!(
        "{head}\n{}\n{{\"detail_no\": \"secret\n{}\n",
        detail("1.00"),
        detail("2.00")
    );
    let lines = decode(&stream(), &text).unwrap();
    let refusal = lines[1].as_ref().unwrap_err();
    assert_eq!(
        (lines[0].as_ref().unwrap(), lines[2].as_ref().unwrap()),
        (&Fen(100), &Fen(200))
    );
    assert_eq!(
        (
            refusal.index,
            refusal.element.as_str(),
            refusal.content.as_deref()
        ),
        (2, "line", None)
    );
    assert!(
        refusal
            .reason
            .contains("is not valid JSON at line 1 column")
            && !refusal.reason.contains("secret"),
        "{}",
        refusal.reason
    );
    let cut = decode(&stream(), text.trim_end().trim_end_matches('}')).unwrap_err();
    assert!(
        cut.kind == DecodeErrorKind::Malformed && cut.reason.starts_with("line 4: "),
        "{}",
        cut.reason
    );
}

#[test]
fn a_line_of_ndjson_has_at_most_256_kibibytes() {
    let head = r#"{"head": {"packet_no": "P", "lines": 1}}"#;
    let sized = |bytes: usize| {
        let line = detail("1.00");
        let spaces = " ".repeat(bytes - line.len());
        format!("{head}\n{line}{spaces}")
    };
    let max = RECORD_BYTES_MAX as usize;
    assert!(decode(&stream(), &sized(max)).is_ok());
    assert!(decode(&stream(), &sized(max + 1)).is_err());
    assert!(
        decode(&stream(), &sized(max * 4))
            .unwrap_err()
            .reason
            .contains("a single text, tag or line is longer than 262144 bytes")
    );
}

#[test]
fn an_element_that_is_private_for_one_field_is_private_for_all() {
    let endpoint = endpoint(|text| {
        text.replace(
            "receipt_no = { from = \"receipt_no\" }",
            "receipt_no = { from = \"detail_no\", max = 2, private = true }",
        )
    });
    let refusal = decode(&endpoint, &document(&detail("1")))
        .unwrap()
        .remove(0)
        .unwrap_err();
    assert_eq!(
        (
            refusal.element.as_str(),
            refusal.content,
            refusal.reason.as_str()
        ),
        ("detail_no", None, "has 3 characters; at most 2 are taken")
    );
    let long = document(&detail("1").replace("D-1", &"D".repeat(41)));
    assert_eq!(
        decode(&endpoint, &long)
            .unwrap()
            .remove(0)
            .unwrap_err()
            .content,
        None
    );
}
