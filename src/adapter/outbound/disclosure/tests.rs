//! What can be named, and that nothing else is told.

use std::collections::BTreeSet;

use super::*;
use crate::model::registry::{Caregiver, Institution};

/// Every field of a full record, `personal.` before those of its personal part.
fn names(record: &Value) -> BTreeSet<String> {
    let of = |value: &Value, prefix: &str| {
        value
            .as_object()
            .unwrap()
            .keys()
            .map(|key| format!("{prefix}{key}"))
            .collect::<Vec<_>>()
    };
    let mut names: BTreeSet<String> = of(record, "")
        .into_iter()
        .chain(of(&record["personal"], "personal."))
        .collect();
    names.remove("personal");
    names.remove("version");
    names
}

fn institution() -> Value {
    json!({
        "institution_id": "I1", "version": 3, "uscc": "91450100MA5K000019", "name": "n", "division": "450103", "address": "a", "kind": "elderly_care",
        "modes": ["residential"], "level": "二级", "stars": 3, "licence": { "number": "L1" }, "beds": 9, "care_beds": 3,
        "agreement": { "number": "A1", "signed_on": "2026-01-01", "valid_from": "2026-01-01", "valid_to": "2027-12-31" },
        "statuses": [{ "status": "agreement_in_force", "from": "2026-01-01" }], "medical_insurance_designated": false, "registered_on": "2026-01-01",
        "personal": { "legal_representative": "张三", "contact": "李四", "phone": "13800000000" },
    })
}

fn caregiver() -> Value {
    json!({
        "caregiver_id": "C1", "version": 3, "sex": "female", "kind": "exclusive", "institution_id": "I1", "job": "nurse",
        "qualifications": [{ "kind": "nurse", "obtained_on": "2020-01-01" }], "health_statement_on": "2026-01-01", "contract": { "from": "2026-01-01" },
        "training": [{ "year": 2026, "hours": 20 }], "statuses": [{ "status": "active", "from": "2026-01-01" }], "registered_on": "2026-01-01",
        "personal": { "name": "王五", "certificate_type": "resident_id", "certificate_number": "11010519491231002X", "birth_on": "1949-12-31",
            "phone": "13800000000", "recipients": ["R1"], "qualification_numbers": { "nurse": "N1" } },
    })
}

#[test]
fn every_field_of_the_canonical_records_can_be_named_and_no_other() {
    let check = |full: Value, id: &str, known: &[&str], derived: &[&str]| {
        let mut expected = names(&full);
        expected.remove(id);
        expected.extend(derived.iter().map(|name| (*name).to_owned()));
        assert_eq!(
            known
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>(),
            expected
        );
    };
    // Reading them as records proves that the fields above are those of the records, all of them.
    let whole: Institution = serde_json::from_value(institution()).unwrap();
    assert_eq!(serde_json::to_value(&whole).unwrap(), institution());
    let whole: Caregiver = serde_json::from_value(caregiver()).unwrap();
    assert_eq!(serde_json::to_value(&whole).unwrap(), caregiver());
    check(
        institution(),
        "institution_id",
        &known(EntityKind::Institution),
        &["status", "designated", "reason", EFFECTIVE_ON],
    );
    check(
        caregiver(),
        "caregiver_id",
        &known(EntityKind::Caregiver),
        &["status", "working", "reason", EFFECTIVE_ON],
    );
}

#[derive(serde::Deserialize)]
struct File {
    entities: Option<Spanned<String>>,
    #[serde(default)]
    only: BTreeMap<Spanned<String>, Spanned<Vec<String>>>,
    purpose: Option<Spanned<String>>,
    fields: Option<Spanned<Vec<Spanned<String>>>>,
}

fn compile(source: &str) -> Result<Option<Disclosure>, Vec<String>> {
    let File {
        entities,
        only,
        purpose,
        fields,
    } = toml::from_str(source).unwrap();
    let mut problems = Vec::new();
    let disclosure = Disclosure::compile(
        DisclosureKeys {
            entities,
            only,
            purpose,
            fields,
        },
        &mut problems,
    );
    if problems.is_empty() {
        Ok(disclosure)
    } else {
        Err(problems.into_iter().map(|(_, text)| text).collect())
    }
}

const PURPOSE: &str = "purpose = \"supervision of elderly care\"";

#[test]
fn mistakes_get_a_place_and_a_suggestion() {
    for (source, expected) in [
        (
            "fields = [\"name\"]".to_owned(),
            "`fields` speaks of registry entries",
        ),
        (
            "entities = \"institutions\"\nfields = []".to_owned(),
            "did you mean `institution`?",
        ),
        (
            "entities = \"caregiver\"\nfields = [\"sex\"]".to_owned(),
            "told for a stated purpose",
        ),
        (
            format!("entities = \"caregiver\"\n{PURPOSE}"),
            "which fields are told must be said",
        ),
        (
            format!("entities = \"caregiver\"\n{PURPOSE}\nfields = [\"name\"]"),
            "`name` is no field of an entry of kind caregiver",
        ),
        (
            format!("entities = \"institution\"\n{PURPOSE}\nfields = [\"divison\"]"),
            "did you mean `division`?",
        ),
        (
            format!("entities = \"institution\"\n{PURPOSE}\nfields = [\"name\", \"name\"]"),
            "named twice",
        ),
        (
            format!(
                "entities = \"institution\"\n{PURPOSE}\nfields = []\nonly = {{ status = [\"ended\"] }}"
            ),
            "`only` cannot ask for `status`",
        ),
        (
            format!(
                "entities = \"institution\"\n{PURPOSE}\nfields = []\nonly = {{ kind = [\"elderly-care\"] }}"
            ),
            "did you mean `elderly_care`?",
        ),
        (
            format!("entities = \"institution\"\n{PURPOSE}\nfields = []\nonly = {{ kind = [] }}"),
            "lets nothing through",
        ),
    ] {
        let problems = compile(&source).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{source}\n{problems:?}"
        );
    }
    assert_eq!(compile("").unwrap(), None);
}

#[test]
fn only_the_fields_named_reach_the_template_and_of_a_removed_entry_none() {
    let disclosure = compile(&format!(
        "entities = \"caregiver\"\n{PURPOSE}\nfields = [\"job\", \"contract\", \"personal.name\"]"
    ))
    .unwrap()
    .unwrap();
    let mut full = caregiver();
    (full["id"], full["revision"], full["contract"]) = (json!("C1"), json!(77), Value::Null);
    let told = disclosure.record(&full);
    let expected = json!({
        "id": "C1", "version": 3, "revision": 77, "removed": false, "removed_on": null, "reason": null,
        "job": "nurse", "contract": null, "personal": { "name": "王五" },
    });
    assert_eq!(told, expected);
    (full["removed"], full["reason"], full["removed_on"]) =
        (json!(true), json!("left"), json!("2026-05-01"));
    let told = disclosure.record(&full);
    assert_eq!(
        (&told["reason"], &told["job"], &told["personal"]["name"]),
        (&json!(ENDED), &Value::Null, &Value::Null)
    );
    // Why, in the source's own words, is told where it is named.
    let disclosure = compile(&format!(
        "entities = \"caregiver\"\n{PURPOSE}\nfields = [\"job\", \"reason\"]"
    ))
    .unwrap()
    .unwrap();
    assert_eq!(disclosure.record(&full)["reason"], json!("left"));
    full["removed"] = json!(false);
    assert_eq!(disclosure.record(&full)["reason"], Value::Null);
    assert!(
        !compile(&format!(
            "entities = \"caregiver\"\n{PURPOSE}\nfields = [\"job\"]"
        ))
        .unwrap()
        .unwrap()
        .needs_personal()
    );
}
