//! (to come)

pub mod deliver; // one delivery: render, send, judge
pub mod inquire; // one delivery in doubt: ask before anything is sent again
