//! How an employer's money is split over the funds: by the running totals of its payment history.
//!
//! A history is all that was paid for one employer, district and contribution month. What counts is
//! the split of its total, not of the single line: a further amount gets the split of the total with
//! it, less what was posted before. So however a sum is cut into payments, instalments and refunds,
//! the funds end up with its exact split, and with nothing when nothing is left. What is taken back
//! goes as it came; the fen that may leave is settled by the next amount.
//!
//! Pure. It must not know where histories are kept or which rule a history goes by.

use super::fund::{Fund, Parts, Recipient};
use super::journal::CollectedMoney;
use super::terms::divide_half_away;
use crate::model::Fen;

/// What decides the split of an employer's money: the parts of its rate, and where the rest goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SplitRule {
    /// The combined rate in millionths.
    pub whole: i64,
    /// Each fund's part of it in millionths, in the order of [`Fund::ALL`].
    pub parts: [i64; Fund::COUNT],
    /// The fund that takes what rounding leaves.
    pub remainder: Fund,
    pub late_fee_to: Recipient,
    pub interest_to: Recipient,
    /// The fund of what employees paid through their employer.
    pub employee_paid_to: Fund,
}

impl SplitRule {
    /// What each fund gets of a line; together they get all its money. The split of the history's sum with the line,
    /// less what was posted before. `None` when a sum leaves `i64`.
    pub fn split(&self, before: &History, money: &CollectedMoney) -> Option<Parts> {
        let amount = self.shared(money)?;
        let fund = self.beside();
        let part = self
            .apportion(before.shared.checked_add(amount)?)
            .get(fund)
            .checked_sub(before.posted(self)?)?;
        Parts::whole_to(fund, part)
            .checked_add(&Parts::whole_to(self.remainder, amount.checked_sub(part)?))?
            .checked_add(&self.assigned(money)?)
    }

    /// Splits one amount: each part is `amount x part / whole`, rounded half away from zero to the
    /// fen; the remainder's fund takes the rest, so the parts always add up.
    fn apportion(&self, amount: Fen) -> Parts {
        let mut amounts = [Fen::ZERO; Fund::COUNT];
        let mut rest = i128::from(amount.0);
        for fund in Fund::ALL.into_iter().filter(|fund| *fund != self.remainder) {
            let part = divide_half_away(
                i128::from(amount.0) * i128::from(self.parts[fund.index()]),
                i128::from(self.whole),
            );
            amounts[fund.index()] = exactly(part);
            rest -= part;
        }
        amounts[self.remainder.index()] = exactly(rest);
        Parts::of(amounts)
    }

    /// What of a line's money is split by parts; `None` when that leaves `i64`.
    fn shared(&self, money: &CollectedMoney) -> Option<Fen> {
        let others = self
            .others(money)
            .into_iter()
            .filter(|(recipient, _)| *recipient == Recipient::ProRata);
        others
            .map(|(_, amount)| amount)
            .try_fold(money.employer_paid, Fen::checked_add)
    }

    /// Whether a fund has a part in what of a line's money is split; the part may round to nothing.
    pub fn splits_to(&self, fund: Fund, money: &CollectedMoney) -> bool {
        self.parts[fund.index()] != 0 && self.shared(money) != Some(Fen::ZERO)
    }

    /// What of a line's money goes to one fund whole, by fund; `None` when that leaves `i64`.
    fn assigned(&self, money: &CollectedMoney) -> Option<Parts> {
        let mut amounts = Parts::whole_to(self.employee_paid_to, money.employee_paid);
        for (recipient, amount) in self.others(money) {
            if let Some(fund) = recipient.fund() {
                amounts = amounts.checked_add(&Parts::whole_to(fund, amount))?;
            }
        }
        Some(amounts)
    }

    /// The fund that does not take the remainder.
    fn beside(&self) -> Fund {
        if self.remainder == Fund::Medical {
            Fund::LongTermCare
        } else {
            Fund::Medical
        }
    }

    fn others(&self, money: &CollectedMoney) -> [(Recipient, Fen); 3] {
        [
            (self.late_fee_to, money.late_fee),
            (self.interest_to, money.interest),
            (self.interest_to, money.other_interest),
        ]
    }
}

/// Two funds: what the one has too much the other has too little.
const _: () = assert!(Fund::COUNT == 2);

/// A payment history so far: how much of its money is split, and how far what was posted is from the
/// split of that sum. Small, since a packet may have a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(Rust, packed(4))] // twelve bytes
pub struct History {
    shared: Fen,
    /// Fen by which the fund that does not take the remainder has more than its part.
    ahead: i32,
}

impl History {
    /// The history whose lines have so much money, of which each fund got so much; `None` when
    /// that is too far from any split by this rule to be one.
    pub fn of(rule: &SplitRule, money: &CollectedMoney, funds: &Parts) -> Option<History> {
        let mut history = History::default();
        history.add_as_posted(rule, money, funds)?;
        Some(history)
    }

    /// Adds a line that was split on top of it ([`SplitRule::split`]): its funds now have the split of the sum. `None`,
    /// and nothing is added, when the sum leaves `i64`.
    pub fn add(&mut self, rule: &SplitRule, money: &CollectedMoney) -> Option<()> {
        let shared = self.shared.checked_add(rule.shared(money)?)?;
        *self = History { shared, ahead: 0 };
        Some(())
    }

    /// Adds a line whose funds are known, such as one that takes another back; `None`, and nothing
    /// is added, when a sum leaves the range.
    pub fn add_as_posted(
        &mut self,
        rule: &SplitRule,
        money: &CollectedMoney,
        funds: &Parts,
    ) -> Option<()> {
        let fund = rule.beside();
        let shared = self.shared.checked_add(rule.shared(money)?)?;
        let part = funds
            .get(fund)
            .checked_sub(rule.assigned(money)?.get(fund))?;
        let posted = self.posted(rule)?.checked_add(part)?;
        let ahead = i32::try_from(posted.checked_sub(rule.apportion(shared).get(fund))?.0).ok()?;
        *self = History { shared, ahead };
        Some(())
    }

    /// What of the shared money the fund beside the remainder's has.
    fn posted(&self, rule: &SplitRule) -> Option<Fen> {
        rule.apportion(self.shared)
            .get(rule.beside())
            .checked_add(Fen(self.ahead.into()))
    }
}

/// A part of an amount as fen: parts are shares of at most 100 %, so they fit where the amount did.
fn exactly(part: i128) -> Fen {
    Fen(i64::try_from(part).expect("a part is never larger than the amount it is a part of"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::properties::any_rule;

    const NANNING: SplitRule = SplitRule {
        whole: 69_500,
        parts: [68_000, 1_500],
        remainder: Fund::Medical,
        late_fee_to: Recipient::Medical,
        interest_to: Recipient::Medical,
        employee_paid_to: Fund::Medical,
    };

    fn paid(fen: i64) -> CollectedMoney {
        CollectedMoney {
            employer_paid: Fen(fen),
            ..CollectedMoney::default()
        }
    }

    /// Splits a line and adds it, as a flow does.
    fn add(history: &mut History, rule: &SplitRule, money: &CollectedMoney) -> Option<Parts> {
        let parts = rule.split(history, money)?;
        history.add(rule, money)?;
        Some(parts)
    }

    fn care(parts: &Parts) -> i64 {
        parts.get(Fund::LongTermCare).0
    }

    /// What long-term care gets of each amount of a history.
    fn cut(amounts: &[i64]) -> Vec<i64> {
        let mut history = History::default();
        amounts
            .iter()
            .map(|fen| care(&add(&mut history, &NANNING, &paid(*fen)).unwrap()))
            .collect()
    }

    #[test]
    fn a_payment_refunded_in_halves_leaves_nothing_anywhere() {
        // 22.72 x 0.15 / 6.95 = 0.4904; 11.36 are left after the first half: 0.2452
        assert_eq!(cut(&[2272, -1136, -1136]), [49, -24, -25]);
        assert_eq!(cut(&[2317, -1158, -1159]).iter().sum::<i64>(), 0);
    }

    #[test]
    fn a_hundred_instalments_bring_what_their_sum_brings() {
        // 0.23 brings 0.00496..., 23.00 brings 0.4964; 0.24 brings 0.00518, 24.00 brings 0.5180
        assert_eq!(cut(&[23; 100]).iter().sum::<i64>(), 50);
        assert_eq!(cut(&[24; 100]).iter().sum::<i64>(), 52);
        assert_eq!(
            cut(&[23; 4]),
            [0, 1, 0, 1],
            "0.23, 0.46, 0.69, 0.92 bring 0.00496, 0.0099, 0.0149, 0.0199"
        );
    }

    #[test]
    fn what_is_taken_back_goes_as_it_came_and_the_next_line_settles_the_fen() {
        let mut history = History::default();
        let parts: Vec<Parts> = [23, 23, 23]
            .iter()
            .map(|fen| add(&mut history, &NANNING, &paid(*fen)).unwrap())
            .collect();
        assert_eq!(parts.iter().map(care).collect::<Vec<_>>(), [0, 1, 0]);
        history
            .add_as_posted(&NANNING, &paid(-23), &parts[1].negated())
            .unwrap();
        // 0.46 are left and long-term care has nothing of them, a fen too little; 0.69 brings it one.
        assert_eq!(care(&add(&mut history, &NANNING, &paid(23)).unwrap()), 1);
        assert_eq!(
            history,
            History {
                shared: Fen(69),
                ahead: 0
            }
        );
    }

    #[test]
    fn late_fees_and_interest_can_be_split_like_the_payment() {
        let rule = SplitRule {
            late_fee_to: Recipient::ProRata,
            interest_to: Recipient::ProRata,
            ..NANNING
        };
        let money = CollectedMoney {
            employer_paid: Fen(69_500),
            employee_paid: Fen(20_000),
            late_fee: Fen(6_950),
            interest: Fen(600),
            other_interest: Fen(95),
        };
        let parts = rule.split(&History::default(), &money).unwrap();
        // 695.00 + 69.50 + 6.00 + 0.95 = 771.45, of which 0.15 / 6.95 are 16.65; the employees' money is medical.
        assert_eq!(
            (parts.get(Fund::Medical).0, care(&parts)),
            (77_145 - 1_665 + 20_000, 1_665)
        );
        let only_late_fee = SplitRule {
            interest_to: Recipient::LongTermCare,
            ..rule
        };
        let parts = only_late_fee.split(&History::default(), &money).unwrap();
        assert_eq!(
            care(&parts),
            1_650 + 695,
            "764.50 x 0.15 / 6.95 = 16.50, and the interest"
        );
    }

    #[test]
    fn a_fund_has_a_part_in_what_is_split_even_where_it_rounds_to_nothing() {
        let late_fee = |fen| CollectedMoney {
            late_fee: Fen(fen),
            ..CollectedMoney::default()
        };
        assert!(
            NANNING.splits_to(Fund::LongTermCare, &paid(1)),
            "0.01 x 0.15 / 6.95 is 0.00"
        );
        assert!(
            !NANNING.splits_to(Fund::LongTermCare, &late_fee(5)),
            "late fees are the medical fund's"
        );
        assert!(
            SplitRule {
                late_fee_to: Recipient::ProRata,
                ..NANNING
            }
            .splits_to(Fund::LongTermCare, &late_fee(5))
        );
        let before = SplitRule {
            whole: 68_000,
            parts: [68_000, 0],
            ..NANNING
        };
        assert!(
            !before.splits_to(Fund::LongTermCare, &paid(10_000)),
            "no long-term care insurance yet"
        );
    }

    #[test]
    fn a_sum_that_leaves_the_range_changes_nothing() {
        let mut history = History::default();
        add(&mut history, &NANNING, &paid(i64::MAX)).unwrap();
        let before = history;
        assert_eq!(add(&mut history, &NANNING, &paid(1)), None);
        assert_eq!(
            add(
                &mut history,
                &NANNING,
                &CollectedMoney {
                    employee_paid: Fen(i64::MAX),
                    late_fee: Fen(1),
                    ..CollectedMoney::default()
                }
            ),
            None
        );
        assert_eq!(
            history.add_as_posted(&NANNING, &paid(1), &Parts::default()),
            None
        );
        assert_eq!(history, before);
        assert_eq!(
            History::of(
                &NANNING,
                &paid(0),
                &Parts::whole_to(Fund::LongTermCare, Fen(1 << 40))
            ),
            None,
            "no split is so far off"
        );
    }

    fn any_money() -> impl Strategy<Value = CollectedMoney> {
        let fen =
            || prop_oneof![-300..=300_i64, -10_000_000_000..=10_000_000_000_i64].prop_map(Fen);
        let few = || prop_oneof![4 => Just(Fen::ZERO), 1 => (-5_000..=5_000_i64).prop_map(Fen)];
        (fen(), few(), few(), few(), few()).prop_map(
            |(employer_paid, employee_paid, late_fee, interest, other_interest)| CollectedMoney {
                employer_paid,
                employee_paid,
                late_fee,
                interest,
                other_interest,
            },
        )
    }

    /// What the funds have of the shared money of these lines, and its sum.
    fn sums(rule: &SplitRule, lines: &[(CollectedMoney, Parts)]) -> ([i64; Fund::COUNT], Fen) {
        let mut funds = [0; Fund::COUNT];
        let mut shared = Fen::ZERO;
        for (money, parts) in lines {
            let assigned = rule.assigned(money).unwrap();
            for (fund, part) in parts.iter() {
                funds[fund.index()] += part.0 - assigned.get(fund).0;
            }
            shared = shared.checked_add(rule.shared(money).unwrap()).unwrap();
        }
        (funds, shared)
    }

    proptest! {
        #[test]
        fn however_a_sum_is_cut_its_funds_have_the_split_of_the_sum(rule in any_rule(), amounts in prop::collection::vec(any_money(), 1..60)) {
            let (mut history, mut lines) = (History::default(), Vec::new());
            for money in amounts {
                let parts = add(&mut history, &rule, &money).unwrap();
                prop_assert_eq!(parts.total(), money.total(), "the parts of a line add up to it");
                lines.push((money, parts));
                let (funds, shared) = sums(&rule, &lines);
                for (fund, part) in rule.apportion(shared).iter() {
                    prop_assert_eq!(funds[fund.index()], part.0);
                }
            }
        }

        #[test]
        fn each_line_taken_back_leaves_at_most_a_fen_and_the_next_one_settles_all(
            rule in any_rule(),
            steps in prop::collection::vec((any_money(), prop::option::weighted(0.4, any::<prop::sample::Index>())), 1..60),
        ) {
            let (mut history, mut lines, mut taken_back) = (History::default(), Vec::new(), 0);
            for (money, back) in steps {
                match back {
                    Some(at) if !lines.is_empty() => {
                        let (money, parts): (CollectedMoney, Parts) = lines.swap_remove(at.index(lines.len()));
                        history.add_as_posted(&rule, &money.negated(), &parts.negated()).unwrap();
                        taken_back += 1;
                    }
                    _ => {
                        let parts = add(&mut history, &rule, &money).unwrap();
                        lines.push((money, parts));
                    }
                }
                let (funds, shared) = sums(&rule, &lines);
                for (fund, part) in rule.apportion(shared).iter() {
                    let off = (funds[fund.index()] - part.0).abs();
                    prop_assert!(off <= taken_back && (off == 0 || back.is_some()), "{} fen off after {} takings back", off, taken_back);
                }
                let (money, parts) = lines.iter().fold((CollectedMoney::default(), Parts::default()), |(sum, funds), (money, parts)| {
                    (sum.plus(money), funds.checked_add(parts).unwrap())
                });
                prop_assert_eq!(History::of(&rule, &money, &parts), Some(history), "the sums of its lines say all about a history");
            }
        }
    }
}
