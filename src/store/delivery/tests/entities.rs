//! Registry entries: for whom they are queued, in which order, and what a day's limit lets through.

use jiff::civil::date;

use super::super::testing::TestDatabase;
use super::super::*;
use super::{HOLD, NOW, TERM, begin, claimed, ended};
use crate::model::Outcome;
use crate::store::registry::ChangeRange;
use crate::store::tx::Tx;

fn routes() -> Vec<Route> {
    let only = |field: &str, word: &str| {
        vec![Only {
            field: field.into(),
            words: vec![word.into()],
        }]
    };
    let route = |kind: &str, only| Route {
        destination: "core".into(),
        message: format!("{kind}s"),
        kind: kind.into(),
        only,
        cities: Vec::new(),
    };
    vec![
        route("institution", only("kind", "home_care")),
        route("caregiver", only("institution.kind", "home_care")),
    ]
}

/// One change of an entry, written and queued as the registry does; `content` of a delete is null.
async fn change(db: &TestDatabase, kind: &str, id: &str, content: Option<&str>, status: &str) {
    let quoted = content.map_or("NULL".to_owned(), |content| format!("'{content}'"));
    let (word, reason) = if content.is_some() {
        ("put", "NULL")
    } else {
        ("delete", "'left'")
    };
    let client = db.pool.get().await.unwrap();
    let sql = "UPDATE registry_head SET sequence = sequence + 1 RETURNING sequence";
    let sequence: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    client
        .batch_execute(&format!(
            "INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, status, designated, reason, effective_on, institution_kind, city)
             VALUES ({sequence}, '{kind}', '{id}', {sequence}, '{word}', {quoted}, '{status}', false, {reason}, '2026-01-01', coalesce({quoted}::json->>'kind',
                 (SELECT i.institution_kind FROM registry_entity i WHERE i.kind = 'institution' AND i.entity_id = {quoted}::json->>'institution_id')),
                 coalesce(left({quoted}::json->>'division', 4)::int,
                 (SELECT i.city FROM registry_entity i WHERE i.kind = 'institution' AND i.entity_id = {quoted}::json->>'institution_id')));
             INSERT INTO registry_entity (kind, entity_id, version, sequence, ended, digest, designated, institution_kind, city)
             VALUES ('{kind}', '{id}', {sequence}, {sequence}, {}, sha256('x'), false, {quoted}::json->>'kind', left({quoted}::json->>'division', 4)::int)
             ON CONFLICT (kind, entity_id) DO UPDATE SET version = excluded.version, sequence = excluded.sequence, ended = excluded.ended,
                 institution_kind = excluded.institution_kind, city = coalesce(excluded.city, registry_entity.city)",
            content.is_none()
        ))
        .await
        .unwrap();
    for route in routes() {
        queue_entities(
            &client,
            &route,
            ChangeRange {
                first: sequence,
                last: sequence,
            },
        )
        .await
        .unwrap();
    }
}

async fn shown(db: &TestDatabase) -> String {
    db.value::<Option<String>>("SELECT string_agg(concat_ws(' ', subject_id, part, state, priority, CASE WHEN removal THEN 'removal' END), ', ' ORDER BY delivery_id) FROM delivery")
        .await
        .unwrap_or_default()
}

const HOME: Option<&str> = Some("{\"kind\": \"home_care\"}");
const MEDICAL: Option<&str> = Some("{\"kind\": \"medical\"}");

async fn lease(db: &TestDatabase) -> Lease {
    acquire(&db.pool, "core", "one", TERM)
        .await
        .unwrap()
        .expect("nobody else holds it")
        .0
}

async fn deliver_all(db: &TestDatabase, lease: &Lease) {
    for id in claimed(db, lease, 99).await {
        let attempt = begin(&db.pool, lease, id, HOLD).await.unwrap();
        settle(
            &db.pool,
            lease,
            &[ended(id, attempt, Next::Delivered, Outcome::Accepted)],
        )
        .await
        .unwrap();
    }
}

fn from(since: Option<jiff::civil::Date>) -> BackfillScope {
    BackfillScope {
        since,
        ..BackfillScope::default()
    }
}

#[tokio::test]
async fn only_entries_that_concern_a_destination_are_queued_and_the_newest_change_only() {
    let db = TestDatabase::new().await;
    change(&db, "institution", "M", MEDICAL, "x").await;
    change(&db, "institution", "H", HOME, "x").await;
    change(
        &db,
        "caregiver",
        "C1",
        Some("{\"institution_id\": \"H\"}"),
        "active",
    )
    .await;
    change(
        &db,
        "caregiver",
        "C2",
        Some("{\"institution_id\": \"M\"}"),
        "active",
    )
    .await;
    change(&db, "institution", "H", HOME, "x").await;
    assert_eq!(
        shown(&db).await,
        "H 2 superseded 20, C1 3 ready 20, H 5 ready 20"
    );
}

#[tokio::test]
async fn a_destination_hears_of_the_places_of_its_own_areas_only() {
    let db = TestDatabase::new().await;
    for (id, division) in [("N", "450103"), ("C", "500230")] {
        let content = format!("{{\"kind\": \"medical\", \"division\": \"{division}\"}}");
        change(&db, "institution", id, Some(&content), "x").await;
        change(
            &db,
            "caregiver",
            &format!("of{id}"),
            Some(&format!("{{\"institution_id\": \"{id}\"}}")),
            "active",
        )
        .await;
    }
    let client = db.pool.get().await.unwrap();
    for kind in ["institution", "caregiver"] {
        let route = Route {
            destination: "city".into(),
            message: kind.into(),
            kind: kind.into(),
            only: Vec::new(),
            cities: vec![4501],
        };
        queue_entities(&client, &route, ChangeRange { first: 1, last: 4 })
            .await
            .unwrap();
    }
    assert_eq!(shown(&db).await, "N 1 ready 20, ofN 2 ready 20");
    // The people of an institution that was deleted are still of its place.
    change(&db, "institution", "N", None, "x").await;
    change(
        &db,
        "caregiver",
        "ofN",
        Some("{\"institution_id\": \"N\"}"),
        "active",
    )
    .await;
    let route = Route {
        destination: "city".into(),
        message: "caregiver".into(),
        kind: "caregiver".into(),
        only: Vec::new(),
        cities: vec![4501],
    };
    queue_entities(&client, &route, ChangeRange { first: 6, last: 6 })
        .await
        .unwrap();
    assert_eq!(
        shown(&db).await,
        "N 1 ready 20, ofN 2 superseded 20, ofN 6 ready 20"
    );
}

#[tokio::test]
async fn an_ending_or_suspension_is_urgent_and_what_replaces_it_before_it_left_too() {
    let db = TestDatabase::new().await;
    change(&db, "institution", "A", HOME, "agreement_in_force").await;
    change(&db, "institution", "B", HOME, "agreement_in_force").await;
    let lease = lease(&db).await;
    deliver_all(&db, &lease).await;
    change(&db, "institution", "A", HOME, "agreement_in_force").await;
    change(&db, "institution", "B", HOME, "suspended").await;
    change(&db, "institution", "B", HOME, "suspended").await;
    let tail = shown(&db).await;
    assert!(
        tail.ends_with("A 3 ready 20, B 4 superseded 10, B 5 ready 10"),
        "{tail}"
    );
    let first = claim(&db.pool, &lease, 1, HOLD).await.unwrap();
    assert_eq!(
        first[0]
            .of
            .entity()
            .map(|entity| (entity.id.as_str(), entity.revision)),
        Some(("B", 5))
    );
}

#[tokio::test]
async fn an_end_is_told_only_where_the_entry_was_told_and_once() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    change(&db, "institution", "A", HOME, "x").await;
    change(&db, "institution", "A", None, "x").await;
    assert_eq!(
        shown(&db).await,
        "A 1 superseded 20",
        "nothing had left, so there is nothing to take back"
    );
    change(&db, "institution", "B", HOME, "x").await;
    deliver_all(&db, &lease).await;
    change(&db, "institution", "B", MEDICAL, "x").await;
    deliver_all(&db, &lease).await;
    change(&db, "institution", "B", None, "x").await;
    assert_eq!(
        shown(&db).await,
        "A 1 superseded 20, B 3 delivered 20, B 4 delivered 10 removal"
    );
    change(&db, "institution", "B", HOME, "x").await;
    assert!(
        shown(&db).await.ends_with("B 6 ready 20"),
        "registered again, told again"
    );
}

#[tokio::test]
async fn what_is_taken_up_in_the_instant_of_a_change_counts_as_told() {
    let db = TestDatabase::new().await;
    change(&db, "institution", "A", HOME, "x").await;
    let claim = Tx::begin(db.pool.get().await.unwrap()).await.unwrap();
    let sql = "UPDATE delivery SET state = 'leased', attempts = 1, lease_token = 1, leased_until = now() + interval '1 minute'";
    assert_eq!(claim.execute(sql, &[]).await.unwrap(), 1);
    let committed = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while db.value::<i64>(waits).await == 0 {
            tokio::task::yield_now().await;
        }
        claim.commit().await.unwrap();
    };
    tokio::join!(change(&db, "institution", "A", None, "x"), committed);
    assert_eq!(
        shown(&db).await,
        "A 1 leased 20, A 2 ready 10 removal",
        "it is on its way, so it has to be taken back"
    );
}

#[tokio::test]
async fn a_refused_change_does_not_keep_a_newer_one_back() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    for id in ["A", "B"] {
        change(&db, "institution", id, HOME, "x").await;
    }
    let ids = claimed(&db, &lease, 9).await;
    for id in ["A", "B"] {
        change(&db, "institution", id, HOME, "x").await;
    }
    assert!(
        claimed(&db, &lease, 9).await.is_empty(),
        "the newer ones wait for the older under way"
    );
    let ends = [
        (ids[0], Next::Dead, Outcome::Rejected),
        (ids[1], Next::Ready(NOW), Outcome::RetryLater),
    ];
    for (id, next, outcome) in ends {
        let attempt = begin(&db.pool, &lease, id, HOLD).await.unwrap();
        settle(&db.pool, &lease, &[ended(id, attempt, next, outcome)])
            .await
            .unwrap();
    }
    assert_eq!(
        shown(&db).await,
        "A 1 superseded 20, B 2 superseded 20, A 3 ready 20, B 4 ready 20"
    );
    assert_eq!(claimed(&db, &lease, 9).await.len(), 2);
}

#[tokio::test]
async fn several_deliveries_begin_together_or_not_at_all() {
    let db = TestDatabase::new().await;
    let lease = lease(&db).await;
    let ids = db.queue("core", 3).await;
    claimed(&db, &lease, 2).await;
    let start = |delivery_ids| Start {
        delivery_ids,
        ..super::START
    };
    assert_eq!(
        super::super::begin(&db.pool, &lease, &start(&ids), HOLD)
            .await
            .unwrap(),
        None,
        "one of them is not claimed"
    );
    assert_eq!(db.value::<i64>("SELECT count(*) FROM attempt").await, 0);
    assert_eq!(
        super::super::begin(&db.pool, &lease, &start(&ids[..2]), HOLD)
            .await
            .unwrap(),
        Some(vec![1, 1])
    );
    release(&db.pool, &lease).await.unwrap();
    let (next, _) = acquire(&db.pool, "core", "two", TERM)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        left_under_way(&db.pool, &next, HOLD).await.unwrap(),
        1,
        "one request, however many it carries"
    );
    assert_eq!(left_under_way(&db.pool, &lease, HOLD).await.unwrap(), 0);
    db.run("UPDATE attempt SET started_at = started_at - interval '1 minute'")
        .await;
    assert_eq!(
        left_under_way(&db.pool, &next, HOLD).await.unwrap(),
        0,
        "it cannot be waited for any longer"
    );
}

#[tokio::test]
async fn of_a_day_never_more_is_reserved_than_its_limit_and_only_under_the_lease() {
    let db = TestDatabase::new().await;
    let (lease, day) = (lease(&db).await, date(2026, 3, 1));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (pool, lease) = (db.pool.clone(), lease.clone());
        tasks.spawn(async move { reserve(&pool, &lease, (day, 50), 7).await.unwrap() });
    }
    let granted: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(granted, 50);
    unreserve(&db.pool, &lease, day, 5).await.unwrap();
    assert_eq!(reserve(&db.pool, &lease, (day, 50), 7).await.unwrap(), 5);
    assert_eq!(
        reserve(&db.pool, &lease, (day, 40), 7).await.unwrap(),
        0,
        "a limit that was lowered"
    );
    assert_eq!(
        reserve(&db.pool, &lease, (date(2026, 3, 2), 50), 7)
            .await
            .unwrap(),
        7
    );
    release(&db.pool, &lease).await.unwrap();
    assert_eq!(
        reserve(&db.pool, &lease, (date(2026, 3, 2), 50), 7)
            .await
            .unwrap(),
        0,
        "not without the lease"
    );
}

#[tokio::test]
async fn a_backfill_goes_on_where_it_stopped_and_queues_nothing_twice() {
    let db = TestDatabase::new().await;
    for n in 0..10 {
        change(
            &db,
            "institution",
            &format!("H{n}"),
            if n == 3 { MEDICAL } else { HOME },
            "x",
        )
        .await;
    }
    db.run("DELETE FROM delivery WHERE subject_id <> 'H7'")
        .await;
    Backfill::start(&db.pool, "core", BackfillScope::default())
        .await
        .unwrap();
    let first = Backfill::step(&db.pool, "core", &routes(), 4)
        .await
        .unwrap();
    assert_eq!((first.looked_at, first.queued), (4, 3));
    let again = Backfill::start(&db.pool, "core", from(Some(date(2030, 1, 1))))
        .await
        .unwrap();
    assert_eq!(
        (again.looked_at, again.since),
        (4, None),
        "it goes on as it was started"
    );
    let mut now = again;
    while now.finished_at.is_none() {
        now = Backfill::step(&db.pool, "core", &routes(), 4)
            .await
            .unwrap();
    }
    assert_eq!(
        (now.looked_at, now.queued),
        (10, 8),
        "one does not concern it, one is on its way already"
    );
    assert_eq!(
        now.progress(&db.pool).await.unwrap(),
        BackfillProgress {
            waiting: 8,
            dead: 0
        }
    );
    assert!(
        shown(&db).await.starts_with("H7 8 ready 20, H0 1 ready 90"),
        "live changes go first"
    );
    for since in [None, Some(date(2030, 1, 1))] {
        let mut again = Backfill::start(&db.pool, "core", from(since))
            .await
            .unwrap();
        while again.finished_at.is_none() {
            again = Backfill::step(&db.pool, "core", &routes(), 100)
                .await
                .unwrap();
        }
        assert_eq!(again.queued, 0);
    }
    db.run("UPDATE delivery SET state = 'delivered', outcome = 'accepted', reference = 'r', settled_at = now() WHERE ordering_key <> 'institution/H0'").await;
    let lost = BackfillScope {
        again: true,
        ..BackfillScope::default()
    };
    let mut told = Backfill::start(&db.pool, "core", lost).await.unwrap();
    while told.finished_at.is_none() {
        told = Backfill::step(&db.pool, "core", &routes(), 4)
            .await
            .unwrap();
    }
    assert_eq!(
        (told.again, told.queued),
        (true, 8),
        "what it took is told once more, what is on its way is not"
    );
    change(&db, "institution", "H0", HOME, "x").await;
    assert!(
        shown(&db).await.contains("H0 1 superseded 90")
            && shown(&db).await.ends_with("H0 11 ready 20")
    );
}
