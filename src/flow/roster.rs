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

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Gateway;
use super::intake::{
    Arrival, IntakeEnding, IntakeReply, ListedLines, ListedRefusal, Replier, WholeRefusal,
    alongside,
};
use crate::adapter::{HeadSeen, InboundMessage};
use crate::error::{Fault, Stage};
use crate::model::records::roster_person;
use crate::model::relation::Criterion;
use crate::model::{Month, Story};
use crate::store::collect::PacketTransaction;
use crate::store::relation::{PassedOverLine, RelationRefusal};
use crate::store::roster::{RosterCounts, RosterRow, StoredRoster};

mod head;
mod line;
mod past;
mod read;

use head::RosterHead;
use past::Past;
use read::{RosterReading, RosterTally};

/// How often a roster is looked up and tried when others interfere at the same instant.
const TRIES: usize = 4;
/// Takes a roster.
pub(super) async fn take(
    gateway: &Gateway,
    arrival: &Arrival,
) -> Result<IntakeReply, IntakeEnding> {
    let head = RosterHead::of_query(&arrival.parameters)
        .map_err(|reason| IntakeEnding::refused(400, reason))?;
    let roster = Roster {
        gateway,
        arrival,
        head: &head,
    };
    roster.take().await.map_err(|ending| match ending {
        // Of the body's head, which is the query's, the sender needs to hear nothing.
        IntakeEnding::Refused(refusal) => IntakeEnding::Refused(WholeRefusal {
            head: Some(roster.seen()),
            ..refusal
        }),
        other => other,
    })
}

/// A roster whose head has been read.
struct Roster<'a> {
    gateway: &'a Gateway,
    arrival: &'a Arrival,
    head: &'a RosterHead,
}

impl Roster<'_> {
    async fn take(&self) -> Result<IntakeReply, IntakeEnding> {
        let this = self.month_now()?;
        let head = self.head;
        if !self.arrival.partner.speaks_for(head.division.number()) {
            return Err(IntakeEnding::refused(
                403,
                self.arrival.partner.not_its_own(head.division.number()),
            ));
        }
        if !self.gateway.book.areas().any(|area| area == head.area) {
            let known = self.gateway.book.areas().collect::<Vec<_>>().join(", ");
            return Err(IntakeEnding::refused(
                400,
                format!(
                    "area is `{}`, of which this gateway has no rates; expected one of {known}",
                    head.area
                ),
            ));
        }
        if head.month > this {
            return Err(IntakeEnding::refused(
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
                .await?
            {
                // Whoever has a turn keeps it: waiting for a second one could wait for ever.
                let reads = turn.is_none() && stored.digest != self.arrival.body.digest;
                let _turn = if reads {
                    Some(self.gateway.alone.wait(sender).await)
                } else {
                    None
                };
                return self.again(stored).await;
            }
            // Waits without a connection, so that large bodies never take them all; repeats need no turn.
            if turn.is_none() {
                turn = Some(self.gateway.alone.wait(sender).await);
                continue;
            }
            match self.store(this).await {
                Err(IntakeEnding::NumberTaken | IntakeEnding::NeedsComparison) => {}
                other => return other,
            }
        }
        Err(IntakeEnding::NumberTaken)
    }

    /// The reply of a roster that was sent before; the same number with anything else is a conflict.
    async fn again(&self, stored: StoredRoster) -> Result<IntakeReply, IntakeEnding> {
        let head = self.head;
        let same = (stored.pooling_area, stored.month, stored.kind.as_str())
            == (
                head.division.number(),
                head.month.number(),
                head.kind.word(),
            )
            && (stored.digest == self.arrival.body.digest || self.says(stored.content).await?);
        if !same {
            return Err(IntakeEnding::refused(
                409,
                format!(
                    "roster number {} was used for other content; a new roster needs a new number",
                    head.roster_no
                ),
            ));
        }
        Ok(self.replier().again(stored.reply)?)
    }

    /// Whether its lines say the same as a stored one's: it may have been generated anew.
    async fn says(&self, content: Option<Vec<u8>>) -> Result<bool, IntakeEnding> {
        let Some(content) = content else {
            return Ok(false);
        };
        let lines_max = self.gateway.config.gateway.receive.lines_max;
        let says = self.arrival.content(lines_max, self.head.line()).await?;
        Ok(says.as_slice() == content)
    }

    async fn store(&self, this: Month) -> Result<IntakeReply, IntakeEnding> {
        let (gateway, arrival, head) = (self.gateway, self.arrival, self.head);
        let roster_id = gateway.store.ids(1).await?[0];
        let row = RosterRow {
            roster_id,
            sender: &arrival.partner.name,
            roster_no: &head.roster_no,
            pooling_area: head.division.number(),
            kind: head.kind.word(),
            month: head.month,
            digest: arrival.body.digest,
            received_at: arrival.received_at,
        };
        let posting = PacketTransaction::begin(&gateway.store).await?;
        posting.stage_roster().await?;
        let tally = self.stream(&posting, roster_id, this).await?;
        posting.lock_area(head.division.number()).await?;
        // Another copy may have been stored while this one waited.
        if gateway
            .store
            .find_roster(row.sender, row.roster_no)
            .await?
            .is_some()
        {
            posting.rollback().await;
            return Err(IntakeEnding::NumberTaken);
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
        posting: &PacketTransaction,
        roster_id: i64,
        latest: Month,
    ) -> Result<RosterTally, IntakeEnding> {
        let reading = self.reading(roster_id, latest);
        let copy = async |mut rows: mpsc::Receiver<Bytes>| {
            let mut copy = posting.copy_people().await?;
            while let Some(rows) = rows.recv().await {
                copy.send(rows).await?;
            }
            Ok(copy.finish().await?)
        };
        alongside(Story::Roster, move |chunks| reading.read(chunks), copy).await
    }

    fn reading(&self, roster_id: i64, latest: Month) -> RosterReading {
        let (gateway, arrival, head) = (self.gateway, self.arrival, self.head.clone());
        let receive = &gateway.config.gateway.receive;
        RosterReading {
            arrival: arrival.clone(),
            keys: gateway.registrar.keys.clone(),
            with_birth: gateway.book.depends_on_age(head.division),
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
        tally: RosterTally,
        passed: Vec<PassedOverLine>,
        (counts, past): (RosterCounts, &Past),
    ) -> Result<IntakeReply, IntakeEnding> {
        let limit = self.gateway.config.gateway.receive.refusals_listed_max;
        let element = self.element_of_person();
        let (mut listed, mut relations) = (tally.listed, Vec::new());
        for line in passed {
            let list = if line.why == RelationRefusal::Same {
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
        let listed = ListedLines {
            refused: &listed,
            notes: &past.notes,
            relations: &relations,
        };
        Ok(self.replier().roster(counts, notice, listed)?)
    }

    /// Why a line of a person who stands more than once does not count.
    fn passed_over(&self, line: &PassedOverLine) -> String {
        let other = line.other_index;
        match line.why {
            RelationRefusal::Same => format!(
                "this person stands in record {other} already, with the same content; it counts once"
            ),
            RelationRefusal::Rule => {
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
            RelationRefusal::Person => format!(
                "this person has several insurance relations; as a person decided before, that of record {other} counts"
            ),
            RelationRefusal::Undecided => format!(
                "this person has several insurance relations, such as that of record {other}; somebody has to decide which counts"
            ),
        }
    }

    /// The adapter's rule about people with several insurance relations.
    fn relation_rule(&self) -> &[Criterion] {
        let inbound = self.arrival.endpoint.inbounds().next();
        inbound
            .map(InboundMessage::one_relation_by)
            .unwrap_or_default()
    }

    /// The sender's name of the person's number.
    fn element_of_person(&self) -> String {
        let inbound = self.arrival.endpoint.inbounds().next();
        inbound
            .map_or("person_no", |inbound| {
                inbound.element_of(roster_person::PERSON_NO)
            })
            .to_string()
    }

    /// What its sender is told of its head.
    fn seen(&self) -> HeadSeen {
        HeadSeen {
            packet_no: Some(self.head.roster_no.clone()),
            packet_type: None,
            untaken: None,
            encoding: self.arrival.endpoint.default_encoding(),
            values: self.head.values(),
        }
    }

    fn replier(&self) -> Replier<'_> {
        self.arrival.replier(Some(self.seen()))
    }

    /// The month it is in Asia/Shanghai.
    fn month_now(&self) -> Result<Month, IntakeEnding> {
        let now = Month::of(self.gateway.registrar.clock.today());
        now.ok_or_else(|| {
            IntakeEnding::Failed(Fault::operator(
                Stage::Config,
                "the clock is not between 1990 and 2199; set it",
            ))
        })
    }
}
