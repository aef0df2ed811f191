//! Four eyes for what was done in the database by hand: a `ready` delivery that the partner has is marked as delivered, a
//! pause is lifted.
//!
//! One person asks and says why; that freezes what is to be done under a digest. Another, who was told the digest, decides
//! within a day. Of deliveries that changed meanwhile nothing is done.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::error::{Fault, Stage};
use crate::model::mask;
use crate::model::signer::{NoProof, Signer, no_proof, same_name};
use crate::store::Store;
use crate::store::approval::{Action, Approval, Candidate, FrozenRequest};
use crate::store::delivery;

/// Hours in which a request can be approved.
const HOURS: i32 = 24;
/// Hexadecimal digits of the digest that an approver has to give at least.
pub const DIGEST_MIN: usize = 8;

/// Which deliveries are to be marked as delivered.
#[derive(Debug, Clone, Copy)]
pub enum DeliverySelection<'a> {
    Ids(&'a [i64]),
    /// Those of a packet number to a destination that wait.
    Packet {
        packet_no: &'a str,
        destination: &'a str,
    },
}

/// Who asks, and why.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalRequest<'a> {
    pub by: &'a Signer,
    pub reason: &'a str,
}

/// Asks that deliveries which are `ready` count as delivered, because the partner has them.
///
/// # Errors
/// Name or reason is missing, a delivery is unknown or not `ready`, they go to several partners, or the database cannot be reached.
pub async fn ask_delivered(
    store: &Store,
    which: DeliverySelection<'_>,
    reference: Option<&str>,
    asked: ApprovalRequest<'_>,
) -> Result<Approval, Fault> {
    let found = match which {
        DeliverySelection::Ids(ids) => {
            let found = store.candidates(ids, None).await?;
            if let Some(unknown) = ids
                .iter()
                .find(|id| found.iter().all(|one| one.delivery_id != **id))
            {
                return refuse(format!(
                    "there is no delivery {unknown}; `ltcgw trace PACKET` names those of a packet"
                ));
            }
            found
        }
        DeliverySelection::Packet {
            packet_no,
            destination,
        } => {
            store
                .candidates(&[], Some((packet_no, destination)))
                .await?
        }
    };
    let destination = right(&found, reference)?;
    let deliveries = found
        .iter()
        .map(|one| (one.delivery_id, one.attempt_no))
        .collect();
    let reference = reference.map(str::to_owned);
    ask(
        store,
        FrozenRequest {
            action: Action::MarkDelivered,
            destination,
            deliveries,
            reference,
            reason: mask::text(asked.reason.trim()).into_owned(),
        },
        asked.by,
    )
    .await
}

/// The one destination of deliveries that can be marked.
fn right(found: &[Candidate], reference: Option<&str>) -> Result<String, Fault> {
    let Some(first) = found.first() else {
        return refuse(
            "no delivery of it is ready; nothing is to be marked as delivered".to_owned(),
        );
    };
    if let Some(other) = found.iter().find(|one| one.state != "ready") {
        let id = other.delivery_id;
        let instead = match other.state.as_str() {
            "dead" | "in_doubt" => format!(
                "; for a dead letter whose outcome is unknown there is `ltcgw dead retry {id} --delivered`"
            ),
            _ => String::new(),
        };
        return refuse(format!(
            "delivery {id} is {}, not ready; only what waits to be sent can be marked as delivered{instead}",
            other.state
        ));
    }
    if let Some(other) = found
        .iter()
        .find(|one| one.destination != first.destination)
    {
        return refuse(format!(
            "the deliveries go to {} and {}; ask for each partner by itself",
            first.destination, other.destination
        ));
    }
    if reference.is_some() && found.len() > 1 {
        return refuse(format!(
            "a reference is of one delivery, and these are {}; ask for each by itself",
            found.len()
        ));
    }
    Ok(first.destination.clone())
}

/// Asks that a destination's pause is lifted.
///
/// # Errors
/// Name or reason is missing, nothing was ever sent to it, it is not paused, or the database cannot be reached.
pub async fn ask_resume(
    store: &Store,
    destination: &str,
    asked: ApprovalRequest<'_>,
) -> Result<Approval, Fault> {
    let standings = delivery::standings(store.pool()).await?;
    match standings
        .iter()
        .find(|standing| standing.destination == destination)
    {
        None => {
            return refuse(format!(
                "nothing was ever sent to a destination `{destination}`; see `ltcgw destinations list`"
            ));
        }
        Some(standing) if standing.reason.is_none() && standing.paused_until.is_none() => {
            return refuse(format!("{destination} is not paused"));
        }
        Some(_) => {}
    }
    let (destination, reason) = (
        destination.to_owned(),
        mask::text(asked.reason.trim()).into_owned(),
    );
    ask(
        store,
        FrozenRequest {
            action: Action::ResumeDestination,
            destination,
            deliveries: Vec::new(),
            reference: None,
            reason,
        },
        asked.by,
    )
    .await
}

async fn ask(store: &Store, wanted: FrozenRequest, by: &Signer) -> Result<Approval, Fault> {
    if wanted.reason.is_empty() || wanted.reason.chars().any(char::is_control) {
        return refuse(
            "no reason was given, or one with control characters; say why (--reason TEXT)"
                .to_owned(),
        );
    }
    let id = store
        .request_approval(&wanted, &digest(&wanted), by, HOURS)
        .await?;
    find(store, id).await
}

/// Does what was asked for; returns the request and the deliveries that were left alone, because they changed.
///
/// # Errors
/// There is no such request, it is decided about or expired, the digest is another's, or the approver asked for it, or may
/// have by their login, unless `same_login` (`[approval] same_login`) gives that up.
pub async fn approve(
    store: &Store,
    approval_id: i64,
    by: &Signer,
    digest: &str,
    same_login: bool,
) -> Result<(Approval, Vec<i64>), Fault> {
    let approval = open(store, approval_id).await?;
    if same_name(&by.name, &approval.requested_by) {
        return refuse(format!(
            "{} asked for it and cannot approve it; a second person has to look at it (--by NAME)",
            approval.requested_by
        ));
    }
    let given = digest.trim().to_lowercase();
    if given.len() < DIGEST_MIN || !HEXLOWER.encode(&approval.digest).starts_with(&given) {
        return refuse(format!(
            "the digest is not that of request {approval_id}; look at it (`ltcgw approval list`) and give its first {DIGEST_MIN} digits or more"
        ));
    }
    let unproved = no_proof(approval.requested_login.as_ref(), by.login.as_ref());
    if let Some(why) = unproved.as_ref().filter(|_| !same_login) {
        return refuse(no_second_person(approval_id, why));
    }
    let Some(done) = store.approve(approval_id, by, unproved.is_some()).await? else {
        return Err(decided(&find(store, approval_id).await?));
    };
    let left = approval
        .wanted
        .deliveries
        .iter()
        .map(|(id, _)| *id)
        .filter(|id| !done.contains(id))
        .collect();
    Ok((find(store, approval_id).await?, left))
}

/// Decides that it is not done; whoever asked may take it back so.
///
/// # Errors
/// There is no such request, or it is decided about or expired.
pub async fn reject(store: &Store, approval_id: i64, by: &Signer) -> Result<Approval, Fault> {
    open(store, approval_id).await?;
    store.reject(approval_id, by).await?;
    find(store, approval_id).await
}

async fn find(store: &Store, approval_id: i64) -> Result<Approval, Fault> {
    let unknown = || {
        Fault::operator(
            Stage::Store,
            format!("there is no request {approval_id}; see `ltcgw approval list`"),
        )
    };
    store.approval(approval_id).await?.ok_or_else(unknown)
}

async fn open(store: &Store, approval_id: i64) -> Result<Approval, Fault> {
    let approval = find(store, approval_id).await?;
    if approval.decision.is_some() || approval.expired {
        Err(decided(&approval))
    } else {
        Ok(approval)
    }
}

fn decided(approval: &Approval) -> Fault {
    let id = approval.approval_id;
    let text = match (&approval.decision, &approval.decided_by) {
        (Some(decision), Some(by)) => format!("request {id} was {decision} by {by} already"),
        _ => format!("request {id} has expired after {HOURS} hours; ask again"),
    };
    Fault::operator(Stage::Store, text)
}

/// What the digest is of, line by line: action, destination, reference, reason, then each delivery with its last attempt.
pub fn plan(wanted: &FrozenRequest) -> String {
    let head = [
        wanted.action.word(),
        &wanted.destination,
        wanted.reference.as_deref().unwrap_or_default(),
        &wanted.reason,
    ]
    .map(|line| format!("{line}\n"));
    let deliveries = wanted
        .deliveries
        .iter()
        .map(|(id, attempt)| format!("{id} {attempt}\n"));
    head.into_iter().chain(deliveries).collect()
}

fn digest(wanted: &FrozenRequest) -> Vec<u8> {
    Sha256::digest(plan(wanted)).to_vec()
}

fn no_second_person(approval_id: i64, why: &NoProof<'_>) -> String {
    let allow = "`[approval] same_login = true` in gateway.toml gives the second look up";
    match why {
        NoProof::FirstUnknown => format!(
            "under which login request {approval_id} was made is not known, so nobody can be shown to be another person; ask for it again under a login of this \
             system. {allow}"
        ),
        NoProof::SecondUnknown => format!(
            "no login shows who approves request {approval_id}: no audit uid, no sudo from an account of one's own, no account of this process; approve it from a \
             session of your own (ssh, console, or sudo from it). {allow}"
        ),
        NoProof::OneLogin(first, second) => format!(
            "request {approval_id} was made under the login {first}, and this is {second}: the same login shows no second person, whatever --by says; somebody else \
             approves it from a session of their own. {allow}"
        ),
    }
}

fn refuse<T>(text: String) -> Result<T, Fault> {
    Err(Fault::operator(Stage::Send, text))
}
