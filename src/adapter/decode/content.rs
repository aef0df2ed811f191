//! The digest of what a packet says, however it was generated.
//!
//! A sender that got no receipt makes its packet anew: with another time in the head, other batches and time
//! stamps, perhaps other line ends. So besides the body's bytes the records are digested, in their order and
//! while they are read: of a good record its canonical values, of a refused one its elements as they are
//! written. What only says how a record was transferred is left out, and so is the head but for the type.
//!
//! SHA-256 over a line of names, with the words of codes, and then, of each record, its values one after the
//! other, each behind its position among the names; texts with their length before them.

use sha2::{Digest, Sha256};

use super::rows::FieldTable;
use super::tree::{Capture, ElementState};
use crate::adapter::inbound::InboundMessage;
use crate::model::{Fen, FieldId, FieldType, Record, Slot};

/// Marks what a record's values are; none of them is a field's position.
const END: u8 = 0xff;
const AS_WRITTEN: u8 = 0xfe;

/// What is gathered before it is hashed: a record at a time cost `large` a fifteenth of the gateway's processor time more.
const PIECE_BYTES: usize = 8 * 1024;

/// A digest under way.
#[derive(Debug)]
pub(super) struct ContentDigest {
    hash: Sha256,
    /// Records that are not hashed yet.
    bytes: Vec<u8>,
    /// Fields that count, in order.
    fields: Vec<FieldId>,
    /// Columns that count.
    columns: Vec<u16>,
}

impl ContentDigest {
    /// Over no record yet.
    pub(super) fn of(inbound: &InboundMessage) -> ContentDigest {
        let rules = &inbound.rows.rules;
        let fields: Vec<FieldId> = rules
            .iter()
            .filter(|rule| !rule.transfer)
            .map(|rule| rule.field)
            .collect();
        let read = |transfer: bool, column: u16| {
            rules
                .iter()
                .any(|rule| rule.transfer == transfer && rule.reads(column))
        };
        let columns = (0..inbound.rows.tree.columns())
            .map(|column| column as u16)
            .filter(|column| !read(true, *column) || read(false, *column))
            .collect();
        let mut hash = Sha256::new();
        hash.update(inbound.message.name);
        for field in &fields {
            hash.update(b" ");
            hash.update(inbound.message.fields[field.0].name);
            if let FieldType::Code(words) = inbound.message.fields[field.0].holds {
                words
                    .iter()
                    .for_each(|word| hash.update(format!("|{word}")));
            }
        }
        hash.update(b"\n");
        ContentDigest {
            hash,
            bytes: Vec::with_capacity(PIECE_BYTES + 1024),
            fields,
            columns,
        }
    }

    /// Adds a record by its values.
    pub(super) fn good(&mut self, record: &Record) {
        for (at, field) in self.fields.iter().enumerate() {
            let slot = record.slot(*field);
            if !matches!(slot, Slot::Empty) {
                self.bytes.push(at as u8);
                value(&mut self.bytes, slot, || {
                    record.text(*field).unwrap_or_default()
                });
            }
        }
        self.end();
    }

    /// Adds a refused record by its elements.
    pub(super) fn refused(&mut self, rows: &FieldTable, capture: &Capture) {
        self.bytes.push(AS_WRITTEN);
        for column in &self.columns {
            let state = capture.state(*column);
            if state != ElementState::Absent {
                text(&mut self.bytes, rows.tree.path(*column));
                self.bytes.push(state as u8);
                text(&mut self.bytes, capture.value(*column).unwrap_or_default());
            }
        }
        self.end();
    }

    /// Adds a record that could not be taken apart.
    pub(super) fn spoilt(&mut self, line: &[u8]) {
        self.bytes.push(AS_WRITTEN);
        self.bytes.extend_from_slice(line.trim_ascii());
        self.end();
    }

    /// The digest over the records so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.hash
            .clone()
            .chain_update(&self.bytes)
            .finalize()
            .into()
    }

    fn end(&mut self) {
        self.bytes.push(END);
        if self.bytes.len() >= PIECE_BYTES {
            self.hash.update(&self.bytes);
            self.bytes.clear();
        }
    }
}

/// Short on purpose: what is hashed is half as long as plain numbers and words would be.
fn value<'a>(bytes: &mut Vec<u8>, slot: Slot, of_text: impl FnOnce() -> &'a str) {
    match slot {
        Slot::Empty => {}
        Slot::Text(..) => text(bytes, of_text()),
        Slot::Integer(value) | Slot::Decimal(value) | Slot::Money(Fen(value)) => {
            number(bytes, value)
        }
        Slot::Date(date) => number(bytes, day(date)),
        Slot::DateTime(at) => {
            number(bytes, day(at.date()));
            bytes.extend([at.hour(), at.minute(), at.second()].map(i8::cast_unsigned));
        }
        Slot::Month(month) => number(bytes, i64::from(month.number())),
        Slot::Code(index) => number(bytes, i64::from(index)),
        Slot::Flag(flag) => bytes.push(u8::from(flag)),
        Slot::Division(division) => text(bytes, division.digits()),
    }
}

fn day(date: jiff::civil::Date) -> i64 {
    (i64::from(date.year()) * 16 + i64::from(date.month())) * 32 + i64::from(date.day())
}

fn text(bytes: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    number(bytes, text.as_ref().len() as i64);
    bytes.extend_from_slice(text.as_ref());
}

/// Seven bits a byte, the lowest first, the sign in the first bit.
fn number(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crate::model::{Division, Slot};

    use super::super::tests::{gbk, packet, record, tax};

    fn digest(text: &str) -> [u8; 32] {
        let mut reader = tax()
            .open(Box::new(Cursor::new(gbk(text))), 1000)
            .expect("a head");
        let mut record = reader.new_record();
        while reader.next(&mut record).expect("a whole packet").is_some() {}
        reader.content()
    }

    /// A record that is refused for what it says was paid.
    fn bad(number: usize, paid: &str) -> String {
        record(number, "").replace(&format!("{number}69.50"), paid)
    }

    #[test]
    fn a_packet_generated_anew_says_the_same() {
        let first = packet(&[
            record(
                1,
                "<AAA322>20211108001</AAA322><AAE418>20211108102959</AAE418>",
            ),
            bad(2, "bad"),
        ]);
        for again in [
            first
                .replace("20211108001", "20211108002")
                .replace("20211108102959", "20211108103510"),
            first.replace("<JLS>", "<SCRQ>20211108103512</SCRQ><JLS>"),
            first.replace("><", ">\r\n <"),
            first.replace("<Record index=\"1\">", "<Record index=\"1\"><XH>7</XH>"),
            first.replacen("0.0695", "0.069500", 1),
        ] {
            assert_eq!(digest(&again), digest(&first), "{again}");
        }
    }

    #[test]
    fn a_division_counts_as_its_six_digits_as_packets_were_digested_before_it_was_a_number() {
        let (mut number, mut digits) = (Vec::new(), Vec::new());
        let division = Division::parse("010203").expect("six digits");
        super::value(&mut number, Slot::Division(division), || "");
        super::value(&mut digits, Slot::Text(0, 6), || "010203");
        assert_eq!(number, digits);
    }

    #[test]
    fn another_value_order_or_record_is_other_content() {
        let first = packet(&[record(1, ""), record(2, ""), bad(3, "bad")]);
        for other in [
            packet(&[record(2, ""), record(1, ""), bad(3, "bad")]),
            packet(&[record(1, ""), record(2, ""), bad(3, "worse")]),
            packet(&[record(1, ""), record(2, ""), record(3, "")]),
            packet(&[record(1, ""), bad(3, "bad")]),
            first.replacen("0.0695", "0.0696", 1),
            first.replacen("202110", "202111", 1),
        ] {
            assert_ne!(digest(&other), digest(&first), "{other}");
        }
    }
}
