//! The binary as operators meet it: exit statuses, what it prints, what survives its end.

mod adapter;
mod deliveries;
mod doctor;
mod lifecycle;
mod metrics;
#[allow(dead_code)]
#[path = "../gateway/packet.rs"]
mod packet;
mod serve;
mod support;
