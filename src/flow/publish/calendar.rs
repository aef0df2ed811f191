//! Dates that have come: a suspension begins or ends, an agreement runs out, and nobody sends anything.
//!
//! The gateway then publishes the change by itself, with the version it has. Days that were missed
//! are caught up one after the other, each with its own date.

use super::open::StoredRecord;
use crate::error::Fault;
use crate::flow::Gateway;
use crate::store::registry::{DateTurn, Due};

/// Entries turned in one transaction.
const PAGE: i64 = 500;

/// Publishes what the dates up to today change; returns how many dates were looked at. When the
/// same entry has several, they are taken in order over several pages.
///
/// # Errors
/// The database cannot be reached or refuses.
pub async fn turn(gateway: &Gateway) -> Result<usize, Fault> {
    let registrar = &gateway.registrar;
    let today = registrar.clock.today();
    let mut all = 0;
    loop {
        let turned = registrar
            .registry
            .turn_due(today, PAGE, what_changes)
            .await?;
        all += turned;
        if turned == 0 {
            return Ok(all);
        }
        (gateway.wake)(&gateway.audience.entries);
        tracing::info!(entries = turned, %today, "dates in the registry have come");
    }
}

fn what_changes(due: &Due) -> DateTurn {
    let (standing, next_on) = match StoredRecord::of(&due.current) {
        Ok(Some(StoredRecord::Institution(record))) => {
            (record.standing(due.on), record.next_change(due.on))
        }
        Ok(Some(StoredRecord::Caregiver(record))) => {
            (record.standing(due.on), record.next_change(due.on))
        }
        Ok(None) => {
            return DateTurn {
                standing: None,
                next_on: None,
            };
        }
        Err(fault) => {
            // One damaged record must not keep all others from their day.
            tracing::error!(%fault, on = %due.on, "the dates of a registry entry are not looked at any more");
            return DateTurn {
                standing: None,
                next_on: None,
            };
        }
    };
    let changed = due.left_behind
        || standing.status != due.current.status.as_deref()
        || standing.designated != due.current.designated;
    DateTurn {
        standing: changed.then_some((standing.status, standing.designated)),
        next_on,
    }
}
