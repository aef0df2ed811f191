//! `[[inbound]]` blocks -> [`Endpoint`]s, or findings that speak like a compiler.
//!
//! Static: it looks at the manifest and the files of the folder, and finds every problem it can in
//! one pass. What it returns is right by construction; the decoder checks nothing of it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use toml::Spanned;

use super::codes::CodeTable;
use super::decode::EncodingRule;
use super::decode::rows::FieldTable;
use super::decode::tree::PathTree;
use super::inbound::{DocumentFormat, Endpoint, InboundMessage};
use super::manifest::{Condition, InboundManifest, Source};
use crate::error::{Finding, did_you_mean};
use crate::model::relation::Criterion;
use crate::model::{RecordSpec, records};

mod field;

/// What compiling needs to know of the folder, and what it finds.
pub(super) struct Compiler<'s> {
    pub(super) source: &'s Source,
    pub(super) folder: PathBuf,
    /// The folder as findings call it.
    pub(super) shown: String,
    pub(super) findings: Vec<Finding>,
    tables: BTreeMap<String, Option<Rc<CodeTable>>>,
}

impl<'s> Compiler<'s> {
    pub(super) fn new(source: &'s Source, folder: &Path) -> Compiler<'s> {
        let shown = folder.display().to_string();
        Compiler {
            source,
            folder: folder.to_path_buf(),
            shown,
            findings: Vec::new(),
            tables: BTreeMap::new(),
        }
    }

    pub(super) fn find<T>(&mut self, at: &Spanned<T>, text: impl Into<String>) {
        self.findings.push(self.source.finding(at, text));
    }

    /// A word of a closed list, or a finding with the nearest word.
    pub(super) fn word<T>(
        &mut self,
        found: &Spanned<String>,
        what: &str,
        allowed: &[&str],
        of_word: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let word = of_word(found.get_ref());
        if word.is_none() {
            let near = did_you_mean(found.get_ref(), allowed.iter().copied());
            self.find(
                found,
                format!(
                    "`{}` is not {what}; expected one of {}{near}",
                    found.get_ref(),
                    allowed.join(", ")
                ),
            );
        }
        word
    }

    /// A code table of the folder; read once, findings reported once.
    pub(super) fn table(&mut self, name: &Spanned<String>) -> Option<Rc<CodeTable>> {
        let key = name.get_ref();
        if let Some(known) = self.tables.get(key) {
            return known.clone();
        }
        let path = self.folder.join("codes").join(format!("{key}.csv"));
        let table = if path.is_file() {
            match CodeTable::load(&path, &format!("{}/codes/{key}.csv", self.shown)) {
                Ok(table) => Some(Rc::new(table)),
                Err(findings) => {
                    self.findings.extend(findings);
                    None
                }
            }
        } else {
            let there = self.table_names();
            let near = did_you_mean(key, there.iter().map(String::as_str));
            let have = if there.is_empty() {
                "there is none".to_string()
            } else {
                format!("there are {}", there.join(", "))
            };
            self.find(
                name,
                format!("there is no code table codes/{key}.csv; {have}{near}"),
            );
            None
        };
        self.tables.insert(key.clone(), table.clone());
        table
    }

    /// Checks the tables no inbound field names; templates may.
    pub(super) fn other_tables(&mut self) {
        for name in self.table_names() {
            if !self.tables.contains_key(&name) {
                self.table(&Spanned::new(0..0, name));
            }
        }
    }

    fn table_names(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.join("codes"))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = files
            .filter_map(|file| {
                file.file_name()
                    .to_string_lossy()
                    .strip_suffix(".csv")
                    .map(str::to_string)
            })
            .collect();
        names.sort();
        names
    }

    /// Compiles all blocks; endpoints in the order of their first block.
    pub(super) fn endpoints(&mut self, blocks: &[Spanned<InboundManifest>]) -> Vec<Endpoint> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for block in blocks {
            let manifest = block.get_ref();
            let Some(frame) = self.frame(manifest) else {
                continue;
            };
            let name = manifest.endpoint.get_ref();
            let at = match endpoints.iter().position(|endpoint| endpoint.name == *name) {
                Some(at) => at,
                None => {
                    endpoints.push(Endpoint {
                        name: name.clone(),
                        story: frame.message.story,
                        format: frame.format,
                        encoding: frame.encoding,
                        receipt: manifest.receipt.get_ref().clone(),
                        tree: PathTree::new(),
                        inbounds: Vec::new(),
                        other_types: Vec::new(),
                    });
                    endpoints.len() - 1
                }
            };
            self.same_frame(&endpoints[at], manifest, &frame);
            self.other_types(&mut endpoints[at], manifest);
            if let Some(inbound) = self.inbound(&mut endpoints[at], block, &frame) {
                self.distinct(&endpoints[at], block, &inbound);
                endpoints[at].inbounds.push(Arc::new(inbound));
            }
        }
        self.same_message_twice(blocks);
        endpoints
    }

    /// What decides how bytes are read.
    fn frame(&mut self, manifest: &InboundManifest) -> Option<Frame> {
        let names: Vec<&str> = records::ALL.iter().map(|spec| spec.name).collect();
        let message = self.word(
            &manifest.message,
            "a canonical record",
            &names,
            records::spec,
        );
        let format = self.word(
            &manifest.format,
            "a format",
            DocumentFormat::WORDS,
            DocumentFormat::of_word,
        );
        let encoding = match &manifest.encoding {
            Some(word) => self.word(
                word,
                "an encoding",
                EncodingRule::WORDS,
                EncodingRule::of_word,
            ),
            None => EncodingRule::of_word("utf-8"),
        };
        if let (
            Some(DocumentFormat::Json | DocumentFormat::Ndjson),
            Some(EncodingRule::Declared),
            Some(word),
        ) = (format, encoding, &manifest.encoding)
        {
            self.find(
                word,
                "only XML declares its encoding; expected utf-8, gbk or gb18030",
            );
        }
        let endpoint = manifest.endpoint.get_ref();
        if endpoint.is_empty()
            || !endpoint
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        {
            self.find(
                &manifest.endpoint,
                format!(
                    "endpoint is `{endpoint}`; expected the last segment of a path, such as packets"
                ),
            );
        }
        Some(Frame {
            message: message?,
            format: format?,
            encoding: encoding?,
        })
    }

    /// One endpoint has one story, format, encoding and receipt.
    fn same_frame(&mut self, endpoint: &Endpoint, manifest: &InboundManifest, frame: &Frame) {
        let name = &endpoint.name;
        if endpoint.story != frame.message.story {
            self.find(
                &manifest.message,
                format!(
                    "endpoint `{name}` takes {} already, and {} would be read there, too; each has an endpoint of its own",
                    endpoint.story.messages(),
                    frame.message.story.messages()
                ),
            );
        }
        if endpoint.format != frame.format {
            self.find(
                &manifest.format,
                format!(
                    "endpoint `{name}` takes {} already; one endpoint has one format",
                    endpoint.format.word()
                ),
            );
        }
        if let (Some(word), true) = (&manifest.encoding, endpoint.encoding != frame.encoding) {
            self.find(
                word,
                format!(
                    "endpoint `{name}` takes {} already; one endpoint has one encoding",
                    endpoint.encoding.word()
                ),
            );
        }
        if endpoint.receipt != *manifest.receipt.get_ref() {
            self.find(
                &manifest.receipt,
                format!(
                    "endpoint `{name}` answers with `{}` already; one endpoint has one receipt",
                    endpoint.receipt
                ),
            );
        }
    }

    /// The types that are known and not taken; any message of the endpoint may name their table.
    fn other_types(&mut self, endpoint: &mut Endpoint, manifest: &InboundManifest) {
        let Some(name) = &manifest.other_types else {
            return;
        };
        let Some(table) = self.table(name) else {
            return;
        };
        if let Some((theirs, line)) = table.first_taken() {
            let text = format!(
                "`{theirs}` has an `ours`; a table of other types lists what is not taken, and what is taken has an [[inbound]]"
            );
            self.findings
                .push(Finding::new(&table.file, Some((line, 1)), text));
        }
        for (theirs, meaning) in table.all() {
            if endpoint.other_type(theirs).is_none() {
                endpoint
                    .other_types
                    .push((theirs.to_string(), meaning.to_string()));
            }
        }
    }

    fn inbound(
        &mut self,
        endpoint: &mut Endpoint,
        block: &Spanned<InboundManifest>,
        frame: &Frame,
    ) -> Option<InboundMessage> {
        let manifest = block.get_ref();
        let tree = &mut endpoint.tree;
        let (record, record_node) = self.record(tree, block, frame)?;
        let key = self.head_column(tree, &manifest.idempotency_key);
        let select = self.condition(tree, manifest.select.as_ref());
        let replaces = self.condition(tree, manifest.replaces.as_ref());
        let lines = manifest
            .control_totals
            .as_ref()
            .map(|totals| self.head_column(tree, &totals.lines));
        let head: Vec<(String, Option<u16>)> = manifest
            .head
            .iter()
            .map(|(name, path)| (name.clone(), self.head_column(tree, path)))
            .collect();
        let mut rows = FieldTable {
            tree: PathTree::new(),
            rules: Vec::new(),
            index: None,
        };
        if let Some(index) = &manifest.record_index {
            rows.index = self.column(&mut rows.tree, index);
        }
        self.rules(&mut rows, block, frame);
        let one_relation_by = self.relation_rule(manifest, frame);
        Some(InboundMessage {
            message: frame.message,
            record,
            record_node,
            select,
            key: key?,
            replaces,
            lines: lines.flatten(),
            lines_path: manifest
                .control_totals
                .as_ref()
                .map_or_else(String::new, |totals| totals.lines.get_ref().clone()),
            head: head
                .into_iter()
                .filter_map(|(name, column)| column.map(|column| (name, column)))
                .collect(),
            rows,
            positive_refunds: self.positive_refunds(manifest, frame),
            one_relation_by,
        })
    }

    /// Which of a person's insurance relations counts, criterion by criterion.
    fn relation_rule(&mut self, manifest: &InboundManifest, frame: &Frame) -> Vec<Criterion> {
        let words = &manifest.one_relation_by;
        if let Some(word) = words
            .first()
            .filter(|_| frame.message.name != records::roster_person::SPEC.name)
        {
            self.find(word, "`one_relation_by` is for roster_person, which may name a person with several insurance relations");
        }
        words
            .iter()
            .filter_map(|word| self.word(word, "a criterion", Criterion::WORDS, Criterion::of_word))
            .collect()
    }

    fn record(
        &mut self,
        tree: &mut PathTree,
        block: &Spanned<InboundManifest>,
        frame: &Frame,
    ) -> Option<(String, u32)> {
        let record = &block.get_ref().record;
        match (record, frame.format) {
            (None, DocumentFormat::Ndjson) => Some(("line".to_string(), u32::MAX)),
            (Some(path), DocumentFormat::Ndjson) => {
                self.find(
                    path,
                    "in ndjson every line after the first is a record; remove `record`",
                );
                None
            }
            (None, _) => {
                self.find(
                    block,
                    "`record` is missing: the path of one record, such as Package/Data/Record",
                );
                None
            }
            (Some(path), _) => {
                if !self.is_path(path, false) {
                    return None;
                }
                match tree.record(path.get_ref()) {
                    Ok(node) => Some((path.get_ref().clone(), node)),
                    Err(text) => {
                        self.find(path, text);
                        None
                    }
                }
            }
        }
    }

    /// How the sender writes what a refund pays back; canonically it is negative.
    fn positive_refunds(&mut self, manifest: &InboundManifest, frame: &Frame) -> bool {
        let Some(word) = &manifest.refund_sign else {
            return false;
        };
        if records::paid_fields(frame.message).is_empty() {
            self.find(
                word,
                format!(
                    "`refund_sign` is for lines of collected money; {} has no refunds",
                    frame.message.name
                ),
            );
        }
        let positive = |word: &str| {
            ["negative", "positive"]
                .iter()
                .position(|known| *known == word)
                .map(|at| at == 1)
        };
        self.word(
            word,
            "how refunds are written",
            &["negative", "positive"],
            positive,
        )
        .unwrap_or(false)
    }

    fn condition(
        &mut self,
        tree: &mut PathTree,
        condition: Option<&Spanned<Condition>>,
    ) -> Option<(u16, String)> {
        let condition = condition?.get_ref();
        self.head_column(tree, &condition.at)
            .map(|column| (column, condition.is.clone()))
    }

    fn head_column(&mut self, tree: &mut PathTree, path: &Spanned<String>) -> Option<u16> {
        self.column(tree, path)
    }

    /// The column of a path, or a finding.
    pub(super) fn column(&mut self, tree: &mut PathTree, path: &Spanned<String>) -> Option<u16> {
        if !self.is_path(path, true) {
            return None;
        }
        match tree.value(path.get_ref()) {
            Ok(column) => Some(column),
            Err(text) => {
                self.find(path, text);
                None
            }
        }
    }

    fn is_path(&mut self, path: &Spanned<String>, attribute: bool) -> bool {
        let text = path.get_ref();
        let mut parts: Vec<&str> = text.split('/').collect();
        if let (true, Some(last)) = (attribute, parts.last_mut()) {
            *last = last.strip_prefix('@').unwrap_or(last);
        }
        let right = parts.iter().all(|part| {
            !part.is_empty()
                && !part.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control())
        });
        if !right {
            let example = if attribute {
                "A/B or A/@b"
            } else {
                "Package/Data/Record"
            };
            self.find(
                path,
                format!("`{text}` is not a path; expected names joined by `/`, such as {example}"),
            );
        }
        right
    }

    /// Messages of one endpoint are told apart by `select`.
    fn distinct(
        &mut self,
        endpoint: &Endpoint,
        block: &Spanned<InboundManifest>,
        inbound: &InboundMessage,
    ) {
        let name = &endpoint.name;
        let Some(twin) = endpoint.inbounds.iter().find(|twin| {
            twin.select.is_none() || inbound.select.is_none() || twin.select == inbound.select
        }) else {
            return;
        };
        let at = block
            .get_ref()
            .select
            .as_ref()
            .map_or(block.span().start, |select| select.span().start);
        let text = match &inbound.select {
            Some((_, word)) if twin.select == inbound.select => {
                format!(
                    "endpoint `{name}` has `{word}` already, for {}; each type has one message",
                    twin.message.name
                )
            }
            _ => format!(
                "endpoint `{name}` takes several messages; each needs a `select` that tells it apart"
            ),
        };
        self.findings.push(Finding::at_offset(
            &self.source.file,
            &self.source.text,
            at,
            text,
        ));
    }

    /// Samples are kept by message, so a message is mapped once.
    fn same_message_twice(&mut self, blocks: &[Spanned<InboundManifest>]) {
        for (at, block) in blocks.iter().enumerate() {
            let message = &block.get_ref().message;
            if blocks[..at]
                .iter()
                .any(|earlier| earlier.get_ref().message.get_ref() == message.get_ref())
            {
                self.find(
                    message,
                    format!(
                        "`{}` is mapped twice; a second dialect belongs in a folder of its own",
                        message.get_ref()
                    ),
                );
            }
        }
    }
}

/// The parts of a block that decide how bytes are read.
struct Frame {
    message: &'static RecordSpec,
    format: DocumentFormat,
    encoding: EncodingRule,
}
