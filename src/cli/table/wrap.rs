//! Texts in lines of so many columns: broken between words and beside Chinese characters, a word
//! only where it is longer than a line.

use super::{char_width, width};
use crate::model::printable::escaped_lines;

/// Marks that do not begin a line.
const CLOSING: &str = "，。；：、）》」』！？”’,.;:!?)";

/// Columns of a word that is never broken: five Chinese characters, as terms in headings have.
const TERM_COLUMNS: usize = 10;

/// A text in lines of up to `columns`; at least one. A word longer than a line is broken.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    for mut line in between_words(text, columns) {
        while width(&line) > columns {
            // Widths of texts, not of characters: what follows a character may widen it.
            let fits = line
                .char_indices()
                .skip(1)
                .map(|(at, _)| at)
                .take_while(|at| width(&line[..*at]) <= columns)
                .last();
            let rest = line.split_off(fits.unwrap_or(line.len()));
            lines.push(std::mem::replace(&mut line, rest));
        }
        lines.push(line);
    }
    lines
}

/// A text in lines of up to `columns`, longer only where a word is: a path is to be copied whole.
fn between_words(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (blank, piece) in pieces(text) {
        let line = lines.last_mut().expect("there is one from the beginning");
        let before = usize::from(blank && !line.is_empty());
        if line.is_empty() || width(line) + before + width(piece) <= columns {
            line.push_str(if before == 1 { " " } else { "" });
            line.push_str(piece);
        } else {
            lines.push(piece.to_owned());
        }
    }
    lines
}

/// `head` and behind it a text, in lines of up to `columns`, the later ones after `indent`; no word is broken.
pub fn prose(head: &str, text: &str, indent: &str, columns: usize) -> String {
    // Where hardly any room is left beside it, the text goes below the head.
    let room = columns
        .saturating_sub(width(indent).max(width(head)))
        .max(20);
    let text = escaped_lines(text);
    let mut out = head.to_owned();
    for (at, line) in between_words(&text, room).iter().enumerate() {
        out += if at == 0 { "" } else { indent };
        out += line;
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// Columns of the longest piece that is not broken.
pub(super) fn longest_word(text: &str) -> usize {
    text.lines()
        .flat_map(pieces)
        .map(|(_, piece)| width(piece))
        .max()
        .unwrap_or(0)
}

/// What is not broken, and whether a blank stands before it.
fn pieces(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.split_whitespace().flat_map(|word| {
        let is_term = width(word) <= TERM_COLUMNS;
        let mut cuts = vec![0];
        let mut wide_before = false;
        for (at, character) in word.char_indices() {
            let wide = char_width(character) > 1;
            let between = wide || wide_before;
            if at > 0 && between && !is_term && !CLOSING.contains(character) {
                cuts.push(at);
            }
            wide_before = wide;
        }
        let ends: Vec<usize> = cuts.iter().skip(1).copied().chain([word.len()]).collect();
        cuts.into_iter()
            .zip(ends)
            .map(move |(from, to)| (from == 0, &word[from..to]))
            .collect::<Vec<_>>()
    })
}
