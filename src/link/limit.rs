//! How fast a partner may call us: one token bucket per partner.
//!
//! Per instance of the gateway: behind a load balancer a partner gets its rate at each. Counts
//! requests, knows nothing of their content.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::config::Partner;

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>;

/// The buckets of all partners that may call us.
#[derive(Debug)]
pub struct CallerLimits<C: Clock = DefaultClock> {
    buckets: HashMap<String, Bucket<C>>,
    clock: C,
}

/// Values of the RateLimit headers of an answer (draft-ietf-httpapi-ratelimit-headers-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// `RateLimit-Limit`: requests that may come at once.
    pub limit: u32,
    /// `RateLimit-Remaining`: how many of them are left.
    pub remaining: u32,
    /// `RateLimit-Reset`: seconds until all are there again.
    pub reset: u64,
}

/// The request came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter {
    /// `Retry-After`: whole seconds, rounded up, at least 1.
    pub seconds: u64,
    pub headers: Headers,
}

impl CallerLimits {
    /// Full buckets for all partners with an `[partner.inbound]`.
    pub fn from_config(partners: &[Partner]) -> CallerLimits {
        CallerLimits::with_clock(partners, DefaultClock::default())
    }
}

impl<C: Clock + Clone> CallerLimits<C> {
    fn with_clock(partners: &[Partner], clock: C) -> CallerLimits<C> {
        let buckets = partners.iter().filter_map(|partner| {
            let inbound = partner.inbound.as_ref()?;
            let rate = NonZeroU32::new(inbound.requests_per_second)?;
            let burst = inbound.burst.and_then(NonZeroU32::new).unwrap_or(rate);
            let quota = Quota::per_second(rate).allow_burst(burst);
            let bucket = RateLimiter::direct_with_clock(quota, clock.clone())
                .with_middleware::<StateInformationMiddleware>();
            Some((partner.name.clone(), bucket))
        });
        CallerLimits {
            buckets: buckets.collect(),
            clock: clock.clone(),
        }
    }

    /// Takes one request of `partner` from its bucket. A partner without a bucket may not call at all.
    ///
    /// # Errors
    /// The bucket is empty: answer 429 with these headers.
    pub fn check(&self, partner: &str) -> Result<Headers, RetryAfter> {
        let none = RetryAfter {
            seconds: 1,
            headers: Headers {
                limit: 0,
                remaining: 0,
                reset: 1,
            },
        };
        let bucket = self.buckets.get(partner).ok_or(none)?;
        match bucket.check() {
            Ok(state) => Ok(headers(
                state.quota(),
                state.remaining_burst_capacity(),
                Duration::ZERO,
            )),
            Err(refused) => {
                let wait = refused.wait_time_from(self.clock.now());
                Err(RetryAfter {
                    seconds: seconds_up(wait),
                    headers: headers(refused.quota(), 0, wait),
                })
            }
        }
    }
}

fn headers(quota: Quota, remaining: u32, wait: Duration) -> Headers {
    let limit = quota.burst_size().get();
    let missing = limit - remaining.min(limit);
    Headers {
        limit,
        remaining,
        reset: seconds_up(wait.max(quota.replenish_interval() * missing)),
    }
}

fn seconds_up(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::config::InboundEntry;

    fn partner(name: &str, rate: u32, burst: Option<u32>) -> Partner {
        let inbound = InboundEntry {
            spki_sha256: None,
            san: Some(crate::config::San::parse(name).unwrap()),
            routes: Vec::new(),
            requests_per_second: rate,
            burst,
            body_bytes_max: None,
        };
        Partner {
            name: name.into(),
            adapter: "tax-bureau".into(),
            inbound: Some(inbound),
            outbound: None,
            fields: None,
            settings: Default::default(),
            secrets: Default::default(),
        }
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let clock = FakeRelativeClock::default();
        let limits = CallerLimits::with_clock(&[partner("tax", 2, Some(3))], clock.clone());
        let remaining: Vec<u32> = (0..3)
            .map(|_| limits.check("tax").unwrap().remaining)
            .collect();
        assert_eq!(remaining, [2, 1, 0]);
        assert_eq!(
            limits.check("tax").unwrap_err(),
            RetryAfter {
                seconds: 1,
                headers: Headers {
                    limit: 3,
                    remaining: 0,
                    reset: 2
                }
            }
        );
        clock.advance(Duration::from_millis(499));
        assert!(limits.check("tax").is_err());
        clock.advance(Duration::from_millis(1));
        assert!(limits.check("tax").is_ok());
        assert!(limits.check("tax").is_err());
    }

    #[test]
    fn one_partners_flood_does_not_touch_another() {
        let limits = CallerLimits::with_clock(
            &[partner("tax", 1, None), partner("civil", 1, None)],
            FakeRelativeClock::default(),
        );
        assert!(limits.check("tax").is_ok() && limits.check("tax").is_err());
        assert_eq!(
            limits.check("civil").unwrap(),
            Headers {
                limit: 1,
                remaining: 0,
                reset: 1
            }
        );
    }

    #[test]
    fn a_partner_that_may_not_call_has_no_bucket() {
        assert!(CallerLimits::from_config(&[]).check("nobody").is_err());
    }
}
