//! A packet of the tax bureau becomes posted money, exactly once.

use crate::packet::{Line, Packet, counts, element, gbk};
use crate::support::Gateway;

const POSTINGS: &str = "SELECT account, district, fund, sum(fen) FROM posting GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3 DESC";

/// Whether anybody waits for somebody else's transaction.
const WAITING: &str = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_packet_is_apportioned_posted_and_queued() {
    let gateway = Gateway::start().await;
    let (status, receipt) = gateway
        .send(Packet::employers("P1", [Line::employer("1001")]))
        .await;
    assert_eq!(
        (status, element(&receipt, "RECODE_ZT")),
        (200, "0"),
        "{receipt}"
    );
    assert!(
        receipt.starts_with("<?xml version=\"1.0\" encoding=\"GBK\"?>"),
        "{receipt}"
    );
    assert_eq!(counts(&receipt), ["1", "1", "0", "0"]);
    // 8,340.00 at 0.15 of 6.95 is exactly 180.00; the rest and the employees' 2,400.00 are medical.
    assert_eq!(
        gateway.value(POSTINGS).await,
        "treasury 450103 medical 1056000; treasury 450103 long_term_care 18000; fund 450103 medical -1056000; fund 450103 long_term_care -18000"
    );
    assert_eq!(
        gateway
            .value("SELECT destination, lines, fen FROM delivery ORDER BY 1")
            .await,
        "ltc-system 1 18000; medical-core 1 1056000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_sent_twice_is_posted_once_and_answered_with_the_same_bytes() {
    let gateway = Gateway::start().await;
    let packet = Packet::employers("P1", [Line::employer("1001")]);
    let first = gateway.send(&packet).await;
    let second = gateway.send(&packet).await;
    assert_eq!(first, second);
    assert_eq!(gateway.value("SELECT count(*) FROM packet").await, "1");
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_sent_sixteen_times_at_once_is_posted_once() {
    let gateway = Gateway::start().await;
    let packet: Vec<u8> =
        Packet::employers("P1", (0..20).map(|n| Line::employer(&format!("{n}")))).into();
    let answers =
        futures_util::future::join_all((0..16).map(|_| gateway.send(packet.clone()))).await;
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(answers[0].0, 200);
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "20"
    );
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (20 * 1_074_000).to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_number_with_other_content_is_a_conflict_and_changes_nothing() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1001")]))
        .await;
    let (status, receipt) = gateway
        .send(Packet::employers("P1", [Line::employer("1002")]))
        .await;
    assert_eq!((status, element(&receipt, "RECODE_ZT")), (409, "1"));
    assert!(
        element(&receipt, "REMSG").contains("packet number P1 was used for other content"),
        "{receipt}"
    );
    assert_eq!(
        gateway.value("SELECT detail_no FROM employer_line").await,
        "1001"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_refused_with_its_reason_and_the_others_are_posted() {
    let gateway = Gateway::start().await;
    let lines = [
        Line::employer("1"),
        Line::employer("2").with("AAE080", "1,000.00"),
        Line::employer("3").with("AAA042", "0.0730"),
        Line::employer("4"),
    ];
    let (status, receipt) = gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(status, 200);
    assert_eq!(counts(&receipt), ["4", "2", "2", "0"]);
    assert!(
        receipt.contains("<RECORD_INDEX>2</RECORD_INDEX>")
            && receipt.contains("<SJXNR>1,000.00</SJXNR>"),
        "{receipt}"
    );
    assert!(receipt.contains("stated rate 7.30 % is not in force in 2021-10; in force is 6.95 % (450100/employer/2021-03)"), "{receipt}");
    assert!(
        receipt.contains("<SJX>AAA042</SJX>") || receipt.contains("AAA042</SJX>"),
        "{receipt}"
    );
    assert_eq!(
        gateway
            .value("SELECT record_index, content FROM line_refusal ORDER BY 1")
            .await,
        "2 1,000.00; 3 0.0730"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detail_number_is_posted_once_across_packets() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    let lines = [
        Line::employer("1"),
        Line::employer("2").with("AAE080", "8340.01"),
        Line::employer("3"),
    ];
    let (status, receipt) = gateway.send(Packet::employers("P2", lines)).await;
    assert_eq!(status, 200);
    assert_eq!(counts(&receipt), ["3", "1", "1", "1"], "{receipt}");
    assert!(
        receipt.contains("this detail number was posted by packet P1 with other content"),
        "{receipt}"
    );
    assert_eq!(
        gateway
            .value("SELECT packet_no, posted_fen FROM packet ORDER BY 1")
            .await,
        "P1 2148000; P2 1074000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_one_number_in_a_packet_are_all_refused_with_the_cause() {
    let gateway = Gateway::start().await;
    let lines = [
        Line::employer("1"),
        Line::employer("1"),
        Line::employer("1").with("AAB119", "21"),
        Line::employer("2"),
    ];
    let (_, receipt) = gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(counts(&receipt), ["4", "1", "3", "0"], "{receipt}");
    assert!(
        receipt.contains(
            "AAZ083 occurs twice with other content, here and in record 3: is it the line"
        ),
        "{receipt}"
    );
    assert!(
        receipt.contains(
            "AAZ083 occurs twice with the same content, here and in record 1: is it the line"
        ),
        "{receipt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_sent_again_with_another_transfer_time_is_the_same_line() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    let again = Line::employer("1")
        .with("AAE418", "20211109080000")
        .with("AAA322", "20211109001");
    let (_, receipt) = gateway.send(Packet::employers("P2", [again])).await;
    assert_eq!(counts(&receipt), ["1", "0", "0", "1"], "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_takes_back_exactly_what_its_line_posted() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P2",
            [Line::employer("1").with("AAA321", "2")],
        ))
        .await;
    assert_eq!(counts(&receipt), ["1", "1", "0", "0"], "{receipt}");
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        "1074000"
    );
    assert_eq!(
        gateway
            .value("SELECT detail_no FROM employer_line WHERE revoked_by IS NOT NULL")
            .await,
        "1"
    );
    assert_eq!(
        gateway
            .value("SELECT destination, fen FROM delivery WHERE fen < 0 ORDER BY 1")
            .await,
        "ltc-system -18000; medical-core -1056000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_nothing_or_of_other_amounts_is_refused_and_a_second_one_is_a_duplicate() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    let revoke = |number: &str| Line::employer(number).with("AAA321", "2");
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P2",
            [
                revoke("1"),
                revoke("2").with("AAE080", "8340.01"),
                revoke("9"),
            ],
        ))
        .await;
    assert_eq!(counts(&receipt), ["3", "1", "2", "0"], "{receipt}");
    assert!(
        receipt.contains("states other amounts than the line it revokes")
            && receipt.contains("there is nothing to revoke"),
        "{receipt}"
    );
    let (_, receipt) = gateway.send(Packet::employers("P3", [revoke("1")])).await;
    assert_eq!(counts(&receipt), ["1", "0", "0", "1"], "{receipt}");
    let (_, receipt) = gateway
        .send(Packet::employers("P4", [Line::employer("1")]))
        .await;
    assert!(
        receipt.contains("posted by packet P1 and revoked since"),
        "{receipt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_packet_reverses_the_old_one_and_posts_the_new() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    let replacement = Packet::employers(
        "P1",
        [
            Line::employer("1").with("AAE080", "8000.00"),
            Line::employer("3"),
        ],
    )
    .replacing();
    let (status, receipt) = gateway.send(&replacement).await;
    assert_eq!(status, 200, "{receipt}");
    assert_eq!(counts(&receipt), ["2", "2", "0", "0"], "{receipt}");
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (1_040_000 + 1_074_000).to_string()
    );
    assert_eq!(
        gateway
            .value("SELECT detail_no FROM employer_line WHERE NOT superseded ORDER BY 1")
            .await,
        "1; 3"
    );
    assert_eq!(
        gateway
            .value("SELECT underpaid FROM employer_line WHERE NOT superseded AND detail_no = '1'")
            .await,
        "t"
    );
    let again = gateway.send(&replacement).await;
    assert_eq!(again.1, receipt, "the replacement sent again is a repeat");
    assert_eq!(gateway.value("SELECT count(*) FROM entry").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_whose_lines_were_revoked_cannot_be_replaced() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    gateway
        .send(Packet::employers(
            "P2",
            [Line::employer("1").with("AAA321", "2")],
        ))
        .await;
    let (status, receipt) = gateway
        .send(Packet::employers("P1", [Line::employer("5")]).replacing())
        .await;
    assert_eq!(status, 409);
    assert!(
        receipt.contains("packet P2 has revoked lines of it"),
        "{receipt}"
    );
    assert_eq!(
        gateway
            .value("SELECT count(*) FROM packet WHERE replaced_by IS NOT NULL")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_posted_with_its_sign_and_apportioned_like_a_payment() {
    let gateway = Gateway::start().await;
    let refund = Line::employer("1")
        .with("AAA115", "20")
        .with("AAE080", "-1000.00")
        .with("AAE082", "0.00");
    let (_, receipt) = gateway.send(Packet::employers("P1", [refund])).await;
    assert_eq!(counts(&receipt), ["1", "1", "0", "0"], "{receipt}");
    // 1,000.00 x 0.15 / 6.95 = 21.58 (half away from zero); the medical fund takes the rest.
    assert_eq!(
        gateway
            .value("SELECT medical_fen, long_term_care_fen FROM employer_line")
            .await,
        "-97842 -2158"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn months_before_long_term_care_insurance_bring_it_nothing() {
    let gateway = Gateway::start().await;
    let line = Line::employer("1")
        .with("AAE003", "202102")
        .with("AAA042", "0.0730")
        .with("AAE080", "8760.00");
    let (_, receipt) = gateway.send(Packet::employers("P1", [line])).await;
    assert_eq!(counts(&receipt), ["1", "1", "0", "0"], "{receipt}");
    assert_eq!(
        gateway.value("SELECT destination FROM delivery").await,
        "medical-core"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn employee_detail_is_stored_with_its_employers_receipt_and_not_posted() {
    let gateway = Gateway::start().await;
    let lines = (0..3).map(|n| Line::employee(&format!("90{n}"), &format!("4501{n:06}")));
    let (status, receipt) = gateway.send(Packet::employees("E1", lines)).await;
    assert_eq!(status, 200, "{receipt}");
    assert_eq!(counts(&receipt), ["3", "3", "0", "0"]);
    assert_eq!(gateway.value("SELECT count(*) FROM posting").await, "0");
    assert_eq!(
        gateway
            .value(
                "SELECT receipt_no, lines, employer_paid_fen, employee_paid_fen FROM employee_run"
            )
            .await,
        "445016211000004711 3 125100 36000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_refused_whole_leaves_nothing_but_a_note_and_its_number_stays_free() {
    let gateway = Gateway::start().await;
    let good = Packet::employers("P1", [Line::employer("1"), Line::employer("2")]);
    let whole = gbk(&good.text());
    let truncated = whole[..whole.len() - 60].to_vec();
    let doctype = gbk(&good
        .text()
        .replace("<Package>", "<!DOCTYPE x [<!ENTITY a \"b\">]><Package>"));
    let cases: [(Vec<u8>, &str); 6] = [
        (truncated, ""),
        (doctype, ""),
        (
            good.clone().declaring(3).into(),
            "says 3 records; the packet has 2",
        ),
        (good.clone().of_type("JFXX999").into(), "JFXX101"),
        (Packet::employers("P1", []).into(), "at least one"),
        (b"hello".to_vec(), ""),
    ];
    for (bytes, reason) in cases {
        let (status, receipt) = gateway.send(bytes).await;
        assert_eq!(
            (status, element(&receipt, "RECODE_ZT")),
            (400, "1"),
            "{receipt}"
        );
        assert!(element(&receipt, "REMSG").contains(reason), "{receipt}");
    }
    assert_eq!(
        gateway.value("SELECT count(*) FROM packet_refusal").await,
        "6"
    );
    assert_eq!(gateway.value("SELECT (SELECT count(*) FROM employer_line) + (SELECT count(*) FROM packet) + (SELECT count(*) FROM posting)").await, "0");
    assert_eq!(gateway.send(good).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_and_a_revocation_at_once_never_take_the_same_line_back_twice() {
    let gateway = Gateway::start().await;
    for round in 0..12 {
        let lines = || (0..30).map(move |n| Line::employer(&format!("{round}{n:03}")));
        gateway
            .send(Packet::employers(&format!("A{round}"), lines()))
            .await;
        let other = Packet::employers(
            &format!("A{round}"),
            [Line::employer(&format!("{round}900"))],
        )
        .replacing();
        let revoking = Packet::employers(
            &format!("B{round}"),
            lines().map(|line| line.with("AAA321", "2")),
        );
        let (replaced, revoked) = tokio::join!(gateway.send(other), gateway.send(revoking));
        assert!(
            replaced.0 == 409 || counts(&revoked.1)[1] == "0",
            "round {round}: {replaced:?} {revoked:?}"
        );
    }
    assert_eq!(
        gateway
            .value("SELECT count(*) FROM employer_line WHERE superseded AND revoked_by IS NOT NULL")
            .await,
        "0"
    );
    let in_force = "SELECT coalesce(sum(medical_fen + long_term_care_fen), 0) FROM employer_line WHERE NOT superseded";
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        gateway.value(in_force).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_packet_sent_again_gets_its_own_reply_and_changes_nothing() {
    let gateway = Gateway::start().await;
    let first = Packet::employers("P1", [Line::employer("1")]);
    let second = Packet::employers("P1", [Line::employer("2")]).replacing();
    let third = Packet::employers("P1", [Line::employer("3")]).replacing();
    let answers = [
        gateway.send(&first).await,
        gateway.send(&second).await,
        gateway.send(&third).await,
    ];
    for (packet, answer) in [first, second, third].iter().zip(&answers) {
        assert_eq!(gateway.send(packet).await, *answer);
    }
    assert_eq!(
        gateway
            .value("SELECT detail_no FROM employer_line WHERE NOT superseded")
            .await,
        "3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_refused_or_revoked_line_is_refused_and_not_called_a_duplicate() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P2",
            [Line::employer("1").with("AAA321", "2"), Line::employer("1")],
        ))
        .await;
    assert_eq!(counts(&receipt), ["2", "1", "1", "0"], "{receipt}");
    let other = || Line::employer("2").with("AAE080", "8340.01");
    let (_, receipt) = gateway
        .send(Packet::employers("P3", [other(), other()]))
        .await;
    assert_eq!(counts(&receipt), ["2", "0", "2", "0"], "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_waits_for_a_revocation_under_way_and_then_gives_way_to_it() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    gateway
        .send(Packet::employers("P2", [Line::employer("9")]))
        .await;
    let (revoker, connection) = gateway
        .database
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    // What a packet that revokes line 1 has done before it commits.
    let revoking = "BEGIN; UPDATE employer_line SET revoked_by = (SELECT packet_id FROM packet WHERE packet_no = 'P2') WHERE detail_no = '1'";
    revoker
        .batch_execute(revoking)
        .await
        .expect("the line is free");
    let replacement = Packet::employers("P1", [Line::employer("3")]).replacing();
    let (answer, ()) = tokio::join!(gateway.send(replacement), async {
        gateway.until(WAITING, "t").await;
        revoker.batch_execute("COMMIT").await.expect("committed");
    });
    assert_eq!(answer.0, 409, "{}", answer.1);
    assert_eq!(
        gateway
            .value("SELECT count(*) FROM employer_line WHERE superseded")
            .await,
        "0"
    );
    assert_eq!(gateway.value("SELECT count(*) FROM entry").await, "2");
}

#[tokio::test]
async fn a_packet_that_waits_for_another_transaction_does_not_hold_up_its_group() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("FIRST", [Line::employer("1")]))
        .await;
    let (mut other, connection) = gateway
        .database
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    // As a large packet of that number would, for as long as its lines arrive.
    let under_way = other.transaction().await.expect("a transaction");
    let taken = "CREATE TEMP TABLE copy ON COMMIT DROP AS SELECT * FROM packet; UPDATE copy SET packet_id = 1, packet_no = 'WAITS'; INSERT INTO packet SELECT * FROM copy";
    under_way.batch_execute(taken).await.expect("inserted");

    // Another employer's: who changes the same history has to wait for it.
    let waits = gateway.send(Packet::employers(
        "WAITS",
        [Line::employer("2").with("AAB001", "4501030099999")],
    ));
    let others = async {
        gateway.until(WAITING, "t").await;
        for number in 3..8 {
            let (status, receipt) = gateway
                .send(Packet::employers(
                    &format!("P{number}"),
                    [Line::employer(&number.to_string())],
                ))
                .await;
            assert_eq!((status, counts(&receipt)), (200, ["1", "1", "0", "0"]));
        }
        under_way.rollback().await.expect("rolled back");
    };
    let both = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        tokio::join!(waits, others)
    });
    let ((status, receipt), ()) = both
        .await
        .expect("answered while the other transaction was under way");
    assert_eq!((status, counts(&receipt)), (200, ["1", "1", "0", "0"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_packets_that_come_together_each_gets_its_own_answer() {
    let gateway = Gateway::start().await;
    let packet = |number: usize| {
        Packet::employers(
            &format!("P{}", number % 39),
            [Line::employer(&number.to_string())],
        )
    };
    let answers =
        futures_util::future::join_all((0..40).map(|number| gateway.send(packet(number)))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.0).collect();
    // The numbers of the first and the last are the same, their lines are not.
    assert!(
        [&statuses[..1], &statuses[39..]].concat().contains(&409),
        "{statuses:?}"
    );
    statuses.sort_unstable();
    assert_eq!((statuses[38], statuses[39]), (200, 409));
    assert_eq!(
        gateway
            .value("SELECT count(*), count(DISTINCT packet_id) FROM employer_line")
            .await,
        "39 39"
    );
    assert_eq!(
        gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (39 * 1_074_000).to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_taken_again_after_the_database_closed_every_connection() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    let all = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(gateway.value(all).await, "t");
    let packet = Packet::employers("P2", [Line::employer("2")]);
    // Whoever was told to send again does so.
    let mut answer = gateway.send(&packet).await;
    for _ in 0..20 {
        if answer.0 != 503 {
            break;
        }
        answer = gateway.send(&packet).await;
    }
    assert_eq!(
        (answer.0, counts(&answer.1)),
        (200, ["1", "1", "0", "0"]),
        "{}",
        answer.1
    );
    assert_eq!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "2"
    );
}
