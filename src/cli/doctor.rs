//! `ltcgw doctor`: everything that can be checked before serving, on one screen.
//!
//! Reads files, asks the database and shows partners our certificate; changes nothing, not even the
//! database's schema. Each line says what was looked at, what was found and, unless it is in order,
//! what to do.

use std::path::Path;

use super::{Done, Failure};
use crate::adapter::Catalog;
use crate::config::Config;
use crate::error::Finding;
use crate::flow::clock::CityClock;
use crate::ledger::RateBook;
use crate::model::Month;
use crate::registry::RegistryRules;
use crate::store::sealed::Keys;

mod areas; // pooling areas: rates, and who is told
mod certificates; // ours, our authorities', the revocation list
mod database; // PostgreSQL and its schema
mod machine; // addresses, folders, disks
mod partners; // entries, and who answers at the other end
mod sheet; // the lines and how they are shown

use sheet::DoctorSheet;

/// Findings of one kind shown at most; the rest is counted.
const FINDINGS_MAX: usize = 8;

pub(super) async fn run(dir: &Path) -> Done {
    let sheet = examine(dir).await;
    print!("{}", sheet.render());
    if sheet.failed() {
        Err(Failure::Said)
    } else {
        Ok(())
    }
}

/// Looks at everything a configuration names.
async fn examine(dir: &Path) -> DoctorSheet {
    let mut sheet = DoctorSheet::default();
    let config = match Config::load(dir) {
        Ok(config) => config,
        Err(findings) => {
            report(
                &mut sheet,
                "config",
                &findings,
                "mend these first: everything else depends on them",
            );
            return sheet;
        }
    };
    sheet.good(
        "config",
        format!("{}: {} partners", dir.display(), config.partners.len()),
    );
    let book = rates(&mut sheet, &config);
    registries(&mut sheet, &config);
    let catalog = adapters(&mut sheet, &config);
    certificates::look(&mut sheet, &config);
    approval(&mut sheet, &config);
    machine::look(&mut sheet, &config).await;
    database::look(&mut sheet, &config).await;
    if let Some(catalog) = catalog {
        if let Some(book) = book {
            areas::look(&mut sheet, &config, &catalog, &book);
            areas::deductions(&mut sheet, &config, &catalog, &book);
        }
        partners::look(&mut sheet, &config, &catalog).await;
    }
    sheet
}

fn rates(sheet: &mut DoctorSheet, config: &Config) -> Option<RateBook> {
    match RateBook::load(&config.gateway.rates_dir) {
        Err(findings) => {
            report(sheet, "rates", &findings, "");
            None
        }
        Ok(book) => {
            sheet.good(
                "rates",
                format!(
                    "pooling areas {}",
                    book.areas().collect::<Vec<_>>().join(", ")
                ),
            );
            for (rule, key, year) in Month::of(CityClock::default().today())
                .map(|now| book.without_average(now))
                .unwrap_or_default()
            {
                let text = format!(
                    "{rule} needs the {key} of {year}, which its rate file lacks: its people are left out of deductions"
                );
                sheet.note("rates", text, format!("add `{year} = \"…\"` (yuan a month) under [{key}], then restart the gateway"));
            }
            let open = book.open_choices();
            let rules = |area: &str| {
                open.iter()
                    .filter(|(rule, _)| rule.split('/').next() == Some(area))
                    .count()
            };
            let areas: Vec<String> = book
                .areas()
                .map(|area| (area, rules(area)))
                .filter(|(_, rules)| *rules > 0)
                .map(|(area, rules)| format!("{area} ({rules})"))
                .collect();
            if !areas.is_empty() {
                let text = format!(
                    "rules with values that no source confirms: {}; their key `open` lists them",
                    areas.join(", ")
                );
                sheet.note(
                    "rates",
                    text,
                    "confirm those of your areas before going live, then take them out of `open`",
                );
            }
            Some(book)
        }
    }
}

/// Whether a second person can be shown to have looked at a month's deductions.
fn approval(sheet: &mut DoctorSheet, config: &Config) {
    let login = super::login::of_this_process();
    if config.gateway.approval.same_login {
        let text = "[approval] same_login = true: one person can plan and approve under two names";
        sheet.note(
            "approval",
            text,
            "take the line out of gateway.toml before real money is moved",
        );
    } else if let Some(login) = login {
        sheet.good(
            "approval",
            format!("plan and approval need two logins of this system; this session's is {login}"),
        );
    } else {
        let text = "plan and approval need two logins of this system, and this session shows none: nobody can plan or approve from it";
        sheet.note(
            "approval",
            text,
            "work from a session of your own: ssh, console, or sudo from it",
        );
    }
}

fn registries(sheet: &mut DoctorSheet, config: &Config) {
    match RegistryRules::load(&config.gateway.rules_dir) {
        Ok(rules) => sheet.good(
            "rules",
            format!(
                "pooling areas {}",
                rules.areas().collect::<Vec<_>>().join(", ")
            ),
        ),
        Err(findings) => report(sheet, "rules", &findings, ""),
    }
    certificates::readers(sheet, "privacy key", &config.gateway.privacy.key_file);
    match Keys::load(&config.gateway.privacy.key_file) {
        Ok(_) => sheet.good(
            "privacy key",
            format!(
                "{}: good; keep a copy apart from the database's backups",
                config.gateway.privacy.key_file.display()
            ),
        ),
        Err(fault) => sheet.bad(
            "privacy key",
            fault.text,
            "personal data cannot be sealed or opened without it",
        ),
    }
}

fn adapters(sheet: &mut DoctorSheet, config: &Config) -> Option<Catalog> {
    match Catalog::load(&config.gateway.adapters_dir) {
        Ok(catalog) => {
            let names: Vec<&str> = catalog.iter().map(|adapter| adapter.name()).collect();
            sheet.good(
                "adapters",
                format!("{}; checked, samples pass", names.join(", ")),
            );
            Some(catalog)
        }
        Err(findings) => {
            report(
                sheet,
                "adapters",
                &findings,
                "mend them (`ltcgw adapter test` says the same); no partner can be checked without",
            );
            None
        }
    }
}

/// A line for each finding, up to a screenful.
fn report(sheet: &mut DoctorSheet, what: &str, findings: &[Finding], todo: &str) {
    let more = findings.len().saturating_sub(FINDINGS_MAX);
    for (at, finding) in findings.iter().take(FINDINGS_MAX).enumerate() {
        let last = at + 1 == findings.len().min(FINDINGS_MAX);
        let todo = match (last, more) {
            (false, _) => String::new(),
            (true, 0) => todo.to_string(),
            (true, more) => format!("{more} more like these; {todo}"),
        };
        sheet.bad(what, finding.to_string(), todo);
    }
}

/// Days from now; negative when past.
fn days_until(at: jiff::Timestamp) -> i64 {
    (at.as_second() - jiff::Timestamp::now().as_second()).div_euclid(86_400)
}
