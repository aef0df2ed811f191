//! (to come)

pub mod capability; // the closed list TOML can name: envelopes, signatures
