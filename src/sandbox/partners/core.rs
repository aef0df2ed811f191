//! The simulated medical insurance core: the NHSA envelope, strictly; transactions L101 to L104.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Desk;
use super::books::{BatchEntry, ReceivedBatch};
use super::https::{Handling, admit_inquiry, deliver};
use crate::adapter::capability::sm2_sorted_fields;
use crate::model::{Fen, Month};

pub(super) mod accounts; // personal accounts, and what was taken from them
mod deductions; // L103 and L104

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/fsi/api/ltc/contributions", web::post().to(contributions))
        .route("/fsi/api/ltc/inquiry", web::post().to(inquiry))
        .route(
            "/fsi/api/ltc/deductions",
            web::post().to(deductions::deductions),
        )
        .route(
            "/fsi/api/ltc/deductions/inquiry",
            web::post().to(deductions::inquiry),
        );
}

/// Envelope fields with their least and most characters (domain: the NHSA request envelope).
const FIELDS: &[(&str, usize, usize)] = &[
    ("infno", 4, 4),
    ("msgid", 30, 30),
    ("mdtrtarea_admvs", 6, 6),
    ("insuplc_admdvs", 0, 6),
    ("recer_sys_code", 1, 10),
    ("dev_no", 0, 100),
    ("dev_safe_info", 0, 2_000),
    ("cainfo", 0, 1_024),
    ("signtype", 0, 10),
    ("infver", 1, 6),
    ("opter_type", 1, 3),
    ("opter", 1, 30),
    ("opter_name", 1, 50),
    ("inf_time", 19, 19),
    ("fixmedins_code", 12, 12),
    ("fixmedins_name", 1, 200),
    ("sign_no", 0, 30),
];

/// infcode and err_msg of a refusal.
type Refusal = (i64, String);

struct Envelope<'a> {
    msgid: String,
    input: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'a> {
    batch_no: String,
    poolarea_no: String,
    packet_no: String,
    orig_batch_no: Option<String>,
    insutype: String,
    clct_way: String,
    line_count: usize,
    #[serde(borrow)]
    medical_sumamt: &'a RawValue,
    #[serde(borrow)]
    lines: Vec<Line<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    detail_no: String,
    rvs_flag: String,
    poolarea_no: String,
    admdvs: String,
    receipt_no: String,
    levy_no: Option<String>,
    emp_no: String,
    cashym: String,
    paymt_kind: String,
    psn_count: Option<i64>,
    #[serde(borrow)]
    emp_base: &'a RawValue,
    emp_rate: f64,
    #[serde(borrow)]
    emp_paid_amt: &'a RawValue,
    #[serde(borrow)]
    psn_paid_amt: &'a RawValue,
    #[serde(borrow)]
    latefee_amt: &'a RawValue,
    #[serde(borrow)]
    interest_amt: &'a RawValue,
    #[serde(borrow)]
    medical_amt: &'a RawValue,
    treasury_date: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    omsgid: String,
    oinfno: String,
}

/// A transaction that changes something: `attempt` gives its msgid and output, as JSON.
struct Transaction {
    body: Bytes,
    attempt: Attempt,
}

type Attempt = fn(&[u8], &Desk) -> Result<(String, String), Refusal>;

async fn contributions(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(
        &desk,
        &Transaction {
            body,
            attempt: take_contributions,
        },
    )
    .await
}

async fn inquiry(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    if let Some(answer) = admit_inquiry(&desk).await {
        return answer;
    }
    let asked = asked_about(&body, ("L102", "L101"), &desk);
    match asked {
        Ok((msgid, omsgid)) => {
            let state = if desk.state().books.has(&omsgid) {
                "taken"
            } else {
                "not_known"
            };
            answer(
                &desk,
                &msgid,
                (0, ""),
                &json!({ "state": state }).to_string(),
            )
        }
        Err((code, text)) => answer(&desk, &claimed_msgid(&body), (code, &text), "null"),
    }
}

impl Handling for Transaction {
    fn take(&self, desk: &Desk) -> HttpResponse {
        match (self.attempt)(&self.body, desk) {
            Ok((msgid, output)) => answer(desk, &msgid, (0, ""), &output),
            Err((code, text)) => {
                let mut state = desk.state();
                match code {
                    DUPLICATE => state.tally.repeats += 1,
                    _ => state.tally.refused += 1,
                }
                drop(state);
                answer(desk, &claimed_msgid(&self.body), (code, &text), "null")
            }
        }
    }

    fn refuse(&self, desk: &Desk, code: &str) -> HttpResponse {
        answer(
            desk,
            &claimed_msgid(&self.body),
            (code.parse().unwrap_or(-1), "refused by the script"),
            "null",
        )
    }
}

/// The batch was taken before.
const DUPLICATE: i64 = -11;

fn take_contributions(body: &[u8], desk: &Desk) -> Result<(String, String), Refusal> {
    let Envelope { msgid, input } = open(body, "L101", desk)?;
    if desk
        .options
        .chars_max
        .is_some_and(|most| input.chars().count() > most)
    {
        return Err((-3, "input has more characters than taken".into()));
    }
    let document: Input<'_> =
        serde_json::from_str(input).map_err(|error| (-2, format!("input: {error}")))?;
    let batch = document.check().map_err(|text| (-1, text))?;
    let lines = batch.lines.len();
    match desk.state().books.enter(&msgid, input.as_bytes(), &batch) {
        BatchEntry::New => Ok((msgid, json!({ "line_count": lines }).to_string())),
        BatchEntry::Again | BatchEntry::Known => Err((DUPLICATE, "该批次已接收".into())),
        BatchEntry::Conflict => Err((-12, "msgid was used for other content".into())),
        BatchEntry::NothingToReverse => Err((-14, "orig_batch_no: that batch never came".into())),
        BatchEntry::Overflow => Err((-13, "the sums no longer fit".into())),
    }
}

/// The msgid of an inquiry, and the one it asks about.
fn asked_about(
    body: &[u8],
    (infno, about): (&str, &str),
    desk: &Desk,
) -> Result<(String, String), Refusal> {
    let envelope = open(body, infno, desk)?;
    let question: Question =
        serde_json::from_str(envelope.input).map_err(|error| (-2, format!("input: {error}")))?;
    if question.oinfno != about {
        return Err((-2, format!("oinfno: expected {about}")));
    }
    Ok((envelope.msgid, question.omsgid))
}

/// Checks the envelope: every field, nothing else, lengths, time, signature; gives msgid and input.
fn open<'a>(body: &'a [u8], infno: &str, desk: &Desk) -> Result<Envelope<'a>, Refusal> {
    let malformed = |text: String| (-2, text);
    let all: BTreeMap<Cow<'a, str>, &'a RawValue> =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let mut fields = Map::new();
    for (name, least, most) in FIELDS {
        let raw = all
            .get(*name)
            .ok_or_else(|| malformed(format!("{name}: is missing")))?;
        let value: String = serde_json::from_str(raw.get())
            .map_err(|_| malformed(format!("{name}: expected a text")))?;
        let chars = value.chars().count();
        if !(*least..=*most).contains(&chars) {
            return Err(malformed(format!(
                "{name}: has {chars} characters; expected {least} to {most}"
            )));
        }
        fields.insert((*name).to_owned(), Value::String(value));
    }
    if let Some(name) = all
        .keys()
        .find(|name| **name != "input" && !fields.contains_key(name.as_ref()))
    {
        return Err(malformed(format!("{name}: is not a field of the envelope")));
    }
    let input = all
        .get("input")
        .map(|raw| raw.get())
        .filter(|raw| raw.starts_with('{'));
    let input = input.ok_or_else(|| malformed("input: expected an object".into()))?;
    let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if field("infno") != infno {
        return Err(malformed(format!("infno: expected {infno} here")));
    }
    let msgid = field("msgid").to_owned();
    if !msgid.starts_with(field("fixmedins_code"))
        || !msgid.bytes().skip(12).all(|byte| byte.is_ascii_digit())
    {
        return Err(malformed(
            "msgid: expected fixmedins_code, time and serial".into(),
        ));
    }
    if jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", field("inf_time")).is_err() {
        return Err(malformed("inf_time: expected yyyy-MM-dd HH:mm:ss".into()));
    }
    if let Some(public) = &desk.options.sm2_public_hex {
        sm2_sorted_fields::verify(public, &fields).map_err(|text| (-4, text))?;
    }
    Ok(Envelope { msgid, input })
}

impl Input<'_> {
    fn check(self) -> Result<ReceivedBatch, String> {
        if self.batch_no.is_empty() || self.packet_no.is_empty() || self.poolarea_no.len() != 6 {
            return Err("batch_no, packet_no or poolarea_no is not filled in".into());
        }
        if self.insutype != "310" || self.clct_way != "02" {
            return Err("insutype or clct_way: expected 310 and 02".into());
        }
        if self.line_count != self.lines.len() || self.lines.is_empty() {
            return Err(format!(
                "line_count is {}; there are {} lines",
                self.line_count,
                self.lines.len()
            ));
        }
        // A batch takes back, or it does not; whatever takes back says what.
        if self
            .lines
            .iter()
            .any(|line| (line.rvs_flag == "-") != self.orig_batch_no.is_some())
        {
            return Err("rvs_flag and orig_batch_no: expected - and a batch on what takes back, Z and null on anything else".into());
        }
        let mut sum = Fen::ZERO;
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            let at = |what: String| format!("line {}: {what}", index + 1);
            let fen = line.check().map_err(at)?;
            sum = sum
                .checked_add(fen)
                .ok_or_else(|| format!("line {}: the sum no longer fits", index + 1))?;
            lines.push((line.admdvs.clone(), fen));
        }
        if yuan("medical_sumamt", self.medical_sumamt)? != sum {
            return Err(format!("medical_sumamt is not the lines' sum {sum}"));
        }
        Ok(ReceivedBatch {
            number: self.batch_no,
            reverses: self.orig_batch_no,
            lines,
        })
    }
}

impl Line<'_> {
    fn check(&self) -> Result<Fen, String> {
        let area = |code: &str| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        if self.detail_no.is_empty()
            || self.emp_no.is_empty()
            || self.receipt_no.is_empty()
            || self.levy_no.as_deref() == Some("")
        {
            return Err("detail_no, emp_no or receipt_no is not filled in".into());
        }
        if !area(&self.poolarea_no) || !area(&self.admdvs) {
            return Err("poolarea_no or admdvs: expected six digits".into());
        }
        if !matches!(self.rvs_flag.as_str(), "Z" | "-")
            || !matches!(self.paymt_kind.parse(), Ok(10..=40_u8))
        {
            return Err("rvs_flag or paymt_kind is unknown".into());
        }
        if Month::parse(&self.cashym).is_none()
            || self.treasury_date.parse::<jiff::civil::Date>().is_err()
        {
            return Err("cashym or treasury_date is not a month or date".into());
        }
        if self.psn_count.is_some_and(|count| count < 0) || !(0.0..1.0).contains(&self.emp_rate) {
            return Err("psn_count or emp_rate is out of range".into());
        }
        let amounts = [
            ("emp_base", self.emp_base),
            ("emp_paid_amt", self.emp_paid_amt),
            ("psn_paid_amt", self.psn_paid_amt),
        ];
        for (name, raw) in amounts.into_iter().chain([
            ("latefee_amt", self.latefee_amt),
            ("interest_amt", self.interest_amt),
        ]) {
            yuan(name, raw)?;
        }
        yuan("medical_amt", self.medical_amt)
    }
}

/// An amount exactly as it is written, number or text: no floating point in between.
fn yuan(name: &str, raw: &RawValue) -> Result<Fen, String> {
    let text = raw.get();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    Fen::parse_yuan(text).map_err(|error| format!("{name}: {error}"))
}

/// The msgid of an envelope that was refused, as far as it can be read.
fn claimed_msgid(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Claimed {
        msgid: String,
    }
    serde_json::from_slice::<Claimed>(body).map_or_else(|_| String::new(), |claimed| claimed.msgid)
}

/// An answer as the interface writes it, in the manner this core was given; `output` is JSON.
fn answer(desk: &Desk, msgid: &str, (infcode, err_msg): (i64, &str), output: &str) -> HttpResponse {
    let (manner, time) = (desk.options.manner, time());
    let serial = {
        let mut state = desk.state();
        state.answers += 1;
        state.answers
    };
    let reference = manner.reference(msgid, &time[..14], serial);
    let (err_msg, output) = (Value::from(err_msg), manner.output(output));
    manner.answer(format!(
        "{{\"infcode\":{infcode},\"inf_refmsgid\":\"{reference}\",\"refmsg_time\":\"{time}\",\"respond_time\":\"{time}\",\"err_msg\":{err_msg},\"output\":{output}}}"
    ))
}

/// Now in Beijing, to the millisecond.
fn time() -> String {
    let now =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(8)));
    now.strftime("%Y%m%d%H%M%S%3f").to_string()
}
