//! What holds for any amount, any rate and any order of lines.

use proptest::prelude::*;

use super::book::RateBook;
use super::fund::{Fund, Parts, Recipient};
use super::journal::{CollectedMoney, JournalTotals};
use super::rate::EmployerRate;
use super::split::{History, SplitRule};
use super::terms::{Basis, Channel, Frequency, Mode, Period, RateTerms, Rounding, due};
use crate::model::{Division, Fen, Month};

impl Parts {
    /// The same amounts in the other direction.
    pub(super) fn negated(&self) -> Parts {
        Parts::of(Fund::ALL.map(|fund| self.get(fund).negated()))
    }

    /// The sum of the parts (fen), wide enough for any parts.
    pub(super) fn total(&self) -> i128 {
        self.iter().map(|(_, part)| i128::from(part.0)).sum()
    }
}

impl CollectedMoney {
    fn amounts(&self) -> [Fen; 5] {
        [
            self.employer_paid,
            self.employee_paid,
            self.late_fee,
            self.interest,
            self.other_interest,
        ]
    }

    fn of(
        [
            employer_paid,
            employee_paid,
            late_fee,
            interest,
            other_interest,
        ]: [Fen; 5],
    ) -> Self {
        CollectedMoney {
            employer_paid,
            employee_paid,
            late_fee,
            interest,
            other_interest,
        }
    }

    /// The same amounts in the other direction.
    pub(super) fn negated(&self) -> CollectedMoney {
        CollectedMoney::of(self.amounts().map(Fen::negated))
    }

    /// Amount by amount.
    pub(super) fn plus(&self, other: &CollectedMoney) -> CollectedMoney {
        let (ours, theirs) = (self.amounts(), other.amounts());
        CollectedMoney::of(std::array::from_fn(|at| {
            ours[at].checked_add(theirs[at]).unwrap()
        }))
    }

    /// All the line's money (fen).
    pub(super) fn total(&self) -> i128 {
        self.amounts()
            .iter()
            .map(|amount| i128::from(amount.0))
            .sum()
    }
}

/// A rule of the given parts.
fn rule(parts: [i64; Fund::COUNT], remainder: Fund) -> SplitRule {
    SplitRule {
        whole: parts.iter().sum(),
        parts,
        remainder,
        late_fee_to: Recipient::LongTermCare,
        interest_to: Recipient::Medical,
        employee_paid_to: Fund::Medical,
    }
}

pub(super) fn any_rule() -> impl Strategy<Value = SplitRule> {
    let fund = || prop_oneof![Just(Fund::Medical), Just(Fund::LongTermCare)];
    let recipient = || prop::sample::select(&Recipient::ALL[..]);
    (
        1..=500_000_i64,
        1..=500_000_i64,
        fund(),
        (recipient(), recipient(), fund()),
    )
        .prop_map(|(medical, care, remainder, others)| SplitRule {
            late_fee_to: others.0,
            interest_to: others.1,
            employee_paid_to: others.2,
            ..rule([medical, care], remainder)
        })
}

/// The rate of a rule, as the flows have it.
fn rate(rule: SplitRule) -> EmployerRate {
    EmployerRate {
        id: "450100/employer/2021-03".into(),
        terms: RateTerms {
            period: Period {
                from: Month::parse("202103").unwrap(),
                to: None,
            },
            mode: Mode::Rate {
                millionths: rule.whole,
                basis: Basis::EmployerBase,
            },
            base_floor: None,
            base_cap: None,
            channel: Channel::Tax,
            frequency: Frequency::Monthly,
            carved_out_of: None,
            rounding: Rounding::FenHalfAway,
            open: Vec::new(),
        },
        rule,
        tolerance_per_head: Fen::ZERO,
    }
}

fn any_rate() -> impl Strategy<Value = EmployerRate> {
    any_rule().prop_map(rate)
}

/// What the first line of a history brings the funds when the employer alone pays.
fn split(rate: &EmployerRate, amount: Fen) -> Parts {
    let money = CollectedMoney {
        employer_paid: amount,
        ..CollectedMoney::default()
    };
    rate.split(&History::default(), &money).unwrap()
}

fn any_amount() -> impl Strategy<Value = Fen> {
    prop_oneof![
        -1_000_000..=1_000_000_i64,
        (i64::MIN + 1)..=i64::MAX,
        Just(i64::MAX),
        Just(i64::MIN + 1)
    ]
    .prop_map(Fen)
}

/// A line with ordinary money: (district number, month number, money).
fn any_line() -> impl Strategy<Value = (Division, Month, CollectedMoney)> {
    let districts = prop_oneof![Just("450102"), Just("450103"), Just("450199")]
        .prop_map(|code| Division::parse(code).unwrap());
    let months = (202_101..=202_112).prop_map(|number| Month::from_number(number).unwrap());
    let fen = || (-10_000_000_000..=10_000_000_000_i64).prop_map(Fen);
    let money = (fen(), fen(), fen(), fen(), fen()).prop_map(
        |(employer_paid, employee_paid, late_fee, interest, other_interest)| CollectedMoney {
            employer_paid,
            employee_paid,
            late_fee,
            interest,
            other_interest,
        },
    );
    (districts, months, money)
}

/// Every line in a history of its own, posted as a packet's lines are.
fn totals_of(lines: &[(Division, Month, CollectedMoney)], rate: &EmployerRate) -> JournalTotals {
    let mut totals = JournalTotals::default();
    for (district, month, money) in lines {
        let parts = rate.split(&History::default(), money).unwrap();
        totals.add(*district, *month, &parts).unwrap();
    }
    totals
}

proptest! {
    #[test]
    fn parts_add_up_to_the_amount(rate in any_rate(), amount in any_amount()) {
        prop_assert_eq!(split(&rate, amount).total(), i128::from(amount.0));
    }

    #[test]
    fn a_refund_is_split_like_a_payment(rate in any_rate(), amount in any_amount()) {
        prop_assert_eq!(split(&rate, amount).negated(), split(&rate, amount.negated()));
    }

    #[test]
    fn each_part_is_within_half_a_fen_of_exact(rate in any_rate(), amount in any_amount()) {
        let parts = split(&rate, amount);
        for (fund, share) in rate.parts() {
            // |part - amount x share / whole| <= 1/2, multiplied by 2 x whole
            let off = (i128::from(parts.get(fund).0) * i128::from(rate.whole()) - i128::from(amount.0) * i128::from(share)).abs();
            prop_assert!(2 * off <= i128::from(rate.whole()), "{:?} is {} fen/{} off", fund, off, rate.whole());
        }
    }

    #[test]
    fn what_is_due_is_within_half_a_fen_and_symmetric(base in any_amount(), rate in 0..=1_000_000_i64) {
        let exact = i128::from(base.0) * i128::from(rate);
        prop_assert!(2 * (i128::from(due(base, rate).0) * 1_000_000 - exact).abs() <= 1_000_000);
        prop_assert_eq!(due(base.negated(), rate), due(base, rate).negated());
    }

    #[test]
    fn the_order_of_lines_does_not_matter(
        (lines, shuffled) in prop::collection::vec(any_line(), 0..40).prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle())),
        rate in any_rate(),
    ) {
        prop_assert_eq!(totals_of(&lines, &rate), totals_of(&shuffled, &rate));
    }

    #[test]
    fn every_entry_sums_to_zero_and_no_fen_is_lost(lines in prop::collection::vec(any_line(), 0..40), rate in any_rate()) {
        let totals = totals_of(&lines, &rate);
        let collected: i128 = lines.iter().map(|(_, _, money)| money.total()).sum();
        let postings = totals.postings();
        for entry in postings.chunks(2) {
            let [debit, credit] = entry else { panic!("an entry without its other side") };
            prop_assert_eq!(debit.amount.0 + credit.amount.0, 0);
            prop_assert_eq!((debit.district, debit.month, debit.fund), (credit.district, credit.month, credit.fund));
            prop_assert_eq!((debit.account, credit.account), ("treasury", "fund"));
        }
        let credited: i128 = postings.iter().filter(|posting| posting.account == "fund").map(|posting| -i128::from(posting.amount.0)).sum();
        prop_assert_eq!(credited, collected);
    }

    #[test]
    fn what_is_taken_back_as_it_came_leaves_nothing_to_post(lines in prop::collection::vec(any_line(), 0..40), rate in any_rate()) {
        let mut totals = totals_of(&lines, &rate);
        for (district, month, money) in &lines {
            let parts = rate.split(&History::default(), money).unwrap();
            totals.add(*district, *month, &parts.negated()).unwrap();
        }
        prop_assert_eq!(totals.postings(), Vec::new());
    }
}

#[test]
fn halves_go_away_from_zero_and_the_remainder_takes_the_rest() {
    let half = rate(rule([10_000, 10_000], Fund::Medical));
    assert_eq!(
        split(&half, Fen(1)),
        Parts::whole_to(Fund::LongTermCare, Fen(1))
    );
    assert_eq!(
        split(&half, Fen(-1)),
        Parts::whole_to(Fund::LongTermCare, Fen(-1))
    );
    let nanning = rate(rule([68_000, 1_500], Fund::Medical));
    // 695 yuan on a base of 10,000: 680 + 15
    assert_eq!(
        (
            split(&nanning, Fen(69_500)).get(Fund::Medical),
            split(&nanning, Fen(69_500)).get(Fund::LongTermCare)
        ),
        (Fen(68_000), Fen(1_500))
    );
    // 0.23 yuan: 0.496... fen of LTC is nothing; 0.24 yuan: 0.517... fen is one
    assert_eq!(split(&nanning, Fen(23)).get(Fund::LongTermCare), Fen(0));
    assert_eq!(split(&nanning, Fen(24)).get(Fund::LongTermCare), Fen(1));
}

#[test]
fn late_fees_interest_and_employees_money_go_to_the_named_funds_unsplit() {
    let money = CollectedMoney {
        employer_paid: Fen(69_500),
        employee_paid: Fen(20_000),
        late_fee: Fen(35),
        interest: Fen(7),
        other_interest: Fen(2),
    };
    let parts = rate(rule([68_000, 1_500], Fund::Medical))
        .split(&History::default(), &money)
        .unwrap();
    assert_eq!(parts.get(Fund::Medical), Fen(68_000 + 20_000 + 9));
    assert_eq!(parts.get(Fund::LongTermCare), Fen(1_500 + 35));
}

/// The rates as shipped.
pub(super) fn shipped() -> RateBook {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rates");
    RateBook::load(&dir).unwrap_or_else(|findings| {
        panic!(
            "{}",
            findings
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        )
    })
}
