//! Whoever is cut off leaves nothing behind: a future is dropped at every place where it waits, and
//! then every connection of the pools is idle, nobody waits, and the next request sees what is there.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use data_encoding::HEXLOWER;
use ltcgw::config::Receive;
use ltcgw::error::{Fault, Stage};
use ltcgw::flow::deduct::{Desk, Of};
use ltcgw::flow::intake::{self, Arrival, Spool, SpoolLimits};
use ltcgw::flow::shares::Shares;
use ltcgw::model::Month;
use ltcgw::model::registry::EntityKind;
use ltcgw::store::delivery::{Backfill, BackfillScope, Batch};
use ltcgw::store::registry::{DateTurn, Put};
use ltcgw::store::transfer::{ResultsOrigin, Writes};
use ltcgw::store::{DatabaseAccess, Store};
use tokio_postgres::SimpleQueryMessage;

use crate::office::by;
use crate::packet::{Line, Packet};
use crate::support::{Gateway, database};

/// Of a connection: whether it is in no transaction. In one, `now()` stays at its begin. As one message,
/// since `statement_timestamp()` is that of the last.
const IDLE: &str = "SELECT now() = statement_timestamp()";

fn says_yes(answer: &[SimpleQueryMessage]) -> bool {
    answer
        .iter()
        .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")))
}

/// Polls a future so often, then drops it where it waits; what it came to, if that was enough.
async fn cut_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Every connection there is in the pools.
async fn all_idle(store: &Store, after: &str) {
    for pool in [store.pool(), store.dispatch_pool()] {
        let mut held = Vec::new();
        for _ in 0..pool.status().size.max(1) {
            held.push(pool.get().await.expect("a connection"));
        }
        for client in &held {
            let answer = client.simple_query(IDLE).await.expect("it answers");
            assert!(
                says_yes(&answer),
                "after {after}, a connection of the pool is in a transaction"
            );
        }
    }
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(store.question_client().await.expect("a connection"));
    }
    for client in &held {
        let answer = client.simple_query(IDLE).await.expect("it answers");
        assert!(
            says_yes(&answer),
            "after {after}, a connection for questions is in a transaction"
        );
    }
}

/// Cuts a story off after one poll, after two, and so on, until it comes to its end; `next` makes it
/// anew each time. Returns how often it was cut off.
async fn cut_everywhere<T, F: Future<Output = T>>(
    store: &Store,
    what: &str,
    mut next: impl FnMut(usize) -> F,
) -> usize {
    let (mut cut, mut tries) = (0, 0);
    loop {
        tries += 1;
        let done = cut_after(cut + 1, next(tries)).await;
        all_idle(store, &format!("{what}, cut off at poll {}", cut + 1)).await;
        match done {
            None => cut += 1,
            // On a busy machine an answer may be there before it is waited for; then nothing was cut off yet.
            Some(_) if cut == 0 => assert!(tries < 100, "{what} waits somewhere"),
            Some(_) => return tries - 1,
        }
    }
}

fn body(bytes: &[u8], memory_bytes: u64) -> intake::ReceivedBody {
    let limits = SpoolLimits {
        memory_bytes,
        body_bytes: 1 << 30,
        decompressed_bytes: 1 << 30,
        ratio: 200,
    };
    let mut spool = Spool::new(
        limits,
        false,
        Shares::new(&Receive::default()).of("nanning-tax"),
    );
    let whole = async {
        spool.write(bytes.to_vec().into()).await.expect("room");
        spool.finish().await.expect("a body")
    };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(whole))
}

/// A packet as it arrives; read in place if there is memory for it.
fn arrival(gateway: &Gateway, packet: Packet, memory_bytes: u64) -> Arrival {
    let flow = &gateway.running.gateway;
    let partner = flow
        .config
        .partner("nanning-tax")
        .expect("a partner")
        .clone();
    let adapter = flow.adapter_of(&partner).expect("its adapter").clone();
    let bytes: Vec<u8> = packet.into();
    let received_at = jiff::Timestamp::now();
    Arrival {
        partner: partner.into(),
        endpoint: adapter.endpoint("packets").expect("its endpoint").clone(),
        adapter,
        parameters: Vec::new(),
        body: body(&bytes, memory_bytes),
        received_at,
    }
}

/// One line of a packet that nobody has sent.
fn fresh(number: &str) -> Packet {
    Packet::employers(
        number,
        [
            Line::employer(&format!("{number}-1")),
            Line::employer(&format!("{number}-2")),
        ],
    )
}

/// Fen in the treasury, by another connection.
async fn treasury(gateway: &Gateway) -> i64 {
    gateway
        .value("SELECT coalesce(sum(fen), 0) FROM posting WHERE account = 'treasury'")
        .await
        .parse()
        .expect("fen")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_cut_off_anywhere_leaves_no_transaction_and_is_posted_once_when_it_comes_again() {
    let gateway = Gateway::start().await;
    let flow = &gateway.running.gateway;
    // In a group, and on its own, where lines flow through a COPY.
    for (kind, memory_bytes) in [("group", 1 << 20), ("alone", 0)] {
        let before = treasury(&gateway).await;
        let cuts = cut_everywhere(&flow.store, kind, |polls| {
            let arrival = arrival(&gateway, fresh(&format!("{kind}{polls}")), memory_bytes);
            async move {
                intake::receive(flow, &arrival)
                    .await
                    .expect("posted")
                    .status
            }
        })
        .await;
        for polls in 1..=cuts + 1 {
            let (status, receipt) = gateway.send(fresh(&format!("{kind}{polls}"))).await;
            assert_eq!(status, 200, "{receipt}");
        }
        assert_eq!(
            treasury(&gateway).await - before,
            (cuts as i64 + 1) * 2 * 1_074_000,
            "{kind}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_is_compared_replaces_or_is_refused_can_be_cut_off_anywhere() {
    let gateway = Gateway::start().await;
    let flow = &gateway.running.gateway;
    let store = &flow.store;
    gateway.send(fresh("KNOWN")).await;
    gateway
        .send(Packet::employers("R", [Line::employer("r-0")]))
        .await;
    cut_everywhere(store, "a comparison", |polls| {
        let lines = [
            Line::employer("KNOWN-1"),
            Line::employer(&format!("new-{polls}")),
        ];
        let arrival = arrival(
            &gateway,
            Packet::employers(&format!("C{polls}"), lines),
            1 << 20,
        );
        async move { intake::receive(flow, &arrival).await.expect("posted") }
    })
    .await;
    let cuts = cut_everywhere(store, "a replacement", |polls| {
        let arrival = arrival(
            &gateway,
            Packet::employers("R", [Line::employer(&format!("r-{polls}"))]).replacing(),
            1 << 20,
        );
        async move { intake::receive(flow, &arrival).await.expect("posted") }
    })
    .await;
    assert!(cuts > 8, "a replacement is a dozen statements");
    assert_eq!(
        gateway
            .value("SELECT count(*) FROM packet WHERE packet_no = 'R' AND replaced_by IS NULL")
            .await,
        "1"
    );
    let in_force = "SELECT sum(p.fen) FROM posting p JOIN entry USING (entry_id) JOIN packet USING (packet_id) WHERE account = 'treasury' AND packet_no = 'R'";
    assert_eq!(
        gateway.value(in_force).await,
        "1074000",
        "whatever was replaced was taken back"
    );
    let noted = cut_everywhere(store, "a refusal", |polls| {
        let arrival = arrival(
            &gateway,
            fresh(&format!("N{polls}")).of_type("XXXX999"),
            1 << 20,
        );
        async move {
            intake::receive(flow, &arrival)
                .await
                .expect("answered")
                .status
        }
    })
    .await;
    let last = format!(
        "SELECT count(*) FROM packet_refusal WHERE packet_no = 'N{}'",
        noted + 1
    );
    assert_eq!(
        gateway.value(&last).await,
        "1",
        "the refusal that was answered is there for everybody"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_and_a_month_s_deductions_can_be_cut_off_anywhere() {
    let gateway = Gateway::start().await;
    let flow = &gateway.running.gateway;
    let person = |number: usize| {
        format!(
            "{{\"psn_no\":\"P{number:04}\",\"psn_cert_type\":\"01\",\"certno\":\"450103198001010011\",\"psn_type\":\"11\",\"acct_type\":\"1\",\
             \"emp_no\":\"45010300000001\",\"admdvs\":\"450103\",\"clct_base\":\"5000.00\",\"begnym\":\"202103\"}}\n"
        )
    };
    cut_everywhere(&flow.store, "a roster", |polls| {
        let partner = flow
            .config
            .partner("medical-core")
            .expect("a partner")
            .clone();
        let adapter = flow.adapter_of(&partner).expect("its adapter").clone();
        let query = [
            ("roster_no", format!("R{polls}")),
            ("kind", "full".into()),
            ("area", "450100".into()),
            ("month", "202110".into()),
        ];
        let query = query
            .map(|(name, value)| (name.to_string(), value))
            .to_vec();
        let lines: String = (1..9).map(person).collect();
        let arrival = Arrival {
            partner: partner.into(),
            endpoint: adapter.endpoint("roster").expect("its endpoint").clone(),
            adapter,
            parameters: query,
            body: body(lines.as_bytes(), 1 << 20),
            received_at: jiff::Timestamp::now(),
        };
        async move { intake::receive(flow, &arrival).await.expect("taken").status }
    })
    .await;
    assert_eq!(
        gateway
            .value("SELECT count(DISTINCT person_no) FROM roster_entry WHERE category IS NOT NULL")
            .await,
        "8"
    );
    let desk = Desk::of(flow);
    let of = Of {
        area: 450_100,
        month: Month::new(2021, 10).expect("a month"),
    };
    cut_everywhere(&flow.store, "a plan", |_| async {
        desk.plan(of, &by("Li")).await.expect("a plan")
    })
    .await;
    let digest = gateway
        .value("SELECT encode(digest, 'hex') FROM deduction_cycle WHERE state = 'planned'")
        .await;
    cut_everywhere(&flow.store, "an approval", |_| async {
        // One that was cut off behind its commit stands.
        desk.approve(of, &by("Wang"), &digest[..8])
            .await
            .map(|cycle| HEXLOWER.encode(&cycle.digest))
            .unwrap_or_default()
    })
    .await;
    cut_everywhere(&flow.store, "a run", |_| async {
        desk.run(of, &by("Wang"))
            .await
            .map(|cycle| cycle.rounds)
            .unwrap_or_default()
    })
    .await;
    let batches =
        "SELECT count(*), sum(people), (SELECT count(*) FROM deduction) FROM deduction_batch";
    assert_eq!(
        gateway.value(batches).await,
        "1 8 8",
        "run once, for everybody"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_the_end_of_a_cycle_can_be_cut_off_anywhere() {
    let gateway = Gateway::start().await;
    gateway
        .value(
            "INSERT INTO deduction_rate VALUES (7, 1, 'test', 'carry_over');
             INSERT INTO deduction SELECT 7, 'P' || n, 'active', 450102, 1, 600000, 900, 0, 900 FROM generate_series(1, 3) n;
             INSERT INTO deduction_cycle (cycle_id, pooling_area, month, state, digest, people, fen, rounds, planned_by, approved_by, approved_at, run_by, started_at)
                VALUES (7, 450100, 202110, 'running', sha256('x'), 3, 2700, 1, 'a', 'b', now(), 'b', now());
             INSERT INTO deduction_batch (cycle_id, batch_no, round, first_person, last_person, people, fen) VALUES (7, 1, 1, 'P1', 'P3', 3, 2700)",
        )
        .await;
    let store = &gateway.running.gateway.store;
    let batch = Batch {
        cycle_id: 7,
        batch_no: 1,
    };
    let origin = ResultsOrigin {
        sender: "medical-core",
        digest: [7; 32],
    };
    cut_everywhere(store, "results", |_| async {
        store
            .take_in(batch, origin, |_, asked, _| {
                assert_eq!(asked.len(), 3);
                Writes::default()
            })
            .await
            .expect("taken in")
    })
    .await;
    cut_everywhere(store, "a batch nobody knows", |_| async {
        let unknown = Batch {
            cycle_id: 8,
            batch_no: 1,
        };
        store
            .take_in(unknown, origin, |_, _, _| Writes::default())
            .await
            .expect("looked for")
    })
    .await;
    gateway
        .value(
            "UPDATE deduction_batch SET answered = people, answered_at = now() WHERE cycle_id = 7",
        )
        .await;
    let told = [("ltc-system".to_string(), "deduction_results".to_string())];
    cut_everywhere(store, "the end of a cycle", |_| async {
        store.settle_cycle(7, &told).await.expect("settled")
    })
    .await;
    assert_eq!(
        gateway.value("SELECT state FROM deduction_cycle").await,
        "settled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_questions_and_a_backfill_can_be_cut_off_anywhere() {
    let gateway = Gateway::start().await;
    let flow = &gateway.running.gateway;
    let registry = &flow.registrar.registry;
    let day = jiff::civil::date(2026, 6, 15);
    let put = |version: i64, id: String| Put {
        kind: EntityKind::Institution,
        entity_id: id,
        version,
        content: Some(format!("{{\"version\":{version}}}")),
        sealed: None,
        reason: None,
        digests: vec![1; 32],
        status: None,
        designated: true,
        effective_on: day,
        next_on: Some(day),
        name: None,
        uscc: None,
        certificate_index: None,
        phone_index: None,
        institution_kind: None,
        institution_id: None,
        city: None,
    };
    let head = async || gateway.value("SELECT sequence FROM registry_head").await;
    cut_everywhere(&flow.store, "a registry write", |polls| {
        // A new one and a known one.
        let puts = [
            put(polls as i64, "KNOWN".into()),
            put(1, format!("I{polls}")),
        ];
        async move { registry.put_batch("test", &puts).await.expect("stored") }
    })
    .await;
    assert_eq!(
        registry.head().await.expect("a head").to_string(),
        head().await,
        "a pull sees what is there now"
    );
    cut_everywhere(&flow.store, "a date that comes", |_| async {
        registry
            .turn_due(day, 3, |_| DateTurn {
                standing: Some((None, false)),
                next_on: None,
            })
            .await
            .expect("turned")
    })
    .await;
    assert_eq!(
        registry.head().await.expect("a head").to_string(),
        head().await
    );
    let pool = flow.store.pool();
    Backfill::start(pool, "ltc-system", BackfillScope::default())
        .await
        .expect("started");
    cut_everywhere(&flow.store, "a backfill", |_| async {
        Backfill::step(pool, "ltc-system", &[], 2)
            .await
            .expect("a step")
    })
    .await;
    gateway
        .value(
            "INSERT INTO roster_entry (pooling_area, person_no, from_month, roster_id, category, account, district, base_fen)
             VALUES (450100, 'P1', 202101, 1, 'retired', true, 450102, 300000)",
        )
        .await;
    let month = Month::new(2021, 10).expect("a month");
    cut_everywhere(&flow.store, "a question", |_| async {
        flow.store
            .person_facts(&[450_100], "P1", (None, month), true)
            .await
            .expect("facts")
    })
    .await;
    gateway
        .value("UPDATE roster_entry SET district = 450103")
        .await;
    for _ in 0..8 {
        let facts = flow
            .store
            .person_facts(&[450_100], "P1", (None, month), false)
            .await
            .expect("facts")
            .expect("a person");
        assert_eq!(
            facts.entries[0].district, 450_103,
            "a question sees what is there now"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_cut_off_anywhere_keeps_no_other_instance_waiting() {
    let config = database().await;
    for polls in 1.. {
        let started = cut_after(
            polls,
            Store::open(DatabaseAccess::local(config.clone()), &[]),
        )
        .await;
        // Waits for the lock of one that brings the schema up to date.
        let next = tokio::time::timeout(
            std::time::Duration::from_secs(30),
            Store::open(DatabaseAccess::local(config.clone()), &[]),
        );
        next.await
            .expect("nobody holds the lock")
            .map_err(|fault| fault.text)
            .expect("started");
        if started.is_some() {
            assert!(polls > 5, "a start waits in several places");
            return;
        }
    }
}

/// A store that answers before the commit would be found by it: a COMMIT behind a failed statement is no success.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_behind_a_failed_statement_is_an_error() {
    let gateway = Gateway::start().await;
    let store = &gateway.running.gateway.store;
    let tx = ltcgw::store::tx::Tx::begin(store.client().await.expect("a connection"))
        .await
        .expect("begun");
    tx.execute(
        "INSERT INTO packet_refusal (sender, digest, status, reason) VALUES ('x', 'x', 400, 'x')",
        &[],
    )
    .await
    .expect("inserted");
    tx.execute("SELECT 1 / 0", &[]).await.expect_err("refused");
    let fault: Fault = tx
        .commit()
        .await
        .map_err(|error| Fault::later(Stage::Store, error.to_string()))
        .expect_err("PostgreSQL answers ROLLBACK here");
    drop(fault);
    assert_eq!(
        gateway.value("SELECT count(*) FROM packet_refusal").await,
        "0"
    );
}
