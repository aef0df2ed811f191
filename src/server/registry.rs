//! `/ltc/v1/*`: institutions and caregivers from the LTC system, one at a time or many in a request.
//!
//! Answers are JSON; refusals are problem documents (RFC 9457) with the field and the rule of each
//! mistake, and never what a record says of a person.

use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use futures_util::stream;
use jiff::civil::Date;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::PartnerApi;
use super::partner::{Call, problem};
use crate::flow::intake::ReceivedBody;
use crate::flow::publish::{self, SubmissionAnswer, SubmissionOutcome, SubmissionProblem, parse};
use crate::model::registry::{Deletion, EntityKind, Submission};
use crate::registry::id_is_formed;

/// Largest body of a single record, in bytes.
const RECORD_MAX: u64 = 1 << 20;
/// Portions of answers between the loader and the connection.
const PORTIONS_AHEAD: usize = 2;

/// What a deletion's body or query says; the id is in the path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    version: i64,
    reason: String,
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    on: Date,
}

/// Every request to the registry's own routes.
pub async fn handle(call: &Call<'_>, payload: web::Payload, api: &PartnerApi) -> HttpResponse {
    let body = match call.body(payload, api).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let method = call.request.method();
    let mut path = call
        .request
        .path()
        .trim_start_matches("/ltc/v1/")
        .split('/');
    match (method, path.next(), path.next()) {
        (&Method::POST, Some("registry"), None) => load(call, body, api),
        (&Method::GET, Some("institutions"), Some(id)) => {
            read_back(call, (EntityKind::Institution, id), api).await
        }
        (&Method::GET, Some("caregivers"), Some(id)) => {
            read_back(call, (EntityKind::Caregiver, id), api).await
        }
        (&Method::PUT, Some("institutions"), Some(id)) => {
            put(call, (EntityKind::Institution, id), &body, api).await
        }
        (&Method::PUT, Some("caregivers"), Some(id)) => {
            put(call, (EntityKind::Caregiver, id), &body, api).await
        }
        (&Method::DELETE, Some("institutions"), Some(id)) => {
            delete(call, (EntityKind::Institution, id), &body, api).await
        }
        (&Method::DELETE, Some("caregivers"), Some(id)) => {
            delete(call, (EntityKind::Caregiver, id), &body, api).await
        }
        _ => problem(
            StatusCode::NOT_FOUND,
            "Not found",
            "there is nothing at this path",
        ),
    }
}

fn load(call: &Call<'_>, body: ReceivedBody, api: &PartnerApi) -> HttpResponse {
    let (answers, told) = mpsc::channel::<Bytes>(PORTIONS_AHEAD);
    let (gateway, sender, metrics) = (
        api.gateway.clone(),
        call.entry.partner.name.clone(),
        api.metrics.clone(),
    );
    // A load outlives its caller, and counts as a request until its end.
    let place = call.place.clone();
    api.gateway.loads.begin(async move {
        let _place = place;
        let summary = publish::load(gateway, sender.clone(), body, answers).await;
        for (outcome, count) in [
            ("stored", summary.stored),
            ("unchanged", summary.unchanged),
            ("older", summary.older),
            ("unknown", summary.unknown),
            ("refused", summary.refused),
        ] {
            if count > 0 {
                metrics.lines_of(&sender, outcome, i32::try_from(count).unwrap_or(i32::MAX));
            }
        }
    });
    let told = stream::unfold(told, |mut told| async move {
        told.recv()
            .await
            .map(|portion| (Ok::<_, std::convert::Infallible>(portion), told))
    });
    HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(told)
}

async fn put(
    call: &Call<'_>,
    (kind, id): (EntityKind, &str),
    body: &ReceivedBody,
    api: &PartnerApi,
) -> HttpResponse {
    let parsed = small(body).and_then(|bytes| match kind {
        EntityKind::Institution => parse(&bytes).map(Submission::Institution),
        EntityKind::Caregiver => parse(&bytes).map(Submission::Caregiver),
    });
    match parsed {
        Ok(submission) if submission.id() != id => {
            let field = if kind == EntityKind::Institution {
                "institution_id"
            } else {
                "caregiver_id"
            };
            refused(
                StatusCode::UNPROCESSABLE_ENTITY,
                &[SubmissionProblem::new(
                    field,
                    "form",
                    "not the id of the path; expected the same",
                )],
            )
        }
        Ok(submission) => submit(call, &submission, api).await,
        Err(mistake) => unreadable(mistake),
    }
}

async fn delete(
    call: &Call<'_>,
    (kind, id): (EntityKind, &str),
    body: &ReceivedBody,
    api: &PartnerApi,
) -> HttpResponse {
    let parsed = if body.length == 0 {
        of_query(call.request.query_string())
    } else {
        small(body).and_then(|bytes| parse::<End>(&bytes))
    };
    match parsed {
        Ok(End {
            version,
            reason,
            on,
        }) => {
            let deletion = Deletion {
                id: id.to_string(),
                version,
                reason,
                on,
            };
            let submission = match kind {
                EntityKind::Institution => Submission::DeleteInstitution(deletion),
                EntityKind::Caregiver => Submission::DeleteCaregiver(deletion),
            };
            submit(call, &submission, api).await
        }
        Err(mistake) => unreadable(mistake),
    }
}

/// The record as it was sent last, for who sends it.
async fn read_back(
    call: &Call<'_>,
    (kind, id): (EntityKind, &str),
    api: &PartnerApi,
) -> HttpResponse {
    let never_sent = || {
        problem(
            StatusCode::NOT_FOUND,
            "Not found",
            &format!("nobody has sent a {kind} of this id"),
        )
    };
    if !id_is_formed(id) {
        return never_sent();
    }
    match publish::read_back(&api.gateway.registrar, kind, id).await {
        Ok(None) => never_sent(),
        Ok(Some((change, None))) => {
            let detail = format!(
                "this {kind} was deleted with version {} as of {}; a higher version registers it again",
                change.version, change.effective_on
            );
            let mut answer = problem(StatusCode::GONE, "Deleted", &detail);
            private(answer.headers_mut(), change.version);
            answer
        }
        Ok(Some((change, Some(entry)))) => {
            let mut answer = HttpResponse::Ok().json(entry);
            private(answer.headers_mut(), change.version);
            answer
        }
        Err(fault) => {
            tracing::error!(partner = %call.entry.partner.name, %fault, "registry entry not read back");
            call.later("the gateway cannot read it now; ask again later")
        }
    }
}

/// The version as a validator; nobody on the way keeps what is about persons.
fn private(headers: &mut HeaderMap, version: i64) {
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(ETAG, etag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn of_query(query: &str) -> Result<End, SubmissionProblem> {
    let mistake = |_| {
        SubmissionProblem::new(
            "",
            "form",
            "expected `version`, `reason` and `on` (a date such as 2026-01-31) in the query, or as JSON in the body",
        )
    };
    web::Query::<End>::from_query(query)
        .map(web::Query::into_inner)
        .map_err(mistake)
}

/// The bytes of a body that holds one record.
fn small(body: &ReceivedBody) -> Result<Vec<u8>, SubmissionProblem> {
    if body.length > RECORD_MAX {
        return Err(SubmissionProblem::new(
            "",
            "form",
            format!("{} bytes; a record has at most {RECORD_MAX}", body.length),
        ));
    }
    let mut bytes = Vec::with_capacity(body.length as usize);
    let read = std::io::Read::read_to_end(&mut body.reader(), &mut bytes);
    read.map(|_| bytes).map_err(|error| {
        SubmissionProblem::new(
            "",
            "json",
            format!("the body cannot be read back: {}", error.kind()),
        )
    })
}

async fn submit(call: &Call<'_>, submission: &Submission, api: &PartnerApi) -> HttpResponse {
    let sender = &call.entry.partner.name;
    let answer = match publish::submit(&api.gateway, sender, submission).await {
        Ok(answer) => answer,
        Err(fault) => {
            tracing::error!(partner = %sender, %fault, "registry entry not taken");
            return call.later("the gateway cannot take it now; send it again later");
        }
    };
    api.metrics.lines_of(sender, word(answer.result), 1);
    match answer.result {
        SubmissionOutcome::Refused if answer.conflicts() => {
            refused(StatusCode::CONFLICT, &answer.problems)
        }
        SubmissionOutcome::Refused => refused(StatusCode::UNPROCESSABLE_ENTITY, &answer.problems),
        SubmissionOutcome::Unknown => refused(StatusCode::NOT_FOUND, &answer.problems),
        _ => taken(&answer),
    }
}

fn word(outcome: SubmissionOutcome) -> &'static str {
    match outcome {
        SubmissionOutcome::Stored => "stored",
        SubmissionOutcome::Unchanged => "unchanged",
        SubmissionOutcome::Older => "older",
        SubmissionOutcome::Unknown => "unknown",
        SubmissionOutcome::Refused => "refused",
    }
}

fn taken(answer: &SubmissionAnswer) -> HttpResponse {
    let status = if answer.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    HttpResponseBuilder::new(status).json(answer)
}

fn unreadable(mistake: SubmissionProblem) -> HttpResponse {
    let status = if mistake.rule == "json" {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    refused(status, &[mistake])
}

/// A problem document with every mistake.
fn refused(status: StatusCode, errors: &[SubmissionProblem]) -> HttpResponse {
    let (title, detail) = match status {
        StatusCode::CONFLICT => (
            "Version taken",
            "nothing was changed; send the change under a higher version",
        ),
        StatusCode::NOT_FOUND => ("Nobody has sent it", "nothing was published; see `errors`"),
        StatusCode::BAD_REQUEST => (
            "Not JSON",
            "nothing was changed; mend the body and send it again",
        ),
        _ => (
            "Not as it should be",
            "nothing was changed; mend what `errors` names and send it again",
        ),
    };
    let document = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "errors": errors });
    HttpResponseBuilder::new(status)
        .content_type("application/problem+json")
        .body(document.to_string())
}
