//! What `ltcgw adapter check`, `test` and `list` do, as functions.

use std::path::Path;

use super::catalog::{Adapter, folders, in_order};
use super::sample::{self, Report};
use crate::error::Finding;

/// Checks the adapters of `dir` (all, or those named) without running a sample.
pub fn check(dir: &Path, names: &[String]) -> Vec<Finding> {
    match folders(dir, names) {
        Err(finding) => vec![finding],
        Ok(folders) => in_order(folders.iter().filter_map(|folder| Adapter::load(folder).err()).flatten().collect()),
    }
}

/// Checks the adapters of `dir` (all, or those named) and runs their samples; `bless` writes
/// expected files instead of comparing with them.
pub fn test(dir: &Path, names: &[String], bless: bool) -> Report {
    let mut report = Report::default();
    match folders(dir, names) {
        Err(finding) => report.findings.push(finding),
        Ok(folders) => {
            for folder in folders {
                match Adapter::load(&folder) {
                    Ok(adapter) => report.add(sample::run(&adapter, bless)),
                    Err(findings) => report.findings.extend(findings),
                }
            }
        }
    }
    report
}
