//! The one way to a transaction.
//!
//! A request may be cut off at any moment, and its future is then dropped wherever it waits: also
//! between a BEGIN that was sent and its answer. So the guard is there before anything is sent, and
//! a connection goes back to its pool only after COMMIT or ROLLBACK was answered; any other is
//! closed, and PostgreSQL undoes what it did. Nothing else in the crate begins a transaction.

use std::ops::Deref;

use deadpool_postgres::Object;
use tokio_postgres::Error;

/// A transaction on a connection of its own. Dropped without [`Tx::commit`], it leaves nothing.
pub struct Tx {
    session: Option<Object>,
}

impl Tx {
    /// Begins one.
    ///
    /// # Errors
    /// This and all others: the database refuses or cannot be reached; nothing was written.
    pub async fn begin(session: Object) -> Result<Tx, Error> {
        Tx::begin_as(session, "").await
    }

    /// Begins one of another mode: the words after BEGIN, and settings that end with the transaction.
    pub async fn begin_as(session: Object, mode: &str) -> Result<Tx, Error> {
        let tx = Tx::guarding(session);
        tx.send_begin(mode).await?;
        Ok(tx)
    }

    /// The guard alone, for statements that are sent together with the transaction's begin and end:
    /// [`Tx::send_begin`] first, [`Tx::send_commit`] last, then [`Tx::ended`].
    pub(super) fn guarding(session: Object) -> Tx {
        Tx { session: Some(session) }
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

    /// The end was answered: the connection is idle, and goes back.
    pub(super) fn ended(mut self) {
        drop(self.session.take());
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), Error> {
        self.send_commit().await?;
        self.ended();
        Ok(())
    }

    /// Undoes everything, and keeps the connection where that succeeds.
    pub async fn rollback(self) {
        if self.batch_execute("ROLLBACK").await.is_ok() {
            self.ended();
        }
    }
}

impl Deref for Tx {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.session.as_ref().expect("the session is taken only by the end and by drop")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            drop(Object::take(session));
        }
    }
}
