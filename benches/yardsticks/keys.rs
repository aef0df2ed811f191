//! What a unique index on the detail number costs, by type of key: text, bigint, ordered and random uuid.
//!
//! Not a yardstick but the measurement behind the choice of `detail_key`; run it by name.

use std::time::Instant;

use crate::stand::Stand;
use crate::{Done, Sizes, median};

const FILE: &str = "keys.copy";
/// Key column and its value in terms of the row number n.
const KEYS: &[(&str, &str, &str)] = &[
    ("no key, no primary key", "", ""),
    ("primary key (packet_id, record_index) only", "", ""),
    (
        "+ ordered uuid (as stored)",
        "uuid",
        "lpad(to_hex(n + 100000000000000000), 32, '0')::uuid",
    ),
    ("+ bigint", "bigint", "n + 100000000000000000"),
    (
        "+ text, 18 digits",
        "text COLLATE \"C\"",
        "(n + 100000000000000000)::text",
    ),
    ("+ random uuid", "uuid", "md5(n::text)::uuid"),
    (
        "+ random text, 32 characters",
        "text COLLATE \"C\"",
        "md5(n::text)",
    ),
];

pub fn run(stand: &Stand, sizes: &Sizes) -> Done {
    println!(
        "\nkeys: COPY of {} rows like employee_line's, by the key of its unique index (rows/s, median of {})",
        sizes.lines, sizes.rounds
    );
    let mut figures = vec![Vec::new(); KEYS.len()];
    let path = stand.file(FILE);
    for _ in 0..sizes.rounds {
        for (at, (_, kind, value)) in KEYS.iter().enumerate() {
            let key = if kind.is_empty() {
                String::new()
            } else {
                format!("detail_key {kind} NOT NULL, ")
            };
            let column = if value.is_empty() {
                String::new()
            } else {
                format!("{value}, ")
            };
            let primary = if at == 0 {
                ""
            } else {
                ", PRIMARY KEY (packet_id, record_index)"
            };
            let table = format!(
                "CREATE TABLE key_trial ({key}packet_id bigint NOT NULL, record_index int NOT NULL, revoke boolean NOT NULL, filler text NOT NULL{primary})"
            );
            let rows = format!(
                "SELECT {column}1, n, false, repeat('x', 230) FROM generate_series(1, {}) AS n",
                sizes.lines
            );
            stand.psql(&[
                "DROP TABLE IF EXISTS key_trial",
                &table,
                &format!("\\copy ({rows}) TO '{}'", path.display()),
            ])?;
            if !kind.is_empty() {
                stand.psql(&[
                    "CREATE UNIQUE INDEX key_trial_key ON key_trial (detail_key) WHERE NOT revoke",
                ])?;
            }
            stand.psql(&["CHECKPOINT"])?;
            let start = Instant::now();
            stand.psql(&[&format!("\\copy key_trial FROM '{}'", path.display())])?;
            figures[at].push(sizes.lines as f64 / start.elapsed().as_secs_f64());
        }
    }
    for ((name, _, _), figures) in KEYS.iter().zip(&figures) {
        println!("  {name:<46} {:>9.0}", median(figures));
    }
    stand.psql(&["DROP TABLE key_trial"]).map(drop)
}
