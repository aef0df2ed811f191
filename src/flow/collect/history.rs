//! The payment histories of a packet's lines: each line is split by the total of its history so far.
//!
//! A packet that meets no stored history begins each at zero. The database lets no two lines take
//! the same place in a history, so if there was one after all the packet is read again on top of
//! what is stored. Takes 33 to 66 bytes a history; the only thing about a packet that grows with it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::line::LineFault;
use crate::flow::rates::Rates;
use crate::ledger::{CollectedMoney, EmployerRate, Fund, History, Parts, RateBook, SplitRule};
use crate::model::lines::{EmployerLine, LineMoney};
use crate::model::{Division, HistoryId};
use crate::store::history::StoredHistory;

/// The histories a packet's lines belong to.
#[derive(Default)]
pub struct Histories {
    states: HashMap<HistoryId, State>,
    /// Last numbers by key. Without, each history is numbered by itself: histories that happen to share a key then collide,
    /// and the packet is read again with numbers by key.
    by_key: Option<HashMap<i64, Numbers>>,
    /// Rules of stored histories that go on with another one than is in force now.
    rules: HashMap<HistoryId, Arc<NamedRule>>,
    /// Stored histories whose sums no rule can have led to: their lines are refused.
    beyond: HashSet<HistoryId>,
}

/// Sixteen bytes, since there may be a million.
#[derive(Clone, Copy, Default)]
struct State {
    history: History,
    lines: i32,
}

/// Of the lines of one key: the last number stored, and the last given out.
#[derive(Clone, Copy, Default)]
struct Numbers {
    stored: i32,
    last: i32,
}

/// A rule with the id it is kept under.
pub struct NamedRule {
    pub id: String,
    pub rule: SplitRule,
}

impl Histories {
    /// Of a packet of any size, as long as nothing is known to be stored.
    pub fn at_zero() -> Histories {
        Histories::default()
    }

    /// Of a packet that is small or read on top of what is stored.
    pub fn numbered() -> Histories {
        Histories {
            by_key: Some(HashMap::new()),
            ..Histories::default()
        }
    }

    /// Adds a stored history. One whose rule is nowhere kept goes on with the one in force.
    pub fn add_stored(
        &mut self,
        stored: &StoredHistory,
        month_rate: Option<&EmployerRate>,
        rates: &Rates,
    ) {
        if let Some(by_key) = &mut self.by_key {
            let numbers = by_key.entry(stored.id.key()).or_default();
            numbers.stored = numbers.stored.max(stored.last_no);
            numbers.last = numbers.stored;
        }
        let own = stored
            .rate_id
            .as_deref()
            .filter(|id| month_rate.is_none_or(|rate| rate.id() != *id));
        let own = own.and_then(|id| {
            Some(NamedRule {
                id: id.to_string(),
                rule: rates.get(id)?,
            })
        });
        let Some(rule) = own
            .as_ref()
            .map(|own| own.rule)
            .or(month_rate.map(|rate| *rate.rule()))
        else {
            return;
        };
        if let Some(history) = History::of(&rule, &(&stored.paid).into(), &parts(&stored.paid)) {
            self.states.insert(
                stored.id,
                State {
                    history,
                    lines: stored.last_no,
                },
            );
        } else {
            self.beyond.insert(stored.id);
        }
        if let Some(own) = own {
            self.rules.insert(stored.id, Arc::new(own));
        }
    }

    /// Splits a line by the total of its history and gives it its place there. The rule it was split
    /// by, unless that is the one in force.
    pub fn split(
        &mut self,
        line: &mut EmployerLine<'_>,
        rate: &EmployerRate,
    ) -> Result<Option<Arc<NamedRule>>, LineFault> {
        let own = self.rules.get(&line.history).cloned();
        let rule = own.as_ref().map_or(rate.rule(), |own| &own.rule);
        if self.beyond.contains(&line.history) {
            return Err(too_much());
        }
        let state = self.states.entry(line.history).or_default();
        let money = CollectedMoney::from(&line.paid);
        let parts = own.as_ref().map_or_else(
            || rate.split(&state.history, &money),
            |own| own.rule.split(&state.history, &money),
        );
        let parts = parts.ok_or_else(too_much)?;
        state.history.add(rule, &money).ok_or_else(too_much)?;
        (line.paid.medical, line.paid.long_term_care) =
            (parts.get(Fund::Medical), parts.get(Fund::LongTermCare));
        line.history_no = place(state, self.by_key.as_mut(), line.history);
        Ok(own)
    }

    /// Gives a line that takes another back, as that came, its place in the history of both.
    pub fn take_back(
        &mut self,
        line: &mut EmployerLine<'_>,
        rate: &EmployerRate,
    ) -> Result<(), LineFault> {
        let rule = self
            .rules
            .get(&line.history)
            .map_or(*rate.rule(), |own| own.rule);
        let state = self.states.entry(line.history).or_default();
        if !self.beyond.contains(&line.history) {
            state
                .history
                .add_as_posted(&rule, &(&line.paid).into(), &parts(&line.paid))
                .ok_or_else(too_much)?;
        }
        line.history_no = place(state, self.by_key.as_mut(), line.history);
        Ok(())
    }

    /// The keys of its lines with the last number each had before, where numbers are by key.
    pub fn keys(&self) -> Vec<(i64, i32)> {
        let by_key = self.by_key.iter().flatten();
        by_key
            .filter(|(_, numbers)| numbers.last > numbers.stored)
            .map(|(key, numbers)| (*key, numbers.stored))
            .collect()
    }
}

/// The next place of a history.
fn place(state: &mut State, by_key: Option<&mut HashMap<i64, Numbers>>, id: HistoryId) -> i32 {
    let last = by_key.map_or(&mut state.lines, |by_key| {
        &mut by_key.entry(id.key()).or_default().last
    });
    *last += 1;
    *last
}

/// The rate in force of a stored history.
pub fn month_rate<'b>(book: &'b RateBook, stored: &StoredHistory) -> Option<&'b EmployerRate> {
    book.employer(Division::from_number(stored.pooling_area)?, stored.month)
}

fn too_much() -> LineFault {
    LineFault::paid(
        "the amounts of this employer, district and month add up to more than can be accounted for"
            .to_string(),
    )
}

/// What the funds get of a line.
pub(super) fn parts(paid: &LineMoney) -> Parts {
    Parts::of([paid.medical, paid.long_term_care])
}
