//! Who has shown no certificate yet: in nobody's way, refused in time, never silently.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ltcgw::config::Listen;
use ltcgw::link::TrustState;
use ltcgw::telemetry::Metrics;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Connection, World, ask, listen_as, partner};

/// Opens connections and says nothing on them; ends with its standard input.
const SILENT: &str = "
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
held = [socket.create_connection(('127.0.0.1', int(sys.argv[1])), source_address=(sys.argv[2], 0)) for _ in range(int(sys.argv[3]))]
print('open', flush=True)
sys.stdin.read()
";

/// A process with so many silent connections from an address; they are closed when it is dropped.
struct Silent(Child);

impl Silent {
    async fn open(port: u16, from: &str, count: usize) -> Silent {
        let mut command = Command::new("python3");
        command
            .args(["-c", SILENT, &port.to_string(), from, &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("python3 is there");
            let mut said = String::new();
            BufReader::new(child.stdout.as_mut().unwrap())
                .read_line(&mut said)
                .unwrap();
            assert_eq!(said, "open\n");
            Silent(child)
        })
        .await
        .unwrap()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn started(world: &World, change: impl FnOnce(Listen) -> Listen) -> (u16, Metrics) {
    listen_as(
        TrustState::load(&world.tls(), &[partner("tax-bureau", "tax.example")]).unwrap(),
        change,
    )
    .await
}

/// How often handshakes were refused for a reason.
fn refused(metrics: &Metrics, reason: &str) -> u64 {
    let line = format!("ltcgw_handshakes_refused_total{{reason=\"{reason}\"}} ");
    metrics
        .encode(ltcgw::telemetry::Exposition::Text)
        .lines()
        .find_map(|text| text.strip_prefix(&line)?.parse().ok())
        .unwrap_or_default()
}

/// Waits until that is so; panics after ten seconds.
async fn until_refused(metrics: &Metrics, reason: &str, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while refused(metrics, reason) < count {
        look.tick().await;
        assert!(
            Instant::now() < deadline,
            "{reason} is not {count}: {}",
            metrics.encode(ltcgw::telemetry::Exposition::Text)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_does_not_wait_for_a_thousand_silent_connections_of_its_own_address() {
    let world = World::new();
    let (port, metrics) = started(&world, |listen| listen).await;
    let tls = world.client_tls(
        Some(&world.authority.client("tax.example").unwrap()),
        &TLS13,
    );
    let _silent = Silent::open(port, "127.0.0.1", 1_000).await;
    for _ in 0..5 {
        let start = Instant::now();
        assert_eq!(
            ask(tls.clone(), port).await.unwrap(),
            (200, "tax-bureau".into())
        );
        assert!(
            start.elapsed() < Duration::from_millis(300),
            "waited {:?}",
            start.elapsed()
        );
    }
    assert!(
        refused(&metrics, "displaced") >= 1_000 - 128,
        "{}",
        metrics.encode(ltcgw::telemetry::Exposition::Text)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_a_partner_came_from_keeps_its_places_while_others_take_the_rest() {
    let world = World::new();
    let (port, metrics) = started(&world, |listen| Listen {
        handshakes_max: 40,
        handshakes_per_address_max: 40,
        handshake_seconds: 60,
        ..listen
    })
    .await;
    let own = world.authority.client("tax.example").unwrap();
    ask(world.client_tls(Some(&own), &TLS13), port)
        .await
        .unwrap();
    let slow = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _silent = Silent::open(port, "127.0.0.2", 200).await;
    until_refused(&metrics, "displaced", 160).await;
    let tls = Arc::new(world.client_tls(Some(&own), &TLS13));
    let stream = tokio_rustls::TlsConnector::from(tls)
        .connect("localhost".try_into().unwrap(), slow)
        .await
        .unwrap();
    assert_eq!(
        Connection { stream }.get().await.unwrap().0,
        200,
        "the oldest of all has kept its place"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_not_done_in_time_is_ended_and_counted() {
    let world = World::new();
    let (port, metrics) = started(&world, |listen| Listen {
        handshake_seconds: 1,
        ..listen
    })
    .await;
    let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let start = Instant::now();
    assert!(silent.read_u8().await.is_err());
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(4)).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    until_refused(&metrics, "silent", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_counted_by_its_reason() {
    let world = World::new();
    let (port, metrics) = started(&world, |listen| listen).await;
    TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap()
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    until_refused(&metrics, "not_tls", 1).await;
    let other = ltcgw::sandbox::pki::Authority::new("Other CA").unwrap();
    let cases = [
        ("no_certificate", None),
        ("unknown_issuer", Some(other.client("tax.example").unwrap())),
        (
            "expired",
            Some(
                world
                    .authority
                    .client_valid("tax.example", ltcgw::sandbox::pki::Validity::expired())
                    .unwrap(),
            ),
        ),
        (
            "not_yet_valid",
            Some(
                world
                    .authority
                    .client_valid("tax.example", ltcgw::sandbox::pki::Validity::not_yet())
                    .unwrap(),
            ),
        ),
        (
            "wrong_use",
            Some(world.authority.server(&["tax.example"]).unwrap()),
        ),
    ];
    for (reason, own) in &cases {
        for (count, version) in [(1, &TLS12), (2, &TLS13)] {
            assert!(
                ask(world.client_tls(own.as_ref(), version), port)
                    .await
                    .is_err(),
                "{reason}"
            );
            until_refused(&metrics, reason, count).await;
        }
    }
    let mut tls = world.client_tls(
        Some(&world.authority.client("tax.example").unwrap()),
        &TLS13,
    );
    tls.alpn_protocols = vec![b"h2".to_vec()];
    assert!(Connection::open(&Arc::new(tls), port).await.is_err());
    until_refused(&metrics, "no_common_protocol", 1).await;
}

/// Handshakes one after the other with a chain and a key from files, until killed.
const LOOPING: &str = "
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.load_cert_chain(sys.argv[3])
while True:
    try:
        with context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))), server_hostname='localhost') as tls:
            tls.recv(1)
    except OSError:
        pass
";

/// A client's certificate and key whose issuers issued one another in circles, in one file.
fn looping_chain(world: &World) -> std::path::PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let named = |name: &str, is_ca| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params
    };
    let authority = || named("Loop", IsCa::Ca(BasicConstraints::Unconstrained));
    let issuer = Issuer::new(authority(), KeyPair::generate().unwrap());
    let key = KeyPair::generate().unwrap();
    let mut text = named("client", IsCa::NoCa)
        .signed_by(&key, &issuer)
        .unwrap()
        .pem();
    for _ in 0..20 {
        text += &authority()
            .signed_by(&KeyPair::generate().unwrap(), &issuer)
            .unwrap()
            .pem();
    }
    world.put("looping.pem", &(text + &key.serialize_pem()));
    world.path("looping.pem")
}

/// The 99th percentile of a partner's requests, each over a connection of its own.
async fn p99(world: &World, port: u16) -> Duration {
    let tls = world.client_tls(
        Some(&world.authority.client("tax.example").unwrap()),
        &TLS13,
    );
    let mut took = Vec::new();
    for _ in 0..300 {
        let start = Instant::now();
        assert_eq!(ask(tls.clone(), port).await.unwrap().0, 200);
        took.push(start.elapsed());
    }
    took.sort();
    took[took.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: run alone, `cargo test --test link looping -- --ignored --nocapture`"]
async fn ten_clients_with_looping_chains_leave_a_partner_three_times_its_time_at_most() {
    let world = World::new();
    let (port, metrics) = started(&world, |listen| listen).await;
    let chain = looping_chain(&world);
    let baseline = p99(&world, port).await;
    let attackers: Vec<Silent> = (0..10)
        .map(|_| {
            Silent(
                Command::new("python3")
                    .args(["-c", LOOPING, &port.to_string()])
                    .arg(world.path("ca.pem"))
                    .arg(&chain)
                    .spawn()
                    .unwrap(),
            )
        })
        .collect();
    until_refused(&metrics, "chain_too_long", 50).await;
    let before = refused(&metrics, "chain_too_long");
    let start = Instant::now();
    let attacked = p99(&world, port).await;
    let rate =
        (refused(&metrics, "chain_too_long") - before) as f64 / start.elapsed().as_secs_f64();
    drop(attackers);
    println!(
        "p99 alone {baseline:?}, beside ten attackers {attacked:?} ({rate:.0} refused handshakes a second)"
    );
    assert!(
        attacked < baseline * 3,
        "{attacked:?} is not under 3 x {baseline:?}"
    );
}
