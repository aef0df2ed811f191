//! A month's deductions, planned and looked at by the medical insurance core.
//!
//! Holds no rule of its own: the flow decides.

use actix_web::{HttpResponse, web};

use super::PartnerApi;
use super::partner::Call;

/// Plans a month.
pub async fn plan(_call: &Call<'_>, _payload: web::Payload, _api: &PartnerApi) -> HttpResponse {
    HttpResponse::NotImplemented().finish()
}

/// How far a cycle is.
pub async fn show(_call: &Call<'_>, _cycle: &str, _api: &PartnerApi) -> HttpResponse {
    HttpResponse::NotImplemented().finish()
}
