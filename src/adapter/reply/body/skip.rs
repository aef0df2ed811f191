//! A JSON value without the items of one array in it: checked for form, never held.
//!
//! An answer with the results of thousands of people is judged by a handful of values beside them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::model::json::Strict;

/// The document with the array at the pointer `at` emptied; `None` when it is not well-formed JSON.
pub(super) fn value_beside(bytes: &[u8], at: &str) -> Option<Value> {
    let path: Vec<&str> = at.split('/').skip(1).collect();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Beside { path: &path }.deserialize(Strict(&mut json)).ok()?;
    json.end().ok()?;
    Some(value)
}

/// Follows the path; at its end the array is passed over.
struct Beside<'p> {
    path: &'p [&'p str],
}

impl<'de> DeserializeSeed<'de> for Beside<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Beside<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = match self.path.split_first() {
                Some((name, rest)) if *name == key => map.next_value_seed(Beside { path: rest })?,
                _ => map.next_value()?,
            };
            found.insert(key, value);
        }
        Ok(Value::Object(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        if self.path.is_empty() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        } else {
            while let Some(item) = seq.next_element()? {
                items.push(item);
            }
        }
        Ok(Value::Array(items))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
}
