//! A roster of insured people becomes what the gateway knows of them: read, checked, sealed, stored, answered.
//!
//! Either all of a roster is durable or nothing of it, and the reply goes out after the commit.
//! Memory is constant: lines are decoded on a thread of their own while they flow into a temporary
//! table; one statement then enters them. No database connection is held while bytes arrive.
//!
//! What a roster says holds from each line's own month. A full roster tells how things are in its
//! month, so its lines count from that month at the earliest, and whoever it does not name has left
//! from it. A person whose line is refused is still named; when a line names nobody at all, nobody
//! is ended, since nobody knows whom it meant.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Gateway;
use super::collect::receipt::Replier;
use super::collect::{Body, ListedRefusal, Reply, refused_whole};
use crate::adapter::{Adapter, HeadSeen};
use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::model::Month;
use crate::model::records::roster_person;
use crate::store::collect::{PostError, Posting, RefusalNote};
use crate::store::roster::{RosterCounts, RosterRow, StoredRoster};

mod head;
mod line;
mod past;
mod read;

use head::RosterHead;
use past::Past;
use read::{Reading, Stop, Tally};

/// The adapter's endpoint for rosters.
const ENDPOINT: &str = "roster";
/// How often a roster is looked up and tried when others interfere at the same instant.
const TRIES: usize = 4;
/// Chunks of rows between the reading thread and the database.
const CHUNKS_AHEAD: usize = 4;

/// A roster as it arrived.
pub struct RosterArrival {
    pub partner: Arc<Partner>,
    pub adapter: Arc<Adapter>,
    /// The query's parameters, in their order.
    pub query: Vec<(String, String)>,
    pub body: Body,
    pub received_at: jiff::Timestamp,
}

/// Why a roster was not taken.
enum Refused {
    /// The sender must mend it: status and reason.
    Whole(u16, String),
    /// The number was taken meanwhile: look again.
    Again,
    /// We could not; the sender may send it again.
    Failed(Fault),
}

/// Takes a roster; a fault means that nothing was kept and the sender should send it again.
pub async fn receive(gateway: &Gateway, arrival: &RosterArrival) -> Result<Reply, Fault> {
    let head = RosterHead::of_query(&arrival.query);
    let number = head.as_ref().ok().map(|head| head.roster_no.as_str());
    let taken = match &head {
        Ok(head) => Roster { gateway, arrival, head }.take().await,
        Err(reason) => Err(Refused::Whole(400, reason.clone())),
    };
    match taken {
        Ok(reply) => Ok(reply),
        Err(Refused::Failed(fault)) => Err(fault),
        Err(Refused::Again) => Err(Fault::later(Stage::Store, "rosters of the same number are being stored at this instant; send again")),
        Err(Refused::Whole(status, reason)) => {
            tracing::info!(partner = %arrival.partner.name, roster_no = number, status, %reason, "roster refused whole");
            let note = RefusalNote { sender: &arrival.partner.name, packet_no: number, digest: arrival.body.digest, status, reason: &reason };
            gateway.store.note_refusal(&note).await?;
            replier(arrival, head.ok().as_ref())?.refused(status, &reason)
        }
    }
}

/// A roster whose head has been read.
struct Roster<'a> {
    gateway: &'a Gateway,
    arrival: &'a RosterArrival,
    head: &'a RosterHead,
}

impl Roster<'_> {
    async fn take(&self) -> Result<Reply, Refused> {
        let this = self.month_now()?;
        let head = self.head;
        if !self.gateway.book.areas().any(|area| area == head.area) {
            let known = self.gateway.book.areas().collect::<Vec<_>>().join(", ");
            return Err(Refused::Whole(400, format!("area is `{}`, of which this gateway has no rates; expected one of {known}", head.area)));
        }
        if head.month > this {
            return Err(Refused::Whole(400, format!("month is {}, which has not come; expected {this} or an earlier one", head.month)));
        }
        let mut turn = None;
        for _ in 0..TRIES {
            let sender = &self.arrival.partner.name;
            if let Some(stored) = self.gateway.store.find_roster(sender, &head.roster_no).await.map_err(Refused::Failed)? {
                return self.again(stored);
            }
            // Waits without a connection, so that large bodies never take them all; repeats need no turn.
            if turn.is_none() {
                let stopping = |_| Refused::Failed(Fault::later(Stage::Store, "the gateway is stopping; send again"));
                turn = Some(self.gateway.alone.acquire().await.map_err(stopping)?);
                continue;
            }
            match self.store(this).await {
                Err(Refused::Again) => {}
                other => return other,
            }
        }
        Err(Refused::Again)
    }

    /// The reply of a roster that was sent before; the same number with anything else is a conflict.
    fn again(&self, stored: StoredRoster) -> Result<Reply, Refused> {
        let head = self.head;
        let same = stored.digest == self.arrival.body.digest
            && (stored.pooling_area, stored.month, stored.kind.as_str()) == (head.area_number, head.month.number(), head.kind.word());
        if !same {
            return Err(Refused::Whole(409, format!("roster number {} was used for other content; a new roster needs a new number", head.roster_no)));
        }
        replier(self.arrival, Some(head)).and_then(|replier| replier.again(stored.reply)).map_err(Refused::Failed)
    }

    async fn store(&self, this: Month) -> Result<Reply, Refused> {
        let (gateway, arrival, head) = (self.gateway, self.arrival, self.head);
        let roster_id = gateway.store.ids(1).await.map_err(Refused::Failed)?[0];
        let row = RosterRow {
            roster_id,
            sender: &arrival.partner.name,
            roster_no: &head.roster_no,
            pooling_area: head.area_number,
            kind: head.kind.word(),
            month: head.month,
            digest: arrival.body.digest,
            received_at: arrival.received_at,
        };
        let posting = Posting::begin(&gateway.store).await?;
        posting.stage_roster().await?;
        let tally = self.stream(&posting, roster_id, this).await?;
        posting.lock_area(head.area_number).await?;
        // Another copy may have been stored while this one waited.
        if gateway.store.find_roster(row.sender, row.roster_no).await.map_err(Refused::Failed)?.is_some() {
            posting.rollback().await;
            return Err(Refused::Again);
        }
        let ends = head.kind.is_full() && tally.unnamed == 0;
        let left = if ends { posting.end_unnamed(&row).await? } else { 0 };
        let taken = posting.enter_people(&row).await?;
        let past = past::look(&posting, head, gateway.config.gateway.receive.refusals_listed_max).await?;
        let counts = RosterCounts { received: tally.received, taken, refused: tally.received - taken, left, deducted: past.lines };
        let reply = self.reply(&posting, tally, (counts, &past)).await?;
        posting.write_roster(&row, counts, &reply.body).await?;
        posting.commit().await?;
        tracing::info!(partner = row.sender, roster_no = row.roster_no, received = counts.received, taken, left, "roster taken");
        Ok(reply)
    }

    /// Decodes on a thread of its own while rows flow into the temporary table.
    async fn stream(&self, posting: &Posting, roster_id: i64, latest: Month) -> Result<Tally, Refused> {
        let (chunks, mut rows) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
        let (gateway, arrival, head) = (self.gateway, self.arrival, self.head.clone());
        let receive = &gateway.config.gateway.receive;
        let reading = Reading {
            adapter: arrival.adapter.clone(),
            body: arrival.body.clone(),
            keys: gateway.registrar.keys.clone(),
            with_birth: gateway.book.depends_on_age(&head.area),
            head,
            roster_id,
            latest,
            listed_max: receive.refusals_listed_max,
            lines_max: receive.lines_max,
        };
        let reading = tokio::task::spawn_blocking(move || reading.read(chunks));
        let copied = async {
            let mut copy = posting.copy_people().await?;
            while let Some(rows) = rows.recv().await {
                copy.send(rows).await?;
            }
            Ok::<(), PostError>(copy.finish().await?)
        };
        let copied = copied.await;
        drop(rows);
        let read = reading.await.map_err(|error| Refused::Failed(Fault::later(Stage::Decode, format!("reading a roster ended unexpectedly: {error}"))))?;
        match (read, copied) {
            (Ok(tally), Ok(())) => Ok(tally),
            (Ok(_) | Err(Stop::SinkClosed), Err(error)) => Err(error.into()),
            (Err(stop), _) => Err(refused(stop)),
        }
    }

    /// The reply, with the lines refused because their person stands twice.
    async fn reply(&self, posting: &Posting, tally: Tally, (counts, past): (RosterCounts, &Past)) -> Result<Reply, Refused> {
        let mut listed = tally.listed;
        let twice = tally.received - tally.refused - counts.taken;
        if twice > 0 {
            let limit = self.gateway.config.gateway.receive.refusals_listed_max;
            let element = self.element_of_person();
            listed.extend(posting.people_twice(limit).await?.into_iter().map(|(record, first)| ListedRefusal {
                index: u64::from(record.unsigned_abs()),
                element: element.clone(),
                content: String::new(),
                reason: format!("this person stands in record {first} already; the first line was taken"),
            }));
            listed.sort_by_key(|refusal| refusal.index);
            listed.truncate(limit);
        }
        let mut notice = "成功 accepted".to_string();
        if counts.refused > 0 {
            notice += &format!("；退回 refused {}", counts.refused);
        }
        if self.head.kind.is_full() && tally.unnamed > 0 {
            notice += &format!("；nobody was ended: {} lines name nobody; mend them and send the roster under a new number", tally.unnamed);
        }
        notice += &past.notice(counts.left);
        replier(self.arrival, Some(self.head)).and_then(|replier| replier.roster(counts, notice, (&listed, &past.notes))).map_err(Refused::Failed)
    }

    /// The sender's name of the person's number.
    fn element_of_person(&self) -> String {
        let inbound = self.arrival.adapter.endpoint(ENDPOINT).and_then(|endpoint| endpoint.inbounds().next());
        inbound.map_or("person_no", |inbound| inbound.element_of(roster_person::PERSON_NO)).to_string()
    }

    /// The month it is in Asia/Shanghai.
    fn month_now(&self) -> Result<Month, Refused> {
        let now = Month::of(self.gateway.registrar.clock.today());
        now.ok_or_else(|| Refused::Failed(Fault::operator(Stage::Config, "the clock is not between 1990 and 2199; set it")))
    }
}

fn refused(stop: Stop) -> Refused {
    match stop {
        Stop::Refused(refusal) => match refused_whole(&refusal) {
            Ok((status, reason)) => Refused::Whole(status, reason),
            Err(fault) => Refused::Failed(fault),
        },
        Stop::Failed(fault) => Refused::Failed(fault),
        Stop::SinkClosed => Refused::Failed(Fault::later(Stage::Store, "the database took no more rows; send again")),
    }
}

impl From<PostError> for Refused {
    fn from(error: PostError) -> Refused {
        match error {
            PostError::NumberTaken | PostError::DetailTaken | PostError::HistoryTaken => Refused::Again,
            PostError::Failed(fault) => Refused::Failed(fault),
        }
    }
}

fn replier<'a>(arrival: &'a RosterArrival, head: Option<&RosterHead>) -> Result<Replier<'a>, Fault> {
    let adapter: &Adapter = &arrival.adapter;
    let endpoint = adapter.endpoint(ENDPOINT).ok_or_else(|| no_endpoint(adapter))?;
    let seen =
        head.map(|head| HeadSeen { packet_no: Some(head.roster_no.clone()), packet_type: None, encoding: endpoint.default_encoding(), values: head.values() });
    Ok(Replier { adapter, endpoint, head: seen, received_at: arrival.received_at })
}

fn no_endpoint(adapter: &Adapter) -> Fault {
    let text = format!("adapter {} has no endpoint `{ENDPOINT}`; its [[inbound]] roster_person or the partner's routes must be mended", adapter.name());
    Fault::operator(Stage::Config, text)
}
