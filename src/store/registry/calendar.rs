//! Entries whose day has come: read in order of that day, written back with the next one.

use jiff::civil::Date;

use super::write::WriteStop;
use super::{COLUMNS, ChangeRange, Registry, RegistryChange, cannot, follow};
use crate::error::{Fault, Stage};
use crate::model::registry::EntityKind;
use crate::store::Session;
use crate::store::tx::Tx;

/// An entry one of whose dates has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The day that has come.
    pub on: Date,
    pub current: RegistryChange,
    /// Of a caregiver: the institution has ended since, become one of another kind, or moved to another city.
    pub left_behind: bool,
}

/// How often it is tried when others change the same entries at the same instant.
const TRIES: usize = 8;

/// What a date that has come makes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateTurn {
    /// The status and designation in force from that day, where they differ from before; `None`: only the date is moved on.
    pub standing: Option<(Option<&'static str>, bool)>,
    pub next_on: Option<Date>,
}

impl Registry {
    /// Takes up to `limit` entries whose day has come by `today`, asks what becomes of each, and
    /// writes it; returns how many there were. Several instances may do it at once: each entry is
    /// turned once.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn turn_due(
        &self,
        today: Date,
        limit: i64,
        turn: impl Fn(&Due) -> DateTurn,
    ) -> Result<usize, Fault> {
        for _ in 0..TRIES {
            let tx = Tx::begin(self.store.client().await?)
                .await
                .map_err(cannot)?;
            match self.try_to_turn(&tx, (today, limit), &turn).await {
                Ok(turned) => {
                    tx.commit().await.map_err(cannot)?;
                    return Ok(turned);
                }
                Err(WriteStop::Again) => tx.rollback().await,
                Err(WriteStop::Failed(fault)) => return Err(fault),
            }
        }
        Err(Fault::later(
            Stage::Store,
            "others are changing the caregivers of an institution whose day has come; they are looked at again",
        ))
    }

    async fn try_to_turn(
        &self,
        tx: &Tx,
        (today, limit): (Date, i64),
        turn: impl Fn(&Due) -> DateTurn,
    ) -> Result<usize, WriteStop> {
        let sql = format!(
            "SELECT {COLUMNS}, e.next_on, e.kind = 'caregiver' AND (e.institution_kind, e.city) IS DISTINCT FROM (i.institution_kind, i.city)
             FROM registry_entity e JOIN registry_change c USING (sequence)
             LEFT JOIN LATERAL (SELECT k.institution_kind, k.city FROM registry_entity k WHERE k.kind = 'institution' AND k.entity_id = e.institution_id OFFSET 0) i ON true
             WHERE (e.kind, e.entity_id) IN (SELECT kind, entity_id FROM registry_entity WHERE next_on <= $1 ORDER BY next_on LIMIT $2) AND e.next_on <= $1
             ORDER BY e.kind, e.entity_id FOR UPDATE OF e"
        );
        let rows = tx.query(&sql, &[&today, &limit]).await?;
        let mut due: Vec<Due> = rows
            .iter()
            .map(|row| Due {
                current: RegistryChange::from_row(row),
                on: row.get(RegistryChange::WIDTH),
                left_behind: row.get(RegistryChange::WIDTH + 1),
            })
            .collect();
        due.sort_by_key(|due| due.on);
        let turns: Vec<(&Due, DateTurn)> = due.iter().map(|due| (due, turn(due))).collect();
        let (changed, moved): (Vec<_>, Vec<_>) =
            turns.iter().partition(|(_, turn)| turn.standing.is_some());
        // Rows are written only when nothing is waited for any more: whoever holds the head may wait
        // for a row that is being updated (ON CONFLICT does), though not for one that is locked.
        if !changed.is_empty() {
            let mut written = change(tx, &changed).await?;
            let institutions = changed
                .iter()
                .filter(|(due, _)| due.current.kind == EntityKind::Institution)
                .map(|(due, _)| due.current.entity_id.as_str());
            written.last += follow::follow(tx, &institutions.collect::<Vec<_>>()).await?;
            self.queue
                .queue(tx, written)
                .await
                .map_err(WriteStop::Failed)?;
        }
        move_on(tx, &moved).await?;
        Ok(due.len())
    }
}

async fn move_on(
    client: &Session,
    moved: &[&(&Due, DateTurn)],
) -> Result<(), tokio_postgres::Error> {
    let kinds: Vec<&str> = moved
        .iter()
        .map(|(due, _)| due.current.kind.word())
        .collect();
    let ids: Vec<&str> = moved
        .iter()
        .map(|(due, _)| due.current.entity_id.as_str())
        .collect();
    let next: Vec<Option<Date>> = moved.iter().map(|(_, turn)| turn.next_on).collect();
    let sql = "UPDATE registry_entity e SET next_on = t.next_on FROM unnest($1::text[], $2::text[], $3::date[]) AS t(kind, entity_id, next_on)
        WHERE e.kind = t.kind AND e.entity_id = t.entity_id";
    client.execute(sql, &[&kinds, &ids, &next]).await.map(drop)
}

async fn change(
    client: &Session,
    changed: &[&(&Due, DateTurn)],
) -> Result<ChangeRange, tokio_postgres::Error> {
    let count = changed.len() as i64;
    let last: i64 = client
        .query_one(
            "UPDATE registry_head SET sequence = sequence + $1 RETURNING sequence",
            &[&count],
        )
        .await?
        .get(0);
    let first = last - count + 1;
    let sequences: Vec<i64> = (first..=last).collect();
    let before: Vec<i64> = changed
        .iter()
        .map(|(due, _)| due.current.sequence)
        .collect();
    let on: Vec<Date> = changed.iter().map(|(due, _)| due.on).collect();
    let standing = |(_, turn): &&(&Due, DateTurn)| turn.standing.unwrap_or((None, false));
    let statuses: Vec<Option<&str>> = changed.iter().map(|changed| standing(changed).0).collect();
    let designated: Vec<bool> = changed.iter().map(|changed| standing(changed).1).collect();
    let next: Vec<Option<Date>> = changed.iter().map(|(_, turn)| turn.next_on).collect();
    let sql = "WITH turned AS (
            SELECT t.*, c.kind, c.entity_id, c.version, c.content, c.sealed,
                CASE WHEN c.kind = 'caregiver' THEN i.institution_kind WHEN t.status IS DISTINCT FROM 'ended' THEN c.content->>'kind' END AS institution_kind,
                CASE WHEN c.kind = 'caregiver' THEN i.city ELSE c.city END AS city, c.city AS city_before
            FROM unnest($1::bigint[], $2::bigint[], $3::date[], $4::text[], $5::bool[], $6::date[])
                AS t(sequence, before, effective_on, status, designated, next_on) JOIN registry_change c ON c.sequence = t.before
            LEFT JOIN LATERAL (SELECT k.institution_kind, k.city FROM registry_entity k
                WHERE c.kind = 'caregiver' AND k.kind = 'institution' AND k.entity_id = c.content->>'institution_id' OFFSET 0) i ON true
        ), written AS (
            INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, sealed, status, designated, effective_on, institution_kind,
                city, city_before)
            SELECT sequence, kind, entity_id, version, 'status', content, sealed, status, designated, effective_on, institution_kind, city, city_before
            FROM turned ORDER BY sequence
        )
        UPDATE registry_entity e SET sequence = t.sequence, status = t.status, designated = t.designated, next_on = t.next_on,
            institution_kind = t.institution_kind, city = t.city
        FROM turned t WHERE e.kind = t.kind AND e.entity_id = t.entity_id";
    client
        .execute(
            sql,
            &[&sequences, &before, &on, &statuses, &designated, &next],
        )
        .await?;
    Ok(ChangeRange { first, last })
}
