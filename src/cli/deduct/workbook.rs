//! A cycle as a workbook (XLSX): totals with a chart, shortfalls, postings, differences, people left out.
//!
//! Sheets of people are written row by row as they are read, so memory holds no city; a sheet that
//! is full goes on in another one. Headings are Chinese and English, amounts in yuan; every sheet
//! ends with the sums of its rows.

use std::collections::BTreeMap;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use futures_util::{Stream, TryStreamExt};
use rust_xlsxwriter::{
    Color, Format, FormatAlign, FormatBorder, IgnoreError, Workbook, Worksheet, XlsxError,
};

use super::super::Failure;
use super::super::table::width;
use super::show;
use crate::error::{Fault, Stage};
use crate::flow::deduct::{ComparedCycle, Desk};

mod print; // pages
mod summary; // the first sheet, with its chart
mod tables; // postings and differences, a row per district and month or category

/// Rows of people a sheet takes below its heading; Excel takes 1,048,576 rows.
const PEOPLE_MAX: u32 = 1_000_000;
const HEADING_HEIGHT: f64 = 32.0;

/// How many people the workbook lists.
#[derive(Debug, Clone, Copy)]
pub struct WorkbookPeople {
    pub short: u64,
    pub left_out: u64,
}

/// Districts by code, as the code tables of the medical insurance core name them.
pub struct Districts(pub BTreeMap<String, String>);

impl Districts {
    /// A district as people are shown it: its code, and its name where the code tables have one.
    fn shown(&self, code: i32) -> String {
        let code = format!("{code:06}");
        self.0
            .get(&code)
            .map_or_else(|| code.clone(), |name| format!("{code} {name}"))
    }
}

/// Writes a cycle's workbook, over an earlier file of that name.
pub async fn write(
    desk: &Desk,
    seen: &ComparedCycle,
    districts: &Districts,
    path: &Path,
) -> Result<WorkbookPeople, Failure> {
    let failed = |error: &XlsxError| {
        Fault::operator(
            Stage::Render,
            format!(
                "{}: {error}; expected a file that can be written",
                path.display()
            ),
        )
    };
    let report = desk.report(&seen.cycle).await?;
    let taken = desk.store.cycle_taken(seen.cycle.cycle_id).await?;
    let posted = desk.store.cycle_posted(seen.cycle.cycle_id).await?;
    let styles = Styles::new();
    let mut workbook = Workbook::new();
    let figures = summary::SummaryFigures {
        seen,
        report: &report,
        taken: &taken,
        districts,
    };
    summary::write(workbook.add_worksheet(), &styles, &figures).map_err(|error| failed(&error))?;
    let short = desk.store.cycle_short(&seen.cycle).await?;
    let short = people(
        &mut workbook,
        &styles,
        &SHORT,
        short.map_ok(|one| {
            let handling = one.handling.as_deref().map_or_else(
                || "本月不结转 nothing of this month is owed".to_owned(),
                |word| both(show::handling(word)),
            );
            let outcome = format!(
                "{} {}",
                show::outcome(one.outcome),
                one.outcome.word().replace('_', " ")
            );
            let names = [
                one.person_no,
                districts.shown(one.district),
                show::category(one.category),
            ]
            .map(Cell::Text);
            let [person, district, category] = names;
            vec![
                person,
                district,
                category,
                Cell::Yuan(one.asked.0),
                Cell::Yuan(one.own.0),
                Cell::Yuan(one.carried.0),
                Cell::Text(outcome),
                one.balance.map_or(Cell::Empty, |fen| Cell::Balance(fen.0)),
                Cell::Text(handling),
            ]
        }),
    );
    let short = short.await?;
    tables::posted(
        workbook.add_worksheet(),
        &styles,
        (&posted, seen.cycle.month),
        districts,
    )
    .map_err(|error| failed(&error))?;
    tables::changes(workbook.add_worksheet(), &styles, seen, districts)
        .map_err(|error| failed(&error))?;
    let left_out = desk
        .store
        .cycle_left_out_people(seen.cycle.cycle_id)
        .await?;
    let left_out = people(
        &mut workbook,
        &styles,
        &LEFT_OUT,
        left_out.map_ok(|one| {
            let names = [
                one.person_no,
                districts.shown(one.district),
                show::category(one.category),
                both(show::reason(&one.reason)),
            ]
            .map(Cell::Text);
            names.into_iter().chain([Cell::Yuan(one.due.0)]).collect()
        }),
    );
    let left_out = left_out.await?;
    let file = private_file(path).map_err(|error| failed(&XlsxError::IoError(error)))?;
    workbook
        .save_to_writer(file)
        .map_err(|error| failed(&error))?;
    Ok(WorkbookPeople { short, left_out })
}

/// A file that only its owner may read, over an earlier one of that name whatever its mode was: it lists people.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // The mode above is of new files only. What is no file, such as /dev/stdout, keeps its own.
    if file.metadata()?.is_file() {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn both((english, chinese): (&str, &str)) -> String {
    format!("{chinese} {english}")
}

/// A sheet of people: its name, headings with column widths, and its colour.
struct Sheet {
    name: &'static str,
    columns: &'static [(&'static str, f64)],
    color: u32,
}

const SHORT: Sheet = Sheet {
    name: "未扣款 Shortfalls",
    columns: &[
        ("个人编号\nperson", 28.0),
        ("区县\ndistrict", 34.0),
        ("类别\ncategory", 22.0),
        ("应扣（元）\nasked, yuan", 15.0),
        ("其中本月（元）\nof this month", 15.0),
        ("其中以前月份（元）\nearlier, owed still", 18.0),
        ("结果\nresult", 30.0),
        ("账户余额（元）\nbalance, yuan", 16.0),
        ("本月欠缴处理\nhandling of this month", 38.0),
    ],
    color: 0x00C0_504D,
};
const LEFT_OUT: Sheet = Sheet {
    name: "未列入 Left out",
    columns: &[
        ("个人编号\nperson", 28.0),
        ("区县\ndistrict", 34.0),
        ("类别\ncategory", 22.0),
        ("原因\nreason", 60.0),
        ("应缴（元）\nwould be due, yuan", 19.0),
    ],
    color: 0x007F_7F7F,
};

/// A cell of a person's row.
enum Cell {
    Text(String),
    /// Fen, shown as yuan, and summed.
    Yuan(i64),
    /// Fen of somebody's own, of which a sum says nothing.
    Balance(i64),
    Empty,
}

/// Formats shared by all sheets.
struct Styles {
    title: Format,
    note: Format,
    heading: Format,
    text: Format,
    count: Format,
    yuan: Format,
    change: Format,
    count_change: Format,
    sum_text: Format,
    sum_count: Format,
    sum_yuan: Format,
    sum_change: Format,
    sum_count_change: Format,
}

impl Styles {
    fn new() -> Styles {
        let base = || {
            Format::new()
                .set_font_name("Microsoft YaHei")
                .set_font_size(10)
        };
        let line = Color::RGB(0x00D9_D9D9);
        let cell = || {
            base()
                .set_border_bottom(FormatBorder::Hair)
                .set_border_bottom_color(line)
        };
        let sum = || {
            base()
                .set_bold()
                .set_border_top(FormatBorder::Thin)
                .set_background_color(Color::RGB(0x00EA_F1F8))
        };
        let (count, yuan) = ("#,##0", "#,##0.00");
        let (count_change, yuan_change) =
            ("+#,##0;[Red]-#,##0;\"–\"", "+#,##0.00;[Red]-#,##0.00;\"–\"");
        Styles {
            title: base()
                .set_bold()
                .set_font_size(16)
                .set_font_color(Color::RGB(0x001F_3864)),
            note: base().set_font_color(Color::RGB(0x0059_5959)),
            heading: base()
                .set_bold()
                .set_font_color(Color::White)
                .set_background_color(Color::RGB(0x001F_4E79))
                .set_align(FormatAlign::Center)
                .set_align(FormatAlign::VerticalCenter)
                .set_text_wrap(),
            // Apart from the number in the column before.
            text: cell().set_indent(1),
            count: cell().set_num_format(count),
            yuan: cell().set_num_format(yuan),
            change: cell().set_num_format(yuan_change),
            count_change: cell().set_num_format(count_change),
            sum_text: sum().set_indent(1),
            sum_count: sum().set_num_format(count),
            sum_yuan: sum().set_num_format(yuan),
            sum_change: sum().set_num_format(yuan_change),
            sum_count_change: sum().set_num_format(count_change),
        }
    }
}

/// Fen as the number of yuan a sheet holds.
#[allow(clippy::cast_precision_loss)] // exact below ninety trillion yuan
fn yuan(fen: i64) -> f64 {
    fen as f64 / 100.0
}

/// Widths of columns in which no heading is clipped.
fn widths(columns: &[(&str, f64)]) -> Vec<f64> {
    // Bold letters are wider than those a width is counted in.
    let line = |line: &str| f64::from(u32::try_from(width(line)).unwrap_or(0)) * 1.15 + 2.0;
    columns
        .iter()
        .map(|(heading, wanted)| heading.lines().map(line).fold(*wanted, f64::max))
        .collect()
}

/// Headings in a row, with column widths and a filter to be set by the caller.
fn headings(
    sheet: &mut Worksheet,
    styles: &Styles,
    at: u32,
    columns: &[(&str, f64)],
) -> Result<(), XlsxError> {
    sheet.set_row_height(at, HEADING_HEIGHT)?;
    for ((column, (heading, _)), width) in (0..).zip(columns).zip(widths(columns)) {
        sheet.set_column_width(column, width)?;
        sheet.write_string_with_format(at, column, *heading, &styles.heading)?;
    }
    Ok(())
}

/// Codes of digits in the first columns are text and meant to be.
fn codes(sheet: &mut Worksheet, last_row: u32, last_column: u16) -> Result<(), XlsxError> {
    sheet
        .ignore_error_range(1, 0, last_row, last_column, IgnoreError::NumberStoredAsText)
        .map(drop)
}

/// Writes people as they are read; returns how many.
async fn people(
    workbook: &mut Workbook,
    styles: &Styles,
    of: &Sheet,
    rows: impl Stream<Item = Result<Vec<Cell>, Fault>>,
) -> Result<u64, Failure> {
    let failed = |error: XlsxError| {
        Fault::operator(
            Stage::Render,
            format!(
                "sheet {}: {error}; check the free space of the temporary folder",
                of.name
            ),
        )
    };
    let mut rows = std::pin::pin!(rows);
    let mut written = 0;
    let mut sheets = 0;
    let mut next = rows.try_next().await?;
    while next.is_some() || sheets == 0 {
        sheets += 1;
        let sheet = workbook
            .add_worksheet_with_constant_memory()
            .map_err(failed)?;
        let pages = start(sheet, styles, of, sheets).map_err(failed)?;
        let mut at = 0;
        let mut sums = vec![None; of.columns.len()];
        while let Some(cells) = next.take() {
            at += 1;
            add(&mut sums, &cells);
            for (column, cell) in (0..).zip(&cells) {
                row_cell(sheet, styles, (at, column), cell).map_err(failed)?;
            }
            written += 1;
            next = rows.try_next().await?;
            if at == PEOPLE_MAX {
                break;
            }
        }
        if at > 0 {
            let last = u16::try_from(of.columns.len().saturating_sub(1)).unwrap_or(0);
            sheet.autofilter(0, 0, at, last).map_err(failed)?;
            codes(sheet, at, 1).map_err(failed)?;
            sum_row(sheet, styles, at + 1, (at, &sums)).map_err(failed)?;
            pages.end(sheet, at + 1).map_err(failed)?;
        }
    }
    Ok(written)
}

fn add(sums: &mut [Option<i64>], cells: &[Cell]) {
    for (sum, cell) in sums.iter_mut().zip(cells) {
        if let Cell::Yuan(fen) = cell {
            *sum = Some(sum.unwrap_or_default().saturating_add(*fen));
        }
    }
}

/// The sums of a sheet's rows, below them; the first column stays empty, so that nobody takes it for a person.
fn sum_row(
    sheet: &mut Worksheet,
    styles: &Styles,
    row: u32,
    (people, sums): (u32, &[Option<i64>]),
) -> Result<(), XlsxError> {
    for (column, sum) in (0..).zip(sums) {
        match sum {
            Some(fen) => {
                sheet.write_number_with_format(row, column, yuan(*fen), &styles.sum_yuan)?
            }
            None if column == 1 => sheet.write_string_with_format(
                row,
                column,
                format!("合计 all: {people} 人 people"),
                &styles.sum_text,
            )?,
            None => sheet.write_blank(row, column, &styles.sum_text)?,
        };
    }
    Ok(())
}

fn start(
    sheet: &mut Worksheet,
    styles: &Styles,
    of: &Sheet,
    number: usize,
) -> Result<print::Pages, XlsxError> {
    let name = if number == 1 {
        of.name.to_owned()
    } else {
        format!("{} {number}", of.name)
    };
    sheet
        .set_name(name)?
        .set_tab_color(Color::RGB(of.color))
        .set_freeze_panes(1, 0)?;
    // The height of rows is said before the first is written.
    let pages = print::rows(sheet, &widths(of.columns))?;
    headings(sheet, styles, 0, of.columns)?;
    Ok(pages)
}

fn row_cell(
    sheet: &mut Worksheet,
    styles: &Styles,
    (row, column): (u32, u16),
    cell: &Cell,
) -> Result<(), XlsxError> {
    match cell {
        Cell::Text(text) => sheet.write_string_with_format(row, column, text, &styles.text)?,
        Cell::Yuan(fen) | Cell::Balance(fen) => {
            sheet.write_number_with_format(row, column, yuan(*fen), &styles.yuan)?
        }
        Cell::Empty => sheet.write_blank(row, column, &styles.text)?,
    };
    Ok(())
}
