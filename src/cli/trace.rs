//! `ltcgw trace`: where a receipt, line or packet came from and went to, on one page.

use std::path::PathBuf;

use super::fold::{fitted, folded};
use super::table::{Table, thousands, yuan};
use super::{Done, Failure, dead};
use crate::error::{Fault, Stage};
use crate::flow::clock::in_city;
use crate::flow::dead as letters;
use crate::flow::trace::{PacketTrace, look_up, searched};
use crate::ledger::percent;
use crate::store::trace::{
    LINES_MAX, TracedEmployer, TracedLine, TracedRefusal, TracedRefusedLine,
};

#[derive(Debug, clap::Args)]
pub struct TraceOptions {
    /// Packet, receipt, detail or employer number, or the id of a delivery.
    number: String,
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

pub(super) async fn run(options: &TraceOptions) -> Done {
    let store = dead::store(&options.config).await?;
    let number = &options.number;
    let found = look_up(&store, number).await?;
    if found.is_empty() {
        return Err(Failure::Fault(Fault::partner(
            Stage::Store,
            folded(&searched(&store, number), "").trim_end(),
        )));
    }
    for one in &found.refusals {
        print!("{}", fitted(&refusal(number, one)));
    }
    for one in &found.traced {
        print!("{}", fitted(&page(one)));
    }
    if let Some(employer) = &found.employer {
        print!("{}", of_employer(number, employer));
    }
    if let Some(delivery) = &found.delivery {
        print!("\n{}", fitted(&letters::page(delivery)));
    }
    Ok(())
}

/// A packet that was refused whole, as text.
pub fn refusal(packet_no: &str, one: &TracedRefusal) -> String {
    let received = in_city(one.received_at);
    let number = if one.status == 409 {
        "its number belongs to the packet that was taken under it"
    } else {
        "its number is free"
    };
    format!(
        "\npacket {packet_no} from {}\n  received {received} (Asia/Shanghai)\n  refused whole with status {} · digest {}…\n{}  nothing of it was kept; {number}\n",
        one.sender,
        one.status,
        one.digest,
        folded(&one.reason, "  ")
    )
}

/// The lines of an employer, as text.
fn of_employer(employer_no: &str, employer: &TracedEmployer) -> String {
    let sum = yuan(employer.medical.0 + employer.long_term_care.0);
    let mut table = Table::new(&[
        "month",
        "detail number",
        "kind",
        "treasury",
        "yuan>",
        "state",
    ]);
    for line in &employer.newest {
        let month = line.contribution_month.to_string();
        table.row([
            month,
            line.detail_no.clone(),
            line.payment_kind.clone(),
            line.treasury_on.to_string(),
            yuan(line.fen.0),
            line.state.clone(),
        ]);
    }
    let mut text = format!(
        "\nemployer {employer_no}: {} lines\n",
        thousands(employer.lines)
    );
    let (medical, care) = (yuan(employer.medical.0), yuan(employer.long_term_care.0));
    text += &folded(
        &format!("{sum} yuan in force: medical fund {medical} · long-term care fund {care}"),
        "  ",
    );
    text += &table.render();
    if employer.lines > LINES_MAX {
        text += &format!("  the newest {LINES_MAX} are shown\n");
    }
    text + "  `ltcgw trace DETAIL` shows where the money of a line went\n"
}

/// Refused lines with element, content, money and reason.
fn refused_lines(one: &PacketTrace) -> String {
    if one.refused.is_empty() {
        return String::new();
    }
    let shown = i32::try_from(one.refused.len()).unwrap_or(i32::MAX);
    let of = if shown < one.packet.lines_refused {
        format!(" (the first {shown} of {})", one.packet.lines_refused)
    } else {
        String::new()
    };
    let mut text = format!("\n  refused lines{of}\n");
    for TracedRefusedLine {
        record_index,
        element,
        content,
        reason,
        fen,
    } in &one.refused
    {
        let found = content
            .as_ref()
            .map_or_else(String::new, |content| format!(" `{content}`"));
        let money = match fen {
            Some(fen) => format!("{} yuan", yuan(fen.0)),
            None => "amount not known".to_owned(),
        };
        text += &folded(
            &format!("record {record_index} · {money} · {element}{found}"),
            "    ",
        );
        text += &folded(reason, "      ");
    }
    text
}

/// Everything about one packet, as text.
pub fn page(one: &PacketTrace) -> String {
    let packet = &one.packet;
    let received = in_city(packet.received_at);
    let mut text = format!(
        "\npacket {} from {} ({})\n  received {received} (Asia/Shanghai)\n",
        packet.packet_no, packet.sender, packet.message
    );
    text += &folded(
        &format!(
            "{} lines: {} posted, {} refused, {} duplicate · {} yuan",
            packet.lines_received,
            packet.lines_posted,
            packet.lines_refused,
            packet.lines_duplicate,
            yuan(packet.posted_fen.0)
        ),
        "  ",
    );
    text += &format!("  digest {}… · adapter {}\n", packet.digest, packet.adapter);
    if packet.lines_refused + packet.lines_duplicate > 0 {
        let [received, posted, refused, duplicate] = [
            packet.received_fen,
            packet.posted_fen,
            packet.refused_fen,
            packet.duplicate_fen,
        ]
        .map(|fen| yuan(fen.0));
        let unread = match packet.lines_unread {
            0 => String::new(),
            lines => format!(", and {lines} refused lines whose amount cannot be read"),
        };
        text += &folded(
            &format!(
                "{received} yuan received = {posted} posted + {refused} refused + {duplicate} duplicate{unread}"
            ),
            "  ",
        );
    }
    if packet.replaced_by.is_some() {
        text += "  replaced since by a packet of the same number: everything below was reversed\n";
    }
    text += &refused_lines(one);
    for line in &one.lines {
        text += &line_text(line);
    }
    for run in &one.runs {
        let (employer, employees) = (yuan(run.employer_paid.0), yuan(run.employee_paid.0));
        text += &folded(
            &format!(
                "employee detail in packet {}: {} lines, employer {employer} yuan, employees {employees} yuan",
                run.packet_no, run.lines
            ),
            "  ",
        );
    }
    text += &deliveries(one);
    text += &postings(one);
    text
}

fn line_text(line: &TracedLine) -> String {
    let head = format!(
        "line {} (record {}), receipt {}, employer {}, {} {}, in the treasury {}",
        line.detail_no,
        line.record_index,
        line.receipt_no,
        line.employer_no,
        line.contribution_month,
        line.payment_kind,
        line.treasury_on
    );
    let mut text = format!("\n{}", folded(&head, "  "));
    let paid = format!(
        "paid (yuan): employer {} at a stated {} · employees {} · late fee {} · interest {}",
        yuan(line.paid.employer.0),
        percent(line.employer_rate.into()),
        yuan(line.paid.employees.0),
        yuan(line.paid.late_fee.0),
        yuan(line.paid.interest.0 + line.paid.other_interest.0)
    );
    text += &folded(&paid, "    ");
    let (medical, care) = (yuan(line.paid.medical.0), yuan(line.paid.long_term_care.0));
    text += &folded(
        &format!(
            "apportioned by rate {}: medical fund {medical} · long-term care fund {care}",
            line.rate_id
        ),
        "    ",
    );
    if line.history.lines > 1 && !line.revoke {
        let (lines, history) = (line.history.lines, line.history);
        let sum = yuan(history.medical.0 + history.long_term_care.0);
        let (medical, care) = (yuan(history.medical.0), yuan(history.long_term_care.0));
        let split = format!(
            "line {lines} of this employer, district and month, split by the sum of all: {sum} with it, medical fund {medical} · \
             long-term care fund {care}; it brought what they lacked"
        );
        text += &folded(&split, "    ");
    }
    for (says, is) in [
        ("less was paid than base x rate", line.underpaid),
        (
            "it was in the treasury before it was remitted",
            line.before_remittance,
        ),
        ("it was paid on a base of nothing", line.without_base),
        (
            "more was refunded of this employer, district and month than was paid",
            line.refunded_beyond,
        ),
        ("takes an earlier line back", line.revoke),
        (
            "its packet was replaced: no longer in force",
            line.superseded,
        ),
    ] {
        if is {
            text += &format!("    note: {says}\n");
        }
    }
    if let Some(packet_no) = &line.revoked_in {
        text += &format!("    note: taken back by packet {packet_no}\n");
    }
    text
}

fn postings(one: &PacketTrace) -> String {
    let mut table = Table::new(&[
        "entry>", "kind", "account", "district", "month", "fund", "yuan>",
    ]);
    for posting in &one.postings {
        table.row([
            posting.entry_id.to_string(),
            posting.kind.clone(),
            posting.account.clone(),
            posting.district.to_string(),
            posting.contribution_month.to_string(),
            posting.fund.clone(),
            yuan(posting.fen.0),
        ]);
    }
    let of = if one.lines.is_empty() {
        "postings of the packet"
    } else {
        "postings of the packet for these districts and months"
    };
    format!("\n  {of}\n{}", table.render())
}

fn deliveries(one: &PacketTrace) -> String {
    if one.deliveries.is_empty() {
        return "\n  nothing of it goes to a partner\n".into();
    }
    let mut text = "\n  deliveries\n".to_string();
    for delivery in &one.deliveries {
        let of = &delivery.of;
        let Some(records) = of.records() else {
            continue;
        };
        let reversal = if records.reversal { ", a reversal" } else { "" };
        let state = delivery.outcome.as_ref().map_or_else(
            || delivery.state.clone(),
            |outcome| format!("{} ({outcome})", delivery.state),
        );
        let (id, to, first, last, yuan) = (
            delivery.delivery_id,
            &of.destination,
            records.first_record,
            records.last_record,
            yuan(of.fen.0),
        );
        text += &folded(
            &format!("{id} to {to}: records {first} to {last}{reversal}, {yuan} yuan · {state}"),
            "  ",
        );
        if let Some(reference) = &delivery.reference {
            let answer = delivery
                .answer
                .as_deref()
                .filter(|answer| !answer.is_empty())
                .map_or_else(String::new, |answer| {
                    // Without an outcome nobody answered: it is what the last attempt met with.
                    let met = delivery.outcome.as_ref().map_or("met with", |_| "answered");
                    format!(" · {met}: {answer}")
                });
            text += &folded(&format!("under {reference}{answer}"), "    ");
        }
    }
    text
}
