//! Reads a packet's records one by one: refuses, skips or writes each line, and keeps the totals.
//!
//! Runs on its own thread for large packets, in place for small ones, in constant memory. Does no
//! I/O but reading the body and filling its sink; the database is not known here.

use std::collections::HashSet;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::destinations::{Destination, Range, Ranges};
use super::line::{self, LineFault, Rules};
use crate::adapter::{Line, PacketReader, PacketRefusal};
use crate::error::{Fault, Stage};
use crate::ledger::{District, Fund, Source, Totals};
use crate::model::detail_key::detail_key;
use crate::model::lines::{EmployeeLine, EmployerLine, Paid};
use crate::model::{Fen, FieldId, Record};
use crate::store::collect::Counts;
use crate::store::copy::{CHUNK, Rows};
use crate::store::lines::{LineTable, employee_row, employer_row};
use crate::store::verdicts::{Fact, Finding, Original, Revoked};

/// What a reading needs to know.
pub struct Reading<'a> {
    pub rules: Rules<'a>,
    pub sender_id: u16,
    pub packet_id: i64,
    pub table: LineTable,
    pub purpose: Purpose<'a>,
    pub destinations: &'a [Destination],
    /// Refused lines to keep for the receipt.
    pub listed_max: usize,
}

/// Why the packet is read.
#[derive(Clone, Copy, PartialEq)]
pub enum Purpose<'a> {
    /// To be compared with what is stored.
    Stage,
    /// To be posted, knowing what the comparison found; `None` when there was none yet.
    Post(Option<&'a [Finding]>),
}

/// Why reading ended early.
#[derive(Debug)]
pub enum Stop {
    /// The packet is refused whole.
    Refused(PacketRefusal),
    /// A line takes an earlier one back: the packet must be compared with what is stored first.
    NeedsComparison,
    /// Nobody takes the rows any more; the other side knows why.
    SinkClosed,
    Failed(Fault),
}

/// What reading found.
#[derive(Default)]
pub struct Tally {
    pub counts: Counts,
    pub totals: Totals,
    /// Refused lines as rows, and the first of them for the receipt.
    pub refusals: Rows,
    pub listed: Vec<ListedRefusal>,
    pub runs: Rows,
    pub ranges: Vec<Range>,
    pub revoked: Vec<Revoked>,
}

/// A refused line as a receipt shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ListedRefusal {
    pub index: u64,
    pub element: String,
    pub content: String,
    pub reason: String,
}

/// Where rows go.
pub enum Sink {
    /// A small packet's rows, kept until it is written with others.
    Memory(Rows),
    /// A large packet's rows, on their way to COPY.
    Stream { chunks: mpsc::Sender<Bytes>, buffer: Vec<u8> },
}

impl Sink {
    pub fn stream(chunks: mpsc::Sender<Bytes>) -> Sink {
        Sink::Stream { chunks, buffer: Vec::with_capacity(CHUNK + 1024) }
    }

    fn row(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Stop> {
        match self {
            Sink::Memory(rows) => rows.add_written(write).map_err(disk),
            Sink::Stream { chunks, buffer } => {
                write(buffer);
                if buffer.len() < CHUNK {
                    return Ok(());
                }
                let full = std::mem::replace(buffer, Vec::with_capacity(CHUNK + 1024));
                chunks.blocking_send(full.into()).map_err(|_| Stop::SinkClosed)
            }
        }
    }

    fn finish(&mut self) -> Result<(), Stop> {
        match self {
            Sink::Stream { chunks, buffer } if !buffer.is_empty() => chunks.blocking_send(std::mem::take(buffer).into()).map_err(|_| Stop::SinkClosed),
            _ => Ok(()),
        }
    }
}

/// Reads the whole packet into the sink.
pub fn read_packet(reader: &mut PacketReader<'_>, reading: &Reading<'_>, sink: &mut Sink) -> Result<Tally, Stop> {
    let mut record = reader.new_record();
    let mut state = State {
        reading,
        facts: facts(reading.purpose),
        tally: Tally::default(),
        ranges: Ranges::new(reading.destinations),
        run: None,
        refused: HashSet::new(),
        taken_back: HashSet::new(),
    };
    let mut position = 0_i32;
    while let Some(line) = reader.next(&mut record).map_err(Stop::Refused)? {
        position += 1;
        match line {
            Line::Refused(refusal) => {
                let listed =
                    ListedRefusal { index: refusal.index, element: refusal.element, content: refusal.content.unwrap_or_default(), reason: refusal.reason };
                state.refuse(position, listed)?;
            }
            Line::Good { index, .. } => {
                if let Err(fault) = state.good(&record, position, sink)? {
                    let listed = explain(reader, index, &fault);
                    state.refuse(position, listed)?;
                }
            }
        }
    }
    sink.finish()?;
    state.end_run()?;
    state.tally.ranges = state.ranges.finish();
    Ok(state.tally)
}

fn facts<'a>(purpose: Purpose<'a>) -> &'a [Finding] {
    match purpose {
        Purpose::Post(Some(findings)) => findings,
        _ => &[],
    }
}

/// Names the sender's element and, unless private, its content.
fn explain(reader: &PacketReader<'_>, index: u64, fault: &LineFault) -> ListedRefusal {
    let content = reader.content_of(fault.field).unwrap_or_default();
    ListedRefusal { index, element: reader.element_of(fault.field).to_string(), content, reason: fault.reason.clone() }
}

struct State<'a> {
    reading: &'a Reading<'a>,
    /// Findings not reached yet, in order of the packet.
    facts: &'a [Finding],
    tally: Tally,
    ranges: Ranges<'a>,
    run: Option<Run>,
    /// Lines the comparison refused: a copy of one is no duplicate of anything posted.
    refused: HashSet<i32>,
    /// Stored lines this packet has taken back so far.
    taken_back: HashSet<(i64, i32)>,
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

impl<'a> State<'a> {
    /// Handles a line that was decoded; the inner error is a refusal of this line alone.
    fn good(&mut self, record: &Record, position: i32, sink: &mut Sink) -> Result<Result<(), LineFault>, Stop> {
        match self.reading.table {
            LineTable::Employer => match line::employer_line(record, position, self.reading.rules) {
                Ok(line) => self.employer(line, sink),
                Err(fault) => Ok(Err(fault)),
            },
            LineTable::Employee => match line::employee_line(record, position, self.reading.rules) {
                Ok(line) => self.employee(line, sink),
                Err(fault) => Ok(Err(fault)),
            },
        }
    }

    fn employer<'l>(&mut self, mut line: EmployerLine<'l>, sink: &mut Sink) -> Result<Result<(), LineFault>, Stop>
    where
        'a: 'l,
    {
        let total = match LineFault::total(&line.paid) {
            Ok(total) => total,
            Err(fault) => return Ok(Err(fault)),
        };
        let key = detail_key(self.reading.sender_id, line.head.detail_no);
        let id = self.reading.packet_id;
        if self.reading.purpose == Purpose::Stage {
            return sink.row(|buffer| employer_row(buffer, id, key, &line)).map(Ok);
        }
        let original = match self.verdict(line.head.record_index, line.head.revoke, line_field(LineTable::Employer))? {
            Verdict::Post(original) => original,
            Verdict::Duplicate => return self.duplicate(total).map(Ok),
            Verdict::Refuse(fault) => {
                self.refused.insert(line.head.record_index);
                return Ok(Err(fault));
            }
        };
        if let Some(original) = &original {
            if let Err(fault) = takes_back(&mut line.paid, original) {
                self.refused.insert(line.head.record_index);
                return Ok(Err(fault));
            }
            line.head.district = original.district;
            line.head.contribution_month = original.contribution_month;
            line.rate_id = &original.rate_id;
            self.take_back(line.head.record_index, original, line.paid);
        }
        sink.row(|buffer| employer_row(buffer, id, key, &line))?;
        self.post(&line)?;
        Ok(Ok(()))
    }

    fn employee(&mut self, line: EmployeeLine<'_>, sink: &mut Sink) -> Result<Result<(), LineFault>, Stop> {
        let key = detail_key(self.reading.sender_id, line.head.detail_no);
        let id = self.reading.packet_id;
        if self.reading.purpose == Purpose::Stage {
            return sink.row(|buffer| employee_row(buffer, id, key, &line)).map(Ok);
        }
        match self.verdict(line.head.record_index, line.head.revoke, line_field(LineTable::Employee))? {
            Verdict::Post(None) => {}
            Verdict::Post(Some(original)) => self.take_back(line.head.record_index, original, Paid::default()),
            Verdict::Duplicate => return self.duplicate(Fen::ZERO).map(Ok),
            Verdict::Refuse(fault) => {
                self.refused.insert(line.head.record_index);
                return Ok(Err(fault));
            }
        }
        sink.row(|buffer| employee_row(buffer, id, key, &line))?;
        self.tally.counts.received += 1;
        self.tally.counts.posted += 1;
        self.extend_run(&line)?;
        Ok(Ok(()))
    }

    fn take_back(&mut self, record: i32, original: &Original, paid: Paid) {
        self.taken_back.insert((original.packet_id, original.record_index));
        self.tally.revoked.push(Revoked { record, packet_id: original.packet_id, record_index: original.record_index, paid });
    }

    fn post(&mut self, line: &EmployerLine<'_>) -> Result<(), Stop> {
        let paid = &line.paid;
        let total = paid.total().ok_or_else(too_much)?;
        self.tally.counts.received += 1;
        self.tally.counts.posted += 1;
        add(&mut self.tally.counts.received_fen, total)?;
        add(&mut self.tally.counts.posted_fen, total)?;
        let district = District::parse(&format!("{:06}", line.head.district)).ok_or_else(too_much)?;
        for (fund, amount) in [(Fund::Medical, paid.medical), (Fund::LongTermCare, paid.long_term_care)] {
            self.tally.totals.add(district, line.head.contribution_month, fund, (Source::EmployerPaid, amount)).map_err(|_| too_much())?;
        }
        if line.head.revoke {
            return Ok(()); // told behind its original, not with this packet's other lines
        }
        self.ranges.add(line.head.record_index, paid).ok_or_else(too_much)
    }

    fn duplicate(&mut self, total: Fen) -> Result<(), Stop> {
        self.tally.counts.received += 1;
        self.tally.counts.duplicate += 1;
        add(&mut self.tally.counts.received_fen, total)
    }

    fn refuse(&mut self, position: i32, refusal: ListedRefusal) -> Result<(), Stop> {
        if self.reading.purpose == Purpose::Stage {
            return Ok(());
        }
        self.tally.counts.received += 1;
        self.tally.counts.refused += 1;
        let packet_id = self.reading.packet_id;
        let write = self.tally.refusals.add(5, |row| {
            row.bigint(packet_id);
            row.int(position);
            row.text(&refusal.element);
            row.text_or_null(Some(storable(&refusal.content).as_ref()).filter(|content| !content.is_empty()));
            row.text(&refusal.reason);
        });
        if self.tally.listed.len() < self.reading.listed_max {
            self.tally.listed.push(refusal);
        }
        write.map_err(disk)
    }

    /// What the comparison with stored lines means for this one.
    fn verdict(&mut self, position: i32, revoke: bool, field: FieldId) -> Result<Verdict<'a>, Stop> {
        let refuse = |reason: String| Ok(Verdict::Refuse(LineFault { field, reason }));
        let fact = match self.facts.split_first() {
            Some((finding, rest)) if finding.record_index == position => {
                self.facts = rest;
                &finding.fact
            }
            _ if revoke && self.reading.purpose == Purpose::Post(None) => return Err(Stop::NeedsComparison),
            _ => return Ok(Verdict::Post(None)),
        };
        match fact {
            Fact::Repeats { earlier_index, same: true } if self.refused.contains(earlier_index) => {
                refuse(format!("says the same as record {earlier_index}, which was refused"))
            }
            Fact::Stored { line, .. } if self.taken_back.contains(line) => {
                refuse("this packet revokes the line of this detail number; a corrected line needs a new number".to_string())
            }
            Fact::Revokes(original) => Ok(Verdict::Post(Some(original))),
            Fact::Repeats { same: true, .. } | Fact::Stored { same: true, revoked: false, .. } | Fact::RevokedAlready { .. } => Ok(Verdict::Duplicate),
            Fact::Repeats { earlier_index, .. } => {
                refuse(format!("this detail number stands at record {earlier_index} of the same packet with other content; a line needs a number of its own"))
            }
            Fact::Stored { packet_no, revoked: true, .. } => {
                refuse(format!("this detail number was posted by packet {packet_no} and revoked since; a corrected line needs a new number"))
            }
            Fact::Stored { packet_no, .. } => {
                refuse(format!("this detail number was posted by packet {packet_no} with other content; send a revocation, or replace that packet (SFCF=1)"))
            }
            Fact::RevokesNothing => refuse("no line of this detail number is posted, so there is nothing to revoke".to_string()),
        }
    }

    fn extend_run(&mut self, line: &EmployeeLine<'_>) -> Result<(), Stop> {
        let month = line.head.contribution_month.number();
        let sign = if line.head.revoke { -1 } else { 1 };
        match &mut self.run {
            Some(run) if run.receipt_no == line.head.receipt_no && run.employer_no == line.head.employer_no && run.month == month => {
                run.last = line.head.record_index;
                run.lines += 1;
                add(&mut run.employer_paid, Fen(line.employer_paid.0 * sign))?;
                add(&mut run.employee_paid, Fen(line.employee_paid.0 * sign))
            }
            _ => {
                self.end_run()?;
                self.run = Some(Run {
                    first: line.head.record_index,
                    last: line.head.record_index,
                    receipt_no: line.head.receipt_no.to_string(),
                    employer_no: line.head.employer_no.to_string(),
                    month,
                    lines: 1,
                    employer_paid: line.employer_paid.0 * sign,
                    employee_paid: line.employee_paid.0 * sign,
                });
                Ok(())
            }
        }
    }

    fn end_run(&mut self) -> Result<(), Stop> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let packet_id = self.reading.packet_id;
        let write = self.tally.runs.add(9, |row| {
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
        write.map_err(disk)
    }
}

/// What to do with a line.
enum Verdict<'a> {
    /// Post it; with the line it takes back.
    Post(Option<&'a Original>),
    Duplicate,
    Refuse(LineFault),
}

/// A revocation takes back exactly what its original was, so it must state the same amounts (either sign is in use).
fn takes_back(paid: &mut Paid, original: &Original) -> Result<(), LineFault> {
    let undone = original.paid.negated();
    let stated = Paid { medical: undone.medical, long_term_care: undone.long_term_care, ..*paid };
    let opposite = Paid { medical: undone.medical, long_term_care: undone.long_term_care, ..paid.negated() };
    if stated != undone && opposite != undone {
        let reason = format!("states other amounts than the line it revokes, whose employer's part is {}", original.paid.employer);
        return Err(LineFault::paid(reason));
    }
    *paid = undone;
    Ok(())
}

fn line_field(table: LineTable) -> FieldId {
    use crate::model::records::{employee_collection, employer_collection};
    match table {
        LineTable::Employer => employer_collection::DETAIL_NO,
        LineTable::Employee => employee_collection::DETAIL_NO,
    }
}

/// PostgreSQL text cannot hold NUL.
fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

fn add(sum: &mut i64, amount: Fen) -> Result<(), Stop> {
    *sum = sum.checked_add(amount.0).ok_or_else(too_much)?;
    Ok(())
}

fn too_much() -> Stop {
    Stop::Failed(Fault::partner(Stage::Apportion, "the packet's amounts add up to more than can be accounted for; send it in several packets"))
}

fn disk(error: std::io::Error) -> Stop {
    Stop::Failed(Fault::later(Stage::Store, format!("a temporary file cannot be written: {error}; check the free space of the temporary folder")))
}
