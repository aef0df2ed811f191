//! `ltcgw dead`: deliveries that need a person.

use std::path::PathBuf;

use super::fold::{fitted, folded};
use super::table::{Table, yuan};
use super::{Done, Failure, lang};
use crate::config::Config;
use crate::error::{Fault, Stage};
use crate::flow::clock::in_city;
use crate::flow::dead::{self as flow, Cause, Decision};
use crate::flow::tell;
use crate::service;
use crate::store::Store;
use crate::store::inspect::{Schema, inspect};

/// Letters that are looked at for a list.
const LETTERS_MAX: i64 = 20_000;

/// Deliveries that need a person.
#[derive(Debug, clap::Subcommand)]
pub enum DeadCommand {
    /// List dead letters by cause, the oldest of each first.
    List {
        /// Only those to this partner.
        #[arg(long)]
        to: Option<String>,
        /// Letters named of each cause at most; all are counted.
        #[arg(long, default_value_t = 10)]
        limit: usize,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// Show one with everything that was tried.
    Show {
        id: i64,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// Let one be delivered after all.
    Retry {
        #[arg(required_unless_present = "all")]
        id: Option<i64>,
        /// Every dead letter, or every one to the partner named by --to: refused ones are sent again, unknown ones asked about.
        #[arg(long, conflicts_with_all = ["id", "send_again", "delivered"])]
        all: bool,
        /// With --all: only those to this partner.
        #[arg(long, requires = "all")]
        to: Option<String>,
        /// The partner says it does not have it: send again without asking, under the same reference.
        #[arg(long, conflicts_with = "delivered")]
        send_again: bool,
        /// The partner says it has it: count it as delivered.
        #[arg(long)]
        delivered: bool,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
}

pub(super) async fn run(command: &DeadCommand) -> Done {
    match command {
        DeadCommand::List { to, limit, config } => list(config, to.as_deref(), *limit).await,
        DeadCommand::Show { id, config } => show(config, *id).await,
        DeadCommand::Retry {
            id: None,
            to,
            config,
            ..
        } => retry_all(config, to.as_deref()).await,
        DeadCommand::Retry {
            id: Some(id),
            send_again,
            delivered,
            config,
            ..
        } => {
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
    // Opening brings the schema up to date, which is not for a command that looks around.
    match inspect(&service::beside(&config)?).await?.schema {
        Schema::Current { .. } => Ok(Store::open(service::beside(&config)?, &[]).await?),
        Schema::Absent => Err(refused(
            "the database has no schema yet; run `ltcgw serve` or `ltcgw migrate`".into(),
        )),
        Schema::Older { has, needs } | Schema::Foreign { has, needs } => Err(refused(format!(
            "the database has schema {has}, this version works with {needs}; use the version of the gateway that serves"
        ))),
    }
}

fn refused(text: String) -> Failure {
    Fault::operator(Stage::Store, text).into()
}

async fn retry_all(config: &std::path::Path, to: Option<&str>) -> Done {
    let store = store(config).await?;
    let count = flow::retry_all(store.pool(), to).await?;
    println!(
        "{}",
        lang::said(&format!(
            "{count} deliveries will be tried again; those of unknown outcome are asked about first"
        ))
    );
    Ok(())
}

async fn list(config: &std::path::Path, to: Option<&str>, limit: usize) -> Done {
    let store = store(config).await?;
    print!(
        "{}",
        text(
            flow::by_cause(flow::list(store.pool(), to, LETTERS_MAX).await?),
            limit
        )
    );
    Ok(())
}

/// Every cause with its letters, at most so many of each, for people.
fn text(causes: Vec<Cause>, limit: usize) -> String {
    if causes.is_empty() {
        return lang::page("no dead letters\n");
    }
    let mut text = String::new();
    let letters: usize = causes.iter().map(|cause| cause.letters.len()).sum();
    for cause in &causes {
        let count = cause.letters.len();
        let Cause {
            destination,
            message,
            ..
        } = cause;
        let fen = i64::try_from(cause.fen()).unwrap_or(i64::MAX);
        text += &lang::page(&format!(
            "\n{destination} · {message} · {count} dead · {} yuan\n",
            yuan(fen)
        ));
        text += &folded(&cause.words, "  ");
        let headings =
            ["delivery>", "tells of", "yuan>", "attempts>", "dead since"].map(lang::said);
        let mut table = Table::new(&headings.each_ref().map(String::as_str));
        for letter in cause.letters.iter().take(limit) {
            let delivery = &letter.delivery;
            let since = delivery
                .settled_at
                .map_or_else(String::new, |at| in_city(at)[..16].to_owned());
            table.row([
                delivery.delivery_id.to_string(),
                lang::said(&tell::name(&delivery.of, letter.packet_no.as_deref())),
                yuan(delivery.of.fen.0),
                delivery.attempts.to_string(),
                since,
            ]);
        }
        text += &table.render();
        if count > limit {
            text += &lang::page(&format!(
                "  … and {} more of this cause (--limit {count})\n",
                count - limit
            ));
        }
    }
    if letters >= usize::try_from(LETTERS_MAX).unwrap_or(usize::MAX) {
        text += &lang::page(&format!(
            "\nonly the oldest {LETTERS_MAX} are counted here; `ltcgw destinations list` has the numbers of all\n"
        ));
    }
    text + &lang::page("\ntimes are Asia/Shanghai; `ltcgw dead show DELIVERY` has every attempt\n")
}

async fn show(config: &std::path::Path, id: i64) -> Done {
    let store = store(config).await?;
    print!(
        "{}",
        fitted(&lang::page(&flow::page(
            &flow::show(store.pool(), id).await?
        )))
    );
    Ok(())
}

async fn retry(config: &std::path::Path, id: i64, decision: Decision) -> Done {
    let store = store(config).await?;
    flow::decide(store.pool(), id, decision).await?;
    let done = match decision {
        Decision::Retry => "will be tried again; one of unknown outcome is asked about first",
        Decision::SendAgain => "will be sent again under the same reference",
        Decision::Delivered => "counts as delivered",
    };
    println!("{}", lang::said(&format!("delivery {id}: {done}")));
    Ok(())
}
