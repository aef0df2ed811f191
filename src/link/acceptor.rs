//! From an accepted TCP connection to a TLS connection of a client with a certificate.
//!
//! Bounds what strangers can cost before they have shown one: a place for each handshake, a
//! deadline for all of it, and a chain that is looked at before it is verified. What is refused
//! is counted and said. Whether the certificate is a partner's is asked for every request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::{ClientConnection, Connections, Owner};
use super::refusal::{HandshakeRefusalReason, Refusals, RefusedHandshake};
use super::server_tls::TrustState;
use super::slots::{HandshakeSlot, Slots};
use crate::config::Listen;
use crate::error::Fault;
use crate::telemetry::Metrics;

tokio::task_local! {
    /// What the verifier saw of the handshake it is called by.
    static PRESENTED: Arc<Mutex<PresentedCertificate>>;
}

/// What a client showed of itself in a handshake, good or not.
#[derive(Debug, Default, Clone)]
pub(super) struct PresentedCertificate {
    /// Subject and names, cut and escaped.
    pub who: String,
    /// A reason that the certificate itself gives, which the verifier's error does not say.
    pub reason: Option<HandshakeRefusalReason>,
    /// What the verifier found.
    pub detail: String,
    /// Whose it is, once it was verified.
    pub owner: Option<Owner>,
}

/// Notes what the client of the handshake under way presented; does nothing outside of one.
pub(super) fn note(presented: PresentedCertificate) {
    // A certificate is also verified anew later, where no handshake is under way.
    let _ = PRESENTED
        .try_with(|noted| *noted.lock().unwrap_or_else(PoisonError::into_inner) = presented);
}

/// What makes TLS connections of TCP connections.
#[derive(Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    slots: Arc<Slots>,
    connections: Arc<Connections>,
    refusals: Refusals,
    deadline: Duration,
}

impl Acceptor {
    /// As `[listen]` says; refusals are counted in `metrics`.
    ///
    /// # Errors
    /// There is no TLS configuration with these algorithms.
    pub fn new(
        trust: &Arc<TrustState>,
        listen: &Listen,
        metrics: Metrics,
    ) -> Result<Acceptor, Fault> {
        Ok(Acceptor {
            config: Arc::new(trust.server_config()?),
            slots: Slots::new(listen),
            connections: Connections::new(listen, metrics.clone()),
            refusals: Refusals::new(metrics),
            deadline: Duration::from_secs(listen.handshake_seconds),
        })
    }

    /// The refusals of this listener.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whether a partner came from this address lately.
    pub fn is_known(&self, peer: SocketAddr) -> bool {
        self.slots.is_known(peer.ip(), Instant::now())
    }

    /// Connections that are open.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Handshakes under way.
    pub fn under_way(&self) -> usize {
        self.slots.under_way()
    }

    /// The TLS connection; none when it was refused, which has been counted and said then.
    pub async fn accept(&self, tcp: TcpStream) -> Option<ClientConnection> {
        let peer = tcp.peer_addr().ok()?; // Gone already.
        let mut slot = self.slots.enter(peer.ip(), Instant::now());
        let presented = Arc::new(Mutex::new(PresentedCertificate::default()));
        let outcome = PRESENTED
            .scope(presented.clone(), self.handshake(tcp, &mut slot))
            .await;
        drop(slot);
        let presented = presented
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match outcome {
            Ok(stream) => {
                let owner = presented.owner.unwrap_or(Owner::Nobody);
                if owner != Owner::Nobody {
                    self.slots.partner_came(peer.ip(), Instant::now());
                }
                self.connections.enter(owner, stream)
            }
            Err(None) => {
                tracing::debug!(%peer, "connected and went away without a word");
                None
            }
            Err(Some((reason, detail))) => {
                let detail = if presented.detail.is_empty() {
                    detail
                } else {
                    presented.detail
                };
                let reason = presented.reason.unwrap_or(reason);
                self.refusals.refused(&RefusedHandshake {
                    peer,
                    known: self.is_known(peer),
                    reason,
                    who: &presented.who,
                    detail: &detail,
                });
                None
            }
        }
    }

    /// The handshake, until its deadline or until its place is another's; `Err(None)` when the client closed before it said anything.
    async fn handshake(
        &self,
        tcp: TcpStream,
        slot: &mut HandshakeSlot,
    ) -> Result<TlsStream<TcpStream>, Option<(HandshakeRefusalReason, String)>> {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
        let both = async {
            let start = hello.await.map_err(|error| {
                if error.kind() == std::io::ErrorKind::InvalidData {
                    Some(why(&error))
                } else {
                    None
                }
            })?;
            start
                .into_stream(self.config.clone())
                .await
                .map_err(|error| Some(why(&error)))
        };
        tokio::select! {
            biased;
            done = both => done,
            _ = &mut slot.ended => Err(Some((HandshakeRefusalReason::Displaced, String::new()))),
            () = tokio::time::sleep(self.deadline) => Err(Some((HandshakeRefusalReason::Silent, format!("not done within {} s", self.deadline.as_secs())))),
        }
    }
}

/// An error of a handshake as reason and text; rustls's texts are words of its code, except what a certificate holds.
fn why(error: &std::io::Error) -> (HandshakeRefusalReason, String) {
    (
        HandshakeRefusalReason::of(error),
        super::printable(&error.to_string(), 200),
    )
}
