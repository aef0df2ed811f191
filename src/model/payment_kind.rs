//! Kinds of payment a collection line can be.

/// What a collection line was paid as: the canonical records' `payment_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentKind {
    Normal,
    Refund,
    BackPayment,
    BaseAdjustment,
    RateAdjustment,
}

impl PaymentKind {
    /// Every kind, in the order of the canonical records' list.
    pub const ALL: [PaymentKind; 5] = [
        PaymentKind::Normal,
        PaymentKind::Refund,
        PaymentKind::BackPayment,
        PaymentKind::BaseAdjustment,
        PaymentKind::RateAdjustment,
    ];

    /// The word used in canonical records, the database and reports.
    pub const fn word(self) -> &'static str {
        match self {
            PaymentKind::Normal => "normal",
            PaymentKind::Refund => "refund",
            PaymentKind::BackPayment => "back_payment",
            PaymentKind::BaseAdjustment => "base_adjustment",
            PaymentKind::RateAdjustment => "rate_adjustment",
        }
    }

    /// The kind of that word.
    pub fn of_word(word: &str) -> Option<PaymentKind> {
        PaymentKind::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_what_it_came_from() {
        for kind in PaymentKind::ALL {
            assert_eq!(PaymentKind::of_word(kind.word()), Some(kind));
        }
        assert_eq!(PaymentKind::of_word("gift"), None);
    }
}
