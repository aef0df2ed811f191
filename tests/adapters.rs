//! Every shipped adapter passes its own check and samples; every bad one is refused with its exact
//! findings. `BLESS=1` writes what came out instead of comparing: look at the difference before committing it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use ltcgw::adapter::{self, Catalog};
use ltcgw::error::Finding;

fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

fn text(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect()
}

fn folders(dir: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

#[test]
fn every_shipped_adapter_passes_its_check_and_samples() {
    let report = adapter::test(Path::new("adapters"), &[], blessing());
    assert!(report.findings.is_empty(), "{}", text(&report.findings));
    assert!(
        blessing() || report.passed > 80,
        "only {} samples ran",
        report.passed
    );
}

#[test]
fn the_catalog_holds_every_shipped_adapter_and_lists_it() {
    let catalog = Catalog::load(Path::new("adapters"))
        .unwrap_or_else(|findings| panic!("{}", text(&findings)));
    let list = adapter::list(&catalog);
    for folder in folders("adapters") {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(
            catalog
                .get(name)
                .is_some_and(|adapter| adapter.name() == name),
            "{name}"
        );
        assert!(list.iter().any(|row| row[0] == name), "{list:?}");
    }
    // What is told of the registries to whom and why, and what answers are by record.
    let nurses = &list
        .iter()
        .find(|row| row[0] == "health-commission" && row[2] == "nurses")
        .unwrap()[5];
    for part in [
        "tells of every caregiver (job nurse) for supervising nurses",
        "personal.qualification_numbers",
        "answered record by record",
        "idempotent",
    ] {
        assert!(nurses.contains(part), "{part}: {nurses}");
    }
    let packets = catalog
        .get("tax-bureau")
        .and_then(|adapter| adapter.endpoint("packets"))
        .unwrap();
    assert_eq!(
        packets
            .inbounds()
            .filter_map(|inbound| inbound.packet_type())
            .collect::<Vec<_>>(),
        ["JFXX101", "JFXX102"]
    );
    assert!(
        catalog
            .get("tax-bureau")
            .unwrap()
            .document(packets.receipt())
            .is_some()
    );
}

/// What is found in one bad folder: by its check, or else by its samples.
fn found(folder: &Path) -> String {
    let (dir, names) = (
        folder.parent().unwrap(),
        [folder.file_name().unwrap().to_str().unwrap().to_string()],
    );
    let findings = adapter::check(dir, &names);
    text(&if findings.is_empty() {
        adapter::test(dir, &names, false).findings
    } else {
        findings
    })
}

#[test]
fn every_bad_adapter_is_refused_with_its_exact_findings() {
    let folders = folders("tests/bad_adapters");
    assert!(folders.len() >= 15);
    let mut differing = String::new();
    for folder in folders {
        let (expected, found) = (folder.join("expected.txt"), found(&folder));
        assert!(!found.is_empty(), "{} is not refused", folder.display());
        if blessing() {
            std::fs::write(&expected, &found).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != found {
            differing.push_str(&format!("--- {}\n{found}", expected.display()));
        }
    }
    assert!(differing.is_empty(), "came out otherwise:\n{differing}");
}

#[test]
fn an_adapter_that_fails_its_own_samples_is_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let written = adapter::scaffold(dir.path(), "some-system").unwrap();
    assert!(Catalog::load(dir.path()).is_ok());
    let expected = written
        .iter()
        .find(|path| path.ends_with("employer_collection/ordinary.expected.json"))
        .unwrap();
    let changed = std::fs::read_to_string(expected)
        .unwrap()
        .replace("8340.00", "8340.01");
    std::fs::write(expected, changed).unwrap();
    let findings = Catalog::load(dir.path()).map(|_| ()).unwrap_err();
    assert!(
        text(&findings).contains(
            "expected `\"employer_paid\": \"8340.01\",`; came out `\"employer_paid\": \"8340.00\",`"
        ),
        "{}",
        text(&findings)
    );
}

#[test]
fn the_digest_of_an_adapter_changes_with_any_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let written = adapter::scaffold(dir.path(), "some-system").unwrap();
    let digest = || {
        Catalog::load(dir.path())
            .unwrap_or_else(|findings| panic!("{}", text(&findings)))
            .get("some-system")
            .unwrap()
            .digest()
    };
    let before = digest();
    assert_eq!(before, digest());
    for path in written
        .iter()
        .filter(|path| path.ends_with("README.md") || path.ends_with("district.csv"))
    {
        let mut text = std::fs::read_to_string(path).unwrap();
        text.push('\n');
        std::fs::write(path, text).unwrap();
        assert_ne!(before, digest(), "{}", path.display());
    }
}

#[test]
fn blessing_names_every_file_it_writes_and_what_became_of_the_records() {
    let dir = tempfile::tempdir().unwrap();
    let made = adapter::scaffold(dir.path(), "some-system").unwrap();
    let path = |end: &str| made.iter().find(|path| path.ends_with(end)).unwrap();
    let sample = path("employer_collection/ordinary.json");
    std::fs::write(
        sample,
        std::fs::read_to_string(sample)
            .unwrap()
            .replace("8340.00", "8340.001"),
    )
    .unwrap();
    std::fs::remove_file(path("employer_collection/no-records.expected.txt")).unwrap();
    std::fs::remove_file(path("contributions/ordinary.expected.json")).unwrap();
    std::fs::remove_file(path("replies/accepted.expected.txt")).unwrap();
    let report = adapter::test(dir.path(), &[], true);
    assert!(report.findings.is_empty(), "{}", text(&report.findings));
    let said = |end: &str| {
        report
            .blessed
            .iter()
            .find(|written| written.path.ends_with(end))
            .map(|written| written.says.as_str())
    };
    let ordinary = said("employer_collection/ordinary.expected.json").unwrap();
    assert!(
        ordinary.starts_with("0 records taken, 2 refused: paid has more than two decimals"),
        "{ordinary}"
    );
    assert!(
        said("employer_collection/no-records.expected.txt")
            .unwrap()
            .starts_with("refused whole: ")
    );
    assert_eq!(
        (
            said("contributions/ordinary.expected.json"),
            said("replies/accepted.expected.txt")
        ),
        (Some(""), Some(""))
    );
    assert_eq!(report.blessed.len(), 4);
}

#[test]
fn the_readme_of_adapters_has_a_row_for_every_canonical_field_and_filter() {
    let readme = std::fs::read_to_string("adapters/README.md").unwrap();
    for spec in ltcgw::model::records::ALL {
        let start = format!("### `{}`", spec.name);
        let table = readme
            .split_once(&start)
            .unwrap_or_else(|| panic!("adapters/README.md has no section {start}"))
            .1;
        let table = table.split("\n#").next().unwrap();
        for field in spec.fields {
            let row = table
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` |", field.name)));
            let row = row.unwrap_or_else(|| {
                panic!("adapters/README.md has no row `{}` in {start}", field.name)
            });
            assert!(
                row.contains(field.doc),
                "adapters/README.md says otherwise of `{}` than model::records: {}",
                field.name,
                field.doc
            );
            assert_eq!(
                row.contains("| yes |"),
                field.required,
                "is `{}` required? {row}",
                field.name
            );
            assert_eq!(
                row.contains("private"),
                field.private,
                "is `{}` private? {row}",
                field.name
            );
        }
    }
    for (filter, _) in ltcgw::adapter::template::filters::FILTERS {
        let row = readme
            .lines()
            .any(|line| line.starts_with(&format!("| `{filter}")));
        assert!(row, "adapters/README.md has no row for the filter {filter}");
    }
}
