//! Texts from outside without the persons in them: numbers of certificates, phones and cards, and names.
//!
//! Whatever a partner, a sender or an operator wrote and the gateway keeps, logs or shows passes here. It is a net
//! under rules that keep persons out in the first place, not a licence to show more: a bare name beside nothing
//! that gives it away is not recognised. Numbers of packets, employers and lines, amounts, days and codes stay readable.

mod names; // after labels, and beside masked numbers
mod numbers; // certificates, phones, cards
mod words; // labels, keys, surnames

use std::borrow::Cow;

pub use names::is_name;
pub use numbers::is_certain;

/// What was found where; the word is what is shown in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: usize,
    to: usize,
    word: &'static str,
}

/// The text with every number and name of a person replaced by a word in brackets; the same text when there is none.
pub fn text(text: &str) -> Cow<'_, str> {
    if !text
        .bytes()
        .any(|byte| byte.is_ascii_digit() || byte >= 0x80)
        && !names::has_key(text)
    {
        return text.into();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut spans = numbers::find(&chars);
    names::add(&chars, &mut spans);
    if spans.is_empty() {
        text.into()
    } else {
        rendered(&chars, spans).into()
    }
}

/// What stood in one field, without the persons in it: as [`text`], and a value that is nothing but a Chinese name is one.
pub fn content(value: &str) -> Cow<'_, str> {
    if names::is_name(value) {
        names::NAME.into()
    } else {
        text(value)
    }
}

/// A word that was mistyped where only `known` ones are right, such as the name of an element or a type: shown where it
/// is near one of them or has the form of a code, for whatever else it is may be about a person.
pub fn word<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = !crate::error::did_you_mean(
        &found.to_ascii_uppercase(),
        known
            .into_iter()
            .map(str::to_ascii_uppercase)
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str),
    )
    .is_empty();
    if (near || is_code(found)) && text(found) == found {
        found.to_owned()
    } else {
        format!("({} characters)", found.chars().count())
    }
}

/// The form of codes of messages and elements, such as `JFXX101`, or of words that wrap messages.
fn is_code(word: &str) -> bool {
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let digits = &word[letters..];
    let code = (1..=5).contains(&letters)
        && (1..=6).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    code || is_day_or_number(word) || words::WRAPPERS.contains(&word)
}

/// A number of at most six digits, or a day or month as people write them.
fn is_day_or_number(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let with = word
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'/' | b'.'));
    with && (1..=if digits == word.len() { 6 } else { 8 }).contains(&digits) && word.len() <= 10
}

fn rendered(chars: &[char], mut spans: Vec<Span>) -> String {
    spans.sort_by_key(|span| (span.from, std::cmp::Reverse(span.to)));
    let mut shown = String::new();
    let mut at = 0;
    for span in spans {
        if span.from >= at {
            shown.extend(&chars[at..span.from]);
            shown.push_str(span.word);
        }
        at = at.max(span.to);
    }
    shown.extend(&chars[at..]);
    shown
}

#[cfg(test)]
mod tests;
