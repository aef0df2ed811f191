//! One destination: takes the lease, claims rows, lets each be delivered in a task of its own, and
//! writes what became of them, many at a time.
//!
//! An error or panic in one delivery never stops the loop. While the lease is not held, nothing is
//! claimed and nothing is sent.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Status;
use crate::config::Deliver;
use crate::error::Fault;
use crate::flow::deliver::{
    DeliveryCounts, DeliveryEnd, Destination, Gate, GateClosed, PauseReason, Term, Troubles,
    backoff, deliver, together,
};
use crate::flow::inquire::inquire;
use crate::link::Quota;
use crate::store::Pool;
use crate::store::delivery::{self as store, Delivery, Lease, Next, PauseState, Settlement};

/// How long after it began a request of a killed instance counts towards those the partner takes at once.
const PLACES_KEPT: Duration = Duration::from_secs(4);
/// How often it is looked whether such a place is free.
const PLACES_LOOKED_AT: Duration = Duration::from_millis(100);
/// How long after a lease has run out it is asked for.
const AFTER_THE_END: Duration = Duration::from_millis(20);

// What may not work for a while, as it is logged.
const TAKE: &str = "cannot take the lease";
const RENEW: &str = "cannot renew the lease";
const SWEEP: &str = "cannot take up what was left";
const CLAIM: &str = "cannot claim";
const GIVE_BACK: &str = "cannot give back";
const SETTLE: &str = "cannot write what became of deliveries yet";

/// The dispatcher of one destination in this instance.
pub(super) struct Dispatcher {
    policy: Deliver,
    pool: Pool,
    destination: Arc<Destination>,
    holder: String,
    wake: Arc<Notify>,
    drain: CancellationToken,
    counts: Arc<DeliveryCounts>,
    troubles: Arc<Troubles>,
    /// Set while the lease is held.
    term: Mutex<Option<Arc<Term>>>,
}

/// What is under way in one term.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<Vec<DeliveryEnd>>,
    /// The rows by task, because a panicked task cannot say which it had.
    rows: HashMap<Id, Vec<Delivery>>,
    /// Ended, and not yet written.
    settlements: Vec<Settlement>,
    give_back: Vec<i64>,
    swept_at: Option<Instant>,
    /// When rows in doubt were last looked for.
    asked_at: Option<Instant>,
    /// The last look for rows in doubt found as many as there were places.
    more_in_doubt: bool,
    /// Places kept free for requests that an earlier holder may still have at the partner.
    places_kept: usize,
}

impl Dispatcher {
    pub(super) fn new(
        policy: Deliver,
        pool: Pool,
        destination: Destination,
        (holder, wake, drain): (String, Arc<Notify>, CancellationToken),
    ) -> Dispatcher {
        let destination = Arc::new(destination);
        Dispatcher {
            policy,
            pool,
            destination,
            holder,
            wake,
            drain,
            counts: Arc::default(),
            troubles: Arc::default(),
            term: Mutex::new(None),
        }
    }

    /// Works until drained.
    pub(super) async fn run(self: Arc<Dispatcher>) {
        while !self.drain.is_cancelled() {
            let asked_at = Instant::now();
            match store::acquire(
                &self.pool,
                &self.destination.name,
                &self.holder,
                self.lease_term(),
            )
            .await
            {
                Ok(Ok((lease, paused))) => {
                    self.works(TAKE);
                    self.work(lease, paused, asked_at).await;
                }
                // Not later than it can run out, so that a dead holder is missed for no longer.
                Ok(Err(held)) => {
                    self.works(TAKE);
                    self.nap(self.poll().min(held + AFTER_THE_END)).await;
                }
                Err(fault) => {
                    self.complain(TAKE, &fault);
                    self.nap(self.poll()).await;
                }
            }
        }
    }

    pub(super) fn status(&self) -> Status {
        let term = self
            .term
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Status {
            destination: self.destination.name.clone(),
            holds_lease: term
                .as_ref()
                .is_some_and(|term| !term.gate.is_shut(Instant::now())),
            breaker_open: term.as_ref().is_some_and(|term| term.gate.breaker_open()),
            paused: term
                .as_ref()
                .and_then(|term| term.gate.paused(Instant::now())),
            under_way: term.as_ref().map_or(0, |term| {
                self.destination
                    .limits
                    .concurrent
                    .saturating_sub(term.slots.available_permits())
            }),
            figures: self.counts.read(),
        }
    }

    /// One term: from taking the lease until it is lost or the gateway drains.
    async fn work(&self, lease: Lease, paused: PauseState, asked_at: Instant) {
        let resumed = paused.resumed;
        let term = Arc::new(self.term_of(lease, &paused, asked_at));
        self.set_term(Some(term.clone()));
        let renewal = tokio::spawn(renew(term.clone(), self.lease_term(), resumed));
        let guard = AbortOnDrop(renewal.abort_handle());
        tracing::debug!(destination = %self.destination.name, token = term.lease.token, "holds the lease");
        let mut under_way = UnderWay::default();
        loop {
            if self.drain.is_cancelled() {
                term.gate.shut();
            }
            if term.gate.is_shut(Instant::now()) {
                term.gate.shut();
                break;
            }
            let wait = self.claim(&term, &mut under_way).await;
            let wait = if under_way.places_kept > 0 {
                wait.min(PLACES_LOOKED_AT)
            } else {
                wait
            };
            self.await_something(&term, &mut under_way, wait).await;
            self.settle(&term, &mut under_way).await;
        }
        self.finish(&term, &mut under_way).await;
        term.give_back_requests().await;
        drop(guard);
        if let Err(fault) = store::release(&self.pool, &term.lease).await {
            tracing::warn!(destination = %self.destination.name, "the lease runs out instead of being released: {fault}");
        }
        self.set_term(None);
    }

    fn term_of(&self, lease: Lease, paused: &PauseState, asked_at: Instant) -> Term {
        let gate = Gate::new(&self.policy, asked_at + self.lease_term());
        let reason = paused.reason.as_deref().and_then(PauseReason::of_word);
        if reason.is_some() || !paused.wait.is_zero() {
            gate.go_on(Instant::now() + paused.wait, reason);
        }
        Term {
            pool: self.pool.clone(),
            lease,
            destination: self.destination.clone(),
            policy: self.policy.clone(),
            gate,
            pacer: self.destination.wire.pacer(),
            quota: Quota::new(&self.destination.limits, self.destination.clock.clone()),
            slots: Semaphore::new(self.destination.limits.concurrent),
            counts: self.counts.clone(),
            troubles: self.troubles.clone(),
        }
    }

    /// Claims what there is room for and starts it; returns how long nothing further need be looked for.
    async fn claim(&self, term: &Arc<Term>, under_way: &mut UnderWay) -> Duration {
        if let Err(fault) = self.sweep(term, under_way).await {
            self.complain(SWEEP, &fault);
            return self.poll();
        }
        self.works(SWEEP);
        let most = self.tasks_max().saturating_sub(under_way.tasks.len());
        let room = match term.gate.room(Instant::now(), most, under_way.tasks.len()) {
            // Rows are claimed several at a time, once a quarter of the places is free.
            Ok(0) => return self.poll(),
            Ok(room) if !term.gate.breaker_open() && room * 4 < self.tasks_max() => {
                return self.poll();
            }
            Ok(_) if !under_way.settlements.is_empty() => return self.poll(),
            Ok(room) => room,
            Err(GateClosed::Shut) => return Duration::ZERO,
            Err(GateClosed::For(wait)) => return wait.min(self.poll()),
        };
        if let Err(wait) = term.open().await {
            return wait.min(self.poll());
        }
        match self.claim_rows(term, under_way, room).await {
            Ok(()) => {
                self.works(CLAIM);
                self.poll()
            }
            Err(fault) => {
                self.complain(CLAIM, &fault);
                self.poll()
            }
        }
    }

    /// Claims rows for so many requests and starts each request in a task of its own.
    async fn claim_rows(
        &self,
        term: &Arc<Term>,
        under_way: &mut UnderWay,
        room: usize,
    ) -> Result<(), Fault> {
        let mut room = room;
        let due = under_way
            .asked_at
            .is_none_or(|at| at.elapsed() >= self.poll());
        // A request of many records leaves many rows in doubt: while there are more, they share the places with what is ready.
        let places = if due { room } else { room.div_ceil(2) };
        if due || under_way.more_in_doubt {
            under_way.asked_at = Some(Instant::now());
            let doubtful =
                store::claim_in_doubt(&self.pool, &term.lease, places, term.hold()).await?;
            under_way.more_in_doubt = doubtful.len() == places;
            for delivery in doubtful {
                room = room.saturating_sub(1);
                let (term, row) = (term.clone(), delivery.clone());
                let task = under_way
                    .tasks
                    .spawn(async move { vec![inquire(&term, &row).await] });
                under_way.rows.insert(task.id(), vec![delivery]);
            }
        }
        if room == 0 {
            return Ok(());
        }
        let rows = store::claim(
            &self.pool,
            &term.lease,
            room * self.destination.records_min(),
            term.hold(),
        )
        .await?;
        for request in together(rows, |message| self.destination.records_max(message)) {
            let (term, rows) = (term.clone(), request.clone());
            let task = under_way
                .tasks
                .spawn(async move { deliver(&term, &rows).await });
            under_way.rows.insert(task.id(), request);
        }
        Ok(())
    }

    /// Takes up what dispatchers that are gone have left; not only when there is room, because what
    /// they left may be what takes it.
    async fn sweep(&self, term: &Term, under_way: &mut UnderWay) -> Result<(), Fault> {
        let every = if under_way.places_kept > 0 {
            PLACES_LOOKED_AT.min(self.poll())
        } else {
            self.poll()
        };
        if under_way.swept_at.is_some_and(|at| at.elapsed() < every) {
            return Ok(());
        }
        self.keep_places(term, under_way).await?;
        under_way.swept_at = Some(Instant::now());
        let (unsent, doubtful) = store::recover(&self.pool, &term.lease).await?;
        if unsent + doubtful > 0 {
            tracing::warn!(destination = %self.destination.name, unsent, doubtful, "took up what a dispatcher that is gone had left");
        }
        Ok(())
    }

    /// Keeps places free for requests begun under earlier leases while they may well be with the
    /// partner still; not until they cannot, or a killed instance would stop the destination for a deadline.
    async fn keep_places(&self, term: &Term, under_way: &mut UnderWay) -> Result<(), Fault> {
        if under_way.swept_at.is_some() && under_way.places_kept == 0 {
            return Ok(());
        }
        let wanted = store::left_under_way(&self.pool, &term.lease, PLACES_KEPT)
            .await?
            .min(self.destination.limits.concurrent);
        if wanted > under_way.places_kept {
            under_way.places_kept += term.slots.forget_permits(wanted - under_way.places_kept);
        } else {
            term.slots.add_permits(under_way.places_kept - wanted);
            under_way.places_kept = wanted;
        }
        Ok(())
    }

    /// Waits until a delivery ends, something is queued, the drain begins, or `wait` has passed.
    async fn await_something(&self, term: &Term, under_way: &mut UnderWay, wait: Duration) {
        tokio::select! {
            Some(ended) = under_way.tasks.join_next_with_id() => self.note(under_way, ended),
            () = self.wake.notified() => {}
            () = self.drain.cancelled() => {}
            () = term.gate.until_shut() => {}
            () = tokio::time::sleep(wait) => {}
        }
        while let Some(ended) = under_way.tasks.try_join_next_with_id() {
            self.note(under_way, ended);
        }
    }

    fn note(&self, under_way: &mut UnderWay, ended: Result<(Id, Vec<DeliveryEnd>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(deliveries) = under_way.rows.remove(&id) else {
            return;
        };
        match ended {
            Ok((_, ended)) => {
                for one in ended {
                    match one {
                        DeliveryEnd::Settle(settlement) => under_way.settlements.push(settlement),
                        DeliveryEnd::GiveBack(delivery_id) => under_way.give_back.push(delivery_id),
                        DeliveryEnd::Lost(delivery_id) => self.lost(&[delivery_id]),
                    }
                }
            }
            Err(_) => {
                // The panic's own message may quote data, so it is not repeated here. If the attempt
                // had begun, this settles nothing, and the row is asked about when its hold ends.
                let ids: Vec<i64> = deliveries
                    .iter()
                    .map(|delivery| delivery.delivery_id)
                    .collect();
                tracing::error!(destination = %self.destination.name, deliveries = ?ids, "a delivery panicked");
                under_way.settlements.extend(
                    deliveries
                        .iter()
                        .map(|delivery| after_panic(&self.policy, delivery)),
                );
            }
        }
    }

    /// Writes what has ended; on failure keeps it for the next time.
    async fn settle(&self, term: &Term, under_way: &mut UnderWay) {
        if let Err(fault) = store::give_back(&self.pool, &term.lease, &under_way.give_back).await {
            self.complain(GIVE_BACK, &fault);
        } else {
            self.works(GIVE_BACK);
            under_way.give_back.clear();
        }
        match store::settle(&self.pool, &term.lease, &under_way.settlements).await {
            Ok(lost) => {
                self.works(SETTLE);
                self.lost(&lost);
                self.count(&under_way.settlements, &lost);
                under_way.settlements.clear();
            }
            Err(fault) => {
                self.complain(SETTLE, &fault);
                tokio::time::sleep(self.poll()).await;
            }
        }
    }

    /// Waits for everything under way and writes it, however long the database is away.
    async fn finish(&self, term: &Term, under_way: &mut UnderWay) {
        while let Some(ended) = under_way.tasks.join_next_with_id().await {
            self.note(under_way, ended);
            while let Some(ended) = under_way.tasks.try_join_next_with_id() {
                self.note(under_way, ended);
            }
            self.settle(term, under_way).await;
        }
        while !under_way.settlements.is_empty() || !under_way.give_back.is_empty() {
            self.settle(term, under_way).await;
        }
    }

    fn count(&self, settlements: &[Settlement], lost: &[i64]) {
        for settlement in settlements
            .iter()
            .filter(|settlement| !lost.contains(&settlement.delivery_id))
        {
            match settlement.next {
                Next::Delivered => self.counts.delivered.fetch_add(1, Ordering::Relaxed),
                Next::Dead => {
                    tracing::warn!(destination = %self.destination.name, delivery = settlement.delivery_id, "dead letter: {}", settlement.text);
                    self.counts.dead.fetch_add(1, Ordering::Relaxed)
                }
                Next::Ready(_) | Next::InDoubt(_) => 0,
            };
        }
    }

    fn lost(&self, deliveries: &[i64]) {
        if deliveries.is_empty() {
            return;
        }
        self.counts
            .lost
            .fetch_add(deliveries.len() as u64, Ordering::Relaxed);
        tracing::warn!(destination = %self.destination.name, ?deliveries, "no longer ours to settle; what this dispatcher knows of them was not written");
    }

    fn complain(&self, what: &str, fault: &Fault) {
        complain(&self.troubles, &self.destination.name, what, fault);
    }

    /// What was complained of works.
    fn works(&self, what: &str) {
        relieved(&self.troubles, &self.destination.name, what);
    }

    fn set_term(&self, term: Option<Arc<Term>>) {
        *self.term.lock().unwrap_or_else(PoisonError::into_inner) = term;
    }

    async fn nap(&self, pause: Duration) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn poll(&self) -> Duration {
        Duration::from_millis(self.policy.poll_milliseconds.max(1))
    }

    fn lease_term(&self) -> Duration {
        Duration::from_secs(self.policy.lease_seconds.max(1))
    }

    /// Twice the requests under way: the other half is rendered meanwhile.
    fn tasks_max(&self) -> usize {
        self.destination.limits.concurrent * 2
    }
}

/// Logs trouble once, however often it is met, with its count every hour.
fn complain(troubles: &Troubles, destination: &str, what: &str, fault: &Fault) {
    match troubles.met(what, Instant::now()) {
        Some(lasted) if lasted.count > 1 => {
            tracing::warn!(destination, "{what}, for {lasted} now: {fault}")
        }
        Some(_) => tracing::warn!(destination, "{what}: {fault}"),
        None => {}
    }
}

/// Logs how long it had lasted, where there was any.
fn relieved(troubles: &Troubles, destination: &str, what: &str) {
    if let Some(lasted) = troubles.over(what, Instant::now()) {
        tracing::info!(destination, "over, after {lasted}: {what}");
    }
}

/// Renews the lease at a quarter of its term, until it is lost, and hears of pauses that people lift.
async fn renew(term: Arc<Term>, length: Duration, mut resumed: i64) {
    loop {
        tokio::time::sleep(length / 4).await;
        let asked_at = Instant::now();
        match store::renew(&term.pool, &term.lease, length).await {
            Ok(Some(now)) => {
                relieved(&term.troubles, &term.lease.destination, RENEW);
                term.gate.prolong(asked_at + length);
                if now != resumed {
                    resumed = now;
                    term.gate.resume();
                    tracing::info!(destination = %term.lease.destination, "its pause was lifted by a person");
                }
            }
            Ok(None) => {
                tracing::warn!(destination = %term.lease.destination, token = term.lease.token, "the lease is lost; stops sending at once");
                term.gate.shut();
                return;
            }
            // The gate closes by itself when the term runs out unrenewed.
            Err(fault) => complain(&term.troubles, &term.lease.destination, RENEW, &fault),
        }
    }
}

/// A delivery that panicked before its attempt began: tried again as often as any other.
fn after_panic(policy: &Deliver, delivery: &Delivery) -> Settlement {
    let next = match delivery.state.as_str() {
        "in_doubt" => Next::InDoubt(backoff(policy, delivery.attempts)),
        _ if delivery.attempts >= policy.attempts_max => Next::Dead,
        _ => Next::Ready(backoff(policy, delivery.attempts)),
    };
    let text = "the gateway failed while preparing it; see its log".to_owned();
    Settlement {
        delivery_id: delivery.delivery_id,
        attempt_no: None,
        next,
        outcome: None,
        answered: None,
        status: None,
        text,
        counts: true,
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
