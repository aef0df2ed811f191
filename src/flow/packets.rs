//! Packets of a day, or the last ones: what came, and what became of it. Reads only.

use jiff::Timestamp;
use jiff::civil::Date;

use super::clock::begin_of;
use crate::error::Fault;
use crate::store::Store;
use crate::store::packets::{CamePacket, PacketSelection, PacketSums};

/// The packets asked for.
#[derive(Debug)]
pub struct Came {
    /// The newest first.
    pub shown: Vec<CamePacket>,
    pub sums: PacketSums,
}

/// Packets received on a day of Asia/Shanghai, or ever; up to `limit` are shown.
///
/// # Errors
/// The database cannot be reached.
pub async fn came(
    store: &Store,
    on: Option<Date>,
    refused: bool,
    limit: i64,
) -> Result<Came, Fault> {
    let ever = (
        Timestamp::UNIX_EPOCH,
        "9999-01-01T00:00:00Z".parse().unwrap_or(Timestamp::MAX),
    );
    let between = on.map_or(ever, |day| {
        (begin_of(day), begin_of(day.tomorrow().unwrap_or(Date::MAX)))
    });
    let which = PacketSelection {
        between,
        refused,
        limit,
    };
    Ok(Came {
        shown: store.came(which).await?,
        sums: store.packet_sums(which).await?,
    })
}
