//! The published JSON Schemas say what the gateway takes: same fields, same required ones, same words.

use ltcgw::flow::publish::parse;
use ltcgw::model::registry::{Caregiver, Institution, Submission};
use serde_json::{Value, json};

use crate::support::project;

fn read(name: &str) -> Value {
    let path = project().join("schemas/canonical").join(name);
    serde_json::from_slice(&std::fs::read(&path).expect("the file"))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Walks a schema beside a sample that has every field, and holds the reader to it.
fn hold(schema: &Value, at: &str, sample: &Value, reads: &dyn Fn(&Value) -> bool) -> usize {
    let here = sample
        .pointer(at)
        .unwrap_or_else(|| panic!("the sample lacks {at}"));
    let try_with = |value: Value| {
        let mut changed = sample.clone();
        *changed.pointer_mut(at).expect("it is there") = value;
        reads(&changed)
    };
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        for word in words {
            assert!(
                try_with(word.clone()),
                "{at}: {word} is in the schema but not taken"
            );
        }
        assert!(!try_with(json!("no such word")), "{at}");
        return 1;
    }
    match schema["type"].as_str() {
        Some("object") => hold_object(schema, at, sample, reads),
        Some("array") => {
            assert!(
                !here.as_array().expect("an array").is_empty(),
                "{at} is empty in the sample"
            );
            1 + hold(&schema["items"], &format!("{at}/0"), sample, reads)
        }
        Some("string") if schema["format"] == "date" => {
            assert!(
                !try_with(json!("2026-02-30")) && !try_with(json!("someday")),
                "{at} takes what is no date"
            );
            1
        }
        Some("string") => {
            assert!(!try_with(json!(7)), "{at} takes a number");
            1
        }
        Some("integer") => {
            let max = schema["maximum"]
                .as_u64()
                .unwrap_or_else(|| panic!("{at} has no maximum"));
            assert!(!try_with(json!("7")), "{at} takes text");
            assert!(
                try_with(json!(max)),
                "{at}: {max} is in the schema but not taken"
            );
            1
        }
        Some("boolean") => {
            assert!(!try_with(json!("true")), "{at} takes text");
            1
        }
        other => panic!("{at}: {other:?}"),
    }
}

fn hold_object(schema: &Value, at: &str, sample: &Value, reads: &dyn Fn(&Value) -> bool) -> usize {
    assert_eq!(schema["additionalProperties"], false, "{at}");
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut held = 1;
    for (name, of) in schema["properties"].as_object().expect("properties") {
        let field = format!("{at}/{name}");
        if sample.pointer(&field).is_none() {
            // Only the numbers of qualifications the sample's person does not have.
            assert_eq!(
                at, "/personal/qualification_numbers",
                "the sample lacks {field}"
            );
            continue;
        }
        let mut without = sample.clone();
        without
            .pointer_mut(at)
            .and_then(Value::as_object_mut)
            .expect("an object")
            .remove(name);
        // `personal` is required by the rules, not by the reader: stored records are read without it.
        if field != "/personal" {
            assert_eq!(
                !reads(&without),
                required.contains(&name.as_str()),
                "{field}: required in the schema or by the reader only"
            );
        }
        held += hold(of, &field, sample, reads);
    }
    let mut more = sample.clone();
    more.pointer_mut(at)
        .and_then(Value::as_object_mut)
        .expect("an object")
        .insert("no_such_field".into(), json!(1));
    assert!(!reads(&more), "{at} takes unknown fields");
    held
}

#[test]
fn the_schema_of_institutions_is_what_the_reader_takes() {
    let (schema, sample) = (
        read("institution.schema.json"),
        read("samples/institution.json"),
    );
    let reads = |value: &Value| parse::<Institution>(value.to_string().as_bytes()).is_ok();
    assert!(reads(&sample));
    assert!(hold(&schema, "", &sample, &reads) > 25);
    let back: Value = serde_json::to_value(
        parse::<Institution>(sample.to_string().as_bytes()).expect("a record"),
    )
    .expect("JSON");
    assert_eq!(back, sample, "nothing is lost on the way");
}

#[test]
fn the_schema_of_caregivers_is_what_the_reader_takes() {
    let (schema, sample) = (
        read("caregiver.schema.json"),
        read("samples/caregiver.json"),
    );
    let reads = |value: &Value| parse::<Caregiver>(value.to_string().as_bytes()).is_ok();
    assert!(reads(&sample));
    assert!(hold(&schema, "", &sample, &reads) > 25);
    let back: Value =
        serde_json::to_value(parse::<Caregiver>(sample.to_string().as_bytes()).expect("a record"))
            .expect("JSON");
    assert_eq!(back, sample, "nothing is lost on the way");
}

#[test]
fn the_schema_of_a_line_is_what_the_reader_takes() {
    let schema = read("registry-line.schema.json");
    let deletion = json!({ "id": "C1", "version": 1, "reason": "left", "on": "2026-01-01" });
    for name in schema["properties"].as_object().expect("properties").keys() {
        let record = match name.as_str() {
            "institution" => read("samples/institution.json"),
            "caregiver" => read("samples/caregiver.json"),
            _ => deletion.clone(),
        };
        parse::<Submission>(json!({ name.as_str(): record }).to_string().as_bytes())
            .unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
    }
    let reads = |value: &Value| {
        parse::<Submission>(json!({ "delete_caregiver": value }).to_string().as_bytes()).is_ok()
    };
    hold(&schema["$defs"]["deletion"], "", &deletion, &reads);
}
