//! One rate in force for a time: its whole, its parts, how an amount is apportioned and what is due.
//!
//! Rates are whole millionths (6.95 % = 69 500) and amounts whole fen; every product is computed
//! in `i128`, so nothing here can overflow or lose a fen. It must not choose which rate applies;
//! [`super::book`] does.

use serde::Deserialize;

use super::fund::{Fund, Parts};
use crate::model::{Fen, Month};

/// A rate of 100 %.
pub const WHOLE_MILLIONTHS: i64 = 1_000_000;

/// What kind of insured person a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    Active,
    Retired,
    Flexible,
    Unemployed,
    Resident,
}

impl Segment {
    /// The word used in rate files and rate ids.
    pub fn word(self) -> &'static str {
        match self {
            Segment::Active => "active",
            Segment::Retired => "retired",
            Segment::Flexible => "flexible",
            Segment::Unemployed => "unemployed",
            Segment::Resident => "resident",
        }
    }
}

/// Who pays by a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payer {
    Employer,
    Individual,
    /// Moved from the medical pooled fund.
    PooledFund,
    /// Government subsidy.
    Fiscal,
}

impl Payer {
    /// The word used in rate files and rate ids.
    pub fn word(self) -> &'static str {
        match self {
            Payer::Employer => "employer",
            Payer::Individual => "individual",
            Payer::PooledFund => "pooled_fund",
            Payer::Fiscal => "fiscal",
        }
    }
}

/// What the rate is a share of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The employer's declared contribution base.
    EmployerBase,
    /// The person's own medical contribution base.
    OwnBase,
    /// The person's own pension of last year.
    OwnPensionLastYear,
    /// The average contribution base of the city.
    CityAverageBase,
    /// The base by which the personal account is credited.
    AccountCreditBase,
    /// Last year's average wage of the area.
    AverageWageLastYear,
}

/// How the money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Collected by the tax bureau with the medical premium.
    Tax,
    /// Taken from the personal account by the medical core.
    PersonalAccount,
    /// Moved between funds by the insurance agency.
    FundTransfer,
    /// Paid by the finance bureau.
    Budget,
}

/// How often the amount is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    Monthly,
    Yearly,
    /// As the payer chooses.
    YearlyOrMonthly,
}

/// How an exact amount due becomes one that can be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the fen, half away from zero.
    FenHalfAway,
    FenDown,
    FenUp,
    /// To ten fen, half away from zero.
    JiaoHalfAway,
    /// Any fen begun makes a full ten (见分进角).
    JiaoUp,
}

/// What happens to a person without a personal account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAccount {
    /// Not deducted, listed apart.
    ListApart,
    /// Nothing is due.
    Waive,
}

/// What happens to what an account could not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortfall {
    /// The whole deduction is tried again in the same month.
    Retry,
    /// What is missing is added to the next month.
    CarryOver,
    /// What is missing is never asked for.
    Waive,
}

/// How much is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Millionths of the basis.
    Rate { millionths: i64, basis: Basis },
    /// The same amount for everybody, once per [`Frequency`].
    Fixed(Fen),
    /// Nothing.
    Waived,
}

/// First and last contribution month a rule is in force; without a last one it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    pub from: Month,
    pub to: Option<Month>,
}

impl Period {
    pub fn contains(&self, month: Month) -> bool {
        self.from <= month && self.to.is_none_or(|to| month <= to)
    }

    pub(super) fn overlaps(&self, other: &Period) -> bool {
        self.to.is_none_or(|to| other.from <= to) && other.to.is_none_or(|to| self.from <= to)
    }
}

/// Ages in full years, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ages {
    pub from: u8,
    pub to: u8,
}

impl Ages {
    /// Every age.
    pub const ANY: Ages = Ages { from: 0, to: u8::MAX };

    pub(super) fn overlaps(&self, other: &Ages) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// Whether an age falls in the band; an unknown age only falls in the band of every age.
    pub fn contains(&self, age: Option<u8>) -> bool {
        match age {
            Some(age) => self.from <= age && age <= self.to,
            None => *self == Ages::ANY,
        }
    }
}

/// What all rules have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub period: Period,
    pub mode: Mode,
    /// Bounds of the base per month (fen).
    pub base_floor: Option<Fen>,
    pub base_cap: Option<Fen>,
    pub channel: Channel,
    pub frequency: Frequency,
    /// The fund whose premium this one was carved out of, so that nobody pays more than before.
    pub carved_out_of: Option<Fund>,
    pub rounding: Rounding,
    /// Keys of the rule whose value no source confirms: to be confirmed before going live.
    pub open: Vec<String>,
}

impl Terms {
    /// The amount due once per [`Terms::frequency`] from a base (fen), within floor and cap.
    pub fn due(&self, base: Fen) -> Fen {
        match self.mode {
            Mode::Waived => Fen::ZERO,
            Mode::Fixed(amount) => amount,
            Mode::Rate { millionths, .. } => {
                let base = self.base_floor.map_or(base, |floor| base.max(floor));
                let base = self.base_cap.map_or(base, |cap| base.min(cap));
                self.rounding.apply(base, millionths)
            }
        }
    }
}

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

impl Rounding {
    /// `base x rate` rounded this way; "up" and "down" are away from and towards zero.
    fn apply(self, base: Fen, millionths: i64) -> Fen {
        let exact = i128::from(base.0) * i128::from(millionths);
        let (unit, half_away, up) = match self {
            Rounding::FenHalfAway => (1, true, false),
            Rounding::FenDown => (1, false, false),
            Rounding::FenUp => (1, false, true),
            Rounding::JiaoHalfAway => (10, true, false),
            Rounding::JiaoUp => (10, false, true),
        };
        let divisor = i128::from(WHOLE_MILLIONTHS) * unit;
        let units = match (half_away, up) {
            (true, _) => divide_half_away(exact, divisor),
            (false, true) => exact / divisor + (exact % divisor).signum(),
            (false, false) => exact / divisor,
        };
        saturating(units * unit)
    }
}

/// `base x rate` in fen, rounded half away from zero; the rate is in millionths, at most 100 %.
pub fn due(base: Fen, rate_millionths: i64) -> Fen {
    Rounding::FenHalfAway.apply(base, rate_millionths)
}

/// A rate as people write it: `6.95 %`, with two to four decimals.
pub fn percent(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let size = millionths.unsigned_abs();
    let decimals = format!("{:04}", size % 10_000);
    let shown = decimals.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{} %", size / 10_000, &decimals[..shown])
}

fn divide_half_away(numerator: i128, divisor: i128) -> i128 {
    (numerator + numerator.signum() * (divisor / 2)) / divisor
}

/// A part of an amount as fen: parts are shares of at most 100 %, so they fit where the amount did.
fn exactly(part: i128) -> Fen {
    Fen(i64::try_from(part).expect("a part is never larger than the amount it is a part of"))
}

/// An amount due as fen. A rate is at most 100 %, so only a base at the very end of `i64`, rounded
/// up, could leave it (a thousand times more than [`Fen::parse_yuan`] takes); it stays at the end.
fn saturating(amount: i128) -> Fen {
    Fen(amount.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}
