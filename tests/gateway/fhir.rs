//! The registries as FHIR resources: read, searched, followed; nothing lost between pages, nothing private.

use ltcgw::model::registry::EntityKind;
use ltcgw::sandbox::stage::Scene;
use serde_json::Value;

use crate::registered::{
    PLANTED, caregiver, end, institution, put_caregiver, put_institution, store,
};
use crate::support::Gateway;

pub struct Client<'a> {
    gateway: &'a Gateway,
    pub http: reqwest::Client,
}

impl<'a> Client<'a> {
    pub fn new(gateway: &'a Gateway) -> Client<'a> {
        Client {
            gateway,
            http: gateway
                .stage
                .client("provincial-platform")
                .expect("a client"),
        }
    }

    /// Status and body of a path below /fhir/, or of an absolute link.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let url = if path.starts_with("https://") {
            path.to_string()
        } else {
            self.gateway.url(&format!("/fhir/{path}"))
        };
        let answer = self.http.get(url).send().await.expect("an answer");
        assert_eq!(
            answer.headers()["content-type"],
            "application/fhir+json; charset=utf-8",
            "{path}"
        );
        let status = answer.status().as_u16();
        let body = answer.text().await.expect("a body");
        (
            status,
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")),
        )
    }

    /// All entries of a search or history, page by page; also how many pages.
    async fn all(&self, path: &str) -> (Vec<Value>, usize) {
        let (mut next, mut entries, mut pages) = (Some(path.to_string()), Vec::new(), 0);
        while let Some(link) = next {
            let (status, bundle) = self.get(&link).await;
            assert_eq!(status, 200, "{bundle}");
            entries.extend(bundle["entry"].as_array().cloned().unwrap_or_default());
            next = link_of(&bundle, "next");
            pages += 1;
        }
        (entries, pages)
    }

    pub async fn ids(&self, path: &str) -> Vec<String> {
        let (entries, _) = self.all(path).await;
        entries
            .iter()
            .map(|entry| entry["resource"]["id"].as_str().expect("an id").to_string())
            .collect()
    }
}

fn link_of(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array().expect("links");
    links
        .iter()
        .find(|link| link["relation"] == relation)
        .map(|link| link["url"].as_str().expect("a URL").to_string())
}

pub async fn filled(change: impl FnOnce(Scene) -> Scene) -> Gateway {
    let terms = |scene: Scene| {
        scene.edit(
            "# terms_url = \"https://ltc.example.gov.cn/terms/\"",
            "terms_url = \"https://terms.example/\"",
        )
    };
    let faster = |scene: Scene| {
        terms(scene).edit(
            "requests_per_second = 50\n\n[partner.fields]",
            "requests_per_second = 5000\n\n[partner.fields]",
        )
    };
    let gateway = Gateway::with(|scene| change(faster(scene))).await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    let mut puts: Vec<_> = (1..=9)
        .map(|id| put_institution(keys, institution(&format!("I{id}"), 1)))
        .collect();
    puts.push(put_institution(keys, institution("under_score", 1)));
    puts.extend((1..=15).map(|id| put_caregiver(keys, caregiver(&format!("C{id}"), 1))));
    store(registry, &puts).await;
    store(
        registry,
        &[
            end(EntityKind::Institution, "I5", 2),
            end(EntityKind::Caregiver, "C4", 2),
            put_institution(keys, institution("I2", 2)),
        ],
    )
    .await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_names_what_is_served_and_each_of_it_answers() {
    let gateway = filled(|scene| scene).await;
    let client = Client::new(&gateway);
    let (status, statement) = client.get("metadata").await;
    assert_eq!(
        (
            status,
            &statement["resourceType"],
            &statement["fhirVersion"]
        ),
        (200, &"CapabilityStatement".into(), &"4.0.1".into())
    );
    let resources = statement["rest"][0]["resource"]
        .as_array()
        .expect("resources");
    assert_eq!(resources.len(), 5);
    for resource in resources {
        let of = resource["type"].as_str().expect("a type");
        let (status, bundle) = client.get(&format!("{of}?_count=2")).await;
        assert_eq!(
            (
                status,
                &bundle["type"],
                bundle["entry"].as_array().map(Vec::len)
            ),
            (200, &"searchset".into(), Some(2)),
            "{of}"
        );
        assert_eq!(
            client.get(&format!("{of}/_history?_count=2")).await.1["type"],
            "history"
        );
        for parameter in resource["searchParam"].as_array().expect("parameters") {
            let value = match parameter["type"].as_str() {
                Some("date") => "ge2020-01-01",
                _ => "nothing-has-this",
            };
            let (status, answer) = client
                .get(&format!(
                    "{of}?{}={value}",
                    parameter["name"].as_str().expect("a name")
                ))
                .await;
            assert_eq!(status, 200, "{of} {parameter}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_is_an_organization_a_location_and_a_service() {
    let gateway = filled(|scene| scene).await;
    let client = Client::new(&gateway);
    let (_, organization) = client.get("Organization/I1").await;
    assert_eq!(
        organization["identifier"][1],
        serde_json::json!({"system": "https://terms.example/uscc", "value": "91450100MA5KABCD12"})
    );
    assert_eq!(
        (
            &organization["active"],
            &organization["name"],
            organization.get("contact")
        ),
        (&true.into(), &"南宁第I1护理院1".into(), None)
    );
    let (_, location) = client.get("Location/I1").await;
    assert_eq!(
        (
            &location["status"],
            &location["managingOrganization"]["reference"]
        ),
        (&"active".into(), &"Organization/I1".into())
    );
    let (_, service) = client.get("HealthcareService/I1").await;
    assert_eq!(
        (&service["active"], &service["providedBy"]["reference"]),
        (&true.into(), &"Organization/I1".into())
    );
    assert_eq!(service["type"].as_array().map(Vec::len), Some(2));
    let (_, role) = client.get("PractitionerRole/C1").await;
    assert_eq!(
        (
            &role["practitioner"]["reference"],
            &role["organization"]["reference"]
        ),
        (&"Practitioner/C1".into(), &"Organization/I1".into())
    );
    let (_, practitioner) = client.get("Practitioner/C1").await;
    assert_eq!(
        (&practitioner["gender"], practitioner.get("birthDate")),
        (&"female".into(), None)
    );
    assert_eq!(
        practitioner["name"][0]["extension"][0]["valueCode"],
        "masked"
    );
    assert_eq!(
        client.get("Organization/under.uscore").await.1["id"],
        "under.uscore",
        "an id FHIR does not allow"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_shows_what_the_client_is_not_given() {
    let gateway = filled(|scene| {
        scene.edit(
            "    \"uscc\", \"name\", \"division\", \"address\", \"kind\"",
            "    \"name\", \"kind\"",
        )
    })
    .await;
    let client = Client::new(&gateway);
    for of in [
        "Organization",
        "Location",
        "HealthcareService",
        "Practitioner",
        "PractitionerRole",
    ] {
        for path in [
            of.to_string(),
            format!("{of}/_history"),
            format!("{of}/{}1", if of.starts_with('P') { 'C' } else { 'I' }),
        ] {
            let (status, body) = client.get(&path).await;
            let body = body.to_string();
            assert_eq!(status, 200, "{path}: {body}");
            for hidden in PLANTED.into_iter().chain([
                "NURSE-PLANTED",
                "91450100MA5KABCD12",
                "民族大道",
                "450103",
            ]) {
                assert!(!body.contains(hidden), "{path} shows {hidden}");
            }
        }
    }
    let (status, outcome) = client
        .get("Organization?identifier=https://terms.example/uscc%7C91450100MA5KABCD12")
        .await;
    assert_eq!(
        (status, &outcome["issue"][0]["code"]),
        (403, &"forbidden".into()),
        "what is not given cannot be asked for"
    );
    assert_eq!(
        client
            .ids("Organization?identifier=91450100MA5KABCD12")
            .await,
        [""; 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_given_names_finds_practitioners_by_name_and_certificate() {
    let gateway = filled(|scene| {
        scene.edit(
            "    \"statuses\", \"registered_on\", \"status\",\n]",
            "    \"personal.name\", \"personal.certificate_number\", \"personal.birth_on\",\n]",
        )
    })
    .await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    let mut other = caregiver("other", 1);
    if let Some(personal) = &mut other.personal {
        personal.name = "梁某".into();
        personal.certificate_number = "11010519491231002X".into();
    }
    store(registry, &[put_caregiver(keys, other)]).await;
    let client = Client::new(&gateway);
    assert_eq!(client.ids("Practitioner?name=梁").await, ["other"]);
    assert_eq!(
        client
            .ids("Practitioner?name:contains=覃&_count=4")
            .await
            .len(),
        14
    );
    assert_eq!(client.ids("Practitioner?name:exact=梁").await, [""; 0]);
    assert_eq!(
        client
            .ids("Practitioner?identifier=11010519491231002X")
            .await,
        ["other"]
    );
    let (_, practitioner) = client.get("Practitioner/other").await;
    assert_eq!(
        (&practitioner["name"][0]["text"], &practitioner["birthDate"]),
        (&"梁某".into(), &"1970-01-01".into())
    );
    assert!(
        practitioner.get("telecom").is_none(),
        "a phone was not named: {practitioner}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_by_identifier_name_reference_and_time() {
    let gateway = filled(|scene| scene).await;
    let client = Client::new(&gateway);
    assert_eq!(
        client
            .ids("Organization?identifier=https://terms.example/licence%7CL-I3")
            .await,
        ["I3"]
    );
    assert_eq!(
        client.ids("Organization?identifier=L-I3,I4").await,
        ["I3", "I4"]
    );
    assert_eq!(
        client.ids("Organization?identifier=urn:other%7CI3").await,
        [""; 0]
    );
    assert_eq!(
        client
            .ids("Organization?identifier=91450100MA5KABCD12")
            .await
            .len(),
        9
    );
    assert_eq!(client.ids("Organization?name=南宁第I2").await, ["I2"]);
    assert_eq!(client.ids("Organization?name:contains=i3护").await, ["I3"]);
    assert_eq!(
        client.ids("Organization?name:exact=南宁第I2").await,
        [""; 0]
    );
    assert_eq!(
        client.ids("Organization?name=%25").await,
        [""; 0],
        "a per cent sign is one"
    );
    assert_eq!(
        client
            .ids("Organization?_id=I3,I5,I7&identifier=I7,I8")
            .await,
        ["I7"]
    );
    assert_eq!(
        client.ids("Location?organization=Organization/I3").await,
        ["I3"]
    );
    assert_eq!(
        client
            .ids("PractitionerRole?organization=Organization/I1")
            .await
            .len(),
        14
    );
    assert_eq!(
        client
            .ids("PractitionerRole?practitioner=Practitioner/C3")
            .await,
        ["C3"]
    );
    let (_, last) = client.get("Organization/I2").await;
    let at = last["meta"]["lastUpdated"].as_str().expect("a time");
    assert_eq!(
        client
            .ids(&format!("Organization?_lastUpdated=ge{at}"))
            .await,
        ["I2"]
    );
    assert_eq!(
        client
            .ids(&format!("Organization?_lastUpdated=gt{at}"))
            .await,
        [""; 0]
    );
    assert_eq!(
        client
            .ids(&format!("Organization?_lastUpdated=lt{at}"))
            .await
            .len(),
        8
    );
    assert_eq!(
        client
            .ids(&format!(
                "Organization?_lastUpdated=le{at}&_lastUpdated=ge2020-01-01"
            ))
            .await
            .len(),
        9
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lose_and_repeat_nothing_though_all_times_are_equal() {
    let gateway = filled(|scene| scene).await;
    gateway
        .value("UPDATE registry_change SET changed_at = '2026-01-01T00:00:00Z'")
        .await;
    let client = Client::new(&gateway);
    let whole = client.ids("Practitioner?_count=1000").await;
    assert_eq!(whole.len(), 14);
    for count in 1..=15 {
        let (entries, pages) = client
            .all(&format!(
                "Practitioner?_count={count}&_lastUpdated=ge2025-12-31"
            ))
            .await;
        let ids: Vec<&str> = entries
            .iter()
            .map(|entry| entry["resource"]["id"].as_str().expect("an id"))
            .collect();
        assert_eq!(
            (ids, pages),
            (
                whole.iter().map(String::as_str).collect(),
                14_usize.div_ceil(count)
            ),
            "pages of {count}"
        );
        let (entries, _) = client
            .all(&format!(
                "Practitioner/_history?_count={count}&_since=2026-01-01T00:00:00Z"
            ))
            .await;
        assert_eq!(entries.len(), 16, "history in pages of {count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_pages_are_turned_comes_later_and_is_not_lost() {
    let gateway = filled(|scene| scene).await;
    let client = Client::new(&gateway);
    let (_, first) = client.get("Organization?_count=5").await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    store(
        registry,
        &[
            put_institution(keys, institution("I1", 7)),
            put_institution(keys, institution("I9", 7)),
        ],
    )
    .await;
    let rest = client
        .ids(&link_of(&first, "next").expect("a next page"))
        .await;
    let mut seen: Vec<String> = first["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| entry["resource"]["id"].as_str().expect("an id").into())
        .collect();
    seen.extend(rest);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 9, "{seen:?}");
    let (_, history) = client.get("Organization/_history?_count=3").await;
    store(registry, &[put_institution(keys, institution("I1", 8))]).await;
    let (older, _) = client
        .all(&link_of(&history, "next").expect("a next page"))
        .await;
    assert_eq!(
        older.len(),
        14 - 3,
        "ten puts, a change and an end before; two since"
    );
    let since = history["meta"]["lastUpdated"].as_str().expect("a time");
    let (newer, _) = client
        .all(&format!("Organization/_history?_since={since}"))
        .await;
    assert_eq!(
        newer[0]["resource"]["meta"]["versionId"],
        (registry.head().await.expect("a head")).to_string()
    );
    assert_eq!(newer.len(), 2, "the last one seen and what came after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_tells_what_has_ended() {
    let gateway = filled(|scene| scene).await;
    let client = Client::new(&gateway);
    let (entries, _) = client.all("Organization/_history?_since=2020-01-01").await;
    assert_eq!(entries.len(), 12);
    assert_eq!(entries[0]["resource"]["id"], "I2", "newest first");
    let deleted: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["request"]["method"] == "DELETE")
        .collect();
    assert_eq!(
        (
            deleted.len(),
            &deleted[0]["request"]["url"],
            deleted[0].get("resource")
        ),
        (1, &"Organization/I5".into(), None)
    );
    let (entries, _) = client.all("Organization/I5/_history").await;
    assert_eq!(
        entries
            .iter()
            .map(|entry| entry["request"]["method"].as_str().expect("a method"))
            .collect::<Vec<_>>(),
        ["DELETE", "PUT"]
    );
    let (status, outcome) = client.get("Organization/I5").await;
    assert_eq!(
        (
            status,
            &outcome["resourceType"],
            &outcome["issue"][0]["code"]
        ),
        (410, &"OperationOutcome".into(), &"deleted".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_gets_an_operation_outcome() {
    let gateway = filled(|scene| scene).await;
    let client = Client::new(&gateway);
    let (_, page) = client.get("Organization?_count=2").await;
    let next = link_of(&page, "next").expect("a next page");
    let cursor = next.split("_cursor=").nth(1).expect("a cursor");
    for (path, expected, text) in [
        ("Patient".to_string(), 404, "served are Organization"),
        (
            "Organization/nobody".into(),
            404,
            "no Organization of this id",
        ),
        ("Organization/a/b/c".into(), 404, "nothing here"),
        ("Organization?nam=x".into(), 400, "did you mean `name`?"),
        (
            "Organization?name:missing=true".into(),
            400,
            ":contains and :exact",
        ),
        ("Organization?_count=-1".into(), 400, "_count"),
        ("Organization/_history?_count=0".into(), 400, "_count"),
        (
            "Organization?_lastUpdated=xx2026".into(),
            400,
            "_lastUpdated",
        ),
        (
            "Organization/_history?_since=yesterday".into(),
            400,
            "_since",
        ),
        ("Organization?name=%00".into(), 400, "NUL"),
        (
            "Organization?_format=xml".into(),
            406,
            "application/fhir+json only",
        ),
        ("Organization?_cursor=AAAA".into(), 400, "damaged"),
        (
            format!("Organization?name=x&_cursor={cursor}"),
            400,
            "another question",
        ),
        (
            format!("Location?_cursor={cursor}"),
            400,
            "another question",
        ),
        (format!("Practitioner?_cursor={cursor}"), 400, "other route"),
    ] {
        let (status, outcome) = client.get(&path).await;
        assert_eq!(
            (status, &outcome["resourceType"]),
            (expected, &"OperationOutcome".into()),
            "{path}: {outcome}"
        );
        let said = outcome["issue"][0]["diagnostics"].as_str().expect("a text");
        assert!(said.contains(text), "{path}: {said}");
    }
    let pulled = client
        .http
        .get(gateway.url(&format!("/province/v1/institutions?cursor={cursor}")))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        pulled.status(),
        400,
        "a cursor of FHIR is none of the pages"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_did_not_change_is_304() {
    let gateway = filled(|scene| scene).await;
    let client = Client::new(&gateway);
    let get = || client.http.get(gateway.url("/fhir/Organization/I1"));
    let first = get().send().await.expect("an answer");
    let etag = first.headers()["etag"].clone();
    assert!(
        first.headers().contains_key("last-modified")
            && etag.to_str().expect("text").starts_with("W/\"")
    );
    assert_eq!(
        get()
            .header("if-none-match", &etag)
            .send()
            .await
            .expect("an answer")
            .status(),
        304
    );
    assert_eq!(
        get()
            .header("if-none-match", "W/\"0\"")
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
}
