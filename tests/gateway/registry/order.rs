//! The order of commit: whoever follows the log misses nothing, whatever writers do at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use ltcgw::error::{Fault, Stage};
use ltcgw::model::registry::EntityKind;
use ltcgw::store::registry::{ChangeQueue, ChangeRange, DateTurn, Due, Put, PutOutcome, Registry};
use serde_json::json;
use tokio_postgres::NoTls;

use super::{Ltc, TODAY, caregiver, institution, with};

fn put(id: &str, version: i64) -> Put {
    Put {
        kind: EntityKind::Institution,
        entity_id: id.into(),
        version,
        content: Some(format!("{{\"version\":{version}}}")),
        sealed: None,
        reason: None,
        digests: vec![version as u8; 32],
        status: None,
        designated: false,
        effective_on: TODAY,
        next_on: None,
        name: None,
        uscc: None,
        certificate_index: None,
        phone_index: None,
        institution_kind: None,
        institution_id: None,
        city: None,
    }
}

async fn follow(registry: &Registry, from: i64, limit: i64) -> Vec<(i64, String)> {
    let changes = registry
        .changes_after(from, &EntityKind::ALL, limit)
        .await
        .expect("changes");
    changes
        .into_iter()
        .map(|change| {
            (
                change.sequence,
                format!("{} {}", change.entity_id, change.version),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_began_early_and_committed_late_comes_after_what_was_pulled_before() {
    let ltc = Ltc::start().await;
    let registry = ltc.registrar().registry.clone();
    registry
        .put_batch("test", &[put("A", 1)])
        .await
        .expect("stored");
    // Somebody holds A's row, so that A's writer begins and has to wait.
    let (mut holder, connection) = ltc
        .gateway
        .database
        .connect(NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let held = holder.transaction().await.expect("a transaction");
    held.execute(
        "SELECT FROM registry_entity WHERE entity_id = 'A' FOR UPDATE",
        &[],
    )
    .await
    .expect("the row");
    let early = tokio::spawn({
        let registry = registry.clone();
        async move {
            registry
                .put_batch("test", &[put("A", 2), put("Z", 1)])
                .await
        }
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ltc.gateway.value(waiting).await == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    registry
        .put_batch("test", &[put("B", 1)])
        .await
        .expect("stored");
    assert_eq!(
        follow(&registry, 1, 10).await,
        [(2, "B 1".to_string())],
        "the puller is at 2 now"
    );
    held.rollback().await.expect("let go");
    early.await.expect("no panic").expect("stored");
    assert_eq!(
        follow(&registry, 2, 10).await,
        [(3, "A 2".to_string()), (4, "Z 1".to_string())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puller_gets_every_change_once_and_in_order_while_many_write() {
    let ltc = Ltc::start().await;
    let registry = ltc.registrar().registry.clone();
    let done = Arc::new(AtomicBool::new(false));
    let puller = tokio::spawn({
        let (registry, done) = (registry.clone(), done.clone());
        async move {
            let mut got: Vec<(i64, String)> = Vec::new();
            loop {
                let last = done.load(Ordering::Acquire);
                let page = follow(
                    &registry,
                    got.last().map_or(0, |(sequence, _)| *sequence),
                    3,
                )
                .await;
                if page.is_empty() && last {
                    return got;
                }
                got.extend(page);
            }
        }
    });
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let registry = registry.clone();
            tokio::spawn(async move {
                for round in 1..=15 {
                    // Own entries and ones that all writers fight for, in turning order.
                    let mut puts = vec![
                        put(&format!("own{writer}"), round),
                        put("shared1", round * 6 + writer),
                        put("shared2", round * 6 + writer),
                    ];
                    puts.rotate_left(usize::try_from(round + writer).expect("small") % 3);
                    registry.put_batch("test", &puts).await.expect("stored");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    done.store(true, Ordering::Release);
    let got = puller.await.expect("no panic");
    let numbers: Vec<i64> = got.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(
        numbers,
        (1..=numbers.len() as i64).collect::<Vec<_>>(),
        "no gap, nothing twice"
    );
    assert_eq!(
        got.iter()
            .map(|(_, what)| what)
            .collect::<HashSet<_>>()
            .len(),
        got.len(),
        "each version once"
    );
    assert_eq!(registry.head().await.expect("head"), numbers.len() as i64);
    for writer in 0..6 {
        assert_eq!(
            got.iter()
                .filter(|(_, what)| what.starts_with(&format!("own{writer} ")))
                .count(),
            15
        );
    }
    let shared: Vec<i64> = got
        .iter()
        .filter_map(|(_, what)| what.strip_prefix("shared1 "))
        .map(|version| version.parse().expect("a number"))
        .collect();
    assert!(
        shared.is_sorted() && shared.last() == Some(&95),
        "versions only rise: {shared:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_one_new_entry_leave_the_highest_version() {
    let ltc = Ltc::start().await;
    let registry = ltc.registrar().registry.clone();
    let writers: Vec<_> = [5, 3, 9, 1, 7, 2, 8, 4, 6, 9]
        .into_iter()
        .map(|version| {
            let registry = registry.clone();
            tokio::spawn(async move {
                (
                    version,
                    registry
                        .put_batch("test", &[put("A", version)])
                        .await
                        .expect("an answer")[0],
                )
            })
        })
        .collect();
    let (mut new, mut stored) = (0, 0);
    for writer in writers {
        let (version, taken) = writer.await.expect("no panic");
        match taken {
            PutOutcome::Stored { new: first, .. } => {
                (new, stored) = (new + usize::from(first), stored + 1)
            }
            PutOutcome::Older { known } => assert!(known > version),
            PutOutcome::Unchanged => assert_eq!(version, 9),
            PutOutcome::OtherContent | PutOutcome::NeverSent => {
                panic!("version {version} has one content")
            }
        }
    }
    let log = follow(&registry, 0, 100).await;
    assert_eq!(
        (new, log.len(), log.last().map(|(_, what)| what.as_str())),
        (1, stored, Some("A 9"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_registry_as_of_a_change_does_not_see_later_ones() {
    let ltc = Ltc::start().await;
    let registry = ltc.registrar().registry.clone();
    registry
        .put_batch(
            "test",
            &[put("A", 1), put("B", 1), put("C", 1), put("D", 1)],
        )
        .await
        .expect("stored");
    let end = Put {
        content: None,
        reason: Some("ended".into()),
        ..put("C", 2)
    };
    registry.put_batch("test", &[end]).await.expect("stored");
    let at = registry.head().await.expect("head");
    let page = async |after: Option<&str>| {
        let page = registry
            .as_of(
                at,
                &EntityKind::ALL,
                after.map(|id| (EntityKind::Institution, id)),
                2,
            )
            .await
            .expect("a page");
        page.into_iter()
            .map(|change| {
                format!(
                    "{} {} {}",
                    change.entity_id,
                    change.version,
                    change.change.word()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, ["A 1 put", "B 1 put"]);
    registry
        .put_batch("test", &[put("B", 2), put("BB", 1), put("D", 2)])
        .await
        .expect("stored");
    assert_eq!(page(Some("B")).await, ["C 2 delete", "D 1 put"]);
    assert_eq!(page(Some("D")).await, Vec::<String>::new());
}

/// Adds a row beside the changes, or refuses.
struct Beside {
    refuses: AtomicBool,
}

impl ChangeQueue for Beside {
    fn queue<'a>(
        &'a self,
        client: &'a ltcgw::store::Session,
        written: ChangeRange,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let sql = "INSERT INTO beside SELECT entity_id FROM registry_change WHERE sequence BETWEEN $1 AND $2";
            client
                .execute(sql, &[&written.first, &written.last])
                .await
                .expect("the rows");
            if self.refuses.load(Ordering::Relaxed) {
                Err(Fault::later(Stage::Store, "no"))
            } else {
                Ok(())
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_for_a_change_commits_with_it_or_not_at_all() {
    let ltc = Ltc::start().await;
    ltc.gateway
        .value("CREATE TABLE beside (entity_id text)")
        .await;
    let beside = Arc::new(Beside {
        refuses: AtomicBool::new(true),
    });
    let registry = ltc.registrar().registry.clone().queueing(beside.clone());
    let puts = [put("A", 1), put("B", 1)];
    assert!(registry.put_batch("test", &puts).await.is_err());
    assert_eq!(
        ltc.gateway
            .value("SELECT (SELECT count(*) FROM beside), (SELECT count(*) FROM registry_change)")
            .await,
        "0 0"
    );
    beside.refuses.store(false, Ordering::Relaxed);
    registry.put_batch("test", &puts).await.expect("stored");
    registry.put_batch("test", &puts).await.expect("unchanged");
    assert_eq!(
        ltc.gateway
            .value("SELECT string_agg(entity_id, ' ' ORDER BY entity_id) FROM beside")
            .await,
        "A B"
    );
    assert_eq!(
        registry.head().await.expect("head"),
        2,
        "a refused transaction leaves no gap"
    );
}

/// Waits until so many statements of the test's database wait for a lock.
async fn until_waiting(ltc: &Ltc, count: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ltc.gateway.value(waiting).await != count {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_comes_and_a_new_entry_never_wait_for_each_other_in_a_circle() {
    let ltc = Ltc::start().await;
    // Not due by the gateway's own calendar, which would take it first.
    let tomorrow = TODAY.tomorrow().expect("a day");
    let registry = ltc.registrar().registry.clone();
    registry
        .put_batch(
            "test",
            &[Put {
                next_on: Some(tomorrow),
                ..put("C", 1)
            }],
        )
        .await
        .expect("stored");
    let (mut holder, connection) = ltc
        .gateway
        .database
        .connect(NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let (other, connection) = ltc
        .gateway
        .database
        .connect(NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let held = holder.transaction().await.expect("a transaction");
    held.execute("SELECT FROM registry_head FOR UPDATE", &[])
        .await
        .expect("the head");
    // A writer that has looked for X, found nothing and waits for the head.
    let writer = tokio::spawn({
        let registry = registry.clone();
        async move { registry.put_batch("test", &[put("X", 2)]).await }
    });
    until_waiting(&ltc, "1").await;
    // X comes from elsewhere, and a date of it and of C with it; of X only the date moves on.
    let sql = "INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, designated, effective_on)
        VALUES (1000, 'institution', 'X', 1, 'put', '{}', false, '2026-01-01');
        INSERT INTO registry_entity (kind, entity_id, version, sequence, ended, digest, designated, next_on)
        SELECT 'institution', 'X', 1, 1000, false, digest, false, next_on FROM registry_entity WHERE entity_id = 'C'";
    other.batch_execute(sql).await.expect("X");
    let turning = tokio::spawn({
        let registry = registry.clone();
        async move {
            let turn = |due: &Due| DateTurn {
                standing: (due.current.entity_id == "C").then_some((Some("ended"), false)),
                next_on: None,
            };
            registry.turn_due(tomorrow, 10, turn).await
        }
    });
    until_waiting(&ltc, "2").await;
    held.rollback().await.expect("let go");
    assert_eq!(turning.await.expect("it runs").expect("no deadlock"), 2);
    assert!(matches!(
        writer.await.expect("it runs").expect("stored")[..],
        [PutOutcome::Stored { new: false, .. }]
    ));
    assert_eq!(
        ltc.gateway
            .value("SELECT entity_id, version, next_on IS NULL FROM registry_entity ORDER BY 1")
            .await,
        "C 1 t; X 2 t"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn caregivers_follow_an_institution_that_ends_or_changes_its_kind_right_behind_it() {
    let ltc = Ltc::start().await;
    for id in ["I1", "I2", "I3"] {
        ltc.take(&institution(id, 1)).await;
    }
    for (id, of) in [("C1", "I1"), ("C2", "I1"), ("C3", "I2"), ("C4", "I3")] {
        ltc.take(&with(caregiver(id, 1), &[("/institution_id", json!(of))]))
            .await;
    }
    ltc.take(&with(institution("I1", 2), &[("/name", json!("新名"))]))
        .await;
    assert_eq!(ltc.log().await.len(), 8, "a new name concerns no caregiver");
    assert_eq!(
        ltc.call(
            "DELETE",
            "/ltc/v1/institutions/I1?version=3&reason=ended&on=2026-06-15",
            ""
        )
        .await
        .0,
        200
    );
    // In one load with other lines, and with a caregiver who comes to an institution that ends in it.
    let lines = [
        json!({ "caregiver": with(caregiver("C5", 1), &[("/institution_id", json!("I2"))]) }),
        json!({ "delete_institution": { "id": "I2", "version": 2, "reason": "ended", "on": "2026-06-15" } }),
        json!({ "institution": institution("I4", 1) }),
    ]
    .map(|line| line.to_string());
    ltc.load(&lines).await;
    // And by a date that comes.
    let ends = json!([{ "status": "agreement_in_force", "from": "2026-01-01" }, { "status": "ended", "from": "2026-07-01" }]);
    ltc.take(&with(institution("I3", 2), &[("/statuses", ends)]))
        .await;
    ltc.registrar().clock.set_day(jiff::civil::date(2026, 7, 1));
    ltcgw::flow::publish::calendar::turn(&ltc.gateway.running.gateway)
        .await
        .expect("turned");
    assert_eq!(
        ltc.log().await[8..],
        [
            "9 institution I1 3 delete 2026-06-15 -",
            "10 caregiver C1 1 status 2026-06-15 active",
            "11 caregiver C2 1 status 2026-06-15 active",
            "12 caregiver C5 1 put 2026-06-15 active",
            "13 institution I2 2 delete 2026-06-15 -",
            "14 institution I4 1 put 2026-06-15 agreement_in_force",
            "15 caregiver C3 1 status 2026-06-15 active",
            "16 institution I3 2 put 2026-06-15 agreement_in_force",
            "17 institution I3 2 status 2026-07-01 ended",
            "18 caregiver C4 1 status 2026-07-01 active"
        ]
    );
    assert_eq!(ltc.gateway.value("SELECT count(*) FROM registry_entity WHERE kind = 'caregiver' AND institution_kind IS NOT NULL").await, "0");
    ltc.registrar().clock.set_day(TODAY);
    ltc.take(&institution("I1", 4)).await;
    assert_eq!(
        ltc.log().await.len(),
        21,
        "registered again, its caregivers are there again"
    );
    assert_eq!(
        ltc.gateway
            .value("SELECT max(sequence) = count(*) FROM registry_change")
            .await,
        "t",
        "without gaps"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn institutions_that_end_while_their_caregivers_change_leave_nobody_behind() {
    let ltc = Arc::new(Ltc::start().await);
    let ids: Vec<String> = (0..40).map(|number| format!("C{number}")).collect();
    ltc.take(&institution("I1", 1)).await;
    for id in &ids {
        ltc.take(&caregiver(id, 1)).await;
    }
    let writers: Vec<_> = (0..8_usize)
        .map(|writer| {
            let (ltc, ids) = (ltc.clone(), ids.clone());
            tokio::spawn(async move {
                for round in 0..10 {
                    let id = &ids[(writer * 5 + round) % ids.len()];
                    let (status, _) = ltc
                        .put(&with(
                            caregiver(id, 2 + i64::try_from(writer * 10 + round).expect("small")),
                            &[("/job", json!("nurse"))],
                        ))
                        .await;
                    assert!([200, 422].contains(&status), "{status}");
                }
            })
        })
        .collect();
    for version in 2..12 {
        let record = with(
            institution("I1", version),
            &[
                (
                    "/kind",
                    json!(if version % 2 == 0 {
                        "home_care"
                    } else {
                        "elderly_care"
                    }),
                ),
                ("/modes", json!(["home"])),
            ],
        );
        let (status, answer) = ltc.put(&record).await;
        assert!(status == 200, "{status} {answer}");
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    let behind = "SELECT count(*) FROM registry_entity e WHERE e.kind = 'caregiver'
        AND e.institution_kind IS DISTINCT FROM (SELECT i.institution_kind FROM registry_entity i WHERE i.entity_id = e.institution_id)";
    assert_eq!(ltc.gateway.value(behind).await, "0");
    assert_eq!(
        ltc.gateway
            .value("SELECT max(sequence) = count(*) FROM registry_change")
            .await,
        "t"
    );
}
