//! One request: its records are read and rendered, our reference is committed, the request goes
//! out, and the partner's answer decides what each delivery in it becomes.
//!
//! No database connection is held while the partner is called. Only an explicit answer settles a
//! delivery; anything else leaves it in doubt, which is `flow::inquire`'s business. Nothing here
//! puts a body, a private field or a secret into a text.

mod destination; // what a dispatcher needs to talk to one partner
mod exchange; // one request: slot, reference, turn, gate, wire
mod gate; // whether anything may go out right now
mod outage; // trouble that goes on, logged once
mod package; // what goes into one request
mod pause; // how long until the next try
mod spend; // the day's requests
mod take_in; // results in an answer, durable before anything is settled

pub use destination::{
    DeliveryContents, DeliveryCounts, DeliveryFigures, Destination, Failure, Pace, Speaker, Term,
    Wire,
};
pub use exchange::{Exchange, RequestContext, RequestKind, RequestOutcome, exchange};
pub use gate::{Gate, GateClosed, GatePass, PauseReason};
pub use outage::{OutageLength, Troubles};
pub use package::together;
pub use pause::{backoff, pause};

use std::time::{Duration, Instant};

use package::{Package, package};
pub(super) use take_in::take_in;

use crate::error::{Fault, Retry};
use crate::model::{Outcome, Verdict};
use crate::store::delivery::{self as store, Delivery, Next, Settlement};

/// How one claimed row ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// To be written, with all the others that are ready.
    Settle(Settlement),
    /// Not begun, for no fault of its own: it is as if never claimed.
    GiveBack(i64),
    /// Another dispatcher has taken it up; nothing of ours counts.
    Lost(i64),
}

/// Delivers claimed rows of one message in one request: one row, or registry entries.
pub async fn deliver(term: &Term, deliveries: &[Delivery]) -> Vec<DeliveryEnd> {
    match package(term, deliveries).await {
        Ok((package, mut ended)) => {
            package
                .deliveries
                .iter()
                .for_each(|delivery| prepared(term, delivery));
            ended.extend(send(term, &package).await);
            ended
        }
        Err(fault) => deliveries
            .iter()
            .map(|delivery| DeliveryEnd::Settle(unsent(term, delivery, &fault)))
            .collect(),
    }
}

async fn send(term: &Term, package: &Package) -> Vec<DeliveryEnd> {
    let Some(first) = package.deliveries.first() else {
        return Vec::new();
    };
    let sent = match speaker(term, first) {
        Ok(speaker) => {
            exchange(
                term,
                &package.deliveries,
                speaker,
                (RequestKind::Send, &package.reference),
                &package.request,
            )
            .await
        }
        Err(fault) => Err(fault),
    };
    let each =
        |ended: &dyn Fn(&Delivery) -> DeliveryEnd| package.deliveries.iter().map(ended).collect();
    match sent {
        Ok(Exchange::NotBegun) => each(&|delivery| DeliveryEnd::GiveBack(delivery.delivery_id)),
        Ok(Exchange::Lost) => each(&|delivery| DeliveryEnd::Lost(delivery.delivery_id)),
        Ok(Exchange::Begun(attempts, met, heard)) => {
            let met = take_in(term, first, *met).await;
            let rows = package.deliveries.iter().zip(attempts).enumerate();
            rows.map(|(at, (delivery, attempt_no))| {
                DeliveryEnd::Settle(settlement(term, delivery, attempt_no, (&met, at, heard)))
            })
            .collect()
        }
        Err(fault) => each(&|delivery| DeliveryEnd::Settle(unsent(term, delivery, &fault))),
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

/// Whether a delivery has been tried for its minimum time.
pub(super) fn long_enough(term: &Term, delivery: &Delivery) -> bool {
    delivery.tried_for >= Duration::from_secs(term.policy.give_up_after_seconds)
}

/// Whether an attempt that met with this counts towards `attempts_max`. It does not when what stands
/// before the partner let nothing through, when the destination gives no answer of its own to anybody,
/// and when the partner says "later" before the delivery's minimum time has passed.
pub(super) fn counts(
    term: &Term,
    delivery: &Delivery,
    verdict: &Verdict,
    heard: RequestContext,
) -> bool {
    match verdict.outcome {
        Outcome::NotReached => false,
        Outcome::RetryLater => long_enough(term, delivery),
        Outcome::Unknown => verdict.own || heard.first,
        Outcome::Accepted | Outcome::Duplicate | Outcome::Rejected => true,
    }
}

/// When a delivery goes again, or is asked about again, after an answer that did not settle it. What
/// the partner asked for holds the destination as a whole, so that it can be lifted as a whole.
pub(super) fn again(term: &Term, delivery: &Delivery, counts: bool, attempt_no: i32) -> Duration {
    if counts {
        backoff(&term.policy, delivery.attempts)
    } else {
        pause(&term.policy, attempt_no)
    }
}

/// What becomes of the delivery at that place of a request.
fn settlement(
    term: &Term,
    delivery: &Delivery,
    attempt_no: i32,
    (met, at, heard): (&RequestOutcome, usize, RequestContext),
) -> Settlement {
    let (status, verdict) = match met {
        RequestOutcome::HeldBack => {
            return held_back(delivery, attempt_no, Next::Ready(Duration::ZERO));
        }
        RequestOutcome::NotSent(text) => {
            return not_sent(
                delivery,
                attempt_no,
                Next::Ready(backoff(&term.policy, 1)),
                text.clone(),
            );
        }
        RequestOutcome::Silence(text) => (None, Verdict::unknown(text, false)),
        RequestOutcome::Answered(status, whole, each, _)
            if each.len() > 1 && whole.outcome == Outcome::Rejected =>
        {
            return refused_together(delivery, attempt_no, (*status, whole));
        }
        RequestOutcome::Answered(status, whole, each, _) => {
            (Some(*status), each.get(at).unwrap_or(whole).clone())
        }
    };
    let counts = counts(term, delivery, &verdict, heard);
    let exhausted = counts && delivery.attempts >= term.policy.attempts_max;
    let next = match verdict.outcome {
        Outcome::Accepted | Outcome::Duplicate => Next::Delivered,
        Outcome::Rejected => Next::Dead,
        Outcome::RetryLater if exhausted => Next::Dead,
        Outcome::RetryLater => Next::Ready(again(term, delivery, counts, attempt_no)),
        // When the destination may be tried again its oldest delivery goes first.
        Outcome::NotReached => Next::Ready(Duration::ZERO),
        Outcome::Unknown => Next::InDoubt(before_asking(term, delivery, heard.took)),
    };
    let doubtful = is_doubtful(delivery);
    let text = match next {
        Next::Dead if doubtful => {
            format!(
                "this time {}: {}; but what became of an earlier request under this reference is unknown",
                verdict.outcome.word(),
                verdict.text
            )
        }
        _ if verdict.outcome == Outcome::NotReached => {
            format!("{LET_THROUGH_NOTHING}: {}", verdict.text)
        }
        Next::Dead if verdict.outcome == Outcome::RetryLater => format!(
            "not taken in {} attempts; last: {}",
            delivery.attempts, verdict.text
        ),
        _ => verdict.text,
    };
    // An earlier request whose outcome nobody knows may still have been taken, although the partner
    // does not take this one; only that it has it clears the doubt.
    let known = verdict.outcome != Outcome::NotReached && (!doubtful || next == Next::Delivered);
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: Some(attempt_no),
        next,
        outcome: known.then_some(verdict.outcome),
        answered: Some(verdict.outcome),
        status,
        text,
        counts,
    }
}

/// Begins the text of what never reached the partner.
pub(super) const LET_THROUGH_NOTHING: &str = "what stands before the partner let nothing through";

/// A request with several records was refused as a whole, for the fault of one perhaps: each goes alone.
fn refused_together(
    delivery: &Delivery,
    attempt_no: i32,
    (status, whole): (u16, &Verdict),
) -> Settlement {
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: Some(attempt_no),
        next: Next::Ready(Duration::ZERO),
        outcome: Some(Outcome::Rejected),
        answered: Some(Outcome::Rejected),
        status: Some(status),
        text: format!(
            "refused together with others, is sent alone: {}",
            whole.text
        ),
        counts: false,
    }
}

/// How long until the partner is asked what became of a request: soon, but where a repeat would
/// count twice not before the deadline has passed, because the partner may still be busy with it
/// although the connection broke, and would say that it does not have it.
fn before_asking(term: &Term, delivery: &Delivery, took: Duration) -> Duration {
    let idempotent = speaker(term, delivery).is_ok_and(Speaker::idempotent);
    let rest = if idempotent {
        Duration::ZERO
    } else {
        term.destination.deadline.saturating_sub(took)
    };
    rest.max(backoff(&term.policy, 1))
}

/// Whether an earlier request of this delivery has an outcome nobody knows.
pub(super) fn is_doubtful(delivery: &Delivery) -> bool {
    delivery.outcome.as_deref() == Some(Outcome::Unknown.word())
}

/// The attempt began, but the gate closed before anything left.
pub(super) fn held_back(delivery: &Delivery, attempt_no: i32, next: Next) -> Settlement {
    not_sent(
        delivery,
        attempt_no,
        next,
        "held back: the destination is paused, or this instance stopped sending".into(),
    )
}

/// Nothing left, so the attempt does not count: that the partner is down is not the delivery's fault.
pub(super) fn not_sent(
    delivery: &Delivery,
    attempt_no: i32,
    next: Next,
    text: String,
) -> Settlement {
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: Some(attempt_no),
        next,
        outcome: None,
        answered: None,
        status: None,
        text,
        counts: false,
    }
}

/// What a delivery that cannot be prepared is called among the troubles of its destination.
fn preparing(delivery: &Delivery) -> String {
    format!("delivery {}", delivery.delivery_id)
}

fn prepared(term: &Term, delivery: &Delivery) {
    if let Some(lasted) = term.troubles.over(&preparing(delivery), Instant::now()) {
        tracing::info!(destination = %term.destination.name, delivery = delivery.delivery_id, "can be prepared again, after {lasted}");
    }
}

/// No request could be made of it. It is tried every second and logged once.
fn unsent(term: &Term, delivery: &Delivery, fault: &Fault) -> Settlement {
    if fault.retry != Retry::Never
        && let Some(lasted) = term.troubles.met(&preparing(delivery), Instant::now())
    {
        tracing::error!(destination = %term.destination.name, delivery = delivery.delivery_id, "cannot be prepared ({lasted}), is tried again: {fault}");
    }
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
