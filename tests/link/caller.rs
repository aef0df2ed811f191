//! Our client against scripted servers: is a request that failed known not to have been sent?

use std::io::Write;
use std::time::Duration;

use ltcgw::link::client::ANSWER_BYTES_MAX;
use ltcgw::link::probe::probe;
use ltcgw::link::{Certainty, Client, SendFailure};
use ltcgw::model::{Answer, Request};
use ltcgw::sandbox::pki::{Authority, Validity};
use rustls::version::{TLS12, TLS13};

use crate::world::{Script, Scripted, World, chain, key, load};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Own: a\r\n\r\nok";

fn world() -> World {
    let world = World::new();
    world.put_issued(
        "client",
        &world.authority.client("gateway.example").unwrap(),
    );
    world
}

fn request() -> Request {
    Request {
        method: "POST".into(),
        path: "/L101?x=1".into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: b"{}".to_vec(),
        reuse: true,
    }
}

async fn send(world: &World, port: u16) -> Result<Answer, SendFailure> {
    Client::new(&world.outbound(port))
        .unwrap()
        .send(&request(), Duration::from_secs(2))
        .await
}

async fn says(bytes: &[u8]) -> Result<Answer, SendFailure> {
    let world = world();
    let server = Scripted::start(&world, Script::SayAndClose(bytes.to_vec())).await;
    let answer = send(&world, server.port).await;
    assert_eq!(server.requests(), 1);
    answer
}

fn certainty(result: Result<Answer, SendFailure>) -> Certainty {
    result.unwrap_err().certainty
}

#[tokio::test]
async fn an_answer_comes_back_whole_whatever_its_status() {
    let answer = says(OK).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
    assert!(answer.headers.contains(&("x-own".into(), "a".into())));
    assert_eq!(
        says(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap()
            .status,
        503
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let answer = says(
        b"HTTP/1.1 307 Elsewhere\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n",
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 307);
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request() {
    let world = world();
    let server = Scripted::start(&world, Script::Say(OK.to_vec())).await;
    let client = Client::new(&world.outbound(server.port)).unwrap();
    for _ in 0..5 {
        client
            .send(&request(), Duration::from_secs(2))
            .await
            .unwrap();
    }
    assert_eq!(
        (
            server.requests(),
            server.connections.load(std::sync::atomic::Ordering::SeqCst)
        ),
        (5, 1)
    );
}

#[tokio::test]
async fn a_late_second_copy_of_an_answer_is_never_that_of_the_next_request() {
    let world = world();
    let server = Scripted::start(&world, Script::Number(30)).await;
    let client = Client::new(&world.outbound(server.port)).unwrap();
    for number in 1..=40 {
        let answer = client
            .send(
                &Request {
                    reuse: false,
                    ..request()
                },
                Duration::from_secs(2),
            )
            .await
            .unwrap();
        assert_eq!(String::from_utf8(answer.body).unwrap(), number.to_string());
        // Long enough for the copy to arrive, or not.
        tokio::time::sleep(Duration::from_millis(number % 4 * 9)).await;
    }
    assert_eq!(
        (
            server.requests(),
            server.connections.load(std::sync::atomic::Ordering::SeqCst)
        ),
        (40, 40)
    );
}

#[tokio::test]
async fn servers_that_close_after_each_answer_get_every_request_once() {
    let world = world();
    for reuse in [false, true] {
        let server = Scripted::start(&world, Script::SayAndClose(OK.to_vec())).await;
        let client = Client::new(&world.outbound(server.port)).unwrap();
        let mut answered = 0;
        for _ in 0..30 {
            match client
                .send(&Request { reuse, ..request() }, Duration::from_secs(2))
                .await
            {
                Ok(answer) => answered += usize::from(answer.status == 200),
                // On a connection the server closes just now nobody can tell; it is never tried again from here.
                Err(failure) => assert!(reuse, "{}", failure.text),
            }
        }
        assert!(
            answered <= server.requests() && server.requests() <= 30,
            "{answered} answered, {} arrived",
            server.requests()
        );
        assert!(reuse || answered == 30);
    }
}

#[tokio::test]
async fn what_fails_before_the_connection_stands_was_not_sent() {
    let world = world();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = send(&world, closed).await.unwrap_err();
    assert_eq!(refused.certainty, Certainty::NotSent);
    assert!(
        refused.text.contains("refused") && !refused.text.contains("/L101"),
        "{}",
        refused.text
    );

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // takes TCP, never speaks TLS
    assert_eq!(
        certainty(send(&world, silent.local_addr().unwrap().port()).await),
        Certainty::NotSent
    );

    let mut nowhere = world.outbound(1);
    nowhere.url = "https://no-such-host.invalid".into();
    let failure = Client::new(&nowhere)
        .unwrap()
        .send(&request(), Duration::from_secs(2))
        .await;
    assert_eq!(certainty(failure), Certainty::NotSent);
}

#[tokio::test]
async fn a_server_that_is_not_the_partner_gets_nothing() {
    let world = world();
    let other = Authority::new("Other CA").unwrap();
    for bad in [
        other.server(&["localhost"]).unwrap(),
        world.authority.server(&["elsewhere.example"]).unwrap(),
        world
            .authority
            .server_valid(&["localhost"], Validity::expired())
            .unwrap(),
        world.authority.client("localhost").unwrap(),
    ] {
        let server = Scripted::with(
            &(chain(&bad), key(&bad)),
            &world.authority,
            Script::Say(OK.to_vec()),
            &TLS13,
        )
        .await;
        let failure = send(&world, server.port).await.unwrap_err();
        assert_eq!(failure.certainty, Certainty::NotSent, "{}", failure.text);
        assert!(failure.text.contains("certificate"), "{}", failure.text);
        assert_eq!(server.requests(), 0);
    }
}

#[tokio::test]
async fn a_server_that_refuses_our_certificate_has_not_read_the_request() {
    let world = world();
    let others = Authority::new("Other CA").unwrap();
    for version in [&TLS12, &TLS13] {
        let server = Scripted::with(
            &load(&world.path("server")),
            &others,
            Script::Say(OK.to_vec()),
            version,
        )
        .await;
        let failure = send(&world, server.port).await.unwrap_err();
        assert_eq!(
            (failure.certainty, server.requests()),
            (Certainty::NotSent, 0),
            "{}",
            failure.text
        );
        assert!(
            failure.text.contains("refuses our certificate"),
            "{}",
            failure.text
        );
    }
}

#[tokio::test]
async fn once_it_was_read_only_a_complete_answer_counts() {
    let world = world();
    let server = Scripted::start(&world, Script::Hang).await;
    let failure = Client::new(&world.outbound(server.port))
        .unwrap()
        .send(&request(), Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.certainty, server.requests()),
        (Certainty::Unknown, 1)
    );
    assert!(failure.text.contains("within 0.3 s"), "{}", failure.text);

    for broken in [
        &b""[..],
        b"\x16\x03 what is this?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        assert_eq!(
            certainty(says(broken).await),
            Certainty::Unknown,
            "{}",
            String::from_utf8_lossy(broken)
        );
    }
}

#[tokio::test]
async fn answers_are_decompressed_and_limited() {
    let gzipped = |content: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        let body = encoder.finish().unwrap();
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend(body);
        answer
    };
    assert_eq!(says(&gzipped(b"hello")).await.unwrap().body, b"hello");
    assert_eq!(
        says(&gzipped(&vec![b'x'; ANSWER_BYTES_MAX]))
            .await
            .unwrap()
            .body
            .len(),
        ANSWER_BYTES_MAX
    );
    let bomb = says(&gzipped(&vec![b'x'; ANSWER_BYTES_MAX + 1]))
        .await
        .unwrap_err();
    assert!(
        bomb.certainty == Certainty::Unknown && bomb.text.contains("larger than"),
        "{}",
        bomb.text
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let world = world();
    let server = Scripted::start(&world, Script::Say(OK.to_vec())).await;
    let client = Client::new(&world.outbound(server.port))
        .unwrap()
        .look_every(Duration::ZERO);
    let send = async || {
        client
            .send(&request(), Duration::from_secs(2))
            .await
            .unwrap()
            .status
    };
    send().await;
    assert!(!client.reload().unwrap());
    world.put("client.pem", "half a certif");
    assert!(client.reload().unwrap_err().text.contains("client.pem"));
    send().await;
    world.put_issued(
        "client",
        &world.authority.client("renewed.example").unwrap(),
    );
    send().await;
    assert_eq!(
        *server.callers.lock().unwrap(),
        [
            "CN=gateway.example",
            "CN=gateway.example",
            "CN=renewed.example"
        ]
    );
    assert!(
        !client.reload().unwrap(),
        "sending has reloaded them already"
    );
}

#[test]
fn a_key_of_another_certificate_is_refused_at_once() {
    let world = world();
    world.put(
        "client.key",
        &world.authority.client("other.example").unwrap().key_pem,
    );
    let fault = Client::new(&world.outbound(1)).unwrap_err();
    assert!(
        fault.text.contains("client.key") && fault.text.contains("client.pem"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_built_was_not_sent_and_its_headers_stay_secret() {
    let world = world();
    let mut bad = request();
    bad.headers.push(("x-token".into(), "secret\r\n".into()));
    let failure = Client::new(&world.outbound(1))
        .unwrap()
        .send(&bad, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(failure.certainty, Certainty::NotSent);
    assert!(!failure.text.contains("secret"), "{}", failure.text);
}

#[tokio::test]
async fn a_probe_says_who_answers_or_why_not() {
    let world = world();
    let server = Scripted::start(&world, Script::Say(OK.to_vec())).await;
    let found = probe(&world.outbound(server.port)).await.unwrap();
    assert_eq!(
        (
            found.server.subject.as_str(),
            found.answer.as_str(),
            found.protocol.as_str()
        ),
        ("CN=localhost", "HTTP/1.1 200 OK", "TLSv1_3")
    );

    let refusing = Scripted::with(
        &load(&world.path("server")),
        &Authority::new("Other CA").unwrap(),
        Script::Hang,
        &TLS13,
    )
    .await;
    let fault = probe(&world.outbound(refusing.port)).await.unwrap_err();
    assert!(
        fault.text.contains("refuses our certificate") && fault.text.contains("CN=localhost"),
        "{fault}"
    );

    let stranger = Authority::new("Other CA")
        .unwrap()
        .server(&["localhost"])
        .unwrap();
    let stranger = Scripted::with(
        &(chain(&stranger), key(&stranger)),
        &world.authority,
        Script::Hang,
        &TLS13,
    )
    .await;
    let fault = probe(&world.outbound(stranger.port)).await.unwrap_err();
    assert!(
        fault.text.contains("not trusted: UnknownIssuer")
            && fault.text.contains("issued by `CN=Other CA`"),
        "{fault}"
    );

    let fault = probe(&world.outbound(1)).await.unwrap_err();
    assert!(
        fault.text.contains("localhost:1 cannot be reached"),
        "{fault}"
    );
}
