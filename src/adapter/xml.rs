//! What XML 1.0 (fifth edition) and Namespaces in XML 1.0 (third edition) call well-formed, beyond what the tokenizer
//! checks by itself: characters, names, attributes, declarations, references, prefixes.
//!
//! One place for packets, partners' answers and rendered documents. Sentences name what is wrong, never what was found:
//! it may be a value. `tests/adapters/xml.rs` has a sample of each rule, judged by two parsers that are not ours.

use quick_xml::events::BytesStart;

mod attributes;
mod characters;
mod declaration;
mod names;
mod reference;

pub(super) use attributes::attributes;
pub(super) use characters::{forbidden, is_character, is_space};
pub(super) use declaration::encoding;
pub(super) use reference::{resolve, unescape};

use names::Scopes;

/// The checks of one document, element by element.
#[derive(Debug, Default)]
pub(super) struct WellFormed {
    scopes: Scopes,
    depth: usize,
}

impl WellFormed {
    /// A start tag or an empty element's tag; each is to be closed with [`WellFormed::close`].
    pub(super) fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        self.depth += 1;
        let name = tag.name().into_inner();
        names::check(name).map_err(|wrong| format!("a tag whose name {wrong}"))?;
        let raw = tag.attributes_raw();
        if raw.is_empty() && !name.contains(':') {
            return Ok(());
        }
        let attributes = attributes(raw).collect::<Result<Vec<_>, _>>()?;
        self.scopes.enter(self.depth, name, &attributes)
    }

    /// The end of the element opened last that is not closed yet.
    pub(super) fn close(&mut self) {
        self.scopes.leave(self.depth);
        self.depth = self.depth.saturating_sub(1);
    }
}

/// Text between tags and references (production 14, CharData).
pub(super) fn character_data(text: &str) -> Result<(), &'static str> {
    if text.contains("]]>") {
        Err("`]]>` in a text; write `]]&gt;`")
    } else {
        Ok(())
    }
}

/// The inside of `<?xml … ?>`, from the white space after `xml` on (production 23, XMLDecl).
pub(super) fn declared(inside: &str) -> Result<(), &'static str> {
    declaration::parse(inside).map(|_| ())
}
