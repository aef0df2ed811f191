//! `GET /province/v1/institutions`, `/caregivers` and `/snapshot`: pulling over HTTP.
//!
//! Reads the query and the headers, calls the flow, writes status and headers. Every refusal is a
//! problem document (RFC 9457).

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, RETRY_AFTER, VARY,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::stream;

use super::negotiation::{Offer, already_has, encoding, preferred};
use super::partner::problem;
use super::{LATER_SECONDS, PartnerApi};
use crate::error::did_you_mean;
use crate::flow::pull::{
    Ask, ContentCoding, LIMIT_DEFAULT, LIMIT_MAX, PageFormat, PullRefusal, Snapshot,
};
use crate::model::registry::EntityKind;

const PREFIX: &str = "/province/v1/";

/// Answers a partner that may call this route.
pub async fn handle(request: &HttpRequest, api: &PartnerApi, partner: &str) -> HttpResponse {
    let answered = match request.path().strip_prefix(PREFIX) {
        Some("institutions") => page(request, api, partner, EntityKind::Institution).await,
        Some("caregivers") => page(request, api, partner, EntityKind::Caregiver).await,
        Some("snapshot") => snapshot(request, api, partner).await,
        _ => Err(PullRefusal::NotFound(format!(
            "there is nothing at {}",
            request.path()
        ))),
    };
    answered.unwrap_or_else(|refusal| refuse(partner, &refusal))
}

async fn page(
    request: &HttpRequest,
    api: &PartnerApi,
    partner: &str,
    kind: EntityKind,
) -> Result<HttpResponse, PullRefusal> {
    let pulls = &api.gateway.pulls;
    let puller = pulls.puller(partner)?;
    let format = format(request)?;
    let mut ask = Ask {
        kind,
        cursor: None,
        limit: LIMIT_DEFAULT,
        format,
        encoding: encoding(request),
    };
    for (name, value) in query(request)? {
        match name.as_str() {
            "cursor" => ask.cursor = Some(value),
            "limit" => ask.limit = limit(&value)?,
            _ => return Err(unknown_parameter(&name, &["cursor", "limit"])),
        }
    }
    let encoding = ask.encoding;
    let page = pulls.page(puller, ask).await?;
    let unchanged = already_has(request, &page.etag);
    let mut answer = if unchanged {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer
        .insert_header((ETAG, page.etag))
        .insert_header((VARY, "accept, accept-encoding"))
        .insert_header((CACHE_CONTROL, "private, no-cache"));
    if unchanged {
        return Ok(answer.finish());
    }
    coded(&mut answer, encoding);
    Ok(answer
        .insert_header((CONTENT_TYPE, format.content_type()))
        .body(page.body))
}

async fn snapshot(
    request: &HttpRequest,
    api: &PartnerApi,
    partner: &str,
) -> Result<HttpResponse, PullRefusal> {
    if let Some((name, _)) = query(request)?.first() {
        return Err(unknown_parameter(name, &[]));
    }
    let encoding = encoding(request);
    let mut snapshot = Snapshot::begin(&api.gateway.pulls, partner, encoding).await?;
    // The first piece before the status line: a database that does not answer is still a 503.
    let first = snapshot.next().await?;
    let name = partner.to_string();
    let rest = stream::unfold(
        (first, Some(snapshot), name),
        |(ready, snapshot, name)| async move {
            if let Some(bytes) = ready {
                return Some((Ok(bytes), (None, snapshot, name)));
            }
            let mut snapshot = snapshot?;
            match snapshot.next().await {
                Ok(None) => None,
                Ok(Some(bytes)) => Some((Ok(bytes), (None, Some(snapshot), name))),
                Err(fault) => {
                    tracing::error!(partner = %name, %fault, "snapshot broken off");
                    Some((
                        Err(actix_web::error::ErrorInternalServerError("broken off")),
                        (None, None, name),
                    ))
                }
            }
        },
    );
    let mut answer = HttpResponse::Ok();
    coded(&mut answer, encoding);
    Ok(answer
        .insert_header((CONTENT_TYPE, PageFormat::NdJson.content_type()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(Box::pin(rest)))
}

/// The parameters of the query, in their order.
pub fn query(request: &HttpRequest) -> Result<Vec<(String, String)>, PullRefusal> {
    let bad = |_| {
        PullRefusal::Bad(
            "the query cannot be read; expected name=value pairs, percent-encoded".into(),
        )
    };
    let query = actix_web::web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map(actix_web::web::Query::into_inner)
        .map_err(bad)?;
    without_nul(query)
}

/// No text of the database can hold a NUL character, so nothing can be found by one.
pub fn without_nul(
    parameters: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, PullRefusal> {
    if parameters
        .iter()
        .any(|(name, value)| name.contains('\0') || value.contains('\0'))
    {
        return Err(PullRefusal::Bad(
            "a parameter has a NUL character; take it out".into(),
        ));
    }
    Ok(parameters)
}

fn unknown_parameter(name: &str, known: &[&str]) -> PullRefusal {
    let allowed = if known.is_empty() {
        "none is taken here".to_string()
    } else {
        format!("allowed are {}", known.join(", "))
    };
    let shown: String = name.chars().take(40).collect();
    PullRefusal::Bad(format!(
        "there is no parameter `{shown}`{}; {allowed}",
        did_you_mean(name, known.iter().copied())
    ))
}

fn limit(value: &str) -> Result<u32, PullRefusal> {
    let limit = value
        .parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| PullRefusal::Bad(format!("limit is not a number from 1 to {LIMIT_MAX}")))
}

/// JSON unless lines are asked for before it.
const FORMS: [Offer<PageFormat>; 2] = [
    Offer {
        form: PageFormat::Json,
        media: &["application/json"],
        parameters: &[],
        named_only: false,
    },
    Offer {
        form: PageFormat::NdJson,
        media: &[
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
        ],
        parameters: &[],
        named_only: true,
    },
];

fn format(request: &HttpRequest) -> Result<PageFormat, PullRefusal> {
    preferred(request, &FORMS).ok_or_else(|| {
        PullRefusal::NotAcceptable(
            "this is served as application/json or application/x-ndjson".into(),
        )
    })
}

pub fn coded(answer: &mut HttpResponseBuilder, encoding: ContentCoding) {
    if encoding != ContentCoding::Identity {
        answer.insert_header((CONTENT_ENCODING, encoding.word()));
    }
}

fn refuse(partner: &str, refusal: &PullRefusal) -> HttpResponse {
    match refusal {
        PullRefusal::Bad(text) => problem(StatusCode::BAD_REQUEST, "Not understood", text),
        PullRefusal::Forbidden(text) => problem(StatusCode::FORBIDDEN, "Not allowed", text),
        PullRefusal::NotFound(text) => problem(StatusCode::NOT_FOUND, "Not found", text),
        PullRefusal::Gone(text) => problem(StatusCode::GONE, "Gone", text),
        PullRefusal::OtherAreas(text) => problem(StatusCode::GONE, "Areas have changed", text),
        PullRefusal::NotAcceptable(text) => {
            problem(StatusCode::NOT_ACCEPTABLE, "Not served so", text)
        }
        PullRefusal::Failed(fault) => {
            tracing::error!(%partner, %fault, "pull not answered");
            let mut response = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not now",
                "the gateway cannot answer now; ask again later",
            );
            response
                .headers_mut()
                .insert(RETRY_AFTER, LATER_SECONDS.into());
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::ACCEPT;
    use actix_web::test::TestRequest;

    use super::*;

    fn request(name: actix_web::http::header::HeaderName, value: &str) -> HttpRequest {
        TestRequest::default()
            .insert_header((name, value))
            .to_http_request()
    }

    #[test]
    fn lines_are_sent_to_whom_likes_them_better() {
        for (accepted, expected) in [
            ("application/x-ndjson", Some(PageFormat::NdJson)),
            (
                "application/json;q=0.9, application/x-ndjson",
                Some(PageFormat::NdJson),
            ),
            ("application/x-ndjson;q=0.1, */*", Some(PageFormat::Json)),
            ("*/*", Some(PageFormat::Json)),
            ("text/html", None),
            (
                "application/x-ndjson, application/json",
                Some(PageFormat::NdJson),
            ),
            (
                "application/json, application/x-ndjson",
                Some(PageFormat::Json),
            ),
            ("application/x-ndjson, */*", Some(PageFormat::NdJson)),
            ("*/*, application/x-ndjson", Some(PageFormat::Json)),
            ("application/json;q=0, */*", None),
            ("", Some(PageFormat::Json)),
        ] {
            assert_eq!(
                format(&request(ACCEPT, accepted)).ok(),
                expected,
                "{accepted}"
            );
        }
    }
}
