//! What one partner can take of the gateway: memory, disk, connections, places and time; what others are left.

use std::time::{Duration, Instant};

use ltcgw::sandbox::stage::Scene;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

use crate::listener::{connect_as, gzip, request_head};
use crate::packet::{Line, Packet};
use crate::support::{Gateway, receipt};

type Wire = TlsStream<tokio::net::TcpStream>;

/// Another partner than the one that misbehaves.
const OTHER: &str = "nanning-tax-native";

/// Both partners speak one dialect, so that the tests have one kind of packet.
fn alike(scene: Scene) -> Scene {
    scene.edit(
        "adapter = \"tax-bureau-pinyin\"",
        "adapter = \"tax-bureau\"",
    )
}

fn small(number: &str) -> Vec<u8> {
    Packet::employers(number, [Line::employer(number)]).into()
}

fn large(number: &str) -> Vec<u8> {
    Packet::employers(
        number,
        (0..60).map(|line| Line::employer(&format!("{number}-{line}"))),
    )
    .into()
}

/// Begins a request and sends a part of its body.
async fn begin(gateway: &Gateway, partner: &str, body: &[u8], announced: usize) -> Wire {
    let mut wire = connect_as(gateway, partner).await;
    wire.write_all(&request_head(announced))
        .await
        .expect("sent");
    wire.write_all(body).await.expect("sent");
    wire.flush().await.expect("sent");
    wire
}

/// What comes until the connection is closed.
async fn rest(mut wire: Wire) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), wire.read_to_end(&mut answer))
        .await
        .expect("closed")
        .ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until something of the shares has this value.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        look.tick().await;
    }
}

/// A page of the operator.
async fn operator(gateway: &Gateway, path: &str) -> (u16, String) {
    receipt(
        reqwest::get(format!("http://{}{path}", gateway.running.server.operator))
            .await
            .expect("an answer"),
    )
    .await
}

fn has(answer: &str, parts: &[&str]) {
    for part in parts {
        assert!(answer.contains(part), "expected `{part}` in {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_bombs_of_one_partner_leave_another_s_small_packets_their_way() {
    let gateway = Gateway::with(|scene| {
        alike(scene).edit(
            "# handshakes_per_address_max = 128",
            "handshakes_per_address_max = 512",
        )
    })
    .await;
    let client = gateway.stage.client(OTHER).expect("a client");
    let send = async |number: String| {
        let start = Instant::now();
        let answer = client
            .post(gateway.url("/tax/v1/packets"))
            .body(small(&number))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        start.elapsed()
    };
    let middle = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let mut before = Vec::new();
    for number in 0..20 {
        before.push(send(format!("B{number}")).await);
    }
    let bomb = gzip(&vec![b' '; 20 << 20]);
    let attacker = gateway.stage.client("nanning-tax").expect("a client");
    let begun = Instant::now();
    let bombs: Vec<_> = (0..200)
        .map(|_| {
            let request = attacker
                .post(gateway.url("/tax/v1/packets"))
                .header("content-encoding", "gzip")
                .body(bomb.clone());
            tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) })
        })
        .collect();
    until("a bomb arrives", || {
        gateway.running.gateway.shares.requests.used() > 0
    })
    .await;
    let mut during = Vec::new();
    for number in 0..40 {
        during.push(send(format!("D{number}")).await);
    }
    let good = begun.elapsed();
    for bomb in bombs {
        assert_eq!(bomb.await.expect("run").expect("an answer"), 413);
    }
    println!(
        "p50 of another's small packets: {:?} alone, {:?} beside the bombs; good {good:?}, bombs {:?}",
        middle(before),
        middle(during),
        begun.elapsed()
    );
    let shares = &gateway.running.gateway.shares;
    until("everything is given back", || {
        (
            shares.requests.used(),
            shares.memory.used(),
            shares.disk.used(),
        ) == (0, 0, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_partner_keeps_on_the_disk_is_its_own_share_and_comes_back_when_it_goes() {
    let gateway = Gateway::with(|scene| {
        alike(scene)
            .edit("# memory_bytes_max = 1048576", "memory_bytes_max = 4000")
            .edit(
                "# spool_bytes_per_partner_max = 8589934592",
                "spool_bytes_per_partner_max = 150000",
            )
            .edit(
                "# spool_bytes_max = 17179869184",
                "spool_bytes_max = 200000",
            )
    })
    .await;
    let disk = &gateway.running.gateway.shares.disk;
    let half = begin(&gateway, "nanning-tax", &[b' '; 130_000], 140_000).await;
    until("the body waits on the disk", || disk.used() >= 60_000).await; // the rest perhaps in memory yet
    let answer = rest(begin(&gateway, "nanning-tax", &[b' '; 100_000], 100_000).await).await;
    has(
        &answer,
        &[
            "HTTP/1.1 429",
            "retry-after: 5",
            "connection: close",
            "takes all the room it may have",
        ],
    );
    assert_eq!(
        gateway.send(small("S1")).await.0,
        200,
        "its own small packets need no disk"
    );
    assert_eq!(gateway.send_as(OTHER, large("L1")).await.0, 200);
    let other_body = begin(&gateway, OTHER, &[b' '; 145_000], 145_000).await;
    let answer = rest(other_body).await;
    has(
        &answer,
        &["HTTP/1.1 503", "retry-after: 5", "connection: close"],
    );
    assert_eq!(gateway.send_as(OTHER, small("S2")).await.0, 200);
    let (_, metrics) = operator(&gateway, "/metrics").await;
    has(
        &metrics,
        &[
            r#"ltcgw_no_room_total{partner="nanning-tax",reason="spool_of_partner"} 1"#,
            r#"ltcgw_no_room_total{partner="nanning-tax-native",reason="spool"} 1"#,
        ],
    );
    let spooled = metrics
        .lines()
        .find_map(|line| line.strip_prefix("ltcgw_spool_bytes "))
        .and_then(|bytes| bytes.parse::<u64>().ok());
    assert!(
        spooled.is_some_and(|bytes| (60_000..=130_000).contains(&bytes)),
        "{spooled:?}"
    );
    drop(half);
    until("it is given back", || disk.used() == 0).await;
    let whole = gateway.send(vec![b' '; 150_001]).await;
    has(&whole.1, &["larger than 150000 bytes"]);
    assert_eq!(whole.0, 413, "what never fits is no matter of waiting");
    assert_eq!(gateway.send(large("L2")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_lost_disk_refuses_large_packets_takes_small_ones_and_is_told_by_readyz() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = folder.path().join("spool");
    let named = format!("spool_dir = \"{}\"", spool.display());
    let full = Gateway::with(|scene| {
        alike(scene)
            .edit("# memory_bytes_max = 1048576", "memory_bytes_max = 4000")
            .edit(
                "# spool_free_bytes_min = 1073741824",
                "spool_free_bytes_min = 1000000000000000000",
            )
    })
    .await;
    let lost = Gateway::with(|scene| {
        alike(scene)
            .edit("# memory_bytes_max = 1048576", "memory_bytes_max = 4000")
            .edit("# spool_dir = \"/var/tmp\"", &named)
    })
    .await;
    assert_eq!(operator(&lost, "/readyz").await, (200, "ready\n".into()));
    assert_eq!(lost.send(large("L0")).await.0, 200);
    std::fs::remove_dir(&spool).expect("nothing is left in it");
    for (gateway, why) in [
        (&full, "spool_free_bytes_min keeps"),
        (&lost, "cannot be written"),
    ] {
        let answer =
            rest(begin(gateway, "nanning-tax", &large("L1"), large("L1").len()).await).await;
        has(
            &answer,
            &[
                "HTTP/1.1 503",
                "retry-after: 5",
                "connection: close",
                "网关暂时无法接收",
            ],
        );
        assert_eq!(gateway.send(small("S1")).await.0, 200);
        let (status, text) = operator(gateway, "/readyz").await;
        assert!(
            status == 503 && text.contains(why) && text.contains("[receive] spool"),
            "{status} {text}"
        );
        has(
            &operator(gateway, "/metrics").await.1,
            &["ltcgw_spool_writable 0", r#"reason="spool_disk"} 1"#],
        );
    }
    std::fs::create_dir(&spool).expect("made anew");
    assert_eq!(operator(&lost, "/readyz").await.0, 200);
    assert_eq!(lost.send(large("L1")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_bounded_per_partner_and_leave_others_theirs() {
    let gateway = Gateway::with(|scene| {
        alike(scene)
            .edit(
                "# requests_per_partner_max = 256",
                "requests_per_partner_max = 3",
            )
            .edit("# requests_max = 1024", "requests_max = 4")
    })
    .await;
    let requests = &gateway.running.gateway.shares.requests;
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(begin(&gateway, "nanning-tax", b"<?xml", 5_000).await);
    }
    until("three are under way", || requests.used() == 3).await;
    let answer = rest(begin(&gateway, "nanning-tax", b"<?xml", 5_000).await).await;
    has(
        &answer,
        &[
            "HTTP/1.1 429",
            "retry-after: 5",
            "connection: close",
            "3 a partner may have under way",
        ],
    );
    let other = begin(&gateway, OTHER, b"<?xml", 5_000).await;
    until("another's too", || requests.used() == 4).await;
    let answer = rest(begin(&gateway, OTHER, b"<?xml", 5_000).await).await;
    has(
        &answer,
        &["HTTP/1.1 503", "too many requests are under way"],
    );
    let core = gateway.stage.client("medical-core").expect("a client");
    let answer = core
        .get(gateway.url("/core/v1/persons/1/contributions"))
        .send()
        .await
        .expect("an answer");
    assert_ne!(
        answer.status(),
        503,
        "one request of each partner finds a place whatever others have under way"
    );
    drop((slow, other));
    until("they are given back", || requests.used() == 0).await;
    assert_eq!(gateway.send(small("S1")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_an_end_however_steadily_it_trickles() {
    let gateway = Gateway::with(|scene| {
        scene
            .edit("# body_seconds_max = 3600", "body_seconds_max = 1")
            .edit("# bytes_per_second_min = 1024", "bytes_per_second_min = 1")
    })
    .await;
    let (mut reader, mut writer) =
        tokio::io::split(begin(&gateway, "nanning-tax", b"<?xml", 1_000_000).await);
    let drip = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            if writer.write_all(b"xxxx").await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), reader.read_to_end(&mut answer))
        .await
        .expect("cut off")
        .ok();
    drip.abort();
    has(
        &String::from_utf8_lossy(&answer),
        &["HTTP/1.1 408", "not complete after 1 seconds"],
    );
}

/// Asks on a kept connection; false when it was closed.
async fn asks(wire: &mut Wire) -> bool {
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    if wire.write_all(request).await.is_err() || wire.flush().await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer);
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.trim().parse::<usize>().ok());
        if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
            && body.len() >= length
        {
            return true;
        }
        match wire.read_buf(&mut answer).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_one_partner_give_way_to_its_new_ones_and_to_others() {
    let gateway = Gateway::with(|scene| {
        alike(scene)
            .edit(
                "# connections_per_partner_max = 512",
                "connections_per_partner_max = 4",
            )
            .edit("# connections_max = 4096", "connections_max = 6")
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..12 {
        let mut wire = connect_as(&gateway, "nanning-tax").await;
        assert!(asks(&mut wire).await, "each new one is served");
        kept.push(wire);
    }
    let closed = kept.drain(..8);
    for mut wire in closed {
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(30), wire.read_to_end(&mut answer))
            .await
            .expect("an idle one is closed")
            .ok();
        assert!(answer.is_empty());
    }
    for wire in &mut kept {
        assert!(asks(wire).await, "the newest stay");
    }
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut wire = connect_as(&gateway, OTHER).await;
        assert!(asks(&mut wire).await);
        others.push(wire);
    }
    let (_, metrics) = operator(&gateway, "/metrics").await;
    has(
        &metrics,
        &[
            r#"ltcgw_connections_ended_total{partner="nanning-tax",outcome="displaced"} 10"#,
            r#"ltcgw_connections{partner="nanning-tax"} 2"#,
            r#"ltcgw_connections{partner="nanning-tax-native"} 4"#,
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_refused_when_requests_are_under_way_on_all_of_its_partner() {
    let gateway = Gateway::with(|scene| {
        alike(scene).edit(
            "# connections_per_partner_max = 512",
            "connections_per_partner_max = 2",
        )
    })
    .await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        slow.push(begin(&gateway, "nanning-tax", b"<?xml", 5_000).await);
    }
    until("they are under way", || {
        gateway.running.gateway.shares.requests.used() == 2
    })
    .await;
    let mut refused = connect_as(&gateway, "nanning-tax").await;
    assert!(!asks(&mut refused).await);
    assert!(
        asks(&mut connect_as(&gateway, OTHER).await).await,
        "others have theirs"
    );
    has(
        &operator(&gateway, "/metrics").await.1,
        &[r#"ltcgw_connections_ended_total{partner="nanning-tax",outcome="refused"} 1"#],
    );
    drop(slow);
    until("they are gone", || {
        gateway.running.gateway.shares.requests.used() == 0
    })
    .await;
    assert!(asks(&mut connect_as(&gateway, "nanning-tax").await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_answered_beside_idle_connections_to_its_listener() {
    let gateway = Gateway::start().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(
            tokio::net::TcpStream::connect(gateway.running.server.operator)
                .await
                .expect("connected"),
        );
    }
    assert_eq!(operator(&gateway, "/readyz").await, (200, "ready\n".into()));
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), idle[0].read_to_end(&mut answer))
        .await
        .expect("closed by itself")
        .expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_a_posted_search_are_not_read_into_memory_beyond_what_they_may_be() {
    let gateway = Gateway::start().await;
    let client = gateway
        .stage
        .client("provincial-platform")
        .expect("a client");
    let post = client
        .post(gateway.url("/fhir/Organization/_search"))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = post
        .body(format!("name={}", "x".repeat(70_000)))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 413);
    has(
        &answer.text().await.expect("a body"),
        &["OperationOutcome", "at most 65536"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_one_partner_fills_sends_its_bodies_to_the_disk_and_leaves_another_its_own() {
    let gateway = Gateway::with(|scene| {
        alike(scene)
            .edit("# memory_bytes_max = 1048576", "memory_bytes_max = 50000")
            .edit(
                "# held_bytes_per_partner_max = 67108864",
                "held_bytes_per_partner_max = 60000",
            )
            .edit("# held_bytes_max = 268435456", "held_bytes_max = 60000")
    })
    .await;
    let shares = &gateway.running.gateway.shares;
    let first = begin(&gateway, "nanning-tax", &[b' '; 45_000], 50_000).await;
    until("the first is held", || shares.memory.used() == 45_000).await;
    let second = begin(&gateway, "nanning-tax", &[b' '; 100_000], 110_000).await;
    until("the second waits on the disk", || shares.disk.used() > 0).await;
    assert!(shares.memory.used() <= 60_000);
    assert_eq!(gateway.send(small("S1")).await.0, 200);
    assert_eq!(gateway.send_as(OTHER, small("S2")).await.0, 200);
    drop((first, second));
    until("all is given back", || {
        (
            shares.requests.used(),
            shares.memory.used(),
            shares.disk.used(),
        ) == (0, 0, 0)
    })
    .await;
}
