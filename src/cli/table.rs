//! Text tables for the terminal: columns aligned by what people see, Chinese characters two wide.

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A table with a heading row; a row may be a separator.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Cells(Vec<String>),
    Rule,
}

impl Table {
    /// A table with these headings, right-aligned where they end with `>`.
    pub fn new(headings: &[&str]) -> Table {
        let columns = headings.iter().map(|heading| if heading.ends_with('>') { Align::Right } else { Align::Left }).collect();
        let cells = headings.iter().map(|heading| heading.trim_end_matches('>').to_string()).collect();
        Table { columns, rows: vec![Row::Cells(cells), Row::Rule] }
    }

    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(Row::Cells(cells.into_iter().map(Into::into).collect()));
    }

    /// A line across the table, for sums below it.
    pub fn rule(&mut self) {
        self.rows.push(Row::Rule);
    }

    /// The table as lines, indented by two spaces.
    pub fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            text.push_str("  ");
            let line = match row {
                Row::Rule => widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("──"),
                Row::Cells(cells) => {
                    cells.iter().zip(&self.columns).zip(&widths).map(|((cell, align), width)| pad(cell, *align, *width)).collect::<Vec<_>>().join("  ")
                }
            };
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn cell_width(row: &Row, column: usize) -> usize {
    match row {
        Row::Cells(cells) => cells.get(column).map_or(0, |cell| width(cell)),
        Row::Rule => 0,
    }
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
    text.chars().map(|c| if matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6) { 2 } else { 1 }).sum()
}

/// A number with thousands separated, for people.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<&str> = {
        let first = digits.len() % 3;
        let (head, tail) = digits.split_at(first);
        let rest = (0..tail.len()).step_by(3).map(|at| &tail[at..at + 3]);
        (!head.is_empty()).then_some(head).into_iter().chain(rest).collect()
    };
    format!("{}{}", if number < 0 { "-" } else { "" }, groups.join(","))
}

/// An amount of fen as yuan with thousands separated, for people.
pub fn yuan(fen: i64) -> String {
    let cents = fen.unsigned_abs() % 100;
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{cents:02}", thousands((fen.unsigned_abs() / 100).cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_under_chinese_headings() {
        let mut table = Table::new(&["区县 district", "元 yuan>"]);
        table.row(["青秀", "12.00"]);
        table.rule();
        table.row(["total", "1,012.00"]);
        assert_eq!(
            table.render(),
            "  区县 district   元 yuan\n  ───────────────────────\n  青秀              12.00\n  ───────────────────────\n  total          1,012.00\n"
        );
    }

    #[test]
    fn amounts_are_grouped_by_thousands_and_keep_their_sign() {
        assert_eq!(yuan(-123_456_789), "-1,234,567.89");
        assert_eq!(yuan(5), "0.05");
        assert_eq!(yuan(-5), "-0.05");
        assert_eq!(thousands(1_540_600), "1,540,600");
    }
}
