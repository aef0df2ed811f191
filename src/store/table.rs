//! A table as it is written to: its columns with their types, and the statements made of them.
//!
//! Many rows go through COPY, which costs several round trips a table. A few go as one array of
//! rows a table, those of several tables in a single statement: one round trip, and all or nothing by
//! itself. (An array per column would do as well, but PostgreSQL then keeps a tuple store for each
//! of 70 columns.) Knows no rows and decides nothing.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

/// Columns and types as in a CREATE TABLE, in the order rows are written.
#[derive(Debug)]
pub struct TableColumns {
    pub name: &'static str,
    /// `name type, name type, ...`, in as many pieces as is handy.
    pub columns: &'static [&'static str],
}

impl TableColumns {
    fn columns(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let all = self.columns.iter().flat_map(|part| part.split(", "));
        all.map(|column| column.split_once(' ').unwrap_or((column, "text")))
    }

    /// How many columns a row has.
    pub fn width(&self) -> usize {
        self.columns().count()
    }

    fn names(&self) -> String {
        self.columns()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// COPY into the table, or into another one of the same columns.
    pub fn copy_statement(&self, into: &str) -> String {
        format!("COPY {into} ({}) FROM STDIN (FORMAT binary)", self.names())
    }

    /// INSERT of rows given as an array in parameter `$at`, of the type `<table>_row` (schemas/postgres/0005_row_types.sql).
    fn insert(&self, at: usize) -> String {
        format!(
            "INSERT INTO {0} ({1}) SELECT * FROM unnest(${at}::{0}_row[])",
            self.name,
            self.names()
        )
    }
}

/// One statement that inserts into all these tables; its parameters are their rows, in order.
pub fn insert_statement<'a>(tables: impl IntoIterator<Item = &'a TableColumns>) -> String {
    let parts = tables
        .into_iter()
        .enumerate()
        .map(|(at, table)| format!("{}_rows AS ({})", table.name, table.insert(at + 1)));
    format!("WITH {} SELECT", parts.collect::<Vec<_>>().join(", "))
}

/// Rows in COPY's binary form, without header and trailer, to be sent as an array of a composite type.
#[derive(Debug)]
pub struct RowArray<'a>(pub &'a [u8]);

impl ToSql for RowArray<'_> {
    /// PostgreSQL's binary form of a one-dimensional array (`array_recv`) of rows (`record_recv`).
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(element) = kind.kind() else {
            return Err(format!("{kind} is not an array").into());
        };
        let Kind::Composite(columns) = element.kind() else {
            return Err(format!("{element} is not a row type").into());
        };
        out.put_i32(1);
        out.put_i32(0);
        out.put_u32(element.oid());
        let count_at = out.len();
        out.put_i32(0);
        out.put_i32(1);
        let (mut rows, mut count) = (self.0, 0_i32);
        while let Some((fields, rest)) = rows.split_first_chunk() {
            if usize::try_from(i16::from_be_bytes(*fields)) != Ok(columns.len()) {
                return Err(format!(
                    "a row of {} columns for {element}",
                    i16::from_be_bytes(*fields)
                )
                .into());
            }
            let row_at = out.len();
            out.put_i32(0);
            out.put_i32(i32::from(i16::from_be_bytes(*fields)));
            rows = rest;
            for column in columns {
                let length = rows.first_chunk().ok_or("a row cut short")?;
                // A null has the length -1 and no bytes, here and there.
                let bytes = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
                let (value, rest) = rows.split_at_checked(4 + bytes).ok_or("a row cut short")?;
                out.put_u32(column.type_().oid());
                out.put_slice(value);
                rows = rest;
            }
            let row_bytes = i32::try_from(out.len() - row_at - 4)?;
            out[row_at..row_at + 4].copy_from_slice(&row_bytes.to_be_bytes());
            count += 1;
        }
        out[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(kind.kind(), Kind::Array(element) if matches!(element.kind(), Kind::Composite(_)))
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::Field;

    use super::*;
    use crate::store::copy::RowWriter;

    const TRIAL: TableColumns = TableColumns {
        name: "trial",
        columns: &["a int, b text", "c timestamptz"],
    };

    fn row_type() -> Type {
        let columns = vec![
            Field::new("a".into(), Type::INT4),
            Field::new("b".into(), Type::TEXT),
        ];
        let row = Type::new(
            "trial_row".into(),
            70_000,
            Kind::Composite(columns),
            "public".into(),
        );
        Type::new(
            "_trial_row".into(),
            70_001,
            Kind::Array(row),
            "public".into(),
        )
    }

    #[test]
    fn statements_name_every_column_in_order() {
        assert_eq!(
            TRIAL.copy_statement("other"),
            "COPY other (a, b, c) FROM STDIN (FORMAT binary)"
        );
        let other = TableColumns {
            name: "other",
            columns: &["d bytea"],
        };
        assert_eq!(
            insert_statement([&TRIAL, &other]),
            "WITH trial_rows AS (INSERT INTO trial (a, b, c) SELECT * FROM unnest($1::trial_row[])), \
             other_rows AS (INSERT INTO other (d) SELECT * FROM unnest($2::other_row[])) SELECT"
        );
    }

    #[test]
    fn rows_become_an_array_with_their_nulls() {
        let mut rows = Vec::new();
        for (number, text) in [(7, Some("x")), (8, None)] {
            let mut row = RowWriter::new(&mut rows);
            row.int(number);
            row.text_or_null(text);
        }
        let mut sent = BytesMut::new();
        RowArray(&rows)
            .to_sql(&row_type(), &mut sent)
            .expect("rows of two columns");
        let int = [0, 0, 0, 23, 0, 0, 0, 4];
        let text = [0, 0, 0, 25];
        let expected = [
            &[
                0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 17, 112, 0, 0, 0, 2, 0, 0, 0, 1,
            ][..],
            &[
                &[0, 0, 0, 25, 0, 0, 0, 2],
                &int[..],
                &[0, 0, 0, 7],
                &text,
                &[0, 0, 0, 1, b'x'],
            ]
            .concat(),
            &[
                &[0, 0, 0, 24, 0, 0, 0, 2],
                &int[..],
                &[0, 0, 0, 8],
                &text,
                &[0xff, 0xff, 0xff, 0xff],
            ]
            .concat(),
        ];
        assert_eq!(sent.to_vec(), expected.concat());
    }

    #[test]
    fn rows_of_another_width_or_cut_short_are_not_taken() {
        let mut rows = Vec::new();
        RowWriter::new(&mut rows).int(1);
        assert!(
            RowArray(&rows)
                .to_sql(&row_type(), &mut BytesMut::new())
                .is_err()
        );
        assert!(
            RowArray(&rows[..rows.len() - 1])
                .to_sql(&row_type(), &mut BytesMut::new())
                .is_err()
        );
    }
}
