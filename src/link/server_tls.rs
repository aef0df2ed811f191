//! The partner listener's TLS: client certificates are mandatory, revocation counts, everything
//! reloads without a restart and reaches live connections, too.
//!
//! Decisions, all towards refusing:
//! - With a revocation list configured, every certificate of a client's chain below the authority
//!   must have a current list of its issuer: one list per issuer, an authority without one is a
//!   configuration error, a list past its `nextUpdate` refuses clients (as nginx does) and does
//!   not load, no more than one that bears an authority's name without its signature. Doctor and
//!   metrics tell beforehand. Lists of other issuers are kept for the chains clients send.
//! - A list never replaces a newer one (`revocation`); the newer one stays in force.
//! - No session is resumed: a resumed session would skip the client's verification.
//! - A live connection's certificate is verified anew after every reload and every half minute.
//! - A chain is looked at before any of its signatures is verified (`chain`).
//! - An authority or list that could never let anybody in does not load (`authority`).
//!
//! Says who the partner is, not what it may call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::acceptor::{self, PresentedCertificate};
use super::authority;
use super::certificate::{self, CertificateFacts, fault};
use super::chain::{self, Anchors};
use super::connections::{ClientConnection, Owner};
use super::identity::Identities;
use super::refusal::HandshakeRefusalReason;
use super::revocation::{self, Newest};
use super::tlcp::{Caller, CallerRefusal, Gateways};
use crate::config::{Partner, TlsFiles};
use crate::error::{Fault, Stage};

/// How long a verification of a live connection's certificate holds.
const VERDICT_HOLDS: Duration = Duration::from_secs(30);

/// Whom we trust and who we are, reloadable.
#[derive(Debug)]
pub struct TrustState {
    loaded: ArcSwap<Loaded>,
    /// When the certificates end that partners called with.
    callers: Mutex<BTreeMap<Arc<str>, jiff::Timestamp>>,
}

#[derive(Debug)]
struct Loaded {
    verifier: Arc<dyn ClientCertVerifier>,
    certified: Arc<CertifiedKey>,
    identities: Identities,
    anchors: Anchors,
    tlcp: Gateways,
    /// What the lists of the handshakes come to.
    scope: authority::Lists,
    /// When the first revocation list goes stale.
    crl_expires_at: Option<jiff::Timestamp>,
    lists: Vec<revocation::List>,
    older_lists: Vec<String>,
    /// Of the files' contents.
    digest: [u8; 32],
}

impl TrustState {
    /// Reads certificate, key, authority and revocation list.
    ///
    /// # Errors
    /// A file cannot be read or used, key and certificate do not belong together, a list is stale,
    /// missing for an authority or not signed by it.
    pub fn load(tls: &TlsFiles, partners: &[Partner]) -> Result<Arc<TrustState>, Fault> {
        let taken = revocation::kept(tls.lists_taken.as_deref());
        Ok(Arc::new(TrustState {
            loaded: ArcSwap::from_pointee(Loaded::read(tls, partners, &taken)?),
            callers: Mutex::default(),
        }))
    }

    /// Reads everything again and says whether anything changed; on a fault the old state stays.
    pub fn reload(&self, tls: &TlsFiles, partners: &[Partner]) -> Result<bool, Fault> {
        let old = self.loaded.load();
        let new = Loaded::read(tls, partners, &old.lists)?;
        if new.digest == old.digest && new.identities == old.identities {
            return Ok(false);
        }
        self.loaded.store(Arc::new(new));
        Ok(true)
    }

    /// The TLS configuration of the listener; it follows reloads by itself.
    pub fn server_config(self: &Arc<TrustState>) -> Result<ServerConfig, Fault> {
        let follows = Arc::new(Follows(self.clone()));
        let mut config = ServerConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| {
                Fault::operator(
                    Stage::Config,
                    format!("partner listener: no TLS configuration: {error}"),
                )
            })?
            .with_client_cert_verifier(follows.clone())
            .with_cert_resolver(follows);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The partner at the other end, if its certificate is still good; ask for every request.
    ///
    /// Cheap unless the state was reloaded or [`VERDICT_HOLDS`] has passed since the last time.
    ///
    /// # Errors
    /// The certificate has expired, was revoked, lost its authority or belongs to no partner (any
    /// more): refuse the request and close the connection.
    pub fn still_good(&self, peer: &PeerCertificate) -> Result<Arc<str>, Fault> {
        self.whose(peer, None).map_err(|refused| refused.fault)
    }

    /// The same for a request with a header that passes a client's certificate on, which only a TLCP gateway may send.
    ///
    /// # Errors
    /// As [`TrustState::still_good`], of the certificate passed on as well; a header from anybody else.
    pub fn whose(
        &self,
        peer: &PeerCertificate,
        passed: Option<&[u8]>,
    ) -> Result<Arc<str>, CallerRefusal> {
        let refused = |text: String, told| {
            Err(CallerRefusal {
                fault: Fault::partner(Stage::Identity, text),
                told: Some(told),
            })
        };
        match (
            self.caller(peer).map_err(|fault| CallerRefusal {
                fault,
                told: peer.unfit,
            })?,
            passed,
        ) {
            (Caller::Partner(name), None) => Ok(name),
            (Caller::Partner(name), Some(_)) => refused(
                format!(
                    "partner {name} sent the header Client-Cert, which only a TLCP gateway listed in [tls.tlcp] may"
                ),
                "the header Client-Cert is taken only from a TLCP gateway that this gateway's operator has listed; send the request without it",
            ),
            (Caller::Gateway(name), None) => refused(
                format!("the TLCP gateway {name} passed on no client certificate"),
                "a TLCP gateway passes its client's certificate on in the header Client-Cert; there is none",
            ),
            (Caller::Gateway(_), Some(header)) => {
                let loaded = self.loaded.load();
                loaded.tlcp.passed_on(header, &loaded.identities)
            }
        }
    }

    fn caller(&self, peer: &PeerCertificate) -> Result<Caller, Fault> {
        let loaded = self.loaded.load_full();
        let mut last = peer.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(verdict)
                if Arc::ptr_eq(&verdict.by, &loaded) && verdict.at.elapsed() < VERDICT_HOLDS =>
            {
                verdict.caller.clone()
            }
            _ => {
                let caller = loaded.judge(&peer.chain);
                if let (Ok(Caller::Partner(name)), Some(own)) = (&caller, peer.chain.first())
                    && let Ok(facts) = CertificateFacts::of(own)
                {
                    let mut ends = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
                    ends.insert(name.clone(), facts.not_after);
                }
                *last = Some(Verdict {
                    by: loaded,
                    at: Instant::now(),
                    caller: caller.clone(),
                });
                caller
            }
        }
    }

    /// When the certificates end that partners called with since the start, each the one seen last.
    pub fn callers_end(&self) -> Vec<(Arc<str>, jiff::Timestamp)> {
        let ends = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter()
            .map(|(name, end)| (name.clone(), *end))
            .collect()
    }

    /// When the first revocation list goes stale and clients are refused; none without a list.
    pub fn crl_expires_at(&self) -> Option<jiff::Timestamp> {
        self.loaded.load().crl_expires_at
    }

    /// What of the files works for some clients only, in sentences for doctor and the log.
    pub fn notes(&self) -> Vec<String> {
        self.loaded.load().scope.notes.clone()
    }

    /// Keeps the revocation lists in force, so that no older ones are taken after a restart.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_lists(&self, tls: &TlsFiles) -> Result<(), Fault> {
        let loaded = self.loaded.load();
        match &tls.lists_taken {
            Some(path) if !loaded.lists.is_empty() => revocation::keep(path, &loaded.lists),
            _ => Ok(()),
        }
    }

    /// A sentence for each configured revocation list that is older than one taken before, which stays in force.
    pub fn older_lists(&self) -> Vec<String> {
        self.loaded.load().older_lists.clone()
    }

    /// The facts of our server certificate.
    pub fn server_facts(&self) -> Result<CertificateFacts, Fault> {
        let certified = self.loaded.load().certified.clone();
        let first = certified.cert.first().map(|der| CertificateFacts::of(der));
        first
            .unwrap_or_else(|| Err("is empty".into()))
            .map_err(|error| {
                Fault::operator(Stage::Config, format!("the server certificate {error}"))
            })
    }
}

/// The certificate chain a client presented on one connection; keep it with the connection.
#[derive(Debug)]
pub struct PeerCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// Why its key may not say who somebody is, as a sentence for its owner.
    unfit: Option<&'static str>,
    verdict: Mutex<Option<Verdict>>,
}

#[derive(Debug)]
struct Verdict {
    by: Arc<Loaded>,
    at: Instant,
    caller: Result<Caller, Fault>,
}

impl PeerCertificate {
    /// From the chain of a finished handshake, the client's own certificate first.
    pub fn new(chain: &[CertificateDer<'_>]) -> PeerCertificate {
        let chain: Vec<CertificateDer<'static>> =
            chain.iter().map(|der| der.clone().into_owned()).collect();
        let unfit = chain
            .first()
            .and_then(|own| certificate::unfit_to_sign(own));
        PeerCertificate {
            chain,
            unfit,
            verdict: Mutex::new(None),
        }
    }

    /// From what the listener hands to `on_connect`; none unless it is a TLS connection with a client certificate.
    pub fn of_connection(connection: &dyn std::any::Any) -> Option<PeerCertificate> {
        let connection = connection.downcast_ref::<ClientConnection>()?;
        Some(PeerCertificate::new(
            connection.tls().get_ref().1.peer_certificates()?,
        ))
    }
}

impl Loaded {
    fn read(
        tls: &TlsFiles,
        partners: &[Partner],
        taken: &[revocation::List],
    ) -> Result<Loaded, Fault> {
        let mut digest = Sha256::new();
        let mut read = |path: &std::path::Path| {
            let content = certificate::read(path)?;
            digest.update((content.len() as u64).to_be_bytes());
            digest.update(&content);
            Ok::<Vec<u8>, Fault>(content)
        };
        let chain = certificate::certificates(&tls.certificate, &read(&tls.certificate)?)?;
        let key = certificate::private_key(&tls.key, &read(&tls.key)?)?;
        let authorities = certificate::certificates(&tls.client_ca, &read(&tls.client_ca)?)?;
        let Newest {
            lists,
            older: older_lists,
        } = match &tls.crl {
            Some(path) => revocation::newest(
                path,
                certificate::revocation_lists(path, &read(path)?)?,
                taken,
                &authorities,
            ),
            None => Newest::default(),
        };
        let certified =
            CertifiedKey::from_der(chain, key, &super::provider()).map_err(|error| {
                fault(
                    &tls.key,
                    &format!("cannot be used with {}: {error}", tls.certificate.display()),
                )
            })?;
        authority::check_keys(&tls.client_ca, &authorities)?;
        let scope = authority::check_lists(tls, &authorities, &lists)?;
        let anchors = Anchors::new(&authorities);
        let (tlcp, more) = Gateways::read(&tls.tlcp, &mut read, taken)?;
        let crl_expires_at = scope
            .expires_at
            .into_iter()
            .chain(tlcp.lists_expire_at())
            .min();
        Ok(Loaded {
            verifier: verifier(tls, authorities, lists.clone())?,
            certified: Arc::new(certified),
            identities: Identities::from_config(partners),
            anchors,
            tlcp,
            scope,
            crl_expires_at,
            lists: [lists, more.lists].concat(),
            older_lists: [older_lists, more.older].concat(),
            digest: digest.finalize().into(),
        })
    }

    fn judge(&self, chain: &[CertificateDer<'static>]) -> Result<Caller, Fault> {
        let refused = |text: String| Fault::partner(Stage::Identity, text);
        let (own, rest) = chain
            .split_first()
            .ok_or_else(|| refused("the client sent no certificate".into()))?;
        let facts = CertificateFacts::of(own)
            .map_err(|error| refused(format!("the client certificate is {error}")))?;
        if let Err(error) = self.verify(own, rest, UnixTime::now()) {
            return Err(refused(format!(
                "the client certificate is not good any more: {}; {}",
                shown(&error),
                facts.who()
            )));
        }
        if let Some(reason) = certificate::unfit_to_sign(own) {
            return Err(refused(format!("{reason}; {}", facts.who())));
        }
        if let Some(gateway) = self.tlcp.named(&facts) {
            return Ok(Caller::Gateway(gateway));
        }
        self.identities.partner(&facts).map(Caller::Partner)
    }

    /// What may lead to an authority is verified; nothing else costs a signature.
    fn verify(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let useful = chain::useful(own, rest, &self.anchors)?;
        self.verifier.verify_client_cert(own, &useful, now)
    }

    /// What a client presented, for the log; `error` is what the verifier says of it.
    fn presented(
        &self,
        own: &CertificateDer<'_>,
        error: Option<&rustls::Error>,
    ) -> PresentedCertificate {
        let (who, reason, owner) = match CertificateFacts::of(own) {
            Ok(facts) => {
                let owner = || match self.tlcp.named(&facts) {
                    Some(gateway) => Owner::Gateway(gateway),
                    None => self
                        .identities
                        .partner(&facts)
                        .map_or(Owner::Nobody, Owner::Partner),
                };
                (
                    facts.who(),
                    facts.unfit.filter(|_| error.is_some()),
                    error.is_none().then(owner),
                )
            }
            Err(_) => (
                String::new(),
                Some(HandshakeRefusalReason::Unreadable),
                None,
            ),
        };
        PresentedCertificate {
            who,
            reason,
            detail: error.map(shown).unwrap_or_default(),
            owner,
        }
    }
}

/// A verifier's error, cut and escaped: some repeat what a certificate says.
fn shown(error: &rustls::Error) -> String {
    super::printable(&error.to_string(), 200)
}

fn verifier(
    tls: &TlsFiles,
    authorities: Vec<CertificateDer<'static>>,
    crls: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| {
            fault(
                &tls.client_ca,
                &format!("holds a certificate that cannot be an authority: {error}"),
            )
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), super::provider())
        .with_crls(crls)
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| {
            fault(
                tls.crl.as_ref().unwrap_or(&tls.client_ca),
                &format!("cannot be used to verify clients: {error}"),
            )
        })
}

/// Hands each handshake to the state of this moment.
#[derive(Debug)]
struct Follows(Arc<TrustState>);

impl ResolvesServerCert for Follows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.loaded.load().certified.clone())
    }
}

impl ClientCertVerifier for Follows {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[] // Hints must outlive a reload; without any the client sends the certificate it has.
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let loaded = self.0.loaded.load();
        let verified = loaded.verify(own, rest, now);
        acceptor::note(loaded.presented(own, verified.as_ref().err()));
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .loaded
            .load()
            .verifier
            .verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .loaded
            .load()
            .verifier
            .verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.loaded.load().verifier.supported_verify_schemes()
    }
}
