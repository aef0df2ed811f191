//! Check characters of organisations' and persons' numbers.
//!
//! Says only whether a number can be right; what to do with one that cannot (warn or refuse) is
//! configuration, because a few real codes fail. It must not keep or print the numbers it sees.

/// The 31 characters of GB 32100-2015, in order of value (no I, O, S, V, Z).
const USCC_CHARACTERS: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// Weights of the first 17 characters: 3^i mod 31 (GB 32100-2015).
const USCC_WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

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
        sum += weight * USCC_CHARACTERS.iter().position(|allowed| allowed == character)?;
    }
    Some(USCC_CHARACTERS[(31 - sum % 31) % 31])
}

/// Weights of the first 17 digits (GB 11643-1999).
const RESIDENT_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// Check characters by the sum modulo 11 (GB 11643-1999).
const RESIDENT_CHECKS: &[u8; 11] = b"10X98765432";

/// Whether a resident id (公民身份号码) has 17 digits, a birth date that exists, and the right check character (GB 11643-1999).
pub fn resident_id_is_valid(id: &str) -> bool {
    resident_birth_date(id).is_some()
}

/// The birth date in a resident id that is valid (GB 11643-1999).
pub fn resident_birth_date(id: &str) -> Option<jiff::civil::Date> {
    let (check, first) = id.as_bytes().split_last()?;
    if resident_check_character(first)? != *check {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0_i16, |number, digit| number * 10 + i16::from(digit - b'0'));
    let (month, day) = (number(&first[10..12]) as i8, number(&first[12..14]) as i8);
    jiff::civil::Date::new(number(&first[6..10]), month, day).ok().filter(|born| born.year() >= 1800)
}

/// The 18th character for the first 17; nothing when there are not 17 digits (GB 11643-1999).
pub fn resident_check_character(first: &[u8]) -> Option<u8> {
    if first.len() != 17 || !first.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = first.iter().zip(RESIDENT_WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
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
            for replacement in USCC_CHARACTERS.iter().filter(|character| **character != good[at]) {
                let mut code = *good;
                code[at] = *replacement;
                assert!(!uscc_is_valid(std::str::from_utf8(&code).unwrap()), "character {at}");
            }
        }
        for code in ["", "91350100M000100Y4", "91350100M000100Y433", "91350100m000100Y43", "I1350100M000100Y43", "９1350100M000100Y"] {
            assert!(!uscc_is_valid(code), "{code}");
        }
    }

    #[test]
    fn a_resident_id_needs_its_check_character_and_a_birth_date_that_exists() {
        // The standard's own example.
        assert_eq!(resident_birth_date("11010519491231002X"), Some(jiff::civil::date(1949, 12, 31)));
        for id in ["110105194912310021", "11010519491231002x", "1101051949123100X", "", "11010519491231002X1", "1101051949123100２X"] {
            assert!(!resident_id_is_valid(id), "{id}");
        }
        // Right check characters, impossible dates: 30 February, month 13, year 1799.
        for first in ["11010519490230002", "11010519491331002", "11010517991231002"] {
            assert!(!RESIDENT_CHECKS.iter().any(|check| resident_id_is_valid(&format!("{first}{}", *check as char))), "{first}");
        }
        assert!(RESIDENT_CHECKS.iter().any(|check| resident_id_is_valid(&format!("11010520000229002{}", *check as char))));
    }
}
