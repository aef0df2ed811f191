//! What the core says, held against what it was asked: what fits, what is known already, what is odd.
//!
//! Pure. A result fits when its person is in the batch and the amount is the whole instruction (or
//! nothing, where nothing was taken); only what fits is posted. What is odd is noted, never guessed at.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::model::deduction::DeductionOutcome;
use crate::model::told::{PersonResult, Results};
use crate::model::{Fen, Month};
use crate::store::transfer::{KnownResult, OddKind, PersonInstruction, ResultDiscrepancy};

/// What a message comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComparedResults<'a> {
    /// New and as asked, in the order of person numbers.
    pub fits: Vec<&'a PersonResult>,
    /// Money of those that were deducted, by the district and month it was owed to.
    pub money: BTreeMap<(i32, Month), Fen>,
    /// Said before, and the same.
    pub known: usize,
    pub odd: Vec<ResultDiscrepancy>,
}

/// Compares what the batch of a month was told; `asked` and `known` are in the byte order of person numbers.
pub fn compare<'a>(
    month: Month,
    asked: &[PersonInstruction],
    known: &[KnownResult],
    results: &'a Results,
) -> ComparedResults<'a> {
    let mut order: Vec<&PersonResult> = results.told.iter().collect();
    order.sort_by(|a, b| a.person_no.cmp(&b.person_no)); // usually sorted already
    let mut compared = ComparedResults {
        fits: Vec::with_capacity(order.len()),
        ..ComparedResults::default()
    };
    let (mut asked, mut known) = (asked.iter().peekable(), known.iter().peekable());
    for same_person in order.chunk_by(|a, b| a.person_no == b.person_no) {
        let person_no = same_person[0].person_no.as_str();
        let asked = advance(&mut asked, |asked| asked.person_no.as_str().cmp(person_no));
        let known = advance(&mut known, |known| known.person_no.as_str().cmp(person_no));
        compared.person(month, same_person, (asked, known));
    }
    compared.odd.extend(
        results
            .unreadable
            .iter()
            .map(|unreadable| ResultDiscrepancy {
                index: unreadable.index,
                person_no: unreadable.person_no.clone(),
                kind: OddKind::Unreadable,
                asked: None,
                told: None,
                words: format!("{} {}", unreadable.element, unreadable.reason),
            }),
    );
    compared
}

/// Moves on to the item that is equal, if there is one.
fn advance<'a, T>(
    items: &mut std::iter::Peekable<std::slice::Iter<'a, T>>,
    compared: impl Fn(&T) -> Ordering,
) -> Option<&'a T> {
    while items
        .next_if(|item| compared(item) == Ordering::Less)
        .is_some()
    {}
    items
        .peek()
        .copied()
        .filter(|item| compared(item) == Ordering::Equal)
}

impl<'a> ComparedResults<'a> {
    /// Everything the message says of one person.
    fn person(
        &mut self,
        month: Month,
        said: &[&'a PersonResult],
        (asked, known): (Option<&PersonInstruction>, Option<&KnownResult>),
    ) {
        let first = said[0];
        if said
            .iter()
            .any(|other| (other.outcome, other.fen) != (first.outcome, first.fen))
        {
            let contradiction = |told: &&PersonResult| {
                odd(
                    told,
                    OddKind::OtherAnswer,
                    asked,
                    format!("{}, and something else in the same message", told.words()),
                )
            };
            self.odd.extend(said.iter().map(contradiction));
            return;
        }
        self.known += said.len() - 1;
        let Some(asked) = asked else {
            self.odd.push(odd(
                first,
                OddKind::UnknownPerson,
                None,
                format!("{}; the person is not in this batch", first.words()),
            ));
            return;
        };
        match known {
            Some(known) if (known.outcome, known.fen) == (first.outcome, first.fen) => {
                self.known += 1
            }
            Some(known) => {
                let words = format!(
                    "{}; said before: {} {}",
                    first.words(),
                    known.outcome.word(),
                    known.fen
                );
                self.odd
                    .push(odd(first, OddKind::OtherAnswer, Some(asked), words));
            }
            None => match misfit(first, asked) {
                Some(words) => self
                    .odd
                    .push(odd(first, OddKind::OtherAmount, Some(asked), words)),
                None => self.take(month, first, asked),
            },
        }
    }

    fn take(&mut self, month: Month, told: &'a PersonResult, asked: &PersonInstruction) {
        if told.outcome == DeductionOutcome::Deducted {
            let sum = |(key, fen): ((i32, Month), Fen)| {
                Some((
                    key,
                    self.money
                        .get(&key)
                        .copied()
                        .unwrap_or_default()
                        .checked_add(fen)?,
                ))
            };
            let Some(sums) = owed(month, asked)
                .into_iter()
                .map(sum)
                .collect::<Option<Vec<_>>>()
            else {
                return self.odd.push(odd(
                    told,
                    OddKind::OtherAmount,
                    Some(asked),
                    "the district's sum no longer fits".into(),
                ));
            };
            self.money.extend(sums);
        }
        self.fits.push(told);
    }
}

/// Whom an instruction's amount is owed to: each month that was carried to its own district and month, the rest to
/// the cycle's. Every district and month once.
fn owed(month: Month, asked: &PersonInstruction) -> BTreeMap<(i32, Month), Fen> {
    let mut owed = BTreeMap::new();
    let mut rest = asked.fen.0;
    for carried in &asked.carried {
        rest -= carried.fen.0;
        owed.entry((carried.district, carried.month))
            .or_insert(Fen::ZERO)
            .0 += carried.fen.0;
    }
    if rest != 0 {
        owed.entry((asked.district, month)).or_insert(Fen::ZERO).0 += rest;
    }
    owed
}

/// Why the amounts are not those of the instruction.
fn misfit(told: &PersonResult, asked: &PersonInstruction) -> Option<String> {
    let expected = if told.outcome == DeductionOutcome::Deducted {
        asked.fen
    } else {
        Fen::ZERO
    };
    if told.fen != expected {
        return Some(format!(
            "{}; the instruction was {}",
            told.words(),
            asked.fen
        ));
    }
    let parts = told.parts?;
    let sum = parts
        .iter()
        .try_fold(Fen::ZERO, |sum, part| sum.checked_add(*part));
    (sum != Some(told.fen)).then(|| {
        format!(
            "{}; its sub-accounts add up to something else",
            told.words()
        )
    })
}

fn odd(
    told: &PersonResult,
    kind: OddKind,
    asked: Option<&PersonInstruction>,
    words: String,
) -> ResultDiscrepancy {
    ResultDiscrepancy {
        index: told.index,
        person_no: Some(told.person_no.clone()),
        kind,
        asked: asked.map(|asked| asked.fen),
        told: Some(told.fen),
        words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::transfer::CarriedShortfall;

    fn october() -> Month {
        Month::new(2021, 10).expect("a month")
    }

    fn asked() -> Vec<PersonInstruction> {
        ["A", "B", "C", "D"]
            .iter()
            .enumerate()
            .map(|(at, no)| PersonInstruction {
                person_no: (*no).into(),
                fen: Fen(100 + at as i64),
                district: 450_103 + (at as i32 % 2),
                carried: Vec::new(),
            })
            .collect()
    }

    fn told(person_no: &str, outcome: DeductionOutcome, fen: i64) -> PersonResult {
        PersonResult {
            index: 1,
            person_no: person_no.into(),
            outcome,
            fen: Fen(fen),
            parts: None,
            balance: None,
        }
    }

    fn results(told: Vec<PersonResult>) -> Results {
        Results {
            told,
            ..Results::default()
        }
    }

    use DeductionOutcome::{AccountFrozen, Deducted, InsufficientBalance};

    #[test]
    fn what_fits_is_taken_whatever_its_order_and_only_deductions_are_money() {
        let results = results(vec![
            told("D", AccountFrozen, 0),
            told("A", Deducted, 100),
            told("C", Deducted, 102),
            told("B", Deducted, 101),
        ]);
        let compared = compare(october(), &asked(), &[], &results);
        assert_eq!(
            compared
                .fits
                .iter()
                .map(|told| told.person_no.as_str())
                .collect::<String>(),
            "ABCD"
        );
        assert_eq!(
            compared.money,
            BTreeMap::from([
                ((450_103, october()), Fen(202)),
                ((450_104, october()), Fen(101))
            ])
        );
        assert_eq!((compared.known, compared.odd.len()), (0, 0));
    }

    #[test]
    fn what_makes_up_for_earlier_months_goes_to_their_districts_and_months_and_every_fen_somewhere()
    {
        let august = Month::new(2021, 8).expect("a month");
        let carried =
            [(august, 450_105, 30), (october(), 450_103, 5)].map(|(month, district, fen)| {
                CarriedShortfall {
                    month,
                    district,
                    fen: Fen(fen),
                }
            });
        let asked = [PersonInstruction {
            carried: carried.to_vec(),
            ..asked()[0].clone()
        }];
        let results = results(vec![told("A", Deducted, 100)]);
        let compared = compare(october(), &asked, &[], &results);
        assert_eq!(
            compared.money,
            BTreeMap::from([
                ((450_103, october()), Fen(70)),
                ((450_105, august), Fen(30))
            ])
        );
        let frozen = self::results(vec![told("A", AccountFrozen, 0)]);
        assert!(compare(october(), &asked, &[], &frozen).money.is_empty());
    }

    #[test]
    fn other_amounts_unknown_people_and_contradictions_are_odd_and_never_taken() {
        let split = PersonResult {
            parts: Some([Fen(50), Fen(50), Fen(1)]),
            ..told("C", Deducted, 102)
        };
        let results = results(vec![
            told("A", Deducted, 99),
            told("B", InsufficientBalance, 101),
            split,
            told("E", Deducted, 100),
            told("D", Deducted, 103),
            told("D", AccountFrozen, 0),
        ]);
        let compared = compare(october(), &asked(), &[], &results);
        assert!(compared.fits.is_empty() && compared.money.is_empty());
        let kinds: Vec<_> = compared
            .odd
            .iter()
            .map(|odd| (odd.person_no.as_deref().unwrap(), odd.kind))
            .collect();
        use OddKind::{OtherAmount, OtherAnswer, UnknownPerson};
        assert_eq!(
            kinds,
            [
                ("A", OtherAmount),
                ("B", OtherAmount),
                ("C", OtherAmount),
                ("D", OtherAnswer),
                ("D", OtherAnswer),
                ("E", UnknownPerson)
            ]
        );
    }

    #[test]
    fn the_same_again_is_known_and_another_answer_is_odd() {
        let known = [
            ("A", Deducted, Fen(100)),
            ("B", InsufficientBalance, Fen(0)),
        ]
        .map(|(no, outcome, fen)| KnownResult {
            person_no: no.into(),
            outcome,
            fen,
            made_up: Vec::new(),
        });
        let results = results(vec![
            told("A", Deducted, 100),
            told("B", Deducted, 101),
            told("C", Deducted, 102),
            told("C", Deducted, 102),
        ]);
        let compared = compare(october(), &asked(), &known, &results);
        assert_eq!((compared.known, compared.fits.len()), (2, 1));
        assert_eq!(
            (compared.odd.len(), compared.odd[0].kind),
            (1, OddKind::OtherAnswer)
        );
        assert!(
            compared.odd[0]
                .words
                .contains("said before: insufficient_balance"),
            "{:?}",
            compared.odd[0]
        );
    }

    #[test]
    fn sub_accounts_that_add_up_are_kept() {
        let results = results(vec![PersonResult {
            parts: Some([Fen(60), Fen(40), Fen(0)]),
            ..told("A", Deducted, 100)
        }]);
        assert_eq!(compare(october(), &asked(), &[], &results).fits.len(), 1);
    }
}
