//! Bad rate files and the findings they get, with line and column.

use super::*;
use crate::ledger::Recipient;
use crate::model::Fen;

const GOOD: &str = r#"area = "450100"
name = "Nanning"
source = "a test"

[[rule]]
payer = "employer"
from = "2021-03"
mode = "rate"
rate = "6.95 %"
basis = "employer_base"
channel = "tax"
frequency = "monthly"
rounding = "fen_half_away"
parts = { medical = "6.80 %", long_term_care = "0.15 %" }
remainder = "medical"
late_fee_to = "medical"
interest_to = "medical"
employee_paid_to = "medical"

[[rule]]
payer = "individual"
segments = ["active"]
age_to = 40
from = "2021-03"
mode = "rate"
rate = "0.15 %"
basis = "own_base"
base_floor = "3800.00"
base_cap = "19000.00"
channel = "personal_account"
frequency = "monthly"
rounding = "jiao_up"
no_account = "list_apart"
shortfall = "carry_over"
"#;

/// The findings about a rate file, without the folder's name.
fn findings(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("450100-nanning.toml"), text).unwrap();
    let folder = format!("{}/", dir.path().display());
    match RateBook::load(dir.path()) {
        Ok(_) => Vec::new(),
        Err(findings) => findings
            .iter()
            .map(|finding| finding.to_string().replace(&folder, ""))
            .collect(),
    }
}

/// The findings about the good file with one piece of text replaced.
fn mistake(good: &str, bad: &str) -> Vec<String> {
    assert!(GOOD.contains(good), "`{good}` is in the good file");
    findings(&GOOD.replacen(good, bad, 1))
}

#[test]
fn the_good_file_is_read() {
    assert_eq!(findings(GOOD), [""; 0]);
}

#[test]
fn parts_that_do_not_add_up_are_refused() {
    assert_eq!(
        mistake("0.15 %\" }", "0.16 %\" }"),
        [
            "450100-nanning.toml:14:9: the parts add up to 6.96 %, but `rate` is 6.95 %; they must be equal"
        ]
    );
}

#[test]
fn a_remainder_that_is_not_a_part_is_refused() {
    let text = GOOD
        .replace(
            "medical = \"6.80 %\", long_term_care = \"0.15 %\"",
            "medical = \"6.95 %\"",
        )
        .replace("remainder = \"medical\"", "remainder = \"long_term_care\"");
    assert_eq!(
        findings(&text),
        ["450100-nanning.toml:15:13: `remainder` is `long_term_care`, which is not among `parts`"]
    );
}

#[test]
fn unknown_keys_and_words_are_refused_with_the_nearest_allowed_one() {
    let found = mistake("remainder =", "remainer =");
    assert!(
        found[0].starts_with("450100-nanning.toml:15:1: unknown key `remainer`; expected one of"),
        "{found:?}"
    );
    assert!(
        found[0].ends_with("(did you mean `remainder`?)"),
        "{found:?}"
    );
    let found = mistake("\"active\"", "\"activ\"");
    assert!(
        found[0].starts_with("450100-nanning.toml:22:13: `activ` is not known here"),
        "{found:?}"
    );
    assert!(found[0].ends_with("(did you mean `active`?)"), "{found:?}");
    assert!(mistake("source =", "sauce =")[0].contains("did you mean `source`?"));
    assert!(
        mistake("long_term_care", "longterm_care")[0].contains("did you mean `long_term_care`?")
    );
}

#[test]
fn overlapping_periods_are_refused_and_adjoining_ones_are_not() {
    let second = GOOD
        .split_once("\n\n")
        .unwrap()
        .1
        .split_once("\n\n")
        .unwrap()
        .0;
    let with = |from: &str, to: &str| {
        let ended = GOOD.replacen(
            "from = \"2021-03\"",
            &format!("from = \"2021-03\"\n{to}"),
            1,
        );
        findings(&format!("{ended}\n{}", second.replace("2021-03", from)))
    };
    assert_eq!(
        with("2022-01", ""),
        [
            "450100-nanning.toml:39:8: this rule overlaps with the one in line 5 (from 2021-03 with no end); end that one before 2022-01"
        ]
    );
    assert_eq!(with("2021-12", "to = \"2021-12\"").len(), 1);
    assert_eq!(with("2021-01", "to = \"2021-12\"").len(), 1);
    assert_eq!(with("2022-01", "to = \"2021-12\""), [""; 0]);
}

#[test]
fn individuals_overlap_only_in_the_same_segment_and_age() {
    let second = GOOD.rsplit_once("[[rule]]").unwrap().1;
    let with = |age: &str, segments: &str| {
        findings(&format!(
            "{GOOD}\n[[rule]]{}",
            second
                .replace("age_to = 40", age)
                .replace("[\"active\"]", segments)
        ))
    };
    assert_eq!(with("age_from = 41", "[\"active\"]"), [""; 0]);
    assert_eq!(with("", "[\"unemployed\"]"), [""; 0]);
    assert_eq!(with("age_from = 40", "[\"active\"]").len(), 1);
    assert_eq!(with("", "[\"flexible\", \"active\"]").len(), 1);
}

#[test]
fn numbers_that_are_not_exact_are_refused() {
    assert!(
        mistake("rate = \"6.95 %\"", "rate = 6.95")[0].starts_with(
            "450100-nanning.toml:9:8: found the number 6.95; expected a text in quotes"
        )
    );
    let expected = "expected a percentage above 0 and at most 100 with at most four decimals, such as `6.80 %`";
    assert_eq!(
        mistake("rate = \"6.95 %\"", "rate = \"0.0695\""),
        [format!(
            "450100-nanning.toml:9:8: `rate` is `0.0695`; {expected}"
        )]
    );
    assert_eq!(
        mistake("long_term_care = \"0.15 %\"", "long_term_care = \"0 %\""),
        [format!(
            "450100-nanning.toml:14:48: `long_term_care` is `0 %`; {expected}"
        )]
    );
    assert!(
        mistake("3800.00", "3,800.00")[0]
            .starts_with("450100-nanning.toml:28:14: `base_floor` is `3,800.00`: has the separator `,` between its digits; expected an amount in yuan")
    );
    assert!(mistake("3800.00", "-1")[0].contains("not negative"));
    assert!(
        mistake("3800.00", "38000.00")[0]
            .contains("base_floor 38000.00 is above base_cap 19000.00")
    );
    assert_eq!(
        mistake("2021-03", "2021-3"),
        ["450100-nanning.toml:7:8: `from` is `2021-3`; expected a month such as `2021-03`"]
    );
    assert!(
        mistake("mode =", "to = \"2020-01\"\nmode =")[0]
            .contains("`to` 2020-01 is before `from` 2021-03")
    );
}

#[test]
fn keys_must_fit_payer_and_mode() {
    for (good, bad, expected) in [
        (
            "mode = \"rate\"",
            "mode = \"fixed\"",
            "the rule has no `amount`, which its `mode` needs",
        ),
        (
            "mode = \"rate\"",
            "mode = \"rate\"\namount = \"1\"",
            "`amount` has no meaning with this `mode`",
        ),
        ("basis = \"employer_base\"\n", "", "the rule has no `basis`"),
        (
            "rounding = \"fen_half_away\"",
            "rounding = \"fen_up\"",
            "an employer's rule needs rounding",
        ),
        (
            "mode = \"rate\"\nrate = \"6.95 %\"\nbasis = \"employer_base\"",
            "mode = \"waived\"",
            "an employer's rule needs mode = \"rate\"",
        ),
        (
            "payer = \"employer\"",
            "payer = \"employer\"\nsegments = [\"retired\"]",
            "an employer pays for the active only",
        ),
        (
            "late_fee_to = \"medical\"",
            "late_fee_to = \"prorata\"",
            "(did you mean `pro_rata`?)",
        ),
        (
            "employee_paid_to = \"medical\"",
            "employee_paid_to = \"pro_rata\"",
            "`pro_rata` is not known here",
        ),
        (
            "late_fee_to = \"medical\"\n",
            "",
            "the employer's rule has no `late_fee_to`",
        ),
        (
            "parts = { medical = \"6.80 %\", long_term_care = \"0.15 %\" }\n",
            "",
            "the employer's rule has no `parts`",
        ),
        (
            "remainder = \"medical\"",
            "remainder = \"medical\"\nshortfall = \"waive\"",
            "`shortfall` has no meaning",
        ),
        ("no_account = \"list_apart\"\n", "", "has no `no_account`"),
        (
            "channel = \"personal_account\"",
            "channel = \"tax\"",
            "`no_account` has no meaning",
        ),
        (
            "segments = [\"active\"]",
            "segments = [\"active\", \"active\"]",
            "names one segment twice",
        ),
        (
            "segments = [\"active\"]\n",
            "",
            "the rule has no `segments`",
        ),
        (
            "segments = [\"active\"]",
            "segments = [\"active\", \"retired\"]",
            "own_base: retired people have none",
        ),
        (
            "basis = \"own_base\"",
            "basis = \"own_pension_last_year\"",
            "only retired people have one",
        ),
        (
            "basis = \"own_base\"",
            "basis = \"employer_base\"",
            "it is the employer's, and no person's",
        ),
        (
            "no_account = \"list_apart\"",
            "no_account = \"list_apart\"\ntolerance_per_head = \"0.01\"",
            "`tolerance_per_head` has no meaning",
        ),
        (
            "source = \"a test\"",
            "source = \"a test\"\naverage_wage = { 24 = \"1.00\" }",
            "`average_wage` has a key `24`; expected a year",
        ),
        (
            "source = \"a test\"",
            "source = \"a test\"\ncity_average_base = { 2024 = \"x\" }",
            "`city_average_base` is `x`",
        ),
        (
            "age_to = 40",
            "age_from = 50\nage_to = 40",
            "age_from 50 is above age_to 40",
        ),
        (
            "shortfall = \"carry_over\"",
            "shortfall = \"carry_over\"\nremainder = \"medical\"",
            "`remainder` has no meaning",
        ),
        (
            "shortfall = \"carry_over\"",
            "shortfall = \"carry_over\"\nopen = [\"shortfal\"]",
            "(did you mean `shortfall`?)",
        ),
        (
            "area = \"450100\"",
            "area = \"45010\"",
            "expected the six digits",
        ),
        ("source = \"a test\"", "source = \" \"", "`source` is empty"),
    ] {
        let found = mistake(good, bad);
        assert!(
            found.iter().any(|finding| finding.contains(expected)),
            "{bad}: {found:?}"
        );
    }
}

#[test]
fn late_fees_and_interest_can_be_split_like_the_payment() {
    let dir = tempfile::tempdir().unwrap();
    let text = GOOD
        .replace("late_fee_to = \"medical\"", "late_fee_to = \"pro_rata\"")
        .replace("interest_to = \"medical\"", "interest_to = \"pro_rata\"");
    std::fs::write(dir.path().join("450100-nanning.toml"), text).unwrap();
    let book = RateBook::load(dir.path()).unwrap();
    let rate = book
        .employer(
            Division::parse("450100").unwrap(),
            Month::parse("202110").unwrap(),
        )
        .unwrap();
    assert_eq!(
        (rate.rule().late_fee_to, rate.rule().interest_to),
        (Recipient::ProRata, Recipient::ProRata)
    );
}

#[test]
fn an_employer_has_no_floor_and_no_cap() {
    let found = mistake(
        "basis = \"employer_base\"",
        "basis = \"employer_base\"\nbase_cap = \"19000.00\"",
    );
    assert!(
        found.len() == 1
            && found[0].contains("`base_cap` has no meaning for this payer and channel"),
        "{found:?}"
    );
}

#[test]
fn an_area_is_defined_by_one_file_named_after_it() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        RateBook::load(dir.path()).unwrap_err().len(),
        1,
        "an empty folder is a finding"
    );
    std::fs::write(dir.path().join("450100-nanning.toml"), GOOD).unwrap();
    std::fs::write(dir.path().join("450100-nanning-too.toml"), GOOD).unwrap();
    std::fs::write(dir.path().join("500100-chongqing.toml"), GOOD).unwrap();
    std::fs::write(dir.path().join("notes.md"), "not a rate file").unwrap();
    let texts: Vec<String> = RateBook::load(dir.path())
        .unwrap_err()
        .into_iter()
        .map(|finding| finding.text)
        .collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(
        texts[0].contains("already defined in")
            && texts[1].contains("expected the name to be `450100-<city>.toml`")
    );
    assert_eq!(
        RateBook::load(&dir.path().join("absent"))
            .unwrap_err()
            .len(),
        1
    );
}

#[test]
fn every_problem_is_found_at_once() {
    let text = GOOD.replace("0.15 %\" }", "0.16 %\" }").replace(
        "2021-03\"\nmode = \"rate\"\nrate = \"0.15 %\"",
        "21-03\"\nmode = \"rate\"\nrate = \"0.15\"",
    );
    assert_eq!(findings(&text).len(), 3);
}

#[test]
fn only_an_area_with_age_bands_depends_on_age() {
    let book = RateBook::load(Path::new("config/rates")).expect("the shipped rates");
    assert_eq!(
        ["450100", "510100", "990000"]
            .map(|area| book.depends_on_age(Division::parse(area).unwrap())),
        [false, true, false]
    );
}

#[test]
fn the_rate_format_expresses_a_fixed_yearly_amount_by_government_and_pool() {
    // Suzhou's first phase: 50 yuan from the government and 70 yuan from the pooled fund a year.
    let dir = tempfile::tempdir().unwrap();
    let rule = |payer: &str, amount: &str, channel: &str| {
        format!(
            "[[rule]]\npayer = \"{payer}\"\nsegments = [\"resident\"]\nfrom = \"2017-07\"\nmode = \"fixed\"\namount = \"{amount}\"\nchannel = \"{channel}\"\nfrequency = \"yearly\"\nrounding = \"fen_half_away\"\n"
        )
    };
    let text = format!(
        "area = \"320500\"\nname = \"Suzhou\"\nsource = \"phase 1\"\n{}{}",
        rule("fiscal", "50.00", "budget"),
        rule("pooled_fund", "70.00", "fund_transfer")
    );
    std::fs::write(dir.path().join("320500-suzhou.toml"), text).unwrap();
    let book = RateBook::load(dir.path()).unwrap();
    let due: Vec<_> = book.areas[0]
        .funds
        .iter()
        .map(|rate| (rate.id(), rate.terms().due(&Bases::default())))
        .collect();
    assert_eq!(
        due,
        [
            ("320500/fiscal/2017-07/resident", Ok(Fen(5_000))),
            ("320500/pooled_fund/2017-07/resident", Ok(Fen(7_000)))
        ]
    );
}
