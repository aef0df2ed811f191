//! The lines a delivery names, read when it is sent.
//!
//! Reads only; what of them a destination is told is its adapter's business.

use tokio_postgres::Row;

use super::Store;
use crate::error::Fault;
use crate::model::lines::LineMoney;
use crate::model::{Fen, Month};

/// A posted line as destinations are told it.
#[derive(Debug, Clone)]
pub struct Contribution {
    pub detail_no: String,
    pub revoke: bool,
    pub pooling_area: i32,
    pub district: i32,
    pub receipt_no: String,
    pub levy_no: Option<String>,
    pub employer_no: String,
    pub contribution_month: Month,
    pub payment_kind: String,
    pub headcount: Option<i32>,
    pub employer_base: Fen,
    pub employee_base: Option<Fen>,
    /// Millionths.
    pub employer_rate: i32,
    pub employer_paid: Fen,
    pub employee_paid: Fen,
    pub late_fee: Fen,
    /// On both parts together.
    pub interest: Fen,
    pub medical: Fen,
    pub long_term_care: Fen,
    pub treasury_on: jiff::civil::Date,
    /// The rule it was split by.
    pub rate_id: String,
}

impl Contribution {
    /// Its money, with all interest as one.
    pub fn paid(&self) -> LineMoney {
        LineMoney {
            employer: self.employer_paid,
            employees: self.employee_paid,
            late_fee: self.late_fee,
            interest: self.interest,
            other_interest: Fen::ZERO,
            medical: self.medical,
            long_term_care: self.long_term_care,
        }
    }
}

const LINES: &str = "SELECT detail_no, revoke, pooling_area, district, receipt_no, levy_no, employer_no, contribution_month, payment_kind::text, headcount,
        employer_base_fen, employee_base_fen, employer_rate, employer_paid_fen, employee_paid_fen, late_fee_fen, interest_fen + other_interest_fen,
        medical_fen, long_term_care_fen, treasury_on, rate_id
    FROM employer_line WHERE packet_id = $1 AND record_index BETWEEN $2 AND $3
        AND (NOT revoke OR $2 = $3) -- revocations go one by one, behind what they take back
    ORDER BY record_index";

impl Store {
    /// The sender and number of a packet.
    pub async fn packet_name(&self, packet_id: i64) -> Result<Option<(String, String)>, Fault> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("SELECT sender, packet_no FROM packet WHERE packet_id = $1")
            .await?;
        let row = client.query_opt(&statement, &[&packet_id]).await?;
        Ok(row.map(|row| (row.get(0), row.get(1))))
    }

    /// The delivery that first told a destination, as that message, of the records of an ordering key,
    /// with its packet's number.
    pub async fn first_delivery(
        &self,
        (destination, message): (&str, &str),
        ordering_key: &str,
    ) -> Result<Option<(i64, String)>, Fault> {
        const SQL: &str = "SELECT d.delivery_id, p.packet_no FROM delivery d JOIN packet p ON p.packet_id = d.subject_id::bigint
            WHERE d.subject_id = split_part($3, '/', 1) AND d.subject_kind = 'records' AND d.part = split_part($3, '/', 2)::bigint
              AND d.destination = $1 AND d.message = $2 AND NOT d.reversal ORDER BY d.delivery_id LIMIT 1";
        let client = self.client().await?;
        let statement = client.prepare_cached(SQL).await?;
        let row = client
            .query_opt(&statement, &[&destination, &message, &ordering_key])
            .await?;
        Ok(row.map(|row| (row.get(0), row.get(1))))
    }

    /// A packet's posted employer lines, in order.
    pub async fn contributions(
        &self,
        packet_id: i64,
        first_record: i32,
        last_record: i32,
    ) -> Result<Vec<Contribution>, Fault> {
        let client = self.client().await?;
        let statement = client.prepare_cached(LINES).await?;
        let rows = client
            .query(&statement, &[&packet_id, &first_record, &last_record])
            .await?;
        Ok(rows.iter().map(contribution).collect())
    }
}

fn contribution(row: &Row) -> Contribution {
    let fen = |at: usize| Fen(row.get(at));
    Contribution {
        detail_no: row.get(0),
        revoke: row.get(1),
        pooling_area: row.get(2),
        district: row.get(3),
        receipt_no: row.get(4),
        levy_no: row.get(5),
        employer_no: row.get(6),
        contribution_month: Month::from_number(row.get(7)).expect("only months are stored"),
        payment_kind: row.get(8),
        headcount: row.get(9),
        employer_base: fen(10),
        employee_base: row.get::<_, Option<i64>>(11).map(Fen),
        employer_rate: row.get(12),
        employer_paid: fen(13),
        employee_paid: fen(14),
        late_fee: fen(15),
        interest: fen(16),
        medical: fen(17),
        long_term_care: fen(18),
        treasury_on: row.get(19),
        rate_id: row.get(20),
    }
}
