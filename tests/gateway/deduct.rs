//! A month's deductions: planned, approved by a second person, run once, whatever happens.

use data_encoding::HEXLOWER;
use ltcgw::flow::deduct::{DeductionRefusal, Of};
use ltcgw::store::deduction::{Cycle, CycleState};
use sha2::{Digest, Sha256};

use crate::office::{Office, by, month, november, october, plan_anew};
use crate::support::{Gateway, receipt};

fn text(refusal: Result<Cycle, DeductionRefusal>) -> String {
    refusal.expect_err("a refusal").fault.text
}

#[tokio::test]
async fn a_month_is_planned_approved_and_run_in_batches() {
    let office = Office::with_roster().await;
    let plan = office
        .desk
        .plan(october(), &by("Li"))
        .await
        .expect("a plan");
    assert_eq!(
        (plan.state, plan.people, plan.fen.0),
        (CycleState::Planned, 4, 600 + 450 + 630 + 300)
    );
    let totals = "SELECT district, category, people, base_fen, due_fen, carried_fen FROM deduction_total ORDER BY 1, 2";
    let expected = "450102 active 1 400000 600 0; 450102 retired 1 300000 450 0; 450102 unemployed 1 100000 300 0; 450103 flexible 1 210000 630 0";
    assert_eq!(office.sql(totals).await, expected);
    assert_eq!(
        office
            .sql("SELECT person_no, reason, due_fen FROM deduction_left_out ORDER BY 1")
            .await,
        "P3 no_account 750; P5 nothing_due 0"
    );
    assert_eq!(
        office.sql("SELECT count(*) FROM deduction").await,
        "0",
        "a plan instructs nobody"
    );

    assert!(text(office.run(october()).await).contains("is not approved"));
    let approved = office
        .desk
        .approve(october(), &by("Wang"), &HEXLOWER.encode(&plan.digest)[..8])
        .await
        .expect("an approval");
    assert_eq!(
        (approved.state, approved.approved_by.as_deref()),
        (CycleState::Approved, Some("Wang"))
    );
    let running = office.run(october()).await.expect("a run");
    assert_eq!((running.state, running.rounds), (CycleState::Running, 1));
    let people = "SELECT person_no, category, rate_id, base_fen, fen FROM deduction JOIN deduction_rate USING (cycle_id, rate) ORDER BY 1";
    let expected = "P1 active 450100/individual/2021-03/active 400000 600; P2 retired 450100/individual/2021-03/retired 300000 450; \
        P4 flexible 450100/individual/2021-03/flexible 210000 630; P7 unemployed 450100/individual/2021-03/unemployed 100000 300";
    assert_eq!(office.sql(people).await, expected);
    let batches = "SELECT batch_no, round, first_person, last_person, people, fen, answered FROM deduction_batch ORDER BY 1";
    assert_eq!(
        office.sql(batches).await,
        "1 1 P1 P4 3 1680 0; 2 1 P7 P7 1 300 0"
    );
    let deliveries = "SELECT destination, message, part, lines, fen, priority, state, ordering_key FROM delivery WHERE subject_kind = 'batch' ORDER BY 3";
    assert_eq!(
        office.sql(deliveries).await,
        "medical-core deductions 1 3 1680 20 ready -; medical-core deductions 2 1 300 20 ready -"
    );
    let cycle =
        "SELECT state, rounds, planned_by, approved_by, run_by, people, fen FROM deduction_cycle";
    assert_eq!(office.sql(cycle).await, "running 1 Li Wang Wang 4 1980");
}

#[tokio::test]
async fn an_auditor_makes_the_same_digest_with_copy_and_sha256() {
    use futures_util::TryStreamExt;
    let office = Office::with_roster().await;
    office
        .sql("UPDATE roster_entry SET person_no = E'P\\\\4\\t' WHERE person_no = 'P4'")
        .await;
    let cycle = office.approved(october()).await;
    office.run(october()).await.expect("a run");
    let (client, connection) = office
        .database
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let sql = format!(
        "COPY (SELECT person_no, category, district, rate_id, base_fen, due_fen, carried_fen, fen, shortfall
                FROM deduction JOIN deduction_rate USING (cycle_id, rate) WHERE cycle_id = {id}
            UNION ALL SELECT person_no, category, district, reason, NULL, due_fen, NULL, NULL, NULL FROM deduction_left_out WHERE cycle_id = {id}
            ORDER BY person_no) TO STDOUT (NULL '')",
        id = cycle.cycle_id
    );
    let rows = client.copy_out(&sql).await.expect("a copy");
    let rows: Vec<bytes::Bytes> = rows.try_collect().await.expect("rows");
    assert_eq!(rows.len(), 6);
    let mut hash = Sha256::new_with_prefix("450100\t202110\n");
    rows.iter().for_each(|row| hash.update(row));
    assert_eq!(
        HEXLOWER.encode(&hash.finalize()),
        HEXLOWER.encode(&cycle.digest)
    );
}

#[tokio::test]
async fn two_runs_at_once_instruct_once() {
    let office = Office::with_roster().await;
    office.approved(october()).await;
    let (one, other) = tokio::join!(office.run(october()), office.run(october()));
    let (ran, refused) = if one.is_ok() {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(ran.expect("one runs").state, CycleState::Running);
    assert!(text(refused).contains("is running, run by Wang"));
    assert_eq!(
        office.sql("SELECT count(*), sum(fen) FROM deduction").await,
        "4 1980"
    );
    assert_eq!(office.sql("SELECT count(*) FROM delivery").await, "2");
    assert!(
        text(office.desk.plan(october(), &by("Li")).await)
            .contains("a person is deducted from once a month")
    );
}

#[tokio::test]
async fn a_run_whose_roster_changed_sends_nothing() {
    let office = Office::with_roster().await;
    let approved = office.approved(october()).await;
    office
        .sql("UPDATE roster_entry SET base_fen = 400100 WHERE person_no = 'P1'")
        .await;
    let said = text(office.run(october()).await);
    assert!(
        said.contains("the roster changed since the plan")
            && said.contains("plan and approve again"),
        "{said}"
    );
    assert_eq!(office.sql("SELECT (SELECT count(*) FROM deduction), (SELECT count(*) FROM delivery), (SELECT count(*) FROM deduction_batch)").await, "0 0 0");
    assert_eq!(
        office.sql("SELECT state FROM deduction_cycle").await,
        "approved"
    );
    office
        .sql("UPDATE roster_entry SET base_fen = 400000, district = 450103 WHERE person_no = 'P1'")
        .await;
    assert!(
        text(office.run(october()).await).contains("the roster changed"),
        "a district counts as well"
    );
    let again = office.approved(october()).await;
    assert_ne!(again.digest, approved.digest);
    office.run(october()).await.expect("a run of the new plan");
    assert_eq!(
        office
            .sql("SELECT state FROM deduction_cycle ORDER BY cycle_id")
            .await,
        "replaced; running"
    );
}

#[tokio::test]
async fn nobody_approves_their_own_plan_or_another_digest() {
    let office = Office::with_roster().await;
    assert!(
        text(
            office
                .desk
                .approve(october(), &by("Wang"), "12345678")
                .await
        )
        .contains("there is no plan for 450100 2021-10")
    );
    let first = office
        .desk
        .plan(october(), &by("Li"))
        .await
        .expect("a plan");
    let digest = HEXLOWER.encode(&first.digest);
    for (name, said, expected) in [
        ("li ", &*digest, "Li made the plan"),
        ("Wang", &digest[..7], "7 digits were given"),
        ("Wang", "0123456789", "the one given is another"),
    ] {
        let refused = text(office.desk.approve(october(), &by(name), said).await);
        assert!(refused.contains(expected), "{name} {said}: {refused}");
    }
    assert_eq!(
        office.sql("SELECT state FROM deduction_cycle").await,
        "planned"
    );
    office
        .desk
        .approve(october(), &by("Wang"), &digest.to_uppercase())
        .await
        .expect("the whole digest, in any case of letters");
    assert!(
        text(office.desk.approve(october(), &by("Zhao"), &digest).await)
            .contains("approved already, by Wang")
    );
    plan_anew(&office.desk, october(), "Li").await; // undoes the approval
    assert!(text(office.run(october()).await).contains("is not approved"));
}

#[tokio::test]
async fn what_cannot_be_planned_is_refused_with_what_to_do() {
    let office = Office::with_roster().await;
    office.desk.clock.set_day(jiff::civil::date(2021, 11, 2));
    let at = |area, month| Of { area, month };
    for (of, expected) in [
        (
            at(451_000, month(10)),
            "no rates for pooling area 451000; expected one of 450100, 460000",
        ),
        (
            at(450_100, month(1)),
            "nothing is taken from personal accounts in 450100 2021-01",
        ),
        (
            at(450_100, month(12)),
            "2021-12 has not begun: today is 2021-11-02",
        ),
        (
            at(510_100, month(10)),
            "nobody is on a roster for 510100 2021-10",
        ),
    ] {
        let refused = text(office.desk.plan(of, &by("Li")).await);
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(text(office.run(november()).await).contains("there is no plan for 450100 2021-11"));
    let refused = office
        .desk
        .retry(october())
        .await
        .expect_err("nothing to retry")
        .fault
        .text;
    assert!(refused.contains("there is no plan"), "{refused}");
    assert_eq!(
        office.sql("SELECT count(*) FROM deduction_cycle").await,
        "0"
    );
}

#[tokio::test]
async fn what_was_left_open_is_carried_into_the_next_month_once() {
    let office = Office::with_roster().await;
    office.approved(october()).await;
    let first = office.run(october()).await.expect("a run");
    office.settle(&first, &["P1", "P7"], "carry_over").await;
    // P7 has no account any more: what is open of them stays open.
    office.sql("INSERT INTO roster_entry VALUES (450100, 'P7', 202111, 9, 'unemployed', false, NULL, 450102, 100000)").await;
    let plan = office
        .desk
        .plan(november(), &by("Li"))
        .await
        .expect("a plan");
    assert_eq!((plan.people, plan.fen.0), (4, 600 + 600 + 450 + 660 + 150));
    assert_eq!(
        office
            .sql("SELECT count(*) FROM shortfall WHERE carried_into IS NOT NULL")
            .await,
        "0",
        "a plan carries nothing yet"
    );
    let seen = office.desk.see(november()).await.expect("a plan");
    let active = seen
        .changes()
        .into_iter()
        .find(|change| change.district == 450_102 && change.category.word() == "active")
        .expect("a change");
    assert_eq!((active.people, active.fen), ((1, 2), (600, 1_350)));

    office
        .desk
        .approve(november(), &by("Wang"), &HEXLOWER.encode(&plan.digest))
        .await
        .expect("an approval");
    let second = office.run(november()).await.expect("a run");
    assert_eq!(
        office.sql(&format!("SELECT due_fen, carried_fen, fen FROM deduction WHERE cycle_id = {} AND person_no = 'P1'", second.cycle_id)).await,
        "600 600 1200"
    );
    let carried = format!(
        "SELECT person_no, carried_into IS NOT DISTINCT FROM {} FROM shortfall ORDER BY 1",
        second.cycle_id
    );
    assert_eq!(office.sql(&carried).await, "P1 t; P7 f");
}

#[tokio::test]
async fn a_shortfall_that_came_after_the_plan_needs_a_new_plan() {
    let office = Office::with_roster().await;
    office.approved(october()).await;
    let first = office.run(october()).await.expect("a run");
    office.approved(november()).await;
    office.settle(&first, &["P1"], "carry_over").await;
    assert!(text(office.run(november()).await).contains("plan and approve again"));
    assert_eq!(
        office
            .sql("SELECT count(*) FROM shortfall WHERE carried_into IS NULL")
            .await,
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_asked_for_all_at_once_leave_each_other_connections() {
    let gateway = Gateway::start().await;
    gateway.value("INSERT INTO roster_entry SELECT 450100, 'P' || n, 202101, 1, 'active', true, 'E1', 450102, 400000 FROM generate_series(1, 5) n").await;
    let client = gateway.stage.client("medical-core").expect("a client");
    let plan = async || {
        let body = r#"{"area":"450100","month":"2021-10"}"#;
        client
            .post(gateway.url("/core/v1/deduction-cycles"))
            .body(body)
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    // More than there are connections; each plan works with two.
    let statuses = futures_util::future::join_all((0..40).map(|_| plan())).await;
    assert_eq!(statuses, [201; 40]);
    assert_eq!(
        gateway
            .value("SELECT count(*) FROM deduction_cycle WHERE state = 'planned'")
            .await,
        "1"
    );
}

#[tokio::test]
async fn people_left_short_are_tried_again_where_the_rates_say_so() {
    let office = Office::with_roster().await;
    office.approved(october()).await;
    let first = office.run(october()).await.expect("a run");
    let early = office
        .desk
        .retry(october())
        .await
        .expect_err("it still runs")
        .fault
        .text;
    assert!(early.contains("is running"), "{early}");
    office.settle(&first, &["P1", "P7"], "retry").await;
    let none = office
        .desk
        .retry(october())
        .await
        .expect_err("Nanning carries over")
        .fault
        .text;
    assert!(
        none.contains("nobody of 450100 2021-10 is to be tried again"),
        "{none}"
    );
    office
        .sql("UPDATE deduction_rate SET shortfall = 'retry'")
        .await;
    let (second, people) = office.desk.retry(october()).await.expect("a round");
    assert_eq!(
        (second.state, second.rounds, people),
        (CycleState::Running, 2, 2)
    );
    assert_eq!(office.sql("SELECT batch_no, first_person, last_person, people, fen FROM deduction_batch WHERE round = 2").await, "3 P1 P7 2 900");
    assert_eq!(
        office
            .sql("SELECT part, lines, fen FROM delivery WHERE state = 'ready'")
            .await,
        "3 2 900"
    );
    assert_eq!(
        office
            .sql("SELECT count(*) FROM shortfall WHERE carried_into IS NULL")
            .await,
        "0"
    );
    assert_eq!(
        office
            .sql("SELECT state, settled_at FROM deduction_cycle")
            .await,
        "running -"
    );
    office.settle(&second, &["P7"], "retry").await;
    let (third, people) = office.desk.retry(october()).await.expect("another round");
    assert_eq!(
        (third.rounds, people),
        (3, 1),
        "P1 paid in the second round"
    );
}

#[tokio::test]
async fn the_medical_core_plans_and_looks_at_a_cycle() {
    let gateway = Gateway::with(|scene| {
        scene.edit("areas = [\"450100\"]", "areas = [\"450100\", \"450199\"]")
    })
    .await;
    let client = gateway.stage.client("medical-core").expect("a client");
    let post = async |body: &'static str| {
        let answer = client
            .post(gateway.url("/core/v1/deduction-cycles"))
            .body(body)
            .send()
            .await
            .expect("an answer");
        receipt(answer).await
    };
    for (body, status, expected) in [
        ("{", 400, "not JSON"),
        (r#"{"area":"450100"}"#, 422, "month"),
        (r#"{"area":"45010","month":"2021-10"}"#, 422, "six digits"),
        (r#"{"area":"450100","month":"2021-13"}"#, 422, "2021-10"),
        (
            r#"{"area":"450100","month":"2199-12"}"#,
            422,
            "has not begun",
        ),
        (
            r#"{"area":"450199","month":"2021-10"}"#,
            404,
            "no rates for pooling area 450199",
        ),
        (
            r#"{"area":"450100","month":"2021-10"}"#,
            404,
            "nobody is on a roster",
        ),
    ] {
        let (found, text) = post(body).await;
        assert!(
            found == status && text.contains(expected) && text.contains("about:blank"),
            "{body}: {found} {text}"
        );
    }
    gateway.value("INSERT INTO roster_entry SELECT 450100, 'P' || n, 202101, 1, 'active', n > 1, 'E1', 450102, 400000 FROM generate_series(1, 5) n").await;
    let (status, text) = post(r#"{"area":"450100","month":"2021-10"}"#).await;
    let plan: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (status, &plan["state"], &plan["people"], &plan["fen"]),
        (201, &"planned".into(), &4.into(), &2_400.into()),
        "{text}"
    );
    assert_eq!(
        plan["totals"],
        serde_json::json!([{"district": "450102", "category": "active", "people": 4, "base_fen": 1_600_000, "due_fen": 2_400, "carried_fen": 0}])
    );
    assert_eq!(
        plan["left_out"],
        serde_json::json!([{"reason": "no_account", "people": 1, "due_fen": 600}])
    );
    assert_eq!(
        gateway
            .value("SELECT planned_by, encode(digest, 'hex') FROM deduction_cycle")
            .await,
        format!(
            "partner medical-core {}",
            plan["digest"].as_str().expect("text")
        )
    );

    let show = async |id: &str| {
        receipt(
            client
                .get(gateway.url(&format!("/core/v1/deduction-cycles/{id}")))
                .send()
                .await
                .expect("an answer"),
        )
        .await
    };
    let (status, text) = show(&plan["cycle_id"].to_string()).await;
    let shown: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (status, &shown["state"], &shown["answered"]),
        (200, &"planned".into(), &0.into()),
        "{text}"
    );
    for unknown in ["1", "x"] {
        let (status, text) = show(unknown).await;
        assert!(
            status == 404 && text.contains("no cycle"),
            "{status} {text}"
        );
    }
    gateway.value("UPDATE deduction_cycle SET state = 'running', approved_by = 'Wang', approved_at = now(), started_at = now()").await;
    let (status, text) = post(r#"{"area":"450100","month":"2021-10"}"#).await;
    assert!(
        status == 409 && text.contains("once a month"),
        "{status} {text}"
    );
}

/// The shipped rates, with the average base of Chongqing for 2022, which no source gives.
fn rates_with_an_average() -> std::sync::Arc<ltcgw::ledger::RateBook> {
    let dir = tempfile::TempDir::new().expect("a folder");
    for entry in std::fs::read_dir(crate::support::project().join("config/rates"))
        .expect("the rates")
        .flatten()
    {
        let mut text = std::fs::read_to_string(entry.path()).expect("a text");
        if entry.file_name() == "500100-chongqing.toml" {
            text += "\n[city_average_base]\n2022 = \"5555.55\"\n";
        }
        std::fs::write(dir.path().join(entry.file_name()), text).expect("a file");
    }
    ltcgw::ledger::RateBook::load(dir.path())
        .expect("rates")
        .into()
}

#[tokio::test]
async fn everybody_is_asked_by_the_base_their_rate_is_about_or_left_out_by_its_name() {
    let mut office = Office::open().await;
    office
        .sql(
            "INSERT INTO roster_entry (pooling_area, person_no, from_month, roster_id, category, account, district, base_fen, account_credit_fen, yearly) VALUES
                (500100, 'MONTHLY', 202101, 1, 'flexible', true, 500103, 300000, NULL, false),
                (500100, 'YEARLY', 202101, 1, 'flexible', true, 500103, 300000, NULL, true),
                (500100, 'YEARLY', 202201, 2, 'flexible', true, 500103, 310000, NULL, true),
                (500100, 'SINCE-MAY', 202101, 1, 'flexible', true, 500103, 300000, NULL, false),
                (500100, 'SINCE-MAY', 202205, 3, 'flexible', true, 500103, 300000, NULL, true),
                (510100, 'CREDITED', 202101, 1, 'retired', true, 510104, 200000, 345678, false),
                (510100, 'UNKNOWN', 202101, 1, 'retired', true, 510104, 200000, NULL, false)",
        )
        .await;
    let at = |area, year, number| Of {
        area,
        month: ltcgw::model::Month::new(year, number).expect("a month"),
    };
    let totals = async |office: &Office, of: Of| {
        let cycle = plan_anew(&office.desk, of, "Li").await;
        let sql = |what: &str, table: &str| {
            format!(
                "SELECT {what} FROM {table} WHERE cycle_id = {} ORDER BY 1",
                cycle.cycle_id
            )
        };
        (
            office
                .sql(&sql("people, base_fen, due_fen", "deduction_total"))
                .await,
            office
                .sql(&sql("person_no, reason, due_fen", "deduction_left_out"))
                .await,
        )
    };
    let none = "MONTHLY no_city_average_base 0; SINCE-MAY no_city_average_base 0; YEARLY no_city_average_base 0";
    assert_eq!(
        totals(&office, at(500_100, 2022, 1)).await,
        (String::new(), none.into()),
        "no average is shipped, and nothing is computed on another base"
    );
    office.desk.book = rates_with_an_average();
    // 0.2 % of 5,555.55: 11.1111 a month, 133.3332 for a year, 88.8888 for eight months.
    for (month, expected, left_out) in [
        (1, "3 1666665 15555", ""),
        (2, "2 1111110 2222", "YEARLY nothing_due 0"),
        (5, "2 1111110 10000", "YEARLY nothing_due 0"),
        (
            6,
            "1 555555 1111",
            "SINCE-MAY nothing_due 0; YEARLY nothing_due 0",
        ),
    ] {
        assert_eq!(
            totals(&office, at(500_100, 2022, month)).await,
            (expected.into(), left_out.into()),
            "2022-{month}"
        );
    }
    // 0.3 % of 3,456.78 is 10.37034.
    assert_eq!(
        totals(&office, at(510_100, 2022, 1)).await,
        (
            "1 345678 1037".into(),
            "UNKNOWN no_account_credit_base 0".into()
        )
    );
}
