//! A packet that takes an earlier one's place (SFCF=1): the earlier one's effects are reversed.
//!
//! Lines stay as evidence, postings are reversed by a further entry, deliveries that were never
//! attempted, or that the partner refused, are superseded; all others get a reversal behind them.

use super::collect::{PacketTransaction, PostError};
use super::fault;

/// What stands in the way of a replacement.
#[derive(Debug)]
pub enum ReplacementOutcome {
    Done,
    /// A line of the earlier packet was taken back by that other packet meanwhile.
    RevokedBy(String),
}

/// Ids and time of a replacement.
#[derive(Debug, Clone, Copy)]
pub struct Replacement {
    pub old: i64,
    pub new: i64,
    /// Id for the reversing entry.
    pub entry: i64,
    pub at: jiff::Timestamp,
}

const LOCK_LINES: [&str; 2] = [
    "SELECT 1 FROM employer_line WHERE packet_id = $1 FOR UPDATE",
    "SELECT 1 FROM employee_line WHERE packet_id = $1 FOR UPDATE",
];

const SUPERSEDE_LINES: &str = "
    UPDATE employer_line SET revoked_by = NULL WHERE revoked_by = {old};
    UPDATE employee_line SET revoked_by = NULL WHERE revoked_by = {old};
    UPDATE employer_line SET superseded = true WHERE packet_id = {old};
    UPDATE employee_line SET superseded = true WHERE packet_id = {old};";

const REVERSE_POSTINGS: &str = "
    INSERT INTO posting (entry_id, account, district, contribution_month, fund, fen)
    SELECT $1, p.account, p.district, p.contribution_month, p.fund, -sum(p.fen)::bigint
    FROM posting p JOIN entry e USING (entry_id) WHERE e.packet_id = $2
    GROUP BY p.account, p.district, p.contribution_month, p.fund HAVING sum(p.fen) <> 0";

const SUPERSEDE_DELIVERIES: &str = "
    UPDATE delivery SET state = 'superseded', settled_at = now()
    WHERE subject_id = $1::bigint::text AND subject_kind = 'records' AND NOT reversal
      AND (state = 'ready' AND attempt_no = 0 OR state = 'dead' AND outcome = 'rejected')";

const REVERSE_DELIVERIES: &str = "
    INSERT INTO delivery (destination, message, ordering_key, subject_kind, subject_id, part, part_end, reversal, lines, fen)
    SELECT destination, message, ordering_key, subject_kind, subject_id, part, part_end, true, lines, -fen
    FROM delivery WHERE subject_id = $1::bigint::text AND subject_kind = 'records' AND NOT reversal AND state <> 'superseded' ORDER BY delivery_id";

impl PacketTransaction {
    /// Reverses everything the earlier packet did, inside this transaction.
    pub async fn replace(&self, replacement: Replacement) -> Result<ReplacementOutcome, PostError> {
        let client = self.client();
        let Replacement {
            old,
            new,
            entry,
            at,
        } = replacement;
        let revoked = "SELECT p.packet_no FROM packet p WHERE p.packet_id IN (
                SELECT revoked_by FROM employer_line WHERE packet_id = $1 AND revoked_by <> $1
                UNION ALL SELECT revoked_by FROM employee_line WHERE packet_id = $1 AND revoked_by <> $1) LIMIT 1";
        // The row lock makes a second replacement of the same packet wait and then fail.
        let free = client
            .execute(
                "UPDATE packet SET replaced_by = $2 WHERE packet_id = $1 AND replaced_by IS NULL",
                &[&old, &new],
            )
            .await?;
        if free == 0 {
            return Err(PostError::NumberTaken);
        }
        // A packet that revokes such a line meanwhile is waited for, and seen by what follows.
        for lock in LOCK_LINES {
            client.execute(lock, &[&old]).await?;
        }
        if let Some(row) = client.query_opt(revoked, &[&old]).await? {
            return Ok(ReplacementOutcome::RevokedBy(row.get(0)));
        }
        client
            .batch_execute(&SUPERSEDE_LINES.replace("{old}", &old.to_string()))
            .await?;
        let at = at.to_string();
        client
            .execute("INSERT INTO entry (entry_id, packet_id, kind, posted_at) VALUES ($1, $2, 'reversal', $3::text::timestamptz)", &[&entry, &old, &at])
            .await
            .map_err(|error| PostError::Failed(fault(&error)))?;
        client.execute(REVERSE_POSTINGS, &[&entry, &old]).await?;
        client
            .query(
                "SELECT 1 FROM delivery WHERE subject_id = $1::bigint::text AND subject_kind = 'records' FOR UPDATE",
                &[&old],
            )
            .await?;
        client.execute(SUPERSEDE_DELIVERIES, &[&old]).await?;
        client.execute(REVERSE_DELIVERIES, &[&old]).await?;
        Ok(ReplacementOutcome::Done)
    }
}
