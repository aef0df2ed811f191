//! Two cities in one gateway, each with a medical core and an LTC system of its own: nobody hears of the other
//! city's people, or speaks for them.

use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ltcgw::adapter::capability::sm2_sorted_fields::PrivateKey;
use ltcgw::flow::deduct::{Desk, Of};
use ltcgw::model::Month;
use ltcgw::sandbox::partners::{PartnerTls, SimulatedPartner, SimulationOptions};
use ltcgw::sandbox::stage::Scene;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::office::by;
use crate::support::{Gateway, copy_folder, project, receipt};

const NANNING: i32 = 450_100;
const CHONGQING: i32 = 500_100;

/// A gateway with everybody it talks to.
struct Cities {
    gateway: Gateway,
    nanning_core: SimulatedPartner,
    chongqing_core: SimulatedPartner,
    nanning_ltc: SimulatedPartner,
    chongqing_ltc: SimulatedPartner,
    _adapters: TempDir,
}

/// January 2022, in which active people of both cities pay from their accounts.
fn january(area: i32) -> Of {
    Of {
        area,
        month: Month::new(2022, 1).expect("a month"),
    }
}

/// The shipped adapters; the core's knows a county of Chongqing as well.
fn adapters() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy_folder(&project().join("adapters"), folder.path());
    let table = folder.path().join("medical-core/codes/district.csv");
    let text = std::fs::read_to_string(&table).expect("a table");
    std::fs::write(&table, format!("{text}500230,500230,Fengdu,\n")).expect("a table");
    for end in ["ndjson", "expected.json"] {
        // It lists the districts that are taken.
        std::fs::remove_file(folder.path().join(format!(
            "medical-core/samples/roster_person/bad-lines.{end}"
        )))
        .expect("a sample");
    }
    folder
}

/// The shipped entry of a partner, made that of Chongqing's.
fn entry(shipped: &str, name: &str, url: &str) -> String {
    let start = shipped
        .find(&format!("[[partner]]\nname = \"{name}\""))
        .expect("a shipped partner");
    let end = shipped[start + 1..]
        .find("[[partner]]")
        .map_or(shipped.len(), |end| start + 1 + end);
    let host = name
        .split('-')
        .find(|part| ["core", "ltc"].contains(part))
        .expect("a host");
    let own = format!("chongqing-{host}");
    shipped[start..end]
        .replace(&format!("name = \"{name}\""), &format!("name = \"{own}\""))
        .replace(&format!("outbound/{name}."), &format!("outbound/{own}."))
        .replace(&format!("https://{host}.nanning.example:8443"), url)
        .replace("nanning.example", "chongqing.example")
        .replace("areas = [\"450100\"]", "areas = [\"500100\"]")
}

/// Two cities, and an office that only calls: it has no `areas`.
fn two_cities(scene: Scene, adapters: &Path, (core, ltc): (&str, &str)) -> Scene {
    let shipped = std::fs::read_to_string(project().join("config/partners.toml"))
        .expect("the shipped partners");
    let office = "[[partner]]\nname = \"joint-office\"\nadapter = \"medical-core\"\n[partner.inbound]\nsan = \"office.example\"\n\
        routes = [\"POST /core/v1/roster\", \"POST /core/v1/deduction-cycles\", \"GET /core/v1/deduction-cycles/*\"]\n\n";
    let next = "[[partner]]\nname = \"civil-affairs\"";
    let more = format!(
        "{}{}{office}{next}",
        entry(&shipped, "medical-core", core),
        entry(&shipped, "ltc-system", ltc)
    );
    scene
        .edit(
            &project().join("adapters").display().to_string(),
            &adapters.display().to_string(),
        )
        .edit(next, &more)
        .edit("# poll_milliseconds = 1000", "poll_milliseconds = 50")
}

impl Cities {
    async fn start() -> Cities {
        Cities::with(|scene| scene).await
    }

    async fn with(change: impl FnOnce(Scene) -> Scene) -> Cities {
        let (mut partners, adapters) = (None, adapters());
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
            let public = PrivateKey::parse(&scene.sm2_key)
                .expect("the key just made")
                .public_hex();
            let core = || {
                SimulatedPartner::core(
                    &tls,
                    SimulationOptions {
                        sm2_public_hex: Some(public.clone()),
                        ..SimulationOptions::default()
                    },
                )
                .expect("a core")
            };
            let ltc = || {
                SimulatedPartner::ltc(&tls, SimulationOptions::default()).expect("an LTC system")
            };
            let [one, other] = [(core(), ltc()), (core(), ltc())];
            let scene = Scene {
                medical_core: one.0.url().into(),
                ltc_system: one.1.url().into(),
                ..scene
            };
            let scene = two_cities(scene, adapters.path(), (other.0.url(), other.1.url()));
            partners = Some((one, other));
            change(scene)
        })
        .await;
        let ((nanning_core, nanning_ltc), (chongqing_core, chongqing_ltc)) =
            partners.expect("the change was made");
        Cities {
            gateway,
            nanning_core,
            chongqing_core,
            nanning_ltc,
            chongqing_ltc,
            _adapters: adapters,
        }
    }

    async fn post(
        &self,
        partner: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        let client = self.gateway.stage.client(partner).expect("a client");
        let (status, text) = receipt(
            client
                .post(self.gateway.url(path))
                .body(body)
                .send()
                .await
                .expect("an answer"),
        )
        .await;
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")),
        )
    }

    /// A full roster of an area: so many people of its county, each with a base of 4,000.00.
    async fn roster(&self, partner: &str, area: i32, people: u32) -> (u16, Value) {
        let district = if area == NANNING { "450103" } else { "500230" };
        let person = |number: u32| {
            json!({
                "psn_no": format!("P{number:04}"), "psn_cert_type": "01", "certno": "450103198001010011", "psn_type": "11", "acct_type": "1",
                "emp_no": "45010300000001", "admdvs": district, "clct_base": "4000.00", "begnym": "202201",
            })
        };
        let body: String = (1..=people)
            .map(|number| format!("{}\n", person(number)))
            .collect();
        self.post(
            partner,
            &format!("/core/v1/roster?roster_no=R{area}&kind=full&area={area}&month=202201"),
            body,
        )
        .await
    }

    async fn plan(&self, partner: &str, area: i32) -> (u16, Value) {
        self.post(
            partner,
            "/core/v1/deduction-cycles",
            json!({ "area": area.to_string(), "month": "2022-01" }).to_string(),
        )
        .await
    }

    /// What a partner is told of a cycle.
    async fn cycle(&self, partner: &str, cycle_id: &Value) -> (u16, Value) {
        let client = self.gateway.stage.client(partner).expect("a client");
        let url = self
            .gateway
            .url(&format!("/core/v1/deduction-cycles/{cycle_id}"));
        let (status, text) = receipt(client.get(url).send().await.expect("an answer")).await;
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")),
        )
    }

    /// Planned by the area's core from its roster, approved and run.
    async fn run(&self, core: &str, area: i32, people: u32) -> Value {
        let (status, answer) = self.roster(core, area, people).await;
        assert_eq!(
            (status, &answer["output"]["taken"]),
            (200, &json!(people)),
            "{answer}"
        );
        let (status, plan) = self.plan(core, area).await;
        assert_eq!((status, &plan["people"]), (201, &json!(people)), "{plan}");
        let desk = Desk::of(&self.gateway.running.gateway);
        let digest = plan["digest"].as_str().expect("a digest");
        let approved = desk
            .approve(january(area), &by("Wang"), &digest[..8])
            .await
            .expect("an approval");
        assert_eq!(HEXLOWER.encode(&approved.digest), digest);
        desk.run(january(area), &by("Wang")).await.expect("a run");
        plan["cycle_id"].clone()
    }

    async fn value(&self, sql: &str) -> String {
        self.gateway.value(sql).await
    }
}

/// A refusal that names the area and what to do, in the problem document or in the core's envelope.
fn is_foreign((status, answer): &(u16, Value), area: i32) {
    let text = answer["detail"]
        .as_str()
        .or(answer["err_msg"].as_str())
        .unwrap_or_default();
    let says = text.contains(&format!("does not speak for pooling area {area}"))
        && text.contains("`areas`")
        && text.contains("partners.toml");
    assert!(*status == 403 && says, "{status} {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_core_is_asked_for_its_own_people_and_each_ltc_system_hears_of_them_alone() {
    let cities = Cities::start().await;
    cities.nanning_core.everyone_pays(true);
    cities.chongqing_core.everyone_pays(true);
    cities.run("medical-core", NANNING, 3).await;
    cities.run("chongqing-core", CHONGQING, 2).await;
    cities
        .gateway
        .until(
            "SELECT count(*) FROM deduction_cycle WHERE state = 'settled'",
            "2",
        )
        .await;
    cities
        .gateway
        .until(
            "SELECT count(*) FROM delivery WHERE state <> 'delivered'",
            "0",
        )
        .await;
    let told = "SELECT pooling_area, destination, message, lines, d.fen FROM delivery d JOIN deduction_cycle c ON c.cycle_id::text = d.subject_id ORDER BY 1, 3";
    let expected = "450100 ltc-system deduction_results 3 1800; 450100 medical-core deductions 3 1800; \
        500100 chongqing-ltc deduction_results 2 800; 500100 chongqing-core deductions 2 800";
    assert_eq!(cities.value(told).await, expected);
    for (core, ltc, people, fen) in [
        (&cities.nanning_core, &cities.nanning_ltc, 3, 1_800),
        (&cities.chongqing_core, &cities.chongqing_ltc, 2, 800),
    ] {
        assert_eq!(
            (
                core.deductions().people,
                core.deductions().fen.0,
                core.deductions().batches,
                core.tally().refused
            ),
            (people, fen, 1, 0)
        );
        let told = ltc.told_of_deductions();
        assert_eq!(
            (told.people, told.fen.0, told.batches, ltc.tally().refused),
            (people, fen, 1, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_goes_to_the_core_that_has_the_batch() {
    let cities = Cities::start().await;
    cities.chongqing_core.queue_deductions(true);
    cities.run("chongqing-core", CHONGQING, 2).await;
    cities
        .gateway
        .until(
            "SELECT count(*) FROM delivery WHERE state = 'delivered'",
            "1",
        )
        .await;
    cities.chongqing_core.release_results();
    assert_eq!(
        cities
            .gateway
            .running
            .gateway
            .transfer
            .look(Duration::ZERO)
            .await
            .expect("the database answers"),
        1
    );
    cities
        .gateway
        .until("SELECT state FROM deduction_cycle", "settled")
        .await;
    assert_eq!(
        (
            cities.chongqing_core.tally().inquiries,
            cities.nanning_core.tally()
        ),
        (1, Default::default())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_speaks_for_another_city_is_refused_and_nothing_is_kept() {
    let cities = Cities::start().await;
    let foreign = cities.roster("medical-core", CHONGQING, 2).await;
    is_foreign(&foreign, CHONGQING);
    assert_eq!(
        foreign.1["infcode"],
        json!(-1),
        "a receipt of the core's adapter: {}",
        foreign.1
    );
    assert_eq!(
        cities
            .value("SELECT (SELECT count(*) FROM roster) + (SELECT count(*) FROM roster_entry)")
            .await,
        "0"
    );
    assert_eq!(
        cities
            .value("SELECT sender, packet_no, status FROM packet_refusal")
            .await,
        "medical-core R500100 403",
        "what was refused can be looked up"
    );

    cities.chongqing_core.queue_deductions(true);
    let cycle_id = cities.run("chongqing-core", CHONGQING, 2).await;
    is_foreign(&cities.plan("medical-core", CHONGQING).await, CHONGQING);
    is_foreign(&cities.plan("chongqing-core", 460_000).await, 460_000);
    is_foreign(&cities.cycle("medical-core", &cycle_id).await, CHONGQING);
    let (status, shown) = cities.cycle("chongqing-core", &cycle_id).await;
    assert_eq!(
        (status, &shown["area"], &shown["state"]),
        (200, &json!("500100"), &json!("running")),
        "{shown}"
    );

    cities
        .gateway
        .until(
            "SELECT count(*) FROM delivery WHERE state = 'delivered'",
            "1",
        )
        .await;
    let results = cities.chongqing_core.release_results().remove(0);
    let foreign = cities
        .post(
            "medical-core",
            "/core/v1/deduction-results",
            results.clone(),
        )
        .await;
    is_foreign(&foreign, CHONGQING);
    assert_eq!(
        foreign.1["infcode"],
        json!(-1),
        "a receipt of the core's adapter: {}",
        foreign.1
    );
    let kept = "SELECT (SELECT count(*) FROM deduction_result) + (SELECT count(*) FROM deduction_discrepancy) + (SELECT count(*) FROM entry)";
    assert_eq!(cities.value(kept).await, "0");
    let (status, answer) = cities
        .post("chongqing-core", "/core/v1/deduction-results", results)
        .await;
    assert_eq!(
        (status, &answer["output"]["posted"]),
        (200, &json!(2)),
        "{answer}"
    );
    cities
        .gateway
        .until("SELECT state FROM deduction_cycle", "settled")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_only_calls_speaks_for_every_area() {
    let cities = Cities::start().await;
    for area in [NANNING, CHONGQING] {
        let (status, answer) = cities.roster("joint-office", area, 2).await;
        assert_eq!(
            (status, &answer["output"]["taken"]),
            (200, &json!(2)),
            "{answer}"
        );
        let (status, plan) = cities.plan("joint-office", area).await;
        assert_eq!(
            (status, &plan["area"]),
            (201, &json!(area.to_string())),
            "{plan}"
        );
        assert_eq!(cities.cycle("joint-office", &plan["cycle_id"]).await.0, 200);
    }
    let (status, problem) = cities.plan("joint-office", 510_100).await;
    let text = problem["detail"].as_str().unwrap_or_default();
    assert!(
        status == 404
            && text.contains("nobody deducts in pooling area 510100")
            && text.contains("add it to `areas`"),
        "{status} {problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deducted_where_nobody_would_be_told() {
    let cities = Cities::with(|scene| {
        let told = "receives = [\"contributions\", \"deduction_results\"]\nareas = [\"500100\"]";
        scene.edit(told, "receives = [\"contributions\"]\nareas = [\"500100\"]")
    })
    .await;
    assert_eq!(cities.roster("chongqing-core", CHONGQING, 2).await.0, 200);
    let (status, problem) = cities.plan("chongqing-core", CHONGQING).await;
    let text = problem["detail"].as_str().unwrap_or_default();
    assert!(
        status == 404
            && text.contains("nobody is told what becomes of deductions in pooling area 500100"),
        "{status} {problem}"
    );
    assert_eq!(
        cities.value("SELECT count(*) FROM deduction_cycle").await,
        "0"
    );
    // One that ran before the entry was changed is posted, and waits until somebody is told of it.
    cities
        .value(&running_cycle(
            CHONGQING,
            "answered = people, answered_at = now()",
        ))
        .await;
    assert_eq!(
        cities
            .gateway
            .running
            .gateway
            .transfer
            .look(Duration::from_secs(900))
            .await
            .expect("the database answers"),
        0
    );
    assert_eq!(
        cities.value("SELECT state FROM deduction_cycle").await,
        "running"
    );
}

/// A running cycle of one person in an area, whose batch is as said.
fn running_cycle(area: i32, batch: &str) -> String {
    format!(
        "BEGIN;
         INSERT INTO deduction_rate VALUES (900, 1, 'test', 'carry_over');
         INSERT INTO deduction VALUES (900, 'P1', 'active', 500230, 1, 400000, 400, 0, 400);
         INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, rounds, planned_by, approved_by, approved_at, run_by, started_at)
             VALUES (900, {area}, 202201, 'running', sha256('x'), 1, 400, 1, 'a', 'b', now(), 'b', now());
         INSERT INTO deduction_batch (cycle_id, batch_no, round, first_person, last_person, people, fen) VALUES (900, 1, 1, 'P1', 'P1', 1, 400);
         UPDATE deduction_batch SET {batch};
         COMMIT"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_queued_for_a_core_that_has_lost_the_area_is_not_sent() {
    let cities = Cities::start().await;
    cities
        .value(&running_cycle(CHONGQING, "answered = 0"))
        .await;
    let delivery = "INSERT INTO delivery (destination, message, subject_kind, subject_id, part, part_end, lines, fen) VALUES ('medical-core', 'deductions', 'batch', '900', 1, 1, 1, 400)";
    cities.value(delivery).await;
    cities
        .gateway
        .until("SELECT state FROM delivery", "dead")
        .await;
    let answer = cities.value("SELECT answer FROM delivery").await;
    assert!(
        answer.contains("no longer receives \"deductions\" of pooling area 500100")
            && answer.contains("ltcgw dead retry"),
        "{answer}"
    );
    assert_eq!(cities.nanning_core.tally().deliveries, 0);
}

#[tokio::test]
async fn two_cores_of_one_area_keep_the_gateway_from_starting() {
    let (adapters, dir) = (adapters(), tempfile::tempdir().expect("a folder"));
    ltcgw::link::install_provider();
    let scene = Scene::new(project(), dir.path()).expect("a scene");
    let scene = two_cities(
        scene,
        adapters.path(),
        ("https://127.0.0.1:1", "https://127.0.0.1:1"),
    );
    assert!(scene.clone().build().is_ok(), "a core for each city");
    let both = scene.edit("areas = [\"500100\"]", "areas = [\"500100\", \"450100\"]");
    let found = Scene {
        dir: dir.path().join("both"),
        ..both
    }
    .build()
    .err()
    .expect("a finding")
    .text;
    let expected = "partners `medical-core` and `chongqing-core` both receive \"deductions\" of pooling area 450100";
    assert!(
        found.contains("partners.toml:")
            && found.contains(expected)
            && found.contains("take the area out"),
        "{found}"
    );
    assert_eq!(
        found.lines().count(),
        1,
        "two LTC systems may hear of one area: {found}"
    );
}
