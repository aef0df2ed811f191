//! What was posted, by district and month, and the plan beside the month before.
//!
//! Small: a row per district and month, or district and category, and the sums of them.

use rust_xlsxwriter::{Color, Worksheet, XlsxError};

use super::{Districts, Styles, codes, headings, print, widths, yuan};
use crate::cli::deduct::show;
use crate::flow::deduct::ComparedCycle;
use crate::model::{Fen, Month};

/// What went from personal accounts to the fund, under the district and contribution month it is of: what made up for
/// earlier months stands under theirs.
pub fn posted(
    sheet: &mut Worksheet,
    styles: &Styles,
    (posted, of): (&[(i32, Month, Fen)], Month),
    districts: &Districts,
) -> Result<(), XlsxError> {
    sheet
        .set_name("入账 Posted")?
        .set_tab_color(Color::RGB(0x0070_AD47))
        .set_freeze_panes(1, 0)?;
    let heads = [
        ("区县\ndistrict", 34.0),
        ("费款所属期\ncontribution month", 18.0),
        ("入长护险基金（元）\nto the LTC fund, yuan", 24.0),
    ];
    let pages = print::rows(sheet, &widths(&heads))?;
    headings(sheet, styles, 0, &heads)?;
    let mut row = 0;
    for (district, month, fen) in posted {
        row += 1;
        sheet.write_string_with_format(row, 0, districts.shown(*district), &styles.text)?;
        sheet.write_string_with_format(row, 1, month.to_string(), &styles.text)?;
        sheet.write_number_with_format(row, 2, yuan(fen.0), &styles.yuan)?;
    }
    codes(sheet, row.max(1), 1)?;
    sheet.write_string_with_format(row + 1, 0, "合计 all", &styles.sum_text)?;
    sheet.write_blank(row + 1, 1, &styles.sum_text)?;
    sheet.write_number_with_format(
        row + 1,
        2,
        yuan(posted.iter().map(|(_, _, fen)| fen.0).sum()),
        &styles.sum_yuan,
    )?;
    let earlier: i64 = posted
        .iter()
        .filter(|(_, month, _)| *month < of)
        .map(|(_, _, fen)| fen.0)
        .sum();
    if earlier != 0 {
        row += 1;
        sheet.write_string_with_format(
            row + 1,
            0,
            "其中以前月份 of it of earlier months",
            &styles.text,
        )?;
        sheet.write_blank(row + 1, 1, &styles.text)?;
        sheet.write_number_with_format(row + 1, 2, yuan(earlier), &styles.yuan)?;
    }
    pages.end(sheet, row + 1)
}

/// Every district and category beside the month before.
pub fn changes(
    sheet: &mut Worksheet,
    styles: &Styles,
    seen: &ComparedCycle,
    districts: &Districts,
) -> Result<(), XlsxError> {
    sheet
        .set_name("与上月差异 Changes")?
        .set_tab_color(Color::RGB(0x00F7_9646));
    let before = seen.before.as_ref().map_or_else(
        || "上月 before".to_owned(),
        |(cycle, _)| cycle.month.to_string(),
    );
    let now = seen.cycle.month.to_string();
    let named = |what: &str, month: &str, english: &str| format!("{what} {month}\n{english}");
    let heads = [
        ("区县\ndistrict".to_owned(), 34.0),
        ("类别\ncategory".to_owned(), 20.0),
        (named("人数", &before, "people"), 16.0),
        (named("人数", &now, "people"), 16.0),
        ("人数差异\nchange".to_owned(), 14.0),
        (named("应扣", &before, "yuan"), 19.0),
        (named("应扣", &now, "yuan"), 19.0),
        ("金额差异（元）\nchange, yuan".to_owned(), 17.0),
    ];
    let heads: Vec<(&str, f64)> = heads
        .iter()
        .map(|(heading, width)| (heading.as_str(), *width))
        .collect();
    let pages = print::rows(sheet, &widths(&heads))?;
    headings(sheet, styles, 0, &heads)?;
    sheet.set_freeze_panes(1, 0)?;
    let changes = seen.changes();
    let mut row = 0;
    for change in &changes {
        row += 1;
        sheet.write_string_with_format(row, 0, districts.shown(change.district), &styles.text)?;
        sheet.write_string_with_format(row, 1, show::category(change.category), &styles.text)?;
        let figures = [
            &styles.count,
            &styles.count_change,
            &styles.yuan,
            &styles.change,
        ];
        both_months(sheet, row, figures, (change.people, change.fen))?;
    }
    let sum = changes
        .iter()
        .fold(((0, 0), (0, 0)), |((a, b), (c, d)), change| {
            (
                (a + change.people.0, b + change.people.1),
                (c + change.fen.0, d + change.fen.1),
            )
        });
    sheet.write_string_with_format(row + 1, 0, "合计 all", &styles.sum_text)?;
    sheet.write_blank(row + 1, 1, &styles.sum_text)?;
    both_months(
        sheet,
        row + 1,
        [
            &styles.sum_count,
            &styles.sum_count_change,
            &styles.sum_yuan,
            &styles.sum_change,
        ],
        sum,
    )?;
    codes(sheet, row.max(1), 0)?;
    pages.end(sheet, row + 1)
}

/// People and fen, before, now and the difference.
fn both_months(
    sheet: &mut Worksheet,
    row: u32,
    [count, count_change, amount, change]: [&rust_xlsxwriter::Format; 4],
    ((people_before, people), (fen_before, fen)): ((i32, i32), (i64, i64)),
) -> Result<(), XlsxError> {
    sheet.write_number_with_format(row, 2, people_before, count)?;
    sheet.write_number_with_format(row, 3, people, count)?;
    sheet.write_number_with_format(row, 4, people - people_before, count_change)?;
    sheet.write_number_with_format(row, 5, yuan(fen_before), amount)?;
    sheet.write_number_with_format(row, 6, yuan(fen), amount)?;
    sheet.write_number_with_format(row, 7, yuan(fen - fen_before), change)?;
    Ok(())
}
