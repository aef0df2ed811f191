//! Authorities and revocation lists that cannot work, found before a client is refused for them.
//!
//! Reads and judges files; verifies no client.

use std::path::Path;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::extensions::{
    DistributionPointName, GeneralName, IssuingDistributionPoint, ParsedExtension,
};
use x509_parser::prelude::{
    CertificateRevocationList, FromDer, SubjectPublicKeyInfo, X509Certificate,
};
use x509_parser::public_key::PublicKey;

use super::certificate::fault;
use super::printable;
use crate::config::TlsFiles;
use crate::error::Fault;

/// Characters of a name or address that a message repeats.
const SHOWN_MAX: usize = 200;
/// Bits of an RSA key whose signatures can be verified (ring's limits).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// What a key can be, for messages.
pub(super) const KEYS: &str = "RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, Ed25519";

/// That every authority of a file has a key whose signatures can be verified.
///
/// # Errors
/// One has another kind of key: nobody it signed for would ever be taken.
pub(super) fn check_keys(path: &Path, authorities: &[CertificateDer<'_>]) -> Result<(), Fault> {
    for der in authorities {
        let (_, authority) = X509Certificate::from_der(der)
            .map_err(|error| fault(path, &format!("holds what is no certificate: {error}")))?;
        if let Some(key) = unsupported(authority.public_key()) {
            let subject = printable(&authority.subject().to_string(), SHOWN_MAX);
            let text = format!(
                "the authority `{subject}` has {key}, which cannot verify anybody here; expected {KEYS}: get another authority, or put a TLCP gateway in front for national algorithms"
            );
            return Err(fault(path, &text));
        }
    }
    Ok(())
}

/// What a key is when no signature of it can be verified; none for the usual kinds.
pub(super) fn unsupported(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    if let Ok(PublicKey::RSA(rsa)) = key.parsed() {
        let bits = rsa.modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
        return (!RSA_BITS.contains(&bits)).then(|| format!("an RSA key of {bits} bits"));
    }
    let identifier = algorithm_identifier(key.raw)?;
    let known = super::provider().signature_verification_algorithms.all;
    if known
        .iter()
        .any(|algorithm| algorithm.public_key_alg_id().as_ref() == identifier)
    {
        return None;
    }
    let curve = key
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok());
    Some(match (curve, key.algorithm.algorithm.to_id_string()) {
        (Some(curve), _) if curve.to_id_string() == "1.3.132.0.35" => {
            "an ECDSA key on P-521".into()
        }
        (Some(curve), _) if curve.to_id_string() == "1.2.156.10197.1.301" => "an SM2 key".into(),
        (Some(curve), algorithm) => format!(
            "a key of kind {algorithm} with curve {}",
            curve.to_id_string()
        ),
        (None, algorithm) => format!("a key of kind {algorithm}"),
    })
}

/// The content of a SubjectPublicKeyInfo's AlgorithmIdentifier, as rustls writes it: without tag and length.
fn algorithm_identifier(spki: &[u8]) -> Option<&[u8]> {
    let inner = content(spki)?;
    content(inner)
}

/// The content of the DER value a text begins with.
fn content(der: &[u8]) -> Option<&[u8]> {
    let (length, rest) = (*der.get(1)?, der.get(2..)?);
    if length < 0x80 {
        return rest.get(..usize::from(length));
    }
    let count = usize::from(length & 0x7f);
    let length = rest
        .get(..count)
        .filter(|bytes| bytes.len() <= 4)?
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.get(count..)?.get(..length)
}

/// What the revocation lists of a listener come to.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// When the first goes stale.
    pub expires_at: Option<jiff::Timestamp>,
    /// What works, but only for some: for doctor and the log.
    pub notes: Vec<String>,
}

/// One current list for every authority, signed by it, no two of one issuer, and none that covers nobody.
///
/// # Errors
/// A list or its absence would refuse every client of an authority; the text says which and what to do.
pub(super) fn check_lists(
    tls: &TlsFiles,
    authorities: &[CertificateDer<'_>],
    crls: &[CertificateRevocationListDer<'_>],
) -> Result<Lists, Fault> {
    let Some(path) = &tls.crl else {
        return Ok(Lists::default());
    };
    let mut found = Lists::default();
    let mut issuers: Vec<Vec<u8>> = Vec::new();
    for der in crls {
        let (_, list) = CertificateRevocationList::from_der(der)
            .map_err(|error| fault(path, &format!("is not a revocation list: {error}")))?;
        let issuer = printable(&list.issuer().to_string(), SHOWN_MAX);
        if issuers.iter().any(|known| known == list.issuer().as_raw()) {
            return Err(fault(
                path,
                &format!(
                    "holds two lists of `{issuer}`; keep the newer one only, the older might be consulted"
                ),
            ));
        }
        issuers.push(list.issuer().as_raw().to_vec());
        let next = list.next_update().ok_or_else(|| {
            fault(
                path,
                &format!("the list of `{issuer}` names no next update; expected one"),
            )
        })?;
        let next = jiff::Timestamp::from_second(next.timestamp())
            .map_err(|error| fault(path, &format!("has an impossible next update: {error}")))?;
        if next <= jiff::Timestamp::now() {
            return Err(fault(
                path,
                &format!(
                    "the list of `{issuer}` should have been replaced by {next}; fetch the current one from the authority"
                ),
            ));
        }
        found.expires_at = found
            .expires_at
            .map_or(Some(next), |earlier| Some(earlier.min(next)));
        found.notes.extend(scope(path, &list, crls.len())?);
    }
    for authority in authorities {
        let (_, authority) = X509Certificate::from_der(authority)
            .map_err(|error| fault(&tls.client_ca, &format!("is not a certificate: {error}")))?;
        let (subject, file) = (
            printable(&authority.subject().to_string(), SHOWN_MAX),
            tls.client_ca.display(),
        );
        if crls.iter().any(|der| forged(&authority, der)) {
            let text = format!(
                "the list of `{subject}` is not signed by the authority of that name in {file}; every client of it would be refused: fetch the list from that authority"
            );
            return Err(fault(path, &text));
        }
        if !issuers
            .iter()
            .any(|issuer| issuer == authority.subject().as_raw())
        {
            let text = format!(
                "holds no list of `{subject}`, an authority in {file}; every client of it would be refused: add its list"
            );
            return Err(fault(path, &text));
        }
    }
    Ok(found)
}

/// Whom a list with an issuing distribution point (RFC 5280, 5.2.5) covers: a note when it is some, a fault when it is nobody.
fn scope(
    path: &Path,
    list: &CertificateRevocationList<'_>,
    lists: usize,
) -> Result<Option<String>, Fault> {
    let issuer = printable(&list.issuer().to_string(), SHOWN_MAX);
    let Some(point) =
        list.extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::IssuingDistributionPoint(point) => Some(point),
                _ => None,
            })
    else {
        return Ok(None);
    };
    let nobody = |what: &str| {
        let text = format!(
            "the list of `{issuer}` {what}: it covers no client, so every client of that authority would be refused; fetch the authority's complete list"
        );
        Err(fault(path, &text))
    };
    if point.only_contains_attribute_certs {
        return nobody("is for attribute certificates only (issuing distribution point)");
    }
    if point.indirect_crl {
        return nobody("is an indirect one (issuing distribution point), which is not supported");
    }
    if point.only_some_reasons.is_some() {
        return nobody(
            "is for some reasons of revocation only (issuing distribution point), which is not supported",
        );
    }
    if point.only_contains_ca_certs && lists == 1 {
        return nobody("is for certificates of authorities only (issuing distribution point)");
    }
    let addresses = addresses(point);
    if addresses.is_empty() {
        return nobody("has an issuing distribution point without an address (URI)");
    }
    let whom = match (point.only_contains_ca_certs, point.only_contains_user_certs) {
        (true, _) => "certificates of authorities",
        (_, true) => "clients' certificates",
        _ => "certificates",
    };
    Ok(Some(format!(
        "the list of `{issuer}` is for {whom} whose distribution point is {} (or that name none); all others of that authority are refused: make sure it is the partition your partners' certificates name",
        addresses.join(" or ")
    )))
}

fn addresses(point: &IssuingDistributionPoint<'_>) -> Vec<String> {
    let Some(DistributionPointName::FullName(names)) = &point.distribution_point else {
        return Vec::new();
    };
    let uri = |name: &GeneralName<'_>| {
        if let GeneralName::URI(uri) = name {
            Some(printable(uri, SHOWN_MAX))
        } else {
            None
        }
    };
    names.iter().filter_map(uri).take(3).collect()
}

/// Whether a list bears an authority's name, but not its signature, by every algorithm a handshake takes.
fn forged(authority: &X509Certificate<'_>, der: &[u8]) -> bool {
    let Ok((_, list)) = CertificateRevocationList::from_der(der) else {
        return false;
    }; // Said before.
    let (key, message, signature) = (
        &authority.public_key().subject_public_key.data,
        list.tbs_cert_list.as_ref(),
        &list.signature_value.data,
    );
    let known = super::provider().signature_verification_algorithms.all;
    list.issuer().as_raw() == authority.subject().as_raw()
        && !known
            .iter()
            .any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}
