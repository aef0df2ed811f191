//! The one way to a transaction.
//!
//! A request may be cut off at any moment, and its future is then dropped wherever it waits: also
//! between a BEGIN that was sent and its answer. So the guard is there before anything is sent, and
//! a connection goes back to its pool only after COMMIT or ROLLBACK was answered; any other is
//! closed, and PostgreSQL undoes what it did. Nothing else in the crate begins a transaction.

use std::ops::Deref;

use tokio_postgres::Error;

use super::session::{PooledSession, Session};

/// A long one is ended by nobody's clock: its rows are many, or others hold what it waits for.
const LONG: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10min'";

/// A transaction on a session of its own. Dropped without [`Tx::commit`], it leaves nothing.
pub struct Tx {
    session: Option<PooledSession>,
}

impl Tx {
    /// Begins one whose statements are short.
    ///
    /// # Errors
    /// This and all others: the database refuses or cannot be reached; nothing was written.
    pub async fn begin(session: PooledSession) -> Result<Tx, Error> {
        let tx = Tx::guarding(session);
        tx.send_begin("").await?;
        Ok(tx)
    }

    /// Begins one whose statements take as long as they need, while the server answers at all: the time
    /// a packet takes must never make it impossible.
    pub async fn begin_long(session: PooledSession) -> Result<Tx, Error> {
        Tx::begin_long_as(session, "").await
    }

    /// The same in another mode: the words after BEGIN, and settings that end with the transaction.
    pub async fn begin_long_as(session: PooledSession, mode: &str) -> Result<Tx, Error> {
        let tx = Tx::guarding(session);
        tx.may_take_long(true);
        tx.send_begin(&format!("{mode}; {LONG}")).await?;
        Ok(tx)
    }

    /// The guard alone, for statements that are sent together with the transaction's begin and end:
    /// [`Tx::send_begin`] first, [`Tx::send_commit`] last, then [`Tx::ended`].
    pub(super) fn guarding(session: PooledSession) -> Tx {
        Tx {
            session: Some(session),
        }
    }

    /// Sends the begin.
    pub(super) async fn send_begin(&self, mode: &str) -> Result<(), Error> {
        self.batch_execute(&format!("BEGIN {mode}")).await
    }

    /// Sends the end. A COMMIT alone would be answered without an error where an earlier statement
    /// failed, although PostgreSQL then undoes everything; the statement before it is refused there.
    pub(super) async fn send_commit(&self) -> Result<(), Error> {
        self.batch_execute("SELECT 1; COMMIT").await
    }

    /// The end was answered: the session is idle, and goes back.
    pub(super) fn ended(mut self) {
        if let Some(session) = self.session.take() {
            session.may_take_long(false);
        }
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), Error> {
        self.send_commit().await?;
        self.ended();
        Ok(())
    }

    /// Undoes everything, and keeps the session where that succeeds.
    pub async fn rollback(self) {
        if self.batch_execute("ROLLBACK").await.is_ok() {
            self.ended();
        }
    }
}

impl Deref for Tx {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session
            .as_ref()
            .expect("the session is taken only by the end and by drop")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.discard();
        }
    }
}

/// For `store::inspect`, on sessions of no pool: which process serves a transaction; the same, and the
/// transaction stays; its end.
pub(super) const WHOSE: &str = "BEGIN; SELECT pg_backend_pid(); COMMIT";
pub(super) const WHOSE_AND_STAY: &str =
    "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_backend_pid()";
pub(super) const LEAVE: &str = "ROLLBACK";
