//! Who takes part in a month's deductions: the core that is asked to deduct in a pooling area, and the
//! LTC systems that are told what became of it.
//!
//! Reads partners' entries, nothing else. That no area has two cores is seen to where they are read.

use super::{DeductionRefusal, Of, refusal};
use crate::adapter::{Catalog, OutboundMessage};
use crate::config::{self, DestinationLimits, Partner};
use crate::flow::transfer::DEDUCTION_RESULTS;
use crate::model::deduction::MESSAGE;
use crate::store::deduction::Receiver;

/// People one request carries where neither the partner's entry nor the adapter says.
const PEOPLE_MAX: u32 = 500;

/// Who is asked to deduct, in which pooling areas, and what it takes at most.
#[derive(Debug, Clone)]
pub struct Core {
    pub areas: Vec<i32>,
    pub receiver: Receiver,
    pub limits: DestinationLimits,
}

/// Who is told of results, and of which pooling areas.
#[derive(Debug, Clone)]
struct ToldOfResults {
    partner: String,
    areas: Vec<i32>,
}

/// Everybody who takes part in deductions, by pooling area.
#[derive(Debug, Clone, Default)]
pub struct DeductionPartners {
    cores: Vec<Core>,
    told: Vec<ToldOfResults>,
}

impl DeductionPartners {
    /// The partners that receive deductions, and those that receive their results.
    pub fn of(partners: &[Partner], catalog: &Catalog) -> DeductionPartners {
        let entries = || {
            partners
                .iter()
                .filter_map(|partner| Some((partner, partner.outbound.as_ref()?)))
        };
        let cores = entries()
            .filter(|(_, entry)| entry.is_told(MESSAGE))
            .map(|(partner, entry)| core_of(partner, entry, catalog));
        let told = entries().filter(|(_, entry)| entry.is_told(DEDUCTION_RESULTS));
        let told = told.map(|(partner, entry)| ToldOfResults {
            partner: partner.name.clone(),
            areas: entry.area_numbers(),
        });
        DeductionPartners {
            cores: cores.collect(),
            told: told.collect(),
        }
    }

    /// The medical core of a pooling area.
    pub fn core_of(&self, area: i32) -> Option<&Core> {
        self.cores.iter().find(|core| core.areas.contains(&area))
    }

    /// Whom the results of a pooling area go to, each with the message.
    pub fn told_of(&self, area: i32) -> Vec<(String, String)> {
        let told = self.told.iter().filter(|told| told.areas.contains(&area));
        told.map(|told| (told.partner.clone(), DEDUCTION_RESULTS.to_owned()))
            .collect()
    }

    /// Everybody who is told of results of any area.
    pub fn everybody_told(&self) -> impl Iterator<Item = &String> {
        self.told.iter().map(|told| &told.partner)
    }

    /// Whether a partner may be sent deductions or results of a pooling area.
    pub fn takes(&self, partner: &str, message: &str, area: i32) -> bool {
        let core = || {
            self.core_of(area)
                .is_some_and(|core| core.receiver.destination == partner)
        };
        let told = || {
            self.told
                .iter()
                .any(|told| told.partner == partner && told.areas.contains(&area))
        };
        match message {
            MESSAGE => core(),
            DEDUCTION_RESULTS => told(),
            _ => false,
        }
    }

    /// The core a cycle goes to, if somebody is told what it does: money that nobody hears of would be lost sight of.
    ///
    /// # Errors
    /// No core is configured for the area, or nobody is told of its results.
    pub fn core(&self, of: Of) -> Result<&Core, DeductionRefusal> {
        let core = self.core_of(of.area).ok_or_else(|| refusal::no_core(of))?;
        if self.told_of(of.area).is_empty() {
            Err(refusal::nobody_told(of))
        } else {
            Ok(core)
        }
    }
}

fn core_of(partner: &Partner, entry: &config::OutboundEntry, catalog: &Catalog) -> Core {
    let limits = entry.limits.clone();
    let most = catalog
        .get(&partner.adapter)
        .and_then(|adapter| adapter.outbound(MESSAGE))
        .map(OutboundMessage::records_max);
    let people_max = limits
        .records_per_request
        .unwrap_or_else(|| most.unwrap_or(PEOPLE_MAX))
        .min(most.unwrap_or(u32::MAX))
        .max(1);
    let receiver = Receiver {
        destination: partner.name.clone(),
        message: MESSAGE.to_owned(),
        people_max,
    };
    Core {
        areas: entry.area_numbers(),
        receiver,
        limits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Month;

    fn core(name: &str, area: i32) -> Core {
        let receiver = Receiver {
            destination: name.into(),
            message: MESSAGE.into(),
            people_max: 500,
        };
        Core {
            areas: vec![area],
            receiver,
            limits: DestinationLimits::per_second(1),
        }
    }

    fn two_cities() -> DeductionPartners {
        let told = ToldOfResults {
            partner: "ltc".into(),
            areas: vec![450_100],
        };
        DeductionPartners {
            cores: vec![core("nanning", 450_100), core("chengdu", 510_100)],
            told: vec![told],
        }
    }

    fn of(area: i32) -> Of {
        Of {
            area,
            month: Month::parse("202110").unwrap(),
        }
    }

    #[test]
    fn a_cycle_goes_to_the_core_of_its_area() {
        let partners = two_cities();
        assert_eq!(
            partners
                .core(of(450_100))
                .expect("a core")
                .receiver
                .destination,
            "nanning"
        );
        assert_eq!(
            partners
                .core_of(510_100)
                .expect("a core")
                .receiver
                .destination,
            "chengdu"
        );
    }

    #[test]
    fn an_area_without_a_core_or_without_anybody_told_is_refused_with_what_to_add() {
        let partners = two_cities();
        let text = |area| partners.core(of(area)).expect_err("a refusal").fault.text;
        let no_core = text(460_000);
        assert!(
            no_core.contains("pooling area 460000")
                && no_core.contains("partners.toml")
                && no_core.contains("\"deductions\""),
            "{no_core}"
        );
        let untold = text(510_100);
        assert!(
            untold.contains("pooling area 510100") && untold.contains("\"deduction_results\""),
            "{untold}"
        );
    }

    #[test]
    fn nobody_is_sent_what_is_of_another_area_or_meant_for_somebody_else() {
        let partners = two_cities();
        for (partner, message, area, expected) in [
            ("nanning", MESSAGE, 450_100, true),
            ("nanning", MESSAGE, 510_100, false),
            ("chengdu", MESSAGE, 450_100, false),
            ("nanning", DEDUCTION_RESULTS, 450_100, false),
            ("ltc", DEDUCTION_RESULTS, 450_100, true),
            ("ltc", DEDUCTION_RESULTS, 510_100, false),
            ("ltc", MESSAGE, 450_100, false),
        ] {
            assert_eq!(
                partners.takes(partner, message, area),
                expected,
                "{partner} {message} {area}"
            );
        }
    }
}
