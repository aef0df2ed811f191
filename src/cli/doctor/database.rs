//! PostgreSQL: can it be reached or started, is it new enough, which schema is in it.

use super::sheet::DoctorSheet;
use crate::cli::deduct::show;
use crate::config::Config;
use crate::flow::destinations;
use crate::service;
use crate::store::DatabaseAccess;
use crate::store::embedded::EmbeddedPostgres;
use crate::store::inspect::{self, DatabaseFacts, Schema, left_out_without_base};

pub(super) async fn look(sheet: &mut DoctorSheet, config: &Config) {
    let given = config.gateway.database.url.is_some();
    let connection = match service::beside(config) {
        Ok(connection) => connection,
        Err(fault) if given => return sheet.bad("database", fault.text, ""),
        Err(_) => return embedded(sheet, config),
    };
    match inspect::inspect(&connection).await {
        Ok(found) => {
            let whose = if given {
                "the server at [database] url"
            } else {
                "the embedded server of a gateway that runs now"
            };
            answers(sheet, &found, whose);
            if matches!(found.schema, Schema::Current { .. }) {
                without_base(sheet, &connection).await;
                paused(sheet, &connection).await;
            }
        }
        Err(fault) if given => sheet.bad("database", fault.text, ""),
        // A socket without a server: left by a gateway that was killed.
        Err(_) => embedded(sheet, config),
    }
}

/// People the last plan of an area left out because nobody knows the base their rate is about.
async fn without_base(sheet: &mut DoctorSheet, connection: &DatabaseAccess) {
    match left_out_without_base(connection).await {
        Err(fault) => sheet.bad("rosters", fault.text, ""),
        Ok(found) => {
            for left in found {
                let (reason, _) = show::reason(&left.reason);
                let text = format!(
                    "the deductions of {:06} for {} leave out {} people ({}): {reason}",
                    left.area, left.month, left.people, left.reason
                );
                sheet.note("rosters", text, "have it added to the roster or the rate file; `ltcgw deduct report` lists the people");
            }
        }
    }
}

/// Destinations nothing goes to for the time being, and what was said.
async fn paused(sheet: &mut DoctorSheet, connection: &DatabaseAccess) {
    match inspect::paused(connection).await {
        Ok(standings) => {
            for standing in standings {
                let said = standing
                    .answer
                    .as_deref()
                    .filter(|answer| !answer.is_empty())
                    .map_or_else(String::new, |answer| format!("; it said: {answer}"));
                let text = format!("{}{said}", destinations::state(&standing));
                let todo = "it is tried by itself; once the cause is mended, `ltcgw destinations resume` makes it sooner";
                sheet.note(&format!("destination {}", standing.destination), text, todo);
            }
        }
        Err(fault) => sheet.bad("destinations", fault.text, ""),
    }
}

/// No server runs: would one?
fn embedded(sheet: &mut DoctorSheet, config: &Config) {
    let dir = config.gateway.data_dir.join("postgres");
    match EmbeddedPostgres::prospect(&dir) {
        Err(fault) => sheet.bad("database", fault.text, ""),
        Ok(found) => {
            let cluster = if found.has_cluster {
                "starts on its data"
            } else {
                "makes its data"
            };
            sheet.good(
                "database",
                format!(
                    "embedded PostgreSQL {} from {} {cluster} in {}",
                    found.major,
                    found.binaries.display(),
                    dir.display()
                ),
            );
        }
    }
}

fn answers(sheet: &mut DoctorSheet, found: &DatabaseFacts, whose: &str) {
    let server = format!("PostgreSQL {}, {whose}", found.major);
    for trouble in &found.troubles {
        if trouble.grave {
            sheet.bad("database", &trouble.text, &trouble.advice);
        } else {
            sheet.note("database", &trouble.text, &trouble.advice);
        }
    }
    if found.refuse().is_err() && !matches!(found.schema, Schema::Foreign { .. }) {
        return;
    }
    match found.schema {
        Schema::Absent => sheet.good(
            "database",
            format!("{server}: no schema yet, made at the first start"),
        ),
        Schema::Current { has } => {
            sheet.good("database", format!("{server}: schema {has}, up to date"))
        }
        Schema::Older { has, needs } => {
            sheet.note(
                "database",
                format!("{server}: schema {has}; the next start brings it to {needs}"),
                "back it up first; ltcgw migrate does it alone",
            );
        }
        Schema::Foreign { has, needs } => {
            sheet.bad(
                "database",
                format!("{server}: {}", inspect::foreign(has, needs)),
                "",
            );
        }
    }
}
