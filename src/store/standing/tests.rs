//! Every statement is a few look-ups by index, also where tables grew since they were last analysed.

use super::*;
use crate::store::delivery::testing::Database;

/// A database with the tables asked about, and a cycle of so many people; never analysed.
async fn database(people: i32) -> Database {
    let db = Database::new().await;
    if db.value::<bool>("SELECT to_regclass('employer_line') IS NULL").await {
        db.run(&include_str!("../../../schemas/postgres/0001_collect.sql").replace("CREATE SEQUENCE id_block MINVALUE 1;", "")).await;
    }
    if db.value::<bool>("SELECT to_regclass('roster_entry') IS NULL").await {
        db.run(include_str!("../../../schemas/postgres/0006_deduction.sql")).await;
    }
    let rows = format!("FROM generate_series(1, {people}) n");
    db.run(&format!(
        "INSERT INTO roster_entry SELECT 450100, 'P' || n, 202110, 1, 'active', true, 'E' || n % 500, 450103, 600000 {rows};
         INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, planned_by, approved_by, approved_at, started_at)
             VALUES (1, 450100, 202110, 'running', sha256('x'), 1, 1, 'a', 'b', now(), now());
         INSERT INTO deduction SELECT 1, 'P' || n, 'active', 450103, 0, 600000, 900, 0, 900 {rows};
         INSERT INTO deduction_result (cycle_id, person_no, round, batch_no, outcome, fen) SELECT 1, 'P' || n, 1, n / 100, 'deducted', 900 {rows};
         INSERT INTO deduction_batch SELECT 1, n, 1, 'A', 'Z', 100, 90000 FROM generate_series(1, {people} / 100) n;
         INSERT INTO deduction_left_out SELECT 1, 'Q' || n, 450103, 'active', 'no_account', 900 {rows};
         INSERT INTO shortfall SELECT 450100, 'P' || n, 1, 900, 'carry_over' {rows};
         INSERT INTO employer_line (packet_id, record_index, detail_key, revoke, detail_no, pooling_area, district, receipt_no, insurance, employer_no,
                 contribution_month, payment_kind, employer_base_fen, employer_rate, employer_paid_fen, employee_paid_fen, late_fee_fen, interest_fen,
                 other_interest_fen, treasury_on, rate_id, medical_fen, long_term_care_fen, underpaid)
             SELECT 1, n, gen_random_uuid(), false, n, 450100, 450103, n, 'employee_medical', 'E' || n, 202110, 'normal', 1, 69500, 1, 0, 0, 0, 0,
                 '2021-11-06', 'r', 1, 0, false {rows};
         INSERT INTO employee_run SELECT 2, n * 20 + 1, n * 20 + 20, n, 'E' || n, 202110, 20, 1, 1 {rows};
         INSERT INTO employee_line (packet_id, record_index, detail_key, revoke, detail_no, pooling_area, district, receipt_no, insurance, employer_no,
                 person_no, contribution_month, payment_kind, employer_base_fen, employer_paid_fen, employee_paid_fen, late_fee_fen, interest_fen, treasury_on)
             SELECT 2, n, gen_random_uuid(), false, n, 450100, 450103, n / 20, 'employee_medical', 'E' || n / 20, 'P' || n, 202110, 'normal', 1, 1, 1, 0, 0,
                 '2021-11-06' {rows}"
    ))
    .await;
    db
}

/// The plan of a statement as it is run, and the buffers it touched.
async fn explain(db: &Database, sql: &str, values: &[&(dyn ToSql + Sync)]) -> (String, i64) {
    let mut client = db.pool.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute(BY_INDEX).await.unwrap();
    let row = transaction.query_one(&format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"), values).await.unwrap();
    let explained = row.get::<_, serde_json::Value>(0);
    let plan = &explained[0]["Plan"];
    (plan.to_string(), plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap())
}

#[tokio::test]
async fn a_question_is_a_few_look_ups_even_where_no_table_was_ever_analysed() {
    let (areas, ids, employers) = (vec![450_100, 460_000], vec![1_i64, 2], vec!["E7"]);
    let (receipts, months) = (vec!["7"], vec![202_110]);
    let statements: [(&str, Vec<&(dyn ToSql + Sync)>); 8] = [
        (ENTRIES, vec![&areas, &"P7"]),
        (CYCLES, vec![&areas, &202_101]),
        (DEDUCTIONS, vec![&ids, &"P7"]),
        (LEFT_OUT, vec![&ids, &"Q7"]),
        (SHORTFALLS, vec![&areas, &"P7"]),
        (PAYMENTS, vec![&employers, &202_101, &202_112]),
        (DETAILS, vec![&receipts, &employers, &months, &"P150"]),
        (KNOWN_EMPLOYER, vec![&"E7"]),
    ];
    let large = database(20_000).await;
    for (sql, values) in &statements {
        let (plan, buffers) = explain(&large, sql, values).await;
        assert!(!plan.contains("Seq Scan") && !plan.contains("Hash Join") && !plan.contains("Merge Join"), "{sql}: {plan}");
        assert!(buffers < 40, "{buffers} buffers for {sql}: {plan}");
    }
}
