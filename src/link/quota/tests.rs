//! The day's limits under a clock that is set, and all limits together in a simulated fleet.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Instant;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::link::pace::PaceState;

/// A clock that stands where it is put.
#[derive(Clone)]
struct Hand(Arc<Mutex<Timestamp>>);

impl Hand {
    fn at(local: &str) -> Hand {
        Hand(Arc::new(Mutex::new(at(local))))
    }

    fn set(&self, local: &str) {
        *self.0.lock().unwrap() = at(local);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn at(local: &str) -> Timestamp {
    local
        .parse::<DateTime>()
        .unwrap()
        .to_zoned(shanghai())
        .unwrap()
        .timestamp()
}

fn limits(per_day: Option<u32>, window: Option<&str>) -> DestinationLimits {
    DestinationLimits {
        requests_per_day: per_day,
        window: window.map(|text| DayWindow::try_from(text.to_owned()).unwrap()),
        ..DestinationLimits::per_second(10)
    }
}

fn quota(per_day: Option<u32>, window: Option<&str>, clock: &Hand) -> Quota {
    Quota::new(&limits(per_day, window), Arc::new(clock.clone()))
}

const HOUR: u64 = 3_600;

#[test]
fn without_limits_of_the_day_everything_may_leave_at_any_time() {
    let clock = Hand::at("2026-03-01T23:59:59.9");
    let quota = quota(None, None, &clock);
    assert_eq!(quota.check(), Ok(()));
    assert!(quota.take().unwrap().spend());
}

#[test]
fn outside_its_window_nothing_leaves_and_the_wait_is_until_it_opens() {
    let clock = Hand::at("2026-03-01T00:59:00");
    let night = quota(None, Some("01:00-05:00"), &clock);
    assert_eq!(
        night.check(),
        Err(QuotaClosed::For(Duration::from_secs(62)))
    );
    clock.set("2026-03-01T01:00:02");
    let ticket = night.take().unwrap();
    clock.set("2026-03-01T04:59:57.999");
    assert_eq!(night.check(), Ok(()));
    clock.set("2026-03-01T04:59:58.5");
    assert!(
        !ticket.spend(),
        "a request that waited until the end of the window does not leave"
    );
    assert_eq!(
        night.check(),
        Err(QuotaClosed::For(
            Duration::from_millis(1_500) + Duration::from_secs(20 * HOUR + 2)
        ))
    );

    let across = quota(None, Some("22:00-02:00"), &clock);
    clock.set("2026-03-01T23:59:59.9");
    assert_eq!(
        across.check(),
        Ok(()),
        "midnight is nothing special without a limit per day"
    );
    clock.set("2026-03-01T12:00:00");
    assert_eq!(
        across.check(),
        Err(QuotaClosed::For(Duration::from_secs(10 * HOUR + 2)))
    );
}

#[test]
fn a_day_gives_only_what_was_reserved_and_the_next_begins_at_midnight_in_shanghai() {
    let clock = Hand::at("2026-03-01T12:00:00");
    let quota = quota(Some(3), None, &clock);
    let today = date(2026, 3, 1);
    assert_eq!(
        quota.check(),
        Err(QuotaClosed::Reserve {
            day: today,
            count: 1
        })
    );
    quota.reserved(today, 2);
    assert_eq!(quota.check(), Ok(()));
    drop(quota.take().unwrap());
    assert!(quota.take().unwrap().spend());
    assert!(
        quota.take().unwrap().spend(),
        "one was dropped unspent and one spent"
    );
    assert!(quota.take().is_err());
    quota.reserved(today, 0);
    assert_eq!(
        quota.check(),
        Err(QuotaClosed::For(Duration::from_secs(12 * HOUR + 2)))
    );
    clock.set("2026-03-02T00:00:01");
    assert!(
        matches!(quota.check(), Err(QuotaClosed::For(_))),
        "not this close to midnight"
    );
    clock.set("2026-03-02T00:00:02");
    assert_eq!(
        quota.check(),
        Err(QuotaClosed::Reserve {
            day: date(2026, 3, 2),
            count: 1
        })
    );
    quota.reserved(date(2026, 3, 2), 3);
    let late = quota.take().unwrap();
    assert_eq!(quota.unused(), Some((date(2026, 3, 2), 2)));
    clock.set("2026-03-03T00:00:05");
    assert!(
        !late.spend(),
        "a request of yesterday's day is not spent today"
    );
}

/// The fleet's shared count of a day, as the database keeps it.
#[derive(Default)]
struct Days(HashMap<Date, u32>);

impl Days {
    fn reserve(&mut self, per_day: u32, day: Date, count: u32) -> u32 {
        let taken = self.0.entry(day).or_default();
        let granted = count.min(per_day - *taken);
        *taken += granted;
        granted
    }
}

struct Case {
    rate: u32,
    burst: Option<u32>,
    per_day: u32,
    window: Option<&'static str>,
    /// Every so many seconds the holder is killed (or hands over in order).
    killed_every: u64,
    orderly: bool,
    seed: u64,
}

/// Runs a fleet over three days with more work than fits; returns when requests left, by local time.
fn simulate(case: &Case) -> Vec<DateTime> {
    let start = at("2026-03-01T00:00:00");
    let (clock, base) = (Hand(Arc::new(Mutex::new(start))), Instant::now());
    let limits = DestinationLimits {
        burst: case.burst,
        ..DestinationLimits {
            requests_per_second: case.rate,
            ..limits(Some(case.per_day), case.window)
        }
    };
    let (rate, burst) = (
        NonZeroU32::new(case.rate).unwrap(),
        case.burst.and_then(NonZeroU32::new),
    );
    let (mut days, mut left, mut seed, mut elapsed) =
        (Days::default(), Vec::new(), case.seed, Duration::ZERO);
    let mut next = |most: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most.max(1)
    };
    while elapsed < Duration::from_secs(3 * 24 * HOUR) {
        let term_ends =
            elapsed + Duration::from_secs(case.killed_every / 2 + next(case.killed_every));
        let now = base + elapsed;
        let mut line = burst.map_or_else(
            || PaceState::new(rate, now),
            |burst| PaceState::bucket(rate, burst, now),
        );
        let quota = Quota::new(&limits, Arc::new(clock.clone()));
        while elapsed < term_ends {
            let wait = match quota.take() {
                Err(QuotaClosed::Reserve { day, count }) => {
                    quota.reserved(day, days.reserve(case.per_day, day, count));
                    continue;
                }
                Err(QuotaClosed::For(wait)) => wait,
                Ok(ticket) => match line.leave(base + elapsed) {
                    Ok(()) => {
                        if ticket.spend() {
                            left.push(clock.now().to_zoned(shanghai()).datetime());
                        }
                        Duration::ZERO
                    }
                    Err(until) => until - (base + elapsed) + Duration::from_micros(next(3_000)),
                },
            };
            elapsed += wait
                .min(term_ends.saturating_sub(elapsed))
                .max(Duration::from_micros(1));
            *clock.0.lock().unwrap() = start + elapsed;
        }
        if let Some((day, unused)) = quota.unused().filter(|_| case.orderly) {
            *days.0.get_mut(&day).unwrap() -= unused;
        }
    }
    left.retain(|at| *at < date(2026, 3, 4).at(0, 0, 0, 0));
    left
}

/// Asserts that every limit holds in every window and that each day was used.
fn judge(case: &Case, left: &[DateTime]) {
    let mut by_day: HashMap<Date, u32> = HashMap::new();
    for at in left {
        *by_day.entry(at.date()).or_default() += 1;
        let window = case
            .window
            .map(|text| DayWindow::try_from(text.to_owned()).unwrap());
        assert!(
            window.is_none_or(|window| inside(window, at.time())),
            "{at} is outside of {:?}",
            case.window
        );
    }
    for (day, count) in &by_day {
        assert!(
            *count <= case.per_day,
            "{count} on {day} of {}",
            case.per_day
        );
        assert!(
            f64::from(*count) >= 0.95 * f64::from(case.per_day),
            "only {count} on {day} of {}",
            case.per_day
        );
    }
    assert_eq!(by_day.len(), 3);
    let allowance = case.burst.map_or(case.rate, |burst| burst + case.rate);
    let mut first = 0;
    for (last, at) in left.iter().enumerate() {
        while Duration::try_from(left[first].duration_until(*at)).unwrap() > Duration::from_secs(1)
        {
            first += 1;
        }
        assert!(
            (last + 1 - first) as u32 <= allowance,
            "{} in the second before {at}",
            last + 1 - first
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn in_no_window_more_than_the_limit_and_nearly_all_of_it_used_whoever_is_killed(
        rate in 1_u32..6,
        burst in proptest::option::of(1_u32..12),
        window in proptest::option::of(prop_oneof![Just("01:00-05:00"), Just("22:00-04:00"), Just("12:00-18:00")]),
        share in 1_u32..9,
        killed_every in 300_u64..5_000,
        orderly: bool,
        seed: u64,
    ) {
        // The day's limit is below what the rate allows in the hours, so it is what binds.
        let hours = if window.is_some() { 4 } else { 24 };
        let per_day = (rate * hours * 3_600 / 10 * share / 8).max(100);
        let case = Case { rate, burst, per_day, window, killed_every, orderly, seed };
        judge(&case, &simulate(&case));
    }
}
