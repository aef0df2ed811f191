//! A gateway from its start to its end, and from one life to the next.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ltcgw::sandbox::pki::Validity;
use ltcgw::store::embedded::{EmbeddedOptions, EmbeddedPostgres};
use nix::sys::signal::Signal;

use crate::support::{LINE_FEN, Place, packet, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_outlives_the_gateway_and_its_repeat_gets_the_same_bytes() {
    let place = Place::new();
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    assert_eq!(
        serving.operator("/healthz").await,
        Some((200, "ok\n".into()))
    );
    assert_eq!(
        serving.operator("/readyz").await,
        Some((200, "ready\n".into()))
    );
    let first = serving.send(&client, &packet("P1", 3)).await.unwrap();
    assert_eq!(first.0, 200);
    serving.signal(Signal::SIGTERM);
    // The client's connection is kept open and idle: it must not hold the gateway up.
    assert_eq!(serving.ended().await.code(), Some(0), "{}", serving.log());
    assert!(
        !place.postgres_runs(),
        "PostgreSQL is stopped with the gateway"
    );
    assert!(
        !place
            .dir
            .path()
            .join("data/postgres/cluster/postmaster.pid")
            .exists(),
        "and it was stopped cleanly"
    );
    assert!(serving.log().contains("stopped"), "{}", serving.log());
    let between = EmbeddedPostgres::start(&EmbeddedOptions::durable(
        place.dir.path().join("data/postgres"),
    ))
    .unwrap();
    assert_eq!(
        place
            .value("SELECT count(*), count(*) FILTER (WHERE until > now()) FROM dispatcher_lease")
            .await,
        "5 0",
        "the leases of all four destinations and of the calendar are released"
    );
    between.stop();

    let mut serving = place.serve().await;
    assert_eq!(
        serving.send(&client, &packet("P1", 3)).await.unwrap(),
        first
    );
    assert_eq!(place.value("SELECT count(*) FROM packet").await, "1");
    serving.signal(Signal::SIGINT);
    assert_eq!(serving.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_answered_is_there_after_the_gateway_was_killed() {
    const LINES: usize = 20;
    let place = Place::new();
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    let (next, answered) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let sender = async || {
        loop {
            let number = format!("P{}", next.fetch_add(1, Ordering::Relaxed));
            let Some((200, receipt)) = serving.send(&client, &packet(&number, LINES)).await else {
                return;
            };
            answered.lock().unwrap().insert(number, receipt);
        }
    };
    let killer = async {
        until("some answers", async || {
            (answered.lock().unwrap().len() >= 25).then_some(())
        })
        .await;
        serving.signal(Signal::SIGKILL); // Four more are under way.
    };
    tokio::join!(sender(), sender(), sender(), sender(), killer);
    assert!(!serving.ended().await.success());
    let (sent, answered) = (next.into_inner(), answered.into_inner().unwrap());

    let mut serving = place.serve().await;
    let whole = format!(
        "SELECT count(*) FROM packet WHERE lines_posted = {LINES} AND posted_fen = {LINES} * {LINE_FEN} AND length(reply) > 0"
    );
    let stored: usize = place
        .value("SELECT count(*) FROM packet")
        .await
        .parse()
        .unwrap();
    assert_eq!(
        place.value(&whole).await,
        stored.to_string(),
        "no packet is stored in part"
    );
    assert!(
        stored >= answered.len() && stored <= sent,
        "{} answered, {stored} stored, {sent} sent",
        answered.len()
    );
    let money = |packets: usize| (i64::try_from(packets * LINES).unwrap() * LINE_FEN).to_string();
    assert_eq!(
        place.value("SELECT count(*) FROM employer_line").await,
        (stored * LINES).to_string()
    );
    assert_eq!(
        place
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        money(stored)
    );
    assert_eq!(place.value("SELECT sum(fen) FROM posting").await, "0");
    assert_eq!(
        place.value("SELECT sum(fen) FROM delivery").await,
        money(stored)
    );

    for (number, receipt) in &answered {
        assert_eq!(
            serving.send(&client, &packet(number, LINES)).await.unwrap(),
            (200, receipt.clone()),
            "{number}"
        );
    }
    for number in 0..sent {
        assert_eq!(
            serving
                .send(&client, &packet(&format!("P{number}"), LINES))
                .await
                .unwrap()
                .0,
            200
        );
    }
    assert_eq!(
        place
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        money(sent),
        "each is posted once"
    );
    serving.signal(Signal::SIGTERM);
    assert_eq!(serving.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_have_ended_or_end_soon_are_said_at_the_start() {
    let place = Place::new();
    let authority = &place.stage.authority;
    let expired = authority
        .server_valid(&["localhost"], Validity::expired())
        .unwrap();
    let soon = authority
        .client_valid("gateway", Validity::days(12))
        .unwrap();
    for (name, issued) in [("server", expired), ("outbound/ltc-system", soon)] {
        std::fs::write(
            place.stage.pki.join(format!("{name}.pem")),
            &issued.certificate_pem,
        )
        .unwrap();
        std::fs::write(place.stage.pki.join(format!("{name}.key")), &issued.key_pem).unwrap();
    }
    let serving = place.serve().await;
    let log = until("both warnings", async || {
        Some(serving.log()).filter(|log| log.matches(" expire").count() >= 2)
    })
    .await;
    assert!(
        log.contains("the server certificate expired ")
            && log.contains("the certificate we call ltc-system with expires in 1"),
        "{log}"
    );
    assert!(
        !log.contains("medical-core with expire") && !log.contains("revocation list expire"),
        "only those: {log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_fails_is_in_the_log_once() {
    let place = Place::new();
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    let begins = |log: &str| {
        log.lines()
            .filter(|line| line.contains("begins to fail") && line.contains("ltc-system"))
            .count()
    };
    until("the warning", async || {
        Some(serving.log()).filter(|log| begins(log) > 0)
    })
    .await;
    until("more attempts", async || {
        (place.value("SELECT count(*) >= 3 FROM attempt").await == "t").then_some(())
    })
    .await;
    assert_eq!(begins(&serving.log()), 1, "{}", serving.log());
}
