//! What a month asks of one insured person, the digest over everybody, and the totals.
//!
//! Pure: people come one at a time in order of their number, with the rate of their category and
//! what earlier months left open. It must not know where they are stored or who is told.
//!
//! The digest is SHA-256 over text, so that an auditor can make it again with no tool of ours. The
//! first line is `area<TAB>month` (`450100<TAB>202110`). Then one line per person in byte order of
//! the number, instructions and people left out together, nine columns separated by tabs:
//!
//! ```text
//! person_no  category  district  rate id  base  due  carried  due + carried  shortfall handling
//! person_no  category  district  reason   -     due  -        -              -            (left out; - is empty)
//! ```
//!
//! `base` is the one the rate is about, whosever it is: the person's own, their pension, the city's average.
//!
//! Amounts are whole fen. Backslash, tab, line feed and the like are escaped as PostgreSQL's COPY
//! does in text form, so COPY of these columns from a cycle's tables, with NULL as an empty string,
//! gives the same bytes.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::rate::IndividualRate;
use super::terms::{
    Bases, Basis, Frequency, MissingBase, Mode, NoAccount, RateTerms, ShortfallHandling,
};
use crate::model::deduction::Category;
use crate::model::{Fen, Month};

/// A person as the roster in force has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RosteredPerson<'a> {
    pub person_no: &'a str,
    pub category: Category,
    /// Six digits.
    pub district: i32,
    /// Has a personal account.
    pub account: bool,
    pub bases: Bases,
    /// Has chosen to pay once a year, since that month.
    pub yearly_since: Option<Month>,
    /// Shortfalls of earlier months that the rates carry over.
    pub carried: Fen,
}

/// What is to be taken from an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// The base it is a share of; of a fixed amount the person's own.
    pub base: Fen,
    /// Of this month.
    pub due: Fen,
    /// Of earlier months.
    pub carried: Fen,
    /// Both together.
    pub fen: Fen,
}

/// Why nothing is taken from somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoDeductionReason {
    /// No personal account; the rates list such people apart.
    NoAccount,
    /// No personal account; the rates waive it.
    Waived,
    /// No monthly rate by way of the personal account for the category, month and age.
    NoRate,
    /// Nothing due this month and nothing carried over; also of who has paid the year at once.
    NothingDue,
    /// The base the rate is about is not known of the person.
    NoBase(Basis),
    /// Several insurance relations, and nobody has decided which counts.
    TwoRelations,
}

impl NoDeductionReason {
    /// The word used in the database and reports.
    pub fn word(self) -> &'static str {
        match self {
            NoDeductionReason::NoAccount => "no_account",
            NoDeductionReason::Waived => "waived",
            NoDeductionReason::NoRate => "no_rate",
            NoDeductionReason::NothingDue => "nothing_due",
            NoDeductionReason::NoBase(Basis::EmployerBase) => "no_employer_base",
            NoDeductionReason::NoBase(Basis::OwnBase) => "no_own_base",
            NoDeductionReason::NoBase(Basis::OwnPensionLastYear) => "no_own_pension_last_year",
            NoDeductionReason::NoBase(Basis::CityAverageBase) => "no_city_average_base",
            NoDeductionReason::NoBase(Basis::AccountCreditBase) => "no_account_credit_base",
            NoDeductionReason::NoBase(Basis::AverageWageLastYear) => "no_average_wage_last_year",
            NoDeductionReason::TwoRelations => "two_relations",
        }
    }
}

/// What a month means for one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assessment {
    Deduct(Instruction),
    LeftOut {
        reason: NoDeductionReason,
        /// What would have been due.
        due: Fen,
    },
}

/// An amount or a sum that no column can hold; the person's number is safe to show to operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the amounts of person {0} add up to more than can be stored; correct the base in the roster"
)]
pub struct TooMuch(pub String);

/// What a person owes for a month by a rate; what earlier months left open stays open where nothing is taken.
///
/// # Errors
/// The amounts do not fit in 64 bits.
pub fn assess(
    month: Month,
    person: &RosteredPerson<'_>,
    rate: Option<&IndividualRate>,
) -> Result<Assessment, TooMuch> {
    let Some(rate) = rate.filter(|rate| rate.by_account()) else {
        return Ok(Assessment::LeftOut {
            reason: NoDeductionReason::NoRate,
            due: Fen::ZERO,
        });
    };
    let waived = !person.account && rate.no_account() == Some(NoAccount::Waive);
    let due = match due(month, person, rate.terms()) {
        Err(_) if waived => Fen::ZERO,
        Err(MissingBase(basis)) => {
            return Ok(Assessment::LeftOut {
                reason: NoDeductionReason::NoBase(basis),
                due: Fen::ZERO,
            });
        }
        Ok(due) => due,
    };
    if !person.account {
        let reason = if waived {
            NoDeductionReason::Waived
        } else {
            NoDeductionReason::NoAccount
        };
        return Ok(Assessment::LeftOut { reason, due });
    }
    let fen = due
        .checked_add(person.carried)
        .ok_or_else(|| TooMuch(person.person_no.to_owned()))?;
    if fen == Fen::ZERO {
        return Ok(Assessment::LeftOut {
            reason: NoDeductionReason::NothingDue,
            due,
        });
    }
    Ok(Assessment::Deduct(Instruction {
        base: base(person, rate.terms()),
        due,
        carried: person.carried,
        fen,
    }))
}

/// What is due in a month: its own amount, or all of the year at once of who has chosen so where the rule lets them.
///
/// # Errors
/// The base the rule is about is not known.
pub fn due(
    month: Month,
    person: &RosteredPerson<'_>,
    terms: &RateTerms,
) -> Result<Fen, MissingBase> {
    match person
        .yearly_since
        .filter(|_| terms.frequency == Frequency::YearlyOrMonthly)
    {
        None => terms.due(&person.bases),
        Some(since) => terms.due_for(
            terms.months_of_a_year(month, since).unwrap_or(0),
            &person.bases,
        ),
    }
}

/// The base an amount is a share of.
fn base(person: &RosteredPerson<'_>, terms: &RateTerms) -> Fen {
    let own = || person.bases.own.or(person.bases.own_pension_last_year);
    let of = match terms.mode {
        Mode::Rate { basis, .. } => person.bases.of(basis).ok(),
        Mode::Fixed(_) | Mode::Waived => own(),
    };
    of.unwrap_or(Fen::ZERO)
}

/// The word of a rate's handling of shortfalls; a rate that names none is carried over.
pub fn shortfall_word(rate: &IndividualRate) -> &'static str {
    match rate.shortfall() {
        Some(ShortfallHandling::Retry) => "retry",
        Some(ShortfallHandling::Waive) => "waive",
        Some(ShortfallHandling::CarryOver) | None => "carry_over",
    }
}

/// The running digest over everybody; the layout is the module's.
pub struct PlanDigest {
    hash: Sha256,
    line: Vec<u8>,
}

impl PlanDigest {
    /// Over nobody yet, for an area and month.
    pub fn new(area: i32, month: Month) -> PlanDigest {
        let mut running = PlanDigest {
            hash: Sha256::new(),
            line: Vec::with_capacity(160),
        };
        running.number(i64::from(area), b'\t');
        running.number(i64::from(month.number()), b'\n');
        running.end();
        running
    }

    /// Adds an instruction under a rate.
    pub fn instruct(
        &mut self,
        person: &RosteredPerson<'_>,
        rate: &IndividualRate,
        instruction: &Instruction,
    ) {
        self.person(person);
        self.text(rate.id(), b'\t');
        for fen in [
            instruction.base,
            instruction.due,
            instruction.carried,
            instruction.fen,
        ] {
            self.number(fen.0, b'\t');
        }
        self.text(shortfall_word(rate), b'\n');
        self.end();
    }

    /// Adds somebody who is left out.
    pub fn leave_out(&mut self, person: &RosteredPerson<'_>, reason: NoDeductionReason, due: Fen) {
        self.person(person);
        self.text(reason.word(), b'\t');
        self.line.push(b'\t');
        self.number(due.0, b'\t');
        self.line.extend_from_slice(b"\t\t\n");
        self.end();
    }

    /// The digest over everybody added.
    pub fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }

    fn person(&mut self, person: &RosteredPerson<'_>) {
        self.text(person.person_no, b'\t');
        self.text(person.category.word(), b'\t');
        self.number(i64::from(person.district), b'\t');
    }

    fn text(&mut self, text: &str, end: u8) {
        for byte in text.bytes() {
            // The escapes of PostgreSQL's COPY, text format.
            let escaped = match byte {
                b'\\' => b'\\',
                b'\t' => b't',
                b'\n' => b'n',
                b'\r' => b'r',
                0x08 => b'b',
                0x0b => b'v',
                0x0c => b'f',
                plain => {
                    self.line.push(plain);
                    continue;
                }
            };
            self.line.extend_from_slice(&[b'\\', escaped]);
        }
        self.line.push(end);
    }

    fn number(&mut self, number: i64, end: u8) {
        let mut digits = [0_u8; 20];
        let (mut at, mut rest) = (digits.len(), number.unsigned_abs());
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            self.line.push(b'-');
        }
        self.line.extend_from_slice(&digits[at..]);
        self.line.push(end);
    }

    fn end(&mut self) {
        self.hash.update(&self.line);
        self.line.clear();
    }
}

/// What a plan asks of the people of one district and category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanTotal {
    pub people: i32,
    pub base: Fen,
    /// Of this month.
    pub due: Fen,
    /// Of earlier months.
    pub carried: Fen,
}

impl PlanTotal {
    /// What is to be taken.
    pub fn fen(&self) -> Fen {
        Fen(self.due.0 + self.carried.0)
    }

    /// Both together; `None` when it cannot be stored.
    pub fn plus(&self, other: &PlanTotal) -> Option<PlanTotal> {
        let sum = PlanTotal {
            people: self.people.checked_add(other.people)?,
            base: self.base.checked_add(other.base)?,
            due: self.due.checked_add(other.due)?,
            carried: self.carried.checked_add(other.carried)?,
        };
        sum.due.checked_add(sum.carried)?;
        Some(sum)
    }
}

/// Totals by district and category, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanTotals {
    pub cells: BTreeMap<(i32, Category), PlanTotal>,
    pub whole: PlanTotal,
}

impl PlanTotals {
    /// Adds an instruction.
    ///
    /// # Errors
    /// A sum does not fit in 64 bits; then nothing was added.
    pub fn add(
        &mut self,
        person: &RosteredPerson<'_>,
        instruction: &Instruction,
    ) -> Result<(), TooMuch> {
        let one = PlanTotal {
            people: 1,
            base: instruction.base,
            due: instruction.due,
            carried: instruction.carried,
        };
        let too_much = || TooMuch(person.person_no.to_owned());
        let whole = self.whole.plus(&one).ok_or_else(too_much)?;
        let cell = self
            .cells
            .entry((person.district, person.category))
            .or_default();
        *cell = cell.plus(&one).ok_or_else(too_much)?;
        self.whole = whole;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
