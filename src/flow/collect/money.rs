//! The money of lines that are not posted: a packet's sum says what became of every fen it states.

use crate::model::records::{employer_collection as employer, paid_fields};
use crate::model::{Fen, FieldId, PaymentKind, Record};

/// What a refused record states it paid, in the gateway's signs; `None` when an amount cannot be read.
/// Detail states no money of its own.
pub fn stated(record: &Record, unreadable: &[FieldId]) -> Option<Fen> {
    if record.spec().name != employer::SPEC.name {
        return Some(Fen::ZERO);
    }
    let fields = paid_fields(record.spec());
    if record.is_empty(employer::EMPLOYER_PAID)
        || fields.iter().any(|field| unreadable.contains(field))
    {
        return None;
    }
    let total = fields.iter().try_fold(Fen::ZERO, |sum, field| {
        sum.checked_add(record.money(*field).unwrap_or_default())
    })?;
    let revokes = record.code(employer::TRANSFER_TYPE) == Some("revoke");
    Some(if revokes {
        taken_back(total, record.payment_kind(employer::PAYMENT_KIND))
    } else {
        total
    })
}

/// What a revocation takes away, of which senders write the amounts in either sign: a payment's are
/// taken out, a refund's come back, an adjustment's are those of the line it takes back.
pub fn taken_back(total: Fen, kind: Option<PaymentKind>) -> Fen {
    match kind {
        Some(PaymentKind::Normal | PaymentKind::BackPayment) => Fen(-total.0.abs()),
        Some(PaymentKind::Refund) => Fen(total.0.abs()),
        _ => total.negated(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Slot;
    use crate::model::records::{PAYMENT_KINDS, TRANSFER_TYPES, employee_collection};

    fn record(kind: &str, transfer: &str, paid: [i64; 2]) -> Record {
        let code = |words: &[&str], word: &str| {
            Slot::Code(
                words
                    .iter()
                    .position(|known| *known == word)
                    .expect("a word") as u16,
            )
        };
        let mut record = Record::new(&employer::SPEC);
        record.set(employer::PAYMENT_KIND, code(PAYMENT_KINDS, kind));
        record.set(employer::TRANSFER_TYPE, code(TRANSFER_TYPES, transfer));
        record.set(employer::EMPLOYER_PAID, Slot::Money(Fen(paid[0])));
        record.set(employer::LATE_FEE, Slot::Money(Fen(paid[1])));
        record
    }

    #[test]
    fn everything_a_line_pays_counts_and_a_revocation_counts_the_other_way() {
        for (kind, transfer, paid, expected) in [
            ("normal", "new", [100, 5], 105),
            ("refund", "new", [-100, -5], -105),
            ("normal", "revoke", [100, 5], -105),
            ("normal", "revoke", [-100, -5], -105),
            ("refund", "revoke", [-100, 0], 100),
            ("rate_adjustment", "revoke", [-7, 0], 7),
        ] {
            assert_eq!(
                stated(&record(kind, transfer, paid), &[]),
                Some(Fen(expected)),
                "{kind} {transfer} {paid:?}"
            );
        }
    }

    #[test]
    fn an_amount_that_cannot_be_read_or_is_missing_or_too_large_is_none() {
        let line = record("normal", "new", [100, 5]);
        assert_eq!(stated(&line, &[employer::INTEREST]), None);
        assert_eq!(stated(&line, &[employer::HEADCOUNT]), Some(Fen(105)));
        let mut missing = line.clone();
        missing.set(employer::EMPLOYER_PAID, Slot::Empty);
        assert_eq!(stated(&missing, &[]), None);
        assert_eq!(stated(&record("normal", "new", [i64::MAX, 1]), &[]), None);
        assert_eq!(
            stated(&Record::new(&employee_collection::SPEC), &[]),
            Some(Fen::ZERO)
        );
    }
}
