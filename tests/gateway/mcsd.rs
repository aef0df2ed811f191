//! What IHE's mCSD (ITI-90) asks of a directory: every parameter, both ways of searching, includes, forms of an answer.

use ltcgw::model::registry::{
    CaregiverStatus, DatedStatus, EntityKind, InstitutionKind, InstitutionStatus, Job,
};
use serde_json::Value;

use crate::fhir::{Client, filled};
use crate::registered::{caregiver, end, institution, put_caregiver, put_institution, store};
use crate::support::Gateway;

/// Institutions and caregivers that differ.
async fn varied() -> Gateway {
    let gateway = filled(|scene| scene).await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    let from = jiff::civil::date(2026, 1, 1);
    let mut assessment = institution("assess", 1);
    assessment.kind = InstitutionKind::Assessment;
    assessment.modes.clear();
    let mut suspended = institution("paused", 1);
    suspended.statuses.push(DatedStatus {
        status: InstitutionStatus::Suspended,
        from,
        to: None,
    });
    let mut gone = caregiver("gone", 1);
    gone.statuses.push(DatedStatus {
        status: CaregiverStatus::Left,
        from,
        to: None,
    });
    gone.job = Job::Manager;
    let mut of_ended = caregiver("left-behind", 1);
    of_ended.institution_id = "I6".into();
    let puts = [
        put_institution(keys, assessment),
        put_institution(keys, suspended),
        put_caregiver(keys, gone),
        put_caregiver(keys, of_ended),
    ];
    store(registry, &puts).await;
    store(registry, &[end(EntityKind::Institution, "I6", 2)]).await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_a_directory_shall_serve_finds_what_it_says() {
    let gateway = varied().await;
    let client = Client::new(&gateway);
    for (question, expected) in [
        ("Organization?active=true", 10),
        ("Organization?active=false", 0),
        ("Organization?type=assessment", 1),
        ("Organization?type=facility", 10),
        (
            "Organization?type=https://terms.example/institution-kind%7Celderly_care",
            9,
        ),
        ("Organization?type=https://other.example/%7Celderly_care", 0),
        ("Organization?partof=Organization/I1", 0),
        ("Location?status=active,suspended", 10),
        ("Location?status=suspended", 1),
        ("Location?type=facility&organization=Organization/I1", 1),
        ("Location?partof=Location/I1", 0),
        ("HealthcareService?active=true", 10),
        ("HealthcareService?service-type=home", 9),
        ("HealthcareService?service-type=other", 1),
        ("HealthcareService?location=Location/I1", 1),
        ("HealthcareService?organization=I1,I2", 2),
        ("Practitioner?active=true", 15),
        ("Practitioner?active=false", 1),
        ("PractitionerRole?active=true", 14),
        ("PractitionerRole?active=false", 2),
        ("PractitionerRole?role=nurse", 15),
        ("PractitionerRole?role=exclusive", 16),
        ("PractitionerRole?location=Location/I1", 15),
        ("PractitionerRole?service=HealthcareService/I6", 1),
        ("PractitionerRole?practitioner=C1", 1),
        ("PractitionerRole?specialty=none", 0),
    ] {
        assert_eq!(client.ids(question).await.len(), expected, "{question}");
        let (_, answer) = client
            .get(&format!("{question}&_total=accurate&_count=1"))
            .await;
        assert_eq!(answer["total"], expected, "{question}");
    }
    assert_eq!(
        client.get("PractitionerRole/left-behind").await.1["active"],
        false,
        "its institution has ended"
    );
    assert_eq!(
        client.get("HealthcareService/assess").await.1["type"][0]["coding"][0]["code"],
        "other"
    );
    for question in ["Practitioner?given=x", "Practitioner?family=x"] {
        assert_eq!(
            client.get(question).await.0,
            403,
            "{question}: names are not given"
        );
    }
    let (_, counted) = client.get("Organization?_summary=count").await;
    assert_eq!(
        (&counted["total"], counted.get("entry")),
        (&10.into(), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn includes_bring_what_they_name_once() {
    let gateway = varied().await;
    let client = Client::new(&gateway);
    for (question, expected) in [
        (
            "Location?_include=Location:organization&_id=I1,I2",
            vec!["Organization/I1", "Organization/I2"],
        ),
        (
            "PractitionerRole?_include=PractitionerRole:practitioner&_id=C1",
            vec!["Practitioner/C1"],
        ),
        (
            "PractitionerRole?_include=PractitionerRole:organization&_id=C1,C2,left-behind",
            vec!["Organization/I1"],
        ),
        ("Organization?_include=Organization:endpoint&_id=I1", vec![]),
        (
            "Organization?_revinclude=Location:organization&_id=I1",
            vec!["Location/I1"],
        ),
        (
            "Organization?_revInclude=OrganizationAffiliation:primary-organization&_id=I1",
            vec![],
        ),
    ] {
        let (status, bundle) = client.get(question).await;
        assert_eq!(status, 200, "{bundle}");
        let entries = bundle["entry"].as_array().expect("entries");
        let included = entries
            .iter()
            .filter(|entry| entry["search"]["mode"] == "include");
        let named: Vec<String> = included
            .map(|entry| {
                format!(
                    "{}/{}",
                    entry["resource"]["resourceType"]
                        .as_str()
                        .unwrap_or_default(),
                    entry["resource"]["id"].as_str().unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(named, expected, "{question}");
    }
    assert_eq!(client.get("Location?_include=Location:owner").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_posted_headed_and_handled_as_preferred() {
    let gateway = varied().await;
    let client = Client::new(&gateway);
    let form = client
        .http
        .post(gateway.url("/fhir/Organization/_search?_id=I1,I2"))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = form.body("_id=I2,I3").send().await.expect("an answer");
    let bundle: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_eq!(
        bundle["entry"].as_array().map(Vec::len),
        Some(1),
        "both must hold: {bundle}"
    );
    let other = client
        .http
        .post(gateway.url("/fhir/Organization/_search"))
        .header("content-type", "application/json")
        .body("{}");
    assert_eq!(other.send().await.expect("an answer").status(), 415);
    for path in ["Organization/I1", "Organization?_count=3", "metadata"] {
        let head = client
            .http
            .head(gateway.url(&format!("/fhir/{path}")))
            .send()
            .await
            .expect("an answer");
        let whole = client
            .http
            .get(gateway.url(&format!("/fhir/{path}")))
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            (head.status(), head.headers()["content-type"].clone()),
            (whole.status(), whole.headers()["content-type"].clone()),
            "{path}"
        );
        assert_eq!(head.bytes().await.expect("none").len(), 0, "{path}");
    }
    let asked = |prefer: &'static str| {
        client
            .http
            .get(gateway.url("/fhir/Organization?colour=red&_id=I1"))
            .header("prefer", prefer)
            .send()
    };
    assert_eq!(
        asked("handling=strict").await.expect("an answer").status(),
        400
    );
    let lenient = asked("return=representation, handling=lenient")
        .await
        .expect("an answer");
    assert_eq!(lenient.status(), 200);
    let bundle: Value = serde_json::from_str(&lenient.text().await.expect("a body")).expect("JSON");
    assert_eq!(
        (
            &bundle["entry"][0]["resource"]["id"],
            &bundle["entry"][1]["search"]["mode"]
        ),
        (&"I1".into(), &"outcome".into())
    );
    assert!(
        !bundle["link"][0]["url"]
            .as_str()
            .expect("a URL")
            .contains("colour"),
        "{bundle}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_in_the_form_asked_for_is_406_and_every_error_an_operation_outcome()
{
    let gateway = varied().await;
    let client = Client::new(&gateway);
    for (accept, expected) in [
        ("application/json", 200),
        ("application/fhir+json;fhirVersion=4.0", 200),
        ("application/xml, application/fhir+json;q=0.5", 200),
        ("application/fhir+xml", 406),
        ("text/html", 406),
        ("application/fhir+json;q=0", 406),
        ("application/fhir+json;fhirVersion=5.0", 406),
    ] {
        let answer = client
            .http
            .get(gateway.url("/fhir/Organization/I1"))
            .header("accept", accept)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), expected, "{accept}");
    }
    for (method, path, expected) in [
        ("GET", "/fhir", 404),
        ("GET", "/fhir/", 404),
        ("GET", "/fhir/_history", 404),
        ("PUT", "/fhir/Organization/I1", 405),
        ("DELETE", "/fhir/Organization/I1", 405),
        ("POST", "/fhir/Organization", 405),
    ] {
        let request = client
            .http
            .request(method.parse().expect("a method"), gateway.url(path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            (
                request.status().as_u16(),
                &request.headers()["content-type"]
            ),
            (
                expected,
                &"application/fhir+json; charset=utf-8"
                    .parse()
                    .expect("a value")
            )
        );
        let outcome: Value =
            serde_json::from_str(&request.text().await.expect("a body")).expect("JSON");
        assert_eq!(
            outcome["resourceType"], "OperationOutcome",
            "{method} {path}"
        );
    }
    let tax = gateway.stage.client("nanning-tax").expect("a client");
    let refused = tax
        .get(gateway.url("/fhir/metadata"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (
            refused.status().as_u16(),
            &refused.headers()["content-type"]
        ),
        (
            404,
            &"application/fhir+json; charset=utf-8"
                .parse()
                .expect("a value")
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn links_say_the_configured_address_and_never_a_foreign_host() {
    let gateway = filled(|scene| {
        scene.edit(
            "# public_url = \"https://gateway.example:8443\"",
            "public_url = \"https://ltc.example:8443\"",
        )
    })
    .await;
    let client = Client::new(&gateway);
    let asked = client
        .http
        .get(gateway.url("/fhir/Organization?_count=1"))
        .header("host", "evil.example");
    let text = asked
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(
        text.contains("https://ltc.example:8443/fhir/Organization") && !text.contains("evil"),
        "{text}"
    );
    let by_certificate = filled(|scene| scene).await;
    let client = Client::new(&by_certificate);
    let asked = client
        .http
        .get(by_certificate.url("/fhir/Organization?_count=1"))
        .header("host", "evil.example");
    let text = asked
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(
        text.contains(&by_certificate.url("/fhir/Organization")) && !text.contains("evil"),
        "{text}"
    );
}
