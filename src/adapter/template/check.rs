//! Checks of templates before they are compiled and of documents after they are rendered.
//!
//! Messages name positions and what is wrong, never content.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::{Form, TemplateProblem};
use crate::adapter::xml::{self, WellFormed};
use crate::model::json;

/// Elements a rendered document may be nested.
const DEPTH_MAX: usize = 64;

/// Refuses a template in which a value could change the structure of the document.
pub fn template(form: Form, source: &str) -> Result<(), TemplateProblem> {
    match form {
        Form::Json => quoted_output(source),
        Form::Xml => ["<!DOCTYPE", "<!ENTITY", "<![CDATA[", "<!--"]
            .into_iter()
            .try_for_each(|mark| match source.find(mark) {
                Some(at) => Err(TemplateProblem {
                    line: Some(line_of(source, at)),
                    text: format!(
                        "`{mark}` is not allowed in a template; write comments as {{# #}}"
                    ),
                }),
                None => Ok(()),
            }),
        Form::Path => Ok(()),
    }
}

/// Finds a `{{` or `{%` inside a quoted JSON string: the value brings its own quotes.
fn quoted_output(source: &str) -> Result<(), TemplateProblem> {
    let bytes = source.as_bytes();
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        let two = &bytes[at..bytes.len().min(at + 2)];
        let tag_end = match two {
            b"{{" => Some("}}"),
            b"{%" => Some("%}"),
            b"{#" => Some("#}"),
            _ => None,
        };
        if let Some(end) = tag_end {
            if in_string {
                let text = "a tag stands inside a quoted string; write `\"name\": {{ value }}` without quotes: a value brings its own, join text with `~`";
                return Err(TemplateProblem {
                    line: Some(line_of(source, at)),
                    text: text.into(),
                });
            }
            // An unclosed tag is reported by the compiler of the template.
            at = source[at + 2..]
                .find(end)
                .map_or(bytes.len(), |found| at + 2 + found + 2);
            continue;
        }
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn line_of(source: &str, at: usize) -> usize {
    source[..at].matches('\n').count() + 1
}

/// One JSON value.
pub fn json(text: &str) -> Result<(), String> {
    match json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "JSON, line {} column {} of the rendered document",
            error.line(),
            error.column()
        )),
    }
}

/// One XML 1.0 element with balanced tags, no DTD, no references but characters and the predefined five.
pub fn xml(text: &str) -> Result<(), String> {
    if let Some((at, found)) = xml::forbidden(text.as_bytes()) {
        return Err(format!(
            "XML, byte {at} of the rendered document: a character XML 1.0 cannot carry, U+{:04X}",
            u32::from(found)
        ));
    }
    // The tokenizer passes over it, and whoever calls has taken off the one a document may begin with.
    if text.starts_with('\u{feff}') {
        return Err("XML: a byte order mark where the document begins".into());
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let (mut depth, mut roots, mut well_formed) = (0_usize, 0_usize, WellFormed::default());
    loop {
        let offset = reader.buffer_position();
        let problem = |what: &str| format!("XML, byte {offset} of the rendered document: {what}");
        let event = reader
            .read_event()
            .map_err(|_| problem("broken markup or unbalanced tags"))?;
        match &event {
            Event::Start(tag) => {
                well_formed.open(tag).map_err(|wrong| problem(&wrong))?;
                roots += usize::from(depth == 0);
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(problem("nested too deeply"));
                }
            }
            Event::Empty(tag) => {
                well_formed.open(tag).map_err(|wrong| problem(&wrong))?;
                well_formed.close();
                roots += usize::from(depth == 0);
            }
            Event::End(_) => {
                well_formed.close();
                depth = depth.saturating_sub(1);
            }
            Event::Text(content) if depth == 0 && !content.chars().all(xml::is_space) => {
                return Err(problem("text outside the root element"));
            }
            Event::Text(content) => xml::character_data(content).map_err(&problem)?,
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                return Err(problem("text outside the root element"));
            }
            Event::GeneralRef(reference) => {
                xml::resolve(reference).map_err(|wrong| problem(&wrong))?;
            }
            Event::Decl(_) if offset > 0 => {
                return Err(problem("an XML declaration that is not at the beginning"));
            }
            Event::Decl(declaration) => {
                xml::declared(declaration.strip_prefix("xml").unwrap_or_default())
                    .map_err(&problem)?
            }
            Event::PI(_) => return Err(problem("a processing instruction")),
            Event::DocType(_) => return Err(problem("a document type definition")),
            Event::Eof => break,
            Event::CData(_) | Event::Comment(_) => {}
        }
    }
    match (depth, roots) {
        (0, 1) => Ok(()),
        (0, _) => Err(format!("XML: {roots} root elements; expected one")),
        _ => Err("XML: an element is not closed".into()),
    }
}

/// A path and query of visible ASCII characters that starts with one `/`; without `.` and `..` as segments, also escaped,
/// which whoever sends or reads it takes for another path (RFC 3986, 5.2.4; the URL standard).
pub fn path(text: &str) -> Result<(), String> {
    let visible = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\'));
    let segments = text.split('?').next().unwrap_or_default().split('/');
    let dots = |segment: &str| {
        matches!(
            segment.replace("%2e", ".").replace("%2E", ".").as_str(),
            "." | ".."
        )
    };
    if segments.into_iter().any(dots) {
        return Err("path; a segment is `.` or `..`, which would be another path".into());
    }
    if text.starts_with('/') && !text.starts_with("//") && visible {
        Ok(())
    } else {
        Err(
            "path; expected one leading `/` and only visible ASCII characters without # \" < > \\"
                .into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_inside_json_quotes_is_refused_with_its_line() {
        let problem = template(Form::Json, "{\n \"a\": \"x{{ a }}\"}").unwrap_err();
        assert_eq!(problem.line, Some(2));
        assert!(template(Form::Json, "{\"a\": \"{% if x %}\"}").is_err());
        assert_eq!(
            template(
                Form::Json,
                "{\"a\\\"b\": {{ a ~ \"}\" }}, {# \" #} \"c\": 1}"
            ),
            Ok(())
        );
    }

    #[test]
    fn markup_that_hides_values_is_refused_in_xml_templates() {
        for source in [
            "<a><![CDATA[{{ x }}]]></a>",
            "<!-- {{ x }} --><a/>",
            "<!DOCTYPE a><a/>",
        ] {
            assert!(template(Form::Xml, source).is_err(), "{source}");
        }
    }

    #[test]
    fn only_well_formed_xml_without_dtd_passes() {
        for text in [
            "<a/>",
            "<?xml version=\"1.0\"?>\n<a b=\"&lt;&#10;\">x&amp;&#x4e2d;<c/></a>\n",
        ] {
            assert_eq!(xml(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a>&nbsp;</a>",
            "<a>&#0;</a>",
            "<!DOCTYPE a><a/>",
            "<a b=1/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a>\u{1}</a>",
            "<a b=\"&x;\"/>",
        ] {
            assert!(xml(text).is_err(), "{text}");
        }
        assert!(
            xml(&("<a>".repeat(65) + &"</a>".repeat(65)))
                .unwrap_err()
                .contains("too deeply")
        );
    }

    #[test]
    fn only_clean_json_and_paths_pass() {
        assert_eq!(json(" {\"a\": [1, 2.50]}\n"), Ok(()));
        for text in [
            "",
            "{",
            "{\"a\": 1,}",
            "{} {}",
            "{\"a\": NaN}",
            "{\"a\": 1, \"a\": 1}",
        ] {
            assert!(json(text).is_err(), "{text}");
        }
        for text in ["/a/b?c=%20d", "/a/...", "/a?b=/../c"] {
            assert_eq!(path(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "a",
            "//host/x",
            "/a b",
            "/é",
            "/a\r\nx",
            "/a#b",
            "/a/..",
            "/a/../b",
            "/./a",
            "/a/%2e%2E/b",
            "/a/.?b",
        ] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
