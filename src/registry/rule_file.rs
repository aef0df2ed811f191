//! The form of `config/rules/<area>-<name>.toml`: what a rule file may say, as parsed and checked.
//!
//! Only the grammar; what a check means is said where it is made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;

use super::Severity;
use crate::error::{Finding, unreadable};
use crate::model::registry::{InstitutionKind, ServiceMode};

/// A rule file as parsed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    area: Spanned<String>,
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "source")]
    _source: String,
    divisions: Spanned<BTreeSet<String>>,
    /// Old codes of divisions and what each is now.
    #[serde(default)]
    renamed: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    rule: Vec<Spanned<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    check: Check,
    severity: Severity,
    from: Date,
    to: Option<Date>,
    transition_months: Option<u8>,
    years_max: Option<u8>,
    hours_min: Option<u16>,
    months_max: Option<u8>,
    kinds: Option<BTreeSet<InstitutionKind>>,
    modes: Option<BTreeMap<InstitutionKind, BTreeSet<ServiceMode>>>,
    #[serde(default, rename = "open")]
    _open: bool,
}

/// What can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    UsccForm,
    UsccCheckCharacter,
    Division,
    Modes,
    Licence,
    Beds,
    AgreementDates,
    Certificate,
    Age,
    Recipient,
    InstitutionKnown,
    InstitutionDesignated,
    Training,
    HealthStatement,
    ContractDates,
}

impl Check {
    pub(super) fn word(self) -> &'static str {
        match self {
            Check::UsccForm => "uscc_form",
            Check::UsccCheckCharacter => "uscc_check_character",
            Check::Division => "division",
            Check::Modes => "modes",
            Check::Licence => "licence",
            Check::Beds => "beds",
            Check::AgreementDates => "agreement_dates",
            Check::Certificate => "certificate",
            Check::Age => "age",
            Check::Recipient => "recipient",
            Check::InstitutionKnown => "institution_known",
            Check::InstitutionDesignated => "institution_designated",
            Check::Training => "training",
            Check::HealthStatement => "health_statement",
            Check::ContractDates => "contract_dates",
        }
    }
}

/// What a check measures by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measure {
    Nothing,
    Years(u8),
    Hours(u16),
    Months(u8),
    Kinds(BTreeSet<InstitutionKind>),
    Modes(BTreeMap<InstitutionKind, BTreeSet<ServiceMode>>),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RegistryRule {
    pub check: Check,
    pub severity: Severity,
    pub from: Date,
    pub to: Option<Date>,
    pub transition_months: u8,
    pub measure: Measure,
}

impl RegistryRule {
    /// Whether it is asked on a day.
    pub(super) fn asked_on(&self, on: Date) -> bool {
        self.from <= on && self.to.is_none_or(|to| on <= to)
    }

    /// What a failure means on a day for somebody registered on another: within the transition,
    /// who was registered before the rule is only warned.
    pub(super) fn severity_for(&self, registered_on: Date, on: Date) -> Severity {
        let spared_until = self
            .from
            .checked_add(jiff::Span::new().months(i64::from(self.transition_months)))
            .unwrap_or(Date::MAX);
        if registered_on < self.from && on < spared_until {
            Severity::Warning
        } else {
            self.severity
        }
    }
}

/// The rules of one area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AreaRules {
    pub area: String,
    pub divisions: BTreeSet<String>,
    pub renamed: BTreeMap<String, String>,
    pub rules: Vec<RegistryRule>,
}

/// Reads a rule file's text; all problems at once, with line and column.
pub(super) fn read(file: &str, source: &str) -> Result<AreaRules, Vec<Finding>> {
    let parsed: File =
        toml::from_str(source).map_err(|error| vec![unreadable(file, source, &error)])?;
    let mut findings = Vec::new();
    let mut problem =
        |offset: usize, text: String| findings.push(Finding::at_offset(file, source, offset, text));
    let six_digits = |code: &str| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    if !six_digits(parsed.area.get_ref()) {
        problem(
            parsed.area.span().start,
            format!(
                "area is `{}`; expected six digits (GB/T 2260)",
                parsed.area.get_ref()
            ),
        );
    }
    if let Some(bad) = parsed
        .divisions
        .get_ref()
        .iter()
        .find(|code| !six_digits(code))
    {
        problem(
            parsed.divisions.span().start,
            format!("division `{bad}`; expected six digits (GB/T 2260)"),
        );
    }
    for (old, now) in &parsed.renamed {
        if !six_digits(old)
            || parsed.divisions.get_ref().contains(old)
            || !parsed.divisions.get_ref().contains(now.get_ref())
        {
            problem(
                now.span().start,
                format!(
                    "`{old}` is renamed to `{}`; expected an old code that is none of `divisions`, and one that is",
                    now.get_ref()
                ),
            );
        }
    }
    let mut rules: Vec<RegistryRule> = Vec::new();
    for entry in parsed.rule {
        let at = entry.span().start;
        match rule(entry.into_inner()) {
            Ok(rule) => {
                let overlaps = |other: &&RegistryRule| {
                    other.check == rule.check
                        && other.to.is_none_or(|to| rule.from <= to)
                        && rule.to.is_none_or(|to| other.from <= to)
                };
                if let Some(other) = rules.iter().find(overlaps) {
                    problem(
                        at,
                        format!(
                            "{} is asked twice on {}; end the earlier rule with `to`",
                            rule.check.word(),
                            rule.from.max(other.from)
                        ),
                    );
                }
                rules.push(rule);
            }
            Err(text) => problem(at, text),
        }
    }
    let renamed = parsed
        .renamed
        .into_iter()
        .map(|(old, now)| (old, now.into_inner()))
        .collect();
    let divisions = parsed.divisions.into_inner();
    if findings.is_empty() {
        Ok(AreaRules {
            area: parsed.area.into_inner(),
            divisions,
            renamed,
            rules,
        })
    } else {
        Err(findings)
    }
}

fn rule(entry: Entry) -> Result<RegistryRule, String> {
    let word = entry.check.word();
    if entry.to.is_some_and(|to| to < entry.from) {
        return Err(format!("{word}: `to` is before `from`"));
    }
    let given = [
        ("years_max", entry.years_max.map(Measure::Years)),
        ("hours_min", entry.hours_min.map(Measure::Hours)),
        ("months_max", entry.months_max.map(Measure::Months)),
        ("kinds", entry.kinds.map(Measure::Kinds)),
        ("modes", entry.modes.map(Measure::Modes)),
    ];
    let needed = match entry.check {
        Check::Age => Some("years_max"),
        Check::Training => Some("hours_min"),
        Check::HealthStatement => Some("months_max"),
        Check::Licence => Some("kinds"),
        Check::Modes => Some("modes"),
        _ => None,
    };
    let mut measure = Measure::Nothing;
    for (key, value) in given {
        match (value, needed == Some(key)) {
            (Some(value), true) => measure = value,
            (None, true) => return Err(format!("{word} needs `{key}`")),
            (Some(_), false) => return Err(format!("{word} has no `{key}`; remove it")),
            (None, false) => {}
        }
    }
    let transition_months = entry.transition_months.unwrap_or(0);
    Ok(RegistryRule {
        check: entry.check,
        severity: entry.severity,
        from: entry.from,
        to: entry.to,
        transition_months,
        measure,
    })
}
