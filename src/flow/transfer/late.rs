//! Results the medical core sends by itself, of a batch it had only queued.
//!
//! Read by the same field table as those in answers and taken in the same way. The reply goes out
//! after the commit and says what was posted, what was known, and what does not fit and why; the
//! same message again changes nothing and is answered in the same words.

use crate::adapter::HeadSeen;
use crate::error::Fault;
use crate::flow::Gateway;
use crate::flow::intake::{Arrival, IntakeEnding, IntakeReply, ListedRefusal};
use crate::model::Story;
use crate::model::told::Results;
use crate::store::collect::PacketCounts;
use crate::store::delivery::Batch;
use crate::store::transfer::{OddKind, ResultDiscrepancy, ResultsOrigin};

use super::{DEDUCTIONS, ResultsSummary, of_name, told};

/// Results one message has at most: they are held in memory, and no batch has nearly as many people.
const RESULTS_MAX: u64 = 50_000;

/// Takes a message.
pub(in crate::flow) async fn take_results(
    gateway: &Gateway,
    arrival: &Arrival,
) -> Result<IntakeReply, IntakeEnding> {
    let reading = arrival.clone();
    let lines_max = gateway.config.gateway.receive.lines_max.min(RESULTS_MAX);
    let read = tokio::task::spawn_blocking(move || read_all(&reading, lines_max)).await;
    let (head, results) =
        read.map_err(|error| IntakeEnding::thread(Story::DeductionResults, &error))??;
    post(gateway, arrival, (&head, &results))
        .await
        .map_err(|ending| ending.of(|| head))
}

/// Posts what fits the batch it names.
async fn post(
    gateway: &Gateway,
    arrival: &Arrival,
    (head, results): (&HeadSeen, &Results),
) -> Result<IntakeReply, IntakeEnding> {
    let name = head.packet_no.clone().unwrap_or_default();
    let sender = &arrival.partner.name;
    let batch = of_name(&name);
    let cycle = match batch {
        Some(batch) => gateway.store.cycle(batch.cycle_id).await?,
        None => None,
    };
    if let Some(area) = cycle
        .map(|cycle| cycle.pooling_area)
        .filter(|area| !arrival.partner.speaks_for(*area))
    {
        tracing::warn!(
            sender,
            batch = name,
            area,
            "results of an area that is not the sender's; refused, nothing was kept"
        );
        return Err(IntakeEnding::refused(
            403,
            format!(
                "batch {name}: {}; nothing was posted",
                arrival.partner.not_its_own(area)
            ),
        ));
    }
    let summary = match known_batch(gateway, batch).await? {
        Ok(batch) => gateway
            .transfer
            .take_in(batch, sender, results)
            .await?
            .ok_or("its cycle does not run"),
        Err(reason) => Err(reason),
    };
    match summary {
        Ok(summary) => {
            (gateway.wake)(&gateway.audience.results);
            let listed_max = gateway.config.gateway.receive.refusals_listed_max;
            Ok(taken(
                arrival,
                head.clone(),
                listed_max,
                (results, &summary),
            )?)
        }
        Err(reason) => {
            let words = format!(
                "results of {} people for batch {name}: {reason}",
                results.told.len() + results.unreadable.len()
            );
            let odd = ResultDiscrepancy {
                index: 0,
                person_no: None,
                kind: OddKind::UnknownBatch,
                asked: None,
                told: None,
                words,
            };
            gateway
                .store
                .note_odd(
                    None,
                    ResultsOrigin {
                        sender,
                        digest: results.digest,
                    },
                    &[odd],
                )
                .await?;
            Err(IntakeEnding::refused(
                422,
                format!(
                    "batch {name}: {reason}; nothing was posted, expected a batch_no as it was sent to you"
                ),
            ))
        }
    }
}

/// Reads the whole message.
fn read_all(arrival: &Arrival, lines_max: u64) -> Result<(HeadSeen, Results), IntakeEnding> {
    let mut reader = arrival.open(lines_max)?;
    let head = reader.head();
    let head = HeadSeen {
        packet_no: Some(head.packet_no.clone()),
        packet_type: None,
        untaken: None,
        encoding: head.encoding,
        values: head.values.clone(),
    };
    let mut results = Results {
        digest: arrival.body.digest,
        ..Results::default()
    };
    let mut record = reader.new_record();
    while let Some(line) = reader.next(&mut record)? {
        told::add(&mut results, &line, &record);
    }
    Ok((head, results))
}

/// The batch of that number, if it was ever sent.
async fn known_batch(
    gateway: &Gateway,
    batch: Option<Batch>,
) -> Result<Result<Batch, &'static str>, Fault> {
    let Some(batch) = batch else {
        return Ok(Err("there is no batch of this number"));
    };
    let sent = gateway.store.batch_was_sent(batch, DEDUCTIONS).await?;
    Ok(if sent {
        Ok(batch)
    } else {
        Err("no batch of this number was sent")
    })
}

fn taken(
    arrival: &Arrival,
    head: HeadSeen,
    listed_max: usize,
    (results, summary): (&Results, &ResultsSummary),
) -> Result<IntakeReply, Fault> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let received = results.told.len() + results.unreadable.len();
    let counts = PacketCounts {
        received: count(received),
        posted: count(summary.new),
        refused: count(summary.odd.len()),
        duplicate: count(summary.known),
        ..PacketCounts::default()
    };
    let listed = summary
        .odd
        .iter()
        .take(listed_max)
        .map(|odd| ListedRefusal {
            index: odd.index,
            element: odd.kind.word().to_owned(),
            content: String::new(),
            reason: format!(
                "{}; nothing of it was posted, a person looks at it",
                odd.words
            ),
        });
    let reply = arrival
        .replier(Some(head))
        .taken(counts, &listed.collect::<Vec<_>>())?;
    // Results are no lines of money, and are counted as results.
    Ok(IntakeReply {
        counts: None,
        ..reply
    })
}
