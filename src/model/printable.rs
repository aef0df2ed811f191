//! Text from outside, made safe for a log line, a page or a terminal: cut, and with escapes for what a reader
//! cannot see or a terminal would obey. The one place that says which characters those are.

use std::borrow::Cow;

/// At most `chars_max` characters of a text, `…` where it was cut; control, format (bidirectional,
/// zero-width) and separator characters as `\u{…}`.
pub fn printable(text: &str, chars_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(chars_max));
    let mut left = chars_max;
    for c in text.chars() {
        let escaped = is_unseen(c).then(|| c.escape_unicode().to_string());
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

/// The whole text with those characters as `\u{…}`; the same text when there are none.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unseen) {
        printable(text, usize::MAX).into()
    } else {
        text.into()
    }
}

/// Several lines, or a table: the same, but ends of lines stay, and so do the sequences of colours that begin with ESC `[`.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    let mut chars = text
        .char_indices()
        .filter(|(_, c)| is_unseen(*c) && !matches!(c, '\n'));
    if chars.all(|(at, c)| c == '\u{1b}' && is_colour(&text[at..])) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if !is_unseen(c) || c == '\n' || c == '\u{1b}' && is_colour(&text[at..]) {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown.into()
}

/// ESC `[`, numbers, `m`: a colour, which hides and moves nothing.
fn is_colour(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("\u{1b}[") else {
        return false;
    };
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
        .starts_with('m')
}

/// Control characters, and those of Unicode's categories Cf, Zl and Zp that change how others are shown.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_cannot_see_is_escaped() {
        assert_eq!(
            printable("CN=税务局\n2026 WARN", 99),
            "CN=税务局\\u{a}2026 WARN"
        );
        assert_eq!(
            printable("a\u{202e}b\u{200b}c\u{1b}[31m", 99),
            "a\\u{202e}b\\u{200b}c\\u{1b}[31m"
        );
        assert_eq!(escaped("a\u{2066}b"), "a\\u{2066}b");
        assert!(matches!(escaped("税 b"), Cow::Borrowed("税 b")));
    }

    #[test]
    fn lines_keep_their_ends_and_colours_and_nothing_else_that_is_unseen() {
        assert_eq!(
            escaped_lines("a\n\u{1b}[1;31mb\u{1b}[0m\n"),
            "a\n\u{1b}[1;31mb\u{1b}[0m\n"
        );
        assert_eq!(
            escaped_lines("a\u{200b}\n\u{1b}[2Jb\u{1b}[0m\r"),
            "a\\u{200b}\n\\u{1b}[2Jb\u{1b}[0m\\u{d}"
        );
    }

    #[test]
    fn a_long_text_is_cut_whatever_it_is_made_of() {
        assert_eq!(printable("abcdef", 4), "abcd…");
        assert_eq!(printable("abcd", 4), "abcd");
        assert!(printable(&"\u{202e}".repeat(60_000), 300).len() <= 303);
        assert!(printable(&"税".repeat(60_000), 300).chars().count() <= 301);
    }
}
