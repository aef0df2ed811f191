//! Personal accounts of the simulated core: made up on demand from a person's number, always the
//! same; what was taken from whom, in which month, and what each batch was answered with.
//!
//! Compact, because a city has a million and a half: some sixty bytes a person.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::Fen;

/// Words of `rslt` 0 to 4.
const OUTCOMES: [&str; 5] = [
    "deducted",
    "insufficient_balance",
    "account_frozen",
    "person_unknown",
    "deceased",
];
/// Of a thousand people, how many are of each kind that cannot pay: poor, frozen, unknown, dead.
const MIX: [(u64, Kind); 4] = [
    (20, Kind::Poor),
    (25, Kind::Frozen),
    (28, Kind::Unknown),
    (30, Kind::Dead),
];

/// What was taken from personal accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deductions {
    pub batches: u64,
    /// People who paid, counted once a month.
    pub people: u64,
    pub fen: Fen,
    /// Refusals by outcome; a person tried again counts again.
    pub refused: BTreeMap<&'static str, u64>,
    /// Attempts to deduct a person's month that was deducted already: each is a fault of the sender.
    pub twice: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rich,
    Poor,
    Frozen,
    Unknown,
    Dead,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    kind: Kind,
    balance: u32,
    /// Months deducted, one bit each, of the last 64.
    months: u64,
}

/// What one person's instruction was answered with.
#[derive(Debug, Clone, Copy)]
struct Answered {
    outcome: u8,
    fen: u32,
    balance: u32,
}

/// A batch that was processed.
#[derive(Debug)]
struct Done {
    content: u64,
    batch_no: String,
    /// Numbers, one a line.
    people: Box<str>,
    answered: Box<[Answered]>,
    /// Its results are not told yet.
    held: bool,
}

/// The accounts and the batches by msgid.
#[derive(Debug, Default)]
pub struct Accounts {
    everyone_pays: bool,
    queueing: bool,
    accounts: HashMap<u64, Account>,
    done: HashMap<String, Done>,
    batches: HashSet<String>,
    totals: Deductions,
}

/// Why a batch is not processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNew {
    /// Processed before, under this msgid or another.
    Known,
    /// The msgid was used for other content.
    Conflict,
}

impl Accounts {
    pub fn totals(&self) -> &Deductions {
        &self.totals
    }

    /// From now on every account holds enough, or as the mix has it.
    pub fn everyone_pays(&mut self, yes: bool) {
        self.everyone_pays = yes;
    }

    /// From now on results of new batches are held back.
    pub fn queue(&mut self, yes: bool) {
        self.queueing = yes;
    }

    /// Processes a batch under its msgid, once; `people` are numbers and amounts.
    pub fn process(
        &mut self,
        (msgid, content): (&str, &str),
        (batch_no, month): (&str, i32),
        people: &[(&str, Fen)],
    ) -> Result<(), NotNew> {
        let content = hash(content);
        if let Some(done) = self.done.get(msgid) {
            return Err(if done.content == content {
                NotNew::Known
            } else {
                NotNew::Conflict
            });
        }
        if !self.batches.insert(batch_no.to_owned()) {
            return Err(NotNew::Known);
        }
        let mut numbers =
            String::with_capacity(people.iter().map(|(number, _)| number.len() + 1).sum());
        let mut answered = Vec::with_capacity(people.len());
        for (number, fen) in people {
            numbers.push_str(number);
            numbers.push('\n');
            answered.push(self.deduct(number, *fen, month));
        }
        self.totals.batches += 1;
        let done = Done {
            content,
            batch_no: batch_no.to_owned(),
            people: numbers.into(),
            answered: answered.into(),
            held: self.queueing,
        };
        self.done.insert(msgid.to_owned(), done);
        Ok(())
    }

    fn deduct(&mut self, number: &str, fen: Fen, month: i32) -> Answered {
        let key = hash(number);
        let everyone_pays = self.everyone_pays;
        let account = self
            .accounts
            .entry(key)
            .or_insert_with(|| opened(key, everyone_pays));
        let bit = 1_u64 << ((month / 100 * 12 + month % 100) % 64);
        let amount = u32::try_from(fen.0).unwrap_or(u32::MAX);
        let outcome = match account.kind {
            _ if account.months & bit != 0 => {
                self.totals.twice += 1;
                return Answered {
                    outcome: 0,
                    fen: amount,
                    balance: account.balance,
                };
            }
            Kind::Unknown => 3,
            Kind::Dead => 4,
            Kind::Frozen => 2,
            Kind::Rich | Kind::Poor if account.balance < amount => 1,
            Kind::Rich | Kind::Poor => 0,
        };
        if outcome != 0 {
            *self
                .totals
                .refused
                .entry(OUTCOMES[usize::from(outcome)])
                .or_default() += 1;
            return Answered {
                outcome,
                fen: 0,
                balance: account.balance,
            };
        }
        account.balance -= amount;
        account.months |= bit;
        self.totals.people += 1;
        self.totals.fen = Fen(self.totals.fen.0 + i64::from(amount));
        Answered {
            outcome: 0,
            fen: amount,
            balance: account.balance,
        }
    }

    /// The state and results of the batch under that msgid, as JSON for `output`; `None` when it is unknown.
    pub fn output(&self, msgid: &str, (done_word, held_word): (&str, &str)) -> Option<String> {
        let done = self.done.get(msgid)?;
        let state = if done.held { held_word } else { done_word };
        let mut text = format!(
            "{{\"batch_no\":{},\"state\":\"{state}\",\"results\":",
            serde_json::Value::from(done.batch_no.as_str())
        );
        text.push_str(&if done.held {
            "[]".to_owned()
        } else {
            done.results()
        });
        text.push('}');
        Some(text)
    }

    /// Lets go of what is held back; with the body that tells of each batch.
    pub fn release(&mut self) -> Vec<String> {
        let mut held: Vec<&mut Done> = self.done.values_mut().filter(|done| done.held).collect();
        held.sort_by(|a, b| a.batch_no.cmp(&b.batch_no));
        let body = |done: &mut Done| {
            done.held = false;
            format!(
                "{{\"batch_no\":{},\"results\":{}}}",
                serde_json::Value::from(done.batch_no.as_str()),
                done.results()
            )
        };
        held.into_iter().map(body).collect()
    }
}

impl Done {
    fn results(&self) -> String {
        let mut text = String::with_capacity(self.answered.len() * 112 + 2);
        text.push('[');
        for (number, answered) in self.people.lines().zip(&self.answered) {
            if text.len() > 1 {
                text.push(',');
            }
            let fen = |fen: u32| Fen(i64::from(fen));
            let last_year = answered.fen / 4;
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "{{\"psn_no\":{},\"rslt\":\"{}\"",
                serde_json::Value::from(number),
                answered.outcome
            );
            if answered.outcome == 0 {
                let _ = write!(
                    text,
                    ",\"amt\":{},\"cur_amt\":{},\"last_amt\":{},\"prev_amt\":0.00",
                    fen(answered.fen),
                    fen(answered.fen - last_year),
                    fen(last_year)
                );
            }
            if answered.outcome < 3 {
                let _ = write!(text, ",\"balc\":{}", fen(answered.balance));
            }
            text.push('}');
        }
        text.push(']');
        text
    }
}

/// The account of a person, from the number alone.
fn opened(key: u64, everyone_pays: bool) -> Account {
    let share = key % 1_000;
    let kind = MIX
        .iter()
        .find(|(below, _)| share < *below && !everyone_pays)
        .map_or(Kind::Rich, |(_, kind)| *kind);
    let spread = u32::try_from((key >> 20) % 200_000).unwrap_or(0);
    let balance = if kind == Kind::Poor {
        spread % 100
    } else {
        500_000 + spread
    };
    Account {
        kind,
        balance,
        months: 0,
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_city_mostly_pays_and_the_same_people_always_do() {
        let people: Vec<String> = (0..20_000).map(|n| format!("P{n:08}")).collect();
        let batch: Vec<(&str, Fen)> = people
            .iter()
            .map(|number| (number.as_str(), Fen(900)))
            .collect();
        let mut accounts = Accounts::default();
        assert_eq!(
            accounts.process(("m1", "x"), ("1-1", 202_110), &batch),
            Ok(())
        );
        let totals = accounts.totals().clone();
        assert_eq!(totals.people + totals.refused.values().sum::<u64>(), 20_000);
        assert_eq!(totals.fen, Fen(i64::try_from(totals.people).unwrap() * 900));
        assert!(
            totals.people > 19_000 && totals.refused.len() == 4,
            "{totals:?}"
        );
        let mut again = Accounts::default();
        again
            .process(("m1", "x"), ("1-1", 202_110), &batch)
            .unwrap();
        assert_eq!(again.totals(), &totals);
    }

    #[test]
    fn a_month_is_taken_once_and_every_further_attempt_is_counted() {
        let mut accounts = Accounts::default();
        accounts.everyone_pays(true);
        accounts
            .process(("m1", "x"), ("1-1", 202_110), &[("P1", Fen(900))])
            .unwrap();
        assert_eq!(
            accounts.process(("m1", "x"), ("1-1", 202_110), &[("P1", Fen(900))]),
            Err(NotNew::Known)
        );
        assert_eq!(
            accounts.process(("m1", "y"), ("1-2", 202_110), &[("P1", Fen(900))]),
            Err(NotNew::Conflict)
        );
        assert_eq!(
            accounts.process(("m2", "y"), ("1-1", 202_110), &[("P1", Fen(900))]),
            Err(NotNew::Known)
        );
        assert_eq!(
            (accounts.totals().twice, accounts.totals().fen),
            (0, Fen(900))
        );
        accounts
            .process(("m3", "z"), ("1-3", 202_110), &[("P1", Fen(900))])
            .unwrap();
        accounts
            .process(("m4", "z"), ("2-1", 202_111), &[("P1", Fen(900))])
            .unwrap();
        assert_eq!(
            (
                accounts.totals().twice,
                accounts.totals().fen,
                accounts.totals().people
            ),
            (1, Fen(1_800), 2)
        );
    }
}
