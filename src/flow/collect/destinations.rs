//! Which partners are told of a packet's lines, in which ranges.
//!
//! Decides ranges, not contents: what is sent is rendered when it is sent.

use crate::ledger::Fund;
use crate::model::lines::Paid;

/// A partner that receives contributions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub partner: String,
    /// The adapter's outbound message.
    pub message: String,
    pub records_max: u32,
    /// The fund it is told about; lines that bring that fund nothing are left out.
    pub fund: Fund,
}

/// Consecutive records for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Position in the list of destinations.
    pub destination: usize,
    pub first: i32,
    pub last: i32,
    pub lines: i32,
    pub fen: i64,
}

/// Builds the ranges of every destination while lines pass.
pub struct Ranges<'a> {
    destinations: &'a [Destination],
    open: Vec<Option<Range>>,
    done: Vec<Range>,
}

impl<'a> Ranges<'a> {
    pub fn new(destinations: &'a [Destination]) -> Ranges<'a> {
        Ranges { destinations, open: vec![None; destinations.len()], done: Vec::new() }
    }

    /// Adds a line to the destinations it concerns; `None` when a sum leaves `i64`.
    pub fn add(&mut self, record: i32, paid: &Paid) -> Option<()> {
        for (at, destination) in self.destinations.iter().enumerate() {
            let amount = share(destination.fund, paid);
            if amount == 0 {
                continue;
            }
            let range = self.open[at].get_or_insert(Range { destination: at, first: record, last: record, lines: 0, fen: 0 });
            range.last = record;
            range.lines += 1;
            range.fen = range.fen.checked_add(amount)?;
            if range.lines.unsigned_abs() >= destination.records_max {
                self.done.extend(self.open[at].take());
            }
        }
        Some(())
    }

    /// Every range, in order of its first record.
    pub fn finish(mut self) -> Vec<Range> {
        self.done.extend(self.open.into_iter().flatten());
        self.done.sort_by_key(|range| (range.first, range.destination));
        self.done
    }
}

/// What a fund gets of a line (fen).
pub fn share(fund: Fund, paid: &Paid) -> i64 {
    match fund {
        Fund::Medical => paid.medical.0,
        Fund::LongTermCare => paid.long_term_care.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fen;

    fn destination(records_max: u32, fund: Fund) -> Destination {
        Destination { partner: "core".into(), message: "contributions".into(), records_max, fund }
    }

    #[test]
    fn a_destination_gets_ranges_of_its_size_and_only_lines_that_concern_it() {
        let destinations = [destination(2, Fund::Medical), destination(10, Fund::LongTermCare)];
        let mut ranges = Ranges::new(&destinations);
        for (record, medical, care) in [(1, 100, 3), (3, 50, 0), (4, -20, -1)] {
            ranges.add(record, &Paid { medical: Fen(medical), long_term_care: Fen(care), ..Paid::default() }).expect("small");
        }
        let range = |destination, first, last, lines, fen| Range { destination, first, last, lines, fen };
        assert_eq!(ranges.finish(), [range(0, 1, 3, 2, 150), range(1, 1, 4, 2, 2), range(0, 4, 4, 1, -20)]);
    }
}
