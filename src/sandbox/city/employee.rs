//! JFXX102 packets of any size: one line per insured employee, written as they are made.
//!
//! Memory does not depend on the number of lines, so a benchmark can send a million of them.

use std::io::{self, Write};

use super::PacketCharset;
use super::employer::Employer;
use super::line::{bill, billed_rate};
use super::packet::{self, Head, fraction};
use super::rng::Rng;
use crate::model::{Fen, Month};

/// Lines that share an employer and its receipt.
const LINES_PER_EMPLOYER: u64 = 20;
/// Bytes gathered before they are written out.
const CHUNK: usize = 64 * 1024;

/// A packet of employee lines; two of the same number, size and seed are the same, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmployeePacket {
    pub packet_no: String,
    pub lines: u64,
    pub seed: u64,
    pub month: Month,
    pub charset: PacketCharset,
    /// Detail number of the first line; the others follow without gaps. 18 digits.
    pub first_detail_no: u64,
}

/// What a written packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EmployeeTotals {
    pub lines: u64,
    pub bytes: u64,
    pub employer_paid: i128,
    pub employee_paid: i128,
}

impl EmployeePacket {
    /// A GBK packet for 2021-10; packets of different seeds below 900,000 share no detail number.
    pub fn new(packet_no: impl Into<String>, lines: u64, seed: u64) -> EmployeePacket {
        let first_detail_no = 100_000_000_000_000_001 + seed % 900_000 * 1_000_000_000_000;
        let month = Month::new(2021, 10).expect("a month of the range");
        EmployeePacket {
            packet_no: packet_no.into(),
            lines,
            seed,
            month,
            charset: PacketCharset::Gbk,
            first_detail_no,
        }
    }

    /// Writes the packet; fails only when `out` does.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<EmployeeTotals> {
        let made_on = format!("{}28", self.month.number());
        let head = Head {
            packet_no: &self.packet_no,
            packet_type: "JFXX102",
            replaces: false,
            lines: self.lines,
            made_on: &made_on,
            charset: self.charset,
        };
        let mut totals = EmployeeTotals {
            lines: self.lines,
            ..EmployeeTotals::default()
        };
        let mut chunk = Vec::with_capacity(CHUNK + 2_048);
        packet::open(&mut chunk, &head)?;
        let mut employer = Employer::of(self.seed, 0);
        for index in 0..self.lines {
            if index % LINES_PER_EMPLOYER == 0 {
                employer = Employer::of(self.seed, index / LINES_PER_EMPLOYER);
            }
            self.write_line(&mut chunk, index, &employer, &mut totals)?;
            if chunk.len() >= CHUNK {
                totals.bytes += chunk.len() as u64;
                out.write_all(&chunk)?;
                chunk.clear();
            }
        }
        packet::close(&mut chunk)?;
        totals.bytes += chunk.len() as u64;
        out.write_all(&chunk)?;
        out.flush()?;
        Ok(totals)
    }

    fn write_line(
        &self,
        out: &mut Vec<u8>,
        index: u64,
        employer: &Employer,
        totals: &mut EmployeeTotals,
    ) -> io::Result<()> {
        let mut rng = Rng::of(self.seed, "employee", &[index]);
        let base = Fen(employer.wage + rng.between(-employer.wage / 5, employer.wage / 5));
        let rate = billed_rate(self.month);
        let (paid, own) = (bill(base, rate), bill(base, 20_000));
        totals.employer_paid += i128::from(paid.0);
        totals.employee_paid += i128::from(own.0);
        let (month, rate, number) = (self.month.number(), fraction(rate), index + 1);
        let receipt_no = 345_010_000_000_000_000
            + month as u64 % 10_000 * 100_000_000
            + index / LINES_PER_EMPLOYER
            + 1;
        let (district, employer_no, detail_no) = (
            employer.district,
            &employer.employer_no,
            self.first_detail_no + index,
        );
        let person_no = self.seed % 1_000 * 1_000_000_000_000 + index;
        write!(
            out,
            "<Record index=\"{number}\"><XH>{number}</XH><AAA027>450100</AAA027><AAB034>{district}</AAB034><AAZ288>{receipt_no}</AAZ288>\
             <AAD009>{receipt_no}</AAD009><AAE140>310</AAE140><AAB001>{employer_no}</AAB001><AAC001>4501{person_no:016}</AAC001><AAE003>{month}</AAE003>\
             <AAA115>10</AAA115><AAC040>{base}</AAC040><EAE180>{base}</EAE180><AAE180>{base}</AAE180><AAA042>{rate}</AAA042><AAE020>{paid}</AAE020>\
             <AAA041>0.0200</AAA041><AAE082>{own}</AAE082><AAE056>0.00</AAE056><BAC121>0.00</BAC121>"
        )?;
        writeln!(
            out,
            "<AAE530>{month}12</AAE530><AAE531>{month}13</AAE531><AAF020>1{district}0000</AAF020><AAA321>1</AAA321><AAA322>{month}28</AAA322>\
             <AAE418>{}-28 20:00:00</AAE418><AAZ083>{detail_no}</AAZ083></Record>",
            self.month
        )
    }
}
