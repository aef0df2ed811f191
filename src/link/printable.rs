//! Text from outside, made safe for a log line or a page: cut, and with escapes for what a reader
//! cannot see or a terminal would obey.

/// At most `chars_max` characters of a text, `…` where it was cut; control, format (bidirectional,
/// zero-width) and separator characters as `\u{…}`.
pub fn printable(text: &str, chars_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(chars_max));
    let mut left = chars_max;
    for c in text.chars() {
        let escaped = unseen(c).then(|| c.escape_unicode().to_string());
        let width = escaped.as_ref().map_or(1, String::len);
        if width > left {
            shown.push('…');
            break;
        }
        left -= width;
        match escaped {
            Some(escaped) => shown.push_str(&escaped),
            None => shown.push(c),
        }
    }
    shown
}

/// Control characters, and those of Unicode's categories Cf, Zl and Zp that change how others are shown.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_cannot_see_is_escaped() {
        assert_eq!(printable("CN=税务局\n2026 WARN", 99), "CN=税务局\\u{a}2026 WARN");
        assert_eq!(printable("a\u{202e}b\u{200b}c\u{1b}[31m", 99), "a\\u{202e}b\\u{200b}c\\u{1b}[31m");
    }

    #[test]
    fn a_long_text_is_cut_whatever_it_is_made_of() {
        assert_eq!(printable("abcdef", 4), "abcd…");
        assert_eq!(printable("abcd", 4), "abcd");
        assert!(printable(&"\u{202e}".repeat(60_000), 300).len() <= 303);
        assert!(printable(&"税".repeat(60_000), 300).chars().count() <= 301);
    }
}
