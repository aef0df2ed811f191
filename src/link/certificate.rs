//! Certificates, keys and revocation lists from PEM files, and the facts people ask about them.
//!
//! Reads and describes; decides nothing about trust. Error texts name files, never key material.

use std::path::Path;

use data_encoding::HEXLOWER;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Version};

use super::refusal::HandshakeRefusalReason;
use crate::error::{Fault, Stage};

/// Alternative names, and characters of each and of a subject, that one line shows.
const NAMES_SHOWN_MAX: usize = 4;
const NAME_SHOWN_MAX: usize = 80;
const SUBJECT_SHOWN_MAX: usize = 200;
/// Characters of any name that are kept.
const NAME_KEPT_MAX: usize = 300;

/// A name in a certificate's subject alternative names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlternativeName {
    Dns(String),
    Uri(String),
    Ip(String),
}

impl AlternativeName {
    /// The name itself.
    pub fn text(&self) -> &str {
        match self {
            AlternativeName::Dns(text) | AlternativeName::Uri(text) | AlternativeName::Ip(text) => {
                text
            }
        }
    }
}

/// What people ask about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Distinguished name, e.g. `CN=tax.nanning.example`.
    pub subject: String,
    pub issuer: String,
    pub sans: Vec<AlternativeName>,
    pub not_before: jiff::Timestamp,
    pub not_after: jiff::Timestamp,
    /// SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal digits: what `spki_sha256` in partners.toml pins.
    pub spki_sha256: String,
    /// Why it can be nobody's here, whoever signed it: its version or the kind of its key.
    pub unfit: Option<HandshakeRefusalReason>,
}

impl CertificateFacts {
    /// The facts of a certificate in DER.
    ///
    /// # Errors
    /// It is not a certificate; the text says what the parser found.
    pub fn of(der: &[u8]) -> Result<CertificateFacts, String> {
        let (_, parsed) = X509Certificate::from_der(der)
            .map_err(|error| format!("not an X.509 certificate: {error}"))?;
        let time = |time: x509_parser::time::ASN1Time| {
            jiff::Timestamp::from_second(time.timestamp())
                .map_err(|error| format!("a date beyond reason: {error}"))
        };
        Ok(CertificateFacts {
            subject: printable(&parsed.subject().to_string()),
            issuer: printable(&parsed.issuer().to_string()),
            sans: names(&parsed)?,
            not_before: time(parsed.validity().not_before)?,
            not_after: time(parsed.validity().not_after)?,
            spki_sha256: HEXLOWER.encode(&Sha256::digest(parsed.public_key().raw)),
            unfit: unfit(&parsed),
        })
    }

    /// Subject and alternative names on one line, for people: cut, so that a certificate with thousands of names is a line, too.
    pub fn who(&self) -> String {
        let mut names: Vec<String> = self
            .sans
            .iter()
            .take(NAMES_SHOWN_MAX)
            .map(|name| super::printable(name.text(), NAME_SHOWN_MAX))
            .collect();
        if let Some(more @ 1..) = self.sans.len().checked_sub(NAMES_SHOWN_MAX) {
            names.push(format!("{more} more"));
        }
        let subject = super::printable(&self.subject, SUBJECT_SHOWN_MAX);
        format!(
            "subject `{subject}`, alternative names [{}], spki_sha256 {}",
            names.join(", "),
            self.spki_sha256
        )
    }
}

/// Why a client certificate's key may not sign a handshake by its own keyUsage (RFC 5280 §4.2.1.3, RFC 8446 §4.4.2.2); none
/// when it may, or does not say.
pub fn unfit_to_sign(der: &[u8]) -> Option<&'static str> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let usage = match parsed.key_usage() {
        Ok(None) => return None,
        Ok(Some(usage)) => usage.value.digital_signature(),
        Err(_) => false,
    };
    let text = "this client certificate's keyUsage lacks digitalSignature, so its key may not prove who calls; ask the authority that issued it for one with digitalSignature";
    (!usage).then_some(text)
}

/// The facts of the first certificate in a PEM file.
///
/// # Errors
/// The file cannot be read or holds no certificate.
pub fn certificate_facts(path: &Path) -> Result<CertificateFacts, Fault> {
    let chain = certificates(path, &read(path)?)?;
    CertificateFacts::of(&chain[0]).map_err(|error| fault(path, &error))
}

/// The facts of every certificate in a PEM file, in its order.
///
/// # Errors
/// The file cannot be read or holds no certificate.
pub fn all_facts(path: &Path) -> Result<Vec<CertificateFacts>, Fault> {
    certificates(path, &read(path)?)?
        .iter()
        .map(|der| CertificateFacts::of(der).map_err(|error| fault(path, &error)))
        .collect()
}

/// Reads a PEM file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| {
        fault(
            path,
            &format!("cannot be read: {error}; expected a PEM file"),
        )
    })
}

/// The certificates in a PEM file's text, at least one.
pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(fault(
            path,
            "holds no certificate; expected `-----BEGIN CERTIFICATE-----`",
        )),
        Ok(found) => Ok(found),
        Err(error) => Err(fault(path, &format!("is not valid PEM: {error}"))),
    }
}

/// The first private key in a PEM file's text.
pub(super) fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        fault(
            path,
            "holds no usable private key; expected an unencrypted `-----BEGIN PRIVATE KEY-----`",
        )
    })
}

/// The revocation lists in a PEM file's text, at least one.
pub(super) fn revocation_lists(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(fault(
            path,
            "holds no revocation list; expected `-----BEGIN X509 CRL-----`",
        )),
        Ok(found) => Ok(found),
        Err(error) => Err(fault(path, &format!("is not valid PEM: {error}"))),
    }
}

/// A fault about a certificate, key or list file.
pub(super) fn fault(path: &Path, text: &str) -> Fault {
    Fault::operator(Stage::Config, format!("{}: {text}", path.display()))
}

fn names(parsed: &X509Certificate<'_>) -> Result<Vec<AlternativeName>, String> {
    let extension = parsed
        .subject_alternative_name()
        .map_err(|error| format!("its subject alternative names cannot be read: {error}"))?;
    let general = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    Ok(general
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => Some(AlternativeName::Dns(printable(text))),
            GeneralName::URI(text) => Some(AlternativeName::Uri(printable(text))),
            GeneralName::IPAddress(octets) => ip(octets).map(AlternativeName::Ip),
            _ => None,
        })
        .collect())
}

fn ip(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

/// Text from a certificate, safe in a log line.
pub(super) fn printable(text: &str) -> String {
    super::printable(text, NAME_KEPT_MAX)
}

fn unfit(parsed: &X509Certificate<'_>) -> Option<HandshakeRefusalReason> {
    if parsed.version() != X509Version::V3 {
        return Some(HandshakeRefusalReason::OldVersion);
    }
    super::authority::unsupported(parsed.public_key())
        .map(|_| HandshakeRefusalReason::UnsupportedKey)
}
