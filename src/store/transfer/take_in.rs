//! The one transaction that takes a message's results in.
//!
//! The batch's row is locked first, so two messages about it come one after the other, and the
//! second sees what the first has written.

use std::collections::BTreeMap;

use super::{
    BatchHead, Columns, HEAD, KNOWN, KnownResult, PersonInstruction, ResultDiscrepancy, asked_of,
    head, known,
};
use crate::error::Fault;
use crate::model::told::PersonResult;
use crate::model::{Fen, Month, mask};
use crate::store::delivery::Batch;
use crate::store::tx::Tx;
use crate::store::{Store, fault};

/// Who said it, in which message.
#[derive(Debug, Clone, Copy)]
pub struct ResultsOrigin<'a> {
    /// Partner name.
    pub sender: &'a str,
    /// SHA-256 of the message.
    pub digest: [u8; 32],
}

/// What is to be written of a message.
#[derive(Debug, Default)]
pub struct Writes<'a> {
    /// New results, in order of person numbers.
    pub results: Vec<&'a PersonResult>,
    /// Money taken from personal accounts, by the district and month it was owed to.
    pub money: BTreeMap<(i32, Month), Fen>,
    pub odd: Vec<ResultDiscrepancy>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultsOutcome {
    /// Every person of the batch has a result now.
    pub whole: bool,
}

const RESULTS: &str = "INSERT INTO deduction_result
        (cycle_id, round, batch_no, person_no, outcome, fen, this_year_fen, last_year_fen, earlier_fen, balance_fen)
    SELECT $1, $2, $3, person_no, outcome::deduction_outcome, fen, this_year, last_year, earlier, balance
    FROM unnest($4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
        AS told(person_no, outcome, fen, this_year, last_year, earlier, balance)";

/// From the personal accounts to the fund, by district and month; the trigger sees to it that the entry sums to zero.
const POSTINGS: &str = "WITH entry_row AS (
        INSERT INTO entry (entry_id, kind, cycle_id, batch_no, posted_at) VALUES ($1, 'deduction', $2, $3, now()))
    INSERT INTO posting (entry_id, account, district, contribution_month, fund, fen)
    SELECT $1, account, district, month, 'long_term_care', sign * fen
    FROM unnest($4::int[], $5::int[], $6::bigint[]) AS taken(district, month, fen), (VALUES ('personal_account', 1), ('fund', -1)) AS side(account, sign)";

const ANSWERED: &str = "UPDATE deduction_batch SET answered = answered + $3, answered_at = CASE WHEN answered + $3 = people THEN now() END
    WHERE cycle_id = $1 AND batch_no = $2 AND $3 > 0 RETURNING answered_at IS NOT NULL";

const ODD: &str = "INSERT INTO deduction_discrepancy (cycle_id, batch_no, person_no, kind, asked_fen, told_fen, told, sender, digest)
    SELECT $1, $2, person_no, kind, asked_fen, told_fen, told, $3, $4
    FROM unnest($5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[]) AS odd(person_no, kind, asked_fen, told_fen, told)
    ON CONFLICT DO NOTHING";

impl Store {
    /// Takes a message about a batch in: `decide` is given the batch, its instructions and the
    /// results there are, in order of person numbers, and says what to write. `None` when there is
    /// no such batch that ran.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached: nothing was written.
    pub async fn take_in<'a>(
        &self,
        batch: Batch,
        origin: ResultsOrigin<'_>,
        decide: impl FnOnce(&BatchHead, &[PersonInstruction], &[KnownResult]) -> Writes<'a>,
    ) -> Result<Option<ResultsOutcome>, Fault> {
        let entry_id = self.ids(1).await?[0];
        let tx = Tx::begin(self.client().await?).await?;
        let Some((head, asked, known)) = read(&tx, batch).await? else {
            tx.rollback().await;
            return Ok(None);
        };
        let writes = decide(&head, &asked, &known);
        let whole = write(&tx, (&head, entry_id), origin, &writes).await?;
        tx.commit().await?;
        Ok(Some(ResultsOutcome { whole }))
    }

    /// Notes what does not even name a batch.
    ///
    /// # Errors
    /// Faults of stage `Store` when the database refuses or cannot be reached.
    pub async fn note_odd(
        &self,
        batch: Option<Batch>,
        origin: ResultsOrigin<'_>,
        odd: &[ResultDiscrepancy],
    ) -> Result<(), Fault> {
        let tx = Tx::begin(self.client().await?).await?;
        note(&tx, batch, origin, odd).await?;
        tx.commit().await.map_err(|error| fault(&error))
    }
}

type Read = Option<(BatchHead, Vec<PersonInstruction>, Vec<KnownResult>)>;

async fn read(tx: &Tx, batch: Batch) -> Result<Read, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(&format!(
            "{HEAD} AND c.state IN ('running', 'settled') FOR UPDATE OF b"
        ))
        .await?;
    let Some(row) = tx
        .query_opt(&statement, &[&batch.cycle_id, &batch.batch_no])
        .await?
    else {
        return Ok(None);
    };
    let head = head(batch, &row);
    let asked = asked_of(tx, &head).await?;
    let known = if head.answered == 0 {
        Vec::new()
    } else {
        let statement = tx.prepare_cached(KNOWN).await?;
        let rows = tx
            .query(
                &statement,
                &[
                    &batch.cycle_id,
                    &head.first_person,
                    &head.last_person,
                    &head.round,
                ],
            )
            .await?;
        rows.iter().map(known).collect()
    };
    Ok(Some((head, asked, known)))
}

/// Writes everything; says whether the batch is answered whole by it or was before.
async fn write(
    tx: &Tx,
    (head, entry_id): (&BatchHead, i64),
    origin: ResultsOrigin<'_>,
    writes: &Writes<'_>,
) -> Result<bool, tokio_postgres::Error> {
    let Batch { cycle_id, batch_no } = head.batch;
    note(tx, Some(head.batch), origin, &writes.odd).await?;
    if writes.results.is_empty() {
        return Ok(head.answered == head.people);
    }
    let columns = Columns::of(&writes.results);
    let [this_year, last_year, earlier] = &columns.parts;
    let results = tx.prepare_cached(RESULTS).await?;
    let answered = tx.prepare_cached(ANSWERED).await?;
    let count = i32::try_from(writes.results.len()).unwrap_or(i32::MAX);
    tx.execute(
        &results,
        &[
            &cycle_id,
            &head.round,
            &batch_no,
            &columns.person_no,
            &columns.outcome,
            &columns.fen,
            this_year,
            last_year,
            earlier,
            &columns.balance,
        ],
    )
    .await?;
    if !writes.money.is_empty() {
        let postings = tx.prepare_cached(POSTINGS).await?;
        let (districts, months): (Vec<i32>, Vec<i32>) = writes
            .money
            .keys()
            .map(|(district, month)| (*district, month.number()))
            .unzip();
        let fen: Vec<i64> = writes.money.values().map(|fen| fen.0).collect();
        tx.execute(
            &postings,
            &[&entry_id, &cycle_id, &batch_no, &districts, &months, &fen],
        )
        .await?;
    }
    let row = tx
        .query_one(&answered, &[&cycle_id, &batch_no, &count])
        .await?;
    Ok(row.get(0))
}

async fn note(
    tx: &Tx,
    batch: Option<Batch>,
    origin: ResultsOrigin<'_>,
    odd: &[ResultDiscrepancy],
) -> Result<(), tokio_postgres::Error> {
    if odd.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached(ODD).await?;
    let (cycle_id, batch_no) = (
        batch.map(|batch| batch.cycle_id),
        batch.map(|batch| batch.batch_no),
    );
    let person_no: Vec<Option<&str>> = odd.iter().map(|odd| odd.person_no.as_deref()).collect();
    let kind: Vec<&str> = odd.iter().map(|odd| odd.kind.word()).collect();
    let asked: Vec<Option<i64>> = odd.iter().map(|odd| odd.asked.map(|fen| fen.0)).collect();
    let told: Vec<Option<i64>> = odd.iter().map(|odd| odd.told.map(|fen| fen.0)).collect();
    let words: Vec<_> = odd.iter().map(|odd| mask::text(&odd.words)).collect();
    let digest = origin.digest.as_slice();
    tx.execute(
        &statement,
        &[
            &cycle_id,
            &batch_no,
            &origin.sender,
            &digest,
            &person_no,
            &kind,
            &asked,
            &told,
            &words,
        ],
    )
    .await?;
    Ok(())
}
