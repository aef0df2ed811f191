//! Whether the database takes writes now, and what its errors say of the connections to it.
//!
//! A server that was stopped, restarted or became a standby answers on each connection by itself;
//! the first such answer makes all of them old, and the next ones are made anew, to whichever
//! server takes writes then. A full disk is remembered until something could be written at length.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::Store;
use super::tx::Tx;
use super::words::fault;
use crate::error::{Fault, Stage};

/// How long a ping waits: whoever asks whether we are ready wants to know within two seconds.
const PING: Duration = Duration::from_millis(1_700);

const BEAT: &str = "INSERT INTO heartbeat (beat_at) VALUES (clock_timestamp()) ON CONFLICT (one) DO UPDATE SET beat_at = excluded.beat_at";

/// Ten megabytes in the database's own folder, and then nothing: a heartbeat finds room where a packet would not.
const ROOM: &str = "CREATE TEMP TABLE room (filler text) ON COMMIT DROP; ALTER TABLE room ALTER filler SET STORAGE PLAIN;
    INSERT INTO room SELECT repeat('x', 7000) FROM generate_series(1, 1400)";

/// What was heard of the server.
#[derive(Debug, Default)]
pub(super) struct Health {
    generation: AtomicU64,
    full: AtomicBool,
}

impl Health {
    /// Rises whenever all sessions made before are not to be used again.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes note of an error on a session of that generation; whether that session is not to be used again.
    pub(super) fn heard(&self, error: &Error, generation: u64) -> bool {
        if error.code() == Some(&SqlState::DISK_FULL) && !self.full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the database has no room left; not ready until it takes a write again: {}",
                fault(error)
            );
        }
        let gone = says_gone(error);
        if gone && self.generation.fetch_max(generation + 1, Ordering::Relaxed) <= generation {
            tracing::warn!(
                "the connections to the database are made anew: {}",
                fault(error)
            );
        }
        gone
    }
}

/// Whether an error says that the session, and those made before it, cannot go on.
fn says_gone(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // Not an error of ours, such as a value of another type: the line itself broke.
        return error.is_closed()
            || std::error::Error::source(error)
                .is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    match code.code() {
        // The server only reads; has forgotten our prepared statements; shuts down, crashed, starts.
        "25006" | "26000" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => true,
        // A prepared statement of before a migration.
        "0A000" => error
            .as_db_error()
            .is_some_and(|db| db.message().contains("cached plan")),
        code => code.starts_with("08"),
    }
}

impl Store {
    /// Whether the database takes writes now: it has taken one, within two seconds.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), Fault> {
        let silent = |_| {
            Fault::later(
                Stage::Store,
                format!(
                    "the database took no write within {} s; see that PostgreSQL runs",
                    PING.as_secs_f32()
                ),
            )
        };
        tokio::time::timeout(PING, self.beat())
            .await
            .map_err(silent)?
    }

    async fn beat(&self) -> Result<(), Fault> {
        let session = self.ping_pool.get().await?;
        session.execute(BEAT, &[]).await?;
        if self.health.full.load(Ordering::Relaxed) {
            let tx = Tx::begin(session).await?;
            tx.batch_execute(ROOM).await?;
            tx.rollback().await;
            self.health.full.store(false, Ordering::Relaxed);
            tracing::info!("the database has room again");
        }
        Ok(())
    }
}
