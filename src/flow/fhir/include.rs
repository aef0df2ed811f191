//! What a search brings beside its matches: `_include` and `_revinclude`.
//!
//! An institution's three resources are one entry, and so are a caregiver's two; only from a role to its
//! institution another entry is read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Asker, Type, fhir_id};
use crate::flow::pull::PullRefusal;
use crate::model::registry::EntityKind;
use crate::store::registry::RegistryChange;

/// What is brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Another resource of the same entry.
    Same(Type),
    /// A resource of the institution a role is at.
    Institution(Type),
    /// It may be asked for, and there is none.
    Nothing,
}

/// Source type, parameter, what is at its end.
type Link = (&'static str, &'static str, Include);

/// From a type to what it refers to.
fn forward(of: Type) -> &'static [Link] {
    use Include::{Institution, Nothing, Same};
    match of {
        Type::Organization => &[
            ("Organization", "endpoint", Nothing),
            ("Organization", "partof", Nothing),
        ],
        Type::Location => &[
            ("Location", "organization", Same(Type::Organization)),
            ("Location", "partof", Nothing),
            ("Location", "endpoint", Nothing),
        ],
        Type::HealthcareService => &[
            (
                "HealthcareService",
                "organization",
                Same(Type::Organization),
            ),
            ("HealthcareService", "location", Same(Type::Location)),
            ("HealthcareService", "endpoint", Nothing),
        ],
        Type::Practitioner => &[],
        Type::PractitionerRole => &[
            ("PractitionerRole", "practitioner", Same(Type::Practitioner)),
            (
                "PractitionerRole",
                "organization",
                Institution(Type::Organization),
            ),
            ("PractitionerRole", "location", Institution(Type::Location)),
            (
                "PractitionerRole",
                "service",
                Institution(Type::HealthcareService),
            ),
            ("PractitionerRole", "endpoint", Nothing),
        ],
    }
}

/// To a type from what refers to it.
fn backward(of: Type) -> &'static [Link] {
    use Include::{Nothing, Same};
    match of {
        Type::Organization => &[
            ("Location", "organization", Same(Type::Location)),
            (
                "HealthcareService",
                "organization",
                Same(Type::HealthcareService),
            ),
            (
                "OrganizationAffiliation",
                "participating-organization",
                Nothing,
            ),
            ("OrganizationAffiliation", "primary-organization", Nothing),
        ],
        Type::Location => &[(
            "HealthcareService",
            "location",
            Same(Type::HealthcareService),
        )],
        Type::Practitioner => &[(
            "PractitionerRole",
            "practitioner",
            Same(Type::PractitionerRole),
        )],
        Type::HealthcareService | Type::PractitionerRole => &[],
    }
}

impl Include {
    /// What a parameter such as `Location:organization` or `Location:organization:Organization` asks for.
    pub fn read(of: Type, is_forward: bool, value: &str) -> Option<Include> {
        let mut parts = value.split(':');
        let (source, parameter) = (parts.next()?, parts.next()?);
        let links = if is_forward {
            forward(of)
        } else {
            backward(of)
        };
        let (_, _, include) = links
            .iter()
            .find(|link| link.0 == source && link.1 == parameter)?;
        let end = match (is_forward, include) {
            (true, Include::Same(end) | Include::Institution(end)) => Some(end.word()),
            (false, _) => Some(of.word()),
            _ => None,
        };
        match parts.next() {
            // To another type there is no such link.
            Some(target) if end.is_some_and(|end| end != target) => Some(Include::Nothing),
            _ => Some(*include),
        }
    }

    /// What can be asked for.
    pub fn served(of: Type, is_forward: bool) -> Vec<String> {
        let links = if is_forward {
            forward(of)
        } else {
            backward(of)
        };
        links
            .iter()
            .map(|(source, parameter, _)| format!("{source}:{parameter}"))
            .collect()
    }
}

/// The entries of a bundle that the includes bring for the changes that matched, each once.
pub async fn included(
    asker: &Asker<'_>,
    includes: &[Include],
    matched: &[RegistryChange],
) -> Result<Vec<Value>, PullRefusal> {
    let mut entries = BTreeMap::new();
    for include in includes {
        match *include {
            Include::Nothing => {}
            Include::Same(of) => {
                for change in matched {
                    add(asker, of, change, &mut entries)?;
                }
            }
            Include::Institution(of) => {
                let fields = asker.puller.fields(EntityKind::Caregiver)?;
                if !fields.has("institution_id") {
                    return Err(PullRefusal::Forbidden(
                        "the institution of a role is not among the fields agreed for this client"
                            .into(),
                    ));
                }
                let ids: Vec<String> = matched.iter().filter_map(institution_of).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                for change in asker
                    .pulls
                    .entities(asker.puller, EntityKind::Institution, &ids)
                    .await?
                {
                    add(asker, of, &change, &mut entries)?;
                }
            }
        }
    }
    Ok(entries.into_values().collect())
}

fn add(
    asker: &Asker<'_>,
    of: Type,
    change: &RegistryChange,
    entries: &mut BTreeMap<String, Value>,
) -> Result<(), PullRefusal> {
    if let Some(resource) = asker.resource(of, asker.puller.fields(of.kind())?, change)? {
        let local = format!("{}/{}", of.word(), fhir_id(&change.entity_id));
        let entry = json!({ "fullUrl": format!("{}/{local}", asker.base), "resource": resource, "search": { "mode": "include" } });
        entries.insert(local, entry);
    }
    Ok(())
}

fn institution_of(change: &RegistryChange) -> Option<String> {
    let record: Value = serde_json::from_str(change.content.as_deref()?).ok()?;
    record["institution_id"].as_str().map(str::to_owned)
}
