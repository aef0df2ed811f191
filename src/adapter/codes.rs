//! Code tables: `codes/<name>.csv` with the columns `theirs,ours,meaning` and, where codes were renamed, `successor`.
//!
//! A code with no row is refused. An empty `ours` says: we know what it means and do not take it;
//! the refusal then quotes the meaning. `13*` stands for every code that begins so, and is never
//! taken. A table belongs to one adapter and is never shared.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Finding, did_you_mean};
use crate::model::{Division, FieldType};

/// Codes a refusal lists at most.
const LISTED_MAX: usize = 15;
const HEADER: [&str; 3] = ["theirs", "ours", "meaning"];
/// The column that may follow.
const SUCCESSOR: &str = "successor";

/// One table.
#[derive(Debug)]
pub struct CodeTable {
    /// `codes/x.csv`, for findings.
    pub(super) file: String,
    /// The same for refusals, which leave the machine: from the adapter's own folder on.
    place: String,
    /// Sorted by `theirs`.
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    theirs: String,
    /// Empty when not taken.
    ours: String,
    meaning: String,
    /// The code that took its place; empty when none did.
    successor: String,
    line: usize,
}

/// The codes of a table as one field takes them.
#[derive(Debug)]
pub(super) struct FieldCodes {
    /// Sorted by their code.
    single: Vec<(String, CodeMeaning)>,
    /// What all codes with a beginning are; none of them is taken.
    families: Vec<(String, CodeMeaning)>,
    /// What to say of any other.
    unknown: String,
}

/// What becomes of a code.
#[derive(Debug)]
pub(super) enum CodeMeaning {
    /// Index into the field's closed list.
    Word(u16),
    /// A division, as the table names it; and as one, unless it is not of six digits.
    Division(String, Option<Division>),
    /// Known, not taken: the reason.
    Refused(String),
}

impl FieldCodes {
    /// What becomes of a code; of an unknown one the reason to refuse it.
    pub(super) fn find(&self, code: &str) -> Result<&CodeMeaning, String> {
        match self
            .single
            .binary_search_by(|(theirs, _)| theirs.as_str().cmp(code))
        {
            Ok(at) => Ok(&self.single[at].1),
            Err(_) => self
                .families
                .iter()
                .find(|(begin, _)| code.starts_with(begin))
                .map(|(_, taken)| taken)
                .ok_or_else(|| self.unknown.clone()),
        }
    }

    /// The divisions a table names.
    pub(super) fn divisions(&self) -> impl Iterator<Item = &str> {
        self.single.iter().filter_map(|(_, taken)| {
            if let CodeMeaning::Division(ours, _) = taken {
                Some(ours.as_str())
            } else {
                None
            }
        })
    }
}

impl CodeTable {
    /// What each word of ours means, by the word; of several rows (an agency beside its district) the one that has it as its own code.
    pub(super) fn meanings(&self) -> BTreeMap<String, String> {
        let (own, other): (Vec<&Row>, Vec<&Row>) = self
            .rows
            .iter()
            .filter(|row| !row.ours.is_empty())
            .partition(|row| row.theirs == row.ours);
        other
            .into_iter()
            .chain(own)
            .map(|row| (row.ours.clone(), row.meaning.clone()))
            .collect()
    }

    /// Reads a table; `file` is its name in findings.
    pub(super) fn load(path: &Path, file: &str) -> Result<CodeTable, Vec<Finding>> {
        let finding = |at: Option<(usize, usize)>, text: String| Finding::new(file, at, text);
        let mut reader = match csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .from_path(path)
        {
            Ok(reader) => reader,
            Err(error) => {
                return Err(vec![finding(
                    None,
                    format!(
                        "cannot be read: {error}; expected a table with the columns theirs,ours,meaning"
                    ),
                )]);
            }
        };
        let columns = match reader.headers() {
            Ok(found)
                if found.iter().eq(HEADER)
                    || found.iter().eq(HEADER.into_iter().chain([SUCCESSOR])) =>
            {
                found.len()
            }
            Ok(found) => {
                let found: Vec<&str> = found.iter().collect();
                let text = format!(
                    "the first line is `{}`; expected `theirs,ours,meaning` or `theirs,ours,meaning,successor`",
                    found.join(",")
                );
                return Err(vec![finding(Some((1, 1)), text)]);
            }
            Err(error) => return Err(vec![finding(Some((1, 1)), format!("{error}"))]),
        };
        let mut findings = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = error
                        .position()
                        .map(|position| (position.line() as usize, 1));
                    findings.push(finding(line, format!("{error}")));
                    continue;
                }
            };
            let line = record
                .position()
                .map_or(0, |position| position.line() as usize);
            if record.len() < HEADER.len() || record.len() > columns {
                findings.push(finding(
                    Some((line, 1)),
                    format!("has {} columns; the first line has {columns}", record.len()),
                ));
                continue;
            }
            let cell = |at: usize| record.get(at).unwrap_or_default().to_string();
            let row = Row {
                theirs: cell(0),
                ours: cell(1),
                meaning: cell(2),
                successor: cell(3),
                line,
            };
            if let Some(text) = wrong(&row, &rows) {
                findings.push(finding(Some((line, 1)), text));
            }
            rows.push(row);
        }
        if rows.is_empty() && findings.is_empty() {
            findings.push(finding(
                None,
                "has no row; every code would be refused".into(),
            ));
        }
        findings.extend(
            rows.iter()
                .filter_map(|row| lost(row, &rows))
                .map(|(line, text)| finding(Some((line, 1)), text)),
        );
        rows.sort_by(|a, b| a.theirs.cmp(&b.theirs));
        if findings.is_empty() {
            Ok(CodeTable {
                file: file.to_string(),
                place: place(path),
                rows,
            })
        } else {
            Err(findings)
        }
    }

    /// The table for one field, checked against its closed list.
    pub(super) fn for_field(&self, holds: FieldType) -> Result<FieldCodes, Vec<Finding>> {
        let (mut findings, mut single, mut families) =
            (Vec::new(), Vec::with_capacity(self.rows.len()), Vec::new());
        for row in &self.rows {
            let taken = match holds {
                _ if row.ours.is_empty() => CodeMeaning::Refused(self.not_taken(row)),
                FieldType::Code(words) => match words.iter().position(|word| *word == row.ours) {
                    Some(index) => CodeMeaning::Word(index as u16),
                    None => {
                        let near = did_you_mean(&row.ours, words.iter().copied());
                        let text = format!(
                            "`ours` is `{}`; expected one of {}, or nothing for a code that is not taken{near}",
                            row.ours,
                            words.join(", ")
                        );
                        findings.push(Finding::new(&self.file, Some((row.line, 1)), text));
                        continue;
                    }
                },
                _ => CodeMeaning::Division(row.ours.clone(), Division::parse(&row.ours)),
            };
            match row.theirs.strip_suffix('*') {
                Some(begin) => families.push((begin.to_string(), taken)),
                None => single.push((row.theirs.clone(), taken)),
            }
        }
        let unknown = format!(
            "is not a known code; {}; if it is right, a row for it is missing in {}",
            self.taken(),
            self.place
        );
        if findings.is_empty() {
            Ok(FieldCodes {
                single,
                families,
                unknown,
            })
        } else {
            Err(findings)
        }
    }

    /// Every code of theirs with its meaning, as written.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows
            .iter()
            .map(|row| (row.theirs.as_str(), row.meaning.as_str()))
    }

    /// Codes that have a word of ours, with their line.
    pub(super) fn first_taken(&self) -> Option<(&str, usize)> {
        self.rows
            .iter()
            .find(|row| !row.ours.is_empty())
            .map(|row| (row.theirs.as_str(), row.line))
    }

    /// Why a known code is not taken, and which row says so.
    fn not_taken(&self, row: &Row) -> String {
        let Row {
            meaning,
            successor,
            line,
            ..
        } = row;
        match successor.as_str() {
            "" => format!(
                "means {meaning}, which is not taken here ({}, line {line}); {}",
                self.place,
                self.taken()
            ),
            successor => {
                format!(
                    "means {meaning}, which is now {successor}; send {successor}, or have `ours` of its row filled in ({}, line {line})",
                    self.place
                )
            }
        }
    }

    /// `taken: 310, 320`, cut when long.
    fn taken(&self) -> String {
        let all: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| !row.ours.is_empty())
            .map(|row| row.theirs.as_str())
            .collect();
        let more = if all.len() > LISTED_MAX { ", ..." } else { "" };
        format!(
            "taken: {}{more}",
            all[..all.len().min(LISTED_MAX)].join(", ")
        )
    }
}

/// `tax-bureau/codes/district.csv`: the last three names of a path.
fn place(path: &Path) -> String {
    let names: Vec<String> = path
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names[names.len().saturating_sub(3)..].join("/")
}

fn wrong(row: &Row, earlier: &[Row]) -> Option<String> {
    if row.theirs.is_empty() {
        return Some("`theirs` is empty; every row needs the sender's code".into());
    }
    if let Some(twin) = earlier.iter().find(|twin| twin.theirs == row.theirs) {
        return Some(format!(
            "`{}` stands in line {} already; each code of theirs has one meaning",
            row.theirs, twin.line
        ));
    }
    if row.meaning.is_empty() {
        return Some(format!(
            "`{}` has no meaning; say in words what it is",
            row.theirs
        ));
    }
    match row.theirs.strip_suffix('*') {
        Some("") => {
            return Some(
                "`*` stands for every code; expected at least one character before it".into(),
            );
        }
        Some(begin) if !row.ours.is_empty() => {
            return Some(format!(
                "`{}` stands for every code that begins with {begin}, and such codes are not taken; leave `ours` empty",
                row.theirs
            ));
        }
        _ => {}
    }
    row.theirs
        .contains(char::is_control)
        .then(|| "`theirs` contains a control character".into())
}

/// A successor that is not taken itself.
fn lost(row: &Row, rows: &[Row]) -> Option<(usize, String)> {
    let there = row.successor.is_empty()
        || rows
            .iter()
            .any(|other| other.theirs == row.successor && !other.ours.is_empty());
    (!there).then(|| (row.line, format!("`successor` is `{}`, which has no row with an `ours`; expected a code that is taken", row.successor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<CodeTable, Vec<Finding>> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("some-system/codes");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kind.csv"), text).unwrap();
        CodeTable::load(&folder.join("kind.csv"), "codes/kind.csv")
    }

    #[test]
    fn a_refusal_names_the_meaning_the_file_and_the_row() {
        let table =
            table("theirs,ours,meaning,successor\n1,a,one\n2,,two\n3,,three,1\n14*,,children,\n")
                .unwrap();
        let codes = table.for_field(FieldType::Code(&["a"])).unwrap();
        assert!(matches!(codes.find("1"), Ok(CodeMeaning::Word(0))));
        for (code, expected) in [
            (
                "2",
                "means two, which is not taken here (some-system/codes/kind.csv, line 3); taken: 1",
            ),
            (
                "3",
                "means three, which is now 1; send 1, or have `ours` of its row filled in (some-system/codes/kind.csv, line 4)",
            ),
            (
                "1404",
                "means children, which is not taken here (some-system/codes/kind.csv, line 5); taken: 1",
            ),
        ] {
            assert!(
                matches!(codes.find(code), Ok(CodeMeaning::Refused(reason)) if reason == expected),
                "{code}: {:?}",
                codes.find(code)
            );
        }
        let unknown = "is not a known code; taken: 1; if it is right, a row for it is missing in some-system/codes/kind.csv";
        for code in ["", "4", "01", "x14"] {
            assert_eq!(
                codes.find(code).map(|_| ()),
                Err(unknown.to_string()),
                "{code}"
            );
        }
    }

    #[test]
    fn a_number_of_an_agency_stands_for_its_district_by_a_row() {
        let table = table(
            "theirs,ours,meaning,successor\n450103,450103,Qingxiu\n4501034000,450103,its agency\n450127,450181,Hengxian,450181\n450181,450181,Hengzhou,\n",
        );
        let table = table.unwrap();
        assert_eq!(
            table.meanings()["450103"],
            "Qingxiu",
            "the district has its name from its own row"
        );
        let codes = table.for_field(FieldType::Division).unwrap();
        for (theirs, ours) in [("4501034000", "450103"), ("450127", "450181")] {
            assert!(
                matches!(codes.find(theirs), Ok(CodeMeaning::Division(text, Some(district)))
                    if text == ours && district.to_string() == ours),
                "{theirs}"
            );
        }
    }

    #[test]
    fn rows_that_mean_nothing_are_found_with_their_line() {
        for (text, expected) in [
            (
                "theirs,ours,meaning\n13*,a,retired\n",
                "codes/kind.csv:2:1: `13*` stands for every code that begins with 13",
            ),
            (
                "theirs,ours,meaning\n*,,all\n",
                "codes/kind.csv:2:1: `*` stands for every code",
            ),
            (
                "theirs,ours,meaning,successor\n1,,old,2\n2,,new,\n",
                "codes/kind.csv:2:1: `successor` is `2`, which has no row with an `ours`",
            ),
            (
                "theirs,ours,meaning\n1,a,one,2\n",
                "codes/kind.csv:2:1: has 4 columns; the first line has 3",
            ),
            (
                "theirs,ours,meaning,note\n1,a,one,2\n",
                "codes/kind.csv:1:1: the first line is `theirs,ours,meaning,note`",
            ),
        ] {
            let findings = table(text).expect_err(text);
            assert!(
                findings[0].to_string().starts_with(expected),
                "{}",
                findings[0]
            );
        }
    }
}
