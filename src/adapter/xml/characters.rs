//! Characters of a document (production 2, Char) and white space (production 3, S).

/// Whether XML 1.0 can carry a character.
pub(in crate::adapter) fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// White space: these four and no other.
pub(in crate::adapter) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Place and value of the first character of a text in UTF-8 that XML 1.0 cannot carry, if there is one.
pub(in crate::adapter) fn forbidden(text: &[u8]) -> Option<(usize, char)> {
    // Nearly every text has none, and this loop is the one that compiles to vectors.
    let suspicious =
        |byte: u8| (byte < 0x20 && byte != b'\n' && byte != b'\r' && byte != b'\t') || byte == 0xEF;
    let any = text.chunks(64).any(|chunk| {
        chunk
            .iter()
            .fold(false, |any, byte| any | suspicious(*byte))
    });
    let text = any.then(|| std::str::from_utf8(text).ok()).flatten()?;
    text.char_indices()
        .find(|(_, character)| !is_character(*character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_character_that_xml_cannot_carry_is_found_wherever_it_stands() {
        for text in [
            "",
            "a\t\r\n",
            "中，文ＡＢ",
            "\u{7f}\u{85}\u{a0}\u{feff}\u{fffd}\u{10ffff}",
        ] {
            assert_eq!(forbidden(text.as_bytes()), None, "{text:?}");
        }
        for found in [
            '\0', '\u{1}', '\u{8}', '\u{b}', '\u{c}', '\u{e}', '\u{1f}', '\u{fffe}', '\u{ffff}',
        ] {
            for before in ["", "中", &"a".repeat(63), &"，".repeat(100)] {
                assert_eq!(
                    forbidden(format!("{before}{found}\u{2}").as_bytes()),
                    Some((before.len(), found)),
                    "{found:?}"
                );
            }
        }
    }
}
