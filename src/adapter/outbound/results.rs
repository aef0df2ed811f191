//! `results` of an outbound message: where its answers say of each record what was done with it.
//!
//! Unlike `reply.records`, which only tells taken from refused, the items here are canonical records
//! of their own, decoded by the field table of an `[[inbound]]` of the same adapter, so that they
//! mean the same whether they come in an answer or by themselves.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use crate::adapter::decode::tree::PathTree;
use crate::adapter::decode::{DecodedLine, read_answer};
use crate::adapter::inbound::{DocumentFormat, Endpoint, InboundMessage};
use crate::adapter::reply::body::{AnswerBody, BodyForm};
use crate::adapter::reply::rules::check_place;
use crate::error::did_you_mean;
use crate::model::{Answer, Record};

/// `results = { record = "deduction_result", at = "/output/results" }` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultsSpec {
    record: Spanned<String>,
    at: Spanned<String>,
}

/// The compiled key.
#[derive(Debug, Clone)]
pub struct ResultsPlace {
    record: String,
    at: String,
    /// Byte offset of the record's name in adapter.toml.
    offset: usize,
    tree: Arc<PathTree>,
    /// Whose field table reads the items; there once the whole adapter is compiled.
    inbound: Option<Arc<InboundMessage>>,
}

impl ResultsPlace {
    pub(super) fn compile(
        spec: Spanned<ResultsSpec>,
        form: BodyForm,
        problems: &mut Vec<(usize, String)>,
    ) -> Option<ResultsPlace> {
        let start = spec.span().start;
        let ResultsSpec { record, at } = spec.into_inner();
        let before = problems.len();
        check_place(at.get_ref(), at.span().start, problems);
        if form != BodyForm::Json {
            problems.push((start, "`results` are read from answers in JSON only; write format = \"json\" under [outbound.reply] if they are".into()));
        }
        let mut tree = PathTree::new();
        if let (true, Err(text)) = (
            problems.len() == before,
            tree.record(at.get_ref().trim_start_matches('/')),
        ) {
            problems.push((at.span().start, text));
        }
        let offset = record.span().start;
        (problems.len() == before).then(|| ResultsPlace {
            record: record.into_inner(),
            at: at.into_inner(),
            offset,
            tree: Arc::new(tree),
            inbound: None,
        })
    }

    /// Finds the field table among the adapter's inbound messages, or says `(offset, text)` what is missing.
    pub(in crate::adapter) fn bind(
        &mut self,
        endpoints: &[Arc<Endpoint>],
    ) -> Result<(), (usize, String)> {
        let json = endpoints
            .iter()
            .filter(|endpoint| endpoint.format() == DocumentFormat::Json);
        self.inbound = json
            .clone()
            .find_map(|endpoint| endpoint.message(&self.record))
            .cloned();
        if self.inbound.is_some() {
            return Ok(());
        }
        let names: Vec<&str> = json
            .flat_map(|endpoint| endpoint.inbounds())
            .map(|inbound| inbound.message().name)
            .collect();
        let have = if names.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        let near = did_you_mean(&self.record, names.iter().copied());
        let text = format!(
            "results are read by the field table of `{}`, and this adapter has no [[inbound]] of that message in json; {have}{near}",
            self.record
        );
        Err((self.offset, text))
    }

    /// The canonical record the items are decoded to.
    pub fn record(&self) -> &str {
        &self.record
    }

    /// Where adapter.toml names the record, in bytes from its start.
    pub(in crate::adapter) fn offset(&self) -> usize {
        self.offset
    }

    /// Where the list stands in an answer.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Hands every result of an answer to `each`, with what became of it; returns how many there are.
    ///
    /// # Errors
    /// What stands there is no list of records; the sentence is safe to show.
    pub fn read(
        &self,
        answer: &Answer,
        each: &mut dyn FnMut(&DecodedLine, &Record),
    ) -> Result<usize, String> {
        let inbound = self
            .inbound
            .as_ref()
            .ok_or("the adapter was not compiled whole; this is a mistake in the gateway")?;
        read_answer(&answer.body, &self.tree, inbound, each).or_else(|reason| {
            match AnswerBody::parse(BodyForm::Json, &answer.body)
                .instead_of(&format!("{}/", self.at))
            {
                Some(instead) if instead.nothing => Ok(0),
                Some(instead) => Err(format!("the results at {}: {}", self.at, instead.words)),
                None => Err(format!("the results at {}: {reason}", self.at)),
            }
        })
    }
}
