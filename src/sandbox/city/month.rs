//! A month's packets: ordinary ones, then corrections, then packets that are bad on purpose.
//!
//! Lines are computed from their index when their packet is built, so one packet is held at a time.

use super::employer::Employer;
use super::line::{BACK_PAYMENT, CityLine, Flaw, bill};
use super::packet::{self, Head};
use super::rng::Rng;
use super::{City, ExpectedReceipt, GeneratedPacket, PacketKind};
use crate::model::{Fen, Month};

/// One line in so many has each flaw (or one line of a smaller city).
const FLAW_EVERY: u64 = 997;
/// The flaws, spread evenly over that many lines; four underpaid ones for one of the others.
const FLAWS: [Flaw; 8] = [
    Flaw::Underpaid,
    Flaw::Twice,
    Flaw::Underpaid,
    Flaw::UnknownArea,
    Flaw::Underpaid,
    Flaw::WorkInjury,
    Flaw::Separator,
    Flaw::WrongRate,
];
/// Fewer employers than this get no faults.
const FAULTS_FROM: u64 = 32;
/// Lines in each of the packets that are bad on purpose.
const SMALL: u64 = 10;

/// Corrections of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    /// An ordinary line again, unchanged.
    Again,
    /// The number of an ordinary line with another amount.
    Conflict,
    Refund,
    BackPayment,
    Revocation,
}

/// Corrections in the order they are sent: one for so many employers (at least one).
const CORRECTIONS: [(Correction, u64); 5] = [
    (Correction::Again, 500),
    (Correction::Conflict, 2_000),
    (Correction::Refund, 100),
    (Correction::BackPayment, 100),
    (Correction::Revocation, 400),
];

/// The packets that end the month.
const LAST: [PacketKind; 6] = [
    PacketKind::WrongCount,
    PacketKind::Truncated,
    PacketKind::Repeated,
    PacketKind::ReusedNumber,
    PacketKind::Ordinary, // the one that is replaced
    PacketKind::Replacement,
];

/// Iterator over the packets of [`City::month_packets`].
#[derive(Debug, Clone)]
pub struct MonthPackets {
    city: City,
    month: Month,
    lines: u64,
    /// Packets made so far.
    made: u64,
    /// The net of the packet that is to be replaced.
    replaced: i64,
}

impl MonthPackets {
    pub(super) fn new(city: City, month: Month, lines: usize) -> MonthPackets {
        let faults = city.faults && city.employers >= FAULTS_FROM;
        MonthPackets {
            city: City { faults, ..city },
            month,
            lines: lines as u64,
            made: 0,
            replaced: 0,
        }
    }

    /// How many packets the month has.
    pub fn count_all(&self) -> u64 {
        let last = if self.city.faults {
            LAST.len() as u64
        } else {
            0
        };
        self.ordinary_packets() + self.corrections().div_ceil(self.lines) + last
    }

    fn ordinary_packets(&self) -> u64 {
        self.city.employers.div_ceil(self.lines)
    }

    /// Corrections of one kind in the month.
    fn corrections_of(&self, (correction, every): (Correction, u64)) -> u64 {
        match correction {
            _ if self.city.employers < FAULTS_FROM => 0,
            Correction::Again | Correction::Conflict if !self.city.faults => 0,
            _ => (self.city.employers / every).max(1),
        }
    }

    fn corrections(&self) -> u64 {
        CORRECTIONS
            .into_iter()
            .map(|kind| self.corrections_of(kind))
            .sum()
    }

    fn flaw(&self, index: u64) -> Flaw {
        if !self.city.faults {
            return Flaw::None;
        }
        let period = FLAW_EVERY.min(self.city.employers);
        let shift = Rng::of(self.city.seed, "flaws", &[self.month.number() as u64]).next() % period;
        let at = (index + shift) % period;
        FLAWS
            .into_iter()
            .enumerate()
            .find(|(nth, _)| at == *nth as u64 * period / FLAWS.len() as u64)
            .map_or(Flaw::None, |(_, flaw)| flaw)
    }

    fn employer(&self, index: u64) -> Employer {
        Employer::of(self.city.seed, index % self.city.employers)
    }

    /// The ordinary line of an employer.
    fn ordinary(&self, index: u64) -> CityLine {
        let employer = self.employer(index);
        let headcount = employer.headcount;
        CityLine::of(
            self.city.seed,
            employer,
            (self.month, self.month),
            index + 1,
            headcount,
        )
        .flawed(self.flaw(index))
    }

    /// An employer's line without flaw: the first from `index` on in steps of three.
    fn sound(&self, index: u64) -> CityLine {
        let sound = (0..self.city.employers)
            .map(|step| (index + 3 * step) % self.city.employers)
            .find(|index| self.flaw(*index) == Flaw::None);
        self.ordinary(sound.expect("fewer flaws than employers"))
    }

    /// A line beyond the ordinary ones; `extra` counts them from 0 over the month.
    fn extra(&self, extra: u64, month: Month, headcount: i64) -> CityLine {
        let serial = self.city.employers + 1 + extra;
        CityLine::of(
            self.city.seed,
            self.employer(extra * 7),
            (self.month, month),
            serial,
            headcount,
        )
    }

    fn correction(&self, at: u64) -> (Correction, CityLine) {
        let mut nth = at;
        let mut kinds = CORRECTIONS.into_iter();
        let (correction, every) = loop {
            let kind = kinds
                .next()
                .expect("`at` is below the number of corrections");
            match nth.checked_sub(self.corrections_of(kind)) {
                Some(rest) => nth = rest,
                None => break kind,
            }
        };
        // Lines sent again, contradicted and revoked have indices of their own by threes, so that none is two of these:
        // a number that stands twice in a packet is told apart by nobody.
        let index = nth * every / 3 * 3;
        let line = match correction {
            Correction::Again => self.sound(index + 1),
            Correction::Conflict => {
                let line = self.sound(index + 2);
                CityLine {
                    paid: Fen(line.paid.0 + 100),
                    ..line
                }
            }
            Correction::Refund => self
                .extra(at, back(self.month, (nth % 2) as i16), 1)
                .refunded(),
            Correction::BackPayment => {
                let line = self.extra(at, back(self.month, 1 + (nth % 3) as i16), 2);
                CityLine {
                    kind: BACK_PAYMENT,
                    late_fee: bill(line.paid, 15_000),
                    ..line
                }
            }
            Correction::Revocation => CityLine {
                revokes: true,
                ..self.sound(index)
            },
        };
        (correction, line)
    }

    fn packet_no(&self, nth: u64) -> String {
        format!("1450100000{}28{nth:08}", self.month.number())
    }

    fn ordinary_packet(&self, nth: u64) -> GeneratedPacket {
        let range = nth * self.lines..((nth + 1) * self.lines).min(self.city.employers);
        let mut lines = Vec::new();
        let mut expected = ExpectedReceipt {
            status: 200,
            ..ExpectedReceipt::default()
        };
        let mut net = 0;
        for line in range.map(|index| self.ordinary(index)) {
            if line.flaw.refused() {
                expected.refused += 1;
            } else {
                expected.posted += 1;
                net += line.total();
            }
            if line.flaw == Flaw::Twice {
                expected.refused += 1;
                lines.push(line.clone());
            }
            lines.push(line);
        }
        expected.received = lines.len() as u64;
        self.packet(PacketKind::Ordinary, &lines, self.packet_no(nth))
            .expecting(expected, net)
    }

    fn correction_packet(&self, nth: u64, first: u64) -> GeneratedPacket {
        let range = first..(first + self.lines).min(self.corrections());
        let mut lines = Vec::new();
        let mut expected = ExpectedReceipt {
            status: 200,
            received: range.end - range.start,
            ..ExpectedReceipt::default()
        };
        let mut net = 0;
        for (correction, line) in range.map(|at| self.correction(at)) {
            match correction {
                Correction::Again => expected.duplicate += 1,
                Correction::Conflict => expected.refused += 1,
                Correction::Refund | Correction::BackPayment => {
                    expected.posted += 1;
                    net += line.total();
                }
                Correction::Revocation => {
                    expected.posted += 1;
                    net -= line.total();
                }
            }
            lines.push(line);
        }
        let packet = self
            .packet(PacketKind::Corrections, &lines, self.packet_no(nth))
            .expecting(expected, net);
        GeneratedPacket {
            waits: true,
            ..packet
        }
    }

    /// A packet of the end of the month; `nth` is its own number, `at` its place in [`LAST`].
    fn last_packet(&mut self, nth: u64, at: u64) -> GeneratedPacket {
        let kind = LAST[at as usize];
        let block = if kind == PacketKind::Replacement {
            at - 1
        } else {
            at
        };
        let first = self.corrections() + block * SMALL;
        let mut lines: Vec<CityLine> = (first..first + SMALL)
            .map(|extra| self.extra(extra, self.month, 3))
            .collect();
        let refused_whole = |status| ExpectedReceipt {
            status,
            ..ExpectedReceipt::default()
        };
        let processed = |lines: &[CityLine]| {
            let count = lines.len() as u64;
            (
                ExpectedReceipt {
                    status: 200,
                    received: count,
                    posted: count,
                    ..ExpectedReceipt::default()
                },
                lines.iter().map(CityLine::total).sum::<i64>(),
            )
        };
        let packet = match kind {
            PacketKind::WrongCount | PacketKind::Truncated => self
                .packet(kind, &lines, self.packet_no(nth))
                .expecting(refused_whole(400), 0),
            PacketKind::ReusedNumber => self
                .packet(kind, &lines, self.packet_no(0))
                .expecting(refused_whole(409), 0),
            PacketKind::Repeated => GeneratedPacket {
                kind,
                net: Fen::ZERO,
                ..self.ordinary_packet(0)
            },
            PacketKind::Ordinary | PacketKind::Corrections => {
                let (expected, net) = processed(&lines);
                self.replaced = net;
                self.packet(kind, &lines, self.packet_no(nth))
                    .expecting(expected, net)
            }
            PacketKind::Replacement => {
                lines.remove(0);
                lines[0].paid.0 += 100;
                let (expected, net) = processed(&lines);
                self.packet(kind, &lines, self.packet_no(nth - 1))
                    .expecting(expected, net - self.replaced)
            }
        };
        GeneratedPacket {
            waits: true,
            ..packet
        }
    }

    /// The packet's bytes; the expectations are still to be set.
    fn packet(&self, kind: PacketKind, lines: &[CityLine], packet_no: String) -> GeneratedPacket {
        let charset = self.city.charset;
        let count = lines.len() as u64 + u64::from(kind == PacketKind::WrongCount);
        let made_on = format!("{}28", self.month.number());
        let replaces = kind == PacketKind::Replacement;
        let head = Head {
            packet_no: &packet_no,
            packet_type: "JFXX101",
            replaces,
            lines: count,
            made_on: &made_on,
            charset,
        };
        let mut bytes = Vec::with_capacity(512 + lines.len() * 1_000);
        let written = packet::open(&mut bytes, &head)
            .and_then(|()| {
                (1..)
                    .zip(lines)
                    .try_for_each(|(index, line)| line.write(&mut bytes, index))
            })
            .and_then(|()| packet::close(&mut bytes));
        written.expect("a vector takes everything");
        if kind == PacketKind::Truncated {
            bytes.truncate(bytes.len() * 2 / 3);
        }
        GeneratedPacket {
            packet_no,
            kind,
            charset,
            bytes,
            expected: ExpectedReceipt::default(),
            net: Fen::ZERO,
            waits: false,
        }
    }
}

impl GeneratedPacket {
    fn expecting(self, expected: ExpectedReceipt, net: i64) -> GeneratedPacket {
        GeneratedPacket {
            expected,
            net: Fen(net),
            ..self
        }
    }
}

impl Iterator for MonthPackets {
    type Item = GeneratedPacket;

    fn next(&mut self) -> Option<GeneratedPacket> {
        let nth = self.made;
        if nth >= self.count_all() {
            return None;
        }
        self.made += 1;
        let ordinary = self.ordinary_packets();
        let corrections = self.corrections().div_ceil(self.lines);
        Some(match nth {
            _ if nth < ordinary => self.ordinary_packet(nth),
            _ if nth < ordinary + corrections => {
                self.correction_packet(nth, (nth - ordinary) * self.lines)
            }
            _ => self.last_packet(nth, nth - ordinary - corrections),
        })
    }
}

/// So many months earlier (less than a year).
fn back(month: Month, months: i16) -> Month {
    let (year, number) = (month.year(), i16::from(month.month()) - months);
    let earlier = if number > 0 {
        Month::new(year, number as i8)
    } else {
        Month::new(year - 1, (number + 12) as i8)
    };
    earlier.unwrap_or(month)
}
