//! Rules of money: signs, days of the treasury, places, and every fen of a packet accounted for.

use crate::packet::{Line, Packet, counts, element};
use crate::support::{Gateway, copy_folder, project};

/// The element each refused record of a receipt is refused for, in order.
fn refused_for(receipt: &str) -> Vec<&str> {
    receipt
        .split("<SJX>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap_or_default())
        .collect()
}

fn refund(detail_no: &str) -> Line {
    Line::employer(detail_no)
        .with("AAA115", "20")
        .with("AAE080", "-100.00")
        .with("AAE082", "0.00")
}

/// A day from now in China, as the bureau writes it.
fn day(from_now: i64) -> String {
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)))
        .date();
    today
        .saturating_add(jiff::Span::new().days(from_now))
        .strftime("%Y%m%d")
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_have_no_negative_amount_and_refunds_pay_nothing_in() {
    let gateway = Gateway::start().await;
    let wrong = [
        (Line::employer("1").with("AAB121", "-1.00"), "AAB121"),
        (Line::employer("2").with("AAE056", "-1.00"), "AAE056"),
        (
            Line::employer("3")
                .with("AAA115", "31")
                .with("AAB084", "-1.00"),
            "AAB084",
        ),
        (
            Line::employer("4")
                .with("AAA115", "30")
                .with("AAE080", "-1.00"),
            "AAE080",
        ),
        (refund("5").with("AAE082", "50.00"), "AAE082"),
        (refund("6").with("AAE056", "5.00"), "AAE056"),
        (refund("7").with("AAE080", "100.00"), "AAE080"),
        (refund("8").with("BAC121", "0.01"), "BAC121"),
    ];
    let elements: Vec<&str> = wrong.iter().map(|(_, element)| *element).collect();
    let (_, receipt) = gateway
        .send(Packet::employers("P1", wrong.clone().map(|(line, _)| line)))
        .await;
    assert_eq!(
        (refused_for(&receipt), counts(&receipt)),
        (elements, ["8", "0", "8", "0"]),
        "{receipt}"
    );
    // Bases of refunds are as the bureau likes; an adjustment may go either way, and its parts both.
    let right = [
        refund("11"),
        refund("12")
            .with("AAB121", "-1438.85")
            .with("AAB084", "-1438.85"),
        Line::employer("13")
            .with("AAA115", "34")
            .with("AAE080", "-5.00")
            .with("AAE082", "5.00"),
        Line::employer("14")
            .with("AAA115", "35")
            .with("AAA042", "0.0035")
            .with("AAE080", "-35.00"),
    ];
    let (_, receipt) = gateway.send(Packet::employers("P2", right)).await;
    assert_eq!(counts(&receipt), ["4", "4", "0", "0"], "{receipt}");
    let detail = [
        Line::employee("21", "P").with("AAE020", "-1.00"),
        Line::employee("22", "P").with("AAA115", "20"),
        Line::employee("23", "P"),
    ];
    let (_, receipt) = gateway.send(Packet::employees("P3", detail)).await;
    assert_eq!(
        (refused_for(&receipt), counts(&receipt)),
        (vec!["AAE020", "AAE020"], ["3", "1", "2", "0"]),
        "{receipt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_writes_refunds_as_positive_amounts_says_so_in_its_adapter() {
    let adapters = tempfile::tempdir().expect("a folder");
    copy_adapters(adapters.path());
    let manifest = adapters.path().join("tax-bureau/adapter.toml");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    std::fs::write(
        &manifest,
        text.replace("refund_sign = \"negative\"", "refund_sign = \"positive\""),
    )
    .expect("a manifest");
    // Its own samples write refunds with a minus.
    remove_samples(
        adapters.path(),
        ["employer_collection/refund", "employee_collection/refund"],
    );
    let gateway = Gateway::with(|scene| {
        scene.edit(
            &project().join("adapters").display().to_string(),
            &adapters.path().display().to_string(),
        )
    })
    .await;
    let positive = refund("1")
        .with("AAE080", "8340.00")
        .with("AAE082", "2400.00");
    let lines = [
        Line::employer("2"),
        positive.clone(),
        refund("3"),
        positive.with("AAZ083", "1").with("AAA321", "2"),
    ];
    let (_, receipt) = gateway.send(Packet::employers("P1", lines)).await;
    // The third is paid in by this sender's lights.
    assert_eq!(refused_for(&receipt).first(), Some(&"AAE080"), "{receipt}");
    assert_eq!(
        gateway.value("SELECT detail_no, employer_paid_fen, employee_paid_fen FROM report.line WHERE NOT revokes ORDER BY 1").await,
        "1 -834000 -240000; 2 834000 240000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_treasury_day_to_come_is_refused_and_one_before_remittance_is_posted_and_flagged() {
    let gateway = Gateway::start().await;
    let lines = [
        Line::employer("1")
            .with("AAE531", &day(0))
            .with("AAE530", &day(0)),
        Line::employer("2")
            .with("AAE531", &day(1))
            .with("AAE530", &day(0)),
        Line::employer("3").with("AAE531", "20991231"),
        Line::employer("4")
            .with("AAE530", "20211201")
            .with("AAE531", "20211106"),
        Line::employer("5").without("AAE530"),
    ];
    let (_, receipt) = gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(refused_for(&receipt), ["AAE531", "AAE531"], "{receipt}");
    assert!(
        receipt.contains("the treasury has it on 2099-12-31, which has not come"),
        "{receipt}"
    );
    assert_eq!(
        gateway
            .value("SELECT detail_no, before_remittance FROM report.line ORDER BY 1")
            .await,
        "1 f; 4 t; 5 f"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_on_no_base_and_refunds_beyond_what_was_paid_are_flagged() {
    let gateway = Gateway::start().await;
    let other = |line: Line| line.with("AAB001", "E2");
    let lines = [
        Line::employer("1").with("AAB121", "0.00"),
        Line::employer("2")
            .with("AAA115", "30")
            .with("AAB121", "0.00"),
        Line::employer("3")
            .with("AAB121", "0.00")
            .with("AAE080", "0.00"),
        other(
            Line::employer("4")
                .with("AAE080", "80.00")
                .with("AAE082", "50.00"),
        ),
        other(refund("5")),
    ];
    gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(
        gateway
            .value("SELECT detail_no FROM report.line WHERE without_base ORDER BY 1")
            .await,
        "1; 2"
    );
    // 80.00 of the employer's part were paid, 100.00 refunded: beyond it, though 130.00 were paid in all.
    let beyond = "SELECT employer_no, district, contribution_month, paid_fen, refunded_fen, beyond_fen FROM report.refunded_beyond";
    assert_eq!(
        gateway.value(beyond).await,
        "E2 450103 202110 13000 -10000 2000"
    );
    // What is paid afterwards, and what is revoked, counts.
    gateway
        .send(Packet::employers(
            "P2",
            [other(
                Line::employer("6")
                    .with("AAA115", "30")
                    .with("AAE080", "20.00")
                    .with("AAE082", "0.00"),
            )],
        ))
        .await;
    assert_eq!(gateway.value(beyond).await, "");
    gateway
        .send(Packet::employers(
            "P3",
            [other(
                Line::employer("4")
                    .with("AAE080", "80.00")
                    .with("AAE082", "50.00")
                    .with("AAA321", "2"),
            )],
        ))
        .await;
    assert_eq!(
        gateway.value(beyond).await,
        "E2 450103 202110 2000 -10000 8000"
    );
}

/// The shipped adapters; the tax bureau's knows Chongqing and one of its counties as well.
fn copy_adapters(to: &std::path::Path) {
    copy_folder(&project().join("adapters"), to);
    // It lists the areas that are taken.
    remove_samples(
        to,
        [
            "employer_collection/unknown-area",
            "employer_collection/renamed-districts-and-an-agency",
        ],
    );
    for (table, row) in [
        ("pooling_area", "500100,500100,Chongqing"),
        ("district", "500230,500230,Fengdu"),
    ] {
        let path = to.join(format!("tax-bureau/codes/{table}.csv"));
        let text = std::fs::read_to_string(&path).expect("a table");
        std::fs::write(&path, format!("{text}{row}\n")).expect("a table");
    }
}

/// Takes out samples of the tax bureau that no longer hold.
fn remove_samples<'a>(adapters: &std::path::Path, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        for end in ["xml", "expected.json"] {
            std::fs::remove_file(adapters.join(format!("tax-bureau/samples/{name}.{end}")))
                .expect("a sample");
        }
    }
}

fn chongqing(detail_no: &str) -> Line {
    Line::employer(detail_no)
        .with("AAA027", "500100")
        .with("AAB034", "500230")
        .with("AAE003", "202201")
        .with("AAA042", "0.085")
}

#[tokio::test(flavor = "multi_thread")]
async fn money_of_an_area_nobody_is_told_of_is_refused_and_a_district_lies_in_its_area() {
    let adapters = tempfile::tempdir().expect("a folder");
    copy_adapters(adapters.path());
    let gateway = Gateway::with(|scene| {
        scene.edit(
            &project().join("adapters").display().to_string(),
            &adapters.path().display().to_string(),
        )
    })
    .await;
    let elsewhere = [
        chongqing("2").with("AAB034", "450103"),
        Line::employer("3").with("AAB034", "500230"),
    ];
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P1",
            [
                chongqing("1"),
                elsewhere[0].clone(),
                elsewhere[1].clone(),
                Line::employer("4"),
            ],
        ))
        .await;
    assert_eq!(
        refused_for(&receipt),
        ["AAA027", "AAB034", "AAB034"],
        "{receipt}"
    );
    assert!(
        receipt.contains("nobody is told of the medical fund of pooling area 500100"),
        "{receipt}"
    );
    assert!(
        receipt.contains("district 500230 does not lie in pooling area 450100"),
        "{receipt}"
    );
    assert_eq!(
        gateway.value("SELECT detail_no FROM report.line").await,
        "4"
    );
    let (_, receipt) = gateway
        .send(Packet::employees(
            "P2",
            [Line::employee("5", "P").with("AAB034", "500230")],
        ))
        .await;
    assert_eq!(refused_for(&receipt), ["AAB034"], "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_is_of_one_area_and_goes_only_to_who_is_told_of_it() {
    let adapters = tempfile::tempdir().expect("a folder");
    copy_adapters(adapters.path());
    let all = crate::support::Counterparts::with(|scene| {
        scene
            .edit(
                &project().join("adapters").display().to_string(),
                &adapters.path().display().to_string(),
            )
            .edit("areas = [\"450100\"]", "areas = [\"450100\", \"500100\"]")
    })
    .await;
    let lines = [
        Line::employer("1"),
        chongqing("2"),
        Line::employer("3"),
        Line::employer("4"),
    ];
    let (_, receipt) = all.gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(counts(&receipt), ["4", "4", "0", "0"], "{receipt}");
    all.settled().await;
    let told = "SELECT first_record, last_record, lines, state FROM report.delivery WHERE destination = 'ltc-system' ORDER BY 1";
    assert_eq!(
        all.gateway.value(told).await,
        "1 1 1 delivered; 2 2 1 delivered; 3 4 2 delivered"
    );
    // 0.10 of 8.50 % of 8,340.00 is 98.12.
    assert_eq!(
        all.ltc
            .totals()
            .districts
            .get("500230")
            .map(|district| district.fen.0),
        Some(9_812)
    );
    assert_eq!((all.core.tally().refused, all.ltc.tally().refused), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_accounts_for_every_fen_it_states() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    let lines = [
        Line::employer("1"),                          // a duplicate: 10,740.00
        Line::employer("3"),                          // posted
        Line::employer("2").with("AAA321", "2"),      // posted: -10,740.00
        Line::employer("4").with("AAE003", "209901"), // refused by its month: 10,740.00
        Line::employer("5").with("AAA115", "99"),     // by a code before its money is read
        Line::employer("6").with("AAE082", "1e"),     // refused, and its amount cannot be read
        Line::employer("7").without("AAE080"),        // the same
        Line::employer("9").with("AAA321", "2"),      // revokes nothing: -10,740.00
        refund("8").with("AAE082", "5.00"),           // refused: -95.00
    ];
    let (_, receipt) = gateway.send(Packet::employers("P2", lines)).await;
    assert_eq!(counts(&receipt), ["9", "2", "6", "1"], "{receipt}");
    let sums = "SELECT received_fen, posted_fen, refused_fen, duplicate_fen, lines_unread, received_fen = posted_fen + refused_fen + duplicate_fen
                FROM report.packet WHERE packet_no = 'P2'";
    let (full, refused) = (1_074_000, 1_074_000 - 9_500);
    assert_eq!(
        gateway.value(sums).await,
        format!("{} 0 {refused} {full} 2 t", full + refused)
    );
    // A revocation sent again is a duplicate that counts as it was posted.
    gateway
        .send(Packet::employers(
            "P3",
            [Line::employer("2").with("AAA321", "2")],
        ))
        .await;
    assert_eq!(
        gateway.value(&sums.replace("P2", "P3")).await,
        format!("-{full} 0 0 -{full} 0 t")
    );
    assert_eq!(element(&receipt, "RECODE_ZT"), "0");
    let metrics = reqwest::get(format!(
        "http://127.0.0.1:{}/metrics",
        gateway.running.server.operator.port()
    ))
    .await
    .expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    assert!(
        metrics.contains(&format!(
            "ltcgw_line_fen{{partner=\"nanning-tax\",outcome=\"refused\"}} {refused}"
        )),
        "{metrics}"
    );
    assert!(
        metrics.contains(
            "ltcgw_line_notes_total{partner=\"nanning-tax\",outcome=\"amount_unreadable\"} 2"
        ),
        "{metrics}"
    );
}
