//! What a collection line states, against the rate in force in its contribution month.
//!
//! Apportionment always uses the rate in force, never the stated one; this check finds lines whose
//! sender believed in another rate, or whose sign contradicts their kind, before money is posted.
//!
//! | kind            | stated rate must be in force | paid           | less than base x rate |
//! |-----------------|------------------------------|----------------|-----------------------|
//! | normal          | yes                          | zero or more   | flagged underpaid     |
//! | refund          | yes: it returns that month's premium | zero or less | -             |
//! | back_payment    | yes: it is that month's premium, late | zero or more | - (may be an instalment) |
//! | base_adjustment, rate_adjustment | no: a difference may be stated at any rate | any sign | - |
//!
//! A normal or back payment of something on a base of nothing is flagged, too.

use super::rate::EmployerRate;
use super::terms::{due, percent};
use crate::model::{Fen, Month, PaymentKind};

/// Whether a line of that kind must state the rate in force.
fn states_the_rate(kind: PaymentKind) -> bool {
    matches!(
        kind,
        PaymentKind::Normal | PaymentKind::Refund | PaymentKind::BackPayment
    )
}

/// What a line states about the employer's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatedLine {
    pub kind: PaymentKind,
    pub month: Month,
    /// Millionths.
    pub rate: i64,
    pub base: Fen,
    pub paid: Fen,
}

/// What is remarkable about a line that is posted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Less was paid than base x rate, rounded to the fen.
    pub underpaid: bool,
    /// Something was paid on a base of nothing.
    pub without_base: bool,
}

/// Why a line cannot be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssessmentRefusal {
    /// The canonical field at fault, a name of `employer_collection`.
    pub field: &'static str,
    /// What was found and what was expected; holds no private data.
    pub text: String,
}

/// Checks a line against the rate in force; the caller looked that up by the line's area and month.
pub fn assess(rate: &EmployerRate, line: &StatedLine) -> Result<Flags, AssessmentRefusal> {
    let refuse = |field, text| Err(AssessmentRefusal { field, text });
    let kind = line.kind.word();
    if states_the_rate(line.kind) && line.rate != rate.whole() {
        let (stated, month, whole, id) = (
            percent(line.rate),
            line.month,
            percent(rate.whole()),
            rate.id(),
        );
        return refuse(
            "employer_rate",
            format!("stated rate {stated} is not in force in {month}; in force is {whole} ({id})"),
        );
    }
    if line.kind == PaymentKind::Refund && line.paid > Fen::ZERO {
        return refuse(
            "employer_paid",
            format!(
                "a {kind} of {} yuan; expected zero or a negative amount",
                line.paid
            ),
        );
    }
    if matches!(line.kind, PaymentKind::Normal | PaymentKind::BackPayment) && line.paid < Fen::ZERO
    {
        return refuse(
            "employer_paid",
            format!(
                "a {kind} payment of {} yuan; expected zero or more (refunds have a kind of their own)",
                line.paid
            ),
        );
    }
    if line.kind == PaymentKind::Normal && line.base < Fen::ZERO {
        return refuse(
            "employer_base",
            format!(
                "a {kind} payment on a base of {} yuan; expected zero or more",
                line.base
            ),
        );
    }
    Ok(Flags {
        underpaid: line.kind == PaymentKind::Normal && line.paid < due(line.base, rate.whole()),
        without_base: matches!(line.kind, PaymentKind::Normal | PaymentKind::BackPayment)
            && line.paid > Fen::ZERO
            && line.base == Fen::ZERO,
    })
}
