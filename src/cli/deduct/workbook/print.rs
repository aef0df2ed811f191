//! How sheets come out of a printer: A4 across, as wide as the sheet, headings on every page, and no page
//! with a line or two only.
//!
//! Excel heeds breaks of ours only where the scale is ours, too, so both are computed from the widths of the columns.

use rust_xlsxwriter::{Worksheet, XlsxError};

use super::HEADING_HEIGHT;

/// Height of an ordinary row (points).
const ROW_HEIGHT: f64 = 16.0;
/// What A4 across leaves between our margins: points high, and pixels of a screen wide.
const PAGE_POINTS: f64 = 509.0;
const PAGE_PIXELS: f64 = 1_026.0;
/// Pixels of a character, and of a column's frame: 7 of the default font (Calibri), with some room for others.
const CHARACTER_PIXELS: f64 = 7.5;
const FRAME_PIXELS: f64 = 5.0;
/// Rows a last page has at least.
const LAST_PAGE_MIN: u32 = 4;
/// Breaks a sheet can have; nobody prints more.
const BREAKS_MAX: usize = 1_000;

/// A sheet's pages.
#[derive(Debug, Clone, Copy)]
pub struct Pages {
    /// Rows below the headings.
    rows: u32,
}

/// A sheet of rows under headings in its first row, with columns of these widths (characters).
pub fn rows(sheet: &mut Worksheet, widths: &[f64]) -> Result<Pages, XlsxError> {
    paper(sheet);
    sheet
        .set_default_row_height(ROW_HEIGHT)
        .set_repeat_rows(0, 0)?;
    let pixels: f64 = widths
        .iter()
        .map(|width| width * CHARACTER_PIXELS + FRAME_PIXELS)
        .sum();
    // A little less than fits, as printers and fonts differ.
    let scale = (PAGE_PIXELS / pixels.max(1.0) * 95.0)
        .floor()
        .clamp(20.0, 100.0);
    sheet.set_print_scale(scale as u16);
    let rows = ((PAGE_POINTS * 100.0 / scale - HEADING_HEIGHT) / ROW_HEIGHT).floor() - 2.0;
    Ok(Pages {
        rows: (rows as u32).max(LAST_PAGE_MIN * 2),
    })
}

/// A sheet that is one page.
pub fn one_page(sheet: &mut Worksheet) {
    paper(sheet);
    sheet.set_print_fit_to_pages(1, 1);
}

fn paper(sheet: &mut Worksheet) {
    sheet.set_landscape().set_paper_size(9);
    sheet
        .set_footer("&C&P / &N")
        .set_margins(0.5, 0.5, 0.6, 0.6, 0.3, 0.3);
}

impl Pages {
    /// Breaks the rows into pages, the last of which has more than a line or two.
    pub fn end(self, sheet: &mut Worksheet, rows: u32) -> Result<(), XlsxError> {
        let breaks = self.breaks(rows);
        if breaks.is_empty() {
            Ok(())
        } else {
            sheet.set_page_breaks(&breaks).map(drop)
        }
    }

    /// The first row of every page but the first.
    fn breaks(self, rows: u32) -> Vec<u32> {
        let mut breaks: Vec<u32> = (1..)
            .map(|page| 1 + page * self.rows)
            .take_while(|first| *first <= rows)
            .collect();
        if let Some(last) = breaks.last_mut() {
            *last -= LAST_PAGE_MIN.saturating_sub(1 + rows - *last);
        }
        breaks.truncate(BREAKS_MAX);
        breaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_has_fewer_rows_than_a_few_and_none_is_over_full() {
        let pages = Pages { rows: 30 };
        for rows in 1..400 {
            let breaks = pages.breaks(rows);
            let firsts: Vec<u32> = [1].into_iter().chain(breaks).chain([rows + 1]).collect();
            let sizes: Vec<u32> = firsts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert_eq!(sizes.iter().sum::<u32>(), rows);
            assert!(sizes.iter().all(|size| *size <= 30), "{rows}: {sizes:?}");
            assert!(
                sizes.len() == 1 || sizes.iter().all(|size| *size >= LAST_PAGE_MIN),
                "{rows}: {sizes:?}"
            );
        }
    }
}
