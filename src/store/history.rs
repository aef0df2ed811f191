//! Payment histories: the sums of an employer's lines for a district and a month, by the key they are found by.
//!
//! Reads only, and locks; how money is split by these sums is the ledger's business.

use futures_util::TryStreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Store;
use super::collect::{PacketTransaction, PostError};
use crate::error::Fault;
use crate::model::lines::LineMoney;
use crate::model::{Fen, HistoryId, Month};

/// A history that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHistory {
    pub id: HistoryId,
    /// The last number among its lines.
    pub last_no: i32,
    pub month: Month,
    /// The pooling area of one of its lines: all have the same.
    pub pooling_area: i32,
    /// Of all its lines but those of replaced packets.
    pub paid: LineMoney,
    /// The rate of the last line that counts; none where all were taken back.
    pub rate_id: Option<String>,
}

/// Sums of every history of some keys: `{keys}` is what the lines are joined with, each key once.
const SUMS: &str = "SELECT l.employer_no, l.district, l.contribution_month, max(l.history_no),
        coalesce(sum(l.employer_paid_fen) FILTER (WHERE NOT l.superseded), 0)::bigint,
        coalesce(sum(l.employee_paid_fen) FILTER (WHERE NOT l.superseded), 0)::bigint,
        coalesce(sum(l.late_fee_fen) FILTER (WHERE NOT l.superseded), 0)::bigint,
        coalesce(sum(l.interest_fen) FILTER (WHERE NOT l.superseded), 0)::bigint,
        coalesce(sum(l.other_interest_fen) FILTER (WHERE NOT l.superseded), 0)::bigint,
        coalesce(sum(l.medical_fen) FILTER (WHERE NOT l.superseded), 0)::bigint,
        coalesce(sum(l.long_term_care_fen) FILTER (WHERE NOT l.superseded), 0)::bigint,
        max(l.pooling_area),
        (array_agg(l.rate_id ORDER BY l.history_no DESC) FILTER (WHERE NOT l.revoke AND NOT l.superseded AND l.revoked_by IS NULL))[1]
    FROM {keys} JOIN employer_line l USING (history_key) GROUP BY l.employer_no, l.district, l.contribution_month";

/// Keys of the histories that staged lines change: a revocation changes that of the line it takes back, whatever it states itself.
const CHANGED: &str = "(SELECT history_key FROM staged_line UNION SELECT t.history_key FROM staged_line s
    JOIN employer_line t ON t.detail_key = s.detail_key AND NOT t.revoke AND NOT t.superseded WHERE s.revoke) AS changed";

/// Locks that packets on the exact way take for the histories they change, in order, so that of two over the
/// same histories the second begins after the first has ended. A few for all histories: a packet may have a million.
const LOCKS: &str = "SELECT count(pg_advisory_xact_lock(7211, place)) FROM (SELECT DISTINCT hashint8(history_key) & 255 AS place FROM {changed} ORDER BY 1) AS places";

pub(super) fn by_keys() -> String {
    SUMS.replace("{keys}", "unnest($1::bigint[]) AS k (history_key)")
}

impl Store {
    /// The histories of these keys, as they are now.
    pub async fn histories(&self, keys: &[i64]) -> Result<Vec<StoredHistory>, Fault> {
        let client = self.question_client().await?;
        let statement = client.prepare_cached(&by_keys()).await?;
        let rows = client.query(&statement, &[&keys]).await?;
        Ok(rows.iter().map(history).collect())
    }
}

impl PacketTransaction {
    /// Waits for packets on the exact way that change the same histories as the staged lines, and keeps later ones waiting.
    pub async fn lock_histories(&self) -> Result<(), PostError> {
        self.client()
            .query(&LOCKS.replace("{changed}", CHANGED), &[])
            .await?;
        Ok(())
    }

    /// Hands out the histories of the staged lines one by one, as they are now.
    pub async fn staged_histories(
        &self,
        mut take: impl FnMut(&StoredHistory),
    ) -> Result<(), PostError> {
        let sql = SUMS.replace("{keys}", CHANGED);
        let no_parameters: [&(dyn ToSql + Sync); 0] = [];
        let rows = self.client().query_raw(&sql, no_parameters).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = self.client().vigil().within(rows.try_next()).await? {
            take(&history(&row));
        }
        Ok(())
    }
}

fn history(row: &Row) -> StoredHistory {
    let fen = |at: usize| Fen(row.get(at));
    let month = Month::from_number(row.get(2)).expect("only months are stored");
    StoredHistory {
        id: HistoryId::of(row.get(0), row.get(1), month),
        month,
        last_no: row.get(3),
        paid: LineMoney {
            employer: fen(4),
            employees: fen(5),
            late_fee: fen(6),
            interest: fen(7),
            other_interest: fen(8),
            medical: fen(9),
            long_term_care: fen(10),
        },
        pooling_area: row.get(11),
        rate_id: row.get(12),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{HistoryId, Month};
    use crate::store::delivery::testing::TestDatabase;

    #[tokio::test]
    async fn lines_stored_before_there_were_histories_get_their_places() {
        let db = TestDatabase::before(16).await;
        let line = |packet: i32, record: i32, employer: &str, month: i32| {
            format!(
                "INSERT INTO employer_line (packet_id, record_index, detail_key, revoke, detail_no, pooling_area, district, receipt_no, insurance, employer_no,
                     contribution_month, payment_kind, employer_base_fen, employer_rate, employer_paid_fen, employee_paid_fen, late_fee_fen, interest_fen,
                     other_interest_fen, treasury_on, rate_id, medical_fen, long_term_care_fen, underpaid)
                 VALUES ({packet}, {record}, gen_random_uuid(), false, '1', 450100, 450103, '1', 'employee_medical', '{employer}', {month}, 'normal', 1, 69500,
                     1, 0, 0, 0, 0, '2021-11-06', 'r', 1, 0, false);"
            )
        };
        let lines = [
            (2, 1, "E1", 202_110),
            (1, 7, "E1", 202_110),
            (1, 2, "E2", 202_110),
            (1, 8, "E1", 202_111),
            (1, 9, "E1", 202_110),
        ];
        for (packet, record, employer, month) in lines {
            db.run(&line(packet, record, employer, month)).await;
        }
        db.run(include_str!("../../schemas/postgres/0016_history.sql"))
            .await;
        let places: String = db.value("SELECT string_agg(record_index || ':' || history_no, ' ' ORDER BY packet_id, record_index) FROM employer_line").await;
        assert_eq!(places, "2:1 7:1 8:1 9:2 1:3");
        let key: i64 = db
            .value("SELECT history_key FROM employer_line WHERE record_index = 8")
            .await;
        assert_eq!(
            key,
            HistoryId::of("E1", 450_103, Month::parse("202111").unwrap()).key()
        );
    }
}
