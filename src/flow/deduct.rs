//! A month's deductions: planned, approved by a second person, run once.
//!
//! The plan computes everybody and keeps totals and a digest; the run computes everybody again, and
//! unless it comes to the same digest nothing is sent. A person is deducted from once a month: one
//! cycle in the database, changed by one transaction at a time. What the core answers is another
//! flow's business; nothing is sent from here but rows the dispatcher takes up.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::Gateway;
use super::clock::CityClock;
use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::ledger::RateBook;
use crate::model::signer::{Login, Signer, same_name};
use crate::model::{Division, Month};
use crate::store::Store;
use crate::store::deduction::{Cycle, CycleState, DeductionPlan, Work};

pub(in crate::flow) mod compute; // everybody, one after the other
mod partners; // which core deducts where, and who is told
mod progress; // how far a run is, and when it ends
mod refusal; // what was asked cannot be done, and why
mod show; // a cycle as people look at it

pub use partners::{Core, DeductionPartners};
pub use progress::{Look, remaining};
pub use refusal::{DeductionRefusal, DeductionRefusalKind};
pub use show::{ComparedCycle, CycleReport, TotalChange};

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
    pub clock: CityClock,
    /// Who is asked to deduct, and who is told.
    pub partners: Arc<DeductionPartners>,
    /// Whether one login may plan and approve: `[approval] same_login`.
    pub same_login: bool,
}

impl Desk {
    /// The desk of a running gateway.
    pub fn of(gateway: &Gateway) -> Desk {
        let (book, clock) = (gateway.book.clone(), gateway.registrar.clock.clone());
        let same_login = gateway.config.gateway.approval.same_login;
        Desk {
            store: gateway.store.clone(),
            book,
            clock,
            partners: gateway.transfer.partners.clone(),
            same_login,
        }
    }

    /// The medical core that is asked to deduct in the area.
    ///
    /// # Errors
    /// No core is configured for the area, or nobody is told of its results.
    pub fn core(&self, of: Of) -> Result<&Core, DeductionRefusal> {
        self.partners.core(of)
    }

    /// Computes everybody; nothing is sent. A plan there is of the same content stays as it is; one of other content that
    /// never ran ends, with its approval, and [`Cycle::replaces`] names it: whoever plans has to be told.
    ///
    /// # Errors
    /// There are no rates, no core or no roster, the month has not begun or runs already, or the database cannot be reached.
    pub async fn plan(&self, of: Of, by: &Signer) -> Result<Cycle, DeductionRefusal> {
        self.plan_anew(of, by, None).await
    }

    /// The same in place of the plan of that digest and no other, also when nothing changed.
    ///
    /// # Errors
    /// As [`Desk::plan`], or the digest is another one.
    pub async fn plan_in_place(
        &self,
        of: Of,
        by: &Signer,
        digest: &str,
    ) -> Result<Cycle, DeductionRefusal> {
        self.plan_anew(of, by, Some(digest)).await
    }

    async fn plan_anew(
        &self,
        of: Of,
        by: &Signer,
        instead_of: Option<&str>,
    ) -> Result<Cycle, DeductionRefusal> {
        self.check(of).await?;
        let (work, earlier) = Work::begin(&self.store, of.area, of.month).await?;
        if let Some(cycle) = &earlier {
            match instead_of {
                _ if matches!(cycle.state, CycleState::Running | CycleState::Settled) => {
                    return Err(refusal::under_way(of, cycle, "planned"));
                }
                Some(digest) if starts(cycle, digest) => work.replace(cycle.cycle_id).await?,
                Some(digest) => return Err(self.wrong_digest(of, cycle, digest).await?),
                None => {}
            }
        }
        let cycle_id = self.new_id().await?;
        let sheet = work.left_out(cycle_id).await?;
        let computed = compute::everybody(self, of, compute::Out::plan(sheet)).await?;
        if computed.totals.whole.people == 0 && !computed.anybody {
            return Err(refusal::no_roster(of));
        }
        match &earlier {
            Some(cycle) if instead_of.is_none() && computed.digest.as_slice() == cycle.digest => {
                return Ok(cycle.clone());
            }
            Some(cycle) if instead_of.is_none() => work.replace(cycle.cycle_id).await?,
            _ => {}
        }
        let replaces = earlier.as_ref().map(|cycle| cycle.cycle_id);
        work.plan(&DeductionPlan {
            cycle_id,
            digest: computed.digest,
            planned_by: by,
            replaces,
            cells: &computed.cells(),
        })
        .await?;
        work.commit().await?;
        if let Some(cycle) = earlier {
            let (area, month, digest) = (
                of.area,
                of.month,
                &HEXLOWER.encode(&cycle.digest)[..DIGEST_DIGITS_MIN],
            );
            tracing::warn!(area, %month, digest, by = %by.name, approved = cycle.approved_by.is_some(), "a plan was put in the place of another");
        }
        let gone = || {
            Fault::later(
                Stage::Store,
                "the plan just written is not there; look at `ltcgw deduct status`",
            )
        };
        Ok(self.store.cycle(cycle_id).await?.ok_or_else(gone)?)
    }

    /// The plan in whose place a plan was put, if it was.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn replaced_by(&self, cycle: &Cycle) -> Result<Option<Cycle>, Fault> {
        match cycle.replaces {
            Some(id) => self.store.cycle(id).await,
            None => Ok(None),
        }
    }

    /// Why a digest is not that of the plan there is.
    async fn wrong_digest(
        &self,
        of: Of,
        cycle: &Cycle,
        digest: &str,
    ) -> Result<DeductionRefusal, Fault> {
        let earlier = self
            .replaced_by(cycle)
            .await?
            .filter(|earlier| starts(earlier, digest));
        Ok(earlier.map_or_else(
            || refusal::wrong_digest(of, digest),
            |earlier| refusal::replaced(of, &earlier, cycle),
        ))
    }

    /// A second person approves the plan of that digest.
    ///
    /// # Errors
    /// The digest is another one, the person is who planned it or may be by their login, there is no plan, or the database
    /// cannot be reached.
    pub async fn approve(
        &self,
        of: Of,
        by: &Signer,
        digest: &str,
    ) -> Result<Cycle, DeductionRefusal> {
        let (work, cycle) = Work::begin(&self.store, of.area, of.month).await?;
        let Some(mut cycle) = cycle else {
            return Err(refusal::no_plan(of));
        };
        match cycle.state {
            CycleState::Planned => {}
            CycleState::Approved => return Err(refusal::approved_already(of, &cycle)),
            _ => return Err(refusal::under_way(of, &cycle, "approved")),
        }
        if !starts(&cycle, digest) {
            return Err(self.wrong_digest(of, &cycle, digest).await?);
        }
        if same_name(&by.name, &cycle.planned_by) {
            return Err(refusal::same_person(of, &cycle));
        }
        let unproved = refusal::unproved(of, &cycle, by.login.as_ref());
        if let Some(refusal) = unproved.as_ref().filter(|_| !self.same_login) {
            return Err(refusal.clone());
        }
        let same_login = unproved.is_some();
        work.approve(cycle.cycle_id, by, same_login).await?;
        work.commit().await?;
        (
            cycle.state,
            cycle.approved_by,
            cycle.approved_login,
            cycle.same_login,
        ) = (
            CycleState::Approved,
            Some(by.name.clone()),
            by.login.clone(),
            same_login,
        );
        Ok(cycle)
    }

    /// Writes the instructions of an approved cycle and queues them; all or nothing, and once.
    ///
    /// # Errors
    /// It is not approved, or by nobody who is provably another; runs or ran already, comes to another digest than the plan,
    /// or goes to nobody; or the database cannot be reached.
    pub async fn run(&self, of: Of, by: &Signer) -> Result<Cycle, DeductionRefusal> {
        let core = self.core(of)?;
        let (work, cycle) = Work::begin(&self.store, of.area, of.month).await?;
        let Some(cycle) = cycle else {
            return Err(refusal::no_plan(of));
        };
        match cycle.state {
            CycleState::Approved => {}
            CycleState::Planned => return Err(refusal::not_approved(of, &cycle)),
            _ => return Err(refusal::under_way(of, &cycle, "run")),
        }
        if let Some(refusal) = refusal::unproved(of, &cycle, cycle.approved_login.as_ref())
            .filter(|_| !self.same_login)
        {
            return Err(refusal);
        }
        let sheet = work.instructions(cycle.cycle_id).await?;
        let computed = compute::everybody(
            self,
            of,
            compute::Out::run(sheet, cycle.cycle_id, &core.receiver),
        )
        .await?;
        if computed.digest.as_slice() != cycle.digest {
            return Err(refusal::roster_changed(
                of,
                &cycle,
                (&computed.totals.whole, &computed.digest),
            ));
        }
        let carried = work.carry(cycle.cycle_id, &computed.carrying).await?;
        if carried != computed.totals.whole.carried {
            return Err(refusal::shortfalls_changed(of));
        }
        let Some(batches) = computed.batches else {
            return Err(refusal::no_roster(of));
        };
        work.rates(cycle.cycle_id, &computed.rates).await?;
        work.start(&self.store, cycle.cycle_id, &by.name, batches)
            .await?;
        work.commit().await?;
        Ok(Cycle {
            state: CycleState::Running,
            rounds: 1,
            run_by: Some(by.name.clone()),
            ..cycle
        })
    }

    /// A further round for people left short whose rate says `retry`; with how many they are.
    ///
    /// # Errors
    /// The cycle is not settled, nobody is to be tried again, the area has no core, or the database cannot be reached.
    pub async fn retry(&self, of: Of) -> Result<(Cycle, i32), DeductionRefusal> {
        let core = self.core(of)?;
        let (work, cycle) = Work::begin(&self.store, of.area, of.month).await?;
        let Some(cycle) = cycle else {
            return Err(refusal::no_plan(of));
        };
        if cycle.state != CycleState::Settled {
            return Err(refusal::not_settled(of, &cycle));
        }
        let people = work.retry(&self.store, &cycle, &core.receiver).await?;
        if people == 0 {
            return Err(refusal::nobody_to_retry(of));
        }
        work.commit().await?;
        Ok((
            Cycle {
                state: CycleState::Running,
                rounds: cycle.rounds + 1,
                settled_at: None,
                ..cycle
            },
            people,
        ))
    }

    /// Whether there can be a cycle at all.
    async fn check(&self, of: Of) -> Result<(), DeductionRefusal> {
        let area = format!("{:06}", of.area);
        if !self.book.areas().any(|known| known == area) {
            return Err(refusal::unknown_area(of, self.book.areas()));
        }
        if Month::of(self.clock.today()).is_some_and(|now| of.month > now) {
            return Err(refusal::future_month(of, self.clock.today()));
        }
        let asked =
            Division::from_number(of.area).is_some_and(|area| self.book.deducts(area, of.month));
        if !asked {
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
        ids.first().copied().ok_or_else(|| {
            Fault::later(
                Stage::Store,
                "the database gave no number for the cycle; try again",
            )
        })
    }
}

/// Plans a month for a partner that asks. A plan works with two connections, so callers take turns with
/// packets posted on their own, and wait without a connection.
///
/// # Errors
/// The partner does not speak for the area; otherwise as [`Desk::plan`], or with a digest as [`Desk::plan_in_place`].
pub async fn plan_for(
    gateway: &Gateway,
    of: Of,
    partner: &Partner,
    replaces: Option<&str>,
) -> Result<Cycle, DeductionRefusal> {
    speaks(partner, of.area)?;
    let _turn = gateway.alone.wait(&partner.name).await;
    let by = Signer {
        name: format!("partner {}", partner.name),
        login: Some(Login::of_partner(&partner.name)),
    };
    Desk::of(gateway).plan_anew(of, &by, replaces).await
}

/// A cycle as a partner that asks may see it, with what came of it; `None` where there is none of that id.
///
/// # Errors
/// The partner does not speak for the cycle's area, or the database cannot be reached.
pub async fn see_for(
    gateway: &Gateway,
    cycle_id: i64,
    partner: &Partner,
) -> Result<Option<(ComparedCycle, CycleReport)>, DeductionRefusal> {
    let desk = Desk::of(gateway);
    let Some(cycle) = desk.store.cycle(cycle_id).await? else {
        return Ok(None);
    };
    speaks(partner, cycle.pooling_area)?;
    let report = desk.report(&cycle).await?;
    Ok(Some((desk.seen(cycle).await?, report)))
}

fn speaks(partner: &Partner, area: i32) -> Result<(), DeductionRefusal> {
    if partner.speaks_for(area) {
        Ok(())
    } else {
        Err(refusal::not_its_own(partner, area))
    }
}

/// Whether those are the first digits of a plan's digest, and enough of them.
fn starts(cycle: &Cycle, digest: &str) -> bool {
    let said = digest.trim().trim_end_matches('…').to_ascii_lowercase();
    said.len() >= DIGEST_DIGITS_MIN && HEXLOWER.encode(&cycle.digest).starts_with(&said)
}
