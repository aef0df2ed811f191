//! The figures of a run: what each holder of money says, and whether they agree.
//!
//! Compares and adds; the sums themselves come from the tax bureau's books, the ledger and the
//! simulated counterparts, none of which knows another.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::deductions;
use super::registries::ShownRegistries;
use super::theatre::{LTC_SYSTEM, MEDICAL_CORE, Theatre};
use super::watch::SentDeliveries;
use super::{Pushed, Seconds};
use crate::error::Fault;
use crate::sandbox::partners::{CallTally, ReceivedTotals};
use crate::sandbox::tax_bureau::BureauBooks;
use crate::store::delivery;

/// The message that carries collected money.
const CONTRIBUTIONS: &str = "contributions";

/// Money of one district by fund (fen).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Funds {
    pub medical: i64,
    pub long_term_care: i64,
}

impl Funds {
    pub fn both(&self) -> i64 {
        self.medical + self.long_term_care
    }
}

/// What a counterpart got and holds.
#[derive(Debug, Clone)]
pub(super) struct Counterpart {
    pub name: &'static str,
    pub holds: ReceivedTotals,
    pub tally: CallTally,
    pub seen: Option<SentDeliveries>,
    /// Deliveries, lines and fen queued for it, delivered or not.
    pub queued: (i64, i64, i64),
    pub delivered: i64,
    pub dead: i64,
}

/// Everything there is to show.
#[derive(Debug, Clone)]
pub(super) struct DemoFigures {
    /// The month's JFXX101 packets.
    pub month: BureauBooks,
    /// The JFXX102 packet.
    pub detail: BureauBooks,
    pub districts: BTreeMap<i32, Funds>,
    pub counterparts: [Counterpart; 2],
    pub registries: ShownRegistries,
    pub deductions: deductions::ShownDeductions,
    pub seconds: Seconds,
}

impl DemoFigures {
    pub async fn gather(
        theatre: &Theatre,
        pushed: Pushed,
        seconds: Seconds,
    ) -> Result<DemoFigures, Fault> {
        let Pushed {
            month,
            detail,
            deliveries,
            registries,
            deductions,
        } = pushed;
        let registries = registries.compare(theatre).await?;
        let store = &theatre.running()?.gateway.store;
        let mut districts: BTreeMap<i32, Funds> = BTreeMap::new();
        for (district, fund, fen) in store.collected().await? {
            let funds = districts.entry(district).or_default();
            match fund.as_str() {
                "medical" => funds.medical += fen.0,
                _ => funds.long_term_care += fen.0,
            }
        }
        let totals = delivery::totals(store.pool()).await?;
        let counterparts = theatre.counterparts()?;
        let counterpart =
            |name: &'static str, partner: &crate::sandbox::partners::SimulatedPartner| {
                // What a replacing packet overtook before it was sent is no delivery any more.
                let mine = || {
                    totals.iter().filter(move |total| {
                        total.destination == name
                            && total.message == CONTRIBUTIONS
                            && total.state != "superseded"
                    })
                };
                let in_state = |state: &str| {
                    mine()
                        .filter(|total| total.state == state)
                        .map(|total| total.deliveries)
                        .sum()
                };
                Counterpart {
                    name,
                    holds: partner.totals(),
                    tally: partner.tally(),
                    seen: deliveries
                        .iter()
                        .find(|seen| seen.destination == name)
                        .cloned(),
                    queued: mine().fold((0, 0, 0), |sum, total| {
                        (
                            sum.0 + total.deliveries,
                            sum.1 + total.lines,
                            sum.2 + total.fen.0,
                        )
                    }),
                    delivered: in_state("delivered"),
                    dead: in_state("dead"),
                }
            };
        let counterparts = [
            counterpart(MEDICAL_CORE, &counterparts.core),
            counterpart(LTC_SYSTEM, &counterparts.ltc),
        ];
        Ok(DemoFigures {
            month,
            detail,
            districts,
            counterparts,
            registries,
            deductions,
            seconds,
        })
    }

    /// The ledger's sum by fund.
    pub fn ledger(&self) -> Funds {
        self.districts
            .values()
            .fold(Funds::default(), |sum, funds| Funds {
                medical: sum.medical + funds.medical,
                long_term_care: sum.long_term_care + funds.long_term_care,
            })
    }

    /// What the tax bureau says was paid (fen).
    pub fn tax(&self) -> i64 {
        self.month.net.0
    }

    /// What the simulated medical core and LTC system hold.
    pub fn held(&self) -> Funds {
        let [core, ltc] = &self.counterparts;
        Funds {
            medical: core.holds.fen.0,
            long_term_care: ltc.holds.fen.0,
        }
    }

    /// Whether tax bureau, ledger and counterparts have the same sums, by district where they know districts.
    pub fn sums_agree(&self) -> bool {
        let [core, ltc] = &self.counterparts;
        self.tax() == self.ledger().both()
            && self.ledger() == self.held()
            && by_district(&core.holds) == self.districts_of(|funds| funds.medical)
            && by_district(&ltc.holds) == self.districts_of(|funds| funds.long_term_care)
    }

    /// Receipts that differ from what the tax bureau expected.
    pub fn differences(&self) -> impl Iterator<Item = &String> {
        self.month
            .differences
            .iter()
            .chain(&self.detail.differences)
    }

    /// Whether all sums agree, every receipt is as expected, nothing is left undelivered, everyone holds the same registry, and all agree on the deductions.
    pub fn agrees(&self) -> bool {
        let delivered = self
            .counterparts
            .iter()
            .all(|counterpart| counterpart.delivered == counterpart.queued.0);
        self.sums_agree()
            && self.differences().next().is_none()
            && delivered
            && self.registries.agrees()
            && self.deductions.agrees()
    }

    fn districts_of(&self, fund: impl Fn(&Funds) -> i64) -> BTreeMap<String, i64> {
        self.districts
            .iter()
            .map(|(district, funds)| (format!("{district:06}"), fund(funds)))
            .filter(|(_, fen)| *fen != 0)
            .collect()
    }

    /// The figures as the report has them; money in fen.
    pub fn report(&self) -> Value {
        let lines = &self.month.lines;
        let (ledger, held) = (self.ledger(), self.held());
        let deliveries: serde_json::Map<String, Value> = self
            .counterparts
            .iter()
            .map(|one| (one.name.to_string(), one.report()))
            .collect();
        let seconds: serde_json::Map<String, Value> = self
            .seconds
            .0
            .iter()
            .map(|(what, took)| ((*what).to_string(), json!(rounded(*took))))
            .collect();
        json!({
            "packets": self.month.packets,
            "lines": { "received": lines.received, "posted": lines.posted, "refused": lines.refused, "duplicate": lines.duplicate },
            "fen": {
                "received": self.tax(),
                "posted": ledger.both(),
                "by_fund": { "medical": ledger.medical, "long_term_care": ledger.long_term_care },
                "medical_core": held.medical,
                "ltc_system": held.long_term_care,
            },
            "deliveries": deliveries,
            "registries": self.registries.report(),
            "deductions": self.deductions.report(),
            "seconds": seconds,
            "agrees": self.agrees(),
        })
    }
}

impl Counterpart {
    /// Requests that carried a delivery, and inquiries.
    pub fn attempts(&self) -> (u64, u64) {
        self.seen
            .as_ref()
            .map_or((0, 0), |seen| (seen.sent, seen.inquiries))
    }

    /// Deliveries and lines settled per second; none when it was too quick to measure.
    pub fn per_second(&self) -> Option<(f64, f64)> {
        let seconds = self.seen.as_ref()?.seconds()?;
        Some((
            self.queued.0 as f64 / seconds,
            self.queued.1 as f64 / seconds,
        ))
    }

    fn report(&self) -> Value {
        let (deliveries, lines, fen) = self.queued;
        let (sent, inquiries) = self.attempts();
        json!({
            "deliveries": deliveries, "delivered": self.delivered, "dead": self.dead, "lines": lines, "fen": fen,
            "attempts": sent, "inquiries": inquiries, "per_second": self.per_second().map(|(deliveries, _)| rounded(deliveries)),
        })
    }
}

fn by_district(totals: &ReceivedTotals) -> BTreeMap<String, i64> {
    totals
        .districts
        .iter()
        .map(|(district, held)| (district.clone(), held.fen.0))
        .filter(|(_, fen)| *fen != 0)
        .collect()
}

pub(super) fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::registries::{Platform, PulledRegistry};
    use super::super::theatre::{CIVIL_AFFAIRS, HEALTH_COMMISSION};
    use super::*;
    use crate::model::Fen;
    use crate::sandbox::partners::District;
    use crate::sandbox::puller::LiveEntries;
    use crate::sandbox::registries::{Comparison, SourceAnswers};

    fn counterpart(name: &'static str, [first, second]: [i64; 2]) -> Counterpart {
        let district = |fen| District {
            lines: 1,
            fen: Fen(fen),
        };
        let districts = BTreeMap::from([
            ("450102".to_string(), district(first)),
            ("450103".to_string(), district(second)),
        ]);
        let holds = ReceivedTotals {
            batches: 1,
            lines: 2,
            fen: Fen(first + second),
            districts,
            ..ReceivedTotals::default()
        };
        Counterpart {
            name,
            holds,
            tally: CallTally::default(),
            seen: None,
            queued: (1, 2, first + second),
            delivered: 1,
            dead: 0,
        }
    }

    fn registries() -> ShownRegistries {
        let holds = Comparison {
            institutions: 88,
            caregivers: 1_330,
            ended: 11,
            differences: Vec::new(),
        };
        let platform = |name| Platform {
            name,
            holds: holds.clone(),
            tally: CallTally::default(),
        };
        ShownRegistries {
            answers: SourceAnswers::default(),
            source: holds.clone(),
            registry: holds.clone(),
            changes: 1_600,
            platforms: [platform(CIVIL_AFFAIRS), platform(HEALTH_COMMISSION)],
            province: PulledRegistry {
                counts: LiveEntries {
                    institutions: 88,
                    caregivers: 1_330,
                    ended: 11,
                },
                followed: 9,
                pages: 2,
                differences: Vec::new(),
            },
            load: Duration::ZERO,
        }
    }

    fn figures() -> DemoFigures {
        let funds = |medical, long_term_care| Funds {
            medical,
            long_term_care,
        };
        DemoFigures {
            month: BureauBooks {
                packets: 1,
                net: Fen(1_020),
                ..BureauBooks::default()
            },
            detail: BureauBooks::default(),
            districts: BTreeMap::from([(450_102, funds(700, 14)), (450_103, funds(300, 6))]),
            counterparts: [
                counterpart(MEDICAL_CORE, [700, 300]),
                counterpart(LTC_SYSTEM, [14, 6]),
            ],
            registries: registries(),
            deductions: deductions::tests::agreed(),
            seconds: Seconds::default(),
        }
    }

    #[test]
    fn equal_sums_agree_and_are_reported_in_fen() {
        assert!(figures().agrees());
        let report = figures().report();
        assert_eq!(
            report["fen"],
            json!({ "received": 1020, "posted": 1020, "by_fund": { "medical": 1000, "long_term_care": 20 }, "medical_core": 1000, "ltc_system": 20 })
        );
        assert_eq!(report["agrees"], true);
    }

    #[test]
    fn a_fen_missing_anywhere_in_the_wrong_district_or_undelivered_does_not_agree() {
        let mistakes: [fn(&mut DemoFigures); 12] = [
            |figures| figures.month.net.0 += 1,
            |figures| {
                figures
                    .districts
                    .get_mut(&450_103)
                    .expect("a district")
                    .medical -= 1
            },
            |figures| figures.counterparts[0].holds.fen.0 -= 1,
            |figures| figures.counterparts[1] = counterpart(LTC_SYSTEM, [13, 7]),
            |figures| figures.counterparts[1].delivered = 0,
            |figures| figures.month.differences.push("packet 1".into()),
            |figures| figures.detail.differences.push("packet 2".into()),
            |figures| {
                figures
                    .registries
                    .source
                    .differences
                    .push("caregiver 1".into())
            },
            |figures| {
                figures.registries.platforms[1]
                    .holds
                    .differences
                    .push("caregiver 2".into())
            },
            |figures| {
                figures
                    .registries
                    .province
                    .differences
                    .push("caregiver 3".into())
            },
            |figures| figures.registries.answers.differences.push("late".into()),
            |figures| figures.deductions.told.fen.0 -= 1,
        ];
        for mistake in mistakes {
            let mut wrong = figures();
            mistake(&mut wrong);
            assert!(!wrong.agrees(), "{wrong:?}");
            assert_eq!(wrong.report()["agrees"], false);
        }
    }
}
