//! `ltcgw sums`: what must come to the same, side by side. Changes nothing.

use std::path::PathBuf;

use super::table::{Table, yuan};
use super::{Done, Failure, dead};
use crate::store::sums::Sums;

#[derive(Debug, clap::Args)]
pub struct SumsOptions {
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

pub(super) async fn run(options: &SumsOptions) -> Done {
    let sums = dead::store(&options.config).await?.sums().await?;
    print!("{}", text(&sums));
    if agree(&sums) {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

fn agree(sums: &Sums) -> bool {
    sums.packets == sums.treasury && sums.treasury == sums.lines
}

fn text(sums: &Sums) -> String {
    let mut books = Table::new(&["in the books 账本", "yuan 元>"]);
    books.row([
        "packets in force, as receipted 有效报文包（回执）".to_owned(),
        yuan(sums.packets.0),
    ]);
    books.row([
        "treasury, in the journal 国库（分录）".to_owned(),
        yuan(sums.treasury.0),
    ]);
    books.row([
        "lines in force, both funds 有效明细（两基金）".to_owned(),
        yuan(sums.lines.0),
    ]);
    books.rule();
    for (fund, fen) in &sums.funds {
        books.row([
            format!(
                "of it {fund} 其中{}",
                if fund == "medical" {
                    "医保"
                } else {
                    "长护险"
                }
            ),
            yuan(fen.0),
        ]);
    }
    let mut told = Table::new(&[
        "told to 推送",
        "message 报文",
        "queued 应推>",
        "delivered 已达>",
        "waits 待推>",
        "in doubt 不明>",
        "dead 死信>",
    ]);
    for row in &sums.told {
        let figures = [
            row.queued,
            row.delivered,
            row.waiting,
            row.in_doubt,
            row.dead,
        ]
        .map(|fen| yuan(fen.0));
        told.row(
            [row.destination.clone(), row.message.clone()]
                .into_iter()
                .chain(figures),
        );
    }
    let verdict = if agree(sums) {
        "✔ the three sums of the books agree to the fen 账本三数一致"
    } else {
        "✘ the three sums of the books differ, which should be impossible: stop, keep everything, call the developers 账本三数不一致"
    };
    let told = if sums.told.is_empty() {
        "nothing was ever queued for a partner 尚无推送\n".to_owned()
    } else {
        told.render()
    };
    format!("{}\n{told}\n  {verdict}\n", books.render())
}
