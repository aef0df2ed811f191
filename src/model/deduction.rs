//! Insured people and what is taken from their personal accounts: the words, and no rules.

use serde::Deserialize;

/// The outbound message that carries instructions; whoever receives it is asked to deduct.
pub const MESSAGE: &str = "deductions";

/// What kind of insured person somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Active,
    Retired,
    /// In flexible employment (灵活就业).
    Flexible,
    /// Unemployed and on benefit (领取失业金).
    Unemployed,
    /// In residents' medical insurance (城乡居民): rate files name them, rosters do not.
    Resident,
}

impl Category {
    /// Those a roster can name, in the order of tables: who is in employees' medical insurance.
    pub const IN_ROSTERS: [Category; 4] = [
        Category::Active,
        Category::Retired,
        Category::Flexible,
        Category::Unemployed,
    ];

    /// The word used in canonical records, rate files, the database and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Category::Active => "active",
            Category::Retired => "retired",
            Category::Flexible => "flexible",
            Category::Unemployed => "unemployed",
            Category::Resident => "resident",
        }
    }

    /// The category a roster names by that word.
    pub fn of_word(word: &str) -> Option<Category> {
        Category::IN_ROSTERS
            .into_iter()
            .find(|category| category.word() == word)
    }
}

/// What the medical insurance core did with one instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeductionOutcome {
    /// The whole amount was taken.
    Deducted,
    /// The account held less; nothing was taken.
    InsufficientBalance,
    AccountFrozen,
    PersonUnknown,
    Deceased,
}

impl DeductionOutcome {
    /// Every outcome, in the order of tables.
    pub const ALL: [DeductionOutcome; 5] = [
        DeductionOutcome::Deducted,
        DeductionOutcome::InsufficientBalance,
        DeductionOutcome::AccountFrozen,
        DeductionOutcome::PersonUnknown,
        DeductionOutcome::Deceased,
    ];

    /// The word used in canonical records, the database and reports.
    pub fn word(self) -> &'static str {
        match self {
            DeductionOutcome::Deducted => "deducted",
            DeductionOutcome::InsufficientBalance => "insufficient_balance",
            DeductionOutcome::AccountFrozen => "account_frozen",
            DeductionOutcome::PersonUnknown => "person_unknown",
            DeductionOutcome::Deceased => "deceased",
        }
    }

    /// The outcome of that word.
    pub fn of_word(word: &str) -> Option<DeductionOutcome> {
        DeductionOutcome::ALL
            .into_iter()
            .find(|outcome| outcome.word() == word)
    }

    /// Whether what was not taken is still owed: the account exists, it only did not cover it.
    pub fn leaves_short(self) -> bool {
        matches!(
            self,
            DeductionOutcome::InsufficientBalance | DeductionOutcome::AccountFrozen
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_what_it_came_from() {
        assert!(
            Category::IN_ROSTERS
                .iter()
                .all(|category| Category::of_word(category.word()) == Some(*category))
        );
        assert!(
            DeductionOutcome::ALL
                .iter()
                .all(|outcome| DeductionOutcome::of_word(outcome.word()) == Some(*outcome))
        );
        assert_eq!(
            (
                Category::of_word("resident"),
                DeductionOutcome::of_word("taken")
            ),
            (None, None)
        );
    }

    #[test]
    fn only_an_account_that_exists_leaves_a_shortfall() {
        let short: Vec<_> = DeductionOutcome::ALL
            .into_iter()
            .filter(|outcome| outcome.leaves_short())
            .collect();
        assert_eq!(
            short,
            [
                DeductionOutcome::InsufficientBalance,
                DeductionOutcome::AccountFrozen
            ]
        );
    }
}
