//! The form of `config/rates/<area>-<name>.toml`: what a rate file may say, as parsed.
//!
//! Only the grammar: keys, words, and how a percentage, an amount and a month are written. Whether
//! the rules make sense is [`super::rate_check`]'s business.
//!
//! ```toml
//! area   = "450100"                 # pooling area (统筹区), six digits; the file's name begins with it
//! name   = "Nanning"
//! source = "the rule these rates come from"
//!
//! [[rule]]
//! payer     = "employer"            # employer | individual | pooled_fund | fiscal
//! from      = "2021-03"             # first contribution month; `to`, the last one, may be absent
//! mode      = "rate"                # rate | fixed | waived
//! rate      = "6.95 %"              # exact, at most four decimals; with mode = "fixed": amount = "50.00" (yuan)
//! basis     = "employer_base"       # what the rate is a share of
//! channel   = "tax"                 # tax | personal_account | fund_transfer | budget
//! frequency = "monthly"             # monthly | yearly | yearly_or_monthly
//! rounding  = "fen_half_away"       # fen_half_away | fen_down | fen_up | jiao_half_away | jiao_up
//! open      = ["late_fee_to"]       # keys no source confirms: a choice, to be confirmed before going live
//! parts     = { medical = "6.80 %", long_term_care = "0.15 %" }   # employer only, and the four below
//! remainder = "medical"             # the part that takes what rounding leaves
//! late_fee_to = "medical"            # or pro_rata: split like the payment; interest_to too
//! interest_to = "medical"
//! employee_paid_to = "medical"
//! ```
//!
//! Other payers name `segments`; individuals may have `age_from`, `age_to` and, paying from the
//! personal account, need `no_account` and `shortfall`. `base_floor`, `base_cap` (yuan a month) and
//! `carved_out_of` (a fund) are optional everywhere; `tolerance_per_head` (yuan) is of employers only.
//! Averages are the area's, by year: `[city_average_base]` and `[average_wage]`, `2025 = "5000.00"` (yuan a month).

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::fund::{Fund, Recipient};
use super::terms::{Basis, Channel, Frequency, NoAccount, Payer, Rounding, ShortfallHandling};
use crate::error::{Finding, unreadable};
use crate::model::deduction::Category;

/// A rate file as parsed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateFile {
    pub area: Spanned<String>,
    pub name: Spanned<String>,
    pub source: Spanned<String>,
    /// By year, yuan a month.
    #[serde(default)]
    pub city_average_base: BTreeMap<Spanned<String>, Spanned<String>>,
    /// By year, yuan a month.
    #[serde(default)]
    pub average_wage: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub rule: Vec<Spanned<RateRule>>,
}

/// How a rule's amount is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeWord {
    Rate,
    Fixed,
    Waived,
}

/// One `[[rule]]` as parsed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateRule {
    pub payer: Payer,
    pub segments: Option<Spanned<Vec<Category>>>,
    pub age_from: Option<Spanned<u8>>,
    pub age_to: Option<Spanned<u8>>,
    pub from: Spanned<String>,
    pub to: Option<Spanned<String>>,
    pub mode: Spanned<ModeWord>,
    pub rate: Option<Spanned<String>>,
    pub amount: Option<Spanned<String>>,
    pub basis: Option<Spanned<Basis>>,
    pub base_floor: Option<Spanned<String>>,
    pub base_cap: Option<Spanned<String>>,
    pub channel: Spanned<Channel>,
    pub frequency: Frequency,
    pub carved_out_of: Option<Spanned<Fund>>,
    pub rounding: Spanned<Rounding>,
    pub parts: Option<Spanned<BTreeMap<Fund, Spanned<String>>>>,
    pub remainder: Option<Spanned<Fund>>,
    pub late_fee_to: Option<Spanned<Recipient>>,
    pub interest_to: Option<Spanned<Recipient>>,
    pub employee_paid_to: Option<Spanned<Fund>>,
    pub tolerance_per_head: Option<Spanned<String>>,
    pub no_account: Option<Spanned<NoAccount>>,
    pub shortfall: Option<Spanned<ShortfallHandling>>,
    #[serde(default)]
    pub open: Vec<Spanned<String>>,
}

/// Keys a rule may have, for `open`.
pub(super) const RULE_KEYS: &[&str] = &[
    "payer",
    "segments",
    "age_from",
    "age_to",
    "from",
    "to",
    "mode",
    "rate",
    "amount",
    "basis",
    "base_floor",
    "base_cap",
    "channel",
    "frequency",
    "carved_out_of",
    "rounding",
    "parts",
    "remainder",
    "late_fee_to",
    "interest_to",
    "employee_paid_to",
    "tolerance_per_head",
    "no_account",
    "shortfall",
];

/// Parses a rate file's text; the finding has line and column and, for a misspelt word, the nearest allowed one.
pub(super) fn parse(file: &str, source: &str) -> Result<RateFile, Finding> {
    toml::from_str(source).map_err(|error| unreadable(file, source, &error))
}

/// Reads `6.80 %` as millionths, exactly; `None` unless it is digits, at most four decimals, a percent sign, and at most 100 %.
pub(super) fn parse_percent(text: &str) -> Option<i64> {
    let number = text.strip_suffix('%')?;
    let number = number.strip_suffix(' ').unwrap_or(number);
    let (whole, decimals) = number
        .split_once('.')
        .map_or((number, None), |(whole, decimals)| (whole, Some(decimals)));
    let digits = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 3) || !decimals.is_none_or(|decimals| digits(decimals, 4)) {
        return None;
    }
    let millionths = whole.parse::<i64>().ok()? * 10_000
        + format!("{:0<4}", decimals.unwrap_or(""))
            .parse::<i64>()
            .ok()?;
    (millionths <= super::terms::WHOLE_MILLIONTHS).then_some(millionths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::terms::percent;

    #[test]
    fn percentages_are_read_exactly_and_written_back_the_same() {
        for (text, millionths) in [
            ("6.80 %", 68_000),
            ("0.15 %", 1_500),
            ("7.30 %", 73_000),
            ("0.0001 %", 1),
            ("0.00 %", 0),
            ("100.00 %", 1_000_000),
            ("0.125 %", 1_250),
        ] {
            assert_eq!(parse_percent(text), Some(millionths), "{text}");
            assert_eq!(percent(millionths), text);
        }
        assert_eq!(parse_percent("7%"), Some(70_000));
        assert_eq!(parse_percent("7.3 %"), Some(73_000));
    }

    #[test]
    fn anything_but_a_plain_percentage_is_refused() {
        for text in [
            "",
            "%",
            " %",
            "6.8",
            "0.068",
            "-1 %",
            "+1 %",
            "1e1 %",
            "6,80 %",
            "6.80  %",
            "6. %",
            ".5 %",
            "0.00001 %",
            "100.0001 %",
            "１ %",
            "6.80 ‰",
        ] {
            assert_eq!(parse_percent(text), None, "{text}");
        }
    }
}
