//! What a person asks beside a running gateway: trace, packets, waiting, dead letters by cause, four eyes.

use ltcgw::sandbox::partners::Behaviour;
use ltcgw::sandbox::stage::Scene;

use crate::packet::{Line, Packet};
use crate::support::{Place, Said, Serving, packet, until};

/// The command was done, and no line of it is wider than 80 columns.
fn readable(said: &Said) -> String {
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    let wide = |c: char| matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60);
    for line in said.out.lines() {
        let columns: usize = line.chars().map(|c| if wide(c) { 2 } else { 1 }).sum();
        assert!(columns <= 80, "{columns} columns: {line}\n{}", said.out);
    }
    said.out.clone()
}

/// The text with single blanks, so that folding does not matter.
fn plain(said: &Said) -> String {
    readable(said)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn has(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "`{expected}` is not in {text}");
    }
}

/// A gateway that has taken a packet with two refused lines, and refused another whole.
async fn with_refusals() -> (Place, Serving) {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    let lines = [
        Line::employer("D1"),
        Line::employer("D2").with("AAE003", "209901"),
        Line::employer("D3").with("AAE080", "?"),
    ];
    assert_eq!(
        serving
            .send(&client, &Packet::employers("450100202111080001", lines))
            .await
            .unwrap()
            .0,
        200
    );
    assert_eq!(
        serving
            .send(&client, &packet("450100202111080002", 2).declaring(3))
            .await
            .unwrap()
            .0,
        400
    );
    (place, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_lines_are_traced_with_element_reason_and_money() {
    let (place, _serving) = with_refusals().await;
    let said = plain(&place.run(&["trace", "450100202111080001"]).await);
    has(
        &said,
        &[
            "3 lines: 1 posted, 2 refused, 0 duplicate · 10,740.00 yuan",
            "21,480.00 yuan received = 10,740.00 posted + 10,740.00 refused + 0.00 duplicate, and 1 refused lines whose amount cannot be read",
            "record 2 · 10,740.00 yuan · AAE003 `209901` 费款所属期2099-01超出受理范围（2010-01至",
            "contribution month 2099-01 is out of range; taken are 2010-01 to",
            "record 3 · amount not known · AAE080 `?` 应为以元为单位的金额 · expected an amount in yuan",
        ],
    );
    assert_eq!(
        place
            .value("SELECT record_index, stated_fen FROM report.refused_line ORDER BY 1")
            .await,
        "2 1074000; 3 -"
    );
    let whole = plain(&place.run(&["trace", "450100202111080002"]).await);
    has(
        &whole,
        &[
            "refused whole with status 400",
            "报文头声明3条记录，实际2条 ·",
            "its number is free",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_employer_and_a_delivery_are_traced_and_what_is_not_found_says_what_was_searched() {
    let (place, _serving) = with_refusals().await;
    let employer = plain(&place.run(&["trace", "4501030012345"]).await);
    has(
        &employer,
        &[
            "employer 4501030012345: 1 lines",
            "10,740.00 yuan in force: medical fund 10,560.00 · long-term care fund 180.00",
            "2021-10 D1 normal 2021-11-06 10,740.00 posted",
        ],
    );
    let id = place
        .value("SELECT delivery_id FROM delivery WHERE destination = 'ltc-system'")
        .await;
    has(
        &plain(&place.run(&["trace", &id]).await),
        &[
            &format!("delivery {id} to ltc-system: "),
            "records 1 to 1: 1 lines, 180.00 yuan",
        ],
    );
    let unknown = place.run(&["trace", "P9"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let err = unknown.err.split_whitespace().collect::<Vec<_>>().join(" ");
    has(
        &err,
        &[
            "nothing is stored under P9.",
            "packet numbers (taken, replaced and refused whole)",
            "detail numbers of",
            "nanning-tax",
            "employer numbers, delivery ids",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packets_of_a_day_are_listed_with_what_became_of_them() {
    let (place, serving) = with_refusals().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving
        .send(&client, &packet("450100202111080003", 1))
        .await
        .unwrap();
    let today = plain(&place.run(&["packets", "--today"]).await);
    has(
        &today,
        &[
            "from nanning-tax",
            "450100202111080001 3 2 10,740.00",
            "450100202111080002 · whole ·",
            "450100202111080003 1 0 10,740.00",
            "2 packets taken with 4 lines: 2 posted, 2 refused, 0 duplicate; 1 packets refused whole",
            "21,480.00 yuan posted, 10,740.00 yuan refused",
            "报文头声明3条记录，实际2条",
        ],
    );
    let refused = plain(&place.run(&["packets", "--refused"]).await);
    assert!(
        refused.contains("080001") && refused.contains("080002") && !refused.contains("080003"),
        "{refused}"
    );
    let other = place.run(&["packets", "--on", "2021-11-08"]).await;
    assert_eq!(
        other.out, "no packet was received on 2021-11-08 (Asia/Shanghai)\n",
        "{}",
        other.err
    );
    let limited = plain(&place.run(&["packets", "--limit", "1"]).await);
    has(
        &limited,
        &[
            "450100202111080003",
            "the newest 1 are shown",
            "2 packets taken with 4 lines",
        ],
    );
    assert_eq!(
        place
            .run(&["packets", "--today", "--on", "2021-11-08"])
            .await
            .status
            .code(),
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_packet_taken_is_one_line_of_the_log_and_a_repeat_too() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    let lines = [
        Line::employer("D1"),
        Line::employer("D2").with("AAE003", "209901"),
    ];
    let sent = Packet::employers("P1", lines);
    serving.send(&client, &sent).await.unwrap();
    serving.send(&client, &sent).await.unwrap();
    let log = serving.log();
    let about: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("packet taken"))
        .collect();
    assert_eq!(about.len(), 2, "{log}");
    has(
        about[0],
        &[
            "P1",
            "nanning-tax",
            "received=2",
            "posted=1",
            "refused=1",
            "yuan=10740.00",
        ],
    );
    has(
        about[1],
        &["packet taken before; its receipt was given again", "P1"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_by_cause_with_packet_numbers_and_the_city_s_time() {
    let (place, _core, ltc) = Place::with_partners(|scene| scene);
    ltc.will([
        Behaviour::Refuse("unknown_district".into()),
        Behaviour::Refuse("unknown_district".into()),
    ]);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    let dead = "SELECT count(*) FROM delivery WHERE state = 'dead'";
    until("the first", async || {
        (place.value(dead).await == "1").then_some(())
    })
    .await;
    serving.send(&client, &packet("P2", 1)).await.unwrap();
    until("the second", async || {
        (place.value(dead).await == "2").then_some(())
    })
    .await;
    let list = place.run(&["dead", "list"]).await;
    let said = plain(&list);
    let since = place
        .value("SELECT to_char(settled_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD HH24:MI') FROM delivery WHERE state = 'dead' ORDER BY delivery_id")
        .await;
    let since: Vec<&str> = since.split("; ").collect();
    let one = format!("packet P1 records 1 to 2 360.00 1 {}", since[0]);
    let two = format!("packet P2 records 1 to 1 180.00 1 {}", since[1]);
    has(
        &said,
        &[
            "ltc-system · contributions · 2 dead · 540.00 yuan",
            "unknown_district",
            &one,
            &two,
        ],
    );
    assert_eq!(
        list.out.matches("unknown_district").count(),
        1,
        "a cause is told once: {}",
        list.out
    );
    has(
        &plain(&place.run(&["dead", "list", "--limit", "1"]).await),
        &["and 1 more of this cause", "2 dead"],
    );
}

/// A gateway whose LTC system has asked for an absurd pause, with two packets that wait for it.
async fn paused() -> (
    Place,
    Serving,
    Vec<String>,
    Vec<ltcgw::sandbox::partners::SimulatedPartner>,
) {
    paused_in(|scene| scene).await
}

async fn paused_in(
    scene: fn(Scene) -> Scene,
) -> (
    Place,
    Serving,
    Vec<String>,
    Vec<ltcgw::sandbox::partners::SimulatedPartner>,
) {
    let (place, core, ltc) = Place::with_partners(scene);
    ltc.will([Behaviour::TooMany(4_000_000_000)]);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    let paused = "SELECT pause_reason FROM dispatcher_lease WHERE destination = 'ltc-system'";
    until("the pause", async || {
        (place.value(paused).await == "later").then_some(())
    })
    .await;
    serving.send(&client, &packet("P2", 1)).await.unwrap();
    let ready = "SELECT delivery_id FROM delivery WHERE destination = 'ltc-system' AND state = 'ready' ORDER BY 1";
    let ids = until("both to wait", async || {
        Some(place.value(ready).await).filter(|ids| ids.contains("; "))
    })
    .await;
    (
        place,
        serving,
        ids.split("; ").map(str::to_owned).collect(),
        vec![core, ltc],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_with_its_end_under_the_limits() {
    let (place, _serving, _ids, _partners) = paused().await;
    // At two requests the last leaves within some seconds of the pause's end, perhaps in the next minute.
    let ends = place
        .value("SELECT string_agg(to_char((paused_until + s * interval '1 second') AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD HH24:MI'), ';')
            FROM dispatcher_lease, (VALUES (0), (5)) AS seconds (s) WHERE destination = 'ltc-system'")
        .await;
    let said = plain(&place.run(&["waiting", "--to", "ltc-system"]).await);
    assert!(
        ends.split(';').any(|end| said.contains(&format!(
            "2 requests; at its limits the last one leaves at {end}"
        ))),
        "{ends}: {said}"
    );
    has(
        &said,
        &[
            "ltc-system",
            "contributions 2 0 0 540.00",
            "paused until",
            "it says later",
            "(Asia/Shanghai) at the earliest",
        ],
    );
    let none = place.run(&["waiting", "--to", "civil-affairs"]).await;
    assert_eq!(
        none.out, "nothing waits for civil-affairs\n",
        "{}",
        none.err
    );
    let unknown = place.run(&["waiting", "--to", "ltc-sistem"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    has(
        &unknown.err,
        &["nothing is sent to a partner `ltc-sistem` (did you mean `ltc-system`?)"],
    );
}

/// Number and digest of the request that a command has just made.
fn request(said: &str) -> (String, String) {
    let id = said
        .split_once("approval approve ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap();
    let digest = said
        .split_once("--digest ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap();
    (id.to_owned(), digest.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_lifted_by_two_people_and_by_no_fewer() {
    let (place, _serving, _ids, _partners) = paused().await;
    let asked = plain(
        &place
            .run(&[
                "destinations",
                "resume",
                "ltc-system",
                "--by",
                "Li Na",
                "--reason",
                "told by telephone",
            ])
            .await,
    );
    let (id, digest) = request(&asked);
    has(
        &asked,
        &[
            "lift the pause of ltc-system",
            "reason: told by telephone",
            "asked for by Li Na",
        ],
    );
    let same = place
        .run(&[
            "approval", "approve", &id, "--by", " li  NA", "--digest", &digest,
        ])
        .await;
    assert!(
        same.status.code() == Some(1)
            && same
                .err
                .contains("Li Na asked for it and cannot approve it"),
        "{}",
        same.err
    );
    let wrong = place
        .run(&[
            "approval", "approve", &id, "--by", "Wang Wei", "--digest", "00000000",
        ])
        .await;
    assert!(
        wrong.err.contains("the digest is not that of request"),
        "{}",
        wrong.err
    );
    assert_eq!(
        place
            .value("SELECT pause_reason FROM dispatcher_lease WHERE destination = 'ltc-system'")
            .await,
        "later"
    );
    has(
        &plain(&place.run(&["approval", "list"]).await),
        &["lift the pause of ltc-system", "may be approved until"],
    );
    let done = place
        .run(&[
            "approval", "approve", &id, "--by", "Wang Wei", "--digest", &digest,
        ])
        .await;
    assert!(
        done.out.contains("the pause of ltc-system is lifted"),
        "{}{}",
        done.out,
        done.err
    );
    let delivered =
        "SELECT count(*) FROM delivery WHERE destination = 'ltc-system' AND state = 'delivered'";
    until("the deliveries", async || {
        (place.value(delivered).await == "2").then_some(())
    })
    .await;
    let again = place
        .run(&[
            "approval", "approve", &id, "--by", "Wang Wei", "--digest", &digest,
        ])
        .await;
    assert!(
        again.err.contains("was approved by Wang Wei already"),
        "{}",
        again.err
    );
    assert_eq!(
        place.run(&["approval", "list"]).await.out,
        "nothing waits for a second person\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_asks_and_approves_under_no_two_names() {
    let (place, _serving, _ids, _partners) =
        paused_in(|scene| scene.edit("same_login = true ", "same_login = false ")).await;
    let asked = plain(
        &place
            .run(&[
                "destinations",
                "resume",
                "ltc-system",
                "--by",
                "Li Na",
                "--reason",
                "told by telephone",
            ])
            .await,
    );
    let (id, digest) = request(&asked);
    let refused = place
        .run(&[
            "approval", "approve", &id, "--by", "Wang Wei", "--digest", &digest,
        ])
        .await;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.out);
    has(
        &refused.err,
        &["`[approval] same_login = true` in gateway.toml gives the second look up"],
    );
    assert_eq!(
        place.value("SELECT decision, done FROM approval").await,
        "- -"
    );
    assert_eq!(
        place
            .value("SELECT pause_reason FROM dispatcher_lease WHERE destination = 'ltc-system'")
            .await,
        "later"
    );
    let unseen = place
        .run(&[
            "approval",
            "approve",
            &id,
            "--by",
            "W\u{200b}ang",
            "--digest",
            &digest,
        ])
        .await;
    has(&unseen.err, &["U+200B"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_delivery_that_the_partner_has_is_marked_by_two_people_and_never_sent() {
    let (place, _serving, ids, partners) = paused().await;
    let none = place
        .run(&[
            "mark-delivered",
            "4711",
            "--by",
            "Li Na",
            "--reason",
            "restore",
        ])
        .await;
    assert!(
        none.err.contains("there is no delivery 4711"),
        "{}",
        none.err
    );
    let one = plain(
        &place
            .run(&[
                "mark-delivered",
                "--packet",
                "P1",
                "--to",
                "ltc-system",
                "--by",
                "Li Na",
                "--reason",
                "restored; they have it",
            ])
            .await,
    );
    has(
        &one,
        &[
            "mark 1 delivery to ltc-system as delivered",
            &format!("delivery {}: packet P1, lines ", ids[0]),
        ],
    );
    let (first, digest) = request(&one);
    let both = plain(
        &place
            .run(&[
                "mark-delivered",
                &ids[0],
                &ids[1],
                "--by",
                "Li Na",
                "--reason",
                "both",
            ])
            .await,
    );
    let (second, other) = request(&both);
    // The partner is down: it is tried again and again, and nothing of that arrives.
    let tried = format!(
        "WITH tried AS (UPDATE delivery SET attempt_no = 7 WHERE delivery_id = {} RETURNING delivery_id)
            INSERT INTO attempt (delivery_id, attempt_no, kind, reference, adapter_digest, request_digest, ended_at, outcome, answer)
            SELECT delivery_id, 7, 'send', 'r7', sha256('a'), sha256('r'), now(), 'not_sent', 'connection refused' FROM tried RETURNING attempt_no",
        ids[0]
    );
    assert_eq!(place.value(&tried).await, "7");
    let done = place
        .run(&[
            "approval", "approve", &first, "--by", "Wang Wei", "--digest", &digest,
        ])
        .await;
    assert!(
        done.out.contains("1 of 1 to ltc-system count as delivered"),
        "{}{}",
        done.out,
        done.err
    );
    let state = format!(
        "SELECT state, outcome, answer FROM delivery WHERE delivery_id = {}",
        ids[0]
    );
    assert_eq!(
        place.value(&state).await,
        "delivered accepted marked as delivered by Li Na and Wang Wei: restored; they have it"
    );
    // What was marked meanwhile is left alone.
    let rest = plain(
        &place
            .run(&[
                "approval", "approve", &second, "--by", "Wang Wei", "--digest", &other,
            ])
            .await,
    );
    has(
        &rest,
        &[
            "1 of 2 to ltc-system count as delivered",
            &format!(
                "left alone, because the partner answered since, or somebody decided: {}",
                ids[0]
            ),
        ],
    );
    assert_eq!(partners[1].totals().lines, 0, "nothing of it was sent");
    let gone = place
        .run(&[
            "mark-delivered",
            &ids[0],
            "--by",
            "Li Na",
            "--reason",
            "again",
        ])
        .await;
    assert!(gone.err.contains("is delivered, not ready"), "{}", gone.err);
    let trace = plain(&place.run(&["trace", "P2"]).await);
    has(
        &trace,
        &[
            "delivered (accepted)",
            "answered: marked as delivered by Li Na and Wang Wei: both",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sums_of_the_books_and_of_every_partner_are_one_command() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    assert!(
        place
            .run(&["sums"])
            .await
            .out
            .contains("nothing was ever queued")
    );
    serving
        .send(
            &place.stage.client("nanning-tax").unwrap(),
            &packet("P1", 2),
        )
        .await
        .unwrap();
    until("both deliveries", async || {
        (place
            .value("SELECT count(*) FROM delivery WHERE state = 'delivered'")
            .await
            == "2")
            .then_some(())
    })
    .await;
    let said = place.run(&["sums"]).await;
    let out: String = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    // Two lines of 10,740.00 yuan: 21,120.00 medical, 360.00 LTC.
    for expected in [
        "packets in force, as receipted 有效报文包（回执） 21,480.00",
        "treasury, in the journal 国库（分录） 21,480.00",
        "lines in force, both funds 有效明细（两基金） 21,480.00",
        "of it medical 其中医保 21,120.00",
        "of it long_term_care 其中长护险 360.00",
        "ltc-system contributions 360.00 360.00 0.00 0.00 0.00",
        "medical-core contributions 21,120.00 21,120.00 0.00 0.00 0.00",
        "✔ the three sums of the books agree to the fen",
    ] {
        assert!(out.contains(expected), "{expected} is not in {}", said.out);
    }
    place
        .value("UPDATE packet SET received_fen = received_fen - 1, posted_fen = posted_fen - 1")
        .await;
    let said = place.run(&["sums"]).await;
    assert!(
        said.status.code() == Some(1) && said.out.contains("✘ the three sums of the books differ"),
        "{}",
        said.out
    );
}
