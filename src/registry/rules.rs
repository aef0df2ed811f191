//! All cities' rules, read once, looked up by division and day.

use std::path::Path;

use jiff::civil::Date;

use super::rule_file::{self, AreaRules};
use super::rules_of_day::RulesOfDay;
use super::{Lookup, RuleFinding, caregiver, form, institution};
use crate::error::Finding;
use crate::model::registry::{Caregiver, Deletion, Institution};

/// The rules of every area.
#[derive(Debug, Clone)]
pub struct RegistryRules {
    areas: Vec<AreaRules>,
}

impl RegistryRules {
    /// Reads every `*.toml` of a folder; all problems at once.
    ///
    /// # Errors
    /// The folder or a file cannot be read, a rule is malformed, two files have the same area, or there is none.
    pub fn load(dir: &Path) -> Result<RegistryRules, Vec<Finding>> {
        let folder = dir.display().to_string();
        let unreadable = |error: std::io::Error| {
            vec![Finding::new(
                &folder,
                None,
                format!("cannot be read: {error}; expected a folder with rule files"),
            )]
        };
        let mut paths: Vec<_> = std::fs::read_dir(dir)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(unreadable)?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        paths.sort();
        let (mut areas, mut findings): (Vec<AreaRules>, Vec<Finding>) = (Vec::new(), Vec::new());
        for path in &paths {
            let file = path.display().to_string();
            let read = std::fs::read_to_string(path).map_err(|error| {
                vec![Finding::new(
                    &file,
                    None,
                    format!("cannot be read: {error}"),
                )]
            });
            match read.and_then(|source| rule_file::read(&file, &source)) {
                Ok(area) if areas.iter().any(|other| other.area == area.area) => {
                    findings.push(Finding::new(
                        &file,
                        None,
                        format!("area {} has rules in another file already", area.area),
                    ))
                }
                Ok(area) => areas.push(area),
                Err(found) => findings.extend(found),
            }
        }
        if areas.is_empty() && findings.is_empty() {
            findings.push(Finding::new(
                &folder,
                None,
                "there are no rules here; expected a file such as 450100-nanning.toml",
            ));
        }
        if findings.is_empty() {
            Ok(RegistryRules { areas })
        } else {
            Err(findings)
        }
    }

    /// Areas there are rules for.
    pub fn areas(&self) -> impl Iterator<Item = &str> {
        self.areas.iter().map(|area| area.area.as_str())
    }

    /// Everything about an institution's record that is not as it should be on a day.
    pub fn check_institution(&self, record: &Institution, on: Date) -> Vec<RuleFinding> {
        let mut asked = self.asked(Some(&record.division), on, record.registered_on);
        form::institution(record, &mut asked);
        institution::check(record, &mut asked);
        asked.findings
    }

    /// Everything about a caregiver's record that is not as it should be on a day.
    pub fn check_caregiver(
        &self,
        record: &Caregiver,
        on: Date,
        known: &dyn Lookup,
    ) -> Vec<RuleFinding> {
        let institution = known.institution(&record.institution_id);
        let mut asked = self.asked(
            institution
                .as_ref()
                .map(|institution| institution.division.as_str()),
            on,
            record.registered_on,
        );
        form::caregiver(record, &mut asked);
        caregiver::check(record, institution.as_ref(), &mut asked);
        asked.findings
    }

    /// What is wrong with the end of an entry.
    pub fn check_deletion(&self, deletion: &Deletion) -> Vec<RuleFinding> {
        let mut asked = self.asked(None, deletion.on, deletion.on);
        form::deletion(deletion, &mut asked);
        asked.findings
    }

    /// The rules of the area a division belongs to; of the first area where none has it.
    fn asked(&self, division: Option<&str>, on: Date, registered_on: Date) -> RulesOfDay<'_> {
        let own = division.and_then(|division| {
            self.areas.iter().find(|area| {
                area.divisions.contains(division) || area.renamed.contains_key(division)
            })
        });
        let area = own
            .or_else(|| self.areas.first())
            .expect("rules are not loaded without an area");
        RulesOfDay {
            area,
            on,
            registered_on,
            findings: Vec::new(),
        }
    }
}
