//! Results of deductions that the medical insurance core sends by itself.
//!
//! Holds no rule of its own: the flow decides, the partner's adapter says what the body looks like.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::PartnerApi;
use super::partner::{Call, answer, problem};
use crate::flow::collect::Arrival;
use crate::flow::transfer;

/// The adapter's endpoint that reads them: the last segment of the path.
const ENDPOINT: &str = "deduction-results";

/// Results of one batch.
pub async fn handle(call: &Call<'_>, payload: web::Payload, api: &PartnerApi) -> HttpResponse {
    let entry = call.entry;
    let Some(adapter) = entry
        .adapter
        .as_ref()
        .filter(|adapter| adapter.endpoint(ENDPOINT).is_some())
    else {
        let detail = format!(
            "partner {} has no adapter that reads results of deductions",
            entry.partner.name
        );
        return problem(StatusCode::NOT_FOUND, "Not set up", &detail);
    };
    let body = match call.body(payload, api).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let arrival = Arrival {
        partner: entry.partner.clone(),
        adapter: adapter.clone(),
        endpoint: ENDPOINT.to_owned(),
        body,
        received_at: jiff::Timestamp::now(),
    };
    match transfer::receive(&api.gateway, &arrival).await {
        Ok(reply) => answer(reply),
        Err(fault) => {
            tracing::error!(partner = %entry.partner.name, %fault, "results of deductions not taken");
            call.later("the gateway cannot take the results now; send them again later")
        }
    }
}
