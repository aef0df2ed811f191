//! Institutions and caregivers in: records, versions, loads, dates, order of commit, privacy.

mod calendar;
mod load;
mod order;
mod privacy;
mod records;
mod schema;

use jiff::civil::{Date, date};
use ltcgw::flow::clock::CityClock;
use ltcgw::flow::publish::Registrar;
use serde_json::{Value, json};

use crate::support::Gateway;

/// The day on which these tests take place, unless they say otherwise.
pub const TODAY: Date = date(2026, 6, 15);

/// An institution as it should be.
pub fn institution(id: &str, version: i64) -> Value {
    json!({
        "institution_id": id, "version": version, "uscc": "91350100M000100Y43", "name": "康宁护理院", "division": "450103", "kind": "elderly_care",
        "modes": ["residential"], "beds": 100, "care_beds": 40,
        "agreement": { "number": "A1", "signed_on": "2025-12-20", "valid_from": "2026-01-01", "valid_to": "2026-12-31" },
        "statuses": [{ "status": "agreement_in_force", "from": "2026-01-01" }],
        "medical_insurance_designated": true, "registered_on": "2025-12-20", "personal": {}
    })
}

/// A caregiver as he or she should be, of institution `I1`.
pub fn caregiver(id: &str, version: i64) -> Value {
    json!({
        "caregiver_id": id, "version": version, "sex": "female", "kind": "social", "institution_id": "I1", "job": "caregiver",
        "health_statement_on": "2026-01-10", "contract": { "from": "2026-01-01" }, "training": [{ "year": 2026, "hours": 20 }],
        "statuses": [{ "status": "active", "from": "2026-01-01" }], "registered_on": "2026-01-01",
        "personal": { "name": "张秀英", "certificate_type": "passport", "certificate_number": format!("E{id}"), "birth_on": "1980-06-15" }
    })
}

/// A record with some fields changed, by JSON pointer; null removes.
pub fn with(mut record: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').expect("a path");
        let parent = record
            .pointer_mut(parent)
            .expect("the parent")
            .as_object_mut()
            .expect("an object");
        if value.is_null() {
            parent.remove(key)
        } else {
            parent.insert(key.to_string(), value.clone())
        };
    }
    record
}

/// A gateway on [`TODAY`], with the LTC system's certificate at hand.
pub struct Ltc {
    pub gateway: Gateway,
    pub client: reqwest::Client,
}

impl Ltc {
    pub async fn start() -> Ltc {
        let clock = CityClock::default();
        clock.set_day(TODAY);
        let gateway = Gateway::at(clock, |scene| scene).await;
        let client = gateway.stage.client("ltc-system").expect("a client");
        Ltc { gateway, client }
    }

    pub fn registrar(&self) -> &Registrar {
        &self.gateway.running.gateway.registrar
    }

    /// Sends any request and returns status and body.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let answer = self
            .client
            .request(method, self.gateway.url(path))
            .body(body)
            .send()
            .await
            .expect("an answer");
        let (status, bytes) = (
            answer.status().as_u16(),
            answer.bytes().await.expect("a body"),
        );
        (
            status,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into())),
        )
    }

    /// Puts a record under its own id.
    pub async fn put(&self, record: &Value) -> (u16, Value) {
        let (routes, id) = match record
            .get("institution_id")
            .filter(|_| record.get("caregiver_id").is_none())
        {
            Some(id) => ("institutions", id),
            None => ("caregivers", &record["caregiver_id"]),
        };
        let path = format!("/ltc/v1/{routes}/{}", id.as_str().expect("an id"));
        self.call("PUT", &path, record.to_string()).await
    }

    /// Puts a record that must be taken.
    pub async fn take(&self, record: &Value) -> Value {
        let (status, answer) = self.put(record).await;
        assert!((200..300).contains(&status), "{status} {answer}");
        answer
    }

    /// Loads lines and returns the answers and the summary.
    pub async fn load(&self, lines: &[String]) -> (Vec<Value>, Value) {
        let answer = self
            .client
            .post(self.gateway.url("/ltc/v1/registry"))
            .body(lines.join("\n"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.expect("a whole body");
        let mut answers: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect();
        let last = answers.pop().expect("a summary");
        (answers, last)
    }

    /// The change log as `sequence kind id version change status`.
    pub async fn log(&self) -> Vec<String> {
        let changes = self
            .registrar()
            .registry
            .changes_after(0, &ltcgw::model::registry::EntityKind::ALL, 10_000)
            .await
            .expect("changes");
        let line = |change: ltcgw::store::registry::RegistryChange| {
            format!(
                "{} {} {} {} {} {} {}",
                change.sequence,
                change.kind,
                change.entity_id,
                change.version,
                change.change.word(),
                change.effective_on,
                change.status.as_deref().unwrap_or("-")
            )
        };
        changes.into_iter().map(line).collect()
    }
}

/// Results of answers, in order.
pub fn results(answers: &[Value]) -> Vec<&str> {
    answers
        .iter()
        .map(|answer| answer["result"].as_str().expect("a result"))
        .collect()
}
