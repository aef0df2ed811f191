//! One request: its records are read and rendered, our reference is committed, the request goes
//! out, and the partner's answer decides what each delivery in it becomes.
//!
//! No database connection is held while the partner is called. Only an explicit answer settles a
//! delivery; anything else leaves it in doubt, which is `flow::inquire`'s business. Nothing here
//! puts a body, a private field or a secret into a text.

mod destination; // what a dispatcher needs to talk to one partner
mod exchange; // one request: slot, reference, turn, gate, wire
mod gate; // whether anything may go out right now
mod package; // what goes into one request
mod pause; // how long until the next try
mod spend; // the day's requests
mod take_in; // results in an answer, durable before anything is settled

pub use destination::{Content, Counts, Destination, Failure, Figures, Pace, Speaker, Term, Wire};
pub use exchange::{Exchange, Kind, Met, exchange};
pub use gate::{Gate, Held, Pass};
pub use package::together;
pub use pause::backoff;

use std::time::Duration;

use package::{Package, package};
pub(super) use take_in::take_in;

use crate::error::{Fault, Retry};
use crate::model::{Outcome, Verdict};
use crate::store::delivery::{self as store, Delivery, Next, Settlement};

/// How one claimed row ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// To be written, with all the others that are ready.
    Settle(Settlement),
    /// Not begun, for no fault of its own: it is as if never claimed.
    GiveBack(i64),
    /// Another dispatcher has taken it up; nothing of ours counts.
    Lost(i64),
}

/// Delivers claimed rows of one message in one request: one row, or registry entries.
pub async fn deliver(term: &Term, deliveries: &[Delivery]) -> Vec<Ended> {
    match package(term, deliveries).await {
        Ok((package, mut ended)) => {
            ended.extend(send(term, &package).await);
            ended
        }
        Err(fault) => deliveries.iter().map(|delivery| Ended::Settle(unsent(term, delivery, &fault))).collect(),
    }
}

async fn send(term: &Term, package: &Package) -> Vec<Ended> {
    let Some(first) = package.deliveries.first() else { return Vec::new() };
    let sent = match speaker(term, first) {
        Ok(speaker) => exchange(term, &package.deliveries, speaker, (Kind::Send, &package.reference), &package.request).await,
        Err(fault) => Err(fault),
    };
    let each = |ended: &dyn Fn(&Delivery) -> Ended| package.deliveries.iter().map(ended).collect();
    match sent {
        Ok(Exchange::NotBegun) => each(&|delivery| Ended::GiveBack(delivery.delivery_id)),
        Ok(Exchange::Lost) => each(&|delivery| Ended::Lost(delivery.delivery_id)),
        Ok(Exchange::Begun(attempts, met, took)) => {
            obey_pause(term, &met).await;
            let met = take_in(term, first, met).await;
            let rows = package.deliveries.iter().zip(attempts).enumerate();
            rows.map(|(at, (delivery, attempt_no))| Ended::Settle(settlement(term, delivery, attempt_no, (&met, at, took)))).collect()
        }
        Err(fault) => each(&|delivery| Ended::Settle(unsent(term, delivery, &fault))),
    }
}

/// The part of the adapter that speaks the delivery's message.
pub(super) fn speaker<'a>(term: &'a Term, delivery: &Delivery) -> Result<&'a dyn Speaker, Fault> {
    let (name, message) = (&term.destination.name, &delivery.of.message);
    term.destination.speakers.get(message).map(AsRef::as_ref).ok_or_else(|| {
        let text = format!("partner `{name}` is not set up for message `{message}`: add it to `receives` in config/partners.toml and retry");
        Fault::operator(crate::error::Stage::Render, text)
    })
}

/// A serial number for a reference.
pub(super) async fn serial(term: &Term) -> Result<u64, Fault> {
    store::next_serial(&term.pool).await.map(i64::unsigned_abs)
}

/// Writes down that the partner asked for a pause, for whoever dispatches next; the gate holds already.
pub(super) async fn obey_pause(term: &Term, met: &Met) {
    let Met::Answered(_, Verdict { outcome: Outcome::RetryLater | Outcome::Unknown, retry_after: Some(wait), .. }, ..) = met else { return };
    if let Err(fault) = store::pause(&term.pool, &term.lease, *wait).await {
        tracing::warn!(destination = %term.destination.name, "a pause the partner asked for is kept by this instance only: {fault}");
    }
}

/// What becomes of the delivery at that place of a request.
fn settlement(term: &Term, delivery: &Delivery, attempt_no: i32, (met, at, took): (&Met, usize, Duration)) -> Settlement {
    let (status, verdict) = match met {
        Met::HeldBack => return held_back(delivery, attempt_no, Next::Ready(Duration::ZERO)),
        Met::NotSent(text) => return not_sent(delivery, attempt_no, Next::Ready(backoff(&term.policy, 1)), text.clone()),
        Met::Silence(text) => (None, Verdict { outcome: Outcome::Unknown, text: text.clone(), retry_after: None }),
        Met::Answered(status, whole, each, _) if each.len() > 1 && whole.outcome == Outcome::Rejected => {
            return refused_together(delivery, attempt_no, (*status, whole));
        }
        Met::Answered(status, whole, each, _) => (Some(*status), each.get(at).unwrap_or(whole).clone()),
    };
    let exhausted = delivery.attempts >= term.policy.attempts_max;
    let pause = || verdict.retry_after.unwrap_or_else(|| backoff(&term.policy, delivery.attempts));
    let next = match verdict.outcome {
        Outcome::Accepted | Outcome::Duplicate => Next::Delivered,
        Outcome::Rejected => Next::Dead,
        Outcome::RetryLater if exhausted => Next::Dead,
        Outcome::RetryLater => Next::Ready(pause()),
        Outcome::Unknown => Next::InDoubt(verdict.retry_after.unwrap_or_else(|| before_asking(term, delivery, took))),
    };
    let doubtful = is_doubtful(delivery);
    let text = match next {
        Next::Dead if doubtful => {
            format!("this time {}: {}; but what became of an earlier request under this reference is unknown", verdict.outcome.word(), verdict.text)
        }
        Next::Dead if verdict.outcome == Outcome::RetryLater => format!("not taken in {} attempts; last: {}", delivery.attempts, verdict.text),
        _ => verdict.text,
    };
    // An earlier request whose outcome nobody knows may still have been taken, although the partner
    // does not take this one; only that it has it clears the doubt.
    let known = !doubtful || next == Next::Delivered;
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: Some(attempt_no),
        next,
        outcome: known.then_some(verdict.outcome),
        answered: Some(verdict.outcome),
        status,
        text,
        counts: true,
    }
}

/// A request with several records was refused as a whole, for the fault of one perhaps: each goes alone.
fn refused_together(delivery: &Delivery, attempt_no: i32, (status, whole): (u16, &Verdict)) -> Settlement {
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: Some(attempt_no),
        next: Next::Ready(Duration::ZERO),
        outcome: Some(Outcome::Rejected),
        answered: Some(Outcome::Rejected),
        status: Some(status),
        text: format!("refused together with others, is sent alone: {}", whole.text),
        counts: false,
    }
}

/// How long until the partner is asked what became of a request: soon, but where a repeat would
/// count twice not before the deadline has passed, because the partner may still be busy with it
/// although the connection broke, and would say that it does not have it.
fn before_asking(term: &Term, delivery: &Delivery, took: Duration) -> Duration {
    let idempotent = speaker(term, delivery).is_ok_and(Speaker::idempotent);
    let rest = if idempotent { Duration::ZERO } else { term.destination.deadline.saturating_sub(took) };
    rest.max(backoff(&term.policy, 1))
}

/// Whether an earlier request of this delivery has an outcome nobody knows.
pub(super) fn is_doubtful(delivery: &Delivery) -> bool {
    delivery.outcome.as_deref() == Some(Outcome::Unknown.word())
}

/// The attempt began, but the gate closed before anything left.
pub(super) fn held_back(delivery: &Delivery, attempt_no: i32, next: Next) -> Settlement {
    not_sent(delivery, attempt_no, next, "held back: the destination is paused, or this instance stopped sending".into())
}

/// Nothing left, so the attempt does not count: that the partner is down is not the delivery's fault.
pub(super) fn not_sent(delivery: &Delivery, attempt_no: i32, next: Next, text: String) -> Settlement {
    Settlement { delivery_id: delivery.delivery_id, attempt_no: Some(attempt_no), next, outcome: None, answered: None, status: None, text, counts: false }
}

/// No request could be made of it.
fn unsent(term: &Term, delivery: &Delivery, fault: &Fault) -> Settlement {
    let next = match fault.retry {
        Retry::Never => Next::Dead,
        Retry::Later | Retry::Inquire => Next::Ready(backoff(&term.policy, 1)),
    };
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: None,
        next,
        outcome: None,
        answered: None,
        status: None,
        text: fault.text.clone(),
        counts: false,
    }
}
