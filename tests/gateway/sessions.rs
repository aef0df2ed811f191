//! Sessions of the database: what is relied on is set whatever the role says, and what an error says
//! of the server is acted upon at once, so that the next request is served.

use std::time::{Duration, Instant};

use ltcgw::flow::clock::CityClock;
use ltcgw::store::{DatabaseAccess, Store};

use crate::packet::{Line, Packet};
use crate::support::{Gateway, database};

/// What the gateway relies on, as one text.
const RELIED_ON: &str = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',
    'idle_in_transaction_session_timeout', 'idle_session_timeout', 'default_transaction_isolation', 'default_transaction_read_only', 'TimeZone', 'DateStyle',
    'IntervalStyle', 'bytea_output', 'standard_conforming_strings', 'array_nulls', 'transform_null_equals', 'synchronous_commit', 'session_replication_role',
    'plan_cache_mode', 'enable_indexscan', 'enable_nestloop', 'client_min_messages', 'search_path', 'client_encoding')";

/// Everything a role may have set that would change what our statements mean, or end them.
const BAD_SETTINGS: [&str; 20] = [
    "statement_timeout = '20s'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "idle_session_timeout = '20s'",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_read_only = on",
    "timezone = 'America/New_York'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'iso_8601'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "array_nulls = off",
    "transform_null_equals = on",
    "synchronous_commit = off",
    "session_replication_role = replica",
    "plan_cache_mode = 'force_custom_plan'",
    "enable_indexscan = off",
    "enable_nestloop = off",
    "client_min_messages = 'debug1'",
    "search_path = 'nowhere'",
];

/// What all kinds of sessions have set.
async fn relied_on(store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    for session in [
        store.client().await,
        store.question_client().await,
        store.dispatch_pool().get().await,
    ] {
        found.push(
            session
                .expect("a session")
                .query_one(RELIED_ON, &[])
                .await
                .expect("settings")
                .get(0),
        );
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_role_change_nothing() {
    let plain = Gateway::start().await;
    let wanted = relied_on(&plain.running.gateway.store).await;
    for part in [
        "default_transaction_read_only=off",
        "TimeZone=UTC",
        "DateStyle=ISO, MDY",
        "statement_timeout=30000",
        "synchronous_commit=on",
        "search_path=public",
    ] {
        assert!(wanted[0].contains(part), "{part} is not in {}", wanted[0]);
    }
    assert!(
        wanted[1].contains("default_transaction_read_only=on"),
        "questions only read"
    );
    let role = format!("odd_{}", uuid::Uuid::now_v7().simple());
    plain
        .value(&format!("CREATE ROLE {role} LOGIN SUPERUSER"))
        .await;
    for setting in BAD_SETTINGS {
        plain
            .value(&format!("ALTER ROLE {role} SET {setting}"))
            .await;
    }
    let database = database().await;
    let mut by_role = database.clone();
    by_role.user(&role);
    let odd = Gateway::upon(
        DatabaseAccess::local(by_role),
        database,
        CityClock::default(),
        |scene| scene,
    )
    .await;
    assert_eq!(relied_on(&odd.running.gateway.store).await, wanted);
    let lines = || [Line::employer("1"), Line::employer("2")];
    // A receipt says when it was made, perhaps in the next second.
    let undated = |(status, receipt): (u16, String)| {
        let (before, rest) = receipt.split_once("<SCRQ>").expect("a time");
        let (_, after) = rest.split_once("</SCRQ>").expect("its end");
        (status, before.to_owned() + after)
    };
    assert_eq!(
        undated(odd.send(Packet::employers("P1", lines())).await),
        undated(plain.send(Packet::employers("P1", lines())).await)
    );
    let (status, receipt) = odd
        .send(Packet::employers(
            "P2",
            [Line::employer("1"), Line::employer("3")],
        ))
        .await;
    assert_eq!(status, 200, "compared, in a temporary table: {receipt}");
    assert_eq!(
        odd.value(
            "SELECT string_agg(treasury_on::text, ' ' ORDER BY detail_no) FROM employer_line"
        )
        .await,
        "2021-11-06 2021-11-06 2021-11-06"
    );
    assert_eq!(
        odd.value("SELECT count(*) FROM pg_class WHERE relname = 'packet' AND relkind = 'r'")
            .await,
        "1",
        "no second set of tables was made"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_our_statements_is_answered_with_new_sessions() {
    let gateway = Gateway::start().await;
    let store = &gateway.running.gateway.store;
    store
        .find_packet("nanning-tax", "P1", &[1])
        .await
        .expect("prepared");
    // A pooler or an administrator does this; the session next taken is the one last given back.
    store
        .client()
        .await
        .expect("a session")
        .batch_execute("DEALLOCATE ALL")
        .await
        .expect("forgotten");
    let fault = store
        .find_packet("nanning-tax", "P1", &[1])
        .await
        .expect_err("the statement is not there");
    assert!(
        fault.text.contains("26000"),
        "PostgreSQL's own code is told: {fault}"
    );
    store
        .find_packet("nanning-tax", "P1", &[1])
        .await
        .expect("on a new session");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_were_ended_are_made_anew() {
    let gateway = Gateway::start().await;
    let store = &gateway.running.gateway.store;
    let held: Vec<_> = futures_util::future::join_all((0..8).map(|_| store.client())).await;
    drop(held);
    gateway.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").await;
    gateway
        .until("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'SELECT packet_id%'", "0")
        .await;
    let mut refused = 0;
    for number in 0..8 {
        let (status, receipt) = gateway
            .send(Packet::employers(
                &format!("P{number}"),
                [Line::employer(&format!("{number}"))],
            ))
            .await;
        refused += u32::from(status != 200);
        assert!(status == 200 || status == 503, "{receipt}");
    }
    assert!(
        refused <= 1,
        "the first answer that says so is enough: {refused} were refused"
    );
    store
        .ping()
        .await
        .map_err(|fault| fault.text)
        .expect("takes writes");
}

/// Status, `Retry-After` and how long the operator's question took.
async fn ready(gateway: &Gateway) -> (u16, bool, Duration) {
    let asked = Instant::now();
    let answer = reqwest::get(format!("http://{}/readyz", gateway.running.server.operator))
        .await
        .expect("an answer");
    (
        answer.status().as_u16(),
        answer.headers().contains_key("retry-after"),
        asked.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_remembered_until_something_can_be_written_at_length() {
    let gateway = Gateway::start().await;
    assert_eq!(ready(&gateway).await.0, 200);
    let full =
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON packet EXECUTE FUNCTION full_disk();
        CREATE FUNCTION no_room() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
        CREATE EVENT TRIGGER no_room ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION no_room()";
    gateway.value(full).await;
    assert_eq!(ready(&gateway).await.0, 200, "a heartbeat still finds room");
    let packet = Packet::employers("P1", [Line::employer("1")]);
    assert_eq!(gateway.send(&packet).await.0, 503);
    assert_eq!(
        (ready(&gateway).await.0, ready(&gateway).await.1),
        (503, true),
        "not ready, although the heartbeat would find room"
    );
    gateway
        .value("DROP EVENT TRIGGER no_room; DROP TRIGGER full_disk ON packet")
        .await;
    assert_eq!(ready(&gateway).await.0, 200);
    assert_eq!(gateway.send(&packet).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_says_when_to_come_again_while_there_is_no_database() {
    let gateway = Gateway::start().await;
    let (name, server) = (
        gateway.database.get_dbname().expect("a name").to_owned(),
        gateway.database.clone(),
    );
    let mut admin = server;
    admin.dbname("postgres");
    let (client, connection) = admin
        .connect(tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let closed = format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    );
    client.batch_execute(&closed).await.expect("closed");
    let packet: Vec<u8> = Packet::employers("P1", [Line::employer("1")]).into();
    let entry = crate::registry::institution("I1", 1)
        .to_string()
        .into_bytes();
    for (partner, method, path, body) in [
        ("nanning-tax", "POST", "/tax/v1/packets", packet),
        (
            "medical-core",
            "POST",
            "/core/v1/roster?roster_no=R1&kind=full&area=450100&month=202110",
            b"{}\n".to_vec(),
        ),
        (
            "medical-core",
            "POST",
            "/core/v1/deduction-cycles",
            br#"{"area":"450100","month":"2021-10"}"#.to_vec(),
        ),
        (
            "medical-core",
            "GET",
            "/core/v1/persons/P1/contributions?from=202110&to=202110",
            Vec::new(),
        ),
        ("ltc-system", "PUT", "/ltc/v1/institutions/I1", entry),
        (
            "ltc-system",
            "GET",
            "/ltc/v1/persons/P1/standing?on=2021-12-15",
            Vec::new(),
        ),
        (
            "provincial-platform",
            "GET",
            "/province/v1/institutions",
            Vec::new(),
        ),
        (
            "provincial-platform",
            "GET",
            "/fhir/Organization",
            Vec::new(),
        ),
    ] {
        let client = gateway.stage.client(partner).expect("a client");
        let answer = client
            .request(method.parse().expect("a method"), gateway.url(path))
            .body(body)
            .send()
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        assert!(
            answer.headers().contains_key("retry-after") || status != 503,
            "{method} {path}: {status} without Retry-After"
        );
        assert_eq!(
            status,
            503,
            "{method} {path}: {}",
            answer.text().await.unwrap_or_default()
        );
    }
    let (status, says_when, took) = ready(&gateway).await;
    assert_eq!((status, says_when), (503, true));
    assert!(took < Duration::from_secs(2), "{took:?}");
    client
        .batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .await
        .expect("open");
    assert_eq!(ready(&gateway).await.0, 200, "and goes on by itself");
}
