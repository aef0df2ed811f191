//! Requests to one partner: our certificate, its authority only, and a strict answer to "was it sent?".
//!
//! HTTP/1.1 over TLS 1.2 or 1.3, no redirects, no proxy, no system authorities. A connection carries
//! another request only where answers say which request they answer. Knows how to
//! carry a request and whether it may have left; what an answer means is the adapter's business,
//! what to do about it the flow's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::{AlertDescription, RootCertStore};
use sha2::{Digest, Sha256};

use super::certificate::{self, fault};
use crate::config::OutboundEntry;
use crate::error::{Fault, Stage};
use crate::model::{Answer, Request};

/// Largest answer taken, after decompression (bytes).
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Longest wait for TCP and TLS together; less than any sensible deadline, so that it tells first.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Idle connections are closed before common servers do it, or a request may meet a closing connection.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// How often the files are looked at for new certificates.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Whether a request that failed may have reached the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// No byte of it was read by the partner: it may be sent again.
    NotSent,
    /// Some of it may have: ask about the outcome first.
    Unknown,
}

/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFailure {
    pub certainty: Certainty,
    /// Safe to show: no address beyond the host, no header, no body.
    pub text: String,
}

/// The way to one partner; keeps connections open between requests and follows its certificate files.
#[derive(Debug)]
pub struct Client {
    outbound: OutboundEntry,
    base: reqwest::Url,
    http: ArcSwap<Clients>,
    built_from: Mutex<Built>,
    look_every: Duration,
}

/// Two HTTP clients over the same TLS.
#[derive(Debug)]
struct Clients {
    /// Keeps connections open for the next request.
    pooled: reqwest::Client,
    /// Makes a connection for each request, and leaves nothing of it to the next.
    single: reqwest::Client,
}

/// What the HTTP clients were built from.
#[derive(Debug)]
struct Built {
    /// Of the files' contents.
    digest: [u8; 32],
    /// When the files were last looked at.
    looked_at: Instant,
}

impl Client {
    /// A client with the certificate, key and authority the entry names.
    ///
    /// # Errors
    /// A file cannot be read or used, key and certificate do not belong together, or the URL is not one.
    pub fn new(outbound: &OutboundEntry) -> Result<Client, Fault> {
        let base = reqwest::Url::parse(&outbound.url).map_err(|error| {
            Fault::operator(
                Stage::Config,
                format!(
                    "url `{}` is not a URL: {error}; expected https://host[:port]",
                    outbound.url
                ),
            )
        })?;
        if base.scheme() != "https" || base.host_str().is_none() {
            return Err(Fault::operator(
                Stage::Config,
                format!(
                    "url `{}` cannot be called; expected https://host[:port]",
                    outbound.url
                ),
            ));
        }
        let material = Material::read(outbound)?;
        let http = ArcSwap::from_pointee(Clients::build(&material, outbound)?);
        let built_from = Mutex::new(Built {
            digest: material.digest,
            looked_at: Instant::now(),
        });
        Ok(Client {
            outbound: outbound.clone(),
            base,
            http,
            built_from,
            look_every: LOOK_EVERY,
        })
    }

    /// Looks at the files that often instead of every ten seconds.
    pub fn look_every(self, pause: Duration) -> Client {
        Client {
            look_every: pause,
            ..self
        }
    }

    /// Reads certificate, key and authority again; says whether they changed. New requests use the
    /// new ones, requests under way end with the old ones; on a fault the old ones stay. Sending
    /// does this by itself now and then.
    pub fn reload(&self) -> Result<bool, Fault> {
        let mut built_from = self
            .built_from
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        built_from.looked_at = Instant::now();
        let material = Material::read(&self.outbound)?;
        if built_from.digest == material.digest {
            return Ok(false);
        }
        self.http
            .store(Arc::new(Clients::build(&material, &self.outbound)?));
        built_from.digest = material.digest;
        Ok(true)
    }

    fn follow_files(&self) {
        let due = self
            .built_from
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .looked_at
            .elapsed()
            >= self.look_every;
        match if due { self.reload() } else { Ok(false) } {
            Ok(true) => tracing::info!(
                host = self.base.host_str(),
                "certificate, key or authority reloaded"
            ),
            Ok(false) => {}
            Err(fault) => {
                tracing::error!(host = self.base.host_str(), %fault, "certificate, key or authority not reloaded; the old ones stay")
            }
        }
    }

    /// Sends a request and reads the complete answer, whatever its status, within `deadline`.
    ///
    /// # Errors
    /// No complete answer; [`SendFailure::certainty`] says whether the request may have arrived.
    pub async fn send(&self, request: &Request, deadline: Duration) -> Result<Answer, SendFailure> {
        self.follow_files();
        let clients = self.http.load_full();
        let http = if request.reuse {
            &clients.pooled
        } else {
            &clients.single
        };
        let prepared = self.prepare(http, request)?;
        match tokio::time::timeout(deadline, exchange(http, prepared)).await {
            Ok(answer) => answer,
            Err(_) => Err(unknown(format!(
                "no complete answer within {} s",
                deadline.as_secs_f64()
            ))),
        }
    }

    fn prepare(
        &self,
        http: &reqwest::Client,
        request: &Request,
    ) -> Result<reqwest::Request, SendFailure> {
        let url = format!(
            "{}{}",
            self.base.as_str().trim_end_matches('/'),
            request.path
        );
        let method = reqwest::Method::from_bytes(request.method.as_bytes())
            .map_err(|_| not_sent(format!("`{}` is not a method", request.method)))?;
        let mut builder = http.request(method, url).body(request.body.clone());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if !request.reuse {
            builder = builder.header("connection", "close");
        }
        builder.build().map_err(|error| {
            not_sent(format!(
                "the request cannot be built: {}",
                said(&error.without_url())
            ))
        })
    }
}

async fn exchange(
    http: &reqwest::Client,
    request: reqwest::Request,
) -> Result<Answer, SendFailure> {
    let mut response = http.execute(request).await.map_err(classify)?;
    let status = response.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_string(), text(value)))
        .collect();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => {
                return Ok(Answer {
                    status,
                    headers,
                    body,
                });
            }
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Err(unknown(format!(
                    "the answer (status {status}) is larger than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => {
                return Err(unknown(format!(
                    "the answer (status {status}) broke off: {}",
                    said(&error.without_url())
                )));
            }
        }
    }
}

/// Before the connection stands nothing has left; a server that refuses our certificate has not
/// read the request either, though with TLS 1.3 we hear of it only after writing. All else may have arrived.
fn classify(error: reqwest::Error) -> SendFailure {
    let error = error.without_url();
    let refused = tls_error(&error).is_some_and(refuses_our_certificate);
    let text = said(&error);
    if refused {
        return not_sent(format!("the partner refuses our certificate: {text}"));
    }
    if error.is_connect() {
        not_sent(text)
    } else {
        unknown(text)
    }
}

/// The TLS error behind an error, if there is one.
pub(super) fn tls_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error shows its cause's source, not the cause.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Alerts a server sends only before it has accepted the client, so before it reads any request (RFC 8446 §6.2).
pub(super) fn refuses_our_certificate(error: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else {
        return false;
    };
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
            | Alert::DecryptError
            | Alert::HandshakeFailure
    )
}

/// An error and its causes on one line.
fn said(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn not_sent(text: String) -> SendFailure {
    SendFailure {
        certainty: Certainty::NotSent,
        text,
    }
}

fn unknown(text: String) -> SendFailure {
    SendFailure {
        certainty: Certainty::Unknown,
        text,
    }
}

/// The files' contents.
pub(super) struct Material {
    certificate: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
    digest: [u8; 32],
}

impl Material {
    pub(super) fn read(outbound: &OutboundEntry) -> Result<Material, Fault> {
        let [certificate, key, ca] = [&outbound.certificate, &outbound.key, &outbound.ca]
            .map(|path| certificate::read(path));
        let (certificate, key, ca) = (certificate?, key?, ca?);
        let mut digest = Sha256::new();
        for content in [&certificate, &key, &ca] {
            digest.update((content.len() as u64).to_be_bytes());
            digest.update(content);
        }
        Ok(Material {
            certificate,
            key,
            ca,
            digest: digest.finalize().into(),
        })
    }

    /// Trusts what the partner's authority signed and nothing else.
    pub(super) fn verifier(
        &self,
        outbound: &OutboundEntry,
    ) -> Result<Arc<dyn ServerCertVerifier>, Fault> {
        let mut roots = RootCertStore::empty();
        let authorities = certificate::certificates(&outbound.ca, &self.ca)?;
        super::authority::check_keys(&outbound.ca, &authorities)?;
        for authority in authorities {
            roots.add(authority).map_err(|error| {
                fault(
                    &outbound.ca,
                    &format!("holds a certificate that cannot be an authority: {error}"),
                )
            })?;
        }
        let built =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::provider()).build();
        Ok(built.map_err(|error| {
            fault(
                &outbound.ca,
                &format!("cannot be used to verify the partner: {error}"),
            )
        })?)
    }

    /// TLS with our certificate and the given verifier.
    pub(super) fn tls(
        &self,
        outbound: &OutboundEntry,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<ClientConfig, Fault> {
        let chain = certificate::certificates(&outbound.certificate, &self.certificate)?;
        let key = certificate::private_key(&outbound.key, &self.key)?;
        ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| {
                Fault::operator(Stage::Config, format!("no TLS configuration: {error}"))
            })?
            .dangerous() // the name of the method; the verifier is rustls's own or wraps it
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(|error| {
                fault(
                    &outbound.key,
                    &format!(
                        "cannot be used with {}: {error}",
                        outbound.certificate.display()
                    ),
                )
            })
    }
}

impl Clients {
    fn build(material: &Material, outbound: &OutboundEntry) -> Result<Clients, Fault> {
        let tls = material.tls(outbound, material.verifier(outbound)?)?;
        Ok(Clients {
            pooled: http_client(tls.clone(), outbound, outbound.limits.concurrent)?,
            single: http_client(tls, outbound, 0)?,
        })
    }
}

fn http_client(
    tls: ClientConfig,
    outbound: &OutboundEntry,
    idle_max: usize,
) -> Result<reqwest::Client, Fault> {
    let connect = CONNECT_MAX.min(Duration::from_secs(outbound.deadline_seconds.max(1)) / 2);
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(connect)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(idle_max)
        .gzip(true)
        .build()
        .map_err(|error| {
            Fault::operator(
                Stage::Config,
                format!("no client for {}: {}", outbound.url, said(&error)),
            )
        })
}
