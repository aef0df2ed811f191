//! The lines doctor prints: a mark, what was looked at, what was found, what to do.

use crate::cli::table::{prose, width};
use crate::cli::{lang, terminal};

/// What doctor found.
#[derive(Debug, Default)]
pub struct DoctorSheet {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    mark: Mark,
    what: String,
    detail: String,
    todo: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Good,
    Note,
    Bad,
}

impl Mark {
    fn sign(self) -> &'static str {
        match self {
            Mark::Good => "✔",
            Mark::Note => "!",
            Mark::Bad => "✘",
        }
    }
}

impl DoctorSheet {
    /// In order.
    pub fn good(&mut self, what: &str, detail: impl Into<String>) {
        self.add(Mark::Good, what, detail.into(), String::new());
    }

    /// Works, but wants attention.
    pub fn note(&mut self, what: &str, detail: impl Into<String>, todo: impl Into<String>) {
        self.add(Mark::Note, what, detail.into(), todo.into());
    }

    /// Does not work; `todo` may be empty where the detail says it.
    pub fn bad(&mut self, what: &str, detail: impl Into<String>, todo: impl Into<String>) {
        self.add(Mark::Bad, what, detail.into(), todo.into());
    }

    fn add(&mut self, mark: Mark, what: &str, detail: String, todo: String) {
        self.lines.push(Line {
            mark,
            what: lang::subject(what),
            detail: lang::said(&detail),
            todo: lang::said(&todo),
        });
    }

    /// Whether anything does not work.
    pub fn failed(&self) -> bool {
        self.count(Mark::Bad) > 0
    }

    fn count(&self, mark: Mark) -> usize {
        self.lines.iter().filter(|line| line.mark == mark).count()
    }

    /// All lines and a sentence that sums them up.
    pub fn render(&self) -> String {
        self.fit(terminal::columns())
    }

    fn fit(&self, columns: usize) -> String {
        let longest = self
            .lines
            .iter()
            .map(|line| width(&line.what))
            .max()
            .unwrap_or(0);
        // Beside a long subject hardly anything has room.
        let beside = longest + 7 <= columns / 4;
        let indent = " ".repeat(if beside { longest + 7 } else { 5 });
        let mut text = String::new();
        let mut last = "";
        for line in &self.lines {
            let what = if line.what == last { "" } else { &line.what };
            last = &line.what;
            let head = format!("  {}  ", line.mark.sign());
            text += &match (beside, what) {
                (true, _) => prose(
                    &format!("{head}{what}{}  ", " ".repeat(longest - width(what))),
                    &line.detail,
                    &indent,
                    columns,
                ),
                (false, "") => prose(&head, &line.detail, &indent, columns),
                (false, _) => prose(&head, &format!("{what}: {}", line.detail), &indent, columns),
            };
            if !line.todo.is_empty() {
                text += &prose(
                    &format!("{indent}→ "),
                    &line.todo,
                    &format!("{indent}  "),
                    columns,
                );
            }
        }
        let (bad, notes) = (self.count(Mark::Bad), self.count(Mark::Note));
        let notes = match notes {
            0 => String::new(),
            1 => "; 1 line wants attention".into(),
            _ => format!("; {notes} lines want attention"),
        };
        let problems = match bad {
            0 => "ready to serve".to_owned(),
            1 => "1 problem".to_owned(),
            _ => format!("{bad} problems"),
        };
        text += &format!("\n  {}\n", lang::said(&(problems + &notes)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_show_mark_subject_finding_and_remedy() {
        let mut sheet = DoctorSheet::default();
        sheet.good("config", "4 partners");
        sheet.note("rates", "one key is open", "confirm it");
        sheet.bad("rates", "a key is missing", "");
        assert!(sheet.failed());
        assert_eq!(
            sheet.fit(80),
            "  ✔  config  4 partners\n  !  rates   one key is open\n             → confirm it\n  ✘          a key is missing\n\n  1 problem; 1 line wants attention\n"
        );
    }

    #[test]
    fn long_findings_are_wrapped_between_words_under_their_beginning() {
        let mut sheet = DoctorSheet::default();
        sheet.bad("x", "word ".repeat(40), "");
        let text = sheet.fit(80);
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("        word")),
            "{text}"
        );
    }
}
