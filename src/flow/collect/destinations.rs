//! Which partners are told of a packet's lines, in which ranges.
//!
//! Decides ranges, not contents: what is sent is rendered when it is sent.

use crate::ledger::{Fund, SplitRule};
use crate::model::lines::LineMoney;

/// A partner that receives contributions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundDestination {
    pub partner: String,
    /// The adapter's outbound message.
    pub message: String,
    pub records_max: u32,
    /// Pooling areas it is told of.
    pub areas: Vec<i32>,
    /// The fund it is told about; lines in which it has no part are left out.
    pub fund: Fund,
}

impl FundDestination {
    /// Whether it is told of a pooling area.
    pub fn takes(&self, area: i32) -> bool {
        self.areas.contains(&area)
    }
}

/// Consecutive records for one destination, all of one pooling area.
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
    destinations: &'a [FundDestination],
    open: Vec<Option<Open>>,
    done: Vec<Range>,
}

/// A range that may still grow.
#[derive(Clone)]
struct Open {
    area: i32,
    range: Range,
}

impl<'a> Ranges<'a> {
    pub fn new(destinations: &'a [FundDestination]) -> Ranges<'a> {
        Ranges {
            destinations,
            open: vec![None; destinations.len()],
            done: Vec::new(),
        }
    }

    /// Adds a line split by that rule to the destinations it concerns; `None` when a sum leaves `i64`.
    pub fn add(
        &mut self,
        (record, area): (i32, i32),
        paid: &LineMoney,
        rule: &SplitRule,
    ) -> Option<()> {
        for (at, destination) in self.destinations.iter().enumerate() {
            if !concerns(destination.fund, paid, Some(rule)) || !destination.takes(area) {
                continue;
            }
            let amount = share(destination.fund, paid);
            self.done.extend(
                self.open[at]
                    .take_if(|open| open.area != area)
                    .map(|open| open.range),
            );
            let range = Range {
                destination: at,
                first: record,
                last: record,
                lines: 0,
                fen: 0,
            };
            let range = &mut self.open[at].get_or_insert(Open { area, range }).range;
            range.last = record;
            range.lines += 1;
            range.fen = range.fen.checked_add(amount)?;
            if range.lines.unsigned_abs() >= destination.records_max {
                self.done
                    .extend(self.open[at].take().map(|open| open.range));
            }
        }
        Some(())
    }

    /// Every range, in order of its first record.
    pub fn finish(mut self) -> Vec<Range> {
        self.done
            .extend(self.open.into_iter().flatten().map(|open| open.range));
        self.done
            .sort_by_key(|range| (range.first, range.destination));
        self.done
    }
}

/// What a fund gets of a line (fen).
pub fn share(fund: Fund, paid: &LineMoney) -> i64 {
    match fund {
        Fund::Medical => paid.medical.0,
        Fund::LongTermCare => paid.long_term_care.0,
    }
}

/// Whether a fund's partner is told of a line: not where the rule it was split by gives the fund no part of it, so
/// nothing before long-term care insurance began is told to the LTC system; but of 0.00 where the part is rounded away.
/// Of lines whose rule is nowhere kept any more, those that bring the fund something.
pub fn concerns(fund: Fund, paid: &LineMoney, rule: Option<&SplitRule>) -> bool {
    share(fund, paid) != 0 || rule.is_some_and(|rule| rule.splits_to(fund, &paid.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Recipient;
    use crate::model::Fen;

    const RULE: SplitRule = SplitRule {
        whole: 69_500,
        parts: [68_000, 1_500],
        remainder: Fund::Medical,
        late_fee_to: Recipient::Medical,
        interest_to: Recipient::Medical,
        employee_paid_to: Fund::Medical,
    };

    fn destination(records_max: u32, fund: Fund) -> FundDestination {
        FundDestination {
            partner: "core".into(),
            message: "contributions".into(),
            records_max,
            areas: vec![450_100, 450_200],
            fund,
        }
    }

    #[test]
    fn a_destination_gets_ranges_of_its_size_and_only_lines_that_concern_it() {
        let destinations = [
            destination(2, Fund::Medical),
            destination(10, Fund::LongTermCare),
        ];
        let mut ranges = Ranges::new(&destinations);
        for (record, medical, care) in [(1, 100, 3), (3, 50, 0), (4, -20, -1)] {
            ranges
                .add(
                    (record, 450_100),
                    &LineMoney {
                        medical: Fen(medical),
                        long_term_care: Fen(care),
                        ..LineMoney::default()
                    },
                    &RULE,
                )
                .expect("small");
        }
        let range = |destination, first, last, lines, fen| Range {
            destination,
            first,
            last,
            lines,
            fen,
        };
        assert_eq!(
            ranges.finish(),
            [
                range(0, 1, 3, 2, 150),
                range(1, 1, 4, 2, 2),
                range(0, 4, 4, 1, -20)
            ]
        );
    }

    #[test]
    fn a_part_that_rounds_to_nothing_is_told_and_a_line_without_a_part_is_not() {
        let destinations = [destination(10, Fund::LongTermCare)];
        let before = SplitRule {
            whole: 68_000,
            parts: [68_000, 0],
            ..RULE
        };
        let mut ranges = Ranges::new(&destinations);
        let paid = LineMoney {
            employer: Fen(1),
            medical: Fen(1),
            ..LineMoney::default()
        };
        for (record, paid, rule) in [
            (1, paid, &before),
            (2, paid, &RULE),
            (
                3,
                LineMoney {
                    late_fee: Fen(1),
                    medical: Fen(1),
                    ..LineMoney::default()
                },
                &RULE,
            ),
            (4, paid.negated(), &RULE),
            (5, LineMoney::default(), &RULE),
        ] {
            ranges.add((record, 450_100), &paid, rule).expect("small");
        }
        assert_eq!(
            ranges.finish(),
            [Range {
                destination: 0,
                first: 2,
                last: 4,
                lines: 2,
                fen: 0
            }]
        );
    }

    #[test]
    fn a_range_is_of_one_area_and_nobody_is_told_of_another_citys() {
        let destinations = [
            destination(10, Fund::Medical),
            FundDestination {
                areas: vec![450_100],
                ..destination(10, Fund::Medical)
            },
        ];
        let mut ranges = Ranges::new(&destinations);
        for (record, area) in [(1, 450_100), (2, 450_200), (3, 450_100), (4, 500_100)] {
            ranges
                .add(
                    (record, area),
                    &LineMoney {
                        medical: Fen(10),
                        ..LineMoney::default()
                    },
                    &RULE,
                )
                .expect("small");
        }
        let range = |destination, first, last, lines| Range {
            destination,
            first,
            last,
            lines,
            fen: 10 * i64::from(lines),
        };
        assert_eq!(
            ranges.finish(),
            [
                range(0, 1, 1, 1),
                range(1, 1, 3, 2),
                range(0, 2, 2, 1),
                range(0, 3, 3, 1)
            ]
        );
    }
}
