//! Faults: where something went wrong, whose fault it is, whether to try again, and a safe text.
//!
//! The text of a fault reaches logs, pages and partners, so it never holds private data, request
//! bodies or secrets.

use std::fmt;

mod toml_words; // what the reader of TOML says, in our words

pub use toml_words::{in_words, unknown_key, unreadable};

/// The step in which a fault arose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Config,
    Identity,
    Receive,
    Decode,
    Apportion,
    Store,
    Render,
    Send,
    Judge,
}

/// Whose fault it is, hence who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Partner,
    Gateway,
    Operator,
}

/// Whether the same thing may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Never,
    Later,
    /// Ask about the outcome first.
    Inquire,
}

/// What went wrong, in words that say what was found, what was expected and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub stage: Stage,
    pub origin: Origin,
    pub retry: Retry,
    pub text: String,
}

impl Fault {
    pub fn new(stage: Stage, origin: Origin, retry: Retry, text: impl Into<String>) -> Fault {
        Fault {
            stage,
            origin,
            retry,
            text: text.into(),
        }
    }

    /// The partner sent something it must mend.
    pub fn partner(stage: Stage, text: impl Into<String>) -> Fault {
        Fault::new(stage, Origin::Partner, Retry::Never, text)
    }

    /// The operator must mend configuration, certificates, an adapter or the machine.
    pub fn operator(stage: Stage, text: impl Into<String>) -> Fault {
        Fault::new(stage, Origin::Operator, Retry::Never, text)
    }

    /// The gateway or its database cannot do it now.
    pub fn later(stage: Stage, text: impl Into<String>) -> Fault {
        Fault::new(stage, Origin::Gateway, Retry::Later, text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

/// One finding about a configuration or adapter file, spoken like a compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path as the user gave it, e.g. `adapters/tax-bureau/adapter.toml`.
    pub file: String,
    /// 1-based line and column, where known.
    pub at: Option<(usize, usize)>,
    /// What was found, what is allowed, what to do; may add "did you mean `x`?".
    pub text: String,
}

impl Finding {
    pub fn new(
        file: impl Into<String>,
        at: Option<(usize, usize)>,
        text: impl Into<String>,
    ) -> Finding {
        Finding {
            file: file.into(),
            at,
            text: text.into(),
        }
    }

    /// A finding at a byte offset of a file's text.
    pub fn at_offset(
        file: impl Into<String>,
        source: &str,
        offset: usize,
        text: impl Into<String>,
    ) -> Finding {
        let before = &source[..source.floor_char_boundary(offset.min(source.len()))];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Finding::new(file, Some((line, column)), text)
    }
}

/// `file:line:column: text`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.text),
            None => write!(f, "{}: {}", self.file, self.text),
        }
    }
}

/// The nearest of `allowed` to `found`, as ` (did you mean `x`?)`, or nothing when none is near.
pub fn did_you_mean<'a>(found: &str, allowed: impl IntoIterator<Item = &'a str>) -> String {
    allowed
        .into_iter()
        .map(|word| (strsim::osa_distance(found, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min()
        .map_or_else(String::new, |(_, word)| {
            format!(" (did you mean `{word}`?)")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_line_and_column_in_characters() {
        let finding = Finding::at_offset("a.toml", "x = 1\n名 = 2\n", 10, "unknown key");
        assert_eq!(finding.to_string(), "a.toml:2:3: unknown key");
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(
            did_you_mean("employer_pay", ["employer_paid", "headcount"]),
            " (did you mean `employer_paid`?)"
        );
        assert_eq!(did_you_mean("zebra", ["employer_paid", "headcount"]), "");
        assert_eq!(
            did_you_mean("form", ["format", "from"]),
            " (did you mean `from`?)",
            "two letters in the wrong order are one mistake"
        );
    }
}
