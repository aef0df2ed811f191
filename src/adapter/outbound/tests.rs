//! What the shipped adapters send and understand, and what a wrong manifest gets.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::model::Outcome;

fn shipped(name: &str) -> (PathBuf, Outgoing) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters").join(name);
    let source = std::fs::read_to_string(folder.join("adapter.toml")).unwrap();
    let outgoing = load(&folder, &source).unwrap_or_else(|findings| panic!("{}", listed(&findings)));
    (folder, outgoing)
}

fn listed(findings: &[crate::error::Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn the_shipped_adapters_pass_their_samples() {
    let bless = if std::env::var_os("LTCGW_BLESS").is_some() { Bless::Missing } else { Bless::No };
    for name in ["medical-core", "ltc-system"] {
        let (folder, outgoing) = shipped(name);
        let findings = run_samples(&folder, &outgoing.outbound, &outgoing.documents, bless);
        assert!(findings.is_empty(), "{}", listed(&findings));
    }
}
