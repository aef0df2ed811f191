//! Attributes of a tag (productions 10, 25, 40, 41): white space before each, a name once, a quoted value.

use super::is_space;
use super::names::{self, Attribute};
use super::reference::unescape;

/// The attributes of what follows a tag's name; ends with the first that is malformed.
pub(in crate::adapter) fn attributes(
    raw: &str,
) -> impl Iterator<Item = Result<Attribute<'_>, String>> {
    let mut rest = Some(raw);
    let mut names: Vec<&str> = Vec::new();
    std::iter::from_fn(move || {
        let text = rest.take()?;
        if text.trim_start_matches(is_space).is_empty() {
            return None;
        }
        Some(next(text).and_then(|(attribute, after)| {
            if names.contains(&attribute.name) {
                return Err("an attribute that occurs twice".to_string());
            }
            names.push(attribute.name);
            rest = Some(after);
            Ok(attribute)
        }))
    })
}

fn next(text: &str) -> Result<(Attribute<'_>, &str), String> {
    let begun = text.trim_start_matches(is_space);
    if begun.len() == text.len() {
        return Err("an attribute without white space before it".into());
    }
    let malformed = || "a malformed attribute; expected name=\"value\"".to_string();
    let (name, after) = begun.split_once('=').ok_or_else(malformed)?;
    let name = name.trim_end_matches(is_space);
    names::check(name).map_err(|wrong| format!("an attribute whose name {wrong}"))?;
    let after = after.trim_start_matches(is_space);
    let quote = after
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))
        .ok_or_else(malformed)?;
    let (value, after) = after[1..].split_once(quote).ok_or_else(malformed)?;
    if value.contains('<') {
        return Err("`<` in an attribute's value".into());
    }
    unescape(value)?;
    Ok((Attribute { name, value }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let found: Result<Vec<_>, _> = attributes(" a=\"1\"\tb = 'x\"&lt;'\n").collect();
        assert_eq!(
            found,
            Ok(vec![
                Attribute {
                    name: "a",
                    value: "1"
                },
                Attribute {
                    name: "b",
                    value: "x\"&lt;"
                }
            ])
        );
        assert_eq!(attributes("  \r\n").next(), None);
        for raw in [
            " a",
            " a=",
            " a=1",
            " a=\"1",
            " a=\"1'",
            " a=\"1\"b=\"2\"",
            " a=\"1\" a='1'",
            " =\"1\"",
            " 1=\"1\"",
            " a=\"<\"",
            " a=\"&x;\"",
            " a=\"&\"",
            "\u{c}a=\"1\"",
            " a=\"1\" /",
        ] {
            assert!(attributes(raw).any(|attribute| attribute.is_err()), "{raw}");
        }
    }
}
