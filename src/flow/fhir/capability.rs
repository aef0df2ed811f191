//! `GET /fhir/metadata`: the CapabilityStatement, made from the same tables the searches use.

use serde_json::{Value, json};

use super::Type;
use super::search::parameters_of;

/// What this server can do, at its base URL.
pub fn statement(base: &str, started_at: jiff::Timestamp) -> Value {
    let resources: Vec<Value> = Type::ALL.into_iter().map(resource).collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started_at.to_string(),
        "kind": "instance",
        "software": { "name": "ltcgw", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Institutions and caregivers of long-term care insurance", "url": base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "security": { "description": "mutual TLS; each client gets the fields agreed for it" },
            "resource": resources,
        }],
    })
}

fn resource(of: Type) -> Value {
    let parameters = parameters_of(of).iter().map(|parameter| json!({ "name": parameter.name, "type": parameter.kind }));
    json!({
        "type": of.word(),
        "profile": format!("https://profiles.ihe.net/ITI/mCSD/StructureDefinition/{}", super::profile(of)),
        "interaction": [{ "code": "read" }, { "code": "search-type" }, { "code": "history-instance" }, { "code": "history-type" }],
        "versioning": "versioned",
        "readHistory": false,
        "updateCreate": false,
        "searchParam": parameters.collect::<Vec<_>>(),
    })
}
