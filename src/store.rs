//! (to come)

pub mod embedded; // PostgreSQL as a child process
