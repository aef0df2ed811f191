//! Pooling areas: of each that may come, are there rates, and is somebody told of both funds?

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::Sheet;
use crate::adapter::Catalog;
use crate::config::Config;
use crate::ledger::{Fund, RateBook};
use crate::model::Month;
use crate::model::records::employer_collection;

pub(super) fn look(sheet: &mut Sheet, config: &Config, catalog: &Catalog, book: &RateBook) {
    let mut sound = Vec::new();
    for (area, adapters) in expected(config, catalog) {
        let known = format!("pooling area {area}, known to {}", adapters.into_iter().collect::<Vec<_>>().join(", "));
        let Some(funds) = funds(book, &area) else {
            let todo = format!("write config/rates/{area}-<city>.toml, or take the area out of the code tables");
            sheet.bad("areas", format!("{known}: has no rate of employers; every line of it is refused"), todo);
            continue;
        };
        let untold: Vec<&str> = funds.into_iter().filter(|fund| !told(config, catalog, &area, *fund)).map(Fund::word).collect();
        if untold.is_empty() {
            sound.push(area);
        } else {
            let todo = "add it to `areas` of the partners there in partners.toml, or take it out of the code tables";
            sheet.bad("areas", format!("{known}: nobody is told of its {} fund; every line of it is refused", untold.join(" and its ")), todo);
        }
    }
    if !sound.is_empty() {
        sheet.good("areas", format!("{}: rates, and somebody is told of each fund", sound.join(", ")));
    }
    for partner in &config.partners {
        for area in partner.outbound.iter().flat_map(|outbound| &outbound.areas).filter(|area| !book.areas().any(|known| known == area.as_str())) {
            let todo = format!("write config/rates/{area}-<city>.toml, or mend the number");
            sheet.note("areas", format!("partner {} is told of pooling area {area}, which has no rates", partner.name), todo);
        }
    }
}

/// Areas in the code tables of whoever may send payments, with those adapters.
fn expected(config: &Config, catalog: &Catalog) -> BTreeMap<String, BTreeSet<String>> {
    let mut areas: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let senders = config.partners.iter().filter(|partner| partner.inbound.is_some());
    for adapter in senders.filter_map(|partner| catalog.get(&partner.adapter)) {
        let messages = adapter.endpoints().iter().flat_map(|endpoint| endpoint.inbounds());
        for inbound in messages.filter(|inbound| inbound.message().name == employer_collection::SPEC.name) {
            for area in inbound.codes_of(employer_collection::POOLING_AREA) {
                areas.entry(area.to_string()).or_default().insert(adapter.name().to_string());
            }
        }
    }
    areas
}

/// The funds an employer's payment for this month goes to; `None` where the area has no rate of employers.
fn funds(book: &RateBook, area: &str) -> Option<Vec<Fund>> {
    let this = Month::of(jiff::Zoned::now().date())?;
    let rate = book.employer(area, this)?;
    Some(rate.parts().filter(|(_, part)| *part > 0).map(|(fund, _)| fund).collect())
}

fn told(config: &Config, catalog: &Catalog, area: &str, fund: Fund) -> bool {
    config.partners.iter().any(|partner| {
        let Some(outbound) = partner.outbound.as_ref().filter(|outbound| outbound.areas.iter().any(|known| known == area)) else { return false };
        let Some(adapter) = catalog.get(&partner.adapter) else { return false };
        outbound.receives.iter().filter_map(|message| adapter.outbound(message)).any(|message| message.fund() == Some(fund.word()))
    })
}
