//! Consecutive people of a cycle that go out in one request each, and the deliveries of it.
//!
//! Rows are spilled to disk when there are many. Must not read or change instructions.

use super::super::copy::Rows;
use super::super::delivery::BATCH as BATCH_SUBJECT;
use super::super::table::TableColumns;
use super::super::{Session, Store};
use super::written;
use crate::error::Fault;
use crate::model::Fen;

const BATCH: TableColumns = TableColumns {
    name: "deduction_batch",
    columns: &[
        "cycle_id bigint, batch_no int, round smallint, first_person text, last_person text, people int, fen bigint",
    ],
};
const DELIVERY: TableColumns = TableColumns {
    name: "delivery",
    columns: &[
        "delivery_id bigint, destination text, message text, subject_kind text, subject_id text, part bigint, part_end bigint, lines int, fen bigint, priority smallint",
    ],
};
/// See 0004: 10 an ending, 20 anything else live, 90 a backfill.
const PRIORITY: i16 = 20;

/// Who is sent instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Partner name.
    pub destination: String,
    /// The adapter's outbound message.
    pub message: String,
    /// People one request carries at most.
    pub people_max: u32,
}

/// Batches made of people as they come, in order of their numbers.
pub struct BatchWriter {
    cycle_id: i64,
    receiver: Receiver,
    round: i16,
    /// Number of the last batch closed.
    last_no: i32,
    open: Open,
    rows: Rows,
    /// People and fen of each batch closed.
    closed: Vec<(i32, i64)>,
}

#[derive(Default)]
struct Open {
    first: String,
    last: String,
    people: u32,
    fen: i64,
}

impl BatchWriter {
    /// The first round's.
    pub fn new(cycle_id: i64, receiver: Receiver) -> BatchWriter {
        BatchWriter {
            cycle_id,
            receiver,
            round: 1,
            last_no: 0,
            open: Open::default(),
            rows: Rows::default(),
            closed: Vec::new(),
        }
    }

    /// Of another round, numbered from after `last_no`.
    #[must_use]
    pub(super) fn round(self, round: i16, last_no: i32) -> BatchWriter {
        BatchWriter {
            round,
            last_no,
            ..self
        }
    }

    /// Adds the next person.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn add(&mut self, person_no: &str, fen: Fen) -> Result<(), Fault> {
        if self.open.people == 0 {
            self.open.first.clear();
            self.open.first.push_str(person_no);
        }
        self.open.last.clear();
        self.open.last.push_str(person_no);
        self.open.people += 1;
        self.open.fen += fen.0;
        if self.open.people >= self.receiver.people_max {
            self.close()
        } else {
            Ok(())
        }
    }

    /// People in all of them.
    pub fn people(&self) -> i32 {
        self.closed.iter().map(|(people, _)| people).sum::<i32>() + self.open.people.cast_signed()
    }

    fn close(&mut self) -> Result<(), Fault> {
        if self.open.people == 0 {
            return Ok(());
        }
        self.last_no += 1;
        let (cycle_id, batch_no, round, open) =
            (self.cycle_id, self.last_no, self.round, &self.open);
        let added = self.rows.add(|row| {
            row.bigint(cycle_id);
            row.int(batch_no);
            row.bytes(&round.to_be_bytes());
            row.text(&open.first);
            row.text(&open.last);
            row.int(open.people.cast_signed());
            row.bigint(open.fen);
        });
        added.map_err(|error| written(error.into()))?;
        self.closed
            .push((self.open.people.cast_signed(), self.open.fen));
        (self.open.people, self.open.fen) = (0, 0);
        Ok(())
    }

    /// Writes batches and deliveries; `client` is in the run's transaction.
    pub(super) async fn write(mut self, store: &Store, client: &Session) -> Result<(), Fault> {
        self.close()?;
        let ids = store.ids(self.closed.len()).await?;
        let mut deliveries = Rows::default();
        let first_no = self.last_no - i32::try_from(self.closed.len()).unwrap_or(i32::MAX) + 1;
        for ((delivery_id, (people, fen)), batch_no) in ids.iter().zip(&self.closed).zip(first_no..)
        {
            let added = deliveries.add(|row| {
                row.bigint(*delivery_id);
                row.text(&self.receiver.destination);
                row.text(&self.receiver.message);
                row.text(BATCH_SUBJECT);
                row.text(&self.cycle_id.to_string());
                row.bigint(batch_no.into());
                row.bigint(batch_no.into());
                row.int(*people);
                row.bigint(*fen);
                row.bytes(&PRIORITY.to_be_bytes());
            });
            added.map_err(|error| written(error.into()))?;
        }
        self.rows
            .copy_into(client, &BATCH.copy_statement(BATCH.name))
            .await
            .map_err(written)?;
        deliveries
            .copy_into(client, &DELIVERY.copy_statement(DELIVERY.name))
            .await
            .map_err(written)
    }
}
