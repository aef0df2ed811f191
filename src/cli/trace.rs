//! `ltcgw trace`: where a receipt, line or packet came from and went to, on one page.

use std::path::PathBuf;

use super::table::{Table, yuan};
use super::{Done, Failure, dead};
use crate::error::{Fault, Stage};
use crate::flow::trace::{Traced, refusals, trace};
use crate::ledger::percent;
use crate::store::trace::{TracedLine, TracedRefusal};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Receipt, detail or packet number.
    number: String,
    #[arg(long, value_name = "DIR", default_value = "config", env = "LTCGW_CONFIG")]
    config: PathBuf,
}

pub(super) async fn run(options: &Options) -> Done {
    let store = dead::store(&options.config).await?;
    let traced = trace(&store, &options.number).await?;
    let refused = refusals(&store, &options.number).await?;
    for one in &refused {
        print!("{}", refusal(&options.number, one));
    }
    if traced.is_empty() && refused.is_empty() {
        let text = format!("nothing is stored under {}; it was never received, or refused (see the sender's receipt)", options.number);
        return Err(Failure::Fault(Fault::partner(Stage::Store, text)));
    }
    for one in &traced {
        print!("{}", page(one));
    }
    Ok(())
}

/// A packet that was refused whole, as text.
pub fn refusal(packet_no: &str, one: &TracedRefusal) -> String {
    let received = in_china(one.received_at);
    format!(
        "\npacket {packet_no} from {}, received {received} +08:00, refused whole with status {} · digest {}…\n  {}\n  nothing of it was kept; its number is free\n",
        one.sender, one.status, one.digest, one.reason
    )
}

fn in_china(at: jiff::Timestamp) -> impl std::fmt::Display {
    at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8))).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Everything about one packet, as text.
pub fn page(one: &Traced) -> String {
    let packet = &one.packet;
    let received = in_china(packet.received_at);
    let mut text = format!("\npacket {} from {} ({}), received {received} +08:00\n", packet.packet_no, packet.sender, packet.message);
    text += &format!(
        "  {} lines: {} posted, {} refused, {} duplicate · {} yuan · digest {}… · adapter {}\n",
        packet.lines_received,
        packet.lines_posted,
        packet.lines_refused,
        packet.lines_duplicate,
        yuan(packet.posted_fen.0),
        packet.digest,
        packet.adapter
    );
    if packet.lines_refused + packet.lines_duplicate > 0 {
        let [received, posted, refused, duplicate] = [packet.received_fen, packet.posted_fen, packet.refused_fen, packet.duplicate_fen].map(|fen| yuan(fen.0));
        text += &format!("  {received} yuan received = {posted} posted + {refused} refused + {duplicate} duplicate");
        text += &match packet.lines_unread {
            0 => "\n".to_string(),
            lines => format!(", and {lines} refused lines whose amount cannot be read\n"),
        };
    }
    if packet.replaced_by.is_some() {
        text += "  replaced since by a packet of the same number: everything below was reversed\n";
    }
    for line in &one.lines {
        text += &line_text(line);
    }
    for run in &one.runs {
        text += &format!(
            "  employee detail in packet {}: {} lines, employer {} yuan, employees {} yuan\n",
            run.packet_no,
            run.lines,
            yuan(run.employer_paid.0),
            yuan(run.employee_paid.0)
        );
    }
    text += &postings(one);
    text += &deliveries(one);
    text
}

fn line_text(line: &TracedLine) -> String {
    let mut text = format!(
        "\n  line {} (record {}), receipt {}, employer {}, {} {}, in the treasury {}\n",
        line.detail_no, line.record_index, line.receipt_no, line.employer_no, line.contribution_month, line.payment_kind, line.treasury_on
    );
    text += &format!(
        "    paid (yuan): employer {} at a stated {} · employees {} · late fee {} · interest {}\n",
        yuan(line.paid.employer.0),
        percent(line.employer_rate.into()),
        yuan(line.paid.employees.0),
        yuan(line.paid.late_fee.0),
        yuan(line.paid.interest.0 + line.paid.other_interest.0)
    );
    let (medical, care) = (yuan(line.paid.medical.0), yuan(line.paid.long_term_care.0));
    text += &format!("    apportioned by rate {}: medical fund {medical} · long-term care fund {care}\n", line.rate_id);
    if line.history.lines > 1 && !line.revoke {
        let (lines, history) = (line.history.lines, line.history);
        let sum = yuan(history.medical.0 + history.long_term_care.0);
        let (medical, care) = (yuan(history.medical.0), yuan(history.long_term_care.0));
        text += &format!(
            "    line {lines} of this employer, district and month, split by the sum of all: {sum} with it, medical fund {medical} · \
             long-term care fund {care}; it brought what they lacked\n"
        );
    }
    for (says, is) in [
        ("less was paid than base x rate", line.underpaid),
        ("it was in the treasury before it was remitted", line.before_remittance),
        ("it was paid on a base of nothing", line.without_base),
        ("more was refunded of this employer, district and month than was paid", line.refunded_beyond),
        ("takes an earlier line back", line.revoke),
        ("its packet was replaced: no longer in force", line.superseded),
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

fn postings(one: &Traced) -> String {
    let mut table = Table::new(&["entry>", "kind", "account", "district", "month", "fund", "yuan>"]);
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
    let of = if one.lines.is_empty() { "postings of the packet" } else { "postings of the packet for these districts and months" };
    format!("\n  {of}\n{}", table.render())
}

fn deliveries(one: &Traced) -> String {
    if one.deliveries.is_empty() {
        return "\n  nothing of it goes to a partner\n".into();
    }
    let mut text = "\n  deliveries\n".to_string();
    for delivery in &one.deliveries {
        let of = &delivery.of;
        let Some(records) = of.records() else { continue };
        let reversal = if records.reversal { ", a reversal" } else { "" };
        let state = delivery.outcome.as_ref().map_or_else(|| delivery.state.clone(), |outcome| format!("{} ({outcome})", delivery.state));
        text += &format!(
            "  {} to {}: records {} to {}{reversal}, {} yuan · {state}\n",
            delivery.delivery_id,
            of.destination,
            records.first_record,
            records.last_record,
            yuan(of.fen.0)
        );
        if let Some(reference) = &delivery.reference {
            let answer = delivery.answer.as_deref().filter(|answer| !answer.is_empty()).map_or_else(String::new, |answer| format!(" · answered: {answer}"));
            text += &format!("    under {reference}{answer}\n");
        }
    }
    text
}
