//! The partner listener: TCP connections become TLS by the link's acceptor and HTTP by actix.
//!
//! actix-web's own TLS listener admits 256 handshakes per thread, whoever they are of, and tells
//! nobody which it refused; so its pieces are put together here with another acceptor, and with
//! nothing else changed: the same workers, limits and graceful stop as `HttpServer` has.

use std::any::Any;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, Protocol, Request};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Extensions};
use actix_web::web::ServiceConfig;
use actix_web::{App, Error};
use tokio::net::TcpStream;

use crate::link::Acceptor;

/// How long a client may take to close after we did.
const DISCONNECT: Duration = Duration::from_secs(1);

/// Times and limits of the listener.
#[derive(Debug, Clone, Copy)]
pub struct ListenerLimits {
    /// Longest a client may take for a request's head.
    pub head: Duration,
    pub keep_alive: Duration,
    /// Connections at once, per worker thread; more wait to be accepted.
    pub connections_max: usize,
    /// How long requests under way may take when the listener stops (seconds).
    pub drain_seconds: u64,
    /// Worker threads; as many as processors when absent.
    pub workers: Option<usize>,
}

/// What is done with a new connection before its first request.
pub type OnConnect = fn(&dyn Any, &mut Extensions);

/// A server of `routes` on a bound socket; it runs when polled and stops by its handle.
///
/// # Errors
/// The socket cannot be used.
pub fn serve<R>(
    socket: TcpListener,
    acceptor: Arc<Acceptor>,
    manner: ListenerLimits,
    on_connect: OnConnect,
    routes: R,
) -> std::io::Result<Server>
where
    R: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let mut builder = Server::build()
        .max_concurrent_connections(manner.connections_max)
        .shutdown_timeout(manner.drain_seconds)
        .disable_signals();
    if let Some(workers) = manner.workers {
        builder = builder.workers(workers);
    }
    let stopping = builder.graceful_shutdown_signal();
    let builder = builder.listen("partners", socket, move || {
        let (acceptor, routes, stopping) = (acceptor.clone(), routes.clone(), stopping.clone());
        let app = IntoServiceFactory::<_, Request>::into_factory(App::new().configure(routes))
            .map_err(|error: Error| error.error_response());
        let http = HttpService::build()
            // Idle connections end when the server begins to stop; `HttpServer` does the same.
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(manner.keep_alive)
            .client_request_timeout(manner.head)
            .client_disconnect_timeout(DISCONNECT)
            .tcp_nodelay(true)
            .on_connect_ext(move |connection: &_, extensions: &mut Extensions| {
                on_connect(connection as &dyn Any, extensions)
            })
            .finish(map_config(app, |()| AppConfig::default()))
            .map_err(|error| tracing::debug!(%error, "a connection of a client ended"));
        fn_service(move |tcp: TcpStream| {
            let acceptor = acceptor.clone();
            async move {
                let peer = tcp.peer_addr().ok();
                tcp.set_nodelay(true).ok(); // Slower, if it cannot be set.
                acceptor
                    .accept(tcp)
                    .await
                    .map(|stream| (stream, Protocol::Http1, peer))
                    .ok_or(())
            }
        })
        .and_then(http)
    })?;
    Ok(builder.run())
}
