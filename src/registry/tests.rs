//! Each rule on both sides of its boundary, with the shipped rules of Nanning.

use std::collections::HashMap;
use std::path::Path;

use jiff::civil::{Date, date};
use serde_json::{Value, json};

use super::*;
use crate::model::registry::{Caregiver, Deletion, Institution};

const TODAY: Date = date(2026, 6, 15);

fn rules() -> RegistryRules {
    RegistryRules::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules"))
        .expect("the shipped rules load")
}

fn institution() -> Value {
    json!({
        "institution_id": "I1", "version": 1, "uscc": "91350100M000100Y43", "name": "康宁护理院", "division": "450103", "kind": "medical",
        "modes": ["residential"], "licence": { "number": "PDY1", "expires_on": "2027-01-01" }, "beds": 100, "care_beds": 40,
        "agreement": { "number": "A1", "signed_on": "2025-12-20", "valid_from": "2026-01-01", "valid_to": "2026-12-31" },
        "statuses": [{ "status": "agreement_in_force", "from": "2026-01-01" }],
        "medical_insurance_designated": true, "registered_on": "2025-12-20", "personal": {}
    })
}

/// 1961-06-15, so 65 years old today; the certificate is a passport, so that birth dates can be changed.
fn caregiver() -> Value {
    json!({
        "caregiver_id": "C1", "version": 1, "sex": "female", "kind": "social", "institution_id": "I1", "job": "caregiver",
        "health_statement_on": "2026-01-10", "contract": { "from": "2024-01-01" },
        "training": [{ "year": 2025, "hours": 20 }, { "year": 2026, "hours": 20 }],
        "statuses": [{ "status": "active", "from": "2024-01-01" }], "registered_on": "2024-01-01",
        "personal": { "name": "张秀英", "certificate_type": "passport", "certificate_number": "E12345678", "birth_on": "1961-06-15" }
    })
}

fn known() -> HashMap<String, KnownInstitution> {
    let entry = |designated| KnownInstitution {
        designated,
        registered: true,
        division: "450103".into(),
    };
    HashMap::from([
        ("I1".to_string(), entry(true)),
        ("I2".to_string(), entry(false)),
    ])
}

fn change(mut record: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').expect("a path");
        let parent = record
            .pointer_mut(parent)
            .expect("the parent")
            .as_object_mut()
            .expect("an object");
        if value.is_null() {
            parent.remove(key)
        } else {
            parent.insert(key.to_string(), value.clone())
        };
    }
    record
}

fn words(findings: &[RuleFinding]) -> Vec<String> {
    findings
        .iter()
        .map(|finding| format!("{} {} {:?}", finding.rule, finding.field, finding.severity))
        .collect()
}

fn of_institution(changes: &[(&str, Value)], on: Date) -> Vec<String> {
    let record: Institution =
        serde_json::from_value(change(institution(), changes)).expect("a record");
    words(&rules().check_institution(&record, on))
}

fn of_caregiver(changes: &[(&str, Value)], on: Date) -> Vec<String> {
    let record: Caregiver = serde_json::from_value(change(caregiver(), changes)).expect("a record");
    words(&rules().check_caregiver(&record, on, &known()))
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn records_as_they_should_be_give_no_findings() {
    assert_eq!(of_institution(&[], TODAY), nothing());
    assert_eq!(of_caregiver(&[], TODAY), nothing());
}

#[test]
fn a_credit_code_of_the_wrong_form_is_refused_and_one_with_a_wrong_check_character_only_warned_of()
{
    assert_eq!(
        of_institution(&[("/uscc", json!("91350100M000100Y44"))], TODAY),
        ["uscc_check_character uscc Warning"]
    );
    for wrong in [
        "91350100M000100Y4",
        "91350100m000100y43",
        "91350100I000100Y43",
    ] {
        assert_eq!(
            of_institution(&[("/uscc", json!(wrong))], TODAY),
            ["uscc_form uscc Refusal"],
            "{wrong}"
        );
    }
}

#[test]
fn a_division_of_another_city_is_refused() {
    assert_eq!(
        of_institution(&[("/division", json!("450199"))], TODAY),
        nothing()
    );
    assert_eq!(
        of_institution(&[("/division", json!("450201"))], TODAY),
        ["division division Refusal"]
    );
}

#[test]
fn each_kind_of_institution_gives_care_only_in_its_modes() {
    let home_care = [("/kind", json!("home_care")), ("/licence", Value::Null)];
    let with = |modes: Value| {
        of_institution(
            &[
                home_care[0].clone(),
                home_care[1].clone(),
                ("/modes", modes),
            ],
            TODAY,
        )
    };
    assert_eq!(with(json!(["home", "community"])), nothing());
    assert_eq!(
        with(json!(["home", "residential"])),
        ["modes modes Refusal"]
    );
    assert_eq!(with(json!([])), ["modes modes Refusal"]);
    assert_eq!(
        of_institution(
            &[("/kind", json!("assessment")), ("/modes", json!([]))],
            TODAY
        ),
        nothing()
    );
}

#[test]
fn a_medical_institution_needs_a_licence_until_its_last_day_included() {
    assert_eq!(
        of_institution(&[("/licence/expires_on", json!("2026-06-15"))], TODAY),
        nothing()
    );
    assert_eq!(
        of_institution(&[("/licence/expires_on", json!("2026-06-14"))], TODAY),
        ["licence licence.expires_on Refusal"]
    );
    assert_eq!(
        of_institution(&[("/licence", Value::Null)], TODAY),
        ["licence licence Refusal"]
    );
    assert_eq!(
        of_institution(
            &[("/licence", Value::Null), ("/kind", json!("elderly_care"))],
            TODAY
        ),
        nothing()
    );
}

#[test]
fn beds_for_long_term_care_are_among_all_beds() {
    assert_eq!(
        of_institution(&[("/care_beds", json!(100))], TODAY),
        nothing()
    );
    assert_eq!(
        of_institution(&[("/care_beds", json!(101))], TODAY),
        ["beds care_beds Refusal"]
    );
}

#[test]
fn an_agreement_is_signed_by_its_first_day_and_covers_today_where_the_status_says_so() {
    assert_eq!(
        of_institution(&[("/agreement/signed_on", json!("2026-01-01"))], TODAY),
        nothing()
    );
    assert_eq!(
        of_institution(&[("/agreement/signed_on", json!("2026-01-02"))], TODAY),
        ["agreement_dates agreement.signed_on Refusal"]
    );
    assert_eq!(
        of_institution(&[("/agreement/valid_to", json!("2025-12-31"))], TODAY),
        ["agreement_dates agreement.valid_to Refusal"]
    );
    assert_eq!(
        of_institution(&[("/agreement/valid_to", json!("2026-06-15"))], TODAY),
        nothing()
    );
    assert_eq!(
        of_institution(&[("/agreement/valid_to", json!("2026-06-14"))], TODAY),
        ["agreement_dates agreement.valid_to Refusal"]
    );
    assert_eq!(
        of_institution(&[("/agreement", Value::Null)], TODAY),
        ["agreement_dates agreement Refusal"]
    );
    assert_eq!(
        of_institution(&[("/agreement", Value::Null)], date(2025, 12, 31)),
        nothing(),
        "no status yet"
    );
}

#[test]
fn a_caregiver_may_be_65_until_the_day_before_the_66th_birthday() {
    assert_eq!(
        of_caregiver(&[("/personal/birth_on", json!("1960-06-16"))], TODAY),
        nothing()
    );
    assert_eq!(
        of_caregiver(&[("/personal/birth_on", json!("1960-06-15"))], TODAY),
        ["age personal.birth_on Refusal"]
    );
    assert_eq!(
        of_caregiver(&[("/personal/birth_on", json!("2026-06-16"))], TODAY),
        ["age personal.birth_on Refusal"]
    );
}

#[test]
fn a_resident_id_fits_its_check_character_the_birth_date_and_the_sex() {
    let with = |number: &str, birth: &str, sex: &str| {
        let changes = [
            ("/personal/certificate_type", json!("resident_id")),
            ("/personal/certificate_number", json!(number)),
            ("/personal/birth_on", json!(birth)),
            ("/sex", json!(sex)),
            (
                "/statuses",
                json!([{ "status": "left", "from": "2020-01-01" }]),
            ),
        ];
        of_caregiver(&changes, TODAY)
    };
    // The standard's own example: a woman born on 1949-12-31.
    assert_eq!(
        with("11010519491231002X", "1949-12-31", "female"),
        nothing()
    );
    assert_eq!(
        with("110105194912310021", "1949-12-31", "female"),
        ["certificate personal.certificate_number Refusal"]
    );
    assert_eq!(
        with("11010519491231002X", "1949-12-30", "female"),
        ["certificate personal.birth_on Refusal"]
    );
    assert_eq!(
        with("11010519491231002X", "1949-12-31", "male"),
        ["certificate sex Refusal"]
    );
}

#[test]
fn an_exclusive_caregiver_has_exactly_one_recipient_and_a_social_one_none() {
    for (kind, recipients, expected) in [
        ("exclusive", json!(["P1"]), nothing()),
        (
            "exclusive",
            json!([]),
            vec!["recipient personal.recipients Refusal".to_string()],
        ),
        (
            "exclusive",
            json!(["P1", "P2"]),
            vec!["recipient personal.recipients Refusal".to_string()],
        ),
        ("social", json!([]), nothing()),
        (
            "social",
            json!(["P1"]),
            vec!["recipient personal.recipients Refusal".to_string()],
        ),
    ] {
        assert_eq!(
            of_caregiver(
                &[("/kind", json!(kind)), ("/personal/recipients", recipients)],
                TODAY
            ),
            expected,
            "{kind}"
        );
    }
}

#[test]
fn a_caregiver_belongs_to_an_institution_that_is_registered_and_designated() {
    assert_eq!(
        of_caregiver(&[("/institution_id", json!("I2"))], TODAY),
        ["institution_designated institution_id Refusal"]
    );
    assert_eq!(
        of_caregiver(&[("/institution_id", json!("I3"))], TODAY),
        ["institution_known institution_id Refusal"]
    );
    let left = json!([{ "status": "left", "from": "2026-06-15" }]);
    assert_eq!(
        of_caregiver(
            &[("/institution_id", json!("I2")), ("/statuses", left)],
            TODAY
        ),
        nothing(),
        "whoever has left may belong to it"
    );
}

#[test]
fn twenty_hours_of_training_are_due_in_a_whole_year_and_a_warning_until_it_ends() {
    let hours = |of_2025: u16, of_2026: u16| json!([{ "year": 2024, "hours": 20 }, { "year": 2025, "hours": of_2025 }, { "year": 2026, "hours": of_2026 }]);
    let with = |of_2025, of_2026, on| {
        of_caregiver(
            &[
                ("/training", hours(of_2025, of_2026)),
                ("/personal/birth_on", json!("1980-01-01")),
            ],
            on,
        )
    };
    assert_eq!(with(20, 20, TODAY), nothing());
    assert_eq!(with(20, 19, TODAY), ["training training Warning"]);
    assert_eq!(with(19, 20, TODAY), ["training training Refusal"]);
    assert_eq!(
        with(20, 19, date(2026, 12, 31)),
        ["training training Warning"]
    );
    assert!(with(20, 19, date(2027, 1, 1)).contains(&"training training Refusal".to_string()));
    let joined_during_the_year = [
        ("/contract/from", json!("2025-01-02")),
        ("/training", json!([{ "year": 2026, "hours": 20 }])),
    ];
    assert_eq!(of_caregiver(&joined_during_the_year, TODAY), nothing());
}

#[test]
fn a_health_statement_is_good_for_twelve_months() {
    assert_eq!(
        of_caregiver(&[("/health_statement_on", json!("2025-06-15"))], TODAY),
        nothing()
    );
    assert_eq!(
        of_caregiver(&[("/health_statement_on", json!("2025-06-14"))], TODAY),
        ["health_statement health_statement_on Refusal"]
    );
    assert_eq!(
        of_caregiver(&[("/health_statement_on", json!("2026-06-16"))], TODAY),
        ["health_statement health_statement_on Refusal"]
    );
    assert_eq!(
        of_caregiver(&[("/health_statement_on", Value::Null)], TODAY),
        ["health_statement health_statement_on Refusal"]
    );
}

#[test]
fn who_was_registered_before_a_rule_is_only_warned_for_three_months() {
    let with = |registered: &str, on: Date| {
        let changes = [
            ("/registered_on", json!(registered)),
            ("/health_statement_on", Value::Null),
            ("/training", json!([{ "year": 2021, "hours": 20 }])),
        ];
        of_caregiver(&changes, on)
    };
    assert_eq!(
        with("2021-02-28", date(2021, 5, 31)),
        ["health_statement health_statement_on Warning"]
    );
    assert_eq!(
        with("2021-02-28", date(2021, 6, 1)),
        ["health_statement health_statement_on Refusal"]
    );
    assert_eq!(
        with("2021-03-01", date(2021, 5, 31)),
        ["health_statement health_statement_on Refusal"]
    );
}

#[test]
fn a_rule_is_asked_from_its_first_day() {
    assert_eq!(
        of_institution(
            &[
                ("/care_beds", json!(101)),
                ("/agreement/valid_from", json!("2021-01-01"))
            ],
            date(2021, 2, 28)
        ),
        nothing()
    );
    assert_eq!(
        of_institution(&[("/care_beds", json!(101))], date(2021, 3, 1)),
        ["beds care_beds Refusal"]
    );
}

#[test]
fn a_record_of_the_wrong_form_is_refused_whatever_the_rules() {
    for (path, value, field) in [
        ("/institution_id", json!(""), "institution_id"),
        ("/institution_id", json!("x".repeat(41)), "institution_id"),
        ("/institution_id", json!("I 1"), "institution_id"),
        ("/institution_id", json!("."), "institution_id"),
        ("/institution_id", json!(".."), "institution_id"),
        ("/version", json!(0), "version"),
        ("/version", json!(9_007_199_254_740_992_i64), "version"),
        ("/name", json!(" "), "name"),
        ("/name", json!("两行\n"), "name"),
        ("/name", json!("名".repeat(201)), "name"),
        ("/stars", json!(6), "stars"),
        (
            "/statuses",
            json!([{ "status": "agreement_in_force", "from": "2026-01-01", "to": "2025-12-31" }]),
            "statuses",
        ),
        ("/statuses", json!([]), "statuses"),
        ("/personal", Value::Null, "personal"),
    ] {
        assert!(
            of_institution(&[(path, value)], TODAY).contains(&format!("form {field} Refusal")),
            "{field}"
        );
    }
    assert_eq!(
        of_institution(&[("/institution_id", json!("..."))], TODAY),
        nothing()
    );
    assert_eq!(
        of_institution(&[("/version", json!(9_007_199_254_740_991_i64))], TODAY),
        nothing()
    );
    assert_eq!(
        of_institution(
            &[
                ("/institution_id", json!("x".repeat(40))),
                ("/name", json!("名".repeat(200))),
                ("/stars", json!(5))
            ],
            TODAY
        ),
        nothing()
    );
    let deletion = Deletion {
        id: "I1".into(),
        version: 0,
        reason: String::new(),
        on: TODAY,
    };
    assert_eq!(
        words(&rules().check_deletion(&deletion)),
        ["form version Refusal", "form reason Refusal"]
    );
}

#[test]
fn no_finding_repeats_what_a_record_says_of_a_person() {
    let changes = [
        ("/personal/certificate_type", json!("resident_id")),
        ("/personal/certificate_number", json!("11010519491231002X")),
        ("/personal/phone", json!("13812345678\n")),
        ("/personal/recipients", json!(["李四", "王五"])),
        ("/institution_id", json!("I3")),
    ];
    let record: Caregiver =
        serde_json::from_value(change(caregiver(), &changes)).expect("a record");
    let findings = rules().check_caregiver(&record, TODAY, &known());
    assert!(findings.len() >= 4, "{findings:?}");
    let all = format!("{findings:?} {record:?}");
    for private in [
        "张秀英",
        "11010519491231002X",
        "1949",
        "1961",
        "13812345678",
        "李四",
    ] {
        assert!(!all.contains(private), "{private} in {all}");
    }
}

#[test]
fn mistakes_in_a_rule_file_are_named_with_line_and_column() {
    let head =
        "area = \"450100\"\nname = \"N\"\nsource = \"S\"\ndivisions = [\"450102\"]\n\n[[rule]]\n";
    let read = |rule: &str| {
        rule_file::read("r.toml", &format!("{head}{rule}"))
            .expect_err("a mistake")
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    };
    let found = read("check = \"agee\"\nseverity = \"refusal\"\nfrom = \"2021-03-01\"\n");
    assert!(
        found.starts_with("r.toml:7:9: `agee` is not known here")
            && found.ends_with("(did you mean `age`?)"),
        "{found}"
    );
    assert_eq!(
        read("check = \"age\"\nseverity = \"refusal\"\nfrom = \"2021-03-01\"\n"),
        "r.toml:6:1: age needs `years_max`"
    );
    assert_eq!(
        read("check = \"beds\"\nseverity = \"refusal\"\nfrom = \"2021-03-01\"\nhours_min = 3\n"),
        "r.toml:6:1: beds has no `hours_min`; remove it"
    );
    let twice = "check = \"beds\"\nseverity = \"refusal\"\nfrom = \"2021-03-01\"\nto = \"2022-12-31\"\n\n[[rule]]\ncheck = \"beds\"\nseverity = \"warning\"\nfrom = \"2022-12-31\"\n";
    assert!(
        read(twice).contains("beds is asked twice on 2022-12-31"),
        "{}",
        read(twice)
    );
    assert!(
        rule_file::read(
            "r.toml",
            &format!(
                "{head}{}",
                twice.replace("from = \"2022-12-31\"", "from = \"2023-01-01\"")
            )
        )
        .is_ok()
    );
}
