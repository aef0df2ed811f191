//! `GET /fhir/metadata`: the CapabilityStatement, made from the same tables the searches use, for one puller:
//! what it is not given is not in it.

use serde_json::{Value, json};

use super::include::Include;
use super::search::parameters_of;
use super::{Asker, Type};

const DOCUMENTATION: &str = "Read-only. JSON only: XML is answered with 406. Parameters that are not served are refused with 400, or left out with \
    `Prefer: handling=lenient`. Searches may be posted to _search. `given` and `family` look into the text of the name, which is not split: \
    `family` at its beginning, `given` anywhere. `_total` is exact; for names it is told only where one page holds all.";

/// What this server does for a puller.
pub fn statement(asker: &Asker<'_>, started_at: jiff::Timestamp) -> Value {
    let kinds = asker.puller.kinds();
    let resources: Vec<Value> = Type::ALL
        .into_iter()
        .filter(|of| kinds.contains(&of.kind()))
        .map(|of| resource(asker, of))
        .collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started_at.to_string(),
        "kind": "instance",
        "software": { "name": "ltcgw", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Institutions and caregivers of long-term care insurance", "url": asker.base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "documentation": DOCUMENTATION,
            "security": { "description": "mutual TLS; each client gets the fields agreed for it, and can search by them" },
            "resource": resources,
        }],
    })
}

fn resource(asker: &Asker<'_>, of: Type) -> Value {
    let given = |field: &str| {
        asker
            .puller
            .fields(of.kind())
            .is_ok_and(|fields| fields.has(field))
    };
    let served = parameters_of(of)
        .iter()
        .filter(|parameter| parameter.field.is_none_or(given));
    let parameters = served.flat_map(|parameter| {
        let modified: &[&str] = if parameter.name == "name" { &["", ":contains", ":exact"] } else { &[""] };
        modified.iter().map(|modifier| json!({ "name": format!("{}{modifier}", parameter.name), "type": parameter.kind }))
    });
    let mut resource = json!({
        "type": of.word(),
        "profile": format!("https://profiles.ihe.net/ITI/mCSD/StructureDefinition/{}", super::profile(of)),
        "interaction": [{ "code": "read" }, { "code": "search-type" }, { "code": "history-instance" }, { "code": "history-type" }],
        "versioning": "versioned",
        "readHistory": false,
        "updateCreate": false,
        "searchParam": parameters.collect::<Vec<_>>(),
    });
    for (key, is_forward) in [("searchInclude", true), ("searchRevInclude", false)] {
        let links = Include::served(of, is_forward);
        if !links.is_empty() {
            resource[key] = json!(links);
        }
    }
    resource
}
