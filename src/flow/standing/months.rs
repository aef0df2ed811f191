//! The facts of one person in one month: roster, own deduction, employer's payments.
//!
//! Joins what is stored and reckons with rates; judges nothing.

use jiff::civil::Date;
use serde::Serialize;

use super::employer::{EmployerState, Reckoning, reckon};
use crate::flow::clock::day_of;
use crate::flow::deduct::compute::bases_of;
use crate::ledger::deduction::{Assessment, NoDeductionReason, RosteredPerson, assess, due};
use crate::ledger::{Fund, RateBook};
use crate::model::deduction::Category;
use crate::model::{Division, Fen, Month};
use crate::store::standing::{
    CycleExclusion, Deduction, EmployeeDetail, Payment, PersonFacts, RosterEntry,
};

/// What the roster in force says.
#[derive(Debug, Clone, Serialize)]
pub struct RosterFacts {
    pub category: String,
    pub account: bool,
    pub employer_no: Option<String>,
    pub pooling_area: i32,
    pub district: i32,
    pub from_month: String,
    pub roster_id: i64,
}

/// The person's own part.
#[derive(Debug, Clone, Serialize)]
pub struct OwnPart {
    /// `paid`; `short`; `waiting` for an answer; `not_asked` yet; `apart`: without an account, or not taken from it, so collected elsewhere; `none_due`;
    /// `person_unknown` and `deceased`: so says the core, and nothing is left short; `no_base`: the base of the rate is not known.
    pub state: &'static str,
    /// Due for the month alone.
    pub due_fen: i64,
    /// Of earlier months, asked together with it.
    pub carried_fen: i64,
    pub asked_fen: i64,
    pub taken_fen: i64,
    /// What the account did not cover of the month's own due, while nothing has made up for it.
    pub short_fen: i64,
    pub outcome: Option<String>,
    pub round: Option<i16>,
    pub cycle_id: Option<i64>,
    /// The day it was taken, also by a later month's deduction.
    pub paid_on: Option<Date>,
    /// The later cycle that took what was carried over.
    pub made_up_by: Option<i64>,
    /// Why it was left out.
    pub reason: Option<String>,
}

/// The employer's part.
#[derive(Debug, Clone, Serialize)]
pub struct EmployerPart {
    /// `paid`; `underpaid`; `missing`; `no_base`: money came, and nothing says of which base; `none_due`.
    pub state: &'static str,
    /// The first day from which the treasury has had all of it ever since.
    pub paid_on: Option<Date>,
    pub lines: Vec<EmployerPayment>,
    /// The person's own lines in the payments' detail, where looked for and found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<PaidDetail>,
}

/// A person's line in the detail of an employer's payment.
#[derive(Debug, Clone, Serialize)]
pub struct PaidDetail {
    pub receipt_no: String,
    pub detail_no: String,
    pub employer_base_fen: i64,
    pub employer_paid_fen: i64,
    pub employee_paid_fen: i64,
}

/// A payment of an employer for a month.
#[derive(Debug, Clone, Serialize)]
pub struct EmployerPayment {
    pub detail_no: String,
    pub receipt_no: String,
    pub payment_kind: String,
    pub district: i32,
    pub headcount: Option<i32>,
    pub employer_paid_fen: i64,
    pub medical_fen: i64,
    pub long_term_care_fen: i64,
    pub underpaid: bool,
    pub treasury_on: Date,
}

/// One month.
#[derive(Debug, Clone, Serialize)]
pub struct MonthFacts {
    pub month: String,
    pub due_on: Date,
    /// Nothing where the person was not insured.
    pub roster: Option<RosterFacts>,
    pub own: OwnPart,
    pub employer: EmployerPart,
}

/// What months are made of.
pub struct PaymentFacts<'a> {
    pub book: &'a RateBook,
    pub found: &'a PersonFacts,
}

/// The last day what is due for a month can be paid on time: the end of the month after.
pub fn due_on(month: Month) -> Date {
    let next = month.next();
    Date::new(next.year(), next.month(), 1)
        .expect("a month from 1990 to 2199 has a first day")
        .last_of_month()
}

impl PaymentFacts<'_> {
    /// What held of the person in a month: of each area the entry with the greatest month and roster; insured before not.
    pub fn in_force(&self, month: Month) -> Option<&RosterEntry> {
        // Entries are in order, so the last of an area that has come is the one in force there.
        let come = || {
            self.found
                .entries
                .iter()
                .filter(|entry| entry.from_month <= month.number())
        };
        let last_of_area = |entry: &&RosterEntry| {
            come()
                .rfind(|other| other.pooling_area == entry.pooling_area)
                .is_some_and(|last| std::ptr::eq(last, *entry))
        };
        come()
            .filter(last_of_area)
            .max_by_key(|entry| (entry.category.is_some(), entry.from_month, entry.roster_id))
    }

    /// Everything of a month.
    pub fn month(&self, month: Month) -> MonthFacts {
        let insured = self
            .in_force(month)
            .and_then(|entry| Some((entry, Category::of_word(entry.category.as_deref()?)?)));
        MonthFacts {
            month: month.to_string(),
            due_on: due_on(month),
            roster: insured.map(|(entry, category)| roster(entry, category)),
            own: self.own(month, insured),
            employer: self.employer(month, insured),
        }
    }

    fn own(&self, month: Month, insured: Option<(&RosterEntry, Category)>) -> OwnPart {
        let cycles: Vec<i64> = self
            .found
            .cycles
            .iter()
            .filter(|cycle| cycle.month == month.number())
            .map(|cycle| cycle.cycle_id)
            .collect();
        if let Some(deduction) = self
            .found
            .deductions
            .iter()
            .find(|deduction| cycles.contains(&deduction.cycle_id))
        {
            return self.deducted(deduction);
        }
        if let Some(left_out) = self
            .found
            .left_out
            .iter()
            .find(|left_out| cycles.contains(&left_out.cycle_id))
        {
            return apart(left_out);
        }
        if insured.is_some_and(|(entry, _)| entry.undecided) {
            return OwnPart {
                reason: Some("two_relations".into()),
                ..OwnPart::new("apart")
            };
        }
        let (state, due) = insured.map_or(("none_due", Fen::ZERO), |(entry, category)| {
            self.unplanned(month, entry, category)
        });
        OwnPart {
            due_fen: due.0,
            ..OwnPart::new(state)
        }
    }

    /// How it stands by the rates where no cycle has asked yet, and what is due: what a plan would ask, or what is
    /// collected elsewhere.
    fn unplanned(
        &self,
        month: Month,
        entry: &RosterEntry,
        category: Category,
    ) -> (&'static str, Fen) {
        let nothing = ("none_due", Fen::ZERO);
        let area = Division::from_number(entry.pooling_area);
        let rate = area.and_then(|area| {
            let rate = self.book.individual(area, month, category, entry.born_on)?;
            Some((rate, self.book.bases(area, month)))
        });
        let Some((rate, bases)) = rate else {
            return nothing;
        };
        let own = (entry.base.unwrap_or(Fen::ZERO), entry.account_credit_base);
        let person = RosteredPerson {
            person_no: "",
            category,
            district: entry.district,
            account: entry.account,
            bases: bases_of(bases, category, own),
            yearly_since: entry.yearly.then(|| self.yearly_since(entry)),
            carried: Fen::ZERO,
        };
        if !rate.by_account() {
            // Whether it was paid elsewhere, nobody tells us.
            return match due(month, &person, rate.terms()) {
                Err(_) => ("no_base", Fen::ZERO),
                Ok(Fen::ZERO) => nothing,
                Ok(due) => ("apart", due),
            };
        }
        match assess(month, &person, Some(rate)) {
            Ok(Assessment::Deduct(instruction)) => ("not_asked", instruction.due),
            Ok(Assessment::LeftOut {
                reason: NoDeductionReason::NoAccount,
                due,
            }) if due != Fen::ZERO => ("apart", due),
            Ok(Assessment::LeftOut {
                reason: NoDeductionReason::NoBase(_),
                ..
            }) => ("no_base", Fen::ZERO),
            Ok(Assessment::LeftOut { .. }) | Err(_) => nothing,
        }
    }

    /// Since which month the person has paid once a year, as entries without a break say.
    fn yearly_since(&self, entry: &RosterEntry) -> Month {
        let area = self
            .found
            .entries
            .iter()
            .filter(|other| other.pooling_area == entry.pooling_area);
        let so_far = area.take_while(|other| {
            (other.from_month, other.roster_id) <= (entry.from_month, entry.roster_id)
        });
        let so_far: Vec<&RosterEntry> = so_far.collect();
        let since = so_far
            .iter()
            .rev()
            .take_while(|entry| entry.yearly && entry.category.is_some())
            .last();
        since
            .and_then(|entry| Month::from_number(entry.from_month))
            .expect("the entry itself says so, and only months are stored")
    }

    fn deducted(&self, deduction: &Deduction) -> OwnPart {
        let part = OwnPart {
            due_fen: deduction.due.0,
            carried_fen: deduction.carried.0,
            asked_fen: deduction.asked.0,
            cycle_id: Some(deduction.cycle_id),
            ..OwnPart::new("waiting")
        };
        let Some(answer) = &deduction.answer else {
            return part;
        };
        let part = OwnPart {
            outcome: Some(answer.outcome.clone()),
            round: Some(answer.round),
            taken_fen: answer.taken.0,
            ..part
        };
        if answer.outcome == "deducted" {
            return OwnPart {
                state: "paid",
                paid_on: answer.at.map(day_of),
                ..part
            };
        }
        // Of whom the core does not know, or who has died, nothing is left short.
        if let Some(state) = ["person_unknown", "deceased"]
            .into_iter()
            .find(|word| *word == answer.outcome)
        {
            return OwnPart { state, ..part };
        }
        if deduction.due == Fen::ZERO {
            return OwnPart {
                state: "none_due",
                ..part
            };
        }
        let shortfall = self
            .found
            .shortfalls
            .iter()
            .find(|shortfall| shortfall.cycle_id == deduction.cycle_id);
        if shortfall.is_some_and(|shortfall| shortfall.handling == "waive") {
            return OwnPart {
                state: "none_due",
                reason: Some("waived".into()),
                ..part
            };
        }
        match self.made_up(deduction.cycle_id) {
            Some(later) => OwnPart {
                state: "paid",
                paid_on: later
                    .answer
                    .as_ref()
                    .and_then(|answer| answer.at)
                    .map(day_of),
                made_up_by: Some(later.cycle_id),
                ..part
            },
            None => OwnPart {
                state: "short",
                short_fen: deduction.due.0,
                ..part
            },
        }
    }

    /// The later deduction that took what a cycle left short.
    fn made_up(&self, cycle_id: i64) -> Option<&Deduction> {
        let shortfall = self
            .found
            .shortfalls
            .iter()
            .find(|shortfall| shortfall.cycle_id == cycle_id)?;
        let holder = shortfall
            .carried_into
            .filter(|holder| *holder != cycle_id)?;
        let deduction = self
            .found
            .deductions
            .iter()
            .find(|deduction| deduction.cycle_id == holder)?;
        (deduction.answer.as_ref()?.outcome == "deducted").then_some(deduction)
    }

    fn employer(&self, month: Month, insured: Option<(&RosterEntry, Category)>) -> EmployerPart {
        let nothing = EmployerPart {
            state: "none_due",
            paid_on: None,
            lines: Vec::new(),
            detail: Vec::new(),
        };
        let Some((entry, Category::Active)) = insured else {
            return nothing;
        };
        let rate = Division::from_number(entry.pooling_area)
            .and_then(|area| self.book.employer(area, month));
        let Some(rate) = rate.filter(|rate| {
            rate.parts()
                .any(|(fund, part)| fund == Fund::LongTermCare && part > 0)
        }) else {
            return nothing;
        };
        let is_theirs = |payment: &&Payment| {
            let of = (payment.contribution_month, payment.pooling_area);
            of == (month.number(), entry.pooling_area)
                && Some(&payment.employer_no) == entry.employer_no.as_ref()
        };
        let payments: Vec<&Payment> = self.found.payments.iter().filter(is_theirs).collect();
        let Reckoning {
            state, whole_since, ..
        } = reckon(payments.iter().copied(), rate);
        let paid_on = whole_since.filter(|_| state == EmployerState::Paid);
        EmployerPart {
            state: state.word(),
            paid_on,
            lines: payments.into_iter().map(EmployerPayment::of).collect(),
            detail: Vec::new(),
        }
    }
}

impl OwnPart {
    fn new(state: &'static str) -> OwnPart {
        OwnPart {
            state,
            due_fen: 0,
            carried_fen: 0,
            asked_fen: 0,
            taken_fen: 0,
            short_fen: 0,
            outcome: None,
            round: None,
            cycle_id: None,
            paid_on: None,
            made_up_by: None,
            reason: None,
        }
    }
}

impl EmployerPayment {
    /// A payment as answers show it.
    pub fn of(payment: &Payment) -> EmployerPayment {
        EmployerPayment {
            detail_no: payment.detail_no.clone(),
            receipt_no: payment.receipt_no.clone(),
            payment_kind: payment.payment_kind.word().to_string(),
            district: payment.district,
            headcount: payment.headcount,
            employer_paid_fen: payment.employer_paid.0,
            medical_fen: payment.medical.0,
            long_term_care_fen: payment.long_term_care.0,
            underpaid: payment.underpaid,
            treasury_on: payment.treasury_on,
        }
    }
}

impl PaidDetail {
    /// A line as answers show it.
    pub fn of(detail: &EmployeeDetail) -> PaidDetail {
        PaidDetail {
            receipt_no: detail.receipt_no.clone(),
            detail_no: detail.detail_no.clone(),
            employer_base_fen: detail.employer_base.0,
            employer_paid_fen: detail.employer_paid.0,
            employee_paid_fen: detail.employee_paid.0,
        }
    }
}

fn roster(entry: &RosterEntry, category: Category) -> RosterFacts {
    RosterFacts {
        category: category.word().to_string(),
        account: entry.account,
        employer_no: entry.employer_no.clone(),
        pooling_area: entry.pooling_area,
        district: entry.district,
        from_month: Month::from_number(entry.from_month)
            .map(|month| month.to_string())
            .unwrap_or_default(),
        roster_id: entry.roster_id,
    }
}

fn apart(left_out: &CycleExclusion) -> OwnPart {
    let state = match left_out.reason.as_str() {
        "no_account" | "two_relations" => "apart",
        "waived" | "no_rate" | "nothing_due" => "none_due",
        _ => "no_base",
    };
    OwnPart {
        due_fen: left_out.due.0,
        cycle_id: Some(left_out.cycle_id),
        reason: Some(left_out.reason.clone()),
        ..OwnPart::new(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_due_by_the_end_of_the_next() {
        for (month, day) in [
            (202_110, "2021-11-30"),
            (202_112, "2022-01-31"),
            (202_401, "2024-02-29"),
        ] {
            assert_eq!(
                due_on(Month::from_number(month).expect("a month")).to_string(),
                day
            );
        }
    }

    /// Own state and due of a retired person with an account, by one rule with these keys.
    fn own(rule: &str) -> (&'static str, i64) {
        let dir = tempfile::tempdir().expect("a folder");
        let text = format!(
            "area = \"450100\"\nname = \"Nanning\"\nsource = \"a test\"\n[[rule]]\npayer = \"individual\"\nsegments = [\"retired\"]\nfrom = \"2021-03\"\nmode = \"fixed\"\namount = \"30.00\"\nrounding = \"fen_half_away\"\n{rule}"
        );
        std::fs::write(dir.path().join("450100-nanning.toml"), text).expect("a file");
        let book = RateBook::load(dir.path()).expect("rates");
        let entry = RosterEntry {
            pooling_area: 450_100,
            from_month: 202_103,
            roster_id: 1,
            category: Some("retired".into()),
            account: true,
            employer_no: None,
            district: 450_103,
            base: Some(Fen(300_000)),
            born_on: None,
            account_credit_base: None,
            yearly: false,
            undecided: false,
        };
        let found = PersonFacts {
            entries: vec![entry],
            ..PersonFacts::default()
        };
        let facts = PaymentFacts {
            book: &book,
            found: &found,
        };
        let own = facts
            .month(Month::from_number(202_110).expect("a month"))
            .own;
        (own.state, own.due_fen)
    }

    #[test]
    fn what_the_account_does_not_pay_is_collected_apart_before_there_is_a_plan() {
        let account = "channel = \"personal_account\"\nno_account = \"list_apart\"\nshortfall = \"carry_over\"\n";
        assert_eq!(
            own(&format!("frequency = \"monthly\"\n{account}")),
            ("not_asked", 3_000)
        );
        for other in [
            format!("frequency = \"yearly\"\n{account}"),
            "frequency = \"monthly\"\nchannel = \"tax\"\n".into(),
        ] {
            assert_eq!(own(&other), ("apart", 3_000), "{other}");
        }
    }
}
