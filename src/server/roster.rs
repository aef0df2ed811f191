//! Rosters of insured people, from the medical insurance core.
//!
//! Holds no rule of its own: the flow decides.

use actix_web::{HttpResponse, web};

use super::PartnerApi;
use super::partner::Call;

/// One roster.
pub async fn handle(_call: &Call<'_>, _payload: web::Payload, _api: &PartnerApi) -> HttpResponse {
    HttpResponse::NotImplemented().finish()
}
