//! Every statement is a few look-ups by index, also where tables grew since they were last analysed.

use super::*;
use crate::store::delivery::testing::TestDatabase;

/// A database with the tables asked about, and a cycle of so many people; never analysed.
async fn database(people: i32) -> TestDatabase {
    let db = TestDatabase::new().await;
    if db
        .value::<bool>("SELECT to_regclass('employer_line') IS NULL")
        .await
    {
        db.run(
            &include_str!("../../../schemas/postgres/0001_collect.sql")
                .replace("CREATE SEQUENCE id_block MINVALUE 1;", ""),
        )
        .await;
    }
    if db
        .value::<bool>("SELECT to_regclass('roster_entry') IS NULL")
        .await
    {
        db.run(include_str!("../../../schemas/postgres/0006_deduction.sql"))
            .await;
    }
    if db
        .value::<bool>("SELECT to_regclass('employer_rate') IS NULL")
        .await
    {
        db.run(include_str!("../../../schemas/postgres/0005_row_types.sql"))
            .await;
        db.run(include_str!("../../../schemas/postgres/0016_history.sql"))
            .await;
    }
    let rows = format!("FROM generate_series(1, {people}) n");
    db.run(&format!(
        "INSERT INTO roster_entry SELECT 450100, 'P' || n, 202110, 1, 'active', true, 'E' || n / 20, 450103, 600000 {rows};
         INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, planned_by, approved_by, approved_at, started_at)
             VALUES (1, 450100, 202110, 'running', sha256('x'), 1, 1, 'a', 'b', now(), now());
         INSERT INTO deduction SELECT 1, 'P' || n, 'active', 450103, 0, 600000, 900, 0, 900 {rows};
         INSERT INTO deduction_result (cycle_id, person_no, round, batch_no, outcome, fen) SELECT 1, 'P' || n, 1, n / 100, 'deducted', 900 {rows};
         INSERT INTO deduction_batch SELECT 1, n, 1, 'A', 'Z', 100, 90000 FROM generate_series(1, {people} / 100) n;
         INSERT INTO deduction_left_out SELECT 1, 'Q' || n, 450103, 'active', 'no_account', 900 {rows};
         INSERT INTO shortfall SELECT 450100, 'P' || n, 1, 900, 'carry_over' {rows};
         INSERT INTO employer_line (packet_id, record_index, detail_key, revoke, detail_no, pooling_area, district, receipt_no, insurance, employer_no,
                 contribution_month, payment_kind, employer_base_fen, employer_rate, employer_paid_fen, employee_paid_fen, late_fee_fen, interest_fen,
                 other_interest_fen, treasury_on, rate_id, medical_fen, long_term_care_fen, underpaid, history_key, history_no)
             SELECT 1, n, gen_random_uuid(), false, n, 450100, 450103, n, 'employee_medical', 'E' || n, 202110, 'normal', 1, 69500, 1, 0, 0, 0, 0,
                 '2021-11-06', 'r', 1, 0, false, history_key('E' || n, 202110, 450103), 1 {rows};
         INSERT INTO employee_run SELECT 2, n * 20 + 1, n * 20 + 20, n, 'E' || n, 202110, 20, 1, 1 {rows};
         INSERT INTO employee_line (packet_id, record_index, detail_key, revoke, detail_no, pooling_area, district, receipt_no, insurance, employer_no,
                 person_no, contribution_month, payment_kind, employer_base_fen, employer_paid_fen, employee_paid_fen, late_fee_fen, interest_fen, treasury_on)
             SELECT 2, n, gen_random_uuid(), false, n, 450100, 450103, n / 20, 'employee_medical', 'E' || n / 20, 'P' || n, 202110, 'normal', 1, 1, 1, 0, 0,
                 '2021-11-06' {rows}"
    ))
    .await;
    db
}

/// The plan of a statement as it is run, once for all values, and the buffers it touched.
async fn explain(db: &TestDatabase, sql: &str, values: &str) -> (String, i64) {
    let client = db.pool.get().await.unwrap();
    client
        .batch_execute(&format!(
            "{}; PREPARE question AS {sql}",
            crate::store::settings::sets(crate::store::settings::QUESTIONS)
        ))
        .await
        .unwrap();
    let row = client
        .query_one(
            &format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE question ({values})"),
            &[],
        )
        .await
        .unwrap();
    client.batch_execute("DEALLOCATE question").await.unwrap();
    let explained = row.get::<_, serde_json::Value>(0);
    let plan = &explained[0]["Plan"];
    (
        plan.to_string(),
        plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap(),
    )
}

#[tokio::test]
async fn a_question_is_a_few_look_ups_even_where_no_table_was_ever_analysed() {
    let histories = crate::store::history::by_keys();
    let statements = [
        (
            histories.as_str(),
            "ARRAY[history_key('E7', 202110, 450103), 1]",
        ),
        (ENTRIES, "'{450100,460000}', 'P7'"),
        (SHORTFALLS, "'{450100,460000}', 'P7'"),
        (CYCLES, "'{450100,460000}', 'P7', NULL"),
        (DEDUCTIONS, "'{450100,460000}', 'P7', 202101"),
        (LEFT_OUT, "'{450100,460000}', 'Q7', 202101"),
        (PAYMENTS, "'{450100,460000}', 'P150', 202101, 202112"),
        (DETAILS, "'{450100,460000}', 'P150', 202101, 202112"),
        (EMPLOYER_PAYMENTS, "'E7', 202101, 202112"),
        (KNOWN_EMPLOYER, "'E7'"),
    ];
    let large = database(20_000).await;
    for (sql, values) in statements {
        let (plan, buffers) = explain(&large, sql, values).await;
        assert!(
            !plan.contains("Seq Scan")
                && !plan.contains("Hash Join")
                && !plan.contains("Merge Join"),
            "{sql}: {plan}"
        );
        assert!(buffers < 40, "{buffers} buffers for {sql}: {plan}");
    }
}
