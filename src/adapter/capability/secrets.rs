//! Secret files of a partner (keys, tokens) in memory.
//!
//! Never printed: Debug shows nothing, errors name the file but not its content, and the bytes are
//! overwritten when dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::error::Finding;

/// A secret is a key or a token, never a document.
const BYTES_MAX: u64 = 64 * 1024;

/// The contents of a partner's secret files by name, surrounding white space removed.
#[derive(Default)]
pub struct Secrets(BTreeMap<String, Vec<u8>>);

impl Secrets {
    /// Reads every file; returns all that cannot be read, are empty, too large or not UTF-8.
    pub fn load(files: &BTreeMap<String, PathBuf>) -> Result<Secrets, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut secrets = Secrets::default();
        for (name, path) in files {
            match read(path) {
                Ok(content) => secrets.insert(name, &content),
                Err(text) => findings.push(Finding::new(
                    path.display().to_string(),
                    None,
                    format!("secret `{name}` {text}"),
                )),
            }
        }
        if findings.is_empty() {
            Ok(secrets)
        } else {
            Err(findings)
        }
    }

    /// Secrets already in memory, for simulated partners and samples.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Secrets {
        let mut secrets = Secrets::default();
        for (name, content) in pairs {
            secrets.insert(name, content);
        }
        secrets
    }

    fn insert(&mut self, name: &str, content: &str) {
        self.0
            .insert(name.to_owned(), content.trim().as_bytes().to_vec());
    }

    /// The secret of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

fn read(path: &std::path::Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| format!("cannot be read: {error}; expected a key or token file here"))?
        .len();
    if length > BYTES_MAX {
        return Err(format!(
            "has {length} bytes; expected a key or token of at most {BYTES_MAX}"
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| "is not UTF-8 text; expected PEM, hexadecimal digits or a token".to_owned())?;
    if text.trim().is_empty() {
        Err("is empty; put the key or token into it".into())
    } else {
        Ok(text)
    }
}

/// Nothing, not even names.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        for bytes in self.0.values_mut() {
            bytes.fill(0);
            std::hint::black_box(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_trimmed_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), " open sesame \n").unwrap();
        let secrets = Secrets::load(&BTreeMap::from([(
            "tif_token".to_owned(),
            dir.path().join("token"),
        )]))
        .unwrap();
        assert_eq!(secrets.text("tif_token"), Some("open sesame"));
        assert_eq!(secrets.text("other"), None);
        assert_eq!(
            format!("{secrets:?} {secrets:#?}"),
            "Secrets(..) Secrets(..)"
        );
    }

    #[test]
    fn every_unusable_secret_file_is_found_at_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
        let files =
            ["empty", "binary", "missing"].map(|name| (name.to_owned(), dir.path().join(name)));
        let texts: Vec<String> = Secrets::load(&BTreeMap::from(files))
            .unwrap_err()
            .into_iter()
            .map(|finding| finding.text)
            .collect();
        assert_eq!(texts.len(), 3);
        assert!(
            texts[0].contains("not UTF-8")
                && texts[1].contains("is empty")
                && texts[2].contains("cannot be read"),
            "{texts:?}"
        );
    }
}
