//! A session of the database: what a connection is used through, each wait with an end.
//!
//! PostgreSQL ends a statement by itself, as long as it runs. A server that stands still, or a
//! network that swallows everything, ends nothing: so each answer is waited for with a deadline of
//! our own, a little beyond the server's. A statement that may take long, such as a COPY, is waited
//! for as long as the server still answers others. What an error says of the server is heard here,
//! and what is left waiting for an answer is marked, so that it goes back to no pool.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Buf;
use tokio_postgres::types::{BorrowToSql, ToSql};
use tokio_postgres::{
    Client, CopyInSink, CopyOutStream, Error, Row, RowStream, SimpleQueryMessage, Statement,
    ToStatement,
};

use super::dial::{Door, NewSession};
use super::health::Health;

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One connection.
pub struct Session {
    client: Client,
    /// Prepared on it, by their text.
    statements: Mutex<HashMap<String, Statement>>,
    vigil: Arc<Vigil>,
}

/// Watches over a session's waits; streams keep it, since they outlive the call that made them.
pub(super) struct Vigil {
    task: tokio_util::task::AbortOnDropHandle<()>,
    door: Arc<Door>,
    health: Arc<Health>,
    /// That of the server's state in which it was made; an older one is not used again.
    generation: u64,
    /// Statements may take as long as the server answers others.
    long: AtomicBool,
    /// Not to be used again: an answer was not waited for, or the server said so.
    spent: AtomicBool,
}

impl Session {
    pub(super) fn new(
        dialled: NewSession,
        door: Arc<Door>,
        health: Arc<Health>,
        generation: u64,
    ) -> Session {
        let NewSession { client, task } = dialled;
        let vigil = Vigil {
            task,
            door,
            health,
            generation,
            long: AtomicBool::new(false),
            spent: AtomicBool::new(false),
        };
        Session {
            client,
            statements: Mutex::default(),
            vigil: Arc::new(vigil),
        }
    }

    /// Whether it may be used again.
    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed()
            && !self.vigil.spent.load(Ordering::Relaxed)
            && self.vigil.generation >= self.vigil.health.generation()
    }

    /// Lets statements take long, or no longer.
    pub(super) fn may_take_long(&self, long: bool) {
        self.vigil.long.store(long, Ordering::Relaxed);
    }

    pub(super) fn vigil(&self) -> &Arc<Vigil> {
        &self.vigil
    }

    /// As in [`Client`], and so the others.
    ///
    /// # Errors
    /// All of them: the database refuses, cannot be reached or does not answer in time.
    pub async fn query<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.vigil
            .within(self.client.query(statement, parameters))
            .await
    }

    pub async fn query_one<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<Row, Error> {
        self.vigil
            .within(self.client.query_one(statement, parameters))
            .await
    }

    pub async fn query_opt<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Error> {
        self.vigil
            .within(self.client.query_opt(statement, parameters))
            .await
    }

    /// Rows as they come; the waits for them go through [`Vigil::within`] or have no end.
    pub(super) async fn query_raw<T, P, I>(
        &self,
        statement: &T,
        parameters: I,
    ) -> Result<RowStream, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        self.vigil
            .within(self.client.query_raw(statement, parameters))
            .await
    }

    pub async fn execute<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<u64, Error> {
        self.vigil
            .within(self.client.execute(statement, parameters))
            .await
    }

    pub(super) async fn execute_raw<T, P, I>(
        &self,
        statement: &T,
        parameters: I,
    ) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        self.vigil
            .within(self.client.execute_raw(statement, parameters))
            .await
    }

    pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.vigil.within(self.client.batch_execute(sql)).await
    }

    pub async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.vigil.within(self.client.simple_query(sql)).await
    }

    pub async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        self.vigil.within(self.client.prepare(sql)).await
    }

    /// Prepared once for the connection.
    pub async fn prepare_cached(&self, sql: &str) -> Result<Statement, Error> {
        let held = self
            .statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sql)
            .cloned();
        if let Some(statement) = held {
            return Ok(statement);
        }
        let statement = self.prepare(sql).await?;
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) async fn copy_in<T: ?Sized + ToStatement, B: Buf + Send + 'static>(
        &self,
        statement: &T,
    ) -> Result<CopyInSink<B>, Error> {
        self.vigil.within(self.client.copy_in(statement)).await
    }

    pub async fn copy_out<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
    ) -> Result<CopyOutStream, Error> {
        self.vigil.within(self.client.copy_out(statement)).await
    }
}

impl Drop for Session {
    /// At once, whatever is under way on it.
    fn drop(&mut self) {
        self.vigil.task.abort();
    }
}

impl Vigil {
    /// Waits for an answer, or for a part of one, not without end.
    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut wait = Wait {
            vigil: self,
            over: false,
        };
        let mut work = pin!(work);
        let answer = loop {
            match tokio::time::timeout(self.patience(), &mut work).await {
                Ok(answer) => break answer,
                Err(_) if self.long.load(Ordering::Relaxed) && self.door.answers().await => {}
                Err(_) => {
                    tracing::error!(
                        seconds = self.patience().as_secs(),
                        "the database does not answer; the connection is given up"
                    );
                    // Whatever waits for an answer on it hears that it is closed.
                    self.task.abort();
                    break work.await;
                }
            }
        };
        wait.over = true;
        if let Err(error) = &answer
            && self.health.heard(error, self.generation)
        {
            self.spent.store(true, Ordering::Relaxed);
        }
        answer
    }

    fn patience(&self) -> Duration {
        self.door.patience
    }
}

/// A wait for an answer. Dropped before it is over, the session is spent: its next user would wait for
/// somebody else's statement.
struct Wait<'a> {
    vigil: &'a Vigil,
    over: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.vigil.spent.store(true, Ordering::Relaxed);
        }
    }
}

/// A session of a pool. It goes back there when dropped, unless it is spent.
pub struct PooledSession {
    object: Option<super::pool::Seat>,
}

impl PooledSession {
    pub(super) fn new(object: super::pool::Seat) -> PooledSession {
        PooledSession {
            object: Some(object),
        }
    }

    /// Closes it.
    pub(super) fn discard(mut self) {
        if let Some(object) = self.object.take() {
            drop(super::pool::Seat::take(object));
        }
    }
}

impl Deref for PooledSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.object
            .as_ref()
            .expect("the object is taken only when it is dropped")
    }
}

impl Drop for PooledSession {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !object.is_usable()
        {
            drop(super::pool::Seat::take(object));
        }
    }
}
