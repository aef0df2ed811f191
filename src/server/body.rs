//! A partner's bytes, taken as they come and cut off when they come too slowly or are too many.
//!
//! Holds no database connection and decides nothing about the content.

use std::time::{Duration, Instant};

use actix_web::web::Payload;
use futures_util::StreamExt;

use crate::config::Receive;
use crate::flow::collect::{Body, Spool, SpoolError, SpoolLimits};

/// Why a body was not taken, with the HTTP status that says so.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub reason: String,
}

/// Reads the whole body.
pub async fn take(mut payload: Payload, receive: &Receive, body_bytes_max: u64, gzip: bool) -> Result<Body, Refusal> {
    let limits = SpoolLimits { memory_bytes: receive.memory_bytes_max, body_bytes: body_bytes_max, decompressed_bytes: receive.decompressed_bytes_max };
    let mut spool = Spool::new(limits, gzip);
    let (start, mut received) = (Instant::now(), 0_u64);
    loop {
        let chunk = match tokio::time::timeout(Duration::from_secs(receive.idle_seconds), payload.next()).await {
            Err(_) => return Err(slow(format!("nothing came for {} seconds; send the body without pauses", receive.idle_seconds))),
            Ok(None) => return spool.finish().map_err(refusal),
            Ok(Some(Err(error))) => return Err(Refusal { status: 400, reason: format!("the body broke off: {error}; send it again") }),
            Ok(Some(Ok(chunk))) => chunk,
        };
        received += chunk.len() as u64;
        spool.write(&chunk).map_err(refusal)?;
        let elapsed = start.elapsed();
        if elapsed.as_secs() >= receive.slow_grace_seconds && received < receive.bytes_per_second_min * elapsed.as_secs().max(1) {
            return Err(slow(format!("the body came at less than {} bytes a second; send it faster", receive.bytes_per_second_min)));
        }
    }
}

fn slow(reason: String) -> Refusal {
    Refusal { status: 408, reason }
}

fn refusal(error: SpoolError) -> Refusal {
    let status = match error {
        SpoolError::TooLarge(_) | SpoolError::Bomb(_) => 413,
        SpoolError::Gzip(_) | SpoolError::Trailing | SpoolError::Members => 400,
        SpoolError::File(_) => 503,
    };
    let reason = match &error {
        SpoolError::File(_) => {
            // What is wrong with our disk is the operator's to know.
            tracing::error!(%error, "a body could not be kept");
            "the gateway cannot take the body now; send it again later".to_string()
        }
        other => other.to_string(),
    };
    Refusal { status, reason }
}
