//! What every session is told at its begin, by SET, since poolers refuse it at the connect.
//!
//! Everything the gateway relies on stands here, so that settings of the role, the database or the
//! server change nothing. Only timeouts of our own, planner hints and meanings of values: sizes of
//! memory and places of files are the operator's.

/// A setting's name as `pg_settings` spells it, and its value in that view's unit.
pub(super) type SessionSetting = (&'static str, &'static str);

/// The server ends a statement after this; long ones lift it, see `store::tx`. Milliseconds.
pub(super) const STATEMENT_MILLISECONDS: u64 = 30_000;

const EVERY: [SessionSetting; 33] = [
    ("statement_timeout", "30000"),
    ("lock_timeout", "0"),
    // An instance that stands still in a transaction lets its locks go.
    ("idle_in_transaction_session_timeout", "300000"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    // The server looks whether we are still there while it works, and undoes what nobody waits for.
    ("client_connection_check_interval", "2000"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    // Triggers watch over the journal.
    ("session_replication_role", "origin"),
    // What is answered is on the disk. A stricter level of the server stays.
    ("synchronous_commit", "on"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("client_encoding", "UTF8"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("standard_conforming_strings", "on"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("client_min_messages", "warning"),
    ("row_security", "on"),
    ("plan_cache_mode", "auto"),
    ("enable_seqscan", "on"),
    ("enable_indexscan", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_bitmapscan", "on"),
    ("enable_sort", "on"),
    ("enable_hashjoin", "on"),
    ("enable_mergejoin", "on"),
    ("enable_nestloop", "on"),
    ("enable_hashagg", "on"),
    ("enable_material", "on"),
];

/// How the dispatchers' statements are planned: by the indexes made for them, always. Their plans are made
/// when the queue may be empty, and kept; then PostgreSQL would read the whole table for every row of
/// it (measured: a claim of two minutes with 100,000 rows queued meanwhile).
pub(super) const BY_INDEX: &[SessionSetting] = &[
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// A group of small packets waits for nobody: see `store::GROUP_CONNECTIONS`.
pub(super) const GROUPS: &[SessionSetting] = &[("lock_timeout", "200")];

/// Questions read, by the indexes made for them, always: a plan made while a table is empty is kept while a
/// cycle fills it. Made once for a connection, since planning takes longer than the look-ups themselves.
pub(super) const QUESTIONS: &[SessionSetting] = &[
    ("default_transaction_read_only", "on"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// The schema that holds the gateway's tables, wherever it is; before there are any, PostgreSQL's own
/// order. It is looked for by its history, since the role's `search_path` may say anything.
const SCHEMA: &str = "SELECT pg_catalog.set_config('search_path', coalesce((
        SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'refinery_schema_history' AND c.relkind = 'r' AND n.nspname !~ '^pg_'
        ORDER BY c.oid = pg_catalog.to_regclass('refinery_schema_history') DESC NULLS LAST, n.nspname = 'public' DESC, n.nspname LIMIT 1),
    '\"$user\", public'), false)";

/// The statements that set all of it, and `own` over it; then whether the server only reads, as the last row.
///
/// What a server of another version does not know is left out, and what is as wanted is not touched:
/// to set some of it again takes rights that a role need not have.
pub(super) fn statements(own: &[SessionSetting]) -> String {
    let value = |(name, value): &SessionSetting| {
        own.iter()
            .find(|(other, _)| other == name)
            .map_or(*value, |(_, own)| *own)
    };
    let rows: Vec<String> = EVERY
        .iter()
        .map(|setting| format!("('{}', '{}')", setting.0, value(setting)))
        .collect();
    format!(
        "SELECT pg_catalog.set_config(w.name, w.value, false) FROM (VALUES {}) AS w (name, value) JOIN pg_catalog.pg_settings s ON s.name = w.name
            WHERE s.setting IS DISTINCT FROM w.value AND NOT (w.name = 'synchronous_commit' AND s.setting <> 'off')
              AND NOT (w.name = 'client_connection_check_interval' AND pg_catalog.version() ~* 'visual c|mingw');
         {SCHEMA};
         SELECT pg_catalog.pg_is_in_recovery()",
        rows.join(", ")
    )
}

/// The same as plain SETs, for looking at plans.
#[cfg(test)]
pub(super) fn sets(own: &[SessionSetting]) -> String {
    own.iter()
        .map(|(name, value)| format!("SET {name} = '{value}'"))
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kind_of_session_sets_itself_is_among_what_all_set() {
        for own in [BY_INDEX, GROUPS, QUESTIONS] {
            for (name, value) in own {
                assert!(
                    EVERY.iter().any(|(other, _)| other == name),
                    "{name} would be forgotten"
                );
                assert!(statements(own).contains(&format!("('{name}', '{value}')")));
            }
        }
        assert!(statements(&[]).contains(&format!(
            "('statement_timeout', '{STATEMENT_MILLISECONDS}')"
        )));
    }
}
