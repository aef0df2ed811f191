//! The simulated LTC system's view of a month's deductions: who paid, and how much.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data};
use serde::Deserialize;

use super::super::Desk;
use super::super::https::deliver;
use super::{Delivery, Refusal, refusal};
use crate::model::{Fen, Month};

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToldOfDeductions {
    pub batches: u64,
    /// Results, one per person and round.
    pub people: u64,
    /// Results by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Taken from personal accounts.
    pub fen: Fen,
    /// Earlier months that people made up for.
    pub made_up: u64,
}

/// What was told, and under which keys.
#[derive(Debug, Default)]
pub struct ReceivedResults {
    totals: ToldOfDeductions,
    /// Content by key.
    keys: HashMap<String, u64>,
    /// Keys by batch.
    batches: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    batch: String,
    round: i16,
    pooling_area: String,
    month: String,
    person_count: usize,
    deducted_fen: i64,
    persons: Vec<Person>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    psn_no: String,
    month: String,
    outcome: String,
    amount_fen: i64,
    #[serde(default)]
    made_up: Vec<MadeUp>,
}

/// An earlier month that was left short and is paid now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MadeUp {
    month: String,
    amount_fen: i64,
}

pub(super) async fn results(request: HttpRequest, body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(&desk, &Delivery::of(&request, body, take_results)).await
}

fn take_results(delivery: &Delivery, desk: &Desk) -> Result<(u16, String), Refusal> {
    let key = delivery.key()?;
    let document: Document = serde_json::from_slice(&delivery.body)
        .map_err(|error| (400, "malformed", error.to_string()))?;
    let outcomes = document.check().map_err(|text| (422, "content", text))?;
    let mut hasher = DefaultHasher::new();
    delivery.body.hash(&mut hasher);
    let content = hasher.finish();
    let mut state = desk.state();
    match state.told.keys.get(key) {
        Some(known) if *known == content => {
            state.tally.repeats += 1;
            return Ok((200, document.batch));
        }
        Some(_) => {
            return Err(refusal(
                409,
                "conflict",
                "this key was used for other content",
            ));
        }
        None if state.told.batches.contains_key(&document.batch) => {
            return Err((
                409,
                "duplicate",
                format!("batch {} is known", document.batch),
            ));
        }
        None => {}
    }
    let told = &mut state.told;
    told.keys.insert(key.to_owned(), content);
    told.batches.insert(document.batch.clone(), key.to_owned());
    told.totals.batches += 1;
    told.totals.people += document.persons.len() as u64;
    told.totals.fen = Fen(told.totals.fen.0 + document.deducted_fen);
    told.totals.made_up += document
        .persons
        .iter()
        .map(|person| person.made_up.len() as u64)
        .sum::<u64>();
    for (outcome, count) in outcomes {
        *told.totals.outcomes.entry(outcome).or_default() += count;
    }
    Ok((201, document.batch))
}

impl ReceivedResults {
    pub fn totals(&self) -> &ToldOfDeductions {
        &self.totals
    }
}

impl Document {
    /// People by outcome, once everything adds up.
    fn check(&self) -> Result<BTreeMap<String, u64>, String> {
        if self.batch.is_empty()
            || self.round < 1
            || self.pooling_area.len() != 6
            || Month::parse_dashed(&self.month).is_none()
        {
            return Err("batch, round, pooling_area or month is not as it should be".into());
        }
        if self.person_count != self.persons.len() || self.persons.is_empty() {
            return Err(format!(
                "person_count is {}; there are {} persons",
                self.person_count,
                self.persons.len()
            ));
        }
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        let mut sum = 0_i64;
        for (index, person) in self.persons.iter().enumerate() {
            let paid = person.outcome == "deducted";
            let known = paid
                || matches!(
                    person.outcome.as_str(),
                    "insufficient_balance" | "account_frozen" | "person_unknown" | "deceased"
                );
            if !known
                || person.psn_no.is_empty()
                || person.month != self.month
                || paid != (person.amount_fen > 0)
                || person.amount_fen < 0
            {
                return Err(format!(
                    "person {}: number, month, outcome and amount do not go together",
                    index + 1
                ));
            }
            let earlier = |made_up: &MadeUp| {
                made_up.amount_fen > 0
                    && Month::parse_dashed(&made_up.month).is_some()
                    && made_up.month < self.month
            };
            let made_up: i64 = person
                .made_up
                .iter()
                .map(|made_up| made_up.amount_fen)
                .sum();
            if !person.made_up.iter().all(earlier) || made_up > person.amount_fen {
                return Err(format!(
                    "person {}: made_up names months that are not earlier, or more than was taken",
                    index + 1
                ));
            }
            sum = sum
                .checked_add(person.amount_fen)
                .ok_or("the sum no longer fits")?;
            match outcomes.get_mut(&person.outcome) {
                Some(count) => *count += 1,
                None => drop(outcomes.insert(person.outcome.clone(), 1)),
            }
        }
        if sum != self.deducted_fen {
            return Err(format!(
                "deducted_fen is {}; the persons' sum is {sum}",
                self.deducted_fen
            ));
        }
        Ok(outcomes)
    }
}
