//! What the operator's systems ask: is it alive, is it ready, what does it count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, web};

use crate::link::TrustState;
use crate::store::{Store, delivery};
use crate::telemetry::{DestinationState, Metrics, Named};

/// What the operator listener looks at.
pub struct Watch {
    pub store: Store,
    pub metrics: Metrics,
    pub ready: Arc<AtomicBool>,
    pub trust: Arc<TrustState>,
}

pub fn routes(app: &mut web::ServiceConfig) {
    app.route("/healthz", web::get().to(async || HttpResponse::Ok().body("ok\n")))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// Ready: not stopping, and the database answers.
async fn ready(watch: web::Data<Watch>) -> HttpResponse {
    if !watch.ready.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable().body("stopping\n");
    }
    match watch.store.ping().await {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(fault) => HttpResponse::ServiceUnavailable().body(format!("{fault}\n")),
    }
}

async fn metrics(watch: web::Data<Watch>) -> HttpResponse {
    if let Ok(backlog) = delivery::backlog(watch.store.pool()).await {
        watch.metrics.deliveries.clear();
        for waiting in backlog {
            for (state, count) in [("ready", waiting.ready), ("leased", waiting.leased), ("in_doubt", waiting.in_doubt), ("dead", waiting.dead)] {
                let label = DestinationState { destination: waiting.destination.clone(), state: state.into() };
                watch.metrics.deliveries.get_or_create(&label).set(count);
            }
        }
    }
    if let Ok(facts) = watch.trust.server_facts() {
        let days = (facts.not_after.as_second() - jiff::Timestamp::now().as_second()) / 86_400;
        watch.metrics.certificate_days.get_or_create(&Named { name: "server".into() }).set(days);
    }
    HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(watch.metrics.encode())
}
