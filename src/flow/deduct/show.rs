//! A cycle as people look at it: totals, the difference from the month before, what came of it.
//!
//! Reads only.

use std::collections::BTreeMap;

use super::{DeductionRefusal, Desk, Of, refusal};
use crate::error::Fault;
use crate::model::Month;
use crate::model::deduction::Category;
use crate::store::deduction::{
    Cell, Cycle, LeftOutCount, OwedShortfalls, RoundOutcome, RoundProgress,
};

/// A cycle with its totals and those of the month before.
#[derive(Debug, Clone)]
pub struct ComparedCycle {
    pub cycle: Cycle,
    pub cells: Vec<Cell>,
    pub left_out: Vec<LeftOutCount>,
    /// The cycle of the month before, planned or run, with its totals.
    pub before: Option<(Cycle, Vec<Cell>)>,
}

/// What came of a cycle.
#[derive(Debug, Clone)]
pub struct CycleReport {
    pub answers: RoundProgress,
    pub outcomes: Vec<RoundOutcome>,
    pub owed: Vec<OwedShortfalls>,
    /// People asked for from whom nothing was taken, as of their last round, and how many of them owe this month's amount.
    pub short: (i64, i64),
    /// Answers that do not fit and that nobody has looked at.
    pub discrepancies: i64,
}

/// One district and category, this month beside the month before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TotalChange {
    pub district: i32,
    pub category: Category,
    pub people: (i32, i32),
    pub fen: (i64, i64),
}

impl ComparedCycle {
    /// Every district and category of either month; people and fen as (before, now).
    pub fn changes(&self) -> Vec<TotalChange> {
        let mut changes: BTreeMap<(i32, Category), TotalChange> = BTreeMap::new();
        let before = self
            .before
            .iter()
            .flat_map(|(_, cells)| cells)
            .map(|cell| (cell, false));
        for (cell, now) in before.chain(self.cells.iter().map(|cell| (cell, true))) {
            let key = (cell.district, cell.category);
            let change = changes.entry(key).or_insert(TotalChange {
                district: key.0,
                category: key.1,
                people: (0, 0),
                fen: (0, 0),
            });
            let fen = cell.due.0 + cell.carried.0;
            if now {
                (change.people.1, change.fen.1) = (cell.people, fen);
            } else {
                (change.people.0, change.fen.0) = (cell.people, fen);
            }
        }
        changes.into_values().collect()
    }
}

impl Desk {
    /// The cycle of an area and month, with the month before.
    ///
    /// # Errors
    /// There is none, or the database cannot be reached.
    pub async fn see(&self, of: Of) -> Result<ComparedCycle, DeductionRefusal> {
        let cycle = self
            .store
            .cycle_of(of.area, of.month)
            .await?
            .ok_or_else(|| refusal::no_plan(of))?;
        Ok(self.seen(cycle).await?)
    }

    /// A cycle with its totals and the month before.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn seen(&self, cycle: Cycle) -> Result<ComparedCycle, Fault> {
        let cells = self.store.cycle_totals(cycle.cycle_id).await?;
        let left_out = self.store.cycle_left_out(cycle.cycle_id).await?;
        let before = match before(cycle.month) {
            Some(month) => self.store.cycle_of(cycle.pooling_area, month).await?,
            None => None,
        };
        let before = match before {
            Some(earlier) => {
                let cells = self.store.cycle_totals(earlier.cycle_id).await?;
                Some((earlier, cells))
            }
            None => None,
        };
        Ok(ComparedCycle {
            cycle,
            cells,
            left_out,
            before,
        })
    }

    /// What came of a cycle so far.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn report(&self, cycle: &Cycle) -> Result<CycleReport, Fault> {
        Ok(CycleReport {
            answers: self.store.cycle_answers(cycle).await?,
            outcomes: self.store.cycle_outcomes(cycle.cycle_id).await?,
            owed: self.store.cycle_owed(cycle).await?,
            short: self.store.cycle_short_people(cycle.cycle_id).await?,
            discrepancies: self.store.open_discrepancies(cycle.cycle_id).await?,
        })
    }
}

/// The month before; `None` before the first that can be written.
fn before(month: Month) -> Option<Month> {
    match month.month() {
        1 => Month::new(month.year() - 1, 12),
        later => Month::new(month.year(), later - 1),
    }
}
