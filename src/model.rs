//! What flows through the gateway: money, months, canonical records, exchanges with partners.
//!
//! Plain data and its checks. No I/O, no async, no knowledge of any partner's format.

pub mod day; // days and times as partners write them
pub mod decimal; // decimal numbers as they are written
pub mod deduction; // insured people and their personal accounts
pub mod detail_key; // detail numbers as ordered keys
pub mod division; // which districts lie in a pooling area
pub mod exchange; // a request to a partner, its answer, the outcome
pub mod fen; // money
pub mod history_id; // payment histories as numbers
pub mod identity; // credit codes, resident ids and numbers of their form
pub mod json; // JSON without a key twice
pub mod lines; // collection lines, checked and apportioned
pub mod mask; // persons, kept out of texts
pub mod month; // contribution months
pub mod payment_kind; // what a collection line was paid as
pub mod phrase; // sentences in two languages
pub mod printable; // text from outside, cut and escaped
pub mod record; // canonical records: specs and slots
pub mod records; // the closed list of canonical records
pub mod registry; // institutions and caregivers
pub mod relation; // which of a person's insurance relations counts
pub mod signer; // who decides, and under which login
pub mod story; // what is to be done with a message
pub mod told; // what the medical core says of a batch

pub use division::Division;
pub use exchange::{Answer, Outcome, Request, Verdict};
pub use fen::Fen;
pub use history_id::HistoryId;
pub use month::Month;
pub use payment_kind::PaymentKind;
pub use record::{Field, FieldId, FieldType, Record, RecordSpec, Slot};
pub use story::Story;
