//! `deduct`: a month from plan to workbook, and what operators are told when it cannot be.

use std::io::Read;

use crate::support::{Place, Said};

const OF: [&str; 4] = ["--area", "450100", "--month", "2021-10"];

async fn deduct(place: &Place, command: &str, more: &[&str]) -> Said {
    place.run(&[&["deduct", command], &OF[..], more].concat()).await
}

fn done(said: &Said, expected: &[&str]) {
    assert_eq!(said.status.code(), Some(0), "{}", said.err);
    for text in expected {
        assert!(said.out.contains(text), "`{text}` is not in {}", said.out);
    }
}

fn refused(said: &Said, expected: &str) {
    assert_eq!(said.status.code(), Some(1), "{}", said.out);
    assert!(said.err.contains(expected), "`{expected}` is not in {}", said.err);
}

/// The medical core receives deductions as far as commands see; the gateway that serves was started before.
fn receives_deductions(place: &Place) {
    let path = place.config().join("partners.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    if !text.contains("\"deductions\"") {
        std::fs::write(&path, text.replacen("receives = [\"contributions\"]", "receives = [\"contributions\", \"deductions\"]", 1)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_goes_from_plan_to_workbook_by_two_people() {
    let place = Place::with(|scene| scene.edit(", \"deductions\"]", "]").edit("records_per_request = 2000 ", "records_per_request = 500 "));
    let _serving = place.serve().await;
    refused(&deduct(&place, "plan", &["--by", "Li"]).await, "nobody is on a roster for 450100 2021-10");
    place
        .value(
            "INSERT INTO roster_entry SELECT 450100, 'P' || lpad(n::text, 6, '0'), 202101, 1,
                (ARRAY['active', 'active', 'retired', 'flexible', 'unemployed'])[1 + n % 5]::insured_category,
                n % 50 > 0, NULL, (ARRAY[450102, 450103, 450105, 450107, 450108, 450110])[1 + n % 6], 300000 + n * 100
             FROM generate_series(1, 1200) n",
        )
        .await;
    let plan = deduct(&place, "plan", &["--by", "Li"]).await;
    done(
        &plan,
        &["Deductions of 450100 for 2021-10: planned", "1,176 people", "no_account", "无个人账户", "ltcgw deduct approve --area 450100 --month 2021-10"],
    );
    done(&plan, &["active 在职", "flexible 灵活就业", "there is no cycle of the month before to compare with"]);
    let digest = plan.out.split("--digest ").nth(1).and_then(|rest| rest.split(' ').next()).expect("the next command names the digest").to_owned();

    refused(&deduct(&place, "run", &["--by", "Wang"]).await, "\"deductions\"");
    receives_deductions(&place);
    refused(&deduct(&place, "run", &["--by", "Wang"]).await, "is not approved");
    refused(&deduct(&place, "approve", &["--by", "Li", "--digest", &digest]).await, "Li made the plan");
    refused(&deduct(&place, "approve", &["--by", "Wang", "--digest", "00000000"]).await, "that is not the digest of the plan");
    done(&deduct(&place, "approve", &["--by", "Wang", "--digest", &digest]).await, &["approved by Wang", "ltcgw deduct run --area 450100 --month 2021-10"]);
    done(&deduct(&place, "run", &["--by", "Wang", "--no-wait"]).await, &["1,176 people are queued to medical-core, in 3 requests"]);
    refused(&deduct(&place, "run", &["--by", "Wang"]).await, "a person is deducted from once a month");

    place.value("UPDATE delivery SET state = 'dead', lease_token = NULL, leased_until = NULL, under_way = false, answer = 'refused', outcome = 'rejected', settled_at = now() WHERE cycle_id IS NOT NULL").await;
    done(&deduct(&place, "status", &[]).await, &["running", "0 of 1,176 people answered, 0 of 3 requests", "3 need a person: ltcgw dead list"]);
    // What the core would have answered.
    place
        .value(
            "INSERT INTO deduction_result SELECT d.cycle_id, d.person_no, 1, 1,
                    CASE WHEN d.person_no LIKE '%7' THEN 'insufficient_balance' ELSE 'deducted' END::deduction_outcome,
                    CASE WHEN d.person_no LIKE '%7' THEN 0 ELSE d.fen END, NULL, NULL, NULL, 1234 FROM deduction d;
             INSERT INTO shortfall SELECT 450100, d.person_no, d.cycle_id, d.fen, 'carry_over' FROM deduction d WHERE d.person_no LIKE '%7';
             UPDATE deduction_batch SET answered = people, answered_at = now();
             UPDATE deduction_cycle SET state = 'settled', settled_at = now()",
        )
        .await;
    done(
        &deduct(&place, "status", &[]).await,
        &["settled", "1,176 of 1,176 people answered", "insufficient_balance", "余额不足", "carried over to the next month"],
    );
    let out = place.dir.path().join("october.xlsx");
    done(&deduct(&place, "report", &["--out", &out.display().to_string()]).await, &["october.xlsx: 120 people short, 24 left out"]);
    let mut start = [0; 4];
    std::fs::File::open(&out).unwrap().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"PK\x03\x04", "a workbook is a ZIP archive");
    if let Ok(kept) = std::env::var("LTCGW_KEEP_WORKBOOK") {
        std::fs::copy(&out, kept).unwrap();
    }
    refused(&deduct(&place, "report", &["--out", "/nowhere/october.xlsx"]).await, "/nowhere/october.xlsx");
    refused(&deduct(&place, "retry", &[]).await, "nobody of 450100 2021-10 is to be tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discrepancy_is_listed_until_somebody_looked_at_it() {
    let place = Place::new();
    let _serving = place.serve().await;
    done(&deduct(&place, "discrepancies", &[]).await, &["no discrepancies"]);
    let sql = "INSERT INTO deduction_discrepancy (batch_no, person_no, kind, asked_fen, told_fen, told, sender, digest)
        VALUES (7, 'P7', 'other_amount', 600, 700, 'deducted 7.00', 'medical-core', sha256('x')) RETURNING discrepancy_id";
    let id = place.value(sql).await;
    done(&deduct(&place, "discrepancies", &[]).await, &["other_amount", "P7", "6.00", "7.00", "nothing of these was posted"]);
    let nothing_said = place.run(&["deduct", "resolve", &id, "--note", " ", "--by", "Li"]).await;
    refused(&nothing_said, "with a name and a note");
    let looked = place.run(&["deduct", "resolve", &id, "--note", "the core mended it", "--by", "Li"]).await;
    done(&looked, &["noted as looked at by Li"]);
    done(&deduct(&place, "discrepancies", &[]).await, &["no discrepancies"]);
    done(&deduct(&place, "discrepancies", &["--all"]).await, &["Li: the core mended it"]);
    refused(&place.run(&["deduct", "resolve", &id, "--note", "again", "--by", "Wang"]).await, "was looked at before, by Li");
    refused(&place.run(&["deduct", "resolve", "999", "--note", "x", "--by", "Li"]).await, "there is no discrepancy 999");
}

#[tokio::test(flavor = "multi_thread")]
async fn areas_and_months_that_are_none_are_told_apart_before_anything_is_done() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["deduct", "plan", "--area", "45010", "--month", "2021-10"], "six digits such as 450100"),
        (&["deduct", "plan", "--area", "450100", "--month", "202110"], "a contribution month such as 2021-10"),
    ] {
        let said = place.run(arguments).await;
        assert_eq!(said.status.code(), Some(2));
        assert!(said.err.contains(expected), "{}", said.err);
    }
    refused(&deduct(&place, "status", &[]).await, "start the gateway first");
}
