//! What the operator's systems ask: is it alive, is it ready, what does it count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::{ACCEPT, RETRY_AFTER, VARY};
use actix_web::{HttpRequest, HttpResponse, web};

use super::LATER_SECONDS;
use crate::flow::shares::Shares;
use crate::link::Acceptor;
use crate::store::{Store, delivery};
use crate::telemetry::{Destination, DestinationState, Exposition, Metrics, OfPartner};

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
            .get_or_create(&Destination {
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
    let accept: Vec<_> = request
        .headers()
        .get_all(ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .collect();
    let format = Exposition::of_accept(&accept.join(","));
    HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header((VARY, ACCEPT.as_str()))
        .body(metrics.encode(format))
}
