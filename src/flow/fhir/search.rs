//! The parameters of a search and of a history, read and checked.
//!
//! A puller may search only by what it is given: else an answer would tell it what it may not know.
//! A parameter that is not served is refused, because ignoring it would answer another question.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};
use sha2::{Digest, Sha256};

use super::{Asker, OURS, Type, own_id};
use crate::error::did_you_mean;
use crate::flow::publish;
use crate::flow::pull::{FieldSet, Refusal};
use crate::model::registry::Kind;
use crate::store::registry::Search;

const COUNT_DEFAULT: usize = 100;
const COUNT_MAX: usize = 1000;

/// A search parameter: its name and FHIR's word for its type.
pub struct Parameter {
    pub name: &'static str,
    pub kind: &'static str,
}

const fn parameter(name: &'static str, kind: &'static str) -> Parameter {
    Parameter { name, kind }
}

const ID: Parameter = parameter("_id", "token");
const UPDATED: Parameter = parameter("_lastUpdated", "date");
const IDENTIFIER: Parameter = parameter("identifier", "token");
const NAME: Parameter = parameter("name", "string");
const ORGANIZATION: Parameter = parameter("organization", "reference");
const PRACTITIONER: Parameter = parameter("practitioner", "reference");

/// What a type can be searched by.
pub fn parameters_of(of: Type) -> &'static [Parameter] {
    match of {
        Type::Organization | Type::Practitioner => &[ID, UPDATED, IDENTIFIER, NAME],
        Type::Location | Type::HealthcareService => &[ID, UPDATED, IDENTIFIER, NAME, ORGANIZATION],
        Type::PractitionerRole => &[ID, UPDATED, IDENTIFIER, ORGANIZATION, PRACTITIONER],
    }
}

/// A question as it was understood.
#[derive(Default)]
pub struct Query {
    pub search: Search,
    /// Of a practitioner, whose name no index knows.
    pub names: Vec<Vec<Name>>,
    pub since: Option<Timestamp>,
    pub count: usize,
    pub cursor: Option<String>,
    /// Of the question without its page.
    pub digest: [u8; 32],
}

/// A name that is looked for.
pub struct Name {
    text: String,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Starts,
    Contains,
    Exact,
}

impl Name {
    pub fn matches(&self, name: &str) -> bool {
        match self.how {
            How::Exact => name == self.text,
            How::Starts => name.to_lowercase().starts_with(&self.text.to_lowercase()),
            How::Contains => name.to_lowercase().contains(&self.text.to_lowercase()),
        }
    }

    fn pattern(&self) -> String {
        let escaped = self.text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        match self.how {
            How::Exact => escaped,
            How::Starts => escaped + "%",
            How::Contains => format!("%{escaped}%"),
        }
    }
}

/// Reads the parameters of a search.
pub async fn read(asker: &Asker<'_>, of: Type, parameters: &[(String, String)]) -> Result<Query, Refusal> {
    let fields = asker.puller.fields(of.kind())?;
    let mut query = Query { count: COUNT_DEFAULT, digest: digest(of.word(), parameters), ..Query::default() };
    for (name, value) in parameters {
        let (base, modifier) = name.split_once(':').unwrap_or((name, ""));
        if common(&mut query, name, value)? {
            continue;
        }
        let known = parameters_of(of);
        if !known.iter().any(|parameter| parameter.name == base) || (!modifier.is_empty() && base != "name") {
            return Err(unknown(name, known.iter().map(|parameter| parameter.name)));
        }
        match base {
            "_id" => narrow(&mut query.search.ids, value.split(',').filter_map(own_id).collect()),
            "practitioner" => narrow(&mut query.search.ids, references(value, "Practitioner")),
            "organization" if of == Type::PractitionerRole => {
                require(fields, "institution_id", name)?;
                narrow(&mut query.search.institutions, references(value, "Organization"));
            }
            "organization" => narrow(&mut query.search.ids, references(value, "Organization")),
            "identifier" => narrow(&mut query.search.ids, identified(asker, of.kind(), fields, value).await?),
            "name" => named(&mut query, of.kind(), fields, (modifier, value))?,
            _ => updated(&mut query.search, value)?,
        }
    }
    Ok(query)
}

/// Reads the parameters of a history.
pub fn read_history(of: Type, parameters: &[(String, String)]) -> Result<Query, Refusal> {
    let mut query = Query { count: COUNT_DEFAULT, digest: digest(&format!("{}/_history", of.word()), parameters), ..Query::default() };
    for (name, value) in parameters {
        if common(&mut query, name, value)? {
            continue;
        }
        if name != "_since" {
            return Err(unknown(name, ["_since"].into_iter()));
        }
        let (from, _) = moment(value).ok_or_else(|| Refusal::Bad("_since is not an instant; expected one such as 2026-11-22T08:00:00+08:00".into()))?;
        query.since = Some(from);
    }
    Ok(query)
}

/// Those every question may have.
fn common(query: &mut Query, name: &str, value: &str) -> Result<bool, Refusal> {
    match name {
        "_count" => {
            let count: usize = value.parse().ok().filter(|count| *count > 0).ok_or_else(|| Refusal::Bad("_count is not a number from 1 on".into()))?;
            query.count = count.min(COUNT_MAX);
        }
        "_cursor" => query.cursor = Some(value.to_string()),
        "_format" if ["json", "application/json", "application/fhir+json", "application/fhir json"].contains(&value) => {}
        "_format" => return Err(Refusal::NotAcceptable("this is served as application/fhir+json only".into())),
        _ => return Ok(false),
    }
    Ok(true)
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Refusal {
    let known: Vec<&str> = known.chain(["_count", "_format"]).collect();
    let shown: String = name.chars().take(40).collect();
    Refusal::Bad(format!("`{shown}` is not served here{}; served are {}", did_you_mean(name, known.iter().copied()), known.join(", ")))
}

/// A puller may ask only about what it is given.
fn require(fields: &FieldSet, field: &str, parameter: &str) -> Result<(), Refusal> {
    if fields.has(field) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!("`{parameter}` searches by {field}, which is not among the fields agreed for this client")))
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
        Some((start, id)) => (start == of || start.ends_with(&format!("/{of}"))).then(|| own_id(id)).flatten(),
    };
    value.split(',').filter_map(id).collect()
}

fn named(query: &mut Query, kind: Kind, fields: &FieldSet, (modifier, value): (&str, &str)) -> Result<(), Refusal> {
    let how = match modifier {
        "" => How::Starts,
        "contains" => How::Contains,
        "exact" => How::Exact,
        _ => return Err(Refusal::Bad("of `name` only :contains and :exact are served".into())),
    };
    require(fields, if kind == Kind::Institution { "name" } else { "personal.name" }, "name")?;
    let wanted: Vec<Name> = value.split(',').map(|text| Name { text: text.to_string(), how }).collect();
    if kind == Kind::Institution {
        query.search.names = Some(wanted.iter().map(Name::pattern).collect());
    }
    query.names.push(wanted);
    Ok(())
}

/// Ids of entries with one of these identifiers, each `value` or `system|value`.
async fn identified(asker: &Asker<'_>, kind: Kind, fields: &FieldSet, value: &str) -> Result<Vec<String>, Refusal> {
    let (mut ids, mut usccs, mut licences) = (Vec::new(), Vec::new(), Vec::new());
    for token in value.split(',') {
        let (system, value) = token.split_once('|').map_or((None, token), |(system, value)| (Some(system), value));
        let means = |word: &str| system.is_none_or(|system| system.strip_prefix(OURS).is_some_and(|own| own == word));
        let asks = |word: &str, field: &str| match (means(word), fields.has(field), system) {
            (true, false, Some(_)) => require(fields, field, "identifier").map(|()| false),
            (means, has, _) => Ok(means && has),
        };
        if means(if kind == Kind::Institution { "institution-id" } else { "caregiver-id" }) {
            ids.push(value.to_string());
        }
        if kind == Kind::Institution {
            if asks("uscc", "uscc")? {
                usccs.push(value.to_string());
            }
            if asks("licence", "licence")? {
                licences.push(value.to_string());
            }
        } else if system.is_none_or(|system| system.strip_prefix(OURS).is_some_and(|own| own.starts_with("certificate:"))) {
            if fields.has("personal.certificate_number") {
                let holders = publish::caregivers_by_certificate(&asker.pulls.registrar, value).await?;
                ids.extend(holders.into_iter().map(|caregiver| caregiver.caregiver_id));
            } else if system.is_some() {
                require(fields, "personal.certificate_number", "identifier")?;
            }
        }
    }
    if !usccs.is_empty() || !licences.is_empty() {
        ids.extend(asker.pulls.registry.institution_ids(&usccs, &licences).await?);
    }
    Ok(ids)
}

/// `[prefix]time`; a date means the day in China.
fn updated(search: &mut Search, value: &str) -> Result<(), Refusal> {
    let (prefix, time) = value.split_at_checked(2).filter(|(prefix, _)| prefix.bytes().all(|byte| byte.is_ascii_lowercase())).unwrap_or(("eq", value));
    let bad = || Refusal::Bad("_lastUpdated is not a time; expected ge, gt, le or lt and a date or an instant such as 2026-11-22T08:00:00+08:00".into());
    let (start, end) = moment(time).ok_or_else(bad)?;
    let (from, before) = match prefix {
        "ge" => (Some(start), None),
        "gt" => (Some(end), None),
        "lt" => (None, Some(start)),
        "le" => (None, Some(end)),
        "eq" => (Some(start), Some(end)),
        _ => return Err(bad()),
    };
    search.from = search.from.max(from);
    search.before = match (search.before, before) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Ok(())
}

/// From when until when a time is: a day, or one microsecond, in which times are kept.
fn moment(text: &str) -> Option<(Timestamp, Timestamp)> {
    // A plus sign that was not percent-encoded arrives as a space.
    let text = text.replace(' ', "+");
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some((instant, instant.checked_add(1.microsecond()).ok()?));
    }
    let day: Date = text.parse().ok()?;
    let start = |day: Date| day.to_zoned(TimeZone::fixed(Offset::constant(8))).ok().map(|zoned| zoned.timestamp());
    Some((start(day)?, start(day.tomorrow().ok()?)?))
}

/// What a cursor is bound to: the question, whatever the order of its parameters or the size of its pages.
fn digest(what: &str, parameters: &[(String, String)]) -> [u8; 32] {
    let mut asked: Vec<_> = parameters.iter().filter(|(name, _)| !["_cursor", "_count", "_format"].contains(&name.as_str())).collect();
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
    fn times_bound_what_is_found_and_several_narrow_it() {
        let bounds = |values: &[&str]| {
            let mut search = Search::default();
            values.iter().try_for_each(|value| updated(&mut search, value)).map(|()| (search.from, search.before))
        };
        let at = |text: &str| Some(text.parse::<Timestamp>().expect("an instant"));
        assert_eq!(bounds(&["ge2026-11-22"]).expect("read").0, at("2026-11-21T16:00:00Z"), "a day begins in China");
        assert_eq!(bounds(&["2026-11-22"]).expect("read"), (at("2026-11-21T16:00:00Z"), at("2026-11-22T16:00:00Z")));
        assert_eq!(bounds(&["gt2026-11-22T00:00:00Z"]).expect("read").0, at("2026-11-22T00:00:00.000001Z"));
        assert_eq!(bounds(&["le2026-11-22T08:00:00 08:00"]).expect("read").1, at("2026-11-22T00:00:00.000001Z"));
        let both = bounds(&["ge2026-01-01T00:00:00Z", "ge2026-02-01T00:00:00Z", "lt2026-04-01T00:00:00Z", "lt2026-03-01T00:00:00Z"]).expect("read");
        assert_eq!(both, (at("2026-02-01T00:00:00Z"), at("2026-03-01T00:00:00Z")));
        for bad in ["", "ge", "xx2026-01-01", "geyesterday", "é", "2026-13-01"] {
            assert!(bounds(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_found_by_its_start_by_a_part_or_exactly() {
        let name = |how| Name { text: "a%b".into(), how };
        assert!(name(How::Starts).matches("A%bc") && !name(How::Starts).matches("xa%b"));
        assert!(name(How::Contains).matches("xA%bc") && !name(How::Contains).matches("ab"));
        assert!(name(How::Exact).matches("a%b") && !name(How::Exact).matches("A%b"));
        assert_eq!(name(How::Contains).pattern(), "%a\\%b%");
    }
}
