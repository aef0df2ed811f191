//! The day's requests: drawn from what is reserved, reserved under the lease when that runs out.
//!
//! The reservation is durable before anything leaves, so a day never gets more than its limit,
//! whoever is killed. Nothing is sent from here.

use std::time::Duration;

use super::Term;
use crate::link::{QuotaClosed, Ticket};
use crate::store::delivery as store;

/// How long to wait when a reservation could not be made.
const AGAIN: Duration = Duration::from_secs(1);

impl Term {
    /// Whether the day and the hour allow requests now; else how long not.
    pub async fn open(&self) -> Result<(), Duration> {
        loop {
            match self.quota.check() {
                Ok(()) => return Ok(()),
                Err(closed) => self.reserve(closed).await?,
            }
        }
    }

    /// Draws one request of today; else how long there is none.
    pub async fn draw(&self) -> Result<Ticket<'_>, Duration> {
        loop {
            match self.quota.take() {
                Ok(ticket) => return Ok(ticket),
                Err(closed) => self.reserve(closed).await?,
            }
        }
    }

    /// Gives back what was reserved and not drawn; for the end of the term.
    pub async fn give_back_requests(&self) {
        let Some((day, count)) = self.quota.unused() else {
            return;
        };
        if let Err(fault) = store::unreserve(&self.pool, &self.lease, day, count).await {
            tracing::warn!(destination = %self.destination.name, count, "requests of today stay unused: {fault}");
        }
    }

    async fn reserve(&self, closed: QuotaClosed) -> Result<(), Duration> {
        let (day, count) = match closed {
            QuotaClosed::For(wait) => return Err(wait),
            QuotaClosed::Reserve { day, count } => (day, count),
        };
        let per_day = self.destination.limits.requests_per_day.unwrap_or(u32::MAX);
        match store::reserve(&self.pool, &self.lease, (day, per_day), count).await {
            Ok(granted) => {
                self.quota.reserved(day, granted);
                Ok(())
            }
            Err(fault) => {
                tracing::warn!(destination = %self.destination.name, "cannot reserve requests of the day: {fault}");
                Err(AGAIN)
            }
        }
    }
}
