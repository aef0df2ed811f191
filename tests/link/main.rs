//! The link over real sockets with real certificates, in both directions.

mod caller; // our client against scripted servers
mod listener; // clients, good and bad, against the partner listener
mod world; // certificates, servers and clients for both
