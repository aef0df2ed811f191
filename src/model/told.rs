//! What the medical insurance core says it did with the people of one batch.
//!
//! Decoded and nothing more: whether it fits what was asked is decided by `flow::transfer`.

use super::Fen;
use super::deduction::DeductionOutcome;

/// What is said of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonResult {
    /// Position in the message, from 1.
    pub index: u64,
    pub person_no: String,
    pub outcome: DeductionOutcome,
    /// Taken from the account.
    pub fen: Fen,
    /// The sub-accounts it came from: of this year, of last year, of earlier ones.
    pub parts: Option<[Fen; 3]>,
    /// Of the account, afterwards.
    pub balance: Option<Fen>,
}

/// A result that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Position in the message, from 1.
    pub index: u64,
    /// As far as it could be read.
    pub person_no: Option<String>,
    /// In the sender's words.
    pub element: String,
    pub reason: String,
}

/// Everything one message says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Results {
    pub told: Vec<PersonResult>,
    pub unreadable: Vec<Unreadable>,
    /// SHA-256 of the message.
    pub digest: [u8; 32],
}

impl Results {
    /// Whether nothing is said of anybody.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && self.unreadable.is_empty()
    }
}

impl PersonResult {
    /// In words, without the person.
    pub fn words(&self) -> String {
        format!("{} {}", self.outcome.word(), self.fen)
    }
}
