//! What a destination is told of posted lines: the body its adapter's template renders.
//!
//! Only lines in which the destination's fund has a part, so the LTC system sees nothing of
//! months before long-term care insurance began. Rendered when sent, never stored.

use std::sync::Arc;

use serde_json::{Value, json};

use super::unseen;
use crate::error::{Fault, Stage};
use crate::flow::collect::{FundDestination, concerns};
use crate::flow::rates::Rates;
use crate::store::Store;
use crate::store::contributions::Contribution;
use crate::store::delivery::{Delivery, NewDelivery, Records};

/// Reads contributions for every destination.
pub struct Contributions {
    pub store: Store,
    pub rates: Rates,
    pub destinations: Arc<[FundDestination]>,
}

/// What a delivery tells of, in a few words.
pub(super) fn name(records: &Records, packet_no: Option<&str>) -> String {
    match packet_no {
        Some(packet_no) => {
            let what = if records.reversal {
                "reversal of packet"
            } else {
                "packet"
            };
            format!(
                "{what} {packet_no} records {} to {}",
                records.first_record, records.last_record
            )
        }
        None => format!("packet {}", records.packet_id),
    }
}

/// What a delivery tells of, in a sentence.
pub(super) fn describe(of: &NewDelivery, records: &Records, packet_no: Option<&str>) -> String {
    format!(
        "{}{}, packet {}, records {} to {}: {} lines, {} yuan",
        if records.reversal { "reversal of " } else { "" },
        of.message,
        packet_no.unwrap_or_default(),
        records.first_record,
        records.last_record,
        of.lines,
        of.fen
    )
}

impl Contributions {
    pub(super) async fn read(
        &self,
        delivery: &Delivery,
        records: &Records,
    ) -> Result<Value, Fault> {
        let of = &delivery.of;
        let gone = |what: &str| {
            Fault::operator(
                Stage::Render,
                format!("delivery {}: {what}", delivery.delivery_id),
            )
        };
        // By message as well: one partner may be told of both funds.
        let destination = self.destinations.iter().find(|destination| {
            destination.partner == of.destination && destination.message == of.message
        });
        let destination = destination.ok_or_else(|| gone("its destination no longer receives contributions; restore its entry in partners.toml"))?;
        let (sender, packet_no) = self
            .store
            .packet_name(records.packet_id)
            .await?
            .ok_or_else(|| unseen(delivery, "its packet is not in the database"))?;
        let lines = self
            .store
            .contributions(records.packet_id, records.first_record, records.last_record)
            .await?;
        // A delivery is of one pooling area, that of its first record; records of others between may be told elsewhere.
        let area = lines.first().map(|line| line.pooling_area);
        let lines: Vec<Contribution> = lines
            .into_iter()
            .filter(|line| Some(line.pooling_area) == area)
            .collect();
        let lines = self.told(delivery, destination, &lines).await?;
        // A revocation goes alone. Where its packet was replaced, what it took back is in force again: an ordinary line.
        let reversal = lines.iter().any(|line| line.revoke) != records.reversal;
        let reverses = if reversal {
            Some(self.reversed(delivery).await?)
        } else {
            None
        };
        Ok(json!({
            "delivery": {
                "id": delivery.delivery_id, "packet_no": packet_no, "sender": sender, "pooling_area": area.map(|area| area.to_string()),
                "lines": of.lines, "fen": of.fen.0, "reversal": reversal, "reverses": reverses,
            },
            "lines": lines.iter().map(|line| document(line, (reversal, records.reversal))).collect::<Vec<Value>>(),
        }))
    }

    /// The lines that concern the destination.
    async fn told<'l>(
        &self,
        delivery: &Delivery,
        destination: &FundDestination,
        lines: &'l [Contribution],
    ) -> Result<Vec<&'l Contribution>, Fault> {
        if lines
            .iter()
            .any(|line| self.rates.get(&line.rate_id).is_none())
        {
            self.rates.refresh(&self.store).await?; // an instance with edited rate files may have kept it meanwhile
        }
        let by_rule = |line: &&Contribution| {
            concerns(
                destination.fund,
                &line.paid(),
                self.rates.get(&line.rate_id).as_ref(),
            )
        };
        // Deliveries queued before parts that round to nothing were told count without them.
        let with_money = |line: &&Contribution| concerns(destination.fund, &line.paid(), None);
        let told = [
            lines.iter().filter(by_rule).collect(),
            lines.iter().filter(with_money).collect::<Vec<_>>(),
        ];
        let count = usize::try_from(delivery.of.lines).unwrap_or_default();
        told.into_iter()
            .find(|lines: &Vec<_>| lines.len() == count)
            .ok_or_else(|| unseen(delivery, "it names other lines than are stored"))
    }

    /// The delivery that told of what this one takes back.
    async fn reversed(&self, delivery: &Delivery) -> Result<Value, Fault> {
        let of = &delivery.of;
        let key = of.ordering_key.as_deref().unwrap_or_default();
        let first = self
            .store
            .first_delivery((&of.destination, &of.message), key)
            .await?;
        let (id, packet_no) = first.ok_or_else(|| {
            let text = format!("delivery {}: what it takes back is not in the database; this is a mistake in the gateway", delivery.delivery_id);
            Fault::operator(Stage::Render, text)
        })?;
        Ok(json!({ "id": id, "packet_no": packet_no }))
    }
}

/// `reversal`: it takes an earlier line back; `undone`: its packet was replaced, so its amounts turn round.
fn document(line: &Contribution, (reversal, undone): (bool, bool)) -> Value {
    let sign = if undone { -1 } else { 1 };
    json!({
        "detail_no": line.detail_no,
        "transfer_type": if line.revoke && reversal { "revoke" } else { "new" },
        "pooling_area": line.pooling_area.to_string(),
        "district": line.district.to_string(),
        "receipt_no": line.receipt_no,
        "levy_no": line.levy_no,
        "employer_no": line.employer_no,
        "contribution_month": line.contribution_month.number().to_string(),
        "payment_kind": line.payment_kind,
        "headcount": line.headcount,
        "employer_base_fen": line.employer_base.0,
        "employee_base_fen": line.employee_base.map(|base| base.0),
        "employer_rate_millionths": line.employer_rate,
        "employer_paid_fen": sign * line.employer_paid.0,
        "employee_paid_fen": sign * line.employee_paid.0,
        "late_fee_fen": sign * line.late_fee.0,
        "interest_fen": sign * line.interest.0,
        "medical_fen": sign * line.medical.0,
        "long_term_care_fen": sign * line.long_term_care.0,
        "treasury_on": line.treasury_on.to_string(),
    })
}
