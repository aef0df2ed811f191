//! An institution as Organization, Location and HealthcareService.
//!
//! Maps what it finds in the given record; what is not given is not there. Statuses and
//! designation are those of the day, as the registry published them.

use serde_json::{Value, json};

use super::{FhirTerms, without_empty};

/// mCSD's code for a place that gives care.
pub const FACILITY_SYSTEM: &str =
    "https://profiles.ihe.net/ITI/mCSD/CodeSystem/IHE.mCSD.Organization.Location.Types";

/// The type of a service of which no mode of care is told, such as an assessment.
pub const OTHER_MODE: &str = "other";

pub fn organization(terms: FhirTerms<'_>, (_, own): (&str, &str), record: &Value) -> Value {
    json!({
        "identifier": identifiers(terms, own, record),
        "active": active(record),
        "type": types(terms, record),
        "name": name(record),
        "address": address(terms, record).map_or(Value::Null, |address| json!([address])),
        "contact": contacts(&record["personal"]),
    })
}

pub fn location(terms: FhirTerms<'_>, (id, own): (&str, &str), record: &Value) -> Value {
    let status = record["status"].as_str().map(|status| match status {
        "agreement_in_force" => "active",
        "suspended_new_clients" | "suspended" => "suspended",
        _ => "inactive",
    });
    let beds = ["beds", "care_beds"]
        .into_iter()
        .filter(|field| record[field].is_u64());
    json!({
        "extension": beds.map(|field| json!({ "url": terms.uri(field), "valueUnsignedInt": record[field] })).collect::<Vec<_>>(),
        "identifier": identifiers(terms, own, record),
        "status": status,
        "name": name(record),
        "mode": "instance",
        "type": types(terms, record),
        "address": address(terms, record),
        "physicalType": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "si", "display": "Site" }] },
        "managingOrganization": { "reference": format!("Organization/{id}") },
    })
}

pub fn service(terms: FhirTerms<'_>, (id, own): (&str, &str), record: &Value) -> Value {
    let agreement = &record["agreement"];
    let period =
        without_empty(json!({ "start": agreement["valid_from"], "end": agreement["valid_to"] }));
    let mut modes: Vec<&str> = record["modes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if modes.is_empty() {
        modes.push(OTHER_MODE);
    }
    let extension = if agreement.is_null() {
        Value::Null
    } else {
        json!([{ "url": terms.uri("agreement"), "valuePeriod": period }])
    };
    json!({
        "extension": extension,
        "identifier": identifiers(terms, own, record),
        "active": record["designated"],
        "providedBy": { "reference": format!("Organization/{id}") },
        "category": [terms.concept("service-category", "long-term-care")],
        "type": modes.into_iter().map(|mode| terms.concept("service-mode", mode)).collect::<Vec<_>>(),
        "location": [{ "reference": format!("Location/{id}") }],
        "name": name(record),
    })
}

fn identifiers(terms: FhirTerms<'_>, own: &str, record: &Value) -> Value {
    let mut all = vec![terms.identifier("institution-id", own)];
    all.extend(
        record["uscc"]
            .as_str()
            .map(|uscc| terms.identifier("uscc", uscc)),
    );
    if let Some(number) = record["licence"]["number"].as_str() {
        let mut licence = terms.identifier("licence", number);
        if let Some(last) = record["licence"]["expires_on"].as_str() {
            licence["period"] = json!({ "end": last });
        }
        all.push(licence);
    }
    all.into()
}

/// The name, or that it is there and not told.
fn name(record: &Value) -> Value {
    record["name"].clone()
}

fn active(record: &Value) -> Option<bool> {
    record["status"].as_str().map(|status| status != "ended")
}

fn types(terms: FhirTerms<'_>, record: &Value) -> Value {
    let facility = json!({ "coding": [{ "system": FACILITY_SYSTEM, "code": "facility" }] });
    let mut types = vec![facility];
    types.extend(
        record["kind"]
            .as_str()
            .map(|kind| terms.concept("institution-kind", kind)),
    );
    types.into()
}

fn address(terms: FhirTerms<'_>, record: &Value) -> Option<Value> {
    let division = record["division"].as_str();
    if division.is_none() && record["address"].is_null() {
        return None;
    }
    let extension = division.map(|code| json!([{ "url": terms.uri("division"), "valueCoding": { "system": terms.uri("gb-t-2260"), "code": code } }]));
    Some(without_empty(
        json!({ "extension": extension, "use": "work", "text": record["address"], "country": "CN" }),
    ))
}

/// Only there where private fields are given.
fn contacts(personal: &Value) -> Value {
    let named = |field: &str, purpose: &str| {
        let name = personal[field].as_str()?;
        Some(json!({ "purpose": { "text": purpose }, "name": { "text": name } }))
    };
    let mut all: Vec<Value> = [
        named("legal_representative", "legal representative"),
        named("contact", "contact"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(phone) = personal["phone"].as_str() {
        let telecom = json!([{ "system": "phone", "value": phone }]);
        match all.last_mut().filter(|_| personal["contact"].is_string()) {
            Some(contact) => contact["telecom"] = telecom,
            None => all.push(json!({ "telecom": telecom })),
        }
    }
    all.into()
}
