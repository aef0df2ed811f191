//! The one transaction that changes the registry.
//!
//! Order of locks, so that writers never wait for each other in a circle: the rows of entries that
//! exist, by kind and id; then `registry_head`, held until the commit. Whatever is inserted or
//! updated is written under the head's lock. Two writers that bring the same new entry: the second finds a
//! row it had not seen, gives up and tries again with it in sight.

use std::collections::HashMap;

use tokio_postgres::error::SqlState;

use super::{Put, Registry, Taken, Written, cannot};
use crate::error::{Fault, Stage};
use crate::store::copy::{CopyError, Rows};
use crate::store::tx::Tx;

/// How often a transaction is tried when others change the same entries at the same instant.
const TRIES: usize = 8;

const STAGING: &str = "CREATE TEMP TABLE IF NOT EXISTS registry_incoming (
    ordinal int, kind text COLLATE \"C\", entity_id text COLLATE \"C\", version bigint, content json, sealed bytea, reason text, digests bytea,
    status text, designated boolean, effective_on date, next_on date, name text, uscc text, certificate_index bigint, phone_index bigint
) ON COMMIT DELETE ROWS";

const COPY: &str = "COPY registry_incoming FROM STDIN (FORMAT binary)";

/// Locks row by row in the order of kind and id, by the primary key: a plain join would, for want
/// of statistics on the staging table, read all entries (measured: 0.3 s a batch at 300,000).
const KNOWN: &str = "SELECT i.ordinal, e.version, position(e.digest IN i.digests) > 0
    FROM (SELECT ordinal, kind, entity_id, digests FROM registry_incoming ORDER BY kind, entity_id) i CROSS JOIN LATERAL
         (SELECT version, digest FROM registry_entity k WHERE k.kind = i.kind AND k.entity_id = i.entity_id FOR UPDATE) e";

/// The same for the update, which has no such form.
const BY_KEY: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";
const AS_PLANNED: &str = "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";

const CHANGES: &str = "INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, sealed, status, designated, reason, effective_on)
    SELECT $1 + row_number() OVER (ORDER BY ordinal), kind, entity_id, version, CASE WHEN content IS NULL THEN 'delete' ELSE 'put' END,
           content, sealed, status, designated, reason, effective_on
    FROM registry_incoming ORDER BY ordinal";

const NUMBERED: &str = "(SELECT *, $1 + row_number() OVER (ORDER BY ordinal) AS sequence FROM registry_incoming)";

/// Entries nobody had; one that appeared meanwhile is left alone, and missed in the count.
fn insert_new() -> String {
    format!(
        "INSERT INTO registry_entity (kind, entity_id, version, sequence, ended, digest, status, designated, next_on, name, uscc, certificate_index, phone_index)
         SELECT kind, entity_id, version, sequence, content IS NULL, substring(digests FOR 32), status, designated, next_on, name, uscc,
                certificate_index, phone_index
         FROM {NUMBERED} i WHERE ordinal <> ALL($2::int[]) ORDER BY ordinal ON CONFLICT (kind, entity_id) DO NOTHING"
    )
}

/// Entries whose rows are locked.
fn update_known() -> String {
    format!(
        "UPDATE registry_entity e SET version = i.version, sequence = i.sequence, ended = i.content IS NULL, digest = substring(i.digests FOR 32),
             status = i.status, designated = i.designated, next_on = i.next_on, name = i.name, uscc = i.uscc,
             certificate_index = i.certificate_index, phone_index = i.phone_index
         FROM {NUMBERED} i WHERE i.ordinal = ANY($2::int[]) AND e.kind = i.kind AND e.entity_id = i.entity_id"
    )
}

const EVENTS: &str = "INSERT INTO registry_event (kind, entity_id, version, known_version, event, sender)
    SELECT k, i, v, w, e, $6 FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[]) AS t(k, i, v, w, e)";

/// Why a try came to nothing.
enum Stop {
    /// Another writer was faster: look again.
    Again,
    Failed(Fault),
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Stop {
        match error.code() {
            Some(code) if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE => Stop::Again,
            _ => Stop::Failed(cannot(error)),
        }
    }
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Stop {
        match error {
            CopyError::Database(error) => error.into(),
            CopyError::File(error) => {
                Stop::Failed(Fault::later(Stage::Store, format!("a temporary file cannot be used: {error}; check the free space of the temporary folder")))
            }
        }
    }
}

/// Writes entries that are all different.
pub(super) async fn put(registry: &Registry, sender: &str, puts: &[Put]) -> Result<Vec<Taken>, Fault> {
    for _ in 0..TRIES {
        match attempt(registry, sender, puts).await {
            Ok(taken) => return Ok(taken),
            Err(Stop::Again) => {}
            Err(Stop::Failed(fault)) => return Err(fault),
        }
    }
    Err(Fault::later(Stage::Store, "others are changing the same registry entries at this instant; send again"))
}

async fn attempt(registry: &Registry, sender: &str, puts: &[Put]) -> Result<Vec<Taken>, Stop> {
    let tx = Tx::begin(registry.store.client().await.map_err(Stop::Failed)?).await?;
    tx.batch_execute(STAGING).await?;
    rows(puts).map_err(CopyError::File)?.copy_into(&tx, COPY).await?;
    let mut known: HashMap<i32, (i64, bool)> = HashMap::new();
    let statement = tx.prepare_cached(KNOWN).await?;
    for row in tx.query(&statement, &[]).await? {
        known.insert(row.get(0), (row.get(1), row.get(2)));
    }
    let mut taken: Vec<Taken> = (0_i32..).zip(puts).map(|(ordinal, put)| verdict(put.version, known.get(&ordinal).copied())).collect();
    let stored = taken.iter().filter(|taken| matches!(taken, Taken::Stored { .. })).count() as i64;
    if stored < puts.len() as i64 {
        leave_out(&tx, sender, puts, &taken).await?;
    }
    if stored > 0 {
        let last: i64 = tx.query_one("UPDATE registry_head SET sequence = sequence + $1 RETURNING sequence", &[&stored]).await?.get(0);
        let before = last - stored;
        let statement = tx.prepare_cached(CHANGES).await?;
        tx.execute(&statement, &[&before]).await?;
        let known: Vec<i32> = known.into_keys().collect();
        let mut written = 0;
        if known.len() < puts.len() {
            let statement = tx.prepare_cached(&insert_new()).await?;
            written += tx.execute(&statement, &[&before, &known]).await?;
        }
        if !known.is_empty() {
            tx.batch_execute(BY_KEY).await?;
            let statement = tx.prepare_cached(&update_known()).await?;
            written += tx.execute(&statement, &[&before, &known]).await?;
            tx.batch_execute(AS_PLANNED).await?;
        }
        if written != stored.cast_unsigned() {
            tx.rollback().await;
            return Err(Stop::Again);
        }
        registry.queue.queue(&tx, Written { first: before + 1, last }).await.map_err(Stop::Failed)?;
        number(&mut taken, before);
    }
    tx.commit().await?;
    Ok(taken)
}

/// What becomes of a version, given the known version and whether its content is the same.
fn verdict(version: i64, known: Option<(i64, bool)>) -> Taken {
    match known {
        None => Taken::Stored { sequence: 0, new: true },
        Some((known, _)) if version > known => Taken::Stored { sequence: 0, new: false },
        Some((known, _)) if version < known => Taken::Older { known },
        Some((_, true)) => Taken::Unchanged,
        Some((_, false)) => Taken::OtherContent,
    }
}

/// Notes what is not taken and removes it from the staging table.
async fn leave_out(client: &tokio_postgres::Client, sender: &str, puts: &[Put], taken: &[Taken]) -> Result<(), tokio_postgres::Error> {
    let mut ordinals: Vec<i32> = Vec::new();
    let (mut kinds, mut ids, mut versions, mut known, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((ordinal, put), taken) in (0_i32..).zip(puts).zip(taken) {
        let (known_version, event) = match *taken {
            Taken::Stored { .. } => continue,
            Taken::Unchanged => {
                ordinals.push(ordinal);
                continue;
            }
            Taken::Older { known } => (known, "older"),
            Taken::OtherContent => (put.version, "other_content"),
        };
        ordinals.push(ordinal);
        kinds.push(put.kind.word());
        ids.push(put.entity_id.as_str());
        versions.push(put.version);
        known.push(known_version);
        events.push(event);
    }
    if !kinds.is_empty() {
        client.execute(EVENTS, &[&kinds, &ids, &versions, &known, &events, &sender]).await?;
    }
    client.execute("DELETE FROM registry_incoming WHERE ordinal = ANY($1)", &[&ordinals]).await.map(drop)
}

/// Gives the stored ones their numbers: those of the rows, in the order of the batch.
fn number(taken: &mut [Taken], before: i64) {
    let mut next = before;
    for taken in taken {
        if let Taken::Stored { sequence, .. } = taken {
            next += 1;
            *sequence = next;
        }
    }
}

fn rows(puts: &[Put]) -> std::io::Result<Rows> {
    let mut rows = Rows::default();
    for (ordinal, put) in (0_i32..).zip(puts) {
        rows.add(16, |row| {
            row.int(ordinal);
            row.text(put.kind.word());
            row.text(&put.entity_id);
            row.bigint(put.version);
            row.text_or_null(put.content.as_deref());
            match &put.sealed {
                Some(sealed) => row.bytes(sealed),
                None => row.null(),
            }
            row.text_or_null(put.reason.as_deref());
            row.bytes(&put.digests);
            row.text_or_null(put.status);
            row.bool(put.designated);
            row.date(put.effective_on);
            row.date_or_null(put.next_on);
            row.text_or_null(put.name.as_deref());
            row.text_or_null(put.uscc.as_deref());
            row.bigint_or_null(put.certificate_index);
            row.bigint_or_null(put.phone_index);
        })?;
    }
    Ok(rows)
}
