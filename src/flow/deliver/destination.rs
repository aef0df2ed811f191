//! What a dispatcher needs to talk to one partner, as traits that a test can stand in for.
//!
//! The adapter and the link implement them; so the stories of delivering and inquiring can be told
//! against any partner, simulated or real.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Gate, RequestKind, Troubles};
use crate::config::{Deliver, DestinationLimits};
use crate::error::{Fault, Stage};
use crate::link::{Clock, Quota};
use crate::model::told::Results;
use crate::model::{Answer, Outcome, Request, Verdict};
use crate::store::Pool;
use crate::store::delivery::{Delivery, Lease};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Certain that nothing reached the partner; the text says why.
    NotSent(String),
    /// The partner may have got the request; the text says what was seen.
    Unknown(String),
}

/// Carries a request to the partner and its complete answer back.
pub trait Wire: Send + Sync {
    fn send<'a>(
        &'a self,
        request: &'a Request,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Answer, Failure>>;
    /// A fresh pacer for a new term, with an empty bucket.
    fn pacer(&self) -> Box<dyn Pace>;
}

/// Keeps the partner's limit.
pub trait Pace: Send + Sync {
    /// Waits for the next turn and returns when it came; the request must leave at once.
    fn turn(&self) -> BoxFuture<'_, Instant>;
    /// The request whose turn came then has been answered.
    fn answered(&self, turn: Instant);
}

/// Speaks one outbound message of a partner's adapter.
pub trait Speaker: Send + Sync {
    /// SHA-256 of the adapter folder.
    fn digest(&self) -> [u8; 32];
    /// A new reference (msgid, idempotency key); `serial` is unique in the whole fleet.
    fn reference(&self, at: jiff::Timestamp, serial: u64) -> Result<String, Fault>;
    /// The request that delivers `body` under `reference`.
    fn render(&self, body: &Value, reference: &str, at: jiff::Timestamp) -> Result<Request, Fault>;
    /// An answer with its body as text, once for all who read it.
    fn decoded(&self, answer: Answer, _kind: RequestKind) -> Answer {
        answer
    }
    /// What an answer to the request under `reference` means.
    fn judge(&self, answer: &Answer, reference: &str) -> Verdict;
    /// Records one request may carry, each a delivery of its own.
    fn records_max(&self) -> usize {
        1
    }
    /// What an answer that means `whole` means for each record of the request, by their ids.
    fn judge_records(&self, _answer: &Answer, whole: &Verdict, ids: &[&str]) -> Vec<Verdict> {
        vec![whole.clone(); ids.len()]
    }
    /// What an accepting answer, to the message itself or to the inquiry about it, says of each
    /// record in full; `None` when the adapter knows of no such results.
    fn results(&self, _answer: &Answer, _kind: RequestKind) -> Option<Result<Results, Fault>> {
        None
    }
    /// Whether sending the same request again under the same reference has no second effect.
    fn idempotent(&self) -> bool;
    /// The request that asks what became of `reference`, with the inquiry's own reference, for
    /// which `serial` is. `None`: the partner has no inquiry.
    fn inquiry(
        &self,
        reference: &str,
        at: jiff::Timestamp,
        serial: u64,
    ) -> Option<Result<(String, Request), Fault>>;
    /// What an answer to that means for the delivery: `Accepted` the partner has it, `Rejected` it
    /// does not have it, `RetryLater` and `Unknown`: it does not say.
    fn judge_inquiry(&self, answer: &Answer, own_reference: &str) -> Verdict;
}

/// Reads the records a delivery names.
pub trait DeliveryContents: Send + Sync {
    /// What the adapter's template is given: `{"delivery": {...}, "lines": [...]}`. A fault of
    /// `Retry::Never` makes the delivery a dead letter; its text must be safe to show.
    fn body<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Value, Fault>>;
    /// The same for registry entries, each a record of `{"records": [...]}`, in the order of the
    /// deliveries; a fault of one record is that delivery's alone.
    fn records<'a>(
        &'a self,
        deliveries: &'a [Delivery],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Fault>>, Fault>> {
        let text = format!(
            "{} deliveries of registry entries, and nothing that reads them; this is a mistake in the gateway",
            deliveries.len()
        );
        Box::pin(std::future::ready(Err(Fault::operator(
            Stage::Render,
            text,
        ))))
    }
    /// Makes durable what a partner says of each record of a delivery; only then does the delivery
    /// count as delivered. May be called again with the same results.
    fn take_in<'a>(
        &'a self,
        delivery: &'a Delivery,
        _results: &'a Results,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let text = format!(
            "delivery {}: its answer has results, and nothing takes them in; this is a mistake in the gateway",
            delivery.delivery_id
        );
        Box::pin(std::future::ready(Err(Fault::operator(Stage::Judge, text))))
    }
}

/// A partner deliveries go to.
#[derive(Clone)]
pub struct Destination {
    /// Partner name.
    pub name: String,
    /// What it takes at most; the wire's pacer keeps those of the second, the dispatcher all others.
    pub limits: DestinationLimits,
    /// Tells the hour and the day.
    pub clock: Arc<dyn Clock>,
    /// From sending to the complete answer.
    pub deadline: Duration,
    pub wire: Arc<dyn Wire>,
    /// By outbound message name.
    pub speakers: BTreeMap<String, Arc<dyn Speaker>>,
    pub content: Arc<dyn DeliveryContents>,
}

impl Destination {
    /// Deliveries of a message that one request carries at most.
    pub fn records_max(&self, message: &str) -> usize {
        let most = self
            .speakers
            .get(message)
            .map_or(1, |speaker| speaker.records_max());
        self.limits
            .records_per_request
            .map_or(most, |limit| most.min(limit as usize))
            .max(1)
    }

    /// Deliveries that fill a request, whatever their message.
    pub fn records_min(&self) -> usize {
        self.speakers
            .keys()
            .map(|message| self.records_max(message))
            .min()
            .unwrap_or(1)
    }
}

/// What one dispatcher works with while it holds the lease of a destination.
pub struct Term {
    /// What does not work and goes on, over all terms of this instance.
    pub troubles: Arc<Troubles>,
    pub pool: Pool,
    pub lease: Lease,
    pub destination: Arc<Destination>,
    pub policy: Deliver,
    pub gate: Gate,
    pub pacer: Box<dyn Pace>,
    pub quota: Quota,
    /// One permit per request under way.
    pub slots: Semaphore,
    pub counts: Arc<DeliveryCounts>,
}

impl Term {
    /// How long a row is ours after its attempt began: until its turn has come, the deadline has
    /// passed, and some terms of a lease more for the answer to be written, or for an instance that
    /// stood still to go on.
    pub fn hold(&self) -> Duration {
        let destination = &self.destination;
        let turns = Duration::from_secs_f64(
            destination.limits.concurrent as f64
                / f64::from(destination.limits.requests_per_second.max(1)),
        );
        destination.deadline
            + FIRST_TURN
            + turns
            + 3 * Duration::from_secs(self.policy.lease_seconds)
    }
}

/// A new term's pacer lets nothing pass for about a second.
const FIRST_TURN: Duration = Duration::from_secs(2);

/// What happened at a destination since the start of this instance, for metrics.
#[derive(Debug, Default)]
pub struct DeliveryCounts {
    outcomes: [AtomicU64; OUTCOMES.len()],
    pub(crate) not_sent: AtomicU64,
    pub(crate) inquiries: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) lost: AtomicU64,
}

/// Outcomes in the order they are counted.
const OUTCOMES: [Outcome; 6] = [
    Outcome::Accepted,
    Outcome::Duplicate,
    Outcome::Rejected,
    Outcome::RetryLater,
    Outcome::NotReached,
    Outcome::Unknown,
];

/// A reading of [`DeliveryCounts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFigures {
    /// Outcome words with how often each was met; the last one is `not_sent`.
    pub outcomes: Vec<(&'static str, u64)>,
    pub inquiries: u64,
    pub delivered: u64,
    pub dead: u64,
    /// Settlements refused because another dispatcher had taken the row up.
    pub lost: u64,
}

impl DeliveryCounts {
    pub(crate) fn met(&self, outcome: Outcome) {
        if let Some(at) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.outcomes[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The figures now.
    pub fn read(&self) -> DeliveryFigures {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut outcomes: Vec<(&'static str, u64)> = OUTCOMES
            .iter()
            .zip(&self.outcomes)
            .map(|(outcome, count)| (outcome.word(), load(count)))
            .collect();
        outcomes.push(("not_sent", load(&self.not_sent)));
        DeliveryFigures {
            outcomes,
            inquiries: load(&self.inquiries),
            delivered: load(&self.delivered),
            dead: load(&self.dead),
            lost: load(&self.lost),
        }
    }
}
