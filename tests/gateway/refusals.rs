//! What bad lines get: a refusal that names record, element, content and reason; the rest is posted.

use crate::packet::{Line, Packet, counts, element};
use crate::support::Gateway;

/// Sends one bad line between two good ones and returns the refused record as the receipt shows it.
async fn refused(gateway: &Gateway, number: usize, bad: Line) -> String {
    let (before, after) = (format!("{}", number * 10), format!("{}", number * 10 + 2));
    let (status, receipt) = gateway
        .send(Packet::employers(
            &format!("P{number}"),
            [Line::employer(&before), bad, Line::employer(&after)],
        ))
        .await;
    assert_eq!(status, 200, "{receipt}");
    assert_eq!(counts(&receipt), ["3", "2", "1", "0"], "{receipt}");
    let list = &receipt[receipt.find("<JYFK101>").expect("a list of refused lines")..];
    assert_eq!(element(list, "RECORD_INDEX"), "2", "{receipt}");
    let reason = element(list, "RKHJYSBYY");
    let chinese = reason.split(" · ").next().unwrap_or_default();
    assert!(
        chinese.contains(|c| ('一'..='龥').contains(&c)) && !chinese.starts_with("内容不符合要求"),
        "each reason has its Chinese sentence: {reason}"
    );
    list.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_is_named_with_its_content_and_reason() {
    let gateway = Gateway::start().await;
    let bad = |number: usize| Line::employer(&format!("{}", number * 10 + 1));
    type Change = fn(Line) -> Line;
    let cases: [(&str, &str, &str, Change); 20] = [
        ("AAB119", "-1", "negative", |line| line.with("AAB119", "-1")),
        ("BAC121", "-0.01", "negative", |line| {
            line.with("BAC121", "-0.01")
        }),
        ("AAB084", "-5.00", "negative", |line| {
            line.with("AAB084", "-5.00")
        }),
        ("AAE080", "1e", "exponent", |line| line.with("AAE080", "1e")),
        ("AAE080", "1,000.00", "separator `,`", |line| {
            line.with("AAE080", "1,000.00")
        }),
        ("AAE080", "12.345", "two decimals", |line| {
            line.with("AAE080", "12.345")
        }),
        ("AAE080", "1000000000000000", "larger", |line| {
            line.with("AAE080", "1000000000000000")
        }),
        ("AAE080", "-8340.00", "zero or more", |line| {
            line.with("AAE080", "-8340.00")
        }),
        ("AAE140", "410", "工伤", |line| line.with("AAE140", "410")),
        ("AAE140", "999", "not a known code", |line| {
            line.with("AAE140", "999")
        }),
        ("AAA115", "77", "not a known code", |line| {
            line.with("AAA115", "77")
        }),
        ("AAA027", "990100", "not a known code", |line| {
            line.with("AAA027", "990100")
        }),
        ("AAB034", "459999", "not a known code", |line| {
            line.with("AAB034", "459999")
        }),
        ("AAE003", "202113", "month", |line| {
            line.with("AAE003", "202113")
        }),
        ("AAE003", "200912", "out of range", |line| {
            line.with("AAE003", "200912")
        }),
        ("AAE003", "209901", "out of range", |line| {
            line.with("AAE003", "209901")
        }),
        ("AAE531", "", "missing", |line| line.without("AAE531")),
        ("AAE531", "20210230", "", |line| {
            line.with("AAE531", "20210230")
        }),
        ("AAA042", "0.0730", "not in force", |line| {
            line.with("AAA042", "0.0730")
        }),
        ("AAD009", "", "missing", |line| line.with("AAD009", "")),
    ];
    for (number, (name, content, reason, change)) in (1..).zip(cases) {
        let list = refused(&gateway, number, change(bad(number))).await;
        assert!(
            element(&list, "SJX").ends_with(name),
            "{name} {content}: {list}"
        );
        assert_eq!(element(&list, "SJXNR"), content, "{name}: {list}");
        assert!(
            element(&list, "RKHJYSBYY").contains(reason),
            "{name} {content}: expected `{reason}` in {list}"
        );
    }
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        (2 * cases.len()).to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_persons_number_is_not_repeated() {
    let gateway = Gateway::start().await;
    let bad = "4501021990010112345-much-too-long-to-be-a-number-of-a-person";
    let (_, receipt) = gateway
        .send(Packet::employees(
            "E1",
            [Line::employee("1", "45010001"), Line::employee("2", bad)],
        ))
        .await;
    assert_eq!(counts(&receipt), ["2", "1", "1", "0"], "{receipt}");
    assert!(
        receipt.contains("AAC001</SJX>") && !receipt.contains("1990010112345"),
        "{receipt}"
    );
    assert!(
        !gateway
            .value("SELECT content, reason FROM line_refusal")
            .await
            .contains("1990010112345")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_earliest_and_the_latest_month_are_taken() {
    let gateway = Gateway::with(|scene| {
        scene
            .edit("# months_ahead_max = 12", "months_ahead_max = 0")
            .edit(
                "# earliest_month = \"2010-01\"",
                "earliest_month = \"2021-03\"",
            )
    })
    .await;
    let this = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)))
        .strftime("%Y%m")
        .to_string();
    let lines = [
        Line::employer("1").with("AAE003", "202103"),
        Line::employer("2").with("AAE003", &this),
        Line::employer("3").with("AAE003", "202102"),
    ];
    let (_, receipt) = gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(counts(&receipt), ["3", "2", "1", "0"], "{receipt}");
    assert!(
        receipt.contains("contribution month 2021-02 is out of range; taken are 2021-03 to"),
        "{receipt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn less_paid_than_due_is_posted_and_flagged_from_the_first_fen() {
    let gateway = Gateway::start().await;
    let lines = [
        Line::employer("1").with("AAE080", "8340.00"),
        Line::employer("2").with("AAE080", "8339.99"),
    ];
    gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(
        gateway
            .value("SELECT detail_no, underpaid FROM employer_line ORDER BY 1")
            .await,
        "1 f; 2 t"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_lists_so_many_refused_lines_and_all_are_stored() {
    let gateway = Gateway::with(|scene| {
        scene.edit("# refusals_listed_max = 10000", "refusals_listed_max = 3")
    })
    .await;
    let lines = (0..10).map(|n| Line::employer(&n.to_string()).with("AAE080", "x"));
    let (_, receipt) = gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(counts(&receipt), ["10", "0", "10", "0"], "{receipt}");
    assert_eq!(receipt.matches("<RECORD_INDEX>").count(), 3);
    assert_eq!(
        gateway.value("SELECT count(*) FROM line_refusal").await,
        "10"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_of_one_line_more_than_agreed_is_refused_whole() {
    let gateway = Gateway::with(|scene| scene.edit("# lines_max = 2000000", "lines_max = 3")).await;
    let packet = |number: &str, lines: usize| {
        Packet::employers(
            number,
            (0..lines).map(|n| Line::employer(&format!("{number}{n}"))),
        )
    };
    assert_eq!(gateway.send(packet("P3", 3)).await.0, 200);
    let (status, receipt) = gateway.send(packet("P4", 4)).await;
    assert_eq!(
        (status, element(&receipt, "RECODE_ZT")),
        (413, "1"),
        "{receipt}"
    );
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_packet_goes_through_the_disk_and_comes_out_the_same() {
    let gateway = Gateway::with(|scene| {
        scene.edit("# memory_bytes_max = 1048576", "memory_bytes_max = 1000")
    })
    .await;
    let lines: Vec<Line> = (0..3_000)
        .map(|n| {
            if n % 1000 == 7 {
                Line::employer(&format!("{n:06}")).with("AAE080", "?")
            } else {
                Line::employer(&format!("{n:06}"))
            }
        })
        .collect();
    let (status, receipt) = gateway.send(Packet::employers("P1", lines.clone())).await;
    assert_eq!(status, 200);
    assert_eq!(counts(&receipt), ["3000", "2997", "3", "0"]);
    let (_, receipt) = gateway.send(Packet::employers("P2", lines)).await;
    assert_eq!(
        counts(&receipt),
        ["3000", "0", "3", "2997"],
        "under another number all are duplicates"
    );
    assert_eq!(
        gateway
            .value("SELECT count(*), sum(lines) FROM delivery WHERE destination = 'medical-core'")
            .await,
        "6 2997"
    );
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (2_997_i64 * 1_074_000).to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_packet_on_the_disk_leaves_nothing() {
    let gateway = Gateway::with(|scene| {
        scene.edit("# memory_bytes_max = 1048576", "memory_bytes_max = 1000")
    })
    .await;
    let packet: Vec<u8> =
        Packet::employers("P1", (0..5_000).map(|n| Line::employer(&n.to_string()))).into();
    let (status, _) = gateway.send(&packet[..packet.len() - 100]).await;
    assert_eq!(status, 400);
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "0"
    );
    assert_eq!(gateway.send(packet).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_in_the_encoding_of_its_packet_and_says_so() {
    let gateway = Gateway::start().await;
    let client = gateway.stage.client("nanning-tax").expect("a client");
    let text = Packet::employers("P1", [Line::employer("1")]).text();
    let bodies = [
        ("GBK", crate::packet::gbk(&text)),
        (
            "UTF-8",
            text.replace("P1", "P2")
                .replace("GBK", "UTF-8")
                .into_bytes(),
        ),
    ];
    for (name, body) in bodies {
        let answer = client
            .post(gateway.url("/tax/v1/packets"))
            .body(body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            answer.headers()["content-type"],
            format!("application/xml; charset={name}")
        );
        let bytes = answer.bytes().await.expect("a body");
        let encoding = encoding_rs::Encoding::for_label(name.as_bytes()).expect("known");
        let text = encoding
            .decode_without_bom_handling_and_without_replacement(&bytes)
            .expect("its encoding");
        assert!(
            text.contains("国家税务总局南宁市税务局") && text.contains("<REMSG_ZT>成功</REMSG_ZT>"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_tag_does_not_bring_a_persons_number_into_the_receipt() {
    let gateway = Gateway::start().await;
    let text = Packet::employees("E1", [Line::employee("1", "450103197707071234")]).text();
    for (from, to) in [
        ("<AAC001>4501", "<AAC0014501"),
        ("<AAC001>", "<AAC001><"),
        ("1234</AAC001>", "</1234AAC001>"),
        ("<AAC001>4501", "<AAC001>&4501"),
    ] {
        let damaged = text.replace(from, to);
        assert_ne!(damaged, text, "{from}");
        let (status, receipt) = gateway.send(crate::packet::gbk(&damaged)).await;
        assert_eq!(status, 400, "{receipt}");
        assert!(!receipt.contains("0707"), "{to}: {receipt}");
    }
    assert!(
        !gateway
            .value("SELECT reason FROM packet_refusal")
            .await
            .contains("0707")
    );
}
