//! The simulated tax bureau: a client that pushes packets over mutual TLS and keeps books of its own.
//!
//! Holds several keep-alive connections, waits when it is told to (429, 503), sends a packet again
//! when no answer came, compares every receipt with what it expected, and adds up its money without
//! knowing funds, rates or the gateway's code. It judges; it never corrects its sums by an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::task::JoinSet;

use super::city::{ExpectedReceipt, GeneratedPacket, PacketKind};
use crate::error::{Fault, Stage};
use crate::model::Fen;

mod receipt; // what an answer says

pub use receipt::{BureauReceipt, RefusedLine};

/// How often one packet is sent when answers are lost.
const LOST_MAX: u32 = 5;
/// How often one packet is sent when the gateway asks to wait.
const BUSY_MAX: u32 = 100;
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(120);

/// A sender of packets.
#[derive(Debug, Clone)]
pub struct TaxBureau {
    client: reqwest::Client,
    url: String,
    connections: usize,
}

/// Lines by what became of them, as receipts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lines {
    pub received: u64,
    pub posted: u64,
    pub refused: u64,
    pub duplicate: u64,
}

/// What the tax bureau knows after sending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BureauBooks {
    /// Packets answered, whatever the answer.
    pub packets: u64,
    pub bytes: u64,
    /// Packets taken for the first time, and those that took an earlier one's place.
    pub taken: u64,
    pub replacements: u64,
    /// Packets sent a second time and answered as before.
    pub repeated: u64,
    /// Packets refused whole, by HTTP status and reason.
    pub refused_whole: BTreeMap<(u16, String), u64>,
    pub lines: Lines,
    /// Refused lines by element and reason.
    pub reasons: BTreeMap<(String, String), u64>,
    /// The money that counts by the bureau's own reckoning (fen).
    pub net: Fen,
    /// Receipts that said something else than expected; packet numbers and counts only.
    pub differences: Vec<String>,
    /// Answers that asked to wait (429, 503), each obeyed.
    pub waits: u64,
    /// Requests without a complete answer, each sent again.
    pub lost: u64,
}

/// One packet and how it was answered.
struct Answered {
    packet: Sent,
    receipt: BureauReceipt,
    waits: u64,
    lost: u64,
}

/// What is remembered of a packet on its way.
struct Sent {
    packet_no: String,
    kind: PacketKind,
    expected: ExpectedReceipt,
    net: Fen,
    bytes: u64,
}

impl TaxBureau {
    /// Sends to `url` with so many connections at a time (at least one); `client` holds its certificate.
    pub fn new(client: reqwest::Client, url: impl Into<String>, connections: usize) -> TaxBureau {
        TaxBureau {
            client,
            url: url.into(),
            connections: connections.max(1),
        }
    }

    /// Sends packets in their order and says after each answer what is known.
    ///
    /// # Errors
    /// A packet got no usable answer however often it was sent; what was sent before stays sent.
    pub async fn push(
        &self,
        packets: impl IntoIterator<Item = GeneratedPacket>,
        mut told: impl FnMut(&BureauBooks),
    ) -> Result<BureauBooks, Fault> {
        let mut books = BureauBooks::default();
        let mut under_way: JoinSet<Result<Answered, Fault>> = JoinSet::new();
        for packet in packets {
            let alone = packet.waits;
            let room = if alone { 0 } else { self.connections - 1 };
            while under_way.len() > room {
                enter_next(&mut under_way, &mut books, &mut told).await?;
            }
            under_way.spawn(self.clone().send(packet));
            while alone && !under_way.is_empty() {
                enter_next(&mut under_way, &mut books, &mut told).await?;
            }
        }
        while !under_way.is_empty() {
            enter_next(&mut under_way, &mut books, &mut told).await?;
        }
        Ok(books)
    }

    /// Sends one packet until it is answered.
    async fn send(self, packet: GeneratedPacket) -> Result<Answered, Fault> {
        let GeneratedPacket {
            packet_no,
            kind,
            charset,
            bytes,
            expected,
            net,
            ..
        } = packet;
        let sent = Sent {
            packet_no,
            kind,
            expected,
            net,
            bytes: bytes.len() as u64,
        };
        let content_type = format!("application/xml; charset={}", charset.name());
        let (body, mut waits, mut lost) = (Bytes::from(bytes), 0, 0);
        loop {
            match self.post(&content_type, body.clone()).await {
                Ok(Reply::Receipt(receipt)) => {
                    return Ok(Answered {
                        packet: sent,
                        receipt,
                        waits: waits.into(),
                        lost: lost.into(),
                    });
                }
                Ok(Reply::Wait(_)) if waits >= BUSY_MAX => {
                    return Err(given_up(
                        &sent.packet_no,
                        &format!("was asked to wait {BUSY_MAX} times"),
                    ));
                }
                Ok(Reply::Wait(pause)) => {
                    waits += 1;
                    tokio::time::sleep(pause).await;
                }
                Err(error) if lost >= LOST_MAX => {
                    return Err(given_up(
                        &sent.packet_no,
                        &format!("got no answer: {}", without_url(error)),
                    ));
                }
                // No answer says nothing about the packet: its number makes sending it again safe.
                Err(_) => {
                    lost += 1;
                    tokio::time::sleep(Duration::from_millis(200) * lost).await;
                }
            }
        }
    }

    async fn post(&self, content_type: &str, body: Bytes) -> Result<Reply, reqwest::Error> {
        let answer = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, content_type)
            .timeout(ANSWER)
            .body(body)
            .send()
            .await?;
        let status = answer.status().as_u16();
        if matches!(status, 429 | 503) {
            let seconds = answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                .unwrap_or(1);
            answer.bytes().await?; // so that the connection is kept
            return Ok(Reply::Wait(Duration::from_secs(seconds)));
        }
        let answered_as = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_string();
        Ok(Reply::Receipt(BureauReceipt::read(
            status,
            &answered_as,
            &answer.bytes().await?,
        )))
    }
}

enum Reply {
    Receipt(BureauReceipt),
    Wait(Duration),
}

async fn enter_next(
    under_way: &mut JoinSet<Result<Answered, Fault>>,
    books: &mut BureauBooks,
    told: &mut impl FnMut(&BureauBooks),
) -> Result<(), Fault> {
    let Some(ended) = under_way.join_next().await else {
        return Ok(());
    };
    let answered = ended.map_err(|error| {
        Fault::operator(
            Stage::Send,
            format!("tax bureau: sending ended unexpectedly: {error}"),
        )
    })??;
    books.enter(answered);
    told(books);
    Ok(())
}

impl BureauBooks {
    fn enter(&mut self, answered: Answered) {
        let Answered {
            packet,
            receipt,
            waits,
            lost,
        } = answered;
        if let Some(difference) = difference(&packet, &receipt) {
            self.differences.push(difference);
        }
        self.packets += 1;
        self.bytes += packet.bytes;
        self.waits += waits;
        self.lost += lost;
        // Its own money, whatever the answer: if the gateway saw it otherwise, the sums must show it.
        self.net = Fen(self.net.0 + packet.net.0);
        match (receipt.status, packet.kind) {
            (200, PacketKind::Repeated) => {
                self.repeated += 1;
                return; // its lines are counted already
            }
            (200, PacketKind::Replacement) => self.replacements += 1,
            (200, _) => self.taken += 1,
            (status, _) => {
                *self
                    .refused_whole
                    .entry((status, receipt.message))
                    .or_default() += 1
            }
        }
        self.lines.received += receipt.lines.received;
        self.lines.posted += receipt.lines.posted;
        self.lines.refused += receipt.lines.refused;
        self.lines.duplicate += receipt.lines.duplicate;
        for line in receipt.refused {
            *self.reasons.entry((line.element, line.reason)).or_default() += 1;
        }
    }
}

/// How a receipt differs from what was expected, without anything of a line's content.
fn difference(packet: &Sent, receipt: &BureauReceipt) -> Option<String> {
    let ExpectedReceipt {
        status,
        received,
        posted,
        refused,
        duplicate,
    } = packet.expected;
    let expected = Lines {
        received,
        posted,
        refused,
        duplicate,
    };
    let code = if status == 200 { "0" } else { "1" };
    let listed = receipt.refused.len() as u64;
    if (receipt.status, receipt.lines, receipt.code.as_str(), listed)
        == (status, expected, code, refused)
    {
        return None;
    }
    let words = |lines: &Lines| {
        format!(
            "{} received, {} posted, {} refused, {} duplicate",
            lines.received, lines.posted, lines.refused, lines.duplicate
        )
    };
    Some(format!(
        "packet {} ({:?}): expected {status} with {}; the receipt says {} with {}, {listed} listed, RECODE_ZT {}",
        packet.packet_no,
        packet.kind,
        words(&expected),
        receipt.status,
        words(&receipt.lines),
        receipt.code,
    ))
}

fn given_up(packet_no: &str, why: &str) -> Fault {
    Fault::later(Stage::Send, format!("tax bureau: packet {packet_no} {why}"))
}

/// The error with its causes.
fn without_url(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
