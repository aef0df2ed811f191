//! Samples: documents beside what must come of them, run at every start and by `adapter test`.
//!
//! `samples/<message>/<name>.xml` is decoded at the message's endpoint and compared with
//! `<name>.expected.json` (head, records and refusals) or, for a packet refused whole, with
//! `<name>.expected.txt`. Blessing writes the expected files instead of comparing.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::catalog::{Adapter, files};
use super::decode::{DecodedLine, PacketHead, PacketReader, PacketRefusal, RecordRefusal};
use super::inbound::Endpoint;
use super::outbound::{self, Bless, Document, OutboundMessage};
use crate::error::{Finding, did_you_mean};
use crate::model::{Record, Slot};

/// Records a sample may have; samples are read by people.
const LINES_MAX: u64 = 1_000;

/// What came of running samples.
#[derive(Debug, Default)]
pub struct SampleReport {
    /// Samples that came out as expected.
    pub passed: usize,
    /// Expected files written.
    pub blessed: Vec<BlessedFile>,
    pub findings: Vec<Finding>,
}

/// An expected file that was written because somebody asked for it.
#[derive(Debug)]
pub struct BlessedFile {
    pub path: PathBuf,
    /// Of a document that comes in: what it now says, e.g. `2 records taken, 1 refused: ...`; of others empty.
    pub says: String,
}

impl SampleReport {
    /// Adds another's results.
    pub fn add(&mut self, other: SampleReport) {
        self.passed += other.passed;
        self.blessed.extend(other.blessed);
        self.findings.extend(other.findings);
    }
}

/// Findings about messages without samples and samples without a message.
pub(super) fn missing(adapter: &Adapter) -> Vec<Finding> {
    let mut findings = orphans(adapter);
    for (endpoint, message) in messages(adapter) {
        let folder = adapter.folder().join("samples").join(message);
        if samples(&folder, endpoint).is_empty() {
            let ending = endpoint.format().word();
            let text = format!(
                "has no sample; expected at least one {message}/<name>.{ending} with <name>.expected.json or .expected.txt beside it"
            );
            findings.push(Finding::new(folder.display().to_string(), None, text));
        }
    }
    findings
}

/// Folders of samples that belong to nothing.
fn orphans(adapter: &Adapter) -> Vec<Finding> {
    let inbound = messages(adapter).map(|(_, message)| message);
    let outbound = adapter
        .outbounds()
        .iter()
        .map(OutboundMessage::message)
        .chain(adapter.documents().iter().map(Document::name));
    let known: Vec<&str> = inbound.chain(outbound).collect();
    let folders = std::fs::read_dir(adapter.folder().join("samples"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir());
    folders
        .filter_map(|folder| {
            let name = folder.file_name().to_string_lossy().into_owned();
            let near = did_you_mean(&name, known.iter().copied());
            let text = || {
                format!(
                    "holds samples of no message or document; there are {}{near}",
                    known.join(", ")
                )
            };
            (!known.contains(&name.as_str()))
                .then(|| Finding::new(folder.path().display().to_string(), None, text()))
        })
        .collect()
}

/// Runs the samples of an adapter in both directions.
pub(super) fn run(adapter: &Adapter, bless: bool) -> SampleReport {
    let mut report = SampleReport::default();
    for (endpoint, message) in messages(adapter) {
        for path in samples(&adapter.folder().join("samples").join(message), endpoint) {
            match run_one(&path, endpoint, bless) {
                Ok(None) => report.passed += 1,
                Ok(Some(path)) => report.blessed.push(BlessedFile {
                    says: says(&path),
                    path,
                }),
                Err(finding) => report.findings.push(finding),
            }
        }
    }
    report.add(run_outgoing(adapter, bless));
    report
}

fn run_outgoing(adapter: &Adapter, bless: bool) -> SampleReport {
    let before = rendered(adapter);
    let wanted = if bless { Bless::Missing } else { Bless::No };
    let findings = outbound::run_samples(
        adapter.folder(),
        adapter.outbounds(),
        adapter.documents(),
        wanted,
    );
    let blessed = rendered(adapter)
        .difference(&before)
        .map(|path| BlessedFile {
            path: path.clone(),
            says: String::new(),
        })
        .collect();
    SampleReport {
        passed: before.len().saturating_sub(findings.len()),
        blessed,
        findings,
    }
}

/// The expected files of what we render and of what answers mean.
fn rendered(adapter: &Adapter) -> BTreeSet<PathBuf> {
    let names = adapter
        .outbounds()
        .iter()
        .map(OutboundMessage::message)
        .chain(adapter.documents().iter().map(Document::name));
    let all = names
        .flat_map(|name| files(&adapter.folder().join("samples").join(name)).unwrap_or_default());
    all.filter(|path| path.to_string_lossy().contains(".expected."))
        .collect()
}

fn messages(adapter: &Adapter) -> impl Iterator<Item = (&Endpoint, &'static str)> {
    adapter.endpoints().iter().flat_map(|endpoint| {
        endpoint
            .inbounds()
            .map(move |inbound| (endpoint.as_ref(), inbound.message().name))
    })
}

fn samples(folder: &Path, endpoint: &Endpoint) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let expected = |path: &PathBuf| path.to_string_lossy().ends_with(".expected.json");
    found.retain(|path| {
        path.extension()
            .is_some_and(|ending| ending == endpoint.format().word())
            && !expected(path)
    });
    found.sort();
    found
}

fn run_one(path: &Path, endpoint: &Endpoint, bless: bool) -> Result<Option<PathBuf>, Finding> {
    let shown = path.display().to_string();
    let body = std::fs::read(path)
        .map_err(|error| Finding::new(&shown, None, format!("cannot be read: {error}")))?;
    let (ending, came) = outcome(endpoint, body);
    let expected = path.with_extension(format!("expected.{ending}"));
    let other = path.with_extension(if ending == "txt" {
        "expected.json"
    } else {
        "expected.txt"
    });
    if bless {
        return write(&expected, &other, &came).map_err(|error| {
            Finding::new(
                expected.display().to_string(),
                None,
                format!("cannot be written: {error}"),
            )
        });
    }
    let Ok(wanted) = std::fs::read_to_string(&expected) else {
        let text = if other.exists() {
            format!(
                "came out otherwise than {} says:\n{}",
                other.display(),
                first_lines(&came)
            )
        } else {
            format!(
                "has no {}; write it, or let `adapter test --bless` write what came out:\n{}",
                expected.display(),
                first_lines(&came)
            )
        };
        return Err(Finding::new(shown, None, text));
    };
    match difference(ending, &wanted, &came) {
        None => Ok(None),
        Some((line, text)) => Err(Finding::new(
            expected.display().to_string(),
            Some((line, 1)),
            text,
        )),
    }
}

fn write(expected: &Path, other: &Path, came: &str) -> std::io::Result<Option<PathBuf>> {
    if other.exists() {
        std::fs::remove_file(other)?;
    }
    if std::fs::read_to_string(expected).is_ok_and(|old| old == came) {
        return Ok(None);
    }
    std::fs::write(expected, came)?;
    Ok(Some(expected.to_path_buf()))
}

/// What an expected file says of the records, so that a person who blesses sees at once when none was taken.
fn says(expected: &Path) -> String {
    let text = std::fs::read_to_string(expected).unwrap_or_default();
    let Ok(came) = serde_json::from_str::<Value>(&text) else {
        return format!("refused whole: {}", text.trim_end());
    };
    let count = |list: &str| came[list].as_array().map_or(0, Vec::len);
    let (taken, refused) = (count("records"), count("refusals"));
    let records = if taken == 1 { "record" } else { "records" };
    match came["refusals"][0].as_object() {
        None => format!("{taken} {records} taken"),
        Some(first) => {
            let word = |key: &str| first.get(key).and_then(Value::as_str).unwrap_or_default();
            format!(
                "{taken} {records} taken, {refused} refused: {} {}",
                word("element"),
                word("reason")
            )
        }
    }
}

fn first_lines(text: &str) -> String {
    text.lines().take(20).collect::<Vec<_>>().join("\n")
}

/// The first line that differs; JSON is compared as JSON first, so that its layout is free.
fn difference(ending: &str, wanted: &str, came: &str) -> Option<(usize, String)> {
    if ending == "json" {
        match serde_json::from_str::<Value>(wanted) {
            Ok(wanted) if serde_json::from_str::<Value>(came).is_ok_and(|came| came == wanted) => {
                return None;
            }
            Ok(_) => {}
            Err(error) => return Some((error.line(), format!("is not JSON: {error}"))),
        }
    } else if wanted.trim_end() == came.trim_end() {
        return None;
    }
    let (mut wanted, mut came, mut line) = (wanted.lines(), came.lines(), 0);
    loop {
        line += 1;
        match (wanted.next(), came.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => {
                return Some((
                    1,
                    "differs in layout and content; let `adapter test --bless` write it anew"
                        .into(),
                ));
            }
            (a, b) => {
                return Some((
                    line,
                    format!(
                        "expected `{}`; came out `{}`",
                        a.unwrap_or("<end>").trim(),
                        b.unwrap_or("<end>").trim()
                    ),
                ));
            }
        }
    }
}

/// Decodes a document into the text of its expected file, and that file's ending.
pub(super) fn outcome(endpoint: &Endpoint, body: Vec<u8>) -> (&'static str, String) {
    match endpoint
        .open(Box::new(Cursor::new(body)), LINES_MAX)
        .and_then(read_all)
    {
        Ok(value) => ("json", format!("{value:#}\n")),
        Err(refusal) => ("txt", refused(&refusal)),
    }
}

fn refused(refusal: &PacketRefusal) -> String {
    let element = refusal
        .element
        .as_ref()
        .map_or_else(String::new, |element| format!("{element} "));
    format!("{}: {element}{}\n", refusal.kind.word(), refusal.reason)
}

fn read_all(mut reader: PacketReader<'_>) -> Result<Value, PacketRefusal> {
    let head = head(reader.head());
    let (mut records, mut refusals) = (Vec::new(), Vec::new());
    let mut record = reader.new_record();
    while let Some(line) = reader.next(&mut record)? {
        match line {
            DecodedLine::Good { index } => records.push(canonical(index, &record)),
            DecodedLine::Refused(RecordRefusal {
                index,
                element,
                content,
                reason,
            }) => {
                refusals.push(json!({ "index": index, "element": element, "content": content, "reason": reason }));
            }
        }
    }
    Ok(json!({ "head": head, "records": records, "refusals": refusals }))
}

fn head(head: &PacketHead) -> Value {
    json!({
        "message": head.message.name,
        "packet_no": head.packet_no,
        "packet_type": head.packet_type,
        "replaces": head.replaces,
        "declared_lines": head.declared_lines,
        "encoding": head.encoding.name(),
        "values": head.values,
    })
}

/// A record as canonical JSON: fields that are filled, amounts in yuan, dates as ISO 8601.
pub(in crate::adapter) fn canonical(index: u64, record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("index".into(), json!(index));
    for field in record.spec().fields {
        let Some(id) = record.spec().field(field.name) else {
            continue;
        };
        let value = match record.slot(id) {
            Slot::Empty => continue,
            Slot::Text(..) => json!(record.text(id)),
            Slot::Code(_) => json!(record.code(id)),
            Slot::Integer(number) => json!(number),
            Slot::Decimal(millionths) => json!(decimal(millionths)),
            Slot::Money(fen) => json!(fen.to_string()),
            Slot::Date(date) => json!(date.to_string()),
            Slot::DateTime(time) => json!(time.to_string()),
            Slot::Month(month) => json!(month.to_string()),
            Slot::Flag(flag) => json!(flag),
            Slot::Division(division) => json!(division.to_string()),
        };
        object.insert(field.name.into(), value);
    }
    Value::Object(object)
}

fn decimal(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let millionths = millionths.unsigned_abs();
    let text = format!(
        "{sign}{}.{:06}",
        millionths / 1_000_000,
        millionths % 1_000_000
    );
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
