//! (to come)

pub mod dead; // dead letters, and the person who decides about them
pub mod deliver; // one delivery: render, send, judge
pub mod inquire; // one delivery in doubt: ask before anything is sent again
