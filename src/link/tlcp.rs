//! Certificates that a TLCP gateway (GB/T 38636) passes on: whose request it is that came through it.
//!
//! National ciphers end at a gateway in front of us, which we know by its own certificate and which says in a header who
//! its client is. Nobody else's header counts. The certificate in it is judged as one that came by TLS is: validity, key
//! usage, authority, revocation, identity; SM2 signatures are verified here, as no handshake of ours does.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::certificate::{self, CertificateFacts, fault};
use super::identity::Identities;
use super::revocation::{self, List, Newest};
use super::signature::signed_by;
use crate::config::Tlcp;
use crate::error::{Fault, Stage};

/// Longest header with a certificate, in bytes.
const HEADER_MAX: usize = 16 * 1024;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Partner(Arc<str>),
    /// A TLCP gateway, of that name; whose requests it brings stands in each.
    Gateway(Arc<str>),
}

/// A caller that is refused: what the log says, and what it is told itself where that helps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRefusal {
    pub fault: Fault,
    pub told: Option<&'static str>,
}

impl From<Fault> for CallerRefusal {
    fn from(fault: Fault) -> CallerRefusal {
        CallerRefusal { fault, told: None }
    }
}

/// The gateways listed, and the authorities of the certificates they pass on.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    known: Identities,
    authorities: Vec<Authority>,
    with_lists: bool,
}

#[derive(Debug)]
struct Authority {
    der: CertificateDer<'static>,
    list: Option<Revoked>,
}

/// What the current list of an authority says.
#[derive(Debug)]
struct Revoked {
    until: jiff::Timestamp,
    serials: HashSet<Vec<u8>>,
}

impl Gateways {
    /// Reads authorities and revocation lists, the newer of those found and those taken before.
    ///
    /// # Errors
    /// A file cannot be read or used; an authority has no current list of its own signature.
    pub(super) fn read(
        config: &Tlcp,
        read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, Fault>,
        taken: &[List],
    ) -> Result<(Gateways, Newest), Fault> {
        let known = Identities::of(
            config
                .gateways
                .iter()
                .map(|gateway| (gateway.name.as_str(), &gateway.spki_sha256, &gateway.san)),
        );
        let Some(path) = &config.client_ca else {
            return Ok((
                Gateways {
                    known,
                    ..Gateways::default()
                },
                Newest::default(),
            ));
        };
        let found = certificate::certificates(path, &read(path)?)?;
        let lists = match &config.crl {
            Some(crl) => revocation::newest(
                crl,
                certificate::revocation_lists(crl, &read(crl)?)?,
                taken,
                &found,
            ),
            None => Newest::default(),
        };
        let mut authorities = Vec::new();
        for der in found {
            let (_, parsed) = X509Certificate::from_der(&der)
                .map_err(|error| fault(path, &format!("is not a certificate: {error}")))?;
            check_authority(path, &parsed)?;
            let list = config
                .crl
                .as_deref()
                .map(|crl| list_of(crl, &parsed, &lists.lists))
                .transpose()?;
            authorities.push(Authority {
                der: der.clone(),
                list,
            });
        }
        Ok((
            Gateways {
                known,
                authorities,
                with_lists: config.crl.is_some(),
            },
            lists,
        ))
    }

    /// The gateway with that certificate.
    pub(super) fn named(&self, facts: &CertificateFacts) -> Option<Arc<str>> {
        self.known.partner(facts).ok()
    }

    /// When the first list goes stale.
    pub(super) fn lists_expire_at(&self) -> Option<jiff::Timestamp> {
        self.authorities
            .iter()
            .filter_map(|authority| Some(authority.list.as_ref()?.until))
            .min()
    }

    /// The partner whose certificate stands in the header.
    pub(super) fn passed_on(
        &self,
        header: &[u8],
        partners: &Identities,
    ) -> Result<Arc<str>, CallerRefusal> {
        let der = of_header(header).ok_or_else(|| CallerRefusal {
            fault: refused("the header Client-Cert holds no certificate".into()),
            told: Some("the header Client-Cert holds no certificate; expected one, as PEM in percent-encoding or as a byte sequence between colons (RFC 9440)"),
        })?;
        let unreadable =
            |error: String| refused(format!("the client certificate passed on is {error}"));
        let facts = CertificateFacts::of(&der).map_err(unreadable)?;
        let (_, own) =
            X509Certificate::from_der(&der).map_err(|error| unreadable(error.to_string()))?;
        if let Some(reason) = certificate::unfit_to_sign(&der) {
            return Err(CallerRefusal {
                fault: refused(format!("{reason}; {}", facts.who())),
                told: Some(reason),
            });
        }
        let no = |reason: &str| {
            refused(format!(
                "the client certificate passed on {reason}: {}",
                facts.who()
            ))
        };
        if let Some(reason) = unusable(&own) {
            return Err(no(reason).into());
        }
        if self.authorities.is_empty() {
            // Nothing shows who issued it: only a key that is named itself counts.
            return Ok(partners.pinned(&facts)?);
        }
        let issuer = self
            .authorities
            .iter()
            .find(|authority| authority.issued(&own))
            .ok_or_else(|| no("is of no authority in [tls.tlcp] client_ca"))?;
        match &issuer.list {
            Some(list) if list.until <= jiff::Timestamp::now() => {
                return Err(no(
                    "cannot be looked up: the revocation list in [tls.tlcp] crl is stale",
                )
                .into());
            }
            Some(list) if list.serials.contains(own.raw_serial()) => {
                return Err(no("was revoked").into());
            }
            None if self.with_lists => {
                return Err(no("cannot be looked up: its authority has no revocation list").into());
            }
            _ => {}
        }
        Ok(partners.partner(&facts)?)
    }
}

impl Authority {
    /// Whether it issued a certificate and is valid itself.
    fn issued(&self, own: &X509Certificate<'_>) -> bool {
        let Ok((_, authority)) = X509Certificate::from_der(&self.der) else {
            return false;
        };
        let algorithm = own.signature_algorithm.algorithm.to_id_string();
        authority.subject().as_raw() == own.issuer().as_raw()
            && authority.validity().is_valid()
            && signed_by(
                &authority,
                (
                    own.tbs_certificate.as_ref(),
                    &algorithm,
                    &own.signature_value.data,
                ),
            )
    }
}

fn refused(text: String) -> Fault {
    Fault::partner(Stage::Identity, text)
}

/// The certificate in a header: PEM in percent-encoding, as nginx writes it, or a byte sequence (RFC 9440 §2.2).
fn of_header(header: &[u8]) -> Option<CertificateDer<'static>> {
    if header.len() > HEADER_MAX {
        return None;
    }
    let text = header.trim_ascii();
    if let Some(encoded) = text
        .strip_prefix(b":")
        .and_then(|text| text.strip_suffix(b":"))
    {
        return base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .ok()
            .map(CertificateDer::from);
    }
    let pem: Vec<u8> = percent_encoding::percent_decode(text).collect();
    let mut found = CertificateDer::pem_slice_iter(&pem);
    let first = found.next()?.ok()?;
    found.next().is_none().then_some(first)
}

/// Why a client's certificate cannot be used at all, whoever issued it.
fn unusable(own: &X509Certificate<'_>) -> Option<&'static str> {
    if !own.validity().is_valid() {
        return Some("is not valid now");
    }
    match own.extended_key_usage() {
        Ok(None) => {}
        Ok(Some(usage)) if usage.value.client_auth || usage.value.any => {}
        _ => return Some("is not for clients (extendedKeyUsage)"),
    }
    let understood = |extension: &ParsedExtension<'_>| {
        matches!(
            extension,
            ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::CertificatePolicies(_)
        )
    };
    own.extensions()
        .iter()
        .any(|one| one.critical && !understood(one.parsed_extension()))
        .then_some("has a critical extension that is not understood")
}

/// Whether an authority may issue certificates that are judged here.
fn check_authority(path: &Path, authority: &X509Certificate<'_>) -> Result<(), Fault> {
    let name = certificate::printable(&authority.subject().to_string());
    let signs = authority
        .key_usage()
        .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    if !authority.is_ca() || !signs {
        return Err(fault(
            path,
            &format!(
                "`{name}` is no authority: it needs basicConstraints CA and, where it says keyUsage, keyCertSign"
            ),
        ));
    }
    if authority
        .name_constraints()
        .map_or(true, |constraints| constraints.is_some())
    {
        return Err(fault(
            path,
            &format!(
                "`{name}` has nameConstraints, which are not evaluated for certificates passed on; name an authority without"
            ),
        ));
    }
    Ok(())
}

/// What an authority's current list says.
fn list_of(path: &Path, authority: &X509Certificate<'_>, lists: &[List]) -> Result<Revoked, Fault> {
    let name = certificate::printable(&authority.subject().to_string());
    let parsed = lists.iter().filter_map(|der| revocation::parsed(der));
    let own = parsed
        .filter(|list| list.issuer().as_raw() == authority.subject().as_raw())
        .find(|list| revocation::is_signed_by(list, authority));
    let list = own.ok_or_else(|| fault(path, &format!("holds no list that `{name}` has signed; every client of it would be refused: add its list")))?;
    if list.extensions().iter().any(|extension| extension.critical) {
        return Err(fault(
            path,
            &format!(
                "the list of `{name}` has a critical extension (a partial or delta list?); fetch the complete one"
            ),
        ));
    }
    let until = list
        .next_update()
        .and_then(|next| jiff::Timestamp::from_second(next.timestamp()).ok());
    let until = until.ok_or_else(|| {
        fault(
            path,
            &format!("the list of `{name}` names no next update; expected one"),
        )
    })?;
    if until <= jiff::Timestamp::now() {
        return Err(fault(
            path,
            &format!(
                "the list of `{name}` should have been replaced by {until}; fetch the current one from the authority"
            ),
        ));
    }
    Ok(Revoked {
        until,
        serials: list
            .iter_revoked_certificates()
            .map(|revoked| revoked.raw_serial().to_vec())
            .collect(),
    })
}
