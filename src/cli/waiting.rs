//! `ltcgw waiting`: what waits for each partner, and when the last of it will have gone.

use std::path::PathBuf;

use jiff::Timestamp;

use super::Done;
use super::dead::store;
use super::fold::folded;
use super::table::{Table, thousands, yuan};
use crate::adapter::Catalog;
use crate::config::Config;
use crate::flow::clock::in_city;
use crate::flow::destinations::state;
use crate::flow::waiting::{DestinationQueue, End, waiting};

#[derive(Debug, clap::Args)]
pub struct WaitingOptions {
    /// Only what waits for this partner.
    #[arg(long, value_name = "PARTNER")]
    to: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

pub(super) async fn run(options: &WaitingOptions) -> Done {
    let config = Config::load(&options.config)?;
    let catalog = Catalog::load(&config.gateway.adapters_dir)?;
    let store = store(&options.config).await?;
    let queues = waiting(
        store.pool(),
        (&config.partners, &catalog),
        options.to.as_deref(),
        Timestamp::now(),
    )
    .await?;
    if queues.is_empty() {
        println!(
            "nothing waits{}",
            options
                .to
                .as_ref()
                .map_or_else(String::new, |name| format!(" for {name}"))
        );
    }
    queues.iter().for_each(|queue| print!("{}", text(queue)));
    Ok(())
}

fn text(queue: &DestinationQueue) -> String {
    let mut table = Table::new(&[
        "message",
        "ready>",
        "sending>",
        "in doubt>",
        "yuan>",
        "oldest",
    ]);
    for row in &queue.waiting {
        let cells = [
            row.message.clone(),
            thousands(row.ready),
            thousands(row.leased),
            thousands(row.in_doubt),
            yuan(row.fen.0),
        ];
        table.row(
            cells
                .into_iter()
                .chain([in_city(row.oldest_at)[..16].to_owned()]),
        );
    }
    let mut text = format!("\n{}\n{}", queue.destination, table.render());
    let behind: i64 = queue.waiting.iter().map(|row| row.behind_dead).sum();
    if behind > 0 {
        text += &folded(
            &format!(
                "{} of them wait behind a dead letter, see `ltcgw dead list --to {}`",
                thousands(behind),
                queue.destination
            ),
            "  ",
        );
    }
    let paused = queue
        .standing
        .as_ref()
        .filter(|standing| standing.reason.is_some() || !standing.held);
    if let Some(standing) = paused {
        text += &folded(&state(standing), "  ");
    }
    let requests = thousands(i64::try_from(queue.requests).unwrap_or(i64::MAX));
    let end = match queue.end {
        End::At(at) => format!(
            "{requests} requests; at its limits the last one leaves at {} (Asia/Shanghai) at the earliest",
            in_city(at)
        ),
        End::Never => format!("{requests} requests; at its limits that takes more than ten years"),
        End::ForAPerson => "none of it can go before a person has decided".to_owned(),
        End::NobodySends => {
            "nobody sends it: it is not in partners.toml, or has no [partner.outbound] any more"
                .to_owned()
        }
    };
    text + &folded(&end, "  ")
}
