//! The LTC system's registries: a version of an institution or caregiver is checked, sealed, stored and queued.
//!
//! An answer goes out after the commit, so it means: durable, in the log for those who pull,
//! queued for those we push to. What is refused leaves nothing; no answer repeats what a record
//! says of a person.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::Gateway;
use super::clock::CityClock;
use crate::error::Fault;
use crate::model::registry::{EntityKind, Submission};
use crate::registry::{KnownInstitution, RegistryRules, RuleFinding, Severity, id_is_formed};
use crate::store::Store;
use crate::store::registry::{ChangeQueue, Put, PutOutcome, Registry};
use crate::store::sealed::Keys;

pub mod calendar; // what a date that has come changes by itself
mod load; // many lines in one request
mod loads; // those under way
mod open; // stored entries, with their personal part
mod parse; // from bytes to a submission, or what is wrong without repeating it
mod prepare; // from a submission to what is stored

pub use load::load;
pub use loads::Loads;
pub use open::{StoredRecord, caregivers_by_certificate, caregivers_by_phone, open, read_back};
pub use parse::{parse, without_mark};

/// Rules, keys, store and clock of the registries; cheap to clone.
#[derive(Clone)]
pub struct Registrar {
    pub rules: Arc<RegistryRules>,
    pub keys: Arc<Keys>,
    pub registry: Registry,
    pub clock: CityClock,
}

impl Registrar {
    pub fn new(rules: RegistryRules, keys: Keys, clock: CityClock, store: &Store) -> Registrar {
        Registrar {
            rules: Arc::new(rules),
            keys: Arc::new(keys),
            registry: Registry::new(store.clone()),
            clock,
        }
    }

    /// The same, with somebody to tell of every change.
    #[must_use]
    pub fn queueing(self, queue: impl ChangeQueue + 'static) -> Registrar {
        Registrar {
            registry: self.registry.queueing(Arc::new(queue)),
            ..self
        }
    }
}

/// One thing the sender should know: a failed rule or a malformed field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubmissionProblem {
    /// Path in the record; empty when the whole is meant.
    pub field: String,
    /// `json`, `form`, `version`, or the check's word in config/rules.
    pub rule: &'static str,
    pub detail: String,
}

impl SubmissionProblem {
    pub fn new(field: &str, rule: &'static str, detail: impl Into<String>) -> SubmissionProblem {
        SubmissionProblem {
            field: field.into(),
            rule,
            detail: detail.into(),
        }
    }
}

impl From<RuleFinding> for SubmissionProblem {
    fn from(finding: RuleFinding) -> SubmissionProblem {
        SubmissionProblem {
            field: finding.field.into(),
            rule: finding.rule,
            detail: finding.text,
        }
    }
}

/// Of the end of an entry nobody has sent.
const NEVER_SENT: &str = "nobody has sent an entry of this id, so nothing ended and nobody is told; look for a typing mistake. Versions below this one are not taken if they come";

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionOutcome {
    Stored,
    Unchanged,
    Older,
    /// The end of an entry nobody has sent: nothing was published.
    Unknown,
    Refused,
}

/// What the sender is told of one submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubmissionAnswer {
    /// Line of the request, from 1; only of a load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<EntityKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    pub result: SubmissionOutcome,
    /// Its number in the change log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<i64>,
    /// The version that is there instead, when the one sent is older.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_version: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<SubmissionProblem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<SubmissionProblem>,
    /// The entry was not known before.
    #[serde(skip)]
    pub new: bool,
}

impl SubmissionAnswer {
    /// Refused before it was known what it is about.
    pub fn unreadable(line: Option<u64>, problem: SubmissionProblem) -> SubmissionAnswer {
        SubmissionAnswer {
            line,
            kind: None,
            id: None,
            version: None,
            result: SubmissionOutcome::Refused,
            sequence: None,
            known_version: None,
            warnings: Vec::new(),
            problems: vec![problem],
            new: false,
        }
    }

    /// About a submission, with what its rules found; refused when there is a refusal among it.
    fn of(submission: &Submission, findings: Vec<RuleFinding>) -> SubmissionAnswer {
        let (problems, warnings): (Vec<_>, Vec<_>) = findings
            .into_iter()
            .partition(|finding| finding.severity == Severity::Refusal);
        let id = id_is_formed(submission.id()).then(|| submission.id().to_string());
        SubmissionAnswer {
            line: None,
            kind: Some(submission.kind()),
            id,
            version: Some(submission.version()),
            result: if problems.is_empty() {
                SubmissionOutcome::Stored
            } else {
                SubmissionOutcome::Refused
            },
            sequence: None,
            known_version: None,
            warnings: warnings.into_iter().map(SubmissionProblem::from).collect(),
            problems: problems.into_iter().map(SubmissionProblem::from).collect(),
            new: false,
        }
    }

    fn settle(&mut self, taken: PutOutcome) {
        match taken {
            PutOutcome::Stored { sequence, new } => {
                (self.sequence, self.new) = (Some(sequence), new)
            }
            PutOutcome::Unchanged => self.result = SubmissionOutcome::Unchanged,
            PutOutcome::Older { known } => {
                (self.result, self.known_version) = (SubmissionOutcome::Older, Some(known))
            }
            PutOutcome::NeverSent => {
                self.result = SubmissionOutcome::Unknown;
                self.problems
                    .push(SubmissionProblem::new("id", "unknown", NEVER_SENT));
            }
            PutOutcome::OtherContent => {
                self.result = SubmissionOutcome::Refused;
                self.problems.push(SubmissionProblem::new(
                    "version",
                    "version",
                    "this version is stored with other content; a change needs a higher version",
                ));
            }
        }
    }

    /// Whether it was refused because its version is stored with other content.
    pub fn conflicts(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.rule == "version")
    }
}

/// Takes one submission; a fault means that nothing was kept and the sender should send it again.
///
/// # Errors
/// The database cannot be reached or refuses.
pub async fn submit(
    gateway: &Gateway,
    sender: &str,
    submission: &Submission,
) -> Result<SubmissionAnswer, Fault> {
    let registrar = &gateway.registrar;
    let mut known = HashMap::new();
    if let Submission::Caregiver(caregiver) = submission {
        remember(registrar, &mut known, &[caregiver.institution_id.as_str()]).await?;
    }
    let (mut answer, put) = prepare::prepare(registrar, submission, &known);
    if let Some(put) = put {
        for taken in registrar
            .registry
            .put_batch(sender, std::slice::from_ref(&put))
            .await?
        {
            answer.settle(taken);
        }
    }
    if answer.sequence.is_some() {
        (gateway.wake)(&gateway.audience.entries);
    }
    tracing::debug!(sender, kind = %submission.kind(), version = submission.version(), result = ?answer.result, "registry submission");
    Ok(answer)
}

/// Looks institutions up for the rules about caregivers.
async fn remember(
    registrar: &Registrar,
    known: &mut HashMap<String, KnownInstitution>,
    ids: &[&str],
) -> Result<(), Fault> {
    let formed: Vec<&str> = ids.iter().copied().filter(|id| id_is_formed(id)).collect();
    for found in registrar.registry.institutions(&formed).await? {
        known.insert(
            found.institution_id,
            KnownInstitution {
                designated: found.designated,
                registered: found.registered,
                division: found.division,
            },
        );
    }
    Ok(())
}

/// Checks and seals; nothing to put when it is refused.
type Prepared = (SubmissionAnswer, Option<Put>);
