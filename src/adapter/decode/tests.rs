//! What bad documents get, at both sides of each limit; what samples cannot show.

use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::sync::OnceLock;

use super::*;
use crate::adapter::Adapter;
use crate::model::Fen;
use crate::model::records::{employee_collection, employer_collection as employer};

mod broken;
mod json;

/// The shipped tax bureau.
pub(super) fn tax() -> &'static Endpoint {
    static TAX: OnceLock<Adapter> = OnceLock::new();
    let load = || {
        Adapter::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/tax-bureau")).unwrap()
    };
    TAX.get_or_init(load).endpoint("packets").unwrap()
}

/// A packet of the shipped tax bureau with those records, and as many announced.
pub(super) fn packet(records: &[String]) -> String {
    let head = format!(
        "<SJBBH>P1</SJBBH><SJBLX>JFXX101</SJBLX><DWMC>南宁市税务局</DWMC><JLS>{}</JLS>",
        records.len()
    );
    format!(
        "<?xml version=\"1.0\" encoding=\"GBK\"?>\n<Package><PackageHead>{head}</PackageHead><Data>{}</Data></Package>",
        records.concat()
    )
}

/// A record that is taken, with something more inside.
pub(super) fn record(number: usize, more: &str) -> String {
    format!(
        "<Record index=\"{number}\"><AAA027>450100</AAA027><AAB034>450103</AAB034><AAD009>R{number}</AAD009><AAE140>310</AAE140>\
         <AAB001>E1</AAB001><AAE003>202110</AAE003><AAA115>10</AAA115><AAB121>1000.00</AAB121><AAA042>0.0695</AAA042>\
         <AAE080>{number}69.50</AAE080><AAE531>20211106</AAE531><AAZ083>D{number}</AAZ083>{more}</Record>"
    )
}

pub(super) fn gbk(text: &str) -> Vec<u8> {
    encoding_rs::GBK.encode(text).0.into_owned()
}

/// Everything a packet's lines came to: the employer's payment, or the refusal.
type Lines = Vec<Result<Fen, RecordRefusal>>;

fn lines(
    endpoint: &Endpoint,
    body: impl Read + Send,
    chunk: usize,
    lines_max: u64,
) -> Result<Lines, PacketRefusal> {
    let mut reader = endpoint.open(Box::new(BufReader::with_capacity(chunk, body)), lines_max)?;
    let mut record = reader.new_record();
    let mut lines = Vec::new();
    while let Some(line) = reader.next(&mut record)? {
        lines.push(match line {
            DecodedLine::Good { .. } => Ok(record.money(employer::EMPLOYER_PAID).unwrap()),
            DecodedLine::Refused(refusal) => Err(refusal),
        });
    }
    Ok(lines)
}

fn decode(text: &str) -> Result<Lines, PacketRefusal> {
    lines(tax(), Cursor::new(gbk(text)), 8192, 1000)
}

/// Asserts that a text is taken and that with one thing more it is refused whole, for that reason.
fn limit(within: &str, beyond: &str, reason: &str) {
    if let Err(refusal) = decode(within) {
        panic!("within the limit, but refused: {}", refusal.reason);
    }
    let refusal = decode(beyond).expect_err("beyond the limit, but taken");
    assert_eq!(refusal.kind, DecodeErrorKind::Malformed);
    assert!(refusal.reason.contains(reason), "{}", refusal.reason);
    assert_eq!(refusal.head.encoding, encoding_rs::GBK);
}

fn one(more: &str) -> String {
    packet(&[record(1, more)])
}

#[test]
fn elements_nest_at_most_sixteen_deep() {
    let nested = |depth: usize| {
        one(&format!(
            "{}{}",
            "<a>".repeat(depth - 3),
            "</a>".repeat(depth - 3)
        ))
    };
    limit(
        &nested(DEPTH_MAX),
        &nested(DEPTH_MAX + 1),
        "nested deeper than 16",
    );
}

#[test]
fn a_tag_has_at_most_four_kibibytes() {
    let tag = |bytes: usize| {
        one(&format!(
            "<a b=\"{}\"/>",
            "x".repeat(bytes - "a b=\"\"".len())
        ))
    };
    limit(
        &tag(TAG_BYTES_MAX),
        &tag(TAG_BYTES_MAX + 1),
        "a tag is longer than 4096 bytes",
    );
}

#[test]
fn a_name_has_at_most_128_bytes() {
    let named = |bytes: usize| one(&format!("<{}/>", "x".repeat(bytes)));
    limit(
        &named(NAME_BYTES_MAX),
        &named(NAME_BYTES_MAX + 1),
        "name is longer than 128 bytes",
    );
}

#[test]
fn a_text_has_at_most_64_kibibytes_whether_anybody_asked_for_it_or_not() {
    for element in ["a", "AAZ288"] {
        let text = |bytes: usize| one(&format!("<{element}>{}</{element}>", "x".repeat(bytes)));
        limit(
            &text(TEXT_BYTES_MAX),
            &text(TEXT_BYTES_MAX + 1),
            "a text is longer than 65536 bytes",
        );
        let pieces = |bytes: usize| {
            one(&format!(
                "<AAZ288>{}<![CDATA[{}]]></AAZ288>",
                "x".repeat(1000),
                "x".repeat(bytes - 1000)
            ))
        };
        limit(
            &pieces(TEXT_BYTES_MAX),
            &pieces(TEXT_BYTES_MAX + 1),
            "a text is longer than 65536 bytes",
        );
    }
}

#[test]
fn endless_markup_is_cut_off_before_it_fills_the_memory() {
    for endless in [
        one(&format!("<!--{}-->", "x".repeat(400_000))),
        one(&format!("<a b='{}'/>", "x".repeat(400_000))),
        one(&"x".repeat(400_000)),
    ] {
        let refusal = decode(&endless).unwrap_err();
        assert!(
            refusal
                .reason
                .contains("a single text, tag or line is longer than 69632 bytes"),
            "{}",
            refusal.reason
        );
    }
}

#[test]
fn a_record_has_at_most_256_kibibytes() {
    let begin = "<Record index=\"1\">".len();
    let end = "</Record>".len();
    let sized = |bytes: usize| {
        let rest = bytes - (record(1, "").len() - begin);
        let (whole, more) = (rest / 1000, rest % 1000);
        one(&format!(
            "{}<b>{}</b>",
            format!("<a>{}</a>", "x".repeat(993)).repeat(whole - 1),
            "x".repeat(1000 + more - 7)
        ))
    };
    let max = RECORD_BYTES_MAX as usize;
    assert!(sized(max).len() > max + end);
    limit(
        &sized(max),
        &sized(max + 1),
        "a record is longer than 262144 bytes",
    );
}

#[test]
fn a_head_has_at_most_256_kibibytes() {
    let sized = |bytes: usize| {
        let text = one("");
        // The GBK document is counted as UTF-8 text, up to the end of the first record's start tag.
        let start = text.find("<Record index=\"1\">").unwrap() + "<Record index=\"1\">".len();
        let rest = bytes - start;
        let filler =
            "<!---->".repeat(rest / 7 - 1) + &format!("<!--{}-->", "x".repeat(rest % 7 + 7 - 7));
        text.replacen("<PackageHead>", &format!("{filler}<PackageHead>"), 1)
    };
    let max = HEAD_BYTES_MAX as usize;
    limit(
        &sized(max),
        &sized(max + 1),
        "no record within the first 262144 bytes",
    );
}

#[test]
fn a_packet_has_at_most_as_many_records_as_the_gateway_takes() {
    let three = packet(&[record(1, ""), record(2, ""), record(3, "")]);
    assert_eq!(
        lines(tax(), Cursor::new(gbk(&three)), 8192, 3)
            .unwrap()
            .len(),
        3
    );
    let announced = lines(tax(), Cursor::new(gbk(&three)), 8192, 2).unwrap_err();
    assert_eq!(
        (announced.kind, announced.element.as_deref()),
        (
            DecodeErrorKind::TooManyLines,
            Some("Package/PackageHead/JLS")
        )
    );
    let hidden = three.replace("<JLS>3</JLS>", "<JLS>2</JLS>");
    let hidden = lines(tax(), Cursor::new(gbk(&hidden)), 8192, 2).unwrap_err();
    assert_eq!(
        (hidden.kind, hidden.element.as_deref()),
        (DecodeErrorKind::TooManyLines, Some("Package/Data/Record"))
    );
}

#[test]
fn fields_are_as_long_as_the_record_holds_and_not_longer() {
    let long = |chars: usize| one(&format!("<AAZ288>{}</AAZ288>", "税".repeat(chars)));
    assert!(decode(&long(40)).unwrap()[0].is_ok());
    let refusal = decode(&long(41)).unwrap()[0].clone().unwrap_err();
    assert_eq!(
        (refusal.element.as_str(), refusal.reason.as_str()),
        ("AAZ288", "has 41 characters; at most 40 are taken")
    );
    let refusal = decode(&long(101)).unwrap()[0].clone().unwrap_err();
    assert_eq!(refusal.content, Some("税".repeat(100) + "…"));
}

#[test]
fn a_packet_number_has_at_most_64_characters() {
    let number = |chars: usize| one("").replace(">P1<", &format!(">{}<", "9".repeat(chars)));
    limit(
        &number(PACKET_NO_CHARS_MAX),
        &number(PACKET_NO_CHARS_MAX + 1),
        "has 65 characters; at most 64",
    );
}

#[test]
fn a_document_is_read_the_same_in_pieces_of_any_size() {
    let body = gbk(&packet(&[
        record(1, "<AAZ288>南宁&amp;邕宁</AAZ288>"),
        record(2, "<AAZ288>\u{3000}税务\u{3000}</AAZ288>"),
    ]));
    for chunk in [1, 2, 3, 5, 7, 64, 4095, 4096, 4097] {
        let lines = lines(tax(), Cursor::new(&body), chunk, 1000).unwrap();
        assert_eq!(lines, [Ok(Fen(16_950)), Ok(Fen(26_950))], "{chunk}");
    }
}

#[test]
fn a_packet_longer_than_the_readers_buffers_is_read_record_by_record() {
    let records: Vec<String> = (1..=900)
        .map(|number| {
            record(
                number,
                if number % 7 == 0 {
                    "<n a='1'/><m>x<k/>y</m>"
                } else {
                    ""
                },
            )
        })
        .collect();
    let lines = lines(tax(), Cursor::new(gbk(&packet(&records))), 1000, 1000).unwrap();
    let expected: Vec<Result<Fen, RecordRefusal>> = (1..=900)
        .map(|number| Ok(Fen(number * 10_000 + 6_950)))
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_record_without_content_is_refused_and_the_next_one_read() {
    let lines = decode(&packet(&[
        "<Record index=\"7\"/>".into(),
        "<Record/>".into(),
        record(3, ""),
    ]))
    .unwrap();
    assert_eq!(lines[0].clone().unwrap_err().index, 7);
    assert_eq!(lines[1].clone().unwrap_err().index, 2);
    assert_eq!(lines[2], Ok(Fen(36_950)));
}

#[test]
fn private_content_is_in_no_refusal() {
    let secret = "450103199001011234".repeat(3);
    let text = one(&format!(
        "<AAC001>{secret}</AAC001><EAE180>1</EAE180><AAE020>1</AAE020>"
    ))
    .replace("JFXX101", "JFXX102");
    let mut reader = tax().open(Box::new(Cursor::new(gbk(&text))), 1000).unwrap();
    let mut record = reader.new_record();
    let Some(DecodedLine::Refused(refusal)) = reader.next(&mut record).unwrap() else {
        panic!("taken")
    };
    assert_eq!(
        (refusal.element.as_str(), refusal.content.as_deref()),
        ("AAC001", None)
    );
    assert!(!refusal.reason.contains("4501"), "{}", refusal.reason);
    assert_eq!(reader.element_of(employee_collection::PERSON_NO), "AAC001");
    assert_eq!(
        reader.element_of(employee_collection::EMPLOYER_PAID),
        "AAE020"
    );
}

#[test]
fn after_the_end_and_after_a_refusal_nothing_more_comes() {
    for body in [one(""), one("") + "more"] {
        let mut reader = tax().open(Box::new(Cursor::new(gbk(&body))), 1000).unwrap();
        let mut record = reader.new_record();
        assert!(matches!(
            reader.next(&mut record),
            Ok(Some(DecodedLine::Good { index: 1 }))
        ));
        assert_eq!(reader.next(&mut record).is_err(), body.ends_with("more"));
        assert!(matches!(reader.next(&mut record), Ok(None)));
    }
}

#[test]
fn the_head_is_known_before_the_first_record_is_read() {
    let text = one("").replace("<JLS>", "<SFCF>1</SFCF><JLS>");
    let reader = tax().open(Box::new(Cursor::new(gbk(&text))), 1000).unwrap();
    let head = reader.head();
    assert_eq!(
        (
            head.message.name,
            head.packet_no.as_str(),
            head.packet_type.as_str()
        ),
        ("employer_collection", "P1", "JFXX101")
    );
    assert_eq!(
        (head.replaces, head.declared_lines, head.encoding.name()),
        (true, Some(1), "GBK")
    );
    assert_eq!(
        head.values.get("DWMC").map(String::as_str),
        Some("南宁市税务局")
    );
    assert_eq!(reader.position(), 0);
}

#[test]
fn a_refusal_keeps_what_was_read_of_the_head_for_the_receipt() {
    let refusal = decode(&one("").replace("JFXX101", "XX")).unwrap_err();
    assert_eq!(refusal.kind, DecodeErrorKind::UnknownType);
    assert_eq!(
        (
            refusal.head.packet_no.as_deref(),
            refusal.head.packet_type.as_deref()
        ),
        (Some("P1"), Some("XX"))
    );
    assert_eq!(
        refusal.head.values.get("DWMC").map(String::as_str),
        Some("南宁市税务局")
    );
}

/// Fails after so many bytes, as a broken connection or a corrupt gzip stream does.
struct Breaks(Cursor<Vec<u8>>, usize);

impl Read for Breaks {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = buf.len().min(self.1);
        if count == 0 {
            return Err(std::io::Error::other("corrupt deflate stream"));
        }
        let read = self.0.read(&mut buf[..count])?;
        self.1 -= read;
        Ok(read)
    }
}

#[test]
fn a_body_that_cannot_be_read_to_its_end_is_unreadable_not_malformed() {
    let body = gbk(&packet(
        &(1..100)
            .map(|number| record(number, ""))
            .collect::<Vec<_>>(),
    ));
    for readable in [1, 100, 4096, 5000, body.len() - 1] {
        let refusal = lines(
            tax(),
            Breaks(Cursor::new(body.clone()), readable),
            512,
            1000,
        )
        .unwrap_err();
        assert_eq!(refusal.kind, DecodeErrorKind::Unreadable, "{readable}");
        assert!(
            refusal.reason.contains("corrupt deflate stream"),
            "{}",
            refusal.reason
        );
    }
}
