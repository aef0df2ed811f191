//! Made-up insured people of a city: computed one by one, written as roster lines.
//!
//! Every person depends on the seed and its place alone (active people also on the employers
//! before it), so a city of 1,540,600 people needs no memory. Lines are written by hand in the
//! medical core's words, independent of the gateway's adapters, so that a mistake there shows.

use std::io::{self, Write};

use super::City;
use super::employer::{DISTRICTS, Employer};
use super::rng::Rng;
use crate::model::deduction::Category;
use crate::model::identity::resident_check_character;
use crate::model::{Fen, Month};

/// Shares of categories in thousandths.
const CATEGORIES: &[(u32, Category)] = &[
    (840, Category::Active),
    (140, Category::Retired),
    (15, Category::Flexible),
    (5, Category::Unemployed),
];
/// One person in so many has no personal account.
const NO_ACCOUNT_EVERY: i64 = 100;
/// One person in so many has a passport instead of a resident id.
const PASSPORT_EVERY: i64 = 500;
/// Bytes gathered before they are written out.
const CHUNK: usize = 64 * 1024;

/// An insured person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CityPerson {
    /// `psn_no` of the medical core, 20 digits; rises with the person's place.
    pub person_no: String,
    /// `psn_cert_type`: 01 resident id, 08 passport.
    pub certificate_type: &'static str,
    pub certificate_no: String,
    pub category: Category,
    pub account: bool,
    /// Active people only.
    pub employer_no: Option<String>,
    pub district: &'static str,
    /// Own base a month; of retired people last year's own pension a month.
    pub base: Fen,
}

/// Iterator over the people of [`City::people`].
#[derive(Debug, Clone)]
pub struct CityPeople {
    seed: u64,
    employers: u64,
    people: u64,
    /// People made so far.
    made: u64,
    /// The employer at hand, and how many of its heads are still to be made.
    employer: Employer,
    heads: i64,
}

impl City {
    /// So many insured people, in order of their numbers; active ones fill the city's employers in
    /// order of headcount, and begin anew when there are more of them than heads.
    pub fn people(&self, people: u64) -> CityPeople {
        let employer = Employer::of(self.seed, 0);
        CityPeople {
            seed: self.seed,
            employers: self.employers.max(1),
            people,
            made: 0,
            heads: employer.headcount,
            employer,
        }
    }
}

impl CityPeople {
    fn person(&mut self, index: u64) -> CityPerson {
        let mut rng = Rng::of(self.seed, "person", &[index]);
        let category = *rng.weighted(CATEGORIES);
        let account = rng.between(1, NO_ACCOUNT_EVERY) > 1;
        let (employer_no, district, base) = match category {
            Category::Active => {
                let wage = self.head().wage;
                let base = wage + rng.between(-wage / 5, wage / 5);
                (
                    Some(self.employer.employer_no.clone()),
                    self.employer.district,
                    base,
                )
            }
            Category::Retired => (
                None,
                *rng.weighted(DISTRICTS),
                rng.between(180_000, 600_000),
            ),
            Category::Flexible => (
                None,
                *rng.weighted(DISTRICTS),
                rng.between(380_000, 800_000),
            ),
            // The city's roster names no residents.
            Category::Unemployed | Category::Resident => (
                None,
                *rng.weighted(DISTRICTS),
                rng.between(380_000, 420_000),
            ),
        };
        let (certificate_type, certificate_no) = match rng.between(1, PASSPORT_EVERY) {
            1 => ("08", format!("E{index:08}")),
            _ => ("01", resident_id(&mut rng, district, category)),
        };
        let number = self.seed % 1_000 * 1_000_000_000_000 + index;
        CityPerson {
            person_no: format!("4501{number:016}"),
            certificate_type,
            certificate_no,
            category,
            account,
            employer_no,
            district,
            base: Fen(base),
        }
    }

    /// The employer of the next active person.
    fn head(&mut self) -> &Employer {
        while self.heads == 0 {
            let next = (self.employer.index + 1) % self.employers;
            self.employer = Employer::of(self.seed, next);
            self.heads = self.employer.headcount;
        }
        self.heads -= 1;
        &self.employer
    }

    /// Writes the people not yet made as lines of a roster that hold from a month on; returns how many.
    /// Fails only when `out` does.
    pub fn write_roster(self, from_month: Month, out: &mut dyn Write) -> io::Result<u64> {
        let (mut chunk, mut lines) = (Vec::with_capacity(CHUNK + 512), 0);
        for person in self {
            person.write(from_month, &mut chunk)?;
            lines += 1;
            if chunk.len() >= CHUNK {
                out.write_all(&chunk)?;
                chunk.clear();
            }
        }
        out.write_all(&chunk)?;
        out.flush()?;
        Ok(lines)
    }
}

impl Iterator for CityPeople {
    type Item = CityPerson;

    fn next(&mut self) -> Option<CityPerson> {
        if self.made >= self.people {
            return None;
        }
        self.made += 1;
        Some(self.person(self.made - 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = usize::try_from(self.people - self.made).ok();
        (rest.unwrap_or(usize::MAX), rest)
    }
}

impl CityPerson {
    /// Writes the person as one line of a roster that holds from a month on.
    pub fn write(&self, from_month: Month, out: &mut dyn Write) -> io::Result<()> {
        let CityPerson {
            person_no,
            certificate_type,
            certificate_no,
            district,
            base,
            ..
        } = self;
        let kind = match self.category {
            Category::Active => "11",
            Category::Retired => "12",
            Category::Flexible => "1103",
            Category::Unemployed => "1170",
            Category::Resident => "14",
        };
        let account = if self.account { 1 } else { 2 };
        write!(
            out,
            "{{\"psn_no\":\"{person_no}\",\"psn_cert_type\":\"{certificate_type}\",\"certno\":\"{certificate_no}\",\"psn_type\":\"{kind}\",\"acct_type\":\"{account}\""
        )?;
        if let Some(employer_no) = &self.employer_no {
            write!(out, ",\"emp_no\":\"{employer_no}\"")?;
        }
        writeln!(
            out,
            ",\"admdvs\":\"{district}\",\"clct_base\":{base},\"begnym\":\"{}\"}}",
            from_month.number()
        )
    }
}

/// A resident id of somebody of a fitting age, born in the district.
fn resident_id(rng: &mut Rng, district: &str, category: Category) -> String {
    let (youngest, oldest) = if category == Category::Retired {
        (1_935, 1_965)
    } else {
        (1_965, 2_000)
    };
    let (year, month, day) = (
        rng.between(youngest, oldest),
        rng.between(1, 12),
        rng.between(1, 28),
    );
    let first = format!(
        "{district}{year}{month:02}{day:02}{:03}",
        rng.between(1, 999)
    );
    let check = resident_check_character(first.as_bytes()).expect("seventeen digits");
    format!("{first}{}", char::from(check))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::model::identity::resident_id_is_valid;

    #[test]
    fn people_are_the_same_every_time_and_their_numbers_rise() {
        let people: Vec<CityPerson> = City::new(7, 100).people(2_000).collect();
        assert_eq!(people, City::new(7, 100).people(2_000).collect::<Vec<_>>());
        assert!(people.is_sorted_by(|a, b| a.person_no < b.person_no));
        assert_ne!(
            people[0],
            City::new(8, 100).people(1).next().expect("a person")
        );
    }

    #[test]
    fn shares_districts_and_certificates_are_those_of_a_city() {
        const PEOPLE: u64 = 20_000;
        let mut categories: HashMap<&str, u64> = HashMap::new();
        let (mut without, mut passports, mut districts) = (0, 0, Vec::new());
        for person in City::new(1, 800).people(PEOPLE) {
            *categories.entry(person.category.word()).or_default() += 1;
            without += u64::from(!person.account);
            passports += u64::from(person.certificate_type == "08");
            assert!(
                person.certificate_type == "08" || resident_id_is_valid(&person.certificate_no),
                "{}",
                person.certificate_no
            );
            assert_eq!(
                person.employer_no.is_some(),
                person.category == Category::Active
            );
            assert!(person.base > Fen::ZERO);
            districts.push(person.district);
        }
        districts.sort_unstable();
        districts.dedup();
        assert_eq!(districts.len(), 12);
        for (word, percent) in [
            ("active", 84.0),
            ("retired", 14.0),
            ("flexible", 1.5),
            ("unemployed", 0.5),
        ] {
            let found = categories[word] as f64 / PEOPLE as f64 * 100.0;
            assert!((found - percent).abs() < 1.0, "{word}: {found} %");
        }
        assert!(
            (100..400).contains(&without) && (10..100).contains(&passports),
            "{without} without account, {passports} passports"
        );
    }

    #[test]
    fn active_people_fill_employers_by_headcount() {
        let city = City::new(3, 50);
        let heads: i64 = city.employers().map(|employer| employer.headcount).sum();
        let mut filled: HashMap<String, i64> = HashMap::new();
        let active = city
            .people(u64::MAX)
            .filter_map(|person| person.employer_no)
            .take(usize::try_from(heads).expect("a few"));
        active.for_each(|employer_no| *filled.entry(employer_no).or_default() += 1);
        assert!(
            city.employers()
                .all(|employer| filled[&employer.employer_no] == employer.headcount)
        );
    }

    #[test]
    fn a_roster_has_a_line_of_json_for_everybody() {
        let (mut roster, october) = (
            Vec::new(),
            Month::new(2021, 10).expect("a month of the range"),
        );
        assert_eq!(
            City::new(5, 20)
                .people(300)
                .write_roster(october, &mut roster)
                .expect("a vector takes everything"),
            300
        );
        let lines: Vec<serde_json::Value> = roster
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        assert_eq!(lines.len(), 300);
        assert!(lines.iter().all(|line| line["begnym"] == "202110"
            && line["admdvs"].is_string()
            && line["clct_base"].is_number()));
    }
}
