//! Pages of resources and of changes as Bundles.
//!
//! A page ends at the number of a change, and the next one begins after it: `link[next]` carries
//! that number in a signed cursor that is good for this question only. Times never separate pages,
//! so resources that changed at the same instant are not lost between them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::include;
use super::search::{self, Query};
use super::{Asker, Type, fhir_id, instant, left_out, own_id};
use crate::flow::pull::{CursorRefusal, FieldSet, Position, PullRefusal};
use crate::store::registry::{ChangeKind, RegistryChange};

/// Entries read at a time where names must be opened to be compared, and how many times for one page.
const SCANNED: i64 = 1000;
const SCANS: usize = 20;

const OTHER_AREAS: &str = "the pooling areas agreed for this client have changed since _cursor was given; ask again from the first page";

pub async fn search(
    asker: &Asker<'_>,
    of: Type,
    parameters: &[(String, String)],
) -> Result<Value, PullRefusal> {
    let fields = asker.puller.fields(of.kind())?;
    let query = search::read(asker, of, parameters).await?;
    let from = position(asker, of, &query)?;
    let found = matches(asker, (of, fields), &query, from.unwrap_or(0)).await?;
    let base = format!("{}/{}", asker.base, of.word());
    let mut entries = Vec::with_capacity(found.changes.len());
    for change in &found.changes {
        if let Some(resource) = asker.resource(of, fields, change)? {
            let url = format!("{base}/{}", fhir_id(&change.entity_id));
            entries.push(
                json!({ "fullUrl": url, "resource": resource, "search": { "mode": "match" } }),
            );
        }
    }
    entries.extend(include::included(asker, &query.includes, &found.changes).await?);
    if !query.ignored.is_empty() {
        let text = format!("not served and left out: {}", query.ignored.join(", "));
        entries.push(json!({ "resource": left_out(&text), "search": { "mode": "outcome" } }));
    }
    let total = match query.total {
        true if query.names.is_empty() => usize::try_from(
            asker
                .pulls
                .registry
                .search_count(of.kind(), &query.search)
                .await?,
        )
        .ok(),
        // Names are sealed: their number is known only where one page holds them all.
        true => (from.is_none() && found.next.is_none()).then_some(found.seen),
        false => None,
    };
    let mut bundle = bundle(
        asker,
        (of, "searchset", &base),
        (parameters, &query),
        (entries, found.next),
    );
    if let Some(total) = total {
        bundle["total"] = total.into();
    }
    Ok(bundle)
}

/// A page of what is looked for.
#[derive(Default)]
struct Found {
    changes: Vec<RegistryChange>,
    /// How many matched: more than the page where no page is wanted.
    seen: usize,
    /// After which number the next page begins.
    next: Option<i64>,
}

async fn matches(
    asker: &Asker<'_>,
    (of, fields): (Type, &FieldSet),
    query: &Query,
    mut after: i64,
) -> Result<Found, PullRefusal> {
    let mut page = Found::default();
    if query.count == 0 && query.names.is_empty() {
        return Ok(page);
    }
    let limit = if query.names.is_empty() {
        query.count as i64 + 1
    } else {
        SCANNED
    };
    for _ in 0..SCANS {
        let found = asker
            .pulls
            .registry
            .search(of.kind(), &query.search, after, limit)
            .await?;
        let whole = found.len() as i64 == limit;
        for change in found {
            if query.count > 0 && page.changes.len() == query.count {
                page.next = Some(after);
                return Ok(page);
            }
            after = change.sequence;
            if is_named(asker, fields, query, &change)? {
                page.seen += 1;
                if query.count > 0 {
                    page.changes.push(change);
                }
            }
        }
        if !whole {
            return Ok(page);
        }
    }
    page.next = Some(after);
    Ok(page)
}

pub async fn history(
    asker: &Asker<'_>,
    (of, id): (Type, Option<&str>),
    parameters: &[(String, String)],
) -> Result<Value, PullRefusal> {
    let fields = asker.puller.fields(of.kind())?;
    let query = search::read_history(of, parameters, asker.lenient)?;
    let base = format!("{}/{}", asker.base, of.word());
    let from = position(asker, of, &query)?;
    // Before the changes are read, so that one that comes meanwhile is after it.
    let seen_until = if from.is_none() {
        asker.pulls.registry.last_changed_at().await?
    } else {
        None
    };
    let (changes, path) = match id {
        Some(id) => {
            let unknown = || PullRefusal::NotFound(format!("there is no {} of this id", of.word()));
            let mut changes = asker
                .pulls
                .history(asker.puller, of.kind(), &own_id(id).ok_or_else(unknown)?)
                .await?;
            if changes.is_empty() {
                return Err(unknown());
            }
            changes.reverse();
            changes.retain(|change| {
                from.is_none_or(|from| change.sequence < from)
                    && query.since.is_none_or(|since| change.changed_at >= since)
            });
            (changes, format!("{base}/{id}/_history"))
        }
        None => {
            let from = from.unwrap_or(i64::MAX);
            let limit = query.count as i64 + 1;
            (
                asker
                    .pulls
                    .changes_before(asker.puller, of.kind(), (from, query.since), limit)
                    .await?,
                format!("{base}/_history"),
            )
        }
    };
    let shown = &changes[..changes.len().min(query.count)];
    let mut entries = Vec::with_capacity(shown.len());
    for change in shown {
        entries.push(entry(asker, (of, fields), change)?);
    }
    let next = shown
        .last()
        .filter(|_| changes.len() > shown.len())
        .map(|last| last.sequence);
    let mut bundle = bundle(
        asker,
        (of, "history", &path),
        (parameters, &query),
        (entries, next),
    );
    if let Some(at) = seen_until {
        // `_since` this time gives everything that is not here.
        bundle["meta"] = json!({ "lastUpdated": instant(at) });
    }
    Ok(bundle)
}

fn entry(
    asker: &Asker<'_>,
    (of, fields): (Type, &FieldSet),
    change: &RegistryChange,
) -> Result<Value, PullRefusal> {
    let id = fhir_id(&change.entity_id);
    let local = format!("{}/{id}", of.word());
    let (method, status) = match change.change {
        ChangeKind::Delete => ("DELETE", "204"),
        ChangeKind::Put | ChangeKind::Status => ("PUT", "200"),
    };
    let mut entry = json!({ "fullUrl": format!("{}/{local}", asker.base) });
    if let Some(resource) = asker.resource(of, fields, change)? {
        entry["resource"] = resource;
    }
    entry["request"] = json!({ "method": method, "url": local });
    entry["response"] = json!({ "status": status, "etag": format!("W/\"{}\"", change.sequence), "lastModified": instant(change.changed_at) });
    Ok(entry)
}

/// Whether its name is one looked for.
fn is_named(
    asker: &Asker<'_>,
    fields: &FieldSet,
    query: &Query,
    change: &RegistryChange,
) -> Result<bool, PullRefusal> {
    if query.names.is_empty() {
        return Ok(true);
    }
    let record = fields.given(change, &asker.pulls.keys)?.unwrap_or_default();
    let name = record["name"]
        .as_str()
        .or_else(|| record["personal"]["name"].as_str())
        .unwrap_or_default();
    Ok(query
        .names
        .iter()
        .all(|wanted| wanted.iter().any(|wanted| wanted.matches(name))))
}

/// Where the cursor of the question says to go on.
fn position(asker: &Asker<'_>, of: Type, query: &Query) -> Result<Option<i64>, PullRefusal> {
    let Some(cursor) = &query.cursor else {
        return Ok(None);
    };
    let at = asker
        .pulls
        .fhir_signer
        .verify(cursor, asker.puller.bearer(), of.kind())
        .map_err(|refusal| match refusal {
            CursorRefusal::Bad(text) => PullRefusal::Bad(text),
            CursorRefusal::OtherAreas => PullRefusal::OtherAreas(OTHER_AREAS.into()),
        })?;
    if at.digest != query.digest {
        return Err(PullRefusal::Bad(
            "_cursor is of another question; follow the `next` link as it was given".into(),
        ));
    }
    Ok(Some(at.sequence))
}

type Asked<'a> = (&'a [(String, String)], &'a Query);

fn bundle(
    asker: &Asker<'_>,
    (of, kind, url): (Type, &str, &str),
    (parameters, query): Asked<'_>,
    (entries, next): (Vec<Value>, Option<i64>),
) -> Value {
    let used: Vec<(String, String)> = parameters
        .iter()
        .filter(|(name, _)| !query.ignored.contains(name))
        .cloned()
        .collect();
    let mut links = vec![json!({ "relation": "self", "url": with_query(url, &used) })];
    if let Some(sequence) = next {
        let cursor = asker.pulls.fhir_signer.sign(
            asker.puller.bearer(),
            of.kind(),
            &Position {
                sequence,
                digest: query.digest,
            },
        );
        let mut parameters: Vec<(String, String)> = used
            .into_iter()
            .filter(|(name, _)| name != "_cursor")
            .collect();
        parameters.push(("_cursor".into(), cursor));
        links.push(json!({ "relation": "next", "url": with_query(url, &parameters) }));
    }
    let mut bundle = json!({ "resourceType": "Bundle", "type": kind, "timestamp": jiff::Timestamp::now().to_string(), "link": links });
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

fn with_query(url: &str, parameters: &[(String, String)]) -> String {
    let mut text = url.to_string();
    for (at, (name, value)) in parameters.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        escape(name, &mut text);
        text.push('=');
        escape(value, &mut text);
    }
    text
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3).
fn escape(part: &str, out: &mut String) {
    // The unreserved characters of RFC 3986, 2.3.
    const RESERVED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    out.extend(utf8_percent_encode(part, &RESERVED));
}
