//! What each type can be searched by: what IHE's ITI-90 asks of a directory (2:3.90.4.1.2), and more.

use super::super::Type;

/// A search parameter: its name, FHIR's word for its type, and the field a puller must be given for it.
pub struct Parameter {
    pub name: &'static str,
    pub kind: &'static str,
    pub field: Option<&'static str>,
}

const fn free(name: &'static str, kind: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        field: None,
    }
}

const fn by(name: &'static str, kind: &'static str, field: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        field: Some(field),
    }
}

const ID: Parameter = free("_id", "token");
const UPDATED: Parameter = free("_lastUpdated", "date");
const IDENTIFIER: Parameter = free("identifier", "token");
const NAME: Parameter = by("name", "string", "name");
const ACTIVE: Parameter = by("active", "token", "status");
const TYPE: Parameter = by("type", "token", "kind");
const ORGANIZATION: Parameter = free("organization", "reference");
const PART_OF: Parameter = free("partof", "reference");

static OF_ORGANIZATION: [Parameter; 7] = [ID, UPDATED, IDENTIFIER, ACTIVE, NAME, TYPE, PART_OF];
static OF_LOCATION: [Parameter; 8] = [
    ID,
    UPDATED,
    IDENTIFIER,
    NAME,
    ORGANIZATION,
    by("status", "token", "status"),
    TYPE,
    PART_OF,
];
static OF_SERVICE: [Parameter; 8] = [
    ID,
    UPDATED,
    IDENTIFIER,
    by("active", "token", "designated"),
    free("location", "reference"),
    NAME,
    ORGANIZATION,
    by("service-type", "token", "modes"),
];
static OF_PRACTITIONER: [Parameter; 7] = [
    ID,
    UPDATED,
    IDENTIFIER,
    ACTIVE,
    by("name", "string", "personal.name"),
    by("given", "string", "personal.name"),
    by("family", "string", "personal.name"),
];
static OF_ROLE: [Parameter; 10] = [
    ID,
    UPDATED,
    IDENTIFIER,
    ACTIVE,
    by("location", "reference", "institution_id"),
    by("organization", "reference", "institution_id"),
    by("service", "reference", "institution_id"),
    free("practitioner", "reference"),
    by("role", "token", "job"),
    free("specialty", "token"),
];

/// What a type can be searched by.
pub fn parameters_of(of: Type) -> &'static [Parameter] {
    match of {
        Type::Organization => &OF_ORGANIZATION,
        Type::Location => &OF_LOCATION,
        Type::HealthcareService => &OF_SERVICE,
        Type::Practitioner => &OF_PRACTITIONER,
        Type::PractitionerRole => &OF_ROLE,
    }
}
