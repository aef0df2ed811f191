//! `[outbound.reply.records]`: what an answer says of each record of a request.
//!
//! Read only where the answer as a whole means `accepted`: what was not taken as a whole was not
//! taken in part. A record that the answer does not list is what `unlisted` says, `unknown` when it
//! says nothing.

use super::Rule;
use super::body::AnswerBody;
use super::safe;
use crate::model::{Answer, Outcome, Verdict};

/// The compiled `[outbound.reply.records]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordVerdicts {
    /// Where the list is.
    pub(super) at: String,
    /// In an item of it: the record's id.
    pub(super) key: String,
    pub(super) code_at: Option<String>,
    pub(super) text_at: Option<String>,
    pub(super) unlisted: Outcome,
    pub(super) rules: Vec<Rule>,
}

impl RecordVerdicts {
    /// What the answer means for each of these records.
    pub(super) fn judge(&self, answer: &Answer, body: &AnswerBody, ids: &[&str]) -> Vec<Verdict> {
        let items = body.items(&self.at);
        let one = |id: &&str| match items
            .iter()
            .find(|item| item.text(&self.key).as_deref() == Some(*id))
        {
            Some(item) => self.item(answer, item),
            None => Verdict {
                outcome: self.unlisted,
                text: "not listed in the answer".into(),
                retry_after: None,
                own: true,
            },
        };
        ids.iter().map(one).collect()
    }

    fn item(&self, answer: &Answer, item: &AnswerBody) -> Verdict {
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.matches(answer.status, item));
        let text_at = rule
            .and_then(|rule| rule.text_at.as_deref())
            .or(self.text_at.as_deref());
        let parts: Vec<String> = [self.code_at.as_deref(), text_at]
            .into_iter()
            .flatten()
            .filter_map(|at| item.text(at))
            .filter(|text| !text.is_empty())
            .collect();
        let text = safe::shown(&parts.join(" "));
        match rule {
            Some(rule) => Verdict {
                outcome: rule.outcome,
                text,
                retry_after: None,
                own: true,
            },
            None => Verdict::unknown(format!("no rule of reply.records matches: {text}"), true),
        }
    }
}
