//! Loads under way: they outlive their callers, and end between two portions when the gateway stops.
//!
//! They run on the instance's own runtime, not on the thread that serves the connection, which ends
//! with its listener. Knows nothing of what a load does.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The loads of one instance; cheap to clone.
#[derive(Debug, Clone)]
pub struct Loads {
    runtime: Handle,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Loads {
    /// On the runtime this is called from.
    pub fn here() -> Loads {
        Loads {
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Runs a load to its end, whatever becomes of who asked for it.
    pub fn begin(&self, load: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(load, &self.runtime);
    }

    /// Cancelled once no new portion may begin.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Lets no new portion begin.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Waits until all have ended; `false` when one has not within this time.
    pub async fn ended(&self, patience: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_ok()
    }
}
