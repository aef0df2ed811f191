//! A month's deductions on their way: batches go to the medical core, and what it says of each
//! person is posted, or noted as a discrepancy, before a batch counts as delivered.
//!
//! One way in for results, whether they stand in the answer, in the answer to an inquiry, or are
//! sent by the core later. Money is posted when, and only when, the core says that it was taken;
//! whatever does not fit the instruction is noted and nothing of it posted.

use crate::store::delivery::Batch;

/// The batch's number as the partners see it: cycle and number within it.
pub fn name_of(batch: Batch) -> String {
    format!("{}-{}", batch.cycle_id, batch.batch_no)
}
