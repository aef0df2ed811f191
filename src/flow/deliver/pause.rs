//! How long until the next try: exponential, with jitter, capped.

use std::time::Duration;

use crate::config::Deliver;

/// The pause of a delivery after the given number of attempts: doubles from the first pause up to the
/// cap, and between half of that and all of it is taken, so that what failed together does not return together.
pub fn backoff(policy: &Deliver, attempts: i32) -> Duration {
    grown(policy, attempts, policy.retry_seconds_max)
}

/// The pause of a destination, or of a delivery it does not count against: the same with a cap of its own.
pub fn pause(policy: &Deliver, times: i32) -> Duration {
    grown(policy, times, policy.pause_seconds_max)
}

fn grown(policy: &Deliver, times: i32, seconds_max: u64) -> Duration {
    let doublings = times.saturating_sub(1).clamp(0, 40).unsigned_abs();
    let cap = seconds_max.saturating_mul(1000);
    let whole = policy
        .retry_first_milliseconds
        .saturating_mul(1_u64 << doublings)
        .min(cap);
    // The lowest bits of a version 4 UUID are all random; the highest of its lower half are its variant.
    let random = u64::from(uuid::Uuid::new_v4().as_u128() as u32);
    let half = whole / 2;
    Duration::from_millis(whole - half + half * random / u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_differ() {
        let policy = Deliver {
            retry_first_milliseconds: 1000,
            retry_seconds_max: 60,
            ..Deliver::default()
        };
        for (attempts, whole) in [
            (0, 1000),
            (1, 1000),
            (2, 2000),
            (5, 16_000),
            (7, 60_000),
            (i32::MAX, 60_000),
        ] {
            for _ in 0..50 {
                let pause = backoff(&policy, attempts).as_millis();
                assert!(
                    (whole / 2..=whole).contains(&pause),
                    "{pause} after {attempts}"
                );
            }
        }
        let pauses: std::collections::BTreeSet<Duration> =
            (0..50).map(|_| backoff(&policy, 7)).collect();
        assert!(pauses.len() > 10, "{} different pauses of 50", pauses.len());
    }

    #[test]
    fn pauses_lie_anywhere_between_half_and_all() {
        let policy = Deliver {
            retry_first_milliseconds: 1_000,
            ..Deliver::default()
        };
        let mut tenths = [0; 10];
        for _ in 0..2_000 {
            let share = (backoff(&policy, 1).as_millis() - 500) * 10 / 501;
            tenths[share as usize] += 1;
        }
        // 200 are expected of each; fewer than 100 happen once in 10^13.
        assert!(tenths.iter().all(|count| *count > 100), "{tenths:?}");
    }
}
