//! The simulated supervision platform of the health commission: institutions and nurses in JSON.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use serde_json::{Map, Value, json};

use super::Desk;
use super::https::{Handling, deliver};
use super::register::{ReceivedEntry, RegisterOutcome};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/hc/api/v1/institutions", web::post().to(institutions))
        .route("/hc/api/v1/nurses", web::post().to(nurses));
}

const INSTITUTION: &[&str] = &[
    "credit_code",
    "name",
    "region",
    "grade",
    "licence_no",
    "licence_expires_on",
    "modes",
    "beds",
    "ltc_designated",
    "ltc_status",
    "effective_on",
];
const NURSE: &[&str] = &[
    "name",
    "institution_id",
    "certificates",
    "ltc_status",
    "effective_on",
];

struct List {
    kind: &'static str,
    list: &'static str,
    fields: &'static [&'static str],
    body: Bytes,
}

async fn institutions(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(
        &desk,
        &List {
            kind: "institution",
            list: "institutions",
            fields: INSTITUTION,
            body,
        },
    )
    .await
}

async fn nurses(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(
        &desk,
        &List {
            kind: "caregiver",
            list: "nurses",
            fields: NURSE,
            body,
        },
    )
    .await
}

impl Handling for List {
    fn take(&self, desk: &Desk) -> HttpResponse {
        let records = match self.read() {
            Ok(records) => records,
            Err(text) => {
                desk.state().tally.refused += 1;
                return answer(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    &json!({ "code": "SCHEMA", "message": text }),
                );
            }
        };
        if desk
            .options
            .most
            .records_per_request
            .is_some_and(|most| records.len() > most)
        {
            desk.state().tally.over_limit += 1;
            return answer(
                StatusCode::UNPROCESSABLE_ENTITY,
                &json!({ "code": "TOO_MANY", "message": "more records than taken" }),
            );
        }
        let mut state = desk.state();
        let mut refused: Vec<Value> = Vec::new();
        for (id, held) in records {
            match state.register.keep(self.kind, &id, held) {
                RegisterOutcome::New => {}
                RegisterOutcome::Stale => {
                    state.tally.repeats += 1;
                    refused.push(json!({ "id": id, "code": "STALE" }));
                }
                RegisterOutcome::Refused => {
                    state.tally.refused += 1;
                    refused.push(
                        json!({ "id": id, "code": "REFUSED", "message": "refused by the script" }),
                    );
                }
            }
        }
        answer(StatusCode::OK, &json!({ "code": "OK", "refused": refused }))
    }

    fn refuse(&self, _desk: &Desk, code: &str) -> HttpResponse {
        answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({ "code": code, "message": "refused by the script" }),
        )
    }
}

impl List {
    /// Id and content of every record, or what is wrong.
    fn read(&self) -> Result<Vec<(String, ReceivedEntry)>, String> {
        let document: Map<String, Value> =
            serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        if document.len() != 2
            || document
                .get("batch")
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
        {
            return Err("expected batch and a list, nothing else".into());
        }
        let list = document
            .get(self.list)
            .and_then(Value::as_array)
            .filter(|list| !list.is_empty())
            .ok_or("the list is missing or empty")?;
        list.iter().map(|record| self.record(record)).collect()
    }

    fn record(&self, record: &Value) -> Result<(String, ReceivedEntry), String> {
        let mut fields = record.as_object().cloned().ok_or("a record is no object")?;
        let id = fields
            .remove("id")
            .and_then(|id| id.as_str().map(str::to_owned))
            .filter(|id| !id.is_empty())
            .ok_or("id is missing")?;
        let revision = fields
            .remove("revision")
            .and_then(|revision| revision.as_i64())
            .ok_or_else(|| format!("{id}: revision is missing"))?;
        if fields.contains_key("removed_on") {
            let whole = fields.len() == 2
                && fields
                    .get("reason")
                    .and_then(Value::as_str)
                    .is_some_and(|reason| !reason.is_empty());
            return if whole {
                Ok((
                    id,
                    ReceivedEntry {
                        revision,
                        fields: None,
                    },
                ))
            } else {
                Err(format!("{id}: a removal has removed_on and reason"))
            };
        }
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        if names.len() != self.fields.len()
            || !self.fields.iter().all(|field| names.contains(field))
        {
            return Err(format!(
                "{id}: expected the fields {}",
                self.fields.join(", ")
            ));
        }
        Ok((
            id,
            ReceivedEntry {
                revision,
                fields: Some(fields),
            },
        ))
    }
}

fn answer(status: StatusCode, body: &Value) -> HttpResponse {
    HttpResponse::build(status).json(body)
}
