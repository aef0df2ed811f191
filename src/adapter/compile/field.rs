//! `[inbound.fields]` -> rules, in the order of the canonical record.

use std::rc::Rc;

use toml::Spanned;

use super::super::codes::CodeTable;
use super::super::decode::rows::{FieldReader, FieldRule, FieldTable};
use super::super::inbound::DocumentFormat;
use super::super::kind::{DateForm, FieldKind};
use super::super::manifest::{FieldManifest, InboundManifest};
use super::{Compiler, Frame};
use crate::error::did_you_mean;
use crate::model::{Field, FieldId, FieldType};

impl Compiler<'_> {
    pub(super) fn rules(
        &mut self,
        rows: &mut FieldTable,
        block: &Spanned<InboundManifest>,
        frame: &Frame,
    ) {
        let spec = frame.message;
        let mapped = &block.get_ref().fields;
        for (name, field) in mapped {
            match spec.field(name.get_ref()) {
                Some(id) => {
                    let rule = field
                        .as_ref()
                        .and_then(|field| self.rule(rows, id, &spec.fields[id.0], field));
                    rows.rules.extend(rule);
                }
                None => {
                    let near =
                        did_you_mean(name.get_ref(), spec.fields.iter().map(|field| field.name));
                    let names: Vec<&str> = spec.fields.iter().map(|field| field.name).collect();
                    self.find(
                        name,
                        format!(
                            "`{}` is not a field of {}; it has {}{near}",
                            name.get_ref(),
                            spec.name,
                            names.join(", ")
                        ),
                    );
                }
            }
        }
        let missing = spec.fields.iter().filter(|field| {
            field.required && !mapped.iter().any(|(name, _)| name.get_ref() == field.name)
        });
        let missing: Vec<String> = missing
            .map(|field| format!("`{}` ({})", field.name, field.doc.trim_end_matches('.')))
            .collect();
        if !missing.is_empty() && !mapped.is_empty() {
            self.find(
                &block.get_ref().message,
                format!(
                    "{} requires fields that are not mapped: {}",
                    spec.name,
                    missing.join(", ")
                ),
            );
        }
        rows.rules.sort_by_key(|rule| rule.field);
        keep_private(&mut rows.rules);
        if matches!(frame.format, DocumentFormat::Json | DocumentFormat::Ndjson) {
            self.no_attributes(block.get_ref());
        }
    }

    fn rule(
        &mut self,
        rows: &mut FieldTable,
        id: FieldId,
        field: &'static Field,
        block: &Spanned<FieldManifest>,
    ) -> Option<FieldRule> {
        let manifest = block.get_ref();
        let columns = self.columns(rows, block)?;
        let from = manifest
            .from
            .iter()
            .chain(manifest.first_of.iter().flat_map(|paths| paths.get_ref()));
        if let Some(path) = manifest.agrees_with.as_ref().filter(|path| {
            from.into_iter()
                .any(|from| from.get_ref() == path.get_ref())
        }) {
            self.find(path, format!("`agrees_with` is `{}`, where {} comes from; expected another element that says the same", path.get_ref(), field.name));
        }
        let agrees_with = manifest
            .agrees_with
            .as_ref()
            .and_then(|path| self.column(&mut rows.tree, path));
        let read = self.reading(field, block)?;
        if let Some(default) = &manifest.default {
            if manifest.required {
                self.find(
                    default,
                    "a field with a default is never missing; remove `required` or `default`",
                );
            }
            if let Err(reason) = read.check(default.get_ref()) {
                self.find(
                    default,
                    format!("the default `{}` does not fit: {reason}", default.get_ref()),
                );
            }
        }
        let default = manifest
            .default
            .as_ref()
            .map(|default| default.get_ref().clone());
        let private = manifest.private || field.private;
        let counts = field.required || matches!(field.holds, FieldType::Money | FieldType::Decimal);
        if manifest.transfer && counts {
            self.find(
                block,
                format!(
                    "`transfer` is for what says how a record was transferred; {} is what it says",
                    field.name
                ),
            );
        }
        let transfer = manifest.transfer || field.transfer;
        let required = manifest.required || field.required;
        Some(FieldRule {
            field: id,
            columns,
            agrees_with,
            read,
            required,
            default,
            private,
            transfer,
            informative: field.informative,
        })
    }

    fn columns(
        &mut self,
        rows: &mut FieldTable,
        block: &Spanned<FieldManifest>,
    ) -> Option<Vec<u16>> {
        match (&block.get_ref().from, &block.get_ref().first_of) {
            (Some(path), None) => self.column(&mut rows.tree, path).map(|column| vec![column]),
            (None, Some(paths)) if paths.get_ref().is_empty() => {
                self.find(paths, "`first_of` is empty; expected at least one path");
                None
            }
            (None, Some(paths)) => paths
                .get_ref()
                .iter()
                .map(|path| self.column(&mut rows.tree, path))
                .collect(),
            (Some(_), Some(paths)) => {
                self.find(paths, "has both `from` and `first_of`; keep one");
                None
            }
            (None, None) => {
                self.find(
                    block,
                    "says neither `from` nor `first_of`; where does it come from?",
                );
                None
            }
        }
    }

    fn reading(&mut self, field: &Field, block: &Spanned<FieldManifest>) -> Option<FieldReader> {
        let manifest = block.get_ref();
        let kind = self.kind(field, block)?;
        if let (Some(max), false) = (&manifest.max, kind == FieldKind::Text) {
            self.find(
                max,
                format!(
                    "`max` is for texts; {} is read as something else",
                    field.name
                ),
            );
        }
        if let (Some(codes), false) = (&manifest.codes, kind == FieldKind::Code) {
            self.find(
                codes,
                format!(
                    "`codes` is for codes; {} is read as something else",
                    field.name
                ),
            );
        }
        let form = self.form(kind, manifest);
        match (kind, field.holds) {
            (FieldKind::Text, FieldType::Text(most)) => {
                Some(FieldReader::Text(self.max(manifest, most)))
            }
            (FieldKind::Code, holds) => {
                let Some(codes) = &manifest.codes else {
                    self.find(
                        block,
                        format!(
                            "{} holds a code and needs a table: codes = \"{}\" with codes/{}.csv",
                            field.name, field.name, field.name
                        ),
                    );
                    return None;
                };
                let table = self.table(codes)?;
                self.codes(&table, holds)
            }
            _ => Some(FieldReader::Slot(kind, form)),
        }
    }

    fn codes(&mut self, table: &Rc<CodeTable>, holds: FieldType) -> Option<FieldReader> {
        match table.for_field(holds) {
            Ok(codes) => Some(FieldReader::Codes(codes)),
            Err(findings) => {
                self.findings.extend(findings);
                None
            }
        }
    }

    fn kind(&mut self, field: &Field, block: &Spanned<FieldManifest>) -> Option<FieldKind> {
        let fitting = FieldKind::fitting(field.holds);
        let Some(word) = &block.get_ref().kind else {
            if field.holds == FieldType::Money {
                self.find(
                    block,
                    format!(
                        "{} is money and needs its unit: kind = \"money_yuan\" or \"money_fen\"",
                        field.name
                    ),
                );
                return None;
            }
            return FieldKind::of_word(fitting[0]);
        };
        let words: Vec<&str> = FieldKind::words().collect();
        let kind = self.word(word, "a kind", &words, FieldKind::of_word)?;
        if !fitting.contains(&word.get_ref().as_str()) {
            self.find(
                word,
                format!(
                    "kind `{}` does not fit {}; expected {}",
                    word.get_ref(),
                    field.name,
                    fitting.join(" or ")
                ),
            );
            return None;
        }
        Some(kind)
    }

    fn form(&mut self, kind: FieldKind, manifest: &FieldManifest) -> DateForm {
        let Some(word) = &manifest.format else {
            return DateForm::Either;
        };
        if !matches!(kind, FieldKind::Date | FieldKind::MonthOfDate) {
            self.find(word, "`format` is for the kinds date and month_of_date");
        }
        let of_word = |word: &str| match word {
            "yyyyMMdd" => Some(DateForm::Compact),
            "yyyy-MM-dd" => Some(DateForm::Dashed),
            _ => None,
        };
        self.word(
            word,
            "a form of dates",
            &["yyyyMMdd", "yyyy-MM-dd"],
            of_word,
        )
        .unwrap_or(DateForm::Either)
    }

    fn max(&mut self, manifest: &FieldManifest, most: u16) -> u16 {
        match &manifest.max {
            Some(max) if *max.get_ref() == 0 || *max.get_ref() > most => {
                self.find(
                    max,
                    format!(
                        "max is {}; the canonical field holds 1 to {most} characters",
                        max.get_ref()
                    ),
                );
                most
            }
            Some(max) => *max.get_ref(),
            None => most,
        }
    }

    fn no_attributes(&mut self, manifest: &InboundManifest) {
        let fields = manifest
            .fields
            .iter()
            .filter_map(|(_, field)| field.as_ref())
            .map(Spanned::get_ref);
        let paths = fields.flat_map(|field| {
            field
                .from
                .iter()
                .chain(field.first_of.iter().flat_map(|paths| paths.get_ref()))
        });
        let paths: Vec<&Spanned<String>> = paths
            .chain(&manifest.record_index)
            .chain([&manifest.idempotency_key])
            .collect();
        for path in paths
            .into_iter()
            .filter(|path| path.get_ref().contains('@'))
        {
            self.find(
                path,
                format!("`{}` names an attribute; JSON has none", path.get_ref()),
            );
        }
    }
}

/// An element that one field keeps private is private for every field that reads it.
fn keep_private(rules: &mut [FieldRule]) {
    let columns = |rule: &FieldRule| {
        rule.columns
            .iter()
            .chain(&rule.agrees_with)
            .copied()
            .collect::<Vec<u16>>()
    };
    let private: Vec<u16> = rules
        .iter()
        .filter(|rule| rule.private)
        .flat_map(columns)
        .collect();
    for rule in rules {
        rule.private |= columns(rule).iter().any(|column| private.contains(column));
    }
}
