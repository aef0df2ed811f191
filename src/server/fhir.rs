//! `GET /fhir/…`: FHIR's RESTful interface, read-only, over the same listener.
//!
//! Finds out what is asked for, calls the flow, writes status and headers; refusals are
//! OperationOutcomes. What a resource looks like is the flow's business.

use std::sync::LazyLock;
use std::time::SystemTime;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ETAG, HOST, LAST_MODIFIED, RETRY_AFTER, VARY};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::Value;

use super::province::{already_has, coded, encoding, query};
use super::{LATER_SECONDS, PartnerApi};
use crate::flow::fhir::{self, Asker, Type};
use crate::flow::pull::Refusal;

const PREFIX: &str = "/fhir/";
const CONTENT: &str = "application/fhir+json; charset=utf-8";

/// Since when this instance's statement holds.
static STARTED: LazyLock<jiff::Timestamp> = LazyLock::new(jiff::Timestamp::now);

/// Answers a partner that may call this route.
pub async fn handle(request: &HttpRequest, api: &PartnerApi, partner: &str) -> HttpResponse {
    answer(request, api, partner).await.unwrap_or_else(|refusal| refuse(partner, &refusal))
}

async fn answer(request: &HttpRequest, api: &PartnerApi, partner: &str) -> Result<HttpResponse, Refusal> {
    let pulls = &api.gateway.pulls;
    let base = base(request);
    let asker = Asker { pulls, puller: pulls.puller(partner)?, base: &base };
    let parameters = query(request)?;
    let path: Vec<&str> = request.path().strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
    let typed = |word: &str| {
        let shown: String = word.chars().take(40).collect();
        let known = Type::ALL.map(Type::word).join(", ");
        Type::of_word(word).ok_or_else(|| Refusal::NotFound(format!("`{shown}` is not served; served are {known}")))
    };
    match path[..] {
        ["metadata"] => Ok(body(request, HttpResponse::Ok(), &fhir::statement(&base, *STARTED))),
        [of] => Ok(body(request, HttpResponse::Ok(), &asker.search(typed(of)?, &parameters).await?)),
        [of, "_history"] => Ok(body(request, HttpResponse::Ok(), &asker.history(typed(of)?, None, &parameters).await?)),
        [of, id] => {
            let found = asker.read(typed(of)?, id).await?;
            let etag = format!("\"{}\"", found.sequence);
            let unchanged = already_has(request, &etag);
            let mut answer = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
            answer.insert_header((ETAG, format!("W/{etag}")));
            answer.insert_header((LAST_MODIFIED, actix_web::http::header::HttpDate::from(SystemTime::from(found.changed_at))));
            Ok(if unchanged { answer.finish() } else { body(request, answer, &found.body) })
        }
        [of, id, "_history"] => Ok(body(request, HttpResponse::Ok(), &asker.history(typed(of)?, Some(id), &parameters).await?)),
        _ => Err(Refusal::NotFound("there is nothing here; see metadata for what is served".into())),
    }
}

/// Where the caller thinks we are.
fn base(request: &HttpRequest) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("https://{host}/fhir")
}

fn body(request: &HttpRequest, mut answer: HttpResponseBuilder, value: &Value) -> HttpResponse {
    let encoding = encoding(request);
    coded(&mut answer, encoding);
    answer.insert_header((VARY, "accept-encoding")).insert_header((CACHE_CONTROL, "private, no-cache"));
    answer.content_type(CONTENT).body(encoding.encode(value.to_string().into_bytes()))
}

fn refuse(partner: &str, refusal: &Refusal) -> HttpResponse {
    let (status, code, text) = match refusal {
        Refusal::Bad(text) => (StatusCode::BAD_REQUEST, "invalid", text.as_str()),
        Refusal::Forbidden(text) => (StatusCode::FORBIDDEN, "forbidden", text.as_str()),
        Refusal::NotFound(text) => (StatusCode::NOT_FOUND, "not-found", text.as_str()),
        Refusal::Gone(text) => (StatusCode::GONE, "deleted", text.as_str()),
        Refusal::NotAcceptable(text) => (StatusCode::NOT_ACCEPTABLE, "not-supported", text.as_str()),
        Refusal::Failed(fault) => {
            tracing::error!(%partner, %fault, "FHIR request not answered");
            (StatusCode::SERVICE_UNAVAILABLE, "transient", "the gateway cannot answer now; ask again later")
        }
    };
    let mut answer = HttpResponseBuilder::new(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.insert_header((RETRY_AFTER, LATER_SECONDS));
    }
    answer.content_type(CONTENT).body(fhir::outcome(code, text).to_string())
}
