//! One JFXX101 line: what an employer paid, as the tax bureau knows it.
//!
//! The tax bureau bills base x combined rate and records what was paid; how that is split over
//! funds it does not know, so nothing here may apportion.

use std::io::{self, Write};

use super::employer::Employer;
use super::packet::fraction;
use super::rng::Rng;
use crate::model::{Fen, Month};

/// What is unusual about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Less paid than billed; posted all the same.
    Underpaid,
    /// Its record is written twice in the packet, under one id.
    Twice,
    UnknownArea,
    /// AAE140 is 410: work injury in this exchange.
    WorkInjury,
    /// AAE080 is `1,000.00`.
    Separator,
    /// A rate of another time.
    WrongRate,
}

impl Flaw {
    /// Whether a receiver must refuse the line.
    pub fn refused(self) -> bool {
        matches!(
            self,
            Flaw::UnknownArea | Flaw::WorkInjury | Flaw::Separator | Flaw::WrongRate
        )
    }
}

/// A line of JFXX101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CityLine {
    pub detail_no: u64,
    pub receipt_no: u64,
    pub employer: Employer,
    /// Contribution month.
    pub month: Month,
    /// Month in which the money was collected.
    pub collected_in: Month,
    pub day: u8,
    /// AAA115.
    pub kind: u8,
    pub headcount: i64,
    pub base: Fen,
    /// Employer's combined rate in millionths.
    pub rate: i64,
    pub paid: Fen,
    pub employee_paid: Fen,
    pub late_fee: Fen,
    pub interest: Fen,
    pub other_interest: Fen,
    pub revokes: bool,
    pub flaw: Flaw,
}

/// AAA115 of ordinary payments, refunds and back payments.
pub(super) const NORMAL: u8 = 10;
pub(super) const REFUND: u8 = 20;
pub(super) const BACK_PAYMENT: u8 = 30;

/// The employees' own medical rate: 2 %.
const EMPLOYEE_RATE: i64 = 20_000;

/// The combined rate the tax bureau of Nanning bills: 7.30 %, from 2021-03 on 6.95 %.
pub(super) fn billed_rate(month: Month) -> i64 {
    if month.number() < 202_103 {
        73_000
    } else {
        69_500
    }
}

/// The bill: base x rate to the fen, half away from zero.
pub(super) fn bill(base: Fen, rate: i64) -> Fen {
    let exact = i128::from(base.0) * i128::from(rate);
    let fen = (exact + exact.signum() * 500_000) / 1_000_000;
    Fen(i64::try_from(fen).expect("a rate below 100 % of a base in i64"))
}

/// The part of a month's numbers that detail and receipt numbers begin with.
fn number(prefix: u64, serial: u64) -> u64 {
    prefix * 1_000_000_000_000 + serial
}

impl CityLine {
    /// A line for so many heads of an employer; `serial` orders the lines of the month they are collected in.
    pub fn of(
        seed: u64,
        employer: Employer,
        (collected_in, month): (Month, Month),
        serial: u64,
        headcount: i64,
    ) -> CityLine {
        let mut rng = Rng::of(seed, "line", &[serial, collected_in.number() as u64]);
        let base =
            Fen(headcount * employer.wage + rng.between(-employer.wage / 10, employer.wage / 10));
        let rate = billed_rate(month);
        let mut line = CityLine {
            detail_no: number(collected_in.number() as u64, serial),
            receipt_no: number(
                345_010,
                collected_in.number() as u64 % 10_000 * 100_000_000 + serial,
            ),
            employer,
            month,
            collected_in,
            day: rng.between(8, 25) as u8,
            kind: NORMAL,
            headcount,
            base,
            rate,
            paid: bill(base, rate),
            employee_paid: bill(base, EMPLOYEE_RATE),
            late_fee: Fen::ZERO,
            interest: Fen::ZERO,
            other_interest: Fen::ZERO,
            revokes: false,
            flaw: Flaw::None,
        };
        if rng.between(1, 100) == 1 {
            // 0.05 % a day
            line.late_fee = bill(line.paid, 500 * rng.between(1, 20));
        }
        if rng.between(1, 200) == 1 {
            line.interest = bill(line.paid, 300);
            line.other_interest = bill(line.employee_paid, 300);
        }
        line
    }

    /// The line with a flaw.
    pub fn flawed(mut self, flaw: Flaw) -> CityLine {
        self.flaw = flaw;
        match flaw {
            Flaw::Underpaid => self.paid = Fen(self.paid.0 - 1 - self.paid.0 / 50),
            Flaw::WrongRate => self.rate = if self.rate == 69_500 { 73_000 } else { 69_500 },
            _ => {}
        }
        self
    }

    /// The same money back.
    pub fn refunded(mut self) -> CityLine {
        self.kind = REFUND;
        for amount in [
            &mut self.base,
            &mut self.paid,
            &mut self.employee_paid,
            &mut self.late_fee,
            &mut self.interest,
            &mut self.other_interest,
        ] {
            *amount = amount.negated();
        }
        self
    }

    /// All money of the line in fen.
    pub fn total(&self) -> i64 {
        self.paid.0
            + self.employee_paid.0
            + self.late_fee.0
            + self.interest.0
            + self.other_interest.0
    }

    /// Writes the line as a record of the given number in its packet.
    pub fn write(&self, out: &mut dyn Write, index: u64) -> io::Result<()> {
        let CityLine {
            detail_no,
            receipt_no,
            employer,
            base,
            employee_paid,
            late_fee,
            interest,
            other_interest,
            kind,
            headcount,
            ..
        } = self;
        let area = if self.flaw == Flaw::UnknownArea {
            "990100"
        } else {
            "450100"
        };
        let insurance = if self.flaw == Flaw::WorkInjury {
            410
        } else {
            310
        };
        let (district, employer_no) = (employer.district, &employer.employer_no);
        let (month, collected, day) = (self.month.number(), self.collected_in, self.day);
        let (rate, employee_rate) = (fraction(self.rate), fraction(EMPLOYEE_RATE));
        let paid = if self.flaw == Flaw::Separator {
            "1,000.00".to_string()
        } else {
            self.paid.to_string()
        };
        let transfer = if self.revokes { 2 } else { 1 };
        write!(
            out,
            "<Record index=\"{index}\"><XH>{index}</XH><AAA027>{area}</AAA027><AAB034>{district}</AAB034><AAZ288>{receipt_no}</AAZ288>\
             <AAD009>{receipt_no}</AAD009><AAE140>{insurance}</AAE140><AAB001>{employer_no}</AAB001><AAE003>{month}</AAE003><AAA115>{kind}</AAA115>\
             <AAB119>{headcount}</AAB119><AAB084>{base}</AAB084><AAB121>{base}</AAB121><AAB120>{base}</AAB120><AAA042>{rate}</AAA042>\
             <AAE080>{paid}</AAE080><AAA041>{employee_rate}</AAA041><AAE082>{employee_paid}</AAE082><AAE056>{late_fee}</AAE056>\
             <BAC121>{interest}</BAC121><AAE239>{other_interest}</AAE239>"
        )?;
        if self.flaw == Flaw::Twice {
            write!(out, "<SBUUID>{detail_no:032x}</SBUUID>")?;
        }
        let compact = collected.number();
        writeln!(
            out,
            "<AAE530>{compact}{day:02}</AAE530><AAE531>{compact}{:02}</AAE531><AAF020>1{district}0000</AAF020><AAA321>{transfer}</AAA321>\
             <AAA322>{compact}28</AAA322><AAE418>{collected}-28 20:00:00</AAE418><AAZ083>{detail_no}</AAZ083></Record>",
            day + 1
        )
    }
}
