//! The certificates a client sends, looked at before any signature is verified.
//!
//! Building paths is the verifier's business, and it tries every order in which certificates could
//! have issued one another: a few of one name with different keys cost it a hundred signatures. So
//! here the names alone decide whether there is a way from the client's certificate to an
//! authority of ours, and only what lies on one goes to the verifier.

use std::collections::HashSet;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, OtherError};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates a client may send, its own included.
pub const CERTIFICATES_MAX: usize = 6;
/// Bytes of them together (DER).
pub const BYTES_MAX: usize = 16 * 1024;
/// Ways to an authority that are tried: an intermediate of two authorities has two.
const WAYS_MAX: usize = 3;

/// Why a chain is refused without verifying anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFault {
    /// Certificates sent.
    TooMany(usize),
    /// Bytes of the certificates sent.
    TooLarge(usize),
    /// More ways to an authority than are tried.
    TooManyWays,
    /// Following the issuers' names leads to no authority of ours.
    NoWay,
}

impl std::fmt::Display for ChainFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ChainFault::TooMany(found) => write!(
                f,
                "{found} certificates, at most {CERTIFICATES_MAX} are taken"
            ),
            ChainFault::TooLarge(found) => write!(
                f,
                "{found} bytes of certificates, at most {BYTES_MAX} are taken"
            ),
            ChainFault::TooManyWays => write!(
                f,
                "more than {WAYS_MAX} ways from the certificate to an authority"
            ),
            ChainFault::NoWay => f.write_str("no way from the certificate to an authority"),
        }
    }
}

impl std::error::Error for ChainFault {}

impl From<ChainFault> for rustls::Error {
    fn from(fault: ChainFault) -> rustls::Error {
        rustls::Error::InvalidCertificate(match fault {
            ChainFault::NoWay => CertificateError::UnknownIssuer,
            other => CertificateError::Other(OtherError(std::sync::Arc::new(other))),
        })
    }
}

/// The authorities of a listener, by what a chain can be compared with.
#[derive(Debug, Default)]
pub struct Anchors {
    certificates: Vec<CertificateDer<'static>>,
    /// Distinguished names (DER).
    names: HashSet<Vec<u8>>,
}

impl Anchors {
    /// Authorities that cannot be read are left out; whoever loads them has said so.
    pub fn new(certificates: &[CertificateDer<'static>]) -> Anchors {
        let names = certificates.iter().filter_map(|der| {
            Some(
                X509Certificate::from_der(der)
                    .ok()?
                    .1
                    .subject()
                    .as_raw()
                    .to_vec(),
            )
        });
        Anchors {
            names: names.collect(),
            certificates: certificates.to_vec(),
        }
    }
}

/// The certificates of `rest` that may lead from `own` to an authority, in the order sent.
///
/// # Errors
/// The chain is too long, too large, leads nowhere or to an authority in too many ways.
pub fn useful<'c>(
    own: &CertificateDer<'_>,
    rest: &[CertificateDer<'c>],
    anchors: &Anchors,
) -> Result<Vec<CertificateDer<'c>>, ChainFault> {
    if rest.len() >= CERTIFICATES_MAX {
        return Err(ChainFault::TooMany(rest.len() + 1));
    }
    let bytes = own.len() + rest.iter().map(|der| der.len()).sum::<usize>();
    if bytes > BYTES_MAX {
        return Err(ChainFault::TooLarge(bytes));
    }
    let mut sent: Vec<(&CertificateDer<'c>, X509Certificate<'_>)> = Vec::new();
    for der in rest {
        let copy = der == own
            || anchors.certificates.contains(der)
            || sent.iter().any(|(known, _)| *known == der);
        if let (false, Ok((_, parsed))) = (copy, X509Certificate::from_der(der)) {
            sent.push((der, parsed));
        }
    }
    let Ok((_, own)) = X509Certificate::from_der(own) else {
        return Err(ChainFault::NoWay);
    };
    let names = sent
        .iter()
        .map(|(_, parsed)| (parsed.subject().as_raw(), parsed.issuer().as_raw()))
        .collect();
    let mut ways = Ways {
        names,
        anchors: &anchors.names,
        found: 0,
        on_one: vec![false; sent.len()],
    };
    ways.follow(own.issuer().as_raw(), &mut Vec::new());
    match ways.found {
        0 => Err(ChainFault::NoWay),
        1..=WAYS_MAX => Ok(sent
            .iter()
            .zip(&ways.on_one)
            .filter(|(_, on_one)| **on_one)
            .map(|((der, _), _)| (*der).clone())
            .collect()),
        _ => Err(ChainFault::TooManyWays),
    }
}

/// A search by names; six certificates make 326 orders at most.
struct Ways<'c> {
    /// Subject and issuer of each certificate that can be passed through.
    names: Vec<(&'c [u8], &'c [u8])>,
    anchors: &'c HashSet<Vec<u8>>,
    found: usize,
    on_one: Vec<bool>,
}

impl<'c> Ways<'c> {
    fn follow(&mut self, issuer: &'c [u8], passed: &mut Vec<usize>) {
        if self.anchors.contains(issuer) {
            self.found += 1;
            passed.iter().for_each(|at| self.on_one[*at] = true);
        }
        for at in 0..self.names.len() {
            let (subject, next) = self.names[at];
            if subject == issuer && !passed.contains(&at) {
                passed.push(at);
                self.follow(next, passed);
                passed.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests;
