//! (to come)

pub mod capability; // the closed list TOML can name: envelopes, signatures
pub mod outbound; // what we send: render, sign, judge
pub mod reply; // what an answer means
pub mod template; // outbound documents that values cannot break
