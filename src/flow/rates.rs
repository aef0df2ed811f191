//! The rules money was split by so far: an edited rule gets an id of its own, and a payment history goes on with its rule.
//!
//! Joins rate files and database; it decides nothing about amounts.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Fault, Stage};
use crate::ledger::{EmployerRate, Fund, RateBook, Recipient, SplitRule};
use crate::store::Store;
use crate::store::rates::KeptRate;

/// Names tried for an edited rule; each was in force once.
const EDITS_MAX: usize = 1_000;

/// Every rule lines are stored with, by the id they are stored with.
#[derive(Clone, Default)]
pub struct Rates {
    kept: Arc<RwLock<HashMap<String, SplitRule>>>,
}

impl Rates {
    /// Keeps the rules of the rate files, and names those that were edited since lines were split by them.
    pub async fn open(store: &Store, mut book: RateBook) -> Result<(RateBook, Rates), Fault> {
        let rates = Rates::default();
        rates.refresh(store).await?;
        for rate in book.employer_rates_mut() {
            let id = rates.name(store, rate).await?;
            rate.rename(id);
        }
        Ok((book, rates))
    }

    /// The rule of that id.
    pub fn get(&self, rate_id: &str) -> Option<SplitRule> {
        self.kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(rate_id)
            .copied()
    }

    /// Looks again what is kept: other instances may have been started with edited files.
    pub async fn refresh(&self, store: &Store) -> Result<(), Fault> {
        let kept = store.employer_rates().await?;
        let rules = kept
            .into_iter()
            .filter_map(|(id, rate)| Some((id, rule(&rate)?)))
            .collect();
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(())
    }

    /// The id under which a rule is kept, which it is from now on: `<id>`, else `<id>~2`, `<id>~3`, ...
    async fn name(&self, store: &Store, rate: &EmployerRate) -> Result<String, Fault> {
        for edit in 1..EDITS_MAX {
            let id = if edit == 1 {
                rate.id().to_string()
            } else {
                format!("{}~{edit}", rate.id())
            };
            if self.get(&id).is_none() {
                store.keep_employer_rate(&id, &kept(rate.rule())).await?;
                // Another instance may have been faster, with a rule of its own.
                self.refresh(store).await?;
            }
            if self.get(&id) == Some(*rate.rule()) {
                return Ok(id);
            }
        }
        let text = format!(
            "rule {} was edited {EDITS_MAX} times; end it and add one with another first month",
            rate.id()
        );
        Err(Fault::operator(Stage::Config, text))
    }
}

fn kept(rule: &SplitRule) -> KeptRate {
    // Millionths of at most 100 %, so they fit.
    let part = |millionths: i64| i32::try_from(millionths).unwrap_or(i32::MAX);
    KeptRate {
        whole: part(rule.whole),
        medical: part(rule.parts[Fund::Medical.index()]),
        long_term_care: part(rule.parts[Fund::LongTermCare.index()]),
        remainder: rule.remainder.word().into(),
        late_fee_to: rule.late_fee_to.word().into(),
        interest_to: rule.interest_to.word().into(),
        employee_paid_to: rule.employee_paid_to.word().into(),
    }
}

fn rule(kept: &KeptRate) -> Option<SplitRule> {
    let mut parts = [0; Fund::COUNT];
    parts[Fund::Medical.index()] = kept.medical.into();
    parts[Fund::LongTermCare.index()] = kept.long_term_care.into();
    Some(SplitRule {
        whole: kept.whole.into(),
        parts,
        remainder: Fund::of_word(&kept.remainder)?,
        late_fee_to: Recipient::of_word(&kept.late_fee_to)?,
        interest_to: Recipient::of_word(&kept.interest_to)?,
        employee_paid_to: Fund::of_word(&kept.employee_paid_to)?,
    })
}
