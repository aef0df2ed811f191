//! Dead letters: listed, shown and decided about by a person.
//!
//! Behind `ltcgw dead list|show|retry`. Shows what was tried and what was answered, never what was
//! sent. Nothing is sent from here: a decision moves the row, and a dispatcher takes it up.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::clock::in_city;
use super::tell;
use crate::error::{Fault, Stage};
use crate::store::Pool;
use crate::store::delivery::{self as store, Attempt, Delivery, DeliveryDetail, Letter};

pub use crate::store::delivery::Decision;

/// Up to `limit` dead letters, oldest first, of one destination or of all.
pub async fn list(
    pool: &Pool,
    destination: Option<&str>,
    limit: i64,
) -> Result<Vec<Letter>, Fault> {
    store::dead_letters(pool, destination, limit).await
}

/// A delivery, dead or not, with everything that was tried.
///
/// # Errors
/// There is none of that id, or the database cannot be reached.
pub async fn show(pool: &Pool, delivery_id: i64) -> Result<DeliveryDetail, Fault> {
    store::show(pool, delivery_id)
        .await?
        .ok_or_else(|| unknown(delivery_id))
}

/// Carries out what a person decided about a dead letter.
///
/// # Errors
/// It is not dead, the decision does not fit what is known of it, or the database cannot be reached.
pub async fn decide(pool: &Pool, delivery_id: i64, decision: Decision) -> Result<(), Fault> {
    if store::decide(pool, delivery_id, decision).await? {
        return Ok(());
    }
    let delivery = show(pool, delivery_id).await?.delivery;
    let text = match delivery.state.as_str() {
        "dead" => {
            let what = match decision {
                Decision::SendAgain => "sent again under its old reference",
                Decision::Delivered | Decision::Retry => "declared delivered",
            };
            format!(
                "delivery {delivery_id} was not taken by the partner ({}); only one whose outcome is unknown can be {what}. Retry it instead",
                last(&delivery)
            )
        }
        state => format!("delivery {delivery_id} is {state}, not dead; there is nothing to decide"),
    };
    Err(Fault::operator(Stage::Send, text))
}

/// Retries every dead letter of a destination, or of all; returns how many. Those of unknown
/// outcome are asked about, not sent again.
///
/// # Errors
/// The database cannot be reached.
pub async fn retry_all(pool: &Pool, destination: Option<&str>) -> Result<u64, Fault> {
    store::retry_all(pool, destination).await
}

/// Dead letters of one destination and message that ended for the same cause.
#[derive(Debug, Clone)]
pub struct Cause {
    pub destination: String,
    pub message: String,
    /// How it began and how it ended, in the words of the oldest of them.
    pub words: String,
    /// The oldest first.
    pub letters: Vec<Letter>,
}

impl Cause {
    /// Their money as the destination would have been told it.
    pub fn fen(&self) -> i128 {
        self.letters
            .iter()
            .map(|letter| i128::from(letter.delivery.of.fen.0))
            .sum()
    }
}

/// Letters by destination, message and cause, the most numerous first. Numbers differ from letter to letter where the cause
/// is the same, so words are compared without them.
pub fn by_cause(letters: Vec<Letter>) -> Vec<Cause> {
    let mut found: BTreeMap<(String, String, String), Cause> = BTreeMap::new();
    for letter in letters {
        let of = &letter.delivery.of;
        let words = causes(letter.first.as_deref(), last(&letter.delivery));
        let key = (
            of.destination.clone(),
            of.message.clone(),
            without_numbers(&words),
        );
        let cause = found.entry(key).or_insert_with(|| Cause {
            destination: of.destination.clone(),
            message: of.message.clone(),
            words,
            letters: Vec::new(),
        });
        cause.letters.push(letter);
    }
    let mut causes: Vec<Cause> = found.into_values().collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.letters.len()));
    causes
}

/// A text with `#` for every run of four digits or more; fewer are codes.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        let digits = rest[at..]
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len() - at);
        out.push_str(if digits < 4 {
            &rest[at..at + digits]
        } else {
            "#"
        });
        rest = &rest[at + digits..];
    }
    out + rest
}

/// Everything known of one delivery, for people.
pub fn page(detail: &DeliveryDetail) -> String {
    let DeliveryDetail {
        delivery,
        packet_no,
        attempts,
    } = detail;
    let of = &delivery.of;
    let told = tell::describe(of, packet_no.as_deref());
    let mut text = format!(
        "delivery {} to {}: {}\n  {told}\n  reference {}\n  queued {}\n",
        delivery.delivery_id,
        of.destination,
        delivery.state,
        delivery.reference.as_deref().unwrap_or("none yet"),
        in_city(delivery.created_at),
    );
    if let Some(settled_at) = delivery.settled_at {
        writeln!(text, "  {} {}", delivery.state, in_city(settled_at)).ok();
    }
    let answer = last(delivery);
    writeln!(
        text,
        "  last answer: {}",
        if answer.is_empty() {
            "without words"
        } else {
            answer
        }
    )
    .ok();
    text += &tried(attempts);
    text
}

/// A line for each attempt, and one for as many as met with the same in a row: an outage is told once, with its count.
fn tried(attempts: &[Attempt]) -> String {
    let same = |one: &Attempt, other: &Attempt| {
        one.ended_at.is_some()
            && (&one.kind, one.status, &one.outcome, &one.answer)
                == (&other.kind, other.status, &other.outcome, &other.answer)
    };
    let mut text = String::new();
    for run in attempts.chunk_by(same) {
        let [first, .., last] = run else {
            run.iter().for_each(|attempt| {
                text += &format!(
                    "  {:>3}. {} {:<7} {}\n",
                    attempt.attempt_no,
                    in_city(attempt.started_at),
                    attempt.kind,
                    met(attempt)
                )
            });
            continue;
        };
        text += &format!(
            "  {:>3}. {} {:<7} {}\n       to {}. {}: {} times the same\n",
            first.attempt_no,
            in_city(first.started_at),
            first.kind,
            met(first),
            last.attempt_no,
            in_city(last.started_at),
            run.len()
        );
    }
    text
}

fn met(attempt: &Attempt) -> String {
    let status = attempt
        .status
        .map_or_else(String::new, |status| format!(" HTTP {status}"));
    let outcome = attempt
        .outcome
        .as_deref()
        .unwrap_or("under way, or the instance that made it is gone");
    format!(
        "{outcome}{status} {}",
        attempt.answer.as_deref().unwrap_or_default()
    )
    .trim_end()
    .to_owned()
}

/// How it began and how it ended; said once where both are the same.
fn causes(first: Option<&str>, last: &str) -> String {
    match first {
        Some(first) if !last.contains(first) => format!("{first}; last: {last}"),
        _ => last.to_owned(),
    }
}

fn last(delivery: &Delivery) -> &str {
    delivery.answer.as_deref().unwrap_or("none")
}

fn unknown(delivery_id: i64) -> Fault {
    Fault::operator(
        Stage::Send,
        format!("there is no delivery {delivery_id}; see `ltcgw dead list`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::delivery::testing::TestDatabase;

    async fn kill(db: &TestDatabase, outcome: &str) {
        db.run(&format!(
            "UPDATE delivery SET state = 'dead', answer = 'no such employer', reference = 'ref-1', outcome = {outcome}, settled_at = now() WHERE state = 'ready'"
        ))
        .await;
    }

    #[tokio::test]
    async fn a_decision_that_does_not_fit_is_refused_with_the_reason() {
        let db = TestDatabase::new().await;
        let ids = db.queue("core", 1).await;
        let fault = decide(&db.pool, ids[0], Decision::Retry).await.unwrap_err();
        assert!(fault.text.contains("is ready, not dead"), "{fault}");
        kill(&db, "'rejected'").await;
        let fault = decide(&db.pool, ids[0], Decision::Delivered)
            .await
            .unwrap_err();
        assert!(
            fault
                .text
                .contains("was not taken by the partner (no such employer)"),
            "{fault}"
        );
        let fault = decide(&db.pool, ids[0], Decision::SendAgain)
            .await
            .unwrap_err();
        assert!(
            fault.text.contains(
                "only one whose outcome is unknown can be sent again under its old reference"
            ),
            "{fault}"
        );
        assert!(
            decide(&db.pool, 404, Decision::Retry)
                .await
                .unwrap_err()
                .text
                .contains("no delivery 404")
        );
        decide(&db.pool, ids[0], Decision::Retry).await.unwrap();
        assert_eq!(db.states().await, ["ready"]);
    }

    #[tokio::test]
    async fn retrying_all_sends_what_was_refused_and_asks_about_what_is_unknown() {
        let db = TestDatabase::new().await;
        db.queue("core", 2).await;
        kill(&db, "'rejected'").await;
        db.queue("core", 1).await;
        kill(&db, "'unknown'").await;
        db.queue("ltc", 1).await;
        kill(&db, "'retry_later'").await;
        assert_eq!(retry_all(&db.pool, Some("core")).await.unwrap(), 3);
        assert_eq!(db.states().await, ["ready", "ready", "in_doubt", "dead"]);
        assert_eq!(retry_all(&db.pool, None).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_batch_of_deductions_is_shown_by_its_number_and_people() {
        let db = TestDatabase::new().await;
        db.run(
            "INSERT INTO delivery (destination, message, subject_kind, subject_id, part, part_end, lines, fen, state, answer, settled_at)
             VALUES ('core', 'deductions', 'batch', '1049600', 12, 12, 2000, 1800000, 'dead', 'no such area', now())",
        )
        .await;
        let letters = list(&db.pool, None, 10).await.unwrap();
        assert_eq!(
            letters[0].delivery.of.batch(),
            Some(store::Batch {
                cycle_id: 1_049_600,
                batch_no: 12
            })
        );
        assert_eq!(
            tell::name(&letters[0].delivery.of, None),
            "batch 1049600-12"
        );
        let page = page(
            &show(&db.pool, letters[0].delivery.delivery_id)
                .await
                .unwrap(),
        );
        assert!(
            page.contains(
                "deductions, deduction cycle 1049600, batch 12: 2000 people, 18000.00 yuan"
            ),
            "{page}"
        );
    }

    #[tokio::test]
    async fn the_first_cause_is_listed_beside_the_last_answer_and_begins_anew_with_a_retry() {
        let db = TestDatabase::new().await;
        let ids = db.queue("core", 1).await;
        let attempts = |values: &str| {
            format!(
                "INSERT INTO attempt (delivery_id, attempt_no, kind, reference, adapter_digest, request_digest, started_at, ended_at, outcome, answer)
                 SELECT {}, no, kind, 'ref-1', sha256(''), sha256(''), now() + no * interval '1 second', now(), outcome, answer
                 FROM (VALUES {values}) AS given(no, kind, outcome, answer)",
                ids[0]
            )
        };
        db.run("UPDATE delivery SET tried_at = now()").await;
        db.run(&attempts(
            "(1, 'send', 'not_sent', 'connection refused'), (2, 'send', 'not_reached', '401 clock'), (3, 'send', 'unknown', 'status 502'), (4, 'inquire', 'unknown', 'status 504')",
        ))
        .await;
        kill(&db, "'unknown'").await;
        let words = async || {
            by_cause(list(&db.pool, None, 10).await.unwrap())
                .remove(0)
                .words
        };
        assert_eq!(words().await, "status 502; last: no such employer");
        decide(&db.pool, ids[0], Decision::Retry).await.unwrap();
        db.run("UPDATE delivery SET tried_at = now() + interval '10 seconds', state = 'ready'")
            .await;
        db.run(&attempts("(11, 'send', 'rejected', 'no such employer')"))
            .await;
        kill(&db, "'rejected'").await;
        assert_eq!(words().await, "no such employer");
    }

    #[tokio::test]
    async fn letters_of_one_cause_are_one_group_whatever_numbers_are_in_its_words() {
        let db = TestDatabase::new().await;
        db.queue("core", 3).await;
        db.run("UPDATE delivery SET state = 'dead', answer = 'no employer ' || 45010000 + part || ', code 312', settled_at = now()").await;
        db.queue("core", 1).await;
        kill(&db, "'rejected'").await;
        let causes = by_cause(list(&db.pool, None, 10).await.unwrap());
        let groups: Vec<(usize, &str, i128)> = causes
            .iter()
            .map(|cause| (cause.letters.len(), cause.words.as_str(), cause.fen()))
            .collect();
        assert_eq!(
            groups,
            [
                (3, "no employer 45010001, code 312", 3_000),
                (1, "no such employer", 1_000)
            ]
        );
    }

    #[tokio::test]
    async fn an_outage_is_one_line_with_its_count_in_the_city_s_time() {
        let db = TestDatabase::new().await;
        let ids = db.queue("core", 1).await;
        db.run(&format!(
            "INSERT INTO attempt (delivery_id, attempt_no, kind, reference, adapter_digest, request_digest, started_at, ended_at, outcome, answer)
             SELECT {}, no, 'send', 'ref', sha256(''), sha256(''), '2026-11-27T02:00:00Z'::timestamptz + no * interval '10 seconds', now(),
                 CASE WHEN no <= 360 THEN 'not_sent' ELSE 'rejected' END, CASE WHEN no <= 360 THEN 'connection refused' ELSE 'no such employer' END
             FROM generate_series(1, 361) AS no",
            ids[0]
        ))
        .await;
        let page = page(&show(&db.pool, ids[0]).await.unwrap());
        let attempts: Vec<&str> = page.lines().skip(5).collect();
        assert_eq!(
            attempts,
            [
                "    1. 2026-11-27 10:00:10 send    not_sent connection refused",
                "       to 360. 2026-11-27 11:00:00: 360 times the same",
                "  361. 2026-11-27 11:00:10 send    rejected no such employer"
            ],
            "{page}"
        );
    }

    #[tokio::test]
    async fn a_page_shows_what_a_person_needs() {
        let db = TestDatabase::new().await;
        let ids = db.queue("core", 1).await;
        kill(&db, "'rejected'").await;
        let page = page(&show(&db.pool, ids[0]).await.unwrap());
        assert!(
            page.starts_with(&format!("delivery {} to core: dead\n", ids[0]))
                && page.contains("reference ref-1"),
            "{page}"
        );
    }
}
