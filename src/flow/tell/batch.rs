//! What a destination is told of a batch of a month's deductions: the medical core the instructions,
//! the LTC system what became of them.
//!
//! Rendered when sent, never stored. What is said in answer is `flow::transfer`'s.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::unseen;
use crate::error::{Fault, Stage};
use crate::flow::deduct::DeductionPartners;
use crate::flow::transfer::{DEDUCTION_RESULTS, DEDUCTIONS, name_of};
use crate::store::Store;
use crate::store::delivery::{Batch, Delivery, NewDelivery};
use crate::store::transfer::{BatchHead, KnownResult, PersonInstruction};

/// Reads batches for every destination.
pub struct BatchReader {
    pub store: Store,
    /// Which core is asked in an area, and who is told of results.
    pub partners: Arc<DeductionPartners>,
}

/// What a delivery tells of, in a few words.
pub(super) fn name(batch: Batch) -> String {
    format!("batch {}", name_of(batch))
}

/// What a delivery tells of, in a sentence.
pub(super) fn describe(of: &NewDelivery, batch: Batch) -> String {
    format!(
        "{}, deduction cycle {}, batch {}: {} people, {} yuan",
        of.message, batch.cycle_id, batch.batch_no, of.lines, of.fen
    )
}

impl BatchReader {
    /// What a delivery of a batch tells its destination, read when it is sent.
    ///
    /// # Errors
    /// The batch is not there or not what the delivery says, or the database cannot be reached.
    pub(super) async fn read(&self, delivery: &Delivery, batch: Batch) -> Result<Value, Fault> {
        let (message, to) = (
            delivery.of.message.as_str(),
            delivery.of.destination.as_str(),
        );
        let gone = |what: &str| {
            Fault::operator(
                Stage::Render,
                format!(
                    "delivery {}: {what}; this is a mistake in the gateway",
                    delivery.delivery_id
                ),
            )
        };
        let missing = || unseen(delivery, "its batch is not in the database");
        let (head, people) = match message {
            DEDUCTIONS => {
                let (head, asked) = self.store.batch_asked(batch).await?.ok_or_else(missing)?;
                let person = |asked: &PersonInstruction| {
                    object([
                        ("person_no", json!(asked.person_no)),
                        ("fen", json!(asked.fen.0)),
                    ])
                };
                (head, asked.iter().map(person).collect::<Vec<Value>>())
            }
            DEDUCTION_RESULTS => {
                let (head, known) = self.store.batch_results(batch).await?.ok_or_else(missing)?;
                let month = head.month.number().to_string();
                let person = |known: &KnownResult| {
                    let made_up = known.made_up.iter().map(|carried| json!({ "month": carried.month.number().to_string(), "fen": carried.fen.0 }));
                    object([
                        ("person_no", json!(known.person_no)),
                        ("month", json!(month)),
                        ("outcome", json!(known.outcome.word())),
                        ("fen", json!(known.fen.0)),
                        ("made_up", made_up.collect()),
                    ])
                };
                let people = known.iter().map(person).collect();
                (head, people)
            }
            _ => return Err(gone("its message is not about batches")),
        };
        if !self.partners.takes(to, message, head.pooling_area) {
            return Err(elsewhere(delivery, head.pooling_area));
        }
        if people.len() != usize::try_from(delivery.of.lines).unwrap_or_default() {
            return Err(unseen(delivery, "its batch has other people than it says"));
        }
        Ok(json!({ "delivery": described(delivery, &head), "people": people }))
    }
}

/// What was queued for a partner whose entry has lost the area since: it must not be told of it any more.
fn elsewhere(delivery: &Delivery, area: i32) -> Fault {
    let (id, to, message) = (
        delivery.delivery_id,
        &delivery.of.destination,
        &delivery.of.message,
    );
    let text = format!(
        "delivery {id}: partner {to} no longer receives \"{message}\" of pooling area {area:06}; put the area back into its `areas` in partners.toml until the cycle is \
         settled, restart the gateway, then `ltcgw dead retry {id}`"
    );
    Fault::operator(Stage::Render, text)
}

fn described(delivery: &Delivery, head: &BatchHead) -> Value {
    let batch = head.batch;
    json!({
        "id": delivery.delivery_id, "cycle_id": batch.cycle_id, "batch_no": batch.batch_no, "name": name_of(batch), "round": head.round,
        "pooling_area": head.pooling_area.to_string(), "month": head.month.number().to_string(), "people": delivery.of.lines, "fen": delivery.of.fen.0,
    })
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut object = Map::with_capacity(N);
    object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(object)
}
