//! placeholder
use actix_web::{HttpRequest, HttpResponse};
use super::PartnerApi;
pub fn serves(path: &str) -> bool { path.starts_with("/fhir/") }
pub async fn handle(_: &HttpRequest, _: &PartnerApi, _: &str) -> HttpResponse { HttpResponse::NotFound().finish() }
