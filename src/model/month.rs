//! Contribution months (费款所属期), `YYYYMM` on the wire.
//!
//! A month is a plain ordered number; which months are acceptable is the flow's business.

use std::fmt;

/// A calendar month between 1990-01 and 2199-12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month, or `None` outside 1990..=2199 or 1..=12.
    pub fn new(year: i16, month: i8) -> Option<Month> {
        ((1990..=2199).contains(&year) && (1..=12).contains(&month))
            .then_some(Month { year, month })
    }

    /// Reads `YYYYMM`.
    pub fn parse(text: &str) -> Option<Month> {
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Month::new(text[..4].parse().ok()?, text[4..].parse().ok()?)
    }

    /// Reads `YYYY-MM`, the form configuration files use.
    pub fn parse_dashed(text: &str) -> Option<Month> {
        let (year, month) = text.split_once('-')?;
        (year.len() == 4 && month.len() == 2).then(|| Month::parse(&format!("{year}{month}")))?
    }

    /// The month of a date.
    pub fn of(date: jiff::civil::Date) -> Option<Month> {
        Month::new(date.year(), date.month())
    }

    /// The number `YYYYMM`, as stored.
    pub fn number(self) -> i32 {
        i32::from(self.year) * 100 + i32::from(self.month)
    }

    /// The month of a stored number `YYYYMM`.
    pub fn from_number(number: i32) -> Option<Month> {
        Month::new(
            (number / 100).try_into().ok()?,
            (number % 100).try_into().ok()?,
        )
    }

    pub fn year(self) -> i16 {
        self.year
    }

    pub fn month(self) -> i8 {
        self.month
    }

    /// The month after this one; saturates at the last representable month.
    #[must_use]
    pub fn next(self) -> Month {
        if self.month == 12 {
            Month::new(self.year + 1, 1).unwrap_or(self)
        } else {
            Month {
                month: self.month + 1,
                ..self
            }
        }
    }
}

/// `YYYY-MM`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_digits_that_name_a_month_are_a_month() {
        assert_eq!(Month::parse("202110").map(Month::number), Some(202_110));
        for text in [
            "", "20211", "202113", "202100", "2021-1", "198912", "220001", "2021１", "+02110",
        ] {
            assert_eq!(Month::parse(text), None, "{text}");
        }
    }

    #[test]
    fn december_is_followed_by_january() {
        assert_eq!(
            Month::parse("202112").map(|month| month.next().number()),
            Some(202_201)
        );
    }
}
