//! Money as whole fen (0.01 yuan) in a checked `i64`.
//!
//! The only place that turns text into money and back. It must never round: an amount that is not
//! exactly representable in fen is refused.

use std::fmt;

/// An amount in fen; negative for refunds and reversals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fen(pub i64);

/// Whole yuan an amount may have at most: twelve digits, far above any premium of a whole city.
const YUAN_DIGITS_MAX: usize = 12;

/// Why a text is not an amount of money; the text is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("expected an amount in yuan such as 1234.56: digits, an optional leading minus, at most two decimals")]
    Shape,
    #[error("has more than two decimals; amounts are whole fen")]
    Decimals,
    #[error("is larger than 999999999999.99 yuan")]
    Range,
}

impl Fen {
    pub const ZERO: Fen = Fen(0);

    /// Parses yuan with at most two decimals (`12`, `12.3`, `-12.34`); refuses exponents, separators, signs `+`, and blanks.
    pub fn parse_yuan(text: &str) -> Result<Fen, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(MoneyError::Shape),
            Some((whole, fraction)) => (whole, fraction),
            None => (digits, ""),
        };
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::Shape);
        }
        let fraction = fraction.as_bytes();
        if fraction.iter().skip(2).any(|digit| *digit != b'0') {
            return Err(MoneyError::Decimals);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > YUAN_DIGITS_MAX {
            return Err(MoneyError::Range);
        }
        let yuan = whole.bytes().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let cent = |at: usize| fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'));
        let fen = yuan * 100 + cent(0) * 10 + cent(1);
        Ok(Fen(if negative { -fen } else { fen }))
    }

    /// Parses whole fen (`-1234`); refuses anything but digits and a leading minus.
    pub fn parse_fen(text: &str) -> Result<Fen, MoneyError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !all_digits(digits) {
            return Err(MoneyError::Shape);
        }
        if digits.trim_start_matches('0').len() > YUAN_DIGITS_MAX + 2 {
            return Err(MoneyError::Range);
        }
        text.parse().map(Fen).map_err(|_| MoneyError::Range)
    }

    /// The sum, or `None` when it leaves `i64`.
    pub fn checked_add(self, other: Fen) -> Option<Fen> {
        self.0.checked_add(other.0).map(Fen)
    }

    /// The difference, or `None` when it leaves `i64`.
    pub fn checked_sub(self, other: Fen) -> Option<Fen> {
        self.0.checked_sub(other.0).map(Fen)
    }

    /// The same amount in the other direction.
    #[must_use]
    pub fn negated(self) -> Fen {
        Fen(-self.0)
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Yuan with exactly two decimals, e.g. `-12.30`.
impl fmt::Display for Fen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let fen = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", fen / 100, fen % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_whole_fen_are_read_exactly() {
        for (text, fen) in [("0", 0), ("12", 1200), ("12.3", 1230), ("-12.34", -1234), ("12.340", 1234), ("999999999999.99", 99_999_999_999_999)] {
            assert_eq!(Fen::parse_yuan(text), Ok(Fen(fen)), "{text}");
        }
    }

    #[test]
    fn anything_that_is_not_whole_fen_is_refused() {
        for text in ["", "-", ".5", "5.", "1e3", "1,000.00", "+1", " 1", "1 ", "0x1", "１２", "--1", "1.2.3", "NaN"] {
            assert_eq!(Fen::parse_yuan(text), Err(MoneyError::Shape), "{text}");
        }
        assert_eq!(Fen::parse_yuan("12.345"), Err(MoneyError::Decimals));
        assert_eq!(Fen::parse_yuan("1000000000000"), Err(MoneyError::Range));
        assert_eq!(Fen::parse_yuan("1000000000000000"), Err(MoneyError::Range));
    }

    #[test]
    fn display_is_read_back_as_the_same_amount() {
        for fen in [0, 1, -1, 99, -100, 123_456_789] {
            assert_eq!(Fen::parse_yuan(&Fen(fen).to_string()), Ok(Fen(fen)));
        }
    }
}
