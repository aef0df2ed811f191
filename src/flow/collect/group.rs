//! Group commit: small packets that arrive together are written in one transaction.
//!
//! A commit waits for the disk; sixteen senders with one line each need not wait sixteen times.
//! Each packet is still all or nothing and its reply still follows the commit. When one of the
//! group turns out to be a repeat, or has to wait for another transaction, nothing is written and every
//! member goes its own way.
//!
//! Nobody waits for company: the first packet that finds no write under way starts one at once, on
//! its own thread; those that come meanwhile go together. When enough have come they are sent behind
//! the write under way, on the same connection, so that the server need not wait for us.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::PostError;
use crate::error::{Fault, Stage};
use crate::store::Store;
use crate::store::collect::PacketRows;

/// Packets one transaction takes at most.
const MEMBERS_MAX: usize = 64;
/// Groups sent and not answered yet, at most.
const UNDER_WAY_MAX: usize = 2;
/// Packets that make a group behind another. Fewer had better wait for company, since a statement costs as
/// much as several packets: with 16 senders 7.9 thousand packets a second, 7.5 with groups of any size.
const BEHIND_MIN: usize = 5;

/// The packets waiting to be written.
#[derive(Clone)]
pub struct Group {
    store: Store,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    members: Vec<Member>,
    /// Committers at work; one of them will come for the members.
    committers: usize,
}

struct Member {
    rows: PacketRows,
    done: oneshot::Sender<Result<(), PostError>>,
}

/// Writes groups, one after the other, until nobody waits or another committer comes for those who do.
struct Committer {
    group: Group,
    at_work: bool,
}

impl Group {
    pub fn new(store: &Store) -> Group {
        Group { store: store.clone(), waiting: Arc::default() }
    }

    /// Writes a packet, perhaps together with others; returns once it is durable. `NumberTaken` only
    /// says that somebody of the group was a repeat or would have waited: the packet has to be posted on its own.
    pub async fn commit(&self, rows: PacketRows) -> Result<(), PostError> {
        let (done, outcome) = oneshot::channel();
        if let Some(committer) = self.join(Member { rows, done }) {
            // A task of its own: it has to outlive this request when the sender hangs up.
            tokio::spawn(committer.run());
        }
        let stopped = |_| PostError::Failed(Fault::later(Stage::Store, "the gateway is stopping; send again"));
        outcome.await.map_err(stopped)?
    }

    /// Queues a packet; a committer to be run, unless those at work are enough.
    fn join(&self, member: Member) -> Option<Committer> {
        let mut waiting = self.lock();
        waiting.members.push(member);
        if waiting.committers == UNDER_WAY_MAX || !waiting.make_a_group() {
            return None;
        }
        waiting.committers += 1;
        Some(Committer { group: self.clone(), at_work: true })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Whether those who wait are to be written now, with so many other committers at work.
    fn make_a_group(&self) -> bool {
        self.members.len() >= if self.committers == 0 { 1 } else { BEHIND_MIN }
    }
}

impl Committer {
    async fn run(mut self) {
        while let Some(members) = self.next() {
            let (rows, waiting): (Vec<_>, Vec<_>) = members.into_iter().map(|member| (member.rows, member.done)).unzip();
            let outcome = commit(&self.group.store, rows).await;
            for done in waiting {
                // Nobody waiting any more is fine: the sender will ask again and get the saved reply.
                let _ = done.send(same(&outcome));
            }
        }
    }

    /// The packets that have waited longest. Under one lock with the end of the committer: whoever
    /// joins afterwards sees that it is gone and starts another.
    fn next(&mut self) -> Option<Vec<Member>> {
        let mut waiting = self.group.lock();
        waiting.committers -= 1;
        if !waiting.make_a_group() {
            self.at_work = false;
            return None;
        }
        waiting.committers += 1;
        let count = waiting.members.len().min(MEMBERS_MAX);
        Some(waiting.members.drain(..count).collect())
    }
}

impl Drop for Committer {
    /// A committer that was cut off: those who wait with nobody left to write them are told.
    fn drop(&mut self) {
        if self.at_work {
            let mut waiting = self.group.lock();
            waiting.committers -= 1;
            if waiting.committers == 0 {
                waiting.members.clear();
            }
        }
    }
}

async fn commit(store: &Store, members: Vec<PacketRows>) -> Result<(), PostError> {
    let mut members = members.into_iter();
    let mut all = members.next().unwrap_or_default();
    for rows in members {
        all.append(rows)?;
    }
    store.write_group(all).await
}

fn same(outcome: &Result<(), PostError>) -> Result<(), PostError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(PostError::Failed(fault)) => Err(PostError::Failed(fault.clone())),
        Err(PostError::NumberTaken | PostError::DetailTaken) => Err(PostError::NumberTaken),
    }
}
