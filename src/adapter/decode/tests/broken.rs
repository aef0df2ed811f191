//! Documents that are cut, altered or nothing but noise: never a panic, never other money.

use proptest::prelude::*;

use super::*;

fn two() -> String {
    packet(&[
        record(1, "<AAE082>77.00</AAE082>"),
        record(2, "<AAE082>88.00</AAE082>"),
    ])
}

#[test]
fn a_packet_cut_anywhere_is_refused_whole() {
    let body = gbk(&two());
    assert!(lines(tax(), Cursor::new(&body), 8192, 10).is_ok());
    for end in 0..body.len() {
        assert!(
            lines(tax(), Cursor::new(&body[..end]), 8192, 10).is_err(),
            "cut after {end} bytes"
        );
    }
}

#[test]
fn the_offset_of_a_byte_of_another_encoding_is_exact() {
    let body = gbk(&two());
    let at = body.len() - 100;
    for (bytes, chunk) in [
        (vec![0xFF], 8192),
        (vec![0x81, b'<'], 64),
        (vec![0xFF, 0xFF], 1),
    ] {
        let mut body = body.clone();
        body.splice(at..at, bytes);
        let refusal = lines(tax(), Cursor::new(body), chunk, 10).unwrap_err();
        assert_eq!(
            refusal.kind,
            DecodeErrorKind::Encoding,
            "{}",
            refusal.reason
        );
        assert!(
            refusal
                .reason
                .starts_with(&format!("byte {at} is not valid GBK")),
            "{} {at}",
            refusal.reason
        );
    }
}

#[test]
fn chinese_that_happens_to_be_valid_in_both_encodings_is_taken_as_declared() {
    // The GBK bytes of 联通 are valid UTF-8 too.
    let text = one("<AAZ288>联通</AAZ288>").replace("南宁市税务局", "联通");
    let reader = tax().open(Box::new(Cursor::new(gbk(&text))), 10).unwrap();
    assert_eq!(
        reader.head().values.get("DWMC").map(String::as_str),
        Some("联通")
    );
}

#[test]
fn only_the_predefined_entities_and_allowed_characters_are_taken() {
    let with = |text: &str| decode(&one(&format!("<AAZ288>{text}</AAZ288>")));
    for taken in [
        "&lt;&gt;&amp;&quot;&apos;",
        "&#65;&#x4E2D;",
        "&#00000000065;",
    ] {
        assert!(with(taken).unwrap()[0].is_ok(), "{taken}");
    }
    for refused in [
        "&nbsp;",
        "&a;",
        "&#0;",
        "&#x1F;",
        "&#xD800;",
        "&#xFFFE;",
        "&#x110000;",
        "&#;",
        "&#x;",
        "&;",
        "&",
        "& ",
        "&#-1;",
        "&#+65;",
        "&#000000000065;",
    ] {
        let refusal = with(refused).expect_err(refused);
        assert_eq!(refusal.kind, DecodeErrorKind::Malformed, "{refused}");
    }
    for refused in [
        "<a b='&x;'/>",
        "<a b='<'/>",
        "<a b='1' b='2'/>",
        "<a b=1/>",
        "<a b/>",
        "<1/>",
        "<a$/>",
        "</a>",
        "<![CDATA[x",
        "<!x>",
        "<?x?>",
    ] {
        assert!(decode(&one(refused)).is_err(), "{refused}");
    }
}

/// Where the employer's amounts stand, so that changes can leave them alone.
fn amounts(body: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_amount = |window: &[u8]| window == b"169.50" || window == b"269.50";
    body.windows(6)
        .enumerate()
        .filter(|(_, window)| is_amount(window))
        .map(|(at, _)| at..at + 6)
        .collect()
}

#[derive(Debug, Clone)]
enum Change {
    Replace(u8),
    Insert(Vec<u8>),
    Delete(usize),
    Copy(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let markup = prop::sample::select(vec![
        "<",
        ">",
        "&",
        "\"",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<AAE080>",
        "</AAE080>",
        "<Record>",
        "</Record>",
        "<?",
        "&#48;",
        "\0",
    ]);
    prop_oneof![
        any::<u8>().prop_map(Change::Replace),
        markup.prop_map(|text| Change::Insert(text.as_bytes().to_vec())),
        prop::collection::vec(any::<u8>(), 1..4).prop_map(Change::Insert),
        (1_usize..200).prop_map(Change::Delete),
        (0_usize..1000, 1_usize..700).prop_map(|(from, length)| Change::Copy(from, length)),
    ]
}

/// Applies a change that touches no digit of an amount.
fn apply(body: &mut Vec<u8>, at: usize, change: &Change) {
    let at = at % body.len();
    let free = |range: std::ops::Range<usize>| {
        !amounts(body)
            .iter()
            .any(|amount| range.start < amount.end && amount.start < range.end)
    };
    match change {
        Change::Replace(byte) if free(at..at + 1) => body[at] = *byte,
        Change::Insert(bytes) if free(at.saturating_sub(1)..at + 1) => {
            body.splice(at..at, bytes.iter().copied());
        }
        Change::Delete(length) if free(at.saturating_sub(1)..(at + length + 1)) => {
            body.drain(at..(at + length).min(body.len()));
        }
        Change::Copy(from, length) if free(at.saturating_sub(1)..at + 1) => {
            let from = from % body.len();
            let copy = body[from..(from + length).min(body.len())].to_vec();
            body.splice(at..at, copy);
        }
        _ => {}
    }
}

/// `<name>` -> `<name >`, after the declaration's line.
fn blank_in_tags(body: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(body.len() * 2);
    let mut name = false;
    for byte in body {
        match byte {
            b'<' => name = true,
            b'>' if name && copy.last() != Some(&b'<') => copy.push(b' '),
            byte if !byte.is_ascii_alphanumeric() => name = false,
            _ => {}
        }
        copy.push(*byte);
    }
    copy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn noise_is_refused_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..2000), chunk in 1_usize..100) {
        prop_assert!(lines(tax(), Cursor::new(noise), chunk, 10).is_err());
    }

    #[test]
    fn an_altered_packet_never_yields_other_money(changes in prop::collection::vec((any::<usize>(), change()), 1..4)) {
        let mut body = gbk(&two());
        for (at, change) in &changes {
            apply(&mut body, *at, change);
        }
        // Twice the same amount element is refused, so what is taken is one of the two amounts as sent.
        for line in lines(tax(), Cursor::new(&body), 4096, 10).unwrap_or_default().into_iter().flatten() {
            prop_assert!([Fen(16_950), Fen(26_950)].contains(&line), "{} in {}", line, String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn plain_elements_come_to_the_same_by_the_short_way_and_by_events(changes in prop::collection::vec((any::<usize>(), change()), 0..3)) {
        let mut body = gbk(&two());
        for (at, change) in &changes {
            apply(&mut body, *at, change);
        }
        // A blank in a start tag is not plain, and means the same.
        let by_events = blank_in_tags(&body);
        let money = |body: &[u8]| lines(tax(), Cursor::new(body.to_vec()), 4096, 10).map(|lines| lines.into_iter().map(Result::ok).collect::<Vec<_>>());
        match (money(&body), money(&by_events)) {
            (Ok(short), Ok(long)) => prop_assert_eq!(short, long),
            (Err(short), Err(long)) => prop_assert_eq!(short.kind, long.kind),
            (short, long) => prop_assert!(false, "{:?} or {:?}", short, long),
        }
    }

    #[test]
    fn an_amount_is_taken_exactly_or_not_at_all(amount in "[-+]?[0-9]{0,3}[.,]?[0-9]{0,3}[e ]?[0-9]?") {
        let text = one("").replace(">169.50<", &format!(">{amount}<"));
        let line = decode(&text).unwrap().remove(0);
        prop_assert_eq!(line.ok(), Fen::parse_yuan(amount.trim()).ok(), "{}", amount);
    }
}
