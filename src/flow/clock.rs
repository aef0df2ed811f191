//! What day it is: the machine's clock, or one that a test or a rehearsal has set.
//!
//! Days are those of the insured city: Asia/Shanghai, eight hours ahead of UTC without summer time
//! since 1992, so no time zone database is needed.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use tokio::sync::Notify;

/// A clock; copies show the same time.
#[derive(Debug, Clone, Default)]
pub struct CityClock {
    set: Arc<Mutex<Option<Timestamp>>>,
    changed: Arc<Notify>,
}

impl CityClock {
    pub fn now(&self) -> Timestamp {
        self.set
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_else(Timestamp::now)
    }

    /// The day in Asia/Shanghai.
    pub fn today(&self) -> Date {
        day_of(self.now())
    }

    /// Stops the clock at a moment, for tests and rehearsals.
    pub fn set(&self, now: Timestamp) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.changed.notify_waiters();
    }

    /// Stops the clock at noon of a day, for tests and rehearsals.
    pub fn set_day(&self, day: Date) {
        let noon = day
            .at(12, 0, 0, 0)
            .to_zoned(shanghai())
            .map_or_else(|_| Timestamp::now(), |noon| noon.timestamp());
        self.set(noon);
    }

    /// Ends when the clock is set the next time after this call.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.changed.notified()
    }
}

impl crate::link::Clock for CityClock {
    fn now(&self) -> Timestamp {
        CityClock::now(self)
    }
}

/// The day in Asia/Shanghai of a moment.
pub fn day_of(moment: Timestamp) -> Date {
    moment.to_zoned(shanghai()).date()
}

/// A moment in Asia/Shanghai for people: `2026-11-27 10:12:03`.
pub fn in_city(moment: Timestamp) -> String {
    moment
        .to_zoned(shanghai())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// When a day begins in Asia/Shanghai.
pub fn begin_of(day: Date) -> Timestamp {
    day.at(0, 0, 0, 0)
        .to_zoned(shanghai())
        .map_or(Timestamp::MIN, |begin| begin.timestamp())
}

/// Asia/Shanghai.
pub fn shanghai() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_shanghai() {
        let day = |text: &str| day_of(text.parse().expect("a moment")).to_string();
        assert_eq!(day("2026-02-28T15:59:59Z"), "2026-02-28");
        assert_eq!(day("2026-02-28T16:00:00Z"), "2026-03-01");
    }

    #[test]
    fn copies_of_a_clock_show_the_time_it_was_set_to() {
        let clock = CityClock::default();
        let copy = clock.clone();
        clock.set_day(jiff::civil::date(2026, 3, 1));
        assert_eq!(copy.today(), jiff::civil::date(2026, 3, 1));
    }
}
