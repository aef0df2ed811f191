//! Caregivers: natural persons who give care, assess or manage, under their real names.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{DatedStatus, EntryStanding, first_change_after, in_force};

/// A caregiver of the LTC system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caregiver {
    /// Opaque, at most 40 characters.
    pub caregiver_id: String,
    /// The source's version of this record, from 1; higher is newer.
    pub version: i64,
    pub sex: Sex,
    pub kind: CaregiverKind,
    /// The institution he or she belongs to.
    pub institution_id: String,
    pub job: Job,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qualifications: Vec<Qualification>,
    /// Date of the last statement of good health.
    #[serde(
        default,
        deserialize_with = "crate::model::day::deserialize_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub health_statement_on: Option<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// Hours of training, by calendar year.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub training: Vec<TrainingYear>,
    /// What he or she is and was; see [`in_force`] for which counts on a day.
    pub statuses: Vec<DatedStatus<CaregiverStatus>>,
    /// The day of entry in the registry.
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub registered_on: Date,
    /// Absent where it was not opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<CaregiverPersonal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    Male,
    Female,
    Unknown,
}

/// Whom a caregiver cares for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaregiverKind {
    /// Employed by an institution, for any of its clients.
    Social,
    /// Under contract for one person, often a relative.
    Exclusive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    Caregiver,
    Nurse,
    Assessor,
    Manager,
}

/// A qualification; its number is in [`CaregiverPersonal::qualification_numbers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qualification {
    pub kind: QualificationKind,
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub obtained_on: Date,
}

/// 长期照护师 of the three levels, or a nurse's practice certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QualificationKind {
    #[serde(rename = "long_term_carer_5")]
    LongTermCarer5,
    #[serde(rename = "long_term_carer_4")]
    LongTermCarer4,
    #[serde(rename = "long_term_carer_3")]
    LongTermCarer3,
    #[serde(rename = "nurse")]
    Nurse,
}

/// The contract with the institution; without `to` until further notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub from: Date,
    #[serde(
        default,
        deserialize_with = "crate::model::day::deserialize_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<Date>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingYear {
    pub year: i16,
    pub hours: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaregiverStatus {
    Active,
    SettlementSuspended,
    Left,
}

impl CaregiverStatus {
    pub fn word(self) -> &'static str {
        match self {
            CaregiverStatus::Active => "active",
            CaregiverStatus::SettlementSuspended => "settlement_suspended",
            CaregiverStatus::Left => "left",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateType {
    ResidentId,
    Passport,
    HongKongMacaoPermit,
    TaiwanPermit,
    ForeignerResidence,
    Other,
}

/// Everything that says who a caregiver is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaregiverPersonal {
    pub name: String,
    pub certificate_type: CertificateType,
    /// Of a resident id with a capital X, however it was written.
    #[serde(deserialize_with = "crate::model::identity::deserialize_certificate")]
    pub certificate_number: String,
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub birth_on: Date,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Those an exclusive caregiver cares for (one); empty for a social one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub qualification_numbers: BTreeMap<QualificationKind, String>,
}

impl fmt::Debug for CaregiverPersonal {
    /// Prints nothing of its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaregiverPersonal(private)")
    }
}

impl Caregiver {
    /// The status on a day.
    pub fn standing(&self, on: Date) -> EntryStanding {
        EntryStanding {
            status: in_force(&self.statuses, on).map(CaregiverStatus::word),
            designated: false,
        }
    }

    /// The first day after `after` on which the standing may change.
    pub fn next_change(&self, after: Date) -> Option<Date> {
        first_change_after(&self.statuses, after)
    }
}
