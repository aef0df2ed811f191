//! The binary as operators meet it: exit statuses, what it prints, what survives its end.

#![allow(clippy::unwrap_used)] // a test says why by its name

mod adapter;
mod chinese;
mod deduct;
mod deduct_kill;
mod deliveries;
mod doctor;
mod documents;
mod identities; // persons, planted everywhere
mod lifecycle;
mod metrics;
mod mistakes;
mod narrow;
#[allow(dead_code)]
#[path = "../gateway/packet.rs"]
mod packet;
mod people;
mod pooler;
mod serve;
mod strangers; // refused handshakes in the log
mod support;
mod unit; // systemd
