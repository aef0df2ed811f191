//! Revocation lists never go back: an older list of an issuer does not replace a newer one, neither while running nor
//! over a restart, for which the newest ones are kept in a file of the gateway's own.
//!
//! Only compares and keeps; whether a list may be used at all is `server_tls`'s business.

use std::io::Write;
use std::path::Path;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::certificate::{self, fault};
use super::signature::signed_by;
use crate::error::Fault;

/// A revocation list in DER.
pub(super) type List = CertificateRevocationListDer<'static>;

/// The newest lists known, and what is wrong with those that were found.
#[derive(Debug, Default)]
pub(super) struct Newest {
    pub lists: Vec<List>,
    /// A sentence for each list that is older than one taken before.
    pub older: Vec<String>,
}

/// Of each list found the newer one of it and of the one taken before. One that bears the name of an authority without
/// its signature was taken for another authority of that name and counts no more.
pub(super) fn newest(
    path: &Path,
    found: Vec<List>,
    known: &[List],
    authorities: &[CertificateDer<'_>],
) -> Newest {
    let authorities: Vec<X509Certificate<'_>> = authorities
        .iter()
        .filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1))
        .collect();
    let known: Vec<(&List, CertificateRevocationList<'_>)> = known
        .iter()
        .filter_map(|der| Some((der, parsed(der)?)))
        .collect();
    let mut newest = Newest::default();
    for der in found {
        let replaces = parsed(&der).and_then(|list| {
            let same = |before: &CertificateRevocationList<'_>| {
                before.issuer().as_raw() == list.issuer().as_raw() && is_of(before, &authorities)
            };
            let (kept, before) = known
                .iter()
                .find(|(_, before)| same(before) && is_older(&list, before))?;
            Some(((*kept).clone(), older(path, &list, before)))
        });
        match replaces {
            Some((kept, sentence)) => {
                newest.lists.push(kept);
                newest.older.push(sentence);
            }
            None => newest.lists.push(der),
        }
    }
    newest
}

/// The lists kept from earlier; none when there is no file yet.
pub(super) fn kept(path: Option<&Path>) -> Vec<List> {
    let Some(path) = path.filter(|path| path.exists()) else {
        return Vec::new();
    };
    certificate::read(path).and_then(|pem| certificate::revocation_lists(path, &pem)).unwrap_or_else(|fault| {
        tracing::warn!(%fault, "the revocation lists taken before cannot be read; an older list would not be noticed");
        Vec::new()
    })
}

/// Keeps lists for later starts, in the place of those kept before.
pub(super) fn keep(path: &Path, lists: &[List]) -> Result<(), Fault> {
    let cannot = |error: std::io::Error| {
        fault(
            path,
            &format!(
                "cannot be written: {error}; an older revocation list would be taken after a restart"
            ),
        )
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    for list in lists {
        file.write_all(pem(list).as_bytes()).map_err(cannot)?;
    }
    file.as_file().sync_all().map_err(cannot)?;
    file.persist(path)
        .map(drop)
        .map_err(|error| cannot(error.error))
}

pub(super) fn parsed<'a>(
    der: &'a CertificateRevocationListDer<'_>,
) -> Option<CertificateRevocationList<'a>> {
    CertificateRevocationList::from_der(der)
        .ok()
        .map(|(_, list)| list)
}

/// Whether a list is signed by an authority of its name; also when none has that name, as for the authorities below ours.
fn is_of(list: &CertificateRevocationList<'_>, authorities: &[X509Certificate<'_>]) -> bool {
    let mut named = authorities
        .iter()
        .filter(|authority| authority.subject().as_raw() == list.issuer().as_raw())
        .peekable();
    named.peek().is_none() || named.any(|authority| is_signed_by(list, authority))
}

/// Whether an authority's key signed the list.
pub(super) fn is_signed_by(
    list: &CertificateRevocationList<'_>,
    authority: &X509Certificate<'_>,
) -> bool {
    let algorithm = list.signature_algorithm.algorithm.to_id_string();
    signed_by(
        authority,
        (
            list.tbs_cert_list.as_ref(),
            &algorithm,
            &list.signature_value.data,
        ),
    )
}

/// A lower number (RFC 5280 §5.2.3) or an older date.
fn is_older(list: &CertificateRevocationList<'_>, before: &CertificateRevocationList<'_>) -> bool {
    let numbers = list.crl_number().zip(before.crl_number());
    numbers.is_some_and(|(number, before)| number < before)
        || list.last_update().timestamp() < before.last_update().timestamp()
}

fn older(
    path: &Path,
    list: &CertificateRevocationList<'_>,
    before: &CertificateRevocationList<'_>,
) -> String {
    let which = |list: &CertificateRevocationList<'_>| {
        let of = jiff::Timestamp::from_second(list.last_update().timestamp())
            .map_or_else(|_| "no date".to_owned(), |at| at.to_string());
        list.crl_number()
            .map_or_else(|| of.clone(), |number| format!("number {number}, of {of}"))
    };
    format!(
        "{}: the list of `{}` ({}) is older than the one taken before ({}), which stays in force; fetch the current list from the authority",
        path.display(),
        certificate::printable(&list.issuer().to_string()),
        which(list),
        which(before)
    )
}

/// As PEM (RFC 7468 §6).
fn pem(list: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(list);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n",
        lines.join("\n")
    )
}
