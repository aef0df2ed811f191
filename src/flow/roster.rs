//! A roster of insured people becomes what the gateway knows of them: read, checked, sealed, stored, answered.
//!
//! Either all of a roster is durable or nothing of it, and the reply goes out after the commit.
//! Memory is constant: lines are decoded on a thread of their own while they flow into a temporary
//! table; one statement then enters them. No database connection is held while bytes arrive.
//!
//! What a roster says holds from each line's own month. A full roster tells how things are in its
//! month, so its lines count from that month at the earliest, and whoever it does not name has left
//! from it. A person whose line is refused is still named; when a line names nobody at all, nobody
//! is ended, since nobody knows whom it meant. Of a person with several insurance relations one counts that
//! the adapter's rule or a person has decided for, never the first line.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Gateway;
use super::collect::receipt::{Listed, Replier};
use super::collect::{Body, ListedRefusal, Reply, refused_whole};
use crate::adapter::{Adapter, HeadSeen, Inbound};
use crate::config::Partner;
use crate::error::{Fault, Stage};
use crate::model::records::roster_person;
use crate::model::relation::Criterion;
use crate::model::{Month, mask};
use crate::store::collect::{PostError, Posting, RefusalNote};
use crate::store::relation::{Passed, Why};
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
        Ok(head) => {
            Roster {
                gateway,
                arrival,
                head,
            }
            .take()
            .await
        }
        Err(reason) => Err(Refused::Whole(400, reason.clone())),
    };
    match taken {
        Ok(reply) => Ok(reply),
        Err(Refused::Failed(fault)) => Err(fault),
        Err(Refused::Again) => Err(Fault::later(
            Stage::Store,
            "rosters of the same number are being stored at this instant; send again",
        )),
        Err(Refused::Whole(status, reason)) => {
            let number = number.map(mask::content);
            let (number, reason) = (number.as_deref(), mask::text(&reason));
            tracing::info!(partner = %arrival.partner.name, roster_no = number, status, %reason, "roster refused whole");
            let note = RefusalNote {
                sender: &arrival.partner.name,
                packet_no: number,
                digest: arrival.body.digest,
                status,
                reason: &reason,
            };
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
        if !self.arrival.partner.speaks_for(head.area_number) {
            return Err(Refused::Whole(
                403,
                self.arrival.partner.not_its_own(head.area_number),
            ));
        }
        if !self.gateway.book.areas().any(|area| area == head.area) {
            let known = self.gateway.book.areas().collect::<Vec<_>>().join(", ");
            return Err(Refused::Whole(
                400,
                format!(
                    "area is `{}`, of which this gateway has no rates; expected one of {known}",
                    head.area
                ),
            ));
        }
        if head.month > this {
            return Err(Refused::Whole(
                400,
                format!(
                    "month is {}, which has not come; expected {this} or an earlier one",
                    head.month
                ),
            ));
        }
        let mut turn = None;
        for _ in 0..TRIES {
            let sender = &self.arrival.partner.name;
            if let Some(stored) = self
                .gateway
                .store
                .find_roster(sender, &head.roster_no)
                .await
                .map_err(Refused::Failed)?
            {
                // Whoever has a turn keeps it: waiting for a second one could wait for ever.
                let reads = turn.is_none() && stored.digest != self.arrival.body.digest;
                let _turn = if reads {
                    Some(self.gateway.alone.wait(sender).await)
                } else {
                    None
                };
                return self.again(stored, this).await;
            }
            // Waits without a connection, so that large bodies never take them all; repeats need no turn.
            if turn.is_none() {
                turn = Some(self.gateway.alone.wait(sender).await);
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
    async fn again(&self, stored: StoredRoster, this: Month) -> Result<Reply, Refused> {
        let head = self.head;
        let same = (stored.pooling_area, stored.month, stored.kind.as_str())
            == (head.area_number, head.month.number(), head.kind.word())
            && (stored.digest == self.arrival.body.digest
                || self.says(stored.content, this).await?);
        if !same {
            return Err(Refused::Whole(
                409,
                format!(
                    "roster number {} was used for other content; a new roster needs a new number",
                    head.roster_no
                ),
            ));
        }
        replier(self.arrival, Some(head))
            .and_then(|replier| replier.again(stored.reply))
            .map_err(Refused::Failed)
    }

    /// Whether its lines say the same as a stored one's: it may have been generated anew.
    async fn says(&self, content: Option<Vec<u8>>, this: Month) -> Result<bool, Refused> {
        let Some(content) = content else {
            return Ok(false);
        };
        let reading = self.reading(0, this);
        let read = tokio::task::spawn_blocking(move || reading.content())
            .await
            .map_err(|error| ended(&error))?;
        Ok(read.map_err(refused)?.as_slice() == content)
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
        if gateway
            .store
            .find_roster(row.sender, row.roster_no)
            .await
            .map_err(Refused::Failed)?
            .is_some()
        {
            posting.rollback().await;
            return Err(Refused::Again);
        }
        let ends = head.kind.is_full() && tally.unnamed == 0;
        let left = if ends {
            posting.end_unnamed(&row).await?
        } else {
            0
        };
        let people = posting.enter_people(&row).await?;
        let listed_max = gateway.config.gateway.receive.refusals_listed_max;
        let several = tally.received - tally.refused > people;
        let undecided = if several {
            posting
                .decide_relations(row.pooling_area, roster_id, self.relation_rule())
                .await?
        } else {
            0
        };
        let passed = if several {
            posting.passed_over(roster_id, listed_max).await?
        } else {
            Vec::new()
        };
        let past = past::look(&posting, head, listed_max).await?;
        let taken = people - undecided;
        let counts = RosterCounts {
            received: tally.received,
            taken,
            refused: tally.received - taken,
            left,
            deducted: past.lines,
            undecided,
        };
        let content = tally.content;
        let reply = self.reply(tally, passed, (counts, &past))?;
        posting
            .write_roster(&row, counts, (&content, &reply.body))
            .await?;
        posting.commit().await?;
        tracing::info!(
            partner = row.sender,
            roster_no = row.roster_no,
            received = counts.received,
            taken,
            left,
            undecided,
            "roster taken"
        );
        Ok(reply)
    }

    /// Decodes on a thread of its own while rows flow into the temporary table.
    async fn stream(
        &self,
        posting: &Posting,
        roster_id: i64,
        latest: Month,
    ) -> Result<Tally, Refused> {
        let (chunks, mut rows) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
        let reading = self.reading(roster_id, latest);
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
        let read = reading.await.map_err(|error| ended(&error))?;
        match (read, copied) {
            (Ok(tally), Ok(())) => Ok(tally),
            (Ok(_) | Err(Stop::SinkClosed), Err(error)) => Err(error.into()),
            (Err(stop), _) => Err(refused(stop)),
        }
    }

    fn reading(&self, roster_id: i64, latest: Month) -> Reading {
        let (gateway, arrival, head) = (self.gateway, self.arrival, self.head.clone());
        let receive = &gateway.config.gateway.receive;
        Reading {
            adapter: arrival.adapter.clone(),
            body: arrival.body.clone(),
            keys: gateway.registrar.keys.clone(),
            with_birth: gateway.book.depends_on_age(&head.area),
            head,
            roster_id,
            latest,
            listed_max: receive.refusals_listed_max,
            lines_max: receive.lines_max,
        }
    }

    /// The reply, with the lines that do not count because their person stands in others.
    fn reply(
        &self,
        tally: Tally,
        passed: Vec<Passed>,
        (counts, past): (RosterCounts, &Past),
    ) -> Result<Reply, Refused> {
        let limit = self.gateway.config.gateway.receive.refusals_listed_max;
        let element = self.element_of_person();
        let (mut listed, mut relations) = (tally.listed, Vec::new());
        for line in passed {
            let list = if line.why == Why::Same {
                &mut listed
            } else {
                &mut relations
            };
            list.push(ListedRefusal {
                index: u64::from(line.record_index.unsigned_abs()),
                element: element.clone(),
                content: String::new(),
                reason: self.passed_over(&line),
            });
        }
        listed.sort_by_key(|refusal| refusal.index);
        listed.truncate(limit);
        let mut notice = "成功 accepted".to_string();
        if counts.refused > 0 {
            notice += &format!("；退回 refused {}", counts.refused);
        }
        if counts.undecided > 0 {
            let people = counts.undecided;
            notice += &format!(
                "；多重参保待定 {people} people with several insurance relations are insured, and nothing is deducted until somebody decides which counts"
            );
        }
        if self.head.kind.is_full() && tally.unnamed > 0 {
            notice += &format!(
                "；nobody was ended: {} lines name nobody; mend them and send the roster under a new number",
                tally.unnamed
            );
        }
        notice += &past.notice(counts.left);
        replier(self.arrival, Some(self.head))
            .and_then(|replier| {
                replier.roster(
                    counts,
                    notice,
                    Listed {
                        refused: &listed,
                        notes: &past.notes,
                        relations: &relations,
                    },
                )
            })
            .map_err(Refused::Failed)
    }

    /// Why a line of a person who stands more than once does not count.
    fn passed_over(&self, line: &Passed) -> String {
        let other = line.other_index;
        match line.why {
            Why::Same => format!(
                "this person stands in record {other} already, with the same content; it counts once"
            ),
            Why::Rule => {
                let rule = self
                    .relation_rule()
                    .iter()
                    .map(|criterion| criterion.word())
                    .collect::<Vec<_>>()
                    .join(", ");
                format!(
                    "this person has several insurance relations; by the rule ({rule}) that of record {other} counts"
                )
            }
            Why::Person => format!(
                "this person has several insurance relations; as a person decided before, that of record {other} counts"
            ),
            Why::Undecided => format!(
                "this person has several insurance relations, such as that of record {other}; somebody has to decide which counts"
            ),
        }
    }

    /// The adapter's rule about people with several insurance relations.
    fn relation_rule(&self) -> &[Criterion] {
        let inbound = self
            .arrival
            .adapter
            .endpoint(ENDPOINT)
            .and_then(|endpoint| endpoint.inbounds().next());
        inbound.map(Inbound::one_relation_by).unwrap_or_default()
    }

    /// The sender's name of the person's number.
    fn element_of_person(&self) -> String {
        let inbound = self
            .arrival
            .adapter
            .endpoint(ENDPOINT)
            .and_then(|endpoint| endpoint.inbounds().next());
        inbound
            .map_or("person_no", |inbound| {
                inbound.element_of(roster_person::PERSON_NO)
            })
            .to_string()
    }

    /// The month it is in Asia/Shanghai.
    fn month_now(&self) -> Result<Month, Refused> {
        let now = Month::of(self.gateway.registrar.clock.today());
        now.ok_or_else(|| {
            Refused::Failed(Fault::operator(
                Stage::Config,
                "the clock is not between 1990 and 2199; set it",
            ))
        })
    }
}

fn ended(error: &tokio::task::JoinError) -> Refused {
    Refused::Failed(Fault::later(
        Stage::Decode,
        format!("reading a roster ended unexpectedly: {error}; send again"),
    ))
}

fn refused(stop: Stop) -> Refused {
    match stop {
        Stop::Refused(refusal) => match refused_whole(&refusal) {
            Ok((status, reason)) => Refused::Whole(status, reason),
            Err(fault) => Refused::Failed(fault),
        },
        Stop::Failed(fault) => Refused::Failed(fault),
        Stop::SinkClosed => Refused::Failed(Fault::later(
            Stage::Store,
            "the database took no more rows; send again",
        )),
    }
}

impl From<PostError> for Refused {
    fn from(error: PostError) -> Refused {
        match error {
            PostError::NumberTaken | PostError::DetailTaken | PostError::HistoryTaken => {
                Refused::Again
            }
            PostError::Failed(fault) => Refused::Failed(fault),
        }
    }
}

fn replier<'a>(
    arrival: &'a RosterArrival,
    head: Option<&RosterHead>,
) -> Result<Replier<'a>, Fault> {
    let adapter: &Adapter = &arrival.adapter;
    let endpoint = adapter
        .endpoint(ENDPOINT)
        .ok_or_else(|| no_endpoint(adapter))?;
    let seen = head.map(|head| HeadSeen {
        packet_no: Some(head.roster_no.clone()),
        packet_type: None,
        untaken: None,
        encoding: endpoint.default_encoding(),
        values: head.values(),
    });
    Ok(Replier {
        adapter,
        endpoint,
        head: seen,
        received_at: arrival.received_at,
    })
}

fn no_endpoint(adapter: &Adapter) -> Fault {
    let text = format!(
        "adapter {} has no endpoint `{ENDPOINT}`; its [[inbound]] roster_person or the partner's routes must be mended",
        adapter.name()
    );
    Fault::operator(Stage::Config, text)
}
