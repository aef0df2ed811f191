//! A database per test, on a throwaway cluster in memory that the tests of one process share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio_postgres::NoTls;

use super::{NewDelivery, Records, Subject};
use crate::model::Fen;
use crate::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use crate::store::{DatabaseAccess, Pool};

static CLUSTER: OnceLock<EmbeddedPostgres> = OnceLock::new();

/// The first cluster of a few that no other test process uses; they are kept for the next run.
fn cluster() -> &'static EmbeddedPostgres {
    CLUSTER.get_or_init(|| {
        let base = if PathBuf::from("/dev/shm").is_dir() {
            PathBuf::from("/dev/shm")
        } else {
            std::env::temp_dir()
        };
        let mut refusals = Vec::new();
        for n in 0..16 {
            match EmbeddedPostgres::start(&EmbeddedOptions::throwaway(
                base.join(format!("ltcgw-delivery-{n}")),
            )) {
                Ok(embedded) => return embedded,
                Err(fault) => refusals.push(fault.text),
            }
        }
        panic!("no cluster for the tests: {refusals:?}");
    })
}

/// A fresh database; removed with everything in it when dropped.
pub struct TestDatabase {
    pub pool: Pool,
    name: String,
}

impl TestDatabase {
    pub async fn new() -> TestDatabase {
        TestDatabase::before(i32::MAX).await
    }

    /// As the migrations before that version leave it.
    pub async fn before(version: i32) -> TestDatabase {
        let name = format!("t_{}", uuid::Uuid::now_v7().simple());
        let config = cluster().database(&name).await.unwrap();
        let pool = Pool::new(&DatabaseAccess::local(config).door, &Arc::default(), 8, &[]).unwrap();
        let client = pool.get().await.unwrap();
        let migrations = super::super::migrations().unwrap();
        for migration in migrations
            .iter()
            .filter(|migration| migration.version() < version)
        {
            client
                .batch_execute(migration.sql().unwrap())
                .await
                .unwrap();
        }
        TestDatabase { pool, name }
    }

    /// One value of one row.
    pub async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.pool
            .get()
            .await
            .unwrap()
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }

    pub async fn run(&self, sql: &str) {
        self.pool
            .get()
            .await
            .unwrap()
            .batch_execute(sql)
            .await
            .unwrap();
    }

    /// Queues `count` deliveries of ten lines to `destination`; returns their ids.
    pub async fn queue(&self, destination: &str, count: i32) -> Vec<i64> {
        let rows: Vec<NewDelivery> = (0..count).map(|n| delivery(destination, n, None)).collect();
        super::queue(&self.pool.get().await.unwrap(), &rows)
            .await
            .unwrap()
    }

    /// `delivery_id state` of every row, in order.
    pub async fn states(&self) -> Vec<String> {
        let rows = self
            .pool
            .get()
            .await
            .unwrap()
            .query("SELECT state FROM delivery ORDER BY delivery_id", &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, admin) = (self.name.clone(), cluster().connection("postgres"));
        self.pool.close();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (client, connection) = admin.connect(NoTls).await.unwrap();
                let connection = tokio::spawn(connection);
                client
                    .batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)"))
                    .await
                    .unwrap();
                drop(client);
                connection.await.ok();
            });
        });
        thread.join().ok();
    }
}

impl NewDelivery {
    /// Its records, to be changed.
    pub fn records_mut(&mut self) -> &mut Records {
        match &mut self.subject {
            Subject::Records(records) => records,
            Subject::Entity(_) | Subject::Batch(_) => {
                panic!("only a delivery of a packet's records has records")
            }
        }
    }
}

/// A delivery of ten lines.
pub fn delivery(destination: &str, n: i32, ordering_key: Option<&str>) -> NewDelivery {
    NewDelivery {
        destination: destination.into(),
        message: "contributions".into(),
        ordering_key: ordering_key.map(Into::into),
        subject: Subject::Records(Records {
            packet_id: 1,
            first_record: n * 10 + 1,
            last_record: n * 10 + 10,
            reversal: false,
        }),
        lines: 10,
        fen: Fen(1_000),
    }
}
