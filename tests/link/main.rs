//! The link over real sockets with real certificates, in both directions.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod caller; // our client against scripted servers
mod listener; // clients, good and bad, against the partner listener
mod passed_on; // certificates that a TLCP gateway passes on
mod strangers; // who has shown no certificate yet, or a bad one, and what that may cost
mod world; // certificates, servers and clients for both
