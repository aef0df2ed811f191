//! A table as it is written to: its columns with their types, and the statements made of them.
//!
//! Many rows go through COPY, which costs several round trips a table. A few go as one array per
//! column, the rows of several tables in a single statement: one round trip, and all or nothing by
//! itself. Knows no rows and decides nothing.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

/// Columns and types as in a CREATE TABLE, in the order rows are written.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    /// `name type, name type, ...`, in as many pieces as is handy.
    pub columns: &'static [&'static str],
}

impl Table {
    fn columns(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let all = self.columns.iter().flat_map(|part| part.split(", "));
        all.map(|column| column.split_once(' ').unwrap_or((column, "text")))
    }

    /// How many columns a row has.
    pub fn width(&self) -> usize {
        self.columns().count()
    }

    fn names(&self) -> String {
        self.columns().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    }

    /// COPY into the table, or into another one of the same columns.
    pub fn copy_statement(&self, into: &str) -> String {
        format!("COPY {into} ({}) FROM STDIN (FORMAT binary)", self.names())
    }

    /// INSERT of rows given as one array per column, the first of them in parameter `$first`.
    fn insert(&self, first: usize) -> String {
        let arrays = self.columns().enumerate().map(|(at, (_, kind))| format!("${}::{kind}[]", first + at)).collect::<Vec<_>>().join(", ");
        format!("INSERT INTO {} ({}) SELECT * FROM unnest({arrays})", self.name, self.names())
    }
}

/// One statement that inserts into all these tables; its parameters are their columns in order.
pub fn insert_statement<'a>(tables: impl IntoIterator<Item = &'a Table>) -> String {
    let mut first = 1;
    let mut parts = Vec::new();
    for table in tables {
        parts.push(format!("{}_rows AS ({})", table.name, table.insert(first)));
        first += table.width();
    }
    format!("WITH {} SELECT", parts.join(", "))
}

/// The values of one column, laid out as the elements of a binary array.
#[derive(Debug, Default)]
pub struct Column {
    count: i32,
    nulls: bool,
    elements: Vec<u8>,
}

/// Turns rows in COPY's binary form into columns; `None` when they are not of that width.
pub fn columns_of(mut rows: &[u8], width: usize) -> Option<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::with_capacity(width);
    columns.resize_with(width, Column::default);
    while let Some((fields, rest)) = rows.split_first_chunk() {
        rows = rest;
        if usize::try_from(i16::from_be_bytes(*fields)) != Ok(width) {
            return None;
        }
        for column in &mut columns {
            let (length, _) = rows.split_first_chunk()?;
            // A null has the length -1 and no bytes, in a row as in an array.
            let bytes = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
            column.nulls |= i32::from_be_bytes(*length) < 0;
            column.count += 1;
            let (element, rest) = rows.split_at_checked(4 + bytes)?;
            column.elements.extend_from_slice(element);
            rows = rest;
        }
    }
    rows.is_empty().then_some(columns)
}

impl ToSql for Column {
    /// PostgreSQL's binary form of a one-dimensional array (`array_recv`).
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(element) = kind.kind() else { return Err(format!("{kind} is not an array").into()) };
        out.put_i32(1);
        out.put_i32(self.nulls.into());
        out.put_u32(element.oid());
        out.put_i32(self.count);
        out.put_i32(1);
        out.put_slice(&self.elements);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(kind.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::copy::RowWriter;

    const TRIAL: Table = Table { name: "trial", columns: &["a int, b text", "c timestamptz"] };

    #[test]
    fn statements_name_every_column_in_order() {
        assert_eq!(TRIAL.width(), 3);
        assert_eq!(TRIAL.copy_statement("other"), "COPY other (a, b, c) FROM STDIN (FORMAT binary)");
        let other = Table { name: "other", columns: &["d bytea"] };
        assert_eq!(
            insert_statement([&TRIAL, &other]),
            "WITH trial_rows AS (INSERT INTO trial (a, b, c) SELECT * FROM unnest($1::int[], $2::text[], $3::timestamptz[])), \
             other_rows AS (INSERT INTO other (d) SELECT * FROM unnest($4::bytea[])) SELECT"
        );
    }

    #[test]
    fn rows_become_columns_with_their_nulls() {
        let mut rows = Vec::new();
        for (number, text) in [(7, Some("x")), (8, None)] {
            let mut row = RowWriter(&mut rows);
            row.row(2);
            row.int(number);
            row.text_or_null(text);
        }
        let columns = columns_of(&rows, 2).expect("rows of two columns");
        assert_eq!(columns[0].elements, [0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 8]);
        assert_eq!(columns[1].elements, [0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff]);
        assert_eq!((columns[0].count, columns[0].nulls, columns[1].nulls), (2, false, true));
    }

    #[test]
    fn rows_of_another_width_or_cut_short_are_not_taken() {
        let mut rows = Vec::new();
        let mut row = RowWriter(&mut rows);
        row.row(1);
        row.int(1);
        assert!(columns_of(&rows, 2).is_none());
        assert!(columns_of(&rows[..rows.len() - 1], 1).is_none());
    }
}
