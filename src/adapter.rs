//! (to come)

pub mod capability; // the closed list TOML can name: envelopes, signatures
pub mod template; // outbound documents that values cannot break
pub mod reply; // what an answer means
