//! What all rules have in common: whom, when, on what basis, how rounded, by which way and how often.
//!
//! The closed vocabulary of rate files and the amount due by a rule. It must not know who is
//! insured or what was paid.

use jiff::civil::Date;
use serde::Deserialize;

use super::fund::Fund;
use crate::model::{Fen, Month};

/// A rate of 100 %.
pub const WHOLE_MILLIONTHS: i64 = 1_000_000;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
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

impl Basis {
    /// The word used in rate files.
    pub fn word(self) -> &'static str {
        match self {
            Basis::EmployerBase => "employer_base",
            Basis::OwnBase => "own_base",
            Basis::OwnPensionLastYear => "own_pension_last_year",
            Basis::CityAverageBase => "city_average_base",
            Basis::AccountCreditBase => "account_credit_base",
            Basis::AverageWageLastYear => "average_wage_last_year",
        }
    }
}

/// Every base an amount may be a share of, as far as it is known of one payer in one month (fen a month).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bases {
    pub employer: Option<Fen>,
    pub own: Option<Fen>,
    pub own_pension_last_year: Option<Fen>,
    /// Of the city in the month's year.
    pub city_average: Option<Fen>,
    pub account_credit: Option<Fen>,
    /// Of the area in the year before the month's.
    pub average_wage_last_year: Option<Fen>,
}

impl Bases {
    /// The base of that kind.
    ///
    /// # Errors
    /// It is not known.
    pub fn of(&self, basis: Basis) -> Result<Fen, MissingBase> {
        let found = match basis {
            Basis::EmployerBase => self.employer,
            Basis::OwnBase => self.own,
            Basis::OwnPensionLastYear => self.own_pension_last_year,
            Basis::CityAverageBase => self.city_average,
            Basis::AccountCreditBase => self.account_credit,
            Basis::AverageWageLastYear => self.average_wage_last_year,
        };
        found.ok_or(MissingBase(basis))
    }
}

/// The base a rule is about is not known of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the base `{word}` is not known", word = .0.word())]
pub struct MissingBase(pub Basis);

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
    /// As the payer chooses: a month's amount every month, or all months of a year at once.
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
pub enum ShortfallHandling {
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
    /// The same amount for everybody, once per [`Frequency`]; a month's where the payer chooses.
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
    pub const ANY: Ages = Ages {
        from: 0,
        to: u8::MAX,
    };

    /// Completed years on the first day of a month; none of who is not born yet.
    pub fn at(born_on: Date, month: Month) -> Option<u8> {
        let had_birthday = (born_on.month(), born_on.day()) <= (month.month(), 1);
        let years = month.year() - born_on.year() - i16::from(!had_birthday);
        u8::try_from(years).ok()
    }

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
pub struct RateTerms {
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

impl RateTerms {
    /// The amount due once per [`RateTerms::frequency`], of a month where the payer chooses, from the base the rule
    /// is about, within floor and cap.
    ///
    /// # Errors
    /// That base is not known.
    pub fn due(&self, bases: &Bases) -> Result<Fen, MissingBase> {
        let months =
            if self.frequency == Frequency::Yearly && matches!(self.mode, Mode::Rate { .. }) {
                12
            } else {
                1
            };
        self.due_for(months, bases)
    }

    /// The amount due for so many months at once: bounds are those of a month, and it is rounded once.
    ///
    /// # Errors
    /// The base the rule is about is not known.
    pub fn due_for(&self, months: i64, bases: &Bases) -> Result<Fen, MissingBase> {
        Ok(match self.mode {
            Mode::Waived => Fen::ZERO,
            Mode::Fixed(amount) => saturating(i128::from(amount.0) * i128::from(months)),
            Mode::Rate { millionths, basis } => {
                let base = bases.of(basis)?;
                let base = self.base_floor.map_or(base, |floor| base.max(floor));
                let base = self.base_cap.map_or(base, |cap| base.min(cap));
                self.rounding.apply(base, millionths * months)
            }
        })
    }

    /// For how many months somebody is asked in `month` who has chosen to pay once a year since `since`: for the rest of the
    /// rule's year in its first month that is theirs, and for none in all others.
    pub fn months_of_a_year(&self, month: Month, since: Month) -> Option<i64> {
        let first = Month::new(month.year(), 1)?
            .max(since)
            .max(self.period.from);
        let last = Month::new(month.year(), 12)?;
        let last = self.period.to.map_or(last, |to| to.min(last));
        (month == first).then(|| i64::from(last.month() - first.month()) + 1)
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

    fn terms(mode: Mode, rounding: Rounding) -> RateTerms {
        RateTerms {
            period: Period {
                from: Month::parse("202103").unwrap(),
                to: None,
            },
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

    fn own(base: i64) -> Bases {
        Bases {
            own: Some(Fen(base)),
            ..Bases::default()
        }
    }

    const CARE: Mode = Mode::Rate {
        millionths: 1_500,
        basis: Basis::OwnBase,
    };

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
            let half = RateTerms {
                mode: Mode::Rate {
                    millionths: 500_000,
                    basis: Basis::OwnBase,
                },
                ..terms.clone()
            };
            let found = [
                terms.due(&own(8_000)),
                terms.due(&own(8_200)),
                half.due(&own(25)),
                terms.due(&own(10_000)),
                half.due(&own(-25)),
            ];
            assert_eq!(found, expected.map(|fen| Ok(Fen(fen))), "{rounding:?}");
        }
    }

    #[test]
    fn a_base_is_held_within_floor_and_cap() {
        let bounded = RateTerms {
            base_floor: Some(Fen(380_000)),
            base_cap: Some(Fen(1_900_000)),
            ..terms(CARE, Rounding::FenHalfAway)
        };
        let due = |base| bounded.due(&own(base)).unwrap().0;
        assert_eq!(
            (
                due(0),
                due(380_000),
                due(400_000),
                due(1_900_000),
                due(1_900_100)
            ),
            (570, 570, 600, 2_850, 2_850)
        );
    }

    #[test]
    fn fixed_amounts_and_waivers_ask_for_no_base() {
        assert_eq!(
            terms(Mode::Fixed(Fen(5_000)), Rounding::FenHalfAway).due(&Bases::default()),
            Ok(Fen(5_000))
        );
        assert_eq!(
            terms(Mode::Waived, Rounding::FenHalfAway).due(&Bases::default()),
            Ok(Fen::ZERO)
        );
    }

    #[test]
    fn each_basis_asks_for_its_own_base_and_names_it_where_it_is_not_known() {
        let fen = |number: i64| Some(Fen(number * 100_000));
        let all = Bases {
            employer: fen(1),
            own: fen(2),
            own_pension_last_year: fen(3),
            city_average: fen(4),
            account_credit: fen(5),
            average_wage_last_year: fen(6),
        };
        for (basis, due) in [
            (Basis::EmployerBase, 150),
            (Basis::OwnBase, 300),
            (Basis::OwnPensionLastYear, 450),
            (Basis::CityAverageBase, 600),
            (Basis::AccountCreditBase, 750),
            (Basis::AverageWageLastYear, 900),
        ] {
            let terms = terms(
                Mode::Rate {
                    millionths: 1_500,
                    basis,
                },
                Rounding::FenHalfAway,
            );
            assert_eq!(terms.due(&all), Ok(Fen(due)), "{basis:?}");
            assert_eq!(terms.due(&Bases::default()), Err(MissingBase(basis)));
        }
    }

    #[test]
    fn a_year_paid_at_once_is_asked_in_its_first_month_and_rounded_once() {
        let month = |text: &str| Month::parse(text).unwrap();
        let choice = RateTerms {
            frequency: Frequency::YearlyOrMonthly,
            ..terms(CARE, Rounding::FenHalfAway)
        };
        // 0.15 % of 4,321.00 is 6.4815 a month, 77.778 a year: twelve times 6.48 would be 77.76.
        assert_eq!(
            (choice.due(&own(432_100)), choice.due_for(12, &own(432_100))),
            (Ok(Fen(648)), Ok(Fen(7_778)))
        );
        for (asked_in, since, expected) in [
            ("202201", "202104", Some(12)),
            ("202202", "202104", None),
            ("202205", "202205", Some(8)),
            ("202212", "202205", None),
            ("202103", "202001", Some(10)),
        ] {
            assert_eq!(
                choice.months_of_a_year(month(asked_in), month(since)),
                expected,
                "{asked_in} since {since}"
            );
        }
        let ended = RateTerms {
            period: Period {
                from: month("202103"),
                to: Some(month("202206")),
            },
            ..choice
        };
        assert_eq!(
            ended.months_of_a_year(month("202201"), month("202104")),
            Some(6)
        );
        let yearly = RateTerms {
            frequency: Frequency::Yearly,
            ..terms(CARE, Rounding::FenHalfAway)
        };
        assert_eq!(yearly.due(&own(432_100)), Ok(Fen(7_778)));
    }

    #[test]
    fn a_band_of_ages_needs_an_age_and_every_age_does_not() {
        let young = Ages { from: 0, to: 40 };
        assert_eq!(
            [Some(0), Some(40), Some(41), None].map(|age| young.contains(age)),
            [true, true, false, false]
        );
        assert!(Ages::ANY.contains(None) && Ages::ANY.contains(Some(120)));
    }

    #[test]
    fn an_age_is_in_completed_years_on_the_first_of_the_month() {
        let october = Month::parse("202110").unwrap();
        for (born_on, expected) in [
            ((1981, 10, 1), Some(40)),
            ((1981, 10, 2), Some(39)),
            ((1981, 9, 30), Some(40)),
            ((1981, 11, 1), Some(39)),
            ((2021, 10, 2), None),
            ((2022, 1, 1), None),
        ] {
            let (year, month, day) = born_on;
            let found = Ages::at(jiff::civil::date(year, month, day), october);
            assert_eq!(found, expected, "{born_on:?}");
        }
    }
}
