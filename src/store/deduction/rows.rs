//! Totals, people left out and instructions as rows; the latter two streamed through COPY.
//!
//! Lays rows out and nothing else: what they say was decided before.

use super::super::Session;
use super::super::copy::{CHUNK, Copy, RowWriter, Rows};
use super::super::table::TableColumns;
use super::{Cell, written};
use crate::error::Fault;
use crate::model::Fen;
use crate::model::deduction::Category;

pub(super) const LEFT_OUT: TableColumns = TableColumns {
    name: "deduction_left_out",
    columns: &[
        "cycle_id bigint, person_no text, district int, category insured_category, reason text, due_fen bigint",
    ],
};
pub(super) const INSTRUCTION: TableColumns = TableColumns {
    name: "deduction",
    columns: &[
        "cycle_id bigint, person_no text, category insured_category, district int, rate smallint, base_fen bigint, due_fen bigint, \
        carried_fen bigint, fen bigint",
    ],
};
const TOTAL: TableColumns = TableColumns {
    name: "deduction_total",
    columns: &[
        "cycle_id bigint, district int, category insured_category, people int, base_fen bigint, due_fen bigint, carried_fen bigint",
    ],
};

/// Somebody left out.
#[derive(Debug, Clone, Copy)]
pub struct LeftOutRow<'a> {
    pub person_no: &'a str,
    pub district: i32,
    pub category: Category,
    pub reason: &'static str,
    /// What would have been due.
    pub due: Fen,
}

/// One person's instruction.
#[derive(Debug, Clone, Copy)]
pub struct InstructionRow<'a> {
    pub person_no: &'a str,
    pub category: Category,
    pub district: i32,
    /// Number of the rate in the cycle.
    pub rate: i16,
    pub base: Fen,
    pub due: Fen,
    pub carried: Fen,
    pub fen: Fen,
}

/// Rows of one table on their way into it.
pub struct RowSheet {
    copy: Copy,
    buffer: Vec<u8>,
    cycle_id: i64,
}

impl RowSheet {
    pub(super) async fn start(
        client: &Session,
        table: &TableColumns,
        cycle_id: i64,
    ) -> Result<RowSheet, Fault> {
        let copy = Copy::start(client, &table.copy_statement(table.name))
            .await
            .map_err(written)?;
        Ok(RowSheet {
            copy,
            buffer: Vec::with_capacity(CHUNK + 512),
            cycle_id,
        })
    }

    /// Adds a row of `Work::left_out`.
    pub fn leave_out(&mut self, row: &LeftOutRow<'_>) {
        let mut out = RowWriter::new(&mut self.buffer);
        out.bigint(self.cycle_id);
        out.text(row.person_no);
        out.int(row.district);
        out.text(row.category.word());
        out.text(row.reason);
        out.fen(row.due);
    }

    /// Adds a row of `Work::instructions`.
    pub fn instruct(&mut self, row: &InstructionRow<'_>) {
        let mut out = RowWriter::new(&mut self.buffer);
        out.bigint(self.cycle_id);
        out.text(row.person_no);
        out.text(row.category.word());
        out.int(row.district);
        out.bytes(&row.rate.to_be_bytes());
        for fen in [row.base, row.due, row.carried, row.fen] {
            out.fen(fen);
        }
    }

    /// Whether there is enough to be sent.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK
    }

    /// Sends what was added.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn send(&mut self) -> Result<(), Fault> {
        let rows = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + 512));
        self.copy.send(rows.into()).await.map_err(written)
    }

    /// Sends the rest and waits until all is written.
    ///
    /// # Errors
    /// As `send`.
    pub async fn finish(mut self) -> Result<(), Fault> {
        self.send().await?;
        self.copy.finish().await.map_err(written)
    }
}

/// Writes a plan's totals.
pub(super) async fn write_totals(
    client: &Session,
    cycle_id: i64,
    cells: &[Cell],
) -> Result<(), Fault> {
    let mut rows = Rows::default();
    for cell in cells {
        let added = rows.add(|row| {
            row.bigint(cycle_id);
            row.int(cell.district);
            row.text(cell.category.word());
            row.int(cell.people);
            row.fen(cell.base);
            row.fen(cell.due);
            row.fen(cell.carried);
        });
        added.map_err(|error| written(error.into()))?;
    }
    rows.copy_into(client, &TOTAL.copy_statement(TOTAL.name))
        .await
        .map_err(written)
}
