//! A month's deductions on their way: batches go to the medical core, and what it says of each
//! person is posted, or noted as a discrepancy, before a batch counts as delivered.
//!
//! One way in for results, whether they stand in the answer, in the answer to an inquiry, or are
//! sent by the core later. Money is posted when, and only when, the core says that it was taken;
//! whatever does not fit the instruction is noted and nothing of it posted. When the last batch is
//! answered the cycle is settled, and its results go to whoever receives them.

use std::sync::Arc;
use std::time::Duration;

use super::deduct::DeductionPartners;
use crate::error::{Fault, Stage};
use crate::model::told::Results;
use crate::store::Store;
use crate::store::delivery::{Batch, Delivery};
use crate::store::transfer::{ResultDiscrepancy, ResultsOrigin, ResultsOutcome, Writes};

mod compare; // what is said, held against what was asked
mod late; // results the core sends by itself
mod told; // canonical records -> what is said

pub(super) use late::take_results;
pub use told::read;

/// The outbound message that carries instructions to the medical core.
pub use crate::model::deduction::MESSAGE as DEDUCTIONS;
/// The outbound message that carries what became of them to the LTC system.
pub const DEDUCTION_RESULTS: &str = "deduction_results";

/// What batches are read from and results taken into; cheap to clone.
#[derive(Clone)]
pub struct Transfer {
    pub store: Store,
    /// Which core is asked in an area, and who is told of results.
    pub partners: Arc<DeductionPartners>,
}

/// What a message about a batch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultsSummary {
    /// Results that are new.
    pub new: usize,
    /// Said before, and the same.
    pub known: usize,
    /// Noted as discrepancies.
    pub odd: Vec<ResultDiscrepancy>,
    /// The batch is answered whole.
    pub whole: bool,
}

/// The batch's number as the partners see it: cycle and number within it.
pub fn name_of(batch: Batch) -> String {
    format!("{}-{}", batch.cycle_id, batch.batch_no)
}

/// The batch of such a number.
pub fn of_name(name: &str) -> Option<Batch> {
    let (cycle_id, batch_no) = name.split_once('-')?;
    let batch = Batch {
        cycle_id: cycle_id.parse().ok()?,
        batch_no: batch_no.parse().ok()?,
    };
    (name_of(batch) == name).then_some(batch)
}

impl Transfer {
    /// Takes in what the answer to a delivery, or to the inquiry about it, says.
    ///
    /// # Errors
    /// The database refuses or cannot be reached: nothing was written, and the results are needed again.
    pub async fn answered(&self, delivery: &Delivery, results: &Results) -> Result<(), Fault> {
        let batch = delivery
            .of
            .batch()
            .filter(|_| delivery.of.message == DEDUCTIONS);
        let stray = || {
            Fault::operator(
                Stage::Judge,
                format!(
                    "delivery {}: results of something that is no batch of deductions",
                    delivery.delivery_id
                ),
            )
        };
        let batch = batch.ok_or_else(stray)?;
        let summary = self
            .take_in(batch, &delivery.of.destination, results)
            .await?;
        summary.map(drop).ok_or_else(|| {
            Fault::operator(
                Stage::Judge,
                format!("delivery {}: its cycle does not run", delivery.delivery_id),
            )
        })
    }

    /// Takes a message about a batch in: posts what fits, notes what does not, and settles the cycle
    /// when this was its last batch. `None` when no such batch runs. The same again changes nothing.
    ///
    /// # Errors
    /// The database refuses or cannot be reached; the message is needed again.
    pub async fn take_in(
        &self,
        batch: Batch,
        sender: &str,
        results: &Results,
    ) -> Result<Option<ResultsSummary>, Fault> {
        let (mut counts, mut area) = ((0, 0, Vec::new()), 0);
        let origin = ResultsOrigin {
            sender,
            digest: results.digest,
        };
        let taken = self.store.take_in(batch, origin, |head, asked, known| {
            let compared = compare::compare(head.month, asked, known, results);
            counts = (compared.fits.len(), compared.known, compared.odd.clone());
            area = head.pooling_area;
            Writes {
                results: compared.fits,
                money: compared.money,
                odd: compared.odd,
            }
        });
        let Some(ResultsOutcome { whole }) = taken.await? else {
            return Ok(None);
        };
        let (new, known, odd) = counts;
        if !odd.is_empty() {
            tracing::warn!(
                sender,
                batch = name_of(batch),
                discrepancies = odd.len(),
                "results do not fit what was asked; nothing of them was posted"
            );
        }
        if whole {
            self.settle(batch.cycle_id, area).await?;
        }
        Ok(Some(ResultsSummary {
            new,
            known,
            odd,
            whole,
        }))
    }

    /// Settles what is answered whole and asks about batches whose results did not come within
    /// `patience`; for a timer. Returns how many batches are asked about.
    ///
    /// # Errors
    /// The database refuses or cannot be reached; the next look does it.
    pub async fn look(&self, patience: Duration) -> Result<u64, Fault> {
        for (cycle_id, area) in self.store.cycles_to_settle().await? {
            if !self.settle(cycle_id, area).await? {
                tracing::error!(
                    cycle_id,
                    "every instruction is answered, but nobody is told what became of them: add pooling area {area:06} to `areas` of the LTC system that receives \
                     \"{DEDUCTION_RESULTS}\", in partners.toml, and restart the gateway; the cycle is settled then"
                );
            }
        }
        let asked = self.store.ask_again(DEDUCTIONS, patience).await?;
        if asked > 0 {
            tracing::info!(
                batches = asked,
                "results of deductions did not come; they are asked for"
            );
        }
        Ok(asked)
    }

    /// Settles a cycle of an area unless somebody is still to answer; `false` when nobody would be told of it, and it waits.
    async fn settle(&self, cycle_id: i64, area: i32) -> Result<bool, Fault> {
        let told = self.partners.told_of(area);
        if told.is_empty() {
            return Ok(false);
        }
        if self.store.settle_cycle(cycle_id, &told).await? {
            tracing::info!(
                cycle_id,
                "every instruction of the cycle is answered; it is settled"
            );
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_found_by_the_number_it_was_sent_under_and_by_no_other() {
        let batch = Batch {
            cycle_id: 1_049_600,
            batch_no: 12,
        };
        assert_eq!(of_name(&name_of(batch)), Some(batch));
        for other in [
            "",
            "1049600",
            "1049600-",
            "-12",
            "1049600-012",
            "+1049600-12",
            "1049600-12-3",
            "x-1",
        ] {
            assert_eq!(of_name(other), None, "{other}");
        }
    }
}
