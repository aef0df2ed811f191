//! A packet read on a thread of its own while its rows flow to the database: to be compared, or to be posted.
//!
//! Knows the order of things, not what a line means.

use super::Packet;
use super::history::{Histories, month_rate};
use super::read::{PacketTally, Purpose, Sink};
use crate::flow::intake::{IntakeEnding, alongside};
use crate::model::Story;
use crate::store::collect::PacketTransaction;
use crate::store::history::StoredHistory;
use crate::store::lines::LineTable;
use crate::store::verdicts::StagedFinding;

/// Why a packet is read.
pub(super) enum ReadingPass {
    /// To be compared with what is stored.
    Stage,
    /// To be posted, with what the comparison found, on top of these histories.
    Post(Option<Vec<StagedFinding>>, Box<Histories>),
}

impl Packet<'_> {
    /// The histories to split a small packet by when these are stored.
    pub(super) async fn on_top(&self, stored: &[StoredHistory]) -> Result<Histories, IntakeEnding> {
        let (book, rates) = (&self.gateway.book, &self.gateway.rates);
        if stored
            .iter()
            .filter_map(|history| history.rate_id.as_deref())
            .any(|id| rates.get(id).is_none())
        {
            rates.refresh(&self.gateway.store).await?;
        }
        let mut histories = Histories::numbered();
        for history in stored {
            histories.add_stored(history, month_rate(book, history), rates);
        }
        Ok(histories)
    }

    /// Brings the lines to where they can be compared with what is stored, and waits for others that change the same
    /// histories in this way. Before anything else is locked, so that two packets do not wait for each other. Fields that only
    /// say how a line was transferred.
    pub(super) async fn stage(
        &self,
        posting: &PacketTransaction,
        packet_id: i64,
    ) -> Result<Vec<&'static str>, IntakeEnding> {
        posting.make_staging(self.table).await?;
        let tally = self.stream(posting, packet_id, ReadingPass::Stage).await?;
        if self.table == LineTable::Employer {
            posting.lock_histories().await?;
        }
        Ok(tally.transfer_fields)
    }

    /// What the comparison of the staged lines with those stored found, and what to post them on top of.
    pub(super) async fn compare(
        &self,
        posting: &PacketTransaction,
        transfer_fields: &[&str],
    ) -> Result<ReadingPass, IntakeEnding> {
        let findings = posting.findings(self.table, transfer_fields).await?;
        let mut histories = Histories::numbered();
        if self.table == LineTable::Employer {
            let (book, rates) = (&self.gateway.book, &self.gateway.rates);
            rates.refresh(&self.gateway.store).await?;
            posting
                .staged_histories(|history| {
                    histories.add_stored(history, month_rate(book, history), rates)
                })
                .await?;
        }
        Ok(ReadingPass::Post(Some(findings), histories.into()))
    }

    /// Reads on a thread of its own while rows flow into the table, or into staging.
    pub(super) async fn stream(
        &self,
        posting: &PacketTransaction,
        packet_id: i64,
        pass: ReadingPass,
    ) -> Result<PacketTally, IntakeEnding> {
        let stage = matches!(pass, ReadingPass::Stage);
        let (gateway, arrival, head) = (
            self.gateway.clone(),
            self.arrival.clone(),
            self.head.clone(),
        );
        let (table, sender_id, earliest, latest) =
            (self.table, self.sender_id, self.earliest, self.latest);
        let reading = move |chunks| {
            let packet = Packet {
                gateway: &gateway,
                arrival: &arrival,
                head,
                table,
                sender_id,
                earliest,
                latest,
            };
            let reader = packet.reopen()?;
            match pass {
                ReadingPass::Stage => packet.read(
                    reader,
                    (packet_id, Purpose::Stage),
                    Histories::at_zero(),
                    &mut Sink::stream(chunks),
                ),
                ReadingPass::Post(findings, histories) => packet.read(
                    reader,
                    (packet_id, Purpose::Post(findings.as_deref())),
                    *histories,
                    &mut Sink::stream(chunks),
                ),
            }
        };
        alongside(Story::Collect, reading, |rows| {
            posting.copy_lines(self.table, stage, rows)
        })
        .await
    }
}
