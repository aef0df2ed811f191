//! `ltcgw adapter new <name>`: a folder that passes check and test as it is, to be edited into an adapter.

use std::path::{Path, PathBuf};

use crate::error::Finding;

/// Every file of a new folder; `{{name}}` in them stands for the adapter's name.
const FILES: &[(&str, &str)] = &[
    ("adapter.toml", include_str!("scaffold/adapter.toml")),
    ("README.md", include_str!("scaffold/README.md")),
    (
        "codes/insurance_type.csv",
        include_str!("scaffold/codes/insurance_type.csv"),
    ),
    (
        "codes/payment_kind.csv",
        include_str!("scaffold/codes/payment_kind.csv"),
    ),
    (
        "codes/pooling_area.csv",
        include_str!("scaffold/codes/pooling_area.csv"),
    ),
    (
        "codes/district.csv",
        include_str!("scaffold/codes/district.csv"),
    ),
    (
        "templates/receipt.json",
        include_str!("scaffold/templates/receipt.json"),
    ),
    (
        "templates/contributions.json",
        include_str!("scaffold/templates/contributions.json"),
    ),
    (
        "samples/employer_collection/ordinary.json",
        include_str!("scaffold/samples/employer_collection/ordinary.json"),
    ),
    (
        "samples/employer_collection/ordinary.expected.json",
        include_str!("scaffold/samples/employer_collection/ordinary.expected.json"),
    ),
    (
        "samples/employer_collection/no-records.json",
        include_str!("scaffold/samples/employer_collection/no-records.json"),
    ),
    (
        "samples/employer_collection/no-records.expected.txt",
        include_str!("scaffold/samples/employer_collection/no-records.expected.txt"),
    ),
    (
        "samples/receipt/accepted.json",
        include_str!("scaffold/samples/receipt/accepted.json"),
    ),
    (
        "samples/receipt/accepted.expected.json",
        include_str!("scaffold/samples/receipt/accepted.expected.json"),
    ),
    (
        "samples/contributions/ordinary.json",
        include_str!("scaffold/samples/contributions/ordinary.json"),
    ),
    (
        "samples/contributions/ordinary.expected.json",
        include_str!("scaffold/samples/contributions/ordinary.expected.json"),
    ),
    (
        "samples/contributions/replies/accepted.http",
        include_str!("scaffold/samples/contributions/replies/accepted.http"),
    ),
    (
        "samples/contributions/replies/accepted.expected.txt",
        include_str!("scaffold/samples/contributions/replies/accepted.expected.txt"),
    ),
];

/// Makes `dir/name` and returns the files written; refuses a name that is not kebab-case or taken.
pub fn scaffold(dir: &Path, name: &str) -> Result<Vec<PathBuf>, Finding> {
    let folder = dir.join(name);
    let finding = |path: &Path, text: String| Finding::new(path.display().to_string(), None, text);
    let kebab = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !kebab {
        return Err(finding(
            dir,
            format!(
                "`{}` cannot be an adapter's name; expected lower-case letters, digits and hyphens",
                name.escape_debug()
            ),
        ));
    }
    if folder.exists() {
        return Err(finding(
            &folder,
            "exists already; choose another name".into(),
        ));
    }
    let mut written = Vec::new();
    for (file, text) in FILES {
        let path = folder.join(file);
        let made = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text.replace("{{name}}", name)));
        made.map_err(|error| finding(&path, format!("cannot be written: {error}")))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_adapter_passes_check_and_test_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let written = scaffold(dir.path(), "some-system").unwrap();
        assert!(written.iter().all(|path| path.is_file()));
        let report = crate::adapter::test(dir.path(), &[], false);
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        assert!(report.passed >= 5, "{}", report.passed);
    }

    #[test]
    fn a_name_that_is_taken_or_no_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        scaffold(dir.path(), "some-system").unwrap();
        assert!(
            scaffold(dir.path(), "some-system")
                .unwrap_err()
                .text
                .contains("exists already")
        );
        for name in ["", "Some", "../up", "a b", "-a", "系统"] {
            assert!(scaffold(dir.path(), name).is_err(), "{name}");
        }
    }
}
