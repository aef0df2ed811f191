//! Every shipped adapter passes its own check and samples; every bad one is refused with its exact findings.

use std::path::Path;

use ltcgw::adapter;

#[test]
fn every_shipped_adapter_passes_its_check_and_samples() {
    let bless = std::env::var_os("BLESS").is_some();
    let report = adapter::test(Path::new("adapters"), &[], bless);
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(bless || report.passed > 40, "only {} samples ran", report.passed);
}
