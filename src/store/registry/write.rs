//! The one transaction that changes the registry.
//!
//! Order of locks, so that writers never wait for each other in a circle: the rows of entries that
//! exist, by kind and id, with those of the caregivers of an institution that ends or becomes one of another
//! kind; then `registry_head`, held until the commit. Whatever is inserted or
//! updated is written under the head's lock. Two writers that bring the same new entry: the second finds a
//! row it had not seen, gives up and tries again with it in sight.

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::follow::follow;
use super::{ChangeRange, Put, PutOutcome, Registry, cannot};
use crate::error::{Fault, Stage};
use crate::model::registry::EntityKind;
use crate::store::Session;
use crate::store::copy::{CopyError, Rows};
use crate::store::tx::Tx;

/// How often a transaction is tried when others change the same entries at the same instant.
const TRIES: usize = 8;

const STAGING: &str = "CREATE TEMP TABLE IF NOT EXISTS registry_incoming (
    ordinal int, kind text COLLATE \"C\", entity_id text COLLATE \"C\", version bigint, content json, sealed bytea, reason text, digests bytea,
    status text, designated boolean, effective_on date, next_on date, name text, uscc text, certificate_index bigint, phone_index bigint,
    institution_kind text COLLATE \"C\", institution_id text COLLATE \"C\", city int
) ON COMMIT DELETE ROWS";

const COPY: &str = "COPY registry_incoming FROM STDIN (FORMAT binary)";

/// Locks row by row in the order of kind and id, by the primary key: a plain join would, for want
/// of statistics on the staging table, read all entries (measured: 0.3 s a batch at 300,000).
const KNOWN: &str = "SELECT i.ordinal, e.version, position(e.digest IN i.digests) > 0, e.sequence > 0, e.ended, e.city
    FROM (SELECT ordinal, kind, entity_id, digests FROM registry_incoming ORDER BY kind, entity_id) i CROSS JOIN LATERAL
         (SELECT version, digest, sequence, ended, city FROM registry_entity k WHERE k.kind = i.kind AND k.entity_id = i.entity_id FOR UPDATE) e";

/// Before it, where there are institutions: caregivers, those among the batch and those who will have to
/// follow theirs, in the order of their ids.
const MEMBERS: &str = "SELECT count(*) FROM (
    SELECT 1 FROM (
        SELECT entity_id FROM registry_incoming WHERE kind = 'caregiver'
        UNION SELECT m.entity_id FROM registry_incoming i CROSS JOIN LATERAL (
            SELECT e.entity_id, e.institution_kind, e.city FROM registry_entity e WHERE e.institution_id = i.entity_id AND NOT e.ended OFFSET 0) m
        WHERE i.kind = 'institution' AND (m.institution_kind IS DISTINCT FROM i.institution_kind OR i.content IS NOT NULL AND m.city IS DISTINCT FROM i.city)
        ORDER BY entity_id) c
    CROSS JOIN LATERAL (SELECT 1 FROM registry_entity k WHERE k.kind = 'caregiver' AND k.entity_id = c.entity_id FOR UPDATE) l) locked";

/// The same for the update, which has no such form.
const BY_KEY: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";
const AS_PLANNED: &str = "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";

/// What a row of the batch says: its number after `$1`, the kind of the institution, the city it lies in, and
/// (`$5`, by ordinal; 0 for none) the one it lay in. Those of a caregiver are as the batch leaves them: of
/// institutions `$2` they are the ones in `$3` and `$4`, of others they are stored.
const NUMBERED: &str = "(SELECT n.*, $1 + row_number() OVER (ORDER BY n.ordinal) AS sequence,
        CASE WHEN n.kind = 'institution' THEN n.institution_kind WHEN b.institution_id IS NOT NULL THEN b.institution_kind ELSE k.institution_kind END AS belongs,
        CASE WHEN n.kind = 'institution' THEN n.city WHEN b.institution_id IS NOT NULL THEN b.city ELSE k.city END AS place,
        nullif(($5::int[])[n.ordinal + 1], 0) AS city_before
    FROM registry_incoming n
    LEFT JOIN unnest($2::text[], $3::text[], $4::int[]) AS b (institution_id, institution_kind, city) ON n.kind = 'caregiver' AND b.institution_id = n.institution_id
    LEFT JOIN LATERAL (SELECT e.institution_kind, e.city FROM registry_entity e
        WHERE b.institution_id IS NULL AND e.kind = 'institution' AND e.entity_id = n.institution_id OFFSET 0) k ON true)";

fn changes() -> String {
    format!(
        "INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, sealed, status, designated, reason, effective_on, institution_kind,
                city, city_before)
         SELECT sequence, kind, entity_id, version, CASE WHEN content IS NULL THEN 'delete' ELSE 'put' END, content, sealed, status, designated, reason,
                effective_on, belongs, CASE WHEN content IS NOT NULL THEN place END, city_before
         FROM {NUMBERED} i ORDER BY ordinal"
    )
}

/// Entries nobody had; one that appeared meanwhile is left alone, and missed in the count.
fn insert_new() -> String {
    format!(
        "INSERT INTO registry_entity (kind, entity_id, version, sequence, ended, digest, status, designated, next_on, name, uscc, certificate_index, phone_index,
                institution_kind, institution_id, city)
         SELECT kind, entity_id, version, sequence, content IS NULL, substring(digests FOR 32), status, designated, next_on, name, uscc,
                certificate_index, phone_index, belongs, institution_id, place
         FROM {NUMBERED} i WHERE ordinal <> ALL($6::int[]) ORDER BY ordinal ON CONFLICT (kind, entity_id) DO NOTHING"
    )
}

/// Entries whose rows are locked.
fn update_known() -> String {
    format!(
        "UPDATE registry_entity e SET version = i.version, sequence = i.sequence, ended = i.content IS NULL, digest = substring(i.digests FOR 32),
             status = i.status, designated = i.designated, next_on = i.next_on, name = i.name, uscc = i.uscc,
             certificate_index = i.certificate_index, phone_index = i.phone_index, institution_kind = i.belongs,
             institution_id = i.institution_id, city = CASE WHEN i.content IS NULL THEN e.city ELSE i.place END
         FROM {NUMBERED} i WHERE i.ordinal = ANY($6::int[]) AND e.kind = i.kind AND e.entity_id = i.entity_id"
    )
}

const EVENTS: &str = "INSERT INTO registry_event (kind, entity_id, version, known_version, event, sender)
    SELECT k, i, v, w, e, $6 FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[]) AS t(k, i, v, w, e)";

/// The end of what nobody had sent: it only keeps lower versions out.
const NEVER_SENT: &str = "INSERT INTO registry_entity (kind, entity_id, version, sequence, ended, digest, designated)
    SELECT k, i, v, 0, true, d, false FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) AS t(k, i, v, d)
    ON CONFLICT (kind, entity_id) DO NOTHING";
const NEVER_SENT_AGAIN: &str =
    "UPDATE registry_entity e SET version = v, digest = d FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) AS t(k, i, v, d)
    WHERE e.kind = k AND e.entity_id = i AND e.sequence = 0 AND e.version < v";

/// Why a try came to nothing.
pub(super) enum WriteStop {
    /// Another writer was faster: look again.
    Again,
    Failed(Fault),
}

/// What is stored of an entry.
#[derive(Clone, Copy)]
struct Known {
    version: i64,
    same_content: bool,
    /// False where only its end came.
    published: bool,
    ended: bool,
    /// Where it lies, or lay when it ended.
    city: Option<i32>,
}

impl Known {
    /// As [`KNOWN`] has it.
    fn from_row(row: &Row) -> Known {
        Known {
            version: row.get(1),
            same_content: row.get(2),
            published: row.get(3),
            ended: row.get(4),
            city: row.get(5),
        }
    }
}

impl From<tokio_postgres::Error> for WriteStop {
    fn from(error: tokio_postgres::Error) -> WriteStop {
        match error.code() {
            Some(code)
                if *code == SqlState::T_R_DEADLOCK_DETECTED
                    || *code == SqlState::T_R_SERIALIZATION_FAILURE =>
            {
                WriteStop::Again
            }
            _ => WriteStop::Failed(cannot(error)),
        }
    }
}

impl From<CopyError> for WriteStop {
    fn from(error: CopyError) -> WriteStop {
        match error {
            CopyError::Database(error) => error.into(),
            CopyError::File(error) => WriteStop::Failed(Fault::later(
                Stage::Store,
                format!(
                    "a temporary file cannot be used: {error}; check the free space of the temporary folder"
                ),
            )),
        }
    }
}

/// Writes entries that are all different.
pub(super) async fn put(
    registry: &Registry,
    sender: &str,
    puts: &[Put],
) -> Result<Vec<PutOutcome>, Fault> {
    for _ in 0..TRIES {
        let tx = Tx::begin(registry.store.client().await?)
            .await
            .map_err(cannot)?;
        match attempt(&tx, registry, sender, puts).await {
            Ok(taken) => match tx.commit().await.map_err(WriteStop::from) {
                Ok(()) => return Ok(taken),
                Err(WriteStop::Again) => {}
                Err(WriteStop::Failed(fault)) => return Err(fault),
            },
            Err(WriteStop::Again) => tx.rollback().await,
            Err(WriteStop::Failed(fault)) => return Err(fault),
        }
    }
    Err(Fault::later(
        Stage::Store,
        "others are changing the same registry entries at this instant; send again",
    ))
}

async fn attempt(
    tx: &Tx,
    registry: &Registry,
    sender: &str,
    puts: &[Put],
) -> Result<Vec<PutOutcome>, WriteStop> {
    tx.batch_execute(STAGING).await?;
    rows(puts)
        .map_err(CopyError::File)?
        .copy_into(tx, COPY)
        .await?;
    if puts.iter().any(|put| put.kind == EntityKind::Institution) {
        let statement = tx.prepare_cached(MEMBERS).await?;
        tx.query(&statement, &[]).await?;
    }
    let statement = tx.prepare_cached(KNOWN).await?;
    let rows = tx.query(&statement, &[]).await?;
    let known: HashMap<i32, Known> = rows
        .iter()
        .map(|row| (row.get(0), Known::from_row(row)))
        .collect();
    let mut taken: Vec<PutOutcome> = (0_i32..)
        .zip(puts)
        .map(|(ordinal, put)| verdict(put, known.get(&ordinal).copied()))
        .collect();
    let stored = taken
        .iter()
        .filter(|taken| matches!(taken, PutOutcome::Stored { .. }))
        .count() as i64;
    if stored < puts.len() as i64 {
        leave_out(tx, sender, puts, &taken).await?;
    }
    if taken.contains(&PutOutcome::NeverSent) {
        tx.execute("UPDATE registry_head SET sequence = sequence", &[])
            .await?;
        keep_out(tx, puts, &taken, &known).await?;
    }
    if stored > 0 {
        let last: i64 = tx
            .query_one(
                "UPDATE registry_head SET sequence = sequence + $1 RETURNING sequence",
                &[&stored],
            )
            .await?
            .get(0);
        let before = last - stored;
        let institutions = write(tx, (before, stored), puts, (&taken, &known)).await?;
        let last = last + follow(tx, &institutions).await?;
        registry
            .queue
            .queue(
                tx,
                ChangeRange {
                    first: before + 1,
                    last,
                },
            )
            .await
            .map_err(WriteStop::Failed)?;
        number(&mut taken, before);
    }
    Ok(taken)
}

/// Writes what is taken, under the head's lock; returns the institutions among it.
async fn write<'a>(
    tx: &Tx,
    (before, stored): (i64, i64),
    puts: &'a [Put],
    (taken, known): (&[PutOutcome], &HashMap<i32, Known>),
) -> Result<Vec<&'a str>, WriteStop> {
    let (mut institutions, mut kinds, mut cities) = (Vec::new(), Vec::new(), Vec::new());
    for ((ordinal, put), _) in (0_i32..).zip(puts).zip(taken).filter(|((_, put), taken)| {
        put.kind == EntityKind::Institution && matches!(taken, PutOutcome::Stored { .. })
    }) {
        institutions.push(put.entity_id.as_str());
        kinds.push(put.institution_kind);
        // People of a deleted institution are of the place it was in.
        cities.push(if put.content.is_some() {
            put.city
        } else {
            known.get(&ordinal).and_then(|known| known.city)
        });
    }
    let lay = |ordinal: i32| {
        known
            .get(&ordinal)
            .filter(|known| !known.ended)
            .and_then(|known| known.city)
            .unwrap_or(0)
    };
    let lay: Vec<i32> = (0_i32..)
        .zip(puts)
        .map(|(ordinal, _)| lay(ordinal))
        .collect();
    let known: Vec<i32> = known.keys().copied().collect();
    let values: [&(dyn ToSql + Sync); 6] = [&before, &institutions, &kinds, &cities, &lay, &known];
    let statement = tx.prepare_cached(&changes()).await?;
    tx.execute(&statement, &values[..5]).await?;
    let mut written = 0;
    if known.len() < puts.len() {
        let statement = tx.prepare_cached(&insert_new()).await?;
        written += tx.execute(&statement, &values).await?;
    }
    if !known.is_empty() {
        tx.batch_execute(BY_KEY).await?;
        let statement = tx.prepare_cached(&update_known()).await?;
        written += tx.execute(&statement, &values).await?;
        tx.batch_execute(AS_PLANNED).await?;
    }
    if written == stored.cast_unsigned() {
        Ok(institutions)
    } else {
        Err(WriteStop::Again)
    }
}

/// What becomes of a version, given what is stored of its entry.
fn verdict(put: &Put, known: Option<Known>) -> PutOutcome {
    let never_sent = known.is_none_or(|known| !known.published);
    match known {
        _ if never_sent && put.content.is_none() => PutOutcome::NeverSent,
        None => PutOutcome::Stored {
            sequence: 0,
            new: true,
        },
        Some(known) if put.version > known.version => PutOutcome::Stored {
            sequence: 0,
            new: never_sent,
        },
        Some(known) if put.version < known.version => PutOutcome::Older {
            known: known.version,
        },
        Some(known) if known.same_content => PutOutcome::Unchanged,
        Some(_) => PutOutcome::OtherContent,
    }
}

/// Keeps versions below the end of an entry nobody had sent out, for when they come after all.
async fn keep_out(
    client: &Session,
    puts: &[Put],
    taken: &[PutOutcome],
    known: &HashMap<i32, Known>,
) -> Result<(), WriteStop> {
    let never_sent = |new: bool| {
        let ends = (0_i32..)
            .zip(puts)
            .zip(taken)
            .filter(move |((ordinal, _), taken)| {
                **taken == PutOutcome::NeverSent && known.contains_key(ordinal) != new
            });
        ends.map(|((_, put), _)| put).collect::<Vec<_>>()
    };
    for (ends, sql) in [
        (never_sent(true), NEVER_SENT),
        (never_sent(false), NEVER_SENT_AGAIN),
    ] {
        let kinds: Vec<&str> = ends.iter().map(|put| put.kind.word()).collect();
        let ids: Vec<&str> = ends.iter().map(|put| put.entity_id.as_str()).collect();
        let versions: Vec<i64> = ends.iter().map(|put| put.version).collect();
        let digests: Vec<&[u8]> = ends.iter().map(|put| &put.digests[..32]).collect();
        let written = client
            .execute(sql, &[&kinds, &ids, &versions, &digests])
            .await?;
        if sql == NEVER_SENT && written < ends.len() as u64 {
            return Err(WriteStop::Again);
        }
    }
    Ok(())
}

/// Notes what is not taken and removes it from the staging table.
async fn leave_out(
    client: &Session,
    sender: &str,
    puts: &[Put],
    taken: &[PutOutcome],
) -> Result<(), tokio_postgres::Error> {
    let mut ordinals: Vec<i32> = Vec::new();
    let (mut kinds, mut ids, mut versions, mut known, mut events) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((ordinal, put), taken) in (0_i32..).zip(puts).zip(taken) {
        let (known_version, event) = match *taken {
            PutOutcome::Stored { .. } => continue,
            PutOutcome::Unchanged => {
                ordinals.push(ordinal);
                continue;
            }
            PutOutcome::Older { known } => (known, "older"),
            PutOutcome::OtherContent => (put.version, "other_content"),
            PutOutcome::NeverSent => (0, "unknown"),
        };
        ordinals.push(ordinal);
        kinds.push(put.kind.word());
        ids.push(put.entity_id.as_str());
        versions.push(put.version);
        known.push(known_version);
        events.push(event);
    }
    if !kinds.is_empty() {
        client
            .execute(EVENTS, &[&kinds, &ids, &versions, &known, &events, &sender])
            .await?;
    }
    client
        .execute(
            "DELETE FROM registry_incoming WHERE ordinal = ANY($1)",
            &[&ordinals],
        )
        .await
        .map(drop)
}

/// Gives the stored ones their numbers: those of the rows, in the order of the batch.
fn number(taken: &mut [PutOutcome], before: i64) {
    let mut next = before;
    for taken in taken {
        if let PutOutcome::Stored { sequence, .. } = taken {
            next += 1;
            *sequence = next;
        }
    }
}

fn rows(puts: &[Put]) -> std::io::Result<Rows> {
    let mut rows = Rows::default();
    for (ordinal, put) in (0_i32..).zip(puts) {
        rows.add(|row| {
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
            row.text_or_null(put.institution_kind);
            row.text_or_null(put.institution_id.as_deref());
            row.int_or_null(put.city);
        })?;
    }
    Ok(rows)
}
