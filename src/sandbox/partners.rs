//! Simulated counterparts: a medical insurance core and an LTC system that are real HTTPS servers
//! with mandatory client certificates.
//!
//! They check what they are sent as strictly as their interfaces are written, recognise repeats,
//! enforce a rate limit of their own, add up what they took, and misbehave on request. For the demo
//! and the tests; they keep their books in memory, and share no code with what they check beyond
//! money and the SM2 signature.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Fault;

mod books; // what was taken, and under which references
mod core; // the medical insurance core: NHSA envelope
mod https; // the listener
mod ltc; // the LTC system

pub use books::{District, Totals};
pub use https::Tls;

/// What a simulated partner does with the next delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Checks it, takes it and says so.
    Accept,
    /// Refuses it with this code, whatever it holds.
    Refuse(String),
    /// Reads it and never answers; it is not taken.
    HangAfterReading,
    /// Takes it and never answers.
    AcceptThenHang,
    /// Takes it, begins to answer and closes the connection.
    AcceptThenClose,
    /// Answers 200 with something that is no answer; it is not taken.
    Garbage,
    /// 429, with Retry-After in seconds.
    TooMany(u32),
    /// 503, with Retry-After in seconds if any.
    Unavailable(Option<u32>),
}

/// What a simulated partner insists on.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Requests taken in any second; more are answered with 429. No limit when absent.
    pub requests_per_second: Option<u32>,
    /// Public key (hexadecimal point) the medical core verifies `cainfo` with; not verified when absent.
    pub sm2_public_hex: Option<String>,
    /// How long an answer takes.
    pub latency: Duration,
    /// Largest `input` or body (characters); no limit when absent.
    pub chars_max: Option<usize>,
}

/// A running simulated partner; dropping it stops it.
pub struct Simulated {
    url: String,
    desk: Arc<Desk>,
    listener: https::Listener,
}

/// What handlers share.
struct Desk {
    options: Options,
    state: Mutex<State>,
    /// Cancelled when the server stops, so that hanging handlers end.
    stopped: tokio_util::sync::CancellationToken,
}

#[derive(Default)]
struct State {
    books: books::Books,
    script: VecDeque<Behaviour>,
    otherwise: Option<Behaviour>,
    /// Arrivals of the last second, oldest first.
    arrivals: VecDeque<Instant>,
    tally: Tally,
}

/// How a simulated partner was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Deliveries that arrived, taken or not.
    pub deliveries: u64,
    pub inquiries: u64,
    /// Deliveries recognised as known.
    pub repeats: u64,
    /// Deliveries refused for what they held.
    pub refused: u64,
    /// Requests above the partner's own limit.
    pub over_limit: u64,
    /// Most requests that arrived in any one second.
    pub most_in_a_second: usize,
}

impl Simulated {
    /// Starts a simulated medical insurance core on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The certificates cannot be used, or no port can be bound.
    pub fn core(tls: &Tls, options: Options) -> Result<Simulated, Fault> {
        Simulated::start(tls, options, core::routes)
    }

    /// Starts a simulated LTC system on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The certificates cannot be used, or no port can be bound.
    pub fn ltc(tls: &Tls, options: Options) -> Result<Simulated, Fault> {
        Simulated::start(tls, options, ltc::routes)
    }

    fn start(tls: &Tls, options: Options, routes: https::Routes) -> Result<Simulated, Fault> {
        let desk = Arc::new(Desk { options, state: Mutex::default(), stopped: tokio_util::sync::CancellationToken::new() });
        let listener = https::Listener::start(tls, desk.clone(), routes)?;
        Ok(Simulated { url: format!("https://localhost:{}", listener.port), desk, listener })
    }

    /// Its base URL, for `url` in partners.toml.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Appends to what it does with the next deliveries; afterwards it accepts.
    pub fn will(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.desk.state().script.extend(behaviours);
    }

    /// What it does with every delivery once the script has run out; `None`: accepts.
    pub fn otherwise(&self, behaviour: Option<Behaviour>) {
        self.desk.state().otherwise = behaviour;
    }

    /// What it has taken.
    pub fn totals(&self) -> Totals {
        self.desk.state().books.totals().clone()
    }

    /// How it was called.
    pub fn tally(&self) -> Tally {
        self.desk.state().tally
    }

    /// Stops it: connections are closed, hanging requests end unanswered.
    pub async fn stop(self) {
        self.desk.stopped.cancel();
        self.listener.stop().await;
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.desk.stopped.cancel();
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Books are changed in one step after all checks, so a panicking holder leaves them whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an arrival; `false` when it is above the limit.
    fn admits(&self, now: Instant) -> bool {
        let mut state = self.state();
        while state.arrivals.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            state.arrivals.pop_front();
        }
        state.arrivals.push_back(now);
        let count = state.arrivals.len();
        state.tally.most_in_a_second = state.tally.most_in_a_second.max(count);
        let over = self.options.requests_per_second.is_some_and(|limit| count > limit as usize);
        state.tally.over_limit += u64::from(over);
        !over
    }

    /// What to do with the delivery that has just arrived.
    fn next_behaviour(&self) -> Behaviour {
        let mut state = self.state();
        state.tally.deliveries += 1;
        let next = state.script.pop_front();
        next.or_else(|| state.otherwise.clone()).unwrap_or(Behaviour::Accept)
    }
}

#[cfg(test)]
mod tests;
