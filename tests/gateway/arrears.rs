//! What a month leaves open is owed until it is made up, whatever becomes of the person meanwhile.

use ltcgw::flow::deduct::Of;
use ltcgw::flow::transfer::Transfer;
use ltcgw::model::Fen;
use ltcgw::model::deduction::DeductionOutcome::{
    self, AccountFrozen, Deceased, Deducted, InsufficientBalance, PersonUnknown,
};
use ltcgw::model::told::{PersonResult, Results};
use ltcgw::store::deduction::Cycle;
use ltcgw::store::delivery::Batch;

use crate::office::{Office, month, november, october};

fn december() -> Of {
    Of {
        month: month(12),
        ..october()
    }
}

/// An office whose medical core answers at once, as it is told to.
struct Play {
    office: Office,
    transfer: Transfer,
}

impl Play {
    /// Everybody named is active with a base of 10,000.00 from October on, so each month is 15.00.
    async fn with(people: &[&str]) -> Play {
        let office = Office::open().await;
        for person in people {
            office.sql(&format!("INSERT INTO roster_entry VALUES (450100, '{person}', 202110, 1, 'active', true, 'E1', 450102, 1000000)")).await;
        }
        let transfer = Transfer {
            store: office.desk.store.clone(),
            partners: office.desk.partners.clone(),
        };
        Play { office, transfer }
    }

    /// The month from plan to the last answer: `deducted` of everybody who is not named, under the handling of shortfalls given.
    async fn month(&self, of: Of, handling: &str, answers: &[(&str, DeductionOutcome)]) -> Cycle {
        self.office.approved(of).await;
        let cycle = self.office.run(of).await.expect("a run");
        self.office
            .sql(&format!(
                "UPDATE deduction_rate SET shortfall = '{handling}' WHERE cycle_id = {}",
                cycle.cycle_id
            ))
            .await;
        self.answer(&cycle, answers).await;
        cycle
    }

    /// Everybody of the cycle's last round is answered.
    async fn answer(&self, cycle: &Cycle, answers: &[(&str, DeductionOutcome)]) {
        let batches = self
            .office
            .sql(&format!(
                "SELECT batch_no FROM deduction_batch WHERE cycle_id = {} AND answered_at IS NULL",
                cycle.cycle_id
            ))
            .await;
        for batch_no in batches.split("; ") {
            let batch = Batch {
                cycle_id: cycle.cycle_id,
                batch_no: batch_no.parse().expect("a number"),
            };
            let (_, asked) = self
                .transfer
                .store
                .batch_asked(batch)
                .await
                .expect("the database answers")
                .expect("a batch");
            let told = asked.iter().enumerate().map(|(at, asked)| {
                let outcome = answers
                    .iter()
                    .find(|(person, _)| *person == asked.person_no)
                    .map_or(Deducted, |(_, outcome)| *outcome);
                let fen = if outcome == Deducted {
                    asked.fen
                } else {
                    Fen::ZERO
                };
                PersonResult {
                    index: at as u64 + 1,
                    person_no: asked.person_no.clone(),
                    outcome,
                    fen,
                    parts: None,
                    balance: None,
                }
            });
            let results = Results {
                told: told.collect(),
                ..Results::default()
            };
            let summary = self
                .transfer
                .take_in(batch, "medical-core", &results)
                .await
                .expect("the database answers")
                .expect("a batch that runs");
            assert!(summary.odd.is_empty() && summary.whole, "{summary:?}");
        }
        assert_eq!(
            self.office
                .sql(&format!(
                    "SELECT state FROM deduction_cycle WHERE cycle_id = {}",
                    cycle.cycle_id
                ))
                .await,
            "settled"
        );
    }

    /// What a cycle asked of whom: person, own due, carried.
    async fn asked(&self, cycle: &Cycle) -> String {
        self.office.sql(&format!("SELECT person_no, due_fen, carried_fen FROM deduction WHERE cycle_id = {} ORDER BY 1", cycle.cycle_id)).await
    }

    async fn posted(&self, cycle: &Cycle) -> String {
        let sql = "SELECT district, contribution_month, -sum(fen) FROM posting JOIN entry USING (entry_id)
            WHERE account = 'fund' AND cycle_id = $1 GROUP BY 1, 2 ORDER BY 1, 2";
        self.office
            .sql(&sql.replace("$1", &cycle.cycle_id.to_string()))
            .await
    }
}

#[tokio::test]
async fn arrears_outlive_a_month_in_which_the_person_is_unknown_dead_waived_or_without_an_account()
{
    let play = Play::with(&[
        "AGAIN",
        "AT-EASE",
        "DEAD",
        "FROZEN",
        "NO-ACCOUNT",
        "UNKNOWN",
        "WAIVED",
    ])
    .await;
    let poor = ["AGAIN", "DEAD", "FROZEN", "NO-ACCOUNT", "UNKNOWN", "WAIVED"]
        .map(|person| (person, InsufficientBalance));
    play.month(october(), "carry_over", &poor).await;
    play.office
        .sql(
            "INSERT INTO roster_entry VALUES (450100, 'NO-ACCOUNT', 202111, 2, 'active', false, 'E1', 450102, 1000000),
                (450100, 'WAIVED', 202111, 2, 'retired', true, NULL, 450102, 1000000), (450100, 'NO-ACCOUNT', 202112, 3, 'active', true, 'E1', 450102, 1000000),
                (450100, 'AGAIN', 202112, 3, 'active', true, 'E1', 450103, 1000000)",
        )
        .await;
    let plan = play.office.approved(november()).await;
    assert_eq!((plan.people, plan.fen.0), (6, 6 * 1_500 + 5 * 1_500));
    let second = play.office.run(november()).await.expect("a run");
    play.office
        .sql("UPDATE deduction_rate SET shortfall = 'waive' WHERE rate_id LIKE '%retired'")
        .await;
    let answers = [
        ("AGAIN", InsufficientBalance),
        ("FROZEN", AccountFrozen),
        ("UNKNOWN", PersonUnknown),
        ("DEAD", Deceased),
        ("WAIVED", InsufficientBalance),
    ];
    play.answer(&second, &answers).await;
    let kept =
        "SELECT person_no, fen, handling, carried_into IS NULL FROM shortfall WHERE cycle_id = ";
    let kept = play
        .office
        .sql(&format!("{kept}{} ORDER BY 1", second.cycle_id))
        .await;
    assert_eq!(
        kept, "AGAIN 1500 carry_over t; FROZEN 1500 carry_over t; WAIVED 1500 waive t",
        "each by its own month's rule, of its own due alone"
    );

    let third = play.month(december(), "carry_over", &[]).await;
    let expected = "AGAIN 1500 3000; AT-EASE 1500 0; DEAD 1500 1500; FROZEN 1500 3000; NO-ACCOUNT 1500 1500; UNKNOWN 1500 1500; WAIVED 1500 1500";
    assert_eq!(play.asked(&third).await, expected);
    assert_eq!(
        play.posted(&third).await,
        format!(
            "450102 202110 {}; 450102 202111 {}; 450102 202112 {}; 450103 202112 1500",
            6 * 1_500,
            2 * 1_500,
            6 * 1_500
        ),
        "each month under its own month and the district of that time"
    );
    let batch = Batch {
        cycle_id: third.cycle_id,
        batch_no: 1,
    };
    let (_, told) = play
        .transfer
        .store
        .batch_results(batch)
        .await
        .expect("the database answers")
        .expect("a batch");
    let made_up: Vec<_> = told[0]
        .made_up
        .iter()
        .map(|carried| (carried.month.number(), carried.fen.0))
        .collect();
    assert_eq!(
        (told[0].person_no.as_str(), told[0].fen.0, made_up),
        ("AGAIN", 4_500, vec![(202_110, 1_500), (202_111, 1_500)])
    );
    assert_eq!(
        play.office
            .sql("SELECT person_no FROM shortfall WHERE carried_into IS NULL")
            .await,
        "WAIVED",
        "nothing but what a rule waives is left"
    );
}

#[tokio::test]
async fn a_retry_asks_for_what_no_other_month_asks_for_meanwhile() {
    let play = Play::with(&["LATER", "NOW"]).await;
    let both = ["LATER", "NOW"].map(|person| (person, InsufficientBalance));
    play.month(october(), "carry_over", &both).await;
    let second = play.month(november(), "retry", &both).await;
    assert_eq!(play.asked(&second).await, "LATER 1500 1500; NOW 1500 1500");
    let again = async |cycle: &Cycle| {
        let (retried, people) = play.office.desk.retry(november()).await.expect("a round");
        let sql = format!(
            "SELECT person_no, due_fen, carried_fen FROM deduction_again WHERE cycle_id = {} AND round = {}",
            cycle.cycle_id, retried.rounds
        );
        (
            retried,
            people,
            play.office.sql(&format!("{sql} ORDER BY 1")).await,
        )
    };
    // November is tried again at once: with October, which nobody else asks for.
    let (round, people, asked) = again(&second).await;
    assert_eq!(
        (people, asked.as_str()),
        (2, "LATER 1500 1500; NOW 1500 1500")
    );
    play.answer(&round, &[("LATER", InsufficientBalance)]).await;
    assert_eq!(
        play.posted(&second).await,
        "450102 202110 1500; 450102 202111 1500"
    );
    // December asks for the October of whoever still owes it, so that November's next round does not.
    let third = play.month(december(), "carry_over", &[]).await;
    assert_eq!(play.asked(&third).await, "LATER 1500 1500; NOW 1500 0");
    let (round, people, asked) = again(&second).await;
    assert_eq!((people, asked.as_str()), (1, "LATER 1500 0"));
    assert_eq!(
        play.office
            .sql("SELECT people, fen FROM deduction_batch WHERE round = 3")
            .await,
        "1 1500"
    );
    play.answer(&round, &[]).await;
    assert_eq!(
        play.office
            .sql("SELECT count(*) FROM shortfall WHERE carried_into IS NULL")
            .await,
        "0"
    );
    let taken = "SELECT sum(fen) FROM posting WHERE account = 'personal_account'";
    assert_eq!(
        play.office.sql(taken).await,
        (2 * 3 * 1_500).to_string(),
        "three months of two people, each once"
    );
}

#[tokio::test]
async fn what_an_older_version_lost_is_owed_again() {
    let office = Office::open().await;
    // As version 0.1 left it: each month's shortfall held what it carried; UNKNOWN's October went with November, WAIVED's was waived with it.
    let cycle = |id: i64, month: i32| {
        format!(
            "({id}, 450100, {month}, 'settled', sha256('x'), 3, 1, 1, 'a', 'b', now(), now(), now())"
        )
    };
    let asked = |id: i64, person: &str, carried: i64, taken: i64, outcome: &str| {
        format!(
            "INSERT INTO deduction VALUES ({id}, '{person}', 'active', 450102, 0, 1, 1500, {carried}, 1500 + {carried});
             INSERT INTO deduction_result (cycle_id, person_no, round, batch_no, outcome, fen) VALUES ({id}, '{person}', 1, 1, '{outcome}', {taken});"
        )
    };
    let short = "insufficient_balance";
    let people = [
        ("CHAIN", short),
        ("UNKNOWN", "person_unknown"),
        ("WAIVED", short),
        ("LATER", short),
    ];
    let old: String = people
        .iter()
        .map(|(person, second)| asked(1, person, 0, 0, short) + &asked(2, person, 1_500, 0, second))
        .collect();
    office
        .sql(&format!(
            "DROP TABLE deduction_carried, deduction_again;
             INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, rounds, planned_by, approved_by, approved_at, started_at, settled_at)
                VALUES {}, {}, {};
             {old}
             {}
             INSERT INTO shortfall VALUES (450100, 'CHAIN', 1, 1500, 'carry_over', 2), (450100, 'CHAIN', 2, 3000, 'carry_over', 3),
                (450100, 'UNKNOWN', 1, 1500, 'carry_over', 2), (450100, 'WAIVED', 1, 1500, 'carry_over', 2), (450100, 'WAIVED', 2, 3000, 'waive', NULL),
                (450100, 'LATER', 1, 1500, 'carry_over', 2), (450100, 'LATER', 2, 3000, 'carry_over', NULL)",
            cycle(1, 202_110),
            cycle(2, 202_111),
            cycle(3, 202_112),
            asked(3, "CHAIN", 3_000, 4_500, "deducted"),
        ))
        .await;
    office
        .sql(include_str!("../../schemas/postgres/0025_arrears.sql"))
        .await;
    let expected = "CHAIN 1 1500 carry_over 3; CHAIN 2 1500 carry_over 3; LATER 1 1500 carry_over -; LATER 2 1500 carry_over -; \
        UNKNOWN 1 1500 carry_over -; WAIVED 1 1500 carry_over -; WAIVED 2 1500 waive -";
    assert_eq!(office.sql("SELECT person_no, cycle_id, fen, handling, carried_into FROM shortfall ORDER BY 1, 2").await, expected);
    let carried = "SELECT cycle_id, round, person_no, of_cycle, month, district, fen FROM deduction_carried ORDER BY of_cycle";
    assert_eq!(
        office.sql(carried).await,
        "3 1 CHAIN 1 202110 450102 1500; 3 1 CHAIN 2 202111 450102 1500"
    );
}
