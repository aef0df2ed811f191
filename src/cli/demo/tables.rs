//! The figures as tables; Chinese terms beside the English ones.

use std::collections::BTreeMap;

use super::super::table::{Table, paragraph, prose, thousands, wrap, yuan};
use super::super::terminal;
use super::figures::{DemoFigures, Funds};
use super::paint;
use super::theatre::REQUESTS_PER_SECOND;
use crate::sandbox::tax_bureau::{BureauBooks, Lines};

/// Districts of Nanning (GB/T 2260).
const DISTRICTS: [(i32, &str); 13] = [
    (450_102, "Xingning 兴宁"),
    (450_103, "Qingxiu 青秀"),
    (450_105, "Jiangnan 江南"),
    (450_107, "Xixiangtang 西乡塘"),
    (450_108, "Liangqing 良庆"),
    (450_109, "Yongning 邕宁"),
    (450_110, "Wuming 武鸣"),
    (450_123, "Long'an 隆安"),
    (450_124, "Mashan 马山"),
    (450_125, "Shanglin 上林"),
    (450_126, "Binyang 宾阳"),
    (450_181, "Hengzhou 横州"),
    (450_199, "city level 市本级"),
];
/// Kinds of refused lines shown.
const REASONS_MAX: usize = 12;

/// Every table, one after another.
pub(super) fn render(figures: &DemoFigures) -> String {
    [
        packets(figures),
        money(figures),
        deliveries(figures),
        sums(figures),
    ]
    .concat()
}

pub(super) fn count(number: u64) -> String {
    thousands(number.cast_signed())
}

fn packets(figures: &DemoFigures) -> String {
    let month = &figures.month;
    let mut table = Table::new(&[
        "lines 明细",
        "packets 包>",
        "received 接收>",
        "posted 入账>",
        "refused 退回>",
        "duplicate 重复>",
    ]);
    let mut row = |name: &str, books: &BureauBooks| {
        let Lines {
            received,
            posted,
            refused,
            duplicate,
        } = books.lines;
        table.row([
            name.to_string(),
            count(books.packets),
            count(received),
            count(posted),
            count(refused),
            count(duplicate),
        ]);
    };
    row("employers' payments JFXX101", month);
    row("employees' detail JFXX102", &figures.detail);
    let mut text = format!("{}{}", title("1 · What came in 接收"), table.render());
    text += &whole(month);
    if month.reasons.is_empty() {
        text
    } else {
        format!("{text}\n{}", reasons(month))
    }
}

/// What became of packets as wholes.
fn whole(month: &BureauBooks) -> String {
    let text = format!(
        "Of {} packets {} were taken, {} took an earlier one's place (SFCF=1), {} came twice and got the same receipt, {} were refused whole{}.",
        count(month.packets),
        count(month.taken),
        count(month.replacements),
        count(month.repeated),
        count(month.refused_whole.values().sum()),
        if month.waits + month.lost > 0 {
            format!(
                " (asked to wait {} times, sent again {} times)",
                month.waits, month.lost
            )
        } else {
            String::new()
        },
    );
    let mut text = format!("\n{}", paragraph(&text));
    if month.refused_whole.is_empty() {
        return text;
    }
    let mut table = Table::new(&["packets>", "HTTP", "refused whole because 整包退回"]);
    for ((status, reason), packets) in &month.refused_whole {
        table.row([count(*packets), status.to_string(), reason.clone()]);
    }
    text += &table.render();
    text
}

/// Refused lines by element and reason, most frequent first.
fn reasons(month: &BureauBooks) -> String {
    let mut alike: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for ((element, reason), lines) in &month.reasons {
        *alike.entry((element, without_numbers(reason))).or_default() += lines;
    }
    let mut sorted: Vec<_> = alike.iter().collect();
    sorted.sort_by_key(|(_, lines)| std::cmp::Reverse(**lines));
    let mut table = Table::new(&["lines>", "element", "refused because 退回原因"]);
    for ((element, reason), lines) in sorted.iter().take(REASONS_MAX) {
        table.row([count(**lines), (*element).to_string(), reason.clone()]);
    }
    if sorted.len() > REASONS_MAX {
        let rest: u64 = sorted
            .iter()
            .skip(REASONS_MAX)
            .map(|(_, lines)| **lines)
            .sum();
        table.row([
            count(rest),
            "…".into(),
            format!("{} other reasons", sorted.len() - REASONS_MAX),
        ]);
    }
    table.render()
}

fn money(figures: &DemoFigures) -> String {
    let mut table = Table::new(&[
        "district 区县",
        "medical fund 医保基金>",
        "LTC fund 长护险基金>",
        "together 合计>",
    ]);
    for (district, funds) in &figures.districts {
        table.row([
            self::district(*district),
            yuan(funds.medical),
            yuan(funds.long_term_care),
            yuan(funds.both()),
        ]);
    }
    let Funds {
        medical,
        long_term_care,
    } = figures.ledger();
    table.rule();
    table.row([
        "every fen 合计".to_string(),
        yuan(medical),
        yuan(long_term_care),
        yuan(medical + long_term_care),
    ]);
    format!(
        "{}{}",
        title("2 · Where the money went 资金去向 (yuan)"),
        table.render()
    )
}

/// A district's code and name.
pub(super) fn district(code: i32) -> String {
    let name = DISTRICTS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or("", |(_, name)| name);
    format!("{code:06} {name}")
}

fn deliveries(figures: &DemoFigures) -> String {
    let headings = [
        "delivered to 推送",
        "batches>",
        "lines>",
        "yuan>",
        "requests>",
        "inquiries>",
        "dead>",
        "batches/s>",
        "lines/s>",
    ];
    let mut table = Table::new(&headings).sparing(&["batches/s", "lines/s"]);
    for one in &figures.counterparts {
        let (sent, inquiries) = one.attempts();
        let (deliveries, lines, fen) = one.queued;
        let (per_second, lines_per_second) = one.per_second().map_or_else(
            || ("-".to_string(), "-".to_string()),
            |(deliveries, lines)| (format!("{deliveries:.1}"), thousands(lines.round() as i64)),
        );
        table.row([
            one.name.to_string(),
            thousands(deliveries),
            thousands(lines),
            yuan(fen),
            count(sent),
            count(inquiries),
            thousands(one.dead),
            per_second,
            lines_per_second,
        ]);
    }
    let most = figures
        .counterparts
        .iter()
        .map(|one| one.tally.most_in_a_second)
        .max()
        .unwrap_or_default();
    let over: u64 = figures
        .counterparts
        .iter()
        .map(|one| one.tally.over_limit)
        .sum();
    let text = format!(
        "Agreed: to send at most {REQUESTS_PER_SECOND} requests in any second. On arrival the partners counted at most {most} in one, and refused {over} as too many. \
         On purpose each partner breaks off an early answer (its outcome is unknown until found out) and once asks to wait. Rates leave out such pauses."
    );
    format!(
        "{}{}\n{}",
        title("3 · Deliveries 推送"),
        table.render(),
        paragraph(&text)
    )
}

fn sums(figures: &DemoFigures) -> String {
    let (ledger, held) = (figures.ledger(), figures.held());
    let mut table = Table::new(&[
        "kept by",
        "medical 医保>",
        "long-term care 长护险>",
        "together 合计>",
    ]);
    table.row([
        "tax bureau 税务: paid".to_string(),
        "·".into(),
        "·".into(),
        yuan(figures.tax()),
    ]);
    table.row([
        "ledger 账本: posted".to_string(),
        yuan(ledger.medical),
        yuan(ledger.long_term_care),
        yuan(ledger.both()),
    ]);
    table.row([
        "medical core + LTC system 两系统: hold".to_string(),
        yuan(held.medical),
        yuan(held.long_term_care),
        yuan(held.both()),
    ]);
    let mut text = format!(
        "\n  4 · Three sums, each kept by another 三方对账 (yuan)\n\n{}\n",
        table.render()
    );
    text += &verdict(
        figures.sums_agree(),
        "the three sums agree to the fen, district by district",
        "the three sums DISAGREE",
    );
    let undelivered: i64 = figures
        .counterparts
        .iter()
        .map(|one| one.queued.0 - one.delivered)
        .sum();
    text += &verdict(
        undelivered == 0,
        "every delivery arrived, none is dead",
        &format!("{undelivered} deliveries did not arrive: see ltcgw dead list"),
    );
    let differences: Vec<&String> = figures.differences().collect();
    text += &verdict(
        differences.is_empty(),
        "every receipt says what the tax bureau expected",
        &format!(
            "{} receipts differ from what was expected:",
            differences.len()
        ),
    );
    for difference in differences.iter().take(20) {
        text += &listed(difference);
    }
    text
}

/// One of several things that are not as they should be, below the verdict.
pub(super) fn listed(difference: &str) -> String {
    prose("      ", difference, "        ", terminal::columns())
}

pub(super) fn title(text: &str) -> String {
    format!("\n  {}\n\n", paint::bold(text))
}

pub(super) fn verdict(good: bool, yes: &str, no: &str) -> String {
    let lines = wrap(if good { yes } else { no }, terminal::columns() - 4);
    let mark = if good {
        paint::good("✔")
    } else {
        paint::bad("✘")
    };
    lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            format!(
                "  {} {}\n",
                if at == 0 { mark.as_str() } else { " " },
                if good { line.clone() } else { paint::bad(line) }
            )
        })
        .collect()
}

/// The reason without the numbers of packets and records, so that equal reasons count together.
fn without_numbers(reason: &str) -> String {
    let mut after = false;
    let words = reason.split(' ').map(|word| {
        let hide = after && word.starts_with(|c: char| c.is_ascii_digit());
        after = matches!(word, "packet" | "record" | "number");
        if hide { "…" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_packet_and_record_numbers_only_count_together() {
        assert_eq!(
            without_numbers("stands at record 17 of packet 1450 since 2021-10"),
            "stands at record … of packet … since 2021-10"
        );
    }
}
