//! The bytes of an answer -> UTF-8, once, before rules, results and texts read it.
//!
//! What the head says counts, then what the document says (a byte order mark, an XML declaration);
//! where neither does, UTF-8, or GB18030 when the bytes are that and not UTF-8. Never replaces a
//! character: an answer that is not in the encoding it names stays as it came, and is broken.

use encoding_rs::{Encoding, GB18030, GBK, UTF_8};

use super::body::BodyForm;
use crate::adapter::xml;
use crate::model::Answer;

/// Labels of GBK the WHATWG list lacks; Java and Windows write them.
const GBK_TOO: &[&str] = &["cp936", "ms936", "windows-936", "936"];
/// The same answer with its body in UTF-8, and a head that says so.
pub fn decoded(form: BodyForm, answer: Answer) -> Answer {
    let Ok(text) = text(form, &answer) else {
        return answer;
    };
    let mut headers = answer.headers;
    for (name, value) in &mut headers {
        if name == "content-type" {
            let media = value.split(';').next().unwrap_or_default().trim();
            *value = format!("{media}; charset=utf-8");
        }
    }
    Answer {
        status: answer.status,
        headers,
        body: text.into_bytes(),
    }
}

/// Why the body is not text, if it is not.
pub fn undecodable(form: BodyForm, answer: &Answer) -> Option<String> {
    text(form, answer).err()
}

fn text(form: BodyForm, answer: &Answer) -> Result<String, String> {
    let body = &answer.body;
    let wrong = |who: &str, encoding: &'static Encoding| {
        format!(
            "the body of {} bytes is not the {} that {who} says",
            body.len(),
            encoding.name()
        )
    };
    if let Some((encoding, mark)) = Encoding::for_bom(body) {
        return strictly(encoding, &body[mark..])
            .ok_or_else(|| wrong("its byte order mark", encoding));
    }
    let stated = match charset_of_head(answer) {
        Some(label) => Some(("its head", label)),
        None if form == BodyForm::Xml => xml::encoding(body.trim_ascii_start())
            .map(|label| ("its declaration", label.to_owned())),
        None => None,
    };
    let Some((who, label)) = stated else {
        let guess = || strictly(UTF_8, body).or_else(|| strictly(GB18030, body));
        return guess().ok_or_else(|| {
            format!(
                "the body of {} bytes names no encoding and is neither UTF-8 nor GB18030",
                body.len()
            )
        });
    };
    let encoding = of_label(&label).ok_or_else(|| {
        format!(
            "{who} says charset `{}`, which is no known encoding",
            super::safe::shown(&label)
        )
    })?;
    // Whoever relabels answers on the way rarely rewrites them.
    if encoding != UTF_8 && is_wide_utf8(body) {
        return strictly(UTF_8, body).ok_or_else(|| wrong(who, encoding));
    }
    strictly(encoding, body).ok_or_else(|| wrong(who, encoding))
}

fn strictly(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
}

/// The `charset` of `Content-Type`.
fn charset_of_head(answer: &Answer) -> Option<String> {
    let (_, value) = answer
        .headers
        .iter()
        .find(|(name, _)| name == "content-type")?;
    let label = value.split(';').skip(1).find_map(|parameter| {
        let (name, label) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| label.trim().trim_matches(['"', '\'']))
    })?;
    (!label.is_empty()).then(|| label.to_owned())
}

fn of_label(label: &str) -> Option<&'static Encoding> {
    let lower = label.trim().to_ascii_lowercase();
    if GBK_TOO.contains(&lower.as_str()) {
        Some(GBK)
    } else {
        Encoding::for_label_no_replacement(lower.as_bytes())
    }
}

/// UTF-8 with at least one character of three bytes: what no GBK text of Chinese is by chance.
fn is_wide_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| text.chars().any(|character| character.len_utf8() >= 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(content_type: &str, body: &[u8]) -> Answer {
        let headers = if content_type.is_empty() {
            Vec::new()
        } else {
            vec![("content-type".to_owned(), content_type.to_owned())]
        };
        Answer {
            status: 200,
            headers,
            body: body.to_vec(),
        }
    }

    fn read(form: BodyForm, content_type: &str, body: &[u8]) -> String {
        let once = decoded(form, answer(content_type, body));
        assert_eq!(
            decoded(form, once.clone()),
            once,
            "decoding again changes nothing"
        );
        String::from_utf8(once.body).unwrap()
    }

    #[test]
    fn the_head_counts_then_the_document_then_what_the_bytes_are() {
        let text = "{\"err_msg\":\"单位编号不存在\"}";
        let gbk = GBK.encode(text).0;
        for label in ["GBK", "gbk", "\"GB2312\"", "gb18030", "CP936", "ms936"] {
            assert_eq!(
                read(
                    BodyForm::Json,
                    &format!("application/json;charset={label}"),
                    &gbk
                ),
                text,
                "{label}"
            );
        }
        assert_eq!(read(BodyForm::Json, "application/json", &gbk), text);
        assert_eq!(read(BodyForm::Json, "", text.as_bytes()), text);
        assert_eq!(
            read(
                BodyForm::Json,
                "application/json; charset=GBK",
                text.as_bytes()
            ),
            text,
            "relabelled on the way"
        );
        assert_eq!(
            read(
                BodyForm::Json,
                "application/json; charset=utf-8",
                format!("\u{feff}{text}").as_bytes()
            ),
            text
        );
        let utf16: Vec<u8> = format!("\u{feff}{text}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(read(BodyForm::Json, "application/json", &utf16), text);
        let xml = "<?xml version='1.0' encoding='GBK'?><R><Message>已登记</Message></R>";
        assert_eq!(
            read(BodyForm::Xml, "application/xml", &GBK.encode(xml).0),
            xml
        );
        assert_eq!(
            read(
                BodyForm::Xml,
                "application/xml; charset=utf-8",
                xml.as_bytes()
            ),
            xml
        );
    }

    #[test]
    fn what_is_not_in_the_encoding_it_names_stays_as_it_came() {
        for (content_type, body, words) in [
            (
                "application/json; charset=utf-8",
                &b"{\"a\":\"\xc4\xe3\"}"[..],
                "is not the UTF-8 that its head says",
            ),
            (
                "application/json; charset=GBK",
                b"{\"a\":\"\xff\xff\"}",
                "is not the GBK that its head says",
            ),
            (
                "application/json; charset=klingon",
                b"{}",
                "says charset `klingon`, which is no known encoding",
            ),
            ("application/json", b"\xff", "is neither UTF-8 nor GB18030"),
        ] {
            let answer = answer(content_type, body);
            assert_eq!(decoded(BodyForm::Json, answer.clone()), answer);
            let said = undecodable(BodyForm::Json, &answer).unwrap();
            assert!(said.contains(words), "{said}");
        }
    }
}
