//! `entities`, `only`, `purpose` and `fields` of an `[[outbound]]`: which registry entries a partner
//! is told of, why, and what of them.
//!
//! A closed vocabulary: kinds, fields and words of the canonical records, and nothing that computes.
//! A template is given the fields named here and no others, so what is not named cannot leave; a
//! field about a natural person must be named with its `personal.`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use toml::Spanned;

use crate::error::did_you_mean;
use crate::model::registry::{EntityKind, PRIVATE, REASON};

/// Can be told beside the fields of the record itself: the day of which `status` and `designated` speak.
const EFFECTIVE_ON: &str = "effective_on";
/// What `only` can ask of, with the words it can ask for.
type Asked = (&'static str, &'static [&'static str]);
const INSTITUTION_KINDS: &[&str] = &["medical", "elderly_care", "home_care", "assessment"];
const OF_INSTITUTION: &[Asked] = &[("kind", INSTITUTION_KINDS)];
const OF_CAREGIVER: &[Asked] = &[
    ("kind", &["social", "exclusive"]),
    ("job", &["caregiver", "nurse", "assessor", "manager"]),
    ("institution.kind", INSTITUTION_KINDS),
];

/// Which registry entries a message is about and what of them it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    pub kind: EntityKind,
    /// Why the partner is told, for people.
    pub purpose: String,
    /// Every field must have one of its words.
    pub only: Vec<(String, Vec<String>)>,
    fields: Vec<String>,
    personal: Vec<String>,
}

/// The keys as written.
#[derive(Debug, Default)]
pub struct DisclosureKeys {
    pub entities: Option<Spanned<String>>,
    pub only: BTreeMap<Spanned<String>, Spanned<Vec<String>>>,
    pub purpose: Option<Spanned<String>>,
    pub fields: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Why an entry is removed, for whoever is not told the source's own words.
const ENDED: &str = "ended, or no longer within the purpose of this register";

/// Every field that can be told, beside id, version, revision and removal.
fn known(kind: EntityKind) -> Vec<&'static str> {
    kind.fields()
        .iter()
        .copied()
        .chain([EFFECTIVE_ON])
        .collect()
}

impl Disclosure {
    /// Checks the keys; `None` where the message is about no entries. Adds `(offset, text)` per problem.
    pub fn compile(
        written: DisclosureKeys,
        problems: &mut Vec<(usize, String)>,
    ) -> Option<Disclosure> {
        let Some(entities) = written.entities else {
            let stray = [
                written
                    .purpose
                    .map(|purpose| (purpose.span().start, "purpose")),
                written.fields.map(|fields| (fields.span().start, "fields")),
                written
                    .only
                    .keys()
                    .next()
                    .map(|only| (only.span().start, "only")),
            ];
            for (at, key) in stray.into_iter().flatten() {
                problems.push((at, format!("`{key}` speaks of registry entries; add `entities = \"institution\"` or `\"caregiver\"`, or remove it")));
            }
            return None;
        };
        let at = entities.span().start;
        let Some(kind) = EntityKind::of_word(entities.get_ref()) else {
            let words = EntityKind::ALL.map(EntityKind::word);
            let near = did_you_mean(entities.get_ref(), words);
            problems.push((
                at,
                format!(
                    "entities is `{}`; expected {}{near}",
                    entities.get_ref(),
                    words.join(" or ")
                ),
            ));
            return None;
        };
        let asked = match kind {
            EntityKind::Institution => OF_INSTITUTION,
            EntityKind::Caregiver => OF_CAREGIVER,
        };
        let known = known(kind);
        let purpose = written
            .purpose
            .as_ref()
            .map_or("", |purpose| purpose.get_ref().trim())
            .to_owned();
        if purpose.chars().count() < 10 {
            let at = written.purpose.map_or(at, |purpose| purpose.span().start);
            problems.push((
                at,
                "registry entries are told for a stated purpose; add `purpose = \"...\"`, a sentence that says what the partner needs them for".into(),
            ));
        }
        let only = written
            .only
            .into_iter()
            .map(|(field, words)| only(field, words, asked, problems))
            .collect();
        let Some(listed) = written.fields else {
            problems.push((at, "which fields are told must be said; add `fields = [...]` with those the purpose needs and no others".into()));
            return None;
        };
        let mut fields: Vec<String> = Vec::new();
        for field in listed.into_inner() {
            let (at, name) = (field.span().start, field.into_inner());
            if !known.contains(&name.as_str()) {
                let near = did_you_mean(&name, known.iter().copied());
                problems.push((
                    at,
                    format!(
                        "`{name}` is no field of an entry of kind {kind}{near}; there are {}",
                        known.join(", ")
                    ),
                ));
            } else if fields.contains(&name) {
                problems.push((at, format!("field `{name}` is named twice")));
            }
            fields.push(name);
        }
        let personal = fields
            .iter()
            .filter_map(|field| field.strip_prefix(PRIVATE).map(str::to_owned))
            .collect();
        fields.retain(|field| !field.starts_with(PRIVATE));
        Some(Disclosure {
            kind,
            purpose,
            only,
            fields,
            personal,
        })
    }

    /// Whether anything about a natural person is told, so that it must be opened.
    pub fn needs_personal(&self) -> bool {
        !self.personal.is_empty()
    }

    /// Whether the source's own words are told for which an entry was deleted.
    pub fn tells_reason(&self) -> bool {
        self.fields.iter().any(|field| field == REASON)
    }

    /// All fields that are told, as they are named in the manifest.
    pub fn fields(&self) -> impl Iterator<Item = String> {
        self.fields.iter().cloned().chain(
            self.personal
                .iter()
                .map(|field| format!("{PRIVATE}{field}")),
        )
    }

    /// What a template is given of an entry: id, version, revision, whether it is removed and why,
    /// and the fields named, null where the entry has none.
    pub fn record(&self, entity: &Value) -> Value {
        let removed = entity
            .get("removed")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let of = |from: &Value, field: &str| {
            if removed {
                Value::Null
            } else {
                from.get(field).cloned().unwrap_or_default()
            }
        };
        let mut record = Map::new();
        for name in ["id", "version", "revision"] {
            record.insert(name.into(), entity.get(name).cloned().unwrap_or_default());
        }
        record.insert("removed".into(), json!(removed));
        record.insert(
            "removed_on".into(),
            entity
                .get("removed_on")
                .filter(|_| removed)
                .cloned()
                .unwrap_or_default(),
        );
        let reason = if self.tells_reason() {
            entity.get(REASON).cloned().unwrap_or_default()
        } else {
            ENDED.into()
        };
        record.insert(REASON.into(), if removed { reason } else { Value::Null });
        for field in self.fields.iter().filter(|field| *field != REASON) {
            record.insert(field.clone(), of(entity, field));
        }
        if self.needs_personal() {
            let personal = entity.get("personal").cloned().unwrap_or_default();
            let told: Map<String, Value> = self
                .personal
                .iter()
                .map(|field| (field.clone(), of(&personal, field)))
                .collect();
            record.insert("personal".into(), told.into());
        }
        record.into()
    }
}

fn only(
    field: Spanned<String>,
    words: Spanned<Vec<String>>,
    asked: &[Asked],
    problems: &mut Vec<(usize, String)>,
) -> (String, Vec<String>) {
    let (field_at, field, words_at, words) = (
        field.span().start,
        field.into_inner(),
        words.span().start,
        words.into_inner(),
    );
    match asked.iter().find(|(name, _)| *name == field) {
        None => {
            let names: Vec<&str> = asked.iter().map(|(name, _)| *name).collect();
            let near = did_you_mean(&field, names.iter().copied());
            problems.push((
                field_at,
                format!(
                    "`only` cannot ask for `{field}`{near}; expected {}",
                    names.join(", ")
                ),
            ));
        }
        Some((_, known)) => {
            for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
                let near = did_you_mean(word, known.iter().copied());
                problems.push((
                    words_at,
                    format!(
                        "`{word}` is no word of `{field}`{near}; expected some of {}",
                        known.join(", ")
                    ),
                ));
            }
            if words.is_empty() {
                problems.push((words_at, format!("`only` with no word of `{field}` lets nothing through; expected some of {}", known.join(", "))));
            }
        }
    }
    (field, words)
}

#[cfg(test)]
mod tests;
