//! What months left open of their own due, and which instruction asks for it again.
//!
//! A shortfall is one month's own due. The instruction that asks for it holds it until it is
//! answered (see `store::transfer`): what was taken stays held, anything else is open again. What an
//! instruction asks for besides its own month is kept month by month, for postings and for whom it
//! concerns. Decides no amounts.

use super::super::Session;
use super::Cycle;
use crate::error::Fault;
use crate::model::Fen;

/// Everything open of the cycles `$3`, of people whose instruction carries something.
const CARRY: &str = "WITH held AS (
        UPDATE shortfall s SET carried_into = $1 FROM deduction d
        WHERE d.cycle_id = $1 AND d.carried_fen > 0 AND s.pooling_area = $2 AND s.person_no = d.person_no
          AND s.cycle_id = ANY($3) AND s.carried_into IS NULL AND s.handling = 'carry_over'
        RETURNING s.person_no, s.cycle_id, s.fen),
    kept AS (
        INSERT INTO deduction_carried (cycle_id, round, person_no, of_cycle, month, district, fen)
        SELECT $1, 1, h.person_no, h.cycle_id, c.month, d.district, h.fen
        FROM held h JOIN deduction_cycle c USING (cycle_id) JOIN deduction d USING (cycle_id, person_no))
    SELECT coalesce(sum(fen), 0)::bigint FROM held";

/// People the round `$3` left short and whose rate says so hold their own due again.
const OWN_AGAIN: &str = "UPDATE shortfall s SET carried_into = $1 FROM deduction_result r
        JOIN deduction d USING (cycle_id, person_no) JOIN deduction_rate q ON q.cycle_id = d.cycle_id AND q.rate = d.rate AND q.shortfall = 'retry'
    WHERE s.cycle_id = $1 AND s.pooling_area = $2 AND s.handling = 'retry' AND s.carried_into IS NULL
      AND r.cycle_id = $1 AND r.person_no = s.person_no AND r.round = $3::smallint AND r.outcome IN ('insufficient_balance', 'account_frozen')";

/// And of what their instruction carried, whatever is open: another month may ask for the rest by now.
const CARRIED_AGAIN: &str = "WITH again AS (
        SELECT d.person_no FROM deduction_result r JOIN deduction d USING (cycle_id, person_no)
            JOIN deduction_rate q ON q.cycle_id = d.cycle_id AND q.rate = d.rate AND q.shortfall = 'retry'
        WHERE r.cycle_id = $1 AND r.round = $3::smallint AND r.outcome IN ('insufficient_balance', 'account_frozen') AND d.carried_fen > 0),
    carried AS (
        SELECT DISTINCT person_no, of_cycle, month, district FROM deduction_carried JOIN again USING (person_no) WHERE cycle_id = $1),
    held AS (
        UPDATE shortfall s SET carried_into = $1 FROM carried c
        WHERE s.pooling_area = $2 AND s.person_no = c.person_no AND s.cycle_id = c.of_cycle AND s.carried_into IS NULL
        RETURNING s.person_no, s.cycle_id AS of_cycle, s.fen)
    INSERT INTO deduction_carried (cycle_id, round, person_no, of_cycle, month, district, fen)
    SELECT $1, $3::smallint + 1, person_no, of_cycle, month, district, fen FROM held JOIN carried USING (person_no, of_cycle)";

/// What the new round asks: the own due that is held again, and what is carried again.
const AMOUNTS: &str = "INSERT INTO deduction_again (cycle_id, round, person_no, due_fen, carried_fen, fen)
    SELECT $1, $3::smallint + 1, person_no, sum(due), sum(carried), sum(due + carried) FROM (
        SELECT s.person_no, s.fen AS due, 0 AS carried FROM shortfall s
            JOIN deduction_result r ON r.cycle_id = $1 AND r.person_no = s.person_no AND r.round = $3::smallint AND r.outcome <> 'deducted'
        WHERE s.cycle_id = $1 AND s.pooling_area = $2 AND s.carried_into = $1
        UNION ALL SELECT person_no, 0, fen FROM deduction_carried WHERE cycle_id = $1 AND round = $3::smallint + 1) asked
    GROUP BY person_no";

/// Marks what the cycles `from` left open as held by the instructions of `cycle_id`; returns how much that is.
pub(super) async fn carry(
    client: &Session,
    cycle_id: i64,
    (area, from): (i32, &[i64]),
) -> Result<Fen, Fault> {
    let row = client.query_one(CARRY, &[&cycle_id, &area, &from]).await?;
    Ok(Fen(row.get(0)))
}

/// Writes what the round after the cycle's last one asks of whom.
pub(super) async fn ask_again(client: &Session, cycle: &Cycle) -> Result<(), Fault> {
    for sql in [OWN_AGAIN, CARRIED_AGAIN, AMOUNTS] {
        client
            .execute(sql, &[&cycle.cycle_id, &cycle.pooling_area, &cycle.rounds])
            .await?;
    }
    Ok(())
}
