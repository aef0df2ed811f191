//! What a month asks of people, and what holds for any list of them.

use proptest::prelude::*;

use super::super::terms::{Ages, Basis, Channel, Mode, Period, RateTerms, Rounding};
use super::*;

fn rate(shortfall: ShortfallHandling, no_account: NoAccount) -> IndividualRate {
    IndividualRate {
        id: "450100/individual/2021-03/active".into(),
        terms: RateTerms {
            period: Period {
                from: Month::parse("202103").unwrap(),
                to: None,
            },
            mode: Mode::Rate {
                millionths: 1_500,
                basis: Basis::OwnBase,
            },
            base_floor: None,
            base_cap: None,
            channel: Channel::PersonalAccount,
            frequency: Frequency::Monthly,
            carved_out_of: None,
            rounding: Rounding::FenHalfAway,
            open: Vec::new(),
        },
        category: Category::Active,
        ages: Ages::ANY,
        no_account: Some(no_account),
        shortfall: Some(shortfall),
    }
}

fn carrying() -> IndividualRate {
    rate(ShortfallHandling::CarryOver, NoAccount::ListApart)
}

const fn own(fen: i64) -> Bases {
    Bases {
        own: Some(Fen(fen)),
        employer: None,
        own_pension_last_year: None,
        city_average: None,
        account_credit: None,
        average_wage_last_year: None,
    }
}

const PERSON: RosteredPerson<'_> = RosteredPerson {
    person_no: "P1",
    category: Category::Active,
    district: 450_102,
    account: true,
    bases: own(400_000),
    yearly_since: None,
    carried: Fen::ZERO,
};

const REASONS: [NoDeductionReason; 4] = [
    NoDeductionReason::NoAccount,
    NoDeductionReason::NoRate,
    NoDeductionReason::NothingDue,
    NoDeductionReason::NoBase(Basis::CityAverageBase),
];

fn october() -> Month {
    Month::parse("202110").unwrap()
}

#[test]
fn a_person_owes_the_rate_of_the_base_and_what_was_carried() {
    let owed = |person| assess(october(), &person, Some(&carrying()));
    assert_eq!(
        owed(PERSON),
        Ok(Assessment::Deduct(Instruction {
            base: Fen(400_000),
            due: Fen(600),
            carried: Fen::ZERO,
            fen: Fen(600)
        }))
    );
    let carried = RosteredPerson {
        carried: Fen(590),
        ..PERSON
    };
    assert_eq!(
        owed(carried),
        Ok(Assessment::Deduct(Instruction {
            base: Fen(400_000),
            due: Fen(600),
            carried: Fen(590),
            fen: Fen(1_190)
        }))
    );
    let only_carried = RosteredPerson {
        bases: own(0),
        ..carried
    };
    assert_eq!(
        owed(only_carried),
        Ok(Assessment::Deduct(Instruction {
            base: Fen::ZERO,
            due: Fen::ZERO,
            carried: Fen(590),
            fen: Fen(590)
        }))
    );
    assert_eq!(
        owed(RosteredPerson {
            carried: Fen(i64::MAX),
            ..PERSON
        }),
        Err(TooMuch("P1".into()))
    );
}

#[test]
fn who_is_left_out_is_left_out_for_a_reason() {
    let left_out = |reason, due| Ok(Assessment::LeftOut { reason, due });
    let none = RosteredPerson {
        account: false,
        carried: Fen(5),
        ..PERSON
    };
    assert_eq!(
        assess(october(), &none, Some(&carrying())),
        left_out(NoDeductionReason::NoAccount, Fen(600))
    );
    assert_eq!(
        assess(
            october(),
            &none,
            Some(&rate(ShortfallHandling::Waive, NoAccount::Waive))
        ),
        left_out(NoDeductionReason::Waived, Fen(600))
    );
    let without = RosteredPerson {
        bases: Bases {
            own: None,
            ..own(0)
        },
        ..PERSON
    };
    assert_eq!(
        assess(october(), &without, Some(&carrying())),
        left_out(NoDeductionReason::NoBase(Basis::OwnBase), Fen::ZERO)
    );
    let waived = RosteredPerson {
        account: false,
        ..without
    };
    assert_eq!(
        assess(
            october(),
            &waived,
            Some(&rate(ShortfallHandling::Waive, NoAccount::Waive))
        ),
        left_out(NoDeductionReason::Waived, Fen::ZERO)
    );
    assert_eq!(
        assess(october(), &PERSON, None),
        left_out(NoDeductionReason::NoRate, Fen::ZERO)
    );
    assert_eq!(
        assess(
            october(),
            &RosteredPerson {
                bases: own(0),
                ..PERSON
            },
            Some(&carrying())
        ),
        left_out(NoDeductionReason::NothingDue, Fen::ZERO)
    );
    let mut yearly = carrying();
    yearly.terms.frequency = Frequency::Yearly;
    assert_eq!(
        assess(october(), &PERSON, Some(&yearly)),
        left_out(NoDeductionReason::NoRate, Fen::ZERO),
        "a yearly rate is not asked for every month"
    );
    let mut taxed = carrying();
    taxed.terms.channel = Channel::Tax;
    assert_eq!(
        assess(october(), &PERSON, Some(&taxed)),
        left_out(NoDeductionReason::NoRate, Fen::ZERO),
        "what the tax bureau collects is not deducted"
    );
}

#[test]
fn the_digest_is_that_of_the_documented_text() {
    let mut running = PlanDigest::new(450_100, october());
    let Ok(Assessment::Deduct(instruction)) = assess(october(), &PERSON, Some(&carrying())) else {
        panic!("something is due")
    };
    running.instruct(&PERSON, &carrying(), &instruction);
    let odd = RosteredPerson {
        person_no: "P\\2\t",
        ..PERSON
    };
    running.leave_out(&odd, NoDeductionReason::NoAccount, Fen(-600));
    let text = "450100\t202110\n\
        P1\tactive\t450102\t450100/individual/2021-03/active\t400000\t600\t0\t600\tcarry_over\n\
        P\\\\2\\t\tactive\t450102\tno_account\t\t-600\t\t\t\n";
    assert_eq!(running.finish(), <[u8; 32]>::from(Sha256::digest(text)));
}

/// A number, what is stated of it, and whether it is instructed.
type Someone = (u32, usize, i32, i64, i64, i64, bool);

fn any_people() -> impl Strategy<Value = Vec<Someone>> {
    let amount = || 0..=1_000_000_000_i64;
    let someone = (
        0..1_000_000_u32,
        0..4_usize,
        450_101..=450_199,
        amount(),
        amount(),
        amount(),
        any::<bool>(),
    );
    prop::collection::vec(someone, 1..30)
}

fn digest_of(area: i32, month: Month, people: &[Someone], rate: &IndividualRate) -> [u8; 32] {
    let mut running = PlanDigest::new(area, month);
    for (number, category, district, base, due, carried, deduct) in people {
        let person_no = format!("{number:08}");
        let person = RosteredPerson {
            person_no: &person_no,
            category: Category::IN_ROSTERS[*category],
            district: *district,
            account: true,
            bases: own(*base),
            yearly_since: None,
            carried: Fen(*carried),
        };
        if *deduct {
            running.instruct(
                &person,
                rate,
                &Instruction {
                    base: Fen(*base),
                    due: Fen(*due),
                    carried: Fen(*carried),
                    fen: Fen(due + carried),
                },
            );
        } else {
            running.leave_out(&person, REASONS[*category], Fen(*due));
        }
    }
    running.finish()
}

proptest! {
    #[test]
    fn the_digest_depends_on_every_field_and_on_everybody(people in any_people(), which in any::<prop::sample::Index>(), field in 0..7) {
        let at = which.index(people.len());
        let mut other = people.clone();
        let one = &mut other[at];
        match field {
            0 => one.0 += 1,
            1 => one.1 = (one.1 + 1) % 4,
            2 => one.2 += 1,
            // Bases and carried amounts count where something is taken.
            3 => if one.6 { one.3 += 1 } else { one.4 += 1 },
            4 => one.4 += 1,
            5 => if one.6 { one.5 += 1 } else { one.4 += 1 },
            _ => one.6 = !one.6,
        }
        let rate = carrying();
        let whole = digest_of(450_100, october(), &people, &rate);
        prop_assert_ne!(whole, digest_of(450_100, october(), &other, &rate));
        prop_assert_ne!(whole, digest_of(450_101, october(), &people, &rate));
        prop_assert_ne!(whole, digest_of(450_100, october().next(), &people, &rate));
        let mut fewer = people.clone();
        fewer.remove(at);
        prop_assert_ne!(whole, digest_of(450_100, october(), &fewer, &rate));
        prop_assert_eq!(whole, digest_of(450_100, october(), &people, &rate));
        if people.iter().any(|one| one.6) {
            let mut renamed = carrying();
            renamed.id.push('x');
            prop_assert_ne!(whole, digest_of(450_100, october(), &people, &renamed));
            prop_assert_ne!(whole, digest_of(450_100, october(), &people, &super::tests::rate(ShortfallHandling::Retry, NoAccount::ListApart)));
        }
    }

    #[test]
    fn instructions_add_up_to_the_totals(people in any_people()) {
        let mut totals = PlanTotals::default();
        let mut sum = 0;
        for (number, category, district, base, _, carried, account) in &people {
            let person_no = number.to_string();
            let person = RosteredPerson {
                person_no: &person_no,
                category: Category::IN_ROSTERS[*category],
                district: *district,
                account: *account,
                bases: own(*base),
                yearly_since: None,
                carried: Fen(*carried),
            };
            if let Ok(Assessment::Deduct(instruction)) = assess(october(), &person, Some(&carrying())) {
                prop_assert_eq!(instruction.fen.0, instruction.due.0 + instruction.carried.0);
                sum += instruction.fen.0;
                totals.add(&person, &instruction).unwrap();
            }
        }
        prop_assert_eq!(totals.whole.fen().0, sum);
        prop_assert_eq!(totals.cells.values().map(|total| total.fen().0).sum::<i64>(), sum);
        prop_assert_eq!(totals.cells.values().map(|total| total.people).sum::<i32>(), totals.whole.people);
    }
}
