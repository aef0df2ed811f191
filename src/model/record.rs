//! Canonical records: what a document of any partner is turned into before the gateway acts on it.
//!
//! A [`RecordSpec`] is a fixed list of fields; a [`Record`] holds one row of values in reusable
//! slots, so that a million lines are decoded without allocating for each. Decoders fill records
//! by [`FieldId`]; flows read them by the constants beside each spec in [`super::records`].

use super::{Division, Fen, Month, PaymentKind, Story};

/// What a canonical field holds, whatever its form on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text of at most so many characters.
    Text(u16),
    Integer,
    /// A decimal with at most six places, held as millionths (a rate of 6.95 % is 69 500).
    Decimal,
    Money,
    Date,
    /// A point in time, seconds precise.
    DateTime,
    Month,
    /// One of a closed list of words.
    Code(&'static [&'static str]),
    /// A district or pooling area of GB/T 2260: the adapter's code table is the list.
    Division,
    Flag,
}

/// One field of a canonical record.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub holds: FieldType,
    /// Whether a record without it is refused.
    pub required: bool,
    /// Whether its content must never reach a log, page, receipt or error.
    pub private: bool,
    /// Whether it says how a record was transferred, not what it is about: the same record may say otherwise when it comes again.
    pub transfer: bool,
    /// Whether it only informs people: what cannot be read is left out, and never spoils the record.
    pub informative: bool,
    /// One sentence for `adapter list` and the schemas.
    pub doc: &'static str,
}

/// The position of a field in its spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub usize);

/// A canonical record's name and fields.
#[derive(Debug)]
pub struct RecordSpec {
    /// The message name adapters use, e.g. `employer_collection`.
    pub name: &'static str,
    pub doc: &'static str,
    /// What becomes of messages whose lines are such records.
    pub story: Story,
    pub fields: &'static [Field],
}

impl RecordSpec {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<FieldId> {
        self.fields
            .iter()
            .position(|field| field.name == name)
            .map(FieldId)
    }
}

/// One value. Text lives in the record's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Empty,
    /// Byte range in the record's text buffer: of a `Text`, or what a code table names for a division that is none.
    Text(u32, u32),
    Integer(i64),
    /// Millionths.
    Decimal(i64),
    Money(Fen),
    Date(jiff::civil::Date),
    DateTime(jiff::civil::DateTime),
    Month(Month),
    /// Index into the closed list of the field.
    Code(u16),
    Flag(bool),
    Division(Division),
}

/// One row of a canonical record; cleared and filled again for the next row.
#[derive(Debug, Clone)]
pub struct Record {
    spec: &'static RecordSpec,
    text: String,
    slots: Vec<Slot>,
}

impl Record {
    pub fn new(spec: &'static RecordSpec) -> Record {
        Record {
            spec,
            text: String::new(),
            slots: vec![Slot::Empty; spec.fields.len()],
        }
    }

    pub fn spec(&self) -> &'static RecordSpec {
        self.spec
    }

    /// Empties every slot, keeping the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.slots.fill(Slot::Empty);
    }

    /// Puts text into a field.
    pub fn set_text(&mut self, field: FieldId, text: &str) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        self.slots[field.0] = Slot::Text(start, self.text.len() as u32);
    }

    /// Puts any other value into a field.
    pub fn set(&mut self, field: FieldId, slot: Slot) {
        self.slots[field.0] = slot;
    }

    pub fn slot(&self, field: FieldId) -> Slot {
        self.slots[field.0]
    }

    pub fn is_empty(&self, field: FieldId) -> bool {
        self.slots[field.0] == Slot::Empty
    }

    pub fn text(&self, field: FieldId) -> Option<&str> {
        match self.slots[field.0] {
            Slot::Text(start, end) => Some(&self.text[start as usize..end as usize]),
            _ => None,
        }
    }

    pub fn integer(&self, field: FieldId) -> Option<i64> {
        match self.slots[field.0] {
            Slot::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// Millionths.
    pub fn decimal(&self, field: FieldId) -> Option<i64> {
        match self.slots[field.0] {
            Slot::Decimal(value) => Some(value),
            _ => None,
        }
    }

    pub fn money(&self, field: FieldId) -> Option<Fen> {
        match self.slots[field.0] {
            Slot::Money(value) => Some(value),
            _ => None,
        }
    }

    pub fn date(&self, field: FieldId) -> Option<jiff::civil::Date> {
        match self.slots[field.0] {
            Slot::Date(value) => Some(value),
            _ => None,
        }
    }

    pub fn datetime(&self, field: FieldId) -> Option<jiff::civil::DateTime> {
        match self.slots[field.0] {
            Slot::DateTime(value) => Some(value),
            _ => None,
        }
    }

    pub fn month(&self, field: FieldId) -> Option<Month> {
        match self.slots[field.0] {
            Slot::Month(value) => Some(value),
            _ => None,
        }
    }

    /// The division, where the field has one; a text where the code table names none of six digits.
    pub fn division(&self, field: FieldId) -> Option<Division> {
        match self.slots[field.0] {
            Slot::Division(value) => Some(value),
            _ => None,
        }
    }

    /// The kind of payment a field says, whose closed list is that of [`PaymentKind::ALL`].
    pub fn payment_kind(&self, field: FieldId) -> Option<PaymentKind> {
        match self.slots[field.0] {
            Slot::Code(index) => PaymentKind::ALL.get(usize::from(index)).copied(),
            _ => None,
        }
    }

    /// The word of a closed code.
    pub fn code(&self, field: FieldId) -> Option<&'static str> {
        match (self.slots[field.0], self.spec.fields[field.0].holds) {
            (Slot::Code(index), FieldType::Code(words)) => words.get(usize::from(index)).copied(),
            _ => None,
        }
    }

    pub fn flag(&self, field: FieldId) -> Option<bool> {
        match self.slots[field.0] {
            Slot::Flag(value) => Some(value),
            _ => None,
        }
    }
}
