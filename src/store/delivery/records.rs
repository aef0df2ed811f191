//! Records of packets, queued. Big packets are queued by COPY instead, see `store::collect`.

use super::{NewDelivery, Records, fault};
use crate::error::Fault;
use crate::store::Session;

/// Queues deliveries of records in the caller's transaction, in the order given; returns their ids.
/// Deliveries of registry entries are left out: see `queue_entities`.
///
/// # Errors
/// Faults of stage `Store` when the database refuses or cannot be reached.
pub async fn queue(client: &Session, rows: &[NewDelivery]) -> Result<Vec<i64>, Fault> {
    const SQL: &str = "INSERT INTO delivery (destination, message, ordering_key, subject_kind, subject_id, part, part_end, reversal, lines, fen)
        SELECT destination, message, key, 'records', packet_id::text, first_record, last_record, reversal, lines, fen FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::int[], $7::bool[], $8::int[], $9::bigint[])
            AS new (destination, message, key, packet_id, first_record, last_record, reversal, lines, fen)
        RETURNING delivery_id";
    let rows: Vec<(&NewDelivery, &Records)> = rows
        .iter()
        .filter_map(|row| Some((row, row.records()?)))
        .collect();
    let destination: Vec<&str> = rows
        .iter()
        .map(|(row, _)| row.destination.as_str())
        .collect();
    let message: Vec<&str> = rows.iter().map(|(row, _)| row.message.as_str()).collect();
    let key: Vec<Option<&str>> = rows
        .iter()
        .map(|(row, _)| row.ordering_key.as_deref())
        .collect();
    let packet: Vec<i64> = rows.iter().map(|(_, records)| records.packet_id).collect();
    let first: Vec<i32> = rows
        .iter()
        .map(|(_, records)| records.first_record)
        .collect();
    let last: Vec<i32> = rows
        .iter()
        .map(|(_, records)| records.last_record)
        .collect();
    let reversal: Vec<bool> = rows.iter().map(|(_, records)| records.reversal).collect();
    let lines: Vec<i32> = rows.iter().map(|(row, _)| row.lines).collect();
    let fen: Vec<i64> = rows.iter().map(|(row, _)| row.fen.0).collect();
    let rows = client
        .query(
            SQL,
            &[
                &destination,
                &message,
                &key,
                &packet,
                &first,
                &last,
                &reversal,
                &lines,
                &fen,
            ],
        )
        .await
        .map_err(|error| fault("queue deliveries", &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
