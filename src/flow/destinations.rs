//! Destinations and their pauses: listed, and lifted by a person.
//!
//! Behind `ltcgw destinations list|resume`. A pause is lifted in the database; the instance that
//! dispatches hears of it with its next renewal and goes on at once.

use super::clock::shanghai;
use crate::error::{Fault, Stage};
use crate::store::Pool;
use crate::store::delivery::{self as store, Backlog, Standing};

/// Every destination something was ever sent to, with what waits for it.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(pool: &Pool) -> Result<Vec<(Standing, Backlog)>, Fault> {
    let backlogs = store::backlog(pool).await?;
    let standings = store::standings(pool).await?;
    let with = |standing: Standing| {
        let backlog = backlogs.iter().find(|backlog| backlog.destination == standing.destination).cloned();
        (standing, backlog.unwrap_or_default())
    };
    Ok(standings.into_iter().map(with).collect())
}

/// Lifts a destination's pause; `false` when there was none.
///
/// # Errors
/// Nothing was ever sent to a destination of that name, or the database cannot be reached.
pub async fn resume(pool: &Pool, destination: &str) -> Result<bool, Fault> {
    let unknown = || Fault::operator(Stage::Send, format!("nothing was ever sent to a destination `{destination}`; see `ltcgw destinations list`"));
    store::resume(pool, destination).await?.ok_or_else(unknown)
}

/// How it is with a destination, in a few words.
pub fn state(standing: &Standing) -> String {
    let nobody = if standing.held { "" } else { "; no instance dispatches to it" };
    let Some(reason) = standing.reason.as_deref() else { return format!("works{nobody}") };
    let why = match reason {
        "not_reached" => "what stands before the partner lets nothing through",
        "unclear" => "it gives no answer of its own",
        "later" => "it says later",
        _ => "it cannot be reached, or keeps silent",
    };
    let since = standing.paused_at.map_or_else(String::new, |at| format!(" since {}", moment(at)));
    match standing.paused_until {
        Some(until) => format!("paused until {}{since}: {why}{nobody}", moment(until)),
        // Its pause is over, and nothing has shown yet that it works.
        None => format!("tried now and then{since}: {why}{nobody}"),
    }
}

/// In the city's time.
fn moment(at: jiff::Timestamp) -> String {
    at.to_zoned(shanghai()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::delivery::testing::Database;

    const TERM: std::time::Duration = std::time::Duration::from_secs(60);

    #[tokio::test]
    async fn a_pause_is_shown_with_the_words_met_and_lifted_by_name() {
        let db = Database::new().await;
        assert!(list(&db.pool).await.unwrap().is_empty());
        let shown = async || {
            let listed = list(&db.pool).await.unwrap();
            assert_eq!(listed.len(), 1, "the calendar is no destination");
            let (standing, backlog) = listed.into_iter().next().unwrap();
            (state(&standing), standing.answer, backlog.ready)
        };
        let (lease, _) = store::acquire(&db.pool, "core", "one", TERM).await.unwrap().unwrap();
        store::acquire(&db.pool, "@calendar", "one", TERM).await.unwrap().unwrap();
        db.queue("core", 2).await;
        assert_eq!(shown().await, ("works".to_owned(), None, 2));

        store::pause(&db.pool, &lease, 10 * TERM, ("not_reached", "401 签名校验失败")).await.unwrap();
        let (paused, said, _) = shown().await;
        assert!(paused.starts_with("paused until 20") && paused.ends_with(": what stands before the partner lets nothing through"), "{paused}");
        assert_eq!(said.as_deref(), Some("401 签名校验失败"));

        assert_eq!(store::renew(&db.pool, &lease, TERM).await.unwrap(), Some(0));
        assert!(resume(&db.pool, "core").await.unwrap());
        assert_eq!(shown().await.0, "works");
        assert_eq!(store::renew(&db.pool, &lease, TERM).await.unwrap(), Some(1), "the holder hears of it");
        assert!(!resume(&db.pool, "core").await.unwrap(), "there is none any more");
        let fault = resume(&db.pool, "cor").await.unwrap_err();
        assert!(fault.text.contains("nothing was ever sent to a destination `cor`"), "{fault}");
    }
}
