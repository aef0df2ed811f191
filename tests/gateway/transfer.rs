//! A month's deductions between the gateway, the medical core and the LTC system: posted when and
//! only when the core says so, whatever gets lost on the way.

use std::time::Duration;

use ltcgw::model::Fen;
use ltcgw::sandbox::partners::Behaviour::{
    AcceptThenClose, AcceptThenHang, Garbage, HangAfterReading, Refuse, TooMany,
};
use ltcgw::store::DatabaseAccess;
use serde_json::{Value, json};

use crate::support::{Counterparts, Gateway};

const CYCLE: i64 = 900;

/// Seeds a running cycle of so many people, in batches of `batch`, as `deduct run` leaves it; each
/// person of district 450102 to 450104 owes 9.00 to 9.06 yuan, and shortfalls are carried over.
fn running_cycle(people: usize, batch: usize) -> String {
    format!(
        "BEGIN;
         INSERT INTO deduction_rate VALUES ({CYCLE}, 1, 'test', 'carry_over');
         INSERT INTO deduction SELECT {CYCLE}, 'P' || lpad(n::text, 8, '0'), 'active', 450102 + n % 3, 1, 600000, 900 + n % 7, 0, 900 + n % 7
             FROM generate_series(1, {people}) n;
         INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, rounds, planned_by, approved_by, approved_at, run_by, started_at)
             SELECT {CYCLE}, 450100, 202110, 'running', sha256('x'), count(*), sum(fen), 1, 'a', 'b', now(), 'b', now() FROM deduction;
         INSERT INTO deduction_batch (cycle_id, batch_no, round, first_person, last_person, people, fen)
             SELECT {CYCLE}, (n - 1) / {batch} + 1, 1, min(person_no), max(person_no), count(*), sum(fen)
             FROM (SELECT *, row_number() OVER (ORDER BY person_no)::int AS n FROM deduction) d GROUP BY 2;
         INSERT INTO delivery (destination, message, subject_kind, subject_id, part, part_end, lines, fen)
             SELECT 'medical-core', 'deductions', 'batch', cycle_id, batch_no, batch_no, people, fen FROM deduction_batch ORDER BY batch_no;
         COMMIT"
    )
}

async fn run_cycle(gateway: &Gateway, people: usize, batch: usize) {
    gateway.value(&running_cycle(people, batch)).await;
}

/// Waits until the cycle is settled and everything is told.
async fn settled(all: &Counterparts) {
    all.until("SELECT state FROM deduction_cycle", "settled")
        .await;
    all.settled().await;
}

/// What the ledger has taken from personal accounts.
async fn ledger(all: &Counterparts) -> Fen {
    Fen(all
        .gateway
        .value("SELECT coalesce(sum(fen), 0) FROM posting WHERE account = 'personal_account'")
        .await
        .parse()
        .expect("fen"))
}

/// Ledger, core and LTC system agree to the fen and to the person, and nobody was deducted twice.
async fn agrees(all: &Counterparts, people: u64) {
    let (core, told) = (all.core.deductions(), all.ltc.told_of_deductions());
    assert_eq!(
        (ledger(all).await, told.fen, core.twice),
        (core.fen, core.fen, 0)
    );
    assert_eq!(
        told.outcomes.get("deducted").copied().unwrap_or_default(),
        core.people
    );
    let refused: u64 = core.refused.values().sum();
    assert_eq!(
        (core.people + refused, told.people),
        (people, people),
        "{core:?}"
    );
    let unbalanced = "SELECT count(*) FROM (SELECT district FROM posting GROUP BY entry_id, district, contribution_month HAVING sum(fen) <> 0) x";
    assert_eq!(all.gateway.value(unbalanced).await, "0");
    let by_results = "SELECT count(*) FROM (
        SELECT d.district, sum(r.fen) AS fen FROM deduction_result r JOIN deduction d USING (cycle_id, person_no) GROUP BY 1
        EXCEPT SELECT district, -sum(fen) FROM posting WHERE account = 'fund' AND fund = 'long_term_care' AND contribution_month = 202110 GROUP BY 1) x";
    assert_eq!(
        all.gateway.value(by_results).await,
        "0",
        "the fund of each district has what its people paid"
    );
}

/// Sends results as the core does; status and answer.
async fn send_results(gateway: &Gateway, body: impl Into<String>) -> (u16, Value) {
    let client = gateway.stage.client("medical-core").expect("a client");
    let answer = client
        .post(gateway.url("/core/v1/deduction-results"))
        .body(body.into())
        .send()
        .await
        .expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a complete body");
    (
        status,
        serde_json::from_slice(&body)
            .unwrap_or_else(|_| panic!("{status}: {}", String::from_utf8_lossy(&body))),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_is_posted_settled_and_told_and_all_three_agree() {
    let all = Counterparts::start().await;
    run_cycle(&all.gateway, 3_000, 1_000).await;
    settled(&all).await;
    agrees(&all, 3_000).await;
    let core = all.core.deductions();
    assert!(core.people > 2_850 && core.refused.len() == 4, "{core:?}");
    let short = "SELECT count(*), sum(s.fen) = sum(d.fen), min(handling), count(carried_into) FROM shortfall s JOIN deduction d USING (cycle_id, person_no)";
    let owing = core.refused["insufficient_balance"] + core.refused["account_frozen"];
    assert_eq!(
        all.gateway.value(short).await,
        format!("{owing} t carry_over 0"),
        "the unknown and the dead owe nothing"
    );
    let outcomes = "SELECT count(*) FROM deduction_result WHERE outcome = 'deducted' AND this_year_fen + last_year_fen + earlier_fen = fen AND balance_fen >= 0";
    assert_eq!(all.gateway.value(outcomes).await, core.people.to_string());
    assert_eq!(
        all.gateway
            .value("SELECT count(*), count(DISTINCT batch_no) FROM entry WHERE kind = 'deduction'")
            .await,
        "3 3"
    );
    assert_eq!(
        (
            all.core.tally().deliveries,
            all.core.tally().inquiries,
            all.ltc.tally().refused
        ),
        (3, 0, 0)
    );
    assert_eq!(
        all.gateway
            .value("SELECT count(*) FROM deduction_discrepancy")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn months_made_up_are_posted_and_told_as_what_they_are() {
    let all = Counterparts::start().await;
    // Everybody also owes 0.50 of September, to the district they lived in then.
    let carried = format!(
        "UPDATE deduction SET carried_fen = 50, fen = fen + 50;
         INSERT INTO deduction_carried SELECT {CYCLE}, 1, person_no, 800, 202109, 450105, 50 FROM deduction;
         INSERT INTO shortfall SELECT 450100, person_no, 800, 50, 'carry_over', {CYCLE} FROM deduction;
         INSERT INTO deduction_cycle"
    );
    all.gateway
        .value(&running_cycle(300, 100).replace("INSERT INTO deduction_cycle", &carried))
        .await;
    settled(&all).await;
    let (core, told) = (all.core.deductions(), all.ltc.told_of_deductions());
    assert_eq!(
        (ledger(&all).await, told.fen, told.made_up),
        (core.fen, core.fen, core.people)
    );
    assert!(core.people < 300, "{core:?}");
    let september = "SELECT district, -sum(fen) FROM posting WHERE account = 'fund' AND contribution_month = 202109 GROUP BY 1";
    assert_eq!(
        all.gateway.value(september).await,
        format!("450105 {}", core.people * 50)
    );
    let open = "SELECT count(*) FROM shortfall WHERE cycle_id = 800 AND carried_into IS NULL";
    assert_eq!(
        all.gateway.value(open).await,
        (300 - core.people).to_string(),
        "September of all others stays owed, of the unknown and the dead too"
    );
    let own = "SELECT count(*) FILTER (WHERE s.fen = d.due_fen) = count(*) FROM shortfall s JOIN deduction d USING (cycle_id, person_no)";
    assert_eq!(all.gateway.value(own).await, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_gets_lost_everybody_is_deducted_exactly_once() {
    let all =
        Counterparts::with(|scene| scene.edit("# breaker_failures = 5", "breaker_failures = 50"))
            .await;
    all.core.will([
        AcceptThenHang,
        HangAfterReading,
        AcceptThenClose,
        Garbage,
        TooMany(1),
        AcceptThenClose,
    ]);
    all.ltc.will([AcceptThenClose, HangAfterReading, Garbage]);
    run_cycle(&all.gateway, 800, 100).await;
    settled(&all).await;
    agrees(&all, 800).await;
    assert_eq!(
        (all.core.tally().repeats, all.core.deductions().batches),
        (0, 8),
        "nothing was sent blindly"
    );
    assert!(all.core.tally().inquiries >= 5, "{:?}", all.core.tally());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_posted_before_the_core_says_so_and_late_results_are_taken_once() {
    let all = Counterparts::start().await;
    all.core.queue_deductions(true);
    run_cycle(&all.gateway, 300, 100).await;
    all.until(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        "3",
    )
    .await;
    assert_eq!(
        (ledger(&all).await, all.core.deductions().batches),
        (Fen(0), 3)
    );
    let bodies = all.core.release_results();
    for (at, body) in bodies.iter().enumerate() {
        let (status, answer) = send_results(&all.gateway, body.as_str()).await;
        assert_eq!(
            (status, &answer["infcode"], &answer["output"]["posted"]),
            (200, &json!(0), &json!(100)),
            "batch {at}: {answer}"
        );
        let (status, again) = send_results(&all.gateway, body.as_str()).await;
        assert_eq!(
            (
                status,
                &again["output"]["posted"],
                &again["output"]["known"]
            ),
            (200, &json!(0), &json!(100)),
            "{again}"
        );
    }
    settled(&all).await;
    agrees(&all, 300).await;
    assert_eq!(all.gateway.value("SELECT count(*) FROM entry").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_do_not_come_are_asked_for() {
    let all = Counterparts::start().await;
    all.core.queue_deductions(true);
    run_cycle(&all.gateway, 200, 100).await;
    all.until(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        "2",
    )
    .await;
    let transfer = &all.gateway.running.gateway.transfer;
    assert_eq!(
        transfer
            .look(Duration::from_secs(900))
            .await
            .expect("the database answers"),
        0,
        "their time has not come"
    );
    assert_eq!(
        transfer
            .look(Duration::ZERO)
            .await
            .expect("the database answers"),
        2
    );
    all.until(
        "SELECT count(*) FROM attempt WHERE kind = 'inquire' AND ended_at IS NOT NULL",
        "2",
    )
    .await;
    all.until(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        "2",
    )
    .await;
    assert_eq!(
        ledger(&all).await,
        Fen(0),
        "the core has them and says nothing yet"
    );
    all.core.release_results();
    assert_eq!(
        transfer
            .look(Duration::ZERO)
            .await
            .expect("the database answers"),
        2
    );
    settled(&all).await;
    agrees(&all, 200).await;
    assert_eq!(
        (all.core.tally().deliveries, all.core.tally().inquiries),
        (2, 4),
        "asked, never sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_do_not_fit_are_noted_and_nothing_of_them_is_posted() {
    let all = Counterparts::start().await;
    all.core.queue_deductions(true);
    run_cycle(&all.gateway, 6, 6).await;
    all.until(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        "1",
    )
    .await;
    let results = json!({ "batch_no": format!("{CYCLE}-1"), "results": [
        { "psn_no": "P00000001", "rslt": "0", "amt": 9.00 },              // 9.01 was asked
        { "psn_no": "P00000002", "rslt": "0", "amt": 9.02, "cur_amt": 9.03, "last_amt": 0, "prev_amt": 0 },
        { "psn_no": "P00000003", "rslt": "1", "amt": 9.03 },              // nothing can have been taken
        { "psn_no": "P00000004", "rslt": "7", "amt": 9.04 },              // no such code
        { "psn_no": "P00000005", "rslt": "0", "amt": 9.05 },              // fits
        { "psn_no": "P00000005", "rslt": "0", "amt": 9.05 },
        { "psn_no": "P00000006", "rslt": "0", "amt": 9.06 },
        { "psn_no": "P00000006", "rslt": "1" },                           // two things of one person
        { "psn_no": "P00000007", "rslt": "0", "amt": 9.00 },              // nobody of this batch
    ] });
    for repeated in [false, true] {
        let (status, answer) = send_results(&all.gateway, results.to_string()).await;
        assert_eq!(
            (status, &answer["output"]["posted"]),
            (200, &json!(i32::from(!repeated))),
            "{answer}"
        );
        assert_eq!(answer["output"]["not_taken"], json!(7), "{answer}");
        let reasons: Vec<&str> = answer["output"]["refused"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|line| line["reason"].as_str())
            .collect();
        assert!(
            reasons
                .iter()
                .any(|reason| reason.contains("the instruction was 9.01")),
            "{reasons:?}"
        );
    }
    let noted =
        "SELECT kind || ' ' || person_no FROM deduction_discrepancy ORDER BY person_no, told";
    let expected = "other_amount P00000001; other_amount P00000002; other_amount P00000003; unreadable P00000004; \
                    other_answer P00000006; other_answer P00000006; unknown_person P00000007";
    assert_eq!(
        all.gateway.value(noted).await,
        expected,
        "each once, though said twice"
    );
    assert_eq!(
        (
            ledger(&all).await,
            all.gateway
                .value("SELECT answered FROM deduction_batch")
                .await
        ),
        (Fen(905), "1".into())
    );

    let other = json!({ "batch_no": format!("{CYCLE}-1"), "results": [{ "psn_no": "P00000005", "rslt": "2" }] });
    let (_, answer) = send_results(&all.gateway, other.to_string()).await;
    assert_eq!(
        (
            &answer["output"]["posted"],
            &answer["output"]["refused"][0]["element"]
        ),
        (&json!(0), &json!("other_answer")),
        "{answer}"
    );
    assert_eq!(ledger(&all).await, Fen(905), "what was posted stays");
    assert_eq!(
        all.gateway.value("SELECT state FROM deduction_cycle").await,
        "running",
        "five people are still to be answered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_what_was_never_sent_are_refused_and_noted() {
    let gateway = Gateway::start().await;
    gateway
        .value(&running_cycle(2, 1).replace(
            "COMMIT",
            "UPDATE delivery SET due_at = now() + interval '1 hour'; COMMIT",
        ))
        .await;
    let result = json!([{ "psn_no": "P00000001", "rslt": "0", "amt": 9.01 }]);
    for name in ["77-1", "900-3", "900-1", "rubbish"] {
        let (status, answer) = send_results(
            &gateway,
            json!({ "batch_no": name, "results": result }).to_string(),
        )
        .await;
        assert_eq!(
            (status, &answer["infcode"], &answer["inf_refmsgid"]),
            (422, &json!(-1), &json!(name)),
            "{answer}"
        );
        assert!(
            answer["err_msg"]
                .as_str()
                .expect("a text")
                .contains("nothing was posted"),
            "{answer}"
        );
    }
    for body in [
        "",
        "{",
        "[]",
        "{\"results\":[]}",
        "{\"batch_no\":\"900-1\",\"results\":{}}",
    ] {
        assert_eq!(send_results(&gateway, body).await.0, 400, "{body}");
    }
    assert_eq!(gateway.value("SELECT count(*), count(DISTINCT told) FROM deduction_discrepancy WHERE kind = 'unknown_batch'").await, "4 4");
    assert_eq!(
        gateway
            .value("SELECT (SELECT count(*) FROM entry) + (SELECT count(*) FROM deduction_result)")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_results_than_any_batch_has_people_are_refused_whole() {
    let gateway = Gateway::start().await;
    let results = |count: usize| {
        json!({ "batch_no": "77-1", "results": vec![json!({ "psn_no": "P1", "rslt": "0", "amt": 9.01 }); count] }).to_string()
    };
    let (status, answer) = send_results(&gateway, results(50_001)).await;
    assert_eq!((status, &answer["infcode"]), (413, &json!(-1)), "{answer}");
    let (status, answer) = send_results(&gateway, results(50_000)).await;
    assert_eq!(status, 422, "so many are read: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_refused_whole_is_a_dead_letter_and_holds_nothing_else_up() {
    let all = Counterparts::start().await;
    all.core.will([Refuse("-9".into())]);
    run_cycle(&all.gateway, 300, 100).await;
    all.until(
        "SELECT count(*) FROM deduction_batch WHERE answered_at IS NOT NULL",
        "2",
    )
    .await;
    all.until(
        "SELECT state || ' ' || outcome FROM delivery WHERE state NOT IN ('delivered')",
        "dead rejected",
    )
    .await;
    assert_eq!(
        all.gateway.value("SELECT state FROM deduction_cycle").await,
        "running"
    );
    assert_eq!(
        ltcgw::flow::dead::retry_all(all.gateway.running.gateway.store.pool(), None)
            .await
            .expect("the database answers"),
        1
    );
    settled(&all).await;
    agrees(&all, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_cannot_be_kept_leave_the_batch_in_doubt_until_they_can() {
    let all = Counterparts::start().await;
    let break_it = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON deduction_result FOR EACH STATEMENT EXECUTE FUNCTION refuse()";
    all.gateway.value(break_it).await;
    run_cycle(&all.gateway, 100, 100).await;
    all.until(
        "SELECT state || ' ' || (answer LIKE '%could not be kept%') FROM delivery",
        "in_doubt true",
    )
    .await;
    assert_eq!(ledger(&all).await, Fen(0));
    all.gateway
        .value("DROP TRIGGER refuse ON deduction_result")
        .await;
    settled(&all).await;
    agrees(&all, 100).await;
    assert_eq!(all.core.tally().deliveries, 1, "asked, never sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_takes_up_what_a_killed_one_had_sent() {
    let all =
        Counterparts::with(|scene| scene.edit("# lease_seconds = 3", "lease_seconds = 1")).await;
    all.core.will([AcceptThenHang, AcceptThenHang]);
    run_cycle(&all.gateway, 400, 100).await;
    all.until(
        "SELECT count(*) FROM deduction_batch WHERE answered_at IS NOT NULL",
        "2",
    )
    .await;
    let Counterparts { gateway, core, ltc } = all;
    let Gateway {
        running,
        stage,
        database,
        _dir,
    } = gateway;
    running.abandon();
    let running = stage
        .start(DatabaseAccess::local(database.clone()))
        .await
        .expect("another instance");
    let all = Counterparts {
        gateway: Gateway {
            running,
            stage,
            database,
            _dir,
        },
        core,
        ltc,
    };
    settled(&all).await;
    agrees(&all, 400).await;
    assert_eq!(
        (all.core.deductions().batches, all.core.tally().repeats),
        (4, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_whose_instance_died_after_the_last_answer_is_settled_by_the_next_look() {
    let all = Counterparts::start().await;
    let answered = "INSERT INTO deduction_result (cycle_id, person_no, round, batch_no, outcome, fen)
             SELECT cycle_id, person_no, 1, 1, CASE WHEN fen = 900 THEN 'insufficient_balance' ELSE 'deducted' END::deduction_outcome, coalesce(nullif(fen, 900), 0)
             FROM deduction;
         UPDATE deduction_batch SET answered = people, answered_at = now();
         UPDATE delivery SET state = 'delivered', reference = 'r', outcome = 'accepted', settled_at = now(); COMMIT";
    all.gateway
        .value(&running_cycle(7, 7).replace("COMMIT", answered))
        .await;
    assert_eq!(
        all.gateway
            .running
            .gateway
            .transfer
            .look(Duration::from_secs(900))
            .await
            .expect("the database answers"),
        0
    );
    settled(&all).await;
    assert_eq!(
        (
            all.ltc.told_of_deductions().people,
            all.ltc.told_of_deductions().fen
        ),
        (7, Fen(6 * 900 + 21))
    );
    assert_eq!(
        all.gateway
            .value("SELECT count(*), sum(fen) FROM shortfall")
            .await,
        "1 900"
    );
    assert_eq!(
        all.core.tally().deliveries,
        0,
        "the core is not asked again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_round_asks_only_those_left_short_and_tells_of_them_again() {
    let all = Counterparts::start().await;
    run_cycle(&all.gateway, 2_000, 1_000).await;
    settled(&all).await;
    let short: u64 = all
        .gateway
        .value("SELECT count(*) FROM shortfall")
        .await
        .parse()
        .expect("a number");
    assert!(short > 10);
    // As a retry leaves it: a batch of the second round over the whole range, its shortfalls taken up.
    all.gateway
        .value(
            "BEGIN; UPDATE deduction_rate SET shortfall = 'retry'; UPDATE shortfall SET handling = 'retry', carried_into = cycle_id;
             UPDATE deduction_cycle SET state = 'running', settled_at = NULL, rounds = 2;
             INSERT INTO deduction_batch (cycle_id, batch_no, round, first_person, last_person, people, fen)
                 SELECT cycle_id, 3, 2, min(person_no), max(person_no), count(*), sum(fen) FROM shortfall GROUP BY 1;
             INSERT INTO deduction_again SELECT cycle_id, 2, person_no, fen, 0, fen FROM shortfall;
             INSERT INTO delivery (destination, message, subject_kind, subject_id, part, part_end, lines, fen)
                 SELECT 'medical-core', 'deductions', 'batch', cycle_id, batch_no, batch_no, people, fen FROM deduction_batch WHERE round = 2;
             COMMIT",
        )
        .await;
    settled(&all).await;
    assert_eq!(
        all.gateway
            .value("SELECT count(*) FROM deduction_result WHERE round = 2")
            .await,
        short.to_string()
    );
    assert_eq!(
        all.gateway
            .value("SELECT count(*), count(carried_into) FROM shortfall")
            .await,
        format!("{short} 0"),
        "still short, open again"
    );
    assert_eq!(
        (
            all.ltc.told_of_deductions().batches,
            all.ltc.told_of_deductions().people
        ),
        (3, 2_000 + short)
    );
    assert_eq!(
        (ledger(&all).await, all.core.deductions().twice),
        (all.core.deductions().fen, 0)
    );
}
