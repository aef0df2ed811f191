//! What a person sees while the demo works: bars on a terminal, a line now and then elsewhere.
//!
//! Steps go to standard output, what moves to standard error.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::super::table::{thousands, width, wrap};
use super::super::terminal;
use super::paint;
use crate::flow::deduct::{Core, remaining};
use crate::sandbox::tax_bureau::Lines;
use crate::store::deduction::RoundProgress;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// What a step's line has besides its text: the mark before it, and dots and seconds behind.
const STEP_FRAME: usize = 14;
/// Columns of steps at most: dots over a whole wide screen lead nowhere.
const STEP_COLUMNS: usize = 100;
/// A bar with a name, how far it is and what there is to say.
const BAR: &str = "    {prefix:<17} {bar:20.green/dim} {pos:>6}/{len:<6} {wide_msg}";

/// Says that a step is done.
pub(super) fn step(what: &str, took: Duration) {
    let room = terminal::columns().min(STEP_COLUMNS) - STEP_FRAME;
    let mut lines = wrap(what, room);
    let last = lines.pop().unwrap_or_default();
    let dots = "·".repeat((room + 1).saturating_sub(width(&last)).max(1));
    let mut mark = paint::good("✔");
    for line in lines {
        println!("  {mark} {line}");
        mark = " ".to_owned();
    }
    println!(
        "  {mark} {last} {} {:>5.1} s",
        paint::dim(&dots),
        took.as_secs_f64()
    );
}

/// Says what is being done, while it is, on a terminal.
pub(super) fn doing(what: &str) -> Doing {
    Doing {
        spinner: terminal::spinner("  {spinner} {wide_msg}", what.to_string()),
        start: Instant::now(),
    }
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
pub(super) struct DemoProgress {
    packets: ProgressBar,
    destinations: Vec<(String, ProgressBar)>,
    last_line: Cell<Instant>,
}

impl DemoProgress {
    pub fn start(packets: u64, destinations: Vec<String>) -> DemoProgress {
        let bar = |length: u64, name: &str| {
            let bar = terminal::bar(length, BAR);
            bar.set_prefix(name.to_string());
            bar.tick();
            bar
        };
        let packets = bar(packets, "packets");
        let destinations = destinations
            .into_iter()
            .map(|name| (name.clone(), bar(1, &name)))
            .collect();
        DemoProgress {
            packets,
            destinations,
            last_line: Cell::new(Instant::now()),
        }
    }

    /// So many packets are answered, with these lines in them.
    pub fn packets(&self, answered: u64, lines: &Lines) {
        self.packets
            .set_message(format!("{} lines", thousands(lines.received.cast_signed())));
        self.packets.set_position(answered);
        self.line();
    }

    /// Deliveries to one counterpart.
    pub fn deliveries(&self, destination: &str, settled: u64, of: u64) {
        let Some((_, bar)) = self
            .destinations
            .iter()
            .find(|(name, _)| name == destination)
        else {
            return;
        };
        bar.set_length(of.max(settled).max(1));
        bar.set_position(settled);
        if settled > 0 {
            bar.set_message(format!(
                "{:.1}/s",
                settled as f64 / bar.elapsed().as_secs_f64().max(0.1)
            ));
        }
        self.line();
    }

    pub fn finish(&self) {
        self.packets.finish_and_clear();
        self.destinations
            .iter()
            .for_each(|(_, bar)| bar.finish_and_clear());
    }

    fn line(&self) {
        if terminal::moves() || self.last_line.get().elapsed() < LINE_EVERY {
            return;
        }
        self.last_line.set(Instant::now());
        let count =
            |bar: &ProgressBar| format!("{}/{}", bar.position(), bar.length().unwrap_or_default());
        eprintln!("    packets {} · delivered:", count(&self.packets));
        for (name, bar) in &self.destinations {
            eprintln!("      {name} {}", count(bar));
        }
    }
}

/// A bar for people answered by the medical core.
pub(super) struct AnswersBar {
    bar: ProgressBar,
    start: Instant,
    last_line: Cell<Instant>,
}

impl AnswersBar {
    pub fn start(people: u64) -> AnswersBar {
        let bar = terminal::bar(people, BAR);
        bar.set_prefix("people");
        AnswersBar {
            bar,
            start: Instant::now(),
            last_line: Cell::new(Instant::now()),
        }
    }

    /// So many are answered; the rest at the pace so far, and no faster than the core's limits.
    pub fn answered(&self, core: &Core, now: &RoundProgress) {
        let left = remaining(core, now, now.answered, self.start.elapsed());
        let asked = if now.in_doubt > 0 {
            format!(", asked about: {}", now.in_doubt)
        } else {
            String::new()
        };
        let left = match now.answered {
            all if all >= now.people => "telling the LTC system".to_owned(),
            0 => format!("{} s at the least{asked}", left.as_secs().max(1)),
            _ => format!("about {} s left{asked}", left.as_secs().max(1)),
        };
        self.bar.set_position(now.answered.unsigned_abs());
        if !terminal::moves() && self.last_line.get().elapsed() >= LINE_EVERY {
            self.last_line.set(Instant::now());
            eprintln!(
                "    people answered {}/{} · {left}",
                now.answered, now.people
            );
        }
        self.bar.set_message(left);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
