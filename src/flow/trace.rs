//! Where a fen went: a number's packet, apportionment, postings and deliveries, put together.
//!
//! Reads only; how it is shown is the caller's business.

use crate::error::Fault;
use crate::store::Store;
use crate::store::delivery::{self, Delivery, DeliveryDetail};
use crate::store::trace::{
    TracedEmployer, TracedLine, TracedPacket, TracedPosting, TracedRefusal, TracedRefusedLine,
    TracedRun,
};

/// All that is known of one packet, with the lines asked for.
#[derive(Debug)]
pub struct PacketTrace {
    pub packet: TracedPacket,
    /// The lines asked for; none when a packet was asked for.
    pub lines: Vec<TracedLine>,
    /// Refused lines of the packet; none when lines were asked for.
    pub refused: Vec<TracedRefusedLine>,
    /// Employee detail of those lines' receipts.
    pub runs: Vec<TracedRun>,
    /// What the packet posted; of the lines' districts and months only, when lines were asked for.
    pub postings: Vec<TracedPosting>,
    /// Deliveries of the packet; of the lines' records only, when lines were asked for.
    pub deliveries: Vec<Delivery>,
}

/// Everything a number is known as.
#[derive(Debug)]
pub struct TraceMatches {
    /// Packets of that number that were refused whole.
    pub refusals: Vec<TracedRefusal>,
    /// As packet, receipt or detail number.
    pub traced: Vec<PacketTrace>,
    /// As employer number.
    pub employer: Option<TracedEmployer>,
    /// As delivery id.
    pub delivery: Option<DeliveryDetail>,
}

impl TraceMatches {
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty()
            && self.traced.is_empty()
            && self.employer.is_none()
            && self.delivery.is_none()
    }
}

/// Looks a number up as everything it can be.
///
/// # Errors
/// The database cannot be reached.
pub async fn look_up(store: &Store, number: &str) -> Result<TraceMatches, Fault> {
    let refusals = store.trace_refusals(number).await?;
    let traced = trace(store, number).await?;
    let employer = Some(store.trace_employer(number).await?).filter(|employer| employer.lines > 0);
    let delivery = match number.parse() {
        Ok(id) => delivery::show(store.pool(), id).await?,
        Err(_) => None,
    };
    Ok(TraceMatches {
        refusals,
        traced,
        employer,
        delivery,
    })
}

/// What was looked for in vain, for people.
pub fn searched(store: &Store, number: &str) -> String {
    let senders = match store.sender_names().join(", ") {
        names if names.is_empty() => "no partner has sent anything yet".to_owned(),
        names => format!("detail numbers of {names}"),
    };
    format!(
        "nothing is stored under {number}. Searched: packet numbers (taken, replaced and refused whole), receipt numbers, {senders}, employer numbers, delivery ids. \
         It was never received, its line was refused (`ltcgw packets --refused`, then `ltcgw trace PACKET`), or it is of a person: persons are not looked up here"
    )
}

/// Looks a number up as receipt, detail and packet number.
pub async fn trace(store: &Store, number: &str) -> Result<Vec<PacketTrace>, Fault> {
    let lines = store.trace_lines(number).await?;
    if lines.is_empty() {
        let mut traced = Vec::new();
        for packet in store.trace_packets(number).await? {
            let postings = store.trace_postings(packet.packet_id).await?;
            let deliveries = delivery::of_packet(store.pool(), packet.packet_id).await?;
            let refused = if packet.lines_refused > 0 {
                store.trace_refused_lines(packet.packet_id).await?
            } else {
                Vec::new()
            };
            traced.push(PacketTrace {
                packet,
                lines: Vec::new(),
                refused,
                runs: Vec::new(),
                postings,
                deliveries,
            });
        }
        return Ok(traced);
    }
    let mut traced: Vec<PacketTrace> = Vec::new();
    for line in lines {
        match traced.last_mut() {
            Some(last) if last.packet.packet_id == line.packet_id => last.lines.push(line),
            _ => traced.extend(of_line(store, line).await?),
        }
    }
    for one in &mut traced {
        let (lines, first) = (&one.lines, one.lines.first());
        one.postings.retain(|posting| {
            lines.iter().any(|line| {
                line.district == posting.district
                    && line.contribution_month.number() == posting.contribution_month
            })
        });
        one.deliveries.retain(|delivery| {
            lines.iter().any(|line| {
                delivery.of.records().is_some_and(|records| {
                    (records.first_record..=records.last_record).contains(&line.record_index)
                })
            })
        });
        if let Some(line) = first {
            one.runs = store.trace_runs(&line.receipt_no).await?;
        }
    }
    Ok(traced)
}

async fn of_line(store: &Store, line: TracedLine) -> Result<Option<PacketTrace>, Fault> {
    let Some(packet) = store.trace_packet(line.packet_id).await? else {
        return Ok(None);
    };
    let postings = store.trace_postings(line.packet_id).await?;
    let deliveries = delivery::of_packet(store.pool(), line.packet_id).await?;
    Ok(Some(PacketTrace {
        packet,
        lines: vec![line],
        refused: Vec::new(),
        runs: Vec::new(),
        postings,
        deliveries,
    }))
}
