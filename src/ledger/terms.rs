//! What all rules have in common: whom, when, on what basis, how rounded, by which way and how often.
//!
//! The closed vocabulary of rate files and the amount due by a rule. It must not know who is
//! insured or what was paid.

use serde::Deserialize;

use super::fund::Fund;
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

pub(super) fn divide_half_away(numerator: i128, divisor: i128) -> i128 {
    (numerator + numerator.signum() * (divisor / 2)) / divisor
}

/// An amount due as fen. A rate is at most 100 %, so only a base at the very end of `i64`, rounded
/// up, could leave it (a thousand times more than [`Fen::parse_yuan`] takes); it stays at the end.
fn saturating(amount: i128) -> Fen {
    Fen(amount.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(mode: Mode, rounding: Rounding) -> Terms {
        Terms {
            period: Period { from: Month::parse("202103").unwrap(), to: None },
            mode,
            base_floor: None,
            base_cap: None,
            channel: Channel::PersonalAccount,
            frequency: Frequency::Monthly,
            carved_out_of: None,
            rounding,
            open: Vec::new(),
        }
    }

    const CARE: Mode = Mode::Rate { millionths: 1_500, basis: Basis::OwnBase };

    #[test]
    fn each_rounding_makes_of_an_exact_amount_what_its_name_says() {
        // Exactly 12.0, 12.3, 12.5, 15.0 and -12.5 fen.
        for (rounding, expected) in [
            (Rounding::FenHalfAway, [12, 12, 13, 15, -13]),
            (Rounding::FenDown, [12, 12, 12, 15, -12]),
            (Rounding::FenUp, [12, 13, 13, 15, -13]),
            (Rounding::JiaoHalfAway, [10, 10, 10, 20, -10]),
            (Rounding::JiaoUp, [20, 20, 20, 20, -20]),
        ] {
            let terms = terms(CARE, rounding);
            let half = Terms { mode: Mode::Rate { millionths: 500_000, basis: Basis::OwnBase }, ..terms.clone() };
            let found = [terms.due(Fen(8_000)), terms.due(Fen(8_200)), half.due(Fen(25)), terms.due(Fen(10_000)), half.due(Fen(-25))];
            assert_eq!(found, expected.map(Fen), "{rounding:?}");
        }
    }

    #[test]
    fn a_base_is_held_within_floor_and_cap() {
        let bounded = Terms { base_floor: Some(Fen(380_000)), base_cap: Some(Fen(1_900_000)), ..terms(CARE, Rounding::FenHalfAway) };
        let due = |base| bounded.due(Fen(base)).0;
        assert_eq!((due(0), due(380_000), due(400_000), due(1_900_000), due(1_900_100)), (570, 570, 600, 2_850, 2_850));
    }

    #[test]
    fn fixed_amounts_and_waivers_ask_for_no_base() {
        assert_eq!(terms(Mode::Fixed(Fen(5_000)), Rounding::FenHalfAway).due(Fen(123)), Fen(5_000));
        assert_eq!(terms(Mode::Waived, Rounding::FenHalfAway).due(Fen(123)), Fen::ZERO);
    }

    #[test]
    fn a_band_of_ages_needs_an_age_and_every_age_does_not() {
        let young = Ages { from: 0, to: 40 };
        assert_eq!([Some(0), Some(40), Some(41), None].map(|age| young.contains(age)), [true, true, false, false]);
        assert!(Ages::ANY.contains(None) && Ages::ANY.contains(Some(120)));
    }
}
