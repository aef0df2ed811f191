//! The roster in force for a month, person by person in byte order of their numbers.
//!
//! One COPY over one snapshot, read as it comes: however many people there are, memory holds two.
//! What earlier months left open comes with each person. Decides nothing about anybody.

use std::pin::Pin;

use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;
use jiff::ToSpan;
use jiff::civil::Date;
use tokio_postgres::CopyOutStream;

use super::super::tx::Tx;
use super::super::{Store, fault};
use super::category;
use crate::error::{Fault, Stage};
use crate::model::deduction::Category;
use crate::model::{Fen, Month};

const EPOCH: Date = jiff::civil::date(2000, 1, 1);
/// Signature, flags and extension length of COPY's binary format.
const HEADER_BYTES: usize = 19;
const COLUMNS: i16 = 10;

/// An insured person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsuredPerson {
    pub person_no: String,
    /// `None` in a row that says that somebody left; such people are not given out.
    category: Option<Category>,
    pub account: bool,
    pub district: i32,
    pub base: Fen,
    pub account_credit_base: Option<Fen>,
    /// Has chosen to pay once a year, since that month.
    pub yearly_since: Option<Month>,
    pub born_on: Option<Date>,
    /// Open shortfalls of earlier months that are carried over.
    pub carried: Fen,
    /// It is one of several insurance relations, and nobody has decided which counts.
    pub undecided: bool,
}

impl InsuredPerson {
    /// What kind of insured person; everybody given out is one.
    pub fn category(&self) -> Category {
        self.category
            .expect("people without a category are skipped")
    }
}

/// Everybody insured in an area in a month.
pub struct InsuredPeople {
    stream: Pin<Box<CopyOutStream>>,
    tx: Tx,
    /// Settled cycles of earlier months, whose open shortfalls are carried.
    pub carrying: Vec<i64>,
    rest: Bytes,
    header_read: bool,
    ended: bool,
    /// The last row read, and the one before or being read.
    ahead: InsuredPerson,
    row: InsuredPerson,
    holds: bool,
}

impl InsuredPeople {
    /// Takes a snapshot and begins to read.
    ///
    /// # Errors
    /// The database refuses or cannot be reached.
    pub async fn open(store: &Store, area: i32, month: Month) -> Result<InsuredPeople, Fault> {
        let client = store.client().await?;
        // The key's order is the order wanted; sorting a city would spill to disk. These settings end with the transaction.
        let snapshot = "ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_sort = off; SET LOCAL enable_hashjoin = off; \
            SET LOCAL enable_nestloop = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashagg = off; SET LOCAL jit = off";
        let tx = Tx::begin_long_as(client, snapshot).await?;
        let earlier = "SELECT cycle_id FROM deduction_cycle WHERE pooling_area = $1 AND month < $2 AND state = 'settled' ORDER BY cycle_id";
        let rows = tx.query(earlier, &[&area, &month.number()]).await?;
        let carrying: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let stream = tx.copy_out(&statement(area, month, &carrying)).await?;
        Ok(InsuredPeople {
            stream: Box::pin(stream),
            tx,
            carrying,
            rest: Bytes::new(),
            header_read: false,
            ended: false,
            ahead: InsuredPerson::default(),
            row: InsuredPerson::default(),
            holds: false,
        })
    }

    /// The next person; `None` after the last.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn next(&mut self) -> Result<Option<&InsuredPerson>, Fault> {
        loop {
            let read = self.read().await?;
            let same = read && self.holds && self.row.person_no == self.ahead.person_no;
            if same && self.row.yearly_since.is_some() {
                // The choice is as old as the first of the rows that say so.
                self.row.yearly_since = self.ahead.yearly_since.or(self.row.yearly_since);
            }
            // Rows of a person come in the order in which they were to take effect: the last one counts.
            std::mem::swap(&mut self.row, &mut self.ahead);
            let found = self.holds && !same && self.row.category.is_some();
            self.holds = read;
            if found {
                return Ok(Some(&self.row));
            }
            if !read {
                return Ok(None);
            }
        }
    }

    /// Ends the snapshot, once everybody was read.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn finish(self) -> Result<(), Fault> {
        self.tx.commit().await.map_err(|error| fault(&error))
    }

    /// Reads one row into `row`; `false` at the end.
    async fn read(&mut self) -> Result<bool, Fault> {
        while self.rest.is_empty() && !self.ended {
            match self.tx.vigil().within(self.stream.try_next()).await? {
                Some(chunk) => self.rest = chunk,
                None => self.ended = true,
            }
            if !self.header_read && self.rest.len() >= HEADER_BYTES {
                self.rest.advance(HEADER_BYTES);
                self.header_read = true;
            }
        }
        if self.ended {
            return Ok(false);
        }
        match parse(&mut self.rest, &mut self.row) {
            Some(true) => Ok(true),
            // The trailer: whatever follows belongs to the protocol, and is read to its end.
            Some(false) => {
                self.ended = true;
                while self
                    .tx
                    .vigil()
                    .within(self.stream.try_next())
                    .await?
                    .is_some()
                {}
                Ok(false)
            }
            None => Err(Fault::later(
                Stage::Store,
                "the database sent a roster row in a form this version does not read; try again",
            )),
        }
    }
}

/// COPY takes no parameters; these are numbers.
fn statement(area: i32, month: Month, carrying: &[i64]) -> String {
    let carrying = carrying
        .iter()
        .map(i64::to_string)
        .collect::<Vec<_>>()
        .join(",");
    format!(
        "COPY (SELECT e.person_no, e.category, e.account, e.district, e.base_fen, e.born_on, s.fen,
               e.account_credit_fen, CASE WHEN e.yearly AND e.category IS NOT NULL THEN e.from_month END, e.undecided
           FROM roster_entry e LEFT JOIN (
               SELECT person_no, sum(fen)::bigint AS fen FROM shortfall
               WHERE pooling_area = {area} AND carried_into IS NULL AND handling = 'carry_over' AND cycle_id = ANY('{{{carrying}}}'::bigint[])
               GROUP BY person_no) s ON s.person_no = e.person_no
           WHERE e.pooling_area = {area} AND e.from_month <= {month}
           ORDER BY e.person_no, e.from_month, e.roster_id) TO STDOUT (FORMAT binary)",
        month = month.number()
    )
}

/// One row of COPY's binary format; `Some(false)` is the trailer, `None` another form.
fn parse(bytes: &mut Bytes, person: &mut InsuredPerson) -> Option<bool> {
    match bytes.try_get_i16().ok()? {
        -1 => return Some(false),
        COLUMNS => {}
        _ => return None,
    }
    person.person_no.clear();
    person
        .person_no
        .push_str(std::str::from_utf8(&field(bytes)??).ok()?);
    person.category = match field(bytes)? {
        Some(word) => Some(category(std::str::from_utf8(&word).ok()?)),
        None => None,
    };
    person.account = field(bytes)??.try_get_u8().ok()? != 0;
    person.district = field(bytes)??.try_get_i32().ok()?;
    let number = |field: Option<Bytes>| field.map_or(Some(0), |mut bytes| bytes.try_get_i64().ok());
    person.base = Fen(number(field(bytes)?)?);
    person.born_on = match field(bytes)? {
        Some(mut days) => Some(
            EPOCH
                .checked_add(i64::from(days.try_get_i32().ok()?).days())
                .ok()?,
        ),
        None => None,
    };
    person.carried = Fen(number(field(bytes)?)?);
    person.account_credit_base = match field(bytes)? {
        Some(mut fen) => Some(Fen(fen.try_get_i64().ok()?)),
        None => None,
    };
    person.yearly_since = match field(bytes)? {
        Some(mut month) => Some(Month::from_number(month.try_get_i32().ok()?)?),
        None => None,
    };
    person.undecided = field(bytes)??.try_get_u8().ok()? != 0;
    Some(true)
}

/// A field; the inner `None` is a null.
fn field(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    let length = bytes.try_get_i32().ok()?;
    let Ok(length) = usize::try_from(length) else {
        return Some(None);
    };
    (length <= bytes.len()).then(|| Some(bytes.split_to(length)))
}
