//! The simulated bureau's books, against scripted answers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::city::PacketCharset;
use super::*;

const LINES: Lines = Lines {
    received: 3,
    posted: 1,
    refused: 1,
    duplicate: 1,
};

/// A receipt in GBK, with one refused line.
fn receipt_xml(code: &str, lines: Lines) -> String {
    let Lines {
        received,
        posted,
        refused,
        duplicate,
    } = lines;
    let list: String =
        (0..refused).map(|at| format!("<Record index=\"{at}\"><SJX>AAE080</SJX><SJXNR>1e3</SJXNR><RKHJYSBYY>金额 &lt;错误&gt;</RKHJYSBYY></Record>")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"GBK\"?><Package><PackageHead><RECODE_ZT>{code}</RECODE_ZT><REMSG_ZT>成功</REMSG_ZT></PackageHead><Data><Record index=\"1\"><REMSG>成功</REMSG>\
         <JSTS>{received}</JSTS><RZTS>{posted}</RZTS><JJTS>{refused}</JJTS><CFTS>{duplicate}</CFTS></Record></Data><JYFK101>{list}</JYFK101></Package>"
    )
}

fn receipt(status: u16, code: &str, lines: Lines) -> BureauReceipt {
    BureauReceipt::read(
        status,
        "application/xml; charset=GBK",
        &encoding_rs::GBK.encode(&receipt_xml(code, lines)).0,
    )
}

fn packet(number: u64, kind: PacketKind, waits: bool) -> GeneratedPacket {
    let Lines {
        received,
        posted,
        refused,
        duplicate,
    } = LINES;
    GeneratedPacket {
        packet_no: number.to_string(),
        kind,
        charset: PacketCharset::Gbk,
        bytes: format!("packet {number}").into_bytes(),
        expected: ExpectedReceipt {
            status: 200,
            received,
            posted,
            refused,
            duplicate,
        },
        net: Fen(100),
        waits,
    }
}

fn entered(kind: PacketKind, receipt: BureauReceipt) -> BureauBooks {
    let GeneratedPacket {
        packet_no,
        kind,
        expected,
        net,
        ..
    } = packet(1, kind, false);
    let mut books = BureauBooks::default();
    books.enter(Answered {
        packet: Sent {
            packet_no,
            kind,
            expected,
            net,
            bytes: 8,
        },
        receipt,
        waits: 0,
        lost: 0,
    });
    books
}

#[test]
fn a_receipt_in_gbk_is_read_with_its_refused_lines() {
    let receipt = receipt(200, "0", LINES);
    assert_eq!(
        (
            receipt.lines,
            receipt.code.as_str(),
            receipt.message.as_str()
        ),
        (LINES, "0", "成功")
    );
    assert_eq!(
        receipt.refused,
        [RefusedLine {
            element: "AAE080".into(),
            reason: "金额 <错误>".into()
        }]
    );
}

#[test]
fn an_expected_receipt_is_entered_without_difference() {
    let books = entered(PacketKind::Ordinary, receipt(200, "0", LINES));
    assert_eq!(
        (books.lines, books.taken, books.net, books.differences.len()),
        (LINES, 1, Fen(100), 0)
    );
    assert_eq!(books.reasons.into_values().sum::<u64>(), 1);
}

#[test]
fn a_receipt_with_another_count_status_or_code_is_a_difference() {
    let other = Lines {
        posted: 2,
        refused: 0,
        ..LINES
    };
    for receipt in [
        receipt(200, "0", other),
        receipt(400, "0", LINES),
        receipt(200, "1", LINES),
    ] {
        assert_eq!(entered(PacketKind::Ordinary, receipt).differences.len(), 1);
    }
}

#[test]
fn money_counts_by_the_bureaus_own_reckoning_even_when_the_gateway_refuses_the_packet() {
    let books = entered(PacketKind::Ordinary, receipt(400, "1", Lines::default()));
    assert_eq!(
        (books.net, books.taken, books.refused_whole.len()),
        (Fen(100), 0, 1)
    );
}

#[test]
fn lines_of_a_repeated_packet_are_not_counted_again() {
    let books = entered(PacketKind::Repeated, receipt(200, "0", LINES));
    assert_eq!(
        (books.packets, books.repeated, books.lines),
        (1, 1, Lines::default())
    );
}

/// What a scripted gateway does with a request.
#[derive(Clone, Copy)]
enum Does {
    Answer,
    AskToWait,
    Close,
}

/// A plain HTTP server that follows a script, then answers; returns its URL and what it was sent, when.
async fn gateway(script: Vec<Does>) -> (String, Arc<Mutex<Vec<(String, std::time::Instant)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (seen, script) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(Mutex::new(script.into_iter())),
    );
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (log, script) = (log.clone(), script.clone());
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                // One small request at a time on a connection.
                while let Ok(count) = socket.read(&mut buffer).await
                    && count > 0
                {
                    let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    let body = request
                        .rsplit("\r\n\r\n")
                        .next()
                        .unwrap_or_default()
                        .to_string();
                    log.lock().unwrap().push((body, std::time::Instant::now()));
                    let next = script.lock().unwrap().next().unwrap_or(Does::Answer);
                    let answer = match next {
                        Does::Close => return,
                        Does::AskToWait => "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n".to_string(),
                        Does::Answer => {
                            let text = receipt_xml("0", LINES).replace("成功", "ok").replace("金额", "x").replace("错误", "y");
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, seen)
}

fn bureau(url: &str, connections: usize) -> TaxBureau {
    crate::link::install_provider();
    TaxBureau::new(
        reqwest::Client::builder().no_proxy().build().unwrap(),
        url,
        connections,
    )
}

#[tokio::test]
async fn a_request_to_wait_is_obeyed_and_a_lost_answer_is_sent_again() {
    let (url, seen) = gateway(vec![Does::AskToWait, Does::Close]).await;
    let books = bureau(&url, 1)
        .push([packet(1, PacketKind::Ordinary, false)], |_| {})
        .await
        .unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        (books.packets, books.waits, books.lost, seen.len()),
        (1, 1, 1, 3)
    );
    assert!(seen.iter().all(|(body, _)| body == "packet 1"));
    assert!(seen[1].1.duration_since(seen[0].1) >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_packet_that_never_gets_an_answer_is_given_up_and_named() {
    let (url, seen) = gateway(vec![Does::Close; 50]).await;
    let fault = bureau(&url, 2)
        .push([packet(7, PacketKind::Ordinary, false)], |_| {})
        .await
        .unwrap_err();
    assert!(fault.text.contains("packet 7 got no answer"), "{fault}");
    assert!(seen.lock().unwrap().len() > LOST_MAX as usize);
}

#[tokio::test]
async fn a_packet_that_waits_is_sent_after_all_before_it_and_before_all_after_it() {
    let (url, seen) = gateway(Vec::new()).await;
    let packets = (0..9).map(|number| packet(number, PacketKind::Ordinary, number == 4));
    let mut answered = Vec::new();
    let books = bureau(&url, 3)
        .push(packets, |books| answered.push(books.packets))
        .await
        .unwrap();
    let order: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|(body, _)| body.clone())
        .collect();
    assert_eq!(
        order.iter().position(|body| body == "packet 4"),
        Some(4),
        "{order:?}"
    );
    assert_eq!((books.packets, books.net), (9, Fen(900)));
    assert_eq!(answered, (1..=9).collect::<Vec<u64>>());
}
