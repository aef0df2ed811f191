//! JSON as it is taken from others: no key twice in an object, and an object where an object is meant.
//!
//! RFC 8259 leaves open which of two equal keys counts, and serde reads an array for a structure, field by field. Both
//! can mean two things, so neither is read (I-JSON, RFC 7493, 2.3).

use std::collections::HashSet;
use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

/// How an error begins that is about a key that occurs twice; the key itself may be a value.
pub const DUPLICATE: &str = "duplicate key in an object";

/// Reads one value, to its end.
///
/// # Errors
/// Not JSON, not of that shape, or one of the two of this module; serde's own words may repeat what was found.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut json))?;
    json.end()?;
    Ok(value)
}

/// The same of a text.
///
/// # Errors
/// As [`from_slice`].
pub fn from_str<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    from_slice(text.as_bytes())
}

/// A deserializer, visitor, access or seed that reads strictly whatever lies inside it.
pub struct Strict<T>(pub T);

/// A visitor, and whether it is one of a structure.
struct Watched<V> {
    visitor: V,
    structure: bool,
}

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*) $structure:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Watched { visitor, structure: $structure })
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    forward! {
        deserialize_any() false;
        deserialize_bool() false;
        deserialize_i8() false;
        deserialize_i16() false;
        deserialize_i32() false;
        deserialize_i64() false;
        deserialize_i128() false;
        deserialize_u8() false;
        deserialize_u16() false;
        deserialize_u32() false;
        deserialize_u64() false;
        deserialize_u128() false;
        deserialize_f32() false;
        deserialize_f64() false;
        deserialize_char() false;
        deserialize_str() false;
        deserialize_string() false;
        deserialize_bytes() false;
        deserialize_byte_buf() false;
        deserialize_option() false;
        deserialize_unit() false;
        deserialize_unit_struct(name: &'static str) false;
        deserialize_newtype_struct(name: &'static str) false;
        deserialize_seq() false;
        deserialize_tuple(length: usize) false;
        deserialize_tuple_struct(name: &'static str, length: usize) false;
        deserialize_map() true;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) true;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) false;
        deserialize_identifier() false;
    }

    /// Read all the same: what nobody asked for is no better for being twice.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Watched {
            visitor,
            structure: false,
        })
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident: $type:ty;)*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watched<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    visit! {
        visit_bool: bool;
        visit_i64: i64;
        visit_i128: i128;
        visit_u64: u64;
        visit_u128: u128;
        visit_f64: f64;
        visit_char: char;
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_string: String;
        visit_bytes: &[u8];
        visit_borrowed_bytes: &'de [u8];
        visit_byte_buf: Vec<u8>;
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Strict(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Strict(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        if self.structure {
            Err(A::Error::invalid_type(Unexpected::Seq, &"an object"))
        } else {
            self.visitor.visit_seq(Strict(seq))
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Keyed {
            map,
            keys: HashSet::new(),
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Strict(access))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<A> {
    type Error = A::Error;
    type Variant = Strict<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0
            .variant_seed(seed)
            .map(|(value, variant)| (value, Strict(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Strict(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(
            length,
            Watched {
                visitor,
                structure: false,
            },
        )
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(
            fields,
            Watched {
                visitor,
                structure: true,
            },
        )
    }
}

/// An object whose keys are remembered.
struct Keyed<A> {
    map: A,
    keys: HashSet<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Keyed<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(key) = self.map.next_key::<String>()? else {
            return Ok(None);
        };
        let again: StringDeserializer<A::Error> = key.clone().into_deserializer();
        if !self.keys.insert(key) {
            return Err(A::Error::custom(DUPLICATE));
        }
        seed.deserialize(again).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::IgnoredAny;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        name: String,
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        at: i64,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
        Held(Inner),
        Wide { at: i64 },
    }

    #[test]
    fn what_is_good_is_read_as_serde_reads_it() {
        for text in [
            r#"{"name":"a","inner":{"at":1},"list":[{"at":2},{"at":3}],"kind":"plain","more":{"x":[1.5,null,true]}}"#,
            r#"{"name":"\u4e2d","inner":null,"kind":{"held":{"at":4}}}"#,
            r#"{"name":"a","kind":{"wide":{"at":5}}}"#,
        ] {
            assert_eq!(
                from_str::<Outer>(text).expect("good"),
                serde_json::from_str::<Outer>(text).expect("good"),
                "{text}"
            );
            assert_eq!(
                from_str::<Value>(text).expect("good"),
                serde_json::from_str::<Value>(text).expect("good"),
                "{text}"
            );
            assert!(from_str::<IgnoredAny>(text).is_ok(), "{text}");
        }
        assert_eq!(
            from_str::<Value>("{\"a\":{\"x\":1},\"b\":{\"x\":1}}").expect("good"),
            json!({"a": {"x": 1}, "b": {"x": 1}})
        );
    }

    #[test]
    fn a_key_twice_is_refused_wherever_it_stands() {
        for text in [
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a","more":1,"more":1}"#,
            r#"{"name":"a","n\u0061me":"b"}"#,
            r#"{"name":"a","inner":{"at":1,"at":2}}"#,
            r#"{"name":"a","list":[{"at":1},{"at":1,"at":2}]}"#,
            r#"{"name":"a","more":[{"x":{"y":1,"y":1}}]}"#,
            r#"{"name":"a","kind":{"wide":{"at":1,"at":1}}}"#,
        ] {
            assert!(from_str::<Outer>(text).is_err(), "{text}");
            assert!(from_str::<Value>(text).is_err(), "{text}");
            assert!(from_str::<IgnoredAny>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        for text in [
            r#"["a",null,[],null]"#,
            r#"{"name":"a","inner":[1]}"#,
            r#"{"name":"a","list":[[1]]}"#,
            r#"{"name":"a","kind":{"held":[1]}}"#,
            r#"{"name":"a","kind":{"wide":[1]}}"#,
        ] {
            assert!(
                serde_json::from_str::<Outer>(text).is_ok(),
                "serde itself reads {text}"
            );
            assert!(from_str::<Outer>(text).is_err(), "{text}");
        }
        for text in ["{} x", "{\"a\":1,}", ""] {
            assert!(from_str::<Value>(text).is_err(), "{text}");
        }
    }
}
