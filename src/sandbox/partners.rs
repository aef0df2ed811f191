//! Simulated counterparts: a medical insurance core, an LTC system, civil affairs and a health
//! commission that are real HTTPS servers with mandatory client certificates.
//!
//! They check what they are sent as strictly as their interfaces are written, recognise repeats,
//! enforce limits of their own, add up what they took, and misbehave on request. For the demo
//! and the tests; they keep their books in memory, and share no code with what they check beyond
//! money and the SM2 signature.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Fault;

mod books; // what was taken, and under which references
mod civil; // civil affairs' elderly-care platform
mod core; // the medical insurance core: NHSA envelope
mod health; // the health commission's platform
mod https; // the listener
mod limits; // what they take at most
mod ltc; // the LTC system
mod manner; // how answers are worded, and what stands before a partner
mod register; // registry entries, the latest revision of each

pub use books::{District, ReceivedTotals};
pub use core::accounts::Deductions;
pub use https::PartnerTls;
pub use limits::Most;
pub use ltc::results::ToldOfDeductions;
pub use manner::{CannedAnswer, CoreManner, Output, Reference};
pub use register::ReceivedEntry;

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
    /// Takes it, and whatever stands before it gives this answer instead of its own.
    AcceptThenSay(CannedAnswer),
    /// 429, with Retry-After in seconds.
    TooMany(u32),
    /// 503, with Retry-After in seconds if any.
    Unavailable(Option<u32>),
}

/// What a simulated partner insists on.
#[derive(Debug, Clone, Default)]
pub struct SimulationOptions {
    /// What it takes at most; more is answered with 429 and counted.
    pub most: Most,
    /// Public key (hexadecimal point) the medical core verifies `cainfo` with; not verified when absent.
    pub sm2_public_hex: Option<String>,
    /// How long an answer takes.
    pub latency: Duration,
    /// Largest `input` or body (characters); no limit when absent.
    pub chars_max: Option<usize>,
    /// How the medical core words its answers.
    pub manner: CoreManner,
}

/// A running simulated partner; dropping it stops it.
pub struct SimulatedPartner {
    url: String,
    desk: Arc<Desk>,
    listener: https::Listener,
}

/// What handlers share.
struct Desk {
    options: SimulationOptions,
    state: Mutex<State>,
    /// Cancelled when the server stops, so that hanging handlers end.
    stopped: tokio_util::sync::CancellationToken,
}

#[derive(Default)]
struct State {
    books: books::PartnerBooks,
    script: VecDeque<Behaviour>,
    otherwise: Option<Behaviour>,
    /// What stands before it and answers everything.
    before: Option<CannedAnswer>,
    /// Answers the medical core has numbered.
    answers: u64,
    register: register::Register,
    accounts: core::accounts::Accounts,
    told: ltc::results::ReceivedResults,
    arrivals: limits::Arrivals,
    tally: CallTally,
}

/// How a simulated partner was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTally {
    /// Deliveries that arrived, taken or not.
    pub deliveries: u64,
    pub inquiries: u64,
    /// Deliveries recognised as known.
    pub repeats: u64,
    /// Deliveries refused for what they held.
    pub refused: u64,
    /// Requests above the partner's own limit.
    pub over_limit: u64,
    /// Requests that what stands before it answered; they never reached it.
    pub turned_away: u64,
    /// Most requests that arrived in any one second.
    pub most_in_a_second: usize,
    /// Most requests under way at once.
    pub most_under_way: usize,
}

impl SimulatedPartner {
    /// Starts a simulated medical insurance core on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The certificates cannot be used, or no port can be bound.
    pub fn core(tls: &PartnerTls, options: SimulationOptions) -> Result<SimulatedPartner, Fault> {
        SimulatedPartner::start(tls, options, core::routes)
    }

    /// Starts a simulated LTC system on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The certificates cannot be used, or no port can be bound.
    pub fn ltc(tls: &PartnerTls, options: SimulationOptions) -> Result<SimulatedPartner, Fault> {
        SimulatedPartner::start(tls, options, ltc::routes)
    }

    /// Starts a simulated elderly-care platform of civil affairs on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The certificates cannot be used, or no port can be bound.
    pub fn civil(tls: &PartnerTls, options: SimulationOptions) -> Result<SimulatedPartner, Fault> {
        SimulatedPartner::start(tls, options, civil::routes)
    }

    /// Starts a simulated supervision platform of the health commission on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The certificates cannot be used, or no port can be bound.
    pub fn health(tls: &PartnerTls, options: SimulationOptions) -> Result<SimulatedPartner, Fault> {
        SimulatedPartner::start(tls, options, health::routes)
    }

    fn start(
        tls: &PartnerTls,
        options: SimulationOptions,
        routes: https::Routes,
    ) -> Result<SimulatedPartner, Fault> {
        let desk = Arc::new(Desk {
            options,
            state: Mutex::default(),
            stopped: tokio_util::sync::CancellationToken::new(),
        });
        let listener = https::Listener::start(tls, desk.clone(), routes)?;
        Ok(SimulatedPartner {
            url: format!("https://localhost:{}", listener.port),
            desk,
            listener,
        })
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

    /// What stands before it from now on and answers everything itself; `None`: nothing does.
    pub fn stands_before(&self, said: Option<CannedAnswer>) {
        self.desk.state().before = said;
    }

    /// What it has taken.
    pub fn totals(&self) -> ReceivedTotals {
        self.desk.state().books.totals().clone()
    }

    /// The registry entries it holds, by kind (`institution`, `caregiver`) and id, removed ones too.
    pub fn register(&self) -> BTreeMap<(&'static str, String), ReceivedEntry> {
        self.desk.state().register.entries().clone()
    }

    /// Ids and revisions of registry entries in the order it took them.
    pub fn order(&self) -> Vec<(String, i64)> {
        self.desk.state().register.order().to_vec()
    }

    /// Refuses registry entries with these ids from now on, and no others.
    pub fn refuses<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        self.desk
            .state()
            .register
            .refuse(ids.into_iter().map(str::to_owned).collect());
    }

    /// What the medical core has taken from personal accounts.
    pub fn deductions(&self) -> Deductions {
        self.desk.state().accounts.totals().clone()
    }

    /// Every account made up from now on holds enough; otherwise some are poor, frozen, unknown or dead people's.
    pub fn everyone_pays(&self, yes: bool) {
        self.desk.state().accounts.everyone_pays(yes);
    }

    /// From now on the medical core only queues batches: it deducts, and holds the results back.
    pub fn queue_deductions(&self, yes: bool) {
        self.desk.state().accounts.queue(yes);
    }

    /// Lets go of results held back: inquiries bring them, and each of these bodies, sent to
    /// `POST /core/v1/deduction-results`, tells of one batch.
    pub fn release_results(&self) -> Vec<String> {
        self.desk.state().accounts.release()
    }

    /// What the LTC system was told of deductions.
    pub fn told_of_deductions(&self) -> ToldOfDeductions {
        self.desk.state().told.totals().clone()
    }

    /// How it was called.
    pub fn tally(&self) -> CallTally {
        self.desk.state().tally
    }

    /// Stops it: connections are closed, hanging requests end unanswered.
    pub async fn stop(self) {
        self.desk.stopped.cancel();
        self.listener.stop().await;
    }
}

impl Drop for SimulatedPartner {
    fn drop(&mut self) {
        self.desk.stopped.cancel();
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Books are changed in one step after all checks, so a panicking holder leaves them whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an arrival, under way until the place is dropped; `false` when it is above a limit.
    fn admits(&self, now: Instant) -> (Place<'_>, bool) {
        let mut state = self.state();
        let admitted = state.arrivals.admit(&self.options.most, now);
        state.tally.most_in_a_second = state.arrivals.most_in_a_second;
        state.tally.most_under_way = state.arrivals.most_under_way;
        state.tally.over_limit += u64::from(!admitted);
        (Place(self), admitted)
    }

    /// The answer of what stands before it, if anything does.
    fn turned_away(&self) -> Option<CannedAnswer> {
        let mut state = self.state();
        let said = state.before.clone()?;
        state.tally.turned_away += 1;
        Some(said)
    }

    /// What to do with the delivery that has just arrived.
    fn next_behaviour(&self) -> Behaviour {
        let mut state = self.state();
        state.tally.deliveries += 1;
        let next = state.script.pop_front();
        next.or_else(|| state.otherwise.clone())
            .unwrap_or(Behaviour::Accept)
    }
}

/// A request under way.
struct Place<'a>(&'a Desk);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state().arrivals.under_way -= 1;
    }
}

#[cfg(test)]
mod tests;
