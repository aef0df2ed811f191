//! A name in a certificate, with its kind: as partners.toml writes it, and as alternative names hold it.
//!
//! A DNS name and a URI never stand for each other, however they are spelled.

use serde::Deserialize;

/// A DNS name or URI somebody is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum San {
    /// In lower case: DNS names are compared without regard to it (RFC 4343).
    Dns(String),
    /// Exactly as it stands in the certificate.
    Uri(String),
}

impl San {
    /// Reads `DNS:tax.example` and `URI:urn:example:tax`, as openssl prints them; without such a beginning a text
    /// with a colon is a URI, one without is a DNS name.
    ///
    /// # Errors
    /// It can be neither; the text says what was expected.
    pub fn parse(text: &str) -> Result<San, String> {
        let (name, uri) = match (text.strip_prefix("DNS:"), text.strip_prefix("URI:")) {
            (Some(name), _) => (name, false),
            (_, Some(name)) => (name, true),
            _ => (text, text.contains(':')),
        };
        let sound = if uri { is_uri(name) } else { is_dns(name) };
        match (sound, uri) {
            (true, true) => Ok(San::Uri(name.to_owned())),
            (true, false) => Ok(San::Dns(name.to_ascii_lowercase())),
            (false, true) => Err(format!(
                "san is `{name}`, which is no URI; expected one with its scheme, such as URI:urn:example:tax"
            )),
            (false, false) => Err(format!(
                "san is `{name}`, which is no DNS name; expected letters, digits and hyphens between dots, such as DNS:tax.example"
            )),
        }
    }

    /// The name itself, without its kind.
    pub fn text(&self) -> &str {
        match self {
            San::Dns(name) | San::Uri(name) => name,
        }
    }
}

impl TryFrom<String> for San {
    type Error = String;

    fn try_from(text: String) -> Result<San, String> {
        San::parse(&text)
    }
}

/// With its kind, as openssl prints it.
impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            San::Dns(name) => write!(f, "DNS:{name}"),
            San::Uri(name) => write!(f, "URI:{name}"),
        }
    }
}

fn is_dns(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// A scheme, a colon and something after it, without spaces (RFC 3986 §3).
fn is_uri(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once(':') else {
        return false;
    };
    let begins = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    begins
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_kind_it_says_or_shows() {
        for (text, expected) in [
            ("Tax.Example", San::Dns("tax.example".into())),
            ("DNS:tax.example", San::Dns("tax.example".into())),
            ("urn:civil:A", San::Uri("urn:civil:A".into())),
            ("URI:urn:civil:A", San::Uri("urn:civil:A".into())),
        ] {
            assert_eq!(San::parse(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_an_example() {
        for (text, expected) in [
            ("DNS:urn:civil:a", "no DNS name"),
            ("*.example", "no DNS name"),
            ("", "no DNS name"),
            ("tax example", "no DNS name"),
            ("URI:tax.example", "no URI"),
            ("a b:c", "no URI"),
        ] {
            assert!(
                San::parse(text).is_err_and(|error| error.contains(expected)),
                "{text}"
            );
        }
    }
}
