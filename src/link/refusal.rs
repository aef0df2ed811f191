//! Handshakes that were refused: why in one word and one sentence, counted, and logged at a bounded rate.
//!
//! Nobody is refused silently and nobody fills the log: the first refusal of an address and subject
//! for a reason is a line, the next of the same kind within a minute are counted, and every ten seconds
//! one line says how many there were. Text of clients is cut and escaped before it gets here.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::{CertificateError, PeerIncompatible, PeerMisbehaved};

use super::chain::{BYTES_MAX, CERTIFICATES_MAX, ChainFault};
use super::slots::Address;
use crate::telemetry::Metrics;

/// How long the same reason for the same address and subject is one line.
const SAME_FOR: Duration = Duration::from_secs(60);
/// In which time so many lines are written at most, for strangers and for addresses partners came from each.
const WINDOW: Duration = Duration::from_secs(10);
const LINES_MAX: u32 = 10;
/// Addresses and reasons remembered.
const REMEMBERED_MAX: usize = 2_048;

/// Why a handshake was refused, in the words of the metric `ltcgw_handshakes_refused_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HandshakeRefusalReason {
    Silent,
    Displaced,
    Closed,
    NotTls,
    NoCommonVersion,
    NoCommonCipher,
    NoCommonProtocol,
    NoCertificate,
    ChainTooLong,
    UnknownIssuer,
    BadSignature,
    Expired,
    NotYetValid,
    Revoked,
    NoRevocationList,
    WrongUse,
    OldVersion,
    UnsupportedKey,
    Unreadable,
    ClientRefused,
    NoPartner,
    Other,
}

impl HandshakeRefusalReason {
    /// Every reason.
    pub const ALL: [HandshakeRefusalReason; 22] = [
        HandshakeRefusalReason::Silent,
        HandshakeRefusalReason::Displaced,
        HandshakeRefusalReason::Closed,
        HandshakeRefusalReason::NotTls,
        HandshakeRefusalReason::NoCommonVersion,
        HandshakeRefusalReason::NoCommonCipher,
        HandshakeRefusalReason::NoCommonProtocol,
        HandshakeRefusalReason::NoCertificate,
        HandshakeRefusalReason::ChainTooLong,
        HandshakeRefusalReason::UnknownIssuer,
        HandshakeRefusalReason::BadSignature,
        HandshakeRefusalReason::Expired,
        HandshakeRefusalReason::NotYetValid,
        HandshakeRefusalReason::Revoked,
        HandshakeRefusalReason::NoRevocationList,
        HandshakeRefusalReason::WrongUse,
        HandshakeRefusalReason::OldVersion,
        HandshakeRefusalReason::UnsupportedKey,
        HandshakeRefusalReason::Unreadable,
        HandshakeRefusalReason::ClientRefused,
        HandshakeRefusalReason::NoPartner,
        HandshakeRefusalReason::Other,
    ];

    /// The label of the metric and the log.
    pub fn word(self) -> &'static str {
        match self {
            HandshakeRefusalReason::Silent => "silent",
            HandshakeRefusalReason::Displaced => "displaced",
            HandshakeRefusalReason::Closed => "closed",
            HandshakeRefusalReason::NotTls => "not_tls",
            HandshakeRefusalReason::NoCommonVersion => "no_common_version",
            HandshakeRefusalReason::NoCommonCipher => "no_common_cipher",
            HandshakeRefusalReason::NoCommonProtocol => "no_common_protocol",
            HandshakeRefusalReason::NoCertificate => "no_certificate",
            HandshakeRefusalReason::ChainTooLong => "chain_too_long",
            HandshakeRefusalReason::UnknownIssuer => "unknown_issuer",
            HandshakeRefusalReason::BadSignature => "bad_signature",
            HandshakeRefusalReason::Expired => "expired",
            HandshakeRefusalReason::NotYetValid => "not_yet_valid",
            HandshakeRefusalReason::Revoked => "revoked",
            HandshakeRefusalReason::NoRevocationList => "no_revocation_list",
            HandshakeRefusalReason::WrongUse => "wrong_use",
            HandshakeRefusalReason::OldVersion => "old_version",
            HandshakeRefusalReason::UnsupportedKey => "unsupported_key",
            HandshakeRefusalReason::Unreadable => "unreadable",
            HandshakeRefusalReason::ClientRefused => "client_refused",
            HandshakeRefusalReason::NoPartner => "no_partner",
            HandshakeRefusalReason::Other => "other",
        }
    }

    /// What was found, and what to change.
    pub fn sentence(self) -> String {
        match self {
            HandshakeRefusalReason::Silent => "the client did not finish the handshake in time; look at the network between, or for a port scan".into(),
            HandshakeRefusalReason::Displaced => "ended unfinished for a newer one, because too many were under way; if partners come through a load balancer, list its address in [listen] load_balancers".into(),
            HandshakeRefusalReason::Closed => "the client went away during the handshake; its own log says why".into(),
            HandshakeRefusalReason::NotTls => "what came is not TLS; the client must call https://".into(),
            HandshakeRefusalReason::NoCommonVersion => "the client offers neither TLS 1.3 nor TLS 1.2 with signature algorithms; it must be updated, national algorithms (TLCP) need a gateway in front".into(),
            HandshakeRefusalReason::NoCommonCipher => "no common cipher or key exchange; the client must offer ECDHE on X25519, P-256 or P-384 with AES-GCM or ChaCha20, and SHA-256 or better signatures".into(),
            HandshakeRefusalReason::NoCommonProtocol => "the client offers other protocols (ALPN) only; it must offer http/1.1".into(),
            HandshakeRefusalReason::NoCertificate => format!("the client sent no certificate; it must be given one, with a key that is {}: one on P-521 or an SM2 key is not sent", super::authority::KEYS),
            HandshakeRefusalReason::ChainTooLong => format!("the client sent too many certificates; it must send its own and the intermediate ones, at most {CERTIFICATES_MAX} and {BYTES_MAX} bytes, in one line to the authority"),
            HandshakeRefusalReason::UnknownIssuer => "the client's certificate does not lead to an authority in [tls] client_ca; add the authority there, or have the client send the intermediate certificates".into(),
            HandshakeRefusalReason::BadSignature => "a signature of the client's chain or handshake is wrong: the authority has another key than the one in [tls] client_ca, or the client's key is not its certificate's".into(),
            HandshakeRefusalReason::Expired => "the client's certificate, or one above it, has expired; the partner must renew it (or this machine's clock is wrong)".into(),
            HandshakeRefusalReason::NotYetValid => "the client's certificate, or one above it, is not valid yet; wait, or set this machine's clock".into(),
            HandshakeRefusalReason::Revoked => "the client's certificate, or one above it, is revoked; the partner must get a new one".into(),
            HandshakeRefusalReason::NoRevocationList => "no current revocation list covers the client's certificate; put the list of each issuer of its chain into [tls] crl, the one for its distribution point where lists are partitioned".into(),
            HandshakeRefusalReason::WrongUse => "the certificate is not for clients; the partner needs one whose extended key usage has clientAuth, issued by a certificate that may issue".into(),
            HandshakeRefusalReason::OldVersion => "the certificate is not X.509 version 3; the partner must have it issued anew".into(),
            HandshakeRefusalReason::UnsupportedKey => format!("a key or signature of the client's chain is of a kind that cannot be verified; expected {} with SHA-256 or better", super::authority::KEYS),
            HandshakeRefusalReason::Unreadable => "the client's certificate cannot be read; the partner must have it issued anew".into(),
            HandshakeRefusalReason::ClientRefused => "the client refused us: it does not trust our certificate or its name, or wants other algorithms; give it our authority's certificate".into(),
            HandshakeRefusalReason::NoPartner => "the certificate belongs to no partner; add its spki_sha256 or a name to partners.toml".into(),
            HandshakeRefusalReason::Other => "the handshake failed".into(),
        }
    }

    /// What an error of a handshake means.
    pub fn of(error: &io::Error) -> HandshakeRefusalReason {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(error) => HandshakeRefusalReason::of_tls(error),
            None if error.kind() == io::ErrorKind::InvalidData => HandshakeRefusalReason::NotTls,
            None => HandshakeRefusalReason::Closed,
        }
    }

    fn of_tls(error: &rustls::Error) -> HandshakeRefusalReason {
        use rustls::Error as E;
        match error {
            E::NoCertificatesPresented => HandshakeRefusalReason::NoCertificate,
            E::InvalidCertificate(error) => HandshakeRefusalReason::of_certificate(error),
            E::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired, // what a hello of TLS 1.1 lacks first
            ) => HandshakeRefusalReason::NoCommonVersion,
            E::PeerIncompatible(_) => HandshakeRefusalReason::NoCommonCipher,
            E::PeerMisbehaved(
                PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme
                | PeerMisbehaved::SignedKxWithWrongAlgorithm,
            ) => HandshakeRefusalReason::UnsupportedKey,
            E::NoApplicationProtocol => HandshakeRefusalReason::NoCommonProtocol,
            E::AlertReceived(_) => HandshakeRefusalReason::ClientRefused,
            E::InvalidMessage(_)
            | E::InappropriateMessage { .. }
            | E::InappropriateHandshakeMessage { .. }
            | E::PeerSentOversizedRecord => HandshakeRefusalReason::NotTls,
            _ => HandshakeRefusalReason::Other,
        }
    }

    /// What an error about a certificate means.
    pub fn of_certificate(error: &CertificateError) -> HandshakeRefusalReason {
        use CertificateError as C;
        match error {
            C::BadEncoding | C::UnhandledCriticalExtension => HandshakeRefusalReason::Unreadable,
            C::Expired | C::ExpiredContext { .. } => HandshakeRefusalReason::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => HandshakeRefusalReason::NotYetValid,
            C::Revoked => HandshakeRefusalReason::Revoked,
            C::UnknownIssuer => HandshakeRefusalReason::UnknownIssuer,
            C::UnknownRevocationStatus
            | C::ExpiredRevocationList
            | C::ExpiredRevocationListContext { .. } => HandshakeRefusalReason::NoRevocationList,
            C::BadSignature => HandshakeRefusalReason::BadSignature,
            C::UnsupportedSignatureAlgorithmContext { .. }
            | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                HandshakeRefusalReason::UnsupportedKey
            }
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => HandshakeRefusalReason::WrongUse,
            C::Other(other) if other.0.downcast_ref::<ChainFault>().is_some() => {
                HandshakeRefusalReason::ChainTooLong
            }
            _ => HandshakeRefusalReason::Other,
        }
    }
}

/// One refused handshake.
#[derive(Debug)]
pub struct RefusedHandshake<'a> {
    pub peer: SocketAddr,
    /// Whether a partner came from there before.
    pub known: bool,
    pub reason: HandshakeRefusalReason,
    /// Who the certificate says it is, cut and escaped; empty before there is one.
    pub who: &'a str,
    /// What was found beyond the reason, cut and escaped.
    pub detail: &'a str,
}

/// Counts refusals and says of which a line is written.
#[derive(Debug)]
pub struct Refusals {
    metrics: Metrics,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// By address, reason and the certificate's names: partners may share the address of a load balancer.
    said: HashMap<(Address, HandshakeRefusalReason, String), Instant>,
    /// Since when, and how many lines: of strangers, of known addresses.
    windows: [Option<(Instant, u32)>; 2],
    unsaid: BTreeMap<HandshakeRefusalReason, u64>,
}

impl Refusals {
    pub fn new(metrics: Metrics) -> Refusals {
        // Counted from zero, or the first refusal would be no increase that an alert sees.
        HandshakeRefusalReason::ALL
            .iter()
            .for_each(|reason| metrics.handshakes_refused_of(reason.word(), 0));
        Refusals {
            metrics,
            book: Mutex::default(),
        }
    }

    /// Counts a refusal, and logs it unless there were too many of its kind.
    pub fn refused(&self, refused: &RefusedHandshake<'_>) {
        if self.counts(refused, Instant::now()) {
            let RefusedHandshake {
                peer,
                reason,
                who,
                detail,
                ..
            } = refused;
            tracing::warn!(%peer, reason = reason.word(), %who, %detail, "a handshake was refused: {}", reason.sentence());
        }
    }

    /// Logs how many refusals had no line of their own since the last time; call every ten seconds.
    pub fn report(&self) {
        if let Some(text) = self.unsaid() {
            tracing::warn!(
                "refused handshakes without a line of their own: {text}; ltcgw_handshakes_refused_total counts all"
            );
        }
    }

    /// Counts; true when a line is to be written.
    fn counts(&self, refused: &RefusedHandshake<'_>, now: Instant) -> bool {
        self.metrics.handshakes_refused_of(refused.reason.word(), 1);
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = (
            Address::of(refused.peer.ip()),
            refused.reason,
            refused.who.to_string(),
        );
        let again = book
            .said
            .get(&kind)
            .is_some_and(|at| now.saturating_duration_since(*at) < SAME_FOR);
        if again || !book.has_room(refused.known, now) {
            *book.unsaid.entry(refused.reason).or_default() += 1;
            return false;
        }
        if book.said.len() >= REMEMBERED_MAX {
            book.said
                .retain(|_, at| now.saturating_duration_since(*at) < SAME_FOR);
        }
        if book.said.len() < REMEMBERED_MAX {
            book.said.insert(kind, now);
        }
        true
    }

    fn unsaid(&self) -> Option<String> {
        let unsaid = std::mem::take(
            &mut self
                .book
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .unsaid,
        );
        let texts: Vec<String> = unsaid
            .iter()
            .map(|(reason, count)| format!("{} {count}", reason.word()))
            .collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }
}

impl Book {
    /// Takes a line of this window, if there is one left.
    fn has_room(&mut self, known: bool, now: Instant) -> bool {
        let window = &mut self.windows[usize::from(known)];
        let lines = match window {
            Some((since, lines)) if now.saturating_duration_since(*since) < WINDOW => lines,
            _ => &mut window.insert((now, 0)).1,
        };
        *lines += 1;
        *lines <= LINES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Exposition;

    fn refused(
        address: &str,
        known: bool,
        reason: HandshakeRefusalReason,
    ) -> RefusedHandshake<'static> {
        RefusedHandshake {
            peer: format!("{address}:4000").parse().unwrap(),
            known,
            reason,
            who: "",
            detail: "",
        }
    }

    #[test]
    fn the_same_refusal_of_an_address_is_one_line_a_minute_and_counted_beside() {
        let (refusals, now) = (Refusals::new(Metrics::default()), Instant::now());
        let again = refused("10.0.0.1", false, HandshakeRefusalReason::Expired);
        let lines = (0..500).filter(|_| refusals.counts(&again, now)).count();
        assert_eq!(lines, 1);
        assert!(
            refusals.counts(
                &refused("10.0.0.1", false, HandshakeRefusalReason::WrongUse),
                now
            ),
            "another reason is another line"
        );
        assert!(
            refusals.counts(
                &RefusedHandshake {
                    who: "CN=other",
                    ..refused("10.0.0.1", false, HandshakeRefusalReason::Expired)
                },
                now
            ),
            "another partner behind the same address, too"
        );
        assert_eq!(refusals.unsaid().as_deref(), Some("expired 499"));
        assert_eq!(refusals.unsaid(), None);
        assert!(refusals.counts(&again, now + SAME_FOR));
    }

    #[test]
    fn a_crowd_of_strangers_writes_ten_lines_and_hides_nobody_a_partner_came_from() {
        let (refusals, now) = (Refusals::new(Metrics::default()), Instant::now());
        let lines = (0..250)
            .filter(|last| {
                refusals.counts(
                    &refused(
                        &format!("10.0.0.{last}"),
                        false,
                        HandshakeRefusalReason::NotTls,
                    ),
                    now,
                )
            })
            .count();
        assert_eq!(lines, 10);
        assert!(refusals.counts(
            &refused("10.1.0.1", true, HandshakeRefusalReason::Revoked),
            now
        ));
        assert_eq!(refusals.unsaid().as_deref(), Some("not_tls 240"));
        assert!(refusals.counts(
            &refused("10.0.0.249", false, HandshakeRefusalReason::NotTls),
            now + WINDOW
        ));
    }

    #[test]
    fn every_reason_has_a_word_of_its_own_and_says_what_to_do() {
        let metrics = Metrics::default();
        let refusals = Refusals::new(metrics.clone());
        refusals.refused(&refused(
            "10.0.0.1",
            false,
            HandshakeRefusalReason::NoCommonCipher,
        ));
        assert!(
            metrics
                .encode(Exposition::Text)
                .contains(r#"ltcgw_handshakes_refused_total{reason="no_common_cipher"} 1"#),
            "{}",
            metrics.encode(Exposition::Text)
        );
        assert!(
            HandshakeRefusalReason::NoCertificate
                .sentence()
                .contains("P-521")
        );
        assert!(
            HandshakeRefusalReason::WrongUse
                .sentence()
                .contains("clientAuth")
        );
    }
}
