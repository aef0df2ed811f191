//! `ltcgw dead`: deliveries that need a person.

use std::path::PathBuf;

use super::table::{Table, thousands, yuan};
use super::{Done, Failure, serve};
use crate::config::Config;
use crate::error::{Fault, Stage};
use crate::store::Store;
use crate::store::delivery::{self, Decision, Delivery};

/// Deliveries that need a person.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List dead letters, oldest first.
    List {
        /// Only those to this partner.
        #[arg(long)]
        to: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: i64,
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
    },
    /// Show one with everything that was tried.
    Show {
        id: i64,
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
    },
    /// Let one be delivered after all.
    Retry {
        id: i64,
        /// The partner says it does not have it: send again without asking, under the same reference.
        #[arg(long, conflicts_with = "delivered")]
        send_again: bool,
        /// The partner says it has it: count it as delivered.
        #[arg(long)]
        delivered: bool,
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
    },
}

pub(super) async fn run(command: &Command) -> Done {
    match command {
        Command::List { to, limit, config } => list(config, to.as_deref(), *limit).await,
        Command::Show { id, config } => show(config, *id).await,
        Command::Retry { id, send_again, delivered, config } => {
            let decision = match (send_again, delivered) {
                (true, _) => Decision::SendAgain,
                (_, true) => Decision::Delivered,
                _ => Decision::Retry,
            };
            retry(config, *id, decision).await
        }
    }
}

/// The database of a configuration, for looking around beside a running gateway.
pub(super) async fn store(dir: &std::path::Path) -> Result<Store, Failure> {
    let config = Config::load(dir)?;
    Ok(Store::open(serve::beside(&config)?, &[]).await?)
}

async fn list(config: &std::path::Path, to: Option<&str>, limit: i64) -> Done {
    let store = store(config).await?;
    let letters = delivery::dead_letters(store.pool(), to, limit).await?;
    if letters.is_empty() {
        println!("no dead letters");
        return Ok(());
    }
    let mut table = Table::new(&["id>", "to", "message", "lines>", "yuan>", "attempts>", "outcome", "last answer"]);
    for letter in &letters {
        let Delivery { delivery_id, of, attempts, outcome, answer, .. } = letter;
        table.row([
            delivery_id.to_string(),
            of.destination.clone(),
            of.message.clone(),
            thousands(of.lines.into()),
            yuan(of.fen.0),
            attempts.to_string(),
            outcome.clone().unwrap_or_default(),
            answer.clone().unwrap_or_default(),
        ]);
    }
    print!("{}", table.render());
    println!("\n  ltcgw dead show ID · ltcgw dead retry ID [--send-again | --delivered]");
    Ok(())
}

async fn show(config: &std::path::Path, id: i64) -> Done {
    let store = store(config).await?;
    let detail = delivery::show(store.pool(), id).await?.ok_or_else(|| unknown(id))?;
    let of = &detail.delivery.of;
    println!("  delivery {id}: {} to {}, packet {} records {} to {}", of.message, of.destination, of.packet_id, of.first_record, of.last_record);
    println!("  state {}, {} lines, {} yuan{}\n", detail.delivery.state, of.lines, of.fen, if of.reversal { ", reversal" } else { "" });
    let mut table = Table::new(&["no>", "kind", "began", "reference", "HTTP>", "outcome", "answer"]);
    for attempt in &detail.attempts {
        table.row([
            attempt.attempt_no.to_string(),
            attempt.kind.clone(),
            attempt.started_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            attempt.reference.clone(),
            attempt.status.map(|status| status.to_string()).unwrap_or_default(),
            attempt.outcome.clone().unwrap_or_else(|| "(no end recorded)".into()),
            attempt.answer.clone().unwrap_or_default(),
        ]);
    }
    print!("{}", table.render());
    Ok(())
}

async fn retry(config: &std::path::Path, id: i64, decision: Decision) -> Done {
    let store = store(config).await?;
    if !delivery::decide(store.pool(), id, decision).await? {
        return Err(unknown(id));
    }
    println!("delivery {id}: {}", match decision {
        Decision::Retry => "will be tried again; one of unknown outcome is asked about first",
        Decision::SendAgain => "will be sent again under the same reference",
        Decision::Delivered => "counts as delivered",
    });
    Ok(())
}

fn unknown(id: i64) -> Failure {
    let text = format!("{id} is not a dead letter this can be decided about; see `ltcgw dead list` (only one of unknown outcome can be declared delivered)");
    Failure::Fault(Fault::operator(Stage::Store, text))
}
