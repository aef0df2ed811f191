//! How fast we call a partner: never more than its limit in any second, and evenly.
//!
//! The limit counts for one pacer, so only the holder of a destination's lease may send. It must
//! hold where requests arrive, not where they leave, and those that leave evenly do not arrive
//! evenly: a new connection needs a handshake, a busy machine lets one wait. So a request goes out
//! only when the one `limit` places before it is a full window old, the window is a little longer
//! than a second, and for a request that took longer than the fastest does it is longer by just
//! that, because so much later it may have arrived. What this may cost in all is bounded, or a
//! partner of uneven speed would get less than its limit. A partner that allows bursts counts with
//! a bucket instead: in `t` seconds never more than the bucket and `t` times the rate. Knows no
//! clock but the one it is handed; the day's limits are `link::quota`'s.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The limit holds in every window of this length: a second and 2.5 % for jitter on the way.
const WINDOW: Duration = Duration::from_millis(1_025);
/// What late arrivals may add to windows: saved up to the first, as this share of the time.
const EXTRA_MAX: Duration = Duration::from_secs(1);
const EXTRA_SHARE: u32 = 64;
/// How late one may have arrived that is not answered yet when its place is wanted.
const UNANSWERED: Duration = Duration::from_millis(150);
/// Added to how late one may have arrived: clocks are read a little before and after.
const LATE_GUARD: Duration = Duration::from_millis(5);
/// Answers before the fastest of them is taken for what an ordinary request needs.
const ANSWERS_MIN: u32 = 8;
/// How far bursts may be pushed together on the way.
const BURST_JITTER: Duration = Duration::from_millis(100);
/// How far a late timer may be made up for by sending closer together.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Lets requests pass at a limit.
#[derive(Debug)]
pub struct Pacer {
    /// Held by the one whose turn it is; the others queue for it in the order they came.
    turn: tokio::sync::Mutex<()>,
    line: std::sync::Mutex<PaceState>,
}

/// The state of a pacer, as a function of times handed to it.
#[derive(Debug)]
pub struct PaceState {
    period: Duration,
    rule: Rule,
    /// When the next is due if all go evenly.
    due_at: Instant,
    /// Nothing leaves before.
    paused_until: Instant,
}

#[derive(Debug)]
enum Rule {
    /// The last `limit` requests.
    Even(Places),
    /// How far ahead of an even pace requests may leave.
    Bucket(Duration),
}

/// The last requests, oldest first, and what is known of how late they arrived.
#[derive(Debug)]
struct Places {
    left: VecDeque<Place>,
    /// From leaving to the answer, at best, and how many answers say so.
    fastest: (Duration, u32),
    /// What may be added to windows yet, as of a time.
    extra: (Duration, Instant),
}

#[derive(Debug, Clone, Copy)]
struct Place {
    left_at: Instant,
    /// From leaving to the answer; it arrived at some time in between.
    took: Option<Duration>,
}

impl Pacer {
    /// A pacer for so many requests per second. It starts with an empty bucket: the first passes
    /// after a full window, because another instance may have used the limit until this moment.
    pub fn new(per_second: NonZeroU32) -> Pacer {
        Pacer::with_burst(per_second, None)
    }

    /// The same for a partner that takes up to `burst` at once after a pause.
    pub fn with_burst(per_second: NonZeroU32, burst: Option<NonZeroU32>) -> Pacer {
        let now = Instant::now();
        let line = burst.map_or_else(
            || PaceState::new(per_second, now),
            |burst| PaceState::bucket(per_second, burst, now),
        );
        Pacer {
            turn: tokio::sync::Mutex::new(()),
            line: std::sync::Mutex::new(line),
        }
    }

    /// Waits for the next place and returns when it was taken; first come, first served. Dropping the future gives the place to the next.
    pub async fn pass(&self) -> Instant {
        let _turn = self.turn.lock().await;
        loop {
            let now = Instant::now();
            let Err(wait_until) = self.line().leave(now) else {
                return now;
            };
            tokio::time::sleep_until(wait_until.into()).await;
        }
    }

    /// The request that took its place then is answered now: it has arrived.
    pub fn answered(&self, left_at: Instant) {
        self.line().answered(left_at, Instant::now());
    }

    /// Lets nothing pass before `until`, also of those that wait already; the later of two pauses counts.
    pub fn pause_until(&self, until: Instant) {
        let mut line = self.line();
        line.paused_until = line.paused_until.max(until);
    }

    fn line(&self) -> MutexGuard<'_, PaceState> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PaceState {
    /// A line that lets requests leave evenly, the first a full window from now.
    pub fn new(per_second: NonZeroU32, now: Instant) -> PaceState {
        let limit = per_second.get();
        let left = (0..limit)
            .map(|_| Place {
                left_at: now,
                took: Some(Duration::ZERO),
            })
            .collect();
        let places = Places {
            left,
            fastest: (Duration::MAX, 0),
            extra: (EXTRA_MAX, now),
        };
        PaceState {
            period: WINDOW / limit,
            rule: Rule::Even(places),
            due_at: now,
            paused_until: now,
        }
    }

    /// A line over a bucket of `burst` that fills at the rate and is empty now.
    pub fn bucket(per_second: NonZeroU32, burst: NonZeroU32, now: Instant) -> PaceState {
        let period = WINDOW / per_second.get();
        // What jitter on the way may push together is kept back from the bucket.
        let jitter = BURST_JITTER.as_secs_f64() * f64::from(per_second.get());
        let kept_back = (jitter.ceil() as u32).min(burst.get() - 1);
        PaceState {
            period,
            rule: Rule::Bucket(period * (burst.get() - kept_back - 1)),
            due_at: now + period * (burst.get() - kept_back),
            paused_until: now,
        }
    }

    /// Lets one leave now, or says when to ask again.
    pub fn leave(&mut self, now: Instant) -> Result<(), Instant> {
        let earliest = match &self.rule {
            Rule::Even(places) => self
                .due_at
                .max(now.checked_sub(CATCH_UP).unwrap_or(now))
                .max(places.free_at(now)),
            Rule::Bucket(ahead) => self.due_at.checked_sub(*ahead).unwrap_or(now),
        };
        let at = earliest.max(self.paused_until);
        if at > now {
            return Err(at);
        }
        match &mut self.rule {
            Rule::Even(places) => {
                places.take(now, self.due_at);
                self.due_at = at + self.period;
            }
            Rule::Bucket(_) => self.due_at = self.due_at.max(now) + self.period,
        }
        Ok(())
    }

    /// The request that left then was answered now.
    pub fn answered(&mut self, left_at: Instant, now: Instant) {
        if let Rule::Even(places) = &mut self.rule {
            places.answered(left_at, now.saturating_duration_since(left_at));
        }
    }
}

impl Places {
    /// When the oldest place may be taken again.
    fn free_at(&self, now: Instant) -> Instant {
        self.left.front().map_or(now, |place| {
            place.left_at + WINDOW + self.late(place).min(self.extra_at(now))
        })
    }

    /// Takes the oldest place; `due_at` is when that would have been without late arrivals.
    fn take(&mut self, now: Instant, due_at: Instant) {
        let left = self.extra_at(now);
        let spent = self.left.pop_front().map_or(Duration::ZERO, |place| {
            let due_at = due_at.max(place.left_at + WINDOW);
            now.saturating_duration_since(due_at)
                .min((place.left_at + WINDOW + self.late(&place)).saturating_duration_since(due_at))
        });
        self.extra = (left.saturating_sub(spent), now);
        self.left.push_back(Place {
            left_at: now,
            took: None,
        });
    }

    fn answered(&mut self, left_at: Instant, took: Duration) {
        let (fastest, answers) = self.fastest;
        self.fastest = (fastest.min(took), answers.saturating_add(1));
        if let Some(place) = self
            .left
            .iter_mut()
            .rev()
            .find(|place| place.left_at == left_at)
        {
            place.took = Some(took);
        }
    }

    /// How much later than the fastest it may have arrived, beyond what the window allows for.
    fn late(&self, place: &Place) -> Duration {
        let (fastest, answers) = self.fastest;
        let late = match place.took {
            Some(took) if answers < ANSWERS_MIN => took,
            Some(took) => took.saturating_sub(fastest),
            None => UNANSWERED,
        };
        (late + LATE_GUARD).saturating_sub(WINDOW - Duration::from_secs(1))
    }

    fn extra_at(&self, now: Instant) -> Duration {
        let (left, at) = self.extra;
        (left + now.saturating_duration_since(at) / EXTRA_SHARE).min(EXTRA_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).unwrap()
    }

    /// Lets `count` leave from `now` on, each timer waking up to `late` too late; returns when they left.
    fn run(line: &mut PaceState, mut now: Instant, count: usize, late: Duration) -> Vec<Instant> {
        let mut left = Vec::new();
        let mut seed = 1_u32;
        while left.len() < count {
            match line.leave(now) {
                Ok(()) => {
                    left.push(now);
                    line.answered(now, now + Duration::from_millis(1));
                }
                Err(wait_until) => {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    now = wait_until + late * (seed >> 16) / 65_536;
                }
            }
        }
        left
    }

    /// The most that left in any closed second.
    fn most_in_a_second(left: &[Instant]) -> usize {
        let mut first = 0;
        let until = |(last, at): (usize, &Instant)| {
            while *at - left[first] > Duration::from_secs(1) {
                first += 1;
            }
            last + 1 - first
        };
        left.iter().enumerate().map(until).max().unwrap_or(0)
    }

    #[test]
    fn in_no_second_more_than_the_limit_and_nearly_all_of_it_used_however_late_the_timers() {
        for (rate, late) in [
            (1, 0),
            (1, 5),
            (3, 2),
            (50, 0),
            (50, 15),
            (700, 2),
            (5_000, 3),
        ] {
            let start = Instant::now();
            let left = run(
                &mut PaceState::new(limit(rate), start),
                start,
                20 * rate as usize,
                Duration::from_millis(late),
            );
            let most = most_in_a_second(&left);
            assert!(
                most <= rate as usize,
                "limit {rate}, timers up to {late} ms late: {most} in a second"
            );
            let used = 20.0 / (left[left.len() - 1] - left[0]).as_secs_f64();
            assert!(
                used > 0.95,
                "limit {rate}, timers up to {late} ms late: only {used} of it used"
            );
        }
    }

    #[test]
    fn idling_saves_nothing_up() {
        let start = Instant::now();
        let mut line = PaceState::new(limit(10), start);
        let left = run(
            &mut line,
            start + Duration::from_secs(60),
            25,
            Duration::ZERO,
        );
        assert!(most_in_a_second(&left) <= 10);
        assert!(
            left[1] - left[0] >= Duration::from_millis(80),
            "they go evenly, not in bursts"
        );
    }

    #[test]
    fn a_successors_first_second_does_not_add_to_the_predecessors_last() {
        let mut now = Instant::now();
        let mut left = Vec::new();
        for _ in 0..4 {
            left.extend(run(
                &mut PaceState::new(limit(20), now),
                now,
                33,
                Duration::from_millis(3),
            ));
            now = left[left.len() - 1];
        }
        assert!(most_in_a_second(&left) <= 20);
    }

    #[test]
    fn the_later_of_two_pauses_counts() {
        let pacer = Pacer::new(limit(1));
        let start = Instant::now();
        pacer.pause_until(start + Duration::from_secs(30));
        pacer.pause_until(start + Duration::from_secs(10));
        let asked = start + Duration::from_secs(20);
        assert_eq!(
            pacer.line().leave(asked),
            Err(start + Duration::from_secs(30))
        );
    }

    #[tokio::test]
    async fn a_pause_holds_back_one_that_waits_already_and_giving_up_costs_no_place() {
        let pacer = Pacer::new(limit(1));
        let until = Instant::now() + WINDOW + Duration::from_millis(100);
        let paused = async {
            tokio::task::yield_now().await;
            pacer.pause_until(until);
        };
        let given_up = tokio::time::timeout(Duration::from_millis(20), pacer.pass());
        let (given_up, ()) = tokio::join!(given_up, paused);
        assert!(given_up.is_err());
        pacer.pass().await;
        assert!(Instant::now() >= until);
        let line = pacer.line();
        let Rule::Even(places) = &line.rule else {
            panic!("no bucket was asked for")
        };
        assert!(
            places.left[0].left_at >= until,
            "only the one that passed took a place"
        );
    }

    #[test]
    fn a_bucket_lets_a_burst_leave_after_a_pause_and_never_more_than_bucket_and_rate() {
        let start = Instant::now();
        for (rate, burst) in [(1, 5), (10, 20), (50, 1), (50, 200)] {
            let mut line = PaceState::bucket(limit(rate), limit(burst), start);
            let mut left = run(
                &mut line,
                start,
                3 * burst as usize,
                Duration::from_millis(3),
            );
            assert!(left[0] > start, "a new holder begins with an empty bucket");
            let rested = left[left.len() - 1] + Duration::from_secs(1_000);
            let at_once = run(&mut line, rested, burst as usize, Duration::ZERO);
            let most = at_once.iter().filter(|at| **at == rested).count();
            assert!(
                most as f64 >= f64::from(burst) - (f64::from(rate) * 0.1).ceil() && most >= 1,
                "{most} at once of a bucket of {burst}"
            );
            left.extend(at_once);
            left.extend(run(
                &mut line,
                left[left.len() - 1],
                10 * rate as usize,
                Duration::from_millis(3),
            ));
            for first in 0..left.len() {
                for last in first..left.len() {
                    let allowed = f64::from(burst)
                        + f64::from(rate) * (left[last] - left[first]).as_secs_f64();
                    assert!(
                        (last - first + 1) as f64 <= allowed + 1e-9,
                        "{} in {:?}",
                        last - first + 1,
                        left[last] - left[first]
                    );
                }
            }
        }
    }

    /// Lets requests leave for `seconds`, each arriving as late as `delay` says and answered then;
    /// returns when they arrived, in order.
    fn arrivals(rate: u32, seconds: u64, delay: impl Fn(usize) -> Duration) -> Vec<Instant> {
        let start = Instant::now();
        let (mut line, mut now, mut arrived) = (
            PaceState::new(limit(rate), start),
            start,
            Vec::<(Instant, Instant)>::new(),
        );
        let mut told = 0;
        while now < start + Duration::from_secs(seconds) {
            while let Some((left_at, at)) = arrived.get(told).copied().filter(|(_, at)| *at <= now)
            {
                line.answered(left_at, at);
                told += 1;
            }
            match line.leave(now) {
                Ok(()) => arrived.push((now, now + delay(arrived.len()))),
                Err(wait_until) => {
                    now = wait_until.min(arrived.get(told).map_or(wait_until, |(_, at)| *at))
                }
            }
        }
        let mut at: Vec<Instant> = arrived.into_iter().map(|(_, at)| at).collect();
        at.sort_unstable();
        at
    }

    #[test]
    fn one_that_arrives_late_makes_no_second_too_full() {
        for rate in [2, 20, 200] {
            // Handshakes at the start, and now and then a stall of the machine.
            let delay = |n: usize| {
                Duration::from_millis(if n < 2 {
                    300
                } else if n % (60 * rate as usize) < 3 {
                    200
                } else {
                    2
                })
            };
            let at = arrivals(rate, 300, delay);
            assert!(
                most_in_a_second(&at) <= rate as usize,
                "limit {rate}: {}",
                most_in_a_second(&at)
            );
            assert!(
                at.len() as f64 > 0.95 * 300.0 * f64::from(rate),
                "limit {rate}: only {} in 300 s",
                at.len()
            );
        }
    }

    #[test]
    fn a_partner_of_uneven_speed_still_gets_nearly_all_of_its_limit() {
        for (rate, slowest) in [(5, 400), (50, 90), (50, 3_000)] {
            let at = arrivals(rate, 300, |n| {
                Duration::from_millis(2 + (n as u64 * 7_919) % slowest)
            });
            assert!(
                at.len() as f64 > 0.95 * 300.0 * f64::from(rate),
                "limit {rate}, up to {slowest} ms: only {} in 300 s",
                at.len()
            );
        }
    }
}
