//! Group commit: small packets that arrive together are written in one transaction.
//!
//! A commit waits for the disk; sixteen senders with one line each need not wait sixteen times.
//! Each packet is still all or nothing and its reply still follows the commit. When one of the
//! group turns out to be a repeat, nothing is written and every member goes its own way.

use tokio::sync::{Mutex, mpsc, oneshot};

use super::PostError;
use crate::error::{Fault, Stage};
use crate::store::Store;
use crate::store::collect::PacketRows;

use std::sync::Arc;

/// Packets one transaction takes at most.
const MEMBERS_MAX: usize = 64;
/// Transactions under way at once: while one waits for the disk the next is filled.
const COMMITTERS: usize = 2;

/// The queue in front of the committers.
#[derive(Clone)]
pub struct Group {
    queue: mpsc::Sender<Member>,
}

struct Member {
    rows: PacketRows,
    done: oneshot::Sender<Result<(), PostError>>,
}

impl Group {
    /// Starts the committers; they end when the last handle is dropped.
    pub fn start(store: &Store) -> Group {
        let (queue, members) = mpsc::channel(1024);
        let members = Arc::new(Mutex::new(members));
        for _ in 0..COMMITTERS {
            tokio::spawn(commit_groups(store.clone(), members.clone()));
        }
        Group { queue }
    }

    /// Writes a packet, together with others; returns once it is durable. `NumberTaken` only says
    /// that somebody of the group was a repeat: the packet has to be posted on its own.
    pub async fn commit(&self, rows: PacketRows) -> Result<(), PostError> {
        let (done, outcome) = oneshot::channel();
        let stopped = || PostError::Failed(Fault::later(Stage::Store, "the gateway is stopping; send again"));
        self.queue.send(Member { rows, done }).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

async fn commit_groups(store: Store, members: Arc<Mutex<mpsc::Receiver<Member>>>) {
    loop {
        let mut group = Vec::new();
        {
            let mut members = members.lock().await;
            if members.recv_many(&mut group, MEMBERS_MAX).await == 0 {
                return;
            }
        }
        let (rows, waiting): (Vec<_>, Vec<_>) = group.into_iter().map(|member| (member.rows, member.done)).unzip();
        let outcome = commit(&store, rows).await;
        for done in waiting {
            // Nobody waiting any more is fine: the sender will ask again and get the saved reply.
            let _ = done.send(same(&outcome));
        }
    }
}

async fn commit(store: &Store, members: Vec<PacketRows>) -> Result<(), PostError> {
    let mut all = PacketRows::default();
    for rows in members {
        all.append(rows)?;
    }
    store.write_packets(all).await
}

fn same(outcome: &Result<(), PostError>) -> Result<(), PostError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(PostError::Failed(fault)) => Err(PostError::Failed(fault.clone())),
        Err(PostError::NumberTaken | PostError::DetailTaken) => Err(PostError::NumberTaken),
    }
}
