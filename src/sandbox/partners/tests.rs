//! The whole way out: dispatcher, adapters, signatures and mutual TLS, against simulated partners.

mod answers; // what real cores answer, and what stands before them

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{Behaviour, Most, PartnerTls, SimulatedPartner, SimulationOptions};
use crate::adapter::capability::sm2_sorted_fields::{PrivateKey, generate_pem};
use crate::adapter::{Catalog, Secrets};
use crate::config::{Deliver, DestinationLimits, OutboundEntry, Partner};
use crate::error::Fault;
use crate::flow::deliver::{DeliveryContents, Destination, Speaker, Wire};
use crate::flow::speak::{AdapterSpeaker, LinkWire};
use crate::model::{Answer, Fen, Request};
use crate::sandbox::pki::Authority;
use crate::store::delivery::Delivery;
use crate::store::delivery::testing::TestDatabase;
use crate::worker::Worker;

/// Ten lines a delivery, 52.80 yuan each for the medical fund and 0.90 for long-term care.
struct TenLines;

impl DeliveryContents for TenLines {
    fn body<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move { Ok(body(delivery.delivery_id)) })
    }
}

fn body(delivery_id: i64) -> Value {
    let line = |n: i64| {
        json!({
            "detail_no": format!("{delivery_id}-{n}"), "transfer_type": "new", "pooling_area": "450100",
            "district": if n % 2 == 0 { "450103" } else { "450107" }, "receipt_no": "R1", "levy_no": null, "employer_no": "E1",
            "contribution_month": "202110", "payment_kind": "normal", "headcount": 1, "employer_base_fen": 60_000, "employee_base_fen": null,
            "employer_rate_millionths": 69_500, "employer_paid_fen": 4_170, "employee_paid_fen": 1_200, "late_fee_fen": 0, "interest_fen": 0,
            "medical_fen": 5_280, "long_term_care_fen": 90, "treasury_on": "2021-10-20",
        })
    };
    json!({
        "delivery": { "id": delivery_id, "packet_no": "P1", "sender": "nanning-tax", "lines": 10, "fen": 0, "reversal": false, "reverses": null, "pooling_area": "450100" },
        "lines": (0..10).map(line).collect::<Vec<_>>(),
    })
}

/// A simulated partner, and everything it takes to call it.
struct World {
    partner: SimulatedPartner,
    entry: Partner,
    catalog: Catalog,
    dir: tempfile::TempDir,
}

impl World {
    fn core(options: SimulationOptions) -> World {
        World::new("medical-core", options)
    }

    fn ltc(options: SimulationOptions) -> World {
        World::new("ltc-system", options)
    }

    fn new(adapter: &str, mut options: SimulationOptions) -> World {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("Test CA").unwrap();
        authority.write_to(dir.path()).unwrap();
        let (certificate, key) = authority
            .client("gateway.example")
            .unwrap()
            .write_to(dir.path(), "client")
            .unwrap();
        let sm2 = generate_pem();
        std::fs::write(dir.path().join("sm2.pem"), &sm2).unwrap();
        options.sm2_public_hex = options
            .sm2_public_hex
            .or_else(|| Some(PrivateKey::parse(&sm2).unwrap().public_hex()));
        let server = authority.server(&["localhost"]).unwrap();
        let tls = PartnerTls {
            certificate_pem: server.certificate_pem,
            key_pem: server.key_pem,
            client_ca_pem: authority.certificate_pem(),
        };
        let partner = if adapter == "medical-core" {
            SimulatedPartner::core(&tls, options)
        } else {
            SimulatedPartner::ltc(&tls, options)
        }
        .unwrap();
        let outbound = OutboundEntry {
            url: partner.url().to_owned(),
            certificate,
            key,
            ca: dir.path().join("ca.pem"),
            receives: vec!["contributions".into()],
            areas: vec!["450100".into()],
            limits: DestinationLimits::per_second(200),
            deadline_seconds: 1,
        };
        let catalog =
            Catalog::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters")).unwrap();
        let entry = Partner {
            name: "core".into(),
            adapter: adapter.into(),
            inbound: None,
            outbound: Some(outbound),
            fields: None,
            settings: settings(),
            secrets: [("sm2_key".to_owned(), dir.path().join("sm2.pem"))].into(),
        };
        World {
            partner,
            entry,
            catalog,
            dir,
        }
    }

    fn speaker(&self) -> AdapterSpeaker {
        let secrets = Arc::new(Secrets::load(&self.entry.secrets).unwrap());
        AdapterSpeaker::new(
            self.catalog.get(&self.entry.adapter).unwrap().clone(),
            &self.entry,
            secrets,
            "contributions",
        )
        .unwrap()
    }

    fn wire(&self) -> LinkWire {
        LinkWire::new(self.entry.outbound.as_ref().unwrap()).unwrap()
    }

    fn destination(&self) -> Destination {
        let outbound = self.entry.outbound.as_ref().unwrap();
        Destination {
            name: self.entry.name.clone(),
            limits: outbound.limits.clone(),
            clock: Arc::new(crate::link::SystemClock),
            deadline: Duration::from_secs(outbound.deadline_seconds),
            wire: Arc::new(self.wire()),
            speakers: [(
                "contributions".to_owned(),
                Arc::new(self.speaker()) as Arc<dyn Speaker>,
            )]
            .into(),
            content: Arc::new(TenLines),
        }
    }

    fn work(&self, db: &TestDatabase) -> Worker {
        let policy = Deliver {
            lease_seconds: 2,
            retry_first_milliseconds: 50,
            poll_milliseconds: 20,
            ..Deliver::default()
        };
        Worker::start(&policy, &db.pool, vec![self.destination()])
    }

    /// Sends a request as it is.
    async fn send(&self, request: &Request) -> Answer {
        self.wire()
            .send(request, Duration::from_secs(5))
            .await
            .unwrap()
    }

    /// The request that delivers, in order.
    fn request(&self) -> Request {
        self.speaker()
            .render(&body(7), REFERENCE, jiff::Timestamp::now())
            .unwrap()
    }
}

const REFERENCE: &str = "H45010000001202111010800000001";

fn settings() -> BTreeMap<String, String> {
    let pairs = [
        ("institution_code", "H45010000001"),
        ("institution_name", "南宁市长期护理保险网关"),
        ("mdtrtarea_admvs", "450100"),
        ("recer_sys_code", "LTCGW"),
        ("infver", "V1.0"),
        ("opter_type", "1"),
        ("opter", "ltcgw"),
        ("opter_name", "ltcgw"),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

async fn until_delivered(db: &TestDatabase, count: i64) {
    let deadline = Instant::now() + Duration::from_secs(25);
    while db
        .value::<i64>("SELECT count(*) FROM delivery WHERE state = 'delivered'")
        .await
        < count
    {
        let answers = db
            .value::<Option<String>>(
                "SELECT string_agg(state || ': ' || coalesce(answer, ''), '; ') FROM delivery",
            )
            .await;
        assert!(Instant::now() < deadline, "never delivered: {answers:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_both_partners_hold_is_what_was_sent_fen_by_fen() {
    for (world, fen) in [
        (World::core(SimulationOptions::default()), 5_280),
        (World::ltc(SimulationOptions::default()), 90),
    ] {
        let db = TestDatabase::new().await;
        db.queue("core", 30).await;
        let worker = world.work(&db);
        until_delivered(&db, 30).await;
        let totals = world.partner.totals();
        assert_eq!(
            (totals.batches, totals.lines, totals.fen),
            (30, 300, Fen(300 * fen))
        );
        assert_eq!(totals.districts["450103"].fen, Fen(150 * fen));
        let tally = world.partner.tally();
        assert_eq!((tally.deliveries, tally.refused, tally.repeats), (30, 0, 0));
        assert!(worker.drain(Duration::from_secs(5)).await);
        world.partner.stop().await;
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_about_and_the_money_counted_once() {
    for lost in [Behaviour::AcceptThenClose, Behaviour::AcceptThenHang] {
        let (db, world) = (
            TestDatabase::new().await,
            World::core(SimulationOptions::default()),
        );
        world.partner.will([lost]);
        db.queue("core", 3).await;
        let _worker = world.work(&db);
        until_delivered(&db, 3).await;
        let tally = world.partner.tally();
        assert_eq!(
            (
                tally.deliveries,
                tally.inquiries,
                world.partner.totals().lines
            ),
            (3, 1, 30)
        );
    }
}

#[tokio::test]
async fn without_an_inquiry_the_ltc_system_recognises_the_repeat() {
    let (db, world) = (
        TestDatabase::new().await,
        World::ltc(SimulationOptions::default()),
    );
    world.partner.will([Behaviour::AcceptThenClose]);
    db.queue("core", 1).await;
    let _worker = world.work(&db);
    until_delivered(&db, 1).await;
    let tally = world.partner.tally();
    assert_eq!(
        (
            tally.deliveries,
            tally.repeats,
            world.partner.totals().lines
        ),
        (2, 1, 10)
    );
}

#[tokio::test]
async fn what_was_read_but_not_taken_is_sent_again_after_asking() {
    for silent in [Behaviour::HangAfterReading, Behaviour::Garbage] {
        let (db, world) = (
            TestDatabase::new().await,
            World::core(SimulationOptions::default()),
        );
        world.partner.will([silent]);
        db.queue("core", 1).await;
        let _worker = world.work(&db);
        until_delivered(&db, 1).await;
        let tally = world.partner.tally();
        assert_eq!(
            (
                tally.deliveries,
                tally.inquiries,
                world.partner.totals().lines
            ),
            (2, 1, 10)
        );
        assert_eq!(
            db.value::<i64>("SELECT count(DISTINCT reference) FROM attempt WHERE kind = 'send'")
                .await,
            1,
            "under the same reference"
        );
    }
}

#[tokio::test]
async fn busy_partners_are_waited_for_and_refusals_are_dead_letters_with_their_text() {
    let (db, world) = (
        TestDatabase::new().await,
        World::ltc(SimulationOptions::default()),
    );
    world.partner.will([
        Behaviour::TooMany(1),
        Behaviour::Unavailable(None),
        Behaviour::Refuse("unknown_district".into()),
    ]);
    db.queue("core", 3).await;
    let _worker = world.work(&db);
    until_delivered(&db, 2).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while db
        .value::<i64>("SELECT count(*) FROM delivery WHERE state = 'dead'")
        .await
        < 1
    {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        db.value::<String>("SELECT answer FROM delivery WHERE state = 'dead'")
            .await,
        "unknown_district refused by the script"
    );
    assert_eq!(world.partner.totals().batches, 2);
}

#[tokio::test]
async fn the_partners_own_limit_is_never_exceeded() {
    let (db, mut world) = (
        TestDatabase::new().await,
        World::ltc(SimulationOptions {
            most: Most {
                requests_per_second: Some(25),
                ..Most::default()
            },
            ..SimulationOptions::default()
        }),
    );
    world
        .entry
        .outbound
        .as_mut()
        .unwrap()
        .limits
        .requests_per_second = 25;
    db.queue("core", 60).await;
    let _worker = world.work(&db);
    until_delivered(&db, 60).await;
    let tally = world.partner.tally();
    assert_eq!((tally.over_limit, tally.deliveries), (0, 60));
    assert!(tally.most_in_a_second <= 25);
}

#[tokio::test]
async fn a_simulated_partner_enforces_its_limit_and_its_certificates() {
    let world = World::ltc(SimulationOptions {
        most: Most {
            requests_per_second: Some(1),
            ..Most::default()
        },
        ..SimulationOptions::default()
    });
    let request = Request {
        headers: vec![("Idempotency-Key".into(), "k".into())],
        ..world.request()
    };
    assert_eq!(world.send(&request).await.status, 201);
    let second = world.send(&request).await;
    assert_eq!(
        (
            second.status,
            second
                .headers
                .iter()
                .any(|header| *header == ("retry-after".into(), "1".into()))
        ),
        (429, true)
    );
    assert_eq!(world.partner.tally().over_limit, 1);

    let stranger = Authority::new("Other CA")
        .unwrap()
        .client("gateway.example")
        .unwrap();
    let (certificate, key) = stranger.write_to(world.dir.path(), "stranger").unwrap();
    let outbound = OutboundEntry {
        certificate,
        key,
        ..world.entry.outbound.clone().unwrap()
    };
    let wire = LinkWire::new(&outbound).unwrap();
    assert!(
        wire.send(&request, Duration::from_secs(5)).await.is_err(),
        "a certificate of another authority is refused"
    );
}

/// The answer's infcode to a body changed by `change`.
async fn infcode(world: &World, change: impl FnOnce(&mut Value)) -> (i64, String) {
    let mut request = world.request();
    let mut envelope: Value = serde_json::from_slice(&request.body).unwrap();
    change(&mut envelope);
    request.body = envelope.to_string().into_bytes();
    let answer: Value = serde_json::from_slice(&world.send(&request).await.body).unwrap();
    (
        answer["infcode"].as_i64().unwrap(),
        answer["err_msg"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn the_core_refuses_envelopes_that_are_not_to_the_letter() {
    let world = World::core(SimulationOptions::default());
    type Change = fn(&mut Value);
    let cases: [(&str, Change, i64); 8] = [
        (
            "sign_no: is missing",
            |envelope| drop(envelope.as_object_mut().unwrap().remove("sign_no")),
            -2,
        ),
        (
            "extra: is not a field",
            |envelope| envelope["extra"] = json!(""),
            -2,
        ),
        (
            "infno: has 3 characters",
            |envelope| envelope["infno"] = json!("L10"),
            -2,
        ),
        (
            "msgid: expected fixmedins_code",
            |envelope| envelope["msgid"] = json!("X".repeat(30)),
            -2,
        ),
        (
            "inf_time: expected",
            |envelope| envelope["inf_time"] = json!("2021-11-01T08:00:00"),
            -2,
        ),
        (
            "input: expected an object",
            |envelope| envelope["input"] = json!([]),
            -2,
        ),
        (
            "cainfo does not match",
            |envelope| envelope["opter"] = json!("somebody"),
            -4,
        ),
        (
            "line_count is 9",
            |envelope| envelope["input"]["line_count"] = json!(9),
            -1,
        ),
    ];
    for (text, change, code) in cases {
        let (infcode, err_msg) = infcode(&world, change).await;
        assert!(
            infcode == code && err_msg.contains(text),
            "expected {code} {text}, got {infcode} {err_msg}"
        );
    }
    let wrong_sum = infcode(&world, |envelope| {
        envelope["input"]["medical_sumamt"] = json!(0.01)
    })
    .await;
    assert!(
        wrong_sum.1.contains("not the lines' sum 528.00"),
        "{wrong_sum:?}"
    );
    assert_eq!(
        (
            world.partner.totals().batches,
            world.partner.tally().refused
        ),
        (0, 9)
    );
}

#[tokio::test]
async fn a_reference_is_good_for_one_content() {
    let world = World::core(SimulationOptions::default());
    assert_eq!(infcode(&world, |_| {}).await.0, 0);
    assert_eq!(
        infcode(&world, |_| {}).await.0,
        -11,
        "the same again is recognised"
    );
    let other = infcode(&world, |envelope| {
        envelope["input"]["batch_no"] = json!("LTC8");
        envelope["input"]["packet_no"] = json!("P2");
    });
    assert_eq!(other.await.0, -12);
    assert_eq!(
        (
            world.partner.totals().batches,
            world.partner.tally().repeats
        ),
        (1, 1)
    );
}
