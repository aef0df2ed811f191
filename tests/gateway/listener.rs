//! Who may call, how much, how fast; what a caller gets who may not.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use ltcgw::sandbox::pki::{Authority, Validity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

use crate::packet::{Line, Packet, element};
use crate::support::{Gateway, project, receipt};

const SAN: &str = "tax.nanning.example";

fn packet() -> Packet {
    Packet::employers("P1", [Line::employer("1")])
}

/// Posts an ordinary packet with any certificate; an error when TLS does not come about.
async fn post_with(
    gateway: &Gateway,
    identity: Option<(String, String)>,
) -> Result<(u16, String), reqwest::Error> {
    let client = gateway
        .stage
        .client_with(identity.as_ref())
        .expect("a client");
    let body: Vec<u8> = packet().into();
    let answer = client
        .post(gateway.url("/tax/v1/packets"))
        .body(body)
        .send()
        .await?;
    Ok(receipt(answer).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_good_certificate_does_not_get_through_tls() {
    let gateway = Gateway::start().await;
    let other = Authority::new("another CA").expect("an authority");
    let pem = |issued: ltcgw::sandbox::pki::IssuedCertificate| {
        Some((issued.certificate_pem, issued.key_pem))
    };
    let cases = [
        ("none", None),
        (
            "of another authority",
            pem(other.client(SAN).expect("issued")),
        ),
        (
            "expired",
            pem(gateway
                .stage
                .authority
                .client_valid(SAN, Validity::expired())
                .expect("issued")),
        ),
        (
            "not yet valid",
            pem(gateway
                .stage
                .authority
                .client_valid(SAN, Validity::not_yet())
                .expect("issued")),
        ),
        (
            "a server's",
            pem(gateway.stage.authority.server(&[SAN]).expect("issued")),
        ),
    ];
    for (what, identity) in cases {
        assert!(
            post_with(&gateway, identity).await.is_err(),
            "a certificate {what} was accepted"
        );
    }
    let good = pem(gateway.stage.authority.client(SAN).expect("issued"));
    assert_eq!(post_with(&gateway, good).await.expect("an answer").0, 200);
    assert_eq!(gateway.value("SELECT count(*) FROM packet").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_our_authority_that_names_no_partner_is_refused_with_what_to_do() {
    let gateway = Gateway::start().await;
    let issued = gateway
        .stage
        .authority
        .client("stranger.example")
        .expect("issued");
    let (status, body) = post_with(&gateway, Some((issued.certificate_pem, issued.key_pem)))
        .await
        .expect("an answer");
    assert_eq!(status, 403);
    let problem: serde_json::Value = serde_json::from_str(&body).expect("a problem document");
    assert_eq!(problem["status"], 403, "{body}");
    assert!(
        !body.contains("nanning-tax"),
        "other partners are not named: {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_may_call_only_its_own_routes() {
    let gateway = Gateway::with(|scene| {
        scene.edit(
            "routes = [\"POST /tax/v1/packets\"]\nrequests_per_second = 200\nburst",
            "routes = [\"POST /tax/v2/packets\"]\nrequests_per_second = 200\nburst",
        )
    })
    .await;
    let client = gateway.stage.client("nanning-tax").expect("a client");
    let status = async |request: reqwest::RequestBuilder| {
        request.send().await.expect("an answer").status().as_u16()
    };
    let mut answers = Vec::new();
    for path in [
        "/ltc/v1/registry",
        "/core/v1/deduction-results",
        "/tax/v1/nothing",
    ] {
        let answer = client
            .post(gateway.url(path))
            .body("{}")
            .send()
            .await
            .expect("an answer");
        answers.push((
            answer.status().as_u16(),
            answer.text().await.expect("a body").replace(path, "PATH"),
        ));
    }
    assert!(
        answers[0].0 == 404 && answers.windows(2).all(|two| two[0] == two[1]),
        "what others may call is not told: {answers:?}"
    );
    assert_eq!(
        status(client.get(gateway.url("/tax/v2/packets"))).await,
        405
    );
    assert_eq!(
        status(client.get(gateway.url("/metrics"))).await,
        404,
        "the operator's pages are not here"
    );
    assert_eq!(
        status(
            client
                .post(gateway.url("/tax/v2/packets"))
                .body(Vec::from(packet()))
        )
        .await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_does_its_story_on_whatever_path_leads_to_it() {
    let gateway = Gateway::with(|scene| {
        scene.edit(
            "  \"POST /core/v1/deduction-results\",\n",
            "  \"POST /core/v2/deduction-results\",\n  \"POST /core/v3/roster\",\n",
        )
    })
    .await;
    let client = gateway.stage.client("medical-core").expect("a client");
    let sent = async |path: &str, body: String| {
        let answer = client
            .post(gateway.url(path))
            .body(body)
            .send()
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.text().await.expect("a body"),
        )
    };
    let results = r#"{"batch_no":"900-1","results":[{"psn_no":"P1","rslt":"0","amt":9.01}]}"#;
    let (status, text) = sent("/core/v2/deduction-results", results.to_owned()).await;
    assert!(
        status == 422 && text.contains("batch 900-1: no batch of this number was sent"),
        "{status} {text}"
    );
    let sample = project().join("adapters/medical-core/samples/roster_person/ordinary.ndjson");
    let lines = std::fs::read_to_string(sample).expect("the sample");
    let (_, people) = lines
        .split_once('\n')
        .expect("its head stands in the query");
    let query = "/core/v3/roster?roster_no=R1&kind=full&area=450100&month=202110";
    let (status, text) = sent(query, people.to_owned()).await;
    assert!(
        status == 200 && text.contains("\"taken\": 4"),
        "{status} {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_agreed_get_a_receipt_with_429_and_when_to_come_again() {
    let gateway = Gateway::with(|scene| {
        scene.edit(
            "requests_per_second = 200\nburst = 400",
            "requests_per_second = 1\nburst = 2",
        )
    })
    .await;
    let client = gateway.stage.client("nanning-tax").expect("a client");
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(
            client
                .post(gateway.url("/tax/v1/packets"))
                .body(Vec::from(packet()))
                .send()
                .await
                .expect("an answer"),
        );
    }
    let third = answers.pop().expect("three answers");
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!(answers[0].headers()["ratelimit-limit"], "2");
    assert_eq!(third.status(), 429);
    assert_eq!(third.headers()["retry-after"], "1");
    assert_eq!(third.headers()["ratelimit-remaining"], "0");
    let (_, receipt) = receipt(third).await;
    assert_eq!(element(&receipt, "RECODE_ZT"), "1", "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_body_is_the_same_packet_and_a_bomb_is_refused() {
    let gateway = Gateway::with(|scene| {
        scene.edit(
            "# decompressed_bytes_max = 4294967296",
            "decompressed_bytes_max = 1000000",
        )
    })
    .await;
    let client = gateway.stage.client("nanning-tax").expect("a client");
    let post = async |body: Vec<u8>| {
        let request = client
            .post(gateway.url("/tax/v1/packets"))
            .header("content-encoding", "GZIP")
            .body(body);
        receipt(request.send().await.expect("an answer")).await
    };
    let plain = gateway.send(packet()).await;
    assert_eq!(
        post(gzip(&Vec::from(packet()))).await,
        plain,
        "zipped, it is a repeat"
    );
    let (status, receipt) = post(gzip(&vec![b' '; 1_000_001])).await;
    assert_eq!(status, 413);
    assert!(receipt.contains("larger than 1000000 bytes"), "{receipt}");
    assert_eq!(post(b"not gzip".to_vec()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_partners_cap_is_refused_whether_announced_or_not() {
    let gateway =
        Gateway::with(|scene| scene.edit("burst = 400", "burst = 400\nbody_bytes_max = 10000"))
            .await;
    let client = gateway.stage.client("nanning-tax").expect("a client");
    let chunk = || Ok::<_, std::io::Error>(vec![b'x'; 6_000]);
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter([chunk(), chunk()]));
    for body in [reqwest::Body::from(vec![b'x'; 10_001]), streamed] {
        let answer = client
            .post(gateway.url("/tax/v1/packets"))
            .body(body)
            .send()
            .await
            .expect("an answer");
        let (status, receipt) = receipt(answer).await;
        assert_eq!(status, 413);
        assert_eq!(element(&receipt, "RECODE_ZT"), "1", "{receipt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_stops_half_way_leaves_nothing_and_may_send_again() {
    let gateway = Gateway::start().await;
    let body: Vec<u8> = packet().into();
    let mut half = connect(&gateway).await;
    half.write_all(&request_head(body.len()))
        .await
        .expect("sent");
    half.write_all(&body[..body.len() / 2]).await.expect("sent");
    half.flush().await.expect("sent");
    drop(half);
    assert_eq!(gateway.send(body).await.0, 200);
    assert_eq!(gateway.value("SELECT count(*) FROM packet").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_pauses_too_long_is_cut_off_with_a_receipt() {
    let gateway =
        Gateway::with(|scene| scene.edit("# idle_seconds = 30", "idle_seconds = 1")).await;
    let mut slow = connect(&gateway).await;
    slow.write_all(&request_head(5_000)).await.expect("sent");
    slow.write_all(b"<?xml").await.expect("sent");
    slow.flush().await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), slow.read_to_end(&mut answer))
        .await
        .expect("cut off")
        .ok();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("nothing came for 1 seconds"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_of_a_byte_now_and_then_is_cut_off_by_its_average_speed() {
    let gateway = Gateway::with(|scene| {
        scene.edit(
            "# bytes_per_second_min = 1024",
            "bytes_per_second_min = 1024\nslow_grace_seconds = 1",
        )
    })
    .await;
    let mut slow = connect(&gateway).await;
    slow.write_all(&request_head(1_000_000))
        .await
        .expect("sent");
    let (mut reader, mut writer) = tokio::io::split(slow);
    let drip = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        loop {
            pace.tick().await;
            if writer.write_all(b"x").await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), reader.read_to_end(&mut answer))
        .await
        .expect("cut off")
        .ok();
    drip.abort();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("less than 1024 bytes a second"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_ends_even_a_live_connection() {
    let gateway = Gateway::start().await;
    let issued = gateway.stage.authority.client(SAN).expect("issued");
    let client = gateway
        .stage
        .client_with(Some(&(
            issued.certificate_pem.clone(),
            issued.key_pem.clone(),
        )))
        .expect("a client");
    let post = async || {
        client
            .post(gateway.url("/tax/v1/packets"))
            .body(Vec::from(packet()))
            .send()
            .await
    };
    assert_eq!(post().await.expect("an answer").status(), 200);
    let list = gateway
        .stage
        .authority
        .revocation_list(&[&issued])
        .expect("a list");
    std::fs::write(gateway.stage.pki.join("crl.pem"), list).expect("written");
    gateway.running.reload_trust().expect("reloaded");
    let live = post().await;
    assert!(
        live.as_ref().map_or(true, |answer| answer.status() == 403),
        "{live:?}"
    );
    assert!(
        post_with(&gateway, Some((issued.certificate_pem, issued.key_pem)))
            .await
            .is_err(),
        "a new connection is refused"
    );
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub fn request_head(length: usize) -> Vec<u8> {
    format!("POST /tax/v1/packets HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
        .into_bytes()
}

/// A bare TLS connection with the tax bureau's certificate, to misbehave on.
async fn connect(gateway: &Gateway) -> TlsStream<tokio::net::TcpStream> {
    connect_as(gateway, "nanning-tax").await
}

/// The same with any partner's.
pub async fn connect_as(gateway: &Gateway, partner: &str) -> TlsStream<tokio::net::TcpStream> {
    let file = |end: &str| gateway.stage.pki.join(format!("inbound/{partner}.{end}"));
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(gateway.stage.pki.join("ca.pem")).expect("the CA"))
        .expect("a root");
    let chain = vec![CertificateDer::from_pem_file(file("pem")).expect("the certificate")];
    let key = PrivateKeyDer::from_pem_file(file("key")).expect("the key");
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("a client");
    let tcp = tokio::net::TcpStream::connect(gateway.running.server.partner)
        .await
        .expect("connected");
    tcp.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from("localhost").expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .expect("TLS")
}
