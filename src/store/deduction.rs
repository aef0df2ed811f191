//! Deduction cycles in PostgreSQL: planned, approved and run, each in one transaction.
//!
//! Knows rows and states, not rates: what is taken from whom is computed by the caller, who passes
//! people on as they come. Nothing here is held for a whole city: people come through a COPY and
//! go through another one.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::copy::CopyError;
use super::tx::Tx;
use super::{Session, Store, fault, login};
use crate::error::{Fault, Stage};
use crate::model::deduction::Category;
use crate::model::signer::{Login, Signer};
use crate::model::{Fen, Month};

mod arrears; // what months left open, and which instruction holds it
mod batch; // consecutive people of one request each, and its delivery
mod discrepancy; // answers a person has to look at
mod people; // the roster in force, person by person
mod rows; // plan rows and instructions, copied in
mod view; // cycles for people and reports

pub use batch::{BatchWriter, Receiver};
pub use discrepancy::{Discrepancy, ResolutionOutcome};
pub use people::{InsuredPeople, InsuredPerson};
pub use rows::{InstructionRow, LeftOutRow, RowSheet};
pub use view::{
    Cell, LeftOutCount, LeftOutPerson, OwedShortfalls, RoundOutcome, RoundProgress, Short,
};

/// Where a cycle is; documented in schemas/postgres/0006_deduction.sql.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CycleState {
    Planned,
    Approved,
    Running,
    Settled,
    Replaced,
}

impl CycleState {
    const ALL: [CycleState; 5] = [
        CycleState::Planned,
        CycleState::Approved,
        CycleState::Running,
        CycleState::Settled,
        CycleState::Replaced,
    ];

    /// The word in the database and reports.
    pub fn word(self) -> &'static str {
        match self {
            CycleState::Planned => "planned",
            CycleState::Approved => "approved",
            CycleState::Running => "running",
            CycleState::Settled => "settled",
            CycleState::Replaced => "replaced",
        }
    }
}

/// A month's deductions of a pooling area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    pub cycle_id: i64,
    pub pooling_area: i32,
    pub month: Month,
    pub state: CycleState,
    /// SHA-256 over everybody, see `ledger::deduction`.
    pub digest: Vec<u8>,
    /// To be deducted from.
    pub people: i32,
    pub fen: Fen,
    /// How often instructions were sent.
    pub rounds: i16,
    pub planned_by: String,
    pub planned_at: Timestamp,
    pub approved_by: Option<String>,
    pub approved_at: Option<Timestamp>,
    pub run_by: Option<String>,
    pub started_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    /// Under which login it was planned; none where none was known.
    pub planned_login: Option<Login>,
    pub approved_login: Option<Login>,
    /// Approved where `[approval] same_login` allowed one login for both.
    pub same_login: bool,
    /// The plan in whose place it was put.
    pub replaces: Option<i64>,
}

impl Cycle {
    const COLUMNS: &str = "cycle_id, pooling_area, month, state, digest, people, fen, rounds, planned_by, planned_at,
        approved_by, approved_at, run_by, started_at, settled_at, planned_login, planned_uid, planned_host, planned_proof,
        approved_login, approved_uid, approved_host, approved_proof, same_login, replaces";

    fn of(row: &Row) -> Cycle {
        let word: &str = row.get(3);
        Cycle {
            cycle_id: row.get(0),
            pooling_area: row.get(1),
            month: Month::from_number(row.get(2)).expect("only months are stored"),
            state: CycleState::ALL
                .into_iter()
                .find(|state| state.word() == word)
                .expect("the column's CHECK lists the states"),
            digest: row.get(4),
            people: row.get(5),
            fen: Fen(row.get(6)),
            rounds: row.get(7),
            planned_by: row.get(8),
            planned_at: row.get(9),
            approved_by: row.get(10),
            approved_at: row.get(11),
            run_by: row.get(12),
            started_at: row.get(13),
            settled_at: row.get(14),
            planned_login: login::of_row(row, 15),
            approved_login: login::of_row(row, 19),
            same_login: row.get(23),
            replaces: row.get(24),
        }
    }
}

/// What a plan came to.
#[derive(Debug)]
pub struct DeductionPlan<'a> {
    pub cycle_id: i64,
    pub digest: [u8; 32],
    pub planned_by: &'a Signer,
    /// The plan in whose place it is put.
    pub replaces: Option<i64>,
    pub cells: &'a [Cell],
}

/// A rate's id and what it says of shortfalls, at its number.
pub type RateRow<'a> = (&'a str, &'static str);

/// One transaction on the cycle of an area and month; nobody else changes it meanwhile. Dropped
/// without [`Work::commit`], it leaves nothing.
pub struct Work {
    tx: Tx,
    area: i32,
    month: Month,
}

impl Work {
    /// Waits for whoever works on the month, then takes it; with its cycle, if there is one that was not replaced.
    ///
    /// # Errors
    /// This and all others: the database refuses or cannot be reached.
    pub async fn begin(
        store: &Store,
        area: i32,
        month: Month,
    ) -> Result<(Work, Option<Cycle>), Fault> {
        let tx = Tx::begin_long(store.client().await?).await?;
        tx.execute(
            "SELECT pg_advisory_xact_lock($1, $2)",
            &[&area, &month.number()],
        )
        .await?;
        let sql = format!(
            "SELECT {} FROM deduction_cycle WHERE pooling_area = $1 AND month = $2 AND state <> 'replaced' FOR UPDATE",
            Cycle::COLUMNS
        );
        let row = tx.query_opt(&sql, &[&area, &month.number()]).await?;
        let work = Work { tx, area, month };
        Ok((work, row.as_ref().map(Cycle::of)))
    }

    /// A newer plan takes the place of one that never ran.
    pub async fn replace(&self, cycle_id: i64) -> Result<(), Fault> {
        self.execute("UPDATE deduction_cycle SET state = 'replaced' WHERE cycle_id = $1 AND state IN ('planned', 'approved')", cycle_id).await
    }

    /// Copies people left out by a plan.
    pub async fn left_out(&self, cycle_id: i64) -> Result<RowSheet, Fault> {
        RowSheet::start(self.client(), &rows::LEFT_OUT, cycle_id).await
    }

    /// Copies instructions.
    pub async fn instructions(&self, cycle_id: i64) -> Result<RowSheet, Fault> {
        RowSheet::start(self.client(), &rows::INSTRUCTION, cycle_id).await
    }

    /// Writes the cycle and its totals; whom it leaves out was copied before.
    pub async fn plan(&self, plan: &DeductionPlan<'_>) -> Result<(), Fault> {
        let people: i32 = plan.cells.iter().map(|cell| cell.people).sum();
        let fen: i64 = plan
            .cells
            .iter()
            .map(|cell| cell.due.0 + cell.carried.0)
            .sum();
        let sql = "INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, planned_by,
                planned_login, planned_uid, planned_host, planned_proof, replaces)
            VALUES ($1, $2, $3, 'planned', $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let (digest, month) = (plan.digest.as_slice(), self.month.number());
        let (login, uid, host, proof) = login::columns(plan.planned_by.login.as_ref());
        let by = &plan.planned_by.name;
        let done = self
            .client()
            .execute(
                sql,
                &[
                    &plan.cycle_id,
                    &self.area,
                    &month,
                    &digest,
                    &people,
                    &fen,
                    by,
                    &login,
                    &uid,
                    &host,
                    &proof,
                    &plan.replaces,
                ],
            )
            .await;
        done?;
        rows::write_totals(self.client(), plan.cycle_id, plan.cells).await
    }

    /// A second person approves; `same_login` where their login does not prove that they are.
    pub async fn approve(&self, cycle_id: i64, by: &Signer, same_login: bool) -> Result<(), Fault> {
        let sql = "UPDATE deduction_cycle SET state = 'approved', approved_by = $2, approved_at = now(), approved_login = $3, approved_uid = $4,
                approved_host = $5, approved_proof = $6, same_login = $7 WHERE cycle_id = $1";
        let (login, uid, host, proof) = login::columns(by.login.as_ref());
        let done = self
            .client()
            .execute(
                sql,
                &[
                    &cycle_id,
                    &by.name,
                    &login,
                    &uid,
                    &host,
                    &proof,
                    &same_login,
                ],
            )
            .await;
        done.map(drop).map_err(|error| fault(&error))
    }

    /// Marks what earlier months left open as held by this cycle's instructions, and keeps month by
    /// month what each holds; returns how much that is.
    pub async fn carry(&self, cycle_id: i64, from: &[i64]) -> Result<Fen, Fault> {
        arrears::carry(self.client(), cycle_id, (self.area, from)).await
    }

    /// Writes the rates by number.
    pub async fn rates(&self, cycle_id: i64, rates: &[RateRow<'_>]) -> Result<(), Fault> {
        let (ids, shortfalls): (Vec<&str>, Vec<&str>) = rates.iter().copied().unzip();
        let sql = "INSERT INTO deduction_rate (cycle_id, rate, rate_id, shortfall)
            SELECT $1, n - 1, id, shortfall FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS r (id, shortfall, n)";
        self.client()
            .execute(sql, &[&cycle_id, &ids, &shortfalls])
            .await
            .map(drop)
            .map_err(|error| fault(&error))
    }

    /// Writes the first batches and their deliveries; the cycle runs from now on.
    pub async fn start(
        &self,
        store: &Store,
        cycle_id: i64,
        by: &str,
        batches: BatchWriter,
    ) -> Result<(), Fault> {
        batches.write(store, self.client()).await?;
        let sql = "UPDATE deduction_cycle SET state = 'running', rounds = 1, run_by = $2, started_at = now() WHERE cycle_id = $1";
        self.client()
            .execute(sql, &[&cycle_id, &by])
            .await
            .map(drop)
            .map_err(|error| fault(&error))
    }

    /// Writes batches of a further round for everybody the last one left short and whose rate says
    /// `retry`; returns how many people that is, and none means that nothing was written.
    pub async fn retry(
        &self,
        store: &Store,
        cycle: &Cycle,
        receiver: &Receiver,
    ) -> Result<i32, Fault> {
        let mut batches = self.open_batches(cycle, receiver).await?;
        arrears::ask_again(self.client(), cycle).await?;
        self.asked_again(cycle, &mut batches).await?;
        let people = batches.people();
        if people == 0 {
            return Ok(0);
        }
        batches.write(store, self.client()).await?;
        self.execute("UPDATE deduction_cycle SET state = 'running', rounds = rounds + 1, settled_at = NULL WHERE cycle_id = $1", cycle.cycle_id).await?;
        Ok(people)
    }

    async fn open_batches(&self, cycle: &Cycle, receiver: &Receiver) -> Result<BatchWriter, Fault> {
        let sql = "SELECT coalesce(max(batch_no), 0) FROM deduction_batch WHERE cycle_id = $1";
        let row = self.client().query_one(sql, &[&cycle.cycle_id]).await?;
        Ok(BatchWriter::new(cycle.cycle_id, receiver.clone()).round(cycle.rounds + 1, row.get(0)))
    }

    async fn asked_again(&self, cycle: &Cycle, batches: &mut BatchWriter) -> Result<(), Fault> {
        use futures_util::TryStreamExt;
        let sql = "SELECT person_no, fen FROM deduction_again WHERE cycle_id = $1 AND round = $2::smallint + 1 ORDER BY person_no";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&cycle.cycle_id, &cycle.rounds];
        let stream = self.client().query_raw(sql, parameters).await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(row) = self.client().vigil().within(stream.try_next()).await? {
            batches.add(row.get(0), Fen(row.get(1)))?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), Fault> {
        self.tx.commit().await.map_err(|error| fault(&error))
    }

    async fn execute(&self, sql: &str, cycle_id: i64) -> Result<(), Fault> {
        self.client()
            .execute(sql, &[&cycle_id])
            .await
            .map(drop)
            .map_err(|error| fault(&error))
    }

    fn client(&self) -> &Session {
        &self.tx
    }
}

/// A category's word as it comes from the database.
fn category(word: &str) -> Category {
    Category::of_word(word).expect("the column's type lists the categories")
}

/// Why rows could not be written, as a fault.
fn written(error: CopyError) -> Fault {
    match error {
        CopyError::Database(error) => fault(&error),
        CopyError::File(error) => Fault::later(
            Stage::Store,
            format!(
                "a temporary file cannot be used: {error}; check the free space of the temporary folder"
            ),
        ),
    }
}
