//! What the statements promise, against a real PostgreSQL.

mod entities; // registry entries, the limits of a day, backfills

use std::time::Duration;

use super::testing::{TestDatabase, delivery};
use super::*;
use crate::model::Outcome;

const TERM: Duration = Duration::from_secs(60);
const HOLD: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

async fn lease(db: &TestDatabase) -> Lease {
    acquire(&db.pool, "core", "one", TERM)
        .await
        .unwrap()
        .expect("nobody else holds it")
        .0
}

async fn claimed(db: &TestDatabase, lease: &Lease, limit: usize) -> Vec<i64> {
    claim(&db.pool, lease, limit, HOLD)
        .await
        .unwrap()
        .iter()
        .map(|delivery| delivery.delivery_id)
        .collect()
}

/// Begins an attempt of one delivery.
async fn begin(
    pool: &Pool,
    lease: &Lease,
    delivery_id: i64,
    hold: Duration,
) -> Result<Option<i32>, Fault> {
    let start = Start {
        delivery_ids: &[delivery_id],
        ..START
    };
    Ok(super::begin(pool, lease, &start, hold)
        .await?
        .map(|attempts| attempts[0]))
}

const START: Start<'static> = Start {
    delivery_ids: &[],
    inquiry: false,
    reference: "ref-1",
    adapter_digest: [1; 32],
    request_digest: [2; 32],
};

fn ended(delivery_id: i64, attempt_no: Option<i32>, next: Next, outcome: Outcome) -> Settlement {
    Settlement {
        delivery_id,
        attempt_no,
        next,
        outcome: Some(outcome),
        answered: Some(outcome),
        status: Some(200),
        text: "ok".into(),
        counts: true,
    }
}

#[tokio::test]
async fn one_holder_at_a_time_and_the_token_rises_with_each() {
    let db = TestDatabase::new().await;
    let first = lease(&db).await;
    assert_eq!(
        acquire(&db.pool, "core", "two", TERM)
            .await
            .unwrap()
            .unwrap_err()
            .as_secs(),
        59,
        "and for how long at most is told"
    );
    assert!(
        acquire(&db.pool, "ltc", "two", TERM).await.unwrap().is_ok(),
        "another destination is another lease"
    );
    assert_eq!(renew(&db.pool, &first, TERM).await.unwrap(), Some(0));
    release(&db.pool, &first).await.unwrap();
    assert_eq!(
        renew(&db.pool, &first, TERM).await.unwrap(),
        None,
        "a released lease is not renewed"
    );
    let (second, _) = acquire(&db.pool, "core", "two", TERM)
        .await
        .unwrap()
        .unwrap();
    assert!(second.token > first.token);
    assert_eq!(renew(&db.pool, &first, TERM).await.unwrap(), None);
    db.queue("core", 1).await;
    assert_eq!(
        claimed(&db, &first, 5).await,
        [] as [i64; 0],
        "the earlier holder claims nothing"
    );
}

/// Buffers a statement of claiming touches, without statistics of the table.
async fn buffers_touched(db: &TestDatabase, lease: &Lease) -> i64 {
    let client = db.pool.get().await.unwrap();
    let sql = format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}",
        claim::claiming()
    );
    let row = client
        .query_one(
            &sql,
            &[&lease.destination, &lease.token, &8_i64, &60_000_f64],
        )
        .await
        .unwrap();
    let plan = &row.get::<_, serde_json::Value>(0)[0]["Plan"];
    plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap()
}

#[tokio::test]
async fn claiming_costs_as_much_with_a_long_queue_as_with_a_short_one() {
    let (short, long) = (TestDatabase::new().await, TestDatabase::new().await);
    let mut touched = Vec::new();
    for (db, rows) in [(&short, 50), (&long, 5_000)] {
        let keyed: Vec<NewDelivery> = (0..rows)
            .map(|n| delivery("core", n, Some(&format!("1/{n}"))))
            .collect();
        queue(&db.pool.get().await.unwrap(), &keyed).await.unwrap();
        touched.push(buffers_touched(db, &lease(db).await).await);
    }
    assert!(
        touched[1] < touched[0] * 3,
        "buffers touched with 50 and with 5,000 rows queued: {touched:?}"
    );
}

#[tokio::test]
async fn a_plan_made_when_the_queue_was_empty_is_as_good_when_it_is_long() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let client = db.pool.get().await.unwrap();
    let sql = claim::claiming();
    let run = format!(
        "EXECUTE claim('{}', {}, 8, 60000)",
        lease.destination, lease.token
    );
    client
        .batch_execute("VACUUM ANALYZE delivery")
        .await
        .unwrap();
    let made = format!(
        "{}; SET plan_cache_mode = force_generic_plan; PREPARE claim (text, bigint, bigint, float8) AS {sql}; {run}",
        crate::store::settings::sets(crate::store::settings::BY_INDEX)
    );
    client.batch_execute(&made).await.unwrap();
    let keyed: Vec<NewDelivery> = (0..3_000)
        .map(|n| delivery("core", n, Some(&format!("1/{n}"))))
        .collect();
    queue(&db.pool.get().await.unwrap(), &keyed).await.unwrap();
    let row = client
        .query_one(
            &format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {run}"),
            &[],
        )
        .await
        .unwrap();
    let plan = &row.get::<_, serde_json::Value>(0)[0]["Plan"];
    let touched =
        plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap();
    // By the table it would be three thousand times its blocks.
    assert!(touched < 1_000, "{touched} buffers touched: {plan:#}");
}

#[tokio::test]
async fn a_pause_outlives_the_holder_and_is_never_shortened() {
    let db = TestDatabase::new().await;
    let first = lease(&db).await;
    db.queue("core", 1).await;
    pause(&db.pool, &first, Duration::from_secs(600), ("later", "429"))
        .await
        .unwrap();
    pause(
        &db.pool,
        &first,
        Duration::from_secs(5),
        ("down", "no answer"),
    )
    .await
    .unwrap();
    assert!(claimed(&db, &first, 5).await.is_empty());
    release(&db.pool, &first).await.unwrap();
    let (second, paused) = acquire(&db.pool, "core", "two", TERM)
        .await
        .unwrap()
        .unwrap();
    assert!(
        paused.wait > Duration::from_secs(590) && paused.wait <= Duration::from_secs(600),
        "{paused:?}"
    );
    assert_eq!(
        (paused.reason.as_deref(), paused.resumed),
        (Some("down"), 0)
    );
    assert!(claimed(&db, &second, 5).await.is_empty());
    works(&db.pool, &first).await.unwrap();
    assert!(
        claimed(&db, &second, 5).await.is_empty(),
        "an earlier holder ends nobody's pause"
    );
    works(&db.pool, &second).await.unwrap();
    assert_eq!(claimed(&db, &second, 5).await.len(), 1);
}

#[tokio::test]
async fn rows_of_one_key_are_claimed_one_after_another_and_reversals_last() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let mut rows = vec![
        delivery("core", 0, Some("a")),
        delivery("core", 1, Some("a")),
        delivery("core", 2, Some("b")),
        delivery("core", 3, None),
    ];
    rows[0].records_mut().reversal = true; // queued first by an instance whose clock or id block was ahead
    let ids = queue(&db.pool.get().await.unwrap(), &rows).await.unwrap();
    assert_eq!(
        claimed(&db, &lease, 9).await,
        [ids[1], ids[2], ids[3]],
        "the original before its reversal"
    );
    assert!(
        claimed(&db, &lease, 9).await.is_empty(),
        "the reversal waits for the original under way"
    );

    settle(
        &db.pool,
        &lease,
        &[ended(ids[1], None, Next::Dead, Outcome::Rejected)],
    )
    .await
    .unwrap();
    assert!(
        claimed(&db, &lease, 9).await.is_empty(),
        "a dead original blocks its own key"
    );
    assert!(decide(&db.pool, ids[1], Decision::Retry).await.unwrap());
    assert_eq!(claimed(&db, &lease, 9).await, [ids[1]]);
    let attempt = begin(&db.pool, &lease, ids[1], HOLD).await.unwrap();
    settle(
        &db.pool,
        &lease,
        &[ended(ids[1], attempt, Next::Delivered, Outcome::Accepted)],
    )
    .await
    .unwrap();
    assert_eq!(claimed(&db, &lease, 9).await, [ids[0]]);
}

#[tokio::test]
async fn a_settlement_counts_only_while_the_row_is_still_ours() {
    let db = TestDatabase::new().await;
    let first = lease(&db).await;
    let ids = db.queue("core", 2).await;
    claimed(&db, &first, 2).await;
    let sent = begin(&db.pool, &first, ids[0], NOW).await.unwrap();
    release(&db.pool, &first).await.unwrap();
    let (second, _) = acquire(&db.pool, "core", "two", TERM)
        .await
        .unwrap()
        .unwrap();

    assert_eq!(
        recover(&db.pool, &second).await.unwrap(),
        (1, 1),
        "the unsent one is ready again, the sent one in doubt"
    );
    let late = [
        ended(ids[0], sent, Next::Delivered, Outcome::Accepted),
        ended(ids[1], None, Next::Dead, Outcome::Rejected),
    ];
    assert_eq!(
        settle(&db.pool, &first, &late).await.unwrap(),
        ids,
        "both are reported as lost"
    );
    assert_eq!(db.states().await, ["in_doubt", "ready"]);
    assert_eq!(
        begin(&db.pool, &first, ids[1], HOLD).await.unwrap(),
        None,
        "and nothing more may be sent"
    );
    assert_eq!(
        db.value::<String>("SELECT outcome FROM attempt").await,
        "unknown"
    );
}

#[tokio::test]
async fn a_sent_row_is_left_alone_until_its_request_cannot_be_on_its_way_any_more() {
    let db = TestDatabase::new().await;
    let first = lease(&db).await;
    let ids = db.queue("core", 1).await;
    claimed(&db, &first, 1).await;
    let sent = begin(&db.pool, &first, ids[0], HOLD).await.unwrap();
    release(&db.pool, &first).await.unwrap();
    let (second, _) = acquire(&db.pool, "core", "two", TERM)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(recover(&db.pool, &second).await.unwrap(), (0, 0));
    assert!(claimed(&db, &second, 1).await.is_empty());
    let answer = [ended(ids[0], sent, Next::Delivered, Outcome::Accepted)];
    assert!(
        settle(&db.pool, &first, &answer).await.unwrap().is_empty(),
        "nobody took it up, so the answer counts"
    );
    assert_eq!(db.states().await, ["delivered"]);
}

#[tokio::test]
async fn since_when_a_delivery_is_tried_is_kept_until_a_person_decides() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let ids = db.queue("core", 1).await;
    assert_eq!(
        claim(&db.pool, &lease, 1, HOLD).await.unwrap()[0].tried_for,
        NOW
    );
    let attempt = begin(&db.pool, &lease, ids[0], HOLD).await.unwrap();
    db.run("UPDATE delivery SET tried_at = tried_at - interval '1 hour'")
        .await;
    settle(
        &db.pool,
        &lease,
        &[ended(
            ids[0],
            attempt,
            Next::Ready(NOW),
            Outcome::RetryLater,
        )],
    )
    .await
    .unwrap();
    assert!(
        claim(&db.pool, &lease, 1, HOLD).await.unwrap()[0].tried_for >= Duration::from_secs(3_600)
    );
    let attempt = begin(&db.pool, &lease, ids[0], HOLD).await.unwrap();
    settle(
        &db.pool,
        &lease,
        &[ended(ids[0], attempt, Next::Dead, Outcome::RetryLater)],
    )
    .await
    .unwrap();
    assert!(decide(&db.pool, ids[0], Decision::Retry).await.unwrap());
    assert_eq!(
        claim(&db.pool, &lease, 1, HOLD).await.unwrap()[0].tried_for,
        NOW
    );
}

#[tokio::test]
async fn an_attempt_begins_once_per_claim() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let ids = db.queue("core", 1).await;
    assert_eq!(
        begin(&db.pool, &lease, ids[0], HOLD).await.unwrap(),
        None,
        "not before it is claimed"
    );
    claimed(&db, &lease, 1).await;
    assert_eq!(
        begin(&db.pool, &lease, ids[0], HOLD).await.unwrap(),
        Some(1)
    );
    assert_eq!(begin(&db.pool, &lease, ids[0], HOLD).await.unwrap(), None);
    let unbegun = [ended(ids[0], None, Next::Dead, Outcome::Rejected)];
    assert_eq!(
        settle(&db.pool, &lease, &unbegun).await.unwrap(),
        ids,
        "one that knows of no attempt cannot settle one"
    );
}

#[tokio::test]
async fn what_never_left_costs_no_attempt() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let ids = db.queue("core", 2).await;
    claimed(&db, &lease, 2).await;
    give_back(&db.pool, &lease, &ids[..1]).await.unwrap();
    let attempt = begin(&db.pool, &lease, ids[1], HOLD).await.unwrap();
    let unsent = Settlement {
        outcome: None,
        answered: None,
        status: None,
        counts: false,
        ..ended(ids[1], attempt, Next::Ready(NOW), Outcome::Unknown)
    };
    settle(&db.pool, &lease, &[unsent]).await.unwrap();
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'ready' AND attempts = 0")
            .await,
        2
    );
    assert_eq!(
        db.value::<String>("SELECT outcome FROM attempt").await,
        "not_sent"
    );
}

#[tokio::test]
async fn a_dead_letter_of_unknown_outcome_keeps_its_reference_and_is_asked_about() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let ids = db.queue("core", 2).await;
    claimed(&db, &lease, 2).await;
    let mut ends = Vec::new();
    for (id, outcome) in [(ids[0], Outcome::Unknown), (ids[1], Outcome::Rejected)] {
        let attempt = begin(&db.pool, &lease, id, HOLD).await.unwrap();
        ends.push(ended(id, attempt, Next::Dead, outcome));
    }
    settle(&db.pool, &lease, &ends).await.unwrap();
    assert_eq!(
        dead_letters(&db.pool, Some("core"), 10)
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        dead_letters(&db.pool, Some("ltc"), 10).await.unwrap().len(),
        0
    );
    assert!(
        !decide(&db.pool, ids[1], Decision::Delivered).await.unwrap(),
        "a refused one cannot be declared delivered"
    );
    for id in &ids {
        assert!(decide(&db.pool, *id, Decision::Retry).await.unwrap());
        assert!(
            !decide(&db.pool, *id, Decision::Retry).await.unwrap(),
            "once is enough"
        );
    }
    assert_eq!(db.states().await, ["in_doubt", "ready"]);
    let references: Vec<Option<String>> = vec![
        db.value("SELECT reference FROM delivery WHERE state = 'in_doubt'")
            .await,
        db.value("SELECT reference FROM delivery WHERE state = 'ready'")
            .await,
    ];
    assert_eq!(
        references,
        [Some("ref-1".to_owned()), None],
        "a refused one gets a new reference"
    );
}

#[tokio::test]
async fn the_database_refuses_states_that_make_no_sense() {
    let db = TestDatabase::new().await;
    db.queue("core", 1).await;
    let client = db.pool.get().await.unwrap();
    for change in [
        "state = 'leased'",
        "state = 'in_doubt'",
        "state = 'delivered', settled_at = now()",
        "state = 'delivered', outcome = 'unknown', reference = 'r', settled_at = now()",
        "state = 'dead', answer = 'x'",
        "state = 'sent'",
        "lease_token = 1",
        "under_way = true",
        "reversal = true",
        "lines = 11",
        "settled_at = now()",
    ] {
        let error = client
            .execute(&format!("UPDATE delivery SET {change}"), &[])
            .await
            .expect_err(change);
        assert_eq!(
            error.code().map(tokio_postgres::error::SqlState::code),
            Some("23514"),
            "{change}"
        );
    }
}

#[tokio::test]
async fn counts_tell_what_waits_and_what_went() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let ids = db.queue("core", 4).await;
    claimed(&db, &lease, 3).await;
    let attempt = begin(&db.pool, &lease, ids[0], HOLD).await.unwrap();
    let ends = [
        ended(ids[0], attempt, Next::Delivered, Outcome::Accepted),
        ended(ids[1], None, Next::Dead, Outcome::Rejected),
    ];
    settle(&db.pool, &lease, &ends).await.unwrap();
    let backlog = backlog(&db.pool).await.unwrap();
    assert_eq!(
        (
            backlog[0].ready,
            backlog[0].leased,
            backlog[0].in_doubt,
            backlog[0].dead
        ),
        (1, 1, 0, 1)
    );
    assert!(backlog[0].oldest_seconds > 0.0);
    let totals = totals(&db.pool).await.unwrap();
    let delivered = totals
        .iter()
        .find(|total| total.state == "delivered")
        .unwrap();
    assert_eq!(
        (delivered.deliveries, delivered.lines, delivered.fen),
        (1, 10, Fen(1_000))
    );
    let detail = show(&db.pool, ids[0]).await.unwrap().unwrap();
    assert_eq!(
        (detail.delivery.state.as_str(), detail.attempts[0].status),
        ("delivered", Some(200))
    );
    assert_eq!(of_packet(&db.pool, 1).await.unwrap().len(), 4);
    assert_eq!(show(&db.pool, 999_999).await.unwrap(), None);
}

#[tokio::test]
async fn deliveries_of_every_kind_stored_before_subjects_were_one_keep_what_they_are_about() {
    let db = TestDatabase::before(39).await;
    db.run(
        "INSERT INTO delivery (delivery_id, destination, message, ordering_key, packet_id, first_record, last_record, reversal, lines, fen)
             VALUES (1, 'core', 'contributions', '7/3', 7, 3, 12, true, 9, -5);
         INSERT INTO delivery (delivery_id, destination, message, ordering_key, entity_kind, entity_id, version, revision, removal, lines, fen)
             VALUES (2, 'health', 'caregivers', 'caregiver/8', 'caregiver', '8', 4, 21, true, 1, 0);
         INSERT INTO delivery (delivery_id, destination, message, cycle_id, batch_no, lines, fen)
             VALUES (3, 'core', 'deductions', 1049600, 12, 2000, 1800000);",
    )
    .await;
    let told =
        "SELECT string_agg(to_jsonb(d)::text, E'\\n' ORDER BY delivery_id) FROM report.delivery d";
    let before: String = db.value(told).await;
    db.run(include_str!("../../../schemas/postgres/0039_subject.sql"))
        .await;
    db.run(include_str!(
        "../../../schemas/postgres/0040_subject_only.sql"
    ))
    .await;
    assert_eq!(db.value::<String>(told).await, before);
    let mut subjects = Vec::new();
    for id in 1..=3 {
        let detail = show(&db.pool, id).await.unwrap().expect("it is there");
        subjects.push(detail.delivery.of.subject);
    }
    assert_eq!(
        subjects,
        [
            Subject::Records(Records {
                packet_id: 7,
                first_record: 3,
                last_record: 12,
                reversal: true,
            }),
            Subject::Entity(Entity {
                kind: "caregiver".into(),
                id: "8".into(),
                version: 4,
                revision: 21,
                removal: true,
            }),
            Subject::Batch(Batch {
                cycle_id: 1_049_600,
                batch_no: 12,
            }),
        ]
    );
}

#[tokio::test]
async fn a_subject_that_cannot_be_read_is_not_stored() {
    let db = TestDatabase::new().await;
    let client = db.pool.get().await.unwrap();
    for (kind, id, part) in [
        ("records", "7a", "1"),
        ("records", "", "1"),
        ("batch", "-1", "1"),
        ("records", "7", "2147483648"),
        ("record", "7", "1"),
    ] {
        let sql = format!(
            "INSERT INTO delivery (destination, message, subject_kind, subject_id, part, part_end, lines, fen)
             VALUES ('core', 'contributions', '{kind}', '{id}', {part}, {part}, 1, 0)"
        );
        let refused = client.batch_execute(&sql).await.expect_err(&sql);
        let code = refused.code().map(tokio_postgres::error::SqlState::code);
        assert_eq!(code, Some("23514"), "{kind} {id} {part}: a CHECK says so");
    }
}
