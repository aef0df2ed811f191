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

use std::sync::Arc;

use crate::adapter::{
    Adapter, Endpoint, HeadSeen, PacketHead, PacketReader, PacketRefusal, RefusalKind,
};
use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::model::records::{employee_collection, employer_collection};
use crate::model::{Month, mask};
use crate::store::collect::{
    DeliveryRow, PacketRow, PacketRows, PostError, Posting, PostingRow, RefusalNote, StoredPacket,
};
use crate::store::lines::LineTable;
use crate::store::replace::{Replaced, Replacement};
use crate::store::verdicts::Revoked;

use super::Gateway;

mod destinations;
mod group;
mod history;
mod line;
mod money;
mod open;
mod pass;
mod read;
mod reason;
pub(super) mod receipt;
mod spool;
mod verdict;

pub use destinations::{Destination, concerns, share};
use group::Committed;
pub use group::Group;
use history::Histories;
pub use read::ListedRefusal;
pub use spool::{Body, Spool, SpoolError, SpoolLimits};

use line::Rules;
use pass::Pass;
use read::{Purpose, Reading, Sink, Stop, Tally, read_content, read_packet};
pub use receipt::Reply;
pub(super) use receipt::{ListedNote, Replier};

/// How often a packet is looked up and tried when others interfere at the same instant; the first look only waits for its turn.
const TRIES: usize = 12;
/// How often a small packet is read on top of what is stored by then, before it goes the exact way.
const GROUP_TRIES: usize = 6;
/// Packets read and posted on their own at once, and never more than half the database connections.
pub const ALONE_MAX: usize = 8;

/// A packet as it arrived.
#[derive(Clone)]
pub struct Arrival {
    pub partner: Arc<Partner>,
    pub adapter: Arc<Adapter>,
    /// The endpoint's name in the adapter.
    pub endpoint: String,
    pub body: Body,
    pub received_at: jiff::Timestamp,
}

/// Why a packet was not taken.
enum Refused {
    /// The sender must mend it: status and reason.
    Whole {
        status: u16,
        reason: String,
        head: HeadSeen,
    },
    /// We could not; the sender may send it again.
    Failed(Fault),
}

/// Takes a packet; a fault means that nothing was kept and the sender should send it again.
pub async fn receive(gateway: &Gateway, arrival: &Arrival) -> Result<Reply, Fault> {
    match take(gateway, arrival).await {
        Ok(reply) => Ok(reply),
        Err(Refused::Failed(fault)) => Err(fault),
        Err(Refused::Whole {
            status,
            reason,
            head,
        }) => {
            let (packet_no, reason) = (
                head.packet_no.as_deref().map(mask::content),
                mask::text(&reason),
            );
            let packet_no = packet_no.as_deref();
            tracing::info!(partner = %arrival.partner.name, packet_no, status, %reason, "packet refused whole");
            let reason = reason::of_packet(status, &reason);
            let note = RefusalNote {
                sender: &arrival.partner.name,
                packet_no,
                digest: arrival.body.digest,
                status,
                reason: &reason,
            };
            gateway.store.note_refusal(&note).await?;
            let untaken = head.untaken.clone();
            Ok(Reply {
                untaken,
                ..replier(arrival, Some(head))?.refused(status, &reason)?
            })
        }
    }
}

/// Whether packets of collected money are read at an adapter's endpoint; others have flows of their own.
pub fn takes_packets(endpoint: &Endpoint) -> bool {
    endpoint
        .inbounds()
        .all(|inbound| table_of(inbound.message().name).is_some())
}

/// Where the lines of a message are kept.
fn table_of(message: &str) -> Option<LineTable> {
    match message {
        name if name == employer_collection::SPEC.name => Some(LineTable::Employer),
        name if name == employee_collection::SPEC.name => Some(LineTable::Employee),
        _ => None,
    }
}

/// The receipt for a body that never became a packet (too large, not gzip, cut off).
pub fn refuse_body(
    adapter: &Adapter,
    endpoint: &str,
    status: u16,
    reason: &str,
) -> Result<Reply, Fault> {
    let endpoint = adapter
        .endpoint(endpoint)
        .ok_or_else(|| no_endpoint(adapter, endpoint))?;
    Replier {
        adapter,
        endpoint,
        head: None,
        received_at: jiff::Timestamp::now(),
    }
    .refused(status, &reason::of_packet(status, reason))
}

async fn take(gateway: &Gateway, arrival: &Arrival) -> Result<Reply, Refused> {
    let (packet, reader) = Packet::open(gateway, arrival).await?;
    let mut content = None;
    let at_once = match reader {
        Some(reader) if !packet.head.replaces => packet.post_in_group(reader, &mut content).await?,
        _ => None,
    };
    let reply = match at_once {
        Some(reply) => reply,
        None => packet.post_alone(content).await?,
    };
    receipt::log(&arrival.partner.name, &packet.head, &reply);
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

impl Packet<'_> {
    /// The quick way, in one reading where no history of the packet is stored; `None` when the packet must go the other.
    /// What it says is noted once it is known.
    async fn post_in_group(
        &self,
        reader: PacketReader<'_>,
        content: &mut Option<[u8; 32]>,
    ) -> Result<Option<Reply>, Refused> {
        let packet_id = self.new_id().await?;
        let (mut reader, mut histories) = (Some(reader), Histories::numbered());
        for _ in 0..GROUP_TRIES {
            let reader = reader
                .take()
                .map_or_else(|| self.reopen(), Ok)
                .map_err(|stop| refused(stop, &self.head))?;
            let mut sink = Sink::Memory(Default::default());
            let mut tally = match self.read(
                reader,
                (packet_id, Purpose::Post(None)),
                histories,
                &mut sink,
            ) {
                Ok(tally) => tally,
                Err(Stop::NeedsComparison) => return Ok(None),
                Err(stop) => return Err(refused(stop, &self.head)),
            };
            *content = Some(tally.content);
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
                Ok(Committed::Written) => {
                    (self.gateway.wake)(&self.gateway.audience.lines);
                    return Ok(Some(reply));
                }
                Ok(Committed::Histories(stored)) => histories = self.on_top(&stored).await?,
                Err(PostError::Failed(fault)) => return Err(Refused::Failed(fault)),
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The exact way: repeats, replacements, revocations, large packets.
    async fn post_alone(&self, mut content: Option<[u8; 32]>) -> Result<Reply, Refused> {
        let mut turn = None;
        let mut compare = false;
        for _ in 0..TRIES {
            let stored = self
                .gateway
                .store
                .find_packet(
                    &self.arrival.partner.name,
                    &self.head.packet_no,
                    &self.arrival.body.digest,
                )
                .await
                .map_err(Refused::Failed)?;
            let replaces = match stored {
                Some(stored) if stored.digest == self.arrival.body.digest => {
                    return Ok(saved(stored));
                }
                Some(stored) => {
                    // Only now is it worth reading: bytes that differ may say the same.
                    if content.is_none() && stored.has_content && turn.is_some() {
                        content = Some(self.read_content().await?);
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
                Err(Again::Compare) => compare = true,
                Err(Again::Number) => {}
                Err(Again::Never(refused)) => return Err(refused),
            }
        }
        Err(Refused::Failed(Fault::later(
            Stage::Store,
            "other packets with the same numbers are being posted at this instant; send again",
        )))
    }

    /// The reply to the packet of this number that says the same. One that is to replace another is no repeat of what was replaced before.
    async fn repeat(&self, content: Option<[u8; 32]>) -> Result<Option<Reply>, Refused> {
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
            .await
            .map_err(Refused::Failed)?;
        Ok(found.map(saved))
    }

    /// Reads the packet on a thread of its own, only to know what it says.
    async fn read_content(&self) -> Result<[u8; 32], Refused> {
        let (gateway, arrival) = (self.gateway.clone(), self.arrival.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let endpoint = arrival
                .adapter
                .endpoint(&arrival.endpoint)
                .ok_or_else(|| Stop::Failed(no_endpoint(&arrival.adapter, &arrival.endpoint)))?;
            read_content(
                &mut endpoint
                    .open(
                        arrival.body.reader(),
                        gateway.config.gateway.receive.lines_max,
                    )
                    .map_err(Stop::Refused)?,
            )
        });
        reading
            .await
            .map_err(|error| ended(&error))?
            .map_err(|stop| refused(stop, &self.head))
    }

    async fn post(&self, replaces: Option<i64>, compare: bool) -> Result<Reply, Again> {
        let ids = self.gateway.store.ids(2).await.map_err(Refused::Failed)?;
        let (packet_id, reversal_id) = (ids[0], ids[1]);
        let posting = Posting::begin(&self.gateway.store).await?;
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
            if let Replaced::RevokedBy(other) = posting.replace(replacement).await? {
                let reason = format!(
                    "packet {} cannot be replaced: packet {other} has revoked lines of it; revoke and send single lines instead",
                    self.head.packet_no
                );
                return Err(Again::Never(Refused::Whole {
                    status: 409,
                    reason,
                    head: seen(&self.head),
                }));
            }
        }
        let pass = match staged {
            Some(transfer_fields) => self.compare(&posting, &transfer_fields).await?,
            None => Pass::Post(None, Histories::at_zero().into()),
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
        posting: &Posting,
        packet_id: i64,
        revoked: &[Revoked],
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
            let told: Vec<(&Revoked, i64)> = told
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
    fn reopen(&self) -> Result<PacketReader<'_>, Stop> {
        let endpoint = self
            .arrival
            .adapter
            .endpoint(&self.arrival.endpoint)
            .ok_or_else(|| {
                Stop::Failed(no_endpoint(&self.arrival.adapter, &self.arrival.endpoint))
            })?;
        endpoint
            .open(
                self.arrival.body.reader(),
                self.gateway.config.gateway.receive.lines_max,
            )
            .map_err(Stop::Refused)
    }

    fn read(
        &self,
        mut reader: PacketReader<'_>,
        (packet_id, purpose): (i64, Purpose<'_>),
        histories: Histories,
        sink: &mut Sink,
    ) -> Result<Tally, Stop> {
        let (book, destinations) = (&*self.gateway.book, &*self.gateway.destinations);
        let reading = Reading {
            rules: Rules {
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
        tally: Tally,
        rows: &mut PacketRows,
    ) -> Result<Reply, Refused> {
        let reply = replier(self.arrival, Some(seen(&self.head)))
            .and_then(|replier| replier.taken(tally.counts, &tally.listed))
            .map_err(Refused::Failed)?;
        let mut ids = self
            .gateway
            .store
            .ids(1 + tally.ranges.len())
            .await
            .map_err(Refused::Failed)?
            .into_iter();
        let entry_id = ids.next().unwrap_or(packet_id);
        let postings: Vec<PostingRow<'_>> = tally
            .totals
            .postings()
            .iter()
            .map(|posting| PostingRow {
                entry_id,
                account: posting.account,
                district: posting.district.number().cast_signed(),
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
        fill(rows, &packet, entry_id, &postings, deliveries)
            .map_err(|error| failed(error.into()))?;
        rows.refusals = tally.refusals;
        rows.runs = tally.runs;
        Ok(reply)
    }

    fn conflict(&self) -> Refused {
        let mut reason = format!(
            "packet number {} was used for other content; a new packet needs a new number",
            self.head.packet_no
        );
        if let Some(word) = &self.head.replacing_word {
            reason += &format!(", a corrected one must say that it replaces ({word})");
        }
        Refused::Whole {
            status: 409,
            reason,
            head: seen(&self.head),
        }
    }

    async fn new_id(&self) -> Result<i64, Refused> {
        Ok(self.gateway.store.ids(1).await.map_err(Refused::Failed)?[0])
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

/// Whether and how a packet is tried again.
enum Again {
    /// A detail number or a place in a history is taken: compare with what is stored.
    Compare,
    /// The packet number was taken meanwhile: look again.
    Number,
    Never(Refused),
}

impl From<PostError> for Again {
    fn from(error: PostError) -> Again {
        match error {
            PostError::NumberTaken => Again::Number,
            PostError::DetailTaken | PostError::HistoryTaken => Again::Compare,
            PostError::Failed(fault) => Again::Never(Refused::Failed(fault)),
        }
    }
}

impl From<Refused> for Again {
    fn from(refused: Refused) -> Again {
        Again::Never(refused)
    }
}

fn ended(error: &tokio::task::JoinError) -> Refused {
    Refused::Failed(Fault::later(
        Stage::Decode,
        format!("reading a packet ended unexpectedly: {error}; send again"),
    ))
}

fn failed(error: PostError) -> Refused {
    match error {
        PostError::Failed(fault) => Refused::Failed(fault),
        PostError::NumberTaken | PostError::DetailTaken | PostError::HistoryTaken => {
            Refused::Failed(Fault::later(
                Stage::Store,
                "a number was taken at this instant; send again",
            ))
        }
    }
}

fn refused(stop: Stop, head: &PacketHead) -> Refused {
    match stop {
        Stop::Refused(refusal) => whole(refusal),
        Stop::Failed(fault) if fault.origin == crate::error::Origin::Partner => Refused::Whole {
            status: 400,
            reason: fault.text,
            head: seen(head),
        },
        Stop::Failed(fault) => Refused::Failed(fault),
        Stop::NeedsComparison | Stop::SinkClosed => Refused::Failed(Fault::later(
            Stage::Store,
            "the database took no more rows; send again",
        )),
    }
}

fn whole(refusal: PacketRefusal) -> Refused {
    match refused_whole(&refusal) {
        Ok((status, reason)) => Refused::Whole {
            status,
            reason,
            head: refusal.head,
        },
        Err(fault) => Refused::Failed(fault),
    }
}

/// HTTP status and reason of a document that is refused whole.
///
/// # Errors
/// The body was complete and digested before: what cannot be read now is our own disk.
pub(super) fn refused_whole(refusal: &PacketRefusal) -> Result<(u16, String), Fault> {
    let status = match refusal.kind {
        RefusalKind::TooManyLines => 413,
        RefusalKind::Unreadable => return Err(Fault::later(Stage::Decode, refusal.reason.clone())),
        _ => 400,
    };
    let element = refusal
        .element
        .as_deref()
        .map_or_else(String::new, |element| format!("{element}: "));
    Ok((status, format!("{element}{}", refusal.reason)))
}

fn saved(stored: StoredPacket) -> Reply {
    Reply {
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

fn replier(arrival: &Arrival, head: Option<HeadSeen>) -> Result<Replier<'_>, Fault> {
    let adapter: &Adapter = &arrival.adapter;
    let endpoint = adapter
        .endpoint(&arrival.endpoint)
        .ok_or_else(|| no_endpoint(adapter, &arrival.endpoint))?;
    Ok(Replier {
        adapter,
        endpoint,
        head,
        received_at: arrival.received_at,
    })
}

fn no_packets(endpoint: &str, message: &str) -> Fault {
    Fault::operator(
        Stage::Config,
        format!(
            "endpoint `{endpoint}` reads {message}, which are no packets of collected money; mend the partner's routes"
        ),
    )
}

fn no_endpoint(adapter: &Adapter, endpoint: &str) -> Fault {
    Fault::operator(
        Stage::Config,
        format!(
            "adapter {} has no endpoint `{endpoint}`; its [[inbound]] or the partner's routes must be mended",
            adapter.name()
        ),
    )
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
