//! Check characters of organisations' and persons' numbers.
//!
//! Says only whether a number can be right; what to do with one that cannot (warn or refuse) is
//! configuration, because a few real codes fail. It must not keep or print the numbers it sees.

use std::borrow::Cow;

/// The 31 characters of GB 32100-2015, in order of value (no I, O, S, V, Z).
const USCC_CHARACTERS: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// Weights of the first 17 characters: 3^i mod 31 (GB 32100-2015).
const USCC_WEIGHTS: [usize; 17] = [
    1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28,
];

/// Whether a unified social credit code (统一社会信用代码) has 18 allowed characters and the right check character (GB 32100-2015).
pub fn uscc_is_valid(code: &str) -> bool {
    let bytes = code.as_bytes();
    bytes.len() == 18 && uscc_check_character(&bytes[..17]) == Some(bytes[17])
}

/// The 18th character for the first 17; nothing when there are not 17 or one is not allowed (GB 32100-2015).
pub fn uscc_check_character(first: &[u8]) -> Option<u8> {
    let first: &[u8; 17] = first.try_into().ok()?;
    let mut sum = 0;
    for (character, weight) in first.iter().zip(USCC_WEIGHTS) {
        sum += weight
            * USCC_CHARACTERS
                .iter()
                .position(|allowed| allowed == character)?;
    }
    Some(USCC_CHARACTERS[(31 - sum % 31) % 31])
}

/// Weights of the first 17 digits (GB 11643-1999).
const RESIDENT_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// Check characters by the sum modulo 11 (GB 11643-1999).
const RESIDENT_CHECKS: &[u8; 11] = b"10X98765432";

/// First digit of a foreigner's number in that form (permanent residence card of 2023).
const FOREIGNER: u8 = b'9';

/// What a number in the form of a resident id says of its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub born_on: jiff::civil::Date,
    /// It is the number of a foreigner's permanent residence card.
    pub foreigner: bool,
}

/// Why a number is no resident id; the text is safe to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "is an old number of 15 digits, which says too little; expected the number of 18 characters that replaced it"
    )]
    OldNumber,
    #[error(
        "is no resident id: it has digits or letters other than 0 to 9 and X, such as full-width ones"
    )]
    Characters,
    #[error("is no resident id: expected 17 digits and a check character")]
    Shape,
    #[error("is no resident id: the digits 7 to 14 are no birth date")]
    Birth,
    #[error(
        "is no resident id: the check character (GB 11643) does not fit the 17 digits; look for a typing mistake"
    )]
    Check,
}

/// What a resident id (公民身份号码) says: 17 digits with a birth date that exists and the right check
/// character (GB 11643-1999). Of that form are also the residence permits of people from Hong Kong
/// (81), Macao (82) and Taiwan (83), and foreigners' permanent residence cards since 2023 (9).
pub fn holder_of(id: &str) -> Result<Holder, IdentityError> {
    let Some((check, first)) = id
        .as_bytes()
        .split_last()
        .filter(|(_, first)| first.len() == 17)
    else {
        return Err(other_length(id));
    };
    if !first.iter().all(u8::is_ascii_digit) || !matches!(check, b'0'..=b'9' | b'X') {
        return Err(IdentityError::Characters);
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .fold(0_i16, |number, digit| number * 10 + i16::from(digit - b'0'))
    };
    let (month, day) = (number(&first[10..12]) as i8, number(&first[12..14]) as i8);
    let born_on = jiff::civil::Date::new(number(&first[6..10]), month, day)
        .ok()
        .filter(|born| born.year() >= 1800)
        .ok_or(IdentityError::Birth)?;
    if resident_check_character(first) != Some(*check) {
        return Err(IdentityError::Check);
    }
    Ok(Holder {
        born_on,
        foreigner: first[0] == FOREIGNER,
    })
}

fn other_length(id: &str) -> IdentityError {
    if id.len() == 15 && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return IdentityError::OldNumber;
    }
    let strange = |c: char| !c.is_ascii() && (c.is_numeric() || c.is_alphabetic());
    if id.chars().any(strange) {
        IdentityError::Characters
    } else {
        IdentityError::Shape
    }
}

/// Whether it is the number of a resident id.
pub fn resident_id_is_valid(id: &str) -> bool {
    holder_of(id).is_ok()
}

/// A certificate's number as it is kept: what has the form of a resident id without blanks around
/// it and with a capital X, so that one person is one; any other as it was written.
pub fn kept_form(number: &str) -> Cow<'_, str> {
    let id = number.trim_matches(|c: char| c.is_ascii_whitespace());
    match id.as_bytes() {
        [first @ .., b'x'] if first.len() == 17 && first.iter().all(u8::is_ascii_digit) => {
            format!("{}X", &id[..17]).into()
        }
        [first @ .., b'0'..=b'9' | b'X']
            if first.len() == 17 && first.iter().all(u8::is_ascii_digit) =>
        {
            id.into()
        }
        _ => number.into(),
    }
}

/// Reads a certificate's number in the form it is kept in, for serde.
///
/// # Errors
/// It is no text.
pub fn deserialize_certificate<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<String, D::Error> {
    let number = <Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
    Ok(kept_form(&number).into_owned())
}

/// The 18th character for the first 17; nothing when there are not 17 digits (GB 11643-1999).
pub fn resident_check_character(first: &[u8]) -> Option<u8> {
    if first.len() != 17 || !first.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = first
        .iter()
        .zip(RESIDENT_WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    Some(RESIDENT_CHECKS[sum as usize % 11])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_code_with_the_right_check_character_is_valid() {
        assert!(uscc_is_valid("91350100M000100Y43"));
        assert!(uscc_is_valid("914403001922038216"));
    }

    #[test]
    fn any_single_wrong_character_makes_a_credit_code_invalid() {
        let good = b"91350100M000100Y43";
        for at in 0..18 {
            for replacement in USCC_CHARACTERS
                .iter()
                .filter(|character| **character != good[at])
            {
                let mut code = *good;
                code[at] = *replacement;
                assert!(
                    !uscc_is_valid(std::str::from_utf8(&code).unwrap()),
                    "character {at}"
                );
            }
        }
        for code in [
            "",
            "91350100M000100Y4",
            "91350100M000100Y433",
            "91350100m000100Y43",
            "I1350100M000100Y43",
            "９1350100M000100Y",
        ] {
            assert!(!uscc_is_valid(code), "{code}");
        }
    }

    #[test]
    fn a_resident_id_needs_its_check_character_and_a_birth_date_that_exists() {
        // The standard's own example.
        assert_eq!(
            holder_of("11010519491231002X"),
            Ok(Holder {
                born_on: jiff::civil::date(1949, 12, 31),
                foreigner: false
            })
        );
        for (id, error) in [
            ("110105194912310021", IdentityError::Check),
            ("11010519491231002x", IdentityError::Characters),
            ("1101051949123100X", IdentityError::Shape),
            ("", IdentityError::Shape),
            ("11010519491231002X1", IdentityError::Shape),
            ("1101051949123100２X", IdentityError::Characters),
            ("450１03１9800１0１１030", IdentityError::Characters),
            ("450103800101001", IdentityError::OldNumber),
            ("45010380010100X", IdentityError::Shape),
        ] {
            assert_eq!(holder_of(id), Err(error), "{id}");
            assert!(!error.to_string().contains("1010"), "{error}");
        }
        // Right check characters, impossible dates: 30 February, month 13, year 1799.
        for first in [
            "11010519490230002",
            "11010519491331002",
            "11010517991231002",
        ] {
            assert!(
                !RESIDENT_CHECKS
                    .iter()
                    .any(|check| resident_id_is_valid(&format!("{first}{}", *check as char))),
                "{first}"
            );
        }
        assert!(
            RESIDENT_CHECKS
                .iter()
                .any(|check| resident_id_is_valid(&format!("11010520000229002{}", *check as char)))
        );
    }

    #[test]
    fn permits_of_hong_kong_macao_and_taiwan_and_cards_of_foreigners_have_that_form() {
        for (id, foreigner) in [
            ("810000198003030019", false),
            ("830000198004040028", false),
            ("945840198005050011", true),
        ] {
            assert_eq!(
                holder_of(id).map(|holder| holder.foreigner),
                Ok(foreigner),
                "{id}"
            );
        }
    }

    #[test]
    fn one_number_is_kept_in_one_form() {
        assert_eq!(kept_form(" 45010319800202006x\t"), "45010319800202006X");
        assert_eq!(kept_form("450103198001011014 "), "450103198001011014");
        for other in [
            "e12345678",
            " E123 ",
            "45010319800202006y",
            "4501031980020200x",
            "45010319800202００6x",
        ] {
            assert_eq!(kept_form(other), other);
        }
    }
}
