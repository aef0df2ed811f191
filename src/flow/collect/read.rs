//! Reads a packet's records one by one: refuses, skips or writes each line, and keeps the totals.
//!
//! Runs on its own thread for large packets, in place for small ones, in constant memory. Does no
//! I/O but reading the body and filling its sink; the database is not known here.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::destinations::{FundDestination, Range, Ranges};
use super::history::{Histories, parts};
use super::line::{self, CollectionRules, LineFault};
use super::money;
use super::verdict::{LineVerdict, Verdicts, takes_back};
use crate::adapter::{DecodedLine, PacketReader};
use crate::error::{Fault, Stage};
use crate::flow::intake::{IntakeEnding, ListedRefusal, reason};
use crate::ledger::{EmployerRate, JournalTotals, SplitRule};
use crate::model::detail_key::detail_key;
use crate::model::lines::{EmployeeLine, EmployerLine, LineHead, LineMoney};
use crate::model::{Fen, HistoryId, Record, mask};
use crate::store::collect::PacketCounts;
use crate::store::copy::{CHUNK, Rows};
use crate::store::lines::{LineTable, employee_row, employer_row};
use crate::store::verdicts::{Original, RevokedLine, StagedFinding};

/// What a reading needs to know.
pub struct PacketReading<'a> {
    pub rules: CollectionRules<'a>,
    pub sender_id: u16,
    pub packet_id: i64,
    pub table: LineTable,
    pub purpose: Purpose<'a>,
    pub destinations: &'a [FundDestination],
    /// Refused lines to keep for the receipt.
    pub listed_max: usize,
}

/// Why the packet is read.
#[derive(Clone, Copy, PartialEq)]
pub enum Purpose<'a> {
    /// To be compared with what is stored.
    Stage,
    /// To be posted, knowing what the comparison found; `None` when there was none yet.
    Post(Option<&'a [StagedFinding]>),
}

/// What reading found.
#[derive(Default)]
pub struct PacketTally {
    pub counts: PacketCounts,
    pub totals: JournalTotals,
    /// Refused lines as rows, and the first of them for the receipt.
    pub refusals: Rows,
    pub listed: Vec<ListedRefusal>,
    pub runs: Rows,
    pub ranges: Vec<Range>,
    pub revoked: Vec<RevokedLine>,
    /// Keys of its histories with the last number stored before, of a packet that was not streamed.
    pub histories: Vec<(i64, i32)>,
    /// Digest of what the records say.
    pub content: [u8; 32],
    /// Fields that only say how a record was transferred.
    pub transfer_fields: Vec<&'static str>,
}

/// Where rows go.
pub enum Sink {
    /// A small packet's rows, kept until it is written with others.
    Memory(Rows),
    /// A large packet's rows, on their way to COPY.
    Stream {
        chunks: mpsc::Sender<Bytes>,
        buffer: Vec<u8>,
    },
}

impl Sink {
    pub fn stream(chunks: mpsc::Sender<Bytes>) -> Sink {
        Sink::Stream {
            chunks,
            buffer: Vec::with_capacity(CHUNK + 1024),
        }
    }

    fn row(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), IntakeEnding> {
        match self {
            Sink::Memory(rows) => rows.add_written(write).map_err(disk),
            Sink::Stream { chunks, buffer } => {
                write(buffer);
                if buffer.len() < CHUNK {
                    return Ok(());
                }
                let full = std::mem::replace(buffer, Vec::with_capacity(CHUNK + 1024));
                chunks
                    .blocking_send(full.into())
                    .map_err(|_| IntakeEnding::RowsNotTaken)
            }
        }
    }

    fn finish(&mut self) -> Result<(), IntakeEnding> {
        match self {
            Sink::Stream { chunks, buffer } if !buffer.is_empty() => chunks
                .blocking_send(std::mem::take(buffer).into())
                .map_err(|_| IntakeEnding::RowsNotTaken),
            _ => Ok(()),
        }
    }
}

/// Reads the whole packet into the sink, its lines on top of these histories.
pub fn read_packet(
    reader: &mut PacketReader<'_>,
    reading: &PacketReading<'_>,
    histories: Histories,
    sink: &mut Sink,
) -> Result<PacketTally, IntakeEnding> {
    let mut record = reader.new_record();
    let mut state = State {
        reading,
        verdicts: Verdicts::new(reading.purpose.findings(), reading.table, reader),
        ids: Vec::new(),
        histories,
        tally: PacketTally::default(),
        ranges: Ranges::new(reading.destinations),
        run: None,
    };
    let mut position = 0_i32;
    while let Some(line) = reader.next(&mut record)? {
        position += 1;
        match line {
            DecodedLine::Refused(refusal) => {
                let listed = ListedRefusal {
                    index: refusal.index,
                    element: refusal.element,
                    content: refusal.content.unwrap_or_default(),
                    reason: refusal.reason,
                };
                let unreadable = reader.readable(&mut record);
                state.refuse(position, listed, money::stated(&record, &unreadable))?;
            }
            DecodedLine::Good { index, .. } => {
                if let Err(fault) = state.good(&record, position, sink)? {
                    let listed = explain(reader, index, &fault);
                    state.refuse(position, listed, money::stated(&record, &[]))?;
                }
            }
        }
    }
    if occurs_twice(&mut state.ids) {
        return Err(IntakeEnding::NeedsComparison);
    }
    sink.finish()?;
    state.end_run()?;
    state.tally.ranges = state.ranges.finish();
    state.tally.histories = state.histories.keys();
    state.tally.content = reader.content();
    state.tally.transfer_fields = reader.transfer_fields();
    Ok(state.tally)
}

impl<'a> Purpose<'a> {
    fn findings(self) -> Option<&'a [StagedFinding]> {
        match self {
            Purpose::Post(findings) => findings,
            Purpose::Stage => None,
        }
    }
}

/// Whether two hashes are the same: whether the records are, the comparison finds out.
fn occurs_twice(hashes: &mut [u64]) -> bool {
    hashes.sort_unstable();
    hashes.windows(2).any(|two| two[0] == two[1])
}

/// Names the sender's element and, unless private, its content.
fn explain(reader: &PacketReader<'_>, index: u64, fault: &LineFault) -> ListedRefusal {
    let content = reader.content_of(fault.field).unwrap_or_default();
    ListedRefusal {
        index,
        element: reader.element_of(fault.field).to_string(),
        content,
        reason: fault.reason.clone(),
    }
}

struct State<'a> {
    reading: &'a PacketReading<'a>,
    verdicts: Verdicts<'a>,
    /// Hashes of the ids of records to be posted, while they were not compared: eight bytes a record.
    ids: Vec<u64>,
    histories: Histories,
    tally: PacketTally,
    ranges: Ranges<'a>,
    run: Option<Run>,
}

/// Consecutive employee lines of one employer's payment.
struct Run {
    first: i32,
    last: i32,
    receipt_no: String,
    employer_no: String,
    month: i32,
    lines: i32,
    employer_paid: i64,
    employee_paid: i64,
}

impl State<'_> {
    /// Handles a line that was decoded; the inner error is a refusal of this line alone.
    fn good(
        &mut self,
        record: &Record,
        position: i32,
        sink: &mut Sink,
    ) -> Result<Result<(), LineFault>, IntakeEnding> {
        match self.reading.table {
            LineTable::Employer => {
                match line::employer_line(record, position, self.reading.rules) {
                    Ok(line) => self.employer(line, sink),
                    Err(fault) => Ok(Err(fault)),
                }
            }
            LineTable::Employee => {
                match line::employee_line(record, position, self.reading.rules) {
                    Ok(line) => self.employee(line, sink),
                    Err(fault) => Ok(Err(fault)),
                }
            }
        }
    }

    fn employer(
        &mut self,
        (line, rate): (EmployerLine<'_>, &EmployerRate),
        sink: &mut Sink,
    ) -> Result<Result<(), LineFault>, IntakeEnding> {
        let total = match LineFault::total(&line.paid) {
            Ok(total) => total,
            Err(fault) => return Ok(Err(fault)),
        };
        // What it counts for where it is not posted.
        let counted = if line.head.revoke {
            money::taken_back(total, Some(line.head.payment_kind))
        } else {
            total
        };
        let key = detail_key(self.reading.sender_id, line.head.detail_no);
        if self.reading.purpose == Purpose::Stage {
            let id = self.reading.packet_id;
            return sink
                .row(|buffer| employer_row(buffer, (id, true), key, &line))
                .map(Ok);
        }
        let (original, own);
        let mut line = line; // may name the original's or the history's rate from here on
        match self.verdicts.of(line.head.record_index, line.head.revoke)? {
            LineVerdict::Post(None) => match self.histories.split(&mut line, rate) {
                Ok(rule) => own = rule,
                Err(fault) => return Ok(Err(fault)),
            },
            LineVerdict::Post(Some(found)) => {
                (original, own) = (found, None);
                if let Err(fault) = self.revoke(&mut line, &original, rate) {
                    return Ok(Err(fault));
                }
            }
            LineVerdict::Duplicate => return self.duplicate(counted).map(Ok),
            LineVerdict::Refuse(fault) => return Ok(Err(fault)),
        }
        if let Some(rule) = &own {
            line.rate_id = &rule.id;
        }
        let id = self.reading.packet_id;
        sink.row(|buffer| employer_row(buffer, (id, false), key, &line))?;
        self.note(&line.head, line.paid, line.rate_id);
        self.post(&line, own.as_ref().map_or(rate.rule(), |own| &own.rule))?;
        Ok(Ok(()))
    }

    /// Makes the line one that takes its original back, as that came.
    fn revoke<'l>(
        &mut self,
        line: &mut EmployerLine<'l>,
        original: &'l Original,
        rate: &EmployerRate,
    ) -> Result<(), LineFault> {
        takes_back(&mut line.paid, original)?;
        line.head.employer_no = &original.employer_no;
        line.head.pooling_area = original.pooling_area;
        line.head.district = original.district;
        line.head.contribution_month = original.contribution_month;
        line.history = HistoryId::of(
            line.head.employer_no,
            line.head.district.number(),
            line.head.contribution_month,
        );
        line.rate_id = &original.rate_id;
        let rate = self
            .reading
            .rules
            .book
            .employer(original.pooling_area, original.contribution_month)
            .unwrap_or(rate);
        self.histories.take_back(line, rate)?;
        self.take_back(line.head.record_index, original, line.paid);
        Ok(())
    }

    fn employee(
        &mut self,
        line: EmployeeLine<'_>,
        sink: &mut Sink,
    ) -> Result<Result<(), LineFault>, IntakeEnding> {
        let key = detail_key(self.reading.sender_id, line.head.detail_no);
        let id = self.reading.packet_id;
        if self.reading.purpose == Purpose::Stage {
            return sink
                .row(|buffer| employee_row(buffer, (id, true), key, &line))
                .map(Ok);
        }
        match self.verdicts.of(line.head.record_index, line.head.revoke)? {
            LineVerdict::Post(None) => {}
            LineVerdict::Post(Some(original)) => {
                self.take_back(line.head.record_index, &original, LineMoney::default())
            }
            LineVerdict::Duplicate => return self.duplicate(Fen::ZERO).map(Ok),
            LineVerdict::Refuse(fault) => return Ok(Err(fault)),
        }
        sink.row(|buffer| employee_row(buffer, (id, false), key, &line))?;
        self.note(&line.head, LineMoney::default(), "");
        self.tally.counts.received += 1;
        self.tally.counts.posted += 1;
        self.extend_run(&line)?;
        Ok(Ok(()))
    }

    fn take_back(&mut self, record: i32, original: &Original, paid: LineMoney) {
        self.verdicts.took_back(original);
        self.tally.revoked.push(RevokedLine {
            record,
            packet_id: original.packet_id,
            record_index: original.record_index,
            paid,
            rate_id: original.rate_id.clone(),
        });
    }

    /// Notes what later records of the packet may be compared with.
    fn note(&mut self, head: &LineHead<'_>, paid: LineMoney, rate_id: &str) {
        if head.revoke {
            return;
        }
        if let (Purpose::Post(None), Some(id)) = (self.reading.purpose, head.record_id) {
            let mut hash = DefaultHasher::new();
            id.hash(&mut hash);
            self.ids.push(hash.finish());
        }
        let packet_id = self.reading.packet_id;
        self.verdicts.posted(head.record_index, || Original {
            packet_id,
            record_index: head.record_index,
            pooling_area: head.pooling_area,
            employer_no: head.employer_no.to_string(),
            district: head.district,
            contribution_month: head.contribution_month,
            paid,
            rate_id: rate_id.to_string(),
        });
    }

    fn post(&mut self, line: &EmployerLine<'_>, rule: &SplitRule) -> Result<(), IntakeEnding> {
        let paid = &line.paid;
        let total = paid.total().ok_or_else(too_much)?;
        self.tally.counts.received += 1;
        self.tally.counts.posted += 1;
        self.tally.counts.underpaid += i32::from(line.underpaid);
        self.tally.counts.before_remittance += i32::from(line.before_remittance);
        self.tally.counts.without_base += i32::from(line.without_base);
        add(&mut self.tally.counts.received_fen, total)?;
        add(&mut self.tally.counts.posted_fen, total)?;
        let (district, month) = (line.head.district, line.head.contribution_month);
        self.tally
            .totals
            .add(district, month, &parts(paid))
            .ok_or_else(too_much)?;
        if line.head.revoke {
            return Ok(()); // told behind its original, not with this packet's other lines
        }
        self.ranges
            .add(
                (line.head.record_index, line.head.pooling_area.number()),
                paid,
                rule,
            )
            .ok_or_else(too_much)
    }

    fn duplicate(&mut self, total: Fen) -> Result<(), IntakeEnding> {
        self.tally.counts.received += 1;
        self.tally.counts.duplicate += 1;
        add(&mut self.tally.counts.duplicate_fen, total)?;
        add(&mut self.tally.counts.received_fen, total)
    }

    /// Counts a refused line; `stated` is its money, if it can be read.
    fn refuse(
        &mut self,
        position: i32,
        mut refusal: ListedRefusal,
        stated: Option<Fen>,
    ) -> Result<(), IntakeEnding> {
        if self.reading.purpose == Purpose::Stage {
            return Ok(());
        }
        refusal.reason = reason::of_line(&mask::text(&refusal.reason));
        self.tally.counts.received += 1;
        self.tally.counts.refuse(stated);
        let packet_id = self.reading.packet_id;
        let write = self.tally.refusals.add(|row| {
            row.bigint(packet_id);
            row.int(position);
            row.text(&refusal.element);
            row.text_or_null(
                Some(storable(&refusal.content).as_ref()).filter(|content| !content.is_empty()),
            );
            row.text(&refusal.reason);
            row.bigint_or_null(stated.map(|fen| fen.0));
        });
        if self.tally.listed.len() < self.reading.listed_max {
            self.tally.listed.push(refusal);
        }
        write.map_err(disk)
    }

    fn extend_run(&mut self, line: &EmployeeLine<'_>) -> Result<(), IntakeEnding> {
        let month = line.head.contribution_month.number();
        let sign = if line.head.revoke { -1 } else { 1 };
        match &mut self.run {
            Some(run)
                if run.receipt_no == line.head.receipt_no
                    && run.employer_no == line.head.employer_no
                    && run.month == month =>
            {
                run.last = line.head.record_index;
                run.lines += 1;
                add(&mut run.employer_paid, Fen(line.employer_paid.0 * sign))?;
                add(&mut run.employee_paid, Fen(line.employee_paid.0 * sign))
            }
            _ => {
                let (mut receipt_no, mut employer_no) = self.end_run()?;
                line.head.receipt_no.clone_into(&mut receipt_no);
                line.head.employer_no.clone_into(&mut employer_no);
                self.run = Some(Run {
                    first: line.head.record_index,
                    last: line.head.record_index,
                    receipt_no,
                    employer_no,
                    month,
                    lines: 1,
                    employer_paid: line.employer_paid.0 * sign,
                    employee_paid: line.employee_paid.0 * sign,
                });
                Ok(())
            }
        }
    }

    /// Writes the run down; its texts are the next one's to fill, since each line may be a run of its own.
    fn end_run(&mut self) -> Result<(String, String), IntakeEnding> {
        let Some(run) = self.run.take() else {
            return Ok(Default::default());
        };
        let packet_id = self.reading.packet_id;
        let write = self.tally.runs.add(|row| {
            row.bigint(packet_id);
            row.int(run.first);
            row.int(run.last);
            row.text(&run.receipt_no);
            row.text(&run.employer_no);
            row.int(run.month);
            row.int(run.lines);
            row.bigint(run.employer_paid);
            row.bigint(run.employee_paid);
        });
        write.map_err(disk)?;
        Ok((run.receipt_no, run.employer_no))
    }
}

/// PostgreSQL text cannot hold NUL.
fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

fn add(sum: &mut i64, amount: Fen) -> Result<(), IntakeEnding> {
    *sum = sum.checked_add(amount.0).ok_or_else(too_much)?;
    Ok(())
}

fn too_much() -> IntakeEnding {
    IntakeEnding::refused(
        400,
        "the packet's amounts add up to more than can be accounted for; send it in several packets",
    )
}

fn disk(error: std::io::Error) -> IntakeEnding {
    IntakeEnding::Failed(Fault::later(
        Stage::Store,
        format!(
            "a temporary file cannot be written: {error}; check the free space of the temporary folder"
        ),
    ))
}
