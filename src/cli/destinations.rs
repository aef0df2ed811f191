//! `ltcgw destinations`: where deliveries go, and what is paused.

use std::path::{Path, PathBuf};

use super::table::Table;
use super::{Done, approval, dead};
use crate::flow::approval::{ApprovalRequest, ask_resume};
use crate::flow::destinations as flow;
use crate::store::delivery::Backlog;

/// Destinations of deliveries and their pauses.
#[derive(Debug, clap::Subcommand)]
pub enum DestinationsCommand {
    /// Show each with what waits for it, whether and why it is paused, and the words met.
    List {
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// Ask that a pause is lifted, once its cause is mended or what the partner asked for is absurd; a second person approves it.
    Resume {
        /// Name in partners.toml.
        destination: String,
        #[command(flatten)]
        asks: approval::Asks,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
}

pub(super) async fn run(command: &DestinationsCommand) -> Done {
    match command {
        DestinationsCommand::List { config } => list(config).await,
        DestinationsCommand::Resume {
            destination,
            asks,
            config,
        } => resume(config, destination, asks).await,
    }
}

async fn list(config: &Path) -> Done {
    let store = dead::store(config).await?;
    let listed = flow::list(store.pool()).await?;
    if listed.is_empty() {
        println!("nothing was ever sent to any destination");
        return Ok(());
    }
    let mut table = Table::new(&[
        "destination",
        "ready>",
        "leased>",
        "in doubt>",
        "dead>",
        "state",
    ]);
    for (standing, backlog) in &listed {
        let Backlog {
            ready,
            leased,
            in_doubt,
            dead,
            ..
        } = backlog;
        let said = standing
            .answer
            .as_deref()
            .filter(|answer| !answer.is_empty())
            .map_or_else(String::new, |answer| format!("\nit said: {answer}"));
        let counts = [ready, leased, in_doubt, dead].map(ToString::to_string);
        let state = format!("{}{said}", flow::state(standing));
        table.row(
            [standing.destination.clone()]
                .into_iter()
                .chain(counts)
                .chain([state]),
        );
    }
    print!("{}", table.render());
    Ok(())
}

async fn resume(config: &Path, destination: &str, asks: &approval::Asks) -> Done {
    let store = dead::store(config).await?;
    let asked = ask_resume(
        &store,
        destination,
        ApprovalRequest {
            by: &asks.who.signer()?,
            reason: &asks.reason,
        },
    )
    .await?;
    print!("{}", approval::asked(&asked, &[]));
    Ok(())
}
