//! Packets as they came in, taken and refused whole, for people. Reads only.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::Store;
use crate::error::Fault;
use crate::model::Fen;

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CamePacket {
    pub received_at: Timestamp,
    pub sender: String,
    /// `None`: it was refused before its number was read.
    pub packet_no: Option<String>,
    pub became: Became,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    Taken {
        message: String,
        lines: i32,
        refused: i32,
        duplicate: i32,
        posted: Fen,
        refused_money: Fen,
        unread: i32,
        replaced: bool,
    },
    /// HTTP status and reason, Chinese first.
    Refused { status: i32, reason: String },
}

/// Which packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketSelection {
    /// Received from the first of these moments on, and before the second.
    pub between: (Timestamp, Timestamp),
    /// Only packets refused whole and those with refused lines.
    pub refused: bool,
    /// Shown at most.
    pub limit: i64,
}

/// What all packets asked for come to, also those not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketSums {
    pub taken: i64,
    pub refused_whole: i64,
    pub lines: i64,
    pub posted: i64,
    pub refused: i64,
    pub duplicate: i64,
    /// Without packets that were replaced.
    pub posted_money: Fen,
    pub refused_money: Fen,
}

const TAKEN: &str =
    "FROM packet WHERE received_at >= $1 AND received_at < $2 AND (NOT $3 OR lines_refused > 0)";
const WHOLE: &str = "FROM packet_refusal WHERE received_at >= $1 AND received_at < $2";

impl Store {
    /// The newest packets asked for, the newest first.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn came(&self, which: PacketSelection) -> Result<Vec<CamePacket>, Fault> {
        let client = self.client().await?;
        let (from, to) = which.between;
        let taken = format!(
            "SELECT received_at, sender, packet_no, message, lines_received, lines_refused, lines_duplicate, posted_fen, refused_fen, lines_unread,
                replaced_by IS NOT NULL {TAKEN} ORDER BY packet_id DESC LIMIT $4"
        );
        let taken = client
            .query(&taken, &[&from, &to, &which.refused, &which.limit])
            .await?;
        let whole = format!(
            "SELECT received_at, sender, packet_no, status, reason {WHOLE} ORDER BY refusal_id DESC LIMIT $3"
        );
        let whole = client.query(&whole, &[&from, &to, &which.limit]).await?;
        let mut came: Vec<CamePacket> = taken
            .iter()
            .map(of_taken)
            .chain(whole.iter().map(of_refused))
            .collect();
        came.sort_by_key(|packet| std::cmp::Reverse(packet.received_at));
        came.truncate(usize::try_from(which.limit).unwrap_or(usize::MAX));
        Ok(came)
    }

    /// What they come to.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn packet_sums(&self, which: PacketSelection) -> Result<PacketSums, Fault> {
        let client = self.client().await?;
        let (from, to) = which.between;
        let taken = format!(
            "SELECT count(*), coalesce(sum(lines_received), 0), coalesce(sum(lines_posted), 0), coalesce(sum(lines_refused), 0), coalesce(sum(lines_duplicate), 0),
                coalesce(sum(posted_fen) FILTER (WHERE replaced_by IS NULL), 0)::bigint, coalesce(sum(refused_fen) FILTER (WHERE replaced_by IS NULL), 0)::bigint {TAKEN}"
        );
        let taken = client
            .query_one(&taken, &[&from, &to, &which.refused])
            .await?;
        let whole = client
            .query_one(&format!("SELECT count(*) {WHOLE}"), &[&from, &to])
            .await?;
        Ok(PacketSums {
            taken: taken.get(0),
            refused_whole: whole.get(0),
            lines: taken.get(1),
            posted: taken.get(2),
            refused: taken.get(3),
            duplicate: taken.get(4),
            posted_money: Fen(taken.get(5)),
            refused_money: Fen(taken.get(6)),
        })
    }
}

fn of_taken(row: &Row) -> CamePacket {
    CamePacket {
        received_at: row.get(0),
        sender: row.get(1),
        packet_no: row.get(2),
        became: Became::Taken {
            message: row.get(3),
            lines: row.get(4),
            refused: row.get(5),
            duplicate: row.get(6),
            posted: Fen(row.get(7)),
            refused_money: Fen(row.get(8)),
            unread: row.get(9),
            replaced: row.get(10),
        },
    }
}

fn of_refused(row: &Row) -> CamePacket {
    CamePacket {
        received_at: row.get(0),
        sender: row.get(1),
        packet_no: row.get(2),
        became: Became::Refused {
            status: row.get(3),
            reason: row.get(4),
        },
    }
}
