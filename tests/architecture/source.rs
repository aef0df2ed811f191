//! A Rust file with comments, strings and tests told apart from code. Not a parser: just enough.

/// One file.
pub struct Source {
    /// Path from the project's folder.
    pub name: String,
    pub text: String,
    /// The text with comments, string contents and test-only items blanked out; lines stay where they are.
    pub code: String,
    /// String literals outside comments and tests, with the line they begin on.
    pub strings: Vec<(usize, String)>,
    /// The whole file belongs to tests; see [`mark_tests`].
    pub is_test: bool,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Source {
        let (mut code, literals) = split(text);
        blank_tests(&mut code);
        let code = String::from_utf8(code).expect("only whole characters were blanked");
        // A literal's opening quote stays in the code unless a test was blanked there.
        let kept = literals
            .into_iter()
            .filter(|(at, _)| code.as_bytes()[*at] == b'"');
        let strings = kept
            .map(|(at, literal)| (line_of(text, at), literal))
            .collect();
        Source {
            name: name.to_string(),
            text: text.to_string(),
            code,
            strings,
            is_test: false,
        }
    }

    /// 1-based line of a byte offset.
    pub fn line(&self, at: usize) -> usize {
        line_of(&self.text, at)
    }
}

/// Marks the files of modules declared under `#[cfg(test)]`, and everything below them.
pub fn mark_tests(sources: &mut [Source]) {
    let mut stems: Vec<String> = Vec::new();
    for source in &*sources {
        let folder = source
            .name
            .trim_end_matches("/lib.rs")
            .trim_end_matches(".rs");
        for item in source.text.split("#[cfg(test)]").skip(1) {
            let item = item.trim_start().trim_start_matches("pub(crate) ");
            let declared = item
                .strip_prefix("mod ")
                .and_then(|rest| rest.split_once(';'))
                .map(|(name, _)| name);
            stems.extend(
                declared
                    .filter(|name| !name.contains(char::is_whitespace))
                    .map(|name| format!("{folder}/{name}")),
            );
        }
    }
    for source in sources {
        let path = source.name.trim_end_matches(".rs");
        source.is_test = stems.iter().any(|stem| {
            path == stem
                || path
                    .strip_prefix(stem.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        });
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// The text with comments and string contents blanked, and the literals by the offset of their quote.
fn split(text: &str) -> (Vec<u8>, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let (mut code, mut literals) = (bytes.to_vec(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (from, to) = if rest.starts_with(b"//") {
            (at, at + find(rest, b"\n").unwrap_or(rest.len()))
        } else if rest.starts_with(b"/*") {
            (at, at + find(rest, b"*/").map_or(rest.len(), |end| end + 2))
        } else if let Some(hashes) = raw_string(bytes, at) {
            let open = at + 1 + hashes;
            let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            let end = open + 1 + find(&bytes[open + 1..], &close).unwrap_or(bytes.len() - open - 1);
            literals.push((open, text[open + 1..end].to_string()));
            blank(&mut code, open + 1, end);
            at = (end + close.len()).min(bytes.len());
            continue;
        } else if rest[0] == b'"' {
            let end = at + 1 + end_of_string(&rest[1..]);
            literals.push((at, text[at + 1..end].to_string()));
            (at + 1, end)
        } else if let Some(length) = char_literal(&text[at..]) {
            (at + 1, at + length - 1)
        } else {
            at += 1;
            continue;
        };
        blank(&mut code, from, to);
        at = to + usize::from(bytes[at] == b'"' || bytes[at] == b'\'');
    }
    (code, literals)
}

/// The number of `#` when a raw string begins here.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = bytes[at] == b'r' && (at == 0 || !word(bytes[at - 1]) || bytes[at - 1] == b'b');
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    (begins && bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// Length up to the closing quote.
fn end_of_string(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at.min(rest.len())
}

/// Length of a character literal with its quotes; a lifetime is none.
fn char_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices();
    let (_, '\'') = chars.next()? else {
        return None;
    };
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars
        .next()
        .filter(|(_, c)| *c == '\'')
        .map(|(at, _)| at + 1)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn blank(code: &mut [u8], from: usize, to: usize) {
    for byte in &mut code[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// Blanks every item under `#[cfg(test)]`.
fn blank_tests(code: &mut [u8]) {
    const MARK: &[u8] = b"#[cfg(test)]";
    let mut at = 0;
    while let Some(found) = find(&code[at..], MARK) {
        let start = at + found;
        let body = code[start + MARK.len()..]
            .iter()
            .position(|byte| matches!(byte, b'{' | b';'))
            .map(|end| start + MARK.len() + end);
        let end = match body {
            Some(open) if code[open] == b'{' => closing(code, open),
            Some(end) => end + 1,
            None => code.len(),
        };
        blank(code, start, end);
        at = end;
    }
}

/// Just after the brace that closes the one at `open`.
fn closing(code: &[u8], open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in code.iter().enumerate().skip(open) {
        depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}
