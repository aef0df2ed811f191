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
not_reached = [
  { status = 401, source = "the operator's letter" },
  { status = 500, at = "/code", is = 400001, text_at = "/msg", source = "the gateway's manual" },
]
"#;

#[derive(serde::Deserialize)]
struct Holder {
    reply: Spanned<ReplySpec>,
}

fn compiled(source: &str) -> (ReplyRules, Vec<(usize, String)>) {
    let holder: Holder = toml::from_str(source).unwrap();
    let mut problems = Vec::new();
    let reply = compile(holder.reply, BodyForm::Json, &mut problems);
    (reply, problems)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Answer {
        status,
        headers,
        body: body.as_bytes().to_vec(),
    }
}

fn judged(status: u16, body: &str) -> (Outcome, String) {
    let verdict = compiled(RULES).0.judge(&answer(status, &[], body), "REF");
    (verdict.outcome, verdict.text)
}

#[test]
fn explicit_answers_mean_what_the_rules_say() {
    assert_eq!(
        judged(200, r#"{"infcode":0,"inf_refmsgid":"REF","err_msg":""}"#),
        (Outcome::Accepted, "0".into())
    );
    assert_eq!(
        judged(200, r#"{"infcode":"0","inf_refmsgid":"REF"}"#).0,
        Outcome::Accepted
    );
    assert_eq!(
        judged(
            200,
            r#"{"infcode":-11,"inf_refmsgid":"REF","err_msg":"重复"}"#
        ),
        (Outcome::Duplicate, "-11 重复".into())
    );
    assert_eq!(
        judged(200, r#"{"infcode":"E11","inf_refmsgid":"REF"}"#).0,
        Outcome::Duplicate
    );
    assert_eq!(
        judged(
            200,
            r#"{"infcode":-1,"inf_refmsgid":"REF","err_msg":"no such unit"}"#
        ),
        (Outcome::Rejected, "-1 no such unit".into())
    );
    assert_eq!(judged(400, r#"{"infcode":-2}"#).0, Outcome::Rejected);
    assert_eq!(judged(503, "<html>"), (Outcome::RetryLater, String::new()));
}

#[test]
fn whatever_is_not_explicit_is_unknown_and_shows_no_body() {
    for (status, body, text) in [
        (
            200,
            "",
            "status 200: the answer does not repeat our reference at /inf_refmsgid",
        ),
        (
            500,
            "",
            "status 500: the body is empty and no reply rule matches",
        ),
        (
            200,
            "{\"infcode\":0,\"inf_refmsgid\":\"RE",
            "status 200: the body of 31 bytes is not JSON",
        ),
        (200, "5eC7", "status 200: the body of 4 bytes is not JSON"),
        (
            400,
            "<html>5eC7</html>",
            "status 400: the body of 17 bytes is not JSON",
        ),
        (502, "{\"x\":\"5eC7\"}", "status 502: no reply rule matches"),
        (
            500,
            "{\"err_msg\":\"down\"}",
            "status 500: no reply rule matches: down",
        ),
        (
            500,
            "{\"code\":400002}",
            "status 500: no reply rule matches",
        ),
    ] {
        assert_eq!(judged(status, body), (Outcome::Unknown, text.to_owned()));
    }
}

#[test]
fn an_answer_to_somebody_else_is_unknown() {
    let (outcome, text) = judged(200, r#"{"infcode":0,"inf_refmsgid":"OTHER"}"#);
    assert_eq!(
        (outcome, text.as_str()),
        (
            Outcome::Unknown,
            "status 200: the answer repeats another reference at /inf_refmsgid than the one we sent"
        )
    );
    assert_eq!(judged(200, r#"{"infcode":0}"#).0, Outcome::Unknown);
    assert_eq!(
        judged(200, r#"{"infcode":0,"inf_refmsgid":""}"#).1,
        "status 200: the answer does not repeat our reference at /inf_refmsgid"
    );
    assert_eq!(
        judged(400, r#"{"infcode":-1,"inf_refmsgid":""}"#).0,
        Outcome::Rejected,
        "an empty one is an absent one"
    );
    assert_eq!(
        judged(200, r#"{"infcode":-1,"inf_refmsgid":"OTHER"}"#).0,
        Outcome::Unknown
    );
    assert_eq!(
        judged(400, r#"{"infcode":-1,"inf_refmsgid":"OTHER"}"#).0,
        Outcome::Unknown
    );
}

#[test]
fn what_let_nothing_through_is_known_by_the_answers_listed_and_no_others() {
    assert_eq!(
        judged(401, r#"{"code":"401","message":"签名不正确"}"#).0,
        Outcome::NotReached
    );
    assert_eq!(
        judged(401, "<html>").0,
        Outcome::NotReached,
        "it may rest on the status alone"
    );
    assert_eq!(
        judged(500, r#"{"code":400001,"msg":"时间戳超出允许范围"}"#),
        (Outcome::NotReached, "时间戳超出允许范围".into())
    );
    assert_eq!(
        judged(500, r#"{"code":400002,"msg":"x"}"#).0,
        Outcome::Unknown
    );
    assert_eq!(judged(500, "").0, Outcome::Unknown);
    for source in ["", ", source = \" \""] {
        let (_, problems) = compiled(&format!(
            "[reply]\naccepted = [{{ status = 200 }}]\nnot_reached = [{{ status = 401{source} }}]\n"
        ));
        assert!(
            problems
                .iter()
                .any(|(_, text)| text.starts_with("a rule of `not_reached` needs `source`")),
            "{problems:?}"
        );
    }
}

#[test]
fn an_answer_is_the_partners_own_where_its_code_stands_and_no_front_end_failed() {
    let own = |status: u16, body: &str| {
        compiled(RULES)
            .0
            .judge(&answer(status, &[], body), "REF")
            .own
    };
    assert!(own(200, r#"{"infcode":0,"inf_refmsgid":"REF"}"#) && own(409, r#"{"infcode":7}"#));
    assert!(!own(200, r#"{"code":-1}"#) && !own(502, r#"{"infcode":7}"#) && !own(409, "<html>"));
}

#[test]
fn of_several_places_the_first_that_holds_a_text_is_shown() {
    let (reply, problems) = compiled(
        "[reply]\ncode_at = [\"/infcode\", \"/code\"]\ntext_at = [\"/err_msg\", \"/message\"]\naccepted = [{ at = \"/infcode\", is = 0 }]\n",
    );
    assert_eq!(problems, []);
    let text = |body: &str| reply.judge(&answer(200, &[], body), "").text;
    assert_eq!(
        text(r#"{"infcode":0,"err_msg":"","message":"fine"}"#),
        "0 fine"
    );
    assert_eq!(
        text(r#"{"code":-1,"message":"服务暂不可用"}"#),
        "status 200: no reply rule matches: -1 服务暂不可用"
    );
}

#[test]
fn what_stands_where_an_object_was_expected_is_named_without_its_content() {
    let (reply, _) = compiled(
        "[reply]\ncode_at = \"/infcode\"\naccepted = [{ at = \"/output/state\", is = \"taken\" }]\n",
    );
    for (output, words) in [
        ("", "there is no /output"),
        (",\"output\":null", "/output is null"),
        (",\"output\":\"\"", "/output is an empty text"),
        (
            ",\"output\":\"{\\\"state\\\":\\\"taken\\\"}\"",
            "/output is a text that holds JSON, not JSON itself",
        ),
        (
            ",\"output\":\"k7BzQw0n\"",
            "/output is a text of 8 characters that is no JSON, perhaps encrypted",
        ),
        (",\"output\":5", "/output is a single value"),
    ] {
        let verdict = reply.judge(&answer(200, &[], &format!("{{\"infcode\":0{output}}}")), "");
        assert_eq!(
            (verdict.outcome, verdict.text),
            (
                Outcome::Unknown,
                format!("status 200: no reply rule matches, {words}: 0")
            )
        );
    }
    let other = reply.judge(
        &answer(200, &[], r#"{"infcode":0,"output":{"state":"thinking"}}"#),
        "",
    );
    assert_eq!(other.text, "status 200: no reply rule matches: 0");
}

#[test]
fn the_first_rule_in_the_order_written_decides() {
    let late = "[reply]\nretry_later = [{ status = 200, at = \"/code\", is = \"busy\" }]\naccepted = [{ status = 200 }]\n";
    let (reply, problems) = compiled(late);
    assert_eq!(problems, []);
    assert_eq!(
        reply
            .judge(&answer(200, &[], r#"{"code":"busy"}"#), "")
            .outcome,
        Outcome::RetryLater
    );
    assert_eq!(
        reply
            .judge(&answer(200, &[], r#"{"code":"fine"}"#), "")
            .outcome,
        Outcome::Accepted
    );
    assert_eq!(
        reply.judge(&answer(200, &[], ""), "").outcome,
        Outcome::Accepted
    );
    assert_eq!(
        reply.judge(&answer(200, &[], "{\"co"), "").outcome,
        Outcome::Unknown
    );
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let pause = |headers: &[(&str, &str)]| {
        compiled(RULES)
            .0
            .judge(&answer(429, headers, ""), "")
            .retry_after
            .map(|pause| pause.as_secs())
    };
    assert_eq!(pause(&[]), None);
    assert_eq!(pause(&[("retry-after", "30")]), Some(30));
    let date = ("date", "Mon, 01 Nov 2021 00:00:00 GMT");
    assert_eq!(
        pause(&[date, ("retry-after", "Mon, 01 Nov 2021 00:02:00 GMT")]),
        Some(120)
    );
    assert_eq!(
        pause(&[date, ("retry-after", "Sun, 31 Oct 2021 00:02:00 GMT")]),
        Some(0)
    );
    assert_eq!(pause(&[("retry-after", "soon")]), None);
    assert_eq!(pause(&[("retry-after", "-5")]), None);
    assert_eq!(
        pause(&[("retry-after", "99999999999999999999999")]),
        Some(RETRY_AFTER_MAX.as_secs())
    );
}

#[test]
fn contradictory_rules_are_refused_when_compiled() {
    for (rule, expected) in [
        ("{ at = \"/a\" }", "`at` without a test"),
        ("{ is = 1 }", "a test without `at`"),
        (
            "{ at = \"/a\", is = 1, exists = true }",
            "more than one test",
        ),
        ("{ }", "matches every answer"),
        ("{ status = 99 }", "not an HTTP status"),
        ("{ at = \"a\", is = 1 }", "not a place"),
    ] {
        let (_, problems) = compiled(&format!(
            "[reply]\naccepted = [{{ status = 200 }}]\nrejected = [{rule}]\n"
        ));
        assert!(
            problems
                .iter()
                .any(|(offset, text)| *offset > 20 && text.contains(expected)),
            "{rule}: {problems:?}"
        );
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
            let expected = match status {
                401 => Outcome::NotReached,
                429 | 503 => Outcome::RetryLater,
                _ => Outcome::Unknown,
            };
            prop_assert_eq!(verdict.outcome, expected);
        }
    }

    #[test]
    fn any_partner_text_can_be_shown(text in any::<String>(), digits in "[0-9Xx]{0,20}") {
        let shown = super::safe::shown(&(text + &digits));
        prop_assert!(shown.chars().count() <= 200 && !shown.chars().any(char::is_control));
    }
}
