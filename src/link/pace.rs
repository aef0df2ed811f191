//! How fast we call a partner: never more than its limit in any second, and evenly.
//!
//! The limit counts for one pacer, so only the holder of a destination's lease may send. Exact by
//! construction: a request goes out only when the one `limit` places before it is a full window
//! old. The window is a little longer than a second, because requests that leave evenly do not
//! arrive evenly (a new connection needs a handshake first).

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The limit holds in every window of this length: a second and 2.5 % for jitter on the way.
const WINDOW: Duration = Duration::from_millis(1_025);
/// How far a late timer may be made up for by sending closer together.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Lets requests pass at a limit.
#[derive(Debug)]
pub struct Pacer {
    /// Held by the one whose turn it is; the others queue for it in the order they came.
    turn: tokio::sync::Mutex<()>,
    line: std::sync::Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    period: Duration,
    /// When the last `limit` requests left, oldest first.
    left_at: VecDeque<Instant>,
    /// When the next is due if all go evenly.
    due_at: Instant,
    /// Nothing leaves before.
    paused_until: Instant,
}

impl Pacer {
    /// A pacer for so many requests per second. It starts with an empty bucket: the first passes
    /// after a full window, because another instance may have used the limit until this moment.
    pub fn new(per_second: NonZeroU32) -> Pacer {
        Pacer { turn: tokio::sync::Mutex::new(()), line: std::sync::Mutex::new(Line::new(per_second, Instant::now())) }
    }

    /// Waits for the next place; first come, first served. Dropping the future gives the place to the next.
    pub async fn pass(&self) {
        let _turn = self.turn.lock().await;
        loop {
            let Err(wait_until) = self.line().leave(Instant::now()) else { return };
            tokio::time::sleep_until(wait_until.into()).await;
        }
    }

    /// Lets nothing pass before `until`, also of those that wait already; the later of two pauses counts.
    pub fn pause_until(&self, until: Instant) {
        let mut line = self.line();
        line.paused_until = line.paused_until.max(until);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new(per_second: NonZeroU32, now: Instant) -> Line {
        let limit = per_second.get();
        Line { period: WINDOW / limit, left_at: (0..limit).map(|_| now).collect(), due_at: now, paused_until: now }
    }

    /// Lets one leave now, or says when to ask again.
    fn leave(&mut self, now: Instant) -> Result<(), Instant> {
        let even = self.due_at.max(now.checked_sub(CATCH_UP).unwrap_or(now));
        let oldest = self.left_at.front().map_or(now, |left_at| *left_at + WINDOW);
        let at = even.max(oldest).max(self.paused_until);
        if at > now {
            return Err(at);
        }
        self.left_at.pop_front();
        self.left_at.push_back(now);
        self.due_at = at + self.period;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).unwrap()
    }

    /// Lets `count` leave from `now` on, each timer waking up to `late` too late; returns when they left.
    fn run(line: &mut Line, mut now: Instant, count: usize, late: Duration) -> Vec<Instant> {
        let mut left = Vec::new();
        let mut seed = 1_u32;
        while left.len() < count {
            match line.leave(now) {
                Ok(()) => left.push(now),
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
        for (rate, late) in [(1, 0), (1, 5), (3, 2), (50, 0), (50, 15), (700, 2), (5_000, 3)] {
            let start = Instant::now();
            let left = run(&mut Line::new(limit(rate), start), start, 20 * rate as usize, Duration::from_millis(late));
            let most = most_in_a_second(&left);
            assert!(most <= rate as usize, "limit {rate}, timers up to {late} ms late: {most} in a second");
            let used = 20.0 / (left[left.len() - 1] - left[0]).as_secs_f64();
            assert!(used > 0.95, "limit {rate}, timers up to {late} ms late: only {used} of it used");
        }
    }

    #[test]
    fn idling_saves_nothing_up() {
        let start = Instant::now();
        let mut line = Line::new(limit(10), start);
        let left = run(&mut line, start + Duration::from_secs(60), 25, Duration::ZERO);
        assert!(most_in_a_second(&left) <= 10);
        assert!(left[1] - left[0] >= Duration::from_millis(80), "they go evenly, not in bursts");
    }

    #[test]
    fn a_successors_first_second_does_not_add_to_the_predecessors_last() {
        let mut now = Instant::now();
        let mut left = Vec::new();
        for _ in 0..4 {
            left.extend(run(&mut Line::new(limit(20), now), now, 33, Duration::from_millis(3)));
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
        assert_eq!(pacer.line().leave(asked), Err(start + Duration::from_secs(30)));
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
        assert!(pacer.line().left_at[0] >= until, "only the one that passed took a place");
    }
}
