//! JFXX101 packets of any size: the month's payment of so many employers, written as they are made.
//!
//! Memory does not depend on the number of lines, so a benchmark can send a million of them.

use std::io::{self, BufWriter, Write};

use super::PacketCharset;
use super::employer::Employer;
use super::line::CityLine;
use super::packet::{self, Head};
use crate::model::Month;

/// A packet with one good line of each of so many employers, those of a city of the seed; two of the same are the same, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmployerPacket {
    pub packet_no: String,
    pub lines: u64,
    pub seed: u64,
    pub month: Month,
}

impl EmployerPacket {
    /// A GBK packet for 2021-10.
    pub fn new(packet_no: impl Into<String>, lines: u64, seed: u64) -> EmployerPacket {
        EmployerPacket {
            packet_no: packet_no.into(),
            lines,
            seed,
            month: Month::new(2021, 10).expect("a month of the range"),
        }
    }

    /// Writes the packet; fails only when `out` does.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let EmployerPacket {
            packet_no,
            lines,
            seed,
            month,
        } = self;
        let made_on = format!("{}28", month.number());
        let mut out = BufWriter::new(out);
        packet::open(
            &mut out,
            &Head {
                packet_no,
                packet_type: "JFXX101",
                replaces: false,
                lines: *lines,
                made_on: &made_on,
                charset: PacketCharset::Gbk,
            },
        )?;
        for index in 0..*lines {
            let employer = Employer::of(*seed, index);
            let headcount = employer.headcount;
            CityLine::of(*seed, employer, (*month, *month), index + 1, headcount)
                .write(&mut out, index + 1)?;
        }
        packet::close(&mut out)?;
        out.flush()
    }
}
