//! Batches of a month's deductions: who is in them, and what the core did, in one transaction a batch.
//!
//! Facts are written once: a result that is there is never changed, money is posted with the result
//! that says so. What fits is decided by the caller; nothing here compares amounts. Statements are
//! per batch, never per person.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::delivery::Batch;
use super::{Session, Store};
use crate::error::Fault;
use crate::model::deduction::DeductionOutcome;
use crate::model::told::PersonResult;
use crate::model::{Fen, Month};

mod settle; // the end of a cycle, and batches nobody answered
mod take_in; // results, postings and discrepancies of one message

pub use take_in::{ResultsOrigin, ResultsOutcome, Writes};

/// What is known of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHead {
    pub batch: Batch,
    /// 1, with retries more.
    pub round: i16,
    /// GB/T 2260.
    pub pooling_area: i32,
    pub month: Month,
    /// `deduction_cycle.state`.
    pub state: String,
    pub people: i32,
    pub fen: Fen,
    /// People with a result of this round.
    pub answered: i32,
    first_person: String,
    last_person: String,
}

/// One person's instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonInstruction {
    pub person_no: String,
    pub fen: Fen,
    /// GB/T 2260.
    pub district: i32,
    /// Of that, what earlier months left open; the rest is of the cycle's own month and district.
    pub carried: Vec<CarriedShortfall>,
}

/// What an earlier month left open, asked for together with a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedShortfall {
    pub month: Month,
    /// The district it is owed to.
    pub district: i32,
    pub fen: Fen,
}

/// A result that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownResult {
    pub person_no: String,
    pub outcome: DeductionOutcome,
    pub fen: Fen,
    /// Earlier months that it makes up for; filled in for whom it is told.
    pub made_up: Vec<CarriedShortfall>,
}

/// Why a result does not fit what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OddKind {
    UnknownBatch,
    UnknownPerson,
    OtherAmount,
    /// Otherwise than it was said before, or than the same message says.
    OtherAnswer,
    Unreadable,
}

impl OddKind {
    /// The word in the database.
    pub fn word(self) -> &'static str {
        match self {
            OddKind::UnknownBatch => "unknown_batch",
            OddKind::UnknownPerson => "unknown_person",
            OddKind::OtherAmount => "other_amount",
            OddKind::OtherAnswer => "other_answer",
            OddKind::Unreadable => "unreadable",
        }
    }
}

/// Something the core said that does not fit; a person looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultDiscrepancy {
    /// Position in the message, from 1; 0 of the message as a whole.
    pub index: u64,
    pub person_no: Option<String>,
    pub kind: OddKind,
    pub asked: Option<Fen>,
    pub told: Option<Fen>,
    /// Safe to show.
    pub words: String,
}

const HEAD: &str = "SELECT b.round, c.pooling_area, c.month, c.state, b.people, b.fen, b.answered, b.first_person, b.last_person
    FROM deduction_batch b JOIN deduction_cycle c USING (cycle_id) WHERE b.cycle_id = $1 AND b.batch_no = $2";

/// The people of a batch's range, in the first round and in a later one.
const ASKED: &str = "SELECT person_no, fen, district, carried_fen FROM deduction
    WHERE cycle_id = $1 AND person_no BETWEEN $2 AND $3 AND $4 = 1::smallint ORDER BY person_no";
const ASKED_AGAIN: &str = "SELECT person_no, a.fen, d.district, a.carried_fen FROM deduction_again a JOIN deduction d USING (cycle_id, person_no)
    WHERE a.cycle_id = $1 AND a.person_no BETWEEN $2 AND $3 AND a.round = $4 AND d.cycle_id = $1 AND d.person_no BETWEEN $2 AND $3 ORDER BY person_no";

/// What their instructions carry of earlier months.
const CARRIED: &str = "SELECT person_no, month, district, fen FROM deduction_carried
    WHERE cycle_id = $1 AND person_no BETWEEN $2 AND $3 AND round = $4 ORDER BY person_no, month";

const KNOWN: &str = "SELECT person_no, outcome::text, fen FROM deduction_result
    WHERE cycle_id = $1 AND person_no BETWEEN $2 AND $3 AND round = $4 ORDER BY person_no";

impl Store {
    /// A batch and the people in it with their instructions, in order; `None` when there is no such batch.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn batch_asked(
        &self,
        batch: Batch,
    ) -> Result<Option<(BatchHead, Vec<PersonInstruction>)>, Fault> {
        let client = self.client().await?;
        let statement = client.prepare_cached(HEAD).await?;
        let Some(row) = client
            .query_opt(&statement, &[&batch.cycle_id, &batch.batch_no])
            .await?
        else {
            return Ok(None);
        };
        let head = head(batch, &row);
        let asked = asked_of(&client, &head).await?;
        Ok(Some((head, asked)))
    }

    /// A batch and the results of its round, in order of person numbers; `None` when there is no such batch.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn batch_results(
        &self,
        batch: Batch,
    ) -> Result<Option<(BatchHead, Vec<KnownResult>)>, Fault> {
        let client = self.client().await?;
        let statement = client.prepare_cached(HEAD).await?;
        let Some(row) = client
            .query_opt(&statement, &[&batch.cycle_id, &batch.batch_no])
            .await?
        else {
            return Ok(None);
        };
        let head = head(batch, &row);
        let sql = "SELECT person_no, outcome::text, fen FROM deduction_result
            WHERE cycle_id = $1 AND person_no BETWEEN $2 AND $3 AND round = $4 AND batch_no = $5 ORDER BY person_no";
        let statement = client.prepare_cached(sql).await?;
        let rows = client
            .query(
                &statement,
                &[
                    &batch.cycle_id,
                    &head.first_person,
                    &head.last_person,
                    &head.round,
                    &batch.batch_no,
                ],
            )
            .await;
        let mut known: Vec<KnownResult> = rows?.iter().map(known).collect();
        let mut carried = carried_of(&client, &head).await?;
        for person in known
            .iter_mut()
            .filter(|known| known.outcome == DeductionOutcome::Deducted)
        {
            person.made_up = carried.remove(&person.person_no).unwrap_or_default();
        }
        Ok(Some((head, known)))
    }

    /// Whether a request with the batch ever left: until then nobody can have done anything with it.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn batch_was_sent(&self, batch: Batch, message: &str) -> Result<bool, Fault> {
        let client = self.client().await?;
        let sql = "SELECT EXISTS (SELECT 1 FROM delivery d JOIN attempt a USING (delivery_id)
            WHERE d.subject_id = $1::bigint::text AND d.subject_kind = 'batch' AND d.part = $2::int AND d.message = $3 AND a.kind = 'send' AND a.outcome IS DISTINCT FROM 'not_sent')";
        let statement = client.prepare_cached(sql).await?;
        let row = client
            .query_one(&statement, &[&batch.cycle_id, &batch.batch_no, &message])
            .await?;
        Ok(row.get(0))
    }
}

fn head(batch: Batch, row: &Row) -> BatchHead {
    BatchHead {
        batch,
        round: row.get(0),
        pooling_area: row.get(1),
        month: Month::from_number(row.get(2)).expect("only months are stored"),
        state: row.get(3),
        people: row.get(4),
        fen: Fen(row.get(5)),
        answered: row.get(6),
        first_person: row.get(7),
        last_person: row.get(8),
    }
}

/// The people of a batch in order, with what each is asked for.
async fn asked_of(
    client: &Session,
    head: &BatchHead,
) -> Result<Vec<PersonInstruction>, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(if head.round == 1 { ASKED } else { ASKED_AGAIN })
        .await?;
    let rows = client
        .query(
            &statement,
            &[
                &head.batch.cycle_id,
                &head.first_person,
                &head.last_person,
                &head.round,
            ],
        )
        .await?;
    let carries = rows.iter().any(|row| row.get::<_, i64>(3) > 0);
    let mut carried = if carries {
        carried_of(client, head).await?
    } else {
        HashMap::new()
    };
    let asked = |row: &Row| {
        let person_no: String = row.get(0);
        let carried = carried.remove(&person_no).unwrap_or_default();
        PersonInstruction {
            person_no,
            fen: Fen(row.get(1)),
            district: row.get(2),
            carried,
        }
    };
    Ok(rows.iter().map(asked).collect())
}

/// What the people of a batch are asked for of earlier months.
async fn carried_of(
    client: &Session,
    head: &BatchHead,
) -> Result<HashMap<String, Vec<CarriedShortfall>>, tokio_postgres::Error> {
    let statement = client.prepare_cached(CARRIED).await?;
    let rows = client
        .query(
            &statement,
            &[
                &head.batch.cycle_id,
                &head.first_person,
                &head.last_person,
                &head.round,
            ],
        )
        .await?;
    let mut carried: HashMap<String, Vec<CarriedShortfall>> = HashMap::new();
    for row in &rows {
        let month = Month::from_number(row.get(1)).expect("only months are stored");
        carried
            .entry(row.get(0))
            .or_default()
            .push(CarriedShortfall {
                month,
                district: row.get(2),
                fen: Fen(row.get(3)),
            });
    }
    Ok(carried)
}

fn known(row: &Row) -> KnownResult {
    let outcome =
        DeductionOutcome::of_word(row.get(1)).expect("the database holds these words only");
    KnownResult {
        person_no: row.get(0),
        outcome,
        fen: Fen(row.get(2)),
        made_up: Vec::new(),
    }
}

/// Of what was told, the columns of `deduction_result`.
struct Columns<'a> {
    person_no: Vec<&'a str>,
    outcome: Vec<&'static str>,
    fen: Vec<i64>,
    parts: [Vec<Option<i64>>; 3],
    balance: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    fn of(told: &[&'a PersonResult]) -> Columns<'a> {
        let part = |at: usize| {
            told.iter()
                .map(|told| told.parts.map(|parts| parts[at].0))
                .collect()
        };
        Columns {
            person_no: told.iter().map(|told| told.person_no.as_str()).collect(),
            outcome: told.iter().map(|told| told.outcome.word()).collect(),
            fen: told.iter().map(|told| told.fen.0).collect(),
            parts: [part(0), part(1), part(2)],
            balance: told
                .iter()
                .map(|told| told.balance.map(|fen| fen.0))
                .collect(),
        }
    }
}
