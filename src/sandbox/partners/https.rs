//! The listener of a simulated partner: TLS with a mandatory client certificate, on a free port.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use futures_util::stream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::{Behaviour, Desk};
use crate::error::{Fault, Stage};

/// Largest body taken (bytes).
const BODY_BYTES_MAX: usize = 16 << 20;

/// A simulated partner's identity and whom it trusts (PEM texts).
#[derive(Debug, Clone)]
pub struct PartnerTls {
    /// For `localhost`.
    pub certificate_pem: String,
    pub key_pem: String,
    /// Authority of the client certificates it takes.
    pub client_ca_pem: String,
}

pub(super) type Routes = fn(&mut ServiceConfig);

pub(super) struct Listener {
    pub port: u16,
    handle: ServerHandle,
}

impl Listener {
    /// Starts it inside the current tokio runtime.
    pub fn start(tls: &PartnerTls, desk: Arc<Desk>, routes: Routes) -> Result<Listener, Fault> {
        let config = server_config(tls).map_err(|error| failed(&error))?;
        let socket = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| failed(&error))?;
        let port = socket.local_addr().map_err(|error| failed(&error))?.port();
        let desk = Data::from(desk);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(desk.clone())
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .configure(routes)
        })
        .workers(1)
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(1)
        .listen_rustls_0_23(socket, config)
        .map_err(|error| failed(&error))?
        .run();
        let handle = server.handle();
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!("simulated partner: its listener ended: {error}");
            }
        });
        Ok(Listener { port, handle })
    }

    /// Closes the port and every connection.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The message to stop is queued when the future is made; nobody needs to wait for it.
        drop(self.handle.stop(false));
    }
}

fn server_config(tls: &PartnerTls) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let provider = crate::link::provider();
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(tls.client_ca_pem.as_bytes()) {
        roots.add(authority?)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let chain = CertificateDer::pem_slice_iter(tls.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn failed(error: &dyn std::fmt::Display) -> Fault {
    Fault::operator(
        Stage::Config,
        format!("simulated partner cannot start: {error}"),
    )
}

/// How a kind of partner checks, enters and answers a delivery.
pub(super) trait Handling {
    /// Checks it, takes it if it is in order, and answers.
    fn take(&self, desk: &Desk) -> HttpResponse;
    /// Its refusal with a code of the script's.
    fn refuse(&self, desk: &Desk, code: &str) -> HttpResponse;
}

/// Does with a delivery what limit and script say.
pub(super) async fn deliver(desk: &Desk, delivery: &impl Handling) -> HttpResponse {
    let (_place, admitted) = desk.admits(Instant::now());
    if !admitted {
        return busy(StatusCode::TOO_MANY_REQUESTS, Some(1));
    }
    pause(desk).await;
    if let Some(said) = desk.turned_away() {
        return said.answer();
    }
    match desk.next_behaviour() {
        Behaviour::Accept => delivery.take(desk),
        Behaviour::Refuse(code) => delivery.refuse(desk, &code),
        Behaviour::HangAfterReading => hang(desk).await,
        Behaviour::AcceptThenHang => {
            delivery.take(desk);
            hang(desk).await
        }
        Behaviour::AcceptThenClose => {
            delivery.take(desk);
            broken_off()
        }
        Behaviour::AcceptThenSay(said) => {
            delivery.take(desk);
            said.answer()
        }
        Behaviour::Garbage => HttpResponse::Ok()
            .content_type("application/json")
            .body("garbage{{{"),
        Behaviour::TooMany(wait) => busy(StatusCode::TOO_MANY_REQUESTS, Some(wait)),
        Behaviour::Unavailable(wait) => busy(StatusCode::SERVICE_UNAVAILABLE, wait),
    }
}

/// Counts an inquiry against the limit; an answer when it is above.
pub(super) async fn admit_inquiry(desk: &Desk) -> Option<HttpResponse> {
    let (_place, admitted) = desk.admits(Instant::now());
    if !admitted {
        return Some(busy(StatusCode::TOO_MANY_REQUESTS, Some(1)));
    }
    if let Some(said) = desk.turned_away() {
        return Some(said.answer());
    }
    desk.state().tally.inquiries += 1;
    pause(desk).await;
    None
}

async fn pause(desk: &Desk) {
    if desk.options.latency > Duration::ZERO {
        tokio::time::sleep(desk.options.latency).await;
    }
}

fn busy(status: StatusCode, wait: Option<u32>) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    if let Some(wait) = wait {
        answer.insert_header(("retry-after", wait.to_string()));
    }
    answer.finish()
}

/// Until the server stops.
async fn hang(desk: &Desk) -> HttpResponse {
    desk.stopped.cancelled().await;
    broken_off()
}

/// The beginning of an answer, then a closed connection.
fn broken_off() -> HttpResponse {
    let parts = [
        Ok(Bytes::from_static(b"{")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ];
    HttpResponse::Ok()
        .no_chunking(1_000)
        .content_type("application/json")
        .streaming(stream::iter(parts))
}
