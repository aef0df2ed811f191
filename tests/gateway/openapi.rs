//! The description of the partner listener: it names the routes of the code, is valid, is served, and holds against a fuzzer.

use std::path::PathBuf;
use std::process::Command;

use ltcgw::config::{asked, built_in_routes, route_matches};
use ltcgw::sandbox::stage::Scene;
use serde_json::Value;

use crate::support::{Gateway, project};

fn described() -> Value {
    read("schemas/openapi.json")
}

fn read(path: &str) -> Value {
    let bytes = std::fs::read(project().join(path)).expect("the file");
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Its operations, as `METHOD /path` with a star for each parameter.
fn operations(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path
            .split('/')
            .map(|segment| {
                if segment.starts_with('{') {
                    "*"
                } else {
                    segment
                }
            })
            .collect::<Vec<_>>()
            .join("/");
        found.extend(
            methods
                .as_object()
                .expect("methods")
                .keys()
                .map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    found
}

#[test]
fn the_description_has_every_route_a_partner_can_be_allowed_and_no_other() {
    let described = operations(&described());
    let partners =
        std::fs::read_to_string(project().join("config/partners.toml")).expect("the file");
    let shipped = partners.split('"').filter(|text| {
        ["GET /", "PUT /", "POST /", "DELETE /"]
            .iter()
            .any(|start| text.starts_with(start))
    });
    let mut routes: Vec<&str> = built_in_routes()
        .map(|route| -> &str { route })
        .chain(shipped)
        .collect();
    routes.sort_unstable();
    routes.dedup();
    for route in &routes {
        let has = |operation: &String| {
            let (method, path) = operation.split_once(' ').expect("a method and a path");
            operation == route || route_matches(route, &asked(method, path))
        };
        assert!(described.iter().any(has), "{route} is not described");
    }
    for operation in described
        .iter()
        .filter(|operation| *operation != "GET /openapi.json")
    {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let served = routes
            .iter()
            .any(|route| operation == route || route_matches(route, &asked(method, path)));
        assert!(served, "{operation} is described and not served");
    }
}

#[test]
fn the_description_has_the_records_of_the_canonical_schemas() {
    let document = described();
    for (name, file) in [("Institution", "institution"), ("Caregiver", "caregiver")] {
        let mut canonical = read(&format!("schemas/canonical/{file}.schema.json"));
        let object = canonical.as_object_mut().expect("an object");
        object.remove("$schema");
        object.remove("$id");
        assert_eq!(document["components"]["schemas"][name], canonical, "{name}");
    }
    let deletion = &read("schemas/canonical/registry-line.schema.json")["$defs"]["deletion"];
    assert_eq!(
        &document["components"]["schemas"]["RegistryDeletion"],
        deletion
    );
}

/// A program of the folder that `deploy/setup.sh tests` fills.
fn tool(name: &str) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || project().join("target"),
        |target| project().join(PathBuf::from(target)),
    );
    let path = target.join("python-tests/bin").join(name);
    assert!(
        path.exists(),
        "{} is missing: run deploy/setup.sh tests",
        path.display()
    );
    let mut command = Command::new(path);
    command.env("NO_COLOR", "1");
    command
}

/// What it says when it finds something.
fn run(mut command: Command) -> Option<String> {
    let output = command.output().expect("the program starts");
    let said = || {
        format!(
            "{command:?}: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    (!output.status.success()).then(said)
}

#[test]
fn the_description_is_valid_openapi() {
    let mut command = tool("openapi-spec-validator");
    command.arg(project().join("schemas/openapi.json"));
    assert_eq!(run(command), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partner_that_is_known_is_served_the_description() {
    let gateway = Gateway::start().await;
    for partner in ["nanning-tax", "provincial-platform"] {
        let answer = gateway
            .stage
            .client(partner)
            .expect("a client")
            .get(gateway.url("/openapi.json"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/json".parse().expect("a value"))
        );
        let served: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(served, described());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_fuzzer_sends_the_answers_are_those_described() {
    let gateway = Gateway::with(|scene: Scene| {
        scene
            .edit(
                "requests_per_second = 200\n",
                "requests_per_second = 5000\n",
            )
            .edit(
                "requests_per_second = 50\n\n[partner.fields]",
                "requests_per_second = 5000\n\n[partner.fields]",
            )
    })
    .await;
    let folder = gateway._dir.path().to_path_buf();
    let issued = |san: &str| gateway.stage.authority.client(san).expect("a certificate");
    std::fs::write(
        folder.join("fuzz-ca.pem"),
        gateway.stage.authority.certificate_pem(),
    )
    .expect("written");
    let mut runs = Vec::new();
    for (san, paths) in [
        ("tax.nanning.example", "^/(tax|openapi)"),
        ("core.nanning.example", "^/core/"),
        ("ltc.nanning.example", "^/ltc/"),
        ("platform.province.example", "^/province/"),
        ("platform.province.example", "^/fhir/"),
    ] {
        let identity = issued(san);
        let pem = folder.join(format!("fuzz-{}.pem", runs.len()));
        std::fs::write(
            &pem,
            format!("{}{}", identity.certificate_pem, identity.key_pem),
        )
        .expect("written");
        let mut command = tool("schemathesis");
        command
            .env("SCHEMATHESIS_HOOKS", "fuzz_hooks")
            .env("PYTHONPATH", project().join("tests/openapi"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
            .current_dir(&folder)
            .arg("run")
            .arg(project().join("schemas/openapi.json"));
        command.args([
            "--url",
            &gateway.url(""),
            "--include-path-regex",
            paths,
            "--seed",
            "1",
            "--max-examples",
            "5",
            "--no-shrink",
        ]);
        command.args([
            "--phases",
            "examples,coverage,fuzzing",
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
            "--request-timeout",
            "20",
        ]);
        command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"]);
        command
            .arg("--tls-verify")
            .arg(folder.join("fuzz-ca.pem"))
            .arg("--request-cert")
            .arg(&pem);
        runs.push(tokio::task::spawn_blocking(move || run(command)));
    }
    let all = tokio::time::timeout(
        std::time::Duration::from_secs(120),
        futures_util::future::join_all(runs),
    )
    .await
    .expect("in time");
    for found in all {
        assert_eq!(
            found.expect("run").as_deref().unwrap_or_default(),
            "",
            "answers as described"
        );
    }
}
