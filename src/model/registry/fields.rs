//! The fields a puller of the registry may be given, by name: what `[partner.fields]` in partners.toml lists.
//!
//! Names only; a puller's choice of them is configuration, and putting them into a document is a
//! flow's business. Id, version and what kind of change it was are no fields: they always go out.

use super::EntityKind;

/// Of an institution, in the order in which they are written.
const INSTITUTION: [&str; 21] = [
    "uscc",
    "name",
    "division",
    "address",
    "kind",
    "modes",
    "level",
    "stars",
    "licence",
    "beds",
    "care_beds",
    "agreement",
    "statuses",
    "medical_insurance_designated",
    "registered_on",
    "status",
    "designated",
    REASON,
    "personal.legal_representative",
    "personal.contact",
    "personal.phone",
];

/// Of a caregiver, in the order in which they are written.
const CAREGIVER: [&str; 20] = [
    "sex",
    "kind",
    "institution_id",
    "job",
    "qualifications",
    "health_statement_on",
    "contract",
    "training",
    "statuses",
    "registered_on",
    "status",
    "working",
    REASON,
    "personal.name",
    "personal.certificate_type",
    "personal.certificate_number",
    "personal.birth_on",
    "personal.phone",
    "personal.recipients",
    "personal.qualification_numbers",
];

/// Why an entry was deleted: free text of a person at the source, which goes only where it is listed.
pub const REASON: &str = "reason";

/// What the names of private fields begin with.
pub const PRIVATE: &str = "personal.";

impl EntityKind {
    /// The names of its fields that a puller may be given; private ones begin with [`PRIVATE`].
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            EntityKind::Institution => &INSTITUTION,
            EntityKind::Caregiver => &CAREGIVER,
        }
    }

    /// Its word in routes.
    pub fn plural(self) -> &'static str {
        match self {
            EntityKind::Institution => "institutions",
            EntityKind::Caregiver => "caregivers",
        }
    }
}
