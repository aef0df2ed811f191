//! Waits until every delivery is settled, and measures how fast each counterpart was served.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::progress::DemoProgress;
use crate::error::{Fault, Stage};
use crate::service::RunningGateway;
use crate::store::delivery::{self, Backlog};

/// How often the dispatchers are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the database is asked what waits.
const ASK: Duration = Duration::from_millis(400);
/// A longer time without a settled delivery does not count as delivering.
const PAUSE: Duration = Duration::from_millis(800);
/// Longest time without any delivery being settled once all packets are sent.
const STANDSTILL: Duration = Duration::from_secs(120);

/// What was seen of the deliveries to each counterpart.
pub(super) type Deliveries = Vec<SentDeliveries>;

/// Deliveries to one counterpart.
#[derive(Debug, Clone)]
pub(super) struct SentDeliveries {
    pub destination: String,
    /// Requests that carried a delivery, however often the same one.
    pub sent: u64,
    /// Requests that asked about an unknown outcome.
    pub inquiries: u64,
    pub settled: u64,
    /// When one was settled last.
    last: Option<Instant>,
    /// Time spent delivering: pauses of more than [`PAUSE`] are left out.
    busy: Duration,
}

impl SentDeliveries {
    /// Seconds spent delivering; none when it was too short to measure.
    pub fn seconds(&self) -> Option<f64> {
        (self.busy >= Duration::from_millis(500)).then_some(self.busy.as_secs_f64())
    }
}

/// Waits until nothing is being pushed any more and nothing waits for a counterpart.
pub(super) async fn deliveries(
    running: &RunningGateway,
    progress: &DemoProgress,
    pushing: &Cell<bool>,
) -> Result<Deliveries, Fault> {
    let mut seen: Deliveries = Vec::new();
    let (mut asked, mut moved) = (Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        if look(running, &mut seen) || pushing.get() {
            moved = Instant::now();
        }
        if asked.elapsed() < ASK {
            continue;
        }
        asked = Instant::now();
        let all_sent = !pushing.get();
        let backlog = delivery::backlog(running.gateway.store.pool()).await?;
        let open =
            |waiting: &Backlog| (waiting.ready + waiting.leased + waiting.in_doubt).unsigned_abs();
        for one in &seen {
            let waiting = backlog
                .iter()
                .find(|waiting| waiting.destination == one.destination)
                .map_or(0, open);
            progress.deliveries(&one.destination, one.settled, one.settled + waiting);
        }
        if all_sent && backlog.iter().all(|waiting| open(waiting) == 0) {
            look(running, &mut seen);
            return Ok(seen);
        }
        if moved.elapsed() > STANDSTILL {
            return Err(standstill(&backlog));
        }
    }
}

/// Takes the dispatchers' figures; whether anything was settled since.
fn look(running: &RunningGateway, seen: &mut Deliveries) -> bool {
    let mut moved = false;
    for status in running.worker().status() {
        let at = seen
            .iter()
            .position(|one| one.destination == status.destination)
            .unwrap_or_else(|| {
                seen.push(SentDeliveries {
                    destination: status.destination.clone(),
                    sent: 0,
                    inquiries: 0,
                    settled: 0,
                    last: None,
                    busy: Duration::ZERO,
                });
                seen.len() - 1
            });
        let one = &mut seen[at];
        let figures = status.figures;
        let met: u64 = figures
            .outcomes
            .iter()
            .filter(|(word, _)| *word != "not_sent")
            .map(|(_, count)| count)
            .sum();
        one.sent = met;
        one.inquiries = figures.inquiries;
        let settled = figures.delivered + figures.dead;
        if settled > one.settled {
            moved = true;
            one.settled = settled;
            let gap = one
                .last
                .replace(Instant::now())
                .map_or(Duration::ZERO, |last| last.elapsed());
            one.busy += if gap > PAUSE { Duration::ZERO } else { gap };
        }
    }
    moved
}

fn standstill(backlog: &[Backlog]) -> Fault {
    let open = backlog
        .iter()
        .filter(|waiting| waiting.ready + waiting.leased + waiting.in_doubt > 0);
    let words = open.map(|waiting| {
        format!(
            "{}: {} ready, {} under way, {} in doubt",
            waiting.destination, waiting.ready, waiting.leased, waiting.in_doubt
        )
    });
    let text = format!(
        "no delivery was settled for {} seconds ({})",
        STANDSTILL.as_secs(),
        words.collect::<Vec<_>>().join("; ")
    );
    Fault::later(Stage::Send, format!("{text}; see the warnings above"))
}
