//! The adapters of one folder, loaded: each checked and tried on its own samples.
//!
//! An adapter that is wrong, or whose samples do not come out as expected, is not loaded, and then
//! nothing is: a gateway that knows only some of its partners would refuse the others' packets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use toml::Spanned;

use super::codes::CodeTable;
use super::compile::Compiler;
use super::inbound::Endpoint;
use super::manifest::{InboundManifest, Manifest, RequestTarget, Source};
use super::outbound::{self, Document, OutboundMessage, Outgoing};
use super::sample;
use crate::error::{Finding, did_you_mean};

/// One adapter folder, compiled.
#[derive(Debug)]
pub struct Adapter {
    name: String,
    folder: PathBuf,
    digest: [u8; 32],
    endpoints: Vec<Arc<Endpoint>>,
    outgoing: Outgoing,
    places: Vec<RequestTarget>,
}

impl Adapter {
    /// Reads and checks a folder; its samples are not tried.
    pub fn load(folder: &Path) -> Result<Adapter, Vec<Finding>> {
        let file = folder.join("adapter.toml");
        let source =
            Source::read(&file, &file.display().to_string()).map_err(|finding| vec![finding])?;
        let mut findings = Vec::new();
        let manifest = Manifest::read(&source, &mut findings);
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut adapter = Adapter {
            name,
            folder: folder.to_path_buf(),
            digest: [0; 32],
            endpoints: Vec::new(),
            outgoing: Outgoing::default(),
            places: Vec::new(),
        };
        if let Some(manifest) = manifest {
            adapter.compile(&source, &manifest, &mut findings);
            adapter.places = manifest.places;
        }
        match digest(folder) {
            Ok(digest) => adapter.digest = digest,
            Err(error) => findings.push(Finding::new(
                folder.display().to_string(),
                None,
                format!("cannot be read: {error}"),
            )),
        }
        if findings.is_empty() {
            findings = sample::missing(&adapter);
        }
        if findings.is_empty() {
            Ok(adapter)
        } else {
            Err(in_order(findings))
        }
    }

    fn compile(&mut self, source: &Source, manifest: &Manifest, findings: &mut Vec<Finding>) {
        let mut compiler = Compiler::new(source, &self.folder);
        if let Some(written) = manifest
            .adapter
            .as_ref()
            .filter(|written| *written.get_ref() != self.name)
        {
            compiler.find(
                written,
                format!(
                    "adapter is `{}`; expected the folder's name, `{}`",
                    written.get_ref(),
                    self.name
                ),
            );
        }
        let endpoints = compiler.endpoints(&manifest.inbound);
        self.endpoints = endpoints.into_iter().map(Arc::new).collect();
        compiler.other_tables();
        findings.append(&mut compiler.findings);
        match outbound::load(&self.folder, &source.text) {
            Ok(outgoing) => {
                self.outgoing = outgoing;
                findings.extend(self.bind_results(source));
                findings.extend(
                    manifest
                        .inbound
                        .iter()
                        .filter_map(|block| self.no_receipt(source, block)),
                );
                findings.extend(
                    manifest
                        .inbound
                        .iter()
                        .flat_map(|block| self.never_compared(source, block)),
                );
            }
            Err(mut found) => {
                // Both halves read the code tables; one finding for each is enough.
                found.retain(|finding| {
                    !findings.iter().any(|earlier| {
                        earlier.file == finding.file && finding.file.ends_with(".csv")
                    })
                });
                findings.extend(found);
            }
        }
        if manifest.inbound.is_empty() && self.outgoing.outbound.is_empty() && findings.is_empty() {
            findings.push(Finding::new(
                &source.file,
                None,
                "has neither [[inbound]] nor [[outbound]]; an adapter says what a system speaks",
            ));
        }
    }

    /// Joins outbound messages with results to the field tables that read them.
    fn bind_results(&mut self, source: &Source) -> Vec<Finding> {
        let mut problems = Vec::new();
        for outbound in &mut self.outgoing.outbound {
            problems.extend(outbound.bind_results(&self.endpoints).err());
        }
        problems.extend(
            self.outgoing
                .outbound
                .iter()
                .filter_map(|outbound| self.inquiry_without_results(outbound)),
        );
        problems
            .into_iter()
            .map(|(offset, text)| Finding::at_offset(&source.file, &source.text, offset, text))
            .collect()
    }

    /// What became of a request in doubt is asked, and its results must come with the answer to that.
    fn inquiry_without_results(&self, outbound: &OutboundMessage) -> Option<(usize, String)> {
        let (results, inquiry) = (outbound.results()?, outbound.inquiry()?);
        let asked = self.outbound(inquiry)?;
        if asked
            .results()
            .is_some_and(|asked| asked.record() == results.record())
        {
            return None;
        }
        let text = format!(
            "message `{}` has results of `{}`, but its inquiry `{inquiry}` has none: after a lost answer they would never come; give it `results` as well",
            outbound.message(),
            results.record()
        );
        Some((results.offset(), text))
    }

    /// A field that is to agree with an element no sample has: a misspelt one would never be looked at.
    fn never_compared(&self, source: &Source, block: &Spanned<InboundManifest>) -> Vec<Finding> {
        let block = block.get_ref();
        let samples =
            files(&self.folder.join("samples").join(block.message.get_ref())).unwrap_or_default();
        let samples: Vec<Vec<u8>> = samples
            .iter()
            .filter(|path| !path.to_string_lossy().contains(".expected."))
            .filter_map(|path| std::fs::read(path).ok())
            .collect();
        let fields = block.fields.iter().filter_map(|(name, field)| {
            Some((
                name.get_ref(),
                field.as_ref()?.get_ref().agrees_with.as_ref()?,
            ))
        });
        let mut found = Vec::new();
        for (field, path) in fields {
            let element = path.get_ref().rsplit(['/', '@']).next().unwrap_or_default();
            let seen = samples.iter().any(|sample| {
                sample
                    .windows(element.len().max(1))
                    .any(|bytes| bytes == element.as_bytes())
            });
            if !seen && !samples.is_empty() {
                let text = format!(
                    "`{field}` is to agree with `{}`, which no sample of {} has: mend the path, or add a sample with it",
                    path.get_ref(),
                    block.message.get_ref()
                );
                found.push(source.finding(path, text));
            }
        }
        found
    }

    fn no_receipt(&self, source: &Source, block: &Spanned<InboundManifest>) -> Option<Finding> {
        let receipt = &block.get_ref().receipt;
        let names: Vec<&str> = self.outgoing.documents.iter().map(Document::name).collect();
        if names.contains(&receipt.get_ref().as_str()) {
            return None;
        }
        let near = did_you_mean(receipt.get_ref(), names.iter().copied());
        let have = if names.is_empty() {
            "there is none".to_string()
        } else {
            format!("there are {}", names.join(", "))
        };
        Some(source.finding(
            receipt,
            format!(
                "there is no [[document]] `{}`; {have}{near}",
                receipt.get_ref()
            ),
        ))
    }

    /// The folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a code table says each word of ours means, by the word; nothing where the adapter has no such table.
    pub fn meanings(&self, table: &str) -> BTreeMap<String, String> {
        let path = self.folder.join("codes").join(format!("{table}.csv"));
        CodeTable::load(&path, table)
            .map(|table| table.meanings())
            .unwrap_or_default()
    }

    /// SHA-256 over the names and contents of every file of the folder.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The endpoint of that name (a route's last path segment).
    pub fn endpoint(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.name() == name)
    }

    /// Every endpoint.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The outbound message of that name.
    pub fn outbound(&self, message: &str) -> Option<&OutboundMessage> {
        self.outgoing
            .outbound
            .iter()
            .find(|outbound| outbound.message() == message)
    }

    /// Every outbound message.
    pub fn outbounds(&self) -> &[OutboundMessage] {
        &self.outgoing.outbound
    }

    /// Method, path and body form of an outbound message, as the manifest has them.
    pub(super) fn place(&self, message: &str) -> Option<&RequestTarget> {
        self.places.iter().find(|place| place.message == message)
    }

    /// The document of that name.
    pub fn document(&self, name: &str) -> Option<&Document> {
        self.outgoing
            .documents
            .iter()
            .find(|document| document.name() == name)
    }

    /// Every document.
    pub fn documents(&self) -> &[Document] {
        &self.outgoing.documents
    }
}

/// The loaded adapters.
#[derive(Debug, Default)]
pub struct Catalog {
    adapters: BTreeMap<String, Arc<Adapter>>,
}

impl Catalog {
    /// Loads every folder of `dir`, or returns everything found wrong.
    pub fn load(dir: &Path) -> Result<Catalog, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut catalog = Catalog::default();
        for folder in folders(dir, &[]).map_err(|finding| vec![finding])? {
            match Adapter::load(&folder) {
                Ok(adapter) => {
                    findings.extend(sample::run(&adapter, false).findings);
                    catalog
                        .adapters
                        .insert(adapter.name.clone(), Arc::new(adapter));
                }
                Err(found) => findings.extend(found),
            }
        }
        if findings.is_empty() {
            Ok(catalog)
        } else {
            Err(findings)
        }
    }

    /// The adapter of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Adapter>> {
        self.adapters.get(name)
    }

    /// Every adapter, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Adapter>> {
        self.adapters.values()
    }

    /// A sentence about a name that is not there.
    pub fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.adapters.keys().map(String::as_str).collect();
        format!(
            "there is no adapter `{name}`; there are {}{}",
            names.join(", "),
            did_you_mean(name, names.iter().copied())
        )
    }
}

/// The adapter folders of `dir`: those named, or all when none is.
pub(super) fn folders(dir: &Path, names: &[String]) -> Result<Vec<PathBuf>, Finding> {
    let shown = dir.display().to_string();
    let entries = std::fs::read_dir(dir).map_err(|error| {
        Finding::new(
            &shown,
            None,
            format!("cannot be read: {error}; expected the folder of the adapters"),
        )
    })?;
    let mut all: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !hidden(path))
        .collect();
    all.sort();
    if names.is_empty() {
        return Ok(all);
    }
    let known: Vec<String> = all
        .iter()
        .filter_map(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let near = did_you_mean(name, known.iter().map(String::as_str));
        return Err(Finding::new(
            shown,
            None,
            format!(
                "there is no adapter `{name}`; there are {}{near}",
                known.join(", ")
            ),
        ));
    }
    Ok(all
        .into_iter()
        .zip(known)
        .filter(|(_, name)| names.contains(name))
        .map(|(path, _)| path)
        .collect())
}

fn hidden(path: &Path) -> bool {
    path.file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

/// Every file below a folder, sorted; hidden ones left out.
pub(super) fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if !hidden(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn digest(folder: &Path) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    for path in files(folder)? {
        let name = path
            .strip_prefix(folder)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        let content = std::fs::read(&path)?;
        for part in [name.as_bytes(), &content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize().into())
}

/// By file, then by place, each once.
pub(super) fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| (&a.file, a.at, &a.text).cmp(&(&b.file, b.at, &b.text)));
    findings.dedup();
    findings
}
