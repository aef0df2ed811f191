//! A partner in memory that does what a script says, and an adapter that speaks to it.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::config::DestinationLimits;
use crate::error::{Fault, Stage};
use crate::flow::deliver::{DeliveryContents, Destination, Failure, Pace, Speaker, Wire};
use crate::link::{Pacer, SystemClock};
use crate::model::{Answer, Outcome, Request, Verdict};
use crate::store::delivery::Delivery;

/// What the partner does with the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Take,
    Refuse,
    /// 503, or 429 when it says for how many milliseconds.
    Busy(Option<u64>),
    TakeAndKeepSilent,
    KeepSilent,
    /// Takes it, and the connection breaks at once.
    TakeAndBreakOff,
    /// The connection is refused.
    Unreachable,
    /// Takes it, and answers only when told to.
    TakeAndHang,
}

#[derive(Default)]
pub struct PartnerState {
    /// What is done next; then `Take`.
    pub script: VecDeque<Does>,
    /// What is done once the script has run out.
    pub otherwise: Option<Does>,
    /// What stands before it and answers everything with this status; nothing reaches it.
    pub before: Option<u16>,
    /// Takes no notice of this delivery, ever.
    pub deaf_to: Option<i64>,
    /// How often something stood before it.
    pub turned_away: Vec<Instant>,
    /// Deliveries sent: reference, delivery, when.
    pub sends: Vec<(String, i64, Instant)>,
    pub inquiries: Vec<Instant>,
    /// Deliveries taken, by reference.
    pub taken: HashMap<String, i64>,
    pub under_way: usize,
    pub under_way_most: usize,
}

#[derive(Clone)]
pub struct ModelPartner {
    pub state: Arc<Mutex<PartnerState>>,
    pub answers: Arc<tokio::sync::Notify>,
    pub idempotent: bool,
    pub has_inquiry: bool,
}

impl ModelPartner {
    pub fn new() -> ModelPartner {
        ModelPartner {
            state: Arc::default(),
            answers: Arc::default(),
            idempotent: true,
            has_inquiry: true,
        }
    }

    pub fn will(self, script: &[Does]) -> ModelPartner {
        self.state.lock().unwrap().script.extend(script);
        self
    }

    pub fn sends(&self) -> Vec<(String, i64, Instant)> {
        self.state.lock().unwrap().sends.clone()
    }

    pub fn inquiries(&self) -> usize {
        self.state.lock().unwrap().inquiries.len()
    }

    /// Deliveries the partner has taken, sorted; one taken twice under two references is there twice.
    pub fn taken(&self) -> Vec<i64> {
        let mut taken: Vec<i64> = self.state.lock().unwrap().taken.values().copied().collect();
        taken.sort_unstable();
        taken
    }

    pub fn destination(&self, concurrent: usize, per_second: u32) -> Destination {
        Destination {
            name: "core".into(),
            limits: DestinationLimits {
                concurrent,
                ..DestinationLimits::per_second(per_second)
            },
            clock: Arc::new(SystemClock),
            deadline: Duration::from_millis(500),
            wire: Arc::new(Paced(self.clone(), NonZeroU32::new(per_second).unwrap())),
            speakers: [(
                "contributions".to_owned(),
                Arc::new(self.clone()) as Arc<dyn Speaker>,
            )]
            .into(),
            content: Arc::new(Numbers),
        }
    }

    fn take_next(&self, request: &Request) -> (Does, u16) {
        let mut state = self.state.lock().unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let (reference, delivery) = (
            request.headers[0].1.clone(),
            body["delivery"].as_i64().unwrap(),
        );
        let otherwise = state.otherwise.unwrap_or(Does::Take);
        let deaf = state.deaf_to == Some(delivery);
        let does = if deaf {
            Does::KeepSilent
        } else {
            state.script.pop_front().unwrap_or(otherwise)
        };
        if does == Does::Unreachable {
            return (does, 0);
        }
        state
            .sends
            .push((reference.clone(), delivery, Instant::now()));
        state.under_way += 1;
        state.under_way_most = state.under_way_most.max(state.under_way);
        let takes = matches!(
            does,
            Does::Take | Does::TakeAndKeepSilent | Does::TakeAndBreakOff | Does::TakeAndHang
        );
        let status = if takes && state.taken.insert(reference, delivery).is_some() {
            409
        } else {
            200
        };
        (does, status)
    }

    pub fn turned_away(&self) -> usize {
        self.state.lock().unwrap().turned_away.len()
    }

    pub fn stands_before(&self, status: Option<u16>) {
        self.state.lock().unwrap().before = status;
    }

    async fn answer(&self, request: &Request, deadline: Duration) -> Result<Answer, Failure> {
        {
            let mut state = self.state.lock().unwrap();
            if let Some(status) = state.before {
                state.turned_away.push(Instant::now());
                return Ok(Answer {
                    status,
                    headers: Vec::new(),
                    body: Vec::new(),
                });
            }
        }
        if request.path == "/inquiry" {
            let mut state = self.state.lock().unwrap();
            let reference = request.headers[0].1.clone();
            let status = if state.taken.contains_key(&reference) {
                200
            } else {
                404
            };
            state.inquiries.push(Instant::now());
            return Ok(Answer {
                status,
                headers: Vec::new(),
                body: Vec::new(),
            });
        }
        let (does, status) = self.take_next(request);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let answer = |status, wait: Option<u64>| {
            let headers = wait
                .map(|wait| ("retry-after-milliseconds".to_owned(), wait.to_string()))
                .into_iter()
                .collect();
            Ok(Answer {
                status,
                headers,
                body: Vec::new(),
            })
        };
        let result = match does {
            Does::Unreachable => return Err(Failure::NotSent("connection refused".into())),
            Does::Take => answer(status, None),
            Does::Refuse => answer(400, None),
            Does::Busy(None) => answer(503, None),
            Does::Busy(wait) => answer(429, wait),
            Does::TakeAndKeepSilent | Does::KeepSilent => {
                tokio::time::sleep(deadline).await;
                Err(Failure::Unknown("no answer".into()))
            }
            Does::TakeAndBreakOff => Err(Failure::Unknown("connection reset".into())),
            Does::TakeAndHang => {
                self.answers.notified().await;
                answer(status, None)
            }
        };
        self.state.lock().unwrap().under_way -= 1;
        result
    }
}

struct Paced(ModelPartner, NonZeroU32);

impl Wire for Paced {
    fn send<'a>(
        &'a self,
        request: &'a Request,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.0.answer(request, deadline))
    }

    fn pacer(&self) -> Box<dyn Pace> {
        Box::new(Turns(Pacer::new(self.1)))
    }
}

struct Turns(Pacer);

impl Pace for Turns {
    fn turn(&self) -> BoxFuture<'_, Instant> {
        Box::pin(self.0.pass())
    }

    fn answered(&self, turn: Instant) {
        self.0.answered(turn);
    }
}

impl Speaker for ModelPartner {
    fn digest(&self) -> [u8; 32] {
        [7; 32]
    }

    fn reference(&self, _: jiff::Timestamp, serial: u64) -> Result<String, Fault> {
        Ok(format!("ref-{serial}"))
    }

    fn render(&self, body: &Value, reference: &str, _: jiff::Timestamp) -> Result<Request, Fault> {
        assert_ne!(body["delivery"], json!(-1), "this one cannot be rendered");
        let headers = vec![("reference".to_owned(), reference.to_owned())];
        Ok(Request {
            method: "POST".into(),
            path: "/contributions".into(),
            headers,
            body: body.to_string().into_bytes(),
            reuse: false,
        })
    }

    fn judge(&self, answer: &Answer, _: &str) -> Verdict {
        let outcome = match answer.status {
            200 => Outcome::Accepted,
            409 => Outcome::Duplicate,
            400 => Outcome::Rejected,
            401 => Outcome::NotReached,
            429 | 503 => Outcome::RetryLater,
            _ => Outcome::Unknown,
        };
        let retry_after = answer
            .headers
            .first()
            .map(|(_, wait)| Duration::from_millis(wait.parse().unwrap()));
        Verdict {
            outcome,
            text: format!("status {}", answer.status),
            retry_after,
            own: answer.status < 500,
        }
    }

    fn idempotent(&self) -> bool {
        self.idempotent
    }

    fn inquiry(
        &self,
        reference: &str,
        _: jiff::Timestamp,
        _: u64,
    ) -> Option<Result<(String, Request), Fault>> {
        let headers = vec![("reference".to_owned(), reference.to_owned())];
        let request = Request {
            method: "POST".into(),
            path: "/inquiry".into(),
            headers,
            body: Vec::new(),
            reuse: false,
        };
        self.has_inquiry.then(|| Ok(("own".to_owned(), request)))
    }

    fn judge_inquiry(&self, answer: &Answer, _: &str) -> Verdict {
        let outcome = match answer.status {
            200 => Outcome::Accepted,
            404 => Outcome::Rejected,
            401 => Outcome::NotReached,
            _ => Outcome::Unknown,
        };
        Verdict {
            outcome,
            text: format!("status {}", answer.status),
            retry_after: None,
            own: answer.status < 500,
        }
    }
}

/// Bodies that only name the delivery. Packet 13 breaks the adapter, packet 14 has no records.
struct Numbers;

impl DeliveryContents for Numbers {
    fn body<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            match delivery.of.records().map_or(0, |records| records.packet_id) {
                13 => Ok(json!({"delivery": -1})),
                14 => Err(Fault::operator(
                    Stage::Store,
                    "the packet has no such records",
                )),
                _ => Ok(json!({"delivery": delivery.delivery_id})),
            }
        })
    }
}
