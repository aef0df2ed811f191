//! The simulated LTC system: contributions and results of deductions as JSON under an Idempotency-Key.

use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::Desk;
use super::books::{BatchEntry, ReceivedBatch};
use super::https::{Handling, deliver};
use crate::model::division::{is_code, scope};
use crate::model::{Fen, Month};

pub(super) mod results; // what became of a month's deductions

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/api/v1/contributions", web::post().to(contributions))
        .route(
            "/api/v1/deduction-results",
            web::post().to(results::results),
        );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    batch: String,
    packet_no: String,
    reversal: bool,
    reverses: Option<Reversed>,
    line_count: usize,
    long_term_care_total: String,
    lines: Vec<Line>,
}

/// The batch whose lines are taken back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reversed {
    batch: String,
    packet_no: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    detail_no: String,
    pooling_area: String,
    district: String,
    employer_no: String,
    receipt_no: String,
    contribution_month: String,
    payment_kind: String,
    headcount: Option<i64>,
    employer_base: String,
    long_term_care_amount: String,
    treasury_on: String,
}

/// Status, code and message of a refusal.
type Refusal = (u16, &'static str, String);

/// A batch of either kind: what its taking comes to is `attempt`'s, with status and number of the batch.
struct Delivery {
    key: Option<String>,
    body: Bytes,
    attempt: Attempt,
}

type Attempt = fn(&Delivery, &Desk) -> Result<(u16, String), Refusal>;

async fn contributions(request: HttpRequest, body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(&desk, &Delivery::of(&request, body, take_contributions)).await
}

impl Handling for Delivery {
    fn take(&self, desk: &Desk) -> HttpResponse {
        match (self.attempt)(self, desk) {
            Ok((status, batch)) => answer(status, &json!({ "state": "accepted", "batch": batch })),
            Err((status, code, message)) => {
                let mut state = desk.state();
                match code {
                    "duplicate" => state.tally.repeats += 1,
                    _ => state.tally.refused += 1,
                }
                answer(status, &json!({ "code": code, "message": message }))
            }
        }
    }

    fn refuse(&self, _desk: &Desk, code: &str) -> HttpResponse {
        answer(
            422,
            &json!({ "code": code, "message": "refused by the script" }),
        )
    }
}

impl Delivery {
    fn of(request: &HttpRequest, body: Bytes, attempt: Attempt) -> Delivery {
        let key = request
            .headers()
            .get("idempotency-key")
            .and_then(|value| value.to_str().ok());
        Delivery {
            key: key.map(str::to_owned),
            body,
            attempt,
        }
    }

    fn key(&self) -> Result<&str, Refusal> {
        let key = self
            .key
            .as_deref()
            .filter(|key| !key.is_empty() && key.len() <= 64);
        key.ok_or_else(|| {
            refusal(
                400,
                "no_key",
                "Idempotency-Key: expected 1 to 64 characters",
            )
        })
    }
}

fn take_contributions(delivery: &Delivery, desk: &Desk) -> Result<(u16, String), Refusal> {
    let key = delivery.key()?;
    if desk
        .options
        .chars_max
        .is_some_and(|most| delivery.body.len() > most)
    {
        return Err(refusal(400, "too_large", "more characters than taken"));
    }
    let document: Document = serde_json::from_slice(&delivery.body)
        .map_err(|error| (400, "malformed", error.to_string()))?;
    let batch = document.check()?;
    let number = batch.number.clone();
    let mut state = desk.state();
    match state.books.enter(key, &delivery.body, &batch) {
        BatchEntry::New => Ok((201, number)),
        BatchEntry::Again => {
            state.tally.repeats += 1;
            Ok((200, number))
        }
        BatchEntry::Conflict => Err(refusal(
            409,
            "conflict",
            "this key was used for other content",
        )),
        BatchEntry::Known => Err((409, "duplicate", format!("batch {number} is known"))),
        BatchEntry::NothingToReverse => Err(refusal(
            422,
            "reverses",
            "the batch it takes back never came",
        )),
        BatchEntry::Overflow => Err(refusal(422, "overflow", "the sums no longer fit")),
    }
}

impl Document {
    fn check(self) -> Result<ReceivedBatch, Refusal> {
        if self.batch.is_empty() || self.packet_no.is_empty() {
            return Err(refusal(
                422,
                "missing",
                "batch and packet_no must not be empty",
            ));
        }
        if self.line_count != self.lines.len() || self.lines.is_empty() {
            return Err((
                422,
                "line_count",
                format!(
                    "line_count is {}; there are {} lines",
                    self.line_count,
                    self.lines.len()
                ),
            ));
        }
        if self.reversal
            != self
                .reverses
                .as_ref()
                .is_some_and(|of| !of.batch.is_empty() && !of.packet_no.is_empty())
        {
            return Err(refusal(
                422,
                "reverses",
                "a reversal names the batch and packet it takes back, anything else none",
            ));
        }
        let mut sum = Fen::ZERO;
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            let at = |what: &str| (422, "line", format!("line {}: {what}", index + 1));
            let fen = line.check().map_err(at)?;
            sum = sum
                .checked_add(fen)
                .ok_or_else(|| at("the sum no longer fits"))?;
            lines.push((line.district.clone(), fen));
        }
        if Fen::parse_yuan(&self.long_term_care_total) != Ok(sum) {
            return Err((
                422,
                "total",
                format!(
                    "long_term_care_total is not the lines' sum {sum}; reversal is {}",
                    self.reversal
                ),
            ));
        }
        Ok(ReceivedBatch {
            number: self.batch,
            reverses: self.reverses.map(|of| of.batch),
            lines,
        })
    }
}

impl Line {
    fn check(&self) -> Result<Fen, &'static str> {
        if self.detail_no.is_empty() || self.employer_no.is_empty() || self.receipt_no.is_empty() {
            return Err("detail_no, employer_no and receipt_no must not be empty");
        }
        if !is_code(&self.pooling_area)
            || !is_code(&self.district)
            || !self.district.starts_with(scope(&self.pooling_area))
        {
            return Err(
                "pooling_area or district is not six digits, or the one does not lie in the other",
            );
        }
        if Month::parse_dashed(&self.contribution_month).is_none()
            || self.treasury_on.parse::<jiff::civil::Date>().is_err()
        {
            return Err("contribution_month or treasury_on is not a month or date");
        }
        if !matches!(
            self.payment_kind.as_str(),
            "normal" | "refund" | "back_payment" | "base_adjustment" | "rate_adjustment"
        ) {
            return Err("payment_kind is unknown");
        }
        if self.headcount.is_some_and(|count| count < 0)
            || Fen::parse_yuan(&self.employer_base).is_err()
        {
            return Err("headcount or employer_base is not a number");
        }
        Fen::parse_yuan(&self.long_term_care_amount)
            .map_err(|_| "long_term_care_amount is not an amount")
    }
}

fn refusal(status: u16, code: &'static str, message: &str) -> Refusal {
    (status, code, message.to_owned())
}

fn answer(status: u16, body: &serde_json::Value) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status)
        .unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).json(body)
}
