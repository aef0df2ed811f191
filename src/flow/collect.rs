//! A partner's packet becomes posted money: read, checked, apportioned, posted, queued, answered.
//!
//! The reply goes out after the commit, so it means: durable, apportioned, posted, queued. No
//! database connection is held while a partner's bytes arrive; nothing of a packet refused whole
//! stays but a note.
//!
//! Two ways in. Small packets of a new number are read in place and committed in groups. All
//! others are read on a thread of their own while their rows flow into COPY; when a number turns
//! out to be taken, or a line takes another back, the packet is staged, compared with what is
//! stored and read once more with the findings at hand.

use crate::adapter::{HeadSeen, PacketHead, PacketReader};
use crate::model::records::{employee_collection, employer_collection};
use crate::model::{Fen, Month, RecordSpec};
use crate::store::collect::{
    DeliveryRow, PacketCounts, PacketRow, PacketRows, PacketTransaction, PostError, PostingRow,
    StoredPacket,
};
use crate::store::lines::LineTable;
use crate::store::replace::{Replacement, ReplacementOutcome};
use crate::store::verdicts::RevokedLine;

use super::Gateway;
use super::intake::{Arrival, IntakeEnding, IntakeReply};

mod destinations;
mod group;
mod history;
mod line;
mod money;
mod open;
mod pass;
mod read;
mod verdict;

pub use destinations::{FundDestination, concerns, share};
pub use group::Group;
use group::GroupOutcome;
use history::Histories;

use line::CollectionRules;
use pass::ReadingPass;
use read::{PacketReading, PacketTally, Purpose, Sink, read_packet};

/// How often a packet is looked up and tried when others interfere at the same instant; the first look only waits for its turn.
const TRIES: usize = 12;
/// How often a small packet is read on top of what is stored by then, before it goes the exact way.
const GROUP_TRIES: usize = 6;
/// Packets read and posted on their own at once, and never more than half the database connections.
pub const ALONE_MAX: usize = 8;

/// Where the lines of a message are kept; nowhere where they are no collected money.
fn table_of(message: &RecordSpec) -> Option<LineTable> {
    match message.name {
        name if name == employer_collection::SPEC.name => Some(LineTable::Employer),
        name if name == employee_collection::SPEC.name => Some(LineTable::Employee),
        _ => None,
    }
}

/// Takes a packet.
pub(super) async fn take(
    gateway: &Gateway,
    arrival: &Arrival,
) -> Result<IntakeReply, IntakeEnding> {
    let (packet, reader) = Packet::open(gateway, arrival).await?;
    let reply = packet
        .take(reader)
        .await
        .map_err(|ending| ending.of(|| seen(&packet.head)))?;
    log(&arrival.partner.name, &packet.head, &reply);
    Ok(reply)
}

/// A packet whose head has been read.
struct Packet<'a> {
    gateway: &'a Gateway,
    arrival: &'a Arrival,
    head: PacketHead,
    table: LineTable,
    sender_id: u16,
    earliest: Month,
    latest: Month,
}

/// What a reading on the quick way found out for the exact one.
#[derive(Default)]
struct Learnt {
    /// Digest of what the packet says.
    content: Option<[u8; 32]>,
    /// Whether its lines must be compared with what is stored.
    compare: bool,
}

impl Packet<'_> {
    async fn take(&self, reader: Option<PacketReader<'_>>) -> Result<IntakeReply, IntakeEnding> {
        let mut learnt = Learnt::default();
        let at_once = match reader {
            Some(reader) if !self.head.replaces => self.post_in_group(reader, &mut learnt).await?,
            _ => None,
        };
        match at_once {
            Some(reply) => Ok(reply),
            None => self.post_alone(learnt).await,
        }
    }

    /// The quick way, in one reading where no history of the packet is stored; `None` when the packet must go the other.
    /// What it says is noted once it is known.
    async fn post_in_group(
        &self,
        reader: PacketReader<'_>,
        learnt: &mut Learnt,
    ) -> Result<Option<IntakeReply>, IntakeEnding> {
        let packet_id = self.new_id().await?;
        let (mut reader, mut histories) = (Some(reader), Histories::numbered());
        for _ in 0..GROUP_TRIES {
            let reader = reader.take().map_or_else(|| self.reopen(), Ok)?;
            let mut sink = Sink::Memory(Default::default());
            let mut tally = match self.read(
                reader,
                (packet_id, Purpose::Post(None)),
                histories,
                &mut sink,
            ) {
                Ok(tally) => tally,
                Err(IntakeEnding::NeedsComparison) => {
                    learnt.compare = true;
                    return Ok(None);
                }
                Err(ending) => return Err(ending),
            };
            learnt.content = Some(tally.content);
            let keys = std::mem::take(&mut tally.histories);
            let mut rows = PacketRows::default();
            if let Sink::Memory(lines) = sink {
                match self.table {
                    LineTable::Employer => rows.employer_lines = lines,
                    LineTable::Employee => rows.employee_lines = lines,
                }
            }
            let reply = self.finish(packet_id, None, tally, &mut rows).await?;
            match self.gateway.group.commit(rows, keys).await {
                Ok(GroupOutcome::Written) => {
                    (self.gateway.wake)(&self.gateway.audience.lines);
                    return Ok(Some(reply));
                }
                Ok(GroupOutcome::Histories(stored)) => histories = self.on_top(&stored).await?,
                Err(PostError::Failed(fault)) => return Err(IntakeEnding::Failed(fault)),
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The exact way: repeats, replacements, revocations, large packets.
    async fn post_alone(&self, learnt: Learnt) -> Result<IntakeReply, IntakeEnding> {
        let Learnt {
            mut content,
            mut compare,
        } = learnt;
        let mut turn = None;
        for _ in 0..TRIES {
            let stored = self
                .gateway
                .store
                .find_packet(
                    &self.arrival.partner.name,
                    &self.head.packet_no,
                    &self.arrival.body.digest,
                )
                .await?;
            let replaces = match stored {
                Some(stored) if stored.digest == self.arrival.body.digest => {
                    return Ok(saved(stored));
                }
                Some(stored) => {
                    // Only now is it worth reading: bytes that differ may say the same.
                    if content.is_none() && stored.has_content && turn.is_some() {
                        content = Some(
                            self.arrival
                                .content(self.lines_max(), String::new())
                                .await?,
                        );
                    }
                    if let Some(reply) = self.repeat(content).await? {
                        return Ok(reply);
                    }
                    if !self.head.replaces && (content.is_some() || !stored.has_content) {
                        return Err(self.conflict());
                    }
                    Some(stored.packet_id)
                }
                None => None,
            };
            // Waits without a connection, so packets on their own never take them all; copies need no turn.
            if turn.is_none() {
                turn = Some(self.gateway.alone.wait(&self.arrival.partner.name).await);
                continue;
            }
            match self.post(replaces, compare).await {
                Ok(reply) => {
                    (self.gateway.wake)(&self.gateway.audience.lines);
                    return Ok(reply);
                }
                Err(IntakeEnding::NeedsComparison) => compare = true,
                Err(IntakeEnding::NumberTaken) => {}
                Err(ending) => return Err(ending),
            }
        }
        Err(IntakeEnding::NumberTaken)
    }

    /// The reply to the packet of this number that says the same. One that is to replace another is no repeat of what was replaced before.
    async fn repeat(&self, content: Option<[u8; 32]>) -> Result<Option<IntakeReply>, IntakeEnding> {
        let Some(content) = content else {
            return Ok(None);
        };
        let number = (
            self.arrival.partner.name.as_str(),
            self.head.packet_no.as_str(),
        );
        let found = self
            .gateway
            .store
            .find_packet_saying(number, &content, self.head.replaces)
            .await?;
        Ok(found.map(saved))
    }

    async fn post(
        &self,
        replaces: Option<i64>,
        compare: bool,
    ) -> Result<IntakeReply, IntakeEnding> {
        let ids = self.gateway.store.ids(2).await?;
        let (packet_id, reversal_id) = (ids[0], ids[1]);
        let posting = PacketTransaction::begin(&self.gateway.store).await?;
        let staged = if compare {
            Some(self.stage(&posting, packet_id).await?)
        } else {
            None
        };
        if let Some(old) = replaces {
            let replacement = Replacement {
                old,
                new: packet_id,
                entry: reversal_id,
                at: self.arrival.received_at,
            };
            if let ReplacementOutcome::RevokedBy(other) = posting.replace(replacement).await? {
                let reason = format!(
                    "packet {} cannot be replaced: packet {other} has revoked lines of it; revoke and send single lines instead",
                    self.head.packet_no
                );
                return Err(IntakeEnding::refused(409, reason));
            }
        }
        let pass = match staged {
            Some(transfer_fields) => self.compare(&posting, &transfer_fields).await?,
            None => ReadingPass::Post(None, Histories::at_zero().into()),
        };
        let mut tally = self.stream(&posting, packet_id, pass).await?;
        let revoked = std::mem::take(&mut tally.revoked);
        let mut rows = PacketRows::default();
        let reply = self.finish(packet_id, replaces, tally, &mut rows).await?;
        posting.write(rows).await?;
        // Behind the packet's own deliveries: it may take back a line of its own.
        self.revoke(&posting, packet_id, &revoked).await?;
        posting.commit().await?;
        Ok(reply)
    }

    /// Marks the lines taken back and queues that for every destination that was told of them.
    async fn revoke(
        &self,
        posting: &PacketTransaction,
        packet_id: i64,
        revoked: &[RevokedLine],
    ) -> Result<(), PostError> {
        if revoked.is_empty() {
            return Ok(());
        }
        posting.mark_revoked(self.table, packet_id, revoked).await?;
        for destination in self.gateway.destinations.iter() {
            let told = revoked.iter().filter(|line| {
                concerns(
                    destination.fund,
                    &line.paid,
                    self.gateway.rates.get(&line.rate_id).as_ref(),
                )
            });
            let told: Vec<(&RevokedLine, i64)> = told
                .map(|line| (line, share(destination.fund, &line.paid)))
                .collect();
            posting
                .queue_revocations(
                    packet_id,
                    (&destination.partner, &destination.message),
                    &told,
                )
                .await?;
        }
        Ok(())
    }

    /// Opens the packet again.
    fn reopen(&self) -> Result<PacketReader<'_>, IntakeEnding> {
        Ok(self.arrival.open(self.lines_max())?)
    }

    fn lines_max(&self) -> u64 {
        self.gateway.config.gateway.receive.lines_max
    }

    fn read(
        &self,
        mut reader: PacketReader<'_>,
        (packet_id, purpose): (i64, Purpose<'_>),
        histories: Histories,
        sink: &mut Sink,
    ) -> Result<PacketTally, IntakeEnding> {
        let (book, destinations) = (&*self.gateway.book, &*self.gateway.destinations);
        let reading = PacketReading {
            rules: CollectionRules {
                book,
                earliest: self.earliest,
                latest: self.latest,
                today: day(self.arrival.received_at),
                destinations,
            },
            sender_id: self.sender_id,
            packet_id,
            table: self.table,
            purpose,
            destinations: &self.gateway.destinations,
            listed_max: self.gateway.config.gateway.receive.refusals_listed_max,
        };
        read_packet(&mut reader, &reading, histories, sink)
    }

    /// Turns the tally into rows and the receipt.
    async fn finish(
        &self,
        packet_id: i64,
        replaces: Option<i64>,
        tally: PacketTally,
        rows: &mut PacketRows,
    ) -> Result<IntakeReply, IntakeEnding> {
        let reply = self
            .arrival
            .replier(Some(seen(&self.head)))
            .taken(tally.counts, &tally.listed)?;
        let mut ids = self
            .gateway
            .store
            .ids(1 + tally.ranges.len())
            .await?
            .into_iter();
        let entry_id = ids.next().unwrap_or(packet_id);
        let postings: Vec<PostingRow<'_>> = tally
            .totals
            .postings()
            .iter()
            .map(|posting| PostingRow {
                entry_id,
                account: posting.account,
                district: posting.district.number(),
                contribution_month: posting.month.number(),
                fund: posting.fund.word(),
                fen: posting.amount.0,
            })
            .collect();
        let packet = PacketRow {
            packet_id,
            sender: &self.arrival.partner.name,
            packet_no: &self.head.packet_no,
            message: self.head.message.name,
            digest: self.arrival.body.digest,
            content: tally.content,
            adapter: self.arrival.adapter.name(),
            adapter_digest: self.arrival.adapter.digest(),
            received_at: self.arrival.received_at,
            counts: tally.counts,
            reply_type: &reply.content_type,
            reply: &reply.body,
            replaces,
        };
        let deliveries = ids
            .zip(&tally.ranges)
            .map(|(delivery_id, range)| DeliveryRow {
                delivery_id,
                destination: &self.gateway.destinations[range.destination].partner,
                message: &self.gateway.destinations[range.destination].message,
                packet_id,
                first_record: range.first,
                last_record: range.last,
                lines: range.lines,
                fen: range.fen,
            });
        fill(rows, &packet, entry_id, &postings, deliveries).map_err(PostError::from)?;
        rows.refusals = tally.refusals;
        rows.runs = tally.runs;
        Ok(reply)
    }

    fn conflict(&self) -> IntakeEnding {
        let mut reason = format!(
            "packet number {} was used for other content; a new packet needs a new number",
            self.head.packet_no
        );
        if let Some(word) = &self.head.replacing_word {
            reason += &format!(", a corrected one must say that it replaces ({word})");
        }
        IntakeEnding::refused(409, reason)
    }

    async fn new_id(&self) -> Result<i64, IntakeEnding> {
        Ok(self.gateway.store.ids(1).await?[0])
    }
}

fn fill<'a>(
    rows: &mut PacketRows,
    packet: &PacketRow<'_>,
    entry_id: i64,
    postings: &[PostingRow<'_>],
    deliveries: impl Iterator<Item = DeliveryRow<'a>>,
) -> std::io::Result<()> {
    rows.add_packet(packet)?;
    if !postings.is_empty() {
        rows.add_entry(entry_id, packet.packet_id, packet.received_at, postings)?;
    }
    for delivery in deliveries {
        rows.add_delivery(&delivery)?;
    }
    Ok(())
}

fn saved(stored: StoredPacket) -> IntakeReply {
    IntakeReply {
        status: 200,
        content_type: stored.reply_type,
        body: stored.reply,
        counts: None,
        untaken: None,
    }
}

/// What a receipt repeats of a head.
fn seen(head: &PacketHead) -> HeadSeen {
    HeadSeen {
        packet_no: Some(head.packet_no.clone()),
        packet_type: Some(head.packet_type.clone()),
        untaken: None,
        encoding: head.encoding,
        values: head.values.clone(),
    }
}

/// One line in the log for every packet that is taken, and for every repeat.
fn log(partner: &str, head: &PacketHead, reply: &IntakeReply) {
    let (packet_no, message) = (&head.packet_no, head.message.name);
    match reply.counts {
        Some(PacketCounts {
            received,
            posted,
            refused,
            duplicate,
            posted_fen,
            ..
        }) => {
            tracing::info!(partner, %packet_no, message, received, posted, refused, duplicate, yuan = %Fen(posted_fen), "packet taken");
        }
        None => {
            tracing::info!(partner, %packet_no, message, "packet taken before; its receipt was given again")
        }
    }
}

/// The day it is then, in China.
fn day(at: jiff::Timestamp) -> jiff::civil::Date {
    at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)))
        .date()
}

/// Contribution months taken now, first and last.
fn months(gateway: &Gateway, now: jiff::Timestamp) -> (Month, Month) {
    let receive = &gateway.config.gateway.receive;
    let this = Month::of(day(now)).expect("the clock is between 1990 and 2199");
    let latest = (0..receive.months_ahead_max).fold(this, |month, _| month.next());
    (
        Month::parse_dashed(&receive.earliest_month).unwrap_or(this),
        latest,
    )
}
