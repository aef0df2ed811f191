//! What a person sees while the demo works: bars on a terminal, a line now and then elsewhere.
//!
//! Steps go to standard output, what moves to standard error.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::super::table::{thousands, width};
use super::paint;
use crate::flow::deduct::{Core, remaining};
use crate::sandbox::tax_bureau::Lines;
use crate::store::deduction::Answers;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Where the times of steps stand.
const STEP_COLUMNS: usize = 86;

/// Says that a step is done.
pub(super) fn step(what: &str, took: Duration) {
    let dots = "·".repeat(STEP_COLUMNS.saturating_sub(width(what)).max(1));
    println!("  {} {what} {} {:>5.1} s", paint::good("✔"), paint::dim(&dots), took.as_secs_f64());
}

/// Says what is being done, while it is, on a terminal.
pub(super) fn doing(what: &str) -> Doing {
    let spinner = ProgressBar::new_spinner();
    spinner.set_style(ProgressStyle::with_template("  {spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.set_message(what.to_string());
    spinner.enable_steady_tick(Duration::from_millis(120));
    Doing { spinner, start: Instant::now() }
}

/// Something that is being done; its line disappears with it.
pub(super) struct Doing {
    spinner: ProgressBar,
    pub start: Instant,
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}

/// A bar for packets and one for each counterpart.
pub(super) struct Progress {
    packets: ProgressBar,
    destinations: Vec<(String, ProgressBar)>,
    bars: MultiProgress,
    terminal: bool,
    last_line: Cell<Instant>,
}

impl Progress {
    pub fn start(packets: u64, destinations: Vec<String>) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bars = MultiProgress::new();
        let style = |template: &str| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
        let bar = |length: u64, name: &str, template: &str| {
            let bar = if terminal { bars.add(ProgressBar::new(length)) } else { ProgressBar::hidden() };
            bar.set_length(length);
            bar.set_style(style(template));
            bar.set_prefix(name.to_string());
            bar.tick();
            bar
        };
        let names = destinations.into_iter();
        let packets = bar(packets, "packets", "    {prefix:<14} {bar:40.cyan/dim} {pos:>6}/{len:<6} {msg}");
        let destinations = names.map(|name| (name.clone(), bar(1, &name, "    {prefix:<14} {bar:40.green/dim} {pos:>6}/{len:<6} {msg}"))).collect();
        Progress { packets, destinations, bars, terminal, last_line: Cell::new(Instant::now()) }
    }

    /// So many packets are answered, with these lines in them.
    pub fn packets(&self, answered: u64, lines: &Lines) {
        self.packets.set_message(format!("{} lines", thousands(lines.received.cast_signed())));
        self.packets.set_position(answered);
        self.line();
    }

    /// Deliveries to one counterpart.
    pub fn deliveries(&self, destination: &str, settled: u64, of: u64) {
        let Some((_, bar)) = self.destinations.iter().find(|(name, _)| name == destination) else { return };
        bar.set_length(of.max(settled).max(1));
        bar.set_position(settled);
        if settled > 0 {
            bar.set_message(format!("{:.1}/s", settled as f64 / bar.elapsed().as_secs_f64().max(0.1)));
        }
        self.line();
    }

    pub fn finish(&self) {
        self.packets.finish_and_clear();
        self.destinations.iter().for_each(|(_, bar)| bar.finish_and_clear());
        let _ = self.bars.clear();
    }

    fn line(&self) {
        if self.terminal || self.last_line.get().elapsed() < LINE_EVERY {
            return;
        }
        self.last_line.set(Instant::now());
        let count = |bar: &ProgressBar| format!("{}/{}", bar.position(), bar.length().unwrap_or_default());
        let deliveries: Vec<String> = self.destinations.iter().map(|(name, bar)| format!("{name} {}", count(bar))).collect();
        eprintln!("    packets {} · delivered: {}", count(&self.packets), deliveries.join(" · "));
    }
}

/// A bar for people answered by the medical core.
pub(super) struct Answered {
    bar: ProgressBar,
    start: Instant,
    terminal: bool,
    last_line: Cell<Instant>,
}

impl Answered {
    pub fn start(people: u64) -> Answered {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(people) } else { ProgressBar::hidden() };
        let template = "    {prefix:<14} {bar:40.green/dim} {human_pos}/{human_len} {msg}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_prefix("people");
        Answered { bar, start: Instant::now(), terminal, last_line: Cell::new(Instant::now()) }
    }

    /// So many are answered; the rest at the pace so far, and no faster than the core's limits.
    pub fn answered(&self, core: &Core, now: &Answers) {
        let left = remaining(core, now, now.answered, self.start.elapsed());
        let asked = if now.in_doubt > 0 { format!(", outcome unknown and asked about: {}", now.in_doubt) } else { String::new() };
        let left = match now.answered {
            all if all >= now.people => "telling the LTC system".to_owned(),
            0 => format!("{} s at the least{asked}", left.as_secs().max(1)),
            _ => format!("about {} s left{asked}", left.as_secs().max(1)),
        };
        self.bar.set_position(now.answered.unsigned_abs());
        if !self.terminal && self.last_line.get().elapsed() >= LINE_EVERY {
            self.last_line.set(Instant::now());
            eprintln!("    people answered {}/{} · {left}", now.answered, now.people);
        }
        self.bar.set_message(left);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
