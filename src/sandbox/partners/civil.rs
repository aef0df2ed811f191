//! The simulated elderly-care platform of civil affairs: lists of institutions and caregivers in XML.

use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpResponse, http::StatusCode};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value, json};

use super::Desk;
use super::https::{Handling, deliver};
use super::register::{ReceivedEntry, RegisterOutcome};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/ylfw/v1/institutions", web::post().to(institutions))
        .route("/ylfw/v1/caregivers", web::post().to(caregivers));
}

/// Elements of a record with whether it must have them; `Mode` and `Qualification` may repeat.
type Elements = &'static [(&'static str, bool)];

const INSTITUTION: Elements = &[
    ("Uscc", true),
    ("Name", true),
    ("Division", true),
    ("Address", false),
    ("Kind", true),
    ("Mode", true),
    ("Stars", false),
    ("Beds", false),
    ("CareBeds", false),
    ("Designated", true),
    ("Agreement", false),
    ("Status", false),
    ("EffectiveOn", true),
];
const CAREGIVER: Elements = &[
    ("Name", true),
    ("InstitutionId", true),
    ("Job", true),
    ("Kind", true),
    ("Qualification", false),
    ("Contract", false),
    ("Status", false),
    ("EffectiveOn", true),
];

struct List {
    kind: &'static str,
    element: &'static str,
    elements: Elements,
    body: Bytes,
}

async fn institutions(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(
        &desk,
        &List {
            kind: "institution",
            element: "Institution",
            elements: INSTITUTION,
            body,
        },
    )
    .await
}

async fn caregivers(body: Bytes, desk: Data<Desk>) -> HttpResponse {
    deliver(
        &desk,
        &List {
            kind: "caregiver",
            element: "Caregiver",
            elements: CAREGIVER,
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
                return answer(StatusCode::UNPROCESSABLE_ENTITY, "21", &text, &[]);
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
                "22",
                "more records than taken",
                &[],
            );
        }
        let mut state = desk.state();
        let results = records.into_iter().map(|(id, held)| {
            let kept = state.register.keep(self.kind, &id, held);
            state.tally.repeats += u64::from(kept == RegisterOutcome::Stale);
            state.tally.refused += u64::from(kept == RegisterOutcome::Refused);
            (id, kept)
        });
        let results: Vec<(String, RegisterOutcome)> = results.collect();
        answer(StatusCode::OK, "0", "成功", &results)
    }

    fn refuse(&self, _desk: &Desk, code: &str) -> HttpResponse {
        answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            code,
            "refused by the script",
            &[],
        )
    }
}

impl List {
    /// Id and content of every record, or what is wrong.
    fn read(&self) -> Result<Vec<(String, ReceivedEntry)>, String> {
        let text = std::str::from_utf8(&self.body).map_err(|_| "not UTF-8")?;
        let mut reader = Reader::from_str(text);
        reader.config_mut().enable_all_checks(true);
        let (mut records, mut announced) = (Vec::new(), None);
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(tag) if announced.is_none() => {
                    announced = Some(
                        attribute(&tag, "count")?
                            .parse::<usize>()
                            .map_err(|_| "count")?,
                    )
                }
                Event::Start(tag) if name(&tag) == self.element => {
                    records.push(self.record(&mut reader, &tag)?)
                }
                Event::Start(tag) if name(&tag) == "Removed" => {
                    let held = ReceivedEntry {
                        revision: number(&attribute(&tag, "revision")?)?,
                        fields: None,
                    };
                    date(&attribute(&tag, "on")?)?;
                    let reason = content(&mut reader)?;
                    if reason.is_empty() {
                        return Err("Removed without a reason".into());
                    }
                    records.push((attribute(&tag, "id")?, held));
                }
                Event::Start(tag) => return Err(format!("unexpected element {}", name(&tag))),
                Event::Eof => break,
                _ => {}
            }
        }
        let right = announced == Some(records.len()) && !records.is_empty();
        if right {
            Ok(records)
        } else {
            Err("count is not the number of records".into())
        }
    }

    fn record(
        &self,
        reader: &mut Reader<&[u8]>,
        tag: &BytesStart<'_>,
    ) -> Result<(String, ReceivedEntry), String> {
        let (id, revision) = (attribute(tag, "id")?, number(&attribute(tag, "revision")?)?);
        let mut fields: Map<String, Value> = Map::new();
        loop {
            let (found, value) = match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(tag) => {
                    let attributes = attributes(&tag)?;
                    let text = json!(content(reader)?);
                    (
                        name(&tag),
                        if attributes.is_empty() {
                            text
                        } else {
                            json!([text, attributes])
                        },
                    )
                }
                Event::Empty(tag) => (name(&tag), json!(attributes(&tag)?)),
                Event::End(_) => break,
                _ => continue,
            };
            if !self.elements.iter().any(|(known, _)| *known == found) {
                return Err(format!("{id}: unexpected element {found}"));
            }
            if matches!(found.as_str(), "Mode" | "Qualification") {
                let list = fields.entry(found).or_insert_with(|| json!([]));
                list.as_array_mut().ok_or("a list")?.push(value);
            } else if fields.insert(found.clone(), value).is_some() {
                return Err(format!("{id}: {found} twice"));
            }
        }
        match self
            .elements
            .iter()
            .find(|(known, required)| *required && !fields.contains_key(*known))
        {
            Some((missing, _)) => Err(format!("{id}: {missing} is missing")),
            None => Ok((
                id,
                ReceivedEntry {
                    revision,
                    fields: Some(fields),
                },
            )),
        }
    }
}

/// The text up to the end of the element whose start was just read.
fn content(reader: &mut Reader<&[u8]>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(reference) => match reference
                .resolve_char_ref()
                .map_err(|error| error.to_string())?
            {
                Some(character) => text.push(character),
                None => text.push_str(
                    quick_xml::escape::resolve_predefined_entity(&reference)
                        .ok_or("an undefined entity")?,
                ),
            },
            Event::End(_) => return Ok(text),
            _ => return Err("an element inside a text".into()),
        }
    }
}

fn name(tag: &BytesStart<'_>) -> String {
    tag.local_name().as_ref().to_owned()
}

fn attributes(tag: &BytesStart<'_>) -> Result<Map<String, Value>, String> {
    let pairs = tag.attributes().map(|attribute| {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Explicit1_0)
            .map_err(|error| error.to_string())?;
        Ok((attribute.key.local_name().as_ref().to_owned(), json!(value)))
    });
    pairs.collect()
}

fn attribute(tag: &BytesStart<'_>, wanted: &str) -> Result<String, String> {
    attributes(tag)?
        .get(wanted)
        .and_then(Value::as_str)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| format!("attribute {wanted} is missing"))
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is no revision"))
}

fn date(text: &str) -> Result<jiff::civil::Date, String> {
    text.parse().map_err(|_| format!("`{text}` is no date"))
}

fn answer(
    status: StatusCode,
    code: &str,
    message: &str,
    results: &[(String, RegisterOutcome)],
) -> HttpResponse {
    let results: String = results
        .iter()
        .map(|(id, kept)| {
            let (code, text) = match kept {
                RegisterOutcome::New => ("0", ""),
                RegisterOutcome::Stale => ("1", "已有该版本"),
                RegisterOutcome::Refused => ("31", "refused by the script"),
            };
            format!(
                "<Result><Id>{}</Id><Code>{code}</Code><Message>{text}</Message></Result>",
                quick_xml::escape::escape(id)
            )
        })
        .collect();
    let message = quick_xml::escape::escape(message);
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Reply><Code>{code}</Code><Message>{message}</Message><Results>{results}</Results></Reply>\n"
    );
    HttpResponse::build(status)
        .content_type("application/xml; charset=utf-8")
        .body(body)
}
