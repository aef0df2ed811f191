//! Logs and metrics. Log lines go to standard error; metrics are read at `/metrics`.
//!
//! Everything here is safe to show: names of partners, numbers of packets, counts. Never a line's
//! content, a person, a body or a secret.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Starts logging; `LTCGW_LOG` filters (default `info`). A second call does nothing.
pub fn start_logging(json: bool, default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LTCGW_LOG").unwrap_or_else(|_| default.into());
    let layer = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Refused only when the process logs already, as in tests.
    let _ = if json { layer.json().try_init() } else { layer.try_init() };
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartnerOutcome {
    pub partner: String,
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DestinationState {
    pub destination: String,
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Named {
    pub name: String,
}

/// Every metric of an instance.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Requests of partners by status class or reason.
    pub requests: Family<PartnerOutcome, Counter>,
    /// Lines by outcome: posted, refused, duplicate.
    pub lines: Family<PartnerOutcome, Counter>,
    /// From the first byte of a packet to its reply.
    pub receive_seconds: Histogram,
    /// Requests to destinations by outcome.
    pub attempts: Family<PartnerOutcome, Counter>,
    /// Deliveries by destination and state, counted when read.
    pub deliveries: Family<DestinationState, Gauge>,
    /// Days until a certificate expires.
    pub certificate_days: Family<Named, Gauge>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("ltcgw");
        let requests = Family::default();
        let lines = Family::default();
        let attempts = Family::default();
        let deliveries = Family::default();
        let certificate_days = Family::default();
        let receive_seconds = Histogram::new(exponential_buckets(0.001, 2.5, 14));
        registry.register("requests", "Requests of partners by outcome", requests.clone());
        registry.register("lines", "Lines received by outcome", lines.clone());
        registry.register_with_unit("receive", "From the first byte of a packet to its reply", Unit::Seconds, receive_seconds.clone());
        registry.register("attempts", "Requests to destinations by outcome", attempts.clone());
        registry.register("deliveries", "Deliveries by destination and state", deliveries.clone());
        registry.register("certificate_expiry_days", "Days until a certificate expires", certificate_days.clone());
        Metrics { registry: Arc::new(registry), requests, lines, receive_seconds, attempts, deliveries, certificate_days }
    }
}

impl Metrics {
    /// The text Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// Counts one request of a partner.
    pub fn request(&self, partner: &str, outcome: &str) {
        self.requests.get_or_create(&PartnerOutcome { partner: partner.into(), outcome: outcome.into() }).inc();
    }

    /// Counts lines of a partner.
    pub fn lines_of(&self, partner: &str, outcome: &str, count: i32) {
        self.lines.get_or_create(&PartnerOutcome { partner: partner.into(), outcome: outcome.into() }).inc_by(u64::from(count.unsigned_abs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_after_the_gateway_and_their_unit() {
        let metrics = Metrics::default();
        metrics.request("nanning-tax", "200");
        metrics.receive_seconds.observe(0.2);
        let text = metrics.encode();
        assert!(text.contains(r#"ltcgw_requests_total{partner="nanning-tax",outcome="200"} 1"#), "{text}");
        assert!(text.contains("ltcgw_receive_seconds_bucket"), "{text}");
    }
}
