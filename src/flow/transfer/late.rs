//! Results the medical core sends by itself, of a batch it had only queued.
//!
//! Read by the same field table as those in answers and taken in the same way. The reply goes out
//! after the commit and says what was posted, what was known, and what does not fit and why; the
//! same message again changes nothing and is answered in the same words.

use crate::adapter::{HeadSeen, PacketRefusal};
use crate::error::{Fault, Stage};
use crate::flow::Gateway;
use crate::flow::collect::{Arrival, ListedRefusal, Replier, Reply, refused_whole};
use crate::model::records::deduction_result;
use crate::model::told::Results;
use crate::store::collect::Counts;
use crate::store::delivery::Batch;
use crate::store::transfer::{Odd, OddKind, Origin};

use super::{DEDUCTIONS, Summary, of_name, told};

/// Results one message has at most: they are held in memory, and no batch has nearly as many people.
const RESULTS_MAX: u64 = 50_000;

/// Takes a message; a fault means that nothing was kept and the sender should send it again.
///
/// # Errors
/// The database cannot be reached, or the partner's adapter has no such results.
pub async fn receive(gateway: &Gateway, arrival: &Arrival) -> Result<Reply, Fault> {
    let reading = arrival.clone();
    let lines_max = gateway.config.gateway.receive.lines_max.min(RESULTS_MAX);
    let read = tokio::task::spawn_blocking(move || read_all(&reading, lines_max)).await;
    let (head, results) = match read
        .map_err(|_| Fault::later(Stage::Decode, "reading results failed; see the log"))??
    {
        Ok(read) => read,
        Err(refusal) => {
            let (status, reason) = refused_whole(&refusal)?;
            return replier(arrival, refusal.head)?.refused(status, &reason);
        }
    };
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
        return replier(arrival, head)?.refused(
            403,
            &format!(
                "batch {name}: {}; nothing was posted",
                arrival.partner.not_its_own(area)
            ),
        );
    }
    let summary = match known_batch(gateway, batch).await? {
        Ok(batch) => gateway
            .transfer
            .take_in(batch, sender, &results)
            .await?
            .ok_or("its cycle does not run"),
        Err(reason) => Err(reason),
    };
    match summary {
        Ok(summary) => {
            (gateway.wake)(&gateway.audience.results);
            taken(
                arrival,
                head,
                gateway.config.gateway.receive.refusals_listed_max,
                (&results, &summary),
            )
        }
        Err(reason) => {
            let words = format!(
                "results of {} people for batch {name}: {reason}",
                results.told.len() + results.unreadable.len()
            );
            let odd = Odd {
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
                    Origin {
                        sender,
                        digest: results.digest,
                    },
                    &[odd],
                )
                .await?;
            replier(arrival, head)?.refused(422, &format!("batch {name}: {reason}; nothing was posted, expected a batch_no as it was sent to you"))
        }
    }
}

type Read = Result<(HeadSeen, Results), PacketRefusal>;

/// Reads the whole message.
fn read_all(arrival: &Arrival, lines_max: u64) -> Result<Read, Fault> {
    let endpoint = arrival
        .adapter
        .endpoint(&arrival.endpoint)
        .ok_or_else(|| not_set_up(arrival))?;
    let mut reader = match endpoint.open(arrival.body.reader(), lines_max) {
        Ok(reader) => reader,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let head = reader.head();
    if head.message.name != deduction_result::SPEC.name {
        return Err(not_set_up(arrival));
    }
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
    loop {
        match reader.next(&mut record) {
            Ok(Some(line)) => told::add(&mut results, &line, &record),
            Ok(None) => return Ok(Ok((head, results))),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
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
    (results, summary): (&Results, &Summary),
) -> Result<Reply, Fault> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let received = results.told.len() + results.unreadable.len();
    let counts = Counts {
        received: count(received),
        posted: count(summary.new),
        refused: count(summary.odd.len()),
        duplicate: count(summary.known),
        ..Counts::default()
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
    replier(arrival, head)?.taken(counts, &listed.collect::<Vec<_>>())
}

fn replier(arrival: &Arrival, head: HeadSeen) -> Result<Replier<'_>, Fault> {
    let endpoint = arrival
        .adapter
        .endpoint(&arrival.endpoint)
        .ok_or_else(|| not_set_up(arrival))?;
    Ok(Replier {
        adapter: &arrival.adapter,
        endpoint,
        head: Some(head),
        received_at: arrival.received_at,
    })
}

fn not_set_up(arrival: &Arrival) -> Fault {
    let text = format!(
        "adapter {} has no [[inbound]] `{}` at endpoint `{}`, which reads results of deductions; add it to its adapter.toml",
        arrival.adapter.name(),
        deduction_result::SPEC.name,
        arrival.endpoint
    );
    Fault::operator(Stage::Config, text)
}
