//! Destinations and their pauses, listed.
//!
//! Behind `ltcgw destinations list`. A pause is lifted by two people (`flow::approval`), in the database; the instance
//! that dispatches hears of it with its next renewal and goes on at once.

use super::clock::in_city;
use crate::error::Fault;
use crate::store::Pool;
use crate::store::delivery::{self as store, Backlog, DestinationStanding};

/// Every destination something was ever sent to, with what waits for it.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(pool: &Pool) -> Result<Vec<(DestinationStanding, Backlog)>, Fault> {
    let backlogs = store::backlog(pool).await?;
    let standings = store::standings(pool).await?;
    let with = |standing: DestinationStanding| {
        let backlog = backlogs
            .iter()
            .find(|backlog| backlog.destination == standing.destination)
            .cloned();
        (standing, backlog.unwrap_or_default())
    };
    Ok(standings.into_iter().map(with).collect())
}

/// How it is with a destination, in a few words.
pub fn state(standing: &DestinationStanding) -> String {
    let nobody = if standing.held {
        ""
    } else {
        "; no instance dispatches to it"
    };
    let Some(reason) = standing.reason.as_deref() else {
        return format!("works{nobody}");
    };
    let why = match reason {
        "not_reached" => "what stands before the partner lets nothing through",
        "unclear" => "it gives no answer of its own",
        "later" => "it says later",
        _ => "it cannot be reached, or keeps silent",
    };
    let since = standing
        .paused_at
        .map_or_else(String::new, |at| format!(" since {}", in_city(at)));
    match standing.paused_until {
        Some(until) => format!("paused until {}{since}: {why}{nobody}", in_city(until)),
        // Its pause is over, and nothing has shown yet that it works.
        None => format!("tried now and then{since}: {why}{nobody}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::delivery::testing::TestDatabase;

    const TERM: std::time::Duration = std::time::Duration::from_secs(60);

    #[tokio::test]
    async fn a_pause_is_shown_with_the_words_met_and_lifted_by_name() {
        let db = TestDatabase::new().await;
        assert!(list(&db.pool).await.unwrap().is_empty());
        let shown = async || {
            let listed = list(&db.pool).await.unwrap();
            assert_eq!(listed.len(), 1, "the calendar is no destination");
            let (standing, backlog) = listed.into_iter().next().unwrap();
            (state(&standing), standing.answer, backlog.ready)
        };
        let (lease, _) = store::acquire(&db.pool, "core", "one", TERM)
            .await
            .unwrap()
            .unwrap();
        store::acquire(&db.pool, "@calendar", "one", TERM)
            .await
            .unwrap()
            .unwrap();
        db.queue("core", 2).await;
        assert_eq!(shown().await, ("works".to_owned(), None, 2));

        store::pause(
            &db.pool,
            &lease,
            10 * TERM,
            ("not_reached", "401 签名校验失败"),
        )
        .await
        .unwrap();
        let (paused, said, _) = shown().await;
        assert!(
            paused.starts_with("paused until 20")
                && paused.ends_with(": what stands before the partner lets nothing through"),
            "{paused}"
        );
        assert_eq!(said.as_deref(), Some("401 签名校验失败"));

        assert_eq!(store::renew(&db.pool, &lease, TERM).await.unwrap(), Some(0));
        assert_eq!(store::resume(&db.pool, "core").await.unwrap(), Some(true));
        assert_eq!(shown().await.0, "works");
        assert_eq!(
            store::renew(&db.pool, &lease, TERM).await.unwrap(),
            Some(1),
            "the holder hears of it"
        );
        assert_eq!(
            store::resume(&db.pool, "core").await.unwrap(),
            Some(false),
            "there is none any more"
        );
        assert_eq!(store::resume(&db.pool, "cor").await.unwrap(), None);
    }
}
