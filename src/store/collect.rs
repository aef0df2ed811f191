//! Packets: one transaction that stores lines, refusals, postings, deliveries and the saved reply.
//!
//! Either all of a packet is durable or nothing of it. The caller decides what the rows say and
//! reacts to a number that is already taken; this module only reports it.

use std::sync::OnceLock;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;

use super::Store;
use super::copy::{Copy, CopyError, Rows};
use super::delivery::RECORDS;
use super::lines::LineTable;
use super::table::{RowArray, TableColumns, insert_statement};
use super::tx::Tx;
use crate::error::{Fault, Stage};
use crate::model::Fen;

const PACKET: TableColumns = TableColumns {
    name: "packet",
    columns: &[
        "packet_id bigint, sender text, packet_no text, message text, digest bytea, adapter text, adapter_digest bytea, \
        received_at timestamptz, lines_received int, lines_posted int, lines_refused int, lines_duplicate int, received_fen bigint, \
        posted_fen bigint, reply_type text, reply bytea, replaces bigint, refused_fen bigint, duplicate_fen bigint, lines_unread int, \
        content_digest bytea",
    ],
};
const REFUSAL: TableColumns = TableColumns {
    name: "line_refusal",
    columns: &[
        "packet_id bigint, record_index int, element text, content text, reason text, fen bigint",
    ],
};
const RUN: TableColumns = TableColumns {
    name: "employee_run",
    columns: &[
        "packet_id bigint, first_record int, last_record int, receipt_no text, employer_no text, contribution_month int, lines int, \
        employer_paid_fen bigint, employee_paid_fen bigint",
    ],
};
const ENTRY: TableColumns = TableColumns {
    name: "entry",
    columns: &["entry_id bigint, packet_id bigint, kind text, posted_at timestamptz"],
};
const POSTING: TableColumns = TableColumns {
    name: "posting",
    columns: &[
        "entry_id bigint, account text, district int, contribution_month int, fund text, fen bigint",
    ],
};
const DELIVERY: TableColumns = TableColumns {
    name: "delivery",
    columns: &[
        "delivery_id bigint, destination text, message text, ordering_key text, subject_kind text, subject_id text, \
        part bigint, part_end bigint, reversal boolean, lines int, fen bigint",
    ],
};

/// Tables a packet may have rows in.
const PARTS: usize = 8;
/// Bytes of rows up to which they are written by one statement.
const FEW_BYTES: u64 = 256 * 1024;

/// Why a packet could not be written.
#[derive(Debug)]
pub enum PostError {
    /// The sender has used the packet number before, or somebody is about to: look again.
    NumberTaken,
    /// A detail number is stored already, or stands twice in the packet.
    DetailTaken,
    /// A line's place in its payment history is taken, or each of two packets waits for a place of the other.
    HistoryTaken,
    /// The database or the disk failed; nothing was written.
    Failed(Fault),
}

/// A packet that is stored, with what its sender was told.
#[derive(Debug)]
pub struct StoredPacket {
    pub packet_id: i64,
    pub digest: Vec<u8>,
    /// Whether the digest of its content is known.
    pub has_content: bool,
    pub reply_type: String,
    pub reply: Vec<u8>,
}

/// A packet refused whole.
#[derive(Debug)]
pub struct RefusalNote<'a> {
    pub sender: &'a str,
    /// As far as it was read.
    pub packet_no: Option<&'a str>,
    /// SHA-256 of the body, decompressed.
    pub digest: [u8; 32],
    /// HTTP status it was answered with.
    pub status: u16,
    pub reason: &'a str,
}

/// The packet row itself.
#[derive(Debug)]
pub struct PacketRow<'a> {
    pub packet_id: i64,
    pub sender: &'a str,
    pub packet_no: &'a str,
    pub message: &'a str,
    /// SHA-256 of the body, decompressed.
    pub digest: [u8; 32],
    /// Digest of what its records say.
    pub content: [u8; 32],
    pub adapter: &'a str,
    pub adapter_digest: [u8; 32],
    pub received_at: jiff::Timestamp,
    pub counts: PacketCounts,
    pub reply_type: &'a str,
    pub reply: &'a [u8],
    pub replaces: Option<i64>,
}

/// What became of a packet's lines; money in fen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketCounts {
    pub received: i32,
    pub posted: i32,
    pub refused: i32,
    pub duplicate: i32,
    /// Posted, refused and duplicate together.
    pub received_fen: i64,
    pub posted_fen: i64,
    /// Of refused lines, as far as it can be read.
    pub refused_fen: i64,
    pub duplicate_fen: i64,
    /// Refused lines whose amount cannot be read.
    pub unread: i32,
    /// Posted, and flagged.
    pub underpaid: i32,
    pub before_remittance: i32,
    pub without_base: i32,
}

impl PacketCounts {
    /// What there is to look at, by word.
    pub fn notes(&self) -> [(&'static str, i32); 4] {
        [
            ("amount_unreadable", self.unread),
            ("underpaid", self.underpaid),
            ("before_remittance", self.before_remittance),
            ("without_base", self.without_base),
        ]
    }

    /// Counts a refused line with its money; without any where that cannot be read, or no sum holds it.
    pub fn refuse(&mut self, stated: Option<Fen>) {
        self.refused += 1;
        let sums = stated.and_then(|fen| {
            Some((
                self.refused_fen.checked_add(fen.0)?,
                self.received_fen.checked_add(fen.0)?,
            ))
        });
        match sums {
            Some(sums) => (self.refused_fen, self.received_fen) = sums,
            None => self.unread += 1,
        }
    }
}

/// A range of a packet's lines for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow<'a> {
    pub delivery_id: i64,
    pub destination: &'a str,
    pub message: &'a str,
    pub packet_id: i64,
    pub first_record: i32,
    pub last_record: i32,
    pub lines: i32,
    pub fen: i64,
}

/// One posting; debit is positive.
#[derive(Debug, Clone, Copy)]
pub struct PostingRow<'a> {
    pub entry_id: i64,
    pub account: &'a str,
    pub district: i32,
    pub contribution_month: i32,
    pub fund: &'a str,
    pub fen: i64,
}

/// Everything of one packet, or of several small ones, but streamed lines.
#[derive(Default)]
pub struct PacketRows {
    pub employer_lines: Rows,
    pub employee_lines: Rows,
    pub refusals: Rows,
    pub runs: Rows,
    packets: Rows,
    entries: Rows,
    postings: Rows,
    deliveries: Rows,
}

impl PacketRows {
    pub fn add_packet(&mut self, packet: &PacketRow<'_>) -> std::io::Result<()> {
        self.packets.add(|row| {
            row.bigint(packet.packet_id);
            row.text(packet.sender);
            row.text(packet.packet_no);
            row.text(packet.message);
            row.bytes(&packet.digest);
            row.text(packet.adapter);
            row.bytes(&packet.adapter_digest);
            row.timestamp(packet.received_at);
            for count in [
                packet.counts.received,
                packet.counts.posted,
                packet.counts.refused,
                packet.counts.duplicate,
            ] {
                row.int(count);
            }
            row.bigint(packet.counts.received_fen);
            row.bigint(packet.counts.posted_fen);
            row.text(packet.reply_type);
            row.bytes(packet.reply);
            row.bigint_or_null(packet.replaces);
            row.bigint(packet.counts.refused_fen);
            row.bigint(packet.counts.duplicate_fen);
            row.int(packet.counts.unread);
            row.bytes(&packet.content);
        })
    }

    /// An entry of the journal and its postings, which must sum to zero.
    pub fn add_entry(
        &mut self,
        entry_id: i64,
        packet_id: i64,
        at: jiff::Timestamp,
        postings: &[PostingRow<'_>],
    ) -> std::io::Result<()> {
        self.entries.add(|row| {
            row.bigint(entry_id);
            row.bigint(packet_id);
            row.text("collection");
            row.timestamp(at);
        })?;
        for posting in postings {
            self.postings.add(|row| {
                row.bigint(posting.entry_id);
                row.text(posting.account);
                row.int(posting.district);
                row.int(posting.contribution_month);
                row.text(posting.fund);
                row.bigint(posting.fen);
            })?;
        }
        Ok(())
    }

    pub fn add_delivery(&mut self, delivery: &DeliveryRow<'_>) -> std::io::Result<()> {
        self.deliveries.add(|row| {
            row.bigint(delivery.delivery_id);
            row.text(delivery.destination);
            row.text(delivery.message);
            row.text(&ordering_key(delivery.packet_id, delivery.first_record));
            row.text(RECORDS);
            row.text(&delivery.packet_id.to_string());
            row.bigint(delivery.first_record.into());
            row.bigint(delivery.last_record.into());
            row.bool(false);
            row.int(delivery.lines);
            row.bigint(delivery.fen);
        })
    }

    /// Adds a copy of the rows of another packet.
    pub fn append(&mut self, other: &mut PacketRows) -> std::io::Result<()> {
        self.employer_lines.append(&mut other.employer_lines)?;
        self.employee_lines.append(&mut other.employee_lines)?;
        self.refusals.append(&mut other.refusals)?;
        self.runs.append(&mut other.runs)?;
        self.packets.append(&mut other.packets)?;
        self.entries.append(&mut other.entries)?;
        self.postings.append(&mut other.postings)?;
        self.deliveries.append(&mut other.deliveries)
    }

    /// The rows of each table; the order decides which collision is reported.
    fn parts(self) -> [(Rows, &'static TableColumns); PARTS] {
        [
            (self.packets, &PACKET),
            (self.employer_lines, LineTable::Employer.table()),
            (self.employee_lines, LineTable::Employee.table()),
            (self.refusals, &REFUSAL),
            (self.runs, &RUN),
            (self.entries, &ENTRY),
            (self.postings, &POSTING),
            (self.deliveries, &DELIVERY),
        ]
    }
}

/// One statement for all rows with its parameters; `None` when they are too many for that.
fn at_once<'a>(
    parts: &'a [(Rows, &'static TableColumns); PARTS],
) -> Option<(&'static str, Vec<RowArray<'a>>)> {
    static STATEMENTS: [OnceLock<String>; 1 << PARTS] = [const { OnceLock::new() }; 1 << PARTS];
    if parts.iter().map(|(rows, _)| rows.bytes()).sum::<u64>() > FEW_BYTES {
        return None;
    }
    let mut present = 0;
    let mut arrays = Vec::new();
    for (at, (rows, _)) in parts
        .iter()
        .enumerate()
        .filter(|(_, (rows, _))| !rows.is_empty())
    {
        present |= 1 << at;
        arrays.push(RowArray(rows.few()?));
    }
    let tables = parts
        .iter()
        .filter(|(rows, _)| !rows.is_empty())
        .map(|(_, table)| *table);
    Some((
        STATEMENTS[present].get_or_init(|| insert_statement(tables)),
        arrays,
    ))
}

/// The key that keeps a reversal behind what it reverses.
pub fn ordering_key(packet_id: i64, first_record: i32) -> String {
    format!("{packet_id}/{first_record}")
}

/// The one transaction of a packet. Dropped without [`PacketTransaction::commit`], it leaves nothing.
pub struct PacketTransaction {
    tx: Tx,
}

impl PacketTransaction {
    pub async fn begin(store: &Store) -> Result<PacketTransaction, PostError> {
        let client = store.client().await.map_err(PostError::Failed)?;
        Ok(PacketTransaction {
            tx: Tx::begin_long(client).await?,
        })
    }

    pub(super) fn client(&self) -> &Tx {
        &self.tx
    }

    /// Copies lines as they come, until the channel closes; to where they stay or to the staging table.
    pub async fn copy_lines(
        &self,
        table: LineTable,
        staged: bool,
        mut chunks: mpsc::Receiver<Bytes>,
    ) -> Result<(), PostError> {
        let mut copy = Copy::start(&self.tx, &table.copy_statement(staged)).await?;
        while let Some(rows) = chunks.recv().await {
            copy.send(rows).await?;
        }
        Ok(copy.finish().await?)
    }

    /// Writes everything but streamed lines.
    pub async fn write(&self, rows: PacketRows) -> Result<(), PostError> {
        self.copy_parts(rows.parts()).await
    }

    /// Skips tables that get no rows.
    async fn copy_parts(
        &self,
        parts: [(Rows, &'static TableColumns); PARTS],
    ) -> Result<(), PostError> {
        for (part, table) in parts {
            if !part.is_empty() {
                part.copy_into(self.client(), &table.copy_statement(table.name))
                    .await?;
            }
        }
        Ok(())
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), PostError> {
        Ok(self.tx.commit().await?)
    }

    /// Undoes everything and returns the connection to the pool.
    pub async fn rollback(self) {
        self.tx.rollback().await;
    }
}

impl From<tokio_postgres::Error> for PostError {
    fn from(error: tokio_postgres::Error) -> PostError {
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return PostError::NumberTaken;
        }
        if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) {
            return PostError::HistoryTaken;
        }
        let constraint = error
            .as_db_error()
            .filter(|db| *db.code() == SqlState::UNIQUE_VIOLATION)
            .and_then(|db| db.constraint());
        match constraint {
            Some("packet_number" | "roster_number") => PostError::NumberTaken,
            Some("employer_line_detail" | "employee_line_detail") => PostError::DetailTaken,
            Some("employer_line_history") => PostError::HistoryTaken,
            _ => PostError::Failed(super::fault(&error)),
        }
    }
}

impl From<CopyError> for PostError {
    fn from(error: CopyError) -> PostError {
        match error {
            CopyError::Database(error) => error.into(),
            CopyError::File(error) => PostError::Failed(Fault::later(
                Stage::Store,
                format!(
                    "a temporary file cannot be used: {error}; check the free space of the temporary folder"
                ),
            )),
        }
    }
}

impl From<std::io::Error> for PostError {
    fn from(error: std::io::Error) -> PostError {
        CopyError::File(error).into()
    }
}

impl Store {
    /// Writes small packets in one transaction: a few rows by one statement, many by COPY.
    ///
    /// # Errors
    /// `NumberTaken` also when one of them would have to wait for another transaction: the others need not.
    pub async fn write_group(&self, rows: PacketRows) -> Result<(), PostError> {
        let parts = rows.parts();
        if let Some((sql, arrays)) = at_once(&parts) {
            let client = self.group_client().await.map_err(PostError::Failed)?;
            let statement = client.prepare_cached(sql).await?;
            client.execute_raw(&statement, &arrays).await?;
            return Ok(());
        }
        let posting = PacketTransaction::begin(self).await?;
        posting
            .client()
            .batch_execute(super::GROUP_TRANSACTION)
            .await?;
        match posting.copy_parts(parts).await {
            Ok(()) => posting.commit().await,
            Err(error) => {
                posting.rollback().await;
                Err(error)
            }
        }
    }

    /// The packet of that number and content, in force or replaced since; else the one in force under the number.
    pub async fn find_packet(
        &self,
        sender: &str,
        packet_no: &str,
        digest: &[u8],
    ) -> Result<Option<StoredPacket>, Fault> {
        let client = self.client().await?;
        let sql = "SELECT packet_id, digest, content_digest IS NOT NULL, reply_type, reply FROM packet WHERE sender = $1 AND packet_no = $2
            AND (replaced_by IS NULL OR replaced_by IS NOT NULL AND digest = $3) ORDER BY digest = $3 DESC, packet_id LIMIT 1";
        let statement = client
            .prepare_cached(sql)
            .await
            .map_err(|error| super::fault(&error))?;
        let row = client
            .query_opt(&statement, &[&sender, &packet_no, &digest])
            .await
            .map_err(|error| super::fault(&error))?;
        Ok(row.as_ref().map(stored))
    }

    /// The packet of that number whose records say the same: the one in force, or, unless `in_force` is asked for, one replaced since.
    pub async fn find_packet_saying(
        &self,
        (sender, packet_no): (&str, &str),
        content: &[u8],
        in_force: bool,
    ) -> Result<Option<StoredPacket>, Fault> {
        let client = self.client().await?;
        let sql = "SELECT packet_id, digest, true, reply_type, reply FROM packet WHERE sender = $1 AND packet_no = $2 AND content_digest = $3
            AND (replaced_by IS NULL OR replaced_by IS NOT NULL AND NOT $4) ORDER BY replaced_by IS NOT NULL, packet_id DESC LIMIT 1";
        let statement = client
            .prepare_cached(sql)
            .await
            .map_err(|error| super::fault(&error))?;
        let row = client
            .query_opt(&statement, &[&sender, &packet_no, &content, &in_force])
            .await
            .map_err(|error| super::fault(&error))?;
        Ok(row.as_ref().map(stored))
    }

    /// Notes a packet refused whole; its number stays free.
    pub async fn note_refusal(&self, note: &RefusalNote<'_>) -> Result<(), Fault> {
        let client = self.client().await?;
        let sql = "INSERT INTO packet_refusal (sender, packet_no, digest, status, reason) VALUES ($1, $2, $3, $4, $5)";
        let (digest, status) = (note.digest.as_slice(), i32::from(note.status));
        let done = client
            .execute(
                sql,
                &[
                    &note.sender,
                    &note.packet_no,
                    &digest,
                    &status,
                    &note.reason,
                ],
            )
            .await;
        done.map(drop).map_err(|error| super::fault(&error))
    }
}

fn stored(row: &tokio_postgres::Row) -> StoredPacket {
    StoredPacket {
        packet_id: row.get(0),
        digest: row.get(1),
        has_content: row.get(2),
        reply_type: row.get(3),
        reply: row.get(4),
    }
}
