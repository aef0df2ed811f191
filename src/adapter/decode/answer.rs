//! Records inside the answer to a request of ours, by the field table of an inbound message.
//!
//! The answer is held already and was judged; nothing of it but the records is looked at. A record
//! that is wrong is reported as such, and the next one read.

use super::DecodedLine;
use super::json;
use super::tree::{Capture, PathTree};
use crate::adapter::inbound::InboundMessage;
use crate::model::Record;

/// Hands every record at the one record path of `tree` to `each`, with what became of it; returns
/// how many there were. None where nothing or `null` stands there.
///
/// # Errors
/// The document is not JSON of that shape; the sentence says where, never what was found.
pub(in crate::adapter) fn read_answer(
    body: &[u8],
    tree: &PathTree,
    inbound: &InboundMessage,
    each: &mut dyn FnMut(&DecodedLine, &Record),
) -> Result<usize, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text =
        std::str::from_utf8(body).map_err(|_| "the answer is not text in UTF-8".to_string())?;
    let (mut cuts, mut nothing) = (Vec::new(), Capture::for_tree(tree));
    json::take(text, tree, &mut nothing, Some(&mut cuts))?;
    let rows = &inbound.rows;
    let (mut capture, mut record) = (Capture::for_tree(&rows.tree), Record::new(inbound.message));
    for (position, (_, start, end)) in (1_u64..).zip(&cuts) {
        capture.clear();
        record.clear();
        json::record(
            &text[*start as usize..*end as usize],
            &rows.tree,
            &mut capture,
        )
        .map_err(|reason| format!("record {position}: {reason}"))?;
        let line = match rows.fill(&capture, &mut record, position) {
            Ok(()) => DecodedLine::Good { index: position },
            Err(refusal) => DecodedLine::Refused(refusal),
        };
        each(&line, &record);
    }
    Ok(cuts.len())
}
