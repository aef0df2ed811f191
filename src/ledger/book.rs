//! Every area's rates, read once from a folder, looked up by area and contribution month.
//!
//! The rate of the contribution month counts, whenever the money comes. Look-ups return references
//! and are cheap enough to be made for every line of a packet.

use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::area_rates::AreaRates;
use super::rate::{EmployerRate, IndividualRate};
use super::rate_check::{self, RateFindings};
use super::rate_file;
use super::terms::{Ages, Bases, Basis, Mode};
use crate::error::Finding;
use crate::model::deduction::Category;
use crate::model::{Division, Month};

/// The rates of every pooling area.
#[derive(Debug, Clone, Default)]
pub struct RateBook {
    /// Sorted by code.
    areas: Vec<AreaRates>,
}

impl RateBook {
    /// Reads every `*.toml` of a folder; on failure returns every problem found, with line and column.
    pub fn load(dir: &Path) -> Result<RateBook, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut book = RateBook::default();
        let mut owners: Vec<(String, String)> = Vec::new();
        for path in rate_files(dir).map_err(|finding| vec![finding])? {
            let file = path.display().to_string();
            match std::fs::read_to_string(&path) {
                Ok(source) => book.read(&file, &source, &mut owners, &mut findings),
                Err(error) => findings.push(Finding::new(
                    file,
                    None,
                    format!("cannot be read: {error}; expected UTF-8 text in TOML"),
                )),
            }
        }
        book.areas.sort_by(|a, b| a.code.cmp(&b.code));
        if findings.is_empty() {
            Ok(book)
        } else {
            Err(findings)
        }
    }

    /// Adds one file's area.
    fn read(
        &mut self,
        file: &str,
        source: &str,
        owners: &mut Vec<(String, String)>,
        findings: &mut Vec<Finding>,
    ) {
        let parsed = match rate_file::parse(file, source) {
            Ok(parsed) => parsed,
            Err(finding) => return findings.push(finding),
        };
        let mut report = RateFindings {
            file,
            source,
            findings,
        };
        let area = rate_check::area(&parsed, &mut report);
        let name = Path::new(file)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        if !name.starts_with(&format!("{}-", area.code)) {
            report.add(
                &parsed.area.span(),
                format!(
                    "area `{}` in a file named `{name}`; expected the name to be `{}-<city>.toml`",
                    area.code, area.code
                ),
            );
        }
        if let Some((_, other)) = owners.iter().find(|(code, _)| *code == area.code) {
            report.add(
                &parsed.area.span(),
                format!(
                    "area `{}` is already defined in {other}; put all rules of an area in one file",
                    area.code
                ),
            );
        }
        owners.push((area.code.clone(), file.to_string()));
        self.areas.push(area);
    }

    /// The employer's combined rate of an area in a contribution month.
    pub fn employer(&self, area: Division, month: Month) -> Option<&EmployerRate> {
        let rates = &self.area(area)?.employer;
        let after = rates.partition_point(|rate| rate.terms().period.from <= month);
        rates[..after]
            .last()
            .filter(|rate| rate.terms().period.contains(month))
    }

    /// Every employer's rate, to be named.
    pub fn employer_rates_mut(&mut self) -> impl Iterator<Item = &mut EmployerRate> {
        self.areas.iter_mut().flat_map(|area| &mut area.employer)
    }

    /// The share of an individual born on a day; where it depends on age, nothing without one.
    pub fn individual(
        &self,
        area: Division,
        month: Month,
        category: Category,
        born_on: Option<Date>,
    ) -> Option<&IndividualRate> {
        let age = born_on.and_then(|born_on| Ages::at(born_on, month));
        let rates = &self.area(area)?.individual;
        rates.iter().find(|rate| {
            rate.category() == category
                && rate.terms().period.contains(month)
                && rate.ages().contains(age)
        })
    }

    /// Whether what an individual of the area owes ever depends on age: only then is a birth date needed.
    pub fn depends_on_age(&self, area: Division) -> bool {
        self.area(area)
            .is_some_and(|area| area.individual.iter().any(|rate| rate.ages() != Ages::ANY))
    }

    /// Whether anything is taken from personal accounts in an area and month.
    pub fn deducts(&self, area: Division, month: Month) -> bool {
        self.individuals(area, month)
            .any(IndividualRate::by_account)
    }

    /// Every individual's rate of an area in a contribution month, of any category and age.
    fn individuals(&self, area: Division, month: Month) -> impl Iterator<Item = &IndividualRate> {
        let rates = self.area(area).map_or(&[][..], |area| &area.individual);
        rates
            .iter()
            .filter(move |rate| rate.terms().period.contains(month))
    }

    /// The bases that are the same for everybody of an area in a month; those of a person are the caller's to add.
    pub fn bases(&self, area: Division, month: Month) -> Bases {
        self.area(area)
            .map(|area| area.bases(month))
            .unwrap_or_default()
    }

    /// Individuals' rules in force in a month whose average the rate file lacks, each with what is missing.
    pub fn without_average(&self, month: Month) -> Vec<(&str, &'static str, i16)> {
        let rules = self
            .areas
            .iter()
            .flat_map(|area| area.individual.iter().map(move |rate| (area, rate)));
        let lacking = |(area, rate): (&AreaRates, &'_ IndividualRate)| {
            let Mode::Rate { basis, .. } = rate.terms().mode else {
                return None;
            };
            let bases = area.bases(month);
            match basis {
                Basis::CityAverageBase if bases.city_average.is_none() => {
                    Some(("city_average_base", month.year()))
                }
                Basis::AverageWageLastYear if bases.average_wage_last_year.is_none() => {
                    Some(("average_wage", month.year() - 1))
                }
                _ => None,
            }
        };
        let in_force = rules.filter(|(_, rate)| rate.terms().period.contains(month));
        in_force
            .filter_map(|(area, rate)| {
                lacking((area, rate)).map(|(key, year)| (rate.id(), key, year))
            })
            .collect()
    }

    /// The codes of the areas with rates, in order.
    pub fn areas(&self) -> impl Iterator<Item = &str> {
        self.areas.iter().map(|area| area.code.as_str())
    }

    /// Every rule with keys no source confirms, as (rule id, keys): to be confirmed before going live.
    pub fn open_choices(&self) -> Vec<(&str, &[String])> {
        let areas = self.areas.iter();
        areas
            .flat_map(|area| {
                let employer = area.employer.iter().map(|rate| (rate.id(), rate.terms()));
                let individual = area.individual.iter().map(|rate| (rate.id(), rate.terms()));
                let funds = area.funds.iter().map(|rate| (rate.id(), rate.terms()));
                employer.chain(individual).chain(funds)
            })
            .filter(|(_, terms)| !terms.open.is_empty())
            .map(|(id, terms)| (id, terms.open.as_slice()))
            .collect()
    }

    fn area(&self, division: Division) -> Option<&AreaRates> {
        let found = self
            .areas
            .binary_search_by_key(&Some(division), |area| area.division)
            .ok()?;
        Some(&self.areas[found])
    }
}

/// The rate files of a folder by name; a folder without any is a finding.
fn rate_files(dir: &Path) -> Result<Vec<PathBuf>, Finding> {
    let folder = dir.display().to_string();
    let unreadable = |error: std::io::Error| {
        Finding::new(
            folder.clone(),
            None,
            format!("cannot be read: {error}; expected the folder of the rate files"),
        )
    };
    let entries = std::fs::read_dir(dir)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    let mut files: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Finding::new(
            folder,
            None,
            "holds no rate file; expected at least one `<area>-<city>.toml`",
        ));
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
