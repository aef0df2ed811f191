//! The end of a cycle: every batch answered, shortfalls written, results queued for whom they
//! concern; and batches whose results do not come.

use std::time::Duration;

use crate::error::Fault;
use crate::store::tx::Tx;
use crate::store::{Store, fault};

/// One row per person left short in the latest round, of the month's own due; one retried in vain is open again.
const SHORTFALLS: &str = "INSERT INTO shortfall (pooling_area, person_no, cycle_id, fen, handling)
    SELECT c.pooling_area, d.person_no, d.cycle_id, d.due_fen, q.shortfall
    FROM deduction_cycle c JOIN deduction_result r USING (cycle_id) JOIN deduction d USING (cycle_id, person_no)
         JOIN deduction_rate q ON q.cycle_id = d.cycle_id AND q.rate = d.rate
    WHERE c.cycle_id = $1 AND r.outcome IN ('insufficient_balance', 'account_frozen') AND d.due_fen > 0
      AND r.round = (SELECT max(round) FROM deduction_batch WHERE cycle_id = $1)
    ON CONFLICT (pooling_area, person_no, cycle_id) DO UPDATE SET carried_into = NULL WHERE shortfall.carried_into = excluded.cycle_id";

/// What was carried and not taken is open again, whatever the reason: a month that fails never takes earlier ones along.
const RELEASED: &str = "UPDATE shortfall s SET carried_into = NULL FROM deduction_carried k, deduction_cycle c
    WHERE c.cycle_id = $1 AND k.cycle_id = $1 AND k.round = (SELECT max(round) FROM deduction_batch WHERE cycle_id = $1)
      AND s.pooling_area = c.pooling_area AND s.person_no = k.person_no AND s.cycle_id = k.of_cycle AND s.carried_into = $1
      AND NOT EXISTS (SELECT 1 FROM deduction_result r
          WHERE r.cycle_id = $1 AND r.person_no = k.person_no AND r.round = k.round AND r.outcome = 'deducted')";

/// Batches the destination was not told of yet: all of them, after a retry those of the new round.
const DELIVERIES: &str = "INSERT INTO delivery (destination, message, subject_kind, subject_id, part, part_end, lines, fen)
    SELECT $2, $3, 'batch', b.cycle_id::text, b.batch_no, b.batch_no, b.people, r.fen
    FROM deduction_batch b JOIN (SELECT batch_no, sum(fen)::bigint AS fen FROM deduction_result WHERE cycle_id = $1 GROUP BY 1) r USING (batch_no)
    WHERE b.cycle_id = $1 AND NOT EXISTS (
        SELECT 1 FROM delivery o WHERE o.subject_id = b.cycle_id::text AND o.subject_kind = 'batch' AND o.part = b.batch_no AND o.destination = $2 AND o.message = $3)
    ORDER BY b.batch_no";

/// `delivered` only says that the core has the batch; one without results is in doubt after a while.
const ASK_AGAIN: &str = "UPDATE delivery d SET state = 'in_doubt', outcome = 'unknown', attempts = 0, due_at = now(), settled_at = NULL,
        answer = 'taken, but no results came in time; they are asked for'
    FROM deduction_batch b
    WHERE b.answered_at IS NULL AND d.subject_id = b.cycle_id::text AND d.subject_kind = 'batch' AND d.part = b.batch_no AND d.message = $1 AND d.state = 'delivered'
      AND d.settled_at < now() - $2 * interval '1 second'";

impl Store {
    /// Settles a running cycle whose every batch is answered: shortfalls, and a delivery per batch to
    /// each `(destination, message)`, in one transaction; `false` when it is not (or no longer) time.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached: nothing was written.
    pub async fn settle_cycle(
        &self,
        cycle_id: i64,
        told: &[(String, String)],
    ) -> Result<bool, Fault> {
        self.settle(cycle_id, told)
            .await
            .map_err(|error| match error {
                Stop::Fault(fault) => fault,
                Stop::Database(error) => fault(&error),
            })
    }

    async fn settle(&self, cycle_id: i64, told: &[(String, String)]) -> Result<bool, Stop> {
        const OPEN: &str = "SELECT EXISTS (SELECT 1 FROM deduction_batch WHERE cycle_id = $1 AND answered_at IS NULL)";
        let client = self.client().await?;
        let open = client.prepare_cached(OPEN).await?;
        if client.query_one(&open, &[&cycle_id]).await?.get(0) {
            return Ok(false);
        }
        let tx = Tx::begin_long(client).await?;
        let running =
            "SELECT 1 FROM deduction_cycle WHERE cycle_id = $1 AND state = 'running' FOR UPDATE";
        if tx.query_opt(running, &[&cycle_id]).await?.is_none()
            || tx.query_one(&open, &[&cycle_id]).await?.get(0)
        {
            tx.rollback().await;
            return Ok(false);
        }
        tx.execute(SHORTFALLS, &[&cycle_id]).await?;
        tx.execute(RELEASED, &[&cycle_id]).await?;
        for (destination, message) in told {
            tx.execute(DELIVERIES, &[&cycle_id, destination, message])
                .await?;
        }
        tx.execute(
            "UPDATE deduction_cycle SET state = 'settled', settled_at = now() WHERE cycle_id = $1",
            &[&cycle_id],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Running cycles whose every batch is answered, each with its pooling area: settled at once, unless an instance died in between.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn cycles_to_settle(&self) -> Result<Vec<(i64, i32)>, Fault> {
        const SQL: &str = "SELECT c.cycle_id, c.pooling_area FROM deduction_cycle c WHERE c.state = 'running'
            AND EXISTS (SELECT 1 FROM deduction_batch b WHERE b.cycle_id = c.cycle_id)
            AND NOT EXISTS (SELECT 1 FROM deduction_batch b WHERE b.cycle_id = c.cycle_id AND b.answered_at IS NULL)";
        let rows = self.client().await?.query(SQL, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Puts deliveries of `message` in doubt that the partner has taken so long ago, and whose batch
    /// is still not answered whole; returns how many.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn ask_again(&self, message: &str, after: Duration) -> Result<u64, Fault> {
        let client = self.client().await?;
        client
            .execute(ASK_AGAIN, &[&message, &after.as_secs_f64()])
            .await
            .map_err(|error| fault(&error))
    }
}

enum Stop {
    Fault(Fault),
    Database(tokio_postgres::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Stop {
        Stop::Database(error)
    }
}
