//! The first sheet: what was planned by district and category, what came of it, and a chart.
//!
//! Small: a row per district, one per outcome, one per reason.

use std::collections::BTreeSet;

use rust_xlsxwriter::{Chart, ChartLegendPosition, ChartType, Color, Worksheet, XlsxError};

use super::{HEADING_HEIGHT, Styles, both, codes, headings, page, yuan};
use crate::cli::deduct::show;
use crate::flow::deduct::{Report, Seen, hex};
use crate::model::deduction::Category;

const NAME: &str = "汇总 Summary";
/// Where the totals begin.
const TOP: u32 = 6;
const COLORS: [u32; 4] = [0x001F_4E79, 0x0070_AD47, 0x00ED_7D31, 0x00FF_C000];
const CHART_WIDTH: u32 = 980;
const CHART_HEIGHT: u32 = 360;
/// Rows the chart covers, and one below.
const CHART_ROWS: u32 = 20;

/// Writes the sheet.
pub fn write(sheet: &mut Worksheet, styles: &Styles, seen: &Seen, report: &Report) -> Result<(), XlsxError> {
    sheet.set_name(NAME)?.set_tab_color(Color::RGB(COLORS[0])).set_screen_gridlines(false);
    page(sheet);
    title(sheet, styles, seen)?;
    let end = totals(sheet, styles, seen)?;
    if end > TOP + 1 {
        sheet.insert_chart(end + 2, 0, &chart(TOP + 1, end))?;
    }
    let mut at = end + 2 + if end > TOP + 1 { CHART_ROWS } else { 0 };
    at = outcomes(sheet, styles, report, at)?;
    left_out(sheet, styles, seen, at)?;
    sheet.set_freeze_panes(TOP + 1, 0)?;
    Ok(())
}

fn title(sheet: &mut Worksheet, styles: &Styles, seen: &Seen) -> Result<(), XlsxError> {
    let cycle = &seen.cycle;
    sheet.set_row_height(0, 28)?;
    sheet.write_string_with_format(0, 0, "长期护理保险个人缴费扣款 · Individual long-term care deductions", &styles.title)?;
    let moment = |at: jiff::Timestamp| at.to_zoned(crate::flow::clock::shanghai()).strftime("%Y-%m-%d %H:%M").to_string();
    let state = match cycle.state.word() {
        "planned" => "已计算",
        "approved" => "已批准",
        "running" => "扣款中",
        "settled" => "已结清",
        _ => "已作废",
    };
    let approved = cycle.approved_by.as_deref().unwrap_or("–");
    let run = cycle.started_at.map_or_else(|| "–".to_owned(), moment);
    for (row, text) in (1..).zip([
        format!("统筹区 area {:06} · 费款所属期 month {} · {state} {}", cycle.pooling_area, cycle.month, cycle.state.word()),
        format!("计算 planned by {} {} · 批准 approved by {approved} · 扣款 run {run}", cycle.planned_by, moment(cycle.planned_at)),
        format!("SHA-256 {}", hex(&cycle.digest)),
    ]) {
        sheet.write_string_with_format(row, 0, text, &styles.note)?;
    }
    Ok(())
}

/// A row per district, a column per category; returns the row of the sums.
fn totals(sheet: &mut Worksheet, styles: &Styles, seen: &Seen) -> Result<u32, XlsxError> {
    let mut heads = vec![("区县\ndistrict".to_owned(), 34.0), ("人数\npeople".to_owned(), 14.0)];
    heads.extend(Category::ALL.map(|category| (format!("{}（元）", show::category(category).replacen(' ', "\n", 1)), 18.0)));
    heads.extend([("结转（元）\ncarried, yuan".to_owned(), 16.0), ("应扣合计（元）\nto take, yuan".to_owned(), 20.0)]);
    let heads: Vec<(&str, f64)> = heads.iter().map(|(heading, width)| (heading.as_str(), *width)).collect();
    headings(sheet, styles, TOP, &heads)?;
    let districts: BTreeSet<i32> = seen.cells.iter().map(|cell| cell.district).collect();
    let mut row = TOP;
    for district in districts {
        row += 1;
        let cells: Vec<_> = seen.cells.iter().filter(|cell| cell.district == district).collect();
        sheet.write_string_with_format(row, 0, format!("{district:06}"), &styles.text)?;
        sheet.write_number_with_format(row, 1, cells.iter().map(|cell| cell.people).sum::<i32>(), &styles.count)?;
        for (column, category) in (2..).zip(Category::ALL) {
            let fen: i64 = cells.iter().filter(|cell| cell.category == category).map(|cell| cell.due.0 + cell.carried.0).sum();
            sheet.write_number_with_format(row, column, yuan(fen), &styles.yuan)?;
        }
        sheet.write_number_with_format(row, 6, yuan(cells.iter().map(|cell| cell.carried.0).sum()), &styles.yuan)?;
        sheet.write_number_with_format(row, 7, yuan(cells.iter().map(|cell| cell.due.0 + cell.carried.0).sum()), &styles.yuan)?;
    }
    codes(sheet, row, 0)?;
    let sum = row + 1;
    sheet.write_string_with_format(sum, 0, "合计 all", &styles.sum_text)?;
    sheet.write_number_with_format(sum, 1, seen.cycle.people, &styles.sum_count)?;
    for (column, category) in (2..).zip(Category::ALL) {
        let fen: i64 = seen.cells.iter().filter(|cell| cell.category == category).map(|cell| cell.due.0 + cell.carried.0).sum();
        sheet.write_number_with_format(sum, column, yuan(fen), &styles.sum_yuan)?;
    }
    sheet.write_number_with_format(sum, 6, yuan(seen.cells.iter().map(|cell| cell.carried.0).sum()), &styles.sum_yuan)?;
    sheet.write_number_with_format(sum, 7, yuan(seen.cycle.fen.0), &styles.sum_yuan)?;
    Ok(sum)
}

/// What is to be taken by district, stacked by category, from the rows of districts.
fn chart(first: u32, sum: u32) -> Chart {
    let mut chart = Chart::new(ChartType::ColumnStacked);
    for (column, color) in (2..).zip(COLORS) {
        let series = chart.add_series();
        series.set_categories((NAME, first, 0, sum - 1, 0)).set_values((NAME, first, column, sum - 1, column));
        series.set_name(show::category(Category::ALL[usize::from(column - 2)]).as_str());
        series.set_format(rust_xlsxwriter::ChartFormat::new().set_solid_fill(rust_xlsxwriter::ChartSolidFill::new().set_color(Color::RGB(color))));
        series.set_gap(60);
    }
    chart.title().set_name("应扣金额，按区县和类别 · to take by district and category");
    chart.y_axis().set_num_format("#,##0").set_name("元 yuan");
    chart.legend().set_position(ChartLegendPosition::Bottom);
    chart.set_width(CHART_WIDTH).set_height(CHART_HEIGHT);
    chart
}

fn table_head(sheet: &mut Worksheet, styles: &Styles, at: u32, heads: &[&str]) -> Result<(), XlsxError> {
    sheet.set_row_height(at, HEADING_HEIGHT)?;
    for (column, heading) in (0..).zip(heads) {
        sheet.write_string_with_format(at, column, *heading, &styles.heading)?;
    }
    Ok(())
}

/// What the core did; returns where the next table begins.
fn outcomes(sheet: &mut Worksheet, styles: &Styles, report: &Report, at: u32) -> Result<u32, XlsxError> {
    if report.outcomes.is_empty() {
        return Ok(at);
    }
    table_head(sheet, styles, at, &["结果\nresult", "人数\npeople", "应扣（元）\nasked, yuan", "实扣（元）\ntaken, yuan", "轮次\nround"])?;
    let mut row = at;
    for of in &report.outcomes {
        row += 1;
        sheet.write_string_with_format(row, 0, format!("{} {}", show::outcome(of.outcome), of.outcome.word().replace('_', " ")), &styles.text)?;
        sheet.write_number_with_format(row, 1, of.people as f64, &styles.count)?;
        sheet.write_number_with_format(row, 2, yuan(of.asked.0), &styles.yuan)?;
        sheet.write_number_with_format(row, 3, yuan(of.taken.0), &styles.yuan)?;
        sheet.write_number_with_format(row, 4, of.round, &styles.count)?;
    }
    Ok(row + 2)
}

fn left_out(sheet: &mut Worksheet, styles: &Styles, seen: &Seen, at: u32) -> Result<(), XlsxError> {
    table_head(sheet, styles, at, &["未列入原因\nleft out because", "人数\npeople", "应缴（元）\nwould be due, yuan"])?;
    for (row, left) in (at + 1..).zip(&seen.left_out) {
        sheet.write_string_with_format(row, 0, both(show::reason(&left.reason)), &styles.text)?;
        sheet.write_number_with_format(row, 1, left.people as f64, &styles.count)?;
        sheet.write_number_with_format(row, 2, yuan(left.due.0), &styles.yuan)?;
    }
    Ok(())
}
