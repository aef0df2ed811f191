//! What was asked of a cycle cannot be done: why, and what to do instead.
//!
//! Texts are for operators and the core's people; they name areas, months, people who operate and
//! states, and nothing of any insured person but a number.

use data_encoding::HEXLOWER;

use super::{DIGEST_DIGITS_MIN, Of};
use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::flow::transfer::DEDUCTION_RESULTS;
use crate::ledger::deduction::{PlanTotal, TooMuch};
use crate::model::deduction::MESSAGE;
use crate::model::signer::{Login, NoProof, no_proof};
use crate::store::deduction::{Cycle, CycleState};

/// What kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeductionRefusalKind {
    /// There is nothing of the kind: area, rates, roster, plan.
    Missing,
    /// The cycle's state does not allow it.
    State,
    /// What was said is wrong: month, digest, name.
    Wrong,
    /// The partner that asks does not speak for the area.
    Foreign,
    /// The database or the configuration; the fault says which.
    Failed,
}

/// Why something was not done; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeductionRefusal {
    pub why: DeductionRefusalKind,
    pub fault: Fault,
}

impl From<Fault> for DeductionRefusal {
    fn from(fault: Fault) -> DeductionRefusal {
        DeductionRefusal {
            why: DeductionRefusalKind::Failed,
            fault,
        }
    }
}

fn refuse(why: DeductionRefusalKind, text: String) -> DeductionRefusal {
    DeductionRefusal {
        why,
        fault: Fault::operator(Stage::Apportion, text),
    }
}

pub(super) fn unknown_area<'a>(of: Of, known: impl Iterator<Item = &'a str>) -> DeductionRefusal {
    let known: Vec<&str> = known.collect();
    refuse(
        DeductionRefusalKind::Missing,
        format!(
            "no rates for pooling area {:06}; expected one of {} (rates_dir in gateway.toml)",
            of.area,
            known.join(", ")
        ),
    )
}

pub(super) fn no_core(of: Of) -> DeductionRefusal {
    let text = format!(
        "nobody deducts in pooling area {:06}: no partner that receives \"{MESSAGE}\" has it in `areas`; add it to `areas` of the area's medical insurance core in \
         partners.toml, with \"{MESSAGE}\" in `receives`, then restart the gateway",
        of.area
    );
    refuse(DeductionRefusalKind::Missing, text)
}

pub(super) fn nobody_told(of: Of) -> DeductionRefusal {
    let text = format!(
        "nobody is told what becomes of deductions in pooling area {:06}: no partner that receives \"{DEDUCTION_RESULTS}\" has it in `areas`; add it to `areas` of the \
         area's LTC system in partners.toml, with \"{DEDUCTION_RESULTS}\" in `receives`, then restart the gateway",
        of.area
    );
    refuse(DeductionRefusalKind::Missing, text)
}

pub(super) fn not_its_own(partner: &Partner, area: i32) -> DeductionRefusal {
    refuse(DeductionRefusalKind::Foreign, partner.not_its_own(area))
}

pub(super) fn no_rates(of: Of) -> DeductionRefusal {
    let text = format!(
        "nothing is taken from personal accounts in {of} by the rates of the area; expected a monthly rule with channel = \"personal_account\""
    );
    refuse(DeductionRefusalKind::Missing, text)
}

pub(super) fn future_month(of: Of, today: jiff::civil::Date) -> DeductionRefusal {
    refuse(
        DeductionRefusalKind::Wrong,
        format!(
            "{} has not begun: today is {today} (Asia/Shanghai); plan it once it has",
            of.month
        ),
    )
}

pub(super) fn no_roster(of: Of) -> DeductionRefusal {
    refuse(
        DeductionRefusalKind::Missing,
        format!(
            "nobody is on a roster for {of}; the medical insurance core has to send one first (POST /core/v1/roster)"
        ),
    )
}

pub(super) fn no_plan(of: Of) -> DeductionRefusal {
    refuse(
        DeductionRefusalKind::Missing,
        format!("there is no plan for {of}; run `ltcgw deduct plan` first"),
    )
}

pub(super) fn under_way(of: Of, cycle: &Cycle, verb: &str) -> DeductionRefusal {
    let now = match cycle.state {
        CycleState::Running => "is running".to_owned(),
        _ => cycle.settled_at.map_or_else(
            || "is settled".to_owned(),
            |at| format!("was settled at {}", moment(at)),
        ),
    };
    let since = cycle.started_at.map_or_else(String::new, |at| {
        format!(
            ", run by {} at {}",
            cycle.run_by.as_deref().unwrap_or("somebody"),
            moment(at)
        )
    });
    let text = format!(
        "the cycle of {of} {now}{since}; it cannot be {verb} again, a person is deducted from once a month. See `ltcgw deduct status`"
    );
    refuse(DeductionRefusalKind::State, text)
}

pub(super) fn approved_already(of: Of, cycle: &Cycle) -> DeductionRefusal {
    let by = cycle.approved_by.as_deref().unwrap_or("somebody");
    refuse(
        DeductionRefusalKind::State,
        format!(
            "the plan for {of} is approved already, by {by}; run it, or plan again: when the roster comes to something else, the new plan takes its place"
        ),
    )
}

pub(super) fn not_approved(of: Of, cycle: &Cycle) -> DeductionRefusal {
    let text = format!(
        "the plan for {of} is not approved; somebody other than {} looks at it and runs `ltcgw deduct approve` with its digest",
        cycle.planned_by
    );
    refuse(DeductionRefusalKind::State, text)
}

pub(super) fn not_settled(of: Of, cycle: &Cycle) -> DeductionRefusal {
    let text = format!(
        "the cycle of {of} is {}; people left short are tried again once everybody was answered",
        cycle.state.word()
    );
    refuse(DeductionRefusalKind::State, text)
}

pub(super) fn nobody_to_retry(of: Of) -> DeductionRefusal {
    let text = format!(
        "nobody of {of} is to be tried again: the last round left nobody short whose rate says shortfall = \"retry\""
    );
    refuse(DeductionRefusalKind::Missing, text)
}

pub(super) fn wrong_digest(of: Of, said: &str) -> DeductionRefusal {
    let said = said.trim().trim_end_matches('…');
    let found = if said.len() < DIGEST_DIGITS_MIN {
        format!("{} digits were given", said.len())
    } else {
        "the one given is another".to_owned()
    };
    let text = format!(
        "that is not the digest of the plan for {of}: {found}; expected its first {DIGEST_DIGITS_MIN} hexadecimal digits or more. \
         Look at the plan as it is now (`ltcgw deduct status`): it may have been made anew"
    );
    refuse(DeductionRefusalKind::Wrong, text)
}

pub(super) fn same_person(of: Of, cycle: &Cycle) -> DeductionRefusal {
    let text = format!(
        "{} made the plan for {of} and cannot approve it; a second person has to look at it (--by NAME)",
        cycle.planned_by
    );
    refuse(DeductionRefusalKind::Wrong, text)
}

/// Why an approval under this login does not show that a second person looked; none when it does.
pub(super) fn unproved(of: Of, cycle: &Cycle, login: Option<&Login>) -> Option<DeductionRefusal> {
    let allow = "`[approval] same_login = true` in gateway.toml gives the second look up";
    let text = match no_proof(cycle.planned_login.as_ref(), login)? {
        NoProof::FirstUnknown => format!(
            "under which login the plan for {of} was made is not known, so nobody can be shown to be another person; plan it again, in its place \
             (`ltcgw deduct plan --replace {}`), under a login of this system. {allow}",
            &HEXLOWER.encode(&cycle.digest)[..DIGEST_DIGITS_MIN]
        ),
        NoProof::SecondUnknown => format!(
            "no login shows who approves the plan for {of}: no audit uid, no sudo from an account of one's own, no account of this process; approve it from a \
             session of your own (ssh, console, or sudo from it). {allow}"
        ),
        NoProof::OneLogin(planner, approver) => format!(
            "the plan for {of} was made under the login {planner}, and this is {approver}: the same login shows no second person, whatever --by says; somebody else \
             approves it from a session of their own. {allow}"
        ),
    };
    Some(refuse(DeductionRefusalKind::Wrong, text))
}

/// The digest is of a plan that another took the place of.
pub(super) fn replaced(of: Of, earlier: &Cycle, now: &Cycle) -> DeductionRefusal {
    let text = format!(
        "that is the digest of a plan for {of} that counts no more: {} put another in its place at {}, of {} people and {} yuan (it was {} and {}). Look at the plan as \
         it is now (`ltcgw deduct status`)",
        now.planned_by,
        moment(now.planned_at),
        now.people,
        now.fen,
        earlier.people,
        earlier.fen
    );
    refuse(DeductionRefusalKind::Wrong, text)
}

pub(super) fn roster_changed(
    of: Of,
    cycle: &Cycle,
    (whole, digest): (&PlanTotal, &[u8; 32]),
) -> DeductionRefusal {
    let text = format!(
        "the roster changed since the plan for {of} was approved: planned were {} people and {} yuan, now it is {} and {} (digest {}…, approved {}…). \
         Nothing was sent; plan and approve again",
        cycle.people,
        cycle.fen,
        whole.people,
        whole.fen(),
        &HEXLOWER.encode(digest)[..12],
        &HEXLOWER.encode(&cycle.digest)[..12]
    );
    refuse(DeductionRefusalKind::State, text)
}

pub(super) fn shortfalls_changed(of: Of) -> DeductionRefusal {
    let text = format!(
        "what earlier months left open changed while {of} was computed. Nothing was sent; run it again, or plan and approve again"
    );
    refuse(DeductionRefusalKind::State, text)
}

pub(super) fn too_much(error: &TooMuch) -> DeductionRefusal {
    refuse(DeductionRefusalKind::Wrong, error.to_string())
}

/// A moment in the city's time, to the minute.
fn moment(at: jiff::Timestamp) -> String {
    at.to_zoned(crate::flow::clock::shanghai())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}
