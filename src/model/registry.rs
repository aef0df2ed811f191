//! The registries: institutions and caregivers as the LTC system knows them (domain facts in ARCHITECTURE.md).
//!
//! Plain data. Everything that concerns a natural person lies in each record's `personal` part and
//! nowhere else: that part is sealed before it is stored, left out of what is stored in the clear,
//! and prints nothing. Whether a record obeys the rules of a city is the `registry` module's
//! business.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

mod caregiver;
mod dated;
mod fields;
mod institution;

pub use caregiver::{
    Caregiver, CaregiverKind, CaregiverPersonal, CaregiverStatus, CertificateType, Contract, Job,
    Qualification, QualificationKind, Sex, TrainingYear,
};
pub use dated::{DatedStatus, first_change_after, in_force};
pub use fields::{PRIVATE, REASON};
pub use institution::{
    Agreement, Institution, InstitutionKind, InstitutionPersonal, InstitutionStatus, Licence,
    ServiceMode,
};

/// Longest id of an institution or caregiver, in characters.
pub const ID_MAX: usize = 40;

/// Highest version: the largest whole number that every reader of JSON has exactly (RFC 7493, 2.2).
pub const VERSION_MAX: i64 = (1 << 53) - 1;

/// What a registry entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    Institution,
    Caregiver,
}

impl EntityKind {
    pub const ALL: [EntityKind; 2] = [EntityKind::Institution, EntityKind::Caregiver];

    /// Its word in the database, in documents and in routes (there in the plural).
    pub fn word(self) -> &'static str {
        match self {
            EntityKind::Institution => "institution",
            EntityKind::Caregiver => "caregiver",
        }
    }

    pub fn of_word(word: &str) -> Option<EntityKind> {
        EntityKind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An entry that ended: why and since when. It stays, so that a late update does not revive it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    pub id: String,
    /// The source's version of the deletion; higher than that of the record it ends.
    pub version: i64,
    /// Why, in words without personal data; at most 200 characters.
    pub reason: String,
    /// The last day of the entry is the day before.
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub on: Date,
}

/// One line of a registry load, and what a single request amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Submission {
    Institution(Box<Institution>),
    Caregiver(Box<Caregiver>),
    DeleteInstitution(Deletion),
    DeleteCaregiver(Deletion),
}

impl Submission {
    pub fn kind(&self) -> EntityKind {
        match self {
            Submission::Institution(_) | Submission::DeleteInstitution(_) => {
                EntityKind::Institution
            }
            Submission::Caregiver(_) | Submission::DeleteCaregiver(_) => EntityKind::Caregiver,
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Submission::Institution(institution) => &institution.institution_id,
            Submission::Caregiver(caregiver) => &caregiver.caregiver_id,
            Submission::DeleteInstitution(deletion) | Submission::DeleteCaregiver(deletion) => {
                &deletion.id
            }
        }
    }

    pub fn version(&self) -> i64 {
        match self {
            Submission::Institution(institution) => institution.version,
            Submission::Caregiver(caregiver) => caregiver.version,
            Submission::DeleteInstitution(deletion) | Submission::DeleteCaregiver(deletion) => {
                deletion.version
            }
        }
    }
}

/// What of a record matters on a given day: the word of its status, and whether an institution is designated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryStanding {
    pub status: Option<&'static str>,
    /// Always false for caregivers.
    pub designated: bool,
}
