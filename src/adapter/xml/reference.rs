//! References (productions 66 to 68): the five predefined entities and numbers of characters.

use std::borrow::Cow;

use super::is_character;

/// Longest name or number between `&` and `;`.
const REFERENCE_BYTES_MAX: usize = 12;

/// A text with its references resolved.
pub(in crate::adapter) fn unescape(raw: &str) -> Result<Cow<'_, str>, String> {
    if !raw.contains('&') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut rest = raw;
    let mut text = String::new();
    while let Some((before, reference)) = rest.split_once('&') {
        let (name, after) = reference
            .split_once(';')
            .ok_or("a lone `&` in an attribute's value")?;
        text.push_str(before);
        text.push(resolve(name)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// One of the five predefined entities or a numeric reference to a character XML 1.0 allows.
pub(in crate::adapter) fn resolve(name: &str) -> Result<char, String> {
    if name.len() > REFERENCE_BYTES_MAX {
        return Err(format!(
            "a reference longer than {REFERENCE_BYTES_MAX} bytes"
        ));
    }
    let number = match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(hex), _) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u32::from_str_radix(hex, 16).ok()
            }
            (None, Some(decimal)) if decimal.bytes().all(|byte| byte.is_ascii_digit()) => {
                decimal.parse().ok()
            }
            _ => {
                return Err(
                    "an undeclared entity; only lt, gt, amp, quot, apos and numbers are taken"
                        .into(),
                );
            }
        },
    };
    number
        .and_then(char::from_u32)
        .filter(|character| is_character(*character))
        .ok_or_else(|| "a reference to a character XML does not allow".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_the_predefined_ones_and_characters_by_number() {
        assert_eq!(
            unescape("a&lt;&#65;&#x4e2d;&apos;b").as_deref(),
            Ok("a<A中'b")
        );
        for name in [
            "",
            "#",
            "#x",
            "#xG",
            "#X41",
            "#-5",
            "#+65",
            "# 65",
            "LT",
            "nbsp",
            "foo",
            "#0",
            "#1",
            "#xFFFE",
            "#xD800",
            "#x110000",
            "#xFFFFFFFFF",
            "#x0B",
        ] {
            assert!(resolve(name).is_err(), "{name}");
        }
    }
}
