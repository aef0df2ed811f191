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
    /// Whether its connection may carry another request: only where answers repeat our reference,
    /// because a late second copy of an answer would be taken for that of the next request.
    pub reuse: bool,
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
    /// What stands before the partner answered and said that it let nothing through.
    NotReached,
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
            Outcome::NotReached => "not_reached",
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
    /// The partner itself has spoken, not what stands before it: it is there and answers.
    pub own: bool,
}

impl Verdict {
    /// An outcome nobody knows, for a reason of ours or because nothing of the partner's own was heard.
    pub fn unknown(text: impl Into<String>, own: bool) -> Verdict {
        Verdict {
            outcome: Outcome::Unknown,
            text: text.into(),
            retry_after: None,
            own,
        }
    }
}
