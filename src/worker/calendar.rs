//! Looks at the registry's dates, and at deductions nobody answered: at the start, every minute, and
//! when the clock is set.
//!
//! One instance at a time does it, by the same kind of lease as dispatchers have; what it does is
//! told in `flow::publish::calendar` and `flow::transfer`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{Fault, Stage};
use crate::flow::Gateway;
use crate::flow::publish::calendar;
use crate::store::Pool;
use crate::store::delivery::{self, Lease};

/// The lease's name; no partner can have it.
const LEASE: &str = "@calendar";
/// How long an instance that died keeps others from it.
const TERM: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(60);

/// Runs until drained.
pub(super) async fn run(gateway: Gateway, pool: Pool, holder: String, drain: CancellationToken) {
    loop {
        // Asked for before looking, so that a clock set meanwhile is not missed.
        let changed = gateway.registrar.clock.changed();
        if let Err(fault) = look(&gateway, &pool, &holder).await {
            tracing::error!(%fault, "the registry's dates or unanswered deductions could not be looked at; tried again in a minute");
        }
        tokio::select! {
            () = drain.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            () = changed => {}
        }
    }
}

async fn look(gateway: &Gateway, pool: &Pool, holder: &str) -> Result<(), Fault> {
    let work = async {
        let turned = calendar::turn(gateway).await;
        let patience = Duration::from_secs(gateway.config.gateway.deliver.results_seconds);
        let looked = gateway.transfer.look(patience).await;
        turned.map(drop)?;
        looked.map(drop)
    };
    alone(pool, holder, TERM, work).await.unwrap_or(Ok(()))
}

/// Does the work while holding the lease, however long it takes; `None` when another instance holds it.
/// A lease that is lost ends the work where it stands: whoever took it begins anew.
pub(super) async fn alone(
    pool: &Pool,
    holder: &str,
    term: Duration,
    work: impl Future<Output = Result<(), Fault>>,
) -> Option<Result<(), Fault>> {
    let lease = match delivery::acquire(pool, LEASE, holder, term).await {
        Ok(Ok((lease, _))) => lease,
        Ok(Err(_)) => return None,
        Err(fault) => return Some(Err(fault)),
    };
    let done = tokio::select! {
        done = work => done,
        lost = kept(pool, &lease, term) => Err(lost),
    };
    let released = delivery::release(pool, &lease).await;
    Some(done.and(released))
}

/// Renews the lease at a third of its term; ends when it is lost, or could not be renewed for the whole of it.
async fn kept(pool: &Pool, lease: &Lease, term: Duration) -> Fault {
    let lost = || {
        Fault::later(
            Stage::Store,
            "the lease was lost while the registry's dates were looked at; whoever holds it goes on",
        )
    };
    let mut until = tokio::time::Instant::now() + term;
    loop {
        tokio::time::sleep(term / 3).await;
        let asked_at = tokio::time::Instant::now();
        match delivery::renew(pool, lease, term).await {
            Ok(Some(_)) => until = asked_at + term,
            Ok(None) => return lost(),
            Err(fault) if tokio::time::Instant::now() >= until => return fault,
            Err(fault) => tracing::warn!(%fault, "cannot renew the lease of the registry's dates"),
        }
    }
}
