//! The registries as FHIR R4 resources, the way IHE's Care Services Discovery (mCSD) has them.
//!
//! An institution is an Organization, a Location and a HealthcareService; a caregiver is a
//! Practitioner and a PractitionerRole. They are made from what a puller is given of a record and
//! from nothing else, and a puller may search only by what it is given. Nothing here knows of HTTP
//! beyond the words of FHIR's own interface.

use serde_json::{Value, json};

use crate::error::Fault;
use crate::flow::pull::{FieldSet, PullRefusal, Pulls, RegistryPuller};
use crate::model::registry::EntityKind;
use crate::store::registry::RegistryChange;

mod bundle; // searchset and history
mod capability; // what this server can do
mod include; // what a search brings beside its matches
mod institution; // Organization, Location, HealthcareService
mod practitioner; // Practitioner, PractitionerRole
mod search; // the parameters of a search

pub use capability::statement;

/// What the URIs of code systems, identifiers and extensions of this registry begin with: an address that
/// somebody owns, from the configuration.
#[derive(Debug, Clone, Copy)]
pub struct FhirTerms<'a>(pub &'a str);

impl FhirTerms<'_> {
    fn uri(self, word: &str) -> String {
        format!("{}{word}", self.0)
    }

    /// Which of ours a system is.
    fn word(self, system: &str) -> Option<&str> {
        system.strip_prefix(self.0)
    }

    /// A code as a CodeableConcept.
    fn concept(self, system: &str, code: &str) -> Value {
        json!({ "coding": [{ "system": self.uri(system), "code": code }] })
    }

    fn identifier(self, system: &str, value: &str) -> Value {
        json!({ "system": self.uri(system), "value": value })
    }
}

/// The resource types served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Organization,
    Location,
    HealthcareService,
    Practitioner,
    PractitionerRole,
}

impl Type {
    pub const ALL: [Type; 5] = [
        Type::Organization,
        Type::Location,
        Type::HealthcareService,
        Type::Practitioner,
        Type::PractitionerRole,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Type::Organization => "Organization",
            Type::Location => "Location",
            Type::HealthcareService => "HealthcareService",
            Type::Practitioner => "Practitioner",
            Type::PractitionerRole => "PractitionerRole",
        }
    }

    pub fn of_word(word: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|of| of.word() == word)
    }

    /// What it is made from.
    pub fn kind(self) -> EntityKind {
        match self {
            Type::Organization | Type::Location | Type::HealthcareService => {
                EntityKind::Institution
            }
            Type::Practitioner | Type::PractitionerRole => EntityKind::Caregiver,
        }
    }
}

/// Who asks, and how.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    pub pulls: &'a Pulls,
    pub puller: &'a RegistryPuller,
    /// Base URL without a slash at its end.
    pub base: &'a str,
    pub terms: FhirTerms<'a>,
    /// What it asks for and is not served is left out instead of refused.
    pub lenient: bool,
}

/// A resource with what HTTP wants to know of it.
pub struct FhirResource {
    pub body: Value,
    pub sequence: i64,
    pub changed_at: jiff::Timestamp,
}

impl Asker<'_> {
    /// One resource.
    ///
    /// # Errors
    /// There is none of this id, it has ended, or its kind is not given to the puller.
    pub async fn read(&self, of: Type, id: &str) -> Result<FhirResource, PullRefusal> {
        let fields = self.puller.fields(of.kind())?;
        let unknown = || PullRefusal::NotFound(format!("there is no {} of this id", of.word()));
        let own = own_id(id).ok_or_else(unknown)?;
        let change = self
            .pulls
            .entity(self.puller, of.kind(), &own)
            .await?
            .ok_or_else(unknown)?;
        let body = self
            .resource(of, fields, &change)?
            .ok_or_else(|| self.gone(of))?;
        Ok(FhirResource {
            body,
            sequence: change.sequence,
            changed_at: change.changed_at,
        })
    }

    fn gone(&self, of: Type) -> PullRefusal {
        let left = if self.puller.areas().is_some() {
            ", or left the pooling areas agreed for this client"
        } else {
            ""
        };
        PullRefusal::Gone(format!("this {} has ended{left}", of.word()))
    }

    /// A page of resources: a Bundle of type `searchset`.
    pub async fn search(
        &self,
        of: Type,
        parameters: &[(String, String)],
    ) -> Result<Value, PullRefusal> {
        bundle::search(self, of, parameters).await
    }

    /// A page of changes, newest first: a Bundle of type `history`.
    pub async fn history(
        &self,
        of: Type,
        id: Option<&str>,
        parameters: &[(String, String)],
    ) -> Result<Value, PullRefusal> {
        bundle::history(self, (of, id), parameters).await
    }

    /// The resource a change made; `None` for a tombstone.
    fn resource(
        &self,
        of: Type,
        fields: &FieldSet,
        change: &RegistryChange,
    ) -> Result<Option<Value>, Fault> {
        let Some(record) = fields.given(change, &self.pulls.keys)? else {
            return Ok(None);
        };
        let id = fhir_id(&change.entity_id);
        let mut resource = json!({
            "resourceType": of.word(),
            "id": id,
            "meta": {
                "versionId": change.sequence.to_string(),
                "lastUpdated": instant(change.changed_at),
                "profile": [format!("https://profiles.ihe.net/ITI/mCSD/StructureDefinition/{}", profile(of))],
            },
        });
        let own = (id.as_str(), change.entity_id.as_str());
        let rest = match of {
            Type::Organization => institution::organization(self.terms, own, &record),
            Type::Location => institution::location(self.terms, own, &record),
            Type::HealthcareService => institution::service(self.terms, own, &record),
            Type::Practitioner => practitioner::practitioner(self.terms, own, &record),
            Type::PractitionerRole => {
                practitioner::role(self.terms, own, (&record, change.is_working()))
            }
        };
        if let (Value::Object(resource), Value::Object(rest)) = (&mut resource, rest) {
            resource.extend(rest.into_iter().filter(|(_, value)| !is_empty(value)));
        }
        Ok(Some(resource))
    }
}

/// An OperationOutcome that tells of something left out.
fn left_out(text: &str) -> Value {
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "warning", "code": "not-supported", "diagnostics": text }] })
}

/// An OperationOutcome that refuses.
pub fn outcome(code: &str, text: &str) -> Value {
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": code, "diagnostics": text }] })
}

fn profile(of: Type) -> &'static str {
    match of {
        Type::Organization => "IHE.mCSD.FacilityOrganization",
        Type::Location => "IHE.mCSD.FacilityLocation",
        Type::HealthcareService => "IHE.mCSD.HealthcareService",
        Type::Practitioner => "IHE.mCSD.Practitioner",
        Type::PractitionerRole => "IHE.mCSD.PractitionerRole",
    }
}

/// FHIR forbids empty values.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Our id as a FHIR id, whose characters are letters, digits, `-` and `.` (R4 §2.24.0.1): `_` becomes `.u`, `:` `.c`, `.` `..`.
fn fhir_id(own: &str) -> String {
    let mut id = String::with_capacity(own.len());
    for character in own.chars() {
        match character {
            '_' => id.push_str(".u"),
            ':' => id.push_str(".c"),
            '.' => id.push_str(".."),
            other => id.push(other),
        }
    }
    id
}

/// The other way round; `None` for what is no such id.
fn own_id(id: &str) -> Option<String> {
    let mut own = String::with_capacity(id.len());
    let mut characters = id.chars();
    while let Some(character) = characters.next() {
        own.push(match character {
            '.' => match characters.next()? {
                'u' => '_',
                'c' => ':',
                '.' => '.',
                _ => return None,
            },
            other if other.is_ascii_alphanumeric() || other == '-' => other,
            _ => return None,
        });
    }
    Some(own)
}

/// A time as it is searched by: always to the microsecond, as it is kept.
fn instant(at: jiff::Timestamp) -> String {
    format!("{at:.6}")
}

/// An object without its empty fields.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !is_empty(value))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_ours_is_a_fhir_id_and_comes_back() {
        for own in ["I1", "a_b", "a:b", "a.b", "..", "_:.", "A-9"] {
            let id = fhir_id(own);
            assert!(
                id.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)),
                "{id}"
            );
            assert_eq!(own_id(&id).as_deref(), Some(own));
        }
        for other in [".", ".x", "a_b", "a/b", "é"] {
            assert_eq!(own_id(other), None, "{other}");
        }
    }
}
