//! Many records in one request.

use serde_json::{Value, json};

use super::{Ltc, caregiver, institution, results, with};
use crate::support::Gateway;

fn put_institution(record: Value) -> String {
    json!({ "institution": record }).to_string()
}

fn put_caregiver(record: Value) -> String {
    json!({ "caregiver": record }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_records_are_loaded_in_one_request_and_again_without_a_change() {
    let ltc = Ltc::start().await;
    let mut lines = Vec::new();
    for number in 0..500 {
        lines.push(put_institution(institution(&format!("I{number}"), 1)));
        for of in 0..39 {
            lines.push(put_caregiver(with(
                caregiver(&format!("C{number}-{of}"), 1),
                &[("/institution_id", json!(format!("I{number}")))],
            )));
        }
    }
    let (answers, last) = ltc.load(&lines).await;
    assert_eq!(
        last,
        json!({ "summary": { "lines": 20_000, "stored": 20_000, "unchanged": 0, "older": 0, "unknown": 0, "refused": 0 } })
    );
    assert!(
        (1..)
            .zip(&answers)
            .all(|(line, answer)| answer["line"] == line && answer["sequence"] == line),
        "answers and numbers are in the order of the lines"
    );
    assert_eq!(
        ltc.gateway
            .value("SELECT kind, count(*) FROM registry_entity GROUP BY kind ORDER BY kind")
            .await,
        "caregiver 19500; institution 500"
    );
    assert_eq!(
        ltc.gateway
            .value("SELECT min(sequence), max(sequence), count(*) FROM registry_change")
            .await,
        "1 20000 20000"
    );
    let (_, last) = ltc.load(&lines).await;
    assert_eq!(last["summary"]["unchanged"], 20_000);
    assert_eq!(
        ltc.gateway
            .value("SELECT count(*) FROM registry_change")
            .await,
        "20000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_do_not_stop_the_good_ones() {
    let ltc = Ltc::start().await;
    let lines = [
        put_institution(institution("I1", 1)),
        "{\"caregiver\":".into(),
        put_caregiver(caregiver("C1", 1)),
        String::new(),
        put_caregiver(with(caregiver("C2", 1), &[("/personal/birth_on", json!("1950-01-01"))])),
        json!({ "hospital": {} }).to_string(),
        "x".repeat((1 << 20) + 1),
        put_caregiver(caregiver("C3", 1)),
        put_caregiver(caregiver("C3", 1)),
        put_caregiver(with(caregiver("C3", 1), &[("/job", json!("nurse"))])),
        json!({ "delete_caregiver": { "id": "C1", "version": 2, "reason": "left", "on": "2026-06-01" } }).to_string(),
        put_caregiver(caregiver("C1", 1)),
    ];
    let (answers, last) = ltc.load(&lines).await;
    let told: Vec<String> = answers
        .iter()
        .map(|answer| {
            let problem = answer
                .pointer("/problems/0/rule")
                .and_then(Value::as_str)
                .unwrap_or("-");
            format!(
                "{} {} {} {problem}",
                answer["line"],
                answer["id"].as_str().unwrap_or("-"),
                answer["result"].as_str().unwrap_or("-")
            )
        })
        .collect();
    let expected = [
        "1 I1 stored -",
        "2 - refused json",
        "3 C1 stored -",
        "5 C2 refused age",
        "6 - refused form",
        "7 - refused json",
        "8 C3 stored -",
        "9 C3 unchanged -",
        "10 C3 refused version",
        "11 C1 stored -",
        "12 C1 older -",
    ];
    assert_eq!(told, expected);
    assert_eq!(
        last,
        json!({ "summary": { "lines": 11, "stored": 4, "unchanged": 1, "older": 1, "unknown": 0, "refused": 5 } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caregiver_may_follow_its_institution_in_the_same_load_but_not_precede_it() {
    let ltc = Ltc::start().await;
    let lines = [
        put_caregiver(caregiver("C1", 1)),
        put_institution(institution("I1", 1)),
        put_caregiver(caregiver("C2", 1)),
        json!({ "delete_institution": { "id": "I1", "version": 2, "reason": "ended", "on": "2026-06-15" } }).to_string(),
        put_caregiver(caregiver("C3", 1)),
    ];
    let (answers, _) = ltc.load(&lines).await;
    assert_eq!(
        results(&answers),
        ["refused", "stored", "stored", "stored", "refused"]
    );
    assert_eq!(answers[4]["problems"][0]["rule"], "institution_known");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_load_ends_with_a_summary_of_nothing() {
    let ltc = Ltc::start().await;
    let (answers, last) = ltc.load(&[]).await;
    assert!(answers.is_empty());
    assert_eq!(last["summary"]["lines"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzipped_load_is_the_same_load() {
    use std::io::Write;
    let ltc = Ltc::start().await;
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zip.write_all(put_institution(institution("I1", 1)).as_bytes())
        .expect("memory");
    let request = ltc
        .client
        .post(ltc.gateway.url("/ltc/v1/registry"))
        .header("content-encoding", "gzip")
        .body(zip.finish().expect("memory"));
    let text = request
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(text.contains("\"stored\":1"), "{text}");
}

/// A load of many portions, of which the caller reads the first answers and goes.
async fn broken_off(ltc: &Ltc) -> u64 {
    let mut lines = vec![put_institution(institution("I1", 1))];
    lines.extend((1..12_000).map(|number| put_caregiver(caregiver(&format!("C{number}"), 1))));
    let client = ltc
        .gateway
        .stage
        .client("ltc-system")
        .expect("a client of its own");
    let mut answer = client
        .post(ltc.gateway.url("/ltc/v1/registry"))
        .body(lines.join("\n"))
        .send()
        .await
        .expect("an answer");
    answer
        .chunk()
        .await
        .expect("the first answers")
        .expect("some");
    lines.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_goes_on_when_its_caller_has_gone_and_the_listener_with_it() {
    let ltc = Ltc::start().await;
    let lines = broken_off(&ltc).await;
    let Ltc {
        gateway: Gateway {
            running, database, ..
        },
        ..
    } = ltc;
    running.server.stop().await;
    let (client, connection) = database
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    assert!(
        running
            .gateway
            .loads
            .ended(std::time::Duration::from_secs(60))
            .await
    );
    let stored: i64 = client
        .query_one("SELECT count(*) FROM registry_entity", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(stored.cast_unsigned(), lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_gateway_ends_a_load_between_two_portions() {
    let ltc = Ltc::start().await;
    let lines = broken_off(&ltc).await;
    let Ltc {
        gateway: Gateway {
            running, database, ..
        },
        ..
    } = ltc;
    assert!(running.stop().await, "nothing was cut off");
    let (client, connection) = database
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let row = client
        .query_one("SELECT count(*), max(sequence) FROM registry_change", &[])
        .await
        .expect("a count");
    let (stored, last): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(stored, last);
    assert!(
        stored.cast_unsigned() == lines || stored % 2_000 == 0,
        "{stored} of {lines}: whole portions only"
    );
}
