//! Long sentences for the terminal: folded at 80 columns, Chinese characters two wide.

use super::table::width;
use crate::model::printable::escaped_lines;

/// Columns that everything is readable in.
pub const COLUMNS: usize = 80;

/// A text in lines of at most 80 columns, each begun with `indent`. Folds at blanks, and within Chinese anywhere.
pub fn folded(text: &str, indent: &str) -> String {
    let room = COLUMNS.saturating_sub(width(indent) + 2).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    for piece in pieces(text) {
        let line = lines.last_mut().expect("there is always a line");
        if width(line) + width(piece.trim_end()) <= room || line.is_empty() {
            line.push_str(piece);
        } else {
            lines.push(piece.to_owned());
        }
    }
    lines
        .iter()
        .map(|line| format!("{indent}{}\n", line.trim_end()))
        .collect()
}

/// A page whose lines are folded where they are wider than 80 columns, under their own beginning.
pub fn fitted(page: &str) -> String {
    let fit = |line: &str| {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        if width(line) <= COLUMNS {
            return format!("{line}\n");
        }
        let folded = folded(text, indent);
        let lines = folded.lines().enumerate();
        lines
            .map(|(at, line)| {
                if at == 0 {
                    format!("{line}\n")
                } else {
                    format!("  {line}\n")
                }
            })
            .collect::<String>()
    };
    escaped_lines(page).lines().map(fit).collect()
}

/// What is never parted: words with the blank behind them, and single wide characters with what must not begin a line.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        let wide = |c: char| width(c.encode_utf8(&mut [0; 4])) > 1;
        let parts = match chars.peek() {
            None => true,
            Some((_, next)) => {
                (c == ' ' && *next != ' ')
                    || ((wide(c) || wide(*next))
                        && !"，。；：、）”… ".contains(*next)
                        && !"（“".contains(c))
            }
        };
        if parts {
            pieces.push(&text[begin..end]);
            begin = end;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_eighty_columns_and_nothing_is_lost() {
        let english = "is not a known code; taken: 450102, 450103, 450105, 450107; if it is right, a row for it is missing in tax-bureau/codes/district.csv";
        let chinese =
            "该明细号已由报文450100202111080001入账并已撤销，更正的明细须用新编号；".repeat(3);
        for text in [english, &chinese, "short", ""] {
            let folded = folded(text, "    ");
            assert!(
                folded
                    .lines()
                    .all(|line| width(line) <= COLUMNS && line.starts_with("    ")),
                "{folded}"
            );
            let joined: String = folded.lines().map(str::trim).collect();
            assert_eq!(joined.replace(' ', ""), text.replace(' ', ""));
        }
        assert_eq!(folded(english, "").lines().count(), 2);
        let page = format!("short\n  {english}\n  next\n");
        let lines: Vec<String> = fitted(&page)
            .lines()
            .map(|line| line.chars().take(6).collect())
            .collect();
        assert_eq!(lines, ["short", "  is n", "    a ", "  next"]);
        assert!(
            folded(&chinese, "")
                .lines()
                .all(|line| !line.starts_with('，') && !line.starts_with('；'))
        );
    }
}
