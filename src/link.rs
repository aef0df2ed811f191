//! Mutual TLS in both directions: who calls us, how fast it may, and how we call others.
//!
//! Carries bytes and says who is at the other end. Does not know what the bytes mean, and reads
//! no database.

pub mod acceptor; // a TCP connection -> a TLS connection of a client with a certificate
mod authority; // authorities and revocation lists that cannot work
pub mod certificate; // certificates, keys and their facts, from files
pub mod chain; // a client's certificates, before any signature is verified
pub mod client; // requests to a partner
pub mod connections; // places for connections, per partner and in all
pub mod identity; // a client certificate -> a partner
pub mod limit; // how fast a partner may call
pub mod pace; // how fast we call a partner
pub mod probe; // what doctor wants to know about a partner's server
pub mod quota; // how many requests of a day, and in which hours
pub mod refusal; // why a handshake was refused: counted, logged at a bounded rate
mod revocation; // revocation lists that never go back
pub mod server_tls; // the partner listener's TLS and its reload
mod signature; // an authority's signature, SM2 included
pub mod slots; // places for handshakes under way
pub mod tlcp; // certificates that a TLCP gateway passes on

pub use acceptor::Acceptor;
pub use certificate::{AlternativeName, CertificateFacts, certificate_facts};
pub use client::{Certainty, Client, SendFailure};
pub use connections::{ClientConnection, Connections, Owner, UnderWay, Use};
pub use identity::Identities;
pub use limit::{CallerLimits, Headers, RetryAfter};
pub use pace::Pacer;
pub use quota::{Clock, Quota, QuotaClosed, SystemClock, Ticket};
pub use refusal::{HandshakeRefusalReason, RefusedHandshake};
pub use server_tls::{PeerCertificate, TrustState};
pub use tlcp::CallerRefusal;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::model::printable::printable;

/// The cryptography of every TLS connection: ring.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes ring the process's default provider, which some libraries ask for; a second call does nothing.
pub fn install_provider() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
}
