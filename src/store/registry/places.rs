//! The registry as it concerns some cities: changes of what lies in one of them from then on, or lay there until then.
//!
//! That is all a puller of these cities may know of: an entry that never was in one of them has no row here, and
//! one that left has none after the change by which it left. What such a change shows is decided elsewhere.
//! The indexes that begin with the city are used whatever the planner believes: rows are compared and sorted by all
//! their columns, an order no other index has.

use jiff::Timestamp;

use super::{COLUMNS, Registry, RegistryChange, cannot};
use crate::error::Fault;
use crate::model::registry::EntityKind;

/// A page of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPage {
    pub changes: Vec<RegistryChange>,
    /// The last entry looked at; absent when there are no more after it.
    pub last: Option<(EntityKind, String)>,
}

/// That the change `h` concerns one of the cities `$1`.
const CONCERNS: &str = "(h.city = ANY($1) OR h.city_before = ANY($1))";

/// That it is one by which an entry left; as the partial indexes have it.
const LEFT: &str = "h.city_before IS NOT NULL AND h.city IS DISTINCT FROM h.city_before";

impl Registry {
    /// The next changes of a kind after a number that concern one of the cities, in order.
    ///
    /// # Errors
    /// This and the others: faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn changes_after_in(
        &self,
        cities: &[i32],
        kind: EntityKind,
        sequence: i64,
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        let from = |city: &str, only: &str| {
            format!(
                "(SELECT h.sequence FROM registry_change h
                  WHERE (h.{city}, h.kind, h.sequence) > (of.city, $2, $3) AND (h.{city}, h.kind) <= (of.city, $2) AND {only}
                  ORDER BY h.{city}, h.kind, h.sequence LIMIT $4)"
            )
        };
        let sql = near(
            &format!(
                "{} UNION ALL {}",
                from("city", "h.city IS NOT NULL"),
                from("city_before", LEFT)
            ),
            "",
        );
        self.changes(&sql, &[&cities, &kind.word(), &sequence, &limit])
            .await
    }

    /// As [`Registry::changes_before`], of changes that concern one of the cities.
    pub async fn changes_before_in(
        &self,
        cities: &[i32],
        kind: EntityKind,
        (before, since): (i64, Option<Timestamp>),
        limit: i64,
    ) -> Result<Vec<RegistryChange>, Fault> {
        let until = |city: &str, only: &str| {
            format!(
                "(SELECT h.sequence FROM registry_change h
                  WHERE (h.{city}, h.kind, h.sequence) < (of.city, $2, $3) AND (h.{city}, h.kind, h.sequence) >= (of.city, $2, (SELECT first FROM since))
                    AND {only}
                  ORDER BY h.{city} DESC, h.kind DESC, h.sequence DESC LIMIT $4)"
            )
        };
        let sql = format!(
            "WITH since AS (SELECT CASE WHEN $5::timestamptz IS NULL THEN 0 ELSE coalesce(
                 (SELECT min(s.sequence) FROM registry_change s WHERE s.changed_at >= $5), 9223372036854775807) END AS first)
             {}",
            near(&format!("{} UNION ALL {}", until("city", "h.city IS NOT NULL"), until("city_before", LEFT)), "DESC")
        );
        self.changes(&sql, &[&cities, &kind.word(), &before, &limit, &since])
            .await
    }

    /// The last change of an entry that concerns one of the cities.
    pub async fn entity_in(
        &self,
        cities: &[i32],
        kind: EntityKind,
        id: &str,
    ) -> Result<Option<RegistryChange>, Fault> {
        Ok(self.history_in(cities, kind, id).await?.pop())
    }

    /// All changes of an entry that concern one of the cities, oldest first.
    pub async fn history_in(
        &self,
        cities: &[i32],
        kind: EntityKind,
        id: &str,
    ) -> Result<Vec<RegistryChange>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM (SELECT * FROM registry_change h WHERE h.kind = $2 AND h.entity_id = $3 AND {CONCERNS}) c
             ORDER BY c.kind, c.entity_id, c.sequence"
        );
        self.changes(&sql, &[&cities, &kind.word(), &id]).await
    }

    /// A page of what concerned one of the cities right after change `at`, by kind and id: of each entry the last
    /// change that did. Fewer than `limit` may come although there are more.
    pub async fn as_of_in(
        &self,
        (cities, at): (&[i32], i64),
        kinds: &[EntityKind],
        after: Option<(EntityKind, &str)>,
        limit: i64,
    ) -> Result<EntryPage, Fault> {
        let (kind, id) = after.map_or(("", ""), |(kind, id)| (kind.word(), id));
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
        let sql = format!(
            "SELECT {COLUMNS}, e.kind, e.entity_id FROM (
                 SELECT DISTINCT m.kind, m.entity_id FROM unnest($1::int[]) AS of (city)
                 CROSS JOIN (SELECT k.kind, CASE WHEN k.kind = $4 THEN $5 ELSE '' END AS after FROM unnest($3::text[]) AS k (kind) WHERE k.kind >= $4) k
                 CROSS JOIN LATERAL ({present} UNION ALL {leavers}) m
                 ORDER BY m.kind, m.entity_id LIMIT $6
             ) e LEFT JOIN LATERAL (
                 SELECT * FROM registry_change h WHERE h.kind = e.kind AND h.entity_id = e.entity_id AND h.sequence <= $2 AND {CONCERNS}
                 ORDER BY h.sequence + 0 DESC LIMIT 1
             ) c ON true ORDER BY e.kind, e.entity_id",
            present = candidates("registry_entity", "city", "h.city IS NOT NULL"),
            leavers = candidates("registry_change", "city_before", LEFT),
        );
        let client = self.store.client().await?;
        let statement = client.prepare_cached(&sql).await.map_err(cannot)?;
        let rows = client
            .query(&statement, &[&cities, &at, &kinds, &kind, &id, &limit])
            .await
            .map_err(cannot)?;
        let last = rows.last().filter(|_| rows.len() as i64 == limit);
        let last = last.map(|row| {
            (
                EntityKind::of_word(row.get(RegistryChange::WIDTH))
                    .expect("the table checks the word"),
                row.get(RegistryChange::WIDTH + 1),
            )
        });
        // An entry that came to these cities later has no change yet.
        let shown = rows
            .iter()
            .filter(|row| row.get::<_, Option<i64>>(0).is_some());
        Ok(EntryPage {
            changes: shown.map(RegistryChange::from_row).collect(),
            last,
        })
    }
}

/// Ids of a kind in a city after one, each once.
fn candidates(table: &str, city: &str, only: &str) -> String {
    format!(
        "(SELECT DISTINCT ON (h.{city}, h.kind, h.entity_id) h.kind, h.entity_id FROM {table} h
          WHERE (h.{city}, h.kind, h.entity_id) > (of.city, k.kind, k.after) AND (h.{city}, h.kind) <= (of.city, k.kind) AND {only}
          ORDER BY h.{city}, h.kind, h.entity_id LIMIT $6)"
    )
}

/// Of what `each` finds in each city `of` of `$1` the first `$4`, once; `order` is empty or DESC.
fn near(each: &str, order: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM (
             SELECT DISTINCT n.sequence FROM unnest($1::int[]) AS of (city) CROSS JOIN LATERAL ({each}) n ORDER BY n.sequence {order} LIMIT $4
         ) near CROSS JOIN LATERAL (SELECT * FROM registry_change k WHERE k.sequence = near.sequence OFFSET 0) c ORDER BY c.sequence {order}"
    )
}
