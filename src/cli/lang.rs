//! In which language commands speak: English, or Chinese with `--lang zh` or a Chinese locale.
//!
//! What is said stays where it arises, in English; here are its Chinese sentences, found by the English ones, as those of
//! receipts are. What the tables do not know, such as a finding in an adapter's file, is said in English.

use std::sync::OnceLock;

use crate::model::phrase::{self, Phrase};

mod dead; // dead letters
mod doctor; // findings before serving
pub mod help; // commands and options
mod table; // what help says

/// A language of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    En,
    Zh,
}

static CHOSEN: OnceLock<Lang> = OnceLock::new();

impl Lang {
    /// The language of this process: `--lang` before anything else, since help is printed while arguments are read, else the
    /// first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set.
    pub fn of(
        mut arguments: impl Iterator<Item = String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Lang {
        while let Some(argument) = arguments.next() {
            let value = if argument == "--lang" {
                arguments.next()
            } else {
                argument.strip_prefix("--lang=").map(str::to_owned)
            };
            match value.as_deref() {
                Some("zh") => return Lang::Zh,
                Some("en") => return Lang::En,
                _ => {}
            }
        }
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(variable)
            .find(|value| !value.is_empty());
        if locale.is_some_and(|locale| locale.starts_with("zh")) {
            Lang::Zh
        } else {
            Lang::En
        }
    }

    /// Chooses the language of this process, once.
    pub fn choose(self) {
        // A second choice would be a mistake of ours; the first stays.
        let _ = CHOSEN.set(self);
    }
}

/// Whether this process speaks Chinese.
pub fn is_chinese() -> bool {
    CHOSEN.get() == Some(&Lang::Zh)
}

/// A text in the language chosen.
pub fn said(english: &str) -> String {
    if is_chinese() {
        chinese(english)
    } else {
        english.to_owned()
    }
}

/// What doctor looked at, in the language chosen.
pub fn subject(english: &str) -> String {
    let known = is_chinese()
        .then(|| phrase::chinese(doctor::SUBJECTS, english))
        .flatten();
    known.unwrap_or_else(|| said(english))
}

/// A page in the language chosen, line by line, each keeping its indent.
pub fn page(english: &str) -> String {
    if !is_chinese() {
        return english.to_owned();
    }
    english
        .lines()
        .map(|line| {
            format!(
                "{}{}\n",
                &line[..line.len() - line.trim_start().len()],
                chinese(line.trim_start())
            )
        })
        .collect()
}

/// The Chinese of a text, or itself where nobody has written it.
fn chinese(english: &str) -> String {
    let tables: [&[Phrase]; 2] = [doctor::PHRASES, dead::PHRASES];
    tables
        .into_iter()
        .find_map(|table| phrase::wholly_chinese(table, english))
        .unwrap_or_else(|| english.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_counts_before_the_locale_and_the_locale_by_its_first_variable() {
        let of = |arguments: &str, locale: &'static [(&str, &str)]| {
            let variable = |name: &str| {
                locale
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            Lang::of(arguments.split(' ').map(str::to_owned), variable)
        };
        for (arguments, locale, expected) in [
            ("doctor", &[][..], Lang::En),
            ("doctor --lang zh", &[], Lang::Zh),
            ("--lang=zh doctor", &[], Lang::Zh),
            ("doctor --lang en", &[("LC_ALL", "zh_CN.UTF-8")], Lang::En),
            ("doctor", &[("LANG", "zh_CN.UTF-8")], Lang::Zh),
            (
                "doctor",
                &[("LC_MESSAGES", "zh_TW"), ("LANG", "en_US")],
                Lang::Zh,
            ),
            (
                "doctor",
                &[("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")],
                Lang::En,
            ),
            (
                "doctor",
                &[("LC_ALL", ""), ("LANG", "zh_CN.UTF-8")],
                Lang::Zh,
            ),
            ("doctor --lang", &[], Lang::En),
        ] {
            assert_eq!(of(arguments, locale), expected, "{arguments} {locale:?}");
        }
    }

    #[test]
    fn no_row_hides_another_and_both_languages_have_the_same_places() {
        for table in [doctor::SUBJECTS, doctor::PHRASES, dead::PHRASES] {
            assert_eq!(phrase::faults(table), [""; 0]);
            for (english, chinese) in table {
                assert!(!chinese.is_ascii(), "{english}");
            }
        }
    }
}
