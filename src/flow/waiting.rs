//! What waits for each destination, and when the last of it will have gone at the limits configured. Reads only.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::clock::{begin_of, day_of};
use crate::adapter::{Catalog, OutboundMessage};
use crate::config::{DestinationLimits, Partner};
use crate::error::{Fault, Stage, did_you_mean};
use crate::store::Pool;
use crate::store::delivery::{self as store, DestinationStanding, Waiting};

/// Days looked ahead; what takes longer has no end worth telling.
const DAYS_MAX: usize = 3_660;

/// What waits for one destination.
#[derive(Debug, Clone)]
pub struct DestinationQueue {
    pub destination: String,
    /// By message.
    pub waiting: Vec<Waiting>,
    /// How it is with the destination; `None`: nothing was ever sent to it.
    pub standing: Option<DestinationStanding>,
    /// Requests what can go will take.
    pub requests: u64,
    pub end: End,
}

/// When the last of it will have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the limits, not before then.
    At(Timestamp),
    /// Later than anybody plans.
    Never,
    /// Nothing of it can go: all of it waits for a person, or behind something that does.
    ForAPerson,
    /// It is not in partners.toml, or has no `[partner.outbound]` any more.
    NobodySends,
}

/// What waits, for one partner or all, at `now`.
///
/// # Errors
/// There is no such partner, or the database cannot be reached.
pub async fn waiting(
    pool: &Pool,
    (partners, catalog): (&[Partner], &Catalog),
    to: Option<&str>,
    now: Timestamp,
) -> Result<Vec<DestinationQueue>, Fault> {
    let waiting = store::waiting(pool, to).await?;
    let known = |name: &str| {
        partners
            .iter()
            .any(|partner| partner.name == name && partner.outbound.is_some())
    };
    if let Some(name) = to.filter(|name| !known(name) && waiting.is_empty()) {
        let names: Vec<&str> = partners
            .iter()
            .filter(|partner| partner.outbound.is_some())
            .map(|partner| partner.name.as_str())
            .collect();
        let near = did_you_mean(name, names.iter().copied());
        return Err(Fault::operator(
            Stage::Config,
            format!(
                "nothing is sent to a partner `{name}`{near}; those told of something are {}",
                names.join(", ")
            ),
        ));
    }
    let standings = store::standings(pool).await?;
    let mut queues: Vec<DestinationQueue> = Vec::new();
    for row in waiting {
        match queues
            .last_mut()
            .filter(|queue| queue.destination == row.destination)
        {
            Some(queue) => queue.waiting.push(row),
            None => {
                let standing = standings
                    .iter()
                    .find(|standing| standing.destination == row.destination)
                    .cloned();
                queues.push(DestinationQueue {
                    destination: row.destination.clone(),
                    waiting: vec![row],
                    standing,
                    requests: 0,
                    end: End::NobodySends,
                });
            }
        }
    }
    for queue in &mut queues {
        let spent = store::spent(pool, &queue.destination, day_of(now)).await?;
        let partner = partners
            .iter()
            .find(|partner| partner.name == queue.destination);
        let Some((partner, outbound)) =
            partner.and_then(|partner| Some((partner, partner.outbound.as_ref()?)))
        else {
            continue;
        };
        let adapter = super::loaded(partner, catalog)?;
        let most = |message: &str| {
            adapter
                .outbound(message)
                .map_or(1, OutboundMessage::records_max)
                .min(outbound.limits.records_per_request.unwrap_or(u32::MAX))
                .max(1)
        };
        queue.requests = queue
            .waiting
            .iter()
            .map(|row| row.requests(most(&row.message)))
            .sum();
        let from = queue
            .standing
            .as_ref()
            .and_then(|standing| standing.paused_until)
            .map_or(now, |until| until.max(now));
        queue.end = match queue.requests {
            0 => End::ForAPerson,
            requests => end(&outbound.limits, requests, from, spent).map_or(End::Never, End::At),
        };
    }
    Ok(queues)
}

/// When the last of so many requests leaves, from a moment on, when `spent` of that day's were sent.
fn end(
    limits: &DestinationLimits,
    requests: u64,
    from: Timestamp,
    spent: u32,
) -> Option<Timestamp> {
    let rate = f64::from(limits.requests_per_second.max(1));
    let mut left = requests as f64;
    let mut day = day_of(from);
    let mut of_the_day = limits
        .requests_per_day
        .map(|per_day| f64::from(per_day.saturating_sub(spent)));
    for _ in 0..DAYS_MAX {
        for (opens, closes) in open_hours(limits, day) {
            let opens = opens.max(from);
            let room = closes.duration_since(opens).as_secs_f64().max(0.0) * rate;
            let room = of_the_day.map_or(room, |most| room.min(most.max(0.0)));
            if left <= room {
                return opens
                    .checked_add(SignedDuration::try_from_secs_f64(left / rate).ok()?)
                    .ok();
            }
            left -= room;
            of_the_day = of_the_day.map(|most| most - room);
        }
        day = day.tomorrow().ok()?;
        of_the_day = limits.requests_per_day.map(f64::from);
    }
    None
}

/// The hours of a day in which requests are taken.
fn open_hours(limits: &DestinationLimits, day: Date) -> Vec<(Timestamp, Timestamp)> {
    let begin = begin_of(day);
    let at = |time: jiff::civil::Time| {
        begin
            + SignedDuration::from_secs(
                time.duration_since(jiff::civil::Time::midnight()).as_secs(),
            )
    };
    let midnight = begin + SignedDuration::from_hours(24);
    match limits.window {
        None => vec![(begin, midnight)],
        Some(window) if window.from < window.to => vec![(at(window.from), at(window.to))],
        Some(window) => vec![(begin, at(window.to)), (at(window.from), midnight)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DayWindow;
    use crate::flow::clock::in_city;

    fn ends(limits: &DestinationLimits, requests: u64, spent: u32) -> String {
        let now: Timestamp = "2026-11-27T10:00:00+08:00".parse().unwrap();
        end(limits, requests, now, spent).map_or_else(|| "never".into(), in_city)
    }

    #[test]
    fn the_end_is_reckoned_by_rate_day_and_window_of_the_city() {
        let plain = DestinationLimits::per_second(10);
        assert_eq!(ends(&plain, 6_000, 0), "2026-11-27 10:10:00");
        let daily = DestinationLimits {
            requests_per_day: Some(1_000),
            ..plain.clone()
        };
        assert_eq!(ends(&daily, 1_000, 0), "2026-11-27 10:01:40");
        assert_eq!(
            ends(&daily, 1_000, 400),
            "2026-11-28 00:00:40",
            "what was sent today is spent"
        );
        assert_eq!(ends(&daily, 2_600, 1_000), "2026-11-30 00:01:00");
        let night = DestinationLimits {
            window: Some(DayWindow::try_from("22:00-02:00".to_owned()).unwrap()),
            ..plain.clone()
        };
        assert_eq!(
            ends(&night, 10, 0),
            "2026-11-27 22:00:01",
            "the window is closed now"
        );
        assert_eq!(
            ends(&night, 36_000 * 3, 0),
            "2026-11-28 01:00:00",
            "it spans midnight"
        );
        let noon = DestinationLimits {
            window: Some(DayWindow::try_from("08:00-12:00".to_owned()).unwrap()),
            requests_per_day: Some(5),
            ..plain
        };
        assert_eq!(ends(&noon, 5, 0), "2026-11-27 10:00:00");
        assert_eq!(ends(&noon, 6, 0), "2026-11-28 08:00:00");
    }
}
