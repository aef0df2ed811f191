//! The made-up registries have the figures of Nanning and obey its rules.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::date;

use super::*;
use crate::model::identity::{resident_id_is_valid, uscc_is_valid};
use crate::model::registry::EntityKind;
use crate::registry::{KnownInstitution, RegistryRules};

const TODAY: Date = date(2026, 6, 15);

fn rules() -> RegistryRules {
    RegistryRules::load(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules"))
        .expect("the shipped rules")
}

#[test]
fn the_city_has_the_institutions_and_modes_of_nanning() {
    let city = Registries::nanning(1, TODAY);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut modes: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    for index in 0..INSTITUTIONS {
        let record = city.institution(index);
        *kinds.entry(record.kind.word()).or_default() += 1;
        *modes
            .entry(record.modes.iter().map(|mode| mode.word()).collect())
            .or_default() += 1;
    }
    assert_eq!(
        kinds,
        [("medical", 23), ("elderly_care", 35), ("home_care", 29)].into()
    );
    assert_eq!(
        modes,
        [
            (vec!["residential"], 51),
            (vec!["home"], 31),
            (vec!["residential", "home"], 5)
        ]
        .into()
    );
    assert_eq!(
        city.submissions()
            .filter(|one| one.kind() == EntityKind::Caregiver)
            .count() as u64,
        CAREGIVERS
    );
}

#[test]
fn every_entry_obeys_the_shipped_rules_and_has_numbers_that_can_be_right() {
    let (city, rules) = (Registries::nanning(7, TODAY), rules());
    let mut known: std::collections::HashMap<String, KnownInstitution> = Default::default();
    let (mut ids, mut warned) = (BTreeSet::new(), 0);
    for submission in city.submissions() {
        assert!(
            ids.insert((submission.kind(), submission.id().to_string())),
            "{} twice",
            submission.id()
        );
        let findings = match &submission {
            Submission::Institution(record) => {
                assert!(uscc_is_valid(&record.uscc), "{}", record.uscc);
                let designated = record.standing(TODAY).designated;
                known.insert(
                    record.institution_id.clone(),
                    KnownInstitution {
                        designated,
                        registered: true,
                        division: record.division.clone(),
                    },
                );
                rules.check_institution(record, TODAY)
            }
            Submission::Caregiver(record) => {
                assert!(resident_id_is_valid(
                    &record
                        .personal
                        .as_ref()
                        .expect("a person")
                        .certificate_number
                ));
                rules.check_caregiver(record, TODAY, &known)
            }
            _ => panic!("a deletion among what is loaded"),
        };
        let refusals: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity == crate::registry::Severity::Refusal)
            .collect();
        assert!(refusals.is_empty(), "{} {refusals:?}", submission.id());
        warned += usize::from(!findings.is_empty());
    }
    assert!(
        (1..200).contains(&warned),
        "{warned} entries with a warning"
    );
}

#[test]
fn the_same_seed_makes_the_same_registries_and_another_does_not() {
    let all = |seed| {
        Registries::of_size(seed, TODAY, (5, 20))
            .submissions()
            .collect::<Vec<_>>()
    };
    assert_eq!(all(3), all(3));
    assert_ne!(all(3), all(4));
}
