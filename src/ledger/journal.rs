//! Running totals of a packet's money, and the double-entry postings made of them.
//!
//! Convention: **debit is positive, credit is negative**, so an entry sums to zero. Money received
//! by the treasury debits `treasury` and credits `fund`, per district, contribution month and fund;
//! a refund is the same entry with the signs exchanged, and a correction is a new entry, never an
//! edit. Memory grows with the number of districts and months, not of lines. An amount that leaves
//! `i64` is an error and leaves the totals as they were; nothing ever wraps.

use std::collections::BTreeMap;

use super::fund::Fund;
use crate::model::{Division, Fen, Month};

/// What an amount was paid as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    EmployerPaid,
    EmployeePaid,
    LateFee,
    Interest,
}

impl Source {
    /// How many sources there are.
    pub const COUNT: usize = 4;
    /// Every source, in the order they are kept.
    pub const ALL: [Source; Source::COUNT] = [
        Source::EmployerPaid,
        Source::EmployeePaid,
        Source::LateFee,
        Source::Interest,
    ];

    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Source::EmployerPaid => "employer_paid",
            Source::EmployeePaid => "employee_paid",
            Source::LateFee => "late_fee",
            Source::Interest => "interest",
        }
    }
}

/// The money of one collection line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    pub employer_paid: Fen,
    pub employee_paid: Fen,
    pub late_fee: Fen,
    pub interest: Fen,
    /// Interest on the employees' part; goes where interest goes.
    pub other_interest: Fen,
}

impl Collected {
    /// Source by source, or `None` when a sum leaves `i64`.
    pub fn checked_add(&self, other: &Collected) -> Option<Collected> {
        Some(Collected {
            employer_paid: self.employer_paid.checked_add(other.employer_paid)?,
            employee_paid: self.employee_paid.checked_add(other.employee_paid)?,
            late_fee: self.late_fee.checked_add(other.late_fee)?,
            interest: self.interest.checked_add(other.interest)?,
            other_interest: self.other_interest.checked_add(other.other_interest)?,
        })
    }

    /// All the line's money (fen).
    pub fn total(&self) -> i128 {
        [
            self.employer_paid,
            self.employee_paid,
            self.late_fee,
            self.interest,
            self.other_interest,
        ]
        .iter()
        .map(|amount| i128::from(amount.0))
        .sum()
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

/// One amount of the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cell {
    pub district: Division,
    pub month: Month,
    pub fund: Fund,
    pub source: Source,
    pub amount: Fen,
}

/// Why an amount was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error(
        "the sum of {fund} for district {district} in {month} leaves the range of whole fen in 64 bits; split the packet"
    )]
    Overflow {
        district: Division,
        month: Month,
        fund: &'static str,
    },
}

/// Amounts by source, of one district, month and fund. Each, and their sum, stays within ±`i64::MAX`,
/// so postings and reversals of them cannot overflow.
type Sums = [i64; Source::COUNT];

/// Running totals per district, contribution month, fund and source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    sums: BTreeMap<(Division, Month), [Sums; Fund::COUNT]>,
}

impl Totals {
    pub fn new() -> Totals {
        Totals::default()
    }

    /// Adds one amount; on overflow nothing is added.
    pub fn add(
        &mut self,
        district: Division,
        month: Month,
        fund: Fund,
        (source, amount): (Source, Fen),
    ) -> Result<(), JournalError> {
        let mut change = [Sums::default(); Fund::COUNT];
        change[fund.index()][source as usize] = amount.0;
        self.add_change(district, month, &change)
    }

    /// Adds other totals; on overflow what was added before it stays, so the result is only good as a whole.
    pub fn merge(&mut self, other: &Totals) -> Result<(), JournalError> {
        other
            .sums
            .iter()
            .try_for_each(|((district, month), change)| self.add_change(*district, *month, change))
    }

    fn add_change(
        &mut self,
        district: Division,
        month: Month,
        change: &[Sums; Fund::COUNT],
    ) -> Result<(), JournalError> {
        let mut next = self
            .sums
            .get(&(district, month))
            .copied()
            .unwrap_or_default();
        for fund in Fund::ALL {
            let sums = &mut next[fund.index()];
            let mut total = 0_i128;
            for (sum, amount) in sums.iter_mut().zip(&change[fund.index()]) {
                *sum = sum
                    .checked_add(*amount)
                    .filter(|sum| *sum != i64::MIN)
                    .ok_or(JournalError::Overflow {
                        district,
                        month,
                        fund: fund.word(),
                    })?;
                total += i128::from(*sum);
            }
            if total.unsigned_abs() > i64::MAX as u128 {
                return Err(JournalError::Overflow {
                    district,
                    month,
                    fund: fund.word(),
                });
            }
        }
        self.sums.insert((district, month), next);
        Ok(())
    }

    /// Every amount that is not zero, in order of district, month, fund and source.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.sums
            .iter()
            .flat_map(|((district, month), funds)| {
                Fund::ALL.into_iter().flat_map(move |fund| {
                    Source::ALL.into_iter().map(move |source| Cell {
                        district: *district,
                        month: *month,
                        fund,
                        source,
                        amount: Fen(funds[fund.index()][source as usize]),
                    })
                })
            })
            .filter(|cell| cell.amount != Fen::ZERO)
    }

    /// The sum of one fund over all districts and months (fen).
    pub fn fund_total(&self, fund: Fund) -> i128 {
        self.cells()
            .filter(|cell| cell.fund == fund)
            .map(|cell| i128::from(cell.amount.0))
            .sum()
    }

    /// The sum of everything (fen).
    pub fn total(&self) -> i128 {
        self.cells().map(|cell| i128::from(cell.amount.0)).sum()
    }

    /// The entries: per district, month and fund a debit of `treasury` and a credit of `fund`, side
    /// by side; none where the total is zero.
    pub fn postings(&self) -> Vec<Posting> {
        let mut postings = Vec::new();
        for ((district, month), funds) in &self.sums {
            for fund in Fund::ALL {
                let total: i128 = funds[fund.index()].iter().map(|sum| i128::from(*sum)).sum();
                let amount = i64::try_from(total)
                    .expect("add_change keeps the sum of the sources within i64");
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

    /// The totals that take these back.
    #[must_use]
    pub fn reversed(&self) -> Totals {
        let negate = |funds: &[Sums; Fund::COUNT]| funds.map(|sums| sums.map(|sum| -sum));
        Totals {
            sums: self
                .sums
                .iter()
                .map(|(key, funds)| (*key, negate(funds)))
                .collect(),
        }
    }

    /// Whether there is no amount but zero.
    pub fn is_zero(&self) -> bool {
        self.cells().next().is_none()
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

    #[test]
    fn a_payment_debits_the_treasury_and_credits_the_fund() {
        let (district, month) = place();
        let mut totals = Totals::new();
        totals
            .add(
                district,
                month,
                Fund::LongTermCare,
                (Source::EmployerPaid, Fen(150)),
            )
            .unwrap();
        totals
            .add(
                district,
                month,
                Fund::LongTermCare,
                (Source::LateFee, Fen(1)),
            )
            .unwrap();
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
        assert_eq!(
            totals.reversed().postings(),
            [posting(TREASURY, -151), posting(FUND, 151)]
        );
    }

    #[test]
    fn a_refund_of_everything_leaves_no_posting() {
        let (district, month) = place();
        let mut totals = Totals::new();
        totals
            .add(
                district,
                month,
                Fund::Medical,
                (Source::EmployerPaid, Fen(680)),
            )
            .unwrap();
        totals
            .add(
                district,
                month,
                Fund::Medical,
                (Source::EmployerPaid, Fen(-680)),
            )
            .unwrap();
        assert!(totals.postings().is_empty() && totals.is_zero());
    }

    #[test]
    fn an_overflow_is_an_error_and_changes_nothing() {
        let (district, month) = place();
        let mut totals = Totals::new();
        totals
            .add(
                district,
                month,
                Fund::Medical,
                (Source::EmployerPaid, Fen(i64::MAX)),
            )
            .unwrap();
        let before = totals.clone();
        for (source, amount) in [
            (Source::EmployerPaid, 1),
            (Source::LateFee, 1),
            (Source::LateFee, i64::MIN),
        ] {
            let error = totals
                .add(district, month, Fund::Medical, (source, Fen(amount)))
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "the sum of medical for district 450102 in 2021-10 leaves the range of whole fen in 64 bits; split the packet"
            );
            assert_eq!(totals, before);
        }
        totals
            .add(
                district,
                month,
                Fund::LongTermCare,
                (Source::EmployerPaid, Fen(1)),
            )
            .unwrap();
    }
}
