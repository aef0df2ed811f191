//! The whole way out against answers as real cores, and gateways before them, give them.

use std::time::{Duration, Instant};

use encoding_rs::GBK;

use super::super::{Behaviour, CannedAnswer, CoreManner, Output, Reference, SimulationOptions};
use super::{World, until_delivered};
use crate::store::delivery::testing::TestDatabase;

/// The gateway before the core: its clock check, its signature check, and a 200 that is none of the core's.
const CLOCK: &str = r#"{"code":400001,"msg":"鉴权失败：时间戳超出允许范围"}"#;
const SIGNATURE: &str = r#"{"code":"401","message":"签名不正确","data":null}"#;
const WITHOUT_INFCODE: &str = r#"{"code":-1,"type":"error","message":"服务暂不可用","data":null}"#;

fn core(manner: CoreManner) -> World {
    World::core(SimulationOptions {
        manner,
        ..SimulationOptions::default()
    })
}

async fn until_turned_away(world: &World, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while world.partner.tally().turned_away < count {
        assert!(Instant::now() < deadline, "{:?}", world.partner.tally());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_dead(db: &TestDatabase) -> String {
    let deadline = Instant::now() + Duration::from_secs(25);
    while db
        .value::<i64>("SELECT count(*) FROM delivery WHERE state = 'dead'")
        .await
        == 0
    {
        assert!(Instant::now() < deadline, "{:?}", db.states().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    db.value("SELECT answer FROM delivery WHERE state = 'dead'")
        .await
}

#[tokio::test]
async fn a_core_is_believed_whatever_number_its_answers_carry() {
    for reference in [Reference::Own, Reference::Empty, Reference::Echo] {
        let (db, world) = (
            TestDatabase::new().await,
            core(CoreManner {
                reference,
                ..CoreManner::default()
            }),
        );
        world
            .partner
            .will([Behaviour::Accept, Behaviour::Refuse("-1".into())]);
        db.queue("core", 3).await;
        let _worker = world.work(&db);
        until_delivered(&db, 2).await;
        assert_eq!(until_dead(&db).await, "-1 refused by the script");
        let tally = world.partner.tally();
        assert_eq!(
            (
                tally.deliveries,
                tally.inquiries,
                world.partner.totals().batches
            ),
            (3, 0, 2),
            "{reference:?}: nothing was in doubt"
        );
    }
}

#[tokio::test]
async fn an_inquiry_is_answered_with_a_number_of_the_cores_own_as_well() {
    let (db, world) = (TestDatabase::new().await, core(CoreManner::default()));
    world.partner.will([Behaviour::AcceptThenHang]);
    db.queue("core", 1).await;
    let _worker = world.work(&db);
    until_delivered(&db, 1).await;
    assert_eq!(
        (
            world.partner.tally().deliveries,
            world.partner.tally().inquiries
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn answers_in_gbk_are_read_and_a_refusal_says_why_in_chinese() {
    let (db, world) = (
        TestDatabase::new().await,
        core(CoreManner {
            gbk: true,
            ..CoreManner::default()
        }),
    );
    db.queue("core", 2).await;
    let worker = world.work(&db);
    until_delivered(&db, 2).await;
    let refusal = r#"{"infcode":"-1","inf_refmsgid":"","err_msg":"参保单位未登记","output":null}"#;
    let body = GBK.encode(refusal).0.into_owned();
    world.partner.stands_before(Some(CannedAnswer {
        status: 200,
        content_type: "application/json;charset=GBK".into(),
        body,
    }));
    db.queue("core", 1).await;
    worker.waker().wake(["core"]);
    assert_eq!(until_dead(&db).await, "-1 参保单位未登记");
    assert_eq!(world.partner.tally().inquiries, 0);
}

#[tokio::test]
async fn a_gateway_that_lets_nothing_through_costs_nothing_and_everything_goes_once_it_does() {
    for (status, body, words) in [
        (500, CLOCK, "400001 鉴权失败：时间戳超出允许范围"),
        (401, SIGNATURE, "401 签名不正确"),
    ] {
        let (db, world) = (TestDatabase::new().await, core(CoreManner::default()));
        world
            .partner
            .stands_before(Some(CannedAnswer::json(status, body)));
        db.queue("core", 5).await;
        let _worker = world.work(&db);
        until_turned_away(&world, 6).await;
        assert_eq!(
            db.value::<i64>("SELECT count(*) FROM delivery WHERE state IN ('ready', 'leased')")
                .await,
            5
        );
        assert_eq!(
            db.value::<String>("SELECT pause_reason || ': ' || pause_answer FROM dispatcher_lease")
                .await,
            format!("not_reached: {words}")
        );
        world.partner.stands_before(None);
        until_delivered(&db, 5).await;
        let tally = world.partner.tally();
        assert_eq!(
            (
                tally.deliveries,
                tally.inquiries,
                tally.repeats,
                world.partner.totals().batches
            ),
            (5, 0, 0, 5)
        );
        assert_eq!(
            db.value::<i64>("SELECT count(*) FROM delivery WHERE attempts = 1")
                .await,
            5,
            "each was tried once as far as it counts"
        );
    }
}

#[tokio::test]
async fn answers_that_are_not_the_cores_leave_doubt_until_it_answers_itself() {
    for said in [
        CannedAnswer::json(200, WITHOUT_INFCODE),
        CannedAnswer::json(502, ""),
        CannedAnswer::json(500, r#"{"code":500}"#),
    ] {
        let (db, world) = (TestDatabase::new().await, core(CoreManner::default()));
        world.partner.stands_before(Some(said));
        db.queue("core", 3).await;
        let _worker = world.work(&db);
        until_turned_away(&world, 6).await;
        assert_eq!(
            db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'dead'")
                .await,
            0
        );
        assert_eq!(
            db.value::<String>("SELECT pause_reason FROM dispatcher_lease")
                .await,
            "unclear"
        );
        world.partner.stands_before(None);
        until_delivered(&db, 3).await;
        assert_eq!(
            (
                world.partner.tally().repeats,
                world.partner.totals().batches
            ),
            (0, 3)
        );
    }
}

#[tokio::test]
async fn what_a_front_end_says_after_the_core_took_it_is_asked_about_not_sent_again() {
    for said in [
        CannedAnswer::json(502, "<html>"),
        CannedAnswer::json(200, WITHOUT_INFCODE),
    ] {
        let (db, world) = (TestDatabase::new().await, core(CoreManner::default()));
        world.partner.will([Behaviour::AcceptThenSay(said)]);
        db.queue("core", 1).await;
        let _worker = world.work(&db);
        until_delivered(&db, 1).await;
        assert_eq!(
            (
                world.partner.tally().deliveries,
                world.partner.tally().inquiries
            ),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn an_output_that_cannot_be_looked_into_is_named_as_what_it_is() {
    for (output, words) in [
        (Output::Null, "/output is null"),
        (Output::EmptyText, "/output is an empty text"),
        (
            Output::JsonText,
            "/output is a text that holds JSON, not JSON itself",
        ),
        (
            Output::Ciphertext,
            "/output is a text of 24 characters that is no JSON, perhaps encrypted",
        ),
    ] {
        let (db, world) = (
            TestDatabase::new().await,
            core(CoreManner {
                output,
                ..CoreManner::default()
            }),
        );
        world
            .partner
            .will([Behaviour::Accept, Behaviour::AcceptThenClose]);
        db.queue("core", 2).await;
        let _worker = world.work(&db);
        // Taken is taken, whatever the output is; only an inquiry needs it.
        until_delivered(&db, 1).await;
        let deadline = Instant::now() + Duration::from_secs(25);
        while !db.value::<bool>("SELECT EXISTS (SELECT 1 FROM attempt WHERE kind = 'inquire' AND ended_at IS NOT NULL)").await {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let answer = db.value::<String>("SELECT answer FROM attempt WHERE kind = 'inquire' AND ended_at IS NOT NULL LIMIT 1").await;
        assert!(answer.contains(words), "{answer}");
        assert_eq!(
            db.value::<i64>("SELECT count(*) FROM delivery WHERE state = 'in_doubt'")
                .await,
            1
        );
    }
}
