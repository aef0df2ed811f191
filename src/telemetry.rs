//! Logs and metrics. Log lines go to standard error, above bars that are shown there; metrics are read at `/metrics`.
//!
//! Everything here is safe to show: names of partners, numbers of packets, counts. Never a line's
//! content, a person, a body or a secret.

use std::io::{IsTerminal, Write};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};

use indicatif::{MultiProgress, ProgressDrawTarget};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod exposition; // the formats of /metrics
mod quiet; // what passes, whatever was asked for

pub use exposition::Exposition;
pub use quiet::quiet_panics;

/// Starts logging; `LTCGW_LOG` filters (default `info`), but of libraries never lets more pass than warnings. A second call does nothing.
pub fn start_logging(json: bool, default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LTCGW_LOG").unwrap_or_else(|_| {
        format!("{default},actix_server=warn,refinery_core=warn,tokio_postgres=warn").into()
    });
    let lines = tracing_subscriber::registry()
        .with(filter)
        .with(quiet::filter());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || Above { json })
        .with_ansi(may_colour(std::io::stderr().is_terminal()))
        .with_target(false);
    // Refused only when the process logs already, as in tests.
    let _ = if json {
        lines.with(layer.json()).try_init()
    } else {
        lines.with(layer).try_init()
    };
}

/// Whether colours may be written: to a terminal that knows them, and nobody asked for none (`NO_COLOR`, `TERM=dumb`).
pub fn may_colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()) && knows_sequences()
}

/// Whether the terminal understands more than text.
fn knows_sequences() -> bool {
    std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb")
}

/// Everything that moves at the bottom of the terminal; hidden where nothing can move. What is written to
/// the terminal meanwhile goes through its `suspend`, or the two would be mixed.
pub fn bars() -> &'static MultiProgress {
    static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
        let moves = std::io::stderr().is_terminal() && knows_sequences();
        MultiProgress::with_draw_target(if moves {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        })
    });
    &BARS
}

/// Standard error above the bars; each log line is one write, and passes the mask.
struct Above {
    json: bool,
}

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let shown = quiet::line(line, self.json);
        bars()
            .suspend(|| std::io::stderr().write_all(shown.as_bytes()))
            .map(|()| line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartnerOutcome {
    pub partner: String,
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartnerType {
    pub partner: String,
    pub packet_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DestinationState {
    pub destination: String,
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DestinationReason {
    pub destination: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DestinationLabel {
    pub destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfPartner {
    pub partner: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartnerReason {
    pub partner: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NameLabel {
    pub name: String,
}

/// Every metric of an instance. Labels are names of configuration and words of the code only.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Requests of partners by HTTP status.
    pub requests: Family<PartnerOutcome, Counter>,
    /// Lines by outcome: posted, refused, duplicate.
    pub lines: Family<PartnerOutcome, Counter>,
    /// Money of those lines by outcome since the start (fen); what is paid back is negative.
    pub line_fen: Family<PartnerOutcome, Gauge>,
    /// Lines with something to look at, by word: refused ones whose amount cannot be read, posted ones that are flagged.
    pub line_notes: Family<PartnerOutcome, Counter>,
    /// Packets refused because their type is not taken, by type: one of the adapter's table, or `other`.
    pub untaken: Family<PartnerType, Counter>,
    /// From the first byte of a packet to its reply.
    pub receive_seconds: Histogram,
    /// Requests to destinations by what the answer meant; `inquired` and `lost` beside.
    pub attempts: Family<PartnerOutcome, Counter>,
    /// Deliveries this instance ended, by how.
    pub settled: Family<PartnerOutcome, Counter>,
    /// Deliveries not delivered yet by destination and state, counted when read.
    pub deliveries: Family<DestinationState, Gauge>,
    /// Age of the oldest delivery that is neither delivered nor dead.
    pub oldest_seconds: Family<DestinationLabel, Gauge<f64, AtomicU64>>,
    /// Requests under way to a destination.
    pub under_way: Family<DestinationLabel, Gauge>,
    /// 1 where this instance dispatches to the destination.
    pub lease_held: Family<DestinationLabel, Gauge>,
    /// 1 where the breaker pauses the destination.
    pub breaker_open: Family<DestinationLabel, Gauge>,
    /// 1 for the reason for which the destination is paused or probed.
    pub destination_paused: Family<DestinationReason, Gauge>,
    /// Handshakes of clients that were refused, by the reason's word.
    pub handshakes_refused: Family<ReasonLabel, Counter>,
    /// Handshakes of clients under way.
    pub handshakes_under_way: Gauge,
    /// Connections of partners that are open, by whose they are; `unknown` belongs to no partner.
    pub connections: Family<OfPartner, Gauge>,
    /// Connections closed idle for newer ones (`displaced`), or refused because too many were in use.
    pub connections_ended: Family<PartnerOutcome, Counter>,
    /// Requests refused because there was no room for them, by what was full.
    pub no_room: Family<PartnerReason, Counter>,
    /// Requests under way, and bytes of bodies in memory and on the disk.
    pub requests_under_way: Gauge,
    pub held_bytes: Gauge,
    pub spool_bytes: Gauge,
    /// 1 when a body can be kept on the disk.
    pub spool_writable: Gauge,
    /// Days until a certificate or the revocation list expires; negative afterwards.
    pub certificate_days: Family<NameLabel, Gauge>,
    /// 1 when the database took a write just now.
    pub database_up: Gauge,
    /// Memory in RAM.
    pub resident_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let metrics = Metrics {
            registry: Arc::default(),
            requests: Family::default(),
            lines: Family::default(),
            line_fen: Family::default(),
            line_notes: Family::default(),
            untaken: Family::default(),
            receive_seconds: Histogram::new(exponential_buckets(0.001, 2.5, 14)),
            attempts: Family::default(),
            settled: Family::default(),
            deliveries: Family::default(),
            oldest_seconds: Family::default(),
            under_way: Family::default(),
            lease_held: Family::default(),
            breaker_open: Family::default(),
            destination_paused: Family::default(),
            handshakes_refused: Family::default(),
            handshakes_under_way: Gauge::default(),
            connections: Family::default(),
            connections_ended: Family::default(),
            no_room: Family::default(),
            requests_under_way: Gauge::default(),
            held_bytes: Gauge::default(),
            spool_bytes: Gauge::default(),
            spool_writable: Gauge::default(),
            certificate_days: Family::default(),
            database_up: Gauge::default(),
            resident_bytes: Gauge::default(),
        };
        Metrics {
            registry: Arc::new(metrics.registered()),
            ..metrics
        }
    }
}

impl Metrics {
    /// A registry that knows every metric but the registry itself.
    fn registered(&self) -> Registry {
        let mut registry = Registry::with_prefix("ltcgw");
        registry.register(
            "requests",
            "Requests of partners by HTTP status",
            self.requests.clone(),
        );
        registry.register("lines", "Lines received by outcome", self.lines.clone());
        let fen = Unit::Other("fen".into());
        registry.register_with_unit(
            "line",
            "Money of lines received by outcome since the start; paid back is negative",
            fen,
            self.line_fen.clone(),
        );
        registry.register(
            "line_notes",
            "Lines with something to look at, by what",
            self.line_notes.clone(),
        );
        registry.register(
            "untaken_packets",
            "Packets refused because their type is not taken, by type",
            self.untaken.clone(),
        );
        registry.register_with_unit(
            "receive",
            "From the first byte of a packet to its reply",
            Unit::Seconds,
            self.receive_seconds.clone(),
        );
        registry.register(
            "attempts",
            "Requests to destinations by outcome",
            self.attempts.clone(),
        );
        registry.register(
            "settled",
            "Deliveries this instance ended, by how",
            self.settled.clone(),
        );
        registry.register(
            "deliveries",
            "Deliveries not delivered yet by destination and state",
            self.deliveries.clone(),
        );
        registry.register_with_unit(
            "oldest_delivery",
            "Age of the oldest delivery still open",
            Unit::Seconds,
            self.oldest_seconds.clone(),
        );
        registry.register(
            "under_way",
            "Requests under way to a destination",
            self.under_way.clone(),
        );
        registry.register(
            "lease_held",
            "1 where this instance dispatches to the destination",
            self.lease_held.clone(),
        );
        registry.register(
            "breaker_open",
            "1 where the breaker pauses the destination",
            self.breaker_open.clone(),
        );
        registry.register(
            "destination_paused",
            "1 for the reason for which the destination is paused or probed",
            self.destination_paused.clone(),
        );
        registry.register(
            "handshakes_refused",
            "Handshakes of clients that were refused, by reason",
            self.handshakes_refused.clone(),
        );
        registry.register(
            "handshakes_under_way",
            "Handshakes of clients under way",
            self.handshakes_under_way.clone(),
        );
        registry.register(
            "connections",
            "Connections of partners that are open",
            self.connections.clone(),
        );
        registry.register(
            "connections_ended",
            "Connections closed idle for newer ones, or refused",
            self.connections_ended.clone(),
        );
        registry.register(
            "no_room",
            "Requests refused because there was no room for them, by what was full",
            self.no_room.clone(),
        );
        registry.register(
            "requests_under_way",
            "Requests of partners under way",
            self.requests_under_way.clone(),
        );
        registry.register_with_unit(
            "held",
            "Bodies in memory",
            Unit::Bytes,
            self.held_bytes.clone(),
        );
        registry.register_with_unit(
            "spool",
            "Bodies on the disk",
            Unit::Bytes,
            self.spool_bytes.clone(),
        );
        registry.register(
            "spool_writable",
            "1 when a body can be kept on the disk",
            self.spool_writable.clone(),
        );
        let days = Unit::Other("days".into());
        registry.register_with_unit(
            "certificate_expiry",
            "Until a certificate or the revocation list expires",
            days,
            self.certificate_days.clone(),
        );
        registry.register(
            "database_up",
            "1 when the database took a write just now",
            self.database_up.clone(),
        );
        registry.register_with_unit(
            "resident_memory",
            "Memory of the process in RAM",
            Unit::Bytes,
            self.resident_bytes.clone(),
        );
        registry
    }

    /// The text monitoring reads, in a format.
    pub fn encode(&self, format: Exposition) -> String {
        let mut open = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut open, &self.registry);
        match format {
            Exposition::OpenMetrics => open,
            Exposition::Text => exposition::text_of(&open),
        }
    }

    /// Counts one request of a partner.
    pub fn request(&self, partner: &str, outcome: &str) {
        self.requests
            .get_or_create(&PartnerOutcome {
                partner: partner.into(),
                outcome: outcome.into(),
            })
            .inc();
    }

    /// Counts refused handshakes.
    pub fn handshakes_refused_of(&self, reason: &str, count: u64) {
        self.handshakes_refused
            .get_or_create(&ReasonLabel {
                reason: reason.into(),
            })
            .inc_by(count);
    }

    /// Shows counters of senders of packets at zero: of a counter that begins at 1 no alert sees the first increase.
    pub fn begin<'a>(&self, senders: impl Iterator<Item = &'a str>) {
        let _ = self.requests.get_or_create(&PartnerOutcome {
            partner: "unknown".into(),
            outcome: "403".into(),
        });
        for sender in senders {
            for status in ["200", "503"] {
                let _ = self.requests.get_or_create(&PartnerOutcome {
                    partner: sender.into(),
                    outcome: status.into(),
                });
            }
            for outcome in ["posted", "refused", "duplicate"] {
                self.lines_of(sender, outcome, 0);
                self.fen_of(sender, outcome, 0);
            }
            self.note_of(sender, "amount_unreadable", 0);
            let _ = self.untaken.get_or_create(&PartnerType {
                partner: sender.into(),
                packet_type: "other".into(),
            });
            for how in ["displaced", "refused", "refused_all_taken"] {
                let _ = self.connections_ended.get_or_create(&PartnerOutcome {
                    partner: sender.into(),
                    outcome: how.into(),
                });
            }
            for reason in [
                "requests_of_partner",
                "requests",
                "spool_of_partner",
                "spool",
                "spool_disk",
            ] {
                let _ = self.no_room.get_or_create(&PartnerReason {
                    partner: sender.into(),
                    reason: reason.into(),
                });
            }
        }
    }

    /// Counts a connection that was closed for another, or refused.
    pub fn connection_ended(&self, partner: &str, how: &str) {
        self.connections_ended
            .get_or_create(&PartnerOutcome {
                partner: partner.into(),
                outcome: how.into(),
            })
            .inc();
    }

    /// Counts a request of a partner that had no room.
    pub fn had_no_room(&self, partner: &str, reason: &str) {
        self.no_room
            .get_or_create(&PartnerReason {
                partner: partner.into(),
                reason: reason.into(),
            })
            .inc();
    }

    /// Counts the money of a partner's lines.
    pub fn fen_of(&self, partner: &str, outcome: &str, fen: i64) {
        self.line_fen
            .get_or_create(&PartnerOutcome {
                partner: partner.into(),
                outcome: outcome.into(),
            })
            .inc_by(fen);
    }

    /// Counts lines of a partner with something to look at.
    pub fn note_of(&self, partner: &str, note: &str, count: i32) {
        self.line_notes
            .get_or_create(&PartnerOutcome {
                partner: partner.into(),
                outcome: note.into(),
            })
            .inc_by(u64::from(count.unsigned_abs()));
    }

    /// Counts a packet of a type that is not taken.
    pub fn untaken_packet(&self, partner: &str, packet_type: &str) {
        self.untaken
            .get_or_create(&PartnerType {
                partner: partner.into(),
                packet_type: packet_type.into(),
            })
            .inc();
    }

    /// Counts lines of a partner.
    pub fn lines_of(&self, partner: &str, outcome: &str, count: i32) {
        self.lines
            .get_or_create(&PartnerOutcome {
                partner: partner.into(),
                outcome: outcome.into(),
            })
            .inc_by(u64::from(count.unsigned_abs()));
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
        let text = metrics.encode(Exposition::Text);
        assert!(
            text.contains(r#"ltcgw_requests_total{partner="nanning-tax",outcome="200"} 1"#),
            "{text}"
        );
        assert!(text.contains("ltcgw_receive_seconds_bucket"), "{text}");
    }
}
