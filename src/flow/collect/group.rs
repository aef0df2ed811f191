//! Group commit: small packets that arrive together are written in one transaction.
//!
//! A commit waits for the disk; sixteen senders with one line each need not wait sixteen times.
//! Each packet is still all or nothing and its reply still follows the commit. When one of the
//! group turns out to be a repeat, or has to wait for another transaction, nothing is written and every
//! member goes its own way.
//!
//! Packets are split as if nothing were stored of their histories, and the statement fails when there was. Then what is
//! stored is looked up for all of them at once; those it concerns are told and read again on top of it, the others are
//! written. After that groups look first for a while, so that a month of refunds does not fail them one by one. Packets of
//! one history never go together nor at once: the second waits for the first.
//!
//! Nobody waits for company: the first packet that finds no write under way starts one at once, on
//! its own thread; those that come meanwhile go together. When enough have come they are sent behind
//! the write under way, on the same connection, so that the server need not wait for us.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::PostError;
use crate::error::{Fault, Stage};
use crate::store::Store;
use crate::store::collect::PacketRows;
use crate::store::history::StoredHistory;

/// Packets one transaction takes at most.
const MEMBERS_MAX: usize = 64;
/// Histories one transaction changes at most; a packet with more goes alone.
const KEYS_MAX: usize = 4_096;
/// Groups sent and not answered yet, at most.
const UNDER_WAY_MAX: usize = 2;
/// Packets that make a group behind another. Fewer had better wait for company, since a statement costs as
/// much as several packets: with 16 senders 7.9 thousand packets a second, 7.5 with groups of any size.
const BEHIND_MIN: usize = 5;

/// Groups that look first after one was found to be wrong about what is stored.
const LOOK_FIRST: u32 = 32;

/// The packets waiting to be written.
#[derive(Clone)]
pub struct Group {
    store: Store,
    waiting: Arc<Mutex<Waiting>>,
}

/// What became of a packet.
pub enum GroupOutcome {
    Written,
    /// Not written: these histories of its keys are stored, and it was not split on top of them.
    Histories(Vec<StoredHistory>),
}

#[derive(Default)]
struct Waiting {
    members: Vec<Member>,
    /// Committers at work; one of them will come for the members.
    committers: usize,
    /// Keys of histories that are being written.
    under_way: HashSet<i64>,
    /// Groups that are still to look before they write.
    look_first: u32,
}

struct Member {
    rows: PacketRows,
    /// Keys of its histories with the last number it believes to be stored.
    keys: Vec<(i64, i32)>,
    /// It waited for another packet of its histories, so it will be wrong about them.
    waited: bool,
    done: oneshot::Sender<Result<GroupOutcome, PostError>>,
}

/// Writes groups, one after the other, until nobody waits or another committer comes for those who do.
struct Committer {
    group: Group,
    at_work: bool,
    /// Keys of the group being written.
    keys: Vec<i64>,
}

impl Group {
    pub fn new(store: &Store) -> Group {
        Group {
            store: store.clone(),
            waiting: Arc::default(),
        }
    }

    /// Writes a packet, perhaps together with others; returns once it is durable, or what it has to be
    /// split on top of. `keys` are those of its histories with the last number it believes to be stored.
    /// `NumberTaken` only says that somebody of the group was a repeat or would have waited: the packet
    /// has to be posted on its own.
    pub async fn commit(
        &self,
        rows: PacketRows,
        keys: Vec<(i64, i32)>,
    ) -> Result<GroupOutcome, PostError> {
        let (done, outcome) = oneshot::channel();
        if let Some(committer) = self.join(Member {
            rows,
            keys,
            waited: false,
            done,
        }) {
            // A task of its own: it has to outlive this request when the sender hangs up.
            tokio::spawn(committer.run());
        }
        let stopped = |_| {
            PostError::Failed(Fault::later(
                Stage::Store,
                "the gateway is stopping; send again",
            ))
        };
        outcome.await.map_err(stopped)?
    }

    /// Queues a packet; a committer to be run, unless those at work are enough.
    fn join(&self, member: Member) -> Option<Committer> {
        let mut waiting = self.lock();
        waiting.members.push(member);
        if waiting.committers == UNDER_WAY_MAX || waiting.members.len() < waiting.members_min() {
            return None;
        }
        waiting.committers += 1;
        Some(Committer {
            group: self.clone(),
            at_work: true,
            keys: Vec::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a group: at most once without looking, once after having looked.
    async fn write(&self, mut members: Vec<Member>, mut look: bool) {
        loop {
            if look {
                members = match self.tell_stored(members).await {
                    Ok(members) if members.is_empty() => return,
                    Ok(members) => members,
                    Err(()) => return,
                };
            }
            match self.write_at_once(&mut members).await {
                Err(PostError::HistoryTaken) if !look => {
                    self.lock().look_first = LOOK_FIRST;
                    look = true;
                }
                outcome => return tell(members, &outcome),
            }
        }
    }

    async fn write_at_once(&self, members: &mut [Member]) -> Result<(), PostError> {
        let mut all = PacketRows::default();
        for member in members {
            all.append(&mut member.rows)?;
        }
        self.store.write_group(all).await
    }

    /// Tells those who are wrong about what is stored; the others are left.
    async fn tell_stored(&self, members: Vec<Member>) -> Result<Vec<Member>, ()> {
        let keys: Vec<i64> = members
            .iter()
            .flat_map(|member| &member.keys)
            .map(|(key, _)| *key)
            .collect();
        let stored = match self.store.histories(&keys).await {
            Ok(stored) => stored,
            Err(fault) => {
                tell(members, &Err(PostError::Failed(fault)));
                return Err(());
            }
        };
        let mut last: HashMap<i64, i32> = HashMap::new();
        for history in &stored {
            let no = last.entry(history.id.key()).or_default();
            *no = history.last_no.max(*no);
        }
        let (right, wrong): (Vec<Member>, Vec<Member>) = members.into_iter().partition(|member| {
            member
                .keys
                .iter()
                .all(|(key, no)| last.get(key).copied().unwrap_or_default() == *no)
        });
        if !wrong.is_empty() {
            self.lock().look_first = LOOK_FIRST;
        }
        for member in wrong {
            let its = stored
                .iter()
                .filter(|history| member.keys.iter().any(|(key, _)| *key == history.id.key()))
                .cloned()
                .collect();
            let _ = member.done.send(Ok(GroupOutcome::Histories(its)));
        }
        Ok(right)
    }
}

impl Waiting {
    /// How many have to wait to be written now, with so many other committers at work.
    fn members_min(&self) -> usize {
        if self.committers == 0 { 1 } else { BEHIND_MIN }
    }

    /// Takes those who have waited longest and share no history with each other or with what is under way;
    /// none when they are too few. Whether they had better look first.
    fn take_group(&mut self) -> Option<(Vec<Member>, Vec<i64>, bool)> {
        let mut taken = HashSet::new();
        let mut free = vec![false; self.members.len()];
        for (member, free) in self.members.iter_mut().zip(&mut free) {
            let shares = member
                .keys
                .iter()
                .any(|(key, _)| taken.contains(key) || self.under_way.contains(key));
            member.waited |= shares;
            *free = !shares && taken.len() < KEYS_MAX;
            // Also of one that stays: those behind it with the same history stay behind it.
            taken.extend(member.keys.iter().map(|(key, _)| *key));
        }
        let count = free.iter().filter(|free| **free).count().min(MEMBERS_MAX);
        if count < self.members_min() {
            return None;
        }
        let mut group = Vec::with_capacity(count);
        for (member, free) in std::mem::take(&mut self.members).into_iter().zip(free) {
            let to = if free && group.len() < MEMBERS_MAX {
                &mut group
            } else {
                &mut self.members
            };
            to.push(member);
        }
        let keys: Vec<i64> = group
            .iter()
            .flat_map(|member| &member.keys)
            .map(|(key, _)| *key)
            .collect();
        self.under_way.extend(&keys);
        let look = self.look_first > 0 || group.iter().any(|member| member.waited);
        self.look_first = self.look_first.saturating_sub(1);
        Some((group, keys, look))
    }

    /// The group of these keys is written.
    fn release(&mut self, keys: &mut Vec<i64>) {
        for key in keys.drain(..) {
            self.under_way.remove(&key);
        }
    }
}

impl Committer {
    async fn run(mut self) {
        while let Some((members, look)) = self.next() {
            self.group.write(members, look).await;
        }
    }

    /// The next group. Under one lock with the end of the committer: whoever joins afterwards sees that
    /// it is gone and starts another.
    fn next(&mut self) -> Option<(Vec<Member>, bool)> {
        let mut waiting = self.group.lock();
        waiting.release(&mut self.keys);
        waiting.committers -= 1;
        let Some((members, keys, look)) = waiting.take_group() else {
            self.at_work = false;
            return None;
        };
        waiting.committers += 1;
        self.keys = keys;
        Some((members, look))
    }
}

impl Drop for Committer {
    /// A committer that was cut off: those who wait with nobody left to write them are told.
    fn drop(&mut self) {
        if self.at_work {
            let mut waiting = self.group.lock();
            waiting.release(&mut self.keys);
            waiting.committers -= 1;
            if waiting.committers == 0 {
                waiting.members.clear();
            }
        }
    }
}

/// Tells all members what became of them.
fn tell(members: Vec<Member>, outcome: &Result<(), PostError>) {
    for member in members {
        // Nobody waiting any more is fine: the sender will ask again and get the saved reply.
        let _ = member.done.send(match outcome {
            Ok(()) => Ok(GroupOutcome::Written),
            Err(PostError::Failed(fault)) => Err(PostError::Failed(fault.clone())),
            Err(PostError::NumberTaken | PostError::DetailTaken | PostError::HistoryTaken) => {
                Err(PostError::NumberTaken)
            }
        });
    }
}
