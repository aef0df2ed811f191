//! One rate in force for a time: its whole, its parts, how an amount is apportioned and what is due.
//!
//! Rates are whole millionths (6.95 % = 69 500) and amounts whole fen; every product is computed
//! in `i128`, so nothing here can overflow or lose a fen. It must not choose which rate applies;
//! [`super::book`] does.

use super::fund::{Fund, Parts};
use super::terms::{Ages, NoAccount, Payer, Segment, Shortfall, Terms, divide_half_away};
use crate::model::Fen;

/// The employer's combined rate of one area and period, with its parts by fund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmployerRate {
    pub(super) id: String,
    pub(super) terms: Terms,
    pub(super) whole: i64,
    pub(super) parts: [i64; Fund::COUNT],
    pub(super) remainder: Fund,
    pub(super) late_fee_to: Fund,
    pub(super) interest_to: Fund,
    pub(super) employee_paid_to: Fund,
}

impl EmployerRate {
    /// Stable name, stored with each line: `<area>/employer/<first month>`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The combined rate in millionths.
    pub fn whole(&self) -> i64 {
        self.whole
    }

    /// Each fund with its part of the whole in millionths, also those of nothing.
    pub fn parts(&self) -> impl Iterator<Item = (Fund, i64)> + '_ {
        Fund::ALL.into_iter().map(|fund| (fund, self.parts[fund.index()]))
    }

    /// The fund that takes what rounding leaves.
    pub fn remainder(&self) -> Fund {
        self.remainder
    }

    /// The fund of late fees.
    pub fn late_fee_to(&self) -> Fund {
        self.late_fee_to
    }

    /// The fund of interest.
    pub fn interest_to(&self) -> Fund {
        self.interest_to
    }

    /// The fund of what employees paid through their employer.
    pub fn employee_paid_to(&self) -> Fund {
        self.employee_paid_to
    }

    /// Splits what the employer paid: each part is `amount x part / whole`, rounded half away from
    /// zero to the fen; the remainder's fund takes the rest, so the parts always add up.
    pub fn apportion(&self, amount: Fen) -> Parts {
        let mut amounts = [Fen::ZERO; Fund::COUNT];
        let mut rest = i128::from(amount.0);
        for fund in Fund::ALL.into_iter().filter(|fund| *fund != self.remainder) {
            let part = divide_half_away(i128::from(amount.0) * i128::from(self.parts[fund.index()]), i128::from(self.whole));
            amounts[fund.index()] = exactly(part);
            rest -= part;
        }
        amounts[self.remainder.index()] = exactly(rest);
        Parts::of(amounts)
    }
}

/// An individual's share of one area, period, segment and age band.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndividualRate {
    pub(super) id: String,
    pub(super) terms: Terms,
    pub(super) segment: Segment,
    pub(super) ages: Ages,
    pub(super) no_account: Option<NoAccount>,
    pub(super) shortfall: Option<Shortfall>,
}

impl IndividualRate {
    /// Stable name: `<area>/individual/<first month>/<segment>[/<from age>-<to age>]`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    pub fn segment(&self) -> Segment {
        self.segment
    }

    pub fn ages(&self) -> Ages {
        self.ages
    }

    /// Set when the channel is the personal account.
    pub fn no_account(&self) -> Option<NoAccount> {
        self.no_account
    }

    /// Set when the channel is the personal account.
    pub fn shortfall(&self) -> Option<Shortfall> {
        self.shortfall
    }
}

/// What the pooled fund or the government pays for a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundRate {
    pub(super) id: String,
    pub(super) payer: Payer,
    pub(super) terms: Terms,
    pub(super) segment: Segment,
}

impl FundRate {
    /// Stable name: `<area>/<payer>/<first month>/<segment>`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn payer(&self) -> Payer {
        self.payer
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    pub fn segment(&self) -> Segment {
        self.segment
    }
}

/// A part of an amount as fen: parts are shares of at most 100 %, so they fit where the amount did.
fn exactly(part: i128) -> Fen {
    Fen(i64::try_from(part).expect("a part is never larger than the amount it is a part of"))
}
