//! One exchange with a partner: the request as it goes out, the answer as it came, what it means.
//!
//! Shared by the adapter (which renders requests and judges answers), the link (which carries
//! them) and the flow (which acts on the outcome). No I/O here.

use std::time::Duration;

/// A request, rendered and ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// Path and query below the partner's base URL; starts with `/`.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A complete answer of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What became of a request. Only an explicit answer is `Accepted`, `Duplicate` or `Rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The partner has taken it.
    Accepted,
    /// The partner had it already under our reference: as good as accepted.
    Duplicate,
    /// The partner refuses it and would refuse it again.
    Rejected,
    /// The partner did not take it now and says so; the same request may be sent again.
    RetryLater,
    /// Nobody knows whether the partner has taken it: ask before sending again.
    Unknown,
}

impl Outcome {
    /// The word used in the database, metrics and adapter samples.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Duplicate => "duplicate",
            Outcome::Rejected => "rejected",
            Outcome::RetryLater => "retry_later",
            Outcome::Unknown => "unknown",
        }
    }
}

/// An outcome with what an operator should see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// The partner's own code and message, cut short and safe to show; never a request body.
    pub text: String,
    /// How long the partner asks us to wait before anything further goes to it.
    pub retry_after: Option<Duration>,
}
