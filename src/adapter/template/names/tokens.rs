//! The tags of a template and the tokens in them, with their places.

/// `{{ ... }}`, or a statement `{% ... %}`.
#[derive(Debug)]
pub(super) struct TemplateTag<'s> {
    pub(super) statement: bool,
    pub(super) tokens: Vec<Token<'s>>,
}

#[derive(Debug)]
pub(super) struct Token<'s> {
    /// Byte offset in the template.
    pub(super) at: usize,
    pub(super) text: &'s str,
    /// A name or a word of the language; neither text in quotes nor a number nor a sign.
    pub(super) name: bool,
}

/// The tags in order; comments are left out.
pub(super) fn tags(source: &str) -> Vec<TemplateTag<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = source[at..].find('{').map(|brace| at + brace) {
        let (end, statement) = match source.as_bytes().get(begin + 1) {
            Some(b'{') => ("}}", Some(false)),
            Some(b'%') => ("%}", Some(true)),
            Some(b'#') => ("#}", None),
            _ => {
                at = begin + 1;
                continue;
            }
        };
        let inside = begin + 2;
        let length = if statement.is_some() {
            end_of(&source[inside..], end)
        } else {
            source[inside..].find(end)
        };
        // One that is not closed is the compiler's to report.
        let Some(length) = length else { break };
        if let Some(statement) = statement {
            found.push(TemplateTag {
                statement,
                tokens: tokens(source, inside, inside + length),
            });
        }
        at = inside + length + 2;
    }
    found
}

/// Where a tag ends; not within quotes.
fn end_of(text: &str, end: &str) -> Option<usize> {
    let mut quote: Option<char> = None;
    text.char_indices().find_map(|(at, character)| match quote {
        Some(open) => {
            quote = (character != open).then_some(open);
            None
        }
        None if matches!(character, '"' | '\'') => {
            quote = Some(character);
            None
        }
        None => text[at..].starts_with(end).then_some(at),
    })
}

fn tokens(source: &str, from: usize, to: usize) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = from;
    while at < to {
        let rest = &source[at..to];
        let first = rest.chars().next().expect("there is something left");
        let name = first.is_alphabetic() || first == '_';
        let length = match first {
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            _ if name => rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len()),
            '0'..='9' => rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        // Minus signs at the edges only trim blanks.
        let trims = first == '-' && (at == from || at + 1 == to);
        if !first.is_whitespace() && !trims {
            tokens.push(Token {
                at,
                text: &rest[..length],
                name,
            });
        }
        at += length;
    }
    tokens
}
