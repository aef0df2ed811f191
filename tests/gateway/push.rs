//! From the registries to civil affairs and the health commission: what each is told, in which order, within which limits.

use std::time::Duration;

use jiff::civil::date;
use ltcgw::adapter::Catalog;
use ltcgw::config::Config;
use ltcgw::flow::backfill::{BackfillTarget, Filling};
use ltcgw::sandbox::partners::Behaviour::Unavailable;
use ltcgw::sandbox::partners::{
    Most, PartnerTls, ReceivedEntry, SimulatedPartner, SimulationOptions,
};
use ltcgw::sandbox::stage::Scene;
use ltcgw::store::DatabaseAccess;
use ltcgw::store::delivery::BackfillScope;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Gateway;

/// A gateway with both platforms.
struct World {
    gateway: Gateway,
    civil: SimulatedPartner,
    health: SimulatedPartner,
    scene: Scene,
}

/// The limits of civil affairs in partners.toml.
const SHIPPED: &str = "requests_per_second = 5\nburst = 10                                      # after a pause; without it requests leave evenly\nrequests_per_day = 20000                        # of a calendar day, Asia/Shanghai\n";

impl World {
    async fn start() -> World {
        World::with(Most::default(), |scene| {
            scene.edit(SHIPPED, "requests_per_second = 200\n")
        })
        .await
    }

    async fn with(most: Most, change: impl FnOnce(Scene) -> Scene) -> World {
        let mut kept = None;
        let gateway = Gateway::with(|scene| {
            let server = scene
                .authority
                .server(&["localhost"])
                .expect("a certificate");
            let tls = PartnerTls {
                certificate_pem: server.certificate_pem,
                key_pem: server.key_pem,
                client_ca_pem: scene.authority.certificate_pem(),
            };
            let civil = SimulatedPartner::civil(
                &tls,
                SimulationOptions {
                    most,
                    ..SimulationOptions::default()
                },
            )
            .expect("civil affairs");
            let health = SimulatedPartner::health(&tls, SimulationOptions::default())
                .expect("a health commission");
            let scene = Scene {
                civil_affairs: civil.url().to_string(),
                health_commission: health.url().to_string(),
                ..scene
            };
            let scene = change(scene)
                .edit("deadline_seconds = 20", "deadline_seconds = 1")
                .edit(
                    "# retry_first_milliseconds = 1000",
                    "retry_first_milliseconds = 50",
                )
                .edit("# lease_seconds = 3", "lease_seconds = 1")
                .edit("# poll_milliseconds = 1000", "poll_milliseconds = 50");
            kept = Some((civil, health, scene.clone()));
            scene
        })
        .await;
        let (civil, health, scene) = kept.expect("the change was made");
        gateway
            .running
            .gateway
            .registrar
            .clock
            .set_day(date(2026, 6, 15));
        World {
            gateway,
            civil,
            health,
            scene,
        }
    }

    async fn call(&self, method: &str, path: &str, body: &Value) {
        let client = self.gateway.stage.client("ltc-system").expect("a client");
        let answer = client
            .request(method.parse().expect("a method"), self.gateway.url(path))
            .body(body.to_string())
            .send()
            .await
            .expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        assert!(status.is_success(), "{method} {path}: {status} {text}");
    }

    async fn put(&self, entry: &Value) {
        let path = match entry.get("caregiver_id") {
            Some(id) => format!("/ltc/v1/caregivers/{}", id.as_str().expect("an id")),
            None => format!(
                "/ltc/v1/institutions/{}",
                entry["institution_id"].as_str().expect("an id")
            ),
        };
        self.call("PUT", &path, entry).await;
    }

    async fn until(&self, sql: &str, expected: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            let value = self.gateway.value(sql).await;
            if value == expected {
                return;
            }
            if tokio::time::Instant::now() >= deadline {
                let open = "SELECT destination, subject_id, part, state, attempt_no, outcome, answer FROM delivery
                    WHERE state NOT IN ('delivered', 'superseded') ORDER BY state LIMIT 9";
                let leases = self
                    .gateway
                    .value("SELECT *, now() FROM dispatcher_lease")
                    .await;
                panic!(
                    "{sql}: still {value}, expected {expected}; open: {}; leases: {leases}",
                    self.gateway.value(open).await
                );
            }
        }
    }

    async fn settled(&self) {
        self.until(
            "SELECT count(*) FROM delivery WHERE state NOT IN ('delivered', 'superseded', 'dead')",
            "0",
        )
        .await;
    }
}

fn institution(id: &str, version: i64, kind: &str) -> Value {
    json!({
        "institution_id": id, "version": version, "uscc": "91350100M000100Y43", "name": format!("康宁 {id}"), "division": "450103", "kind": kind,
        "address": "民族大道1号", "modes": [if kind == "home_care" { "home" } else { "residential" }], "beds": 100, "care_beds": 40,
        "licence": { "number": "PDY-88", "expires_on": "2028-01-01" },
        "agreement": { "number": "A1", "signed_on": "2025-12-20", "valid_from": "2026-01-01", "valid_to": "2026-12-31" },
        "statuses": [{ "status": "agreement_in_force", "from": "2026-01-01" }],
        "medical_insurance_designated": true, "registered_on": "2025-12-20",
        "personal": { "legal_representative": "赵法定", "contact": "钱联系", "phone": "13700137000" }
    })
}

fn caregiver(id: &str, version: i64, institution: &str, job: &str) -> Value {
    json!({
        "caregiver_id": id, "version": version, "sex": "female", "kind": "social", "institution_id": institution, "job": job,
        "qualifications": [{ "kind": "nurse", "obtained_on": "2015-07-01" }],
        "health_statement_on": "2026-01-10", "contract": { "from": "2026-01-01" }, "training": [{ "year": 2026, "hours": 20 }],
        "statuses": [{ "status": "active", "from": "2026-01-01" }], "registered_on": "2026-01-01",
        "personal": { "name": "张秀英", "certificate_type": "passport", "certificate_number": format!("E{id}77"), "birth_on": "1980-06-17",
            "phone": "13800138000", "qualification_numbers": { "nurse": "201545001234" } }
    })
}

/// Kind, id and content of everything a platform holds.
fn held(platform: &SimulatedPartner) -> Vec<(String, Option<Value>)> {
    let entry = |((kind, id), held): (&(&'static str, String), &ReceivedEntry)| {
        (
            format!("{kind} {id}"),
            held.fields.clone().map(Value::Object),
        )
    };
    platform.register().iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_whom_it_concerns_field_by_field_and_nobody_else() {
    let world = World::start().await;
    world.put(&institution("M1", 1, "medical")).await;
    world.put(&institution("E1", 1, "elderly_care")).await;
    world.put(&caregiver("N1", 1, "M1", "nurse")).await;
    world.put(&caregiver("C1", 1, "E1", "caregiver")).await;
    world.settled().await;
    let at_civil = json!({
        "Uscc": "91350100M000100Y43", "Name": "康宁 E1", "Division": "450103", "Address": "民族大道1号", "Kind": "01", "Mode": ["1"], "Beds": "100",
        "CareBeds": "40", "Designated": "1", "Agreement": { "number": "A1", "signed": "2025-12-20", "from": "2026-01-01", "to": "2026-12-31" },
        "Status": "10", "EffectiveOn": "2026-06-15",
    });
    let carer = json!({
        "Name": "张秀英", "InstitutionId": "E1", "Job": "1", "Kind": "1", "Qualification": [["N", { "obtained": "2015-07-01" }]],
        "Contract": { "from": "2026-01-01" }, "Status": "1", "EffectiveOn": "2026-06-15",
    });
    assert_eq!(
        held(&world.civil),
        [
            ("caregiver C1".to_owned(), Some(carer)),
            ("institution E1".to_owned(), Some(at_civil.clone()))
        ]
    );
    let at_health = json!({
        "credit_code": "91350100M000100Y43", "name": "康宁 M1", "region": "450103", "grade": null, "licence_no": "PDY-88", "licence_expires_on": "2028-01-01",
        "modes": ["residential"], "beds": 100, "ltc_designated": true, "ltc_status": "agreement_in_force", "effective_on": "2026-06-15",
    });
    let nurse = json!({
        "name": "张秀英", "institution_id": "M1", "certificates": [{ "number": "201545001234", "obtained_on": "2015-07-01" }],
        "ltc_status": "active", "effective_on": "2026-06-15",
    });
    assert_eq!(
        held(&world.health),
        [
            ("caregiver N1".to_owned(), Some(nurse)),
            ("institution M1".to_owned(), Some(at_health))
        ]
    );

    let mut moved = institution("E1", 2, "elderly_care");
    moved["address"] = json!("东葛路2号");
    world.put(&moved).await;
    world
        .call(
            "DELETE",
            "/ltc/v1/caregivers/C1",
            &json!({ "version": 2, "reason": "离职", "on": "2026-06-15" }),
        )
        .await;
    world.settled().await;
    let mut expected = at_civil;
    expected["Address"] = json!("东葛路2号");
    assert_eq!(
        held(&world.civil),
        [
            ("caregiver C1".to_owned(), None),
            ("institution E1".to_owned(), Some(expected))
        ]
    );
    // An institution that changes its kind leaves one platform and comes to the other.
    world.put(&institution("E1", 3, "medical")).await;
    world.settled().await;
    assert_eq!(held(&world.civil)[1], ("institution E1".to_owned(), None));
    assert!(
        held(&world.health)
            .iter()
            .any(|(name, fields)| name == "institution E1" && fields.is_some())
    );
    assert_eq!(
        (world.civil.tally().refused, world.health.tally().refused),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_that_ends_or_changes_its_kind_takes_its_caregivers_with_it() {
    let world = World::start().await;
    for id in ["deleted", "ended", "other"] {
        world.put(&institution(id, 1, "elderly_care")).await;
        world
            .put(&caregiver(&format!("C-{id}"), 1, id, "caregiver"))
            .await;
    }
    world.put(&institution("comes", 1, "medical")).await;
    world.put(&caregiver("C-comes", 1, "comes", "nurse")).await;
    world.settled().await;
    assert_eq!(
        held(&world.civil)
            .iter()
            .filter(|(_, fields)| fields.is_some())
            .count(),
        6
    );
    world
        .call(
            "DELETE",
            "/ltc/v1/institutions/deleted",
            &json!({ "version": 2, "reason": "停业", "on": "2026-06-15" }),
        )
        .await;
    let mut ended = institution("ended", 2, "elderly_care");
    ended["statuses"] = json!([{ "status": "agreement_in_force", "from": "2026-01-01" }, { "status": "ended", "from": "2026-06-15" }]);
    world.put(&ended).await;
    world.put(&institution("other", 2, "medical")).await;
    world.put(&institution("comes", 2, "elderly_care")).await;
    world.settled().await;
    let left = |name: &str| {
        held(&world.civil)
            .into_iter()
            .find(|(held, _)| held == name)
            .and_then(|(_, fields)| fields)
    };
    for id in ["deleted", "ended", "other"] {
        assert_eq!(left(&format!("caregiver C-{id}")), None, "{id}");
    }
    assert_eq!(
        left("institution ended").expect("its last status")["Status"],
        "90"
    );
    assert_eq!(
        left("caregiver C-comes").expect("a caregiver")["InstitutionId"],
        "comes"
    );
    assert!(
        held(&world.health)
            .iter()
            .any(|(name, fields)| name == "caregiver C-comes" && fields.is_some()),
        "nurses wherever they work"
    );
    // He or she can be recorded as having left, and stays away.
    let mut gone = caregiver("C-deleted", 2, "deleted", "caregiver");
    gone["statuses"] = json!([{ "status": "active", "from": "2026-01-01" }, { "status": "left", "from": "2026-06-15" }]);
    world.put(&gone).await;
    world.settled().await;
    assert_eq!(left("caregiver C-deleted"), None);
    assert_eq!(
        (world.civil.tally().refused, world.health.tally().refused),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_platform_does_not_need_never_leaves_and_is_in_no_table_of_deliveries() {
    let world = World::start().await;
    world.put(&institution("E1", 1, "elderly_care")).await;
    world.put(&institution("M1", 1, "medical")).await;
    for (id, institution) in [("C1", "E1"), ("C2", "M1")] {
        world.put(&caregiver(id, 1, institution, "nurse")).await;
    }
    world.civil.refuses(["C1"]);
    world.put(&caregiver("C1", 2, "E1", "nurse")).await;
    world.settled().await;
    let tables = world
        .gateway
        .value("SELECT string_agg(d::text, ' ') FROM delivery d")
        .await
        + &world
            .gateway
            .value("SELECT string_agg(a::text, ' ') FROM attempt a")
            .await;
    for private in [
        "EC177",
        "EC277",
        "1980-06-17",
        "13800138000",
        "13700137000",
        "赵法定",
        "钱联系",
    ] {
        for (place, text) in [
            ("civil", format!("{:?}", held(&world.civil))),
            ("health", format!("{:?}", held(&world.health))),
            ("tables", tables.clone()),
        ] {
            assert!(!text.contains(private), "{private} at {place}");
        }
    }
    assert!(
        !tables.contains("张秀英") && !format!("{:?}", held(&world.civil)).contains("201545001234")
    );
    assert!(
        format!("{:?}", held(&world.health)).contains("201545001234"),
        "the practice certificate is what the health commission is told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_takes_the_place_of_one_that_still_waits_or_was_refused() {
    let world = World::start().await;
    world.civil.refuses(["E1"]);
    world.put(&institution("E1", 1, "elderly_care")).await;
    world
        .until(
            "SELECT state FROM delivery WHERE destination = 'civil-affairs'",
            "dead",
        )
        .await;
    world.civil.will([Unavailable(Some(2))]);
    world.put(&institution("E2", 1, "elderly_care")).await;
    world
        .until(
            "SELECT count(*) FROM attempt WHERE outcome = 'retry_later'",
            "1",
        )
        .await;
    for version in 2..5 {
        world.put(&institution("E1", version, "elderly_care")).await;
    }
    world.civil.refuses([]);
    world.settled().await;
    let states =
        world.gateway.value("SELECT version, state FROM delivery WHERE ordering_key = 'institution/E1' AND destination = 'civil-affairs' ORDER BY 1").await;
    assert_eq!(
        states,
        "1 superseded; 2 superseded; 3 superseded; 4 delivered"
    );
    assert_eq!(world.civil.order().len(), 2, "{:?}", world.civil.order());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_goes_before_everything_that_waits_and_one_bad_record_keeps_nobody_back() {
    let world = World::start().await;
    for n in 0..6 {
        world
            .put(&institution(&format!("E{n}"), 1, "elderly_care"))
            .await;
    }
    world.settled().await;
    let before = world.civil.order().len();
    world.civil.will([Unavailable(Some(2))]);
    for n in 0..5 {
        let mut moved = institution(&format!("E{n}"), 2, "elderly_care");
        moved["address"] = json!("东葛路2号");
        world.put(&moved).await;
    }
    let mut suspended = institution("E5", 2, "elderly_care");
    suspended["statuses"] = json!([{ "status": "agreement_in_force", "from": "2026-01-01" }, { "status": "suspended", "from": "2026-06-01", "to": "2026-08-31" }]);
    world.put(&suspended).await;
    world.civil.refuses(["E2"]);
    world.settled().await;
    let order: Vec<String> = world.civil.order()[before..]
        .iter()
        .map(|(id, _)| id.clone())
        .collect();
    assert_eq!(order[0], "E5", "{order:?}");
    assert_eq!(order.len(), 5, "{order:?}");
    assert_eq!(
        world
            .gateway
            .value("SELECT subject_id, state FROM delivery WHERE state = 'dead'")
            .await,
        "E2 dead"
    );
    assert_eq!(
        world
            .gateway
            .value("SELECT priority FROM delivery WHERE subject_id = 'E5' AND version = 2")
            .await,
        "10"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_refused_as_a_whole_is_sent_record_by_record() {
    let world = World::start().await;
    world.civil.will([
        Unavailable(Some(1)),
        ltcgw::sandbox::partners::Behaviour::Refuse("99".into()),
    ]);
    for n in 0..4 {
        world
            .put(&institution(&format!("E{n}"), 1, "elderly_care"))
            .await;
        world
            .until(
                "SELECT count(*) FROM attempt WHERE outcome = 'retry_later'",
                "1",
            )
            .await;
    }
    world.settled().await;
    let together =
        "SELECT count(*) > 1, count(DISTINCT reference) FROM attempt WHERE outcome = 'rejected'";
    assert_eq!(
        world.gateway.value(together).await,
        "t 1",
        "several in one request"
    );
    assert_eq!(world.gateway.value("SELECT count(*) FROM delivery WHERE state = 'delivered' AND destination = 'civil-affairs'").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_of_which_one_is_killed_stay_within_every_limit_and_use_it() {
    let most = Most {
        requests_per_second: Some(20),
        requests_per_day: Some(60),
        concurrent: Some(2),
        records_per_request: Some(2),
        ..Most::default()
    };
    let mut world = World::with(most, |scene| {
        scene
            .edit(SHIPPED, "requests_per_second = 20\nrequests_per_day = 60\n")
            .edit("records_per_request = 50", "records_per_request = 2")
    })
    .await;
    let second = world
        .gateway
        .stage
        .start(DatabaseAccess::local(world.gateway.database.clone()))
        .await
        .expect("another instance");
    second.gateway.registrar.clock.set_day(date(2026, 6, 15));
    let lines: Vec<String> = (0..200)
        .map(|n| {
            json!({ "institution": institution(&format!("E{n}"), 1, "elderly_care") }).to_string()
        })
        .collect();
    let client = world.gateway.stage.client("ltc-system").expect("a client");
    let loaded = client
        .post(world.gateway.url("/ltc/v1/registry"))
        .body(lines.join("\n"))
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(
        loaded.lines().count() > 200,
        "{}",
        loaded.lines().last().unwrap_or_default()
    );
    world
        .until(
            "SELECT count(*) > 10 FROM attempt WHERE ended_at IS NOT NULL",
            "t",
        )
        .await;
    // Whoever holds the lease is killed while it sends; the other one goes on.
    let first_holds = world
        .gateway
        .running
        .worker()
        .status()
        .iter()
        .any(|status| status.destination == "civil-affairs" && status.holds_lease);
    let survivor = if first_holds {
        std::mem::replace(&mut world.gateway.running, second)
    } else {
        second
    };
    survivor.abandon();
    world
        .until(
            "SELECT reserved FROM destination_day WHERE destination = 'civil-affairs'",
            "60",
        )
        .await;
    world.until("SELECT count(*) FROM delivery WHERE state = 'leased' AND destination = 'civil-affairs'", "0").await;
    let tally = world.civil.tally();
    assert_eq!(tally.over_limit, 0, "{tally:?}");
    assert!((57..=60).contains(&tally.deliveries), "{tally:?}");
    assert!(
        tally.most_in_a_second <= 20 && tally.most_under_way <= 2,
        "{tally:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_tells_a_new_destination_of_everything_once_however_often_it_is_run() {
    let mut world = World::with(Most::default(), |scene| {
        scene.edit(SHIPPED, "requests_per_second = 200\n").edit(
            "receives = [\"institutions\", \"caregivers\"]",
            "receives = []",
        )
    })
    .await;
    for n in 0..12 {
        world
            .put(&institution(
                &format!("E{n}"),
                1,
                if n % 3 == 0 { "medical" } else { "home_care" },
            ))
            .await;
    }
    world.settled().await;
    assert!(world.civil.register().is_empty());
    // The same gateway, started again with civil affairs among those who are told.
    let dir = TempDir::with_prefix("ltcgw-stage-").expect("a temporary folder");
    let mut scene = Scene {
        dir: dir.path().to_path_buf(),
        ..world.scene.clone()
    };
    scene.edits.retain(|(_, to)| to != "receives = []");
    let stage = scene.build().expect("a stage");
    std::fs::copy(
        world.gateway.stage.pki.join("privacy.key"),
        stage.pki.join("privacy.key"),
    )
    .expect("the same key");
    let running = stage
        .start(DatabaseAccess::local(world.gateway.database.clone()))
        .await
        .expect("another instance");
    running.gateway.registrar.clock.set_day(date(2026, 6, 15));
    std::mem::replace(&mut world.gateway.running, running).abandon();

    let config = Config::load(&stage.config_dir).expect("a configuration");
    let catalog = Catalog::load(&config.gateway.adapters_dir).expect("adapters");
    let target = |name: &str| BackfillTarget::of(&config.partners, &catalog, name);
    assert!(
        target("civil-affair")
            .map(drop)
            .unwrap_err()
            .text
            .contains("did you mean `civil-affairs`?")
    );
    let pool = world.gateway.running.gateway.store.pool().clone();
    for expected in [8, 0] {
        let mut filling = Filling::start(
            &pool,
            target("civil-affairs").expect("it receives entries"),
            BackfillScope::default(),
        )
        .await
        .expect("a backfill");
        while filling.queue_more().await.expect("the database answers") {}
        assert_eq!((filling.backfill.queued, filling.entries), (expected, 12));
        world.settled().await;
        assert_eq!(
            filling
                .progress()
                .await
                .expect("the database answers")
                .waiting,
            0
        );
    }
    assert_eq!(
        (
            world.civil.register().len(),
            world.civil.order().len(),
            world.civil.tally().repeats
        ),
        (8, 8, 0)
    );
}
