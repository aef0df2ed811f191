//! The limits a simulated partner enforces by itself: it counts what arrives and refuses what is too much.
//!
//! Written on its own, sharing nothing with what keeps these limits in the gateway.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What a simulated partner takes at most; no limit where absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Most {
    pub requests_per_second: Option<u32>,
    /// A bucket of this size instead of a sliding second.
    pub burst: Option<u32>,
    pub requests_per_day: Option<u32>,
    pub concurrent: Option<usize>,
    pub records_per_request: Option<usize>,
}

/// What has arrived.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Of the last second, oldest first.
    recent: VecDeque<Instant>,
    /// Requests the bucket holds now, and when that was counted.
    bucket: Option<(f64, Instant)>,
    /// By day in Asia/Shanghai, counted from 1970.
    by_day: BTreeMap<i64, u32>,
    pub under_way: usize,
    pub most_in_a_second: usize,
    pub most_under_way: usize,
}

impl Arrivals {
    /// Counts one that arrives now and is under way from now on; `false` when it is too much.
    pub fn admit(&mut self, most: &Most, now: Instant) -> bool {
        while self
            .recent
            .front()
            .is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1))
        {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.under_way += 1;
        self.most_in_a_second = self.most_in_a_second.max(self.recent.len());
        self.most_under_way = self.most_under_way.max(self.under_way);
        let today = self
            .by_day
            .entry((jiff::Timestamp::now().as_second() + 8 * 3_600).div_euclid(86_400))
            .or_default();
        *today += 1;
        let of_the_day = most.requests_per_day.is_none_or(|limit| *today <= limit);
        let at_once = most.concurrent.is_none_or(|limit| self.under_way <= limit);
        let of_the_second = match (most.requests_per_second, most.burst) {
            (None, _) => true,
            (Some(rate), None) => self.recent.len() <= rate as usize,
            (Some(rate), Some(burst)) => self.pour(f64::from(rate), f64::from(burst), now),
        };
        of_the_day && at_once && of_the_second
    }

    fn pour(&mut self, rate: f64, burst: f64, now: Instant) -> bool {
        let (level, at) = self.bucket.unwrap_or((burst, now));
        let level = (level + rate * now.duration_since(at).as_secs_f64()).min(burst);
        let taken = level >= 1.0;
        self.bucket = Some((if taken { level - 1.0 } else { level }, now));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_enforced_by_itself() {
        let now = Instant::now();
        let admitted = |most: Most, count: usize| {
            let mut arrivals = Arrivals::default();
            (0..count).filter(|_| arrivals.admit(&most, now)).count()
        };
        assert_eq!(admitted(Most::default(), 9), 9);
        assert_eq!(
            admitted(
                Most {
                    requests_per_second: Some(4),
                    ..Most::default()
                },
                9
            ),
            4
        );
        assert_eq!(
            admitted(
                Most {
                    requests_per_second: Some(4),
                    burst: Some(6),
                    ..Most::default()
                },
                9
            ),
            6
        );
        assert_eq!(
            admitted(
                Most {
                    requests_per_day: Some(3),
                    ..Most::default()
                },
                9
            ),
            3
        );
        assert_eq!(
            admitted(
                Most {
                    concurrent: Some(2),
                    ..Most::default()
                },
                9
            ),
            2
        );
        let mut arrivals = Arrivals::default();
        let bucket = Most {
            requests_per_second: Some(4),
            burst: Some(1),
            ..Most::default()
        };
        assert!(
            arrivals.admit(&bucket, now)
                && !arrivals.admit(&bucket, now)
                && arrivals.admit(&bucket, now + Duration::from_millis(260))
        );
    }
}
