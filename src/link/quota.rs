//! How many requests of a day a partner takes, and in which hours: what of them may leave now.
//!
//! Days and hours are those of Asia/Shanghai. A day's requests are drawn from blocks that somebody
//! has reserved durably before (the number of a day is shared by all instances and survives them);
//! what is not drawn can be given back. Close to midnight and to the window's ends nothing leaves,
//! because the partner's clock may be a little off ours and a request needs time to arrive. Holds
//! no database and sends nothing; the clock is handed in, so that a year can be tested in a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, tz};

use crate::config::{DayWindow, DestinationLimits};

/// Nothing leaves this close to midnight (where a day has a limit) and to the window's ends.
const GUARD: Duration = Duration::from_secs(2);
/// Share of a day's requests reserved at once: what a killed instance takes with it at most.
const BLOCKS: u32 = 1_000;
/// Requests reserved at once at most.
const BLOCK_MAX: u32 = 64;

/// Says what time it is.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The day's limit and window of one destination, for one holder of its lease.
pub struct Quota {
    per_day: Option<u32>,
    window: Option<DayWindow>,
    clock: Arc<dyn Clock>,
    block: Mutex<Block>,
}

#[derive(Debug, Default)]
struct Block {
    day: Option<Date>,
    left: u32,
    /// No more can be reserved for that day.
    exhausted: bool,
}

/// Why no request may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaClosed {
    /// Not for so long.
    For(Duration),
    /// Reserve up to `count` requests of the day, say so with [`Quota::reserved`], and ask again.
    Reserve { day: Date, count: u32 },
}

/// The right to send one request on the day it was drawn for; unspent it goes back when dropped.
pub struct Ticket<'a> {
    quota: &'a Quota,
    day: Date,
    spent: bool,
}

impl Quota {
    pub fn new(limits: &DestinationLimits, clock: Arc<dyn Clock>) -> Quota {
        Quota {
            per_day: limits.requests_per_day,
            window: limits.window,
            clock,
            block: Mutex::default(),
        }
    }

    /// Whether requests may leave now; each draws its own later.
    ///
    /// # Errors
    /// None may; why.
    pub fn check(&self) -> Result<(), QuotaClosed> {
        let now = self.local();
        let block = self.block();
        let day = self.open(now, &block)?;
        if self.per_day.is_some() {
            self.drawable(&block, day)
        } else {
            Ok(())
        }
    }

    /// Draws one request of today.
    ///
    /// # Errors
    /// There is none; why.
    pub fn take(&self) -> Result<Ticket<'_>, QuotaClosed> {
        let now = self.local();
        let mut block = self.block();
        let day = self.open(now, &block)?;
        if self.per_day.is_some() {
            self.drawable(&block, day)?;
            block.left -= 1;
        }
        Ok(Ticket {
            quota: self,
            day,
            spent: false,
        })
    }

    /// So many requests of `day` were reserved; none means that the day has no more.
    pub fn reserved(&self, day: Date, granted: u32) {
        let mut block = self.block();
        if block.day != Some(day) {
            *block = Block {
                day: Some(day),
                left: 0,
                exhausted: false,
            };
        }
        block.left += granted;
        block.exhausted = granted == 0;
    }

    /// What was reserved and not drawn, to be given back; it is no longer ours.
    pub fn unused(&self) -> Option<(Date, u32)> {
        let block = std::mem::take(&mut *self.block());
        block
            .day
            .filter(|_| block.left > 0)
            .map(|day| (day, block.left))
    }

    fn drawable(&self, block: &Block, day: Date) -> Result<(), QuotaClosed> {
        let count = self
            .per_day
            .map_or(1, |per_day| (per_day / BLOCKS).clamp(1, BLOCK_MAX));
        if block.day == Some(day) && block.left > 0 {
            Ok(())
        } else {
            Err(QuotaClosed::Reserve { day, count })
        }
    }

    /// The day requests that leave now count for.
    fn open(&self, now: DateTime, block: &Block) -> Result<Date, QuotaClosed> {
        let exhausted = block.day.filter(|_| block.exhausted && block.left == 0);
        if self.allows(now) && exhausted != Some(now.date()) {
            return Ok(now.date());
        }
        Err(QuotaClosed::For(self.next(now, exhausted)))
    }

    /// How long until requests may leave again.
    fn next(&self, now: DateTime, exhausted: Option<Date>) -> Duration {
        let edges = [
            Some(Time::midnight()),
            self.window.map(|window| window.from),
        ];
        let days =
            (0..3).filter_map(|ahead| now.date().checked_add(jiff::Span::new().days(ahead)).ok());
        let starts = days.flat_map(|day| {
            edges
                .iter()
                .flatten()
                .map(move |edge| day.to_datetime(*edge))
        });
        let starts = starts.filter_map(|start| start.checked_add(GUARD).ok());
        let open = starts
            .filter(|start| *start > now && self.allows(*start) && exhausted != Some(start.date()))
            .min();
        let wait = open.and_then(|open| Duration::try_from(now.duration_until(open)).ok());
        // Between any three days there is an opening; should arithmetic fail, ask again in a minute.
        wait.unwrap_or(Duration::from_secs(60))
    }

    fn allows(&self, at: DateTime) -> bool {
        let (Ok(before), Ok(after)) = (at.checked_sub(GUARD), at.checked_add(GUARD)) else {
            return false;
        };
        let same_day = self.per_day.is_none() || before.date() == after.date();
        same_day
            && self
                .window
                .is_none_or(|window| inside(window, before.time()) && inside(window, after.time()))
    }

    fn local(&self) -> DateTime {
        self.clock.now().to_zoned(shanghai()).datetime()
    }

    fn block(&self) -> MutexGuard<'_, Block> {
        // Every change keeps the block whole, so what a panicking holder left can be used.
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Spends it on a request that leaves now; `false` when that is no longer allowed.
    #[must_use]
    pub fn spend(mut self) -> bool {
        let now = self.quota.local();
        let valid =
            self.quota.allows(now) && (self.quota.per_day.is_none() || now.date() == self.day);
        self.spent = valid;
        valid
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut block = self.quota.block();
        if !self.spent && self.quota.per_day.is_some() && block.day == Some(self.day) {
            block.left += 1;
        }
    }
}

/// Asia/Shanghai, which has had no summer time since 1991.
fn shanghai() -> tz::TimeZone {
    tz::TimeZone::fixed(tz::Offset::constant(8))
}

fn inside(window: DayWindow, time: Time) -> bool {
    if window.from < window.to {
        window.from <= time && time < window.to
    } else {
        window.from <= time || time < window.to
    }
}

#[cfg(test)]
mod tests;
