//! A month's deductions, planned and looked at by the medical insurance core.
//!
//! Holds no rule of its own: the flow decides. Approving and running are for two people at the
//! gateway (`ltcgw deduct`), never for a caller.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::{Value, json};

use super::PartnerApi;
use super::partner::{Call, problem};
use crate::error::Fault;
use crate::flow::deduct::{
    ComparedCycle, DeductionRefusal, DeductionRefusalKind, Desk, Of, plan_for, see_for,
};
use crate::flow::intake::ReceivedBody;
use crate::flow::publish::without_mark;
use crate::model::{self, Month};

/// Largest body, in bytes.
const BODY_MAX: u64 = 4096;

/// What a caller says of the month to plan.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Pooling area, six digits.
    area: String,
    /// `YYYY-MM`.
    month: String,
    /// Digest of the plan in whose place this one is put, and of no other.
    replaces: Option<String>,
}

/// Plans a month: 201 with the plan's digest and totals, and with the plan whose place it took, if there was one of other content.
pub async fn plan(call: &Call<'_>, payload: web::Payload, api: &PartnerApi) -> HttpResponse {
    let body = match call.body(payload, api).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let (of, replaces) = match asked(&body) {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let cycle = match plan_for(&api.gateway, of, &call.entry.partner, replaces.as_deref()).await {
        Ok(cycle) => cycle,
        Err(refusal) => return refused(call, &refusal),
    };
    let desk = Desk::of(&api.gateway);
    let answer = async || {
        let earlier = desk.replaced_by(&cycle).await?;
        let mut document = document(&desk.seen(cycle).await?);
        document["replaces"] = earlier.map_or(
            Value::Null,
            |earlier| json!({ "cycle_id": earlier.cycle_id, "digest": HEXLOWER.encode(&earlier.digest) }),
        );
        Ok(document)
    };
    match answer().await {
        Ok(document) => HttpResponse::Created().json(document),
        Err(fault) => later(call, &fault),
    }
}

/// How far a cycle is.
pub async fn show(call: &Call<'_>, cycle: &str, api: &PartnerApi) -> HttpResponse {
    let unknown = || {
        problem(
            StatusCode::NOT_FOUND,
            "Not found",
            "there is no cycle of that id; expected one answered by POST /core/v1/deduction-cycles",
        )
    };
    let Ok(id) = cycle.parse::<i64>() else {
        return unknown();
    };
    match see_for(&api.gateway, id, &call.entry.partner).await {
        Ok(Some((seen, report))) => {
            let mut document = document(&seen);
            let outcomes = report.outcomes.iter().map(|of| json!({ "round": of.round, "outcome": of.outcome.word(), "people": of.people, "fen": of.taken.0 }));
            document["batches"] = report.answers.batches.into();
            document["batches_answered"] = report.answers.batches_answered.into();
            document["answered"] = report.answers.answered.into();
            document["results"] = outcomes.collect();
            HttpResponse::Ok().json(document)
        }
        Ok(None) => unknown(),
        Err(refusal) => refused(call, &refusal),
    }
}

fn asked(body: &ReceivedBody) -> Result<(Of, Option<String>), HttpResponse> {
    let unreadable = |detail: &str| problem(StatusCode::BAD_REQUEST, "Not JSON", detail);
    let wrong = |detail: &str| {
        problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Not as it should be",
            detail,
        )
    };
    if body.length > BODY_MAX {
        return Err(unreadable(&format!(
            "{} bytes; expected an object with area and month",
            body.length
        )));
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut body.reader(), &mut bytes)
        .map_err(|error| unreadable(&format!("the body cannot be read back: {}", error.kind())))?;
    let value: Value = model::json::from_slice(without_mark(&bytes))
        .map_err(|_| unreadable("the body is not JSON, or has a key twice; expected {\"area\":\"450100\",\"month\":\"2021-10\"}"))?;
    let asked: Asked = Asked::deserialize(model::json::Strict(value))
        .map_err(|_| wrong("expected `area` and `month`, with or without `replaces`, all text: {\"area\":\"450100\",\"month\":\"2021-10\"}"))?;
    let six_digits = asked.area.len() == 6 && asked.area.bytes().all(|byte| byte.is_ascii_digit());
    let area = asked
        .area
        .parse()
        .ok()
        .filter(|_| six_digits)
        .ok_or_else(|| wrong("area: expected a pooling area of six digits such as 450100"))?;
    let month = Month::parse_dashed(&asked.month)
        .ok_or_else(|| wrong("month: expected a contribution month such as 2021-10"))?;
    Ok((Of { area, month }, asked.replaces))
}

/// A plan as the caller is told it; money in fen.
fn document(seen: &ComparedCycle) -> Value {
    let cycle = &seen.cycle;
    let totals = seen.cells.iter().map(|cell| {
        json!({
            "district": format!("{:06}", cell.district), "category": cell.category.word(), "people": cell.people,
            "base_fen": cell.base.0, "due_fen": cell.due.0, "carried_fen": cell.carried.0,
        })
    });
    let left_out = seen
        .left_out
        .iter()
        .map(|left| json!({ "reason": left.reason, "people": left.people, "due_fen": left.due.0 }));
    json!({
        "cycle_id": cycle.cycle_id, "area": format!("{:06}", cycle.pooling_area), "month": cycle.month.to_string(), "state": cycle.state.word(),
        "digest": HEXLOWER.encode(&cycle.digest), "people": cycle.people, "fen": cycle.fen.0, "round": cycle.rounds,
        "totals": totals.collect::<Value>(), "left_out": left_out.collect::<Value>(),
    })
}

fn refused(call: &Call<'_>, refusal: &DeductionRefusal) -> HttpResponse {
    let (status, title) = match refusal.why {
        DeductionRefusalKind::Missing => (StatusCode::NOT_FOUND, "Nothing to deduct from"),
        DeductionRefusalKind::State => (StatusCode::CONFLICT, "Under way"),
        DeductionRefusalKind::Wrong => (StatusCode::UNPROCESSABLE_ENTITY, "Not as it should be"),
        DeductionRefusalKind::Foreign => (StatusCode::FORBIDDEN, "Not allowed"),
        DeductionRefusalKind::Failed => return later(call, &refusal.fault),
    };
    problem(status, title, &refusal.fault.text)
}

fn later(call: &Call<'_>, fault: &Fault) -> HttpResponse {
    tracing::error!(partner = %call.entry.partner.name, %fault, "cycle not planned or shown");
    call.later("the gateway cannot do it now; ask again later")
}
