//! What the operator's systems ask: is it alive, is it ready, what does it count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, web};

use super::LATER_SECONDS;
use crate::link::Acceptor;
use crate::store::{Store, delivery};
use crate::telemetry::{Destination, DestinationState, Metrics};

/// Brings metrics up to date that are read elsewhere: dispatchers, certificates, memory.
pub type Refresh = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// What the operator listener looks at.
pub struct Watch {
    pub store: Store,
    pub metrics: Metrics,
    pub ready: Arc<AtomicBool>,
    pub refresh: Refresh,
    pub acceptor: Arc<Acceptor>,
}

pub fn routes(app: &mut web::ServiceConfig) {
    app.route("/healthz", web::get().to(async || HttpResponse::Ok().body("ok\n")))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// Ready: not stopping, and the database has just taken a write. Answered within two seconds.
async fn ready(watch: web::Data<Watch>) -> HttpResponse {
    if !watch.ready.load(Ordering::Relaxed) {
        return unavailable("stopping\n".into());
    }
    match watch.store.ping().await {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(fault) => unavailable(format!("{fault}\n")),
    }
}

fn unavailable(text: String) -> HttpResponse {
    HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, LATER_SECONDS.to_string())).body(text)
}

/// The metrics; those of the database are missing while it takes no write.
async fn metrics(watch: web::Data<Watch>) -> HttpResponse {
    let up = watch.store.ping().await.is_ok();
    let backlog = if up { delivery::backlog(watch.store.pool()).await.unwrap_or_default() } else { Vec::new() };
    let metrics = &watch.metrics;
    metrics.deliveries.clear();
    metrics.database_up.set(i64::from(up));
    for waiting in backlog {
        for (state, count) in [("ready", waiting.ready), ("leased", waiting.leased), ("in_doubt", waiting.in_doubt), ("dead", waiting.dead)] {
            metrics.deliveries.get_or_create(&DestinationState { destination: waiting.destination.clone(), state: state.into() }).set(count);
        }
        metrics.oldest_seconds.get_or_create(&Destination { destination: waiting.destination }).set(waiting.oldest_seconds);
    }
    metrics.handshakes_under_way.set(i64::try_from(watch.acceptor.under_way()).unwrap_or(i64::MAX));
    (watch.refresh)(metrics);
    HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(metrics.encode())
}
