//! One rate in force for a time: its whole, its parts, what is due.
//!
//! Rates are whole millionths (6.95 % = 69 500) and amounts whole fen; every product is computed
//! in `i128`, so nothing here can overflow or lose a fen. It must not choose which rate applies
//! ([`super::book`] does) nor split what was paid ([`super::split`] does).

use super::fund::{Fund, Parts};
use super::journal::CollectedMoney;
use super::split::{History, SplitRule};
use super::terms::{Ages, Channel, Frequency, NoAccount, RateTerms, ShortfallHandling};
use crate::model::Fen;
use crate::model::deduction::Category;

/// The employer's combined rate of one area and period, with its parts by fund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmployerRate {
    pub(super) id: String,
    pub(super) terms: RateTerms,
    pub(super) rule: SplitRule,
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

    pub fn terms(&self) -> &RateTerms {
        &self.terms
    }

    /// The combined rate in millionths.
    pub fn whole(&self) -> i64 {
        self.rule.whole
    }

    /// Each fund with its part of the whole in millionths, also those of nothing.
    pub fn parts(&self) -> impl Iterator<Item = (Fund, i64)> + '_ {
        Fund::ALL
            .into_iter()
            .map(|fund| (fund, self.rule.parts[fund.index()]))
    }

    /// What decides the split of the employer's money.
    pub fn rule(&self) -> &SplitRule {
        &self.rule
    }

    /// What each fund gets of a line, all it was paid; `before` is what its history had by this rate. `None` when a
    /// sum leaves `i64`.
    pub fn split(&self, before: &History, line: &CollectedMoney) -> Option<Parts> {
        self.rule.split(before, line)
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
    pub(super) terms: RateTerms,
    pub(super) category: Category,
    pub(super) ages: Ages,
    pub(super) no_account: Option<NoAccount>,
    pub(super) shortfall: Option<ShortfallHandling>,
}

impl IndividualRate {
    /// Stable name: `<area>/individual/<first month>/<segment>[/<from age>-<to age>]`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn terms(&self) -> &RateTerms {
        &self.terms
    }

    pub fn category(&self) -> Category {
        self.category
    }

    pub fn ages(&self) -> Ages {
        self.ages
    }

    /// Whether it is taken from the personal account every month.
    pub fn by_account(&self) -> bool {
        self.terms.channel == Channel::PersonalAccount && self.terms.frequency != Frequency::Yearly
    }

    /// Set when the channel is the personal account.
    pub fn no_account(&self) -> Option<NoAccount> {
        self.no_account
    }

    /// Set when the channel is the personal account.
    pub fn shortfall(&self) -> Option<ShortfallHandling> {
        self.shortfall
    }
}

/// What the pooled fund or the government pays for a segment: read, checked and named; nothing is computed by it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundRate {
    pub(super) id: String,
    pub(super) terms: RateTerms,
}

impl FundRate {
    /// Stable name: `<area>/<payer>/<first month>/<segment>`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn terms(&self) -> &RateTerms {
        &self.terms
    }
}
