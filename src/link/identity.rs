//! From a client certificate to the one partner it belongs to.
//!
//! Only answers who it is; whether the certificate is valid is `server_tls`'s business, what the
//! partner may call is the server's. The same certificate must never be two partners.

use std::sync::Arc;

use super::certificate::{AlternativeName, CertificateFacts};
use crate::config::{Partner, San};
use crate::error::{Fault, Stage};

/// The partners that may call us and how each is recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    known: Vec<Known>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    partner: Arc<str>,
    pin: Option<String>,
    san: Option<San>,
}

impl Identities {
    /// The identities of all partners with an `[partner.inbound]`.
    pub fn from_config(partners: &[Partner]) -> Identities {
        let inbound = partners
            .iter()
            .filter_map(|partner| Some((partner.name.as_str(), partner.inbound.as_ref()?)));
        Identities::of(inbound.map(|(name, inbound)| (name, &inbound.spki_sha256, &inbound.san)))
    }

    /// Whoever has these names, pins and alternative names.
    pub(super) fn of<'a>(
        entries: impl Iterator<Item = (&'a str, &'a Option<String>, &'a Option<San>)>,
    ) -> Identities {
        let known = entries.map(|(name, pin, san)| Known {
            partner: name.into(),
            pin: pin.as_ref().map(|pin| pin.to_ascii_lowercase()),
            san: san.clone(),
        });
        Identities {
            known: known.collect(),
        }
    }

    /// The partner a certificate belongs to.
    ///
    /// An entry with both `spki_sha256` and `san` needs both to match. Entries with a pin go
    /// first: a pinned key is a statement about this very certificate, a name about many.
    ///
    /// # Errors
    /// No partner or several match: the text names what the certificate says of itself, so that
    /// an operator can add it to partners.toml.
    pub fn partner(&self, facts: &CertificateFacts) -> Result<Arc<str>, Fault> {
        let pinned = self.matching(facts, true);
        let matching = if pinned.is_empty() {
            self.matching(facts, false)
        } else {
            pinned
        };
        match matching[..] {
            [one] => Ok(one.partner.clone()),
            [] => Err(refused(format!(
                "the client certificate belongs to no partner: {}; add its spki_sha256 or a name to config/partners.toml",
                facts.who()
            ))),
            _ => {
                let names: Vec<&str> = matching.iter().map(|known| &*known.partner).collect();
                Err(refused(format!(
                    "the client certificate matches several partners ({}): {}; give each its own identity",
                    names.join(", "),
                    facts.who()
                )))
            }
        }
    }

    /// The partner whose key is pinned and is that of a certificate; a name alone counts for nothing.
    ///
    /// # Errors
    /// No key is pinned that is the certificate's.
    pub(super) fn pinned(&self, facts: &CertificateFacts) -> Result<Arc<str>, Fault> {
        match self.matching(facts, true)[..] {
            [one] => Ok(one.partner.clone()),
            _ => Err(refused(format!(
                "the client certificate passed on is of no authority we could ask, and its key is no partner's: {}; give the partner's entry its spki_sha256, or name the \
                 authority as [tls.tlcp] client_ca",
                facts.who()
            ))),
        }
    }

    fn matching(&self, facts: &CertificateFacts, pinned: bool) -> Vec<&Known> {
        self.known
            .iter()
            .filter(|known| known.pin.is_some() == pinned && known.matches(facts))
            .collect()
    }
}

impl Known {
    fn matches(&self, facts: &CertificateFacts) -> bool {
        let pin = self
            .pin
            .as_ref()
            .is_none_or(|pin| *pin == facts.spki_sha256);
        let san = self
            .san
            .as_ref()
            .is_none_or(|wanted| facts.sans.iter().any(|name| same(name, wanted)));
        pin && san && (self.pin.is_some() || self.san.is_some())
    }
}

/// A name of the same kind: DNS names without regard to case (RFC 4343), URIs exactly; addresses identify nobody.
fn same(name: &AlternativeName, wanted: &San) -> bool {
    match (name, wanted) {
        (AlternativeName::Dns(found), San::Dns(wanted)) => found.eq_ignore_ascii_case(wanted),
        (AlternativeName::Uri(found), San::Uri(wanted)) => found == wanted,
        _ => false,
    }
}

fn refused(text: String) -> Fault {
    Fault::partner(Stage::Identity, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pin: &str, sans: &[AlternativeName]) -> CertificateFacts {
        CertificateFacts {
            subject: "CN=someone".into(),
            issuer: "CN=ca".into(),
            sans: sans.to_vec(),
            not_before: jiff::Timestamp::UNIX_EPOCH,
            not_after: jiff::Timestamp::UNIX_EPOCH,
            spki_sha256: pin.into(),
            unfit: None,
        }
    }

    fn dns(name: &str) -> AlternativeName {
        AlternativeName::Dns(name.into())
    }

    fn identities(entries: &[(&str, Option<&str>, Option<&str>)]) -> Identities {
        let known = entries.iter().map(|(partner, pin, san)| Known {
            partner: (*partner).into(),
            pin: pin.map(str::to_string),
            san: san.map(|san| San::parse(san).unwrap()),
        });
        Identities {
            known: known.collect(),
        }
    }

    #[test]
    fn a_name_is_found_without_regard_to_case_and_a_uri_exactly() {
        let known = identities(&[
            ("tax", None, Some("tax.example")),
            ("civil", None, Some("urn:civil:A")),
        ]);
        assert_eq!(
            &*known.partner(&facts("00", &[dns("TAX.example")])).unwrap(),
            "tax"
        );
        assert_eq!(
            &*known
                .partner(&facts("00", &[AlternativeName::Uri("urn:civil:A".into())]))
                .unwrap(),
            "civil"
        );
        assert!(
            known
                .partner(&facts("00", &[AlternativeName::Uri("urn:civil:a".into())]))
                .is_err()
        );
    }

    #[test]
    fn a_pinned_entry_needs_its_key_and_its_name() {
        let known = identities(&[("tax", Some("aa"), Some("tax.example"))]);
        assert!(known.partner(&facts("bb", &[dns("tax.example")])).is_err());
        assert!(
            known
                .partner(&facts("aa", &[dns("other.example")]))
                .is_err()
        );
        assert_eq!(
            &*known.partner(&facts("aa", &[dns("tax.example")])).unwrap(),
            "tax"
        );
    }

    #[test]
    fn a_pinned_key_goes_before_a_name() {
        let known = identities(&[
            ("by-name", None, Some("tax.example")),
            ("by-key", Some("aa"), None),
        ]);
        assert_eq!(
            &*known.partner(&facts("aa", &[dns("tax.example")])).unwrap(),
            "by-key"
        );
    }

    #[test]
    fn a_certificate_with_two_partners_names_is_neither() {
        let known = identities(&[
            ("a", None, Some("a.example")),
            ("b", None, Some("b.example")),
        ]);
        let fault = known
            .partner(&facts("00", &[dns("a.example"), dns("b.example")]))
            .unwrap_err();
        assert!(fault.text.contains("several partners (a, b)"), "{fault}");
    }

    #[test]
    fn an_unknown_certificate_is_described_so_that_it_can_be_added() {
        let fault = identities(&[])
            .partner(&facts("c0ffee", &[dns("new.example")]))
            .unwrap_err();
        assert_eq!(
            (
                fault.stage,
                fault.text.contains("new.example"),
                fault.text.contains("c0ffee")
            ),
            (Stage::Identity, true, true),
            "{fault}"
        );
    }

    #[test]
    fn an_address_identifies_nobody() {
        let known = identities(&[("a", None, Some("127.0.0.1"))]); // also what a DNS name may look like
        assert!(
            known
                .partner(&facts("00", &[AlternativeName::Ip("127.0.0.1".into())]))
                .is_err()
        );
    }

    #[test]
    fn a_dns_name_never_counts_as_a_uri_nor_the_reverse() {
        let known = identities(&[
            ("tax", None, Some("tax.nanning.example")),
            ("civil", None, Some("urn:partner:civil")),
        ]);
        for (name, partner) in [
            (
                AlternativeName::Dns("TAX.nanning.example".into()),
                Some("tax"),
            ),
            (AlternativeName::Uri("tax.nanning.example".into()), None),
            (
                AlternativeName::Uri("urn:partner:civil".into()),
                Some("civil"),
            ),
            (AlternativeName::Dns("urn:partner:civil".into()), None),
        ] {
            let found = known.partner(&facts("00", std::slice::from_ref(&name)));
            assert_eq!(found.ok().as_deref(), partner, "{name:?}");
        }
    }
}
