//! What one partner can take of this instance at once, and all together: requests, memory, disk, turns at work.
//!
//! Counts only what bodies take before anything is known of their content. A partner that has used up its share is told so;
//! what all share can be used up by several, and then each still has an eighth of its own share of requests and memory:
//! small packets of a partner that does nothing wrong always find room. Everything is given back when its guard is dropped,
//! whichever way that happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Receive;

mod disk; // the folder bodies wait in
pub use disk::{Disk, NoRoom, SpoolFile};

/// This part of a partner's share is its own, whatever others use.
const KEPT: u64 = 8;
/// Bodies of one partner written to the disk at once, and of all.
const WRITES: (usize, usize) = (4, 16);
/// Bodies of one partner being read from the disk at once, and of all: a JSON document takes several times its size then.
const LARGE: (usize, usize) = (4, 16);

/// Who has used up what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExhaustedShare {
    /// The partner its own share.
    Own,
    /// All together what there is.
    All,
}

/// Something countable that partners share.
#[derive(Debug)]
pub struct SharePool {
    own_max: u64,
    /// What each partner has whatever others use.
    own_kept: u64,
    all_max: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: u64,
    by: HashMap<Arc<str>, u64>,
}

/// So much of a pool, held by a partner; given back when dropped.
#[derive(Debug)]
pub struct ShareHold {
    pool: Arc<SharePool>,
    partner: Arc<str>,
    amount: u64,
}

impl SharePool {
    /// So much for one partner, so much for all; `kept` of it is each partner's own.
    pub fn new(own_max: u64, all_max: u64, own_kept: u64) -> Arc<SharePool> {
        Arc::new(SharePool {
            own_max,
            own_kept,
            all_max,
            used: Mutex::default(),
        })
    }

    /// Takes so much for a partner.
    ///
    /// # Errors
    /// It, or all together, have used up what there is.
    pub fn take(
        self: &Arc<SharePool>,
        partner: &Arc<str>,
        amount: u64,
    ) -> Result<ShareHold, ExhaustedShare> {
        let mut held = ShareHold {
            pool: self.clone(),
            partner: partner.clone(),
            amount: 0,
        };
        held.grow(amount)?;
        Ok(held)
    }

    /// What all partners hold now.
    pub fn used(&self) -> u64 {
        self.lock().all
    }

    /// Partners that hold something, with how much.
    pub fn by_partner(&self) -> Vec<(Arc<str>, u64)> {
        self.lock()
            .by
            .iter()
            .map(|(partner, amount)| (partner.clone(), *amount))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShareHold {
    /// Takes so much more.
    ///
    /// # Errors
    /// There is not so much; what was held stays held.
    pub fn grow(&mut self, more: u64) -> Result<(), ExhaustedShare> {
        if more == 0 {
            return Ok(());
        }
        let mut used = self.pool.lock();
        let own = used
            .by
            .get(&self.partner)
            .copied()
            .unwrap_or(0)
            .saturating_add(more);
        let all = used.all.saturating_add(more);
        if own > self.pool.own_max {
            return Err(ExhaustedShare::Own);
        }
        if all > self.pool.all_max && own > self.pool.own_kept {
            return Err(ExhaustedShare::All);
        }
        used.all = all;
        used.by.insert(self.partner.clone(), own);
        self.amount += more;
        Ok(())
    }

    /// Takes what is missing to so much.
    ///
    /// # Errors
    /// As [`ShareHold::grow`].
    pub fn reach(&mut self, amount: u64) -> Result<(), ExhaustedShare> {
        self.grow(amount.saturating_sub(self.amount))
    }

    /// Gives everything back before its end.
    pub fn release(&mut self) {
        let mut used = self.pool.lock();
        used.all -= self.amount;
        if let Some(own) = used.by.get_mut(&self.partner) {
            *own -= self.amount;
            if *own == 0 {
                used.by.remove(&self.partner);
            }
        }
        self.amount = 0;
    }
}

impl Drop for ShareHold {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.release();
        }
    }
}

/// Places for work that takes its time: some for each partner, some in all; whoever came first goes first.
#[derive(Debug)]
pub struct Turns {
    own: usize,
    all: Arc<Semaphore>,
    by: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// A turn; over when dropped.
#[derive(Debug)]
pub struct ShareTurn(#[expect(dead_code, reason = "held, not read")] [OwnedSemaphorePermit; 2]);

impl Turns {
    /// So many at once for one partner, so many for all.
    pub fn new(own: usize, all: usize) -> Turns {
        Turns {
            own: own.clamp(1, all.max(1)),
            all: Arc::new(Semaphore::new(all.max(1))),
            by: Mutex::default(),
        }
    }

    /// Waits for a partner's turn: first among its own, then among all, so that no more of it wait there than it may have.
    pub async fn wait(&self, partner: &str) -> ShareTurn {
        let own = {
            let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
            match by.get(partner) {
                Some(own) => own.clone(),
                // Partners are those of the configuration: they do not grow in number.
                None => by
                    .entry(partner.into())
                    .or_insert_with(|| Arc::new(Semaphore::new(self.own)))
                    .clone(),
            }
        };
        let own = own.acquire_owned().await.expect("nobody closes it");
        let all = self
            .all
            .clone()
            .acquire_owned()
            .await
            .expect("nobody closes it");
        ShareTurn([own, all])
    }
}

/// Everything that partners share of an instance; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shares {
    /// Requests under way.
    pub requests: Arc<SharePool>,
    /// Bytes of bodies in memory.
    pub memory: Arc<SharePool>,
    /// Where larger bodies wait.
    pub disk: Arc<Disk>,
    unpack: Arc<Turns>,
    write: Arc<Turns>,
    large: Arc<Turns>,
}

/// One partner's shares.
#[derive(Debug, Clone)]
pub struct Share {
    pub partner: Arc<str>,
    pub of: Shares,
}

impl Shares {
    /// As `[receive]` says.
    pub fn new(receive: &Receive) -> Shares {
        let pool = |own: u64, all: u64, kept: u64| SharePool::new(own, all, kept);
        let (requests, memory) = (
            receive.requests_per_partner_max,
            receive.held_bytes_per_partner_max,
        );
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Shares {
            requests: pool(requests, receive.requests_max, requests.div_ceil(KEPT)),
            memory: pool(memory, receive.held_bytes_max, memory.div_ceil(KEPT)),
            disk: Arc::new(Disk::new(receive)),
            // One is enough: what is unpacked is worked on in slices, and one partner's wait for one another.
            unpack: Arc::new(Turns::new(1, processors)),
            write: Arc::new(Turns::new(WRITES.0, WRITES.1)),
            large: Arc::new(Turns::new(LARGE.0, LARGE.1)),
        }
    }

    /// Those of one partner.
    pub fn of(&self, partner: &str) -> Share {
        Share {
            partner: partner.into(),
            of: self.clone(),
        }
    }
}

impl Share {
    /// A place for a request.
    ///
    /// # Errors
    /// There is none.
    pub fn request(&self) -> Result<ShareHold, ExhaustedShare> {
        self.of.requests.take(&self.partner, 1)
    }

    /// Nothing yet of the memory, to grow.
    pub fn memory(&self) -> ShareHold {
        ShareHold {
            pool: self.of.memory.clone(),
            partner: self.partner.clone(),
            amount: 0,
        }
    }

    /// A turn at unpacking, or else at writing.
    pub async fn turn(&self, unpacks: bool) -> ShareTurn {
        let turns = if unpacks {
            &self.of.unpack
        } else {
            &self.of.write
        };
        turns.wait(&self.partner).await
    }

    /// A turn for a body that is read from the disk.
    pub async fn large_body(&self) -> ShareTurn {
        self.of.large.wait(&self.partner).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_is_used_up_is_its_owner_s_and_others_keep_a_part_whatever_is_used() {
        let pool = SharePool::new(10, 15, 2);
        let [greedy, busy, small] = ["greedy", "busy", "small"].map(Arc::from);
        let all = pool.take(&greedy, 10).expect("its share");
        assert_eq!(pool.take(&greedy, 1).unwrap_err(), ExhaustedShare::Own);
        let mut part = pool.take(&busy, 5).expect("the rest");
        assert_eq!(part.grow(1).unwrap_err(), ExhaustedShare::All);
        let kept = pool.take(&small, 2).expect("what is its own");
        assert_eq!(pool.take(&small, 1).unwrap_err(), ExhaustedShare::All);
        assert_eq!(pool.used(), 17);
        drop((all, kept));
        part.grow(5).expect("what was given back");
        drop(part);
        assert_eq!((pool.used(), pool.by_partner()), (0, Vec::new()));
    }

    #[tokio::test]
    async fn one_partner_s_turns_leave_others_theirs() {
        let turns = Turns::new(1, 2);
        let first = turns.wait("greedy").await;
        let mut second = Box::pin(turns.wait("greedy"));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        let other = turns.wait("small").await;
        drop(first);
        drop((second.await, other));
    }
}
