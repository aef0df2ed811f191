//! Divisions of GB/T 2260, and which of them lie in a pooling area (统筹区).
//!
//! By their digits alone: whether a division exists, or was renamed, is the code tables' business.

use std::fmt;

/// A division of GB/T 2260, such as a pooling area or a district of one: six digits, held as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Division(u32);

impl Division {
    /// Reads exactly six digits.
    pub fn parse(text: &str) -> Option<Division> {
        is_code(text)
            .then(|| text.parse().ok().map(Division))
            .flatten()
    }

    /// The division a column holds; none of a number that has more than six digits.
    pub fn from_number(number: i32) -> Option<Division> {
        u32::try_from(number)
            .ok()
            .filter(|number| *number < 1_000_000)
            .map(Division)
    }

    /// The code as a number below 1 000 000.
    pub fn number(self) -> i32 {
        self.0.cast_signed()
    }

    /// The six digits.
    pub fn digits(self) -> [u8; 6] {
        [100_000, 10_000, 1_000, 100, 10, 1].map(|unit| b'0' + (self.0 / unit % 10) as u8)
    }
}

/// Six digits.
impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// The digits all districts of an area begin with: two of a province (`460000`) or a municipality directly
/// under the central government (11, 12, 31, 50), whose counties have other middle digits; four of a city.
pub fn scope(area: &str) -> &str {
    let municipality = ["11", "12", "31", "50"]
        .iter()
        .any(|code| area.starts_with(code));
    let digits = if municipality || area.ends_with("0000") {
        2
    } else {
        4
    };
    area.get(..digits).unwrap_or(area)
}

/// Whether a district lies in the area.
pub fn belongs(district: Division, area: Division) -> bool {
    let (district, area) = (district.0, area.0);
    let province = area / 10_000;
    if matches!(province, 11 | 12 | 31 | 50) || area % 10_000 == 0 {
        district / 10_000 == province
    } else {
        district / 100 == area / 100
    }
}

/// The city a division lies in: its first four digits as a number. None where it does not begin with four.
pub fn city(division: &str) -> Option<i32> {
    division
        .get(..4)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

/// The cities that lie in a pooling area, by the numbers of [`city`]: one, or all that a province can have.
pub fn cities(area: &str) -> Vec<i32> {
    let scope = scope(area);
    match (scope.len(), scope.parse::<i32>()) {
        (2, Ok(province)) => (province * 100..province * 100 + 100).collect(),
        (_, Ok(city)) => vec![city],
        _ => Vec::new(),
    }
}

/// Whether a text has the form of a division code.
pub fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn division(number: i32) -> Division {
        Division::from_number(number).expect("six digits")
    }

    #[test]
    fn only_six_digits_are_a_division() {
        let division = Division::parse("010203").expect("six digits");
        assert_eq!(
            (division.to_string().as_str(), division.number()),
            ("010203", 10_203)
        );
        assert_eq!(&division.digits(), b"010203");
        assert_eq!(Division::from_number(10_203), Some(division));
        for text in ["", "45010", "4501022", "45010a", "４５", "+45010"] {
            assert_eq!(Division::parse(text), None, "{text}");
        }
        for number in [-1, 1_000_000] {
            assert_eq!(Division::from_number(number), None, "{number}");
        }
    }

    #[test]
    fn districts_of_cities_provinces_and_municipalities_are_told_from_others() {
        for (area, prefix) in [
            ("450100", "4501"),
            ("460000", "46"),
            ("500100", "50"),
            ("510100", "5101"),
        ] {
            assert_eq!(scope(area), prefix, "{area}");
            let number = |text: &str| format!("{text:0<6}").parse::<i32>().expect("digits");
            assert!(
                belongs(division(number(prefix) + 3), division(number(area))),
                "{area}"
            );
        }
        for (district, area, inside) in [
            (450_199, 450_100, true),
            (450_203, 450_100, false),
            (460_203, 460_000, true),
            (500_230, 500_100, true),
            (510_103, 500_100, false),
            (110_101, 310_100, false),
        ] {
            assert_eq!(
                belongs(division(district), division(area)),
                inside,
                "{district} in {area}"
            );
            let city = city(&district.to_string()).expect("digits");
            assert_eq!(
                cities(&area.to_string()).contains(&city),
                inside,
                "{city} in {area}"
            );
        }
    }
}
