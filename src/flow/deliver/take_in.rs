//! Results that stand in an answer, taken in before the delivery is settled.
//!
//! A delivery counts as delivered only when what the partner said of its records is durable. Where
//! that fails the outcome is unknown again, and the inquiry brings the same results once more.

use super::{RequestOutcome, Term};
use crate::model::told::Results;
use crate::model::{Outcome, Verdict};
use crate::store::delivery::Delivery;

/// Takes the results in; what was met, or that nobody can tell when they could not be kept.
pub(in crate::flow) async fn take_in(
    term: &Term,
    delivery: &Delivery,
    met: RequestOutcome,
) -> RequestOutcome {
    let RequestOutcome::Answered(status, verdict, _, Some(results)) = &met else {
        return met;
    };
    match kept(term, delivery, verdict, results).await {
        Ok(()) => met,
        Err(text) => {
            tracing::warn!(destination = %term.destination.name, delivery = delivery.delivery_id, "{text}");
            RequestOutcome::Answered(*status, Verdict::unknown(text, true), Vec::new(), None)
        }
    }
}

async fn kept(
    term: &Term,
    delivery: &Delivery,
    verdict: &Verdict,
    results: &Results,
) -> Result<(), String> {
    if results.is_empty() {
        // That it has it already says nothing of what it did with it: that is asked.
        let asked = verdict.outcome == Outcome::Duplicate;
        return if asked {
            Err(format!(
                "the partner had it already ({}); its results are asked for",
                verdict.text
            ))
        } else {
            Ok(())
        };
    }
    let taken = term.destination.content.take_in(delivery, results).await;
    taken.map_err(|fault| {
        format!("the results in the answer could not be kept, they are asked for again: {fault}")
    })
}
