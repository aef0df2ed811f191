//! `ltcgw destinations`: where deliveries go, and what is paused.

use std::path::{Path, PathBuf};

use super::fold::fitted;
use super::{Done, approval, dead};
use crate::flow::approval::{Asked, ask_resume};
use crate::flow::destinations as flow;

/// Destinations of deliveries and their pauses.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show each with what waits for it, whether and why it is paused, and the words met.
    List {
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
    },
    /// Ask that a pause is lifted, once its cause is mended or what the partner asked for is absurd; a second person approves it.
    Resume {
        /// Name in partners.toml.
        destination: String,
        #[command(flatten)]
        who: approval::Who,
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
    },
}

pub(super) async fn run(command: &Command) -> Done {
    match command {
        Command::List { config } => list(config).await,
        Command::Resume { destination, who, config } => resume(config, destination, who).await,
    }
}

async fn list(config: &Path) -> Done {
    let store = dead::store(config).await?;
    print!("{}", fitted(&flow::table(&flow::list(store.pool()).await?)));
    Ok(())
}

async fn resume(config: &Path, destination: &str, who: &approval::Who) -> Done {
    let store = dead::store(config).await?;
    let asked = ask_resume(&store, destination, Asked { by: &who.by, reason: &who.reason }).await?;
    print!("{}", approval::asked(&asked));
    Ok(())
}
