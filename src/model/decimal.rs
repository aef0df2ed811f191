//! Decimal numbers as they are written, read exactly into whole units; never through a float.
//!
//! The one reader of money, rates and counts, whatever document or file they stand in. The usual
//! form is read first; every other spelling of the same number (`1.25E7`, `.5`, `+1.00`, `5.`) comes
//! to the same. What is not exact in the unit is refused, and what troubles is named.

/// Largest exponent that is read, and the smallest negated.
const EXPONENT_MAX: i64 = 99;
/// A separator somebody may put between groups of digits.
const SEPARATORS: [char; 8] = [',', '，', '\'', '’', '_', ' ', '\u{a0}', '\u{3000}'];

/// Why a text is no number of whole units; it names what troubles and repeats no digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// Not digits, an optional sign and at most one point.
    Shape,
    /// A character between the digits that means thousands to some and decimals to others.
    Separator(char),
    /// Digits other than 0 to 9.
    Digits,
    /// The exponent mark without a whole number from -99 to 99 behind it.
    Exponent,
    /// Smaller decimals than the unit has; with an exponent or without.
    Inexact { exponent: bool },
    /// More digits before the point than are taken; with an exponent or without.
    Range { exponent: bool },
}

/// What an error is told with: an example, and what to say of too many decimals and of too large a number.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// `an amount in yuan such as 1234.56`
    pub expected: &'static str,
    /// `has more than two decimals; amounts are whole fen`
    pub inexact: &'static str,
    /// `is larger than 999999999999.99 yuan`
    pub range: &'static str,
}

impl DecimalError {
    /// The reason as a refusal gives it.
    pub fn told(self, unit: &Unit) -> String {
        let Unit {
            expected,
            inexact,
            range,
        } = unit;
        let carried = |exponent: bool| {
            if exponent {
                " (its exponent carried out)"
            } else {
                ""
            }
        };
        match self {
            DecimalError::Shape => {
                format!("expected {expected}: digits, an optional leading sign, at most one point")
            }
            DecimalError::Separator(mark) => format!(
                "has the separator `{mark}` between its digits; expected {expected}, without separators"
            ),
            DecimalError::Digits => format!(
                "has digits other than 0 to 9, such as full-width ones; expected {expected}"
            ),
            DecimalError::Exponent => {
                format!(
                    "has an exponent that is no whole number from -{EXPONENT_MAX} to {EXPONENT_MAX}; write it without an exponent: expected {expected}"
                )
            }
            DecimalError::Inexact { exponent } => format!("{inexact}{}", carried(exponent)),
            DecimalError::Range { exponent } => format!("{range}{}", carried(exponent)),
        }
    }
}

/// The number in units of ten to the power of -`places`, of at most `digits_max` (18) digits in that unit.
pub fn read(text: &str, places: u32, digits_max: u32) -> Result<i64, DecimalError> {
    match plain(text.as_bytes(), places)
        .filter(|value| value.unsigned_abs() < 10_u64.pow(digits_max))
    {
        Some(value) => Ok(value),
        None => spelt(text, i64::from(places), digits_max as usize),
    }
}

/// The usual form, `-1234.56`; `None` for any other and for what may not fit.
fn plain(bytes: &[u8], places: u32) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.len() > 18 || !digits.first()?.is_ascii_digit() {
        return None;
    }
    let (mut value, mut decimals, mut point) = (0_i64, 0, false);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte - b'0');
                decimals += u32::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    let value = value.checked_mul(10_i64.checked_pow(places.checked_sub(decimals)?)?)?;
    Some(if negative { -value } else { value })
}

/// Any spelling: the digits without the zeros around them, and by how many places they are shifted.
fn spelt(text: &str, places: i64, digits_max: usize) -> Result<i64, DecimalError> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (negative, unsigned) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(misshapen(text));
    }
    let (shift, exponent) = match exponent {
        Some(text) => (exponent_of(text)?, true),
        None => (0, false),
    };
    // Digits before the point as if there were no point, then the point is put where it belongs.
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|digit| digit - b'0');
    let digits: Vec<u8> = digits.skip_while(|digit| *digit == 0).collect();
    let Some(last) = digits.iter().rposition(|digit| *digit != 0) else {
        return Ok(0);
    };
    let zeros = (digits.len() - 1 - last) as i64;
    let shift = shift + places - fraction.len() as i64 + zeros;
    let shift = usize::try_from(shift).map_err(|_| DecimalError::Inexact { exponent })?;
    if last + 1 + shift > digits_max {
        return Err(DecimalError::Range { exponent });
    }
    let value = digits[..=last]
        .iter()
        .fold(0_i64, |value, digit| value * 10 + i64::from(*digit))
        * 10_i64.pow(shift as u32);
    Ok(if negative { -value } else { value })
}

fn exponent_of(text: &str) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let number = digits
        .parse()
        .ok()
        .filter(|number| all_digits(digits) && *number <= EXPONENT_MAX);
    number
        .map(|number: i64| if negative { -number } else { number })
        .ok_or(DecimalError::Exponent)
}

/// What troubles a text that is no number.
fn misshapen(text: &str) -> DecimalError {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    if text.chars().any(|c| c.is_numeric() && !c.is_ascii_digit()) {
        return DecimalError::Digits;
    }
    match text.chars().find(|c| !numeric(*c)) {
        Some(mark)
            if SEPARATORS.contains(&mark)
                && text.chars().all(|c| numeric(c) || SEPARATORS.contains(&c)) =>
        {
            DecimalError::Separator(mark)
        }
        _ => DecimalError::Shape,
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_number_is_read_exactly() {
        for (text, fen) in [
            ("1.25E7", 1_250_000_000),
            ("1.25E+7", 1_250_000_000),
            ("12500000.0", 1_250_000_000),
            ("0E-8", 0),
            ("0E+10", 0),
            ("-0", 0),
            (".5", 50),
            ("-.5", -50),
            ("+1.00", 100),
            ("5.", 500),
            ("6E+2", 60_000),
            ("1.035E+1", 1_035),
            ("10.350000000000000000000000000000000000", 1_035),
            ("0000000000000000000000000000001.00", 100),
            ("0.00000000000000000000001e25", 10_000),
            ("100000000000000000000E-20", 100),
            ("999999999999.99", 99_999_999_999_999),
            ("99999999999999e-2", 99_999_999_999_999),
        ] {
            assert_eq!(read(text, 2, 14), Ok(fen), "{text}");
        }
        assert_eq!(read("1.035E+1", 6, 15), Ok(10_350_000));
    }

    #[test]
    fn what_is_not_exact_or_no_number_is_refused_for_what_troubles() {
        use DecimalError::{Digits, Exponent, Inexact, Range, Separator, Shape};
        for (text, error) in [
            ("", Shape),
            ("-", Shape),
            (".", Shape),
            ("+-1", Shape),
            ("1.2.3", Shape),
            ("0x1", Shape),
            ("NaN", Shape),
            ("Infinity", Shape),
            ("E5", Shape),
            ("¥5", Shape),
            ("1,250.00", Separator(',')),
            ("1 250.00", Separator(' ')),
            ("1，250", Separator('，')),
            ("1_000", Separator('_')),
            ("１２５０.00", Digits),
            ("1e", Exponent),
            ("1E+", Exponent),
            ("1E1.5", Exponent),
            ("1E1E1", Exponent),
            ("1E100", Exponent),
            ("0E-100", Exponent),
            ("1E99999999999999999999", Exponent),
            ("12.345", Inexact { exponent: false }),
            ("0.001", Inexact { exponent: false }),
            ("1E-3", Inexact { exponent: true }),
            ("1.2345E1", Inexact { exponent: true }),
            ("1000000000000", Range { exponent: false }),
            ("1E12", Range { exponent: true }),
            ("-9E99", Range { exponent: true }),
        ] {
            assert_eq!(read(text, 2, 14), Err(error), "{text}");
        }
    }

    #[test]
    fn a_reason_names_the_mark_and_no_digit() {
        const UNIT: Unit = Unit {
            expected: "an amount such as A",
            inexact: "has more than two decimals",
            range: "is too large",
        };
        for (text, told) in [
            ("7,7", "separator `,`"),
            ("7E", "exponent"),
            ("7E-7", "exponent"),
            ("7E70", "exponent"),
            ("７", "full-width"),
            ("7.777", "two decimals"),
        ] {
            let reason = read(text, 2, 14).expect_err(text).told(&UNIT);
            assert!(
                reason.contains(told) && !reason.contains('7'),
                "{text}: {reason}"
            );
        }
    }

    proptest! {
        /// Whatever the point and the exponent, the number is the one written: compared by digits moved by hand.
        #[test]
        fn moving_the_point_and_the_exponent_together_changes_nothing(value in -99_999_999_999_999_i64..=99_999_999_999_999, moved in 0_usize..30, zeros in 0_usize..20) {
            let sign = if value < 0 { "-" } else { "" };
            let digits = format!("{:0>40}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(40 - moved);
            let text = format!("{sign}{whole}.{fraction}{}E{}", "0".repeat(zeros), moved as i64 - 2);
            prop_assert_eq!(read(&text, 2, 14), Ok(value), "{}", text);
        }

        #[test]
        fn the_short_way_and_the_long_way_agree(text in "-?[0-9]{1,14}([.][0-9]{1,4})?") {
            prop_assert_eq!(read(&text, 2, 14), spelt(&text, 2, 14), "{}", text);
        }
    }
}
