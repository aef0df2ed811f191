//! One entrance for whatever brings bytes: a message comes in, its story is done, it is answered.
//!
//! Here stands what all stories have in common: who sent what and when and to which endpoint, how a
//! message is refused whole, what its sender is told. What becomes of its records is the business of
//! the story's own flow; the match in [`receive`] is the only place that decides what is done.

use std::io::{Cursor, Read};
use std::sync::Arc;

use crate::adapter::{Adapter, Endpoint, HeadSeen, PacketReader, PacketRefusal};
use crate::config::Partner;
use crate::error::Fault;
use crate::model::{Story, mask};
use crate::store::collect::RefusalNote;

use super::{Gateway, collect, roster, transfer};

mod aside;
mod ending;
pub(super) mod reason;
mod reply;
mod spool;

pub(super) use aside::alongside;
pub(super) use ending::{IntakeEnding, WholeRefusal};
pub use reply::IntakeReply;
pub(super) use reply::{ListedLines, ListedNote, ListedRefusal, Replier};
pub use spool::{ReceivedBody, Spool, SpoolError, SpoolLimits};

/// A message as it arrived.
#[derive(Clone)]
pub struct Arrival {
    pub partner: Arc<Partner>,
    pub adapter: Arc<Adapter>,
    pub endpoint: Arc<Endpoint>,
    /// What was said beside the body, name and value, in order: the query of a request.
    pub parameters: Vec<(String, String)>,
    pub body: ReceivedBody,
    pub received_at: jiff::Timestamp,
}

impl Arrival {
    /// Begins to read the body: its head, then record by record. `lines_max`: records it may have at most.
    pub(super) fn open(&self, lines_max: u64) -> Result<PacketReader<'_>, PacketRefusal> {
        self.endpoint.open(self.body.reader(), lines_max)
    }

    /// The same, with a line `before` the body's: a head that was said beside it.
    pub(super) fn open_after(
        &self,
        lines_max: u64,
        before: String,
    ) -> Result<PacketReader<'_>, PacketRefusal> {
        let document = Cursor::new(before).chain(self.body.reader());
        self.endpoint.open(Box::new(document), lines_max)
    }

    /// Who answers it, repeating what was read of its head.
    pub(super) fn replier(&self, head: Option<HeadSeen>) -> Replier<'_> {
        Replier {
            adapter: &self.adapter,
            endpoint: &self.endpoint,
            head,
            received_at: self.received_at,
        }
    }
}

/// Takes a message and says what its sender is told.
///
/// # Errors
/// Nothing was kept, and the sender should send it again.
pub async fn receive(gateway: &Gateway, arrival: &Arrival) -> Result<IntakeReply, Fault> {
    let story = arrival.endpoint.story();
    let done = match story {
        Story::Collect => collect::take(gateway, arrival).await,
        Story::Roster => roster::take(gateway, arrival).await,
        Story::DeductionResults => transfer::take_results(gateway, arrival).await,
    };
    match done {
        Ok(reply) => Ok(reply),
        Err(IntakeEnding::Refused(refusal)) => refuse(gateway, arrival, refusal).await,
        Err(ending) => Err(ending.fault(story)),
    }
}

/// Answers a message that is refused whole, and notes it: nothing else of it is kept.
async fn refuse(
    gateway: &Gateway,
    arrival: &Arrival,
    refusal: WholeRefusal,
) -> Result<IntakeReply, Fault> {
    let WholeRefusal {
        status,
        reason,
        head,
    } = refusal;
    let number = head.as_ref().and_then(|head| head.packet_no.as_deref());
    let (number, reason) = (number.map(mask::content), mask::text(&reason));
    let packet_no = number.as_deref();
    let what = arrival.endpoint.story().message();
    tracing::info!(partner = %arrival.partner.name, packet_no, status, %reason, "{what} refused whole");
    let reason = told(arrival.endpoint.story(), status, &reason);
    let note = RefusalNote {
        sender: &arrival.partner.name,
        packet_no,
        digest: arrival.body.digest,
        status,
        reason: &reason,
    };
    gateway.store.note_refusal(&note).await?;
    let untaken = head.as_ref().and_then(|head| head.untaken.clone());
    Ok(IntakeReply {
        untaken,
        ..arrival.replier(head).refused(status, &reason)?
    })
}

/// The receipt for a body that never became a message: too large, not gzip, cut off.
///
/// # Errors
/// The adapter's receipt cannot be rendered.
pub fn refuse_body(
    adapter: &Adapter,
    endpoint: &Endpoint,
    status: u16,
    reason: &str,
) -> Result<IntakeReply, Fault> {
    Replier {
        adapter,
        endpoint,
        head: None,
        received_at: jiff::Timestamp::now(),
    }
    .refused(status, &reason::of_packet(status, reason))
}

/// A reason as its sender reads it: clerks of the tax bureau read Chinese first.
fn told(story: Story, status: u16, reason: &str) -> String {
    match story {
        Story::Collect => reason::of_packet(status, reason),
        Story::Roster | Story::DeductionResults => reason.to_string(),
    }
}
