//! `ltcgw serve`: the real thing, until SIGTERM or SIGINT.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::Done;
use crate::service::{self, Loaded};
use crate::telemetry;

pub(super) async fn run(dir: &Path) -> Done {
    let loaded = Loaded::read(dir)?;
    telemetry::start_logging(loaded.config.gateway.log.json, "info");
    let (connection, embedded) = service::database(&loaded.config).await?;
    let running = service::start(loaded, connection).await?;
    tracing::info!(partners = %running.server.partner, operator = %running.server.operator, "serving");
    stop_signal().await;
    tracing::info!("stopping: no new packets, finishing what is under way");
    running.stop().await;
    if let Some(embedded) = embedded {
        let _ = tokio::task::spawn_blocking(move || embedded.stop()).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
