//! A made-up city like Nanning and the packets its tax bureau sends: seeded, the same every time.
//!
//! Also says what the tax bureau itself expects of each packet (counts and money), so that its sum
//! can be compared with the gateway's. It knows nothing of funds, parts or the gateway's adapters,
//! and must not: agreement would then prove nothing.

mod bulk; // JFXX101 packets of any size
mod employee; // JFXX102 packets of any size
mod employer; // made-up employers
mod line; // one JFXX101 line
mod month; // a month's packets
mod packet; // heads and bytes
mod people; // insured people, and their rosters
mod rng; // the seeded generator

pub use bulk::EmployerPacket;
pub use employee::{EmployeePacket, EmployeeTotals};
pub(super) use employer::uscc;
pub use employer::{DISTRICTS, Employer};
pub use month::MonthPackets;
pub use packet::PacketCharset;
pub use people::{CityPeople, CityPerson};
pub(super) use rng::Rng;

use crate::model::{Fen, Month};

/// A city of so many employers; two cities of the same seed and size are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct City {
    seed: u64,
    employers: u64,
    charset: PacketCharset,
    faults: bool,
}

/// What is special about a packet as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// The month's ordinary lines, some with flaws.
    Ordinary,
    /// Refunds, back payments, revocations, lines sent before.
    Corrections,
    /// Its JLS is not its number of records.
    WrongCount,
    /// Cut off in the middle.
    Truncated,
    /// An earlier packet, byte for byte.
    Repeated,
    /// The number of an earlier packet with other content.
    ReusedNumber,
    /// SFCF=1: takes the place of the packet before it.
    Replacement,
}

/// What the tax bureau expects the receipt to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExpectedReceipt {
    /// HTTP status: 200 processed, 400 refused whole, 409 reused number.
    pub status: u16,
    /// Lines of a processed packet; for a repeated one those of the first time; 0 when refused whole.
    pub received: u64,
    pub posted: u64,
    pub refused: u64,
    pub duplicate: u64,
}

/// A packet with what its sender expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedPacket {
    pub packet_no: String,
    pub kind: PacketKind,
    pub charset: PacketCharset,
    pub bytes: Vec<u8>,
    pub expected: ExpectedReceipt,
    /// By how much the packet changes the sum of money that counts: employer, employees, late fee and
    /// interest of its posted lines, less what it revokes or replaces; zero when sent again or refused.
    pub net: Fen,
    /// Whether every packet before it must have been answered before it is sent, and it before the next.
    pub waits: bool,
}

impl City {
    /// A city with GBK packets and, from 32 employers on, faults of every kind.
    pub fn new(seed: u64, employers: u64) -> City {
        City {
            seed,
            employers,
            charset: PacketCharset::Gbk,
            faults: true,
        }
    }

    /// The same city with packets in another encoding.
    #[must_use]
    pub fn encoded_as(self, charset: PacketCharset) -> City {
        City { charset, ..self }
    }

    /// The same city with good lines and packets only; refunds, back payments and revocations stay.
    #[must_use]
    pub fn without_faults(self) -> City {
        City {
            faults: false,
            ..self
        }
    }

    /// The employers in order; each is computed when asked for.
    pub fn employers(&self) -> impl Iterator<Item = Employer> + use<> {
        let City {
            seed, employers, ..
        } = *self;
        (0..employers).map(move |index| Employer::of(seed, index))
    }

    /// The packets the tax bureau sends for a month, one at a time, each of about so many lines (at least 1).
    pub fn month_packets(&self, month: Month, lines_per_packet: usize) -> MonthPackets {
        MonthPackets::new(*self, month, lines_per_packet.max(1))
    }
}

#[cfg(test)]
mod tests;
