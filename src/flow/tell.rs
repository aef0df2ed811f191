//! What destinations are told: one file for each subject a delivery can have, and here which is whose.
//!
//! A subject knows how it is read for the adapter's template and how it is described to people. Which deliveries go
//! together in a request is `flow::deliver`'s. Read when sent, never stored.

mod batch; // a batch of a month's deductions
mod entity; // a change of a registry entry
mod records; // posted lines of a packet

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

pub use batch::BatchReader;
pub use entity::{Entities, EntityRoutes};
pub use records::Contributions;

use super::deliver::DeliveryContents;
use super::transfer::{DEDUCTION_RESULTS, DEDUCTIONS, Transfer};
use crate::adapter::OutboundMessage;
use crate::error::{Fault, Stage};
use crate::model::told::Results;
use crate::store::delivery::{Delivery, NewDelivery, Subject};

/// What the deliveries of an outbound message are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    Records,
    Entity,
    Batch,
}

impl SubjectKind {
    /// What an adapter's message is for: registry entries where it says which it tells of, batches by its name, else
    /// collected lines.
    pub fn of(outbound: &OutboundMessage) -> SubjectKind {
        if outbound.disclosure().is_some() {
            SubjectKind::Entity
        } else if [DEDUCTIONS, DEDUCTION_RESULTS].contains(&outbound.message()) {
            SubjectKind::Batch
        } else {
            SubjectKind::Records
        }
    }
}

/// Everything destinations are told.
pub struct Contents {
    pub contributions: Contributions,
    pub entities: Entities,
    pub batches: BatchReader,
    /// Takes in what the core answers about a batch.
    pub transfer: Transfer,
}

impl DeliveryContents for Contents {
    fn body<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Value, Fault>> {
        match &delivery.of.subject {
            Subject::Records(records) => self.contributions.read(delivery, records).boxed(),
            Subject::Batch(batch) => self.batches.read(delivery, *batch).boxed(),
            Subject::Entity(_) => async {
                let mut records = self.entities.read(std::slice::from_ref(delivery)).await?;
                let missing = || Err(unseen(delivery, "nothing was read of its entry"));
                records.pop().unwrap_or_else(missing)
            }
            .boxed(),
        }
    }

    fn records<'a>(
        &'a self,
        deliveries: &'a [Delivery],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Fault>>, Fault>> {
        self.entities.read(deliveries).boxed()
    }

    fn take_in<'a>(
        &'a self,
        delivery: &'a Delivery,
        results: &'a Results,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        self.transfer.answered(delivery, results).boxed()
    }
}

/// What a delivery tells of, in a few words for people; `packet_no` is that of its packet, if it is of one.
pub fn name(of: &NewDelivery, packet_no: Option<&str>) -> String {
    match &of.subject {
        Subject::Records(of) => records::name(of, packet_no),
        Subject::Entity(of) => entity::name(of),
        Subject::Batch(of) => batch::name(*of),
    }
}

/// What a delivery tells of, in a sentence for people, with its message and money.
pub fn describe(of: &NewDelivery, packet_no: Option<&str>) -> String {
    match &of.subject {
        Subject::Records(subject) => records::describe(of, subject, packet_no),
        Subject::Entity(subject) => entity::describe(of, subject),
        Subject::Batch(subject) => batch::describe(of, *subject),
    }
}

/// What was queued in the transaction that stored its lines does not find them. The fault is ours or the
/// database's, never the delivery's, so it waits and is tried again: money is not given up for it.
pub(super) fn unseen(delivery: &Delivery, what: &str) -> Fault {
    let text = format!(
        "delivery {}: {what}; it is tried again: see that the database is the one the packet was stored in, and whole",
        delivery.delivery_id
    );
    Fault::later(Stage::Render, text)
}
