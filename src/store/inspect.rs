//! A look at a database for `ltcgw doctor`: who answers, and which schema is there. Changes nothing.

use super::{Connection, fault, migrations, unreachable};
use crate::error::{Fault, Stage};

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// PostgreSQL's major version.
    pub major: i32,
    pub schema: Schema,
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

/// Oldest major version of PostgreSQL the gateway's SQL is written for.
pub const MAJOR_MIN: i32 = 15;

/// Connects and looks.
///
/// # Errors
/// The database cannot be reached, or refuses to be looked at.
pub async fn inspect(connection: Connection) -> Result<Inspected, Fault> {
    let pool = connection.pool(1, "")?;
    let client = pool.get().await.map_err(|error| unreachable(&error))?;
    let row = client.query_one("SELECT current_setting('server_version_num')::int / 10000, to_regclass('refinery_schema_history') IS NOT NULL", &[]).await;
    let row = row.map_err(|error| fault(&error))?;
    let (major, migrated): (i32, bool) = (row.get(0), row.get(1));
    let mut applied: Vec<(i32, String)> = Vec::new();
    if migrated {
        let rows = client.query("SELECT version, checksum FROM refinery_schema_history ORDER BY version", &[]).await.map_err(|error| fault(&error))?;
        applied = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    }
    let known = migrations().map_err(|error| Fault::operator(Stage::Store, format!("the migrations of this version are unusable: {error}")))?;
    let known: Vec<(i32, String)> = known.iter().map(|migration| (migration.version(), migration.checksum().to_string())).collect();
    Ok(Inspected { major, schema: compare(&applied, &known) })
}

/// Both lists are in order of version.
fn compare(applied: &[(i32, String)], known: &[(i32, String)]) -> Schema {
    let needs = known.last().map_or(0, |(version, _)| *version);
    let Some((has, _)) = applied.last() else { return Schema::Absent };
    let (has, same) = (*has, applied.iter().zip(known).all(|(one, other)| one == other));
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
        entries.iter().map(|(version, checksum)| (*version, (*checksum).to_string())).collect()
    }

    #[test]
    fn a_schema_is_told_apart_by_version_and_checksum() {
        let known = history(&[(1, "a"), (2, "b")]);
        assert_eq!(compare(&[], &known), Schema::Absent);
        assert_eq!(compare(&history(&[(1, "a")]), &known), Schema::Older { has: 1, needs: 2 });
        assert_eq!(compare(&known, &known), Schema::Current { has: 2 });
        assert_eq!(compare(&history(&[(1, "a"), (2, "b"), (3, "c")]), &known), Schema::Foreign { has: 3, needs: 2 });
        assert_eq!(compare(&history(&[(1, "x")]), &known), Schema::Foreign { has: 1, needs: 2 });
    }
}
