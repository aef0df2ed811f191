//! What is to be done with a message: the one question each is asked when it arrives, as a value.
//!
//! Every canonical record names its story, an endpoint has one, and `flow::intake` is the only place that
//! matches it. What a story does is the business of its flow.

/// What becomes of a message's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Story {
    /// Collected money: checked, split by the rates in force, posted, passed on.
    Collect,
    /// Who is insured, from the medical insurance core.
    Roster,
    /// What the core did with instructions about personal accounts, sent by itself.
    DeductionResults,
}

impl Story {
    /// What a message of it is called in sentences: `packet`.
    pub fn message(self) -> &'static str {
        match self {
            Story::Collect => "packet",
            Story::Roster => "roster",
            Story::DeductionResults => "results of deductions",
        }
    }

    /// Several of them, as sentences about endpoints name them.
    pub fn messages(self) -> &'static str {
        match self {
            Story::Collect => "packets of collected money",
            Story::Roster => "rosters",
            Story::DeductionResults => "results of deductions",
        }
    }

    /// What its sender is told when the gateway itself cannot go on; the same message may come again.
    pub fn not_now(self) -> &'static str {
        match self {
            Story::Collect => "the gateway cannot take the packet now; send it again later",
            Story::Roster => "the gateway cannot take the roster now; send it again later",
            Story::DeductionResults => {
                "the gateway cannot take the results now; send them again later"
            }
        }
    }
}
