//! Outbound documents: minijinja templates whose output cannot be broken by the values put in.
//!
//! The file name decides how every `{{ }}` is written. In `.json` it is a complete JSON value:
//! `"name": {{ x }}` gives a quoted string, so quotes around it are refused when the template is
//! loaded. In `.xml` it is text, escaped for content and attributes alike; characters XML 1.0
//! cannot carry become U+FFFD. Only the filters of [`filters`] and a few of minijinja's exist, an
//! undefined value is an error, and fuel bounds the work. What comes out is parsed again before
//! anybody may send it. Faults name template and line, never a value: minijinja's own texts can
//! hold values, so only its kind of error is shown.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value};

use crate::error::{Fault, Stage};

pub mod check; // templates before, documents after rendering
pub mod filters; // yuan, date, month, rate, code, ...
pub mod names; // filters, tests and variables there are

/// Instructions one document may take: some 20,000 records of thirty fields.
const FUEL: u64 = 5_000_000;

/// How a template writes its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Xml,
    /// A request path: every value is percent-encoded.
    Path,
}

impl Form {
    /// The form of a template of that name, by its ending.
    pub fn of(name: &str) -> Option<Form> {
        match name.rsplit_once('.') {
            Some((_, "json")) => Some(Form::Json),
            Some((_, "xml")) => Some(Form::Xml),
            Some((_, "path")) => Some(Form::Path),
            _ => None,
        }
    }
}

/// A problem in a template's source: line (1-based) where known, and a safe sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    pub line: Option<usize>,
    pub text: String,
}

/// The compiled templates of one adapter.
pub struct Templates {
    environment: Environment<'static>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.environment.templates().map(|(name, _)| name))
            .finish()
    }
}

impl Templates {
    /// No templates yet; `codes` holds the code tables `ours -> theirs` by name, for the filter `code`.
    pub fn new(codes: BTreeMap<String, BTreeMap<String, String>>) -> Templates {
        let mut environment = Environment::empty();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(write);
        filters::install(&mut environment, codes);
        Templates { environment }
    }

    /// Compiles a template under a name that ends in `.json`, `.xml` or `.path`.
    pub fn add(&mut self, name: &str, source: String) -> Result<(), TemplateProblem> {
        let Some(form) = Form::of(name) else {
            return Err(TemplateProblem { line: None, text: "the name of a template must end in .json or .xml, which decides how values are escaped".into() });
        };
        check::template(form, &source)?;
        self.environment
            .add_template_owned(name.to_owned(), source)
            .map_err(|error| TemplateProblem {
                line: error.line(),
                text: format!("not a template: {error}"),
            })
    }

    /// Names a template reads from its context, dotted (`delivery.id`); loop variables are left out.
    pub fn variables(&self, name: &str) -> HashSet<String> {
        self.environment
            .get_template(name)
            .map(|template| template.undeclared_variables(true))
            .unwrap_or_default()
    }

    /// Renders a template and proves the result well-formed.
    pub fn render(&self, name: &str, context: Value) -> Result<String, Fault> {
        let template = self
            .environment
            .get_template(name)
            .map_err(|_| fault(name, None, "is not loaded; name it in adapter.toml"))?;
        let text = template
            .render(context)
            .map_err(|error| fault(name, error.line(), &explain(&error, template.source())))?;
        match Form::of(name) {
            Some(Form::Json) => check::json(&text),
            Some(Form::Xml) => check::xml(&text),
            _ => check::path(&text),
        }
        .map_err(|problem| {
            fault(
                name,
                None,
                &format!("rendered to a document that is not well-formed: {problem}"),
            )
        })?;
        Ok(text)
    }
}

fn fault(name: &str, line: Option<usize>, text: &str) -> Fault {
    let place = line.map_or_else(String::new, |line| format!(", line {line}"));
    Fault::operator(Stage::Render, format!("template {name}{place}: {text}"))
}

/// A sentence about a rendering error that cannot hold a value: our own text, or only the kind.
fn explain(error: &minijinja::Error, template: &str) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(safe) = inner.downcast_ref::<filters::SafeText>() {
            return safe.to_string();
        }
        source = inner.source();
    }
    // The expression as it is written in the template: no value.
    let written = error
        .range()
        .and_then(|range| template.get(range))
        .filter(|written| !written.is_empty())
        .map(|written| format!("`{written}`"));
    match error.kind() {
        ErrorKind::UndefinedError => {
            let what = written.unwrap_or_else(|| "a value".into());
            format!(
                "{what} is undefined; check the name against what the message has, and test what may be missing with `is defined`"
            )
        }
        ErrorKind::OutOfFuel => {
            "took too many steps; lower records_max or simplify the template".into()
        }
        kind => format!(
            "{kind}; check {}",
            written.unwrap_or_else(|| "the expression on this line".into())
        ),
    }
}

/// Writes one value in the form of the template that holds it.
fn write(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    let written = match Form::of(state.name()) {
        Some(Form::Json) => json_text(value),
        Some(Form::Xml) => plain_text(value).map(|text| xml_escaped(&text)),
        _ => plain_text(value).and_then(|text| percent_encoded(&text)),
    };
    let text = written.map_err(filters::error)?;
    out.write_str(&text)
        .map_err(|_| minijinja::Error::from(ErrorKind::WriteFailure))
}

fn json_text(value: &Value) -> Result<String, &'static str> {
    if value.is_undefined() {
        return Err("a value is undefined");
    }
    if let Some(number) = value.downcast_object_ref::<filters::Number>() {
        return Ok(number.to_string());
    }
    whole_number(value)?;
    if let Some(text) = value.as_str() {
        return serde_json::to_string(text).map_err(|_| "a text cannot be written as JSON");
    }
    serde_json::to_string(value).map_err(
        |_| "a value cannot be written as JSON; expected text, number, boolean, list or map",
    )
}

/// Floating-point numbers are inexact, so they only come from arithmetic that should not be there.
fn whole_number(value: &Value) -> Result<(), &'static str> {
    if value.is_number() && !value.is_integer() {
        return Err(
            "a number with decimals; write money with `yuan_number` and rates with `rate_number` instead of dividing",
        );
    }
    Ok(())
}

fn plain_text(value: &Value) -> Result<String, &'static str> {
    use minijinja::value::ValueKind;
    if let Some(number) = value.downcast_object_ref::<filters::Number>() {
        return Ok(number.to_string());
    }
    whole_number(value)?;
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Number => Ok(value.to_string()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::None => Ok(String::new()),
        ValueKind::Undefined => Err("a value is undefined"),
        _ => Err("a list or map cannot be written here; loop over it"),
    }
}

/// Text for XML content and attributes; what XML 1.0 cannot carry becomes U+FFFD.
fn xml_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // As references they survive line-end and attribute-value normalisation.
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            legal if super::xml::is_character(legal) => escaped.push(legal),
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

/// Everything but RFC 3986 unreserved characters as `%XX` of its UTF-8 bytes. Segments that mean
/// something to whoever resolves the path are refused: encoded dots are resolved like plain ones.
fn percent_encoded(text: &str) -> Result<String, &'static str> {
    if matches!(text, "" | "." | "..") {
        return Err("an empty text or one of only dots cannot be part of a path");
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests;
