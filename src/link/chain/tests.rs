//! Chains of strangers, made to be expensive, and those that partners really send.

use std::cell::Cell;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, UnixTime,
};
use rustls::server::WebPkiClientVerifier;

use super::*;

thread_local! {
    static VERIFIED: Cell<usize> = const { Cell::new(0) };
}

/// Verifies as another does, and counts.
#[derive(Debug)]
struct Counting(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Counting {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        VERIFIED.set(VERIFIED.get() + 1);
        self.0.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

fn counting() -> Arc<CryptoProvider> {
    let provider = rustls::crypto::ring::default_provider();
    let counted = |algorithm: &&'static dyn SignatureVerificationAlgorithm| {
        Box::leak(Box::new(Counting(*algorithm))) as &'static dyn SignatureVerificationAlgorithm
    };
    let all: Vec<_> = provider
        .signature_verification_algorithms
        .all
        .iter()
        .map(counted)
        .collect();
    let algorithms = WebPkiSupportedAlgorithms {
        all: Box::leak(all.into_boxed_slice()),
        ..provider.signature_verification_algorithms
    };
    Arc::new(CryptoProvider {
        signature_verification_algorithms: algorithms,
        ..provider
    })
}

/// An authority, trusted or not, made for its name.
struct Made {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params
}

fn authority(name: &str) -> Made {
    let (key, params) = (
        KeyPair::generate().unwrap(),
        params(name, IsCa::Ca(BasicConstraints::Unconstrained)),
    );
    let der = params.self_signed(&key).unwrap().der().clone();
    Made {
        issuer: Issuer::new(params, key),
        der,
    }
}

impl Made {
    fn sub(&self, name: &str) -> Made {
        let (key, params) = (
            KeyPair::generate().unwrap(),
            params(name, IsCa::Ca(BasicConstraints::Unconstrained)),
        );
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Made {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    fn client(&self, names: usize) -> CertificateDer<'static> {
        let mut params = params("client", IsCa::NoCa);
        params.subject_alt_names = (0..names)
            .map(|n| rcgen::SanType::DnsName(format!("client{n}.example").try_into().unwrap()))
            .collect();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params
            .signed_by(&KeyPair::generate().unwrap(), &self.issuer)
            .unwrap()
            .der()
            .clone()
    }
}

/// Whether a chain is taken, and how many signatures that cost: as it is now, and by the verifier alone.
fn judged(
    trusted: &Made,
    own: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
) -> (bool, usize, usize) {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), counting())
        .build()
        .unwrap();
    let anchors = Anchors::new(std::slice::from_ref(&trusted.der));
    VERIFIED.set(0);
    let taken = useful(own, rest, &anchors).is_ok_and(|useful| {
        verifier
            .verify_client_cert(own, &useful, UnixTime::now())
            .is_ok()
    });
    let bounded = VERIFIED.replace(0);
    assert_eq!(
        verifier
            .verify_client_cert(own, rest, UnixTime::now())
            .is_ok()
            && rest.len() < CERTIFICATES_MAX,
        taken,
        "nothing else decides"
    );
    (taken, bounded, VERIFIED.get())
}

#[test]
fn certificates_that_issued_one_another_in_circles_cost_no_signature() {
    let (trusted, other) = (authority("Trusted"), authority("Loop"));
    let circle: Vec<_> = (0..5).map(|_| other.sub("Loop").der).collect();
    assert_eq!(
        useful(
            &other.client(1),
            &circle,
            &Anchors::new(std::slice::from_ref(&trusted.der))
        ),
        Err(ChainFault::NoWay)
    );
    assert_eq!(judged(&trusted, &other.client(1), &circle), (false, 0, 0));
}

#[test]
fn circles_that_also_name_our_authority_cost_no_signature() {
    let (trusted, forger, other) = (
        authority("Trusted"),
        authority("Trusted"),
        authority("Loop"),
    );
    let mut circle: Vec<_> = (0..3).map(|_| other.sub("Loop").der).collect();
    circle.extend((0..2).map(|_| forger.sub("Loop").der));
    let (taken, bounded, unbounded) = judged(&trusted, &other.client(1), &circle);
    assert_eq!((taken, bounded), (false, 0));
    assert!(
        unbounded > 20,
        "the attack is one: {unbounded} signatures without the bound"
    );
}

#[test]
fn a_forged_line_to_our_authority_costs_one_signature() {
    let (trusted, forger) = (authority("Trusted"), authority("Trusted"));
    let sub = forger.sub("Sub");
    assert_eq!(
        judged(&trusted, &sub.client(1), std::slice::from_ref(&sub.der)).1,
        1
    );
}

#[test]
fn more_than_six_certificates_or_sixteen_kilobytes_are_refused() {
    let trusted = authority("Trusted");
    let anchors = Anchors::new(std::slice::from_ref(&trusted.der));
    let mut line = vec![trusted.sub("Sub 1")];
    while line.len() < 6 {
        line.push(line.last().unwrap().sub(&format!("Sub {}", line.len() + 1)));
    }
    let rest: Vec<_> = line.iter().rev().map(|made| made.der.clone()).collect();
    assert_eq!(
        useful(&line[5].client(1), &rest, &anchors),
        Err(ChainFault::TooMany(7))
    );
    assert_eq!(
        useful(&line[4].client(1), &rest[1..], &anchors).map(|useful| useful.len()),
        Ok(5),
        "six are taken"
    );
    assert!(matches!(
        useful(&trusted.client(1_000), &[], &anchors),
        Err(ChainFault::TooLarge(16_385..))
    ));
}

#[test]
fn what_partners_send_is_taken_in_any_order_with_root_and_copies() {
    let trusted = authority("Trusted");
    let upper = trusted.sub("Upper");
    let lower = upper.sub("Lower");
    let own = lower.client(1);
    for rest in [
        vec![lower.der.clone(), upper.der.clone()],
        vec![upper.der.clone(), lower.der.clone()],
        vec![
            own.clone(),
            lower.der.clone(),
            upper.der.clone(),
            upper.der.clone(),
            trusted.der.clone(),
        ],
    ] {
        let (taken, bounded, _) = judged(&trusted, &own, &rest);
        assert_eq!((taken, bounded), (true, 3));
    }
    assert!(
        !judged(&trusted, &own, std::slice::from_ref(&lower.der)).0,
        "one is missing"
    );
}

#[test]
fn an_intermediate_of_two_authorities_leads_to_the_one_that_is_trusted() {
    let (trusted, elsewhere) = (authority("Trusted"), authority("Elsewhere"));
    let here = trusted.sub("Sub");
    let there = elsewhere.sub("Sub").der;
    let (taken, bounded, _) = judged(&trusted, &here.client(1), &[there, here.der.clone()]);
    assert_eq!((taken, bounded), (true, 2));
}
