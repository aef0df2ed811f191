//! Numbers of persons in a text: resident ids and permits, old ids, passports, phones, bank cards.
//!
//! Digits may be full-width and may have blanks, dashes or dots between them. What is written without any between is
//! judged by its form alone; what is glued to other digits only by its check character too, because numbers of packets are long.

use super::Span;
use super::names::is_han;
use super::words::NUMBER_LABELS;
use crate::model::identity;

/// Characters of an id; the last may be X.
const ID_CHARS: usize = 18;
const ID: &str = "[id]";
const PHONE: &str = "[phone]";
const PASSPORT: &str = "[passport]";
const CARD: &str = "[card]";
/// What stood after a label of a number.
const NUMBER: &str = "[number]";

/// Address codes of ids begin with these: provinces (GB/T 2260), permits for people from Hong Kong, Macao and Taiwan.
const PROVINCES: &[u8] = &[
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52,
    53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83,
];
/// Cities without districts: the only address codes of ids whose last two digits are zero, beside permits.
const WITHOUT_DISTRICTS: [&str; 6] = ["441900", "442000", "460200", "460300", "460400", "620200"];
/// Numbers of packets and lines have days of these years where ids have the birth date, so of births since then more is asked.
const PACKETS_SINCE: u16 = 2015;
/// Years of birth.
const BORN: std::ops::Range<u16> = 1890..2040;
/// Separators between two digits of one number at most.
const BETWEEN_MAX: usize = 2;

/// One digit, or the X that ends an id.
#[derive(Clone, Copy)]
struct Digit {
    /// Its place among the characters.
    at: usize,
    /// ASCII.
    digit: u8,
}

/// Digits with at most [`BETWEEN_MAX`] separators between two of them; where a run begins that has none.
struct Chain {
    digits: Vec<Digit>,
    runs: Vec<(usize, usize)>,
}

/// Every number of a person.
pub(super) fn find(chars: &[char]) -> Vec<Span> {
    let mut spans = Vec::new();
    let kept = kept(chars);
    for chain in chains(chars) {
        if chain.digits.iter().any(|digit| {
            kept.iter()
                .any(|(from, to)| (*from..*to).contains(&digit.at))
        }) {
            continue;
        }
        chain.ids(chars, &mut spans);
        chain.phones_and_cards(chars, &mut spans);
    }
    passports(chars, &kept, &mut spans);
    labelled(chars, &mut spans);
    spans
}

/// Whether a value is the number of an id beyond doubt, or has one in it by itself: digits, day of birth and check character
/// are right, and it is no day of these years as in numbers of packets. For fields where such a number must not be.
/// Digits within a longer number are never one: of random numbers with 20 digits, one in some thousands has such a window,
/// and a line of money or a person of a roster would be refused for it.
pub fn is_certain(value: &str) -> bool {
    // Asked of every text of every line: nearly all are too short or digits only, and none is copied.
    let bytes = value.as_bytes();
    if bytes.len() < ID_CHARS {
        return false;
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return bytes.len() == ID_CHARS && is_strict(bytes);
    }
    is_id_as_a_whole(value) || has_id_by_itself(bytes)
}

/// Whether a value is an id once what stands between its characters is left out.
fn is_id_as_a_whole(value: &str) -> bool {
    let (mut number, mut length) = ([0; ID_CHARS], 0);
    for c in value.chars() {
        let byte = match digit(c) {
            Some(digit) => digit,
            None if is_between(c) => continue,
            None if is_x(c) => b'X',
            None => return false,
        };
        if length == ID_CHARS {
            return false;
        }
        number[length] = byte;
        length += 1;
    }
    length == ID_CHARS && is_strict(&number)
}

/// Whether a run of digits, with the X that may end an id, is one.
fn has_id_by_itself(bytes: &[u8]) -> bool {
    let mut from = 0;
    while from < bytes.len() {
        let digits = bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let with_x =
            digits == ID_CHARS - 1 && matches!(bytes.get(from + digits), Some(b'x' | b'X'));
        let end = from + digits + usize::from(with_x);
        if let Ok(mut number) = <[u8; ID_CHARS]>::try_from(&bytes[from..end]) {
            number.make_ascii_uppercase();
            if is_strict(&number) {
                return true;
            }
        }
        from = end.max(from + 1);
    }
    false
}

fn is_strict(number: &[u8]) -> bool {
    born(number).is_some_and(|year| year < PACKETS_SINCE)
        && check_is_right(number)
        && has_district(number)
}

/// A digit in ASCII, also of full-width ones.
fn digit(c: char) -> Option<u8> {
    match c {
        '0'..='9' => Some(c as u8),
        '\u{ff10}'..='\u{ff19}' => Some((c as u32 - 0xff10) as u8 + b'0'),
        _ => None,
    }
}

fn is_x(c: char) -> bool {
    matches!(c, 'x' | 'X' | '\u{ff38}' | '\u{ff58}' | '×')
}

/// What people and programs write between the digits of one number, also what cannot be seen.
fn is_between(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '_' | '\u{a0}' | '\u{3000}' | '\u{b7}' | '\u{2010}'
            ..='\u{2015}' | '\u{ff0d}' | '\u{ff0e}' | '(' | ')' | '\u{ff08}' | '\u{ff09}'
    ) || super::super::printable::is_unseen(c) && !c.is_control()
        || matches!(c, '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}')
}

fn chains(chars: &[char]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut last = None;
    for (at, c) in chars.iter().enumerate() {
        let Some(digit) = digit(*c) else { continue };
        let gap = last.map(|last: usize| &chars[last + 1..at]);
        let digit = Digit { at, digit };
        match (gap, chains.last_mut()) {
            (Some(gap), Some(chain))
                if gap.len() <= BETWEEN_MAX && gap.iter().all(|c| is_between(*c)) =>
            {
                let place = chain.digits.len();
                chain.digits.push(digit);
                match chain.runs.last_mut() {
                    Some(run) if gap.is_empty() => run.1 += 1,
                    _ => chain.runs.push((place, place + 1)),
                }
            }
            _ => chains.push(Chain {
                digits: vec![digit],
                runs: vec![(0, 1)],
            }),
        }
        last = Some(at);
    }
    chains
}

impl Chain {
    fn number(&self, from: usize, to: usize) -> Vec<u8> {
        self.digits[from..to]
            .iter()
            .map(|digit| digit.digit)
            .collect()
    }

    /// The X behind a digit, with at most two separators before it.
    fn x_after(&self, digit: usize, chars: &[char]) -> Option<usize> {
        let at = self.digits[digit].at + 1;
        let between = chars[at..]
            .iter()
            .take(BETWEEN_MAX)
            .take_while(|c| is_between(**c))
            .count();
        chars
            .get(at + between)
            .filter(|c| is_x(**c))
            .map(|_| at + between)
    }

    /// Every 18 characters that could be an id: where its characters begin and end, and its ASCII.
    fn windows<'a>(
        &'a self,
        chars: &'a [char],
    ) -> impl Iterator<Item = ((usize, usize, usize), Vec<u8>)> + 'a {
        (0..self.digits.len().saturating_sub(16)).flat_map(move |from| {
            let end = from + 17;
            let mut number = self.number(from, end);
            let x = self.x_after(end - 1, chars).map(|at| {
                let mut number = number.clone();
                number.push(b'X');
                ((from, end, at + 1), number)
            });
            let digit = self.digits.get(end).map(|digit| {
                number.push(digit.digit);
                ((from, end + 1, digit.at + 1), number)
            });
            [x, digit].into_iter().flatten()
        })
    }

    fn ids(&self, chars: &[char], spans: &mut Vec<Span>) {
        let mut found: Vec<((usize, usize, usize), Vec<u8>)> = self
            .windows(chars)
            .filter(|(place, number)| self.is_id(*place, number))
            .collect();
        // The right check character tells which of two that overlap it is.
        found.sort_by_key(|((from, ..), number)| (!check_is_right(number), *from));
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for ((from, to, end), _) in found {
            if taken
                .iter()
                .all(|(first, last)| to <= *first || from >= *last)
            {
                taken.push((from, to));
                spans.push(Span {
                    from: self.digits[from].at,
                    to: end,
                    word: ID,
                });
            }
        }
        for (from, to) in &self.runs {
            let number = self.number(*from, *to);
            if number.len() == 15
                && is_old_id(&number)
                && taken
                    .iter()
                    .all(|(first, last)| to <= first || from >= last)
            {
                spans.push(Span {
                    from: self.digits[*from].at,
                    to: self.digits[*to - 1].at + 1,
                    word: ID,
                });
            }
        }
    }

    /// Whether those digits are an id: alone by their form, in groups or glued to others by the check character, too.
    fn is_id(&self, (from, to, _): (usize, usize, usize), number: &[u8]) -> bool {
        let Some(year) = born(number) else {
            return false;
        };
        let starts = self.runs.iter().any(|(first, _)| *first == from);
        let ends = number[17] == b'X' || self.runs.iter().any(|(_, last)| *last == to);
        let one_run = self
            .runs
            .iter()
            .any(|(first, last)| *first <= from && *last >= to.min(from + 17));
        let strict = check_is_right(number) && has_district(number);
        // A credit code of digits only that no check character makes an id.
        if !check_is_right(number)
            && matches!(
                number,
                [b'1' | b'5', b'1'..=b'3' | b'9', ..] | [b'9', b'1'..=b'3', ..]
            )
        {
            let is_code = std::str::from_utf8(number).is_ok_and(identity::uscc_is_valid);
            if is_code {
                return false;
            }
        }
        match (starts && ends, one_run) {
            (true, true) => strict || year < PACKETS_SINCE,
            (false, true) => strict && (year < PACKETS_SINCE || starts && number[17] == b'X'),
            (true, false) => strict || self.in_usual_groups(from, to),
            // Its first or last digits are glued to others.
            (false, false) => strict && year < PACKETS_SINCE && (starts || ends),
        }
    }

    /// Written as people read an id aloud: address, birth date, serial.
    fn in_usual_groups(&self, from: usize, to: usize) -> bool {
        let lengths: Vec<usize> = self
            .runs
            .iter()
            .filter(|(first, last)| *first >= from && *last <= to)
            .map(|(first, last)| last - first)
            .collect();
        matches!(
            lengths[..],
            [6, 8, 3 | 4] | [6, 4, 4, 3 | 4] | [6, 4, 2, 2, 3 | 4] | [3, 3, 4, 4, 3 | 4]
        )
    }

    fn phones_and_cards(&self, chars: &[char], spans: &mut Vec<Span>) {
        for first in 0..self.runs.len() {
            // A number is as many groups as make it up, the longest first.
            for last in (first..self.runs.len().min(first + 6)).rev() {
                let (from, to) = (self.runs[first].0, self.runs[last].1);
                let span = (self.digits[from].at, self.digits[to - 1].at + 1);
                if spans
                    .iter()
                    .any(|taken| span.0 < taken.to && span.1 > taken.from)
                {
                    continue;
                }
                let groups: Vec<usize> =
                    self.runs[first..=last].iter().map(|(a, b)| b - a).collect();
                let number = self.number(from, to);
                let plus = span
                    .0
                    .checked_sub(1)
                    .is_some_and(|before| matches!(chars[before], '+' | '\u{ff0b}'));
                let word = if is_phone(&number, &groups, plus) {
                    PHONE
                } else if is_card(&number, &groups) {
                    CARD
                } else {
                    continue;
                };
                spans.push(Span {
                    from: span.0 - usize::from(plus),
                    to: span.1,
                    word,
                });
            }
        }
        self.beside_ids(spans);
    }

    /// A mobile number glued to an id: what the id leaves of its run.
    fn beside_ids(&self, spans: &mut Vec<Span>) {
        for (from, to) in &self.runs {
            let taken = |at: usize| {
                spans
                    .iter()
                    .any(|span| (span.from..span.to).contains(&self.digits[at].at))
            };
            if !(*from..*to).any(taken) {
                continue;
            }
            let rest: Vec<usize> = (*from..*to).filter(|at| !taken(*at)).collect();
            let connected = rest.windows(2).all(|two| two[1] == two[0] + 1);
            if let (true, Some(first), Some(last)) = (connected, rest.first(), rest.last())
                && is_mobile(&self.number(*first, *last + 1))
            {
                spans.push(Span {
                    from: self.digits[*first].at,
                    to: self.digits[*last].at + 1,
                    word: PHONE,
                });
            }
        }
    }
}

fn two(digits: &[u8]) -> u8 {
    digits
        .iter()
        .take(2)
        .fold(0, |number, digit| number * 10 + (digit - b'0'))
}

/// The year of birth in a number of the form of an id: a province, a day that can be, digits.
fn born(number: &[u8]) -> Option<u16> {
    if number.len() != 18
        || !number[..17].iter().all(u8::is_ascii_digit)
        || !(number[17].is_ascii_digit() || matches!(number[17], b'X' | b'x'))
    {
        return None;
    }
    let year = u16::from(two(&number[6..8])) * 100 + u16::from(two(&number[8..10]));
    let from_somewhere = number[0] == b'9' || PROVINCES.contains(&two(number));
    (from_somewhere && BORN.contains(&year) && is_day(&number[10..14])).then_some(year)
}

fn is_day(digits: &[u8]) -> bool {
    (1..=12).contains(&two(digits)) && (1..=31).contains(&two(&digits[2..]))
}

fn check_is_right(number: &[u8]) -> bool {
    identity::resident_check_character(&number[..17]) == Some(number[17].to_ascii_uppercase())
}

fn has_district(number: &[u8]) -> bool {
    let permit = matches!(two(number), 81..=83) || number[0] == b'9';
    permit
        || &number[4..6] != b"00"
        || WITHOUT_DISTRICTS
            .iter()
            .any(|city| city.as_bytes() == &number[..6])
}

/// 15 digits of before 2000: address, day of birth with a year of two digits, serial.
fn is_old_id(number: &[u8]) -> bool {
    PROVINCES.contains(&two(number)) && &number[4..6] != b"00" && is_day(&number[8..12])
}

fn is_mobile(number: &[u8]) -> bool {
    let [b'1', b'3'..=b'9', rest @ ..] = number else {
        return false;
    };
    // The number of a tax office is 1, a division, and four digits that are mostly zero.
    let office = PROVINCES.contains(&two(&number[1..]))
        && (rest.ends_with(b"0000") || number[1] == b'4' && rest.ends_with(b"00"))
        && two(&number[3..]) != 0;
    number.len() == 11 && !office
}

fn is_phone(number: &[u8], groups: &[usize], plus: bool) -> bool {
    let (national, abroad) = match number {
        [b'0', b'0', b'8', b'6', rest @ ..] | [b'8', b'6', rest @ ..] if rest.len() >= 9 => {
            (rest, true)
        }
        _ => (number, false),
    };
    let mobile_groups = matches!(
        groups,
        [11 | 13 | 15]
            | [3, 4, 4]
            | [3, 8]
            | [7, 4]
            | [3, 3, 5]
            | [5, 3, 3]
            | [5, 4, 4]
            | [4, 3, 4]
            | [2 | 4, 11]
            | [2 | 4, 3, 8]
            | [2 | 4, 3, 4, 4]
            | [2 | 4, 3, 3, 5]
    );
    if is_mobile(national) && mobile_groups {
        return true;
    }
    // Landlines: 010, 02x, 0xxx, and seven or eight digits; abroad without the zero, after a plus or 0086.
    let with_zero = match national {
        [b'0', b'1', b'0', rest @ ..] | [b'0', b'2', _, rest @ ..] => Some(rest.len() == 8),
        [b'0', b'3'..=b'9', b'0'..=b'9', b'0'..=b'9', rest @ ..] => {
            Some((7..=8).contains(&rest.len()))
        }
        _ => None,
    };
    match with_zero {
        Some(fits) => fits && groups.len() <= 4 && (groups.len() == 1 || groups[0] <= 4),
        None => {
            abroad
                && (plus || number.starts_with(b"0086"))
                && (9..=11).contains(&national.len())
                && matches!(national[0], b'1'..=b'9')
        }
    }
}

/// 16 to 19 digits of a bank's range whose last digit fits the others (ISO/IEC 7812-1, Luhn).
fn is_card(number: &[u8], groups: &[usize]) -> bool {
    let range = match number {
        [b'6', b'0' | b'2', ..] | [b'9', b'5', b'5', b'8' | b'9', ..] => {
            (16..=19).contains(&number.len())
        }
        [b'4', ..] | [b'5', b'1'..=b'5', ..] | [b'3', b'5', ..] => number.len() == 16,
        _ => false,
    };
    let written_so = groups.len() == 1
        || groups[..groups.len() - 1].iter().all(|group| *group == 4)
        || matches!(groups, [6, _]);
    range && written_so && luhn(number)
}

fn luhn(number: &[u8]) -> bool {
    let digits = number
        .iter()
        .rev()
        .map(|digit| u32::from(digit - b'0'))
        .enumerate();
    let sum: u32 = digits
        .map(|(at, digit)| {
            if at % 2 == 0 {
                digit
            } else {
                digit * 2 / 10 + digit * 2 % 10
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Words of letters and digits of ASCII and full-width ones, as places.
fn tokens(chars: &[char]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let is_word = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}')
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + chars.get(at..)?.iter().position(|c| is_word(*c))?;
        let to = chars[from..]
            .iter()
            .position(|c| !is_word(*c))
            .map_or(chars.len(), |length| from + length);
        at = to;
        Some((from, to))
    })
}

fn ascii(chars: &[char]) -> String {
    let plain = |c: &char| {
        if matches!(c, '\u{ff01}'..='\u{ff5e}') {
            char::from_u32(*c as u32 - 0xfee0).unwrap_or(*c)
        } else {
            *c
        }
    };
    chars.iter().map(plain).collect()
}

/// Passports, permits to travel, and cards of before 2023 for foreigners: letters, then digits, nothing else.
fn passports(chars: &[char], kept: &[(usize, usize)], spans: &mut Vec<Span>) {
    for (from, to) in tokens(chars) {
        let inside = kept
            .iter()
            .any(|(first, last)| (*first..*last).contains(&from));
        if !inside
            && is_passport(&ascii(&chars[from..to]).to_ascii_uppercase())
            && spans.iter().all(|span| to <= span.from || from >= span.to)
        {
            spans.push(Span {
                from,
                to,
                word: PASSPORT,
            });
        }
    }
}

fn is_passport(word: &str) -> bool {
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let digits = &word[letters..];
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) || digits.starts_with("000") {
        return false;
    }
    // JD20211101 is a batch of a day.
    let of_a_day = digits.len() == 8 && digits.starts_with("20") && is_day(&digits.as_bytes()[4..]);
    match (letters, digits.len()) {
        (1, 8) if word.starts_with(['E', 'G']) => true,
        (1, 10) => word.starts_with(['H', 'M']),
        (1 | 2, 7..=9) => !of_a_day,
        (3, 12) => is_day(&digits.as_bytes()[8..]),
        _ => false,
    }
}

/// UUIDs and digests, which are nobody's whatever their digits look like.
fn kept(chars: &[char]) -> Vec<(usize, usize)> {
    let hex = |from: usize, to: usize| chars[from..to].iter().all(char::is_ascii_hexdigit);
    let mut kept = Vec::new();
    let words: Vec<(usize, usize)> = tokens(chars).collect();
    for (at, (from, to)) in words.iter().copied().enumerate() {
        let letters = chars[from..to].iter().any(char::is_ascii_alphabetic);
        if matches!(to - from, 32 | 40 | 64) && letters && hex(from, to) {
            kept.push((from, to));
        }
        let five = words.get(at..at + 5).unwrap_or_default();
        let lengths = five.iter().map(|(from, to)| to - from).eq([8, 4, 4, 4, 12]);
        if lengths
            && five.iter().all(|(from, to)| hex(*from, *to))
            && five
                .windows(2)
                .all(|two| two[0].1 + 1 == two[1].0 && chars[two[0].1] == '-')
        {
            kept.push((from, five[4].1));
        }
    }
    kept
}

/// Whatever stands after a label such as 证件号码, if it has four digits or more.
fn labelled(chars: &[char], spans: &mut Vec<Span>) {
    for at in (0..chars.len()).filter(|at| is_han(chars[*at])) {
        let Some(label) = NUMBER_LABELS
            .iter()
            .find(|label| super::words::starts_with(&chars[at..], label))
        else {
            continue;
        };
        let mut from = at + label.chars().count();
        from += chars[from..]
            .iter()
            .take(6)
            .take_while(|c| {
                matches!(
                    c,
                    ' ' | ':'
                        | '：'
                        | '='
                        | '['
                        | '('
                        | '（'
                        | '"'
                        | '\''
                        | '「'
                        | '是'
                        | '为'
                        | '\u{3000}'
                )
            })
            .count();
        let to = chars[from..]
            .iter()
            .position(|c| !(c.is_ascii_alphanumeric() || digit(*c).is_some() || matches!(c, '-')))
            .map_or(chars.len(), |length| from + length);
        let digits = chars[from..to]
            .iter()
            .filter(|c| digit(**c).is_some())
            .count();
        if digits >= 4 && spans.iter().all(|span| to <= span.from || from >= span.to) {
            spans.push(Span {
                from,
                to,
                word: NUMBER,
            });
        }
    }
}
