//! What came of the month's deductions, as tables.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

use super::super::deduct::show;
use super::super::table::{Table, paragraph, thousands, yuan};
use super::deductions::ShownDeductions;
use super::tables::{count, district, listed, title, verdict};
use crate::model::deduction::DeductionOutcome;

/// Differences shown at most.
const DIFFERENCES_MAX: usize = 20;

/// The section of the deductions.
pub(super) fn render(shown: &ShownDeductions) -> String {
    let cycle = &shown.seen.cycle;
    let by = |name: Option<&String>| name.map_or_else(|| "nobody".to_owned(), Clone::clone);
    let mut text = title("6 · Deductions from personal accounts 个人账户代扣 (yuan)");
    let how = format!(
        "{:06} {}: {}, planned by {}, approved by {}; digest {}…",
        cycle.pooling_area,
        cycle.month,
        cycle.state.word(),
        cycle.planned_by,
        by(cycle.approved_by.as_ref()),
        &HEXLOWER.encode(&cycle.digest)[..8],
    );
    text += &format!("{}\n", paragraph(&how));
    text += &format!(
        "{}\n{}\n{}\n",
        people(shown),
        districts(shown),
        three_ways(shown)
    );
    text += &verdict(
        shown.sums_agree(),
        "ledger, medical core and LTC system agree to the fen",
        "ledger, medical core and LTC system DISAGREE",
    );
    let differences = shown.differences();
    text += &verdict(
        differences.is_empty(),
        "everybody on the roster was asked for once or left out with a reason; nobody was deducted twice",
        &format!("{} counts are not as they should be:", differences.len()),
    );
    for difference in differences.iter().take(DIFFERENCES_MAX) {
        text += &listed(difference);
    }
    text
}

/// Everybody on the roster, by what became of them.
fn people(shown: &ShownDeductions) -> String {
    let mut table = Table::new(&[
        "on the roster 名册",
        "",
        "people 人数>",
        "asked 应扣>",
        "taken 实扣>",
    ]);
    for outcome in DeductionOutcome::ALL {
        let of = shown
            .report
            .outcomes
            .iter()
            .filter(|of| of.outcome == outcome);
        let (asked, taken) = of.fold((0, 0), |(asked, taken), of| {
            (asked + of.asked.0, taken + of.taken.0)
        });
        table.row([
            outcome.word().replace('_', " "),
            show::outcome(outcome).to_owned(),
            count(shown.outcome(outcome)),
            yuan(asked),
            yuan(taken),
        ]);
    }
    for left in &shown.seen.left_out {
        let (english, chinese) = show::reason(&left.reason);
        table.row([
            format!("left out: {english}"),
            chinese.to_owned(),
            thousands(left.people),
            "·".into(),
            "·".into(),
        ]);
    }
    table.rule();
    table.row([
        "everybody".to_owned(),
        "合计".to_owned(),
        count(shown.roster.taken),
        yuan(shown.seen.cycle.fen.0),
        yuan(shown.ledger_fen()),
    ]);
    let mut text = table.render();
    for owed in &shown.report.owed {
        let (english, chinese) = show::handling(&owed.handling);
        text += &paragraph(&format!(
            "Short 欠缴: {} people owe {} yuan, {english} {chinese}.",
            thousands(owed.people),
            yuan(owed.fen.0)
        ));
    }
    text
}

/// The money of each district.
fn districts(shown: &ShownDeductions) -> String {
    let mut planned: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for cell in &shown.seen.cells {
        let (people, fen) = planned.entry(cell.district).or_default();
        *people += i64::from(cell.people);
        *fen += cell.due.0 + cell.carried.0;
    }
    let mut table = Table::new(&[
        "district 区县",
        "people 人数>",
        "asked 应扣>",
        "to the LTC fund 入长护险基金>",
        "not taken 未扣>",
    ]);
    let mut row = |name: String, people: i64, asked: i64, taken: i64| {
        table.row([
            name,
            thousands(people),
            yuan(asked),
            yuan(taken),
            yuan(asked - taken),
        ])
    };
    for (code, (people, asked)) in &planned {
        row(
            district(*code),
            *people,
            *asked,
            shown.ledger.get(code).map_or(0, |fen| fen.0),
        );
    }
    let (people, asked) = planned
        .values()
        .fold((0, 0), |(people, fen), of| (people + of.0, fen + of.1));
    table.rule();
    let taken = shown.ledger_fen();
    table.row([
        "every fen 合计".to_owned(),
        thousands(people),
        yuan(asked),
        yuan(taken),
        yuan(asked - taken),
    ]);
    table.render()
}

/// What each of the three has.
fn three_ways(shown: &ShownDeductions) -> String {
    let mut table = Table::new(&["kept by", "people 人数>", "taken 实扣>", "twice 重复>"]);
    let told = shown
        .told
        .outcomes
        .get(DeductionOutcome::Deducted.word())
        .copied()
        .unwrap_or_default();
    table.row([
        "ledger 账本: posted".to_owned(),
        count(shown.deducted()),
        yuan(shown.ledger_fen()),
        "·".into(),
    ]);
    table.row([
        "medical core 医保: deducted".to_owned(),
        count(shown.core.people),
        yuan(shown.core.fen.0),
        count(shown.core.twice),
    ]);
    table.row([
        "LTC system 长护险: was told".to_owned(),
        count(told),
        yuan(shown.told.fen.0),
        "·".into(),
    ]);
    table.render()
}
