//! Words for deciding which of a person's insurance relations counts.

/// A criterion of a rule; the relation it puts first alone counts, else the next criterion decides among those it puts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// Active people's relations before others.
    Employed,
    /// Relations with a personal account before others.
    WithAccount,
    /// The highest base.
    HighestBase,
}

impl Criterion {
    /// The words an adapter may use.
    pub const WORDS: &'static [&'static str] = &["employed", "with_account", "highest_base"];

    /// The criterion of an adapter's word.
    pub fn of_word(word: &str) -> Option<Criterion> {
        Some(match word {
            "employed" => Criterion::Employed,
            "with_account" => Criterion::WithAccount,
            "highest_base" => Criterion::HighestBase,
            _ => return None,
        })
    }

    /// The adapter's word.
    pub fn word(self) -> &'static str {
        match self {
            Criterion::Employed => "employed",
            Criterion::WithAccount => "with_account",
            Criterion::HighestBase => "highest_base",
        }
    }
}
