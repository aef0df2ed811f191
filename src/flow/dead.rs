//! Dead letters: listed, shown and decided about by a person.
//!
//! Behind `ltcgw dead list|show|retry`. Shows what was tried and what was answered, never what was
//! sent. Nothing is sent from here: a decision moves the row, and a dispatcher takes it up.

use std::fmt::Write;

use crate::error::{Fault, Stage};
use crate::store::Pool;
use crate::store::delivery::{self as store, Delivery, Detail, Letter, NewDelivery, Subject};

pub use crate::store::delivery::Decision;

/// Up to `limit` dead letters, oldest first, of one destination or of all.
pub async fn list(pool: &Pool, destination: Option<&str>, limit: i64) -> Result<Vec<Letter>, Fault> {
    store::dead_letters(pool, destination, limit).await
}

/// A delivery, dead or not, with everything that was tried.
///
/// # Errors
/// There is none of that id, or the database cannot be reached.
pub async fn show(pool: &Pool, delivery_id: i64) -> Result<Detail, Fault> {
    store::show(pool, delivery_id).await?.ok_or_else(|| unknown(delivery_id))
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
        "dead" => format!(
            "delivery {delivery_id} was not taken by the partner ({}); only one whose outcome is unknown can be declared delivered. Retry it instead",
            last(&delivery)
        ),
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

/// A table for people, one dead letter a line.
pub fn table(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "no dead letters\n".into();
    }
    let mut text = format!(
        "{:>12}  {:<20} {:<16} {:>12} {:>7} {:>18}  {:>8}  first cause, and the last answer where it is another\n",
        "delivery", "destination", "message", "tells of", "lines", "yuan", "attempts"
    );
    for Letter { delivery, first } in letters {
        let of = &delivery.of;
        let (id, fen) = (delivery.delivery_id, of.fen.to_string());
        writeln!(
            text,
            "{id:>12}  {:<20} {:<16} {:>12} {:>7} {fen:>18}  {:>8}  {}",
            of.destination,
            of.message,
            subject(of),
            of.lines,
            delivery.attempts,
            causes(first.as_deref(), last(delivery))
        )
        .ok();
    }
    text
}

/// Everything known of one delivery, for people.
pub fn page(detail: &Detail) -> String {
    let Detail { delivery, attempts } = detail;
    let of = &delivery.of;
    let told = match &of.subject {
        Subject::Records(records) => format!(
            "{}{}, packet {}, records {} to {}: {} lines, {} yuan",
            if records.reversal { "reversal of " } else { "" },
            of.message,
            records.packet_id,
            records.first_record,
            records.last_record,
            of.lines,
            of.fen
        ),
        Subject::Entity(entity) => {
            let what = if entity.removal { "removal of " } else { "" };
            format!("{}, {what}{} {} version {}, change {}", of.message, entity.kind, entity.id, entity.version, entity.revision)
        }
        Subject::Batch(batch) => {
            format!("{}, deduction cycle {}, batch {}: {} people, {} yuan", of.message, batch.cycle_id, batch.batch_no, of.lines, of.fen)
        }
    };
    let mut text = format!(
        "delivery {} to {}: {}\n  {told}\n  reference {}\n  queued {}\n",
        delivery.delivery_id,
        of.destination,
        delivery.state,
        delivery.reference.as_deref().unwrap_or("none yet"),
        delivery.created_at,
    );
    if let Some(settled_at) = delivery.settled_at {
        writeln!(text, "  {} {settled_at}", delivery.state).ok();
    }
    writeln!(text, "  last answer: {}", last(delivery)).ok();
    for attempt in attempts {
        let status = attempt.status.map_or_else(String::new, |status| format!(" HTTP {status}"));
        let outcome = attempt.outcome.as_deref().unwrap_or("under way, or the instance that made it is gone");
        writeln!(
            text,
            "  {:>3}. {} {:<7} {outcome}{status} {}",
            attempt.attempt_no,
            attempt.started_at,
            attempt.kind,
            attempt.answer.as_deref().unwrap_or_default()
        )
        .ok();
    }
    text
}

/// How it began and how it ended; said once where both are the same.
fn causes(first: Option<&str>, last: &str) -> String {
    match first {
        Some(first) if !last.contains(first) => format!("{first}; last: {last}"),
        _ => last.to_owned(),
    }
}

fn subject(of: &NewDelivery) -> String {
    match &of.subject {
        Subject::Records(records) => records.packet_id.to_string(),
        Subject::Entity(entity) => entity.id.clone(),
        Subject::Batch(batch) => super::transfer::name_of(*batch),
    }
}

fn last(delivery: &Delivery) -> &str {
    delivery.answer.as_deref().unwrap_or("none")
}

fn unknown(delivery_id: i64) -> Fault {
    Fault::operator(Stage::Send, format!("there is no delivery {delivery_id}; see `ltcgw dead list`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::delivery::testing::Database;

    async fn kill(db: &Database, outcome: &str) {
        db.run(&format!(
            "UPDATE delivery SET state = 'dead', answer = 'no such employer', reference = 'ref-1', outcome = {outcome}, settled_at = now() WHERE state = 'ready'"
        ))
        .await;
    }

    #[tokio::test]
    async fn a_decision_that_does_not_fit_is_refused_with_the_reason() {
        let db = Database::new().await;
        let ids = db.queue("core", 1).await;
        let fault = decide(&db.pool, ids[0], Decision::Retry).await.unwrap_err();
        assert!(fault.text.contains("is ready, not dead"), "{fault}");
        kill(&db, "'rejected'").await;
        let fault = decide(&db.pool, ids[0], Decision::Delivered).await.unwrap_err();
        assert!(fault.text.contains("was not taken by the partner (no such employer)"), "{fault}");
        assert!(decide(&db.pool, 404, Decision::Retry).await.unwrap_err().text.contains("no delivery 404"));
        decide(&db.pool, ids[0], Decision::Retry).await.unwrap();
        assert_eq!(db.states().await, ["ready"]);
    }

    #[tokio::test]
    async fn retrying_all_sends_what_was_refused_and_asks_about_what_is_unknown() {
        let db = Database::new().await;
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
        let db = Database::new().await;
        db.run(
            "INSERT INTO delivery (destination, message, cycle_id, batch_no, lines, fen, state, answer, settled_at)
             VALUES ('core', 'deductions', 1049600, 12, 2000, 1800000, 'dead', 'no such area', now())",
        )
        .await;
        let letters = list(&db.pool, None, 10).await.unwrap();
        assert_eq!(letters[0].delivery.of.batch(), Some(store::Batch { cycle_id: 1_049_600, batch_no: 12 }));
        let table = table(&letters);
        assert!(table.contains(" 1049600-12 ") && table.contains("18000.00"), "{table}");
        let page = page(&show(&db.pool, letters[0].delivery.delivery_id).await.unwrap());
        assert!(page.contains("deductions, deduction cycle 1049600, batch 12: 2000 people, 18000.00 yuan"), "{page}");
    }

    #[tokio::test]
    async fn the_first_cause_is_listed_beside_the_last_answer_and_begins_anew_with_a_retry() {
        let db = Database::new().await;
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
        let listed = table(&list(&db.pool, None, 10).await.unwrap());
        assert!(listed.ends_with("status 502; last: no such employer\n"), "{listed}");
        decide(&db.pool, ids[0], Decision::Retry).await.unwrap();
        db.run("UPDATE delivery SET tried_at = now() + interval '10 seconds', state = 'ready'").await;
        db.run(&attempts("(11, 'send', 'rejected', 'no such employer')")).await;
        kill(&db, "'rejected'").await;
        let listed = table(&list(&db.pool, None, 10).await.unwrap());
        assert!(listed.ends_with("  no such employer\n"), "{listed}");
    }

    #[tokio::test]
    async fn table_and_page_show_what_a_person_needs() {
        let db = Database::new().await;
        let ids = db.queue("core", 1).await;
        assert_eq!(table(&list(&db.pool, None, 10).await.unwrap()), "no dead letters\n");
        kill(&db, "'rejected'").await;
        let table = table(&list(&db.pool, None, 10).await.unwrap());
        assert!(table.contains("core") && table.contains("10.00") && table.ends_with("no such employer\n"), "{table}");
        let page = page(&show(&db.pool, ids[0]).await.unwrap());
        assert!(page.starts_with(&format!("delivery {} to core: dead\n", ids[0])) && page.contains("reference ref-1"), "{page}");
    }
}
