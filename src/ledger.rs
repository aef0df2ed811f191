//! Rates in force, apportionment by running totals, line checks and the journal: what the gateway knows about money.
//!
//! Pure apart from reading `config/rates/*.toml` once at start: no clock, no database, no partner's
//! format, no floating point. It must not know where money came from; flows bring amounts, months
//! and districts, and take parts, flags and postings away.

mod area_rates; // the rates of one pooling area
pub mod assess; // what a collection line states, against the rate in force
pub mod book; // every area's rates, looked up by month
pub mod deduction; // one person's instruction, the digest over everybody
pub mod fund; // the funds money is accounted in, and an amount split over them
pub mod journal; // running totals and the double-entry postings made of them
pub mod rate; // one rate: whole and parts
mod rate_check; // from a parsed rate file to rates, or findings
mod rate_file; // the form of config/rates/<area>-<name>.toml
pub mod split; // how an employer's money is split, by the totals of its payment history
pub mod terms; // what all rules have in common; the amount due

#[cfg(test)]
mod city_facts; // the shipped rate files say what their cities decided
#[cfg(test)]
mod properties; // what holds for any amount, rate and order of lines

pub use assess::{Flags, StatedLine, assess};
pub use book::RateBook;
pub use fund::{Fund, Parts, Recipient};
pub use journal::{CollectedMoney, JournalTotals};
pub use rate::{EmployerRate, IndividualRate};
pub use split::{History, SplitRule};
pub use terms::{Bases, due, percent};
