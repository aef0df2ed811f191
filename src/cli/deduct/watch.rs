//! A run on the terminal: how many people are answered, and when the last will be.
//!
//! Looks at the database now and then; the gateway that serves does the sending.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};

use super::super::table::{prose, thousands};
use super::super::terminal;
use super::super::{Done, Failure};
use super::show;
use crate::error::{Fault, Stage};
use crate::flow::clock::shanghai;
use crate::flow::deduct::{Core, Desk, Look, remaining};
use crate::store::deduction::Cycle;

/// How often the display looks.
const LOOK: Duration = Duration::from_millis(500);
/// The pace is that of the last looks: ten seconds of them.
const PACE_LOOKS: usize = 20;

/// Shows that everybody is computed, before anything is sent.
pub fn computing() -> ProgressBar {
    terminal::spinner(
        "  {spinner} {msg}, {elapsed}",
        "computing everybody again".to_owned(),
    )
}

/// Says what was queued and, unless told not to, watches it until the cycle is settled.
pub async fn run(desk: &Desk, core: &Core, cycle: Cycle, no_wait: bool, next: &str) -> Done {
    let mut look = desk.look(&cycle).await?;
    println!(
        "instructions for {} people are queued to {}, in {} request{}",
        thousands(look.answers.people),
        core.receiver.destination,
        thousands(look.answers.batches),
        if look.answers.batches == 1 { "" } else { "s" }
    );
    if no_wait {
        println!("the gateway sends them; see ltcgw deduct status {next}");
        return Ok(());
    }
    let text = format!(
        "at its limits the last one leaves at {} (Asia/Shanghai) at the earliest; this display may be left with Ctrl-C",
        end(core, &look, None)
    );
    print!("{}", prose("", &text, "", terminal::columns()));
    look = watch(desk, core, look).await?;
    print!(
        "{}",
        show::report(&look.cycle, &desk.report(&look.cycle).await?)
    );
    if look.settled() {
        println!("\n  settled; as a workbook: ltcgw deduct report {next} --out FILE.xlsx");
        return Ok(());
    }
    let text = format!(
        "{} requests need a person before the cycle can be settled: see `ltcgw dead list --to {}`",
        look.answers.dead, core.receiver.destination
    );
    Err(Failure::Fault(Fault::operator(Stage::Send, text)))
}

async fn watch(desk: &Desk, core: &Core, first: Look) -> Result<Look, Failure> {
    let bar = terminal::bar(
        first.answers.people.unsigned_abs(),
        "  {bar:20.green/dim} {human_pos}/{human_len} people, {wide_msg}",
    );
    let mut seen = VecDeque::from([(Instant::now(), first.answers.answered)]);
    let mut look = first;
    while !look.settled() && !look.stuck() {
        let pace = seen
            .front()
            .map(|(at, answered)| (look.answers.answered - answered, at.elapsed()));
        bar.set_position(look.answers.answered.unsigned_abs());
        bar.set_message(message(core, &look, pace));
        tokio::time::sleep(LOOK).await;
        look = desk.look(&look.cycle).await?;
        seen.push_back((Instant::now(), look.answers.answered));
        if seen.len() > PACE_LOOKS {
            seen.pop_front();
        }
    }
    bar.finish_and_clear();
    Ok(look)
}

/// When it ends by the pace seen, and what keeps it.
fn message(core: &Core, look: &Look, pace: Option<(i64, Duration)>) -> String {
    let mut text = match pace {
        Some((answered, _)) if answered > 0 => {
            format!("about {} at this pace", end(core, look, pace))
        }
        _ => format!("{} at the earliest", end(core, look, None)),
    };
    if look.answers.in_doubt > 0 {
        text += &format!(", {} requests are asked about", look.answers.in_doubt);
    }
    if look.answers.dead > 0 {
        text += &format!(", {} need a person", look.answers.dead);
    }
    text
}

fn end(core: &Core, look: &Look, pace: Option<(i64, Duration)>) -> String {
    let (answered, took) = pace.unwrap_or_default();
    let wait = SignedDuration::try_from(remaining(core, &look.answers, answered, took))
        .unwrap_or(SignedDuration::MAX);
    Timestamp::now().checked_add(wait).map_or_else(
        |_| "some day".to_owned(),
        |at| {
            at.to_zoned(shanghai())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        },
    )
}
