//! A receipt as the tax bureau reads it: by its own few lines, not by the gateway's code.

use super::Lines;

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BureauReceipt {
    /// HTTP status.
    pub status: u16,
    /// RECODE_ZT: `0` taken, `1` refused whole.
    pub code: String,
    /// REMSG of the packet's record; REMSG_ZT says only 成功 or 失败.
    pub message: String,
    pub lines: Lines,
    pub refused: Vec<RefusedLine>,
}

/// An entry of the refused-records list, without the content that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// SJX.
    pub element: String,
    /// RKHJYSBYY.
    pub reason: String,
}

impl BureauReceipt {
    /// Reads an answer in the encoding its content type or XML declaration names; what is missing stays empty.
    pub fn read(status: u16, content_type: &str, body: &[u8]) -> BureauReceipt {
        let text = decode(content_type, body);
        let (head, list) = text.split_once("<JYFK101>").unwrap_or((&text, ""));
        let count = |name: &str| element(head, name).parse().unwrap_or(0);
        let lines = Lines {
            received: count("JSTS"),
            posted: count("RZTS"),
            refused: count("JJTS"),
            duplicate: count("CFTS"),
        };
        let line = |record: &str| RefusedLine {
            element: element(record, "SJX"),
            reason: element(record, "RKHJYSBYY"),
        };
        let refused = list.split("<Record ").skip(1).map(line).collect();
        BureauReceipt {
            status,
            code: element(head, "RECODE_ZT"),
            message: element(head, "REMSG"),
            lines,
            refused,
        }
    }
}

fn decode(content_type: &str, body: &[u8]) -> String {
    let beginning = String::from_utf8_lossy(&body[..body.len().min(100)]).to_lowercase();
    let gbk =
        content_type.to_lowercase().contains("charset=gb") || beginning.contains("encoding=\"gb");
    let encoding = if gbk {
        encoding_rs::GB18030
    } else {
        encoding_rs::UTF_8
    };
    encoding.decode_without_bom_handling(body).0.into_owned()
}

/// The first content of an element, unescaped.
fn element(text: &str, name: &str) -> String {
    let content = text
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once("</"))
        .map_or("", |(content, _)| content);
    content
        .trim()
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}
