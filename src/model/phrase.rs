//! Sentences in two languages: found by the English one, with what stands at its places.
//!
//! Only texts; which sentences there are is the table's of whoever says them.

/// An English pattern, in which `{}` stands for any text, and its Chinese sentence, in which `{0}` is the first of them.
pub type Phrase = (&'static str, &'static str);

/// The Chinese sentence of an English one that a table knows; more specific patterns come first in it.
pub fn chinese(table: &[Phrase], english: &str) -> Option<String> {
    table
        .iter()
        .find_map(|(pattern, sentence)| Some(fill(sentence, &found(pattern, english)?)))
}

/// The same, and what stands at the places is said in Chinese as well where the table knows it.
pub fn wholly_chinese(table: &[Phrase], english: &str) -> Option<String> {
    table.iter().find_map(|(pattern, sentence)| {
        let inner: Vec<String> = found(pattern, english)?
            .into_iter()
            .map(|word| {
                if word.len() < english.len() {
                    wholly_chinese(table, word)
                } else {
                    None
                }
                .unwrap_or_else(|| word.to_owned())
            })
            .collect();
        Some(fill(
            sentence,
            &inner.iter().map(String::as_str).collect::<Vec<_>>(),
        ))
    })
}

/// What stands at the places of a pattern; `None` when the text is not of it.
pub fn found<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let at = if last {
            rest.strip_suffix(part)?.len()
        } else {
            rest.find(part)?
        };
        found.push(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    rest.is_empty().then_some(found)
}

fn fill(sentence: &str, found: &[&str]) -> String {
    let mut text = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some(open) = rest.find('{') {
        let (before, place) = rest.split_at(open);
        let word = place
            .find('}')
            .and_then(|close| Some((close, found.get(place[1..close].parse::<usize>().ok()?)?)));
        text.push_str(before);
        let (said, past) = word.map_or((&place[..1], 1), |(close, word)| (*word, close + 1));
        text.push_str(said);
        rest = &place[past..];
    }
    text + rest
}

/// What is wrong with a table: a row that an earlier one hides, a place in the Chinese that the English lacks.
pub fn faults(table: &[Phrase]) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, (pattern, sentence)) in table.iter().enumerate() {
        let sample = pattern.replace("{}", "x");
        let first = table
            .iter()
            .position(|(other, _)| found(other, &sample).is_some());
        if let Some(first) = first.filter(|first| *first != at) {
            faults.push(format!(
                "`{pattern}` is taken by the earlier `{}`",
                table[first].0
            ));
        }
        let places = pattern.matches("{}").count();
        faults.extend(
            (places..10)
                .filter(|place| sentence.contains(&format!("{{{place}}}")))
                .map(|place| format!("`{sentence}` has {{{place}}}, `{pattern}` has not")),
        );
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Phrase] = &[
        ("{} is told of {}", "{1}告知{0}"),
        ("partner {}", "对接方{0}"),
        ("{} days", "{0}天"),
    ];

    #[test]
    fn what_stands_at_a_place_is_said_in_chinese_too_and_never_taken_for_a_place() {
        assert_eq!(
            wholly_chinese(TABLE, "partner a is told of 3 days").as_deref(),
            Some("3天告知对接方a")
        );
        assert_eq!(
            chinese(TABLE, "partner a is told of 3 days").as_deref(),
            Some("3 days告知partner a")
        );
        assert_eq!(
            wholly_chinese(TABLE, "{1} is told of {0}").as_deref(),
            Some("{0}告知{1}")
        );
        assert_eq!(wholly_chinese(TABLE, "said by nobody"), None);
    }

    #[test]
    fn a_hidden_row_and_a_place_too_many_are_found() {
        assert!(faults(TABLE).is_empty(), "{:?}", faults(TABLE));
        assert_eq!(
            faults(&[("a {}", "{0}"), ("a b", "x"), ("c", "{0}")]).len(),
            2
        );
    }
}
