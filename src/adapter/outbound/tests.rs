//! What the shipped adapters send and understand, and what a wrong manifest gets.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Finding;
use crate::model::Outcome;

mod mistakes; // manifests that must be refused
mod registers; // what supervising platforms are told, by independent validators
mod samples; // the sample runner is tested itself
mod schema; // samples against schemas/partners/

const KEY: &str = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8";

fn shipped(name: &str) -> (PathBuf, Outgoing) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("adapters")
        .join(name);
    let source = std::fs::read_to_string(folder.join("adapter.toml")).unwrap();
    let outgoing =
        load(&folder, &source).unwrap_or_else(|findings| panic!("{}", listed(&findings)));
    (folder, outgoing)
}

fn listed(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect()
}

fn message(adapter: &str, name: &str) -> OutboundMessage {
    shipped(adapter)
        .1
        .outbound
        .into_iter()
        .find(|outbound| outbound.message() == name)
        .unwrap()
}

fn sample(adapter: &str, name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("adapters")
        .join(adapter)
        .join("samples")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn settings() -> BTreeMap<String, String> {
    serde_json::from_value(sample("medical-core", "settings.json")).unwrap()
}

fn at() -> Timestamp {
    "2021-11-01T00:00:00Z".parse().unwrap()
}

fn render(
    outbound: &OutboundMessage,
    body: Value,
    settings: &BTreeMap<String, String>,
) -> Result<(String, Request), Fault> {
    let secrets = Secrets::from_pairs([("sm2_key", KEY), ("tif_token", "5eC7")]);
    let reference = outbound.new_reference(settings, at(), 1);
    let context = RenderContext {
        body: &body,
        settings,
        secrets: &secrets,
        reference: &reference,
        at: at(),
    };
    outbound
        .render(&context)
        .map(|request| (reference.clone(), request))
}

#[test]
fn the_shipped_adapters_pass_their_samples() {
    let bless = if std::env::var_os("LTCGW_BLESS").is_some() {
        Bless::Missing
    } else {
        Bless::No
    };
    for name in ["medical-core", "ltc-system"] {
        let (folder, _) = shipped(name);
        let adapter = crate::adapter::Adapter::load(&folder)
            .unwrap_or_else(|findings| panic!("{}", listed(&findings)));
        let findings = run_samples(&folder, adapter.outbounds(), adapter.documents(), bless);
        assert!(findings.is_empty(), "{}", listed(&findings));
    }
}

#[test]
fn contributions_reach_the_core_in_a_signed_envelope() {
    let outbound = message("medical-core", "contributions");
    let (reference, request) = render(
        &outbound,
        sample("medical-core", "contributions/ordinary.json"),
        &settings(),
    )
    .unwrap();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/fsi/api/ltc/contributions")
    );
    assert_eq!(
        request.headers,
        [(
            "content-type".to_owned(),
            "application/json; charset=utf-8".to_owned()
        )]
    );
    let envelope: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(envelope["msgid"], reference.as_str());
    let public = sm2_sorted_fields::PrivateKey::parse(KEY)
        .unwrap()
        .public_hex();
    assert_eq!(
        sm2_sorted_fields::verify(&public, envelope.as_object().unwrap()),
        Ok(())
    );
    let text = String::from_utf8(request.body).unwrap();
    assert!(
        text.contains("\"medical_sumamt\": 10132.90,") && text.ends_with("}}"),
        "{text}"
    );
    assert_eq!(
        (
            outbound.inquiry(),
            outbound.infno(),
            outbound.idempotent(),
            outbound.records_max()
        ),
        (Some("contributions_inquiry"), Some("L101"), false, 500)
    );
}

#[test]
fn only_answers_that_repeat_our_reference_let_a_connection_be_used_again() {
    for (adapter, name, data) in [
        ("medical-core", "contributions", "ordinary"),
        ("ltc-system", "contributions", "ordinary"),
    ] {
        let (_, request) = render(
            &message(adapter, name),
            sample(adapter, &format!("{name}/{data}.json")),
            &settings(),
        )
        .unwrap();
        assert!(
            !request.reuse,
            "{adapter}: nothing in its answers says which request they answer"
        );
    }
    let manifest = "[[outbound]]\nmessage = \"m\"\npath = \"/v1\"\nreply.echo = \"/ref\"\nreply.accepted = [{ status = 200 }]\n";
    let outbound = load(Path::new("/nonexistent"), manifest)
        .unwrap_or_else(|findings| panic!("{}", listed(&findings)))
        .outbound
        .remove(0);
    assert!(
        render(&outbound, json!({}), &BTreeMap::new())
            .unwrap()
            .1
            .reuse
    );
}

#[test]
fn contributions_reach_the_ltc_system_under_an_idempotency_key() {
    let outbound = message("ltc-system", "contributions");
    let (reference, request) = render(
        &outbound,
        sample("ltc-system", "contributions/ordinary.json"),
        &BTreeMap::new(),
    )
    .unwrap();
    assert!(
        request
            .headers
            .contains(&("idempotency-key".to_owned(), reference.clone())),
        "{:?}",
        request.headers
    );
    let sent: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(sent["long_term_care_total"], "172.50");
    assert!(!String::from_utf8(request.body).unwrap().contains("medical"));
    assert!(outbound.idempotent() && outbound.inquiry().is_none() && outbound.infno().is_none());
    assert_ne!(
        reference,
        outbound.new_reference(&BTreeMap::new(), at(), 1),
        "references are unique without a serial"
    );
}

#[test]
fn an_inquiry_tells_not_there_from_not_now() {
    let inquiry = message("medical-core", "contributions_inquiry");
    let judged = |status: u16, body: Value| {
        inquiry
            .judge(
                &Answer {
                    status,
                    headers: vec![],
                    body: body.to_string().into_bytes(),
                },
                "REF",
            )
            .outcome
    };
    let state = |state: &str| json!({"infcode": "0", "inf_refmsgid": "450000202111010800000000000042", "output": {"state": state}});
    assert_eq!(judged(200, state("taken")), Outcome::Accepted);
    assert_eq!(judged(200, state("not_known")), Outcome::Rejected);
    assert_eq!(judged(503, json!("busy")), Outcome::RetryLater);
    assert_eq!(judged(200, state("thinking")), Outcome::Unknown);
    assert_eq!(
        judged(200, json!({"infcode": 0, "output": ""})),
        Outcome::Unknown
    );
    assert_eq!(judged(401, json!({})), Outcome::NotReached);
}

#[test]
fn what_a_partner_must_configure_is_known_beforehand() {
    let outbound = message("medical-core", "contributions");
    let needed = [
        "infver",
        "institution_code",
        "institution_name",
        "mdtrtarea_admvs",
        "opter",
        "opter_name",
        "opter_type",
        "recer_sys_code",
    ];
    assert_eq!(outbound.settings_needed(), needed);
    assert_eq!(outbound.secrets_needed(), ["sm2_key"]);
    assert_eq!(
        outbound.check(&settings(), &Secrets::from_pairs([("sm2_key", KEY)])),
        [""; 0]
    );
    let mut wrong = settings();
    wrong.remove("opter");
    wrong.insert("institution_code".into(), "H4501".into());
    wrong.insert("cainfo_encoding".into(), "hax".into());
    let problems = outbound.check(&wrong, &Secrets::from_pairs([("sm2_key", "5eC7")]));
    let text = problems.join("\n");
    for part in [
        "`opter` is missing",
        "`institution_code` has 5 characters; expected exactly 12",
        "`cainfo_encoding` is `hax`",
        "`sm2_key` is not an SM2 private key",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        !text.contains("5eC7")
            && problems
                .iter()
                .filter(|problem| problem.contains("sm2_key"))
                .count()
                == 1,
        "{text}"
    );
    assert!(
        outbound.check(&settings(), &Secrets::default())[0].contains("secret `sm2_key` is missing")
    );
}

#[test]
fn a_fault_in_rendering_names_the_place_but_no_value() {
    let outbound = message("medical-core", "contributions");
    let mut body = sample("medical-core", "contributions/ordinary.json");
    body["lines"][1]["payment_kind"] = json!("secret-5eC7");
    let text = render(&outbound, body.clone(), &settings())
        .unwrap_err()
        .text;
    assert!(
        text.starts_with("template contributions.json, line 14: codes/payment_kind.csv has no row"),
        "{text}"
    );
    body["lines"][1]
        .as_object_mut()
        .unwrap()
        .remove("payment_kind");
    let text = render(&outbound, body, &settings()).unwrap_err().text;
    assert!(
        text.starts_with("template contributions.json, line 14: ") && text.contains("undefined"),
        "{text}"
    );
    let mut settings = settings();
    settings.insert("institution_code".into(), "H45".into());
    assert!(
        render(
            &outbound,
            sample("medical-core", "contributions/ordinary.json"),
            &settings
        )
        .unwrap_err()
        .text
        .contains("the msgid has 21 characters")
    );
    assert!(
        render(&outbound, json!([]), &settings)
            .unwrap_err()
            .text
            .contains("not an object")
    );
}

#[test]
fn paths_headers_and_tif_signatures_are_rendered() {
    let manifest = "[[outbound]]\nmessage = \"m\"\npath = \"/v1/{{ settings.area }}/{{ reference }}\"\nmethod = \"GET\"\nsign = [\"tif_sha256\"]\n\
                    headers = { X-Version = \"1\" }\nreply.accepted = [{ status = 200 }]\n";
    let outbound = load(Path::new("/nonexistent"), manifest)
        .unwrap_or_else(|findings| panic!("{}", listed(&findings)))
        .outbound
        .remove(0);
    assert_eq!(
        (outbound.settings_needed(), outbound.secrets_needed()),
        (vec!["area", "tif_paasid"], vec!["tif_token"])
    );
    let settings = BTreeMap::from([
        ("area".to_owned(), "南 宁".to_owned()),
        ("tif_paasid".to_owned(), "ltcgw".to_owned()),
    ]);
    let (reference, request) = render(&outbound, json!({}), &settings).unwrap();
    assert_eq!(
        request.path,
        format!("/v1/%E5%8D%97%20%E5%AE%81/{reference}")
    );
    assert!(request.body.is_empty());
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    assert_eq!(
        (
            header("x-version"),
            header("x-tif-paasid"),
            header("x-tif-timestamp"),
            header("content-type")
        ),
        ("1", "ltcgw", "1635724800", "")
    );
    assert_eq!(
        header("x-tif-signature"),
        tif_sha256::signature("1635724800", "5eC7", header("x-tif-nonce"))
    );
    let again = render(&outbound, json!({}), &settings).unwrap().1;
    assert!(
        again
            .headers
            .iter()
            .all(|(name, value)| name != "x-tif-nonce" || value != header("x-tif-nonce")),
        "a nonce must not repeat"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_in_a_line_reaches_the_partner_as_it_was(employer in any::<String>(), receipt in "[\"\\\\{}%\u{0}-\u{1f}<>&]{0,12}", fen in -99_999_999_999_999_i64..99_999_999_999_999) {
        let mut body = sample("ltc-system", "contributions/required-only.json");
        body["lines"][0]["employer_no"] = json!(employer);
        body["lines"][0]["receipt_no"] = json!(receipt);
        body["lines"][0]["long_term_care_fen"] = json!(fen);
        let (_, request) = render(&message("ltc-system", "contributions"), body, &BTreeMap::new()).unwrap();
        let sent: Value = serde_json::from_slice(&request.body).unwrap();
        let line = &sent["lines"][0];
        prop_assert_eq!((&line["employer_no"], &line["receipt_no"]), (&json!(employer), &json!(receipt)));
        prop_assert_eq!(crate::model::Fen::parse_yuan(line["long_term_care_amount"].as_str().unwrap()).unwrap().0, fen);
        prop_assert_eq!(&line["long_term_care_amount"], &sent["long_term_care_total"]);
    }
}
