//! What stands at the other end of standard output and standard error: how wide it is, and whether bars may move there.
//!
//! `COLUMNS` overrules the terminal, so that a pipe can be told to be wider. Bars are shown on a terminal
//! that can move its cursor only, and share one place at its bottom with the log (see `telemetry::bars`).

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::telemetry;

/// Columns of a pipe, a file, and a terminal that does not say.
const COLUMNS: usize = 80;
/// Narrower nothing can be read; wider, lines are lost to the eye.
const LEAST: usize = 40;
const MOST: usize = 200;

/// Columns a line on standard output may take.
pub fn columns() -> usize {
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let found = || {
        std::io::stdout()
            .is_terminal()
            .then(|| console::Term::stdout().size_checked())
            .flatten()
            .map(|(_, columns)| usize::from(columns))
    };
    told.or_else(found).unwrap_or(COLUMNS).clamp(LEAST, MOST)
}

/// A bar at the bottom of the terminal; where none can be drawn it counts and stays unseen.
pub fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = telemetry::bars().add(ProgressBar::new(length));
    bar.set_style(style(template).progress_chars("━╸─"));
    bar
}

/// A spinner with what is being done, seen as a bar is.
pub fn spinner(template: &str, what: String) -> ProgressBar {
    let spinner = telemetry::bars().add(ProgressBar::new_spinner());
    spinner.set_style(style(template));
    spinner.set_message(what);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// Whether what moves is seen; where it is not, a line now and then says how far things are.
#[cfg(feature = "sandbox")]
pub fn moves() -> bool {
    !telemetry::bars().is_hidden()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
