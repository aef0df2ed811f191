//! What a simulated partner took: totals, and the references it recognises repeats by.
//!
//! One small entry a batch, none a line.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use crate::model::Fen;

/// Lines and money of one district.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct District {
    pub lines: i64,
    pub fen: Fen,
}

/// Everything taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceivedTotals {
    pub batches: u64,
    pub lines: i64,
    /// Sum of the amounts as received, the LTC or the medical part.
    pub fen: Fen,
    /// Of the lines, those that take earlier ones back.
    pub reversed: District,
    /// By six-digit district.
    pub districts: BTreeMap<String, District>,
}

/// A batch whose every line was checked.
#[derive(Debug, Default)]
pub struct ReceivedBatch {
    pub number: String,
    /// The batch whose lines it takes back.
    pub reverses: Option<String>,
    /// District and amount of each line.
    pub lines: Vec<(String, Fen)>,
}

/// What became of an attempt to enter a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchEntry {
    New,
    /// The same content under the same reference.
    Again,
    /// The reference was used for other content.
    Conflict,
    /// The batch is known under another reference.
    Known,
    /// What it takes back never came; nothing was entered.
    NothingToReverse,
    /// The sums no longer fit; nothing was entered.
    Overflow,
}

/// The first bytes of a SHA-256: enough to tell batches apart.
type Short = [u8; 16];

#[derive(Debug, Default)]
pub struct PartnerBooks {
    totals: ReceivedTotals,
    /// Digest of the content, by reference.
    taken: HashMap<Short, Short>,
    /// Batch numbers taken.
    batches: std::collections::HashSet<Short>,
}

impl PartnerBooks {
    pub fn totals(&self) -> &ReceivedTotals {
        &self.totals
    }

    /// Whether something was taken under the reference.
    pub fn has(&self, reference: &str) -> bool {
        self.taken.contains_key(&short(reference.as_bytes()))
    }

    /// What entering would meet with, were the batch in order; changes nothing.
    pub fn known(&self, reference: &str, content: &[u8]) -> Option<BatchEntry> {
        let taken = self.taken.get(&short(reference.as_bytes()))?;
        Some(if *taken == short(content) {
            BatchEntry::Again
        } else {
            BatchEntry::Conflict
        })
    }

    /// Enters a batch whole, or not at all.
    pub fn enter(&mut self, reference: &str, content: &[u8], batch: &ReceivedBatch) -> BatchEntry {
        if let Some(known) = self.known(reference, content) {
            return known;
        }
        let number = short(batch.number.as_bytes());
        if self.batches.contains(&number) {
            return BatchEntry::Known;
        }
        if batch
            .reverses
            .as_ref()
            .is_some_and(|number| !self.batches.contains(&short(number.as_bytes())))
        {
            return BatchEntry::NothingToReverse;
        }
        let Some(totals) = self.totals.with(batch) else {
            return BatchEntry::Overflow;
        };
        self.totals = totals;
        self.batches.insert(number);
        self.taken
            .insert(short(reference.as_bytes()), short(content));
        BatchEntry::New
    }
}

impl ReceivedTotals {
    fn with(&self, batch: &ReceivedBatch) -> Option<ReceivedTotals> {
        let mut totals = self.clone();
        totals.batches += 1;
        for (district, fen) in &batch.lines {
            totals.lines += 1;
            totals.fen = totals.fen.checked_add(*fen)?;
            let entry = totals.districts.entry(district.clone()).or_default();
            entry.lines += 1;
            entry.fen = entry.fen.checked_add(*fen)?;
            if batch.reverses.is_some() {
                totals.reversed.lines += 1;
                totals.reversed.fen = totals.reversed.fen.checked_add(*fen)?;
            }
        }
        Some(totals)
    }
}

fn short(bytes: &[u8]) -> Short {
    let digest = Sha256::digest(bytes);
    let mut short = Short::default();
    short.copy_from_slice(&digest[..16]);
    short
}
