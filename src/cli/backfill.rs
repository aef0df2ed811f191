//! `ltcgw backfill`: tells a destination of the whole registry, behind live changes and under its limits.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::dead::store;
use super::table::prose;
use super::{Done, terminal};
use crate::adapter::Catalog;
use crate::config::Config;
use crate::flow::backfill::{BackfillTarget, Filling};
use crate::flow::clock::shanghai;
use crate::store::delivery::{BackfillProgress, BackfillScope};

/// How often the display looks.
const LOOK: Duration = Duration::from_millis(500);

/// Tell a destination of the whole registry.
#[derive(Debug, clap::Args)]
pub struct BackfillOptions {
    /// The partner to tell, as in partners.toml.
    #[arg(long)]
    to: String,
    /// Only entries changed since then (Asia/Shanghai), such as 2026-01-31.
    #[arg(long, value_name = "DATE")]
    since: Option<Date>,
    /// Also entries it took already at their present version: it lost them.
    #[arg(long)]
    again: bool,
    /// Queue everything and leave, without watching it being sent.
    #[arg(long)]
    no_wait: bool,
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

pub(super) async fn run(options: &BackfillOptions) -> Done {
    let config = Config::load(&options.config)?;
    let catalog = Catalog::load(&config.gateway.adapters_dir)?;
    let target = BackfillTarget::of(&config.partners, &catalog, &options.to)?;
    let store = store(&options.config).await?;
    let scope = BackfillScope {
        since: options.since,
        again: options.again,
    };
    let mut filling = Filling::start(store.pool(), target, scope).await?;
    if (filling.backfill.since, filling.backfill.again) != (scope.since, scope.again) {
        let text = format!(
            "a backfill of {} was not finished; it goes on as it was started ({}{}), and what you asked for is not done: run the command again afterwards",
            options.to,
            filling
                .backfill
                .since
                .map_or_else(|| "all entries".to_owned(), |day| format!("since {day}")),
            if filling.backfill.again {
                ", also what was told already"
            } else {
                ""
            }
        );
        print!("{}", prose("", &text, "", terminal::columns()));
    }
    if filling.backfill.looked_at > 0 {
        println!(
            "going on with the backfill of {}: {} of {} entries were looked at",
            options.to, filling.backfill.looked_at, filling.entries
        );
    }
    queue(&mut filling).await?;
    let first = filling.progress().await?;
    println!(
        "queued {} deliveries to {}, at the lowest priority",
        filling.backfill.queued, options.to
    );
    let passed = filling.backfill.looked_at - filling.backfill.queued;
    if passed > 0 {
        let why = if filling.backfill.again {
            "do not concern it, are on their way already, or did not change since the day given"
        } else {
            "do not concern it, were told to it already (those are told once more with --again), or did not change since the day given"
        };
        let text = format!(
            "{passed} of {} entries were passed over: they {why}",
            filling.backfill.looked_at
        );
        print!("{}", prose("", &text, "", terminal::columns()));
    }
    if !options.no_wait && first.waiting > 0 {
        let text = format!(
            "at its limits the last one leaves {} (Asia/Shanghai) at the earliest; this display may be left with Ctrl-C",
            end(&filling, first)
        );
        print!("{}", prose("", &text, "", terminal::columns()));
        watch(&filling, first).await?;
    }
    Ok(())
}

async fn queue(filling: &mut Filling) -> Done {
    let bar = terminal::bar(
        filling.entries.unsigned_abs(),
        "{msg} {wide_bar} {pos}/{len} entries",
    );
    bar.set_message("queueing");
    while filling.queue_more().await? {
        bar.set_position(filling.backfill.looked_at.unsigned_abs());
    }
    bar.finish_and_clear();
    Ok(())
}

/// Shows how it goes out until everything is settled.
async fn watch(filling: &Filling, first: BackfillProgress) -> Done {
    let bar = terminal::bar(
        first.waiting.unsigned_abs(),
        "sending {wide_bar} {pos}/{len}, ends {msg}",
    );
    let mut now = first;
    while now.waiting > 0 {
        // What a running gateway queues at this priority meanwhile counts as well.
        bar.set_length(bar.length().unwrap_or(0).max(now.waiting.unsigned_abs()));
        bar.set_position(
            bar.length()
                .unwrap_or(0)
                .saturating_sub(now.waiting.unsigned_abs()),
        );
        bar.set_message(end(filling, now));
        tokio::time::sleep(LOOK).await;
        now = filling.progress().await?;
    }
    bar.finish_and_clear();
    match now.dead {
        0 => println!("everything was sent"),
        dead => println!(
            "everything was sent but {dead}, see `ltcgw dead list --to {}`",
            filling.backfill.destination
        ),
    }
    Ok(())
}

/// When the last record leaves at the destination's limits, in local time.
fn end(filling: &Filling, now: BackfillProgress) -> String {
    let wait =
        SignedDuration::try_from(filling.remaining(now.waiting)).unwrap_or(SignedDuration::MAX);
    Timestamp::now().checked_add(wait).map_or_else(
        |_| "some day".to_owned(),
        |at| {
            at.to_zoned(shanghai())
                .strftime("%Y-%m-%d %H:%M")
                .to_string()
        },
    )
}
