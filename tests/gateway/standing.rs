//! Questions about who paid: by the medical core per person and employer, by the LTC system for a person's standing.

use ltcgw::flow::clock::CityClock;
use serde_json::{Value, json};

use crate::packet::{Line, Packet};
use crate::support::Gateway;

/// A gateway on 2021-12-20 with people on the roster from October on.
async fn city() -> Gateway {
    let clock = CityClock::default();
    clock.set_day(jiff::civil::date(2021, 12, 20));
    let gateway = Gateway::at(clock, |scene| scene).await;
    let line = |number: &str, change: Value| {
        let mut line = json!({
            "psn_no": number, "psn_cert_type": "01", "certno": "450103198001010011", "psn_type": "11", "acct_type": "1",
            "emp_no": "4501030012345", "admdvs": "450103", "clct_base": "6000.00", "begnym": "202110",
        });
        change
            .as_object()
            .expect("an object")
            .iter()
            .for_each(|(name, value)| line[name] = value.clone());
        format!("{line}\n")
    };
    let roster = [
        line("ONTIME", json!({})),
        line("SHORT", json!({})),
        line("LATE", json!({})),
        line("RETIRED", json!({ "psn_type": "12", "emp_no": null })),
        line("OTHER-EMPLOYER", json!({ "emp_no": "4501030099999" })),
        line("NO-ACCOUNT", json!({ "acct_type": "2" })),
        line("UNDERPAID", json!({ "emp_no": "4501030000777" })),
    ];
    let client = gateway.stage.client("medical-core").expect("a client");
    let url = gateway.url("/core/v1/roster?roster_no=R1&kind=changes&area=450100&month=202110");
    let answer = client
        .post(url)
        .body(roster.concat())
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(answer.contains("\"taken\": 7"), "{answer}");
    gateway
}

/// A settled cycle by SQL: who was asked 900 fen, with outcome and what the account did not cover.
async fn cycle(
    gateway: &Gateway,
    (id, month, answered): (i64, i32, &str),
    people: &[(&str, i64, &str)],
) {
    gateway
        .value(&format!(
            "INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, rounds, planned_by, approved_by, approved_at, started_at, settled_at)
             VALUES ({id}, 450100, {month}, 'settled', sha256('x'), {n}, 1, 1, 'a', 'b', '{answered}', '{answered}', '{answered}');
             INSERT INTO deduction_batch VALUES ({id}, 1, 1, 'A', 'Z', {n}, 1, {n}, '{answered}')",
            n = people.len()
        ))
        .await;
    for (person, carried, outcome) in people {
        let fen = 900 + carried;
        let taken = if *outcome == "deducted" { fen } else { 0 };
        gateway
            .value(&format!(
                "INSERT INTO deduction VALUES ({id}, '{person}', 'active', 450103, 0, 600000, 900, {carried}, {fen});
                 INSERT INTO deduction_result (cycle_id, person_no, round, batch_no, outcome, fen) VALUES ({id}, '{person}', 1, 1, '{outcome}', {taken})"
            ))
            .await;
        if taken == 0 {
            gateway
                .value(&format!(
                    "INSERT INTO shortfall VALUES (450100, '{person}', {id}, 900, 'carry_over')"
                ))
                .await;
        }
    }
}

/// October asked in November, November asked in December, and the employer's payment for October.
async fn paid() -> Gateway {
    let gateway = city().await;
    let october = [
        ("ONTIME", 0, "deducted"),
        ("SHORT", 0, "insufficient_balance"),
        ("LATE", 0, "account_frozen"),
        ("RETIRED", 0, "deducted"),
    ];
    let others = [
        ("OTHER-EMPLOYER", 0, "deducted"),
        ("UNDERPAID", 0, "deducted"),
    ];
    cycle(
        &gateway,
        (1, 202_110, "2021-11-10T10:00:00+08"),
        &[&october[..], &others].concat(),
    )
    .await;
    cycle(
        &gateway,
        (2, 202_111, "2021-12-03T10:00:00+08"),
        &[
            ("ONTIME", 0, "deducted"),
            ("LATE", 900, "deducted"),
            ("SHORT", 900, "insufficient_balance"),
        ],
    )
    .await;
    gateway
        .value("UPDATE shortfall SET carried_into = 2 WHERE cycle_id = 1 AND person_no = 'LATE'")
        .await;
    gateway.value("INSERT INTO deduction_left_out VALUES (1, 'NO-ACCOUNT', 450103, 'active', 'no_account', 900)").await;
    let lines = [
        Line::employer("1"),
        Line::employer("2")
            .with("AAB001", "4501030000777")
            .with("AAD009", "445016211000004712")
            .with("AAE080", "8000.00"),
    ];
    let (status, receipt) = gateway.send(Packet::employers("PAID", lines)).await;
    assert_eq!(status, 200, "{receipt}");
    gateway
}

async fn ask(gateway: &Gateway, partner: &str, path: &str) -> (u16, Value) {
    let client = gateway.stage.client(partner).expect("a client");
    let answer = client
        .get(gateway.url(path))
        .send()
        .await
        .expect("an answer");
    let (status, text) = (
        answer.status().as_u16(),
        answer.text().await.expect("a body"),
    );
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")),
    )
}

async fn standing(gateway: &Gateway, person: &str, on: &str) -> (String, Vec<String>) {
    let (status, answer) = ask(
        gateway,
        "ltc-system",
        &format!("/ltc/v1/persons/{person}/standing?on={on}"),
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let reasons = answer["reasons"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|reason| reason.as_str().map(str::to_string))
        .collect();
    (
        answer["verdict"].as_str().expect("a word").to_string(),
        reasons,
    )
}

#[tokio::test]
async fn a_standing_says_whether_all_that_was_due_was_paid_and_why() {
    let gateway = paid().await;
    for (person, on, verdict, reason) in [
        (
            "ONTIME",
            "2021-12-15",
            "paid_on_time",
            "everything due up to this day was paid in full and on time",
        ),
        (
            "ONTIME",
            "2021-11-29",
            "nothing_due",
            "nothing was due up to this day",
        ),
        (
            "RETIRED",
            "2021-12-15",
            "paid_on_time",
            "everything due up to this day was paid in full and on time",
        ),
        (
            "SHORT",
            "2021-12-15",
            "not_paid_in_full",
            "2021-10: own part: the account did not cover it (insufficient_balance); 900 fen short",
        ),
        (
            "LATE",
            "2021-12-15",
            "paid_late",
            "2021-10: own part: paid on 2021-12-03, due by 2021-11-30",
        ),
        (
            "LATE",
            "2021-12-02",
            "not_paid_in_full",
            "2021-10: own part: paid on 2021-12-03, after the day asked about",
        ),
        (
            "OTHER-EMPLOYER",
            "2021-12-15",
            "not_paid_in_full",
            "2021-10: employer's part: no payment is in the treasury",
        ),
        (
            "UNDERPAID",
            "2021-12-15",
            "not_paid_in_full",
            "2021-10: employer's part: all payments together are less than the rate asks",
        ),
        (
            "NO-ACCOUNT",
            "2021-12-15",
            "cannot_tell",
            "2021-10: own part: there is no personal account, so it is collected elsewhere and not known here",
        ),
    ] {
        assert_eq!(
            standing(&gateway, person, on).await,
            (verdict.to_string(), vec![reason.to_string()]),
            "{person} on {on}"
        );
    }
}

#[tokio::test]
async fn questions_are_answered_while_packets_hold_every_other_connection() {
    let gateway = paid().await;
    let pool = gateway.running.gateway.store.pool();
    let mut held = Vec::new();
    for _ in 0..pool.status().max_size {
        held.push(pool.get().await.expect("a connection"));
    }
    assert_eq!(
        standing(&gateway, "ONTIME", "2021-12-15").await.0,
        "paid_on_time"
    );
    let (status, answer) = ask(
        &gateway,
        "medical-core",
        "/core/v1/persons/ONTIME/contributions?from=202110&to=202110",
    )
    .await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_standing_shows_the_facts_of_each_month_and_no_base() {
    let gateway = paid().await;
    let (_, answer) = ask(&gateway, "ltc-system", "/ltc/v1/persons/LATE/standing").await;
    assert_eq!(
        (&answer["on"], &answer["insured"]),
        (&json!("2021-12-20"), &json!(true))
    );
    let months: Vec<&Value> = answer["months"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    assert_eq!(
        months
            .iter()
            .map(|month| month["month"].as_str().unwrap_or_default())
            .collect::<Vec<_>>(),
        ["2021-10", "2021-11", "2021-12"]
    );
    let october = months[0];
    assert_eq!(october["roster"]["category"], "active");
    let own = &october["own"];
    assert_eq!(
        (
            &own["state"],
            &own["outcome"],
            &own["made_up_by"],
            &own["paid_on"]
        ),
        (
            &json!("paid"),
            &json!("account_frozen"),
            &json!(2),
            &json!("2021-12-03")
        )
    );
    let line = &october["employer"]["lines"][0];
    let found = [
        "receipt_no",
        "treasury_on",
        "long_term_care_fen",
        "underpaid",
    ]
    .map(|name| &line[name]);
    assert_eq!(
        found,
        [
            &json!("445016211000004711"),
            &json!("2021-11-06"),
            &json!(18_000),
            &json!(false)
        ]
    );
    assert_eq!(
        (&months[2]["own"]["state"], &months[2]["own"]["due_fen"]),
        (&json!("not_asked"), &json!(900))
    );
    let text = answer.to_string();
    assert!(
        !text.contains("600000") && !text.contains("base") && !text.contains("4501031980"),
        "{text}"
    );
}

#[tokio::test]
async fn a_revoked_payment_and_people_who_left_no_longer_count() {
    let gateway = paid().await;
    let revoke = Line::employer("1").with("AAA321", "2");
    let (status, receipt) = gateway.send(Packet::employers("BACK", [revoke])).await;
    assert_eq!(status, 200, "{receipt}");
    let (verdict, reasons) = standing(&gateway, "ONTIME", "2021-12-15").await;
    assert_eq!(
        (verdict.as_str(), reasons[0].as_str()),
        (
            "not_paid_in_full",
            "2021-10: employer's part: no payment is in the treasury"
        )
    );
    gateway
        .value("INSERT INTO roster_entry (pooling_area, person_no, from_month, roster_id, account, district) VALUES (450100, 'RETIRED', 202111, 9999, false, 450103)")
        .await;
    let (_, answer) = ask(
        &gateway,
        "ltc-system",
        "/ltc/v1/persons/RETIRED/standing?on=2021-12-15",
    )
    .await;
    assert_eq!(
        (&answer["insured"], &answer["verdict"]),
        (&json!(false), &json!("paid_on_time"))
    );
    assert_eq!(
        (
            &answer["months"][1]["roster"],
            &answer["months"][1]["own"]["state"]
        ),
        (&Value::Null, &json!("none_due"))
    );
}

#[tokio::test]
async fn the_core_sees_what_was_asked_of_a_person_and_paid_by_the_employer() {
    let gateway = paid().await;
    let detail = [
        Line::employee("901", "ONTIME"),
        Line::employee("902", "SHORT"),
    ];
    let (status, receipt) = gateway.send(Packet::employees("DETAIL", detail)).await;
    assert_eq!(status, 200, "{receipt}");
    let (status, answer) = ask(
        &gateway,
        "medical-core",
        "/core/v1/persons/SHORT/contributions?from=202109&to=2021-11",
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let months = answer["months"].as_array().expect("a list");
    assert_eq!(
        (
            months.len(),
            &months[0]["roster"],
            &months[0]["own"]["state"]
        ),
        (3, &Value::Null, &json!("none_due"))
    );
    let own = &months[2]["own"];
    let found = [
        "state",
        "due_fen",
        "carried_fen",
        "asked_fen",
        "taken_fen",
        "short_fen",
        "round",
    ]
    .map(|name| own[name].clone());
    assert_eq!(
        found,
        [
            json!("short"),
            json!(900),
            json!(900),
            json!(1800),
            json!(0),
            json!(900),
            json!(1)
        ]
    );
    assert_eq!(
        months[1]["employer"]["lines"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(months[2]["employer"]["state"], "missing");
    let own = json!([{ "receipt_no": "445016211000004711", "detail_no": "902", "employer_base_fen": 600_000, "employer_paid_fen": 41_700, "employee_paid_fen": 12_000 }]);
    assert_eq!(months[1]["employer"]["detail"], own);
}

#[tokio::test]
async fn an_employers_payments_are_summed_by_month_without_those_taken_back() {
    let gateway = paid().await;
    let more = [
        Line::employer("3").with("AAD009", "445016211000004713"),
        Line::employer("4")
            .with("AAE003", "202111")
            .with("AAD009", "445016211000004714"),
        Line::employer("5").with("AAD009", "445016211000004715"),
    ];
    gateway.send(Packet::employers("MORE", more)).await;
    gateway
        .send(Packet::employers(
            "LESS",
            [Line::employer("5")
                .with("AAD009", "445016211000004715")
                .with("AAA321", "2")],
        ))
        .await;
    let (status, answer) = ask(
        &gateway,
        "medical-core",
        "/core/v1/employers/4501030012345/contributions?from=202110&to=202112",
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let sums: Vec<_> = answer["months"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|month| (month["month"].clone(), month["long_term_care_fen"].clone()))
        .collect();
    assert_eq!(
        sums,
        [
            (json!("2021-10"), json!(36_000)),
            (json!("2021-11"), json!(18_000))
        ]
    );
    let (status, answer) = ask(
        &gateway,
        "medical-core",
        "/core/v1/employers/4501030012345/contributions?from=202001&to=202002",
    )
    .await;
    assert_eq!((status, &answer["months"]), (200, &json!([])));
    assert_eq!(
        ask(
            &gateway,
            "medical-core",
            "/core/v1/employers/nobody/contributions?from=202110&to=202112"
        )
        .await
        .0,
        404
    );
}

#[tokio::test]
async fn questions_that_cannot_be_answered_say_which_parameter_and_what_is_expected() {
    let gateway = city().await;
    for (partner, path, status, expected) in [
        (
            "medical-core",
            "/core/v1/persons/ONTIME/contributions?from=202110",
            400,
            "to is missing; expected a month such as 202110",
        ),
        (
            "medical-core",
            "/core/v1/persons/ONTIME/contributions?from=2021&to=202110",
            400,
            "from is `2021`; expected a month such as 202110, from 1990 to 2199",
        ),
        (
            "medical-core",
            "/core/v1/persons/ONTIME/contributions?from=202112&to=202110",
            400,
            "from is 2021-12, after to, 2021-10",
        ),
        (
            "medical-core",
            "/core/v1/persons/ONTIME/contributions?from=201101&to=202102",
            400,
            "are too far apart; expected at most 120 months",
        ),
        (
            "medical-core",
            "/core/v1/employers/E/contributions?form=202110&to=202110",
            400,
            "there is no parameter `form` (did you mean `from`?); expected from and to",
        ),
        (
            "medical-core",
            "/core/v1/persons/P%20X/contributions?from=202110&to=202110",
            400,
            "the number in the path",
        ),
        (
            "medical-core",
            "/core/v1/persons/NOBODY/contributions?from=202110&to=202110",
            404,
            "no roster ever named this person",
        ),
        (
            "ltc-system",
            "/ltc/v1/persons/NOBODY/standing?on=2021-11-15",
            404,
            "no roster ever named this person",
        ),
        (
            "ltc-system",
            "/ltc/v1/persons/ONTIME/standing?on=15.11.2021",
            400,
            "on is `15.11.2021`: does not begin with a year of four digits",
        ),
        (
            "ltc-system",
            "/ltc/v1/persons/ONTIME/standing?on=2021-12-21",
            400,
            "on is 2021-12-21, which has not come; expected 2021-12-20 or an earlier day",
        ),
        (
            "ltc-system",
            "/core/v1/persons/ONTIME/contributions?from=202110&to=202110",
            404,
            "there is nothing for partner ltc-system at",
        ),
    ] {
        let (found, answer) = ask(&gateway, partner, path).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(
            answer["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(expected)),
            "{path}: {answer}"
        );
    }
}
