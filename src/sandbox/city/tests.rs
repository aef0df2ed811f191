//! The generated packets, read back by a receiver of their own: 80 lines that know the rules of the
//! exchange and nothing of the generator or the gateway.

use std::collections::{HashMap, HashSet};

use quick_xml::events::Event;

use super::*;
use crate::model::identity::uscc_is_valid;

type Elements = HashMap<String, String>;

fn month() -> Month {
    Month::parse("202110").unwrap()
}

fn text(packet: &GeneratedPacket) -> String {
    match packet.charset {
        PacketCharset::Utf8 => String::from_utf8(packet.bytes.clone()).unwrap(),
        PacketCharset::Gbk => {
            let (text, malformed) = encoding_rs::GBK.decode_without_bom_handling(&packet.bytes);
            assert!(!malformed);
            text.into_owned()
        }
    }
}

/// Head and records of a document, or nothing when it is malformed.
fn parse(document: &str) -> Option<(Elements, Vec<Elements>)> {
    let mut reader = quick_xml::Reader::from_str(document);
    let (mut head, mut records, mut path, mut content) =
        (Elements::new(), Vec::new(), Vec::new(), String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_string());
                content.clear();
                if path.last()? == "Record" {
                    records.push(Elements::new());
                }
            }
            Event::Text(text) => content.push_str(text.trim()),
            Event::End(_) => {
                let name = path.pop()?;
                match path.last().map(String::as_str) {
                    Some("PackageHead") => drop(head.insert(name, content.clone())),
                    Some("Record") => drop(records.last_mut()?.insert(name, content.clone())),
                    _ => {}
                }
            }
            Event::Eof => return path.is_empty().then_some((head, records)),
            _ => {}
        }
    }
}

/// What a receiver holds of a packet number.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    answer: ExpectedReceipt,
    lines: Vec<String>,
}

/// A receiver that follows the exchange's rules, in memory.
#[derive(Default)]
struct Receiver {
    packets: HashMap<String, Held>,
    /// Content and money of every line posted, by detail number.
    lines: HashMap<String, (Elements, i64)>,
    sum: i64,
}

impl Receiver {
    fn take(&mut self, packet: &GeneratedPacket) -> ExpectedReceipt {
        let refused = |status| ExpectedReceipt {
            status,
            ..ExpectedReceipt::default()
        };
        let Some((head, records)) = parse(&text(packet)) else {
            return refused(400);
        };
        if head["JLS"] != records.len().to_string() {
            return refused(400);
        }
        assert_eq!(
            (&*head["SJBLX"], &head["SJBBH"]),
            ("JFXX101", &packet.packet_no)
        );
        if let Some(held) = self.packets.get(&packet.packet_no) {
            if head["SFCF"] == "0" {
                return if held.bytes == packet.bytes {
                    held.answer
                } else {
                    refused(409)
                };
            }
            for detail_no in self.packets.remove(&packet.packet_no).unwrap().lines {
                self.sum -= self.lines.remove(&detail_no).unwrap().1;
            }
        }
        let mut held = Held {
            bytes: packet.bytes.clone(),
            ..Held::default()
        };
        let mut answer = ExpectedReceipt {
            status: 200,
            received: records.len() as u64,
            ..ExpectedReceipt::default()
        };
        let mut ids = HashSet::new();
        for mut record in records {
            record.remove("XH");
            if record.remove("SBUUID").is_some_and(|id| !ids.insert(id)) {
                answer.refused += 1;
                continue;
            }
            let detail_no = record["AAZ083"].clone();
            match self.line(record) {
                Some(true) => answer.posted += 1,
                Some(false) => answer.duplicate += 1,
                None => answer.refused += 1,
            }
            held.lines.push(detail_no);
        }
        held.answer = answer;
        self.packets.insert(packet.packet_no.clone(), held);
        answer
    }

    /// Posted, duplicate, or refused (`None`).
    fn line(&mut self, record: Elements) -> Option<bool> {
        let rate = if &*record["AAE003"] < "202103" {
            "0.0730"
        } else {
            "0.0695"
        };
        if (&*record["AAA027"], &*record["AAE140"], &*record["AAA042"]) != ("450100", "310", rate) {
            return None;
        }
        let fen = |name: &str| Fen::parse_yuan(&record[name]).ok().map(|amount| amount.0);
        let amounts = ["AAE080", "AAE082", "AAE056", "BAC121", "AAE239"].map(fen);
        let money: i64 = amounts.into_iter().sum::<Option<i64>>()?;
        assert_eq!(
            record["AAA115"] == "20",
            amounts[0]? < 0,
            "only refunds are negative"
        );
        let held = self.lines.get(&record["AAZ083"]);
        if record["AAA321"] == "2" {
            self.sum -= held.expect("a revocation names a posted line").1;
            self.lines.remove(&record["AAZ083"]);
            return Some(true);
        }
        match held {
            Some((content, _)) => (*content == record).then_some(false),
            None => {
                self.sum += money;
                self.lines.insert(record["AAZ083"].clone(), (record, money));
                Some(true)
            }
        }
    }
}

#[test]
fn a_receiver_that_follows_the_rules_answers_and_sums_as_expected() {
    for (seed, employers, lines) in [
        (1, 2_500, 400),
        (2, 32, 10),
        (3, 1_000, 1_000),
        (4, 33, 1),
        (5, 40, 7),
        (6, 3, 2),
        (7, 61, 9),
    ] {
        for charset in [PacketCharset::Gbk, PacketCharset::Utf8] {
            let mut receiver = Receiver::default();
            let packets = City::new(seed, employers)
                .encoded_as(charset)
                .month_packets(month(), lines);
            let (mut sum, announced) = (0, packets.count_all());
            let mut count = 0;
            for packet in packets {
                assert_eq!(
                    receiver.take(&packet),
                    packet.expected,
                    "{:?} {} of seed {seed}",
                    packet.kind,
                    packet.packet_no
                );
                sum += packet.net.0;
                assert_eq!(
                    receiver.sum, sum,
                    "after {:?} {} of seed {seed}",
                    packet.kind, packet.packet_no
                );
                count += 1;
            }
            assert_eq!(count, announced);
        }
    }
}

#[test]
fn every_kind_of_packet_and_line_occurs_in_a_small_city() {
    for employers in [32, 33, 64, 1_000] {
        let packets: Vec<_> = City::new(7, employers).month_packets(month(), 10).collect();
        let kinds: HashSet<_> = packets.iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds.len(), 7, "{employers} employers");
        let all: String = packets.iter().map(text).collect();
        for sign in [
            "<AAA027>990100<",
            "<AAE140>410<",
            "<AAE080>1,000.00<",
            "<AAA042>0.0730<",
            "<AAA115>20<",
            "<AAA115>30<",
            "<AAA321>2<",
            "<SFCF>1<",
            "<AAE080>-",
        ] {
            assert!(all.contains(sign), "{sign} among {employers} employers");
        }
        let count = |pick: fn(&ExpectedReceipt) -> u64| {
            packets
                .iter()
                .filter(|packet| packet.kind != PacketKind::Repeated)
                .map(|packet| pick(&packet.expected))
                .sum::<u64>()
        };
        let inside = all.contains("<SBUUID>");
        let across = packets
            .iter()
            .any(|packet| packet.kind == PacketKind::Corrections && packet.expected.duplicate > 0);
        assert!(inside && across && count(|expected| expected.refused) >= 5);
        assert_eq!(
            count(|expected| expected.received),
            count(|expected| expected.posted + expected.refused + expected.duplicate)
        );
    }
}

#[test]
fn without_faults_everything_is_posted() {
    let packets: Vec<_> = City::new(7, 1_000)
        .without_faults()
        .month_packets(month(), 100)
        .collect();
    assert!(packets.iter().all(|packet| packet.expected.status == 200
        && packet.expected.posted == packet.expected.received));
    assert!(
        packets
            .iter()
            .any(|packet| packet.kind == PacketKind::Corrections)
    );
    assert_eq!(City::new(7, 0).month_packets(month(), 100).count(), 0);
}

#[test]
fn lines_of_a_month_before_ltc_are_billed_at_that_months_rate() {
    let mut receiver = Receiver::default();
    for packet in City::new(7, 500).month_packets(Month::parse("202104").unwrap(), 100) {
        assert_eq!(receiver.take(&packet), packet.expected);
    }
    let before: Vec<_> = receiver
        .lines
        .values()
        .filter(|(record, _)| &*record["AAE003"] < "202103")
        .map(|(record, _)| record["AAA042"].clone())
        .collect();
    assert!(
        !before.is_empty() && before.iter().all(|rate| rate == "0.0730"),
        "back payments for early 2021"
    );
    let january: String = City::new(7, 500)
        .month_packets(Month::parse("202001").unwrap(), 100)
        .map(|packet| text(&packet))
        .collect();
    assert!(
        january.contains("<AAE003>201912<"),
        "back payments in January are for the year before"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let packets = |seed| {
        City::new(seed, 300)
            .month_packets(month(), 50)
            .collect::<Vec<_>>()
    };
    assert_eq!(packets(1), packets(1));
    assert_ne!(packets(1)[0].bytes, packets(2)[0].bytes);
    // A fixed point: a change of the generator shows as a change here.
    let employer = City::new(1, 1).employers().next().unwrap();
    assert_eq!(
        (
            employer.district,
            employer.headcount,
            employer.wage,
            &*employer.uscc
        ),
        FIXED_POINT
    );
}

/// The first employer of seed 1.
const FIXED_POINT: (&str, i64, i64, &str) = ("450107", 1, 2_727_977, "91450107000000019A");

#[test]
fn a_city_looks_like_nanning() {
    let employers: Vec<_> = City::new(1, 60_000).employers().collect();
    assert!(
        employers
            .iter()
            .all(|employer| uscc_is_valid(&employer.uscc)
                && employer.uscc[2..8] == *employer.district)
    );
    let codes: HashSet<_> = employers
        .iter()
        .map(|employer| (&employer.uscc, &employer.employer_no))
        .collect();
    assert_eq!(codes.len(), employers.len());
    let heads: i64 = employers.iter().map(|employer| employer.headcount).sum();
    assert!(
        (1_150_000..1_450_000).contains(&heads),
        "{heads} employees; Nanning has 1,290,600"
    );
    assert!(
        employers
            .iter()
            .all(|employer| (300_000..3_000_000).contains(&employer.wage))
    );
    let districts: HashSet<_> = employers.iter().map(|employer| employer.district).collect();
    assert_eq!(districts.len(), 12);
    let qingxiu = employers
        .iter()
        .filter(|employer| employer.district == "450103")
        .count();
    assert!((11_000..13_000).contains(&qingxiu), "{qingxiu}");
}

#[test]
fn numbers_have_their_shape_and_details_ascend_in_arrival_order() {
    let mut last = 0;
    for packet in City::new(3, 1_000)
        .month_packets(month(), 100)
        .filter(|packet| packet.kind == PacketKind::Ordinary)
    {
        for record in parse(&text(&packet)).unwrap().1 {
            let detail: u64 = record["AAZ083"].parse().unwrap();
            assert!(record["AAZ083"].len() == 18 && detail >= last);
            last = detail;
            assert_eq!(
                (
                    record["AAD009"].len(),
                    record["AAE530"].len(),
                    record["AAE531"].len(),
                    record["AAE418"].len()
                ),
                (18, 8, 8, 19)
            );
            assert!(record["AAB001"].starts_with(&record["AAB034"]));
        }
    }
}

#[test]
fn an_employee_packet_has_as_many_lines_and_as_much_money_as_stated() {
    for charset in [PacketCharset::Gbk, PacketCharset::Utf8] {
        let packet = EmployeePacket {
            charset,
            ..EmployeePacket::new("P1", 1_234, 5)
        };
        let mut bytes = Vec::new();
        let totals = packet.write_to(&mut bytes).unwrap();
        let mut again = Vec::new();
        packet.write_to(&mut again).unwrap();
        assert!(bytes == again && totals.bytes == bytes.len() as u64);
        let document = text(&GeneratedPacket {
            packet_no: "P1".into(),
            kind: PacketKind::Ordinary,
            charset,
            bytes,
            expected: ExpectedReceipt::default(),
            net: Fen::ZERO,
            waits: false,
        });
        assert!(
            document.contains(&format!("encoding=\"{}\"", charset.name()))
                && document.contains("国家税务总局南宁市税务局")
        );
        let (head, records) = parse(&document).unwrap();
        assert_eq!(
            (&*head["SJBLX"], &*head["JLS"], records.len() as u64),
            ("JFXX102", "1234", totals.lines)
        );
        let sum = |name: &str| {
            records
                .iter()
                .map(|record| i128::from(Fen::parse_yuan(&record[name]).unwrap().0))
                .sum::<i128>()
        };
        assert_eq!(
            (sum("AAE020"), sum("AAE082")),
            (totals.employer_paid, totals.employee_paid)
        );
        let details: Vec<u64> = records
            .iter()
            .map(|record| record["AAZ083"].parse().unwrap())
            .collect();
        assert!(details.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        let people: HashSet<_> = records.iter().map(|record| &record["AAC001"]).collect();
        assert_eq!(people.len(), records.len());
    }
}

#[test]
fn an_employer_packet_has_a_good_line_of_each_of_so_many_employers() {
    let mut bytes = Vec::new();
    EmployerPacket::new("P1", 1_234, 5)
        .write_to(&mut bytes)
        .unwrap();
    let (document, _, malformed) = encoding_rs::GBK.decode(&bytes);
    assert!(!malformed && document.contains("encoding=\"GBK\""));
    let (head, records) = parse(&document).unwrap();
    assert_eq!(
        (&*head["SJBLX"], &*head["JLS"], records.len()),
        ("JFXX101", "1234", 1_234)
    );
    let ordinary = City::new(5, 1_234)
        .without_faults()
        .month_packets(month(), 1_234)
        .next()
        .unwrap();
    assert_eq!(
        records,
        parse(&text(&ordinary)).unwrap().1,
        "what the city's bureau sends for the month"
    );
}

#[test]
fn an_employee_packet_passes_the_fault_of_its_writer_on() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    assert_eq!(
        EmployeePacket::new("P1", 10, 1)
            .write_to(&mut Full)
            .unwrap_err()
            .kind(),
        std::io::ErrorKind::StorageFull
    );
}
