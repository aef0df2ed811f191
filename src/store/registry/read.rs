//! Reading the registry: changes in order, one entry, its history, and everything as of one change.
//!
//! No statement here outlasts its page: a snapshot is read in pages too, each as of the same
//! change, so no transaction stays open while somebody reads slowly.

use super::{COLUMNS, Registry, RegistryChange, cannot};
use crate::error::Fault;
use crate::model::registry::EntityKind;

/// What rules about caregivers need to know of an institution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Designation {
    pub institution_id: String,
    /// As of its last change.
    pub designated: bool,
    /// It was not deleted.
    pub registered: bool,
    /// Of a deleted one the last that was known.
    pub division: String,
}

impl Registry {
    /// The number of the last change; 0 when there is none.
    ///
    /// # Errors
    /// This and the other reads: faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn head(&self) -> Result<i64, Fault> {
        let client = self.store.client().await?;
        let statement = client
            .prepare_cached("SELECT sequence FROM registry_head")
            .await
            .map_err(cannot)?;
        Ok(client
            .query_one(&statement, &[])
            .await
            .map_err(cannot)?
            .get(0))
    }

    /// The next changes of these kinds after a number, in order. Whoever goes on from the last
    /// number got sees every change exactly once.
    pub async fn changes_after(
        &self,
        sequence: i64,
        kinds: &[EntityKind],
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        let sql = match kinds {
            [_] => format!(
                "SELECT {COLUMNS} FROM registry_change c WHERE c.sequence > $1 AND c.kind = ($2::text[])[1] ORDER BY c.sequence LIMIT $3"
            ),
            _ => format!(
                "SELECT {COLUMNS} FROM registry_change c WHERE c.sequence > $1 AND c.kind = ANY($2::text[]) ORDER BY c.sequence LIMIT $3"
            ),
        };
        self.changes(&sql, &[&sequence, &words(kinds), &limit])
            .await
    }

    /// The present state of an entry: its last change.
    pub async fn entity(
        &self,
        kind: EntityKind,
        id: &str,
    ) -> Result<Option<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_entity e JOIN registry_change c USING (sequence) WHERE e.kind = $1 AND e.entity_id = $2"
        );
        Ok(self.changes(&sql, &[&kind.word(), &id]).await?.pop())
    }

    /// The present states of entries, in no order; unknown ids are left out.
    pub async fn entities(
        &self,
        kind: EntityKind,
        ids: &[&str],
    ) -> Result<Vec<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_entity e JOIN registry_change c USING (sequence) WHERE e.kind = $1 AND e.entity_id = ANY($2)"
        );
        self.changes(&sql, &[&kind.word(), &ids]).await
    }

    /// All changes of an entry, oldest first.
    pub async fn history(&self, kind: EntityKind, id: &str) -> Result<Vec<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_change c WHERE c.kind = $1 AND c.entity_id = $2 ORDER BY c.sequence"
        );
        self.changes(&sql, &[&kind.word(), &id]).await
    }

    /// A page of the registry as it was right after change `at`, by kind and id, tombstones
    /// included; go on after the last one got.
    pub async fn as_of(
        &self,
        at: i64,
        kinds: &[EntityKind],
        after: Option<(EntityKind, &str)>,
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        let (kind, id) = after.map_or(("", ""), |(kind, id)| (kind.word(), id));
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_entity e CROSS JOIN LATERAL (
                 SELECT * FROM registry_change h WHERE h.kind = e.kind AND h.entity_id = e.entity_id AND h.sequence <= $1 ORDER BY h.sequence DESC LIMIT 1
             ) c WHERE (e.kind, e.entity_id) > ($2, $3) AND e.kind = ANY($4::text[]) ORDER BY e.kind, e.entity_id LIMIT $5"
        );
        self.changes(&sql, &[&at, &kind, &id, &words(kinds), &limit])
            .await
    }

    /// How many entries there are that have not ended.
    pub async fn count(&self, kind: EntityKind) -> Result<i64, Fault> {
        let client = self.store.client().await?;
        let row = client
            .query_one(
                "SELECT count(*) FROM registry_entity WHERE kind = $1 AND NOT ended",
                &[&kind.word()],
            )
            .await
            .map_err(cannot)?;
        Ok(row.get(0))
    }

    /// Entries with this blind index; whoever asks opens them and compares, because an index may meet another's.
    pub async fn by_certificate(&self, indexes: &[i64]) -> Result<Vec<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_entity e JOIN registry_change c USING (sequence) WHERE e.certificate_index = ANY($1) AND NOT e.ended"
        );
        self.changes(&sql, &[&indexes]).await
    }

    /// As [`Registry::by_certificate`], by phone.
    pub async fn by_phone(&self, indexes: &[i64]) -> Result<Vec<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_entity e JOIN registry_change c USING (sequence) WHERE e.phone_index = ANY($1) AND NOT e.ended"
        );
        self.changes(&sql, &[&indexes]).await
    }

    /// Institutions with this credit code.
    pub async fn by_uscc(&self, uscc: &str) -> Result<Vec<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM registry_entity e JOIN registry_change c USING (sequence) WHERE e.uscc = $1 AND NOT e.ended ORDER BY e.entity_id"
        );
        self.changes(&sql, &[&uscc]).await
    }

    /// Those of these institutions that are or were registered, as rules about caregivers see them.
    pub async fn institutions(&self, ids: &[&str]) -> Result<Vec<Designation>, Fault> {
        let client = self.store.client().await?;
        let sql = "SELECT e.entity_id, e.designated, NOT e.ended, coalesce(CASE WHEN e.ended THEN (
                SELECT h.content->>'division' FROM registry_change h WHERE h.kind = e.kind AND h.entity_id = e.entity_id AND h.content IS NOT NULL
                ORDER BY h.sequence DESC LIMIT 1) ELSE c.content->>'division' END, '')
            FROM registry_entity e JOIN registry_change c USING (sequence) WHERE e.kind = 'institution' AND e.entity_id = ANY($1)";
        let statement = client.prepare_cached(sql).await.map_err(cannot)?;
        let rows = client.query(&statement, &[&ids]).await.map_err(cannot)?;
        Ok(rows
            .iter()
            .map(|row| Designation {
                institution_id: row.get(0),
                designated: row.get(1),
                registered: row.get(2),
                division: row.get(3),
            })
            .collect())
    }

    pub(super) async fn changes(
        &self,
        sql: &str,
        values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<RegistryChange>, Fault> {
        let client = self.store.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(cannot)?;
        let rows = client.query(&statement, values).await.map_err(cannot)?;
        Ok(rows.iter().map(RegistryChange::from_row).collect())
    }
}

fn words(kinds: &[EntityKind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.word()).collect()
}
