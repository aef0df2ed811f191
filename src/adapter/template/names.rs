//! Names in templates, held against what there is: filters and tests against the closed lists, variables
//! against the samples of the message.
//!
//! Reads tags and expressions as far as names go; what an expression means is minijinja's business. A name it
//! cannot follow (an item of a filtered list, a subscript) is taken as right: samples are rendered, too.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::filters::{FILTERS, TESTS};
use crate::error::did_you_mean;

mod tokens; // tags and what they are made of

use tokens::{TemplateTag, Token, tags};

/// Words of the template language that are no names.
const WORDS: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "self",
    "recursive",
];
/// Names a finding lists at most.
const LISTED_MAX: usize = 30;

/// What the samples of a message say of its variables.
#[derive(Debug, Clone)]
pub struct SampleVariables {
    /// What the samples are of, for findings.
    owner: String,
    /// Every name in any of them; a list holds one item with the names of all; null where nothing is known.
    all: Option<Map<String, Value>>,
}

impl SampleVariables {
    /// All samples of a message or document together; `always` are variables the gateway adds to each.
    pub fn of(
        owner: &str,
        samples: impl IntoIterator<Item = Value>,
        always: &[&str],
    ) -> SampleVariables {
        let all = samples
            .into_iter()
            .map(item)
            .reduce(merged)
            .and_then(|all| {
                if let Value::Object(all) = all {
                    Some(all)
                } else {
                    None
                }
            });
        let all = all.map(|all| {
            all.into_iter()
                .chain(always.iter().map(|name| ((*name).to_owned(), Value::Null)))
                .collect()
        });
        SampleVariables {
            owner: owner.to_owned(),
            all,
        }
    }
}

/// What is wrong with the names in a template, as `(offset, text)`.
pub fn check(source: &str, given: &SampleVariables) -> Vec<(usize, String)> {
    let root = given.all.clone().unwrap_or_default();
    let mut check = Check {
        owner: &given.owner,
        known: given.all.is_some(),
        scopes: vec![root.into_iter().collect()],
        problems: Vec::new(),
    };
    for tag in tags(source) {
        check.tag(&tag);
    }
    check.problems
}

struct Check<'a> {
    owner: &'a str,
    /// Whether there is a sample to hold variables against.
    known: bool,
    scopes: Vec<BTreeMap<String, Value>>,
    problems: Vec<(usize, String)>,
}

impl Check<'_> {
    fn tag(&mut self, tag: &TemplateTag<'_>) {
        let words: Vec<&str> = tag.tokens.iter().map(|token| token.text).collect();
        match (tag.statement, words.as_slice()) {
            (true, ["for", rest @ ..]) => {
                let Some(names) = rest.iter().position(|word| *word == "in") else {
                    return;
                };
                let listed = &tag.tokens[names + 2..];
                // `for x in list if x.y`: the condition knows the variable; `a if b else c` is a list.
                let filter = listed
                    .iter()
                    .position(|token| token.text == "if")
                    .filter(|_| !listed.iter().any(|token| token.text == "else"));
                let (listed, condition) = listed.split_at(filter.unwrap_or(listed.len()));
                let listed = self.expression(listed);
                let one = match listed {
                    Some(Value::Array(items)) => items.into_iter().next().unwrap_or_default(),
                    _ => Value::Null,
                };
                let variables = rest[..names]
                    .iter()
                    .filter(|word| **word != ",")
                    .map(|word| ((*word).to_owned(), one.clone()));
                self.scopes.push(
                    variables
                        .chain([("loop".to_owned(), Value::Null)])
                        .collect(),
                );
                self.expression(condition);
            }
            (true, ["endfor" | "endwith" | "endmacro", ..]) => {
                if self.scopes.len() > 1 {
                    self.scopes.pop();
                }
            }
            (true, ["set", name, "=", ..]) => {
                let value = self.expression(&tag.tokens[3..]).unwrap_or_default();
                self.scopes
                    .last_mut()
                    .expect("the root is never left")
                    .insert((*name).to_owned(), value);
            }
            (true, ["with" | "macro" | "block" | "call", ..]) => self.scopes.push(BTreeMap::new()),
            (true, [_, ..]) => drop(self.expression(&tag.tokens[1..])),
            _ => drop(self.expression(&tag.tokens)),
        }
    }

    /// Looks at every name; what the expression is, where it is a path and nothing else.
    fn expression(&mut self, tokens: &[Token<'_>]) -> Option<Value> {
        let (mut value, mut at, mut paths) = (None, 0, 0);
        while at < tokens.len() {
            let before = at.checked_sub(1).map_or("", |before| tokens[before].text);
            let after = tokens.get(at + 1).map_or("", |token| token.text);
            let token = &tokens[at];
            at += 1;
            if !token.name {
                continue;
            }
            match (before, token.text) {
                ("|", name) => self.one_of(
                    token.at,
                    name,
                    "filter",
                    FILTERS.iter().map(|(known, _)| *known),
                ),
                ("is", "not") => {}
                ("is" | "not", name)
                    if before == "is" || at >= 3 && tokens[at - 3].text == "is" =>
                {
                    self.one_of(token.at, name, "test", TESTS.iter().copied())
                }
                (_, word) if WORDS.contains(&word) => {}
                (_, _)
                    if after == "=" && tokens.get(at + 1).is_none_or(|next| next.text != "=") => {}
                _ => {
                    let mut names = vec![token.text];
                    while tokens.get(at).is_some_and(|dot| dot.text == ".")
                        && tokens.get(at + 1).is_some_and(|name| name.name)
                    {
                        names.push(tokens[at + 1].text);
                        at += 2;
                    }
                    paths += 1;
                    value = self.path(token.at, &names);
                }
            }
        }
        let plain = paths == 1 && tokens.iter().all(|token| token.name || token.text == ".");
        value.filter(|_| plain)
    }

    fn one_of<'k>(
        &mut self,
        at: usize,
        name: &str,
        what: &str,
        known: impl Iterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.collect();
        if !known.contains(&name) {
            let near = did_you_mean(name, known.iter().copied());
            self.problems.push((
                at,
                format!(
                    "there is no {what} `{name}`; there are {}{near}",
                    known.join(", ")
                ),
            ));
        }
    }

    /// What a dotted name leads to; null where that is not known.
    fn path(&mut self, at: usize, names: &[&str]) -> Option<Value> {
        let (first, rest) = names.split_first()?;
        let Some(mut found) = self
            .scopes
            .iter()
            .rev()
            .find_map(|scope| scope.get(*first))
            .cloned()
        else {
            let all: Vec<String> = self
                .scopes
                .iter()
                .flat_map(BTreeMap::keys)
                .filter(|name| *name != "loop")
                .cloned()
                .collect();
            self.unknown(at, first, "the template", &all);
            return None;
        };
        for (depth, name) in rest.iter().enumerate() {
            let Value::Object(mut names_here) = found else {
                return None;
            };
            match names_here.remove(*name) {
                Some(next) => found = next,
                None => {
                    let there: Vec<String> = names_here.keys().cloned().collect();
                    self.unknown(
                        at,
                        &names[..depth + 2].join("."),
                        &format!("`{}`", names[..=depth].join(".")),
                        &there,
                    );
                    return None;
                }
            }
        }
        Some(found)
    }

    fn unknown(&mut self, at: usize, name: &str, whose: &str, there: &[String]) {
        if !self.known {
            return;
        }
        let mut there = there.to_vec();
        there.sort();
        there.dedup();
        let last = name.rsplit('.').next().unwrap_or(name);
        let near = did_you_mean(last, there.iter().map(String::as_str));
        let more = if there.len() > LISTED_MAX {
            ", ..."
        } else {
            ""
        };
        let listed: Vec<&str> = there.iter().take(LISTED_MAX).map(String::as_str).collect();
        self.problems.push((
            at,
            format!(
                "`{name}` is in no sample of `{}`; {whose} has {}{more}{near}: mend the name, or add it to a sample if the gateway gives it",
                self.owner,
                listed.join(", ")
            ),
        ));
    }
}

/// A sample with every list as one item that has the names of all.
fn item(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(name, value)| (name, item(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(item)
                .reduce(merged)
                .into_iter()
                .collect(),
        ),
        other => other,
    }
}

fn merged(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (name, value) in other {
                let both = match one.remove(&name) {
                    Some(before) => merged(before, value),
                    None => value,
                };
                one.insert(name, both);
            }
            Value::Object(one)
        }
        (Value::Array(one), Value::Array(other)) => Value::Array(
            one.into_iter()
                .chain(other)
                .reduce(merged)
                .into_iter()
                .collect(),
        ),
        (Value::Null, known) | (known, _) => known,
    }
}

#[cfg(test)]
mod tests;
