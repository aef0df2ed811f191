//! What the query of a roster says: its number, what it is, of which area and month.
//!
//! Reads and explains; whether area and month may be is the flow's business.

use std::collections::BTreeMap;

use crate::error::did_you_mean;
use crate::model::{Division, Month, mask};

/// Characters of a roster's number.
const NUMBER_CHARS_MAX: usize = 64;
const PARAMETERS: [&str; 4] = ["roster_no", "kind", "area", "month"];

/// What a roster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterKind {
    /// Everybody insured in the area.
    Full,
    /// Only people of whom something changed.
    Changes,
}

impl RosterKind {
    /// The word in queries and the database.
    pub fn word(self) -> &'static str {
        match self {
            RosterKind::Full => "full",
            RosterKind::Changes => "changes",
        }
    }

    pub fn is_full(self) -> bool {
        self == RosterKind::Full
    }
}

/// A roster's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterHead {
    pub roster_no: String,
    pub kind: RosterKind,
    /// Pooling area, six digits.
    pub area: String,
    /// The same as stored.
    pub division: Division,
    pub month: Month,
}

impl RosterHead {
    /// Reads the query's parameters, or says which one is wrong, what was found and what is expected.
    pub fn of_query(query: &[(String, String)]) -> Result<RosterHead, String> {
        if let Some((name, _)) = query
            .iter()
            .find(|(name, _)| !PARAMETERS.contains(&name.as_str()))
        {
            return Err(format!(
                "there is no parameter `{}`{}; expected are {}",
                mask::word(name, PARAMETERS),
                did_you_mean(name, PARAMETERS),
                PARAMETERS.join(", ")
            ));
        }
        let roster_no = one(query, "roster_no", "the roster's number")?;
        if roster_no.chars().count() > NUMBER_CHARS_MAX || roster_no.chars().any(char::is_control) {
            return Err(format!(
                "roster_no is longer than {NUMBER_CHARS_MAX} characters or has control characters in it; expected the roster's number"
            ));
        }
        if mask::is_certain(roster_no) || mask::is_name(roster_no) {
            return Err("roster_no holds the number of a person's certificate, or a name; expected a number of the sender's own".to_string());
        }
        let kind = match one(query, "kind", "full or changes")? {
            "full" => RosterKind::Full,
            "changes" => RosterKind::Changes,
            other => {
                return Err(format!(
                    "kind is `{}`; expected full or changes",
                    mask::word(other, ["full", "changes"])
                ));
            }
        };
        let area = one(query, "area", "a pooling area, six digits of GB/T 2260")?;
        let division = Division::parse(area).ok_or_else(|| {
            format!(
                "area is `{}`; expected a pooling area, six digits of GB/T 2260",
                mask::word(area, [])
            )
        })?;
        let month = one(query, "month", "a month such as 202110")?;
        let parsed = Month::parse(month).or_else(|| Month::parse_dashed(month));
        let month = parsed.ok_or_else(|| {
            format!(
                "month is `{}`; expected a month such as 202110, from 1990 to 2199",
                mask::word(month, [])
            )
        })?;
        Ok(RosterHead {
            roster_no: roster_no.to_string(),
            kind,
            area: area.to_string(),
            division,
            month,
        })
    }

    /// The head as the line an adapter reads before the body's lines.
    pub fn line(&self) -> String {
        let mut values = self.values();
        values.insert("roster_no".into(), self.roster_no.clone());
        serde_json::json!(values).to_string() + "\n"
    }

    /// What the reply may repeat of it.
    pub fn values(&self) -> BTreeMap<String, String> {
        let values = [
            ("kind", self.kind.word().to_string()),
            ("area", self.area.clone()),
            ("month", self.month.number().to_string()),
        ];
        values
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect()
    }
}

/// The only value of a parameter.
fn one<'q>(query: &'q [(String, String)], name: &str, expected: &str) -> Result<&'q str, String> {
    let mut values = query
        .iter()
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value.trim());
    match (
        values.next().filter(|value| !value.is_empty()),
        values.next(),
    ) {
        (Some(value), None) => Ok(value),
        (_, Some(_)) => Err(format!("{name} occurs twice; expected {expected} once")),
        (None, None) => Err(format!("{name} is missing; expected {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(query: &str) -> Result<RosterHead, String> {
        let pairs: Vec<_> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        RosterHead::of_query(&pairs)
    }

    #[test]
    fn a_query_says_what_a_roster_is() {
        let head = head("roster_no=R202110&kind=full&area=450100&month=2021-10").expect("a head");
        assert_eq!(
            (head.division.number(), head.month.number(), head.kind),
            (450_100, 202_110, RosterKind::Full)
        );
        assert_eq!(
            head.line(),
            "{\"area\":\"450100\",\"kind\":\"full\",\"month\":\"202110\",\"roster_no\":\"R202110\"}\n"
        );
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_was_found_and_expected() {
        let long = format!(
            "roster_no={}&kind=full&area=450100&month=202110",
            "R".repeat(65)
        );
        for (query, expected) in [
            (
                "kind=full&area=450100&month=202110",
                "roster_no is missing; expected the roster's number",
            ),
            (
                "roster_no=&kind=full&area=450100&month=202110",
                "roster_no is missing; expected the roster's number",
            ),
            (
                "roster_no=R&kind=whole&area=450100&month=202110",
                "kind is `(5 characters)`; expected full or changes",
            ),
            (
                "roster_no=R&kind=full&area=45010&month=202110",
                "area is `45010`; expected a pooling area, six digits of GB/T 2260",
            ),
            (
                "roster_no=R&kind=full&area=450100&month=202113",
                "month is `202113`; expected a month such as 202110, from 1990 to 2199",
            ),
            (
                "roster_no=R&kind=full&area=450100&month=202110&month=202111",
                "month occurs twice; expected a month such as 202110 once",
            ),
            (
                "roster_no=R&kinds=full&area=450100&month=202110",
                "there is no parameter `kinds` (did you mean `kind`?); expected are roster_no, kind, area, month",
            ),
            (
                &long,
                "roster_no is longer than 64 characters or has control characters in it; expected the roster's number",
            ),
        ] {
            assert_eq!(head(query).expect_err("not a head"), expected, "{query}");
        }
    }
}
