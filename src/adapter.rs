//! (to come)

pub mod capability; // the closed list TOML can name: envelopes, signatures
pub mod outbound;
pub mod reply; // what an answer means
pub mod template; // outbound documents that values cannot break // what we send: render, sign, judge
