//! Where a fen went: a number's packet, apportionment, postings and deliveries, put together.
//!
//! Reads only; how it is shown is the caller's business.

use crate::error::Fault;
use crate::store::Store;
use crate::store::delivery::{self, Delivery};
use crate::store::trace::{TracedLine, TracedPacket, TracedPosting, TracedRefusal, TracedRun};

/// All that is known of one packet, with the lines asked for.
#[derive(Debug)]
pub struct Traced {
    pub packet: TracedPacket,
    /// The lines asked for; none when a packet was asked for.
    pub lines: Vec<TracedLine>,
    /// Employee detail of those lines' receipts.
    pub runs: Vec<TracedRun>,
    /// What the packet posted; of the lines' districts and months only, when lines were asked for.
    pub postings: Vec<TracedPosting>,
    /// Deliveries of the packet; of the lines' records only, when lines were asked for.
    pub deliveries: Vec<Delivery>,
}

/// Looks a number up as receipt, detail and packet number.
pub async fn trace(store: &Store, number: &str) -> Result<Vec<Traced>, Fault> {
    let lines = store.trace_lines(number).await?;
    if lines.is_empty() {
        let mut traced = Vec::new();
        for packet in store.trace_packets(number).await? {
            let postings = store.trace_postings(packet.packet_id).await?;
            let deliveries = delivery::of_packet(store.pool(), packet.packet_id).await?;
            traced.push(Traced { packet, lines: Vec::new(), runs: Vec::new(), postings, deliveries });
        }
        return Ok(traced);
    }
    let mut traced: Vec<Traced> = Vec::new();
    for line in lines {
        match traced.last_mut() {
            Some(last) if last.packet.packet_id == line.packet_id => last.lines.push(line),
            _ => traced.extend(of_line(store, line).await?),
        }
    }
    for one in &mut traced {
        let (lines, first) = (&one.lines, one.lines.first());
        one.postings
            .retain(|posting| lines.iter().any(|line| line.district == posting.district && line.contribution_month.number() == posting.contribution_month));
        one.deliveries.retain(|delivery| {
            lines.iter().any(|line| delivery.of.records().is_some_and(|records| (records.first_record..=records.last_record).contains(&line.record_index)))
        });
        if let Some(line) = first {
            one.runs = store.trace_runs(&line.receipt_no).await?;
        }
    }
    Ok(traced)
}

/// Packets of that number that were refused whole.
pub async fn refusals(store: &Store, number: &str) -> Result<Vec<TracedRefusal>, Fault> {
    store.trace_refusals(number).await
}

async fn of_line(store: &Store, line: TracedLine) -> Result<Option<Traced>, Fault> {
    let Some(packet) = store.trace_packet(line.packet_id).await? else { return Ok(None) };
    let postings = store.trace_postings(line.packet_id).await?;
    let deliveries = delivery::of_packet(store.pool(), line.packet_id).await?;
    Ok(Some(Traced { packet, lines: vec![line], runs: Vec::new(), postings, deliveries }))
}
