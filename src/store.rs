//! PostgreSQL: the pool, migrations, ids, and in its children every SQL statement of the project.
//!
//! Knows tables, not documents, rates or partners' formats. Nothing here decides what a line is
//! worth or what a partner is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use refinery::{Migration, Runner};

use crate::error::{Fault, Stage};

pub mod approval; // what one person asks for and another decides
pub mod collect; // packets, lines, postings in one transaction
pub mod contributions; // posted lines, read for destinations
pub mod copy; // rows in PostgreSQL's binary COPY format
pub mod deduction; // cycles: planned, approved, run
pub mod delivery; // what is to be sent, and what became of it
mod dial; // which server, with which trust, and the one that takes writes
pub mod embedded; // PostgreSQL as a child process
mod health; // whether it takes writes now, and what errors say of connections
pub mod history; // payment histories: sums of an employer's lines
pub mod inspect; // a look at a database before it is used
pub mod lines; // collection lines as rows
mod login; // logins in tables
pub mod packets; // packets of a day, taken and refused
mod pool; // sessions, lent
pub mod rates; // the rules money was ever split by
pub mod registry; // institutions and caregivers, and every change of them
pub mod relation; // people with several insurance relations
pub mod replace; // a packet that takes an earlier one's place
pub mod roster; // who is insured
pub mod sealed; // personal data at rest
mod session; // one connection, each wait with an end
mod settings; // what every session is told at its begin
pub mod standing; // what is known of one person or employer
pub mod sums; // what must come to the same
mod table; // a table's columns, and the statements that write them
pub mod trace; // everything known of a number
pub mod transfer; // batches of deductions, and what the core did with them
pub mod tx; // the one way to a transaction
pub mod verdicts; // duplicates, conflicts and revocations, found against what is stored
mod words; // PostgreSQL's errors, in its own words

pub use dial::DatabaseAccess;
pub use pool::Pool;
pub use session::{PooledSession, Session};
pub use words::fault;

use health::Health;
use words::words;

/// Ids one block holds; `id_block` hands out blocks.
const BLOCK: i64 = 1024;
/// Connections of the dispatchers alone: when receiving takes all others, leases are still renewed.
const DISPATCH_CONNECTIONS: usize = 4;
/// The connection that groups of small packets are written on, one after the other. A packet of a group that
/// has to wait for another transaction, such as a large packet of the same number, must not hold up the rest.
const GROUP_CONNECTIONS: usize = 1;
/// The same for a group in a transaction of its own connection.
const GROUP_TRANSACTION: &str = "SET LOCAL lock_timeout = '200ms'";
/// Connections for questions about one person or employer: they wait behind no packet and no cycle.
const QUESTION_CONNECTIONS: usize = 4;
/// The connection that asks whether writes are taken.
const PING_CONNECTIONS: usize = 1;

/// Connections an instance may use in all.
fn connections(size: usize) -> usize {
    size + DISPATCH_CONNECTIONS + QUESTION_CONNECTIONS + GROUP_CONNECTIONS + PING_CONNECTIONS
}

/// The database of one instance: connections, ids, sender numbers.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    dispatch_pool: Pool,
    question_pool: Pool,
    group_pool: Pool,
    ping_pool: Pool,
    group: Arc<tokio::sync::Mutex<Option<Arc<PooledSession>>>>,
    health: Arc<Health>,
    ids: Arc<Mutex<std::ops::Range<i64>>>,
    senders: Arc<HashMap<String, u16>>,
}

impl Store {
    /// Looks whether the database will do, migrates it and registers the senders.
    ///
    /// # Errors
    /// It cannot be reached, has to be mended first, or refuses this version's schema.
    pub async fn open(connection: DatabaseAccess, senders: &[String]) -> Result<Store, Fault> {
        inspect::inspect(&connection).await?.refuse()?;
        migrate(&connection).await?;
        let (door, health) = (&connection.door, Arc::new(Health::default()));
        let pool = Pool::new(door, &health, connection.size, &[])?;
        let senders = register(&*pool.get().await?, senders)
            .await
            .map_err(|error| fault(&error))?;
        Ok(Store {
            pool,
            dispatch_pool: Pool::new(door, &health, DISPATCH_CONNECTIONS, settings::BY_INDEX)?,
            question_pool: Pool::new(door, &health, QUESTION_CONNECTIONS, settings::QUESTIONS)?,
            group_pool: Pool::new(door, &health, GROUP_CONNECTIONS, settings::GROUPS)?,
            ping_pool: Pool::new(door, &health, PING_CONNECTIONS, &[])?,
            group: Arc::default(),
            health,
            ids: Arc::new(Mutex::new(0..0)),
            senders: Arc::new(senders),
        })
    }

    /// A connection from the pool; waits for one at most ten seconds.
    pub async fn client(&self) -> Result<PooledSession, Fault> {
        self.pool.get().await
    }

    /// A connection that only reads, for one question; waits for one at most ten seconds.
    pub async fn question_client(&self) -> Result<PooledSession, Fault> {
        self.question_pool.get().await
    }

    /// The connection for groups of small packets. It is shared, so that a group is at the server before
    /// the one ahead of it is written; single statements only.
    async fn group_client(&self) -> Result<Arc<PooledSession>, Fault> {
        let mut held = self.group.lock().await;
        if let Some(client) = held.as_ref().filter(|client| client.is_usable()) {
            return Ok(client.clone());
        }
        // Given back before another is asked for: there is room for one.
        drop(held.take());
        let client = Arc::new(self.group_pool.get().await?);
        Ok(held.insert(client).clone())
    }

    /// Connections for the dispatchers.
    pub fn dispatch_pool(&self) -> &Pool {
        &self.dispatch_pool
    }

    /// The connections themselves, for looking at the delivery tables.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// `count` fresh ids, rising and unused by any other instance.
    pub async fn ids(&self, count: usize) -> Result<Vec<i64>, Fault> {
        let mut taken = Vec::with_capacity(count);
        loop {
            {
                let mut block = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
                taken.extend(block.by_ref().take(count - taken.len()));
            }
            if taken.len() == count {
                return Ok(taken);
            }
            let client = self.client().await?;
            let statement = client
                .prepare_cached("SELECT nextval('id_block')")
                .await
                .map_err(|error| fault(&error))?;
            let block: i64 = client
                .query_one(&statement, &[])
                .await
                .map_err(|error| fault(&error))?
                .get(0);
            *self.ids.lock().unwrap_or_else(PoisonError::into_inner) =
                block * BLOCK..(block + 1) * BLOCK;
        }
    }

    /// The short number of a sender registered at start.
    pub fn sender_id(&self, name: &str) -> Option<u16> {
        self.senders.get(name).copied()
    }
}

/// Every migration, in order; a file once released is never edited.
fn migrations() -> Result<Vec<Migration>, refinery::Error> {
    [
        (
            "V1__collect",
            include_str!("../schemas/postgres/0001_collect.sql"),
        ),
        (
            "V2__delivery",
            include_str!("../schemas/postgres/0002_delivery.sql"),
        ),
        (
            "V3__registry",
            include_str!("../schemas/postgres/0003_registry.sql"),
        ),
        (
            "V4__entity_delivery",
            include_str!("../schemas/postgres/0004_entity_delivery.sql"),
        ),
        (
            "V5__row_types",
            include_str!("../schemas/postgres/0005_row_types.sql"),
        ),
        (
            "V6__deduction",
            include_str!("../schemas/postgres/0006_deduction.sql"),
        ),
        (
            "V7__report",
            include_str!("../schemas/postgres/0007_report.sql"),
        ),
        (
            "V10__heartbeat",
            include_str!("../schemas/postgres/0010_heartbeat.sql"),
        ),
        (
            "V13__pause",
            include_str!("../schemas/postgres/0013_pause.sql"),
        ),
        (
            "V16__history",
            include_str!("../schemas/postgres/0016_history.sql"),
        ),
        (
            "V19__line_notes",
            include_str!("../schemas/postgres/0019_line_notes.sql"),
        ),
        (
            "V20__packet_money",
            include_str!("../schemas/postgres/0020_packet_money.sql"),
        ),
        (
            "V22__packet_content",
            include_str!("../schemas/postgres/0022_packet_content.sql"),
        ),
        (
            "V23__relations",
            include_str!("../schemas/postgres/0023_relations.sql"),
        ),
        (
            "V24__roster_content",
            include_str!("../schemas/postgres/0024_roster_content.sql"),
        ),
        (
            "V25__arrears",
            include_str!("../schemas/postgres/0025_arrears.sql"),
        ),
        (
            "V26__bases",
            include_str!("../schemas/postgres/0026_bases.sql"),
        ),
        (
            "V29__registry_members",
            include_str!("../schemas/postgres/0029_registry_members.sql"),
        ),
        (
            "V30__registry_places",
            include_str!("../schemas/postgres/0030_registry_places.sql"),
        ),
        (
            "V33__four_eyes",
            include_str!("../schemas/postgres/0033_four_eyes.sql"),
        ),
        (
            "V36__people",
            include_str!("../schemas/postgres/0036_people.sql"),
        ),
        (
            "V37__approval",
            include_str!("../schemas/postgres/0037_approval.sql"),
        ),
        (
            "V38__backfill_again",
            include_str!("../schemas/postgres/0038_backfill_again.sql"),
        ),
        (
            "V39__subject",
            include_str!("../schemas/postgres/0039_subject.sql"),
        ),
        (
            "V40__subject_only",
            include_str!("../schemas/postgres/0040_subject_only.sql"),
        ),
    ]
    .iter()
    .map(|(name, sql)| Migration::unapplied(name, sql))
    .collect()
}

/// The digest of all migrations: names template databases.
pub fn schema_digest() -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for migration in migrations().unwrap_or_default() {
        hash.update(migration.sql().unwrap_or_default());
    }
    HEXLOWER.encode(&hash.finalize()[..8])
}

async fn migrate(connection: &DatabaseAccess) -> Result<(), Fault> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Fault::operator(
            Stage::Store,
            format!(
                "the database cannot be brought to this version's schema: {}",
                words(error)
            ),
        )
    };
    // A connection of its own: a start that is cut off leaves its lock on none that lives on.
    let mut dialled = connection.door.dial(&settings::statements(&[])).await?;
    let client = &mut dialled.client;
    // Tables may be large. refinery takes no lock of its own, and several instances may start at once.
    client
        .batch_execute("SET statement_timeout = 0; SELECT pg_advisory_lock(7210)")
        .await
        .map_err(|error| failed(&error))?;
    let result = Runner::new(&migrations().map_err(|error| failed(&error))?)
        .run_async(client)
        .await;
    client
        .batch_execute("SELECT pg_advisory_unlock(7210)")
        .await
        .map_err(|error| failed(&error))?;
    result.map(drop).map_err(|error| failed(&error))
}

async fn register(
    client: &Session,
    names: &[String],
) -> Result<HashMap<String, u16>, tokio_postgres::Error> {
    client
        .execute(
            "INSERT INTO sender (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
            &[&names],
        )
        .await?;
    let rows = client
        .query("SELECT name, sender_id FROM sender", &[])
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i16>(1).unsigned_abs()))
        .collect())
}
