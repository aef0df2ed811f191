//! Results of deductions that the medical insurance core sends by itself.
//!
//! Holds no rule of its own: the flow decides.

use actix_web::{HttpResponse, web};

use super::PartnerApi;
use super::partner::Call;

/// Results of one batch.
pub async fn handle(_call: &Call<'_>, _payload: web::Payload, _api: &PartnerApi) -> HttpResponse {
    HttpResponse::NotImplemented().finish()
}
