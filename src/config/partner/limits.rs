//! `[partner.outbound.limits]`: what a destination takes at most, as it is written and checked.
//!
//! Says what the limits are. Keeping them is the business of `link::pace`, `link::quota` and the
//! destination's dispatcher.

use std::fmt;

use jiff::civil::Time;
use serde::Deserialize;

/// Every limit a destination can have; those left out do not exist.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationLimits {
    /// Requests per second: in no second more, or, with `burst`, the rate at which a bucket of that size fills.
    pub requests_per_second: u32,
    /// Requests that may leave at once after a pause; absent: they leave evenly.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Requests in one calendar day of Asia/Shanghai.
    #[serde(default)]
    pub requests_per_day: Option<u32>,
    /// The hours of the day in Asia/Shanghai in which requests are taken.
    #[serde(default)]
    pub window: Option<DayWindow>,
    /// Requests under way at once.
    #[serde(default = "default_concurrent")]
    pub concurrent: usize,
    /// Records in one request; the adapter's own maximum when absent, and never more than it.
    #[serde(default)]
    pub records_per_request: Option<u32>,
}

fn default_concurrent() -> usize {
    4
}

impl DestinationLimits {
    /// Only a rate; no other limit.
    pub fn per_second(requests_per_second: u32) -> DestinationLimits {
        DestinationLimits {
            requests_per_second,
            burst: None,
            requests_per_day: None,
            window: None,
            concurrent: default_concurrent(),
            records_per_request: None,
        }
    }

    pub(super) fn check(&self, name: &str, problem: &mut dyn FnMut(&str, String)) {
        let counts = [
            (
                "requests_per_second",
                Some(u64::from(self.requests_per_second)),
            ),
            ("burst", self.burst.map(u64::from)),
            ("requests_per_day", self.requests_per_day.map(u64::from)),
            ("concurrent", Some(self.concurrent as u64)),
            (
                "records_per_request",
                self.records_per_request.map(u64::from),
            ),
        ];
        for (key, _) in counts.iter().filter(|(_, count)| *count == Some(0)) {
            problem(
                key,
                format!(
                    "partner `{name}`: {key} is 0; expected at least 1, or remove [partner.outbound] to stop sending"
                ),
            );
        }
    }
}

/// A span of every day, Asia/Shanghai; one that ends before it begins spans midnight.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DayWindow {
    pub from: Time,
    pub to: Time,
}

impl TryFrom<String> for DayWindow {
    type Error = String;

    fn try_from(text: String) -> Result<DayWindow, String> {
        let time = |text: &str| Time::strptime("%H:%M", text).ok();
        let window = text.split_once('-').and_then(|(from, to)| {
            Some(DayWindow {
                from: time(from)?,
                to: time(to)?,
            })
        });
        match window {
            Some(window) if window.from != window.to => Ok(window),
            _ => Err(format!(
                "`{text}` is not a window of the day; expected two different times such as \"01:00-05:00\" (Asia/Shanghai)"
            )),
        }
    }
}

impl fmt::Debug for DayWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}",
            self.from.strftime("%H:%M"),
            self.to.strftime("%H:%M")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_two_times_and_may_span_midnight() {
        let parse = |text: &str| DayWindow::try_from(text.to_owned());
        assert_eq!(
            format!("{:?}", parse("22:30-05:00").unwrap()),
            "22:30-05:00"
        );
        for text in [
            "",
            "01:00",
            "01:00-01:00",
            "1-5",
            "25:00-26:00",
            "01:00-05:00-06:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_of_nothing_and_an_unknown_limit_are_found() {
        let limits: DestinationLimits =
            toml::from_str("requests_per_second = 0\nrequests_per_day = 0").unwrap();
        let mut problems = Vec::new();
        limits.check("civil-affairs", &mut |_, text| problems.push(text));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].contains("requests_per_day is 0"));
        assert!(
            toml::from_str::<DestinationLimits>("requests_per_second = 1\nrequests_per_hour = 1")
                .is_err()
        );
    }
}
