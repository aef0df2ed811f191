//! Text tables and paragraphs for the terminal, as wide as it is; Chinese characters are two columns wide.
//!
//! A table that is too wide breaks its headings, then its texts, then leaves out the columns its maker
//! named as the least important and says so, and at last shows each row as lines of its own. Numbers
//! are never broken.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::terminal;
use crate::model::printable::escaped_lines;

mod wrap; // texts in lines

pub use wrap::{prose, wrap};

/// Between two columns.
const GAP: usize = 2;
/// Columns a text keeps at least, where it has so many.
const TEXT_MIN: usize = 12;
/// Columns of the longest number or id that is never broken, since people copy it: a UUID's.
const NUMBER_MAX: usize = 36;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A table with a heading row; a row may be a separator.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Columns that may be left out, the first first.
    spare: Vec<usize>,
}

#[derive(Debug)]
struct Column {
    heading: String,
    align: Align,
}

#[derive(Debug)]
enum Row {
    Cells(Vec<String>),
    Rule,
}

impl Table {
    /// A table with these headings, right-aligned where they end with `>`.
    pub fn new(headings: &[&str]) -> Table {
        let column = |heading: &&str| Column {
            heading: heading.trim_end_matches('>').to_string(),
            align: if heading.ends_with('>') {
                Align::Right
            } else {
                Align::Left
            },
        };
        Table {
            columns: headings.iter().map(column).collect(),
            rows: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Columns that may be left out where there is no room, by their headings, the least important first.
    #[must_use]
    pub fn sparing(mut self, headings: &[&str]) -> Table {
        let place = |heading: &&str| {
            self.columns
                .iter()
                .position(|column| column.heading == heading.trim_end_matches('>'))
        };
        self.spare = headings.iter().filter_map(place).collect();
        self
    }

    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        // Widths are counted of what is shown, so what cannot be seen is escaped here.
        let shown = |cell: T| escaped_lines(&cell.into()).into_owned();
        self.rows
            .push(Row::Cells(cells.into_iter().map(shown).collect()));
    }

    /// A line across the table, for sums below it.
    pub fn rule(&mut self) {
        self.rows.push(Row::Rule);
    }

    /// The table as lines, indented by two spaces, as wide as the terminal at most.
    pub fn render(&self) -> String {
        self.fit(terminal::columns())
    }

    /// The table as lines of so many columns at most.
    pub fn fit(&self, columns: usize) -> String {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        for left_out in 0..=self.spare.len() {
            if let Some(widths) = self.widths(&shown, columns) {
                return self.drawn(&shown, &widths)
                    + &self.not_shown(&self.spare[..left_out], columns);
            }
            shown.retain(|column| self.spare.get(left_out) != Some(column));
        }
        self.records(columns)
    }

    /// Widths with which the columns fit, or none when they cannot.
    fn widths(&self, shown: &[usize], columns: usize) -> Option<Vec<usize>> {
        let room = columns.checked_sub(GAP + GAP * shown.len().saturating_sub(1))?;
        let body = |column: usize| {
            self.cells(column)
                .flat_map(str::lines)
                .map(width)
                .max()
                .unwrap_or(0)
        };
        let heading = |column: usize| width(&self.columns[column].heading);
        let natural: Vec<usize> = shown
            .iter()
            .map(|column| body(*column).max(heading(*column)))
            .collect();
        if natural.iter().sum::<usize>() <= room {
            return Some(natural);
        }
        // With headings in several lines.
        let word = |column: usize| wrap::longest_word(&self.columns[column].heading);
        let mut widths: Vec<usize> = shown
            .iter()
            .map(|column| body(*column).max(word(*column)))
            .collect();
        let least: Vec<usize> = shown
            .iter()
            .zip(&widths)
            .map(|(column, width)| self.least(*column, *width).max(word(*column)))
            .collect();
        while widths.iter().sum::<usize>() > room {
            let (at, _) = widths
                .iter()
                .enumerate()
                .filter(|(at, width)| **width > least[*at])
                .max_by_key(|(_, width)| **width)?;
            widths[at] -= 1;
        }
        // What is over goes to headings again.
        for (at, natural) in natural.iter().enumerate() {
            let over = room - widths.iter().sum::<usize>();
            if widths[at] < *natural && over > 0 && self.columns[shown[at]].align == Align::Right {
                widths[at] = (*natural).min(widths[at] + over);
            }
        }
        Some(widths)
    }

    /// How narrow a column may become whose cells take so many columns.
    fn least(&self, column: usize, natural: usize) -> usize {
        match self.columns[column].align {
            Align::Right => natural,
            Align::Left => natural.min(
                TEXT_MIN.max(
                    self.cells(column)
                        .map(wrap::longest_word)
                        .max()
                        .unwrap_or(0)
                        .min(NUMBER_MAX),
                ),
            ),
        }
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(move |row| match row {
            Row::Cells(cells) => cells.get(column).map(String::as_str),
            Row::Rule => None,
        })
    }

    fn drawn(&self, shown: &[usize], widths: &[usize]) -> String {
        let rule = format!(
            "  {}\n",
            widths
                .iter()
                .map(|width| "─".repeat(*width))
                .collect::<Vec<_>>()
                .join("──")
        );
        let headings: Vec<&str> = shown
            .iter()
            .map(|column| self.columns[*column].heading.as_str())
            .collect();
        let mut text = self.line(&headings, shown, widths) + &rule;
        for row in &self.rows {
            text += &match row {
                Row::Rule => rule.clone(),
                Row::Cells(cells) => {
                    let cells: Vec<&str> = shown
                        .iter()
                        .map(|column| cells.get(*column).map_or("", String::as_str))
                        .collect();
                    self.line(&cells, shown, widths)
                }
            };
        }
        text
    }

    /// A row, in as many lines as its longest cell takes.
    fn line(&self, cells: &[&str], shown: &[usize], widths: &[usize]) -> String {
        let parts: Vec<Vec<String>> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| cell.lines().flat_map(|line| wrap(line, *width)).collect())
            .collect();
        let mut text = String::new();
        for at in 0..parts.iter().map(Vec::len).max().unwrap_or(0).max(1) {
            let part = |column: usize| parts[column].get(at).map_or("", String::as_str);
            let padded: Vec<String> = (0..widths.len())
                .map(|column| {
                    pad(
                        part(column),
                        self.columns[shown[column]].align,
                        widths[column],
                    )
                })
                .collect();
            text += format!("  {}", padded.join("  ")).trim_end();
            text.push('\n');
        }
        text
    }

    fn not_shown(&self, columns: &[usize], room: usize) -> String {
        if columns.is_empty() {
            return String::new();
        }
        let names: Vec<&str> = columns
            .iter()
            .map(|column| self.columns[*column].heading.as_str())
            .collect();
        let text = format!(
            "left out for want of room: {}; COLUMNS=160 before the command shows it",
            names.join(", ")
        );
        wrap(&text, room - GAP)
            .iter()
            .map(|line| format!("  {line}\n"))
            .collect()
    }

    /// Each row as lines of its own, a heading before each cell that holds something.
    fn records(&self, columns: usize) -> String {
        let names = self
            .columns
            .iter()
            .map(|column| width(&column.heading))
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            text += &format!("  {}\n", "─".repeat(columns - GAP));
            for (column, cell) in self
                .columns
                .iter()
                .zip(cells)
                .filter(|(_, cell)| !cell.is_empty())
            {
                let head = format!("  {}  ", pad(&column.heading, Align::Left, names));
                text += &prose(
                    &head,
                    &cell.replace('\n', " "),
                    &" ".repeat(names + 2 * GAP),
                    columns,
                );
            }
        }
        text
    }
}

/// A paragraph, indented by two spaces, as wide as the terminal at most.
pub fn paragraph(text: &str) -> String {
    prose("  ", text, "  ", terminal::columns())
}

fn pad(cell: &str, align: Align, to: usize) -> String {
    let blanks = " ".repeat(to.saturating_sub(width(cell)));
    match align {
        Align::Left => format!("{cell}{blanks}"),
        Align::Right => format!("{blanks}{cell}"),
    }
}

/// Columns a text takes in a terminal: East Asian wide characters take two.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Columns a character takes.
fn char_width(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// A number with thousands separated, for people.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<&str> = {
        let first = digits.len() % 3;
        let (head, tail) = digits.split_at(first);
        let rest = (0..tail.len()).step_by(3).map(|at| &tail[at..at + 3]);
        (!head.is_empty())
            .then_some(head)
            .into_iter()
            .chain(rest)
            .collect()
    };
    format!("{}{}", if number < 0 { "-" } else { "" }, groups.join(","))
}

/// An amount of fen as yuan with thousands separated, for people.
pub fn yuan(fen: i64) -> String {
    let cents = fen.unsigned_abs() % 100;
    let sign = if fen < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{cents:02}",
        thousands((fen.unsigned_abs() / 100).cast_signed())
    )
}

#[cfg(test)]
mod tests;
