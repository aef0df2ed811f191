//! What goes into one request: which claimed rows go together, and the request they are rendered to.
//!
//! Rows of a packet's records go alone; registry entries of one message go together, as many as
//! the destination takes. A record that cannot be read or rendered is settled by itself and keeps
//! nobody back.

use serde_json::{Value, json};

use super::{DeliveryEnd, Term, serial, speaker, unsent};
use crate::error::Fault;
use crate::model::{Outcome, Request};
use crate::store::delivery::Delivery;

/// A rendered request and the deliveries it carries; none when nothing is left to be sent.
pub struct Package {
    pub deliveries: Vec<Delivery>,
    pub reference: String,
    pub request: Request,
}

/// Groups claimed rows into requests, in their order. `records_max` tells by message how many one takes.
pub fn together(rows: Vec<Delivery>, records_max: impl Fn(&str) -> usize) -> Vec<Vec<Delivery>> {
    let mut requests: Vec<Vec<Delivery>> = Vec::new();
    for row in rows {
        let fits = |request: &&mut Vec<Delivery>| {
            request.len() < records_max(&row.of.message)
                && request
                    .iter()
                    .all(|other| other.of.message == row.of.message && !goes_alone(other))
        };
        match requests.iter_mut().find(fits) {
            Some(request) if !goes_alone(&row) => request.push(row),
            _ => requests.push(vec![row]),
        }
    }
    requests
}

/// Records of packets, and an entry that was refused together with others before.
fn goes_alone(row: &Delivery) -> bool {
    row.of.entity().is_none() || row.outcome.as_deref() == Some(Outcome::Rejected.word())
}

/// Renders the request; also returns what became of those that cannot be rendered.
pub(super) async fn package(
    term: &Term,
    deliveries: &[Delivery],
) -> Result<(Package, Vec<DeliveryEnd>), Fault> {
    let Some(first) = deliveries.first() else {
        return Ok((empty(), Vec::new()));
    };
    let speaker = speaker(term, first)?;
    let at = jiff::Timestamp::now();
    // Entries are recognised by id and revision, so each request about them has a reference of its own.
    let reference = match (&first.reference, first.of.entity()) {
        (Some(reference), None) => reference.clone(),
        _ => speaker.reference(at, serial(term).await?)?,
    };
    if first.of.entity().is_none() {
        let body = term.destination.content.body(first).await?;
        let request = speaker.render(&body, &reference, at)?;
        return Ok((
            Package {
                deliveries: vec![first.clone()],
                reference,
                request,
            },
            Vec::new(),
        ));
    }
    let mut ended = Vec::new();
    let mut records: Vec<(Delivery, Value)> = Vec::with_capacity(deliveries.len());
    for (delivery, record) in deliveries
        .iter()
        .zip(term.destination.content.records(deliveries).await?)
    {
        match record {
            Ok(record) => records.push((delivery.clone(), record)),
            Err(fault) => ended.push(DeliveryEnd::Settle(unsent(term, delivery, &fault))),
        }
    }
    let render = |records: &[(Delivery, Value)]| {
        let values: Vec<&Value> = records.iter().map(|(_, value)| value).collect();
        speaker.render(&json!({ "records": values }), &reference, at)
    };
    let whole = if records.is_empty() {
        return Ok((empty(), ended));
    } else {
        render(&records)
    };
    let request =
        match whole {
            Ok(request) => request,
            Err(_) => {
                records.retain(|record| match render(std::slice::from_ref(record)) {
                    Ok(_) => true,
                    Err(fault) => {
                        ended.push(DeliveryEnd::Settle(unsent(term, &record.0, &fault)));
                        false
                    }
                });
                if records.is_empty() {
                    return Ok((empty(), ended));
                }
                match render(&records) {
                    Ok(request) => request,
                    // Each can be rendered, but not all together: too much for one template.
                    Err(fault) => {
                        ended.extend(records.iter().map(|(delivery, _)| {
                            DeliveryEnd::Settle(unsent(term, delivery, &fault))
                        }));
                        return Ok((empty(), ended));
                    }
                }
            }
        };
    Ok((
        Package {
            deliveries: records.into_iter().map(|(delivery, _)| delivery).collect(),
            reference,
            request,
        },
        ended,
    ))
}

fn empty() -> Package {
    Package {
        deliveries: Vec::new(),
        reference: String::new(),
        request: Request {
            method: String::new(),
            path: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            reuse: false,
        },
    }
}
