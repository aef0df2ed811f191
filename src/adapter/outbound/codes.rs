//! Code tables for the way out: `codes/<name>.csv` with the columns theirs, ours, meaning.
//!
//! A table maps one of our words to the code a partner expects. A table that a template uses must
//! give each word exactly one code; tables only used on the way in may give several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Finding, did_you_mean};

/// `ours -> theirs` of every table, and which of our words have several codes.
#[derive(Debug, Default)]
pub struct Codes {
    pub tables: BTreeMap<String, BTreeMap<String, String>>,
    ambiguous: BTreeMap<String, BTreeSet<String>>,
}

/// Reads every table of `folder/codes/`; a table that cannot be read is a finding.
pub fn read(folder: &Path, findings: &mut Vec<Finding>) -> Codes {
    let mut codes = Codes::default();
    let Ok(entries) = std::fs::read_dir(folder.join("codes")) else {
        return codes;
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "csv"))
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if let Err(text) = codes.add(&name, &path) {
            findings.push(Finding::new(path.display().to_string(), None, text));
        }
    }
    codes
}

impl Codes {
    fn add(&mut self, name: &str, path: &Path) -> Result<(), String> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .from_path(path)
            .map_err(|error| format!("cannot be read: {error}"))?;
        let header = reader
            .headers()
            .map_err(|error| format!("cannot be read: {error}"))?;
        let column = |wanted: &str| {
            header
                .iter()
                .position(|found| found == wanted)
                .ok_or_else(|| format!("has no column `{wanted}`; expected theirs,ours,meaning"))
        };
        let (theirs, ours) = (column("theirs")?, column("ours")?);
        let table = self.tables.entry(name.to_owned()).or_default();
        for row in reader.records() {
            let row = row.map_err(|error| format!("cannot be read: {error}"))?;
            let (theirs, ours) = (
                row.get(theirs).unwrap_or_default(),
                row.get(ours).unwrap_or_default(),
            );
            if ours.is_empty() {
                continue; // known, not taken: none of our words
            }
            if table
                .insert(ours.to_owned(), theirs.to_owned())
                .is_some_and(|earlier| earlier != theirs)
            {
                self.ambiguous
                    .entry(name.to_owned())
                    .or_default()
                    .insert(ours.to_owned());
            }
        }
        Ok(())
    }

    /// What is wrong with the tables a template names in `code("...")`, as `(offset, text)`.
    pub fn check_uses(&self, source: &str) -> Vec<(usize, String)> {
        let mut problems = Vec::new();
        for (offset, name) in uses(source) {
            if !self.tables.contains_key(name) {
                let known = self.tables.keys().map(String::as_str);
                problems.push((
                    offset,
                    format!(
                        "there is no codes/{name}.csv{}; add it or name another table",
                        did_you_mean(name, known)
                    ),
                ));
            }
            for word in self.ambiguous.get(name).into_iter().flatten() {
                problems.push((offset, format!("codes/{name}.csv gives `{word}` several codes; a table used on the way out needs one")));
            }
        }
        problems
    }
}

/// The literal first argument of every `code(...)`.
fn uses(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source.match_indices("code(").filter_map(|(at, mark)| {
        let rest = source[at + mark.len()..].trim_start();
        let quote = rest
            .chars()
            .next()
            .filter(|quote| matches!(quote, '"' | '\''))?;
        rest[1..].split_once(quote).map(|(name, _)| (at, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_used_outbound_must_give_each_word_one_code() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("codes")).unwrap();
        std::fs::write(
            dir.path().join("codes/kind.csv"),
            "theirs,ours,meaning\n10,normal,正常\n30, back_payment,\n31,back_payment,\n",
        )
        .unwrap();
        let mut findings = Vec::new();
        let codes = read(dir.path(), &mut findings);
        assert_eq!(findings, []);
        assert_eq!(codes.tables["kind"]["normal"], "10");
        let texts: Vec<String> = codes
            .check_uses("{{ a|code(\"kind\") }} {{ b|code('kinds') }}")
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert!(
            texts[0].contains("gives `back_payment` several codes"),
            "{texts:?}"
        );
        assert!(
            texts[1].contains("no codes/kinds.csv (did you mean `kind`?)"),
            "{texts:?}"
        );
    }

    #[test]
    fn a_table_without_the_columns_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("codes")).unwrap();
        std::fs::write(dir.path().join("codes/kind.csv"), "code,meaning\n10,x\n").unwrap();
        let mut findings = Vec::new();
        read(dir.path(), &mut findings);
        assert!(findings[0].text.contains("no column `theirs`"));
    }
}
