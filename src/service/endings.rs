//! Certificates and revocation lists whose end would stop something, and warnings before it.
//!
//! Says when they end; what is refused then is the link's business.

use jiff::Timestamp;

use crate::config::Config;
use crate::link::certificate::all_facts;
use crate::link::{TrustState, certificate_facts};

const DAY_SECONDS: i64 = 86_400;
/// Days before a certificate's end that a person should act.
const DAYS_LEFT_MIN: i64 = 30;
/// Days before a revocation list must be replaced that a person should act; lists live shorter.
const LIST_DAYS_LEFT_MIN: i64 = 3;

/// Something that ends.
pub(super) struct Expiry {
    /// Its label in the metrics.
    pub name: String,
    /// None when it cannot be read, or there is none.
    pub until: Option<Timestamp>,
    /// What it is and what to do about it, for a log line.
    what: String,
    todo: &'static str,
    days_left_min: i64,
}

/// Everything that ends: our server certificate, the authorities' (the first to end), the revocation
/// list, the certificates we call partners with, and those they called with since the start.
pub(super) fn endings(trust: &TrustState, config: &Config) -> Vec<Expiry> {
    let ending = |name: &str, what: String, until, todo| Expiry {
        name: name.into(),
        until,
        what,
        todo,
        days_left_min: DAYS_LEFT_MIN,
    };
    let authorities = all_facts(&config.gateway.tls.client_ca).unwrap_or_default();
    let list = ending(
        "crl",
        "the revocation list".into(),
        trust.crl_expires_at(),
        "fetch the current one: without it every client is refused",
    );
    let mut endings = vec![
        ending(
            "server",
            "the server certificate".into(),
            trust.server_facts().ok().map(|facts| facts.not_after),
            "get a new one from its authority",
        ),
        ending(
            "client_ca",
            "an authority's certificate in [tls] client_ca".into(),
            authorities.iter().map(|facts| facts.not_after).min(),
            "get its new one: its clients will be refused",
        ),
        Expiry {
            days_left_min: LIST_DAYS_LEFT_MIN,
            ..list
        },
    ];
    for partner in &config.partners {
        if let Some(outbound) = &partner.outbound {
            let until = certificate_facts(&outbound.certificate)
                .ok()
                .map(|facts| facts.not_after);
            let what = format!("the certificate we call {} with", partner.name);
            endings.push(ending(
                &format!("to_{}", partner.name),
                what,
                until,
                "get a new one from the partner's authority",
            ));
        }
    }
    for (partner, until) in trust.callers_end() {
        endings.push(ending(
            &format!("from_{partner}"),
            format!("the certificate {partner} calls with"),
            Some(until),
            "have the partner get a new one from its authority: it will be refused",
        ));
    }
    endings
}

/// Logs what has ended or will soon, and revocation lists older than those in force.
pub(super) fn warn(trust: &TrustState, config: &Config) {
    older_lists(trust);
    for text in endings(trust, config)
        .iter()
        .filter_map(Expiry::warning)
        .chain(trust.notes())
    {
        tracing::warn!("{text}");
    }
}

/// Logs configured revocation lists that are older than those in force.
pub(super) fn older_lists(trust: &TrustState) {
    for text in trust.older_lists() {
        tracing::warn!("{text}");
    }
}

impl Expiry {
    fn warning(&self) -> Option<String> {
        let (until, left) = (self.until?, days_until(self.until?));
        let (what, todo) = (&self.what, self.todo);
        match left {
            ..0 => Some(format!("{what} expired {until}; {todo}")),
            _ if left < self.days_left_min => {
                Some(format!("{what} expires in {left} days ({until}); {todo}"))
            }
            _ => None,
        }
    }
}

/// Days from now; negative when past.
pub(super) fn days_until(at: Timestamp) -> i64 {
    (at.as_second() - Timestamp::now().as_second()).div_euclid(DAY_SECONDS)
}
