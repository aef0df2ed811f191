//! Clients, good and bad, against the partner listener.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ltcgw::link::{TrustState, certificate_facts};
use ltcgw::sandbox::pki::{Authority, DAY, KeyUsagePurpose, Validity};
use rustls::version::{TLS12, TLS13};

use crate::world::{Connection, World, ask, listen, partner};

async fn started(world: &World) -> (Arc<TrustState>, u16) {
    let state = TrustState::load(&world.tls(), &[partner("tax-bureau", "tax.example")]).unwrap();
    (state.clone(), listen(state).await)
}

#[tokio::test]
async fn a_known_partner_is_recognised_over_both_tls_versions() {
    let world = World::new();
    let (_, port) = started(&world).await;
    let own = world.authority.client("tax.example").unwrap();
    for version in [&TLS12, &TLS13] {
        assert_eq!(
            ask(world.client_tls(Some(&own), version), port)
                .await
                .unwrap(),
            (200, "tax-bureau".into())
        );
    }
}

#[tokio::test]
async fn bad_certificates_do_not_get_through_the_handshake() {
    let world = World::new();
    let (_, port) = started(&world).await;
    let other = Authority::new("Test CA").unwrap(); // same name, other key
    let bad = [
        ("CertificateRequired", None),
        (
            "CertificateExpired",
            Some(
                world
                    .authority
                    .client_valid("tax.example", Validity::expired())
                    .unwrap(),
            ),
        ),
        (
            "CertificateExpired",
            Some(
                world
                    .authority
                    .client_valid("tax.example", Validity::not_yet())
                    .unwrap(),
            ),
        ),
        ("DecryptError", Some(other.client("tax.example").unwrap())),
        (
            "UnknownCA",
            Some(
                Authority::new("Other CA")
                    .unwrap()
                    .client("tax.example")
                    .unwrap(),
            ),
        ),
        (
            "UnsupportedCertificate",
            Some(world.authority.server(&["tax.example"]).unwrap()),
        ),
    ];
    for (alert, own) in &bad {
        let error = ask(world.client_tls(own.as_ref(), &TLS13), port)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.ends_with(alert), "expected {alert}, got {error}");
        assert!(
            ask(world.client_tls(own.as_ref(), &TLS12), port)
                .await
                .is_err(),
            "{alert}"
        );
    }
}

#[tokio::test]
async fn a_stranger_of_the_right_authority_is_told_what_to_have_added() {
    let world = World::new();
    let (_, port) = started(&world).await;
    let (status, text) = ask(
        world.client_tls(
            Some(&world.authority.client("stranger.example").unwrap()),
            &TLS13,
        ),
        port,
    )
    .await
    .unwrap();
    assert_eq!(status, 403);
    assert!(
        text.contains("stranger.example") && text.contains("spki_sha256"),
        "{text}"
    );
}

#[tokio::test]
async fn no_session_is_resumed() {
    let world = World::new();
    let (_, port) = started(&world).await;
    for version in [&TLS12, &TLS13] {
        let tls = Arc::new(world.client_tls(
            Some(&world.authority.client("tax.example").unwrap()),
            version,
        ));
        for _ in 0..3 {
            let mut connection = Connection::open(&tls, port).await.unwrap();
            connection.get().await.unwrap();
            let kind = connection.stream.get_ref().1.handshake_kind().unwrap();
            assert!(
                !matches!(kind, rustls::HandshakeKind::Resumed),
                "{version:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_revoked_certificate_ends_live_connections_and_gets_no_new_ones() {
    let world = World::new();
    world.put("crl.pem", &world.authority.revocation_list(&[]).unwrap());
    let partners = [partner("tax-bureau", "tax.example")];
    let (state, port) = started(&world).await;
    let (revoked, kept) = (
        world.authority.client("tax.example").unwrap(),
        world.authority.client("tax.example").unwrap(),
    );
    let revoked_tls = Arc::new(world.client_tls(Some(&revoked), &TLS13));
    let mut live = Connection::open(&revoked_tls, port).await.unwrap();
    assert_eq!(live.get().await.unwrap().0, 200);

    assert!(
        !state.reload(&world.tls(), &partners).unwrap(),
        "nothing has changed yet"
    );
    world.put(
        "crl.pem",
        &world.authority.revocation_list(&[&revoked]).unwrap(),
    );
    assert!(state.reload(&world.tls(), &partners).unwrap());

    let (status, text) = live.get().await.unwrap();
    assert_eq!(status, 403);
    assert!(text.contains("Revoked"), "{text}");
    assert!(live.get().await.is_err(), "the connection was closed");
    assert!(
        ask(world.client_tls(Some(&revoked), &TLS13), port)
            .await
            .is_err()
    );
    assert_eq!(
        ask(world.client_tls(Some(&kept), &TLS13), port)
            .await
            .unwrap()
            .0,
        200
    );
}

#[tokio::test]
async fn a_partner_taken_from_the_configuration_is_refused_on_its_live_connection() {
    let world = World::new();
    let (state, port) = started(&world).await;
    let tls = Arc::new(world.client_tls(
        Some(&world.authority.client("tax.example").unwrap()),
        &TLS13,
    ));
    let mut live = Connection::open(&tls, port).await.unwrap();
    assert_eq!(live.get().await.unwrap(), (200, "tax-bureau".into()));
    assert!(
        state
            .reload(&world.tls(), &[partner("renamed", "tax.example")])
            .unwrap()
    );
    assert_eq!(live.get().await.unwrap(), (200, "renamed".into()));
    assert!(state.reload(&world.tls(), &[]).unwrap());
    assert_eq!(live.get().await.unwrap().0, 403);
}

#[tokio::test]
async fn a_new_server_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let world = World::new();
    let (state, port) = started(&world).await;
    let tls = Arc::new(world.client_tls(
        Some(&world.authority.client("tax.example").unwrap()),
        &TLS13,
    ));
    let mut live = Connection::open(&tls, port).await.unwrap();
    live.get().await.unwrap();
    let shown = |connection: &Connection| {
        connection.stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let old = shown(&live);

    let new = world.authority.server(&["localhost"]).unwrap();
    world.put("server.pem", &new.certificate_pem); // the key does not fit yet
    let fault = state
        .reload(&world.tls(), &[partner("tax-bureau", "tax.example")])
        .unwrap_err();
    assert!(
        fault.text.contains("server.key") && fault.text.contains("server.pem"),
        "{fault}"
    );
    assert_eq!(shown(&Connection::open(&tls, port).await.unwrap()), old);

    world.put_issued("server", &new);
    assert!(
        state
            .reload(&world.tls(), &[partner("tax-bureau", "tax.example")])
            .unwrap()
    );
    assert_eq!(
        shown(&Connection::open(&tls, port).await.unwrap()),
        new.certificate_der
    );
    assert_eq!(live.get().await.unwrap().0, 200, "live connections go on");
}

#[tokio::test]
async fn a_list_that_goes_stale_while_running_refuses_new_clients() {
    let world = World::new();
    let soon = Validity {
        from: SystemTime::now() - DAY,
        until: SystemTime::now() + Duration::from_secs(2),
    };
    world.put(
        "crl.pem",
        &world.authority.revocation_list_valid(&[], soon).unwrap(),
    );
    let (state, port) = started(&world).await;
    assert!(state.crl_expires_at().is_some());
    let own = world.authority.client("tax.example").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while ask(world.client_tls(Some(&own), &TLS13), port)
        .await
        .is_ok()
    {
        assert!(Instant::now() < deadline, "still let in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_older_list_replaces_no_newer_one_neither_by_number_nor_by_date_nor_over_a_restart() {
    let world = World::new();
    let (revoked, kept) = (
        world.authority.client("tax.example").unwrap(),
        world.authority.client("tax.example").unwrap(),
    );
    let days = |from: u32| Validity {
        from: SystemTime::now() - DAY * from,
        until: SystemTime::now() + DAY * 30,
    };
    let list = |revoked: &[&ltcgw::sandbox::pki::IssuedCertificate], from: u32, number: u64| {
        world
            .authority
            .revocation_list_numbered(revoked, days(from), number)
            .unwrap()
    };
    world.put("crl.pem", &list(&[&revoked], 2, 7));
    let (state, port) = started(&world).await;
    let partners = [partner("tax-bureau", "tax.example")];
    assert_eq!(state.older_lists(), Vec::<String>::new());
    state.keep_lists(&world.tls()).unwrap();
    for (what, older) in [
        ("a lower number", list(&[], 2, 6)),
        ("an older date", list(&[], 3, 8)),
    ] {
        world.put("crl.pem", &older);
        assert!(state.reload(&world.tls(), &partners).unwrap(), "{what}");
        assert!(
            ask(world.client_tls(Some(&revoked), &TLS13), port)
                .await
                .is_err(),
            "{what}"
        );
        assert_eq!(
            ask(world.client_tls(Some(&kept), &TLS13), port)
                .await
                .unwrap()
                .0,
            200,
            "{what}"
        );
        let told = state.older_lists();
        assert!(
            told.len() == 1
                && told[0].contains("crl.pem")
                && told[0].contains("older than the one taken before (number 7"),
            "{what}: {told:?}"
        );
        let (restarted, other_port) = started(&world).await;
        assert_eq!(restarted.older_lists(), told, "{what}");
        assert!(
            ask(world.client_tls(Some(&revoked), &TLS13), other_port)
                .await
                .is_err(),
            "{what}"
        );
    }
    world.put("crl.pem", &list(&[], 1, 9));
    assert!(state.reload(&world.tls(), &partners).unwrap());
    assert_eq!(state.older_lists(), Vec::<String>::new());
    assert_eq!(
        ask(world.client_tls(Some(&revoked), &TLS13), port)
            .await
            .unwrap()
            .0,
        200,
        "the newer list does not name it"
    );
    // Another authority of the same name has numbers of its own.
    let other = Authority::new("Test CA").unwrap();
    world.put("ca.pem", &other.certificate_pem());
    world.put(
        "crl.pem",
        &other.revocation_list_numbered(&[], days(3), 1).unwrap(),
    );
    assert_eq!(
        TrustState::load(&world.tls(), &partners)
            .unwrap()
            .older_lists(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_certificate_whose_key_may_not_sign_is_refused_with_a_sentence() {
    let world = World::new();
    let (_, port) = started(&world).await;
    for (usages, status) in [
        (&[KeyUsagePurpose::KeyEncipherment][..], 403),
        (
            &[
                KeyUsagePurpose::KeyAgreement,
                KeyUsagePurpose::DataEncipherment,
            ],
            403,
        ),
        (
            &[
                KeyUsagePurpose::KeyEncipherment,
                KeyUsagePurpose::DigitalSignature,
            ],
            200,
        ),
    ] {
        let own = world
            .authority
            .client_used_for("tax.example", usages)
            .unwrap();
        for version in [&TLS12, &TLS13] {
            let (found, text) = ask(world.client_tls(Some(&own), version), port)
                .await
                .unwrap();
            assert_eq!(found, status, "{usages:?}: {text}");
            assert_eq!(
                text.contains("keyUsage lacks digitalSignature"),
                status == 403,
                "{text}"
            );
        }
    }
}

#[test]
fn unusable_lists_are_refused_before_they_refuse_everybody() {
    let world = World::new();
    let (old, new) = (
        world.authority.revocation_list(&[]).unwrap(),
        world.authority.revocation_list(&[]).unwrap(),
    );
    let foreign = Authority::new("Other CA")
        .unwrap()
        .revocation_list(&[])
        .unwrap();
    let forged = Authority::new("Test CA")
        .unwrap()
        .revocation_list(&[])
        .unwrap(); // same name, other key
    let stale = world
        .authority
        .revocation_list_valid(&[], Validity::expired())
        .unwrap();
    for (list, expected) in [
        (stale, "should have been replaced by"),
        (foreign, "holds no list of `CN=Test CA`"),
        (forged, "is not signed by the authority of that name in"),
        (format!("{old}{new}"), "holds two lists of `CN=Test CA`"),
        (String::new(), "holds no revocation list"),
    ] {
        world.put("crl.pem", &list);
        let fault = TrustState::load(&world.tls(), &[]).unwrap_err();
        assert!(
            fault.text.contains("crl.pem") && fault.text.contains(expected),
            "{fault}"
        );
    }
}

#[test]
fn every_unusable_file_is_named_with_what_was_expected() {
    for (file, text, expected) in [
        ("server.pem", "", "holds no certificate"),
        (
            "server.key",
            "-----BEGIN CERTIFICATE-----\n",
            "holds no usable private key",
        ),
        ("ca.pem", "no pem", "holds no certificate"),
    ] {
        let world = World::new();
        world.put(file, text);
        let fault = TrustState::load(&world.tls(), &[]).unwrap_err();
        assert!(
            fault.text.contains(file) && fault.text.contains(expected),
            "{fault}"
        );
    }
    let world = World::new();
    std::fs::remove_file(world.path("ca.pem")).unwrap();
    assert!(
        TrustState::load(&world.tls(), &[])
            .unwrap_err()
            .text
            .contains("cannot be read")
    );
}

#[test]
fn a_certificates_facts_are_what_partners_toml_needs() {
    let world = World::new();
    let issued = world.authority.client("urn:partner:civil").unwrap();
    world.put_issued("civil", &issued);
    let facts = certificate_facts(&world.path("civil.pem")).unwrap();
    assert_eq!(
        (facts.subject.as_str(), facts.issuer.as_str()),
        ("CN=urn:partner:civil", "CN=Test CA")
    );
    assert_eq!(
        facts
            .sans
            .iter()
            .map(|name| name.text())
            .collect::<Vec<_>>(),
        ["urn:partner:civil"]
    );
    assert!(facts.not_before < jiff::Timestamp::now() && jiff::Timestamp::now() < facts.not_after);
    let mut pinned = partner("civil", "x");
    pinned.inbound.as_mut().unwrap().san = None;
    pinned.inbound.as_mut().unwrap().spki_sha256 = Some(facts.spki_sha256.to_uppercase());
    assert_eq!(
        &*ltcgw::link::Identities::from_config(&[pinned])
            .partner(&facts)
            .unwrap(),
        "civil"
    );
}
