//! Collection lines after every check: what is stored, posted and delivered.
//!
//! Borrowed from the record being read, so that a million lines pass without allocation. Nothing
//! here decides anything; `flow::collect` builds these, the store writes them.

use jiff::civil::{Date, DateTime};

use super::{Division, Fen, HistoryId, Month, PaymentKind};

/// What every collection line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineHead<'a> {
    /// Position in the packet, from 1.
    pub record_index: i32,
    pub detail_no: &'a str,
    /// Takes the line of the same detail number back.
    pub revoke: bool,
    pub pooling_area: Division,
    /// Where the fund is accounted under.
    pub district: Division,
    pub levy_no: Option<&'a str>,
    pub receipt_no: &'a str,
    pub insurance: &'static str,
    pub employer_no: &'a str,
    pub contribution_month: Month,
    pub payment_kind: PaymentKind,
    pub remitted_on: Option<Date>,
    pub treasury_on: Date,
    pub tax_office: Option<&'a str>,
    pub transfer_batch: Option<&'a str>,
    pub transferred_at: Option<DateTime>,
    /// Of the record that states it; told apart by it inside a packet, and not stored.
    pub record_id: Option<&'a str>,
}

/// The money of an employer's line; negative in refunds and revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineMoney {
    pub employer: Fen,
    pub employees: Fen,
    pub late_fee: Fen,
    pub interest: Fen,
    pub other_interest: Fen,
    /// Where it all went: the five above add up to these two.
    pub medical: Fen,
    pub long_term_care: Fen,
}

impl LineMoney {
    /// Everything paid by the line, or `None` when it leaves `i64`.
    pub fn total(&self) -> Option<Fen> {
        [
            self.employees,
            self.late_fee,
            self.interest,
            self.other_interest,
        ]
        .iter()
        .try_fold(self.employer, |sum, part| sum.checked_add(*part))
    }

    /// The same money in the other direction.
    #[must_use]
    pub fn negated(self) -> LineMoney {
        LineMoney {
            employer: self.employer.negated(),
            employees: self.employees.negated(),
            late_fee: self.late_fee.negated(),
            interest: self.interest.negated(),
            other_interest: self.other_interest.negated(),
            medical: self.medical.negated(),
            long_term_care: self.long_term_care.negated(),
        }
    }
}

/// An employer's payment for one month, apportioned as it is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmployerLine<'a> {
    pub head: LineHead<'a>,
    pub headcount: Option<i32>,
    pub wages: Option<Fen>,
    pub employer_base: Fen,
    pub employee_base: Option<Fen>,
    /// Millionths.
    pub employer_rate: i32,
    /// Millionths.
    pub employee_rate: Option<i32>,
    pub paid: LineMoney,
    /// The rate it was apportioned by.
    pub rate_id: &'a str,
    /// Less paid than base x rate.
    pub underpaid: bool,
    /// In the treasury before the day it was remitted.
    pub before_remittance: bool,
    /// Paid on a base of nothing.
    pub without_base: bool,
    pub history: HistoryId,
    /// Its place among the lines of the history's key, from 1; 0 until it has one.
    pub history_no: i32,
}

/// One person's part of an employer's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmployeeLine<'a> {
    pub head: LineHead<'a>,
    pub person_no: &'a str,
    pub wage: Option<Fen>,
    pub employer_base: Fen,
    pub employee_base: Option<Fen>,
    /// Millionths.
    pub employer_rate: Option<i32>,
    /// Millionths.
    pub employee_rate: Option<i32>,
    pub employer_paid: Fen,
    pub employee_paid: Fen,
    pub late_fee: Fen,
    pub interest: Fen,
}
