//! A change as one puller sees it: id, version, kind of change, and the fields of its field set.
//!
//! Writes each value as it was stored, in an order of its own, so the same change always gives the
//! same bytes. Opens a personal part only for a puller that is given a private field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::areas::LEFT;
use crate::error::{Fault, Stage};
use crate::model::registry::{EntityKind, PRIVATE, REASON};
use crate::store::registry::RegistryChange;
use crate::store::sealed::{Keys, Label};

/// The fields a puller is given of a kind.
#[derive(Debug, Clone)]
pub struct FieldSet {
    plain: Vec<&'static str>,
    /// Without their `personal.`.
    private: Vec<&'static str>,
    status: bool,
    designated: bool,
    /// Whether a caregiver and the institution are both there.
    working: bool,
    /// Why an entry was deleted, in the source's own words.
    reason: bool,
}

type Raw<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl FieldSet {
    /// From the names of an entry; names no kind has are refused with the configuration.
    pub fn new(kind: EntityKind, names: &[String]) -> FieldSet {
        let named = |field: &&&'static str| names.iter().any(|name| name == *field);
        let fields: Vec<&'static str> = kind.fields().iter().filter(named).copied().collect();
        let private = fields
            .iter()
            .filter_map(|field| field.strip_prefix(PRIVATE))
            .collect();
        let made = ["status", "designated", "working", REASON];
        let plain = fields
            .iter()
            .filter(|field| !field.starts_with(PRIVATE) && !made.contains(field))
            .copied()
            .collect();
        let [status, designated, working, reason] = made.map(|field| fields.contains(&field));
        FieldSet {
            plain,
            private,
            status,
            designated,
            working,
            reason,
        }
    }

    /// Whether a field is among them; private ones with their `personal.`.
    pub fn has(&self, field: &str) -> bool {
        match (field, field.strip_prefix(PRIVATE)) {
            (_, Some(private)) => self.private.contains(&private),
            ("status", _) => self.status,
            ("designated", _) => self.designated,
            ("working", _) => self.working,
            (REASON, _) => self.reason,
            _ => self.plain.contains(&field),
        }
    }

    /// Appends the change as a JSON object.
    ///
    /// # Errors
    /// A personal part cannot be opened, or what is stored is not a record: for the operator.
    pub fn write(
        &self,
        change: &RegistryChange,
        keys: &Keys,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let mut object = Object::open(out);
        object.put("sequence", &change.sequence);
        object.put("kind", &change.kind);
        object.put("id", &change.entity_id);
        object.put("version", &change.version);
        object.put("change", change.change.word());
        object.put("changed_at", &change.changed_at);
        object.put("effective_on", &change.effective_on);
        // Free text of a person at the source; that an entry lies elsewhere now is ours to say.
        if let Some(reason) = change
            .reason
            .as_deref()
            .filter(|reason| self.reason || *reason == LEFT)
        {
            object.put("reason", reason);
        }
        if let Some(content) = &change.content {
            object.key("record");
            self.record(change, content, keys, object.out)?;
        }
        object.close();
        Ok(())
    }

    fn record(
        &self,
        change: &RegistryChange,
        content: &str,
        keys: &Keys,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let values: Raw<'_> =
            serde_json::from_str(content).map_err(|_| unreadable(change, "content"))?;
        let mut object = Object::open(out);
        object.pick(&self.plain, &values);
        if self.status {
            object.put("status", &change.status);
        }
        if self.designated {
            object.put("designated", &change.designated);
        }
        if self.working {
            object.put("working", &change.is_working());
        }
        if let (false, Some(opened)) = (self.private.is_empty(), open(change, keys)?) {
            let values: Raw<'_> =
                serde_json::from_slice(&opened).map_err(|_| unreadable(change, "personal part"))?;
            object.key("personal");
            let mut personal = Object::open(object.out);
            personal.pick(&self.private, &values);
            personal.close();
        }
        object.close();
        Ok(())
    }

    /// The same record as a value, for mapping it; `None` for a tombstone.
    ///
    /// # Errors
    /// As [`FieldSet::write`].
    pub fn given(&self, change: &RegistryChange, keys: &Keys) -> Result<Option<Value>, Fault> {
        let Some(content) = &change.content else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(content.len());
        self.record(change, content, keys, &mut out)?;
        serde_json::from_slice(&out)
            .map(Some)
            .map_err(|_| unreadable(change, "content"))
    }
}

fn open(change: &RegistryChange, keys: &Keys) -> Result<Option<Vec<u8>>, Fault> {
    let Some(sealed) = &change.sealed else {
        return Ok(None);
    };
    let label = Label {
        kind: change.kind.word(),
        id: &change.entity_id,
        version: change.version,
    };
    keys.open(label, sealed).map(Some)
}

fn unreadable(change: &RegistryChange, what: &str) -> Fault {
    let text = format!(
        "the stored {what} of {} {} version {} is not a record; have it sent again",
        change.kind, change.entity_id, change.version
    );
    Fault::operator(Stage::Store, text)
}

/// An object being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, first: true }
    }

    fn key(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn put(&mut self, name: &str, value: &(impl serde::Serialize + ?Sized)) {
        self.key(name);
        serde_json::to_writer(&mut *self.out, value)
            .expect("plain values can be written to memory");
    }

    fn pick(&mut self, names: &[&str], values: &Raw<'_>) {
        for name in names {
            if let Some(value) = values.get(*name) {
                self.key(name);
                self.out.extend_from_slice(value.get().as_bytes());
            }
        }
    }

    fn close(self) {
        self.out.push(b'}');
    }
}
