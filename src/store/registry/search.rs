//! Entries by what is known of them, and changes from a moment on, in pages that lose nothing.
//!
//! Pages go by the number of the change, which is unique, never by a time. An entry that changes
//! while somebody turns pages gets a higher number and so comes later, with its new state. Who may
//! search by what is decided elsewhere.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::{COLUMNS, Change, Registry, cannot};
use crate::error::Fault;
use crate::model::registry::Kind;

/// What is asked of entries; all of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// One of these ids.
    pub ids: Option<Vec<String>>,
    /// Institutions whose name is like one of these patterns (SQL LIKE; case does not matter).
    pub names: Option<Vec<String>>,
    /// Caregivers of one of these institutions.
    pub institutions: Option<Vec<String>>,
    /// Changed at this time or later.
    pub from: Option<Timestamp>,
    /// Changed before this time.
    pub before: Option<Timestamp>,
}

type Value = Box<dyn ToSql + Sync + Send>;

impl Registry {
    /// Entries that have not ended, in the order of their last change, after a number.
    ///
    /// # Errors
    /// This and the others: faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn search(&self, kind: Kind, search: &Search, after: i64, limit: i64) -> Result<Vec<Change>, Fault> {
        let mut values: Vec<Value> = vec![Box::new(kind.word()), Box::new(after), Box::new(limit)];
        let mut sql = format!(
            "SELECT {COLUMNS} FROM registry_change c JOIN registry_entity e ON e.kind = c.kind AND e.entity_id = c.entity_id AND e.sequence = c.sequence
             WHERE c.kind = $1 AND NOT e.ended AND c.sequence > $2"
        );
        let mut also = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.push(value);
                sql += &format!(" AND {condition}").replace('?', &format!("${}", values.len()));
            }
        };
        also("c.entity_id = ANY(?::text[])", search.ids.clone().map(boxed));
        also("e.name ILIKE ANY(?::text[])", search.names.clone().map(boxed));
        also("c.content->>'institution_id' = ANY(?::text[])", search.institutions.clone().map(boxed));
        also("c.changed_at >= ?", search.from.map(boxed));
        also("c.changed_at < ?", search.before.map(boxed));
        sql += " ORDER BY c.sequence LIMIT $3";
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        self.changes(&sql, &values).await
    }

    /// Ids of institutions with one of these credit codes or licence numbers.
    pub async fn institution_ids(&self, usccs: &[String], licences: &[String]) -> Result<Vec<String>, Fault> {
        let sql = "SELECT entity_id FROM registry_entity WHERE uscc = ANY($1) AND NOT ended
            UNION SELECT e.entity_id FROM registry_entity e JOIN registry_change c USING (sequence)
            WHERE cardinality($2::text[]) > 0 AND e.kind = 'institution' AND NOT e.ended AND c.content->'licence'->>'number' = ANY($2)";
        let client = self.store.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(cannot)?;
        let rows = client.query(&statement, &[&usccs, &licences]).await.map_err(cannot)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The newest changes of a kind below a number, newest first, down to the first made at a time
    /// or later: whoever begins with no time and goes on with the last one's sees every change.
    pub async fn changes_before(&self, kind: Kind, before: i64, since: Option<Timestamp>, limit: i64) -> Result<Vec<Change>, Fault> {
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
        let statement = client.prepare_cached("SELECT changed_at FROM registry_change ORDER BY sequence DESC LIMIT 1").await.map_err(cannot)?;
        Ok(client.query_opt(&statement, &[]).await.map_err(cannot)?.map(|row| row.get(0)))
    }
}

fn boxed(value: impl ToSql + Sync + Send + 'static) -> Value {
    Box::new(value)
}
