//! Partner messages made fit for logs, pages and the database.
//!
//! A partner's error text may quote what we sent. Persons in it are masked, what cannot be seen is escaped, and it is
//! cut short; this is a net, not a licence to log more.

use crate::model::mask;
use crate::model::printable::printable;

/// Characters of a partner's text that are kept.
const CHARS_MAX: usize = 200;
/// Characters that are looked at: more, so that no number is cut before it is masked.
const LOOKED_AT_MAX: usize = 4 * CHARS_MAX;

/// A partner's text as it may be shown.
pub fn shown(text: &str) -> String {
    let spaced: String = text
        .chars()
        .take(LOOKED_AT_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    printable(&mask::text(&spaced), CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_in_a_partner_s_text_are_masked() {
        assert_eq!(
            shown("人员11010519491231002X不存在, +86 138 0013 8000"),
            "人员[id]不存在, [phone]"
        );
        assert_eq!(
            shown("参保人张三(E12345678)已停保"),
            "参保人[name]([passport])已停保"
        );
        assert_eq!(
            shown("batch 20211101000000000001 line 42"),
            "batch 20211101000000000001 line 42"
        );
    }

    #[test]
    fn a_number_at_the_cut_is_masked_whole() {
        let text = format!("{}11010519491231002X", "长".repeat(CHARS_MAX - 8));
        assert!(!shown(&text).contains("110105"), "{}", shown(&text));
    }

    #[test]
    fn texts_are_cut_short_and_freed_of_what_cannot_be_seen() {
        assert_eq!(shown("a\r\nb\u{1b}[31m\u{202e}c"), "a  b [31m\\u{202e}c");
        let long = shown(&"长".repeat(300));
        assert_eq!(long.chars().count(), CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
