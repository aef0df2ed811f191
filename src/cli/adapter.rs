//! `ltcgw adapter`: check, test, list and scaffold adapter folders.

use std::path::PathBuf;

use super::table::{Table, prose, width};
use super::{Done, Failure, terminal};
use crate::adapter;
use crate::adapter::template::filters::FILTERS;

/// Check, test, list and scaffold adapters.
#[derive(Debug, clap::Subcommand)]
pub enum AdapterCommand {
    /// Check folders as a compiler would; touches nothing outside.
    Check(Folders),
    /// Check folders and run their samples.
    Test {
        #[command(flatten)]
        folders: Folders,
        /// Write expected files that are missing or differ: look at the difference before committing it.
        #[arg(long)]
        bless: bool,
    },
    /// List what the adapters speak.
    List {
        /// Folder of the adapters.
        #[arg(long, value_name = "DIR", default_value = "adapters")]
        dir: PathBuf,
    },
    /// Make a folder that passes check and test, to start from.
    New {
        /// Kebab-case name of the system.
        name: String,
        #[arg(long, value_name = "DIR", default_value = "adapters")]
        dir: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub struct Folders {
    /// Adapters; all when none is named.
    names: Vec<String>,
    /// Folder of the adapters.
    #[arg(long, value_name = "DIR", default_value = "adapters")]
    dir: PathBuf,
}

pub(super) fn run(command: &AdapterCommand) -> Done {
    match command {
        AdapterCommand::Check(Folders { names, dir }) => {
            let findings = adapter::check(dir, names);
            if !findings.is_empty() {
                return Err(Failure::Findings(findings));
            }
            println!("no problem found");
        }
        AdapterCommand::Test {
            folders: Folders { names, dir },
            bless,
        } => {
            let report = adapter::test(dir, names, *bless);
            for written in &report.blessed {
                let says = if written.says.is_empty() {
                    String::new()
                } else {
                    format!(": {}", written.says)
                };
                println!("written: {}{says}", written.path.display());
            }
            println!(
                "{} samples passed, {} written, {} failed",
                report.passed,
                report.blessed.len(),
                report.findings.len()
            );
            if !report.findings.is_empty() {
                return Err(Failure::Findings(report.findings));
            }
        }
        AdapterCommand::List { dir } => {
            let catalog = adapter::Catalog::load(dir)?;
            print!("{}", listed(&adapter::list(&catalog)));
        }
        AdapterCommand::New { name, dir } => {
            for path in adapter::scaffold(dir, name).map_err(|finding| vec![finding])? {
                println!("{}", path.display());
            }
        }
    }
    Ok(())
}

/// What each adapter speaks, and the filters its templates may use.
fn listed(rows: &[[String; 6]]) -> String {
    let mut text = String::new();
    for of_one in rows.chunk_by(|one, other| one[0] == other[0]) {
        text += &format!("\n{}\n", of_one[0][0]);
        let mut table = Table::new(&["", "message", "format", "where, and notes"]);
        for [_, direction, message, format, place, notes] in of_one {
            let both: Vec<&str> = [place.as_str(), notes.as_str()]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            table.row([
                direction.clone(),
                message.clone(),
                format.clone(),
                both.join("; "),
            ]);
        }
        text += &table.render();
    }
    text += "\nfilters of templates\n";
    let longest = FILTERS
        .iter()
        .map(|(name, _)| width(name))
        .max()
        .unwrap_or(0);
    for (name, does) in FILTERS {
        text += &prose(
            &format!("  {name:longest$}  "),
            does,
            &" ".repeat(longest + 4),
            terminal::columns(),
        );
    }
    text
}
