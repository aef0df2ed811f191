//! What is known of one person or one employer, for questions while other work goes on.
//!
//! Reads only, in one snapshot, by index look-ups: joins over whole tables are switched off,
//! because a plan made while a table was empty would otherwise be kept while a cycle fills it.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use jiff::civil::Date;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use super::{Store, fault};
use crate::error::Fault;
use crate::model::{Fen, Month};

/// What a roster says of a person from a month on.
#[derive(Debug, Clone)]
pub struct Entry {
    pub pooling_area: i32,
    pub from_month: i32,
    pub roster_id: i64,
    /// Nothing: no longer insured.
    pub category: Option<String>,
    pub account: bool,
    pub employer_no: Option<String>,
    pub district: i32,
    pub base: Option<Fen>,
    pub born_on: Option<Date>,
}

/// A cycle that ran.
#[derive(Debug, Clone, Copy)]
pub struct Cycle {
    pub cycle_id: i64,
    pub pooling_area: i32,
    pub month: i32,
}

/// What a cycle asked of the person, and the answer that counts: `deducted`, else that of the last round.
#[derive(Debug, Clone)]
pub struct Deduction {
    pub cycle_id: i64,
    pub due: Fen,
    pub carried: Fen,
    pub asked: Fen,
    pub answer: Option<DeductionAnswer>,
}

/// An answer of the medical insurance core.
#[derive(Debug, Clone)]
pub struct DeductionAnswer {
    pub round: i16,
    pub outcome: String,
    pub taken: Fen,
    /// When it was posted; of an answer that moved nothing, when its batch was complete.
    pub at: Option<Timestamp>,
}

/// Why a cycle left the person out.
#[derive(Debug, Clone)]
pub struct LeftOut {
    pub cycle_id: i64,
    pub reason: String,
    pub due: Fen,
}

/// What an account did not cover.
#[derive(Debug, Clone)]
pub struct Shortfall {
    pub cycle_id: i64,
    pub fen: Fen,
    pub handling: String,
    pub carried_into: Option<i64>,
}

/// An employer's payment that counts: neither revoked nor replaced.
#[derive(Debug, Clone)]
pub struct Payment {
    pub employer_no: String,
    pub contribution_month: i32,
    pub detail_no: String,
    pub receipt_no: String,
    pub payment_kind: String,
    pub district: i32,
    pub headcount: Option<i32>,
    pub employer_paid: Fen,
    pub medical: Fen,
    pub long_term_care: Fen,
    pub underpaid: bool,
    pub treasury_on: Date,
}

/// The person's line in the detail of an employer's payment.
#[derive(Debug, Clone)]
pub struct Detail {
    /// Of the payment.
    pub receipt_no: String,
    pub contribution_month: i32,
    pub detail_no: String,
    pub employer_base: Fen,
    pub employer_paid: Fen,
    pub employee_paid: Fen,
}

/// Everything known of a person over some months.
#[derive(Debug, Clone, Default)]
pub struct PersonFacts {
    /// In order of (from_month, roster_id).
    pub entries: Vec<Entry>,
    pub cycles: Vec<Cycle>,
    pub deductions: Vec<Deduction>,
    pub left_out: Vec<LeftOut>,
    pub shortfalls: Vec<Shortfall>,
    /// Of the employers the rosters name.
    pub payments: Vec<Payment>,
}

const ENTRIES: &str = "SELECT pooling_area, from_month, roster_id, category::text, account, employer_no, district, base_fen, born_on
    FROM roster_entry WHERE pooling_area = ANY($1) AND person_no = $2 ORDER BY from_month, roster_id";
/// Later cycles too: what is carried over is taken by one of them.
const CYCLES: &str = "SELECT cycle_id, pooling_area, month FROM deduction_cycle
    WHERE pooling_area = ANY($1) AND month >= $2 AND state <> 'replaced' AND state IN ('running', 'settled') ORDER BY month";
const DEDUCTIONS: &str = "SELECT c.id, d.due_fen, d.carried_fen, d.fen, r.round, r.outcome::text, r.fen,
        coalesce((SELECT min(e.posted_at) FROM entry e WHERE e.cycle_id = c.id AND e.batch_no = r.batch_no),
            (SELECT b.answered_at FROM deduction_batch b WHERE b.cycle_id = c.id AND b.batch_no = r.batch_no))
    FROM unnest($1::bigint[]) c(id)
    CROSS JOIN LATERAL (SELECT due_fen, carried_fen, fen FROM deduction WHERE cycle_id = c.id AND person_no = $2 LIMIT 1) d
    LEFT JOIN LATERAL (SELECT round, outcome, fen, batch_no FROM deduction_result WHERE cycle_id = c.id AND person_no = $2
        ORDER BY outcome = 'deducted' DESC, round DESC LIMIT 1) r ON true";
const LEFT_OUT: &str = "SELECT c.id, l.reason, l.due_fen FROM unnest($1::bigint[]) c(id)
    CROSS JOIN LATERAL (SELECT reason, due_fen FROM deduction_left_out WHERE cycle_id = c.id AND person_no = $2 LIMIT 1) l";
const SHORTFALLS: &str = "SELECT cycle_id, fen, handling, carried_into FROM shortfall WHERE pooling_area = ANY($1) AND person_no = $2";
const PAYMENTS: &str = "SELECT employer_no, contribution_month, detail_no, receipt_no, payment_kind::text, district, headcount, employer_paid_fen,
        medical_fen, long_term_care_fen, underpaid, treasury_on
    FROM employer_line WHERE employer_no COLLATE \"C\" = ANY($1) AND contribution_month BETWEEN $2 AND $3
        AND NOT revoke AND NOT superseded AND revoked_by IS NULL
    ORDER BY contribution_month, treasury_on, packet_id, record_index";
/// There is no index on people: the runs of a payment are, and those of up to 500 lines are looked through.
const DETAILS: &str = "SELECT p.receipt_no, p.month, l.detail_no, l.employer_base_fen, l.employer_paid_fen, l.employee_paid_fen
    FROM unnest($1::text[], $2::text[], $3::int[]) p(receipt_no, employer_no, month)
    CROSS JOIN LATERAL (SELECT packet_id, first_record, last_record FROM employee_run
        WHERE receipt_no = p.receipt_no AND employer_no = p.employer_no AND contribution_month = p.month AND last_record - first_record < 500 LIMIT 10) r
    CROSS JOIN LATERAL (SELECT detail_no, employer_base_fen, employer_paid_fen, employee_paid_fen FROM employee_line
        WHERE packet_id = r.packet_id AND record_index BETWEEN r.first_record AND r.last_record AND person_no = $4
            AND NOT revoke AND NOT superseded AND revoked_by IS NULL LIMIT 10) l";
const KNOWN_EMPLOYER: &str = "SELECT 1 FROM employer_line WHERE employer_no COLLATE \"C\" = $1 LIMIT 1";
const BY_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// One look at the database.
struct Look<'a>(Transaction<'a>);

impl Look<'_> {
    async fn rows(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        let statement = self.0.prepare_cached(sql).await.map_err(|error| fault(&error))?;
        self.0.query(&statement, values).await.map_err(|error| fault(&error))
    }

    async fn end(self) -> Result<(), Fault> {
        self.0.commit().await.map_err(|error| fault(&error))
    }
}

impl Store {
    /// What is known of a person in these pooling areas; employers' payments for the months `from` to
    /// `to`, cycles from `from` on, or from the person's first month. `None` when no roster ever named the person.
    pub async fn person_facts(&self, areas: &[i32], person_no: &str, (from, to): (Option<Month>, Month)) -> Result<Option<PersonFacts>, Fault> {
        let mut client = self.client().await?;
        let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await;
        let look = Look(transaction.map_err(|error| fault(&error))?);
        look.0.batch_execute(BY_INDEX).await.map_err(|error| fault(&error))?;
        let entries: Vec<Entry> = look.rows(ENTRIES, &[&areas, &person_no]).await?.iter().map(entry).collect();
        let Some(first) = entries.first() else { return Ok(None) };
        let from = from.map_or(first.from_month, Month::number);
        let cycles: Vec<Cycle> = look.rows(CYCLES, &[&areas, &from]).await?.iter().map(cycle).collect();
        let ids: Vec<i64> = cycles.iter().map(|cycle| cycle.cycle_id).collect();
        let mut employers: Vec<&str> = entries.iter().filter_map(|entry| entry.employer_no.as_deref()).collect();
        employers.sort_unstable();
        employers.dedup();
        let facts = PersonFacts {
            deductions: look.rows(DEDUCTIONS, &[&ids, &person_no]).await?.iter().map(deduction).collect(),
            left_out: look.rows(LEFT_OUT, &[&ids, &person_no]).await?.iter().map(left_out).collect(),
            shortfalls: look.rows(SHORTFALLS, &[&areas, &person_no]).await?.iter().map(shortfall).collect(),
            payments: look.rows(PAYMENTS, &[&employers, &from, &to.number()]).await?.iter().map(payment).collect(),
            entries,
            cycles,
        };
        look.end().await?;
        Ok(Some(facts))
    }

    /// The person's own lines in the detail of payments, as far as they are cheap to find: runs of up to 500 lines.
    pub async fn payment_details(&self, person_no: &str, payments: &[Payment]) -> Result<Vec<Detail>, Fault> {
        let receipts: Vec<&str> = payments.iter().map(|payment| payment.receipt_no.as_str()).collect();
        let employers: Vec<&str> = payments.iter().map(|payment| payment.employer_no.as_str()).collect();
        let months: Vec<i32> = payments.iter().map(|payment| payment.contribution_month).collect();
        let mut client = self.client().await?;
        let transaction = client.build_transaction().read_only(true).start().await;
        let look = Look(transaction.map_err(|error| fault(&error))?);
        look.0.batch_execute(BY_INDEX).await.map_err(|error| fault(&error))?;
        let details = look.rows(DETAILS, &[&receipts, &employers, &months, &person_no]).await?.iter().map(detail).collect();
        look.end().await?;
        Ok(details)
    }

    /// What an employer paid for the months `from` to `to`; `None` when no line ever named it.
    pub async fn employer_payments(&self, employer_no: &str, (from, to): (Month, Month)) -> Result<Option<Vec<Payment>>, Fault> {
        let mut client = self.client().await?;
        let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await;
        let look = Look(transaction.map_err(|error| fault(&error))?);
        look.0.batch_execute(BY_INDEX).await.map_err(|error| fault(&error))?;
        let payments: Vec<Payment> = look.rows(PAYMENTS, &[&[employer_no].as_slice(), &from.number(), &to.number()]).await?.iter().map(payment).collect();
        let known = !payments.is_empty() || !look.rows(KNOWN_EMPLOYER, &[&employer_no]).await?.is_empty();
        look.end().await?;
        Ok(known.then_some(payments))
    }
}

fn entry(row: &Row) -> Entry {
    Entry {
        pooling_area: row.get(0),
        from_month: row.get(1),
        roster_id: row.get(2),
        category: row.get(3),
        account: row.get(4),
        employer_no: row.get(5),
        district: row.get(6),
        base: row.get::<_, Option<i64>>(7).map(Fen),
        born_on: row.get(8),
    }
}

fn cycle(row: &Row) -> Cycle {
    Cycle { cycle_id: row.get(0), pooling_area: row.get(1), month: row.get(2) }
}

fn deduction(row: &Row) -> Deduction {
    let answer = row.get::<_, Option<i16>>(4).map(|round| DeductionAnswer { round, outcome: row.get(5), taken: Fen(row.get(6)), at: row.get(7) });
    Deduction { cycle_id: row.get(0), due: Fen(row.get(1)), carried: Fen(row.get(2)), asked: Fen(row.get(3)), answer }
}

fn left_out(row: &Row) -> LeftOut {
    LeftOut { cycle_id: row.get(0), reason: row.get(1), due: Fen(row.get(2)) }
}

fn shortfall(row: &Row) -> Shortfall {
    Shortfall { cycle_id: row.get(0), fen: Fen(row.get(1)), handling: row.get(2), carried_into: row.get(3) }
}

fn detail(row: &Row) -> Detail {
    Detail {
        receipt_no: row.get(0),
        contribution_month: row.get(1),
        detail_no: row.get(2),
        employer_base: Fen(row.get(3)),
        employer_paid: Fen(row.get(4)),
        employee_paid: Fen(row.get(5)),
    }
}

fn payment(row: &Row) -> Payment {
    Payment {
        employer_no: row.get(0),
        contribution_month: row.get(1),
        detail_no: row.get(2),
        receipt_no: row.get(3),
        payment_kind: row.get(4),
        district: row.get(5),
        headcount: row.get(6),
        employer_paid: Fen(row.get(7)),
        medical: Fen(row.get(8)),
        long_term_care: Fen(row.get(9)),
        underpaid: row.get(10),
        treasury_on: row.get(11),
    }
}

#[cfg(test)]
mod tests;
