//! The LTC system as the registries' source: loads them, tells what happens, keeps books of its own.
//!
//! Knows only its own entries and what the gateway answers over the wire. Its books change with
//! what it sends, whatever the gateway makes of it; only what it knows to be late or altered is
//! left out of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::Registries;
use super::life::{Event, ExpectedAnswer, Happening};
use crate::error::{Fault, Stage};
use crate::model::registry::{Caregiver, EntityKind, Institution, Submission};

/// How often a message is sent that is told to come later.
const TRIES: usize = 20;
/// Lines of a load that are wrong on purpose, each in its own way.
pub(super) const FLAWED: u64 = 6;

/// What the LTC system holds: entries in their last version, ended ones as `None`.
#[derive(Debug, Default)]
pub struct SourceRegistry(BTreeMap<(EntityKind, String), Option<Submission>>);

impl SourceRegistry {
    pub fn institution(&self, id: &str) -> Option<Institution> {
        match self.0.get(&(EntityKind::Institution, id.to_string()))? {
            Some(Submission::Institution(record)) => Some((**record).clone()),
            _ => None,
        }
    }

    pub fn caregiver(&self, id: &str) -> Option<Caregiver> {
        match self.0.get(&(EntityKind::Caregiver, id.to_string()))? {
            Some(Submission::Caregiver(record)) => Some((**record).clone()),
            _ => None,
        }
    }

    /// Every entry by kind and id; `None`: it has ended.
    pub fn entries(&self) -> impl Iterator<Item = (&(EntityKind, String), Option<&Submission>)> {
        self.0.iter().map(|(key, held)| (key, held.as_ref()))
    }

    fn keep(&mut self, submission: &Submission) {
        let held = match submission {
            Submission::Institution(_) | Submission::Caregiver(_) => Some(submission.clone()),
            Submission::DeleteInstitution(_) | Submission::DeleteCaregiver(_) => None,
        };
        self.0
            .insert((submission.kind(), submission.id().to_string()), held);
    }
}

/// How the gateway has answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceAnswers {
    /// Lines of the load.
    pub lines: u64,
    pub stored: u64,
    pub refused: u64,
    /// Refused lines by the rule they broke.
    pub reasons: BTreeMap<String, u64>,
    /// Entries taken with a warning.
    pub warned: u64,
    /// What has happened since, by kind of happening.
    pub happened: BTreeMap<Happening, u64>,
    /// Answers that were not as expected; texts without personal data.
    pub differences: Vec<String>,
}

/// The LTC system's side of the registries.
pub struct LtcSystem {
    http: reqwest::Client,
    base: String,
    city: Registries,
    pub books: SourceRegistry,
    pub answers: SourceAnswers,
}

impl LtcSystem {
    /// With a client that has its certificate; `base` such as `https://gateway:8443`.
    pub fn new(http: reqwest::Client, base: impl Into<String>, city: Registries) -> LtcSystem {
        LtcSystem {
            http,
            base: base.into(),
            city,
            books: SourceRegistry::default(),
            answers: SourceAnswers::default(),
        }
    }

    /// Loads every entry in one request, a line each, with some flawed lines between them.
    ///
    /// # Errors
    /// The gateway refuses the request or breaks off.
    pub async fn load(&mut self) -> Result<(), Fault> {
        let mut body = Vec::new();
        for submission in self.city.submissions() {
            self.books.keep(&submission);
            write_line(&mut body, &submission)?;
        }
        for line in flawed(&self.city) {
            body.extend_from_slice(line.as_bytes());
            body.push(b'\n');
        }
        let (status, text) = self
            .send(reqwest::Method::POST, "/ltc/v1/registry", body)
            .await?;
        if status != 200 {
            return Err(Fault::partner(
                Stage::Receive,
                format!("the load was answered with {status}"),
            ));
        }
        for line in text.lines() {
            let answer: Value = serde_json::from_str(line)
                .map_err(|_| Fault::partner(Stage::Receive, "an answer to the load is not JSON"))?;
            self.note(&answer);
        }
        let wanted = self.books.0.len() as u64;
        if (self.answers.stored, self.answers.refused) != (wanted, FLAWED) {
            let text = format!(
                "the load: {} stored, {} refused; expected {wanted} and {FLAWED}",
                self.answers.stored, self.answers.refused
            );
            self.answers.differences.push(text);
        }
        Ok(())
    }

    /// Tells the gateway of one happening and notes what it answers.
    ///
    /// # Errors
    /// The gateway cannot be reached or goes on asking to wait.
    pub async fn tell(&mut self, event: &Event) -> Result<(), Fault> {
        let Event {
            happening,
            submission,
        } = event;
        let path = format!("/ltc/v1/{}/{}", submission.kind().plural(), submission.id());
        let (method, body) = match submission {
            Submission::Institution(record) => (reqwest::Method::PUT, serde_json::to_vec(record)),
            Submission::Caregiver(record) => (reqwest::Method::PUT, serde_json::to_vec(record)),
            Submission::DeleteInstitution(deletion) | Submission::DeleteCaregiver(deletion) => {
                let body = serde_json::json!({ "version": deletion.version, "reason": deletion.reason, "on": deletion.on });
                (reqwest::Method::DELETE, serde_json::to_vec(&body))
            }
        };
        let body =
            body.map_err(|_| Fault::operator(Stage::Send, "a registry record cannot be written"))?;
        let (status, text) = self.send(method, &path, body).await?;
        let result = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|answer| answer["result"].as_str().map(str::to_owned))
            .unwrap_or_default();
        let met = match happening.expected() {
            ExpectedAnswer::Stored => matches!((status, result.as_str()), (200 | 201, "stored")),
            ExpectedAnswer::Older => (status, result.as_str()) == (200, "older"),
            ExpectedAnswer::Refused => status == 409,
        };
        if happening.expected() == ExpectedAnswer::Stored {
            self.books.keep(submission);
        }
        if !met {
            let text = format!(
                "{}: {} {} was answered with {status} {result}",
                happening.words(),
                submission.kind(),
                submission.id()
            );
            self.answers.differences.push(text);
        }
        *self.answers.happened.entry(*happening).or_default() += 1;
        Ok(())
    }

    fn note(&mut self, answer: &Value) {
        if !answer["summary"].is_null() {
            self.answers.lines = answer["summary"]["lines"].as_u64().unwrap_or_default();
            return;
        }
        let said = |list: &str| answer[list].as_array().cloned().unwrap_or_default();
        match answer["result"].as_str() {
            Some("stored") => self.answers.stored += 1,
            _ => {
                self.answers.refused += 1;
                for problem in said("problems") {
                    let rule = problem["rule"].as_str().unwrap_or("?").to_owned();
                    *self.answers.reasons.entry(rule).or_default() += 1;
                }
            }
        }
        self.answers.warned += u64::from(!said("warnings").is_empty());
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(u16, String), Fault> {
        let body = bytes::Bytes::from(body);
        for _ in 0..TRIES {
            let sent = self
                .http
                .request(method.clone(), format!("{}{path}", self.base))
                .body(body.clone())
                .send()
                .await;
            let answer = sent.map_err(broken)?;
            let status = answer.status().as_u16();
            let wait = answer
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse().ok());
            match (status, wait) {
                (429 | 503, Some(seconds)) => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await
                }
                _ => return Ok((status, answer.text().await.map_err(broken)?)),
            }
        }
        Err(Fault::later(
            Stage::Send,
            format!("the gateway asked to wait {TRIES} times"),
        ))
    }
}

fn broken(error: reqwest::Error) -> Fault {
    Fault::later(
        Stage::Send,
        format!(
            "telling the gateway of the registries broke off: {}",
            error.without_url()
        ),
    )
}

fn write_line(body: &mut Vec<u8>, submission: &Submission) -> Result<(), Fault> {
    serde_json::to_writer(&mut *body, submission)
        .map_err(|_| Fault::operator(Stage::Send, "a registry record cannot be written"))?;
    body.push(b'\n');
    Ok(())
}

/// Lines that must be refused, each for another reason.
fn flawed(city: &Registries) -> Vec<String> {
    let made = |at: u64, spoil: fn(&mut Caregiver)| {
        let mut record = city.caregiver(city.caregivers + 1_000 + at);
        spoil(&mut record);
        serde_json::to_string(&Submission::Caregiver(Box::new(record))).unwrap_or_default()
    };
    let mut institution = city.institution(city.institutions + 1_000);
    institution.division = "440300".into();
    let lines = vec![
        made(0, |record| record.institution_id = "NN-I99999".into()),
        made(1, |record| record.health_statement_on = None),
        made(2, |record| {
            record.kind = crate::model::registry::CaregiverKind::Exclusive
        }),
        made(3, |record| record.personal = None),
        serde_json::to_string(&Submission::Institution(Box::new(institution))).unwrap_or_default(),
        "{\"caregiver\": {\"caregiver_id\": \"NN-C9\", \"wages\": 1}}".into(),
    ];
    debug_assert_eq!(lines.len() as u64, FLAWED);
    lines
}
