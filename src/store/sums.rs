//! Sums that must agree, through the views of the schema `report`, at one moment. Reads only.

use super::Store;
use super::tx::Tx;
use crate::error::Fault;
use crate::model::Fen;

/// What the books and the deliveries come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums {
    /// Posted by packets in force, as their receipts say it.
    pub packets: Fen,
    /// What the treasury has in the journal.
    pub treasury: Fen,
    /// Lines in force, both funds together.
    pub lines: Fen,
    /// What the treasury has for each fund.
    pub funds: Vec<(String, Fen)>,
    pub told: Vec<DestinationSum>,
}

/// Money of lines one destination is told of by one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSum {
    pub destination: String,
    pub message: String,
    pub queued: Fen,
    pub delivered: Fen,
    /// Ready or under way.
    pub waiting: Fen,
    pub in_doubt: Fen,
    pub dead: Fen,
}

const THREE: &str = "SELECT (SELECT coalesce(sum(posted_fen), 0)::bigint FROM report.packet WHERE replaced_by IS NULL),
    (SELECT coalesce(sum(fen), 0)::bigint FROM report.posting WHERE account = 'treasury'),
    (SELECT coalesce(sum(medical_fen + long_term_care_fen), 0)::bigint FROM report.line WHERE NOT superseded)";
const FUNDS: &str = "SELECT fund::text, sum(fen)::bigint FROM report.posting WHERE account = 'treasury' GROUP BY 1 ORDER BY 1 DESC";
const TOLD: &str = "SELECT destination, message, coalesce(sum(fen) FILTER (WHERE state <> 'superseded'), 0)::bigint,
        coalesce(sum(fen) FILTER (WHERE state = 'delivered'), 0)::bigint, coalesce(sum(fen) FILTER (WHERE state IN ('ready', 'leased')), 0)::bigint,
        coalesce(sum(fen) FILTER (WHERE state = 'in_doubt'), 0)::bigint, coalesce(sum(fen) FILTER (WHERE state = 'dead'), 0)::bigint
    FROM report.delivery WHERE subject = 'lines' GROUP BY 1, 2 ORDER BY 1, 2";

impl Store {
    /// All of them, as they are at one moment, whatever is posted meanwhile.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn sums(&self) -> Result<Sums, Fault> {
        let tx = Tx::begin_long_as(
            self.client().await?,
            "ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        )
        .await?;
        let three = tx.query_one(THREE, &[]).await?;
        let funds = tx.query(FUNDS, &[]).await?;
        let told = tx.query(TOLD, &[]).await?;
        tx.commit().await?;
        let row = |row: &tokio_postgres::Row| DestinationSum {
            destination: row.get(0),
            message: row.get(1),
            queued: Fen(row.get(2)),
            delivered: Fen(row.get(3)),
            waiting: Fen(row.get(4)),
            in_doubt: Fen(row.get(5)),
            dead: Fen(row.get(6)),
        };
        Ok(Sums {
            packets: Fen(three.get(0)),
            treasury: Fen(three.get(1)),
            lines: Fen(three.get(2)),
            funds: funds
                .iter()
                .map(|row| (row.get(0), Fen(row.get(1))))
                .collect(),
            told: told.iter().map(row).collect(),
        })
    }
}
