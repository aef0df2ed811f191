//! Names of persons in a text: behind labels and keys, and beside numbers that were masked.

use super::Span;
use super::words::{
    LONG_SURNAMES, NAME_KEYS, NAME_LABELS, NO_BEGINNING, NO_ENDING, NO_NAMES, NOT_OF_NAMES,
    NUMBER_KEYS, NUMBER_LABELS, PERHAPS_NAME_KEYS, PINYIN_SURNAMES, SURNAMES, starts_with,
};

/// What stands in the place of a name.
pub(super) const NAME: &str = "[name]";
/// What stands in the place of a number behind a key.
const NUMBER: &str = "[number]";
/// Characters of a name in Chinese at most, such as those from Xinjiang, with dots between their parts.
const CHARS_MAX: usize = 24;
/// Punctuation between a name and the number beside it at most.
const BESIDE_MAX: usize = 3;

/// Adds the names to the numbers found before.
pub(super) fn add(chars: &[char], spans: &mut Vec<Span>) {
    let numbers = spans.clone();
    // Labels are Chinese, and most lines of the log are not.
    for at in (0..chars.len()).filter(|at| is_han(chars[*at])) {
        if let Some(label) = NAME_LABELS
            .iter()
            .find(|label| starts_with(&chars[at..], label))
        {
            spans.extend(after_label(chars, at + label.chars().count()));
        }
    }
    keys(chars, spans);
    for number in numbers {
        spans.extend(before(chars, number.from));
        spans.extend(after(chars, number.to));
    }
}

/// Whether a text without digits and Chinese may have something to mask.
pub(super) fn has_key(text: &str) -> bool {
    text.contains([':', '=', '>']) && {
        let lower = text.to_ascii_lowercase();
        NAME_KEYS
            .iter()
            .chain(PERHAPS_NAME_KEYS)
            .chain(NUMBER_KEYS)
            .any(|key| lower.contains(key))
    }
}

/// Whether a value is a name and nothing else: two to four Chinese characters that begin with a surname, or such a name in letters.
pub fn is_name(value: &str) -> bool {
    let chars: Vec<char> = value.trim().chars().collect();
    if chars.len() > 3
        && chars[0].is_alphabetic()
        && !is_han(chars[0])
        && latin(&chars, false) == Some(chars.len())
    {
        return true;
    }
    let long = LONG_SURNAMES
        .iter()
        .any(|surname| starts_with(&chars, surname));
    (2..=if long { 4 } else { 3 }).contains(&chars.len())
        && chars.iter().all(|c| is_han(*c))
        && surname(&chars).is_some()
        && !chars.last().is_some_and(|c| NO_ENDING.contains(*c))
}

pub(super) fn is_han(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2fa1f}')
}

/// Characters of the surname a text begins with.
fn surname(chars: &[char]) -> Option<usize> {
    if NO_NAMES.iter().any(|word| starts_with(chars, word)) {
        return None;
    }
    if LONG_SURNAMES
        .iter()
        .any(|surname| starts_with(chars, surname))
    {
        return Some(2);
    }
    SURNAMES.contains(*chars.first()?).then_some(1)
}

/// How long the name is that a text begins with: a surname and one or two characters that do not begin what follows.
fn name_length(chars: &[char]) -> Option<usize> {
    let surname = surname(chars)?;
    let given = chars[surname..]
        .iter()
        .take(2)
        .take_while(|c| is_han(**c) && !NOT_OF_NAMES.contains(**c))
        .count();
    (given > 0).then_some(surname + given)
}

/// The run of a name in Chinese: characters, and dots between its parts.
fn han_run(chars: &[char]) -> usize {
    let run = chars
        .iter()
        .take(CHARS_MAX)
        .take_while(|c| is_han(**c) || matches!(c, '·' | '•' | '．'))
        .count();
    chars[..run]
        .iter()
        .rposition(|c| is_han(*c))
        .map_or(0, |last| last + 1)
}

fn after_label(chars: &[char], from: usize) -> Option<Span> {
    let between = chars[from..]
        .iter()
        .take(6)
        .take_while(|c| is_separator(**c) || matches!(c, '是' | '为' | '叫'))
        .count();
    let from = from + between;
    let rest = &chars[from..];
    if chars[..from].last() == Some(&'[') && starts_with(rest, "name]") {
        return None;
    }
    let run = han_run(rest);
    let length = if between == 0 {
        name_length(rest).or_else(|| latin(rest, true))?
    } else if run == 0 {
        latin(rest, true)?
    } else if NO_BEGINNING.contains(rest[0]) || NO_NAMES.iter().any(|word| starts_with(rest, word))
    {
        return None;
    } else if run <= 4 || rest[..run].iter().any(|c| !is_han(*c)) {
        run
    } else {
        name_length(rest).unwrap_or(run.min(4))
    };
    Some(Span {
        from,
        to: from + length,
        word: NAME,
    })
}

fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | ':'
            | '：'
            | '='
            | '"'
            | '\''
            | '“'
            | '”'
            | '‘'
            | '「'
            | '『'
            | '【'
            | '['
            | '('
            | '（'
            | '<'
            | '>'
            | '《'
            | '\\'
            | '/'
            | ','
            | '，'
            | '、'
            | '-'
            | '|'
            | '\u{3000}'
    )
}

/// A name in letters: capitalised words, or such that begin with a surname in pinyin. `labelled` ones need not be known.
fn latin(chars: &[char], labelled: bool) -> Option<usize> {
    let mut words: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while words.len() < 3 {
        let length = chars[at..]
            .iter()
            .take_while(|c| c.is_alphabetic() && !is_han(**c) || **c == '\'')
            .count();
        if length == 0
            || words.is_empty() && length < 2
            || !words.is_empty()
                && !chars[at].is_uppercase()
                && !is_pinyin(&chars[words[0].0..words[0].1])
        {
            break;
        }
        words.push((at, at + length));
        at += length;
        if !matches!(chars.get(at), Some(' ' | '\u{a0}' | '-' | '.')) {
            break;
        }
        at += 1;
    }
    let (first, last) = (words.first()?, words.last()?);
    let capitalised = words.len() >= 2 && chars[first.0].is_uppercase();
    let known = words.len() >= 2 && is_pinyin(&chars[first.0..first.1]);
    (known || labelled && capitalised).then_some(last.1)
}

fn is_pinyin(word: &[char]) -> bool {
    let word: String = word.iter().collect::<String>().to_ascii_lowercase();
    PINYIN_SURNAMES.contains(&word.as_str())
}

/// A name right before a number: `张三(1101…`, `参保人员张三身份证号1101…`.
fn before(chars: &[char], number: usize) -> Option<Span> {
    let mut to = number;
    let mut steps = 0;
    loop {
        let head = &chars[..to];
        if let Some(label) = NUMBER_LABELS
            .iter()
            .chain(&["号码", "的", "证", "号"])
            .find(|label| ends_with(head, label))
        {
            to -= label.chars().count();
        } else if steps < BESIDE_MAX
            && head
                .last()
                .is_some_and(|c| is_separator(*c) || matches!(c, ';' | '；' | '.' | '+' | '_'))
        {
            (to, steps) = (to - 1, steps + 1);
        } else {
            break;
        }
    }
    let run = chars[..to]
        .iter()
        .rev()
        .take(CHARS_MAX)
        .take_while(|c| is_han(**c) || matches!(c, '·' | '•'))
        .count();
    let from = to - run;
    if chars[from..to].iter().any(|c| !is_han(*c)) {
        return Some(Span {
            from,
            to,
            word: NAME,
        });
    }
    if run == 0 {
        return latin_before(chars, to);
    }
    // The whole run, or the last characters of it that are a name.
    let lengths = [4, 3, 2].into_iter().filter(|length| *length <= run);
    let fits = |length: &usize| {
        let name = &chars[to - length..to];
        surname(name).is_some_and(|surname| (1..=2).contains(&(length - surname)))
            && !name
                .last()
                .is_some_and(|c| NO_ENDING.contains(*c) || NOT_OF_NAMES.contains(*c))
    };
    let length = lengths.clone().find(fits)?;
    Some(Span {
        from: to - length,
        to,
        word: NAME,
    })
}

fn ends_with(chars: &[char], word: &str) -> bool {
    let length = word.chars().count();
    chars.len() >= length && starts_with(&chars[chars.len() - length..], word)
}

/// `Zhang San E12345678`: two or three words before a number of which the first is a surname.
fn latin_before(chars: &[char], to: usize) -> Option<Span> {
    let run = chars[..to]
        .iter()
        .rev()
        .take(40)
        .take_while(|c| c.is_ascii_alphabetic() || matches!(c, ' ' | '-' | '\''))
        .count();
    let begins = |at: &usize| {
        at.checked_sub(1)
            .is_none_or(|before| !chars[before].is_ascii_alphabetic())
            && chars[*at].is_ascii_alphabetic()
    };
    let from = (to - run..to)
        .filter(begins)
        .find(|at| latin(&chars[*at..to], false).is_some())?;
    Some(Span {
        from,
        to,
        word: NAME,
    })
}

/// A name right after a number: `1101… 张三`.
fn after(chars: &[char], number: usize) -> Option<Span> {
    let between = chars[number..]
        .iter()
        .take(BESIDE_MAX)
        .take_while(|c| {
            is_separator(**c) || matches!(c, ')' | '）' | ']' | '】' | ';' | '；' | '_')
        })
        .count();
    let from = number + between;
    let rest = &chars[from..];
    let run = han_run(rest);
    let length = match run {
        0 => latin(rest, false)?,
        2..=4
            if surname(rest).is_some()
                && !rest[..run].iter().any(|c| NOT_OF_NAMES.contains(*c)) =>
        {
            run
        }
        _ => name_length(rest)?,
    };
    Some(Span {
        from,
        to: from + length,
        word: NAME,
    })
}

/// Values of keys and elements: `name=`, `"psn_name":`, `<XM>`.
fn keys(chars: &[char], spans: &mut Vec<Span>) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || is_han(c);
    let mut at = 0;
    while at < chars.len() {
        if !is_word(chars[at]) {
            at += 1;
            continue;
        }
        let to = chars[at..]
            .iter()
            .position(|c| !is_word(*c))
            .map_or(chars.len(), |length| at + length);
        // Looked for first: nearly every word is followed by another word, and is no key.
        let Some((from, end)) = value(chars, to) else {
            at = to;
            continue;
        };
        let key: String = chars[at..to]
            .iter()
            .collect::<String>()
            .to_ascii_lowercase()
            .replace('-', "_");
        let is = |keys: &[&str]| keys.contains(&key.as_str());
        if is(NAME_KEYS) || is(PERHAPS_NAME_KEYS) || is(NUMBER_KEYS) {
            let (value, number) = (&chars[from..end], is(NUMBER_KEYS));
            let shown = is_shown(value) || value.iter().all(|c| *c == '*');
            let short = number && value.iter().filter(|c| c.is_numeric()).count() < 4;
            let other = is(PERHAPS_NAME_KEYS) && !is_likely(value) || value == ['n', 'u', 'l', 'l'];
            if !(shown || short || other) {
                spans.push(Span {
                    from,
                    to: end,
                    word: if number { NUMBER } else { NAME },
                });
            }
        }
        at = to;
    }
}

/// Whether it is a word in brackets that stands for what was masked; a bracket may be left out as a separator.
fn is_shown(value: &[char]) -> bool {
    let word: String = value.iter().collect();
    ["name", "id", "phone", "passport", "card", "number"].contains(&word.trim_matches(['[', ']']))
}

/// Where the value of a key that ends at `at` stands: quoted, an element's text, or up to the next separator.
fn value(chars: &[char], at: usize) -> Option<(usize, usize)> {
    let mut from = at;
    let mut sign = None;
    let mut quote = None;
    while let Some(c) = chars.get(from) {
        match c {
            ':' | '：' | '=' | '>' if sign.is_none() => (sign, quote) = (Some(*c), None),
            '"' | '\'' | '“' => quote = Some(*c),
            '\\' if !matches!(chars.get(from + 1), Some('"' | '\'' | '\\')) => break,
            ' ' | '\\' | '[' if from - at < 8 => {}
            _ => break,
        }
        from += 1;
    }
    let sign = sign?;
    let rest = &chars[from..];
    let cdata = if sign == '>' && starts_with(rest, "<![CDATA[") {
        9
    } else {
        0
    };
    let (from, rest) = (from + cdata, &chars[from + cdata..]);
    let end =
        |stop: &dyn Fn(char) -> bool| rest.iter().position(|c| stop(*c)).unwrap_or(rest.len());
    let length = match quote {
        _ if sign == '>' => end(&|c| matches!(c, '<' | ']')),
        Some('“') => end(&|c| c == '”'),
        Some(quote) => end(&|c| c == quote || c == '\\' && quote == '"' && !rest.contains(&'u')),
        None => latin(rest, true).unwrap_or_else(|| {
            end(&|c| {
                c.is_whitespace()
                    || matches!(
                        c,
                        ',' | '，'
                            | ';'
                            | '；'
                            | '。'
                            | '&'
                            | ')'
                            | '）'
                            | ']'
                            | '}'
                            | '"'
                            | '\''
                            | '<'
                            | '|'
                    )
            })
        }),
    };
    (length > 0).then_some((from, from + length))
}

/// Whether it looks like the name of a person rather than of a file or a partner.
fn is_likely(value: &[char]) -> bool {
    let run = han_run(value);
    if run == value.len() && run > 0 {
        let dotted = value.iter().any(|c| !is_han(*c));
        return dotted
            || (2..=4).contains(&run)
                && surname(value).is_some()
                && !value.last().is_some_and(|c| NO_ENDING.contains(*c));
    }
    latin(value, true) == Some(value.len()) || starts_with(value, "\\u")
}
