//! Cycles for people and reports: states, totals, who was left out, what came of it.
//!
//! Reads only. Lists of people come as streams, since a city has too many of them for memory.

use futures_util::{Stream, StreamExt};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::tx::Tx;
use super::super::{Store, fault};
use super::{Cycle, category};
use crate::error::Fault;
use crate::model::deduction::{Category, DeductionOutcome};
use crate::model::{Fen, Month};

/// What a plan asks of the people of one district and category.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub district: i32,
    pub category: Category,
    pub people: i32,
    pub base: Fen,
    pub due: Fen,
    pub carried: Fen,
}

/// People left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutCount {
    pub reason: String,
    pub people: i64,
    /// What would have been due.
    pub due: Fen,
}

/// How far a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundProgress {
    pub batches: i64,
    pub batches_answered: i64,
    pub people: i64,
    pub answered: i64,
    /// Deliveries of it that nobody but a person moves on.
    pub dead: i64,
    /// Deliveries whose outcome is being asked about.
    pub in_doubt: i64,
    /// Deliveries that were never sent.
    pub waiting: i64,
}

/// What the core did in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundOutcome {
    pub round: i16,
    pub outcome: DeductionOutcome,
    pub people: i64,
    /// What was asked of them.
    pub asked: Fen,
    /// What was taken.
    pub taken: Fen,
}

/// Shortfalls of a cycle by what the rates say of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedShortfalls {
    pub handling: String,
    pub people: i64,
    pub fen: Fen,
    /// Not yet carried into another cycle or retried.
    pub open: i64,
}

/// A person from whom nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    pub person_no: String,
    pub district: i32,
    pub category: Category,
    pub asked: Fen,
    pub outcome: DeductionOutcome,
    /// What the core says is on the account.
    pub balance: Option<Fen>,
    /// What becomes of this month's own: `retry`, `carry_over` or `waive`; nothing of people unknown or dead.
    pub handling: Option<String>,
    /// Of what was asked, this month's own.
    pub own: Fen,
    /// Of what was asked, earlier months'; it stays owed.
    pub carried: Fen,
}

/// A person the plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutPerson {
    pub person_no: String,
    pub district: i32,
    pub category: Category,
    pub reason: String,
    pub due: Fen,
}

/// # Errors
/// All of these: the database refuses or cannot be reached.
impl Store {
    /// Whether anybody is on a roster of the area that has taken effect by the month.
    pub async fn has_roster(&self, area: i32, month: Month) -> Result<bool, Fault> {
        let sql =
            "SELECT EXISTS (SELECT FROM roster_entry WHERE pooling_area = $1 AND from_month <= $2)";
        let rows = self.rows(sql, &[&area, &month.number()]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// The cycle of an area and month that was not replaced.
    pub async fn cycle_of(&self, area: i32, month: Month) -> Result<Option<Cycle>, Fault> {
        let sql = format!(
            "SELECT {} FROM deduction_cycle WHERE pooling_area = $1 AND month = $2 AND state <> 'replaced'",
            Cycle::COLUMNS
        );
        Ok(self
            .rows(&sql, &[&area, &month.number()])
            .await?
            .first()
            .map(Cycle::of))
    }

    /// A cycle by its id, replaced or not.
    pub async fn cycle(&self, cycle_id: i64) -> Result<Option<Cycle>, Fault> {
        let sql = format!(
            "SELECT {} FROM deduction_cycle WHERE cycle_id = $1",
            Cycle::COLUMNS
        );
        Ok(self.rows(&sql, &[&cycle_id]).await?.first().map(Cycle::of))
    }

    /// A plan's totals, by district and category.
    pub async fn cycle_totals(&self, cycle_id: i64) -> Result<Vec<Cell>, Fault> {
        let sql = "SELECT district, category::text, people, base_fen, due_fen, carried_fen FROM deduction_total WHERE cycle_id = $1 ORDER BY 1, category";
        let cell = |row: &Row| Cell {
            district: row.get(0),
            category: category(row.get(1)),
            people: row.get(2),
            base: Fen(row.get(3)),
            due: Fen(row.get(4)),
            carried: Fen(row.get(5)),
        };
        Ok(self
            .rows(sql, &[&cycle_id])
            .await?
            .iter()
            .map(cell)
            .collect())
    }

    /// Whom a plan leaves out, by reason.
    pub async fn cycle_left_out(&self, cycle_id: i64) -> Result<Vec<LeftOutCount>, Fault> {
        let sql = "SELECT reason, count(*), sum(due_fen)::bigint FROM deduction_left_out WHERE cycle_id = $1 GROUP BY reason ORDER BY reason";
        let rows = self.rows(sql, &[&cycle_id]).await?;
        Ok(rows
            .iter()
            .map(|row| LeftOutCount {
                reason: row.get(0),
                people: row.get(1),
                due: Fen(row.get(2)),
            })
            .collect())
    }

    /// How far a round of a cycle is.
    pub async fn cycle_answers(&self, cycle: &Cycle) -> Result<RoundProgress, Fault> {
        let sql = "SELECT count(*), count(b.answered_at), coalesce(sum(b.people), 0)::bigint, coalesce(sum(b.answered), 0)::bigint,
                count(*) FILTER (WHERE d.state = 'dead'), count(*) FILTER (WHERE d.state = 'in_doubt'), count(*) FILTER (WHERE d.state = 'ready')
            FROM deduction_batch b
                LEFT JOIN delivery d ON d.subject_id = b.cycle_id::text AND d.subject_kind = 'batch' AND d.part = b.batch_no AND d.message = $3 AND b.answered_at IS NULL
            WHERE b.cycle_id = $1 AND b.round = $2";
        let rows = self
            .rows(
                sql,
                &[
                    &cycle.cycle_id,
                    &cycle.rounds,
                    &crate::model::deduction::MESSAGE,
                ],
            )
            .await?;
        Ok(rows
            .first()
            .map_or_else(RoundProgress::default, |row| RoundProgress {
                batches: row.get(0),
                batches_answered: row.get(1),
                people: row.get(2),
                answered: row.get(3),
                dead: row.get(4),
                in_doubt: row.get(5),
                waiting: row.get(6),
            }))
    }

    /// What the core did, by round and outcome.
    pub async fn cycle_outcomes(&self, cycle_id: i64) -> Result<Vec<RoundOutcome>, Fault> {
        let sql = "SELECT r.round, r.outcome::text, count(*), sum(coalesce(a.fen, d.fen))::bigint, sum(r.fen)::bigint
            FROM deduction_result r JOIN deduction d USING (cycle_id, person_no) LEFT JOIN deduction_again a USING (cycle_id, person_no, round)
            WHERE r.cycle_id = $1 GROUP BY r.round, r.outcome ORDER BY r.round, r.outcome";
        let outcome = |row: &Row| RoundOutcome {
            round: row.get(0),
            outcome: outcome(row.get(1)),
            people: row.get(2),
            asked: Fen(row.get(3)),
            taken: Fen(row.get(4)),
        };
        Ok(self
            .rows(sql, &[&cycle_id])
            .await?
            .iter()
            .map(outcome)
            .collect())
    }

    /// What was taken, by the district it was asked in, with how many people it was taken from.
    pub async fn cycle_taken(&self, cycle_id: i64) -> Result<Vec<(i32, i64, Fen)>, Fault> {
        let sql = "SELECT d.district, count(*), sum(r.fen)::bigint FROM deduction_result r JOIN deduction d USING (cycle_id, person_no)
            WHERE r.cycle_id = $1 AND r.outcome = 'deducted' GROUP BY 1 ORDER BY 1";
        Ok(self
            .rows(sql, &[&cycle_id])
            .await?
            .iter()
            .map(|row| (row.get(0), row.get(1), Fen(row.get(2))))
            .collect())
    }

    /// What was posted to the fund, by the district and contribution month it is of.
    pub async fn cycle_posted(&self, cycle_id: i64) -> Result<Vec<(i32, Month, Fen)>, Fault> {
        let sql = "SELECT district, contribution_month, -sum(fen)::bigint FROM posting JOIN entry USING (entry_id)
            WHERE cycle_id = $1 AND account = 'fund' GROUP BY 1, 2 ORDER BY 1, 2";
        let month = |row: &Row| Month::from_number(row.get(1)).expect("only months are stored");
        Ok(self
            .rows(sql, &[&cycle_id])
            .await?
            .iter()
            .map(|row| (row.get(0), month(row), Fen(row.get(2))))
            .collect())
    }

    /// Shortfalls of a cycle, by handling.
    pub async fn cycle_owed(&self, cycle: &Cycle) -> Result<Vec<OwedShortfalls>, Fault> {
        let sql = "SELECT handling, count(*), sum(fen)::bigint, count(*) FILTER (WHERE carried_into IS NULL)
            FROM shortfall WHERE cycle_id = $1 GROUP BY handling ORDER BY handling";
        let rows = self.rows(sql, &[&cycle.cycle_id]).await?;
        Ok(rows
            .iter()
            .map(|row| OwedShortfalls {
                handling: row.get(0),
                people: row.get(1),
                fen: Fen(row.get(2)),
                open: row.get(3),
            })
            .collect())
    }

    /// How many [`Store::cycle_short`] gives, and how many of them owe this month's amount (no money, or a frozen account).
    pub async fn cycle_short_people(&self, cycle_id: i64) -> Result<(i64, i64), Fault> {
        let sql = "SELECT count(*), count(*) FILTER (WHERE r.outcome IN ('insufficient_balance', 'account_frozen')) FROM deduction_result r WHERE r.cycle_id = $1 AND r.outcome <> 'deducted'
              AND NOT EXISTS (SELECT FROM deduction_result l WHERE l.cycle_id = $1 AND l.person_no = r.person_no AND l.round > r.round)";
        Ok(self
            .rows(sql, &[&cycle_id])
            .await?
            .first()
            .map_or((0, 0), |row| (row.get(0), row.get(1))))
    }

    /// Everybody from whom nothing was taken, as of their last round, in order of person.
    pub async fn cycle_short(
        &self,
        cycle: &Cycle,
    ) -> Result<impl Stream<Item = Result<Short, Fault>> + use<>, Fault> {
        let sql = "SELECT r.person_no, d.district, d.category::text, coalesce(a.fen, d.fen), r.outcome::text, r.balance_fen,
                CASE WHEN r.outcome IN ('insufficient_balance', 'account_frozen') THEN q.shortfall END, coalesce(a.due_fen, d.due_fen), coalesce(a.carried_fen, d.carried_fen)
            FROM deduction_result r JOIN deduction d USING (cycle_id, person_no) LEFT JOIN deduction_again a USING (cycle_id, person_no, round)
                JOIN deduction_rate q ON q.cycle_id = d.cycle_id AND q.rate = d.rate
            WHERE r.cycle_id = $1 AND r.outcome <> 'deducted'
              AND NOT EXISTS (SELECT FROM deduction_result l WHERE l.cycle_id = $1 AND l.person_no = r.person_no AND l.round > r.round)
            ORDER BY r.person_no";
        let short = |row: &Row| Short {
            person_no: row.get(0),
            district: row.get(1),
            category: category(row.get(2)),
            asked: Fen(row.get(3)),
            outcome: outcome(row.get(4)),
            balance: row.get::<_, Option<i64>>(5).map(Fen),
            handling: row.get(6),
            own: Fen(row.get(7)),
            carried: Fen(row.get(8)),
        };
        self.streamed(sql, &[&cycle.cycle_id], short).await
    }

    /// Everybody left out, in order of person.
    pub async fn cycle_left_out_people(
        &self,
        cycle_id: i64,
    ) -> Result<impl Stream<Item = Result<LeftOutPerson, Fault>> + use<>, Fault> {
        let sql = "SELECT person_no, district, category::text, reason, due_fen FROM deduction_left_out WHERE cycle_id = $1 ORDER BY person_no";
        let person = |row: &Row| LeftOutPerson {
            person_no: row.get(0),
            district: row.get(1),
            category: category(row.get(2)),
            reason: row.get(3),
            due: Fen(row.get(4)),
        };
        self.streamed(sql, &[&cycle_id], person).await
    }

    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        let client = self.client().await?;
        client
            .query(sql, parameters)
            .await
            .map_err(|error| fault(&error))
    }

    async fn streamed<T, F: Fn(&Row) -> T>(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        read: F,
    ) -> Result<impl Stream<Item = Result<T, Fault>> + use<T, F>, Fault> {
        // Whoever reads may be slow, or stop: a session with rows still to come goes back to no pool.
        let tx = Tx::begin_long_as(self.client().await?, "READ ONLY").await?;
        let rows = tx.query_raw(sql, parameters.iter().copied()).await?;
        Ok(rows.map(move |row| {
            let _kept = &tx;
            row.map(|row| read(&row)).map_err(|error| fault(&error))
        }))
    }
}

fn outcome(word: &str) -> DeductionOutcome {
    DeductionOutcome::of_word(word).expect("the column's type lists the outcomes")
}
