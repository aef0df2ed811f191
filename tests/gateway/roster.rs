//! Rosters from the medical core: taken once, refused line by line, sealed, ended where no longer named.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use ltcgw::flow::clock::CityClock;
use ltcgw::model::Month;
use ltcgw::sandbox::city::City;
use ltcgw::store::sealed::{Keys, Label};
use serde_json::{Value, json};

use crate::support::Gateway;

const FULL: &str = "roster_no=R202110&kind=full&area=450100&month=202110";

/// A gateway on a day of November 2021.
async fn november() -> Gateway {
    let clock = CityClock::default();
    clock.set_day(jiff::civil::date(2021, 11, 15));
    Gateway::at(clock, |scene| scene).await
}

/// A person of the roster; `change` overrides or, with null, removes elements.
fn person(number: u64, change: Value) -> String {
    let mut line = json!({
        "psn_no": format!("P{number:04}"), "psn_cert_type": "01", "certno": "450103198001010011", "psn_type": "11", "acct_type": "1",
        "emp_no": "45010300000001", "admdvs": "450103", "clct_base": "5000.00", "begnym": "202103",
    });
    for (name, value) in change.as_object().expect("an object") {
        line[name] = value.clone();
    }
    format!("{line}\n")
}

fn people(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers
        .into_iter()
        .map(|number| person(number, json!({})))
        .collect()
}

async fn send(gateway: &Gateway, query: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
    let client = gateway.stage.client("medical-core").expect("a client");
    let answer = client
        .post(gateway.url(&format!("/core/v1/roster?{query}")))
        .body(body)
        .send()
        .await
        .expect("an answer");
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .is_ok_and(|kind| kind.starts_with("application/json"))
    );
    (
        answer.status().as_u16(),
        answer.text().await.expect("a body"),
    )
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Received, taken, refused, left.
fn counts(text: &str) -> [i64; 4] {
    let reply = parse(text);
    assert_eq!(reply["infcode"], 0, "{text}");
    ["received", "taken", "refused", "left"]
        .map(|name| reply["output"][name].as_i64().expect("a count"))
}

#[tokio::test]
async fn a_roster_sent_twice_is_taken_once_and_answered_with_the_same_bytes() {
    let gateway = november().await;
    let first = send(&gateway, FULL, people(1..=3)).await;
    assert_eq!((first.0, counts(&first.1)), (200, [3, 3, 0, 0]));
    assert_eq!(send(&gateway, FULL, people(1..=3)).await, first);
    assert_eq!(
        gateway.value("SELECT count(*) FROM roster_entry").await,
        "3"
    );
    let entry = "SELECT person_no, from_month, category, account, employer_no, district, base_fen, born_on FROM roster_entry ORDER BY 1 LIMIT 1";
    assert_eq!(
        gateway.value(entry).await,
        "P0001 202110 active t 45010300000001 450103 500000 -"
    );
    // Generated anew: other line ends, numbers as texts, elements in another order.
    let reversed = |line: &str| {
        let person = parse(line);
        let parts: Vec<String> = person
            .as_object()
            .expect("an object")
            .iter()
            .rev()
            .map(|(name, value)| format!("{name:?} : {value}"))
            .collect();
        format!("{{{}}}\r\n", parts.join(", ")).replace("\"5000.00\"", "5000")
    };
    let anew: String = people(1..=3).lines().map(reversed).collect();
    assert_ne!(anew, people(1..=3));
    assert_eq!(send(&gateway, FULL, anew).await, first);
    for (query, body) in [
        (FULL, people(1..=4)),
        (&FULL.replace("full", "changes"), people(1..=3)),
        (&FULL.replace("month=202110", "month=202109"), people(1..=3)),
    ] {
        let (status, text) = send(&gateway, query, body).await;
        assert_eq!(
            (status, parse(&text)["infcode"].as_i64()),
            (409, Some(-1)),
            "{text}"
        );
        assert!(
            text.contains("roster number R202110 was used for other content"),
            "{text}"
        );
    }
    assert_eq!(
        gateway
            .value("SELECT count(*), sum(lines_taken) FROM roster")
            .await,
        "1 3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_copies_that_come_at_once_one_is_taken() {
    let gateway = november().await;
    let body = people(1..=500);
    let answers =
        futures_util::future::join_all((0..6).map(|_| send(&gateway, FULL, body.clone()))).await;
    assert!(
        answers
            .iter()
            .all(|answer| *answer == answers[0] && answer.0 == 200),
        "{answers:?}"
    );
    assert_eq!(
        gateway
            .value("SELECT (SELECT count(*) FROM roster), count(*) FROM roster_entry")
            .await,
        "1 500"
    );
}

#[tokio::test]
async fn bad_lines_are_refused_one_by_one_with_record_field_and_reason() {
    let gateway = november().await;
    let bad = [
        (
            json!({ "psn_type": "77" }),
            "psn_type",
            "is not a known code",
        ),
        (json!({ "psn_type": "14" }), "psn_type", "is not taken here"),
        (
            json!({ "acct_type": "7" }),
            "acct_type",
            "is not a known code",
        ),
        (json!({ "clct_base": "-1.00" }), "clct_base", "is negative"),
        (
            json!({ "clct_base": "5,000" }),
            "clct_base",
            "has the separator `,`",
        ),
        (json!({ "psn_no": null }), "psn_no", "is missing"),
        (
            json!({ "emp_no": null }),
            "emp_no",
            "an active person has an employer",
        ),
        (
            json!({ "begnym": "202112" }),
            "begnym",
            "is 2021-12, which has not come; expected 2021-11",
        ),
        (
            json!({ "admdvs": "330106" }),
            "admdvs",
            "is not a known code",
        ),
        (
            json!({ "certno": "450103198001010012" }),
            "certno",
            "is no resident id",
        ),
        (
            json!({ "psn_no": "P0001" }),
            "psn_no",
            "this person stands in record 1 already",
        ),
    ];
    let mut body = person(1, json!({}));
    for (number, (change, ..)) in (2..).zip(&bad) {
        body += &person(number, change.clone());
    }
    body += "{\"psn_no\": \"P0013\", \"certno\": \"450103198001010011\n";
    body += &person(14, json!({ "begnym": "202111" }));
    let (status, text) = send(&gateway, &FULL.replace("full", "changes"), body).await;
    assert_eq!((status, counts(&text)), (200, [14, 2, 12, 0]));
    let reply = parse(&text);
    let lines = reply["output"]["refused_lines"].as_array().expect("a list");
    for (at, (_, field, reason)) in bad.iter().enumerate() {
        let line = &lines[at];
        assert_eq!(
            (line["record"].as_u64(), line["field"].as_str()),
            (Some(at as u64 + 2), Some(*field)),
            "{line}"
        );
        assert!(
            line["reason"]
                .as_str()
                .is_some_and(|text| text.contains(reason)),
            "{line}"
        );
    }
    assert_eq!(
        (
            &lines[11]["record"],
            &lines[11]["field"],
            &lines[11]["content"]
        ),
        (&json!(13), &json!("line"), &json!(""))
    );
    assert!(
        !text.contains("4501031980") && !text.contains("P0013"),
        "private content is repeated: {text}"
    );
    assert_eq!(
        gateway
            .value("SELECT person_no, from_month FROM roster_entry ORDER BY 1")
            .await,
        "P0001 202103; P0014 202111"
    );
}

#[tokio::test]
async fn a_roster_that_cannot_be_right_is_refused_whole() {
    let clock = CityClock::default();
    clock.set_day(jiff::civil::date(2021, 11, 15));
    let areas = "areas = [\"450100\", \"460000\", \"990000\"]";
    let gateway = Gateway::at(clock, |scene| scene.edit("areas = [\"450100\"]", areas)).await;
    let cut = people(1..=3);
    for (query, body, expected) in [
        (
            FULL.replace("450100", "990000"),
            people(1..=2),
            "area is `990000`, of which this gateway has no rates",
        ),
        (
            FULL.replace("month=202110", "month=202112"),
            people(1..=2),
            "month is 2021-12, which has not come; expected 2021-11",
        ),
        (
            FULL.replace("kind=full", "kind=all"),
            people(1..=2),
            "kind is `all`; expected full or changes",
        ),
        (
            FULL.replace("&month=202110", ""),
            people(1..=2),
            "month is missing",
        ),
        (
            FULL.to_string(),
            cut[..cut.len() - 5].to_string(),
            "line 4: the document ends too early",
        ),
        (FULL.to_string(), String::new(), "the packet has no record"),
    ] {
        let (status, text) = send(&gateway, &query, body).await;
        assert_eq!(
            (status, parse(&text)["infcode"].as_i64()),
            (400, Some(-1)),
            "{text}"
        );
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(gateway.value("SELECT (SELECT count(*) FROM roster), (SELECT count(*) FROM roster_entry), count(*) FROM packet_refusal").await, "0 0 6");
    let other = send(&gateway, &FULL.replace("450100", "460000"), people(1..=1)).await;
    assert!(
        other
            .1
            .contains("is 450103, which is no district of pooling area 460000"),
        "{}",
        other.1
    );
}

#[tokio::test]
async fn a_full_roster_ends_whom_it_no_longer_names_and_nobody_else() {
    let gateway = november().await;
    send(&gateway, FULL, people(1..=5)).await;
    // P0002 is named by a refused line, P0003 not at all, P0004 with another base.
    let mut body = people([1, 5]);
    body += &person(2, json!({ "clct_base": "-5.00" }));
    body += &person(4, json!({ "clct_base": 6000 }));
    let next = FULL.replace("202110", "202111");
    let (_, text) = send(&gateway, &next, body.clone()).await;
    assert_eq!(counts(&text), [4, 3, 1, 1]);
    let in_force = "SELECT DISTINCT ON (person_no) person_no, from_month, category, base_fen FROM roster_entry ORDER BY person_no, from_month DESC, roster_id DESC";
    assert_eq!(
        gateway.value(in_force).await,
        "P0001 202111 active 500000; P0002 202110 active 500000; P0003 202111 - -; P0004 202111 active 600000; P0005 202111 active 500000"
    );
    // A line that names nobody could have been anybody's.
    let (_, text) = send(
        &gateway,
        &next.replace("R202111", "R202111B"),
        people([1]) + "{\n",
    )
    .await;
    assert_eq!(counts(&text), [2, 1, 1, 0]);
    assert!(
        text.contains("nobody was ended: 1 lines name nobody"),
        "{text}"
    );
    // Whoever left is not ended again, and changes end nobody.
    let (_, text) = send(
        &gateway,
        &next.replace("R202111", "R202111C"),
        people([1, 2, 4, 5]),
    )
    .await;
    assert_eq!(counts(&text), [4, 4, 0, 0]);
    let (_, text) = send(
        &gateway,
        &next
            .replace("R202111", "R202111D")
            .replace("full", "changes"),
        people([3]),
    )
    .await;
    assert_eq!(counts(&text), [1, 1, 0, 0]);
}

#[tokio::test]
async fn certificates_are_sealed_and_open_only_where_they_belong() {
    let gateway = november().await;
    send(&gateway, FULL, people(1..=1)).await;
    let row = gateway
        .value("SELECT roster_id, encode(sealed, 'hex') FROM roster_entry")
        .await;
    let (version, hex) = row.split_once(' ').expect("two values");
    let version: i64 = version.parse().expect("an id");
    let sealed: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
        .collect();
    let keys = Keys::load(&gateway.stage.pki.join("privacy.key")).expect("the stage's keys");
    let opened = keys
        .open(
            Label {
                kind: "insured_person",
                id: "P0001",
                version,
            },
            &sealed,
        )
        .expect("it opens where it belongs");
    assert_eq!(opened, b"resident_id\n450103198001010011");
    assert!(
        keys.open(
            Label {
                kind: "insured_person",
                id: "P0002",
                version
            },
            &sealed
        )
        .is_err()
    );
    let stored = gateway
        .value("SELECT string_agg(e::text, ' ') FROM roster_entry e")
        .await
        + &gateway
            .value("SELECT string_agg(r::text, ' ') FROM roster r")
            .await;
    assert!(!stored.contains("19800101"), "{stored}");
}

#[tokio::test]
async fn birth_dates_are_kept_only_where_the_rates_depend_on_age() {
    let rates = tempfile::tempdir().expect("a folder");
    let shipped = crate::support::project().join("config/rates");
    let by_age = std::fs::read_to_string(shipped.join("450100-nanning.toml"))
        .expect("the rates")
        .replace(
            "segments = [\"active\"]",
            "segments = [\"active\"]\nage_to = 40",
        );
    std::fs::write(rates.path().join("450100-nanning.toml"), by_age).expect("written");
    let (shipped, changed) = (
        shipped.display().to_string(),
        rates.path().display().to_string(),
    );
    let gateway = Gateway::with(|scene| scene.edit(&shipped, &changed)).await;
    let passport = person(2, json!({ "psn_cert_type": "08", "certno": "E19800101" }));
    send(&gateway, FULL, person(1, json!({})) + &passport).await;
    assert_eq!(
        gateway
            .value("SELECT person_no, born_on FROM roster_entry ORDER BY 1")
            .await,
        "P0001 1980-01-01; P0002 -"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_city_in_gzip_is_taken_to_the_last_line() {
    let gateway = november().await;
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    let month = Month::new(2021, 10).expect("a month");
    let made = City::new(1, 400)
        .people(9_000)
        .write_roster(month, &mut zipped)
        .expect("memory");
    zipped.flush().expect("memory");
    let client = gateway.stage.client("medical-core").expect("a client");
    let request = client
        .post(gateway.url(&format!("/core/v1/roster?{FULL}")))
        .header("content-encoding", "gzip");
    let answer = request
        .body(zipped.finish().expect("memory"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (made, counts(&answer.text().await.expect("a body"))),
        (9_000, [9_000, 9_000, 0, 0])
    );
    let sums = gateway.value("SELECT count(*), count(DISTINCT district), count(*) FILTER (WHERE sealed IS NULL) FROM roster_entry").await;
    assert_eq!(sums, "9000 12 0");
}

#[tokio::test]
async fn the_reply_lists_no_more_refused_lines_than_are_configured() {
    let clock = CityClock::default();
    clock.set_day(jiff::civil::date(2021, 11, 15));
    let gateway = Gateway::at(clock, |scene| {
        scene.edit("# refusals_listed_max = 10000", "refusals_listed_max = 3")
    })
    .await;
    let mut body = String::new();
    for _ in 0..4 {
        write!(
            body,
            "{}{}",
            person(1, json!({})),
            person(2, json!({ "psn_type": "9" }))
        )
        .expect("memory");
    }
    let (_, text) = send(&gateway, FULL, body).await;
    assert_eq!(counts(&text), [8, 1, 7, 0]);
    let records: Vec<u64> = parse(&text)["output"]["refused_lines"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|line| line["record"].as_u64())
        .collect();
    assert_eq!(records, [2, 3, 4]);
}

#[tokio::test]
async fn only_the_medical_core_may_send_a_roster() {
    let gateway = november().await;
    let client = gateway.stage.client("ltc-system").expect("a client");
    let answer = client
        .post(gateway.url(&format!("/core/v1/roster?{FULL}")))
        .body(people(1..=1))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 404);
    assert_eq!(gateway.value("SELECT count(*) FROM roster").await, "0");
}

#[tokio::test]
async fn lines_from_a_month_already_deducted_are_told_what_becomes_of_them() {
    let gateway = november().await;
    let ran = |id: i64, month: i32, state: &str| {
        let settled = if state == "settled" { "now()" } else { "NULL" };
        format!(
            "INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, rounds, planned_by, approved_by, approved_at, started_at, settled_at)
             VALUES ({id}, 450100, {month}, '{state}', sha256('x'), 1, 1, 1, 'a', 'b', now(), now(), {settled})"
        )
    };
    gateway.value(&ran(1, 202_109, "settled")).await;
    gateway.value(&ran(2, 202_110, "running")).await;
    let body = person(1, json!({}))
        + &person(2, json!({ "begnym": "202110" }))
        + &person(3, json!({ "begnym": "202111" }));
    let (status, text) = send(
        &gateway,
        "roster_no=C1&kind=changes&area=450100&month=202111",
        body,
    )
    .await;
    let output = &parse(&text)["output"];
    assert_eq!(
        (status, counts(&text), &output["already_deducted"]),
        (200, [3, 3, 0, 0], &json!(2))
    );
    let notes: Vec<(i64, &str)> = output["notes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|note| {
            (
                note["record"].as_i64().unwrap_or(0),
                note["note"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        notes.iter().map(|(record, _)| *record).collect::<Vec<_>>(),
        [1, 2]
    );
    assert!(
        notes[0]
            .1
            .contains("holds from 2021-03; 2021-09, 2021-10 ran already and is not computed again"),
        "{notes:?}"
    );
    assert!(
        notes[1].1.contains("自 2021-10 起生效；2021-10 已扣款"),
        "{notes:?}"
    );
    assert!(
        output["notice"].as_str().is_some_and(
            |notice| notice.contains("2 lines hold from a month already deducted, see notes")
        ),
        "{text}"
    );

    let (_, text) = send(
        &gateway,
        "roster_no=F1&kind=full&area=450100&month=202110",
        person(1, json!({})),
    )
    .await;
    assert_eq!(
        counts(&text),
        [1, 1, 0, 1],
        "whoever holds from November only has not left in October"
    );
    let notice = parse(&text)["output"]["notice"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert!(
        notice.contains("whoever left was asked in 2021-10 all the same"),
        "{notice}"
    );
    let (_, text) = send(
        &gateway,
        "roster_no=C2&kind=changes&area=450100&month=202111",
        person(4, json!({ "begnym": "202111" })),
    )
    .await;
    assert_eq!(
        (
            &parse(&text)["output"]["already_deducted"],
            &parse(&text)["output"]["notes"]
        ),
        (&json!(0), &json!([]))
    );
}
