//! What partners may call: who is it, may it, how fast, then the flow.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::Extensions;
use actix_web::http::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::place::RequestPlace;
use super::{Entry, LATER_SECONDS, PartnerApi, body, core, fhir, province, registry, standing};
use crate::adapter::{Adapter, Endpoint};
use crate::config::{Api, InboundEntry, api_of, asked, path_words, route_matches};
use crate::error::Fault;
use crate::flow::intake::{self, Arrival, IntakeReply, ReceivedBody};
use crate::flow::shares::{ExhaustedShare, Share};
use crate::link::{
    CallerRefusal, ClientConnection, HandshakeRefusalReason, Headers, PeerCertificate,
    RefusedHandshake, RetryAfter as TooFast, Use,
};
use crate::model::printable::printable;

/// What partners can be allowed to call (OpenAPI).
const DESCRIPTION: &str = include_str!("../../schemas/openapi.json");

/// Characters of a path that a log line shows.
const PATH_SHOWN_MAX: usize = 200;

/// Words of paths that no route of the gateway itself has: the description's, and those of the tax bureau's adapter.
const OTHER_WORDS: [&str; 3] = ["openapi.json", "tax", "packets"];

/// Whether a segment is a word of a path that is served, as `schemas/openapi.json` lists them (a test compares), and
/// not something about a person.
fn is_path_word(segment: &str) -> bool {
    path_words()
        .chain(fhir::path_words())
        .chain(OTHER_WORDS)
        .any(|word| word == segment)
}

/// Keeps the client's certificate with its connection, and how to say that a request is under way there.
pub fn remember_certificate(connection: &dyn Any, extensions: &mut Extensions) {
    if let Some(certificate) = PeerCertificate::of_connection(connection) {
        extensions.insert(Arc::new(certificate));
    }
    if let Some(connection) = connection.downcast_ref::<ClientConnection>() {
        extensions.insert(connection.used().clone());
    }
}

/// Every request of the partner listener.
pub async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<PartnerApi>,
) -> HttpResponse {
    let start = Instant::now();
    let entry = match identify(&request, &api) {
        Ok(entry) => entry,
        Err(refused) => return not_accepted(&request, &api, &refused),
    };
    let name = &entry.partner.name;
    let share = api.gateway.shares.of(name);
    let under_way = request.conn_data::<Arc<Use>>().map(Use::begin);
    let held = about(&request, entry, &api).map_or_else(|| route(&request, entry, &api), Err);
    let held = held.and_then(|allowed| {
        Ok((
            allowed,
            share
                .request()
                .map_err(|full| no_place(entry, request.path(), &api, full))?,
        ))
    });
    let mut place = None;
    let response = match held {
        Ok(((headers, inbound), held)) => {
            let place = place.insert(RequestPlace::new(held, under_way)).clone();
            let call = Call {
                request: &request,
                entry,
                inbound,
                share,
                place,
            };
            let mut response = match api_of(request.path()) {
                Some(Api::Registry) => registry::handle(&call, payload, &api).await,
                Some(Api::Province) => province::handle(&request, &api, name).await,
                Some(Api::Fhir) => fhir::handle(&call, payload, &api).await,
                Some(Api::Core) => core::handle(&call, payload, &api).await,
                Some(Api::Standing) => standing::handle(&call, &api).await,
                None => receive(&call, payload, &api).await,
            };
            rate_headers(response.headers_mut(), headers);
            response
        }
        Err(refusal) => refusal,
    };
    let mut response = saying_when(response);
    if let Some(place) = place {
        response = place.until_taken(response);
    }
    api.metrics.request(name, response.status().as_str());
    api.metrics
        .receive_seconds
        .observe(start.elapsed().as_secs_f64());
    let routes = entry
        .partner
        .inbound
        .as_ref()
        .map(|inbound| inbound.routes.as_slice())
        .unwrap_or_default();
    tracing::debug!(partner = %name, path = %loggable(request.path(), routes), status = response.status().as_u16(), "answered");
    response
}

/// 403 for a caller that is nobody (any more), with what it can do about it; counted and logged as a refused handshake is,
/// since its certificate was good when it connected.
fn not_accepted(request: &HttpRequest, api: &PartnerApi, refusal: &CallerRefusal) -> HttpResponse {
    if let Some(peer) = request.peer_addr() {
        let refused = RefusedHandshake {
            peer,
            known: api.acceptor.is_known(peer),
            reason: HandshakeRefusalReason::NoPartner,
            who: "",
            detail: &refusal.fault.text,
        };
        api.acceptor.refusals().refused(&refused);
    }
    api.metrics.request("unknown", "403");
    let detail = refusal.told.unwrap_or("this client certificate belongs to no partner of this gateway; ask its operator to enter it in partners.toml");
    closing(self::refusal(
        request.path(),
        StatusCode::FORBIDDEN,
        "Certificate not accepted",
        detail,
    ))
}

/// Whatever cannot be done now says when to come again.
fn saying_when(mut response: HttpResponse) -> HttpResponse {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE
        && !response.headers().contains_key(RETRY_AFTER)
    {
        response
            .headers_mut()
            .insert(RETRY_AFTER, LATER_SECONDS.into());
    }
    response
}

/// A path of words that stand in our routes or the partner's, and of nothing else: whatever was mistyped may be about a person.
fn loggable(path: &str, routes: &[String]) -> String {
    let known = |segment: &str| {
        let of_routes = || {
            routes
                .iter()
                .filter_map(|route| route.split_once(' '))
                .flat_map(|(_, path)| path.split('/'))
        };
        is_path_word(segment) || of_routes().any(|word| word == segment)
    };
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| {
            if segment.is_empty() || known(segment) {
                segment
            } else {
                "*"
            }
        })
        .collect();
    printable(&segments.join("/"), PATH_SHOWN_MAX)
}

/// The partner at the other end; its certificate is looked at anew for every request.
fn identify<'a>(request: &HttpRequest, api: &'a PartnerApi) -> Result<&'a Entry, CallerRefusal> {
    let missing = || {
        Fault::partner(
            crate::error::Stage::Identity,
            "no client certificate was presented",
        )
    };
    let certificate = request
        .conn_data::<Arc<PeerCertificate>>()
        .ok_or_else(missing)?;
    let name = api.trust.whose(certificate, passed_on(request))?;
    let entry = api.entries.get(&*name);
    entry.ok_or_else(|| {
        Fault::partner(
            crate::error::Stage::Identity,
            format!("partner {name} has no [partner.inbound] entry"),
        )
        .into()
    })
}

/// What stands where a TLCP gateway passes its client's certificate on (RFC 9440). Said twice, or a chain without a
/// certificate, it is no certificate.
fn passed_on(request: &HttpRequest) -> Option<&[u8]> {
    let mut values = request.headers().get_all("client-cert");
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        (Some(_), Some(_)) => Some(b""),
        (None, _) => request
            .headers()
            .contains_key("client-cert-chain")
            .then_some(b""),
    }
}

/// The description of this listener, for whoever is known; `None` for any other request.
fn about(request: &HttpRequest, entry: &Entry, api: &PartnerApi) -> Option<HttpResponse> {
    if request.path() != "/openapi.json" || ![Method::GET, Method::HEAD].contains(request.method())
    {
        return None;
    }
    let answer = api.limits.check(&entry.partner.name).map(|headers| {
        let mut answer = HttpResponse::Ok()
            .content_type("application/json")
            .body(DESCRIPTION);
        rate_headers(answer.headers_mut(), headers);
        answer
    });
    Some(answer.unwrap_or_else(|refused| too_fast(entry, request.path(), refused)))
}

/// 429 where the partner has too many requests under way itself, 503 where all together have; the rest of the body is not wanted.
fn no_place(entry: &Entry, path: &str, api: &PartnerApi, full: ExhaustedShare) -> HttpResponse {
    let receive = &api.gateway.config.gateway.receive;
    let (status, reason, what) = match full {
        ExhaustedShare::Own => {
            let most = receive.requests_per_partner_max;
            (
                429,
                format!(
                    "more requests at once than the {most} a partner may have under way; send this one when others are answered"
                ),
                "requests_of_partner",
            )
        }
        ExhaustedShare::All => (
            503,
            "too many requests are under way; send it again later".to_string(),
            "requests",
        ),
    };
    api.metrics.had_no_room(&entry.partner.name, what);
    let mut response = closing(refuse(entry, path, status, &reason));
    response
        .headers_mut()
        .insert(RETRY_AFTER, LATER_SECONDS.into());
    response
}

/// 429, with how long to wait.
fn too_fast(entry: &Entry, path: &str, refused: TooFast) -> HttpResponse {
    let mut response = refuse(
        entry,
        path,
        429,
        &format!(
            "more requests than agreed; wait {} seconds",
            refused.seconds
        ),
    );
    rate_headers(response.headers_mut(), refused.headers);
    response
        .headers_mut()
        .insert(RETRY_AFTER, refused.seconds.into());
    response
}

/// Whether the partner may call this route now.
fn route<'a>(
    request: &HttpRequest,
    entry: &'a Entry,
    api: &PartnerApi,
) -> Result<(Headers, &'a InboundEntry), HttpResponse> {
    let inbound = entry.partner.inbound.as_ref().ok_or_else(|| {
        refusal(
            request.path(),
            StatusCode::FORBIDDEN,
            "Not allowed",
            "this partner may not call",
        )
    })?;
    let headers = api
        .limits
        .check(&entry.partner.name)
        .map_err(|refused| too_fast(entry, request.path(), refused))?;
    let asked = asked(request.method().as_str(), request.path());
    if inbound
        .routes
        .iter()
        .any(|route| route_matches(route, &asked))
    {
        return Ok((headers, inbound));
    }
    let is_path = |route: &String| {
        route
            .split_once(' ')
            .is_some_and(|(_, path)| route_matches(path, request.path()))
    };
    Err(if inbound.routes.iter().any(is_path) {
        let mut answer = refusal(
            request.path(),
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed",
            &format!("{} is not served here", request.method()),
        );
        let allowed: Vec<&str> = inbound
            .routes
            .iter()
            .filter(|route| is_path(route))
            .filter_map(|route| route.split(' ').next())
            .collect();
        if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
            answer.headers_mut().insert(ALLOW, allowed);
        }
        answer
    } else {
        // The same whether others have the route or nobody: what others may call is none of its business.
        let detail = format!(
            "there is nothing for partner {} at {}; its routes are listed in its entry in partners.toml",
            entry.partner.name,
            request.path()
        );
        refusal(request.path(), StatusCode::NOT_FOUND, "Not found", &detail)
    })
}

/// A refusal in the words of the interface a path belongs to: below /fhir an OperationOutcome, else a problem document.
fn refusal(path: &str, status: StatusCode, title: &str, detail: &str) -> HttpResponse {
    if api_of(path) == Some(Api::Fhir) {
        fhir::outcome(status, detail)
    } else {
        problem(status, title, detail)
    }
}

/// An adapter's endpoint gets a message.
async fn receive(call: &Call<'_>, payload: web::Payload, api: &PartnerApi) -> HttpResponse {
    let (entry, path) = (call.entry, call.request.path());
    let Some((adapter, endpoint)) = endpoint_of(entry, path) else {
        let detail = format!("there is nothing at {path}");
        return problem(StatusCode::NOT_FOUND, "Not found", &detail);
    };
    let query = web::Query::<Vec<(String, String)>>::from_query(call.request.query_string());
    let body = match call.body(payload, api).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let story = endpoint.story();
    let arrival = Arrival {
        partner: entry.partner.clone(),
        adapter: adapter.clone(),
        endpoint: endpoint.clone(),
        // A query that is none has no parameter; whoever needs one says which is missing.
        parameters: query.map(web::Query::into_inner).unwrap_or_default(),
        body,
        received_at: jiff::Timestamp::now(),
    };
    match intake::receive(&api.gateway, &arrival).await {
        Ok(reply) => {
            count_lines(api, &entry.partner.name, &reply);
            if let Some(packet_type) = &reply.untaken {
                api.metrics.untaken_packet(&entry.partner.name, packet_type);
            }
            answer(reply)
        }
        Err(fault) => {
            let what = story.message();
            tracing::error!(partner = %entry.partner.name, %fault, "{what} not taken");
            call.later(story.not_now())
        }
    }
}

/// A request that may be served: by whom and under which entry.
pub struct Call<'a> {
    pub request: &'a HttpRequest,
    pub entry: &'a Entry,
    pub inbound: &'a InboundEntry,
    pub share: Share,
    /// Its place among the requests under way.
    pub place: RequestPlace,
}

impl Call<'_> {
    /// The whole body within the partner's limits, or the refusal to answer with. Bodies take their time, so whose it
    /// is is asked again at its end: nothing is taken from a partner that was revoked meanwhile.
    pub async fn body(
        &self,
        payload: web::Payload,
        api: &PartnerApi,
    ) -> Result<ReceivedBody, HttpResponse> {
        let receive = &api.gateway.config.gateway.receive;
        let (entry, path) = (self.entry, self.request.path());
        let gzip = match self
            .request
            .headers()
            .get(CONTENT_ENCODING)
            .map(|value| value.as_bytes())
        {
            None => false,
            Some(coding) if coding.eq_ignore_ascii_case(b"identity") => false,
            Some(coding)
                if coding.eq_ignore_ascii_case(b"gzip")
                    || coding.eq_ignore_ascii_case(b"x-gzip") =>
            {
                true
            }
            Some(_) => {
                return Err(refuse(
                    entry,
                    path,
                    415,
                    "Content-Encoding is neither gzip nor identity",
                ));
            }
        };
        let bytes_max = self
            .inbound
            .body_bytes_max
            .unwrap_or(u64::MAX)
            .min(receive.body_bytes_max);
        let announced = self
            .request
            .headers()
            .get("content-length")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bytes_max) {
            return Err(closing(refuse(
                entry,
                path,
                413,
                &format!("the body is larger than {bytes_max} bytes; send it in several packets"),
            )));
        }
        let terms = body::BodyTerms {
            receive,
            bytes_max,
            gzip,
            share: self.share.clone(),
        };
        let body = body::take(payload, terms).await.map_err(|refusal| {
            tracing::info!(partner = %entry.partner.name, status = refusal.status, reason = %refusal.reason, "body refused");
            let mut response = closing(refuse(entry, path, refusal.status, &refusal.reason));
            if let Some(full) = refusal.full {
                api.metrics.had_no_room(&entry.partner.name, full);
                response.headers_mut().insert(RETRY_AFTER, LATER_SECONDS.into());
            }
            response
        })?;
        let body = body.in_turn(&self.share).await;
        self.still_the_same(api)
            .map_err(|refused| not_accepted(self.request, api, &refused))?;
        Ok(body)
    }

    /// Whether the request is still that of the partner it began as.
    fn still_the_same(&self, api: &PartnerApi) -> Result<(), CallerRefusal> {
        let now = identify(self.request, api)?;
        if now.partner.name == self.entry.partner.name {
            return Ok(());
        }
        let text = format!(
            "the certificate of partner {} belongs to partner {} since its request began",
            self.entry.partner.name, now.partner.name
        );
        Err(Fault::partner(crate::error::Stage::Identity, text).into())
    }

    /// 503, with when to come again.
    pub fn later(&self, reason: &str) -> HttpResponse {
        let mut response = refuse(self.entry, self.request.path(), 503, reason);
        response
            .headers_mut()
            .insert(RETRY_AFTER, LATER_SECONDS.into());
        response
    }
}

fn count_lines(api: &PartnerApi, partner: &str, reply: &IntakeReply) {
    if let Some(counts) = reply.counts {
        for (outcome, count) in [
            ("posted", counts.posted),
            ("refused", counts.refused),
            ("duplicate", counts.duplicate),
        ] {
            if count > 0 {
                api.metrics.lines_of(partner, outcome, count);
            }
        }
        for (outcome, fen) in [
            ("posted", counts.posted_fen),
            ("refused", counts.refused_fen),
            ("duplicate", counts.duplicate_fen),
        ] {
            if fen != 0 {
                api.metrics.fen_of(partner, outcome, fen);
            }
        }
        for (note, count) in counts.notes() {
            if count > 0 {
                api.metrics.note_of(partner, note, count);
            }
        }
    }
}

/// The adapter's endpoint a path leads to, by its last segment.
fn endpoint_of<'a>(entry: &'a Entry, path: &str) -> Option<(&'a Arc<Adapter>, &'a Arc<Endpoint>)> {
    let adapter = entry.adapter.as_ref()?;
    let endpoint = adapter.endpoint(path.rsplit('/').next()?)?;
    Some((adapter, endpoint))
}

/// A refusal in the partner's own format where its adapter has one, else a problem document.
fn refuse(entry: &Entry, path: &str, status: u16, reason: &str) -> HttpResponse {
    let own = endpoint_of(entry, path)
        .map(|(adapter, endpoint)| intake::refuse_body(adapter, endpoint, status, reason));
    match own {
        Some(Ok(reply)) => answer(reply),
        _ => refusal(
            path,
            StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            "Not taken",
            reason,
        ),
    }
}

/// What a flow replies, as a response.
fn answer(reply: IntakeReply) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponseBuilder::new(status)
        .insert_header((CONTENT_TYPE, reply.content_type))
        .body(reply.body)
}

/// A problem document (RFC 9457).
pub fn problem(status: StatusCode, title: &str, detail: &str) -> HttpResponse {
    let document = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    HttpResponseBuilder::new(status)
        .content_type("application/problem+json")
        .body(document.to_string())
}

/// Closes the connection after this answer: the rest of its body is not wanted.
fn closing(mut response: HttpResponse) -> HttpResponse {
    response
        .head_mut()
        .set_connection_type(actix_web::http::ConnectionType::Close);
    response.headers_mut().insert(
        CONNECTION,
        actix_web::http::header::HeaderValue::from_static("close"),
    );
    response
}

fn rate_headers(headers: &mut HeaderMap, rate: Headers) {
    for (name, value) in [
        ("ratelimit-limit", u64::from(rate.limit)),
        ("ratelimit-remaining", u64::from(rate.remaining)),
        ("ratelimit-reset", rate.reset),
    ] {
        headers.insert(
            actix_web::http::header::HeaderName::from_static(name),
            value.into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_logged_by_words_of_routes_only() {
        let routes = [
            "POST /bureau/packets".to_string(),
            "GET /ltc/v1/persons/*/standing".to_string(),
        ];
        for (path, logged) in [
            (
                "/ltc/v1/persons/450100000001/standing",
                "/ltc/v1/persons/*/standing",
            ),
            ("/core/v1/persons/450100000001", "/core/v1/persons/*"),
            ("/core/v1/person/450100000001/ZhangSan", "/core/v1/*/*/*"),
            ("/11010519491231002X", "/*"),
            (
                "/ltc/v1/caregivers/%E5%BC%A0%E4%B8%89",
                "/ltc/v1/caregivers/*",
            ),
            ("/tax/v1/packets", "/tax/v1/packets"),
            ("/bureau/packets", "/bureau/packets"),
        ] {
            assert_eq!(loggable(path, &routes), logged);
        }
    }

    #[test]
    fn every_word_of_a_path_that_is_served_may_be_logged_and_no_other() {
        let description: serde_json::Value = serde_json::from_str(DESCRIPTION).expect("JSON");
        let paths = description["paths"].as_object().expect("paths").keys();
        let mut words: Vec<&str> = paths
            .flat_map(|path| path.split('/'))
            .filter(|word| !word.is_empty() && !word.starts_with('{'))
            .collect();
        let mut known: Vec<&str> = path_words()
            .chain(fhir::path_words())
            .chain(OTHER_WORDS)
            .collect();
        known.sort_unstable();
        known.dedup();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words, known);
    }
}
