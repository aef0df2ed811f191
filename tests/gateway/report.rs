//! The views of the schema `report`: as documented, agreeing with the tables, and all that a reader may see.

use std::collections::BTreeMap;

use crate::packet::{Line, Packet};
use crate::support::{Counterparts, Gateway, project};

/// The page that describes the views.
fn page() -> String {
    std::fs::read_to_string(project().join("docs/report.md")).expect("the page")
}

/// `view.column type` of every row of the page's tables, in the page's order.
fn documented() -> Vec<String> {
    let (mut view, mut found) = (String::new(), Vec::new());
    for line in page().lines() {
        if let Some(name) = line
            .strip_prefix("### `report.")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            view = name.to_string();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", column, kind, ..] = cells[..]
            && let Some(column) = column
                .strip_prefix('`')
                .and_then(|rest| rest.strip_suffix('`'))
        {
            found.push(format!("{view}.{column} {kind}"));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_and_column_is_described_and_nothing_else_is_there() {
    let gateway = Gateway::start().await;
    let there = gateway
        .value(
            "SELECT c.relname || '.' || a.attname || ' ' || replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz')
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relnamespace = 'report'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum",
        )
        .await;
    let by_view = |rows: &mut dyn Iterator<Item = String>| {
        let mut views: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            let (view, column) = row.split_once('.').expect("view and column");
            views
                .entry(view.to_string())
                .or_default()
                .push(column.to_string());
        }
        for columns in views.values_mut() {
            columns.sort_unstable();
        }
        views
    };
    assert_eq!(
        by_view(&mut documented().into_iter()),
        by_view(&mut there.split("; ").map(str::to_string))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_say_what_the_tables_hold() {
    let all = Counterparts::start().await;
    let gateway = &all.gateway;
    let bad = Line::employer("3").with("AAE003", "209901");
    gateway
        .send(Packet::employers(
            "P1",
            [
                Line::employer("1"),
                Line::employer("2").with("AAB034", "450105"),
                bad,
            ],
        ))
        .await;
    gateway
        .send(Packet::employers(
            "P2",
            [Line::employer("1").with("AAA321", "2")],
        ))
        .await;
    gateway
        .send(Packet::employers("P3", [Line::employer("1")]).declaring(7))
        .await;
    all.settled().await;
    // 8,340.00 yuan at 6.95 % of which 0.15 is long-term care's: 180.00; 2,400.00 of the employees go to the medical fund.
    let lines = "SELECT packet_no, record_index, detail_no, revokes, superseded, revoked, district, contribution_month, medical_fen, long_term_care_fen
                 FROM report.line ORDER BY packet_id, record_index";
    assert_eq!(
        gateway.value(lines).await,
        "P1 1 1 f f t 450103 202110 1056000 18000; P1 2 2 f f f 450105 202110 1056000 18000; P2 1 1 t f f 450103 202110 -1056000 -18000"
    );
    assert_eq!(
        gateway
            .value("SELECT packet_no, record_index, element, content FROM report.refused_line")
            .await,
        "P1 3 AAE003 209901"
    );
    let packets = "SELECT packet_no, lines_received, lines_posted, lines_refused, lines_duplicate, posted_fen FROM report.packet ORDER BY packet_id";
    assert_eq!(
        gateway.value(packets).await,
        "P1 3 2 1 0 2148000; P2 1 1 0 0 -1074000"
    );
    assert_eq!(
        gateway
            .value("SELECT sender, packet_no, status FROM report.refused_packet")
            .await,
        "nanning-tax P3 400"
    );
    let funds =
        "SELECT fund, -sum(fen) FROM report.posting WHERE account = 'fund' GROUP BY 1 ORDER BY 1";
    assert_eq!(
        gateway.value(funds).await,
        "long_term_care 18000; medical 1056000"
    );
    // Nothing is lost or doubled on the way into a view.
    for (view, table) in [
        (
            "count(*), sum(medical_fen), sum(long_term_care_fen) FROM report.line",
            "count(*), sum(medical_fen), sum(long_term_care_fen) FROM employer_line",
        ),
        (
            "count(*), sum(fen), sum(abs(fen)) FROM report.posting",
            "count(*), sum(fen), sum(abs(fen)) FROM posting",
        ),
        (
            "count(*), sum(fen), min(state) FROM report.delivery WHERE subject = 'lines'",
            "count(*), sum(fen), min(state) FROM delivery",
        ),
        (
            "count(*) FROM report.refused_line",
            "count(*) FROM line_refusal",
        ),
        (
            "count(*), sum(posted_fen) FROM report.packet",
            "count(*), sum(posted_fen) FROM packet",
        ),
    ] {
        assert_eq!(
            gateway.value(&format!("SELECT {view}")).await,
            gateway.value(&format!("SELECT {table}")).await,
            "{view}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_of_deductions_and_registries_say_what_their_tables_hold() {
    let gateway = Gateway::start().await;
    gateway
        .value(
            "INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, planned_by)
                 VALUES (7, 450100, 202110, 'planned', sha256('x'), 3, 2700, 'a');
             INSERT INTO deduction_total VALUES (7, 450103, 'active', 2, 1200000, 1800, 0), (7, 450105, 'retired', 1, 600000, 900, 100);
             INSERT INTO deduction_left_out VALUES (7, 'p1', 450103, 'active', 'no_account', 900), (7, 'p2', 450105, 'retired', 'no_account', 5),
                 (7, 'p3', 450105, 'retired', 'no_rate', 0);
             INSERT INTO registry_change (sequence, kind, entity_id, version, change, content, status, designated, effective_on)
                 VALUES (1, 'institution', 'I1', 4, 'put', '{}', 'in_force', true, '2026-06-15');
             INSERT INTO registry_entity (kind, entity_id, version, sequence, ended, digest, status, designated, name)
                 VALUES ('institution', 'I1', 4, 1, false, sha256('y'), 'in_force', true, 'Home of Peace')",
        )
        .await;
    let cycle = "SELECT cycle_id, month, state, digest = encode(sha256('x'), 'hex'), people, fen FROM report.cycle";
    assert_eq!(gateway.value(cycle).await, "7 202110 planned t 3 2700");
    let totals = "SELECT district, category, people, base_fen, due_fen, carried_fen FROM report.cycle_total WHERE cycle_id = 7 ORDER BY 1";
    assert_eq!(
        gateway.value(totals).await,
        "450103 active 2 1200000 1800 0; 450105 retired 1 600000 900 100"
    );
    assert_eq!(
        gateway
            .value("SELECT reason, people, due_fen FROM report.left_out ORDER BY 1")
            .await,
        "no_account 2 905; no_rate 1 0"
    );
    let entry = "SELECT kind, entity_id, version, sequence, ended, status, designated, name, last_change FROM report.registry_entry";
    assert_eq!(
        gateway.value(entry).await,
        "institution I1 4 1 f in_force t Home of Peace put"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_made_as_described_reads_the_views_and_no_table() {
    let gateway = Gateway::start().await;
    gateway
        .send(Packet::employers("P1", [Line::employer("1")]))
        .await;
    let page = page();
    let sql = page
        .split("```sql")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the statements");
    // Roles are the whole server's: a name of this test's own. The gateway connects as `postgres` here.
    let role = format!("reader_{}", std::process::id());
    gateway
        .value(
            &sql.replace("FOR ROLE ltcgw ", "FOR ROLE postgres ")
                .replace("ltcgw_reader", &role),
        )
        .await;
    let mut config = gateway.database.clone();
    let (reader, connection) = config
        .user(&role)
        .connect(tokio_postgres::NoTls)
        .await
        .expect("the reader connects");
    tokio::spawn(connection);
    let lines: i64 = reader
        .query_one("SELECT count(*) FROM report.line", &[])
        .await
        .expect("the view is readable")
        .get(0);
    assert_eq!(lines, 1);
    gateway
        .value("CREATE VIEW report.later AS SELECT 1 AS one")
        .await;
    reader
        .query_one("SELECT one FROM report.later", &[])
        .await
        .expect("a view added later is readable");
    let refused = async |statement: &str| {
        let error = reader.batch_execute(statement).await.expect_err(statement);
        error
            .code()
            .map(|code| code.code().to_string())
            .unwrap_or_default()
    };
    const DENIED: &str = "42501";
    for table in [
        "employer_line",
        "registry_entity",
        "deduction_left_out",
        "packet",
    ] {
        assert_eq!(
            refused(&format!("SELECT count(*) FROM {table}")).await,
            DENIED,
            "{table}"
        );
    }
    assert_eq!(
        refused("CREATE VIEW report.mine AS SELECT 1").await,
        "25006",
        "it reads unless it says otherwise"
    );
    reader
        .batch_execute("SET default_transaction_read_only = off")
        .await
        .expect("anybody may");
    for statement in [
        "CREATE VIEW report.mine AS SELECT 1",
        "CREATE TABLE public.mine ()",
        "UPDATE report.packet SET sender = 'x'",
    ] {
        assert_eq!(refused(statement).await, DENIED, "{statement}");
    }
}
