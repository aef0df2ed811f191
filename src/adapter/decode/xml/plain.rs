//! The common case, fast: `<name>value</name>` without attributes, references or nesting.
//!
//! Nearly every element of a packet is of this form. It is recognised in the decoded text itself,
//! three times as fast as by events; whatever is not exactly so is left to the tokenizer, which
//! must come to the same result for what is.

use super::super::NAME_BYTES_MAX;

/// One plain element.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain<'t> {
    pub(super) name: &'t str,
    pub(super) value: &'t str,
    /// Bytes it takes, with the white space before it.
    pub(super) length: usize,
}

/// The plain element at the beginning of `text`, if one stands there whole.
pub(super) fn plain(text: &[u8]) -> Option<Plain<'_>> {
    let blank = text
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))?;
    let tag = text[blank..].strip_prefix(b"<")?;
    let name_bytes = tag
        .iter()
        .take(NAME_BYTES_MAX + 1)
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    let (name, rest) = tag.split_at(name_bytes);
    if name.first().is_none_or(u8::is_ascii_digit) {
        return None;
    }
    let content = rest.strip_prefix(b">")?;
    let value_bytes = content
        .iter()
        .position(|byte| matches!(byte, b'<' | b'&' | b'>'))?; // `>` may end a `]]>`
    let (value, end) = content.split_at(value_bytes);
    let after = end
        .strip_prefix(b"</")?
        .strip_prefix(name)?
        .strip_prefix(b">")?;
    Some(Plain {
        name: std::str::from_utf8(name).ok()?,
        value: std::str::from_utf8(value).ok()?,
        length: text.len() - after.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_elements_without_anything_special_are_plain() {
        let found = plain(b" \r\n\t<AAE080>8340.00</AAE080><x/>").unwrap();
        assert_eq!(
            found,
            Plain {
                name: "AAE080",
                value: "8340.00",
                length: 28
            }
        );
        assert_eq!(plain("<名>1</名>".as_bytes()), None);
        assert_eq!(plain("<a>南宁</a>".as_bytes()).unwrap().value, "南宁");
        assert_eq!(plain(b"<a></a>").unwrap().value, "");
        for other in [
            "",
            " ",
            "<",
            "<a",
            "<a>",
            "<a>1",
            "<a>1<",
            "<a>1</",
            "<a>1</a",
            "x<a>1</a>",
            "<a b='1'>1</a>",
            "<a/>",
            "<1a>1</1a>",
            "<a>1&amp;</a>",
            "<a>1]]></a>",
            "<a>1<b/></a>",
            "<a>1</b>",
            "<a>1</ab>",
            "<a>1</a >",
            "<ab>1</a>",
            "<!--a-->",
            "<![CDATA[a]]>",
            "<?a?>",
            "</a>",
            "<n:a>1</n:a>",
            "<>1</>",
        ] {
            assert_eq!(plain(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_plain_name_has_at_most_128_bytes() {
        let named = |bytes: usize| format!("<{0}>1</{0}>", "x".repeat(bytes));
        assert!(plain(named(NAME_BYTES_MAX).as_bytes()).is_some());
        assert_eq!(plain(named(NAME_BYTES_MAX + 1).as_bytes()), None);
    }
}
