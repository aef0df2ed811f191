//! Joins a partner's adapter and the link to it for the dispatcher: what is said, and how it gets there.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::deliver::{Failure, Pace, RequestKind, Speaker, Wire};
use super::transfer;
use crate::adapter::{Adapter, OutboundMessage, RenderContext, Secrets};
use crate::config::{OutboundEntry as StoredRecord, Partner};
use crate::error::{Fault, Stage};
use crate::link::{Certainty, Client, Pacer};
use crate::model::told::Results;
use crate::model::{Answer, Request, Verdict};

/// One outbound message of one partner.
pub struct AdapterSpeaker {
    adapter: Arc<Adapter>,
    message: String,
    partner: Partner,
    secrets: Arc<Secrets>,
}

impl AdapterSpeaker {
    /// Checks that adapter and partner entry have all the message needs; a fault lists what is missing.
    pub fn new(
        adapter: Arc<Adapter>,
        partner: &Partner,
        secrets: Arc<Secrets>,
        message: &str,
    ) -> Result<AdapterSpeaker, Fault> {
        let speaker = AdapterSpeaker {
            adapter,
            message: message.to_string(),
            partner: partner.clone(),
            secrets,
        };
        let missing = speaker
            .outbound()?
            .check(&partner.settings, &speaker.secrets);
        if missing.is_empty() {
            Ok(speaker)
        } else {
            Err(Fault::operator(
                Stage::Config,
                format!("partner {}: {}", partner.name, missing.join("; ")),
            ))
        }
    }

    fn outbound(&self) -> Result<&OutboundMessage, Fault> {
        named(&self.adapter, &self.message)
    }

    /// The message, or its inquiry.
    fn outbound_of(&self, kind: RequestKind) -> Result<&OutboundMessage, Fault> {
        let own = self.outbound()?;
        match kind {
            RequestKind::Send => Ok(own),
            RequestKind::Inquire => named(&self.adapter, own.inquiry().unwrap_or_default()),
        }
    }

    fn render_as(
        &self,
        outbound: &OutboundMessage,
        body: &Value,
        reference: &str,
        at: jiff::Timestamp,
    ) -> Result<Request, Fault> {
        outbound.render(&RenderContext {
            body,
            settings: &self.partner.settings,
            secrets: &self.secrets,
            reference,
            at,
        })
    }
}

pub(super) fn named<'a>(adapter: &'a Adapter, message: &str) -> Result<&'a OutboundMessage, Fault> {
    adapter.outbound(message).ok_or_else(|| {
        let text = format!("adapter {} has no outbound message `{message}`; mend `receives` in partners.toml or the adapter", adapter.name());
        Fault::operator(Stage::Config, text)
    })
}

impl Speaker for AdapterSpeaker {
    fn digest(&self) -> [u8; 32] {
        self.adapter.digest()
    }

    fn reference(&self, at: jiff::Timestamp, serial: u64) -> Result<String, Fault> {
        Ok(self
            .outbound()?
            .new_reference(&self.partner.settings, at, serial))
    }

    fn render(&self, body: &Value, reference: &str, at: jiff::Timestamp) -> Result<Request, Fault> {
        self.render_as(self.outbound()?, body, reference, at)
    }

    fn decoded(&self, answer: Answer, kind: RequestKind) -> Answer {
        match self.outbound_of(kind) {
            Ok(outbound) => outbound.decoded(answer),
            Err(_) => answer,
        }
    }

    fn judge(&self, answer: &Answer, reference: &str) -> Verdict {
        self.outbound().map_or_else(
            |fault| unknown(&fault),
            |outbound| outbound.judge(answer, reference),
        )
    }

    fn records_max(&self) -> usize {
        let entries = self
            .outbound()
            .ok()
            .filter(|outbound| outbound.disclosure().is_some());
        entries.map_or(1, |outbound| outbound.records_max() as usize)
    }

    fn judge_records(&self, answer: &Answer, whole: &Verdict, ids: &[&str]) -> Vec<Verdict> {
        self.outbound().map_or_else(
            |fault| vec![unknown(&fault); ids.len()],
            |outbound| outbound.judge_records(answer, whole, ids),
        )
    }

    fn results(&self, answer: &Answer, kind: RequestKind) -> Option<Result<Results, Fault>> {
        self.outbound_of(kind)
            .ok()?
            .results()
            .map(|results| transfer::read(results, answer))
    }

    fn idempotent(&self) -> bool {
        self.outbound().is_ok_and(OutboundMessage::idempotent)
    }

    fn inquiry(
        &self,
        reference: &str,
        at: jiff::Timestamp,
        serial: u64,
    ) -> Option<Result<(String, Request), Fault>> {
        let outbound = self.outbound().ok()?;
        let message = outbound.inquiry()?;
        Some(named(&self.adapter, message).and_then(|inquiry| {
            let own = inquiry.new_reference(&self.partner.settings, at, serial);
            let body = json!({ "inquiry": { "reference": reference, "infno": outbound.infno().unwrap_or_default() } });
            Ok((own.clone(), self.render_as(inquiry, &body, &own, at)?))
        }))
    }

    fn judge_inquiry(&self, answer: &Answer, own_reference: &str) -> Verdict {
        self.outbound_of(RequestKind::Inquire).map_or_else(
            |fault| unknown(&fault),
            |inquiry| inquiry.judge(answer, own_reference),
        )
    }
}

fn unknown(fault: &Fault) -> Verdict {
    Verdict::unknown(fault.text.clone(), true)
}

/// The link to one partner.
pub struct LinkWire {
    client: Client,
    per_second: NonZeroU32,
    burst: Option<NonZeroU32>,
}

impl LinkWire {
    pub fn new(entry: &StoredRecord) -> Result<LinkWire, Fault> {
        let per_second =
            NonZeroU32::new(entry.limits.requests_per_second).unwrap_or(NonZeroU32::MIN);
        Ok(LinkWire {
            client: Client::new(entry)?,
            per_second,
            burst: entry.limits.burst.and_then(NonZeroU32::new),
        })
    }
}

impl Wire for LinkWire {
    fn send<'a>(
        &'a self,
        request: &'a Request,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        let answer = self.client.send(request, deadline).map(|sent| {
            sent.map_err(|failure| match failure.certainty {
                Certainty::NotSent => Failure::NotSent(failure.text),
                Certainty::Unknown => Failure::Unknown(failure.text),
            })
        });
        answer.boxed()
    }

    fn pacer(&self) -> Box<dyn Pace> {
        Box::new(LinkPace(Pacer::with_burst(self.per_second, self.burst)))
    }
}

struct LinkPace(Pacer);

impl Pace for LinkPace {
    fn turn(&self) -> BoxFuture<'_, Instant> {
        self.0.pass().boxed()
    }

    fn answered(&self, turn: Instant) {
        self.0.answered(turn);
    }
}
