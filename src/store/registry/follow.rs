//! Caregivers go with their institution: where it ends, is deleted, becomes one of another kind or moves to
//! another city, those who belong to it are published again in the transaction that says so, behind it.
//!
//! Their versions stay what they are; only where they belong changes, and with it whom they concern.

use crate::store::Session;

use super::write::WriteStop;

/// Those of these institutions that were published with another kind or city than their institution has now.
const LEFT_BEHIND: &str = "SELECT m.entity_id FROM unnest($1::text[]) AS of (institution_id)
    CROSS JOIN LATERAL (SELECT k.institution_kind, k.city FROM registry_entity k WHERE k.kind = 'institution' AND k.entity_id = of.institution_id OFFSET 0) i
    CROSS JOIN LATERAL (SELECT e.entity_id, e.institution_kind, e.city FROM registry_entity e WHERE e.institution_id = of.institution_id AND NOT e.ended OFFSET 0) m
    WHERE m.institution_kind IS DISTINCT FROM i.institution_kind OR m.city IS DISTINCT FROM i.city ORDER BY m.entity_id";

/// One that another writer holds is skipped: that writer may be waiting for the head, which we have.
const LOCK: &str = "SELECT 1 FROM registry_entity WHERE kind = 'caregiver' AND entity_id = ANY($1) ORDER BY entity_id FOR UPDATE SKIP LOCKED";

const PUBLISH: &str = "WITH moved AS (
        SELECT $2::bigint + row_number() OVER (ORDER BY e.entity_id) AS sequence, e.entity_id, e.sequence AS before, i.institution_kind, ic.effective_on,
               i.city, e.city AS city_before
        FROM unnest($1::text[]) AS of (entity_id) JOIN registry_entity e ON e.kind = 'caregiver' AND e.entity_id = of.entity_id
        JOIN registry_entity i ON i.kind = 'institution' AND i.entity_id = e.institution_id JOIN registry_change ic ON ic.sequence = i.sequence
    ), written AS (
        INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, sealed, status, designated, effective_on, institution_kind,
            city, city_before)
        SELECT m.sequence, c.kind, c.entity_id, c.version, 'status', c.content, c.sealed, c.status, c.designated,
               greatest(c.effective_on, m.effective_on), m.institution_kind, m.city, m.city_before
        FROM moved m JOIN registry_change c ON c.sequence = m.before ORDER BY m.sequence
    )
    UPDATE registry_entity e SET sequence = m.sequence, institution_kind = m.institution_kind, city = m.city
    FROM moved m WHERE e.kind = 'caregiver' AND e.entity_id = m.entity_id";

/// Publishes who was left behind by changes of these institutions, which the transaction has written
/// under the head's lock; returns how many.
pub(super) async fn follow(client: &Session, institutions: &[&str]) -> Result<i64, WriteStop> {
    if institutions.is_empty() {
        return Ok(0);
    }
    let rows = client.query(LEFT_BEHIND, &[&institutions]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    if client.query(LOCK, &[&ids]).await?.len() < ids.len() {
        return Err(WriteStop::Again);
    }
    let last: i64 = client
        .query_one(
            "UPDATE registry_head SET sequence = sequence + $1 RETURNING sequence",
            &[&count],
        )
        .await?
        .get(0);
    if client.execute(PUBLISH, &[&ids, &(last - count)]).await? < ids.len() as u64 {
        return Err(WriteStop::Again);
    }
    Ok(count)
}
