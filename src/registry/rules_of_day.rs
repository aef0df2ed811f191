//! The rules of one area that are asked on a day, and what was found of one record.

use jiff::civil::Date;

use super::rule_file::{AreaRules, Check, RegistryRule};
use super::{RuleFinding, Severity};

/// The rules of one area that are asked on a day, for one record.
pub(super) struct RulesOfDay<'a> {
    pub(super) area: &'a AreaRules,
    pub(super) on: Date,
    pub(super) registered_on: Date,
    pub(super) findings: Vec<RuleFinding>,
}

impl RulesOfDay<'_> {
    /// The rule for a check, when it is asked.
    pub(super) fn rule(&self, check: Check) -> Option<&RegistryRule> {
        self.area
            .rules
            .iter()
            .find(|rule| rule.check == check && rule.asked_on(self.on))
    }

    /// Notes a failed check, when it is asked.
    pub(super) fn failed(&mut self, check: Check, field: &'static str, text: impl Into<String>) {
        if let Some(severity) = self
            .rule(check)
            .map(|rule| rule.severity_for(self.registered_on, self.on))
        {
            self.findings.push(RuleFinding {
                rule: check.word(),
                field,
                severity,
                text: text.into(),
            });
        }
    }

    /// Notes a failed check that is no more than a warning, when it is asked.
    pub(super) fn warn(&mut self, check: Check, field: &'static str, text: impl Into<String>) {
        if self.rule(check).is_some() {
            self.findings.push(RuleFinding {
                rule: check.word(),
                field,
                severity: Severity::Warning,
                text: text.into(),
            });
        }
    }

    /// Notes a record of the wrong form.
    pub(super) fn malformed(&mut self, field: &'static str, text: impl Into<String>) {
        self.findings.push(RuleFinding {
            rule: "form",
            field,
            severity: Severity::Refusal,
            text: text.into(),
        });
    }
}
