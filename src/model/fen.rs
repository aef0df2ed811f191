//! Money as whole fen (0.01 yuan) in a checked `i64`.
//!
//! The only place that turns text into money and back, by the reader of [`decimal`]. It must never
//! round: an amount that is not exactly representable in fen is refused.

use std::fmt;

use super::decimal::{self, DecimalError, Unit};

/// An amount in fen; negative for refunds and reversals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fen(pub i64);

/// Digits an amount in fen may have: twelve of whole yuan, far above any premium of a whole city, and two.
const DIGITS_MAX: u32 = 14;
const YUAN: Unit = Unit {
    expected: "an amount in yuan such as 1234.56",
    inexact: "has more than two decimals; amounts are whole fen",
    range: "is larger than 999999999999.99 yuan",
};
const WHOLE_FEN: Unit = Unit {
    expected: "an amount in whole fen such as 123456",
    inexact: "is not in whole fen",
    range: "is longer than 14 digits",
};

/// Why a text is not an amount of money; the text is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("{}", .0.told(&YUAN))]
    Yuan(DecimalError),
    #[error("{}", .0.told(&WHOLE_FEN))]
    Fen(DecimalError),
}

impl Fen {
    pub const ZERO: Fen = Fen(0);

    /// Reads yuan in any spelling of a decimal ([`decimal`]) that is whole fen: `12.3`, `-12.340`, `1.25E7`.
    pub fn parse_yuan(text: &str) -> Result<Fen, MoneyError> {
        decimal::read(text, 2, DIGITS_MAX)
            .map(Fen)
            .map_err(MoneyError::Yuan)
    }

    /// Reads fen in any spelling of a whole number: `-1234`, `1234.0`.
    pub fn parse_fen(text: &str) -> Result<Fen, MoneyError> {
        decimal::read(text, 0, DIGITS_MAX)
            .map(Fen)
            .map_err(MoneyError::Fen)
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
    fn amounts_of_whole_fen_are_read_exactly_however_they_are_written() {
        for (text, fen) in [
            ("0", 0),
            ("12", 1200),
            ("12.3", 1230),
            ("-12.34", -1234),
            ("12.340", 1234),
            ("1.25E7", 1_250_000_000),
            ("0E-8", 0),
            (".5", 50),
            ("+1.00", 100),
            ("5.", 500),
            ("999999999999.99", 99_999_999_999_999),
        ] {
            assert_eq!(Fen::parse_yuan(text), Ok(Fen(fen)), "{text}");
        }
        assert_eq!(
            (
                Fen::parse_fen("-1234"),
                Fen::parse_fen("1.234E3"),
                Fen::parse_fen("1234.0")
            ),
            (Ok(Fen(-1234)), Ok(Fen(1234)), Ok(Fen(1234)))
        );
    }

    #[test]
    fn anything_that_is_not_whole_fen_is_refused_for_its_cause() {
        for (text, cause) in [
            ("", "expected an amount in yuan such as 1234.56"),
            ("--1", "expected an amount in yuan such as 1234.56"),
            ("1,000.00", "has the separator `,` between its digits"),
            ("１２", "has digits other than 0 to 9"),
            ("1E", "has an exponent that is no whole number"),
            (
                "12.345",
                "has more than two decimals; amounts are whole fen",
            ),
            (
                "12345E-3",
                "has more than two decimals; amounts are whole fen (its exponent carried out)",
            ),
            ("1000000000000", "is larger than 999999999999.99 yuan"),
            (
                "1E12",
                "is larger than 999999999999.99 yuan (its exponent carried out)",
            ),
        ] {
            let reason = Fen::parse_yuan(text).expect_err(text).to_string();
            assert!(reason.starts_with(cause), "{text}: {reason}");
        }
        assert_eq!(
            Fen::parse_fen("1.5").expect_err("half a fen").to_string(),
            "is not in whole fen"
        );
    }

    #[test]
    fn display_is_read_back_as_the_same_amount() {
        for fen in [0, 1, -1, 99, -100, 123_456_789] {
            assert_eq!(Fen::parse_yuan(&Fen(fen).to_string()), Ok(Fen(fen)));
        }
    }
}
