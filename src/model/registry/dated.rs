//! Statuses with dates: what is in force on a day, and when that changes next.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A status from one day to another, both included; without `to` until further notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatedStatus<S> {
    pub status: S,
    #[serde(deserialize_with = "crate::model::day::deserialize")]
    pub from: Date,
    #[serde(
        default,
        deserialize_with = "crate::model::day::deserialize_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<Date>,
}

impl<S> DatedStatus<S> {
    /// Whether it covers the day.
    pub fn covers(&self, on: Date) -> bool {
        self.from <= on && self.to.is_none_or(|to| on <= to)
    }
}

/// The status in force on a day: of those that cover it the one that began last, so that a
/// suspension stands over what it suspends and what was before returns after it. Of two that
/// began on the same day the later in the list counts.
pub fn in_force<S: Copy>(statuses: &[DatedStatus<S>], on: Date) -> Option<S> {
    statuses
        .iter()
        .filter(|dated| dated.covers(on))
        .max_by_key(|dated| dated.from)
        .map(|dated| dated.status)
}

/// The first day after `after` on which one of them begins or has ended.
pub fn first_change_after<S>(statuses: &[DatedStatus<S>], after: Date) -> Option<Date> {
    let ended = |to: Option<Date>| to.and_then(|to| to.tomorrow().ok());
    statuses
        .iter()
        .flat_map(|dated| [Some(dated.from), ended(dated.to)])
        .flatten()
        .filter(|day| *day > after)
        .min()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn statuses() -> Vec<DatedStatus<u8>> {
        vec![
            DatedStatus {
                status: 1,
                from: date(2026, 1, 1),
                to: None,
            },
            DatedStatus {
                status: 2,
                from: date(2026, 3, 1),
                to: Some(date(2026, 5, 31)),
            },
        ]
    }

    #[test]
    fn a_suspension_stands_over_what_it_suspends_and_gives_way_to_it_after_its_last_day() {
        for (day, expected) in [
            (date(2025, 12, 31), None),
            (date(2026, 1, 1), Some(1)),
            (date(2026, 2, 28), Some(1)),
            (date(2026, 3, 1), Some(2)),
            (date(2026, 5, 31), Some(2)),
            (date(2026, 6, 1), Some(1)),
        ] {
            assert_eq!(in_force(&statuses(), day), expected, "{day}");
        }
    }

    #[test]
    fn the_next_change_is_the_first_day_of_a_status_or_the_day_after_its_last() {
        for (after, expected) in [
            (date(2025, 12, 31), Some(date(2026, 1, 1))),
            (date(2026, 1, 1), Some(date(2026, 3, 1))),
            (date(2026, 3, 1), Some(date(2026, 6, 1))),
            (date(2026, 6, 1), None),
        ] {
            assert_eq!(
                first_change_after(&statuses(), after),
                expected,
                "after {after}"
            );
        }
    }
}
