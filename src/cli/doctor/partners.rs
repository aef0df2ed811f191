//! Partners: does each entry fit its adapter and files, and does the other end take our certificate.

use std::time::Duration;

use futures_util::future::join_all;

use super::sheet::DoctorSheet;
use super::{certificates, days_until};
use crate::adapter::Catalog;
use crate::config::{Config, OutboundEntry, Partner};
use crate::error::{Fault, Stage};
use crate::link::certificate_facts;
use crate::link::probe::{Probe, probe};
use crate::service;

/// How long one partner may take for everything.
const PATIENCE: Duration = Duration::from_secs(6);

pub(super) async fn look(sheet: &mut DoctorSheet, config: &Config, catalog: &Catalog) {
    let probed = join_all(config.partners.iter().map(|partner| async {
        match &partner.outbound {
            Some(outbound) => Some(answer(outbound).await),
            None => None,
        }
    }));
    for (partner, probed) in config.partners.iter().zip(probed.await) {
        let what = format!("partner {}", partner.name);
        let problems = service::problems(partner, catalog);
        let sound = problems.is_empty();
        for problem in problems {
            sheet.bad(&what, problem.finding(config, partner).to_string(), "");
        }
        if sound {
            sheet.good(&what, entry(partner));
        }
        if let Some(outbound) = &partner.outbound {
            outgoing(sheet, &what, partner, outbound);
            match probed {
                Some(Ok(probe)) => answered(sheet, &what, outbound, &probe),
                // Without usable files there was nothing to ask with, and that is said above.
                Some(Err(fault)) if fault.stage == Stage::Send || sound => {
                    sheet.bad(&what, fault.text, "")
                }
                _ => {}
            }
        }
    }
}

async fn answer(outbound: &OutboundEntry) -> Result<Probe, Fault> {
    match tokio::time::timeout(PATIENCE, probe(outbound)).await {
        Ok(probed) => probed,
        Err(_) => Err(Fault::operator(
            Stage::Send,
            format!(
                "{} did not complete the exchange within {} s",
                outbound.url,
                PATIENCE.as_secs()
            ),
        )),
    }
}

/// What a sound entry says.
fn entry(partner: &Partner) -> String {
    let mut text = if partner.adapter.is_empty() {
        "no adapter".to_string()
    } else {
        format!("adapter {}", partner.adapter)
    };
    if let Some(inbound) = &partner.inbound {
        let by = if inbound.spki_sha256.is_some() {
            "its key's pin".to_owned()
        } else {
            inbound
                .san
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        text += &format!("; known by {by}, may call {}", inbound.routes.join(", "));
    }
    if let Some(outbound) = &partner.outbound {
        text += &format!(
            "; receives {}; settings and secrets complete",
            outbound.receives.join(", ")
        );
    }
    text
}

/// Our files for a partner.
fn outgoing(sheet: &mut DoctorSheet, what: &str, partner: &Partner, outbound: &OutboundEntry) {
    if let Ok(facts) = certificate_facts(&outbound.certificate) {
        certificates::expiry(
            sheet,
            what,
            &facts,
            &format!("our certificate `{}`", facts.subject),
            "get a new one from the partner's authority",
        );
    }
    for path in std::iter::once(&outbound.key).chain(partner.secrets.values()) {
        certificates::readers(sheet, what, path);
    }
}

fn answered(sheet: &mut DoctorSheet, what: &str, outbound: &OutboundEntry, probe: &Probe) {
    let left = days_until(probe.server.not_after);
    let text = format!(
        "{} takes our certificate ({}, {}); its own is good for {left} days",
        outbound.url, probe.protocol, probe.answer
    );
    if left < 14 {
        sheet.note(what, text, "tell the partner")
    } else {
        sheet.good(what, text)
    }
}
