//! Runs an adapter's own samples: what it must render, and what answers must mean to it.
//!
//! ```text
//! samples/settings.json                          settings the samples are rendered with, all text
//! samples/<message>/<name>.json                  the data given to the template; of registry entries
//!                                                `records`, whole, of which only `fields` reach it
//! samples/<message>/<name>.expected.json|xml     the body that must come out
//! samples/<message>/replies/<name>.http          status line, headers, empty line, body
//! samples/<message>/replies/<name>.expected.txt  `accepted`, `retry_later 30`, `unknown: text`
//! ```
//!
//! Clock, reference, nonce and keys are fixed, so that the same bytes come out each time. It only
//! writes when asked to bless, and then only expected files that do not exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Document, OutboundMessage, RenderContext, Secrets};
use crate::adapter::decode::DecodedLine;
use crate::adapter::sample::canonical;
use crate::error::Finding;
use crate::model::{Answer, Outcome, Verdict};

/// 2021-11-01 08:00:00 in Beijing.
const AT_SECONDS: i64 = 1_635_724_800;
/// The reference of samples where no envelope makes one.
const REFERENCE: &str = "00000000-0000-7000-8000-000000000001";
const NONCE: &str = "0123456789abcdef0123456789abcdef";
/// The private key of the example in GB/T 32918.5-2017, annex A: public, so it protects nothing.
const SM2_KEY: &str = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8";

/// Whether missing expected files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bless {
    No,
    Missing,
}

/// Runs the samples of every outbound message and document; returns each deviation. A message without samples is one.
pub fn run_samples(
    folder: &Path,
    outbound: &[OutboundMessage],
    documents: &[Document],
    bless: Bless,
) -> Vec<Finding> {
    let mut run = Run {
        bless,
        findings: Vec::new(),
    };
    let settings = run.settings(&folder.join("samples/settings.json"));
    for message in outbound {
        run.message(
            &folder.join("samples").join(message.message()),
            message,
            &settings,
        );
    }
    for document in documents {
        run.document(&folder.join("samples").join(document.name()), document);
    }
    run.findings
}

struct Run {
    bless: Bless,
    findings: Vec<Finding>,
}

impl Run {
    fn find(&mut self, path: &Path, text: impl Into<String>) {
        self.findings
            .push(Finding::new(path.display().to_string(), None, text));
    }

    fn settings(&mut self, path: &Path) -> BTreeMap<String, String> {
        if !path.exists() {
            return BTreeMap::new();
        }
        let text = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            self.find(path, format!("is not an object of texts: {error}"));
            BTreeMap::new()
        })
    }

    fn message(
        &mut self,
        folder: &Path,
        outbound: &OutboundMessage,
        settings: &BTreeMap<String, String>,
    ) {
        let secrets = Secrets::from_pairs([("sm2_key", SM2_KEY), ("tif_token", "sample-token")]);
        let at = Timestamp::from_second(AT_SECONDS).expect("a second of 2021 is a timestamp");
        let reference = if outbound.envelope.is_some() {
            outbound.new_reference(settings, at, 1)
        } else {
            REFERENCE.to_owned()
        };
        let extension = outbound
            .template
            .as_deref()
            .and_then(|name| name.rsplit_once('.'))
            .map_or("txt", |(_, extension)| extension);
        let render = |mut body: serde_json::Value| {
            if let (Some(disclosure), Some(records)) = (
                &outbound.disclosure,
                body.get_mut("records")
                    .and_then(serde_json::Value::as_array_mut),
            ) {
                records
                    .iter_mut()
                    .for_each(|record| *record = disclosure.record(record));
            }
            let context = RenderContext {
                body: &body,
                settings,
                secrets: &secrets,
                reference: &reference,
                at,
            };
            outbound
                .render_with_nonce(&context, NONCE)
                .map(|request| String::from_utf8_lossy(&request.body).into_owned())
                .map_err(|fault| fault.text)
        };
        self.renderings(folder, extension, &render);
        let replies = files(&folder.join("replies"), ".http");
        if replies.is_empty() {
            self.find(&folder.join("replies"), "has no samples; add one <name>.http for each outcome the partner's answers can mean");
        }
        self.orphans(&folder.join("replies"), ".expected.txt", ".http");
        for path in replies {
            let found = match std::fs::read(&path)
                .map_err(|error| error.to_string())
                .and_then(|bytes| answer(&bytes))
            {
                Ok(answer) => {
                    let answer = outbound.decoded(answer);
                    let verdict = outbound.judge(&answer, &reference);
                    shown(&verdict) + &results(outbound, &answer, &verdict)
                }
                Err(text) => {
                    self.find(&path, text);
                    continue;
                }
            };
            self.compare(&beside(&path, ".http", ".expected.txt"), &found);
        }
    }

    fn document(&mut self, folder: &Path, document: &Document) {
        let extension = document
            .template
            .rsplit_once('.')
            .map_or("txt", |(_, extension)| extension);
        self.renderings(folder, extension, &|body| {
            document.render(&body).map_err(|fault| fault.text)
        });
    }

    fn renderings(
        &mut self,
        folder: &Path,
        extension: &str,
        render: &dyn Fn(serde_json::Value) -> Result<String, String>,
    ) {
        let inputs: Vec<PathBuf> = files(folder, ".json")
            .into_iter()
            .filter(|path| !path.to_string_lossy().ends_with(".expected.json"))
            .collect();
        if inputs.is_empty() {
            self.find(folder, "has no samples; add one <name>.json with the data of a typical message, and bless it");
        }
        let ending = format!(".expected.{extension}");
        self.orphans(folder, &ending, ".json");
        for path in inputs {
            let rendered = std::fs::read(&path)
                .map_err(|error| error.to_string())
                .and_then(|bytes| {
                    serde_json::from_slice(&bytes).map_err(|error| format!("is not JSON: {error}"))
                })
                .and_then(render);
            match rendered {
                Ok(text) => self.compare(&beside(&path, ".json", &ending), &text),
                Err(text) => self.find(&path, text),
            }
        }
    }

    /// Finds expected files that belong to no input: a renamed sample would otherwise go unnoticed.
    fn orphans(&mut self, folder: &Path, ending: &str, input: &str) {
        for path in files(folder, ending) {
            if !beside(&path, ending, input).exists() {
                self.find(&path, format!("belongs to no sample; expected one beside it that ends in {input}, or remove it"));
            }
        }
    }

    /// Compares with an expected file; a missing one is written when blessing.
    fn compare(&mut self, expected: &Path, found: &str) {
        match std::fs::read_to_string(expected) {
            Ok(text) if text.trim_end() == found.trim_end() => {}
            Ok(text) => {
                let line = text
                    .lines()
                    .zip(found.lines())
                    .position(|(a, b)| a != b)
                    .unwrap_or_else(|| text.lines().count().min(found.lines().count()));
                let part = |text: &str| {
                    text.lines()
                        .nth(line)
                        .unwrap_or("<end>")
                        .chars()
                        .take(300)
                        .collect::<String>()
                };
                let text = format!(
                    "differs in what comes out:\n  expected {}\n  found    {}",
                    part(&text),
                    part(found)
                );
                self.findings.push(Finding::new(
                    expected.display().to_string(),
                    Some((line + 1, 1)),
                    text,
                ));
            }
            Err(_) if self.bless == Bless::Missing => {
                if let Err(error) = std::fs::write(expected, format!("{}\n", found.trim_end())) {
                    self.find(expected, format!("cannot be written: {error}"));
                }
            }
            Err(error) => self.find(
                expected,
                format!(
                    "cannot be read: {error}; write it, or bless what comes out after looking at it"
                ),
            ),
        }
    }
}

/// Files of a folder that end so, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    paths
}

fn beside(path: &Path, ending: &str, other: &str) -> PathBuf {
    let text = path.to_string_lossy();
    PathBuf::from(format!(
        "{}{other}",
        text.strip_suffix(ending).unwrap_or(&text)
    ))
}

/// An answer as written in a `.http` file: `200 OK` or `HTTP/1.1 200 OK`, headers, empty line, body in the bytes that came.
fn answer(bytes: &[u8]) -> Result<Answer, String> {
    let ends = [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .filter_map(|end| {
            Some((
                bytes.windows(end.len()).position(|found| found == *end)?,
                end.len(),
            ))
        })
        .min();
    let (head, body) = ends.map_or((bytes, &b""[..]), |(at, length)| {
        (&bytes[..at], &bytes[at + length..])
    });
    let head = std::str::from_utf8(head)
        .map_err(|_| "has a head that is not ASCII")?
        .replace("\r\n", "\n");
    let mut lines = head.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').find_map(|word| {
        word.parse::<u16>()
            .ok()
            .filter(|status| (100..600).contains(status))
    });
    let status = status.ok_or("its first line has no status; expected one such as `200 OK`")?;
    let headers = lines
        .map(|line| {
            line.split_once(':')
                .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or("has a header without a colon; an empty line ends the headers")?;
    Ok(Answer {
        status,
        headers,
        body: body.to_vec(),
    })
}

/// The results an accepting answer holds, one a line, as the gateway reads them.
fn results(outbound: &OutboundMessage, answer: &Answer, verdict: &Verdict) -> String {
    let Some(results) = outbound
        .results()
        .filter(|_| matches!(verdict.outcome, Outcome::Accepted | Outcome::Duplicate))
    else {
        return String::new();
    };
    let mut lines = String::new();
    let read = results.read(answer, &mut |line, record| {
        lines.push_str(&match line {
            DecodedLine::Good { index } => format!("\n{}", canonical(*index, record)),
            DecodedLine::Refused(refusal) => {
                format!("\nunreadable: {} {}", refusal.element, refusal.reason)
            }
        });
    });
    match read {
        Ok(count) => format!("\nresults: {count}{lines}"),
        Err(reason) => format!("\nresults: {reason}"),
    }
}

fn shown(verdict: &Verdict) -> String {
    let pause = verdict
        .retry_after
        .map_or_else(String::new, |pause| format!(" {}", pause.as_secs()));
    let text = if verdict.text.is_empty() {
        String::new()
    } else {
        format!(": {}", verdict.text)
    };
    format!("{}{pause}{text}", verdict.outcome.word())
}
