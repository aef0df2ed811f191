//! Running totals of a packet's money, and the double-entry postings made of them.
//!
//! Convention: **debit is positive, credit is negative**, so an entry sums to zero. Money received
//! by the treasury debits `treasury` and credits `fund`, per district, contribution month and fund;
//! a refund is the same entry with the signs exchanged, and a correction is a new entry, never an
//! edit. Memory grows with the number of districts and months, not of lines. An amount that leaves
//! `i64` is told and leaves the totals as they were; nothing ever wraps.

use std::collections::BTreeMap;

use super::fund::{Fund, Parts};
use crate::model::lines::LineMoney;
use crate::model::{Division, Fen, Month};

/// The money of one collection line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollectedMoney {
    pub employer_paid: Fen,
    pub employee_paid: Fen,
    pub late_fee: Fen,
    pub interest: Fen,
    /// Interest on the employees' part; goes where interest goes.
    pub other_interest: Fen,
}

impl From<&LineMoney> for CollectedMoney {
    fn from(line: &LineMoney) -> CollectedMoney {
        CollectedMoney {
            employer_paid: line.employer,
            employee_paid: line.employees,
            late_fee: line.late_fee,
            interest: line.interest,
            other_interest: line.other_interest,
        }
    }
}

/// The account of money in the treasury (国库).
pub const TREASURY: &str = "treasury";
/// The account of money that belongs to a fund.
pub const FUND: &str = "fund";

/// One posting; debit is positive, credit negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Posting {
    /// [`TREASURY`] or [`FUND`].
    pub account: &'static str,
    pub district: Division,
    pub month: Month,
    pub fund: Fund,
    pub amount: Fen,
}

/// Amounts of one district and month by fund; each stays within ±`i64::MAX`, so postings of them and
/// of their opposites cannot overflow.
type Sums = [i64; Fund::COUNT];

/// Running totals per district, contribution month and fund.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalTotals {
    sums: BTreeMap<(Division, Month), Sums>,
}

impl JournalTotals {
    /// Adds what the funds get of a line; `None`, and nothing is added, when a sum leaves the range.
    pub fn add(&mut self, district: Division, month: Month, parts: &Parts) -> Option<()> {
        let mut next = self
            .sums
            .get(&(district, month))
            .copied()
            .unwrap_or_default();
        for (fund, amount) in parts.iter() {
            let sum = &mut next[fund.index()];
            *sum = sum.checked_add(amount.0).filter(|sum| *sum != i64::MIN)?;
        }
        self.sums.insert((district, month), next);
        Some(())
    }

    /// The entries: per district, month and fund a debit of `treasury` and a credit of `fund`, side
    /// by side; none where the total is zero.
    pub fn postings(&self) -> Vec<Posting> {
        let mut postings = Vec::new();
        for ((district, month), sums) in &self.sums {
            for fund in Fund::ALL {
                let amount = sums[fund.index()];
                if amount != 0 {
                    let side = |account, amount| Posting {
                        account,
                        district: *district,
                        month: *month,
                        fund,
                        amount: Fen(amount),
                    };
                    postings.extend([side(TREASURY, amount), side(FUND, -amount)]);
                }
            }
        }
        postings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (Division, Month) {
        (
            Division::parse("450102").unwrap(),
            Month::parse("202110").unwrap(),
        )
    }

    fn add(totals: &mut JournalTotals, medical: i64, care: i64) -> Option<()> {
        let (district, month) = place();
        totals.add(district, month, &Parts::of([Fen(medical), Fen(care)]))
    }

    #[test]
    fn a_payment_debits_the_treasury_and_credits_the_fund() {
        let (district, month) = place();
        let mut totals = JournalTotals::default();
        for care in [150, 1] {
            add(&mut totals, 0, care).unwrap();
        }
        let posting = |account, amount| Posting {
            account,
            district,
            month,
            fund: Fund::LongTermCare,
            amount: Fen(amount),
        };
        assert_eq!(
            totals.postings(),
            [posting(TREASURY, 151), posting(FUND, -151)]
        );
    }

    #[test]
    fn a_refund_of_everything_leaves_no_posting() {
        let mut totals = JournalTotals::default();
        for (medical, care) in [(680, 15), (-680, -15)] {
            add(&mut totals, medical, care).unwrap();
        }
        assert_eq!(totals.postings(), []);
    }

    #[test]
    fn an_overflow_is_told_and_changes_nothing() {
        let mut totals = JournalTotals::default();
        add(&mut totals, i64::MAX, 1).unwrap();
        let before = totals.clone();
        for (medical, care) in [(1, 0), (0, i64::MAX), (-1, i64::MAX)] {
            assert_eq!(add(&mut totals, medical, care), None);
            assert_eq!(totals, before);
        }
        add(&mut totals, -i64::MAX, -1).unwrap();
        assert_eq!(
            add(&mut totals, i64::MIN, 0),
            None,
            "its opposite could not be posted"
        );
    }
}
