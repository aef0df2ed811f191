//! Trouble that goes on, logged once: when it begins, once an hour with its count, and when it ends.
//!
//! Keeps no rows and logs nothing itself; time is passed in, so that it can be tested without waiting.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it is said that trouble goes on.
const REMIND: Duration = Duration::from_secs(3_600);

/// Troubles of one dispatcher, by what does not work.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<BTreeMap<String, Trouble>>);

#[derive(Debug, Clone, Copy)]
struct Trouble {
    began: Instant,
    count: u64,
    told: Instant,
}

/// How long it has gone on, and how often it was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageLength {
    pub time: Duration,
    pub count: u64,
}

impl std::fmt::Display for OutageLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.time.as_secs();
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        match (hours, minutes) {
            (0, 0) => write!(f, "{seconds} s")?,
            (0, _) => write!(f, "{minutes} min {} s", seconds % 60)?,
            _ => write!(f, "{hours} h {minutes} min")?,
        }
        write!(f, ", {} times", self.count)
    }
}

impl Troubles {
    /// It was met (again): what is to be logged, if anything. The first time it has lasted no time.
    pub fn met(&self, what: &str, now: Instant) -> Option<OutageLength> {
        let mut troubles = self.troubles();
        let first = !troubles.contains_key(what);
        let trouble = troubles.entry(what.to_owned()).or_insert(Trouble {
            began: now,
            count: 0,
            told: now,
        });
        trouble.count += 1;
        if !first && now.duration_since(trouble.told) < REMIND {
            return None;
        }
        trouble.told = now;
        Some(OutageLength {
            time: now.duration_since(trouble.began),
            count: trouble.count,
        })
    }

    /// It works: what it had lasted, if it had not worked.
    pub fn over(&self, what: &str, now: Instant) -> Option<OutageLength> {
        let mut troubles = self.troubles();
        if troubles.is_empty() {
            return None;
        }
        troubles.remove(what).map(|trouble| OutageLength {
            time: now.duration_since(trouble.began),
            count: trouble.count,
        })
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_when_it_begins_once_an_hour_and_when_it_ends() {
        let (troubles, begin) = (Troubles::default(), Instant::now());
        let told: Vec<(u64, OutageLength)> = (0..7_500)
            .filter_map(|second| {
                Some((
                    second,
                    troubles.met("claim", begin + Duration::from_secs(second))?,
                ))
            })
            .collect();
        let counts: Vec<(u64, u64)> = told
            .iter()
            .map(|(second, lasted)| (*second, lasted.count))
            .collect();
        assert_eq!(counts, [(0, 1), (3_600, 3_601), (7_200, 7_201)]);
        assert!(
            troubles.met("settle", begin).is_some(),
            "another trouble is told by itself"
        );
        let lasted = troubles
            .over("claim", begin + Duration::from_secs(7_500))
            .unwrap();
        assert_eq!(lasted.to_string(), "2 h 5 min, 7500 times");
        assert_eq!(troubles.over("claim", begin), None);
        assert!(
            troubles.met("claim", begin).is_some(),
            "the next one begins anew"
        );
    }
}
