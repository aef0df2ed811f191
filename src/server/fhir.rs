//! `GET /fhir/…`: FHIR's RESTful interface, read-only, over the same listener; HEAD and `POST _search` ask the same.
//!
//! Finds out what is asked for, calls the flow, writes status and headers; refusals are
//! OperationOutcomes. What a resource looks like is the flow's business.

use std::sync::LazyLock;
use std::time::SystemTime;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED, RETRY_AFTER, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde_json::Value;

use super::negotiation::{Offer, already_has, encoding, preferred};
use super::partner::Call;
use super::province::{coded, query, without_nul};
use super::{LATER_SECONDS, PartnerApi};
use crate::flow::fhir::{self, Asker, FhirTerms, Type};
use crate::flow::pull::PullRefusal;

const PREFIX: &str = "/fhir/";
const CONTENT: &str = "application/fhir+json; charset=utf-8";
/// Media types this is served as.
const MEDIA: [&str; 4] = [
    "application/fhir+json",
    "application/json+fhir",
    "application/json",
    "text/json",
];
/// What `_format` may ask for.
const FORMATS: [&str; 5] = [
    "json",
    "application/json",
    "application/fhir+json",
    "application/fhir json",
    "text/json",
];

/// Words of the paths under [`PREFIX`].
pub(super) fn path_words() -> impl Iterator<Item = &'static str> {
    let types = Type::ALL.into_iter().map(Type::word);
    types.chain(["metadata", "_history", "_search"])
}

/// Longest parameters of a search that is posted, in bytes.
const POSTED_MAX: u64 = 64 << 10;

/// Since when this instance's statement holds.
static STARTED: LazyLock<jiff::Timestamp> = LazyLock::new(jiff::Timestamp::now);

/// Answers a partner that may call this route.
pub async fn handle(call: &Call<'_>, payload: web::Payload, api: &PartnerApi) -> HttpResponse {
    let posted = if call.request.method() == Method::POST {
        match posted(call, payload, api).await {
            Ok(posted) => posted,
            Err(refusal) => return refusal,
        }
    } else {
        Vec::new()
    };
    let partner = &call.entry.partner.name;
    answer(call.request, posted, api, partner)
        .await
        .unwrap_or_else(|refusal| refuse(partner, &refusal))
}

/// The parameters of a search that was posted.
async fn posted(
    call: &Call<'_>,
    payload: web::Payload,
    api: &PartnerApi,
) -> Result<Vec<(String, String)>, HttpResponse> {
    let form = call
        .request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let form = form.split(';').next().unwrap_or_default().trim();
    if !form.is_empty() && !form.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(outcome(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a search is posted as application/x-www-form-urlencoded",
        ));
    }
    let body = call.body(payload, api).await?;
    if body.length > POSTED_MAX {
        return Err(outcome(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!(
                "the posted parameters have {} bytes; at most {POSTED_MAX} are taken",
                body.length
            ),
        ));
    }
    let mut text = String::new();
    let unread = |_| {
        outcome(
            StatusCode::BAD_REQUEST,
            "the posted parameters cannot be read; expected name=value pairs, percent-encoded",
        )
    };
    std::io::Read::read_to_string(&mut body.reader(), &mut text).map_err(unread)?;
    web::Query::<Vec<(String, String)>>::from_query(&text)
        .map(web::Query::into_inner)
        .map_err(|_| {
            outcome(
                StatusCode::BAD_REQUEST,
                "the posted parameters cannot be read; expected name=value pairs, percent-encoded",
            )
        })
}

async fn answer(
    request: &HttpRequest,
    posted: Vec<(String, String)>,
    api: &PartnerApi,
    partner: &str,
) -> Result<HttpResponse, PullRefusal> {
    let pulls = &api.gateway.pulls;
    let mut parameters = query(request)?;
    parameters.extend(without_nul(posted)?);
    acceptable(request, &parameters)?;
    let base = format!("{}/fhir", api.public_url);
    let asker = Asker {
        pulls,
        puller: pulls.puller(partner)?,
        base: &base,
        terms: FhirTerms(&api.terms),
        lenient: lenient(request),
    };
    let path: Vec<&str> = request
        .path()
        .strip_prefix(PREFIX)
        .unwrap_or_default()
        .split('/')
        .collect();
    let typed = |word: &str| {
        let shown: String = word.chars().take(40).collect();
        let known = Type::ALL.map(Type::word).join(", ");
        Type::of_word(word).ok_or_else(|| {
            PullRefusal::NotFound(format!("`{shown}` is not served; served are {known}"))
        })
    };
    match path[..] {
        ["metadata"] => Ok(body(
            request,
            HttpResponse::Ok(),
            &fhir::statement(&asker, *STARTED),
        )),
        [of] if !of.is_empty() => Ok(body(
            request,
            HttpResponse::Ok(),
            &asker.search(typed(of)?, &parameters).await?,
        )),
        [of, "_search"] => Ok(body(
            request,
            HttpResponse::Ok(),
            &asker.search(typed(of)?, &parameters).await?,
        )),
        [of, "_history"] => Ok(body(
            request,
            HttpResponse::Ok(),
            &asker.history(typed(of)?, None, &parameters).await?,
        )),
        [of, id] => {
            let found = asker.read(typed(of)?, id).await?;
            let etag = format!("\"{}\"", found.sequence);
            let unchanged = already_has(request, &etag);
            let mut answer = if unchanged {
                HttpResponse::NotModified()
            } else {
                HttpResponse::Ok()
            };
            answer.insert_header((ETAG, format!("W/{etag}")));
            answer.insert_header((
                LAST_MODIFIED,
                actix_web::http::header::HttpDate::from(SystemTime::from(found.changed_at)),
            ));
            Ok(if unchanged {
                answer.finish()
            } else {
                body(request, answer, &found.body)
            })
        }
        [of, id, "_history"] => Ok(body(
            request,
            HttpResponse::Ok(),
            &asker.history(typed(of)?, Some(id), &parameters).await?,
        )),
        _ => Err(PullRefusal::NotFound(
            "there is nothing here; see metadata for what is served".into(),
        )),
    }
}

/// Whether the answer can be in a form the caller takes: `_format` counts before `Accept` (R4 §3.1.0.1.11).
fn acceptable(request: &HttpRequest, parameters: &[(String, String)]) -> Result<(), PullRefusal> {
    let refused = || {
        PullRefusal::NotAcceptable(
            "this is served as application/fhir+json only, of FHIR 4.0".into(),
        )
    };
    if let Some((_, form)) = parameters.iter().find(|(name, _)| name == "_format") {
        return FORMATS
            .contains(&form.as_str())
            .then_some(())
            .ok_or_else(refused);
    }
    const FORM: Offer<()> = Offer {
        form: (),
        media: &MEDIA,
        parameters: &[("fhirversion", "4.0")],
        named_only: false,
    };
    preferred(request, &[FORM]).ok_or_else(refused)
}

/// Whether what is not served shall be left out instead of refused (R4 §3.1.1.3.1).
fn lenient(request: &HttpRequest) -> bool {
    let prefers = request
        .headers()
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']));
    prefers
        .map(str::trim)
        .any(|wish| wish.eq_ignore_ascii_case("handling=lenient"))
}

fn body(request: &HttpRequest, mut answer: HttpResponseBuilder, value: &Value) -> HttpResponse {
    let encoding = encoding(request);
    coded(&mut answer, encoding);
    answer
        .insert_header((VARY, "accept, accept-encoding, prefer"))
        .insert_header((CACHE_CONTROL, "private, no-cache"));
    answer
        .content_type(CONTENT)
        .body(encoding.encode(value.to_string().into_bytes()))
}

/// A refusal of this status as an OperationOutcome.
pub fn outcome(status: StatusCode, text: &str) -> HttpResponse {
    let code = match status.as_u16() {
        400 => "invalid",
        401 => "login",
        403 => "forbidden",
        404 => "not-found",
        405 | 406 | 415 => "not-supported",
        410 => "deleted",
        413 => "too-long",
        429 => "throttled",
        503 => "transient",
        _ => "processing",
    };
    HttpResponseBuilder::new(status)
        .content_type(CONTENT)
        .body(fhir::outcome(code, text).to_string())
}

fn refuse(partner: &str, refusal: &PullRefusal) -> HttpResponse {
    match refusal {
        PullRefusal::Bad(text) => outcome(StatusCode::BAD_REQUEST, text),
        PullRefusal::Forbidden(text) => outcome(StatusCode::FORBIDDEN, text),
        PullRefusal::NotFound(text) => outcome(StatusCode::NOT_FOUND, text),
        PullRefusal::Gone(text) => outcome(StatusCode::GONE, text),
        // Not `deleted`: no resource is.
        PullRefusal::OtherAreas(text) => HttpResponse::Gone()
            .content_type(CONTENT)
            .body(fhir::outcome("business-rule", text).to_string()),
        PullRefusal::NotAcceptable(text) => outcome(StatusCode::NOT_ACCEPTABLE, text),
        PullRefusal::Failed(fault) => {
            tracing::error!(%partner, %fault, "FHIR request not answered");
            let mut answer = outcome(
                StatusCode::SERVICE_UNAVAILABLE,
                "the gateway cannot answer now; ask again later",
            );
            answer
                .headers_mut()
                .insert(RETRY_AFTER, LATER_SECONDS.into());
            answer
        }
    }
}
