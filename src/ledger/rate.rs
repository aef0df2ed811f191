//! One rate in force for a time: its whole, its parts, what is due.
//!
//! Rates are whole millionths (6.95 % = 69 500) and amounts whole fen; every product is computed
//! in `i128`, so nothing here can overflow or lose a fen. It must not choose which rate applies
//! ([`super::book`] does) nor split what was paid ([`super::split`] does).

use super::fund::Fund;
use super::split::SplitRule;
use super::terms::{Ages, NoAccount, Payer, Segment, Shortfall, Terms};
use crate::model::Fen;

/// The employer's combined rate of one area and period, with its parts by fund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmployerRate {
    pub(super) id: String,
    pub(super) terms: Terms,
    pub(super) split: SplitRule,
    pub(super) tolerance_per_head: Fen,
}

impl EmployerRate {
    /// Stable name, stored with each line: `<area>/employer/<first month>`, and `~2` and so on once the
    /// rule was edited after lines had been split by it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gives the rule the name it is kept under.
    pub fn rename(&mut self, id: String) {
        self.id = id;
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The combined rate in millionths.
    pub fn whole(&self) -> i64 {
        self.split.whole
    }

    /// Each fund with its part of the whole in millionths, also those of nothing.
    pub fn parts(&self) -> impl Iterator<Item = (Fund, i64)> + '_ {
        Fund::ALL
            .into_iter()
            .map(|fund| (fund, self.split.parts[fund.index()]))
    }

    /// How the employer's money is split, and where the rest goes.
    pub fn split(&self) -> &SplitRule {
        &self.split
    }

    /// What may be missing of a month's payment for each head, since the tax bureau rounds per person.
    pub fn tolerance_per_head(&self) -> Fen {
        self.tolerance_per_head
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
