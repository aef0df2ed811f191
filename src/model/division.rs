//! Which divisions of GB/T 2260 lie in a pooling area (统筹区).
//!
//! By their digits alone: whether a division exists, or was renamed, is the code tables' business.

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

/// Whether a district lies in the area; both as numbers of six digits.
pub fn belongs(district: i32, area: i32) -> bool {
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
            assert!(belongs(number(prefix) + 3, number(area)), "{area}");
        }
        for (district, area, inside) in [
            (450_199, 450_100, true),
            (450_203, 450_100, false),
            (460_203, 460_000, true),
            (500_230, 500_100, true),
            (510_103, 500_100, false),
            (110_101, 310_100, false),
        ] {
            assert_eq!(belongs(district, area), inside, "{district} in {area}");
            let city = city(&district.to_string()).expect("digits");
            assert_eq!(
                cities(&area.to_string()).contains(&city),
                inside,
                "{city} in {area}"
            );
        }
    }
}
