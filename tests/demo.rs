//! The demo as a newcomer runs it: the built binary, from its start to its exit status.

use std::process::Command;

use serde_json::Value;

fn number(report: &Value, pointer: &str) -> i64 {
    report
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("no number at {pointer} in {report:#}"))
}

#[test]
fn a_small_city_is_collected_posted_and_delivered_and_all_sums_agree() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("report.json");
    let data = dir.path().join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_ltcgw"))
        .args([
            "demo",
            "--employers",
            "200",
            "--people",
            "500",
            "--exit",
            "--report",
        ])
        .arg(&file)
        .arg("--data-dir")
        .arg(&data)
        .current_dir(dir.path())
        .env("COLUMNS", "80")
        .output()
        .expect("the demo runs");
    let (shown, problems) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{shown}\n{problems}");
    let report: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a report")).expect("JSON");
    let keys: Vec<&String> = report.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "packets",
            "lines",
            "fen",
            "deliveries",
            "registries",
            "deductions",
            "seconds",
            "agrees"
        ]
    );
    assert_eq!(report["agrees"], true);

    let [received, posted, refused, duplicate] = ["received", "posted", "refused", "duplicate"]
        .map(|what| number(&report, &format!("/lines/{what}")));
    assert!(posted >= 200 && refused > 0 && duplicate > 0, "{report:#}");
    assert_eq!(received, posted + refused + duplicate);

    let [tax, ledger, core, ltc] = ["received", "posted", "medical_core", "ltc_system"]
        .map(|what| number(&report, &format!("/fen/{what}")));
    let [medical, long_term_care] =
        ["medical", "long_term_care"].map(|fund| number(&report, &format!("/fen/by_fund/{fund}")));
    assert!(medical > 0 && long_term_care > 0, "{report:#}");
    assert_eq!(
        (tax, ledger, core, ltc),
        (
            medical + long_term_care,
            medical + long_term_care,
            medical,
            long_term_care
        )
    );
    for partner in ["medical-core", "ltc-system"] {
        let [deliveries, delivered, dead] = ["deliveries", "delivered", "dead"]
            .map(|what| number(&report, &format!("/deliveries/{partner}/{what}")));
        assert!(
            deliveries > 0 && deliveries == delivered && dead == 0,
            "{report:#}"
        );
    }

    let registries = &report["registries"];
    assert_eq!(
        (
            &registries["agrees"],
            number(&report, "/registries/over_limit")
        ),
        (&Value::Bool(true), 0),
        "{registries:#}"
    );
    let [institutions, caregivers, changes] = ["institutions", "caregivers", "changes"]
        .map(|what| number(&report, &format!("/registries/{what}")));
    // 87 and 1,330 were loaded; two institutions came and one closed, fifteen caregivers came and ten were deleted.
    assert_eq!((institutions, caregivers), (88, 1_335));
    assert!(
        changes > institutions + caregivers + 200,
        "{changes} changes"
    );
    let held = |who: &str, what: &str| {
        number(&report, &format!("/registries/by_destination/{who}/{what}"))
    };
    assert_eq!(
        (
            held("provincial-platform", "institutions"),
            held("provincial-platform", "caregivers")
        ),
        (institutions, caregivers)
    );
    assert_eq!(
        held("civil-affairs", "institutions") + held("health-commission", "institutions"),
        institutions
    );
    for platform in ["civil-affairs", "health-commission"] {
        assert_eq!(
            (
                held(platform, "over_limit"),
                &registries["by_destination"][platform]["agrees"]
            ),
            (0, &Value::Bool(true)),
            "{platform}"
        );
        assert!(
            held(platform, "caregivers") > 100 && held(platform, "requests") > 5,
            "{registries:#}"
        );
    }

    let deductions = &report["deductions"];
    let keys: Vec<&String> = deductions.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        ["people", "deducted", "short", "fen", "seconds", "agrees"]
    );
    let [people, deducted, short] =
        ["people", "deducted", "short"].map(|what| number(&report, &format!("/deductions/{what}")));
    // One in a hundred has no account, three in a hundred cannot pay.
    assert_eq!(
        (people, &deductions["agrees"]),
        (500, &Value::Bool(true)),
        "{deductions:#}"
    );
    assert!(
        deducted > 450 && short > 0 && (480..500).contains(&(deducted + short)),
        "{deductions:#}"
    );
    let [ledger, core, ltc] = ["ledger", "medical_core", "ltc_system"]
        .map(|who| number(&report, &format!("/deductions/fen/{who}")));
    assert!(ledger > 450 * 200, "{deductions:#}");
    assert_eq!((core, ltc), (ledger, ledger));
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("ledger, medical core and LTC system agree to the fen")
            && words.contains("nobody was deducted twice"),
        "{shown}"
    );

    assert!(
        words.contains("the three sums agree to the fen")
            && words.contains("hold the same registry, field by field"),
        "{shown}"
    );
    let (purpose, first) = (words.find("On purpose"), words.find("packets pushed"));
    assert!(
        purpose.is_some() && purpose < first,
        "what fails on purpose is said before it happens: {shown}"
    );
    // Chinese characters take two columns.
    let columns = |line: &str| {
        line.chars()
            .map(|c| if c >= '\u{2e80}' { 2 } else { 1 })
            .sum::<usize>()
    };
    let widest = shown.lines().map(columns).max().unwrap_or_default();
    assert!(widest <= 80, "a line of {widest} columns:\n{shown}");
    assert!(
        !data.join("data/postgres/cluster/postmaster.pid").exists(),
        "PostgreSQL was not stopped cleanly"
    );
}

#[test]
fn a_folder_without_the_project_is_refused_with_what_is_missing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_ltcgw"))
        .args(["demo", "--exit", "--project"])
        .arg(dir.path())
        .output()
        .expect("the demo runs");
    let problems = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        problems.contains("gateway.toml") && problems.contains("--project DIR"),
        "{problems}"
    );
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("precious"), "").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_ltcgw"))
        .args(["demo", "--exit", "--data-dir"])
        .arg(dir.path())
        .output()
        .expect("the demo runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("the folder").count(),
        1
    );
}
