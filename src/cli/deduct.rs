//! `ltcgw deduct`: a month's deductions planned, approved by a second person, run and looked at.
//!
//! Parses, calls the flow, prints. Instructions are sent by the gateway that serves on the same
//! database; a run only watches it.

use std::path::PathBuf;

use super::dead::store;
use super::login::Who;
use super::{Done, Failure, table};
use crate::adapter::Catalog;
use crate::config::Config;
use crate::error::{Fault, Stage};
use crate::flow::clock::CityClock;
use crate::flow::deduct::{DeductionPartners, DeductionRefusal, Desk, Of};
use crate::ledger::RateBook;
use crate::model::signer::Signer;
use crate::model::{Month, mask};
use crate::store::deduction::{CycleState, ResolutionOutcome};
use crate::store::relation::Choice;

pub(super) mod show; // plans and results as tables
mod watch; // a run until it is settled
mod workbook; // a cycle as a workbook

/// A month's deductions from personal accounts.
#[derive(Debug, clap::Subcommand)]
pub enum DeductCommand {
    /// Compute everybody; nothing is sent.
    Plan {
        #[command(flatten)]
        on: On,
        #[command(flatten)]
        who: Who,
        /// Put it in the place of the plan of this digest, whole or at least its first eight digits; an approval of that ends.
        #[arg(long, value_name = "HEX")]
        replace: Option<String>,
    },
    /// Approve a plan somebody else made, by its digest.
    Approve {
        #[command(flatten)]
        on: On,
        /// The plan's digest as it was shown, whole or at least its first eight digits.
        #[arg(long, value_name = "HEX")]
        digest: String,
        #[command(flatten)]
        who: Who,
    },
    /// Instruct the medical insurance core to deduct, as approved; once a month.
    Run {
        #[command(flatten)]
        on: On,
        #[command(flatten)]
        who: Who,
        /// Queue the instructions and leave, without watching.
        #[arg(long)]
        no_wait: bool,
    },
    /// Try people again who were left short, where the rates say `retry`.
    Retry {
        #[command(flatten)]
        on: On,
        /// Queue the instructions and leave, without watching.
        #[arg(long)]
        no_wait: bool,
    },
    /// Show a month's cycle as it is.
    Status {
        #[command(flatten)]
        on: On,
    },
    /// Answers of the core that do not fit what was asked; nothing of them was posted.
    Discrepancies {
        #[command(flatten)]
        on: On,
        /// Also those somebody has looked at.
        #[arg(long)]
        all: bool,
    },
    /// Note that somebody has looked at a discrepancy and what came of it.
    Resolve {
        id: i64,
        #[arg(long)]
        note: String,
        #[command(flatten)]
        who: Who,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// People with several insurance relations, of whom somebody has to decide which counts.
    Relations {
        /// Pooling area, six digits, such as 450100.
        #[arg(long, value_parser = area)]
        area: i32,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// Decide that one of a person's insurance relations counts, until rosters state others.
    Choose {
        /// Number of the relation, as `relations` shows it.
        relation: i64,
        #[command(flatten)]
        who: Who,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// Write a cycle as a workbook: totals, shortfalls, differences, people left out.
    Report {
        #[command(flatten)]
        on: On,
        #[arg(long, value_name = "FILE.xlsx")]
        out: PathBuf,
    },
}

/// Which cycle, and where the configuration is.
#[derive(Debug, clap::Args)]
pub struct On {
    /// Pooling area, six digits, such as 450100.
    #[arg(long, value_parser = area)]
    area: i32,
    /// Contribution month, such as 2021-10.
    #[arg(long, value_parser = month)]
    month: Month,
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

impl On {
    fn of(&self) -> Of {
        Of {
            area: self.area,
            month: self.month,
        }
    }
}

impl From<DeductionRefusal> for Failure {
    fn from(refusal: DeductionRefusal) -> Failure {
        Failure::Fault(refusal.fault)
    }
}

pub(super) async fn run(command: &DeductCommand) -> Done {
    match command {
        DeductCommand::Plan { on, who, replace } => {
            plan(on, &who.signer()?, replace.as_deref()).await?
        }
        DeductCommand::Approve { on, digest, who } => {
            let desk = desk(on).await?;
            let cycle = desk.approve(on.of(), &who.signer()?, digest).await?;
            print!(
                "{}{}",
                show::approved(&cycle, &next(on)),
                show::eyes(&cycle, desk.same_login)
            );
        }
        DeductCommand::Run { on, who, no_wait } => {
            let desk = desk(on).await?;
            let spinner = watch::computing();
            let cycle = desk.run(on.of(), &who.signer()?).await;
            spinner.finish_and_clear();
            watch::run(&desk, desk.core(on.of())?, cycle?, *no_wait, &next(on)).await?;
        }
        DeductCommand::Retry { on, no_wait } => {
            let desk = desk(on).await?;
            let (cycle, people) = desk.retry(on.of()).await?;
            println!(
                "round {} of {}: {people} people are tried again",
                cycle.rounds,
                on.of()
            );
            watch::run(&desk, desk.core(on.of())?, cycle, *no_wait, &next(on)).await?;
        }
        DeductCommand::Status { on } => {
            let desk = desk(on).await?;
            let seen = desk.see(on.of()).await?;
            let report = desk.report(&seen.cycle).await?;
            print!(
                "{}{}{}",
                show::plan(&seen, &next(on)),
                show::eyes(&seen.cycle, desk.same_login),
                show::report(&seen.cycle, &report)
            );
        }
        DeductCommand::Discrepancies { on, all } => {
            let found = desk(on)
                .await?
                .store
                .discrepancies(on.area, on.month, *all)
                .await?;
            print!("{}", show::discrepancies(&found));
        }
        DeductCommand::Resolve {
            id,
            note,
            who,
            config,
        } => resolve(*id, note, &who.name()?, config).await?,
        DeductCommand::Relations { area, config } => print!(
            "{}",
            show::relations(&store(config).await?.open_relations(*area).await?)
        ),
        DeductCommand::Choose {
            relation,
            who,
            config,
        } => choose(*relation, &who.name()?, config).await?,
        DeductCommand::Report { on, out } => {
            let desk = desk(on).await?;
            let seen = desk.see(on.of()).await?;
            let rows = workbook::write(&desk, &seen, &districts(on)?, out).await?;
            let report = desk.report(&seen.cycle).await?;
            if seen.cycle.state != CycleState::Settled {
                println!("not settled: people who have no answer yet are not in it");
            }
            println!(
                "{}: {} people short, {} left out",
                out.display(),
                table::thousands(rows.short.cast_signed()),
                table::thousands(rows.left_out.cast_signed())
            );
            if report.short.0 > 0 {
                print!("{}", table::paragraph(&show::short(&report)));
            }
        }
    }
    Ok(())
}

async fn plan(on: &On, by: &Signer, replace: Option<&str>) -> Done {
    let desk = desk(on).await?;
    let asked_at = jiff::Timestamp::now();
    let cycle = match replace {
        Some(digest) => desk.plan_in_place(on.of(), by, digest).await?,
        None => desk.plan(on.of(), by).await?,
    };
    let stayed = cycle.planned_at < asked_at
        && replace.is_none()
        && (cycle.planned_by != by.name || cycle.planned_login != by.login);
    let seen = desk.seen(cycle).await?;
    print!(
        "{}{}",
        show::plan(&seen, &next(on)),
        show::eyes(&seen.cycle, desk.same_login)
    );
    if let Some(earlier) = desk.replaced_by(&seen.cycle).await? {
        print!("{}", show::replaced(&earlier));
    }
    if stayed {
        println!(
            "  it comes to the same as the plan there was, which stays as {} made it",
            seen.cycle.planned_by
        );
    }
    Ok(())
}

async fn resolve(id: i64, note: &str, by: &str, config: &std::path::Path) -> Done {
    if note.trim().is_empty() {
        return Err(Fault::operator(
            Stage::Config,
            "a discrepancy is closed with a name and a note; say what came of it with --note TEXT",
        )
        .into());
    }
    match store(config)
        .await?
        .resolve_discrepancy(id, by, &mask::text(note.trim()))
        .await?
    {
        ResolutionOutcome::Now => println!("discrepancy {id}: noted as looked at by {by}"),
        ResolutionOutcome::Before(by) => {
            return Err(Fault::operator(
                Stage::Store,
                format!("discrepancy {id} was looked at before, by {by}; nothing was changed"),
            )
            .into());
        }
        ResolutionOutcome::Unknown => {
            return Err(Fault::operator(
                Stage::Store,
                format!("there is no discrepancy {id}; see `ltcgw deduct discrepancies`"),
            )
            .into());
        }
    }
    Ok(())
}

async fn choose(relation: i64, by: &str, config: &std::path::Path) -> Done {
    let refuse = |text: String| Err(Fault::operator(Stage::Store, text).into());
    match store(config).await?.choose_relation(relation, by).await? {
        Choice::Made(rosters) => {
            println!(
                "relation {relation} counts, as decided by {by}, in {rosters} rosters; a plan made before has to be made again"
            )
        }
        Choice::Decided(Some(name)) => {
            return refuse(format!(
                "relation {relation}: {name} has decided before; nothing was changed"
            ));
        }
        Choice::Decided(None) => {
            return refuse(format!(
                "relation {relation}: a rule of the adapter has decided; nothing was changed"
            ));
        }
        Choice::Unknown => {
            return refuse(format!(
                "there is no relation {relation}; see `ltcgw deduct relations`"
            ));
        }
    }
    Ok(())
}

/// The desk of a configuration, beside a running gateway.
async fn desk(on: &On) -> Result<Desk, Failure> {
    let config = Config::load(&on.config)?;
    let book = RateBook::load(&config.gateway.rates_dir)?.into();
    let catalog = Catalog::load(&config.gateway.adapters_dir)?;
    let partners = DeductionPartners::of(&config.partners, &catalog).into();
    let same_login = config.gateway.approval.same_login;
    Ok(Desk {
        store: store(&on.config).await?,
        book,
        clock: CityClock::default(),
        partners,
        same_login,
    })
}

/// Districts as the code tables of the adapters name them; a name stands under its code in any of them.
fn districts(on: &On) -> Result<workbook::Districts, Failure> {
    let catalog = Catalog::load(&Config::load(&on.config)?.gateway.adapters_dir)?;
    Ok(workbook::Districts(
        catalog
            .iter()
            .flat_map(|adapter| adapter.meanings("district"))
            .collect(),
    ))
}

/// The rest of a command that goes on with the same cycle.
fn next(on: &On) -> String {
    let config = if on.config.as_os_str() == "config" {
        String::new()
    } else {
        format!(" --config {}", on.config.display())
    };
    format!("--area {:06} --month {}{config}", on.area, on.month)
}

fn area(text: &str) -> Result<i32, String> {
    let six_digits = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| six_digits)
        .ok_or_else(|| "expected a pooling area of six digits such as 450100".to_owned())
}

fn month(text: &str) -> Result<Month, String> {
    Month::parse_dashed(text)
        .ok_or_else(|| "expected a contribution month such as 2021-10".to_owned())
}
