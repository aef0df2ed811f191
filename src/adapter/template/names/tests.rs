//! Names in templates, right and wrong.

use serde_json::json;

use super::*;

fn found(source: &str) -> Vec<String> {
    let samples = [
        json!({ "delivery": { "id": 1, "reverses": null }, "lines": [{ "no": "1", "fen": 5 }], "counts": [] }),
        json!({ "delivery": { "id": 2, "month": 202_110 }, "lines": [{ "no": "2", "employer": { "name": "x" } }] }),
    ];
    let given = SampleVariables::of("contributions", samples, &["settings", "at"]);
    check(source, &given)
        .into_iter()
        .map(|(at, text)| format!("{at}: {text}"))
        .collect()
}

#[test]
fn names_of_any_sample_filters_tests_and_words_of_the_language_are_known() {
    for source in [
        "{{ delivery.id }} {{- delivery.month|month(\"%Y\") -}} {# nobody #}",
        "{% for line in lines %}{{ line.no ~ \"x.y|z\" }}{{ line.employer.name }}{% if not loop.last %},{% endif %}{% endfor %}",
        "{{ settings.anything }} {{ at|date }} {{ delivery.reverses.id }} {{ lines|length }}",
        "{% if delivery.month is defined and delivery.month is not none %}{{ 1 if delivery.id == 2 else 0 }}{% endif %}",
        "{% for line in lines if line.no == \"1\" %}{{ line.fen }}{% endfor %}",
        "{% set first = delivery.id %}{{ first }}{% for x in lines|default([], null=true) %}{{ x.whatever }}{% endfor %}",
    ] {
        assert_eq!(found(source), [""; 0], "{source}");
    }
}

#[test]
fn a_name_that_is_nowhere_is_found_with_its_place_and_the_nearest_there_is() {
    for (source, expected) in [
        (
            "{{ dlivery.id }}",
            "3: `dlivery` is in no sample of `contributions`; the template has at, counts, delivery, lines, settings (did you mean `delivery`?)",
        ),
        (
            "{{ delivery.idd }}",
            "3: `delivery.idd` is in no sample of `contributions`; `delivery` has id, month, reverses (did you mean `id`?)",
        ),
        (
            "{% for line in lines %}{{ line.employer.nam|text }}{% endfor %}",
            "26: `line.employer.nam` is in no sample of `contributions`; `line.employer` has name (did you mean `name`?)",
        ),
        (
            "{% for line in linez %}{{ line.x }}{% endfor %}",
            "15: `linez` is in no sample",
        ),
        (
            "{{ delivery.id|yuan_nummber }}",
            "15: there is no filter `yuan_nummber`; there are yuan, yuan_number,",
        ),
        (
            "{{ 1 if delivery.id is undefned else 2 }}",
            "23: there is no test `undefned`; there are defined, none",
        ),
    ] {
        let found = found(source);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{source}: {found:?}"
        );
    }
    assert_eq!(
        found("{{ line.no }}").len(),
        1,
        "the variable of a loop ends with it"
    );
}

#[test]
fn without_a_sample_only_filters_and_tests_are_looked_at() {
    let given = SampleVariables::of("contributions", [], &[]);
    assert_eq!(check("{{ anything.at.all }}", &given), []);
    assert_eq!(check("{{ anything|yaun }}", &given).len(), 1);
}
