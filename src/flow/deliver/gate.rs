//! Whether anything may go out to a destination right now: lease, pauses, breaker, drain.
//!
//! Consulted before rows are claimed and again just before each request leaves. A destination that
//! says "later" or gives no answer of its own is paused, each time longer; then one request tries it.
//! It keeps no rows and sends nothing; time is passed in, so that it can be tested without waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{OutageLength, pause};
use crate::config::Deliver;

/// The gate of one dispatcher's term.
#[derive(Debug)]
pub struct Gate {
    policy: Deliver,
    inner: Mutex<Inner>,
    shut: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    /// Our own view of the lease, on our own clock; always earlier than the database's.
    lease_until: Instant,
    /// Nothing goes out before; everything may afterwards.
    paused_until: Option<Instant>,
    /// In a row, without an answer of the partner's own.
    failures: u32,
    /// When it ceased to work, and requests that failed or were told "later" since.
    trouble: Option<(Instant, u64)>,
    /// Nothing goes out before; afterwards one probe decides.
    open_until: Option<Instant>,
    probing: bool,
    /// Since it last worked: each makes the next one longer.
    pauses: i32,
    /// When the last one began; what left before it says nothing new.
    paused_at: Option<Instant>,
    /// Why it was paused, until it works.
    reason: Option<PauseReason>,
}

/// Why a destination is paused. The words are those of the database and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// What stands before the partner lets nothing through.
    NotReached,
    /// It answers, but nothing that the partner itself would say.
    Unclear,
    /// It cannot be reached, or keeps silent.
    Down,
    /// It says "later".
    Later,
}

impl PauseReason {
    pub const ALL: [PauseReason; 4] = [
        PauseReason::NotReached,
        PauseReason::Unclear,
        PauseReason::Down,
        PauseReason::Later,
    ];

    pub fn word(self) -> &'static str {
        match self {
            PauseReason::NotReached => "not_reached",
            PauseReason::Unclear => "unclear",
            PauseReason::Down => "down",
            PauseReason::Later => "later",
        }
    }

    pub fn of_word(word: &str) -> Option<PauseReason> {
        PauseReason::ALL
            .into_iter()
            .find(|reason| reason.word() == word)
    }
}

/// Why nothing may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateClosed {
    /// The lease is lost, or the gateway drains: nothing more in this term.
    Shut,
    /// Not for so long.
    For(Duration),
}

/// What a request changed in our picture of the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateNote {
    /// It failed, and the partner worked before.
    pub first: bool,
    /// It paused the destination, for so long; `true` where it was paused for that reason already.
    pub pause: Option<(PauseReason, Duration, bool)>,
    /// It works again.
    pub works: bool,
    /// How long it had not, and how many requests met with that.
    pub lasted: Option<OutageLength>,
}

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    pub reason: PauseReason,
    /// How long it asks us to wait.
    pub wait: Option<Duration>,
    /// Pauses at once, not only after failures in a row.
    pub at_once: bool,
}

/// Leave for one request. Say how it went; dropped unsaid it counts as neither.
#[derive(Debug)]
pub struct GatePass<'a> {
    gate: &'a Gate,
    probe: bool,
    left_at: Instant,
}

impl Gate {
    pub fn new(policy: &Deliver, lease_until: Instant) -> Gate {
        let inner = Inner {
            lease_until,
            paused_until: None,
            failures: 0,
            trouble: None,
            open_until: None,
            probing: false,
            pauses: 0,
            paused_at: None,
            reason: None,
        };
        Gate {
            policy: policy.clone(),
            inner: Mutex::new(inner),
            shut: CancellationToken::new(),
        }
    }

    /// Goes on with the pause an earlier holder left: what did not work is probed first.
    pub fn go_on(&self, until: Instant, reason: Option<PauseReason>) {
        let mut inner = self.inner();
        inner.reason = reason;
        match reason {
            Some(PauseReason::NotReached | PauseReason::Unclear | PauseReason::Down) => {
                inner.open_until = Some(until)
            }
            Some(PauseReason::Later) | None => inner.paused_until = Some(until),
        }
    }

    /// A person has lifted the pause.
    pub fn resume(&self) {
        let mut inner = self.inner();
        inner.paused_until = None;
        inner.open_until = None;
        (inner.failures, inner.pauses, inner.paused_at, inner.reason) = (0, 0, None, None);
        inner.trouble = None;
    }

    /// How many rows may be claimed when `most` would fit and `under_way` are being sent: one, alone,
    /// to probe a destination that did not work.
    pub fn room(&self, now: Instant, most: usize, under_way: usize) -> Result<usize, GateClosed> {
        let inner = self.inner();
        self.closed(&inner, now)?;
        Ok(if inner.open_until.is_some() {
            usize::from(under_way == 0).min(most)
        } else {
            most
        })
    }

    /// Leave to send one request now.
    pub fn pass(&self, now: Instant) -> Result<GatePass<'_>, GateClosed> {
        let mut inner = self.inner();
        self.closed(&inner, now)?;
        let probe = inner.open_until.is_some();
        if probe && inner.probing {
            return Err(GateClosed::For(Duration::from_millis(
                self.policy.breaker_pause_milliseconds,
            )));
        }
        inner.probing |= probe;
        Ok(GatePass {
            gate: self,
            probe,
            left_at: now,
        })
    }

    fn closed(&self, inner: &Inner, now: Instant) -> Result<(), GateClosed> {
        if self.shut.is_cancelled() || now >= inner.lease_until {
            return Err(GateClosed::Shut);
        }
        let waits = [inner.paused_until, inner.open_until]
            .into_iter()
            .flatten()
            .max();
        match waits.and_then(|until| until.checked_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(GateClosed::For(wait)),
            _ => Ok(()),
        }
    }

    /// The lease was renewed and holds until then.
    pub fn prolong(&self, lease_until: Instant) {
        self.inner().lease_until = lease_until;
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

    /// Whether only probes go out, or nothing until one may.
    pub fn breaker_open(&self) -> bool {
        self.inner().open_until.is_some()
    }

    /// Why the destination is paused, or being probed.
    pub fn paused(&self, now: Instant) -> Option<PauseReason> {
        let inner = self.inner();
        let waits =
            inner.open_until.is_some() || inner.paused_until.is_some_and(|until| until > now);
        inner.reason.filter(|_| waits)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single assignment, so what a panicking holder left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GatePass<'_> {
    /// The partner itself answered: it is up. A pause it asked for goes on.
    pub fn answered(self, now: Instant) -> GateNote {
        let mut inner = self.gate.inner();
        let asked = inner.paused_until.is_some_and(|until| until > now);
        let works = !asked && (inner.failures > 0 || inner.reason.is_some());
        (inner.failures, inner.open_until) = (0, None);
        if !asked {
            (
                inner.pauses,
                inner.paused_until,
                inner.paused_at,
                inner.reason,
            ) = (0, None, None, None);
        }
        let trouble = if asked { None } else { inner.trouble.take() };
        let lasted = trouble
            .filter(|_| works)
            .map(|(began, count)| OutageLength {
                time: now.duration_since(began),
                count,
            });
        GateNote {
            works,
            lasted,
            ..GateNote::default()
        }
    }

    /// Nothing of the partner's own was heard: it could not be reached, kept silent, or something else answered.
    pub fn failed(self, now: Instant, failing: Failing) -> GateNote {
        let mut inner = self.gate.inner();
        inner.failures = inner.failures.saturating_add(1);
        inner.troubled(now);
        let first = inner.failures == 1;
        let opens = self.probe
            || failing.at_once
            || inner.failures >= self.gate.policy.breaker_failures.max(1);
        let fresh = inner.met_after_pause(self.left_at);
        let own = match failing.reason {
            _ if !opens || !fresh => Duration::ZERO,
            PauseReason::Down => Duration::from_millis(self.gate.policy.breaker_pause_milliseconds),
            _ => inner.longer(&self.gate.policy),
        };
        let wait = own.max(failing.wait.unwrap_or_default());
        if wait.is_zero() {
            return GateNote {
                first,
                ..GateNote::default()
            };
        }
        let again = inner.reason == Some(failing.reason);
        let until = Some(now + wait);
        if opens {
            inner.open_until = inner.open_until.max(until);
        }
        // What was asked for holds also when another request is answered meanwhile.
        if let Some(asked) = failing.wait {
            inner.paused_until = inner.paused_until.max(Some(now + asked));
        }
        (inner.paused_at, inner.reason) = (Some(now), Some(failing.reason));
        GateNote {
            first,
            pause: Some((failing.reason, wait, again)),
            ..GateNote::default()
        }
    }

    /// The partner says "later", and perhaps when: nothing goes out until then, nor before our own
    /// pause is over, whatever it says; when it says so again and again, only probes go out.
    pub fn later(self, now: Instant, wait: Option<Duration>) -> GateNote {
        let mut inner = self.gate.inner();
        inner.troubled(now);
        let fresh = inner.met_after_pause(self.left_at);
        let own = if fresh {
            inner.longer(&self.gate.policy)
        } else {
            Duration::ZERO
        };
        let wait = own.max(wait.unwrap_or_default());
        if wait.is_zero() {
            return GateNote::default();
        }
        let again = inner.reason == Some(PauseReason::Later);
        let until = Some(now + wait);
        inner.paused_until = inner.paused_until.max(until);
        if self.probe || inner.pauses > 1 {
            inner.open_until = inner.open_until.max(until);
        }
        (inner.paused_at, inner.reason) = (Some(now), Some(PauseReason::Later));
        GateNote {
            first: false,
            pause: Some((PauseReason::Later, wait, again)),
            ..GateNote::default()
        }
    }
}

impl Inner {
    /// Another request that was not answered by the partner itself, or was told "later".
    fn troubled(&mut self, now: Instant) {
        self.trouble.get_or_insert((now, 0)).1 += 1;
    }

    /// Whether a request that left then met the partner as it is since the last pause.
    fn met_after_pause(&self, left_at: Instant) -> bool {
        self.paused_at.is_none_or(|at| left_at >= at)
    }

    /// Our own next pause, longer than the one before.
    fn longer(&mut self, policy: &Deliver) -> Duration {
        self.pauses = self.pauses.saturating_add(1);
        pause(policy, self.pauses)
    }
}

impl Drop for GatePass<'_> {
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
    const DOWN: Failing = Failing {
        reason: PauseReason::Down,
        wait: None,
        at_once: false,
    };
    const NOT_REACHED: Failing = Failing {
        reason: PauseReason::NotReached,
        wait: None,
        at_once: true,
    };

    fn gate(now: Instant) -> Gate {
        let policy = Deliver {
            breaker_failures: 2,
            breaker_pause_milliseconds: 10_000,
            ..Deliver::default()
        };
        Gate::new(&policy, now + 1_000 * SECOND)
    }

    fn wait(noted: GateNote) -> Duration {
        noted.pause.expect("it pauses").1
    }

    #[test]
    fn failures_in_a_row_open_the_breaker_and_a_good_probe_closes_it() {
        let now = Instant::now();
        let gate = gate(now);
        gate.pass(now).unwrap().failed(now, DOWN);
        gate.pass(now).unwrap().answered(now);
        gate.pass(now).unwrap().failed(now, DOWN);
        assert!(
            !gate.breaker_open(),
            "an answer in between starts the count again"
        );
        gate.pass(now).unwrap().failed(now, DOWN);
        assert_eq!(
            gate.pass(now + SECOND).unwrap_err(),
            GateClosed::For(9 * SECOND)
        );
        assert_eq!(
            gate.room(now + SECOND, 8, 0),
            Err(GateClosed::For(9 * SECOND))
        );

        let later = now + 10 * SECOND;
        assert_eq!(gate.room(later, 8, 0), Ok(1), "one probe, alone");
        assert_eq!(gate.room(later, 8, 1), Ok(0));
        let probe = gate.pass(later).unwrap();
        assert!(
            gate.pass(later).is_err(),
            "no second request beside the probe"
        );
        probe.failed(later, DOWN);
        assert_eq!(
            gate.pass(later).unwrap_err(),
            GateClosed::For(10 * SECOND),
            "a failed probe opens it again"
        );

        gate.pass(later + 10 * SECOND)
            .unwrap()
            .answered(later + 10 * SECOND);
        assert_eq!(gate.room(later + 10 * SECOND, 8, 3), Ok(8));
    }

    #[test]
    fn each_turn_of_a_partner_is_told_once() {
        let now = Instant::now();
        let gate = gate(now);
        let under_way: Vec<GatePass<'_>> = (0..4).map(|_| gate.pass(now).unwrap()).collect();
        assert_eq!(
            gate.pass(now).unwrap().answered(now),
            GateNote::default(),
            "it worked before"
        );
        let noted: Vec<GateNote> = under_way
            .into_iter()
            .map(|pass| pass.failed(now + SECOND, DOWN))
            .collect();
        assert_eq!(
            noted.iter().map(|noted| noted.first).collect::<Vec<_>>(),
            [true, false, false, false]
        );
        let pauses: Vec<bool> = noted.iter().map(|noted| noted.pause.is_some()).collect();
        assert_eq!(
            pauses,
            [false, true, false, false],
            "those that left before the pause do not begin another"
        );
        let probed = now + 11 * SECOND;
        let again = gate.pass(probed).unwrap().failed(probed, DOWN);
        assert_eq!(
            again.pause,
            Some((PauseReason::Down, 10 * SECOND, true)),
            "down it was already"
        );
        let probed = now + 21 * SECOND;
        let over = gate.pass(probed).unwrap().answered(probed);
        assert_eq!(
            (over.works, over.lasted),
            (
                true,
                Some(OutageLength {
                    time: 20 * SECOND,
                    count: 5
                })
            ),
            "since when, and how many in vain"
        );
        assert!(!gate.pass(probed).unwrap().answered(probed).works);
    }

    #[test]
    fn a_probe_that_vanishes_leaves_room_for_the_next() {
        let now = Instant::now();
        let gate = gate(now);
        gate.pass(now).unwrap().failed(now, DOWN);
        gate.pass(now).unwrap().failed(now, DOWN);
        let later = now + 11 * SECOND;
        drop(gate.pass(later).unwrap());
        assert!(gate.pass(later).is_ok());
    }

    #[test]
    fn what_lets_nothing_through_pauses_at_once_each_time_longer_and_is_probed() {
        let now = Instant::now();
        let gate = gate(now);
        let (mut at, mut least) = (now, Duration::from_millis(500));
        for doubled in [false, true, true, true, true, true, true, true, true, true] {
            least = if doubled {
                (least * 2).min(150 * SECOND)
            } else {
                least
            };
            let pause = wait(gate.pass(at).unwrap().failed(at, NOT_REACHED));
            assert!(
                (least..=2 * least).contains(&pause),
                "{pause:?}, expected {least:?} or up to twice that"
            );
            assert_eq!(
                (gate.paused(at), gate.room(at, 8, 0)),
                (Some(PauseReason::NotReached), Err(GateClosed::For(pause)))
            );
            at += pause;
            assert_eq!(gate.room(at, 8, 0), Ok(1));
        }
        assert!(gate.pass(at).unwrap().answered(at).works);
        assert_eq!((gate.paused(at), gate.room(at, 8, 3)), (None, Ok(8)));
        assert!(
            wait(gate.pass(at).unwrap().failed(at, NOT_REACHED)) <= SECOND,
            "it begins with a short one again"
        );
    }

    #[test]
    fn the_larger_of_their_pause_and_ours_counts_and_many_answers_at_once_are_one() {
        let now = Instant::now();
        let gate = gate(now);
        let under_way: Vec<GatePass<'_>> = (0..6).map(|_| gate.pass(now).unwrap()).collect();
        let met = now + SECOND;
        let mut noted = under_way
            .into_iter()
            .map(|pass| pass.later(met, Some(Duration::ZERO)));
        let pause = wait(noted.next().unwrap());
        assert!(
            pause >= SECOND / 2 && pause <= SECOND,
            "nothing they say hurries us: {pause:?}"
        );
        assert!(
            noted.all(|noted| noted.pause.is_none()),
            "the others left before and add nothing"
        );
        assert_eq!(gate.pass(met).unwrap_err(), GateClosed::For(pause));
        let again = met + pause;
        assert_eq!(
            wait(gate.pass(again).unwrap().later(again, Some(30 * SECOND))),
            30 * SECOND
        );
        assert_eq!(
            gate.room(again + 30 * SECOND, 8, 0),
            Ok(1),
            "the second time only a probe goes out"
        );
    }

    #[test]
    fn a_pause_asked_for_is_never_shortened_but_a_person_can_lift_it() {
        let now = Instant::now();
        let gate = gate(now);
        let (one, two, three) = (
            gate.pass(now).unwrap(),
            gate.pass(now).unwrap(),
            gate.pass(now).unwrap(),
        );
        one.later(now, Some(50 * SECOND));
        two.later(now, Some(20 * SECOND));
        assert!(!three.answered(now + SECOND).works);
        assert_eq!(gate.pass(now).unwrap_err(), GateClosed::For(50 * SECOND));
        let after = now + 51 * SECOND;
        let late = gate.pass(after).unwrap();
        gate.pass(after).unwrap().later(after, Some(30 * SECOND));
        late.answered(after + SECOND);
        assert_eq!(
            gate.room(after + SECOND, 8, 0),
            Err(GateClosed::For(29 * SECOND)),
            "not by an answer to one that left before it either"
        );
        gate.resume();
        assert_eq!((gate.room(now, 8, 0), gate.paused(now)), (Ok(8), None));
    }

    #[test]
    fn a_new_holder_goes_on_with_the_pause_it_finds() {
        let now = Instant::now();
        let found = gate(now);
        found.go_on(now + 5 * SECOND, Some(PauseReason::NotReached));
        assert_eq!(
            (found.room(now, 8, 0), found.paused(now)),
            (
                Err(GateClosed::For(5 * SECOND)),
                Some(PauseReason::NotReached)
            )
        );
        assert_eq!(found.room(now + 5 * SECOND, 8, 0), Ok(1), "one probe");
        let asked = gate(now);
        asked.go_on(now + 5 * SECOND, Some(PauseReason::Later));
        assert_eq!(asked.room(now + 5 * SECOND, 8, 0), Ok(8));
    }

    #[test]
    fn nothing_passes_after_the_lease_has_run_out_or_the_gate_was_shut() {
        let now = Instant::now();
        let gate = gate(now);
        assert_eq!(
            gate.pass(now + 1_000 * SECOND).unwrap_err(),
            GateClosed::Shut
        );
        gate.prolong(now + 2_000 * SECOND);
        assert!(gate.pass(now + 1_000 * SECOND).is_ok());
        gate.shut();
        assert_eq!(gate.pass(now).unwrap_err(), GateClosed::Shut);
    }
}
