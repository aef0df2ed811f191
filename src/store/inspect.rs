//! A look at a database before it is used, by doctor and by every start: whose sessions are these,
//! may we do what we will have to, and which schema is there. Changes nothing.
//!
//! A right that is needed only at the first collision, or for the next version's tables, must not
//! be missed until then.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Client, Row, SimpleQueryMessage};

use super::delivery::{DestinationStanding, standings};
use super::dial::{DatabaseAccess, Door, NewSession};
use super::health::Health;
use super::words::words;
use super::{Pool, migrations, settings, tx};
use crate::error::{Fault, Stage};
use crate::model::Month;

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// PostgreSQL's major version.
    pub major: i32,
    pub schema: Schema,
    pub troubles: Vec<Trouble>,
}

/// Something about a database that has to be mended, or known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub text: String,
    /// What helps.
    pub advice: String,
    /// The gateway does not start with it.
    pub grave: bool,
}

/// The schema found, against the one this version of the gateway needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// None yet: made at the first start.
    Absent,
    /// Brought up to date at the next start.
    Older {
        has: i32,
        needs: i32,
    },
    Current {
        has: i32,
    },
    /// Made by a later version of the gateway, or changed by hand: this one refuses it.
    Foreign {
        has: i32,
        needs: i32,
    },
}

/// People of one area whom its last plan left out for want of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutBase {
    pub area: i32,
    pub month: Month,
    /// The word of `ledger::deduction::NoDeductionReason`.
    pub reason: String,
    pub people: i64,
}

/// Whom the last plan of each area left out for want of a base.
///
/// # Errors
/// The database cannot be reached, or refuses to be looked at.
pub async fn left_out_without_base(connection: &DatabaseAccess) -> Result<Vec<WithoutBase>, Fault> {
    let sql = "SELECT c.pooling_area, c.month, l.reason, count(*) FROM (
            SELECT DISTINCT ON (pooling_area) cycle_id, pooling_area, month FROM deduction_cycle WHERE state <> 'replaced' ORDER BY pooling_area, month DESC) c
        JOIN deduction_left_out l USING (cycle_id)
        WHERE l.reason ~ '^no_.*_(base|year)$' GROUP BY 1, 2, 3 ORDER BY 1, 3";
    let session = connection.door.dial(&settings::statements(&[])).await?;
    let asked = tokio::time::timeout(LOOK, session.client.query(sql, &[]))
        .await
        .map_err(|_| silent("a look at the last plans"))?;
    let rows = asked?;
    let one = |row: &tokio_postgres::Row| {
        Some(WithoutBase {
            area: row.get(0),
            month: Month::from_number(row.get(1))?,
            reason: row.get(2),
            people: row.get(3),
        })
    };
    Ok(rows.iter().filter_map(one).collect())
}

/// Oldest major version of PostgreSQL the gateway's SQL is written for.
pub const MAJOR_MIN: i32 = 15;

/// How long a look waits for an answer.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is looked whether a session stays: a pooler may give the same one again by chance.
const ROUNDS: usize = 3;

const FACTS: &str = "SELECT current_setting('server_version_num')::int / 10000, to_regclass('refinery_schema_history') IS NOT NULL,
        quote_ident(current_user), quote_ident(current_database()), quote_ident(current_schema()),
        has_database_privilege(current_database(), 'TEMPORARY'),
        current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE'),
        to_regnamespace('report') IS NOT NULL OR has_database_privilege(current_database(), 'CREATE'),
        least(nullif((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), -1),
            nullif((SELECT datconnlimit FROM pg_database WHERE datname = current_database()), -1), current_setting('max_connections')::int)";

/// Timeouts of the role or the database; ours are over them, but not before they are set.
const TIMEOUTS: &str = "SELECT string_agg(setting, ', ' ORDER BY setting) FROM pg_db_role_setting s, unnest(s.setconfig) AS setting
    WHERE s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user)) AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND split_part(setting, '=', 1) LIKE '%\\_timeout' AND split_part(setting, '=', 2) !~ '^0'";

/// Tables and sequences of another owner that we may not use.
const CLOSED: &str = "SELECT count(*) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relname <> 'refinery_schema_history'
      AND CASE c.relkind WHEN 'r' THEN NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT'))
          WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE') ELSE false END";

impl DatabaseFacts {
    /// # Errors
    /// What keeps the gateway from starting.
    pub fn refuse(&self) -> Result<(), Fault> {
        if let Schema::Foreign { has, needs } = self.schema {
            return Err(Fault::operator(Stage::Store, foreign(has, needs)));
        }
        let grave: Vec<String> = self
            .troubles
            .iter()
            .filter(|trouble| trouble.grave)
            .map(|trouble| format!("{}: {}", trouble.text, trouble.advice))
            .collect();
        if grave.is_empty() {
            Ok(())
        } else {
            Err(Fault::operator(
                Stage::Store,
                format!("the database: {}", grave.join("; ")),
            ))
        }
    }
}

/// Why a schema that this version did not make is left alone, and what to do.
pub fn foreign(has: i32, needs: i32) -> String {
    let ours = env!("CARGO_PKG_VERSION");
    if has > needs {
        return format!(
            "the database has schema {has}, made by a later version of ltcgw; this one ({ours}) knows {needs} at most and changes nothing: start the later version, \
             or restore the backup made before the upgrade; there is no way back without one"
        );
    }
    format!(
        "the database has schema {has}, and its history is not that of this version ({ours}, schema {needs}): it was changed by hand or made by another branch; \
         use the version that made it, or a database of its own"
    )
}

/// Connects and looks. The first look is at whose sessions these are, with nothing set: what is set on a
/// session that is another's next would reach that one.
///
/// # Errors
/// The database cannot be reached, refuses to be looked at, or gives sessions that are not ours.
pub async fn inspect(connection: &DatabaseAccess) -> Result<DatabaseFacts, Fault> {
    sessions_are_ours(&connection.door).await?;
    let session = connection.door.dial(&settings::statements(&[])).await?;
    let client = &session.client;
    let found = tokio::time::timeout(LOOK, look(client, super::connections(connection.size))).await;
    found.map_err(|_| silent("a look at the database"))?
}

async fn look(client: &Client, connections: usize) -> Result<DatabaseFacts, Fault> {
    let row = client.query_one(FACTS, &[]).await?;
    let (major, migrated): (i32, bool) = (row.get(0), row.get(1));
    let mut applied: Vec<(i32, String)> = Vec::new();
    if migrated {
        let rows = client
            .query(
                "SELECT version, checksum FROM refinery_schema_history ORDER BY version",
                &[],
            )
            .await?;
        applied = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    }
    let known = migrations().map_err(|error| {
        Fault::operator(
            Stage::Store,
            format!("the migrations of this version are unusable: {error}"),
        )
    })?;
    let known: Vec<(i32, String)> = known
        .iter()
        .map(|migration| (migration.version(), migration.checksum().to_string()))
        .collect();
    let schema = compare(&applied, &known);
    let mut troubles = rights(&row, schema, connections);
    if migrated {
        let closed: i64 = client.query_one(CLOSED, &[]).await?.get(0);
        troubles.extend((closed > 0).then(|| tables_closed(&row, closed)));
    }
    let timeouts: Option<String> = client.query_one(TIMEOUTS, &[]).await?.get(0);
    if let Some(timeouts) = timeouts {
        let advice = format!(
            "the gateway sets its own; for whoever else uses the role: ALTER ROLE {} RESET ALL",
            row.get::<_, &str>(2)
        );
        troubles.push(Trouble {
            text: format!("role or database set {timeouts}"),
            advice,
            grave: false,
        });
    }
    Ok(DatabaseFacts {
        major,
        schema,
        troubles,
    })
}

/// What of a role's rights is missing; the row is that of [`FACTS`].
fn rights(row: &Row, schema: Schema, connections: usize) -> Vec<Trouble> {
    let (major, role, database): (i32, &str, &str) = (row.get(0), row.get(2), row.get(3));
    let (home, temporary, create, report): (Option<&str>, bool, bool, bool) =
        (row.get(4), row.get(5), row.get(6), row.get(7));
    let limit: i32 = row.get(8);
    let current = matches!(schema, Schema::Current { .. });
    let mut found = Vec::new();
    let mut note = |text: String, advice: String, grave: bool| {
        found.push(Trouble {
            text,
            advice,
            grave,
        })
    };
    if major < MAJOR_MIN {
        note(
            format!("PostgreSQL {major}"),
            format!("PostgreSQL {MAJOR_MIN} or later is needed"),
            true,
        );
    }
    let next = if current {
        "the next version will make tables and views"
    } else {
        "the tables have yet to be made"
    };
    match home {
        Some(home) if !create => {
            note(
                format!("role {role} may not create in schema {home}; {next}"),
                format!("GRANT CREATE ON SCHEMA {home} TO {role}"),
                !current,
            );
        }
        None if !current => {
            let advice = format!(
                "CREATE SCHEMA AUTHORIZATION {role}, or GRANT USAGE, CREATE ON SCHEMA public TO {role}"
            );
            note(
                format!("there is no schema that role {role} may use; {next}"),
                advice,
                true,
            );
        }
        _ => {}
    }
    if !report {
        let advice = format!(
            "GRANT CREATE ON DATABASE {database} TO {role}, or CREATE SCHEMA report AUTHORIZATION {role}"
        );
        note(
            format!("role {role} may not make the schema report; {next}"),
            advice,
            !current,
        );
    }
    if !temporary {
        let text = format!(
            "role {role} may not make temporary tables, which packets with known numbers, rosters and registry loads need"
        );
        note(
            text,
            format!("GRANT TEMPORARY ON DATABASE {database} TO {role}"),
            true,
        );
    }
    if usize::try_from(limit).is_ok_and(|limit| limit < connections) {
        let advice = format!(
            "ALTER ROLE {role} CONNECTION LIMIT {connections} (or the database's, or max_connections), or lower [database] connections_max"
        );
        note(
            format!("{limit} connections are allowed, and an instance may use {connections}"),
            advice,
            false,
        );
    }
    found
}

fn tables_closed(row: &Row, closed: i64) -> Trouble {
    let (role, home): (&str, Option<&str>) = (row.get(2), row.get(4));
    let home = home.unwrap_or("public");
    let advice = format!(
        "let {role} own them, or GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {home} TO {role}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA {home} TO {role}"
    );
    Trouble {
        text: format!(
            "role {role} may not read and write {closed} tables and sequences of schema {home}"
        ),
        advice,
        grave: true,
    }
}

/// Whether a session is the same one after somebody else had a transaction.
async fn sessions_are_ours(door: &Door) -> Result<(), Fault> {
    let (one, other) = (door.dial_bare().await?, door.dial_bare().await?);
    same_session(&one, &other).await
}

async fn same_session(one: &NewSession, other: &NewSession) -> Result<(), Fault> {
    for _ in 0..ROUNDS {
        let before = process(one, tx::WHOSE).await?;
        process(other, tx::WHOSE_AND_STAY).await?;
        let after = process(one, tx::WHOSE).await?;
        process(other, tx::LEAVE).await?;
        if before != after {
            let text = "the database is reached through a pooler in transaction mode; sessions must be ours: use session mode or a direct connection";
            return Err(Fault::operator(Stage::Store, text));
        }
    }
    Ok(())
}

/// What a session answers, in one message: a pooler that forgets prepared statements must not disturb.
async fn process(session: &NewSession, sql: &str) -> Result<Option<String>, Fault> {
    let answer = tokio::time::timeout(LOOK, session.client.simple_query(sql)).await;
    let answer = answer.map_err(|_| silent("a second session beside a first"))?;
    let answer = answer.map_err(|error| {
        Fault::operator(
            Stage::Store,
            format!(
                "the database refuses a plain transaction: {}",
                words(&error)
            ),
        )
    })?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

fn silent(what: &str) -> Fault {
    let text = format!(
        "{what} got no answer within {} s; see that PostgreSQL runs, and that a pooler before it has a session for each connection",
        LOOK.as_secs()
    );
    Fault::later(Stage::Store, text)
}

/// Destinations that are paused, in a database of this version's schema.
///
/// # Errors
/// The database cannot be reached, or refuses to be looked at.
pub async fn paused(connection: &DatabaseAccess) -> Result<Vec<DestinationStanding>, Fault> {
    let pool = Pool::new(&connection.door, &Arc::new(Health::default()), 1, &[])?;
    let mut standings = standings(&pool).await?;
    standings.retain(|standing| standing.reason.is_some());
    Ok(standings)
}

/// Both lists are in order of version.
fn compare(applied: &[(i32, String)], known: &[(i32, String)]) -> Schema {
    let needs = known.last().map_or(0, |(version, _)| *version);
    let Some((has, _)) = applied.last() else {
        return Schema::Absent;
    };
    let (has, same) = (
        *has,
        applied.iter().zip(known).all(|(one, other)| one == other),
    );
    match () {
        () if !same || applied.len() > known.len() => Schema::Foreign { has, needs },
        () if applied.len() < known.len() => Schema::Older { has, needs },
        () => Schema::Current { has },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(i32, &str)]) -> Vec<(i32, String)> {
        entries
            .iter()
            .map(|(version, checksum)| (*version, (*checksum).to_string()))
            .collect()
    }

    #[test]
    fn a_schema_is_told_apart_by_version_and_checksum() {
        let known = history(&[(1, "a"), (2, "b")]);
        assert_eq!(compare(&[], &known), Schema::Absent);
        assert_eq!(
            compare(&history(&[(1, "a")]), &known),
            Schema::Older { has: 1, needs: 2 }
        );
        assert_eq!(compare(&known, &known), Schema::Current { has: 2 });
        assert_eq!(
            compare(&history(&[(1, "a"), (2, "b"), (3, "c")]), &known),
            Schema::Foreign { has: 3, needs: 2 }
        );
        assert_eq!(
            compare(&history(&[(1, "x")]), &known),
            Schema::Foreign { has: 1, needs: 2 }
        );
    }
}
