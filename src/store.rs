//! PostgreSQL: the pool, migrations, ids, and in its children every SQL statement of the project.
//!
//! Knows tables, not documents, rates or partners' formats. Nothing here decides what a line is
//! worth or what a partner is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod};
use refinery::{Migration, Runner};
use tokio_postgres::NoTls;

use crate::config;
use crate::error::{Fault, Origin, Retry, Stage};

pub mod collect; // packets, lines, postings in one transaction
pub mod contributions; // posted lines, read for destinations
pub mod copy; // rows in PostgreSQL's binary COPY format
pub mod deduction; // cycles: planned, approved, run
pub mod delivery; // what is to be sent, and what became of it
pub mod embedded; // PostgreSQL as a child process
pub mod inspect; // what a database says of itself, for doctor
pub mod lines; // collection lines as rows
pub mod registry; // institutions and caregivers, and every change of them
pub mod replace; // a packet that takes an earlier one's place
pub mod roster; // who is insured
pub mod sealed; // personal data at rest
pub mod standing; // what is known of one person or employer
mod table; // a table's columns, and the statements that write them
pub mod trace; // everything known of a number
pub mod transfer; // batches of deductions, and what the core did with them
pub mod tx; // the one way to a transaction
pub mod verdicts; // duplicates, conflicts and revocations, found against what is stored

/// Ids one block holds; `id_block` hands out blocks.
const BLOCK: i64 = 1024;
const CONNECTIONS: usize = 16;
/// Fewer would wait for each other.
const CONNECTIONS_MIN: usize = 4;
/// Connections of the dispatchers alone: when receiving takes all others, leases are still renewed.
const DISPATCH_CONNECTIONS: usize = 4;
/// How the dispatchers' statements are planned: by the indexes made for them, always. Their plans are made
/// when the queue may be empty, and kept; then PostgreSQL would read the whole table for every row of
/// it (measured: a claim of two minutes with 100,000 rows queued meanwhile).
const BY_INDEX: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
/// The connection that groups of small packets are written on, one after the other. A packet of a group that
/// has to wait for another transaction, such as a large packet of the same number, must not hold up the rest.
const GROUP_CONNECTIONS: usize = 1;
const GROUPS: &str = "SET lock_timeout = '200ms'";
/// The same for a group in a transaction of its own connection.
const GROUP_TRANSACTION: &str = "SET LOCAL lock_timeout = '200ms'";
/// Connections for questions about one person or employer: they wait behind no packet and no cycle.
const QUESTION_CONNECTIONS: usize = 4;
/// Questions read, by the indexes made for them, always: a plan made while a table is empty is kept while a
/// cycle fills it. Made once for a connection, since planning takes longer than the look-ups themselves.
const QUESTIONS: &str = "SET default_transaction_read_only = on; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// The database of one instance: connections, ids, sender numbers.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    dispatch_pool: Pool,
    question_pool: Pool,
    group_pool: Pool,
    group: Arc<tokio::sync::Mutex<Option<Arc<Object>>>>,
    ids: Arc<Mutex<std::ops::Range<i64>>>,
    senders: Arc<HashMap<String, u16>>,
}

impl Store {
    /// Connects, migrates and registers the senders.
    pub async fn open(connection: Connection, senders: &[String]) -> Result<Store, Fault> {
        let (pool, dispatch_pool) = (connection.pool(connection.size, "")?, connection.pool(DISPATCH_CONNECTIONS, BY_INDEX)?);
        let question_pool = connection.pool(QUESTION_CONNECTIONS, QUESTIONS)?;
        let group_pool = connection.pool(GROUP_CONNECTIONS, GROUPS)?;
        // Not the pool's any more: a start that is cut off leaves its lock on no connection that lives on.
        migrate(&mut Object::take(pool.get().await.map_err(|error| unreachable(&error))?)).await?;
        let client = pool.get().await.map_err(|error| unreachable(&error))?;
        let senders = register(&client, senders).await.map_err(|error| fault(&error))?;
        drop(client);
        let (ids, senders) = (Arc::new(Mutex::new(0..0)), Arc::new(senders));
        Ok(Store { pool, dispatch_pool, question_pool, group_pool, group: Arc::default(), ids, senders })
    }

    /// A connection from the pool; waits for one at most ten seconds.
    pub async fn client(&self) -> Result<Object, Fault> {
        self.pool.get().await.map_err(|error| unreachable(&error))
    }

    /// A connection that only reads, for one question; waits for one at most ten seconds.
    pub async fn question_client(&self) -> Result<Object, Fault> {
        self.question_pool.get().await.map_err(|error| unreachable(&error))
    }

    /// The connection for groups of small packets. It is shared, so that a group is at the server before
    /// the one ahead of it is written; single statements only.
    async fn group_client(&self) -> Result<Arc<Object>, Fault> {
        let mut held = self.group.lock().await;
        if let Some(client) = held.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        // Given back before another is asked for: there is room for one.
        drop(held.take());
        let client = Arc::new(self.group_pool.get().await.map_err(|error| unreachable(&error))?);
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
            let statement = client.prepare_cached("SELECT nextval('id_block')").await.map_err(|error| fault(&error))?;
            let block: i64 = client.query_one(&statement, &[]).await.map_err(|error| fault(&error))?.get(0);
            *self.ids.lock().unwrap_or_else(PoisonError::into_inner) = block * BLOCK..(block + 1) * BLOCK;
        }
    }

    /// The short number of a sender registered at start.
    pub fn sender_id(&self, name: &str) -> Option<u16> {
        self.senders.get(name).copied()
    }

    /// Whether the database answers, for `/readyz`.
    pub async fn ping(&self) -> Result<(), Fault> {
        self.client().await?.simple_query("SELECT 1").await.map(drop).map_err(|error| fault(&error))
    }
}

/// How to reach the database.
pub struct Connection {
    config: tokio_postgres::Config,
    tls: Option<rustls::ClientConfig>,
    size: usize,
}

impl Connection {
    /// To an embedded or local server, without TLS.
    pub fn local(config: tokio_postgres::Config) -> Connection {
        Connection { config, tls: None, size: CONNECTIONS }
    }

    /// To the server named in the configuration; `None` where it names none.
    pub fn configured(database: &config::Database) -> Result<Option<Connection>, Fault> {
        let Some(url) = &database.url else { return Ok(None) };
        let mut config: tokio_postgres::Config = url
            .parse()
            .map_err(|_| Fault::operator(Stage::Config, "[database] url is not a PostgreSQL URL; expected postgres://user@host:port/name?sslmode=require"))?;
        if let Some(path) = &database.password_file {
            let password = std::fs::read_to_string(path)
                .map_err(|error| Fault::operator(Stage::Config, format!("[database] password_file {}: {error}", path.display())))?;
            config.password(password.trim_end());
        }
        let tls = database.ca.as_deref().map(trust).transpose()?;
        let size = database.connections_max.unwrap_or(CONNECTIONS);
        if size < CONNECTIONS_MIN {
            let text = format!("[database] connections_max is {size}; expected at least {CONNECTIONS_MIN}: a packet under way may need two");
            return Err(Fault::operator(Stage::Config, text));
        }
        Ok(Some(Connection { config, tls, size }))
    }

    /// Connections that begin with these settings.
    fn pool(&self, size: usize, settings: &'static str) -> Result<Pool, Fault> {
        let recycle = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = self.config.clone();
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(config, tokio_postgres_rustls::MakeRustlsConnect::new(tls.clone()), recycle),
            None => Manager::from_config(config, NoTls, recycle),
        };
        let wait = Some(std::time::Duration::from_secs(10));
        let set = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move { client.batch_execute(settings).await.map_err(HookError::Backend) })
        });
        Pool::builder(manager)
            .post_create(set)
            .max_size(size)
            .wait_timeout(wait)
            .create_timeout(wait)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            // The one just returned is taken next: its server process has plans and tables at hand. Measured
            // with small packets: 0.16 ms of PostgreSQL's processor each over sixteen in turn, 0.11 over one.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| Fault::operator(Stage::Store, format!("the database pool cannot be built: {error}")))
    }
}

fn trust(path: &std::path::Path) -> Result<rustls::ClientConfig, Fault> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let bad = |error: &dyn std::fmt::Display| Fault::operator(Stage::Config, format!("[database] ca {}: {error}; expected PEM certificates", path.display()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Every migration, in order; a file once released is never edited.
fn migrations() -> Result<Vec<Migration>, refinery::Error> {
    [
        ("V1__collect", include_str!("../schemas/postgres/0001_collect.sql")),
        ("V2__delivery", include_str!("../schemas/postgres/0002_delivery.sql")),
        ("V3__registry", include_str!("../schemas/postgres/0003_registry.sql")),
        ("V4__entity_delivery", include_str!("../schemas/postgres/0004_entity_delivery.sql")),
        ("V5__row_types", include_str!("../schemas/postgres/0005_row_types.sql")),
        ("V6__deduction", include_str!("../schemas/postgres/0006_deduction.sql")),
        ("V7__report", include_str!("../schemas/postgres/0007_report.sql")),
        ("V22__packet_content", include_str!("../schemas/postgres/0022_packet_content.sql")),
        ("V29__registry_members", include_str!("../schemas/postgres/0029_registry_members.sql")),
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
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

async fn migrate(client: &mut tokio_postgres::Client) -> Result<(), Fault> {
    let failed = |error: &dyn std::fmt::Display| Fault::operator(Stage::Store, format!("the database cannot be brought to this version's schema: {error}"));
    // refinery takes no lock of its own, and several instances may start at once.
    client.batch_execute("SELECT pg_advisory_lock(7210)").await.map_err(|error| failed(&error))?;
    let result = Runner::new(&migrations().map_err(|error| failed(&error))?).run_async(client).await;
    client.batch_execute("SELECT pg_advisory_unlock(7210)").await.map_err(|error| failed(&error))?;
    result.map(drop).map_err(|error| failed(&error))
}

async fn register(client: &Object, names: &[String]) -> Result<HashMap<String, u16>, tokio_postgres::Error> {
    client.execute("INSERT INTO sender (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", &[&names]).await?;
    let rows = client.query("SELECT name, sender_id FROM sender", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i16>(1).unsigned_abs())).collect())
}

fn unreachable(error: &deadpool_postgres::PoolError) -> Fault {
    Fault::later(Stage::Store, format!("the database does not answer: {error}; check that PostgreSQL runs and [database] in gateway.toml"))
}

/// A database error as a fault; shows the server's message, never values.
pub fn fault(error: &tokio_postgres::Error) -> Fault {
    let text = match error.as_db_error() {
        Some(db) => format!("the database refused a statement: {} ({})", db.message(), db.code().code()),
        None => format!("the database connection failed: {error}"),
    };
    Fault::new(Stage::Store, Origin::Gateway, Retry::Later, text)
}
