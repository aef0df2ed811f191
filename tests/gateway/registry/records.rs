//! One record at a time: what is taken, what is refused and how that is said.

use serde_json::{Value, json};

use super::{Ltc, caregiver, institution, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_taken_once_and_a_repeat_changes_nothing() {
    let ltc = Ltc::start().await;
    let (status, answer) = ltc.put(&institution("I1", 1)).await;
    assert_eq!(
        (status, &answer),
        (
            201,
            &json!({ "kind": "institution", "id": "I1", "version": 1, "result": "stored", "sequence": 1 })
        )
    );
    let (status, answer) = ltc.put(&institution("I1", 1)).await;
    assert_eq!(
        (status, answer["result"].as_str()),
        (200, Some("unchanged"))
    );
    let (status, answer) = ltc
        .put(&with(institution("I1", 2), &[("/beds", json!(80))]))
        .await;
    assert_eq!((status, answer["sequence"].as_i64()), (200, Some(2)));
    assert_eq!(
        ltc.log().await,
        [
            "1 institution I1 1 put 2026-06-15 agreement_in_force",
            "2 institution I1 2 put 2026-06-15 agreement_in_force"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_in_another_order_is_the_same_content() {
    let ltc = Ltc::start().await;
    ltc.take(&with(
        institution("I1", 1),
        &[("/modes", json!(["residential", "home"]))],
    ))
    .await;
    let mut turned = serde_json::Map::new();
    for (key, value) in institution("I1", 1)
        .as_object()
        .expect("an object")
        .iter()
        .rev()
    {
        turned.insert(key.clone(), value.clone());
    }
    turned.insert("modes".into(), json!(["home", "residential"]));
    assert_eq!(
        ltc.put(&Value::Object(turned)).await.1["result"],
        "unchanged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_is_noted_and_ignored() {
    let ltc = Ltc::start().await;
    ltc.take(&institution("I1", 5)).await;
    let (status, answer) = ltc
        .put(&with(institution("I1", 4), &[("/name", json!("旧名"))]))
        .await;
    assert_eq!(
        (status, &answer),
        (
            200,
            &json!({ "kind": "institution", "id": "I1", "version": 4, "result": "older", "known_version": 5 })
        )
    );
    assert_eq!(ltc.log().await.len(), 1);
    assert_eq!(
        ltc.gateway
            .value(
                "SELECT kind, entity_id, version, known_version, event, sender FROM registry_event"
            )
            .await,
        "institution I1 4 5 older ltc-system"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_other_content_is_refused() {
    let ltc = Ltc::start().await;
    ltc.take(&caregiver_after_institution(&ltc).await).await;
    // Also when only what is sealed differs.
    for change in [
        ("/job", json!("nurse")),
        ("/personal/phone", json!("13812345678")),
    ] {
        let (status, answer) = ltc.put(&with(caregiver("C1", 1), &[change])).await;
        assert_eq!(
            (status, answer["errors"][0]["rule"].as_str()),
            (409, Some("version")),
            "{answer}"
        );
    }
    assert_eq!(
        ltc.gateway
            .value("SELECT event, count(*) FROM registry_event GROUP BY event")
            .await,
        "other_content 2"
    );
}

async fn caregiver_after_institution(ltc: &Ltc) -> Value {
    ltc.take(&institution("I1", 1)).await;
    caregiver("C1", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_is_not_revived_by_a_late_update_but_by_a_newer_version() {
    let ltc = Ltc::start().await;
    ltc.take(&institution("I1", 1)).await;
    let end = json!({ "version": 3, "reason": "agreement ended", "on": "2026-06-15" });
    let (status, answer) = ltc
        .call("DELETE", "/ltc/v1/institutions/I1", end.to_string())
        .await;
    assert_eq!(
        (status, answer["result"].as_str()),
        (200, Some("stored")),
        "{answer}"
    );
    assert_eq!(ltc.put(&institution("I1", 2)).await.1["result"], "older");
    assert_eq!(
        ltc.put(&institution("I1", 3)).await.0,
        409,
        "the tombstone's version has other content"
    );
    let (status, answer) = ltc
        .call(
            "DELETE",
            "/ltc/v1/institutions/I1?version=3&reason=agreement%20ended&on=2026-06-15",
            "",
        )
        .await;
    assert_eq!(
        (status, answer["result"].as_str()),
        (200, Some("unchanged")),
        "the same in the query: {answer}"
    );
    ltc.take(&institution("I1", 4)).await;
    assert_eq!(
        ltc.log().await,
        [
            "1 institution I1 1 put 2026-06-15 agreement_in_force",
            "2 institution I1 3 delete 2026-06-15 -",
            "3 institution I1 4 put 2026-06-15 agreement_in_force"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_what_nobody_has_sent_is_seen_as_a_mistype_and_still_keeps_an_older_record_out()
{
    let ltc = Ltc::start().await;
    for version in [7, 7, 5, 8] {
        let (status, answer) = ltc
            .call(
                "DELETE",
                &format!("/ltc/v1/caregivers/C1?version={version}&reason=left&on=2026-06-01"),
                "",
            )
            .await;
        assert_eq!(
            (status, answer["errors"][0]["rule"].as_str()),
            (404, Some("unknown")),
            "{answer}"
        );
        assert!(
            answer["errors"][0]["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("nobody has sent")),
            "{answer}"
        );
    }
    assert_eq!(ltc.call("GET", "/ltc/v1/caregivers/C1", "").await.0, 404);
    ltc.take(&institution("I1", 1)).await;
    let (status, answer) = ltc.put(&caregiver("C1", 7)).await;
    assert_eq!(
        (status, &answer["result"], &answer["known_version"]),
        (200, &json!("older"), &json!(8))
    );
    assert_eq!(ltc.put(&caregiver("C1", 8)).await.0, 409);
    assert_eq!(
        ltc.log().await,
        ["1 institution I1 1 put 2026-06-15 agreement_in_force"],
        "nothing of it was published"
    );
    assert_eq!(
        ltc.put(&caregiver("C1", 9)).await.0,
        201,
        "only now it is there"
    );
    assert_eq!(ltc.log().await.len(), 2);
    assert_eq!(
        ltc.gateway.value("SELECT count(*), min(event), max(event) FROM registry_event WHERE version <> 7 OR event = 'unknown'").await,
        "5 other_content unknown"
    );
    let lines = [json!({ "delete_institution": { "id": "I9", "version": 2, "reason": "ended", "on": "2026-06-15" } }).to_string()];
    let (answers, last) = ltc.load(&lines).await;
    assert_eq!(
        (&answers[0]["result"], &last["summary"]["unknown"]),
        (&json!("unknown"), &json!(1))
    );
    let (status, answer) = ltc
        .call(
            "DELETE",
            "/ltc/v1/caregivers/C2?version=7&reason=left&on=2026-06-16",
            "",
        )
        .await;
    assert_eq!(
        (status, answer["errors"][0]["field"].as_str()),
        (422, Some("on")),
        "an end tomorrow: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_rule_gets_a_problem_document_with_field_and_rule_and_leaves_nothing() {
    let ltc = Ltc::start().await;
    let (status, answer) = ltc
        .put(&with(
            institution("I1", 1),
            &[
                ("/care_beds", json!(101)),
                ("/uscc", json!("91350100M000100Y44")),
            ],
        ))
        .await;
    let expected = json!({
        "type": "about:blank", "title": "Not as it should be", "status": 422,
        "detail": "nothing was changed; mend what `errors` names and send it again",
        "errors": [{ "field": "care_beds", "rule": "beds", "detail": "101 beds for long-term care among 100 beds" }]
    });
    assert_eq!((status, answer), (422, expected), "refusals only");
    let (_, answer) = ltc.put(&caregiver("C1", 1)).await;
    assert_eq!(answer["errors"][0]["rule"], "institution_known");
    assert_eq!(ltc.log().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_comes_with_the_answer_and_the_record_is_taken() {
    let ltc = Ltc::start().await;
    let answer = ltc
        .take(&with(
            institution("I1", 1),
            &[("/uscc", json!("91350100M000100Y44"))],
        ))
        .await;
    assert_eq!(answer["warnings"][0]["rule"], "uscc_check_character");
    let answer = ltc
        .take(&with(
            caregiver("C1", 1),
            &[("/training", json!([{ "year": 2026, "hours": 19 }]))],
        ))
        .await;
    assert_eq!(
        answer["warnings"],
        json!([{ "field": "training", "rule": "training", "detail": "19 hours in 2026 so far; 20 are due by its end" }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_record_are_refused_with_what_was_expected() {
    let ltc = Ltc::start().await;
    let put = async |body: String| ltc.call("PUT", "/ltc/v1/institutions/I1", body).await;
    let record = institution("I1", 1);
    for (body, status, field, rule) in [
        ("{".to_string(), 400, "", "json"),
        (String::new(), 400, "", "json"),
        (record.to_string() + "x", 400, "", "json"),
        ("\u{0}".to_string(), 400, "", "json"),
        (
            with(record.clone(), &[("/beds", json!("100"))]).to_string(),
            422,
            "beds",
            "form",
        ),
        (
            with(record.clone(), &[("/bedz", json!(100))]).to_string(),
            422,
            "bedz",
            "form",
        ),
        (
            with(record.clone(), &[("/uscc", Value::Null)]).to_string(),
            422,
            "",
            "form",
        ),
        (
            with(record.clone(), &[("/institution_id", json!("I2"))]).to_string(),
            422,
            "institution_id",
            "form",
        ),
        (
            with(record.clone(), &[("/name", json!("名\u{0}"))]).to_string(),
            422,
            "name",
            "form",
        ),
        (
            with(record.clone(), &[("/name", json!("x".repeat(1 << 20)))]).to_string(),
            422,
            "",
            "form",
        ),
    ] {
        let (got, answer) = put(body.clone()).await;
        let error = &answer["errors"][0];
        assert_eq!(
            (got, error["field"].as_str(), error["rule"].as_str()),
            (status, Some(field), Some(rule)),
            "{:.80}: {answer}",
            body
        );
    }
    let (status, answer) = ltc
        .call("DELETE", "/ltc/v1/institutions/I1?version=1", "")
        .await;
    assert_eq!(
        (status, answer["errors"][0]["rule"].as_str()),
        (422, Some("form"))
    );
    assert_eq!(
        ltc.gateway
            .value("SELECT count(*) FROM registry_entity")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_ltc_system_and_only_its_routes_get_in() {
    let ltc = Ltc::start().await;
    let status = async |method: &str, path: &str| ltc.call(method, path, "").await.0;
    assert_eq!(status("POST", "/ltc/v1/institutions/I1").await, 405);
    assert_eq!(
        status("GET", "/ltc/v1/institutions/I1").await,
        404,
        "nobody has sent it"
    );
    assert_eq!(status("PUT", "/ltc/v1/institutions/").await, 404);
    assert_eq!(status("PUT", "/ltc/v1/institutions/I1/beds").await, 404);
    assert_eq!(status("PUT", "/ltc/v1/nurses/N1").await, 404);
    let tax = ltc.gateway.stage.client("nanning-tax").expect("a client");
    let answer = tax
        .put(ltc.gateway.url("/ltc/v1/institutions/I1"))
        .body(institution("I1", 1).to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caregiver_is_found_by_certificate_and_phone_however_they_are_written() {
    use ltcgw::flow::publish::{caregivers_by_certificate, caregivers_by_phone};
    let ltc = Ltc::start().await;
    ltc.take(&institution("I1", 1)).await;
    for (id, phone) in [("C1", "13812345678"), ("C2", "13812345679")] {
        ltc.take(&with(
            caregiver(id, 1),
            &[("/personal/phone", json!(phone))],
        ))
        .await;
    }
    let ids = |found: Vec<ltcgw::model::registry::Caregiver>| {
        found
            .into_iter()
            .map(|caregiver| caregiver.caregiver_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(caregivers_by_certificate(ltc.registrar(), " ec1 ")
            .await
            .expect("a look-up")),
        ["C1"]
    );
    assert_eq!(
        ids(caregivers_by_phone(ltc.registrar(), "+86 138 1234 5679")
            .await
            .expect("a look-up")),
        ["C2"]
    );
    assert!(
        caregivers_by_phone(ltc.registrar(), "13812345677")
            .await
            .expect("a look-up")
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_read_back_whole_until_it_is_deleted() {
    let ltc = Ltc::start().await;
    let sent = with(
        institution("I1", 3),
        &[("/personal/phone", json!("0771-5550001"))],
    );
    ltc.take(&sent).await;
    let caregiver = caregiver("C1", 1);
    ltc.take(&caregiver).await;
    assert_eq!(
        ltc.call("GET", "/ltc/v1/institutions/I1", "").await,
        (200, sent)
    );
    assert_eq!(
        ltc.call("GET", "/ltc/v1/caregivers/C1", "").await,
        (200, caregiver)
    );
    assert_eq!(
        ltc.call("GET", "/ltc/v1/caregivers/I1", "").await.0,
        404,
        "an institution is no caregiver"
    );
    let answer = ltc
        .client
        .get(ltc.gateway.url("/ltc/v1/institutions/I1"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (
            &answer.headers()["etag"],
            &answer.headers()["cache-control"]
        ),
        (
            &"\"3\"".parse().expect("a value"),
            &"no-store".parse().expect("a value")
        )
    );
    assert_eq!(
        ltc.call(
            "DELETE",
            "/ltc/v1/institutions/I1?version=4&reason=ended&on=2026-06-15",
            ""
        )
        .await
        .0,
        200
    );
    let (status, answer) = ltc.call("GET", "/ltc/v1/institutions/I1", "").await;
    assert_eq!(status, 410);
    assert!(
        answer["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("version 4 as of 2026-06-15")),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deleted_institution_only_those_who_left_are_taken() {
    let ltc = Ltc::start().await;
    ltc.take(&institution("I1", 1)).await;
    ltc.take(&caregiver("C1", 1)).await;
    assert_eq!(
        ltc.call(
            "DELETE",
            "/ltc/v1/institutions/I1?version=2&reason=ended&on=2026-06-15",
            ""
        )
        .await
        .0,
        200
    );
    let (status, answer) = ltc
        .put(&with(caregiver("C1", 2), &[("/job", json!("nurse"))]))
        .await;
    assert_eq!(
        (status, &answer["errors"][0]["rule"]),
        (422, &json!("institution_known"))
    );
    let left = json!([{ "status": "active", "from": "2026-01-01" }, { "status": "left", "from": "2026-06-15" }]);
    let (status, answer) = ltc
        .put(&with(caregiver("C1", 2), &[("/statuses", left.clone())]))
        .await;
    assert_eq!(
        (status, &answer["result"]),
        (200, &json!("stored")),
        "{answer}"
    );
    let (status, answer) = ltc
        .put(&with(
            caregiver("C2", 1),
            &[("/statuses", left), ("/institution_id", json!("I7"))],
        ))
        .await;
    assert_eq!(
        (status, &answer["errors"][0]["rule"]),
        (422, &json!("institution_known")),
        "an institution nobody has sent: {answer}"
    );
}
