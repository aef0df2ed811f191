//! Who paid what: contributions of a person or employer, and a person's standing.
//!
//! Holds no rule of its own: the flow decides.

use actix_web::HttpResponse;

use super::PartnerApi;
use super::partner::Call;

/// A question about one person or employer.
pub async fn handle(_call: &Call<'_>, _api: &PartnerApi) -> HttpResponse {
    HttpResponse::NotImplemented().finish()
}
