//! What `ltcgw adapter check`, `test` and `list` do, as functions.

use std::path::Path;

use super::catalog::{Adapter, Catalog, folders, in_order};
use super::outbound::Disclosure;
use super::sample::{self, SampleReport};
use crate::error::Finding;

/// Checks the adapters of `dir` (all, or those named) without running a sample.
pub fn check(dir: &Path, names: &[String]) -> Vec<Finding> {
    match folders(dir, names) {
        Err(finding) => vec![finding],
        Ok(folders) => in_order(
            folders
                .iter()
                .filter_map(|folder| Adapter::load(folder).err())
                .flatten()
                .collect(),
        ),
    }
}

/// Checks the adapters of `dir` (all, or those named) and runs their samples; `bless` writes
/// expected files instead of comparing with them.
pub fn test(dir: &Path, names: &[String], bless: bool) -> SampleReport {
    let mut report = SampleReport::default();
    match folders(dir, names) {
        Err(finding) => report.findings.push(finding),
        Ok(folders) => {
            for folder in folders {
                match Adapter::load(&folder) {
                    Ok(adapter) => report.add(sample::run(&adapter, bless)),
                    Err(findings) => report.findings.extend(findings),
                }
            }
        }
    }
    report
}

/// Everything the adapters speak: adapter, direction, message, format, where, notes.
pub fn list(catalog: &Catalog) -> Vec<[String; 6]> {
    catalog
        .iter()
        .flat_map(|adapter| inbound(adapter).chain(outgoing(adapter)))
        .collect()
}

fn inbound(adapter: &Adapter) -> impl Iterator<Item = [String; 6]> + '_ {
    adapter.endpoints().iter().flat_map(move |endpoint| {
        endpoint.inbounds().map(move |inbound| {
            [
                adapter.name().to_string(),
                "in".to_string(),
                inbound.message().name.to_string(),
                format!(
                    "{} ({})",
                    endpoint.format().word(),
                    endpoint.encoding().word()
                ),
                endpoint.name().to_string(),
                inbound
                    .packet_type()
                    .map_or_else(String::new, |word| format!("type {word}")),
            ]
        })
    })
}

fn outgoing(adapter: &Adapter) -> impl Iterator<Item = [String; 6]> + '_ {
    let messages = adapter.outbounds().iter().map(move |outbound| {
        let mut notes = vec![format!("up to {} records", outbound.records_max())];
        notes.extend(outbound.infno().map(|infno| format!("transaction {infno}")));
        notes.extend(
            Some(outbound.secrets_needed().join(", "))
                .filter(|names| !names.is_empty())
                .map(|names| format!("signed with {names}")),
        );
        notes.extend(outbound.idempotent().then(|| "idempotent".to_string()));
        notes.extend(outbound.disclosure().map(told));
        notes.extend(
            outbound
                .judged_by_record()
                .then(|| "answered record by record".to_string()),
        );
        notes.extend(
            outbound
                .inquiry()
                .map(|inquiry| format!("asked about by {inquiry}")),
        );
        let place = adapter.place(outbound.message());
        let form = place
            .and_then(|place| place.template.rsplit_once('.'))
            .map_or("", |(_, form)| form)
            .to_string();
        let target = place.map_or_else(String::new, |place| {
            format!("{} {}", place.method, place.path)
        });
        [
            adapter.name().to_string(),
            "out".to_string(),
            outbound.message().to_string(),
            form,
            target,
            notes.join("; "),
        ]
    });
    let documents = adapter.documents().iter().map(move |document| {
        let form = document
            .content_type()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim_start_matches("application/")
            .to_string();
        [
            adapter.name().to_string(),
            "reply".to_string(),
            document.name().to_string(),
            form,
            String::new(),
            String::new(),
        ]
    });
    messages.chain(documents)
}

/// Which entries, for what purpose, and what of them.
fn told(disclosure: &Disclosure) -> String {
    let only = disclosure
        .only
        .iter()
        .map(|(field, words)| format!("{field} {}", words.join(" or ")));
    let only: Vec<String> = only.collect();
    let which = if only.is_empty() {
        String::new()
    } else {
        format!(" ({})", only.join(", "))
    };
    let fields: Vec<String> = disclosure.fields().collect();
    format!(
        "tells of every {}{which} for {}: {}",
        disclosure.kind,
        disclosure.purpose,
        fields.join(", ")
    )
}
