//! The stories, one file each, read top to bottom. Here adapter, ledger, link and store meet.
//!
//! A flow decides what happens in which order; it holds no SQL, no partner's element names and no
//! rates of its own.

use std::sync::Arc;

use crate::adapter::Catalog;
use crate::config::Config;
use crate::ledger::RateBook;
use crate::store::Store;

pub mod collect; // a partner's packet becomes posted money
pub mod deliver; // one delivery: render, send, judge
pub mod inquire; // one delivery in doubt: ask before anything is sent again
pub mod trace; // where a line, packet or receipt went

/// What every flow works with: one per instance, immutable, cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub catalog: Arc<Catalog>,
    pub book: Arc<RateBook>,
    pub store: Store,
    pub destinations: Arc<[collect::Destination]>,
    pub group: collect::Group,
    /// Called after every commit that queued deliveries.
    pub queued: Arc<tokio::sync::Notify>,
}
