//! Whether anything may go out to a destination right now: lease, pause asked for, breaker, drain.
//!
//! Consulted before rows are claimed and again just before each request leaves. It keeps no rows
//! and sends nothing; time is passed in, so that it can be tested without waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// The gate of one dispatcher's term.
#[derive(Debug)]
pub struct Gate {
    failures_max: u32,
    breaker_pause: Duration,
    inner: Mutex<Inner>,
    shut: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    /// Our own view of the lease, on our own clock; always earlier than the database's.
    lease_until: Instant,
    paused_until: Option<Instant>,
    /// In a row.
    failures: u32,
    /// Set while the breaker is open; afterwards one probe decides.
    open_until: Option<Instant>,
    probing: bool,
}

/// Why nothing may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The lease is lost, or the gateway drains: nothing more in this term.
    Shut,
    /// Not for so long.
    For(Duration),
}

/// What a request changed in our picture of the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The first failure since it worked.
    Fails,
    /// The breaker opens.
    Down,
    /// It answers after failures.
    Works,
}

/// Leave for one request. Say how it went; dropped unsaid it counts as neither.
#[derive(Debug)]
pub struct Pass<'a> {
    gate: &'a Gate,
    probe: bool,
}

impl Gate {
    pub fn new(failures_max: u32, breaker_pause: Duration, lease_until: Instant) -> Gate {
        let inner = Inner { lease_until, paused_until: None, failures: 0, open_until: None, probing: false };
        Gate { failures_max: failures_max.max(1), breaker_pause, inner: Mutex::new(inner), shut: CancellationToken::new() }
    }

    /// How many rows may be claimed when `most` would fit and `under_way` are being sent: one, alone,
    /// to probe a destination that was down.
    pub fn room(&self, now: Instant, most: usize, under_way: usize) -> Result<usize, Held> {
        let inner = self.inner();
        self.closed(&inner, now)?;
        Ok(if inner.open_until.is_some() { usize::from(under_way == 0).min(most) } else { most })
    }

    /// Leave to send one request now.
    pub fn pass(&self, now: Instant) -> Result<Pass<'_>, Held> {
        let mut inner = self.inner();
        self.closed(&inner, now)?;
        let probe = inner.open_until.is_some();
        if probe && inner.probing {
            return Err(Held::For(self.breaker_pause));
        }
        inner.probing |= probe;
        Ok(Pass { gate: self, probe })
    }

    fn closed(&self, inner: &Inner, now: Instant) -> Result<(), Held> {
        if self.shut.is_cancelled() || now >= inner.lease_until {
            return Err(Held::Shut);
        }
        let waits = [inner.paused_until, inner.open_until].into_iter().flatten().max();
        match waits.and_then(|until| until.checked_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(Held::For(wait)),
            _ => Ok(()),
        }
    }

    /// The lease was renewed and holds until then.
    pub fn prolong(&self, lease_until: Instant) {
        self.inner().lease_until = lease_until;
    }

    /// The partner asked us to send nothing until then; a later time already set stays.
    pub fn hold_off(&self, until: Instant) {
        let mut inner = self.inner();
        inner.paused_until = inner.paused_until.max(Some(until));
    }

    /// Nothing more goes out in this term.
    pub fn shut(&self) {
        self.shut.cancel();
    }

    /// Whether the gate was shut, or the lease ran out unrenewed.
    pub fn is_shut(&self, now: Instant) -> bool {
        self.shut.is_cancelled() || now >= self.inner().lease_until
    }

    /// Waits until the gate is shut.
    pub async fn until_shut(&self) {
        self.shut.cancelled().await;
    }

    /// Whether the breaker is open or half-open.
    pub fn breaker_open(&self) -> bool {
        self.inner().open_until.is_some()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single assignment, so what a panicking holder left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The partner answered: it is up.
    pub fn answered(self) -> Option<Turn> {
        let mut inner = self.gate.inner();
        let failed = inner.failures > 0;
        inner.failures = 0;
        inner.open_until = None;
        failed.then_some(Turn::Works)
    }

    /// The partner could not be reached, kept silent or was too busy.
    pub fn failed(self, now: Instant) -> Option<Turn> {
        let mut inner = self.gate.inner();
        inner.failures = inner.failures.saturating_add(1);
        let (first, open) = (inner.failures == 1, inner.open_until.is_some());
        if self.probe || inner.failures >= self.gate.failures_max {
            inner.open_until = Some(now + self.gate.breaker_pause);
        }
        let opens = !open && inner.open_until.is_some();
        if opens { Some(Turn::Down) } else { first.then_some(Turn::Fails) }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.gate.inner().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gate(now: Instant) -> Gate {
        Gate::new(2, 10 * SECOND, now + 100 * SECOND)
    }

    #[test]
    fn failures_in_a_row_open_the_breaker_and_a_good_probe_closes_it() {
        let now = Instant::now();
        let gate = gate(now);
        gate.pass(now).unwrap().failed(now);
        gate.pass(now).unwrap().answered();
        gate.pass(now).unwrap().failed(now);
        assert!(!gate.breaker_open(), "an answer in between starts the count again");
        gate.pass(now).unwrap().failed(now);
        assert_eq!(gate.pass(now + SECOND).unwrap_err(), Held::For(9 * SECOND));
        assert_eq!(gate.room(now + SECOND, 8, 0), Err(Held::For(9 * SECOND)));

        let later = now + 10 * SECOND;
        assert_eq!(gate.room(later, 8, 0), Ok(1), "one probe, alone");
        assert_eq!(gate.room(later, 8, 1), Ok(0));
        let probe = gate.pass(later).unwrap();
        assert!(gate.pass(later).is_err(), "no second request beside the probe");
        probe.failed(later);
        assert_eq!(gate.pass(later).unwrap_err(), Held::For(10 * SECOND), "a failed probe opens it again");

        gate.pass(later + 10 * SECOND).unwrap().answered();
        assert_eq!(gate.room(later + 10 * SECOND, 8, 3), Ok(8));
    }

    #[test]
    fn each_turn_of_a_partner_is_told_once() {
        let now = Instant::now();
        let gate = Gate::new(3, 10 * SECOND, now + 100 * SECOND);
        let under_way: Vec<Pass<'_>> = (0..5).map(|_| gate.pass(now).unwrap()).collect();
        assert_eq!(gate.pass(now).unwrap().answered(), None, "it worked before");
        let turns: Vec<Option<Turn>> = under_way.into_iter().map(|pass| pass.failed(now)).collect();
        assert_eq!(turns, [Some(Turn::Fails), None, Some(Turn::Down), None, None]);
        assert_eq!(gate.pass(now + 10 * SECOND).unwrap().failed(now + 10 * SECOND), None, "down it was already");
        assert_eq!(gate.pass(now + 20 * SECOND).unwrap().answered(), Some(Turn::Works));
        assert_eq!(gate.pass(now + 20 * SECOND).unwrap().answered(), None);
    }

    #[test]
    fn a_probe_that_vanishes_leaves_room_for_the_next() {
        let now = Instant::now();
        let gate = gate(now);
        gate.pass(now).unwrap().failed(now);
        gate.pass(now).unwrap().failed(now);
        let later = now + 11 * SECOND;
        drop(gate.pass(later).unwrap());
        assert!(gate.pass(later).is_ok());
    }

    #[test]
    fn a_pause_holds_everything_and_is_never_shortened() {
        let now = Instant::now();
        let gate = gate(now);
        gate.hold_off(now + 5 * SECOND);
        gate.hold_off(now + 2 * SECOND);
        assert_eq!(gate.pass(now).unwrap_err(), Held::For(5 * SECOND));
        assert!(gate.pass(now + 5 * SECOND).is_ok());
    }

    #[test]
    fn nothing_passes_after_the_lease_has_run_out_or_the_gate_was_shut() {
        let now = Instant::now();
        let gate = gate(now);
        assert_eq!(gate.pass(now + 100 * SECOND).unwrap_err(), Held::Shut);
        gate.prolong(now + 200 * SECOND);
        assert!(gate.pass(now + 100 * SECOND).is_ok());
        gate.shut();
        assert_eq!(gate.pass(now).unwrap_err(), Held::Shut);
    }
}
