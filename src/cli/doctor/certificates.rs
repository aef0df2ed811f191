//! Certificates, keys and the revocation list: readable, belonging together, and for how long.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::days_until;
use super::sheet::DoctorSheet;
use crate::config::{Config, TlsFiles};
use crate::link::certificate::{CertificateFacts, all_facts};
use crate::link::{TrustState, certificate_facts};

/// Days before an end that a person should act.
const DAYS_LEFT_MIN: i64 = 30;
/// Days before a revocation list must be replaced that a person should act; lists live shorter.
const LIST_DAYS_LEFT_MIN: i64 = 3;

pub(super) fn look(sheet: &mut DoctorSheet, config: &Config) {
    let tls = &config.gateway.tls;
    match certificate_facts(&tls.certificate) {
        Ok(facts) => {
            let names: Vec<&str> = facts.sans.iter().map(|name| name.text()).collect();
            expiry(
                sheet,
                "server certificate",
                &facts,
                &format!("for {}", names.join(", ")),
                "get a new one from its authority",
            );
        }
        Err(fault) => sheet.bad(
            "server certificate",
            fault.text,
            "trial certificates: ltcgw pki init",
        ),
    }
    readers(sheet, "server key", &tls.key);
    match all_facts(&tls.client_ca) {
        Ok(authorities) => {
            for facts in authorities {
                expiry(
                    sheet,
                    "client authority",
                    &facts,
                    &format!("`{}`", facts.subject),
                    "its clients will be refused; get its new certificate",
                );
            }
        }
        Err(fault) => sheet.bad("client authority", fault.text, ""),
    }
    together(sheet, tls, config);
}

/// Key and certificate belong together, the revocation lists fit the authorities.
fn together(sheet: &mut DoctorSheet, tls: &TlsFiles, config: &Config) {
    if [&tls.certificate, &tls.client_ca]
        .iter()
        .any(|path| certificate_facts(path).is_err())
    {
        return; // Said above.
    }
    match TrustState::load(tls, &config.partners) {
        Err(fault) => sheet.bad("mutual TLS", fault.text, ""),
        Ok(trust) => {
            for text in trust.older_lists() {
                let taken = tls
                    .lists_taken
                    .as_deref()
                    .unwrap_or(Path::new("the lists taken"));
                let todo = format!(
                    "if the authority itself has begun its numbers anew: remove {}, then restart the gateway",
                    taken.display()
                );
                sheet.note("revocation list", text, todo);
            }
            revocation_list(sheet, &trust);
        }
    }
}

/// Whether there is a revocation list, for how long it is good, and whom it is for.
fn revocation_list(sheet: &mut DoctorSheet, trust: &TrustState) {
    match trust.crl_expires_at() {
        None => sheet.note(
            "revocation list",
            "none is configured: a revoked client certificate stays good",
            "name one as [tls] crl in gateway.toml",
        ),
        Some(until) if days_until(until) < LIST_DAYS_LEFT_MIN => {
            let text = format!(
                "must be replaced in {} days ({until}); every client is refused after that",
                days_until(until)
            );
            sheet.note(
                "revocation list",
                text,
                "fetch the current one from the authority",
            );
        }
        Some(until) => sheet.good(
            "revocation list",
            format!("good for {} days", days_until(until)),
        ),
    }
    for note in trust.notes() {
        sheet.note("revocation list", note, "");
    }
}

/// A line about a certificate's end.
pub(super) fn expiry(
    sheet: &mut DoctorSheet,
    what: &str,
    facts: &CertificateFacts,
    whose: &str,
    todo: &str,
) {
    let left = days_until(facts.not_after);
    if facts.not_before > jiff::Timestamp::now() {
        sheet.bad(
            what,
            format!("{whose}: not valid before {}", facts.not_before),
            "check this machine's clock, or wait",
        );
    } else if left < 0 {
        sheet.bad(what, format!("{whose}: expired {}", facts.not_after), todo);
    } else if left < DAYS_LEFT_MIN {
        sheet.note(
            what,
            format!("{whose}: expires in {left} days ({})", facts.not_after),
            todo,
        );
    } else {
        sheet.good(what, format!("{whose}: good for {left} days"));
    }
}

/// Whether anybody but its owner may read or change a key or secret.
pub(super) fn readers(sheet: &mut DoctorSheet, what: &str, path: &Path) {
    let Ok(found) = std::fs::metadata(path) else {
        return;
    }; // Said where it is used.
    let mode = found.permissions().mode() & 0o777;
    let todo = format!("chmod 600 {}", path.display());
    if mode & 0o007 != 0 {
        sheet.bad(
            what,
            format!(
                "{} has mode {mode:04o}: every account of this machine has access; expected 0600",
                path.display()
            ),
            todo,
        );
    } else if mode & 0o070 != 0 {
        sheet.note(
            what,
            format!(
                "{} has mode {mode:04o}: its group has access; expected 0600",
                path.display()
            ),
            todo,
        );
    }
}
