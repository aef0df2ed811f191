//! `[[outbound]]` and `[[document]]` of an adapter: canonical data in, bytes out; an answer in, a verdict out.
//!
//! Pure: no network, no database, no retries. It renders a template, wraps it in an envelope, signs
//! it, and judges answers by the adapter's rules. References, secrets and the time come from the
//! caller; whatever must survive a restart (the reference above all) is the caller's to save first.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::value::Serde;
use serde::Serialize;

use crate::adapter::capability::{self, Capability, nhsa, sm2_sorted_fields, tif_sha256};
use crate::adapter::reply::{ReplyRules, charset};
use crate::adapter::template::Templates;
use crate::error::{Fault, Stage};
use crate::model::{Answer, Request, Verdict};

mod codes; // code tables ours -> theirs
pub mod disclosure; // which registry entries are told, and what of them
mod manifest; // the TOML and its checks
pub mod results; // what answers say of each record, in full
mod samples; // samples/: what an adapter must render and judge

pub use capability::Secrets;
pub use disclosure::Disclosure;
pub use manifest::load;
pub use results::ResultsPlace;
pub use samples::{Bless, run_samples};

/// What one adapter sends: the result of [`load`].
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    pub outbound: Vec<OutboundMessage>,
    pub documents: Vec<Document>,
}

/// A message we send to a partner, compiled.
#[derive(Debug, Clone)]
pub struct OutboundMessage {
    message: String,
    templates: Arc<Templates>,
    /// Name of the body's template; no body when absent.
    template: Option<String>,
    path: String,
    method: String,
    content_type: String,
    headers: Vec<(String, String)>,
    records_max: u32,
    fund: Option<String>,
    envelope: Option<Envelope>,
    signatures: Vec<&'static Capability>,
    idempotency_header: Option<String>,
    idempotent: bool,
    inquiry: Option<String>,
    settings_read: Vec<String>,
    disclosure: Option<Disclosure>,
    reply: ReplyRules,
    results: Option<ResultsPlace>,
}

/// The NHSA envelope with the transaction number it carries.
#[derive(Debug, Clone)]
struct Envelope {
    capability: &'static Capability,
    infno: String,
}

/// A document we answer with (a receipt): rendered only, no request.
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    templates: Arc<Templates>,
    template: String,
    content_type: String,
}

/// Everything a request is rendered from.
pub struct RenderContext<'a> {
    /// Message specific, an object: its keys are the template's variables, beside `settings`, `reference` and `at`.
    pub body: &'a serde_json::Value,
    /// `[partner.settings]`.
    pub settings: &'a BTreeMap<String, String>,
    pub secrets: &'a Secrets,
    /// Our reference (NHSA msgid or idempotency key), saved before sending and kept over retries.
    pub reference: &'a str,
    /// Now.
    pub at: Timestamp,
}

impl OutboundMessage {
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fund whose money the message is about; records that bring it nothing are left out.
    pub fn fund(&self) -> Option<&str> {
        self.fund.as_deref()
    }

    /// Which registry entries it is about, if any, and what of them it tells.
    pub fn disclosure(&self) -> Option<&Disclosure> {
        self.disclosure.as_ref()
    }

    /// Whether the partner says of each record of a request what became of it.
    pub fn judged_by_record(&self) -> bool {
        self.reply.by_record()
    }

    /// Where its answers hold results of single records, if they do.
    pub fn results(&self) -> Option<&ResultsPlace> {
        self.results.as_ref()
    }

    pub(in crate::adapter) fn bind_results(
        &mut self,
        endpoints: &[Arc<crate::adapter::inbound::Endpoint>],
    ) -> Result<(), (usize, String)> {
        self.results
            .as_mut()
            .map_or(Ok(()), |results| results.bind(endpoints))
    }

    /// Records one request may carry; a partner's own entry may lower it.
    pub fn records_max(&self) -> u32 {
        self.records_max
    }

    /// Whether sending again under the same reference is harmless.
    pub fn idempotent(&self) -> bool {
        self.idempotent
    }

    /// The outbound message that asks for the outcome of this one.
    pub fn inquiry(&self) -> Option<&str> {
        self.inquiry.as_deref()
    }

    /// The transaction number in the envelope, which an inquiry about it names.
    pub fn infno(&self) -> Option<&str> {
        self.envelope
            .as_ref()
            .map(|envelope| envelope.infno.as_str())
    }

    /// Settings without which it cannot be sent.
    pub fn settings_needed(&self) -> Vec<&str> {
        let of_capabilities = self
            .capabilities()
            .flat_map(|capability| capability.settings)
            .filter(|setting| setting.required)
            .map(|setting| setting.name);
        let mut names: Vec<&str> = of_capabilities
            .chain(self.settings_read.iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Secret files without which it cannot be sent.
    pub fn secrets_needed(&self) -> Vec<&str> {
        self.capabilities()
            .flat_map(|capability| capability.secrets)
            .map(|secret| secret.name)
            .collect()
    }

    /// What a partner's settings and secrets lack for this message, as safe sentences; empty when it can be sent.
    pub fn check(&self, settings: &BTreeMap<String, String>, secrets: &Secrets) -> Vec<String> {
        let mut problems: Vec<String> = self
            .capabilities()
            .flat_map(|capability| capability.check(settings, secrets))
            .collect();
        for name in self
            .settings_read
            .iter()
            .filter(|name| !settings.contains_key(*name))
        {
            problems.push(format!(
                "setting `{name}` is missing; the template of `{}` uses it",
                self.message
            ));
        }
        if self.signs_with("sm2_sorted_fields") {
            problems.extend(
                sm2_sorted_fields::SignatureForm::of_setting(
                    settings.get("cainfo_encoding").map(String::as_str),
                )
                .err(),
            );
            problems.extend(
                secrets
                    .text("sm2_key")
                    .and_then(|key| sm2_sorted_fields::PrivateKey::parse(key).err()),
            );
        }
        problems
    }

    /// A new reference. NHSA: a msgid, unique as long as all instances draw `serial` from one
    /// database sequence and no more than 10,000 are drawn within a second (or the clocks'
    /// disagreement). Otherwise a UUIDv7 with 74 random bits, unique without any agreement.
    pub fn new_reference(
        &self,
        settings: &BTreeMap<String, String>,
        at: Timestamp,
        serial: u64,
    ) -> String {
        match &self.envelope {
            Some(_) => nhsa::msgid(
                settings.get("institution_code").map_or("", String::as_str),
                at,
                serial,
            ),
            None => {
                let seconds = u64::try_from(at.as_second()).unwrap_or(0);
                let nanoseconds = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
                uuid::Uuid::new_v7(uuid::Timestamp::from_unix(
                    uuid::NoContext,
                    seconds,
                    nanoseconds,
                ))
                .to_string()
            }
        }
    }

    /// The request, ready to be sent. A fault never holds a value of the context.
    pub fn render(&self, context: &RenderContext<'_>) -> Result<Request, Fault> {
        self.render_with_nonce(context, &uuid::Uuid::new_v4().simple().to_string())
    }

    /// A complete answer with its body as text in UTF-8, for everything that reads it.
    pub fn decoded(&self, answer: Answer) -> Answer {
        charset::decoded(self.reply.form(), answer)
    }

    /// What a complete answer to the request with that reference means, once decoded.
    pub fn judge(&self, answer: &Answer, reference: &str) -> Verdict {
        self.reply.judge(answer, reference)
    }

    /// What an answer that means `whole` means for each record of the request, by their ids.
    pub fn judge_records(&self, answer: &Answer, whole: &Verdict, ids: &[&str]) -> Vec<Verdict> {
        self.reply.judge_records(answer, whole, ids)
    }

    fn render_with_nonce(
        &self,
        context: &RenderContext<'_>,
        nonce: &str,
    ) -> Result<Request, Fault> {
        let variables = self.variables(context)?;
        let path = self.templates.render(&self.path, variables.clone())?;
        let mut body = match &self.template {
            Some(template) => self.templates.render(template, variables)?,
            None => String::new(),
        };
        if let Some(envelope) = &self.envelope {
            body = self.wrapped(envelope, &body, context)?;
        }
        let mut headers = self.headers.clone();
        if self.template.is_some() {
            headers.push(("content-type".into(), self.content_type.clone()));
        }
        if let Some(name) = &self.idempotency_header {
            headers.push((name.clone(), context.reference.to_owned()));
        }
        if self.signs_with("tif_sha256") {
            headers.extend(
                tif_sha256::headers(
                    context.settings,
                    context.secrets,
                    context.at.as_second(),
                    nonce,
                )
                .map_err(|text| self.fault(&text))?,
            );
        }
        Ok(Request {
            method: self.method.clone(),
            path,
            headers,
            body: body.into_bytes(),
            reuse: self.reply.bound(),
        })
    }

    fn variables(&self, context: &RenderContext<'_>) -> Result<minijinja::Value, Fault> {
        let serde_json::Value::Object(body) = context.body else {
            return Err(
                self.fault("the data to render is not an object; this is a mistake in the gateway")
            );
        };
        let mut variables: BTreeMap<&str, minijinja::Value> = body
            .iter()
            .map(|(name, value)| (name.as_str(), minijinja::Value::from(Serde(value))))
            .collect();
        variables.insert("settings", minijinja::Value::from(Serde(context.settings)));
        variables.insert("reference", context.reference.into());
        variables.insert("at", context.at.to_string().into());
        Ok(minijinja::Value::from(Serde(&variables)))
    }

    fn wrapped(
        &self,
        envelope: &Envelope,
        input: &str,
        context: &RenderContext<'_>,
    ) -> Result<String, Fault> {
        let fault = |text: String| self.fault(&text);
        let mut fields = nhsa::fields(
            &envelope.infno,
            context.reference,
            context.settings,
            context.at,
        )
        .map_err(fault)?;
        if self.signs_with("sm2_sorted_fields") {
            let encoding = sm2_sorted_fields::SignatureForm::of_setting(
                context.settings.get("cainfo_encoding").map(String::as_str),
            )
            .map_err(fault)?;
            let key = context
                .secrets
                .text("sm2_key")
                .ok_or_else(|| self.fault("secret `sm2_key` is missing"))?;
            let key = sm2_sorted_fields::PrivateKey::parse(key).map_err(fault)?;
            if let Some((_, signtype)) = fields
                .iter_mut()
                .find(|(name, value)| *name == "signtype" && value.is_empty())
            {
                *signtype = "SM2".into();
            }
            let cainfo = key.sign(
                fields.iter().map(|(name, value)| (*name, value.as_str())),
                encoding,
            );
            if let Some((_, slot)) = fields.iter_mut().find(|(name, _)| *name == "cainfo") {
                *slot = cainfo;
            }
        }
        Ok(nhsa::wrap(&fields, input))
    }

    fn signs_with(&self, name: &str) -> bool {
        self.signatures
            .iter()
            .any(|capability| capability.name == name)
    }

    fn capabilities(&self) -> impl Iterator<Item = &'static Capability> {
        self.envelope
            .as_ref()
            .map(|envelope| envelope.capability)
            .into_iter()
            .chain(self.signatures.iter().copied())
    }

    fn fault(&self, text: &str) -> Fault {
        Fault::operator(Stage::Render, format!("message {}: {text}", self.message))
    }
}

impl Document {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The document for a context whose fields are the template's variables.
    pub fn render(&self, context: &impl Serialize) -> Result<String, Fault> {
        self.templates
            .render(&self.template, minijinja::Value::from(Serde(context)))
    }
}

#[cfg(test)]
mod tests;
