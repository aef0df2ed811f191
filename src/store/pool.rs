//! Pools of sessions: made when they are wanted, given out last in, first out, never used again when spent.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{
    self, Metrics, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType,
};

use super::dial::Door;
use super::health::Health;
use super::session::{PooledSession, Session};
use super::settings::{self, SessionSetting};
use crate::error::{Fault, Stage};

/// How long somebody waits for a session that others have.
const WAIT: Duration = Duration::from_secs(10);

pub(super) type Seat = managed::Object<Manager>;

/// Sessions of one kind.
#[derive(Clone)]
pub struct Pool(managed::Pool<Manager>);

impl Pool {
    /// At most `size` sessions, with settings of their own over those of all.
    pub(super) fn new(
        door: &Arc<Door>,
        health: &Arc<Health>,
        size: usize,
        own: &[SessionSetting],
    ) -> Result<Pool, Fault> {
        let manager = Manager {
            door: door.clone(),
            health: health.clone(),
            settings: settings::statements(own),
        };
        managed::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT))
            .runtime(deadpool::Runtime::Tokio1)
            // The one just returned is taken next: its server process has plans and tables at hand. Measured
            // with small packets: 0.16 ms of PostgreSQL's processor each over sixteen in turn, 0.11 over one.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map(Pool)
            .map_err(|error| {
                Fault::operator(
                    Stage::Store,
                    format!("the database pool cannot be built: {error}"),
                )
            })
    }

    /// A session, waiting at most ten seconds for one that others have.
    ///
    /// # Errors
    /// All are taken, or none can be made.
    pub async fn get(&self) -> Result<PooledSession, Fault> {
        self.0.get().await.map(PooledSession::new).map_err(|error| match error {
            PoolError::Backend(fault) => fault,
            PoolError::Timeout(TimeoutType::Wait) => {
                Fault::later(Stage::Store, "every database connection has been at work for ten seconds; see [database] connections_max")
            }
            other => Fault::later(Stage::Store, format!("no database connection: {other}")),
        })
    }

    /// Gives out none any more.
    #[cfg(test)]
    pub(crate) fn close(&self) {
        self.0.close();
    }

    /// Sessions there are and may be.
    pub fn status(&self) -> managed::Status {
        self.0.status()
    }
}

/// Makes sessions, and says which are used again.
pub(super) struct Manager {
    door: Arc<Door>,
    health: Arc<Health>,
    settings: String,
}

impl managed::Manager for Manager {
    type Type = Session;
    type Error = Fault;

    async fn create(&self) -> Result<Session, Fault> {
        // Read before: what is heard of the server while it is made counts against it.
        let generation = self.health.generation();
        let dialled = self.door.dial(&self.settings).await?;
        Ok(Session::new(
            dialled,
            self.door.clone(),
            self.health.clone(),
            generation,
        ))
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Fault> {
        if session.is_usable() {
            Ok(())
        } else {
            Err(RecycleError::message("spent"))
        }
    }
}
