//! A look at a partner's server for `ltcgw doctor`: who answers, and does it take our certificate?
//!
//! Sends one `HEAD /` without content, nothing else; never part of the delivery.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::certificate::CertificateFacts;
use super::client::{Material, refuses_our_certificate, tls_error};
use crate::config::OutboundEntry;
use crate::error::{Fault, Stage};

/// How long each step may take.
const STEP_MAX: Duration = Duration::from_secs(5);

/// What a partner's server showed of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Of its certificate.
    pub server: CertificateFacts,
    /// `TLSv1_3` or `TLSv1_2`.
    pub protocol: String,
    /// First line of its answer to `HEAD /`; any answer means that it takes our certificate.
    pub answer: String,
}

/// Connects to a partner, verifies its certificate, shows it ours and asks for `/`.
///
/// # Errors
/// The step that failed, in words: name look-up, connection, the server's certificate (with who
/// it says it is), our certificate, or no answer.
pub async fn probe(outbound: &OutboundEntry) -> Result<Probe, Fault> {
    let url = reqwest::Url::parse(&outbound.url).map_err(|error| {
        Fault::operator(
            Stage::Config,
            format!("url `{}` is not a URL: {error}", outbound.url),
        )
    })?;
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_string();
    let port = url.port_or_known_default().unwrap_or(443);
    let at = format!("{host}:{port}");
    let material = Material::read(outbound)?;
    let recorder = Arc::new(Recorder {
        verifier: material.verifier(outbound)?,
        seen: Mutex::new(None),
    });
    let tls = material.tls(outbound, recorder.clone())?;
    let name = ServerName::try_from(host.clone())
        .map_err(|_| failed(format!("`{host}` is not a host name")))?;

    let tcp = step(TcpStream::connect((host.as_str(), port)))
        .await
        .map_err(|error| failed(format!("{at} cannot be reached: {error}")))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let mut stream = step(connector.connect(name, tcp))
        .await
        .map_err(|error| failed(handshake_failure(&at, &error, recorder.seen())))?;
    let server = recorder
        .seen()
        .ok_or_else(|| failed(format!("{at} showed no certificate that can be read")))?;
    let protocol = stream
        .get_ref()
        .1
        .protocol_version()
        .map_or_else(String::new, |version| format!("{version:?}"));

    let mut answer = [0_u8; 512];
    let request = format!("HEAD / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let asked = step(async {
        stream.write_all(request.as_bytes()).await?;
        stream.read(&mut answer).await
    });
    let length = asked
        .await
        .map_err(|error| failed(handshake_failure(&at, &error, Some(server.clone()))))?;
    if length == 0 {
        return Err(failed(format!(
            "{at} closed the connection without an answer; it may refuse our certificate; server: {}",
            server.who()
        )));
    }
    let line = String::from_utf8_lossy(&answer[..length])
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect();
    Ok(Probe {
        server,
        protocol,
        answer: line,
    })
}

async fn step<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    match tokio::time::timeout(STEP_MAX, work).await {
        Ok(done) => done,
        Err(_) => Err(std::io::Error::other(format!(
            "nothing within {} s",
            STEP_MAX.as_secs()
        ))),
    }
}

fn handshake_failure(at: &str, error: &std::io::Error, seen: Option<CertificateFacts>) -> String {
    let server = seen.map_or_else(String::new, |facts| {
        format!(
            "; server: {}, issued by `{}`, valid until {}",
            facts.who(),
            facts.issuer,
            facts.not_after
        )
    });
    match tls_error(error) {
        Some(found) if refuses_our_certificate(found) => {
            format!("{at} refuses our certificate: {error}{server}")
        }
        Some(rustls::Error::InvalidCertificate(why)) => format!(
            "the certificate of {at} is not trusted: {why}; is `ca` the authority that signed it?{server}"
        ),
        _ => format!("{at} did not complete the exchange: {error}{server}"),
    }
}

fn failed(text: String) -> Fault {
    Fault::operator(Stage::Send, text)
}

/// Verifies as its inner verifier does and remembers what the server showed.
#[derive(Debug)]
struct Recorder {
    verifier: Arc<dyn ServerCertVerifier>,
    seen: Mutex<Option<CertificateFacts>>,
}

impl Recorder {
    fn seen(&self) -> Option<CertificateFacts> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = CertificateFacts::of(own).ok();
        self.verifier.verify_server_cert(own, rest, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
