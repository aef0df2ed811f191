//! The samples against schemas/partners/<system>/<message>.schema.json.
//!
//! A small validator of the keywords those schemas use; an unknown keyword fails the test, so none
//! is silently ignored.

use std::collections::BTreeMap;

use serde_json::{Value, json};

struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    fn of(system: &str) -> Schemas {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("schemas/partners")
            .join(system);
        let entries = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        Schemas(
            entries
                .map(|path| {
                    (
                        path.file_name().unwrap().to_string_lossy().into_owned(),
                        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
                    )
                })
                .collect(),
        )
    }

    /// Every violation of `schema`, part of the file `file`, by `value` at `place`.
    fn violations(&self, file: &str, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut wrong = |keyword: &str| found.push(format!("{place}: {keyword}"));
        let characters = value.as_str().map(|text| text.chars().count() as u64);
        let mut deeper: Vec<(String, Value, Value, String)> = Vec::new();
        for (keyword, rule) in schema.as_object().unwrap() {
            let holds = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" => true,
                "type" => rule.as_array().map_or_else(
                    || is(value, rule),
                    |types| types.iter().any(|one| is(value, one)),
                ),
                "const" => value == rule,
                "enum" => rule.as_array().unwrap().contains(value),
                "minLength" => characters.is_none_or(|count| count >= rule.as_u64().unwrap()),
                "maxLength" => characters.is_none_or(|count| count <= rule.as_u64().unwrap()),
                "minimum" => value
                    .as_f64()
                    .is_none_or(|number| number >= rule.as_f64().unwrap()),
                "minItems" => value
                    .as_array()
                    .is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
                "pattern" => {
                    rule == r"^-?[0-9]+\.[0-9]{2}$"
                        && value.as_str().is_none_or(|text| {
                            crate::model::Fen::parse_yuan(text)
                                .is_ok_and(|fen| fen.to_string() == text)
                        })
                }
                "required" => {
                    !value.is_object()
                        || rule
                            .as_array()
                            .unwrap()
                            .iter()
                            .all(|name| value.get(name.as_str().unwrap()).is_some())
                }
                "additionalProperties" => value.as_object().is_none_or(|object| {
                    object
                        .keys()
                        .all(|name| schema["properties"].get(name).is_some())
                }),
                "properties" => {
                    for (name, part) in rule.as_object().unwrap() {
                        deeper.extend(value.get(name).map(|inner| {
                            (
                                file.to_owned(),
                                part.clone(),
                                inner.clone(),
                                format!("{place}/{name}"),
                            )
                        }));
                    }
                    true
                }
                "items" => {
                    deeper.extend(value.as_array().unwrap().iter().enumerate().map(
                        |(at, item)| {
                            (
                                file.to_owned(),
                                rule.clone(),
                                item.clone(),
                                format!("{place}/{at}"),
                            )
                        },
                    ));
                    true
                }
                "allOf" => {
                    deeper.extend(rule.as_array().unwrap().iter().map(|part| {
                        (
                            file.to_owned(),
                            part.clone(),
                            value.clone(),
                            place.to_owned(),
                        )
                    }));
                    true
                }
                "$ref" => {
                    let (target, pointer) = rule
                        .as_str()
                        .unwrap()
                        .split_once('#')
                        .unwrap_or((rule.as_str().unwrap(), ""));
                    let target = if target.is_empty() { file } else { target };
                    let part = self.0[target]
                        .pointer(pointer)
                        .expect("a $ref points at something")
                        .clone();
                    deeper.push((target.to_owned(), part, value.clone(), place.to_owned()));
                    true
                }
                _ => false,
            };
            if !holds {
                wrong(keyword);
            }
        }
        found.extend(deeper.into_iter().flat_map(|(file, schema, value, place)| {
            self.violations(&file, &schema, &value, &place)
        }));
        found
    }
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

#[test]
fn what_we_send_is_what_the_schemas_say() {
    for (system, message, names) in [
        (
            "medical-core",
            "contributions",
            &["ordinary", "reversal", "revocation", "required-only"][..],
        ),
        ("medical-core", "contributions_inquiry", &["ordinary"]),
        ("medical-core", "deductions", &["ordinary", "one-person"]),
        ("medical-core", "deductions_inquiry", &["ordinary"]),
        (
            "ltc-system",
            "contributions",
            &["ordinary", "reversal", "revocation", "required-only"],
        ),
        ("ltc-system", "deduction_results", &["ordinary", "made-up"]),
    ] {
        let (schemas, file) = (Schemas::of(system), format!("{message}.schema.json"));
        for name in names {
            let sent = super::sample(system, &format!("{message}/{name}.expected.json"));
            assert_eq!(
                schemas.violations(&file, &schemas.0[&file], &sent, ""),
                [""; 0],
                "{system} {message} {name}"
            );
        }
    }
}

#[test]
fn the_validator_sees_violations() {
    let schemas = Schemas::of("medical-core");
    let file = "contributions.schema.json";
    let mut sent = super::sample("medical-core", "contributions/ordinary.expected.json");
    sent["msgid"] = json!("short");
    sent["input"]["lines"][0]["rvs_flag"] = json!("+");
    sent["input"]["extra"] = json!(1);
    let violations = schemas.violations(file, &schemas.0[file], &sent, "");
    assert_eq!(
        violations,
        [
            "/msgid: minLength",
            "/input: additionalProperties",
            "/input/lines/0/rvs_flag: enum"
        ]
    );
}
