//! Attributes and references, strictly: nothing undeclared, nothing XML 1.0 forbids.

use quick_xml::events::BytesStart;

use super::super::tree::{Capture, PathTree};

/// Longest name or number between `&` and `;`.
const REFERENCE_BYTES_MAX: usize = 12;

/// Well-formed attributes: quoted, each once, without `<` and without undeclared entities.
pub(super) fn check_attributes(tag: &BytesStart<'_>) -> Result<(), String> {
    if tag.attributes_raw().is_empty() {
        return Ok(());
    }
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| {
            // Its own words quote what it found, which may be a value.
            "a malformed attribute: expected name=\"value\", each name once".to_string()
        })?;
        if attribute.value.contains('<') {
            return Err("`<` in an attribute's value".into());
        }
        unescape(&attribute.value)?;
    }
    Ok(())
}

pub(super) fn take_attributes(tree: &PathTree, node: u32, raw: &str, capture: &mut Capture) -> Result<(), String> {
    let wanted = tree.attributes(node);
    if wanted.is_empty() {
        return Ok(());
    }
    for attribute in quick_xml::events::attributes::Attributes::new(raw, 0).flatten() {
        if let Some((_, column)) = wanted.iter().find(|(name, _)| &**name == attribute.key.local_name().into_inner()) {
            let value = unescape(&attribute.value)?;
            capture.whole(*column, &value);
        }
    }
    Ok(())
}

/// Text of an attribute with its references resolved.
fn unescape(raw: &str) -> Result<String, String> {
    let mut rest = raw;
    let mut text = String::new();
    while let Some((before, reference)) = rest.split_once('&') {
        let (name, after) = reference.split_once(';').ok_or("a lone `&` in an attribute's value")?;
        text.push_str(before);
        text.push(resolve(name)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// One of the five predefined entities or a numeric reference to a character XML 1.0 allows.
pub(super) fn resolve(name: &str) -> Result<char, String> {
    if name.len() > REFERENCE_BYTES_MAX {
        return Err(format!("a reference longer than {REFERENCE_BYTES_MAX} bytes"));
    }
    let number = match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(hex), _) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
            (None, Some(decimal)) if decimal.bytes().all(|byte| byte.is_ascii_digit()) => decimal.parse().ok(),
            _ => return Err("an undeclared entity; only lt, gt, amp, quot, apos and numbers are taken".into()),
        },
    };
    number
        .and_then(char::from_u32)
        .filter(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
        .filter(|c| !matches!(c, '\u{FFFE}' | '\u{FFFF}'))
        .ok_or_else(|| "a reference to a character XML does not allow".to_string())
}
