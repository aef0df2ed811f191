//! Pullers bound to pooling areas: each is given its own cities, and learns of what leaves them that it is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use ltcgw::model::registry::EntityKind;
use ltcgw::store::DatabaseAccess;
use serde_json::Value;

use crate::registered::end;

mod puller; // what comes in, and how a puller sees it

use puller::{ALL, CHENGDU, LIUZHOU, NANNING, Puller, Source, key, short};

const GONE: &str = "no longer in the pooling areas agreed for this puller";

#[tokio::test(flavor = "multi_thread")]
async fn a_city_is_given_its_own_entries_as_if_there_were_no_others() {
    let source = Source::start().await;
    source
        .put(&[
            source.institution("N", 1, NANNING),
            source.institution("L", 1, LIUZHOU),
            source.institution("F", 1, CHENGDU),
        ])
        .await;
    source
        .put(&[
            source.caregiver("ofN", 1, "N"),
            source.caregiver("ofL", 1, "L"),
            source.caregiver("ofF", 1, "F"),
            source.caregiver("ofNone", 1, "X"),
        ])
        .await;
    source
        .put(&[
            source.institution("L", 2, LIUZHOU),
            end(EntityKind::Caregiver, "ofL", 2),
            source.institution("N", 2, NANNING),
        ])
        .await;
    for (name, institutions, caregivers) in [
        (
            "of-nanning",
            &["N 1 put", "N 2 put"][..],
            &["ofN 1 put"][..],
        ),
        (
            "of-liuzhou",
            &["L 1 put", "L 2 put"],
            &["ofL 1 put", "ofL 2 delete"],
        ),
        (
            "of-both",
            &["N 1 put", "L 1 put", "L 2 put", "N 2 put"],
            &["ofN 1 put", "ofL 1 put", "ofL 2 delete"],
        ),
        (
            "of-guangxi",
            &["N 1 put", "L 1 put", "L 2 put", "N 2 put"],
            &["ofN 1 put", "ofL 1 put", "ofL 2 delete"],
        ),
    ] {
        let puller = source.puller(name);
        assert_eq!(puller.changes("institutions").await, institutions, "{name}");
        assert_eq!(puller.changes("caregivers").await, caregivers, "{name}");
        let (items, trailer) = puller.snapshot().await;
        let ids: Vec<&str> = items.keys().map(|(_, id)| id.as_str()).collect();
        let expected: &[&str] = if name == "of-nanning" {
            &["ofN", "N"]
        } else if name == "of-liuzhou" {
            &["ofL", "L"]
        } else {
            &["ofL", "ofN", "L", "N"]
        };
        assert_eq!(ids, expected, "{name}");
        assert_eq!(
            trailer["institutions"]["items"],
            ids.iter().filter(|id| !id.starts_with("of")).count(),
            "{name}"
        );
    }
    let province = source.puller(ALL);
    assert_eq!(
        province.changes("institutions").await,
        ["N 1 put", "L 1 put", "F 1 put", "L 2 put", "N 2 put"]
    );
    assert_eq!(province.changes("caregivers").await.len(), 5);
    assert_eq!(province.snapshot().await.0.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_that_moves_is_gone_with_its_caregivers_where_it_was_and_whole_where_it_comes()
 {
    let source = Source::start().await;
    source
        .put(&[
            source.institution("I", 1, NANNING),
            source.institution("J", 1, LIUZHOU),
        ])
        .await;
    source
        .put(&[source.caregiver("C", 1, "I"), source.caregiver("D", 1, "J")])
        .await;
    let (_, before) = source
        .puller("of-nanning")
        .follow("institutions", 10, None)
        .await;
    source.put(&[source.institution("I", 2, LIUZHOU)]).await;
    source
        .put(&[
            source.institution("I", 3, LIUZHOU),
            source.caregiver("C", 2, "I"),
        ])
        .await;
    let (nanning, liuzhou) = (source.puller("of-nanning"), source.puller("of-liuzhou"));
    let gone = |id: &str| format!("{id} delete {GONE}");
    assert_eq!(
        nanning.changes("institutions").await,
        ["I 1 put".to_owned(), gone("I 2")],
        "and nothing of what became of it there"
    );
    assert_eq!(
        nanning.changes("caregivers").await,
        ["C 1 put".to_owned(), gone("C 1")]
    );
    assert_eq!(
        liuzhou.changes("institutions").await,
        ["J 1 put", "I 2 put", "I 3 put"]
    );
    assert_eq!(
        liuzhou.changes("caregivers").await,
        ["D 1 put", "C 1 status", "C 2 put"]
    );
    assert_eq!(
        source.puller("of-both").changes("institutions").await,
        ["I 1 put", "J 1 put", "I 2 put", "I 3 put"],
        "once, though it left one and came to the other"
    );
    // Whoever goes on from a cursor of before is told just that, at its place in the log.
    let (after, _) = nanning.follow("institutions", 10, Some(before)).await;
    let item: Value = serde_json::from_str(&after[0]).expect("an item");
    assert_eq!((after.len(), &item["sequence"]), (1, &5.into()));
    assert!(
        !after[0].contains("护理院") && !after[0].contains(LIUZHOU),
        "{}",
        after[0]
    );
    let (items, _) = nanning.snapshot().await;
    assert_eq!(
        items.values().map(|line| short(line)).collect::<Vec<_>>(),
        [gone("C 1"), gone("I 2")]
    );
    assert_eq!(
        liuzhou
            .snapshot()
            .await
            .0
            .values()
            .map(|line| short(line))
            .collect::<Vec<_>>(),
        ["C 2 put", "D 1 put", "I 3 put", "J 1 put"]
    );
    // And back.
    source.put(&[source.institution("I", 4, NANNING)]).await;
    assert_eq!(nanning.changes("institutions").await[2..], ["I 4 put"]);
    assert_eq!(nanning.changes("caregivers").await[2..], ["C 2 status"]);
    assert_eq!(liuzhou.changes("caregivers").await[3..], [gone("C 2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caregiver_who_goes_to_an_institution_of_another_city_goes_there_for_both_cities() {
    let source = Source::start().await;
    source
        .put(&[
            source.institution("I", 1, NANNING),
            source.institution("J", 1, LIUZHOU),
            source.caregiver("C", 1, "I"),
        ])
        .await;
    source.put(&[source.caregiver("C", 2, "J")]).await;
    source.put(&[source.caregiver("C", 3, "nowhere")]).await;
    let (nanning, liuzhou) = (source.puller("of-nanning"), source.puller("of-liuzhou"));
    assert_eq!(
        nanning.changes("caregivers").await,
        ["C 1 put".to_owned(), format!("C 2 delete {GONE}")]
    );
    assert_eq!(
        liuzhou.changes("caregivers").await,
        ["C 2 put".to_owned(), format!("C 3 delete {GONE}")]
    );
    assert_eq!(
        source.puller(ALL).changes("caregivers").await,
        ["C 1 put", "C 2 put", "C 3 put"]
    );
    // The institution comes late, and in one batch with an institution of the same city that moves.
    source
        .put(&[
            source.institution("J", 2, NANNING),
            source.institution("nowhere", 1, NANNING),
        ])
        .await;
    assert_eq!(nanning.changes("caregivers").await[2..], ["C 3 status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_where_the_entry_was_and_its_caregivers_stay_of_that_place_until_they_end() {
    let source = Source::start().await;
    source
        .put(&[
            source.institution("I", 1, NANNING),
            source.institution("J", 1, LIUZHOU),
            source.caregiver("C", 1, "I"),
            source.caregiver("D", 1, "I"),
        ])
        .await;
    // One of them changes in the batch that ends the institution.
    source
        .put(&[
            source.caregiver("D", 2, "I"),
            end(EntityKind::Institution, "I", 2),
        ])
        .await;
    let (nanning, liuzhou) = (source.puller("of-nanning"), source.puller("of-liuzhou"));
    assert_eq!(
        nanning.changes("institutions").await,
        ["I 1 put", "I 2 delete"]
    );
    assert_eq!(
        nanning.changes("caregivers").await,
        ["C 1 put", "D 1 put", "D 2 put", "C 1 status"]
    );
    let last = nanning
        .follow("caregivers", 100, None)
        .await
        .0
        .pop()
        .expect("an item");
    assert_eq!(
        serde_json::from_str::<Value>(&last).expect("an item")["record"]["working"],
        false
    );
    source
        .put(&[
            source.caregiver("D", 3, "I"),
            end(EntityKind::Caregiver, "C", 2),
        ])
        .await;
    assert_eq!(
        nanning.changes("caregivers").await[4..],
        ["D 3 put", "C 2 delete"]
    );
    assert_eq!(liuzhou.changes("institutions").await, ["J 1 put"]);
    assert_eq!(liuzhou.changes("caregivers").await, Vec::<String>::new());
    // Registered again elsewhere: new there, and nothing more is heard where it ended.
    source
        .put(&[
            source.institution("I", 3, LIUZHOU),
            end(EntityKind::Institution, "J", 2),
            end(EntityKind::Institution, "J", 3),
        ])
        .await;
    assert_eq!(
        liuzhou.changes("institutions").await,
        ["J 1 put", "I 3 put", "J 2 delete"]
    );
    assert_eq!(nanning.changes("institutions").await.len(), 2);
    assert_eq!(
        nanning.changes("caregivers").await[6..],
        [format!("D 3 delete {GONE}")]
    );
    let (items, _) = nanning.snapshot().await;
    assert_eq!(
        items.values().map(|line| short(line)).collect::<Vec<_>>(),
        [
            "C 2 delete".to_owned(),
            format!("D 3 delete {GONE}"),
            "I 2 delete".into()
        ]
    );
}

/// A small generator, so that a failure can be repeated.
struct Random(u32);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_moves_pages_of_any_size_and_snapshots_leave_each_city_with_what_lies_in_it() {
    let source = Source::start().await;
    let mut random = Random(7);
    let mut versions: BTreeMap<String, i64> = BTreeMap::new();
    // By id: the division of an institution, the institution of a caregiver; none once ended.
    let mut places: BTreeMap<String, (String, bool)> = BTreeMap::new();
    let mut belongs: BTreeMap<String, Option<String>> = BTreeMap::new();
    for _ in 0..60 {
        let mut batch = BTreeMap::new();
        for _ in 0..=random.below(4) {
            let is_institution = random.below(3) == 0;
            let id = if is_institution {
                format!("I{}", random.below(8))
            } else {
                format!("C{}", random.below(25))
            };
            let version = versions.entry(id.clone()).or_default();
            *version += 1;
            let ends = *version > 1 && random.below(5) == 0;
            let division = [NANNING, LIUZHOU, CHENGDU][random.below(3) as usize];
            let of = format!("I{}", random.below(9));
            let put = match (is_institution, ends) {
                (true, false) => source.institution(&id, *version, division),
                (false, false) => source.caregiver(&id, *version, &of),
                (true, true) => end(EntityKind::Institution, &id, *version),
                (false, true) => end(EntityKind::Caregiver, &id, *version),
            };
            if is_institution {
                let place = places.entry(id.clone()).or_default();
                *place = if ends {
                    (place.0.clone(), false)
                } else {
                    (division.into(), true)
                };
            } else {
                belongs.insert(id.clone(), (!ends).then_some(of));
            }
            batch.insert(id, put);
        }
        source.put(&batch.into_values().collect::<Vec<_>>()).await;
    }
    for (name, begins) in [
        ("of-nanning", &["4501"][..]),
        ("of-liuzhou", &["4502"]),
        ("of-both", &["4501", "4502"]),
        ("of-guangxi", &["45"]),
        (ALL, &[""]),
    ] {
        let lies = |division: &str| begins.iter().any(|begin| division.starts_with(begin));
        let institutions = places
            .iter()
            .filter(|(_, (division, there))| *there && lies(division))
            .map(|(id, _)| id.clone());
        let of_place =
            |of: &String| name == ALL || places.get(of).is_some_and(|(division, _)| lies(division));
        let caregivers = belongs
            .iter()
            .filter(|(_, of)| of.as_ref().is_some_and(of_place))
            .map(|(id, _)| id.clone());
        let expected: Vec<String> = caregivers.chain(institutions).collect();
        let puller = source.puller(name);
        let (snapshot, _) = puller.snapshot().await;
        let mut held = BTreeMap::new();
        for route in ["caregivers", "institutions"] {
            let (whole, _) = puller.follow(route, 1000, None).await;
            for limit in [1, 3, 7] {
                assert_eq!(
                    puller.follow(route, limit, None).await.0,
                    whole,
                    "{name}: pages of {limit}"
                );
            }
            held.extend(whole.into_iter().map(|line| (key(&line), line)));
        }
        assert_eq!(held, snapshot, "{name}: what pages leave is the snapshot");
        let there = held
            .iter()
            .filter(|(_, line)| short(line).split(' ').nth(2) != Some("delete"))
            .map(|((_, id), _)| id.clone());
        assert_eq!(there.collect::<Vec<_>>(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_other_areas_is_gone_and_says_to_take_a_new_snapshot() {
    let source = Source::start().await;
    source
        .put(&[
            source.institution("I", 1, NANNING),
            source.institution("J", 1, NANNING),
        ])
        .await;
    let old = source.puller("of-nanning");
    let (_, cursor) = old.follow("institutions", 1, None).await;
    let first = old.get("/province/v1/institutions").await;
    let etag = first.headers()["etag"].to_str().expect("text").to_owned();
    let next = old.json("/fhir/Organization?_count=1").await.1["link"][1]["url"]
        .as_str()
        .expect("a link")
        .to_owned();
    let next = next.split_once("/fhir/").expect("a path").1.to_owned();
    assert_eq!(
        old.client
            .get(source.gateway.url("/province/v1/institutions"))
            .header("if-none-match", &etag)
            .send()
            .await
            .expect("an answer")
            .status(),
        304
    );
    // Another instance on the same database, whose configuration gives it one more city, and its neighbour every one.
    let path = source.gateway.stage.config_dir.join("partners.toml");
    let partners = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(
        &path,
        partners
            .replace(
                "areas = [\"450100\"]\ninstitution",
                "areas = [\"450100\", \"450300\"]\ninstitution",
            )
            .replace("areas = [\"450200\"]\n", ""),
    )
    .expect("written");
    let (_, neighbours) = source
        .puller("of-liuzhou")
        .follow("institutions", 1, None)
        .await;
    let other = source
        .gateway
        .stage
        .start(DatabaseAccess::local(source.gateway.database.clone()))
        .await
        .map_err(|fault| fault.text)
        .expect("it starts");
    let port = other.server.partner.port();
    let new = Puller {
        port,
        ..source.puller("of-nanning")
    };
    for (puller, cursor) in [
        (&new, &cursor),
        (
            &Puller {
                port,
                ..source.puller("of-liuzhou")
            },
            &neighbours,
        ),
    ] {
        let (status, problem) = puller
            .json(&format!("/province/v1/institutions?cursor={cursor}"))
            .await;
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(
            status == 410 && detail.contains("areas") && detail.contains("take a new snapshot"),
            "{status} {problem}"
        );
    }
    let (status, outcome) = new.json(&format!("/fhir/{next}")).await;
    assert_eq!(
        (
            status,
            &outcome["resourceType"],
            &outcome["issue"][0]["code"]
        ),
        (410, &"OperationOutcome".into(), &"business-rule".into()),
        "{outcome}"
    );
    // The same items, and another answer: its cursor is another.
    let again = new
        .client
        .get(format!("https://localhost:{port}/province/v1/institutions"))
        .header("if-none-match", &etag)
        .send()
        .await
        .expect("an answer");
    assert_eq!(again.status(), 200);
    assert_ne!(again.headers()["etag"].to_str().expect("text"), etag);
    let (_, trailer) = new.snapshot().await;
    let cursor = trailer["institutions"]["cursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    assert_eq!(
        new.follow("institutions", 10, Some(cursor)).await.0.len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fhir_has_of_other_cities_nothing_and_of_what_left_that_it_is_gone() {
    let source = Source::start().await;
    source
        .put(&[
            source.institution("N", 1, NANNING),
            source.institution("M", 1, NANNING),
            source.institution("L", 1, LIUZHOU),
        ])
        .await;
    source
        .put(&[
            source.caregiver("ofN", 1, "N"),
            source.caregiver("ofM", 1, "M"),
            source.caregiver("ofL", 1, "L"),
        ])
        .await;
    source.put(&[source.institution("M", 2, LIUZHOU)]).await;
    let nanning = source.puller("of-nanning");
    for (path, status, code) in [
        ("Organization/L", 404, "not-found"),
        ("PractitionerRole/ofL", 404, "not-found"),
        ("Practitioner/ofL/_history", 404, "not-found"),
        ("Location/M", 410, "deleted"),
        ("Practitioner/ofM", 410, "deleted"),
    ] {
        let (found, outcome) = nanning.json(&format!("/fhir/{path}")).await;
        let found = (
            found,
            outcome["resourceType"].as_str(),
            outcome["issue"][0]["code"].as_str(),
        );
        assert_eq!(
            found,
            (status, Some("OperationOutcome"), Some(code)),
            "{path}"
        );
    }
    assert_eq!(nanning.json("/fhir/Organization/N").await.0, 200);
    let (_, bundle) = nanning.json("/fhir/Organization?_total=accurate").await;
    assert_eq!(
        (&bundle["total"], bundle["entry"].as_array().map(Vec::len)),
        (&1.into(), Some(1))
    );
    assert_eq!(
        nanning.json("/fhir/Practitioner?_summary=count").await.1["total"],
        1
    );
    for (search, ids) in [
        ("Organization?_lastUpdated=ge2020-01-01", &["N"][..]),
        ("Organization?_id=N,M,L", &["N"]),
        ("HealthcareService?identifier=91450100MA5KABCD12", &["N"]),
        ("PractitionerRole?organization=Organization/L", &[]),
        ("PractitionerRole?organization=Organization/M", &[]),
        (
            "PractitionerRole?_include=PractitionerRole:organization",
            &["ofN", "N"],
        ),
        ("Practitioner?name=护理员", &["ofN"]),
        (
            "Practitioner?_id=ofN&_revinclude=PractitionerRole:practitioner",
            &["ofN", "ofN"],
        ),
    ] {
        assert_eq!(nanning.fhir(search).await, ids, "{search}");
    }
    let organizations = [
        "DELETE Organization/M",
        "PUT Organization/M whole",
        "PUT Organization/N whole",
    ];
    assert_eq!(nanning.fhir("Organization/_history").await, organizations);
    assert_eq!(
        nanning
            .fhir("Organization/_history?_since=2020-01-01")
            .await,
        organizations
    );
    assert_eq!(
        nanning.fhir("Organization/_history?_count=2").await,
        organizations[..2]
    );
    assert_eq!(
        nanning
            .fhir("Organization/_history?_since=2199-01-01")
            .await,
        Vec::<String>::new()
    );
    assert_eq!(
        nanning.fhir("PractitionerRole/ofM/_history").await,
        [
            "DELETE PractitionerRole/ofM",
            "PUT PractitionerRole/ofM whole"
        ]
    );
    assert_eq!(
        source.puller("of-liuzhou").fhir("Organization").await,
        ["L", "M"]
    );
    assert_eq!(
        source
            .puller("of-guangxi")
            .fhir("Organization?_count=10")
            .await,
        ["N", "L", "M"]
    );
    assert_eq!(
        source
            .puller(ALL)
            .fhir("Organization/_history?_count=1")
            .await,
        ["PUT Organization/M whole"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puller_of_every_area_keeps_its_cursors_its_etags_and_every_change() {
    let source = Source::start().await;
    source
        .put(&[
            source.institution("I", 1, NANNING),
            source.caregiver("C", 1, "I"),
        ])
        .await;
    source.put(&[source.institution("I", 2, CHENGDU)]).await;
    let province = source.puller(ALL);
    assert_eq!(
        province.changes("institutions").await,
        ["I 1 put", "I 2 put"]
    );
    assert_eq!(
        province.changes("caregivers").await,
        ["C 1 put", "C 1 status"]
    );
    let (_, cursor) = province.follow("institutions", 10, None).await;
    assert!(
        cursor.starts_with("AWk") && cursor.len() == 83,
        "the form that was given out until now: {cursor}"
    );
    let etag = province.get("/province/v1/institutions").await.headers()["etag"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(etag.split('-').count(), 3, "{etag}");
}

#[tokio::test(flavor = "multi_thread")]
async fn institutions_that_move_while_their_caregivers_change_leave_nobody_behind() {
    let source = Arc::new(Source::start().await);
    source.put(&[source.institution("I", 1, NANNING)]).await;
    source
        .put(
            &(0..40)
                .map(|id| source.caregiver(&format!("C{id}"), 1, "I"))
                .collect::<Vec<_>>(),
        )
        .await;
    let writers: Vec<_> = (0..4_i64)
        .map(|writer| {
            let source = source.clone();
            tokio::spawn(async move {
                for version in 2..12 {
                    let puts: Vec<_> = (0..10)
                        .map(|id| source.caregiver(&format!("C{}", writer * 10 + id), version, "I"))
                        .collect();
                    source.put(&puts).await;
                }
            })
        })
        .collect();
    for version in 2..20 {
        source
            .put(&[source.institution(
                "I",
                version,
                if version % 2 == 0 { LIUZHOU } else { NANNING },
            )])
            .await;
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    let behind = "SELECT count(*) FROM registry_entity e WHERE e.kind = 'caregiver' AND e.city IS DISTINCT FROM 4501";
    assert_eq!(source.gateway.value(behind).await, "0");
    let torn = "SELECT count(*) FROM (SELECT city_before, lag(city) OVER (PARTITION BY kind, entity_id ORDER BY sequence) AS lay FROM registry_change) c
        WHERE city_before IS DISTINCT FROM lay";
    assert_eq!(
        source.gateway.value(torn).await,
        "0",
        "each change goes on where the one before it ended"
    );
    assert_eq!(
        source
            .puller("of-liuzhou")
            .snapshot()
            .await
            .0
            .values()
            .filter(|line| !line.contains(GONE))
            .count(),
        0
    );
}

/// The log of a database as it was before places were kept: `division` or `institution_id`, none for an end.
async fn old_log(source: &Source, log: &[(&str, &str, Option<&str>)]) {
    source
        .gateway
        .value(include_str!("pull_areas/before_places.sql"))
        .await;
    let head = format!("UPDATE registry_head SET sequence = {}", log.len());
    source.gateway.value(&head).await;
    for (sequence, (kind, id, place)) in (1..).zip(log) {
        let put = match (*kind, place) {
            ("institution", Some(division)) => source.institution(id, sequence, division),
            (_, Some(institution_id)) => source.caregiver(id, sequence, institution_id),
            _ => end(EntityKind::of_word(kind).expect("a kind"), id, sequence),
        };
        let content = put
            .content
            .as_ref()
            .map_or("NULL".into(), |content| format!("'{content}'"));
        let institution_id = if *kind == "caregiver" {
            place.map_or("NULL".into(), |id| format!("'{id}'"))
        } else {
            "NULL".into()
        };
        let (change, reason) = if put.content.is_some() {
            ("put", "NULL")
        } else {
            ("delete", "'closed'")
        };
        source
            .gateway
            .value(&format!(
                "INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, status, designated, reason, effective_on, institution_kind)
             VALUES ({sequence}, '{kind}', '{id}', {sequence}, '{change}', {content}, 'active', false, {reason}, '2026-01-01', 'elderly_care');
             INSERT INTO registry_entity (kind, entity_id, version, sequence, ended, digest, designated, institution_kind, institution_id)
             VALUES ('{kind}', '{id}', {sequence}, {sequence}, {ended}, sha256('x'), false, 'elderly_care', {institution_id})
             ON CONFLICT (kind, entity_id) DO UPDATE SET version = {sequence}, sequence = {sequence}, ended = {ended}, institution_id = {institution_id}",
                ended = put.content.is_none()
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_before_get_their_places_from_the_migration_and_caregivers_left_behind_follow() {
    let source = Source::start().await;
    old_log(
        &source,
        &[
            ("institution", "I", Some(NANNING)),
            ("caregiver", "C", Some("I")),
            ("caregiver", "D", Some("I")),
            ("caregiver", "E", Some("K")), // before its institution, as in some loads
            ("institution", "K", Some(LIUZHOU)),
            ("institution", "I", Some(LIUZHOU)), // and C and D were left behind
            ("caregiver", "F", Some("I")),
            ("caregiver", "D", Some("K")),
            ("institution", "K", None),
            ("caregiver", "E", None),
        ],
    )
    .await;
    let other = source
        .gateway
        .stage
        .start(DatabaseAccess::local(source.gateway.database.clone()))
        .await
        .map_err(|fault| fault.text)
        .expect("it starts");
    let log = "SELECT entity_id, city, city_before FROM registry_change ORDER BY sequence LIMIT 10";
    assert_eq!(
        source.gateway.value(log).await,
        "I 4501 -; C 4501 -; D 4501 -; E 4502 -; K 4502 -; I 4502 4501; F 4502 -; D 4502 4501; K - 4502; E - 4502"
    );
    source
        .gateway
        .until(
            "SELECT count(*) FROM registry_change WHERE entity_id = 'C'",
            "2",
        )
        .await;
    assert_eq!(
        source
            .gateway
            .value("SELECT kind, entity_id, city FROM registry_entity ORDER BY 1, 2")
            .await,
        "caregiver C 4502; caregiver D 4502; caregiver E 4502; caregiver F 4502; institution I 4502; institution K 4502"
    );
    let puller = |name| Puller {
        port: other.server.partner.port(),
        ..source.puller(name)
    };
    assert_eq!(
        puller("of-nanning").changes("institutions").await,
        ["I 1 put".to_owned(), format!("I 6 delete {GONE}")]
    );
    assert_eq!(
        puller("of-nanning").changes("caregivers").await,
        [
            "C 2 put".into(),
            "D 3 put".into(),
            format!("D 8 delete {GONE}"),
            format!("C 2 delete {GONE}")
        ]
    );
    assert_eq!(
        puller("of-liuzhou").changes("caregivers").await,
        ["E 4 put", "F 7 put", "D 8 put", "E 10 delete", "C 2 status"]
    );
}
