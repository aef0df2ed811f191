//! The puller that was written from docs/pulling.md alone, against a running gateway.

use std::process::Command;

use ltcgw::model::registry::EntityKind;
use serde_json::{Value, json};

use crate::registered::{caregiver, end, institution, put_caregiver, put_institution, store};
use crate::support::{Gateway, project};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_written_from_the_page_for_pullers_holds_the_registry_and_proves_it() {
    let gateway = Gateway::start().await;
    let (registry, keys) = (
        &gateway.running.gateway.registrar.registry,
        &*gateway.running.gateway.registrar.keys,
    );
    let mut puts = vec![
        put_institution(keys, institution("I1", 1)),
        put_institution(keys, institution("I2", 1)),
    ];
    puts.extend((0..1200).map(|id| put_caregiver(keys, caregiver(&format!("C{id:04}"), 1))));
    store(registry, &puts).await;
    store(registry, &[end(EntityKind::Caregiver, "C0007", 2)]).await;
    let folder = gateway._dir.path();
    let identity = gateway
        .stage
        .authority
        .client("platform.province.example")
        .expect("a certificate");
    for (name, text) in [
        ("ca.pem", gateway.stage.authority.certificate_pem()),
        ("client.pem", identity.certificate_pem),
        ("client.key", identity.key_pem),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
    let pull = async || {
        let mut command = Command::new("python3");
        command
            .arg(project().join("tests/pulling/client.py"))
            .arg(gateway.url(""));
        command
            .args(["ca.pem", "client.pem", "client.key", "state.json"])
            .current_dir(folder);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("run")
            .expect("python3 is there");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice::<Value>(&output.stdout).expect("what it holds")
    };
    let held = pull().await;
    assert_eq!(held["institutions"], json!(["I1", "I2"]));
    assert_eq!(held["caregivers"].as_array().map(Vec::len), Some(1199));
    store(
        registry,
        &[
            end(EntityKind::Institution, "I2", 2),
            put_institution(keys, institution("I3", 1)),
            end(EntityKind::Caregiver, "C0001", 2),
        ],
    )
    .await;
    let held = pull().await;
    assert_eq!(held["institutions"], json!(["I1", "I3"]));
    assert_eq!(held["caregivers"].as_array().map(Vec::len), Some(1198));
    // It is the digest that it trusts: a change it holds already is not told otherwise without being seen.
    let state = folder.join("state.json");
    let text = std::fs::read_to_string(&state).expect("its state");
    let mut held: Value = serde_json::from_str(&text).expect("JSON");
    held["caregivers"]["digest"] = "11".repeat(32).into();
    std::fs::write(&state, held.to_string()).expect("written");
    let mut command = Command::new("python3");
    command
        .arg(project().join("tests/pulling/client.py"))
        .arg(gateway.url(""));
    command
        .args(["ca.pem", "client.pem", "client.key", "state.json"])
        .current_dir(folder);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("run")
        .expect("python3 is there");
    assert!(
        !output.status.success()
            && String::from_utf8_lossy(&output.stderr).contains("the digest differs"),
        "{output:?}"
    );
}
