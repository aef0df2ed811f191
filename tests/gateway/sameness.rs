//! What makes two packets, and two lines of a packet, the same: what they say, not how they were generated.

use ltcgw::sandbox::stage::Scene;

use crate::packet::{Line, Packet, counts, element, gbk};
use crate::support::{Gateway, copy_folder};

/// What a bureau really sends: documents/README.md.
fn document(name: &str) -> Vec<u8> {
    let path = crate::support::project()
        .join("tests/gateway/documents")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The shipped stage, but the tax bureau's lines are numbered by the ids of their records.
fn numbered_by_record(scene: Scene) -> Scene {
    let (shipped, own) = (
        crate::support::project().join("adapters"),
        scene.dir.join("adapters"),
    );
    copy_folder(&shipped, &own);
    let manifest = own.join("tax-bureau/adapter.toml");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let mapped = text.replace(
        "detail_no = { from = \"AAZ083\" }",
        "detail_no = { from = \"SBUUID\" }",
    );
    assert_ne!(mapped, text);
    std::fs::write(&manifest, mapped).expect("written");
    // Its samples have no such ids, but for one that is refused whole.
    let samples = own.join("tax-bureau/samples");
    let whole = ["not-xml.xml", "not-xml.expected.txt"].map(|name| {
        (
            name,
            std::fs::read(samples.join("employer_collection").join(name)).expect("a sample"),
        )
    });
    for message in ["employer_collection", "employee_collection"] {
        std::fs::remove_dir_all(samples.join(message)).expect("removed");
        std::fs::create_dir(samples.join(message)).expect("made");
        whole.iter().for_each(|(name, bytes)| {
            std::fs::write(samples.join(message).join(name), bytes).expect("written")
        });
    }
    scene.edit(&shipped.display().to_string(), &own.display().to_string())
}

/// What is in force, and how often anything was posted or reversed.
const BOOKS: &str = "SELECT (SELECT count(*) FROM packet), (SELECT count(*) FROM employer_line WHERE NOT superseded),
    (SELECT count(*) FROM entry), (SELECT count(*) FROM delivery), (SELECT sum(fen) FROM posting WHERE account = 'treasury')";

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_generated_anew_is_a_repeat_and_gets_the_first_receipt() {
    let gateway = Gateway::start().await;
    let first = gateway.send(document("sent-again/first.xml")).await;
    assert_eq!(
        (first.0, counts(&first.1)),
        (200, ["2", "2", "0", "0"]),
        "{}",
        first.1
    );
    let books = gateway.value(BOOKS).await;
    for again in [
        "new-time.xml",
        "new-batch-and-times.xml",
        "crlf.xml",
        "first.xml",
    ] {
        assert_eq!(
            gateway.send(document(&format!("sent-again/{again}"))).await,
            first,
            "{again}"
        );
    }
    assert_eq!(gateway.value(BOOKS).await, books);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_generated_anew_that_says_it_replaces_reverses_nothing() {
    let gateway = Gateway::start().await;
    let first = gateway.send(document("sent-again/first.xml")).await;
    let books = gateway.value(BOOKS).await;
    let text = encoding_rs::GBK
        .decode(&document("sent-again/new-batch-and-times.xml"))
        .0
        .into_owned();
    let replacing = text.replace("<SFCF>0</SFCF>", "<SFCF>1</SFCF>");
    assert_ne!(replacing, text);
    assert_eq!(gateway.send(gbk(&replacing)).await, first);
    assert_eq!(gateway.value(BOOKS).await, books);

    // With other content it replaces, and then the first content replaces that again.
    let corrected = replacing.replace("20211106", "20211105");
    let (status, receipt) = gateway.send(gbk(&corrected)).await;
    assert_eq!(
        (status, counts(&receipt)),
        (200, ["2", "2", "0", "0"]),
        "{receipt}"
    );
    assert_eq!(
        gateway
            .value("SELECT count(*) FROM packet WHERE replaced_by IS NULL")
            .await,
        "1"
    );
    let (status, back) = gateway
        .send(gbk(&replacing.replace("20211108103512", "20211110080000")))
        .await;
    assert_eq!(
        (status, counts(&back)),
        (200, ["2", "2", "0", "0"]),
        "{back}"
    );
    assert_eq!(
        gateway
            .value("SELECT DISTINCT treasury_on FROM employer_line WHERE NOT superseded")
            .await,
        "2021-11-06"
    );
    assert_eq!(gateway.value("SELECT count(*) FROM packet").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_lines_count_as_they_are_written_and_amounts_as_they_are_meant() {
    let gateway = Gateway::start().await;
    let packet = |paid: &str, bad: &str, time: &str| {
        Packet::employers(
            "P1",
            [
                Line::employer("1")
                    .with("AAE080", paid)
                    .with("AAE418", time),
                Line::employer("2").with("AAE080", bad),
            ],
        )
    };
    let first = gateway.send(packet("8340.00", "x", "20211108102959")).await;
    assert_eq!(counts(&first.1), ["2", "1", "1", "0"], "{}", first.1);
    assert_eq!(
        gateway.send(packet("8340", "x", "20211108103510")).await,
        first
    );
    for (paid, bad) in [("8340.00", "y"), ("8340.00", "8340.00"), ("8340.01", "x")] {
        assert_eq!(
            gateway.send(packet(paid, bad, "20211108102959")).await.0,
            409,
            "{paid} {bad}"
        );
    }
    let all = || (1..=2).map(|number| Line::employer(&number.to_string()));
    gateway.send(Packet::employers("P2", all())).await;
    assert_eq!(
        gateway.send(Packet::employers("P2", all().rev())).await.0,
        409,
        "another order is another packet"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_taken_before_contents_were_digested_is_known_by_its_bytes_only() {
    let gateway = Gateway::start().await;
    let first = gateway.send(document("sent-again/first.xml")).await;
    gateway
        .value("UPDATE packet SET content_digest = NULL")
        .await;
    assert_eq!(gateway.send(document("sent-again/first.xml")).await, first);
    assert_eq!(
        gateway.send(document("sent-again/new-time.xml")).await.0,
        409
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_packet_generated_anew_is_a_repeat_too() {
    let gateway = Gateway::with(|scene| {
        scene.edit("# memory_bytes_max = 1048576", "memory_bytes_max = 1000")
    })
    .await;
    let packet = |time: &str| {
        Packet::employers(
            "P1",
            (0..300).map(|number| Line::employer(&number.to_string()).with("AAE418", time)),
        )
    };
    let first = gateway.send(packet("20211108102959")).await;
    assert_eq!(counts(&first.1), ["300", "300", "0", "0"], "{}", first.1);
    let books = gateway.value(BOOKS).await;
    let again = futures_util::future::join_all(
        (0..6).map(|n| gateway.send(packet(&format!("2021110810301{n}")))),
    )
    .await;
    assert!(again.iter().all(|answer| *answer == first), "{again:?}");
    assert_eq!(gateway.value(BOOKS).await, books);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_generated_anew_that_come_at_once_are_posted_once() {
    let gateway = Gateway::start().await;
    let packet = |n: usize| {
        Packet::employers(
            "P1",
            (0..20).map(|number| {
                Line::employer(&number.to_string()).with("AAE418", &format!("202111081030{n:02}"))
            }),
        )
    };
    let answers = futures_util::future::join_all((0..12).map(|n| gateway.send(packet(n)))).await;
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "20"
    );
}

/// The refused lines of a packet, as they are stored.
const REFUSED: &str = "SELECT r.record_index, r.element, r.content, r.reason FROM line_refusal r JOIN packet p USING (packet_id) ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn two_payments_of_one_levy_notice_are_both_refused_and_the_cause_is_named() {
    let gateway = Gateway::start().await;
    let (status, receipt) = gateway.send(document("one-number/two-receipts.xml")).await;
    assert_eq!(
        (status, counts(&receipt)),
        (200, ["2", "0", "2", "0"]),
        "{receipt}"
    );
    let reason = |other| {
        format!(
            "AAZ083与第{other}条记录相同而内容不同，两条均不受理 · AAZ083 occurs twice with other content, here and in record {other}: is it the line's number? Neither is taken; `detail_no` of the gateway's adapter may be mapped to SBUUID"
        )
    };
    assert_eq!(
        gateway.value(REFUSED).await,
        format!(
            "1 AAZ083 70001234 {}; 2 AAZ083 70001234 {}",
            reason(2),
            reason(1)
        )
    );
    assert_eq!(gateway.value("SELECT count(*) FROM posting").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_records_id_as_the_lines_number_both_payments_of_a_notice_are_posted() {
    let gateway = Gateway::with(numbered_by_record).await;
    let (status, receipt) = gateway.send(document("one-number/two-receipts.xml")).await;
    assert_eq!(
        (status, counts(&receipt)),
        (200, ["2", "2", "0", "0"]),
        "{receipt}"
    );
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (2 * (417_000 + 120_000)).to_string()
    );
    let (status, receipt) = gateway.send(document("one-number/three-people.xml")).await;
    assert_eq!(
        (status, counts(&receipt)),
        (200, ["3", "3", "0", "0"]),
        "{receipt}"
    );
    // Two halves that say the same are two, and a record sent twice is one.
    let half = |id: &str| Line::employer("7").with("SBUUID", id);
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P3",
            [half("a1"), half("a2"), half("a2")],
        ))
        .await;
    assert_eq!(counts(&receipt), ["3", "2", "1", "0"], "{receipt}");
    assert!(
        receipt
            .contains("is the record of record 2 once more, with the same content; it counts once"),
        "{receipt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_line_does_not_collide_with_the_employers_line_of_that_number() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("70001234")]))
        .await;
    let (status, receipt) = gateway.send(document("one-number/three-people.xml")).await;
    assert_eq!(
        (status, counts(&receipt)),
        (200, ["3", "0", "3", "0"]),
        "{receipt}"
    );
    assert!(
        receipt.contains("AAZ083 occurs twice with other content"),
        "three people of one number: {receipt}"
    );
    let (_, receipt) = gateway
        .send(Packet::employees(
            "P2",
            [Line::employee("70001234", "45010000000000000101")],
        ))
        .await;
    assert_eq!(counts(&receipt), ["1", "1", "0", "0"], "{receipt}");
    let (_, receipt) = gateway
        .send(Packet::employees(
            "P3",
            [Line::employee("70001234", "45010000000000000101").with("AAA321", "2")],
        ))
        .await;
    assert_eq!(counts(&receipt), ["1", "1", "0", "0"], "{receipt}");
    assert_eq!(
        gateway
            .value("SELECT count(*) FROM employer_line WHERE revoked_by IS NULL")
            .await,
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_one_id_are_one_and_the_other_is_refused() {
    let gateway = Gateway::start().await;
    let line = |number: &str, id: &str| Line::employer(number).with("SBUUID", id);
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P1",
            [
                line("1", "u1"),
                line("1", "u1"),
                line("2", "u2"),
                line("3", "u2"),
                line("4", "u4"),
            ],
        ))
        .await;
    assert_eq!(counts(&receipt), ["5", "3", "2", "0"], "{receipt}");
    assert_eq!(
        gateway
            .value("SELECT detail_no FROM employer_line ORDER BY 1")
            .await,
        "1; 2; 4"
    );
    assert_eq!(
        gateway.value(REFUSED).await,
        "2 SBUUID u1 与第1条记录重复且内容相同，只计一次 · is the record of record 1 once more, with the same content; it counts once; \
         4 SBUUID u2 与第3条记录重复且内容相同，只计一次 · is the record of record 3 once more, with the same content; it counts once"
    );
    // What says other things under one id is no record twice: nobody knows which is right.
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P2",
            [
                line("5", "u5"),
                line("6", "u5").with("AAE080", "8340.01"),
                line("7", "u7"),
            ],
        ))
        .await;
    assert_eq!(counts(&receipt), ["3", "1", "2", "0"], "{receipt}");
    assert!(
        receipt.contains(
            "occurs twice with other content, here and in record 2: which of them is right?"
        ),
        "{receipt}"
    );
    // Neither of two lines of one number is the other's duplicate, whatever their ids.
    let (_, receipt) = gateway
        .send(Packet::employers("P3", [line("8", "u8"), line("8", "u9")]))
        .await;
    assert_eq!(counts(&receipt), ["2", "0", "2", "0"], "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_and_its_revocation_in_one_packet_net_to_nothing() {
    let gateway = Gateway::start().await;
    let revoke = |number: &str| Line::employer(number).with("AAA321", "2");
    let lines = [
        Line::employer("1"),
        revoke("1"),
        Line::employer("2"),
        revoke("1"),
        Line::employer("3"),
        revoke("4"),
        Line::employer("4"),
    ];
    let (_, receipt) = gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(
        counts(&receipt),
        ["7", "5", "1", "1"],
        "taken back once, and a second revocation takes nothing more: {receipt}"
    );
    assert!(
        receipt.contains("so there is nothing to revoke"),
        "{receipt}"
    );
    let in_force = "SELECT detail_no, sum(employer_paid_fen) FROM employer_line WHERE NOT superseded GROUP BY 1 ORDER BY 1";
    assert_eq!(
        gateway.value(in_force).await,
        "1 0; 2 834000; 3 834000; 4 834000"
    );
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (3 * 1_074_000).to_string()
    );
    assert_eq!(
        gateway
            .value("SELECT destination, sum(fen) FROM delivery GROUP BY 1 ORDER BY 1")
            .await,
        "ltc-system 54000; medical-core 3168000"
    );
    // The number is used up, and revoked already.
    let (_, receipt) = gateway
        .send(Packet::employers("P2", [Line::employer("1")]))
        .await;
    assert!(
        receipt.contains("posted by packet P1 and revoked since"),
        "{receipt}"
    );
    let (_, receipt) = gateway.send(Packet::employers("P3", [revoke("1")])).await;
    assert_eq!(counts(&receipt), ["1", "0", "0", "1"], "{receipt}");
    // Such a packet can be replaced: nobody else has taken anything of it back.
    let (status, receipt) = gateway
        .send(Packet::employers("P1", [Line::employer("1")]).replacing())
        .await;
    assert_eq!(
        (status, counts(&receipt)),
        (200, ["1", "1", "0", "0"]),
        "{receipt}"
    );
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        "1074000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_never_shadows_a_good_one_of_its_number() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    let revoke = |number: &str, paid: &str| {
        Line::employer(number)
            .with("AAA321", "2")
            .with("AAE080", paid)
    };
    let lines = [
        revoke("1", "8340.01"),
        revoke("1", "8340.00"),
        Line::employer("2").with("AAE080", "x"),
        Line::employer("2"),
        Line::employer("3").with("AAA042", "0.0730"),
        Line::employer("3"),
        revoke("3", "1.00"),
        revoke("3", "8340.00"),
    ];
    let (_, receipt) = gateway.send(Packet::employers("P2", lines)).await;
    assert_eq!(counts(&receipt), ["8", "4", "4", "0"], "{receipt}");
    assert_eq!(
        gateway
            .value("SELECT record_index FROM line_refusal ORDER BY 1")
            .await,
        "1; 3; 5; 7"
    );
    let in_force =
        "SELECT detail_no, sum(employer_paid_fen) FROM employer_line GROUP BY 1 ORDER BY 1";
    assert_eq!(gateway.value(in_force).await, "1 0; 2 834000; 3 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_told_in_the_elements_of_its_senders_dialect() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    let (_, receipt) = gateway
        .send(Packet::employers("P1", [Line::employer("2")]))
        .await;
    assert!(
        element(&receipt, "REMSG").ends_with("a corrected one must say that it replaces (SFCF=1)"),
        "{receipt}"
    );
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P2",
            [Line::employer("1").with("AAE080", "8340.01")],
        ))
        .await;
    assert!(
        receipt.contains("send a revocation, or replace that packet (SFCF=1)"),
        "{receipt}"
    );

    let sample = crate::support::project()
        .join("adapters/tax-bureau-pinyin/samples/employer_collection/ordinary.xml");
    let first = std::fs::read_to_string(sample).expect("the sample");
    let other = first.replace("<JFRS>20</JFRS>", "<JFRS>21</JFRS>");
    assert_eq!(
        gateway.send_as("nanning-tax-native", first.clone()).await.0,
        200
    );
    let (status, receipt) = gateway.send_as("nanning-tax-native", other.clone()).await;
    assert_eq!(status, 409);
    assert!(
        receipt.contains("a corrected one must say that it replaces (CFBZ=Y)")
            && !receipt.contains("SFCF"),
        "{receipt}"
    );
    let (_, receipt) = gateway
        .send_as(
            "nanning-tax-native",
            other.replace("BW2021110800000001", "BW2021110800000002"),
        )
        .await;
    assert!(
        receipt.contains("or replace that packet (CFBZ=Y)") && !receipt.contains("SFCF"),
        "{receipt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_packets_number_is_traced_by_index() {
    let gateway = Gateway::start().await;
    let many = "INSERT INTO packet_refusal (sender, packet_no, digest, status, reason)
        SELECT 'nanning-tax', 'P' || n, sha256(n::text::bytea), 400, 'made for a test' FROM generate_series(1, 20000) n; ANALYZE packet_refusal";
    gateway.value(many).await;
    let plan = gateway
        .value(&format!(
            "PREPARE refusals AS {}; EXPLAIN EXECUTE refusals ('P77')",
            ltcgw::store::trace::REFUSALS
        ))
        .await;
    assert!(
        plan.contains("packet_refusal_number") && !plan.contains("Seq Scan"),
        "{plan}"
    );
}
