//! `ltcgw packets`: what came on a day, and what became of it.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::Date;

use super::fold::folded;
use super::table::{Table, thousands, yuan};
use super::{Done, dead};
use crate::flow::clock::{day_of, in_city};
use crate::flow::packets::{Came, came};
use crate::store::packets::Became;

/// Headings of all a packet is shown with.
const COLUMNS: [&str; 6] = ["received", "packet", "from", "lines>", "refused>", "yuan>"];

#[derive(Debug, clap::Args)]
pub struct PacketsOptions {
    /// Only those received today (Asia/Shanghai).
    #[arg(long, conflicts_with = "on")]
    today: bool,
    /// Only those received on that day (Asia/Shanghai), such as 2026-01-31.
    #[arg(long, value_name = "DAY")]
    on: Option<Date>,
    /// Only packets refused whole and packets with refused lines.
    #[arg(long)]
    refused: bool,
    /// Packets shown at most, the newest first; all are counted.
    #[arg(long, default_value_t = 50)]
    limit: i64,
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

pub(super) async fn run(options: &PacketsOptions) -> Done {
    let store = dead::store(&options.config).await?;
    let on = if options.today {
        Some(day_of(Timestamp::now()))
    } else {
        options.on
    };
    let came = came(&store, on, options.refused, options.limit.max(0)).await?;
    print!("{}", text(&came, on, options.refused));
    Ok(())
}

fn text(came: &Came, on: Option<Date>, refused: bool) -> String {
    let when = on.map_or_else(
        || "so far".to_owned(),
        |day| format!("on {day} (Asia/Shanghai)"),
    );
    if came.shown.is_empty() {
        return match refused {
            true => format!("no packet was refused and no line of one {when}\n"),
            false => format!("no packet was received {when}\n"),
        };
    }
    // Where all are one sender's, that is said once.
    let first = &came.shown[0].sender;
    let one_sender = came.shown.iter().all(|packet| packet.sender == *first);
    let headings: Vec<&str> = COLUMNS
        .into_iter()
        .filter(|heading| !(one_sender && *heading == "from"))
        .collect();
    let mut table = Table::new(&headings);
    let mut reasons = String::new();
    let year = in_city(Timestamp::now())[..4].to_owned();
    for packet in &came.shown {
        let at = in_city(packet.received_at);
        // Today's year goes without saying; of other years the day is enough.
        let at = match on {
            Some(_) => &at[11..],
            None if at[..4] == year => &at[5..16],
            None => &at[..10],
        };
        let number = packet.packet_no.as_deref().unwrap_or("(no number)");
        let cells = match &packet.became {
            Became::Taken {
                lines,
                refused,
                posted,
                replaced,
                ..
            } => {
                let number = if *replaced {
                    format!("{number} (replaced)")
                } else {
                    number.to_owned()
                };
                [
                    at.to_owned(),
                    number,
                    packet.sender.clone(),
                    thousands((*lines).into()),
                    thousands((*refused).into()),
                    yuan(posted.0),
                ]
            }
            Became::Refused { status, reason } => {
                reasons += &format!("  {at}  {number}: {status}\n{}", folded(reason, "    "));
                [
                    at.to_owned(),
                    number.to_owned(),
                    packet.sender.clone(),
                    "·".to_owned(),
                    "whole".to_owned(),
                    "·".to_owned(),
                ]
            }
        };
        let shown = |(heading, cell): (&str, String)| headings.contains(&heading).then_some(cell);
        table.row(COLUMNS.into_iter().zip(cells).filter_map(shown));
    }
    let sums = &came.sums;
    let of = if one_sender {
        format!("  from {first}\n")
    } else {
        String::new()
    };
    let mut text = format!("\n{of}{}\n", table.render());
    let which = if refused {
        ", of packets with refusals"
    } else {
        ""
    };
    text += &folded(
        &format!(
            "{when}{which}: {} packets taken with {} lines: {} posted, {} refused, {} duplicate; {} packets refused whole",
            thousands(sums.taken),
            thousands(sums.lines),
            thousands(sums.posted),
            thousands(sums.refused),
            thousands(sums.duplicate),
            thousands(sums.refused_whole)
        ),
        "  ",
    );
    text += &folded(
        &format!(
            "{} yuan posted, {} yuan refused, without packets that were replaced",
            yuan(sums.posted_money.0),
            yuan(sums.refused_money.0)
        ),
        "  ",
    );
    let shown = i64::try_from(came.shown.len()).unwrap_or(i64::MAX);
    if shown < sums.taken + sums.refused_whole {
        text += &format!("  the newest {shown} are shown (--limit)\n");
    }
    if !reasons.is_empty() {
        text += &format!("\n  refused whole\n{reasons}");
    }
    if sums.refused > 0 {
        text += "\n  `ltcgw trace PACKET` shows refused lines with element and reason\n";
    }
    text
}
