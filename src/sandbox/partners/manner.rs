//! How a simulated partner words its answers, and what may stand before it.
//!
//! The published interface leaves much open, and real cores differ: so ours can be told to. By
//! default it does as the interface says.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use encoding_rs::GBK;

/// What the medical core puts into `inf_refmsgid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reference {
    /// A number of its own, as the interface says: its division (6), the time (14), a serial (10).
    #[default]
    Own,
    /// An empty text.
    Empty,
    /// Our msgid.
    Echo,
}

/// In which form the medical core gives `output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    #[default]
    Json,
    Null,
    EmptyText,
    /// JSON inside a text.
    JsonText,
    /// A text nobody else can read.
    Ciphertext,
}

/// How the medical core words its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoreManner {
    pub reference: Reference,
    pub output: Output,
    /// In GBK, and the head says so; otherwise UTF-8.
    pub gbk: bool,
}

/// An answer given as it stands here, by whatever stands before the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannedAnswer {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl CannedAnswer {
    /// An answer in JSON.
    pub fn json(status: u16, body: &str) -> CannedAnswer {
        CannedAnswer {
            status,
            content_type: "application/json".into(),
            body: body.into(),
        }
    }

    pub(super) fn answer(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        HttpResponse::build(status)
            .content_type(self.content_type.as_str())
            .body(self.body.clone())
    }
}

impl CoreManner {
    /// The reference of the answer numbered `serial` to the request of that msgid, at `time` (yyyyMMddHHmmss).
    pub(super) fn reference(self, msgid: &str, time: &str, serial: u64) -> String {
        match self.reference {
            Reference::Own => format!("450000{time}{:010}", serial % 10_000_000_000),
            Reference::Empty => String::new(),
            Reference::Echo => msgid.to_owned(),
        }
    }

    /// An output, which is JSON, in its form.
    pub(super) fn output(self, output: &str) -> String {
        match self.output {
            Output::Json => output.to_owned(),
            Output::Null => "null".into(),
            Output::EmptyText => "\"\"".into(),
            Output::JsonText => serde_json::Value::from(output).to_string(),
            Output::Ciphertext => "\"k7BzQw0nX2mTq9dVYb1c4A==\"".into(),
        }
    }

    /// The answer with that JSON as its body.
    pub(super) fn answer(self, json: String) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        match self.gbk {
            true => answer
                .content_type("application/json;charset=GBK")
                .body(GBK.encode(&json).0.into_owned()),
            false => answer.content_type("application/json").body(json),
        }
    }
}
