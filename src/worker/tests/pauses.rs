//! What becomes of deliveries while a partner gives no answer of its own, and afterwards.

use std::time::{Duration, Instant};

use super::partner::{Does, ModelPartner};
use super::{policy, until, until_sent, until_settled, worker};
use crate::config::Deliver;
use crate::flow::deliver::PauseReason;
use crate::store::delivery::testing::TestDatabase;
use crate::store::delivery::{self as store, standings};
use crate::worker::Worker;

async fn until_turned_away(partner: &ModelPartner, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while partner.turned_away() < count {
        assert!(
            Instant::now() < deadline,
            "only {} turned away",
            partner.turned_away()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_never_reached_the_partner_uses_nothing_up_and_goes_by_itself_once_mended() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    partner.stands_before(Some(401));
    let ids = db.queue("core", 6).await;
    let worker = worker(&db, &partner);
    // More often than any delivery has attempts, which are three.
    until_turned_away(&partner, 12).await;
    assert_eq!(worker.status()[0].paused, Some(PauseReason::NotReached));
    let paused = standings(&db.pool).await.unwrap().remove(0);
    assert_eq!(
        (paused.reason.as_deref(), paused.answer.as_deref()),
        (Some("not_reached"), Some("status 401"))
    );
    until(
        &db,
        "EXISTS (SELECT 1 FROM attempt WHERE outcome = 'not_reached')",
    )
    .await;
    assert_eq!(db.value::<i64>("SELECT count(*) FROM delivery WHERE state IN ('ready', 'leased') AND outcome IS NULL AND attempts <= 1").await, 6);
    partner.stands_before(None);
    until_settled(&db).await;
    assert_eq!(
        (partner.taken(), partner.sends().len(), partner.inquiries()),
        (ids, 6, 0)
    );
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'delivered' AND attempts = 1")
            .await,
        6
    );
    let works = standings(&db.pool).await.unwrap().remove(0);
    assert_eq!((worker.status()[0].paused, works.reason), (None, None));
}

#[tokio::test]
async fn after_the_first_of_them_single_requests_try_what_lets_nothing_through() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    partner.stands_before(Some(401));
    db.queue("core", 50).await;
    let policy = Deliver {
        retry_first_milliseconds: 200,
        ..policy()
    };
    let _worker = Worker::start(&policy, &db.pool, vec![partner.destination(4, 500)]);
    until_turned_away(&partner, 8).await;
    let at = partner.state.lock().unwrap().turned_away.clone();
    // Those that were on their way when the first was answered are as many as the concurrency allows.
    let close = at
        .windows(2)
        .filter(|two| two[1] - two[0] < Duration::from_millis(90))
        .count();
    assert!(close <= 3, "{close} came close upon another");
}

#[tokio::test]
async fn answers_that_say_nothing_leave_deliveries_in_doubt_and_none_walks_to_the_dead_letters() {
    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new();
    partner.idempotent = false;
    let ids = db.queue("core", 4).await;
    partner.stands_before(Some(502));
    let worker = worker(&db, &partner);
    until_turned_away(&partner, 16).await;
    assert_eq!(worker.status()[0].paused, Some(PauseReason::Unclear));
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'dead'")
            .await,
        0
    );
    assert!(
        db.value::<i64>("SELECT count(*) FROM attempt WHERE kind = 'inquire'")
            .await
            > 0,
        "it is asked"
    );
    assert_eq!(
        db.value::<i64>(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM attempt WHERE kind = 'send' AND outcome <> 'not_sent' GROUP BY delivery_id) sent"
        )
        .await,
        1
    );
    partner.stands_before(None);
    until_settled(&db).await;
    assert_eq!(partner.taken(), ids);
    assert_eq!(db.states().await, ["delivered"; 4]);
}

#[tokio::test]
async fn what_recognises_repeats_waits_as_well_while_nothing_of_the_partners_own_is_heard() {
    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new();
    partner.has_inquiry = false;
    let ids = db.queue("core", 3).await;
    partner.stands_before(Some(502));
    let _worker = worker(&db, &partner);
    until_turned_away(&partner, 16).await;
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'dead'")
            .await,
        0
    );
    partner.stands_before(None);
    until_settled(&db).await;
    assert_eq!(
        (partner.taken(), db.states().await),
        (ids, vec!["delivered".to_owned(); 3])
    );
}

#[tokio::test]
async fn one_that_is_never_answered_still_becomes_a_dead_letter_while_the_partner_answers_for_others()
 {
    let db = TestDatabase::new().await;
    let mut partner = ModelPartner::new();
    partner.has_inquiry = false;
    let deaf_to = db.queue("core", 1).await[0];
    partner.state.lock().unwrap().deaf_to = Some(deaf_to);
    let worker = worker(&db, &partner);
    let deadline = Instant::now() + Duration::from_secs(30);
    while db.states().await[0] != "dead" {
        assert!(
            Instant::now() < deadline,
            "never given up: {:?}",
            db.states().await
        );
        db.queue("core", 1).await;
        worker.waker().wake(["core"]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until_settled(&db).await;
    let answer = db
        .value::<String>("SELECT answer FROM delivery WHERE state = 'dead'")
        .await;
    assert!(answer.contains("no answer in all attempts"), "{answer}");
    assert_eq!(
        partner.taken().len() + 1,
        db.states().await.len(),
        "all others were taken"
    );
}

#[tokio::test]
async fn later_is_no_attempt_before_the_minimum_time_and_nothing_they_say_hurries_us() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::Busy(Some(0)); 24]);
    let ids = db.queue("core", 10).await;
    let policy = Deliver {
        give_up_after_seconds: 3_600,
        retry_first_milliseconds: 50,
        ..policy()
    };
    let worker = Worker::start(&policy, &db.pool, vec![partner.destination(4, 500)]);
    until_settled(&db).await;
    assert_eq!(
        (partner.taken(), db.states().await),
        (ids, vec!["delivered".to_owned(); 10])
    );
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE attempts <> 1")
            .await,
        0
    );
    let sends = partner.sends();
    let within = |limit: Duration| {
        sends
            .iter()
            .filter(|send| send.2 - sends[0].2 < limit)
            .count()
    };
    assert!(
        within(Duration::from_millis(500)) <= 15,
        "{} in half a second, answered `later` each time",
        within(Duration::from_millis(500))
    );
    assert!(worker.drain(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn after_the_minimum_time_later_counts_and_the_delivery_is_given_up() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new();
    partner.state.lock().unwrap().otherwise = Some(Does::Busy(None));
    db.queue("core", 1).await;
    let policy = Deliver {
        give_up_after_seconds: 3_600,
        pause_seconds_max: 0,
        ..policy()
    };
    let _worker = Worker::start(&policy, &db.pool, vec![partner.destination(4, 500)]);
    until_sent(&partner, 6).await;
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'dead'")
            .await,
        0
    );
    db.run("UPDATE delivery SET tried_at = tried_at - interval '1 hour'")
        .await;
    until_settled(&db).await;
    assert_eq!(
        (
            db.states().await,
            db.value::<i32>("SELECT attempts FROM delivery").await
        ),
        (vec!["dead".to_owned()], 3)
    );
}

#[tokio::test]
async fn a_person_can_lift_a_pause_the_partner_asked_for() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[Does::Busy(Some(80_000_000))]);
    let ids = db.queue("core", 3).await;
    let _worker = Worker::start(&policy(), &db.pool, vec![partner.destination(1, 500)]);
    until(&db, "EXISTS (SELECT 1 FROM dispatcher_lease WHERE pause_reason = 'later' AND paused_until > now() + interval '20 hours')").await;
    assert_eq!(partner.taken(), [] as [i64; 0]);
    assert_eq!(store::resume(&db.pool, "core").await.unwrap(), Some(true));
    until_settled(&db).await;
    assert_eq!(partner.taken(), ids);
}

#[tokio::test]
async fn a_destination_whose_holder_was_killed_is_served_again_within_five_seconds() {
    let db = TestDatabase::new().await;
    let partner = ModelPartner::new().will(&[
        Does::Take,
        Does::Take,
        Does::Take,
        Does::TakeAndHang,
        Does::TakeAndHang,
        Does::TakeAndHang,
        Does::TakeAndHang,
    ]);
    db.queue("core", 60).await;
    // As configured by default, with every place taken by requests nobody hears the end of.
    let policy = Deliver::default();
    let destination = || {
        let mut destination = partner.destination(4, 50);
        destination.deadline = Duration::from_secs(30);
        destination
    };
    let killed = Worker::start(&policy, &db.pool, vec![destination()]);
    until_sent(&partner, 7).await;
    let _other = Worker::start(&policy, &db.pool, vec![destination()]);
    // The other one waits for its turn when the first is gone.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let killed_at = Instant::now();
    drop(killed);
    until_sent(&partner, 20).await;
    let first = partner.sends()[7].2;
    assert!(
        first > killed_at && first - killed_at <= Duration::from_secs(5),
        "after {:?}",
        first - killed_at
    );
    let sends = partner.sends();
    let most = sends
        .iter()
        .map(|one| {
            sends
                .iter()
                .filter(|s| s.2 >= one.2 && s.2 - one.2 <= Duration::from_secs(1))
                .count()
        })
        .max();
    assert!(most <= Some(50), "{most:?} in one second");
    let twice = sends
        .iter()
        .filter(|one| sends.iter().filter(|other| other.1 == one.1).count() > 1)
        .count();
    assert_eq!(
        twice, 0,
        "what was under way is asked about, not sent again"
    );
}
