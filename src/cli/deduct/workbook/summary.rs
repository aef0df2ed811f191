//! The first sheet: what was planned by district and category, what came of it, and a chart.
//!
//! Small: a row per district, one per outcome, one per reason.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use rust_xlsxwriter::{Chart, ChartLegendPosition, ChartType, Color, Format, Worksheet, XlsxError};

use super::{Districts, HEADING_HEIGHT, Styles, both, codes, headings, print, yuan};
use crate::cli::deduct::show;
use crate::flow::deduct::{ComparedCycle, CycleReport};
use crate::model::Fen;
use crate::model::deduction::Category;

const NAME: &str = "汇总 Summary";
/// Where the totals begin.
const TOP: u32 = 6;
const COLORS: [u32; 5] = [
    0x001F_4E79,
    0x0070_AD47,
    0x00ED_7D31,
    0x00FF_C000,
    0x00A5_A5A5,
];
const CHART_WIDTH: u32 = 1480;
const CHART_HEIGHT: u32 = 400;
/// Rows the chart covers, and one below.
const CHART_ROWS: u32 = 22;

/// What the sheet is made of.
pub struct SummaryFigures<'a> {
    pub seen: &'a ComparedCycle,
    pub report: &'a CycleReport,
    /// District, people and fen of what was taken.
    pub taken: &'a [(i32, i64, Fen)],
    pub districts: &'a Districts,
}

/// Writes the sheet.
pub fn write(
    sheet: &mut Worksheet,
    styles: &Styles,
    figures: &SummaryFigures<'_>,
) -> Result<(), XlsxError> {
    let SummaryFigures { seen, report, .. } = *figures;
    sheet
        .set_name(NAME)?
        .set_tab_color(Color::RGB(COLORS[0]))
        .set_screen_gridlines(false);
    print::one_page(sheet);
    title(sheet, styles, seen)?;
    let end = totals(sheet, styles, figures)?;
    if end > TOP + 1 {
        sheet.insert_chart(end + 2, 0, &chart(TOP + 1, end))?;
    }
    let mut at = end + 2 + if end > TOP + 1 { CHART_ROWS } else { 0 };
    at = outcomes(sheet, styles, report, at)?;
    left_out(sheet, styles, seen, at)?;
    sheet.set_freeze_panes(TOP + 1, 0)?;
    Ok(())
}

fn title(sheet: &mut Worksheet, styles: &Styles, seen: &ComparedCycle) -> Result<(), XlsxError> {
    let cycle = &seen.cycle;
    sheet.set_row_height(0, 28)?;
    sheet.write_string_with_format(
        0,
        0,
        "长期护理保险个人缴费扣款 · Individual long-term care deductions",
        &styles.title,
    )?;
    let moment = |at: jiff::Timestamp| {
        at.to_zoned(crate::flow::clock::shanghai())
            .strftime("%Y-%m-%d %H:%M")
            .to_string()
    };
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
        format!(
            "统筹区 area {:06} · 费款所属期 month {} · {state} {}",
            cycle.pooling_area,
            cycle.month,
            cycle.state.word()
        ),
        format!(
            "计算 planned by {} {} · 批准 approved by {approved} · 扣款 run {run}",
            cycle.planned_by,
            moment(cycle.planned_at)
        ),
        format!("SHA-256 {}", HEXLOWER.encode(&cycle.digest)),
    ]) {
        sheet.write_string_with_format(row, 0, text, &styles.note)?;
    }
    Ok(())
}

/// What is asked and taken of one district, or of all.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    people: i64,
    /// Of this month, by category.
    due: [i64; Category::IN_ROSTERS.len()],
    /// Of earlier months.
    carried: i64,
    deducted: i64,
    taken: i64,
}

impl Line {
    fn to_take(self) -> i64 {
        self.due.iter().sum::<i64>() + self.carried
    }

    fn plus(mut self, other: &Line) -> Line {
        self.people += other.people;
        self.due
            .iter_mut()
            .zip(other.due)
            .for_each(|(sum, due)| *sum += due);
        self.carried += other.carried;
        self.deducted += other.deducted;
        self.taken += other.taken;
        self
    }
}

fn lines(figures: &SummaryFigures<'_>) -> BTreeMap<i32, Line> {
    let mut lines: BTreeMap<i32, Line> = BTreeMap::new();
    for cell in &figures.seen.cells {
        let line = lines.entry(cell.district).or_default();
        line.people += i64::from(cell.people);
        let category = Category::IN_ROSTERS
            .iter()
            .position(|category| *category == cell.category)
            .unwrap_or_default();
        line.due[category] += cell.due.0;
        line.carried += cell.carried.0;
    }
    for (district, people, fen) in figures.taken {
        let line = lines.entry(*district).or_default();
        (line.deducted, line.taken) = (*people, fen.0);
    }
    lines
}

/// A row per district: this month's own by category, what is carried, and what came of both; returns the row of the sums.
fn totals(
    sheet: &mut Worksheet,
    styles: &Styles,
    figures: &SummaryFigures<'_>,
) -> Result<u32, XlsxError> {
    let mut heads = vec![
        ("区县\ndistrict".to_owned(), 34.0),
        ("人数\npeople".to_owned(), 14.0),
    ];
    heads.extend(Category::IN_ROSTERS.map(|category| {
        (
            format!(
                "其中{}，本月（元）\n{}, yuan",
                show::category_zh(category),
                category.word()
            ),
            18.0,
        )
    }));
    heads.extend([
        (
            "其中以前月份结转（元）\nof it carried, yuan".to_owned(),
            19.0,
        ),
        ("应扣合计（元）\nto take, yuan".to_owned(), 20.0),
    ]);
    heads.extend([
        ("已扣人数\ndeducted".to_owned(), 14.0),
        ("实扣（元）\ntaken, yuan".to_owned(), 20.0),
        ("未扣（元）\nnot taken, yuan".to_owned(), 20.0),
    ]);
    let heads: Vec<(&str, f64)> = heads
        .iter()
        .map(|(heading, width)| (heading.as_str(), *width))
        .collect();
    headings(sheet, styles, TOP, &heads)?;
    let lines = lines(figures);
    let mut row = TOP;
    for (district, line) in &lines {
        row += 1;
        sheet.write_string_with_format(row, 0, figures.districts.shown(*district), &styles.text)?;
        cells(sheet, row, (&styles.count, &styles.yuan), line)?;
    }
    codes(sheet, row, 0)?;
    let sum = row + 1;
    sheet.write_string_with_format(sum, 0, "合计 all", &styles.sum_text)?;
    cells(
        sheet,
        sum,
        (&styles.sum_count, &styles.sum_yuan),
        &lines.values().fold(Line::default(), Line::plus),
    )?;
    Ok(sum)
}

#[allow(clippy::cast_precision_loss)] // people are far fewer than 2^52
fn cells(
    sheet: &mut Worksheet,
    row: u32,
    (count, amount): (&Format, &Format),
    line: &Line,
) -> Result<(), XlsxError> {
    sheet.write_number_with_format(row, 1, line.people as f64, count)?;
    for (column, fen) in (2..).zip(line.due) {
        sheet.write_number_with_format(row, column, yuan(fen), amount)?;
    }
    sheet.write_number_with_format(row, 6, yuan(line.carried), amount)?;
    sheet.write_number_with_format(row, 7, yuan(line.to_take()), amount)?;
    sheet.write_number_with_format(row, 8, line.deducted as f64, count)?;
    sheet.write_number_with_format(row, 9, yuan(line.taken), amount)?;
    sheet.write_number_with_format(row, 10, yuan(line.to_take() - line.taken), amount)?;
    Ok(())
}

/// What is to be taken by district, stacked by category and what is carried, from the rows of districts.
fn chart(first: u32, sum: u32) -> Chart {
    let mut chart = Chart::new(ChartType::ColumnStacked);
    let names = Category::IN_ROSTERS
        .iter()
        .map(|category| show::category(*category))
        .chain(["以前月份结转 carried".to_owned()]);
    for ((column, color), name) in (2..).zip(COLORS).zip(names) {
        let series = chart.add_series();
        series
            .set_categories((NAME, first, 0, sum - 1, 0))
            .set_values((NAME, first, column, sum - 1, column));
        series.set_name(name.as_str());
        series.set_format(
            rust_xlsxwriter::ChartFormat::new().set_solid_fill(
                rust_xlsxwriter::ChartSolidFill::new().set_color(Color::RGB(color)),
            ),
        );
        series.set_gap(60);
    }
    chart
        .title()
        .set_name("应扣金额，按区县和类别 · to take by district and category");
    chart.y_axis().set_num_format("#,##0").set_name("元 yuan");
    chart
        .x_axis()
        .set_font(rust_xlsxwriter::ChartFont::new().set_size(9));
    chart.legend().set_position(ChartLegendPosition::Bottom);
    chart.set_width(CHART_WIDTH).set_height(CHART_HEIGHT);
    chart
}

fn table_head(
    sheet: &mut Worksheet,
    styles: &Styles,
    at: u32,
    heads: &[&str],
) -> Result<(), XlsxError> {
    sheet.set_row_height(at, HEADING_HEIGHT)?;
    for (column, heading) in (0..).zip(heads) {
        sheet.write_string_with_format(at, column, *heading, &styles.heading)?;
    }
    Ok(())
}

/// What the core did; returns where the next table begins.
fn outcomes(
    sheet: &mut Worksheet,
    styles: &Styles,
    report: &CycleReport,
    at: u32,
) -> Result<u32, XlsxError> {
    if report.outcomes.is_empty() {
        return Ok(at);
    }
    table_head(
        sheet,
        styles,
        at,
        &[
            "结果\nresult",
            "人数\npeople",
            "应扣（元）\nasked, yuan",
            "实扣（元）\ntaken, yuan",
            "轮次\nround",
        ],
    )?;
    let mut row = at;
    for of in &report.outcomes {
        row += 1;
        sheet.write_string_with_format(
            row,
            0,
            format!(
                "{} {}",
                show::outcome(of.outcome),
                of.outcome.word().replace('_', " ")
            ),
            &styles.text,
        )?;
        sheet.write_number_with_format(row, 1, of.people as f64, &styles.count)?;
        sheet.write_number_with_format(row, 2, yuan(of.asked.0), &styles.yuan)?;
        sheet.write_number_with_format(row, 3, yuan(of.taken.0), &styles.yuan)?;
        sheet.write_number_with_format(row, 4, of.round, &styles.count)?;
    }
    // Whoever is tried again is asked again, so what several rounds asked is not added up; what was taken is.
    row += 1;
    sheet.write_string_with_format(row, 0, "实扣合计 taken in all", &styles.sum_text)?;
    let deducted: i64 = report
        .outcomes
        .iter()
        .filter(|of| of.taken > Fen::ZERO)
        .map(|of| of.people)
        .sum();
    sheet.write_number_with_format(row, 1, deducted as f64, &styles.sum_count)?;
    if report.outcomes.iter().all(|of| of.round == 1) {
        sheet.write_number_with_format(
            row,
            2,
            yuan(report.outcomes.iter().map(|of| of.asked.0).sum()),
            &styles.sum_yuan,
        )?;
    } else {
        sheet.write_blank(row, 2, &styles.sum_text)?;
    }
    sheet.write_number_with_format(
        row,
        3,
        yuan(report.outcomes.iter().map(|of| of.taken.0).sum()),
        &styles.sum_yuan,
    )?;
    sheet.write_blank(row, 4, &styles.sum_text)?;
    Ok(row + 2)
}

fn left_out(
    sheet: &mut Worksheet,
    styles: &Styles,
    seen: &ComparedCycle,
    at: u32,
) -> Result<(), XlsxError> {
    table_head(
        sheet,
        styles,
        at,
        &[
            "未列入原因\nleft out because",
            "人数\npeople",
            "应缴（元）\nwould be due, yuan",
        ],
    )?;
    let mut row = at;
    for left in &seen.left_out {
        row += 1;
        sheet.write_string_with_format(row, 0, both(show::reason(&left.reason)), &styles.text)?;
        sheet.write_number_with_format(row, 1, left.people as f64, &styles.count)?;
        sheet.write_number_with_format(row, 2, yuan(left.due.0), &styles.yuan)?;
    }
    sheet.write_string_with_format(row + 1, 0, "未列入合计 left out in all", &styles.sum_text)?;
    sheet.write_number_with_format(
        row + 1,
        1,
        seen.left_out.iter().map(|left| left.people).sum::<i64>() as f64,
        &styles.sum_count,
    )?;
    sheet.write_number_with_format(
        row + 1,
        2,
        yuan(seen.left_out.iter().map(|left| left.due.0).sum()),
        &styles.sum_yuan,
    )?;
    Ok(())
}
