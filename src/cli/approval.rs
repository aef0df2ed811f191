//! `ltcgw approval` and `ltcgw mark-delivered`: what one person asks for and another decides.

use std::path::PathBuf;

use data_encoding::HEXLOWER;

use super::fold::folded;
use super::login::Who;
use super::table::{thousands, yuan};
use super::{Done, Failure, dead};
use crate::config::Config;
use crate::error::Fault;
use crate::flow::approval::{self as flow, ApprovalRequest, DIGEST_MIN, DeliverySelection};
use crate::flow::clock::in_city;
use crate::store::Store;
use crate::store::approval::{Action, Approval, DeliveryContent};

/// Deliveries named in full at most.
const NAMED_MAX: usize = 20;

/// Who asks, and why.
#[derive(Debug, clap::Args)]
pub struct Asks {
    #[command(flatten)]
    pub who: Who,
    /// Why, for whoever approves and for later.
    #[arg(long)]
    pub reason: String,
}

/// What waits for a second person.
#[derive(Debug, clap::Subcommand)]
pub enum ApprovalCommand {
    /// List what is asked for, with its digest.
    List {
        /// Also what was decided or has expired: the last hundred.
        #[arg(long)]
        all: bool,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// Do what was asked for, as somebody else than who asked.
    Approve {
        id: i64,
        #[command(flatten)]
        who: Who,
        /// The digest of what you looked at, or its first eight digits.
        #[arg(long)]
        digest: String,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
    /// Decide that it is not done.
    Reject {
        id: i64,
        #[command(flatten)]
        who: Who,
        #[arg(
            long,
            value_name = "DIR",
            default_value = "config",
            env = "LTCGW_CONFIG"
        )]
        config: PathBuf,
    },
}

/// Ask that deliveries which wait are not sent, because the partner has them; a second person approves it.
#[derive(Debug, clap::Args)]
pub struct MarkDelivered {
    /// Delivery ids, as `ltcgw trace PACKET` shows them.
    #[arg(required_unless_present = "packet")]
    ids: Vec<i64>,
    /// All of this packet number that wait for the partner named by --to.
    #[arg(long, conflicts_with = "ids", requires = "to")]
    packet: Option<String>,
    /// With --packet: the partner that has them.
    #[arg(long, requires = "packet")]
    to: Option<String>,
    /// The reference under which the partner has it; of a single delivery.
    #[arg(long)]
    reference: Option<String>,
    #[command(flatten)]
    asks: Asks,
    #[arg(
        long,
        value_name = "DIR",
        default_value = "config",
        env = "LTCGW_CONFIG"
    )]
    config: PathBuf,
}

pub(super) async fn mark_delivered(options: &MarkDelivered) -> Done {
    let store = dead::store(&options.config).await?;
    let which = match (&options.packet, &options.to) {
        (Some(packet_no), Some(destination)) => DeliverySelection::Packet {
            packet_no,
            destination,
        },
        _ => DeliverySelection::Ids(&options.ids),
    };
    let who = ApprovalRequest {
        by: &options.asks.who.signer()?,
        reason: &options.asks.reason,
    };
    let approval = flow::ask_delivered(&store, which, options.reference.as_deref(), who).await?;
    print!("{}", asked(&approval, &contents(&store, &approval).await?));
    Ok(())
}

/// What the deliveries of a request tell of.
async fn contents(store: &Store, approval: &Approval) -> Result<Vec<DeliveryContent>, Fault> {
    let ids: Vec<i64> = approval.wanted.deliveries.iter().map(|one| one.0).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    store.contents_of(&ids).await
}

pub(super) async fn run(command: &ApprovalCommand) -> Done {
    match command {
        ApprovalCommand::List { all, config } => {
            let store = dead::store(config).await?;
            let approvals = store.approvals(*all).await?;
            if approvals.is_empty() {
                println!("nothing waits for a second person");
            }
            for approval in &approvals {
                print!("{}", text(approval, &contents(&store, approval).await?));
            }
        }
        ApprovalCommand::Approve {
            id,
            who,
            digest,
            config,
        } => {
            let same_login = Config::load(config)?.gateway.approval.same_login;
            let (approval, left) = flow::approve(
                &dead::store(config).await?,
                *id,
                &who.signer()?,
                digest,
                same_login,
            )
            .await?;
            print!("{}", done(&approval, &left));
            if approval.done.unwrap_or(0) == 0 {
                return Err(Failure::Said);
            }
        }
        ApprovalCommand::Reject { id, who, config } => {
            let approval = flow::reject(&dead::store(config).await?, *id, &who.signer()?).await?;
            println!(
                "request {} ({}) is rejected by {}; nothing was done",
                approval.approval_id,
                what(&approval),
                approval.decided_by.as_deref().unwrap_or_default()
            );
        }
    }
    Ok(())
}

/// What was just asked for, and how it goes on.
pub fn asked(approval: &Approval, contents: &[DeliveryContent]) -> String {
    let digits = &HEXLOWER.encode(&approval.digest)[..DIGEST_MIN];
    let id = approval.approval_id;
    format!(
        "{}nothing is done yet; somebody else looks at it and runs\n  ltcgw approval approve {id} --digest {digits} --by NAME\n",
        text(approval, contents)
    )
}

/// What is asked for, in a few words.
fn what(approval: &Approval) -> String {
    let wanted = &approval.wanted;
    match wanted.action {
        Action::ResumeDestination => format!("lift the pause of {}", wanted.destination),
        Action::MarkDelivered => {
            let count = wanted.deliveries.len();
            format!(
                "mark {count} {} to {} as delivered",
                if count == 1 { "delivery" } else { "deliveries" },
                wanted.destination
            )
        }
    }
}

fn text(approval: &Approval, contents: &[DeliveryContent]) -> String {
    let (wanted, what) = (&approval.wanted, what(approval));
    let digest = &HEXLOWER.encode(&approval.digest)[..DIGEST_MIN];
    let mut text = format!(
        "\n{}",
        folded(
            &format!(
                "request {}: {what} · digest {digest}…",
                approval.approval_id
            ),
            ""
        )
    );
    for content in contents.iter().take(NAMED_MAX) {
        let packet = content
            .packet_no
            .as_ref()
            .map_or_else(String::new, |number| format!("packet {number}, "));
        let line = format!(
            "delivery {}: {packet}lines {}, {} yuan",
            content.delivery_id,
            content.lines,
            yuan(content.fen.0)
        );
        text += &folded(&line, "  ");
    }
    if contents.len() > 1 {
        let lines: i64 = contents.iter().map(|one| i64::from(one.lines)).sum();
        let fen: i64 = contents.iter().map(|one| one.fen.0).sum();
        let more = match contents.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!("and {more} more; "),
        };
        let line = format!(
            "{more}together lines {}, {} yuan",
            thousands(lines),
            yuan(fen)
        );
        text += &folded(&line, "  ");
    }
    if let Some(reference) = &wanted.reference {
        text += &folded(&format!("the partner has it under {reference}"), "  ");
    }
    text += &folded(&format!("reason: {}", wanted.reason), "  ");
    let until = match (&approval.decision, &approval.decided_by) {
        (Some(decision), Some(by)) => format!("{decision} by {by}"),
        _ if approval.expired => "expired".to_owned(),
        _ => format!("may be approved until {}", in_city(approval.expires_at)),
    };
    text + &folded(
        &format!(
            "asked for by {} at {}; {until}",
            approval.requested_by,
            in_city(approval.requested_at)
        ),
        "  ",
    )
}

/// What was done of an approved request.
fn done(approval: &Approval, left: &[i64]) -> String {
    let (id, wanted, count) = (
        approval.approval_id,
        &approval.wanted,
        approval.done.unwrap_or(0),
    );
    let destination = &wanted.destination;
    match wanted.action {
        Action::ResumeDestination if count == 0 => {
            format!("request {id}: {destination} was not paused any more\n")
        }
        Action::ResumeDestination => format!(
            "request {id}: the pause of {destination} is lifted; deliveries go on within seconds\n"
        ),
        Action::MarkDelivered => {
            let mut text = format!(
                "request {id}: {count} of {} to {destination} count as delivered\n",
                wanted.deliveries.len()
            );
            if !left.is_empty() {
                let ids: Vec<String> = left.iter().map(i64::to_string).collect();
                text += &folded(
                    &format!(
                        "left alone, because the partner answered since, or somebody decided: {}; `ltcgw trace ID` shows what happened",
                        ids.join(" ")
                    ),
                    "  ",
                );
            }
            text
        }
    }
}
