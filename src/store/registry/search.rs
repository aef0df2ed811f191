//! Entries by what is known of them, and changes from a moment on, in pages that lose nothing.
//!
//! Pages go by the number of the change, which is unique, never by a time. An entry that changes
//! while somebody turns pages gets a higher number and so comes later, with its new state. Who may
//! search by what is decided elsewhere.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::{COLUMNS, Registry, RegistryChange, cannot};
use crate::error::Fault;
use crate::model::registry::EntityKind;

/// What is asked of entries; all of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// One of these ids.
    pub ids: Option<Vec<String>>,
    /// Caregivers of one of these institutions.
    pub institutions: Option<Vec<String>>,
    /// Lying in one of these cities.
    pub cities: Option<Vec<i32>>,
    /// Of each: changed in one of these intervals, whose ends are not included.
    pub times: Vec<Vec<(Option<Timestamp>, Option<Timestamp>)>>,
    /// Of each: it has one of these.
    pub has: Vec<Vec<Has>>,
}

/// Something an entry can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Has {
    Anything,
    /// An institution whose name is like this pattern (SQL LIKE; case does not matter).
    NameLike(String),
    ExactName(String),
    /// One of these statuses in force.
    Status(Vec<String>),
    Designated(bool),
    /// A caregiver who has not left an institution that has not ended.
    Working(bool),
    /// A field of the record that is this word.
    Field(&'static str, String),
    /// A mode of care.
    Mode(String),
    NoMode,
}

type Value = Box<dyn ToSql + Sync + Send>;

impl Registry {
    /// Entries that have not ended, in the order of their last change, after a number.
    ///
    /// # Errors
    /// This and the others: faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn search(
        &self,
        kind: EntityKind,
        search: &Search,
        after: i64,
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        let mut values: Vec<Value> = vec![Box::new(kind.word()), Box::new(after), Box::new(limit)];
        let found = conditions(search, &mut values);
        let sql = format!(
            "SELECT {COLUMNS} {FOUND} {found} AND c.sequence > $2 ORDER BY c.sequence LIMIT $3"
        );
        self.changes(&sql, &referred(&values)).await
    }

    /// How many entries there are in all.
    pub async fn search_count(&self, kind: EntityKind, search: &Search) -> Result<i64, Fault> {
        let mut values: Vec<Value> = vec![Box::new(kind.word())];
        let sql = format!(
            "SELECT count(*) {FOUND} {}",
            conditions(search, &mut values)
        );
        let client = self.store.client().await?;
        Ok(client
            .query_one(&sql, &referred(&values))
            .await
            .map_err(cannot)?
            .get(0))
    }

    /// Ids of institutions with one of these credit codes or licence numbers.
    pub async fn institution_ids(
        &self,
        usccs: &[String],
        licences: &[String],
    ) -> Result<Vec<String>, Fault> {
        let sql = "SELECT entity_id FROM registry_entity WHERE uscc = ANY($1) AND NOT ended
            UNION SELECT e.entity_id FROM registry_entity e JOIN registry_change c USING (sequence)
            WHERE cardinality($2::text[]) > 0 AND e.kind = 'institution' AND NOT e.ended AND c.content->'licence'->>'number' = ANY($2)";
        let client = self.store.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(cannot)?;
        let rows = client
            .query(&statement, &[&usccs, &licences])
            .await
            .map_err(cannot)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The newest changes of a kind below a number, newest first, down to the first made at a time
    /// or later: whoever begins with no time and goes on with the last one's sees every change.
    pub async fn changes_before(
        &self,
        kind: EntityKind,
        before: i64,
        since: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_change c WHERE c.kind = $1 AND c.sequence < $2
             AND ($3::timestamptz IS NULL OR c.sequence >= (SELECT min(s.sequence) FROM registry_change s WHERE s.changed_at >= $3))
             ORDER BY c.sequence DESC LIMIT $4"
        );
        let word = kind.word();
        let values: [&(dyn ToSql + Sync); 4] = [&word, &before, &since, &limit];
        self.changes(&sql, &values).await
    }

    /// When the last change was made that can be seen; whoever asks for all from then on misses none.
    pub async fn last_changed_at(&self) -> Result<Option<Timestamp>, Fault> {
        let client = self.store.client().await?;
        let statement = client
            .prepare_cached("SELECT changed_at FROM registry_change ORDER BY sequence DESC LIMIT 1")
            .await
            .map_err(cannot)?;
        Ok(client
            .query_opt(&statement, &[])
            .await
            .map_err(cannot)?
            .map(|row| row.get(0)))
    }
}

/// The present states of entries that have not ended.
const FOUND: &str = "FROM registry_change c JOIN registry_entity e ON e.kind = c.kind AND e.entity_id = c.entity_id AND e.sequence = c.sequence
    WHERE c.kind = $1 AND NOT e.ended";

fn referred(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values
        .iter()
        .map(|value| &**value as &(dyn ToSql + Sync))
        .collect()
}

/// What follows WHERE, each part with its AND; adds its values.
fn conditions(search: &Search, values: &mut Vec<Value>) -> String {
    let mut bind = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    let mut all = Vec::new();
    all.extend(
        search
            .ids
            .clone()
            .map(|ids| format!("c.entity_id = ANY({}::text[])", bind(boxed(ids)))),
    );
    all.extend(
        search
            .institutions
            .clone()
            .map(|ids| format!("e.institution_id = ANY({}::text[])", bind(boxed(ids)))),
    );
    if let Some(cities) = &search.cities {
        // An entry that has not ended lies where its last change says: both are said, for the index of either table.
        let within = if let [city] = cities[..] {
            format!("= {}", bind(boxed(city)))
        } else {
            format!("= ANY({}::int[])", bind(boxed(cities.clone())))
        };
        all.push(format!("c.city {within} AND e.city {within}"));
    }
    for intervals in &search.times {
        let one = intervals.iter().map(|(from, before)| {
            let from = from.map_or_else(
                || "true".into(),
                |from| format!("c.changed_at >= {}", bind(boxed(from))),
            );
            let before = before.map_or_else(
                || "true".into(),
                |before| format!("c.changed_at < {}", bind(boxed(before))),
            );
            format!("({from} AND {before})")
        });
        all.push(any(one.collect()));
    }
    for has in &search.has {
        all.push(any(has
            .iter()
            .map(|has| condition(has, &mut bind))
            .collect()));
    }
    all.iter().map(|one| format!(" AND {one}")).collect()
}

/// That one of these holds; nothing holds where there is none.
fn any(conditions: Vec<String>) -> String {
    if conditions.is_empty() {
        "false".into()
    } else {
        format!("({})", conditions.join(" OR "))
    }
}

fn condition(has: &Has, bind: &mut impl FnMut(Value) -> String) -> String {
    match has {
        Has::Anything => "true".into(),
        Has::NameLike(pattern) => format!("e.name ILIKE {}", bind(boxed(pattern.clone()))),
        Has::ExactName(name) => format!("e.name = {}", bind(boxed(name.clone()))),
        Has::Status(words) => format!("c.status = ANY({}::text[])", bind(boxed(words.clone()))),
        Has::Designated(designated) => format!("c.designated = {}", bind(boxed(*designated))),
        Has::Working(working) => {
            format!(
                "c.status IS NOT NULL AND (c.institution_kind IS NOT NULL AND c.status <> 'left') = {}",
                bind(boxed(*working))
            )
        }
        Has::Field(field, word) => format!("c.content->>'{field}' = {}", bind(boxed(word.clone()))),
        Has::Mode(mode) => {
            format!(
                "EXISTS (SELECT FROM json_array_elements_text(c.content->'modes') m WHERE m = {})",
                bind(boxed(mode.clone()))
            )
        }
        Has::NoMode => "json_array_length(c.content->'modes') = 0".into(),
    }
}

fn boxed(value: impl ToSql + Sync + Send + 'static) -> Value {
    Box::new(value)
}
