//! Names (productions 4 and 5) and the prefixes they may have (Namespaces in XML, sections 3 to 6).

use super::reference::unescape;

/// Bound to `xml`, to nothing else, and to no other prefix.
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of `xmlns` itself, which nobody may bind.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// An attribute as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapter) struct Attribute<'a> {
    /// With its prefix.
    pub(in crate::adapter) name: &'a str,
    /// Between the quotes, with its references.
    pub(in crate::adapter) value: &'a str,
}

/// Whether a name may begin so (production 4, NameStartChar).
fn begins(character: char) -> bool {
    matches!(character,
        'A'..='Z' | 'a'..='z' | '_' | ':' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// Whether a name may go on so (production 4a, NameChar).
fn goes_on(character: char) -> bool {
    begins(character)
        || matches!(character, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// A name with at most one prefix (Namespaces, production 7, QName).
pub(super) fn check(name: &str) -> Result<(), &'static str> {
    let part = |part: &str| {
        part.starts_with(|first| begins(first) && first != ':')
            && part
                .chars()
                .all(|character| goes_on(character) && character != ':')
    };
    match name.split_once(':') {
        None if part(name) => Ok(()),
        None => Err("is no name of XML"),
        Some((prefix, local)) if part(prefix) && part(local) => Ok(()),
        Some(_) => Err("is no name with one prefix"),
    }
}

/// The prefixes that are bound where a document stands.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    bound: Vec<Binding>,
}

#[derive(Debug)]
struct Binding {
    depth: usize,
    prefix: String,
    namespace: String,
}

impl Scopes {
    /// Binds what an element at `depth` declares, then asks whether its prefixes are bound.
    pub(super) fn enter(
        &mut self,
        depth: usize,
        element: &str,
        attributes: &[Attribute<'_>],
    ) -> Result<(), String> {
        for attribute in attributes {
            let declares = match attribute.name.split_once(':') {
                None if attribute.name == "xmlns" => "",
                Some(("xmlns", prefix)) => prefix,
                _ => continue,
            };
            let namespace = unescape(attribute.value)?.replace(['\t', '\r', '\n'], " ");
            bindable(declares, &namespace)?;
            self.bound.push(Binding {
                depth,
                prefix: declares.to_string(),
                namespace,
            });
        }
        if let Some((prefix, _)) = element.split_once(':') {
            self.namespace(prefix)?;
        }
        let mut prefixed: Vec<(&str, &str)> = Vec::new();
        for (prefix, local) in attributes
            .iter()
            .filter_map(|attribute| attribute.name.split_once(':'))
            .filter(|(prefix, _)| *prefix != "xmlns")
        {
            let expanded = (self.namespace(prefix)?, local);
            if prefixed.contains(&expanded) {
                return Err("an attribute twice, by two prefixes of one namespace".into());
            }
            prefixed.push(expanded);
        }
        Ok(())
    }

    /// Forgets what the element at `depth` declared.
    pub(super) fn leave(&mut self, depth: usize) {
        while self
            .bound
            .last()
            .is_some_and(|binding| binding.depth >= depth)
        {
            self.bound.pop();
        }
    }

    fn namespace(&self, prefix: &str) -> Result<&str, String> {
        if prefix == "xml" {
            return Ok(XML);
        }
        let found = self
            .bound
            .iter()
            .rev()
            .find(|binding| binding.prefix == prefix);
        found
            .map(|binding| &*binding.namespace)
            .ok_or_else(|| "a prefix that no `xmlns:` declares".to_string())
    }
}

/// Whether a namespace may be bound to a prefix; to "" it is the default one.
fn bindable(prefix: &str, namespace: &str) -> Result<(), &'static str> {
    match (prefix, namespace) {
        ("xmlns", _) => Err("`xmlns:xmlns`, which nothing may declare"),
        ("xml", XML) => Ok(()),
        ("xml", _) => Err("`xmlns:xml` with another namespace than its own"),
        (_, XML | XMLNS) => Err("a namespace of XML itself under another prefix"),
        ("", _) => Ok(()),
        (_, "") => Err("a prefix bound to no namespace"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_standard() {
        for name in ["a", "_", "AAE080", "名称", "a-b.c·d1", "p:a", "\u{10000}"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "1a",
            "-a",
            ".a",
            "·a",
            "a,b",
            "a×",
            "a\u{3000}b",
            "a;",
            ":",
            ":a",
            "a:",
            "a:b:c",
            "a:1",
            "a/b",
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_prefix_is_bound_inside_the_element_that_declares_it_and_nowhere_else() {
        let declares = [Attribute {
            name: "xmlns:p",
            value: "urn:x",
        }];
        let mut scopes = Scopes::default();
        assert_eq!(scopes.enter(1, "p:a", &declares), Ok(()));
        assert_eq!(scopes.enter(2, "p:b", &[]), Ok(()));
        scopes.leave(2);
        scopes.leave(1);
        assert!(scopes.enter(1, "p:c", &[]).is_err());
    }
}
