//! What the operator's systems ask: is it alive, is it ready, what does it count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::{ACCEPT, RETRY_AFTER, VARY};
use actix_web::{HttpRequest, HttpResponse, web};

use super::LATER_SECONDS;
use super::negotiation::{Offer, accepted};
use crate::flow::shares::Shares;
use crate::link::Acceptor;
use crate::store::{Store, delivery};
use crate::telemetry::{DestinationLabel, DestinationState, Exposition, Metrics, OfPartner};

/// How long the disk may take: whoever asks whether we are ready wants to know within two seconds.
const DISK: Duration = Duration::from_millis(1_700);

/// Brings metrics up to date that are read elsewhere: dispatchers, certificates, memory.
pub type Refresh = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// What the operator listener looks at.
pub struct Watch {
    pub store: Store,
    pub shares: Shares,
    pub metrics: Metrics,
    pub ready: Arc<AtomicBool>,
    pub refresh: Refresh,
    pub acceptor: Arc<Acceptor>,
}

pub fn routes(app: &mut web::ServiceConfig) {
    app.route(
        "/healthz",
        web::get().to(async || HttpResponse::Ok().body("ok\n")),
    )
    .route("/readyz", web::get().to(ready))
    .route("/metrics", web::get().to(metrics));
}

/// Ready: not stopping, the database has just taken a write, and bodies can be kept on the disk. Answered within two seconds.
async fn ready(watch: web::Data<Watch>) -> HttpResponse {
    if !watch.ready.load(Ordering::Relaxed) {
        return unavailable("stopping\n".into());
    }
    let (database, disk) = tokio::join!(watch.store.ping(), disk(&watch.shares));
    let wrong: Vec<String> = database
        .err()
        .map(|fault| fault.to_string())
        .into_iter()
        .chain(disk.err())
        .collect();
    if wrong.is_empty() {
        HttpResponse::Ok().body("ready\n")
    } else {
        unavailable(format!("{}\n", wrong.join("\n")))
    }
}

/// Whether a body can be kept on the disk; why not.
async fn disk(shares: &Shares) -> Result<(), String> {
    let disk = shares.disk.clone();
    let dir = disk.dir().display().to_string();
    // On a thread of its own: a disk may never answer.
    match tokio::time::timeout(DISK, tokio::task::spawn_blocking(move || disk.look())).await {
        Ok(Ok(found)) => found.map_err(|why| format!("[receive] spool: {why}")),
        Ok(Err(error)) => Err(format!(
            "[receive] spool: {dir} cannot be looked at: {error}"
        )),
        Err(_) => Err(format!(
            "[receive] spool: {dir} took no write within {} s; see to its disk",
            DISK.as_secs_f32()
        )),
    }
}

fn unavailable(text: String) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .insert_header((RETRY_AFTER, LATER_SECONDS.to_string()))
        .body(text)
}

/// The metrics, in the format asked for; those of the database are missing while it takes no write.
async fn metrics(watch: web::Data<Watch>, request: HttpRequest) -> HttpResponse {
    let up = watch.store.ping().await.is_ok();
    let backlog = if up {
        delivery::backlog(watch.store.pool())
            .await
            .unwrap_or_default()
    } else {
        Vec::new()
    };
    let metrics = &watch.metrics;
    // What is not waiting any more has no row: its last figures would stay, and alarm for ever.
    metrics.deliveries.clear();
    metrics.oldest_seconds.clear();
    metrics.database_up.set(i64::from(up));
    for waiting in backlog {
        for (state, count) in [
            ("ready", waiting.ready),
            ("leased", waiting.leased),
            ("in_doubt", waiting.in_doubt),
            ("dead", waiting.dead),
        ] {
            metrics
                .deliveries
                .get_or_create(&DestinationState {
                    destination: waiting.destination.clone(),
                    state: state.into(),
                })
                .set(count);
        }
        metrics
            .oldest_seconds
            .get_or_create(&DestinationLabel {
                destination: waiting.destination,
            })
            .set(waiting.oldest_seconds);
    }
    metrics
        .handshakes_under_way
        .set(i64::try_from(watch.acceptor.under_way()).unwrap_or(i64::MAX));
    metrics
        .spool_writable
        .set(i64::from(disk(&watch.shares).await.is_ok()));
    let gauge = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    metrics
        .requests_under_way
        .set(gauge(watch.shares.requests.used()));
    metrics.held_bytes.set(gauge(watch.shares.memory.used()));
    metrics.spool_bytes.set(gauge(watch.shares.disk.used()));
    metrics.connections.clear();
    for (partner, count) in watch.acceptor.connections().count() {
        metrics
            .connections
            .get_or_create(&OfPartner { partner })
            .set(gauge(count as u64));
    }
    (watch.refresh)(metrics);
    let format = exposition(&request);
    HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((VARY, ACCEPT.as_str()))
        .body(metrics.encode(format))
}

/// OpenMetrics where it is named and wanted at least as much as text, else text, which everything reads. Nothing is
/// refused: a monitor that asks for neither still learns how the gateway is.
fn exposition(request: &HttpRequest) -> Exposition {
    const OPEN: Offer<Exposition> = Offer {
        form: Exposition::OpenMetrics,
        media: &["application/openmetrics-text"],
        parameters: &[("version", "1.0.0")],
        named_only: true,
    };
    const TEXT: Offer<Exposition> = Offer {
        form: Exposition::Text,
        media: &["text/plain"],
        parameters: &[("version", "0.0.4")],
        named_only: false,
    };
    let open = accepted(request).is_some_and(|accept| {
        let wanted = OPEN.quality(&accept);
        wanted.is_some() && wanted >= TEXT.quality(&accept)
    });
    if open { OPEN.form } else { TEXT.form }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_gets_the_format_it_wants_more_and_text_when_it_wants_neither() {
        // Prometheus 2.42 and 3.5 as they ask, VictoriaMetrics' vmagent, curl, a browser.
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus_2, Exposition::OpenMetrics),
            (prometheus_3, Exposition::OpenMetrics),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Exposition::Text),
            ("text/plain;version=0.0.4", Exposition::Text),
            ("*/*", Exposition::Text),
            ("", Exposition::Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Exposition::Text,
            ),
            ("application/json", Exposition::Text),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\" ; q=0.9, text/plain; q=0.4",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text; version=0.0.1",
                Exposition::Text,
            ),
            ("application/openmetrics-text; q=0", Exposition::Text),
            (
                "application/openmetrics-text; q=0.3, text/plain; q=0.7",
                Exposition::Text,
            ),
            (
                "application/openmetrics-text; q=0.25, text/plain; q=0.3",
                Exposition::Text,
            ),
            ("application/openmetrics-text; q=nonsense", Exposition::Text),
        ] {
            let request = actix_web::test::TestRequest::default()
                .insert_header((ACCEPT, accept))
                .to_http_request();
            assert_eq!(exposition(&request), expected, "{accept}");
        }
    }
}
