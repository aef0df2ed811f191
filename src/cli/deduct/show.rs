//! Plans, results and discrepancies as text for the terminal.
//!
//! Says what the flow found; decides nothing.

use data_encoding::HEXLOWER;

use super::super::table::{Table, paragraph, thousands, yuan};
use crate::flow::clock::shanghai;
use crate::flow::deduct::{ComparedCycle, CycleReport, TotalChange};
use crate::model::deduction::{Category, DeductionOutcome};
use crate::model::signer::Login;
use crate::store::deduction::{Cycle, CycleState, Discrepancy};
use crate::store::relation::OpenRelation;

/// Digits of a digest that are shown to be repeated.
const DIGEST_SHOWN: usize = 16;

/// A plan on one page, with what to do next.
pub fn plan(seen: &ComparedCycle, next: &str) -> String {
    let cycle = &seen.cycle;
    let mut text = head(cycle);
    text += &totals(seen);
    text += &left_out(seen);
    text += &format!("\n  digest  {}\n", HEXLOWER.encode(&cycle.digest));
    text + &what_next(cycle, next)
}

/// That a plan is approved, with what to do next.
pub fn approved(cycle: &Cycle, next: &str) -> String {
    head(cycle) + &what_next(cycle, next)
}

/// Under which logins it was planned and approved, and whether that shows two people.
pub fn eyes(cycle: &Cycle, same_login: bool) -> String {
    if matches!(
        cycle.state,
        CycleState::Running | CycleState::Settled | CycleState::Replaced
    ) && cycle.planned_login.is_none()
    {
        return String::new(); // From before logins were recorded.
    }
    let login =
        |login: Option<&Login>| login.map_or_else(|| "none".to_owned(), ToString::to_string);
    let mut logins = format!(
        "login of who planned: {}",
        login(cycle.planned_login.as_ref())
    );
    if cycle.approved_by.is_some() {
        logins += &format!(
            " · of who approved: {}",
            login(cycle.approved_login.as_ref())
        );
    }
    let warning = if cycle.approved_by.is_some() && cycle.same_login {
        Some("! one login may have done both: it was approved under [approval] same_login = true")
    } else if cycle.state == CycleState::Planned && same_login {
        Some(
            "! one person can plan and approve under two names: [approval] same_login = true in gateway.toml",
        )
    } else if cycle.state == CycleState::Planned && cycle.planned_login.is_none() {
        Some(
            "! nobody can approve it: no login shows who planned it; plan it again from a session of your own, with --replace and its digest",
        )
    } else {
        None
    };
    format!(
        "\n{}{}",
        paragraph(&logins),
        warning.map(paragraph).unwrap_or_default()
    )
}

/// That a plan took the place of an earlier one, whose approval counts no more.
pub fn replaced(earlier: &Cycle) -> String {
    let approved = earlier
        .approved_by
        .as_deref()
        .map_or_else(String::new, |by| {
            format!(", approved by {by}, which counts no more")
        });
    let (by, at, people) = (
        &earlier.planned_by,
        moment(earlier.planned_at),
        thousands(i64::from(earlier.people)),
    );
    paragraph(&format!(
        "! it takes the place of the plan by {by}, {at}{approved}: {people} people, {} yuan, digest {}…",
        earlier.fen,
        &HEXLOWER.encode(&earlier.digest)[..12]
    ))
}

fn head(cycle: &Cycle) -> String {
    let by = |what: &str, who: Option<&str>, at: Option<jiff::Timestamp>| match (who, at) {
        (Some(who), Some(at)) => format!("{what} by {who}, {} · ", moment(at)),
        (Some(who), None) => format!("{what} by {who} · "),
        _ => String::new(),
    };
    let mut steps = by("planned", Some(&cycle.planned_by), Some(cycle.planned_at));
    steps += &by("approved", cycle.approved_by.as_deref(), cycle.approved_at);
    steps += &by("run", cycle.run_by.as_deref(), cycle.started_at);
    steps += &cycle
        .settled_at
        .map_or_else(String::new, |at| format!("settled {} · ", moment(at)));
    let (people, fen) = (thousands(cycle.people.into()), yuan(cycle.fen.0));
    let rest = format!(
        "{people} people, {fen} yuan · {steps}cycle {}",
        cycle.cycle_id
    );
    format!(
        "\n  Deductions of {:06} for {}: {}\n{}",
        cycle.pooling_area,
        cycle.month,
        cycle.state.word(),
        paragraph(&rest)
    )
}

/// Per district and category, beside the month before.
fn totals(seen: &ComparedCycle) -> String {
    let changes = seen.changes();
    let compared = seen.before.is_some();
    let headings = [
        "district 区县",
        "category 类别",
        "people 人数>",
        "base 基数>",
        "due 应缴>",
        "of it carried 其中结转>",
        "to take 应扣>",
        "people 人数 ±>",
        "yuan 金额 ±>",
    ];
    let mut table = Table::new(if compared { &headings } else { &headings[..7] }).sparing(&[
        "base 基数",
        "due 应缴",
        "of it carried 其中结转",
    ]);
    let mut above = None;
    for change in &changes {
        let cell = seen
            .cells
            .iter()
            .find(|cell| (cell.district, cell.category) == (change.district, change.category));
        let (base, due, carried) =
            cell.map_or((0, 0, 0), |cell| (cell.base.0, cell.due.0, cell.carried.0));
        let again = above.replace(change.district) == Some(change.district);
        let district = if again {
            String::new()
        } else {
            format!("{:06}", change.district)
        };
        let names = [district, category(change.category)];
        table.row(names.into_iter().chain(figures(
            [change.people.1.into(), base, due, carried],
            compared.then_some(change),
        )));
    }
    table.rule();
    let sum =
        |of: fn(&crate::store::deduction::Cell) -> i64| seen.cells.iter().map(of).sum::<i64>();
    let whole = changes
        .iter()
        .fold(None, |whole: Option<TotalChange>, change| {
            let whole = whole.unwrap_or(TotalChange {
                people: (0, 0),
                fen: (0, 0),
                ..*change
            });
            let people = (
                whole.people.0 + change.people.0,
                whole.people.1 + change.people.1,
            );
            Some(TotalChange {
                people,
                fen: (whole.fen.0 + change.fen.0, whole.fen.1 + change.fen.1),
                ..whole
            })
        });
    let all = [
        sum(|cell| cell.people.into()),
        sum(|cell| cell.base.0),
        sum(|cell| cell.due.0),
        sum(|cell| cell.carried.0),
    ];
    table.row(
        ["all 合计".to_owned(), String::new()]
            .into_iter()
            .chain(figures(all, whole.as_ref().filter(|_| compared))),
    );
    let before = match &seen.before {
        Some((before, _)) => format!(
            "  ± against the cycle of {} ({})\n",
            before.month,
            before.state.word()
        ),
        None => "  there is no cycle of the month before to compare with\n".to_owned(),
    };
    format!("\n{}{before}", table.render())
}

fn figures([people, base, due, carried]: [i64; 4], change: Option<&TotalChange>) -> Vec<String> {
    let mut cells = vec![
        thousands(people),
        yuan(base),
        yuan(due),
        yuan(carried),
        yuan(due + carried),
    ];
    if let Some(change) = change {
        cells.push(signed(
            i64::from(change.people.1 - change.people.0),
            thousands,
        ));
        cells.push(signed(change.fen.1 - change.fen.0, yuan));
    }
    cells
}

fn signed(number: i64, write: fn(i64) -> String) -> String {
    match number {
        0 => "=".to_owned(),
        more if more > 0 => format!("+{}", write(more)),
        less => write(less),
    }
}

fn left_out(seen: &ComparedCycle) -> String {
    if seen.left_out.is_empty() {
        return "\n  nobody is left out\n".to_owned();
    }
    let mut table = Table::new(&[
        "left out 未扣",
        "why 原因",
        "people 人数>",
        "would be due 应缴>",
    ]);
    for left in &seen.left_out {
        let (english, chinese) = reason(&left.reason);
        table.row([
            left.reason.clone(),
            format!("{english} {chinese}"),
            thousands(left.people),
            yuan(left.due.0),
        ]);
    }
    format!("\n{}", table.render())
}

fn what_next(cycle: &Cycle, next: &str) -> String {
    match cycle.state {
        CycleState::Planned => format!(
            "\n  next, by somebody other than {}, under a login of their own:\n    ltcgw deduct approve {next} --digest {} --by NAME\n",
            cycle.planned_by,
            &HEXLOWER.encode(&cycle.digest)[..DIGEST_SHOWN]
        ),
        CycleState::Approved => format!("\n  next:\n    ltcgw deduct run {next}\n"),
        CycleState::Running | CycleState::Settled | CycleState::Replaced => String::new(),
    }
}

/// What came of a cycle.
pub fn report(cycle: &Cycle, report: &CycleReport) -> String {
    if cycle.rounds == 0 {
        return String::new();
    }
    let answers = &report.answers;
    let mut line = format!(
        "round {}: {} of {} people answered, {} of {} requests",
        cycle.rounds,
        thousands(answers.answered),
        thousands(answers.people),
        thousands(answers.batches_answered),
        thousands(answers.batches)
    );
    for (count, what) in [
        (answers.waiting, "wait to be sent"),
        (answers.in_doubt, "are asked about"),
        (answers.dead, "need a person: ltcgw dead list"),
    ] {
        if count > 0 {
            line += &format!(" · {} {what}", thousands(count));
        }
    }
    let mut text = format!("\n{}", paragraph(&line));
    if !report.outcomes.is_empty() {
        let mut table = Table::new(&[
            "round>",
            "result 结果",
            "",
            "people 人数>",
            "asked 应扣>",
            "taken 实扣>",
        ]);
        for of in &report.outcomes {
            let (word, chinese) = (of.outcome.word().to_owned(), outcome(of.outcome).to_owned());
            table.row([
                of.round.to_string(),
                word,
                chinese,
                thousands(of.people),
                yuan(of.asked.0),
                yuan(of.taken.0),
            ]);
        }
        text += &format!("\n{}", table.render());
    }
    if report.short.0 > 0 {
        text += &paragraph(&format!("short 未扣: {}", short(report)));
    }
    if report.discrepancies > 0 {
        text += &paragraph(&format!(
            "{} answers do not fit what was asked: ltcgw deduct discrepancies",
            thousands(report.discrepancies)
        ));
    }
    text
}

/// From how many nothing was taken: the same words and numbers beside a status and a workbook.
pub fn short(report: &CycleReport) -> String {
    let (people, owing) = report.short;
    let mut text = format!(
        "nothing was taken from {} people: {} owe this month's amount",
        thousands(people),
        thousands(owing)
    );
    if people > owing {
        text += &format!(", {} owe nothing of this month", thousands(people - owing));
    }
    for owed in &report.owed {
        let (english, chinese) = handling(&owed.handling);
        text += &format!(
            "; {english} {chinese}: {} people, {} yuan, {} open",
            thousands(owed.people),
            yuan(owed.fen.0),
            thousands(owed.open)
        );
    }
    text
}

/// Discrepancies as a table.
pub fn discrepancies(found: &[Discrepancy]) -> String {
    if found.is_empty() {
        return "no discrepancies\n".to_owned();
    }
    let headings = [
        "id>",
        "found",
        "kind",
        "batch>",
        "person",
        "asked>",
        "told>",
        "what the core said",
        "looked at",
    ];
    let mut table = Table::new(&headings);
    let amount = |fen: Option<crate::model::Fen>| fen.map_or_else(String::new, |fen| yuan(fen.0));
    for one in found {
        table.row([
            one.discrepancy_id.to_string(),
            moment(one.found_at),
            one.kind.clone(),
            one.batch_no
                .map_or_else(String::new, |number| number.to_string()),
            one.person_no.clone().unwrap_or_default(),
            amount(one.asked),
            amount(one.told),
            one.text.clone(),
            one.resolved_by.as_ref().map_or_else(String::new, |by| {
                format!("{by}: {}", one.note.as_deref().unwrap_or_default())
            }),
        ]);
    }
    table.render()
        + &paragraph(
            "nothing of these was posted; close one with: ltcgw deduct resolve ID --note TEXT",
        )
}

/// Relations to be decided about as a table.
pub fn relations(found: &[OpenRelation]) -> String {
    if found.is_empty() {
        return "nobody has several insurance relations to be decided about\n".to_owned();
    }
    let mut table = Table::new(&[
        "relation>",
        "person 个人编号",
        "roster",
        "record>",
        "from",
        "category 类别",
        "account",
        "employer",
        "district 区县",
        "base 基数>",
    ]);
    for one in found {
        let known = Category::of_word(&one.category).map_or_else(|| one.category.clone(), category);
        table.row([
            one.relation_id.to_string(),
            one.person_no.clone(),
            one.roster_no.clone(),
            one.record_index.to_string(),
            one.from_month.to_string(),
            known,
            if one.account { "yes" } else { "no" }.to_owned(),
            one.employer_no.clone().unwrap_or_default(),
            format!("{:06}", one.district),
            yuan(one.base.0),
        ]);
    }
    table.render()
        + &paragraph(
            "nothing is deducted from these; decide which relation of a person counts with: ltcgw deduct choose RELATION",
        )
}

/// A category in both languages.
pub fn category(category: Category) -> String {
    format!("{} {}", category.word(), category_zh(category))
}

/// A category in Chinese.
pub fn category_zh(category: Category) -> &'static str {
    match category {
        Category::Active => "在职",
        Category::Retired => "退休",
        Category::Flexible => "灵活就业",
        Category::Unemployed => "失业",
        Category::Resident => "居民",
    }
}

/// A reason for being left out, in English and Chinese.
pub fn reason(word: &str) -> (&'static str, &'static str) {
    match word {
        "no_account" => ("no personal account", "无个人账户"),
        "waived" => ("no account, waived by the rates", "无个人账户，按费率免缴"),
        "no_rate" => ("no rate for the category", "无适用费率"),
        "no_own_base" => ("the roster gives no own base", "名册无本人缴费基数"),
        "no_own_pension_last_year" => (
            "the roster gives no pension of last year",
            "名册无上年度养老金",
        ),
        "no_account_credit_base" => (
            "the roster gives no base the account is credited by (acct_base)",
            "名册无个人账户划账基数",
        ),
        "no_city_average_base" => (
            "the rate file gives no city average base of the year",
            "费率文件无当年全市平均缴费基数",
        ),
        "no_average_wage_last_year" => (
            "the rate file gives no average wage of last year",
            "费率文件无上年度平均工资",
        ),
        "no_employer_base" => (
            "the rate is about the employer's base",
            "费率基数为单位缴费基数",
        ),
        "two_relations" => ("several insurance relations, to be decided", "多重参保待定"),
        _ => ("nothing is due", "应缴为零"),
    }
}

/// What becomes of a shortfall, in English and Chinese.
pub fn handling(word: &str) -> (&'static str, &'static str) {
    match word {
        "retry" => ("to be tried again", "重新扣缴"),
        "carry_over" => ("carried over to the next month", "结转下月"),
        _ => ("waived", "免缴"),
    }
}

/// An outcome in Chinese.
pub fn outcome(outcome: DeductionOutcome) -> &'static str {
    match outcome {
        DeductionOutcome::Deducted => "已扣",
        DeductionOutcome::InsufficientBalance => "余额不足",
        DeductionOutcome::AccountFrozen => "账户冻结",
        DeductionOutcome::PersonUnknown => "查无此人",
        DeductionOutcome::Deceased => "已死亡",
    }
}

fn moment(at: jiff::Timestamp) -> String {
    at.to_zoned(shanghai())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}
