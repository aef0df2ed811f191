//! What gateway.toml says that can be read and cannot be meant.
//!
//! Finds and words it; `Config::load` looks up the lines.

use super::{GatewayConfig, InboundEntry, Listen, Partner, Receive, Tlcp};

/// One such thing: where, and what goes on from the key's name.
pub(super) struct Wrong {
    pub section: &'static str,
    pub key: &'static str,
    pub text: String,
}

impl GatewayConfig {
    /// What can be read and cannot be meant.
    pub(super) fn wrong(&self, partners: &[Partner]) -> Vec<Wrong> {
        let mut wrong = self.zeros();
        wrong.extend(self.listen.wrong_handshakes());
        wrong.extend(self.receive.wrong_shares());
        wrong.extend(self.tls.tlcp.wrong(partners));
        let mut add = |section, key, text: String| wrong.push(Wrong { section, key, text });
        if crate::model::Month::parse_dashed(&self.receive.earliest_month).is_none() {
            add(
                "receive",
                "earliest_month",
                format!(
                    "is `{}`; expected a month such as 2010-01",
                    self.receive.earliest_month
                ),
            );
        }
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
        };
        if let Some(url) = &self.listen.public_url
            && url.strip_prefix("https://").is_none_or(|host| {
                host.is_empty() || host.contains(['/', '?', '#', '@']) || !plain(host)
            })
        {
            add(
                "listen",
                "public_url",
                format!("is `{url}`; expected https://host[:port] without a path"),
            );
        }
        if let Some(url) = &self.fhir.terms_url
            && !(plain(url) && url.contains(':') && url.ends_with(['/', ':', '#']))
        {
            add(
                "fhir",
                "terms_url",
                format!(
                    "is `{url}`; expected an absolute URI of yours that ends with `/`, `:` or `#`"
                ),
            );
        }
        let database = &self.database;
        for (key, set) in [
            ("password_file", database.password_file.is_some()),
            ("ca", database.ca.is_some()),
        ] {
            if set && database.url.is_none() {
                add("database", key, "is given, and `url` is not: it would not be used; add `url`, or take it out for the embedded PostgreSQL".to_owned());
            }
        }
        wrong
    }

    /// Limits of nothing: with them no packet would be taken, or nothing ever sent.
    fn zeros(&self) -> Vec<Wrong> {
        let GatewayConfig {
            receive, deliver, ..
        } = self;
        let counts = [
            ("receive", "body_bytes_max", receive.body_bytes_max),
            (
                "receive",
                "decompressed_bytes_max",
                receive.decompressed_bytes_max,
            ),
            ("receive", "idle_seconds", receive.idle_seconds),
            ("receive", "lines_max", receive.lines_max),
            ("receive", "body_seconds_max", receive.body_seconds_max),
            (
                "receive",
                "decompressed_ratio_max",
                receive.decompressed_ratio_max,
            ),
            (
                "receive",
                "requests_per_partner_max",
                receive.requests_per_partner_max,
            ),
            (
                "receive",
                "spool_bytes_per_partner_max",
                receive.spool_bytes_per_partner_max,
            ),
            (
                "receive",
                "held_bytes_per_partner_max",
                receive.held_bytes_per_partner_max,
            ),
            ("deliver", "lease_seconds", deliver.lease_seconds),
            (
                "deliver",
                "attempts_max",
                u64::try_from(deliver.attempts_max).unwrap_or(0),
            ),
            (
                "deliver",
                "retry_first_milliseconds",
                deliver.retry_first_milliseconds,
            ),
            (
                "deliver",
                "breaker_failures",
                u64::from(deliver.breaker_failures),
            ),
            ("deliver", "poll_milliseconds", deliver.poll_milliseconds),
        ];
        let zeros = counts.into_iter().filter(|(.., count)| *count == 0);
        zeros
            .map(|(section, key, _)| Wrong {
                section,
                key,
                text: "is 0 or less; expected at least 1".to_owned(),
            })
            .collect()
    }
}

impl Listen {
    fn wrong_handshakes(&self) -> Option<Wrong> {
        let (all, each) = (self.handshakes_max, self.handshakes_per_address_max);
        let wrong = |key, text| {
            Some(Wrong {
                section: "listen",
                key,
                text,
            })
        };
        if !(1..=60).contains(&self.handshake_seconds) {
            return wrong(
                "handshake_seconds",
                format!("is {}; expected 1 to 60", self.handshake_seconds),
            );
        }
        if each == 0 || each > all {
            let text = format!(
                "is {each} and handshakes_max {all}; expected at least 1, and not more for one address than in all"
            );
            return wrong("handshakes_per_address_max", text);
        }
        let (all, each) = (self.connections_max, self.connections_per_partner_max);
        if each == 0 || each > all {
            let text = format!(
                "is {each} and connections_max {all}; expected at least 1, and not more for one partner than in all"
            );
            return wrong("connections_per_partner_max", text);
        }
        None
    }
}

impl Receive {
    /// More for one partner than for all.
    fn wrong_shares(&self) -> impl Iterator<Item = Wrong> {
        let shares = [
            (
                "requests_per_partner_max",
                self.requests_per_partner_max,
                "requests_max",
                self.requests_max,
            ),
            (
                "held_bytes_per_partner_max",
                self.held_bytes_per_partner_max,
                "held_bytes_max",
                self.held_bytes_max,
            ),
            (
                "spool_bytes_per_partner_max",
                self.spool_bytes_per_partner_max,
                "spool_bytes_max",
                self.spool_bytes_max,
            ),
        ];
        shares
            .into_iter()
            .filter(|(_, each, _, all)| each > all)
            .map(|(key, each, total, all)| {
                let text = format!(
                    "is {each} and {total} {all}; expected not more for one partner than for all"
                );
                Wrong {
                    section: "receive",
                    key,
                    text,
                }
            })
    }
}

impl Tlcp {
    fn wrong(&self, partners: &[Partner]) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for (at, gateway) in self.gateways.iter().enumerate() {
            let name = &gateway.name;
            let mut add = |text: &str| {
                wrong.push(Wrong {
                    section: "tls.tlcp",
                    key: "gateways",
                    text: format!("`{name}` {text}"),
                })
            };
            match (&gateway.spki_sha256, &gateway.san) {
                (None, None) => add("needs `spki_sha256` or `san` to recognise its certificate"),
                (Some(pin), _)
                    if pin.len() != 64 || !pin.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
                {
                    add("has a spki_sha256 that is not 64 hexadecimal digits");
                }
                _ => {}
            }
            if self.gateways[..at]
                .iter()
                .any(|earlier| earlier.name == *name)
            {
                add("is listed twice; names must be unique");
            }
            let same = |inbound: &InboundEntry| {
                let pin = gateway
                    .spki_sha256
                    .as_ref()
                    .zip(inbound.spki_sha256.as_ref())
                    .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
                pin || gateway.san.is_some() && gateway.san == inbound.san
            };
            if let Some(partner) = partners
                .iter()
                .find(|partner| partner.inbound.as_ref().is_some_and(same))
            {
                add(&format!(
                    "has the same certificate identity as partner `{}`; a gateway is nobody's own, give it a certificate of its own",
                    partner.name
                ));
            }
        }
        if self.crl.is_some() && self.client_ca.is_none() {
            let text =
                "is given without client_ca; name the authorities whose lists it holds".to_owned();
            wrong.push(Wrong {
                section: "tls.tlcp",
                key: "crl",
                text,
            });
        }
        wrong
    }
}
