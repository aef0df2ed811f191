//! Rows in PostgreSQL's binary COPY format, built in memory and spilled to disk when large.
//!
//! Knows how a value is laid out on the wire (PostgreSQL documentation, COPY, "Binary Format"),
//! nothing about any table.

use std::io::{Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use futures_util::SinkExt;
use jiff::civil::{Date, DateTime};
use tempfile::SpooledTempFile;
use tokio_postgres::CopyInSink;

use super::session::{Session, Vigil};
use uuid::Uuid;

use crate::model::{Fen, Month};

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: &[u8] = &(-1_i16).to_be_bytes();
/// Bytes handed to the connection at once.
pub const CHUNK: usize = 128 * 1024;
const MEMORY_MAX: usize = 1 << 20;
const EPOCH: Date = jiff::civil::date(2000, 1, 1);

/// Appends one row to a buffer, value after value; when it goes the row has as many columns as it was given values.
pub struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where the row begins: with the count of its columns.
    start: usize,
    columns: i16,
}

impl Drop for RowWriter<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.out[self.start..].first_chunk_mut() {
            *count = self.columns.to_be_bytes();
        }
    }
}

impl<'a> RowWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> RowWriter<'a> {
        let start = out.len();
        out.extend_from_slice(&0_i16.to_be_bytes());
        RowWriter {
            out,
            start,
            columns: 0,
        }
    }

    pub fn null(&mut self) {
        self.columns += 1;
        self.out.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.columns += 1;
        self.out
            .extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.out.extend_from_slice(value);
    }

    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub fn text_or_null(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    pub fn int(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn int_or_null(&mut self, value: Option<i32>) {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    pub fn bigint(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn bigint_or_null(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.bigint(value),
            None => self.null(),
        }
    }

    pub fn fen(&mut self, value: Fen) {
        self.bigint(value.0);
    }

    pub fn fen_or_null(&mut self, value: Option<Fen>) {
        self.bigint_or_null(value.map(|fen| fen.0));
    }

    pub fn month(&mut self, value: Month) {
        self.int(value.number());
    }

    pub fn bool(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.bytes(value.as_bytes());
    }

    pub fn date(&mut self, value: Date) {
        self.int(days(value));
    }

    pub fn date_or_null(&mut self, value: Option<Date>) {
        match value {
            Some(value) => self.date(value),
            None => self.null(),
        }
    }

    /// A `timestamp` without time zone.
    pub fn datetime_or_null(&mut self, value: Option<DateTime>) {
        match value {
            None => self.null(),
            Some(value) => {
                let time = value.time();
                let seconds = i64::from(time.hour()) * 3600
                    + i64::from(time.minute()) * 60
                    + i64::from(time.second());
                self.bigint((i64::from(days(value.date())) * 86_400 + seconds) * 1_000_000);
            }
        }
    }

    /// A `timestamptz`.
    pub fn timestamp(&mut self, value: jiff::Timestamp) {
        const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
        self.bigint(value.as_microsecond() - EPOCH_MICROSECONDS);
    }
}

/// Days since 2000-01-01, by the civil-from-days arithmetic (proleptic Gregorian), since a span per date would cost more than the row.
fn days(date: Date) -> i32 {
    let number = |date: Date| {
        let (year, month, day) = (
            i32::from(date.year()),
            i32::from(date.month()),
            i32::from(date.day()),
        );
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year - era * 400;
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
    };
    number(date) - number(EPOCH)
}

/// Rows kept in memory up to one MiB, then in an anonymous temporary file.
pub struct Rows {
    file: SpooledTempFile,
    buffer: Vec<u8>,
    /// Bytes in the file.
    spilled: u64,
}

impl Default for Rows {
    fn default() -> Rows {
        Rows {
            file: SpooledTempFile::new(MEMORY_MAX),
            buffer: Vec::new(),
            spilled: 0,
        }
    }
}

impl Rows {
    /// Adds one row; an error means that the temporary file could not be written.
    pub fn add(&mut self, fill: impl FnOnce(&mut RowWriter<'_>)) -> std::io::Result<()> {
        fill(&mut RowWriter::new(&mut self.buffer));
        if self.buffer.len() >= CHUNK {
            self.spill()
        } else {
            Ok(())
        }
    }

    /// Adds a copy of rows that were written elsewhere.
    pub fn append(&mut self, other: &mut Rows) -> std::io::Result<()> {
        if other.spilled > 0 {
            self.spill()?;
            other.file.seek(SeekFrom::Start(0))?;
            self.spilled += std::io::copy(&mut other.file, &mut self.file)?;
        }
        self.buffer.extend_from_slice(&other.buffer);
        if self.buffer.len() >= CHUNK {
            self.spill()
        } else {
            Ok(())
        }
    }

    /// Adds one row that `write` lays out in COPY form.
    pub fn add_written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> std::io::Result<()> {
        write(&mut self.buffer);
        if self.buffer.len() >= CHUNK {
            self.spill()
        } else {
            Ok(())
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Length of all rows.
    pub fn bytes(&self) -> u64 {
        self.spilled + self.buffer.len() as u64
    }

    /// The rows themselves, as long as they are in memory.
    pub fn few(&self) -> Option<&[u8]> {
        (self.spilled == 0).then_some(&*self.buffer)
    }

    fn spill(&mut self) -> std::io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.spilled += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Sends every row through a COPY statement.
    pub async fn copy_into(mut self, client: &Session, statement: &str) -> Result<(), CopyError> {
        let mut copy = Copy::start(client, statement).await?;
        if self.spilled > 0 {
            self.file.seek(SeekFrom::Start(0))?;
            loop {
                let mut chunk = vec![0; CHUNK];
                let length = self.file.read(&mut chunk)?;
                if length == 0 {
                    break;
                }
                chunk.truncate(length);
                copy.send(chunk.into()).await?;
            }
        }
        copy.send(std::mem::take(&mut self.buffer).into()).await?;
        copy.finish().await
    }
}

/// Why rows could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("temporary file: {0}")]
    File(#[from] std::io::Error),
    #[error("database: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// A COPY under way.
pub struct Copy {
    sink: std::pin::Pin<Box<CopyInSink<Bytes>>>,
    /// Each part is waited for with an end, however many there are.
    vigil: std::sync::Arc<Vigil>,
}

impl Copy {
    pub async fn start(client: &Session, statement: &str) -> Result<Copy, CopyError> {
        let mut sink = Box::pin(client.copy_in(statement).await?);
        let vigil = client.vigil().clone();
        vigil.within(sink.feed(Bytes::from_static(HEADER))).await?;
        Ok(Copy { sink, vigil })
    }

    /// Sends whole rows.
    pub async fn send(&mut self, rows: Bytes) -> Result<(), CopyError> {
        if !rows.is_empty() {
            self.vigil.within(self.sink.feed(rows)).await?;
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<(), CopyError> {
        self.vigil
            .within(self.sink.feed(Bytes::from_static(TRAILER)))
            .await?;
        self.vigil.within(self.sink.as_mut().finish()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_the_year_2000_across_leap_years() {
        for (date, expected) in [
            (jiff::civil::date(2000, 1, 1), 0),
            (jiff::civil::date(2000, 2, 29), 59),
            (jiff::civil::date(2000, 3, 1), 60),
            (jiff::civil::date(1999, 12, 31), -1),
            (jiff::civil::date(2021, 10, 20), 7963),
        ] {
            assert_eq!(days(date), expected, "{date}");
            assert_eq!(
                EPOCH.until(date).map(|span| span.get_days()).ok(),
                Some(expected),
                "{date}"
            );
        }
    }

    #[test]
    fn rows_beyond_the_memory_limit_are_all_kept_in_order() {
        let mut rows = Rows::default();
        for number in 0..200_000 {
            rows.add(|row| row.int(number)).expect("temporary file");
        }
        rows.spill().expect("temporary file");
        rows.file.seek(SeekFrom::Start(0)).expect("seek");
        let mut all = Vec::new();
        rows.file.read_to_end(&mut all).expect("read");
        assert_eq!(all.len(), 200_000 * 10);
        assert!(
            all.chunks(10)
                .zip(0_i32..)
                .all(|(row, number)| row[6..] == number.to_be_bytes())
        );
    }
}
