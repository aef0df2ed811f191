//! A packet's head, read: where it arrived when the body is in memory, on a thread of its own when it is on the disk.
//!
//! Settles what the packet is; none of its lines is read here.

use super::{Packet, months, table_of};
use crate::adapter::{PacketHead, PacketReader};
use crate::error::{Fault, Stage};
use crate::flow::Gateway;
use crate::flow::intake::{Arrival, IntakeEnding};
use crate::model::Story;

impl<'a> Packet<'a> {
    /// The packet, and who goes on to read it where the body is in memory.
    pub(super) async fn open(
        gateway: &'a Gateway,
        arrival: &'a Arrival,
    ) -> Result<(Packet<'a>, Option<PacketReader<'a>>), IntakeEnding> {
        let lines_max = gateway.config.gateway.receive.lines_max;
        if arrival.body.in_memory() {
            let reader = arrival.open(lines_max)?;
            return Ok((
                Packet::of(gateway, arrival, reader.head().clone())?,
                Some(reader),
            ));
        }
        // The disk may be slow, and some documents are read to their end for their head.
        let aside = arrival.clone();
        let head = tokio::task::spawn_blocking(move || {
            aside.open(lines_max).map(|reader| reader.head().clone())
        });
        let head = head
            .await
            .map_err(|error| IntakeEnding::thread(Story::Collect, &error))??;
        Ok((Packet::of(gateway, arrival, head)?, None))
    }

    fn of(
        gateway: &'a Gateway,
        arrival: &'a Arrival,
        head: PacketHead,
    ) -> Result<Packet<'a>, IntakeEnding> {
        let unknown = || {
            Fault::operator(
                Stage::Config,
                format!(
                    "partner {} was added after the start; restart the gateway",
                    arrival.partner.name
                ),
            )
        };
        let no_table = || {
            let text = format!(
                "endpoint `{}` reads {}, whose lines are kept nowhere; its story must be another",
                arrival.endpoint.name(),
                head.message.name
            );
            Fault::operator(Stage::Config, text)
        };
        let table = table_of(head.message).ok_or_else(no_table)?;
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
