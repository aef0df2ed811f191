//! ltcgw: the integration gateway for China's long-term care insurance (LTC, 长期护理保险).
//!
//! ```text
//!  partner ─mTLS─► server ─► flow::intake ─► PostgreSQL: lines, postings, deliveries
//!                              │ adapter.decode · ledger.apportion     │
//!                              ▼                                       ▼
//!                            receipt              worker ─► flow::deliver ─► adapter.render ─► link ─mTLS─► partner
//! ```
//!
//! Import rule, enforced by `tests/architecture.rs`; a module imports only from the right:
//!
//! ```text
//! main, cli, sandbox -> service -> server, worker -> flow -> adapter, ledger, link, registry, store -> model, error, config, telemetry
//! ```
//!
//! The five of the fourth group never import each other, so an adapter cannot query, the store
//! cannot map, the link does not know what bytes mean and the ledger does not know where money
//! came from; a flow is the only place where they meet.

pub mod adapter; // documents <-> canonical records, driven by adapters/<system>/
pub mod cli; // the command line: serve, demo, adapter, dead, trace, doctor, pki
pub mod config; // config/*.toml -> one immutable Config
pub mod error; // Fault: where, whose fault, whether to try again
pub mod flow; // the stories: collect, deliver, inquire, trace
pub mod ledger; // rates, apportionment, journal
pub mod link; // mutual TLS in both directions
pub mod model; // what flows through: fen, months, canonical records
pub mod registry; // what is asked of institutions and caregivers
#[cfg(feature = "sandbox")]
pub mod sandbox; // simulated counterparts, throwaway PKI, generated city, embedded PostgreSQL
pub mod server; // the partner and the operator listener
pub mod service; // everything put together and running
pub mod store; // every SQL statement
pub mod telemetry; // logs and metrics
pub mod worker; // the loops that deliver
