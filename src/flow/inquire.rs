//! One delivery in doubt: it was sent and nobody knows the outcome, so the partner is asked about
//! our reference before anything is sent again.
//!
//! Where the partner has no inquiry, the same request goes again under the same reference only if
//! the adapter declares the message idempotent; otherwise a person decides. Nothing is ever sent
//! twice on a guess.

use std::time::Duration;

use super::deliver::{
    DeliveryEnd, Exchange, LET_THROUGH_NOTHING, RequestContext, RequestKind, RequestOutcome,
    Speaker, Term, again, backoff, counts, exchange, held_back, long_enough, not_sent, serial,
    speaker, take_in,
};
use crate::error::{Fault, Retry, Stage};
use crate::model::{Outcome, Request, Verdict};
use crate::store::delivery::{Delivery, Next, Settlement};

/// Clears up one claimed row that is in doubt.
pub async fn inquire(term: &Term, delivery: &Delivery) -> DeliveryEnd {
    let asked = match question(term, delivery).await {
        Ok(Some((speaker, reference, request))) => {
            exchange(
                term,
                std::slice::from_ref(delivery),
                speaker,
                (RequestKind::Inquire, &reference),
                &request,
            )
            .await
        }
        Ok(None) => return DeliveryEnd::Settle(without_inquiry(term, delivery)),
        Err(fault) => Err(fault),
    };
    match asked {
        Ok(Exchange::NotBegun) => DeliveryEnd::GiveBack(delivery.delivery_id),
        Ok(Exchange::Lost) => DeliveryEnd::Lost(delivery.delivery_id),
        Ok(Exchange::Begun(attempts, met, heard)) => {
            let met = take_in(term, delivery, *met).await;
            let attempt_no = attempts
                .first()
                .copied()
                .expect("an inquiry begins one attempt");
            DeliveryEnd::Settle(settlement(term, delivery, attempt_no, (met, heard)))
        }
        Err(fault) => DeliveryEnd::Settle(unasked(term, delivery, &fault)),
    }
}

/// The inquiry about the delivery's reference, under a reference of its own, if the partner has one.
async fn question<'a>(
    term: &'a Term,
    delivery: &'a Delivery,
) -> Result<Option<(&'a dyn Speaker, String, Request)>, Fault> {
    let speaker = speaker(term, delivery)?;
    let inquiry = speaker
        .inquiry(
            reference(delivery)?,
            jiff::Timestamp::now(),
            serial(term).await?,
        )
        .transpose()?;
    Ok(inquiry.map(|(own_reference, request)| (speaker, own_reference, request)))
}

fn reference(delivery: &Delivery) -> Result<&str, Fault> {
    let missing = || {
        Fault::operator(
            Stage::Send,
            format!(
                "delivery {} is in doubt without a reference; the database forbids this",
                delivery.delivery_id
            ),
        )
    };
    delivery.reference.as_deref().ok_or_else(missing)
}

fn settlement(
    term: &Term,
    delivery: &Delivery,
    attempt_no: i32,
    (met, heard): (RequestOutcome, RequestContext),
) -> Settlement {
    let (status, verdict) = match met {
        RequestOutcome::HeldBack => {
            return held_back(delivery, attempt_no, Next::InDoubt(Duration::ZERO));
        }
        RequestOutcome::NotSent(text) => {
            return not_sent(
                delivery,
                attempt_no,
                Next::InDoubt(backoff(&term.policy, 1)),
                text,
            );
        }
        RequestOutcome::Silence(text) => (None, Verdict::unknown(text, false)),
        RequestOutcome::Answered(status, verdict, ..) => (Some(status), verdict),
    };
    let counts = counts(term, delivery, &verdict, heard);
    let exhausted =
        counts && delivery.attempts >= term.policy.attempts_max && long_enough(term, delivery);
    let (next, outcome, text) = match verdict.outcome {
        Outcome::Accepted | Outcome::Duplicate => (
            Next::Delivered,
            Some(verdict.outcome),
            format!("found by inquiry: {}", verdict.text),
        ),
        Outcome::Rejected if exhausted => (
            Next::Dead,
            Some(Outcome::RetryLater),
            format!(
                "not at the partner after {} attempts: {}",
                delivery.attempts, verdict.text
            ),
        ),
        // What gets lost once goes again at once; what gets lost again and again, each time later.
        Outcome::Rejected => (
            Next::Ready(if delivery.attempts > 2 {
                backoff(&term.policy, delivery.attempts - 2)
            } else {
                Duration::ZERO
            }),
            Some(Outcome::RetryLater),
            format!("not at the partner, is sent again: {}", verdict.text),
        ),
        Outcome::RetryLater | Outcome::Unknown if exhausted => (
            Next::Dead,
            None,
            person(
                delivery,
                &format!("the inquiry brought no answer: {}", verdict.text),
            ),
        ),
        Outcome::NotReached => (
            Next::InDoubt(Duration::ZERO),
            None,
            format!(
                "{LET_THROUGH_NOTHING}, and the inquiry is made again: {}",
                verdict.text
            ),
        ),
        Outcome::RetryLater | Outcome::Unknown => (
            Next::InDoubt(again(term, delivery, counts, attempt_no)),
            None,
            format!("the inquiry brought no answer: {}", verdict.text),
        ),
    };
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: Some(attempt_no),
        next,
        outcome,
        answered: Some(verdict.outcome),
        status,
        text,
        counts,
    }
}

/// There is nobody to ask.
fn without_inquiry(term: &Term, delivery: &Delivery) -> Settlement {
    let idempotent = speaker(term, delivery).is_ok_and(Speaker::idempotent);
    let (next, text) = if !idempotent {
        (
            Next::Dead,
            person(
                delivery,
                "the partner has no inquiry and does not recognise repeats",
            ),
        )
    } else if delivery.attempts > term.policy.attempts_max && long_enough(term, delivery) {
        (Next::Dead, person(delivery, "no answer in all attempts"))
    } else {
        (
            Next::Ready(backoff(&term.policy, delivery.attempts)),
            "outcome unknown; is sent again under the same reference, which the partner recognises"
                .into(),
        )
    };
    quiet(delivery, next, text)
}

/// The inquiry could not be made.
fn unasked(term: &Term, delivery: &Delivery, fault: &Fault) -> Settlement {
    match fault.retry {
        Retry::Never => quiet(delivery, Next::Dead, person(delivery, &fault.text)),
        Retry::Later | Retry::Inquire => quiet(
            delivery,
            Next::InDoubt(backoff(&term.policy, 1)),
            fault.text.clone(),
        ),
    }
}

fn quiet(delivery: &Delivery, next: Next, text: String) -> Settlement {
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: None,
        next,
        outcome: None,
        answered: None,
        status: None,
        text,
        counts: false,
    }
}

/// What a person has to do.
fn person(delivery: &Delivery, why: &str) -> String {
    let (id, reference) = (
        delivery.delivery_id,
        delivery.reference.as_deref().unwrap_or("none"),
    );
    format!(
        "outcome unknown: {why}. Ask the partner about reference {reference}, then `ltcgw dead retry {id} --send-again` if it does not have it, or `--delivered` if it has"
    )
}
