//! What is known of one person or one employer, for questions while other work goes on.
//!
//! Reads only, in one snapshot, by index look-ups, on the store's connections for questions.

use jiff::Timestamp;
use jiff::civil::Date;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Store;
use super::tx::Tx;
use crate::error::Fault;
use crate::model::{Fen, Month, PaymentKind};

/// What a roster says of a person from a month on.
#[derive(Debug, Clone)]
pub struct RosterEntry {
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
    pub account_credit_base: Option<Fen>,
    /// Has chosen to pay once a year.
    pub yearly: bool,
    /// One of several insurance relations, of which nobody has decided which counts.
    pub undecided: bool,
}

/// A cycle that ran.
#[derive(Debug, Clone, Copy)]
pub struct RunCycle {
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
pub struct CycleExclusion {
    pub cycle_id: i64,
    pub reason: String,
    pub due: Fen,
}

/// What an account did not cover of a month's own due; `carried_into` is the cycle that asks for it or has taken it.
#[derive(Debug, Clone)]
pub struct OpenShortfall {
    pub cycle_id: i64,
    pub fen: Fen,
    pub handling: String,
    pub carried_into: Option<i64>,
}

/// An employer's payment that counts: neither revoked nor replaced.
#[derive(Debug, Clone)]
pub struct Payment {
    pub employer_no: String,
    pub pooling_area: i32,
    pub contribution_month: i32,
    pub detail_no: String,
    pub receipt_no: String,
    pub payment_kind: PaymentKind,
    pub district: i32,
    pub headcount: Option<i32>,
    pub employer_base: Fen,
    pub employer_paid: Fen,
    pub medical: Fen,
    pub long_term_care: Fen,
    pub underpaid: bool,
    pub treasury_on: Date,
}

/// The person's line in the detail of an employer's payment.
#[derive(Debug, Clone)]
pub struct EmployeeDetail {
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
    pub entries: Vec<RosterEntry>,
    pub cycles: Vec<RunCycle>,
    pub deductions: Vec<Deduction>,
    pub left_out: Vec<CycleExclusion>,
    pub shortfalls: Vec<OpenShortfall>,
    /// Of the employers the rosters name, for the months asked about.
    pub payments: Vec<Payment>,
    /// The person's own lines in these, as far as they are cheap to find: in runs of up to 500 lines.
    pub details: Vec<EmployeeDetail>,
}

/// A person's rows: `$1` pooling areas, `$2` the person.
const ENTRIES: &str =
    "SELECT pooling_area, from_month, roster_id, category::text, account, employer_no, district, base_fen, born_on, account_credit_fen, yearly, undecided
    FROM roster_entry WHERE pooling_area = ANY($1) AND person_no = $2 ORDER BY from_month, roster_id";
const SHORTFALLS: &str = "SELECT cycle_id, fen, handling, carried_into FROM shortfall WHERE pooling_area = ANY($1) AND person_no = $2";

/// Cycles that ran for the months from `$3` on, or from the person's first. Later ones too: what is carried over is taken by one of them.
macro_rules! cycles {
    () => {
        "SELECT cycle_id, pooling_area, month FROM deduction_cycle
        WHERE pooling_area = ANY($1) AND state <> 'replaced' AND state IN ('running', 'settled')
            AND month >= coalesce($3::int, (SELECT min(from_month) FROM roster_entry WHERE pooling_area = ANY($1) AND person_no = $2))
        ORDER BY month"
    };
}
const CYCLES: &str = cycles!();
const DEDUCTIONS: &str = concat!(
    "SELECT c.cycle_id, d.due_fen, coalesce(a.carried_fen, d.carried_fen), coalesce(a.fen, d.fen), r.round, r.outcome::text, r.fen,
        coalesce((SELECT min(e.posted_at) FROM entry e WHERE e.cycle_id = c.cycle_id AND e.batch_no = r.batch_no),
            (SELECT b.answered_at FROM deduction_batch b WHERE b.cycle_id = c.cycle_id AND b.batch_no = r.batch_no))
    FROM (",
    cycles!(),
    ") c
    CROSS JOIN LATERAL (SELECT due_fen, carried_fen, fen FROM deduction WHERE cycle_id = c.cycle_id AND person_no = $2 LIMIT 1) d
    LEFT JOIN LATERAL (SELECT round, outcome, fen, batch_no FROM deduction_result WHERE cycle_id = c.cycle_id AND person_no = $2
        ORDER BY outcome = 'deducted' DESC, round DESC LIMIT 1) r ON true
    LEFT JOIN LATERAL (SELECT carried_fen, fen FROM deduction_again
        WHERE cycle_id = c.cycle_id AND person_no = $2 AND round = r.round LIMIT 1) a ON true"
);
const LEFT_OUT: &str = concat!(
    "SELECT c.cycle_id, l.reason, l.due_fen FROM (",
    cycles!(),
    ") c
    CROSS JOIN LATERAL (SELECT reason, due_fen FROM deduction_left_out WHERE cycle_id = c.cycle_id AND person_no = $2 LIMIT 1) l"
);

/// Lines that count of some employers, each a range of history keys, for the months from one to another; from the first where that is null.
macro_rules! payments {
    ($employers:literal, $from:literal, $to:literal) => {
        concat!(
            "SELECT l.employer_no, contribution_month, detail_no, receipt_no, payment_kind::text, district, headcount, employer_paid_fen,
                medical_fen, long_term_care_fen, underpaid, treasury_on, pooling_area, employer_base_fen
            FROM (SELECT employer_no, employer_key(employer_no) AS key FROM unnest(",
            $employers,
            ") AS asked (employer_no)) asked
            -- A range of keys by itself, since a join of ranges is planned as a look at every line.
            CROSS JOIN LATERAL (SELECT * FROM employer_line
                WHERE history_key BETWEEN asked.key AND asked.key + 4294967295 AND employer_no = asked.employer_no OFFSET 0) l
            WHERE contribution_month BETWEEN coalesce(",
            $from,
            "::int, 0) AND ",
            $to,
            " AND NOT revoke AND NOT superseded AND revoked_by IS NULL
            ORDER BY contribution_month, treasury_on, packet_id, record_index"
        )
    };
}
macro_rules! payments_for_person {
    () => {
        payments!(
            "ARRAY(SELECT DISTINCT employer_no FROM roster_entry WHERE pooling_area = ANY($1) AND person_no = $2 AND employer_no IS NOT NULL)",
            "$3",
            "$4"
        )
    };
}
const PAYMENTS: &str = payments_for_person!();
/// There is no index on people: the runs of a payment are, and those of up to 500 lines are looked through.
const DETAILS: &str = concat!(
    "SELECT p.receipt_no, p.contribution_month, l.detail_no, l.employer_base_fen, l.employer_paid_fen, l.employee_paid_fen
    FROM (",
    payments_for_person!(),
    ") p
    CROSS JOIN LATERAL (SELECT packet_id, first_record, last_record FROM employee_run
        WHERE receipt_no = p.receipt_no AND employer_no = p.employer_no AND contribution_month = p.contribution_month
            AND last_record - first_record < 500 LIMIT 10) r
    CROSS JOIN LATERAL (SELECT detail_no, employer_base_fen, employer_paid_fen, employee_paid_fen FROM employee_line
        WHERE packet_id = r.packet_id AND record_index BETWEEN r.first_record AND r.last_record AND person_no = $2
            AND NOT revoke AND NOT superseded AND revoked_by IS NULL LIMIT 10) l"
);
const EMPLOYER_PAYMENTS: &str = payments!("ARRAY[$1::text]", "$2", "$3");
const KNOWN_EMPLOYER: &str = "SELECT 1 FROM employer_line
    WHERE history_key BETWEEN employer_key($1) AND employer_key($1) + 4294967295 AND employer_no = $1 LIMIT 1";
const SNAPSHOT: &str = "ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Store {
    /// What is known of a person in these pooling areas; employers' payments for the months `from` to
    /// `to`, cycles from `from` on, or from the person's first month; with `detail` the person's own
    /// lines in those payments. `None` when no roster ever named the person.
    ///
    /// All statements are sent at once, so that a question waits for the processor once and not a dozen times.
    pub async fn person_facts(
        &self,
        areas: &[i32],
        person_no: &str,
        months: (Option<Month>, Month),
        detail: bool,
    ) -> Result<Option<PersonFacts>, Fault> {
        let (from, to) = (months.0.map(Month::number), months.1.number());
        let client = self.question_client().await?;
        let of_person: [&(dyn ToSql + Sync); 2] = [&areas, &person_no];
        let of_cycles: [&(dyn ToSql + Sync); 3] = [&areas, &person_no, &from];
        let of_payments: [&(dyn ToSql + Sync); 4] = [&areas, &person_no, &from, &to];
        let statements = tokio::try_join!(
            client.prepare_cached(ENTRIES),
            client.prepare_cached(SHORTFALLS),
            client.prepare_cached(CYCLES),
            client.prepare_cached(DEDUCTIONS),
            client.prepare_cached(LEFT_OUT),
            client.prepare_cached(PAYMENTS),
            client.prepare_cached(DETAILS),
        );
        let (entries, shortfalls, cycles, deductions, left_out, payments, details) = statements?;
        let tx = Tx::guarding(client);
        // In this order on the wire.
        let (begun, entries, shortfalls, cycles, deductions, left_out, payments, details, ended) = tokio::join!(
            biased;
            tx.send_begin(SNAPSHOT),
            tx.query(&entries, &of_person),
            tx.query(&shortfalls, &of_person),
            tx.query(&cycles, &of_cycles),
            tx.query(&deductions, &of_cycles),
            tx.query(&left_out, &of_cycles),
            tx.query(&payments, &of_payments),
            async { if detail { tx.query(&details, &of_payments).await } else { Ok(Vec::new()) } },
            tx.send_commit(),
        );
        begun?;
        let facts = PersonFacts {
            entries: rows(entries, entry)?,
            shortfalls: rows(shortfalls, shortfall)?,
            cycles: rows(cycles, cycle)?,
            deductions: rows(deductions, deduction)?,
            left_out: rows(left_out, left_out_of)?,
            payments: rows(payments, payment)?,
            details: rows(details, detail_of)?,
        };
        ended?;
        tx.ended();
        Ok((!facts.entries.is_empty()).then_some(facts))
    }

    /// What an employer paid for the months `from` to `to`; `None` when no line ever named it.
    pub async fn employer_payments(
        &self,
        employer_no: &str,
        (from, to): (Month, Month),
    ) -> Result<Option<Vec<Payment>>, Fault> {
        let client = self.question_client().await?;
        let statements = tokio::try_join!(
            client.prepare_cached(EMPLOYER_PAYMENTS),
            client.prepare_cached(KNOWN_EMPLOYER)
        );
        let (payments, known) = statements?;
        let (from, to) = (from.number(), to.number());
        let values: [&(dyn ToSql + Sync); 3] = [&employer_no, &from, &to];
        // What is known is asked last: a line that comes in between makes an employer known, never unknown.
        let (payments, known) = tokio::join!(biased; client.query(&payments, &values), client.query_opt(&known, &values[..1]));
        let (payments, known) = (rows(payments, payment)?, known?.is_some());
        Ok(known.then_some(payments))
    }
}

fn rows<T>(
    found: Result<Vec<Row>, tokio_postgres::Error>,
    read: fn(&Row) -> T,
) -> Result<Vec<T>, Fault> {
    Ok(found?.iter().map(read).collect())
}

fn entry(row: &Row) -> RosterEntry {
    RosterEntry {
        pooling_area: row.get(0),
        from_month: row.get(1),
        roster_id: row.get(2),
        category: row.get(3),
        account: row.get(4),
        employer_no: row.get(5),
        district: row.get(6),
        base: row.get::<_, Option<i64>>(7).map(Fen),
        born_on: row.get(8),
        account_credit_base: row.get::<_, Option<i64>>(9).map(Fen),
        yearly: row.get(10),
        undecided: row.get(11),
    }
}

fn cycle(row: &Row) -> RunCycle {
    RunCycle {
        cycle_id: row.get(0),
        pooling_area: row.get(1),
        month: row.get(2),
    }
}

fn deduction(row: &Row) -> Deduction {
    let answer = row.get::<_, Option<i16>>(4).map(|round| DeductionAnswer {
        round,
        outcome: row.get(5),
        taken: Fen(row.get(6)),
        at: row.get(7),
    });
    Deduction {
        cycle_id: row.get(0),
        due: Fen(row.get(1)),
        carried: Fen(row.get(2)),
        asked: Fen(row.get(3)),
        answer,
    }
}

fn left_out_of(row: &Row) -> CycleExclusion {
    CycleExclusion {
        cycle_id: row.get(0),
        reason: row.get(1),
        due: Fen(row.get(2)),
    }
}

fn shortfall(row: &Row) -> OpenShortfall {
    OpenShortfall {
        cycle_id: row.get(0),
        fen: Fen(row.get(1)),
        handling: row.get(2),
        carried_into: row.get(3),
    }
}

fn detail_of(row: &Row) -> EmployeeDetail {
    EmployeeDetail {
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
        payment_kind: PaymentKind::of_word(row.get(4))
            .expect("the column's type lists the kinds of payment"),
        district: row.get(5),
        headcount: row.get(6),
        employer_paid: Fen(row.get(7)),
        medical: Fen(row.get(8)),
        long_term_care: Fen(row.get(9)),
        underpaid: row.get(10),
        treasury_on: row.get(11),
        pooling_area: row.get(12),
        employer_base: Fen(row.get(13)),
    }
}

#[cfg(test)]
mod tests;
