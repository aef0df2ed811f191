//! What is asked of institutions and caregivers: the form every record must have, and the rules of a city.
//!
//! Pure apart from reading `config/rules/*.toml` once at start: no clock, no database. Rules have
//! days from which they are asked; what a failure is (refusal or warning) is configuration. It must
//! not decide what is stored; and no text of a finding repeats what a record says of a person.

mod caregiver; // rules about caregivers
mod form; // what any record must look like, whatever the city
mod institution; // rules about institutions
mod rule_file; // the form of config/rules/<area>-<name>.toml
mod rules; // all cities' rules, looked up by division and day
mod rules_of_day; // those asked of one record
#[cfg(test)]
mod tests;

pub use form::id_is_formed;
pub use rules::RegistryRules;

/// What a failed check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is taken, and the sender is told.
    Warning,
    /// It is not taken.
    Refusal,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFinding {
    /// `form`, or the check's word in config/rules.
    pub rule: &'static str,
    /// Path in the canonical record, e.g. `agreement.valid_to`.
    pub field: &'static str,
    pub severity: Severity,
    /// What was found and what is expected; never what a record says of a person.
    pub text: String,
}

/// What a caregiver's rules need to know of the institution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInstitution {
    pub designated: bool,
    /// It was not deleted.
    pub registered: bool,
    pub division: String,
}

/// Where institutions are looked up.
pub trait Lookup {
    /// The institution, unless it is unknown.
    fn institution(&self, id: &str) -> Option<KnownInstitution>;
}

impl<S: std::hash::BuildHasher> Lookup for std::collections::HashMap<String, KnownInstitution, S> {
    fn institution(&self, id: &str) -> Option<KnownInstitution> {
        self.get(id).cloned()
    }
}
