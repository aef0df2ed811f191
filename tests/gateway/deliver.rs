//! From the ledger to the medical core and the LTC system, through everything that can go wrong on the way.

use std::time::Instant;

use ltcgw::model::{Fen, Month};
use ltcgw::sandbox::city::City;
use ltcgw::sandbox::partners::Behaviour::{
    AcceptThenClose, AcceptThenHang, Garbage, HangAfterReading, Refuse, TooMany,
};
use ltcgw::store::DatabaseAccess;
use ltcgw::store::delivery::{Decision, decide};

use crate::packet::{Line, Packet, element};
use crate::support::Counterparts;

/// What one ordinary line brings each fund (fen).
const MEDICAL: i64 = 1_056_000;
const CARE: i64 = 18_000;

fn one() -> Packet {
    Packet::employers("P1", [Line::employer("1")])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_wakes_its_dispatchers_and_waits_for_no_poll() {
    // In place of the short poll that all counterparts are given, which becomes a comment.
    let an_hour = "poll_milliseconds = 3600000 # # poll_milliseconds = 1000";
    let all = Counterparts::with(|scene| scene.edit("# poll_milliseconds = 1000", an_hour)).await;
    // The first may be found by the look at the start; the second only by being told of it.
    for number in ["1", "2"] {
        all.gateway
            .send(Packet::employers(number, [Line::employer(number)]))
            .await;
        all.settled().await;
    }
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(2 * MEDICAL), Fen(2 * CARE))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_packet_cannot_be_seen_waits_for_it_and_is_no_dead_letter() {
    let all = Counterparts::start().await;
    all.gateway.send(one()).await;
    all.settled().await;
    // As read through a snapshot of before the packet: its delivery is there, the packet is not.
    let queued = "INSERT INTO delivery (destination, message, ordering_key, subject_kind, subject_id, part, part_end, reversal, lines, fen)
        SELECT destination, message, '2/1', 'records', '2', part, part_end, false, lines, fen FROM delivery WHERE destination = 'medical-core'";
    all.gateway.value(queued).await;
    all.until("SELECT state, attempts, answer LIKE '%its packet is not in the database%' FROM delivery WHERE subject_id = '2'", "ready 0 t").await;
    let seen = "BEGIN;
        CREATE TEMP TABLE same ON COMMIT DROP AS SELECT * FROM packet;
        UPDATE same SET packet_id = 2, packet_no = 'P2'; INSERT INTO packet SELECT * FROM same;
        CREATE TEMP TABLE line ON COMMIT DROP AS SELECT * FROM employer_line;
        UPDATE line SET packet_id = 2, detail_no = '2', detail_key = gen_random_uuid(), history_no = history_no + 1; INSERT INTO employer_line SELECT * FROM line;
        COMMIT";
    all.gateway.value(seen).await;
    all.until(
        "SELECT state, attempt_no FROM delivery WHERE subject_id = '2'",
        "delivered 1",
    )
    .await;
    assert_eq!(all.core.totals().fen, Fen(2 * MEDICAL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_a_city_agrees_to_the_fen_at_tax_bureau_ledger_core_and_ltc_system() {
    let all = Counterparts::with(|scene| {
        scene.edit("requests_per_second = 50", "requests_per_second = 500")
    })
    .await;
    let mut tax = 0_i64;
    for packet in City::new(7, 400).month_packets(Month::parse("202110").expect("a month"), 60) {
        let (status, receipt) = all.gateway.send(packet.bytes).await;
        assert_eq!(
            status, packet.expected.status,
            "{}: {receipt}",
            packet.packet_no
        );
        let posted = packet.expected.posted.to_string();
        if status == 200 {
            assert_eq!(
                element(&receipt, "RZTS"),
                posted,
                "{}: {receipt}",
                packet.packet_no
            );
        }
        tax += packet.net.0;
    }
    all.settled().await;
    assert_eq!(
        all.gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        tax.to_string()
    );
    let fund = async |name: &str| {
        all.gateway
            .value(&format!(
                "SELECT -sum(fen) FROM posting WHERE account = 'fund' AND fund = '{name}'"
            ))
            .await
    };
    assert_eq!(fund("medical").await, all.core.totals().fen.0.to_string());
    assert_eq!(
        fund("long_term_care").await,
        all.ltc.totals().fen.0.to_string()
    );
    assert_eq!(all.core.totals().fen.0 + all.ltc.totals().fen.0, tax);
    assert_eq!((all.core.tally().refused, all.ltc.tally().refused), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_after_sending_is_inquired_about_and_what_is_not_there_is_sent_once_more() {
    let all = Counterparts::start().await;
    all.core.will([HangAfterReading]);
    all.gateway.send(one()).await;
    all.settled().await;
    assert_eq!(all.core.totals().fen, Fen(MEDICAL));
    assert_eq!(
        (all.core.tally().deliveries, all.core.tally().repeats),
        (2, 0)
    );
    assert!(all.core.tally().inquiries >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_found_out_by_inquiry_and_nothing_is_sent_twice() {
    let all = Counterparts::start().await;
    all.core.will([AcceptThenHang]);
    all.gateway.send(one()).await;
    all.settled().await;
    assert_eq!(all.core.totals().fen, Fen(MEDICAL));
    assert_eq!(all.core.tally().deliveries, 1, "sent once");
    assert!(
        all.deliveries("medical-core")
            .await
            .starts_with("delivered accepted")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ltc_system_gets_the_same_key_again_and_takes_it_once() {
    let all = Counterparts::start().await;
    all.ltc.will([AcceptThenClose, Garbage, AcceptThenHang]);
    all.gateway.send(one()).await;
    all.settled().await;
    assert_eq!(all.ltc.totals().fen, Fen(CARE));
    assert_eq!(
        all.gateway.value("SELECT count(DISTINCT a.reference) FROM attempt a JOIN delivery USING (delivery_id) WHERE destination = 'ltc-system'").await,
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_dead_letter_until_a_person_lets_it_try_again() {
    let all = Counterparts::start().await;
    all.core.will([Refuse("-9".into())]);
    all.gateway.send(one()).await;
    all.settled().await;
    assert!(
        all.deliveries("medical-core")
            .await
            .starts_with("dead rejected"),
        "{}",
        all.deliveries("medical-core").await
    );
    assert_eq!(all.core.totals().fen, Fen(0));
    assert_eq!(
        all.ltc.totals().fen,
        Fen(CARE),
        "the other destination is not held up"
    );
    let id = all
        .gateway
        .value("SELECT delivery_id FROM delivery WHERE state = 'dead'")
        .await
        .parse()
        .expect("an id");
    assert!(
        decide(
            all.gateway.running.gateway.store.pool(),
            id,
            Decision::Retry
        )
        .await
        .expect("the database answers")
    );
    all.settled().await;
    assert_eq!(all.core.totals().fen, Fen(MEDICAL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_says_when_to_come_again_is_left_alone_until_then() {
    let all = Counterparts::start().await;
    all.ltc.will([TooMany(2)]);
    let start = Instant::now();
    all.gateway.send(one()).await;
    all.gateway
        .send(Packet::employers("P2", [Line::employer("2")]))
        .await;
    all.settled().await;
    assert!(start.elapsed().as_secs() >= 2, "{:?}", start.elapsed());
    assert_eq!(all.ltc.totals().fen, Fen(2 * CARE));
    assert_eq!(all.ltc.tally().deliveries, 3, "one refused, two taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_packet_is_taken_back_at_every_destination() {
    let all = Counterparts::start().await;
    all.gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    all.settled().await;
    assert_eq!(all.core.totals().fen, Fen(2 * MEDICAL));
    all.gateway
        .send(Packet::employers("P1", [Line::employer("1")]).replacing())
        .await;
    all.settled().await;
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(MEDICAL), Fen(CARE))
    );
    assert_eq!(
        all.gateway
            .value("SELECT sum(fen) FROM posting WHERE account = 'treasury'")
            .await,
        (MEDICAL + CARE).to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_finishes_what_a_dead_one_left_behind() {
    let all =
        Counterparts::with(|scene| scene.edit("# lease_seconds = 3", "lease_seconds = 1")).await;
    all.core.will([AcceptThenHang]);
    all.gateway.send(one()).await;
    all.until("SELECT count(*) FROM attempt WHERE ended_at IS NULL", "1")
        .await;
    let Counterparts { gateway, core, ltc } = all;
    let crate::support::Gateway {
        running,
        stage,
        database,
        _dir,
    } = gateway;
    running.abandon();
    let running = stage
        .start(DatabaseAccess::local(database.clone()))
        .await
        .expect("another instance");
    let all = Counterparts {
        gateway: crate::support::Gateway {
            running,
            stage,
            database,
            _dir,
        },
        core,
        ltc,
    };
    all.settled().await;
    assert_eq!(all.core.totals().fen, Fen(MEDICAL));
    assert_eq!(
        all.core.tally().deliveries,
        1,
        "asked about, not sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_waits_behind_the_line_it_takes_back() {
    let all = Counterparts::start().await;
    all.core.will([Refuse("-9".into())]);
    all.gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    all.until("SELECT count(*) FROM delivery WHERE state = 'dead'", "1")
        .await;
    all.gateway
        .send(Packet::employers(
            "P2",
            [Line::employer("1").with("AAA321", "2"), Line::employer("3")],
        ))
        .await;
    all.until(
        "SELECT count(*) FROM delivery WHERE destination = 'ltc-system' AND state = 'delivered'",
        "3",
    )
    .await;
    all.until(
        "SELECT fen FROM delivery WHERE destination = 'medical-core' AND state = 'delivered'",
        &MEDICAL.to_string(),
    )
    .await;
    assert_eq!(
        all.core.totals().fen,
        Fen(MEDICAL),
        "line 3 only: the core never hears of a revocation of what it does not have"
    );
    let dead = all
        .gateway
        .value("SELECT delivery_id FROM delivery WHERE state = 'dead'")
        .await
        .parse()
        .expect("an id");
    assert!(
        decide(
            all.gateway.running.gateway.store.pool(),
            dead,
            Decision::Retry
        )
        .await
        .expect("the database answers")
    );
    all.settled().await;
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(2 * MEDICAL), Fen(2 * CARE))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_a_packet_closes_what_a_partner_refused_of_it() {
    let all = Counterparts::start().await;
    all.core.will([Refuse("-9".into())]);
    all.gateway.send(one()).await;
    all.settled().await;
    all.gateway
        .send(Packet::employers("P1", [Line::employer("2")]).replacing())
        .await;
    all.settled().await;
    assert_eq!(
        all.gateway
            .value("SELECT count(*) FROM delivery WHERE state = 'dead'")
            .await,
        "0"
    );
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(MEDICAL), Fen(CARE))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_among_ordinary_lines_is_delivered_beside_them() {
    let all = Counterparts::start().await;
    all.gateway.send(one()).await;
    all.gateway
        .send(Packet::employers(
            "P2",
            [
                Line::employer("2"),
                Line::employer("1").with("AAA321", "2"),
                Line::employer("3"),
            ],
        ))
        .await;
    all.settled().await;
    assert_eq!(
        all.gateway
            .value("SELECT count(*) FROM delivery WHERE state = 'dead'")
            .await,
        "0"
    );
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(2 * MEDICAL), Fen(2 * CARE))
    );
}
