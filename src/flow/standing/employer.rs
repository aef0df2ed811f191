//! What an employer's payments for a month come to: all of them together against what is due.
//!
//! Due is the base last stated by a normal or back payment, by treasury day, and what base
//! adjustments add to it, times the rate; instalments that state the same base count it once. Paid
//! is everything that came, refunds taken off. The tax bureau rounds per person, so the month is
//! whole when no more than the rates' tolerance a head is missing. Pure; knows no person.

use jiff::civil::Date;

use crate::ledger::{EmployerRate, due};
use crate::model::{Fen, PaymentKind};
use crate::store::standing::Payment;

/// How an employer's month stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reckoning {
    pub state: EmployerState,
    /// By the base last stated and its adjustments; nothing where no payment states a base.
    pub due: Option<Fen>,
    pub paid: Fen,
    /// The first day from which the treasury has had all of it ever since.
    pub whole_since: Option<Date>,
}

/// From best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum EmployerState {
    NoneDue,
    Paid,
    /// Money came, and no payment that states a base.
    NoBase,
    Underpaid,
    #[default]
    Missing,
}

impl EmployerState {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            EmployerState::NoneDue => "none_due",
            EmployerState::Paid => "paid",
            EmployerState::NoBase => "no_base",
            EmployerState::Underpaid => "underpaid",
            EmployerState::Missing => "missing",
        }
    }
}

/// What is known after some of the payments.
#[derive(Default)]
struct Sums {
    stated: Option<Fen>,
    /// People the stated base is of; at least one.
    heads: i64,
    adjusted: i64,
    paid: i64,
}

/// Payments of one employer, area and month, in order of treasury days; each kind's sign is in its amounts.
pub fn reckon<'a>(payments: impl Iterator<Item = &'a Payment>, rate: &EmployerRate) -> Reckoning {
    let payments: Vec<&Payment> = payments.collect();
    let mut sums = Sums {
        heads: 1,
        ..Sums::default()
    };
    let mut whole_since = None;
    for day in payments.chunk_by(|a, b| a.treasury_on == b.treasury_on) {
        day.iter().for_each(|payment| sums.add(payment));
        whole_since = if sums.whole(rate) {
            whole_since.or(Some(day[0].treasury_on))
        } else {
            None
        };
    }
    let due = sums.base().map(|base| due(base, rate.whole()));
    let state = match (sums.paid > 0, due, whole_since) {
        (false, _, _) => EmployerState::Missing,
        (true, None, _) => EmployerState::NoBase,
        (true, Some(_), Some(_)) => EmployerState::Paid,
        (true, Some(_), None) => EmployerState::Underpaid,
    };
    Reckoning {
        state,
        due,
        paid: Fen(sums.paid),
        whole_since,
    }
}

impl Sums {
    fn add(&mut self, payment: &Payment) {
        self.paid = self.paid.saturating_add(payment.employer_paid.0);
        match payment.payment_kind {
            // A line of nothing states no base: many bureaus leave it out of instalments.
            PaymentKind::Normal | PaymentKind::BackPayment if payment.employer_base > Fen::ZERO => {
                self.stated = Some(payment.employer_base);
                self.heads = payment.headcount.map_or(1, i64::from).max(1);
            }
            PaymentKind::BaseAdjustment => {
                self.adjusted = self.adjusted.saturating_add(payment.employer_base.0)
            }
            _ => {}
        }
    }

    fn base(&self) -> Option<Fen> {
        let base = self.stated?.0.saturating_add(self.adjusted);
        (base > 0).then_some(Fen(base))
    }

    fn whole(&self, rate: &EmployerRate) -> bool {
        let tolerance = rate.tolerance_per_head().0.saturating_mul(self.heads);
        self.paid > 0
            && self.base().is_some_and(|base| {
                due(base, rate.whole()).0.saturating_sub(self.paid) <= tolerance
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::RateBook;
    use crate::model::{Division, Month};

    /// Kind, base stated, paid and day of November; twelve people.
    fn payment((kind, base, paid, day): (&str, i64, i64, i8)) -> Payment {
        Payment {
            employer_no: "E".into(),
            pooling_area: 450_100,
            contribution_month: 202_110,
            detail_no: "1".into(),
            receipt_no: "1".into(),
            payment_kind: PaymentKind::of_word(kind).unwrap(),
            district: 450_103,
            headcount: Some(12),
            employer_base: Fen(base),
            employer_paid: Fen(paid),
            medical: Fen::ZERO,
            long_term_care: Fen::ZERO,
            underpaid: false,
            treasury_on: jiff::civil::date(2021, 11, day),
        }
    }

    /// State, and the day of November since when it is whole.
    fn reckoned(payments: &[(&str, i64, i64, i8)]) -> (&'static str, Option<i8>) {
        let book = RateBook::load(std::path::Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/config/rates"
        )))
        .unwrap();
        let rate = book
            .employer(
                Division::parse("450100").unwrap(),
                Month::parse("202110").unwrap(),
            )
            .unwrap();
        let payments: Vec<Payment> = payments.iter().copied().map(payment).collect();
        let found = reckon(payments.iter(), rate);
        (found.state.word(), found.whole_since.map(|day| day.day()))
    }

    /// 10,000.00 yuan, of which 6.95 % is 695.00.
    const BASE: i64 = 1_000_000;

    #[test]
    fn sums_decide_however_a_payment_was_cut() {
        for (payments, expected) in [
            (&[][..], ("missing", None)),
            (&[("normal", BASE, 69_500, 6)], ("paid", Some(6))),
            (
                &[("normal", BASE, 40_000, 6), ("normal", BASE, 29_500, 9)],
                ("paid", Some(9)),
            ),
            (
                &[("normal", BASE, 40_000, 6), ("normal", BASE, 29_000, 9)],
                ("underpaid", None),
            ),
            (
                &[
                    ("normal", BASE, 40_000, 6),
                    ("back_payment", BASE, 29_500, 9),
                ],
                ("paid", Some(9)),
            ),
            (
                &[("normal", BASE, 40_000, 6), ("back_payment", 0, 29_500, 9)],
                ("paid", Some(9)),
            ),
            (
                &[("normal", BASE, 59_000, 6), ("back_payment", BASE, 24, 9)],
                ("underpaid", None),
            ),
            (&[("back_payment", BASE, 24, 6)], ("underpaid", None)),
            (&[("back_payment", 0, 24, 6)], ("no_base", None)),
            (
                &[
                    ("normal", BASE, 59_000, 6),
                    ("base_adjustment", 0, 10_500, 9),
                ],
                ("paid", Some(9)),
            ),
            (
                &[("normal", BASE, 69_500, 6), ("base_adjustment", BASE, 0, 9)],
                ("underpaid", None),
            ),
            (
                &[
                    ("normal", BASE, 69_500, 6),
                    ("base_adjustment", BASE, 69_500, 9),
                ],
                ("paid", Some(6)),
            ),
            (
                &[
                    ("normal", BASE, 59_000, 6),
                    ("base_adjustment", -151_080, 0, 9),
                ],
                ("paid", Some(9)),
            ),
            (
                &[("normal", BASE, 69_500, 6), ("refund", 0, -69_476, 9)],
                ("underpaid", None),
            ),
            (
                &[("normal", BASE, 69_500, 6), ("refund", 0, -69_500, 9)],
                ("missing", None),
            ),
            (
                &[
                    ("normal", BASE, 69_500, 6),
                    ("refund", 0, -69_500, 9),
                    ("back_payment", BASE, 69_500, 20),
                ],
                ("paid", Some(20)),
            ),
            (
                &[
                    ("normal", BASE, 69_500, 6),
                    ("refund", 0, -69_500, 9),
                    ("back_payment", BASE, 69_500, 9),
                ],
                ("paid", Some(6)),
            ),
            (
                &[
                    ("normal", BASE, 69_500, 6),
                    ("back_payment", 2 * BASE, 1, 20),
                ],
                ("underpaid", None),
            ),
        ] {
            assert_eq!(reckoned(payments), expected, "{payments:?}");
        }
    }

    #[test]
    fn a_month_is_whole_when_no_more_than_a_fen_a_head_is_missing() {
        assert_eq!(
            reckoned(&[("normal", BASE, 69_500 - 12, 6)]),
            ("paid", Some(6)),
            "twelve people, each rounded down"
        );
        assert_eq!(
            reckoned(&[("normal", BASE, 69_500 - 13, 6)]),
            ("underpaid", None)
        );
    }
}
