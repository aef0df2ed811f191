//! The rules employers' money was ever split by, so that a payment history can go on with its own.
//!
//! Keeps words and numbers as they are given; what they mean is the ledger's business.

use std::collections::HashMap;

use super::{Store, fault};
use crate::error::Fault;

/// A rule as stored; rates in millionths, funds and recipients by their words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRate {
    pub whole: i32,
    pub medical: i32,
    pub long_term_care: i32,
    pub remainder: String,
    pub late_fee_to: String,
    pub interest_to: String,
    pub employee_paid_to: String,
}

const READ: &str = "SELECT rate_id, whole, medical, long_term_care, remainder, late_fee_to, interest_to, employee_paid_to FROM employer_rate";
const KEEP: &str = "INSERT INTO employer_rate (rate_id, whole, medical, long_term_care, remainder, late_fee_to, interest_to, employee_paid_to)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";

impl Store {
    /// Every rule that was ever kept, by its id.
    pub async fn employer_rates(&self) -> Result<HashMap<String, KeptRate>, Fault> {
        let rows = self.client().await?.query(READ, &[]).await?;
        let rate = |row: &tokio_postgres::Row| KeptRate {
            whole: row.get(1),
            medical: row.get(2),
            long_term_care: row.get(3),
            remainder: row.get(4),
            late_fee_to: row.get(5),
            interest_to: row.get(6),
            employee_paid_to: row.get(7),
        };
        Ok(rows.iter().map(|row| (row.get(0), rate(row))).collect())
    }

    /// Keeps a rule; one that is kept under the id stays as it is.
    pub async fn keep_employer_rate(&self, rate_id: &str, rate: &KeptRate) -> Result<(), Fault> {
        let KeptRate {
            whole,
            medical,
            long_term_care,
            remainder,
            late_fee_to,
            interest_to,
            employee_paid_to,
        } = rate;
        let client = self.client().await?;
        let done = client
            .execute(
                KEEP,
                &[
                    &rate_id,
                    whole,
                    medical,
                    long_term_care,
                    remainder,
                    late_fee_to,
                    interest_to,
                    employee_paid_to,
                ],
            )
            .await;
        done.map(drop).map_err(|error| fault(&error))
    }
}
