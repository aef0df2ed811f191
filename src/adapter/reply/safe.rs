//! Partner messages made fit for logs, pages and the database.
//!
//! A partner's error text may quote what we sent. It is cut short, freed of control characters, and
//! what looks like a resident id or a mobile number is masked; this is a net, not a licence to log more.

/// Characters of a partner's text that are kept.
const CHARS_MAX: usize = 200;

/// A partner's text as it may be shown.
pub fn shown(text: &str) -> String {
    let mut clean: String = String::new();
    for word in runs(text) {
        if is_resident_id(word) {
            clean.push_str(&format!("{}***********{}", &word[..3], &word[14..]));
        } else if is_mobile(word) {
            clean.push_str(&format!("{}********", &word[..3]));
        } else {
            clean.extend(word.chars().map(|character| if character.is_control() { ' ' } else { character }));
        }
    }
    if clean.chars().count() <= CHARS_MAX {
        return clean;
    }
    clean.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}

/// The text in runs that are wholly letters and digits of ASCII, or wholly not.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.is_ascii_alphanumeric();
        let end = rest.find(|c: char| c.is_ascii_alphanumeric() != first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

/// 17 digits and a digit or X with a birth date inside (GB 11643); a wrong check character is masked too.
fn is_resident_id(word: &str) -> bool {
    if word.len() != 18 || !word.as_bytes()[..17].iter().all(u8::is_ascii_digit) || !matches!(word.as_bytes()[17], b'0'..=b'9' | b'X' | b'x') {
        return false;
    }
    matches!(&word[6..8], "19" | "20") && ("01"..="12").contains(&&word[10..12]) && ("01"..="31").contains(&&word[12..14])
}

fn is_mobile(word: &str) -> bool {
    word.len() == 11 && word.bytes().all(|byte| byte.is_ascii_digit()) && word.starts_with('1') && !matches!(&word[1..2], "0" | "1" | "2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_mobile_numbers_are_masked() {
        assert_eq!(shown("人员11010519491231002X不存在, 13800138000"), "人员110***********002X不存在, 138********");
        assert_eq!(shown("batch 20211101000000000001 line 42"), "batch 20211101000000000001 line 42");
    }

    #[test]
    fn texts_are_cut_short_and_freed_of_control_characters() {
        assert_eq!(shown("a\r\nb\u{1b}[31m"), "a  b [31m");
        let long = shown(&"长".repeat(300));
        assert_eq!(long.chars().count(), CHARS_MAX);
        assert!(long.ends_with('…'));
    }
}
