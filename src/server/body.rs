//! A partner's bytes, taken as they come and cut off when they come too slowly or are too many.
//!
//! Holds no database connection and decides nothing about the content.

use std::time::{Duration, Instant};

use actix_web::web::Payload;
use futures_util::StreamExt;

use crate::config::Receive;
use crate::flow::intake::{ReceivedBody, Spool, SpoolError, SpoolLimits};
use crate::flow::shares::{NoRoom, Share};

/// Why a body was not taken, with the HTTP status that says so.
#[derive(Debug)]
pub struct BodyRefusal {
    pub status: u16,
    pub reason: String,
    /// What had no room left for it, in the words of the metric; none when the body itself is to blame.
    pub full: Option<&'static str>,
}

/// What a body may be, and whose it is.
pub struct BodyTerms<'a> {
    pub receive: &'a Receive,
    /// Largest body as sent.
    pub bytes_max: u64,
    pub gzip: bool,
    pub share: Share,
}

impl BodyTerms<'_> {
    fn limits(&self) -> SpoolLimits {
        let receive = self.receive;
        // What is larger than all its partner may have on the disk is too large, not too early.
        let decompressed_bytes = receive.decompressed_bytes_max.min(
            receive
                .spool_bytes_per_partner_max
                .max(receive.memory_bytes_max),
        );
        SpoolLimits {
            memory_bytes: receive.memory_bytes_max,
            body_bytes: self.bytes_max,
            decompressed_bytes,
            ratio: receive.decompressed_ratio_max,
        }
    }
}

/// Reads the whole body.
pub async fn take(mut payload: Payload, terms: BodyTerms<'_>) -> Result<ReceivedBody, BodyRefusal> {
    let (receive, limits) = (terms.receive, terms.limits());
    let mut spool = Spool::new(limits, terms.gzip, terms.share);
    let (mut clock, longest) = (
        Clock::start(),
        Duration::from_secs(receive.body_seconds_max),
    );
    loop {
        let idle = Duration::from_secs(receive.idle_seconds);
        let left = longest.saturating_sub(clock.start.elapsed());
        let chunk = match tokio::time::timeout(idle.min(left), payload.next()).await {
            Err(_) if left < idle => {
                return Err(slow(format!(
                    "the body was not complete after {} seconds; send it faster, or in several packets",
                    receive.body_seconds_max
                )));
            }
            Err(_) => {
                return Err(slow(format!(
                    "nothing came for {} seconds; send the body without pauses",
                    receive.idle_seconds
                )));
            }
            Ok(None) => return spool.finish().await.map_err(refusal),
            Ok(Some(Err(error))) => {
                return Err(blamed(
                    400,
                    format!("the body broke off: {error}; send it again"),
                ));
            }
            Ok(Some(Ok(chunk))) => chunk,
        };
        clock.received += chunk.len() as u64;
        let working = Instant::now();
        spool.write(chunk).await.map_err(refusal)?;
        clock.ours += working.elapsed();
        if clock.is_behind(receive) {
            return Err(slow(format!(
                "the body came at less than {} bytes a second; send it faster",
                receive.bytes_per_second_min
            )));
        }
    }
}

/// How fast a body comes. Time that we took ourselves is not held against its sender.
struct Clock {
    start: Instant,
    ours: Duration,
    received: u64,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            start: Instant::now(),
            ours: Duration::ZERO,
            received: 0,
        }
    }

    fn is_behind(&self, receive: &Receive) -> bool {
        let elapsed = self.start.elapsed().saturating_sub(self.ours).as_secs();
        elapsed >= receive.slow_grace_seconds
            && self.received < receive.bytes_per_second_min.saturating_mul(elapsed.max(1))
    }
}

fn slow(reason: String) -> BodyRefusal {
    blamed(408, reason)
}

fn blamed(status: u16, reason: String) -> BodyRefusal {
    BodyRefusal {
        status,
        reason,
        full: None,
    }
}

fn refusal(error: SpoolError) -> BodyRefusal {
    match &error {
        SpoolError::TooLarge(_) | SpoolError::Bomb(_) | SpoolError::Ratio(_) => {
            blamed(413, error.to_string())
        }
        SpoolError::Gzip(_) | SpoolError::Trailing | SpoolError::Members => {
            blamed(400, error.to_string())
        }
        SpoolError::File(NoRoom::Own) => {
            let reason = "what this partner has sent and is not posted yet takes all the room it may have; send this one when others are answered";
            BodyRefusal {
                status: 429,
                reason: reason.into(),
                full: Some("spool_of_partner"),
            }
        }
        SpoolError::File(why) => {
            // What is wrong with our disk is the operator's to know.
            tracing::error!(%error, "a body could not be kept");
            BodyRefusal {
                status: 503,
                reason: LATER.into(),
                full: Some(if matches!(why, NoRoom::All) {
                    "spool"
                } else {
                    "spool_disk"
                }),
            }
        }
        SpoolError::Ended(_) => {
            tracing::error!(%error, "a body could not be kept");
            blamed(503, LATER.into())
        }
    }
}

const LATER: &str = "the gateway cannot take the body now; send it again later";
