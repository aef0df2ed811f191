//! What became of claimed rows, written many at a time and only where the claim still holds.

use std::collections::HashSet;
use std::time::Duration;

use super::{Lease, connection, fault, milliseconds};
use crate::error::Fault;
use crate::model::{Outcome, mask};
use crate::store::Pool;

/// Characters of a partner's answer kept.
const ANSWER_CHARS_MAX: usize = 500;

/// Where a claimed row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The partner has it.
    Delivered,
    /// Nothing more happens until a person decides.
    Dead,
    /// Sent (again) after so long.
    Ready(Duration),
    /// Asked about after so long.
    InDoubt(Duration),
}

impl Next {
    fn state(self) -> &'static str {
        match self {
            Next::Delivered => "delivered",
            Next::Dead => "dead",
            Next::Ready(_) => "ready",
            Next::InDoubt(_) => "in_doubt",
        }
    }

    fn after(self) -> f64 {
        match self {
            Next::Delivered | Next::Dead => 0.0,
            Next::Ready(after) | Next::InDoubt(after) => milliseconds(after),
        }
    }
}

/// What became of one claimed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub delivery_id: i64,
    /// The attempt begun under this claim, if any.
    pub attempt_no: Option<i32>,
    pub next: Next,
    /// What is known of the delivery now; `None` keeps what was known before.
    pub outcome: Option<Outcome>,
    /// What the request itself met with; `None`: it never left.
    pub answered: Option<Outcome>,
    /// HTTP status, when there was a complete answer.
    pub status: Option<u16>,
    /// Safe to show.
    pub text: String,
    /// Whether the attempt counts towards `attempts_max`.
    pub counts: bool,
}

/// Writes settlements in one statement; returns the ids of those that no longer were this lease's
/// to settle, of which nothing was written.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached; then nothing was written.
pub async fn settle(
    pool: &Pool,
    lease: &Lease,
    settlements: &[Settlement],
) -> Result<Vec<i64>, Fault> {
    const SQL: &str = "WITH given AS (
            SELECT * FROM unnest($3::bigint[], $4::int[], $5::text[], $6::float8[], $7::text[], $8::text[], $9::int[], $10::text[], $11::int[])
                AS g(delivery_id, attempt_no, state, after, outcome, answered, status, answer, uncounted)),
        -- Of a registry entry only the newest change is sent again or left to a person.
        outdated AS (
            SELECT d.delivery_id FROM given g JOIN delivery d USING (delivery_id)
            WHERE g.state IN ('ready', 'dead') AND d.subject_kind IN ('institution', 'caregiver') AND EXISTS (
                SELECT 1 FROM delivery n WHERE n.subject_id = d.subject_id AND n.subject_kind = d.subject_kind AND n.destination = d.destination
                  AND n.part > d.part AND n.state <> 'superseded' AND (g.state = 'dead' OR n.priority <= d.priority))),
        told AS (
            SELECT g.*, CASE WHEN o.delivery_id IS NULL THEN g.state ELSE 'superseded' END AS next
            FROM given g LEFT JOIN outdated o USING (delivery_id)),
        held AS (
            UPDATE delivery d SET state = g.next, lease_token = NULL, leased_until = NULL, under_way = false,
                due_at = now() + g.after * interval '1 millisecond',
                outcome = coalesce(g.outcome, d.outcome), answer = g.answer,
                attempts = greatest(d.attempts - g.uncounted, 0),
                settled_at = CASE WHEN g.next IN ('delivered', 'dead', 'superseded') THEN now() END
            FROM told g
            WHERE d.delivery_id = g.delivery_id AND d.destination = $1 AND d.lease_token = $2
              AND d.under_way = (g.attempt_no IS NOT NULL) AND d.attempt_no = coalesce(g.attempt_no, d.attempt_no)
            RETURNING d.delivery_id),
        closed AS (
            UPDATE attempt a SET ended_at = now(), status = g.status, outcome = coalesce(g.answered, 'not_sent'), answer = g.answer
            FROM given g JOIN held USING (delivery_id)
            WHERE a.delivery_id = g.delivery_id AND a.attempt_no = g.attempt_no)
        SELECT delivery_id FROM held";
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = settlements.iter().map(|s| s.delivery_id).collect();
    let attempts: Vec<Option<i32>> = settlements.iter().map(|s| s.attempt_no).collect();
    let states: Vec<&str> = settlements.iter().map(|s| s.next.state()).collect();
    let after: Vec<f64> = settlements.iter().map(|s| s.next.after()).collect();
    let outcomes: Vec<Option<&str>> = settlements
        .iter()
        .map(|s| s.outcome.map(Outcome::word))
        .collect();
    let answered: Vec<Option<&str>> = settlements
        .iter()
        .map(|s| s.answered.map(Outcome::word))
        .collect();
    let statuses: Vec<Option<i32>> = settlements
        .iter()
        .map(|s| s.status.map(i32::from))
        .collect();
    let texts: Vec<String> = settlements.iter().map(|s| storable(&s.text)).collect();
    let uncounted: Vec<i32> = settlements.iter().map(|s| i32::from(!s.counts)).collect();
    let client = connection(pool).await?;
    let statement = client
        .prepare_cached(SQL)
        .await
        .map_err(|error| fault("settle deliveries", &error))?;
    let rows = client
        .query(
            &statement,
            &[
                &lease.destination,
                &lease.token,
                &ids,
                &attempts,
                &states,
                &after,
                &outcomes,
                &answered,
                &statuses,
                &texts,
                &uncounted,
            ],
        )
        .await
        .map_err(|error| fault("settle deliveries", &error))?;
    let settled: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    Ok(ids.into_iter().filter(|id| !settled.contains(id)).collect())
}

/// Gives rows back that were claimed but not begun: they are as if never claimed.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn give_back(pool: &Pool, lease: &Lease, delivery_ids: &[i64]) -> Result<(), Fault> {
    const SQL: &str =
        "UPDATE delivery SET state = CASE state WHEN 'leased' THEN 'ready' ELSE state END,
            lease_token = NULL, leased_until = NULL, attempts = greatest(attempts - 1, 0)
        WHERE delivery_id = ANY($3) AND destination = $1 AND lease_token = $2 AND NOT under_way";
    if delivery_ids.is_empty() {
        return Ok(());
    }
    let client = connection(pool).await?;
    client
        .execute(SQL, &[&lease.destination, &lease.token, &delivery_ids])
        .await
        .map_err(|error| fault("give deliveries back", &error))?;
    Ok(())
}

/// A text PostgreSQL takes: without persons, cut short, without NUL.
pub(super) fn storable(text: &str) -> String {
    mask::text(text)
        .chars()
        .filter(|c| *c != '\0')
        .take(ANSWER_CHARS_MAX)
        .collect()
}
