//! Pooling areas: of each that may come, are there rates, and is somebody told of both funds? Where the
//! rates say that accounts pay, is there a core to deduct, and somebody who is told?

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::DoctorSheet;
use crate::adapter::Catalog;
use crate::config::Config;
use crate::flow::clock::CityClock;
use crate::flow::deduct::{Core, DeductionPartners};
use crate::flow::transfer::{DEDUCTION_RESULTS, DEDUCTIONS};
use crate::ledger::{Fund, RateBook};
use crate::model::records::employer_collection;
use crate::model::{Division, Month};

pub(super) fn look(sheet: &mut DoctorSheet, config: &Config, catalog: &Catalog, book: &RateBook) {
    let mut sound = Vec::new();
    for (area, adapters) in expected(config, catalog) {
        let known = format!(
            "pooling area {area}, known to {}",
            adapters.into_iter().collect::<Vec<_>>().join(", ")
        );
        let Some(funds) = funds(book, &area) else {
            let todo = format!(
                "write config/rates/{area}-<city>.toml, or take the area out of the code tables"
            );
            sheet.bad(
                "areas",
                format!("{known}: has no rate of employers; every line of it is refused"),
                todo,
            );
            continue;
        };
        let untold: Vec<&str> = funds
            .into_iter()
            .filter(|fund| !told(config, catalog, &area, *fund))
            .map(Fund::word)
            .collect();
        if untold.is_empty() {
            sound.push(area);
        } else {
            let todo = "add it to `areas` of the partners there in partners.toml, or take it out of the code tables";
            sheet.bad(
                "areas",
                format!(
                    "{known}: nobody is told of its {} fund; every line of it is refused",
                    untold.join(" and its ")
                ),
                todo,
            );
        }
    }
    if !sound.is_empty() {
        sheet.good(
            "areas",
            format!(
                "{}: rates, and somebody is told of each fund",
                sound.join(", ")
            ),
        );
    }
    for partner in &config.partners {
        for area in partner
            .outbound
            .iter()
            .flat_map(|outbound| &outbound.areas)
            .filter(|area| !book.areas().any(|known| known == area.as_str()))
        {
            let todo = format!("write config/rates/{area}-<city>.toml, or mend the number");
            sheet.note(
                "areas",
                format!(
                    "partner {} is told of pooling area {area}, which has no rates",
                    partner.name
                ),
                todo,
            );
        }
    }
}

/// Of each area where the rates say that accounts pay: who deducts, and who is told of it?
pub(super) fn deductions(
    sheet: &mut DoctorSheet,
    config: &Config,
    catalog: &Catalog,
    book: &RateBook,
) {
    let Some(now) = Month::of(CityClock::default().today()) else {
        return;
    };
    let partners = DeductionPartners::of(&config.partners, catalog);
    let served = |area: &str| {
        config
            .partners
            .iter()
            .filter_map(|partner| partner.outbound.as_ref())
            .any(|entry| entry.areas.iter().any(|known| known == area))
    };
    let (mut sound, mut elsewhere) = (Vec::new(), Vec::new());
    for area in book
        .areas()
        .filter(|area| Division::parse(area).is_some_and(|area| book.deducts(area, now)))
    {
        let number = area.parse().unwrap_or_default();
        let core = partners
            .core_of(number)
            .map(|core: &Core| core.receiver.destination.as_str());
        let told: Vec<String> = partners
            .told_of(number)
            .into_iter()
            .map(|(partner, _)| partner)
            .collect();
        let missing = |message: &str, who: &str| {
            format!(
                "add it to `areas` of its {who} in partners.toml, with \"{message}\" in `receives`"
            )
        };
        match (core, told.as_slice()) {
            (Some(core), [_, ..]) => {
                sound.push(format!("{area} ({core}; told: {})", told.join(", ")))
            }
            (None, []) if !served(area) => elsewhere.push(area),
            (None, []) => {
                let text = format!(
                    "pooling area {area}: accounts pay by its rates, but nobody is asked to deduct there and nobody is told of it; no month can be planned"
                );
                let todo = format!(
                    "{}; or leave it, where deductions do not go through this gateway",
                    missing(DEDUCTIONS, "medical core")
                );
                sheet.note("deductions", text, todo);
            }
            (None, [_, ..]) => {
                let text = format!(
                    "pooling area {area}: {} is told of results, but nobody is asked to deduct there; no month can be planned",
                    told.join(", ")
                );
                sheet.note("deductions", text, missing(DEDUCTIONS, "medical core"));
            }
            (Some(core), []) => {
                let text = format!(
                    "pooling area {area}: {core} is asked to deduct there, but nobody is told of results; no month can be planned"
                );
                sheet.bad("deductions", text, missing(DEDUCTION_RESULTS, "LTC system"));
            }
        }
    }
    let nowhere = format!("in no partner's `areas`: {}", elsewhere.join(", "));
    match (sound.is_empty(), elsewhere.is_empty()) {
        (true, true) => {}
        (false, true) => sheet.good("deductions", sound.join("; ")),
        (false, false) => sheet.good("deductions", format!("{}; {nowhere}", sound.join("; "))),
        (true, false) => sheet.note("deductions", nowhere, "nobody deducts there; add the area to its medical core and LTC system, where it is served"),
    }
}

/// Areas in the code tables of whoever may send payments, with those adapters.
fn expected(config: &Config, catalog: &Catalog) -> BTreeMap<String, BTreeSet<String>> {
    let mut areas: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let senders = config
        .partners
        .iter()
        .filter(|partner| partner.inbound.is_some());
    for adapter in senders.filter_map(|partner| catalog.get(&partner.adapter)) {
        let messages = adapter
            .endpoints()
            .iter()
            .flat_map(|endpoint| endpoint.inbounds());
        for inbound in
            messages.filter(|inbound| inbound.message().name == employer_collection::SPEC.name)
        {
            for area in inbound.codes_of(employer_collection::POOLING_AREA) {
                areas
                    .entry(area.to_string())
                    .or_default()
                    .insert(adapter.name().to_string());
            }
        }
    }
    areas
}

/// The funds an employer's payment for this month goes to; `None` where the area has no rate of employers.
fn funds(book: &RateBook, area: &str) -> Option<Vec<Fund>> {
    let this = Month::of(jiff::Zoned::now().date())?;
    let rate = book.employer(Division::parse(area)?, this)?;
    Some(
        rate.parts()
            .filter(|(_, part)| *part > 0)
            .map(|(fund, _)| fund)
            .collect(),
    )
}

fn told(config: &Config, catalog: &Catalog, area: &str, fund: Fund) -> bool {
    config.partners.iter().any(|partner| {
        let Some(outbound) = partner
            .outbound
            .as_ref()
            .filter(|outbound| outbound.areas.iter().any(|known| known == area))
        else {
            return false;
        };
        let Some(adapter) = catalog.get(&partner.adapter) else {
            return false;
        };
        outbound
            .receives
            .iter()
            .filter_map(|message| adapter.outbound(message))
            .any(|message| message.fund() == Some(fund.word()))
    })
}
