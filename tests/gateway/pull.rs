//! The province pulls the registries: every change exactly once, in order, and only what it may know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use ltcgw::model::registry::EntityKind;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::registered::{
    PLANTED, caregiver, end, institution, put_caregiver, put_institution, store,
};
use crate::support::Gateway;

/// A puller with its certificate.
struct Puller<'a> {
    gateway: &'a Gateway,
    client: reqwest::Client,
}

/// One page as it came.
#[derive(serde::Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    cursor: String,
    more: bool,
    digest: String,
}

/// What a puller holds after following a route to its end.
#[derive(Default, Debug, PartialEq, Eq, Clone)]
struct Held {
    sequences: Vec<i64>,
    digest: [u8; 32],
    cursor: Option<String>,
}

impl Held {
    fn take(&mut self, item: &str) {
        let value: Value = serde_json::from_str(item).expect("an item");
        self.sequences
            .push(value["sequence"].as_i64().expect("a sequence"));
        self.digest = Sha256::new()
            .chain_update(self.digest)
            .chain_update(item)
            .finalize()
            .into();
    }
}

impl<'a> Puller<'a> {
    fn new(gateway: &'a Gateway) -> Puller<'a> {
        Puller {
            gateway,
            client: gateway
                .stage
                .client("provincial-platform")
                .expect("a client"),
        }
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.gateway.url(path))
    }

    async fn text(&self, path: &str) -> (u16, String) {
        let answer = self.get(path).send().await.expect("an answer");
        (
            answer.status().as_u16(),
            answer.text().await.expect("a body"),
        )
    }

    /// Takes one page; says whether there is more.
    async fn follow(&self, route: &str, held: &mut Held, limit: u32) -> bool {
        let cursor = held
            .cursor
            .as_ref()
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let (status, body) = self
            .text(&format!("/province/v1/{route}?limit={limit}{cursor}"))
            .await;
        assert_eq!(status, 200, "{body}");
        let page: Page<'_> =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert!(page.items.len() <= limit as usize);
        page.items.iter().for_each(|item| held.take(item.get()));
        assert_eq!(
            page.digest,
            HEXLOWER.encode(&held.digest),
            "the gateway's digest is the puller's"
        );
        held.cursor = Some(page.cursor);
        page.more
    }

    async fn follow_to_end(&self, route: &str, limit: u32) -> Held {
        let mut held = Held::default();
        while self.follow(route, &mut held, limit).await {}
        held
    }
}

/// Ten institutions and twenty caregivers, some changed, some ended.
async fn filled(
    change: impl FnOnce(ltcgw::sandbox::stage::Scene) -> ltcgw::sandbox::stage::Scene,
) -> Gateway {
    let gateway = Gateway::with(change).await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    let mut puts: Vec<_> = (1..=10)
        .map(|id| put_institution(keys, institution(&format!("I{id}"), 1)))
        .collect();
    puts.extend((1..=20).map(|id| put_caregiver(keys, caregiver(&format!("C{id}"), 1))));
    puts.push(put_institution(keys, institution("I3", 2)));
    puts.push(end(EntityKind::Caregiver, "C4", 2));
    puts.push(end(EntityKind::Institution, "I5", 2));
    store(registry, &puts).await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_give_every_change_once_in_order_with_one_digest() {
    let gateway = filled(|scene| {
        scene.edit(
            "requests_per_second = 50\n\n[partner.fields]",
            "requests_per_second = 5000\n\n[partner.fields]",
        )
    })
    .await;
    let puller = Puller::new(&gateway);
    for (route, count) in [("institutions", 12), ("caregivers", 21)] {
        let whole = puller.follow_to_end(route, 1000).await;
        assert_eq!(whole.sequences.len(), count);
        assert!(whole.sequences.is_sorted());
        for limit in [1, 2, 3, 7, 11, 12, 20, 21, 22] {
            assert_eq!(
                puller.follow_to_end(route, limit).await,
                whole,
                "pages of {limit}"
            );
        }
        // Pages of sizes that vary, seeded, so that a failure can be repeated.
        for seed in 1..=10_u32 {
            let (mut held, mut state) = (Held::default(), seed.wrapping_mul(2_654_435_761));
            loop {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if !puller.follow(route, &mut held, 1 + (state >> 24) % 9).await {
                    break;
                }
            }
            assert_eq!(held, whole, "seed {seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_says_what_happened_to_whom_and_nothing_private() {
    let gateway = filled(|scene| scene).await;
    let puller = Puller::new(&gateway);
    let (_, body) = puller.text("/province/v1/institutions").await;
    let page: Value = serde_json::from_str(&body).expect("a page");
    let first = &page["items"][0];
    assert_eq!(
        (
            &first["kind"],
            &first["id"],
            &first["version"],
            &first["change"]
        ),
        (
            &"institution".into(),
            &"I1".into(),
            &1.into(),
            &"put".into()
        )
    );
    assert_eq!(first["record"]["uscc"], "91450100MA5KABCD12");
    assert_eq!(
        (&first["record"]["status"], &first["record"]["designated"]),
        (&"agreement_in_force".into(), &true.into())
    );
    let last = page["items"]
        .as_array()
        .and_then(|items| items.last())
        .expect("items");
    assert_eq!(
        (
            &last["change"],
            &last["id"],
            &last["reason"],
            last.get("record")
        ),
        (&"delete".into(), &"I5".into(), &Value::Null, None)
    );
    for path in [
        "institutions?limit=1000",
        "caregivers?limit=1000",
        "snapshot",
    ] {
        let (status, body) = puller.text(&format!("/province/v1/{path}")).await;
        assert_eq!(status, 200, "{body}");
        for planted in PLANTED.into_iter().chain(["NURSE-PLANTED", "personal"]) {
            assert!(!body.contains(planted), "{path} shows {planted}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puller_gets_the_private_fields_named_for_it_and_no_others() {
    let named = "\"statuses\", \"registered_on\", \"status\",\n]";
    let gateway = filled(|scene| {
        scene.edit(named, "\"personal.name\"]").edit(
            "    \"sex\", \"kind\", \"institution_id\", \"job\", \"qualifications\", \"health_statement_on\", \"contract\", \"training\",\n",
            "\"institution_id\",",
        )
    })
    .await;
    let puller = Puller::new(&gateway);
    let (_, body) = puller.text("/province/v1/caregivers?limit=1").await;
    let page: Value = serde_json::from_str(&body).expect("a page");
    assert_eq!(
        page["items"][0]["record"],
        serde_json::json!({"institution_id": "I1", "personal": {"name": PLANTED[3]}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_entry_was_deleted_is_told_where_it_is_listed() {
    let gateway = filled(|scene| {
        scene.edit(
            "\"status\", \"designated\",\n]",
            "\"status\", \"designated\", \"reason\",\n]",
        )
    })
    .await;
    let (_, body) = Puller::new(&gateway)
        .text("/province/v1/institutions")
        .await;
    let page: Value = serde_json::from_str(&body).expect("a page");
    let last = page["items"]
        .as_array()
        .and_then(|items| items.last())
        .expect("items");
    assert_eq!(
        (&last["change"], &last["reason"]),
        (&"delete".into(), &"closed".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_end_with_a_trailer_and_have_the_same_digest_as_json() {
    let gateway = filled(|scene| scene).await;
    let puller = Puller::new(&gateway);
    let answer = puller
        .get("/province/v1/caregivers?limit=5")
        .header("accept", "application/x-ndjson")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let body = answer.text().await.expect("a body");
    let lines: Vec<&str> = body.lines().collect();
    let mut held = Held::default();
    lines[..5].iter().for_each(|line| held.take(line));
    let trailer: Value = serde_json::from_str(lines[5]).expect("a trailer");
    assert_eq!(
        (lines.len(), &trailer["trailer"]["more"]),
        (6, &true.into())
    );
    assert_eq!(trailer["trailer"]["digest"], HEXLOWER.encode(&held.digest));
    let mut json = Held::default();
    puller.follow("caregivers", &mut json, 5).await;
    held.cursor = Some(
        trailer["trailer"]["cursor"]
            .as_str()
            .expect("a cursor")
            .to_string(),
    );
    assert_eq!(json, held);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_many_writers_and_of_those_who_commit_late_come_once_and_in_order() {
    let gateway = Gateway::with(|scene| {
        scene.edit(
            "requests_per_second = 50\n\n[partner.fields]",
            "requests_per_second = 5000\n\n[partner.fields]",
        )
    })
    .await;
    let (registry, keys) = (
        &gateway.running.gateway.pulls.registry,
        gateway.running.gateway.registrar.keys.clone(),
    );
    store(
        registry,
        &[put_institution(&keys, institution("shared", 1))],
    )
    .await;
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let (registry, keys) = (registry.clone(), keys.clone());
            tokio::spawn(async move {
                for round in 1..=15_i64 {
                    // All fight over `shared`; the others are their own.
                    let own = (0..3).map(|at| {
                        put_institution(&keys, institution(&format!("I{writer}-{round}-{at}"), 1))
                    });
                    let shared = put_institution(&keys, institution("shared", round * 10 + writer));
                    registry
                        .put_batch("test", &own.chain([shared]).collect::<Vec<_>>())
                        .await
                        .expect("stored");
                }
            })
        })
        .collect();
    let late = tokio::spawn(late_commits(gateway.database.clone(), done.clone()));
    let puller = Puller::new(&gateway);
    let (mut held, mut limit) = (Held::default(), 1);
    let mut writers = futures_util::future::join_all(writers);
    loop {
        let finished = futures_util::poll!(&mut writers).is_ready();
        limit = limit % 13 + 1;
        while puller.follow("institutions", &mut held, limit).await {}
        if finished {
            break;
        }
    }
    done.store(true, Ordering::Relaxed);
    let held_open = late.await.expect("it ended");
    while puller.follow("institutions", &mut held, 100).await {}
    let stored = gateway
        .value("SELECT sequence FROM registry_change WHERE kind = 'institution' ORDER BY sequence")
        .await;
    let stored: Vec<i64> = stored
        .split("; ")
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert_eq!(held.sequences, stored);
    assert!(
        stored.len() > 270 && held_open > 0,
        "{} changes, {held_open} held open",
        stored.len()
    );
    assert_eq!(
        puller.follow_to_end("institutions", 1000).await.digest,
        held.digest
    );
}

/// Changes made by transactions that begin, take a number, and commit long after.
async fn late_commits(database: tokio_postgres::Config, done: Arc<AtomicBool>) -> usize {
    let (mut client, connection) = database
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        let transaction = client.transaction().await.expect("a transaction");
        let number: i64 = transaction
            .query_one(
                "UPDATE registry_head SET sequence = sequence + 1 RETURNING sequence",
                &[],
            )
            .await
            .expect("a number")
            .get(0);
        let insert = "INSERT INTO registry_change (sequence, kind, entity_id, version, change, reason, designated, effective_on)
            VALUES ($1, 'institution', 'late-' || $1::bigint, 1, 'delete', 'late', false, '2026-11-22')";
        transaction
            .execute(insert, &[&number])
            .await
            .expect("written");
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        transaction.commit().await.expect("committed");
        count += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_did_not_change_is_304_and_a_new_change_ends_that() {
    let gateway = filled(|scene| scene).await;
    let puller = Puller::new(&gateway);
    let held = puller.follow_to_end("institutions", 5).await;
    for path in [
        "/province/v1/institutions?limit=3".to_string(),
        format!(
            "/province/v1/institutions?cursor={}",
            held.cursor.expect("a cursor")
        ),
    ] {
        let first = puller.get(&path).send().await.expect("an answer");
        let etag = first.headers()["etag"].to_str().expect("text").to_string();
        let ask = async |tag: &str| {
            puller
                .get(&path)
                .header("if-none-match", tag)
                .send()
                .await
                .expect("an answer")
        };
        for tag in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_string()] {
            let again = ask(&tag).await;
            assert_eq!(
                (
                    again.status().as_u16(),
                    again.headers()["etag"].to_str().expect("text")
                ),
                (304, etag.as_str()),
                "{tag}"
            );
            assert_eq!(again.text().await.expect("no body"), "");
        }
        assert_eq!(ask("\"other\"").await.status(), 200);
        let lines = puller
            .get(&path)
            .header("accept", "application/x-ndjson")
            .send()
            .await
            .expect("an answer");
        assert_ne!(
            lines.headers()["etag"].to_str().expect("text"),
            etag,
            "lines are another representation"
        );
        if path.contains("cursor") {
            store(
                &gateway.running.gateway.pulls.registry,
                &[put_institution(
                    &gateway.running.gateway.registrar.keys,
                    institution("I1", 2),
                )],
            )
            .await;
            assert_eq!(ask(&etag).await.status(), 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compressed_is_the_same_when_unpacked() {
    let gateway = filled(|scene| scene).await;
    let puller = Puller {
        client: unpacking_nothing(&gateway),
        ..Puller::new(&gateway)
    };
    for path in [
        "/province/v1/caregivers?limit=7",
        "/province/v1/caregivers?limit=1000",
        "/province/v1/snapshot",
    ] {
        let get = async |accepted: &str| {
            let answer = puller
                .get(path)
                .header("accept-encoding", accepted)
                .send()
                .await
                .expect("an answer");
            let coding = answer
                .headers()
                .get("content-encoding")
                .map(|coding| coding.to_str().expect("text").to_string());
            (coding, answer.bytes().await.expect("a body"))
        };
        let (coding, plain) = get("identity").await;
        assert_eq!(coding, None);
        let (coding, zipped) = get("zstd").await;
        assert_eq!(
            (coding.as_deref(), zipped.len() < plain.len()),
            (Some("zstd"), true),
            "{path}"
        );
        assert_eq!(
            zstd::decode_all(&*zipped).expect("Zstandard"),
            plain,
            "{path}"
        );
        let (coding, zipped) = get("gzip").await;
        assert_eq!(
            (coding.as_deref(), zipped.len() < plain.len()),
            (Some("gzip"), true),
            "{path}"
        );
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*zipped), &mut unpacked)
            .expect("gzip");
        assert_eq!(unpacked, plain, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_gets_a_problem_document_that_says_what_to_do() {
    let gateway = filled(|scene| scene).await;
    let puller = Puller::new(&gateway);
    let mut held = Held::default();
    puller.follow("caregivers", &mut held, 5).await;
    let cursor = held.cursor.expect("a cursor");
    let damaged = format!(
        "{}{}",
        &cursor[..40],
        cursor[40..].chars().rev().collect::<String>()
    );
    for (query, expected) in [
        (
            format!("institutions?cursor={cursor}"),
            "of the other route",
        ),
        (format!("caregivers?cursor={damaged}"), "damaged"),
        ("caregivers?cursor=".to_string(), "damaged"),
        ("caregivers?limit=0".to_string(), "from 1 to 1000"),
        ("caregivers?limit=1001".to_string(), "from 1 to 1000"),
        ("caregivers?limit=-1".to_string(), "from 1 to 1000"),
        ("caregivers?curser=1".to_string(), "did you mean `cursor`?"),
        ("snapshot?cursor=1".to_string(), "none is taken here"),
    ] {
        let answer = puller
            .get(&format!("/province/v1/{query}"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let (status, body) = (
            answer.status().as_u16(),
            answer.text().await.expect("a body"),
        );
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body.contains(expected), "{query}: {body}");
    }
    let (status, body) = puller
        .text(&format!("/province/v1/caregivers?cursor={cursor}"))
        .await;
    assert_eq!(status, 200, "the cursor itself is good: {body}");
    gateway
        .value("DELETE FROM registry_change; UPDATE registry_head SET sequence = 1")
        .await;
    let (status, body) = puller
        .text(&format!("/province/v1/caregivers?cursor={cursor}"))
        .await;
    assert!(
        status == 400 && body.contains("newer than the registry"),
        "{status} {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whom_it_is_meant_for_may_pull() {
    let gateway = Gateway::start().await;
    let tax = gateway.stage.client("nanning-tax").expect("a client");
    let status = async |path: &str| {
        tax.get(gateway.url(path))
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    assert_eq!(status("/province/v1/institutions").await, 404);
    assert_eq!(status("/province/v1/nothing").await, 404);
    let puller = Puller::new(&gateway);
    assert_eq!(
        puller
            .client
            .post(gateway.url("/province/v1/institutions"))
            .send()
            .await
            .expect("an answer")
            .status(),
        405
    );
}

/// A client of the province that leaves compressed answers as they are.
fn unpacking_nothing(gateway: &Gateway) -> reqwest::Client {
    let pem =
        |name: &str| std::fs::read_to_string(gateway.stage.pki.join(name)).expect("a certificate");
    let identity = pem("inbound/provincial-platform.pem") + &pem("inbound/provincial-platform.key");
    let builder = reqwest::Client::builder()
        .no_gzip()
        .no_proxy()
        .identity(reqwest::Identity::from_pem(identity.as_bytes()).expect("an identity"));
    let authority = reqwest::Certificate::from_pem(pem("ca.pem").as_bytes()).expect("an authority");
    builder
        .tls_certs_only([authority])
        .build()
        .expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_shows_one_instant_and_its_cursors_go_on_from_there() {
    let gateway = Gateway::start().await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    // Several pieces, so that changes can come between them.
    store(registry, &[put_institution(keys, institution("I1", 1))]).await;
    let puts: Vec<_> = (0..1300)
        .map(|id| put_caregiver(keys, caregiver(&format!("C{id:04}"), 1)))
        .collect();
    store(registry, &puts).await;
    store(registry, &[end(EntityKind::Caregiver, "C0007", 2)]).await;
    let pulls = &gateway.running.gateway.pulls;
    let mut snapshot = ltcgw::flow::pull::Snapshot::begin(
        pulls,
        "provincial-platform",
        ltcgw::flow::pull::ContentCoding::Identity,
    )
    .await
    .expect("a snapshot");
    let mut text = snapshot
        .next()
        .await
        .expect("read")
        .expect("a first piece")
        .to_vec();
    store(
        registry,
        &[
            put_caregiver(keys, caregiver("C0001", 9)),
            put_caregiver(keys, caregiver("C1299", 9)),
            put_caregiver(keys, caregiver("C9999", 1)),
        ],
    )
    .await;
    while let Some(piece) = snapshot.next().await.expect("read") {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).expect("UTF-8");
    let mut lines: Vec<&str> = text.lines().collect();
    let trailer: Value = serde_json::from_str(lines.pop().expect("a trailer")).expect("a trailer");
    let trailer = &trailer["trailer"];
    assert_eq!(
        (
            lines.len(),
            &trailer["caregivers"]["items"],
            &trailer["institutions"]["items"]
        ),
        (1301, &1300.into(), &1.into())
    );
    assert!(
        !text.contains("\"version\":9") && !text.contains("C9999"),
        "what came later is not in it"
    );
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("\"change\":\"delete\""))
            .count(),
        1
    );
    let mut held = Held::default();
    lines
        .iter()
        .filter(|line| line.contains("\"kind\":\"caregiver\",\"id\""))
        .for_each(|line| held.take(line));
    assert_eq!(
        trailer["caregivers"]["digest"],
        HEXLOWER.encode(&held.digest)
    );
    held.sequences.clear();
    held.cursor = Some(
        trailer["caregivers"]["cursor"]
            .as_str()
            .expect("a cursor")
            .to_string(),
    );
    let puller = Puller::new(&gateway);
    assert!(!puller.follow("caregivers", &mut held, 100).await);
    assert_eq!(held.sequences, [1303, 1304, 1305]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_takes_the_snapshot_and_follows_holds_the_same_registry_field_by_field() {
    let named = "\"statuses\", \"registered_on\", \"status\",\n]";
    let gateway = filled(|scene| {
        scene.edit(
            named,
            "\"statuses\", \"status\", \"personal.name\", \"personal.recipients\",\n]",
        )
    })
    .await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    let mut platform = ltcgw::sandbox::puller::TrialPuller::new(
        gateway
            .stage
            .client("provincial-platform")
            .expect("a client"),
        gateway.url(""),
    );
    platform.snapshot().await.expect("a snapshot");
    let differences = async |platform: &ltcgw::sandbox::puller::TrialPuller| {
        platform
            .differences(&gateway.running.gateway, "provincial-platform")
            .await
            .expect("compared")
    };
    assert_eq!(differences(&platform).await, [""; 0]);
    let counts = platform.counts();
    assert_eq!(
        (counts.institutions, counts.caregivers, counts.ended),
        (9, 19, 2)
    );
    let mut moved = institution("I2", 5);
    moved.address = Some("新址".into());
    moved.beds = None;
    store(
        registry,
        &[
            put_institution(keys, moved),
            end(EntityKind::Caregiver, "C1", 2),
            put_caregiver(keys, caregiver("C77", 1)),
        ],
    )
    .await;
    assert_eq!(differences(&platform).await.len(), 3, "not followed yet");
    assert_eq!(platform.follow().await.expect("followed"), 3);
    assert_eq!(platform.follow().await.expect("followed"), 0);
    assert_eq!(differences(&platform).await, [""; 0]);
    gateway.value("UPDATE registry_change SET content = replace(content::text, '新址', '别处')::json WHERE kind = 'institution'").await;
    assert_eq!(
        differences(&platform).await,
        ["institution I2: address differ"]
    );
}
