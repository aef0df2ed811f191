//! Partners whose certificate is revoked while their request is under way: nothing of it is taken.

use std::sync::Arc;

use ltcgw::sandbox::pki::IssuedCertificate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

use crate::packet::{Line, Packet};
use crate::support::Gateway;

async fn connect(gateway: &Gateway, own: &IssuedCertificate) -> TlsStream<tokio::net::TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(gateway.stage.pki.join("ca.pem")).expect("the CA"))
        .expect("a root");
    let chain = vec![CertificateDer::from(own.certificate_der.clone())];
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).expect("the key");
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("a client");
    let tcp = tokio::net::TcpStream::connect(gateway.running.server.partner)
        .await
        .expect("connected");
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").expect("a name"), tcp)
        .await
        .expect("TLS")
}

/// Begins a request and returns once the gateway waits for its body.
async fn begin(
    gateway: &Gateway,
    own: &IssuedCertificate,
    route: &str,
    length: usize,
) -> TlsStream<tokio::net::TcpStream> {
    let mut stream = connect(gateway, own).await;
    let head = format!(
        "{route} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert!(
        answer.starts_with(b"HTTP/1.1 100"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stream
}

async fn end(mut stream: TlsStream<tokio::net::TcpStream>, body: &[u8]) -> String {
    stream.write_all(body).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_from_a_partner_that_was_revoked_while_its_body_came() {
    let gateway = Gateway::start().await;
    let packet: Vec<u8> = Packet::employers("P1", [Line::employer("1")]).into();
    let plan = br#"{"area":"450100","month":"2021-10"}"#.to_vec();
    let stories = [
        ("tax.nanning.example", "POST /tax/v1/packets", packet),
        (
            "core.nanning.example",
            "POST /core/v1/roster?roster_no=R1&kind=full&area=450100&month=202110",
            b"{}\n".to_vec(),
        ),
        (
            "core.nanning.example",
            "POST /core/v1/deduction-results",
            b"{\"batch_no\":\"900-1\",\"results\":[]}".to_vec(),
        ),
        (
            "core.nanning.example",
            "POST /core/v1/deduction-cycles",
            plan,
        ),
        (
            "ltc.nanning.example",
            "POST /ltc/v1/registry",
            b"{}\n".to_vec(),
        ),
        (
            "ltc.nanning.example",
            "PUT /ltc/v1/institutions/I1",
            b"{}".to_vec(),
        ),
        (
            "ltc.nanning.example",
            "DELETE /ltc/v1/institutions/I1?version=1&reason=closed&on=2026-01-31",
            b"{}".to_vec(),
        ),
    ];
    let (mut waiting, mut revoked) = (Vec::new(), Vec::new());
    for (san, route, body) in &stories {
        let own = gateway.stage.authority.client(san).expect("issued");
        waiting.push((route, body, begin(&gateway, &own, route, body.len()).await));
        revoked.push(own);
    }
    let list = gateway
        .stage
        .authority
        .revocation_list(&revoked.iter().collect::<Vec<_>>())
        .expect("a list");
    std::fs::write(gateway.stage.pki.join("crl.pem"), list).expect("written");
    assert!(gateway.running.reload_trust().expect("reloaded"));
    for (route, body, stream) in waiting {
        let answer = end(stream, body).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("Certificate not accepted"),
            "{route}: {answer}"
        );
    }
    let rows = "SELECT (SELECT count(*) FROM packet), (SELECT count(*) FROM packet_refusal), (SELECT count(*) FROM roster), (SELECT count(*) FROM registry_change)";
    assert_eq!(gateway.value(rows).await, "0 0 0 0");
}
