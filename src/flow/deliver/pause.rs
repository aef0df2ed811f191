//! How long until the next try: exponential, with jitter, capped.

use std::time::Duration;

use crate::config::Deliver;

/// The pause after the given number of attempts: doubles from the first pause up to the cap, and
/// between half of that and all of it is taken, so that what failed together does not return together.
pub fn backoff(policy: &Deliver, attempts: i32) -> Duration {
    let doublings = attempts.saturating_sub(1).clamp(0, 40).unsigned_abs();
    let cap = policy.retry_seconds_max.saturating_mul(1000);
    let whole = policy.retry_first_milliseconds.saturating_mul(1_u64 << doublings).min(cap);
    // The low bits of a version 4 UUID are random.
    let random = uuid::Uuid::new_v4().as_u128() as u64 >> 32;
    let half = whole / 2;
    Duration::from_millis(whole - half + half * random / u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_differ() {
        let policy = Deliver { retry_first_milliseconds: 1000, retry_seconds_max: 60, ..Deliver::default() };
        for (attempts, whole) in [(0, 1000), (1, 1000), (2, 2000), (5, 16_000), (7, 60_000), (i32::MAX, 60_000)] {
            for _ in 0..50 {
                let pause = backoff(&policy, attempts).as_millis();
                assert!((whole / 2..=whole).contains(&pause), "{pause} after {attempts}");
            }
        }
        let pauses: std::collections::BTreeSet<Duration> = (0..50).map(|_| backoff(&policy, 7)).collect();
        assert!(pauses.len() > 10, "{} different pauses of 50", pauses.len());
    }
}
