//! Client certificates that a TLCP gateway passes on, in both forms of the header, SM2 and others.

use std::sync::Arc;

use base64::Engine;
use ltcgw::config::{Partner, San, TlcpGateway, TlsFiles};
use ltcgw::link::{PeerCertificate, TrustState, certificate_facts};
use ltcgw::sandbox::pki::{Authority, DAY, IssuedCertificate, KeyUsagePurpose, Validity};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::world::{World, chain, partner};

const GATEWAY: &str = "tlcp.example";

fn fixture(name: &str) -> String {
    format!("{}/tests/link/sm2/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The listener behind a TLCP gateway whose clients' authority is in `ca`.
fn tls(world: &World, ca: Option<&str>, crl: Option<&str>) -> TlsFiles {
    let mut tls = world.tls();
    tls.tlcp.gateways = vec![TlcpGateway {
        name: "front".into(),
        spki_sha256: None,
        san: Some(San::parse(GATEWAY).unwrap()),
    }];
    tls.tlcp.client_ca = ca.map(Into::into);
    tls.tlcp.crl = crl.map(Into::into);
    tls
}

fn state(tls: &TlsFiles, partners: &[Partner]) -> Arc<TrustState> {
    TrustState::load(tls, partners).unwrap()
}

/// Percent-encoded PEM, as nginx writes `$ssl_client_escaped_cert`.
fn escaped(pem: &str) -> Vec<u8> {
    let escape = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    pem.bytes().map(escape).collect::<String>().into_bytes()
}

fn sequence(der: &[u8]) -> Vec<u8> {
    format!(
        ":{}:",
        base64::engine::general_purpose::STANDARD.encode(der)
    )
    .into_bytes()
}

fn front(world: &World) -> PeerCertificate {
    PeerCertificate::new(&chain(&world.authority.client(GATEWAY).unwrap()))
}

fn by_name() -> [Partner; 1] {
    [partner("tax-bureau", "tax.example")]
}

#[test]
fn an_sm2_certificate_passed_on_is_judged_by_its_authority_its_list_and_its_own_words() {
    let world = World::new();
    let (ca, crl) = (fixture("ca.pem"), fixture("crl.pem"));
    let state = state(&tls(&world, Some(&ca), Some(&crl)), &by_name());
    for (name, expected) in [
        ("client.pem", Ok("tax-bureau")),
        ("revoked.pem", Err("was revoked")),
        ("expired.pem", Err("is not valid now")),
        ("encipher.pem", Err("keyUsage lacks digitalSignature")),
        ("server.pem", Err("is not for clients")),
        (
            "foreign.pem",
            Err("is of no authority in [tls.tlcp] client_ca"),
        ),
    ] {
        let pem = std::fs::read_to_string(fixture(name)).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        for header in [escaped(&pem), sequence(&der)] {
            let found = state.whose(&front(&world), Some(&header));
            match expected {
                Ok(partner) => assert_eq!(found.as_deref(), Ok(partner), "{name}"),
                Err(text) => assert!(
                    found
                        .as_ref()
                        .is_err_and(|refused| refused.fault.text.contains(text)),
                    "{name}: {found:?}"
                ),
            }
        }
    }
    assert!(state.crl_expires_at().is_some(), "the list's end is told");
}

#[test]
fn nobody_else_s_header_counts_and_it_is_refused() {
    let world = World::new();
    let (ca, crl) = (fixture("ca.pem"), fixture("crl.pem"));
    let state = state(&tls(&world, Some(&ca), Some(&crl)), &by_name());
    let header = escaped(&std::fs::read_to_string(fixture("client.pem")).unwrap());
    let peer = |san: &str| PeerCertificate::new(&chain(&world.authority.client(san).unwrap()));
    let partner = state
        .whose(&peer("tax.example"), Some(&header))
        .unwrap_err();
    assert!(
        partner
            .told
            .is_some_and(|told| told.contains("send the request without it"))
            && partner.fault.text.contains("tax-bureau"),
        "{partner:?}"
    );
    assert_eq!(
        state.whose(&peer("tax.example"), None).as_deref(),
        Ok("tax-bureau")
    );
    let stranger = state
        .whose(&peer("stranger.example"), Some(&header))
        .unwrap_err();
    assert!(
        stranger.fault.text.contains("belongs to no partner"),
        "{stranger:?}"
    );
    // The gateway is nobody itself, and what it passes on has to be one certificate.
    let silent = state.whose(&front(&world), None).unwrap_err();
    assert!(
        silent.told.is_some_and(|told| told.contains("Client-Cert")),
        "{silent:?}"
    );
    assert!(state.still_good(&front(&world)).is_err());
    let twice = [header.clone(), header.clone()].concat();
    for wrong in [
        &b""[..],
        b"(null)",
        b":AAAA",
        b":%%:",
        &twice,
        &[b'A'; 20_000],
    ] {
        let refused = state.whose(&front(&world), Some(wrong)).unwrap_err();
        assert!(
            refused
                .told
                .is_some_and(|told| told.contains("holds no certificate"))
                || refused.fault.text.contains("not an X.509"),
            "{refused:?}"
        );
    }
}

#[test]
fn certificates_of_other_algorithms_are_judged_alike_also_after_a_reload() {
    let world = World::new();
    let other = Authority::new("Clients' CA").unwrap();
    world.put("tlcp-ca.pem", &other.certificate_pem());
    world.put(
        "tlcp-crl.pem",
        &other
            .revocation_list_numbered(&[], Validity::days(30), 5)
            .unwrap(),
    );
    let (ca, crl) = (world.path("tlcp-ca.pem"), world.path("tlcp-crl.pem"));
    let tls = tls(&world, ca.to_str(), crl.to_str());
    let partners = by_name();
    let state = state(&tls, &partners);
    let passed = |issued: &IssuedCertificate| {
        state
            .whose(&front(&world), Some(&sequence(&issued.certificate_der)))
            .map_err(|refused| refused.fault.text)
    };
    let (good, revoked) = (
        other.client("tax.example").unwrap(),
        other.client("tax.example").unwrap(),
    );
    assert_eq!(
        (passed(&good).as_deref(), passed(&revoked).as_deref()),
        (Ok("tax-bureau"), Ok("tax-bureau"))
    );
    let words = |issued: &IssuedCertificate| passed(issued).unwrap_err();
    assert!(
        words(
            &other
                .client_valid("tax.example", Validity::expired())
                .unwrap()
        )
        .contains("is not valid now")
    );
    assert!(
        words(
            &other
                .client_valid("tax.example", Validity::not_yet())
                .unwrap()
        )
        .contains("is not valid now")
    );
    assert!(
        words(
            &other
                .client_used_for("tax.example", &[KeyUsagePurpose::KeyEncipherment])
                .unwrap()
        )
        .contains("digitalSignature")
    );
    assert!(
        words(&world.authority.client("tax.example").unwrap()).contains("is of no authority"),
        "the listener's own authority is another"
    );
    assert!(words(&other.client("stranger.example").unwrap()).contains("belongs to no partner"));
    // Their certificates are no good in a handshake: only the gateway brings them.
    assert!(
        state
            .still_good(&PeerCertificate::new(&chain(&good)))
            .is_err()
    );
    world.put(
        "tlcp-crl.pem",
        &other
            .revocation_list_numbered(&[&revoked], Validity::days(30), 6)
            .unwrap(),
    );
    assert!(state.reload(&tls, &partners).unwrap());
    assert!(words(&revoked).contains("was revoked") && passed(&good).is_ok());
    world.put(
        "tlcp-crl.pem",
        &other
            .revocation_list_numbered(&[], Validity::days(31), 5)
            .unwrap(),
    );
    assert!(state.reload(&tls, &partners).unwrap());
    assert!(
        words(&revoked).contains("was revoked") && state.older_lists().len() == 1,
        "an older list replaces no newer one"
    );
    let stale = Validity {
        from: std::time::SystemTime::now() - DAY * 2,
        until: std::time::SystemTime::now() - DAY,
    };
    world.put(
        "tlcp-crl.pem",
        &other.revocation_list_numbered(&[], stale, 7).unwrap(),
    );
    assert!(
        TrustState::load(&tls, &partners)
            .unwrap_err()
            .text
            .contains("should have been replaced by")
    );
}

#[test]
fn without_an_authority_only_a_pinned_key_comes_through() {
    let world = World::new();
    let tls = tls(&world, None, None);
    let pem = std::fs::read_to_string(fixture("client.pem")).unwrap();
    let header = escaped(&pem);
    let refused = state(&tls, &by_name())
        .whose(&front(&world), Some(&header))
        .unwrap_err();
    assert!(
        refused
            .fault
            .text
            .contains("give the partner's entry its spki_sha256"),
        "{refused:?}"
    );
    let facts = certificate_facts(fixture("client.pem").as_ref()).unwrap();
    let mut pinned = partner("tax-bureau", "tax.example");
    pinned.inbound.as_mut().unwrap().spki_sha256 = Some(facts.spki_sha256);
    let state = state(&tls, &[pinned]);
    assert_eq!(
        state.whose(&front(&world), Some(&header)).as_deref(),
        Ok("tax-bureau")
    );
    let other = std::fs::read_to_string(fixture("foreign.pem")).unwrap();
    assert!(state.whose(&front(&world), Some(&escaped(&other))).is_err());
}

#[test]
fn authorities_and_lists_that_cannot_judge_are_refused_at_the_start() {
    let world = World::new();
    let (ca, crl) = (fixture("ca.pem"), fixture("crl.pem"));
    world.put(
        "foreign.pem",
        &world.authority.revocation_list(&[]).unwrap(),
    );
    let foreign = world.path("foreign.pem");
    let leaf = fixture("client.pem");
    for (tls, expected) in [
        (
            tls(&world, Some(&ca), foreign.to_str()),
            "holds no list that `CN=National Test CA` has signed",
        ),
        (tls(&world, Some(&leaf), None), "`CN=tax` is no authority"),
        (
            tls(&world, Some(&ca), Some(&ca)),
            "holds no revocation list",
        ),
    ] {
        let fault = TrustState::load(&tls, &[]).unwrap_err();
        assert!(fault.text.contains(expected), "{fault}");
    }
    assert!(TrustState::load(&tls(&world, Some(&ca), Some(&crl)), &[]).is_ok());
}
