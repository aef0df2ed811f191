//! A person with several insurance relations: charged once a month on a base somebody decided, or left out by name.

use ltcgw::flow::clock::CityClock;
use ltcgw::flow::deduct::{Desk, Of};
use ltcgw::model::Month;
use ltcgw::sandbox::stage::Scene;
use ltcgw::store::relation::Choice;
use serde_json::Value;

use crate::office::plan_anew;
use crate::support::Gateway;

const BOTH: &str = "45010000000000009401";
const IN_FORCE: &str = "SELECT DISTINCT ON (person_no) right(person_no, 4), category, base_fen, undecided FROM roster_entry
    ORDER BY person_no, from_month DESC, roster_id DESC";

/// Two lines of one person and one of another.
fn lines() -> Vec<String> {
    let path =
        crate::support::project().join("tests/gateway/documents/two-relations/roster.ndjson");
    std::fs::read_to_string(path)
        .expect("the document")
        .lines()
        .map(str::to_string)
        .collect()
}

async fn november(change: impl FnOnce(Scene) -> Scene) -> Gateway {
    let clock = CityClock::default();
    clock.set_day(jiff::civil::date(2021, 11, 15));
    Gateway::at(clock, change).await
}

async fn send(gateway: &Gateway, query: &str, lines: &[String]) -> Value {
    let client = gateway.stage.client("medical-core").expect("a client");
    let body = lines.join("\n") + "\n";
    let answer = client
        .post(gateway.url(&format!("/core/v1/roster?area=450100&{query}")))
        .body(body)
        .send()
        .await
        .expect("an answer");
    let reply: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_eq!(reply["infcode"], 0, "{reply}");
    reply["output"].clone()
}

/// Received, taken, refused, left, people undecided.
fn counts(reply: &Value) -> [i64; 5] {
    ["received", "taken", "refused", "left", "undecided"].map(|name| {
        reply[name]
            .as_i64()
            .unwrap_or_else(|| panic!("no {name} in {reply}"))
    })
}

/// Records listed as several relations of one person.
fn listed(reply: &Value) -> Vec<i64> {
    reply["several_relations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|line| line["record"].as_i64())
        .collect()
}

/// People to be deducted from, and who is left out why.
async fn plan(gateway: &Gateway, month: &str) -> (i32, String) {
    let desk = Desk {
        clock: CityClock::default(),
        ..Desk::of(&gateway.running.gateway)
    };
    let of = Of {
        area: 450_100,
        month: Month::parse(month).expect("a month"),
    };
    let cycle = plan_anew(&desk, of, "anna").await;
    let left_out = format!(
        "SELECT right(person_no, 4), reason, due_fen FROM deduction_left_out WHERE cycle_id = {} ORDER BY 1",
        cycle.cycle_id
    );
    (cycle.people, gateway.value(&left_out).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_charged_by_the_order_of_lines_until_somebody_decides() {
    let gateway = november(|scene| scene).await;
    let mut lines = lines();
    for (query, month) in [
        ("roster_no=R1&kind=full&month=202110", "202110"),
        ("roster_no=R2&kind=changes&month=202110", "202110"),
        ("roster_no=R3&kind=full&month=202111", "202111"),
    ] {
        let reply = send(&gateway, query, &lines).await;
        assert_eq!(counts(&reply), [3, 1, 2, 0, 1], "{reply}");
        assert_eq!(listed(&reply).len(), 2, "{reply}");
        assert_eq!(
            reply["refused_lines"].as_array().map(Vec::len),
            Some(0),
            "listed apart from what is wrong: {reply}"
        );
        assert!(
            reply["notice"]
                .as_str()
                .is_some_and(|text| text.contains("1 people with several insurance relations")),
            "{reply}"
        );
        assert!(!reply.to_string().contains(BOTH), "{reply}");
        assert_eq!(
            gateway.value(IN_FORCE).await,
            "9401 active 500000 t; 9402 active 500000 f",
            "whichever line comes first"
        );
        assert_eq!(
            plan(&gateway, month).await,
            (1, "9401 two_relations 0".into())
        );
        lines.swap(0, 1);
    }

    // A person decides once: for the rosters there are, and for those that state the same again.
    let store = &gateway.running.gateway.store;
    let open = store.open_relations(450_100).await.expect("relations");
    assert_eq!(
        open.iter()
            .map(|one| (one.roster_no.as_str(), one.person_no.as_str(), one.base.0))
            .collect::<Vec<_>>(),
        [("R3", BOTH, 500_000), ("R3", BOTH, 420_000)]
    );
    let second = open
        .iter()
        .find(|one| one.base.0 == 420_000)
        .expect("the second employer")
        .relation_id;
    assert_eq!(
        store
            .choose_relation(second, "anna")
            .await
            .expect("decided"),
        Choice::Made(3)
    );
    assert_eq!(
        store
            .choose_relation(open[0].relation_id, "ben")
            .await
            .expect("an answer"),
        Choice::Decided(Some("anna".into()))
    );
    assert_eq!(
        store
            .choose_relation(999_999, "ben")
            .await
            .expect("an answer"),
        Choice::Unknown
    );
    assert_eq!(store.open_relations(450_100).await.expect("relations"), []);
    assert_eq!(
        gateway.value(IN_FORCE).await,
        "9401 active 420000 f; 9402 active 500000 f"
    );
    assert_eq!(plan(&gateway, "202110").await, (2, String::new()));
    assert_eq!(plan(&gateway, "202111").await, (2, String::new()));

    let reply = send(&gateway, "roster_no=R4&kind=full&month=202111", &lines).await;
    assert_eq!(
        (counts(&reply), listed(&reply).len()),
        ([3, 2, 1, 0, 0], 1),
        "{reply}"
    );
    assert!(
        reply["several_relations"][0]["reason"]
            .as_str()
            .is_some_and(|text| text.contains("as a person decided before")),
        "{reply}"
    );
    assert_eq!(
        gateway.value(IN_FORCE).await,
        "9401 active 420000 f; 9402 active 500000 f"
    );
    let asked = "SELECT sum(base_fen) FROM deduction_total JOIN deduction_cycle USING (cycle_id) WHERE state = 'planned' AND month = 202111";
    plan(&gateway, "202111").await;
    assert_eq!(gateway.value(asked).await, (420_000 + 500_000).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_several_relations_has_not_left() {
    let gateway = november(|scene| scene).await;
    let lines = lines();
    send(
        &gateway,
        "roster_no=R1&kind=full&month=202110",
        &[lines[0].clone(), lines[2].clone()],
    )
    .await;
    let reply = send(&gateway, "roster_no=R2&kind=full&month=202111", &lines).await;
    assert_eq!(counts(&reply), [3, 1, 2, 0, 1], "{reply}");
    // October was decided by a roster that named one relation, November is open.
    assert_eq!(plan(&gateway, "202110").await, (2, String::new()));
    assert_eq!(
        plan(&gateway, "202111").await,
        (1, "9401 two_relations 0".into())
    );
    // One line again decides by itself.
    let reply = send(
        &gateway,
        "roster_no=R3&kind=full&month=202111",
        &[lines[1].clone(), lines[2].clone()],
    )
    .await;
    assert_eq!(counts(&reply), [2, 2, 0, 0, 0], "{reply}");
    assert_eq!(plan(&gateway, "202111").await, (2, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapters_rule_decides_where_it_tells_relations_apart() {
    let own = tempfile::tempdir().expect("a folder");
    let gateway = november(|scene| {
        let adapters = crate::support::project().join("adapters");
        crate::support::copy_folder(&adapters, own.path());
        let manifest = own.path().join("medical-core/adapter.toml");
        let text = std::fs::read_to_string(&manifest).expect("a manifest");
        let ruled = text.replacen(
            "receipt = \"roster_receipt\"\n",
            "receipt = \"roster_receipt\"\none_relation_by = [\"employed\", \"highest_base\"]\n",
            1,
        );
        std::fs::write(&manifest, ruled).expect("written");
        scene.edit(
            &adapters.display().to_string(),
            &own.path().display().to_string(),
        )
    })
    .await;
    let mut lines = lines();
    for roster in ["R1", "R2"] {
        let reply = send(
            &gateway,
            &format!("roster_no={roster}&kind=full&month=202110"),
            &lines,
        )
        .await;
        assert_eq!(
            (counts(&reply), listed(&reply).len()),
            ([3, 2, 1, 0, 0], 1),
            "{reply}"
        );
        assert!(
            reply["several_relations"][0]["reason"]
                .as_str()
                .is_some_and(|text| text.contains("by the rule (employed, highest_base)")),
            "{reply}"
        );
        assert_eq!(
            gateway.value(IN_FORCE).await,
            "9401 active 500000 f; 9402 active 500000 f"
        );
        lines.swap(0, 1);
    }
    // An employee who has a pension besides, on a higher base; and equal bases of two employers, which the rule cannot tell apart.
    let pension = lines[0]
        .replace("\"11\"", "\"12\"")
        .replace("5000.00", "9000.00");
    let reply = send(
        &gateway,
        "roster_no=R3&kind=changes&month=202110",
        &[pension, lines[1].clone()],
    )
    .await;
    assert_eq!(counts(&reply), [2, 1, 1, 0, 0], "{reply}");
    assert_eq!(
        gateway.value(IN_FORCE).await,
        "9401 active 420000 f; 9402 active 500000 f"
    );
    let alike = lines
        .iter()
        .map(|line| line.replace("4200.00", "5000.00"))
        .collect::<Vec<_>>();
    let reply = send(&gateway, "roster_no=R4&kind=changes&month=202110", &alike).await;
    assert_eq!(counts(&reply), [3, 1, 2, 0, 1], "{reply}");
}
