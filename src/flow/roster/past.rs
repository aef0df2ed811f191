//! Lines of a roster that hold from a month whose deductions have run: what becomes of them.
//!
//! Nothing that ran is computed again, so such a line counts from the first month that has not run.
//! Its sender is told, since it may have meant otherwise.

use super::head::RosterHead;
use crate::flow::intake::ListedNote;
use crate::model::Month;
use crate::store::collect::{PacketTransaction, PostError};

/// What a roster says of months that have run.
#[derive(Debug, Default)]
pub struct Past {
    /// Lines taken that hold from such a month.
    pub lines: i32,
    /// The first of them, in order.
    pub notes: Vec<ListedNote>,
    /// Such months from the roster's own on, of a full roster: who left from it was asked in them.
    left_in: Vec<Month>,
}

/// Looks at the lines that were taken.
pub(super) async fn look(
    posting: &PacketTransaction,
    head: &RosterHead,
    limit: usize,
) -> Result<Past, PostError> {
    let ran = posting.months_deducted(head.division.number()).await?;
    let Some(latest) = ran.last() else {
        return Ok(Past::default());
    };
    let (lines, count) = posting.people_from(*latest, limit).await?;
    let note = |(record, from): &(i32, Month)| ListedNote {
        index: u64::from(record.unsigned_abs()),
        text: becomes(*from, since(&ran, *from)),
    };
    let left_in = if head.kind.is_full() {
        since(&ran, head.month).to_vec()
    } else {
        Vec::new()
    };
    Ok(Past {
        lines: count,
        notes: lines.iter().map(note).collect(),
        left_in,
    })
}

impl Past {
    /// What is added to the notice; nothing where no such month is concerned.
    pub fn notice(&self, left: i32) -> String {
        let mut notice = String::new();
        if self.lines > 0 {
            notice += &format!(
                "；自已扣款月份起生效 {0} 条，见 notes；{0} lines hold from a month already deducted, see notes",
                self.lines
            );
        }
        if left > 0 && !self.left_in.is_empty() {
            let months = named(&self.left_in);
            notice += &format!(
                "；离开人员在{months}的扣款不退回；whoever left was asked in {months} all the same, and nothing is paid back by itself"
            );
        }
        notice
    }
}

/// The months that ran from one on.
fn since(ran: &[Month], from: Month) -> &[Month] {
    &ran[ran.partition_point(|month| *month < from)..]
}

fn becomes(from: Month, ran: &[Month]) -> String {
    let months = named(ran);
    format!(
        "自 {from} 起生效；{months} 已扣款，不再重算，自其后首个未扣款月份起计算；holds from {from}; {months} ran already and is not computed again: it counts from the first month that has not run"
    )
}

/// A few months one by one, many by first and last.
fn named(months: &[Month]) -> String {
    match months {
        [first, .., last] if months.len() > 3 => format!("{first} … {last}"),
        few => few
            .iter()
            .map(Month::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_that_ran_are_named_from_the_line_s_own_on() {
        let ran: Vec<Month> = (7..=12)
            .filter_map(|month| Month::new(2021, month))
            .collect();
        let from = |month| since(&ran, Month::new(2021, month).expect("a month"));
        assert_eq!(
            (named(from(11)), named(from(8)), from(1).len()),
            (
                "2021-11, 2021-12".to_owned(),
                "2021-08 … 2021-12".to_owned(),
                6
            )
        );
        assert!(becomes(ran[5], from(12)).ends_with("2021-12 ran already and is not computed again: it counts from the first month that has not run"));
    }
}
