//! What one person asks for and another decides, with what is done once it is approved.
//!
//! What was asked for is a frozen list: a delivery that was answered otherwise since is left alone.

use tokio_postgres::Row;

use super::tx::Tx;
use super::{Store, login};
use crate::error::Fault;
use crate::model::Fen;
use crate::model::signer::{Login, Signer};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Deliveries that are `ready` are not sent: the partner has them.
    MarkDelivered,
    /// The pause of a destination is lifted.
    ResumeDestination,
}

impl Action {
    pub fn word(self) -> &'static str {
        match self {
            Action::MarkDelivered => "mark_delivered",
            Action::ResumeDestination => "resume_destination",
        }
    }

    fn of_word(word: &str) -> Action {
        if word == Action::MarkDelivered.word() {
            Action::MarkDelivered
        } else {
            Action::ResumeDestination
        }
    }
}

/// What was asked for, frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenRequest {
    pub action: Action,
    pub destination: String,
    /// Ids with the number of their last attempt, in order; none of a destination's pause.
    pub deliveries: Vec<(i64, i32)>,
    /// Under which the partner has it, where it says so.
    pub reference: Option<String>,
    pub reason: String,
}

/// A request, decided about or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub approval_id: i64,
    pub wanted: FrozenRequest,
    /// SHA-256 of what is wanted.
    pub digest: Vec<u8>,
    pub requested_by: String,
    /// Under which login; none where none was known.
    pub requested_login: Option<Login>,
    pub requested_at: jiff::Timestamp,
    /// Nobody may approve it afterwards.
    pub expires_at: jiff::Timestamp,
    pub expired: bool,
    /// `approved` or `rejected`.
    pub decision: Option<String>,
    pub decided_by: Option<String>,
    pub done: Option<i32>,
}

/// What a delivery tells of, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryContent {
    pub delivery_id: i64,
    /// `None`: it is not of a packet.
    pub packet_no: Option<String>,
    pub lines: i32,
    pub fen: Fen,
}

/// A delivery that could be marked as delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub delivery_id: i64,
    pub destination: String,
    pub state: String,
    pub attempt_no: i32,
}

const COLUMNS: &str = "approval_id, action, destination, deliveries, attempts, reference, reason, digest, requested_by, requested_at, expires_at, \
    expires_at < now(), decision, decided_by, done, requested_login, requested_uid, requested_host, requested_proof";

impl Store {
    /// Deliveries of these ids, or those of a packet number to a destination that are `ready`; in order of id.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn candidates(
        &self,
        ids: &[i64],
        of_packet: Option<(&str, &str)>,
    ) -> Result<Vec<Candidate>, Fault> {
        let client = self.client().await?;
        let columns = "SELECT d.delivery_id, d.destination, d.state, d.attempt_no FROM delivery d";
        let rows = match of_packet {
            None => {
                client
                    .query(
                        &format!("{columns} WHERE d.delivery_id = ANY($1) ORDER BY 1"),
                        &[&ids],
                    )
                    .await
            }
            Some((packet_no, destination)) => {
                let sql = format!(
                    "{columns} JOIN packet p ON d.subject_kind = 'records' AND d.subject_id = p.packet_id::text WHERE p.packet_no = $1 AND p.sender IN (SELECT name FROM sender)
                        AND d.destination = $2 AND d.state = 'ready' ORDER BY 1"
                );
                client.query(&sql, &[&packet_no, &destination]).await
            }
        };
        let rows = rows?;
        let candidate = |row: &Row| Candidate {
            delivery_id: row.get(0),
            destination: row.get(1),
            state: row.get(2),
            attempt_no: row.get(3),
        };
        Ok(rows.iter().map(candidate).collect())
    }

    /// What these deliveries tell of, in order of id.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn contents_of(&self, ids: &[i64]) -> Result<Vec<DeliveryContent>, Fault> {
        let sql = "SELECT d.delivery_id, p.packet_no, d.lines, d.fen FROM delivery d LEFT JOIN packet p ON p.packet_id = CASE d.subject_kind WHEN 'records' THEN d.subject_id::bigint END
            WHERE d.delivery_id = ANY($1) ORDER BY 1";
        let rows = self.client().await?.query(sql, &[&ids]).await?;
        let content = |row: &Row| DeliveryContent {
            delivery_id: row.get(0),
            packet_no: row.get(1),
            lines: row.get(2),
            fen: Fen(row.get(3)),
        };
        Ok(rows.iter().map(content).collect())
    }

    /// Keeps a request for so many hours; returns its id.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn request_approval(
        &self,
        wanted: &FrozenRequest,
        digest: &[u8],
        by: &Signer,
        hours: i32,
    ) -> Result<i64, Fault> {
        let sql = "INSERT INTO approval (action, destination, deliveries, attempts, reference, reason, digest, requested_by,
                requested_login, requested_uid, requested_host, requested_proof, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now() + $13 * interval '1 hour') RETURNING approval_id";
        let (login, uid, host, proof) = login::columns(by.login.as_ref());
        let (ids, attempts): (Vec<i64>, Vec<i32>) = wanted.deliveries.iter().copied().unzip();
        let hours = f64::from(hours);
        let client = self.client().await?;
        let row = client
            .query_one(
                sql,
                &[
                    &wanted.action.word(),
                    &wanted.destination,
                    &ids,
                    &attempts,
                    &wanted.reference,
                    &wanted.reason,
                    &digest,
                    &by.name,
                    &login,
                    &uid,
                    &host,
                    &proof,
                    &hours,
                ],
            )
            .await?;
        Ok(row.get(0))
    }

    /// Requests, the oldest first; undecided ones that have not expired, or the last hundred of all.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn approvals(&self, all: bool) -> Result<Vec<Approval>, Fault> {
        let which = if all {
            "true"
        } else {
            "decision IS NULL AND expires_at >= now()"
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM approval WHERE {which} ORDER BY approval_id DESC LIMIT 100"
        );
        let rows = self.client().await?.query(&sql, &[]).await?;
        Ok(rows.iter().rev().map(approval).collect())
    }

    /// The request of that id.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn approval(&self, approval_id: i64) -> Result<Option<Approval>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM approval WHERE approval_id = $1");
        let row = self
            .client()
            .await?
            .query_opt(&sql, &[&approval_id])
            .await?;
        Ok(row.as_ref().map(approval))
    }

    /// Writes down that nothing is to be done; `false` when it was decided about meanwhile.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn reject(&self, approval_id: i64, by: &Signer) -> Result<bool, Fault> {
        let sql = "UPDATE approval SET decision = 'rejected', decided_by = $2, decided_at = now(),
                decided_login = $3, decided_uid = $4, decided_host = $5, decided_proof = $6 WHERE approval_id = $1 AND decision IS NULL";
        let (login, uid, host, proof) = login::columns(by.login.as_ref());
        let done = self
            .client()
            .await?
            .execute(sql, &[&approval_id, &by.name, &login, &uid, &host, &proof])
            .await?;
        Ok(done == 1)
    }

    /// Does what was asked for and writes down who approved it, in one transaction, and with `same_login` that the login
    /// does not show a second person; returns the ids of the deliveries that were marked. `None` when it was decided about or expired meanwhile: then nothing is done.
    ///
    /// # Errors
    /// The database refuses or cannot be reached; then nothing was done.
    pub async fn approve(
        &self,
        approval_id: i64,
        by: &Signer,
        same_login: bool,
    ) -> Result<Option<Vec<i64>>, Fault> {
        const DECIDE: &str = "UPDATE approval SET decision = 'approved', decided_by = $2, decided_at = now(),
                decided_login = $3, decided_uid = $4, decided_host = $5, decided_proof = $6, same_login = $7
            WHERE approval_id = $1 AND decision IS NULL AND expires_at >= now() RETURNING action";
        // One that was never sent has no reference of ours: the approval stands in its place. Attempts since that did not
        // reach the partner, or that it put off, change nothing: where it is down they come every few seconds.
        const MARK: &str = "UPDATE delivery d SET state = 'delivered', settled_at = now(), outcome = 'accepted',
                reference = coalesce(a.reference, d.reference, 'approval ' || a.approval_id),
                answer = 'marked as delivered by ' || a.requested_by || ' and ' || a.decided_by || ': ' || a.reason
            FROM (SELECT a.*, unnest(a.deliveries) AS delivery_id, unnest(a.attempts) AS attempt_no FROM approval a WHERE approval_id = $1) a
            WHERE d.delivery_id = a.delivery_id AND d.destination = a.destination AND d.state = 'ready'
              AND NOT EXISTS (SELECT FROM attempt t WHERE t.delivery_id = d.delivery_id AND t.attempt_no > a.attempt_no
                AND (t.outcome IS NULL OR t.outcome NOT IN ('not_sent', 'not_reached', 'retry_later')))
            RETURNING d.delivery_id";
        const RESUME: &str = "SELECT destination FROM approval WHERE approval_id = $1";
        const DONE: &str = "UPDATE approval SET done = $2 WHERE approval_id = $1";
        let (login, uid, host, proof) = login::columns(by.login.as_ref());
        let tx = Tx::begin(self.client().await?).await?;
        let Some(decided) = tx
            .query_opt(
                DECIDE,
                &[
                    &approval_id,
                    &by.name,
                    &login,
                    &uid,
                    &host,
                    &proof,
                    &same_login,
                ],
            )
            .await?
        else {
            tx.rollback().await;
            return Ok(None);
        };
        let (ids, done) = match Action::of_word(decided.get(0)) {
            Action::MarkDelivered => {
                let rows = tx.query(MARK, &[&approval_id]).await?;
                let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
                let done = i32::try_from(ids.len()).unwrap_or(i32::MAX);
                (ids, done)
            }
            Action::ResumeDestination => {
                let row = tx.query_one(RESUME, &[&approval_id]).await?;
                let lifted = super::delivery::resume_on(&tx, row.get(0)).await?;
                (Vec::new(), i32::from(lifted == Some(true)))
            }
        };
        tx.execute(DONE, &[&approval_id, &done]).await?;
        tx.commit().await?;
        Ok(Some(ids))
    }
}

fn approval(row: &Row) -> Approval {
    let (ids, attempts): (Vec<i64>, Vec<i32>) = (row.get(3), row.get(4));
    Approval {
        approval_id: row.get(0),
        wanted: FrozenRequest {
            action: Action::of_word(row.get(1)),
            destination: row.get(2),
            deliveries: ids.into_iter().zip(attempts).collect(),
            reference: row.get(5),
            reason: row.get(6),
        },
        digest: row.get(7),
        requested_by: row.get(8),
        requested_login: login::of_row(row, 15),
        requested_at: row.get(9),
        expires_at: row.get(10),
        expired: row.get(11),
        decision: row.get(12),
        decided_by: row.get(13),
        done: row.get(14),
    }
}
