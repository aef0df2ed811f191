//! Institutions: who may give care or assess, under which agreement, until when.

use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{DatedStatus, EntryStanding, first_change_after, in_force};

/// An institution of the LTC system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Institution {
    /// Opaque, at most 40 characters.
    pub institution_id: String,
    /// The source's version of this record, from 1; higher is newer.
    pub version: i64,
    /// Unified social credit code (GB 32100-2015).
    pub uscc: String,
    pub name: String,
    /// Division code of its seat (GB/T 2260, six digits).
    pub division: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub kind: InstitutionKind,
    pub modes: BTreeSet<ServiceMode>,
    /// Its level, in the words of whoever classified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// 0 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stars: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<Licence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beds: Option<u32>,
    /// Beds for long-term care, among `beds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub care_beds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// What it is and was; see [`in_force`] for which counts on a day.
    pub statuses: Vec<DatedStatus<InstitutionStatus>>,
    /// Whether it is designated by the medical insurance (not the LTC insurance), too.
    pub medical_insurance_designated: bool,
    /// The day it entered the registry.
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub registered_on: Date,
    /// Absent where it was not opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<InstitutionPersonal>,
}

/// What an institution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstitutionKind {
    Medical,
    ElderlyCare,
    HomeCare,
    Assessment,
}

impl InstitutionKind {
    pub fn word(self) -> &'static str {
        match self {
            InstitutionKind::Medical => "medical",
            InstitutionKind::ElderlyCare => "elderly_care",
            InstitutionKind::HomeCare => "home_care",
            InstitutionKind::Assessment => "assessment",
        }
    }
}

/// How it gives care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceMode {
    Residential,
    Home,
    Community,
}

impl ServiceMode {
    pub fn word(self) -> &'static str {
        match self {
            ServiceMode::Residential => "residential",
            ServiceMode::Home => "home",
            ServiceMode::Community => "community",
        }
    }
}

/// Its practice or operating licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    pub number: String,
    /// Its last day; absent where it does not expire.
    #[serde(
        default,
        deserialize_with = "crate::model::day::deserialize_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_on: Option<Date>,
}

/// The service agreement that designates it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    pub number: String,
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub signed_on: Date,
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub valid_from: Date,
    /// Its last day.
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub valid_to: Date,
}

/// Where it stands with the LTC insurance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstitutionStatus {
    Applied,
    Accepted,
    Passed,
    AgreementInForce,
    SuspendedNewClients,
    Suspended,
    Ended,
}

impl InstitutionStatus {
    pub fn word(self) -> &'static str {
        match self {
            InstitutionStatus::Applied => "applied",
            InstitutionStatus::Accepted => "accepted",
            InstitutionStatus::Passed => "passed",
            InstitutionStatus::AgreementInForce => "agreement_in_force",
            InstitutionStatus::SuspendedNewClients => "suspended_new_clients",
            InstitutionStatus::Suspended => "suspended",
            InstitutionStatus::Ended => "ended",
        }
    }

    /// Whether an agreement exists in this status; a suspension does not end it.
    pub fn has_agreement(self) -> bool {
        matches!(
            self,
            InstitutionStatus::AgreementInForce
                | InstitutionStatus::SuspendedNewClients
                | InstitutionStatus::Suspended
        )
    }
}

/// The natural persons behind an institution.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstitutionPersonal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_representative: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl fmt::Debug for InstitutionPersonal {
    /// Prints nothing of its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstitutionPersonal(private)")
    }
}

impl Institution {
    /// Its status on a day and whether it is designated then: an agreement exists and covers the day.
    pub fn standing(&self, on: Date) -> EntryStanding {
        let status = in_force(&self.statuses, on);
        let covered = self
            .agreement
            .as_ref()
            .is_some_and(|agreement| agreement.valid_from <= on && on <= agreement.valid_to);
        EntryStanding {
            status: status.map(InstitutionStatus::word),
            designated: covered && status.is_some_and(InstitutionStatus::has_agreement),
        }
    }

    /// The first day after `after` on which its standing may change.
    pub fn next_change(&self, after: Date) -> Option<Date> {
        let agreement = self.agreement.as_ref();
        let bounds = [
            agreement.map(|agreement| agreement.valid_from),
            agreement.and_then(|agreement| agreement.valid_to.tomorrow().ok()),
        ];
        bounds
            .into_iter()
            .flatten()
            .filter(|day| *day > after)
            .chain(first_change_after(&self.statuses, after))
            .min()
    }
}
