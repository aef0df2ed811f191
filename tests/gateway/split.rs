//! Money is split by the total of its history: however it was cut, whoever writes, whichever way a packet goes.

use ltcgw::model::{HistoryId, Month};
use ltcgw::service::RunningGateway;
use ltcgw::store::DatabaseAccess;

use crate::packet::{Line, Packet, counts};
use crate::support::{Gateway, project};

/// What both funds have of what is in force.
const FUNDS: &str =
    "SELECT sum(medical_fen), sum(long_term_care_fen) FROM employer_line WHERE NOT superseded";
/// The same by the journal.
const POSTED: &str = "SELECT -coalesce(sum(fen) FILTER (WHERE fund = 'medical'), 0), -coalesce(sum(fen) FILTER (WHERE fund = 'long_term_care'), 0)
    FROM posting WHERE account = 'fund'";
/// Histories whose funds do not have the split of their sum (0.15 of 6.95, half away from zero), a fen for each line taken back aside.
const WRONG: &str = "SELECT count(*) FROM (
    SELECT abs(sum(long_term_care_fen) - round(sum(employer_paid_fen) * 0.15 / 6.95)) > count(*) FILTER (WHERE revoke) AS wrong
    FROM employer_line WHERE NOT superseded GROUP BY employer_no, district, contribution_month) h WHERE wrong";
/// Lines whose parts do not add up, and numbers of a history that are missing.
const LOST: &str = "SELECT count(*) FROM employer_line WHERE medical_fen + long_term_care_fen <> employer_paid_fen + employee_paid_fen";
const GAPS: &str = "SELECT count(*) FROM (SELECT max(history_no) - count(*) AS gap FROM employer_line GROUP BY history_key) h WHERE gap <> 0";

/// A payment of that much and nothing else.
fn paid(number: &str, yuan: &str) -> Line {
    Line::employer(number)
        .with("AAE080", yuan)
        .with("AAE082", "0.00")
        .with("AAA115", if yuan.starts_with('-') { "20" } else { "30" })
}

/// A gateway that streams bodies above ten kilobytes.
async fn streaming() -> Gateway {
    Gateway::with(|scene| scene.edit("# memory_bytes_max = 1048576", "memory_bytes_max = 10000"))
        .await
}

/// A packet's bytes with so much blank that it is streamed.
fn large(packet: &Packet) -> Vec<u8> {
    crate::packet::gbk(
        &packet
            .text()
            .replace("</Data>", &format!("{}</Data>", " ".repeat(10_000))),
    )
}

async fn second_instance(first: &Gateway) -> RunningGateway {
    first
        .stage
        .start(DatabaseAccess::local(first.database.clone()))
        .await
        .expect("a second instance")
}

async fn send_to(instance: &RunningGateway, first: &Gateway, packet: Vec<u8>) -> (u16, String) {
    let client = first.stage.client("nanning-tax").expect("a client");
    let url = format!(
        "https://localhost:{}/tax/v1/packets",
        instance.server.partner.port()
    );
    crate::support::receipt(
        client
            .post(&url)
            .body(packet)
            .send()
            .await
            .expect("an answer"),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_refunded_in_halves_leaves_nothing_in_either_fund() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [paid("1", "22.72")]))
        .await;
    // 22.72 x 0.15 / 6.95 = 0.4904
    assert_eq!(gateway.value(FUNDS).await, "2223 49");
    let (_, receipt) = gateway
        .send(Packet::employers(
            "P2",
            [paid("2", "-11.36"), paid("3", "-11.36")],
        ))
        .await;
    assert_eq!(counts(&receipt), ["2", "2", "0", "0"], "{receipt}");
    // 11.36 are left after the first: 0.2452
    assert_eq!(
        gateway
            .value("SELECT long_term_care_fen FROM employer_line ORDER BY history_no")
            .await,
        "49; -24; -25"
    );
    assert_eq!(
        (gateway.value(FUNDS).await, gateway.value(POSTED).await),
        ("0 0".into(), "0 0".into())
    );
    assert_eq!(
        gateway
            .value("SELECT destination, sum(fen) FROM delivery GROUP BY 1 ORDER BY 1")
            .await,
        "ltc-system 0; medical-core 0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_a_packet_goes_splits_by_the_same_totals() {
    let gateway = streaming().await;
    let instalment = |n: usize| paid(&format!("{n}"), "0.23");
    // One packet, one that is streamed, one of a number used before, single ones: 0.23 x 40.
    gateway
        .send(Packet::employers("A", (0..10).map(instalment)))
        .await;
    gateway
        .send(large(&Packet::employers("B", (10..20).map(instalment))))
        .await;
    let (_, receipt) = gateway
        .send(Packet::employers("C", (19..30).map(instalment)))
        .await;
    assert_eq!(counts(&receipt), ["11", "10", "0", "1"], "{receipt}");
    for n in 30..40 {
        gateway
            .send(Packet::employers(&format!("D{n}"), [instalment(n)]))
            .await;
    }
    // 9.20 x 0.15 / 6.95 = 0.1986
    assert_eq!(
        (gateway.value(FUNDS).await, gateway.value(POSTED).await),
        ("900 20".into(), "900 20".into())
    );
    assert_eq!(
        (
            gateway.value(WRONG).await,
            gateway.value(LOST).await,
            gateway.value(GAPS).await
        ),
        ("0".into(), "0".into(), "0".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_instalments_at_once_on_two_instances_bring_what_their_sum_brings() {
    let first = Gateway::start().await;
    let second = second_instance(&first).await;
    let packets = (0..100).map(|n| {
        Vec::from(Packet::employers(
            &format!("P{n}"),
            [paid(&format!("{n}"), "0.23")],
        ))
    });
    let sent = packets.enumerate().map(|(n, packet)| {
        let (first, second) = (&first, &second);
        async move {
            if n % 2 == 0 {
                first.send(packet).await
            } else {
                send_to(second, first, packet).await
            }
        }
    });
    let answers = futures_util::future::join_all(sent).await;
    assert!(
        answers
            .iter()
            .all(|(status, receipt)| *status == 200 && counts(receipt)[1] == "1"),
        "{answers:?}"
    );
    assert_eq!(
        (first.value(FUNDS).await, first.value(POSTED).await),
        ("2250 50".into(), "2250 50".into())
    );
    assert_eq!(
        (first.value(LOST).await, first.value(GAPS).await),
        ("0".into(), "0".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_goes_as_it_came_and_the_next_line_settles_the_fen() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [paid("1", "0.23"), paid("2", "0.23"), paid("3", "0.23")],
        ))
        .await;
    assert_eq!(
        gateway
            .value("SELECT long_term_care_fen FROM employer_line ORDER BY history_no")
            .await,
        "0; 1; 0"
    );
    gateway
        .send(Packet::employers(
            "P2",
            [paid("2", "0.23").with("AAA321", "2")],
        ))
        .await;
    // 0.46 bring 0.0099, but the fen went back with the line that had brought it.
    assert_eq!(
        (gateway.value(FUNDS).await, gateway.value(WRONG).await),
        ("46 0".into(), "0".into())
    );
    gateway
        .send(Packet::employers("P3", [paid("4", "0.23")]))
        .await;
    assert_eq!(
        (gateway.value(FUNDS).await, gateway.value(POSTED).await),
        ("68 1".into(), "68 1".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_changes_the_history_of_its_line_whatever_it_states_itself() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [paid("1", "100.00"), paid("2", "10.00")],
        ))
        .await;
    let elsewhere = paid("1", "100.00")
        .with("AAA321", "2")
        .with("AAB001", "4501030099999")
        .with("AAE003", "202109");
    let (_, receipt) = gateway.send(Packet::employers("P2", [elsewhere])).await;
    assert_eq!(counts(&receipt), ["1", "1", "0", "0"], "{receipt}");
    assert_eq!(
        gateway
            .value("SELECT DISTINCT employer_no, contribution_month FROM employer_line")
            .await,
        "4501030012345 202110"
    );
    // 110.00 bring 2.3741, 100.00 brought 2.1583
    assert_eq!(
        (gateway.value(FUNDS).await, gateway.value(GAPS).await),
        ("979 21".into(), "0".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_packet_drops_out_of_its_histories() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers(
            "P1",
            [paid("1", "0.23"), paid("2", "0.23")],
        ))
        .await;
    gateway
        .send(Packet::employers("P2", [paid("3", "0.23")]))
        .await;
    let (status, receipt) = gateway
        .send(Packet::employers("P1", [paid("4", "0.23")]).replacing())
        .await;
    assert_eq!(
        (status, counts(&receipt)),
        (200, ["1", "1", "0", "0"]),
        "{receipt}"
    );
    // 0.46 are in force: 0.0099
    assert_eq!(
        (gateway.value(FUNDS).await, gateway.value(POSTED).await),
        ("45 1".into(), "45 1".into())
    );
    assert_eq!(gateway.value(GAPS).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn employers_that_share_a_key_are_split_apart() {
    let gateway = streaming().await;
    let (one, other) = (
        "4501030012345".to_string(),
        (4_501_030_012_345_u64 + (1 << 32)).to_string(),
    );
    let month = Month::parse("202110").expect("a month");
    assert_eq!(
        HistoryId::of(&one, 450_103, month).key(),
        HistoryId::of(&other, 450_103, month).key()
    );
    let lines = |from: usize, count: usize| {
        let (one, other) = (one.clone(), other.clone());
        (from..from + count).map(move |n| {
            paid(&format!("{n}"), "0.23").with("AAB001", if n % 2 == 0 { &one } else { &other })
        })
    };
    gateway
        .send(large(&Packet::employers("A", lines(0, 6))))
        .await;
    gateway.send(Packet::employers("B", lines(6, 6))).await;
    for n in 12..16 {
        gateway
            .send(Packet::employers(&format!("C{n}"), lines(n, 1)))
            .await;
    }
    // 8 x 0.23 = 1.84 each: 0.0397
    assert_eq!(
        gateway.value("SELECT employer_no, count(*), sum(long_term_care_fen) FROM employer_line GROUP BY 1 ORDER BY 1").await,
        format!("{one} 8 4; {other} 8 4")
    );
    assert_eq!(gateway.value(GAPS).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_goes_on_with_the_rate_it_was_split_by_and_new_ones_take_the_edited_one() {
    let first = Gateway::start().await;
    first
        .send(Packet::employers("P1", [paid("1", "100.00")]))
        .await;
    let rates = first._dir.path().join("edited");
    std::fs::create_dir(&rates).expect("a folder");
    let shipped = std::fs::read_to_string(project().join("config/rates/450100-nanning.toml"))
        .expect("the shipped rates");
    let edited = shipped.replace(
        "medical = \"6.80 %\", long_term_care = \"0.15 %\"",
        "medical = \"6.45 %\", long_term_care = \"0.50 %\"",
    );
    assert_ne!(edited, shipped);
    std::fs::write(rates.join("450100-nanning.toml"), edited).expect("written");
    let file = first.stage.config_dir.join("gateway.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let old = project().join("config/rates").display().to_string();
    std::fs::write(&file, text.replace(&old, &rates.display().to_string())).expect("written");
    let second = second_instance(&first).await;
    let lines = [
        paid("2", "100.00"),
        paid("3", "100.00").with("AAB001", "4501030099999"),
    ];
    let (_, receipt) = send_to(&second, &first, Packet::employers("P2", lines).into()).await;
    assert_eq!(counts(&receipt), ["2", "2", "0", "0"], "{receipt}");
    // 200.00 x 0.15 / 6.95 = 4.3165; 100.00 x 0.50 / 6.95 = 7.1942
    let lines =
        "SELECT detail_no, rate_id, long_term_care_fen FROM employer_line ORDER BY detail_no";
    assert_eq!(
        first.value(lines).await,
        "1 450100/employer/2021-03 216; 2 450100/employer/2021-03 216; 3 450100/employer/2021-03~2 719"
    );
    // The instance that was started before learns of the other's rule.
    first
        .send(Packet::employers(
            "P3",
            [paid("4", "100.00").with("AAB001", "4501030099999")],
        ))
        .await;
    assert_eq!(
        first
            .value("SELECT rate_id, long_term_care_fen FROM employer_line WHERE detail_no = '4'")
            .await,
        "450100/employer/2021-03~2 720"
    );
    // Nothing of a history counts any more: it begins anew, by the rule in force.
    let back = [
        paid("1", "100.00").with("AAA321", "2"),
        paid("2", "100.00").with("AAA321", "2"),
        paid("5", "100.00"),
    ];
    send_to(
        &second,
        &first,
        Packet::employers("P4", back[..2].to_vec()).into(),
    )
    .await;
    send_to(
        &second,
        &first,
        Packet::employers("P5", back[2..].to_vec()).into(),
    )
    .await;
    assert_eq!(
        first
            .value("SELECT rate_id, long_term_care_fen FROM employer_line WHERE detail_no = '5'")
            .await,
        "450100/employer/2021-03~2 719"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_small_packets_over_the_same_histories_at_once_split_each_sum() {
    let first = streaming().await;
    let second = second_instance(&first).await;
    let line = |packet: usize, n: usize| {
        // Histories in another order in each packet, so that two packets wait for each other.
        let at = if packet.is_multiple_of(2) { n } else { 40 - n };
        let employer = format!("45010300{:05}", at % 20);
        paid(
            &format!("{packet}x{n}"),
            &format!("{}.{:02}", n % 3, 11 + (packet * 7 + n) % 80),
        )
        .with("AAB001", &employer)
    };
    let sent = (0..12).map(|packet| {
        let (first, second) = (&first, &second);
        async move {
            let size = if packet < 6 { 40 } else { 1 + packet % 3 };
            let packet_of =
                Packet::employers(&format!("P{packet}"), (0..size).map(|n| line(packet, n)));
            let bytes = if packet < 6 {
                large(&packet_of)
            } else {
                (&packet_of).into()
            };
            let answer = if packet % 2 == 0 {
                first.send(bytes).await
            } else {
                send_to(second, first, bytes).await
            };
            (packet, answer)
        }
    });
    let answers = futures_util::future::join_all(sent).await;
    assert!(
        answers
            .iter()
            .all(|(_, (status, receipt))| *status == 200 && counts(receipt)[2] == "0"),
        "{answers:?}"
    );
    let back = (0..5).map(|packet| {
        let (first, line) = (&first, line(packet, packet + 1).with("AAA321", "2"));
        async move {
            first
                .send(Packet::employers(&format!("R{packet}"), [line]))
                .await
        }
    });
    let answers = futures_util::future::join_all(back).await;
    assert!(
        answers
            .iter()
            .all(|(status, receipt)| *status == 200 && counts(receipt)[1] == "1"),
        "{answers:?}"
    );
    assert_eq!(
        (
            first.value(WRONG).await,
            first.value(LOST).await,
            first.value(GAPS).await
        ),
        ("0".into(), "0".into(), "0".into())
    );
    assert_eq!(first.value(FUNDS).await, first.value(POSTED).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_computes_the_same_keys() {
    let gateway = Gateway::start().await;
    for employer in [
        "4501030012345",
        "91450100198212345K",
        "0",
        "007",
        "99999999999999999999999999",
        "999999999999999999999999999",
        "南宁市第一医院",
        "a b",
        "",
    ] {
        for (district, month) in [
            (450_103, "202110"),
            (999_999, "219912"),
            (110_101, "199001"),
        ] {
            let key =
                HistoryId::of(employer, district, Month::parse(month).expect("a month")).key();
            assert_eq!(
                gateway
                    .value(&format!(
                        "SELECT history_key('{employer}', {month}, {district})"
                    ))
                    .await,
                key.to_string(),
                "{employer} {district} {month}"
            );
        }
    }
}
