//! People whom a roster names with several insurance relations: kept, decided by a rule, or by a person later.
//!
//! Knows who decided what, not why a relation should count. Equal lines are one relation.

use tokio_postgres::Row;

use super::Store;
use super::collect::{PacketTransaction, PostError};
use crate::error::Fault;
use crate::model::relation::Criterion;
use crate::model::{Fen, Month};

/// A line of a person who stands more than once in a roster, and why it does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOverLine {
    pub record_index: i32,
    pub other_index: i32,
    pub why: RelationRefusal,
}

/// Why a line of a person who stands more than once does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationRefusal {
    /// It says the same as the other line.
    Same,
    /// A rule decided for the other line.
    Rule,
    /// A person decided for such a relation as the other line's.
    Person,
    /// Nobody has decided.
    Undecided,
}

/// A relation somebody has to decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRelation {
    pub relation_id: i64,
    pub person_no: String,
    pub roster_no: String,
    pub record_index: i32,
    pub from_month: Month,
    pub category: String,
    pub account: bool,
    pub employer_no: Option<String>,
    pub district: i32,
    pub base: Fen,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It counts in so many rosters.
    Made(u64),
    Unknown,
    /// Somebody, or a rule, has decided already.
    Decided(Option<String>),
}

/// What tells relations apart.
const STATES: &str =
    "(category, account, employer_no, district, base_fen, from_month, account_credit_fen, yearly)";

/// `{states}` are [`STATES`].
const KEEP: &str = "INSERT INTO roster_relation (pooling_area, person_no, roster_id, record_index, from_month, category, account, employer_no,
        district, base_fen, born_on, sealed, account_credit_fen, yearly)
    SELECT DISTINCT ON (person_no, {states}) $1::int, person_no, $2::bigint, record_index, from_month, category, account, employer_no, district,
        base_fen, born_on, sealed, account_credit_fen, yearly
    FROM staged_person WHERE category IS NOT NULL AND person_no IN (
        SELECT person_no FROM staged_person WHERE category IS NOT NULL GROUP BY person_no HAVING count(DISTINCT {states}) > 1)
    ORDER BY person_no, {states}, record_index";

/// What a person has decided before counts on, where one relation alone is of that category and employer.
const AS_BEFORE: &str = "UPDATE roster_relation r SET counts = true, decided_by = d.decided_by, decided_at = now()
    FROM (SELECT DISTINCT ON (person_no) person_no, category, employer_no, decided_by FROM roster_relation
        WHERE pooling_area = $1 AND roster_id < $2 AND counts AND decided_by IS NOT NULL
            AND person_no IN (SELECT person_no FROM roster_relation WHERE roster_id = $2)
        ORDER BY person_no, roster_id DESC) d
    WHERE r.roster_id = $2 AND r.person_no = d.person_no AND (r.category, r.employer_no) IS NOT DISTINCT FROM (d.category, d.employer_no)
        AND 1 = (SELECT count(*) FROM roster_relation o WHERE o.roster_id = $2 AND o.person_no = r.person_no
            AND (o.category, o.employer_no) IS NOT DISTINCT FROM (d.category, d.employer_no))";

/// `{order}` is the rule's; of relations it puts first together none counts.
const BY_RULE: &str = "UPDATE roster_relation r SET counts = true, decided_at = now()
    FROM (SELECT relation_id, rank() OVER person AS place, count(*) OVER (person RANGE BETWEEN CURRENT ROW AND CURRENT ROW) AS alike
        FROM roster_relation o WHERE roster_id = $1
            AND NOT EXISTS (SELECT FROM roster_relation c WHERE c.roster_id = $1 AND c.person_no = o.person_no AND c.counts)
        WINDOW person AS (PARTITION BY person_no ORDER BY {order})) p
    WHERE r.relation_id = p.relation_id AND p.place = 1 AND p.alike = 1";

const DECIDED: &str = "UPDATE roster_relation r SET decided_at = now() FROM roster_relation c
    WHERE r.roster_id = $1 AND c.roster_id = $1 AND c.person_no = r.person_no AND c.counts AND r.decided_at IS NULL";

/// The entry is what counts.
const ENTER: &str = "UPDATE roster_entry e SET from_month = r.from_month, category = r.category, account = r.account, employer_no = r.employer_no,
        district = r.district, base_fen = r.base_fen, born_on = r.born_on, sealed = r.sealed,
        account_credit_fen = r.account_credit_fen, yearly = r.yearly, undecided = false
    FROM roster_relation r WHERE r.pooling_area = e.pooling_area AND r.person_no = e.person_no AND r.roster_id = e.roster_id AND r.counts";

/// Insured from the first of their months on; which of them is shown depends on what they say, and nothing is taken by it.
const LEAVE_OPEN: &str = "UPDATE roster_entry e SET from_month = r.since, category = r.category, account = r.account, employer_no = r.employer_no,
        district = r.district, base_fen = r.base_fen, born_on = r.born_on, sealed = r.sealed,
        account_credit_fen = r.account_credit_fen, yearly = r.yearly, undecided = true
    FROM (SELECT DISTINCT ON (person_no) *, min(from_month) OVER person AS since, bool_or(counts) OVER person AS decided
        FROM roster_relation WHERE roster_id = $2 WINDOW person AS (PARTITION BY person_no) ORDER BY person_no, relation_id) r
    WHERE e.pooling_area = $1 AND e.roster_id = $2 AND e.person_no = r.person_no AND NOT r.decided";

const PASSED: &str = "SELECT s.record_index, coalesce(c.record_index, CASE WHEN s.record_index = s.first THEN s.last ELSE s.first END),
        r.person_no IS NOT NULL, c.record_index IS NOT NULL, c.decided_by IS NOT NULL
    FROM (SELECT record_index, person_no, min(record_index) OVER person AS first, max(record_index) OVER person AS last
        FROM staged_person WHERE category IS NOT NULL WINDOW person AS (PARTITION BY person_no)) s
    LEFT JOIN (SELECT DISTINCT person_no FROM roster_relation WHERE roster_id = $1) r ON r.person_no = s.person_no
    LEFT JOIN roster_relation c ON c.roster_id = $1 AND c.person_no = s.person_no AND c.counts
    WHERE s.first <> s.last AND CASE WHEN r.person_no IS NULL THEN s.record_index <> s.first ELSE s.record_index IS DISTINCT FROM c.record_index END
    ORDER BY s.record_index LIMIT $2";

const OPEN: &str =
    "SELECT r.relation_id, r.person_no, p.roster_no, r.record_index, r.from_month, r.category::text, r.account, r.employer_no, r.district, r.base_fen
    FROM roster_relation r JOIN roster p ON p.roster_id = r.roster_id
    WHERE r.pooling_area = $1 AND r.decided_at IS NULL
        AND r.roster_id = (SELECT max(roster_id) FROM roster_relation o WHERE o.pooling_area = $1 AND o.person_no = r.person_no)
    ORDER BY r.person_no, r.record_index";

/// The same choice in every roster where it is open and one relation alone is of that category and employer.
const CHOOSE: &str = "UPDATE roster_relation r SET counts = true, decided_by = $2, decided_at = now()
    FROM roster_relation d WHERE d.relation_id = $1 AND r.pooling_area = d.pooling_area AND r.person_no = d.person_no AND r.decided_at IS NULL
        AND (r.relation_id = d.relation_id OR r.roster_id <> d.roster_id AND (r.category, r.employer_no) IS NOT DISTINCT FROM (d.category, d.employer_no)
            AND 1 = (SELECT count(*) FROM roster_relation o WHERE o.roster_id = r.roster_id AND o.person_no = r.person_no
                AND (o.category, o.employer_no) IS NOT DISTINCT FROM (d.category, d.employer_no)))
    RETURNING r.roster_id, r.person_no";

impl PacketTransaction {
    /// Keeps the relations of everybody staged with several, decides what can be decided, and enters it; returns how many people stay undecided.
    pub async fn decide_relations(
        &self,
        pooling_area: i32,
        roster_id: i64,
        rule: &[Criterion],
    ) -> Result<i32, PostError> {
        let client = self.client();
        let keep = KEEP.replace("{states}", STATES);
        if client.execute(&keep, &[&pooling_area, &roster_id]).await? == 0 {
            return Ok(0);
        }
        client
            .execute(AS_BEFORE, &[&pooling_area, &roster_id])
            .await?;
        if !rule.is_empty() {
            let order = rule
                .iter()
                .map(|criterion| order(*criterion))
                .collect::<Vec<_>>()
                .join(", ");
            client
                .execute(&BY_RULE.replace("{order}", &order), &[&roster_id])
                .await?;
        }
        client.execute(DECIDED, &[&roster_id]).await?;
        client
            .execute(&format!("{ENTER} AND r.roster_id = $1"), &[&roster_id])
            .await?;
        let open = client
            .execute(LEAVE_OPEN, &[&pooling_area, &roster_id])
            .await?;
        Ok(i32::try_from(open).unwrap_or(i32::MAX))
    }

    /// Lines of people who stand more than once that do not count, in order: the first of them.
    pub async fn passed_over(
        &self,
        roster_id: i64,
        limit: usize,
    ) -> Result<Vec<PassedOverLine>, PostError> {
        let rows = self
            .client()
            .query(
                PASSED,
                &[&roster_id, &i64::try_from(limit).unwrap_or(i64::MAX)],
            )
            .await?;
        let why = |row: &Row| match (row.get(2), row.get(3), row.get(4)) {
            (false, _, _) => RelationRefusal::Same,
            (true, false, _) => RelationRefusal::Undecided,
            (true, true, false) => RelationRefusal::Rule,
            (true, true, true) => RelationRefusal::Person,
        };
        Ok(rows
            .iter()
            .map(|row| PassedOverLine {
                record_index: row.get(0),
                other_index: row.get(1),
                why: why(row),
            })
            .collect())
    }
}

fn order(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::Employed => "(category = 'active') DESC",
        Criterion::WithAccount => "account DESC",
        Criterion::HighestBase => "base_fen DESC",
    }
}

impl Store {
    /// Relations to be decided about, of each person those of the latest roster.
    pub async fn open_relations(&self, pooling_area: i32) -> Result<Vec<OpenRelation>, Fault> {
        let rows = self.client().await?.query(OPEN, &[&pooling_area]).await?;
        let open = |row: &Row| OpenRelation {
            relation_id: row.get(0),
            person_no: row.get(1),
            roster_no: row.get(2),
            record_index: row.get(3),
            from_month: Month::from_number(row.get(4)).expect("only months are stored"),
            category: row.get(5),
            account: row.get(6),
            employer_no: row.get(7),
            district: row.get(8),
            base: Fen(row.get(9)),
        };
        Ok(rows.iter().map(open).collect())
    }

    /// Notes that somebody decided for a relation, there and in earlier rosters where the same is open.
    pub async fn choose_relation(&self, relation_id: i64, by: &str) -> Result<Choice, Fault> {
        let posting = PacketTransaction::begin(self).await.map_err(failed)?;
        let choice = posting
            .choose_relation(relation_id, by)
            .await
            .map_err(failed)?;
        match choice {
            Choice::Made(_) => posting.commit().await.map_err(failed)?,
            _ => posting.rollback().await,
        }
        Ok(choice)
    }
}

impl PacketTransaction {
    async fn choose_relation(&self, relation_id: i64, by: &str) -> Result<Choice, PostError> {
        let client = self.client();
        let known = client
            .query_opt(
                "SELECT pooling_area FROM roster_relation WHERE relation_id = $1",
                &[&relation_id],
            )
            .await?;
        let Some(row) = known else {
            return Ok(Choice::Unknown);
        };
        // With rosters and other decisions one after the other.
        self.lock_area(row.get(0)).await?;
        let chosen = client.query(CHOOSE, &[&relation_id, &by]).await?;
        for row in &chosen {
            let (roster_id, person_no): (i64, &str) = (row.get(0), row.get(1));
            client.execute("UPDATE roster_relation SET decided_at = now() WHERE roster_id = $1 AND person_no = $2", &[&roster_id, &person_no]).await?;
            client
                .execute(
                    &format!("{ENTER} AND r.roster_id = $1 AND r.person_no = $2"),
                    &[&roster_id, &person_no],
                )
                .await?;
        }
        if chosen.is_empty() {
            let who =
                "SELECT c.decided_by FROM roster_relation r JOIN roster_relation c ON c.roster_id = r.roster_id AND c.person_no = r.person_no AND c.counts
                WHERE r.relation_id = $1";
            let row = client.query_opt(who, &[&relation_id]).await?;
            return Ok(Choice::Decided(row.and_then(|row| row.get(0))));
        }
        Ok(Choice::Made(chosen.len() as u64))
    }
}

fn failed(error: PostError) -> Fault {
    match error {
        PostError::Failed(fault) => fault,
        PostError::NumberTaken | PostError::DetailTaken | PostError::HistoryTaken => Fault::later(
            crate::error::Stage::Store,
            "others are changing the same rows at this instant; try again",
        ),
    }
}
