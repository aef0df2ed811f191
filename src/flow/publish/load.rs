//! Many submissions in one request, a line each: read, checked, stored in portions, answered line by line.
//!
//! A bad line does not stop the good ones. A load goes on when its caller has gone, and ends between two
//! portions when the gateway stops: what was answered is durable, and no portion is stored by half.
//! Memory stays the same whatever the length: one portion
//! is parsed while the one before is stored, and answers flow back as portions are done.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::prepare::prepare;
use super::{
    Registrar, SubmissionAnswer, SubmissionOutcome, SubmissionProblem, parse, remember,
    without_mark,
};
use crate::error::{Fault, Stage};
use crate::flow::Gateway;
use crate::flow::intake::ReceivedBody;
use crate::model::registry::Submission;
use crate::registry::{KnownInstitution, Lookup};

/// Lines stored in one transaction.
const LINES: usize = 2_000;
/// Bytes of lines in one portion.
const BYTES: usize = 4 << 20;
/// Longest line.
const LINE_MAX: usize = 1 << 20;
/// How long a caller may take for the last answers when the gateway stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

type Line = (u64, Result<Submission, SubmissionProblem>);

/// How a load ended, as its last line: `{"summary": {...}}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LoadSummary {
    pub lines: u64,
    pub stored: u64,
    pub unchanged: u64,
    pub older: u64,
    /// Ends of what nobody has sent.
    pub unknown: u64,
    pub refused: u64,
}

#[derive(Serialize)]
struct Last<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'a str>,
    summary: LoadSummary,
}

/// Takes every line of a body; answers go to `answers` as NDJSON and end with a summary, which has
/// a `fault` when the gateway could not go on: lines after those answered were not taken.
pub async fn load(
    gateway: Gateway,
    sender: String,
    body: ReceivedBody,
    answers: mpsc::Sender<Bytes>,
) -> LoadSummary {
    let (portions, mut parsed) = mpsc::channel::<Result<Vec<Line>, Fault>>(1);
    let reading = tokio::task::spawn_blocking(move || read(body.reader(), &portions));
    let mut caller = Caller::new(&gateway, answers);
    let stopping = gateway.loads.stopping().clone();
    let mut loading = Loading {
        gateway,
        sender,
        known: HashMap::new(),
        summary: LoadSummary::default(),
    };
    let mut fault = None;
    while let Some(portion) = parsed.recv().await {
        if stopping.is_cancelled() {
            fault = Some("the gateway is stopping; send the lines that have no answer again later");
            break;
        }
        let told = match portion {
            Ok(lines) => loading.store(lines).await,
            Err(fault) => Err(fault),
        };
        match told {
            Ok(told) => caller.tell(told).await,
            Err(error) => {
                tracing::error!(sender = %loading.sender, %error, lines = loading.summary.lines, "registry load broke off");
                fault = Some(
                    "the gateway cannot take more now; send the lines that have no answer again later",
                );
                break;
            }
        }
    }
    drop(parsed);
    let _ = reading.await;
    let summary = loading.summary;
    tracing::info!(sender = %loading.sender, ?summary, complete = fault.is_none(), "registry load");
    let mut last = serde_json::to_vec(&Last { fault, summary }).unwrap_or_default();
    last.push(b'\n');
    caller.tell(last.into()).await;
    summary
}

/// Whoever sent the lines: may have gone, or take no answers; the lines are taken all the same.
struct Caller {
    /// `None` once it is not waited for any more.
    answers: Option<mpsc::Sender<Bytes>>,
    patience: Duration,
    stopping: CancellationToken,
}

impl Caller {
    fn new(gateway: &Gateway, answers: mpsc::Sender<Bytes>) -> Caller {
        let patience = Duration::from_secs(gateway.config.gateway.receive.idle_seconds);
        Caller {
            answers: Some(answers),
            patience,
            stopping: gateway.loads.stopping().clone(),
        }
    }

    async fn tell(&mut self, told: Bytes) {
        let Some(answers) = &self.answers else { return };
        let stopping = async {
            self.stopping.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let taken = tokio::select! {
            sent = answers.send(told) => sent.is_ok(),
            () = tokio::time::sleep(self.patience) => false,
            () = stopping => false,
        };
        if !taken {
            self.answers = None;
        }
    }
}

/// Reads lines and parses them, a portion at a time, until nobody wants more.
fn read(mut body: Box<dyn BufRead + Send>, portions: &mpsc::Sender<Result<Vec<Line>, Fault>>) {
    let (mut number, mut bytes, mut lines, mut buffer) = (0, 0, Vec::new(), Vec::new());
    loop {
        buffer.clear();
        match next_line(&mut body, &mut buffer) {
            Ok(Next::End) => break,
            Err(error) => {
                let _ = portions.blocking_send(Err(Fault::later(
                    Stage::Receive,
                    format!("the temporary file of a load cannot be read: {error}"),
                )));
                return;
            }
            Ok(next) => {
                number += 1;
                bytes += buffer.len();
                if let Next::TooLong = next {
                    lines.push((
                        number,
                        Err(SubmissionProblem::new(
                            "",
                            "json",
                            format!("the line is longer than {LINE_MAX} bytes"),
                        )),
                    ));
                } else if !without_mark(&buffer).trim_ascii().is_empty() {
                    lines.push((number, parse(&buffer)));
                }
            }
        }
        if lines.len() >= LINES || bytes >= BYTES {
            bytes = 0;
            if portions
                .blocking_send(Ok(std::mem::take(&mut lines)))
                .is_err()
            {
                return;
            }
        }
    }
    if !lines.is_empty() {
        let _ = portions.blocking_send(Ok(lines));
    }
}

enum Next {
    Line,
    TooLong,
    End,
}

fn next_line(body: &mut dyn BufRead, buffer: &mut Vec<u8>) -> std::io::Result<Next> {
    if body.take(LINE_MAX as u64 + 1).read_until(b'\n', buffer)? == 0 {
        return Ok(Next::End);
    }
    if buffer.len() <= LINE_MAX || buffer.ends_with(b"\n") {
        return Ok(Next::Line);
    }
    while !buffer.ends_with(b"\n") {
        buffer.clear();
        if body.take(LINE_MAX as u64).read_until(b'\n', buffer)? == 0 {
            break;
        }
    }
    buffer.clear();
    Ok(Next::TooLong)
}

struct Loading {
    gateway: Gateway,
    sender: String,
    /// Institutions looked up so far; those this load touches are looked up again.
    known: HashMap<String, KnownInstitution>,
    summary: LoadSummary,
}

impl Loading {
    /// Checks and stores a portion; returns its answers as NDJSON.
    async fn store(&mut self, lines: Vec<Line>) -> Result<Bytes, Fault> {
        let registrar = self.gateway.registrar.clone();
        self.look_up(&registrar, &lines).await?;
        let known = std::mem::take(&mut self.known);
        let checked = tokio::task::spawn_blocking(move || check(&registrar, known, lines)).await;
        let Checked {
            known,
            mut answers,
            puts,
            at,
        } = checked.map_err(|error| {
            Fault::later(
                Stage::Store,
                format!("checking registry lines ended unexpectedly: {error}"),
            )
        })?;
        self.known = known;
        let taken = self
            .gateway
            .registrar
            .registry
            .put_batch(&self.sender, &puts)
            .await?;
        for (at, taken) in at.into_iter().zip(taken) {
            answers[at].settle(taken);
        }
        (self.gateway.wake)(&self.gateway.audience.entries);
        let mut told = Vec::with_capacity(answers.len() * 100);
        for answer in &answers {
            self.count(answer.result);
            serde_json::to_writer(&mut told, answer).map_err(|error| {
                Fault::later(
                    Stage::Store,
                    format!("an answer cannot be written: {error}"),
                )
            })?;
            told.push(b'\n');
        }
        Ok(told.into())
    }

    async fn look_up(&mut self, registrar: &Registrar, lines: &[Line]) -> Result<(), Fault> {
        let mut wanted: Vec<&str> = lines
            .iter()
            .filter_map(|(_, line)| match line {
                Ok(Submission::Caregiver(caregiver)) => Some(caregiver.institution_id.as_str()),
                _ => None,
            })
            .filter(|id| !self.known.contains_key(*id))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            Ok(())
        } else {
            remember(registrar, &mut self.known, &wanted).await
        }
    }

    fn count(&mut self, outcome: SubmissionOutcome) {
        self.summary.lines += 1;
        match outcome {
            SubmissionOutcome::Stored => self.summary.stored += 1,
            SubmissionOutcome::Unchanged => self.summary.unchanged += 1,
            SubmissionOutcome::Older => self.summary.older += 1,
            SubmissionOutcome::Unknown => self.summary.unknown += 1,
            SubmissionOutcome::Refused => self.summary.refused += 1,
        }
    }
}

struct Checked {
    known: HashMap<String, KnownInstitution>,
    answers: Vec<SubmissionAnswer>,
    puts: Vec<crate::store::registry::Put>,
    /// Which answer each put belongs to.
    at: Vec<usize>,
}

/// Institutions as a portion sees them: those of its own lines before those looked up.
struct Overlay<'a> {
    own: HashMap<String, Option<KnownInstitution>>,
    known: &'a HashMap<String, KnownInstitution>,
}

impl Lookup for Overlay<'_> {
    fn institution(&self, id: &str) -> Option<KnownInstitution> {
        match self.own.get(id) {
            Some(own) => own.clone(),
            None => self.known.get(id).cloned(),
        }
    }
}

fn check(
    registrar: &Registrar,
    mut known: HashMap<String, KnownInstitution>,
    lines: Vec<Line>,
) -> Checked {
    let (mut answers, mut puts, mut at) = (
        Vec::with_capacity(lines.len()),
        Vec::with_capacity(lines.len()),
        Vec::new(),
    );
    let mut overlay = Overlay {
        own: HashMap::new(),
        known: &known,
    };
    for (number, line) in lines {
        let submission = match line {
            Ok(submission) => submission,
            Err(problem) => {
                answers.push(SubmissionAnswer::unreadable(Some(number), problem));
                continue;
            }
        };
        let (mut answer, put) = prepare(registrar, &submission, &overlay);
        answer.line = Some(number);
        if let Some(put) = put {
            match &submission {
                Submission::Institution(record) => {
                    let seen = KnownInstitution {
                        designated: put.designated,
                        registered: true,
                        division: record.division.clone(),
                    };
                    overlay
                        .own
                        .insert(record.institution_id.clone(), Some(seen));
                }
                Submission::DeleteInstitution(deletion) => {
                    let before = overlay.institution(&deletion.id);
                    overlay.own.insert(
                        deletion.id.clone(),
                        before.map(|before| KnownInstitution {
                            designated: false,
                            registered: false,
                            ..before
                        }),
                    );
                }
                _ => {}
            }
            at.push(answers.len());
            puts.push(put);
        }
        answers.push(answer);
    }
    let own: Vec<String> = overlay.own.into_keys().collect();
    for id in own {
        known.remove(&id);
    }
    Checked {
        known,
        answers,
        puts,
        at,
    }
}
