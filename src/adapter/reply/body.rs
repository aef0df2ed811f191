//! Looking things up in the body of an answer, JSON or XML, by one kind of path.
//!
//! `/infcode` and `/output/state` work in both: in JSON as a pointer (RFC 6901), in XML as local
//! names from below the root element, first occurrence. An answer that is not wholly well-formed is
//! `Broken`: a truncated one may lack just the part that matters.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::adapter::template::check;
use crate::model::json;

mod skip; // a JSON value without one long array

/// What a partner's answers are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    Json,
    Xml,
}

impl BodyForm {
    pub fn word(self) -> &'static str {
        match self {
            BodyForm::Json => "JSON",
            BodyForm::Xml => "XML",
        }
    }
}

/// What stands in an answer where something to look into was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// Nothing is there: absent, null or an empty text.
    pub nothing: bool,
    /// What it is, without its content.
    pub words: String,
}

/// A body as far as it can be read.
pub enum AnswerBody {
    Empty,
    Broken,
    Json(Value),
    /// Path and text of every element.
    Xml(Vec<(String, String)>),
}

impl AnswerBody {
    pub fn parse(form: BodyForm, bytes: &[u8]) -> AnswerBody {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return AnswerBody::Empty;
        }
        match form {
            BodyForm::Json => {
                json::from_slice(without_mark(bytes)).map_or(AnswerBody::Broken, AnswerBody::Json)
            }
            // Pages that answer begin with empty lines, which the standard forbids before a declaration and nobody can misread.
            BodyForm::Xml => std::str::from_utf8(bytes.trim_ascii_start())
                .ok()
                .and_then(elements)
                .map_or(AnswerBody::Broken, AnswerBody::Xml),
        }
    }

    /// The same, but an array at `beside` is only checked for form and held as an empty one: it may
    /// be long, and whoever wants its items reads them by themselves.
    pub fn parse_beside(form: BodyForm, bytes: &[u8], beside: Option<&str>) -> AnswerBody {
        match (form, beside) {
            (BodyForm::Json, Some(at)) if !bytes.iter().all(u8::is_ascii_whitespace) => {
                skip::value_beside(without_mark(bytes), at)
                    .map_or(AnswerBody::Broken, AnswerBody::Json)
            }
            _ => AnswerBody::parse(form, bytes),
        }
    }

    /// Whether there is content that could be read.
    pub fn is_read(&self) -> bool {
        matches!(self, AnswerBody::Json(_) | AnswerBody::Xml(_))
    }

    /// Whether something other than null is at that place.
    pub fn exists(&self, at: &str) -> bool {
        match self {
            AnswerBody::Json(value) => value.pointer(at).is_some_and(|found| !found.is_null()),
            AnswerBody::Xml(elements) => elements.iter().any(|(path, _)| path == at),
            AnswerBody::Empty | AnswerBody::Broken => false,
        }
    }

    /// What stands on the way to a place where an object was expected; `None` when nothing does.
    pub fn instead_of(&self, at: &str) -> Option<Instead> {
        let AnswerBody::Json(value) = self else {
            return None;
        };
        let (parent, found) = at
            .match_indices('/')
            .skip(1)
            .map(|(end, _)| &at[..end])
            .find_map(|parent| match value.pointer(parent) {
                Some(Value::Object(_) | Value::Array(_)) => None,
                other => Some((parent, other)),
            })?;
        let (nothing, words) = match found {
            None => (true, format!("there is no {parent}")),
            Some(Value::Null) => (true, format!("{parent} is null")),
            Some(Value::String(text)) if text.trim().is_empty() => {
                (true, format!("{parent} is an empty text"))
            }
            Some(Value::String(text))
                if serde_json::from_str(text)
                    .is_ok_and(|inner: Value| inner.is_object() || inner.is_array()) =>
            {
                (
                    false,
                    format!("{parent} is a text that holds JSON, not JSON itself"),
                )
            }
            Some(Value::String(text)) => (
                false,
                format!(
                    "{parent} is a text of {} characters that is no JSON, perhaps encrypted",
                    text.chars().count()
                ),
            ),
            Some(_) => (false, format!("{parent} is a single value")),
        };
        Some(Instead { nothing, words })
    }

    /// The items of the list at that place: of a JSON array, or the elements of that path.
    pub fn items(&self, at: &str) -> Vec<AnswerBody> {
        match self {
            AnswerBody::Json(value) => value
                .pointer(at)
                .and_then(Value::as_array)
                .map(|items| items.iter().cloned().map(AnswerBody::Json).collect())
                .unwrap_or_default(),
            AnswerBody::Xml(elements) => {
                let mut items: Vec<Vec<(String, String)>> = Vec::new();
                for (path, text) in elements {
                    if path == at {
                        items.push(Vec::new());
                    } else if let (Some(inner), Some(item)) = (
                        path.strip_prefix(at).filter(|inner| inner.starts_with('/')),
                        items.last_mut(),
                    ) {
                        item.push((inner.to_owned(), text.clone()));
                    }
                }
                items.into_iter().map(AnswerBody::Xml).collect()
            }
            AnswerBody::Empty | AnswerBody::Broken => Vec::new(),
        }
    }

    /// The text, number or boolean at that place, as text: partners write the same code as 0 and "0".
    pub fn text(&self, at: &str) -> Option<String> {
        match self {
            AnswerBody::Json(value) => match value.pointer(at)? {
                Value::String(text) => Some(text.clone()),
                found @ (Value::Number(_) | Value::Bool(_)) => Some(found.to_string()),
                _ => None,
            },
            AnswerBody::Xml(elements) => elements
                .iter()
                .find(|(path, _)| path == at)
                .map(|(_, text)| text.trim().to_owned()),
            AnswerBody::Empty | AnswerBody::Broken => None,
        }
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Every element below the root with its path and its own text, or `None` when not well-formed.
fn elements(document: &str) -> Option<Vec<(String, String)>> {
    check::xml(document).ok()?;
    let mut reader = Reader::from_str(document);
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                let path = child(&found, &open, tag.local_name().as_ref());
                found.push((path, String::new()));
                open.push(found.len() - 1);
            }
            Event::Empty(tag) => {
                let path = child(&found, &open, tag.local_name().as_ref());
                found.push((path, String::new()));
            }
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => append(&mut found, &open, &text),
            Event::CData(text) => append(&mut found, &open, &text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => append(&mut found, &open, character.encode_utf8(&mut [0; 4])),
                None => append(
                    &mut found,
                    &open,
                    quick_xml::escape::resolve_predefined_entity(&reference)?,
                ),
            },
            Event::Eof => return Some(found),
            _ => {}
        }
    }
}

/// The path of a new element; the root's own is empty.
fn child(found: &[(String, String)], open: &[usize], name: &str) -> String {
    open.last()
        .map_or_else(String::new, |parent| format!("{}/{name}", found[*parent].0))
}

fn append(found: &mut [(String, String)], open: &[usize], text: &str) {
    if let Some(at) = open.last() {
        found[*at].1.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_numbers_and_strings_are_the_same_text() {
        for document in [
            "{\"infcode\": 0}",
            "{\"infcode\": \"0\"}",
            "\u{feff}{\"infcode\":0}",
        ] {
            assert_eq!(
                AnswerBody::parse(BodyForm::Json, document.as_bytes())
                    .text("/infcode")
                    .as_deref(),
                Some("0"),
                "{document}"
            );
        }
        let body = AnswerBody::parse(BodyForm::Json, b"{\"a\": null, \"b\": [true]}");
        assert!(!body.exists("/a") && body.exists("/b"));
        assert_eq!(body.text("/b/0").as_deref(), Some("true"));
        assert_eq!(body.text("/b"), None);
    }

    #[test]
    fn xml_elements_are_found_by_local_names_below_the_root() {
        let document = "<?xml version=\"1.0\"?><s:Env xmlns:s=\"u\"><s:Body><code> 0 </code><code>1</code><text>a &amp; &#20013;<![CDATA[<b>]]></text><e/></s:Body></s:Env>";
        let body = AnswerBody::parse(BodyForm::Xml, document.as_bytes());
        assert_eq!(body.text("/Body/code").as_deref(), Some("0"));
        assert_eq!(body.text("/Body/text").as_deref(), Some("a & 中<b>"));
        assert!(body.exists("/Body/e") && !body.exists("/Body/f"));
    }

    #[test]
    fn items_of_a_list_are_looked_into_one_by_one() {
        let json = AnswerBody::parse(
            BodyForm::Json,
            b"{\"results\": [{\"id\": \"a\", \"code\": 0}, {\"id\": \"b\"}]}",
        );
        let xml =
            AnswerBody::parse(BodyForm::Xml, b"<R><Results><Item><id>a</id><code>0</code></Item><Other><id>x</id></Other><Item><id>b</id></Item></Results></R>");
        for (body, at) in [(json, "/results"), (xml, "/Results/Item")] {
            let items = body.items(at);
            assert_eq!(
                items
                    .iter()
                    .map(|item| item.text("/id").unwrap())
                    .collect::<Vec<_>>(),
                ["a", "b"]
            );
            assert_eq!(
                (items[0].text("/code").as_deref(), items[1].text("/code")),
                (Some("0"), None)
            );
            assert!(body.items("/none").is_empty());
        }
    }

    #[test]
    fn a_long_array_is_passed_over_and_everything_else_is_as_it_was() {
        let text =
            r#"{"infcode":0,"output":{"results":[{"a":1},{"a":2}],"state":"done"},"results":[1]}"#;
        let body =
            AnswerBody::parse_beside(BodyForm::Json, text.as_bytes(), Some("/output/results"));
        assert_eq!(
            (
                body.text("/infcode").as_deref(),
                body.text("/output/state").as_deref(),
                body.text("/results/0").as_deref()
            ),
            (Some("0"), Some("done"), Some("1"))
        );
        assert!(body.exists("/output/results") && !body.exists("/output/results/0"));
        let without = AnswerBody::parse_beside(
            BodyForm::Json,
            br#"{"output":{"results":null,"state":"queued"}}"#,
            Some("/output/results"),
        );
        assert!(!without.exists("/output/results") && without.exists("/output/state"));
        for broken in [
            &text[..text.len() - 1],
            &text.replace("\"a\":2", "\"a\":"),
            "garbage{{{",
            &format!("{text}x"),
            &text.replace("\"state\"", "\"results\""),
            &text.replace("{\"a\":2}", "{\"a\":2,\"a\":2}"),
        ] {
            assert!(
                matches!(
                    AnswerBody::parse_beside(
                        BodyForm::Json,
                        broken.as_bytes(),
                        Some("/output/results")
                    ),
                    AnswerBody::Broken
                ),
                "{broken}"
            );
        }
    }

    #[test]
    fn truncated_foreign_or_hostile_bodies_are_broken() {
        assert!(matches!(
            AnswerBody::parse(BodyForm::Json, b" \r\n"),
            AnswerBody::Empty
        ));
        for body in [
            &b"{\"infcode\": 0"[..],
            b"{\"infcode\": 0, \"infcode\": 1}",
            b"{\"output\": {\"a\": 1, \"a\": 2}}",
            b"<html>",
            b"{} x",
            b"\xff\xfe",
        ] {
            assert!(
                matches!(AnswerBody::parse(BodyForm::Json, body), AnswerBody::Broken),
                "{body:?}"
            );
        }
        for body in [
            &b"<a><b>"[..],
            b"{}",
            b"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            b"<a>\xff</a>",
            b"\xef\xbb\xbf<a/>",
            b"<a>]]></a>",
            b"<p:a/>",
            b"<a><1/></a>",
            b"<a b=\"1\"c=\"2\"/>",
        ] {
            assert!(
                matches!(AnswerBody::parse(BodyForm::Xml, body), AnswerBody::Broken),
                "{body:?}"
            );
        }
    }
}
