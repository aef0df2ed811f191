//! A caregiver as Practitioner and PractitionerRole.
//!
//! Who the caregiver is comes from the personal part and is there only for a puller that is given
//! it; for others the name is marked as masked, as FHIR wants it, and everything else is left out.

use serde_json::{Value, json};

use super::{FhirTerms, fhir_id, without_empty};

pub fn practitioner(terms: FhirTerms<'_>, (_, own): (&str, &str), record: &Value) -> Value {
    let personal = &record["personal"];
    let mut identifiers = vec![terms.identifier("caregiver-id", own)];
    if let Some(number) = personal["certificate_number"].as_str() {
        identifiers.push(terms.identifier(
            &format!(
                "certificate:{}",
                personal["certificate_type"].as_str().unwrap_or("other")
            ),
            number,
        ));
    }
    let name = match personal["name"].as_str() {
        Some(name) => json!({ "use": "official", "text": name }),
        None => {
            json!({ "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked" }] })
        }
    };
    let phone = personal["phone"]
        .as_str()
        .map(|phone| json!([{ "system": "phone", "value": phone }]));
    let qualifications = record["qualifications"].as_array().into_iter().flatten();
    json!({
        "identifier": identifiers,
        "active": active(record),
        "name": [name],
        "telecom": phone,
        "gender": record["sex"],
        "birthDate": personal["birth_on"],
        "qualification": qualifications.map(|held| qualification(terms, held, &personal["qualification_numbers"])).collect::<Vec<_>>(),
    })
}

/// `working`: neither has he or she left, nor the institution ended.
pub fn role(
    terms: FhirTerms<'_>,
    (id, own): (&str, &str),
    (record, working): (&Value, bool),
) -> Value {
    let contract = &record["contract"];
    let institution = record["institution_id"].as_str().map(fhir_id);
    let reference = |of: &str| {
        institution
            .as_ref()
            .map(|id| json!({ "reference": format!("{of}/{id}") }))
    };
    let mut codes: Vec<Value> = record["job"]
        .as_str()
        .map(|job| terms.concept("job", job))
        .into_iter()
        .collect();
    codes.extend(
        record["kind"]
            .as_str()
            .map(|kind| terms.concept("caregiver-kind", kind)),
    );
    let suspended = record["status"]
        .as_str()
        .filter(|status| *status == "settlement_suspended");
    json!({
        "extension": suspended.map(|status| json!([{ "url": terms.uri("caregiver-status"), "valueCode": status }])),
        "identifier": [terms.identifier("caregiver-id", own)],
        "active": active(record).map(|_| working),
        "period": without_empty(json!({ "start": contract["from"], "end": contract["to"] })),
        "practitioner": { "reference": format!("Practitioner/{id}") },
        "organization": reference("Organization"),
        "code": codes,
        "location": reference("Location").map(|location| json!([location])),
        "healthcareService": reference("HealthcareService").map(|service| json!([service])),
    })
}

fn active(record: &Value) -> Option<bool> {
    record["status"].as_str().map(|status| status != "left")
}

fn qualification(terms: FhirTerms<'_>, held: &Value, numbers: &Value) -> Value {
    let kind = held["kind"].as_str().unwrap_or_default();
    let number = numbers[kind]
        .as_str()
        .map(|number| json!([terms.identifier(&format!("qualification:{kind}"), number)]));
    without_empty(json!({
        "identifier": number,
        "code": terms.concept("qualification", kind),
        "period": without_empty(json!({ "start": held["obtained_on"] })),
    }))
}
