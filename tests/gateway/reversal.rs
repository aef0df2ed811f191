//! What takes money back reaches the medical core and the LTC system as a reversal of what it reverses.

use std::path::Path;

use ltcgw::model::Fen;
use ltcgw::sandbox::partners::{District, SimulatedPartner};

use crate::packet::{Line, Packet};
use crate::support::{Counterparts, copy_folder, project};

/// What one ordinary line brings each fund (fen).
const MEDICAL: i64 = 1_056_000;
const CARE: i64 = 18_000;

fn revocation(number: &str, detail_no: &str) -> Packet {
    Packet::employers(number, [Line::employer(detail_no).with("AAA321", "2")])
}

/// Lines that partner took as reversals, and their sum.
fn reversed(partner: &SimulatedPartner) -> (i64, Fen) {
    let District { lines, fen } = partner.totals().reversed;
    (lines, fen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_both_as_a_reversal_that_names_the_batch_it_takes_back() {
    let all = Counterparts::start().await;
    all.gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    all.gateway.send(revocation("P2", "1")).await;
    all.settled().await;
    // Both refuse a reversal of what never came, and a line that takes back without saying so.
    assert_eq!((all.core.tally().refused, all.ltc.tally().refused), (0, 0));
    assert_eq!(
        (reversed(&all.core), reversed(&all.ltc)),
        ((1, Fen(-MEDICAL)), (1, Fen(-CARE)))
    );
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(MEDICAL), Fen(CARE))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_no_reversal() {
    let all = Counterparts::start().await;
    all.gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    let refund = Line::employer("2")
        .with("AAA115", "20")
        .with("AAE080", "-8340.00")
        .with("AAE082", "-2400.00");
    all.gateway.send(Packet::employers("P2", [refund])).await;
    all.settled().await;
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(0), Fen(0))
    );
    assert_eq!(
        (reversed(&all.core), reversed(&all.ltc)),
        ((0, Fen(0)), (0, Fen(0)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_packet_is_reversed_and_a_line_whose_revocation_was_replaced_is_told_again_as_an_ordinary_one()
 {
    let all = Counterparts::start().await;
    all.gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    all.gateway.send(revocation("P2", "1")).await;
    all.settled().await;
    all.gateway
        .send(Packet::employers("P2", [Line::employer("3")]).replacing())
        .await;
    all.settled().await;
    // Told: line 1, taken back, told again, and line 3.
    assert_eq!(
        (all.ltc.totals().lines, reversed(&all.ltc)),
        (4, (1, Fen(-CARE)))
    );
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(2 * MEDICAL), Fen(2 * CARE))
    );
    // It can be revoked again, and the packet of another line replaced.
    all.gateway.send(revocation("P3", "1")).await;
    all.gateway
        .send(
            Packet::employers(
                "P2",
                [Line::employer("4")
                    .with("AAE080", "0.00")
                    .with("AAE082", "0.00")],
            )
            .replacing(),
        )
        .await;
    all.settled().await;
    assert_eq!((all.core.tally().refused, all.ltc.tally().refused), (0, 0));
    assert_eq!(
        (reversed(&all.core), reversed(&all.ltc)),
        ((3, Fen(-3 * MEDICAL)), (3, Fen(-3 * CARE)))
    );
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(0), Fen(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_rounds_to_nothing_is_told_taken_back_and_replaced_like_any_other() {
    let all = Counterparts::start().await;
    let fen = |detail_no: &str| {
        Line::employer(detail_no)
            .with("AAE080", "0.01")
            .with("AAE082", "0.00")
    };
    let lines = |partner: &SimulatedPartner| (partner.totals().lines, reversed(partner).0);
    // 0.01 x 0.15 / 6.95 is 0.00; both partners count three lines, and a line that pays nothing is nobody's.
    let nothing = fen("4").with("AAE080", "0.00");
    all.gateway
        .send(Packet::employers(
            "P1",
            [fen("1"), fen("2"), Line::employer("3"), nothing],
        ))
        .await;
    all.settled().await;
    assert_eq!((lines(&all.core), lines(&all.ltc)), ((3, 0), (3, 0)));
    assert_eq!(
        (all.core.totals().fen, all.ltc.totals().fen),
        (Fen(2 + MEDICAL), Fen(CARE))
    );
    all.gateway
        .send(Packet::employers("P1", [fen("2"), fen("3")]).replacing())
        .await;
    all.gateway.send(revocation("P2", "2")).await;
    all.gateway
        .send(Packet::employers("P3", [Line::employer("5")]))
        .await;
    all.gateway
        .send(Packet::employers("P3", [fen("5")]).replacing())
        .await;
    all.settled().await;
    assert_eq!((all.core.tally().refused, all.ltc.tally().refused), (0, 0));
    assert_eq!(
        lines(&all.ltc),
        lines(&all.core),
        "whatever one is told of, the other is"
    );
    assert_eq!(all.ltc.totals().fen, Fen(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_partner_may_be_told_of_both_funds_and_hears_of_a_revocation_once_in_each_message() {
    let adapters = tempfile::tempdir().expect("a folder");
    with_both_funds(adapters.path());
    let shipped = project().join("adapters").display().to_string();
    let all = Counterparts::with(|scene| {
        scene
            .edit(&shipped, &adapters.path().display().to_string())
            .edit(
                "receives = [\"contributions\", \"deduction_results\"]",
                "receives = [\"contributions\", \"medical_contributions\", \"deduction_results\"]",
            )
    })
    .await;
    all.gateway
        .send(Packet::employers(
            "P1",
            [Line::employer("1"), Line::employer("2")],
        ))
        .await;
    all.gateway.send(revocation("P2", "1")).await;
    all.settled().await;
    let told = "SELECT message, count(*), sum(fen), count(*) FILTER (WHERE fen < 0) FROM delivery WHERE destination = 'ltc-system' AND state = 'delivered' GROUP BY 1 ORDER BY 1";
    assert_eq!(
        all.gateway.value(told).await,
        format!("contributions 2 {CARE} 1; medical_contributions 2 {MEDICAL} 1")
    );
    assert_eq!(
        (all.ltc.totals().fen, reversed(&all.ltc)),
        (Fen(MEDICAL + CARE), (2, Fen(-MEDICAL - CARE)))
    );
    assert_eq!(
        (all.core.totals().fen, reversed(&all.core)),
        (Fen(MEDICAL), (1, Fen(-MEDICAL)))
    );
}

/// The shipped adapters, of which the LTC system's has a second message for the medical fund.
fn with_both_funds(to: &Path) {
    copy_folder(&project().join("adapters"), to);
    let folder = to.join("ltc-system");
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).expect("a shipped file");
    let write = |path: &str, text: String| std::fs::write(folder.join(path), text).expect("a file");
    let manifest = read("adapter.toml");
    let block = manifest[manifest.find("[[outbound]]").expect("a block")
        ..manifest.find("# What became").expect("the next one")]
        .replace("\"contributions\"", "\"medical_contributions\"")
        .replace("\"long_term_care\"", "\"medical\"")
        .replace("\"contributions.json\"", "\"medical_contributions.json\"");
    write("adapter.toml", manifest + "\n" + &block);
    write(
        "templates/medical_contributions.json",
        read("templates/contributions.json").replace("long_term_care_fen", "medical_fen"),
    );
    let samples = folder.join("samples/medical_contributions");
    std::fs::create_dir_all(&samples).expect("a folder");
    // The sample's two sums change places, so that the same comes out.
    let sample = read("samples/contributions/required-only.json")
        .replace("\"medical_fen\"", "\"other\"")
        .replace("\"long_term_care_fen\"", "\"medical_fen\"");
    write(
        "samples/medical_contributions/one.json",
        sample.replace("\"other\"", "\"long_term_care_fen\""),
    );
    write(
        "samples/medical_contributions/one.expected.json",
        read("samples/contributions/required-only.expected.json"),
    );
    copy_folder(
        &folder.join("samples/contributions/replies"),
        &samples.join("replies"),
    );
}
