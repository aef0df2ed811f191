//! The closed list of what an `[[outbound]]` in adapter.toml can name: envelopes and signatures.
//!
//! Each capability is a module of pure functions; adding one means code here, a line in [`ALL`]
//! and a test with known answers. No capability may read files, clocks or the network: keys come
//! as [`Secrets`], the time and the nonce as values.

use std::collections::BTreeMap;

pub mod nhsa; // the NHSA request envelope
pub mod secrets; // secret files in memory
pub mod sm2_sorted_fields; // cainfo: SM2 over the sorted envelope fields
pub mod tif_sha256; // x-tif-* gateway headers

pub use secrets::Secrets;

use crate::error::did_you_mean;

/// Where a capability is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapabilityKind {
    /// In `envelope`.
    Envelope,
    /// In `sign`.
    Signature,
}

/// A setting of `[partner.settings]` that a capability uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    pub required: bool,
    /// Fewest and most characters.
    pub chars: (usize, usize),
    pub doc: &'static str,
}

/// A secret file of `[partner.secrets]` that a capability uses, always required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretFile {
    pub name: &'static str,
    pub doc: &'static str,
}

/// One thing TOML can name and Rust implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    pub name: &'static str,
    pub kind: CapabilityKind,
    /// One sentence for `adapter list`.
    pub doc: &'static str,
    pub settings: &'static [Setting],
    pub secrets: &'static [SecretFile],
}

/// Every capability, for `adapter list` and did-you-mean.
pub static ALL: &[Capability] = &[
    nhsa::CAPABILITY,
    sm2_sorted_fields::CAPABILITY,
    tif_sha256::CAPABILITY,
];

/// The capability of that name and kind; `none` is `Ok(None)`, an unknown word a safe sentence.
pub fn find(name: &str, kind: CapabilityKind) -> Result<Option<&'static Capability>, String> {
    if name == "none" {
        return Ok(None);
    }
    let of_kind = || ALL.iter().filter(|capability| capability.kind == kind);
    if let Some(found) = of_kind().find(|capability| capability.name == name) {
        return Ok(Some(found));
    }
    let names: Vec<&str> = std::iter::once("none")
        .chain(of_kind().map(|capability| capability.name))
        .collect();
    let what = match kind {
        CapabilityKind::Envelope => "envelope",
        CapabilityKind::Signature => "signature",
    };
    Err(format!(
        "unknown {what} `{name}`{}; known are {}",
        did_you_mean(name, names.iter().copied()),
        names.join(", ")
    ))
}

impl Capability {
    /// What is missing or of the wrong length in a partner's settings and secrets, as safe sentences.
    pub fn check(&self, settings: &BTreeMap<String, String>, secrets: &Secrets) -> Vec<String> {
        let mut problems = Vec::new();
        for setting in self.settings {
            match settings.get(setting.name) {
                None if setting.required => problems.push(format!(
                    "setting `{}` is missing; {} needs it: {}",
                    setting.name, self.name, setting.doc
                )),
                Some(value) => problems.extend(wrong_length(setting, value)),
                None => {}
            }
        }
        for secret in self.secrets {
            if secrets.text(secret.name).is_none() {
                problems.push(format!(
                    "secret `{}` is missing; {} needs it: {}",
                    secret.name, self.name, secret.doc
                ));
            }
        }
        problems
    }
}

fn wrong_length(setting: &Setting, value: &str) -> Option<String> {
    let (fewest, most) = setting.chars;
    let found = value.chars().count();
    if (fewest..=most).contains(&found) {
        return None;
    }
    let expected = if fewest == most {
        format!("exactly {most}")
    } else {
        format!("{fewest} to {most}")
    };
    Some(format!(
        "setting `{}` has {found} characters; expected {expected}: {}",
        setting.name, setting.doc
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_capability_says_what_it_is() {
        for (at, capability) in ALL.iter().enumerate() {
            assert!(
                capability.doc.ends_with('.') && capability.doc.len() > 20,
                "{}",
                capability.name
            );
            assert!(
                ALL[..at]
                    .iter()
                    .all(|earlier| earlier.name != capability.name)
            );
        }
    }

    #[test]
    fn a_misspelt_capability_gets_a_suggestion() {
        assert_eq!(find("none", CapabilityKind::Envelope), Ok(None));
        assert_eq!(
            find("nhsa", CapabilityKind::Envelope)
                .unwrap()
                .unwrap()
                .name,
            "nhsa"
        );
        assert_eq!(
            find("nsha", CapabilityKind::Envelope),
            Err("unknown envelope `nsha` (did you mean `nhsa`?); known are none, nhsa".into())
        );
        let text = find("sm2_sorted_field", CapabilityKind::Signature).unwrap_err();
        assert!(text.starts_with("unknown signature `sm2_sorted_field` (did you mean `sm2_sorted_fields`?); known are none, "), "{text}");
        assert!(
            find("nhsa", CapabilityKind::Signature).is_err(),
            "an envelope is not a signature"
        );
    }
}
