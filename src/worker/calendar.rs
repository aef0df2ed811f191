//! Looks at the registry's dates, and at deductions nobody answered: at the start, every minute, and
//! when the clock is set.
//!
//! One instance at a time does it, by the same kind of lease as dispatchers have; what it does is
//! told in `flow::publish::calendar` and `flow::transfer`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Fault;
use crate::flow::Gateway;
use crate::flow::publish::calendar;
use crate::store::Pool;
use crate::store::delivery;

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
    let Some((lease, _)) = delivery::acquire(pool, LEASE, holder, TERM).await? else { return Ok(()) };
    let turned = calendar::turn(gateway).await;
    let patience = Duration::from_secs(gateway.config.gateway.deliver.results_seconds);
    let looked = gateway.transfer.look(patience).await;
    delivery::release(pool, &lease).await?;
    turned.map(drop)?;
    looked.map(drop)
}
