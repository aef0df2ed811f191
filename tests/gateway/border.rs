//! What bytes may look like when they come: compressed, marked, wrapped, of another type, written otherwise.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use ltcgw::flow::clock::CityClock;
use serde_json::{Value, json};

use crate::packet::{Line, Packet, counts, element};
use crate::support::{Gateway, project, receipt};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::default());
    zip.write_all(bytes).expect("memory");
    zip.finish().expect("memory")
}

async fn post(
    gateway: &Gateway,
    partner: &str,
    path: &str,
    gzipped: bool,
    body: Vec<u8>,
) -> (u16, String) {
    let client = gateway.stage.client(partner).expect("a client");
    let request = client.post(gateway.url(path)).body(body);
    let request = if gzipped {
        request.header("content-encoding", "GZIP")
    } else {
        request
    };
    receipt(request.send().await.expect("an answer")).await
}

/// A document of the shipped adapters' samples.
fn sample(path: &str) -> Vec<u8> {
    std::fs::read(project().join("adapters").join(path)).expect("a sample")
}

/// A person of a roster, with other elements.
fn person(number: u64, change: &[(&str, &str)]) -> String {
    let mut line = json!({
        "psn_no": format!("P{number:04}"), "psn_cert_type": "01", "certno": "450103198001010011", "psn_type": "1101", "acct_type": "1",
        "emp_no": "45010300000001", "admdvs": "450103", "clct_base": "5000.00", "begnym": "202103",
    });
    for (name, value) in change {
        line[name] = json!(value);
    }
    line.to_string()
}

async fn roster(
    gateway: &Gateway,
    number: &str,
    kind: &str,
    body: Vec<u8>,
    gzipped: bool,
) -> Value {
    let path = format!("/core/v1/roster?roster_no={number}&kind={kind}&area=450100&month=202110");
    let (status, text) = post(gateway, "medical-core", &path, gzipped, body).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn november() -> Gateway {
    let clock = CityClock::default();
    clock.set_day(jiff::civil::date(2021, 11, 15));
    Gateway::at(clock, |scene| scene).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_in_several_gzip_members_is_the_packet_itself() {
    let gateway = Gateway::start().await;
    let plain: Vec<u8> =
        Packet::employers("P1", (0..20).map(|n| Line::employer(&format!("{n}")))).into();
    let (first, second) = plain.split_at(plain.len() / 2);
    let members = [gzip(first), gzip(b""), gzip(second), vec![0; 512]].concat();
    let (status, taken) = post(&gateway, "nanning-tax", "/tax/v1/packets", true, members).await;
    assert_eq!(
        (status, counts(&taken)),
        (200, ["20", "20", "0", "0"]),
        "{taken}"
    );
    assert_eq!(
        post(
            &gateway,
            "nanning-tax",
            "/tax/v1/packets",
            false,
            plain.clone()
        )
        .await,
        (200, taken),
        "the plain one is a repeat"
    );
    let rubbish = [gzip(&plain), b"and something else".to_vec()].concat();
    let (status, refused) = post(&gateway, "nanning-tax", "/tax/v1/packets", true, rubbish).await;
    assert_eq!((status, element(&refused, "REMSG_ZT")), (400, "失败"));
    assert!(
        element(&refused, "REMSG").contains("neither another member of it nor zero padding"),
        "{refused}"
    );
    assert_eq!(gateway.value("SELECT count(*) FROM packet").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_with_byte_order_marks_names_everybody_and_ends_who_is_not_there() {
    let gateway = november().await;
    let everybody: Vec<String> = (1..=4).map(|number| person(number, &[])).collect();
    assert_eq!(
        roster(
            &gateway,
            "R1",
            "changes",
            everybody.join("\n").into_bytes(),
            false
        )
        .await["output"]["taken"],
        4
    );
    // Two files put together, each with its mark, in two members.
    let parts = [everybody[..2].join("\r\n"), everybody[2..3].join("\r\n")];
    let body = parts
        .map(|part| gzip(format!("\u{feff}{part}\r\n").as_bytes()))
        .concat();
    let reply = roster(&gateway, "R2", "full", body, true).await;
    let [taken, refused, left] =
        ["taken", "refused", "left"].map(|name| reply["output"][name].as_i64().expect("a count"));
    assert_eq!((taken, refused, left), (3, 0, 1), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_taken_by_certificates_that_are_real_and_told_what_is_wrong_with_others() {
    let gateway = november().await;
    let lines = [
        (person(1, &[("certno", "45010319800202006x")]), ""),
        (person(2, &[("certno", "810000198003030019")]), ""),
        (person(3, &[("certno", "830000198004040028")]), ""),
        (person(4, &[("certno", "945840198005050011")]), ""),
        (
            person(
                5,
                &[("certno", "945840198005050011"), ("psn_cert_type", "07")],
            ),
            "",
        ),
        (
            person(6, &[("certno", "450103800101001")]),
            "is an old number of 15 digits",
        ),
        (
            person(7, &[("certno", "H12345678"), ("psn_cert_type", "04")]),
            "",
        ),
        (
            person(8, &[("certno", "08123456"), ("psn_cert_type", "06")]),
            "",
        ),
        (
            person(
                9,
                &[("certno", "810000198003030019"), ("psn_cert_type", "05")],
            ),
            "",
        ),
        (person(10, &[("certno", " 450103198001011014 ")]), ""),
        (
            person(11, &[("certno", "450１03１9800１0１１030")]),
            "full-width",
        ),
        (
            person(
                12,
                &[("certno", "军字第01234567号"), ("psn_cert_type", "02")],
            ),
            "",
        ),
        (
            person(13, &[("psn_cert_type", "1")]),
            "a row for it is missing in medical-core/codes/certificate_type.csv",
        ),
        (
            person(14, &[("psn_type", "1160")]),
            "which is not taken here (medical-core/codes/person_type.csv, line 7)",
        ),
        (
            person(15, &[("psn_type", "1001")]),
            "a row for it is missing in medical-core/codes/person_type.csv",
        ),
    ];
    let body: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).collect();
    let reply = roster(&gateway, "R1", "full", body.join("\n").into_bytes(), false).await;
    let wrong: Vec<(u64, &str)> = (1..)
        .zip(&lines)
        .filter(|(_, (_, reason))| !reason.is_empty())
        .map(|(at, (_, reason))| (at, *reason))
        .collect();
    let listed = reply["output"]["refused_lines"].as_array().expect("a list");
    assert_eq!(listed.len(), wrong.len(), "{reply}");
    for (line, (at, reason)) in listed.iter().zip(wrong) {
        assert_eq!(line["record"], at, "{line}");
        assert!(
            line["reason"]
                .as_str()
                .is_some_and(|text| text.contains(reason)),
            "{line}"
        );
    }
    assert!(
        !reply.to_string().contains("80010"),
        "a number is repeated: {reply}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soap_envelope_is_called_one_in_a_well_formed_receipt_and_its_number_stays_free() {
    let gateway = Gateway::start().await;
    let folder = "tax-bureau/samples/employer_collection";
    let (status, refused) = gateway
        .send(sample(&format!("{folder}/soap-envelope.xml")))
        .await;
    assert_eq!(
        (
            status,
            element(&refused, "RECODE_ZT"),
            element(&refused, "REMSG_ZT")
        ),
        (400, "1", "失败"),
        "{refused}"
    );
    let reason = element(&refused, "REMSG");
    assert!(
        reason.contains(
            "a SOAP envelope came; expected the packet itself, whose root element is `Package`"
        ),
        "{reason}"
    );
    let mut reader = quick_xml::Reader::from_str(&refused);
    while !matches!(
        reader.read_event().expect("well-formed"),
        quick_xml::events::Event::Eof
    ) {}
    assert_eq!(
        gateway
            .send(sample(&format!("{folder}/named-cp936.xml")))
            .await
            .0,
        200
    );
    for name in [
        "says-gbk-and-one-character-is-utf8",
        "says-gbk-is-utf8-far-behind",
    ] {
        let (status, refused) = gateway.send(sample(&format!("{folder}/{name}.xml"))).await;
        assert!(
            status == 400 && element(&refused, "REMSG").contains("its bytes are UTF-8"),
            "{name}: {refused}"
        );
    }
    assert_eq!(gateway.value("SELECT count(*) FROM packet").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_packets_of_the_exchange_are_refused_by_name_and_counted() {
    let gateway = Gateway::start().await;
    for (name, word) in [
        ("reconciliation", "DZXX101"),
        ("feedback-on-ours", "JYFK101"),
        ("registration", "SWDJ101"),
        ("notice-of-a-file", "TZXX101"),
    ] {
        let (status, refused) = gateway
            .send(sample(&format!(
                "tax-bureau/samples/employer_collection/{name}.xml"
            )))
            .await;
        assert_eq!(
            (
                status,
                element(&refused, "RECODE_ZT"),
                element(&refused, "REMSG_ZT")
            ),
            (400, "1", "失败"),
            "{refused}"
        );
        let reason = element(&refused, "REMSG");
        assert!(
            reason.contains(&format!("is `{word}` ("))
                && reason.contains("taken: JFXX101, JFXX102"),
            "{reason}"
        );
    }
    let (status, _) = gateway
        .send(
            Packet::employers("P1", [Line::employer("1")])
                .text()
                .replace("JFXX101", "QQQQ999")
                .replace("GBK", "UTF-8"),
        )
        .await;
    assert_eq!(status, 400);
    let metrics = reqwest::get(format!(
        "http://127.0.0.1:{}/metrics",
        gateway.running.server.operator.port()
    ))
    .await
    .expect("metrics");
    let metrics = metrics.text().await.expect("text");
    for word in ["DZXX101", "JYFK101", "SWDJ101", "TZXX101", "other"] {
        let counted = format!(
            "ltcgw_untaken_packets_total{{partner=\"nanning-tax\",packet_type=\"{word}\"}} 1"
        );
        assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_and_days_are_posted_as_they_were_meant() {
    let gateway = Gateway::start().await;
    let big = |no: &str| {
        Line::employer(no)
            .with("AAB084", "1.25E7")
            .with("AAB121", "1.25E7")
            .with("AAE080", "868750.0")
            .with("AAA042", "6.95E-2")
    };
    let lines = [
        big("1").with("AAE056", "0E-8"),
        Line::employer("2")
            .with("AAE056", ".5")
            .with("AAE531", "2021-11-05T16:00:00Z"),
        Line::employer("3")
            .with("AAE056", "+1.00")
            .with("AAE531", "2021-11-06 23:59:59.0"),
        Line::employer("4")
            .with("AAE056", "5.")
            .with("AAE531", "1636128000000"),
        Line::employer("5").with("AAE531", "06-NOV-21"),
        Line::employer("6").with("AAE056", "1,250.00"),
    ];
    let (status, text) = gateway.send(Packet::employers("P1", lines)).await;
    assert_eq!(
        (status, counts(&text)),
        (200, ["6", "4", "2", "0"]),
        "{text}"
    );
    assert_eq!(
        gateway.value("SELECT detail_no, employer_base_fen, late_fee_fen, treasury_on FROM employer_line ORDER BY 1").await,
        "1 1250000000 0 2021-11-06; 2 12000000 50 2021-11-06; 3 12000000 100 2021-11-06; 4 12000000 500 2021-11-06"
    );
}
