//! Code tables: `codes/<name>.csv` with the columns `theirs,ours,meaning`.
//!
//! A code with no row is refused. An empty `ours` says: we know what it means and do not take it;
//! the refusal then quotes the meaning. A table belongs to one adapter and is never shared.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Finding, did_you_mean};
use crate::model::FieldType;

/// Codes a refusal lists at most.
const LISTED_MAX: usize = 15;
const HEADER: [&str; 3] = ["theirs", "ours", "meaning"];

/// One table.
#[derive(Debug)]
pub struct CodeTable {
    /// `codes/x.csv`, for findings.
    pub(super) file: String,
    /// Sorted by `theirs`.
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    theirs: String,
    /// Empty when not taken.
    ours: String,
    meaning: String,
    line: usize,
}

/// One of their codes as a field takes it.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) theirs: String,
    pub(super) taken: Taken,
}

/// What becomes of a code.
#[derive(Debug)]
pub(super) enum Taken {
    /// Index into the field's closed list.
    Word(u16),
    /// A code of an open list.
    Open(String),
    /// Known, not taken: the reason.
    Refused(String),
}

impl CodeTable {
    /// What each word of ours means, by the word.
    pub(super) fn meanings(&self) -> BTreeMap<String, String> {
        self.rows.iter().filter(|row| !row.ours.is_empty()).map(|row| (row.ours.clone(), row.meaning.clone())).collect()
    }

    /// Reads a table; `file` is its name in findings.
    pub(super) fn load(path: &Path, file: &str) -> Result<CodeTable, Vec<Finding>> {
        let finding = |at: Option<(usize, usize)>, text: String| Finding::new(file, at, text);
        let mut reader = match csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path) {
            Ok(reader) => reader,
            Err(error) => return Err(vec![finding(None, format!("cannot be read: {error}; expected a table with the columns theirs,ours,meaning"))]),
        };
        match reader.headers() {
            Ok(found) if found.iter().eq(HEADER) => {}
            Ok(found) => {
                let found: Vec<&str> = found.iter().collect();
                return Err(vec![finding(Some((1, 1)), format!("the first line is `{}`; expected `theirs,ours,meaning`", found.join(",")))]);
            }
            Err(error) => return Err(vec![finding(Some((1, 1)), format!("{error}"))]),
        }
        let mut findings = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = error.position().map(|position| (position.line() as usize, 1));
                    findings.push(finding(line, format!("{error}")));
                    continue;
                }
            };
            let line = record.position().map_or(0, |position| position.line() as usize);
            let cell = |at: usize| record.get(at).unwrap_or_default().to_string();
            let row = Row { theirs: cell(0), ours: cell(1), meaning: cell(2), line };
            if let Some(text) = wrong(&row, &rows) {
                findings.push(finding(Some((line, 1)), text));
            }
            rows.push(row);
        }
        if rows.is_empty() && findings.is_empty() {
            findings.push(finding(None, "has no row; every code would be refused".into()));
        }
        rows.sort_by(|a, b| a.theirs.cmp(&b.theirs));
        if findings.is_empty() { Ok(CodeTable { file: file.to_string(), rows }) } else { Err(findings) }
    }

    /// The table for one field, checked against its closed list; sorted by `theirs`.
    pub(super) fn for_field(&self, holds: FieldType) -> Result<Vec<Meaning>, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut meanings = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let taken = match holds {
                _ if row.ours.is_empty() => Taken::Refused(format!("means {}, which is not taken here; {}", row.meaning, self.taken())),
                FieldType::Code(words) => match words.iter().position(|word| *word == row.ours) {
                    Some(index) => Taken::Word(index as u16),
                    None => {
                        let near = did_you_mean(&row.ours, words.iter().copied());
                        let text = format!("`ours` is `{}`; expected one of {}, or nothing for a code that is not taken{near}", row.ours, words.join(", "));
                        findings.push(Finding::new(&self.file, Some((row.line, 1)), text));
                        continue;
                    }
                },
                _ => Taken::Open(row.ours.clone()),
            };
            meanings.push(Meaning { theirs: row.theirs.clone(), taken });
        }
        if findings.is_empty() { Ok(meanings) } else { Err(findings) }
    }

    /// `taken: 310, 320`, cut when long.
    pub(super) fn taken(&self) -> String {
        let all: Vec<&str> = self.rows.iter().filter(|row| !row.ours.is_empty()).map(|row| row.theirs.as_str()).collect();
        let more = if all.len() > LISTED_MAX { ", ..." } else { "" };
        format!("taken: {}{more}", all[..all.len().min(LISTED_MAX)].join(", "))
    }
}

fn wrong(row: &Row, earlier: &[Row]) -> Option<String> {
    if row.theirs.is_empty() {
        return Some("`theirs` is empty; every row needs the sender's code".into());
    }
    if let Some(twin) = earlier.iter().find(|twin| twin.theirs == row.theirs) {
        return Some(format!("`{}` stands in line {} already; each code of theirs has one meaning", row.theirs, twin.line));
    }
    if row.meaning.is_empty() {
        return Some(format!("`{}` has no meaning; say in words what it is", row.theirs));
    }
    row.theirs.contains(char::is_control).then(|| "`theirs` contains a control character".into())
}
