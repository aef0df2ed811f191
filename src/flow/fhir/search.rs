//! The parameters of a search and of a history, read and checked.
//!
//! A puller may search only by what it is given: else an answer would tell it what it may not know.
//! A parameter that is not served is refused, because ignoring it would answer another question,
//! unless the puller asks for that (`Prefer: handling=lenient`).

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::include::Include;
use super::{Asker, Type, own_id};
use crate::error::did_you_mean;
use crate::flow::publish;
use crate::flow::pull::{FieldSet, PullRefusal};
use crate::model::registry::EntityKind;
use crate::store::registry::{Has, Search};

mod moment; // times, as FHIR searches by them
mod parameter; // what each type can be searched by
mod token; // codes and statuses

pub use parameter::{Parameter, parameters_of};

use moment::{intervals, moment};

const COUNT_DEFAULT: usize = 100;
const COUNT_MAX: usize = 1000;

/// A question as it was understood.
#[derive(Default)]
pub struct Query {
    pub search: Search,
    /// Of a practitioner, whose name no index knows.
    pub names: Vec<Vec<NameSearch>>,
    pub since: Option<Timestamp>,
    pub count: usize,
    pub cursor: Option<String>,
    /// Whether the number of all matches is asked for.
    pub total: bool,
    pub includes: Vec<Include>,
    /// Parameters that were not understood and left out, as the puller wished.
    pub ignored: Vec<String>,
    /// Of the question without its page.
    pub digest: [u8; 32],
}

/// A name that is looked for.
pub struct NameSearch {
    text: String,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Starts,
    Contains,
    Exact,
}

impl NameSearch {
    pub fn matches(&self, name: &str) -> bool {
        match self.how {
            How::Exact => name == self.text,
            How::Starts => name.to_lowercase().starts_with(&self.text.to_lowercase()),
            How::Contains => name.to_lowercase().contains(&self.text.to_lowercase()),
        }
    }
}

impl From<&NameSearch> for Has {
    fn from(name: &NameSearch) -> Has {
        if name.how == How::Exact {
            return Has::ExactName(name.text.clone());
        }
        let escaped = name
            .text
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        Has::NameLike(if name.how == How::Starts {
            escaped + "%"
        } else {
            format!("%{escaped}%")
        })
    }
}

/// Reads the parameters of a search.
pub async fn read(
    asker: &Asker<'_>,
    of: Type,
    parameters: &[(String, String)],
) -> Result<Query, PullRefusal> {
    let fields = asker.puller.fields(of.kind())?;
    let cities = asker.puller.areas().map(|areas| areas.cities().to_vec());
    let mut query = Query {
        count: COUNT_DEFAULT,
        search: Search {
            cities,
            ..Search::default()
        },
        ..Query::default()
    };
    for (name, value) in parameters {
        if common(&mut query, name, value)? || of_result(asker, &mut query, of, (name, value))? {
            continue;
        }
        let (base, modifier) = name.split_once(':').unwrap_or((name, ""));
        let known = parameters_of(of);
        let allowed: &[&str] = if base == "name" {
            &["", "contains", "exact"]
        } else {
            &[""]
        };
        match known.iter().find(|parameter| parameter.name == base) {
            Some(parameter) if allowed.contains(&modifier) => {
                one(
                    asker,
                    (of, fields),
                    &mut query,
                    (parameter, modifier, value),
                )
                .await?
            }
            Some(_) if base == "name" && !asker.lenient => {
                return Err(PullRefusal::Bad(
                    "of `name` only :contains and :exact are served".into(),
                ));
            }
            _ if asker.lenient => query.ignored.push(name.clone()),
            _ => return Err(unknown(name, known.iter().map(|parameter| parameter.name))),
        }
    }
    let answered: Vec<_> = parameters
        .iter()
        .filter(|(name, _)| !query.ignored.contains(name))
        .collect();
    query.digest = digest(of.word(), &answered);
    Ok(query)
}

/// One parameter that is served, with its values.
async fn one(
    asker: &Asker<'_>,
    (of, fields): (Type, &FieldSet),
    query: &mut Query,
    (parameter, modifier, value): (&Parameter, &str, &str),
) -> Result<(), PullRefusal> {
    if let Some(field) = parameter.field {
        require(fields, field, parameter.name)?;
    }
    match parameter.name {
        "_id" => narrow(
            &mut query.search.ids,
            value.split(',').filter_map(own_id).collect(),
        ),
        "_lastUpdated" => {
            let text = "_lastUpdated is not a time; expected eq, ne, gt, ge, lt, le, sa, eb or ap and a year, a month, a date or an instant such as 2026-11-22T08:00:00+08:00";
            query.search.times.push(
                intervals(value, Timestamp::now()).ok_or_else(|| PullRefusal::Bad(text.into()))?,
            );
        }
        "identifier" => narrow(
            &mut query.search.ids,
            identified(asker, of.kind(), fields, value).await?,
        ),
        "name" | "given" | "family" => {
            let how = match (parameter.name, modifier) {
                ("given", _) | (_, "contains") => How::Contains,
                (_, "exact") => How::Exact,
                _ => How::Starts,
            };
            let wanted: Vec<NameSearch> = value
                .split(',')
                .map(|text| NameSearch {
                    text: text.to_string(),
                    how,
                })
                .collect();
            match of.kind() {
                EntityKind::Institution => query
                    .search
                    .has
                    .push(wanted.iter().map(Has::from).collect()),
                EntityKind::Caregiver => query.names.push(wanted),
            }
        }
        "practitioner" => narrow(&mut query.search.ids, references(value, "Practitioner")),
        "organization" | "location" | "service" => {
            let target = match parameter.name {
                "organization" => "Organization",
                "location" => "Location",
                _ => "HealthcareService",
            };
            let held = if of.kind() == EntityKind::Caregiver {
                &mut query.search.institutions
            } else {
                &mut query.search.ids
            };
            narrow(held, references(value, target));
        }
        // Nothing here has any of these.
        "partof" | "specialty" | "endpoint" => query.search.has.push(Vec::new()),
        _ => query
            .search
            .has
            .push(token::any_of(asker, (of, fields), parameter.name, value)),
    }
    Ok(())
}

/// Reads the parameters of a history.
pub fn read_history(
    of: Type,
    parameters: &[(String, String)],
    lenient: bool,
) -> Result<Query, PullRefusal> {
    let asked: Vec<_> = parameters.iter().collect();
    let mut query = Query {
        count: COUNT_DEFAULT,
        digest: digest(&format!("{}/_history", of.word()), &asked),
        ..Query::default()
    };
    for (name, value) in parameters {
        if common(&mut query, name, value)? {
            continue;
        }
        match name.as_str() {
            "_since" => {
                let (from, _) = moment(value).ok_or_else(|| {
                    PullRefusal::Bad(
                        "_since is not an instant; expected one such as 2026-11-22T08:00:00+08:00"
                            .into(),
                    )
                })?;
                query.since = Some(from);
            }
            _ if lenient => query.ignored.push(name.clone()),
            _ => return Err(unknown(name, ["_since"].into_iter())),
        }
    }
    if query.count == 0 {
        return Err(PullRefusal::Bad("_count is not a number from 1 on".into()));
    }
    Ok(query)
}

/// Those every question may have.
fn common(query: &mut Query, name: &str, value: &str) -> Result<bool, PullRefusal> {
    match name {
        "_count" => {
            let count: usize = value
                .parse()
                .map_err(|_| PullRefusal::Bad("_count is not a number from 0 on".into()))?;
            query.count = count.min(COUNT_MAX);
        }
        "_cursor" => query.cursor = Some(value.to_string()),
        // Which form it may be was looked at with the Accept header; how it is laid out is ours.
        "_format" | "_pretty" => {}
        _ => return Ok(false),
    }
    Ok(true)
}

/// Those about the answer to a search.
fn of_result(
    asker: &Asker<'_>,
    query: &mut Query,
    of: Type,
    (name, value): (&str, &str),
) -> Result<bool, PullRefusal> {
    match name {
        "_total" => match value {
            "none" => query.total = false,
            "accurate" | "estimate" => query.total = true,
            _ => {
                return Err(PullRefusal::Bad(
                    "_total is none of `none`, `estimate`, `accurate`".into(),
                ));
            }
        },
        "_summary" if value == "count" => (query.count, query.total) = (0, true),
        "_summary" if value == "false" => {}
        "_include" | "_revinclude" | "_revInclude" => {
            match Include::read(of, name == "_include", value) {
                Some(include) => query.includes.push(include),
                None if asker.lenient => query.ignored.push(name.to_owned()),
                None => {
                    let served = Include::served(of, name == "_include").join(", ");
                    return Err(PullRefusal::Bad(format!(
                        "`{name}` of {} is served for {served}",
                        of.word()
                    )));
                }
            }
        }
        _ => return Ok(false),
    }
    query.total |= query.count == 0;
    Ok(true)
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> PullRefusal {
    let known: Vec<&str> = known.chain(["_count", "_format"]).collect();
    let shown: String = name.chars().take(40).collect();
    PullRefusal::Bad(format!(
        "`{shown}` is not served here{}; served are {}",
        did_you_mean(name, known.iter().copied()),
        known.join(", ")
    ))
}

/// A puller may ask only about what it is given.
fn require(fields: &FieldSet, field: &str, parameter: &str) -> Result<(), PullRefusal> {
    if fields.has(field) {
        return Ok(());
    }
    Err(PullRefusal::Forbidden(format!(
        "`{parameter}` searches by {field}, which is not among the fields agreed for this client"
    )))
}

/// All parameters must hold, so what one allows the next can only narrow.
fn narrow(held: &mut Option<Vec<String>>, found: Vec<String>) {
    *held = Some(match held.take() {
        None => found,
        Some(before) => before.into_iter().filter(|id| found.contains(id)).collect(),
    });
}

fn references(value: &str, of: &str) -> Vec<String> {
    let id = |reference: &str| match reference.rsplit_once('/') {
        None => own_id(reference),
        Some((start, id)) => (start == of || start.ends_with(&format!("/{of}")))
            .then(|| own_id(id))
            .flatten(),
    };
    value.split(',').filter_map(id).collect()
}

/// Ids of entries with one of these identifiers, each `value` or `system|value`.
async fn identified(
    asker: &Asker<'_>,
    kind: EntityKind,
    fields: &FieldSet,
    value: &str,
) -> Result<Vec<String>, PullRefusal> {
    let (mut ids, mut usccs, mut licences) = (Vec::new(), Vec::new(), Vec::new());
    for token in value.split(',') {
        let (system, value) = token
            .split_once('|')
            .map_or((None, token), |(system, value)| (Some(system), value));
        let means = |word: &str| system.is_none_or(|system| asker.terms.word(system) == Some(word));
        let asks = |word: &str, field: &str| match (means(word), fields.has(field), system) {
            (true, false, Some(_)) => require(fields, field, "identifier").map(|()| false),
            (means, has, _) => Ok(means && has),
        };
        if means(if kind == EntityKind::Institution {
            "institution-id"
        } else {
            "caregiver-id"
        }) {
            ids.push(value.to_string());
        }
        if kind == EntityKind::Institution {
            if asks("uscc", "uscc")? {
                usccs.push(value.to_string());
            }
            if asks("licence", "licence")? {
                licences.push(value.to_string());
            }
        } else if system.is_none_or(|system| {
            asker
                .terms
                .word(system)
                .is_some_and(|own| own.starts_with("certificate:"))
        }) {
            if fields.has("personal.certificate_number") {
                let holders =
                    publish::caregivers_by_certificate(&asker.pulls.registrar, value).await?;
                ids.extend(holders.into_iter().map(|caregiver| caregiver.caregiver_id));
            } else if system.is_some() {
                require(fields, "personal.certificate_number", "identifier")?;
            }
        }
    }
    if !usccs.is_empty() || !licences.is_empty() {
        ids.extend(
            asker
                .pulls
                .registry
                .institution_ids(&usccs, &licences)
                .await?,
        );
    }
    Ok(ids)
}

/// What a cursor is bound to: the question, whatever the order of its parameters or the size of its pages.
fn digest(what: &str, parameters: &[&(String, String)]) -> [u8; 32] {
    let mut asked: Vec<_> = parameters
        .iter()
        .filter(|(name, _)| {
            !["_cursor", "_count", "_format", "_pretty", "_total"].contains(&name.as_str())
        })
        .collect();
    asked.sort();
    let mut hash = Sha256::new().chain_update(what);
    for part in asked.iter().flat_map(|(name, value)| [name, value]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_start_by_a_part_or_exactly() {
        let name = |how| NameSearch {
            text: "a%b".into(),
            how,
        };
        assert!(name(How::Starts).matches("A%bc") && !name(How::Starts).matches("xa%b"));
        assert!(name(How::Contains).matches("xA%bc") && !name(How::Contains).matches("ab"));
        assert!(name(How::Exact).matches("a%b") && !name(How::Exact).matches("A%b"));
        assert_eq!(
            Has::from(&name(How::Contains)),
            Has::NameLike("%a\\%b%".into())
        );
    }
}
