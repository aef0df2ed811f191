//! What each holds of the registries, as a table.

use super::super::table::{Table, paragraph, thousands};
use super::registries::{Platform, PulledRegistry, ShownRegistries};
use super::tables::{count, listed, title, verdict};
use super::theatre::{CIVIL, HEALTH};
use crate::sandbox::partners::Most;
use crate::sandbox::registries::Comparison;

/// Differences shown at most.
const DIFFERENCES_MAX: usize = 20;

/// The section of the registries.
pub(super) fn render(shown: &ShownRegistries) -> String {
    let mut text = format!(
        "{}{}\n{}",
        title("5 · Registries 定点机构与护理人员"),
        came_in(shown),
        holdings(shown)
    );
    text += &limits(shown);
    let differences: Vec<String> = shown.differences().collect();
    text += &verdict(
        differences.is_empty(),
        "all five hold the same registry, field by field, each what it is meant to hold",
        &format!("{} differences from the registry:", differences.len()),
    );
    for difference in differences.iter().take(DIFFERENCES_MAX) {
        text += &listed(difference);
    }
    text += &verdict(
        shown.over_limit() == 0,
        "no request was over a limit",
        &format!("{} requests were over a limit 超限", shown.over_limit()),
    );
    text
}

/// The load, and what has happened since.
fn came_in(shown: &ShownRegistries) -> String {
    let answers = &shown.answers;
    let reasons: Vec<String> = answers
        .reasons
        .iter()
        .map(|(rule, lines)| {
            if *lines == 1 {
                rule.clone()
            } else {
                format!("{rule} ×{lines}")
            }
        })
        .collect();
    let text = format!(
        "Loaded 装载: {} lines in one request; {} stored ({} with a warning), {} refused: {}. Then 变更:",
        count(answers.lines),
        count(answers.stored),
        count(answers.warned),
        count(answers.refused),
        reasons.join(", "),
    );
    let mut table = Table::new(&["happened", "times>", "", "happened", "times>"]);
    let cells: Vec<[String; 2]> = answers
        .happened
        .iter()
        .map(|(what, times)| [what.words().to_string(), count(*times)])
        .collect();
    let half = cells.len().div_ceil(2);
    for at in 0..half {
        let [left, times] = cells[at].clone();
        let [right, others] = cells.get(half + at).cloned().unwrap_or_default();
        table.row([left, times, String::new(), right, others]);
    }
    format!("{}\n{}", paragraph(&text), table.render())
}

/// Who holds how much.
fn holdings(shown: &ShownRegistries) -> String {
    let mut table = Table::new(&[
        "held by",
        "institutions>",
        "caregivers>",
        "ended>",
        "requests>",
        "most/s>",
        "over 超限>",
        "",
    ]);
    let mut row = |name: &str,
                   [institutions, caregivers, ended]: [usize; 3],
                   [requests, most, over]: [String; 3],
                   agrees: &str| {
        let number = |count: usize| thousands(count as i64);
        table.row([
            name.to_string(),
            number(institutions),
            number(caregivers),
            number(ended),
            requests,
            most,
            over,
            agrees.to_string(),
        ]);
    };
    let nothing = || ["·", "·", "·"].map(str::to_owned);
    let numbers = |holds: &Comparison| [holds.institutions, holds.caregivers, holds.ended];
    let mark = |agrees: bool| if agrees { "✔" } else { "✘" };
    row(
        "LTC system 长护险: sent",
        numbers(&shown.source),
        nothing(),
        mark(shown.source.agrees()),
    );
    row(
        "registry 登记库: keeps",
        numbers(&shown.registry),
        nothing(),
        "·",
    );
    for (name, Platform { holds, tally, .. }) in
        ["civil affairs 民政: pushed", "health 卫健: pushed"]
            .into_iter()
            .zip(&shown.platforms)
    {
        let requests = [
            count(tally.deliveries),
            tally.most_in_a_second.to_string(),
            count(tally.over_limit),
        ];
        row(name, numbers(holds), requests, mark(holds.agrees()));
    }
    let PulledRegistry {
        counts,
        pages,
        differences,
        ..
    } = &shown.province;
    let pulled = [format!("{pages} pages"), "·".into(), "·".into()];
    row(
        "province 省平台: pulled",
        [counts.institutions, counts.caregivers, counts.ended],
        pulled,
        mark(differences.is_empty()),
    );
    table.render()
}

fn limits(shown: &ShownRegistries) -> String {
    let text = format!(
        "Civil affairs is told of elderly care and care at home, the health commission of medical institutions and of nurses, each only what its purpose needs. \
         The province took a snapshot, then followed {} changes under a running digest. Limits, counted by the platforms themselves: civil affairs {}; health {}.",
        count(shown.province.followed),
        agreed(&CIVIL),
        agreed(&HEALTH),
    );
    format!("\n{}\n", paragraph(&text))
}

fn agreed(most: &Most) -> String {
    let burst = most
        .burst
        .map(|burst| format!(" (bursts of {burst})"))
        .unwrap_or_default();
    let rate = most.requests_per_second.unwrap_or_default();
    format!(
        "{rate}/s{burst}, {} at once",
        most.concurrent.unwrap_or_default()
    )
}
