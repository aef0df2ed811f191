//! Dates that come by themselves.

use jiff::civil::{Date, date};
use ltcgw::flow::clock::CityClock;
use ltcgw::flow::publish::{StoredRecord, open};
use ltcgw::model::registry::EntityKind;
use ltcgw::store::DatabaseAccess;
use serde_json::json;

use super::{Ltc, TODAY, caregiver, institution, with};

/// Sets the clock and waits until the log has so many changes.
async fn on(ltc: &Ltc, day: Date, changes: usize) -> Vec<String> {
    ltc.registrar().clock.set_day(day);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let log = ltc.log().await;
        if log.len() >= changes
            && ltc
                .gateway
                .value(&format!(
                    "SELECT count(*) FROM registry_entity WHERE next_on <= '{day}'"
                ))
                .await
                == "0"
        {
            return log;
        }
        assert!(tokio::time::Instant::now() < deadline, "{log:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn suspended() -> serde_json::Value {
    json!([{ "status": "agreement_in_force", "from": "2026-01-01" }, { "status": "suspended_new_clients", "from": "2026-07-01", "to": "2026-09-30" }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_is_published_on_the_day_it_begins_and_on_the_day_after_its_last() {
    let ltc = Ltc::start().await;
    ltc.take(&with(institution("I1", 1), &[("/statuses", suspended())]))
        .await;
    assert_eq!(on(&ltc, date(2026, 6, 30), 1).await.len(), 1);
    let log = on(&ltc, date(2026, 7, 1), 2).await;
    assert_eq!(
        log[1..],
        ["2 institution I1 1 status 2026-07-01 suspended_new_clients"]
    );
    let log = on(&ltc, date(2026, 10, 1), 3).await;
    assert_eq!(
        log[2..],
        ["3 institution I1 1 status 2026-10-01 agreement_in_force"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_were_missed_are_caught_up_each_with_its_own_date() {
    let ltc = Ltc::start().await;
    ltc.take(&with(
        institution("I1", 1),
        &[
            ("/statuses", suspended()),
            ("/personal/phone", json!("0771-5550001")),
        ],
    ))
    .await;
    let settlement = json!([{ "status": "active", "from": "2026-01-01" }, { "status": "settlement_suspended", "from": "2026-08-01", "to": "2026-10-31" }]);
    ltc.take(&with(caregiver("C1", 1), &[("/statuses", settlement)]))
        .await;
    let log = on(&ltc, date(2027, 2, 1), 7).await;
    let mut turned = log[2..]
        .iter()
        .map(|line| line.split_once(' ').expect("a number").1.to_string())
        .collect::<Vec<_>>();
    turned.sort();
    let expected = [
        "caregiver C1 1 status 2026-08-01 settlement_suspended",
        "caregiver C1 1 status 2026-11-01 active",
        "institution I1 1 status 2026-07-01 suspended_new_clients",
        "institution I1 1 status 2026-10-01 agreement_in_force",
        "institution I1 1 status 2027-01-01 agreement_in_force",
    ];
    assert_eq!(turned, expected);
    let designated = "SELECT string_agg(designated::text, ' ' ORDER BY sequence) FROM registry_change WHERE entity_id = 'I1'";
    assert_eq!(
        ltc.gateway.value(designated).await,
        "true true true false",
        "the agreement ended with the year"
    );
    let current = ltc
        .registrar()
        .registry
        .entity(EntityKind::Institution, "I1")
        .await
        .expect("a read")
        .expect("the entry");
    let Some(StoredRecord::Institution(opened)) =
        open(&ltc.registrar().keys, &current).expect("it opens")
    else {
        panic!("an institution")
    };
    assert_eq!(
        opened.personal.expect("the personal part").phone.as_deref(),
        Some("0771-5550001"),
        "a status change keeps the sealed part"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_publish_a_date_once() {
    let ltc = Ltc::start().await;
    let clock = CityClock::default();
    clock.set_day(TODAY);
    let second = ltc
        .gateway
        .stage
        .start_at(DatabaseAccess::local(ltc.gateway.database.clone()), clock)
        .await
        .expect("a second instance");
    for number in 0..20 {
        ltc.take(&with(
            institution(&format!("I{number}"), 1),
            &[("/statuses", suspended())],
        ))
        .await;
    }
    second.gateway.registrar.clock.set_day(date(2026, 7, 1));
    let turning = ltcgw::flow::publish::calendar::turn(&second.gateway);
    let (log, turned) = tokio::join!(on(&ltc, date(2026, 7, 1), 40), turning);
    turned.expect("turned");
    assert_eq!(log.len(), 40);
    assert_eq!(ltc.gateway.value("SELECT count(*), count(DISTINCT entity_id) FROM registry_change WHERE change = 'status'").await, "20 20");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_entry_has_no_dates_left_and_a_new_version_brings_its_own() {
    let ltc = Ltc::start().await;
    ltc.take(&with(institution("I1", 1), &[("/statuses", suspended())]))
        .await;
    ltc.take(&with(institution("I2", 1), &[("/statuses", suspended())]))
        .await;
    let (status, _) = ltc
        .call(
            "DELETE",
            "/ltc/v1/institutions/I1?version=2&reason=ended&on=2026-06-15",
            "",
        )
        .await;
    assert_eq!(status, 200);
    ltc.take(&institution("I2", 2)).await;
    let log = on(&ltc, date(2026, 12, 31), 4).await;
    assert_eq!(log.len(), 4, "{log:?}");
}
