//! Rosters of insured people, from the medical insurance core.
//!
//! Holds no rule of its own: the flow decides, and the adapter says what the answer looks like.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::PartnerApi;
use super::partner::{Call, answer, count_lines, problem};
use crate::flow::roster::{self, RosterArrival};

/// One roster.
pub async fn handle(call: &Call<'_>, payload: web::Payload, api: &PartnerApi) -> HttpResponse {
    let entry = call.entry;
    let Some(adapter) = &entry.adapter else {
        return problem(
            StatusCode::NOT_FOUND,
            "Not found",
            &format!(
                "partner {} has no adapter that reads rosters",
                entry.partner.name
            ),
        );
    };
    let Ok(query) = web::Query::<Vec<(String, String)>>::from_query(call.request.query_string())
    else {
        return problem(
            StatusCode::BAD_REQUEST,
            "Not understood",
            "the query cannot be read; expected name=value pairs, percent-encoded",
        );
    };
    let body = match call.body(payload, api).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let arrival = RosterArrival {
        partner: entry.partner.clone(),
        adapter: adapter.clone(),
        query: query.into_inner(),
        body,
        received_at: jiff::Timestamp::now(),
    };
    match roster::receive(&api.gateway, &arrival).await {
        Ok(reply) => {
            count_lines(api, &entry.partner.name, &reply);
            answer(reply)
        }
        Err(fault) => {
            tracing::error!(partner = %entry.partner.name, %fault, "roster not taken");
            call.later("the gateway cannot take the roster now; send it again later")
        }
    }
}
