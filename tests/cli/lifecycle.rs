//! Starts that are refused with a reason, and stops with something under way.

use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::{Place, Serving, packet, until};

/// More than client and server keep in memory before somebody reads.
const BUFFERED_MAX: usize = 1 << 20;
/// Longer than signals count as one.
const A_SECOND_WISH: Duration = Duration::from_millis(1_100);
/// Lines whose packet is larger than that.
const LINES: usize = 2_000;

/// A request whose body comes in pieces; dropping the sender ends the body.
struct Dribble {
    pieces: mpsc::Sender<Vec<u8>>,
    answer: JoinHandle<Option<u16>>,
}

impl Dribble {
    /// Begins a request and returns when the gateway has taken part of its body.
    async fn begin(serving: &Serving, client: &reqwest::Client, body: &[u8]) -> Dribble {
        assert!(body.len() > BUFFERED_MAX, "{} bytes", body.len());
        let (pieces, mut rest) = mpsc::channel::<Vec<u8>>(1);
        let stream = futures_util::stream::poll_fn(move |context| {
            rest.poll_recv(context)
                .map(|piece| piece.map(Ok::<_, std::io::Error>))
        });
        let request = client
            .post(serving.packets_url())
            .body(reqwest::Body::wrap_stream(stream));
        let answer =
            tokio::spawn(async move { Some(request.send().await.ok()?.status().as_u16()) });
        for piece in body.chunks(1 << 16) {
            pieces
                .send(piece.to_vec())
                .await
                .expect("the request is under way");
        }
        until("the gateway to read", async || {
            all_read(serving.partner).then_some(())
        })
        .await;
        Dribble { pieces, answer }
    }

    /// Sends the rest and returns the status of the answer.
    async fn end(self, rest: &[u8]) -> Option<u16> {
        self.pieces
            .send(rest.to_vec())
            .await
            .expect("the request is under way");
        drop(self.pieces);
        self.answer.await.expect("no panic")
    }
}

/// Whether everything sent to a local port over TCP was read there: its connections' queues are empty.
///
/// Columns of /proc/net/tcp (proc(5)): local and remote address, state (01 is established), `sent:received` not yet taken.
fn all_read(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let port = format!(":{port:04X}");
    let (mut connections, mut waiting) = (0, false);
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, "01", queues, ..] = columns[..] else {
            continue;
        };
        let (sent, received) = queues.split_once(':').expect("two queues");
        connections += usize::from(local.ends_with(&port));
        waiting |= local.ends_with(&port) && received != "00000000"
            || remote.ends_with(&port) && sent != "00000000";
    }
    connections > 0 && !waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_under_way_is_answered_before_the_gateway_ends_and_no_new_one_is_taken() {
    let place = Place::new();
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    let body = Vec::from(&packet("P1", LINES));
    let (first, second) = body.split_at(body.len() - 1_000);
    let under_way = Dribble::begin(&serving, &client, first).await;
    serving.signal(Signal::SIGTERM);
    until("/readyz to say so", async || {
        serving
            .operator("/readyz")
            .await
            .filter(|(status, _)| *status == 503)
    })
    .await;
    let other = place.stage.client("nanning-tax").unwrap();
    assert!(
        serving.send(&other, &packet("P2", 1)).await.is_none(),
        "no new connection is taken"
    );
    assert_eq!(under_way.end(second).await, Some(200));
    assert_eq!(serving.ended().await.code(), Some(0), "{}", serving.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_gateway_at_once_and_postgresql_with_it() {
    let place = Place::new();
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    let _under_way = Dribble::begin(&serving, &client, &vec![b' '; BUFFERED_MAX + 1]).await;
    serving.signal(Signal::SIGTERM);
    until("the drain to begin", async || {
        serving.log().contains("stopping").then_some(())
    })
    .await;
    tokio::time::sleep(A_SECOND_WISH).await;
    serving.signal(Signal::SIGTERM);
    assert_eq!(
        serving.ended().await.code(),
        Some(128 + 15),
        "{}",
        serving.log()
    );
    until("PostgreSQL to end", async || {
        (!place.postgres_runs()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_told_twice_within_a_second_stops_in_order() {
    let place = Place::new();
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    let body = Vec::from(&packet("P1", LINES));
    let (first, second) = body.split_at(body.len() - 1_000);
    let under_way = Dribble::begin(&serving, &client, first).await;
    serving.signal(Signal::SIGINT);
    serving.signal(Signal::SIGTERM);
    until("the drain to begin", async || {
        serving.log().contains("stopping").then_some(())
    })
    .await;
    tokio::time::sleep(A_SECOND_WISH).await;
    assert_eq!(under_way.end(second).await, Some(200));
    assert_eq!(serving.ended().await.code(), Some(0), "{}", serving.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_mean_nothing_end_nothing_and_quit_drains() {
    let place = Place::new();
    let client = place.stage.client("nanning-tax").unwrap();
    let mut serving = place.serve().await;
    let body = Vec::from(&packet("P1", LINES));
    let (first, second) = body.split_at(body.len() - 1_000);
    let under_way = Dribble::begin(&serving, &client, first).await;
    let noted = [
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPIPE,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGSTKFLT,
    ];
    for signal in noted {
        serving.signal(signal);
        until("the signal to be noted", async || {
            serving.log().contains(signal.as_str()).then_some(())
        })
        .await;
    }
    assert_eq!(
        serving.operator("/readyz").await.map(|(status, _)| status),
        Some(200),
        "{}",
        serving.log()
    );
    serving.signal(Signal::SIGQUIT);
    until("the drain to begin", async || {
        serving.log().contains("stopping").then_some(())
    })
    .await;
    assert_eq!(under_way.end(second).await, Some(200));
    assert_eq!(serving.ended().await.code(), Some(0), "{}", serving.log());
    assert!(!place.postgres_runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_and_nothing_is_left_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::with(|scene| {
        scene.edit(
            "partner = \"127.0.0.1:0\"",
            &format!("partner = \"{address}\""),
        )
    });
    let said = place.run(&["serve"]).await;
    assert_eq!(said.status.code(), Some(1), "{}", said.err);
    assert!(
        said.err.contains(&format!("cannot listen on {address}"))
            && said.err.contains("[listen] in gateway.toml"),
        "{}",
        said.err
    );
    assert!(!place.postgres_runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_a_configuration_is_said_at_once() {
    let place = Place::with(|scene| {
        scene
            .edit("POST /tax/v1/packets", "POST /tax/v1/pakets")
            .edit("insuplc_admdvs = \"450100\"\n", "")
    });
    std::fs::remove_file(place.config().join("secrets/medical-core-sm2.key")).unwrap();
    std::fs::remove_file(place.config().join("pki/server.pem")).unwrap();
    let said = place.run(&["serve"]).await;
    assert_eq!(said.status.code(), Some(1));
    for expected in [
        "pki/server.pem",
        "no endpoint `pakets`; it has packets",
        "did you mean `packets`?",
        "secret `sm2_key` cannot be read",
        "problems found",
    ] {
        assert!(said.err.contains(expected), "{expected}: {}", said.err);
    }
    assert!(
        !place.dir.path().join("data").exists(),
        "nothing was started"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_is_a_fault_with_the_remedy() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("url = \"postgres://ltcgw@127.0.0.1:{nobody}/ltcgw\" #");
    let place =
        Place::with(|scene| scene.edit("# url = \"postgres://", &format!("{url} \"postgres://")));
    let said = place.run(&["serve"]).await;
    assert_eq!(said.status.code(), Some(1));
    assert!(
        said.err
            .contains("the database does not take us: 127.0.0.1:")
            && said.err.contains("Connection refused")
            && said.err.contains("[database] url of gateway.toml"),
        "{}",
        said.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_data_folder_are_one_too_many() {
    let place = Place::new();
    let _serving = place.serve().await;
    let said = place.run(&["serve"]).await;
    assert_eq!(said.status.code(), Some(1));
    assert!(
        said.err.contains("another gateway uses") && said.err.contains("data_dir"),
        "{}",
        said.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_makes_the_schema_and_ends() {
    let place = Place::new();
    let said = place.run(&["migrate"]).await;
    assert_eq!(
        (said.status.code(), said.out.as_str()),
        (Some(0), "the database has this version's schema\n"),
        "{}",
        said.err
    );
    assert!(!place.postgres_runs());
    let _serving = place.serve().await;
    assert_eq!(place.value("SELECT count(*) FROM packet").await, "0");
}
