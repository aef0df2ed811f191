//! The XML declaration (productions 23 to 26, 32, 80).

use super::is_space;

/// The encoding of a declaration at the very beginning of a document; nothing where none, or a malformed one, stands.
pub(in crate::adapter) fn encoding(beginning: &[u8]) -> Option<&str> {
    let rest = beginning.strip_prefix(b"<?xml")?;
    let end = rest.windows(2).position(|two| two == b"?>")?;
    parse(std::str::from_utf8(&rest[..end]).ok()?).ok()?
}

/// The encoding that the inside of a declaration names; `inside` begins after `<?xml`.
pub(super) fn parse(inside: &str) -> Result<Option<&str>, &'static str> {
    let (version, rest) = named("version", inside)
        .ok_or("an XML declaration that does not begin with its version")?;
    let minor = version
        .strip_prefix("1.")
        .filter(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()));
    minor.ok_or("an XML declaration of another version; expected 1.0")?;
    let (encoding, rest) =
        named("encoding", rest).map_or((None, rest), |(encoding, rest)| (Some(encoding), rest));
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if encoding.is_some_and(|encoding| !is_name(encoding)) {
        return Err("an XML declaration whose encoding is no name of one");
    }
    let (standalone, rest) = named("standalone", rest)
        .map_or((None, rest), |(standalone, rest)| (Some(standalone), rest));
    if standalone.is_some_and(|standalone| !matches!(standalone, "yes" | "no")) {
        return Err("an XML declaration whose standalone is neither yes nor no");
    }
    let ended = rest.trim_start_matches(is_space).is_empty();
    if ended {
        Ok(encoding)
    } else {
        Err("a malformed XML declaration; expected version, encoding and standalone in this order")
    }
}

/// The quoted value of `name` at the beginning of `text`, behind white space, and what follows it.
fn named<'a>(name: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    let begun = text.trim_start_matches(is_space);
    let after = begun
        .strip_prefix(name)
        .filter(|_| begun.len() < text.len())?;
    let after = after
        .trim_start_matches(is_space)
        .strip_prefix('=')?
        .trim_start_matches(is_space);
    let quote = after
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))?;
    after[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_has_its_parts_in_order_and_quoted() {
        for (inside, found) in [
            (" version=\"1.0\"", None),
            (" version = '1.1' ", None),
            (
                "\n version='1.0' encoding=\"GBK\" standalone='yes'\n",
                Some("GBK"),
            ),
            (" version=\"1.0\" standalone=\"no\"", None),
        ] {
            assert_eq!(parse(inside), Ok(found), "{inside}");
        }
        for inside in [
            "",
            "version=\"1.0\"",
            " encoding=\"UTF-8\"",
            " encoding=\"UTF-8\" version=\"1.0\"",
            " version=\"2.0\"",
            " version=\"1.\"",
            " version=\"1.0\"encoding=\"UTF-8\"",
            " version=\"1.0\" encoding=\"8UTF\"",
            " version=\"1.0\" encoding=\"\"",
            " version=\"1.0\" encoding=\"UTF 8\"",
            " version=\"1.0\" encoding=UTF-8",
            " version=\"1.0'",
            " version=\"1.0\" standalone=\"YES\"",
            " version=\"1.0\" standalone=\"yes\" encoding=\"UTF-8\"",
            " version=\"1.0\" foo=\"bar\"",
            " version=\"1.0\" version=\"1.0\"",
            " version=\"1.0\"\u{85}",
        ] {
            assert!(parse(inside).is_err(), "{inside}");
        }
    }

    #[test]
    fn the_encoding_is_that_of_a_well_formed_declaration() {
        assert_eq!(
            encoding(b"<?xml version=\"1.0\" encoding='GBK'?><a/>"),
            Some("GBK")
        );
        assert_eq!(encoding(b"<?xml encoding='GBK'?><a/>"), None);
        assert_eq!(
            encoding(b" <?xml version=\"1.0\" encoding='GBK'?><a/>"),
            None
        );
    }
}
