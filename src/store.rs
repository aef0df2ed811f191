//! (to come)

pub mod delivery; // what is to be sent to partners and what became of it
pub mod embedded; // PostgreSQL as a child process
