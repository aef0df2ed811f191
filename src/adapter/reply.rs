//! Reply rules: what a partner's answer means for the request it answers.
//!
//! Rules are read in the order written and the first that matches decides; an answer that no rule
//! explains is `unknown`, because guessing either way loses or doubles money. Only the partner's own
//! code and message reach the verdict, cut short and masked; never the body.
//!
//! Of an inquiry's answer the outcomes speak about the request asked about: `accepted` the partner
//! has it, `rejected` it does not have it (so it may be sent again), `retry_later` ask again later.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Answer, Outcome, Verdict};

pub mod body; // looking things up in an answer
pub mod charset; // the bytes of an answer -> text, once
pub mod records; // what an answer says of each record
pub mod rules; // the TOML of rules and its checks
pub mod safe; // partner texts fit to be shown

use body::{AnswerBody, BodyForm};

/// Longest pause a `Retry-After` may ask for; what asks for more is a mistake.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The compiled `[outbound.reply]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRules {
    form: BodyForm,
    /// Where an answer repeats our reference; a 2xx must.
    echo: Option<String>,
    /// Where the partner's own code is; further places are those of whatever may stand before it.
    code_at: Vec<String>,
    text_at: Vec<String>,
    rules: Vec<Rule>,
    records: Option<records::RecordVerdicts>,
    /// Where results of many records stand, which no rule looks into.
    results_at: Option<String>,
}

/// A conjunction of conditions and the outcome it means.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    outcome: Outcome,
    /// Any of these; any status when empty.
    status: Vec<u16>,
    at: Option<(String, Test)>,
    text_at: Option<String>,
}

/// What is asked of the value at a place in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// Equal, as text, to one of these.
    In(Vec<String>),
    Exists(bool),
}

impl ReplyRules {
    /// What an answer means. `reference` is ours, as it was sent with the request.
    pub fn judge(&self, answer: &Answer, reference: &str) -> Verdict {
        let body = AnswerBody::parse_beside(self.form, &answer.body, self.results_at.as_deref());
        let retry_after = retry_after(answer);
        // A front end may answer with any status of the five hundreds, whatever it found behind itself.
        let own = answer.status < 500 && self.code_at.first().is_some_and(|at| body.exists(at));
        let verdict = |outcome, text: String| {
            let explicit = matches!(
                outcome,
                Outcome::Accepted | Outcome::Duplicate | Outcome::Rejected
            );
            Verdict {
                outcome,
                text,
                retry_after,
                own: own || explicit,
            }
        };
        if let Some(problem) = self.not_ours(answer, &body, reference) {
            return Verdict {
                retry_after,
                ..Verdict::unknown(problem, false)
            };
        }
        match self
            .rules
            .iter()
            .find(|rule| rule.matches(answer.status, &body))
        {
            Some(rule) => {
                let said = self.text(rule.text_at.as_deref(), &body);
                // Of somebody before the partner who says nothing its status is all there is to go by.
                let text = if said.is_empty() && rule.outcome == Outcome::NotReached {
                    format!("status {}", answer.status)
                } else {
                    said
                };
                verdict(rule.outcome, text)
            }
            None => verdict(Outcome::Unknown, self.unexplained(answer, &body)),
        }
    }

    /// Whether answers speak of each record.
    pub fn by_record(&self) -> bool {
        self.records.is_some()
    }

    /// Whether an answer repeats our reference, so that it cannot be taken for another request's.
    pub fn bound(&self) -> bool {
        self.echo.is_some()
    }

    /// What its answers are written in.
    pub fn form(&self) -> BodyForm {
        self.form
    }

    /// The same rules for answers with results of many records at that place, which are skipped.
    #[must_use]
    pub fn beside(self, results_at: Option<String>) -> ReplyRules {
        ReplyRules { results_at, ..self }
    }

    /// What an answer that means `whole` means for each record of the request, by their ids.
    pub fn judge_records(&self, answer: &Answer, whole: &Verdict, ids: &[&str]) -> Vec<Verdict> {
        match &self.records {
            Some(records) if whole.outcome == Outcome::Accepted => {
                records.judge(answer, &AnswerBody::parse(self.form, &answer.body), ids)
            }
            _ => vec![whole.clone(); ids.len()],
        }
    }

    /// Why an answer is not one to our request, where the partner repeats references: one that repeats
    /// another never is, a readable 2xx must repeat ours.
    fn not_ours(&self, answer: &Answer, body: &AnswerBody, reference: &str) -> Option<String> {
        let echo = self.echo.as_deref()?;
        let must = (200..300).contains(&answer.status) && !matches!(body, AnswerBody::Broken);
        match body.text(echo).filter(|found| !found.is_empty()) {
            Some(found) if found == reference => None,
            Some(_) => Some(format!(
                "status {}: the answer repeats another reference at {echo} than the one we sent",
                answer.status
            )),
            None if must => Some(format!(
                "status {}: the answer does not repeat our reference at {echo}",
                answer.status
            )),
            None => None,
        }
    }

    /// The partner's own code and message, safe to show.
    fn text(&self, text_at: Option<&str>, body: &AnswerBody) -> String {
        let first = |places: &[String]| {
            places
                .iter()
                .filter_map(|at| body.text(at))
                .find(|text| !text.is_empty())
        };
        let said = match text_at {
            Some(at) => body.text(at).filter(|text| !text.is_empty()),
            None => first(&self.text_at),
        };
        let parts: Vec<String> = [first(&self.code_at), said].into_iter().flatten().collect();
        safe::shown(&parts.join(" "))
    }

    fn unexplained(&self, answer: &Answer, body: &AnswerBody) -> String {
        let what = match body {
            AnswerBody::Broken => {
                let otherwise = || {
                    format!(
                        "the body of {} bytes is not {}",
                        answer.body.len(),
                        self.form.word()
                    )
                };
                charset::undecodable(self.form, answer).unwrap_or_else(otherwise)
            }
            AnswerBody::Empty => "the body is empty and no reply rule matches".to_owned(),
            _ => match self
                .rules
                .iter()
                .filter_map(|rule| rule.at.as_ref())
                .find_map(|(at, _)| body.instead_of(at))
            {
                Some(instead) => format!("no reply rule matches, {}", instead.words),
                None => "no reply rule matches".to_owned(),
            },
        };
        let said = self.text(None, body);
        let said = if said.is_empty() {
            said
        } else {
            format!(": {said}")
        };
        format!("status {}: {what}{said}", answer.status)
    }
}

impl Rule {
    fn matches(&self, status: u16, body: &AnswerBody) -> bool {
        // A broken body says nothing about the request; only that it was not taken now may rest on the status alone.
        let readable = !matches!(body, AnswerBody::Broken)
            || matches!(self.outcome, Outcome::RetryLater | Outcome::NotReached);
        let status_fits = self.status.is_empty() || self.status.contains(&status);
        let body_fits = match &self.at {
            None => true,
            Some((at, Test::Exists(wanted))) => body.is_read() && body.exists(at) == *wanted,
            Some((at, Test::In(texts))) => {
                body.text(at).is_some_and(|found| texts.contains(&found))
            }
        };
        readable && status_fits && body_fits
    }
}

/// `Retry-After`: seconds, or an HTTP date relative to the answer's own `Date` (our clock without one).
fn retry_after(answer: &Answer) -> Option<Duration> {
    let header = |name: &str| {
        answer
            .headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.trim())
    };
    let value = header("retry-after")?;
    let pause = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        let until = http_date(value)?;
        let now = header("date")
            .and_then(http_date)
            .unwrap_or_else(Timestamp::now);
        Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, IMF-fixdate).
fn http_date(text: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", text).ok()?;
    civil
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests;
