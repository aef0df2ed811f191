//! The command line: each command parses its arguments, calls what does the work and prints the result.
//!
//! Text for people goes to standard output, logs and problems to standard error; exit status 0
//! means that everything asked for was done, 1 that something failed, 2 wrong arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Fault, Finding};
use crate::model::printable::escaped_lines;

/// As the standard ones, but a reader that has seen enough (`| head`) does not stop what is being done.
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::say(format_args!($($text)*)) };
}
macro_rules! println {
    () => { $crate::cli::say("\n") };
    ($($text:tt)*) => { $crate::cli::say(format_args!("{}\n", format_args!($($text)*))) };
}

mod adapter; // ltcgw adapter check|test|new|list
mod approval; // ltcgw approval list|approve|reject, ltcgw mark-delivered
mod backfill; // ltcgw backfill
mod cores; // no core dumps
mod dead; // ltcgw dead list|show|retry
mod deduct; // ltcgw deduct plan|approve|run|retry|status|discrepancies|resolve|report
#[cfg(feature = "sandbox")]
mod demo; // ltcgw demo
mod destinations; // ltcgw destinations list|resume
mod doctor; // ltcgw doctor
mod fold; // long sentences for the terminal
mod lang; // English or Chinese
mod login; // under which login of this system somebody works
mod packets; // ltcgw packets
#[cfg(feature = "sandbox")]
mod pki; // ltcgw pki init
mod serve; // ltcgw serve, ltcgw migrate
mod sums; // ltcgw sums
mod table; // text tables for the terminal
mod terminal; // how wide it is, and what moves at its bottom
mod trace; // ltcgw trace
mod waiting; // ltcgw waiting

/// Integration gateway for China's long-term care insurance (长期护理保险对接网关).
#[derive(Debug, Parser)]
#[command(name = "ltcgw", version, about)]
struct Arguments {
    /// Language of help, doctor and dead: en or zh; by default that of the locale.
    #[arg(long, global = true, value_name = "en|zh", hide_possible_values = true)]
    lang: Option<lang::Lang>,
    #[command(subcommand)]
    command: Command,
}

/// The command line as clap knows it, in English.
fn command() -> clap::Command {
    Arguments::command()
}

/// What was asked for; its language is chosen first, since help is printed while arguments are read.
fn arguments() -> Arguments {
    lang::Lang::of(std::env::args().skip(1), |name| std::env::var(name).ok()).choose();
    let command = if lang::is_chinese() {
        lang::help::chinese(command())
    } else {
        command()
    };
    Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM, SIGINT or SIGQUIT.
    Serve(ConfigDir),
    /// Bring the database to this version's schema, then end; serve does it by itself.
    Migrate(ConfigDir),
    /// Show the main job on a generated city: PostgreSQL, PKI and counterparts included.
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoOptions),
    /// Check, test, list and scaffold adapters.
    #[command(subcommand)]
    Adapter(adapter::AdapterCommand),
    /// Where a receipt, line or packet came from and went to; an employer's lines; a delivery.
    Trace(trace::TraceOptions),
    /// The packets of a day, and what became of them.
    Packets(packets::PacketsOptions),
    /// What waits for partners, and when the last of it will have gone.
    Waiting(waiting::WaitingOptions),
    /// The sums that must agree: receipts, journal, lines, and what each partner was told.
    Sums(sums::SumsOptions),
    /// Ask that deliveries which wait count as delivered, because the partner has them.
    MarkDelivered(approval::MarkDelivered),
    /// What one person asked for and another decides.
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    /// Tell a destination of the whole registry, behind live changes and under its limits.
    Backfill(backfill::BackfillOptions),
    /// A month's deductions from personal accounts: plan, approve, run, look.
    #[command(subcommand)]
    Deduct(deduct::DeductCommand),
    /// Deliveries that need a person.
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Where deliveries go, and what is paused.
    #[command(subcommand)]
    Destinations(destinations::DestinationsCommand),
    /// Check everything that can be checked before serving.
    Doctor(ConfigDir),
    /// Certificates for trials.
    #[cfg(feature = "sandbox")]
    #[command(subcommand)]
    Pki(pki::PkiCommand),
}

/// Where the configuration is.
#[derive(Debug, Clone, clap::Args)]
struct ConfigDir {
    /// Folder with gateway.toml and partners.toml.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

/// What a command failed with.
enum Failure {
    Fault(Fault),
    Findings(Vec<Finding>),
    /// The command has said it already.
    Said,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Fault(fault)
    }
}

impl From<Vec<Finding>> for Failure {
    fn from(findings: Vec<Finding>) -> Failure {
        Failure::Findings(findings)
    }
}

type Done = Result<(), Failure>;

/// Runs the command line and says how it went.
pub fn main() -> ExitCode {
    let arguments = arguments();
    crate::link::install_provider();
    crate::telemetry::quiet_panics();
    if let Err(fault) = cores::off() {
        problem(&format!("ltcgw: {fault}"));
        return ExitCode::FAILURE;
    }
    let done = match arguments.command {
        Command::Serve(dir) => wait(serve::run(&dir.config)),
        Command::Migrate(dir) => wait(serve::migrate(&dir.config)),
        #[cfg(feature = "sandbox")]
        Command::Demo(options) => wait(demo::run(&options)),
        Command::Adapter(command) => adapter::run(&command),
        Command::Trace(options) => wait(trace::run(&options)),
        Command::Packets(options) => wait(packets::run(&options)),
        Command::Waiting(options) => wait(waiting::run(&options)),
        Command::Sums(options) => wait(sums::run(&options)),
        Command::MarkDelivered(options) => wait(approval::mark_delivered(&options)),
        Command::Approval(command) => wait(approval::run(&command)),
        Command::Backfill(options) => wait(backfill::run(&options)),
        Command::Deduct(command) => wait(deduct::run(&command)),
        Command::Dead(command) => wait(dead::run(&command)),
        Command::Destinations(command) => wait(destinations::run(&command)),
        Command::Doctor(dir) => wait(doctor::run(&dir.config)),
        #[cfg(feature = "sandbox")]
        Command::Pki(command) => pki::run(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match failure {
                Failure::Fault(fault) => {
                    problem(&format!("ltcgw: {}", lang::said(&fault.to_string())))
                }
                Failure::Findings(findings) => {
                    for finding in &findings {
                        problem(&finding.to_string());
                    }
                    eprintln!(
                        "ltcgw: {} problem{} found",
                        findings.len(),
                        if findings.len() == 1 { "" } else { "s" }
                    );
                }
                Failure::Said => {}
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints a problem to standard error; on a terminal in lines of its width, elsewhere as one line, as compilers do.
fn problem(text: &str) {
    use std::io::IsTerminal;
    let text = &*escaped_lines(text);
    if std::io::stderr().is_terminal() {
        text.lines()
            .for_each(|line| eprint!("{}", table::prose("", line, "    ", terminal::columns())));
    } else {
        eprintln!("{text}");
    }
}

/// Prints to standard output; that nobody reads any more is no failure.
fn say(text: impl std::fmt::Display) {
    use std::io::Write;
    let text = text.to_string();
    let text = escaped_lines(&text);
    let written = crate::telemetry::bars().suspend(|| {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    });
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("ltcgw: standard output cannot be written: {error}")
        }
        _ => {}
    }
}

/// Runs a command that waits for the network or the database.
fn wait(command: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => actix_web::rt::System::with_tokio_rt(|| runtime).block_on(command),
        Err(error) => Err(Fault::operator(
            crate::error::Stage::Config,
            format!("the runtime cannot start: {error}"),
        )
        .into()),
    }
}
