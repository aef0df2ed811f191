//! Tables and paragraphs at several widths.

use super::*;

fn widest(text: &str) -> usize {
    text.lines().map(width).max().unwrap_or(0)
}

#[test]
fn columns_line_up_under_chinese_headings() {
    let mut table = Table::new(&["区县 district", "元 yuan>"]);
    table.row(["青秀", "12.00"]);
    table.rule();
    table.row(["total", "1,012.00"]);
    assert_eq!(
        table.fit(80),
        "  区县 district   元 yuan\n  ───────────────────────\n  青秀              12.00\n  ───────────────────────\n  total          1,012.00\n"
    );
}

#[test]
fn a_table_that_is_too_wide_breaks_headings_then_texts_and_loses_no_word() {
    let reason = "this detail number stands at record 7 of the same packet with other content; 明细号重复，请更换";
    let mut table = Table::new(&["lines 明细>", "because 原因"]);
    table.row(["1,234", reason]);
    for columns in [40, 60, 80] {
        let text = table.fit(columns);
        assert!(widest(&text) <= columns, "{columns}:\n{text}");
        let words = |text: &str| {
            text.chars()
                .filter(|c| !c.is_whitespace())
                .collect::<String>()
        };
        let body: String = text
            .lines()
            .skip_while(|line| !line.contains('─'))
            .skip(1)
            .map(|line| line.replacen("1,234", "", 1))
            .collect();
        assert_eq!(words(&body), words(reason), "{text}");
    }
}

#[test]
fn a_column_that_may_be_spared_is_left_out_and_named() {
    let mut table = Table::new(&["district", "base>", "to take>"]).sparing(&["base"]);
    table.row(["450102", "1,234,567,890.12", "1,234,567,890.12"]);
    assert!(
        table.fit(80).contains("base") && !table.fit(80).contains("left out"),
        "{}",
        table.fit(80)
    );
    let narrow = table.fit(40);
    assert!(
        widest(&narrow) <= 40 && narrow.contains("want of room: base"),
        "{narrow}"
    );
    assert_eq!(narrow.matches("1,234,567,890.12").count(), 1, "{narrow}");
}

#[test]
fn a_row_that_fits_in_no_way_becomes_lines_of_its_own() {
    let mut table = Table::new(&["one>", "two>", "three", "four"]);
    table.row([
        "1,234,567,890.12",
        "1,234,567,890.12",
        "a text of several words",
        "",
    ]);
    let text = table.fit(40);
    assert!(widest(&text) <= 40, "{text}");
    for part in ["one", "two", "1,234,567,890.12", "three", "words"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("four"), "an empty cell is not shown: {text}");
}

#[test]
fn paragraphs_are_broken_between_words_under_their_beginning() {
    let text = prose(
        "  ✔  config  ",
        "four partners, 四个对接方，一切正常 and nothing else",
        "             ",
        40,
    );
    assert!(
        widest(&text) <= 40
            && text
                .lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("             ")),
        "{text}"
    );
    assert!(
        !text.lines().any(|line| line.trim_start().starts_with('，')),
        "a comma does not begin a line: {text}"
    );
    let path = "/var/lib/ltcgw/a-long-folder-name/and-another-one/october.xlsx";
    assert_eq!(
        wrap(path, 30).concat(),
        path,
        "a word longer than a line is broken, not lost"
    );
}

#[test]
fn a_term_in_a_heading_is_not_torn_and_no_line_begins_with_a_mark() {
    assert_eq!(wrap("together 合计", 12), ["together", "合计"]);
    assert_eq!(wrap("LTC fund 长护险基金", 14), ["LTC fund", "长护险基金"]);
    assert_eq!(
        wrap("civil affairs 民政: pushed", 18),
        ["civil affairs", "民政: pushed"]
    );
    assert_eq!(
        wrap("一段比一行更长的中文说明: 请更换", 24),
        ["一段比一行更长的中文说", "明: 请更换"]
    );
    for rare in ["\u{20000}", "❤\u{fe0f}", "e\u{301}"] {
        let text = rare.repeat(40);
        let lines = wrap(&text, 15);
        assert!(lines.iter().all(|line| width(line) <= 15), "{lines:?}");
        assert_eq!(lines.concat(), text);
    }
}

#[test]
fn amounts_are_grouped_by_thousands_and_keep_their_sign() {
    assert_eq!(yuan(-123_456_789), "-1,234,567.89");
    assert_eq!(yuan(5), "0.05");
    assert_eq!(yuan(-5), "-0.05");
    assert_eq!(thousands(1_540_600), "1,540,600");
}

#[test]
fn what_cannot_be_seen_is_escaped_in_cells_and_pages() {
    let mut table = Table::new(&["answer"]);
    table.row(["a\u{202e}b\u{200b}c\r"]);
    assert!(
        table.fit(80).contains("a\\u{202e}b\\u{200b}c\\u{d}"),
        "{}",
        table.fit(80)
    );
    assert_eq!(prose("", "a\u{2066}b", "", 80), "a\\u{2066}b\n");
    assert_eq!(super::super::fold::fitted("a\u{feff}b\n"), "a\\u{feff}b\n");
}
