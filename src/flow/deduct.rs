//! A month's deductions: planned, approved by a second person, run once.
//!
//! The plan computes everybody and keeps totals and a digest; the run computes everybody again, and
//! unless it comes to the same digest nothing is sent. A person is deducted from once a month: one
//! cycle in the database, changed by one transaction at a time. What the core answers is another
//! flow's business; nothing is sent from here but rows the dispatcher takes up.

use std::sync::Arc;

use super::Gateway;
use super::clock::Clock;
use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::ledger::RateBook;
use crate::ledger::deduction::by_account;
use crate::model::Month;
use crate::store::Store;
use crate::store::deduction::{Cycle, Plan, State, Work};

pub(in crate::flow) mod compute; // everybody, one after the other
mod partners; // which core deducts where, and who is told
mod progress; // how far a run is, and when it ends
mod refusal; // what was asked cannot be done, and why
mod show; // a cycle as people look at it

pub use partners::{Core, DeductionPartners};
pub use progress::{Look, remaining};
pub use refusal::{Refusal, Why};
pub use show::{Change, Report, Seen};

/// Hexadecimal digits of a digest that have to be said at least.
const DIGEST_DIGITS_MIN: usize = 8;

/// A pooling area and a contribution month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Of {
    /// Six digits.
    pub area: i32,
    pub month: Month,
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:06} {}", self.area, self.month)
    }
}

/// Where cycles are decided about.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub book: Arc<RateBook>,
    pub clock: Clock,
    /// Who is asked to deduct, and who is told.
    pub partners: Arc<DeductionPartners>,
}

impl Desk {
    /// The desk of a running gateway.
    pub fn of(gateway: &Gateway) -> Desk {
        let (book, clock) = (gateway.book.clone(), gateway.registrar.clock.clone());
        Desk { store: gateway.store.clone(), book, clock, partners: gateway.transfer.partners.clone() }
    }

    /// The medical core that is asked to deduct in the area.
    ///
    /// # Errors
    /// No core is configured for the area, or nobody is told of its results.
    pub fn core(&self, of: Of) -> Result<&Core, Refusal> {
        self.partners.core(of)
    }

    /// Computes everybody, in place of an earlier plan that never ran; nothing is sent.
    ///
    /// # Errors
    /// There are no rates, no core or no roster, the month has not begun or runs already, or the database cannot be reached.
    pub async fn plan(&self, of: Of, by: &str) -> Result<Cycle, Refusal> {
        let by = name(by)?;
        self.check(of).await?;
        let (work, cycle) = Work::begin(&self.store, of.area, of.month).await?;
        match cycle {
            Some(cycle) if matches!(cycle.state, State::Running | State::Settled) => return Err(refusal::under_way(of, &cycle, "planned")),
            Some(cycle) => work.replace(cycle.cycle_id).await?,
            None => {}
        }
        let cycle_id = self.new_id().await?;
        let sheet = work.left_out(cycle_id).await?;
        let computed = compute::everybody(self, of, compute::Out::plan(sheet)).await?;
        if computed.totals.whole.people == 0 && !computed.anybody {
            return Err(refusal::no_roster(of));
        }
        work.plan(&Plan { cycle_id, digest: computed.digest, planned_by: by, cells: &computed.cells() }).await?;
        work.commit().await?;
        let gone = || Fault::later(Stage::Store, "the plan just written is not there; look at `ltcgw deduct status`");
        Ok(self.store.cycle(cycle_id).await?.ok_or_else(gone)?)
    }

    /// A second person approves the plan of that digest.
    ///
    /// # Errors
    /// The digest is another one, the person is who planned it, there is no plan, or the database cannot be reached.
    pub async fn approve(&self, of: Of, by: &str, digest: &str) -> Result<Cycle, Refusal> {
        let by = name(by)?;
        let (work, cycle) = Work::begin(&self.store, of.area, of.month).await?;
        let Some(mut cycle) = cycle else { return Err(refusal::no_plan(of)) };
        match cycle.state {
            State::Planned => {}
            State::Approved => return Err(refusal::approved_already(of, &cycle)),
            _ => return Err(refusal::under_way(of, &cycle, "approved")),
        }
        let said = digest.trim().trim_end_matches('…').to_ascii_lowercase();
        if said.len() < DIGEST_DIGITS_MIN || !hex(&cycle.digest).starts_with(&said) {
            return Err(refusal::wrong_digest(of, &said));
        }
        if same_person(by, &cycle.planned_by) {
            return Err(refusal::same_person(of, &cycle));
        }
        work.approve(cycle.cycle_id, by).await?;
        work.commit().await?;
        (cycle.state, cycle.approved_by) = (State::Approved, Some(by.to_owned()));
        Ok(cycle)
    }

    /// Writes the instructions of an approved cycle and queues them; all or nothing, and once.
    ///
    /// # Errors
    /// It is not approved, runs or ran already, comes to another digest than the plan, or goes to nobody; or the database cannot be reached.
    pub async fn run(&self, of: Of, by: &str) -> Result<Cycle, Refusal> {
        let by = name(by)?;
        let core = self.core(of)?;
        let (work, cycle) = Work::begin(&self.store, of.area, of.month).await?;
        let Some(cycle) = cycle else { return Err(refusal::no_plan(of)) };
        match cycle.state {
            State::Approved => {}
            State::Planned => return Err(refusal::not_approved(of, &cycle)),
            _ => return Err(refusal::under_way(of, &cycle, "run")),
        }
        let sheet = work.instructions(cycle.cycle_id).await?;
        let computed = compute::everybody(self, of, compute::Out::run(sheet, cycle.cycle_id, &core.receiver)).await?;
        if computed.digest.as_slice() != cycle.digest {
            return Err(refusal::roster_changed(of, &cycle, &computed));
        }
        let carried = work.carry(cycle.cycle_id, &computed.carrying).await?;
        if carried != computed.totals.whole.carried {
            return Err(refusal::shortfalls_changed(of));
        }
        let Some(batches) = computed.batches else { return Err(refusal::no_roster(of)) };
        work.rates(cycle.cycle_id, &computed.rates).await?;
        work.start(&self.store, cycle.cycle_id, by, batches).await?;
        work.commit().await?;
        Ok(Cycle { state: State::Running, rounds: 1, run_by: Some(by.to_owned()), ..cycle })
    }

    /// A further round for people left short whose rate says `retry`; with how many they are.
    ///
    /// # Errors
    /// The cycle is not settled, nobody is to be tried again, the area has no core, or the database cannot be reached.
    pub async fn retry(&self, of: Of) -> Result<(Cycle, i32), Refusal> {
        let core = self.core(of)?;
        let (work, cycle) = Work::begin(&self.store, of.area, of.month).await?;
        let Some(cycle) = cycle else { return Err(refusal::no_plan(of)) };
        if cycle.state != State::Settled {
            return Err(refusal::not_settled(of, &cycle));
        }
        let people = work.retry(&self.store, &cycle, &core.receiver).await?;
        if people == 0 {
            return Err(refusal::nobody_to_retry(of));
        }
        work.commit().await?;
        Ok((Cycle { state: State::Running, rounds: cycle.rounds + 1, settled_at: None, ..cycle }, people))
    }

    /// Whether there can be a cycle at all.
    async fn check(&self, of: Of) -> Result<(), Refusal> {
        let area = format!("{:06}", of.area);
        if !self.book.areas().any(|known| known == area) {
            return Err(refusal::unknown_area(of, self.book.areas()));
        }
        if Month::of(self.clock.today()).is_some_and(|now| of.month > now) {
            return Err(refusal::future_month(of, self.clock.today()));
        }
        if !self.book.individuals(&area, of.month).any(by_account) {
            return Err(refusal::no_rates(of));
        }
        self.core(of)?;
        if !self.store.has_roster(of.area, of.month).await? {
            return Err(refusal::no_roster(of));
        }
        Ok(())
    }

    async fn new_id(&self) -> Result<i64, Fault> {
        let ids = self.store.ids(1).await?;
        ids.first().copied().ok_or_else(|| Fault::later(Stage::Store, "the database gave no number for the cycle; try again"))
    }
}

/// Plans a month for a partner that asks. A plan works with two connections, so callers take turns with
/// packets posted on their own, and wait without a connection.
///
/// # Errors
/// The partner does not speak for the area; otherwise as [`Desk::plan`].
pub async fn plan_for(gateway: &Gateway, of: Of, partner: &Partner) -> Result<Cycle, Refusal> {
    speaks(partner, of.area)?;
    let _turn = gateway.alone.acquire().await.map_err(|_| Fault::later(Stage::Store, "the gateway is stopping; ask again"))?;
    Desk::of(gateway).plan(of, &format!("partner {}", partner.name)).await
}

/// A cycle as a partner that asks may see it, with what came of it; `None` where there is none of that id.
///
/// # Errors
/// The partner does not speak for the cycle's area, or the database cannot be reached.
pub async fn see_for(gateway: &Gateway, cycle_id: i64, partner: &Partner) -> Result<Option<(Seen, Report)>, Refusal> {
    let desk = Desk::of(gateway);
    let Some(cycle) = desk.store.cycle(cycle_id).await? else { return Ok(None) };
    speaks(partner, cycle.pooling_area)?;
    let report = desk.report(&cycle).await?;
    Ok(Some((desk.seen(cycle).await?, report)))
}

fn speaks(partner: &Partner, area: i32) -> Result<(), Refusal> {
    if partner.speaks_for(area) { Ok(()) } else { Err(refusal::not_its_own(partner, area)) }
}

/// A digest as people write it.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name(by: &str) -> Result<&str, Refusal> {
    let by = by.trim();
    if by.is_empty() { Err(refusal::nameless()) } else { Ok(by) }
}

fn same_person(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
