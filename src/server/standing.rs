//! Who paid what: contributions of a person or employer, and a person's standing.
//!
//! Reads path and query, calls the flow; refusals are problem documents (RFC 9457) that name the
//! parameter, what was found and what is expected.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Query;
use jiff::civil::Date;
use serde::Serialize;

use super::PartnerApi;
use super::partner::{Call, problem};
use crate::error::did_you_mean;
use crate::flow::standing::{self, MONTHS_MAX, StandingRefusal};
use crate::model::{Month, day};

/// Characters of a person's or employer's number.
const NUMBER_CHARS_MAX: usize = 40;

/// A question about one person or employer.
pub async fn handle(call: &Call<'_>, api: &PartnerApi) -> HttpResponse {
    let answered = match ask(call, api).await {
        Ok(answered) => return answered,
        Err(refusal) => refusal,
    };
    match answered {
        StandingRefusal::Bad(text) => problem(StatusCode::BAD_REQUEST, "Not understood", &text),
        StandingRefusal::Unknown(text) => problem(StatusCode::NOT_FOUND, "Not found", &text),
        StandingRefusal::Failed(fault) => {
            tracing::error!(partner = %call.entry.partner.name, %fault, "question not answered");
            let mut response = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not now",
                "the gateway cannot answer now; ask again later",
            );
            response.headers_mut().insert(
                actix_web::http::header::RETRY_AFTER,
                super::LATER_SECONDS.into(),
            );
            response
        }
    }
}

async fn ask(call: &Call<'_>, api: &PartnerApi) -> Result<HttpResponse, StandingRefusal> {
    let path: Vec<&str> = call
        .request
        .path()
        .trim_start_matches('/')
        .split('/')
        .collect();
    let gateway = &api.gateway;
    match path.as_slice() {
        ["core", "v1", "persons", number, "contributions"] => {
            let months = months(&query(call, &["from", "to"])?)?;
            Ok(json(
                &standing::person_contributions(gateway, valid(number)?, months).await?,
            ))
        }
        ["core", "v1", "employers", number, "contributions"] => {
            let months = months(&query(call, &["from", "to"])?)?;
            Ok(json(
                &standing::employer_contributions(gateway, valid(number)?, months).await?,
            ))
        }
        ["ltc", "v1", "persons", number, "standing"] => {
            let on = asked_day(&query(call, &["on"])?, gateway.registrar.clock.today())?;
            Ok(json(
                &standing::standing(gateway, valid(number)?, on).await?,
            ))
        }
        _ => Err(StandingRefusal::Unknown(
            "there is nothing at this path".into(),
        )),
    }
}

fn json(answer: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((actix_web::http::header::CACHE_CONTROL, "no-store"))
        .json(answer)
}

/// A number as it may stand in a path; others cannot be anybody's.
fn valid(number: &str) -> Result<&str, StandingRefusal> {
    let valid = !number.is_empty()
        && number.len() <= NUMBER_CHARS_MAX
        && number
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'%');
    let bad = || {
        StandingRefusal::Bad(format!(
            "the number in the path is longer than {NUMBER_CHARS_MAX} characters or has other ones than letters, digits and signs"
        ))
    };
    if valid { Ok(number) } else { Err(bad()) }
}

type Parameters = Vec<(String, String)>;

fn query(call: &Call<'_>, known: &[&str]) -> Result<Parameters, StandingRefusal> {
    let query = Query::<Parameters>::from_query(call.request.query_string()).map(Query::into_inner);
    let query = query.map_err(|_| {
        StandingRefusal::Bad(
            "the query cannot be read; expected name=value pairs, percent-encoded".into(),
        )
    })?;
    match query
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()))
    {
        Some((name, _)) => {
            let near = did_you_mean(name, known.iter().copied());
            Err(StandingRefusal::Bad(format!(
                "there is no parameter `{}`{near}; expected {}",
                cut(name),
                known.join(" and ")
            )))
        }
        None => Ok(query),
    }
}

/// The only value of a parameter.
fn one<'q>(query: &'q Parameters, name: &str) -> Result<Option<&'q str>, StandingRefusal> {
    let mut values = query
        .iter()
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value.as_str());
    let value = values.next();
    if values.next().is_some() {
        Err(StandingRefusal::Bad(format!(
            "{name} occurs twice; expected it once"
        )))
    } else {
        Ok(value)
    }
}

/// `from` and `to`, both included.
fn months(query: &Parameters) -> Result<(Month, Month), StandingRefusal> {
    let month = |name: &str| {
        let text = one(query, name)?.ok_or_else(|| {
            StandingRefusal::Bad(format!(
                "{name} is missing; expected a month such as 202110"
            ))
        })?;
        let month = Month::parse(text).or_else(|| Month::parse_dashed(text));
        month.ok_or_else(|| {
            StandingRefusal::Bad(format!(
                "{name} is `{}`; expected a month such as 202110, from 1990 to 2199",
                cut(text)
            ))
        })
    };
    let (from, to) = (month("from")?, month("to")?);
    if from > to {
        return Err(StandingRefusal::Bad(format!(
            "from is {from}, after to, {to}; expected the same month or an earlier one"
        )));
    }
    if standing::between(from, to).nth(MONTHS_MAX).is_some() {
        return Err(StandingRefusal::Bad(format!(
            "from {from} and to {to} are too far apart; expected at most {MONTHS_MAX} months"
        )));
    }
    Ok((from, to))
}

/// The day asked about; today when none is given.
fn asked_day(query: &Parameters, today: Date) -> Result<Date, StandingRefusal> {
    let Some(text) = one(query, "on")? else {
        return Ok(today);
    };
    let day = day::day(text)
        .map_err(|error| StandingRefusal::Bad(format!("on is `{}`: {error}", cut(text))))?;
    if day > today {
        return Err(StandingRefusal::Bad(format!(
            "on is {day}, which has not come; expected {today} or an earlier day"
        )));
    }
    Ok(day)
}

/// As much of a value as is repeated.
fn cut(text: &str) -> String {
    text.chars()
        .take(40)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
