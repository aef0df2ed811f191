//! The medical insurance core's own paths: which handler serves which.
//!
//! Decides by the path only; what a request means is its handler's business.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};

use super::partner::{Call, problem};
use super::{PartnerApi, cycles, standing};

/// A request the partner's entry allows.
pub async fn handle(call: &Call<'_>, payload: web::Payload, api: &PartnerApi) -> HttpResponse {
    let path = call
        .request
        .path()
        .strip_prefix("/core/v1/")
        .unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    match (call.request.method(), segments.as_slice()) {
        (&Method::POST, ["deduction-cycles"]) => cycles::plan(call, payload, api).await,
        (&Method::GET, ["deduction-cycles", cycle]) => cycles::show(call, cycle, api).await,
        (&Method::GET, ["persons" | "employers", _, "contributions"]) => {
            standing::handle(call, api).await
        }
        _ => problem(
            StatusCode::NOT_FOUND,
            "Not found",
            &format!("there is nothing at {}", call.request.path()),
        ),
    }
}
