//! The loops that deliver: one dispatcher per destination, of which one among all instances works
//! at a time.
//!
//! Started after the listeners' state, woken after commits, drained on SIGTERM. What a delivery is
//! and what becomes of it is told in `flow::deliver` and `flow::inquire`; here is only when.

mod calendar; // the registry's dates
mod dispatcher; // one destination: lease, claim, spawn, settle
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Deliver;
use crate::flow::Gateway;
use crate::flow::deliver::{DeliveryFigures, Destination, PauseReason};
use crate::store::Pool;
use dispatcher::Dispatcher;

/// The running dispatchers of this instance; dropping it kills them where they stand.
pub struct Worker {
    dispatchers: Vec<Arc<Dispatcher>>,
    tasks: JoinSet<()>,
    drain: CancellationToken,
    waker: Waker,
}

/// Wakes dispatchers when something was queued; cheap to clone and to call.
#[derive(Debug, Clone, Default)]
pub struct Waker {
    by_destination: Arc<HashMap<String, Arc<Notify>>>,
}

impl Waker {
    /// Something was queued, and committed, for these destinations.
    pub fn wake<'a>(&self, destinations: impl IntoIterator<Item = &'a str>) {
        for notify in destinations
            .into_iter()
            .filter_map(|name| self.by_destination.get(name))
        {
            notify.notify_one();
        }
    }
}

/// What one dispatcher does and has done, for metrics.
#[derive(Debug, Clone)]
pub struct Status {
    pub destination: String,
    /// This instance holds the destination's lease.
    pub holds_lease: bool,
    /// The breaker is open or probing.
    pub breaker_open: bool,
    /// Why the destination is paused or being probed.
    pub paused: Option<PauseReason>,
    pub under_way: usize,
    pub figures: DeliveryFigures,
}

/// Looks at the dispatchers; cheap to clone.
#[derive(Clone)]
pub struct Watcher {
    dispatchers: Vec<Arc<Dispatcher>>,
}

impl Watcher {
    /// What each dispatcher does now.
    pub fn status(&self) -> Vec<Status> {
        self.dispatchers
            .iter()
            .map(|dispatcher| dispatcher.status())
            .collect()
    }
}

impl Worker {
    /// Starts a dispatcher for each destination, inside the current tokio runtime.
    pub fn start(policy: &Deliver, pool: &Pool, destinations: Vec<Destination>) -> Worker {
        let holder = uuid::Uuid::now_v7().to_string();
        let drain = CancellationToken::new();
        let mut worker = Worker {
            dispatchers: Vec::new(),
            tasks: JoinSet::new(),
            drain: drain.clone(),
            waker: Waker::default(),
        };
        let mut by_destination = HashMap::new();
        for destination in destinations {
            let notify = Arc::new(Notify::new());
            by_destination.insert(destination.name.clone(), notify.clone());
            let dispatcher = Arc::new(Dispatcher::new(
                policy.clone(),
                pool.clone(),
                destination,
                (holder.clone(), notify, drain.clone()),
            ));
            worker.tasks.spawn(dispatcher.clone().run());
            worker.dispatchers.push(dispatcher);
        }
        worker.waker.by_destination = Arc::new(by_destination);
        worker
    }

    /// Looks at the registry's dates from now on.
    pub fn keep_calendar(&mut self, gateway: &Gateway) {
        let holder = uuid::Uuid::now_v7().to_string();
        self.tasks.spawn(calendar::run(
            gateway.clone(),
            gateway.store.dispatch_pool().clone(),
            holder,
            self.drain.clone(),
        ));
    }

    /// A handle that wakes the dispatchers.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What each dispatcher does now.
    pub fn status(&self) -> Vec<Status> {
        self.watcher().status()
    }

    /// A handle that looks at the dispatchers, also while they drain.
    pub fn watcher(&self) -> Watcher {
        Watcher {
            dispatchers: self.dispatchers.clone(),
        }
    }

    /// Claims nothing more, waits for what is under way, writes it down and releases the leases;
    /// `false` when that took longer than `patience` and was cut off: what was under way is then
    /// taken up as in doubt by whoever dispatches next.
    pub async fn drain(mut self, patience: Duration) -> bool {
        self.drain.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let drained = tokio::time::timeout(patience, all).await.is_ok();
        if !drained {
            tracing::warn!(
                "draining took longer than {} s and was cut off; what was under way will be asked about",
                patience.as_secs()
            );
        }
        drained
    }
}
