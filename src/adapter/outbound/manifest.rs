//! The `[[outbound]]` and `[[document]]` tables of adapter.toml: their grammar and every static check.
//!
//! Speaks like a compiler: each finding has file, line, column, what was found and what is allowed.
//! It reads templates and code tables of the adapter's folder and nothing else; the other tables of
//! adapter.toml are the business of the inbound half.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::codes::{self, Codes};
use super::disclosure::{Disclosure, DisclosureKeys};
use super::results::{ResultsPlace, ResultsSpec};
use super::{Document, Envelope, OutboundMessage, Outgoing};
use crate::adapter::capability::{self, Capability, CapabilityKind};
use crate::adapter::reply::body::BodyForm;
use crate::adapter::reply::rules::{self, OneOrMany, ReplySpec};
use crate::adapter::template::names::{self, SampleVariables};
use crate::adapter::template::{Form, Templates};
use crate::error::{Finding, did_you_mean, unreadable};

/// Records one request may carry when the manifest does not say.
const RECORDS_MAX_DEFAULT: u32 = 500;
/// Funds a message may be about; the ledger's words.
const FUNDS: &[&str] = &["medical", "long_term_care"];

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    outbound: Vec<Spanned<OutboundSpec>>,
    #[serde(default)]
    document: Vec<Spanned<DocumentSpec>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboundSpec {
    message: String,
    template: Option<Spanned<String>>,
    method: Option<Spanned<String>>,
    path: Spanned<String>,
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, String>,
    records_max: Option<Spanned<u32>>,
    fund: Option<Spanned<String>>,
    envelope: Option<Spanned<String>>,
    infno: Option<Spanned<String>>,
    sign: Option<Spanned<OneOrMany<String>>>,
    idempotency_header: Option<Spanned<String>>,
    #[serde(default)]
    idempotent: bool,
    inquiry: Option<Spanned<String>>,
    entities: Option<Spanned<String>>,
    #[serde(default)]
    only: BTreeMap<Spanned<String>, Spanned<Vec<String>>>,
    purpose: Option<Spanned<String>>,
    fields: Option<Spanned<Vec<Spanned<String>>>>,
    results: Option<Spanned<ResultsSpec>>,
    reply: Spanned<ReplySpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentSpec {
    name: String,
    template: Spanned<String>,
    content_type: Option<String>,
}

/// Compiles the outbound half of `folder/adapter.toml`, whose text is `source`; on failure returns every problem found.
pub fn load(folder: &Path, source: &str) -> Result<Outgoing, Vec<Finding>> {
    let name = folder.join("adapter.toml").display().to_string();
    let file: File =
        toml::from_str(source).map_err(|error| vec![unreadable(&name, source, &error)])?;
    let mut findings = Vec::new();
    let codes = codes::read(folder, &mut findings);
    let mut compiler = Compiler {
        folder,
        templates: Templates::new(codes.tables.clone()),
        codes,
        findings,
        problems: Vec::new(),
    };
    let outbound: Vec<Draft> = file
        .outbound
        .into_iter()
        .map(|spec| compiler.outbound(spec))
        .collect();
    let documents: Vec<(String, String, String)> = file
        .document
        .into_iter()
        .map(|spec| compiler.document(spec.into_inner()))
        .collect();
    compiler.check_names(&outbound);
    let mut findings = compiler.findings;
    findings.extend(
        compiler
            .problems
            .into_iter()
            .map(|(offset, text)| Finding::at_offset(&name, source, offset, text)),
    );
    if !findings.is_empty() {
        return Err(findings);
    }
    let templates = Arc::new(compiler.templates);
    Ok(Outgoing {
        outbound: outbound
            .into_iter()
            .map(|draft| (draft.finish)(Arc::clone(&templates)))
            .collect(),
        documents: documents
            .into_iter()
            .map(|(name, template, content_type)| Document {
                name,
                templates: Arc::clone(&templates),
                template,
                content_type,
            })
            .collect(),
    })
}

/// An outbound whose templates are still being collected.
struct Draft {
    offset: usize,
    message: String,
    inquiry: Option<(usize, String)>,
    finish: Box<dyn FnOnce(Arc<Templates>) -> OutboundMessage>,
}

struct Compiler<'a> {
    folder: &'a Path,
    templates: Templates,
    codes: Codes,
    /// In files other than adapter.toml.
    findings: Vec<Finding>,
    /// Byte offset in adapter.toml and text.
    problems: Vec<(usize, String)>,
}

impl Compiler<'_> {
    fn outbound(&mut self, spec: Spanned<OutboundSpec>) -> Draft {
        let offset = spec.span().start;
        let spec = spec.into_inner();
        let given = self.given(&spec.message, &["settings", "reference", "at"]);
        let template = spec
            .template
            .as_ref()
            .map(|template| self.template(template, &given));
        let path = format!("{}.path", spec.message);
        self.add_path(&path, &spec.path, &given);
        let (envelope, signatures) = self.capabilities(&spec, offset);
        let headers = self.headers(&spec);
        let settings_read =
            self.settings_read(template.iter().map(String::as_str).chain([path.as_str()]));
        let form = if template.as_deref().and_then(Form::of) == Some(Form::Xml) {
            BodyForm::Xml
        } else {
            BodyForm::Json
        };
        let reply = rules::compile(spec.reply, form, &mut self.problems);
        let results = spec
            .results
            .and_then(|results| ResultsPlace::compile(results, reply.form(), &mut self.problems));
        let reply = reply.beside(results.as_ref().map(|results| results.at().to_owned()));
        let method = self.one_of(spec.method, "POST", &["GET", "POST", "PUT", "DELETE"]);
        let fund = spec.fund.map(|fund| {
            if !FUNDS.contains(&fund.get_ref().as_str()) {
                let near = did_you_mean(fund.get_ref(), FUNDS.iter().copied());
                self.problems.push((
                    fund.span().start,
                    format!(
                        "fund is `{}`; expected {}{near}",
                        fund.get_ref(),
                        FUNDS.join(" or ")
                    ),
                ));
            }
            fund.into_inner()
        });
        let records_max = spec.records_max.map_or(RECORDS_MAX_DEFAULT, |records| {
            if *records.get_ref() == 0 {
                self.problems.push((
                    records.span().start,
                    "records_max is 0; expected at least 1".into(),
                ));
            }
            records.into_inner()
        });
        let inquiry = spec
            .inquiry
            .map(|inquiry| (inquiry.span().start, inquiry.into_inner()));
        let written = DisclosureKeys {
            entities: spec.entities,
            only: spec.only,
            purpose: spec.purpose,
            fields: spec.fields,
        };
        let disclosure = Disclosure::compile(written, &mut self.problems);
        if disclosure.is_some()
            && (!spec.idempotent || inquiry.is_some() || fund.is_some() || template.is_none())
        {
            let text = "a message about registry entries needs a template and `idempotent = true` (the partner recognises an entry by id and revision), and has no `inquiry` and no `fund`";
            self.problems.push((offset, text.into()));
        }
        if disclosure.is_none()
            && spec.idempotent
            && spec.idempotency_header.is_none()
            && envelope.is_none()
        {
            self.problems.push((offset, "idempotent = true needs `idempotency_header` or an envelope to carry our reference".into()));
        }
        let content_type = spec
            .content_type
            .unwrap_or_else(|| content_type(form).to_owned());
        let (message, inquiry_name) = (
            spec.message.clone(),
            inquiry.as_ref().map(|(_, name)| name.clone()),
        );
        let (idempotency_header, idempotent) = (
            spec.idempotency_header
                .map(|header| header.into_inner().to_ascii_lowercase()),
            spec.idempotent,
        );
        let finish = Box::new(move |templates| OutboundMessage {
            message,
            templates,
            template,
            path,
            method,
            content_type,
            headers,
            records_max,
            fund,
            envelope,
            signatures,
            idempotency_header,
            idempotent,
            inquiry: inquiry_name,
            settings_read,
            disclosure,
            reply,
            results,
        });
        Draft {
            offset,
            message: spec.message,
            inquiry,
            finish,
        }
    }

    fn document(&mut self, spec: DocumentSpec) -> (String, String, String) {
        let given = self.given(&spec.name, &[]);
        let template = self.template(&spec.template, &given);
        let form = if Form::of(&template) == Some(Form::Xml) {
            BodyForm::Xml
        } else {
            BodyForm::Json
        };
        (
            spec.name,
            template,
            spec.content_type
                .unwrap_or_else(|| content_type(form).to_owned()),
        )
    }

    /// What the samples of a message or document say of its variables.
    fn given(&self, owner: &str, always: &[&str]) -> SampleVariables {
        let entries = std::fs::read_dir(self.folder.join("samples").join(owner))
            .into_iter()
            .flatten()
            .flatten();
        let inputs = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".expected.json")
        });
        // One that is not JSON is told of when samples are run.
        SampleVariables::of(
            owner,
            inputs.filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok()),
            always,
        )
    }

    /// Reads and compiles a file of templates/; returns its name.
    fn template(&mut self, name: &Spanned<String>, given: &SampleVariables) -> String {
        let (offset, name) = (name.span().start, name.get_ref());
        if !matches!(Form::of(name), Some(Form::Json | Form::Xml)) || name.contains(['/', '\\']) {
            self.problems.push((offset, format!("template is `{name}`; expected the name of a file in templates/ that ends in .json or .xml")));
            return name.clone();
        }
        let path = self.folder.join("templates").join(name);
        let source = match std::fs::read_to_string(&path) {
            Ok(source) => source,
            Err(error) => {
                self.problems
                    .push((offset, format!("templates/{name} cannot be read: {error}")));
                return name.clone();
            }
        };
        let file = path.display().to_string();
        let uses = self
            .codes
            .check_uses(&source)
            .into_iter()
            .chain(names::check(&source, given));
        self.findings
            .extend(uses.map(|(at, text)| Finding::at_offset(&file, &source, at, text)));
        if let Err(problem) = self.templates.add(name, source) {
            self.findings.push(Finding::new(
                file,
                problem.line.map(|line| (line, 1)),
                problem.text,
            ));
        }
        name.clone()
    }

    fn add_path(&mut self, name: &str, path: &Spanned<String>, given: &SampleVariables) {
        self.problems.extend(
            names::check(path.get_ref(), given)
                .into_iter()
                .map(|(_, text)| (path.span().start, format!("path: {text}"))),
        );
        if !path.get_ref().starts_with('/') {
            self.problems.push((
                path.span().start,
                format!(
                    "path is `{}`; expected one below the partner's URL, starting with /",
                    path.get_ref()
                ),
            ));
        }
        if let Err(problem) = self.templates.add(name, path.get_ref().clone()) {
            self.problems.push((path.span().start, problem.text));
        }
    }

    fn capabilities(
        &mut self,
        spec: &OutboundSpec,
        offset: usize,
    ) -> (Option<Envelope>, Vec<&'static Capability>) {
        let mut find = |at: usize, name: &str, kind: CapabilityKind| {
            capability::find(name, kind).unwrap_or_else(|text| {
                self.problems.push((at, text));
                None
            })
        };
        let envelope = spec.envelope.as_ref().and_then(|envelope| {
            find(
                envelope.span().start,
                envelope.get_ref(),
                CapabilityKind::Envelope,
            )
        });
        let sign_at = spec.sign.as_ref().map_or(offset, |sign| sign.span().start);
        let names = spec
            .sign
            .as_ref()
            .map(|sign| sign.get_ref().clone().into_vec())
            .unwrap_or_default();
        let signatures: Vec<&'static Capability> = names
            .iter()
            .filter_map(|name| find(sign_at, name, CapabilityKind::Signature))
            .collect();
        if envelope.is_none()
            && signatures
                .iter()
                .any(|signature| signature.name == "sm2_sorted_fields")
        {
            self.problems.push((
                sign_at,
                "sm2_sorted_fields signs the fields of an envelope; add envelope = \"nhsa\"".into(),
            ));
        }
        let envelope = match (envelope, &spec.infno) {
            (Some(capability), Some(infno)) if infno.get_ref().chars().count() == 4 => {
                Some(Envelope {
                    capability,
                    infno: infno.get_ref().clone(),
                })
            }
            (Some(_), Some(infno)) => {
                self.problems.push((
                    infno.span().start,
                    format!(
                        "infno is `{}`; expected a transaction number of 4 characters",
                        infno.get_ref()
                    ),
                ));
                None
            }
            (Some(_), None) => {
                self.problems.push((
                    offset,
                    "envelope = \"nhsa\" needs `infno`, the transaction number (4 characters)"
                        .into(),
                ));
                None
            }
            (None, Some(infno)) => {
                self.problems.push((
                    infno.span().start,
                    "infno is only used with envelope = \"nhsa\"; remove it or add the envelope"
                        .into(),
                ));
                None
            }
            (None, None) => None,
        };
        let json_body = spec
            .template
            .as_ref()
            .is_some_and(|template| Form::of(template.get_ref()) == Some(Form::Json));
        if envelope.is_some() && !json_body {
            self.problems.push((
                offset,
                "envelope = \"nhsa\" wraps JSON; give a template that ends in .json".into(),
            ));
        }
        (envelope, signatures)
    }

    fn headers(&mut self, spec: &OutboundSpec) -> Vec<(String, String)> {
        let token = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        for (name, value) in &spec.headers {
            if !token(name.get_ref())
                || !value
                    .bytes()
                    .all(|byte| byte == b' ' || byte.is_ascii_graphic())
            {
                self.problems.push((
                    name.span().start,
                    format!(
                        "header `{}` has a name or value that HTTP cannot carry; use visible ASCII",
                        name.get_ref()
                    ),
                ));
            }
        }
        if let Some(header) = spec
            .idempotency_header
            .as_ref()
            .filter(|header| !token(header.get_ref()))
        {
            self.problems.push((
                header.span().start,
                format!(
                    "idempotency_header is `{}`; expected a header name such as Idempotency-Key",
                    header.get_ref()
                ),
            ));
        }
        spec.headers
            .iter()
            .map(|(name, value)| (name.get_ref().to_ascii_lowercase(), value.clone()))
            .collect()
    }

    /// Settings that templates name; `settings` as a whole would hide which are needed.
    fn settings_read<'n>(&mut self, templates: impl Iterator<Item = &'n str>) -> Vec<String> {
        let variables = templates.flat_map(|name| self.templates.variables(name));
        let mut names: Vec<String> = variables
            .filter_map(|name| name.strip_prefix("settings.").map(str::to_owned))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn one_of(
        &mut self,
        found: Option<Spanned<String>>,
        default: &str,
        allowed: &[&str],
    ) -> String {
        let Some(found) = found else {
            return default.to_owned();
        };
        if !allowed.contains(&found.get_ref().as_str()) {
            let text = format!(
                "found `{}`{}; expected one of {}",
                found.get_ref(),
                did_you_mean(found.get_ref(), allowed.iter().copied()),
                allowed.join(", ")
            );
            self.problems.push((found.span().start, text));
        }
        found.into_inner()
    }

    fn check_names(&mut self, drafts: &[Draft]) {
        for (at, draft) in drafts.iter().enumerate() {
            if drafts[..at]
                .iter()
                .any(|earlier| earlier.message == draft.message)
            {
                self.problems.push((
                    draft.offset,
                    format!("message `{}` is defined twice", draft.message),
                ));
            }
            let Some((offset, inquiry)) = &draft.inquiry else {
                continue;
            };
            let others = || {
                drafts
                    .iter()
                    .map(|other| other.message.as_str())
                    .filter(|name| *name != draft.message)
            };
            if !others().any(|name| name == inquiry) {
                let text = format!(
                    "inquiry is `{inquiry}`{}; expected the message of another [[outbound]] of this adapter",
                    did_you_mean(inquiry, others())
                );
                self.problems.push((*offset, text));
            }
        }
    }
}

fn content_type(form: BodyForm) -> &'static str {
    match form {
        BodyForm::Json => "application/json; charset=utf-8",
        BodyForm::Xml => "application/xml; charset=utf-8",
    }
}
