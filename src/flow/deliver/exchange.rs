//! One request: a slot, the reference committed, a turn, a last look at the gate, the wire.
//!
//! A request may carry several deliveries of one message: they begin together, and the answer says
//! of each what it means. The order matters. The attempt is durable before anything can leave; the turn is waited for
//! last, so that the request leaves when the pacer says; and what was held back after its attempt
//! began is recorded as not sent.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::destination::{Failure, Speaker, Term};
use super::gate::{Failing, GateNote, GatePass, PauseReason};
use crate::error::Fault;
use crate::model::told::Results;
use crate::model::{Answer, Outcome, Request, Verdict};
use crate::store::delivery::{self as store, Delivery, Start};

/// How far a request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The gate, the day or the hour closed before the attempt began.
    NotBegun,
    /// A row is no longer ours; nothing was sent.
    Lost,
    /// The attempts of these numbers began, one for each delivery, and met with this.
    Begun(Vec<i32>, Box<RequestOutcome>, RequestContext),
}

/// What else a request has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestContext {
    /// From leaving to what it met with.
    pub took: Duration,
    /// Nothing of the partner's own was heard, though it worked before: only then is it the delivery's failure, too.
    pub first: bool,
}

/// What a request met with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The gate closed before it left.
    HeldBack,
    /// It did not leave; why.
    NotSent(String),
    /// It left, and there is no complete answer; what was seen.
    Silence(String),
    /// A complete answer: HTTP status, what it means as a whole, and for each delivery; with results
    /// of single records where it accepts and has any.
    Answered(u16, Verdict, Vec<Verdict>, Option<Results>),
}

/// Which request of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    Send,
    Inquire,
}

/// Sends one rendered request, which carries `deliveries`, under its own `reference` and judges the answer.
///
/// # Errors
/// The database could not record the attempt: then nothing was sent.
pub async fn exchange(
    term: &Term,
    deliveries: &[Delivery],
    speaker: &dyn Speaker,
    (kind, reference): (RequestKind, &str),
    request: &Request,
) -> Result<Exchange, Fault> {
    let slot = tokio::select! {
        biased;
        () = term.gate.until_shut() => return Ok(Exchange::NotBegun),
        slot = term.slots.acquire() => slot,
    };
    let Ok(_slot) = slot else {
        return Ok(Exchange::NotBegun);
    };
    if term.gate.room(Instant::now(), 1, 0).is_err() {
        return Ok(Exchange::NotBegun);
    }
    let Ok(ticket) = term.draw().await else {
        return Ok(Exchange::NotBegun);
    };
    let begun_at = Instant::now();
    let ids: Vec<i64> = deliveries
        .iter()
        .map(|delivery| delivery.delivery_id)
        .collect();
    let start = Start {
        delivery_ids: &ids,
        inquiry: kind == RequestKind::Inquire,
        reference,
        adapter_digest: speaker.digest(),
        request_digest: Sha256::digest(&request.body).into(),
    };
    let Some(attempts) = store::begin(&term.pool, &term.lease, &start, term.hold()).await? else {
        return Ok(Exchange::Lost);
    };
    let Some((pass, turn)) = turn(term, begun_at).await.filter(|_| ticket.spend()) else {
        return Ok(Exchange::Begun(
            attempts,
            Box::new(RequestOutcome::HeldBack),
            RequestContext::default(),
        ));
    };
    let left_at = Instant::now();
    let carried = carry(term, request).await;
    let took = left_at.elapsed();
    let (met, noted) = match carried {
        Ok(answer) => {
            term.pacer.answered(turn);
            let answer = speaker.decoded(answer, kind);
            let verdict = match kind {
                RequestKind::Send => speaker.judge(&answer, reference),
                RequestKind::Inquire => speaker.judge_inquiry(&answer, reference),
            };
            count(term, kind, verdict.outcome);
            let noted = note(pass, &verdict);
            tell(term, noted, &verdict.text).await;
            let each = match kind {
                RequestKind::Send
                    if deliveries
                        .iter()
                        .all(|delivery| delivery.of.entity().is_some()) =>
                {
                    let records: Vec<&str> = deliveries
                        .iter()
                        .filter_map(|delivery| delivery.of.entity())
                        .map(|entity| entity.id.as_str())
                        .collect();
                    speaker.judge_records(&answer, &verdict, &records)
                }
                _ => vec![verdict.clone(); deliveries.len()],
            };
            (answered(speaker, (kind, &answer), verdict, each), noted)
        }
        Err(Failure::NotSent(text)) => {
            term.counts.not_sent.fetch_add(1, Ordering::Relaxed);
            let noted = pass.failed(Instant::now(), SILENT);
            tell(term, noted, &text).await;
            (RequestOutcome::NotSent(text), noted)
        }
        Err(Failure::Unknown(text)) => {
            count(term, kind, Outcome::Unknown);
            let noted = pass.failed(Instant::now(), SILENT);
            tell(term, noted, &text).await;
            (RequestOutcome::Silence(text), noted)
        }
    };
    Ok(Exchange::Begun(
        attempts,
        Box::new(met),
        RequestContext {
            took,
            first: noted.first,
        },
    ))
}

/// No answer at all: after several in a row the destination counts as down.
const SILENT: Failing = Failing {
    reason: PauseReason::Down,
    wait: None,
    at_once: false,
};

/// What was met, with the results the answer holds; one whose results cannot be read says nothing.
fn answered(
    speaker: &dyn Speaker,
    (kind, answer): (RequestKind, &Answer),
    verdict: Verdict,
    each: Vec<Verdict>,
) -> RequestOutcome {
    let accepts = matches!(verdict.outcome, Outcome::Accepted | Outcome::Duplicate);
    match accepts.then(|| speaker.results(answer, kind)).flatten() {
        None => RequestOutcome::Answered(answer.status, verdict, each, None),
        Some(Ok(results)) => RequestOutcome::Answered(answer.status, verdict, each, Some(results)),
        Some(Err(fault)) => RequestOutcome::Answered(
            answer.status,
            Verdict::unknown(fault.text, true),
            Vec::new(),
            None,
        ),
    }
}

/// Logs a turn for the worse or the better, with the safe text of what was met, and writes pauses
/// down for people and for whoever dispatches next; the gate holds already.
async fn tell(term: &Term, noted: GateNote, text: &str) {
    let destination = term.destination.name.as_str();
    let written = match noted.pause {
        Some((reason, pause, again)) => {
            let seconds = pause.as_secs_f64();
            match reason {
                // It goes on for the reason that was told when it began; how long and how often is told when it ends.
                _ if again => {}
                PauseReason::NotReached => {
                    tracing::error!(
                        destination,
                        seconds,
                        "paused: what stands before the partner lets nothing through, see `ltcgw destinations list`: {text}"
                    );
                }
                PauseReason::Unclear => tracing::error!(
                    destination,
                    seconds,
                    "paused: gives no answer of the partner's own, see `ltcgw destinations list`: {text}"
                ),
                PauseReason::Down => tracing::warn!(
                    destination,
                    "counts as down; only probes until it answers: {text}"
                ),
                PauseReason::Later => tracing::warn!(
                    destination,
                    seconds,
                    "paused: the partner says later: {text}"
                ),
            }
            store::pause(&term.pool, &term.lease, pause, (reason.word(), text)).await
        }
        None if noted.first => {
            tracing::warn!(destination, "begins to fail: {text}");
            Ok(())
        }
        None if noted.works => {
            let lasted = noted
                .lasted
                .map_or_else(String::new, |lasted| format!("; it did not for {lasted}"));
            tracing::info!(destination, "works again{lasted}");
            store::works(&term.pool, &term.lease).await
        }
        None => Ok(()),
    };
    if let Err(fault) = written {
        tracing::warn!(
            destination,
            "a pause of the destination is known to this instance only: {fault}"
        );
    }
}

fn count(term: &Term, kind: RequestKind, outcome: Outcome) {
    match kind {
        RequestKind::Send => term.counts.met(outcome),
        RequestKind::Inquire => drop(term.counts.inquiries.fetch_add(1, Ordering::Relaxed)),
    }
}

/// Waits for the turn and looks at the gate once more; `None` when the request must not leave.
async fn turn(term: &Term, begun_at: Instant) -> Option<(GatePass<'_>, Instant)> {
    let turn = tokio::select! {
        biased;
        () = term.gate.until_shut() => return None,
        turn = term.pacer.turn() => turn,
    };
    // The row must stay ours until the deadline has passed.
    let in_time = begun_at.elapsed() + term.destination.deadline < term.hold();
    if in_time {
        term.gate.pass(Instant::now()).ok().map(|pass| (pass, turn))
    } else {
        None
    }
}

/// Sends; a wire that forgets its deadline is cut off, or its slot would be lost for good.
async fn carry(term: &Term, request: &Request) -> Result<Answer, Failure> {
    const GRACE: Duration = Duration::from_millis(500);
    let deadline = term.destination.deadline;
    let cut_off = || {
        Failure::Unknown(format!(
            "no complete answer within {} s",
            deadline.as_secs()
        ))
    };
    tokio::time::timeout(
        deadline + GRACE,
        term.destination.wire.send(request, deadline),
    )
    .await
    .unwrap_or_else(|_| Err(cut_off()))
}

/// Tells the gate what the answer says about the partner itself. A pause holds at once, before any
/// other request of this destination can leave.
fn note(pass: GatePass<'_>, verdict: &Verdict) -> GateNote {
    let now = Instant::now();
    match verdict.outcome {
        Outcome::Accepted | Outcome::Duplicate | Outcome::Rejected => pass.answered(now),
        Outcome::Unknown if verdict.own => pass.answered(now),
        Outcome::RetryLater => pass.later(now, verdict.retry_after),
        Outcome::NotReached => pass.failed(
            now,
            Failing {
                reason: PauseReason::NotReached,
                wait: verdict.retry_after,
                at_once: true,
            },
        ),
        Outcome::Unknown => pass.failed(
            now,
            Failing {
                reason: PauseReason::Unclear,
                wait: verdict.retry_after,
                at_once: true,
            },
        ),
    }
}
