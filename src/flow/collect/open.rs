//! A packet's head, read: where it arrived when the body is in memory, on a thread of its own when it is on the disk.
//!
//! Settles what the packet is; none of its lines is read here.

use super::{Arrival, Packet, Refused, ended, months, no_endpoint, no_packets, table_of, whole};
use crate::adapter::{PacketHead, PacketReader};
use crate::error::{Fault, Stage};
use crate::flow::Gateway;

impl<'a> Packet<'a> {
    /// The packet, and who goes on to read it where the body is in memory.
    pub(super) async fn open(
        gateway: &'a Gateway,
        arrival: &'a Arrival,
    ) -> Result<(Packet<'a>, Option<PacketReader<'a>>), Refused> {
        let lines_max = gateway.config.gateway.receive.lines_max;
        if arrival.body.in_memory() {
            let reader = reader(arrival, lines_max)?;
            return Ok((
                Packet::of(gateway, arrival, reader.head().clone())?,
                Some(reader),
            ));
        }
        // The disk may be slow, and some documents are read to their end for their head.
        let aside = arrival.clone();
        let head = tokio::task::spawn_blocking(move || {
            reader(&aside, lines_max).map(|reader| reader.head().clone())
        });
        Ok((
            Packet::of(
                gateway,
                arrival,
                head.await.map_err(|error| ended(&error))??,
            )?,
            None,
        ))
    }

    fn of(
        gateway: &'a Gateway,
        arrival: &'a Arrival,
        head: PacketHead,
    ) -> Result<Packet<'a>, Refused> {
        let table = table_of(head.message.name)
            .ok_or_else(|| Refused::Failed(no_packets(&arrival.endpoint, head.message.name)))?;
        let unknown = || {
            Refused::Failed(Fault::operator(
                Stage::Config,
                format!(
                    "partner {} was added after the start; restart the gateway",
                    arrival.partner.name
                ),
            ))
        };
        let sender_id = gateway
            .store
            .sender_id(&arrival.partner.name)
            .ok_or_else(unknown)?;
        let (earliest, latest) = months(gateway, arrival.received_at);
        Ok(Packet {
            gateway,
            arrival,
            head,
            table,
            sender_id,
            earliest,
            latest,
        })
    }
}

fn reader(arrival: &Arrival, lines_max: u64) -> Result<PacketReader<'_>, Refused> {
    let endpoint = arrival
        .adapter
        .endpoint(&arrival.endpoint)
        .ok_or_else(|| Refused::Failed(no_endpoint(&arrival.adapter, &arrival.endpoint)))?;
    endpoint
        .open(arrival.body.reader(), lines_max)
        .map_err(whole)
}
