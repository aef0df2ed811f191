//! The verdict: paid in full and on time or not, and the sentences it rests on.
//!
//! Pure; knows facts of months and a day, nothing of where they came from.

use jiff::civil::Date;

use super::months::MonthFacts;

/// How good a part of a month is, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    NothingDue,
    OnTime,
    Late,
    CannotTell,
    NotInFull,
}

/// The verdict's word and its reasons: every part that is not as it should be, else one sentence.
pub fn of(months: &[MonthFacts], on: Date) -> (&'static str, Vec<String>) {
    let mut worst = Grade::NothingDue;
    let mut reasons = Vec::new();
    for month in months.iter().filter(|month| month.due_on <= on) {
        for (grade, reason) in [own(month, on), employer(month, on)] {
            worst = worst.max(grade);
            if grade >= Grade::Late {
                reasons.push(format!("{}: {reason}", month.month));
            }
        }
    }
    let (word, all) = match worst {
        Grade::NothingDue => ("nothing_due", "nothing was due up to this day"),
        Grade::OnTime => (
            "paid_on_time",
            "everything due up to this day was paid in full and on time",
        ),
        Grade::Late => ("paid_late", ""),
        Grade::CannotTell => ("cannot_tell", ""),
        Grade::NotInFull => ("not_paid_in_full", ""),
    };
    if !all.is_empty() {
        reasons.push(all.to_string());
    }
    (word, reasons)
}

fn own(month: &MonthFacts, on: Date) -> (Grade, String) {
    let part = &month.own;
    match part.state {
        "none_due" | "deceased" => (Grade::NothingDue, String::new()),
        "no_base" => (Grade::CannotTell, "own part: the base of the rate is not known, so nothing was asked".into()),
        "person_unknown" => (Grade::CannotTell, "own part: the medical insurance core does not know the person".into()),
        "apart" if part.reason.is_none() && month.roster.as_ref().is_some_and(|roster| roster.account) => (
            Grade::CannotTell,
            "own part: the rates do not take it from the personal account, so it is collected elsewhere and not known here".into(),
        ),
        "apart" => (Grade::CannotTell, "own part: there is no personal account, so it is collected elsewhere and not known here".into()),
        "paid" => paid("own part", part.paid_on, (month.due_on, on)),
        "short" => {
            let outcome = part.outcome.as_deref().unwrap_or_default();
            (Grade::NotInFull, format!("own part: the account did not cover it ({outcome}); {} fen short", part.short_fen))
        }
        "waiting" => (Grade::NotInFull, "own part: asked, and not answered yet".into()),
        _ => (Grade::NotInFull, "own part: not asked yet".into()),
    }
}

fn employer(month: &MonthFacts, on: Date) -> (Grade, String) {
    match month.employer.state {
        "none_due" => (Grade::NothingDue, String::new()),
        "paid" => paid(
            "employer's part",
            month.employer.paid_on,
            (month.due_on, on),
        ),
        "underpaid" => (
            Grade::NotInFull,
            "employer's part: all payments together are less than the rate asks".into(),
        ),
        "no_base" => (
            Grade::CannotTell,
            "employer's part: money came, and no payment that states a base".into(),
        ),
        _ => (
            Grade::NotInFull,
            "employer's part: no payment is in the treasury".into(),
        ),
    }
}

/// A part that was paid: before the day asked about, and before it was due?
fn paid(part: &str, paid_on: Option<Date>, (due_on, on): (Date, Date)) -> (Grade, String) {
    match paid_on {
        Some(day) if day > on => (
            Grade::NotInFull,
            format!("{part}: paid on {day}, after the day asked about"),
        ),
        Some(day) if day > due_on => (
            Grade::Late,
            format!("{part}: paid on {day}, due by {due_on}"),
        ),
        Some(_) => (Grade::OnTime, String::new()),
        None => (
            Grade::CannotTell,
            format!("{part}: paid, and the day is not known"),
        ),
    }
}
