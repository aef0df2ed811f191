//! The journal and the instances on one database.

use ltcgw::store::DatabaseAccess;

use crate::packet::{Line, Packet, counts};
use crate::support::Gateway;

/// The error of a statement, as text.
async fn error(gateway: &Gateway, sql: &str) -> String {
    let (client, connection) = gateway
        .database
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let error = client.batch_execute(sql).await.expect_err(sql);
    error
        .as_db_error()
        .map(|db| db.message().to_string())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_an_entry_that_does_not_sum_to_zero() {
    let gateway = Gateway::start().await;
    let posting = |fen: i64| {
        format!(
            "INSERT INTO posting VALUES (1, 'treasury', 450103, 202110, 'medical', 100), (1, 'fund', 450103, 202110, 'medical', {fen})"
        )
    };
    assert!(
        error(&gateway, &posting(-99))
            .await
            .contains("entry 1 does not sum to zero")
    );
    assert_eq!(gateway.value("SELECT count(*) FROM posting").await, "0");
    gateway.value(&posting(-100)).await;
    assert_eq!(gateway.value("SELECT count(*) FROM posting").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_to_edit_or_remove_postings() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    for sql in [
        "UPDATE posting SET fen = 0",
        "DELETE FROM posting",
        "TRUNCATE posting",
        "UPDATE entry SET kind = 'reversal'",
        "DELETE FROM entry",
    ] {
        assert!(error(&gateway, sql).await.contains("append-only"), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_database_post_a_packet_once_and_answer_alike() {
    let first = Gateway::start().await;
    let second = first
        .stage
        .start(DatabaseAccess::local(first.database.clone()))
        .await
        .expect("a second instance");
    let url = format!(
        "https://localhost:{}/tax/v1/packets",
        second.server.partner.port()
    );
    let client = first.stage.client("nanning-tax").expect("a client");
    for round in 0..10 {
        let packet: Vec<u8> = Packet::employers(
            &format!("P{round}"),
            (0..5).map(|n| Line::employer(&format!("{round}{n}"))),
        )
        .into();
        let there = async {
            crate::support::receipt(
                client
                    .post(&url)
                    .body(packet.clone())
                    .send()
                    .await
                    .expect("an answer"),
            )
            .await
        };
        let (here, there) = tokio::join!(first.send(packet.clone()), there);
        assert_eq!(here, there);
        assert_eq!(counts(&here.1), ["5", "5", "0", "0"]);
    }
    assert_eq!(
        first.value("SELECT count(*) FROM employer_line").await,
        "50"
    );
    assert_eq!(
        first
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (50 * 1_074_000).to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_share_lines_arriving_at_once_post_each_line_once() {
    let gateway = Gateway::start().await;
    let packets = (0..8).map(|n| {
        Packet::employers(
            &format!("P{n}"),
            (0..50).map(|line| Line::employer(&format!("{line}"))),
        )
    });
    let answers = futures_util::future::join_all(packets.map(|packet| gateway.send(packet))).await;
    assert!(
        answers.iter().all(|(status, _)| *status == 200),
        "{answers:?}"
    );
    let posted: i32 = answers
        .iter()
        .map(|(_, receipt)| counts(receipt)[1].parse::<i32>().expect("a number"))
        .sum();
    assert_eq!(posted, 50);
    assert_eq!(
        gateway
            .value("SELECT count(*), sum(medical_fen + long_term_care_fen) FROM employer_line")
            .await,
        format!("50 {}", 50 * 1_074_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tax_native_dialect_is_posted_like_the_other() {
    let gateway = Gateway::start().await;
    let sample = std::fs::read(
        crate::support::project()
            .join("adapters/tax-bureau-pinyin/samples/employer_collection/ordinary.xml"),
    )
    .expect("the sample");
    let (status, receipt) = gateway.send_as("nanning-tax-native", sample).await;
    assert_eq!(status, 200, "{receipt}");
    assert_ne!(
        gateway.value("SELECT count(*) FROM employer_line").await,
        "0"
    );
    assert_eq!(gateway.value("SELECT sum(fen) FROM posting").await, "0");
}
