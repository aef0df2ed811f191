//! The loops against a real PostgreSQL and a scripted partner.

mod partner;
mod pauses; // what a partner that does not answer, or something before it, does to deliveries

use std::time::{Duration, Instant};

use super::{Worker, calendar};
use crate::config::Deliver;
use crate::error::{Fault, Stage};
use crate::store::delivery::testing::{TestDatabase, delivery};
use crate::store::delivery::{self as store, Decision, NewDelivery};
use partner::{Does, ModelPartner};

fn policy() -> Deliver {
    Deliver {
        lease_seconds: 1,
        attempts_max: 3,
        give_up_after_seconds: 0,
        retry_first_milliseconds: 20,
        retry_seconds_max: 1,
        breaker_failures: 3,
        breaker_pause_milliseconds: 300,
        pause_seconds_max: 1,
        poll_milliseconds: 20,
        drain_seconds: 5,
        results_seconds: 900,
    }
}

fn worker(db: &TestDatabase, partner: &ModelPartner) -> Worker {
    Worker::start(&policy(), &db.pool, vec![partner.destination(4, 500)])
}

/// Waits until the query is true; the test fails when it never is.
async fn until(db: &TestDatabase, condition: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !db.value::<bool>(&format!("SELECT {condition}")).await {
        assert!(
            Instant::now() < deadline,
            "never: {condition}; states {:?}",
            db.states().await
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_settled(db: &TestDatabase) {
    until(db, "NOT EXISTS (SELECT 1 FROM delivery WHERE state NOT IN ('delivered', 'dead', 'superseded'))").await;
}

async fn until_sent(partner: &ModelPartner, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while partner.sends().len() < count {
        assert!(
            Instant::now() < deadline,
            "only {} sent",
            partner.sends().len()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn everything_queued_is_delivered_once_within_the_concurrency() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    let ids = db.queue("core", 60).await;
    let worker = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(partner.taken(), ids);
    assert_eq!(partner.sends().len(), 60);
    assert!(partner.state.lock().unwrap().under_way_most <= 4);
    let figures = worker.status()[0].figures.clone();
    assert_eq!(
        (figures.delivered, figures.outcomes[0]),
        (60, ("accepted", 60))
    );
    assert!(worker.drain(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_delivery_answered_by_silence_is_asked_about_and_not_sent_twice() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::TakeAndKeepSilent]);
    let ids = db.queue("core", 1).await;
    let _worker = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(db.states().await, ["delivered"]);
    assert_eq!(
        (partner.sends().len(), partner.inquiries(), partner.taken()),
        (1, 1, ids)
    );
}

#[tokio::test]
async fn many_in_doubt_are_asked_about_one_after_the_other_and_not_some_at_every_poll() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    for id in db.queue("core", 40).await {
        partner
            .state
            .lock()
            .unwrap()
            .taken
            .insert(format!("doubt-{id}"), id);
    }
    db.run("UPDATE delivery SET state = 'in_doubt', outcome = 'unknown', attempt_no = 1, reference = 'doubt-' || delivery_id").await;
    // Eight at every poll would take fifty seconds.
    let policy = Deliver {
        poll_milliseconds: 10_000,
        ..policy()
    };
    let _worker = Worker::start(&policy, &db.pool, vec![partner.destination(4, 500)]);
    until_settled(&db).await;
    assert_eq!((partner.inquiries(), partner.sends().len()), (40, 0));
}

#[tokio::test]
async fn what_the_partner_does_not_have_is_sent_again_under_the_same_reference() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::KeepSilent]);
    db.queue("core", 1).await;
    let _worker = worker(&db, &partner);
    until_settled(&db).await;
    let sends = partner.sends();
    assert_eq!(
        (db.states().await, sends.len(), partner.inquiries()),
        (vec!["delivered".to_owned()], 2, 1)
    );
    assert_eq!(sends[0].0, sends[1].0);
}

#[tokio::test]
async fn without_an_inquiry_an_idempotent_message_is_repeated_and_any_other_waits_for_a_person() {
    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new().will(&[Does::TakeAndKeepSilent]);
    partner.has_inquiry = false;
    db.queue("core", 1).await;
    let first = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(
        db.value::<String>("SELECT outcome FROM delivery").await,
        "duplicate"
    );
    assert_eq!((partner.sends().len(), partner.taken().len()), (2, 1));
    assert!(first.drain(Duration::from_secs(5)).await);

    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new().will(&[Does::TakeAndKeepSilent]);
    (partner.has_inquiry, partner.idempotent) = (false, false);
    let ids = db.queue("core", 1).await;
    let _second = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(
        (db.states().await, partner.sends().len()),
        (vec!["dead".to_owned()], 1)
    );
    let answer = db.value::<String>("SELECT answer FROM delivery").await;
    assert!(
        answer.starts_with("outcome unknown") && answer.contains("reference ref-1"),
        "{answer}"
    );
    assert!(
        store::decide(&db.pool, ids[0], Decision::Delivered)
            .await
            .unwrap()
    );
    assert_eq!(db.states().await, ["delivered"]);
}

#[tokio::test]
async fn where_a_repeat_would_count_twice_nothing_is_asked_before_the_deadline() {
    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new().will(&[Does::TakeAndBreakOff]);
    partner.idempotent = false;
    db.queue("core", 1).await;
    let _worker = worker(&db, &partner);
    until_settled(&db).await;
    let asked_at = partner.state.lock().unwrap().inquiries[0];
    let waited = asked_at - partner.sends()[0].2;
    assert!(
        waited >= Duration::from_millis(490),
        "asked {waited:?} after sending, at a deadline of 0.5 s"
    );
    assert_eq!(
        (partner.sends().len(), db.states().await),
        (1, vec!["delivered".to_owned()])
    );
}

#[tokio::test]
async fn a_later_refusal_does_not_clear_the_doubt_about_an_earlier_request() {
    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new().will(&[Does::TakeAndKeepSilent, Does::Refuse]);
    partner.has_inquiry = false;
    let ids = db.queue("core", 1).await;
    let _worker = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(
        (
            db.states().await,
            db.value::<String>("SELECT outcome FROM delivery").await
        ),
        (vec!["dead".to_owned()], "unknown".into())
    );
    assert!(
        store::decide(&db.pool, ids[0], Decision::Retry)
            .await
            .unwrap()
    );
    until_settled(&db).await;
    assert_eq!(
        db.value::<String>("SELECT outcome FROM delivery").await,
        "duplicate",
        "the reference was kept, so it is not counted twice"
    );
    assert_eq!(partner.taken(), ids);
}

#[tokio::test]
async fn retry_after_holds_the_whole_destination_in_full() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::Busy(Some(1_500))]);
    db.queue("core", 12).await;
    let _worker = worker(&db, &partner);
    until_sent(&partner, 1).await;
    let asked_at = partner.sends()[0].2;
    until_settled(&db).await;
    // Those already on their way when the answer came (at most the concurrency, within its 5 ms) do not count.
    let early = partner
        .sends()
        .iter()
        .filter(|send| send.2 - asked_at < Duration::from_millis(1_500))
        .count();
    assert!(early <= 4, "{early} were sent during the pause");
    assert_eq!(partner.taken().len(), 12);
}

#[tokio::test]
async fn what_is_never_taken_becomes_a_dead_letter_and_a_retried_one_goes_again() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::Busy(None); 3]);
    let ids = db.queue("core", 1).await;
    let _worker = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(
        (db.states().await, partner.sends().len()),
        (vec!["dead".to_owned()], 3)
    );
    assert_eq!(
        db.value::<String>("SELECT answer FROM delivery").await,
        "not taken in 3 attempts; last: status 503"
    );
    assert!(
        store::decide(&db.pool, ids[0], Decision::Retry)
            .await
            .unwrap()
    );
    until_settled(&db).await;
    assert_eq!(db.states().await, ["delivered"]);
    let sends = partner.sends();
    assert_ne!(
        sends[2].0, sends[3].0,
        "after an explicit answer a retry has a reference of its own"
    );
}

#[tokio::test]
async fn a_refusal_is_a_dead_letter_at_once_and_stops_nobody_else() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::Refuse]);
    db.queue("core", 5).await;
    let _worker = worker(&db, &partner);
    until_settled(&db).await;
    let states = db.states().await;
    assert_eq!(states.iter().filter(|state| *state == "dead").count(), 1);
    assert_eq!((partner.sends().len(), partner.taken().len()), (5, 4));
}

#[tokio::test]
async fn a_panic_or_fault_in_one_delivery_does_not_stop_the_others() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    let mut rows = vec![
        delivery("core", 0, None),
        delivery("core", 1, None),
        delivery("core", 2, None),
    ];
    (
        rows[0].records_mut().packet_id,
        rows[1].records_mut().packet_id,
    ) = (13, 14);
    let ids = store::queue(&db.pool.get().await.unwrap(), &rows)
        .await
        .unwrap();
    let _worker = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(
        (db.states().await, partner.taken()),
        (
            vec!["dead".into(), "dead".into(), "delivered".to_owned()],
            vec![ids[2]]
        )
    );
    assert_eq!(
        db.value::<String>("SELECT answer FROM delivery WHERE subject_id = '14'")
            .await,
        "the packet has no such records"
    );
}

#[tokio::test]
async fn two_instances_never_exceed_the_limit_nor_send_twice() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    let ids = db.queue("core", 90).await;
    let one = Worker::start(&policy(), &db.pool, vec![partner.destination(4, 30)]);
    let two = Worker::start(&policy(), &db.pool, vec![partner.destination(4, 30)]);
    until_sent(&partner, 20).await;
    assert_eq!(
        one.status()[0].holds_lease as u8 + two.status()[0].holds_lease as u8,
        1,
        "one dispatcher at a time"
    );
    let (gone, left) = if one.status()[0].holds_lease {
        (one, two)
    } else {
        (two, one)
    };
    assert!(gone.drain(Duration::from_secs(5)).await);
    until_settled(&db).await;
    drop(left);
    let sends = partner.sends();
    assert_eq!((sends.len(), partner.taken()), (90, ids));
    let most = sends
        .iter()
        .map(|first| {
            sends
                .iter()
                .filter(|s| s.2 >= first.2 && s.2 - first.2 <= Duration::from_secs(1))
                .count()
        })
        .max();
    assert!(most <= Some(30), "{most:?} in one second");
}

#[tokio::test]
async fn an_instance_killed_while_sending_leaves_a_row_that_is_asked_about_not_sent_blindly() {
    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new().will(&[Does::TakeAndHang]);
    partner.idempotent = false;
    db.queue("core", 1).await;
    let killed = worker(&db, &partner);
    until_sent(&partner, 1).await;
    drop(killed);
    assert_eq!(db.states().await, ["leased"]);
    let _next = worker(&db, &partner);
    until_settled(&db).await;
    assert_eq!(
        (
            db.states().await,
            partner.sends().len(),
            partner.inquiries()
        ),
        (vec!["delivered".to_owned()], 1, 1)
    );
    assert_eq!(
        db.value::<String>(
            "SELECT string_agg(kind || ' ' || outcome, ', ' ORDER BY attempt_no) FROM attempt"
        )
        .await,
        "send unknown, inquire accepted"
    );
}

#[tokio::test]
async fn the_calendar_keeps_its_lease_for_as_long_as_it_works_and_lets_go_of_one_it_lost() {
    let db = TestDatabase::new().await;
    let term = Duration::from_millis(300);
    let held = "EXISTS (SELECT 1 FROM dispatcher_lease WHERE destination = '@calendar' AND until > clock_timestamp())";
    let (end, ended) = tokio::sync::oneshot::channel();
    let working = tokio::spawn({
        let pool = db.pool.clone();
        async move {
            let work = async {
                ended
                    .await
                    .map_err(|_| Fault::later(Stage::Store, "nobody ended it"))
            };
            calendar::alone(&pool, "one", term, work).await
        }
    });
    until(&db, held).await;
    // Longer than four terms: a lease that nobody renews would have been taken by then.
    let began = Instant::now();
    while began.elapsed() < term * 4 {
        assert!(
            calendar::alone(&db.pool, "other", term, async { Ok(()) })
                .await
                .is_none(),
            "another took it after {:?}",
            began.elapsed()
        );
        tokio::time::sleep(term / 10).await;
    }
    end.send(()).expect("it still works");
    assert_eq!(working.await.expect("no panic"), Some(Ok(())));
    assert_eq!(
        calendar::alone(&db.pool, "other", term, async { Ok(()) }).await,
        Some(Ok(())),
        "given back at once"
    );

    let losing = tokio::spawn({
        let pool = db.pool.clone();
        async move { calendar::alone(&pool, "one", term, std::future::pending()).await }
    });
    until(&db, held).await;
    db.run("UPDATE dispatcher_lease SET holder = 'other', token = token + 1, until = now() + interval '1 hour'").await;
    let lost = losing
        .await
        .expect("no panic")
        .expect("it had the lease")
        .expect_err("the work ended");
    assert!(lost.text.contains("the lease was lost"), "{lost}");
    assert!(
        db.value::<bool>(&format!("SELECT {held}")).await,
        "the other's lease is left alone"
    );
}

#[tokio::test]
async fn a_lost_lease_stops_sending_at_once() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    db.queue("core", 200).await;
    let worker = Worker::start(&policy(), &db.pool, vec![partner.destination(2, 40)]);
    until_sent(&partner, 5).await;
    db.run("UPDATE dispatcher_lease SET holder = 'other', token = token + 1, until = now() + interval '1 hour'").await;
    until(
        &db,
        "NOT EXISTS (SELECT 1 FROM delivery WHERE state = 'leased')",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(400)).await; // a renewal is due within a third of a second
    let sent = partner.sends().len();
    assert!(sent < 40, "{sent} were sent after the lease was lost");
    assert!(!worker.status()[0].holds_lease);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(partner.sends().len(), sent);
}

#[tokio::test]
async fn a_partner_that_is_down_is_probed_now_and_then_and_costs_no_attempts() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    partner.state.lock().unwrap().otherwise = Some(Does::Unreachable);
    db.queue("core", 10).await;
    let worker = worker(&db, &partner);
    let not_sent = || worker.status()[0].figures.outcomes[6].1;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !worker.status()[0].breaker_open {
        assert!(Instant::now() < deadline, "the breaker never opened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = not_sent();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let probes = not_sent() - before;
    assert!(
        (1..=6).contains(&probes),
        "{probes} probes in a second at a pause of 0.3 s"
    );
    partner.state.lock().unwrap().otherwise = None;
    until_settled(&db).await;
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'delivered' AND attempts = 1")
            .await,
        10
    );
    assert!(!worker.status()[0].breaker_open);
}

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_starts_nothing_new() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::TakeAndHang]);
    db.queue("core", 3).await;
    let worker = Worker::start(&policy(), &db.pool, vec![partner.destination(1, 500)]);
    until_sent(&partner, 1).await;
    let answers = partner.answers.clone();
    let answer = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        answers.notify_one();
    };
    let (drained, ()) = tokio::join!(worker.drain(Duration::from_secs(5)), answer);
    assert!(drained);
    // Which of them went first is nobody's to say: they share no ordering key.
    let mut states = db.states().await;
    states.sort_unstable();
    assert_eq!(
        (states, partner.sends().len()),
        (
            vec!["delivered".into(), "ready".into(), "ready".to_owned()],
            1
        )
    );
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'ready' AND attempts > 0")
            .await,
        0
    );
    assert!(
        store::acquire(&db.pool, "core", "next", Duration::from_secs(1))
            .await
            .unwrap()
            .is_ok(),
        "the lease was released"
    );
}

#[tokio::test]
async fn deliveries_of_one_key_never_overtake_each_other() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[
        Does::Take,
        Does::Busy(None),
        Does::Take,
        Does::Busy(None),
        Does::KeepSilent,
    ]);
    let rows: Vec<NewDelivery> = (0..24)
        .map(|n| delivery("core", n, Some(["a", "b", "c"][n as usize % 3])))
        .collect();
    let ids = store::queue(&db.pool.get().await.unwrap(), &rows)
        .await
        .unwrap();
    // All three answers that are no may meet one delivery; it is not given up for that here.
    let worker = Worker::start(
        &Deliver {
            attempts_max: 10,
            ..policy()
        },
        &db.pool,
        vec![partner.destination(4, 500)],
    );
    worker.waker().wake(["core"]);
    until_settled(&db).await;
    assert_eq!(partner.taken(), ids);
    let sends = partner.sends();
    for key in 0..3 {
        let of_key: Vec<i64> = sends
            .iter()
            .map(|send| send.1)
            .filter(|id| (id - ids[0]) % 3 == key)
            .collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
}
