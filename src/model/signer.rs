//! Who decides about money: a name as people write it, and the login that proves who it was.
//!
//! A name is what somebody says of themselves; that two decisions were made by two people is judged by their logins.

use unicode_normalization::UnicodeNormalization;

/// Characters of a name at most.
const NAME_CHARS_MAX: usize = 100;

/// Characters that show nothing or turn the text around them: marks of direction, joiners, fillers, variation
/// selectors, tags (Unicode: Cf and Default_Ignorable_Code_Point, line and paragraph separators).
const UNSEEN: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{ffff}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{10ffff}'),
];

/// A name without surprises: NFKC (UAX #15), trimmed, single spaces.
///
/// # Errors
/// It is empty, too long or has characters nobody sees; the text says which.
pub fn person_name(text: &str) -> Result<String, String> {
    let unseen = |c: &char| {
        c.is_control()
            || UNSEEN
                .iter()
                .any(|(first, last)| (*first..=*last).contains(c))
    };
    if let Some(found) = text.trim().chars().find(unseen) {
        return Err(format!(
            "the name has the character U+{:04X}, which is not seen or turns the text around it; write the name without",
            u32::from(found)
        ));
    }
    let name: String = text
        .nfkc()
        .collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    match name.chars().count() {
        0 => Err("nobody's name was given; say who decides (--by NAME)".into()),
        1..=NAME_CHARS_MAX => Ok(name),
        more => Err(format!(
            "the name has {more} characters; expected at most {NAME_CHARS_MAX}"
        )),
    }
}

/// Whether two names are the same to a person who reads them: without regard to case, width and form.
pub fn same_name(one: &str, other: &str) -> bool {
    let folded = |name: &str| {
        name.nfkc()
            .flat_map(char::to_lowercase)
            .nfkc()
            .collect::<String>()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    folded(one) == folded(other)
}

/// What shows that a login is somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The kernel's audit uid (`/proc/self/loginuid`): set once when somebody logged in, kept over su and sudo.
    Audit,
    /// What sudo says of its caller, borne out by a process of that user above this one.
    Sudo,
    /// The account the command runs under; whoever may use it is the same to us.
    Account,
    /// A partner's client certificate.
    Certificate,
}

impl Proof {
    const ALL: [Proof; 4] = [
        Proof::Audit,
        Proof::Sudo,
        Proof::Account,
        Proof::Certificate,
    ];

    /// The word in the database and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Proof::Audit => "audit",
            Proof::Sudo => "sudo",
            Proof::Account => "account",
            Proof::Certificate => "certificate",
        }
    }

    /// The proof of that word.
    pub fn of_word(word: &str) -> Option<Proof> {
        Proof::ALL.into_iter().find(|proof| proof.word() == word)
    }
}

/// Under which login somebody decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Name of the account, or of the partner.
    pub name: String,
    /// Number of the account on its host.
    pub uid: Option<u32>,
    /// The machine whose account it is.
    pub host: Option<String>,
    pub proof: Proof,
}

impl Login {
    /// A partner's, known by its certificate.
    pub fn of_partner(name: &str) -> Login {
        Login {
            name: format!("partner {name}"),
            uid: None,
            host: None,
            proof: Proof::Certificate,
        }
    }

    /// Whether two logins may be one person's: the same name anywhere, or the same number on one machine.
    pub fn is_same(&self, other: &Login) -> bool {
        let number = self.uid.is_some() && (self.uid, &self.host) == (other.uid, &other.host);
        number || same_name(&self.name, &other.name)
    }
}

/// `li (audit, gw1)`.
impl std::fmt::Display for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{} ({}, {host})", self.name, self.proof.word()),
            None => write!(f, "{} ({})", self.name, self.proof.word()),
        }
    }
}

/// Why two logins do not show two people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProof<'a> {
    /// Of the first nobody knows under which login it was.
    FirstUnknown,
    SecondUnknown,
    /// They may be one person's.
    OneLogin(&'a Login, &'a Login),
}

/// Why a second decision does not show a second person; none when it does.
pub fn no_proof<'a>(first: Option<&'a Login>, second: Option<&'a Login>) -> Option<NoProof<'a>> {
    match (first, second) {
        (None, _) => Some(NoProof::FirstUnknown),
        (Some(_), None) => Some(NoProof::SecondUnknown),
        (Some(first), Some(second)) => first
            .is_same(second)
            .then_some(NoProof::OneLogin(first, second)),
    }
}

/// Somebody who decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// As [`person_name`] has it.
    pub name: String,
    /// None where no login proves who it is.
    pub login: Option<Login>,
}

impl Signer {
    /// Somebody by a name as it was given.
    ///
    /// # Errors
    /// As [`person_name`].
    pub fn new(name: &str, login: Option<Login>) -> Result<Signer, String> {
        Ok(Signer {
            name: person_name(name)?,
            login,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_several_forms_is_one_name() {
        assert_eq!(person_name(" Li\u{3000} Na ").unwrap(), "Li Na");
        assert_eq!(person_name("Ｌｉ Na").unwrap(), "Li Na");
        for other in ["LI NA", "ｌｉ　ｎａ", " Li  Na", "li na"] {
            assert!(same_name("Li Na", other), "{other}");
        }
        assert!(
            same_name("Zoë", "Zoe\u{308}")
                && same_name("王伟", " 王伟")
                && !same_name("王伟", "李娜")
        );
    }

    #[test]
    fn characters_nobody_sees_are_refused_by_number() {
        for (name, number) in [
            ("Li\u{200b}", "U+200B"),
            ("\u{202e}iL", "U+202E"),
            ("Li\u{2066}", "U+2066"),
            ("L\ti", "U+0009"),
            ("Li\u{3164}", "U+3164"),
            ("Li\u{fe0f}", "U+FE0F"),
        ] {
            assert!(
                person_name(name).is_err_and(|error| error.contains(number)),
                "{number}"
            );
        }
        assert!(person_name(" \u{3000}").is_err_and(|error| error.contains("--by NAME")));
        assert!(person_name(&"x".repeat(101)).is_err_and(|error| error.contains("101 characters")));
    }

    #[test]
    fn logins_are_one_person_s_by_name_anywhere_or_by_number_on_one_machine() {
        let login = |name: &str, uid, host: &str| Login {
            name: name.into(),
            uid: Some(uid),
            host: Some(host.into()),
            proof: Proof::Audit,
        };
        assert!(login("li", 1000, "a").is_same(&login("LI", 1001, "b")));
        assert!(login("li", 1000, "a").is_same(&login("alias", 1000, "a")));
        assert!(!login("li", 1000, "a").is_same(&login("wang", 1000, "b")));
        assert!(!Login::of_partner("core").is_same(&login("core", 1000, "a")));
        assert!(
            Proof::ALL
                .into_iter()
                .all(|proof| Proof::of_word(proof.word()) == Some(proof))
        );
    }
}
