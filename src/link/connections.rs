//! Connections of clients that are open: so many per partner, so many in all.
//!
//! A partner is known once its handshake is done. When it has used up its connections, the one of its own that has been idle
//! for longest is closed for the new one; only when requests are under way on all of them is the new one refused. When all
//! are taken, whoever has most gives an idle one up. TLCP gateways bring many partners, and have only the total.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::config::Listen;
use crate::telemetry::Metrics;

/// How long a client may take nothing of what is sent to it.
const STALL: Duration = Duration::from_secs(60);
/// How long refusals of the same client are one line of the log.
const SAME_FOR: Duration = Duration::from_secs(60);

/// Whose a connection is, by the certificate of its handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A certificate of our authority that belongs to no partner.
    Nobody,
    Partner(Arc<str>),
    /// A TLCP gateway, with connections of many partners.
    Gateway(Arc<str>),
}

impl Owner {
    /// As metrics and the log name it.
    pub fn name(&self) -> &str {
        match self {
            Owner::Nobody => "unknown",
            Owner::Partner(name) | Owner::Gateway(name) => name,
        }
    }
}

/// The connections of a listener.
#[derive(Debug)]
pub struct Connections {
    total: usize,
    per_partner: usize,
    open: Mutex<Open>,
    begun: Instant,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    count: usize,
    by: HashMap<Owner, BTreeMap<u64, Arc<Use>>>,
    said: HashMap<Owner, Instant>,
}

/// What a connection is used for now.
#[derive(Debug, Default)]
pub struct Use {
    requests: AtomicUsize,
    /// Milliseconds since the listener began.
    last: AtomicU64,
    ended: AtomicBool,
    reader: AtomicWaker,
}

/// A request under way on a connection; until it is dropped, the connection is not closed for another.
#[derive(Debug)]
pub struct UnderWay(Arc<Use>);

/// A TLS connection of a client, with its place among the others.
#[derive(Debug)]
pub struct ClientConnection {
    stream: TlsStream<TcpStream>,
    used: Arc<Use>,
    connections: Arc<Connections>,
    place: (Owner, u64),
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Connections {
    /// As `[listen]` says; what is closed and refused is counted in `metrics`.
    pub fn new(listen: &Listen, metrics: Metrics) -> Arc<Connections> {
        Arc::new(Connections {
            total: listen.connections_max,
            per_partner: listen.connections_per_partner_max,
            open: Mutex::default(),
            begun: Instant::now(),
            metrics,
        })
    }

    /// A place for a connection whose handshake is done, at the cost of an idle one if need be; none when requests are
    /// under way on all.
    pub fn enter(
        self: &Arc<Connections>,
        owner: Owner,
        stream: TlsStream<TcpStream>,
    ) -> Option<ClientConnection> {
        let (used, number) = self.place(&owner)?;
        Some(ClientConnection {
            stream,
            used,
            connections: self.clone(),
            place: (owner, number),
            stalled: None,
        })
    }

    /// Open connections by whose they are.
    pub fn count(&self) -> Vec<(String, usize)> {
        self.lock()
            .by
            .iter()
            .map(|(owner, of)| (owner.name().to_owned(), of.len()))
            .collect()
    }

    fn place(&self, owner: &Owner) -> Option<(Arc<Use>, u64)> {
        let now = self.now();
        let mut open = self.lock();
        let own = open.by.get(owner).map_or(0, BTreeMap::len);
        let full = own >= self.per_partner && !matches!(owner, Owner::Gateway(_));
        let gives_way = if full {
            Some(open.idle_of(owner))
        } else if open.count >= self.total {
            Some(open.idle_of_most())
        } else {
            None
        };
        match gives_way {
            None => {}
            Some(Some((whose, number))) => {
                if let Some(other) = open.leave(&whose, number) {
                    other.end();
                }
                self.ended(&mut open, &whose, "displaced");
            }
            Some(None) => {
                self.ended(
                    &mut open,
                    owner,
                    if full { "refused" } else { "refused_all_taken" },
                );
                return None;
            }
        }
        let used = Arc::new(Use {
            last: AtomicU64::new(now),
            ..Use::default()
        });
        let number = open.next;
        open.next += 1;
        open.count += 1;
        open.by
            .entry(owner.clone())
            .or_default()
            .insert(number, used.clone());
        Some((used, number))
    }

    fn ended(&self, open: &mut Open, owner: &Owner, how: &str) {
        self.metrics.connection_ended(owner.name(), how);
        let now = Instant::now();
        if open
            .said
            .get(owner)
            .is_some_and(|at| now.duration_since(*at) < SAME_FOR)
        {
            return;
        }
        open.said.insert(owner.clone(), now);
        let (whose, count) = (owner.name(), open.by.get(owner).map_or(0, BTreeMap::len));
        tracing::warn!(
            partner = whose,
            open = count,
            how,
            "too many connections: an idle one is closed for a new one, or the new one refused; the partner should keep fewer, or raise [listen] connections_per_partner_max or connections_max; ltcgw_connections_ended_total counts all"
        );
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The connection that has been idle for longest.
    fn idle_of(&self, owner: &Owner) -> Option<(Owner, u64)> {
        let idle = self
            .by
            .get(owner)?
            .iter()
            .filter(|(_, used)| used.requests.load(Ordering::Acquire) == 0);
        idle.min_by_key(|(number, used)| (used.last.load(Ordering::Relaxed), **number))
            .map(|(number, _)| (owner.clone(), *number))
    }

    /// The same of whoever has most and has an idle one; of TLCP gateways last.
    fn idle_of_most(&self) -> Option<(Owner, u64)> {
        let mut owners: Vec<(&Owner, usize)> = self
            .by
            .iter()
            .map(|(owner, of)| (owner, of.len()))
            .collect();
        owners.sort_by_key(|(owner, count)| {
            (
                matches!(owner, Owner::Gateway(_)),
                Reverse(*count),
                (*owner).clone(),
            )
        });
        owners
            .into_iter()
            .find_map(|(owner, _)| self.idle_of(owner))
    }

    fn leave(&mut self, owner: &Owner, number: u64) -> Option<Arc<Use>> {
        let of = self.by.get_mut(owner)?;
        let used = of.remove(&number)?;
        self.count -= 1; // Whoever was here once stays in the count, with none: partners are few.
        Some(used)
    }
}

impl Use {
    /// Notes that a request has begun.
    pub fn begin(self: &Arc<Use>) -> UnderWay {
        self.requests.fetch_add(1, Ordering::AcqRel);
        UnderWay(self.clone())
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.reader.wake();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ClientConnection {
    /// The TLS below.
    pub fn tls(&self) -> &TlsStream<TcpStream> {
        &self.stream
    }

    /// What it is used for.
    pub fn used(&self) -> &Arc<Use> {
        &self.used
    }

    fn moved(&mut self) {
        self.stalled = None;
        self.used
            .last
            .store(self.connections.now(), Ordering::Relaxed);
    }

    /// What came of a step of writing; an error once the client has taken nothing for too long.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        step: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if step.is_ready() {
            self.moved();
            return step;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.connections.lock().leave(&self.place.0, self.place.1);
    }
}

impl AsyncRead for ClientConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.used.reader.register(cx.waker());
        if self.used.ended.load(Ordering::Acquire) {
            // As if the client had closed it: whoever serves it answers what is under way and ends.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let step = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.used
                .last
                .store(self.connections.now(), Ordering::Relaxed);
        }
        step
    }
}

impl AsyncWrite for ClientConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.written(cx, step)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, step)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, per_partner: usize) -> Arc<Connections> {
        let any = "127.0.0.1:0".parse().unwrap();
        let listen = Listen {
            connections_max: total,
            connections_per_partner_max: per_partner,
            ..Listen::at(any, any)
        };
        Connections::new(&listen, Metrics::default())
    }

    fn partner(name: &str) -> Owner {
        Owner::Partner(name.into())
    }

    fn ended(used: &[Arc<Use>]) -> Vec<bool> {
        used.iter()
            .map(|used| used.ended.load(Ordering::Acquire))
            .collect()
    }

    fn open(connections: &Connections, owner: &Owner, count: usize) -> Vec<Arc<Use>> {
        (0..count)
            .map(|_| connections.place(owner).expect("a place").0)
            .collect()
    }

    #[test]
    fn a_partner_s_new_connection_ends_its_own_longest_idle_one_and_nobody_else_s() {
        let connections = connections(100, 3);
        let other = open(&connections, &partner("other"), 2);
        let own = open(&connections, &partner("greedy"), 3);
        let under_way = own[0].begin();
        let more = open(&connections, &partner("greedy"), 1);
        assert_eq!(
            (ended(&own), ended(&more), ended(&other)),
            (vec![false, true, false], vec![false], vec![false, false])
        );
        let busy: Vec<UnderWay> = own.iter().chain(&more).map(Use::begin).collect();
        assert!(
            connections.place(&partner("greedy")).is_none(),
            "requests are under way on all"
        );
        drop((busy, under_way));
        assert!(connections.place(&partner("greedy")).is_some());
        assert_eq!(connections.lock().count, 5);
    }

    #[test]
    fn when_all_are_taken_whoever_has_most_gives_way_and_a_tlcp_gateway_last() {
        let connections = connections(8, 5);
        let gateway = open(&connections, &Owner::Gateway("tlcp".into()), 6);
        let many = open(&connections, &partner("many"), 2);
        let newcomer = open(&connections, &partner("newcomer"), 1);
        assert_eq!(
            (ended(&gateway), ended(&many), ended(&newcomer)),
            (vec![false; 6], vec![true, false], vec![false])
        );
        let _busy: Vec<UnderWay> = many.iter().chain(&newcomer).map(Use::begin).collect();
        let second = open(&connections, &partner("second"), 1);
        assert_eq!(
            (
                ended(&gateway).iter().filter(|ended| **ended).count(),
                ended(&second)
            ),
            (1, vec![false])
        );
    }
}
