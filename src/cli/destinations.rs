//! `ltcgw destinations`: where deliveries go, and what is paused.

use std::path::{Path, PathBuf};

use super::{Done, dead};
use crate::flow::destinations as flow;

/// Destinations of deliveries and their pauses.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show each with what waits for it, whether and why it is paused, and the words met.
    List {
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
    },
    /// Lift a pause, once its cause is mended or what the partner asked for is absurd.
    Resume {
        /// Name in partners.toml.
        destination: String,
        #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
        config: PathBuf,
    },
}

pub(super) async fn run(command: &Command) -> Done {
    match command {
        Command::List { config } => list(config).await,
        Command::Resume { destination, config } => resume(config, destination).await,
    }
}

async fn list(config: &Path) -> Done {
    let store = dead::store(config).await?;
    print!("{}", flow::table(&flow::list(store.pool()).await?));
    Ok(())
}

async fn resume(config: &Path, destination: &str) -> Done {
    let store = dead::store(config).await?;
    match flow::resume(store.pool(), destination).await? {
        true => println!("{destination}: the pause is lifted; deliveries go on within seconds"),
        false => println!("{destination} was not paused"),
    }
    Ok(())
}
