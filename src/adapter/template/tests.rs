//! What templates promise: values never change the structure, and faults never hold a value.

use minijinja::value::Serde;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn render(name: &str, source: &str, context: serde_json::Value) -> Result<String, Fault> {
    let codes = BTreeMap::from([(
        "kind".to_owned(),
        BTreeMap::from([("normal".to_owned(), "10".to_owned())]),
    )]);
    let mut templates = Templates::new(codes);
    templates
        .add(name, source.to_owned())
        .map_err(|problem| Fault::operator(Stage::Config, problem.text))?;
    templates.render(name, Value::from(Serde(&context)))
}

fn filtered(expression: &str, value: serde_json::Value) -> Result<String, String> {
    render(
        "t.json",
        &format!("{{{{ x|{expression} }}}}"),
        json!({ "x": value }),
    )
    .map_err(|fault| fault.text)
}

#[test]
fn filters_write_money_rates_months_dates_and_codes() {
    for (expression, value, expected) in [
        ("yuan", json!(1234), "\"12.34\""),
        ("yuan", json!(-5), "\"-0.05\""),
        ("yuan_number", json!(1230), "12.30"),
        ("rate", json!(69_500), "\"0.0695\""),
        ("rate", json!(-1_000_000), "\"-1\""),
        ("rate_number", json!(0), "0"),
        ("month", json!("202110"), "\"202110\""),
        ("month('%Y-%m')", json!(202_110), "\"2021-10\""),
        ("date", json!("2021-10-20"), "\"2021-10-20\""),
        (
            "date('%Y%m%d%H%M%S')",
            json!("2021-10-31T16:00:01Z"),
            "\"20211101000001\"",
        ),
        ("code('kind')", json!("normal"), "\"10\""),
        ("text", json!(7), "\"7\""),
        ("length", json!([1, 2]), "2"),
        (
            "total('fen')|yuan",
            json!([{"fen": 5}, {"fen": -105}]),
            "\"-1.00\"",
        ),
        ("default('-', null=true)", json!(null), "\"-\""),
        ("default('-')", json!(null), "null"),
    ] {
        assert_eq!(
            filtered(expression, value),
            Ok(expected.to_owned()),
            "{expression}"
        );
    }
}

#[test]
fn a_filter_that_cannot_say_the_value_exactly_refuses_without_showing_it() {
    for (expression, value) in [
        ("yuan", json!("secret-5eC7")),
        ("yuan", json!(12.5)),
        ("yuan", json!(null)),
        ("month", json!("secret-5eC7")),
        ("date", json!("secret-5eC7")),
        ("date('%!')", json!("2021-10-20")),
        ("code('kind')", json!("secret-5eC7")),
        ("code('kinds')", json!("normal")),
        ("total('fen')", json!([{"fen": "secret-5eC7"}])),
        ("total('fen')", json!([{"fen": i64::MAX}, {"fen": 1}])),
        ("total('fen')", json!([{"secret-5eC7": 1}])),
        ("text", json!({"secret-5eC7": 1})),
    ] {
        let text = filtered(expression, value).unwrap_err();
        assert!(
            text.starts_with("template t.json, line 1: ") && !text.contains("5eC7"),
            "{expression}: {text}"
        );
    }
}

#[test]
fn faults_of_the_engine_itself_hold_no_value() {
    let context = json!({ "x": "secret-5eC7", "m": {"secret-5eC7": 1}, "n": 5 });
    for source in [
        "{{ x + n }}",
        "{{ x.y }}",
        "{{ y }}",
        "{{ x() }}",
        "{{ x.secret() }}",
        "{{ m + x }}",
        "{% for a in n %}{% endfor %}",
        "{{ x * x }}",
        "{{ -x }}",
        "{{ x[m] }}",
        "{{ n // 0 }}",
    ] {
        let text = render("t.json", source, context.clone()).unwrap_err().text;
        assert!(
            text.starts_with("template t.json") && !text.contains("5eC7"),
            "{source}: {text}"
        );
    }
}

#[test]
fn undefined_values_endless_work_and_unknown_filters_are_refused() {
    assert!(
        render("t.xml", "<a>{{ missing }}</a>", json!({}))
            .unwrap_err()
            .text
            .contains("undefined")
    );
    assert!(
        render("t.json", "{{ missing.deeper }}", json!({}))
            .unwrap_err()
            .text
            .contains("undefined")
    );
    let many: Vec<u32> = (0..4000).collect();
    let endless =
        "[{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}]";
    assert!(
        render("t.json", endless, json!({ "x": many }))
            .unwrap_err()
            .text
            .contains("too many steps")
    );
    for filter in ["safe", "tojson", "escape", "pprint"] {
        assert!(
            render(
                "t.xml",
                &format!("<a>{{{{ x|{filter} }}}}</a>"),
                json!({ "x": "<b>" })
            )
            .is_err(),
            "{filter}"
        );
    }
    assert!(render("t.txt", "x", json!({})).is_err());
    assert!(render("t.json", "{\n{% if %}", json!({})).is_err());
}

#[test]
fn paths_are_percent_encoded_and_lists_are_not_dumped_into_xml() {
    assert_eq!(
        render(
            "p.path",
            "/a/{{ x }}?y={{ y }}",
            json!({ "x": "../ä b", "y": 1 })
        )
        .unwrap(),
        "/a/..%2F%C3%A4%20b?y=1"
    );
    assert!(
        render("t.xml", "<a>{{ x }}</a>", json!({ "x": [1] }))
            .unwrap_err()
            .text
            .contains("loop over it")
    );
    assert_eq!(
        render(
            "t.xml",
            "<a b=\"{{ n }}\">{{ x }}{{ t }}</a>",
            json!({ "x": null, "n": 5, "t": true })
        )
        .unwrap(),
        "<a b=\"5\">true</a>"
    );
}

#[test]
fn inexact_numbers_are_refused_and_constants_are_escaped_like_values() {
    for source in ["{{ x / 100 }}", "[{{ 0.1 + 0.2 }}]"] {
        assert!(
            render("t.json", source, json!({ "x": 1234 }))
                .unwrap_err()
                .text
                .contains("yuan_number"),
            "{source}"
        );
    }
    assert_eq!(
        render("t.xml", "<a>{{ \"<&\" }}</a>", json!({})).unwrap(),
        "<a>&lt;&amp;</a>"
    );
    assert_eq!(render("t.json", "{{ \"a\" }}", json!({})).unwrap(), "\"a\"");
}

/// Root attribute and text as a parser sees them.
fn xml_values(document: &str) -> (String, String) {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(document);
    let (mut attribute, mut text) = (String::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => {
                attribute = tag
                    .attributes()
                    .next()
                    .unwrap()
                    .unwrap()
                    .normalized_value(quick_xml::XmlVersion::Explicit1_0)
                    .unwrap()
                    .into_owned()
            }
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().unwrap() {
                Some(character) => text.push(character),
                None => {
                    text.push_str(quick_xml::escape::resolve_predefined_entity(&reference).unwrap())
                }
            },
            Event::Eof => return (attribute, text),
            _ => {}
        }
    }
}

/// Strings that try to break out.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "\"", "'", "{{", "}}", "{%", "]]>", "</a>", "<!--", "&", "&#0;", "\\", "\u{0}", "\u{1}",
        "\u{b}", "\r\n", "\t", "\u{7f}", "\u{fffe}", "\u{2028}", "🙂", "中", ",", ":",
    ];
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12)
            .prop_map(|parts| parts.concat())
    ]
}

proptest! {
    #[test]
    fn any_text_in_json_is_read_back_as_it_was(a in hostile(), b in hostile()) {
        let context = json!({ "a": a, "b": {"list": [b.clone()]} });
        let document = render("t.json", "{\"a\": {{ a }}, \"b\": [{% for x in b.list %}{{ x }}{% endfor %}], \"c\": {{ b }}, \"d\": {{ a ~ a }}}", context).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&document).unwrap();
        prop_assert_eq!(parsed, json!({ "a": a, "b": [b], "c": {"list": [b]}, "d": a.clone() + &a }));
    }

    #[test]
    fn any_text_in_xml_is_read_back_with_illegal_characters_replaced(a in hostile(), b in hostile()) {
        let document = render("t.xml", "<?xml version=\"1.0\"?>\n<a b=\"{{ a }}\">{{ b }}</a>", json!({ "a": a, "b": b })).unwrap();
        let legal = |text: &str| text.chars().map(|c| if crate::adapter::xml::is_character(c) { c } else { '\u{fffd}' }).collect::<String>();
        prop_assert_eq!(xml_values(document.split_once('\n').unwrap().1), (legal(&a), legal(&b)));
    }

    #[test]
    fn any_text_in_a_path_stays_one_segment(a in hostile()) {
        let rendered = render("t.path", "/a/{{ a }}/b", json!({ "a": a }));
        prop_assert_eq!(rendered.is_err(), matches!(a.as_str(), "" | "." | ".."));
        let path = rendered.unwrap_or_else(|_| "/a/refused/b".into());
        prop_assert_eq!(path.matches('/').count(), 3);
    }
}
