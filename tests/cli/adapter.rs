//! `adapter` and `pki`: what an integrator and a trial need.

use tempfile::TempDir;

use crate::support::{project, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_adapter_passes_check_and_test_and_is_listed() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().display().to_string();
    let new = run(&["adapter", "new", "civil-affairs", "--dir", &folder]).await;
    assert_eq!(new.status.code(), Some(0), "{}", new.err);
    assert!(
        new.out.contains("civil-affairs/adapter.toml"),
        "{}",
        new.out
    );
    for command in ["check", "test"] {
        let said = run(&["adapter", command, "--dir", &folder]).await;
        assert_eq!(
            said.status.code(),
            Some(0),
            "{command}: {}{}",
            said.out,
            said.err
        );
    }
    let list = run(&["adapter", "list", "--dir", &folder]).await;
    assert!(list.out.contains("civil-affairs"), "{}", list.out);
    let again = run(&["adapter", "new", "civil-affairs", "--dir", &folder]).await;
    assert_eq!(
        again.status.code(),
        Some(1),
        "an existing folder is not touched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_adapters_pass_and_a_mistake_is_named_with_its_line() {
    let adapters = project().join("adapters").display().to_string();
    let test = run(&["adapter", "test", "--dir", &adapters]).await;
    assert_eq!(test.status.code(), Some(0), "{}", test.err);
    assert!(
        test.out.contains(" samples passed, 0 written, 0 failed"),
        "{}",
        test.out
    );
    let bad = project().join("tests/bad_adapters").display().to_string();
    let check = run(&["adapter", "check", "unknown-key", "--dir", &bad]).await;
    assert_eq!(check.status.code(), Some(1));
    assert!(
        check.err.contains("unknown-key/adapter.toml:") && check.err.contains("1 problem found"),
        "{}",
        check.err
    );
    let unknown = run(&["adapter", "check", "tax-burau", "--dir", &adapters]).await;
    assert!(
        unknown.err.contains("did you mean `tax-bureau`?"),
        "{}",
        unknown.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trial_certificates_are_made_once_and_never_overwritten() {
    let dir = TempDir::new().unwrap();
    let (out, config) = (
        dir.path().join("pki").display().to_string(),
        project().join("config").display().to_string(),
    );
    let arguments = [
        "pki",
        "init",
        "--out",
        &out,
        "--config",
        &config,
        "--name",
        "gateway.example",
    ];
    let first = run(&arguments).await;
    assert_eq!(first.status.code(), Some(0), "{}", first.err);
    let key = std::fs::read(dir.path().join("pki/server.key")).unwrap();
    let second = run(&arguments).await;
    assert_eq!(second.status.code(), Some(0), "{}", second.err);
    assert!(
        second.out.contains("pki/server.pem (kept as it was)")
            && second
                .out
                .lines()
                .all(|line| line.ends_with("(kept as it was)")),
        "{}",
        second.out
    );
    assert_eq!(
        std::fs::read(dir.path().join("pki/server.key")).unwrap(),
        key
    );
    let facts = ltcgw::link::certificate_facts(&dir.path().join("pki/server.pem")).unwrap();
    assert_eq!(facts.sans[0].text(), "gateway.example");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let adapters = project().join("adapters");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ltcgw"));
    let output = command
        .args(["adapter", "list", "--dir"])
        .arg(adapters)
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(0), "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_have_an_exit_status_of_their_own() {
    assert_eq!(run(&["serv"]).await.status.code(), Some(2));
    assert_eq!(run(&["--version"]).await.status.code(), Some(0));
}
