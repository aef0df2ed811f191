//! `trace` and `dead`, beside a running gateway.

use ltcgw::flow::clock::CityClock;
use ltcgw::sandbox::partners::Behaviour;
use ltcgw::sandbox::registries::Registries;

use crate::support::{Place, packet, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_traced_from_its_packet_to_its_deliveries() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    until("both deliveries", async || {
        (place
            .value("SELECT count(*) FROM delivery WHERE state = 'delivered'")
            .await
            == "2")
            .then_some(())
    })
    .await;
    let said = place.run(&["trace", "P1-1"]).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    for expected in [
        "packet P1 from nanning-tax (employer_collection)",
        "2 lines: 2 posted, 0 refused, 0 duplicate · 21,480.00 yuan",
        "line P1-1 (record 2), receipt 445016211000004711",
        "apportioned by rate 450100/employer/2021-03: medical fund 10,560.00 · long-term care fund 180.00",
        "line 2 of this employer, district and month, split by the sum of all: 21,480.00 with it, medical fund 21,120.00 · long-term care fund 360.00;",
        "treasury",
        "medical-core",
        "ltc-system",
        "delivered",
    ] {
        let out = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains(expected), "{expected} is not in {}", said.out);
    }
    let by_receipt = place.run(&["trace", "445016211000004711"]).await;
    assert!(
        by_receipt.out.contains("line P1-0") && by_receipt.out.contains("line P1-1"),
        "{}",
        by_receipt.out
    );
    let by_packet = place.run(&["trace", "P1"]).await;
    assert!(
        by_packet.out.contains("packet P1") && !by_packet.out.contains("line P1-0"),
        "{}",
        by_packet.out
    );
    let unknown = place.run(&["trace", "P9"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        unknown.err.contains("nothing is stored under P9."),
        "{}",
        unknown.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_refused_whole_is_traced_with_the_reason() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    let mut whole = Vec::from(&packet("P7", 2));
    let announced = whole
        .windows(6)
        .position(|bytes| bytes == b"<JLS>2")
        .expect("a record count");
    whole[announced + 5] = b'3';
    let answer = client
        .post(serving.packets_url())
        .body(whole)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    let said = place.run(&["trace", "P7"]).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    for expected in [
        "packet P7 from nanning-tax",
        "refused whole with status 400",
        "its number is free",
    ] {
        assert!(
            said.out.contains(expected),
            "{expected} is not in {}",
            said.out
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_delivery_is_listed_shown_and_delivered_once_a_person_says_so() {
    let (place, _core, ltc) = Place::with_partners(|scene| scene);
    ltc.will([Behaviour::Refuse("unknown_district".into())]);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    let dead =
        "SELECT delivery_id FROM delivery WHERE state = 'dead' AND destination = 'ltc-system'";
    let id = until("the refusal", async || {
        Some(place.value(dead).await).filter(|id| !id.is_empty())
    })
    .await;
    let list = place.run(&["dead", "list"]).await;
    assert!(
        list.out.contains(&id)
            && list.out.contains("ltc-system")
            && list.out.contains("unknown_district"),
        "{}",
        list.out
    );
    let other = place.run(&["dead", "list", "--to", "medical-core"]).await;
    assert_eq!(other.out, "no dead letters\n");
    let show = place.run(&["dead", "show", &id]).await;
    assert!(
        show.out
            .starts_with(&format!("delivery {id} to ltc-system: dead\n"))
            && show.out.contains("rejected HTTP 4"),
        "{}",
        show.out
    );
    assert!(
        !show.out.contains("P1-0"),
        "what was sent is not shown: {}",
        show.out
    );

    let wrong = place.run(&["dead", "retry", &id, "--delivered"]).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        wrong.err.contains("was not taken by the partner"),
        "{}",
        wrong.err
    );
    let retry = place.run(&["dead", "retry", &id]).await;
    assert_eq!(retry.status.code(), Some(0), "{}", retry.err);
    let state = format!("SELECT state FROM delivery WHERE delivery_id = {id}");
    until("the delivery", async || {
        (place.value(&state).await == "delivered").then_some(())
    })
    .await;
    assert_eq!(ltc.totals().lines, 2);
    let again = place.run(&["dead", "retry", &id]).await;
    assert!(
        again
            .err
            .contains(&format!("delivery {id} is delivered, not dead")),
        "{}",
        again.err
    );
    let none = place.run(&["dead", "show", "999999"]).await;
    assert!(
        none.err.contains("there is no delivery 999999"),
        "{}",
        none.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_dead_letters_of_one_partner_are_retried_together() {
    let (place, core, ltc) = Place::with_partners(|scene| scene);
    core.will([Behaviour::Refuse("-1".into())]);
    ltc.will([Behaviour::Refuse("unknown_district".into())]);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    let states = "SELECT destination, state FROM delivery ORDER BY 1";
    until("both refusals", async || {
        (place.value(states).await == "ltc-system dead; medical-core dead").then_some(())
    })
    .await;
    let retry = place
        .run(&["dead", "retry", "--all", "--to", "ltc-system"])
        .await;
    assert_eq!(retry.status.code(), Some(0), "{}", retry.err);
    assert!(
        retry.out.starts_with("1 deliveries will be tried again"),
        "{}",
        retry.out
    );
    until("the delivery", async || {
        (place.value(states).await == "ltc-system delivered; medical-core dead").then_some(())
    })
    .await;
    assert_eq!(
        place.run(&["dead", "retry"]).await.status.code(),
        Some(2),
        "one or all must be said"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_pause_is_seen_by_command_metric_and_doctor_and_lifted() {
    let (place, _core, ltc) = Place::with_partners(|scene| scene);
    ltc.will([Behaviour::TooMany(4_000_000_000)]);
    let serving = place.serve().await;
    let client = place.stage.client("nanning-tax").unwrap();
    serving.send(&client, &packet("P1", 2)).await.unwrap();
    let paused = "SELECT pause_reason FROM dispatcher_lease WHERE destination = 'ltc-system' AND paused_until < now() + interval '25 hours'";
    until("the pause", async || {
        (place.value(paused).await == "later").then_some(())
    })
    .await;
    let list = place.run(&["destinations", "list"]).await;
    let line = list
        .out
        .lines()
        .find(|line| line.trim_start().starts_with("ltc-system"))
        .unwrap_or_else(|| panic!("{}", list.out));
    assert!(
        line.contains("paused until 20") && line.ends_with(": it says later"),
        "{line}"
    );
    let metric = "ltcgw_destination_paused{destination=\"ltc-system\",reason=\"later\"} 1";
    until("the metric", async || {
        serving
            .operator("/metrics")
            .await
            .filter(|(_, text)| text.contains(metric))
            .map(drop)
    })
    .await;
    let doctor = place.run(&["doctor"]).await;
    let text = doctor.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("destination ltc-system paused until 20")
            && text.contains(": it says later →"),
        "{}",
        doctor.out
    );

    let why = ["--by", "Li Na", "--reason", "absurd"];
    let unknown = place
        .run(&[&["destinations", "resume", "ltc-sistem"][..], &why].concat())
        .await;
    assert!(
        unknown.status.code() == Some(1)
            && unknown
                .err
                .contains("nothing was ever sent to a destination `ltc-sistem`"),
        "{}",
        unknown.err
    );
    let asked = place
        .run(&[&["destinations", "resume", "ltc-system"][..], &why].concat())
        .await;
    assert!(asked.out.contains("nothing is done yet"), "{}", asked.err);
    let digest = asked
        .out
        .split_once("--digest ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let resume = place
        .run(&[
            "approval", "approve", "1", "--by", "Wang Wei", "--digest", &digest,
        ])
        .await;
    assert_eq!(
        resume.out,
        "request 1: the pause of ltc-system is lifted; deliveries go on within seconds\n",
        "{}",
        resume.err
    );
    let state = "SELECT state FROM delivery WHERE destination = 'ltc-system'";
    until("the delivery", async || {
        (place.value(state).await == "delivered").then_some(())
    })
    .await;
    let list = place.run(&["destinations", "list"]).await;
    assert!(
        list.out
            .lines()
            .any(|line| line.trim_start().starts_with("ltc-system") && line.ends_with("works")),
        "{}",
        list.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_version_is_left_alone() {
    let (place, _core, _ltc) = Place::with_partners(|scene| scene);
    let _serving = place.serve().await;
    place
        .value("INSERT INTO refinery_schema_history VALUES (999, 'later', '', '0')")
        .await;
    for command in [&["trace", "P1"][..], &["dead", "list"]] {
        let said = place.run(command).await;
        assert_eq!(said.status.code(), Some(1));
        assert!(
            said.err
                .contains("the database has schema 999, this version works with"),
            "{}",
            said.err
        );
    }
    let doctor = place.run(&["doctor"]).await;
    assert_eq!(doctor.status.code(), Some(1));
    assert!(
        doctor
            .out
            .contains("schema 999, made by a later version of ltcgw"),
        "{}",
        doctor.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_they_say_what_is_missing() {
    let place = Place::new();
    for command in [&["trace", "P1"][..], &["dead", "list"]] {
        let said = place.run(command).await;
        assert_eq!(said.status.code(), Some(1));
        assert!(said.err.contains("start the gateway first"), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_says_how_much_it_queues_when_it_ends_and_that_everything_was_sent() {
    let (place, _core, _ltc) = Place::with_partners(|scene| {
        scene
            .edit(
                "requests_per_second = 5\nburst = 10",
                "requests_per_second = 2\n#",
            )
            .edit(
                "receives = [\"institutions\", \"caregivers\"]",
                "receives = []",
            )
    });
    let mut serving = place.serve().await;
    let lines: Vec<String> = Registries::of_size(1, CityClock::default().today(), (87, 400))
        .submissions()
        .map(|one| serde_json::to_string(&one).unwrap() + "\n")
        .collect();
    let client = place.stage.client("ltc-system").unwrap();
    let loaded = client
        .post(
            serving
                .packets_url()
                .replace("/tax/v1/packets", "/ltc/v1/registry"),
        )
        .body(lines.concat())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        loaded.contains("\"stored\":487,"),
        "{}",
        loaded.lines().last().unwrap_or_default()
    );
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    serving.ended().await;
    // From now on civil affairs is told; the gateway is started again.
    let file = place.stage.config_dir.join("partners.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replacen(
            "receives = []",
            "receives = [\"institutions\", \"caregivers\"]",
            1,
        ),
    )
    .unwrap();
    let _serving = place.serve().await;
    let said = place.run(&["backfill", "--to", "civil-affairs"]).await;
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    let queued: usize = said
        .out
        .split_once("queued ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((300..487).contains(&queued), "{}", said.out);
    // At two requests a second of up to fifty records.
    assert!(
        said.out.contains("(Asia/Shanghai) at the earliest")
            && said.out.ends_with("everything was sent\n"),
        "{}",
        said.out
    );
    let again = place
        .run(&["backfill", "--to", "civil-affairs", "--no-wait"])
        .await;
    assert!(
        again.out.contains("queued 0 deliveries to civil-affairs"),
        "{}",
        again.out
    );
}
