//! Destinations and their pauses, listed.
//!
//! Behind `ltcgw destinations list`. A pause is lifted by two people (`flow::approval`), in the database; the instance
//! that dispatches hears of it with its next renewal and goes on at once.

use std::fmt::Write;

use super::clock::in_city;
use crate::error::Fault;
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

/// Two lines for each destination, and one with the words met where it is paused; times are the city's.
pub fn table(destinations: &[(Standing, Backlog)]) -> String {
    if destinations.is_empty() {
        return "nothing was ever sent to any destination\n".into();
    }
    let mut text = format!("{:<20} {:>9} {:>9} {:>9} {:>9}\n", "destination", "ready", "leased", "in doubt", "dead");
    for (standing, backlog) in destinations {
        let Backlog { ready, leased, in_doubt, dead, .. } = backlog;
        writeln!(text, "{:<20} {ready:>9} {leased:>9} {in_doubt:>9} {dead:>9}", standing.destination).ok();
        writeln!(text, "  {}", state(standing)).ok();
        if let Some(answer) = standing.answer.as_deref().filter(|answer| !answer.is_empty()) {
            writeln!(text, "  it said: {answer}").ok();
        }
    }
    text
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
    let since = standing.paused_at.map_or_else(String::new, |at| format!(" since {}", in_city(at)));
    match standing.paused_until {
        Some(until) => format!("paused until {}{since}: {why}{nobody}", in_city(until)),
        // Its pause is over, and nothing has shown yet that it works.
        None => format!("tried now and then{since}: {why}{nobody}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::delivery::testing::Database;

    const TERM: std::time::Duration = std::time::Duration::from_secs(60);

    #[tokio::test]
    async fn a_pause_is_shown_with_the_words_met_and_lifted_by_name() {
        let db = Database::new().await;
        assert_eq!(table(&list(&db.pool).await.unwrap()), "nothing was ever sent to any destination\n");
        let (lease, _) = store::acquire(&db.pool, "core", "one", TERM).await.unwrap().unwrap();
        store::acquire(&db.pool, "@calendar", "one", TERM).await.unwrap().unwrap();
        db.queue("core", 2).await;
        let shown = table(&list(&db.pool).await.unwrap());
        assert!(shown.lines().count() == 3 && shown.ends_with("works\n") && shown.contains("        2 "), "{shown}");

        store::pause(&db.pool, &lease, 10 * TERM, ("not_reached", "401 签名校验失败")).await.unwrap();
        let shown = table(&list(&db.pool).await.unwrap());
        assert!(shown.contains("paused until 20") && shown.contains(": what stands before the partner lets nothing through\n"), "{shown}");
        assert!(shown.ends_with("it said: 401 签名校验失败\n"), "{shown}");

        assert_eq!(store::renew(&db.pool, &lease, TERM).await.unwrap(), Some(0));
        assert_eq!(store::resume(&db.pool, "core").await.unwrap(), Some(true));
        assert!(table(&list(&db.pool).await.unwrap()).ends_with("works\n"));
        assert_eq!(store::renew(&db.pool, &lease, TERM).await.unwrap(), Some(1), "the holder hears of it");
        assert_eq!(store::resume(&db.pool, "core").await.unwrap(), Some(false), "there is none any more");
        assert_eq!(store::resume(&db.pool, "cor").await.unwrap(), None);
    }
}
