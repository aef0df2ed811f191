//! The two listeners: partners over mutual TLS, the operator over plain HTTP on loopback.
//!
//! Handlers are a few lines that call a flow. Nothing here reads a document or the database.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::adapter::Adapter;
use crate::config::{Listen, Partner};
use crate::error::{Fault, Stage};
use crate::flow::Gateway;
use crate::link::{Acceptor, AlternativeName, CallerLimits, TrustState, certificate_facts};
use crate::telemetry::Metrics;

mod body; // a partner's bytes, with time limits
mod core; // the medical insurance core's paths
mod cycles; // a month's deductions, planned and looked at
mod fhir; // the registries as FHIR
pub mod listener; // TCP to TLS to HTTP, for partners
mod negotiation; // the form a caller likes best
mod operator; // /healthz, /readyz, /metrics
mod partner; // what partners may call
mod place; // a request's place until its answer is taken
mod province; // what pullers of the registries get
mod registry; // institutions and caregivers in
mod standing; // who paid what

pub use operator::Refresh;

/// Longest a client may take for its request head.
const HEAD_SECONDS: Duration = Duration::from_secs(10);
/// Connections to the operator's listener at once.
const OPERATOR_CONNECTIONS_MAX: usize = 1_024;
/// Longest an operator's client may take for its request head, and keep a connection idle: whoever keeps silent is in nobody's way for long.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(2);
/// Seconds a caller is asked to wait when we cannot do it now.
const LATER_SECONDS: u64 = 5;
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Everything the partner listener's handlers need.
pub struct PartnerApi {
    gateway: Gateway,
    trust: Arc<TrustState>,
    acceptor: Arc<Acceptor>,
    limits: CallerLimits,
    /// Where partners reach us, without a slash at its end.
    public_url: String,
    /// What the URIs of identifiers and codes begin with.
    terms: String,
    entries: HashMap<String, Entry>,
    metrics: Metrics,
}

/// A partner that may call, with the adapter that reads what it sends.
struct Entry {
    partner: Arc<Partner>,
    /// None for partners that use only the gateway's own routes.
    adapter: Option<Arc<Adapter>>,
}

/// Both listeners, running.
pub struct Listeners {
    /// Where partners connect.
    pub partner: SocketAddr,
    /// Where the operator looks.
    pub operator: SocketAddr,
    /// What makes TLS connections of partners, and knows whom it refused.
    pub acceptor: Arc<Acceptor>,
    handles: Vec<ServerHandle>,
    ready: Arc<AtomicBool>,
}

impl Listeners {
    /// Binds both addresses and serves until [`Listeners::stop`].
    ///
    /// `refresh` is called before `/metrics` is answered.
    pub fn start(
        gateway: Gateway,
        trust: Arc<TrustState>,
        metrics: Metrics,
        refresh: Refresh,
    ) -> Result<Listeners, Fault> {
        let listen = &gateway.config.gateway.listen;
        let (partner_socket, partner) = bind(listen.partner)?;
        let (operator_socket, operator) = bind(listen.operator)?;
        let ready = Arc::new(AtomicBool::new(true));
        let drain = gateway.config.gateway.deliver.drain_seconds;
        let acceptor = Arc::new(Acceptor::new(&trust, listen, metrics.clone())?);
        let watch = operator::Watch {
            store: gateway.store.clone(),
            shares: gateway.shares.clone(),
            metrics: metrics.clone(),
            ready: ready.clone(),
            refresh,
            acceptor: acceptor.clone(),
        };
        let watch = web::Data::new(watch);
        let connections_max = accepted_max(listen);
        let api = web::Data::new(PartnerApi::new(
            gateway,
            (trust, acceptor.clone()),
            metrics,
            partner,
        )?);
        let manner = listener::ListenerLimits {
            head: HEAD_SECONDS,
            keep_alive: KEEP_ALIVE,
            connections_max,
            drain_seconds: drain,
            workers: None,
        };
        let routes = move |app: &mut web::ServiceConfig| {
            app.app_data(api.clone())
                .default_service(web::to(partner::handle));
        };
        let partners = listener::serve(
            partner_socket,
            acceptor.clone(),
            manner,
            partner::remember_certificate,
            routes,
        )
        .map_err(|error| cannot_listen(partner, &error))?;
        let operators = HttpServer::new(move || {
            App::new()
                .app_data(watch.clone())
                .configure(operator::routes)
        })
        .workers(1)
        .max_connections(OPERATOR_CONNECTIONS_MAX)
        .client_request_timeout(OPERATOR_PATIENCE)
        .keep_alive(OPERATOR_PATIENCE)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(operator_socket)
        .map_err(|error| cannot_listen(operator, &error))?
        .run();
        let handles = vec![partners.handle(), operators.handle()];
        tokio::spawn(partners);
        tokio::spawn(operators);
        Ok(Listeners {
            partner,
            operator,
            acceptor,
            handles,
            ready,
        })
    }

    /// Turns `/readyz` off, lets requests under way finish, then closes.
    pub async fn stop(self) {
        self.ready.store(false, Ordering::Relaxed);
        for handle in self.handles {
            handle.stop(true).await;
        }
    }
}

impl PartnerApi {
    fn new(
        gateway: Gateway,
        (trust, acceptor): (Arc<TrustState>, Arc<Acceptor>),
        metrics: Metrics,
        bound: SocketAddr,
    ) -> Result<PartnerApi, Fault> {
        let public_url = public_url(&gateway, bound);
        let terms = gateway
            .config
            .gateway
            .fhir
            .terms_url
            .clone()
            .unwrap_or_else(|| format!("{public_url}/fhir/terms/"));
        let limits = CallerLimits::from_config(&gateway.config.partners);
        let mut entries = HashMap::new();
        for partner in gateway
            .config
            .partners
            .iter()
            .filter(|partner| partner.inbound.is_some())
        {
            let adapter = if partner.adapter.is_empty() {
                None
            } else {
                Some(gateway.adapter_of(partner)?.clone())
            };
            entries.insert(
                partner.name.clone(),
                Entry {
                    partner: Arc::new(partner.clone()),
                    adapter,
                },
            );
        }
        Ok(PartnerApi {
            gateway,
            trust,
            acceptor,
            limits,
            public_url,
            terms,
            entries,
            metrics,
        })
    }
}

/// As configured, or by the first name of our certificate: never what a caller says in its Host header.
fn public_url(gateway: &Gateway, bound: SocketAddr) -> String {
    if let Some(url) = &gateway.config.gateway.listen.public_url {
        return url.clone();
    }
    let names = certificate_facts(&gateway.config.gateway.tls.certificate)
        .map(|facts| facts.sans)
        .unwrap_or_default();
    let host = names.iter().find_map(|name| {
        if let AlternativeName::Dns(name) = name {
            Some(name.as_str())
        } else {
            None
        }
    });
    match host {
        Some(host) if bound.port() == 443 => format!("https://{host}"),
        Some(host) => format!("https://{host}:{}", bound.port()),
        None => format!("https://{bound}"),
    }
}

/// Connections a worker thread has at most before it accepts no more: above what the acceptor allows in all, which then
/// decides whose are closed. Those being closed count twice.
fn accepted_max(listen: &Listen) -> usize {
    listen
        .connections_max
        .saturating_mul(2)
        .saturating_add(listen.handshakes_max.saturating_mul(2))
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Fault> {
    let socket = TcpListener::bind(address).map_err(|error| cannot_listen(address, &error))?;
    let bound = socket
        .local_addr()
        .map_err(|error| cannot_listen(address, &error))?;
    Ok((socket, bound))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Fault {
    Fault::operator(
        Stage::Config,
        format!(
            "cannot listen on {address}: {error}; change [listen] in gateway.toml or stop what uses the port"
        ),
    )
}
