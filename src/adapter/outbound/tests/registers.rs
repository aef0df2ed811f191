//! What supervising platforms are told, against the XSD and JSON Schema of schemas/partners/, by
//! validators that are not ours: xmllint (Debian: libxml2-utils) and the jsonschema crate.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Everything that must come out of a message's samples.
fn expected(adapter: &str, message: &str, extension: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(project(&format!("adapters/{adapter}/samples/{message}"))).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.to_string_lossy()
            .ends_with(&format!(".expected.{extension}"))
    });
    assert!(
        paths.len() >= 3,
        "{adapter} {message}: ordinary, required-only and removed"
    );
    paths
}

#[test]
fn civil_affairs_documents_are_what_their_xsd_says() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("skipped: xmllint is not installed; deploy/setup.sh installs it");
        return;
    }
    let validates = |schema: &str, path: &Path| {
        Command::new("xmllint")
            .args(["--noout", "--nonet", "--schema"])
            .arg(project(schema))
            .arg(path)
            .output()
            .unwrap()
    };
    for message in ["institutions", "caregivers"] {
        let schema = format!("schemas/partners/civil-affairs/{message}.xsd");
        for path in expected("civil-affairs", message, "xml") {
            let output = validates(&schema, &path);
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            let broken = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(
                broken.path(),
                std::fs::read_to_string(&path)
                    .unwrap()
                    .replace("revision=", "certificate=\"1\" revision="),
            )
            .unwrap();
            assert!(
                !validates(&schema, broken.path()).status.success(),
                "an attribute that does not belong there is seen"
            );
        }
    }
}

#[test]
fn health_commission_documents_are_what_their_json_schema_says() {
    for message in ["institutions", "nurses"] {
        let schema = std::fs::read(project(&format!(
            "schemas/partners/health-commission/{message}.schema.json"
        )))
        .unwrap();
        let validator =
            jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
        for path in expected("health-commission", message, "json") {
            let mut document: Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let problems: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| error.to_string())
                .collect();
            assert_eq!(problems, [""; 0], "{}", path.display());
            document[message][0]["certificate_number"] = "11010519491231002X".into();
            assert!(
                !validator.is_valid(&document),
                "a field that does not belong there is seen"
            );
        }
    }
}

#[test]
fn no_document_holds_what_its_platform_does_not_need() {
    // Of the people in the samples: identity number, telephones, birth, certificate numbers.
    let everybody = [
        "11010519491231002X",
        "1949-12-31",
        "13800138000",
        "13900139000",
        "赵法定",
        "钱联系",
        "LC4-99",
    ];
    let of_civil = ["201545001234", "PDY45010345010311A1001"];
    for (adapter, message, extension) in [
        ("civil-affairs", "institutions", "xml"),
        ("civil-affairs", "caregivers", "xml"),
        ("health-commission", "institutions", "json"),
        ("health-commission", "nurses", "json"),
    ] {
        for path in expected(adapter, message, extension) {
            let document = std::fs::read_to_string(&path).unwrap();
            let hidden = everybody
                .iter()
                .chain(of_civil.iter().filter(|_| adapter == "civil-affairs"));
            for private in hidden {
                assert!(
                    !document.contains(private),
                    "{private} in {}",
                    path.display()
                );
            }
        }
    }
}
