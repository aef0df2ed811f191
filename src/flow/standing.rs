//! Who paid what: contributions of a person or an employer, and whether a person has paid.
//!
//! Reads and joins facts; the verdict on them is `verdict`'s. What "on time" means no source
//! says, so it is chosen here: **what is due for a month is due by the end of the month after**
//! ([`months::due_on`]). The employer's part counts from the day it was in the treasury, the own
//! part from the day its deduction was posted. What was due later than the day asked about is shown
//! and does not count.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::Serialize;

use super::Gateway;
use crate::error::Fault;
use crate::ledger::RateBook;
use crate::model::{Division, Fen, Month};
use crate::store::standing::Payment;

mod employer;
mod months;
mod verdict;

pub use months::{EmployerPart, EmployerPayment, MonthFacts, OwnPart, PaidDetail, RosterFacts};

use employer::{EmployerState, Reckoning, reckon};
use months::PaymentFacts;

/// Months of one question, and months a standing looks back.
pub const MONTHS_MAX: usize = 120;

/// Why a question has no answer.
#[derive(Debug)]
pub enum StandingRefusal {
    /// The parameters are wrong: which, what was found, what is expected.
    Bad(String),
    /// Nothing is known of the person or employer.
    Unknown(String),
    Failed(Fault),
}

impl From<Fault> for StandingRefusal {
    fn from(fault: Fault) -> StandingRefusal {
        StandingRefusal::Failed(fault)
    }
}

/// What was asked of a person and paid for it, month by month.
#[derive(Debug, Serialize)]
pub struct PersonContributions {
    pub person_no: String,
    pub from: String,
    pub to: String,
    pub months: Vec<MonthFacts>,
}

/// What an employer paid, with sums by month.
#[derive(Debug, Serialize)]
pub struct EmployerContributions {
    pub employer_no: String,
    pub from: String,
    pub to: String,
    pub months: Vec<EmployerMonth>,
}

/// One month of an employer.
#[derive(Debug, Serialize)]
pub struct EmployerMonth {
    pub month: String,
    /// `paid`, `underpaid`, `missing`, `no_base` or `none_due`, of all payments together.
    pub state: &'static str,
    /// Of the base last stated and its adjustments; nothing where no payment states a base.
    pub due_fen: Option<i64>,
    /// The first day from which the treasury has had all of it ever since.
    pub paid_on: Option<Date>,
    pub employer_paid_fen: i64,
    pub medical_fen: i64,
    pub long_term_care_fen: i64,
    pub underpaid: bool,
    pub lines: Vec<EmployerPayment>,
}

/// Whether a person has paid, up to a day.
#[derive(Debug, Serialize)]
pub struct PaymentStanding {
    pub person_no: String,
    pub on: String,
    /// `paid_on_time`, `paid_late`, `not_paid_in_full`, `cannot_tell` or `nothing_due`.
    pub verdict: &'static str,
    /// Whether the roster in force on the day names the person as insured.
    pub insured: bool,
    /// What the verdict rests on, a sentence each.
    pub reasons: Vec<String>,
    pub months: Vec<MonthFacts>,
}

/// What was asked of a person for the months `from` to `to`, and what was paid.
pub async fn person_contributions(
    gateway: &Gateway,
    person_no: &str,
    (from, to): (Month, Month),
) -> Result<PersonContributions, StandingRefusal> {
    let found = gateway
        .store
        .person_facts(&areas(gateway), person_no, (Some(from), to), true)
        .await?
        .ok_or_else(unknown_person)?;
    let facts = PaymentFacts {
        book: &gateway.book,
        found: &found,
    };
    let months = between(from, to).map(|month| {
        let mut shown = facts.month(month);
        let own = found
            .details
            .iter()
            .filter(|detail| detail.contribution_month == month.number());
        shown.employer.detail = own.map(PaidDetail::of).collect();
        shown
    });
    let months = months.collect();
    Ok(PersonContributions {
        person_no: person_no.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        months,
    })
}

/// What an employer paid for the months `from` to `to`; lines revoked or replaced are left out.
pub async fn employer_contributions(
    gateway: &Gateway,
    employer_no: &str,
    (from, to): (Month, Month),
) -> Result<EmployerContributions, StandingRefusal> {
    let unknown = || {
        StandingRefusal::Unknown("no payment of this employer was ever posted; expected an employer's number in medical insurance".into())
    };
    let payments = gateway
        .store
        .employer_payments(employer_no, (from, to))
        .await?
        .ok_or_else(unknown)?;
    let months = payments
        .chunk_by(|a, b| a.contribution_month == b.contribution_month)
        .map(|payments| employer_month(&gateway.book, payments))
        .collect();
    Ok(EmployerContributions {
        employer_no: employer_no.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        months,
    })
}

/// Whether a person has paid in full and on time what was due up to a day.
pub async fn standing(
    gateway: &Gateway,
    person_no: &str,
    on: Date,
) -> Result<PaymentStanding, StandingRefusal> {
    let this = Month::of(on).ok_or_else(|| {
        StandingRefusal::Bad(format!("on is {on}; expected a day from 1990 to 2199"))
    })?;
    let found = gateway
        .store
        .person_facts(&areas(gateway), person_no, (None, this), false)
        .await?
        .ok_or_else(unknown_person)?;
    let facts = PaymentFacts {
        book: &gateway.book,
        found: &found,
    };
    let first = found
        .entries
        .iter()
        .filter_map(|entry| Month::from_number(entry.from_month))
        .min()
        .unwrap_or(this);
    let mut months: Vec<MonthFacts> = between(first, this)
        .map(|month| facts.month(month))
        .collect();
    months.drain(..months.len().saturating_sub(MONTHS_MAX));
    let insured = facts
        .in_force(this)
        .is_some_and(|entry| entry.category.is_some());
    let (verdict, reasons) = verdict::of(&months, on);
    Ok(PaymentStanding {
        person_no: person_no.to_string(),
        on: on.to_string(),
        verdict,
        insured,
        reasons,
        months,
    })
}

fn employer_month(book: &RateBook, payments: &[Payment]) -> EmployerMonth {
    let month = payments
        .first()
        .and_then(|payment| Month::from_number(payment.contribution_month));
    // An employer may pay in several areas; the worst of them is how the month stands.
    let areas: BTreeSet<i32> = payments
        .iter()
        .map(|payment| payment.pooling_area)
        .collect();
    let reckoned = areas.iter().filter_map(|area| {
        let rate = book.employer(Division::from_number(*area)?, month?)?;
        Some(reckon(
            payments
                .iter()
                .filter(|payment| payment.pooling_area == *area),
            rate,
        ))
    });
    let reckoned: Vec<Reckoning> = reckoned.collect();
    let state = reckoned
        .iter()
        .map(|area| area.state)
        .max()
        .unwrap_or(EmployerState::NoneDue);
    let due = reckoned
        .iter()
        .map(|area| area.due)
        .try_fold(Fen::ZERO, |sum, due| sum.checked_add(due?))
        .filter(|_| !reckoned.is_empty());
    let sum = |of: fn(&Payment) -> Fen| {
        payments
            .iter()
            .fold(0_i64, |sum, payment| sum.saturating_add(of(payment).0))
    };
    EmployerMonth {
        month: month.map(|month| month.to_string()).unwrap_or_default(),
        state: state.word(),
        due_fen: due.map(|due| due.0),
        paid_on: reckoned
            .iter()
            .filter_map(|area| area.whole_since)
            .max()
            .filter(|_| state == EmployerState::Paid),
        employer_paid_fen: sum(|payment| payment.employer_paid),
        medical_fen: sum(|payment| payment.medical),
        long_term_care_fen: sum(|payment| payment.long_term_care),
        underpaid: state == EmployerState::Underpaid,
        lines: payments.iter().map(EmployerPayment::of).collect(),
    }
}

/// The months from one to another, both included.
pub fn between(from: Month, to: Month) -> impl Iterator<Item = Month> {
    std::iter::successors(Some(from), |month| {
        Some(month.next()).filter(|next| next > month)
    })
    .take_while(move |month| *month <= to)
}

/// Every pooling area with rates: a person may have come from another one.
fn areas(gateway: &Gateway) -> Vec<i32> {
    gateway
        .book
        .areas()
        .filter_map(|area| area.parse().ok())
        .collect()
}

fn unknown_person() -> StandingRefusal {
    StandingRefusal::Unknown(
        "no roster ever named this person; expected a number in medical insurance (psn_no)".into(),
    )
}
