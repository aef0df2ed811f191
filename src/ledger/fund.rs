//! The funds money is accounted in, and an amount split over them.
//!
//! A closed list: a new fund is a new kind of posting, which the store and the counterparts must
//! know. It must not know how an amount is split; [`super::rate`] does.

use serde::Deserialize;

use crate::model::Fen;

/// A fund that receives a part of what is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fund {
    /// Employee medical insurance including maternity (职工基本医疗保险, 含生育).
    Medical,
    /// Long-term care insurance (长期护理保险).
    LongTermCare,
}

impl Fund {
    /// How many funds there are.
    pub const COUNT: usize = 2;
    /// Every fund, in the order parts are stored.
    pub const ALL: [Fund; Fund::COUNT] = [Fund::Medical, Fund::LongTermCare];

    /// The word used in rate files, the database and reports.
    pub fn word(self) -> &'static str {
        match self {
            Fund::Medical => "medical",
            Fund::LongTermCare => "long_term_care",
        }
    }

    /// The fund of that word.
    pub fn of_word(word: &str) -> Option<Fund> {
        Fund::ALL.into_iter().find(|fund| fund.word() == word)
    }

    /// The position in [`Fund::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Where an amount goes: to one fund, or to all in proportion to their parts of the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    Medical,
    LongTermCare,
    ProRata,
}

impl Recipient {
    /// Every recipient.
    pub const ALL: [Recipient; Fund::COUNT + 1] = [
        Recipient::Medical,
        Recipient::LongTermCare,
        Recipient::ProRata,
    ];

    /// The one fund that gets all; none when it is split.
    pub fn fund(self) -> Option<Fund> {
        match self {
            Recipient::Medical => Some(Fund::Medical),
            Recipient::LongTermCare => Some(Fund::LongTermCare),
            Recipient::ProRata => None,
        }
    }

    /// The word used in rate files and the database.
    pub fn word(self) -> &'static str {
        self.fund().map_or("pro_rata", Fund::word)
    }

    /// The recipient of that word.
    pub fn of_word(word: &str) -> Option<Recipient> {
        Recipient::ALL
            .into_iter()
            .find(|recipient| recipient.word() == word)
    }
}

/// An amount split over the funds; the parts of an apportioned amount always add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Parts([Fen; Fund::COUNT]);

impl Parts {
    /// Everything in one fund.
    pub fn whole_to(fund: Fund, amount: Fen) -> Parts {
        let mut parts = Parts::default();
        parts.0[fund.index()] = amount;
        parts
    }

    /// The amounts in the order of [`Fund::ALL`].
    pub fn of(amounts: [Fen; Fund::COUNT]) -> Parts {
        Parts(amounts)
    }

    /// The part of one fund.
    pub fn get(&self, fund: Fund) -> Fen {
        self.0[fund.index()]
    }

    /// Every fund with its part, also those of nothing.
    pub fn iter(&self) -> impl Iterator<Item = (Fund, Fen)> + '_ {
        Fund::ALL.into_iter().map(|fund| (fund, self.get(fund)))
    }

    /// Fund by fund, or `None` when a sum leaves `i64`.
    pub fn checked_add(&self, other: &Parts) -> Option<Parts> {
        let mut sums = self.0;
        for (sum, part) in sums.iter_mut().zip(other.0) {
            *sum = sum.checked_add(part)?;
        }
        Some(Parts(sums))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_positions_name_the_same_fund() {
        for (index, fund) in Fund::ALL.into_iter().enumerate() {
            assert_eq!(fund.index(), index);
            assert_eq!(Fund::of_word(fund.word()), Some(fund));
        }
        assert_eq!(Fund::of_word("pension"), None);
        assert_eq!(
            Recipient::ALL.map(Recipient::word),
            ["medical", "long_term_care", "pro_rata"]
        );
        assert_eq!(
            Recipient::ALL.map(|recipient| Recipient::of_word(recipient.word())),
            Recipient::ALL.map(Some)
        );
    }
}
