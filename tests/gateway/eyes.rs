//! Four eyes on a month's deductions: the approver is provably not the planner, and no plan takes another's place unsaid.

use data_encoding::HEXLOWER;

use ltcgw::flow::deduct::{DeductionRefusal, Desk};
use ltcgw::model::signer::{Login, Proof, Signer};
use ltcgw::store::deduction::{Cycle, CycleState};

use crate::office::{Office, october};
use crate::support::{Gateway, receipt};

fn login(name: &str, uid: u32, host: &str) -> Option<Login> {
    Some(Login {
        name: name.into(),
        uid: Some(uid),
        host: Some(host.into()),
        proof: Proof::Audit,
    })
}

fn signer(name: &str, login: Option<Login>) -> Signer {
    Signer::new(name, login).expect("a name")
}

fn text(refusal: Result<Cycle, DeductionRefusal>) -> String {
    refusal.expect_err("a refusal").fault.text
}

/// A desk that wants two logins.
fn strict(office: &Office) -> Desk {
    Desk {
        same_login: false,
        ..office.desk.clone()
    }
}

#[tokio::test]
async fn whoever_planned_approves_under_no_name_and_no_other_account_of_theirs() {
    let office = Office::with_roster().await;
    let desk = strict(&office);
    let plan = desk
        .plan(october(), &signer("Li", login("li", 1000, "gw1")))
        .await
        .expect("a plan");
    let digest = HEXLOWER.encode(&plan.digest);
    for (name, login, expected) in [
        (
            "Wang",
            login("li", 1000, "gw1"),
            "the plan for 450100 2021-10 was made under the login li (audit, gw1)",
        ),
        (
            "Wang",
            login("LI", 1001, "gw2"),
            "the same login shows no second person",
        ),
        (
            "Wang",
            login("alias", 1000, "gw1"),
            "the same login shows no second person",
        ),
        ("Wang", None, "no login shows who approves"),
        ("ｌｉ", login("wang", 1001, "gw1"), "Li made the plan"),
    ] {
        let refused = text(desk.approve(october(), &signer(name, login), &digest).await);
        assert!(refused.contains(expected), "{name}: {refused}");
    }
    let approved = desk
        .approve(
            october(),
            &signer("Wang", login("wang", 1001, "gw1")),
            &digest,
        )
        .await
        .expect("an approval");
    assert!(!approved.same_login);
    let kept = "SELECT planned_login, planned_uid, planned_host, planned_proof, approved_login, approved_uid, same_login FROM deduction_cycle";
    assert_eq!(office.sql(kept).await, "li 1000 gw1 audit wang 1001 f");
    desk.run(october(), &signer("Li", login("li", 1000, "gw1")))
        .await
        .expect("a run");
}

#[tokio::test]
async fn one_login_for_both_is_recorded_and_runs_only_where_the_configuration_allows_it() {
    let office = Office::with_roster().await;
    let li = login("li", 1000, "gw1");
    let plan = office
        .desk
        .plan(october(), &signer("Li", li.clone()))
        .await
        .expect("a plan");
    let approved = office
        .desk
        .approve(
            october(),
            &signer("Wang", None),
            &HEXLOWER.encode(&plan.digest),
        )
        .await
        .expect("an approval");
    assert!(approved.same_login);
    assert_eq!(
        office
            .sql("SELECT state, same_login, approved_login FROM deduction_cycle")
            .await,
        "approved t -"
    );
    let refused = text(
        strict(&office)
            .run(october(), &signer("Li", li.clone()))
            .await,
    );
    assert!(refused.contains("no login shows who approves"), "{refused}");
    office
        .desk
        .run(october(), &signer("Li", li))
        .await
        .expect("a run");
}

#[tokio::test]
async fn a_plan_made_under_no_login_is_approved_by_nobody_until_it_is_planned_again() {
    let office = Office::with_roster().await;
    let desk = strict(&office);
    let plan = desk
        .plan(october(), &signer("Li", None))
        .await
        .expect("a plan");
    let digest = HEXLOWER.encode(&plan.digest);
    let wang = signer("Wang", login("wang", 1001, "gw1"));
    let refused = text(desk.approve(october(), &wang, &digest).await);
    assert!(
        refused.contains(&format!("--replace {}", &digest[..8])),
        "{refused}"
    );
    let again = desk
        .plan_in_place(
            october(),
            &signer("Li", login("li", 1000, "gw1")),
            &digest[..8],
        )
        .await
        .expect("a plan");
    assert_eq!(
        (again.replaces, again.digest),
        (Some(plan.cycle_id), plan.digest)
    );
    desk.approve(october(), &wang, &digest)
        .await
        .expect("an approval");
}

#[tokio::test]
async fn a_plan_takes_anothers_place_and_says_so() {
    let office = Office::with_roster().await;
    let desk = &office.desk;
    let (li, wang) = (signer("Li", None), signer("Wang", None));
    let first = desk.plan(october(), &li).await.expect("a plan");
    desk.approve(october(), &wang, &HEXLOWER.encode(&first.digest))
        .await
        .expect("an approval");
    // The same content: it stays as it was, with its approval.
    let same = desk
        .plan(october(), &wang)
        .await
        .expect("the plan there is");
    assert_eq!(
        (
            same.cycle_id,
            same.state,
            same.planned_by.as_str(),
            same.replaces
        ),
        (first.cycle_id, CycleState::Approved, "Li", None)
    );
    office
        .sql("UPDATE roster_entry SET base_fen = 400100 WHERE person_no = 'P1'")
        .await;
    assert!(
        text(desk.plan_in_place(october(), &wang, "00000000").await)
            .contains("the one given is another")
    );
    assert_eq!(
        office.sql("SELECT state FROM deduction_cycle").await,
        "approved"
    );
    let second = desk.plan(october(), &wang).await.expect("a plan");
    assert_eq!(
        (second.state, second.replaces),
        (CycleState::Planned, Some(first.cycle_id))
    );
    let named = desk
        .replaced_by(&second)
        .await
        .expect("a database")
        .expect("the earlier plan");
    assert_eq!(
        (named.cycle_id, named.approved_by.as_deref()),
        (first.cycle_id, Some("Wang"))
    );
    assert_eq!(
        office
            .sql("SELECT state, planned_by FROM deduction_cycle ORDER BY cycle_id")
            .await,
        "replaced Li; planned Wang"
    );
    // Who looked at the first one approves nothing.
    let refused = text(
        desk.approve(october(), &li, &HEXLOWER.encode(&first.digest))
            .await,
    );
    assert!(
        refused.contains("counts no more: Wang put another in its place"),
        "{refused}"
    );
    assert!(text(desk.run(october(), &li).await).contains("is not approved"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_plans_under_its_certificate_and_is_told_which_plan_it_replaced() {
    let gateway = Gateway::start().await;
    gateway.value("INSERT INTO roster_entry SELECT 450100, 'P' || n, 202101, 1, 'active', true, 'E1', 450102, 400000 FROM generate_series(1, 5) n").await;
    let client = gateway.stage.client("medical-core").expect("a client");
    let post = async |body: String| {
        receipt(
            client
                .post(gateway.url("/core/v1/deduction-cycles"))
                .body(body)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    };
    let (status, first) = post(r#"{"area":"450100","month":"2021-10"}"#.into()).await;
    assert_eq!(status, 201, "{first}");
    gateway
        .value("UPDATE roster_entry SET base_fen = 500000 WHERE person_no = 'P1'")
        .await;
    let digest = serde_json::from_str::<serde_json::Value>(&first).expect("JSON")["digest"]
        .as_str()
        .expect("text")
        .to_owned();
    let (status, refused) =
        post(r#"{"area":"450100","month":"2021-10","replaces":"00000000"}"#.into()).await;
    assert!(status == 409 || status == 422, "{status} {refused}");
    assert_eq!(
        gateway.value("SELECT state FROM deduction_cycle").await,
        "planned"
    );
    let (status, second) = post(r#"{"area":"450100","month":"2021-10"}"#.into()).await;
    assert_eq!(status, 201, "{second}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&second).expect("JSON")["replaces"]["digest"],
        digest.as_str()
    );
    let digest = serde_json::from_str::<serde_json::Value>(&second).expect("JSON")["digest"]
        .as_str()
        .expect("text")
        .to_owned();
    let desk = Desk {
        same_login: false,
        ..Desk::of(&gateway.running.gateway)
    };
    desk.approve(
        october(),
        &signer("Wang", login("wang", 1001, "gw1")),
        &digest,
    )
    .await
    .expect("an approval");
    let kept = "SELECT planned_login, planned_proof, approved_login, same_login FROM deduction_cycle WHERE state = 'approved'";
    assert_eq!(
        gateway.value(kept).await,
        "partner medical-core certificate wang f"
    );
}
