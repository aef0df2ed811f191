//! Transactions L103 and L104 of the simulated core: a batch of deductions, and what became of one.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::Desk;
use super::super::https::{admit_inquiry, deliver};
use super::accounts::NotNew;
use super::{DUPLICATE, Refusal, Transaction, answer, asked_about, claimed_msgid, open, yuan};
use crate::model::{Fen, Month};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'a> {
    batch_no: String,
    poolarea_no: String,
    cashym: String,
    clct_way: String,
    psn_count: usize,
    #[serde(borrow)]
    sumamt: &'a RawValue,
    #[serde(borrow)]
    psns: Vec<Person<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person<'a> {
    #[serde(borrow)]
    psn_no: Cow<'a, str>,
    #[serde(borrow)]
    amt: &'a RawValue,
}

/// Numbers and amounts.
type People<'a> = Vec<(&'a str, Fen)>;

pub(super) async fn deductions(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(
        &desk,
        &Transaction {
            body,
            attempt: take_deductions,
        },
    )
    .await
}

pub(super) async fn inquiry(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    if let Some(answer) = admit_inquiry(&desk).await {
        return answer;
    }
    let asked = asked_about(&body, ("L104", "L103"), &desk);
    match asked {
        Ok((msgid, omsgid)) => {
            let output = desk.state().accounts.output(&omsgid, ("taken", "taken"));
            answer(
                &desk,
                &msgid,
                (0, ""),
                &output.unwrap_or_else(|| "{\"state\":\"not_known\"}".into()),
            )
        }
        Err((code, text)) => answer(&desk, &claimed_msgid(&body), (code, &text), "null"),
    }
}

fn take_deductions(body: &[u8], desk: &Desk) -> Result<(String, String), Refusal> {
    let envelope = open(body, "L103", desk)?;
    let input: Input<'_> =
        serde_json::from_str(envelope.input).map_err(|error| (-2, format!("input: {error}")))?;
    if desk
        .options
        .most
        .records_per_request
        .is_some_and(|most| input.psns.len() > most)
    {
        return Err((-3, "more people than taken in one batch".into()));
    }
    let (people, month) = input.check().map_err(|text| (-1, text))?;
    let mut state = desk.state();
    match state.accounts.process(
        (&envelope.msgid, envelope.input),
        (&input.batch_no, month),
        &people,
    ) {
        Ok(()) => {}
        Err(NotNew::Known) => return Err((DUPLICATE, "该批次已接收".into())),
        Err(NotNew::Conflict) => return Err((-12, "msgid was used for other content".into())),
    }
    let output = state
        .accounts
        .output(&envelope.msgid, ("done", "queued"))
        .unwrap_or_default();
    Ok((envelope.msgid, output))
}

impl Input<'_> {
    /// Every person with the amount, each once, and the month.
    fn check(&self) -> Result<(People<'_>, i32), String> {
        if self.batch_no.is_empty() || self.poolarea_no.len() != 6 || self.clct_way != "31" {
            return Err("batch_no, poolarea_no or clct_way is not as it should be".into());
        }
        let month = Month::parse(&self.cashym).ok_or("cashym: expected a month such as 202110")?;
        if self.psn_count != self.psns.len() || self.psns.is_empty() {
            return Err(format!(
                "psn_count is {}; there are {} people",
                self.psn_count,
                self.psns.len()
            ));
        }
        let mut sum = Fen::ZERO;
        let mut people: People<'_> = Vec::with_capacity(self.psns.len());
        for person in &self.psns {
            let at = |what: &str| format!("person {}: {what}", people.len() + 1);
            let fen = yuan("amt", person.amt).map_err(|text| at(&text))?;
            if fen <= Fen::ZERO || person.psn_no.is_empty() || person.psn_no.contains('\n') {
                return Err(at("psn_no is empty or amt is not more than nothing"));
            }
            sum = sum
                .checked_add(fen)
                .ok_or_else(|| at("the sum no longer fits"))?;
            if people
                .last()
                .is_some_and(|(last, _)| *last >= person.psn_no.as_ref())
            {
                return Err(at("comes twice, or people are not in order"));
            }
            people.push((person.psn_no.as_ref(), fen));
        }
        if yuan("sumamt", self.sumamt)? != sum {
            return Err(format!("sumamt is not the people's sum {sum}"));
        }
        Ok((people, month.number()))
    }
}
