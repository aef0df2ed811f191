//! What public types are called: each name once in the crate, and each says what the thing is.

use std::collections::BTreeMap;

use super::source::Source;

const KEYWORDS: [&str; 5] = ["struct", "enum", "trait", "union", "type"];
/// Participles that do not end in `ed`, pronouns and their like: a reader would have to know the module.
const SAY_NOTHING: [&str; 24] = [
    "Told", "Met", "Odd", "Taken", "Held", "Written", "Seen", "Shown", "Found", "Paid", "Known",
    "Heard", "Sent", "Left", "Given", "Made", "Said", "Kept", "Read", "Lent", "What", "Which",
    "Why", "Whose",
];

/// Names of public types with where they are defined.
fn definitions(source: &Source) -> impl Iterator<Item = (String, usize)> + '_ {
    source.code.lines().zip(1..).filter_map(|(line, at)| {
        let rest = line.trim_start().strip_prefix("pub")?;
        let rest = match rest.strip_prefix('(') {
            Some(scope) => scope.split_once(')')?.1,
            None => rest,
        };
        let (keyword, rest) = rest.trim_start().split_once(' ')?;
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
        KEYWORDS.contains(&keyword).then_some((name, at))
    })
}

fn says_nothing(name: &str) -> bool {
    let one_word = name.chars().skip(1).all(|c| c.is_ascii_lowercase());
    one_word && (SAY_NOTHING.contains(&name) || (name.ends_with("ed") && name.len() > 4))
}

/// Names that are another type's too, and those that say nothing without their module.
pub fn names(sources: &[Source]) -> Vec<String> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    let mut findings = Vec::new();
    for source in sources {
        for (name, at) in definitions(source) {
            let place = format!("{}:{at}", source.name);
            if says_nothing(&name) {
                findings.push(format!(
                    "{place}: `{name}` does not say what it is; call it by a noun, such as `{name}Line`"
                ));
            }
            if let Some(other) = first.insert(name.clone(), place.clone()) {
                findings.push(format!(
                    "{place}: `{name}` is defined at {other} as well; say in one of the names what it is of"
                ));
            }
        }
    }
    findings
}
