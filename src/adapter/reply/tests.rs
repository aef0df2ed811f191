//! What answers mean under the rules of an adapter.

use proptest::prelude::*;
use toml::Spanned;

use super::body::BodyForm;
use super::rules::{ReplySpec, compile};
use super::*;

const RULES: &str = r#"
[reply]
echo = "/inf_refmsgid"
code_at = "/infcode"
text_at = "/err_msg"
accepted = [{ status = 200, at = "/infcode", is = "0" }]
duplicate = [{ status = 200, at = "/infcode", in = [-11, "E11"] }]
rejected = [{ status = [200, 400], at = "/infcode", exists = true }]
retry_later = [{ status = [429, 503] }]
"#;

#[derive(serde::Deserialize)]
struct Holder {
    reply: Spanned<ReplySpec>,
}

fn compiled(source: &str) -> (Reply, Vec<(usize, String)>) {
    let holder: Holder = toml::from_str(source).unwrap();
    let mut problems = Vec::new();
    let reply = compile(holder.reply, BodyForm::Json, &mut problems);
    (reply, problems)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { status, headers, body: body.as_bytes().to_vec() }
}

fn judged(status: u16, body: &str) -> (Outcome, String) {
    let verdict = compiled(RULES).0.judge(&answer(status, &[], body), "REF");
    (verdict.outcome, verdict.text)
}

#[test]
fn explicit_answers_mean_what_the_rules_say() {
    assert_eq!(judged(200, r#"{"infcode":0,"inf_refmsgid":"REF","err_msg":""}"#), (Outcome::Accepted, "0".into()));
    assert_eq!(judged(200, r#"{"infcode":"0","inf_refmsgid":"REF"}"#).0, Outcome::Accepted);
    assert_eq!(judged(200, r#"{"infcode":-11,"inf_refmsgid":"REF","err_msg":"重复"}"#), (Outcome::Duplicate, "-11 重复".into()));
    assert_eq!(judged(200, r#"{"infcode":"E11","inf_refmsgid":"REF"}"#).0, Outcome::Duplicate);
    assert_eq!(judged(200, r#"{"infcode":-1,"inf_refmsgid":"REF","err_msg":"no such unit"}"#), (Outcome::Rejected, "-1 no such unit".into()));
    assert_eq!(judged(400, r#"{"infcode":-2}"#).0, Outcome::Rejected);
    assert_eq!(judged(503, "<html>"), (Outcome::RetryLater, String::new()));
}

#[test]
fn whatever_is_not_explicit_is_unknown_and_shows_no_body() {
    for (status, body, text) in [
        (200, "", "status 200: the answer does not repeat our reference at /inf_refmsgid"),
        (500, "", "status 500: the body is empty and no reply rule matches"),
        (200, "{\"infcode\":0,\"inf_refmsgid\":\"RE", "status 200: the body of 31 bytes is not JSON"),
        (200, "5eC7", "status 200: the body of 4 bytes is not JSON"),
        (400, "<html>5eC7</html>", "status 400: the body of 17 bytes is not JSON"),
        (502, "{\"x\":\"5eC7\"}", "status 502: no reply rule matches"),
        (500, "{\"err_msg\":\"down\"}", "status 500: no reply rule matches: down"),
    ] {
        assert_eq!(judged(status, body), (Outcome::Unknown, text.to_owned()));
    }
}

#[test]
fn an_answer_to_somebody_else_is_unknown() {
    let (outcome, text) = judged(200, r#"{"infcode":0,"inf_refmsgid":"OTHER"}"#);
    assert_eq!((outcome, text.as_str()), (Outcome::Unknown, "status 200: the answer repeats another reference at /inf_refmsgid than the one we sent"));
    assert_eq!(judged(200, r#"{"infcode":0}"#).0, Outcome::Unknown);
    assert_eq!(judged(200, r#"{"infcode":-1,"inf_refmsgid":"OTHER"}"#).0, Outcome::Unknown);
    assert_eq!(judged(400, r#"{"infcode":-1,"inf_refmsgid":"OTHER"}"#).0, Outcome::Unknown);
}

#[test]
fn the_first_rule_in_the_order_written_decides() {
    let late = "[reply]\nretry_later = [{ status = 200, at = \"/code\", is = \"busy\" }]\naccepted = [{ status = 200 }]\n";
    let (reply, problems) = compiled(late);
    assert_eq!(problems, []);
    assert_eq!(reply.judge(&answer(200, &[], r#"{"code":"busy"}"#), "").outcome, Outcome::RetryLater);
    assert_eq!(reply.judge(&answer(200, &[], r#"{"code":"fine"}"#), "").outcome, Outcome::Accepted);
    assert_eq!(reply.judge(&answer(200, &[], ""), "").outcome, Outcome::Accepted);
    assert_eq!(reply.judge(&answer(200, &[], "{\"co"), "").outcome, Outcome::Unknown);
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let pause = |headers: &[(&str, &str)]| compiled(RULES).0.judge(&answer(429, headers, ""), "").retry_after.map(|pause| pause.as_secs());
    assert_eq!(pause(&[]), None);
    assert_eq!(pause(&[("retry-after", "30")]), Some(30));
    let date = ("date", "Mon, 01 Nov 2021 00:00:00 GMT");
    assert_eq!(pause(&[date, ("retry-after", "Mon, 01 Nov 2021 00:02:00 GMT")]), Some(120));
    assert_eq!(pause(&[date, ("retry-after", "Sun, 31 Oct 2021 00:02:00 GMT")]), Some(0));
    assert_eq!(pause(&[("retry-after", "soon")]), None);
    assert_eq!(pause(&[("retry-after", "-5")]), None);
    assert_eq!(pause(&[("retry-after", "99999999999999999999999")]), Some(RETRY_AFTER_MAX.as_secs()));
}

#[test]
fn contradictory_rules_are_refused_when_compiled() {
    for (rule, expected) in [
        ("{ at = \"/a\" }", "`at` without a test"),
        ("{ is = 1 }", "a test without `at`"),
        ("{ at = \"/a\", is = 1, exists = true }", "more than one test"),
        ("{ }", "matches every answer"),
        ("{ status = 99 }", "not an HTTP status"),
        ("{ at = \"a\", is = 1 }", "not a place"),
    ] {
        let (_, problems) = compiled(&format!("[reply]\naccepted = [{{ status = 200 }}]\nrejected = [{rule}]\n"));
        assert!(problems.iter().any(|(offset, text)| *offset > 20 && text.contains(expected)), "{rule}: {problems:?}");
    }
    let (_, problems) = compiled("[reply]\nformat = \"yaml\"\n");
    assert_eq!(problems.len(), 2, "{problems:?}");
}

proptest! {
    #[test]
    fn only_an_answer_that_says_so_is_accepted(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..80), xml in "(<[ab/!?]{0,3}>|&[#a-z0-9]{0,3};|[a-c\"<>=]){0,12}") {
        for (form, bytes) in [(BodyForm::Json, body), (BodyForm::Xml, xml.into_bytes())] {
            let holder: Holder = toml::from_str(RULES).unwrap();
            let reply = compile(holder.reply, form, &mut Vec::new());
            let verdict = reply.judge(&Answer { status, headers: vec![], body: bytes }, "REF");
            let expected = if matches!(status, 429 | 503) { Outcome::RetryLater } else { Outcome::Unknown };
            prop_assert_eq!(verdict.outcome, expected);
        }
    }

    #[test]
    fn any_partner_text_can_be_shown(text in any::<String>(), digits in "[0-9Xx]{0,20}") {
        let shown = super::safe::shown(&(text + &digits));
        prop_assert!(shown.chars().count() <= 200 && !shown.chars().any(char::is_control));
    }
}
