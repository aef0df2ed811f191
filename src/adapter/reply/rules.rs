//! `[outbound.reply]` in adapter.toml: its grammar and the checks that make it a [`ReplyRules`].

use serde::Deserialize;
use toml::Spanned;

use super::body::BodyForm;
use super::records::RecordVerdicts;
use super::{ReplyRules, Rule, Test};
use crate::model::Outcome;

/// `[outbound.reply]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplySpec {
    /// `json` or `xml`; as the template when absent.
    format: Option<Spanned<String>>,
    /// Where an answer repeats our reference; another's reference, or a 2xx without any, is unknown.
    echo: Option<Spanned<String>>,
    /// Where the partner's code and message are, for people to read.
    /// Of several places the first that holds a text counts; the first for the code is the partner's own.
    code_at: Option<Spanned<OneOrMany<String>>>,
    text_at: Option<Spanned<OneOrMany<String>>>,
    #[serde(default)]
    accepted: Vec<Spanned<RuleSpec>>,
    #[serde(default)]
    duplicate: Vec<Spanned<RuleSpec>>,
    #[serde(default)]
    rejected: Vec<Spanned<RuleSpec>>,
    #[serde(default)]
    retry_later: Vec<Spanned<RuleSpec>>,
    /// Answers of what stands before the partner that are known to have let nothing through, each with its source.
    #[serde(default)]
    not_reached: Vec<Spanned<RuleSpec>>,
    /// What an accepting answer says of each record of the request.
    records: Option<Spanned<RecordsSpec>>,
}

/// `[outbound.reply.records]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsSpec {
    at: Spanned<String>,
    key: Spanned<String>,
    code_at: Option<Spanned<String>>,
    text_at: Option<Spanned<String>>,
    unlisted: Option<Spanned<String>>,
    #[serde(default)]
    accepted: Vec<Spanned<RuleSpec>>,
    #[serde(default)]
    duplicate: Vec<Spanned<RuleSpec>>,
    #[serde(default)]
    rejected: Vec<Spanned<RuleSpec>>,
    #[serde(default)]
    retry_later: Vec<Spanned<RuleSpec>>,
}

/// One rule: every condition given must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    status: Option<OneOrMany<u16>>,
    at: Option<String>,
    is: Option<Scalar>,
    r#in: Option<Vec<Scalar>>,
    exists: Option<bool>,
    text_at: Option<String>,
    /// Who says that the answer means this: a document with its section, or a person of the partner's.
    source: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// What may be written where one value or several may stand.
pub(crate) trait OneOrSeveral {
    const EXPECTED: &'static str;
}

impl OneOrSeveral for u16 {
    const EXPECTED: &'static str =
        "expected a status of HTTP without quotes, such as 200, or a list of them";
}

impl OneOrSeveral for String {
    const EXPECTED: &'static str = "expected a text in quotes, or a list of such texts";
}

impl<'de, T: Deserialize<'de> + OneOrSeveral> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<OneOrMany<T>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            One(T),
            Many(Vec<T>),
        }
        let either =
            Either::deserialize(deserializer).map_err(|_| serde::de::Error::custom(T::EXPECTED))?;
        Ok(match either {
            Either::One(one) => OneOrMany::One(one),
            Either::Many(many) => OneOrMany::Many(many),
        })
    }
}

impl<T> OneOrMany<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

/// A code as written in TOML; compared as text.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text in quotes, a whole number, true or false"
)]
enum Scalar {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
            Scalar::Flag(flag) => flag.to_string(),
        }
    }
}

/// Compiles the rules in the order they are written; adds `(offset, text)` per problem.
pub fn compile(
    spec: Spanned<ReplySpec>,
    template_form: BodyForm,
    problems: &mut Vec<(usize, String)>,
) -> ReplyRules {
    let start = spec.span().start;
    let spec = spec.into_inner();
    let form = match spec
        .format
        .as_ref()
        .map(|format| (format.span().start, format.get_ref().as_str()))
    {
        None => template_form,
        Some((_, "json")) => BodyForm::Json,
        Some((_, "xml")) => BodyForm::Xml,
        Some((offset, other)) => {
            problems.push((offset, format!("format is `{other}`; expected json or xml")));
            template_form
        }
    };
    let mut place = |place: Option<Spanned<String>>| {
        place.map(|place| {
            check_place(place.get_ref(), place.span().start, problems);
            place.into_inner()
        })
    };
    let echo = place(spec.echo);
    let mut places = |written: Option<Spanned<OneOrMany<String>>>| {
        let Some(written) = written else {
            return Vec::new();
        };
        let (offset, places) = (written.span().start, written.into_inner().into_vec());
        places
            .iter()
            .for_each(|at| check_place(at, offset, problems));
        places
    };
    let (code_at, text_at) = (places(spec.code_at), places(spec.text_at));
    if spec.accepted.is_empty() {
        problems.push((
            start,
            "no rule says when a request is `accepted`; without one every answer stays unknown"
                .into(),
        ));
    }
    let records = spec
        .records
        .map(|records| compile_records(records, problems));
    let lists = vec![
        (Outcome::Accepted, spec.accepted),
        (Outcome::Duplicate, spec.duplicate),
        (Outcome::Rejected, spec.rejected),
        (Outcome::RetryLater, spec.retry_later),
        (Outcome::NotReached, spec.not_reached),
    ];
    ReplyRules {
        form,
        echo,
        code_at,
        text_at,
        rules: in_order(lists, problems),
        records,
        results_at: None,
    }
}

fn compile_records(
    spec: Spanned<RecordsSpec>,
    problems: &mut Vec<(usize, String)>,
) -> RecordVerdicts {
    let start = spec.span().start;
    let spec = spec.into_inner();
    let mut place = |place: Spanned<String>| {
        check_place(place.get_ref(), place.span().start, problems);
        place.into_inner()
    };
    let (at, key, code_at, text_at) = (
        place(spec.at),
        place(spec.key),
        spec.code_at.map(&mut place),
        spec.text_at.map(&mut place),
    );
    if spec.accepted.is_empty() {
        problems.push((start, "no rule of `records` says when a record is `accepted`; without one every record stays unknown".into()));
    }
    let unlisted = match spec
        .unlisted
        .as_ref()
        .map(|unlisted| (unlisted.span().start, unlisted.get_ref().as_str()))
    {
        None | Some((_, "unknown")) => Outcome::Unknown,
        Some((_, "accepted")) => Outcome::Accepted,
        Some((offset, other)) => {
            problems.push((
                offset,
                format!("unlisted is `{other}`; expected accepted or unknown"),
            ));
            Outcome::Unknown
        }
    };
    let lists = vec![
        (Outcome::Accepted, spec.accepted),
        (Outcome::Duplicate, spec.duplicate),
        (Outcome::Rejected, spec.rejected),
        (Outcome::RetryLater, spec.retry_later),
    ];
    RecordVerdicts {
        at,
        key,
        code_at,
        text_at,
        unlisted,
        rules: in_order(lists, problems),
    }
}

/// Rules in the order they are written, whatever they mean.
fn in_order(
    lists: Vec<(Outcome, Vec<Spanned<RuleSpec>>)>,
    problems: &mut Vec<(usize, String)>,
) -> Vec<Rule> {
    let mut rules: Vec<(usize, Rule)> = Vec::new();
    for (outcome, list) in lists {
        for rule in list {
            let offset = rule.span().start;
            rules.push((
                offset,
                compile_rule(outcome, rule.into_inner(), offset, problems),
            ));
        }
    }
    rules.sort_by_key(|(offset, _)| *offset);
    rules.into_iter().map(|(_, rule)| rule).collect()
}

fn compile_rule(
    outcome: Outcome,
    spec: RuleSpec,
    offset: usize,
    problems: &mut Vec<(usize, String)>,
) -> Rule {
    let status = spec.status.map(OneOrMany::into_vec).unwrap_or_default();
    if let Some(wrong) = status.iter().find(|status| !(100..600).contains(*status)) {
        problems.push((
            offset,
            format!("status {wrong} is not an HTTP status; expected 100 to 599"),
        ));
    }
    let sourced = spec
        .source
        .as_deref()
        .is_some_and(|source| !source.trim().is_empty());
    if outcome == Outcome::NotReached && !sourced {
        let text = "a rule of `not_reached` needs `source`: who says that nothing was let through; without one the answer has to stay unknown";
        problems.push((offset, text.into()));
    }
    for at in [&spec.at, &spec.text_at].into_iter().flatten() {
        check_place(at, offset, problems);
    }
    let tests = [
        spec.is.map(|is| Test::In(vec![is.into_text()])),
        spec.r#in.map(texts),
        spec.exists.map(Test::Exists),
    ];
    let mut tests = tests.into_iter().flatten();
    let test = (tests.next(), tests.next());
    let at = match (spec.at, test) {
        (None, (None, None)) => {
            if status.is_empty() {
                problems.push((
                    offset,
                    "a rule without `status` or `at` matches every answer; add a condition".into(),
                ));
            }
            None
        }
        (Some(at), (Some(test), None)) => Some((at, test)),
        (at, (test, _)) => {
            let found = match (at, test) {
                (Some(_), None) => "`at` without a test",
                (None, _) => "a test without `at`",
                _ => "more than one test",
            };
            problems.push((
                offset,
                format!(
                    "a rule has {found}; expected `at` with exactly one of `is`, `in`, `exists`"
                ),
            ));
            None
        }
    };
    Rule {
        outcome,
        status,
        at,
        text_at: spec.text_at,
    }
}

fn texts(list: Vec<Scalar>) -> Test {
    Test::In(list.into_iter().map(Scalar::into_text).collect())
}

pub(crate) fn check_place(place: &str, offset: usize, problems: &mut Vec<(usize, String)>) {
    if !place.starts_with('/') || place.ends_with('/') {
        problems.push((offset, format!("`{place}` is not a place in an answer; expected one such as /infcode or /output/state")));
    }
}
